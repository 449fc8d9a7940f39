/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/bench.h"
#include "cli/bench_wire.h"
#include <noctule/error.h>

#define RANDOM_STEPS 20000u

/* ---- packets ---- */

static void connect_is_written_as_the_standard_draws_it(void **state)
{
    static const uint8_t expected[] = {
        0x10, 18, 0, 4, 'M', 'Q', 'T', 'T', 4, 0xc2, 0x0e, 0x10, 0, 1, 'c', 0, 1, 'u', 0, 0};
    struct noc_bench_login login = {.client_id = noc_slice_of("c"),
        .user = noc_slice_of("u"),
        .password = noc_slice_of(""),
        .version = 4};
    uint8_t packet[64];

    (void)state;
    assert_int_equal(noc_bench_put_connect(&login, packet, sizeof(packet)), sizeof(expected));
    assert_memory_equal(packet, expected, sizeof(expected));
    assert_int_equal(noc_bench_put_connect(&login, packet, 10), 0);
}

static void a_session_that_is_kept_is_asked_for(void **state)
{
    static const uint8_t old[] = {
        0x10, 13, 0, 4, 'M', 'Q', 'T', 'T', 4, 0x00, 0x0e, 0x10, 0, 1, 'c'};
    static const uint8_t expected[] = {0x10, 19, 0, 4, 'M', 'Q', 'T', 'T', 5, 0x00, 0x0e, 0x10, 5,
        0x11, 0, 0, 0x0e, 0x10, 0, 1, 'c'};
    struct noc_bench_login login = {.client_id = noc_slice_of("c"), .version = 4, .keeps = true};
    uint8_t packet[64];

    (void)state;
    assert_int_equal(noc_bench_put_connect(&login, packet, sizeof(packet)), sizeof(old));
    assert_memory_equal(packet, old, sizeof(old));
    login.version = 5;
    assert_int_equal(noc_bench_put_connect(&login, packet, sizeof(packet)), sizeof(expected));
    assert_memory_equal(packet, expected, sizeof(expected));
}

static void connect_of_version_5_has_empty_properties(void **state)
{
    static const uint8_t expected[] = {
        0x10, 14, 0, 4, 'M', 'Q', 'T', 'T', 5, 0x02, 0x0e, 0x10, 0, 0, 1, 'c'};
    struct noc_bench_login login = {.client_id = noc_slice_of("c"), .version = 5};
    uint8_t packet[64];

    (void)state;
    assert_int_equal(noc_bench_put_connect(&login, packet, sizeof(packet)), sizeof(expected));
    assert_memory_equal(packet, expected, sizeof(expected));
}

static void subscribe_is_written_as_the_standard_draws_it(void **state)
{
    static const uint8_t expected[] = {0x82, 8, 0, 1, 0, 3, 'a', '/', 'b', 2};
    uint8_t packet[64];

    (void)state;
    assert_int_equal(noc_bench_put_subscribe(4, noc_slice_of("a/b"), 2, packet, sizeof(packet)),
        sizeof(expected));
    assert_memory_equal(packet, expected, sizeof(expected));
    assert_int_equal(noc_bench_put_subscribe(4, noc_slice_of("a/b"), 2, packet, 8), 0);
}

static void a_template_is_filled_with_packet_id_and_stamp(void **state)
{
    struct noc_bench_message message = {
        .topic = noc_slice_of("t"), .version = 4, .qos = 1, .payload_bytes = 20};
    struct noc_bench_stamp stamp = {.due_ns = 123456789, .sequence = 7, .group = 9};
    struct noc_bench_template template;
    uint8_t packet[64] = {0};

    (void)state;
    assert_int_equal(noc_bench_template_init(&template, &message), NOC_OK);
    assert_ptr_equal(
        noc_bench_template_put(&template, 0x1234, &stamp, packet), packet + 2 + 3 + 2 + 20);
    assert_memory_equal(packet, ((uint8_t[]){0x32, 25, 0, 1, 't', 0x12, 0x34}), 7);
    struct noc_bench_stamp read = noc_bench_stamp_read(packet + 7);

    assert_int_equal(read.due_ns, stamp.due_ns);
    assert_int_equal(read.sequence, stamp.sequence);
    assert_int_equal(read.group, stamp.group);
    free(template.bytes);
}

/* [RFC6455-5.3]: a masked frame, unmasked by its own key, is the plain packet. */
static void a_masked_template_holds_the_same_packet(void **state)
{
    struct noc_bench_message message = {
        .topic = noc_slice_of("some/topic"), .version = 5, .qos = 2, .payload_bytes = 300};
    struct noc_bench_stamp stamp = {.due_ns = 42, .sequence = 1, .group = 2};
    struct noc_bench_template plain, masked;
    uint8_t bytes[2][512];

    (void)state;
    assert_int_equal(noc_bench_template_init(&plain, &message), NOC_OK);
    message.ws = true;
    assert_int_equal(noc_bench_template_init(&masked, &message), NOC_OK);
    noc_bench_template_put(&plain, 77, &stamp, bytes[0]);
    noc_bench_template_put(&masked, 77, &stamp, bytes[1]);
    uint8_t *frame = bytes[1];

    assert_int_equal(frame[0], 0x82);
    assert_int_equal(frame[1], 0x80 | 126);
    assert_int_equal(frame[2] << 8 | frame[3], plain.n);
    assert_int_equal(masked.n, plain.n + 8);
    for (size_t i = 0; i < plain.n; i++) {
        assert_int_equal(frame[8 + i] ^ frame[4 + i % 4], bytes[0][i]);
    }
    free(plain.bytes);
    free(masked.bytes);
}

/* ---- WebSocket ---- */

static const uint8_t frames_in[] = {0x82, 3, 'a', 'b', 'c', /* data */
    0x89, 2, 'h', 'i',                                      /* ping between fragments */
    0x02, 1, 'd', 0x80, 0,                                  /* an empty last fragment */
    0x82, 126, 0, 2, 'e', 'f',                              /* a long form of a length */
    0x82, 127, 0, 0, 0, 0, 0, 0, 0, 1, 'g'};

static void frames_are_stripped_wherever_the_stream_is_cut(void **state)
{
    (void)state;
    for (size_t cut = 0; cut <= sizeof(frames_in); cut++) {
        struct noc_bench_frames frames = {0};
        uint8_t bytes[sizeof(frames_in)];
        char out[16] = "";

        memcpy(bytes, frames_in, sizeof(bytes));
        int64_t first = noc_bench_frames_strip(&frames, bytes, cut);

        assert_true(first >= 0);
        memcpy(out, bytes, (size_t)first);
        int64_t second = noc_bench_frames_strip(&frames, bytes + cut, sizeof(bytes) - cut);

        assert_true(second >= 0);
        memcpy(out + first, bytes + cut, (size_t)second);
        assert_int_equal(first + second, 7);
        assert_memory_equal(out, "abcdefg", 7);
        assert_true(frames.is_ping_due);
        assert_int_equal(frames.control_n, 2);
        assert_memory_equal(frames.control, "hi", 2);
    }
}

/* [RFC6455-5.1] a server does not mask; [RFC6455-5.5] control frames are short. */
static void frames_that_no_server_may_send_are_refused(void **state)
{
    struct noc_bench_frames frames = {0};
    uint8_t masked[] = {0x82, 0x81, 0, 0, 0, 0, 'x'};
    uint8_t long_ping[] = {0x89, 126, 0, 126};

    (void)state;
    assert_int_equal(noc_bench_frames_strip(&frames, masked, sizeof(masked)), NOC_EMALFORMED);
    frames = (struct noc_bench_frames){0};
    assert_int_equal(noc_bench_frames_strip(&frames, long_ping, sizeof(long_ping)), NOC_EMALFORMED);
}

static void what_follows_close_is_dropped(void **state)
{
    struct noc_bench_frames frames = {0};
    uint8_t bytes[] = {0x82, 1, 'x', 0x88, 2, 3, 0xe8, 0x82, 1, 'y'};

    (void)state;
    assert_int_equal(noc_bench_frames_strip(&frames, bytes, sizeof(bytes)), 1);
    assert_true(frames.is_closed);
    assert_int_equal(noc_bench_frames_strip(&frames, bytes, sizeof(bytes)), 0);
}

/* ---- histogram ---- */

static void percentiles_are_right_to_two_percent(void **state)
{
    struct noc_bench_histogram *histogram = calloc(1, sizeof(*histogram));

    (void)state;
    assert_non_null(histogram);
    assert_int_equal(noc_bench_histogram_at(histogram, 0.5), 0);
    for (uint64_t i = 1; i <= 100000; i++) {
        noc_bench_histogram_add(histogram, i * 1000);
    }
    const double shares[] = {0.01, 0.5, 0.9, 0.99, 0.999};

    for (size_t i = 0; i < NOC_COUNT(shares); i++) {
        double at = (double)noc_bench_histogram_at(histogram, shares[i]);
        double exact = shares[i] * 100000 * 1000;

        assert_true(at > exact * 0.98 && at < exact * 1.02);
    }
    assert_int_equal(noc_bench_histogram_at(histogram, 1), 100000000);
    free(histogram);
}

static void every_value_has_its_bucket(void **state)
{
    struct noc_bench_histogram *histogram = calloc(1, sizeof(*histogram));

    (void)state;
    assert_non_null(histogram);
    for (unsigned bit = 0; bit < 64; bit++) {
        memset(histogram, 0, sizeof(*histogram));
        uint64_t value = (uint64_t)1 << bit;

        noc_bench_histogram_add(histogram, value);
        noc_bench_histogram_add(histogram, UINT64_MAX);
        uint64_t low = noc_bench_histogram_at(histogram, 0.5);

        assert_true(low >= value && low - value <= value / 64);
        assert_int_equal(noc_bench_histogram_at(histogram, 1), UINT64_MAX);
    }
    free(histogram);
}

static void merged_histograms_count_together(void **state)
{
    struct noc_bench_histogram *a = calloc(2, sizeof(*a));

    (void)state;
    assert_non_null(a);
    noc_bench_histogram_add(&a[0], 10);
    noc_bench_histogram_add(&a[1], 100);
    noc_bench_histogram_merge(&a[0], &a[1]);
    assert_int_equal(a[0].count, 2);
    assert_int_equal(a[0].greatest, 100);
    assert_int_equal(noc_bench_histogram_at(&a[0], 0.5), 10);
    free(a);
}

/* ---- sequence numbers ---- */

static void the_book_knows_new_late_and_repeated_numbers(void **state)
{
    struct noc_bench_book book = {0};

    (void)state;
    assert_int_equal(noc_bench_book_note(&book, 0), NOC_BENCH_NEW);
    assert_int_equal(noc_bench_book_note(&book, 0), NOC_BENCH_AGAIN);
    assert_int_equal(noc_bench_book_note(&book, 3), NOC_BENCH_NEW);
    assert_int_equal(noc_bench_book_note(&book, 1), NOC_BENCH_LATE);
    assert_int_equal(noc_bench_book_note(&book, 1), NOC_BENCH_AGAIN);
    assert_int_equal(noc_bench_book_note(&book, 2), NOC_BENCH_LATE);
    assert_int_equal(noc_bench_book_note(&book, 500), NOC_BENCH_NEW);
    assert_int_equal(noc_bench_book_note(&book, 437), NOC_BENCH_LATE);
    assert_int_equal(noc_bench_book_note(&book, 436), NOC_BENCH_AGAIN);
}

/* Against a plain set, with numbers that jump about within the book's reach. */
static void the_book_agrees_with_a_plain_set(void **state)
{
    struct noc_bench_book book = {0};
    uint8_t *seen = calloc(RANDOM_STEPS * 8, 1);
    uint32_t random = 12345;

    (void)state;
    assert_non_null(seen);
    for (unsigned step = 0; step < RANDOM_STEPS; step++) {
        random = random * 1664525u + 1013904223u;
        uint32_t back = random >> 26; /* 0 to 63 */
        uint32_t sequence = book.next + 7 > back ? book.next + 7 - back : 0;
        bool is_ahead = sequence >= book.next;

        if (!is_ahead && book.next - 1 - sequence >= 64) {
            continue;
        }
        enum noc_bench_arrival expected = seen[sequence] ? NOC_BENCH_AGAIN
                                          : is_ahead     ? NOC_BENCH_NEW
                                                         : NOC_BENCH_LATE;

        assert_int_equal(noc_bench_book_note(&book, sequence), expected);
        seen[sequence] = 1;
    }
    free(seen);
}

/* ---- the broker's process ---- */

static void cpu_ticks_are_found_behind_any_program_name(void **state)
{
    uint64_t ticks = 0;

    (void)state;
    assert_true(
        noc_bench_usage_parse("1 (a) b) S 1 2 3 4 5 6 7 8 9 10 120 30 11 12 20 0 1", &ticks));
    assert_int_equal(ticks, 150);
    assert_false(noc_bench_usage_parse("1 S 1 2", &ticks));
    assert_false(noc_bench_usage_parse("1 (a) S 1 2 3", &ticks));
    assert_false(noc_bench_usage_parse("", &ticks));
}

static void a_process_that_is_not_there_uses_nothing(void **state)
{
    struct noc_bench_usage usage = noc_bench_usage_read(0);

    (void)state;
    assert_true(usage.cpu_seconds <= 0);
    assert_int_equal(usage.rss_bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connect_is_written_as_the_standard_draws_it),
        cmocka_unit_test(a_session_that_is_kept_is_asked_for),
        cmocka_unit_test(connect_of_version_5_has_empty_properties),
        cmocka_unit_test(subscribe_is_written_as_the_standard_draws_it),
        cmocka_unit_test(a_template_is_filled_with_packet_id_and_stamp),
        cmocka_unit_test(a_masked_template_holds_the_same_packet),
        cmocka_unit_test(frames_are_stripped_wherever_the_stream_is_cut),
        cmocka_unit_test(frames_that_no_server_may_send_are_refused),
        cmocka_unit_test(what_follows_close_is_dropped),
        cmocka_unit_test(percentiles_are_right_to_two_percent),
        cmocka_unit_test(every_value_has_its_bucket),
        cmocka_unit_test(merged_histograms_count_together),
        cmocka_unit_test(the_book_knows_new_late_and_repeated_numbers),
        cmocka_unit_test(the_book_agrees_with_a_plain_set),
        cmocka_unit_test(cpu_ticks_are_found_behind_any_program_name),
        cmocka_unit_test(a_process_that_is_not_there_uses_nothing),
    };

    return cmocka_run_group_tests_name("bench_wire", tests, NULL, NULL);
}
