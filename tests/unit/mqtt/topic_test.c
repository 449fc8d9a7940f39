/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "mqtt/topic.h"

static char slashes[70000];

static int fill(void **state)
{
    (void)state;
    memset(slashes, '/', sizeof slashes);
    return 0;
}

static bool topic(const char *text)
{
    return noc_topic_is_valid(noc_slice_of(text));
}

static bool filter(const char *text)
{
    return noc_filter_is_valid(noc_slice_of(text));
}

static bool matches(const char *filter_text, const char *topic_text)
{
    return noc_filter_matches(noc_slice_of(filter_text), noc_slice_of(topic_text));
}

static void a_topic_is_not_empty_and_has_no_wildcard(void **state)
{
    (void)state; /* [MQTT-4.7.3-1], [MQTT-3.3.2-2] */
    assert_true(topic("a"));
    assert_true(topic("/"));
    assert_true(topic("a//b "));
    assert_true(topic("$SYS/x"));
    assert_false(topic(""));
    assert_false(topic("a/#"));
    assert_false(topic("+"));
    assert_false(topic("a+b"));
}

static void topics_and_filters_have_two_hundred_levels_and_65535_bytes_at_most(void **state)
{
    static char letters[65536];

    (void)state; /* [MQTT-4.7.3-3] */
    assert_true(noc_topic_is_valid(noc_slice(slashes, 199)));
    assert_false(noc_topic_is_valid(noc_slice(slashes, 200)));
    assert_true(noc_filter_is_valid(noc_slice(slashes, 199)));
    assert_false(noc_filter_is_valid(noc_slice(slashes, 200)));
    memset(letters, 'a', sizeof letters);
    assert_true(noc_topic_is_valid(noc_slice(letters, 65535)));
    assert_false(noc_topic_is_valid(noc_slice(letters, 65536)));
    assert_true(noc_filter_is_valid(noc_slice(letters, 65535)));
    assert_false(noc_filter_is_valid(noc_slice(letters, 65536)));
}

static void wildcards_of_a_filter_fill_their_level(void **state)
{
    static const char *const good[] = {
        "#", "+", "a/#", "+/+", "a/+/b/#", "/+", "+/", "/#", "//", "a", "$share", "$SYS/#"};
    static const char *const bad[] = {"", "a#", "#a", "#/", "#/a", "a/#/b", "##", "a+", "+a",
        "a/+b", "a/b+/c", "++", "+#", "a/#b"};

    (void)state; /* [MQTT-4.7.1-1], [MQTT-4.7.1-2] */
    for (size_t i = 0; i < NOC_COUNT(good); i++) {
        assert_true(filter(good[i]));
    }
    for (size_t i = 0; i < NOC_COUNT(bad); i++) {
        assert_false(filter(bad[i]));
    }
}

static void a_wildcard_is_found_anywhere(void **state)
{
    (void)state;
    assert_true(noc_filter_has_wildcard(noc_slice_of("a/+/b")));
    assert_true(noc_filter_has_wildcard(noc_slice_of("#")));
    assert_false(noc_filter_has_wildcard(noc_slice_of("a/b")));
    assert_false(noc_filter_has_wildcard(noc_slice_of("")));
}

static void levels_are_taken_one_by_one(void **state)
{
    struct noc_slice rest = noc_slice_of("a//b/");
    static const char *const want[] = {"a", "", "b", ""};

    (void)state;
    for (size_t i = 0; i < NOC_COUNT(want); i++) {
        assert_non_null(rest.at);
        assert_true(noc_slice_equal(noc_topic_next_level(&rest), noc_slice_of(want[i])));
    }
    assert_null(rest.at);
}

static void a_filter_matches_as_the_standard_says(void **state)
{
    static const struct {
        const char *filter, *topic;
        bool want;
    } cases[] = {
        {"a/b/c", "a/b/c", true},
        {"a/b/c", "a/b", false},
        {"a/b", "a/b/c", false},
        {"a/b", "a/b/", false},
        {"a/b/", "a/b", false},
        {"a/b", "A/b", false}, /* case counts, [MQTT-4.7.3-4] */
        {"a/b", "a/bc", false},
        {"sport/tennis/player1/#", "sport/tennis/player1", true},
        {"sport/tennis/player1/#", "sport/tennis/player1/ranking", true},
        {"sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true},
        {"sport/tennis/player1/#", "sport/tennis/player2", false},
        {"sport/#", "sport", true},
        {"sport/#", "sports", false},
        {"#", "sport", true},
        {"#", "/", true},
        {"#", "a/b/c", true},
        {"sport/tennis/+", "sport/tennis/player1", true},
        {"sport/tennis/+", "sport/tennis/player1/ranking", false},
        {"sport/+", "sport", false},
        {"sport/+", "sport/", true},
        {"+/+", "/finance", true},
        {"/+", "/finance", true},
        {"+", "/finance", false},
        {"+", "finance", true},
        {"+/b/#", "a/b", true},
        {"+/b/#", "a/b/c/d", true},
        {"+/b/#", "a/c", false},
        {"a/+/c", "a//c", true},
        {"//", "//", true},
        {"//", "/", false},
        /* [MQTT-4.7.2-1] */
        {"#", "$SYS/x", false},
        {"+/x", "$SYS/x", false},
        {"+", "$SYS", false},
        {"$SYS/#", "$SYS/x", true},
        {"$SYS/#", "$SYS", true},
        {"$SYS/+/x", "$SYS/a/x", true},
        {"$SYS/x", "$SYS/x", true},
        {"a/#", "a/$x", true},
    };

    (void)state;
    for (size_t i = 0; i < NOC_COUNT(cases); i++) {
        if (matches(cases[i].filter, cases[i].topic) != cases[i].want) {
            fail_msg("'%s' against '%s'", cases[i].filter, cases[i].topic);
        }
    }
}

static void a_shared_filter_is_taken_apart(void **state)
{
    struct noc_slice group, inner;

    (void)state;
    assert_true(noc_filter_is_shared(noc_slice_of("$share/")));
    assert_false(noc_filter_is_shared(noc_slice_of("$share")));
    assert_false(noc_filter_is_shared(noc_slice_of("$shared/a/b")));
    assert_false(noc_filter_is_shared(noc_slice_of("a/$share/b")));
    assert_true(noc_share_split(noc_slice_of("$share/g/a/+/#"), &group, &inner));
    assert_true(noc_slice_equal(group, noc_slice_of("g")));
    assert_true(noc_slice_equal(inner, noc_slice_of("a/+/#")));
    assert_true(noc_share_split(noc_slice_of("$share/g//"), &group, &inner));
    assert_true(noc_slice_equal(inner, noc_slice_of("/")));
}

static void a_shared_filter_needs_a_plain_group_and_a_valid_filter(void **state)
{
    static const char *const bad[] = {"$share", "$share/", "$share/g", "$share/g/", "$share//a",
        "$share/+/a", "$share/#/a", "$share/g+/a", "$share/g#/a", "$share/g/a#", "$share/g/#/a",
        "a/b/c", ""};
    struct noc_slice group, inner;

    (void)state; /* [MQTT-4.8.2-1], [MQTT-4.8.2-2] */
    for (size_t i = 0; i < NOC_COUNT(bad); i++) {
        assert_false(noc_share_split(noc_slice_of(bad[i]), &group, &inner));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_topic_is_not_empty_and_has_no_wildcard),
        cmocka_unit_test(topics_and_filters_have_two_hundred_levels_and_65535_bytes_at_most),
        cmocka_unit_test(wildcards_of_a_filter_fill_their_level),
        cmocka_unit_test(a_wildcard_is_found_anywhere),
        cmocka_unit_test(levels_are_taken_one_by_one),
        cmocka_unit_test(a_filter_matches_as_the_standard_says),
        cmocka_unit_test(a_shared_filter_is_taken_apart),
        cmocka_unit_test(a_shared_filter_needs_a_plain_group_and_a_valid_filter),
    };

    return cmocka_run_group_tests(tests, fill, NULL);
}
