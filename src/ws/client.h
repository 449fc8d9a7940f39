/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_WS_CLIENT_H
#define NOC_WS_CLIENT_H
/*
 * The client's side of the WebSocket handshake (RFC 6455, 4.1): write the
 * request, read the answer. Freestanding C11: no allocation, no system. An
 * answer can be read whole, or line by line through a buffer that holds only
 * its longest line. An object belongs to one thread.
 */

#include "ws/http.h"
#include "ws/key.h"

/* What to ask for. The slices need to live during the call only. */
struct noc_ws_ask {
    struct noc_slice host;           /* Host: name or address, with the port if not the usual one */
    struct noc_slice path;           /* path and query; absent or empty: "/" */
    struct noc_slice key;            /* the 24 characters of noc_ws_key_write() */
    struct noc_slice subprotocol;    /* list as it goes on the wire, "mqtt"; absent: none */
    struct noc_slice user_agent;     /* absent: none */
    const struct noc_slice *headers; /* extra lines "Name: value", without line ends */
    size_t header_count;
};

/*
 * Write the request to at[0..room). Returns its bytes, NOC_ETOOLARGE if it
 * does not fit, or NOC_EINVAL: a text with line ends or blanks where none may
 * be, a bad key, an extra header that is malformed or one of those written here.
 */
NOC_MUST_CHECK int noc_ws_ask_write(char *at, size_t room, const struct noc_ws_ask *ask);

/* Why an answer is no WebSocket to speak MQTT on; zero: not judged yet. */
#define NOC_WS_ANSWER_MAP(X)                                                              \
    X(NOC_WS_ANSWER_PENDING, "the answer is not complete")                                \
    X(NOC_WS_ANSWER_GOOD, "the WebSocket is open")                                        \
    X(NOC_WS_ANSWER_STATUS, "the server refused the WebSocket")                           \
    X(NOC_WS_ANSWER_UPGRADE, "the answer does not upgrade to websocket")                  \
    X(NOC_WS_ANSWER_ACCEPT, "the answer does not belong to our key")                      \
    X(NOC_WS_ANSWER_EXTENSION, "the server uses an extension that was not asked for")     \
    X(NOC_WS_ANSWER_SUBPROTOCOL, "the server chose a subprotocol that was not asked for") \
    X(NOC_WS_ANSWER_NO_SUBPROTOCOL, "the server chose no subprotocol: probably no MQTT broker")

enum noc_ws_answer_kind {
#define NOC_WS_ANSWER_ENUM(name, text) name,
    NOC_WS_ANSWER_MAP(NOC_WS_ANSWER_ENUM)
#undef NOC_WS_ANSWER_ENUM
};

/* The text above; static, never NULL. */
const char *noc_ws_answer_text(enum noc_ws_answer_kind kind);

struct noc_ws_answer {
    /* Given at init. */
    char accept[NOC_WS_ACCEPT_SIZE]; /* what Sec-WebSocket-Accept must be */
    struct noc_slice asked;          /* the subprotocols asked for; borrowed */

    /* Result. */
    enum noc_ws_answer_kind kind; /* set with the blank line */
    unsigned status;              /* of HTTP; 0 before the first line */
    struct noc_slice lines;       /* all header lines, by noc_ws_answer_parse() only */

    /* Between calls. */
    size_t scanned;
    bool has_upgrade, has_connection_upgrade, has_extension;
    uint8_t accept_count, accept_good_count;
    uint8_t subprotocol_count, subprotocol_good_count;
    bool is_broken;
};

/*
 * Get ready for the answer to a request with that key. asked is borrowed until
 * the answer is complete. NOC_OK, NOC_EINVAL (bad key) or what sha1 returned.
 */
NOC_MUST_CHECK int noc_ws_answer_init(struct noc_ws_answer *answer, noc_ws_sha1_fn sha1,
    struct noc_slice key, struct noc_slice asked);

/*
 * Read the whole head at the start of bytes[0..n). Returns its bytes, what
 * follows belongs to the frames (or is the body of a refusal); 0 when more is
 * needed: call again with the same bytes and more; or NOC_EMALFORMED. Then
 * answer->kind tells what came. The limit of length is the caller's.
 */
NOC_MUST_CHECK int noc_ws_answer_parse(
    struct noc_ws_answer *answer, const uint8_t *bytes, size_t n);

/*
 * The same for small buffers: read one line at the start of bytes[0..n).
 * Returns its bytes (drop them after looking at the field), 0 when the line is
 * not all here, or NOC_EMALFORMED. *ret_field is the header it was; absent for
 * the first line and for the blank one, with which answer->kind is set. Use
 * either this or noc_ws_answer_parse() on one answer.
 */
NOC_MUST_CHECK int noc_ws_answer_line(
    struct noc_ws_answer *answer, const uint8_t *bytes, size_t n, struct noc_http_field *ret_field);

/* Any header after noc_ws_answer_parse(), as noc_ws_request_header() does. */
struct noc_slice noc_ws_answer_header(
    const struct noc_ws_answer *answer, const char *name, size_t *iter);

#endif
