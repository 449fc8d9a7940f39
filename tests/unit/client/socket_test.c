/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
/* The transport over sockets, with real ones on loopback. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include <noctule/error.h>
#include <noctule/posix.h>

enum { LONG_MS = 20000 };

/* A listening socket on 127.0.0.1; its port. */
static int listen_on_loopback(uint16_t *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 5), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &n), 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

/* A port on which nobody listens: bound, but not listening, for as long as *ret_fd is open. */
static uint16_t closed_port(int *ret_fd)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(address);

    *ret_fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(*ret_fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(getsockname(*ret_fd, (struct sockaddr *)&address, &n), 0);
    return ntohs(address.sin_port);
}

static void bytes_go_both_ways(void **state)
{
    struct noc_posix_options options = {.host = "127.0.0.1"};
    struct noc_posix_transport posix;
    struct noc_transport *transport = noc_posix_init(&posix, &options);
    int listener = listen_on_loopback(&options.port), peer, on = 0;
    socklen_t n = sizeof(on);
    char bytes[16];

    assert_int_equal(transport->open(transport, LONG_MS), NOC_OK);
    assert_string_equal(posix.peer, "127.0.0.1");
    assert_int_equal(getsockopt(posix.fd, IPPROTO_TCP, TCP_NODELAY, &on, &n), 0);
    assert_true(on != 0);
    peer = accept(listener, NULL, NULL);
    assert_int_equal(transport->read(transport, bytes, sizeof(bytes), 0), 0);
    assert_int_equal(transport->read(transport, bytes, sizeof(bytes), 5), 0);
    assert_int_equal(transport->write(transport, "hello", 5), 5);
    assert_int_equal(recv(peer, bytes, 5, MSG_WAITALL), 5);
    assert_memory_equal(bytes, "hello", 5);
    assert_int_equal(send(peer, "bat", 3, 0), 3);
    assert_int_equal(transport->read(transport, bytes, sizeof(bytes), LONG_MS), 3);
    assert_memory_equal(bytes, "bat", 3);
    close(peer);
    assert_int_equal(transport->read(transport, bytes, sizeof(bytes), LONG_MS), NOC_ECLOSED);
    assert_int_equal(posix.fault.kind, NOC_FAULT_LOST);
    assert_string_equal(posix.fault.text, "the server closed the connection");
    transport->close(transport);
    assert_int_equal(posix.fd, -1);
    transport->close(transport);
    close(listener);
}

static void a_full_socket_takes_nothing_more(void **state)
{
    static const char zeros[65536];
    struct noc_posix_options options = {.host = "127.0.0.1", .gathers_writes = true};
    struct noc_posix_transport posix;
    struct noc_transport *transport = noc_posix_init(&posix, &options);
    int listener = listen_on_loopback(&options.port), peer, written;

    assert_int_equal(transport->open(transport, LONG_MS), NOC_OK);
    peer = accept(listener, NULL, NULL);
    do {
        written = transport->write(transport, zeros, sizeof(zeros));
        assert_true(written >= 0);
    } while (written > 0);
    transport->wait_writable(transport, 1); /* comes back */
    assert_int_equal(transport->write(transport, zeros, 1), 0);
    /* Closed with bytes unread: reset. */
    close(peer);
    do {
        written = transport->write(transport, zeros, sizeof(zeros));
    } while (written >= 0);
    assert_int_equal(written, NOC_ECLOSED);
    assert_int_equal(posix.fault.kind, NOC_FAULT_LOST);
    transport->close(transport);
    close(listener);
}

static void *take_all(void *peer)
{
    static char bytes[65536];

    while (recv(*(int *)peer, bytes, sizeof(bytes), 0) > 0) {
        /* Until it is closed. */
    }
    return NULL;
}

static void a_full_socket_is_waited_for(void **state)
{
    static const char zeros[65536];
    struct noc_posix_options options = {.host = NULL}; /* this machine */
    struct noc_posix_transport posix;
    struct noc_transport *transport = noc_posix_init(&posix, &options);
    int listener = listen_on_loopback(&options.port), peer;
    pthread_t thread;

    assert_int_equal(transport->open(transport, LONG_MS), NOC_OK);
    peer = accept(listener, NULL, NULL);
    while (transport->write(transport, zeros, sizeof(zeros)) > 0) {
        /* Until it is full. */
    }
    assert_int_equal(pthread_create(&thread, NULL, take_all, &peer), 0);
    transport->wait_writable(transport, LONG_MS);
    assert_true(transport->write(transport, zeros, 1) > 0);
    transport->close(transport);
    assert_int_equal(pthread_join(thread, NULL), 0);
    close(peer);
    close(listener);
}

static void a_refusal_is_told(void **state)
{
    int held;
    struct noc_posix_options options = {.host = "127.0.0.1", .port = closed_port(&held)};
    struct noc_posix_transport posix;
    struct noc_transport *transport = noc_posix_init(&posix, &options);

    assert_int_equal(transport->open(transport, LONG_MS), NOC_EIO);
    assert_int_equal(posix.fault.kind, NOC_FAULT_CONNECT);
    assert_int_equal(posix.fault.code, ECONNREFUSED);
    assert_string_equal(posix.fault.text, "Connection refused");
    assert_int_equal(posix.fd, -1);
    close(held);
}

static void a_name_that_is_not_there_is_told(void **state)
{
    struct noc_posix_options options = {.host = "no.such.name.invalid", .port = 1883};
    struct noc_posix_transport posix;
    struct noc_transport *transport = noc_posix_init(&posix, &options);

    assert_int_equal(transport->open(transport, LONG_MS), NOC_ENOENT);
    assert_int_equal(posix.fault.kind, NOC_FAULT_LOOKUP);
    assert_true(posix.fault.code == EAI_NONAME || posix.fault.code == EAI_AGAIN);
    assert_true(posix.fault.text[0] != '\0');
}

static void all_addresses_of_a_name_are_tried(void **state)
{
    /* localhost may be ::1 as well, where nobody listens. */
    struct noc_posix_options options = {.host = "localhost"};
    struct noc_posix_transport posix;
    struct noc_transport *transport = noc_posix_init(&posix, &options);
    int listener = listen_on_loopback(&options.port);

    assert_int_equal(transport->open(transport, LONG_MS), NOC_OK);
    transport->close(transport);
    close(listener);
}

/*
 * What the library gets in place of the system's: the name "both.example", whose addresses are
 * 127.0.0.1 and ::1, in this order. The parameters are called as in the system's header.
 */
int getaddrinfo(const char *restrict name, const char *restrict service,
    const struct addrinfo *restrict req, struct addrinfo **restrict pai)
{
    int (*of_system)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    int code;

    *(void **)&of_system = dlsym(RTLD_NEXT, "getaddrinfo");
    if (name == NULL || strcmp(name, "both.example") != 0) {
        return of_system(name, service, req, pai);
    }
    code = of_system("127.0.0.1", service, req, pai);
    return code != 0 ? code : of_system("::1", service, req, &(*pai)->ai_next);
}

static void an_address_that_cannot_be_tried_hides_no_refusal(void **state)
{
    int held;
    /* From there is no way to ::1. */
    struct noc_posix_options options = {
        .host = "both.example", .port = closed_port(&held), .bind_address = "127.0.0.1"};
    struct noc_posix_transport posix;
    struct noc_transport *transport = noc_posix_init(&posix, &options);

    assert_int_equal(transport->open(transport, LONG_MS), NOC_EIO);
    assert_int_equal(posix.fault.code, ECONNREFUSED);
    close(held);
}

static void who_does_not_answer_is_given_up(void **state)
{
    struct noc_posix_options options = {.host = "127.0.0.1"};
    struct noc_posix_transport one, others[16];
    int listener = listen_on_loopback(&options.port), err = NOC_OK;
    struct noc_transport *transport = noc_posix_init(&one, &options);
    size_t n = 0;

    /* A full backlog on Linux leaves the next SYN without an answer. */
    assert_int_equal(listen(listener, 0), 0);
    while (n < 16 && err == NOC_OK) {
        err = noc_posix_init(&others[n], &options)->open(&others[n].transport, 200);
        n++;
    }
    err = transport->open(transport, 50);
    assert_int_equal(err, NOC_EIO);
    assert_int_equal(one.fault.kind, NOC_FAULT_TIMEOUT);
    assert_int_equal(one.fault.code, ETIMEDOUT);
    for (size_t i = 0; i < n; i++) {
        others[i].transport.close(&others[i].transport);
    }
    close(listener);
}

static void it_comes_from_the_bind_address(void **state)
{
    struct noc_posix_options options = {.host = "127.0.0.1", .bind_address = "127.0.0.9"};
    struct noc_posix_transport posix;
    struct noc_transport *transport = noc_posix_init(&posix, &options);
    int listener = listen_on_loopback(&options.port);
    struct sockaddr_in from;
    socklen_t n = sizeof(from);

    assert_int_equal(transport->open(transport, LONG_MS), NOC_OK);
    close(accept(listener, (struct sockaddr *)&from, &n));
    assert_int_equal(ntohl(from.sin_addr.s_addr), 0x7f000009);
    transport->close(transport);

    options.bind_address = "192.0.2.1"; /* not ours */
    assert_int_equal(transport->open(transport, LONG_MS), NOC_EIO);
    assert_int_equal(posix.fault.code, EADDRNOTAVAIL);
    options.bind_address = "::1"; /* of another family */
    assert_int_equal(transport->open(transport, LONG_MS), NOC_EIO);
    assert_int_equal(posix.fault.code, EADDRNOTAVAIL);
    close(listener);
}

static void unix_sockets_are_reached(void **state)
{
    char folder[] = "/tmp/noctule-test-XXXXXX", path[64], long_path[200];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct noc_posix_options options = {.host = path, .is_unix = true};
    struct noc_posix_transport posix;
    struct noc_transport *transport = noc_posix_init(&posix, &options);
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);

    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/mqtt.sock", folder);
    assert_int_equal(transport->open(transport, LONG_MS), NOC_EIO);
    assert_int_equal(posix.fault.code, ENOENT);
    memcpy(address.sun_path, path, strlen(path) + 1);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(transport->open(transport, LONG_MS), NOC_OK);
    transport->close(transport);
    close(listener);
    unlink(path);
    rmdir(folder);
    memset(long_path, 'x', sizeof(long_path) - 1);
    long_path[sizeof(long_path) - 1] = '\0';
    options.host = long_path;
    assert_int_equal(transport->open(transport, LONG_MS), NOC_EIO);
    assert_int_equal(posix.fault.code, ENAMETOOLONG);
}

static void *accept_two(void *context)
{
    const int *listener = context;

    for (int i = 0; i < 2; i++) {
        (void)close(accept(*listener, NULL, NULL));
    }
    return NULL;
}

static void a_unix_socket_whose_backlog_is_full_is_waited_for(void **state)
{
    char folder[] = "/tmp/noctule-test-XXXXXX", path[64];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct noc_posix_options options = {.host = path, .is_unix = true};
    struct noc_posix_transport first, second;
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    pthread_t thread;

    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/mqtt.sock", folder);
    memcpy(address.sun_path, path, strlen(path) + 1);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listener, 0), 0);
    assert_int_equal(noc_posix_init(&first, &options)->open(&first.transport, LONG_MS), NOC_OK);
    assert_int_equal(noc_posix_init(&second, &options)->open(&second.transport, 30), NOC_EIO);
    assert_int_equal(second.fault.kind, NOC_FAULT_TIMEOUT);
    assert_int_equal(pthread_create(&thread, NULL, accept_two, &listener), 0);
    assert_int_equal(second.transport.open(&second.transport, LONG_MS), NOC_OK);
    assert_int_equal(pthread_join(thread, NULL), 0);
    first.transport.close(&first.transport);
    second.transport.close(&second.transport);
    close(listener);
    unlink(path);
    rmdir(folder);
}

/* ---- a proxy that plays what is in a script ---- */

struct proxy {
    int listener;
    struct {
        const char *expects;
        size_t expects_n;
        const char *answers;
        size_t answers_n;
    } steps[4];
    bool has_failed;
};

static void *play_proxy(void *context)
{
    struct proxy *proxy = context;
    int fd = accept(proxy->listener, NULL, NULL);
    char bytes[300];

    for (size_t i = 0; i < 4 && proxy->steps[i].expects != NULL; i++) {
        ssize_t n = recv(fd, bytes, proxy->steps[i].expects_n, MSG_WAITALL);

        if (n != (ssize_t)proxy->steps[i].expects_n ||
            memcmp(bytes, proxy->steps[i].expects, (size_t)n) != 0) {
            proxy->has_failed = true;
            break;
        }
        if (send(fd, proxy->steps[i].answers, proxy->steps[i].answers_n, MSG_NOSIGNAL) < 0) {
            break;
        }
    }
    close(fd);
    return NULL;
}

/* Open a transport through it; returns open()'s result. */
static int open_through_to(const char *host, struct proxy *proxy, struct noc_posix_transport *posix,
    const char *user, const char *password)
{
    static struct noc_posix_options options;
    struct noc_transport *transport = noc_posix_init(posix, &options);
    pthread_t thread;
    int err;

    options = (struct noc_posix_options){.host = host,
        .port = 1883,
        .proxy_host = "127.0.0.1",
        .proxy_user = user,
        .proxy_password = password};
    proxy->listener = listen_on_loopback(&options.proxy_port);
    assert_int_equal(pthread_create(&thread, NULL, play_proxy, proxy), 0);
    err = transport->open(transport, LONG_MS);
    assert_int_equal(pthread_join(thread, NULL), 0);
    close(proxy->listener);
    assert_false(proxy->has_failed);
    return err;
}

static int open_through(
    struct proxy *proxy, struct noc_posix_transport *posix, const char *user, const char *password)
{
    return open_through_to("mqtt.example", proxy, posix, user, password);
}

#define BYTES(text) text, sizeof(text) - 1
#define ASK         BYTES("\5\1\0\3\14mqtt.example\7\133")
#define DONE        "\5\0\0\1\0\0\0\0\0\0"

static void a_socks_proxy_looks_the_name_up(void **state)
{
    struct noc_posix_transport posix;
    struct proxy proxy = {.steps = {{BYTES("\5\1\0"), BYTES("\5\0")}, {ASK, BYTES(DONE "MQTT")}}};
    char bytes[8];

    assert_int_equal(open_through(&proxy, &posix, NULL, NULL), NOC_OK);
    assert_int_equal(posix.transport.read(&posix.transport, bytes, sizeof(bytes), LONG_MS), 4);
    assert_memory_equal(bytes, "MQTT", 4);
    posix.transport.close(&posix.transport);
}

static void a_socks_proxy_gets_an_address_as_such(void **state)
{
    struct proxy ipv4 = {.steps = {{BYTES("\5\1\0"), BYTES("\5\0")},
                             {BYTES("\5\1\0\1\300\0\2\7\7\133"), BYTES(DONE)}}};
    struct proxy ipv6 = {
        .steps = {{BYTES("\5\1\0"), BYTES("\5\0")},
            {BYTES("\5\1\0\4\40\1\15\270\0\0\0\0\0\0\0\0\0\0\0\7\7\133"), BYTES(DONE)}}};
    struct noc_posix_transport posix;

    assert_int_equal(open_through_to("192.0.2.7", &ipv4, &posix, NULL, NULL), NOC_OK);
    posix.transport.close(&posix.transport);
    assert_int_equal(open_through_to("2001:db8::7", &ipv6, &posix, NULL, NULL), NOC_OK);
    posix.transport.close(&posix.transport);
}

static void a_socks_proxy_gets_user_and_password(void **state)
{
    struct noc_posix_transport posix;
    struct proxy proxy = {
        .steps = {{BYTES("\5\2\0\2"), BYTES("\5\2")}, {BYTES("\1\3bat\4wing"), BYTES("\1\0")},
            {ASK, BYTES("\5\0\0\3\4name\0\0")}}};

    assert_int_equal(open_through(&proxy, &posix, "bat", "wing"), NOC_OK);
    posix.transport.close(&posix.transport);
}

static void what_a_socks_proxy_refuses_is_told(void **state)
{
    static const struct {
        const char *answer;
        size_t n;
        const char *text;
    } rows[] = {
        {BYTES("\5\2\0\1"), "the proxy's rules do not allow it"},
        {BYTES("\5\5\0\1\0"), "the proxy says: connection refused"},
        {BYTES("\5\77\0\1\0"), "the proxy failed"},
        {BYTES("\5"), "the proxy closed the connection"},
    };
    struct noc_posix_transport posix;
    struct proxy wants_login = {.steps = {{BYTES("\5\1\0"), BYTES("\5\2")}}};
    struct proxy no_login = {
        .steps = {{BYTES("\5\2\0\2"), BYTES("\5\2")}, {BYTES("\1\1a\1b"), BYTES("\1\1")}}};
    struct proxy no_proxy = {.steps = {{BYTES("\5\1\0"), BYTES("HTTP/1.1 400 Bad Request\r\n")}}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct proxy proxy = {
            .steps = {{BYTES("\5\1\0"), BYTES("\5\0")}, {ASK, rows[i].answer, rows[i].n}}};

        if (rows[i].n == 4) {
            proxy.steps[1].answers = "\5\2\0\1\0";
            proxy.steps[1].answers_n = 5;
        }
        assert_int_equal(open_through(&proxy, &posix, NULL, NULL), NOC_EIO);
        assert_int_equal(posix.fault.kind, NOC_FAULT_PROXY);
        assert_string_equal(posix.fault.text, rows[i].text);
        assert_int_equal(posix.fd, -1);
    }
    assert_int_equal(open_through(&wants_login, &posix, NULL, NULL), NOC_EIO);
    assert_string_equal(posix.fault.text, "the proxy wants a user name and password");
    assert_int_equal(open_through(&no_login, &posix, "a", "b"), NOC_EIO);
    assert_string_equal(posix.fault.text, "the proxy refused the user name or password");
    assert_int_equal(open_through(&no_proxy, &posix, NULL, NULL), NOC_EIO);
    assert_string_equal(posix.fault.text, "what answers is no SOCKS5 proxy");
}

static void random_bits_differ(void **state)
{
    uint32_t seen = 0;

    for (int i = 0; i < 64; i++) {
        uint32_t one = noc_posix_random(NULL);

        seen |= one ^ noc_posix_random(NULL);
    }
    assert_int_equal(seen, UINT32_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_go_both_ways),
        cmocka_unit_test(a_full_socket_takes_nothing_more),
        cmocka_unit_test(a_full_socket_is_waited_for),
        cmocka_unit_test(a_refusal_is_told),
        cmocka_unit_test(a_name_that_is_not_there_is_told),
        cmocka_unit_test(all_addresses_of_a_name_are_tried),
        cmocka_unit_test(an_address_that_cannot_be_tried_hides_no_refusal),
        cmocka_unit_test(who_does_not_answer_is_given_up),
        cmocka_unit_test(it_comes_from_the_bind_address),
        cmocka_unit_test(unix_sockets_are_reached),
        cmocka_unit_test(a_unix_socket_whose_backlog_is_full_is_waited_for),
        cmocka_unit_test(a_socks_proxy_looks_the_name_up),
        cmocka_unit_test(a_socks_proxy_gets_an_address_as_such),
        cmocka_unit_test(a_socks_proxy_gets_user_and_password),
        cmocka_unit_test(what_a_socks_proxy_refuses_is_told),
        cmocka_unit_test(random_bits_differ),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
