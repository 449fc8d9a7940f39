/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include <stdlib.h>
#include <string.h>

#include "core/acl_build.h"

/* ---- the three qualities of service ---- */

static void qos_0_is_not_answered(void **state) /* [MQTT-4.3.1-1] */
{
    struct world w;
    struct client *p, *s;

    (void)state;
    world_open(&w, 1);
    s = join(&w, "s");
    subscribe(s, "t", 2);
    p = join(&w, "p");
    say_publish(p, 0, 0, "t", "x");
    hears_nothing(p);
    hears(s, "PUBLISH t x q0");
    world_close(&w);
}

static void qos_1_is_answered_with_puback(void **state) /* [MQTT-4.3.2-4] */
{
    struct world w;
    struct client *p, *s;

    (void)state;
    world_open(&w, 1);
    s = join(&w, "s");
    subscribe(s, "t", 0);
    p = join(&w, "p");
    say_publish(p, 1, 77, "t", "x");
    hears(p, "PUBACK 77");
    /* Sent again, it is a message again. */
    say_publish_out(p,
        &(struct noc_publish_out){.topic = TEXT("t"), .qos = 1, .packet_id = 77, .dup = true},
        TEXT("x"));
    hears(p, "PUBACK 77");
    hears(s, "PUBLISH t x q0; PUBLISH t x q0"); /* The dup flag ends here [MQTT-3.3.1-3]. */
    world_close(&w);
}

static void a_qos_2_message_that_comes_twice_is_routed_once(void **state) /* [MQTT-4.3.3-10] */
{
    struct world w;
    struct client *p, *s;

    (void)state;
    world_open(&w, 1);
    s = join(&w, "s");
    subscribe(s, "t", 2);
    p = join(&w, "p");
    say_publish(p, 2, 5, "t", "x");
    hears(p, "PUBREC 5"); /* [MQTT-4.3.3-8] */
    say_publish_out(p,
        &(struct noc_publish_out){.topic = TEXT("t"), .qos = 2, .packet_id = 5, .dup = true},
        TEXT("x"));
    hears(p, "PUBREC 5");
    hears_nothing(s);
    say_ack(p, NOC_PUBREL, 5, 0);
    hears(p, "PUBCOMP 5"); /* [MQTT-4.3.3-11] */
    hears(s, "PUBLISH t x q2 m1");
    say_ack(p, NOC_PUBREL, 5, 0);
    hears(p, "PUBCOMP 5 rc146");
    hears_nothing(s);
    /* The identifier is free again [MQTT-4.3.3-12]. */
    say_publish(p, 2, 5, "t", "y");
    say_ack(p, NOC_PUBREL, 5, 0);
    hears(p, "PUBREC 5; PUBCOMP 5");
    hears(s, "PUBLISH t y q2 m2");
    world_close(&w);
}

static void a_qos_2_message_waits_for_its_pubrel_over_a_reconnection(void **state)
{
    struct world w;
    struct client *p, *s;

    (void)state;
    world_open(&w, 1);
    s = join(&w, "s");
    subscribe(s, "t", 2);
    p = stay(&w, "p");
    say_publish(p, 2, 5, "t", "x");
    hang_up(p);
    p = stay(&w, "p");
    say_publish_out(p,
        &(struct noc_publish_out){.topic = TEXT("t"), .qos = 2, .packet_id = 5, .dup = true},
        TEXT("x"));
    hears(p, "PUBREC 5");
    say_ack(p, NOC_PUBREL, 5, 0);
    hears(s, "PUBLISH t x q2 m1");
    world_close(&w);
}

static void a_pubrel_for_an_unknown_identifier_is_answered(void **state)
{
    struct world w;
    struct client *c;

    (void)state;
    world_open(&w, 1);
    c = join(&w, "c");
    say_ack(c, NOC_PUBREL, 9, 0);
    hears(c, "PUBCOMP 9 rc146");
    c = join_v311(&w, "d");
    say_ack(c, NOC_PUBREL, 9, 0);
    hears(c, "PUBCOMP 9");
    world_close(&w);
}

static void acknowledgements_go_out_in_the_order_of_the_messages(void **state)
{
    struct world w;
    struct client *c; /* [MQTT-4.6.0-2], [MQTT-4.6.0-3], [MQTT-4.6.0-4] */

    (void)state;
    world_open(&w, 1);
    c = join(&w, "c");
    say_bytes(c, "\x32\x07\0\x01t\0\x03\0a\x34\x07\0\x01t\0\x09\0b\x32\x07\0\x01t\0\x01\0c"
                 "\x34\x07\0\x01t\0\x02\0d\x62\x02\0\x02\x62\x02\0\x09");
    hears(c, "PUBACK 3 rc16; PUBREC 9 rc16; PUBACK 1 rc16; PUBREC 2 rc16; PUBCOMP 2; PUBCOMP 9");
    world_close(&w);
}

static void a_message_nobody_takes_is_told_in_version_5_only(void **state)
{
    struct world w;
    struct client *c;

    (void)state;
    world_open(&w, 1);
    c = join(&w, "c");
    say_publish(c, 1, 1, "t", "x");
    say_publish(c, 2, 2, "t", "x");
    hears(c, "PUBACK 1 rc16; PUBREC 2 rc16");
    say_retained(c, 1, "t", "x"); /* Retained, it is taken. */
    hears(c, "PUBACK 1");
    c = join_v311(&w, "d");
    say_publish(c, 1, 1, "u", "x");
    say_publish(c, 2, 2, "u", "x");
    hears(c, "PUBACK 1; PUBREC 2");
    world_close(&w);
}

/* ---- refusals ---- */

static void a_qos_above_the_listeners_ends_the_connection(void **state) /* [MQTT-3.2.2-11] */
{
    struct world w;
    struct client *c;

    (void)state;
    world_init(&w);
    w.listeners[0].max_qos = 1;
    world_start(&w, 1);
    c = join(&w, "c");
    say_publish(c, 1, 1, "t", "x");
    hears(c, "PUBACK 1 rc16");
    say_publish(c, 2, 2, "t", "x");
    hears(c, "DISCONNECT rc155; closed");
    c = join_v311(&w, "d");
    say_publish(c, 2, 2, "t", "x");
    hears(c, "closed");
    world_close(&w);
}

static void retain_ends_the_connection_where_it_is_not_available(void **state)
{
    struct world w;
    struct client *c; /* [MQTT-3.2.2-14] */

    (void)state;
    world_init(&w);
    w.limits.retain_available = false;
    world_start(&w, 1);
    c = join(&w, "c");
    say_retained(c, 0, "t", "x");
    hears(c, "DISCONNECT rc154; closed");
    world_close(&w);
}

static void a_payload_over_the_limit_is_dropped_and_counted(void **state)
{
    struct world w;
    struct client *p, *s;

    (void)state;
    world_init(&w);
    w.limits.message_size_limit = 3;
    world_start(&w, 1);
    s = join(&w, "s");
    subscribe(s, "t", 2);
    p = join(&w, "p");
    say_publish(p, 1, 1, "t", "abc");
    say_publish(p, 0, 0, "t", "abcd");
    say_publish(p, 1, 2, "t", "abcd");
    say_publish(p, 2, 3, "t", "abcd");
    hears(p, "PUBACK 1; PUBACK 2 rc131; PUBREC 3 rc131");
    hears(s, "PUBLISH t abc q1 m1");
    assert_int_equal(world_count(&w, NOC_COUNT_PUBLISH_DROPPED), 3);
    assert_true(logged(&w, "Client p: payload of 4 bytes for 't' is over message_size_limit 3"));
    world_close(&w);
}

static void a_topic_with_a_wildcard_ends_the_connection(void **state) /* [MQTT-3.3.2-2] */
{
    struct world w;
    struct client *c;

    (void)state;
    world_open(&w, 1);
    c = join(&w, "c");
    say_publish(c, 0, 0, "a/+/b", "x");
    hears(c, "DISCONNECT rc130; closed");
    c = join(&w, "c");
    say_bytes(c, "\x30\x04\0\x01\xff\0"); /* Not UTF-8 [MQTT-3.3.2-1]. */
    hears(c, "DISCONNECT rc129; closed");
    c = join_v311(&w, "c");
    say_publish(c, 0, 0, "", "x"); /* [MQTT-4.7.3-1] */
    hears(c, "closed");
    c = join(&w, "c");
    say_bytes(c, "\x32\x06\0\x01t\0\0\0"); /* Packet identifier 0 [MQTT-2.2.1-3]. */
    hears(c, "DISCONNECT rc130; closed");
    c = join(&w, "c");
    say_bytes(c, "\x36\x06\0\x01t\0\x01\0"); /* QoS 3 [MQTT-3.3.1-4]. */
    hears(c, "DISCONNECT rc129; closed");
    c = join(&w, "c");
    say_bytes(c, "\x30\x06\0\x01t\x02\x0b\x05"); /* Subscription identifier [MQTT-3.3.4-6]. */
    hears(c, "DISCONNECT rc130; closed");
    world_close(&w);
}

static void more_qos_2_messages_than_announced_end_the_connection(void **state)
{
    struct world w;
    struct client *c; /* [MQTT-3.3.4-7] */

    (void)state;
    world_init(&w);
    w.limits.max_inflight_messages = 2;
    world_start(&w, 1);
    c = join(&w, "c");
    say_publish(c, 2, 1, "t", "x");
    say_publish(c, 2, 2, "t", "x");
    say_ack(c, NOC_PUBREL, 1, 0);
    say_publish(c, 2, 3, "t", "x");
    hears(c, "PUBREC 1 rc16; PUBREC 2 rc16; PUBCOMP 1; PUBREC 3 rc16");
    say_publish(c, 2, 4, "t", "x");
    hears(c, "DISCONNECT rc147; closed");
    world_close(&w);
}

static void memory_that_is_short_drops_or_refuses(void **state)
{
    struct world w;
    struct client *c, *v3, *s;

    (void)state;
    world_open(&w, 1);
    s = join(&w, "s");
    subscribe(s, "t", 2);
    c = join(&w, "c");
    v3 = join_v311(&w, "v3");
    atomic_store(&w.core.is_memory_short, true);
    say_publish(c, 0, 0, "t", "x");
    say_publish(c, 1, 1, "t", "x");
    say_publish(c, 2, 2, "t", "x");
    hears(c, "PUBACK 1 rc151; PUBREC 2 rc151");
    say_publish(v3, 0, 0, "t", "x");
    hears_nothing(v3);
    say_publish(v3, 1, 1, "t", "x");
    hears(v3, "closed");
    assert_int_equal(world_count(&w, NOC_COUNT_LINKS_REFUSED), 1);
    hears_nothing(s);
    assert_int_equal(world_count(&w, NOC_COUNT_PUBLISH_REFUSED), 5);
    assert_int_equal(world_count(&w, NOC_COUNT_PUBLISH_DROPPED), 2);
    world_close(&w);
}

static void a_retained_message_may_be_removed_while_memory_is_short(void **state)
{
    struct world w;
    struct client *c, *s;

    (void)state;
    world_open(&w, 1);
    s = join(&w, "s");
    subscribe(s, "#", 1);
    c = join(&w, "c");
    say_retained(c, 1, "t", "x");
    hears(s, "PUBLISH t x q1 m1");
    heard(c);
    atomic_store(&w.core.is_memory_short, true);
    say_retained(c, 1, "other", "");
    assert_int_equal(world_count(&w, NOC_COUNT_PUBLISH_REFUSED), 1);
    say_retained(c, 1, "t", "");
    assert_int_equal(world_count(&w, NOC_COUNT_PUBLISH_REFUSED), 1);
    hears(s, "PUBLISH t  q1 m2");
    say_retained(c, 1, "t", "");
    assert_int_equal(world_count(&w, NOC_COUNT_PUBLISH_REFUSED), 2);
    hears_nothing(s);
    assert_null(noc_retained_get(w.core.retained, TEXT("t")));
    world_close(&w);
}

/* ---- topic aliases ---- */

/* Else its identifier is free for another message, which is then taken for this one. */
static void a_message_that_is_ours_already_is_not_refused_when_it_comes_again(void **state)
{ /* [MQTT-4.3.3-10] */
    struct world w;
    struct client *p, *s;

    (void)state;
    world_open(&w, 1);
    s = join(&w, "s");
    subscribe(s, "t", 2);
    p = stay(&w, "p");
    say_publish(p, 2, 1, "t", "old");
    hears(p, "PUBREC 1");
    atomic_store(&w.core.is_memory_short, true);
    say_publish(p, 2, 1, "t", "old");
    hears(p, "PUBREC 1");
    say_publish(p, 2, 2, "t", "new");
    hears(p, "PUBREC 2 rc151");
    atomic_store(&w.core.is_memory_short, false);
    hears_nothing(s);
    say_ack(p, NOC_PUBREL, 1, 0);
    hears(p, "PUBCOMP 1");
    hears(s, "PUBLISH t old q2 m1");
    world_close(&w);
}

static void an_alias_stands_for_the_topic_it_was_given_with(void **state) /* [MQTT-3.3.2-7] */
{
    struct world w;
    struct client *p, *s;
    struct noc_publish_out out = {.topic = TEXT("a/b"), .alias = 3};

    (void)state;
    world_open(&w, 1);
    s = join(&w, "s");
    subscribe(s, "#", 0);
    p = join(&w, "p");
    say_publish_out(p, &out, TEXT("1"));
    out.topic = TEXT("");
    say_publish_out(p, &out, TEXT("2"));
    out.topic = TEXT("c");
    say_publish_out(p, &out, TEXT("3"));
    out.topic = TEXT("");
    say_publish_out(p, &out, TEXT("4"));
    hears_nothing(p);
    hears(s, "PUBLISH a/b 1 q0; PUBLISH a/b 2 q0; PUBLISH c 3 q0; PUBLISH c 4 q0");
    world_close(&w);
}

static void an_alias_out_of_range_or_unknown_ends_the_connection(void **state)
{
    struct world w;
    struct client *c; /* [MQTT-3.3.2-8], [MQTT-3.3.2-9] */

    (void)state;
    world_open(&w, 1);
    c = join(&w, "c");
    say_publish_out(c, &(struct noc_publish_out){.topic = TEXT("t"), .alias = 11}, TEXT("x"));
    hears(c, "DISCONNECT rc148; closed");
    c = join(&w, "c");
    say_bytes(c, "\x30\x08\0\x01t\x03\x23\0\0x");
    hears(c, "DISCONNECT rc130; closed");
    c = join(&w, "c");
    say_publish_out(c, &(struct noc_publish_out){.alias = 2}, TEXT("x"));
    hears(c, "DISCONNECT rc148; closed");
    c = join(&w, "c");
    say_publish(c, 0, 0, "", "x"); /* Neither topic nor alias. */
    hears(c, "DISCONNECT rc130; closed");
    world_close(&w);
}

static void an_alias_ends_with_its_connection(void **state)
{
    struct world w;
    struct client *c; /* [MQTT-3.3.2-7] */

    (void)state;
    world_open(&w, 1);
    c = stay(&w, "c");
    say_publish_out(c, &(struct noc_publish_out){.topic = TEXT("t"), .alias = 1}, TEXT("x"));
    hang_up(c);
    c = stay(&w, "c");
    say_publish_out(c, &(struct noc_publish_out){.alias = 1}, TEXT("x"));
    hears(c, "DISCONNECT rc148; closed");
    world_close(&w);
}

/* ---- properties ---- */

static void what_the_publisher_sets_goes_on_and_nothing_else(void **state)
{
    struct world w;
    struct client *p, *s, *v3; /* [MQTT-3.3.2-4], [MQTT-3.3.2-15] to [MQTT-3.3.2-20] */
    static const char props[] = "\x26\0\x01k\0\x01v\x01\x01\x03\0\x04text\x08\0\x01r\x09\0\x02"
                                "cd\x26\0\x01k\0\x01w";

    (void)state;
    world_open(&w, 1);
    s = join(&w, "s");
    subscribe(s, "t", 0);
    v3 = join_v311(&w, "v3");
    subscribe(v3, "t", 0);
    p = join(&w, "p");
    say_publish_out(p,
        &(struct noc_publish_out){.topic = TEXT("t"),
            .alias = 1,
            .has_expiry = true,
            .expiry_s = 60,
            .props = noc_slice(props, sizeof props - 1)},
        TEXT("x"));
    hears(s, "PUBLISH t x q0 02=60 26=k:v 01=1 03=text 08=r 09=cd 26=k:w");
    hears(v3, "PUBLISH t x q0");
    world_close(&w);
}

/* ---- rights ---- */

static struct noc_acl *acl_of(unsigned access, const char *filter, uint64_t version)
{
    struct noc_acl_builder *builder =
        noc_acl_builder_new(&(struct noc_acl_options){.seed = 1, .version = version});

    assert_non_null(builder);
    assert_int_equal(
        noc_acl_builder_add(builder, NOC_ACL_ANONYMOUS, TEXT(""), access, TEXT(filter)), NOC_OK);
    return noc_acl_builder_build(builder);
}

static void a_publish_that_is_denied_goes_nowhere(void **state)
{
    struct world w;
    struct client *c, *s, *v3;

    (void)state;
    world_open(&w, 1);
    noc_shard_set_acl(&w.shards[0], 0, acl_of(NOC_ACCESS_READ | NOC_ACCESS_WRITE, "ok/#", 1));
    s = join(&w, "s");
    subscribe(s, "#", 2);
    c = join(&w, "c");
    say_publish(c, 0, 0, "no", "x");
    say_publish(c, 1, 1, "no", "x");
    say_publish(c, 2, 2, "no", "x");
    say_publish(c, 1, 3, "ok/a", "x");
    hears(c, "PUBACK 1 rc135; PUBREC 2 rc135; PUBACK 3");
    hears(s, "PUBLISH ok/a x q1 m1");
    v3 = join_v311(&w, "v3");
    say_publish(v3, 1, 1, "no", "x");
    hears(v3, "PUBACK 1");
    hears_nothing(s);
    assert_int_equal(world_count(&w, NOC_COUNT_PUBLISH_DENIED), 4);
    /* A retained one neither. */
    say_retained(c, 0, "no", "x");
    noc_shard_set_acl(&w.shards[0], 0, NULL);
    say_subscribe(s, "no", 0, 0);
    hears(s, "SUBACK 2: 0");
    world_close(&w);
}

static void a_denial_is_logged_once_a_minute_with_a_count(void **state)
{
    struct world w;
    struct client *c;

    (void)state;
    world_open(&w, 1);
    noc_shard_set_acl(&w.shards[0], 0, acl_of(NOC_ACCESS_READ, "#", 1));
    c = join(&w, "c");
    say_publish(c, 0, 0, "t", "x");
    assert_true(logged(&w, "Client c [192.0.2.7:40001] may not publish to 't': denied by the ACL "
                           "(1 since the last such line)."));
    log_clear(&w);
    for (unsigned i = 0; i < 5; i++) {
        say_publish(c, 0, 0, "t", "x");
    }
    assert_false(logged(&w, "denied"));
    world_advance(&w, 61000);
    say_publish(c, 0, 0, "t", "x");
    assert_true(logged(&w, "(6 since the last such line)."));
    world_close(&w);
}

static void nobody_publishes_below_sys(void **state)
{
    struct world w;
    struct client *c, *s;

    (void)state;
    world_open(&w, 1);
    s = join(&w, "s");
    subscribe(s, "$SYS/#", 0);
    c = join(&w, "c");
    say_publish(c, 1, 1, "$SYS/broker", "x");
    hears(c, "PUBACK 1 rc135");
    hears_nothing(s);
    world_close(&w);
}

/* ---- mount points ---- */

static void a_mount_point_is_put_before_topics_and_taken_off_again(void **state)
{
    struct world w;
    struct client *in, *in2, *out;

    (void)state;
    world_init(&w);
    w.listeners[1].mount_point = TEXT("site/");
    world_start(&w, 1);
    in = dial(&w, 0, 1);
    say_connect(in, (struct noc_connect){.version = NOC_V5,
                        .clean_start = true,
                        .client_id = TEXT("in"),
                        .has_will = true,
                        .will.topic = TEXT("will")});
    in2 = dial(&w, 0, 1);
    say_connect(in2,
        (struct noc_connect){.version = NOC_V311, .clean_start = true, .client_id = TEXT("in2")});
    out = join(&w, "out");
    heard(in);
    heard(in2);
    subscribe(in2, "#", 0);
    subscribe(out, "#", 0);
    say_publish(in, 0, 0, "a", "1");
    say_publish(out, 0, 0, "a", "2");
    say_publish(out, 0, 0, "site/a", "3");
    hears(in2, "PUBLISH a 1 q0; PUBLISH a 3 q0");
    hears(out, "PUBLISH site/a 1 q0; PUBLISH a 2 q0; PUBLISH site/a 3 q0");
    hang_up(in);
    hears(in2, "PUBLISH will  q0");
    hears(out, "PUBLISH site/will  q0");
    say_unsubscribe(in2, "#");
    hears(in2, "UNSUBACK 2:");
    say_publish(out, 0, 0, "site/a", "4");
    hears_nothing(in2);
    world_close(&w);
}

static void a_topic_that_is_just_the_mount_point_is_not_sent_below_it(void **state)
{
    struct world w;
    struct client *in, *out;

    (void)state;
    world_init(&w);
    w.listeners[1].mount_point = TEXT("site/");
    world_start(&w, 1);
    in = dial(&w, 0, 1);
    say_connect(
        in, (struct noc_connect){.version = NOC_V5, .clean_start = true, .client_id = TEXT("in")});
    heard(in);
    subscribe(in, "#", 1); /* site/# also matches site [MQTT-4.7.1-2] */
    out = join(&w, "out");
    say_publish(out, 0, 0, "site", "x");
    say_publish(out, 1, 1, "site", "x");
    say_publish(out, 0, 0, "site/", "x");
    say_publish(out, 0, 0, "site/a", "x");
    hears(in, "PUBLISH a x q0");
    world_close(&w);
}

static void a_queue_filled_below_one_mount_point_is_not_sent_below_another(void **state)
{
    struct world w;
    struct client *c, *p;

    (void)state;
    world_init(&w);
    w.listeners[1].mount_point = TEXT("a/very/long/mount/point/");
    world_start(&w, 1);
    c = stay(&w, "c");
    subscribe(c, "t", 1);
    hang_up(c);
    p = join(&w, "p");
    say_publish(p, 1, 1, "t", "x");
    c = dial(&w, 0, 1);
    say_connect(c, (struct noc_connect){.version = NOC_V5, .client_id = TEXT("c")});
    hears(c, "CONNACK sp1 rc0 22=10 21=20");
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(qos_0_is_not_answered),
        cmocka_unit_test(qos_1_is_answered_with_puback),
        cmocka_unit_test(a_qos_2_message_that_comes_twice_is_routed_once),
        cmocka_unit_test(a_qos_2_message_waits_for_its_pubrel_over_a_reconnection),
        cmocka_unit_test(a_pubrel_for_an_unknown_identifier_is_answered),
        cmocka_unit_test(acknowledgements_go_out_in_the_order_of_the_messages),
        cmocka_unit_test(a_message_nobody_takes_is_told_in_version_5_only),
        cmocka_unit_test(a_qos_above_the_listeners_ends_the_connection),
        cmocka_unit_test(retain_ends_the_connection_where_it_is_not_available),
        cmocka_unit_test(a_payload_over_the_limit_is_dropped_and_counted),
        cmocka_unit_test(a_topic_with_a_wildcard_ends_the_connection),
        cmocka_unit_test(more_qos_2_messages_than_announced_end_the_connection),
        cmocka_unit_test(memory_that_is_short_drops_or_refuses),
        cmocka_unit_test(a_message_that_is_ours_already_is_not_refused_when_it_comes_again),
        cmocka_unit_test(a_retained_message_may_be_removed_while_memory_is_short),
        cmocka_unit_test(an_alias_stands_for_the_topic_it_was_given_with),
        cmocka_unit_test(an_alias_out_of_range_or_unknown_ends_the_connection),
        cmocka_unit_test(an_alias_ends_with_its_connection),
        cmocka_unit_test(what_the_publisher_sets_goes_on_and_nothing_else),
        cmocka_unit_test(a_publish_that_is_denied_goes_nowhere),
        cmocka_unit_test(a_denial_is_logged_once_a_minute_with_a_count),
        cmocka_unit_test(nobody_publishes_below_sys),
        cmocka_unit_test(a_mount_point_is_put_before_topics_and_taken_off_again),
        cmocka_unit_test(a_topic_that_is_just_the_mount_point_is_not_sent_below_it),
        cmocka_unit_test(a_queue_filled_below_one_mount_point_is_not_sent_below_another),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
