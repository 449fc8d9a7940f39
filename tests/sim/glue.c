/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
/*
 * A second glue around the core, next to src/broker: wires instead of sockets,
 * and chance wherever a network, a scheduler or a pool of threads has its way:
 * how much of what came is read at once, how much of what goes is taken, when
 * an authentication is answered, what a turn finds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/mail.h"
#include "sim.h"

enum conn_phase { OPEN = 0, AWAY, DRAINING, DEAD };

/* The server's end of a wire. */
struct sim_conn {
    struct noc_link link;
    struct sim_worker *worker; /* NULL while it is away */
    struct sim_wire *wire;
    struct noc_list in_worker; /* in conns, or in dead */
    struct noc_timer timer;    /* kind NOC_TIMER_GLUE: draining takes too long */
    enum conn_phase phase;
    bool is_reading, is_lost;
};

static struct sim_conn *conn_of(struct noc_link *link)
{
    return NOC_CONTAINER(link, struct sim_conn, link);
}

static struct sim_worker *worker_of(struct noc_shard *shard)
{
    return shard->context;
}

/* ---- output ---- */

/* Move what the wire takes. False: the peer is gone. */
static bool flush(struct sim_conn *conn)
{
    struct sim_worker *worker = conn->link.shard->context;
    struct noc_outq *out = &conn->link.out;
    struct sim_wire *wire = conn->wire;
    size_t most = SIZE_MAX;
    bool is_active = worker->world->is_active, is_cut;

    if (is_active && sim_chance(&worker->random, worker->world->profile->short_write)) {
        most = sim_below(&worker->random, 100);
    }
    (void)pthread_mutex_lock(&wire->lock);
    is_cut = wire->is_cut;
    while (!is_cut && out->bytes > 0) {
        size_t most_there = is_active ? wire->down_room : SIZE_MAX;
        size_t room = most_there > wire->down.n ? most_there - wire->down.n : 0;
        size_t n = out->first->n;

        n = n < room ? n : room;
        n = n < most ? n : most;
        if (n == 0 && out->first->n > 0) {
            break;
        }
        sim_pipe_put(&wire->down, out->first->at, n);
        noc_outq_consume(out, &conn->link.shard->blocks, n);
        most -= n;
    }
    (void)pthread_mutex_unlock(&wire->lock);
    conn->link.is_blocked = !is_cut && out->bytes > 0;
    return !is_cut;
}

/* ---- the end ---- */

static void finish(struct sim_conn *conn)
{
    if (conn->phase == DEAD) {
        return;
    }
    conn->phase = DEAD;
    noc_timer_stop(&conn->link.shard->timers, &conn->timer);
    noc_list_remove(&conn->in_worker);
    noc_list_append(&worker_of(conn->link.shard)->dead, &conn->in_worker);
    (void)pthread_mutex_lock(&conn->wire->lock);
    conn->wire->is_server_gone = true;
    (void)pthread_mutex_unlock(&conn->wire->lock);
}

static void op_close(struct noc_link *link)
{
    struct sim_conn *conn = conn_of(link);
    uint64_t now_ms = link->shard->now_ms;

    if (conn->phase >= DRAINING) {
        return;
    }
    (void)pthread_mutex_lock(&conn->wire->lock);
    conn->wire->is_ended = true;
    conn->wire->ended_ms = now_ms;
    (void)pthread_mutex_unlock(&conn->wire->lock);
    if (conn->worker == NULL) { /* it was on its way when all ended */
        conn->worker = worker_of(link->shard);
        noc_list_append(&conn->worker->conns, &conn->in_worker);
    }
    conn->phase = DRAINING;
    if (conn->is_lost || !flush(conn) || link->out.bytes == 0) {
        finish(conn);
        return;
    }
    noc_timer_set(&link->shard->timers, &conn->timer, now_ms + 5000);
}

static void op_tick(struct noc_shard *shard, struct noc_timer *timer)
{
    (void)shard;
    finish(NOC_CONTAINER(timer, struct sim_conn, timer));
}

static void conn_free(struct sim_conn *conn)
{
    noc_list_remove(&conn->in_worker);
    noc_link_done(&conn->link);
    sim_wire_unref(conn->wire);
    free(conn);
}

void sim_worker_bury(struct sim_worker *worker, bool all)
{
    struct noc_list *at;

    while (all && !noc_list_is_empty(&worker->conns)) {
        struct sim_conn *conn = NOC_CONTAINER(worker->conns.next, struct sim_conn, in_worker);

        if (conn->phase == DRAINING) {
            finish(conn);
        } else {
            sim_fail(worker->world, "a connection was left open");
        }
    }
    while ((at = noc_list_take(&worker->dead)) != NULL) {
        conn_free(NOC_CONTAINER(at, struct sim_conn, in_worker));
    }
}

/* ---- what the shard asks for ---- */

static void op_wake(struct noc_shard *shard, unsigned worker)
{
    sim_wake(worker_of(shard)->world, worker);
}

static int judgement(struct sim_worker *worker)
{
    if (sim_chance(&worker->random, worker->world->profile->denied)) {
        return sim_chance(&worker->random, 500) ? NOC_EDENIED : NOC_EFULL;
    }
    return NOC_OK;
}

static int op_authenticate(
    struct noc_link *link, const struct noc_credentials *credentials, uint64_t ticket)
{
    struct sim_worker *worker = worker_of(link->shard);
    int result = judgement(worker);

    if (credentials->client_id.n == 0) {
        sim_fail(worker->world, "a client without an id is to be judged");
    }
    if (!sim_chance(&worker->random, worker->world->profile->late) ||
        worker->ticket_count == NOC_COUNT(worker->tickets)) {
        return result;
    }
    worker->tickets[worker->ticket_count++] =
        (struct sim_ticket){ticket, 1 + sim_below(&worker->random, 12), result};
    return NOC_EAGAIN;
}

/* No client of the simulator names a method. */
static int op_exchange(
    struct noc_link *link, const struct noc_exchange_step *step, uint8_t *ret_data, size_t *ret_n)
{
    (void)step;
    (void)ret_data;
    (void)ret_n;
    sim_fail(worker_of(link->shard)->world, "a client has named a method");
    return NOC_ENOTSUP;
}

static void op_detach(struct noc_link *link)
{
    struct sim_conn *conn = conn_of(link);

    if (conn->phase != OPEN) {
        sim_fail(worker_of(link->shard)->world, "a link departs that is not open");
    }
    conn->phase = AWAY;
    conn->worker = NULL;
    noc_list_remove(&conn->in_worker);
}

static void op_adopt(struct noc_link *link)
{
    struct sim_conn *conn = conn_of(link);

    if (conn->phase != AWAY) {
        sim_fail(worker_of(link->shard)->world, "a link arrives that had not departed");
    }
    conn->phase = OPEN;
    conn->is_reading = true;
    conn->worker = worker_of(link->shard);
    noc_list_append(&conn->worker->conns, &conn->in_worker);
    if (sim_chance(&conn->worker->random, conn->worker->world->profile->cut_connect / 4)) {
        noc_link_end(link, NOC_END_ERROR, "the loop takes no more"); /* as a glue may have to */
    }
}

static void op_read_on(struct noc_link *link, bool on)
{
    conn_of(link)->is_reading = on;
}

static void op_random(struct noc_shard *shard, void *bytes, size_t n)
{
    uint8_t *at = bytes;

    while (n-- > 0) {
        *at++ = (uint8_t)sim_random(&worker_of(shard)->random);
    }
}

NOC_PRINTF(3, 0)
static void op_log(
    struct noc_shard *shard, enum noc_log_level level, const char *format, va_list args)
{
    struct sim_worker *worker = worker_of(shard);
    char text[sizeof worker->last_log[0]];

    (void)level;
    (void)vsnprintf(text, sizeof text, format, args);
    sim_say(worker->world, "shard %u: %s", shard->number, text);
    if (strstr(text, "exceeded timeout") != NULL) {
        worker->timeouts++;
    }
    memcpy(worker->last_log[1], worker->last_log[0], sizeof text);
    memcpy(worker->last_log[0], text, sizeof text);
}

static const struct noc_shard_ops ops = {
    .wake = op_wake,
    .authenticate = op_authenticate,
    .exchange = op_exchange,
    .detach = op_detach,
    .adopt = op_adopt,
    .read_on = op_read_on,
    .close = op_close,
    .tick = op_tick,
    .random = op_random,
    .log = op_log,
};

/* ---- connections ---- */

/* shard NULL: it never came to be. */
static void accept_conn(struct noc_shard *shard, void *argument)
{
    struct sim_conn *conn = argument;

    if (shard == NULL) {
        sim_wire_unref(conn->wire);
        free(conn);
        return;
    }
    conn->worker = worker_of(shard);
    conn->is_reading = true;
    conn->link.shard = shard;
    noc_list_append(&conn->worker->conns, &conn->in_worker);
    noc_link_init(&conn->link);
}

struct sim_wire *sim_connect(struct sim_world *world, unsigned shard, unsigned listener)
{
    struct sim_conn *conn = sim_alloc(sizeof *conn);
    size_t room = world->profile->is_small_room ? 50 + sim_below(&world->random, 3000) : 1 << 18;
    bool is_wake;

    memset(conn, 0, sizeof *conn);
    conn->wire = sim_wire_new(room);
    conn->link.listener = &world->listeners[listener];
    conn->link.address = noc_slice_of("sim");
    noc_list_init(&conn->in_worker);
    noc_timer_init(&conn->timer, NOC_TIMER_GLUE);
    if (noc_shard_call_mt(&world->core, shard, accept_conn, conn, &is_wake) != NOC_OK) {
        abort();
    }
    if (is_wake) {
        sim_wake(world, shard);
    }
    return conn->wire;
}

/* ---- input ---- */

static size_t some(struct sim_random *random, size_t n)
{
    unsigned kind = sim_below(random, 8);

    if (kind == 0) {
        return 1;
    }
    return kind < 4 ? 1 + sim_below(random, (unsigned)(n < 40 ? n : 40)) : n;
}

/* Read once. False: there is nothing more for now, or the link is no longer ours. */
static bool read_once(struct sim_conn *conn)
{
    struct sim_worker *worker = conn->worker;
    struct sim_wire *wire = conn->wire;
    uint8_t bytes[4096];
    size_t n = 0;
    bool is_over;

    (void)pthread_mutex_lock(&wire->lock);
    is_over = wire->is_cut;
    if (!is_over && wire->up.n > 0) {
        n = some(&worker->random, wire->up.n);
        n = n < sizeof bytes ? n : sizeof bytes;
        n = n < wire->up.n ? n : wire->up.n;
        memcpy(bytes, sim_pipe_peek(&wire->up), n);
        sim_pipe_drop(&wire->up, n);
    } else {
        /* The end is behind all that was sent: it waits as long as that does. */
        is_over |= wire->is_finished && conn->is_reading;
    }
    conn->is_lost = wire->is_cut;
    (void)pthread_mutex_unlock(&wire->lock);
    if (is_over) {
        noc_link_end(&conn->link, NOC_END_PEER_CLOSED, NULL);
        return false;
    }
    if (n > 0) {
        noc_link_feed(&conn->link, bytes, n);
    }
    return n > 0 && conn->phase == OPEN;
}

static bool is_cut(struct sim_conn *conn)
{
    bool is;

    (void)pthread_mutex_lock(&conn->wire->lock);
    is = conn->wire->is_cut;
    (void)pthread_mutex_unlock(&conn->wire->lock);
    return is;
}

static void look_at(struct sim_conn *conn)
{
    struct sim_worker *worker = conn->worker;
    unsigned times = 1 + sim_below(&worker->random, 3);

    if (conn->link.is_blocked && sim_chance(&worker->random, 700)) {
        if (!flush(conn)) {
            conn->is_lost = true;
            noc_link_end(&conn->link, NOC_END_ERROR, "the peer is gone");
        } else if (conn->phase == DRAINING) {
            if (conn->link.out.bytes == 0) {
                finish(conn);
            }
        } else if (!conn->link.is_blocked) {
            noc_link_drained(&conn->link);
        }
    }
    if (conn->phase != OPEN || (!worker->was_held_up && sim_chance(&worker->random, 100))) {
        return; /* it is not looked at in every turn */
    }
    if (!conn->is_reading) {
        if (is_cut(conn)) {
            conn->is_lost = true;
            noc_link_end(&conn->link, NOC_END_PEER_CLOSED, NULL);
        }
        return;
    }
    /* What has been read goes in, even after a pause: the link keeps it. */
    while (times-- > 0 && read_once(conn)) {
    }
}

static void look_at_all(struct sim_worker *worker)
{
    struct sim_conn *conns[1024];
    unsigned count = 0;

    for (struct noc_list *at = worker->conns.next; at != &worker->conns && count < NOC_COUNT(conns);
         at = at->next) {
        conns[count++] = NOC_CONTAINER(at, struct sim_conn, in_worker);
    }
    for (unsigned i = 0; i < count; i++) {
        unsigned other = i + sim_below(&worker->random, count - i);
        struct sim_conn *conn = conns[other];

        conns[other] = conns[i];
        if (conn->worker == worker && conn->phase != DEAD) {
            look_at(conn);
        }
    }
}

/* ---- a turn ---- */

static void answer_tickets(struct sim_worker *worker)
{
    for (unsigned i = 0; i < worker->ticket_count; i++) {
        struct sim_ticket ticket = worker->tickets[i];

        if (--worker->tickets[i].turns == 0) {
            worker->tickets[i--] = worker->tickets[--worker->ticket_count];
            noc_link_authenticated(&worker->shard, ticket.ticket, ticket.result);
        }
    }
}

static void flush_dirty(struct sim_worker *worker)
{
    struct noc_list turn, *at;

    noc_list_init(&turn);
    noc_list_join(&turn, &worker->shard.dirty);
    while ((at = noc_list_take(&turn)) != NULL) {
        struct noc_link *link = NOC_CONTAINER(at, struct noc_link, dirty);
        struct sim_conn *conn = conn_of(link);

        if (!flush(conn)) {
            conn->is_lost = true;
            noc_link_end(link, NOC_END_ERROR, "the peer is gone");
        } else if (!link->is_blocked) {
            noc_link_drained(link);
        }
    }
}

static void begin_turn(struct sim_worker *worker)
{
    struct noc_shard *shard = &worker->shard;

    atomic_store(&worker->is_woken, false);
    noc_shard_woken(shard);
    worker->was_held_up = sim_now(worker->world) > shard->now_ms + 2000;
    noc_shard_begin(shard, sim_now(worker->world));
    noc_shard_drain_mail(shard);
}

static void end_turn(struct sim_worker *worker)
{
    struct noc_shard *shard = &worker->shard;
    uint64_t rest_ms;

    flush_dirty(worker);
    sim_worker_bury(worker, false);
    rest_ms = noc_shard_end(shard);
    worker->wake_ms = shard->now_ms + rest_ms;
    worker->is_asleep = noc_shard_sleep(shard) && worker->ticket_count == 0;
}

void sim_worker_step(struct sim_worker *worker)
{
    bool may_fail = worker->world->is_active;

    sim_memory_fails(
        may_fail ? worker->world->profile->memory_fails : 0, sim_random(&worker->random));
    switch (worker->phase) {
    case 0:
        begin_turn(worker);
        break;
    case 1:
        answer_tickets(worker);
        look_at_all(worker);
        break;
    case 2:
        noc_shard_settle(&worker->shard);
        break;
    default:
        end_turn(worker);
        break;
    }
    worker->phase = (worker->phase + 1) % 4;
    sim_memory_fails(0, 0);
}

void sim_worker_turn(struct sim_worker *worker)
{
    do {
        sim_worker_step(worker);
    } while (worker->phase != 0);
}

/* Would an event loop tell the worker of anything? */
static bool has_event(const struct sim_worker *worker)
{
    for (struct noc_list *at = worker->conns.next; at != &worker->conns; at = at->next) {
        const struct sim_conn *conn = NOC_CONTAINER(at, struct sim_conn, in_worker);
        const struct sim_wire *wire = conn->wire;

        if (wire->is_cut || (conn->is_reading && (wire->up.n > 0 || wire->is_finished)) ||
            (conn->link.is_blocked &&
                (!worker->world->is_active || wire->down.n < wire->down_room))) {
            return true;
        }
    }
    return false;
}

bool sim_worker_is_runnable(struct sim_worker *worker)
{
    if (atomic_load(&worker->is_frozen)) {
        return false;
    }
    return worker->phase != 0 || !worker->is_asleep || atomic_load(&worker->is_woken) ||
           worker->wake_ms <= sim_now(worker->world) || has_event(worker);
}

void sim_wake(struct sim_world *world, unsigned number)
{
    struct sim_worker *worker = &world->workers[number];

    atomic_store(&worker->is_woken, true);
    if (world->is_threaded) {
        (void)pthread_mutex_lock(&worker->lock);
        (void)pthread_cond_signal(&worker->bell);
        (void)pthread_mutex_unlock(&worker->lock);
    }
}

/* Wait for the bell; wires are looked at every millisecond anyway. */
static void wait_for_bell(struct sim_worker *worker)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    (void)pthread_mutex_lock(&worker->lock);
    if (!atomic_load(&worker->is_woken)) {
        (void)pthread_cond_timedwait(&worker->bell, &worker->lock, &until);
    }
    (void)pthread_mutex_unlock(&worker->lock);
}

void *sim_worker_run(void *argument)
{
    struct sim_worker *worker = argument;

    while (!atomic_load(&worker->is_stopping)) {
        if (!atomic_load(&worker->is_frozen)) {
            sim_worker_turn(worker);
        }
        if (worker->is_asleep || atomic_load(&worker->is_frozen)) {
            wait_for_bell(worker);
        }
    }
    return NULL;
}

void sim_worker_init(struct sim_world *world, unsigned number)
{
    struct sim_worker *worker = &world->workers[number];

    worker->world = world;
    worker->random.state = sim_random(&world->random);
    noc_list_init(&worker->conns);
    noc_list_init(&worker->dead);
    atomic_init(&worker->is_woken, false);
    atomic_init(&worker->is_stopping, false);
    atomic_init(&worker->is_frozen, false);
    (void)pthread_mutex_init(&worker->lock, NULL);
    (void)pthread_cond_init(&worker->bell, NULL);
    if (noc_shard_init(&worker->shard, &world->core, number, &ops, worker, sim_now(world)) !=
        NOC_OK) {
        abort();
    }
}
