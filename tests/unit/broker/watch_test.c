/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "broker/watch.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    char folder[64], acl[96], link[96];
    struct noc_listener_config listener;
    struct noc_config config;
    struct noc_watched *watched;
};

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    snprintf(f->folder, sizeof f->folder, "/tmp/noctule-watch-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    snprintf(f->acl, sizeof f->acl, "%s/acl", f->folder);
    snprintf(f->link, sizeof f->link, "%s/link", f->folder);
    write_file(f->acl, "topic a\n");
    f->config.listeners = &f->listener;
    f->config.listener_count = 1;
    f->config.security.acl_file = f->acl;
    f->watched = noc_watched_new(&f->config);
    assert_non_null(f->watched);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    noc_watched_free(f->watched);
    (void)unlink(f->acl);
    (void)unlink(f->link);
    (void)rmdir(f->folder);
    free(f);
    return 0;
}

static void a_file_that_stays_as_it_was_has_not_changed(void **state)
{
    struct fixture *f = *state;

    assert_false(noc_watched_look(f->watched));
    assert_false(noc_watched_look(f->watched));
}

static void a_change_before_the_first_look_is_found(void **state)
{
    struct fixture *f = *state;

    write_file(f->acl, "topic a\ntopic b\n");
    assert_false(noc_watched_look(f->watched));
    assert_true(noc_watched_look(f->watched));
}

static void a_file_that_still_changes_is_left_alone(void **state)
{
    struct fixture *f = *state;

    write_file(f->acl, "");
    assert_false(noc_watched_look(f->watched));
    write_file(f->acl, "topic b\ntopic c\n");
    assert_false(noc_watched_look(f->watched));
    assert_true(noc_watched_look(f->watched));
}

static void a_change_is_told_until_it_is_marked(void **state)
{
    struct fixture *f = *state;

    write_file(f->acl, "topic a\ntopic b\n");
    assert_false(noc_watched_look(f->watched));
    assert_true(noc_watched_look(f->watched));
    assert_true(noc_watched_look(f->watched));
    noc_watched_mark(f->watched);
    assert_false(noc_watched_look(f->watched));
}

static void a_change_after_the_mark_is_found_again(void **state)
{
    struct fixture *f = *state;

    write_file(f->acl, "");
    noc_watched_mark(f->watched);
    write_file(f->acl, "topic b\n");
    assert_false(noc_watched_look(f->watched));
    assert_true(noc_watched_look(f->watched));
}

static void a_file_that_is_gone_is_looked_at_when_it_is_back(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(unlink(f->acl), 0);
    assert_false(noc_watched_look(f->watched));
    assert_false(noc_watched_look(f->watched));
    write_file(f->acl, "topic a\ntopic b\n");
    assert_false(noc_watched_look(f->watched));
    assert_true(noc_watched_look(f->watched));
}

static void a_file_that_was_away_and_is_the_same_has_not_changed(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(rename(f->acl, f->link), 0);
    assert_false(noc_watched_look(f->watched));
    assert_int_equal(rename(f->link, f->acl), 0);
    assert_false(noc_watched_look(f->watched));
    assert_false(noc_watched_look(f->watched));
}

/* The reading in between has failed for want of it, so it has to be done again. */
static void a_file_that_was_away_when_marked_has_changed_when_it_is_back(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(rename(f->acl, f->link), 0);
    noc_watched_mark(f->watched);
    assert_false(noc_watched_look(f->watched));
    assert_int_equal(rename(f->link, f->acl), 0);
    assert_false(noc_watched_look(f->watched));
    assert_true(noc_watched_look(f->watched));
    noc_watched_mark(f->watched);
    assert_false(noc_watched_look(f->watched));
}

static void a_file_replaced_by_another_one_has_changed(void **state)
{
    struct fixture *f = *state;

    write_file(f->link, "topic b\n"); /* of the same size */
    assert_int_equal(rename(f->link, f->acl), 0);
    assert_false(noc_watched_look(f->watched));
    assert_true(noc_watched_look(f->watched));
}

static void a_folder_with_one_more_file_has_changed(void **state)
{
    static const struct timespec long_ago[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
    struct fixture *f = *state;

    f->listener.capath = f->folder;
    assert_int_equal(utimensat(AT_FDCWD, f->folder, long_ago, 0), 0);
    noc_watched_free(f->watched);
    f->watched = noc_watched_new(&f->config);
    assert_non_null(f->watched);
    assert_false(noc_watched_look(f->watched));
    write_file(f->link, "one more");
    assert_false(noc_watched_look(f->watched));
    assert_true(noc_watched_look(f->watched));
}

static void a_link_that_leads_elsewhere_is_a_change(void **state)
{
    struct fixture *f = *state;

    f->listener.certfile = f->link;
    assert_int_equal(symlink(f->acl, f->link), 0);
    noc_watched_free(f->watched);
    f->watched = noc_watched_new(&f->config);
    assert_non_null(f->watched);
    assert_false(noc_watched_look(f->watched));
    assert_int_equal(unlink(f->link), 0);
    assert_int_equal(symlink("/dev/null", f->link), 0);
    assert_false(noc_watched_look(f->watched));
    assert_true(noc_watched_look(f->watched));
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_file_that_stays_as_it_was_has_not_changed),
        CASE(a_change_before_the_first_look_is_found),
        CASE(a_file_that_still_changes_is_left_alone),
        CASE(a_change_is_told_until_it_is_marked),
        CASE(a_change_after_the_mark_is_found_again),
        CASE(a_file_that_is_gone_is_looked_at_when_it_is_back),
        CASE(a_file_that_was_away_and_is_the_same_has_not_changed),
        CASE(a_file_that_was_away_when_marked_has_changed_when_it_is_back),
        CASE(a_file_replaced_by_another_one_has_changed),
        CASE(a_folder_with_one_more_file_has_changed),
        CASE(a_link_that_leads_elsewhere_is_a_change),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
