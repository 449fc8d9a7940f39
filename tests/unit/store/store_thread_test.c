/* SPDX-License-Identifier: Apache-2.0 */
/* Groups, and what happens when the disk fails or is full. */
#define _GNU_SOURCE
#include "store_harness.h"

#include <sched.h>
#include <stdatomic.h>
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

/* The calls that fail, and how. */
static _Atomic int fault_call, fault_rc;
static _Atomic bool is_log_only; /* those of the log */
static _Atomic unsigned writes, failed;

static int ask(void *context, enum noc_store_call call, const char *path, const void *bytes,
    int64_t n, int64_t offset)
{
    (void)context;
    (void)bytes;
    (void)n;
    (void)offset;
    writes += call != NOC_STORE_CALL_READ;
    if (is_log_only && strstr(path, "-wal") == NULL) {
        return SQLITE_OK;
    }
    failed += (int)call == fault_call && fault_rc != SQLITE_OK;
    return (int)call == fault_call ? fault_rc : SQLITE_OK;
}

static void begin(struct world *world)
{
    struct noc_operations *batch = batch_new();

    fault_rc = SQLITE_OK;
    is_log_only = false;
    world->fault.ask = ask;
    world_open(world);
    add_session(batch, 1, "one");
    assert_int_equal(submit(world, batch), NOC_OK);
}

static struct noc_operations *one(uint64_t sequence)
{
    struct noc_operations *batch = batch_new();

    add_outgoing(batch, 1, sequence, "t", "x");
    return batch;
}

static void what_waits_is_one_transaction(void **state)
{
    struct world *world = *state;
    struct noc_operations *batches[100];
    struct noc_store_stats before, after;

    begin(world);
    hold(world, true);
    batches[0] = one(0);
    noc_store_submit_mt(world->store, batches[0]);
    wait_answers(world, 2);
    before = noc_store_stats_mt(world->store);
    for (unsigned i = 1; i < 100; i++) {
        batches[i] = one(i);
        noc_store_submit_mt(world->store, batches[i]);
    }
    hold(world, false);
    wait_answers(world, 101);
    after = noc_store_stats_mt(world->store);
    assert_int_equal(after.commits - before.commits, 1);
    assert_int_equal(after.operations - before.operations, 99);
    assert_int_equal(after.syncs - before.syncs, 1);
    assert_true(after.bytes_written - before.bytes_written < 10 * 4120);
    for (unsigned i = 0; i < 100; i++) {
        assert_ptr_equal(world->answers[i + 1].batch, batches[i]); /* in order */
        assert_int_equal(world->answers[i + 1].err, NOC_OK);
        batch_free(batches[i]);
    }
    world_reopen(world);
    assert_int_equal(world->loaded.outgoing, 100);
}

static void stop_commits_what_was_submitted(void **state)
{
    struct world *world = *state;
    struct noc_operations *batches[2] = {one(1), one(2)};

    begin(world);
    hold(world, true);
    noc_store_submit_mt(world->store, batches[0]);
    wait_answers(world, 2);
    noc_store_submit_mt(world->store, batches[1]);
    hold(world, false);
    noc_store_stop(world->store);
    assert_int_equal(world->answer_count, 3);
    assert_int_equal(world->answers[2].err, NOC_OK);
    batch_free(batches[0]);
    batch_free(batches[1]);
    world_reopen(world);
    assert_int_equal(world->loaded.outgoing, 2);
}

/* After an error nothing is acknowledged and nothing is written. */
static void fails_for_good(struct world *world, enum noc_store_call call, int rc)
{
    unsigned before;

    begin(world);
    assert_int_equal(submit(world, one(1)), NOC_OK);
    fault_call = (int)call;
    fault_rc = rc;
    assert_int_equal(submit(world, one(2)), NOC_EIO);
    assert_int_equal(world->failed_count, 1);
    assert_non_null(strstr(world->log, world->path));
    fault_rc = SQLITE_OK;
    before = writes;
    assert_int_equal(submit(world, one(3)), NOC_EIO);
    assert_int_equal(world->failed_count, 1);
    world_close(world);
    assert_int_equal(writes, before);
    world_open(world);
    assert_string_equal(
        world->lines[1], "outgoing 1 1 qos=1 retain=0 't' '' 'x' as=1 expires=never");
    for (size_t i = 0; i < world->line_count; i++) {
        assert_null(strstr(world->lines[i], "outgoing 1 3"));
    }
}

static void a_failed_write_stops_the_store(void **state)
{
    fails_for_good(*state, NOC_STORE_CALL_WRITE, SQLITE_IOERR_WRITE);
}

static void a_failed_sync_stops_the_store(void **state)
{
    fails_for_good(*state, NOC_STORE_CALL_SYNC, SQLITE_IOERR_FSYNC);
}

static void a_full_disk_makes_batches_wait(void **state)
{
    struct world *world = *state;
    struct noc_operations *first = one(1);
    struct noc_operations *second = one(2);

    begin(world);
    assert_false(noc_store_is_full_mt(world->store));
    fault_call = NOC_STORE_CALL_WRITE;
    fault_rc = SQLITE_FULL;
    noc_store_submit_mt(world->store, first);
    wait_log(world, "waits");
    assert_true(noc_store_is_full_mt(world->store));
    noc_store_submit_mt(world->store, second); /* goes along with the next try */
    assert_int_equal(world->answer_count, 1);
    fault_rc = SQLITE_OK;
    wait_answers(world, 3);
    assert_int_equal(world->answers[1].err, NOC_OK);
    assert_int_equal(world->answers[2].err, NOC_OK);
    assert_false(noc_store_is_full_mt(world->store));
    assert_non_null(strstr(world->log, "can be written again"));
    assert_int_equal(world->failed_count, 0);
    batch_free(first);
    batch_free(second);
    world_reopen(world);
    assert_int_equal(world->loaded.outgoing, 2);
}

static void on_ticket_done(struct noc_ticket *ticket)
{
    ticket->held = NULL;
}

/* The try that failed must not have changed what the next one writes. */
static void a_session_ends_under_a_ticket_though_the_disk_was_full(void **state)
{
    struct world *world = *state;
    struct noc_ticket ticket = {.parts = 1, .done = on_ticket_done};
    struct noc_operations *batch = batch_new();

    begin(world);
    fault_call = NOC_STORE_CALL_WRITE;
    fault_rc = SQLITE_FULL;
    add(batch, NOC_OP_SESSION_END, 1, 0)->ticket = &ticket;
    add(batch, NOC_OP_PART, 0, 0)->ticket = &ticket;
    noc_store_submit_mt(world->store, batch);
    wait_log(world, "waits");
    fault_rc = SQLITE_OK;
    wait_answers(world, 2);
    batch_free(batch);
    world_reopen(world);
    assert_int_equal(world->loaded.sessions, 0);
}

/* The log has no space, while what is in it can be written back: that is one state, and said once. */
static void a_full_disk_is_told_once(void **state)
{
    struct world *world = *state;
    struct noc_operations *batch = one(1);
    const char *told;

    begin(world);
    is_log_only = true;
    fault_call = NOC_STORE_CALL_WRITE;
    fault_rc = SQLITE_FULL;
    failed = 0;
    noc_store_submit_mt(world->store, batch);
    while (failed < 3) {
        (void)sched_yield();
    }
    fault_rc = SQLITE_OK;
    wait_answers(world, 2);
    assert_int_equal(world->answers[1].err, NOC_OK);
    batch_free(batch);
    noc_store_stop(world->store);
    told = strstr(world->log, "cannot write");
    assert_non_null(told);
    assert_null(strstr(told + 1, "cannot write"));
    told = strstr(world->log, "can be written again");
    assert_non_null(told);
    assert_null(strstr(told + 1, "can be written again"));
}

/* Memory that is short for a while is a disk that is full for a while. */
static void want_of_memory_makes_batches_wait(void **state)
{
    struct world *world = *state;
    struct noc_operations *batch = batch_new();
    char *text = calloc(1, 3000001);

    assert_non_null(text);
    memset(text, 'x', 3000000);
    add_outgoing(batch, 1, 1, "t", text);
    free(text);
    begin(world);
    (void)sqlite3_hard_heap_limit64(sqlite3_memory_used() + 200000);
    noc_store_submit_mt(world->store, batch);
    wait_log(world, "out of memory");
    (void)sqlite3_hard_heap_limit64(0);
    wait_answers(world, 2);
    assert_int_equal(world->answers[1].err, NOC_OK);
    batch_free(batch);
    world_reopen(world);
    assert_int_equal(world->loaded.outgoing, 1);
}

/* A checkpoint that fails has lost nothing, and still is the end: the disk is not to be trusted. */
static void a_failed_checkpoint_stops_the_store(void **state)
{
    struct world *world = *state;

    begin(world);
    assert_int_equal(submit(world, one(1)), NOC_OK);
    fault_call = NOC_STORE_CALL_WRITE;
    fault_rc = SQLITE_IOERR_WRITE;
    noc_store_flush_mt(world->store);
    wait_log(world, "nothing is stored any more");
    fault_rc = SQLITE_OK;
    assert_int_equal(submit(world, one(2)), NOC_EIO);
    assert_int_equal(world->failed_count, 1);
    world_reopen(world);
    assert_int_equal(world->loaded.outgoing, 1);
}

static void a_full_disk_at_the_end_refuses_what_waits(void **state)
{
    struct world *world = *state;
    struct noc_operations *batch = one(2);

    begin(world);
    assert_int_equal(submit(world, one(1)), NOC_OK);
    fault_call = NOC_STORE_CALL_WRITE;
    fault_rc = SQLITE_FULL;
    noc_store_submit_mt(world->store, batch);
    wait_log(world, "waits");
    noc_store_stop(world->store);
    assert_int_equal(world->answers[2].err, NOC_EFULL);
    batch_free(batch);
    fault_rc = SQLITE_OK;
    world_reopen(world);
    assert_int_equal(world->loaded.outgoing, 1);
}

static void past_the_limit_it_is_full_and_still_works(void **state)
{
    struct world *world = *state;
    uint64_t sequence = 0;
    struct noc_operations *batch;

    world->options.max_bytes = 256 * 1024;
    begin(world);
    while (!noc_store_is_full_mt(world->store)) {
        batch = batch_new();
        for (unsigned i = 0; i < 100; i++) {
            add_outgoing(batch, 1, ++sequence, "t", "some forty bytes, to fill pages with them");
        }
        assert_int_equal(submit(world, batch), NOC_OK);
        assert_int_equal(
            submit(world, batch_new()), NOC_OK); /* the size is looked at after answers */
        assert_true(sequence < 10000);
    }
    wait_log(world, "has passed persistence_max_size");
    batch = batch_new();
    add(batch, NOC_OP_OUTGOING_END, 1, 1)->last = sequence;
    assert_int_equal(submit(world, batch), NOC_OK);
    wait_log(world, "is below persistence_max_size");
    assert_false(noc_store_is_full_mt(world->store));
}

static void syncs(struct world *world, enum noc_store_sync sync, uint64_t expected)
{
    struct noc_store_stats before, after;

    world->options.sync = sync;
    world->options.interval_ms = 3600000;
    begin(world);
    assert_int_equal(submit(world, one(1)), NOC_OK);
    before = noc_store_stats_mt(world->store);
    for (uint64_t i = 2; i < 12; i++) {
        assert_int_equal(submit(world, one(i)), NOC_OK);
    }
    after = noc_store_stats_mt(world->store);
    assert_int_equal(after.syncs - before.syncs, expected);
    noc_store_stop(world->store);
    assert_true(
        noc_store_stats_mt(world->store).syncs > after.syncs); /* the end is synced always */
    world_reopen(world);
    assert_int_equal(world->loaded.outgoing, 11);
}

static void always_syncs_each_commit(void **state)
{
    syncs(*state, NOC_STORE_SYNC_ALWAYS, 10);
}

static void an_interval_syncs_later(void **state)
{
    syncs(*state, NOC_STORE_SYNC_INTERVAL, 0);
}

static void off_does_not_sync(void **state)
{
    syncs(*state, NOC_STORE_SYNC_OFF, 0);
}

static void after_the_interval_the_log_is_synced(void **state)
{
    struct world *world = *state;
    struct noc_store_stats before;

    world->options.sync = NOC_STORE_SYNC_INTERVAL;
    world->options.interval_ms = 500;
    begin(world);
    before = noc_store_stats_mt(world->store);
    world_clock_ms += 500;
    assert_int_equal(submit(world, one(1)), NOC_OK);
    assert_int_equal(submit(world, one(2)), NOC_OK); /* by now the first was looked after */
    assert_int_equal(noc_store_stats_mt(world->store).syncs - before.syncs, 1);
}

static void a_long_log_is_written_back(void **state)
{
    struct world *world = *state;
    char text[4001];
    struct noc_operations *batch = batch_new();

    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    begin(world);
    for (uint64_t i = 0; i < 5000; i++) {
        add_outgoing(batch, 1, i, "t", text);
    }
    assert_int_equal(submit(world, batch), NOC_OK);
    assert_int_equal(submit(world, batch_new()), NOC_OK);
    noc_store_stop(world->store);
    assert_int_equal(world->store->log_bytes, 0);
    world_reopen(world);
    assert_int_equal(world->loaded.outgoing, 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_waits_is_one_transaction, setup, teardown),
        cmocka_unit_test_setup_teardown(stop_commits_what_was_submitted, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failed_write_stops_the_store, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failed_sync_stops_the_store, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_disk_is_told_once, setup, teardown),
        cmocka_unit_test_setup_teardown(want_of_memory_makes_batches_wait, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failed_checkpoint_stops_the_store, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_disk_makes_batches_wait, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_session_ends_under_a_ticket_though_the_disk_was_full, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_disk_at_the_end_refuses_what_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(past_the_limit_it_is_full_and_still_works, setup, teardown),
        cmocka_unit_test_setup_teardown(always_syncs_each_commit, setup, teardown),
        cmocka_unit_test_setup_teardown(an_interval_syncs_later, setup, teardown),
        cmocka_unit_test_setup_teardown(off_does_not_sync, setup, teardown),
        cmocka_unit_test_setup_teardown(after_the_interval_the_log_is_synced, setup, teardown),
        cmocka_unit_test_setup_teardown(a_long_log_is_written_back, setup, teardown),
    };

    return cmocka_run_group_tests_name("store_thread", tests, NULL, NULL);
}
