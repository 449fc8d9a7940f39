/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_WS_CLIENT_H
#define NOC_WS_CLIENT_H
/*
 * WebSocket for a client (RFC 6455), made for firmware: small code, a few bytes
 * of state, all work done in the caller's two buffers.
 *
 *   key ──noc_ws_ask()──► request        line by line of the answer ──noc_ws_answer_read()──► a verdict
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

/* What an answer is; zero: not judged yet. */
#define NOC_WS_ANSWER_MAP(X)                                                                    \
    X(NOC_WS_ANSWER_PENDING, "the answer is not complete")                                      \
    X(NOC_WS_ANSWER_STATUS, "the server refused the WebSocket")                                 \
    X(NOC_WS_ANSWER_UPGRADE, "the answer does not upgrade to websocket")                        \
    X(NOC_WS_ANSWER_CONNECTION, "the answer does not upgrade the connection")                   \
    X(NOC_WS_ANSWER_ACCEPT, "the answer does not belong to our key")                            \
    X(NOC_WS_ANSWER_EXTENSION, "the server uses an extension that was not asked for")           \
    X(NOC_WS_ANSWER_SUBPROTOCOL, "the server chose a subprotocol that was not asked for")       \
    X(NOC_WS_ANSWER_NO_SUBPROTOCOL, "the server chose no subprotocol: probably no MQTT broker") \
    X(NOC_WS_ANSWER_GOOD, "the WebSocket is open")

enum noc_ws_answer_kind {
#define NOC_WS_ANSWER_ENUM(name, text) name,
    NOC_WS_ANSWER_MAP(NOC_WS_ANSWER_ENUM)
#undef NOC_WS_ANSWER_ENUM
};

/* The text above; static, never NULL. */
const char *noc_ws_answer_text(enum noc_ws_answer_kind kind);

enum { NOC_WS_KEY_WORDS = NOC_WS_KEY_BYTES / 4 };

/* All zero at the start, but for the key. */
struct noc_ws_answer {
    union {
        uint32_t key[NOC_WS_KEY_WORDS + 1]; /* random, all but the last; the caller's to fill in */
        char accept[NOC_WS_ACCEPT_SIZE];    /* from noc_ws_ask() on: what must answer it */
    };
    uint32_t status;        /* of HTTP, or 65535; 0 before the first line */
    uint32_t retry_after_s; /* of Retry-After in seconds, at most 65535; 0: none */
    uint32_t kind;          /* enum noc_ws_answer_kind, set with the blank line */
    uint32_t faults;        /* bits of client.c */
};

/*
 * Write the request for answer->key to at[0..room), and put what must answer it in the
 * key's place. Returns its bytes, NOC_ETOOLARGE if it does not fit, or
 * NOC_EINVAL for a control character where none may be. The caller sees to it
 * that there is a host, that a path begins with '/', and that headers are sound.
 */
NOC_MUST_CHECK int noc_ws_ask(struct noc_ws_answer *answer,
    const struct noc_client_websocket *options, uint8_t *at, size_t room);

/*
 * May these lines go into a request (options->headers)? Each is "Name: value\r\n",
 * and none is one that noc_ws_ask() writes, or tells of a body.
 */
bool noc_ws_headers_are_sound(struct noc_slice lines);

/*
 * Read the line of the answer that stands at the start of bytes[0..n), and call
 * options->on_header if it is a header. Returns its bytes (drop them, and call again; 0: it
 * is not all here), or NOC_EMALFORMED: this is no HTTP, give it up. When
 * answer->kind is set the head is over, and what follows are frames, or the body
 * of a refusal. Lenient, as RFC 9112 (2.2) has it: what is no header is passed
 * over, a line may end without CR. Answers of 1xx but 101 are passed over, too.
 *
 * is_full: they fill the buffer, of 64 bytes or more. A line that does not fit is then
 * read as far as it goes, and its rest passed over.
 */
NOC_MUST_CHECK int noc_ws_answer_read(struct noc_ws_answer *answer,
    const struct noc_client_websocket *options, void *context, const uint8_t *bytes, size_t n,
    bool is_full);

/* ---- frames from the server ---- */

/* All zero at the start. Words, because those make the smallest code. */
struct noc_ws_reader {
    uint32_t left;       /* payload of this frame of data that is still to come */
    uint32_t in_message; /* a fragmented message is open: NOC_WS_BINARY */
    uint32_t done;       /* the caller's: bytes behind the plain ones that are to be dropped */
    uint32_t held;       /* bytes of the control frame behind the plain ones, with its head */
    uint32_t code;       /* close code: the peer's, or the one to send after NOC_EPROTO */
    int32_t event;       /* what noc_ws_read() returned */
};

enum { NOC_WS_HELD_HEAD = 2 }; /* of noc_ws_reader.held */

/*
 * Decode in place: bytes[0..*plain_n) is what was decoded before (perhaps partly
 * taken away since, with both counts), bytes[*plain_n..*n) what was left then,
 * and what was read. Payload is moved down to follow the plain bytes, heads
 * vanish; both counts are changed.
 *
 * Returns 0: all is decoded. What is left in bytes[*plain_n..*n) is a begun head or
 * control frame, at most 126 bytes. Or the opcode of a control frame:
 * NOC_WS_PING (to be answered with a pong of the same payload), NOC_WS_PONG or
 * NOC_WS_CLOSE (nothing may follow it; reader->code is the peer's or NOC_WS_CLOSE_NO_CODE, not
 * judged). It lies at bytes[*plain_n..*plain_n + reader->held), is told again by each call,
 * and is over with the next one after reader->done = reader->held. Or NOC_EPROTO: the server
 * broke a rule, close with reader->code; also told again. Plain bytes in front are good.
 *
 * A frame of 4 GiB or more is NOC_EPROTO with code NOC_WS_CLOSE_TOO_BIG. A length
 * in a longer form than need be is taken.
 */
NOC_MUST_CHECK int noc_ws_read(
    struct noc_ws_reader *reader, uint8_t *bytes, uint32_t *plain_n, uint32_t *n);

/* ---- frames to the server ---- */

#define NOC_WS_SEAL_ROOM 8u     /* bytes to keep free in front of a payload */
#define NOC_WS_SEAL_MAX  65535u /* longest payload of a frame */

/*
 * Make payload[0..n), at most NOC_WS_SEAL_MAX bytes, a masked frame where it lies: mask it,
 * and write the head right in front of it. Returns the bytes of the head (6 or 8):
 * the frame begins at payload minus those. mask: 32 bits that nobody can foretell.
 */
size_t noc_ws_seal(uint8_t *payload, size_t n, enum noc_ws_opcode opcode, uint32_t mask);

#endif
