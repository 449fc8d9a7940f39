/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "net/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/port_holder.h"
#include <noctule/error.h>

enum { ERROR_SIZE = 200 };

struct fixture {
    char folder[64];
    char path[96]; /* of a unix socket in it */
    char error[ERROR_SIZE];
    struct noc_listen_sockets sockets;
    struct noc_accept_reserve reserve;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    if (f == NULL) {
        return 1;
    }
    *state = f;
    (void)snprintf(f->folder, sizeof(f->folder), "/tmp/noc-listen-XXXXXX");
    if (mkdtemp(f->folder) == NULL) {
        return 1;
    }
    (void)snprintf(f->path, sizeof(f->path), "%s/s", f->folder);
    noc_accept_reserve_init(&f->reserve);
    return f->reserve.fd < 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    noc_listen_close(&f->sockets);
    noc_accept_reserve_done(&f->reserve);
    (void)unlink(f->path);
    (void)rmdir(f->folder);
    free(f);
    return 0;
}

static int open_it(struct fixture *f, struct noc_listen_options options)
{
    return noc_listen_open(&options, &f->sockets, f->error, sizeof(f->error));
}

/* A blocking connection to a listening socket's own address. */
static int connect_to(int listen_fd)
{
    struct sockaddr_storage to;
    socklen_t n = sizeof(to);
    int fd;

    assert_int_equal(getsockname(listen_fd, (struct sockaddr *)&to, &n), 0);
    fd = socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&to, n), 0);
    return fd;
}

/* connect() may be done a moment before the connection is there to be taken. */
static int accept_next(struct fixture *f, int *ret_fd, struct noc_address *ret_from)
{
    struct pollfd waiting = {.fd = f->sockets.at[0].fd, .events = POLLIN};

    assert_int_equal(poll(&waiting, 1, 5000), 1);
    return noc_accept(waiting.fd, true, &f->reserve, ret_fd, ret_from);
}

static void no_host_means_all_addresses_of_both_families(void **state)
{
    struct fixture *f = *state;
    bool has_v4 = false;
    bool has_v6 = false;

    assert_int_equal(open_it(f, (struct noc_listen_options){.host = "127.0.0.1"}), NOC_OK);
    assert_int_equal(f->sockets.count, 1);
    assert_true(f->sockets.at[0].address.port != 0);
    noc_listen_close(&f->sockets);
    assert_int_equal(open_it(f, (struct noc_listen_options){.host = NULL}), NOC_OK);
    assert_int_equal(f->sockets.count, 2);
    for (size_t i = 0; i < f->sockets.count; i++) {
        const struct noc_address *address = &f->sockets.at[i].address;

        has_v4 = has_v4 || noc_slice_equal(noc_address_text(address), noc_slice_of("0.0.0.0"));
        has_v6 = has_v6 || noc_slice_equal(noc_address_text(address), noc_slice_of("::"));
        assert_int_equal(address->port, f->sockets.at[0].address.port);
        assert_true((fcntl(f->sockets.at[i].fd, F_GETFL) & O_NONBLOCK) != 0);
        assert_true((fcntl(f->sockets.at[i].fd, F_GETFD) & FD_CLOEXEC) != 0);
    }
    assert_true(has_v4 && has_v6);
}

/* RFC 6761, section 6.3. */
static void localhost_is_both_loopback_addresses(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(open_it(f, (struct noc_listen_options){.host = "localhost"}), NOC_OK);
    assert_int_equal(f->sockets.count, 2);
    assert_string_equal(f->sockets.at[0].address.text, "127.0.0.1");
    assert_string_equal(f->sockets.at[1].address.text, "::1");
    assert_int_equal(f->sockets.at[0].address.port, f->sockets.at[1].address.port);
    noc_listen_close(&f->sockets);
    assert_int_equal(
        open_it(f, (struct noc_listen_options){.host = "localhost", .domain = NOC_LISTEN_IPV6}),
        NOC_OK);
    assert_int_equal(f->sockets.count, 1);
    assert_string_equal(f->sockets.at[0].address.text, "::1");
}

static void one_family_can_be_chosen(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(open_it(f, (struct noc_listen_options){.domain = NOC_LISTEN_IPV4}), NOC_OK);
    assert_int_equal(f->sockets.count, 1);
    assert_int_equal(f->sockets.at[0].address.family, NOC_ADDRESS_IPV4);
    noc_listen_close(&f->sockets);
    assert_int_equal(open_it(f, (struct noc_listen_options){.domain = NOC_LISTEN_IPV6}), NOC_OK);
    assert_int_equal(f->sockets.count, 1);
    assert_int_equal(f->sockets.at[0].address.family, NOC_ADDRESS_IPV6);
}

static void a_held_address_is_taken_but_refuses(void **state)
{
    struct fixture *f = *state;
    struct noc_listen_sockets second = {0};
    struct noc_listen_options options = {.host = "127.0.0.1", .is_held = true};
    struct sockaddr_storage to;
    socklen_t n = sizeof(to);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(open_it(f, options), NOC_OK);
    assert_int_equal(getsockname(f->sockets.at[0].fd, (struct sockaddr *)&to, &n), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, n), -1);
    assert_int_equal(errno, ECONNREFUSED);
    (void)close(fd);
    assert_int_equal(noc_listen_begin(&f->sockets, f->error, sizeof(f->error)), NOC_OK);
    (void)close(connect_to(f->sockets.at[0].fd));
    options.port = f->sockets.at[0].address.port;
    assert_int_equal(noc_listen_open(&options, &second, f->error, sizeof(f->error)), NOC_EEXIST);
}

/* Two that hold one port: the first to begin has it. */
static void who_begins_late_is_told(void **state)
{
    struct fixture *f = *state;
    struct noc_listen_sockets second = {0};
    struct noc_listen_options options = {.host = "127.0.0.1", .is_held = true};

    assert_int_equal(open_it(f, options), NOC_OK);
    options.port = f->sockets.at[0].address.port;
    assert_int_equal(noc_listen_open(&options, &second, f->error, sizeof(f->error)), NOC_OK);
    assert_int_equal(noc_listen_begin(&second, f->error, sizeof(f->error)), NOC_OK);
    assert_int_equal(noc_listen_begin(&f->sockets, f->error, sizeof(f->error)), NOC_EEXIST);
    assert_string_equal(f->error, "Address already in use");
    noc_listen_close(&second);
}

static void a_taken_port_names_its_holder(void **state)
{
    struct fixture *f = *state;
    struct noc_listen_sockets second = {0};
    struct noc_port_holder holder;
    struct noc_listen_options options = {.host = "127.0.0.1"};
    char expected[32];

    assert_int_equal(open_it(f, options), NOC_OK);
    options.port = f->sockets.at[0].address.port;
    assert_int_equal(noc_listen_open(&options, &second, f->error, sizeof(f->error)), NOC_EEXIST);
    assert_string_equal(f->error, "Address already in use");
    assert_int_equal(second.count, 0);
    assert_true(noc_port_holder_find(options.port, &holder));
    assert_int_equal(holder.pid, getpid());
    (void)snprintf(expected, sizeof(expected), "(pid %ld)", (long)getpid());
    assert_non_null(strstr(holder.text, expected));
    assert_non_null(strstr(holder.text, "listen"));
    noc_listen_close(&f->sockets);
    assert_false(noc_port_holder_find(options.port, &holder));
    assert_string_equal(holder.text, "another process");
}

static void an_ipv6_holder_is_found_too(void **state)
{
    struct fixture *f = *state;
    struct noc_port_holder holder;

    assert_int_equal(open_it(f, (struct noc_listen_options){.host = "::1"}), NOC_OK);
    assert_true(noc_port_holder_find(f->sockets.at[0].address.port, &holder));
    assert_int_equal(holder.pid, getpid());
}

static void bad_names_and_devices_are_told(void **state)
{
    struct fixture *f = *state;

    /* An empty label is no name, so that no name server is asked. */
    assert_int_equal(open_it(f, (struct noc_listen_options){.host = "a..b"}), NOC_ENOENT);
    assert_true(strlen(f->error) > 0);
    assert_int_equal(
        open_it(f, (struct noc_listen_options){.bind_interface = "nodevice9"}), NOC_ENOENT);
    assert_string_equal(f->error, strerror(ENODEV));
    /* An address of documentation (RFC 5737), so not ours. */
    assert_int_equal(open_it(f, (struct noc_listen_options){.host = "192.0.2.1"}), NOC_EIO);
    assert_string_equal(f->error, strerror(EADDRNOTAVAIL));
    assert_int_equal(f->sockets.count, 0);
}

static void a_port_can_be_reopened_at_once(void **state)
{
    struct fixture *f = *state;
    struct noc_listen_options options = {.host = "127.0.0.1"};
    struct noc_address from;
    int client;
    int fd;

    assert_int_equal(open_it(f, options), NOC_OK);
    options.port = f->sockets.at[0].address.port;
    client = connect_to(f->sockets.at[0].fd);
    assert_int_equal(accept_next(f, &fd, &from), NOC_OK);
    (void)close(fd); /* our side first: it is the one that stays in TIME_WAIT */
    (void)close(client);
    noc_listen_close(&f->sockets);
    assert_int_equal(open_it(f, options), NOC_OK);
}

static void accept_gives_descriptor_and_address(void **state)
{
    struct fixture *f = *state;
    struct sockaddr_in local;
    socklen_t n = sizeof(local);
    struct noc_address from;
    int on = 0;
    int client;
    int fd = -1;

    assert_int_equal(open_it(f, (struct noc_listen_options){.host = "127.0.0.1"}), NOC_OK);
    assert_int_equal(noc_accept(f->sockets.at[0].fd, true, &f->reserve, &fd, &from), NOC_EAGAIN);
    client = connect_to(f->sockets.at[0].fd);
    assert_int_equal(accept_next(f, &fd, &from), NOC_OK);
    assert_int_equal(getsockname(client, (struct sockaddr *)&local, &n), 0);
    assert_int_equal(from.port, ntohs(local.sin_port));
    assert_string_equal(from.text, "127.0.0.1");
    assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    n = sizeof(on);
    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &n), 0);
    assert_int_not_equal(on, 0);
    (void)close(fd);
    (void)close(client);
}

static void without_descriptors_the_waiting_connection_is_closed(void **state)
{
    struct fixture *f = *state;
    struct rlimit before;
    struct rlimit none;
    struct noc_address from;
    struct pollfd waiting;
    char byte;
    int client;
    int fd;

    assert_int_equal(open_it(f, (struct noc_listen_options){.host = "127.0.0.1"}), NOC_OK);
    client = connect_to(f->sockets.at[0].fd);
    waiting = (struct pollfd){.fd = f->sockets.at[0].fd, .events = POLLIN};
    assert_int_equal(poll(&waiting, 1, 5000), 1);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    /* All up to the reserve are taken; nothing above it may be opened. */
    none.rlim_cur = (rlim_t)f->reserve.fd + 1;
    for (int i = 0; i < f->reserve.fd; i++) {
        if (fcntl(i, F_GETFD) < 0) {
            assert_int_equal(dup2(STDERR_FILENO, i), i);
        }
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    assert_int_equal(noc_accept(f->sockets.at[0].fd, true, &f->reserve, &fd, &from), NOC_EFULL);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_true(f->reserve.fd >= 0);
    /* The queue is empty: the loop does not spin, and the client knows. */
    assert_int_equal(poll(&waiting, 1, 0), 0);
    assert_true(read(client, &byte, 1) <= 0);
    (void)close(client);
}

static void a_unix_socket_has_its_mode_and_peers_without_port(void **state)
{
    struct fixture *f = *state;
    struct noc_address from;
    struct stat status;
    int client;
    int fd;

    assert_int_equal(
        open_it(f, (struct noc_listen_options){.unix_path = f->path, .unix_mode = 0660}), NOC_OK);
    assert_int_equal(stat(f->path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0660);
    client = connect_to(f->sockets.at[0].fd);
    assert_int_equal(accept_next(f, &fd, &from), NOC_OK);
    assert_int_equal(from.family, NOC_ADDRESS_UNIX);
    assert_string_equal(from.text, "unix");
    (void)close(fd);
    (void)close(client);
    noc_listen_remove_path(f->path);
    assert_int_equal(stat(f->path, &status), -1);
}

static void a_stale_unix_socket_is_replaced_and_a_live_one_is_not(void **state)
{
    struct fixture *f = *state;
    struct noc_listen_sockets second = {0};
    struct noc_listen_options options = {.unix_path = f->path};

    assert_int_equal(open_it(f, options), NOC_OK);
    assert_int_equal(noc_listen_open(&options, &second, f->error, sizeof(f->error)), NOC_EEXIST);
    assert_string_equal(f->error, "Address already in use");
    assert_int_equal(close(connect_to(f->sockets.at[0].fd)), 0); /* still served */
    noc_listen_close(&f->sockets);
    assert_int_equal(access(f->path, F_OK), 0);
    assert_int_equal(open_it(f, options), NOC_OK);
    assert_int_equal(close(connect_to(f->sockets.at[0].fd)), 0);
}

static void a_file_in_the_way_is_never_removed(void **state)
{
    struct fixture *f = *state;
    int fd = open(f->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    (void)close(fd);
    assert_int_equal(open_it(f, (struct noc_listen_options){.unix_path = f->path}), NOC_EEXIST);
    noc_listen_remove_path(f->path);
    assert_int_equal(access(f->path, F_OK), 0);
}

static void bad_unix_paths_are_told(void **state)
{
    struct fixture *f = *state;
    char longer[200];

    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    assert_int_equal(open_it(f, (struct noc_listen_options){.unix_path = longer}), NOC_EINVAL);
    assert_int_equal(open_it(f, (struct noc_listen_options){.unix_path = ""}), NOC_EINVAL);
    assert_int_equal(
        open_it(f, (struct noc_listen_options){.unix_path = "/no/such/folder/s"}), NOC_ENOENT);
    assert_string_equal(f->error, strerror(ENOENT));
}

static void the_descriptor_limit_is_raised_to_the_hard_one(void **state)
{
    struct rlimit before;
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    limit = before;
    limit.rlim_cur = 256;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_true(
        noc_raise_descriptor_limit() >= before.rlim_max || before.rlim_max == RLIM_INFINITY);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_true(limit.rlim_cur == before.rlim_max);
    (void)setrlimit(RLIMIT_NOFILE, &before);
}

#define LISTEN_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LISTEN_TEST(no_host_means_all_addresses_of_both_families),
        LISTEN_TEST(localhost_is_both_loopback_addresses),
        LISTEN_TEST(one_family_can_be_chosen),
        LISTEN_TEST(a_held_address_is_taken_but_refuses),
        LISTEN_TEST(who_begins_late_is_told),
        LISTEN_TEST(a_taken_port_names_its_holder),
        LISTEN_TEST(an_ipv6_holder_is_found_too),
        LISTEN_TEST(bad_names_and_devices_are_told),
        LISTEN_TEST(a_port_can_be_reopened_at_once),
        LISTEN_TEST(accept_gives_descriptor_and_address),
        LISTEN_TEST(without_descriptors_the_waiting_connection_is_closed),
        LISTEN_TEST(a_unix_socket_has_its_mode_and_peers_without_port),
        LISTEN_TEST(a_stale_unix_socket_is_replaced_and_a_live_one_is_not),
        LISTEN_TEST(a_file_in_the_way_is_never_removed),
        LISTEN_TEST(bad_unix_paths_are_told),
        cmocka_unit_test(the_descriptor_limit_is_raised_to_the_hard_one),
    };

    return cmocka_run_group_tests_name("net/listen", tests, NULL, NULL);
}
