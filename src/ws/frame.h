/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_WS_FRAME_H
#define NOC_WS_FRAME_H
/*
 * WebSocket frames (RFC 6455, 5), both sides, without extensions.
 *
 * The decoder is fed spans of received bytes. Payload is unmasked in place and
 * given out at once as spans of those same bytes, however little of a frame is
 * there: a frame of any length needs no memory. Where a message or a frame
 * ends is not told, because MQTT does not care [MQTT-6.0.0-2]. Only the head
 * of a frame and the payload of a control frame (at most 125 bytes) are kept
 * over calls, in the decoder itself.
 *
 *     while (n > 0 && err == NOC_OK) {
 *         err = noc_ws_decode(&decoder, bytes, n, &used, &event);
 *         ... event ...
 *         bytes += used, n -= used;
 *     }
 *
 * Freestanding C11, no allocation. A decoder belongs to one thread and may be
 * copied or moved as it is.
 */

#include "base/macros.h"
#include <noctule/error.h>
#include <noctule/slice.h>

enum noc_ws_opcode {
    NOC_WS_CONTINUATION = 0,
    NOC_WS_TEXT = 1,
    NOC_WS_BINARY = 2,
    NOC_WS_CLOSE = 8,
    NOC_WS_PING = 9,
    NOC_WS_PONG = 10,
};

#define NOC_WS_CONTROL_MAX    125u /* payload of a control frame */
#define NOC_WS_REASON_MAX     123u /* text in a close frame */
#define NOC_WS_FRAME_HEAD_MAX 14u  /* the longest head of a frame */
#define NOC_WS_CONTROL_ROOM   131u /* the longest control frame, head and all */

/* Close codes (RFC 6455, 7.4.1) that we send or that callers look at. */
#define NOC_WS_CLOSE_NORMAL      1000u
#define NOC_WS_CLOSE_GOING_AWAY  1001u
#define NOC_WS_CLOSE_PROTOCOL    1002u
#define NOC_WS_CLOSE_UNSUPPORTED 1003u
#define NOC_WS_CLOSE_NO_CODE     1005u /* the peer's close frame named none; never sent */
#define NOC_WS_CLOSE_BAD_DATA    1007u
#define NOC_WS_CLOSE_POLICY      1008u
#define NOC_WS_CLOSE_TOO_BIG     1009u
#define NOC_WS_CLOSE_INTERNAL    1011u

/* name, close code, text for the log */
#define NOC_WS_FAULT_MAP(X)                                                             \
    X(NOC_WS_FAULT_NONE, 0, "no fault")                                                 \
    X(NOC_WS_FAULT_RSV, 1002, "reserved bit set in a frame")                            \
    X(NOC_WS_FAULT_OPCODE, 1002, "reserved opcode")                                     \
    X(NOC_WS_FAULT_UNMASKED, 1002, "unmasked frame from a client")                      \
    X(NOC_WS_FAULT_MASKED, 1002, "masked frame from a server")                          \
    X(NOC_WS_FAULT_LENGTH, 1002, "frame length not in its shortest form, or too large") \
    X(NOC_WS_FAULT_CONTROL_LONG, 1002, "control frame of more than 125 bytes")          \
    X(NOC_WS_FAULT_CONTROL_PART, 1002, "fragmented control frame")                      \
    X(NOC_WS_FAULT_CONTINUATION, 1002, "continuation frame without a start")            \
    X(NOC_WS_FAULT_INTERLEAVED, 1002, "new message inside a fragmented one")            \
    X(NOC_WS_FAULT_TEXT, 1003, "text frame: MQTT needs binary ones")                    \
    X(NOC_WS_FAULT_CLOSE_LENGTH, 1002, "close frame of one byte")                       \
    X(NOC_WS_FAULT_CLOSE_CODE, 1002, "close code that may not be sent")                 \
    X(NOC_WS_FAULT_CLOSE_REASON, 1007, "close reason is not UTF-8")

enum noc_ws_fault {
#define NOC_WS_FAULT_ENUM(name, code, text) name,
    NOC_WS_FAULT_MAP(NOC_WS_FAULT_ENUM)
#undef NOC_WS_FAULT_ENUM
};

enum noc_ws_event_kind {
    NOC_WS_EVENT_NONE = 0, /* all consumed, nothing to tell */
    NOC_WS_EVENT_DATA,     /* payload of a binary (or tolerated text) message */
    NOC_WS_EVENT_PING,     /* to be answered with the same payload */
    NOC_WS_EVENT_PONG,
    NOC_WS_EVENT_CLOSE, /* the last event; to be answered, then closed */
};

struct noc_ws_event {
    enum noc_ws_event_kind kind;
    uint8_t *at;   /* data: in the fed bytes; ping, pong, close reason: in the decoder,
                      valid until the next call on it */
    size_t n;      /* bytes there; never 0 for data */
    unsigned code; /* close only: the peer's code, or NOC_WS_CLOSE_NO_CODE */
};

/* Who is decoding. */
enum noc_ws_side {
    NOC_WS_SERVER = 0, /* wants every frame masked */
    NOC_WS_CLIENT = 1, /* wants none masked */
};

struct noc_ws_decoder {
    uint64_t left;                    /* payload bytes of this frame still to come */
    uint8_t mask[4];                  /* turned so that mask[0] is for the next byte */
    uint8_t held[NOC_WS_CONTROL_MAX]; /* the begun head, then a control frame's payload */
    uint8_t held_n;                   /* bytes in it */
    uint8_t state;                    /* of the machine in frame.c */
    uint8_t opcode;                   /* of this frame */
    uint8_t fault;                    /* enum noc_ws_fault, once broken */
    bool in_message;                  /* a fragmented message is open */
    bool is_client;                   /* the side */
    bool is_lenient;                  /* take text as if it were binary, unchecked */
};

void noc_ws_decoder_init(struct noc_ws_decoder *decoder, enum noc_ws_side side, bool is_lenient);

/*
 * Decode up to the next event. Returns NOC_OK: *ret_consumed bytes are used up
 * and *ret_event tells what was found; kind NONE means that all n bytes are
 * used up and nothing is due. NOC_EPROTO: the peer broke a rule, also on every
 * later call; close with noc_ws_decoder_close_code(). NOC_ECLOSED: a close
 * frame had come, nothing may follow it. On an error nothing is written, and
 * the bytes are of no more use.
 */
NOC_MUST_CHECK int noc_ws_decode(struct noc_ws_decoder *decoder, uint8_t *bytes, size_t n,
    size_t *ret_consumed, struct noc_ws_event *ret_event);

/* The close code to send after NOC_EPROTO (0 if nothing is wrong), and its cause for the log. */
unsigned noc_ws_decoder_close_code(const struct noc_ws_decoder *decoder);
const char *noc_ws_decoder_fault_text(const struct noc_ws_decoder *decoder);

/* May a close frame carry this code (RFC 6455, 7.4; the registry up to 1014)? */
bool noc_ws_close_code_is_valid(unsigned code);

/* ---- encoding ---- */

/* Bytes of the head of a frame: 2 to 14. */
static inline size_t noc_ws_frame_head_size(uint64_t payload_n, bool is_masked)
{
    return (payload_n < 126 ? 2u : payload_n < 65536 ? 4u : 10u) + (is_masked ? 4u : 0u);
}

/*
 * Write the head of a frame to at (room for NOC_WS_FRAME_HEAD_MAX bytes) and
 * return its bytes. mask is NULL on the server's side; else the payload behind
 * it must go through noc_ws_mask() with the same four random bytes.
 */
size_t noc_ws_frame_head(uint8_t *at, enum noc_ws_opcode opcode, bool is_last, uint64_t payload_n,
    const uint8_t mask[4]);

/* Mask, or unmask, bytes in place. offset: how many bytes of the payload came before these. */
void noc_ws_mask(uint8_t *bytes, size_t n, const uint8_t mask[4], uint64_t offset);

/*
 * Write a whole control frame to at (room for NOC_WS_CONTROL_ROOM bytes) and
 * return its bytes; mask as above. Ping and pong: 0 if the payload is longer
 * than NOC_WS_CONTROL_MAX. Close: a code that may not be sent (NO_CODE, 0)
 * gives an empty payload; a reason too long is cut between two characters.
 */
size_t noc_ws_ping_write(uint8_t *at, struct noc_slice payload, const uint8_t mask[4]);
size_t noc_ws_pong_write(uint8_t *at, struct noc_slice payload, const uint8_t mask[4]);
size_t noc_ws_close_write(
    uint8_t *at, unsigned code, struct noc_slice reason, const uint8_t mask[4]);

#endif
