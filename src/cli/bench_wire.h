/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CLI_BENCH_WIRE_H
#define NOC_CLI_BENCH_WIRE_H
/*
 * What the load generator computes without any system call: its packets, the
 * client's side of WebSocket frames, latency histograms and the book of
 * sequence numbers. All of it is plain data of the caller's; no locks.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"
#include <noctule/slice.h>

/* ---- packets ---- */

/* Every payload starts with this: when it was due, and which one it is. */
struct noc_bench_stamp {
    uint64_t due_ns;   /* monotonic clock */
    uint32_t sequence; /* counts from 0 for each publisher */
    uint32_t group;    /* the publisher; it guards against other people's messages */
};

#define NOC_BENCH_STAMP_BYTES 16u

/* A PUBLISH ready to be sent, of which only packet id and stamp still change. */
struct noc_bench_template {
    uint8_t *bytes;
    size_t n;
    size_t frame_n;      /* bytes of WebSocket header in front, 0 on plain TCP */
    size_t packet_id_at; /* 0: QoS 0, there is none */
    size_t stamp_at;
};

struct noc_bench_message {
    struct noc_slice topic;
    unsigned version, qos;
    size_t payload_bytes; /* at least NOC_BENCH_STAMP_BYTES */
    bool ws;              /* wrap it in a masked frame */
};

/* Returns 0, NOC_ENOMEM or NOC_ETOOLARGE. The caller frees ret_template->bytes. */
NOC_MUST_CHECK int noc_bench_template_init(
    struct noc_bench_template *ret_template, const struct noc_bench_message *message);

/* Copy the packet to at (template->n bytes) with this id and stamp. Returns the byte after. */
uint8_t *noc_bench_template_put(const struct noc_bench_template *template, uint16_t packet_id,
    const struct noc_bench_stamp *stamp, uint8_t *at);

struct noc_bench_stamp noc_bench_stamp_read(const uint8_t *payload);

struct noc_bench_login {
    struct noc_slice client_id, user, password; /* absent user, password: none */
    unsigned version;
    bool keeps; /* the session outlives the connection; else it begins and ends with it */
};

/* A CONNECT. Returns its bytes, 0 when room is too small. */
size_t noc_bench_put_connect(const struct noc_bench_login *login, uint8_t *at, size_t room);

#define NOC_BENCH_FILTER_MAX 256u

/*
 * A SUBSCRIBE of one filter, of NOC_BENCH_FILTER_MAX bytes at most, with packet
 * id 1. Returns its bytes, 0 when room is too small.
 */
size_t noc_bench_put_subscribe(
    unsigned version, struct noc_slice filter, unsigned qos, uint8_t *at, size_t room);

/* ---- WebSocket, the client's side ---- */

#define NOC_BENCH_FRAME_HEAD_MAX 14u

/* Header of a final binary (or other, by opcode) frame with a mask. Returns its bytes. */
size_t noc_bench_frame_head(unsigned opcode, size_t payload_n, uint8_t *at);

/* Mask n bytes in place, which stand `offset` bytes behind the start of the frame's payload. */
void noc_bench_frame_mask(uint8_t *bytes, size_t n, size_t offset);

/* Where the incoming stream of frames stands. All zero at its start. */
struct noc_bench_frames {
    uint64_t left; /* payload bytes of the current frame still to come */
    uint8_t head[10];
    uint8_t have;         /* bytes of head read */
    uint8_t control_n;    /* bytes of a control frame's payload kept */
    uint8_t control[125]; /* for the answer to a ping */
    bool is_ping_due;     /* the caller answers with control[0..control_n) and clears it */
    bool is_closed;       /* the server sent Close; what follows is dropped */
};

/*
 * Strip the framing of bytes[0..n) in place: data payloads move together at
 * the front. Returns their length, or NOC_EMALFORMED for a frame no server may
 * send (masked, RFC 6455 5.1, or a control frame over 125 bytes, 5.5).
 */
NOC_MUST_CHECK int64_t noc_bench_frames_strip(
    struct noc_bench_frames *frames, uint8_t *bytes, size_t n);

/* ---- histogram ---- */

/*
 * Values up to 127 have a bucket each; above, every power of two is cut into
 * 64, so that a percentile is right to 1.6 %. 30 KiB.
 */
#define NOC_BENCH_BUCKETS (58u * 64u + 64u)

struct noc_bench_histogram {
    uint64_t count, greatest;
    uint64_t buckets[NOC_BENCH_BUCKETS];
};

void noc_bench_histogram_add(struct noc_bench_histogram *histogram, uint64_t value);
void noc_bench_histogram_merge(
    struct noc_bench_histogram *into, const struct noc_bench_histogram *from);

/* The value that `share` (0 to 1) of the values do not exceed; 0 when there is none. */
uint64_t noc_bench_histogram_at(const struct noc_bench_histogram *histogram, double share);

/* ---- sequence numbers ---- */

enum noc_bench_arrival { NOC_BENCH_NEW, NOC_BENCH_LATE, NOC_BENCH_AGAIN };

/* What one subscriber has had from one publisher. All zero at the start. */
struct noc_bench_book {
    uint64_t window; /* bit i: number next - 1 - i has come */
    uint32_t next;   /* one above the highest that has come */
};

/*
 * Note the arrival of a number. NEW: in order, or after a gap; LATE: it fills
 * a gap, so it came out of order; AGAIN: it has been here before, or is so old
 * (over 64) that nobody can say.
 */
enum noc_bench_arrival noc_bench_book_note(struct noc_bench_book *book, uint32_t sequence);

#endif
