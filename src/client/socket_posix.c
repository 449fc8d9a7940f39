/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
/*
 * A transport over sockets. Opening it is a race between the addresses of a name:
 *
 *     address 1   connect() ────────────────────────────► no answer
 *     address 2        250 ms ► connect() ──► refused
 *     address 3                               connect() ──► taken; the others are closed
 *
 * Sockets never block; waiting is done by poll() with what is left of the time.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/macros.h"
#include "client/fault.h"
#include <noctule/error.h>
#include <noctule/posix.h>

enum { ADDRESSES_MAX = 16, STAGGER_MS = 250, BACKLOG_MS = 10 };

static struct noc_posix_transport *posix_of(struct noc_transport *transport)
{
    return NOC_CONTAINER(transport, struct noc_posix_transport, transport);
}

uint32_t noc_posix_now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint32_t)((uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000);
}

uint32_t noc_posix_random(void *context)
{
    uint32_t bits = 0;

    while (getrandom(&bits, sizeof(bits), 0) != (ssize_t)sizeof(bits)) {
        /* A signal came before the system had gathered entropy, in the first seconds after boot. */
    }
    return bits;
}

/* ---- time ---- */

struct deadline {
    uint32_t start_ms, timeout_ms;
};

static struct deadline deadline_in(uint32_t timeout_ms)
{
    return (struct deadline){noc_posix_now_ms(), timeout_ms};
}

static uint32_t ms_left(const struct deadline *deadline)
{
    uint32_t passed = noc_posix_now_ms() - deadline->start_ms;

    return passed >= deadline->timeout_ms ? 0 : deadline->timeout_ms - passed;
}

static int poll_ms(uint32_t ms)
{
    return ms > INT_MAX ? INT_MAX : (int)ms;
}

/* Wait for that event of a socket. 1: it came; 0: the time is over. */
static int wait_for(int fd, short events, const struct deadline *deadline)
{
    struct pollfd one = {.fd = fd, .events = events};

    for (;;) {
        int ready = poll(&one, 1, poll_ms(ms_left(deadline)));

        if (ready > 0) {
            return 1;
        }
        if (ready == 0 || errno != EINTR) {
            return 0;
        }
    }
}

/* ---- sockets ---- */

static int new_socket(int family)
{
    return socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

/* Come from the bind address, in one of its forms of that family. Returns 0 or an errno. */
static int bind_to(int fd, int family, const char *address)
{
    struct addrinfo hints = {
        .ai_family = family, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *list;
    int error = EADDRNOTAVAIL;

    if (getaddrinfo(address, NULL, &hints, &list) != 0) {
        return EADDRNOTAVAIL;
    }
    for (struct addrinfo *one = list; one != NULL && error != 0; one = one->ai_next) {
        error = bind(fd, one->ai_addr, one->ai_addrlen) == 0 ? 0 : errno;
    }
    freeaddrinfo(list);
    return error;
}

/* Begin to connect. Returns the socket, or -1 with errno. */
static int begin_connect(const struct noc_posix_options *options, const struct addrinfo *to)
{
    const int on = 1;
    int fd = new_socket(to->ai_family);
    int error = 0;

    if (fd < 0) {
        return -1;
    }
    if (!options->gathers_writes) {
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    if (options->bind_address != NULL) {
        error = bind_to(fd, to->ai_family, options->bind_address);
    }
    if (error == 0 && connect(fd, to->ai_addr, to->ai_addrlen) != 0 && errno != EINPROGRESS) {
        error = errno;
    }
    if (error != 0) {
        (void)close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

static int socket_error(int fd)
{
    int error = 0;
    socklen_t n = sizeof(error);

    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) != 0 ? errno : error;
}

/* ---- the race ---- */

struct race {
    const struct addrinfo *order[ADDRESSES_MAX]; /* families in turn */
    struct pollfd runners[ADDRESSES_MAX];        /* fd -1: has not started, or has lost */
    size_t count, started, running;
    int error; /* errno of the last that lost and got anywhere; 0: none has lost yet */
};

/* One that could not even begin, as IPv6 where there is none, says nothing of the server. */
static void lose(struct race *race, int error)
{
    bool has_begun = error != ENETUNREACH && error != EADDRNOTAVAIL && error != EAFNOSUPPORT;

    if (has_begun || race->error == 0) {
        race->error = error;
    }
}

/* The addresses in the system's order, but one family and the other in turn. */
static void line_up(struct race *race, const struct addrinfo *list)
{
    const struct addrinfo *lanes[2] = {list, list};
    int first = list->ai_family;

    for (size_t lane = 0; race->count < ADDRESSES_MAX && (lanes[0] != NULL || lanes[1] != NULL);
         lane ^= 1) {
        while (lanes[lane] != NULL && (lanes[lane]->ai_family == first) != (lane == 0)) {
            lanes[lane] = lanes[lane]->ai_next;
        }
        if (lanes[lane] != NULL) {
            race->order[race->count++] = lanes[lane];
            lanes[lane] = lanes[lane]->ai_next;
        }
    }
}

static void start_next(struct race *race, const struct noc_posix_options *options)
{
    struct pollfd *runner = &race->runners[race->started];

    runner->fd = begin_connect(options, race->order[race->started]);
    runner->events = POLLOUT;
    runner->revents = 0;
    race->started++;
    if (runner->fd < 0) {
        lose(race, errno);
    } else {
        race->running++;
    }
}

/* Who has arrived? Returns the index, or -1; those that failed leave the race. */
static int find_winner(struct race *race)
{
    for (size_t i = 0; i < race->started; i++) {
        struct pollfd *runner = &race->runners[i];
        int error;

        if (runner->fd < 0 || runner->revents == 0) {
            continue;
        }
        error = socket_error(runner->fd);
        if (error == 0) {
            return (int)i;
        }
        (void)close(runner->fd);
        runner->fd = -1;
        lose(race, error);
        race->running--;
    }
    return -1;
}

/* Returns the index of the winner, or -1 with race->error; ETIMEDOUT if none came in time. */
static int run_race(
    struct race *race, const struct noc_posix_options *options, const struct deadline *deadline)
{
    while (race->running > 0 || race->started < race->count) {
        uint32_t left = ms_left(deadline);
        int winner;

        if (race->running == 0) {
            start_next(race, options);
            continue;
        }
        if (left == 0) {
            race->error = ETIMEDOUT;
            return -1;
        }
        if (race->started < race->count && left > STAGGER_MS) {
            left = STAGGER_MS;
        }
        if (poll(race->runners, race->started, poll_ms(left)) < 0 && errno != EINTR) {
            race->error = errno;
            return -1;
        }
        winner = find_winner(race);
        if (winner >= 0) {
            return winner;
        }
        if (race->started < race->count) {
            start_next(race, options);
        }
    }
    return -1;
}

static void keep_peer(struct noc_posix_transport *posix, const struct addrinfo *address)
{
    if (getnameinfo(address->ai_addr, address->ai_addrlen, posix->peer, sizeof(posix->peer), NULL,
            0, NI_NUMERICHOST) != 0) {
        posix->peer[0] = '\0';
    }
}

static int fail_connect(struct noc_posix_transport *posix, int error)
{
    return noc_fault_set(&posix->fault, error == ETIMEDOUT ? NOC_FAULT_TIMEOUT : NOC_FAULT_CONNECT,
        error, NOC_EIO, "%s", strerror(error));
}

static int connect_any(
    struct noc_posix_transport *posix, const struct addrinfo *list, const struct deadline *deadline)
{
    struct race race = {.count = 0};
    int winner;

    line_up(&race, list);
    winner = run_race(&race, posix->options, deadline);
    for (size_t i = 0; i < race.started; i++) {
        if ((int)i != winner && race.runners[i].fd >= 0) {
            (void)close(race.runners[i].fd);
        }
    }
    if (winner < 0) {
        return fail_connect(posix, race.error);
    }
    posix->fd = race.runners[winner].fd;
    keep_peer(posix, race.order[winner]);
    return NOC_OK;
}

static int open_tcp(struct noc_posix_transport *posix, const char *host, uint16_t port,
    const struct deadline *deadline)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list;
    char service[8];
    int code, err;

    (void)snprintf(service, sizeof(service), "%u", (unsigned)port);
    code = getaddrinfo(host, service, &hints, &list);
    if (code != 0) {
        return noc_fault_set(&posix->fault, NOC_FAULT_LOOKUP, code,
            code == EAI_MEMORY ? NOC_ENOMEM : NOC_ENOENT, "%s", gai_strerror(code));
    }
    err = connect_any(posix, list, deadline);
    freeaddrinfo(list);
    return err;
}

/* While its backlog is full a unix socket refuses with EAGAIN, and poll() doesn't tell of an end. */
static int connect_unix(int fd, const struct sockaddr_un *address, const struct deadline *deadline)
{
    while (connect(fd, (const struct sockaddr *)address, sizeof(*address)) != 0) {
        if (errno != EAGAIN && errno != EINTR) {
            return errno;
        }
        if (ms_left(deadline) == 0) {
            return ETIMEDOUT;
        }
        (void)poll(NULL, 0, errno == EINTR ? 0 : BACKLOG_MS);
    }
    return 0;
}

static int open_unix(struct noc_posix_transport *posix, const struct deadline *deadline)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t n = strlen(posix->options->host);
    int fd, error;

    if (n >= sizeof(address.sun_path)) {
        return fail_connect(posix, ENAMETOOLONG);
    }
    memcpy(address.sun_path, posix->options->host, n + 1);
    fd = new_socket(AF_UNIX);
    if (fd < 0) {
        return fail_connect(posix, errno);
    }
    error = connect_unix(fd, &address, deadline);
    if (error != 0) {
        (void)close(fd);
        return fail_connect(posix, error);
    }
    posix->fd = fd;
    return NOC_OK;
}

/* ---- SOCKS5 (RFC 1928, 1929) ---- */

enum { SOCKS_IPV4 = 1, SOCKS_NAME = 3, SOCKS_IPV6 = 4 }; /* kinds of an address */

static int write_all(struct noc_posix_transport *posix, const uint8_t *bytes, size_t n,
    const struct deadline *deadline)
{
    while (n > 0) {
        ssize_t sent = send(posix->fd, bytes, n, MSG_NOSIGNAL);

        if (sent > 0) {
            bytes += sent;
            n -= (size_t)sent;
        } else if (errno != EINTR &&
                   (errno != EAGAIN || wait_for(posix->fd, POLLOUT, deadline) == 0)) {
            return noc_fault_set(
                &posix->fault, NOC_FAULT_PROXY, 0, NOC_EIO, "the proxy closed the connection");
        }
    }
    return NOC_OK;
}

static int read_all(
    struct noc_posix_transport *posix, uint8_t *bytes, size_t n, const struct deadline *deadline)
{
    while (n > 0) {
        ssize_t got = recv(posix->fd, bytes, n, 0);

        if (got > 0) {
            bytes += got;
            n -= (size_t)got;
        } else if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
            if (wait_for(posix->fd, POLLIN, deadline) == 0) {
                return noc_fault_set(&posix->fault, NOC_FAULT_TIMEOUT, ETIMEDOUT, NOC_EIO,
                    "the proxy does not answer");
            }
        } else {
            return noc_fault_set(
                &posix->fault, NOC_FAULT_PROXY, 0, NOC_EIO, "the proxy closed the connection");
        }
    }
    return NOC_OK;
}

static int refuse_proxy(struct noc_posix_transport *posix, int code, const char *text)
{
    return noc_fault_set(&posix->fault, NOC_FAULT_PROXY, code, NOC_EIO, "%s", text);
}

/* Say who we are, if the proxy wants to know. */
static int socks_greet(struct noc_posix_transport *posix, const struct deadline *deadline)
{
    const char *user = posix->options->proxy_user;
    const char *password =
        posix->options->proxy_password == NULL ? "" : posix->options->proxy_password;
    const uint8_t hello[4] = {5, user == NULL ? 1 : 2, 0, 2};
    uint8_t answer[2], login[3 + 255 + 255];
    size_t user_n = user == NULL ? 0 : strlen(user), password_n = strlen(password);
    int err;

    if (user_n > 255 || password_n > 255) {
        return refuse_proxy(posix, 0, "the proxy's user name or password is too long");
    }
    err = write_all(posix, hello, 2U + hello[1], deadline);
    if (err == NOC_OK) {
        err = read_all(posix, answer, sizeof(answer), deadline);
    }
    if (err != NOC_OK || (answer[0] == 5 && answer[1] == 0)) {
        return err;
    }
    if (answer[0] != 5) {
        return refuse_proxy(posix, 0, "what answers is no SOCKS5 proxy");
    }
    if (answer[1] != 2 || user == NULL) {
        return refuse_proxy(posix, 0, "the proxy wants a user name and password");
    }
    login[0] = 1;
    login[1] = (uint8_t)user_n;
    memcpy(login + 2, user, user_n);
    login[2 + user_n] = (uint8_t)password_n;
    memcpy(login + 3 + user_n, password, password_n);
    err = write_all(posix, login, 3 + user_n + password_n, deadline);
    if (err == NOC_OK) {
        err = read_all(posix, answer, sizeof(answer), deadline);
    }
    if (err == NOC_OK && answer[1] != 0) {
        return refuse_proxy(posix, 0, "the proxy refused the user name or password");
    }
    return err;
}

/* What the reply codes of RFC 1928, section 6 mean. */
static const char *socks_text(uint8_t code)
{
    static const char *const texts[] = {
        "succeeded",
        "the proxy failed",
        "the proxy's rules do not allow it",
        "the proxy says: network unreachable",
        "the proxy says: host unreachable",
        "the proxy says: connection refused",
        "the proxy says: time to live expired",
        "the proxy says: command not supported",
        "the proxy says: address type not supported",
    };

    return code < NOC_COUNT(texts) ? texts[code] : "the proxy failed";
}

/*
 * The host as the proxy is told it, at most 256 bytes at at[]: an address as such, as some look
 * up whatever comes as a name; otherwise the name, behind its length. Returns the bytes.
 */
static size_t put_host(const char *host, uint8_t *at, uint8_t *ret_type)
{
    size_t n = strlen(host);

    if (inet_pton(AF_INET, host, at) == 1) {
        *ret_type = SOCKS_IPV4;
        return 4;
    }
    if (inet_pton(AF_INET6, host, at) == 1) {
        *ret_type = SOCKS_IPV6;
        return 16;
    }
    *ret_type = SOCKS_NAME;
    at[0] = (uint8_t)n;
    memcpy(at + 1, host, n);
    return n + 1;
}

/* Have the proxy look the name up and connect. */
static int socks_connect(struct noc_posix_transport *posix, const struct deadline *deadline)
{
    const struct noc_posix_options *options = posix->options;
    uint8_t ask[4 + 1 + 255 + 2] = {5, 1, 0};
    uint8_t answer[4 + 1 + 255 + 2];
    size_t n, rest;
    int err;

    if (strlen(options->host) > 255) {
        return refuse_proxy(posix, 0, "the host's name is too long for a SOCKS proxy");
    }
    n = 4 + put_host(options->host, ask + 4, &ask[3]);
    ask[n] = (uint8_t)(options->port >> 8);
    ask[n + 1] = (uint8_t)options->port;
    err = write_all(posix, ask, n + 2, deadline);
    if (err == NOC_OK) {
        err = read_all(posix, answer, 5, deadline);
    }
    if (err != NOC_OK) {
        return err;
    }
    if (answer[0] != 5 || answer[1] != 0) {
        return refuse_proxy(posix, answer[1], socks_text(answer[1]));
    }
    /* The address it has bound, of no interest; its first byte is here already. */
    rest = answer[3] == SOCKS_IPV4   ? 3 + 2
           : answer[3] == SOCKS_IPV6 ? 15 + 2
                                     : (size_t)answer[4] + 2;
    return read_all(posix, answer, rest, deadline);
}

/* ---- the functions of a transport ---- */

static void close_posix(struct noc_transport *transport)
{
    struct noc_posix_transport *posix = posix_of(transport);

    if (posix->fd >= 0) {
        (void)close(posix->fd);
    }
    posix->fd = -1;
}

static int open_posix(struct noc_transport *transport, uint32_t timeout_ms)
{
    struct noc_posix_transport *posix = posix_of(transport);
    const struct noc_posix_options *options = posix->options;
    const struct deadline deadline = deadline_in(timeout_ms);
    int err;

    close_posix(transport);
    posix->peer[0] = '\0';
    posix->fault.kind = NOC_FAULT_NONE;
    if (options->is_unix) {
        return open_unix(posix, &deadline);
    }
    if (options->proxy_host == NULL) {
        return open_tcp(posix, options->host, options->port, &deadline);
    }
    err = open_tcp(posix, options->proxy_host, options->proxy_port, &deadline);
    if (err == NOC_OK) {
        err = socks_greet(posix, &deadline);
    }
    if (err == NOC_OK) {
        err = socks_connect(posix, &deadline);
    }
    if (err != NOC_OK) {
        close_posix(transport);
    }
    return err;
}

static int fail_io(struct noc_posix_transport *posix, int error)
{
    (void)noc_fault_set(&posix->fault, NOC_FAULT_LOST, error, 0, "%s", strerror(error));
    return error == ECONNRESET || error == EPIPE ? NOC_ECLOSED : NOC_EIO;
}

static int read_posix(struct noc_transport *transport, void *bytes, size_t n, uint32_t timeout_ms)
{
    struct noc_posix_transport *posix = posix_of(transport);
    const struct deadline deadline = deadline_in(timeout_ms);
    bool has_waited = timeout_ms == 0;

    n = n > INT_MAX ? INT_MAX : n;
    for (;;) {
        ssize_t got = recv(posix->fd, bytes, n, 0);

        if (got > 0) {
            return (int)got;
        }
        if (got == 0) {
            return noc_fault_set(
                &posix->fault, NOC_FAULT_LOST, 0, NOC_ECLOSED, "the server closed the connection");
        }
        if (errno == EINTR) {
            continue;
        }
        if (errno != EAGAIN) {
            return fail_io(posix, errno);
        }
        if (has_waited || wait_for(posix->fd, POLLIN, &deadline) == 0) {
            return 0;
        }
        has_waited = ms_left(&deadline) == 0;
    }
}

static int write_posix(struct noc_transport *transport, const void *bytes, size_t n)
{
    struct noc_posix_transport *posix = posix_of(transport);
    ssize_t sent;

    n = n > INT_MAX ? INT_MAX : n;
    do {
        sent = send(posix->fd, bytes, n, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    if (sent >= 0) {
        return (int)sent;
    }
    return errno == EAGAIN ? 0 : fail_io(posix, errno);
}

static void wait_posix(struct noc_transport *transport, uint32_t timeout_ms)
{
    const struct deadline deadline = deadline_in(timeout_ms);

    (void)wait_for(posix_of(transport)->fd, POLLOUT, &deadline);
}

struct noc_transport *noc_posix_init(
    struct noc_posix_transport *posix, const struct noc_posix_options *options)
{
    memset(posix, 0, sizeof(*posix));
    posix->transport =
        (struct noc_transport){open_posix, read_posix, write_posix, close_posix, wait_posix};
    posix->options = options;
    posix->fd = -1;
    return &posix->transport;
}
