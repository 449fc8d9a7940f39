/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include <stdio.h>
#include <string.h>

static struct noc_connect staying(const char *id, struct noc_slice more_props)
{
    static char props[64];

    memcpy(props, "\x11\xff\xff\xff\xff", 5);
    if (more_props.n > 0) {
        memcpy(props + 5, more_props.at, more_props.n);
    }
    return (struct noc_connect){
        .version = NOC_V5, .client_id = TEXT(id), .props.raw = noc_slice(props, 5 + more_props.n)};
}

/* ---- packet identifiers ---- */

static void packet_ids_rise_by_one_from_one(void **state) /* [MQTT-2.2.1-4] */
{
    struct world w;
    struct client *s, *p;

    (void)state;
    world_open(&w, 1);
    s = join(&w, "s");
    subscribe(s, "t", 2);
    p = join(&w, "p");
    say_publish(p, 1, 0, "t", "a");
    say_publish(p, 0, 0, "t", "b");
    say_publish(p, 2, 9, "t", "c");
    say_ack(p, NOC_PUBREL, 9, 0);
    say_publish(p, 1, 0, "t", "d");
    hears(s, "PUBLISH t a q1 m1; PUBLISH t b q0; PUBLISH t c q2 m2; PUBLISH t d q1 m3");
    world_close(&w);
}

static void packet_ids_wrap_from_65535_to_1(void **state) /* [MQTT-2.2.1-4] */
{
    struct world w;
    struct client *s, *p;
    char text[60];

    (void)state;
    world_open(&w, 1);
    w.core.log_mask = NOC_LOG_NONE;
    s = join(&w, "s");
    subscribe(s, "t", 1);
    p = join(&w, "p");
    for (unsigned i = 1; i <= 65540; i++) {
        uint16_t id = (uint16_t)((i - 1) % 65535 + 1);

        say_publish(p, 1, 1, "t", "x");
        snprintf(text, sizeof text, "PUBLISH t x q1 m%u", id);
        if (i % 1000 == 0 || i > 65530) {
            hears(s, text);
        } else {
            s->heard_n = 0;
        }
        say_ack(s, NOC_PUBACK, id, 0);
        p->heard_n = 0;
    }
    assert_int_equal(world_count(&w, NOC_COUNT_MESSAGES_QUEUED), 0);
    world_close(&w);
}

static void the_window_finds_its_entries_across_the_wrap(void **state)
{
    struct world w;
    struct client *s, *p;

    (void)state;
    world_open(&w, 1);
    s = stay(&w, "s");
    subscribe(s, "t", 1);
    s->link.session->next_sequence = 65533;
    p = join(&w, "p");
    for (unsigned i = 0; i < 4; i++) {
        say_publish(p, 1, 1, "t", "x");
    }
    hears(s, "PUBLISH t x q1 m65534; PUBLISH t x q1 m65535; PUBLISH t x q1 m1; PUBLISH t x q1 m2");
    say_ack(s, NOC_PUBACK, 1, 0);
    say_ack(s, NOC_PUBACK, 65534, 0);
    assert_int_equal(s->link.session->window.count, 3);
    hang_up(s);
    s = join_as(&w, staying("s", noc_slice(NULL, 0)));
    hears(s, "PUBLISH t x q1 m65535 dup; PUBLISH t x q1 m2 dup");
    say_ack(s, NOC_PUBACK, 65535, 0);
    assert_int_equal(s->link.session->window.count, 1);
    say_ack(s, NOC_PUBACK, 2, 0);
    assert_int_equal(s->link.session->window.count, 0);
    world_close(&w);
}

/* ---- the flows ---- */

static void qos_2_goes_through_its_four_steps(void **state) /* [MQTT-4.3.3-1] to [MQTT-4.3.3-7] */
{
    struct world w;
    struct client *s, *p;

    (void)state;
    world_open(&w, 1);
    s = join(&w, "s");
    subscribe(s, "t", 2);
    p = join(&w, "p");
    say_publish(p, 2, 1, "t", "x");
    say_ack(p, NOC_PUBREL, 1, 0);
    hears(s, "PUBLISH t x q2 m1");
    say_ack(s, NOC_PUBREC, 1, 0);
    hears(s, "PUBREL 1");
    say_ack(s, NOC_PUBREC, 1, 0); /* The client did not get the PUBREL, maybe. */
    hears(s, "PUBREL 1");
    say_ack(s, NOC_PUBCOMP, 1, 0);
    hears_nothing(s);
    assert_int_equal(world_count(&w, NOC_COUNT_MESSAGES_QUEUED), 0);
    say_ack(s, NOC_PUBREC, 1, 0);
    hears(s, "PUBREL 1 rc146");
    world_close(&w);
}

static void a_pubrec_with_an_error_ends_the_flow(void **state) /* [MQTT-4.3.3-4] */
{
    struct world w;
    struct client *s, *p;

    (void)state;
    world_open(&w, 1);
    s = join(&w, "s");
    subscribe(s, "t", 2);
    p = join(&w, "p");
    say_publish(p, 2, 1, "t", "x");
    say_ack(p, NOC_PUBREL, 1, 0);
    heard(s);
    say_ack(s, NOC_PUBREC, 1, NOC_RC_QUOTA_EXCEEDED);
    hears_nothing(s);
    assert_int_equal(s->link.session->window.count, 0);
    say_ack(s, NOC_PUBCOMP, 1, 0);
    assert_true(logged(&w, "Received PUBCOMP from s for an unknown packet identifier 1."));
    world_close(&w);
}

static void acknowledgements_of_unknown_ids_are_passed_over(void **state)
{
    struct world w;
    struct client *s, *p;

    (void)state;
    world_open(&w, 1);
    s = join(&w, "s");
    subscribe(s, "t", 1);
    say_ack(s, NOC_PUBACK, 1, 0);
    say_ack(s, NOC_PUBCOMP, 7, 0);
    say_ack(s, NOC_PUBREC, 65535, 0);
    hears(s, "PUBREL 65535 rc146");
    p = join(&w, "p");
    say_publish(p, 1, 1, "t", "x");
    hears(s, "PUBLISH t x q1 m1");
    /* The wrong kind of acknowledgement does not complete it. */
    say_ack(s, NOC_PUBCOMP, 1, 0);
    assert_int_equal(s->link.session->open_count, 1);
    say_ack(s, NOC_PUBREC, 1, 0);
    hears(s, "PUBREL 1 rc146");
    say_ack(s, NOC_PUBACK, 2, 0);
    assert_int_equal(s->link.session->open_count, 1);
    say_ack(s, NOC_PUBACK, 1, 0);
    assert_int_equal(s->link.session->open_count, 0);
    say_bytes(s, "\x40\x02\0\0");
    hears(s, "DISCONNECT rc130; closed");
    world_close(&w);
}

static void holes_in_the_window_go_when_the_head_passes_them(void **state)
{
    struct world w;
    struct client *s, *p;
    const struct noc_session *session;

    (void)state;
    world_open(&w, 1);
    s = join(&w, "s");
    subscribe(s, "t", 1);
    p = join(&w, "p");
    for (unsigned i = 0; i < 6; i++) {
        say_publish(p, 1, 1, "t", "x");
    }
    session = s->link.session;
    say_ack(s, NOC_PUBACK, 2, 0);
    say_ack(s, NOC_PUBACK, 3, 0);
    say_ack(s, NOC_PUBACK, 5, 0);
    assert_int_equal(session->window.count, 6);
    assert_int_equal(session->open_count, 3);
    say_ack(s, NOC_PUBACK, 2, 0); /* Twice: unknown by now. */
    assert_int_equal(session->open_count, 3);
    say_ack(s, NOC_PUBACK, 1, 0);
    assert_int_equal(session->window.count, 3);
    say_ack(s, NOC_PUBACK, 6, 0);
    say_ack(s, NOC_PUBACK, 4, 0);
    assert_int_equal(session->window.count, 0);
    world_close(&w);
}

static void no_more_is_in_flight_than_the_receive_maximum(void **state) /* [MQTT-3.3.4-9] */
{
    struct world w;
    struct client *s, *p;

    (void)state;
    world_open(&w, 1);
    s = join_as(&w, (struct noc_connect){.version = NOC_V5,
                        .clean_start = true,
                        .client_id = TEXT("s"),
                        .props.raw = BYTES("\x21\0\x02")});
    subscribe(s, "t", 2);
    p = join(&w, "p");
    for (unsigned i = 0; i < 5; i++) {
        const char payload[2] = {(char)('a' + i), '\0'};

        say_publish(p, 1, 1, "t", payload);
    }
    say_publish(p, 0, 0, "t", "zero"); /* QoS 0 does not wait. */
    hears(s, "PUBLISH t a q1 m1; PUBLISH t b q1 m2; PUBLISH t zero q0");
    say_ack(s, NOC_PUBACK, 2, 0);
    hears(s, "PUBLISH t c q1 m3");
    say_ack(s, NOC_PUBACK, 1, 0);
    hears(s, "PUBLISH t d q1 m4");
    say_ack(s, NOC_PUBACK, 3, 0);
    say_ack(s, NOC_PUBACK, 4, 0);
    hears(s, "PUBLISH t e q1 m5");
    world_close(&w);
}

static void a_qos_2_flow_takes_its_place_until_pubcomp(void **state)
{
    struct world w;
    struct client *s, *p;

    (void)state;
    world_init(&w);
    w.limits.max_inflight_messages = 1;
    world_start(&w, 1);
    s = join(&w, "s");
    subscribe(s, "t", 2);
    p = join(&w, "p");
    for (uint16_t i = 1; i <= 2; i++) {
        say_publish(p, 2, i, "t", "x");
        say_ack(p, NOC_PUBREL, i, 0);
    }
    hears(s, "PUBLISH t x q2 m1");
    say_ack(s, NOC_PUBREC, 1, 0);
    hears(s, "PUBREL 1");
    say_ack(s, NOC_PUBCOMP, 1, 0);
    hears(s, "PUBLISH t x q2 m2");
    world_close(&w);
}

static void the_window_is_bounded_by_bytes_too(void **state)
{
    struct world w;
    struct client *s, *p;

    (void)state;
    world_init(&w);
    w.limits.max_inflight_bytes = 10;
    world_start(&w, 1);
    s = join(&w, "s");
    subscribe(s, "t", 1);
    p = join(&w, "p");
    say_publish(p, 1, 1, "t", "123456789012");
    say_publish(p, 1, 1, "t", "1234");
    say_publish(p, 1, 1, "t", "1234567");
    say_publish(p, 1, 1, "t", "1");
    hears(s, "PUBLISH t 123456789012 q1 m1"); /* One always goes. */
    say_ack(s, NOC_PUBACK, 1, 0);
    hears(s, "PUBLISH t 1234 q1 m2; PUBLISH t 1234567 q1 m3");
    say_ack(s, NOC_PUBACK, 3, 0);
    hears(s, "PUBLISH t 1 q1 m4");
    world_close(&w);
}

/* ---- again after a reconnection ---- */

static void in_flight_messages_come_again_in_order_with_dup(void **state)
{
    struct world w;
    struct client *s, *p; /* [MQTT-4.4.0-1], [MQTT-3.3.1-1], [MQTT-4.6.0-1] */

    (void)state;
    world_open(&w, 1);
    s = stay(&w, "s");
    subscribe(s, "t", 2);
    p = join(&w, "p");
    say_publish(p, 1, 1, "t", "a");
    for (uint16_t i = 1; i <= 3; i++) {
        const char payload[2] = {(char)('a' + i), '\0'};

        say_publish(p, 2, i, "t", payload);
        say_ack(p, NOC_PUBREL, i, 0);
    }
    hears(s, "PUBLISH t a q1 m1; PUBLISH t b q2 m2; PUBLISH t c q2 m3; PUBLISH t d q2 m4");
    say_ack(s, NOC_PUBREC, 2, 0);
    say_ack(s, NOC_PUBREC, 3, 0);
    say_ack(s, NOC_PUBCOMP, 3, 0);
    hang_up(s);
    say_publish(p, 1, 9, "t", "e");
    s = stay(&w, "s");
    hears(s, "PUBREL 2; PUBLISH t a q1 m1 dup; PUBLISH t d q2 m4 dup; PUBLISH t e q1 m5");
    say_ack(s, NOC_PUBCOMP, 2, 0);
    say_ack(s, NOC_PUBREC, 4, 0);
    hears(s, "PUBREL 4");
    hang_up(s);
    s = stay(&w, "s");
    hears(s, "PUBREL 4; PUBLISH t a q1 m1 dup; PUBLISH t e q1 m5 dup");
    world_close(&w);
}

static void nothing_comes_again_when_the_session_was_new(void **state)
{
    struct world w;
    struct client *s, *p;

    (void)state;
    world_open(&w, 1);
    s = join(&w, "s");
    subscribe(s, "t", 1);
    p = join(&w, "p");
    say_publish(p, 1, 1, "t", "a");
    hang_up(s);
    s = join(&w, "s");
    hears_nothing(s);
    assert_int_equal(world_count(&w, NOC_COUNT_MESSAGES_QUEUED), 0);
    world_close(&w);
}

static void what_comes_again_keeps_to_the_new_receive_maximum(void **state) /* [MQTT-3.3.4-9] */
{
    struct world w;
    struct client *s, *p;

    (void)state;
    world_open(&w, 1);
    s = stay(&w, "s");
    subscribe(s, "t", 2);
    p = join(&w, "p");
    for (unsigned i = 0; i < 5; i++) {
        const char payload[2] = {(char)('a' + i), '\0'};

        say_publish(p, 1, 1, "t", payload);
    }
    hang_up(s);
    s = join_as(&w, staying("s", BYTES("\x21\0\x02")));
    hears(s, "PUBLISH t a q1 m1 dup; PUBLISH t b q1 m2 dup");
    say_publish(p, 1, 1, "t", "f");
    hears_nothing(s);
    say_ack(s, NOC_PUBACK, 4, 0); /* Of the old connection: still welcome. */
    hears_nothing(s);
    say_ack(s, NOC_PUBACK, 2, 0);
    hears(s, "PUBLISH t c q1 m3 dup");
    hang_up(s);
    s = join_as(&w, staying("s", BYTES("\x21\0\x01")));
    hears(s, "PUBLISH t a q1 m1 dup");
    say_ack(s, NOC_PUBACK, 1, 0);
    hears(s, "PUBLISH t c q1 m3 dup");
    say_ack(s, NOC_PUBACK, 3, 0);
    hears(s, "PUBLISH t e q1 m5 dup");
    say_ack(s, NOC_PUBACK, 5, 0);
    hears(s, "PUBLISH t f q1 m6");
    say_ack(s, NOC_PUBACK, 6, 0);
    assert_int_equal(world_count(&w, NOC_COUNT_MESSAGES_QUEUED), 0);
    world_close(&w);
}

static void what_is_too_large_to_come_again_gives_up_its_place(void **state)
{
    struct world w;
    struct client *s, *p; /* [MQTT-3.1.2-25] */

    (void)state;
    world_init(&w);
    w.limits.max_inflight_messages = 2;
    world_start(&w, 1);
    s = stay(&w, "s");
    subscribe(s, "t", 1);
    p = join(&w, "p");
    say_publish(p, 1, 1, "t", "a long payload that a small client does not take");
    say_publish_out(p,
        &(struct noc_publish_out){
            .topic = TEXT("t"), .qos = 1, .packet_id = 1, .has_expiry = true, .expiry_s = 10},
        TEXT("short-lived"));
    say_publish(p, 1, 1, "t", "c");
    hears(s, "PUBLISH t a long payload that a small client does not take q1 m1; "
             "PUBLISH t short-lived q1 m2 02=10");
    hang_up(s);
    world_advance(&w, 11000);
    s = join_as(&w, staying("s", BYTES("\x27\0\0\0\x24")));
    /* What has expired meanwhile is finished all the same [MQTT-4.4.0-1]. */
    hears(s, "PUBLISH t short-lived q1 m2 dup 02=0; PUBLISH t c q1 m3");
    say_ack(s, NOC_PUBACK, 2, 0);
    say_ack(s, NOC_PUBACK, 3, 0);
    assert_int_equal(world_count(&w, NOC_COUNT_MESSAGES_QUEUED), 0);
    assert_int_equal(world_count(&w, NOC_COUNT_BYTES_QUEUED), 0);
    world_close(&w);
}

static void what_comes_again_waits_for_the_socket(void **state)
{
    struct world w;
    struct client *s, *p;
    char payload[101];

    (void)state;
    world_init(&w);
    w.limits.max_output_bytes = 250;
    world_start(&w, 1);
    s = stay(&w, "s");
    subscribe(s, "t", 1);
    p = join(&w, "p");
    memset(payload, 'x', 100);
    payload[100] = '\0';
    for (unsigned i = 0; i < 8; i++) {
        say_publish(p, 1, 1, "t", payload);
    }
    assert_int_equal(hears_count(s, "PUBLISH"), 8);
    hang_up(s);
    s = dial(&w, 0, 0);
    s->takes = 0;
    say_connect(s, staying("s", noc_slice(NULL, 0)));
    assert_in_range(s->link.out.bytes, 250, 400);
    s->takes = SIZE_MAX;
    world_settle(&w);
    assert_int_equal(hears_count(s, "dup"), 8);
    world_close(&w);
}

static void a_v3_client_gets_its_messages_again_too(void **state) /* [MQTT-4.4.0-1] of 3.1.1 */
{
    struct world w;
    struct client *s, *p;
    struct noc_connect connect = {.version = NOC_V311, .client_id = TEXT("s")};

    (void)state;
    world_open(&w, 1);
    s = join_as(&w, connect);
    subscribe(s, "t", 2);
    p = join(&w, "p");
    say_publish(p, 1, 1, "t", "a");
    say_publish(p, 2, 2, "t", "b");
    say_ack(p, NOC_PUBREL, 2, 0);
    heard(s);
    say_ack(s, NOC_PUBREC, 2, 0);
    hears(s, "PUBREL 2");
    s = join_as(&w, connect);
    hears(s, "PUBREL 2; PUBLISH t a q1 m1 dup");
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packet_ids_rise_by_one_from_one),
        cmocka_unit_test(packet_ids_wrap_from_65535_to_1),
        cmocka_unit_test(the_window_finds_its_entries_across_the_wrap),
        cmocka_unit_test(qos_2_goes_through_its_four_steps),
        cmocka_unit_test(a_pubrec_with_an_error_ends_the_flow),
        cmocka_unit_test(acknowledgements_of_unknown_ids_are_passed_over),
        cmocka_unit_test(holes_in_the_window_go_when_the_head_passes_them),
        cmocka_unit_test(no_more_is_in_flight_than_the_receive_maximum),
        cmocka_unit_test(a_qos_2_flow_takes_its_place_until_pubcomp),
        cmocka_unit_test(the_window_is_bounded_by_bytes_too),
        cmocka_unit_test(in_flight_messages_come_again_in_order_with_dup),
        cmocka_unit_test(nothing_comes_again_when_the_session_was_new),
        cmocka_unit_test(what_comes_again_keeps_to_the_new_receive_maximum),
        cmocka_unit_test(what_is_too_large_to_come_again_gives_up_its_place),
        cmocka_unit_test(what_comes_again_waits_for_the_socket),
        cmocka_unit_test(a_v3_client_gets_its_messages_again_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
