/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
/*
 * Output: one flush a turn and connection.
 *
 *   [head of a WebSocket frame][segment][segment] ...   -> one writev
 *                                                       -> or gathered, one TLS record train
 *
 * A frame's length is fixed when its head is written; what is appended while
 * it is under way goes into the next frame. Control frames go in between.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "broker/connection.h"

enum { SEGMENTS_MAX = 64 };

/* Bytes of MQTT that may go out now: none while the CONNACK waits for the store. */
static size_t ready_n(const struct noc_link *link)
{
    return link->is_gated ? 0 : link->out.bytes;
}

bool noc_connection_has_output(const struct noc_connection *connection)
{
    const struct noc_ws_state *ws = connection->ws;

    return ready_n(&connection->link) > 0 ||
           (ws != NULL && (ws->head_at < ws->head_n || ws->control_n > 0));
}

/* Between two frames: write the heads of what comes next. */
static void begin_frame(struct noc_connection *connection)
{
    struct noc_ws_state *ws = connection->ws;
    size_t n = ready_n(&connection->link);

    if (ws->frame_left > 0 || ws->head_at < ws->head_n) {
        return;
    }
    ws->head_at = ws->head_n = 0;
    /* Nothing may follow a close frame (RFC 6455, 5.5.1): what is left (a DISCONNECT) goes first. */
    if (ws->control_n > 0 && !(ws->is_closing && n > 0)) {
        memcpy(ws->head, ws->control, ws->control_n);
        ws->head_n = ws->control_n;
        ws->control_n = 0;
    }
    if (n > 0) {
        ws->head_n = (uint8_t)(ws->head_n + noc_ws_frame_head(ws->head + ws->head_n, NOC_WS_BINARY,
                                                true, n, NULL));
        ws->frame_left = n;
    }
}

/* What may be sent now, as vectors. Returns their number; *ret_n the bytes in them. */
static int collect(const struct noc_connection *connection, struct iovec *vectors, size_t *ret_n)
{
    const struct noc_ws_state *ws = connection->ws;
    uint64_t left = ready_n(&connection->link) == 0 ? 0 : ws == NULL ? UINT64_MAX : ws->frame_left;
    int count = 0;

    *ret_n = 0;
    if (ws != NULL && ws->head_at < ws->head_n) {
        vectors[count].iov_base = (void *)(uintptr_t)(ws->head + ws->head_at);
        vectors[count].iov_len = (size_t)(ws->head_n - ws->head_at);
        *ret_n += vectors[count++].iov_len;
    }
    for (const struct noc_segment *segment = connection->link.out.first;
         segment != NULL && left > 0 && count < SEGMENTS_MAX; segment = segment->next) {
        size_t n = segment->n < left ? segment->n : (size_t)left;

        if (n == 0) {
            continue;
        }
        vectors[count].iov_base = (void *)(uintptr_t)segment->at;
        vectors[count].iov_len = n;
        *ret_n += n;
        left -= n;
        count++;
    }
    return count;
}

/* n bytes have gone out, from the front. */
static void sent(struct noc_connection *connection, size_t n)
{
    struct noc_ws_state *ws = connection->ws;
    struct noc_shard *shard = connection->link.shard;

    noc_shard_count(shard, NOC_COUNT_BYTES_SENT, (int64_t)n);
    if (ws != NULL) {
        size_t head = (size_t)(ws->head_n - ws->head_at);

        head = n < head ? n : head;
        ws->head_at = (uint8_t)(ws->head_at + head);
        n -= head;
        ws->frame_left -= n;
        ws->spoke_ms = shard->now_ms;
    }
    noc_outq_consume(&connection->link.out, &shard->blocks, n);
}

/* Gather vectors into one piece: one record instead of several. Returns its bytes. */
static size_t gather(uint8_t *into, const struct iovec *vectors, int count)
{
    size_t n = 0;

    for (int i = 0; i < count && n < NOC_GATHER_BYTES; i++) {
        size_t room = NOC_GATHER_BYTES - n;
        size_t part = vectors[i].iov_len < room ? vectors[i].iov_len : room;

        memcpy(into + n, vectors[i].iov_base, part);
        n += part;
    }
    return n;
}

/* Write the vectors. Returns the bytes that went out, or NOC_EAGAIN, or NOC_EIO. */
static long put(struct noc_connection *connection, const struct iovec *vectors, int count)
{
    struct msghdr message = {
        .msg_iov = (struct iovec *)(uintptr_t)vectors, .msg_iovlen = (size_t)count};
    ssize_t n;

    if (connection->tls != NULL) {
        struct noc_worker *worker = noc_connection_worker(connection);
        int taken;

        if (vectors[0].iov_len >= NOC_GATHER_BYTES) {
            taken = noc_tls_write(connection->tls, vectors[0].iov_base, vectors[0].iov_len);
        } else {
            taken = noc_tls_write(
                connection->tls, worker->gather, gather(worker->gather, vectors, count));
        }
        return taken == NOC_EAGAIN || taken > 0 ? taken : NOC_EIO;
    }
    do {
        n = count == 1 ? send(connection->fd, vectors[0].iov_base, vectors[0].iov_len, MSG_NOSIGNAL)
                       : sendmsg(connection->fd, &message, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n >= 0) {
        return (long)n;
    }
    return errno == EAGAIN || errno == EWOULDBLOCK ? NOC_EAGAIN : NOC_EIO;
}

static void set_blocked(struct noc_connection *connection, bool on)
{
    connection->link.is_blocked = on;
    noc_connection_update(connection);
}

bool noc_connection_flush(struct noc_connection *connection)
{
    struct iovec vectors[SEGMENTS_MAX];
    bool was_blocked = connection->link.is_blocked;

    while (noc_connection_has_output(connection)) {
        size_t want;
        long n;
        int count;

        if (connection->ws != NULL) {
            begin_frame(connection);
        }
        count = collect(connection, vectors, &want);
        if (count == 0) {
            break;
        }
        n = put(connection, vectors, count);
        if (n == NOC_EIO) {
            return false;
        }
        if (n > 0) {
            sent(connection, (size_t)n);
        }
        if (n == NOC_EAGAIN || (connection->tls == NULL && (size_t)n < want)) {
            if (!was_blocked) {
                set_blocked(connection, true);
            }
            return true;
        }
    }
    if (was_blocked) {
        set_blocked(connection, false);
    }
    return true;
}

bool noc_connection_send_raw(struct noc_connection *connection, const void *bytes, size_t n)
{
    struct iovec vector = {(void *)(uintptr_t)bytes, n};

    connection->is_last_word = true; /* unless it goes on: then what is sent last says so */
    noc_shard_count(connection->link.shard, NOC_COUNT_BYTES_SENT, (int64_t)n);
    return put(connection, &vector, 1) == (long)n;
}
