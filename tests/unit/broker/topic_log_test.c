/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "world.h"

static void log_line(struct world *world, unsigned level)
{
    noc_topic_log_line_mt(
        &world->broker.topic_log, level, noc_slice_of("1: text"), noc_slice_of("text"));
}

static uint64_t posted(const struct world *world)
{
    return noc_mailbox_weight_mt(&world->worker->shard.mailbox);
}

static void a_line_goes_to_the_worker_and_is_published(void **state)
{
    struct world *world = *state;

    noc_topic_log_init(&world->broker.topic_log);
    noc_topic_log_set_mt(&world->broker.topic_log, world->worker);
    log_line(world, NOC_LOG_NOTICE);
    assert_int_equal(posted(world), 1);
    world_turn(world, 1001);
    assert_int_equal(posted(world), 0);
}

static void debug_lines_would_cause_each_other_and_are_not_sent(void **state)
{
    struct world *world = *state;

    noc_topic_log_init(&world->broker.topic_log);
    noc_topic_log_set_mt(&world->broker.topic_log, world->worker);
    log_line(world, NOC_LOG_DEBUG);
    log_line(world, NOC_LOG_INTERNAL);
    assert_int_equal(posted(world), 0);
    for (unsigned level = NOC_LOG_ERROR; level <= NOC_LOG_WEBSOCKETS; level <<= 1) {
        log_line(world, level);
    }
    assert_int_equal(posted(world), 7);
}

static void without_a_worker_lines_go_nowhere(void **state)
{
    struct world *world = *state;

    noc_topic_log_init(&world->broker.topic_log);
    log_line(world, NOC_LOG_ERROR);
    noc_topic_log_set_mt(&world->broker.topic_log, world->worker);
    noc_topic_log_set_mt(&world->broker.topic_log, NULL);
    log_line(world, NOC_LOG_ERROR);
    assert_int_equal(posted(world), 0);
}

static void a_worker_that_is_behind_gets_no_more(void **state)
{
    struct world *world = *state;

    noc_topic_log_init(&world->broker.topic_log);
    noc_topic_log_set_mt(&world->broker.topic_log, world->worker);
    for (int i = 0; i < 500; i++) {
        log_line(world, NOC_LOG_ERROR);
    }
    assert_int_equal(posted(world), world->broker.core.limits.mailbox_high + 1);
}

static void a_worker_that_would_have_to_post_to_one_behind_gets_no_more_either(void **state)
{
    struct world *world = *state;

    noc_topic_log_init(&world->broker.topic_log);
    noc_topic_log_set_mt(&world->broker.topic_log, world->worker);
    atomic_fetch_add(&world->other->mailbox.weight, world->broker.core.limits.mailbox_high + 1);
    log_line(world, NOC_LOG_ERROR);
    assert_int_equal(posted(world), 0);
    atomic_fetch_sub(&world->other->mailbox.weight, 1);
    log_line(world, NOC_LOG_ERROR);
    assert_int_equal(posted(world), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(a_line_goes_to_the_worker_and_is_published),
        WORLD_TEST(debug_lines_would_cause_each_other_and_are_not_sent),
        WORLD_TEST(without_a_worker_lines_go_nowhere),
        WORLD_TEST(a_worker_that_is_behind_gets_no_more),
        WORLD_TEST(a_worker_that_would_have_to_post_to_one_behind_gets_no_more_either),
    };

    return cmocka_run_group_tests_name("broker/topic_log", tests, NULL, NULL);
}
