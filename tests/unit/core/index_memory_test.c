/* SPDX-License-Identifier: Apache-2.0 */
/* Each call that allocates, with its n-th allocation failing, for every n. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "failing_memory.h"
#include "index_world.h"
#include <noctule/error.h>

static const struct noc_slice no_group = {NULL, 0};

/* What anyone can see of an index. */
struct view {
    struct noc_index_counts counts;
    struct noc_node *node;
    struct noc_group *group;
    uint64_t workers, durable_workers;
    unsigned subs, matches;
};

static struct view view_of(
    struct world *world, unsigned worker, struct noc_slice filter, struct noc_slice group)
{
    struct view view;
    struct noc_match found;
    struct noc_sub *const *list;

    memset(&view, 0, sizeof view);
    assert_int_equal(noc_index_match(world->index, 3, noc_slice_of("a/b/c"), &found), 0);
    view.matches = found.count;
    noc_index_counts_mt(world->index, &view.counts);
    view.counts.cache_hits = view.counts.cache_misses = view.counts.visited = 0;
    view.node = noc_index_find(world->index, filter);
    if (view.node != NULL) {
        view.workers = noc_node_workers(view.node);
        view.durable_workers = noc_node_durable_workers(view.node);
        view.subs = noc_node_subs(view.node, worker, &list);
        view.group = group.at == NULL ? NULL : noc_node_find_group(view.node, group);
    }
    return view;
}

static void subscribe_while_memory_fails(struct world *world, unsigned worker, const char *filter,
    const char *group, struct noc_sub *sub)
{
    struct noc_slice text = noc_slice_of(filter), name = noc_slice_of(group);
    struct view before = view_of(world, worker, text, name);
    int err = NOC_ENOMEM;

    for (long n = 0; err != NOC_OK; n++) {
        memory_left = n;
        err = noc_index_subscribe(world->index, worker, text, name, sub);
        memory_left = -1;
        if (err != NOC_OK) {
            struct view after = view_of(world, worker, text, name);

            assert_int_equal(err, NOC_ENOMEM);
            assert_memory_equal(&before, &after, sizeof before);
            assert_true(n < 20);
        }
        world_settle(world);
    }
    assert_ptr_equal(noc_index_find(world->index, text), sub->node);
}

static void subscribing_changes_nothing_when_memory_runs_out(void **state)
{
    static const struct {
        const char *filter, *group;
        unsigned worker;
    } steps[] = {
        {"a/b/c", NULL, 0}, /* a new exact filter */
        {"a/b/c", NULL, 0}, /* the list leaves the inline form */
        {"a/b/c", NULL, 1}, /* a second worker */
        {"a/b/c", NULL, 2},
        {"a/+/c/d/e/#", NULL, 0}, /* a long branch */
        {"a/+/c", NULL, 1},       /* on it */
        {"#", NULL, 2},
        {"a/b/+", "group", 1}, /* a new node and a new group */
        {"a/b/+", "group", 1},
        {"a/b/+", "group", 2},
        {"a/b/+", "other", 0},
        {"a/b/+", NULL, 3},
    };
    struct world world;
    struct noc_sub subs[NOC_COUNT(steps)];

    world_init(&world);
    for (unsigned i = 0; i < NOC_COUNT(steps); i++) {
        subs[i] = (struct noc_sub){.is_durable = i % 2 == 0, .is_connected = i % 3 == 0};
        subscribe_while_memory_fails(
            &world, steps[i].worker, steps[i].filter, steps[i].group, &subs[i]);
    }
    for (unsigned i = 0; i < NOC_COUNT(steps); i++) {
        memory_left = 0; /* removal needs none */
        noc_index_unsubscribe(world.index, steps[i].worker, &subs[i]);
        memory_left = -1;
    }
    assert_int_equal(view_of(&world, 0, noc_slice_of("#"), no_group).counts.nodes, 0);
    world_done(&world);
}

static void tables_and_lists_grow_or_stay_as_they_are(void **state)
{
    enum { COUNT = 70 };
    struct world world;
    struct noc_sub exact[COUNT] = {{0}}, wild[COUNT] = {{0}}, same[COUNT] = {{0}};
    struct noc_sub members[COUNT] = {{0}};

    world_init(&world);
    for (unsigned i = 0; i < COUNT; i++) {
        char filter[32];

        (void)snprintf(filter, sizeof filter, "%u", i);
        subscribe_while_memory_fails(&world, 0, filter, NULL, &exact[i]);
        (void)snprintf(filter, sizeof filter, "%u/+/%u", i, i);
        subscribe_while_memory_fails(&world, 1, filter, i % 2 == 0 ? NULL : "g", &wild[i]);
        subscribe_while_memory_fails(&world, 2, "same", NULL, &same[i]);
        subscribe_while_memory_fails(&world, 3, "same", "group", &members[i]);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        memory_left = 0; /* shrinking is put off */
        noc_index_unsubscribe(world.index, 0, &exact[i]);
        noc_index_unsubscribe(world.index, 1, &wild[i]);
        noc_index_unsubscribe(world.index, 2, &same[i]);
        noc_index_unsubscribe(world.index, 3, &members[i]);
        memory_left = -1;
    }
    assert_int_equal(view_of(&world, 0, noc_slice_of("same"), no_group).counts.nodes, 0);
    world_done(&world);
}

static void a_match_is_right_without_memory_for_the_cache(void **state)
{
    struct world world;
    struct noc_sub sub = {0};
    struct noc_match found;

    world_init(&world);
    assert_int_equal(noc_index_subscribe(world.index, 0, noc_slice_of("a/+"), no_group, &sub), 0);
    for (long n = 0; n < 3; n++) {
        memory_left = n;
        assert_int_equal(noc_index_match(world.index, 1, noc_slice_of("a/b"), &found), 0);
        memory_left = -1;
        assert_int_equal(found.count, 1);
        assert_ptr_equal(found.nodes[0], sub.node);
    }
    world_done(&world);
}

static void a_match_that_cannot_be_held_is_an_error_and_empty(void **state)
{
    enum { COUNT = 128 };
    static struct noc_sub subs[COUNT];
    struct world world;
    struct noc_match found;

    world_init(&world);
    for (unsigned i = 0; i < COUNT; i++) {
        char filter[14] = "a/a/a/a/a/a/a";

        for (unsigned level = 0; level < 7; level++) {
            filter[2 * level] = i >> level & 1 ? '+' : 'a';
        }
        assert_int_equal(
            noc_index_subscribe(world.index, 0, noc_slice(filter, 13), no_group, &subs[i]), 0);
    }
    memory_left = 0;
    assert_int_equal(
        noc_index_match(world.index, 1, noc_slice_of("a/a/a/a/a/a/a"), &found), NOC_ENOMEM);
    memory_left = -1;
    assert_int_equal(found.count, 0);
    assert_int_equal(noc_index_match(world.index, 1, noc_slice_of("a/a/a/a/a/a/a"), &found), 0);
    assert_int_equal(found.count, COUNT);
    world_done(&world);
}

static void making_an_index_fails_cleanly(void **state)
{
    struct world world = {0};

    for (long n = 0; world.index == NULL; n++) {
        memory_left = n;
        world.reclaim = noc_reclaim_new(WORLD_WORKERS);
        world.index = world.reclaim == NULL
                          ? NULL
                          : noc_index_new(WORLD_WORKERS, 1, world.reclaim, world_post, &world);
        memory_left = -1;
        if (world.index == NULL) {
            noc_reclaim_free(world.reclaim);
        }
        assert_true(n < 30);
    }
    world_done(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(subscribing_changes_nothing_when_memory_runs_out),
        cmocka_unit_test(tables_and_lists_grow_or_stay_as_they_are),
        cmocka_unit_test(a_match_is_right_without_memory_for_the_cache),
        cmocka_unit_test(a_match_that_cannot_be_held_is_an_error_and_empty),
        cmocka_unit_test(making_an_index_fails_cleanly),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
