/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded (LD_PRELOAD) by tests: the wall clock is WALL_OFFSET seconds from what it is, and a sync
 * fails (EIO) while the file SYNC_FAILS is there.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* The system's headers have reserved names for parameters. */
/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name) */

/* ISO C converts no object pointer to one of a function. */
static void find(const char *name, void *function)
{
    void *symbol = dlsym(RTLD_NEXT, name);

    memcpy(function, &symbol, sizeof symbol);
}

static time_t offset(void)
{
    const char *text = getenv("WALL_OFFSET");

    return text == NULL ? 0 : (time_t)atoll(text);
}

int clock_gettime(clockid_t clock, struct timespec *at)
{
    static int (*next)(clockid_t, struct timespec *);
    int result;

    if (next == NULL) {
        find("clock_gettime", &next);
    }
    result = next(clock, at);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        at->tv_sec += offset();
    }
    return result;
}

int gettimeofday(struct timeval *at, void *zone)
{
    struct timespec now;
    int result = clock_gettime(CLOCK_REALTIME, &now);

    (void)zone;
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return result;
}

time_t time(time_t *at)
{
    struct timespec now = {0};

    (void)clock_gettime(CLOCK_REALTIME, &now);
    if (at != NULL) {
        *at = now.tv_sec;
    }
    return now.tv_sec;
}

static int sync_by(const char *name, int fd)
{
    const char *path = getenv("SYNC_FAILS");
    int (*next)(int);

    if (path != NULL && access(path, F_OK) == 0) {
        errno = EIO;
        return -1;
    }
    find(name, &next);
    return next(fd);
}

int fsync(int fd)
{
    return sync_by("fsync", fd);
}

int fdatasync(int fd)
{
    return sync_by("fdatasync", fd);
}

/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */
