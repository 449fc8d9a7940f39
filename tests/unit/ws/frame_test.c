/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "ws/frame.h"

#include "guard.h"

static struct guard guard;

/* What came out of a decoder: data joined, other events in order, as text. */
struct heard {
    char text[4096]; /* "ping(ab) close(1000,x) " */
    uint8_t data[262144];
    size_t data_n;
    int err;
    unsigned close_code;
};

static void note(struct heard *heard, const struct noc_ws_event *event)
{
    size_t at = strlen(heard->text);
    size_t room = sizeof heard->text - at;
    int n = (int)event->n;
    const char *bytes = n > 0 ? (const char *)event->at : "";

    switch (event->kind) {
    case NOC_WS_EVENT_DATA:
        assert_true(event->n > 0);
        assert_true(heard->data_n + event->n <= sizeof heard->data);
        memcpy(heard->data + heard->data_n, event->at, event->n);
        heard->data_n += event->n;
        break;
    case NOC_WS_EVENT_PING:
        /* The place of a control frame among the data is part of what is heard. */
        snprintf(heard->text + at, room, "%zu:ping(%.*s) ", heard->data_n, n, bytes);
        break;
    case NOC_WS_EVENT_PONG:
        snprintf(heard->text + at, room, "%zu:pong(%.*s) ", heard->data_n, n, bytes);
        break;
    case NOC_WS_EVENT_CLOSE:
        snprintf(
            heard->text + at, room, "%zu:close(%u,%.*s) ", heard->data_n, event->code, n, bytes);
        break;
    case NOC_WS_EVENT_NONE:
    default:
        break;
    }
}

/* Feed one span, in front of the guard page, until it is used up or an error ends it. */
static void feed(
    struct noc_ws_decoder *decoder, struct heard *heard, const uint8_t *bytes, size_t n)
{
    uint8_t *at = guard_put(&guard, bytes, n);

    while (n > 0 && heard->err == NOC_OK) {
        struct noc_ws_event event;
        size_t used = 0;

        heard->err = noc_ws_decode(decoder, at, n, &used, &event);
        if (heard->err == NOC_OK) {
            assert_true(used > 0 && used <= n);
            assert_true(event.kind != NOC_WS_EVENT_NONE || used == n);
            note(heard, &event);
            at += used;
            n -= used;
        }
    }
    heard->close_code = noc_ws_decoder_close_code(decoder);
}

static void assert_same(const struct heard *a, const struct heard *b)
{
    assert_string_equal(a->text, b->text);
    assert_int_equal(a->err, b->err);
    assert_int_equal(a->close_code, b->close_code);
    assert_int_equal(a->data_n, b->data_n);
    assert_memory_equal(a->data, b->data, a->data_n);
}

/* Decode the whole, then cut at every byte, then byte by byte: all must hear the same. */
static const struct heard *hear(enum noc_ws_side side, bool is_lenient, const void *bytes, size_t n)
{
    static struct heard whole, parts;
    struct noc_ws_decoder decoder;
    const uint8_t *at = bytes;

    memset(&whole, 0, sizeof whole);
    noc_ws_decoder_init(&decoder, side, is_lenient);
    feed(&decoder, &whole, at, n);
    for (size_t cut = 1; cut < n; cut++) {
        memset(&parts, 0, sizeof parts);
        noc_ws_decoder_init(&decoder, side, is_lenient);
        feed(&decoder, &parts, at, cut);
        feed(&decoder, &parts, at + cut, n - cut);
        assert_same(&whole, &parts);
    }
    memset(&parts, 0, sizeof parts);
    noc_ws_decoder_init(&decoder, side, is_lenient);
    for (size_t i = 0; i < n; i++) {
        feed(&decoder, &parts, at + i, 1);
    }
    assert_same(&whole, &parts);
    return &whole;
}

#define HEAR_SERVER(literal) hear(NOC_WS_SERVER, false, literal, sizeof(literal) - 1)
#define HEAR_CLIENT(literal) hear(NOC_WS_CLIENT, false, literal, sizeof(literal) - 1)

static void assert_heard(const struct heard *heard, const char *data, const char *text)
{
    assert_int_equal(heard->err, NOC_OK);
    assert_int_equal(heard->data_n, strlen(data));
    assert_memory_equal(heard->data, data, strlen(data));
    assert_string_equal(heard->text, text);
    assert_int_equal(heard->close_code, 0);
}

static void assert_broken(const struct heard *heard, unsigned code)
{
    assert_int_equal(heard->err, NOC_EPROTO);
    assert_int_equal(heard->close_code, code);
}

/* ---- RFC 6455, 5.7 ---- */

static void the_standards_examples_decode(void **state)
{
    (void)state;
    assert_heard(hear(NOC_WS_CLIENT, true, "\x81\x05Hello", 7), "Hello", "");
    assert_heard(
        hear(NOC_WS_SERVER, true, "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 11), "Hello", "");
    assert_heard(hear(NOC_WS_CLIENT, true, "\x01\x03Hel\x80\x02lo", 9), "Hello", "");
    assert_heard(HEAR_CLIENT("\x89\x05Hello"), "", "0:ping(Hello) ");
    assert_heard(HEAR_SERVER("\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), "", "0:pong(Hello) ");
}

static void the_standards_long_examples_decode(void **state)
{
    static uint8_t frame[10 + 65536];
    static const uint8_t head_256[] = {0x82, 0x7e, 0x01, 0x00};
    static const uint8_t head_64k[] = {0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0};
    static struct heard heard;
    struct noc_ws_decoder decoder;

    (void)state;
    memset(frame, 'x', sizeof frame);
    memcpy(frame, head_256, sizeof head_256);
    assert_int_equal(hear(NOC_WS_CLIENT, false, frame, sizeof head_256 + 256)->data_n, 256);

    memcpy(frame, head_64k, sizeof head_64k);
    memset(&heard, 0, sizeof heard);
    noc_ws_decoder_init(&decoder, NOC_WS_CLIENT, false);
    feed(&decoder, &heard, frame, sizeof frame);
    assert_int_equal(heard.err, NOC_OK);
    assert_int_equal(heard.data_n, 65536);
}

/* ---- fragments and control frames ---- */

static void fragments_may_have_control_frames_between(void **state)
{
    (void)state;
    assert_heard(HEAR_CLIENT("\x02\x02"
                             "ab"
                             "\x89\x01"
                             "p"
                             "\x00\x00"
                             "\x8a\x00"
                             "\x00\x01"
                             "c"
                             "\x80\x01"
                             "d"
                             "\x82\x01"
                             "e"
                             "\x88\x00"),
        "abcde", "2:ping(p) 2:pong() 5:close(1005,) ");
}

static void packets_may_share_and_span_frames(void **state)
{
    /* [MQTT-6.0.0-2]: two PINGREQ in a frame, a third in two: where frames end means nothing. */
    const struct heard *heard = HEAR_SERVER("\x82\x84\1\2\3\4\xc1\x02\xc3\x04"
                                            "\x82\x81\0\0\0\0\xc0"
                                            "\x82\x81\0\0\0\x1\0");

    (void)state;
    assert_int_equal(heard->err, NOC_OK);
    assert_int_equal(heard->data_n, 6);
    assert_memory_equal(heard->data, "\xc0\0\xc0\0\xc0\0", 6);
}

static void empty_frames_tell_nothing_but_count(void **state)
{
    (void)state;
    assert_heard(HEAR_SERVER("\x82\x80\1\2\3\4"), "", "");
    assert_heard(HEAR_SERVER("\x02\x80\1\2\3\4\x00\x80\1\2\3\4\x80\x81\0\0\0\0x"), "x", "");
    assert_broken(HEAR_SERVER("\x02\x80\1\2\3\4\x82\x80\1\2\3\4"), NOC_WS_CLOSE_PROTOCOL);
}

static void control_payload_may_be_125_bytes_and_empty(void **state)
{
    uint8_t frame[2 + 4 + 125] = {0x89, 0x80 | 125, 9, 8, 7, 6};
    char expected[160];

    (void)state;
    memset(frame + 6, 'q', 125);
    noc_ws_mask(frame + 6, 125, frame + 2, 0);
    snprintf(expected, sizeof expected, "0:ping(%s) ",
        "qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq"
        "qq"
        "qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq");
    assert_heard(hear(NOC_WS_SERVER, false, frame, sizeof frame), "", expected);
    assert_heard(HEAR_SERVER("\x89\x80\1\2\3\4\x8a\x80\1\2\3\4"), "", "0:ping() 0:pong() ");
}

static void data_of_a_frame_that_is_partly_here_is_given_at_once(void **state)
{
    /* A frame of 2^62 bytes: the decoder holds nothing of it. */
    uint8_t begun[] = {0x82, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 'a', 'b', 'c'};
    uint8_t more[] = {'d'};
    struct noc_ws_decoder decoder;
    struct noc_ws_event event;
    size_t used;

    (void)state;
    noc_ws_decoder_init(&decoder, NOC_WS_SERVER, false);
    assert_int_equal(noc_ws_decode(&decoder, begun, sizeof begun, &used, &event), NOC_OK);
    assert_int_equal(used, sizeof begun);
    assert_int_equal(event.kind, NOC_WS_EVENT_DATA);
    assert_ptr_equal(event.at, begun + 14);
    assert_int_equal(event.n, 3);
    assert_int_equal(noc_ws_decode(&decoder, more, 1, &used, &event), NOC_OK);
    assert_int_equal(event.kind, NOC_WS_EVENT_DATA);
    assert_ptr_equal(event.at, more);
    assert_int_equal(event.n, 1);
    assert_int_equal(noc_ws_decode(&decoder, more, 0, &used, &event), NOC_OK);
    assert_int_equal(event.kind, NOC_WS_EVENT_NONE);
    assert_int_equal(used, 0);
}

/* ---- rules broken ---- */

static void reserved_bits_and_opcodes_are_refused(void **state)
{
    (void)state;
    assert_broken(HEAR_SERVER("\xc2\x80\0\0\0\0"), 1002);
    assert_broken(HEAR_SERVER("\xa2\x80\0\0\0\0"), 1002);
    assert_broken(HEAR_SERVER("\x92\x80\0\0\0\0"), 1002);
    for (unsigned opcode = 0; opcode < 16; opcode++) {
        uint8_t frame[] = {(uint8_t)(0x80 | opcode), 0x80, 0, 0, 0, 0};
        bool is_reserved = (opcode >= 3 && opcode <= 7) || opcode >= 11;

        assert_int_equal(hear(NOC_WS_SERVER, true, frame, sizeof frame)->err,
            is_reserved || opcode == NOC_WS_CONTINUATION ? NOC_EPROTO : NOC_OK);
    }
}

static void the_mask_is_the_clients_duty_alone(void **state)
{
    (void)state;
    assert_broken(HEAR_SERVER("\x82\x01"
                              "a"),
        1002);
    assert_broken(HEAR_SERVER("\x89\x00"), 1002);
    assert_broken(HEAR_CLIENT("\x82\x81\1\2\3\4a"), 1002);
    assert_broken(HEAR_CLIENT("\x88\x80\1\2\3\4"), 1002);
}

static void control_frames_are_short_and_whole(void **state)
{
    (void)state;
    assert_broken(HEAR_CLIENT("\x89\x7e\x00\x7e"), 1002);
    assert_broken(HEAR_CLIENT("\x88\x7f\0\0\0\0\0\1\0\0"), 1002);
    assert_broken(HEAR_CLIENT("\x09\x01"
                              "a"),
        1002);
    assert_broken(HEAR_CLIENT("\x08\x00"), 1002);
    assert_broken(HEAR_CLIENT("\x0a\x00"), 1002);
}

static void fragments_come_in_order(void **state)
{
    (void)state;
    assert_broken(HEAR_CLIENT("\x80\x01"
                              "a"),
        1002);
    assert_broken(HEAR_CLIENT("\x00\x01"
                              "a"),
        1002);
    assert_broken(HEAR_CLIENT("\x82\x01"
                              "a"
                              "\x80\x01"
                              "b"),
        1002);
    assert_broken(HEAR_CLIENT("\x02\x01"
                              "a"
                              "\x02\x01"
                              "b"),
        1002);
    assert_broken(HEAR_CLIENT("\x02\x01"
                              "a"
                              "\x80\x01"
                              "b"
                              "\x80\x01"
                              "c"),
        1002);
    assert_broken(hear(NOC_WS_CLIENT, true,
                      "\x02\x01"
                      "a"
                      "\x81\x01"
                      "b",
                      6),
        1002);
}

static void text_is_refused_unless_lenient(void **state)
{
    (void)state;
    /* [MQTT-6.0.0-1]. */
    assert_broken(HEAR_SERVER("\x81\x81\0\0\0\0a"), NOC_WS_CLOSE_UNSUPPORTED);
    assert_broken(HEAR_SERVER("\x01\x81\0\0\0\0a"), NOC_WS_CLOSE_UNSUPPORTED);
    assert_heard(hear(NOC_WS_SERVER, true, "\x81\x81\0\0\0\0a", 7), "a", "");
    /* MQTT in a text frame is no UTF-8. */
    assert_heard(hear(NOC_WS_SERVER, true, "\x81\x81\0\0\0\0\xff", 7), "\xff", "");
}

static void lengths_are_in_their_shortest_form(void **state)
{
    (void)state;
    assert_broken(HEAR_CLIENT("\x82\x7e\x00\x00"), 1002);
    assert_broken(HEAR_CLIENT("\x82\x7e\x00\x7d"), 1002);
    assert_heard(HEAR_CLIENT("\x82\x7e\x00\x7e"), "", "");
    assert_broken(HEAR_CLIENT("\x82\x7f\0\0\0\0\0\0\xff\xff"), 1002);
    assert_heard(HEAR_CLIENT("\x82\x7f\0\0\0\0\0\1\0\0"), "", "");
    assert_broken(HEAR_CLIENT("\x82\x7f\x80\0\0\0\0\0\0\0"), 1002);
    assert_heard(HEAR_CLIENT("\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff"), "", "");
}

static void an_error_is_told_as_soon_as_it_can_be(void **state)
{
    uint8_t bytes[] = {0xc2};
    struct noc_ws_decoder decoder;
    struct noc_ws_event event = {.n = 77};
    size_t used = 77;

    (void)state;
    noc_ws_decoder_init(&decoder, NOC_WS_SERVER, false);
    assert_int_equal(noc_ws_decode(&decoder, bytes, 1, &used, &event), NOC_EPROTO);
    assert_int_equal(used, 77);
    assert_int_equal(event.n, 77);
    assert_string_equal(noc_ws_decoder_fault_text(&decoder), "reserved bit set in a frame");
}

static void what_came_before_an_error_is_given_out_and_the_error_stays(void **state)
{
    uint8_t bytes[] = {0x82, 1, 'a', 0xc2, 0, 0x82, 1, 'b'};
    uint8_t good[] = {0x82, 1, 'a'};
    struct noc_ws_decoder decoder;
    struct noc_ws_event event;
    size_t used;

    (void)state;
    noc_ws_decoder_init(&decoder, NOC_WS_CLIENT, false);
    assert_int_equal(noc_ws_decode(&decoder, bytes, sizeof bytes, &used, &event), NOC_OK);
    assert_int_equal(event.kind, NOC_WS_EVENT_DATA);
    assert_int_equal(used, 3);
    assert_int_equal(
        noc_ws_decode(&decoder, bytes + used, sizeof bytes - used, &used, &event), NOC_EPROTO);
    assert_int_equal(noc_ws_decode(&decoder, good, sizeof good, &used, &event), NOC_EPROTO);
    assert_int_equal(noc_ws_decoder_close_code(&decoder), 1002);
}

/* ---- close ---- */

static const struct heard *hear_close(unsigned code, const void *reason, size_t reason_n)
{
    uint8_t frame[2 + 125] = {0x88, (uint8_t)(2 + reason_n), (uint8_t)(code >> 8), (uint8_t)code};

    if (reason_n > 0) {
        memcpy(frame + 4, reason, reason_n);
    }
    return hear(NOC_WS_CLIENT, false, frame, 4 + reason_n);
}

static void close_codes_are_checked(void **state)
{
    static const unsigned good[] = {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012,
        1013, 1014, 3000, 3999, 4000, 4999};
    static const unsigned bad[] = {
        0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535};

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        char expected[40];

        snprintf(expected, sizeof expected, "0:close(%u,ok) ", good[i]);
        assert_heard(hear_close(good[i], "ok", 2), "", expected);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_broken(hear_close(bad[i], "", 0), 1002);
    }
}

static void close_may_be_empty_but_not_one_byte(void **state)
{
    (void)state;
    assert_heard(HEAR_CLIENT("\x88\x00"), "", "0:close(1005,) ");
    assert_heard(HEAR_SERVER("\x88\x82\0\0\0\0\x03\xe8"), "", "0:close(1000,) ");
    assert_broken(HEAR_CLIENT("\x88\x01\x03"), 1002);
}

static void close_reason_is_utf8(void **state)
{
    (void)state;
    assert_heard(
        hear_close(1000, "gr\xc3\xbc\xc3\x9f", 6), "", "0:close(1000,gr\xc3\xbc\xc3\x9f) ");
    assert_int_equal(hear_close(1000, "a\0b", 3)->err, NOC_OK);
    assert_int_equal(hear_close(1000, "\0", 1)->err, NOC_OK);
    assert_broken(hear_close(1000, "\xc3", 1), NOC_WS_CLOSE_BAD_DATA);
    assert_broken(hear_close(1000, "a\0\xff", 3), NOC_WS_CLOSE_BAD_DATA);
    assert_broken(hear_close(1000, "\xed\xa0\x80", 3), NOC_WS_CLOSE_BAD_DATA);
    assert_broken(hear_close(1000, "\xc0\xaf", 2), NOC_WS_CLOSE_BAD_DATA);
}

static void nothing_follows_a_close(void **state)
{
    const struct heard *heard = HEAR_CLIENT("\x82\x01"
                                            "a"
                                            "\x88\x02\x03\xe9"
                                            "\x82\x01"
                                            "b");

    (void)state;
    assert_int_equal(heard->err, NOC_ECLOSED);
    assert_int_equal(heard->data_n, 1);
    assert_string_equal(heard->text, "1:close(1001,) ");
    assert_int_equal(heard->close_code, 0);
}

/* ---- encoding ---- */

static void heads_are_written_in_their_shortest_form(void **state)
{
    static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    static const struct {
        uint64_t n;
        const char *bytes;
        size_t bytes_n;
    } rows[] = {
        {0, "\x82\x00", 2},
        {125, "\x82\x7d", 2},
        {126, "\x82\x7e\x00\x7e", 4},
        {256, "\x82\x7e\x01\x00", 4},
        {65535, "\x82\x7e\xff\xff", 4},
        {65536, "\x82\x7f\0\0\0\0\0\1\0\0", 10},
        {UINT64_C(0x123456789a), "\x82\x7f\0\0\0\x12\x34\x56\x78\x9a", 10},
    };
    uint8_t head[NOC_WS_FRAME_HEAD_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(
            noc_ws_frame_head(head, NOC_WS_BINARY, true, rows[i].n, NULL), rows[i].bytes_n);
        assert_memory_equal(head, rows[i].bytes, rows[i].bytes_n);
        assert_int_equal(noc_ws_frame_head_size(rows[i].n, false), rows[i].bytes_n);
        assert_int_equal(
            noc_ws_frame_head(head, NOC_WS_BINARY, true, rows[i].n, mask), rows[i].bytes_n + 4);
        assert_int_equal(head[1], (uint8_t)rows[i].bytes[1] | 0x80);
        assert_memory_equal(head + rows[i].bytes_n, mask, 4);
        assert_int_equal(noc_ws_frame_head_size(rows[i].n, true), rows[i].bytes_n + 4);
    }
    assert_int_equal(noc_ws_frame_head(head, NOC_WS_CONTINUATION, false, 1, NULL), 2);
    assert_int_equal(head[0], 0x00);
}

static void masking_in_any_pieces_is_the_same(void **state)
{
    static const uint8_t mask[4] = {0x11, 0x22, 0x44, 0x88};
    uint8_t expected[150];
    uint8_t copy[150];

    (void)state;
    for (size_t i = 0; i < sizeof expected; i++) {
        copy[i] = (uint8_t)i;
        expected[i] = (uint8_t)(i ^ mask[i & 3]);
    }
    for (size_t n = 0; n <= sizeof expected; n++) {
        for (size_t cut = 0; cut <= n; cut++) {
            uint8_t *at = guard_put(&guard, copy, n);

            noc_ws_mask(at, cut, mask, 0);
            noc_ws_mask(at + cut, n - cut, mask, cut);
            assert_memory_equal(at, expected, n);
        }
    }
}

static void control_frames_are_written(void **state)
{
    static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    uint8_t at[NOC_WS_CONTROL_ROOM];
    char full[126];

    (void)state;
    memset(full, 'f', sizeof full);
    assert_int_equal(noc_ws_ping_write(at, noc_slice_of("Hello"), NULL), 7);
    assert_memory_equal(at, "\x89\x05Hello", 7);
    assert_int_equal(noc_ws_pong_write(at, noc_slice_of("Hello"), mask), 11);
    assert_memory_equal(at, "\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 11);
    assert_int_equal(noc_ws_ping_write(at, noc_slice(NULL, 0), NULL), 2);
    assert_int_equal(noc_ws_pong_write(at, noc_slice(full, 125), mask), NOC_WS_CONTROL_ROOM);
    assert_int_equal(noc_ws_pong_write(at, noc_slice(full, 126), mask), 0);
}

static void close_frames_are_written(void **state)
{
    uint8_t at[NOC_WS_CONTROL_ROOM];
    char reason[200];

    (void)state;
    assert_int_equal(noc_ws_close_write(at, 1001, noc_slice_of("bye"), NULL), 7);
    assert_memory_equal(at,
        "\x88\x05\x03\xe9"
        "bye",
        7);
    assert_int_equal(noc_ws_close_write(at, NOC_WS_CLOSE_NO_CODE, noc_slice_of("bye"), NULL), 2);
    assert_memory_equal(at, "\x88\x00", 2);
    assert_int_equal(noc_ws_close_write(at, 0, noc_slice(NULL, 0), NULL), 2);
    /* A reason too long is cut in front of the character that does not fit. */
    memset(reason, 'r', sizeof reason);
    assert_int_equal(noc_ws_close_write(at, 1000, noc_slice(reason, sizeof reason), NULL), 127);
    memcpy(reason + 122, "\xc3\xbc", 2);
    assert_int_equal(noc_ws_close_write(at, 1000, noc_slice(reason, sizeof reason), NULL), 126);
    memcpy(reason + 121, "\xf0\x9f\xa6\x87", 4);
    assert_int_equal(noc_ws_close_write(at, 1000, noc_slice(reason, sizeof reason), NULL), 125);
    memset(reason, '\x80', sizeof reason);
    assert_int_equal(noc_ws_close_write(at, 1000, noc_slice(reason, sizeof reason), NULL), 4);
}

/* ---- round trips ---- */

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

/* Append a random frame of a valid stream; the payload of data is noted in sent. */
static size_t random_frame(
    uint8_t *at, uint32_t *seed, const uint8_t *mask, bool *in_message, struct heard *sent)
{
    static const size_t sizes[] = {0, 1, 3, 7, 31, 125, 126, 127, 300, 1000, 65535, 65536};
    uint32_t dice = next_random(seed);
    size_t n = sizes[next_random(seed) % (dice % 16 == 0 ? 12 : 10)];
    struct noc_ws_event event = {NOC_WS_EVENT_PING, at + 14, 0, 0};
    size_t head_n;
    bool is_last;

    for (size_t i = 0; i < n; i++) {
        at[14 + i] = (uint8_t)('a' + next_random(seed) % 26);
    }
    if (dice % 5 == 0) {
        event.n = n % 20;
        note(sent, &event);
        memmove(at, at + 14, event.n);
        memcpy(sent->data + sent->data_n, at, event.n);
        return noc_ws_ping_write(at, noc_slice(sent->data + sent->data_n, event.n), mask);
    }
    is_last = dice % 3 == 0;
    event.kind = NOC_WS_EVENT_DATA;
    event.n = n;
    if (n > 0) {
        note(sent, &event);
    }
    head_n =
        noc_ws_frame_head(at, *in_message ? NOC_WS_CONTINUATION : NOC_WS_BINARY, is_last, n, mask);
    memmove(at + head_n, at + 14, n);
    if (mask != NULL) {
        noc_ws_mask(at + head_n, n, mask, 0);
    }
    *in_message = !is_last;
    return head_n + n;
}

static void random_streams_come_out_as_they_went_in(void **state)
{
    static uint8_t wire[400000];
    static struct heard sent, got;

    (void)state;
    for (uint32_t round = 0; round < 200; round++) {
        uint32_t seed = round;
        enum noc_ws_side side = round % 2 == 0 ? NOC_WS_SERVER : NOC_WS_CLIENT;
        struct noc_ws_decoder decoder;
        bool in_message = false;
        size_t n = 0;

        memset(&sent, 0, sizeof sent);
        memset(&got, 0, sizeof got);
        for (int i = 0; i < 20 && sent.data_n < sizeof sent.data - 70000; i++) {
            uint8_t mask[4] = {(uint8_t)next_random(&seed), (uint8_t)next_random(&seed),
                (uint8_t)next_random(&seed), (uint8_t)next_random(&seed)};

            n += random_frame(
                wire + n, &seed, side == NOC_WS_SERVER ? mask : NULL, &in_message, &sent);
        }
        noc_ws_decoder_init(&decoder, side, false);
        for (size_t at = 0; at < n;) {
            size_t part = 1 + next_random(&seed) % (round % 3 == 0 ? 9 : 3000);

            part = part < n - at ? part : n - at;
            feed(&decoder, &got, wire + at, part);
            at += part;
        }
        assert_same(&sent, &got);
    }
}

static void the_decoder_is_small(void **state)
{
    (void)state;
    assert_true(sizeof(struct noc_ws_decoder) <= 160);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_standards_examples_decode),
        cmocka_unit_test(the_standards_long_examples_decode),
        cmocka_unit_test(fragments_may_have_control_frames_between),
        cmocka_unit_test(packets_may_share_and_span_frames),
        cmocka_unit_test(empty_frames_tell_nothing_but_count),
        cmocka_unit_test(control_payload_may_be_125_bytes_and_empty),
        cmocka_unit_test(data_of_a_frame_that_is_partly_here_is_given_at_once),
        cmocka_unit_test(reserved_bits_and_opcodes_are_refused),
        cmocka_unit_test(the_mask_is_the_clients_duty_alone),
        cmocka_unit_test(control_frames_are_short_and_whole),
        cmocka_unit_test(fragments_come_in_order),
        cmocka_unit_test(text_is_refused_unless_lenient),
        cmocka_unit_test(lengths_are_in_their_shortest_form),
        cmocka_unit_test(an_error_is_told_as_soon_as_it_can_be),
        cmocka_unit_test(what_came_before_an_error_is_given_out_and_the_error_stays),
        cmocka_unit_test(close_codes_are_checked),
        cmocka_unit_test(close_may_be_empty_but_not_one_byte),
        cmocka_unit_test(close_reason_is_utf8),
        cmocka_unit_test(nothing_follows_a_close),
        cmocka_unit_test(heads_are_written_in_their_shortest_form),
        cmocka_unit_test(masking_in_any_pieces_is_the_same),
        cmocka_unit_test(control_frames_are_written),
        cmocka_unit_test(close_frames_are_written),
        cmocka_unit_test(random_streams_come_out_as_they_went_in),
        cmocka_unit_test(the_decoder_is_small),
    };
    int failed;

    guard_init(&guard, 100000);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    guard_done(&guard);
    return failed;
}
