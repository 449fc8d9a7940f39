/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOCTULE_TRANSPORT_H
#define NOCTULE_TRANSPORT_H
/*
 * What carries a client's bytes: four functions, or five. Shipped with the library for
 * systems: POSIX sockets, OpenSSL, mbedTLS (posix.h, tls.h); a device gives its own.
 */

#include <stddef.h>
#include <stdint.h>

#include <noctule/client.h>

#ifdef __cplusplus
extern "C" {
#endif

struct noc_transport {
    /* Connect to options of its own; returns within timeout_ms. NOC_OK or an error. */
    int (*open)(struct noc_transport *transport, uint32_t timeout_ms);
    /*
     * Read up to n bytes, waiting for the first at most timeout_ms. Returns how many; 0: none came;
     * NOC_ECLOSED: the peer has closed; another error: it failed.
     */
    int (*read)(struct noc_transport *transport, void *bytes, size_t n, uint32_t timeout_ms);
    /*
     * Write up to n bytes. Returns how many, 0: none can be written now; or an error. After 0 the
     * next call must begin with the same bytes: TLS may have made a record of them. After an error
     * it may still be read from: what had come before.
     */
    int (*write)(struct noc_transport *transport, const void *bytes, size_t n);
    /* Close it, if it is open. */
    void (*close)(struct noc_transport *transport);
    /*
     * Wait at most timeout_ms until write() takes something, or fails. May be NULL; then
     * noc_client_turn() returns at once while nothing can be written and the input buffer is full.
     */
    void (*wait_writable)(struct noc_transport *transport, uint32_t timeout_ms);
};

/*
 * One round for a client on an open transport: write what waits, read what comes (waiting at most
 * timeout_ms, or less if the client must act earlier). While the input buffer is full, of packets that can't be
 * answered before something is written, it waits for that instead. Take events before and after. A transport that
 * fails is closed, and told to the client by noc_client_lost(). now() tells the time.
 */
NOC_PUBLIC void noc_client_turn(struct noc_client *client, struct noc_transport *transport,
    uint32_t (*now_ms)(void), uint32_t timeout_ms);

#ifdef __cplusplus
}
#endif

#endif
