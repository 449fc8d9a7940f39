/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A conversation in one piece: CONNECT, SUBSCRIBE, PUBLISHes of QoS 0, 1, 2, PUBREL, PINGREQ. */
static const char conversation[] = "\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x01"
                                   "c"
                                   "\x82\x06\0\x01\0\x01t\x01"
                                   "\x30\x06\0\x01t"
                                   "abc"
                                   "\x32\x08\0\x01t\0\x05"
                                   "def"
                                   "\x34\x08\0\x01t\0\x06ghi"
                                   "\x62\x02\0\x06"
                                   "\xc0\0";
static const char answer[] = "CONNACK sp0 rc0; SUBACK 1: 1; PUBLISH t abc q0; "
                             "PUBLISH t def q1 m1; PUBACK 5; PUBREC 6; PUBLISH t ghi q1 m2; "
                             "PUBCOMP 6; PINGRESP";
enum { CONVERSATION_N = sizeof conversation - 1 };

static void packets_may_be_split_at_every_byte(void **state)
{
    (void)state;
    for (size_t at = 0; at <= CONVERSATION_N; at++) {
        struct world w;
        struct client *c;

        world_open(&w, 1);
        c = dial(&w, 0, 0);
        say(c, conversation, at);
        say(c, conversation + at, CONVERSATION_N - at);
        hears(c, answer);
        assert_null(c->link.partial);
        world_close(&w);
    }
}

static void packets_may_come_in_pieces_of_any_size(void **state)
{
    (void)state;
    for (size_t piece = 1; piece < 30; piece++) {
        struct world w;
        struct client *c;

        world_open(&w, 1);
        c = dial(&w, 0, 0);
        for (size_t at = 0; at < CONVERSATION_N; at += piece) {
            say(c, conversation + at, CONVERSATION_N - at < piece ? CONVERSATION_N - at : piece);
        }
        hears(c, answer);
        assert_null(c->link.partial);
        world_close(&w);
    }
}

static void an_idle_link_holds_no_buffer(void **state)
{
    struct world w;
    struct client *c;

    (void)state;
    world_open(&w, 1);
    c = join(&w, "c");
    say_bytes(c, "\xc0\0\xc0");
    assert_non_null(c->link.partial);
    say_bytes(c, "\0");
    hears(c, "PINGRESP; PINGRESP");
    assert_null(c->link.partial);
    assert_null(c->link.out.first);
    assert_null(c->link.connect);
    world_close(&w);
}

static void a_claimed_length_costs_nothing_before_it_comes(void **state)
{
    struct world w;
    struct client *c;
    static uint8_t rest[100000];

    (void)state;
    world_open(&w, 1);
    c = join(&w, "c");
    say_bytes(c, "\x30\xff\xff\xff\x7f\0\x01t");
    assert_in_range(c->link.partial_room, 8, 64);
    say(c, rest, sizeof rest);
    assert_in_range(c->link.partial_room, sizeof rest, 3 * sizeof rest);
    world_close(&w);
}

static void a_large_packet_is_put_together(void **state)
{
    struct world w;
    struct client *c, *s;
    enum { N = 300000 };
    char *payload = malloc(N + 1);

    (void)state;
    memset(payload, 'x', N);
    payload[N] = '\0';
    world_open(&w, 1);
    s = join(&w, "s");
    subscribe(s, "t", 0);
    c = join(&w, "c");
    say_publish(c, 0, 0, "t", payload);
    hears(s, "PUBLISH t (300000 bytes) q0");
    for (size_t at = 0; at < N + 8; at += 5000) {
        static const uint8_t head[] = {0x30, 0xe4, 0xa7, 0x12, 0, 1, 't', 0};
        uint8_t piece[5000];
        size_t n = N + 8 - at < sizeof piece ? N + 8 - at : sizeof piece;

        memset(piece, 'y', sizeof piece);
        if (at == 0) {
            memcpy(piece, head, sizeof head);
        }
        say(c, piece, n);
    }
    hears(s, "PUBLISH t (300000 bytes) q0");
    assert_null(c->link.partial);
    free(payload);
    world_close(&w);
}

static void while_memory_is_short_little_of_a_packet_is_kept(void **state)
{
    static const uint8_t connect[2000] = {0x10, 0xff, 0x3f, 0, 4, 'M', 'Q', 'T', 'T', 5};
    static const uint8_t publish[1000] = {0x30, 0xff, 0xff, 0x7f, 0, 1, 't', 0};
    struct world w;
    struct client *c, *stranger;

    (void)state;
    world_open(&w, 1);
    c = join(&w, "c");
    atomic_store(&w.core.is_memory_short, true);
    stranger = dial(&w, 0, 0);
    say(stranger, connect, 1000);
    hears_nothing(stranger);
    say(stranger, connect, 100);
    hears(stranger, "closed");
    for (unsigned i = 0; i < 65; i++) {
        hears_nothing(c);
        say(c, publish, sizeof publish);
    }
    hears_nothing(c);
    say(c, publish, sizeof publish);
    hears(c, "DISCONNECT rc151; closed");
    assert_int_equal(world_count(&w, NOC_COUNT_LINKS_REFUSED), 2);
    world_close(&w);
}

static void a_packet_over_the_limit_ends_the_connection(void **state)
{
    struct world w;
    struct client *c;

    (void)state;
    world_init(&w);
    w.limits.max_packet_size = 20;
    world_start(&w, 1);
    c = join(&w, "c");
    say_publish(c, 0, 0, "t", "123456789012345");
    hears(c, "DISCONNECT rc149; closed");
    assert_true(logged(&w, "Client c disconnected due to oversize packet. (packet of 21 bytes, "
                           "limit 20)"));
    c = join(&w, "c");
    say_publish(c, 0, 0, "t", "12345678901234");
    hears_nothing(c);
    say_bytes(c, "\x30\x13"); /* Told by its length alone. */
    hears(c, "DISCONNECT rc149; closed");
    c = join_v311(&w, "c");
    say_bytes(c, "\x30\x13");
    hears(c, "closed");
    c = dial(&w, 0, 0);
    say_bytes(c, "\x10\x13"); /* A CONNECT, too. */
    hears(c, "closed");
    assert_true(logged(&w, "oversize packet. (packet of 21 bytes, limit 20)"));
    world_close(&w);
}

static void broken_framing_ends_the_connection(void **state) /* [MQTT-4.13.1-1] */
{
    const struct noc_slice packets[] = {
        BYTES("\0\0"),                     /* type 0 */
        BYTES("\xc0\x01x"),                /* PINGREQ with a body */
        BYTES("\xc1\0"),                   /* flags [MQTT-2.1.3-1] */
        BYTES("\x30\xff\xff\xff\xff\x01"), /* a length of five bytes [MQTT-1.5.5-1] */
        BYTES("\x60\x02\0\x01"),           /* PUBREL [MQTT-3.6.1-1] */
        BYTES("\xe1\0"),                   /* DISCONNECT [MQTT-3.14.1-1] */
    };
    struct world w;

    (void)state;
    world_open(&w, 1);
    for (unsigned i = 0; i < NOC_COUNT(packets); i++) {
        struct client *c = join(&w, "c");

        say(c, packets[i].at, packets[i].n);
        hears(c, "DISCONNECT rc129; closed");
    }
    world_close(&w);
}

static void packets_a_server_sends_are_not_taken_from_clients(void **state)
{
    const struct noc_slice packets[] = {BYTES("\x20\x03\0\0\0"), BYTES("\x90\x04\0\x01\0\0"),
        BYTES("\xb0\x04\0\x01\0\0"), BYTES("\xd0\0"),
        BYTES("\xf0\x09\x18\x07\x15\0\x04"
              "abcd") /* AUTH [MQTT-4.12.0-6] */};
    struct world w;

    (void)state;
    world_open(&w, 1);
    for (unsigned i = 0; i < NOC_COUNT(packets); i++) {
        struct client *c = join(&w, "c");

        say(c, packets[i].at, packets[i].n);
        hears(c, "DISCONNECT rc130; closed");
    }
    world_close(&w);
}

static void nothing_is_decoded_behind_the_end(void **state) /* [MQTT-3.14.4-1], [MQTT-3.14.4-2] */
{
    struct world w;
    struct client *c;

    (void)state;
    world_open(&w, 1);
    c = join(&w, "c");
    say_bytes(c, "\xe0\0\xc0\0\x30\x04\0\x01tx");
    hears(c, "closed");
    assert_int_equal(world_count(&w, NOC_COUNT_PUBLISH_RECEIVED), 0);
    world_close(&w);
}

/* ---- keep-alive ---- */

static void a_silent_client_is_shown_out_after_one_and_a_half_intervals(void **state)
{
    struct world w;
    struct client *c; /* [MQTT-3.1.2-22] */
    struct noc_connect connect = {
        .version = NOC_V5, .clean_start = true, .client_id = TEXT("c"), .keep_alive_s = 10};

    (void)state;
    world_open(&w, 1);
    c = join_as(&w, connect);
    world_advance(&w, 14900);
    hears_nothing(c);
    world_advance(&w, 200);
    hears(c, "DISCONNECT rc141; closed");
    assert_true(logged(&w, "Client c has exceeded timeout, disconnecting."));
    connect.version = NOC_V311;
    c = join_as(&w, connect);
    world_advance(&w, 15100);
    hears(c, "closed");
    world_close(&w);
}

static void any_byte_of_the_client_keeps_it_alive(void **state) /* [MQTT-3.12.4-1] */
{
    struct world w;
    struct client *c;

    (void)state;
    world_open(&w, 1);
    c = join_as(&w,
        (struct noc_connect){
            .version = NOC_V311, .clean_start = true, .client_id = TEXT("c"), .keep_alive_s = 10});
    for (unsigned i = 0; i < 6; i++) {
        world_advance(&w, 7000);
        say(c, i % 2 == 0 ? "\xc0" : "\0", 1);
    }
    hears(c, "PINGRESP; PINGRESP; PINGRESP");
    world_advance(&w, 14000);
    hears_nothing(c);
    world_advance(&w, 2000);
    hears(c, "closed");
    world_close(&w);
}

static void without_keep_alive_silence_is_no_fault(void **state)
{
    struct world w;
    struct client *c;

    (void)state;
    world_open(&w, 1);
    c = join(&w, "c");
    w.now_ms += 100000000;
    world_settle(&w);
    hears_nothing(c);
    world_close(&w);
}

/* ---- DISCONNECT ---- */

static void a_disconnect_drops_the_will(void **state) /* [MQTT-3.14.4-3], [MQTT-3.1.2-10] */
{
    struct world w;
    struct client *c, *s;
    struct noc_connect connect = {.version = NOC_V5,
        .clean_start = true,
        .client_id = TEXT("c"),
        .has_will = true,
        .will = {.topic = TEXT("w"), .payload = TEXT("gone"), .qos = 1}};

    (void)state;
    world_open(&w, 1);
    s = join(&w, "s");
    subscribe(s, "w", 1);
    c = join_as(&w, connect);
    say_disconnect(c, 0, noc_slice(NULL, 0));
    hears(c, "closed");
    hears_nothing(s);
    c = join_as(&w, connect);
    say_disconnect(c, NOC_RC_DISCONNECT_WITH_WILL, noc_slice(NULL, 0));
    hears(s, "PUBLISH w gone q1 m1"); /* [MQTT-3.1.2-8] */
    c = join_as(&w, connect);
    hang_up(c);
    hears(s, "PUBLISH w gone q1 m2");
    c = join_as(&w, connect);
    say_bytes(c, "\0\0");
    hears(s, "PUBLISH w gone q1 m3");
    connect.version = NOC_V311;
    c = join_as(&w, connect);
    say_disconnect(c, 0, noc_slice(NULL, 0));
    hears_nothing(s);
    world_close(&w);
}

static void a_disconnect_may_change_the_session_expiry(void **state)
{
    struct world w;
    struct client *c;

    (void)state;
    world_open(&w, 1);
    c = stay(&w, "c");
    say_disconnect(c, 0, BYTES("\x11\0\0\0\x05"));
    assert_int_equal(world_count(&w, NOC_COUNT_SESSIONS), 1);
    world_advance(&w, 5100);
    assert_int_equal(world_count(&w, NOC_COUNT_SESSIONS), 0);
    c = stay(&w, "c");
    say_disconnect(c, 0, BYTES("\x11\0\0\0\0"));
    assert_int_equal(world_count(&w, NOC_COUNT_SESSIONS), 0);
    /* Not from none to some (3.14.2.2.2). */
    c = join(&w, "c");
    say_disconnect(c, 0, BYTES("\x11\0\0\0\x05"));
    hears(c, "DISCONNECT rc130; closed");
    assert_int_equal(world_count(&w, NOC_COUNT_SESSIONS), 0);
    world_close(&w);
}

static void a_malformed_disconnect_keeps_the_will(void **state)
{
    struct world w;
    struct client *c, *s;

    (void)state;
    world_open(&w, 1);
    s = join(&w, "s");
    subscribe(s, "w", 0);
    c = join_as(&w, (struct noc_connect){.version = NOC_V5,
                        .clean_start = true,
                        .client_id = TEXT("c"),
                        .has_will = true,
                        .will.topic = TEXT("w")});
    say_bytes(c, "\xe0\x01\x8e"); /* A client may not say that [MQTT-3.14.2-1]. */
    hears(c, "DISCONNECT rc130; closed");
    hears(s, "PUBLISH w  q0");
    world_close(&w);
}

/* ---- output ---- */

static void who_never_reads_its_answers_has_to_go(void **state)
{
    struct world w;
    struct client *c;

    (void)state;
    world_init(&w);
    w.limits.max_output_bytes = 1000;
    world_start(&w, 1);
    c = join(&w, "c");
    c->takes = 0;
    for (unsigned i = 0; i < 1000 && !c->is_closed; i++) {
        say_bytes(c, "\xc0\0\xc0\0\xc0\0\xc0\0");
    }
    assert_true(c->is_closed);
    assert_true(logged(&w, "it does not read the answers to what it sends"));
    world_close(&w);
}

static void who_never_reads_its_subacks_has_to_go(void **state)
{
    struct world w;
    struct client *c;

    (void)state;
    world_init(&w);
    w.limits.max_output_bytes = 1000;
    world_start(&w, 1);
    c = join(&w, "c");
    c->takes = 0;
    for (unsigned i = 0; i < 1000 && !c->is_closed; i++) {
        if (i % 2 == 0) {
            say_subscribe(c, "t", 0, 0);
        } else {
            say_unsubscribe(c, "t");
        }
    }
    assert_true(c->is_closed);
    assert_true(logged(&w, "it does not read the answers to what it sends"));
    world_close(&w);
}

static void bytes_and_packets_are_counted(void **state)
{
    struct world w;
    struct client *c;

    (void)state;
    world_open(&w, 1);
    c = join_v311(&w, "c");
    assert_int_equal(world_count(&w, NOC_COUNT_PACKETS_RECEIVED), 1);
    assert_int_equal(world_count(&w, NOC_COUNT_BYTES_RECEIVED), 15);
    say_publish(c, 1, 1, "t", "x");
    assert_int_equal(world_count(&w, NOC_COUNT_PACKETS_RECEIVED), 2);
    assert_int_equal(world_count(&w, NOC_COUNT_BYTES_RECEIVED), 23);
    assert_int_equal(world_count(&w, NOC_COUNT_PUBLISH_RECEIVED), 1);
    assert_int_equal(world_count(&w, NOC_COUNT_PUBLISH_BYTES_RECEIVED), 1);
    assert_int_equal(world_count(&w, NOC_COUNT_PACKETS_SENT), 2);
    world_close(&w);
}

/* ---- what a turn may cost ---- */

/* Subscribers to "t", as many on each shard: a message for it is worth that many copies. */
static void crowd(struct world *w, unsigned count)
{
    for (unsigned i = 0; i < count * w->core.shard_count; i++) {
        struct client *client = dial(w, i % w->core.shard_count, 0);
        char id[] = {'c', (char)('0' + i / 10), (char)('0' + i % 10), '\0'};

        say_connect(client,
            (struct noc_connect){.version = NOC_V5, .clean_start = true, .client_id = TEXT(id)});
        assert_ptr_equal(client->link.shard, &w->shards[i % w->core.shard_count]);
        heard(client);
        subscribe(client, "t", 0);
    }
}

/* Messages of QoS 0 for "t", and behind them a PUBLISH with QoS 1 and a DISCONNECT. */
static size_t burst(uint8_t *bytes, unsigned count)
{
    static const char one[] = "\x30\x05\0\x01t\0x", last[] = "\x32\x06\0\x01u\0\x09\0";
    uint8_t *at = bytes;

    for (unsigned i = 0; i < count; i++, at += sizeof one - 1) {
        memcpy(at, one, sizeof one - 1);
    }
    memcpy(at, last, sizeof last - 1);
    at += sizeof last - 1;
    memcpy(at, "\xe0", 2);
    return (size_t)(at + 2 - bytes);
}

static void who_makes_too_much_work_goes_on_in_the_next_turn(void **state)
{
    enum { CROWD = 50, COUNT = 1000 };
    struct world w;
    struct client *p, *other;
    uint8_t bytes[7 * COUNT + 20];
    size_t n = burst(bytes, COUNT);
    unsigned turns = 0;

    (void)state;
    world_open(&w, 1);
    crowd(&w, CROWD);
    p = join(&w, "p");
    other = join(&w, "other");
    say_only(p, bytes, n);
    assert_false(p->is_reading);
    assert_int_equal(world_count(&w, NOC_COUNT_PAUSED), 1);
    assert_in_range(world_count(&w, NOC_COUNT_PUBLISH_SENT), NOC_WORK_MAX * 9 / 10, NOC_WORK_MAX);
    /* Others are served meanwhile. */
    say_only(other, "\xc0", 2);
    hears(other, "PINGRESP");
    for (; !p->is_closed; turns++) {
        world_turn(&w, 0);
        assert_in_range(turns, 0, 10);
    }
    assert_in_range(turns, COUNT * CROWD / NOC_WORK_MAX - 1, 10);
    /* In order, to the end, and nothing is left over. */
    hears(p, "PUBACK 9 rc16; closed");
    assert_int_equal(world_count(&w, NOC_COUNT_PUBLISH_SENT), COUNT * CROWD);
    assert_int_equal(world_count(&w, NOC_COUNT_PAUSED), 0);
    world_close(&w);
}

static void who_makes_work_takes_turns_with_others_who_do(void **state)
{
    enum { CROWD = 50, COUNT = 800, SENDERS = 3 };
    struct world w;
    struct client *senders[SENDERS], *quiet;
    uint8_t bytes[7 * COUNT + 20];
    size_t n = burst(bytes, COUNT);

    (void)state;
    world_open(&w, 1);
    crowd(&w, CROWD);
    quiet = join(&w, "quiet");
    for (unsigned i = 0; i < SENDERS; i++) {
        char id[] = {'p', (char)('0' + i), '\0'};

        senders[i] = join(&w, id);
    }
    for (unsigned i = 0; i < SENDERS; i++) {
        say_only(senders[i], bytes, n);
    }
    /* None is done long before another. */
    for (unsigned turns = 0; !senders[0]->is_closed || !senders[1]->is_closed; turns++) {
        say_only(quiet, "\xc0", 2);
        hears(quiet, "PINGRESP");
        assert_in_range(turns, 0, 20);
        if (senders[0]->is_closed) {
            assert_in_range(senders[1]->link.partial_n, 0, n / 2);
        }
    }
    world_settle(&w);
    assert_int_equal(world_count(&w, NOC_COUNT_PUBLISH_SENT), SENDERS * COUNT * CROWD);
    world_close(&w);
}

static void pings_are_work_too(void **state)
{
    enum { PINGS = NOC_WORK_MAX + 1000 };
    struct world w;
    struct client *p;
    uint8_t *bytes = malloc(2 * PINGS);

    (void)state;
    assert_non_null(bytes);
    for (unsigned i = 0; i < PINGS; i++) {
        memcpy(bytes + 2 * i, "\xc0", 2);
    }
    world_open(&w, 1);
    p = join(&w, "p");
    say_only(p, bytes, 2 * PINGS);
    assert_false(p->is_reading);
    assert_in_range(hears_count(p, "PINGRESP"), NOC_WORK_MAX - 1, NOC_WORK_MAX + 1);
    world_settle(&w);
    assert_true(p->is_reading);
    assert_in_range(hears_count(p, "PINGRESP"), 999, 1001);
    free(bytes);
    world_close(&w);
}

/* A WebSocket feeds frame by frame. */
static void feed_each_alone(struct noc_shard *shard, const void *argument)
{
    struct client *const *client = argument;

    for (unsigned i = 0; i < 2000; i++) {
        uint8_t packet[] = {0x30, 5, 0, 1, 't', 0, 'x'};

        noc_link_feed(&(*client)->link, packet, sizeof packet);
    }
    assert_in_range(shard->work, NOC_WORK_MAX, NOC_WORK_MAX + 3 * NOC_WORK_LITTLE);
}

static void who_comes_in_many_pieces_is_held_as_well(void **state)
{
    enum { CROWD = 50 };
    struct world w;
    struct client *p;

    (void)state;
    world_open(&w, 1);
    crowd(&w, CROWD);
    p = join(&w, "p");
    world_do(&w, 0, feed_each_alone, &p);
    assert_true(p->is_reading);
    assert_int_equal(world_count(&w, NOC_COUNT_PUBLISH_SENT), 2000 * CROWD);
    world_close(&w);
}

static void who_is_held_waits_for_a_worker_that_is_behind_as_well(void **state)
{
    enum { CROWD = 50, COUNT = 4000 };
    static uint8_t bytes[7 * COUNT + 20];
    struct world w;
    struct client *p;
    size_t n = burst(bytes, COUNT);

    (void)state;
    world_init(&w);
    w.limits.mailbox_high = 10;
    world_start(&w, 2);
    p = join(&w, "p");
    crowd(&w, CROWD);
    w.is_frozen[1] = true;
    say(p, bytes, n);
    assert_false(p->is_closed);
    assert_int_equal(world_count(&w, NOC_COUNT_PAUSED), 1);
    /* Two turns' worth at most: the worker was seen to be behind in the second. */
    assert_in_range(world_count(&w, NOC_COUNT_PUBLISH_SENT), 0, 2 * NOC_WORK_MAX);
    w.is_frozen[1] = false;
    world_settle(&w);
    assert_true(p->is_closed);
    assert_int_equal(world_count(&w, NOC_COUNT_PUBLISH_SENT), 2 * COUNT * CROWD);
    world_close(&w);
}

static void mail_that_makes_too_much_work_waits_for_the_next_turn(void **state)
{
    enum { CROWD = 50, COUNT = 1000 };
    struct world w;
    struct client *p, *other;
    uint8_t bytes[7 * COUNT + 20];
    size_t n = burst(bytes, COUNT);

    (void)state;
    world_open(&w, 2);
    p = join(&w, "p");
    crowd(&w, CROWD);
    other = w.clients[w.client_count - 1];
    w.is_frozen[1] = true;
    say(p, bytes, n);
    w.is_frozen[1] = false;
    assert_ptr_equal(other->link.shard, &w.shards[1]);
    assert_int_equal(world_count(&w, NOC_COUNT_PUBLISH_SENT), COUNT * CROWD);
    say_only(other, "\xc0", 2);
    assert_int_equal(hears_count(other, "PINGRESP"), 1);
    assert_in_range(world_count(&w, NOC_COUNT_PUBLISH_SENT) - COUNT * CROWD,
        NOC_WORK_MAX - 3 * CROWD, NOC_WORK_MAX + 3 * CROWD);
    world_settle(&w);
    assert_int_equal(world_count(&w, NOC_COUNT_PUBLISH_SENT), 2 * COUNT * CROWD);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packets_may_be_split_at_every_byte),
        cmocka_unit_test(packets_may_come_in_pieces_of_any_size),
        cmocka_unit_test(an_idle_link_holds_no_buffer),
        cmocka_unit_test(a_claimed_length_costs_nothing_before_it_comes),
        cmocka_unit_test(a_large_packet_is_put_together),
        cmocka_unit_test(while_memory_is_short_little_of_a_packet_is_kept),
        cmocka_unit_test(a_packet_over_the_limit_ends_the_connection),
        cmocka_unit_test(broken_framing_ends_the_connection),
        cmocka_unit_test(packets_a_server_sends_are_not_taken_from_clients),
        cmocka_unit_test(nothing_is_decoded_behind_the_end),
        cmocka_unit_test(a_silent_client_is_shown_out_after_one_and_a_half_intervals),
        cmocka_unit_test(any_byte_of_the_client_keeps_it_alive),
        cmocka_unit_test(without_keep_alive_silence_is_no_fault),
        cmocka_unit_test(a_disconnect_drops_the_will),
        cmocka_unit_test(a_disconnect_may_change_the_session_expiry),
        cmocka_unit_test(a_malformed_disconnect_keeps_the_will),
        cmocka_unit_test(who_never_reads_its_answers_has_to_go),
        cmocka_unit_test(who_never_reads_its_subacks_has_to_go),
        cmocka_unit_test(bytes_and_packets_are_counted),
        cmocka_unit_test(who_makes_too_much_work_goes_on_in_the_next_turn),
        cmocka_unit_test(who_makes_work_takes_turns_with_others_who_do),
        cmocka_unit_test(pings_are_work_too),
        cmocka_unit_test(who_comes_in_many_pieces_is_held_as_well),
        cmocka_unit_test(who_is_held_waits_for_a_worker_that_is_behind_as_well),
        cmocka_unit_test(mail_that_makes_too_much_work_waits_for_the_next_turn),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
