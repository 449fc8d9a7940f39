/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
/*
 * The life of a connection: see connection.h. Nothing is freed in the middle of a
 * turn: what ends is put on the worker's dead list.
 */
#include "broker/connection.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "broker/broker.h"

/* Output that is left when a connection ends has this long to go out. */
#define DRAIN_MS 5000u

/*
 * Once our side is shut, the peer has this long to shut its own. With input
 * unread, close() sends a reset that may overtake what was sent last.
 */
#define LINGER_MS 2000u

/* So many WebSocket clients past max_connections may wait for their answer that says so. */
#define OVER_LIMIT_MAX 64

/* ---- open ---- */

/* *ret_is_over: this one is past the limit, and only let in to be told so over HTTP. */
static bool claim_place(struct noc_endpoint *endpoint, bool *ret_is_over)
{
    int most = endpoint->config->max_connections;
    int before = atomic_fetch_add_explicit(&endpoint->connections, 1, memory_order_relaxed);

    *ret_is_over = most > 0 && before >= most;
    if (*ret_is_over && (!endpoint->is_websocket || before - most >= OVER_LIMIT_MAX)) {
        atomic_fetch_sub_explicit(&endpoint->connections, 1, memory_order_relaxed);
        return false;
    }
    return true;
}

/* What its listener adds to a connection. */
static int add_layers(struct noc_connection *connection, struct noc_worker *worker)
{
    struct noc_endpoint *endpoint = connection->endpoint;

    connection->phase = NOC_PHASE_OPEN;
    if (endpoint->is_websocket) {
        connection->ws = calloc(1, sizeof *connection->ws);
        if (connection->ws == NULL) {
            return NOC_ENOMEM;
        }
        connection->phase = NOC_PHASE_UPGRADE;
    }
    if (endpoint->has_tls) {
        connection->phase = NOC_PHASE_TLS;
        if (noc_shard_is_memory_short(&worker->shard)) {
            return NOC_ENOMEM; /* a handshake takes more than what can't be taken after it */
        }
        return noc_tls_new_server(
            worker->access->at[endpoint->listener.number].tls, connection->fd, &connection->tls);
    }
    return NOC_OK;
}

/* Where a peer comes from: over a unix socket it is the socket's path that tells. */
static struct noc_slice text_of(
    const struct noc_endpoint *endpoint, const struct noc_address *address)
{
    return endpoint->config->unix_path != NULL ? noc_slice_of(endpoint->config->unix_path)
                                               : noc_address_text(address);
}

void noc_connection_open(struct noc_worker *worker, struct noc_endpoint *endpoint, int fd,
    const struct noc_address *address)
{
    struct noc_connection *connection;
    bool is_over;

    if (!claim_place(endpoint, &is_over)) {
        noc_log(worker->log, NOC_LOG_NOTICE,
            "Client connection from %.*s denied: max_connections exceeded.",
            NOC_SLICE_ARG(text_of(endpoint, address)));
        (void)close(fd);
        return;
    }
    connection = calloc(1, sizeof *connection);
    if (connection == NULL) {
        atomic_fetch_sub_explicit(&endpoint->connections, 1, memory_order_relaxed);
        (void)close(fd);
        return;
    }
    connection->watch.kind = NOC_WATCH_CONNECTION;
    connection->fd = fd;
    connection->endpoint = endpoint;
    connection->is_over_limit = is_over;
    connection->address = *address;
    noc_list_init(&connection->again);
    noc_list_init(&connection->ending);
    noc_timer_init(&connection->timer, NOC_TIMER_GLUE);
    connection->link.shard = &worker->shard;
    connection->link.listener = &endpoint->listener;
    connection->link.address = text_of(endpoint, &connection->address);
    connection->link.port = address->port;
    connection->link.number =
        atomic_fetch_add_explicit(&worker->broker->accepted, 1, memory_order_relaxed) + 1;
    connection->is_reading = true;
    noc_link_init(&connection->link);
    if (add_layers(connection, worker) != NOC_OK) {
        noc_connection_fail(connection, NOC_END_MEMORY, NULL);
        return;
    }
    noc_connection_update(connection);
}

void noc_connection_announce(struct noc_connection *connection)
{
    struct noc_worker *worker = noc_connection_worker(connection);

    if (connection->has_spoken) {
        return;
    }
    connection->has_spoken = true;
    if (!worker->shard.core->limits.connection_messages) {
        return;
    }
    noc_log(worker->log, NOC_LOG_NOTICE, "New connection from %.*s:%u on port %d.",
        NOC_SLICE_ARG(connection->link.address), (unsigned)connection->link.port,
        connection->endpoint->config->port);
}

/* ---- what the loop is asked for ---- */

static unsigned interest_of(const struct noc_connection *connection)
{
    unsigned interest = NOC_LOOP_NONE;

    /* While TLS has to write, input would wake the loop over and over and not be read. */
    if (connection->phase == NOC_PHASE_TLS) {
        return noc_tls_wants_write(connection->tls) ? NOC_LOOP_WRITE : NOC_LOOP_READ;
    }
    if (connection->is_lingering) {
        return NOC_LOOP_READ;
    }
    if (connection->is_reading && connection->phase != NOC_PHASE_DRAINING) {
        interest |= connection->waits_to_write ? NOC_LOOP_WRITE : NOC_LOOP_READ;
    }
    if (connection->link.is_blocked) {
        interest |= NOC_LOOP_WRITE;
    }
    return interest;
}

void noc_connection_update(struct noc_connection *connection)
{
    struct noc_worker *worker = noc_connection_worker(connection);
    unsigned interest = interest_of(connection);
    int err;

    if (connection->phase == NOC_PHASE_DEAD ||
        (connection->is_in_loop ? interest == connection->interest : interest == NOC_LOOP_NONE)) {
        return;
    }
    if (connection->is_in_loop) {
        err = noc_loop_change(&worker->loop, connection->fd, interest, connection);
    } else {
        err = noc_loop_add(&worker->loop, connection->fd, interest, connection);
    }
    if (err != NOC_OK) {
        noc_connection_fail(connection, NOC_END_MEMORY, "the event loop takes no more");
        return;
    }
    connection->is_in_loop = true;
    connection->interest = interest;
}

void noc_connection_again(struct noc_connection *connection)
{
    if (connection->phase < NOC_PHASE_DRAINING && !noc_list_is_linked(&connection->again)) {
        noc_list_append(&noc_connection_worker(connection)->again, &connection->again);
    }
}

/* ---- the last bytes ---- */

/* A few portions of what the peer still sends. False: it has shut its side, too. */
static bool read_away(const struct noc_connection *connection, uint8_t *scratch)
{
    for (int i = 0; i < 4; i++) {
        ssize_t n = recv(connection->fd, scratch, NOC_SCRATCH_BYTES, MSG_DONTWAIT);

        if (n <= 0) {
            return n < 0 && (errno == EAGAIN || errno == EINTR);
        }
    }
    return true;
}

static void throw_away_input(struct noc_connection *connection)
{
    if (!read_away(connection, noc_connection_worker(connection)->scratch)) {
        noc_connection_finish(connection);
    }
}

/* All output is out: our side is shut, and the peer hears of it before the socket is closed. */
static void end_output(struct noc_connection *connection)
{
    struct noc_worker *worker = noc_connection_worker(connection);

    if (!connection->is_last_word || connection->link.shard->is_stopping) {
        noc_connection_finish(connection);
        return;
    }
    if (connection->tls != NULL) {
        noc_tls_shutdown(connection->tls);
    }
    (void)shutdown(connection->fd, SHUT_WR);
    if (!read_away(connection, worker->scratch)) {
        noc_connection_finish(connection);
        return;
    }
    connection->is_lingering = true;
    noc_timer_set(&worker->shard.timers, &connection->timer, worker->shard.now_ms + LINGER_MS);
    noc_connection_update(connection);
}

/* ---- events ---- */

static bool can_read(const struct noc_connection *connection)
{
    return connection->is_reading && connection->phase < NOC_PHASE_DRAINING &&
           connection->link.state != NOC_LINK_MOVING;
}

/* The output failed: the log is told why. */
static void fail_write(struct noc_connection *connection, int number)
{
    char text[200];

    (void)snprintf(text, sizeof text, "%s", strerror(number));
    if (connection->tls != NULL) {
        (void)noc_tls_error_text(connection->tls, text, sizeof text);
    }
    noc_connection_fail(connection, NOC_END_ERROR, text);
}

void noc_connection_go_on(struct noc_connection *connection)
{
    if (!noc_connection_flush(connection)) {
        fail_write(connection, errno);
    } else if (connection->phase == NOC_PHASE_DRAINING) {
        if (!noc_connection_has_output(connection)) {
            end_output(connection);
        }
    } else if (!connection->link.is_blocked) {
        noc_link_drained(&connection->link);
    }
}

/* The socket has room: what waits for it is written with the turn, as everything is. */
static void write_with_turn(struct noc_connection *connection)
{
    if (!noc_list_is_linked(&connection->link.dirty)) {
        noc_list_append(&connection->link.shard->dirty, &connection->link.dirty);
    }
}

/*
 * The peer has closed both directions, and nobody reads here now. What it sent last
 * still waits, so it is not over; but the loop would tell of it over and over. It is
 * taken back by noc_connection_update(), when reading goes on.
 */
static void leave_loop(struct noc_connection *connection)
{
    noc_loop_remove(&noc_connection_worker(connection)->loop, connection->fd);
    connection->is_in_loop = false;
}

void noc_connection_on_event(struct noc_connection *connection, const struct noc_loop_event *event)
{
    bool is_readable = event->readable || event->hangup || event->error;

    if (connection->is_lingering) {
        throw_away_input(connection);
        return;
    }
    if (event->writable &&
        (connection->phase == NOC_PHASE_TLS || (connection->waits_to_write && !is_readable))) {
        is_readable = true;
    } else if (event->writable && connection->link.is_blocked) {
        write_with_turn(connection);
    }
    if (can_read(connection)) {
        if (is_readable) {
            noc_connection_read(connection);
        }
    } else if (event->error) {
        noc_connection_fail(connection, NOC_END_PEER_CLOSED, NULL);
    } else if (event->hangup && connection->is_in_loop && connection->interest == NOC_LOOP_NONE) {
        leave_loop(connection);
    }
}

void noc_connection_look_again(struct noc_connection *connection)
{
    noc_connection_read_waiting(connection);
    /* What TLS holds already, its end included, comes with no event. */
    if (can_read(connection) && connection->tls != NULL) {
        noc_connection_read(connection);
    }
}

/* ---- pings ---- */

void noc_connection_start_pings(struct noc_connection *connection)
{
    struct noc_shard *shard = connection->link.shard;
    int interval_s = connection->endpoint->config->websocket_ping_interval_s;

    if (interval_s > 0 && connection->ws != NULL && connection->ws->is_upgraded &&
        connection->phase == NOC_PHASE_OPEN && connection->link.state != NOC_LINK_MOVING) {
        noc_timer_set(
            &shard->timers, &connection->timer, shard->now_ms + (uint64_t)interval_s * 1000);
    }
}

/* A quiet line gets a ping; one whose pong is late is dead. */
static void ping(struct noc_connection *connection)
{
    const struct noc_listener_config *config = connection->endpoint->config;
    struct noc_shard *shard = connection->link.shard;
    struct noc_ws_state *ws = connection->ws;
    uint64_t interval_ms = (uint64_t)config->websocket_ping_interval_s * 1000;
    uint64_t timeout_ms = (uint64_t)config->websocket_ping_timeout_s * 1000;

    if (!connection->is_reading) {
        ws->heard_ms = shard->now_ms; /* its pong may lie unread: the clock stands still */
    }
    /* What we send says nothing about the peer: it may go into the buffers of a dead line. */
    if (ws->is_ping_out && shard->now_ms - ws->heard_ms >= timeout_ms) {
        noc_connection_fail(connection, NOC_END_TIMEOUT, "no answer to a WebSocket ping");
        return;
    }
    if (!ws->is_ping_out && shard->now_ms - ws->spoke_ms >= interval_ms) {
        ws->control_n = (uint8_t)noc_ws_ping_write(ws->control, noc_slice(NULL, 0), NULL);
        ws->is_ping_out = true;
        noc_link_mark_dirty(&connection->link);
        ws->spoke_ms = ws->heard_ms = shard->now_ms;
    }
    noc_timer_set(&shard->timers, &connection->timer,
        ws->is_ping_out ? ws->heard_ms + timeout_ms : ws->spoke_ms + interval_ms);
}

void noc_connection_tick(struct noc_connection *connection)
{
    if (connection->phase == NOC_PHASE_DRAINING) {
        noc_connection_finish(connection);
    } else if (connection->phase == NOC_PHASE_OPEN && connection->ws != NULL) {
        ping(connection);
    }
}

/* ---- hand-over ---- */

void noc_connection_detach(struct noc_link *link)
{
    struct noc_connection *connection = noc_connection_of(link);
    struct noc_worker *worker = noc_connection_worker(connection);

    noc_loop_remove(&worker->loop, connection->fd);
    connection->is_in_loop = false;
    noc_list_remove(&connection->again);
    noc_timer_stop(&worker->shard.timers, &connection->timer);
}

void noc_connection_adopt(struct noc_link *link)
{
    struct noc_connection *connection = noc_connection_of(link);

    if (!noc_admission_still_admits(connection)) {
        noc_connection_fail(connection, NOC_END_NOT_AUTHORISED, "credentials revoked");
        return;
    }
    connection->is_reading = true;
    noc_connection_update(connection);
    noc_connection_again(connection);
    noc_connection_start_pings(connection);
}

bool noc_connection_has_gone(struct noc_link *link)
{
    const struct noc_connection *connection = noc_connection_of(link);
    struct pollfd entry = {.fd = connection->fd, .events = POLLRDHUP};

    return poll(&entry, 1, 0) == 1;
}

/* In 2.1 the log says with what a client's connection is secured. */
void noc_connection_opened(struct noc_link *link)
{
    struct noc_connection *connection = noc_connection_of(link);
    const struct noc_limits *limits = &link->shard->core->limits;

    if (connection->tls != NULL && limits->compatibility == NOC_COMPAT_2_1 &&
        limits->connection_messages) {
        noc_log(noc_connection_worker(connection)->log, NOC_LOG_NOTICE,
            "Client %.*s negotiated %s cipher %s", NOC_SLICE_ARG(noc_link_name(link)),
            noc_tls_version(connection->tls), noc_tls_cipher(connection->tls));
    }
}

void noc_connection_read_on(struct noc_link *link, bool on)
{
    struct noc_connection *connection = noc_connection_of(link);

    connection->is_reading = on;
    noc_connection_update(connection);
    if (on) {
        noc_connection_again(connection);
        if (connection->ws != NULL) {
            connection->ws->heard_ms = link->shard->now_ms;
        }
    }
}

/* ---- the end ---- */

void noc_connection_fail(struct noc_connection *connection, enum noc_end end, const char *text)
{
    if (connection->phase == NOC_PHASE_DRAINING) {
        noc_connection_finish(connection);
    } else if (connection->phase != NOC_PHASE_DEAD) {
        if (end == NOC_END_ERROR || end == NOC_END_PEER_CLOSED) {
            connection->is_lost = end == NOC_END_ERROR;
        }
        noc_link_end(&connection->link, end, text);
    }
}

/* A WebSocket says goodbye with a close frame of its own. */
static void add_close_frame(struct noc_connection *connection)
{
    struct noc_ws_state *ws = connection->ws;
    unsigned code = NOC_WS_CLOSE_NORMAL;

    if (ws == NULL || !ws->is_upgraded) {
        return;
    }
    if (ws->close_code != 0) {
        code = ws->close_code;
    } else if (connection->link.shard->is_stopping) {
        code = NOC_WS_CLOSE_GOING_AWAY;
    }
    /* A pong that has not gone out is of no use any more. */
    ws->control_n =
        (uint8_t)noc_ws_close_write(ws->control, code, noc_slice_of(ws->close_text), NULL);
    ws->is_closing = true;
}

void noc_connection_close(struct noc_link *link)
{
    struct noc_connection *connection = noc_connection_of(link);
    struct noc_worker *worker = noc_connection_worker(connection);

    if (connection->phase >= NOC_PHASE_DRAINING) {
        return;
    }
    noc_list_remove(&connection->again);
    noc_timer_stop(&worker->shard.timers, &connection->timer);
    if (connection->phase == NOC_PHASE_TLS || connection->is_lost) {
        noc_connection_finish(connection);
        return;
    }
    if (connection->phase == NOC_PHASE_OPEN) {
        add_close_frame(connection);
    }
    noc_connection_answer_late(connection);
    connection->phase = NOC_PHASE_DRAINING;
    connection->is_last_word |= noc_connection_has_output(connection);
    noc_list_append(&worker->draining, &connection->ending);
    noc_timer_set(&worker->shard.timers, &connection->timer, worker->shard.now_ms + DRAIN_MS);
    if (link->is_blocked) {
        noc_connection_update(connection);
    } else {
        noc_link_mark_dirty(link);
    }
}

/* Close, what has come read away: see LINGER_MS. */
static void close_gently(struct noc_connection *connection, uint8_t *scratch)
{
    if (!connection->is_lingering) {
        if (connection->tls != NULL) {
            noc_tls_shutdown(connection->tls);
        }
        (void)shutdown(connection->fd, SHUT_WR);
    }
    (void)read_away(connection, scratch);
    (void)close(connection->fd);
    connection->fd = -1;
}

void noc_connection_finish(struct noc_connection *connection)
{
    struct noc_worker *worker = noc_connection_worker(connection);

    if (connection->phase == NOC_PHASE_DEAD) {
        return;
    }
    if (connection->is_in_loop) {
        noc_loop_remove(&worker->loop, connection->fd);
        connection->is_in_loop = false;
    }
    connection->phase = NOC_PHASE_DEAD;
    close_gently(connection, worker->scratch);
    noc_timer_stop(&worker->shard.timers, &connection->timer);
    noc_list_remove(&connection->again);
    noc_list_remove(&connection->link.dirty);
    noc_list_remove(&connection->ending);
    noc_list_append(&worker->dead, &connection->ending);
    atomic_fetch_sub_explicit(&connection->endpoint->connections, 1, memory_order_relaxed);
}

void noc_connection_free(struct noc_connection *connection)
{
    noc_list_remove(&connection->ending);
    noc_link_done(&connection->link);
    noc_tls_free(connection->tls);
    free(connection->given_name);
    noc_scram_free(connection->scram);
    if (connection->ws != NULL) {
        free(connection->ws->waiting);
        free(connection->ws);
    }
    free(connection);
}
