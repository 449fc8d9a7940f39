/* SPDX-License-Identifier: Apache-2.0 */
/* One broker per folder, and folders that cannot be used. */
#define _GNU_SOURCE
#include "store_harness.h"

#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int setup(void **state)
{
    static struct world world;

    world_init(&world);
    *state = &world;
    return 0;
}

static int teardown(void **state)
{
    world_done(*state);
    return 0;
}

/* A process that opens the store, says so, and stays until the pipe is closed. */
static pid_t start_other(struct world *world, int *ret_end)
{
    int ready[2], end[2];
    char byte;
    pid_t pid;

    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(end), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct noc_store *store;

        (void)close(end[1]);
        if (noc_store_open(&world->options, &store, world->error, sizeof(world->error)) < 0 ||
            write(ready[1], "", 1) != 1) {
            _exit(1);
        }
        (void)!read(end[0], &byte, 1);
        _exit(0); /* without closing it */
    }
    (void)close(ready[1]);
    (void)close(end[0]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    (void)close(ready[0]);
    *ret_end = end[1];
    return pid;
}

static void a_second_broker_is_told_who_is_there(void **state)
{
    struct world *world = *state;
    int end, status;
    char text[32];
    pid_t pid = start_other(world, &end);

    assert_int_equal(world_try(world), NOC_EEXIST);
    (void)snprintf(text, sizeof(text), "process %ld;", (long)pid);
    assert_non_null(strstr(world->error, text));
    assert_non_null(strstr(world->error, world->folder));
    (void)close(end);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    /* It died without a word; the kernel gave the lock free. */
    world_open(world);
}

static void two_stores_of_one_process_are_two(void **state)
{
    struct world *world = *state;
    struct noc_store *other;

    world_open(world);
    assert_int_equal(
        noc_store_open(&world->options, &other, world->error, sizeof(world->error)), NOC_EEXIST);
    world_reopen(world);
}

static void a_folder_that_is_not_there_is_named(void **state)
{
    struct world *world = *state;

    world->options.folder = "/nonexistent/noctule";
    assert_int_equal(world_try(world), NOC_EIO);
    assert_non_null(strstr(world->error, "/nonexistent/noctule"));
    assert_non_null(strstr(world->error, "No such file"));
    assert_non_null(strstr(world->error, "persistence_location"));
}

/* Root may write anywhere, so another user tries. */
static void a_folder_that_may_only_be_read_is_named(void **state)
{
    struct world *world = *state;
    int status;
    pid_t pid;

    assert_int_equal(chmod(world->folder, 0555), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (geteuid() == 0 && (setgroups(0, NULL) != 0 || setuid(65534) != 0)) {
            _exit(2);
        }
        _exit(world_try(world) == NOC_EIO && strstr(world->error, "Permission denied") != NULL &&
                      strstr(world->error, world->folder) != NULL
                  ? 0
                  : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(chmod(world->folder, 0755), 0);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_second_broker_is_told_who_is_there, setup, teardown),
        cmocka_unit_test_setup_teardown(two_stores_of_one_process_are_two, setup, teardown),
        cmocka_unit_test_setup_teardown(a_folder_that_is_not_there_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(a_folder_that_may_only_be_read_is_named, setup, teardown),
    };

    return cmocka_run_group_tests_name("store_lock", tests, NULL, NULL);
}
