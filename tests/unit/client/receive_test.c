/* SPDX-License-Identifier: Apache-2.0 */
/* What a server sends, good and bad, in pieces of every size through buffers of many sizes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "kit.h"

static struct kit kit;
static uint16_t received[4], lengths[3];
static char topics[3 * 8];
static const struct noc_client_aliases aliases = {topics, lengths, 8, 3};
static struct noc_ring_outbox ring;
static uint8_t box_bytes[1024];

static int begin(void **state)
{
    (void)state;
    kit_init(&kit);
    memset(received, 0, sizeof received);
    kit.options.received = received;
    kit.options.received_max = 4;
    return 0;
}

static int end(void **state)
{
    (void)state;
    kit_done(&kit);
    return 0;
}

static void open_version(unsigned version)
{
    kit.options.version = (uint8_t)version;
    kit_open(&kit, 256, 128);
    kit_connect(&kit, version == 5 ? "20 03 00 00 00" : "20 02 00 00");
}

static void messages_are_told_and_acknowledged(void **state)
{
    (void)state;
    open_version(4);
    kit_feed(&kit, "31 03 0001 'a' 3a 06 0001 'b' 0007 'x' 34 05 0001 'c' 0008");
    expect_events(
        &kit, "message a q0 retain 0:\nmessage b q1 dup id 7 1:x\nmessage c q2 id 8 0:\n");
    expect_wire(&kit, "40 02 0007 50 02 0008");
    assert_int_equal(received[0], 8);
    kit_feed(&kit, "3c 05 0001 'c' 0008"); /* [MQTT-4.3.3-2] */
    expect_events(&kit, "");
    expect_wire(&kit, "50 02 0008");
    kit_feed(&kit, "62 02 0008 62 02 0008");
    expect_wire(&kit, "70 02 0008 70 02 0008");
    assert_int_equal(received[0], 0);
}

static void a_message_is_acknowledged_after_the_application_had_it(void **state)
{
    struct noc_event event;
    uint8_t bytes[16];
    size_t n = kit_bytes("32 06 0001 'b' 0007 'x'", bytes, sizeof bytes), room;

    (void)state;
    open_version(4);
    memcpy(noc_client_room(&kit.client, &room), bytes, n);
    noc_client_received(&kit.client, n, kit.now_ms);
    assert_true(noc_client_next(&kit.client, kit.now_ms, &event));
    noc_client_peek(&kit.client, kit.now_ms, &n);
    assert_int_equal(n, 0);
    assert_false(noc_client_is_idle(&kit.client));
    assert_false(noc_client_next(&kit.client, kit.now_ms, &event));
    noc_client_peek(&kit.client, kit.now_ms, &n);
    assert_int_equal(n, 4);
}

static void ids_of_qos_2_outlive_the_connection_with_the_session_only(void **state)
{
    (void)state;
    kit.options.keep_session = true;
    open_version(4);
    kit_feed(&kit, "34 05 0001 'c' 0008 34 05 0001 'd' 0009");
    noc_client_lost(&kit.client);
    kit_run(&kit);
    kit_connect(&kit, "20 02 01 00");
    kit_feed(&kit, "3c 05 0001 'c' 0008");
    expect_events(&kit, "");
    kit_open(&kit, 256, 128); /* restarted, with received kept */
    kit_connect(&kit, "20 02 01 00");
    kit_feed(&kit, "3c 05 0001 'd' 0009");
    expect_events(&kit, "");
    noc_client_lost(&kit.client);
    kit_run(&kit);
    kit_connect(&kit, "20 02 00 00");
    kit_feed(&kit, "34 05 0001 'c' 0008");
    expect_events(&kit, "message c q2 id 8 0:\n");
}

static void more_than_was_announced_is_an_offence(void **state)
{
    (void)state; /* [MQTT-3.3.4-9] */
    open_version(5);
    kit_feed(&kit, "34 06 0001 'c' 0001 00 34 06 0001 'c' 0002 00 34 06 0001 'c' 0003 00"
                   "34 06 0001 'c' 0004 00");
    kit.wire_n = kit.events_n = 0;
    kit_feed(&kit, "34 06 0001 'c' 0005 00");
    expect_events(&kit, "closed 11 147: \n");
    expect_wire(&kit, "e0 01 93");
}

static void aliases_stand_for_topics(void **state)
{
    (void)state;
    kit.options.aliases = &aliases;
    open_version(5);
    kit_feed(&kit, "30 09 0003 'a/b' 03 23 0003 30 06 0000 03 23 0003 30 08 0002 'cd' 03 23 0003"
                   "30 06 0000 03 23 0003");
    expect_events(
        &kit, "message a/b q0 0:\nmessage a/b q0 0:\nmessage cd q0 0:\nmessage cd q0 0:\n");
    noc_client_lost(&kit.client);
    kit_run(&kit);
    kit_connect(&kit, "20 03 00 00 00");
    kit_feed(&kit, "30 06 0000 03 23 0003"); /* [MQTT-3.3.2-7] */
    expect_events(&kit, "closed 11 130: \n");
}

/* Packets that end the connection, and the reason that is sent for them. */
static const struct {
    const char *packet;
    uint8_t reason;
} offences[] = {
    {"00 00", 0x82},
    {"10 00", 0x82},
    {"80 00", 0x82},
    {"82 00", 0x81},
    {"a2 00", 0x81},
    {"c0 00", 0x82},
    {"20 03 00 00 00", 0x82},
    {"36 06 0001 'a' 0001 00", 0x81},
    {"38 04 0001 'a' 00", 0x81},
    {"30 00", 0x81},
    {"30 03 0005 'a'", 0x81},
    {"30 04 0001 '+' 00", 0x82},
    {"30 04 0001 00 00", 0x81},
    {"30 04 0001 ff 00", 0x81},
    {"30 03 0000 00", 0x82},
    {"32 06 0001 'a' 0000 00", 0x82},
    {"30 07 0001 'a' 03 23 0000", 0x82},
    {"30 07 0001 'a' 03 23 0004", 0x94},
    {"30 0f 0009 '123456789' 03 23 0001", 0x94},
    {"30 06 0000 03 23 0001", 0x82},
    {"30 06 0001 'a' 02 01 02", 0x82},
    {"30 08 0001 'a' 04 01 00 01 00", 0x82},
    {"30 07 0001 'a' 03 13 0001", 0x81},
    {"30 07 0001 'a' 09 01 0001", 0x81},
    {"30 ff ff ff ff 01", 0x81},
    {"40 03 0001 01", 0x82},
    {"62 01 00", 0x81},
    {"60 02 0001", 0x81},
    {"d0 01 00", 0x82},
    {"90 04 0001 00 00", 0x82},
    {"b0 04 0001 00 00", 0x82},
    {"f0 00", 0x82},
    {"f0 05 18 03 15 0000", 0x82},
    {"e0 01 04", 0x82},
    {"e0 07 00 05 11 00000000", 0x82},
    {"41 02 0001", 0x81},
    {"90 80 80 01", 0x95},
};

static void offences_are_answered_with_their_reason(void **state)
{
    (void)state; /* [MQTT-4.13.1-1] */
    kit.options.aliases = &aliases;
    for (size_t i = 0; i < NOC_COUNT(offences); i++) {
        char events[64], wire[32];

        kit.options.outbox = noc_ring_outbox_init(&ring, box_bytes, sizeof box_bytes);
        open_version(5);
        kit_feed(&kit, offences[i].packet);
        snprintf(events, sizeof events, "closed 11 %u: \n", offences[i].reason);
        snprintf(wire, sizeof wire, "e0 01 %02x", offences[i].reason);
        expect_events(&kit, events);
        expect_wire(&kit, wire);
        assert_true(noc_client_fault(&kit.client)[0] != '\0');
        assert_int_equal(noc_client_state(&kit.client), NOC_CLIENT_IDLE);
    }
}

static void a_limit_that_was_announced_is_held_to(void **state)
{
    (void)state; /* [MQTT-3.1.2-24] */
    kit.options.connect_props = noc_slice("\x27\x00\x00\x00\x0a", 5);
    open_version(5);
    kit_feed(&kit, "30 08 0001 'a' 00 'abcd'");
    kit_feed(&kit, "30 09 0001 'a' 00 'abcde'");
    expect_events(&kit, "message a q0 4:abcd\nclosed 11 149: \n");
    expect_wire(&kit, "e0 01 95");
}

/* ---- pieces and buffers ---- */

static uint8_t script[4096];

static size_t put(size_t at, const char *text)
{
    return at + kit_bytes(text, script + at, sizeof script - at);
}

static size_t put_large(size_t at, const char *head, size_t payload_n)
{
    at = put(at, head);
    for (size_t i = 0; i < payload_n; i++) {
        script[at++] = (uint8_t)('a' + i % 26);
    }
    return at;
}

/* A conversation with all that a server may say, messages larger than small buffers among it. */
static size_t write_script(unsigned version)
{
    bool is_v5 = version == 5;
    size_t n = 0;

    n = put(n, is_v5 ? "20 03 00 00 00" : "20 02 00 00");
    n = put(n, is_v5 ? "30 05 0001 'a' 00 'x'" : "30 04 0001 'a' 'x'");
    n = put_large(n, is_v5 ? "32 b7 04 0003 'b/c' 0021 04 03 0001 't'" : "32 b3 04 0003 'b/c' 0021",
        is_v5 ? 555 : 556);
    n = put(n, "d0 00");
    n = put_large(
        n, is_v5 ? "34 f9 01 0001 'd' 0022 00" : "34 f9 01 0001 'd' 0022", is_v5 ? 243 : 244);
    n = put_large(
        n, is_v5 ? "3c f9 01 0001 'd' 0022 00" : "3c f9 01 0001 'd' 0022", is_v5 ? 243 : 244);
    n = put(n, "62 02 0022");
    n = put_large(
        n, is_v5 ? "34 b6 04 0001 'e' 0023 00" : "34 b6 04 0001 'e' 0023", is_v5 ? 560 : 561);
    n = put_large(
        n, is_v5 ? "3c b6 04 0001 'e' 0023 00" : "3c b6 04 0001 'e' 0023", is_v5 ? 560 : 561);
    n = put(n, is_v5 ? "62 03 0023 00 30 04 0001 'z' 00" : "62 02 0023 30 03 0001 'z'");
    return n;
}

static char events_before[KIT_TEXT_MAX];
static uint8_t wire_before[KIT_WIRE_MAX];
static size_t events_before_n, wire_before_n;

static void run_script(
    unsigned version, size_t n, size_t in_room, size_t out_room, size_t first, size_t piece)
{
    kit.options.version = (uint8_t)version;
    kit.joins_chunks = true;
    memset(received, 0, sizeof received);
    kit_open(&kit, in_room, out_room);
    kit.events_n = kit.wire_n = 0;
    kit.piece = 0;
    kit_start(&kit);
    assert_int_equal(kit_feed_bytes(&kit, script, first), first);
    kit.piece = piece;
    assert_int_equal(kit_feed_bytes(&kit, script + first, n - first), n - first);
    kit_run(&kit);
}

static void keep(void)
{
    memcpy(events_before, kit.events, kit.events_n);
    memcpy(wire_before, kit.wire, kit.wire_n);
    events_before_n = kit.events_n;
    wire_before_n = kit.wire_n;
}

static void compare(void)
{
    kit.events[kit.events_n] = events_before[events_before_n] = '\0';
    assert_string_equal(kit.events, events_before);
    assert_int_equal(kit.wire_n, wire_before_n);
    assert_memory_equal(kit.wire, wire_before, wire_before_n);
}

static void how_bytes_come_and_go_makes_no_difference(void **state)
{
    (void)state;
    for (unsigned version = 4; version <= 5; version++) {
        size_t n = write_script(version);

        run_script(version, n, 4096, 4096, n, 0);
        assert_int_equal(noc_client_state(&kit.client), NOC_CLIENT_OPEN);
        keep();
        for (size_t first = 0; first <= n; first++) {
            run_script(version, n, 4096, 4096, first, 0);
            compare();
        }
        for (size_t in_room = 256; in_room < 650; in_room++) {
            run_script(version, n, in_room, 128, n, 0);
            compare();
        }
        for (size_t piece = 1; piece < 40; piece++) {
            run_script(version, n, 256, 128, 0, piece);
            compare();
        }
    }
}

static void a_large_message_comes_in_chunks(void **state)
{
    (void)state;
    open_version(4);
    put_large(0, "32 b3 04 0003 'b/c' 0021", 556);
    assert_int_equal(kit_feed_bytes(&kit, script, 300), 300);
    expect_events(&kit, "message b/c q1 id 33 556:...\n");
    expect_wire(&kit, "");
    assert_int_equal(kit_feed_bytes(&kit, script + 300, 266), 266);
    assert_int_equal(kit.last.kind, NOC_EVENT_MESSAGE_END);
    expect_wire(&kit, "40 02 0021");
}

static void a_message_cut_off_by_the_end_is_not_acknowledged(void **state)
{
    (void)state;
    kit.options.keep_session = true;
    open_version(4);
    put_large(0, "34 b3 04 0003 'b/c' 0021", 556);
    assert_int_equal(kit_feed_bytes(&kit, script, 300), 300);
    noc_client_lost(&kit.client);
    kit_run(&kit);
    expect_events(&kit, "message b/c q2 id 33 556:...\nclosed 2 0: \n");
    assert_int_equal(received[0], 0);
    kit_connect(&kit, "20 02 01 00");
    script[0] |= 8;
    assert_int_equal(kit_feed_bytes(&kit, script, 566), 566);
    assert_int_equal(kit.last.kind, NOC_EVENT_MESSAGE_END);
    expect_wire(&kit, "50 02 0021");
    assert_int_equal(received[0], 0x21);
}

static void a_head_that_does_not_fit_is_an_offence(void **state)
{
    (void)state;
    open_version(5);
    put_large(0, "30 ff 7f 0100", 400);
    kit_feed_bytes(&kit, script, 400);
    expect_events(&kit, "closed 11 149: \n");
    expect_wire(&kit, "e0 01 95");
    open_version(5);
    put_large(0, "30 ff 7f 0001 'a' 90 02 26 0001", 400);
    kit_feed_bytes(&kit, script, 400);
    expect_events(&kit, "closed 11 149: \n");
    open_version(5);
    put_large(0, "30 ff 7f 0001 'a' 80 00 26 0001", 400);
    kit_feed_bytes(&kit, script, 400);
    expect_events(&kit, "closed 11 129: \n");
}

/* ---- authentication ---- */

static char steps[256];
static int step_result, finish_result;

static int auth_step(void *context, struct noc_slice data, uint8_t *at, size_t room)
{
    size_t n = strlen(steps);

    assert_ptr_equal(context, &kit);
    snprintf(steps + n, sizeof steps - n, "step %.*s\n", NOC_SLICE_ARG(data));
    if (step_result < 0) {
        return step_result;
    }
    assert_true(room >= 3);
    memcpy(at, "yes", 3);
    return 3;
}

static int auth_finish(void *context, struct noc_slice data)
{
    size_t n = strlen(steps);

    assert_ptr_equal(context, &kit);
    snprintf(steps + n, sizeof steps - n, "finish %.*s\n", NOC_SLICE_ARG(data));
    return finish_result;
}

static const struct noc_client_auth auth = {{"M", 1}, auth_step, auth_finish, &kit};

static void start_auth(void)
{
    steps[0] = '\0';
    step_result = finish_result = 0;
    kit.events_n = kit.wire_n = 0;
    kit.options.version = 5;
    kit.options.received_max = 0;
    kit.options.auth = &auth;
    kit_open(&kit, 256, 128);
    kit_start(&kit);
    expect_wire(&kit, "10 19 0004 'MQTT' 05 02 002d 0a 15 0001 'M' 16 0003 'yes' 0002 'me'");
}

static void authentication_is_an_exchange(void **state)
{
    (void)state; /* [MQTT-4.12.0-3] */
    start_auth();
    kit_feed(&kit, "f0 0a 18 08 15 0001 'M' 16 0001 '1' f0 0a 18 08 15 0001 'M' 16 0001 '2'");
    expect_wire(
        &kit, "f0 0c 18 0a 15 0001 'M' 16 0003 'yes' f0 0c 18 0a 15 0001 'M' 16 0003 'yes'");
    kit_feed(&kit, "20 0b 00 00 08 15 0001 'M' 16 0001 '3'");
    expect_events(&kit, "connected\n");
    assert_string_equal(steps, "step \nstep 1\nstep 2\nfinish 3\n");

    assert_int_equal(noc_client_authenticate(&kit.client), NOC_OK);
    assert_int_equal(noc_client_authenticate(&kit.client), NOC_EINVAL);
    kit_run(&kit);
    expect_wire(&kit, "f0 0c 19 0a 15 0001 'M' 16 0003 'yes'");
    kit_feed(&kit, "f0 0a 18 08 15 0001 'M' 16 0001 '4' f0 06 00 04 15 0001 'M'");
    expect_events(&kit, "authenticated\n");
    kit_feed(&kit, "f0 06 00 04 15 0001 'M'");
    expect_events(&kit, "closed 11 130: \n");
}

static void who_can_not_prove_it_is_given_up(void **state)
{
    static const char *const bad[] = {"f0 06 18 04 15 0001 'N'", "f0 06 19 04 15 0001 'M'",
        "f0 06 00 04 15 0001 'M'", "f0 02 18 00"};

    (void)state;
    for (size_t i = 0; i < NOC_COUNT(bad); i++) {
        start_auth();
        kit_feed(&kit, bad[i]);
        expect_events(&kit, "closed 11 130: \n");
    }
    start_auth();
    step_result = NOC_EINVAL;
    kit_feed(&kit, "f0 06 18 04 15 0001 'M'");
    expect_events(&kit, "closed 12 0: \n");
    expect_wire(&kit, "e0 01 80");
    start_auth();
    finish_result = NOC_EDENIED;
    kit_feed(&kit, "20 07 00 00 04 15 0001 'M'");
    expect_events(&kit, "closed 12 0: \n");
    start_auth();
    kit_feed(&kit, "20 03 00 00 00"); /* [MQTT-4.12.0-5] */
    expect_events(&kit, "closed 12 0: \n");
    start_auth();
    noc_client_lost(&kit.client);
    kit_run(&kit);
    step_result = NOC_EIO;
    assert_int_equal(noc_client_start(&kit.client, kit.now_ms), NOC_EIO);
}

static void note(void *context, bool is_outgoing, const uint8_t *packet, size_t n)
{
    size_t at = strlen(steps);

    (void)context;
    snprintf(steps + at, sizeof steps - at, "%c%02x%zu ", is_outgoing ? '>' : '<', packet[0], n);
}

static void packets_are_shown_to_who_wants_to_see_them(void **state)
{
    struct noc_client_message message = {.topic = {"t", 1}, .qos = 1};

    (void)state;
    steps[0] = '\0';
    kit.options.trace = note;
    kit.options.outbox = noc_ring_outbox_init(&ring, box_bytes, sizeof box_bytes);
    open_version(4);
    assert_int_equal(noc_client_publish(&kit.client, &message, NULL), NOC_OK);
    kit_run(&kit);
    put_large(0, "32 b3 04 0003 'b/c' 0021", 556);
    kit_feed_bytes(&kit, script, 566);
    assert_string_equal(steps, ">1016 <204 >327 <3210 >404 ");
}

/* Reads all that it is shown, so that a sanitizer sees where that ends. */
static void weigh(void *context, bool is_outgoing, const uint8_t *packet, size_t n)
{
    (void)context;
    (void)is_outgoing;
    for (size_t i = 0; i < n; i++) {
        steps[0] = (char)(steps[0] ^ packet[i]);
    }
}

static void a_server_that_takes_next_to_nothing_is_answered_all_the_same(void **state)
{
    (void)state;
    kit.options.version = 5;
    kit_open(&kit, 256, 128);
    kit_connect(&kit, "20 08 00 00 05 27 00000003");
    kit_feed(&kit, "34 07 0001 'a' 0021 00 'x'");
    kit_feed(&kit, "62 02 0021");
    expect_wire(&kit, "50 02 0021 70 02 0021");
    assert_int_equal(noc_client_wait_ms(&kit.client, kit.now_ms), 45000);
}

static void a_large_message_in_front_of_connack_is_an_offence_right_away(void **state)
{
    (void)state;
    kit.options.trace = weigh;
    kit_open(&kit, 256, 128);
    kit_start(&kit);
    kit_feed(&kit, "30 ff ff ff 7f");
    expect_events(&kit, "closed 11 149: \n");
}

static void authentication_waits_for_a_message_that_is_half_written(void **state)
{
    static const char payload[300];
    struct noc_client_message message = {
        .topic = {"t", 1}, .payload = {payload, sizeof payload}, .qos = 1};
    struct noc_event event;
    size_t n;

    (void)state;
    kit.options.outbox = noc_ring_outbox_init(&ring, box_bytes, sizeof box_bytes);
    start_auth();
    kit_feed(&kit, "20 0b 00 00 08 15 0001 'M' 16 0001 '3'");
    assert_int_equal(noc_client_authenticate(&kit.client), NOC_OK);
    assert_int_equal(noc_client_publish(&kit.client, &message, NULL), NOC_OK);
    kit.wire_n = 0;
    /* AUTH and the first part of the message have gone when the server's AUTH comes. */
    noc_client_peek(&kit.client, kit.now_ms, &n);
    assert_int_equal(n, 128);
    noc_client_sent(&kit.client, n, kit.now_ms);
    kit.events_n = 0;
    memcpy(noc_client_room(&kit.client, &n),
        "\xf0\x0a\x18\x08\x15\0\1M\x16\0\1"
        "4",
        12);
    noc_client_received(&kit.client, 12, kit.now_ms);
    assert_false(noc_client_next(&kit.client, kit.now_ms, &event));
    kit_run(&kit);
    expect_events(&kit, "");
    assert_int_equal(kit.wire_n, 14 + 309 - 128 + 14);
    kit_feed(&kit, "f0 06 00 04 15 0001 'M'");
    expect_events(&kit, "authenticated\n");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
    static const struct CMUnitTest tests[] = {
        T(messages_are_told_and_acknowledged),
        T(a_message_is_acknowledged_after_the_application_had_it),
        T(ids_of_qos_2_outlive_the_connection_with_the_session_only),
        T(more_than_was_announced_is_an_offence),
        T(aliases_stand_for_topics),
        T(offences_are_answered_with_their_reason),
        T(a_limit_that_was_announced_is_held_to),
        T(how_bytes_come_and_go_makes_no_difference),
        T(a_large_message_comes_in_chunks),
        T(a_message_cut_off_by_the_end_is_not_acknowledged),
        T(a_head_that_does_not_fit_is_an_offence),
        T(authentication_is_an_exchange),
        T(who_can_not_prove_it_is_given_up),
        T(packets_are_shown_to_who_wants_to_see_them),
        T(a_server_that_takes_next_to_nothing_is_answered_all_the_same),
        T(a_large_message_in_front_of_connack_is_an_offence_right_away),
        T(authentication_waits_for_a_message_that_is_half_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
