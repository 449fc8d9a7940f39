/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/passwd_text.h"

#include "auth/text_file.h"
#include "base/macros.h"
#include <noctule/error.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SET(name)                                                                        \
    {                                                                                    \
        .action = NOC_PASSWD_SET, .user = {name, sizeof(name) - 1}, .hash = { "NEW", 3 } \
    }
#define DELETE(name)                                                    \
    {                                                                   \
        .action = NOC_PASSWD_DELETE, .user = { name, sizeof(name) - 1 } \
    }

static const struct noc_password_recipe cheap = {.rounds = 1};

static void expect(
    const char *before, const struct noc_passwd_change *change, const char *after, size_t lines)
{
    struct noc_passwd_fault fault;
    struct noc_passwd_changed changed = {0};
    /* The very bytes, in memory of their own: reading on is seen. */
    size_t n = strlen(before);
    char *bytes = malloc(n + (n == 0));

    assert_non_null(bytes);
    memcpy(bytes, before, n);
    assert_int_equal(noc_passwd_text_change(noc_slice(bytes, n), change, &fault, &changed), NOC_OK);
    if (!noc_slice_equal(changed.text, noc_slice_of(after))) {
        fail_msg("'%s' became '%.*s', not '%s'", before, NOC_SLICE_ARG(changed.text), after);
    }
    assert_int_equal(changed.lines, lines);
    noc_text_file_free(changed.text);
    free(bytes);
}

static void a_users_line_is_set_in_its_place_and_nothing_else_moves(void **state)
{
    static const struct {
        const char *before, *after;
        size_t lines;
    } cases[] = {
        {"", "ann:NEW\n", 0},
        {"bob:x\n", "bob:x\nann:NEW\n", 0},
        {"bob:x", "bob:x\nann:NEW\n", 0},
        {"ann:x", "ann:NEW\n", 1},
        {"a:1\nann:x\nb:2\n", "a:1\nann:NEW\nb:2\n", 1},
        {"a:1\r\nann:x\r\nb:2\r\n", "a:1\r\nann:NEW\nb:2\r\n", 1},
        {"# notes\n\n  \nann:x\n#ann:y\n", "# notes\n\n  \nann:NEW\n#ann:y\n", 1},
        {" ann : x\n", "ann:NEW\n", 1},
        {"ann:x\nb:2\nann:y\n", "ann:NEW\nb:2\n", 2},
        {"ann:\n", "ann:NEW\n", 1},
        {"b:\n", "b:\nann:NEW\n", 0},
        {"Ann:x\nann2:x\nan:x\n", "Ann:x\nann2:x\nan:x\nann:NEW\n", 0},
        {"\xef\xbb\xbf"
         "ann:x\n",
            "\xef\xbb\xbf"
            "ann:NEW\n",
            1},
        {"\xef\xbb\xbf",
            "\xef\xbb\xbf"
            "ann:NEW\n",
            0},
        {"b:c:d\nann:x:y\n", "b:c:d\nann:NEW\n", 1},
    };
    const struct noc_passwd_change change = SET("ann");

    (void)state;
    for (size_t i = 0; i < NOC_COUNT(cases); i++) {
        expect(cases[i].before, &change, cases[i].after, cases[i].lines);
    }
}

static void all_lines_of_a_deleted_user_go(void **state)
{
    const struct noc_passwd_change change = DELETE("ann");

    (void)state;
    expect("ann:x\n", &change, "", 1);
    expect("b:1\nann:x\n# c\nann:y\nd:2", &change, "b:1\n# c\nd:2", 2);
    expect("b:1\n", &change, "b:1\n", 0);
    expect("", &change, "", 0);
    expect("#ann:x\n", &change, "#ann:x\n", 0);
}

static void hashes_are_never_hashed_again(void **state)
{
    static const char *const texts[] = {"", "# only notes\n", "a:$6$x$y\n",
        "a:$7$101$x$y\nb:$argon2id$v=19$m=1\nc : $7$damaged\n", "a:$7$1$x$y"};
    const struct noc_passwd_change change = {.action = NOC_PASSWD_HASH_PLAIN, .recipe = &cheap};

    (void)state;
    for (size_t i = 0; i < NOC_COUNT(texts); i++) {
        expect(texts[i], &change, texts[i], 0);
    }
}

static void plain_passwords_are_hashed(void **state)
{
    const struct noc_passwd_change change = {.action = NOC_PASSWD_HASH_PLAIN, .recipe = &cheap};
    const struct noc_slice text = noc_slice_of("# x\na: secret \r\nb:$6$x$y\nc:$5$other");
    struct noc_passwd_fault fault;
    struct noc_passwd_changed changed;
    struct noc_password_hash hash;
    const char *cause, *at;

    (void)state;
    assert_int_equal(noc_passwd_text_change(text, &change, &fault, &changed), NOC_OK);
    assert_int_equal(changed.lines, 2);
    assert_true(noc_slice_has_prefix(changed.text, noc_slice_of("# x\na:$7$1$")));
    at = changed.text.at + strlen("# x\na:");
    assert_int_equal(
        noc_password_hash_parse(noc_slice(at, strcspn(at, "\n")), &hash, &cause), NOC_OK);
    assert_int_equal(noc_password_hash_verify(&hash, noc_slice_of("secret")), NOC_OK);
    at = strstr(at, "\nb:$6$x$y\nc:$7$1$");
    assert_non_null(at);
    at += strlen("\nb:$6$x$y\nc:");
    assert_int_equal(
        noc_password_hash_parse(noc_slice(at, strcspn(at, "\n")), &hash, &cause), NOC_OK);
    assert_int_equal(noc_password_hash_verify(&hash, noc_slice_of("$5$other")), NOC_OK);
    noc_text_file_free(changed.text);
}

static void a_text_that_is_no_password_file_is_refused_by_line(void **state)
{
    static const struct {
        struct noc_passwd_change change;
        const char *text;
        size_t n, line;
    } cases[] = {
        {SET("ann"), "listener 1883\n", 14, 1},
        {SET("ann"), "ann:x\n\nnothing", 14, 3},
        {DELETE("ann"), "ann:x\n:y\n", 9, 2},
        {DELETE("ann"), "ann:x\nb\0b:y\n", 12, 2},
        {{.action = NOC_PASSWD_HASH_PLAIN, .recipe = &cheap}, "a:x\nb:\n", 7, 2},
        {{.action = NOC_PASSWD_HASH_PLAIN, .recipe = &cheap}, "a\n", 2, 1},
        {SET("ann"),
            "\xff\xfe"
            "a\0:\0",
            6, 0},
    };

    (void)state;
    for (size_t i = 0; i < NOC_COUNT(cases); i++) {
        struct noc_passwd_fault fault = {0};
        struct noc_passwd_changed changed = {.lines = 77};

        assert_int_equal(noc_passwd_text_change(noc_slice(cases[i].text, cases[i].n),
                             &cases[i].change, &fault, &changed),
            NOC_EMALFORMED);
        assert_int_equal(fault.line, cases[i].line);
        assert_non_null(fault.cause);
        assert_int_equal(changed.lines, 77);
    }
}

static void a_hash_that_cannot_be_made_is_an_error(void **state)
{
    static const struct noc_password_recipe wrong = {.salt_n = NOC_PASSWORD_SALT_MAX + 1};
    const struct noc_passwd_change change = {.action = NOC_PASSWD_HASH_PLAIN, .recipe = &wrong};
    struct noc_passwd_fault fault;
    struct noc_passwd_changed changed;

    (void)state;
    assert_int_equal(
        noc_passwd_text_change(noc_slice_of("a:b\n"), &change, &fault, &changed), NOC_EINVAL);
}

static void names_that_no_line_can_hold_are_refused(void **state)
{
    static const char *const good[] = {"a", "a#", "a b", "\xc3\xbc", "-", "$6$", "list"};
    static const char *const bad[] = {
        "", "a:b", ":", "#a", " a", "a ", "a\tb", "a\n", "\x7f", "\xff", "\xc3"};
    char *longest = calloc(1, 65537);

    (void)state;
    for (size_t i = 0; i < NOC_COUNT(good); i++) {
        assert_null(noc_passwd_name_fault(noc_slice_of(good[i])));
    }
    for (size_t i = 0; i < NOC_COUNT(bad); i++) {
        assert_non_null(noc_passwd_name_fault(noc_slice_of(bad[i])));
    }
    assert_non_null(noc_passwd_name_fault(noc_slice("a\0b", 3)));
    assert_non_null(longest);
    memset(longest, 'x', 65536);
    assert_null(noc_passwd_name_fault(noc_slice(longest, 65535)));
    assert_non_null(noc_passwd_name_fault(noc_slice(longest, 65536)));
    free(longest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_users_line_is_set_in_its_place_and_nothing_else_moves),
        cmocka_unit_test(all_lines_of_a_deleted_user_go),
        cmocka_unit_test(hashes_are_never_hashed_again),
        cmocka_unit_test(plain_passwords_are_hashed),
        cmocka_unit_test(a_text_that_is_no_password_file_is_refused_by_line),
        cmocka_unit_test(a_hash_that_cannot_be_made_is_an_error),
        cmocka_unit_test(names_that_no_line_can_hold_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
