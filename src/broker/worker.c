/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "broker/worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "broker/broker.h"
#include "broker/connection.h"
#include "broker/durable.h"
#include "net/clock.h"

enum {
    ACCEPTS_MAX = 64,     /* in one go from one listener: then the others have their turn */
    FULL_TELL_MS = 10000, /* between two lines about descriptors that are out */
};

/* ---- what the shard asks for ---- */

static void op_wake(struct noc_shard *shard, unsigned number)
{
    struct noc_broker *broker = noc_worker_of(shard)->broker;

    noc_loop_ring_mt(&broker->workers[number].loop);
}

static void op_random(struct noc_shard *shard, void *bytes, size_t n)
{
    (void)shard;
    if (getrandom(bytes, n, 0) != (ssize_t)n) {
        abort(); /* the kernel gives up to 256 bytes always, once it has booted */
    }
}

NOC_PRINTF(3, 0)
static void op_log(
    struct noc_shard *shard, enum noc_log_level level, const char *format, va_list args)
{
    noc_log_v(noc_worker_of(shard)->log, level, format, args);
}

static void op_tick(struct noc_shard *shard, struct noc_timer *timer)
{
    (void)shard;
    noc_connection_tick(NOC_CONTAINER(timer, struct noc_connection, timer));
}

static const struct noc_shard_ops ops = {
    .wake = op_wake,
    .authenticate = noc_admission_authenticate,
    .exchange = noc_extended_step,
    .detach = noc_connection_detach,
    .adopt = noc_connection_adopt,
    .has_gone = noc_connection_has_gone,
    .opened = noc_connection_opened,
    .read_on = noc_connection_read_on,
    .close = noc_connection_close,
    .store = noc_durable_submit,
    .page = noc_durable_page,
    .tick = op_tick,
    .random = op_random,
    .log = op_log,
};

/* ---- life ---- */

static int watch_listeners(struct noc_worker *worker)
{
    struct noc_broker *broker = worker->broker;
    size_t count = 0;

    for (size_t i = 0; i < broker->endpoint_count; i++) {
        count += broker->endpoints[i].sockets.count;
    }
    worker->listeners = calloc(count + 1, sizeof *worker->listeners);
    if (worker->listeners == NULL) {
        return NOC_ENOMEM;
    }
    for (size_t i = 0; i < broker->endpoint_count; i++) {
        struct noc_endpoint *endpoint = &broker->endpoints[i];

        for (size_t s = 0; s < endpoint->sockets.count; s++) {
            struct noc_listen_watch *watch = &worker->listeners[worker->listener_count++];

            watch->watch.kind = NOC_WATCH_LISTENER;
            watch->endpoint = endpoint;
            watch->fd = endpoint->sockets.at[s].fd;
            if (noc_loop_add(&worker->loop, watch->fd, NOC_LOOP_READ | NOC_LOOP_EXCLUSIVE, watch) !=
                NOC_OK) {
                return NOC_EIO;
            }
        }
    }
    return NOC_OK;
}

int noc_worker_init(
    struct noc_worker *worker, struct noc_broker *broker, unsigned number, uint64_t now_ms)
{
    int err;

    worker->broker = broker;
    worker->log = broker->log;
    noc_list_init(&worker->again);
    noc_list_init(&worker->draining);
    noc_list_init(&worker->dead);
    noc_accept_reserve_init(&worker->reserve);
    worker->scratch = malloc(NOC_SCRATCH_BYTES);
    worker->gather = malloc(NOC_GATHER_BYTES);
    worker->events = malloc(NOC_EVENTS_MAX * sizeof *worker->events);
    if (worker->scratch == NULL || worker->gather == NULL || worker->events == NULL) {
        err = NOC_ENOMEM;
        goto free_scratch;
    }
    err = noc_loop_init(&worker->loop);
    if (err != NOC_OK) {
        goto free_scratch;
    }
    err = noc_shard_init(&worker->shard, &broker->core, number, &ops, worker, now_ms);
    if (err != NOC_OK) {
        goto free_loop;
    }
    err = watch_listeners(worker);
    if (err != NOC_OK) {
        goto free_shard;
    }
    noc_admission_put_in_force(&worker->shard, noc_admission_ref(broker->access));
    return NOC_OK;

free_shard:
    noc_shard_done(&worker->shard);
    free(worker->listeners);
free_loop:
    noc_loop_done(&worker->loop);
free_scratch:
    noc_accept_reserve_done(&worker->reserve);
    free(worker->scratch);
    free(worker->gather);
    free(worker->events);
    return err;
}

static void bury_dead(struct noc_worker *worker)
{
    struct noc_list *at;

    while ((at = noc_list_take(&worker->dead)) != NULL) {
        noc_connection_free(NOC_CONTAINER(at, struct noc_connection, ending));
    }
}

void noc_worker_close_links(struct noc_worker *worker)
{
    noc_shard_close_links(&worker->shard);
    while (!noc_list_is_empty(&worker->draining)) {
        noc_connection_finish(NOC_CONTAINER(worker->draining.next, struct noc_connection, ending));
    }
    bury_dead(worker);
}

void noc_worker_done(struct noc_worker *worker)
{
    noc_shard_done(&worker->shard);
    noc_admission_unref(worker->access);
    noc_loop_done(&worker->loop);
    noc_accept_reserve_done(&worker->reserve);
    free(worker->listeners);
    free(worker->scratch);
    free(worker->gather);
    free(worker->events);
}

/* ---- accepting ---- */

/* The listener is left alone for a moment: what can't be accepted would keep the loop awake. */
static void pause_listener(struct noc_worker *worker, struct noc_listen_watch *watch, int err)
{
    uint64_t now_ms = worker->shard.now_ms;

    noc_loop_remove(&worker->loop, watch->fd);
    watch->paused_until_ms = now_ms + NOC_ACCEPT_PAUSE_MS;
    worker->paused_listeners++;
    if (worker->full_told_ms != 0 && now_ms - worker->full_told_ms < FULL_TELL_MS) {
        return;
    }
    worker->full_told_ms = now_ms;
    if (err == NOC_EFULL) {
        noc_log(worker->log, NOC_LOG_ERROR,
            "Error: Unable to accept new connection, system socket count has been exceeded. "
            "Try increasing \"ulimit -n\" or equivalent.");
    } else {
        noc_log(worker->log, NOC_LOG_ERROR, "Error: Unable to accept new connections: %s.",
            strerror(errno));
    }
}

static void accept_some(struct noc_worker *worker, struct noc_listen_watch *watch)
{
    bool no_delay = worker->broker->config->set_tcp_nodelay;

    for (int i = 0; i < ACCEPTS_MAX && !worker->is_closed; i++) {
        struct noc_address address;
        int fd;
        int err = noc_accept(watch->fd, no_delay, &worker->reserve, &fd, &address);

        if (err == NOC_EAGAIN) {
            return;
        }
        if (err == NOC_OK) {
            noc_connection_open(worker, watch->endpoint, fd, &address);
        } else if (err != NOC_ECLOSED) {
            pause_listener(worker, watch, err);
            return;
        }
    }
}

/* Listeners that were left alone for a while come back. */
static void wake_listeners(struct noc_worker *worker)
{
    if (worker->paused_listeners == 0 || worker->is_closed) {
        return;
    }
    for (size_t i = 0; i < worker->listener_count; i++) {
        struct noc_listen_watch *watch = &worker->listeners[i];

        if (watch->paused_until_ms != 0 && watch->paused_until_ms <= worker->shard.now_ms &&
            noc_loop_add(&worker->loop, watch->fd, NOC_LOOP_READ | NOC_LOOP_EXCLUSIVE, watch) ==
                NOC_OK) {
            watch->paused_until_ms = 0;
            worker->paused_listeners--;
        }
    }
}

void noc_worker_stop_accepting(struct noc_worker *worker)
{
    worker->is_closed = true;
    for (size_t i = 0; i < worker->listener_count; i++) {
        noc_loop_remove(&worker->loop, worker->listeners[i].fd);
    }
}

/* ---- the turn ---- */

static void handle(struct noc_worker *worker, const struct noc_loop_event *event)
{
    struct noc_watch *watch = event->owner;
    struct noc_connection *connection;

    if (watch->kind == NOC_WATCH_LISTENER) {
        accept_some(worker, (struct noc_listen_watch *)(void *)watch);
        return;
    }
    connection = (struct noc_connection *)(void *)watch;
    if (connection->is_in_loop) { /* else it died or left in this turn */
        noc_connection_on_event(connection, event);
    }
}

static void look_again(struct noc_worker *worker)
{
    struct noc_list turn, *at;

    noc_list_init(&turn);
    noc_list_join(&turn, &worker->again);
    while ((at = noc_list_take(&turn)) != NULL) {
        noc_connection_look_again(NOC_CONTAINER(at, struct noc_connection, again));
    }
}

static void flush(struct noc_worker *worker)
{
    struct noc_list turn, *at;

    noc_list_init(&turn);
    noc_list_join(&turn, &worker->shard.dirty);
    while ((at = noc_list_take(&turn)) != NULL) {
        noc_connection_go_on(noc_connection_of(NOC_CONTAINER(at, struct noc_link, dirty)));
    }
}

/* How long to wait for events; the shard is offline during it. */
static int wait_for_events(struct noc_worker *worker, uint64_t rest_ms)
{
    bool is_busy = !noc_list_is_empty(&worker->again);
    uint64_t most_ms = worker->paused_listeners > 0 ? NOC_ACCEPT_PAUSE_MS : 1000;
    int timeout_ms = is_busy ? 0 : (int)(rest_ms < most_ms ? rest_ms : most_ms);
    int count;

    if (!noc_shard_sleep(&worker->shard)) {
        timeout_ms = 0;
    }
    count = noc_loop_wait(&worker->loop, timeout_ms, worker->events, NOC_EVENTS_MAX);
    noc_shard_woken(&worker->shard);
    return count;
}

void noc_worker_stop(struct noc_worker *worker, uint64_t within_ms)
{
    struct noc_list *next;

    worker->is_stopping = true;
    worker->stop_by_ms = worker->shard.now_ms + within_ms;
    noc_shard_stop(&worker->shard);
    for (struct noc_list *at = worker->draining.next; at != &worker->draining; at = next) {
        struct noc_connection *connection = NOC_CONTAINER(at, struct noc_connection, ending);

        next = at->next;
        if (connection->is_lingering) {
            noc_connection_finish(connection);
        }
    }
}

static bool is_over(const struct noc_worker *worker)
{
    return worker->is_stopping &&
           (noc_list_is_empty(&worker->draining) || worker->shard.now_ms >= worker->stop_by_ms);
}

static void *run(void *context)
{
    struct noc_worker *worker = context;
    struct noc_shard *shard = &worker->shard;
    uint64_t rest_ms = 0;

    noc_reclaim_online(shard->core->reclaim, shard->number);
    while (!is_over(worker)) {
        int count = wait_for_events(worker, rest_ms);

        noc_shard_begin(shard, noc_clock_ms());
        noc_shard_drain_mail(shard);
        for (int i = 0; i < count; i++) {
            handle(worker, &worker->events[i]);
        }
        look_again(worker);
        wake_listeners(worker);
        noc_shard_settle(shard);
        flush(worker);
        bury_dead(worker);
        rest_ms = noc_shard_end(shard);
    }
    noc_reclaim_offline(shard->core->reclaim, shard->number);
    return NULL;
}

int noc_worker_start(struct noc_worker *worker)
{
    char name[16];

    if (pthread_create(&worker->thread, NULL, run, worker) != 0) {
        return NOC_ENOMEM;
    }
    (void)snprintf(name, sizeof name, "worker %u", worker->shard.number);
    (void)pthread_setname_np(worker->thread, name);
    worker->is_started = true;
    return NOC_OK;
}

void noc_worker_join(struct noc_worker *worker)
{
    if (worker->is_started) {
        (void)pthread_join(worker->thread, NULL);
        worker->is_started = false;
    }
}

int noc_worker_call_mt(struct noc_worker *worker, noc_shard_call_fn *function, void *argument)
{
    bool wake;
    int err =
        noc_shard_call_mt(worker->shard.core, worker->shard.number, function, argument, &wake);

    if (err == NOC_OK && wake) {
        noc_loop_ring_mt(&worker->loop);
    }
    return err;
}
