/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "net/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <noctule/error.h>

enum { BACKLOG = 4096 };

static int error_of_errno(int number)
{
    switch (number) {
    case EADDRINUSE:
        return NOC_EEXIST;
    case EACCES:
    case EPERM:
        return NOC_EDENIED;
    case ENODEV:
    case ENOENT:
        return NOC_ENOENT;
    case ENAMETOOLONG:
        return NOC_EINVAL;
    case ENOMEM:
        return NOC_ENOMEM;
    default:
        return NOC_EIO;
    }
}

/* A line for errno, which is kept; returns the error. */
static int fail(char *error, size_t error_size)
{
    int saved = errno;

    (void)snprintf(error, error_size, "%s", strerror(saved));
    errno = saved;
    return error_of_errno(saved);
}

static int set_option(int fd, int level, int option)
{
    int on = 1;

    return setsockopt(fd, level, option, &on, sizeof(on));
}

static int begin(const struct noc_listen_options *options, int fd)
{
    return options->is_held ? 0 : listen(fd, options->backlog > 0 ? options->backlog : BACKLOG);
}

/* A listening socket on one address, or -1 with errno. */
static int open_tcp(const struct noc_listen_options *options, const struct addrinfo *info)
{
    int saved;
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        return -1;
    }
    /* Without REUSEADDR a restart would wait for the old connections' TIME_WAIT. */
    if (set_option(fd, SOL_SOCKET, SO_REUSEADDR) < 0) {
        goto close_fd;
    }
    /* [::] must not take IPv4 as well, or it collides with 0.0.0.0. */
    if (info->ai_family == AF_INET6 && set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY) < 0) {
        goto close_fd;
    }
    if (options->bind_interface != NULL &&
        setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, options->bind_interface,
            (socklen_t)strlen(options->bind_interface)) < 0) {
        goto close_fd;
    }
    if (bind(fd, info->ai_addr, info->ai_addrlen) < 0 || begin(options, fd) < 0) {
        goto close_fd;
    }
    return fd;

close_fd:
    saved = errno;
    (void)close(fd);
    errno = saved;
    return -1;
}

static void set_port(struct addrinfo *info, uint16_t port)
{
    if (info->ai_family == AF_INET) {
        ((struct sockaddr_in *)(void *)info->ai_addr)->sin_port = htons(port);
    } else if (info->ai_family == AF_INET6) {
        ((struct sockaddr_in6 *)(void *)info->ai_addr)->sin6_port = htons(port);
    }
}

static void add_socket(struct noc_listen_sockets *sockets, int fd)
{
    struct sockaddr_storage bound;
    socklen_t n = sizeof(bound);

    memset(&bound, 0, sizeof(bound));
    (void)getsockname(fd, (struct sockaddr *)&bound, &n);
    sockets->at[sockets->count].fd = fd;
    noc_address_set(&sockets->at[sockets->count].address, (const struct sockaddr *)&bound, n);
    sockets->count++;
}

/* Is it only that this machine has no such address (IPv6 switched off, say)? */
static bool is_missing_family(int number)
{
    return number == EAFNOSUPPORT || number == EADDRNOTAVAIL || number == EPROTONOSUPPORT;
}

/* A socket on each address of a list; ones that this machine lacks are passed over. */
static int open_list(const struct noc_listen_options *options, struct addrinfo *list,
    struct noc_listen_sockets *sockets, char *error, size_t error_size)
{
    for (struct addrinfo *info = list; info != NULL; info = info->ai_next) {
        uint16_t port = sockets->count > 0 ? sockets->at[0].address.port : options->port;
        int fd;

        if ((info->ai_family != AF_INET && info->ai_family != AF_INET6) ||
            sockets->count == NOC_LISTEN_SOCKETS_MAX) {
            continue;
        }
        set_port(info, port);
        fd = open_tcp(options, info);
        if (fd >= 0) {
            add_socket(sockets, fd);
        } else {
            int err = fail(error, error_size);

            if (!is_missing_family(errno)) {
                return err;
            }
        }
    }
    return NOC_OK;
}

static int open_host(const struct noc_listen_options *options, const char *host,
    struct noc_listen_sockets *sockets, char *error, size_t error_size)
{
    static const int families[] = {
        [NOC_LISTEN_BOTH] = AF_UNSPEC, [NOC_LISTEN_IPV4] = AF_INET, [NOC_LISTEN_IPV6] = AF_INET6};
    struct addrinfo hints = {.ai_family = families[options->domain],
        .ai_socktype = SOCK_STREAM,
        .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    int code = getaddrinfo(host, "0", &hints, &list);
    int err;

    if (code != 0) {
        (void)snprintf(
            error, error_size, "%s", code == EAI_SYSTEM ? strerror(errno) : gai_strerror(code));
        return code == EAI_MEMORY ? NOC_ENOMEM : NOC_ENOENT;
    }
    err = open_list(options, list, sockets, error, error_size);
    freeaddrinfo(list);
    return err;
}

/*
 * "localhost" is both loopback addresses, whatever the machine's hosts file
 * says or leaves out (RFC 6761, section 6.3); a chosen family leaves one of them.
 */
static int listen_tcp(const struct noc_listen_options *options, struct noc_listen_sockets *sockets,
    char *error, size_t error_size)
{
    bool is_local = options->host != NULL && strcmp(options->host, "localhost") == 0;
    int err = NOC_OK;

    (void)snprintf(error, error_size, "No address to listen on");
    if (options->bind_interface != NULL && if_nametoindex(options->bind_interface) == 0) {
        return fail(error, error_size);
    }
    if (!is_local) {
        err = open_host(options, options->host, sockets, error, error_size);
    }
    if (is_local && options->domain != NOC_LISTEN_IPV6) {
        err = open_host(options, "127.0.0.1", sockets, error, error_size);
    }
    if (err == NOC_OK && is_local && options->domain != NOC_LISTEN_IPV4) {
        err = open_host(options, "::1", sockets, error, error_size);
    }
    if (err == NOC_OK && sockets->count == 0) {
        err = NOC_EIO;
    }
    if (err != NOC_OK) {
        noc_listen_close(sockets);
    }
    return err;
}

/*
 * Make way for a unix socket at a path: 0 if nothing is there, or what was there was
 * a socket that nobody listens on. Else -1 with errno.
 */
static int clear_path(const struct sockaddr_un *at)
{
    struct stat status;
    int fd;
    int outcome;

    if (lstat(at->sun_path, &status) < 0) {
        return errno == ENOENT ? 0 : -1;
    }
    if (!S_ISSOCK(status.st_mode)) {
        errno = EADDRINUSE;
        return -1;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    outcome = connect(fd, (const struct sockaddr *)at, sizeof(*at)) == 0 ? 0 : errno;
    (void)close(fd);
    if (outcome != ECONNREFUSED) {
        /* Connected, or its queue is full (EAGAIN): alive. No right to ask: not ours to remove. */
        errno = outcome == 0 || outcome == EAGAIN ? EADDRINUSE : outcome;
        return -1;
    }
    return unlink(at->sun_path);
}

static int listen_unix(const struct noc_listen_options *options, struct noc_listen_sockets *sockets,
    char *error, size_t error_size)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    size_t n = strlen(options->unix_path);
    int err;
    int fd;

    if (n == 0 || n >= sizeof(at.sun_path)) {
        errno = ENAMETOOLONG;
        return fail(error, error_size);
    }
    memcpy(at.sun_path, options->unix_path, n);
    if (clear_path(&at) < 0) {
        return fail(error, error_size);
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return fail(error, error_size);
    }
    if (bind(fd, (const struct sockaddr *)&at, sizeof(at)) < 0) {
        goto close_fd;
    }
    /* Nobody can connect before listen(), so the mode holds from the first moment. */
    if ((options->unix_mode != 0 && chmod(at.sun_path, options->unix_mode) < 0) ||
        begin(options, fd) < 0) {
        goto remove_path;
    }
    sockets->at[0].fd = fd;
    noc_address_set_unix(&sockets->at[0].address);
    sockets->count = 1;
    return NOC_OK;

remove_path:
    err = fail(error, error_size);
    (void)unlink(at.sun_path);
    (void)close(fd);
    return err;
close_fd:
    err = fail(error, error_size);
    (void)close(fd);
    return err;
}

int noc_listen_open(const struct noc_listen_options *options,
    struct noc_listen_sockets *ret_sockets, char *error, size_t error_size)
{
    struct noc_listen_sockets sockets = {0};
    int err;

    if (options->unix_path != NULL) {
        err = listen_unix(options, &sockets, error, error_size);
    } else {
        err = listen_tcp(options, &sockets, error, error_size);
    }
    if (err == NOC_OK) {
        *ret_sockets = sockets;
    }
    return err;
}

int noc_listen_begin(const struct noc_listen_sockets *sockets, char *error, size_t error_size)
{
    for (size_t i = 0; i < sockets->count; i++) {
        if (listen(sockets->at[i].fd, BACKLOG) < 0) {
            return fail(error, error_size);
        }
    }
    return NOC_OK;
}

void noc_listen_close(struct noc_listen_sockets *sockets)
{
    while (sockets->count > 0) {
        (void)close(sockets->at[--sockets->count].fd);
    }
}

void noc_listen_remove_path(const char *unix_path)
{
    struct stat status;

    if (lstat(unix_path, &status) == 0 && S_ISSOCK(status.st_mode)) {
        (void)unlink(unix_path);
    }
}

void noc_accept_reserve_init(struct noc_accept_reserve *reserve)
{
    reserve->fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

void noc_accept_reserve_done(struct noc_accept_reserve *reserve)
{
    if (reserve->fd >= 0) {
        (void)close(reserve->fd);
        reserve->fd = -1;
    }
}

/* Give the spare descriptor up, take the connection, close it, and get the spare back. */
static void turn_away(int listen_fd, struct noc_accept_reserve *reserve)
{
    int fd;

    noc_accept_reserve_done(reserve);
    fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        (void)close(fd);
    }
    noc_accept_reserve_init(reserve);
}

/* Errors of a connection that died in the queue; Linux hands its network errors to accept, too. */
static bool is_lost_connection(int number)
{
    switch (number) {
    case ECONNABORTED:
    case EINTR:
    case EPROTO:
    case EPERM: /* a firewall rule */
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH:
    case ETIMEDOUT:
        return true;
    default:
        return false;
    }
}

int noc_accept(int listen_fd, bool no_delay, struct noc_accept_reserve *reserve, int *ret_fd,
    struct noc_address *ret_address)
{
    struct sockaddr_storage from;
    socklen_t n = sizeof(from);
    int fd;

    memset(&from, 0, sizeof(from));
    fd = accept4(listen_fd, (struct sockaddr *)&from, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        int number = errno;

        if (number == EAGAIN) {
            return NOC_EAGAIN;
        }
        if (number == EMFILE || number == ENFILE || number == ENOBUFS || number == ENOMEM) {
            turn_away(listen_fd, reserve);
            return NOC_EFULL;
        }
        return is_lost_connection(number) ? NOC_ECLOSED : NOC_EIO;
    }
    if (reserve->fd < 0) {
        noc_accept_reserve_init(reserve);
    }
    noc_address_set(ret_address, (const struct sockaddr *)&from, n);
    if (no_delay && ret_address->family != NOC_ADDRESS_UNIX) {
        (void)set_option(fd, IPPROTO_TCP, TCP_NODELAY);
    }
    *ret_fd = fd;
    return NOC_OK;
}

size_t noc_raise_descriptor_limit(void)
{
    struct rlimit limit;
    struct rlimit raised;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) {
        return 0;
    }
    raised = limit;
    raised.rlim_cur = limit.rlim_max;
    if (limit.rlim_cur != limit.rlim_max && setrlimit(RLIMIT_NOFILE, &raised) == 0) {
        limit = raised;
    }
    return limit.rlim_cur == RLIM_INFINITY ? SIZE_MAX : (size_t)limit.rlim_cur;
}
