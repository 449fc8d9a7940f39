/* SPDX-License-Identifier: Apache-2.0 */
/* A shard's turn, its stop, calls from other threads, and what it shares with the others. */
#include "harness.h"

#include <string.h>

#include "core/mail.h"

static void stop(struct noc_shard *shard, const void *argument)
{
    (void)argument;
    noc_shard_stop(shard);
}

static void fire_wills(struct noc_shard *shard, const void *argument)
{
    (void)argument;
    noc_shard_fire_wills(shard);
}

static struct noc_connect with_will(const char *id)
{
    return (struct noc_connect){.version = NOC_V5,
        .client_id = TEXT(id),
        .props.raw = BYTES("\x11\xff\xff\xff\xff"),
        .has_will = true,
        .will = {.topic = TEXT("w"), .props.raw = BYTES("\x18\0\0\0\x3c")}};
}

static void a_stopping_shard_says_goodbye_and_publishes_no_will(void **state)
{
    struct world w;
    struct client *v5, *v3, *s, *stranger;

    (void)state;
    world_open(&w, 1);
    s = stay(&w, "s");
    subscribe(s, "w", 1);
    v5 = join_as(&w, with_will("v5"));
    v3 = join_v311(&w, "v3");
    stranger = dial(&w, 0, 0);
    log_clear(&w);
    world_do(&w, 0, stop, NULL);
    hears(s, "DISCONNECT rc139; closed");
    hears(v5, "DISCONNECT rc139; closed");
    hears(v3, "closed");
    hears(stranger, "closed");
    assert_int_equal(w.log_n, 0);
    assert_int_equal(world_count(&w, NOC_COUNT_CONNECTED), 0);
    world_close(&w);
}

static void wills_can_be_fired_before_a_stop(void **state)
{
    struct world w;
    struct client *s, *here;

    (void)state;
    world_open(&w, 1);
    s = join(&w, "s");
    subscribe(s, "w", 0);
    here = join_as(&w, with_will("here"));
    hang_up(join_as(&w, with_will("absent")));
    world_do(&w, 0, fire_wills, NULL);
    hears(s, "PUBLISH w  q0; PUBLISH w  q0");
    hears_nothing(here);
    world_do(&w, 0, stop, NULL);
    hears(s, "DISCONNECT rc139; closed");
    world_close(&w);
}

static void timers_of_the_glue_come_to_the_glue(void **state)
{
    struct world w;
    struct noc_timer timer;

    (void)state;
    world_open(&w, 1);
    noc_timer_init(&timer, NOC_TIMER_GLUE + 1);
    noc_timer_set(&w.shards[0].timers, &timer, w.now_ms + 500);
    world_advance(&w, 400);
    assert_int_equal(w.ticks, 0);
    world_advance(&w, 200);
    assert_int_equal(w.ticks, 1);
    world_close(&w);
}

/* ---- calls ---- */

struct called {
    unsigned times;
    unsigned by; /* shard, or 99: none */
};

static void call(struct noc_shard *shard, void *argument)
{
    struct called *called = argument;

    called->times++;
    called->by = shard == NULL ? 99 : shard->number;
}

static void a_call_runs_on_its_shard_in_the_order_of_mail(void **state)
{
    struct world w;
    struct called called[3] = {{0}};
    bool wake = false;

    (void)state;
    world_open(&w, 2);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(noc_shard_call_mt(&w.core, 1, call, &called[i], &wake), NOC_OK);
    }
    assert_int_equal(called[0].times, 0);
    world_turn(&w, 0);
    assert_int_equal(called[0].times, 0);
    world_turn(&w, 1);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(called[i].times, 1);
        assert_int_equal(called[i].by, 1);
    }
    world_close(&w);
}

static void a_call_that_finds_no_shard_any_more_is_told_so(void **state)
{
    struct world w;
    struct called called = {0};
    bool wake;

    (void)state;
    world_open(&w, 2);
    assert_int_equal(noc_shard_call_mt(&w.core, 1, call, &called, &wake), NOC_OK);
    world_close(&w);
    assert_int_equal(called.times, 1);
    assert_int_equal(called.by, 99);
}

static void a_turn_drains_a_bounded_amount_of_mail(void **state)
{
    struct world w;
    struct called called = {0};
    bool wake;

    (void)state;
    world_open(&w, 1);
    for (unsigned i = 0; i < NOC_DRAIN_MAX + 100; i++) {
        assert_int_equal(noc_shard_call_mt(&w.core, 0, call, &called, &wake), NOC_OK);
    }
    world_turn(&w, 0);
    assert_in_range(called.times, NOC_DRAIN_MAX, NOC_DRAIN_MAX + 1);
    world_turn(&w, 0);
    assert_int_equal(called.times, NOC_DRAIN_MAX + 100);
    world_close(&w);
}

static void mail_of_one_turn_is_one_batch_and_one_wake_up(void **state)
{
    struct world w;
    struct client *b, *p;

    (void)state;
    world_open(&w, 2);
    p = join(&w, "p");
    b = dial(&w, 1, 0);
    say_connect(
        b, (struct noc_connect){.version = NOC_V311, .clean_start = true, .client_id = TEXT("b")});
    heard(b);
    subscribe(b, "t", 0);
    world_turn(&w, 1);
    w.is_frozen[1] = true;
    /* It sleeps as a worker does between two turns. */
    assert_true(noc_mailbox_sleep(&w.shards[1].mailbox));
    w.wakes = 0;
    say_bytes(p, "\x30\x05\0\x01t\0"
                 "a\x30\x05\0\x01t\0"
                 "b\x30\x05\0\x01t\0"
                 "c");
    assert_int_equal(w.wakes, 1);
    assert_int_equal(noc_mailbox_weight_mt(&w.shards[1].mailbox), 3);
    say_bytes(p, "\x30\x05\0\x01t\0"
                 "d");
    assert_int_equal(w.wakes, 1); /* It has been woken. */
    noc_mailbox_wake(&w.shards[1].mailbox);
    w.is_frozen[1] = false;
    world_settle(&w);
    hears(b, "PUBLISH t a q0; PUBLISH t b q0; PUBLISH t c q0; PUBLISH t d q0");
    world_close(&w);
}

/* ---- numbers and counters ---- */

static void numbers_of_shards_never_meet(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, 2);
    for (unsigned i = 0; i < 100; i++) {
        uint64_t a = noc_shard_new_number(&w.shards[0]), b = noc_shard_new_number(&w.shards[1]);

        assert_int_not_equal(a, 0);
        assert_int_equal(a % NOC_WORKERS_MAX, 0);
        assert_int_equal(b % NOC_WORKERS_MAX, 1);
    }
    world_close(&w);
}

static void counters_are_summed_over_shards(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, 2);
    noc_shard_count(&w.shards[0], NOC_COUNT_PUBLISH_DENIED, 3);
    noc_shard_count(&w.shards[1], NOC_COUNT_PUBLISH_DENIED, 4);
    noc_shard_count(&w.shards[1], NOC_COUNT_PUBLISH_DENIED, -1);
    assert_int_equal(noc_core_count_mt(&w.core, NOC_COUNT_PUBLISH_DENIED), 6);
    world_close(&w);
}

static void only_wanted_lines_are_logged(void **state)
{
    struct world w;
    struct client *c;

    (void)state;
    world_open(&w, 1);
    c = join(&w, "c");
    say_bytes(c, "\xc0\0");
    assert_false(logged(&w, "PINGREQ"));
    w.core.log_mask = NOC_LOG_ALL;
    say_bytes(c, "\xc0\0");
    assert_true(logged(&w, "Received PINGREQ from c\nSending PINGRESP to c\n"));
    say_subscribe(c, "t", 2, 0);
    assert_true(logged(&w, "Received SUBSCRIBE from c\n\tt (QoS 2)\nc 2 t\n"));
    say_publish(c, 1, 7, "t", "x");
    assert_true(logged(&w, "Received PUBLISH from c (d0, q1, r0, m7, 't', ... (1 bytes))"));
    assert_true(logged(&w, "Sending PUBLISH to c (d0, q1, r0, m1, 't', ... (1 bytes))"));
    assert_true(logged(&w, "Sending PUBACK to c (m7, rc0)"));
    say_ack(c, NOC_PUBACK, 1, 0);
    assert_true(logged(&w, "Received PUBACK from c (Mid: 1, RC:0)"));
    say_publish(c, 2, 8, "t", "x");
    assert_true(logged(&w, "Sending PUBREC to c (m8, rc0)"));
    say_ack(c, NOC_PUBREL, 8, 0);
    assert_true(logged(&w, "Received PUBREL from c (Mid: 8)\n"));
    assert_true(logged(&w, "Sending PUBCOMP to c (m8)\n"));
    say_ack(c, NOC_PUBREC, 2, 0);
    assert_true(logged(&w, "Received PUBREC from c (Mid: 2)\nSending PUBREL to c (m2)\n"));
    say_ack(c, NOC_PUBCOMP, 2, 0);
    assert_true(logged(&w, "Received PUBCOMP from c (Mid: 2, RC:0)\n"));
    say_unsubscribe(c, "t");
    assert_true(logged(&w, "Received UNSUBSCRIBE from c\n\tt\nc t\n"));
    say_disconnect(c, 0, noc_slice(NULL, 0));
    assert_true(logged(&w, "Received DISCONNECT from c"));
    world_close(&w);
}

static void wills_are_named_as_mosquitto_names_them(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, 1);
    w.core.log_mask = NOC_LOG_ALL;
    (void)join(&w, "none");
    assert_true(logged(&w, "No will message specified.\nSending CONNACK to none (0, 0)\n"));
    log_clear(&w);
    say_connect(dial(&w, 0, 0),
        (struct noc_connect){.version = NOC_V5,
            .clean_start = true,
            .client_id = TEXT("dies"),
            .has_will = true,
            .will = {.topic = TEXT("w/t"), .payload = TEXT("gone"), .qos = 1, .retain = true}});
    assert_true(logged(
        &w, "Will message specified (4 bytes) (r1, q1).\n\tw/t\nSending CONNACK to dies (0, 0)\n"));
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stopping_shard_says_goodbye_and_publishes_no_will),
        cmocka_unit_test(wills_can_be_fired_before_a_stop),
        cmocka_unit_test(timers_of_the_glue_come_to_the_glue),
        cmocka_unit_test(a_call_runs_on_its_shard_in_the_order_of_mail),
        cmocka_unit_test(a_call_that_finds_no_shard_any_more_is_told_so),
        cmocka_unit_test(a_turn_drains_a_bounded_amount_of_mail),
        cmocka_unit_test(mail_of_one_turn_is_one_batch_and_one_wake_up),
        cmocka_unit_test(numbers_of_shards_never_meet),
        cmocka_unit_test(counters_are_summed_over_shards),
        cmocka_unit_test(only_wanted_lines_are_logged),
        cmocka_unit_test(wills_are_named_as_mosquitto_names_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
