/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_NET_PRIVILEGES_H
#define NOC_NET_PRIVILEGES_H
/*
 * What a daemon does once at its start: go to the background, write its pid,
 * give root up. Main thread only, before any other thread exists. Functions
 * return 0 or an error with a line in error.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/macros.h"

struct noc_identity {
    uid_t uid;
    gid_t gid;
    char name[64];    /* of the user, or "" if only numbers are known */
    bool is_fallback; /* "mosquitto" does not exist here, so it is "nobody" */
};

/*
 * Whom to become: user, or NULL for "mosquitto". An unknown user is
 * NOC_ENOENT, except that "mosquitto" falls back to "nobody". "root" is found like any
 * other: it means to stay.
 */
NOC_MUST_CHECK int noc_identity_find(
    const char *user, struct noc_identity *ret_identity, char *error, size_t error_size);

/* Give root up for good: groups, gid, uid; checked afterwards. Nothing to do unless root. */
NOC_MUST_CHECK int noc_identity_assume(
    const struct noc_identity *identity, char *error, size_t error_size);

/*
 * To the background: fork (the parent exits with 0), new session, standard descriptors to
 * /dev/null. Returns in the child, or an error in the parent.
 */
NOC_MUST_CHECK int noc_daemonise(char *error, size_t error_size);

/* Write our pid and a newline to a file (0644, no symbolic link followed, replaced if there). */
NOC_MUST_CHECK int noc_pid_file_write(const char *path, char *error, size_t error_size);

/* Remove it again, if it still holds our pid. */
void noc_pid_file_remove(const char *path);

#endif
