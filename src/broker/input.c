/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
/*
 * Input: into the worker's scratch, through TLS and WebSocket as the listener
 * has them, to the link. One read an event; no second one after a short one.
 * Whoever speaks the wrong protocol to a listener is told apart by the first
 * bytes, and named in the log.
 */
#include <ctype.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "broker/connection.h"
#include "ws/handshake.h"

/* Bytes that are logged of a header that is a claim, and of all of them. */
enum { CLAIM_MAX = 100, CLAIMS_MAX = 256 };

static int sha1(const void *bytes, size_t n, uint8_t ret_digest[20])
{
    return EVP_Digest(bytes, n, ret_digest, NULL, EVP_sha1(), NULL) == 1 ? NOC_OK : NOC_EIO;
}

/* ---- bytes that wait ---- */

static bool wait_with(struct noc_connection *connection, const uint8_t *bytes, size_t n)
{
    struct noc_ws_state *ws = connection->ws;

    if (ws->waiting_n + n > ws->waiting_room) {
        size_t room = (ws->waiting_n + n) * 2;
        uint8_t *bigger = realloc(ws->waiting, room);

        if (bigger == NULL) {
            noc_connection_fail(connection, NOC_END_MEMORY, NULL);
            return false;
        }
        ws->waiting = bigger;
        ws->waiting_room = room;
    }
    memcpy(ws->waiting + ws->waiting_n, bytes, n);
    ws->waiting_n += n;
    return true;
}

/* ---- frames ---- */

/* A ping is answered with its payload; of several the last one (RFC 6455, 5.5.3). */
static void on_ping(struct noc_connection *connection, const struct noc_ws_event *event)
{
    struct noc_ws_state *ws = connection->ws;

    ws->control_n = (uint8_t)noc_ws_pong_write(ws->control, noc_slice(event->at, event->n), NULL);
    noc_link_mark_dirty(&connection->link);
}

static void on_close(struct noc_connection *connection, const struct noc_ws_event *event)
{
    struct noc_ws_state *ws = connection->ws;

    /* Answered with the same code (RFC 6455, 5.5.1) by noc_connection_close(). */
    ws->close_code = (uint16_t)event->code;
    noc_connection_fail(connection, NOC_END_PEER_CLOSED, NULL);
}

static void on_bad_frame(struct noc_connection *connection)
{
    struct noc_ws_state *ws = connection->ws;

    ws->close_code = (uint16_t)noc_ws_decoder_close_code(&ws->decoder);
    ws->close_text = noc_ws_decoder_fault_text(&ws->decoder);
    noc_connection_fail(connection, NOC_END_PROTOCOL, ws->close_text);
}

/* Decode frames and feed what is in them. */
static void got_frames(struct noc_connection *connection, uint8_t *bytes, size_t n)
{
    struct noc_ws_state *ws = connection->ws;

    ws->spoke_ms = ws->heard_ms = connection->link.shard->now_ms;
    while (n > 0 && connection->phase == NOC_PHASE_OPEN) {
        struct noc_ws_event event;
        size_t used;
        int err;

        if (connection->link.state == NOC_LINK_MOVING) {
            /* On its way to another worker, which goes on with the rest. */
            ws->is_cut = !wait_with(connection, bytes, n);
            return;
        }
        if (!connection->is_reading) {
            /* A close frame among them must not overtake what the link has not decoded. */
            (void)wait_with(connection, bytes, n);
            return;
        }
        err = noc_ws_decode(&ws->decoder, bytes, n, &used, &event);
        if (err == NOC_ECLOSED) {
            return;
        }
        if (err != NOC_OK) {
            on_bad_frame(connection);
            return;
        }
        bytes += used;
        n -= used;
        if (event.kind == NOC_WS_EVENT_DATA) {
            noc_link_feed(&connection->link, event.at, event.n);
        } else if (event.kind == NOC_WS_EVENT_PING) {
            on_ping(connection, &event);
        } else if (event.kind == NOC_WS_EVENT_PONG) {
            ws->is_ping_out = false;
            noc_connection_start_pings(connection);
        } else if (event.kind == NOC_WS_EVENT_CLOSE) {
            on_close(connection, &event);
        }
    }
}

/* ---- upgrade ---- */

/* Of a header that anybody can send: what an address or a name may hold; the rest becomes '?'. */
static int plain_text(struct noc_slice value, char text[static CLAIM_MAX])
{
    size_t n = value.n < CLAIM_MAX ? value.n : CLAIM_MAX;

    for (size_t i = 0; i < n; i++) {
        bool is_plain = isalnum((unsigned char)value.at[i]) ||
                        (value.at[i] != '\0' && strchr(" ,.:;=[]_-\"", value.at[i]) != NULL);

        text[i] = is_plain ? value.at[i] : '?';
    }
    return (int)n;
}

/* Who the proxies in front say they speak for. It is a claim: whoever reaches us can make it. */
static void add_claims(const struct noc_ws_request *request, char text[static CLAIMS_MAX])
{
    char address[CLAIM_MAX], ray[CLAIM_MAX];
    int address_n = plain_text(request->forwarded_for, address);
    int ray_n = plain_text(request->ray, ray);

    (void)snprintf(text, CLAIMS_MAX, "%s%.*s%s%s%.*s%s", address_n > 0 ? ", forwarded for '" : "",
        address_n, address, address_n > 0 ? "'" : "", ray_n > 0 ? ", ray '" : "", ray_n, ray,
        ray_n > 0 ? "'" : "");
}

static void log_refusal(const struct noc_connection *connection,
    const struct noc_ws_request *request, const struct noc_ws_refusal *refusal)
{
    struct noc_log *log = noc_connection_worker(connection)->log;
    struct noc_slice from = connection->link.address;
    int port = connection->endpoint->config->port;
    char status[16] = "", claims[CLAIMS_MAX];

    if (refusal->status != 0) {
        (void)snprintf(status, sizeof status, "%u ", refusal->status);
    }
    if (request->method.n == 0) { /* it is no request of HTTP */
        noc_log(log, NOC_LOG_NOTICE, "WebSocket upgrade from %.*s:%u on port %d refused: %s%s: %s",
            NOC_SLICE_ARG(from), (unsigned)connection->link.port, port, status, refusal->word,
            refusal->line);
        return;
    }
    add_claims(request, claims);
    noc_log(log, NOC_LOG_NOTICE,
        "WebSocket upgrade from %.*s:%u on port %d refused: %s%s: %s "
        "(method '%.*s', path '%.*s', subprotocols '%.*s', user agent '%.*s'%s)",
        NOC_SLICE_ARG(from), (unsigned)connection->link.port, port, status, refusal->word,
        refusal->line, NOC_SLICE_ARG(request->method), NOC_SLICE_ARG(request->path),
        NOC_SLICE_ARG(request->protocols), NOC_SLICE_ARG(request->user_agent), claims);
}

/* With claims at notice: without them the log would know the proxy's address alone. */
static void log_upgrade(const struct noc_connection *connection,
    const struct noc_ws_request *request, struct noc_slice subprotocol)
{
    bool is_told = connection->link.shard->core->limits.connection_messages;
    char claims[CLAIMS_MAX];

    add_claims(request, claims);
    noc_log(noc_connection_worker(connection)->log,
        is_told && claims[0] != '\0' ? NOC_LOG_NOTICE : NOC_LOG_WEBSOCKETS,
        "WebSocket upgrade from %.*s:%u: path '%.*s', subprotocol '%.*s', user agent '%.*s'%s",
        NOC_SLICE_ARG(connection->link.address), (unsigned)connection->link.port,
        NOC_SLICE_ARG(request->path), NOC_SLICE_ARG(subprotocol),
        NOC_SLICE_ARG(request->user_agent), claims);
}

static void refuse_upgrade(struct noc_connection *connection, const struct noc_ws_request *request,
    const struct noc_ws_refusal *refusal)
{
    char answer[NOC_WS_REFUSAL_ROOM];
    size_t n = noc_ws_refusal_write(answer, sizeof answer, refusal);

    log_refusal(connection, request, refusal);
    connection->ws->is_answered = true;
    if (n > 0) {
        (void)noc_connection_send_raw(connection, answer, n);
    }
    noc_connection_fail(connection, NOC_END_PEER_CLOSED, NULL);
}

/* What has come of a request, as far as lines are whole: an end is put behind it. */
static void parse_what_is_here(struct noc_ws_state *ws, struct noc_ws_request *request)
{
    static const char end[] = "\r\n\r\n";
    const struct noc_ws_refusal *refusal;

    noc_ws_request_init(request);
    if (ws->waiting_room - ws->waiting_n >= sizeof end - 1) {
        memcpy(ws->waiting + ws->waiting_n, end, sizeof end - 1);
        (void)!noc_ws_request_parse(request, ws->waiting, ws->waiting_n + sizeof end - 1, &refusal);
    }
}

void noc_connection_answer_late(struct noc_connection *connection)
{
    const struct noc_ws_refusal *refusal = noc_ws_refusal(NOC_WS_REFUSE_TIMEOUT);
    struct noc_ws_request request;
    char answer[NOC_WS_REFUSAL_ROOM];

    if (connection->phase != NOC_PHASE_UPGRADE || connection->ws->waiting_n == 0 ||
        connection->ws->is_answered || connection->has_peer_gone) {
        return;
    }
    parse_what_is_here(connection->ws, &request);
    log_refusal(connection, &request, refusal);
    (void)noc_connection_send_raw(
        connection, answer, noc_ws_refusal_write(answer, sizeof answer, refusal));
}

/* Judge a whole request. True: upgraded. */
static bool upgrade(struct noc_connection *connection, const struct noc_ws_request *request)
{
    const struct noc_listener_config *config = connection->endpoint->config;
    const struct noc_ws_options options = {
        .path = noc_slice_of(config->websocket_path),
        .origins = connection->endpoint->origins,
        .origin_count = connection->endpoint->origin_count,
        .is_lenient = config->websocket_subprotocol == NOC_CONFIG_SUBPROTOCOL_LENIENT,
        .is_full = connection->is_over_limit,
    };
    struct noc_ws_decision decision;
    char accept[NOC_WS_ACCEPT_SIZE], answer[NOC_WS_ACCEPT_ROOM];
    size_t n;

    if (noc_ws_request_decide(request, &options, &decision) != NOC_OK) {
        refuse_upgrade(connection, request, decision.refusal);
        return false;
    }
    if (noc_ws_accept_compute(sha1, request->key, accept) != NOC_OK) {
        refuse_upgrade(connection, request, noc_ws_refusal(NOC_WS_REFUSE_INTERNAL));
        return false;
    }
    n = noc_ws_accept_write(answer, sizeof answer, accept, decision.subprotocol);
    if (!noc_connection_send_raw(connection, answer, n)) {
        noc_connection_fail(connection, NOC_END_ERROR, "the upgrade could not be answered");
        return false;
    }
    log_upgrade(connection, request, decision.subprotocol);
    noc_ws_decoder_init(&connection->ws->decoder, NOC_WS_SERVER, options.is_lenient);
    connection->ws->is_upgraded = true;
    connection->is_last_word = false;
    connection->phase = NOC_PHASE_OPEN;
    return true;
}

/* Bytes of the HTTP request: they wait until the head is whole. */
static void got_request(struct noc_connection *connection, const uint8_t *bytes, size_t n)
{
    struct noc_ws_state *ws = connection->ws;
    struct noc_ws_request request;
    const struct noc_ws_refusal *refusal = NULL;
    uint8_t *waiting;
    size_t all;
    int head;

    if (!wait_with(connection, bytes, n)) {
        return;
    }
    noc_ws_request_init(&request);
    head = noc_ws_request_parse(&request, ws->waiting, ws->waiting_n, &refusal);
    /* A head that stays half is told as a refusal, by noc_connection_answer_late(). */
    connection->link.is_told_by_glue = head == 0;
    if (head == 0) {
        return;
    }
    if (head < 0) {
        refuse_upgrade(connection, &request, refusal);
        return;
    }
    if (!upgrade(connection, &request)) {
        return;
    }
    /* What came behind the head belongs to the frames. */
    waiting = ws->waiting;
    all = ws->waiting_n;
    ws->waiting = NULL;
    ws->waiting_n = ws->waiting_room = 0;
    got_frames(connection, waiting + head, all - (size_t)head);
    free(waiting);
    noc_connection_start_pings(connection);
}

/* ---- first bytes ---- */

/* What a peer speaks instead of MQTT: named, and answered if it is HTTP. False: it has ended. */
static bool check_first_bytes(struct noc_connection *connection, const uint8_t *bytes, size_t n)
{
    static const struct noc_ws_refusal refusal = {400, "not-http",
        "This port speaks MQTT, not HTTP: a WebSocket client needs a listener with 'protocol "
        "websockets'.",
        ""};
    char answer[NOC_WS_REFUSAL_ROOM];
    struct noc_log *log = noc_connection_worker(connection)->log;
    enum noc_first_bytes kind = noc_first_bytes_kind(bytes, n);
    struct noc_slice from = connection->link.address;
    unsigned port = connection->link.port;

    switch (kind) {
    case NOC_FIRST_TLS_HELLO:
        noc_log(log, NOC_LOG_NOTICE,
            "Client from %.*s:%u appears to be using TLS to connect to a non-TLS listener.",
            NOC_SLICE_ARG(from), port);
        break;
    case NOC_FIRST_HTTP:
        noc_log(log, NOC_LOG_NOTICE,
            "Client from %.*s:%u sent an HTTP request to an MQTT listener (port %d): a WebSocket "
            "client needs a listener with 'protocol websockets'.",
            NOC_SLICE_ARG(from), port, connection->endpoint->config->port);
        (void)noc_connection_send_raw(
            connection, answer, noc_ws_refusal_write(answer, sizeof answer, &refusal));
        break;
    case NOC_FIRST_PROXY_V1:
    case NOC_FIRST_PROXY_V2:
        noc_log(log, NOC_LOG_NOTICE,
            "Client from %.*s:%u sent a PROXY protocol header to a listener (port %d) that does "
            "not "
            "expect one: turn it off in the proxy.",
            NOC_SLICE_ARG(from), port, connection->endpoint->config->port);
        break;
    case NOC_FIRST_UNKNOWN_YET:
    case NOC_FIRST_MQTT_CONNECT:
    case NOC_FIRST_OTHER:
        return true;
    }
    noc_connection_fail(connection, NOC_END_PEER_CLOSED, NULL);
    return false;
}

/* A TLS listener got something else: OpenSSL's error would not say what. False: it has ended. */
static bool check_before_tls(struct noc_connection *connection)
{
    static const struct noc_ws_refusal refusal = {400, "not-plain",
        "This port speaks TLS: use https://, wss:// or mqtts:// to reach it.", ""};
    char answer[NOC_WS_REFUSAL_ROOM];
    uint8_t bytes[NOC_FIRST_BYTES_MAX];
    ssize_t n = recv(connection->fd, bytes, sizeof bytes, MSG_PEEK);
    enum noc_first_bytes kind;

    if (n < 0) {
        return true;
    }
    if (n == 0) { /* a port check: nothing is logged */
        noc_connection_fail(connection, NOC_END_PEER_CLOSED, NULL);
        return false;
    }
    kind = noc_first_bytes_kind(bytes, (size_t)n);
    if (kind == NOC_FIRST_TLS_HELLO || kind == NOC_FIRST_UNKNOWN_YET || kind == NOC_FIRST_OTHER) {
        return true;
    }
    noc_log(noc_connection_worker(connection)->log, NOC_LOG_NOTICE,
        "Client from %.*s:%u sent %s to a TLS listener (port %d): let it use TLS, or another port.",
        NOC_SLICE_ARG(connection->link.address), (unsigned)connection->link.port,
        noc_first_bytes_text(kind), connection->endpoint->config->port);
    if (kind == NOC_FIRST_HTTP) {
        (void)send(connection->fd, answer, noc_ws_refusal_write(answer, sizeof answer, &refusal),
            MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    noc_connection_fail(connection, NOC_END_PEER_CLOSED, NULL);
    return false;
}

/* ---- reading ---- */

static void got(struct noc_connection *connection, uint8_t *bytes, size_t n)
{
    if (connection->phase == NOC_PHASE_UPGRADE) {
        got_request(connection, bytes, n);
    } else if (connection->ws != NULL) {
        got_frames(connection, bytes, n);
    } else if (connection->link.state != NOC_LINK_NEW || connection->link.partial_n > 0 ||
               check_first_bytes(connection, bytes, n)) {
        noc_link_feed(&connection->link, bytes, n);
    }
}

/* The handshake went on. False: it is not done, or failed. */
static bool shake_hands(struct noc_connection *connection)
{
    char text[200];
    int err;

    if (!connection->has_spoken && !check_before_tls(connection)) {
        return false;
    }
    noc_connection_announce(connection);
    err = noc_tls_handshake(connection->tls);
    if (err == NOC_EAGAIN) {
        noc_connection_update(connection);
        return false;
    }
    if (err == NOC_OK) {
        connection->phase = connection->ws != NULL ? NOC_PHASE_UPGRADE : NOC_PHASE_OPEN;
        noc_log(noc_connection_worker(connection)->log, NOC_LOG_DEBUG,
            "Client %.*s:%u negotiated %s cipher %s", NOC_SLICE_ARG(connection->link.address),
            (unsigned)connection->link.port, noc_tls_version(connection->tls),
            noc_tls_cipher(connection->tls));
        noc_connection_update(connection);
        return true;
    }
    if (err == NOC_EIO) {
        noc_log(noc_connection_worker(connection)->log, NOC_LOG_ERROR,
            "OpenSSL Error[0]: %s (TLS handshake with %.*s:%u)",
            noc_tls_error_text(connection->tls, text, sizeof text),
            NOC_SLICE_ARG(connection->link.address), (unsigned)connection->link.port);
    }
    noc_connection_fail(connection, NOC_END_PEER_CLOSED, NULL);
    return false;
}

/* Fill the scratch. Returns the bytes, 0 at the end, NOC_EAGAIN or NOC_EIO. */
static long fill(struct noc_connection *connection, uint8_t *scratch)
{
    size_t n = 0;
    ssize_t plain;

    if (connection->tls == NULL) {
        do {
            plain = recv(connection->fd, scratch, NOC_SCRATCH_BYTES, 0);
        } while (plain < 0 && errno == EINTR);
        if (plain >= 0) {
            return (long)plain;
        }
        return errno == EAGAIN || errno == EWOULDBLOCK ? NOC_EAGAIN : NOC_EIO;
    }
    /* Record by record, as long as some are here already. */
    do {
        int part = noc_tls_read(connection->tls, scratch + n, NOC_SCRATCH_BYTES - n);

        if (part <= 0) {
            if (n > 0 && part != NOC_EAGAIN) {
                noc_connection_again(connection); /* the end, or a failure: no event tells of it */
            }
            return n > 0 ? (long)n : part;
        }
        n += (size_t)part;
    } while (n < NOC_SCRATCH_BYTES && noc_tls_pending(connection->tls));
    return (long)n;
}

/* TLS may be unable to read before it has sent something (the answer to a KeyUpdate). */
static void wait_to_write(struct noc_connection *connection, bool is_stuck)
{
    bool waits = is_stuck && connection->tls != NULL && noc_tls_wants_write(connection->tls);

    if (waits != connection->waits_to_write) {
        connection->waits_to_write = waits;
        noc_connection_update(connection);
    }
}

void noc_connection_read(struct noc_connection *connection)
{
    struct noc_worker *worker = noc_connection_worker(connection);
    char text[200];
    long n;

    if (connection->phase == NOC_PHASE_TLS && !shake_hands(connection)) {
        return;
    }
    if (connection->phase == NOC_PHASE_OPEN && connection->ws != NULL &&
        connection->ws->waiting_n > 0) {
        noc_connection_again(connection); /* what came before comes first */
        return;
    }
    n = fill(connection, worker->scratch);
    wait_to_write(connection, n == NOC_EAGAIN);
    if (n > 0) {
        if (connection->tls != NULL && noc_tls_pending(connection->tls)) {
            noc_connection_again(connection);
        }
        noc_connection_announce(connection);
        got(connection, worker->scratch, (size_t)n);
    } else if (n == 0) {
        connection->has_peer_gone = true;
        noc_connection_fail(connection, NOC_END_PEER_CLOSED, NULL);
    } else if (n != NOC_EAGAIN) {
        (void)snprintf(text, sizeof text, "%s", strerror(errno));
        if (connection->tls != NULL) {
            (void)noc_tls_error_text(connection->tls, text, sizeof text);
        }
        noc_connection_fail(connection, NOC_END_ERROR, text);
    }
}

void noc_connection_read_waiting(struct noc_connection *connection)
{
    struct noc_ws_state *ws = connection->ws;
    uint8_t *waiting;
    size_t n;

    if (ws == NULL || connection->phase != NOC_PHASE_OPEN || !connection->is_reading) {
        return;
    }
    if (ws->is_cut) {
        noc_connection_fail(connection, NOC_END_MEMORY, NULL);
        return;
    }
    if (ws->waiting_n == 0) {
        return;
    }
    waiting = ws->waiting;
    n = ws->waiting_n;
    ws->waiting = NULL;
    ws->waiting_n = ws->waiting_room = 0;
    got_frames(connection, waiting, n);
    free(waiting);
}
