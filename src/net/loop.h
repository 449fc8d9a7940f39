/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_NET_LOOP_H
#define NOC_NET_LOOP_H
/*
 * The event loop of one thread: which descriptors can be read or written, and
 * a bell that other threads may ring. It hides epoll, used level-triggered, so
 * that another mechanism can stand behind the same calls.
 *
 * A loop and its registrations belong to one thread. Only functions that end
 * in _mt may be called from others. Descriptors stay the caller's: remove one
 * before it is closed or handed to another loop.
 */

#include <stdbool.h>

#include "base/macros.h"

struct noc_loop {
    int poll_fd; /* the epoll instance, or -1 */
    int bell_fd; /* an eventfd, or -1 */
};

/* What to be told about a descriptor; or'ed. */
enum noc_loop_interest {
    NOC_LOOP_NONE = 0,           /* only hang-up in both directions and errors, which come always */
    NOC_LOOP_READ = 1 << 0,      /* readable, or the peer has finished sending */
    NOC_LOOP_WRITE = 1 << 1,     /* writable */
    NOC_LOOP_EXCLUSIVE = 1 << 2, /* of several loops with this descriptor, wake one (or few) */
};

struct noc_loop_event {
    void *owner;   /* as given when the descriptor was added */
    bool readable; /* a read won't wait; it may bring bytes, the end or an error */
    bool writable; /* a write won't wait */
    bool hangup;   /* the peer has finished; bytes may still wait to be read */
    bool error;    /* the next read or write tells what it is */
};

/* Returns 0 or NOC_EIO (out of descriptors or memory; errno says which). */
NOC_MUST_CHECK int noc_loop_init(struct noc_loop *loop);

/* Registered descriptors are forgotten, not closed. May be repeated. */
void noc_loop_done(struct noc_loop *loop);

/*
 * Watch a descriptor. The owner comes back with its events and must stay valid
 * until it is removed. Returns 0, NOC_EEXIST, NOC_ENOMEM or NOC_EIO.
 */
NOC_MUST_CHECK int noc_loop_add(struct noc_loop *loop, int fd, unsigned interest, void *owner);

/* New interest (and owner) for a watched descriptor. Returns 0, NOC_ENOENT or as add. */
NOC_MUST_CHECK int noc_loop_change(struct noc_loop *loop, int fd, unsigned interest, void *owner);

/*
 * Stop watching. Events of the last wait for this owner that were not looked
 * at yet are still in the caller's array: the caller must drop them. Removing
 * what is not watched does nothing.
 */
void noc_loop_remove(struct noc_loop *loop, int fd);

/*
 * Wait until something happens, the bell rings or timeout_ms have passed (-1:
 * no limit, 0: only look). Writes up to max events (a turn's portion; the rest
 * comes next time) and returns their number, 0 too for the bell, a signal or
 * the time; or NOC_EIO. The bell is silent again afterwards, so look at what
 * it was rung for after this call.
 */
NOC_MUST_CHECK int noc_loop_wait(
    struct noc_loop *loop, int timeout_ms, struct noc_loop_event *events, int max);

/* Ring the bell: the current wait, or the next one, returns at once. Never waits. Any thread. */
void noc_loop_ring_mt(struct noc_loop *loop);

#endif
