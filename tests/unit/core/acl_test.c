/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/acl.h"
#include "core/acl_build.h"
#include <noctule/error.h>

enum {
    READ = NOC_ACCESS_READ,
    WRITE = NOC_ACCESS_WRITE,
    BOTH = NOC_ACCESS_READ | NOC_ACCESS_WRITE,
    DENY = NOC_ACCESS_DENY
};

struct line {
    const char *user; /* NULL: anonymous; "%": pattern */
    unsigned access;
    const char *filter;
};

struct question {
    const char *user, *id, *topic;
    enum noc_access access;
    bool answer;
};

static struct noc_acl *build_with(
    const struct noc_acl_options *options, const struct line *lines, size_t n)
{
    struct noc_acl_builder *builder = noc_acl_builder_new(options);

    assert_non_null(builder);
    for (size_t i = 0; i < n; i++) {
        const char *user = lines[i].user;
        enum noc_acl_who who = user == NULL             ? NOC_ACL_ANONYMOUS
                               : strcmp(user, "%") == 0 ? NOC_ACL_PATTERN
                                                        : NOC_ACL_USER;

        assert_int_equal(noc_acl_builder_add(builder, who, noc_slice_of(user), lines[i].access,
                             noc_slice_of(lines[i].filter)),
            NOC_OK);
    }
    return noc_acl_builder_build(builder);
}

static struct noc_acl *build(const struct line *lines, size_t n)
{
    return build_with(&(struct noc_acl_options){.seed = 7, .version = 1}, lines, n);
}

static bool allows(const struct noc_acl *acl, const char *user, const char *id,
    enum noc_access access, const char *topic)
{
    struct noc_acl_subject subject = {noc_slice_of(id), noc_slice_of(user)};

    return noc_acl_allows(acl, &subject, access, noc_slice_of(topic));
}

static void ask(const struct noc_acl *acl, const struct question *questions, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct question *q = &questions[i];

        if (allows(acl, q->user, q->id, q->access, q->topic) != q->answer) {
            fail_msg("question %zu: user %s id %s topic %s access %d", i,
                q->user == NULL ? "-" : q->user, q->id, q->topic, (int)q->access);
        }
    }
}

static void without_a_file_all_is_allowed_but_writing_sys(void **state)
{
    static const struct question questions[] = {
        {NULL, "c", "a", NOC_ACCESS_WRITE, true},
        {"u", "c+#", "a/b", NOC_ACCESS_READ, true},
        {NULL, "c", "$SYS/broker/load", NOC_ACCESS_READ, true},
        {NULL, "c", "$SYS/broker/load", NOC_ACCESS_WRITE, false},
        {NULL, "c", "$SYS", NOC_ACCESS_WRITE, false},
        {NULL, "c", "$SYSx", NOC_ACCESS_WRITE, false},
        {NULL, "c", "$SYS/broker/connection/b1/state", NOC_ACCESS_WRITE, true},
        {NULL, "c", "$SYS/broker/connection/b1/state/x", NOC_ACCESS_WRITE, false},
        {NULL, "c", "$SYS/broker/connection/b1/b2/state", NOC_ACCESS_WRITE, false},
        {NULL, "c", "$share/g/a", NOC_ACCESS_WRITE, false},
        {NULL, "c", "$share/g/a", NOC_ACCESS_READ, false},
        {NULL, "c", "$other/a", NOC_ACCESS_WRITE, true},
        {NULL, "c", "", NOC_ACCESS_READ, false},
    };

    (void)state;
    ask(NULL, questions, NOC_COUNT(questions));
}

static void an_empty_file_allows_nothing(void **state)
{
    struct noc_acl *acl = build(NULL, 0);

    (void)state;
    assert_false(allows(acl, NULL, "c", NOC_ACCESS_READ, "a"));
    assert_false(allows(acl, "u", "c", NOC_ACCESS_WRITE, "a"));
    noc_acl_unref(acl);
}

/* The same lines were given to mosquitto 2.0.11, and these are its answers. */
static void the_answers_are_those_of_mosquitto(void **state)
{
    static const struct line lines[] = {
        {NULL, READ, "anon/#"},
        {NULL, DENY, "anon/secret"},
        {NULL, BOTH, "$SYS/#"},
        {"alice", READ, "a/#"},
        {"alice", WRITE, "a/w"},
        {"alice", DENY, "a/x"},
        {"alice", BOTH, "both"},
        {"alice", WRITE, "late"},
        {"%", WRITE, "dev/%c/up"},
        {"%", READ, "dev/%c/down"},
        {"%", BOTH, "u/%u/#"},
        {"%", BOTH, "pre-%c-post/+/z"},
        {"%", DENY, "u/%u/no"},
    };
    static const struct question questions[] = {
        {NULL, "c1", "anon/a", NOC_ACCESS_WRITE, false},
        {NULL, "c1", "anon/a", NOC_ACCESS_READ, true},
        {NULL, "c1", "anon", NOC_ACCESS_READ, true},
        {NULL, "c1", "anon/secret", NOC_ACCESS_READ, false},
        {"alice", "c1", "anon/a", NOC_ACCESS_READ, false},
        {"alice", "c1", "a/w", NOC_ACCESS_WRITE, true},
        {"alice", "c1", "a/x", NOC_ACCESS_WRITE, false},
        {"alice", "c1", "a/x", NOC_ACCESS_READ, false},
        {"alice", "c1", "a/r", NOC_ACCESS_WRITE, false},
        {"alice", "c1", "a/r", NOC_ACCESS_READ, true},
        {"alice", "c1", "both", NOC_ACCESS_WRITE, true},
        {"alice", "c1", "late", NOC_ACCESS_WRITE, true},
        {"alice", "c1", "dev/c1/up", NOC_ACCESS_WRITE, true},
        {"alice", "c1", "dev/c1/up", NOC_ACCESS_READ, false},
        {NULL, "c1", "dev/c1/up", NOC_ACCESS_WRITE, true},
        {NULL, "c2", "dev/c1/up", NOC_ACCESS_WRITE, false},
        {"alice", "c1", "u/alice", NOC_ACCESS_WRITE, true},
        {"alice", "c1", "u/alice/k", NOC_ACCESS_WRITE, true},
        {"alice", "c1", "u/alice/no", NOC_ACCESS_WRITE, false},
        {"alice", "c1", "u/alicex", NOC_ACCESS_WRITE, false},
        {"alice", "c1", "u/alic", NOC_ACCESS_WRITE, false},
        {NULL, "c1", "u//k", NOC_ACCESS_WRITE, false},
        {NULL, "c1", "pre-c1-post/q/z", NOC_ACCESS_WRITE, true},
        {NULL, "c1", "pre-c1-post//z", NOC_ACCESS_WRITE, true},
        {NULL, "c1", "pre-c1-post/q/r/z", NOC_ACCESS_WRITE, false},
        {NULL, "c1", "pre-c1-post/q", NOC_ACCESS_WRITE, false},
        {"bob", "c1", "both", NOC_ACCESS_WRITE, false},
        {NULL, "c1", "$SYS/broker/connection/x/state", NOC_ACCESS_WRITE, true},
        {NULL, "c1", "$SYS/foo", NOC_ACCESS_WRITE, false},
        {NULL, "c1", "$SYS/foo", NOC_ACCESS_READ, true},
        {"alice", "c1", "$SYS/foo", NOC_ACCESS_READ, false},
        {NULL, "c1", "$SYSfoo", NOC_ACCESS_WRITE, false},
        {"alice", "c1", "$share/g/x", NOC_ACCESS_WRITE, false},
        {NULL, "$SYS", "dev/$SYS/up", NOC_ACCESS_WRITE, true},
        /* Dangerous names: their own lines count, patterns don't. */
        {"alice", "a+b", "both", NOC_ACCESS_WRITE, true},
        {"alice", "a+b", "dev/x/up", NOC_ACCESS_WRITE, false},
        {NULL, "a+b", "dev/a+b/up", NOC_ACCESS_WRITE, false},
        {"alice", "x#", "dev/c1/up", NOC_ACCESS_WRITE, false},
        {"al+ice", "c1", "dev/c1/up", NOC_ACCESS_WRITE, false},
        /* A slash in a name adds a level. */
        {NULL, "x/y", "dev/x/y/up", NOC_ACCESS_WRITE, true},
        {NULL, "a/b", "pre-a/b-post/q/z", NOC_ACCESS_WRITE, true},
    };
    struct noc_acl *acl = build(lines, NOC_COUNT(lines));

    (void)state;
    ask(acl, questions, NOC_COUNT(questions));
    noc_acl_unref(acl);
}

static void a_line_without_the_access_bit_is_passed_over(void **state)
{
    static const struct line lines[] = {
        {"u", READ, "a/#"},
        {"u", WRITE, "a/+"},
        {"%", WRITE, "a/%c/d"},
    };
    struct noc_acl *acl = build(lines, NOC_COUNT(lines));

    (void)state;
    assert_true(allows(acl, "u", "c", NOC_ACCESS_WRITE, "a/b"));
    assert_true(allows(acl, "u", "c", NOC_ACCESS_WRITE, "a/c/d"));
    assert_false(allows(acl, "u", "c", NOC_ACCESS_WRITE, "a/b/d"));
    assert_true(allows(acl, "u", "c", NOC_ACCESS_READ, "a/b/d"));
    noc_acl_unref(acl);
}

static void deny_lines_come_first_wherever_they_stand(void **state)
{
    static const struct line lines[] = {
        {"u", BOTH, "#"},
        {"u", BOTH, "x/y"},
        {"u", DENY, "x/+"},
        {"u", BOTH, "x/z"},
        {"u", DENY, "q"},
        {"%", BOTH, "x/%c"},
    };
    struct noc_acl *acl = build(lines, NOC_COUNT(lines));

    (void)state;
    assert_false(allows(acl, "u", "c", NOC_ACCESS_READ, "x/y"));
    assert_false(allows(acl, "u", "c", NOC_ACCESS_WRITE, "x/z"));
    assert_false(allows(acl, "u", "c", NOC_ACCESS_READ, "q"));
    assert_true(allows(acl, "u", "c", NOC_ACCESS_READ, "x/y/z"));
    /* A user's refusal is final: the pattern is not asked. */
    assert_false(allows(acl, "u", "c", NOC_ACCESS_READ, "x/c"));
    assert_true(allows(acl, "v", "c", NOC_ACCESS_READ, "x/c"));
    noc_acl_unref(acl);
}

static void a_users_own_grant_beats_a_denying_pattern(void **state)
{
    static const struct line lines[] = {{"u", READ, "p/#"}, {"%", DENY, "p/%c"}};
    struct noc_acl *acl = build(lines, NOC_COUNT(lines));

    (void)state;
    assert_true(allows(acl, "u", "c", NOC_ACCESS_READ, "p/c"));
    assert_false(allows(acl, "u", "c", NOC_ACCESS_WRITE, "p/c"));
    noc_acl_unref(acl);
}

static void only_a_line_with_a_dollar_covers_dollar_topics(void **state)
{
    static const struct line lines[] = {
        {"u", BOTH, "#"},
        {"u", BOTH, "+/x"},
        {"s", READ, "$SYS/#"},
        {"%", BOTH, "%c/#"},
        {"%", BOTH, "$%u/#"},
    };
    struct noc_acl *acl = build(lines, NOC_COUNT(lines));

    (void)state;
    assert_false(allows(acl, "u", "c", NOC_ACCESS_READ, "$SYS/x"));
    assert_false(allows(acl, "u", "c", NOC_ACCESS_READ, "$other/x"));
    assert_true(allows(acl, "s", "c", NOC_ACCESS_READ, "$SYS/x"));
    /* A client can't open $SYS by calling itself so. */
    assert_false(allows(acl, "t", "$SYS", NOC_ACCESS_READ, "$SYS/x"));
    assert_false(allows(acl, NULL, "$SYS", NOC_ACCESS_READ, "$SYS/x"));
    assert_true(allows(acl, "own", "c", NOC_ACCESS_READ, "$own/x"));
    assert_false(allows(acl, "own", "c", NOC_ACCESS_READ, "$else/x"));
    noc_acl_unref(acl);
}

static void substitutes_may_stand_anywhere_and_often(void **state)
{
    static const struct line lines[] = {
        {"%", BOTH, "%c%u/%c"},
        {"%", BOTH, "100%/%%c/%x"},
        {"%", BOTH, "+/%u/#"},
        {"%", BOTH, "end/%c"},
        {"%", BOTH, "t/%c/+"},
    };
    static const struct question questions[] = {
        {"u", "c", "cu/c", NOC_ACCESS_READ, true},
        {"u", "c", "cu/cc", NOC_ACCESS_READ, false},
        {"u", "c", "cu", NOC_ACCESS_READ, false},
        {"u", "c", "c", NOC_ACCESS_READ, false},
        {"u", "c", "100%/%c/%x", NOC_ACCESS_READ, true},
        {"u", "%u", "100%/%%u/%x", NOC_ACCESS_READ, true}, /* put in once, not again */
        {"u", "c", "any/u", NOC_ACCESS_READ, true},
        {"u", "c", "/u", NOC_ACCESS_READ, true},
        {"u", "c", "any/u/more/x", NOC_ACCESS_READ, true},
        {"u", "c", "any/ux", NOC_ACCESS_READ, false},
        {"u", "c", "any", NOC_ACCESS_READ, false},
        {"", "c", "any//x", NOC_ACCESS_READ, true}, /* an empty name is a name */
        {"u", "client-with-a-rather-long-name", "end/client-with-a-rather-long-name",
            NOC_ACCESS_READ, true},
        {"u", "client-with-a-rather-long-name", "end/client-with-a-rather-long-nam",
            NOC_ACCESS_READ, false},
        {"u", "c", "t/c/", NOC_ACCESS_READ, true},
        {"u", "c", "t/c", NOC_ACCESS_READ, false},
        {"u", "c", "t/c/x/y", NOC_ACCESS_READ, false},
    };
    struct noc_acl *acl = build(lines, NOC_COUNT(lines));

    (void)state;
    ask(acl, questions, NOC_COUNT(questions));
    noc_acl_unref(acl);
}

static void percent_signs_in_a_users_lines_are_plain_text(void **state)
{
    static const struct line lines[] = {{"u", BOTH, "dev/%c"}, {NULL, BOTH, "dev/%u"}};
    struct noc_acl *acl = build(lines, NOC_COUNT(lines));

    (void)state;
    assert_true(allows(acl, "u", "c", NOC_ACCESS_READ, "dev/%c"));
    assert_false(allows(acl, "u", "c", NOC_ACCESS_READ, "dev/c"));
    assert_true(allows(acl, NULL, "c", NOC_ACCESS_READ, "dev/%u"));
    noc_acl_unref(acl);
}

static void slashes_in_names_can_be_refused(void **state)
{
    static const struct line lines[] = {{"%", BOTH, "dev/%c"}, {"a/b", BOTH, "own"}};
    struct noc_acl_options options = {.version = 1, .deny_slash = true};
    struct noc_acl *acl = build_with(&options, lines, NOC_COUNT(lines));

    (void)state;
    assert_true(allows(acl, NULL, "c", NOC_ACCESS_READ, "dev/c"));
    assert_false(allows(acl, NULL, "x/y", NOC_ACCESS_READ, "dev/x/y"));
    assert_false(allows(acl, "a/b", "c", NOC_ACCESS_READ, "dev/c"));
    assert_true(allows(acl, "a/b", "x/y", NOC_ACCESS_READ, "own"));
    noc_acl_unref(acl);
}

static void without_patterns_no_name_is_dangerous(void **state)
{
    static const struct line lines[] = {{"a+#", BOTH, "own"}};
    struct noc_acl *acl = build(lines, NOC_COUNT(lines));

    (void)state;
    assert_true(allows(acl, "a+#", "+", NOC_ACCESS_READ, "own"));
    noc_acl_unref(acl);
}

static void a_subject_without_client_id_gets_nothing_by_pattern(void **state)
{
    static const struct line lines[] = {{NULL, READ, "a"}, {"%", BOTH, "b"}};
    struct noc_acl *acl = build(lines, NOC_COUNT(lines));

    (void)state;
    assert_true(allows(acl, NULL, NULL, NOC_ACCESS_READ, "a"));
    assert_false(allows(acl, NULL, NULL, NOC_ACCESS_READ, "b"));
    assert_true(allows(acl, NULL, "", NOC_ACCESS_READ, "b"));
    noc_acl_unref(acl);
}

static void what_is_no_filter_or_no_access_is_refused_and_changes_nothing(void **state)
{
    static const char *const bad[] = {"", "a+", "+a/b", "a/#/b", "a#", "%c+", "a/#%c", "+%u/x"};
    struct noc_acl_builder *builder = noc_acl_builder_new(&(struct noc_acl_options){.version = 1});
    struct noc_slice user = noc_slice_of("u");
    struct noc_acl *acl;

    (void)state;
    for (size_t i = 0; i < NOC_COUNT(bad); i++) {
        assert_int_equal(
            noc_acl_builder_add(builder, NOC_ACL_PATTERN, user, BOTH, noc_slice_of(bad[i])),
            NOC_EINVAL);
        assert_int_equal(
            noc_acl_builder_add(builder, NOC_ACL_USER, user, BOTH, noc_slice_of(bad[i])),
            NOC_EINVAL);
    }
    for (unsigned access = 0; access < 9; access++) {
        int expected = access >= 1 && access <= 4 ? NOC_OK : NOC_EINVAL;

        assert_int_equal(
            noc_acl_builder_add(builder, NOC_ACL_USER, user, access, noc_slice_of("deny/me")),
            expected);
    }
    acl = noc_acl_builder_build(builder);
    assert_false(allows(acl, "u", "c", NOC_ACCESS_READ, "deny/me"));
    assert_false(allows(acl, "v", "c", NOC_ACCESS_READ, "x"));
    noc_acl_unref(acl);
}

static void thousands_of_users_each_find_their_own_lines(void **state)
{
    enum { USERS = 5000 };
    struct noc_acl_builder *builder =
        noc_acl_builder_new(&(struct noc_acl_options){.seed = 3, .version = 1});
    struct noc_acl *acl;
    char name[32], topic[32];

    (void)state;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < USERS; i++) {
            snprintf(name, sizeof name, "user%d", i);
            snprintf(topic, sizeof topic, "site/%d/%d", i, round);
            assert_int_equal(noc_acl_builder_add(builder, NOC_ACL_USER, noc_slice_of(name), BOTH,
                                 noc_slice_of(topic)),
                NOC_OK);
        }
    }
    acl = noc_acl_builder_build(builder);
    for (int i = 0; i < USERS; i++) {
        snprintf(name, sizeof name, "user%d", i);
        for (int round = 0; round < 2; round++) {
            snprintf(topic, sizeof topic, "site/%d/%d", i, round);
            assert_true(allows(acl, name, "c", NOC_ACCESS_READ, topic));
        }
        snprintf(topic, sizeof topic, "site/%d/0", (i + 1) % USERS);
        assert_false(allows(acl, name, "c", NOC_ACCESS_READ, topic));
    }
    assert_false(allows(acl, "user5000", "c", NOC_ACCESS_READ, "site/0/0"));
    noc_acl_unref(acl);
}

static void references_are_counted_and_null_is_fine(void **state)
{
    struct noc_acl *acl = build_with(&(struct noc_acl_options){.version = 42}, NULL, 0);

    (void)state;
    assert_null(noc_acl_ref(NULL));
    noc_acl_unref(NULL);
    noc_acl_builder_free(NULL);
    noc_acl_builder_free(noc_acl_builder_new(&(struct noc_acl_options){.version = 1}));
    assert_ptr_equal(noc_acl_ref(acl), acl);
    noc_acl_unref(acl);
    assert_true(noc_acl_version(acl) == 42);
    noc_acl_unref(acl);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_file_all_is_allowed_but_writing_sys),
        cmocka_unit_test(an_empty_file_allows_nothing),
        cmocka_unit_test(the_answers_are_those_of_mosquitto),
        cmocka_unit_test(a_line_without_the_access_bit_is_passed_over),
        cmocka_unit_test(deny_lines_come_first_wherever_they_stand),
        cmocka_unit_test(a_users_own_grant_beats_a_denying_pattern),
        cmocka_unit_test(only_a_line_with_a_dollar_covers_dollar_topics),
        cmocka_unit_test(substitutes_may_stand_anywhere_and_often),
        cmocka_unit_test(percent_signs_in_a_users_lines_are_plain_text),
        cmocka_unit_test(slashes_in_names_can_be_refused),
        cmocka_unit_test(without_patterns_no_name_is_dangerous),
        cmocka_unit_test(a_subject_without_client_id_gets_nothing_by_pattern),
        cmocka_unit_test(what_is_no_filter_or_no_access_is_refused_and_changes_nothing),
        cmocka_unit_test(thousands_of_users_each_find_their_own_lines),
        cmocka_unit_test(references_are_counted_and_null_is_fine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
