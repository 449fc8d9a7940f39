/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "index_world.h"
#include "mqtt/topic.h"

static const struct noc_slice no_group = {NULL, 0};

static void subscribe(struct world *world, unsigned worker, const char *filter, struct noc_sub *sub)
{
    assert_int_equal(
        noc_index_subscribe(world->index, worker, noc_slice_of(filter), no_group, sub), 0);
}

static struct noc_match match(struct world *world, unsigned worker, const char *topic)
{
    struct noc_match found;

    assert_int_equal(noc_index_match(world->index, worker, noc_slice_of(topic), &found), 0);
    return found;
}

static bool has_node(const struct noc_match *found, const struct noc_node *node)
{
    for (unsigned i = 0; i < found->count; i++) {
        if (found->nodes[i] == node) {
            return true;
        }
    }
    return false;
}

/* Does a subscription to filter get topic? Twice: by the walk, and out of the cache. */
static bool reaches(const char *filter, const char *topic)
{
    struct world world;
    struct noc_sub sub = {0};
    struct noc_match found;
    bool by_walk;

    world_init(&world);
    subscribe(&world, 0, filter, &sub);
    found = match(&world, 1, topic);
    by_walk = has_node(&found, sub.node);
    assert_int_equal(found.count, by_walk);
    found = match(&world, 1, topic);
    assert_int_equal(has_node(&found, sub.node), by_walk);
    world_done(&world);
    return by_walk;
}

static void a_filter_without_wildcard_matches_its_own_topic(void **state)
{
    assert_true(reaches("a/b", "a/b"));
    assert_false(reaches("a/b", "a"));
    assert_false(reaches("a/b", "a/b/"));
    assert_false(reaches("a/b", "a/c"));
    assert_true(reaches("/", "/"));
    assert_false(reaches("/", "//"));
    assert_true(reaches("$SYS/uptime", "$SYS/uptime"));
}

/* [MQTT-4.7.1-2] */
static void multi_level_wildcard_matches_its_parent_and_all_below(void **state)
{
    assert_true(reaches("a/#", "a"));
    assert_true(reaches("a/#", "a/"));
    assert_true(reaches("a/#", "a/b/c/d"));
    assert_false(reaches("a/#", "ab"));
    assert_false(reaches("a/#", "b"));
    assert_true(reaches("#", "a"));
    assert_true(reaches("#", "/"));
    assert_true(reaches("/#", "/a"));
    assert_false(reaches("/#", "a"));
}

/* [MQTT-4.7.1-2] */
static void single_level_wildcard_matches_exactly_one_level(void **state)
{
    assert_true(reaches("+", "a"));
    assert_false(reaches("+", "a/b"));
    assert_false(reaches("+", "/a"));
    assert_true(reaches("+/+", "/a"));
    assert_true(reaches("/+", "/a"));
    assert_true(reaches("a/+", "a/"));
    assert_false(reaches("a/+", "a"));
    assert_true(reaches("a/+/c", "a//c"));
    assert_true(reaches("+/b/+", "a/b/c"));
    assert_true(reaches("a/+/#", "a/b"));
    assert_false(reaches("a/+/#", "a"));
}

/* [MQTT-4.7.2-1] */
static void dollar_topics_are_not_matched_by_a_wildcard_in_front(void **state)
{
    assert_false(reaches("#", "$SYS/a"));
    assert_false(reaches("+/a", "$SYS/a"));
    assert_false(reaches("+", "$SYS"));
    assert_false(reaches("+/#", "$SYS/a"));
    assert_true(reaches("$SYS/#", "$SYS/a"));
    assert_true(reaches("$SYS/+", "$SYS/a"));
    assert_true(reaches("a/+", "a/$b"));
    assert_true(reaches("#", "a/$b"));
}

static void filters_of_two_hundred_levels_match(void **state)
{
    char topic[2 * NOC_TOPIC_LEVELS_MAX], filter[2 * NOC_TOPIC_LEVELS_MAX];

    for (unsigned i = 0; i < NOC_TOPIC_LEVELS_MAX; i++) {
        topic[2 * i] = 'a';
        filter[2 * i] = i % 2 == 0 ? '+' : 'a';
        topic[2 * i + 1] = filter[2 * i + 1] = '/';
    }
    topic[sizeof topic - 1] = filter[sizeof filter - 1] = '\0';
    assert_true(reaches(filter, topic));
    assert_true(reaches(topic, topic));
    topic[sizeof topic - 3] = '\0';
    assert_false(reaches(filter, topic));
}

/* ---- nodes, workers, lists ---- */

static void subscriptions_to_one_filter_share_a_node(void **state)
{
    struct world world;
    struct noc_sub subs[3] = {{0}};
    struct noc_sub *const *list;

    world_init(&world);
    subscribe(&world, 0, "a/+", &subs[0]);
    subscribe(&world, 2, "a/+", &subs[1]);
    subscribe(&world, 2, "a/+", &subs[2]);
    assert_ptr_equal(subs[0].node, subs[1].node);
    assert_ptr_equal(subs[0].node, subs[2].node);
    assert_ptr_equal(noc_index_find(world.index, noc_slice_of("a/+")), subs[0].node);
    assert_null(noc_index_find(world.index, noc_slice_of("a/#")));
    assert_null(noc_index_find(world.index, noc_slice_of("a")));
    assert_true(noc_slice_equal(noc_node_filter(subs[0].node), noc_slice_of("a/+")));
    assert_int_equal(noc_node_workers(subs[0].node), 5);
    assert_int_equal(noc_node_subs(subs[0].node, 0, &list), 1);
    assert_ptr_equal(list[0], &subs[0]);
    assert_int_equal(noc_node_subs(subs[0].node, 1, &list), 0);
    assert_int_equal(noc_node_subs(subs[0].node, 2, &list), 2);
    world_done(&world);
}

static void lists_stay_whole_as_subscriptions_come_and_go(void **state)
{
    enum { COUNT = 300 };
    static struct noc_sub subs[COUNT];
    struct world world;
    unsigned left = COUNT;

    world_init(&world);
    memset(subs, 0, sizeof subs);
    for (unsigned i = 0; i < COUNT; i++) {
        subscribe(&world, i % 2, "t", &subs[i]);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        unsigned out = i * 7 % COUNT; /* 7 and 300 have no common factor */
        unsigned seen = 0;

        noc_index_unsubscribe(world.index, out % 2, &subs[out]);
        left--;
        for (unsigned w = 0; w < 2; w++) {
            struct noc_node *node = noc_index_find(world.index, noc_slice_of("t"));
            struct noc_sub *const *list;
            unsigned n = node == NULL ? 0 : noc_node_subs(node, w, &list);

            for (unsigned k = 0; k < n; k++) {
                assert_int_equal(list[k]->position, k);
                assert_int_equal((list[k] - subs) % 2, w);
            }
            seen += n;
        }
        assert_int_equal(seen, left);
    }
    assert_null(noc_index_find(world.index, noc_slice_of("t")));
    world_done(&world);
}

static void the_inline_place_passes_on_when_its_owner_leaves(void **state)
{
    struct world world;
    struct noc_sub first = {0}, second = {0}, third = {0};
    struct noc_sub *const *list;

    world_init(&world);
    subscribe(&world, 0, "t", &first);
    subscribe(&world, 1, "t", &second);
    noc_index_unsubscribe(world.index, 0, &first);
    assert_int_equal(noc_node_workers(second.node), 2);
    assert_int_equal(noc_node_subs(second.node, 0, &list), 0);
    subscribe(&world, 3, "t", &third);
    subscribe(&world, 0, "t", &first);
    assert_int_equal(noc_node_workers(second.node), 11);
    for (unsigned w = 0; w < WORLD_WORKERS; w++) {
        struct noc_sub *expected[] = {&first, &second, NULL, &third};

        assert_int_equal(noc_node_subs(second.node, w, &list), expected[w] != NULL);
        if (expected[w] != NULL) {
            assert_ptr_equal(list[0], expected[w]);
        }
    }
    world_done(&world);
}

static void the_durable_set_follows_subscriptions_and_changes(void **state)
{
    struct world world;
    struct noc_sub plain = {0}, durable = {.is_durable = true}, other = {.is_durable = true};
    struct noc_node *node;

    world_init(&world);
    subscribe(&world, 1, "t", &plain);
    node = plain.node;
    assert_int_equal(noc_node_durable_workers(node), 0);
    subscribe(&world, 1, "t", &durable);
    assert_int_equal(noc_node_durable_workers(node), 2);
    subscribe(&world, 2, "t", &other);
    assert_int_equal(noc_node_durable_workers(node), 6);
    noc_index_set_durable(world.index, 1, &plain, true);
    noc_index_set_durable(world.index, 1, &plain, true);
    noc_index_unsubscribe(world.index, 1, &durable);
    assert_int_equal(noc_node_durable_workers(node), 6);
    noc_index_set_durable(world.index, 1, &plain, false);
    assert_int_equal(noc_node_durable_workers(node), 4);
    noc_index_unsubscribe(world.index, 2, &other);
    assert_int_equal(noc_node_durable_workers(node), 0);
    assert_int_equal(noc_node_workers(node), 2);
    world_done(&world);
}

static void counts_tell_subscriptions_nodes_and_cache(void **state)
{
    struct world world;
    struct noc_sub plain = {0}, shared = {0}, wild = {0};
    struct noc_index_counts counts;

    world_init(&world);
    subscribe(&world, 0, "t", &plain);
    subscribe(&world, 1, "+", &wild);
    assert_int_equal(
        noc_index_subscribe(world.index, 2, noc_slice_of("t"), noc_slice_of("group"), &shared), 0);
    match(&world, 0, "t");
    match(&world, 0, "t");
    match(&world, 1, "t");
    noc_index_counts_mt(world.index, &counts);
    assert_int_equal(counts.subscriptions, 3);
    assert_int_equal(counts.shared_subscriptions, 1);
    assert_int_equal(counts.nodes, 2);
    assert_int_equal(counts.cache_hits, 1);
    assert_int_equal(counts.cache_misses, 2);
    assert_int_equal(counts.visited, 4); /* the root and "+", twice */
    noc_index_unsubscribe(world.index, 0, &plain);
    noc_index_unsubscribe(world.index, 1, &wild);
    noc_index_unsubscribe(world.index, 2, &shared);
    noc_index_counts_mt(world.index, &counts);
    assert_int_equal(counts.subscriptions, 0);
    assert_int_equal(counts.shared_subscriptions, 0);
    assert_int_equal(counts.nodes, 0);
    world_done(&world);
}

/* ---- the end of a node ---- */

static void a_node_lives_until_every_worker_has_drained_its_notice(void **state)
{
    struct world world;
    struct noc_sub sub = {0};
    struct noc_node *node;

    world_init(&world);
    subscribe(&world, 1, "a/+", &sub);
    node = sub.node;
    noc_index_unsubscribe(world.index, 1, &sub);
    assert_null(sub.node);
    assert_null(noc_index_find(world.index, noc_slice_of("a/+")));
    assert_int_equal(match(&world, 0, "a/b").count, 0);
    assert_null(world.notices[0]); /* first the grace period */
    world_pass_grace(&world);
    for (unsigned w = 0; w < WORLD_WORKERS; w++) {
        /* The sanitizer would tell if it were gone. */
        assert_true(noc_slice_equal(noc_node_filter(node), noc_slice_of("a/+")));
        assert_int_equal(noc_node_workers(node), 0);
        assert_int_equal(world_drain(&world, w, true), 1);
    }
    world_done(&world);
}

static void a_filter_that_returns_gets_a_new_node(void **state)
{
    static const char *const filters[] = {"a/b", "a/+", "a/#", "#"};

    for (unsigned i = 0; i < NOC_COUNT(filters); i++) {
        struct world world;
        struct noc_sub sub = {0};
        struct noc_node *old;
        struct noc_match found;

        world_init(&world);
        subscribe(&world, 1, filters[i], &sub);
        found = match(&world, 2, "a/b");
        old = sub.node;
        assert_true(has_node(&found, old));
        noc_index_unsubscribe(world.index, 1, &sub);
        subscribe(&world, 1, filters[i], &sub);
        assert_ptr_not_equal(sub.node, old);
        found = match(&world, 2, "a/b"); /* not what the cache has */
        assert_int_equal(found.count, 1);
        assert_ptr_equal(found.nodes[0], sub.node);
        world_settle(&world);
        found = match(&world, 2, "a/b");
        assert_ptr_equal(found.nodes[0], sub.node);
        world_done(&world);
    }
}

static void branches_that_are_used_otherwise_stay(void **state)
{
    static const char *const filters[] = {"a/+/c", "a/+", "a/#", "a/+/c/d/#", "+/+/c", "a/b/+"};
    struct world world;
    struct noc_sub subs[NOC_COUNT(filters)] = {{0}};

    world_init(&world);
    for (unsigned out = 0; out < NOC_COUNT(filters); out++) {
        for (unsigned i = 0; i < NOC_COUNT(filters); i++) {
            subscribe(&world, 0, filters[i], &subs[i]);
        }
        noc_index_unsubscribe(world.index, 0, &subs[out]);
        world_settle(&world);
        for (unsigned i = 0; i < NOC_COUNT(filters); i++) {
            struct noc_node *node = noc_index_find(world.index, noc_slice_of(filters[i]));

            assert_ptr_equal(node, i == out ? NULL : subs[i].node);
        }
        for (unsigned i = 0; i < NOC_COUNT(filters); i++) {
            if (i != out) {
                noc_index_unsubscribe(world.index, 0, &subs[i]);
            }
        }
        world_settle(&world);
    }
    world_done(&world);
}

/* Each ends the world in another state; the leak checker judges. */
static void an_index_can_be_freed_in_any_state(void **state)
{
    for (unsigned stage = 0; stage < 6; stage++) {
        struct world world;
        struct noc_sub subs[4] = {{0}};

        world_init(&world);
        subscribe(&world, 0, "a/b", &subs[0]);
        subscribe(&world, 1, "a/#", &subs[1]);
        subscribe(&world, 2, "a/#", &subs[2]);
        assert_int_equal(
            noc_index_subscribe(world.index, 3, noc_slice_of("+/b"), noc_slice_of("g"), &subs[3]),
            0);
        match(&world, 0, "a/b");
        for (unsigned i = 0; stage > 0 && i < 4; i++) {
            noc_index_unsubscribe(world.index, i, &subs[i]);
        }
        if (stage > 1) {
            world_pass_grace(&world);
        }
        if (stage > 2) {
            world_drain(&world, 1, true);
        }
        if (stage > 3) {
            world_settle(&world);
        }
        if (stage == 5) {
            subscribe(&world, 0, "a/b", &subs[0]);
            noc_index_unsubscribe(world.index, 0, &subs[0]);
            noc_reclaim_free(world.reclaim); /* the other way round; posts notices */
            noc_index_free(world.index);
            for (unsigned w = 0; w < WORLD_WORKERS; w++) {
                world_drain(&world, w, false);
            }
            continue;
        }
        world_done(&world);
    }
    noc_index_free(NULL);
}

/* ---- the topic cache ---- */

static uint64_t misses(struct world *world)
{
    struct noc_index_counts counts;

    noc_index_counts_mt(world->index, &counts);
    return counts.cache_misses;
}

static void an_exact_filter_leaves_the_cache_of_other_topics_alone(void **state)
{
    struct world world;
    struct noc_sub sub = {0}, again = {0}, wild = {0};

    world_init(&world);
    match(&world, 0, "a/b");
    subscribe(&world, 1, "elsewhere", &sub);
    match(&world, 0, "a/b");
    assert_int_equal(misses(&world), 1);
    subscribe(&world, 2, "elsewhere", &again); /* the same node: nothing to forget at all */
    match(&world, 0, "elsewhere");
    noc_index_unsubscribe(world.index, 1, &sub);
    match(&world, 0, "elsewhere");
    assert_int_equal(misses(&world), 2);
    subscribe(&world, 1, "x/+", &wild); /* one generation for all wildcards */
    match(&world, 0, "a/b");
    assert_int_equal(misses(&world), 3);
    world_done(&world);
}

static void topics_too_long_for_the_cache_match_all_the_same(void **state)
{
    struct world world;
    struct noc_sub sub = {0};
    char topic[301];

    world_init(&world);
    memset(topic, 'x', sizeof topic);
    topic[300] = '\0';
    subscribe(&world, 1, "#", &sub);
    for (unsigned n = 255; n < 258; n++) {
        for (unsigned i = 0; i < 2; i++) {
            struct noc_match found;

            assert_int_equal(noc_index_match(world.index, 0, noc_slice(topic, n), &found), 0);
            assert_int_equal(found.count, 1);
            assert_ptr_equal(found.nodes[0], sub.node);
        }
    }
    assert_int_equal(misses(&world), 4);
    world_done(&world);
}

static void matches_too_many_for_the_cache_are_complete(void **state)
{
    enum { COUNT = 256 }; /* all filters of eight levels of "a" or "+" */
    static struct noc_sub subs[COUNT];
    struct world world;
    struct noc_match found;

    world_init(&world);
    memset(subs, 0, sizeof subs);
    for (unsigned i = 0; i < COUNT; i++) {
        char filter[16] = "a/a/a/a/a/a/a/a";

        for (unsigned level = 0; level < 8; level++) {
            filter[2 * level] = i >> level & 1 ? '+' : 'a';
        }
        subscribe(&world, 0, filter, &subs[i]);
    }
    for (unsigned round = 0; round < 2; round++) {
        found = match(&world, 1, "a/a/a/a/a/a/a/a");
        assert_int_equal(found.count, COUNT);
        for (unsigned i = 0; i < COUNT; i++) {
            assert_true(has_node(&found, subs[i].node));
        }
    }
    assert_int_equal(match(&world, 1, "b/a/a/a/a/a/a/a").count, COUNT / 2);
    world_done(&world);
}

static void the_cache_forgets_but_never_errs(void **state)
{
    enum { TOPICS = 20000 };
    struct world world;
    struct noc_sub even = {0}, all = {0};

    world_init(&world);
    subscribe(&world, 0, "+/even", &even);
    subscribe(&world, 0, "#", &all);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < TOPICS; i++) {
            char topic[32];

            (void)snprintf(topic, sizeof topic, "%u/%s", i, i % 2 == 0 ? "even" : "odd");
            assert_int_equal(match(&world, 1, topic).count, i % 2 == 0 ? 2 : 1);
        }
    }
    world_done(&world);
}

/* ---- against the definition ---- */

enum { FILTERS = 400, ROUNDS = 6000 };

static unsigned random_next(uint64_t *random)
{
    *random = *random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(*random >> 33);
}

enum { TEXT_ROOM = 32 };

/* Appends to text, which has TEXT_ROOM bytes. */
static void append(char *text, const char *more)
{
    size_t n = strlen(text);

    assert_true(n + strlen(more) < TEXT_ROOM);
    memcpy(text + n, more, strlen(more) + 1);
}

/* Few level texts and few levels, so that much matches. */
static void random_levels(uint64_t *random, char *text, bool is_filter)
{
    static const char *const levels[] = {"a", "b", "cc", "", "$x", "a", "+", "+"};
    unsigned count = random_next(random) % 5 + 1;

    text[0] = '\0';
    for (unsigned i = 0; i < count; i++) {
        append(text, i == 0 ? "" : "/");
        append(text, levels[random_next(random) % (is_filter ? 8 : 6)]);
    }
    if (is_filter && random_next(random) % 4 == 0) {
        append(text, "/#");
    }
    if (text[0] == '\0') {
        append(text, is_filter && random_next(random) % 2 == 0 ? "#" : "a");
    }
}

struct entered {
    struct noc_sub sub;
    char filter[TEXT_ROOM];
    unsigned worker;
    bool is_in;
};

/* The topic's nodes are those of the filters that match, each once. */
static void compare(
    struct world *world, const struct entered *entered, unsigned worker, const char *topic)
{
    struct noc_match found = match(world, worker, topic);
    unsigned reached = 0;

    for (unsigned i = 0; i < FILTERS; i++) {
        const struct entered *at = &entered[i];
        bool expected = noc_filter_matches(noc_slice_of(at->filter), noc_slice_of(topic));

        if (at->is_in && has_node(&found, at->sub.node) != expected) {
            fail_msg("filter \"%s\" topic \"%s\": expected %d", at->filter, topic, expected);
        }
    }
    for (unsigned i = 0; i < found.count; i++) {
        assert_true(noc_node_workers(found.nodes[i]) != 0);
        assert_true(noc_filter_matches(noc_node_filter(found.nodes[i]), noc_slice_of(topic)));
        for (unsigned k = 0; k < i; k++) {
            assert_ptr_not_equal(found.nodes[k], found.nodes[i]);
        }
        reached++;
    }
    assert_int_equal(reached, found.count);
}

static void matching_agrees_with_the_definition(void **state)
{
    const char *given = getenv("NOC_TEST_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
    struct entered *entered = calloc(FILTERS, sizeof *entered);
    struct world world;

    print_message("# NOC_TEST_SEED=%llu\n", (unsigned long long)seed);
    world_init(&world);
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct entered *at = &entered[random_next(&seed) % FILTERS];
        char topic[TEXT_ROOM];

        if (at->is_in) {
            noc_index_unsubscribe(world.index, at->worker, &at->sub);
            at->is_in = false;
        } else {
            random_levels(&seed, at->filter, true);
            at->worker = random_next(&seed) % WORLD_WORKERS;
            at->sub = (struct noc_sub){.is_durable = random_next(&seed) % 2 == 0};
            subscribe(&world, at->worker, at->filter, &at->sub);
            at->is_in = true;
        }
        if (random_next(&seed) % 16 == 0) {
            world_settle(&world);
        }
        random_levels(&seed, topic, false);
        compare(&world, entered, random_next(&seed) % WORLD_WORKERS, topic);
    }
    world_done(&world);
    free(entered);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_filter_without_wildcard_matches_its_own_topic),
        cmocka_unit_test(multi_level_wildcard_matches_its_parent_and_all_below),
        cmocka_unit_test(single_level_wildcard_matches_exactly_one_level),
        cmocka_unit_test(dollar_topics_are_not_matched_by_a_wildcard_in_front),
        cmocka_unit_test(filters_of_two_hundred_levels_match),
        cmocka_unit_test(subscriptions_to_one_filter_share_a_node),
        cmocka_unit_test(lists_stay_whole_as_subscriptions_come_and_go),
        cmocka_unit_test(the_inline_place_passes_on_when_its_owner_leaves),
        cmocka_unit_test(the_durable_set_follows_subscriptions_and_changes),
        cmocka_unit_test(counts_tell_subscriptions_nodes_and_cache),
        cmocka_unit_test(a_node_lives_until_every_worker_has_drained_its_notice),
        cmocka_unit_test(a_filter_that_returns_gets_a_new_node),
        cmocka_unit_test(branches_that_are_used_otherwise_stay),
        cmocka_unit_test(an_index_can_be_freed_in_any_state),
        cmocka_unit_test(an_exact_filter_leaves_the_cache_of_other_topics_alone),
        cmocka_unit_test(topics_too_long_for_the_cache_match_all_the_same),
        cmocka_unit_test(matches_too_many_for_the_cache_are_complete),
        cmocka_unit_test(the_cache_forgets_but_never_errs),
        cmocka_unit_test(matching_agrees_with_the_definition),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
