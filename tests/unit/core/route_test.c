/* SPDX-License-Identifier: Apache-2.0 */
/* Two workers: hand-over, mail between them, shares, and waiting for who is behind. */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A client whose home is this shard: it comes in there, and that shard has least to do. */
static struct client *join_at(struct world *w, unsigned shard, const char *id)
{
    struct client *c = dial(w, shard, 0);

    say_connect(
        c, (struct noc_connect){.version = NOC_V5, .clean_start = true, .client_id = TEXT(id)});
    hears(c, "CONNACK sp0 rc0 22=10 21=20");
    assert_ptr_equal(c->link.shard, &w->shards[shard]);
    return c;
}

/* Its session is at home at shard 1, and it is absent. */
static void leave_home_at_1(struct world *w, const char *id)
{
    struct client *c = dial(w, 1, 0);

    say_connect(c,
        (struct noc_connect){
            .version = NOC_V5, .client_id = TEXT(id), .props.raw = BYTES("\x11\xff\xff\xff\xff")});
    assert_ptr_equal(c->link.shard, &w->shards[1]);
    hang_up(c);
}

/* ---- hand-over ---- */

static void a_connection_goes_to_its_sessions_home(void **state)
{
    struct world w;
    struct client *c;

    (void)state;
    world_open(&w, 2);
    leave_home_at_1(&w, "c");
    c = dial(&w, 0, 0);
    say_connect(c, (struct noc_connect){.version = NOC_V5, .client_id = TEXT("c")});
    hears(c, "CONNACK sp1 rc0 22=10 21=20");
    assert_int_equal(c->moves, 1);
    assert_ptr_equal(c->link.shard, &w.shards[1]);
    assert_int_equal(w.shards[0].counters[NOC_COUNT_CONNECTED], 0);
    assert_int_equal(w.shards[1].counters[NOC_COUNT_CONNECTED], 1);
    assert_true(noc_list_is_empty(&w.shards[0].links));
    world_advance(&w, 100000);
    hears_nothing(c);
    world_close(&w);
}

static void bytes_behind_the_connect_go_along(void **state)
{
    static const char bytes[] = "\x10\x0d\0\x04MQTT\x04\0\0\0\0\x01"
                                "c"
                                "\x82\x06\0\x01\0\x01t\x01\x32\x08\0\x01t\0\x05"
                                "def\xc0\0";
    const size_t n = sizeof bytes - 1;

    (void)state;
    /* All in one segment, and split at every byte: the rest comes after the hand-over. */
    for (size_t at = 1; at <= n; at++) {
        struct world w;
        struct client *c;

        world_open(&w, 2);
        leave_home_at_1(&w, "c");
        c = dial(&w, 0, 0);
        say(c, bytes, at);
        if (at < n) {
            say(c, bytes + at, n - at);
        }
        hears(c, "CONNACK sp1 rc0; SUBACK 1: 1; PUBLISH t def q1 m1; PUBACK 5; PINGRESP");
        assert_int_equal(c->moves, 1);
        assert_null(c->link.partial);
        assert_int_equal(world_count(&w, NOC_COUNT_BYTES_RECEIVED), n + 21);
        world_close(&w);
    }
}

static void a_connection_judged_later_moves_with_what_has_come(void **state)
{
    struct world w;
    struct client *c;

    (void)state;
    world_open(&w, 2);
    leave_home_at_1(&w, "c");
    w.verdict = NOC_EAGAIN;
    c = dial(&w, 0, 0);
    say_bytes(c, "\x10\x0d\0\x04MQTT\x04\0\0\0\0\x01"
                 "c\xc0\0\xc0");
    world_judge(&w, 0, NOC_OK);
    hears(c, "CONNACK sp1 rc0; PINGRESP");
    assert_true(c->is_reading);
    say_bytes(c, "\0");
    hears(c, "PINGRESP");
    assert_int_equal(c->moves, 1);
    world_close(&w);
}

static void a_takeover_happens_at_the_sessions_home(void **state) /* [MQTT-3.1.4-3] */
{
    struct world w;
    struct client *old, *new;

    (void)state;
    world_open(&w, 2);
    old = join_at(&w, 1, "c");
    new = dial(&w, 0, 0);
    say_connect(
        new, (struct noc_connect){.version = NOC_V5, .clean_start = true, .client_id = TEXT("c")});
    hears(old, "DISCONNECT rc142; closed");
    hears(new, "CONNACK sp0 rc0 22=10 21=20");
    assert_int_equal(new->moves, 1);
    assert_int_equal(world_count(&w, NOC_COUNT_SESSIONS), 1);
    world_close(&w);
}

static void two_connects_of_one_id_at_once_meet_at_one_home(void **state)
{
    struct world w;
    struct client *a, *b;
    static const char connect[] = "\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x01"
                                  "c";

    (void)state;
    world_open(&w, 2);
    a = dial(&w, 0, 0);
    b = dial(&w, 1, 0);
    w.is_frozen[0] = w.is_frozen[1] = true;
    say_only(a, connect, sizeof connect - 1);
    say_only(b, connect, sizeof connect - 1);
    w.is_frozen[0] = w.is_frozen[1] = false;
    world_settle(&w);
    hears(a, "CONNACK sp0 rc0; closed");
    hears(b, "CONNACK sp0 rc0");
    assert_int_equal(b->moves, 1);
    assert_int_equal(world_count(&w, NOC_COUNT_SESSIONS), 1);
    world_close(&w);
}

/* Dial a and b, which come with one id at worker 1 and 0; the CONNECT of a arrives behind that of b. */
static void arrive_crosswise(
    struct world *w, bool has_hung_up, struct client **ret_a, struct client **ret_b)
{
    struct noc_connect connect = {
        .version = NOC_V5, .client_id = TEXT("c"), .props.raw = BYTES("\x11\xff\xff\xff\xff")};

    *ret_a = dial(w, 1, 0);
    (*ret_a)->has_hung_up = has_hung_up;
    *ret_b = dial(w, 0, 0);
    say_connect(*ret_b, connect);
    hears(*ret_b, "CONNACK sp0 rc0 22=10 21=20");
    say_connect(*ret_a, connect);
}

static void an_older_connection_that_has_gone_does_not_take_over(void **state)
{
    struct world w;
    struct client *a, *b;

    (void)state;
    world_open(&w, 2);
    arrive_crosswise(&w, true, &a, &b);
    hears(a, "closed");
    hears_nothing(b);
    assert_true(logged(&w, "Client c closed its connection. (and has connected anew since)"));
    say_publish(b, 1, 9, "t", "x");
    hears(b, "PUBACK 9 rc16");
    assert_int_equal(world_count(&w, NOC_COUNT_TAKEN_OVER), 0);
    assert_int_equal(world_count(&w, NOC_COUNT_SESSIONS), 1);

    /* Nor does it end the session that a newer one has left. */
    hang_up(b);
    a = dial(&w, 1, 0);
    a->link.number = 0;
    a->has_hung_up = true;
    say_connect(
        a, (struct noc_connect){.version = NOC_V5, .clean_start = true, .client_id = TEXT("c")});
    hears(a, "closed");
    assert_int_equal(world_count(&w, NOC_COUNT_SESSIONS), 1);
    world_close(&w);
}

static void an_older_connection_takes_over_if_its_connect_is_the_later(void **state)
{
    struct world w;
    struct client *a, *b;

    (void)state; /* [MQTT-3.1.4-3] */
    world_open(&w, 2);
    arrive_crosswise(&w, false, &a, &b);
    hears(b, "DISCONNECT rc142; closed");
    hears(a, "CONNACK sp1 rc0 22=10 21=20");
    world_close(&w);
}

/* What it has sent counts, though it did not wait. */
static void a_newer_connection_that_has_gone_takes_over(void **state)
{
    struct world w;
    struct client *a, *b;

    (void)state;
    world_open(&w, 2);
    a = join_at(&w, 1, "c");
    b = dial(&w, 0, 0);
    b->has_hung_up = true;
    say_connect(
        b, (struct noc_connect){.version = NOC_V5, .clean_start = true, .client_id = TEXT("c")});
    hears(a, "DISCONNECT rc142; closed");
    hears(b, "CONNACK sp0 rc0 22=10 21=20");
    world_close(&w);
}

static void new_sessions_go_where_there_is_less_to_do(void **state)
{
    struct world w;
    char id[8];

    (void)state;
    world_open(&w, 2);
    for (unsigned i = 0; i < 40; i++) {
        struct client *c = dial(&w, 0, 0);

        snprintf(id, sizeof id, "c%u", i);
        say_connect(c,
            (struct noc_connect){.version = NOC_V311, .clean_start = true, .client_id = TEXT(id)});
        hears(c, "CONNACK sp0 rc0");
    }
    assert_in_range(w.shards[0].counters[NOC_COUNT_CONNECTED], 18, 22);
    assert_in_range(w.shards[1].counters[NOC_COUNT_CONNECTED], 18, 22);
    world_close(&w);
}

static void a_burst_of_new_sessions_is_spread_before_any_has_arrived(void **state)
{
    enum { COUNT = 40 };
    struct world w;
    struct client *c[COUNT];
    unsigned moving = 0, changes = 0;

    (void)state;
    world_open(&w, 2);
    w.is_frozen[1] = true;
    for (unsigned i = 0; i < COUNT; i++) {
        char id[8];

        snprintf(id, sizeof id, "c%u", i);
        c[i] = dial(&w, 0, 0);
        say_connect(c[i],
            (struct noc_connect){.version = NOC_V311, .clean_start = true, .client_id = TEXT(id)});
        moving += c[i]->is_detached;
        changes += i > 0 && c[i]->is_detached != c[i - 1]->is_detached;
    }
    assert_in_range(moving, COUNT / 2 - 2, COUNT / 2 + 2);
    assert_in_range(changes, 1, COUNT / 2); /* neighbours mostly stay together */
    w.is_frozen[1] = false;
    world_settle(&w);
    assert_int_equal(w.shards[1].counters[NOC_COUNT_CONNECTED], moving);
    assert_int_equal(w.shards[1].arriving, 0);
    world_close(&w);
}

static void a_link_on_its_way_at_the_end_is_closed(void **state)
{
    struct world w;
    struct client *c;

    (void)state;
    world_open(&w, 2);
    leave_home_at_1(&w, "c");
    c = dial(&w, 0, 0);
    w.is_frozen[0] = w.is_frozen[1] = true;
    say_bytes(c, "\x10\x0d\0\x04MQTT\x04\0\0\0\0\x01"
                 "c\xc0\0");
    assert_true(c->is_detached);
    world_close(&w); /* Nothing leaks, and it is closed once. */
}

/* ---- messages ---- */

static void a_message_reaches_subscribers_at_every_home(void **state)
{
    struct world w;
    struct client *a, *b, *p;

    (void)state;
    world_open(&w, 2);
    a = join_at(&w, 0, "a");
    b = join_at(&w, 1, "b");
    subscribe(a, "t/+", 2);
    say_subscribe(b, "t/#", 1, 3);
    say_subscribe(b, "t/x", 0, 4);
    heard(b);
    p = join_at(&w, 0, "p");
    say_publish_out(p,
        &(struct noc_publish_out){.topic = TEXT("t/x"),
            .qos = 1,
            .packet_id = 1,
            .has_expiry = true,
            .expiry_s = 9,
            .props = BYTES("\x26\0\x01k\0\x01v")},
        TEXT("x"));
    hears(p, "PUBACK 1");
    hears(a, "PUBLISH t/x x q1 m1 02=9 26=k:v");
    assert_int_equal(hears_count(b, "PUBLISH t/x x q1 m1 02=9 0b="), 1);
    say_publish(p, 2, 2, "t/x", "y");
    say_ack(p, NOC_PUBREL, 2, 0);
    assert_int_equal(hears_count(b, "PUBLISH t/x y q1 m2"), 1);
    world_close(&w);
}

static void a_large_message_travels_by_reference(void **state)
{
    struct world w;
    struct client *b, *p;
    char payload[6001];

    (void)state;
    world_open(&w, 2);
    p = join_at(&w, 0, "p");
    b = join_at(&w, 1, "b");
    subscribe(b, "t", 0);
    memset(payload, 'x', 6000);
    payload[6000] = '\0';
    say_publish(p, 0, 0, "t", payload);
    payload[1500] = '\0'; /* Too large to travel inside the mail, small enough to be copied. */
    say_publish(p, 0, 0, "t", payload);
    hears(b, "PUBLISH t (6000 bytes) q0; PUBLISH t (1500 bytes) q0");
    world_close(&w);
}

static void no_local_holds_across_workers(void **state) /* [MQTT-3.8.3-3] */
{
    struct world w;
    struct client *a, *b;

    (void)state;
    world_open(&w, 2);
    a = join_at(&w, 0, "a");
    b = join_at(&w, 1, "b");
    subscribe(a, "t", NOC_SUB_NO_LOCAL);
    subscribe(b, "t", NOC_SUB_NO_LOCAL);
    say_publish(a, 0, 0, "t", "a");
    say_publish(b, 0, 0, "t", "b");
    hears(a, "PUBLISH t b q0");
    hears(b, "PUBLISH t a q0");
    world_close(&w);
}

static void the_order_of_one_publisher_is_kept_across_workers(void **state) /* [MQTT-4.6.0-5] */
{
    struct world w;
    struct client *b, *p;
    const char *text;
    char want[32];

    (void)state;
    world_open(&w, 2);
    p = join_at(&w, 0, "p");
    b = join_at(&w, 1, "b");
    subscribe(b, "#", 0);
    w.is_frozen[1] = true;
    for (unsigned i = 0; i < 300; i++) {
        snprintf(want, sizeof want, "%03u", i);
        say_publish(p, 0, 0, i % 2 == 0 ? "t" : "u", want);
    }
    w.is_frozen[1] = false;
    world_settle(&w);
    text = heard(b);
    for (unsigned i = 0; i < 300; i++) {
        snprintf(want, sizeof want, "PUBLISH %s %03u q0", i % 2 == 0 ? "t" : "u", i);
        text = strstr(text, want);
        assert_non_null(text);
    }
    world_close(&w);
}

static void retained_messages_are_seen_by_every_worker(void **state)
{
    struct world w;
    struct client *b, *p;

    (void)state;
    world_open(&w, 2);
    p = join_at(&w, 0, "p");
    b = join_at(&w, 1, "b");
    say_retained(p, 0, "t", "x");
    say_subscribe(b, "t", 0, 0);
    hears(b, "SUBACK 1: 0; PUBLISH t x q0 retain");
    world_close(&w);
}

static void a_subscription_that_ends_before_its_mail_gets_nothing(void **state)
{
    struct world w;
    struct client *b, *p;

    (void)state;
    world_open(&w, 2);
    p = join_at(&w, 0, "p");
    b = join_at(&w, 1, "b");
    subscribe(b, "t", 0);
    w.is_frozen[1] = true;
    say_publish(p, 0, 0, "t", "x");
    assert_int_equal(noc_mailbox_weight_mt(&w.shards[1].mailbox), 1);
    {
        /* The node goes while the mail that names it waits. */
        static const char unsubscribe[] = "\xa2\x06\0\x02\0\0\x01t";

        assert_int_equal(b->link.state, NOC_LINK_OPEN);
        w.is_frozen[1] = false;
        say_only(b, unsubscribe, sizeof unsubscribe - 1);
        world_settle(&w);
    }
    say_publish(p, 0, 0, "t", "y");
    assert_non_null(strstr(heard(b), "UNSUBACK 2: 0"));
    hears_nothing(b);
    world_close(&w);
}

/* ---- shared subscriptions ---- */

static void a_share_spans_workers(void **state) /* [MQTT-4.8.2-4] */
{
    struct world w;
    struct client *a, *b, *p;

    (void)state;
    world_open(&w, 2);
    a = join_at(&w, 0, "a");
    b = join_at(&w, 1, "b");
    subscribe(a, "$share/g/t", 1);
    subscribe(b, "$share/g/t", 1);
    p = join_at(&w, 0, "p");
    for (unsigned i = 0; i < 10; i++) {
        say_publish(p, 1, 1, "t", "x");
    }
    assert_int_equal(hears_count(a, "PUBLISH t x q1"), 5);
    assert_int_equal(hears_count(b, "PUBLISH t x q1"), 5);
    world_close(&w);
}

static void a_member_that_left_before_its_mail_is_replaced_by_another(void **state)
{
    struct world w;
    struct client *a, *b, *p;

    (void)state;
    world_open(&w, 2);
    a = join_at(&w, 0, "a");
    b = join_at(&w, 1, "b");
    subscribe(a, "$share/g/t", 1);
    subscribe(b, "$share/g/t", 1);
    p = join_at(&w, 0, "p");
    w.is_frozen[1] = true;
    for (unsigned i = 0; i < 10; i++) {
        say_publish(p, 1, 1, "t", "x");
    }
    assert_int_equal(hears_count(a, "PUBLISH"), 5);
    /* It hangs up in a turn that has not looked at its mail yet. */
    w.shards[1].now_ms = w.now_ms;
    noc_reclaim_online(w.core.reclaim, 1);
    noc_link_end(&b->link, NOC_END_PEER_CLOSED, NULL);
    noc_reclaim_offline(w.core.reclaim, 1);
    w.is_frozen[1] = false;
    world_settle(&w);
    assert_int_equal(hears_count(a, "PUBLISH"), 5);
    assert_int_equal(world_count(&w, NOC_COUNT_PUBLISH_DROPPED), 0);
    world_close(&w);
}

static void an_absent_member_elsewhere_queues_when_nobody_is_there(void **state)
{
    struct world w;
    struct client *c, *p;

    (void)state;
    world_open(&w, 2);
    c = dial(&w, 1, 0);
    say_connect(c,
        (struct noc_connect){
            .version = NOC_V5, .client_id = TEXT("c"), .props.raw = BYTES("\x11\xff\xff\xff\xff")});
    heard(c);
    subscribe(c, "$share/g/t", 1);
    hang_up(c);
    p = join_at(&w, 0, "p");
    say_publish(p, 1, 1, "t", "x");
    hears(p, "PUBACK 1");
    assert_int_equal(world_count(&w, NOC_COUNT_MESSAGES_QUEUED), 1);
    c = stay(&w, "c");
    hears(c, "PUBLISH t x q1 m1");
    world_close(&w);
}

/* ---- who is behind ---- */

static void publishers_wait_for_a_worker_that_is_behind(void **state)
{
    struct world w;
    struct client *b, *p, *q;
    unsigned sent = 0;

    (void)state;
    world_init(&w);
    w.limits.mailbox_high = 10;
    world_start(&w, 2);
    p = join_as(&w,
        (struct noc_connect){
            .version = NOC_V5, .clean_start = true, .client_id = TEXT("p"), .keep_alive_s = 10});
    b = join_at(&w, 1, "b");
    q = join_at(&w, 0, "q");
    subscribe(b, "t", 0);
    w.is_frozen[1] = true;
    while (p->is_reading) {
        say_publish(p, 0, 0, "t", "x");
        assert_in_range(++sent, 1, 20);
    }
    assert_in_range(sent, 11, 13);
    assert_int_equal(world_count(&w, NOC_COUNT_PAUSED), 1);
    /* Who feeds others goes on. */
    say_publish(q, 0, 0, "u", "x");
    assert_true(q->is_reading);
    /* What comes all the same waits. */
    say_publish(p, 0, 0, "t", "x");
    say_publish(p, 0, 0, "t", "x");
    assert_int_equal(world_count(&w, NOC_COUNT_PAUSED), 1);
    assert_int_equal(noc_mailbox_weight_mt(&w.shards[1].mailbox), sent);
    /* Its keep-alive clock stands still. */
    w.now_ms += 60000;
    world_settle(&w);
    hears_nothing(p);
    w.is_frozen[1] = false;
    world_settle(&w);
    assert_true(p->is_reading);
    assert_int_equal(world_count(&w, NOC_COUNT_PAUSED), 0);
    assert_int_equal(hears_count(b, "PUBLISH"), sent + 2);
    world_advance(&w, 14000);
    hears_nothing(p);
    world_advance(&w, 2000);
    hears(p, "DISCONNECT rc141; closed");
    world_close(&w);
}

/* count PUBLISHes of QoS 1 to "t", ids and payloads from first on, as one run of bytes. */
static size_t put_publishes(uint8_t *at, unsigned first, unsigned count)
{
    uint8_t *start = at;

    for (unsigned id = first; id < first + count; id++) {
        const uint8_t packet[] = {0x32, 7, 0, 1, 't', 0, (uint8_t)id, 0, (uint8_t)('A' + id)};

        memcpy(at, packet, sizeof packet);
        at += sizeof packet;
    }
    return (size_t)(at - start);
}

/* A world of two shards, with a subscriber of "t" at shard 1. */
static struct client *open_with_high(struct world *w, uint32_t mailbox_high)
{
    struct client *b;

    world_init(w);
    w->limits.mailbox_high = mailbox_high;
    world_start(w, 2);
    b = join_at(w, 1, "b");
    subscribe(b, "t", 0);
    return b;
}

static void a_publisher_waits_in_the_middle_of_what_was_read(void **state)
{
    enum { COUNT = 10, SIZE = 9 };
    uint8_t bytes[COUNT * SIZE];
    const size_t n = put_publishes(bytes, 1, COUNT);

    (void)state;
    assert_int_equal(n, sizeof bytes);
    /* Cut at every byte: what comes behind the cut comes to a link that may be paused already. */
    for (size_t cut = 0; cut <= n; cut++) {
        struct world w;
        struct client *b = open_with_high(&w, 3), *p = join_at(&w, 0, "p");

        w.is_frozen[1] = true;
        say(p, bytes, cut);
        say(p, bytes + cut, n - cut);
        assert_int_equal(noc_mailbox_weight_mt(&w.shards[1].mailbox), 4);
        assert_int_equal(p->link.partial_n, n - (size_t)4 * SIZE);
        assert_false(p->is_reading);
        hears(p, "PUBACK 1; PUBACK 2; PUBACK 3; PUBACK 4");
        w.is_frozen[1] = false;
        world_settle(&w);
        assert_true(p->is_reading);
        assert_null(p->link.partial);
        assert_int_equal(world_count(&w, NOC_COUNT_PAUSED), 0);
        hears(p, "PUBACK 5; PUBACK 6; PUBACK 7; PUBACK 8; PUBACK 9; PUBACK 10");
        hears(b, "PUBLISH t B q0; PUBLISH t C q0; PUBLISH t D q0; PUBLISH t E q0; PUBLISH t F q0; "
                 "PUBLISH t G q0; PUBLISH t H q0; PUBLISH t I q0; PUBLISH t J q0; PUBLISH t K q0");
        world_close(&w);
    }
}

static void large_messages_are_weighed_by_what_they_hold(void **state)
{
    struct world w;
    struct client *b = open_with_high(&w, 100), *p = join_at(&w, 0, "p");
    char payload[30001];
    unsigned sent = 0;

    (void)state;
    memset(payload, 'x', sizeof payload - 1);
    payload[sizeof payload - 1] = '\0';
    w.is_frozen[1] = true;
    while (p->is_reading) {
        say_publish(p, 0, 0, "t", payload);
        assert_in_range(++sent, 1, 10);
    }
    assert_int_equal(sent, 4);
    w.is_frozen[1] = false;
    world_settle(&w);
    assert_true(p->is_reading);
    assert_int_equal(hears_count(b, "PUBLISH t (30000 bytes)"), sent);
    world_close(&w);
}

/* Each of them has bytes that would be decoded at once. */
static void paused_publishers_go_on_one_by_one(void **state)
{
    enum { PUBLISHERS = 8, EACH = 5 };
    struct world w;
    struct client *b = open_with_high(&w, 4), *p[PUBLISHERS];
    uint8_t bytes[EACH * 9];
    unsigned rounds = 0;

    (void)state;
    for (unsigned i = 0; i < PUBLISHERS; i++) {
        char id[] = {(char)('0' + i), '\0'}, other[] = {(char)('A' + i), '\0'};

        p[i] = join_at(&w, 0, id);
        (void)join_at(&w, 1, other);
    }
    w.is_frozen[1] = true;
    for (unsigned i = 0; i < PUBLISHERS; i++) {
        say(p[i], bytes, put_publishes(bytes, 1, EACH));
    }
    assert_int_equal(noc_mailbox_weight_mt(&w.shards[1].mailbox), EACH + PUBLISHERS - 1);
    assert_int_equal(world_count(&w, NOC_COUNT_PAUSED), PUBLISHERS);
    while (world_count(&w, NOC_COUNT_PAUSED) > 0) {
        assert_in_range(++rounds, 1, 20);
        world_turn(&w, 1);
        world_turn(&w, 0);
        assert_in_range(noc_mailbox_weight_mt(&w.shards[1].mailbox), 0, EACH);
        /* In the first round the third filled the mailbox; then it is the turn of the fourth. */
        assert_true(rounds != 2 || p[3]->link.partial == NULL);
    }
    w.is_frozen[1] = false;
    world_settle(&w);
    assert_int_equal(hears_count(b, "PUBLISH"), PUBLISHERS * EACH);
    for (unsigned i = 0; i < PUBLISHERS; i++) {
        assert_int_equal(hears_count(p[i], "PUBACK"), EACH);
        assert_true(p[i]->is_reading);
    }
    world_close(&w);
}

/* What fills it in between may be word of other mailboxes alone, and that for ever. */
static void each_time_a_mailbox_was_low_one_publisher_goes_on(void **state)
{
    struct world w;
    struct client *b = open_with_high(&w, 1), *p[2];
    uint8_t bytes[5 * 9];
    const size_t n = put_publishes(bytes, 1, 5);

    (void)state;
    p[0] = join_at(&w, 0, "p");
    (void)join_at(&w, 1, "c");
    p[1] = join_at(&w, 0, "q");
    w.is_frozen[1] = true;
    say(p[0], bytes, n);
    say(p[1], bytes, n);
    world_turn(&w, 1);
    atomic_fetch_add(&w.shards[1].mailbox.weight, 100);
    world_turn(&w, 0);
    assert_int_equal(p[0]->link.partial_n, n - (size_t)3 * 9);
    assert_int_equal(p[1]->link.partial_n, n - (size_t)1 * 9);
    atomic_fetch_sub(&w.shards[1].mailbox.weight, 100);
    w.is_frozen[1] = false;
    world_settle(&w);
    assert_int_equal(hears_count(b, "PUBLISH"), 10);
    world_close(&w);
}

static void who_says_goodbye_behind_a_pause_has_said_all_before_it(void **state)
{
    static const char bytes[] = "\x30\5\0\1t\0"
                                "1\x30\5\0\1t\0"
                                "2\x30\5\0\1t\0"
                                "3\xe0\0";
    struct world w;
    struct client *b = open_with_high(&w, 1), *p = join_at(&w, 0, "p");

    (void)state;
    w.is_frozen[1] = true;
    say_bytes(p, bytes);
    hears_nothing(p);
    w.is_frozen[1] = false;
    world_settle(&w);
    hears(p, "closed");
    hears(b, "PUBLISH t 1 q0; PUBLISH t 2 q0; PUBLISH t 3 q0");
    assert_int_equal(world_count(&w, NOC_COUNT_PAUSED), 0);
    world_close(&w);
}

static void a_paused_client_may_leave(void **state)
{
    struct world w;
    struct client *b, *p, *q;

    (void)state;
    world_init(&w);
    w.limits.mailbox_high = 2;
    world_start(&w, 2);
    p = join_at(&w, 0, "p");
    b = join_at(&w, 1, "b");
    q = join_at(&w, 0, "q");
    subscribe(b, "t", 0);
    w.is_frozen[1] = true;
    while (p->is_reading) {
        say_publish(p, 0, 0, "t", "x");
    }
    say_publish(q, 0, 0, "t", "x");
    assert_false(q->is_reading);
    assert_int_equal(world_count(&w, NOC_COUNT_PAUSED), 2);
    hang_up(p);
    assert_int_equal(world_count(&w, NOC_COUNT_PAUSED), 1);
    w.is_frozen[1] = false;
    world_settle(&w);
    assert_true(q->is_reading);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_connection_goes_to_its_sessions_home),
        cmocka_unit_test(bytes_behind_the_connect_go_along),
        cmocka_unit_test(a_connection_judged_later_moves_with_what_has_come),
        cmocka_unit_test(a_takeover_happens_at_the_sessions_home),
        cmocka_unit_test(two_connects_of_one_id_at_once_meet_at_one_home),
        cmocka_unit_test(an_older_connection_that_has_gone_does_not_take_over),
        cmocka_unit_test(an_older_connection_takes_over_if_its_connect_is_the_later),
        cmocka_unit_test(a_newer_connection_that_has_gone_takes_over),
        cmocka_unit_test(new_sessions_go_where_there_is_less_to_do),
        cmocka_unit_test(a_burst_of_new_sessions_is_spread_before_any_has_arrived),
        cmocka_unit_test(a_link_on_its_way_at_the_end_is_closed),
        cmocka_unit_test(a_message_reaches_subscribers_at_every_home),
        cmocka_unit_test(a_large_message_travels_by_reference),
        cmocka_unit_test(no_local_holds_across_workers),
        cmocka_unit_test(the_order_of_one_publisher_is_kept_across_workers),
        cmocka_unit_test(retained_messages_are_seen_by_every_worker),
        cmocka_unit_test(a_subscription_that_ends_before_its_mail_gets_nothing),
        cmocka_unit_test(a_share_spans_workers),
        cmocka_unit_test(a_member_that_left_before_its_mail_is_replaced_by_another),
        cmocka_unit_test(an_absent_member_elsewhere_queues_when_nobody_is_there),
        cmocka_unit_test(publishers_wait_for_a_worker_that_is_behind),
        cmocka_unit_test(a_publisher_waits_in_the_middle_of_what_was_read),
        cmocka_unit_test(large_messages_are_weighed_by_what_they_hold),
        cmocka_unit_test(paused_publishers_go_on_one_by_one),
        cmocka_unit_test(each_time_a_mailbox_was_low_one_publisher_goes_on),
        cmocka_unit_test(who_says_goodbye_behind_a_pause_has_said_all_before_it),
        cmocka_unit_test(a_paused_client_may_leave),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
