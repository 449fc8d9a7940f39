/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "base/timer.h"

#define HORIZON_MS (UINT64_C(1) << 36)

static struct noc_timers timers;
static struct noc_timer timer;

static void begin(uint64_t now_ms)
{
    noc_timers_init(&timers, now_ms);
    noc_timer_init(&timer, 0);
}

static bool fires(uint64_t now_ms)
{
    noc_timers_advance(&timers, now_ms);
    return noc_timers_next(&timers) != NULL;
}

static void a_timer_fires_at_its_deadline_and_not_before(void **state)
{
    static const uint64_t starts[] = {0, 1, 63, 64, 4095, 123456789, HORIZON_MS - 1, HORIZON_MS};
    static const uint64_t delays[] = {1, 2, 63, 64, 65, 4095, 4096, 4097, 262143, 262144, 16777216,
        HORIZON_MS / 2, HORIZON_MS - 1, HORIZON_MS, HORIZON_MS + 1, 5 * HORIZON_MS + 77};

    (void)state;
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++) {
        for (size_t j = 0; j < sizeof delays / sizeof delays[0]; j++) {
            uint64_t at_ms = starts[i] + delays[j];

            begin(starts[i]);
            noc_timer_set(&timers, &timer, at_ms);
            assert_true(noc_timer_is_set(&timer));
            assert_false(fires(starts[i]));
            assert_false(fires(at_ms - 1));
            assert_true(noc_timer_is_set(&timer));
            assert_true(fires(at_ms));
            assert_false(noc_timer_is_set(&timer));
            assert_null(noc_timers_next(&timers));
        }
    }
}

static void sleeping_as_told_never_oversleeps_and_wakes_seldom(void **state)
{
    (void)state;
    for (uint64_t delay = 1; delay < HORIZON_MS * 3; delay = delay * 3 + 1) {
        uint64_t start = 1000003, now = start;
        unsigned wakes = 0;

        begin(start);
        noc_timer_set(&timers, &timer, start + delay);
        for (;;) {
            uint64_t wait = noc_timers_wait_ms(&timers, UINT64_MAX);

            assert_true(wait > 0 && wait <= start + delay - now);
            now += wait;
            wakes++;
            if (fires(now)) {
                break;
            }
        }
        assert_int_equal(now, start + delay);
        assert_true(wakes <= 6 * (1 + delay / HORIZON_MS) + 6);
    }
}

static void a_deadline_in_the_past_fires_at_the_next_advance_only(void **state)
{
    (void)state;
    begin(5000);
    noc_timer_set(&timers, &timer, 10);
    assert_null(noc_timers_next(&timers));
    assert_int_equal(noc_timers_wait_ms(&timers, 100), 0);
    assert_true(fires(5000));
    noc_timer_set(&timers, &timer, 5000);
    assert_null(noc_timers_next(&timers));
    assert_true(fires(5000));
    noc_timer_set(&timers, &timer, 5000);
    assert_true(fires(9000000));
}

static void a_stopped_timer_does_not_fire(void **state)
{
    (void)state;
    begin(0);
    noc_timer_stop(&timers, &timer);
    noc_timer_set(&timers, &timer, 100);
    noc_timer_stop(&timers, &timer);
    assert_false(noc_timer_is_set(&timer));
    assert_int_equal(noc_timers_wait_ms(&timers, 777), 777);
    assert_false(fires(1000));
    /* Nor when it was due already. */
    noc_timer_set(&timers, &timer, 1500);
    noc_timers_advance(&timers, 2000);
    assert_int_equal(noc_timers_wait_ms(&timers, 777), 0);
    noc_timer_stop(&timers, &timer);
    assert_null(noc_timers_next(&timers));
    assert_int_equal(noc_timers_wait_ms(&timers, 777), 777);
}

static void a_timer_set_again_moves(void **state)
{
    (void)state;
    begin(0);
    noc_timer_set(&timers, &timer, 100);
    noc_timer_set(&timers, &timer, 100000);
    assert_false(fires(99999));
    noc_timer_set(&timers, &timer, 100500);
    assert_false(fires(100499));
    assert_true(fires(100500));
    /* From the due list too. */
    noc_timer_set(&timers, &timer, 100600);
    noc_timers_advance(&timers, 100600);
    noc_timer_set(&timers, &timer, 100700);
    assert_null(noc_timers_next(&timers));
    assert_true(fires(100700));
}

static void others_may_be_stopped_while_the_due_ones_are_taken(void **state)
{
    struct noc_timer others[3];
    struct noc_timer *next;

    (void)state;
    begin(0);
    for (uint8_t i = 0; i < 3; i++) {
        noc_timer_init(&others[i], i);
        noc_timer_set(&timers, &others[i], 10u + i);
    }
    noc_timers_advance(&timers, 20);
    next = noc_timers_next(&timers);
    assert_ptr_equal(next, &others[0]);
    assert_int_equal(next->kind, 0);
    noc_timer_stop(&timers, &others[1]);
    noc_timer_set(&timers, &others[0], 15); /* overdue, but not to be had in this round */
    assert_ptr_equal(noc_timers_next(&timers), &others[2]);
    assert_null(noc_timers_next(&timers));
    assert_true(fires(20));
}

static void time_does_not_go_back(void **state)
{
    (void)state;
    begin(1000);
    noc_timer_set(&timers, &timer, 1100);
    noc_timers_advance(&timers, 500);
    assert_int_equal(timers.now_ms, 1000);
    assert_false(fires(1099));
    assert_true(fires(1100));
}

static void the_wait_is_bounded_by_what_the_caller_says(void **state)
{
    (void)state;
    begin(0);
    assert_int_equal(noc_timers_wait_ms(&timers, 50), 50);
    noc_timer_set(&timers, &timer, 40);
    assert_int_equal(noc_timers_wait_ms(&timers, 50), 40);
    assert_int_equal(noc_timers_wait_ms(&timers, 30), 30);
}

/* Against a plain array: whatever is set, stopped and advanced at random, both agree. */
static void many_timers_behave_like_a_plain_list_of_deadlines(void **state)
{
    enum { COUNT = 300, STEPS = 20000 };
    static struct noc_timer many[COUNT];
    static uint64_t deadline[COUNT]; /* UINT64_MAX: not set */
    unsigned seed = (unsigned)time(NULL);
    uint64_t now = 987654;
    struct noc_timer *next;

    (void)state;
    print_message("# seed %u\n", seed);
    srand(seed);
    begin(now);
    for (unsigned i = 0; i < COUNT; i++) {
        noc_timer_init(&many[i], 0);
        deadline[i] = UINT64_MAX;
    }
    for (unsigned step = 0; step < STEPS; step++) {
        unsigned i = (unsigned)rand() % COUNT;
        uint64_t earliest = UINT64_MAX;

        if (rand() % 5 == 0) {
            noc_timer_stop(&timers, &many[i]);
            deadline[i] = UINT64_MAX;
        } else {
            deadline[i] = now + ((uint64_t)rand() >> rand() % 32);
            noc_timer_set(&timers, &many[i], deadline[i]);
        }
        for (i = 0; i < COUNT; i++) {
            earliest = deadline[i] < earliest ? deadline[i] : earliest;
        }
        assert_true(
            noc_timers_wait_ms(&timers, UINT64_MAX) <= (earliest > now ? earliest - now : 0) ||
            earliest == UINT64_MAX);
        if (rand() % 3 != 0) {
            continue;
        }
        now += (uint64_t)rand() >> rand() % 32;
        noc_timers_advance(&timers, now);
        while ((next = noc_timers_next(&timers)) != NULL) {
            i = (unsigned)(next - many);
            assert_true(deadline[i] <= now);
            deadline[i] = UINT64_MAX;
        }
        for (i = 0; i < COUNT; i++) {
            assert_true(deadline[i] > now);
            assert_int_equal(noc_timer_is_set(&many[i]), deadline[i] != UINT64_MAX);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_timer_fires_at_its_deadline_and_not_before),
        cmocka_unit_test(sleeping_as_told_never_oversleeps_and_wakes_seldom),
        cmocka_unit_test(a_deadline_in_the_past_fires_at_the_next_advance_only),
        cmocka_unit_test(a_stopped_timer_does_not_fire),
        cmocka_unit_test(a_timer_set_again_moves),
        cmocka_unit_test(others_may_be_stopped_while_the_due_ones_are_taken),
        cmocka_unit_test(time_does_not_go_back),
        cmocka_unit_test(the_wait_is_bounded_by_what_the_caller_says),
        cmocka_unit_test(many_timers_behave_like_a_plain_list_of_deadlines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
