/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "net/log_line.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/macros.h"
#include <noctule/error.h>

static void assert_escaped(const char *text, const char *expected)
{
    char out[200];
    size_t n = noc_log_escape(noc_slice_of(text), out, sizeof(out));

    assert_int_equal(n, strlen(expected));
    assert_memory_equal(out, expected, n);
}

static void plain_text_is_kept(void **state)
{
    assert_escaped("", "");
    assert_escaped("New connection from 127.0.0.1:1234 on port 1883.",
        "New connection from 127.0.0.1:1234 on port 1883.");
    assert_escaped("\ttopic/# (QoS 1)", "\ttopic/# (QoS 1)");
    assert_escaped("back\\slash", "back\\slash");
    assert_escaped("K\xc3\xbc"
                   "che \xe2\x82\xac \xf0\x9f\xa6\x87",
        "K\xc3\xbc"
        "che \xe2\x82\xac \xf0\x9f\xa6\x87");
}

static void whatever_could_end_a_line_is_escaped(void **state)
{
    assert_escaped("a\nb\rc", "a\\nb\\rc");
    assert_escaped("a\x0b\x0c\x1c\x1d\x1e", "a\\x0b\\x0c\\x1c\\x1d\\x1e");
    assert_escaped("\xc2\x85.", "\\xc2\\x85.");
    assert_escaped("\xe2\x80\xa8\xe2\x80\xa9", "\\xe2\\x80\\xa8\\xe2\\x80\\xa9");
}

static void whatever_could_move_a_cursor_is_escaped(void **state)
{
    assert_escaped("\x1b[2J\x07\x7f", "\\x1b[2J\\x07\\x7f");
    assert_escaped("\xc2\x9b"
                   "2J",
        "\\xc2\\x9b"
        "2J");
    /* A lone byte that an 8-bit terminal takes for CSI. */
    assert_escaped("\x9b"
                   "2J",
        "\\x9b"
        "2J");
    /* But U+06DB (D9 9B is U+065B) and others contain such bytes rightly. */
    assert_escaped("\xd9\x9b", "\xd9\x9b");
}

static void broken_utf8_does_not_hide_a_newline(void **state)
{
    assert_escaped("\xe2\n", "\xe2\\n");
    assert_escaped("\xf0\x9f\n", "\xf0\x9f\\n");
    assert_escaped("\xc2", "\xc2");
    assert_escaped("\xe2\x80", "\xe2\x80");
}

static void no_byte_that_is_forbidden_ever_comes_out(void **state)
{
    char text[64];
    char out[64 * 4];

    srand(4711);
    for (int round = 0; round < 20000; round++) {
        for (size_t i = 0; i < sizeof(text); i++) {
            text[i] = (char)(rand() & 0xff);
        }
        size_t room = (size_t)(rand() % (int)sizeof(out));
        size_t n = noc_log_escape(noc_slice(text, sizeof(text)), out, room);

        assert_true(n <= room);
        for (size_t i = 0; i < n; i++) {
            unsigned char byte = (unsigned char)out[i];

            assert_true((byte >= 0x20 && byte != 0x7f) || byte == '\t');
        }
    }
}

static void a_piece_that_does_not_fit_is_left_out_whole(void **state)
{
    char out[8];

    assert_int_equal(noc_log_escape(noc_slice_of("ab\x01"), out, 5), 2);
    assert_int_equal(noc_log_escape(noc_slice_of("ab\x01"), out, 6), 6);
    assert_int_equal(noc_log_escape(noc_slice_of("a\xe2\x82\xac"), out, 3), 1);
    assert_int_equal(noc_log_escape(noc_slice_of("abc"), out, 2), 2);
    assert_int_equal(noc_log_escape(noc_slice_of("abc"), out, 0), 0);
}

static void a_cut_never_splits_a_character(void **state)
{
    struct noc_slice text = noc_slice_of("a\xe2\x82\xac"
                                         "b");

    assert_int_equal(noc_log_cut(text, 100), 5);
    assert_int_equal(noc_log_cut(text, 5), 5);
    assert_int_equal(noc_log_cut(text, 4), 4);
    assert_int_equal(noc_log_cut(text, 3), 1);
    assert_int_equal(noc_log_cut(text, 2), 1);
    assert_int_equal(noc_log_cut(text, 1), 1);
    assert_int_equal(noc_log_cut(text, 0), 0);
}

static void the_stamp_is_unix_seconds_unless_asked_otherwise(void **state)
{
    struct noc_log_stamp stamp;

    assert_int_equal(noc_log_stamp_init(&stamp, false, NULL), NOC_OK);
    assert_true(noc_slice_equal(
        noc_log_stamp_text(&stamp, INT64_C(1700000000999)), noc_slice_of("1700000000: ")));
    assert_true(noc_slice_equal(
        noc_log_stamp_text(&stamp, INT64_C(1700000001000)), noc_slice_of("1700000001: ")));
    assert_int_equal(noc_log_stamp_init(&stamp, true, "%Y"), NOC_OK);
    assert_int_equal(noc_log_stamp_text(&stamp, 1).n, 0);
}

static void the_stamp_follows_a_format(void **state)
{
    struct noc_log_stamp stamp;
    char longest[200];

    assert_int_equal(setenv("TZ", "UTC", 1), 0);
    assert_int_equal(noc_log_stamp_init(&stamp, false, "%Y-%m-%dT%H:%M:%S"), NOC_OK);
    assert_true(noc_slice_equal(
        noc_log_stamp_text(&stamp, INT64_C(1700000000000)), noc_slice_of("2023-11-14T22:13:20: ")));
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    assert_int_equal(noc_log_stamp_init(&stamp, false, longest), NOC_EINVAL);
    /* A format whose result does not fit falls back. */
    memset(longest, 0, sizeof(longest));
    for (size_t i = 0; i < 120; i += 2) {
        memcpy(longest + i, "%c", 2);
    }
    assert_int_equal(noc_log_stamp_init(&stamp, false, longest), NOC_OK);
    assert_true(noc_slice_equal(
        noc_log_stamp_text(&stamp, INT64_C(1700000000000)), noc_slice_of("1700000000: ")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_text_is_kept),
        cmocka_unit_test(whatever_could_end_a_line_is_escaped),
        cmocka_unit_test(whatever_could_move_a_cursor_is_escaped),
        cmocka_unit_test(broken_utf8_does_not_hide_a_newline),
        cmocka_unit_test(no_byte_that_is_forbidden_ever_comes_out),
        cmocka_unit_test(a_piece_that_does_not_fit_is_left_out_whole),
        cmocka_unit_test(a_cut_never_splits_a_character),
        cmocka_unit_test(the_stamp_is_unix_seconds_unless_asked_otherwise),
        cmocka_unit_test(the_stamp_follows_a_format),
    };

    return cmocka_run_group_tests_name("net/log_line", tests, NULL, NULL);
}
