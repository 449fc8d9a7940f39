/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include <stdlib.h>
#include <string.h>

#include "core/acl_build.h"
#include "core/deliver.h"

/* ---- queues ---- */

static void an_absent_session_queues_up_to_its_limit_and_counts_the_rest(void **state)
{
    struct world w;
    struct client *s, *p;

    (void)state;
    world_init(&w);
    w.limits.max_queued_messages = 3;
    world_start(&w, 1);
    s = stay(&w, "s");
    subscribe(s, "t", 1);
    hang_up(s);
    p = join(&w, "p");
    for (unsigned i = 0; i < 5; i++) {
        const char payload[2] = {(char)('a' + i), '\0'};

        say_publish(p, 1, 1, "t", payload);
    }
    assert_int_equal(world_count(&w, NOC_COUNT_MESSAGES_QUEUED), 3);
    assert_int_equal(world_count(&w, NOC_COUNT_BYTES_QUEUED), 3);
    assert_int_equal(world_count(&w, NOC_COUNT_PUBLISH_DROPPED), 2);
    assert_true(logged(&w, "Outgoing messages are being dropped for client s."));
    s = stay(&w, "s");
    hears(s, "PUBLISH t a q1 m1; PUBLISH t b q1 m2; PUBLISH t c q1 m3");
    assert_true(logged(&w, "Client s keeps up again; 2 messages were dropped."));
    assert_int_equal(s->link.session->dropped_total, 2);
    world_close(&w);
}

static void a_queue_is_bounded_by_bytes_too(void **state)
{
    struct world w;
    struct client *s, *p;

    (void)state;
    world_init(&w);
    w.limits.max_queued_bytes = 10;
    world_start(&w, 1);
    s = stay(&w, "s");
    subscribe(s, "t", 1);
    hang_up(s);
    p = join(&w, "p");
    say_publish(p, 1, 1, "t", "12345678");
    say_publish(p, 1, 1, "t", "123");
    say_publish(p, 1, 1, "t", "12");
    assert_int_equal(world_count(&w, NOC_COUNT_PUBLISH_DROPPED), 1);
    s = stay(&w, "s");
    hears(s, "PUBLISH t 12345678 q1 m1; PUBLISH t 12 q1 m2");
    world_close(&w);
}

static void qos_0_is_queued_for_the_absent_only_where_it_is_asked_for(void **state)
{
    (void)state; /* [MQTT-3.1.2-5] leaves it open */
    for (unsigned queue_qos0 = 0; queue_qos0 < 2; queue_qos0++) {
        struct world w;
        struct client *s, *p;

        world_init(&w);
        w.limits.queue_qos0 = queue_qos0 == 1;
        world_start(&w, 1);
        s = stay(&w, "s");
        subscribe(s, "t", 0);
        hang_up(s);
        p = join(&w, "p");
        say_publish(p, 0, 0, "t", "x");
        s = stay(&w, "s");
        hears(s, queue_qos0 == 1 ? "PUBLISH t x q0" : "");
        world_close(&w);
    }
}

static void a_slow_reader_alone_loses_qos_0(void **state)
{
    struct world w;
    struct client *slow, *quick, *p;

    (void)state;
    world_init(&w);
    w.limits.max_output_bytes = 100;
    world_start(&w, 1);
    slow = join(&w, "slow");
    quick = join(&w, "quick");
    subscribe(slow, "t", 0);
    subscribe(quick, "t", 0);
    p = join(&w, "p");
    slow->takes = 0;
    for (unsigned i = 0; i < 50; i++) {
        say_publish(p, 0, 0, "t", "0123456789");
    }
    assert_int_equal(hears_count(quick, "PUBLISH"), 50);
    assert_in_range(slow->link.out.bytes, 100, 120);
    assert_in_range(world_count(&w, NOC_COUNT_PUBLISH_DROPPED), 40, 45);
    assert_true(logged(&w, "Outgoing messages are being dropped for client slow."));
    log_clear(&w);
    slow->takes = SIZE_MAX;
    world_settle(&w);
    assert_in_range(hears_count(slow, "PUBLISH"), 5, 10);
    assert_true(logged(&w, "Client slow keeps up again; 4"));
    log_clear(&w);
    /* A new episode is told anew, and once. */
    slow->takes = 0;
    for (unsigned i = 0; i < 50; i++) {
        say_publish(p, 0, 0, "t", "0123456789");
    }
    assert_true(logged(&w, "being dropped for client slow"));
    assert_ptr_equal(strstr(strstr(w.log, "being dropped") + 1, "being dropped"), NULL);
    world_close(&w);
}

static void a_session_that_ends_tells_what_it_lost(void **state)
{
    struct world w;
    struct client *s, *p;

    (void)state;
    world_init(&w);
    w.limits.max_output_bytes = 100;
    world_start(&w, 1);
    s = join(&w, "s");
    subscribe(s, "t", 0);
    p = join(&w, "p");
    s->takes = 0;
    for (unsigned i = 0; i < 50; i++) {
        say_publish(p, 0, 0, "t", "0123456789");
    }
    hang_up(s);
    assert_true(logged(&w, "The session of client s ends; 4"));
    log_clear(&w);
    s = join(&w, "s");
    hang_up(s);
    assert_false(logged(&w, "were dropped"));
    world_close(&w);
}

static void an_acknowledgement_does_not_end_an_episode_of_drops(void **state)
{
    struct world w;
    struct client *s, *p;

    (void)state;
    world_init(&w);
    w.limits.max_output_bytes = 100;
    world_start(&w, 1);
    s = join(&w, "s");
    subscribe(s, "t", 1);
    p = join(&w, "p");
    say_publish(p, 1, 1, "t", "0123456789");
    s->takes = 0;
    for (unsigned i = 0; i < 20; i++) {
        say_publish(p, 0, 0, "t", "0123456789");
    }
    assert_true(logged(&w, "being dropped for client s."));
    say_ack(s, NOC_PUBACK, 1, 0);
    assert_false(logged(&w, "keeps up again"));
    world_close(&w);
}

static void qos_1_waits_for_a_slow_reader_in_its_queue(void **state)
{
    struct world w;
    struct client *s, *p;

    (void)state;
    world_init(&w);
    w.limits.max_output_bytes = 100;
    world_start(&w, 1);
    s = join(&w, "s");
    subscribe(s, "t", 1);
    p = join(&w, "p");
    s->takes = 0;
    for (unsigned i = 0; i < 15; i++) {
        say_publish(p, 1, 1, "t", "0123456789");
    }
    assert_int_equal(world_count(&w, NOC_COUNT_PUBLISH_DROPPED), 0);
    assert_in_range(s->link.session->queue.count, 5, 12);
    s->takes = SIZE_MAX;
    world_settle(&w);
    assert_int_equal(hears_count(s, "PUBLISH"), 15);
    assert_int_equal(s->link.session->queue.count, 0);
    world_close(&w);
}

static void a_queue_is_worked_off_in_order_as_acknowledgements_come(
    void **state) /* [MQTT-4.6.0-6] */
{
    struct world w;
    struct client *s, *p;

    (void)state;
    world_init(&w);
    w.limits.max_inflight_messages = 1;
    w.limits.queue_qos0 = true;
    world_start(&w, 1);
    s = stay(&w, "s");
    subscribe(s, "t", 2);
    hang_up(s);
    p = join(&w, "p");
    say_publish(p, 1, 1, "t", "a");
    say_publish(p, 0, 0, "t", "b");
    say_publish(p, 2, 2, "t", "c");
    say_ack(p, NOC_PUBREL, 2, 0);
    say_publish(p, 0, 0, "t", "d");
    s = stay(&w, "s");
    hears(s, "PUBLISH t a q1 m1; PUBLISH t b q0");
    say_publish(p, 0, 0, "t", "e"); /* Not before d. */
    hears_nothing(s);
    say_ack(s, NOC_PUBACK, 1, 0);
    hears(s, "PUBLISH t c q2 m3; PUBLISH t d q0; PUBLISH t e q0");
    say_publish(p, 0, 0, "t", "f");
    hears(s, "PUBLISH t f q0");
    world_close(&w);
}

static void with_memory_short_the_heaviest_queue_gives_up_half(void **state)
{
    struct world w;
    struct client *light, *heavy, *p;

    (void)state;
    world_open(&w, 1);
    light = stay(&w, "light");
    heavy = stay(&w, "heavy");
    subscribe(light, "l", 1);
    subscribe(heavy, "h", 1);
    hang_up(light);
    hang_up(heavy);
    p = join(&w, "p");
    for (unsigned i = 0; i < 5; i++) {
        const char payload[2] = {(char)('a' + i), '\0'};

        say_publish(p, 1, 1, "l", "");
        say_publish(p, 1, 1, "h", payload);
    }
    assert_int_equal(world_count(&w, NOC_COUNT_MESSAGES_QUEUED), 10);
    w.now_ms += 1000;
    atomic_store(&w.core.is_memory_short, true);
    world_turn(&w, 0);
    world_turn(&w, 0);
    atomic_store(&w.core.is_memory_short, false);
    assert_int_equal(world_count(&w, NOC_COUNT_MESSAGES_QUEUED), 7);
    assert_true(
        logged(&w, "Memory is short: 3 messages of the queue of client heavy were dropped."));
    heavy = stay(&w, "heavy");
    hears(heavy, "PUBLISH h d q1 m4; PUBLISH h e q1 m5");
    world_close(&w);
}

/* A will's, say: what clients publish then is refused. */
static void a_qos_0_message_that_is_not_queued_for_want_of_memory_is_counted(void **state)
{
    struct world w;
    struct client *s, *p;

    (void)state;
    world_init(&w);
    w.limits.queue_qos0 = true;
    world_start(&w, 1);
    s = stay(&w, "s");
    subscribe(s, "t", 0);
    hang_up(s);
    p = join_as(&w, (struct noc_connect){.version = NOC_V311,
                        .clean_start = true,
                        .client_id = TEXT("p"),
                        .has_will = true,
                        .will = {.topic = TEXT("t"), .payload = TEXT("gone")}});
    atomic_store(&w.core.is_memory_short, true);
    hang_up(p);
    assert_int_equal(world_count(&w, NOC_COUNT_PUBLISH_DROPPED), 1);
    assert_true(logged(&w, "Outgoing messages are being dropped for client s."));
    world_close(&w);
}

/* ---- what is sent ---- */

static void the_expiry_that_is_left_goes_on(void **state) /* [MQTT-3.3.2-6] */
{
    struct world w;
    struct client *s, *p;
    struct noc_publish_out out = {
        .topic = TEXT("t"), .qos = 1, .packet_id = 1, .has_expiry = true, .expiry_s = 60};

    (void)state;
    world_open(&w, 1);
    s = stay(&w, "s");
    subscribe(s, "t", 1);
    hang_up(s);
    p = join(&w, "p");
    say_publish_out(p, &out, TEXT("a"));
    out.expiry_s = 10;
    say_publish_out(p, &out, TEXT("b"));
    out.expiry_s = UINT32_MAX;
    say_publish_out(p, &out, TEXT("c"));
    out.expiry_s = 0;
    say_publish_out(p, &out, TEXT("d"));
    world_advance(&w, 10500);
    s = stay(&w, "s");
    hears(s, "PUBLISH t a q1 m1 02=50; PUBLISH t c q1 m3 02=4294967285"); /* [MQTT-3.3.2-5] */
    assert_int_equal(world_count(&w, NOC_COUNT_PUBLISH_EXPIRED), 2);
    assert_int_equal(world_count(&w, NOC_COUNT_PUBLISH_DROPPED), 0);
    assert_int_equal(world_count(&w, NOC_COUNT_MESSAGES_QUEUED), 2);
    world_close(&w);
}

static void a_packet_larger_than_the_client_takes_is_not_sent(void **state)
{
    struct world w;
    struct client *s, *p; /* [MQTT-3.1.2-24], [MQTT-3.1.2-25] */

    (void)state;
    world_open(&w, 1);
    s = join_as(&w, (struct noc_connect){.version = NOC_V5,
                        .clean_start = true,
                        .client_id = TEXT("s"),
                        .props.raw = BYTES("\x27\0\0\0\x10")});
    subscribe(s, "t", 1);
    p = join(&w, "p");
    say_publish(p, 1, 1, "t", "12345678");
    say_publish(p, 1, 1, "t", "123456789");
    say_publish(p, 1, 1, "t", "1");
    hears(s, "PUBLISH t 12345678 q1 m1; PUBLISH t 1 q1 m2");
    assert_int_equal(world_count(&w, NOC_COUNT_PUBLISH_OVERSIZE), 1);
    assert_int_equal(s->link.session->dropped_total, 1);
    world_close(&w);
}

static void topics_are_sent_once_and_then_by_alias(void **state) /* [MQTT-3.3.2-7] */
{
    struct world w;
    struct client *s, *p;

    (void)state;
    world_init(&w);
    w.listeners[0].max_topic_alias_broker = 2;
    world_start(&w, 1);
    s = join_as(&w, (struct noc_connect){.version = NOC_V5,
                        .clean_start = true,
                        .client_id = TEXT("s"),
                        .props.raw = BYTES("\x22\0\x05")});
    subscribe(s, "#", 0);
    p = join(&w, "p");
    say_publish(p, 0, 0, "a", "1");
    say_publish(p, 0, 0, "a", "2");
    say_publish(p, 0, 0, "b", "3");
    say_publish(p, 0, 0, "c", "4");
    say_publish(p, 0, 0, "b", "5");
    say_publish(p, 0, 0, "c", "6");
    hears(s, "PUBLISH a 1 q0 23=1; PUBLISH  2 q0 23=1; PUBLISH b 3 q0 23=2; PUBLISH c 4 q0; "
             "PUBLISH  5 q0 23=2; PUBLISH c 6 q0");
    world_close(&w);
}

static void the_log_names_the_topic_an_alias_stands_for(void **state)
{
    struct world w;
    struct client *s, *p;

    (void)state;
    world_open(&w, 1);
    s = join_as(&w, (struct noc_connect){.version = NOC_V5,
                        .clean_start = true,
                        .client_id = TEXT("s"),
                        .props.raw = BYTES("\x22\0\x05")});
    subscribe(s, "#", 0);
    p = join(&w, "p");
    say_publish(p, 0, 0, "a/b", "1");
    w.core.log_mask = NOC_LOG_ALL;
    say_publish(p, 0, 0, "a/b", "2");
    hears(s, "PUBLISH a/b 1 q0 23=1; PUBLISH  2 q0 23=1");
    assert_true(logged(&w, "Sending PUBLISH to s (d0, q0, r0, m0, 'a/b', ... (1 bytes))"));
    world_close(&w);
}

static void no_alias_goes_to_a_client_that_wants_none(void **state) /* [MQTT-3.1.2-27] */
{
    struct world w;
    struct client *s, *p;

    (void)state;
    world_open(&w, 1);
    s = join(&w, "s");
    subscribe(s, "#", 0);
    p = join(&w, "p");
    say_publish(p, 0, 0, "a", "1");
    say_publish(p, 0, 0, "a", "2");
    hears(s, "PUBLISH a 1 q0; PUBLISH a 2 q0");
    world_close(&w);
}

static void a_large_payload_is_shared_by_its_receivers(void **state)
{
    struct world w;
    struct client *s[3], *p;
    char payload[NOC_COPY_MAX + 2];
    struct noc_slice part;

    (void)state;
    world_open(&w, 1);
    for (unsigned i = 0; i < 3; i++) {
        s[i] = join(&w, (const char *[]){"a", "b", "c"}[i]);
        subscribe(s[i], "t", 0);
        s[i]->takes = 0;
    }
    memset(payload, 'x', sizeof payload);
    payload[sizeof payload - 1] = '\0';
    p = join(&w, "p");
    say_publish(p, 0, 0, "t", payload);
    assert_non_null(s[0]->link.out.last->message);
    assert_ptr_equal(s[0]->link.out.last->message, s[2]->link.out.last->message);
    part = noc_message_payload(s[0]->link.out.last->message);
    assert_int_equal(part.n, NOC_COPY_MAX + 1);
    hang_up(s[1]);
    for (unsigned i = 0; i < 3; i += 2) {
        s[i]->takes = SIZE_MAX;
        world_settle(&w);
        hears(s[i], "PUBLISH t (4097 bytes) q0");
    }
    world_close(&w);
}

/* ---- rights ---- */

static struct noc_acl *acl_for_user(const char *user, const char *filter, uint64_t version)
{
    struct noc_acl_builder *builder =
        noc_acl_builder_new(&(struct noc_acl_options){.seed = 1, .version = version});

    assert_non_null(builder);
    assert_int_equal(
        noc_acl_builder_add(builder, NOC_ACL_USER, TEXT(user), NOC_ACCESS_READ, TEXT(filter)),
        NOC_OK);
    return noc_acl_builder_build(builder);
}

static struct client *stay_as_user(struct world *w, const char *id, const char *user)
{
    return join_as(w, (struct noc_connect){.version = NOC_V5,
                          .client_id = TEXT(id),
                          .has_username = true,
                          .username = TEXT(user),
                          .props.raw = BYTES("\x11\xff\xff\xff\xff")});
}

static void what_a_client_may_not_read_is_not_sent(void **state)
{
    struct world w;
    struct client *s, *p;

    (void)state;
    world_open(&w, 1);
    noc_shard_set_acl(&w.shards[0], 0, acl_for_user("u", "ok/#", 1));
    s = stay_as_user(&w, "s", "u");
    subscribe(s, "#", 1);
    p = dial(&w, 0, 1); /* Its listener has no ACL. */
    say_connect(
        p, (struct noc_connect){.version = NOC_V5, .clean_start = true, .client_id = TEXT("p")});
    for (unsigned i = 0; i < 2; i++) {
        say_publish(p, 0, 0, "ok/a", "x");
        say_publish(p, 1, 1, "no/a", "x");
    }
    say_retained(p, 0, "no/b", "x");
    hears(s, "PUBLISH ok/a x q0; PUBLISH ok/a x q0");
    say_subscribe(s, "no/b", 0, 0);
    hears(s, "SUBACK 2: 0");
    world_close(&w);
}

static void a_new_acl_is_heeded_at_once(void **state)
{
    struct world w;
    struct client *s, *p;

    (void)state;
    world_open(&w, 1);
    noc_shard_set_acl(&w.shards[0], 0, acl_for_user("u", "a", 1));
    s = stay_as_user(&w, "s", "u");
    subscribe(s, "#", 1);
    p = dial(&w, 0, 1);
    say_connect(
        p, (struct noc_connect){.version = NOC_V5, .clean_start = true, .client_id = TEXT("p")});
    say_publish(p, 0, 0, "a", "1");
    say_publish(p, 0, 0, "b", "1");
    noc_shard_set_acl(&w.shards[0], 0, acl_for_user("u", "b", 2));
    say_publish(p, 0, 0, "a", "2");
    say_publish(p, 0, 0, "b", "2");
    noc_shard_set_acl(&w.shards[0], 0, NULL);
    say_publish(p, 0, 0, "a", "3");
    hears(s, "PUBLISH a 1 q0; PUBLISH b 2 q0; PUBLISH a 3 q0");
    world_close(&w);
}

static void a_session_taken_on_by_another_user_has_that_users_rights(void **state)
{
    struct world w;
    struct client *s, *p;

    (void)state;
    world_open(&w, 1);
    noc_shard_set_acl(&w.shards[0], 0, acl_for_user("u", "t", 1));
    s = stay_as_user(&w, "s", "u");
    subscribe(s, "t", 1);
    p = dial(&w, 0, 1);
    say_connect(
        p, (struct noc_connect){.version = NOC_V5, .clean_start = true, .client_id = TEXT("p")});
    say_publish(p, 0, 0, "t", "1");
    hears(s, "PUBLISH t 1 q0");
    s = stay_as_user(&w, "s", "other");
    say_publish(p, 0, 0, "t", "2");
    hears_nothing(s);
    s = stay_as_user(&w, "s", "u");
    say_publish(p, 0, 0, "t", "3");
    hears(s, "PUBLISH t 3 q0");
    world_close(&w);
}

static void a_right_lost_while_absent_is_lost_for_the_queue_too(void **state)
{
    struct world w;
    struct client *s, *p;

    (void)state;
    world_open(&w, 1);
    s = stay_as_user(&w, "s", "u");
    subscribe(s, "#", 1);
    hang_up(s);
    p = dial(&w, 0, 1);
    say_connect(
        p, (struct noc_connect){.version = NOC_V5, .clean_start = true, .client_id = TEXT("p")});
    say_publish(p, 1, 1, "a", "1");
    say_publish(p, 1, 1, "b", "1");
    noc_shard_set_acl(&w.shards[0], 0, acl_for_user("u", "b", 2));
    s = stay_as_user(&w, "s", "u");
    hears(s, "PUBLISH b 1 q1 m2");
    assert_int_equal(world_count(&w, NOC_COUNT_MESSAGES_QUEUED), 1);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_absent_session_queues_up_to_its_limit_and_counts_the_rest),
        cmocka_unit_test(a_queue_is_bounded_by_bytes_too),
        cmocka_unit_test(qos_0_is_queued_for_the_absent_only_where_it_is_asked_for),
        cmocka_unit_test(a_slow_reader_alone_loses_qos_0),
        cmocka_unit_test(a_session_that_ends_tells_what_it_lost),
        cmocka_unit_test(an_acknowledgement_does_not_end_an_episode_of_drops),
        cmocka_unit_test(qos_1_waits_for_a_slow_reader_in_its_queue),
        cmocka_unit_test(a_queue_is_worked_off_in_order_as_acknowledgements_come),
        cmocka_unit_test(with_memory_short_the_heaviest_queue_gives_up_half),
        cmocka_unit_test(a_qos_0_message_that_is_not_queued_for_want_of_memory_is_counted),
        cmocka_unit_test(the_expiry_that_is_left_goes_on),
        cmocka_unit_test(a_packet_larger_than_the_client_takes_is_not_sent),
        cmocka_unit_test(topics_are_sent_once_and_then_by_alias),
        cmocka_unit_test(the_log_names_the_topic_an_alias_stands_for),
        cmocka_unit_test(no_alias_goes_to_a_client_that_wants_none),
        cmocka_unit_test(a_large_payload_is_shared_by_its_receivers),
        cmocka_unit_test(what_a_client_may_not_read_is_not_sent),
        cmocka_unit_test(a_new_acl_is_heeded_at_once),
        cmocka_unit_test(a_session_taken_on_by_another_user_has_that_users_rights),
        cmocka_unit_test(a_right_lost_while_absent_is_lost_for_the_queue_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
