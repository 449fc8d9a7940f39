/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/utf8.h"

static bool is_valid(const char *text)
{
    return noc_utf8_is_valid(noc_slice_of(text));
}

/* Written as RFC 3629, section 3 words it, to be compared with. */
static bool character_is_valid(const uint8_t *at, size_t n)
{
    static const uint32_t least[] = {0, 1, 0x80, 0x800, 0x10000};
    uint32_t code = n == 1 ? at[0] : at[0] & (0xffu >> (n + 1));
    static const uint8_t lead[] = {0, 0x00, 0xc0, 0xe0, 0xf0}, mask[] = {0, 0x80, 0xe0, 0xf0, 0xf8};

    if ((at[0] & mask[n]) != lead[n]) {
        return false;
    }
    for (size_t i = 1; i < n; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return false;
        }
        code = code << 6 | (at[i] & 0x3fu);
    }
    return code >= least[n] && code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff);
}

static void text_is_valid_at_any_length_and_offset(void **state)
{
    char text[40];

    (void)state;
    memset(text, 'a', sizeof text);
    for (size_t n = 0; n <= 32; n++) {
        for (size_t offset = 0; offset < 8; offset++) {
            assert_true(noc_utf8_is_valid(noc_slice(text + offset, n)));
        }
    }
    assert_true(noc_utf8_is_valid(noc_slice(NULL, 0)));
}

static void zero_is_refused_wherever_it_stands(void **state)
{
    char text[24];

    (void)state; /* [MQTT-1.5.4-2] */
    for (size_t n = 1; n <= sizeof text; n++) {
        for (size_t at = 0; at < n; at++) {
            memset(text, 'a', sizeof text);
            text[at] = '\0';
            assert_false(noc_utf8_is_valid(noc_slice(text, n)));
        }
    }
}

static void every_first_two_bytes_are_judged_as_the_rfc_does(void **state)
{
    (void)state; /* [MQTT-1.5.4-1] */
    for (unsigned first = 0x80; first < 0x100; first++) {
        for (unsigned second = 0; second < 0x100; second++) {
            for (size_t n = 1; n <= 4; n++) {
                uint8_t text[12] = {(uint8_t)first, (uint8_t)second, 0x80, 0x80};
                bool want = character_is_valid(text, n);

                /* What follows is plain, so that no longer character can be meant. */
                memset(text + n, 'x', sizeof text - n);
                assert_int_equal(noc_utf8_is_valid(noc_slice(text, sizeof text)), want);
                assert_int_equal(noc_utf8_is_valid(noc_slice(text, n)), want);
            }
        }
    }
}

static void a_character_cut_short_is_refused(void **state)
{
    static const char *const characters[] = {"\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        size_t n = strlen(characters[i]);

        assert_true(noc_utf8_is_valid(noc_slice(characters[i], n)));
        for (size_t cut = 1; cut < n; cut++) {
            assert_false(noc_utf8_is_valid(noc_slice(characters[i], cut)));
        }
    }
}

static void control_characters_and_non_characters_are_let_pass(void **state)
{
    (void)state;
    assert_true(is_valid("\x01\x1f\x7f"));
    assert_true(is_valid("\xef\xbf\xbf"));
    assert_true(is_valid("\xef\xbb\xbf"
                         "bom")); /* [MQTT-1.5.4-3] */
    assert_true(is_valid("\xf4\x8f\xbf\xbf"));
}

static void long_forms_among_plain_text_are_found(void **state)
{
    (void)state;
    assert_true(is_valid("plain text, then \xc3\xa9t\xc3\xa9, then plain text again"));
    assert_false(is_valid("plain text, then \xc0\x80, then plain text again"));
    assert_false(is_valid("plain text, then a lone tail \x80"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_valid_at_any_length_and_offset),
        cmocka_unit_test(zero_is_refused_wherever_it_stands),
        cmocka_unit_test(every_first_two_bytes_are_judged_as_the_rfc_does),
        cmocka_unit_test(a_character_cut_short_is_refused),
        cmocka_unit_test(control_characters_and_non_characters_are_let_pass),
        cmocka_unit_test(long_forms_among_plain_text_are_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
