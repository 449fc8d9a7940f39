/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "index_world.h"

enum { MANY = 10000 };

/* A member's session number is its place in subs; its worker that modulo the workers. */
static void join(
    struct world *world, const char *group, struct noc_sub *sub, unsigned number, bool is_connected)
{
    *sub = (struct noc_sub){.session_number = number, .is_connected = is_connected};
    assert_int_equal(noc_index_subscribe(world->index, number % WORLD_WORKERS, noc_slice_of("t/+"),
                         noc_slice_of(group), sub),
        0);
    assert_non_null(sub->group);
    assert_ptr_equal(noc_node_find_group(sub->node, noc_slice_of(group)), sub->group);
}

static void leave(struct world *world, struct noc_sub *sub)
{
    noc_index_unsubscribe(world->index, (unsigned)(sub->session_number % WORLD_WORKERS), sub);
}

/* The number of the picked member, or -1. */
static int pick(struct noc_group *group, unsigned attempt, uint32_t *start)
{
    struct noc_member member;

    if (!noc_group_pick(group, attempt, start, &member)) {
        return -1;
    }
    assert_int_equal(member.worker, member.session_number % WORLD_WORKERS);
    return (int)member.session_number;
}

static void a_member_is_no_plain_subscription(void **state)
{
    struct world world;
    struct noc_sub sub;
    struct noc_sub *const *list;

    world_init(&world);
    join(&world, "g", &sub, 1, true);
    assert_int_equal(noc_node_workers(sub.node), 0);
    assert_int_equal(noc_node_subs(sub.node, 1, &list), 0);
    assert_int_equal(noc_node_durable_workers(sub.node), 0);
    noc_index_set_durable(world.index, 1, &sub, true);
    assert_int_equal(noc_node_durable_workers(sub.node), 2);
    assert_true(noc_slice_equal(noc_group_name(sub.group), noc_slice_of("g")));
    assert_null(noc_node_find_group(sub.node, noc_slice_of("other")));
    world_done(&world);
}

static void members_take_turns(void **state)
{
    struct world world;
    struct noc_sub subs[3];
    unsigned got[3] = {0};

    world_init(&world);
    for (unsigned i = 0; i < 3; i++) {
        join(&world, "g", &subs[i], i, true);
    }
    for (unsigned i = 0; i < 30; i++) {
        uint32_t start;

        got[pick(subs[0].group, 0, &start)]++;
    }
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(got[i], 10);
    }
    world_done(&world);
}

static void those_connected_come_first_and_each_once(void **state)
{
    struct world world;
    struct noc_sub subs[7];

    world_init(&world);
    for (unsigned i = 0; i < 7; i++) {
        join(&world, "g", &subs[i], i, i % 2 == 1); /* 1, 3, 5 are connected */
    }
    for (unsigned round = 0; round < 20; round++) {
        uint32_t start;
        unsigned seen = 0;

        for (unsigned attempt = 0; attempt < 7; attempt++) {
            int number = pick(subs[0].group, attempt, &start);

            assert_in_range(number, 0, 6);
            assert_int_equal(number % 2, attempt < 3);
            assert_int_equal(seen >> number & 1, 0);
            seen |= 1U << number;
        }
        assert_int_equal(pick(subs[0].group, 7, &start), -1);
    }
    world_done(&world);
}

static void a_change_of_connection_changes_the_order(void **state)
{
    struct world world;
    struct noc_sub subs[3];
    uint32_t start;

    world_init(&world);
    for (unsigned i = 0; i < 3; i++) {
        join(&world, "g", &subs[i], i, false);
    }
    noc_index_set_connected(world.index, 2, &subs[2], true);
    noc_index_set_connected(world.index, 2, &subs[2], true);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(pick(subs[0].group, 0, &start), 2);
    }
    noc_index_set_connected(world.index, 1, &subs[1], true);
    noc_index_set_connected(world.index, 2, &subs[2], false);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(pick(subs[0].group, 0, &start), 1);
    }
    world_done(&world);
}

static void an_empty_group_yields_nobody(void **state)
{
    struct world world;
    struct noc_sub sub;
    struct noc_group *group;
    uint32_t start;

    world_init(&world);
    join(&world, "g", &sub, 0, true);
    group = sub.group;
    leave(&world, &sub);
    assert_int_equal(pick(group, 0, &start), -1); /* as mail that names it would */
    world_pass_grace(&world);
    for (unsigned w = 0; w < WORLD_WORKERS; w++) {
        assert_int_equal(noc_group_name(group).n, 1);
        assert_int_equal(world_drain(&world, w, true), 2); /* the group and its node */
    }
    world_done(&world);
}

/* Who was tried has gone, as it is when a home does not find its member: nobody is passed over. */
static void picking_again_reaches_who_is_left(void **state)
{
    for (unsigned count = 2; count < 12; count++) {
        for (unsigned first = 0; first < count; first++) {
            struct world world;
            struct noc_sub subs[12];
            uint32_t start = 0;
            unsigned attempt = 0;

            world_init(&world);
            for (unsigned i = 0; i < count; i++) {
                join(&world, "g", &subs[i], i, i % 3 != 0);
            }
            for (unsigned i = 0; i < first; i++) {
                pick(subs[0].group, 0, &start);
            }
            for (unsigned left = count; left > 1; left--) {
                int number = pick(subs[0].group, attempt++, &start);

                assert_in_range(number, 0, count - 1);
                if (number == 0) {
                    continue; /* the one that stays: with another attempt another comes */
                }
                leave(&world, &subs[number]);
            }
            for (int number = -1; number != 0; attempt++) {
                number = pick(subs[0].group, attempt, &start);
                assert_int_not_equal(number, -1);
            }
            world_done(&world);
        }
    }
}

static void attempts_come_to_an_end_though_the_group_changes(void **state)
{
    struct world world;
    struct noc_sub subs[5];
    uint32_t start;
    unsigned attempt = 0;

    world_init(&world);
    for (unsigned i = 0; i < 4; i++) {
        join(&world, "g", &subs[i], i, true);
    }
    while (pick(subs[0].group, attempt, &start) >= 0) {
        if (attempt < 3) {
            join(&world, "g", &subs[4], 4, true);
            leave(&world, &subs[4]);
        }
        attempt++;
        assert_true(attempt < 100);
    }
    assert_true(attempt >= 4);
    world_done(&world);
}

static void groups_of_one_filter_are_apart(void **state)
{
    struct world world;
    struct noc_sub subs[4];
    struct noc_node *node;
    unsigned seen = 0;

    world_init(&world);
    join(&world, "one", &subs[0], 0, true);
    join(&world, "two", &subs[1], 1, true);
    join(&world, "three", &subs[2], 2, true);
    join(&world, "two", &subs[3], 3, true);
    node = subs[0].node;
    assert_ptr_equal(subs[1].group, subs[3].group);
    for (struct noc_group *at = noc_node_groups(node); at != NULL; at = noc_group_next(at)) {
        seen++;
    }
    assert_int_equal(seen, 3);
    leave(&world, &subs[1]);
    leave(&world, &subs[0]);
    assert_null(noc_node_find_group(node, noc_slice_of("one")));
    assert_ptr_equal(noc_node_find_group(node, noc_slice_of("two")), subs[3].group);
    world_settle(&world);
    leave(&world, &subs[3]);
    assert_ptr_equal(noc_node_groups(node), subs[2].group);
    assert_null(noc_group_next(subs[2].group));
    leave(&world, &subs[2]);
    assert_null(noc_index_find(world.index, noc_slice_of("t/+")));
    world_done(&world);
}

static void a_filter_keeps_its_node_for_plain_and_shared_alike(void **state)
{
    struct world world;
    struct noc_sub shared, plain = {0};

    world_init(&world);
    join(&world, "g", &shared, 0, true);
    assert_int_equal(
        noc_index_subscribe(world.index, 0, noc_slice_of("t/+"), noc_slice(NULL, 0), &plain), 0);
    assert_ptr_equal(plain.node, shared.node);
    leave(&world, &shared);
    assert_ptr_equal(noc_index_find(world.index, noc_slice_of("t/+")), plain.node);
    noc_index_unsubscribe(world.index, 0, &plain);
    assert_null(noc_index_find(world.index, noc_slice_of("t/+")));
    world_done(&world);
}

/* Every member is picked once a round, in whatever order they came, changed and went. */
static void expect_full_round(
    struct noc_group *group, const struct noc_sub *subs, unsigned connected)
{
    static unsigned char seen[MANY];

    memset(seen, 0, sizeof seen);
    for (unsigned i = 0; i < connected; i++) {
        uint32_t start;
        int number = pick(group, 0, &start);

        assert_in_range(number, 0, MANY - 1);
        assert_non_null(subs[number].group);
        assert_true(subs[number].is_connected);
        assert_int_equal(seen[number], 0);
        seen[number] = 1;
    }
}

static void ten_thousand_members_come_change_and_go(void **state)
{
    static struct noc_sub subs[MANY];
    struct world world;
    unsigned connected = 0;

    world_init(&world);
    for (unsigned i = 0; i < MANY; i++) {
        join(&world, "g", &subs[i], i, i % 3 == 0);
        connected += i % 3 == 0;
    }
    world_settle(&world);
    expect_full_round(subs[1].group, subs, connected);
    for (unsigned i = 0; i < MANY; i++) {
        if (i % 5 == 0) {
            connected += subs[i].is_connected ? UINT32_MAX : 1U;
            noc_index_set_connected(
                world.index, i % WORLD_WORKERS, &subs[i], !subs[i].is_connected);
        }
        if (i % 7 == 0) {
            connected -= subs[i].is_connected;
            leave(&world, &subs[i]);
        }
    }
    world_settle(&world);
    expect_full_round(subs[1].group, subs, connected);
    for (unsigned i = 0; i < MANY - 1; i++) {
        if (subs[i].group != NULL) {
            leave(&world, &subs[i]);
        }
    }
    world_settle(&world);
    expect_full_round(subs[MANY - 1].group, subs, subs[MANY - 1].is_connected);
    world_done(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_member_is_no_plain_subscription),
        cmocka_unit_test(members_take_turns),
        cmocka_unit_test(those_connected_come_first_and_each_once),
        cmocka_unit_test(a_change_of_connection_changes_the_order),
        cmocka_unit_test(an_empty_group_yields_nobody),
        cmocka_unit_test(picking_again_reaches_who_is_left),
        cmocka_unit_test(attempts_come_to_an_end_though_the_group_changes),
        cmocka_unit_test(groups_of_one_filter_are_apart),
        cmocka_unit_test(a_filter_keeps_its_node_for_plain_and_shared_alike),
        cmocka_unit_test(ten_thousand_members_come_change_and_go),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
