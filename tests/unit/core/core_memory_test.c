/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole conversation of several clients and two workers, with the n-th
 * allocation of the core failing, for every n. Links may end and messages may be
 * dropped; nothing may leak, nothing may be used that has gone, no count may be
 * wrong in the end, and afterwards everything works again.
 */
#include "failing_memory.h"
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The harness's own allocations do not count. */
static void own_memory(bool on)
{
    static long kept;

    if (on) {
        kept = memory_left;
        memory_left = -1;
    } else {
        memory_left = kept;
    }
}

static long again; /* after a failure the allocation that fails next; negative: none */
static bool has_failed;

/* What is at the store is written, while memory may fail. */
static void commit(struct world *w)
{
    for (unsigned i = 0; w->is_durable && i < 6; i++) {
        if (w->batch[i % 2] != NULL) {
            world_commit(w, i % 2);
        }
    }
}

static void feed(struct client *client, const char *bytes, size_t n)
{
    if (!client->is_closed && !client->is_detached) {
        say(client, bytes, n);
    }
    commit(client->world);
    if (memory_left < 0) {
        has_failed = true;
        memory_left = again;
    }
}
#define FEED(client, literal) feed(client, literal, sizeof(literal) - 1)

static const char connect_a[] = "\x10\x20\0\x04MQTT\x05\xc6\0\x0a\x05\x11\0\0\0\x3c\0\x01"
                                "a"
                                "\0\0\x01w\0\x01x\0\x01u\0\x01p";
static const char connect_b[] = "\x10\x16\0\x04MQTT\x05\x02\0\0\x08\x11\0\0\0\x05\x22\0\x05\0\x01"
                                "b";
static const char connect_c[] = "\x10\x0c\0\x04MQTT\x04\x02\0\0\0\0";

static const char connect_method[] = "\x10\x1a\0\x04MQTT\x05\x02\0\0\x0c\x15\0\x04"
                                     "ECHO\x16\0\x02hi\0\x01m";

static void converse(struct world *w)
{
    struct client *a, *b, *c, *back;
    char large[5000];

    a = dial(w, 0, 0);
    FEED(a, connect_a);
    b = dial(w, 1, 0);
    FEED(b, connect_b);
    c = dial(w, 0, 0);
    FEED(c, connect_c);
    FEED(a, "\x82\x0b\0\x01\x02\x0b\x07\0\x03t/+\x02");
    FEED(a, "\x82\x09\0\x02\x02\x0b\x08\0\x01#\0");
    FEED(a, "\x82\x08\0\x03\0\0\x02t/\x22");
    FEED(b, "\x82\x09\0\x01\0\0\x03t/#\x01");
    FEED(b, "\x82\x14\0\x02\0\0\x0e$share/g/t/one\x01");
    FEED(a, "\x30\x0c\0\x05t/one\x03\x23\0\x01x");
    FEED(a, "\x30\x07\0\0\x03\x23\0\x01y");
    FEED(c, "\x33\x0b\0\x05t/one\0\x05r1");
    FEED(c, "\x34\x0a\0\x05t/two\0\x06z");
    FEED(c, "\x62\x02\0\x06");
    memset(large, 'l', sizeof large);
    memcpy(large, "\x32\x85\x27\0\x05t/big\0\x07", 12);
    feed(c, large, 2000);
    feed(c, large + 2000, sizeof large - 2000);
    FEED(a, "\x34\x0b\0\x05t/one\0\x09\0r");
    FEED(a, "\x35\x0b\0\x05t/two\0\x0a\0s");
    FEED(a, "\x62\x02\0\x09\x62\x02\0\x09");
    FEED(a, "\x62\x02\0\x0a");
    FEED(a, "\x40\x02\0\x01\x50\x02\0\x02\x50\x02\0\x03\x50\x02\0\x01");
    FEED(b, "\x40\x02\0\x01");
    FEED(a, "\x70\x02\0\x02\x70\x02\0\x03\x70\x02\0\x01");
    if (!a->is_closed) {
        hang_up(a);
    }
    FEED(c, "\x32\x09\0\x05t/one\0\x08");
    back = dial(w, 1, 0);
    FEED(back, connect_a);
    FEED(back, "\xa2\x08\0\x09\0\0\x03t/+");
    back = dial(w, 0, 0);
    FEED(back, connect_b);
    FEED(back, "\xe0\0");
    back = dial(w, 1, 0);
    FEED(back, connect_method);
    FEED(back, "\xf0\x0e\x18\x0c\x15\0\x04"
               "ECHO\x16\0\x02ok");
    FEED(back, "\xf0\x0e\x19\x0c\x15\0\x04"
               "ECHO\x16\0\x02ok");
    world_advance(w, 6000);
    commit(w);
    /* Wills whose sessions end. */
    world_advance(w, 60000);
    commit(w);
}

/* Nothing waits for ever. */
static void check_all_is_stored(struct world *w)
{
    for (unsigned i = 0; w->is_durable && i < 8; i++) {
        world_advance(w, 2000);
        commit(w);
    }
    for (unsigned i = 0; w->is_durable && i < 2; i++) {
        assert_true(noc_journal_is_idle(&w->shards[i]));
        assert_int_equal(w->shards[i].releases.count, 0);
        assert_true(noc_list_is_empty(&w->shards[i].receipts));
    }
}

/* Until n is so large that none fails. */
static void converse_with_failures(bool is_durable)
{
    long n = 0;

    for (has_failed = true; has_failed; n++) {
        struct world w;
        struct client *after;

        world_init(&w);
        w.own_memory = own_memory;
        w.is_durable = is_durable;
        w.limits.max_inflight_messages = 3;
        w.limits.max_output_bytes = 20000;
        w.limits.connection_messages = n % 2 == 0;
        memory_left = -1;
        world_start(&w, 2);
        w.core.log_mask = NOC_LOG_NONE;
        memory_left = n;
        has_failed = false;
        converse(&w);
        memory_left = -1;
        after = dial(&w, 0, 0);
        say_connect(after,
            (struct noc_connect){.version = NOC_V5, .clean_start = true, .client_id = TEXT("new")});
        heard(after);
        say_publish(after, 1, 1, "nobody", "x");
        assert_int_equal(hears_count(after, "PUBACK 1"), 1);
        check_all_is_stored(&w);
        world_close(&w);
        assert_in_range(n, 0, 5000);
    }
    assert_in_range(n, 100, 5000);
}

static void every_failing_allocation_is_survived(void **state)
{
    (void)state;
    again = -1;
    converse_with_failures(false);
}

static void every_failing_allocation_is_survived_with_a_journal(void **state)
{
    (void)state;
    again = -1;
    converse_with_failures(true);
}

static void allocations_that_fail_again_and_again_are_survived_with_a_journal(void **state)
{
    (void)state;
    for (again = 0; again < 8; again++) {
        converse_with_failures(true);
    }
}

static void allocations_that_fail_again_and_again_are_survived(void **state)
{
    (void)state;
    for (again = 0; again < 8; again++) {
        converse_with_failures(false);
    }
}

/* A retained message of QoS qos for a subscriber on each worker, a wildcard and a share. */
struct delivery {
    struct world world;
    struct client *near, *far, *publisher;
};

static void prepare(struct delivery *delivery)
{
    struct world *w = &delivery->world;
    static const char connect_far[] = "\x10\x10\0\x04MQTT\x05\x02\0\0\0\0\x03"
                                      "far";

    world_init(w);
    w->own_memory = own_memory;
    world_start(w, 2);
    w->core.log_mask = NOC_LOG_NONE;
    delivery->near = join(w, "near");
    subscribe(delivery->near, "t/+", 2);
    delivery->publisher = stay(w, "publisher");
    /* It is fed on the other worker, which has the fewest connections. */
    delivery->far = dial(w, 1, 0);
    say_bytes(delivery->far, connect_far);
    assert_int_equal(hears_count(delivery->far, "CONNACK"), 1);
    assert_ptr_equal(delivery->far->link.shard, &w->shards[1]);
    subscribe(delivery->far, "t/#", 2);
    subscribe(delivery->far, "$share/g/t/one", 2);
}

/* What may have got lost on the way to a subscriber that is known: it was counted as its drop. */
static bool has_or_lost(struct client *client, unsigned copies)
{
    unsigned got = hears_count(client, "PUBLISH t/one");

    assert_in_range(got, 0, copies);
    return got == copies || client->link.session == NULL || client->link.session->dropped_total > 0;
}

/* The harness allocates as it writes packets, so this is written before memory fails. */
static void say_with_failure(struct client *client, long n, unsigned qos, size_t payload_n)
{
    uint8_t packet[4096] = {(uint8_t)(0x31 | qos << 1)};
    size_t body_n = 2 + 5 + 2 + 1 + payload_n, at = 3;

    packet[1] = (uint8_t)(0x80 | (body_n & 0x7f));
    packet[2] = (uint8_t)(body_n >> 7);
    memcpy(packet + at, "\0\x05t/one\0\x01\0", 10);
    memset(packet + at + 10, 'x', payload_n);
    memory_left = n;
    say(client, packet, at + body_n);
    has_failed = memory_left < 0;
    memory_left = -1;
}

static bool is_retained(struct world *w)
{
    struct noc_message *message = noc_retained_get(w->core.retained, TEXT("t/one"));

    noc_message_unref(message);
    return message != NULL;
}

static void a_connack_waits_for_what_found_no_memory_in_the_batch(void **state)
{
    long n = 0;

    (void)state;
    for (has_failed = true; has_failed; n++) {
        struct world w;
        struct client *client;

        world_init(&w);
        w.own_memory = own_memory;
        w.is_durable = true;
        world_start(&w, 1);
        w.core.log_mask = NOC_LOG_NONE;
        client = dial(&w, 0, 0);
        memory_left = n;
        say(client, connect_a, sizeof connect_a - 1);
        has_failed = memory_left < 0;
        memory_left = -1;
        for (unsigned i = 0; i < 4; i++) {
            if (hears_count(client, "CONNACK sp0 rc0") > 0) {
                assert_true(client->link.session->durable->is_known);
            }
            world_settle(&w);
            if (w.batch[0] != NULL) {
                world_commit(&w, 0);
            }
        }
        world_close(&w);
        assert_in_range(n, 0, 200);
    }
    assert_in_range(n, 10, 200);
}

/* Whatever room the journal has left: the end of the will's release finds its place. */
static void the_end_of_a_session_with_a_will_is_survived(void **state)
{
    (void)state;
    for (unsigned entered = 8; entered < 18; entered++) {
        long n = 0;

        for (has_failed = true; has_failed; n++) {
            struct world w;
            struct client *client, *p;

            world_init(&w);
            w.own_memory = own_memory;
            w.is_durable = true;
            world_start(&w, 1);
            w.core.log_mask = NOC_LOG_NONE;
            client = dial(&w, 0, 0);
            say_connect(client, (struct noc_connect){.version = NOC_V5,
                                    .client_id = TEXT("w"),
                                    .props.raw = BYTES("\x11\0\0\0\x01"),
                                    .has_will = true,
                                    .will = {.topic = TEXT("will"),
                                        .payload = TEXT("x"),
                                        .retain = true,
                                        .props.raw = BYTES("\x18\0\0\0\x09")}});
            world_commit(&w, 0);
            assert_int_equal(hears_count(client, "CONNACK"), 1);
            p = join(&w, "p");
            hang_up(client);
            for (unsigned i = 0; i < entered; i++) { /* behind the batch with what is lost */
                say_retained(p, 0, "t", "x");
            }
            memory_left = n;
            world_advance(&w, 1000);
            has_failed = memory_left < 0;
            memory_left = -1;
            for (unsigned i = 0; i < 4 && w.batch[0] != NULL; i++) {
                world_commit(&w, 0);
            }
            assert_int_equal(w.shards[0].releases.count, 0);
            world_close(&w);
            assert_in_range(n, 0, 200);
        }
        assert_in_range(n, 2, 200);
    }
}

static void what_is_acknowledged_has_reached_all_workers(void **state)
{
    (void)state;
    for (size_t payload_n = 1; payload_n < 4000; payload_n += 3000) {
        unsigned refused = 0;
        long n = 0;

        for (has_failed = true; has_failed; n++) {
            struct delivery d;
            const char *answer;

            prepare(&d);
            say_with_failure(d.publisher, n, 1, payload_n);
            answer = heard(d.publisher);
            if (strcmp(answer, "PUBACK 1") == 0) {
                assert_true(has_or_lost(d.near, 1));
                assert_true(has_or_lost(d.far, 2));
                assert_true(is_retained(&d.world));
            } else if (strcmp(answer, "PUBACK 1 rc151") == 0) {
                refused++;
                assert_int_equal(world_count(&d.world, NOC_COUNT_PUBLISH_REFUSED), 1);
            } else {
                assert_string_equal(answer, "DISCONNECT rc151; closed");
            }
            world_close(&d.world);
            assert_in_range(n, 0, 200);
        }
        assert_in_range(refused, 3, 100);
    }
}

static void a_qos_2_message_stays_until_there_is_memory_to_route_it(void **state)
{
    unsigned stayed = 0;
    long n = 0;

    (void)state;
    for (has_failed = true; has_failed; n++) {
        struct delivery d;
        const char *answer;

        prepare(&d);
        say_with_failure(d.publisher, 1000, 2, 1);
        hears(d.publisher, "PUBREC 1");
        memory_left = n;
        say_ack(d.publisher, NOC_PUBREL, 1, 0);
        has_failed = memory_left < 0;
        memory_left = -1;
        answer = heard(d.publisher);
        if (strcmp(answer, "PUBCOMP 1") == 0) {
            assert_true(is_retained(&d.world));
            assert_true(
                has_or_lost(d.near, 1) || world_count(&d.world, NOC_COUNT_PUBLISH_DROPPED) > 0);
            assert_true(
                has_or_lost(d.far, 2) || world_count(&d.world, NOC_COUNT_PUBLISH_DROPPED) > 0);
        } else {
            unsigned got = hears_count(d.near, "PUBLISH t/one");

            /* Or there was no memory for the PUBCOMP. */
            assert_string_equal(answer, "DISCONNECT rc151; closed");
            stayed += got == 0;
            d.publisher = stay(&d.world, "publisher");
            say_ack(d.publisher, NOC_PUBREL, 1, 0);
            hears(d.publisher, got == 0 ? "PUBCOMP 1" : "PUBCOMP 1 rc146");
            assert_true(has_or_lost(d.near, 1 - got));
            assert_true(has_or_lost(d.far, 2));
        }
        world_close(&d.world);
        assert_in_range(n, 0, 200);
    }
    assert_in_range(stayed, 1, 100);
}

/* Whichever allocation fails when its worker catches up, though no other mail comes after it. */
static void a_paused_publisher_goes_on_once_there_is_memory(void **state)
{
    (void)state;
    for (long n = 0; n < 10; n++) {
        struct world w;
        struct client *b, *p;

        world_init(&w);
        w.own_memory = own_memory;
        w.limits.mailbox_high = 1;
        world_start(&w, 2);
        p = dial(&w, 0, 0);
        say(p, connect_c, sizeof connect_c - 1);
        b = dial(&w, 1, 0);
        say(b, connect_b, sizeof connect_b - 1);
        say_subscribe(b, "t", 0, 0);
        w.is_frozen[1] = true;
        while (p->is_reading) {
            say_publish(p, 0, 0, "t", "x");
        }
        w.is_frozen[1] = false;
        memory_left = n;
        world_turn(&w, 1);
        memory_left = -1;
        assert_int_equal(noc_mailbox_weight_mt(&w.shards[1].mailbox), 0);
        world_advance(&w, 1000);
        assert_true(p->is_reading);
        world_close(&w);
    }
}

static void a_core_is_made_whole_or_not_at_all(void **state)
{
    long n = 0;
    int err = NOC_ENOMEM;

    (void)state;
    for (; err != NOC_OK; n++) {
        struct world w;

        world_init(&w);
        memory_left = n;
        err = noc_core_init(&w.core, 2, &w.limits, 1);
        memory_left = -1;
        assert_in_range(n, 0, 1000);
        if (err == NOC_OK) {
            noc_core_done(&w.core);
        }
    }
    assert_in_range(n, 5, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_failing_allocation_is_survived),
        cmocka_unit_test(allocations_that_fail_again_and_again_are_survived),
        cmocka_unit_test(every_failing_allocation_is_survived_with_a_journal),
        cmocka_unit_test(allocations_that_fail_again_and_again_are_survived_with_a_journal),
        cmocka_unit_test(a_connack_waits_for_what_found_no_memory_in_the_batch),
        cmocka_unit_test(the_end_of_a_session_with_a_will_is_survived),
        cmocka_unit_test(what_is_acknowledged_has_reached_all_workers),
        cmocka_unit_test(a_qos_2_message_stays_until_there_is_memory_to_route_it),
        cmocka_unit_test(a_paused_publisher_goes_on_once_there_is_memory),
        cmocka_unit_test(a_core_is_made_whole_or_not_at_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
