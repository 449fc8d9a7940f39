/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection of the load generator: opening, the handshakes, packets in
 * and bytes out. A wake-up costs one large read, and at most one write.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "cli/bench.h"
#include "mqtt/packet.h"
#include <noctule/error.h>

#define UNSENT_MAX ((size_t)256 * 1024 * 1024)

/* Connections from one loopback address before the next one is used. */
enum { CONNS_PER_SOURCE = 8000 };

void noc_bench_conn_done(struct noc_bench_conn *conn)
{
    if (conn->state != BENCH_CLOSED) {
        close(conn->fd);
    }
    free(conn->held);
    free(conn->out);
    free(conn->frames);
    *conn = (struct noc_bench_conn){.state = BENCH_CLOSED};
}

/*
 * The peer is gone before we let it go: that ends the whole run. What hangs on
 * the connection stays until noc_bench_conn_done(), for its callers still use it.
 */
static void fail_conn(
    struct noc_bench_worker *worker, struct noc_bench_conn *conn, const char *reason)
{
    if (conn->state == BENCH_CLOSED) {
        return;
    }
    noc_bench_fail_mt(worker->control, BENCH_REFUSED,
        "%s port %u: connection %u of worker %u%s: %s", worker->plan->host,
        (unsigned)worker->plan->port, conn->index, worker->index,
        conn->state < BENCH_READY ? ", not yet ready" : "", reason);
    close(conn->fd);
    conn->state = BENCH_CLOSED;
}

/* ---- writing ---- */

static void arm(struct noc_bench_worker *worker, struct noc_bench_conn *conn, bool wants_out)
{
    if (conn->wants_out == wants_out) {
        return;
    }
    struct epoll_event event = {
        .events = EPOLLIN | (wants_out ? (uint32_t)EPOLLOUT : 0), .data.ptr = conn};

    epoll_ctl(worker->epoll, EPOLL_CTL_MOD, conn->fd, &event);
    conn->wants_out = wants_out;
}

static void keep_unsent(
    struct noc_bench_worker *worker, struct noc_bench_conn *conn, const uint8_t *bytes, size_t n)
{
    if (conn->out_n + n > conn->out_room) {
        size_t waiting = conn->out_n - conn->out_at;
        size_t room = (waiting + n) * 2;

        if (room > UNSENT_MAX) {
            noc_bench_fail_mt(
                worker->control, BENCH_TIMEOUT, "the broker does not take what is offered");
            return;
        }
        uint8_t *larger = malloc(room);

        if (larger == NULL) {
            fail_conn(worker, conn, noc_error_text(NOC_ENOMEM));
            return;
        }
        if (waiting > 0) {
            memcpy(larger, conn->out + conn->out_at, waiting);
        }
        free(conn->out);
        conn->out = larger;
        conn->out_room = room;
        conn->out_at = 0;
        conn->out_n = waiting;
    }
    memcpy(conn->out + conn->out_n, bytes, n);
    conn->out_n += n;
    arm(worker, conn, true);
}

/* Bytes that the socket took, 0 when it is full; fails the connection on an error. */
static size_t write_some(
    struct noc_bench_worker *worker, struct noc_bench_conn *conn, const uint8_t *bytes, size_t n)
{
    ssize_t taken = send(conn->fd, bytes, n, MSG_NOSIGNAL);

    if (taken < 0 && errno != EAGAIN && errno != EINTR) {
        fail_conn(worker, conn, strerror(errno));
    }
    return taken < 0 ? 0 : (size_t)taken;
}

static void send_bytes(
    struct noc_bench_worker *worker, struct noc_bench_conn *conn, const uint8_t *bytes, size_t n)
{
    size_t taken = 0;

    if (!noc_bench_is_blocked(conn)) {
        taken = write_some(worker, conn, bytes, n);
    }
    if (taken < n && conn->state != BENCH_CLOSED) {
        keep_unsent(worker, conn, bytes + taken, n - taken);
    }
}

void noc_bench_flush(struct noc_bench_worker *worker, struct noc_bench_conn *conn)
{
    size_t n = worker->stage_n;

    worker->stage_n = 0;
    if (n > 0 && conn->state != BENCH_CLOSED) {
        send_bytes(worker, conn, worker->stage, n);
    }
}

uint8_t *noc_bench_stage(struct noc_bench_worker *worker, struct noc_bench_conn *conn, size_t n)
{
    if (worker->stage_n + n > NOC_BENCH_STAGE_BYTES) {
        noc_bench_flush(worker, conn);
    }
    uint8_t *at = worker->stage + worker->stage_n;

    worker->stage_n += n;
    return at;
}

static void stage_packet(
    struct noc_bench_worker *worker, struct noc_bench_conn *conn, const uint8_t *packet, size_t n)
{
    uint8_t head[NOC_BENCH_FRAME_HEAD_MAX];
    size_t head_n = worker->plan->ws ? noc_bench_frame_head(2, n, head) : 0;
    uint8_t *at = noc_bench_stage(worker, conn, head_n + n);

    memcpy(at, head, head_n);
    memcpy(at + head_n, packet, n);
    if (head_n > 0) {
        noc_bench_frame_mask(at + head_n, n, 0);
    }
}

static void write_on(struct noc_bench_worker *worker, struct noc_bench_conn *conn)
{
    if (noc_bench_is_blocked(conn)) {
        conn->out_at +=
            write_some(worker, conn, conn->out + conn->out_at, conn->out_n - conn->out_at);
    }
    if (conn->state == BENCH_CLOSED || noc_bench_is_blocked(conn)) {
        return;
    }
    conn->out_at = 0;
    conn->out_n = 0;
    arm(worker, conn, false);
    worker->hooks->writable(worker, conn);
}

/* ---- handshakes ---- */

/*
 * One source address has less than 30 000 ports, and the search for a free one
 * slows down long before they run out: spread over 127.0.0.0/8 where we may.
 */
static void choose_source(const struct noc_bench_worker *worker, const struct noc_bench_conn *conn)
{
    struct sockaddr_in peer;
    unsigned block = conn->index / CONNS_PER_SOURCE;
    int on = 1;

    if (block == 0 || worker->plan->address.ss_family != AF_INET) {
        return;
    }
    memcpy(&peer, &worker->plan->address, sizeof(peer));
    if (ntohl(peer.sin_addr.s_addr) >> 24 != 127) {
        return;
    }
    struct sockaddr_in source = {.sin_family = AF_INET};

    source.sin_addr.s_addr = htonl(0x7f000001u + (worker->index + 1) * 65536u + block);
    setsockopt(conn->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
    (void)bind(conn->fd, (const struct sockaddr *)&source, sizeof(source));
}

void noc_bench_conn_open(struct noc_bench_worker *worker, struct noc_bench_conn *conn)
{
    const struct noc_bench_plan *plan = worker->plan;
    int on = 1;

    conn->fd = socket(plan->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (conn->fd < 0) {
        noc_bench_fail_mt(
            worker->control, BENCH_USAGE, "cannot open a socket: %s", strerror(errno));
        return;
    }
    conn->state = BENCH_TCP;
    setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    choose_source(worker, conn);
    if (connect(conn->fd, (const struct sockaddr *)&plan->address, plan->address_n) < 0 &&
        errno != EINPROGRESS) {
        fail_conn(worker, conn, strerror(errno));
        return;
    }
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = conn};

    conn->wants_out = true;
    if (epoll_ctl(worker->epoll, EPOLL_CTL_ADD, conn->fd, &event) < 0) {
        fail_conn(worker, conn, strerror(errno));
    }
}

static void send_connect(struct noc_bench_worker *worker, struct noc_bench_conn *conn)
{
    const struct noc_bench_plan *plan = worker->plan;
    char client_id[64];
    uint8_t packet[1024];

    snprintf(client_id, sizeof(client_id), "%s-%u-%u", plan->run_id, worker->index, conn->index);
    struct noc_bench_login login = {.client_id = noc_slice_of(client_id),
        .user = noc_slice_of(plan->user),
        .password = noc_slice_of(plan->password),
        .version = plan->version,
        .keeps = plan->keeps && conn->group != NULL && !conn->is_publisher};
    size_t n = noc_bench_put_connect(&login, packet, sizeof(packet));

    if (n == 0) {
        noc_bench_fail_mt(worker->control, BENCH_USAGE, "user name and password are too long");
        return;
    }
    conn->state = BENCH_CONNACK;
    stage_packet(worker, conn, packet, n);
    noc_bench_flush(worker, conn);
}

static void send_upgrade(struct noc_bench_worker *worker, struct noc_bench_conn *conn)
{
    const struct noc_bench_plan *plan = worker->plan;
    char request[700];
    int n = snprintf(request, sizeof(request),
        "GET %s HTTP/1.1\r\nHost: %s:%u\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n"
        "Sec-WebSocket-Key: bm9jdHVsZS1iZW5jaC1rZQ==\r\n\r\n",
        plan->ws_path, plan->host, (unsigned)plan->port);

    if (n < 0 || (size_t)n >= sizeof(request)) {
        noc_bench_fail_mt(worker->control, BENCH_USAGE, "host name and path are too long");
        return;
    }
    conn->state = BENCH_UPGRADE;
    send_bytes(worker, conn, (const uint8_t *)request, (size_t)n);
}

static void become_ready(struct noc_bench_worker *worker, struct noc_bench_conn *conn)
{
    conn->state = BENCH_READY;
    worker->opening--;
    unsigned ready = atomic_load_explicit(&worker->ready, memory_order_relaxed) + 1;

    if (ready == worker->conn_count) {
        atomic_store(&worker->opened_ns, noc_bench_now_ns());
    }
    atomic_store(&worker->ready, ready);
}

/*
 * Take the answer to the upgrade off the front of bytes[0..n). Returns the
 * bytes consumed, 0 while its end has not come.
 */
static size_t take_upgrade(
    struct noc_bench_worker *worker, struct noc_bench_conn *conn, const uint8_t *bytes, size_t n)
{
    const uint8_t *end = memmem(bytes, n, "\r\n\r\n", 4);

    if (end == NULL) {
        return 0;
    }
    if (n < 12 || memcmp(bytes, "HTTP/1.1 101", 12) != 0) {
        fail_conn(worker, conn, "the WebSocket upgrade was refused");
        return 0;
    }
    conn->frames = calloc(1, sizeof(*conn->frames));
    if (conn->frames == NULL) {
        fail_conn(worker, conn, noc_error_text(NOC_ENOMEM));
        return 0;
    }
    send_connect(worker, conn);
    return (size_t)(end - bytes) + 4;
}

static void on_connack(
    struct noc_bench_worker *worker, struct noc_bench_conn *conn, const uint8_t *body, size_t n)
{
    char filter[64];
    uint8_t packet[128];

    if (n < 2 || body[1] != 0) {
        char reason[48];

        snprintf(reason, sizeof(reason), "CONNACK with code %u", n < 2 ? 0u : body[1]);
        fail_conn(worker, conn, reason);
        return;
    }
    if (conn->group == NULL || conn->is_publisher) {
        become_ready(worker, conn);
        return;
    }
    snprintf(filter, sizeof(filter), "%s/%u/%u", worker->plan->run_id, worker->index,
        (unsigned)(conn->index / (worker->plan->subscribers + 1)));
    conn->state = BENCH_SUBACK;
    stage_packet(worker, conn, packet,
        noc_bench_put_subscribe(worker->plan->version, noc_slice_of(filter), worker->plan->qos,
            packet, sizeof(packet)));
}

/* ---- packets in ---- */

static void on_publish(struct noc_bench_worker *worker, struct noc_bench_conn *conn, uint8_t flags,
    struct noc_slice body)
{
    const uint8_t *at = (const uint8_t *)body.at;
    unsigned qos = flags >> 1 & 3;
    size_t skip = body.n < 2 ? body.n : 2 + ((size_t)at[0] << 8 | at[1]);
    const uint8_t *packet_id = at + skip;
    uint32_t properties_n = 0;

    skip += qos > 0 ? 2 : 0;
    if (worker->plan->version == NOC_V5 && skip < body.n) {
        int used = noc_varint_decode(at + skip, body.n - skip, &properties_n);

        skip += used > 0 ? (size_t)used + properties_n : body.n;
    }
    if (skip > body.n) {
        fail_conn(worker, conn, "malformed PUBLISH");
        return;
    }
    if (qos > 0) {
        uint8_t type = qos == 1 ? NOC_PUBACK : NOC_PUBREC;
        const uint8_t ack[] = {(uint8_t)(type << 4), 2, packet_id[0], packet_id[1]};

        stage_packet(worker, conn, ack, sizeof(ack));
    }
    if (body.n - skip < NOC_BENCH_STAMP_BYTES || conn->group == NULL || conn->is_publisher) {
        noc_bench_count(&worker->foreign, 1);
        return;
    }
    worker->hooks->message(worker, conn, at + skip);
}

/* PUBACK, PUBREC, PUBREL or PUBCOMP: the next step of a message's handshake. */
static void on_ack(struct noc_bench_worker *worker, struct noc_bench_conn *conn, unsigned type,
    struct noc_slice body)
{
    const uint8_t *at = (const uint8_t *)body.at;

    if (body.n < 2 || (body.n > 2 && at[2] >= 0x80)) {
        fail_conn(worker, conn, "the broker refused a message");
        return;
    }
    if (type == NOC_PUBACK || type == NOC_PUBCOMP) {
        worker->hooks->acknowledged(worker, conn);
        return;
    }
    const uint8_t pubrel[] = {NOC_PUBREL << 4 | 2, 2, at[0], at[1]};
    const uint8_t pubcomp[] = {NOC_PUBCOMP << 4, 2, at[0], at[1]};

    stage_packet(worker, conn, type == NOC_PUBREC ? pubrel : pubcomp, sizeof(pubrel));
}

static void on_packet(struct noc_bench_worker *worker, struct noc_bench_conn *conn, uint8_t first,
    struct noc_slice body)
{
    const uint8_t *at = (const uint8_t *)body.at;
    unsigned type = first >> 4;

    switch (type) {
    case NOC_PUBLISH:
        on_publish(worker, conn, first & 15, body);
        return;
    case NOC_PUBACK:
    case NOC_PUBREC:
    case NOC_PUBREL:
    case NOC_PUBCOMP:
        on_ack(worker, conn, type, body);
        return;
    case NOC_CONNACK:
        if (conn->state == BENCH_CONNACK) {
            on_connack(worker, conn, at, body.n);
            return;
        }
        break;
    case NOC_SUBACK:
        if (conn->state == BENCH_SUBACK && body.n > 0 && at[body.n - 1] == worker->plan->qos) {
            become_ready(worker, conn);
            return;
        }
        break;
    case NOC_DISCONNECT:
        fail_conn(worker, conn, "the broker sent DISCONNECT");
        return;
    default:
        break;
    }
    fail_conn(worker, conn, type == NOC_SUBACK ? "subscription refused" : "unexpected packet");
}

/* Work off all whole packets of bytes[0..n). Returns the bytes used. */
static size_t take_packets(
    struct noc_bench_worker *worker, struct noc_bench_conn *conn, const uint8_t *bytes, size_t n)
{
    size_t at = 0;

    while (n - at >= 2 && conn->state != BENCH_CLOSED) {
        uint32_t body_n = bytes[at + 1];
        size_t head_n = 2;

        if (body_n >= 128) {
            int used = noc_varint_decode(bytes + at + 1, n - at - 1, &body_n);

            if (used == 0) {
                break;
            }
            if (used < 0 || body_n > NOC_BENCH_SCRATCH_BYTES / 2) {
                fail_conn(worker, conn, "packet of an impossible size");
                break;
            }
            head_n = 1 + (size_t)used;
        }
        if (n - at < head_n + body_n) {
            break;
        }
        on_packet(worker, conn, bytes[at], noc_slice(bytes + at + head_n, body_n));
        at += head_n + body_n;
    }
    return at;
}

/* Keep the start of an incomplete packet for the next read. */
static void hold(
    struct noc_bench_worker *worker, struct noc_bench_conn *conn, const uint8_t *bytes, size_t n)
{
    if (n > conn->held_room) {
        free(conn->held);
        conn->held_room = n + n / 2 + 64;
        conn->held = malloc(conn->held_room);
        if (conn->held == NULL) {
            conn->held_room = 0;
            fail_conn(worker, conn, noc_error_text(NOC_ENOMEM));
            return;
        }
    }
    memcpy(conn->held, bytes, n);
    conn->held_n = n;
}

/* Take the framing off n bytes just read; the number of MQTT bytes that remain. */
static size_t unframe(
    struct noc_bench_worker *worker, struct noc_bench_conn *conn, uint8_t *bytes, size_t n)
{
    int64_t kept = noc_bench_frames_strip(conn->frames, bytes, n);

    if (kept < 0 || conn->frames->is_closed) {
        fail_conn(worker, conn, kept < 0 ? "broken WebSocket frame" : "WebSocket Close");
        return 0;
    }
    if (conn->frames->is_ping_due) {
        conn->frames->is_ping_due = false;
        size_t control_n = conn->frames->control_n;
        uint8_t head[NOC_BENCH_FRAME_HEAD_MAX];
        size_t head_n = noc_bench_frame_head(10, control_n, head);
        uint8_t *at = noc_bench_stage(worker, conn, head_n + control_n);

        memcpy(at, head, head_n);
        memcpy(at + head_n, conn->frames->control, control_n);
        noc_bench_frame_mask(at + head_n, control_n, 0);
    }
    return (size_t)kept;
}

static void read_on(struct noc_bench_worker *worker, struct noc_bench_conn *conn)
{
    uint8_t *scratch = worker->scratch;
    size_t have = conn->held_n;

    if (have > 0) {
        memcpy(scratch, conn->held, have);
    }
    ssize_t got = recv(conn->fd, scratch + have, NOC_BENCH_SCRATCH_BYTES - have, 0);

    if (got <= 0) {
        if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
            fail_conn(worker, conn, got == 0 ? "closed by the broker" : strerror(errno));
        }
        return;
    }
    worker->now_ns = noc_bench_now_ns();
    worker->progress_ns = worker->now_ns;
    noc_bench_count(&worker->reads, 1);
    conn->held_n = 0;
    size_t n = (size_t)got;

    if (conn->state == BENCH_UPGRADE) {
        size_t used = take_upgrade(worker, conn, scratch, have + n);

        n = have + n - used;
        if (used == 0) {
            if (conn->state != BENCH_CLOSED) {
                hold(worker, conn, scratch, n);
            }
            return;
        }
        memmove(scratch, scratch + used, n);
        have = 0;
    }
    if (worker->plan->ws) {
        n = unframe(worker, conn, scratch + have, n);
    }
    have += n;
    size_t used = take_packets(worker, conn, scratch, have);

    noc_bench_flush(worker, conn);
    if (used < have && conn->state != BENCH_CLOSED) {
        hold(worker, conn, scratch + used, have - used);
    }
}

void noc_bench_conn_event(
    struct noc_bench_worker *worker, struct noc_bench_conn *conn, uint32_t events)
{
    if (conn->state == BENCH_TCP) {
        int failure = 0;
        socklen_t n = sizeof(failure);

        getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &failure, &n);
        if (failure != 0) {
            fail_conn(worker, conn, strerror(failure));
        } else if ((events & EPOLLOUT) != 0) {
            arm(worker, conn, false);
            if (worker->plan->ws) {
                send_upgrade(worker, conn);
            } else {
                send_connect(worker, conn);
            }
        }
        return;
    }
    if ((events & EPOLLOUT) != 0 && conn->state != BENCH_CLOSED) {
        write_on(worker, conn);
    }
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && conn->state != BENCH_CLOSED) {
        read_on(worker, conn);
    }
}
