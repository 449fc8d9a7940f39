/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CLI_PASSWD_FILE_H
#define NOC_CLI_PASSWD_FILE_H
/*
 * A password file that is being replaced: at every moment, whenever the process is killed, the old
 * file or the new one is there, whole.
 *
 * The new file grows beside the old one, as FILE.noctule-new, and is renamed over it. That name is
 * the lock, too: whoever changes FILE holds a flock() on what bears it, so two changes at once come
 * one after the other. What a killed run left there is taken over by the next one.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "base/macros.h"
#include <noctule/slice.h>

#define NOC_PASSWD_NEW_SUFFIX ".noctule-new"

enum noc_passwd_step {
    NOC_PASSWD_RESOLVE, /* follow the path's links */
    NOC_PASSWD_OPEN,    /* see that the file is there and may be written */
    NOC_PASSWD_LOCK,    /* make or take over the new file */
    NOC_PASSWD_READ,
    NOC_PASSWD_KEEP, /* give the new file the old one's owner, group, mode and ACL */
    NOC_PASSWD_WRITE,
    NOC_PASSWD_RENAME
};

struct noc_passwd_options {
    const char *path;
    bool is_new;      /* the file need not be there, and what it holds is not read */
    unsigned wait_ms; /* for another process's change; 0: 20 s */
};

struct noc_passwd_file {
    char *path;            /* links resolved; as it was given where that failed */
    char *new_path;        /* NULL: a device or a pipe, which is written to directly */
    int fd;                /* what is written to, or -1 */
    bool exists;           /* the old file does */
    bool is_renamed;       /* the new file has taken its place */
    struct stat status;    /* of the old file */
    struct noc_slice text; /* of the old file, unless is_new; borrowed until done */

    /* Of a failure. */
    enum noc_passwd_step step;
    int error; /* errno, or 0 with reason */
    char reason[256];
};

/*
 * Resolve the path, lock, and read the file. An error: step and error say why, and
 * noc_passwd_file_explain(). Call done in any case.
 */
NOC_MUST_CHECK int noc_passwd_file_open(
    struct noc_passwd_file *file, const struct noc_passwd_options *options);

/* As far as that goes without a lock: can the file be opened? For before a password is asked for. */
NOC_MUST_CHECK int noc_passwd_file_probe(
    struct noc_passwd_file *file, const struct noc_passwd_options *options);

/*
 * Put the text in the file's place, and on the disk: owner, group, mode and ACL are kept; a file
 * that is new belongs to its maker alone (0600). After an error the old file is there.
 */
NOC_MUST_CHECK int noc_passwd_file_replace(struct noc_passwd_file *file, struct noc_slice text);

/* One line: what failed, why, and what to do about it. */
void noc_passwd_file_explain(const struct noc_passwd_file *file, char *text, size_t size);

/* Unlock; a new file that did not take the old one's place is removed. */
void noc_passwd_file_done(struct noc_passwd_file *file);

#endif
