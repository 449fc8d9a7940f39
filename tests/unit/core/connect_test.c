/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include <string.h>

/* ---- what is accepted ---- */

static void each_version_is_answered_in_its_own_terms(void **state)
{
    struct world w;
    struct client *c;

    (void)state;
    world_open(&w, 1);
    c = dial(&w, 0, 0);
    say_connect(
        c, (struct noc_connect){.version = NOC_V31, .clean_start = true, .client_id = TEXT("a")});
    hears(c, "CONNACK sp0 rc0");
    c = dial(&w, 0, 0);
    say_connect(
        c, (struct noc_connect){.version = NOC_V311, .clean_start = true, .client_id = TEXT("b")});
    hears(c, "CONNACK sp0 rc0");
    c = dial(&w, 0, 0);
    say_connect(
        c, (struct noc_connect){.version = NOC_V5, .clean_start = true, .client_id = TEXT("c")});
    hears(c, "CONNACK sp0 rc0 22=10 21=20");
    world_close(&w);
}

static void connack_lists_its_properties_in_mosquittos_order(void **state)
{
    struct world w;
    struct client *c;

    (void)state;
    world_init(&w);
    w.limits.max_keepalive_s = 60;
    w.limits.retain_available = false;
    w.limits.max_packet_size = 2000000;
    w.listeners[0].max_qos = 1;
    world_start(&w, 1);
    c = dial(&w, 0, 0);
    say_connect(c, (struct noc_connect){.version = NOC_V5, .clean_start = true});
    hears(c, "CONNACK sp0 rc0 13=60 12=auto-00010203-0405-4607-8809-0A0B0C0D0E0F 22=10 25=0 "
             "27=2000000 21=20 24=1");
    world_close(&w);
}

static void connack_leaves_out_what_is_not_limited(void **state)
{
    struct world w;
    struct client *c;

    (void)state;
    world_init(&w);
    w.limits.max_inflight_messages = 0;
    w.listeners[0].max_topic_alias = 0;
    world_start(&w, 1);
    c = dial(&w, 0, 0);
    say_connect(
        c, (struct noc_connect){.version = NOC_V5, .clean_start = true, .client_id = TEXT("c")});
    hears(c, "CONNACK sp0 rc0");
    world_close(&w);
}

static void credentials_are_given_to_who_judges_them(void **state)
{
    struct world w;
    struct client *c;

    (void)state;
    world_open(&w, 1);
    join(&w, "a");
    assert_string_equal(w.asked_text, "a/-/-");
    c = dial(&w, 0, 0);
    say_connect(c, (struct noc_connect){.version = NOC_V311,
                       .clean_start = true,
                       .client_id = TEXT("b"),
                       .has_username = true,
                       .username = TEXT("user"),
                       .has_password = true,
                       .password = TEXT("secret")});
    assert_string_equal(w.asked_text, "b/user/secret");
    hears(c, "CONNACK sp0 rc0");
    /* Version 5 lets a password stand alone. */
    c = dial(&w, 0, 0);
    say_connect(c, (struct noc_connect){.version = NOC_V5,
                       .clean_start = true,
                       .client_id = TEXT("c"),
                       .has_password = true,
                       .password = TEXT("secret")});
    assert_string_equal(w.asked_text, "c/-/secret");
    world_close(&w);
}

static void a_bridge_is_told_by_its_version_bit(void **state)
{
    struct world w;
    struct client *c;

    (void)state;
    world_open(&w, 1);
    c = dial(&w, 0, 0);
    say_connect(c,
        (struct noc_connect){
            .version = NOC_V311, .is_bridge = true, .clean_start = true, .client_id = TEXT("b")});
    hears(c, "CONNACK sp0 rc0");
    assert_true(c->link.is_bridge);
    assert_true(logged(&w, "New bridge connected from 192.0.2.7:40001 as b (p2, c1, k0)."));
    world_close(&w);
}

/* ---- client ids ---- */

static void an_empty_id_gets_one_and_version_5_is_told(void **state) /* [MQTT-3.1.3-6] */
{
    struct world w;
    struct client *v5, *v3;

    (void)state;
    world_open(&w, 1);
    v5 = dial(&w, 0, 0);
    say_connect(v5, (struct noc_connect){.version = NOC_V5, .clean_start = true});
    assert_non_null(strstr(heard(v5), "12=auto-")); /* [MQTT-3.1.3-7] */
    v3 = dial(&w, 0, 0);
    say_connect(v3, (struct noc_connect){.version = NOC_V311, .clean_start = true});
    hears(v3, "CONNACK sp0 rc0");
    assert_int_equal(noc_link_name(&v3->link).n, strlen("auto-") + 36);
    assert_int_equal(world_count(&w, NOC_COUNT_SESSIONS), 2);
    world_close(&w);
}

static void an_empty_id_with_a_kept_session_is_refused_before_version_5(void **state)
{
    struct world w;
    struct client *c;

    (void)state; /* [MQTT-3.1.3-8] of 3.1.1 */
    world_open(&w, 1);
    c = dial(&w, 0, 0);
    say_connect(c, (struct noc_connect){.version = NOC_V311});
    hears(c, "CONNACK sp0 rc2; closed");
    c = dial(&w, 0, 0);
    say_connect(c, (struct noc_connect){.version = NOC_V31, .clean_start = true});
    hears(c, "CONNACK sp0 rc2; closed");
    world_close(&w);
}

static void empty_ids_are_refused_where_a_listener_does_not_allow_them(
    void **state) /* [MQTT-3.1.3-8] */
{
    struct world w;
    struct client *c;

    (void)state;
    world_init(&w);
    w.listeners[0].allow_zero_length_clientid = false;
    world_start(&w, 1);
    c = dial(&w, 0, 0);
    say_connect(c, (struct noc_connect){.version = NOC_V5, .clean_start = true});
    hears(c, "CONNACK sp0 rc128; closed");
    c = dial(&w, 0, 0);
    say_connect(c, (struct noc_connect){.version = NOC_V311, .clean_start = true});
    hears(c, "CONNACK sp0 rc2; closed");
    assert_int_equal(world_count(&w, NOC_COUNT_SESSIONS), 0);
    c = dial(&w, 0, 1);
    say_connect(c, (struct noc_connect){.version = NOC_V311, .clean_start = true});
    hears(c, "CONNACK sp0 rc0");
    world_close(&w);
}

/* ---- what is refused ---- */

static void an_unknown_protocol_version_is_refused(void **state) /* [MQTT-3.1.2-2] */
{
    struct world w;
    struct client *c;

    (void)state;
    world_open(&w, 1);
    c = dial(&w, 0, 0);
    say_bytes(c, "\x10\x0d\0\x04MQTT\x06\x02\0\0\0\x01"
                 "a");
    c->link.version = NOC_V311;
    hears(c, "CONNACK sp0 rc1; closed");
    c = dial(&w, 0, 0);
    say_bytes(c, "\x10\x0d\0\x04MQTX\x04\x02\0\0\0\x01"
                 "a");
    hears(c, "CONNACK sp0 rc1; closed");
    world_close(&w);
}

static void a_malformed_connect_is_not_answered(void **state) /* [MQTT-3.1.4-1] */
{
    struct world w;
    struct client *c;

    (void)state;
    world_open(&w, 1);
    c = dial(&w, 0, 0);
    say_bytes(c, "\x10\x0d\0\x04MQTT\x04\x03\0\0\0\x01"
                 "a"); /* [MQTT-3.1.2-3] */
    hears(c, "closed");
    assert_true(logged(&w, "malformed packet"));
    c = dial(&w, 0, 0);
    say_bytes(c, "\x10\x0c\0\x04MQTT\x04\x02\0\0\0\x01");
    hears(c, "closed");
    c = dial(&w, 0, 0);
    say_bytes(c, "\x11\x0d\0\x04MQTT\x04\x02\0\0\0\x01"
                 "a");
    hears(c, "closed");
    world_close(&w);
}

static void a_keep_alive_over_the_limit_is_capped_or_refused(void **state) /* [MQTT-3.1.2-21] */
{
    struct world w;
    struct client *c;

    (void)state;
    world_init(&w);
    w.limits.max_keepalive_s = 100;
    world_start(&w, 1);
    c = dial(&w, 0, 0);
    say_connect(c,
        (struct noc_connect){
            .version = NOC_V5, .clean_start = true, .client_id = TEXT("a"), .keep_alive_s = 101});
    hears(c, "CONNACK sp0 rc0 13=100 22=10 21=20");
    assert_int_equal(c->link.keepalive_s, 100);
    c = dial(&w, 0, 0);
    say_connect(c,
        (struct noc_connect){
            .version = NOC_V5, .clean_start = true, .client_id = TEXT("b"), .keep_alive_s = 100});
    hears(c, "CONNACK sp0 rc0 22=10 21=20");
    c = dial(&w, 0, 0);
    say_connect(c,
        (struct noc_connect){
            .version = NOC_V311, .clean_start = true, .client_id = TEXT("c"), .keep_alive_s = 101});
    hears(c, "CONNACK sp0 rc2; closed");
    world_close(&w);
}

static void a_will_must_be_one_the_listener_takes(void **state)
{
    struct world w;
    struct client *c;
    struct noc_connect connect = {.version = NOC_V5,
        .clean_start = true,
        .client_id = TEXT("a"),
        .has_will = true,
        .will = {.topic = TEXT("w"), .qos = 2}};

    (void)state;
    world_init(&w);
    w.listeners[0].max_qos = 1;
    w.limits.retain_available = false;
    world_start(&w, 1);
    c = dial(&w, 0, 0);
    say_connect(c, connect);
    hears(c, "CONNACK sp0 rc155; closed"); /* [MQTT-3.2.2-12] */
    connect.will.qos = 1;
    connect.will.retain = true;
    c = dial(&w, 0, 0);
    say_connect(c, connect);
    hears(c, "CONNACK sp0 rc154; closed"); /* [MQTT-3.2.2-13] */
    connect.will.retain = false;
    connect.will.topic = TEXT("w/#");
    c = dial(&w, 0, 0);
    say_connect(c, connect);
    hears(c, "closed");
    connect.will.topic = TEXT("w");
    c = dial(&w, 0, 0);
    say_connect(c, connect);
    assert_int_equal(c->link.state, NOC_LINK_OPEN);
    world_close(&w);
}

static void a_will_is_refused_above_the_limit_of_messages(void **state)
{
    struct world w;
    struct client *c;
    struct noc_connect connect = {.version = NOC_V5,
        .clean_start = true,
        .client_id = TEXT("a"),
        .has_will = true,
        .will = {.topic = TEXT("w"), .payload = TEXT("1234")}};

    (void)state;
    world_init(&w);
    w.limits.message_size_limit = 3;
    world_start(&w, 1);
    c = dial(&w, 0, 0);
    say_connect(c, connect);
    hears(c, "CONNACK sp0 rc149; closed");
    assert_true(logged(&w, "oversize packet. (payload of the will over message_size_limit)"));
    connect.version = NOC_V311;
    c = dial(&w, 0, 0);
    say_connect(c, connect);
    hears(c, "CONNACK sp0 rc5; closed");
    connect.will.payload = TEXT("123");
    c = dial(&w, 0, 0);
    say_connect(c, connect);
    hears(c, "CONNACK sp0 rc0");
    world_close(&w);
}

static void wrong_credentials_are_answered_with_not_authorised(void **state)
{
    struct world w;
    struct client *c;

    (void)state;
    world_open(&w, 1);
    w.verdict = NOC_EDENIED;
    c = dial(&w, 0, 0);
    say_connect(
        c, (struct noc_connect){.version = NOC_V5, .clean_start = true, .client_id = TEXT("a")});
    hears(c, "CONNACK sp0 rc135; closed");
    assert_true(logged(&w, "Client a disconnected, not authorised."));
    c = dial(&w, 0, 0);
    say_connect(
        c, (struct noc_connect){.version = NOC_V311, .clean_start = true, .client_id = TEXT("a")});
    hears(c, "CONNACK sp0 rc5; closed");
    w.verdict = NOC_EFULL;
    c = dial(&w, 0, 0);
    say_connect(
        c, (struct noc_connect){.version = NOC_V5, .clean_start = true, .client_id = TEXT("a")});
    hears(c, "CONNACK sp0 rc137; closed");
    assert_int_equal(world_count(&w, NOC_COUNT_SESSIONS), 0);
    world_close(&w);
}

static void stop(struct noc_shard *shard, const void *argument)
{
    (void)argument;
    noc_shard_stop(shard);
}

static void a_client_too_small_for_its_connack_is_closed(void **state) /* [MQTT-3.1.2-24] */
{
    struct world w;
    struct client *c;

    (void)state;
    world_open(&w, 1);
    c = dial(&w, 0, 0);
    say_connect(c, (struct noc_connect){.version = NOC_V5,
                       .clean_start = true,
                       .client_id = TEXT("a"),
                       .props.raw = BYTES("\x27\0\0\0\x0a")});
    hears(c, "closed");
    assert_int_equal(world_count(&w, NOC_COUNT_SESSIONS), 0);
    c = dial(&w, 0, 0);
    say_connect(c, (struct noc_connect){.version = NOC_V5,
                       .clean_start = true,
                       .client_id = TEXT("a"),
                       .props.raw = BYTES("\x27\0\0\0\x0b")});
    hears(c, "CONNACK sp0 rc0 22=10 21=20");
    say_bytes(c, "\x82\x1b\0\x01\0\0\x01"
                 "a\0\0\x01"
                 "b\0\0\x01"
                 "c\0\0\x01"
                 "d\0\0\x01"
                 "e\0\0\x01"
                 "f\0");
    hears(c, "SUBACK 1: 0 0 0 0 0 0");
    say_bytes(c, "\x82\x1f\0\x02\0\0\x01"
                 "a\0\0\x01"
                 "b\0\0\x01"
                 "c\0\0\x01"
                 "d\0\0\x01"
                 "e\0\0\x01"
                 "f\0\0\x01"
                 "g\0");
    assert_true(c->is_closed);
    world_close(&w);
}

static void the_name_in_a_certificate_goes_before_the_one_in_connect(void **state)
{
    struct world w;
    struct client *c;

    (void)state;
    world_open(&w, 1);
    c = dial(&w, 0, 0);
    c->link.username = TEXT("certified");
    say_connect(c, (struct noc_connect){.version = NOC_V311,
                       .clean_start = true,
                       .client_id = TEXT("a"),
                       .has_username = true,
                       .username = TEXT("claimed")});
    hears(c, "CONNACK sp0 rc0");
    assert_true(logged(&w, "u'certified'"));
    world_close(&w);
}

static void nobody_comes_in_when_memory_is_short_or_the_broker_stops(void **state)
{
    struct world w;
    struct client *c;

    (void)state;
    world_open(&w, 1);
    atomic_store(&w.core.is_memory_short, true);
    c = dial(&w, 0, 0);
    say_connect(
        c, (struct noc_connect){.version = NOC_V5, .clean_start = true, .client_id = TEXT("a")});
    hears(c, "CONNACK sp0 rc151; closed");
    assert_int_equal(world_count(&w, NOC_COUNT_LINKS_REFUSED), 1);
    atomic_store(&w.core.is_memory_short, false);
    world_do(&w, 0, stop, NULL);
    c = dial(&w, 0, 0);
    say_connect(
        c, (struct noc_connect){.version = NOC_V311, .clean_start = true, .client_id = TEXT("a")});
    hears(c, "CONNACK sp0 rc3; closed");
    assert_int_equal(world_count(&w, NOC_COUNT_LINKS_REFUSED), 1);
    world_close(&w);
}

static void the_first_packet_must_be_connect(void **state) /* [MQTT-3.1.0-1] */
{
    const struct noc_slice packets[] = {
        BYTES("\xc0\0"),                  /* PINGREQ */
        BYTES("\x82\x06\0\x01\0\x01t\0"), /* SUBSCRIBE */
        BYTES("\x30\x03\0\x01t"),         /* PUBLISH */
        BYTES("\x30\xff\xff\x7f"),        /* PUBLISH, larger than any CONNECT */
        BYTES("\x20\x02\0\0"),            /* CONNACK */
        BYTES("\xe0\0"),                  /* DISCONNECT */
        BYTES("GET / HTTP/1.1\r\n"), BYTES("\x16\x03\x01\x02"), /* TLS */
        BYTES("\x10\xff\xff\x7f"),                              /* CONNECT, too large */
    };
    struct world w;

    (void)state;
    world_open(&w, 1);
    for (unsigned i = 0; i < NOC_COUNT(packets); i++) {
        struct client *c = dial(&w, 0, 0);

        say(c, packets[i].at, packets[i].n);
        hears(c, "closed");
    }
    world_close(&w);
}

static void a_second_connect_ends_the_connection(void **state) /* [MQTT-3.1.0-2] */
{
    struct world w;
    struct client *c;

    (void)state;
    world_open(&w, 1);
    c = join(&w, "a");
    say_connect(
        c, (struct noc_connect){.version = NOC_V5, .clean_start = true, .client_id = TEXT("a")});
    hears(c, "DISCONNECT rc130; closed");
    assert_true(logged(&w, "Bad client a sending multiple CONNECT messages."));
    w.core.limits.compatibility = NOC_COMPAT_2_1;
    c = join_v311(&w, "b");
    say_connect(
        c, (struct noc_connect){.version = NOC_V311, .clean_start = true, .client_id = TEXT("b")});
    hears(c, "closed");
    assert_true(logged(&w, "Bad client 192.0.2.7:40002 sending multiple CONNECT messages."));
    assert_int_equal(world_count(&w, NOC_COUNT_CONNECTED), 0);
    world_close(&w);
}

static void who_says_nothing_is_shown_out_after_the_time_for_connect(void **state)
{
    struct world w;
    struct client *c;

    (void)state;
    world_open(&w, 1);
    c = dial(&w, 0, 0);
    say_bytes(c, "\x10\x0d\0\x04MQ");
    world_advance(&w, 29000);
    hears_nothing(c);
    world_advance(&w, 2000);
    hears(c, "closed");
    assert_true(logged(&w, "no CONNECT in time"));
    c = join(&w, "a");
    world_advance(&w, 100000);
    hears_nothing(c);
    world_close(&w);
}

/* ---- judged later ---- */

/* It has done what it had to: that the answer is late is no fault of its. */
static void whose_verdict_is_late_hears_that_the_server_is_busy(void **state)
{
    struct world w;
    struct client *c, *old;

    (void)state;
    world_open(&w, 1);
    w.verdict = NOC_EAGAIN;
    c = dial(&w, 0, 0);
    say_connect(
        c, (struct noc_connect){.version = NOC_V5, .clean_start = true, .client_id = TEXT("c")});
    old = dial(&w, 0, 0);
    say_connect(old,
        (struct noc_connect){.version = NOC_V311, .clean_start = true, .client_id = TEXT("old")});
    world_advance(&w, 29000);
    hears_nothing(c);
    world_advance(&w, 2000);
    hears(c, "CONNACK sp0 rc137; closed");
    hears(old, "CONNACK sp0 rc3; closed");
    assert_true(
        logged(&w, "Client c disconnected, refused. (no answer from the password check in time)"));
    assert_false(logged(&w, "no CONNECT"));
    world_judge(&w, 0, NOC_OK); /* too late */
    world_close(&w);
}

static void what_comes_behind_connect_waits_for_the_verdict(void **state)
{
    struct world w;
    struct client *c;

    (void)state;
    world_open(&w, 1);
    w.verdict = NOC_EAGAIN;
    c = dial(&w, 0, 0);
    say_bytes(c, "\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x01"
                 "a"
                 "\xc0\0\xc0");
    hears_nothing(c);
    assert_false(c->is_reading);
    say_bytes(c, "\0\x30\x03\0\x01t");
    hears_nothing(c);
    world_judge(&w, 0, NOC_OK);
    assert_true(c->is_reading);
    hears(c, "CONNACK sp0 rc0; PINGRESP; PINGRESP");
    assert_int_equal(world_count(&w, NOC_COUNT_PUBLISH_RECEIVED), 1);
    assert_int_equal(world_count(&w, NOC_COUNT_BYTES_RECEIVED), 15 + 4 + 5);
    world_close(&w);
}

static void a_late_denial_is_told_and_a_stale_ticket_ignored(void **state)
{
    struct world w;
    struct client *c;

    (void)state;
    world_open(&w, 1);
    w.verdict = NOC_EAGAIN;
    c = dial(&w, 0, 0);
    say_bytes(c, "\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x01"
                 "a"
                 "\xc0\0");
    world_judge(&w, 0, NOC_EDENIED);
    hears(c, "CONNACK sp0 rc5; closed");
    world_judge(&w, 0, NOC_OK);
    c = dial(&w, 0, 0);
    say_bytes(c, "\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x01"
                 "a");
    assert_ptr_equal(noc_link_waiting(&w.shards[0], w.ticket), &c->link);
    hang_up(c);
    assert_null(noc_link_waiting(&w.shards[0], w.ticket));
    world_judge(&w, 0, NOC_OK);
    hears(c, "closed");
    assert_int_equal(world_count(&w, NOC_COUNT_SESSIONS), 0);
    world_close(&w);
}

/* ---- sessions ---- */

static void a_session_that_was_kept_is_present(void **state) /* [MQTT-3.2.2-2], [MQTT-3.2.2-3] */
{
    struct world w;
    struct client *c;

    (void)state;
    world_open(&w, 1);
    hang_up(stay(&w, "a"));
    c = dial(&w, 0, 0);
    say_connect(c, (struct noc_connect){.version = NOC_V5, .client_id = TEXT("a")});
    hears(c, "CONNACK sp1 rc0 22=10 21=20"); /* [MQTT-3.1.2-5] */
    hang_up(c);
    /* This time it was to end with its connection. */
    c = dial(&w, 0, 0);
    say_connect(c, (struct noc_connect){.version = NOC_V5, .client_id = TEXT("a")});
    hears(c, "CONNACK sp0 rc0 22=10 21=20"); /* [MQTT-3.1.2-6] */
    world_close(&w);
}

static void clean_start_throws_the_old_session_away(void **state) /* [MQTT-3.1.2-4] */
{
    struct world w;
    struct client *c, *p;

    (void)state;
    world_open(&w, 1);
    c = stay(&w, "a");
    subscribe(c, "t", 1);
    hang_up(c);
    c = dial(&w, 0, 0);
    say_connect(
        c, (struct noc_connect){.version = NOC_V5, .clean_start = true, .client_id = TEXT("a")});
    hears(c, "CONNACK sp0 rc0 22=10 21=20");
    p = join(&w, "p");
    say_publish(p, 1, 0, "t", "x");
    hears(p, "PUBACK 1 rc16");
    hears_nothing(c);
    assert_int_equal(world_count(&w, NOC_COUNT_SESSIONS), 2);
    world_close(&w);
}

static void a_v3_session_is_kept_without_clean_session(void **state)
{
    struct world w;
    struct noc_connect connect = {.version = NOC_V311, .client_id = TEXT("a")};
    struct client *c;

    (void)state;
    world_open(&w, 1);
    hang_up(join_as(&w, connect));
    c = dial(&w, 0, 0);
    say_connect(c, connect);
    hears(c, "CONNACK sp1 rc0");
    hang_up(c);
    connect.version = NOC_V31; /* It has no flag to say so. */
    c = dial(&w, 0, 0);
    say_connect(c, connect);
    hears(c, "CONNACK sp0 rc0");
    world_close(&w);
}

static void of_two_clients_with_one_id_the_new_one_stays(void **state) /* [MQTT-3.1.4-3] */
{
    struct world w;
    struct client *old, *new;

    (void)state;
    world_open(&w, 1);
    old = stay(&w, "a");
    subscribe(old, "t", 1);
    world_advance(&w, 5000);
    new = dial(&w, 0, 0);
    say_connect(new, (struct noc_connect){.version = NOC_V5, .client_id = TEXT("a")});
    hears(old, "DISCONNECT rc142; closed");
    hears(new, "CONNACK sp1 rc0 22=10 21=20");
    assert_true(logged(&w, "Session of client a is taken over: 192.0.2.7:40002 replaces "
                           "192.0.2.7:40001 (connected for 5 s, silent for 5 s)."));
    assert_true(logged(&w, "Client a already connected, closing old connection."));
    say_publish(new, 1, 9, "t", "x");
    hears(new, "PUBLISH t x q1 m1; PUBACK 9");
    assert_int_equal(world_count(&w, NOC_COUNT_TAKEN_OVER), 1);
    assert_int_equal(world_count(&w, NOC_COUNT_CONNECTED), 1);
    world_close(&w);
}

static void a_v3_client_that_is_taken_over_is_just_closed(void **state)
{
    struct world w;
    struct client *old;

    (void)state;
    world_open(&w, 1);
    old = join_v311(&w, "a");
    join_v311(&w, "a");
    hears(old, "closed");
    assert_int_equal(world_count(&w, NOC_COUNT_SESSIONS), 1);
    world_close(&w);
}

static void a_refused_client_does_not_take_over(void **state)
{
    struct world w;
    struct client *old, *new;

    (void)state;
    world_open(&w, 1);
    old = join(&w, "a");
    w.verdict = NOC_EDENIED;
    new = dial(&w, 0, 0);
    say_connect(new, (struct noc_connect){.version = NOC_V5, .client_id = TEXT("a")});
    hears(new, "CONNACK sp0 rc135; closed");
    hears_nothing(old);
    world_close(&w);
}

static void a_new_connection_says_who_is_there(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, 1);
    join_as(&w, (struct noc_connect){.version = NOC_V5,
                    .clean_start = true,
                    .keep_alive_s = 60,
                    .client_id = TEXT("a"),
                    .has_username = true,
                    .username = TEXT("u")});
    assert_true(logged(&w, "New client connected from 192.0.2.7:40001 as a (p5, c1, k60, u'u')."));
    join_v311(&w, "b");
    assert_true(logged(&w, "New client connected from 192.0.2.7:40002 as b (p2, c1, k0)."));
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_version_is_answered_in_its_own_terms),
        cmocka_unit_test(connack_lists_its_properties_in_mosquittos_order),
        cmocka_unit_test(connack_leaves_out_what_is_not_limited),
        cmocka_unit_test(credentials_are_given_to_who_judges_them),
        cmocka_unit_test(a_bridge_is_told_by_its_version_bit),
        cmocka_unit_test(an_empty_id_gets_one_and_version_5_is_told),
        cmocka_unit_test(an_empty_id_with_a_kept_session_is_refused_before_version_5),
        cmocka_unit_test(empty_ids_are_refused_where_a_listener_does_not_allow_them),
        cmocka_unit_test(an_unknown_protocol_version_is_refused),
        cmocka_unit_test(a_malformed_connect_is_not_answered),
        cmocka_unit_test(a_keep_alive_over_the_limit_is_capped_or_refused),
        cmocka_unit_test(a_will_must_be_one_the_listener_takes),
        cmocka_unit_test(a_will_is_refused_above_the_limit_of_messages),
        cmocka_unit_test(wrong_credentials_are_answered_with_not_authorised),
        cmocka_unit_test(a_client_too_small_for_its_connack_is_closed),
        cmocka_unit_test(the_name_in_a_certificate_goes_before_the_one_in_connect),
        cmocka_unit_test(nobody_comes_in_when_memory_is_short_or_the_broker_stops),
        cmocka_unit_test(the_first_packet_must_be_connect),
        cmocka_unit_test(a_second_connect_ends_the_connection),
        cmocka_unit_test(who_says_nothing_is_shown_out_after_the_time_for_connect),
        cmocka_unit_test(whose_verdict_is_late_hears_that_the_server_is_busy),
        cmocka_unit_test(what_comes_behind_connect_waits_for_the_verdict),
        cmocka_unit_test(a_late_denial_is_told_and_a_stale_ticket_ignored),
        cmocka_unit_test(a_session_that_was_kept_is_present),
        cmocka_unit_test(clean_start_throws_the_old_session_away),
        cmocka_unit_test(a_v3_session_is_kept_without_clean_session),
        cmocka_unit_test(of_two_clients_with_one_id_the_new_one_stays),
        cmocka_unit_test(a_v3_client_that_is_taken_over_is_just_closed),
        cmocka_unit_test(a_refused_client_does_not_take_over),
        cmocka_unit_test(a_new_connection_says_who_is_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
