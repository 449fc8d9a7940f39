/* SPDX-License-Identifier: Apache-2.0 */
/* Deadlines over restarts, with clocks that are right, wrong, or not there. */
#define _GNU_SOURCE
#include "store_harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int setup(void **state)
{
    static struct world world;

    world_init(&world);
    *state = &world;
    return 0;
}

static int teardown(void **state)
{
    world_done(*state);
    return 0;
}

#define YEARS(n) (INT64_C(365) * 86400 * 1000 * (n))

enum { HOUR_MS = 3600000, MINUTE_MS = 60000 };

/* A session with an hour to live. */
static void begin(struct world *world)
{
    struct noc_operations *batch = batch_new();

    world_open(world);
    add_session(batch, 1, "one");
    batch->at[0].as.session->expires_ms = world_clock_ms + HOUR_MS;
    assert_int_equal(submit(world, batch), NOC_OK);
}

static uint64_t left_ms;

static int on_session(void *context, const struct noc_session_record *record)
{
    (void)context;
    left_ms = record->expires_ms < world_clock_ms ? 0 : record->expires_ms - world_clock_ms;
    return NOC_OK;
}

/* Stop, and start with other clocks: what it has left then. */
static uint64_t restart(struct world *world, uint64_t clock_ms, int64_t wall_ms)
{
    const struct noc_store_visitor visitor = {.session = on_session};

    world_close(world);
    world_clock_ms = clock_ms;
    world_wall_ms = wall_ms;
    assert_int_equal(
        noc_store_open(&world->options, &world->store, world->error, sizeof(world->error)), NOC_OK);
    left_ms = UINT64_MAX;
    assert_int_equal(noc_store_load(world->store, &visitor, NULL, &world->loaded, world->error,
                         sizeof(world->error)),
        NOC_OK);
    assert_int_equal(noc_store_start(world->store, world->error, sizeof(world->error)), NOC_OK);
    return left_ms;
}

static void time_goes_on_while_nobody_runs(void **state)
{
    struct world *world = *state;

    begin(world);
    assert_int_equal(restart(world, 500, world_wall_ms + 10 * MINUTE_MS), HOUR_MS - 10 * MINUTE_MS);
    world_clock_ms += MINUTE_MS;
    world_wall_ms += MINUTE_MS;
    assert_int_equal(
        restart(world, UINT64_C(1) << 40, world_wall_ms + MINUTE_MS), HOUR_MS - 12 * MINUTE_MS);
    assert_int_equal(restart(world, 0, world_wall_ms + 2 * HOUR_MS), 0);
}

static void a_wall_clock_that_is_wrong_expires_nothing(void **state)
{
    struct world *world = *state;
    int64_t now = world_wall_ms;

    begin(world);
    assert_int_equal(restart(world, 0, 0), HOUR_MS);   /* 1970 */
    assert_int_equal(restart(world, 0, now), HOUR_MS); /* more than ten years later: not trusted */
    assert_int_equal(restart(world, 0, now + YEARS(50)), HOUR_MS);
    assert_int_equal(restart(world, 0, now), HOUR_MS);
    assert_int_equal(restart(world, 0, now - YEARS(50)), HOUR_MS);
    assert_int_equal(restart(world, 0, -1000), HOUR_MS);
    assert_int_equal(restart(world, 0, INT64_MAX / 2), HOUR_MS);
    assert_int_equal(restart(world, 0, now), HOUR_MS);
    /* And from there it counts again. */
    assert_int_equal(restart(world, 0, now + MINUTE_MS), HOUR_MS - MINUTE_MS);
}

static void a_jump_while_it_runs_expires_nothing(void **state)
{
    struct world *world = *state;
    int64_t now = world_wall_ms;

    begin(world);
    world_wall_ms = now + YEARS(50);
    world_clock_ms += MINUTE_MS;
    assert_int_equal(submit(world, batch_new()), NOC_OK);
    assert_int_equal(restart(world, 7, now), HOUR_MS - MINUTE_MS);
    world_wall_ms = now - YEARS(50);
    world_clock_ms += MINUTE_MS;
    assert_int_equal(submit(world, batch_new()), NOC_OK);
    assert_int_equal(restart(world, 7, now), HOUR_MS - 2 * MINUTE_MS);
}

/* A process that is killed has not written the clock at its end; a minute is lost at most. */
static void the_clock_is_written_with_commits(void **state)
{
    struct world *world = *state;
    const struct noc_store_time *time;
    int64_t value;
    int rc;

    begin(world);
    world_clock_ms += MINUTE_MS;
    assert_int_equal(submit(world, batch_new()), NOC_OK);
    time = &world->store->time;
    value = (int64_t)noc_store_time_out(*time, world_clock_ms);
    world->store->vfs.is_read_only = true; /* from here on nothing reaches the disk */
    world_close(world);
    world_load(world);
    assert_int_equal(
        noc_store_query(world->store->connection.db, "SELECT ms FROM clock", 0, &rc), value);
}

/* The row of the clock is gone, as after a salvage: the last that is known is when the session was left. */
static void a_clock_that_is_lost_expires_nothing(void **state)
{
    struct world *world = *state;
    struct noc_operations *batch = batch_new();
    sqlite3 *db;

    world_wall_ms = 5000; /* the scale began in 1970 */
    world_open(world);
    add_session(batch, 1, "one");
    batch->at[0].as.session->expiry_s = HOUR_MS / 1000;
    batch->at[0].as.session->expires_ms = world_clock_ms + HOUR_MS;
    assert_int_equal(submit(world, batch), NOC_OK);
    world_close(world);
    assert_int_equal(sqlite3_open(world->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "DELETE FROM clock", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    assert_int_equal(restart(world, 77, YEARS(56)), HOUR_MS);
}

static void a_deadline_that_never_comes_stays_so(void **state)
{
    struct noc_store_time time = noc_store_time_new(5000, 1000);

    (void)state;
    assert_int_equal(time.offset, -4000);
    assert_int_equal(noc_store_time_out(time, 6000), 2000);
    assert_int_equal(noc_store_time_in(time, 2000), 6000);
    assert_int_equal(noc_store_time_out(time, 0), 0);
    assert_int_equal(noc_store_time_out(time, UINT64_MAX - 1), INT64_MAX);
    time = noc_store_time_new(0, 1000);
    assert_int_equal(noc_store_time_out(time, INT64_MAX), INT64_MAX);
    assert_int_equal(noc_store_time_in(time, 0), 0);
    assert_int_equal(noc_store_time_in(time, UINT64_MAX), INT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(time_goes_on_while_nobody_runs, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_wall_clock_that_is_wrong_expires_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_jump_while_it_runs_expires_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(the_clock_is_written_with_commits, setup, teardown),
        cmocka_unit_test_setup_teardown(a_clock_that_is_lost_expires_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_deadline_that_never_comes_stays_so, setup, teardown),
    };

    return cmocka_run_group_tests_name("store_time", tests, NULL, NULL);
}
