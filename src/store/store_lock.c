/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "store/store_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include <noctule/error.h>

/* Who has it, by what stands in the file; the text may be late, so it only informs. */
static long holder(int fd)
{
    char text[24];
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

    if (n <= 0) {
        return 0;
    }
    text[n] = '\0';
    return strtol(text, NULL, 10);
}

int noc_store_lock(const char *folder, char *error, size_t error_n)
{
    char path[PATH_MAX];
    int fd;

    (void)snprintf(path, sizeof(path), "%s/noctule.lock", folder);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        (void)snprintf(error, error_n,
            "cannot open '%s' for writing: %s; persistence_location must be a folder that the "
            "broker "
            "may write to",
            path, strerror(errno));
        return NOC_EIO;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        int reason = errno;
        long pid = holder(fd);

        (void)close(fd);
        if (reason != EWOULDBLOCK) {
            (void)snprintf(error, error_n, "cannot lock '%s': %s", path, strerror(reason));
            return NOC_EIO;
        }
        (void)snprintf(error, error_n,
            "'%s' is in use by another broker, process %ld; stop it, or give this one another "
            "persistence_location",
            folder, pid);
        return NOC_EEXIST;
    }
    /* On a full disk the text is missing; the lock holds. */
    if (ftruncate(fd, 0) == 0) {
        (void)dprintf(fd, "%ld\n", (long)getpid());
    }
    return fd;
}

void noc_store_unlock(int fd)
{
    if (fd >= 0) {
        (void)close(fd);
    }
}
