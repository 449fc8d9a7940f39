/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_WS_CLIENT_H
#define NOC_WS_CLIENT_H
/*
 * WebSocket for a client (RFC 6455), made for firmware: small code, a few bytes
 * of state, all work done in the caller's two buffers.
 *
 *   key ──noc_ws_ask()──► request        lines of the answer ──noc_ws_answer_read()──► a verdict
 *
 *   what was read:   [ MQTT bytes | frames ]  ──noc_ws_read()──►  [ MQTT bytes ......| begun frame ]
 *   what is written: [ room for a head | MQTT bytes ]  ──noc_ws_seal()──►  [ one masked frame ]
 *
 * Freestanding C11: no allocation, no system. An object belongs to one thread
 * and has no pointers.
 */

#include <noctule/client.h>

#include "base/macros.h"
#include "ws/frame.h"
#include "ws/key.h"

/* ---- the handshake ---- */

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
    uint8_t key[NOC_WS_KEY_BYTES]; /* random; the caller's to fill in, then left alone */
    uint16_t status;               /* of HTTP; 0 before the first line */
    uint16_t retry_after_s;        /* of Retry-After, if it is in seconds; 0: none */
    uint8_t kind;                  /* enum noc_ws_answer_kind, set with the blank line */
    uint8_t seen;                  /* bits of client.c */
};

/*
 * Write the request for answer->key to at[0..room), and get answer ready for
 * what comes back. Returns its bytes, NOC_ETOOLARGE if it does not fit, or
 * NOC_EINVAL: no host, a blank or line end where none may be, a path that does
 * not begin with '/', headers that do not end a line. An absent subprotocol is "mqtt".
 */
NOC_MUST_CHECK int noc_ws_ask(struct noc_ws_answer *answer,
    const struct noc_client_websocket *options, uint8_t *at, size_t room);

/*
 * May these lines go into a request (options->headers)? Each is "Name: value\r\n",
 * and none is one that noc_ws_ask() writes, or tells of a body. For what people
 * type; noc_ws_ask() itself looks at the end of the last line only.
 */
bool noc_ws_headers_are_sound(struct noc_slice lines);

/*
 * Read all whole lines of the answer that stand at the start of bytes[0..n), and
 * call options->on_header for each header. Returns their bytes (drop them; 0: no
 * whole line is here), or NOC_EMALFORMED: this is no HTTP. When answer->kind is
 * set the head is over, and what follows are frames, or the body of a refusal.
 *
 * is_full: the buffer can take no more. A line that does not fit is then read as
 * far as it goes, and its rest passed over. What may be kept of answer->kind
 * must be taken before the object is used for anything else.
 */
NOC_MUST_CHECK int noc_ws_answer_read(struct noc_ws_answer *answer,
    const struct noc_client_websocket *options, void *context, const uint8_t *bytes, size_t n,
    bool is_full);

/* ---- frames from the server ---- */

/* All zero at the start. */
struct noc_ws_reader {
    uint32_t left; /* payload of this data frame that is still to come */
    uint16_t code; /* close code: the peer's, or the one to send after NOC_EPROTO */
    uint8_t drop;  /* bytes of the control frame that was given out last */
    uint8_t state; /* bits of client.c */
};

/* Bytes that bytes[*plain_n..*n) can hold after noc_ws_read() asked for more: one less. */
#define NOC_WS_BEGUN_MAX 127u

/*
 * Decode in place: bytes[0..*plain_n) is what was decoded before (perhaps
 * partly taken away since), bytes[*plain_n..*n) what was read. Payload is moved
 * down to follow the plain bytes, heads vanish; both counts are changed.
 *
 * Returns 0: all is decoded, but for a begun head or control frame that stays in
 * bytes[*plain_n..*n). Or an opcode: NOC_WS_PING (to be answered with a
 * pong of the same payload), NOC_WS_PONG, NOC_WS_CLOSE (reader->code is the peer's
 * or NOC_WS_CLOSE_NO_CODE; the payload is the reason, not checked to be text);
 * call again for what follows. *ret_payload points into bytes and lives until
 * anything happens to them. Or NOC_EPROTO: the server broke a rule, close with
 * reader->code. Or NOC_ECLOSED: nothing may follow a close frame. Both also on
 * every later call; plain bytes in front of the fault are good.
 *
 * A frame of 4 GiB or more is NOC_EPROTO with code NOC_WS_CLOSE_TOO_BIG.
 */
NOC_MUST_CHECK int noc_ws_read(struct noc_ws_reader *reader, uint8_t *bytes, size_t *plain_n,
    size_t *n, struct noc_slice *ret_payload);

/* ---- frames to the server ---- */

#define NOC_WS_SEAL_ROOM 8u     /* bytes to keep free in front of a payload */
#define NOC_WS_SEAL_MAX  65535u /* longest payload of a frame */

/*
 * Make payload[0..n), at most NOC_WS_SEAL_MAX bytes, a masked frame where it lies: mask it,
 * and write the head right in front of it. Returns the bytes of the head (6 or 8):
 * the frame begins at payload minus those. mask: 32 bits that nobody can foretell.
 */
size_t noc_ws_seal(uint8_t *payload, size_t n, enum noc_ws_opcode opcode, uint32_t mask);

/*
 * Write a control frame of 6 + payload.n bytes to at (payload.n <= NOC_WS_CONTROL_MAX) and
 * return them. The payload of a close is its code, two bytes, or nothing.
 */
size_t noc_ws_control_write(
    uint8_t *at, enum noc_ws_opcode opcode, struct noc_slice payload, uint32_t mask);

#endif
