/* SPDX-License-Identifier: Apache-2.0 */
/* What operations leave behind, in any order. */
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

#define SESSION_1 \
    "session 1 'one' - version=4 connected=0 port=1883 expiry=4294967295 expires=never sent=0"
#define SESSION_2 \
    "session 2 'two' - version=4 connected=0 port=1883 expiry=4294967295 expires=never sent=0"

/* A message that does not fit in a row of its own. */
static struct noc_message *large(char letter)
{
    char text[1001];

    memset(text, letter, sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    return message_of("large", text);
}

static void put_large(
    struct noc_operations *batch, uint64_t slot, uint64_t sequence, struct noc_message *message)
{
    struct noc_operation *operation = add(batch, NOC_OP_OUTGOING, slot, sequence);

    operation->qos = 1;
    operation->message = noc_message_ref(message);
}

/* Rows of a table; the store is closed. */
static int64_t count(struct world *world, const char *table)
{
    sqlite3 *db;
    char sql[80];
    int64_t value;
    int rc;

    assert_int_equal(sqlite3_open(world->path, &db), SQLITE_OK);
    (void)snprintf(sql, sizeof(sql), "SELECT count(*) FROM %s", table);
    value = noc_store_query(db, sql, -1, &rc);
    assert_int_equal(rc, SQLITE_OK);
    (void)sqlite3_close(db);
    return value;
}

static void the_end_of_a_session_takes_all_of_it(void **state)
{
    struct world *world = *state;
    struct noc_operations *batch = batch_new();
    struct noc_message *message = large('x');

    world_open(world);
    add_session(batch, 1, "one");
    add_session(batch, 2, "two");
    for (uint64_t slot = 1; slot <= 2; slot++) {
        add_subscription(batch, NOC_OP_SUBSCRIPTION, slot, NULL, "a", 1, 0);
        add_subscription(batch, NOC_OP_SUBSCRIPTION, slot, "g", "b", 1, 0);
        add(batch, NOC_OP_INCOMING, slot, 1)->message = message_of("in", "x");
        add(batch, NOC_OP_INCOMING, slot, 65535)->message = message_of("in", "y");
        add_outgoing(batch, slot, 0, "t", "first");
        add_outgoing(batch, slot, NOC_SEQUENCE_MAX, "t", "last");
        put_large(batch, slot, 5, message);
    }
    noc_message_unref(message);
    assert_int_equal(submit(world, batch), NOC_OK);
    batch = batch_new();
    add(batch, NOC_OP_SESSION_END, 1, 0);
    assert_int_equal(submit(world, batch), NOC_OK);
    world_reopen(world);
    assert_int_equal(world->line_count, 8);
    assert_string_equal(world->lines[0], SESSION_2);
    assert_int_equal(world->loaded.strays, 0);
    batch = batch_new();
    add(batch, NOC_OP_SESSION_END, 2, 0);
    assert_int_equal(submit(world, batch), NOC_OK);
    world_close(world);
    assert_int_equal(count(world, "sessions"), 0);
    assert_int_equal(count(world, "subscriptions"), 0);
    assert_int_equal(count(world, "incoming"), 0);
    assert_int_equal(count(world, "outgoing"), 0);
    assert_int_equal(count(world, "messages"), 0);
}

static void a_pubrec_leaves_the_place(void **state)
{
    struct world *world = *state;
    struct noc_operations *batch = batch_new();
    struct noc_message *message = large('x');

    world_open(world);
    add_session(batch, 1, "one");
    add_outgoing(batch, 1, 1, "t", "small");
    put_large(batch, 1, 2, message);
    noc_message_unref(message);
    assert_int_equal(submit(world, batch), NOC_OK);
    batch = batch_new();
    for (uint64_t sequence = 1; sequence <= 3; sequence++) {
        add(batch, NOC_OP_OUTGOING_PUBREC, 1, sequence); /* the third was never written */
    }
    assert_int_equal(submit(world, batch), NOC_OK);
    world_reopen(world);
    world_expect(world, SESSION_1, "outgoing 1 1 qos=2 retain=0", "outgoing 1 2 qos=2 retain=0",
        "outgoing 1 3 qos=2 retain=0", NULL);
    world_close(world);
    assert_int_equal(count(world, "messages"), 0);
}

static void an_end_takes_a_range_as_far_as_it_is_there(void **state)
{
    struct world *world = *state;
    struct noc_operations *batch = batch_new();

    world_open(world);
    add_session(batch, 1, "one");
    add_session(batch, 2, "two");
    for (uint64_t sequence = 1; sequence <= 9; sequence += 2) {
        add_outgoing(batch, 1, sequence, "t", "x");
        add_outgoing(batch, 2, sequence, "t", "x");
    }
    assert_int_equal(submit(world, batch), NOC_OK);
    batch = batch_new();
    add(batch, NOC_OP_OUTGOING_END, 1, 2)->last = 7;
    add(batch, NOC_OP_OUTGOING_END, 1, 100)->last = 200;
    add(batch, NOC_OP_OUTGOING_END, 2, 0)->last = NOC_SEQUENCE_MAX;
    assert_int_equal(submit(world, batch), NOC_OK);
    world_reopen(world);
    world_expect(world, SESSION_1, "outgoing 1 1 qos=1 retain=0 't' '' 'x' as=1 expires=never",
        "outgoing 1 9 qos=1 retain=0 't' '' 'x' as=1 expires=never", SESSION_2, NULL);
}

static void a_large_message_is_kept_once(void **state)
{
    struct world *world = *state;
    struct noc_operations *batch = batch_new();
    struct noc_message *message = large('x');

    world_open(world);
    add_session(batch, 1, "one");
    for (uint64_t sequence = 1; sequence <= 10; sequence++) {
        put_large(batch, 1, sequence, message);
    }
    assert_int_equal(submit(world, batch), NOC_OK);
    batch = batch_new();
    add(batch, NOC_OP_OUTGOING_END, 1, 1)->last = 9;
    assert_int_equal(submit(world, batch), NOC_OK);
    world_close(world);
    assert_int_equal(count(world, "messages"), 1);
    world_open(world);
    assert_int_equal(world->loaded.outgoing, 1);
    batch = batch_new();
    add(batch, NOC_OP_OUTGOING_END, 1, 10);
    assert_int_equal(submit(world, batch), NOC_OK);
    world_close(world);
    assert_int_equal(count(world, "messages"), 0);
    noc_message_unref(message);
}

/* Within one batch the row of a message comes, goes with its last user, and is needed again. */
static void a_large_message_that_went_comes_again(void **state)
{
    struct world *world = *state;
    struct noc_operations *batch = batch_new();
    struct noc_message *message = large('x');

    world_open(world);
    add_session(batch, 1, "one");
    put_large(batch, 1, 1, message);
    add(batch, NOC_OP_OUTGOING_END, 1, 1);
    put_large(batch, 1, 2, message);
    put_large(batch, 1, 2, message); /* and replaced by itself */
    assert_int_equal(submit(world, batch), NOC_OK);
    batch = batch_new();
    put_large(batch, 1, 2, message);
    assert_int_equal(submit(world, batch), NOC_OK);
    noc_message_unref(message);
    world_reopen(world);
    assert_int_equal(world->loaded.outgoing, 1);
    assert_int_equal(world->loaded.damaged, 0);
    world_close(world);
    assert_int_equal(count(world, "messages"), 1);
}

static void an_entry_put_twice_is_the_later(void **state)
{
    struct world *world = *state;
    struct noc_operations *batch = batch_new();

    world_open(world);
    add_session(batch, 1, "one");
    add_outgoing(batch, 1, 1, "t", "old");
    add_outgoing(batch, 1, 1, "t", "new");
    add(batch, NOC_OP_INCOMING, 1, 1)->message = message_of("in", "old");
    add(batch, NOC_OP_INCOMING, 1, 1)->message = message_of("in", "new");
    assert_int_equal(submit(world, batch), NOC_OK);
    world_reopen(world);
    world_expect(world, SESSION_1, "incoming 1 1 'in' '' 'new' as=1 expires=never",
        "outgoing 1 1 qos=1 retain=0 't' '' 'new' as=1 expires=never", NULL);
}

/* Versions 1 and 2 are put, 3 removes, 4 is put: in all 24 orders the last is what stays. */
static void retained_versions_may_come_in_any_order(void **state)
{
    struct world *world = *state;
    unsigned orders = 0;

    world_open(world);
    for (unsigned order = 0; order < 256; order++) {
        unsigned at[4] = {order & 3, order >> 2 & 3, order >> 4 & 3, order >> 6};
        char topic[16];

        if ((1U << at[0] | 1U << at[1] | 1U << at[2] | 1U << at[3]) != 15) {
            continue;
        }
        (void)snprintf(topic, sizeof(topic), "t%u", orders++);
        for (unsigned i = 0; i < 4; i++) {
            static const char *const payloads[] = {"1", "2", "", "4"};
            struct noc_operations *batch = batch_new();

            add_retained(batch, topic, payloads[at[i]], at[i] + 1);
            /* The same with the removal as the last. */
            add_retained(batch, topic + 1, at[i] == 3 ? "" : "x", at[i] + 1);
            assert_int_equal(submit(world, batch), NOC_OK);
        }
    }
    assert_int_equal(orders, 24);
    world_reopen(world);
    assert_int_equal(world->line_count, 24);
    for (size_t i = 0; i < 24; i++) {
        assert_true(strncmp(world->lines[i], "retained 4 't", 13) == 0);
        assert_non_null(strstr(world->lines[i], "'4'"));
    }
}

static void tombstones_go_with_time(void **state)
{
    struct world *world = *state;
    struct noc_operations *batch = batch_new();

    world_open(world);
    add_retained(batch, "a", "", 5);
    add_retained(batch, "b", "", 6);
    assert_int_equal(submit(world, batch), NOC_OK);
    world_clock_ms += 30000;
    batch = batch_new();
    add_retained(batch, "a", "", 7);
    assert_int_equal(submit(world, batch), NOC_OK);
    assert_int_equal(world->store->tombstones.count, 2);
    world_clock_ms += 30001;
    assert_int_equal(submit(world, batch_new()), NOC_OK);
    noc_store_stop(world->store);
    assert_int_equal(world->store->tombstones.count, 1); /* that of a, for it went again */
}

static void an_expired_retained_message_is_dropped(void **state)
{
    struct world *world = *state;
    struct noc_operations *batch = batch_new();

    world_open(world);
    add_retained(batch, "a", "short", 1);
    batch->at[0].message->expires_ms = world_clock_ms + 1000;
    add_retained(batch, "b", "long", 2);
    batch->at[1].message->expires_ms = world_clock_ms + 100000;
    assert_int_equal(submit(world, batch), NOC_OK);
    world_clock_ms += 1000;
    world_wall_ms += 1000;
    world_reopen(world);
    world_expect(world, "retained 2 'b' '' 'long' as=11 expires=1100000", NULL);
    assert_int_equal(world->loaded.expired, 1);
    world_close(world);
    assert_int_equal(count(world, "retained"), 1);
}

static void rows_without_a_session_are_dropped(void **state)
{
    struct world *world = *state;
    struct noc_operations *batch = batch_new();
    struct noc_message *message = large('x');

    world_open(world);
    add_session(batch, 2, "two");
    for (uint64_t slot = 1; slot <= 3; slot++) {
        add_outgoing(batch, slot, 1, "t", "x");
        put_large(batch, slot, 2, message);
        add_subscription(batch, NOC_OP_SUBSCRIPTION, slot, NULL, "a", 1, 0);
        add(batch, NOC_OP_INCOMING, slot, 1)->message = message_of("in", "x");
    }
    noc_message_unref(message);
    assert_int_equal(submit(world, batch), NOC_OK);
    world_reopen(world);
    assert_int_equal(world->line_count, 5);
    assert_int_equal(world->loaded.strays, 8);
    assert_int_equal(world->loaded.highest_slot, 3);
    world_reopen(world);
    assert_int_equal(world->line_count, 5);
    assert_int_equal(world->loaded.strays, 0);
    assert_int_equal(world->loaded.highest_slot, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_end_of_a_session_takes_all_of_it, setup, teardown),
        cmocka_unit_test_setup_teardown(a_pubrec_leaves_the_place, setup, teardown),
        cmocka_unit_test_setup_teardown(
            an_end_takes_a_range_as_far_as_it_is_there, setup, teardown),
        cmocka_unit_test_setup_teardown(a_large_message_is_kept_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_large_message_that_went_comes_again, setup, teardown),
        cmocka_unit_test_setup_teardown(an_entry_put_twice_is_the_later, setup, teardown),
        cmocka_unit_test_setup_teardown(retained_versions_may_come_in_any_order, setup, teardown),
        cmocka_unit_test_setup_teardown(tombstones_go_with_time, setup, teardown),
        cmocka_unit_test_setup_teardown(an_expired_retained_message_is_dropped, setup, teardown),
        cmocka_unit_test_setup_teardown(rows_without_a_session_are_dropped, setup, teardown),
    };

    return cmocka_run_group_tests_name("store_apply", tests, NULL, NULL);
}
