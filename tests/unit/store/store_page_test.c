/* SPDX-License-Identifier: Apache-2.0 */
/* Pages of queues, read back: see core/page.h. */
#define _GNU_SOURCE
#include "store_harness.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Atomic(struct noc_page *) answered;
static _Atomic int fault_rc;

static void on_paged(void *context, struct noc_page *page)
{
    struct world *world = context;

    (void)pthread_mutex_lock(&world->lock);
    assert_null(answered);
    answered = page;
    (void)pthread_cond_broadcast(&world->changed);
    (void)pthread_mutex_unlock(&world->lock);
}

static int setup(void **state)
{
    static struct world world;

    world_init(&world);
    world.options.paged = on_paged;
    answered = NULL;
    fault_rc = SQLITE_OK;
    *state = &world;
    return 0;
}

static int teardown(void **state)
{
    world_done(*state);
    return 0;
}

static struct noc_page *page_new(uint64_t slot, uint64_t first, uint64_t last)
{
    struct noc_page *page = calloc(1, sizeof(*page));

    assert_non_null(page);
    page->slot = slot;
    page->first = first;
    page->last = last;
    page->most = 1000;
    page->most_bytes = 1000000;
    return page;
}

/* Ask, and wait for the answer; the page is read until the next call. */
static const struct noc_page *ask(struct world *world, struct noc_page *page)
{
    noc_store_page_mt(world->store, page);
    (void)pthread_mutex_lock(&world->lock);
    while (answered == NULL) {
        (void)pthread_cond_wait(&world->changed, &world->lock);
    }
    (void)pthread_mutex_unlock(&world->lock);
    assert_ptr_equal(answered, page);
    answered = NULL;
    return page;
}

/* The sequence numbers of what was found. */
static void holds(struct noc_page *page, const char *expected)
{
    char text[400] = "";

    for (size_t i = 0; i < page->found.count; i++) {
        size_t n = strlen(text);

        assert_int_equal(page->found.at[i].kind, NOC_OP_OUTGOING);
        (void)snprintf(text + n, sizeof(text) - n, "%s%llu", n > 0 ? " " : "",
            (unsigned long long)page->found.at[i].first);
    }
    assert_string_equal(text, expected);
    noc_page_free(page);
}

/* Two sessions; that of slot 2 has the messages 10 to 19, but for 15. */
static void begin(struct world *world)
{
    struct noc_operations *batch = batch_new();

    world_open(world);
    add_session(batch, 1, "one");
    add_session(batch, 2, "two");
    add_outgoing(batch, 1, 10, "t", "other");
    for (uint64_t i = 10; i < 20; i++) {
        if (i != 15) {
            add_outgoing(batch, 2, i, "t", "x");
        }
    }
    add_outgoing(batch, 3, 10, "t", "other");
    assert_int_equal(submit(world, batch), NOC_OK);
}

static void a_page_holds_a_run_of_one_session_in_order(void **state)
{
    struct world *world = *state;
    struct noc_page *page = page_new(2, 0, NOC_SEQUENCE_MAX);

    begin(world);
    assert_int_equal(ask(world, page)->err, NOC_OK);
    assert_true(page->is_last);
    holds(page, "10 11 12 13 14 16 17 18 19");
    page = page_new(2, 13, 17);
    assert_true(ask(world, page)->is_last);
    holds(page, "13 14 16 17");
    page = page_new(2, 20, 30);
    assert_true(ask(world, page)->is_last);
    holds(page, "");
}

static void a_page_ends_with_as_many_messages_or_bytes_as_were_asked_for(void **state)
{
    struct world *world = *state;
    struct noc_page *page = page_new(2, 11, 19);

    begin(world);
    page->most = 3;
    assert_false(ask(world, page)->is_last);
    holds(page, "11 12 13");
    page = page_new(2, 11, 13);
    page->most = 3;
    assert_true(ask(world, page)->is_last); /* exactly as many as there are */
    holds(page, "11 12 13");
    page = page_new(2, 11, 19);
    page->most_bytes = 2;
    assert_false(ask(world, page)->is_last);
    holds(page, "11 12");
    page = page_new(2, 11, 19);
    page->most_bytes = 0;
    assert_false(ask(world, page)->is_last); /* one at least */
    holds(page, "11");
}

static void messages_come_back_whole(void **state)
{
    struct world *world = *state;
    struct noc_operations *batch = batch_new();
    struct noc_page *page = page_new(1, 1, 9);
    struct noc_operation *operation;
    char large[2001];

    world_open(world);
    memset(large, 'l', 2000);
    large[2000] = '\0';
    add_session(batch, 1, "one");
    add_outgoing(batch, 1, 1, "a/b", "small");
    add_outgoing(batch, 1, 2, "c", large);
    operation = add(batch, NOC_OP_OUTGOING, 1, 3);
    operation->qos = 2;
    operation->retain = true;
    operation->message = message_of("c", "with ids");
    operation->message->expires_ms = 5000000;
    operation->id_count = 3;
    operation->as.ids = calloc(3, sizeof(uint32_t));
    assert_non_null(operation->as.ids);
    operation->as.ids[2] = 268435455;
    add(batch, NOC_OP_OUTGOING_PUBREC, 1, 4); /* no message any more */
    operation = add(batch, NOC_OP_OUTGOING, 1, 5);
    operation->qos = 1;
    operation->message = message_of("d", "");
    operation->id_count = 1;
    operation->as.id = 7;
    assert_int_equal(submit(world, batch), NOC_OK);
    assert_int_equal(ask(world, page)->err, NOC_OK);
    assert_int_equal(page->found.count, 4);
    operation = page->found.at;
    assert_true(noc_slice_equal(noc_message_topic(operation[0].message), noc_slice_of("a/b")));
    assert_true(noc_slice_equal(noc_message_payload(operation[0].message), noc_slice_of("small")));
    assert_int_equal(operation[0].qos, 1);
    assert_int_equal(operation[0].id_count, 0);
    assert_true(noc_slice_equal(noc_message_payload(operation[1].message), noc_slice_of(large)));
    assert_int_equal(operation[2].qos, 2);
    assert_true(operation[2].retain);
    assert_int_equal(operation[2].message->expires_ms, 5000000);
    assert_int_equal(operation[2].id_count, 3);
    assert_int_equal(operation[2].as.ids[2], 268435455);
    assert_int_equal(operation[3].first, 5);
    assert_int_equal(operation[3].as.id, 7);
    noc_page_free(page);
}

enum { LARGE = 20, LARGE_BYTES = 1 << 20 };

struct holder {
    struct noc_message *held[2][LARGE]; /* by slot, and sequence */
};

static int hold_outgoing(void *context, const struct noc_outgoing_record *record)
{
    struct holder *holder = context;

    holder->held[record->slot - 1][record->sequence] = noc_message_ref(record->message);
    return NOC_OK;
}

/* Two sessions have the same messages, of more bytes than are kept for nobody. */
static void a_start_has_large_messages_that_are_held_once(void **state)
{
    static const struct noc_store_visitor visitor = {.outgoing = hold_outgoing};
    struct world *world = *state;
    struct noc_operations *batch = batch_new();
    struct noc_store_loaded loaded;
    struct holder holder;
    char *body = malloc(LARGE_BYTES);

    assert_non_null(body);
    memset(body, 'b', LARGE_BYTES - 1);
    body[LARGE_BYTES - 1] = '\0';
    world_open(world);
    add_session(batch, 1, "one");
    add_session(batch, 2, "two");
    for (uint64_t i = 0; i < LARGE; i++) {
        struct noc_operation *operation;

        add_outgoing(batch, 1, i, "t", body);
        operation = add(batch, NOC_OP_OUTGOING, 2, i);
        operation->qos = 1;
        operation->message = noc_message_ref(operation[-1].message);
    }
    assert_int_equal(submit(world, batch), NOC_OK);
    world_close(world);
    assert_int_equal(
        noc_store_open(&world->options, &world->store, world->error, sizeof(world->error)), NOC_OK);
    assert_int_equal(noc_store_load(world->store, &visitor, &holder, &loaded, world->error,
                         sizeof(world->error)),
        NOC_OK);
    for (unsigned i = 0; i < LARGE; i++) {
        assert_ptr_equal(holder.held[0][i], holder.held[1][i]);
        noc_message_unref(holder.held[0][i]);
        noc_message_unref(holder.held[1][i]);
    }
    free(body);
}

static void a_damaged_row_is_left_out_and_told(void **state)
{
    struct world *world = *state;
    struct noc_page *page = page_new(2, 10, 19);
    char sql[128];

    begin(world);
    world_close(world);
    world_load(world);
    world->store->vfs.is_read_only = false; /* as the thread has it, and between load and that */
    (void)snprintf(sql, sizeof(sql), "UPDATE outgoing SET payload = 'y' WHERE key = %llu",
        (unsigned long long)(UINT64_C(2) << 36 | 12));
    assert_int_equal(sqlite3_exec(world->store->connection.db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(noc_store_start(world->store, world->error, sizeof(world->error)), NOC_OK);
    assert_int_equal(ask(world, page)->err, NOC_OK);
    assert_true(page->is_last);
    holds(page, "10 11 13 14 16 17 18 19");
    wait_log(world, "it is damaged, and left out");
}

static int fault(void *context, enum noc_store_call call, const char *path, const void *bytes,
    int64_t n, int64_t offset)
{
    (void)context;
    (void)path;
    (void)bytes;
    (void)n;
    (void)offset;
    return call == NOC_STORE_CALL_WRITE ? fault_rc : SQLITE_OK;
}

static void pages_are_read_while_the_disk_is_full(void **state)
{
    struct world *world = *state;
    struct noc_operations *batch = batch_new();
    struct noc_page *page = page_new(2, 10, 19);

    world->fault.ask = fault;
    begin(world);
    fault_rc = SQLITE_FULL;
    add_outgoing(batch, 2, 19, "t", "more");
    noc_store_submit_mt(world->store, batch);
    wait_log(world, "waits");
    assert_int_equal(ask(world, page)->err, NOC_OK);
    holds(page, "10 11 12 13 14 16 17 18 19");
    fault_rc = SQLITE_OK;
    wait_answers(world, 2);
    batch_free(batch);
}

static void what_is_asked_of_a_store_that_has_failed_is_answered(void **state)
{
    struct world *world = *state;
    struct noc_operations *batch = batch_new();
    struct noc_page *page = page_new(2, 10, 19);

    world->fault.ask = fault;
    begin(world);
    fault_rc = SQLITE_IOERR_WRITE;
    add_outgoing(batch, 2, 20, "t", "more");
    assert_int_equal(submit(world, batch), NOC_EIO);
    assert_int_equal(ask(world, page)->err, NOC_EIO);
    holds(page, "");
}

static void what_is_asked_for_at_the_end_is_answered(void **state)
{
    struct world *world = *state;
    struct noc_operations *batch = batch_new();
    struct noc_page *page = page_new(2, 10, 19);

    begin(world);
    hold(world, true);
    add_outgoing(batch, 2, 20, "t", "more");
    noc_store_submit_mt(world->store, batch);
    wait_answers(world, 2);
    noc_store_page_mt(world->store, page); /* the thread is busy */
    hold(world, false);
    noc_store_stop(world->store);
    assert_ptr_equal(answered, page);
    answered = NULL;
    noc_page_free(page);
    batch_free(batch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            a_page_holds_a_run_of_one_session_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_page_ends_with_as_many_messages_or_bytes_as_were_asked_for, setup, teardown),
        cmocka_unit_test_setup_teardown(messages_come_back_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_start_has_large_messages_that_are_held_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_damaged_row_is_left_out_and_told, setup, teardown),
        cmocka_unit_test_setup_teardown(pages_are_read_while_the_disk_is_full, setup, teardown),
        cmocka_unit_test_setup_teardown(
            what_is_asked_of_a_store_that_has_failed_is_answered, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_asked_for_at_the_end_is_answered, setup, teardown),
    };

    return cmocka_run_group_tests_name("store_page", tests, NULL, NULL);
}
