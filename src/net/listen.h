/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_NET_LISTEN_H
#define NOC_NET_LISTEN_H
/*
 * Listening sockets: opening them, and accepting from them. All sockets are
 * non-blocking and close on exec.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"
#include "net/address.h"

enum noc_listen_domain { NOC_LISTEN_BOTH, NOC_LISTEN_IPV4, NOC_LISTEN_IPV6 };

struct noc_listen_options {
    const char *host;              /* name or address; NULL: all addresses */
    uint16_t port;                 /* 0: the system picks one (the same for all addresses) */
    enum noc_listen_domain domain; /* which of the addresses */
    const char *bind_interface;    /* only through this network device, or NULL */
    const char *unix_path;         /* a unix socket instead of all the above, or NULL */
    unsigned unix_mode;            /* its permissions; 0: as the umask has it */
    int backlog;                   /* 0: 4096 */
    bool is_held;                  /* take the addresses only: see noc_listen_begin() */
};

enum { NOC_LISTEN_SOCKETS_MAX = 16 };

struct noc_listen_sockets {
    size_t count;
    struct {
        int fd;
        struct noc_address address; /* where it is bound, the port filled in */
    } at[NOC_LISTEN_SOCKETS_MAX];
};

/*
 * Open a socket on every address that the options name: "localhost" gives
 * 127.0.0.1 and ::1, no host 0.0.0.0 and :: (each IPv6 socket takes IPv6
 * only). A kind of address that this machine does not have is passed over as
 * long as one socket opens. A stale unix socket is replaced; one that a live
 * process answers on is not, nor anything that is not a socket.
 *
 * May ask a name service: start and control thread only. Returns 0, or with
 * everything closed again NOC_EEXIST (address in use), NOC_EDENIED (no right to
 * the port or path), NOC_ENOENT (unknown host or device), NOC_EINVAL (path too
 * long) or NOC_EIO; error then has a line such as "Address already in use".
 */
NOC_MUST_CHECK int noc_listen_open(const struct noc_listen_options *options,
    struct noc_listen_sockets *ret_sockets, char *error, size_t error_size);

/*
 * Let connections come to sockets that were opened with is_held; until then they are refused. Returns 0,
 * NOC_EEXIST (somebody else was faster) or NOC_EIO, with a line in error; the sockets stay open.
 */
NOC_MUST_CHECK int noc_listen_begin(
    const struct noc_listen_sockets *sockets, char *error, size_t error_size);

/* Close all. A unix socket's file is removed by noc_listen_remove_path(). May be repeated. */
void noc_listen_close(struct noc_listen_sockets *sockets);

/* Remove a unix socket's file, if it is (still) a socket. */
void noc_listen_remove_path(const char *unix_path);

/*
 * A spare descriptor per thread. When the process has no descriptor left, it
 * is given up for a moment to take the waiting connection and close it, or the
 * connection would keep the loop awake for ever.
 */
struct noc_accept_reserve {
    int fd; /* -1: could not be had (back) yet */
};

void noc_accept_reserve_init(struct noc_accept_reserve *reserve);
void noc_accept_reserve_done(struct noc_accept_reserve *reserve);

/* After NOC_EFULL leave the listening socket alone for this long. */
enum { NOC_ACCEPT_PAUSE_MS = 100 };

/*
 * Take one waiting connection. TCP connections get TCP_NODELAY if no_delay.
 * Returns 0 with *ret_fd (the caller's) and *ret_address; NOC_EAGAIN: none
 * waits; NOC_ECLOSED: one went away meanwhile, try again; NOC_EFULL: no
 * descriptor left, a waiting connection was closed (log it, pause); NOC_EIO
 * otherwise. The thread of the reserve.
 */
NOC_MUST_CHECK int noc_accept(int listen_fd, bool no_delay, struct noc_accept_reserve *reserve,
    int *ret_fd, struct noc_address *ret_address);

/*
 * Raise the soft limit of open descriptors to the hard one. Returns the limit
 * that holds now (0 if it cannot be told).
 */
size_t noc_raise_descriptor_limit(void);

#endif
