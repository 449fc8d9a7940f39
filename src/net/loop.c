/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "net/loop.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <noctule/error.h>

enum { EVENTS_MAX = 256 }; /* taken from the kernel at once; 3 KiB of stack */

/*
 * Interest in reading includes the peer's end of sending, so that a connection that
 * is paused (no interest) does not wake the loop for it over and over. The
 * kernel refuses EPOLLRDHUP together with EPOLLEXCLUSIVE, and a listening socket has
 * no use for it.
 */
static uint32_t epoll_events(unsigned interest)
{
    uint32_t events = 0;

    if ((interest & NOC_LOOP_READ) != 0) {
        events |= EPOLLIN;
        if ((interest & NOC_LOOP_EXCLUSIVE) == 0) {
            events |= EPOLLRDHUP;
        }
    }
    if ((interest & NOC_LOOP_WRITE) != 0) {
        events |= EPOLLOUT;
    }
    if ((interest & NOC_LOOP_EXCLUSIVE) != 0) {
        events |= EPOLLEXCLUSIVE;
    }
    return events;
}

static int control(struct noc_loop *loop, int operation, int fd, unsigned interest, void *owner)
{
    struct epoll_event event = {.events = epoll_events(interest), .data = {.ptr = owner}};

    if (epoll_ctl(loop->poll_fd, operation, fd, &event) == 0) {
        return NOC_OK;
    }
    switch (errno) {
    case EEXIST:
        return NOC_EEXIST;
    case ENOENT:
        return NOC_ENOENT;
    case ENOMEM:
    case ENOSPC:
        return NOC_ENOMEM;
    default:
        return NOC_EIO;
    }
}

int noc_loop_init(struct noc_loop *loop)
{
    int saved;

    loop->bell_fd = -1;
    loop->poll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->poll_fd < 0) {
        return NOC_EIO;
    }
    loop->bell_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (loop->bell_fd < 0) {
        goto failed;
    }
    /*
     * The bell's owner is an address that no caller's object has; not the loop's own,
     * which is also that of a struct that begins with its loop.
     */
    if (control(loop, EPOLL_CTL_ADD, loop->bell_fd, NOC_LOOP_READ, &loop->bell_fd) != NOC_OK) {
        goto failed;
    }
    return NOC_OK;

failed:
    saved = errno;
    noc_loop_done(loop);
    errno = saved;
    return NOC_EIO;
}

void noc_loop_done(struct noc_loop *loop)
{
    if (loop->bell_fd >= 0) {
        (void)close(loop->bell_fd);
        loop->bell_fd = -1;
    }
    if (loop->poll_fd >= 0) {
        (void)close(loop->poll_fd);
        loop->poll_fd = -1;
    }
}

int noc_loop_add(struct noc_loop *loop, int fd, unsigned interest, void *owner)
{
    return control(loop, EPOLL_CTL_ADD, fd, interest, owner);
}

int noc_loop_change(struct noc_loop *loop, int fd, unsigned interest, void *owner)
{
    int err;

    if ((interest & NOC_LOOP_EXCLUSIVE) == 0) {
        err = control(loop, EPOLL_CTL_MOD, fd, interest, owner);
        /* EINVAL: what was added as exclusive can't be modified, only added anew. */
        if (err != NOC_EIO || errno != EINVAL) {
            return err;
        }
    }
    err = control(loop, EPOLL_CTL_DEL, fd, NOC_LOOP_NONE, NULL);
    return err != NOC_OK ? err : control(loop, EPOLL_CTL_ADD, fd, interest, owner);
}

void noc_loop_remove(struct noc_loop *loop, int fd)
{
    (void)control(loop, EPOLL_CTL_DEL, fd, NOC_LOOP_NONE, NULL);
}

static void silence_bell(struct noc_loop *loop)
{
    uint64_t rung;
    ssize_t n = read(loop->bell_fd, &rung, sizeof(rung));

    (void)n; /* EAGAIN only: somebody rang, so at worst we look once too often. */
}

int noc_loop_wait(struct noc_loop *loop, int timeout_ms, struct noc_loop_event *events, int max)
{
    struct epoll_event taken[EVENTS_MAX];
    int want = max < EVENTS_MAX ? max : EVENTS_MAX;
    int count = 0;
    int n;

    n = epoll_wait(loop->poll_fd, taken, want, timeout_ms);
    if (n < 0) {
        return errno == EINTR ? 0 : NOC_EIO;
    }
    for (int i = 0; i < n; i++) {
        uint32_t what = taken[i].events;

        if (taken[i].data.ptr == &loop->bell_fd) {
            silence_bell(loop);
            continue;
        }
        events[count++] = (struct noc_loop_event){
            .owner = taken[i].data.ptr,
            /* An error or hang-up makes every read and write return, too. */
            .readable = (what & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0,
            .writable = (what & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0,
            .hangup = (what & (EPOLLHUP | EPOLLRDHUP)) != 0,
            .error = (what & EPOLLERR) != 0,
        };
    }
    return count;
}

void noc_loop_ring_mt(struct noc_loop *loop)
{
    uint64_t one = 1;
    ssize_t n;
    int saved = errno;

    do {
        n = write(loop->bell_fd, &one, sizeof(one));
    } while (n < 0 && errno == EINTR);
    errno = saved; /* EAGAIN: it has been rung 2^64 - 2 times and still sounds. */
}
