/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <pthread.h>

#include "core/directory.h"

static void the_first_to_enter_decides_on_the_home(void **state)
{
    struct noc_directory *directory = noc_directory_new(1);
    struct noc_home *home = noc_directory_enter_mt(directory, noc_slice_of("a"), 3);

    (void)state;
    assert_int_equal(home->worker, 3);
    assert_true(noc_slice_equal(noc_home_id(home), noc_slice_of("a")));
    assert_ptr_equal(noc_directory_enter_mt(directory, noc_slice_of("a"), 5), home);
    assert_int_equal(home->worker, 3);
    assert_ptr_not_equal(noc_directory_enter_mt(directory, noc_slice_of("b"), 5), home);
    noc_directory_free(directory);
}

static void an_entry_goes_when_a_hand_over_arrives_and_makes_no_session(void **state)
{
    struct noc_directory *directory = noc_directory_new(1);
    struct noc_home *home = noc_directory_enter_mt(directory, noc_slice_of("a"), 3);

    (void)state;
    assert_false(noc_directory_arrived_mt(directory, home, false));
    home = noc_directory_enter_mt(directory, noc_slice_of("a"), 5);
    assert_int_equal(home->worker, 5);
    noc_directory_free(directory);
}

static void an_entry_stays_while_hand_overs_are_on_their_way(void **state)
{
    struct noc_directory *directory = noc_directory_new(1);
    struct noc_home *home = noc_directory_enter_mt(directory, noc_slice_of("a"), 0);

    (void)state;
    (void)noc_directory_enter_mt(directory, noc_slice_of("a"), 1);
    assert_true(noc_directory_arrived_mt(directory, home, true));
    assert_true(noc_directory_leave_mt(directory, home));
    assert_false(noc_directory_arrived_mt(directory, home, false));
    noc_directory_free(directory);
}

static void an_entry_stays_while_its_session_lives(void **state)
{
    struct noc_directory *directory = noc_directory_new(1);
    struct noc_home *home = noc_directory_enter_mt(directory, noc_slice_of("a"), 0);

    (void)state;
    assert_true(noc_directory_arrived_mt(directory, home, true));
    assert_ptr_equal(noc_directory_enter_mt(directory, noc_slice_of("a"), 1), home);
    assert_true(noc_directory_cancel_mt(directory, home));
    assert_false(noc_directory_leave_mt(directory, home));
    noc_directory_free(directory);
}

static void a_hand_over_called_off_takes_an_unused_entry_along(void **state)
{
    struct noc_directory *directory = noc_directory_new(1);
    struct noc_home *home = noc_directory_enter_mt(directory, noc_slice_of("a"), 0);

    (void)state;
    assert_ptr_equal(noc_directory_enter_mt(directory, noc_slice_of("a"), 0), home);
    assert_true(noc_directory_cancel_mt(directory, home));
    assert_false(noc_directory_cancel_mt(directory, home));
    noc_directory_free(directory);
}

static void many_ids_and_long_ones_are_told_apart(void **state)
{
    enum { IDS = 20000 };
    static struct noc_home *homes[IDS];
    static char longest[65535];
    struct noc_directory *directory = noc_directory_new(1);
    struct noc_home *home;
    char id[20];

    (void)state;
    for (unsigned i = 0; i < IDS; i++) {
        snprintf(id, sizeof id, "client-%u", i);
        homes[i] = noc_directory_enter_mt(directory, noc_slice_of(id), i % 64);
        assert_true(noc_directory_arrived_mt(directory, homes[i], true));
    }
    for (unsigned i = 0; i < IDS; i++) {
        snprintf(id, sizeof id, "client-%u", i);
        assert_ptr_equal(noc_directory_enter_mt(directory, noc_slice_of(id), 0), homes[i]);
        assert_true(noc_directory_cancel_mt(directory, homes[i]));
        if (i % 2 == 0) {
            assert_false(noc_directory_leave_mt(directory, homes[i]));
        }
    }
    home = noc_directory_enter_mt(directory, noc_slice(longest, sizeof longest), 0);
    assert_int_equal(noc_home_id(home).n, 65535);
    noc_directory_free(directory);
}

/* ---- threads that race for the same ids ---- */

enum { RACERS = 3, ROUNDS = 20000, RACE_IDS = 4 };

struct race {
    struct noc_directory *directory;
    unsigned worker;
    unsigned wrong;
};

static void *race(void *argument)
{
    struct race *self = argument;

    for (unsigned i = 0; i < ROUNDS; i++) {
        char id[2] = {(char)('a' + (i * 7 + self->worker) % RACE_IDS), '\0'};
        struct noc_home *home =
            noc_directory_enter_mt(self->directory, noc_slice_of(id), self->worker);

        if (home == NULL || home->id_n != 1 || home->id[0] != id[0]) {
            self->wrong++;
            continue;
        }
        if (i % 3 == 0) {
            (void)noc_directory_cancel_mt(self->directory, home);
        } else if (home->worker == self->worker) {
            /* Only its home says that a session is there, and when it has ended. */
            (void)noc_directory_arrived_mt(self->directory, home, true);
            (void)noc_directory_leave_mt(self->directory, home);
        } else {
            (void)noc_directory_cancel_mt(self->directory, home);
        }
    }
    return NULL;
}

static void racing_threads_never_see_an_entry_that_has_gone(void **state)
{
    struct noc_directory *directory = noc_directory_new(1);
    struct race races[RACERS];
    pthread_t threads[RACERS];

    (void)state;
    for (unsigned i = 0; i < RACERS; i++) {
        races[i] = (struct race){.directory = directory, .worker = i};
        assert_int_equal(pthread_create(&threads[i], NULL, race, &races[i]), 0);
    }
    for (unsigned i = 0; i < RACERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(races[i].wrong, 0);
    }
    /* All have left: every id is free for a new home. */
    for (unsigned i = 0; i < RACE_IDS; i++) {
        char id[2] = {(char)('a' + i), '\0'};

        assert_int_equal(noc_directory_enter_mt(directory, noc_slice_of(id), 60)->worker, 60);
    }
    noc_directory_free(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_to_enter_decides_on_the_home),
        cmocka_unit_test(an_entry_goes_when_a_hand_over_arrives_and_makes_no_session),
        cmocka_unit_test(an_entry_stays_while_hand_overs_are_on_their_way),
        cmocka_unit_test(an_entry_stays_while_its_session_lives),
        cmocka_unit_test(a_hand_over_called_off_takes_an_unused_entry_along),
        cmocka_unit_test(many_ids_and_long_ones_are_told_apart),
        cmocka_unit_test(racing_threads_never_see_an_entry_that_has_gone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
