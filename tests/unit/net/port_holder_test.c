/* SPDX-License-Identifier: Apache-2.0 */
/* Holders into which we may not look; listen_test.c has those that are found. */
#define _GNU_SOURCE
#include "net/port_holder.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { HOLDERS_MAX = 4 };

struct fixture {
    int to_holders[2];  /* they end with it */
    int from_holder[2]; /* its port */
    uint16_t port;      /* of the first */
    unsigned stranger;  /* a user's number that nobody else has, not even another run of this */
    pid_t holders[HOLDERS_MAX];
    unsigned count;
    char text[NOC_PORT_HOLDER_TEXT_SIZE]; /* of the last look */
};

/* What nobody but root may look into: a process of this user, or of a user of its own. */
static void be_a_stranger(const struct fixture *f)
{
    if (geteuid() == 0 && setuid(f->stranger) != 0) {
        _exit(1);
    }
    (void)prctl(PR_SET_DUMPABLE, 0);
}

/* A listening socket and its port, until the test has ended. */
static void hold_a_port(struct fixture *f)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof(address);
    char end;
    int fd;

    be_a_stranger(f);
    (void)close(f->to_holders[1]);
    fd = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, 1) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) != 0 ||
        write(f->from_holder[1], &address.sin_port, sizeof(address.sin_port)) < 0) {
        _exit(1);
    }
    (void)!read(f->to_holders[0], &end, 1);
    _exit(0);
}

static void start_holder(struct fixture *f)
{
    uint16_t port;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        hold_a_port(f);
    }
    f->holders[f->count] = child;
    assert_int_equal(read(f->from_holder[0], &port, sizeof(port)), sizeof(port));
    if (f->count++ == 0) {
        f->port = ntohs(port);
    }
}

/* Who holds the first one's port, by the eyes of the same user. */
static void look(struct fixture *f)
{
    struct noc_port_holder holder;
    int status;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        be_a_stranger(f);
        if (noc_port_holder_find(f->port, &holder) || holder.pid != 0) {
            _exit(1);
        }
        _exit(write(f->from_holder[1], holder.text, sizeof(holder.text)) < 0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(read(f->from_holder[0], f->text, sizeof(f->text)), sizeof(f->text));
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    if (f == NULL) {
        return 1;
    }
    *state = f;
    f->stranger = 20000 + (unsigned)getpid() % 40000;
    return pipe(f->to_holders) != 0 || pipe(f->from_holder) != 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    (void)close(f->to_holders[1]);
    for (unsigned i = 0; i < f->count; i++) {
        (void)waitpid(f->holders[i], NULL, 0);
    }
    (void)close(f->to_holders[0]);
    (void)close(f->from_holder[0]);
    (void)close(f->from_holder[1]);
    free(f);
    return 0;
}

static void who_may_not_be_looked_into_is_named_with_its_user(void **state)
{
    struct fixture *f = *state;
    char expected[64];

    start_holder(f);
    look(f);
    assert_memory_equal(f->text, "a process of user ", 18);
    if (geteuid() == 0) { /* nobody else is of that user */
        (void)snprintf(expected, sizeof(expected), "%u, perhaps net_port_holder (pid %ld)",
            f->stranger, (long)f->holders[0]);
        assert_string_equal(f->text + 18, expected);
    }
}

static void several_are_told_apart_but_many_are_not_named(void **state)
{
    struct fixture *f = *state;

    if (geteuid() != 0) {
        skip(); /* others of the user may be there */
    }
    start_holder(f);
    start_holder(f);
    look(f);
    assert_non_null(strstr(f->text, ") or net_port_holder (pid "));
    start_holder(f);
    start_holder(f);
    look(f);
    assert_null(strchr(f->text, ','));
}

int main(void)
{
#define HOLDER_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        HOLDER_TEST(who_may_not_be_looked_into_is_named_with_its_user),
        HOLDER_TEST(several_are_told_apart_but_many_are_not_named),
    };
#undef HOLDER_TEST

    return cmocka_run_group_tests_name("net/port_holder", tests, NULL, NULL);
}
