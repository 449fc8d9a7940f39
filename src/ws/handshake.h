/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_WS_HANDSHAKE_H
#define NOC_WS_HANDSHAKE_H
/*
 * The server's side of the WebSocket handshake (RFC 6455, 4.2):
 *
 *   bytes --noc_ws_request_parse--> request --noc_ws_request_decide--> accept or refusal
 *                                                   |                       |
 *                                        noc_ws_accept_write      noc_ws_refusal_write
 *
 * Everything is a slice into the bytes fed. Nobody is refused in silence: each
 * refusal has a status, a word for the log and one line that says what to do.
 * Pure functions without allocation; a request belongs to one thread.
 */

#include "ws/http.h"
#include "ws/key.h"
#include "ws/sniff.h"

#define NOC_WS_HEAD_MAX   16384u /* bytes of a request's head; more is answered 431 */
#define NOC_WS_FIELDS_MAX 200u   /* lines in it; more is answered 431 */

/* ---- refusals ---- */

#define NOC_WS_H_UPGRADE "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"

/* name, status (0: close without an answer), word, line, extra header lines */
#define NOC_WS_REFUSAL_MAP(X)                                                                      \
    X(NOC_WS_REFUSE_TLS, 0, "tls-hello",                                                           \
        "A TLS hello on a listener without TLS: use http:// or ws:// for this port, or give the "  \
        "listener a certificate.",                                                                 \
        "")                                                                                        \
    X(NOC_WS_REFUSE_MQTT, 0, "plain-mqtt",                                                         \
        "Plain MQTT on a WebSocket listener: use ws:// in the client, or a port with protocol "    \
        "mqtt.",                                                                                   \
        "")                                                                                        \
    X(NOC_WS_REFUSE_PROXY, 400, "proxy-header",                                                    \
        "A PROXY protocol header where none is expected: enable it for this listener, or turn it " \
        "off in the proxy.",                                                                       \
        "")                                                                                        \
    X(NOC_WS_REFUSE_NOT_HTTP, 400, "not-http", "This is not an HTTP/1.1 request.", "")             \
    X(NOC_WS_REFUSE_MALFORMED, 400, "malformed", "The head of the request is malformed.", "")      \
    X(NOC_WS_REFUSE_HEAD_LONG, 431, "head-too-long",                                               \
        "The head of the request is longer than 16384 bytes.", "")                                 \
    X(NOC_WS_REFUSE_FIELDS, 431, "too-many-headers",                                               \
        "The request has more than 200 header lines.", "")                                         \
    X(NOC_WS_REFUSE_TIMEOUT, 408, "head-timeout",                                                  \
        "The head of the request did not arrive in time.", "")                                     \
    X(NOC_WS_REFUSE_HOST, 400, "bad-host", "Exactly one Host header is needed.", "")               \
    X(NOC_WS_REFUSE_HTTP_VERSION, 505, "http-version",                                             \
        "WebSocket needs HTTP/1.1 here: do not offer HTTP/2 to this port.", "")                    \
    X(NOC_WS_REFUSE_METHOD, 405, "method",                                                         \
        "Only GET with a WebSocket upgrade is served on this port.", "Allow: GET\r\n")             \
    X(NOC_WS_REFUSE_PLAIN, 426, "not-an-upgrade",                                                  \
        "This is an MQTT broker's WebSocket port: connect with an MQTT client over ws:// or "      \
        "wss://.",                                                                                 \
        NOC_WS_H_UPGRADE)                                                                          \
    X(NOC_WS_REFUSE_STRIPPED, 426, "upgrade-stripped",                                             \
        "A proxy removed the Upgrade header: let it pass Upgrade and Connection (nginx: "          \
        "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header "        \
        "Connection \"upgrade\";).",                                                               \
        NOC_WS_H_UPGRADE)                                                                          \
    X(NOC_WS_REFUSE_CONNECTION, 426, "connection-not-upgrade",                                     \
        "The Connection header does not say Upgrade: let the proxy set it (nginx: "                \
        "proxy_set_header Connection \"upgrade\";).",                                              \
        NOC_WS_H_UPGRADE)                                                                          \
    X(NOC_WS_REFUSE_HTTP_1_0, 426, "http-1.0",                                                     \
        "HTTP/1.0 cannot be upgraded: let the proxy speak HTTP/1.1 (nginx: proxy_http_version "    \
        "1.1;).",                                                                                  \
        NOC_WS_H_UPGRADE)                                                                          \
    X(NOC_WS_REFUSE_BODY, 400, "request-body", "An upgrade request must not have a body.", "")     \
    X(NOC_WS_REFUSE_WS_VERSION, 426, "websocket-version",                                          \
        "Only version 13 of the WebSocket protocol is spoken here.", NOC_WS_H_UPGRADE)             \
    X(NOC_WS_REFUSE_KEY, 400, "bad-key",                                                           \
        "Sec-WebSocket-Key must be there once and be the base64 of 16 bytes.", "")                 \
    X(NOC_WS_REFUSE_PATH, 404, "path", "WebSocket is not served at this path.", "")                \
    X(NOC_WS_REFUSE_ORIGIN, 403, "origin", "Web pages of this origin may not connect.", "")        \
    X(NOC_WS_REFUSE_NO_SUBPROTOCOL, 400, "no-subprotocol",                                         \
        "The client offers no WebSocket subprotocol: it must ask for mqtt.", "")                   \
    X(NOC_WS_REFUSE_SUBPROTOCOL, 400, "unknown-subprotocol",                                       \
        "The client offers no WebSocket subprotocol known here: it must ask for mqtt.", "")        \
    X(NOC_WS_REFUSE_FULL, 503, "at-limit", "The broker takes no more connections now.",            \
        "Retry-After: 10\r\n")                                                                     \
    X(NOC_WS_REFUSE_INTERNAL, 500, "internal", "The broker could not answer this request.", "")

enum noc_ws_refusal_kind {
#define NOC_WS_REFUSAL_ENUM(name, status, word, line, headers) name,
    NOC_WS_REFUSAL_MAP(NOC_WS_REFUSAL_ENUM)
#undef NOC_WS_REFUSAL_ENUM
        NOC_WS_REFUSALS,
};

/* All texts are static. */
struct noc_ws_refusal {
    unsigned status;     /* of HTTP; 0: the peer speaks no HTTP, close without an answer */
    const char *word;    /* for logs and counters: lower case and hyphens */
    const char *line;    /* what is wrong and what to do, for a person */
    const char *headers; /* extra header lines, each with its CRLF; "" if none */
};

/* Never NULL; lives for ever. */
const struct noc_ws_refusal *noc_ws_refusal(enum noc_ws_refusal_kind kind);

/* ---- the request ---- */

/* All slices point into the bytes parsed and live as long as those stay where they are. */
struct noc_ws_request {
    size_t scanned;            /* between calls: bytes already looked at */
    enum noc_first_bytes kind; /* what the first bytes are */

    struct noc_slice method;
    struct noc_slice target; /* as sent */
    struct noc_slice path;   /* of the target: no scheme and host, no query */
    unsigned version;        /* major * 10 + minor: 11 for HTTP/1.1 */

    struct noc_slice lines; /* all header lines, each with its CRLF: for noc_ws_request_header() */
    struct noc_slice host;
    struct noc_slice key;           /* Sec-WebSocket-Key */
    struct noc_slice ws_version;    /* Sec-WebSocket-Version */
    struct noc_slice protocols;     /* the first Sec-WebSocket-Protocol line, for the log */
    struct noc_slice origin;        /* Origin; absent if the peer is no browser */
    struct noc_slice user_agent;    /* User-Agent */
    struct noc_slice forwarded_for; /* the last X-Forwarded-For line: the nearest proxy's */
    struct noc_slice ray;           /* Cf-Ray: Cloudflare's name for the request */
    unsigned host_count;            /* how often these headers came */
    unsigned key_count;
    unsigned ws_version_count;
    bool has_upgrade;            /* Upgrade names websocket */
    bool has_connection_upgrade; /* Connection names upgrade */
    bool has_body;               /* Content-Length other than 0, or Transfer-Encoding */
};

/* An empty request; a zeroed one is the same. */
void noc_ws_request_init(struct noc_ws_request *request);

/*
 * Parse the head at the start of bytes[0..n), the very first bytes of the
 * connection (after TLS and a PROXY header that was expected).
 *
 * Returns the bytes of the head when it is complete: what follows them belongs
 * to the frames. 0 when more is needed: call again with the same bytes and
 * more (they may have moved). Or an error, which is final: NOC_EMALFORMED,
 * NOC_ETOOLARGE, or NOC_EPROTO if the peer does not speak HTTP (see
 * request->kind); then *ret_refusal says how to answer and what to log.
 * Whether the request is one that can be served is not judged here. To parse
 * a complete head once more (its bytes moved), init the request again.
 */
NOC_MUST_CHECK int noc_ws_request_parse(struct noc_ws_request *request, const uint8_t *bytes,
    size_t n, const struct noc_ws_refusal **ret_refusal);

/*
 * The value of any header by name (in any case): *iter is 0 for its first
 * line, and moves on with each call. Absent (at == NULL) if there is none.
 */
struct noc_slice noc_ws_request_header(
    const struct noc_ws_request *request, const char *name, size_t *iter);

/* ---- the decision ---- */

/* What a listener allows. Zero: any path, any origin, a known subprotocol compulsory. */
struct noc_ws_options {
    struct noc_slice path;           /* the only path served; absent or empty: any */
    const struct noc_slice *origins; /* allowed for those who send Origin; any if none is named */
    size_t origin_count;
    bool is_lenient; /* accept also who offers no subprotocol, or none that we know */
    bool is_full;    /* a limit is reached: 503 */
};

struct noc_ws_decision {
    const struct noc_ws_refusal *refusal; /* NULL if accepted */
    struct noc_slice subprotocol;         /* chosen, static text; absent: echo none */
};

/*
 * Judge a parsed request. NOC_OK if it is to be accepted, else NOC_EDENIED;
 * *ret_decision is written in both cases. `mqtt` is preferred to `mqttv3.1`
 * whatever the client's order [MQTT-6.0.0-3], [MQTT-6.0.0-4].
 */
NOC_MUST_CHECK int noc_ws_request_decide(const struct noc_ws_request *request,
    const struct noc_ws_options *options, struct noc_ws_decision *ret_decision);

/* ---- the answers ---- */

#define NOC_WS_ACCEPT_ROOM  256u /* always enough for the 101 answer with our own subprotocols */
#define NOC_WS_REFUSAL_ROOM 768u /* always enough for a refusal */

/*
 * Write the 101 answer to at[0..room): the four header lines that Mosquitto
 * writes, in its order, and nothing else; the last one only if subprotocol is
 * present. Returns the bytes, or 0 if they do not fit.
 */
size_t noc_ws_accept_write(
    char *at, size_t room, const char accept[NOC_WS_ACCEPT_SIZE], struct noc_slice subprotocol);

/*
 * Write the whole answer of a refusal; the connection is to be closed behind
 * it. Returns the bytes, or 0 if they do not fit or the status is 0.
 */
size_t noc_ws_refusal_write(char *at, size_t room, const struct noc_ws_refusal *refusal);

#endif
