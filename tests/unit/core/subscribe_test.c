/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NO_LOCAL = NOC_SUB_NO_LOCAL, AS_PUBLISHED = NOC_SUB_RETAIN_AS_PUBLISHED };
enum { RETAINED_IF_NEW = 0x10, RETAINED_NEVER = 0x20 };

static void a_subscription_is_granted_and_delivers(void **state)
{
    struct world w;
    struct client *s, *p; /* [MQTT-3.8.4-1], [MQTT-3.8.4-2], [MQTT-3.8.4-8] */

    (void)state;
    world_open(&w, 1);
    s = join(&w, "s");
    subscribe(s, "a/+", 2);
    subscribe(s, "b/#", 1);
    subscribe(s, "c", 0);
    p = join(&w, "p");
    say_publish(p, 1, 1, "a/x", "1");
    say_publish(p, 1, 1, "b", "2");
    say_publish(p, 1, 1, "c", "3");
    say_publish(p, 1, 1, "d", "4");
    hears(s, "PUBLISH a/x 1 q1 m1; PUBLISH b 2 q1 m2; PUBLISH c 3 q0");
    world_close(&w);
}

static void a_qos_above_the_listeners_is_lowered(void **state) /* [MQTT-3.8.4-7] */
{
    struct world w;
    struct client *s;

    (void)state;
    world_init(&w);
    w.listeners[0].max_qos = 1;
    world_start(&w, 1);
    s = join(&w, "s");
    say_subscribe(s, "t", 2, 0);
    hears(s, "SUBACK 1: 1");
    world_close(&w);
}

static void many_filters_get_an_answer_each_in_order(
    void **state) /* [MQTT-3.8.4-5], [MQTT-3.8.4-6] */
{
    enum { FILTERS = 65 };
    static const uint8_t ends[] = {0, 1, 2};
    struct world w;
    struct client *c;
    uint8_t wire[FILTERS * 8], *at = wire, packet[FILTERS * 8 + 20];
    char text[FILTERS * 4 + 20] = "SUBACK 7:", topic[8];
    struct noc_slice entries;

    (void)state;
    world_open(&w, 1);
    c = join(&w, "c");
    for (unsigned i = 0; i < FILTERS; i++) {
        snprintf(topic, sizeof topic, "f%u", i);
        at = noc_subscribe_put_entry(at, &(struct noc_subscription){TEXT(topic), ends[i % 3]});
        snprintf(text + strlen(text), 5, " %u", i % 3);
    }
    entries = noc_slice(wire, (size_t)(at - wire));
    say(c, packet,
        noc_subscribe_encode(NOC_V5, 7, noc_slice(NULL, 0), &entries, packet, sizeof packet));
    hears(c, text);
    assert_int_equal(c->link.session->sub_count, FILTERS);
    at = wire;
    snprintf(text, sizeof text, "UNSUBACK 8:");
    for (unsigned i = 0; i < FILTERS; i++) {
        snprintf(topic, sizeof topic, "f%u", i * 2);
        at = noc_unsubscribe_put_entry(at, TEXT(topic));
        snprintf(text + strlen(text), 5, "%s", i * 2 < FILTERS ? " 0" : " 17");
    }
    entries = noc_slice(wire, (size_t)(at - wire));
    say(c, packet,
        noc_unsubscribe_encode(NOC_V5, 8, noc_slice(NULL, 0), &entries, packet, sizeof packet));
    hears(c, text); /* [MQTT-3.10.4-4], [MQTT-3.11.3-1] */
    assert_int_equal(c->link.session->sub_count, 32);
    world_close(&w);
}

static void subscribing_again_replaces_the_options(void **state) /* [MQTT-3.8.4-3] */
{
    struct world w;
    struct client *s, *p;

    (void)state;
    world_open(&w, 1);
    s = join(&w, "s");
    say_subscribe(s, "t", 0, 5);
    say_subscribe(s, "t", 1, 6);
    hears(s, "SUBACK 1: 0; SUBACK 2: 1");
    p = join(&w, "p");
    say_publish(p, 1, 1, "t", "x");
    hears(s, "PUBLISH t x q1 m1 0b=6");
    assert_int_equal(s->link.session->sub_count, 1);
    world_close(&w);
}

static void a_new_subscription_is_refused_while_memory_is_short(void **state)
{
    struct world w;
    struct client *c, *v3, *p;

    (void)state;
    world_open(&w, 1);
    c = join(&w, "c");
    v3 = join_v311(&w, "v3");
    p = join(&w, "p");
    subscribe(c, "old", 0);
    atomic_store(&w.core.is_memory_short, true);
    say_bytes(c, "\x82\x0f\0\x07\0\0\x03new\x01\0\x03old\x01");
    hears(c, "SUBACK 7: 151 1"); /* What is there may change. */
    say_bytes(v3, "\x82\x08\0\x08\0\x03new\x01");
    hears(v3, "SUBACK 8: 128");
    assert_int_equal(world_count(&w, NOC_COUNT_FILTERS_REFUSED), 2);
    atomic_store(&w.core.is_memory_short, false);
    say_publish(p, 0, 0, "new", "x");
    say_publish(p, 1, 1, "old", "x");
    hears(c, "PUBLISH old x q1 m1");
    hears_nothing(v3);
    say_subscribe(c, "new", 0, 0);
    hears_count(c, "SUBACK");
    say_publish(p, 0, 0, "new", "x");
    hears(c, "PUBLISH new x q0");
    world_close(&w);
}

static void after_unsubscribe_nothing_comes(void **state) /* [MQTT-3.10.4-1], [MQTT-3.10.4-2] */
{
    struct world w;
    struct client *s, *p;

    (void)state;
    world_open(&w, 1);
    s = join(&w, "s");
    subscribe(s, "t", 1);
    say_unsubscribe(s, "t");
    say_unsubscribe(s, "t");
    say_unsubscribe(s, "$share/g/t");
    hears(s, "UNSUBACK 2: 0; UNSUBACK 3: 17; UNSUBACK 4: 17"); /* [MQTT-3.10.4-5] */
    p = join(&w, "p");
    say_publish(p, 1, 1, "t", "x");
    hears(p, "PUBACK 1 rc16");
    s = join_v311(&w, "s3");
    say_unsubscribe(s, "t");
    hears(s, "UNSUBACK 1:");
    world_close(&w);
}

static void a_filter_that_is_none_ends_the_connection(void **state)
{
    enum { WHATEVER_THE_VERSION = 8 };
    static const char *const bad[] = {"a#", "a/#/b", "+a", "a/b+", "#/", "$share/g+/t",
        "$share/#/t", "$share/g/a#", "$share/", "$share/g", "$share//t", "$share/+/t", "$share/g/"};
    struct world w; /* [MQTT-4.7.1-1], [MQTT-4.7.1-2], [MQTT-4.8.2-1], [MQTT-4.8.2-2] */

    (void)state;
    world_open(&w, 1);
    for (unsigned i = 0; i < NOC_COUNT(bad); i++) {
        struct client *c = join(&w, "c");

        say_subscribe(c, bad[i], 0, 0);
        hears(c, "DISCONNECT rc143; closed");
        c = join_v311(&w, "d");
        say_subscribe(c, bad[i], 0, 0);
        hears(c, i < WHATEVER_THE_VERSION ? "closed" : "SUBACK 1: 0");
        c = join(&w, "c");
        say_unsubscribe(c, bad[i]);
        hears(c, "DISCONNECT rc143; closed");
    }
    assert_true(logged(&w, "Invalid subscription string from 192.0.2.7, disconnecting."));
    assert_true(logged(&w, "Invalid unsubscription string from c, disconnecting."));
    world_close(&w);
}

static void the_log_names_a_subscription_with_its_share(void **state)
{
    struct world w;
    struct client *c;

    (void)state;
    world_open(&w, 1);
    c = join(&w, "c");
    w.core.log_mask = NOC_LOG_SUBSCRIBE;
    log_clear(&w);
    say_subscribe(c, "t", 1, 0);
    say_subscribe(c, "$share/g/t/#", 0, 0);
    assert_string_equal(w.log, "c 1 t\nc 0 $share/g/t/#\n");
    world_close(&w);
}

static void a_malformed_subscribe_ends_the_connection(void **state)
{
    struct world w;
    struct client *c;

    (void)state;
    world_open(&w, 1);
    c = join(&w, "c");
    say_bytes(c, "\x82\x03\0\x01\0"); /* No filter [MQTT-3.8.3-2]. */
    assert_true(c->is_closed);
    c = join(&w, "c");
    say_bytes(c, "\x82\x07\0\x01\0\0\x01t\x03"); /* QoS 3 */
    assert_true(c->is_closed);
    c = join(&w, "c");
    say_bytes(c, "\x82\x07\0\x01\0\0\x01t\x40"); /* Reserved bits [MQTT-3.8.3-5]. */
    assert_true(c->is_closed);
    c = join(&w, "c");
    say_subscribe(c, "$share/g/t", NO_LOCAL, 0); /* [MQTT-3.8.3-4] */
    hears(c, "DISCONNECT rc130; closed");
    c = join(&w, "c");
    say_bytes(c, "\x80\x07\0\x01\0\0\x01t\0"); /* Flags [MQTT-3.8.1-1]. */
    hears(c, "DISCONNECT rc129; closed");
    c = join(&w, "c");
    say_bytes(c, "\xa2\x02\0\x01"); /* [MQTT-3.10.3-2] */
    assert_true(c->is_closed);
    world_close(&w);
}

/* ---- options ---- */

static void no_local_keeps_a_clients_own_messages_away(void **state) /* [MQTT-3.8.3-3] */
{
    struct world w;
    struct client *a, *b;

    (void)state;
    world_open(&w, 1);
    a = join(&w, "a");
    b = join(&w, "b");
    subscribe(a, "t", NO_LOCAL);
    subscribe(b, "t", 0);
    say_publish(a, 0, 0, "t", "a");
    say_publish(b, 0, 0, "t", "b");
    hears(a, "PUBLISH t b q0");
    hears(b, "PUBLISH t a q0; PUBLISH t b q0");
    /* A second subscription without the option still brings it. */
    subscribe(a, "#", 0);
    say_publish(a, 0, 0, "t", "c");
    hears(a, "PUBLISH t c q0");
    world_close(&w);
}

static void the_retain_flag_goes_on_only_as_published(void **state)
{
    struct world w;
    struct client *plain, *as, *p; /* [MQTT-3.3.1-12], [MQTT-3.3.1-13] */

    (void)state;
    world_open(&w, 1);
    plain = join(&w, "plain");
    as = join(&w, "as");
    subscribe(plain, "t", 0);
    subscribe(as, "t", AS_PUBLISHED);
    p = join(&w, "p");
    say_retained(p, 0, "t", "1");
    say_publish(p, 0, 0, "t", "2");
    hears(plain, "PUBLISH t 1 q0; PUBLISH t 2 q0");
    hears(as, "PUBLISH t 1 q0 retain; PUBLISH t 2 q0");
    world_close(&w);
}

static void retained_messages_come_by_the_retain_handling(void **state)
{
    struct world w;
    struct client *s, *p; /* [MQTT-3.3.1-9], [MQTT-3.3.1-10], [MQTT-3.3.1-11] */

    (void)state;
    world_open(&w, 1);
    p = join(&w, "p");
    say_retained(p, 1, "t", "kept");
    s = join(&w, "s");
    say_subscribe(s, "t", 1, 0);
    hears(s, "SUBACK 1: 1; PUBLISH t kept q1 m1 retain"); /* [MQTT-3.3.1-8] */
    say_subscribe(s, "t", 0, 0);                          /* Always: again [MQTT-3.8.4-3]. */
    hears(s, "SUBACK 2: 0; PUBLISH t kept q0 retain");
    say_subscribe(s, "t", RETAINED_IF_NEW, 0);
    hears(s, "SUBACK 3: 0");
    say_subscribe(s, "+", RETAINED_IF_NEW, 0);
    hears(s, "SUBACK 4: 0; PUBLISH t kept q0 retain");
    say_subscribe(s, "#", RETAINED_NEVER, 0);
    hears(s, "SUBACK 5: 0");
    say_subscribe(s, "$share/g/t", 0, 0); /* 3.8.4, 4.8.2: shared ones get none. */
    hears(s, "SUBACK 6: 0");
    world_close(&w);
}

static void a_retained_message_is_replaced_and_removed(void **state)
{
    struct world w;
    struct client *s, *p; /* [MQTT-3.3.1-5], [MQTT-3.3.1-6], [MQTT-3.3.1-7] */

    (void)state;
    world_open(&w, 1);
    p = join(&w, "p");
    say_retained(p, 0, "t", "1");
    say_retained(p, 0, "t", "2");
    say_publish(p, 0, 0, "t", "3"); /* Not retained: the old one stays. */
    s = join(&w, "s");
    say_subscribe(s, "t", 0, 0);
    hears(s, "SUBACK 1: 0; PUBLISH t 2 q0 retain");
    say_retained(p, 0, "t", "");
    hears(s, "PUBLISH t  q0"); /* It is delivered as any other. */
    say_subscribe(s, "t", 0, 0);
    hears(s, "SUBACK 2: 0");
    world_close(&w);
}

static void an_expired_retained_message_is_not_sent(void **state) /* [MQTT-3.3.2-5] */
{
    struct world w;
    struct client *s, *p;

    (void)state;
    world_open(&w, 1);
    p = join(&w, "p");
    say_publish_out(p,
        &(struct noc_publish_out){
            .topic = TEXT("t"), .retain = true, .has_expiry = true, .expiry_s = 10},
        TEXT("x"));
    world_advance(&w, 4000);
    s = join(&w, "s");
    say_subscribe(s, "t", 0, 0);
    hears(s, "SUBACK 1: 0; PUBLISH t x q0 retain 02=6"); /* [MQTT-3.3.2-6] */
    world_advance(&w, 6000);
    say_subscribe(s, "#", 0, 0);
    hears(s, "SUBACK 2: 0");
    world_close(&w);
}

/* ---- several subscriptions that match ---- */

static void overlapping_subscriptions_bring_one_copy_with_all_ids(void **state)
{
    struct world w;
    struct client *s, *p; /* [MQTT-3.3.4-2], [MQTT-3.3.4-3], [MQTT-3.3.4-4], [MQTT-3.3.4-5] */

    (void)state;
    world_open(&w, 1);
    s = join(&w, "s");
    say_subscribe(s, "a/b", 0, 300);
    say_subscribe(s, "a/+", 2, 7);
    say_subscribe(s, "a/#", 1, 0);
    heard(s);
    p = join(&w, "p");
    say_publish(p, 2, 1, "a/b", "x");
    say_ack(p, NOC_PUBREL, 1, 0);
    assert_int_equal(s->link.session->window.count, 1);
    {
        const char *text = heard(s);

        assert_memory_equal(text, "PUBLISH a/b x q2 m1", 19);
        assert_non_null(strstr(text, " 0b=300"));
        assert_non_null(strstr(text, " 0b=7"));
        assert_int_equal(strlen(text), 19 + 7 + 5);
    }
    world_close(&w);
}

static void more_ids_than_the_stack_holds_are_all_sent(void **state)
{
    enum { LEVELS = 20 };
    struct world w;
    struct client *s, *p;
    char topic[LEVELS * 2 + 1] = "", filter[LEVELS * 2 + 3];

    (void)state;
    world_open(&w, 1);
    s = stay(&w, "s");
    for (uint32_t i = 0; i < LEVELS; i++) {
        snprintf(filter, sizeof filter, "%s#", topic);
        say_subscribe(s, filter, 1, i + 1);
        snprintf(topic + strlen(topic), 3, "a/");
    }
    heard(s);
    p = join(&w, "p");
    say_publish(p, 1, 1, topic, "x");
    assert_int_equal(hears_count(s, "0b="), LEVELS);
    hang_up(s);
    say_publish(p, 1, 1, topic, "y");
    s = stay(&w, "s");
    assert_int_equal(hears_count(s, "0b="), 2 * LEVELS);
    world_close(&w);
}

static void a_v3_client_gets_no_subscription_ids(void **state)
{
    struct world w;
    struct client *s, *p;

    (void)state;
    world_open(&w, 1);
    s = stay(&w, "s");
    say_subscribe(s, "t", 1, 7);
    hang_up(s);
    p = join(&w, "p");
    say_publish(p, 1, 1, "t", "x");
    s = join_as(&w, (struct noc_connect){.version = NOC_V311, .client_id = TEXT("s")});
    hears(s, "PUBLISH t x q1 m1");
    world_close(&w);
}

static void publish_for_the_broker(struct noc_shard *shard, const void *parts)
{
    noc_shard_publish(shard, parts);
}

static void wildcards_do_not_match_dollar_topics(void **state) /* [MQTT-4.7.2-1] */
{
    struct world w;
    struct client *s;

    (void)state;
    world_open(&w, 1);
    s = join(&w, "s");
    subscribe(s, "#", 0);
    subscribe(s, "+/x", 0);
    world_do(&w, 0, publish_for_the_broker,
        &(struct noc_message_parts){.topic = TEXT("$SYS/x"),
            .payload = TEXT("1"),
            .retain = true,
            .expires_ms = NOC_NEVER_MS});
    hears_nothing(s);
    say_subscribe(s, "$SYS/#", 0, 0);
    hears(s, "SUBACK 3: 0; PUBLISH $SYS/x 1 q0 retain");
    world_close(&w);
}

/* ---- shared subscriptions ---- */

static void members_of_a_share_take_turns(void **state) /* [MQTT-4.8.2-4] */
{
    struct world w;
    struct client *a, *b, *p;
    unsigned of_a, of_b;

    (void)state;
    world_open(&w, 1);
    a = join(&w, "a");
    b = join_v311(&w, "b");
    say_subscribe(a, "$share/g/t/+", 1, 9);
    hears(a, "SUBACK 1: 1");
    subscribe(b, "$share/g/t/+", 0);
    p = join(&w, "p");
    for (unsigned i = 0; i < 10; i++) {
        say_publish(p, 1, 1, "t/x", "x");
    }
    of_a = hears_count(a, "PUBLISH t/x x q1 m");
    of_b = hears_count(b, "PUBLISH t/x x q0");
    assert_int_equal(of_a, 5);
    assert_int_equal(of_b, 5);
    say_unsubscribe(a, "$share/g/t/+");
    hears(a, "UNSUBACK 2: 0");
    say_publish(p, 1, 1, "t/x", "x");
    assert_int_equal(hears_count(b, "PUBLISH"), 1);
    world_close(&w);
}

static void a_share_and_a_plain_subscription_are_two(void **state)
{
    struct world w;
    struct client *s, *p;

    (void)state;
    world_open(&w, 1);
    s = join(&w, "s");
    subscribe(s, "$share/g/t", 0);
    subscribe(s, "$share/h/t", 0);
    subscribe(s, "t", 0);
    p = join(&w, "p");
    say_publish(p, 0, 0, "t", "x");
    assert_int_equal(hears_count(s, "PUBLISH t x q0"), 3);
    say_unsubscribe(s, "t");
    say_publish(p, 0, 0, "t", "x");
    assert_int_equal(hears_count(s, "PUBLISH t x q0"), 2);
    world_close(&w);
}

static void an_absent_member_is_picked_only_when_none_is_there(void **state)
{
    struct world w;
    struct client *a, *b, *p;

    (void)state;
    world_open(&w, 1);
    a = stay(&w, "a");
    b = stay(&w, "b");
    subscribe(a, "$share/g/t", 1);
    subscribe(b, "$share/g/t", 1);
    hang_up(a);
    p = join(&w, "p");
    for (unsigned i = 0; i < 4; i++) {
        say_publish(p, 1, 1, "t", "x");
    }
    assert_int_equal(hears_count(b, "PUBLISH"), 4);
    hang_up(b);
    for (unsigned i = 0; i < 4; i++) {
        say_publish(p, 1, 1, "t", "y");
    }
    hears(p, "PUBACK 1; PUBACK 1; PUBACK 1; PUBACK 1; PUBACK 1; PUBACK 1; PUBACK 1; PUBACK 1");
    a = stay(&w, "a");
    b = stay(&w, "b");
    assert_int_equal(hears_count(a, "PUBLISH t y") + hears_count(b, "PUBLISH t y"), 4);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_subscription_is_granted_and_delivers),
        cmocka_unit_test(a_qos_above_the_listeners_is_lowered),
        cmocka_unit_test(many_filters_get_an_answer_each_in_order),
        cmocka_unit_test(subscribing_again_replaces_the_options),
        cmocka_unit_test(a_new_subscription_is_refused_while_memory_is_short),
        cmocka_unit_test(after_unsubscribe_nothing_comes),
        cmocka_unit_test(a_filter_that_is_none_ends_the_connection),
        cmocka_unit_test(the_log_names_a_subscription_with_its_share),
        cmocka_unit_test(a_malformed_subscribe_ends_the_connection),
        cmocka_unit_test(no_local_keeps_a_clients_own_messages_away),
        cmocka_unit_test(the_retain_flag_goes_on_only_as_published),
        cmocka_unit_test(retained_messages_come_by_the_retain_handling),
        cmocka_unit_test(a_retained_message_is_replaced_and_removed),
        cmocka_unit_test(an_expired_retained_message_is_not_sent),
        cmocka_unit_test(overlapping_subscriptions_bring_one_copy_with_all_ids),
        cmocka_unit_test(more_ids_than_the_stack_holds_are_all_sent),
        cmocka_unit_test(a_v3_client_gets_no_subscription_ids),
        cmocka_unit_test(wildcards_do_not_match_dollar_topics),
        cmocka_unit_test(members_of_a_share_take_turns),
        cmocka_unit_test(a_share_and_a_plain_subscription_are_two),
        cmocka_unit_test(an_absent_member_is_picked_only_when_none_is_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
