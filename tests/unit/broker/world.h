/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_TESTS_BROKER_WORLD_H
#define NOC_TESTS_BROKER_WORLD_H
/*
 * A worker without its thread, and a connection of it over a pair of sockets. A second
 * worker's shard is there, but takes no turn.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sys/socket.h>
#include <unistd.h>

#include "broker/broker.h"
#include "broker/connection.h"

struct world {
    struct noc_broker broker;
    struct noc_config config;
    struct noc_listener_config listener;
    struct noc_endpoint endpoint;
    struct noc_worker *worker;
    struct noc_shard *other;
    struct noc_connection *connection;
    int peer; /* the client's end */
};

static void world_close(struct noc_link *link)
{
    noc_connection_close(link);
}

static void world_tick(struct noc_shard *shard, struct noc_timer *timer)
{
    (void)shard;
    noc_connection_tick(NOC_CONTAINER(timer, struct noc_connection, timer));
}

static void world_wake(struct noc_shard *shard, unsigned number)
{
    (void)shard;
    (void)number;
}

NOC_PRINTF(3, 0)
static void world_log(
    struct noc_shard *shard, enum noc_log_level level, const char *format, va_list args)
{
    (void)shard;
    (void)level;
    (void)format;
    (void)args;
}

static int world_authenticate(
    struct noc_link *link, const struct noc_credentials *credentials, uint64_t ticket)
{
    (void)link;
    (void)credentials;
    (void)ticket;
    return NOC_OK;
}

static const struct noc_shard_ops world_ops = {.wake = world_wake,
    .authenticate = world_authenticate,
    .read_on = noc_connection_read_on,
    .close = world_close,
    .tick = world_tick,
    .log = world_log};

static inline int world_enter(void **state)
{
    static const struct noc_limits limits = {.connect_timeout_ms = 60000,
        .max_output_bytes = 1 << 20,
        .mailbox_high = 100,
        .listener_count = 1};
    struct world *world = calloc(1, sizeof *world);
    struct noc_worker *worker;

    assert_non_null(world);
    world->peer = -1;
    world->broker.config = &world->config;
    world->broker.worker_count = 1;
    assert_int_equal(noc_core_init(&world->broker.core, 2, &limits, 7), NOC_OK);
    worker = aligned_alloc(_Alignof(struct noc_worker), sizeof *worker);
    assert_non_null(worker);
    memset(worker, 0, sizeof *worker);
    world->broker.workers = world->worker = worker;
    worker->broker = &world->broker;
    noc_list_init(&worker->again);
    noc_list_init(&worker->draining);
    noc_list_init(&worker->dead);
    worker->scratch = malloc(NOC_SCRATCH_BYTES);
    worker->gather = malloc(NOC_GATHER_BYTES);
    assert_int_equal(noc_loop_init(&worker->loop), NOC_OK);
    assert_int_equal(
        noc_shard_init(&worker->shard, &world->broker.core, 0, &world_ops, worker, 1000), NOC_OK);
    world->other = aligned_alloc(_Alignof(struct noc_shard), sizeof *world->other);
    assert_non_null(world->other);
    assert_int_equal(
        noc_shard_init(world->other, &world->broker.core, 1, &world_ops, NULL, 1000), NOC_OK);
    world->listener.max_connections = -1;
    world->endpoint.config = &world->listener;
    *state = world;
    return 0;
}

/* What a turn does at its end. */
static inline void world_flush(struct world *world)
{
    struct noc_link *link;

    while ((link = noc_shard_next_dirty(&world->worker->shard)) != NULL) {
        noc_connection_go_on(noc_connection_of(link));
    }
}

/* A turn, in two parts: before and after what is read. */
static inline void world_begin_turn(struct world *world, uint64_t now_ms)
{
    struct noc_shard *shard = &world->worker->shard;

    noc_shard_begin(shard, now_ms);
    noc_shard_drain_mail(shard);
}

static inline void world_end_turn(struct world *world)
{
    struct noc_shard *shard = &world->worker->shard;

    noc_shard_settle(shard);
    world_flush(world);
    (void)noc_shard_end(shard);
    (void)!noc_shard_sleep(shard);
    noc_shard_woken(shard);
}

static inline void world_turn(struct world *world, uint64_t now_ms)
{
    world_begin_turn(world, now_ms);
    world_end_turn(world);
}

/* Accept the other end of the peer. */
static inline struct noc_connection *world_accept(struct world *world)
{
    static const struct noc_address address = {.text = "test"};
    struct noc_worker *worker = world->worker;
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    world->peer = pair[0];
    noc_connection_open(worker, &world->endpoint, pair[1], &address);
    world->connection =
        noc_connection_of(NOC_CONTAINER(worker->shard.links.prev, struct noc_link, link_in_shard));
    return world->connection;
}

static inline int world_leave(void **state)
{
    struct world *world = *state;

    noc_worker_close_links(world->worker);
    noc_shard_close_links(world->other);
    assert_int_equal(atomic_load(&world->endpoint.connections), 0);
    noc_worker_done(world->worker);
    noc_shard_done(world->other);
    free(world->other);
    noc_core_done(&world->broker.core);
    free(world->worker);
    if (world->peer >= 0) {
        (void)close(world->peer);
    }
    free(world);
    return 0;
}

#define WORLD_TEST(name) cmocka_unit_test_setup_teardown(name, world_enter, world_leave)

#endif
