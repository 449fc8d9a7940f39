/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOCTULE_POSIX_H
#define NOCTULE_POSIX_H
/*
 * A transport (transport.h) over the sockets of a POSIX system: TCP, unix sockets, TCP
 * through a SOCKS5 proxy. For MQTT over TLS put one of tls.h on top of it.
 *
 *     struct noc_posix_options way = {.host = "broker.example", .port = 1883};
 *     struct noc_posix_transport tcp;
 *     struct noc_transport *transport = noc_posix_init(&tcp, &way);
 *
 *     if (transport->open(transport, 10000) != NOC_OK) {
 *         fprintf(stderr, "%s\n", tcp.fault.text);
 *     }
 *
 * A name is looked up by the system, which may take longer than open()'s
 * time. All its addresses are tried: IPv6 and IPv4 in turn, the next one a quarter of a
 * second after the one before or as soon as that fails; the first that answers is taken.
 * A signal ends no wait, and none comes of writing to who has closed (SIGPIPE).
 * An object belongs to one thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <noctule/config.h>
#include <noctule/fault.h>
#include <noctule/transport.h>

#ifdef __cplusplus
extern "C" {
#endif

/* All zero but for the host and the port is good. Texts are the caller's, and outlive the transport. */
struct noc_posix_options {
    /* A name or an address; NULL: this machine. With is_unix the path of a socket, and there, as
       with a proxy, not NULL. */
    const char *host;
    uint16_t port;
    bool is_unix;
    bool gathers_writes;      /* leave TCP_NODELAY off: fewer, larger segments, later */
    const char *bind_address; /* the local address to come from, or NULL */
    const char *proxy_host;   /* a SOCKS5 proxy, which looks the name up (socks5h); or NULL */
    uint16_t proxy_port;
    const char *proxy_user, *proxy_password; /* or NULL */
};

struct noc_posix_transport {
    struct noc_transport transport; /* what to hand on; must be first */
    const struct noc_posix_options *options;
    int fd; /* to be waited for by an event loop; -1 while it is closed */
    struct noc_transport_fault fault;
    char peer[64]; /* the address that answered, as text; "" before */
};

/* A closed transport in the caller's storage. The options stay the caller's. Never fails. */
NOC_PUBLIC struct noc_transport *noc_posix_init(
    struct noc_posix_transport *posix, const struct noc_posix_options *options);

/* Milliseconds of a clock that never goes back; for noc_client_turn(). */
NOC_PUBLIC uint32_t noc_posix_now_ms(void);

/* 32 random bits from the system; fits noc_client_options.random. The context is not used. */
NOC_PUBLIC uint32_t noc_posix_random(void *context);

#ifdef __cplusplus
}
#endif

#endif
