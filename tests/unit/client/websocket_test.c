/* SPDX-License-Identifier: Apache-2.0 */
/* MQTT over WebSocket: the same conversations, in frames of every size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/macros.h"
#include "kit.h"
#include "ws/client.h"
#include "ws/sha1.h"

static struct kit kit;
static struct noc_client_websocket websocket;
static uint16_t received[4];
static uint8_t bytes[1 << 16];
static size_t bytes_n;

static int begin(void **state)
{
    (void)state;
    kit_init(&kit);
    memset(received, 0, sizeof received);
    websocket = (struct noc_client_websocket){
        .host = noc_slice_of("example.com"), .path = noc_slice_of("/mqtt")};
    kit.options.websocket = &websocket;
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

static int sha1(const void *at, size_t n, uint8_t ret_digest[20])
{
    uint32_t words[NOC_SHA1_ROOM];
    const uint32_t *digest;
    char text[64];

    assert_in_range(n, 56, 63);
    memcpy(text, at, n);
    text[n] = '\x80';
    digest = noc_sha1(text, (unsigned)n, words);
    for (unsigned i = 0; i < NOC_SHA1_WORDS; i++) {
        noc_put_u32(ret_digest + (size_t)4 * i, digest[i]);
    }
    return NOC_OK;
}

/* The answer to the request that was written. */
static void make_answer(const char *more)
{
    char accept[NOC_WS_ACCEPT_SIZE];
    const char *key;
    int n;

    kit.wire[kit.wire_n] = '\0';
    key = strstr((const char *)kit.wire, "Sec-WebSocket-Key: ");
    assert_non_null(key);
    assert_int_equal(noc_ws_accept_compute(sha1, noc_slice(key + 19, 24), accept), NOC_OK);
    n = snprintf((char *)bytes, sizeof bytes,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: %.*s\r\n%s\r\n",
        (int)sizeof accept, accept, more);
    bytes_n = (size_t)n;
}

static void put(const void *at, size_t n)
{
    assert_true(n <= sizeof bytes - bytes_n);
    if (n > 0) {
        memcpy(bytes + bytes_n, at, n);
    }
    bytes_n += n;
}

static void put_frame(unsigned first, const uint8_t *payload, size_t n)
{
    uint8_t head[4] = {(uint8_t)first, (uint8_t)(n < 126 ? n : 126)};

    if (n >= 126) {
        noc_put_u16(head + 2, (uint16_t)n);
    }
    put(head, n < 126 ? 2 : 4);
    put(payload, n);
}

/* Packets in frames of that size, with a ping in front of each but the first. */
static void put_packets(const char *text, size_t frame, bool with_pings)
{
    uint8_t packets[4096];
    size_t n = kit_bytes(text, packets, sizeof packets), size = frame == 0 ? n : frame;

    for (size_t at = 0; at < n; at += size) {
        if (with_pings && at > 0) {
            put_frame(0x89, (const uint8_t *)"are you there?", at % 15);
        }
        put_frame(0x82, packets + at, n - at < size ? n - at : size);
    }
}

/* What was written, without its frames; each of them must be masked. Returns the pongs. */
static unsigned unframe(void)
{
    static uint8_t plain[KIT_WIRE_MAX];
    size_t plain_n = 0;
    unsigned pongs = 0;

    for (size_t at = 0; at < kit.wire_n;) {
        const uint8_t *head = kit.wire + at;
        size_t n = head[1] & 0x7f, size = 2;

        assert_true((head[1] & 0x80) != 0);
        if (n == 126) {
            n = noc_get_u16(head + 2);
            size = 4;
        }
        assert_true(n < 127 || size == 4);
        for (size_t i = 0; i < n; i++) {
            plain[plain_n + i] = head[size + 4 + i] ^ head[size + i % 4];
        }
        if (head[0] == 0x8a) {
            assert_memory_equal(plain + plain_n, "are you there?", n);
            pongs++;
        } else if (head[0] == 0x88) {
            assert_int_equal(n % 2, 0);
            memcpy(plain + plain_n + n, "close", 5);
            plain_n += n + 5;
        } else {
            assert_int_equal(head[0], 0x82);
            plain_n += n;
        }
        at += size + 4 + n;
        assert_true(at <= kit.wire_n);
    }
    memcpy(kit.wire, plain, plain_n);
    kit.wire_n = plain_n;
    return pongs;
}

static void upgrade(const char *more)
{
    kit.events_n = kit.wire_n = 0;
    kit_start(&kit);
    assert_int_equal(noc_client_state(&kit.client), NOC_CLIENT_UPGRADING);
    make_answer(more);
    kit.wire_n = 0;
}

static void open_it(size_t in_room, size_t out_room, unsigned version)
{
    kit.options.version = (uint8_t)version;
    kit_open(&kit, in_room, out_room);
    upgrade("Sec-WebSocket-Protocol: mqtt\r\n");
    put_packets(version == 5 ? "20 03 00 00 00" : "20 02 00 00", 0, false);
    assert_int_equal(kit_feed_bytes(&kit, bytes, bytes_n), bytes_n);
    expect_events(&kit, "connected\n");
    kit.wire_n = 0;
    bytes_n = 0;
}

static void feed(void)
{
    assert_int_equal(kit_feed_bytes(&kit, bytes, bytes_n), bytes_n);
    bytes_n = 0;
}

static void a_request_goes_before_connect(void **state)
{
    (void)state;
    websocket.user_agent = noc_slice_of("test/1");
    websocket.headers = noc_slice_of("X-A: b\r\n");
    kit_open(&kit, 512, 384);
    kit_start(&kit);
    kit.wire[kit.wire_n] = '\0';
    assert_non_null(strstr((char *)kit.wire, "GET /mqtt HTTP/1.1\r\n"));
    assert_non_null(strstr((char *)kit.wire, "\r\nHost: example.com\r\n"));
    assert_non_null(strstr((char *)kit.wire, "\r\nX-A: b\r\n"));
    assert_non_null(strstr((char *)kit.wire, "test/1"));
    make_answer("Sec-WebSocket-Protocol: mqtt\r\n");
    kit.wire_n = 0;
    feed();
    assert_int_equal(unframe(), 0);
    expect_wire(&kit, "10 0e 0004 'MQTT' 04 02 002d 0002 'me'");
    assert_int_equal(noc_client_state(&kit.client), NOC_CLIENT_CONNECTING);
}

static void a_refusal_is_told_with_status_and_cause(void **state)
{
    static const struct {
        const char *answer, *events;
        unsigned retry_after_s;
    } cases[] = {
        {"HTTP/1.1 403 Forbidden\r\ncf-mitigated: challenge\r\n\r\nbody", "closed 6 403: body\n",
            0},
        {"HTTP/1.1 503 Busy\r\nRetry-After: 17\r\n\r\n", "closed 6 503: \n", 17},
        {"HTTP/1.1 530 \r\n\r\n1033", "closed 6 530: 1033\n", 0},
        {"HTTP/1.1 200 OK\r\n\r\n", "closed 6 200: \n", 0},
        {"HTTP/1.1 101 OK\r\n\r\n", NULL, 0},
        {"\x16\x03\x01\x02\r\n", "closed 7 0: \x16\x03\x01\x02\r\n\n", 0},
    };

    (void)state;
    kit_open(&kit, 512, 384);
    for (size_t i = 0; i < NOC_COUNT(cases); i++) {
        upgrade("");
        bytes_n = 0;
        put(cases[i].answer, strlen(cases[i].answer));
        kit_feed_bytes(&kit, bytes, bytes_n);
        if (cases[i].events != NULL) {
            expect_events(&kit, cases[i].events);
        } else {
            assert_int_equal(kit.last.cause.kind, NOC_CAUSE_UPGRADE);
            assert_int_equal(kit.last.cause.code, NOC_WS_ANSWER_UPGRADE);
        }
        assert_int_equal(kit.last.cause.retry_after_s, cases[i].retry_after_s);
        assert_true(strlen(noc_cause_text(&kit.last.cause)) > 5);
    }
    upgrade(""); /* no subprotocol */
    feed();
    assert_int_equal(kit.last.cause.kind, NOC_CAUSE_UPGRADE);
    assert_int_equal(kit.last.cause.code, NOC_WS_ANSWER_NO_SUBPROTOCOL);
    upgrade("Sec-WebSocket-Protocol: mqtt\r\n");
    bytes[strlen("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 "Sec-WebSocket-Accept: ")] ^= 1;
    feed();
    assert_int_equal(kit.last.cause.code, NOC_WS_ANSWER_ACCEPT);
}

static void an_upgrade_without_an_answer_ends(void **state)
{
    (void)state;
    kit_open(&kit, 512, 384);
    upgrade("");
    kit.now_ms += 9999;
    kit_run(&kit);
    expect_events(&kit, "");
    kit.now_ms += 1;
    kit_run(&kit);
    expect_events(&kit, "closed 3 0: \n");
    upgrade("");
    assert_int_equal(noc_client_disconnect(&kit.client, 0, noc_slice(NULL, 0), kit.now_ms), NOC_OK);
    kit_run(&kit);
    expect_events(&kit, "closed 1 0: \n");
    expect_wire(&kit, "");
}

/* Neither the proxy's pings nor our pongs reach the broker [MQTT-3.1.2-20]. */
static void pongs_do_not_stand_in_for_pingreq(void **state)
{
    (void)state;
    open_it(512, 384, 4);
    for (unsigned i = 0; i < 4; i++) {
        kit.now_ms += 11000;
        put_frame(0x89, (const uint8_t *)"are you there?", 14);
        feed();
        assert_int_equal(unframe(), 1);
        expect_wire(&kit, "");
        assert_int_equal(noc_client_wait_ms(&kit.client, kit.now_ms), 45000 - 11000 * (i + 1));
    }
    kit.now_ms += 1000;
    kit_run(&kit);
    assert_int_equal(unframe(), 0);
    expect_wire(&kit, "c0 00");
}

static char events_before[KIT_TEXT_MAX];
static uint8_t wire_before[KIT_WIRE_MAX];
static size_t wire_before_n;

static const char conversation[] =
    "30 04 0001 'a' 'x' 32 07 0001 'b' 0001 'yz' 34 06 0001 'c' 0002 'z' 62 02 0002 d0 00"
    "34 99 01 0001 'd' 0003 '0123456789012345678901234567890123456789012345678901234567890123456789"
    "012345678901234567890123456789012345678901234567890123456789012345678901234567' 62 02 0003";

/* The conversation in frames of that size; fed and taken in pieces. */
static unsigned converse(size_t in_room, size_t out_room, size_t frame, size_t piece)
{
    unsigned pongs;

    kit.piece = 0;
    kit.joins_chunks = true;
    memset(received, 0, sizeof received);
    open_it(in_room, out_room, 4);
    put_packets(conversation, frame, true);
    kit.piece = piece;
    feed();
    kit.piece = 0;
    kit_run(&kit);
    pongs = unframe();
    assert_int_equal(noc_client_state(&kit.client), NOC_CLIENT_OPEN);
    return pongs;
}

static void frames_and_pieces_make_no_difference(void **state)
{
    (void)state;
    assert_int_equal(converse(2048, 2048, 0, 0), 0);
    kit.events[kit.events_n] = '\0';
    memcpy(events_before, kit.events, kit.events_n + 1);
    memcpy(wire_before, kit.wire, wire_before_n = kit.wire_n);
    assert_true(wire_before_n == 6 * 4 + 4 - 4 - 4);
    for (size_t frame = 1; frame < 210; frame++) {
        for (size_t piece = 0; piece < 20; piece++) {
            unsigned pongs = converse(512, 384, frame, piece);

            kit.events[kit.events_n] = '\0';
            assert_string_equal(kit.events, events_before);
            assert_int_equal(kit.wire_n, wire_before_n);
            assert_memory_equal(kit.wire, wire_before, wire_before_n);
            assert_true(frame > 100 || pongs > 0);
        }
    }
}

static void a_close_is_answered_and_told(void **state)
{
    (void)state;
    open_it(512, 384, 4);
    put_packets("30 04 0001 'a' 'x'", 0, false);
    put_frame(0x88, (const uint8_t *)"\x03\xf0not here", 10);
    feed();
    assert_int_equal(unframe(), 0);
    expect_wire(&kit, "03f0 'close'");
    expect_events(&kit, "message a q0 1:x\nclosed 8 1008: not here\n");
}

static void goodbye_is_said_in_both_languages(void **state)
{
    (void)state;
    open_it(512, 384, 4);
    assert_int_equal(noc_client_disconnect(&kit.client, 0, noc_slice(NULL, 0), kit.now_ms), NOC_OK);
    kit_run(&kit);
    unframe();
    expect_wire(&kit, "e0 00 03e8 'close'");
    expect_events(&kit, "closed 1 0: \n");
}

static void bad_frames_end_the_connection(void **state)
{
    static const char *const bad[] = {
        "81 01 'x'", "82 81 00000000 00", "c2 00", "83 00", "09 00", "89 7e 0080", "80 01 00"};

    (void)state;
    for (size_t i = 0; i < NOC_COUNT(bad); i++) {
        open_it(512, 384, 5);
        bytes_n = kit_bytes(bad[i], bytes, sizeof bytes);
        kit_feed_bytes(&kit, bytes, bytes_n);
        assert_int_equal(kit.last.kind, NOC_EVENT_CLOSED);
        assert_int_equal(kit.last.cause.kind, NOC_CAUSE_PROTOCOL);
        assert_true(kit.last.cause.code >= 1002);
        unframe();
        assert_memory_equal(kit.wire + kit.wire_n - 5, "close", 5);
    }
}

static void much_goes_in_many_frames(void **state)
{
    struct noc_client_message message = {.topic = {"t", 1}, .payload = {NULL, 9000}};
    static char payload[9000];

    (void)state;
    open_it(512, 384, 4);
    memset(payload, 'p', sizeof payload);
    assert_int_equal(noc_client_publish_begin(&kit.client, &message, NULL), NOC_OK);
    for (size_t at = 0; at < sizeof payload;) {
        int n = noc_client_publish_chunk(&kit.client, payload + at, sizeof payload - at);

        assert_true(n >= 0);
        at += (size_t)n;
        kit_run(&kit);
    }
    unframe();
    assert_int_equal(kit.wire_n, 9000 + 6);
    assert_int_equal(kit.wire[9005], 'p');
}

static void a_ping_is_answered_between_the_pieces_of_a_message(void **state)
{
    struct noc_client_message message = {.topic = {"t", 1}, .payload = {NULL, 4}};

    (void)state;
    open_it(512, 384, 4);
    assert_int_equal(noc_client_publish_begin(&kit.client, &message, NULL), NOC_OK);
    assert_int_equal(noc_client_publish_chunk(&kit.client, "ab", 2), 2);
    kit.is_stuck = true;
    put_frame(0x89, (const uint8_t *)"are you there?", 14);
    put_packets("30 04 0001 'a' 'x'", 0, false);
    feed();
    expect_events(&kit, ""); /* there is no room for the pong */
    kit.is_stuck = false;
    kit_run(&kit);
    expect_events(&kit, "message a q0 1:x\n");
    assert_int_equal(unframe(), 1);
    expect_wire(&kit, "30 07 0001 't' 'ab'");
    kit.wire_n = 0;
    assert_int_equal(noc_client_publish_chunk(&kit.client, "cd", 2), 2);
    kit_run(&kit);
    unframe();
    expect_wire(&kit, "'cd'");
}

static unsigned connects_traced;

static void trace(void *context, bool is_outgoing, const uint8_t *packet, size_t n)
{
    (void)context;
    connects_traced += is_outgoing && n > 0 && packet[0] == 0x10;
}

/* It waits for the answer where it was written. */
static void connect_is_made_once_and_must_fit_behind_the_request(void **state)
{
    enum { CONNECT_N = 16, BASE = 8 };
    size_t room;

    (void)state;
    kit_open(&kit, 512, 384);
    connects_traced = 0;
    kit.options.trace = trace;
    open_it(512, 384, 4);
    assert_int_equal(connects_traced, 1);
    kit.options.trace = NULL;

    websocket.headers = noc_slice(bytes, 384); /* what they are nobody asks here */
    memset(bytes, 'x', 384);
    kit_open(&kit, 512, 384);
    assert_int_equal(noc_client_start(&kit.client, 0), NOC_ETOOLARGE);
    assert_int_equal(noc_client_state(&kit.client), NOC_CLIENT_IDLE);
    kit_open(&kit, 512, 1024);
    kit_start(&kit);
    room = BASE + CONNECT_N + kit.wire_n;
    kit_open(&kit, 512, room - 1);
    assert_int_equal(noc_client_start(&kit.client, 0), NOC_ETOOLARGE);
    kit.wire_n = 0;
    kit_open(&kit, 512, room);
    kit_start(&kit);
    assert_int_equal(kit.wire_n, room - BASE - CONNECT_N);
}

/* The head of a message for the outbox is made where there is room behind what goes. */
static void what_is_published_during_the_upgrade_leaves_connect_alone(void **state)
{
    static const char topic[] = "a/topic/so/long/that/its/head/covers/all/of/connect";
    static uint32_t box_bytes[256];
    struct noc_client_message message = {
        .topic = noc_slice_of(topic), .payload = {"x", 1}, .qos = 1};
    struct noc_ring_outbox ring;

    (void)state;
    kit.options.outbox = noc_ring_outbox_init(&ring, box_bytes, sizeof box_bytes);
    kit_open(&kit, 512, 384);
    for (unsigned i = 0; i < 2; i++) {
        kit.is_stuck = i > 0; /* the request is written, or not */
        kit_start(&kit);
        assert_int_equal(noc_client_publish(&kit.client, &message, NULL), NOC_OK);
        kit.is_stuck = false;
        kit_run(&kit);
        make_answer("Sec-WebSocket-Protocol: mqtt\r\n");
        kit.wire_n = 0;
        feed();
        unframe();
        expect_wire(&kit, "10 0e 0004 'MQTT' 04 02 002d 0002 'me'");
        noc_client_lost(&kit.client);
        kit_run(&kit);
        expect_events(&kit, "closed 2 0: \n");
    }
    assert_int_equal(noc_client_publish(&kit.client, &message, NULL), NOC_OK);
}

static void without_a_host_nothing_is_asked(void **state)
{
    (void)state;
    kit_open(&kit, 512, 384);
    websocket.host = noc_slice(NULL, 0);
    assert_int_equal(noc_client_start(&kit.client, 0), NOC_EINVAL);
    websocket.host = noc_slice_of("h\n");
    assert_int_equal(noc_client_start(&kit.client, 0), NOC_EINVAL);
    websocket.host = noc_slice(conversation, sizeof conversation - 1);
    assert_int_equal(noc_client_start(&kit.client, 0), NOC_ETOOLARGE);
    assert_int_equal(noc_client_state(&kit.client), NOC_CLIENT_IDLE);
}

static void a_repeated_message_is_acknowledged_before_what_follows_it(void **state)
{
    static const char payload[384 - 8 - 6];
    struct noc_client_message message = {.topic = {"t", 1}, .payload = {payload, 367}};

    (void)state;
    open_it(512, 384, 4);
    /* In the session there is message 9, and its PUBREC was lost. */
    received[0] = 9;
    kit.client.received_count = 1;
    kit.is_stuck = true;
    assert_int_equal(noc_client_publish(&kit.client, &message, NULL), NOC_OK);
    put_packets("3c 06 0001 'a' 0009 'x'", 0, false);
    put_frame(0x8a, NULL, 0);
    put_packets("32 06 0001 'b' 000a 'y'", 0, false);
    feed();
    expect_events(&kit, "");
    kit.is_stuck = false;
    kit_run(&kit);
    expect_events(&kit, "message b q1 id 10 1:y\n");
    unframe();
    assert_int_equal(kit.wire_n, 373 + 8);
    assert_memory_equal(kit.wire + 373, "\x50\2\0\x09\x40\2\0\x0a", 8);
}

static void a_close_does_not_overtake_what_waits_for_room(void **state)
{
    static const char payload[384 - 8 - 6];
    struct noc_client_message message = {.topic = {"t", 1}, .payload = {payload, 366}};

    (void)state;
    open_it(512, 384, 5);
    kit.is_stuck = true;
    assert_int_equal(noc_client_publish(&kit.client, &message, NULL), NOC_OK);
    put_packets("50 02 0007 e0 01 8d", 0, false); /* its PUBREL has no room */
    put_frame(0x88, (const uint8_t *)"\x03\xe9", 2);
    feed();
    expect_events(&kit, "");
    kit.is_stuck = false;
    kit_run(&kit);
    expect_events(&kit, "closed 10 141: \n");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
    static const struct CMUnitTest tests[] = {
        T(a_request_goes_before_connect),
        T(a_refusal_is_told_with_status_and_cause),
        T(an_upgrade_without_an_answer_ends),
        T(frames_and_pieces_make_no_difference),
        T(a_close_is_answered_and_told),
        T(a_close_does_not_overtake_what_waits_for_room),
        T(pongs_do_not_stand_in_for_pingreq),
        T(goodbye_is_said_in_both_languages),
        T(bad_frames_end_the_connection),
        T(much_goes_in_many_frames),
        T(a_ping_is_answered_between_the_pieces_of_a_message),
        T(connect_is_made_once_and_must_fit_behind_the_request),
        T(what_is_published_during_the_upgrade_leaves_connect_alone),
        T(without_a_host_nothing_is_asked),
        T(a_repeated_message_is_acknowledged_before_what_follows_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
