/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include <stdio.h>
#include <string.h>

#include "core/alias.h"

/* A link with nothing but aliases. */
struct fixture {
    struct noc_core core;
    struct noc_shard shard;
    struct noc_link link;
};

static void init(struct fixture *fixture, uint16_t in_max, uint16_t out_max)
{
    memset(fixture, 0, sizeof *fixture);
    fixture->core.seed = 3;
    fixture->shard.core = &fixture->core;
    fixture->link.shard = &fixture->shard;
    fixture->link.aliases_in_max = in_max;
    fixture->link.aliases_out_max = out_max;
}

static void an_alias_in_is_looked_up_and_set_anew(void **state) /* [MQTT-3.3.2-7] */
{
    struct fixture f;
    struct noc_slice topic = TEXT("a/b");

    (void)state;
    init(&f, 5, 0);
    assert_int_equal(noc_alias_in(&f.link, 5, &topic), NOC_OK);
    topic = TEXT("");
    assert_int_equal(noc_alias_in(&f.link, 5, &topic), NOC_OK);
    assert_true(noc_slice_equal(topic, TEXT("a/b")));
    topic = TEXT("longer/than/before");
    assert_int_equal(noc_alias_in(&f.link, 5, &topic), NOC_OK);
    topic = TEXT("");
    assert_int_equal(noc_alias_in(&f.link, 5, &topic), NOC_OK);
    assert_true(noc_slice_equal(topic, TEXT("longer/than/before")));
    noc_alias_done(&f.link);
}

static void an_alias_in_out_of_range_or_unknown_is_an_error(void **state)
{
    struct fixture f;
    struct noc_slice topic = TEXT("t"); /* [MQTT-3.3.2-8], [MQTT-3.3.2-9] */

    (void)state;
    init(&f, 5, 0);
    assert_int_equal(noc_alias_in(&f.link, 0, &topic), NOC_EPROTO);
    assert_int_equal(noc_alias_in(&f.link, 6, &topic), NOC_EPROTO);
    assert_int_equal(noc_alias_in(&f.link, 65535, &topic), NOC_EPROTO);
    topic = TEXT("");
    assert_int_equal(noc_alias_in(&f.link, 5, &topic), NOC_EPROTO);
    noc_alias_done(&f.link);
    init(&f, 0, 0);
    topic = TEXT("t");
    assert_int_equal(noc_alias_in(&f.link, 1, &topic), NOC_EPROTO);
    noc_alias_done(&f.link);
}

static void the_longest_topic_may_have_an_alias_in(void **state)
{
    static char longest[65535];
    struct fixture f;
    struct noc_slice topic = noc_slice(longest, sizeof longest);

    (void)state;
    memset(longest, 'x', sizeof longest);
    init(&f, 1, 0);
    assert_int_equal(noc_alias_in(&f.link, 1, &topic), NOC_OK);
    topic = TEXT("");
    assert_int_equal(noc_alias_in(&f.link, 1, &topic), NOC_OK);
    assert_int_equal(topic.n, 65535);
    noc_alias_done(&f.link);
}

static void memory_that_is_short_sets_no_large_alias_in_and_none_out(void **state)
{
    static char large[300];
    struct fixture f;
    struct noc_slice topic = noc_slice(large, sizeof large);
    bool is_known;

    (void)state;
    memset(large, 'x', sizeof large);
    init(&f, 5, 5);
    assert_int_equal(noc_alias_in(&f.link, 1, &topic), NOC_OK);
    assert_int_equal(noc_alias_out(&f.link, TEXT("a"), &is_known), 1);
    atomic_store(&f.core.is_memory_short, true);
    assert_int_equal(noc_alias_in(&f.link, 2, &topic), NOC_ENOMEM);
    assert_int_equal(noc_alias_out(&f.link, TEXT("b"), &is_known), 0);
    topic = TEXT("");
    assert_int_equal(noc_alias_in(&f.link, 1, &topic), NOC_OK);
    assert_int_equal(topic.n, sizeof large);
    topic = TEXT("small");
    assert_int_equal(noc_alias_in(&f.link, 2, &topic), NOC_OK);
    atomic_store(&f.core.is_memory_short, false);
    assert_int_equal(noc_alias_out(&f.link, TEXT("a"), &is_known), 1);
    assert_true(is_known);
    noc_alias_done(&f.link);
}

static void aliases_out_are_given_in_order_until_they_run_out(void **state)
{
    enum { MAX = 1000 };
    struct fixture f;
    char topic[16];
    bool is_known;

    (void)state;
    init(&f, 0, MAX);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 1; i <= MAX; i++) {
            snprintf(topic, sizeof topic, "t/%u", i);
            assert_int_equal(noc_alias_out(&f.link, TEXT(topic), &is_known), i);
            assert_int_equal(is_known, round);
        }
    }
    assert_int_equal(noc_alias_out(&f.link, TEXT("one more"), &is_known), 0);
    assert_false(is_known);
    noc_alias_done(&f.link);
}

static void the_most_aliases_out_still_fit_their_table(void **state)
{
    struct fixture f;
    char topic[16];
    bool is_known;

    (void)state;
    init(&f, 0, 65535);
    for (unsigned i = 1; i <= 65535; i++) {
        snprintf(topic, sizeof topic, "t/%u", i);
        assert_int_equal(noc_alias_out(&f.link, TEXT(topic), &is_known), i);
    }
    assert_int_equal(noc_alias_out(&f.link, TEXT("t/65535"), &is_known), 65535);
    assert_true(is_known);
    assert_int_equal(noc_alias_out(&f.link, TEXT("t/65536"), &is_known), 0);
    noc_alias_done(&f.link);
}

static void an_alias_out_that_was_not_told_is_given_again(void **state)
{
    struct fixture f;
    char topic[16];
    bool is_known;

    (void)state;
    init(&f, 0, 100);
    for (unsigned i = 1; i <= 100; i++) {
        snprintf(topic, sizeof topic, "undone/%u", i);
        assert_int_equal(noc_alias_out(&f.link, TEXT(topic), &is_known), i);
        noc_alias_out_undo(&f.link);
        snprintf(topic, sizeof topic, "t/%u", i);
        assert_int_equal(noc_alias_out(&f.link, TEXT(topic), &is_known), i);
        assert_false(is_known);
    }
    for (unsigned i = 1; i <= 100; i++) {
        snprintf(topic, sizeof topic, "t/%u", i);
        assert_int_equal(noc_alias_out(&f.link, TEXT(topic), &is_known), i);
        assert_true(is_known);
    }
    noc_alias_done(&f.link);
}

static void no_alias_out_without_a_maximum_or_for_a_huge_topic(void **state)
{
    static char huge[1025];
    struct fixture f;
    bool is_known;

    (void)state;
    init(&f, 0, 0);
    assert_int_equal(noc_alias_out(&f.link, TEXT("t"), &is_known), 0);
    assert_null(f.link.aliases_out);
    init(&f, 0, 5);
    memset(huge, 'x', sizeof huge);
    assert_int_equal(noc_alias_out(&f.link, noc_slice(huge, sizeof huge), &is_known), 0);
    assert_int_equal(noc_alias_out(&f.link, noc_slice(huge, 1024), &is_known), 1);
    noc_alias_done(&f.link);
    noc_alias_done(&f.link); /* Nothing left to give back. */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_alias_in_is_looked_up_and_set_anew),
        cmocka_unit_test(an_alias_in_out_of_range_or_unknown_is_an_error),
        cmocka_unit_test(the_longest_topic_may_have_an_alias_in),
        cmocka_unit_test(memory_that_is_short_sets_no_large_alias_in_and_none_out),
        cmocka_unit_test(aliases_out_are_given_in_order_until_they_run_out),
        cmocka_unit_test(the_most_aliases_out_still_fit_their_table),
        cmocka_unit_test(an_alias_out_that_was_not_told_is_given_again),
        cmocka_unit_test(no_alias_out_without_a_maximum_or_for_a_huge_topic),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
