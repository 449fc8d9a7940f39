/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "world.h"

/* Is the $SYS tree posted to its worker? */
static bool publishes(struct world *world)
{
    struct noc_sys *sys = noc_sys_new(&world->broker);
    uint64_t before = noc_mailbox_weight_mt(&world->worker->shard.mailbox);

    assert_non_null(sys);
    noc_sys_publish(sys, 2000);
    noc_sys_free(sys);
    return noc_mailbox_weight_mt(&world->worker->shard.mailbox) > before;
}

static void the_tree_waits_while_any_worker_is_behind(void **state)
{
    struct world *world = *state;
    struct noc_mailbox *boxes[] = {&world->worker->shard.mailbox, &world->other->mailbox};
    uint64_t weight = world->broker.core.limits.mailbox_high + 1;

    world->broker.name = "noctule";
    for (unsigned i = 0; i < NOC_COUNT(boxes); i++) {
        atomic_fetch_add(&boxes[i]->weight, weight);
        assert_false(publishes(world));
        atomic_fetch_sub(&boxes[i]->weight, weight);
    }
    assert_true(publishes(world));
    world_turn(world, 2000);
    assert_int_equal(noc_mailbox_weight_mt(&world->worker->shard.mailbox), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(the_tree_waits_while_any_worker_is_behind),
    };

    return cmocka_run_group_tests_name("broker/sys", tests, NULL, NULL);
}
