/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "core/reclaim.h"

struct thing {
    struct noc_deferred deferred;
    unsigned given_back; /* how often */
    unsigned reader;     /* who called */
    struct noc_reclaim *reclaim;
    struct thing *then; /* to be deferred when this one is given back */
};

static void give_back(struct noc_deferred *deferred, unsigned reader)
{
    struct thing *thing = NOC_CONTAINER(deferred, struct thing, deferred);

    thing->given_back++;
    thing->reader = reader;
    if (thing->then != NULL) {
        noc_reclaim_defer(thing->reclaim, reader, &thing->then->deferred);
    }
}

#define THING                                 \
    {                                         \
        .deferred = {.give_back = give_back } \
    }

static void a_thing_waits_until_every_online_reader_was_quiescent(void **state)
{
    struct noc_reclaim *reclaim = noc_reclaim_new(3);
    struct thing thing = THING;

    noc_reclaim_online(reclaim, 0);
    noc_reclaim_online(reclaim, 1);
    noc_reclaim_online(reclaim, 2);
    noc_reclaim_defer(reclaim, 0, &thing.deferred);
    assert_true(noc_reclaim_has_deferred(reclaim, 0));
    assert_false(noc_reclaim_has_deferred(reclaim, 1));
    noc_reclaim_quiescent(reclaim, 0);
    noc_reclaim_quiescent(reclaim, 1);
    noc_reclaim_quiescent(reclaim, 0);
    assert_int_equal(thing.given_back, 0);
    noc_reclaim_quiescent(reclaim, 2);
    assert_int_equal(thing.given_back, 0); /* by its own reader only */
    noc_reclaim_quiescent(reclaim, 0);
    assert_int_equal(thing.given_back, 1);
    assert_int_equal(thing.reader, 0);
    assert_false(noc_reclaim_has_deferred(reclaim, 0));
    noc_reclaim_free(reclaim);
    assert_int_equal(thing.given_back, 1);
}

static void an_earlier_quiescent_state_does_not_count(void **state)
{
    struct noc_reclaim *reclaim = noc_reclaim_new(2);
    struct thing first = THING, second = THING;

    noc_reclaim_online(reclaim, 0);
    noc_reclaim_online(reclaim, 1);
    noc_reclaim_defer(reclaim, 0, &first.deferred);
    noc_reclaim_quiescent(reclaim, 0);
    noc_reclaim_quiescent(reclaim, 1);
    noc_reclaim_defer(reclaim, 0, &second.deferred);
    noc_reclaim_quiescent(reclaim, 0);
    assert_int_equal(first.given_back, 1);
    assert_int_equal(second.given_back, 0);
    noc_reclaim_quiescent(reclaim, 0);
    assert_int_equal(second.given_back, 0);
    noc_reclaim_quiescent(reclaim, 1);
    noc_reclaim_quiescent(reclaim, 0);
    assert_int_equal(second.given_back, 1);
    noc_reclaim_free(reclaim);
}

static void readers_that_are_offline_are_not_waited_for(void **state)
{
    struct noc_reclaim *reclaim = noc_reclaim_new(3);
    struct thing thing = THING;

    noc_reclaim_online(reclaim, 0);
    noc_reclaim_online(reclaim, 1);
    noc_reclaim_defer(reclaim, 0, &thing.deferred);
    noc_reclaim_quiescent(reclaim, 0);
    assert_int_equal(thing.given_back, 0);
    noc_reclaim_offline(reclaim, 1);
    noc_reclaim_quiescent(reclaim, 0);
    assert_int_equal(thing.given_back, 1);
    noc_reclaim_free(reclaim);
}

static void a_reader_that_came_online_later_is_not_waited_for(void **state)
{
    struct noc_reclaim *reclaim = noc_reclaim_new(3);
    struct thing thing = THING;

    noc_reclaim_online(reclaim, 0);
    noc_reclaim_online(reclaim, 1);
    noc_reclaim_defer(reclaim, 0, &thing.deferred);
    noc_reclaim_quiescent(reclaim, 0);
    noc_reclaim_online(reclaim, 2);
    noc_reclaim_quiescent(reclaim, 1);
    noc_reclaim_quiescent(reclaim, 0);
    assert_int_equal(thing.given_back, 1);
    noc_reclaim_free(reclaim);
}

static void alone_a_reader_waits_for_nobody(void **state)
{
    struct noc_reclaim *reclaim = noc_reclaim_new(1);
    struct thing thing = THING, offline = THING;

    noc_reclaim_online(reclaim, 0);
    noc_reclaim_defer(reclaim, 0, &thing.deferred);
    assert_int_equal(thing.given_back, 0);
    noc_reclaim_quiescent(reclaim, 0);
    assert_int_equal(thing.given_back, 1);
    noc_reclaim_defer(reclaim, 0, &offline.deferred);
    noc_reclaim_offline(reclaim, 0);
    noc_reclaim_quiescent(reclaim, 0);
    assert_int_equal(offline.given_back, 1);
    noc_reclaim_free(reclaim);
}

static void what_is_deferred_while_giving_back_has_a_grace_period_of_its_own(void **state)
{
    struct noc_reclaim *reclaim = noc_reclaim_new(2);
    struct thing second = THING;
    struct thing first = {{NULL, give_back}, 0, 0, reclaim, &second};

    noc_reclaim_online(reclaim, 0);
    noc_reclaim_online(reclaim, 1);
    noc_reclaim_defer(reclaim, 0, &first.deferred);
    noc_reclaim_quiescent(reclaim, 0);
    noc_reclaim_quiescent(reclaim, 1);
    noc_reclaim_quiescent(reclaim, 0);
    assert_int_equal(first.given_back, 1);
    assert_int_equal(second.given_back, 0);
    noc_reclaim_quiescent(reclaim, 1);
    noc_reclaim_quiescent(reclaim, 0);
    assert_int_equal(second.given_back, 1);
    noc_reclaim_free(reclaim);
}

static void freeing_gives_everything_back(void **state)
{
    struct noc_reclaim *reclaim = noc_reclaim_new(2);
    struct thing waiting = THING, gathering = THING, last = THING;
    struct thing chained = {{NULL, give_back}, 0, 0, reclaim, &last};

    noc_reclaim_online(reclaim, 0);
    noc_reclaim_online(reclaim, 1);
    noc_reclaim_defer(reclaim, 0, &waiting.deferred);
    noc_reclaim_quiescent(reclaim, 0);
    noc_reclaim_defer(reclaim, 0, &gathering.deferred);
    noc_reclaim_defer(reclaim, 1, &chained.deferred);
    noc_reclaim_free(reclaim);
    assert_int_equal(waiting.given_back, 1);
    assert_int_equal(gathering.given_back, 1);
    assert_int_equal(chained.given_back, 1);
    assert_int_equal(last.given_back, 1);
    noc_reclaim_free(NULL);
    noc_reclaim_unref(NULL);
}

static void a_second_owner_keeps_it_alive(void **state)
{
    struct noc_reclaim *reclaim = noc_reclaim_ref(noc_reclaim_new(1));
    struct thing thing = THING;

    noc_reclaim_free(reclaim);
    noc_reclaim_defer(reclaim, 0, &thing.deferred);
    noc_reclaim_flush(reclaim);
    assert_int_equal(thing.given_back, 1);
    noc_reclaim_unref(reclaim);
}

/* ---- threads: one shared pointer, exchanged and freed all the time ---- */

enum { READERS_MAX = 8, TURNS = 20000, ALIVE = 0x5eed };

struct value {
    struct noc_deferred deferred;
    unsigned content; /* ALIVE until given back; not atomic: the sanitizers watch it */
};

struct shared {
    struct noc_reclaim *reclaim;
    _Atomic(struct value *) slots[16];
    atomic_bool has_failed;
};

struct visitor {
    struct shared *shared;
    unsigned number;
};

static struct value *value_new(void)
{
    struct value *value = malloc(sizeof *value);

    value->content = ALIVE;
    return value;
}

static void value_give_back(struct noc_deferred *deferred, unsigned reader)
{
    struct value *value = NOC_CONTAINER(deferred, struct value, deferred);

    value->content = 0;
    free(value);
}

static void replace(struct visitor *visitor, unsigned slot)
{
    struct shared *shared = visitor->shared;
    struct value *fresh = value_new();
    struct value *old = atomic_exchange_explicit(&shared->slots[slot], fresh, memory_order_acq_rel);

    old->deferred.give_back = value_give_back;
    noc_reclaim_defer(shared->reclaim, visitor->number, &old->deferred);
}

static void *visit(void *argument)
{
    struct visitor *visitor = argument;
    struct shared *shared = visitor->shared;
    unsigned random = visitor->number * 2654435761U + 1;

    noc_reclaim_online(shared->reclaim, visitor->number);
    for (unsigned turn = 0; turn < TURNS; turn++) {
        struct value *seen[16];

        random = random * 1664525U + 1013904223U;
        for (unsigned i = 0; i < 16; i++) {
            seen[i] = atomic_load_explicit(&shared->slots[i], memory_order_acquire);
        }
        if (random >> 28 < 4) {
            replace(visitor, random >> 24 & 15);
        }
        for (unsigned i = 0; i < 16; i++) {
            if (seen[i]->content != ALIVE) {
                atomic_store(&shared->has_failed, true);
            }
        }
        if ((random >> 20 & 15) == 0) {
            noc_reclaim_offline(shared->reclaim, visitor->number);
            sched_yield();
            noc_reclaim_online(shared->reclaim, visitor->number);
        }
        noc_reclaim_quiescent(shared->reclaim, visitor->number);
    }
    noc_reclaim_offline(shared->reclaim, visitor->number);
    return NULL;
}

static void run_visitors(unsigned count)
{
    struct shared shared = {.reclaim = noc_reclaim_new(count)};
    struct visitor visitors[READERS_MAX];
    pthread_t threads[READERS_MAX];

    for (unsigned i = 0; i < 16; i++) {
        atomic_init(&shared.slots[i], value_new());
    }
    for (unsigned i = 0; i < count; i++) {
        visitors[i] = (struct visitor){&shared, i};
        assert_int_equal(pthread_create(&threads[i], NULL, visit, &visitors[i]), 0);
    }
    for (unsigned i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_false(atomic_load(&shared.has_failed));
    noc_reclaim_free(shared.reclaim);
    for (unsigned i = 0; i < 16; i++) {
        free(atomic_load(&shared.slots[i]));
    }
}

static void no_reader_ever_sees_what_was_given_back(void **state)
{
    run_visitors(1);
    run_visitors(2);
    run_visitors(4);
    run_visitors(8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thing_waits_until_every_online_reader_was_quiescent),
        cmocka_unit_test(an_earlier_quiescent_state_does_not_count),
        cmocka_unit_test(readers_that_are_offline_are_not_waited_for),
        cmocka_unit_test(a_reader_that_came_online_later_is_not_waited_for),
        cmocka_unit_test(alone_a_reader_waits_for_nobody),
        cmocka_unit_test(what_is_deferred_while_giving_back_has_a_grace_period_of_its_own),
        cmocka_unit_test(freeing_gives_everything_back),
        cmocka_unit_test(a_second_owner_keeps_it_alive),
        cmocka_unit_test(no_reader_ever_sees_what_was_given_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
