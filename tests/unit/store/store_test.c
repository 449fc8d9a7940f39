/* SPDX-License-Identifier: Apache-2.0 */
/* Every kind of operation, there and back: what was committed is what the next start tells. */
#define _GNU_SOURCE
#include "store_harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

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

static void a_new_store_is_empty_and_ours_alone(void **state)
{
    struct world *world = *state;
    struct stat status;

    world_open(world);
    world_expect(world, NULL);
    assert_int_equal(world->loaded.highest_slot, 0);
    assert_int_equal(stat(world->path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
}

static void a_session_comes_back(void **state)
{
    struct world *world = *state;
    struct noc_operations *batch = batch_new();
    struct noc_message_parts will = {
        .topic = noc_slice_of("last/words"),
        .props = noc_slice("\x01\x00", 2),
        .payload = noc_slice("a\0b", 3),
        .qos = 2,
        .retain = true,
        .expires_ms = NOC_NEVER_MS,
    };
    struct noc_session_record record = {
        .slot = NOC_SLOT_MAX,
        .client_id = noc_slice_of("c\xc3\xa4"),
        .username = noc_slice("", 0),
        .version = 5,
        .is_connected = false,
        .port = 8883,
        .expiry_s = 3600,
        .expires_ms = world_clock_ms + 3600000,
        .sent = 17,
        .will = noc_message_new(&will),
        .will_delay_s = 30,
        .will_expiry_s = 60,
        .will_has_expiry = true,
        .will_due_ms = world_clock_ms + 30000,
    };

    world_open(world);
    add(batch, NOC_OP_SESSION, record.slot, 0)->as.session = noc_session_record_copy(&record);
    noc_message_unref(record.will);
    add_session(batch, 1, "");
    assert_int_equal(submit(world, batch), NOC_OK);
    world_reopen(world);
    world_expect(world,
        "session 1 '' - version=4 connected=0 port=1883 expiry=4294967295 expires=never sent=0",
        "session 134217727 'c\\c3\\a4' '' version=5 connected=0 port=8883 expiry=3600 "
        "expires=4600000 sent=17 'last/words' '\\01\\00' 'a\\00b' as=12 expires=never delay=30 "
        "due=1030000 has=1 after=60",
        NULL);
    assert_int_equal(world->loaded.highest_slot, NOC_SLOT_MAX);

    /* A later record replaces it, will and all. */
    batch = batch_new();
    add_session(batch, NOC_SLOT_MAX, "other");
    assert_int_equal(submit(world, batch), NOC_OK);
    world_reopen(world);
    assert_string_equal(world->lines[1],
        "session 134217727 'other' - version=4 connected=0 port=1883 expiry=4294967295 "
        "expires=never sent=0");
}

static void subscriptions_come_back(void **state)
{
    struct world *world = *state;
    struct noc_operations *batch = batch_new();

    world_open(world);
    add_session(batch, 7, "seven");
    add_subscription(batch, NOC_OP_SUBSCRIPTION, 7, NULL, "a/#", 0x2e, 0);
    add_subscription(batch, NOC_OP_SUBSCRIPTION, 7, "g", "a/#", 1, 268435455);
    add_subscription(batch, NOC_OP_SUBSCRIPTION, 7, "g", "b", 1, 1);
    add_subscription(batch, NOC_OP_SUBSCRIPTION, 7, NULL, "b", 0, 1);
    assert_int_equal(submit(world, batch), NOC_OK);
    batch = batch_new();
    add_subscription(batch, NOC_OP_SUBSCRIPTION_END, 7, "g", "b", 0, 0);
    add_subscription(batch, NOC_OP_SUBSCRIPTION, 7, NULL, "b", 2, 3);
    assert_int_equal(submit(world, batch), NOC_OK);
    world_reopen(world);
    world_expect(world,
        "session 7 'seven' - version=4 connected=0 port=1883 expiry=4294967295 expires=never "
        "sent=0",
        "subscription 7 - 'a/#' options=46 id=0", "subscription 7 - 'b' options=2 id=3",
        "subscription 7 'g' 'a/#' options=1 id=268435455", NULL);
}

static void messages_come_back_in_order(void **state)
{
    struct world *world = *state;
    struct noc_operations *batch = batch_new();
    struct noc_operation *operation;
    static char large[2000];
    static const uint32_t ids[] = {1, 268435455, 77};

    memset(large, 'x', sizeof(large) - 1);
    world_open(world);
    add_session(batch, 3, "three");
    add_outgoing(batch, 3, 9, "t", "second");
    add_outgoing(batch, 3, 0, "t", "first");
    add_outgoing(batch, 3, NOC_SEQUENCE_MAX, "t", "last");
    add_outgoing(batch, 3, 10, "t", large);
    operation = add(batch, NOC_OP_OUTGOING, 3, 11);
    operation->qos = 2;
    operation->retain = true;
    operation->message = noc_message_ref(batch->at[batch->count - 2].message);
    operation->id_count = 3;
    operation->as.ids = malloc(sizeof(ids));
    memcpy(operation->as.ids, ids, sizeof(ids));
    operation = add(batch, NOC_OP_OUTGOING, 3, 12);
    operation->message = message_of("one", "");
    operation->message->expires_ms = world_clock_ms + 5;
    operation->id_count = 1;
    operation->as.id = 5;
    add(batch, NOC_OP_OUTGOING_PUBREC, 3, 13);
    add(batch, NOC_OP_INCOMING, 3, 65535)->message = message_of("in", "\x01");
    add(batch, NOC_OP_INCOMING, 3, 1)->message = message_of("in", "x");
    add(batch, NOC_OP_INCOMING, 3, 2)->message = message_of("in", "gone");
    add(batch, NOC_OP_INCOMING_END, 3, 2);
    assert_int_equal(submit(world, batch), NOC_OK);
    world_reopen(world);
    assert_int_equal(world->loaded.outgoing, 7);
    world_expect(world,
        "session 3 'three' - version=4 connected=0 port=1883 expiry=4294967295 expires=never "
        "sent=0",
        "incoming 3 1 'in' '' 'x' as=1 expires=never",
        "incoming 3 65535 'in' '' '\\01' as=1 expires=never",
        "outgoing 3 0 qos=1 retain=0 't' '' 'first' as=1 expires=never",
        "outgoing 3 9 qos=1 retain=0 't' '' 'second' as=1 expires=never",
        "outgoing 3 10 qos=1 retain=0 't' '' 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'...1999 "
        "as=1 "
        "expires=never",
        "outgoing 3 11 qos=2 retain=1 id=1 id=268435455 id=77 't' '' "
        "'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'...1999 as=1 expires=never",
        "outgoing 3 12 qos=0 retain=0 id=5 'one' '' '' as=1 expires=1000005",
        "outgoing 3 13 qos=2 retain=0",
        "outgoing 3 68719476735 qos=1 retain=0 't' '' 'last' as=1 expires=never", NULL);
}

static void a_retained_message_comes_back(void **state)
{
    struct world *world = *state;
    struct noc_operations *batch = batch_new();

    world_open(world);
    add_retained(batch, "a", "1", 1);
    add_retained(batch, "", "empty topic", 3);
    add_retained(batch, "a", "2", 4);
    add_retained(batch, "b", "gone", 5);
    add_retained(batch, "b", "", 6);
    assert_int_equal(submit(world, batch), NOC_OK);
    world_reopen(world);
    world_expect(world, "retained 3 '' '' 'empty topic' as=11 expires=never",
        "retained 4 'a' '' '2' as=11 expires=never", NULL);
    assert_int_equal(world->loaded.highest_version, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_new_store_is_empty_and_ours_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(a_session_comes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(subscriptions_come_back, setup, teardown),
        cmocka_unit_test_setup_teardown(messages_come_back_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(a_retained_message_comes_back, setup, teardown),
    };

    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
