/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CLI_CLIENT_CONNECT_H
#define NOC_CLI_CLIENT_CONNECT_H
/*
 * From the settings of `pub`, `sub` and `rr` to a client on an open transport.
 *
 *   settings ──► transport: socket [+ TLS] ──► client (src/client) [in WebSocket]
 *
 * Port 443 by itself does not say what is there, so it is tried, in this order, and
 * the first that answers in its own language is kept:
 *
 *   1. a secure WebSocket: any answer in HTTP but 400 decides for it (as behind a tunnel)
 *   2. MQTT over TLS, with "mqtt" as ALPN protocol
 *   3. MQTT without TLS, if there is no TLS, and neither a TLS option nor a password was given
 *
 * An object belongs to one thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"
#include "cli/client_failure.h"
#include "cli/client_options.h"
#include "cli/client_trace.h"
#include <noctule/client.h>
#include <noctule/outbox.h>
#include <noctule/posix.h>
#include <noctule/tls.h>

struct noc_client_link;

/* How the transport is laid out. */
enum noc_link_way {
    NOC_LINK_AS_GIVEN,
    NOC_LINK_TRY_WSS,
    NOC_LINK_TRY_TLS,
    NOC_LINK_TRY_PLAIN,
};

/* How much memory a link gets. */
struct noc_link_sizes {
    size_t in, out; /* buffers of the client */
    size_t outbox;  /* for QoS 1 and 2 of ours; 0: none */
};

struct noc_client_link {
    const struct noc_client_settings *settings;
    struct noc_client client;
    struct noc_client_trace trace;
    /* Told of each packet, after the trace; may be NULL. */
    void (*on_packet)(void *context, bool is_outgoing, const uint8_t *packet, size_t n);
    void *on_packet_context;

    /* The way. */
    enum noc_link_way way;
    bool is_found; /* port 443: no other way is tried any more */
    struct noc_posix_options posix_options;
    struct noc_posix_transport posix;
    struct noc_openssl_transport tls;
    bool has_tls;                           /* tls is to be done with */
    bool is_open;                           /* the transport */
    struct noc_transport *transport;        /* the uppermost */
    struct noc_client_failure http_failure; /* port 443: what HTTP said before MQTT was tried */

    /* What the client is made of. */
    struct noc_client_options options;
    struct noc_client_will will;
    struct noc_client_websocket websocket;
    struct noc_client_aliases aliases; /* -D connect topic-alias-maximum */
    struct noc_http_hints hints;
    struct noc_ring_outbox ring;
    char ws_host[300];
    char *ws_headers;
    uint8_t *connect_props;
    uint16_t *received;
    uint8_t *in, *out, *ring_bytes;
    struct noc_link_sizes sizes;
};

/*
 * Make a link, closed. lines: where -d writes to. Returns NOC_OK, or an error and *failure.
 * In either case call _done(). The settings must outlive it.
 */
NOC_MUST_CHECK int noc_client_link_init(struct noc_client_link *link,
    const struct noc_client_settings *settings, const struct noc_link_sizes *sizes,
    struct noc_output_buffer *lines, struct noc_client_failure *failure);
void noc_client_link_done(struct noc_client_link *link);

/*
 * Open the transport within timeout_ms, and start the client: events come from
 * noc_client_next(&link->client, ...). Returns NOC_OK, or an error and *failure.
 */
NOC_MUST_CHECK int noc_client_link_open(
    struct noc_client_link *link, uint32_t timeout_ms, struct noc_client_failure *failure);

/*
 * Why a connection ended, from its NOC_EVENT_CLOSED; and close the transport. was_accepted: there
 * had been a NOC_EVENT_CONNECTED.
 */
void noc_client_link_closed(struct noc_client_link *link, const struct noc_event *event,
    bool was_accepted, struct noc_client_failure *failure);

/* Write what the client has. True: all of it; false: the socket takes no more now. */
bool noc_client_link_flush(struct noc_client_link *link);

/* Read what is there, without waiting. True if anything came, or the connection ended. */
bool noc_client_link_read(struct noc_client_link *link);

/* Have an outbox of that many bytes, which must be empty now. NOC_OK or NOC_ENOMEM. */
NOC_MUST_CHECK int noc_client_link_grow_outbox(struct noc_client_link *link, size_t size);

#endif
