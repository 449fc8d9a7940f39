/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Retained messages t/000 ... of some bytes each. */
static void retain_many(struct client *p, unsigned count, size_t payload_n)
{
    char topic[16], *payload = malloc(payload_n + 1);

    memset(payload, 'x', payload_n);
    payload[payload_n] = '\0';
    for (unsigned i = 0; i < count; i++) {
        snprintf(topic, sizeof topic, "t/%03u", i);
        say_retained(p, 1, topic, payload);
    }
    free(payload);
    p->heard_n = 0;
}

static void a_replay_brings_every_message_once_in_order_of_topic(void **state)
{
    enum { COUNT = 300 };
    struct world w;
    struct client *s, *p;
    const char *text;
    char want[40];

    (void)state;
    world_open(&w, 1);
    p = join(&w, "p");
    retain_many(p, COUNT, 1);
    s = join(&w, "s");
    say_subscribe(s, "t/+", 0, 7);
    text = heard(s);
    assert_memory_equal(text, "SUBACK 1: 0; ", 13);
    for (unsigned i = 0; i < COUNT; i++) {
        snprintf(want, sizeof want, "PUBLISH t/%03u x q0 retain 0b=7", i);
        text = strstr(text, want);
        assert_non_null(text);
    }
    assert_null(strstr(text + 1, "PUBLISH"));
    assert_null(s->link.session->replays);
    world_close(&w);
}

/* However many replays wait, a turn looks at no more than a few thousand topics. */
static void many_replays_share_what_a_turn_may_look_at(void **state)
{
    enum { TOPICS = 6000, CLIENTS = 20 };
    struct world w;
    struct client *p, *clients[CLIENTS];
    unsigned turns = 0;

    (void)state;
    world_open(&w, 1);
    p = join(&w, "p");
    retain_many(p, TOPICS, 1);
    for (unsigned i = 0; i < CLIENTS; i++) {
        char id[] = {'s', (char)('A' + i), '\0'};

        clients[i] = join(&w, id);
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        say_only(clients[i], "\x82\x07\0\x01\0\0\x01#\0", 9);
    }
    while (!noc_list_is_empty(&w.shards[0].replays)) {
        world_turn(&w, 0);
        assert_in_range(++turns, 1, 1000);
    }
    /* A turn for each SUBSCRIBE had its share before. */
    assert_in_range(turns, TOPICS * CLIENTS / NOC_REPLAY_VISITS - CLIENTS, 1000);
    for (unsigned i = 0; i < CLIENTS; i++) {
        assert_int_equal(hears_count(clients[i], "PUBLISH"), TOPICS);
    }
    world_close(&w);
}

static void a_replay_waits_for_a_small_output_and_loses_nothing(void **state)
{
    enum { COUNT = 200 };
    struct world w;
    struct client *s, *p;

    (void)state;
    world_init(&w);
    w.limits.max_output_bytes = 8000;
    world_start(&w, 1);
    p = join(&w, "p");
    retain_many(p, COUNT, 1000);
    s = join(&w, "s");
    s->takes = 0;
    say_subscribe(s, "#", 0, 0);
    assert_non_null(s->link.session->replays);
    assert_in_range(s->link.out.bytes, 4000, 80000);
    for (unsigned i = 0; i < 1000 && s->link.session->replays != NULL; i++) {
        s->takes = 3000;
        world_settle(&w);
    }
    s->takes = SIZE_MAX;
    world_settle(&w);
    assert_int_equal(hears_count(s, "PUBLISH"), COUNT);
    assert_int_equal(world_count(&w, NOC_COUNT_PUBLISH_DROPPED), 0);
    world_close(&w);
}

static void a_replay_with_qos_keeps_to_the_window(void **state)
{
    enum { COUNT = 50 };
    struct world w;
    struct client *s, *p;
    unsigned got = 0;

    (void)state;
    world_init(&w);
    w.limits.max_inflight_messages = 3;
    w.limits.max_queued_messages = 1;
    world_start(&w, 1);
    p = join(&w, "p");
    retain_many(p, COUNT, 10);
    s = join(&w, "s");
    say_subscribe(s, "t/#", 1, 0);
    for (unsigned id = 1; id <= COUNT; id++) {
        got += hears_count(s, "PUBLISH t/");
        assert_int_equal(got, id + 2 < COUNT ? id + 2 : COUNT);
        say_ack(s, NOC_PUBACK, (uint16_t)id, 0);
    }
    assert_int_equal(world_count(&w, NOC_COUNT_PUBLISH_DROPPED), 0);
    assert_null(s->link.session->replays);
    world_close(&w);
}

static void a_replay_with_qos_keeps_to_the_bytes_in_flight(void **state)
{
    struct world w;
    struct client *s, *p;

    (void)state;
    world_init(&w);
    w.limits.max_inflight_bytes = 25;
    w.limits.max_queued_messages = 1;
    world_start(&w, 1);
    p = join(&w, "p");
    retain_many(p, 9, 10);
    s = join(&w, "s");
    say_subscribe(s, "t/#", 1, 0);
    assert_int_equal(hears_count(s, "PUBLISH t/"), 3);
    for (uint16_t id = 1; id <= 6; id++) {
        say_ack(s, NOC_PUBACK, id, 0);
        assert_int_equal(hears_count(s, "PUBLISH t/"), 1);
    }
    world_close(&w);
}

static void several_replays_go_one_after_the_other(void **state)
{
    struct world w;
    struct client *s, *p;

    (void)state;
    world_open(&w, 1);
    p = join(&w, "p");
    say_retained(p, 0, "a", "1");
    say_retained(p, 0, "b", "2");
    s = join(&w, "s");
    say_bytes(s, "\x82\x0f\0\x01\0\0\x01"
                 "b\0\0\x01"
                 "a\0\0\x01"
                 "c\0");
    hears(s, "SUBACK 1: 0 0 0; PUBLISH b 2 q0 retain; PUBLISH a 1 q0 retain");
    world_close(&w);
}

/* Each filter counts as a SUBSCRIBE of its own [MQTT-3.8.4-5], which brings them anew [MQTT-3.8.4-3]. */
static void a_filter_named_twice_brings_its_messages_twice(void **state)
{
    struct world w;
    struct client *s, *p;

    (void)state;
    world_open(&w, 1);
    p = join(&w, "p");
    say_retained(p, 1, "a", "1");
    say_retained(p, 1, "b", "2");
    s = join(&w, "s");
    say_bytes(s, "\x82\x13\0\x01\0\0\x01"
                 "a\0\0\x01"
                 "b\0\0\x01"
                 "a\x01\0\x01"
                 "a\x01");
    hears(s, "SUBACK 1: 0 0 1 1; PUBLISH a 1 q0 retain; PUBLISH b 2 q0 retain; "
             "PUBLISH a 1 q1 m1 retain; PUBLISH a 1 q1 m2 retain");
    assert_null(s->link.session->replays);
    world_close(&w);
}

/* What comes again is as the last SUBSCRIBE had it; an end of the connection leaves that pass. */
static void a_replay_that_is_asked_for_again_comes_whole_behind_the_first(void **state)
{
    struct world w;
    struct client *s, *p;

    (void)state;
    world_init(&w);
    w.limits.max_inflight_messages = 1;
    world_start(&w, 1);
    p = join(&w, "p");
    retain_many(p, 2, 1);
    s = stay(&w, "s");
    say_subscribe(s, "t/#", 1, 0);
    hears(s, "SUBACK 1: 1; PUBLISH t/000 x q1 m1 retain");
    say_subscribe(s, "t/#", 1, 7);
    say_ack(s, NOC_PUBACK, 1, 0);
    hears(s, "SUBACK 2: 1; PUBLISH t/001 x q1 m2 retain");
    say_ack(s, NOC_PUBACK, 2, 0);
    hears(s, "PUBLISH t/000 x q1 m3 retain 0b=7");
    say_subscribe(s, "t/#", 1, 8);
    say_subscribe(s, "t/#", 1, 9);
    hang_up(s);
    s = stay(&w, "s");
    hears(s, "PUBLISH t/000 x q1 m3 dup retain 0b=7");
    say_ack(s, NOC_PUBACK, 3, 0);
    hears(s, "PUBLISH t/000 x q1 m4 retain 0b=9");
    say_ack(s, NOC_PUBACK, 4, 0);
    hears(s, "PUBLISH t/001 x q1 m5 retain 0b=9");
    say_subscribe(s, "t/#", 1, 10); /* the left-over one is through with its last message */
    say_ack(s, NOC_PUBACK, 5, 0);
    hears(s, "SUBACK 1: 1; PUBLISH t/000 x q1 m6 retain 0b=10");
    world_close(&w);
}

/* No Local kept it from coming live, so the pass that is to come must bring it. */
static void what_was_retained_between_two_passes_survives_the_connection(void **state)
{
    struct world w;
    struct client *s, *p;

    (void)state;
    world_init(&w);
    w.limits.max_inflight_messages = 1;
    world_start(&w, 1);
    p = join(&w, "p");
    retain_many(p, 2, 1);
    s = stay(&w, "s");
    say_subscribe(s, "t/#", 1 | NOC_SUB_NO_LOCAL, 0);
    hears(s, "SUBACK 1: 1; PUBLISH t/000 x q1 m1 retain");
    say_retained(s, 0, "t/0000", "own");
    say_subscribe(s, "t/#", 1, 0);
    hears(s, "SUBACK 2: 1");
    hang_up(s);
    s = stay(&w, "s");
    hears(s, "PUBLISH t/000 x q1 m1 dup retain");
    say_ack(s, NOC_PUBACK, 1, 0);
    hears(s, "PUBLISH t/000 x q1 m2 retain");
    say_ack(s, NOC_PUBACK, 2, 0);
    hears(s, "PUBLISH t/0000 own q0 retain; PUBLISH t/001 x q1 m3 retain");
    world_close(&w);
}

/* The pass at hand would have come with QoS 0; the one behind it is owed. */
static void a_replay_at_qos_0_leaves_the_one_with_qos_behind_it(void **state)
{
    struct world w;
    struct client *s, *p;

    (void)state;
    world_init(&w);
    w.limits.max_output_bytes = 2000;
    world_start(&w, 1);
    p = join(&w, "p");
    retain_many(p, 100, 100);
    s = stay(&w, "s");
    s->takes = 0;
    say_subscribe(s, "t/#", 0, 0);
    say_subscribe(s, "t/#", 1, 0);
    hang_up(s);
    s = stay(&w, "s");
    assert_non_null(strstr(heard(s), "PUBLISH t/000"));
    assert_non_null(s->link.session->replays);
    world_close(&w);
}

static void a_replay_with_qos_0_ends_with_its_link(void **state)
{
    struct world w;
    struct client *s, *p;

    (void)state;
    world_init(&w);
    w.limits.max_output_bytes = 2000;
    world_start(&w, 1);
    p = join(&w, "p");
    retain_many(p, 100, 100);
    s = stay(&w, "s");
    s->takes = 0;
    say_subscribe(s, "#", 0, 0);
    say_subscribe(s, "t/#", 0, 0);
    assert_non_null(s->link.session->replays);
    hang_up(s);
    s = stay(&w, "s");
    hears_nothing(s);
    world_close(&w);
}

static void a_replay_with_qos_goes_on_when_the_client_comes_back(void **state)
{
    struct world w;
    struct client *s, *p;

    (void)state;
    world_init(&w);
    w.limits.max_inflight_messages = 2;
    world_start(&w, 1);
    p = join(&w, "p");
    retain_many(p, 4, 1);
    s = stay(&w, "s");
    say_subscribe(s, "t/#", 1, 0);
    hears(s, "SUBACK 1: 1; PUBLISH t/000 x q1 m1 retain; PUBLISH t/001 x q1 m2 retain");
    hang_up(s);
    s = stay(&w, "s");
    hears(s, "PUBLISH t/000 x q1 m1 dup retain; PUBLISH t/001 x q1 m2 dup retain");
    say_ack(s, NOC_PUBACK, 1, 0);
    hears(s, "PUBLISH t/002 x q1 m3 retain");
    say_ack(s, NOC_PUBACK, 2, 0);
    hears(s, "PUBLISH t/003 x q1 m4 retain");
    world_close(&w);
}

static void a_replay_ends_with_its_subscription(void **state)
{
    struct world w;
    struct client *s, *p;

    (void)state; /* [MQTT-3.10.4-2] */
    world_init(&w);
    w.limits.max_inflight_messages = 1;
    world_start(&w, 1);
    p = join(&w, "p");
    retain_many(p, 3, 1);
    s = stay(&w, "s");
    say_subscribe(s, "t/#", 1, 0);
    hears(s, "SUBACK 1: 1; PUBLISH t/000 x q1 m1 retain");
    say_unsubscribe(s, "t/#");
    say_ack(s, NOC_PUBACK, 1, 0);
    hears(s, "UNSUBACK 2: 0");
    world_close(&w);
}

static void live_messages_go_on_while_a_replay_waits(void **state)
{
    struct world w;
    struct client *s, *p;

    (void)state;
    world_init(&w);
    w.limits.max_output_bytes = 20000;
    world_start(&w, 1);
    p = join(&w, "p");
    retain_many(p, 200, 200);
    s = join(&w, "s");
    s->takes = 0;
    say_subscribe(s, "#", 0, 0);
    say_publish(p, 0, 0, "live", "x");
    s->takes = SIZE_MAX;
    world_settle(&w);
    assert_int_equal(hears_count(s, "PUBLISH"), 201);
    world_close(&w);
}

/*
 * A publisher on another worker retains, and only then looks who subscribes. The subscription's
 * mark is put where it would be had this message been retained just before it.
 */
static void what_a_replay_brings_does_not_come_live_behind_it(void **state)
{
    struct noc_session *session;
    struct world w;
    struct client *s, *p;

    (void)state;
    world_open(&w, 1);
    p = join(&w, "p");
    say_retained(p, 1, "t", "a");
    s = join(&w, "s");
    say_subscribe(s, "t", 0, 0);
    hears(s, "SUBACK 1: 0; PUBLISH t a q0 retain");
    session = s->link.session;
    for (size_t i = 0; i <= session->sub_mask; i++) {
        if (session->subs[i] != NULL) {
            assert_int_equal(session->subs[i]->replayed, 1);
            session->subs[i]->replayed = 2;
        }
    }
    say_retained(p, 1, "t", "b");
    hears_nothing(s);
    say_publish(p, 0, 0, "t", "not retained");
    hears(s, "PUBLISH t not retained q0");
    say_retained(p, 1, "t", "c");
    hears(s, "PUBLISH t c q0");
    world_close(&w);
}

static void a_subscription_that_is_changed_goes_on_live(void **state)
{
    struct world w;
    struct client *s, *p;

    (void)state;
    world_open(&w, 1);
    p = join(&w, "p");
    s = join(&w, "s");
    say_subscribe(s, "t", 0, 0);
    say_retained(p, 1, "t", "a");
    hears(s, "SUBACK 1: 0; PUBLISH t a q0");
    say_subscribe(s, "t", 0, 0);
    hears(s, "SUBACK 2: 0; PUBLISH t a q0 retain");
    for (size_t i = 0; i <= s->link.session->sub_mask; i++) {
        if (s->link.session->subs[i] != NULL) {
            assert_int_equal(s->link.session->subs[i]->replayed, 0); /* [MQTT-3.8.4-3] */
        }
    }
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_replay_brings_every_message_once_in_order_of_topic),
        cmocka_unit_test(many_replays_share_what_a_turn_may_look_at),
        cmocka_unit_test(a_replay_waits_for_a_small_output_and_loses_nothing),
        cmocka_unit_test(a_replay_with_qos_keeps_to_the_window),
        cmocka_unit_test(a_replay_with_qos_keeps_to_the_bytes_in_flight),
        cmocka_unit_test(several_replays_go_one_after_the_other),
        cmocka_unit_test(a_filter_named_twice_brings_its_messages_twice),
        cmocka_unit_test(a_replay_that_is_asked_for_again_comes_whole_behind_the_first),
        cmocka_unit_test(what_was_retained_between_two_passes_survives_the_connection),
        cmocka_unit_test(a_replay_at_qos_0_leaves_the_one_with_qos_behind_it),
        cmocka_unit_test(a_replay_with_qos_0_ends_with_its_link),
        cmocka_unit_test(a_replay_with_qos_goes_on_when_the_client_comes_back),
        cmocka_unit_test(a_replay_ends_with_its_subscription),
        cmocka_unit_test(live_messages_go_on_while_a_replay_waits),
        cmocka_unit_test(what_a_replay_brings_does_not_come_live_behind_it),
        cmocka_unit_test(a_subscription_that_is_changed_goes_on_live),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
