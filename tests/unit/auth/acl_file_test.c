/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "auth/acl_file.h"
#include <noctule/error.h>

static char last_warning[NOC_REPORT_TEXT];

static void keep_warning(void *context, const char *text)
{
    snprintf(last_warning, sizeof last_warning, "%s", text);
    (void)context;
}

static int read_slice(struct noc_slice text, struct noc_report *report, struct noc_acl **ret_acl)
{
    struct noc_acl_file_options options = {.acl = {.seed = 5, .version = 9}};

    *report = (struct noc_report){.warn = keep_warning};
    last_warning[0] = '\0';
    return noc_acl_file_parse(text, "acl", &options, report, ret_acl);
}

static struct noc_acl *read_text(const char *text, unsigned warnings)
{
    struct noc_report report;
    struct noc_acl *acl = NULL;

    assert_int_equal(read_slice(noc_slice_of(text), &report, &acl), NOC_OK);
    assert_string_equal(report.error, "");
    assert_int_equal(report.warnings, warnings);
    return acl;
}

/* The answer for reading and writing, as letters. */
static const char *rights(
    const struct noc_acl *acl, const char *user, const char *id, const char *topic)
{
    struct noc_acl_subject subject = {noc_slice_of(id), noc_slice_of(user)};
    bool can_read = noc_acl_allows(acl, &subject, NOC_ACCESS_READ, noc_slice_of(topic));
    bool can_write = noc_acl_allows(acl, &subject, NOC_ACCESS_WRITE, noc_slice_of(topic));

    return can_read ? (can_write ? "rw" : "r-") : (can_write ? "-w" : "--");
}

static void topics_belong_to_the_user_above_or_to_anonymous(void **state)
{
    struct noc_acl *acl = read_text("# who may what\n"
                                    "topic read public/#\n"
                                    "\n"
                                    "user roger\n"
                                    "topic foo/bar\n"
                                    "topic write out\n"
                                    "user ann lee\r\n"
                                    "topic readwrite ann\r\n"
                                    "topic deny ann/x\n"
                                    "topic ann/+\n"
                                    "user roger\n"
                                    "topic read late",
        0);

    (void)state;
    assert_string_equal(rights(acl, NULL, "c", "public/a"), "r-");
    assert_string_equal(rights(acl, "roger", "c", "public/a"), "--");
    assert_string_equal(rights(acl, "roger", "c", "foo/bar"), "rw");
    assert_string_equal(rights(acl, "roger", "c", "out"), "-w");
    assert_string_equal(rights(acl, "roger", "c", "late"), "r-");
    assert_string_equal(rights(acl, "ann lee", "c", "ann"), "rw");
    assert_string_equal(rights(acl, "ann lee", "c", "ann/x"), "--");
    assert_string_equal(rights(acl, "ann lee", "c", "ann/y"), "rw");
    assert_string_equal(rights(acl, "ann", "c", "ann"), "--");
    assert_true(noc_acl_version(acl) == 9);
    noc_acl_unref(acl);
}

static void patterns_hold_for_everybody(void **state)
{
    struct noc_acl *acl = read_text("pattern write dev/%c/up\n"
                                    "user bob\n"
                                    "pattern read dev/%u/down\n"
                                    "topic own\n"
                                    "pattern deny dev/%c/up/secret\n",
        0);

    (void)state;
    assert_string_equal(rights(acl, NULL, "c1", "dev/c1/up"), "-w");
    assert_string_equal(rights(acl, "bob", "c1", "dev/c1/up"), "-w");
    assert_string_equal(rights(acl, "eve", "c1", "dev/eve/down"), "r-");
    assert_string_equal(rights(acl, NULL, "c1", "dev//down"), "--");
    assert_string_equal(rights(acl, "bob", "c1", "own"), "rw");
    assert_string_equal(rights(acl, "eve", "c1", "own"), "--");
    noc_acl_unref(acl);
}

static void one_word_is_the_topic_even_if_it_reads_like_an_access(void **state)
{
    struct noc_acl *acl = read_text("topic read\ntopic deny\n  topic   write   a  b \t\r\n", 0);

    (void)state;
    assert_string_equal(rights(acl, NULL, "c", "read"), "rw");
    assert_string_equal(rights(acl, NULL, "c", "deny"), "rw");
    assert_string_equal(rights(acl, NULL, "c", "a  b"), "-w");
    noc_acl_unref(acl);
}

static void an_empty_file_allows_nothing(void **state)
{
    static const char *const empty[] = {"", "\n", "#\n\n \n", "\xef\xbb\xbf# x", "user bob\n"};

    (void)state;
    for (size_t i = 0; i < NOC_COUNT(empty); i++) {
        struct noc_acl *acl = read_text(empty[i], 0);

        assert_string_equal(rights(acl, NULL, "c", "a"), "--");
        assert_string_equal(rights(acl, "bob", "c", "a"), "--");
        noc_acl_unref(acl);
    }
}

static void a_pattern_without_substitute_is_warned_of_and_works(void **state)
{
    struct noc_acl *acl = read_text("pattern read common/#\n", 1);

    (void)state;
    assert_string_equal(last_warning,
        "acl:1: the pattern 'common/#' has neither %c nor %u: it is the same for every client");
    assert_string_equal(rights(acl, "bob", "c", "common/a"), "r-");
    noc_acl_unref(acl);
}

/* Each of these mosquitto 2.0.11 refuses too, but for the zero byte and UTF-16. */
static void other_lines_are_errors_with_line_cause_and_remedy(void **state)
{
    static const struct {
        const char *text, *error;
    } cases[] = {
        {"topic\n", "acl:1: the topic is missing"},
        {"\npattern  \n", "acl:2: the topic is missing"},
        {"user\n", "acl:1: the name of the user is missing"},
        {"user  \r\n", "acl:1: the name of the user is missing"},
        {"foo bar\n", "acl:1: 'foo' is not topic, user or pattern (remedy: correct the word, or "
                      "begin the line with #)"},
        {"Topic a\n", "acl:1: 'Topic' is not topic, user or pattern (remedy: correct the word, or "
                      "begin the line with #)"},
        {"topic\tread a\n", "acl:1: 'topic?read' is not topic, user or pattern (remedy: separate "
                            "words by spaces, not tabs)"},
        {"\ttopic a\n", "acl:1: '?topic' is not topic, user or pattern (remedy: separate words by "
                        "spaces, not tabs)"},
        {"  # late\n", "acl:1: '#' is not topic, user or pattern (remedy: a comment begins in the "
                       "first column)"},
        {"topic foo bar\n",
            "acl:1: 'foo' is not read, write, readwrite or deny (remedy: a topic with spaces needs "
            "one of these words before it)"},
        {"topic a\ntopic a/+b\n", "acl:2: 'a/+b' is not a topic filter (remedy: + and # stand "
                                  "alone between slashes, # only at the end)"},
        {"pattern a/+%c\n", "acl:1: 'a/+%c' is not a topic filter (remedy: + and # stand alone "
                            "between slashes, # only at the end)"},
        {"topic read a/#/b\n", "acl:1: 'a/#/b' is not a topic filter (remedy: + and # stand alone "
                               "between slashes, # only at the end)"},
        {"\xff\xfet", "acl: is UTF-16 text (remedy: save it as UTF-8)"},
    };

    (void)state;
    for (size_t i = 0; i < NOC_COUNT(cases); i++) {
        struct noc_report report;
        struct noc_acl *acl = NULL;

        assert_int_equal(read_slice(noc_slice_of(cases[i].text), &report, &acl), NOC_EMALFORMED);
        assert_null(acl);
        assert_string_equal(report.error, cases[i].error);
    }
}

static void a_zero_byte_is_an_error(void **state)
{
    static const char text[] = "topic read a\0b\n";
    struct noc_report report;
    struct noc_acl *acl = NULL;

    (void)state;
    assert_int_equal(read_slice(noc_slice(text, sizeof text - 1), &report, &acl), NOC_EMALFORMED);
    assert_string_equal(report.error, "acl:1: there is a zero byte in this line");
}

static void a_file_cut_off_anywhere_is_read_without_harm(void **state)
{
    static const char text[] = "topic read a/#\r\nuser bob\ntopic deny x y\npattern u/%u/%c\n";

    (void)state;
    for (size_t n = 0; n < sizeof text; n++) {
        char *copy = malloc(n + 1);
        struct noc_report report;
        struct noc_acl *acl = NULL;

        memcpy(copy, text, n);
        if (read_slice(noc_slice(copy, n), &report, &acl) == NOC_OK) {
            (void)rights(acl, "bob", "c", "u/bob/c");
        } else {
            assert_string_not_equal(report.error, "");
        }
        noc_acl_unref(acl);
        free(copy);
    }
}

static void a_long_word_does_not_burst_the_report(void **state)
{
    char text[3000];
    struct noc_report report;
    struct noc_acl *acl = NULL;

    (void)state;
    memset(text, 'x', sizeof text);
    assert_int_equal(read_slice(noc_slice(text, sizeof text), &report, &acl), NOC_EMALFORMED);
    assert_in_range(strlen(report.error), 100, NOC_REPORT_TEXT - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(topics_belong_to_the_user_above_or_to_anonymous),
        cmocka_unit_test(patterns_hold_for_everybody),
        cmocka_unit_test(one_word_is_the_topic_even_if_it_reads_like_an_access),
        cmocka_unit_test(an_empty_file_allows_nothing),
        cmocka_unit_test(a_pattern_without_substitute_is_warned_of_and_works),
        cmocka_unit_test(other_lines_are_errors_with_line_cause_and_remedy),
        cmocka_unit_test(a_zero_byte_is_an_error),
        cmocka_unit_test(a_file_cut_off_anywhere_is_read_without_harm),
        cmocka_unit_test(a_long_word_does_not_burst_the_report),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
