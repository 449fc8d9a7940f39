/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "net/loop.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/clock.h"
#include <noctule/error.h>

enum { EVENTS = 8 };

struct fixture {
    struct noc_loop loop;
    int ends[2];
    struct noc_loop_event events[EVENTS];
};

static int set_up(void **state)
{
    static struct fixture fixture;

    *state = &fixture;
    return noc_loop_init(&fixture.loop) != NOC_OK ||
           socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fixture.ends) != 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    noc_loop_done(&f->loop);
    (void)close(f->ends[0]);
    (void)close(f->ends[1]);
    return 0;
}

static int look(struct fixture *f)
{
    return noc_loop_wait(&f->loop, 0, f->events, EVENTS);
}

static void readable_is_told_until_it_was_read(void **state)
{
    struct fixture *f = *state;
    char byte = 'x';

    assert_int_equal(noc_loop_add(&f->loop, f->ends[0], NOC_LOOP_READ, f), NOC_OK);
    assert_int_equal(look(f), 0);
    assert_int_equal(write(f->ends[1], &byte, 1), 1);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(look(f), 1);
        assert_ptr_equal(f->events[0].owner, f);
        assert_true(f->events[0].readable);
        assert_false(f->events[0].writable);
        assert_false(f->events[0].hangup);
    }
    assert_int_equal(read(f->ends[0], &byte, 1), 1);
    assert_int_equal(look(f), 0);
}

static void interest_can_change(void **state)
{
    struct fixture *f = *state;
    int other;

    assert_int_equal(noc_loop_add(&f->loop, f->ends[0], NOC_LOOP_READ, f), NOC_OK);
    assert_int_equal(
        noc_loop_change(&f->loop, f->ends[0], NOC_LOOP_READ | NOC_LOOP_WRITE, &other), NOC_OK);
    assert_int_equal(look(f), 1);
    assert_ptr_equal(f->events[0].owner, &other);
    assert_true(f->events[0].writable);
    assert_false(f->events[0].readable);
    noc_loop_remove(&f->loop, f->ends[0]);
    noc_loop_remove(&f->loop, f->ends[0]);
    assert_int_equal(look(f), 0);
}

static void a_paused_connection_does_not_wake_the_loop(void **state)
{
    struct fixture *f = *state;
    char byte = 'x';

    assert_int_equal(noc_loop_add(&f->loop, f->ends[0], NOC_LOOP_NONE, f), NOC_OK);
    assert_int_equal(write(f->ends[1], &byte, 1), 1);
    assert_int_equal(shutdown(f->ends[1], SHUT_WR), 0);
    assert_int_equal(look(f), 0);
    assert_int_equal(noc_loop_change(&f->loop, f->ends[0], NOC_LOOP_READ, f), NOC_OK);
    assert_int_equal(look(f), 1);
    assert_true(f->events[0].readable);
    assert_true(f->events[0].hangup);
}

static void a_closed_peer_is_a_hangup_that_can_be_read(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(noc_loop_add(&f->loop, f->ends[0], NOC_LOOP_READ, f), NOC_OK);
    (void)close(f->ends[1]);
    f->ends[1] = -1;
    assert_int_equal(look(f), 1);
    assert_true(f->events[0].hangup);
    assert_true(f->events[0].readable);
}

static void mistakes_are_refused(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(noc_loop_change(&f->loop, f->ends[0], NOC_LOOP_READ, f), NOC_ENOENT);
    assert_int_equal(noc_loop_add(&f->loop, f->ends[0], NOC_LOOP_READ, f), NOC_OK);
    assert_int_equal(noc_loop_add(&f->loop, f->ends[0], NOC_LOOP_READ, f), NOC_EEXIST);
    assert_int_equal(noc_loop_add(&f->loop, -1, NOC_LOOP_READ, f), NOC_EIO);
}

static void an_exclusive_descriptor_can_be_paused_and_resumed(void **state)
{
    struct fixture *f = *state;
    char byte = 'x';

    assert_int_equal(
        noc_loop_add(&f->loop, f->ends[0], NOC_LOOP_READ | NOC_LOOP_EXCLUSIVE, f), NOC_OK);
    assert_int_equal(write(f->ends[1], &byte, 1), 1);
    assert_int_equal(look(f), 1);
    assert_int_equal(noc_loop_change(&f->loop, f->ends[0], NOC_LOOP_NONE, f), NOC_OK);
    assert_int_equal(look(f), 0);
    assert_int_equal(
        noc_loop_change(&f->loop, f->ends[0], NOC_LOOP_READ | NOC_LOOP_EXCLUSIVE, f), NOC_OK);
    assert_int_equal(look(f), 1);
}

static void at_most_max_events_come_at_once(void **state)
{
    struct fixture *f = *state;
    int owners[2];

    assert_int_equal(noc_loop_add(&f->loop, f->ends[0], NOC_LOOP_WRITE, &owners[0]), NOC_OK);
    assert_int_equal(noc_loop_add(&f->loop, f->ends[1], NOC_LOOP_WRITE, &owners[1]), NOC_OK);
    assert_int_equal(noc_loop_wait(&f->loop, 0, f->events, 1), 1);
    assert_int_equal(look(f), 2);
}

static void the_bell_ends_one_wait(void **state)
{
    struct fixture *f = *state;
    uint64_t before = noc_clock_ms();

    noc_loop_ring_mt(&f->loop);
    noc_loop_ring_mt(&f->loop);
    assert_int_equal(noc_loop_wait(&f->loop, 10000, f->events, EVENTS), 0);
    assert_true(noc_clock_ms() - before < 5000);
    before = noc_clock_ms();
    assert_int_equal(noc_loop_wait(&f->loop, 50, f->events, EVENTS), 0);
    assert_true(noc_clock_ms() - before >= 49);
}

enum { RINGERS = 4, ROUNDS = 2000 };

struct ringer {
    struct noc_loop *loop;
    atomic_int *count;
};

static void *ring_often(void *argument)
{
    struct ringer *ringer = argument;

    for (int i = 0; i < ROUNDS; i++) {
        atomic_fetch_add(ringer->count, 1);
        noc_loop_ring_mt(ringer->loop);
    }
    return NULL;
}

static void no_ring_of_another_thread_is_missed(void **state)
{
    struct fixture *f = *state;
    pthread_t threads[RINGERS];
    atomic_int count = 0;
    struct ringer ringer = {&f->loop, &count};
    uint64_t before = noc_clock_ms();

    for (int i = 0; i < RINGERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, ring_often, &ringer), 0);
    }
    /* A lost wake-up would leave the loop in its wait of 20 s with the count incomplete. */
    while (atomic_load(&count) < RINGERS * ROUNDS) {
        assert_int_equal(noc_loop_wait(&f->loop, 20000, f->events, EVENTS), 0);
    }
    assert_true(noc_clock_ms() - before < 15000);
    for (int i = 0; i < RINGERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
}

static void done_may_be_repeated(void **state)
{
    struct noc_loop loop;

    assert_int_equal(noc_loop_init(&loop), NOC_OK);
    noc_loop_done(&loop);
    noc_loop_done(&loop);
    assert_int_equal(loop.poll_fd, -1);
}

static void clocks_agree_with_each_other(void **state)
{
    uint64_t ms = noc_clock_ms();
    uint64_t ns = noc_clock_ns();

    assert_true(ns / 1000000 >= ms && ns / 1000000 - ms < 1000);
    assert_true(noc_clock_wall_ms() > INT64_C(1700000000000));
}

#define LOOP_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(readable_is_told_until_it_was_read),
        LOOP_TEST(interest_can_change),
        LOOP_TEST(a_paused_connection_does_not_wake_the_loop),
        LOOP_TEST(a_closed_peer_is_a_hangup_that_can_be_read),
        LOOP_TEST(mistakes_are_refused),
        LOOP_TEST(an_exclusive_descriptor_can_be_paused_and_resumed),
        LOOP_TEST(at_most_max_events_come_at_once),
        LOOP_TEST(the_bell_ends_one_wait),
        LOOP_TEST(no_ring_of_another_thread_is_missed),
        cmocka_unit_test(done_may_be_repeated),
        cmocka_unit_test(clocks_agree_with_each_other),
    };

    return cmocka_run_group_tests_name("net/loop", tests, NULL, NULL);
}
