/* SPDX-License-Identifier: Apache-2.0 */
/* What an application publishes and subscribes to, and what the server makes of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "kit.h"

static struct kit kit;
static struct noc_ring_outbox ring;
static uint8_t box_bytes[4096];
static struct noc_client_message message;

static int begin(void **state)
{
    (void)state;
    kit_init(&kit);
    kit.options.outbox = noc_ring_outbox_init(&ring, box_bytes, sizeof box_bytes);
    message = (struct noc_client_message){.topic = {"a/b", 3}, .payload = {"hi", 2}};
    return 0;
}

static int end(void **state)
{
    (void)state;
    kit_done(&kit);
    return 0;
}

static void open_version(unsigned version, const char *connack)
{
    kit.options.version = (uint8_t)version;
    kit_open(&kit, 256, 256);
    kit_connect(&kit, connack);
}

static int publish(unsigned qos)
{
    message.qos = (uint8_t)qos;
    return noc_client_publish(&kit.client, &message, NULL);
}

static void qos_0_goes_right_away(void **state)
{
    (void)state;
    kit_open(&kit, 256, 128);
    assert_int_equal(publish(0), NOC_ECLOSED);
    kit_connect(&kit, "20 02 00 00");
    assert_int_equal(publish(0), NOC_OK);
    message.retain = true;
    message.payload = noc_slice(NULL, 0);
    assert_int_equal(publish(0), NOC_OK);
    kit_run(&kit);
    expect_wire(&kit, "30 07 0003 'a/b' 'hi' 31 05 0003 'a/b'");
    assert_true(noc_client_is_idle(&kit.client));
}

static void version_5_adds_properties(void **state)
{
    (void)state;
    open_version(5, "20 03 00 00 00");
    message.props = noc_slice("\x01\x01", 2);
    assert_int_equal(publish(0), NOC_OK);
    assert_int_equal(publish(1), NOC_OK);
    kit_run(&kit);
    expect_wire(&kit, "30 0a 0003 'a/b' 02 0101 'hi' 32 0c 0003 'a/b' 0001 02 0101 'hi'");
}

static void a_bad_topic_is_refused(void **state)
{
    static const char *const topics[] = {"", "a/+", "#", "a#b", "\xff\xfe", "\xc3", "\xed\xa0\x80"};
    static char longest[65536];

    (void)state;
    open_version(4, "20 02 00 00");
    for (size_t i = 0; i < NOC_COUNT(topics); i++) {
        message.topic = noc_slice_of(topics[i]);
        assert_int_equal(publish(0), NOC_EINVAL);
        assert_int_equal(publish(1), NOC_EINVAL);
    }
    message.topic = noc_slice("a\0b", 3);
    assert_int_equal(publish(0), NOC_EINVAL);
    memset(longest, 'x', sizeof longest);
    message.topic = noc_slice(longest, sizeof longest);
    assert_int_equal(publish(0), NOC_EINVAL);
    message.topic = noc_slice(longest, sizeof longest - 1);
    assert_int_equal(publish(0), NOC_ETOOLARGE);
    message.topic = noc_slice_of("\xc3\xa4");
    assert_int_equal(publish(3), NOC_EINVAL);
    assert_int_equal(publish(0), NOC_OK);
}

static void what_can_not_fit_is_told_from_what_does_not_now(void **state)
{
    static char payload[250];

    (void)state;
    open_version(4, "20 02 00 00");
    message.payload = noc_slice(payload, 256 - 2 - 5 - 1);
    assert_int_equal(publish(0), NOC_OK);
    assert_int_equal(publish(0), NOC_EAGAIN);
    kit_run(&kit);
    assert_int_equal(kit.wire_n, 256 - 1 + 1);
    message.payload.n++;
    assert_int_equal(publish(0), NOC_ETOOLARGE);
    message.payload.n = (size_t)1 << 29;
    assert_int_equal(publish(0), NOC_ETOOLARGE);
    assert_int_equal(publish(1), NOC_ETOOLARGE);
}

static void an_alias_stands_for_its_topic_once_the_server_knows_it(void **state)
{
    (void)state; /* [MQTT-3.3.2-8] and following */
    open_version(5, "20 06 00 00 03 22 0002");
    message.alias = 2;
    assert_int_equal(publish(0), NOC_OK);
    assert_int_equal(publish(0), NOC_OK);
    message.alias = 3; /* more than it takes */
    assert_int_equal(publish(0), NOC_OK);
    message.alias = 33;
    assert_int_equal(publish(0), NOC_OK);
    kit_run(&kit);
    expect_wire(&kit, "30 0b 0003 'a/b' 03 23 0002 'hi' 30 08 0000 03 23 0002 'hi'"
                      "30 08 0003 'a/b' 00 'hi' 30 08 0003 'a/b' 00 'hi'");
    noc_client_lost(&kit.client);
    kit_run(&kit);
    kit_connect(&kit, "20 06 00 00 03 22 0002");
    message.alias = 2;
    assert_int_equal(publish(0), NOC_OK);
    kit_run(&kit);
    expect_wire(&kit, "30 0b 0003 'a/b' 03 23 0002 'hi'");
}

static void what_the_server_does_not_take_is_not_sent(void **state)
{
    struct noc_client_filter filter = {{"a/+", 3}, 0};
    static const struct noc_slice wild = {"a/+", 3};

    (void)state; /* [MQTT-3.2.2-11], [MQTT-3.2.2-14], [MQTT-3.2.2-15] */
    open_version(5, "20 12 00 00 0f 24 00 25 00 27 00000012 28 00 29 00 2a 00");
    assert_int_equal(publish(1), NOC_ENOTSUP);
    message.retain = true;
    assert_int_equal(publish(0), NOC_ENOTSUP);
    message.retain = false;
    message.payload = noc_slice_of("0123456789a");
    assert_int_equal(publish(0), NOC_ETOOLARGE);
    message.payload.n--;
    assert_int_equal(publish(0), NOC_OK);
    assert_int_equal(
        noc_client_subscribe(&kit.client, &filter, 1, noc_slice(NULL, 0), NULL), NOC_ENOTSUP);
    filter.filter = noc_slice_of("$share/g/a");
    assert_int_equal(
        noc_client_subscribe(&kit.client, &filter, 1, noc_slice(NULL, 0), NULL), NOC_ENOTSUP);
    filter.filter = noc_slice_of("a");
    assert_int_equal(
        noc_client_subscribe(&kit.client, &filter, 1, noc_slice("\x0b\x01", 2), NULL), NOC_ENOTSUP);
    assert_int_equal(
        noc_client_subscribe(&kit.client, &filter, 1, noc_slice(NULL, 0), NULL), NOC_OK);
    assert_int_equal(
        noc_client_unsubscribe(&kit.client, &wild, 1, noc_slice(NULL, 0), NULL), NOC_OK);
    filter.filter = noc_slice_of("a/very/long/one");
    assert_int_equal(
        noc_client_subscribe(&kit.client, &filter, 1, noc_slice(NULL, 0), NULL), NOC_ETOOLARGE);
}

static void what_waits_and_can_not_go_to_this_server_is_told(void **state)
{
    static char payload[40];

    (void)state;
    kit.options.version = 5;
    kit_open(&kit, 256, 128);
    assert_int_equal(publish(2), NOC_OK);
    message.retain = true;
    assert_int_equal(publish(1), NOC_OK);
    message.retain = false;
    assert_int_equal(publish(1), NOC_OK);
    message.payload = noc_slice(payload, sizeof payload);
    assert_int_equal(publish(1), NOC_OK);
    kit_start(&kit);
    kit.wire_n = 0;
    kit_feed(&kit, "20 0c 00 00 09 24 01 25 00 27 00000020");
    expect_events(&kit, "connected\npublished 1 9b\npublished 2 9a\npublished 4 95\n");
    expect_wire(&kit, "32 0a 0003 'a/b' 0003 00 'hi'");
}

static void qos_1_and_2_go_their_ways(void **state)
{
    (void)state;
    open_version(4, "20 02 00 00");
    assert_int_equal(publish(1), NOC_OK);
    assert_int_equal(publish(2), NOC_OK);
    kit_run(&kit);
    expect_wire(&kit, "32 09 0003 'a/b' 0001 'hi' 34 09 0003 'a/b' 0002 'hi'");
    assert_false(noc_client_is_idle(&kit.client));
    kit_feed(&kit, "50 02 0002 40 02 0001");
    expect_events(&kit, "published 1 00\n");
    expect_wire(&kit, "62 02 0002");
    kit_feed(&kit, "50 02 0002"); /* once more: answered once more */
    expect_wire(&kit, "62 02 0002");
    kit_feed(&kit, "70 02 0002");
    expect_events(&kit, "published 2 00\n");
    assert_true(noc_client_is_idle(&kit.client));
}

static void a_refusal_is_told_with_its_reason(void **state)
{
    (void)state;
    open_version(5, "20 03 00 00 00");
    assert_int_equal(publish(1), NOC_OK);
    assert_int_equal(publish(2), NOC_OK);
    kit_run(&kit);
    kit.wire_n = 0;
    kit_feed(&kit, "40 03 0001 97 50 09 0002 87 05 1f 0002 'no'");
    expect_events(&kit, "published 1 97\npublished 2 87\n");
    expect_wire(&kit, "");
    assert_true(noc_props_has(&kit.last.props, NOC_PROP_REASON_STRING));
    assert_true(noc_client_is_idle(&kit.client));
}

static void no_more_are_in_flight_than_may_be(void **state)
{
    (void)state; /* [MQTT-3.3.4-7] */
    kit.options.inflight_max = 3;
    open_version(5, "20 06 00 00 03 21 0002");
    for (int i = 0; i < 5; i++) {
        assert_int_equal(publish(i % 2 == 0 ? 1 : 2), NOC_OK);
    }
    kit_run(&kit);
    expect_wire(&kit, "32 0a 0003 'a/b' 0001 00 'hi' 34 0a 0003 'a/b' 0002 00 'hi'");
    kit_feed(&kit, "50 02 0002");
    expect_wire(&kit, "62 02 0002"); /* not yet across */
    kit_feed(&kit, "70 02 0002");
    expect_wire(&kit, "32 0a 0003 'a/b' 0003 00 'hi'");
    kit_feed(&kit, "40 02 0001 40 02 0003");
    expect_wire(&kit, "34 0a 0003 'a/b' 0004 00 'hi' 32 0a 0003 'a/b' 0005 00 'hi'");
}

static void a_session_is_taken_up_where_it_was_left(void **state)
{
    (void)state; /* [MQTT-4.4.0-1], [MQTT-3.3.1-1] */
    kit.options.keep_session = true;
    kit.options.inflight_max = 3;
    open_version(4, "20 02 00 00");
    assert_int_equal(publish(1), NOC_OK);
    assert_int_equal(publish(2), NOC_OK);
    assert_int_equal(publish(2), NOC_OK);
    assert_int_equal(publish(1), NOC_OK);
    kit_run(&kit);
    kit_feed(&kit, "50 02 0002");
    noc_client_lost(&kit.client);
    kit_run(&kit);
    kit_start(&kit);
    kit.wire_n = 0;
    kit_feed(&kit, "20 02 01 00");
    expect_wire(&kit, "3a 09 0003 'a/b' 0001 'hi' 62 02 0002 3c 09 0003 'a/b' 0003 'hi'");
    kit_feed(&kit, "40 02 0001");
    expect_wire(&kit, "32 09 0003 'a/b' 0004 'hi'");
}

static void without_a_session_all_begins_anew(void **state)
{
    (void)state;
    open_version(4, "20 02 00 00");
    assert_int_equal(publish(1), NOC_OK);
    assert_int_equal(publish(2), NOC_OK);
    kit_run(&kit);
    kit_feed(&kit, "50 02 0002");
    noc_client_lost(&kit.client);
    kit_run(&kit);
    kit_start(&kit);
    kit.wire_n = kit.events_n = 0;
    kit_feed(&kit, "20 02 00 00");
    /* The server need not have handed on what it had answered with PUBREC. */
    expect_wire(&kit, "32 09 0003 'a/b' 0001 'hi' 34 09 0003 'a/b' 0002 'hi'");
    expect_events(&kit, "connected\n");
    kit_feed(&kit, "50 02 0002 70 02 0002 40 02 0001");
    expect_wire(&kit, "62 02 0002");
    expect_events(&kit, "published 2 00\npublished 1 00\n");
}

static void acknowledgements_of_what_was_not_sent_are_offences(void **state)
{
    static const char *const packets[] = {"50 02 0001", "70 02 0001", "40 02 0002", "70 02 0002",
        "40 02 0003", "90 03 0001 00", "b0 02 0001", "40 02 0000", "40 01 00", "40 03 0001 00",
        "42 02 0001"};
    static const char *const unknown[] = {"40 02 0007", "70 02 0007", "50 02 0007"};

    (void)state;
    kit.options.inflight_max = 2;
    for (size_t i = 0; i < NOC_COUNT(packets); i++) {
        kit.options.outbox = noc_ring_outbox_init(&ring, box_bytes, sizeof box_bytes);
        open_version(4, "20 02 00 00");
        assert_int_equal(publish(1), NOC_OK);
        assert_int_equal(publish(2), NOC_OK);
        assert_int_equal(publish(1), NOC_OK); /* has to wait */
        kit_run(&kit);
        kit_feed(&kit, packets[i]);
        assert_int_equal(kit.last.kind, NOC_EVENT_CLOSED);
        assert_int_equal(kit.last.cause.kind, NOC_CAUSE_PROTOCOL);
    }
    for (size_t i = 0; i < NOC_COUNT(unknown); i++) {
        kit.options.outbox = i == 0 ? NULL : noc_ring_outbox_init(&ring, box_bytes, 64);
        open_version(5, "20 03 00 00 00");
        kit_feed(&kit, unknown[i]);
        expect_events(&kit, "");
        expect_wire(&kit, i == 2 ? "62 03 0007 92" : "");
    }
}

static void packet_identifiers_are_never_used_twice_at_a_time(void **state)
{
    uint16_t first, id;
    struct noc_client_filter filter = {{"a", 1}, 0};

    (void)state; /* [MQTT-2.2.1-3] */
    kit.options.inflight_max = 1;
    open_version(4, "20 02 00 00");
    message.qos = 1;
    assert_int_equal(noc_client_publish(&kit.client, &message, &first), NOC_OK);
    kit_run(&kit);
    for (unsigned i = 0; i < 65534; i++) {
        char answer[32];

        assert_int_equal(
            noc_client_subscribe(&kit.client, &filter, 1, noc_slice(NULL, 0), &id), NOC_OK);
        assert_true(id != 0 && id != first);
        kit_run(&kit);
        kit.wire_n = kit.events_n = 0;
        snprintf(answer, sizeof answer, "90 03 %04x 00", id);
        kit_feed(&kit, answer);
    }
    kit.events_n = 0;
    assert_int_equal(
        noc_client_subscribe(&kit.client, &filter, 1, noc_slice(NULL, 0), &id), NOC_EAGAIN);
    assert_int_equal(noc_client_publish(&kit.client, &message, &id), NOC_EFULL);
    kit_feed(&kit, "40 02 0001");
    assert_int_equal(
        noc_client_subscribe(&kit.client, &filter, 1, noc_slice(NULL, 0), &id), NOC_OK);
    assert_int_equal(id, first);
    assert_int_equal(noc_client_publish(&kit.client, &message, &id), NOC_OK);
    assert_int_equal(id, 2);
    kit_feed(&kit, "90 03 0003 00"); /* nobody asked that */
    expect_events(&kit, "published 1 00\nclosed 11 130: \n");
}

static void subscriptions_are_asked_for_and_answered(void **state)
{
    static const struct noc_client_filter filters[] = {{{"a/#", 3}, 1}, {{"b", 1}, 2}};
    static const struct noc_slice topics[] = {{"a/#", 3}, {"b", 1}};
    uint16_t id;

    (void)state;
    open_version(4, "20 02 00 00");
    assert_int_equal(
        noc_client_subscribe(&kit.client, filters, 2, noc_slice(NULL, 0), &id), NOC_OK);
    assert_int_equal(id, 1);
    assert_int_equal(
        noc_client_unsubscribe(&kit.client, topics, 2, noc_slice(NULL, 0), &id), NOC_OK);
    kit_run(&kit);
    expect_wire(&kit, "82 0c 0001 0003 'a/#' 01 0001 'b' 02 a2 0a 0002 0003 'a/#' 0001 'b'");
    kit_feed(&kit, "90 04 0001 01 80 b0 02 0002");
    expect_events(&kit, "subscribed 1 01 80\nunsubscribed 2\n");

    open_version(5, "20 03 00 00 00");
    assert_int_equal(
        noc_client_subscribe(&kit.client, filters, 1, noc_slice("\x0b\x05", 2), &id), NOC_OK);
    kit_run(&kit);
    expect_wire(&kit, "82 0b 0001 02 0b05 0003 'a/#' 01");
    kit_feed(&kit, "90 04 0001 00 97");
    expect_events(&kit, "subscribed 1 97\n");
}

static void bad_filters_are_refused(void **state)
{
    static const char *const bad[] = {
        "", "a#", "#/a", "a+", "\xff", "$share//a", "$share/g/", "$share/g", "$share/+/a"};
    struct noc_client_filter filter = {{NULL, 0}, 0};

    (void)state;
    kit_open(&kit, 256, 128);
    filter.filter = noc_slice_of("a");
    assert_int_equal(
        noc_client_subscribe(&kit.client, &filter, 1, noc_slice(NULL, 0), NULL), NOC_ECLOSED);
    open_version(5, "20 03 00 00 00");
    for (size_t i = 0; i < NOC_COUNT(bad); i++) {
        filter.filter = noc_slice_of(bad[i]);
        assert_int_equal(
            noc_client_subscribe(&kit.client, &filter, 1, noc_slice(NULL, 0), NULL), NOC_EINVAL);
        assert_int_equal(
            noc_client_unsubscribe(&kit.client, &filter.filter, 1, noc_slice(NULL, 0), NULL),
            NOC_EINVAL);
    }
    filter.filter = noc_slice_of("$share/g/a");
    filter.options = 4; /* [MQTT-3.8.3-4] */
    assert_int_equal(
        noc_client_subscribe(&kit.client, &filter, 1, noc_slice(NULL, 0), NULL), NOC_EINVAL);
    for (unsigned options = 0; options < 256; options++) {
        bool is_good = (options & 0xc0) == 0 && (options & 3) != 3 && (options & 0x30) != 0x30;

        filter = (struct noc_client_filter){{"a", 1}, (uint8_t)options};
        assert_int_equal(noc_client_subscribe(&kit.client, &filter, 1, noc_slice(NULL, 0), NULL),
            is_good ? NOC_OK : NOC_EINVAL);
        kit_run(&kit);
    }
    assert_int_equal(
        noc_client_subscribe(&kit.client, &filter, 0, noc_slice(NULL, 0), NULL), NOC_EINVAL);
    open_version(4, "20 02 00 00");
    filter.options = 4;
    assert_int_equal(
        noc_client_subscribe(&kit.client, &filter, 1, noc_slice(NULL, 0), NULL), NOC_EINVAL);
}

static int give_chunks(const char *text, size_t n)
{
    while (n > 0) {
        size_t part = n < 7 ? n : 7;
        int took = noc_client_publish_chunk(&kit.client, text, part);

        if (took < 0) {
            return took;
        }
        text += took;
        n -= (size_t)took;
        kit_run(&kit);
    }
    return NOC_OK;
}

static void a_message_larger_than_the_buffer_goes_in_pieces(void **state)
{
    static char payload[1000];
    static const struct noc_slice none = {NULL, 0};

    (void)state;
    memset(payload, 'z', sizeof payload);
    for (unsigned qos = 0; qos <= 2; qos++) {
        open_version(4, "20 02 00 00");
        message.qos = (uint8_t)qos;
        message.payload = noc_slice(NULL, sizeof payload);
        assert_int_equal(noc_client_publish_begin(&kit.client, &message, NULL), NOC_OK);
        assert_int_equal(noc_client_publish_begin(&kit.client, &message, NULL), NOC_EAGAIN);
        assert_int_equal(publish(0), NOC_EAGAIN);
        message.qos = (uint8_t)qos;
        if (qos == 0) { /* nothing may come between */
            assert_int_equal(noc_client_ping(&kit.client, kit.now_ms), NOC_EAGAIN);
            assert_int_equal(noc_client_disconnect(&kit.client, 0, none, kit.now_ms), NOC_EAGAIN);
        }
        assert_int_equal(noc_client_publish_chunk(&kit.client, payload, 1001), NOC_EINVAL);
        assert_int_equal(give_chunks(payload, sizeof payload), NOC_OK);
        kit_run(&kit);
        assert_int_equal(kit.wire_n, 1000 + 5 + 3 + (qos > 0 ? 2 : 0));
        assert_int_equal(kit.wire[kit.wire_n - 1], 'z');
        assert_int_equal(noc_client_publish_chunk(&kit.client, payload, 1), NOC_EINVAL);
        kit.wire_n = 0;
        assert_int_equal(noc_client_ping(&kit.client, kit.now_ms), NOC_OK);
        kit_run(&kit);
        expect_wire(&kit, "c0 00");
    }
}

static void a_message_in_pieces_ends_with_its_connection_or_waits_for_the_next(void **state)
{
    (void)state;
    open_version(4, "20 02 00 00");
    message.payload = noc_slice(NULL, 10);
    assert_int_equal(noc_client_publish_begin(&kit.client, &message, NULL), NOC_OK);
    noc_client_lost(&kit.client);
    kit_run(&kit);
    assert_int_equal(noc_client_publish_chunk(&kit.client, "x", 1), NOC_ECLOSED);

    message.qos = 1;
    assert_int_equal(noc_client_publish_begin(&kit.client, &message, NULL), NOC_OK);
    assert_int_equal(noc_client_publish_chunk(&kit.client, "01234", 5), 5);
    kit_start(&kit);
    kit.wire_n = 0;
    kit_feed(&kit, "20 02 00 00");
    assert_int_equal(noc_client_publish_chunk(&kit.client, "56789", 5), 5);
    kit_run(&kit);
    expect_wire(&kit, "32 11 0003 'a/b' 0001 '0123456789'");
}

static void an_answer_that_finds_no_room_waits(void **state)
{
    static uint16_t received[4];

    (void)state;
    kit.options.received = received;
    kit.options.received_max = 4;
    open_version(4, "20 02 00 00");
    kit.is_stuck = true;
    message.payload = noc_slice(box_bytes, 256 - 2 - 5 - 1);
    assert_int_equal(publish(0), NOC_OK);
    kit_feed(&kit, "32 07 0001 'a' 0001 '1' '2' 34 06 0001 'b' 0002 '3'");
    expect_events(&kit, "message a q1 id 1 2:12\n");
    assert_int_equal(noc_client_publish(&kit.client, &message, NULL), NOC_EAGAIN);
    assert_int_equal(noc_client_wait_ms(&kit.client, kit.now_ms), 45000);
    kit.is_stuck = false;
    memcpy(kit.wire, noc_client_peek(&kit.client, kit.now_ms, &kit.wire_n), 256);
    assert_int_equal(kit.wire_n, 256);
    noc_client_sent(&kit.client, 256, kit.now_ms);
    /* Now there is room, and nothing has to come for it to be used. */
    assert_int_equal(noc_client_wait_ms(&kit.client, kit.now_ms), 0);
    kit_run(&kit);
    expect_events(&kit, "message b q2 id 2 1:3\n");
    assert_int_equal(noc_client_wait_ms(&kit.client, kit.now_ms), 45000);
    assert_int_equal(kit.wire_n, 256 + 4 + 4);
    assert_int_equal(kit.wire[256], 0x40);
    assert_int_equal(kit.wire[260], 0x50);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
    static const struct CMUnitTest tests[] = {
        T(qos_0_goes_right_away),
        T(version_5_adds_properties),
        T(a_bad_topic_is_refused),
        T(what_can_not_fit_is_told_from_what_does_not_now),
        T(an_alias_stands_for_its_topic_once_the_server_knows_it),
        T(what_the_server_does_not_take_is_not_sent),
        T(what_waits_and_can_not_go_to_this_server_is_told),
        T(qos_1_and_2_go_their_ways),
        T(a_refusal_is_told_with_its_reason),
        T(no_more_are_in_flight_than_may_be),
        T(a_session_is_taken_up_where_it_was_left),
        T(without_a_session_all_begins_anew),
        T(acknowledgements_of_what_was_not_sent_are_offences),
        T(packet_identifiers_are_never_used_twice_at_a_time),
        T(subscriptions_are_asked_for_and_answered),
        T(bad_filters_are_refused),
        T(a_message_larger_than_the_buffer_goes_in_pieces),
        T(a_message_in_pieces_ends_with_its_connection_or_waits_for_the_next),
        T(an_answer_that_finds_no_room_waits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
