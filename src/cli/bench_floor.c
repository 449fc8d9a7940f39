/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `noctule bench --floor`: what a broker's work costs when nothing of it is a broker's.
 *
 *   publisher -- read --> scratch -- write --> each subscriber of its topic
 *   publisher <- write -- scratch <-- read --- the first of them
 *
 * CONNECT, SUBSCRIBE and PINGREQ are answered so that a load generator can start. A connection
 * that has subscribed, or published for the first time, is never looked into again: what comes
 * is copied unparsed, one read for a wake-up and one write for each receiver. What a broker's
 * CPU time per message is above this is its own work.
 *
 * Acknowledgements are copied back as well, so QoS 1 and 2 go the whole way between the two
 * clients, which is right for one subscriber. There is one thread and no limit; a receiver that
 * does not read stops everybody. It believes everybody, and so listens on 127.0.0.1 only.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/list.h"
#include "cli/bench.h"
#include "mqtt/packet.h"
#include "net/listen.h"
#include "net/loop.h"
#include <noctule/error.h>

enum { EVENTS_PER_TURN = 256 };

struct conn {
    int fd;
    uint8_t version;      /* 0 before CONNECT */
    bool is_gone;         /* closed in this turn, freed at its end */
    struct topic *topic;  /* from the first SUBSCRIBE or PUBLISH on */
    struct noc_list link; /* in the topic's subscribers; then in the floor's gone */
};

struct topic {
    struct noc_list link; /* in the floor's topics */
    struct noc_list subscribers;
    struct conn *publisher; /* the only one, or NULL */
    size_t name_n;
    char name[];
};

struct floor {
    struct noc_loop loop;
    int listen_fd;
    struct noc_accept_reserve reserve;
    struct noc_list topics, gone;
    uint8_t scratch[NOC_BENCH_SCRATCH_BYTES];
};

/* ---- topics ---- */

/* NULL when memory has run out. */
static struct topic *have_topic(struct floor *floor, struct noc_slice name)
{
    for (struct noc_list *at = floor->topics.next; at != &floor->topics; at = at->next) {
        struct topic *topic = NOC_CONTAINER(at, struct topic, link);

        if (noc_slice_equal(noc_slice(topic->name, topic->name_n), name)) {
            return topic;
        }
    }
    struct topic *topic = calloc(1, sizeof(*topic) + name.n);

    if (topic != NULL) {
        topic->name_n = name.n;
        memcpy(topic->name, name.at, name.n);
        noc_list_init(&topic->subscribers);
        noc_list_append(&floor->topics, &topic->link);
    }
    return topic;
}

static void leave_topic(struct conn *conn)
{
    struct topic *topic = conn->topic;

    if (topic == NULL) {
        return;
    }
    noc_list_remove(&conn->link);
    if (topic->publisher == conn) {
        topic->publisher = NULL;
    }
    if (topic->publisher == NULL && noc_list_is_empty(&topic->subscribers)) {
        noc_list_remove(&topic->link);
        free(topic);
    }
}

/* ---- connections ---- */

static void end_conn(struct floor *floor, struct conn *conn)
{
    if (conn->is_gone) {
        return;
    }
    leave_topic(conn);
    conn->is_gone = true;
    noc_loop_remove(&floor->loop, conn->fd);
    close(conn->fd);
    noc_list_append(&floor->gone, &conn->link);
}

static void accept_all(struct floor *floor)
{
    struct noc_address address;
    int fd;

    while (noc_accept(floor->listen_fd, true, &floor->reserve, &fd, &address) == NOC_OK) {
        struct conn *conn = calloc(1, sizeof(*conn));

        if (conn == NULL || noc_loop_add(&floor->loop, fd, NOC_LOOP_READ, conn) < 0) {
            free(conn);
            close(fd);
            continue;
        }
        conn->fd = fd;
        noc_list_init(&conn->link);
    }
}

/* All of it, however long that takes. A peer that has gone is noticed when it is read from. */
static void send_all(const struct conn *conn, const uint8_t *bytes, size_t n)
{
    while (n > 0) {
        ssize_t taken = send(conn->fd, bytes, n, MSG_NOSIGNAL);

        if (taken >= 0) {
            bytes += taken;
            n -= (size_t)taken;
        } else if (errno == EAGAIN) {
            struct pollfd full = {.fd = conn->fd, .events = POLLOUT};

            poll(&full, 1, -1);
        } else if (errno != EINTR) {
            return;
        }
    }
}

/* ---- moving ---- */

static void move(const struct conn *from, const uint8_t *bytes, size_t n)
{
    const struct topic *topic = from->topic;

    if (topic->publisher != from) {
        if (topic->publisher != NULL && topic->subscribers.next == &from->link) {
            send_all(topic->publisher, bytes, n);
        }
        return;
    }
    for (struct noc_list *at = topic->subscribers.next; at != &topic->subscribers; at = at->next) {
        send_all(NOC_CONTAINER(at, struct conn, link), bytes, n);
    }
}

/* ---- beginning ---- */

static bool on_connect(struct conn *conn, struct noc_slice body)
{
    struct noc_connect connect;
    struct noc_fault fault;
    uint8_t answer[8];

    if (noc_connect_decode((const uint8_t *)body.at, body.n, &connect, &fault) < 0) {
        return false;
    }
    conn->version = connect.version;
    send_all(conn, answer,
        noc_connack_encode(conn->version, false, 0, (struct noc_slice){0}, answer, sizeof(answer)));
    return true;
}

static bool on_subscribe(struct floor *floor, struct conn *conn, struct noc_slice body)
{
    struct noc_subscribe subscribe;
    struct noc_slice filter;
    struct noc_fault fault;
    uint8_t options, answer[8];

    if (noc_subscribe_decode(conn->version, (const uint8_t *)body.at, body.n, &subscribe, &fault) <
            0 ||
        subscribe.count != 1 || !noc_subscribe_next(&subscribe.topics, &filter, &options)) {
        return false;
    }
    conn->topic = have_topic(floor, filter);
    if (conn->topic == NULL) {
        return false;
    }
    noc_list_append(&conn->topic->subscribers, &conn->link);
    options &= NOC_SUB_QOS;
    send_all(conn, answer,
        noc_suback_encode(conn->version, NOC_SUBACK, subscribe.packet_id, noc_slice(&options, 1),
            answer, sizeof(answer)));
    return true;
}

static bool on_publish(struct floor *floor, struct conn *conn, struct noc_slice body)
{
    const uint8_t *at = (const uint8_t *)body.at;
    size_t n = body.n < 2 ? 0 : (size_t)at[0] << 8 | at[1];

    if (body.n < 2 + n) {
        return false;
    }
    struct topic *topic = have_topic(floor, noc_slice(at + 2, n));

    if (topic == NULL || topic->publisher != NULL) {
        return false;
    }
    topic->publisher = conn;
    conn->topic = topic;
    return true;
}

static bool on_packet(struct floor *floor, struct conn *conn, unsigned type, struct noc_slice body)
{
    if (conn->version == 0) {
        return type == NOC_CONNECT && on_connect(conn, body);
    }
    if (type == NOC_PINGREQ) {
        uint8_t answer[2];

        send_all(conn, answer, noc_ping_encode(NOC_PINGRESP, answer, sizeof(answer)));
        return true;
    }
    return type == NOC_SUBSCRIBE && on_subscribe(floor, conn, body);
}

/*
 * The packets of a connection that has no topic yet; its first PUBLISH, of which only the topic
 * need be there, moves on with what is behind it. False when it cannot go on: what a generator
 * begins with comes whole, and is nothing else.
 */
static bool begin(struct floor *floor, struct conn *conn, const uint8_t *bytes, size_t n)
{
    while (n > 0 && conn->topic == NULL) {
        struct noc_header header;
        int used = noc_header_decode(conn->version, bytes, n, &header);

        if (used <= 0) {
            return false;
        }
        size_t whole = (size_t)used + header.remaining;
        size_t here = n < whole ? n : whole;
        struct noc_slice body = noc_slice(bytes + used, here - (size_t)used);

        if (conn->version != 0 && header.type == NOC_PUBLISH) {
            if (!on_publish(floor, conn, body)) {
                return false;
            }
            break;
        }
        if (here < whole || !on_packet(floor, conn, header.type, body)) {
            return false;
        }
        bytes += whole;
        n -= whole;
    }
    if (n > 0) {
        move(conn, bytes, n);
    }
    return true;
}

/* ---- the loop ---- */

static void read_on(struct floor *floor, struct conn *conn)
{
    ssize_t n = recv(conn->fd, floor->scratch, sizeof(floor->scratch), 0);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n > 0 && conn->topic != NULL) {
        move(conn, floor->scratch, (size_t)n);
    } else if (n <= 0 || !begin(floor, conn, floor->scratch, (size_t)n)) {
        end_conn(floor, conn);
    }
}

static int turn(struct floor *floor)
{
    struct noc_loop_event events[EVENTS_PER_TURN];
    int count = noc_loop_wait(&floor->loop, -1, events, EVENTS_PER_TURN);

    for (int i = 0; i < count; i++) {
        struct conn *conn = events[i].owner;

        if (conn == NULL) {
            accept_all(floor);
        } else if (!conn->is_gone) {
            read_on(floor, conn);
        }
    }
    for (struct noc_list *link; (link = noc_list_take(&floor->gone)) != NULL;) {
        free(NOC_CONTAINER(link, struct conn, link));
    }
    return count;
}

int noc_bench_floor_run(uint16_t port)
{
    const struct noc_listen_options options = {.host = "127.0.0.1", .port = port};
    struct noc_listen_sockets sockets;
    char error[200];
    struct floor *floor = calloc(1, sizeof(*floor));

    if (floor == NULL || noc_loop_init(&floor->loop) < 0) {
        fprintf(stderr, "noctule bench: %s\n", strerror(errno));
        free(floor);
        return BENCH_USAGE;
    }
    noc_list_init(&floor->topics);
    noc_list_init(&floor->gone);
    noc_accept_reserve_init(&floor->reserve);
    if (noc_listen_open(&options, &sockets, error, sizeof(error)) < 0) {
        fprintf(stderr, "noctule bench: 127.0.0.1 port %u: %s\n", (unsigned)port, error);
    } else {
        floor->listen_fd = sockets.at[0].fd;
        fprintf(stderr, "noctule bench: the floor answers on 127.0.0.1 port %u\n", (unsigned)port);
        if (noc_loop_add(&floor->loop, floor->listen_fd, NOC_LOOP_READ, NULL) == NOC_OK) {
            while (turn(floor) >= 0) {
            }
        }
        fprintf(stderr, "noctule bench: %s\n", strerror(errno));
        noc_listen_close(&sockets);
    }
    noc_accept_reserve_done(&floor->reserve);
    noc_loop_done(&floor->loop);
    free(floor);
    return BENCH_USAGE;
}
