/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "config/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* What becomes of a string as roff, behind a beginning. */
static void assert_roff(const char *before, const char *string, const char *expected)
{
    struct noc_text text;

    noc_text_init(&text);
    noc_text_add(&text, "%s", before);
    noc_text_add_roff(&text, string);
    assert_false(text.is_broken);
    assert_string_equal(text.at, expected);
    noc_text_done(&text);
}

static void roff_keeps_plain_text(void **state)
{
    assert_roff("", "", "");
    assert_roff("", "a topic, 0 to 2 (it's that)", "a topic, 0 to 2 (it's that)");
}

static void roff_takes_hyphens_and_backslashes_as_they_are(void **state)
{
    assert_roff("", "--will-qos", "\\-\\-will\\-qos");
    assert_roff("", "\\n", "\\en");
}

static void roff_has_no_request_that_nobody_wrote(void **state)
{
    assert_roff("", ".so /etc/passwd", "\\&.so /etc/passwd");
    assert_roff("", "a\n.so b\n'so c", "a\n\\&.so b\n\\&'so c");
    assert_roff("a ", ".b", "a .b");
    assert_roff("a\n", "'b", "a\n\\&'b");
}

static void roff_names_what_is_not_ascii(void **state)
{
    assert_roff("", "-1 or \xe2\x88\x9e", "\\-1 or \\[u221E]");
    assert_roff("", "\xc3\xa9\xf0\x9f\xa6\x87!", "\\[u00E9]\\[u1F987]!");
}

static void roff_shows_bad_utf8_as_question_marks(void **state)
{
    assert_roff("", "\x88", "?");
    assert_roff("", "\xff", "?");
    assert_roff("", "\xe2\x88", "??");
    assert_roff("", "\xe2(\xa1", "?(?");
}

static void roff_ends_where_the_bytes_end(void **state)
{
    struct noc_text text;

    noc_text_init(&text);
    noc_text_add_roff_bytes(&text, "a-b\xe2\x88\x9e", 5);
    assert_string_equal(text.at, "a\\-b??");
    noc_text_done(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(roff_keeps_plain_text),
        cmocka_unit_test(roff_takes_hyphens_and_backslashes_as_they_are),
        cmocka_unit_test(roff_has_no_request_that_nobody_wrote),
        cmocka_unit_test(roff_names_what_is_not_ascii),
        cmocka_unit_test(roff_shows_bad_utf8_as_question_marks),
        cmocka_unit_test(roff_ends_where_the_bytes_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
