/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "auth/password_file.h"
#include <noctule/error.h>

/* Passwords: secret, oldpw; made by mosquitto_passwd 2.0.11. And one, with a single round. */
#define ALICE                                                                                      \
    "alice:$7$101$YNQGVY+Br2H8cebX$y21I1rv/PijpPjxL/KoXu3X4xP/rRvDdT1GF2yc0sCgKSxJKrnCBv3pvvutDZP" \
    "KvOmorKCYmlfK3YLgU1VxPTg=="
#define OLD                                                                                        \
    "old:$6$uUhS0+Z3Hfvste/c$1ITKIPSEzRqaCzUFhtQKuzyNJzNu1VIE8/fh0H/04yNADZQfgcpkzYw0GJZkZA0fdBOK" \
    "86AnEwHwxZF2EHczRg=="
#define HASH_ONE                                                                                   \
    "$7$1$AA==$0n/IGVUgcIwAtfmuaQJdgt3BDMHE91r8lTGro1q8r6wQTfCmVJbgxe6QCgxZIoHfBL3fmKecQGAE4SteEA" \
    "aQtw=="
#define HASH_EMPTY                                                                                 \
    "$7$101$HvPco9LuC7OTg4lq$rtoY7YPunbJlWJj2AywVpiDnHjbXc1w8+q0ueN+PTBENr/cCt1SGvTOd0rUNRU6XRBdI" \
    "S1R+b7kY+10swCY/iw=="

static char last_warning[NOC_REPORT_TEXT];

static void keep_warning(void *context, const char *text)
{
    snprintf(last_warning, sizeof last_warning, "%s", text);
    (void)context;
}

static int read_slice(struct noc_slice text, bool is_strict, struct noc_report *report,
    struct noc_passwords **ret_passwords)
{
    struct noc_passwords_options options = {.seed = 11, .is_strict = is_strict};

    *report = (struct noc_report){.warn = keep_warning};
    last_warning[0] = '\0';
    return noc_passwords_parse(text, "pw", &options, report, ret_passwords);
}

/* Must be readable, with so many warnings. */
static struct noc_passwords *read_text(const char *text, bool is_strict, unsigned warnings)
{
    struct noc_report report;
    struct noc_passwords *passwords = NULL;

    assert_int_equal(read_slice(noc_slice_of(text), is_strict, &report, &passwords), NOC_OK);
    assert_string_equal(report.error, "");
    assert_int_equal(report.warnings, warnings);
    return passwords;
}

static void must_fail(const char *text, const char *error)
{
    struct noc_report report;
    struct noc_passwords *passwords = NULL;

    assert_int_equal(read_slice(noc_slice_of(text), true, &report, &passwords), NOC_EMALFORMED);
    assert_null(passwords);
    assert_string_equal(report.error, error);
}

static int check(const struct noc_passwords *passwords, const char *user, const char *password)
{
    return noc_passwords_check(passwords, noc_slice_of(user), noc_slice_of(password), NULL);
}

static void users_of_a_file_get_in_with_their_passwords(void **state)
{
    struct noc_passwords *passwords = read_text(ALICE "\n" OLD "\none:" HASH_ONE "\n", true, 0);

    (void)state;
    assert_int_equal(noc_passwords_count(passwords), 3);
    assert_int_equal(check(passwords, "alice", "secret"), NOC_OK);
    assert_int_equal(check(passwords, "old", "oldpw"), NOC_OK);
    assert_int_equal(check(passwords, "one", "one"), NOC_OK);
    assert_int_equal(check(passwords, "alice", "oldpw"), NOC_EDENIED);
    assert_int_equal(check(passwords, "Alice", "secret"), NOC_EDENIED);
    assert_int_equal(check(passwords, "alic", "secret"), NOC_EDENIED);
    assert_int_equal(check(passwords, "nobody", "secret"), NOC_EDENIED);
    noc_passwords_unref(passwords);
}

static void form_is_tolerated(void **state)
{
    static const char *const forms[] = {
        ALICE,
        ALICE "\n",
        ALICE "\r\n",
        "\xef\xbb\xbf" ALICE "\n",
        "# comment: with colon\n\n   \n\t\r\n" ALICE " \t\n#end",
        "  alice\t: " HASH_ONE "\n",
        ALICE ":more:fields\n",
    };

    (void)state;
    for (size_t i = 0; i < NOC_COUNT(forms); i++) {
        struct noc_passwords *passwords = read_text(forms[i], true, 0);

        assert_int_equal(noc_passwords_count(passwords), 1);
        assert_int_equal(
            check(passwords, "alice", strstr(forms[i], "$7$1$") != NULL ? "one" : "secret"),
            NOC_OK);
        noc_passwords_unref(passwords);
    }
}

static void an_empty_file_lets_nobody_in(void **state)
{
    struct noc_passwords *passwords = read_text("", true, 0);

    (void)state;
    assert_int_equal(noc_passwords_count(passwords), 0);
    assert_int_equal(check(passwords, "alice", "secret"), NOC_EDENIED);
    noc_passwords_unref(passwords);
    passwords = read_text("# nothing\n", false, 0);
    assert_int_equal(noc_passwords_count(passwords), 0);
    noc_passwords_unref(passwords);
}

static void the_last_line_of_a_user_counts_with_a_warning(void **state)
{
    struct noc_passwords *passwords =
        read_text("one:" HASH_EMPTY "\n" OLD "\none:" HASH_ONE "\n", true, 1);

    (void)state;
    assert_string_equal(
        last_warning, "pw:3: user 'one' is there already; this line replaces the one before");
    assert_int_equal(noc_passwords_count(passwords), 2);
    assert_int_equal(check(passwords, "one", "one"), NOC_OK);
    noc_passwords_unref(passwords);
    passwords = read_text("one:" HASH_ONE "\none:\n", false, 2);
    assert_int_equal(check(passwords, "one", "one"), NOC_EDENIED);
    noc_passwords_unref(passwords);
}

static void lines_without_colon_are_skipped_at_start_and_refused_on_reload(void **state)
{
    struct noc_passwords *passwords = read_text("hello\none:" HASH_ONE "\n", false, 1);

    (void)state;
    assert_string_equal(last_warning, "pw:1: there is no ':' in this line; the line is skipped");
    assert_int_equal(noc_passwords_count(passwords), 1);
    noc_passwords_unref(passwords);
    noc_passwords_unref(read_text("one:" HASH_ONE "\nhello", false, 1));
    must_fail("hello\none:" HASH_ONE "\n", "pw:1: there is no ':' in this line");
    must_fail("one:" HASH_ONE "\nhello", "pw:2: the last line is cut off");
}

static void at_start_a_broken_line_costs_only_its_user(void **state)
{
    struct noc_passwords *passwords =
        read_text("one:" HASH_ONE "\nbob:hunter2\ncarl:\n :x\n:y\n", false, 4);

    (void)state;
    assert_null(strstr(last_warning, "hunter2"));
    assert_int_equal(noc_passwords_count(passwords), 3);
    assert_int_equal(check(passwords, "one", "one"), NOC_OK);
    assert_int_equal(check(passwords, "bob", "hunter2"), NOC_EDENIED);
    assert_int_equal(check(passwords, "carl", ""), NOC_EDENIED);
    noc_passwords_unref(passwords);
}

static void on_reload_a_broken_line_refuses_the_file_and_is_named(void **state)
{
    (void)state;
    must_fail("one:" HASH_ONE "\n\nbob:hunter2\n",
        "pw:3: user 'bob': the password is not hashed with $7$, $6$ or $argon2id$");
    must_fail("bob:\r\n", "pw:1: user 'bob': there is no password hash");
    must_fail("bob:$7$101$!$x\n", "pw:1: user 'bob': the salt is not 1 to 64 bytes of base64");
    must_fail(":" HASH_ONE "\n", "pw:1: there is no name before the ':'");
    /* A forged line break in a name can't get into a log. */
    must_fail(
        "b\033b:x\n", "pw:1: user 'b?b': the password is not hashed with $7$, $6$ or $argon2id$");
}

static void zero_bytes_and_utf16_are_told(void **state)
{
    static const char zeros[] = "on\0e:" HASH_ONE "\n";
    static const char in_hash[] = "one:$7$1$AA=\0=$x\n";
    static const char utf16[] = "\xff\xfeo\0n\0e\0";
    struct noc_report report;
    struct noc_passwords *passwords = NULL;

    (void)state;
    assert_int_equal(
        read_slice(noc_slice(zeros, sizeof zeros - 1), true, &report, &passwords), NOC_EMALFORMED);
    assert_string_equal(report.error, "pw:1: no client can have such a username");
    assert_int_equal(read_slice(noc_slice(in_hash, sizeof in_hash - 1), true, &report, &passwords),
        NOC_EMALFORMED);
    assert_int_equal(
        read_slice(noc_slice(utf16, sizeof utf16 - 1), false, &report, &passwords), NOC_EMALFORMED);
    assert_string_equal(report.error, "pw: is UTF-16 text (remedy: save it as UTF-8)");
    assert_int_equal(
        read_slice(noc_slice(zeros, sizeof zeros - 1), false, &report, &passwords), NOC_OK);
    assert_int_equal(noc_passwords_count(passwords), 0);
    noc_passwords_unref(passwords);
}

static void a_name_too_long_for_mqtt_is_skipped(void **state)
{
    size_t n = 65536;
    char *text = malloc(n + sizeof HASH_ONE + 2);
    struct noc_report report;
    struct noc_passwords *passwords = NULL;

    (void)state;
    memset(text, 'x', n);
    snprintf(text + n, sizeof HASH_ONE + 2, ":%s\n", HASH_ONE);
    assert_int_equal(read_slice(noc_slice_of(text), false, &report, &passwords), NOC_OK);
    assert_int_equal(noc_passwords_count(passwords), 0);
    noc_passwords_unref(passwords);
    assert_int_equal(read_slice(noc_slice_of(text + 1), true, &report, &passwords), NOC_OK);
    assert_int_equal(noc_passwords_count(passwords), 1);
    assert_int_equal(
        noc_passwords_check(passwords, noc_slice(text, n - 1), noc_slice_of("one"), NULL), NOC_OK);
    noc_passwords_unref(passwords);
    free(text);
}

static void a_file_cut_off_anywhere_is_refused_or_holds_whole_lines(void **state)
{
    static const char text[] = ALICE "\n# comment\r\n" OLD "\r\none:" HASH_ONE "\n";
    struct noc_passwords *whole = read_text(text, true, 0);
    unsigned accepted = 0;

    (void)state;
    for (size_t n = 0; n < sizeof text - 1; n++) {
        static const char *const names[] = {"alice", "old", "one"};
        char *copy = malloc(n + 1);
        struct noc_report report;
        struct noc_passwords *cut = NULL;
        size_t found = 0;

        memcpy(copy, text, n);
        if (read_slice(noc_slice(copy, n), true, &report, &cut) == NOC_OK) {
            for (size_t i = 0; i < NOC_COUNT(names); i++) {
                uint8_t now[NOC_LINE_DIGEST_BYTES], before[NOC_LINE_DIGEST_BYTES];

                if (noc_passwords_line_digest(cut, noc_slice_of(names[i]), now) == NOC_OK) {
                    found++;
                    assert_int_equal(
                        noc_passwords_line_digest(whole, noc_slice_of(names[i]), before), NOC_OK);
                    assert_memory_equal(now, before, sizeof now);
                }
            }
            assert_int_equal(found, noc_passwords_count(cut));
            accepted++;
        } else {
            assert_string_not_equal(report.error, "");
        }
        noc_passwords_unref(cut);
        free(copy);
    }
    /* Nothing, after each line and its ending, and within the comment: no more. */
    assert_in_range(accepted, 4, 20);
    noc_passwords_unref(whole);
}

static void the_digest_of_a_line_changes_with_the_entry_only(void **state)
{
    struct noc_passwords *a = read_text("x:" HASH_ONE "\n" OLD "\n", true, 0);
    struct noc_passwords *b = read_text(OLD "\r\n# moved\r\n x : " HASH_ONE " ", true, 0);
    struct noc_passwords *c = read_text("x:" HASH_EMPTY "\n", true, 0);
    uint8_t in_a[NOC_LINE_DIGEST_BYTES], in_b[NOC_LINE_DIGEST_BYTES], in_c[NOC_LINE_DIGEST_BYTES];
    static const uint8_t zero[NOC_LINE_DIGEST_BYTES];

    (void)state;
    assert_int_equal(noc_passwords_line_digest(a, noc_slice_of("x"), in_a), NOC_OK);
    assert_int_equal(noc_passwords_line_digest(b, noc_slice_of("x"), in_b), NOC_OK);
    assert_int_equal(noc_passwords_line_digest(c, noc_slice_of("x"), in_c), NOC_OK);
    assert_memory_equal(in_a, in_b, sizeof in_a);
    assert_memory_not_equal(in_a, in_c, sizeof in_a);
    assert_int_equal(noc_passwords_line_digest(c, noc_slice_of("old"), in_c), NOC_ENOENT);
    assert_memory_equal(in_c, zero, sizeof in_c);
    noc_passwords_unref(a);
    noc_passwords_unref(b);
    noc_passwords_unref(c);
}

static struct noc_password_cost cost_of(
    const struct noc_passwords *passwords, const char *user, const char *password)
{
    struct noc_password_cost cost;

    (void)!noc_passwords_check(passwords, noc_slice_of(user), noc_slice_of(password), &cost);
    return cost;
}

static void a_stranger_costs_what_most_users_cost(void **state)
{
    struct noc_passwords *passwords =
        read_text("a:" HASH_ONE "\n" ALICE "\nb:" HASH_EMPTY "\nbroken:x\n", false, 1);
    struct noc_password_cost known = cost_of(passwords, "alice", "wrong");
    struct noc_password_cost stranger = cost_of(passwords, "nobody", "wrong");
    struct noc_password_cost broken = cost_of(passwords, "broken", "x");
    struct noc_password_cost rare = cost_of(passwords, "a", "wrong");
    struct noc_password_cost none = cost_of(passwords, "alice", "");

    (void)state;
    assert_int_equal(known.scheme, NOC_PASSWORD_PBKDF2);
    assert_int_equal(known.rounds, 101);
    assert_memory_equal(&stranger, &known, sizeof known);
    assert_memory_equal(&broken, &known, sizeof known);
    assert_int_equal(rare.rounds, 1);
    /* An empty password is refused without work, whoever asks. */
    assert_int_equal(none.scheme, NOC_PASSWORD_NONE);
    none = cost_of(passwords, "nobody", "");
    assert_int_equal(none.scheme, NOC_PASSWORD_NONE);
    noc_passwords_unref(passwords);
}

static void an_empty_or_absent_password_never_gets_in(void **state)
{
    struct noc_passwords *passwords = read_text("bob:" HASH_EMPTY "\n", true, 0);

    (void)state;
    assert_int_equal(check(passwords, "bob", ""), NOC_EDENIED);
    assert_int_equal(check(passwords, "bob", NULL), NOC_EDENIED);
    noc_passwords_unref(passwords);
}

static void thousands_of_users_are_found(void **state)
{
    enum { USERS = 3000, LINE = 160 };
    char *text = malloc((size_t)USERS * LINE);
    size_t n = 0;
    struct noc_passwords *passwords;
    uint8_t digest[NOC_LINE_DIGEST_BYTES];

    (void)state;
    for (int i = 0; i < USERS; i++) {
        n += (size_t)snprintf(text + n, LINE, "user%d:%s\n", i, HASH_ONE);
    }
    passwords = read_text(text, true, 0);
    assert_int_equal(noc_passwords_count(passwords), USERS);
    for (int i = 0; i < USERS; i++) {
        char name[32];

        snprintf(name, sizeof name, "user%d", i);
        assert_int_equal(noc_passwords_line_digest(passwords, noc_slice_of(name), digest), NOC_OK);
    }
    assert_int_equal(
        noc_passwords_line_digest(passwords, noc_slice_of("user3000"), digest), NOC_ENOENT);
    assert_int_equal(check(passwords, "user2999", "one"), NOC_OK);
    noc_passwords_unref(passwords);
    free(text);
}

static void warnings_are_bounded_but_counted(void **state)
{
    char text[4 * 300 + 1];
    struct noc_report report;
    struct noc_passwords *passwords = NULL;

    (void)state;
    for (size_t i = 0; i < 300; i++) {
        memcpy(text + 4 * i, "bad\n", 5);
    }
    assert_int_equal(read_slice(noc_slice_of(text), false, &report, &passwords), NOC_OK);
    assert_int_equal(report.warnings, 300);
    assert_string_equal(last_warning, "pw:100: there is no ':' in this line; the line is skipped");
    noc_passwords_unref(passwords);
}

static void references_are_counted_and_null_is_fine(void **state)
{
    struct noc_passwords *passwords = read_text("one:" HASH_ONE, true, 0);

    (void)state;
    assert_null(noc_passwords_ref(NULL));
    noc_passwords_unref(NULL);
    assert_ptr_equal(noc_passwords_ref(passwords), passwords);
    noc_passwords_unref(passwords);
    assert_int_equal(check(passwords, "one", "one"), NOC_OK);
    noc_passwords_unref(passwords);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(users_of_a_file_get_in_with_their_passwords),
        cmocka_unit_test(form_is_tolerated),
        cmocka_unit_test(an_empty_file_lets_nobody_in),
        cmocka_unit_test(the_last_line_of_a_user_counts_with_a_warning),
        cmocka_unit_test(lines_without_colon_are_skipped_at_start_and_refused_on_reload),
        cmocka_unit_test(at_start_a_broken_line_costs_only_its_user),
        cmocka_unit_test(on_reload_a_broken_line_refuses_the_file_and_is_named),
        cmocka_unit_test(zero_bytes_and_utf16_are_told),
        cmocka_unit_test(a_name_too_long_for_mqtt_is_skipped),
        cmocka_unit_test(a_file_cut_off_anywhere_is_refused_or_holds_whole_lines),
        cmocka_unit_test(the_digest_of_a_line_changes_with_the_entry_only),
        cmocka_unit_test(a_stranger_costs_what_most_users_cost),
        cmocka_unit_test(an_empty_or_absent_password_never_gets_in),
        cmocka_unit_test(thousands_of_users_are_found),
        cmocka_unit_test(warnings_are_bounded_but_counted),
        cmocka_unit_test(references_are_counted_and_null_is_fine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
