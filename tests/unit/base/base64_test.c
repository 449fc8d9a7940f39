/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/base64.h"
#include "base/macros.h"

/* RFC 4648, section 10, and a few with every kind of digit. */
static const struct {
    const char *bytes;
    const char *text;
} vectors[] = {
    {"", ""},
    {"f", "Zg=="},
    {"fo", "Zm8="},
    {"foo", "Zm9v"},
    {"foob", "Zm9vYg=="},
    {"fooba", "Zm9vYmE="},
    {"foobar", "Zm9vYmFy"},
    {"\xff\xef\xbe", "/+++"},
    {"\xfb\xff", "+/8="},
};

static void the_vectors_of_the_rfc_hold_both_ways(void **state)
{
    (void)state;
    for (size_t i = 0; i < NOC_COUNT(vectors); i++) {
        size_t bytes_n = strlen(vectors[i].bytes), n = 99;
        char text[16] = "";
        uint8_t bytes[16];

        assert_int_equal(NOC_BASE64_SIZE(bytes_n), strlen(vectors[i].text));
        assert_ptr_equal(
            noc_base64_encode(text, vectors[i].bytes, bytes_n), text + NOC_BASE64_SIZE(bytes_n));
        assert_string_equal(text, vectors[i].text);
        assert_true(
            noc_base64_decode(noc_slice_of(vectors[i].text), true, bytes, sizeof bytes, &n));
        assert_int_equal(n, bytes_n);
        assert_memory_equal(bytes, vectors[i].bytes, n);
    }
}

static void every_byte_survives(void **state)
{
    (void)state;
    for (unsigned first = 0; first < 256; first++) {
        uint8_t bytes[5] = {(uint8_t)first, (uint8_t)~first, 0, (uint8_t)(first * 7), 255};

        for (size_t n = 0; n <= sizeof bytes; n++) {
            char text[NOC_BASE64_SIZE(sizeof bytes)];
            uint8_t back[sizeof bytes];
            size_t back_n, text_n = (size_t)(noc_base64_encode(text, bytes, n) - text);

            assert_true(
                noc_base64_decode(noc_slice(text, text_n), true, back, sizeof back, &back_n));
            assert_int_equal(back_n, n);
            assert_memory_equal(back, bytes, n);
        }
    }
}

static void what_is_no_base64_is_refused(void **state)
{
    static const char *const wrong[] = {"Z", "Zg=", "Zg", "Zg===", "====", "Z===", "Zm9v=", "Zm 9",
        "Zm9-", "Zm9_", "Zg==Zg==", "=Zg=", "Zm9v\n"};
    uint8_t bytes[16];
    size_t n;

    (void)state;
    for (size_t i = 0; i < NOC_COUNT(wrong); i++) {
        if (noc_base64_decode(noc_slice_of(wrong[i]), true, bytes, sizeof bytes, &n)) {
            fail_msg("'%s' was taken", wrong[i]);
        }
    }
    assert_false(noc_base64_decode(noc_slice("Zm\0v", 4), true, bytes, sizeof bytes, &n));
}

static void without_padding_there_is_no_padding(void **state)
{
    uint8_t bytes[16];
    size_t n;

    (void)state;
    assert_true(noc_base64_decode(noc_slice_of("Zm9vYg"), false, bytes, sizeof bytes, &n));
    assert_int_equal(n, 4);
    assert_memory_equal(bytes, "foob", 4);
    assert_false(noc_base64_decode(noc_slice_of("Zm9vYg=="), false, bytes, sizeof bytes, &n));
    assert_false(noc_base64_decode(noc_slice_of("Zm9vY"), false, bytes, sizeof bytes, &n));
}

static void more_than_there_is_room_for_is_refused(void **state)
{
    uint8_t bytes[4] = {0, 0, 0, 0x55};
    size_t n;

    (void)state;
    assert_false(noc_base64_decode(noc_slice_of("Zm9vYg=="), true, bytes, 3, &n));
    assert_int_equal(bytes[3], 0x55);
    assert_true(noc_base64_decode(noc_slice_of("Zm9v"), true, bytes, 3, &n));
    assert_int_equal(n, 3);
}

static void digits_are_the_64_of_the_alphabet(void **state)
{
    unsigned count = 0;

    (void)state;
    for (int byte = -128; byte < 128; byte++) {
        count += noc_base64_is_digit((char)byte);
    }
    assert_int_equal(count, 64);
    assert_false(noc_base64_is_digit('='));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vectors_of_the_rfc_hold_both_ways),
        cmocka_unit_test(every_byte_survives),
        cmocka_unit_test(what_is_no_base64_is_refused),
        cmocka_unit_test(without_padding_there_is_no_padding),
        cmocka_unit_test(more_than_there_is_room_for_is_refused),
        cmocka_unit_test(digits_are_the_64_of_the_alphabet),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
