/* SPDX-License-Identifier: Apache-2.0 */
/*
 *   open     realpath -> open FILE (may it be written?) -> open FILE.noctule-new -> flock it
 *              -> is it still what bears the name? else again -> read FILE
 *   replace  write -> owner, group, mode, ACL -> fsync -> rename over FILE -> fsync the folder
 *   done     unlink FILE.noctule-new, unless renamed -> close, which unlocks
 *
 * The lock is checked after it was taken: its last holder may have renamed or removed the file in
 * the meantime, and then somebody else can hold a new one of that name. Whoever unlinks the
 * name holds the lock, so nobody ever works on a file that another one writes.
 */
#define _GNU_SOURCE
#include "cli/passwd_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "auth/report.h"
#include "auth/text_file.h"
#include <noctule/error.h>

enum {
    LINKS_MAX = 16,
    WAIT_MS = 20000,
    WAIT_STEP_MS = 10,
    ACL_MAX_BYTES = 65536,
};

#define ACL_NAME "system.posix_acl_access"

/* errno is the cause. */
static int fail(struct noc_passwd_file *file, enum noc_passwd_step step)
{
    file->step = step;
    file->error = errno;
    return errno == ENOMEM ? NOC_ENOMEM : NOC_EIO;
}

static int fail_for(struct noc_passwd_file *file, enum noc_passwd_step step, const char *reason)
{
    file->step = step;
    file->error = 0;
    (void)snprintf(file->reason, sizeof file->reason, "%s", reason);
    return NOC_EIO;
}

/* ---- the path ---- */

/* "folder of path" / "name". NULL and errno on failure. */
static char *beside(const char *path, const char *name)
{
    const char *slash = strrchr(path, '/');
    char *joined;

    if (slash == NULL || name[0] == '/') {
        return strdup(name);
    }
    return asprintf(&joined, "%.*s/%s", (int)(slash - path), path, name) < 0 ? NULL : joined;
}

/* What a link says, or NULL and errno. */
static char *read_link(const char *path)
{
    char target[PATH_MAX];
    ssize_t n = readlink(path, target, sizeof target - 1);

    if (n < 0) {
        return NULL;
    }
    target[n] = '\0';
    return beside(path, target);
}

/* Where a file would come to be that isn't there: a link may lead nowhere yet. */
static char *resolve_absent(const char *path)
{
    char *at = strdup(path);

    for (unsigned i = 0; at != NULL && i < LINKS_MAX; i++) {
        char *next = read_link(at);

        if (next == NULL) {
            return at;
        }
        free(at);
        at = next;
    }
    free(at);
    errno = at == NULL ? ENOMEM : ELOOP;
    return NULL;
}

static int resolve(struct noc_passwd_file *file, const char *path)
{
    file->path = realpath(path, NULL);
    if (file->path == NULL && errno == ENOENT) {
        file->path = resolve_absent(path);
    }
    if (file->path == NULL) {
        int err = fail(file, NOC_PASSWD_RESOLVE);

        file->path = strdup(path);
        return err;
    }
    return NOC_OK;
}

/* ---- the old file ---- */

/* A device or a pipe: /dev/stdout, say. There is nothing in it to be kept. */
static int open_directly(struct noc_passwd_file *file, const char *path)
{
    file->fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    return file->fd < 0 ? fail(file, NOC_PASSWD_OPEN) : NOC_OK;
}

/* Nothing is there yet: can it be made? */
static int check_folder(struct noc_passwd_file *file)
{
    char *path = strdup(file->path);
    int err = NOC_OK;

    errno = path == NULL ? ENOMEM : ENOENT;
    if (path == NULL || path[0] == '\0' || access(dirname(path), W_OK | X_OK) != 0) {
        err = fail(file, NOC_PASSWD_OPEN);
    }
    free(path);
    return err;
}

/*
 * A file that its mode protects is not replaced, though its folder would let us; the same for
 * what is no file. *ret_is_direct: opened for writing as it is.
 */
static int open_old(
    struct noc_passwd_file *file, const struct noc_passwd_options *options, bool *ret_is_direct)
{
    struct stat status;
    int fd;

    *ret_is_direct = false;
    if (options->is_new && stat(options->path, &status) == 0 && !S_ISREG(status.st_mode) &&
        !S_ISDIR(status.st_mode)) {
        *ret_is_direct = true;
        return open_directly(file, options->path);
    }
    fd = open(file->path, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        return errno == ENOENT && options->is_new ? check_folder(file)
                                                  : fail(file, NOC_PASSWD_OPEN);
    }
    if (fstat(fd, &file->status) != 0) {
        int err = fail(file, NOC_PASSWD_OPEN);

        (void)close(fd);
        return err;
    }
    file->exists = true;
    (void)close(fd);
    return S_ISREG(file->status.st_mode)
               ? NOC_OK
               : fail_for(file, NOC_PASSWD_OPEN, "it is not a plain file");
}

static int read_old(struct noc_passwd_file *file)
{
    static const struct noc_text_file_options plain = {0};
    struct noc_report report = {0};
    int err = noc_text_file_read(file->path, &plain, &report, &file->text);
    const char *reason = report.error + strlen(file->path) + 2; /* behind "PATH: " */

    if (err < 0) {
        bool has_reason = strlen(report.error) > strlen(file->path) + 2;

        (void)fail_for(file, NOC_PASSWD_READ, has_reason ? reason : noc_error_text(err));
    }
    return err;
}

/* ---- the new file, and the lock ---- */

/* Does the name still lead to what we have open? */
static bool is_ours(const struct noc_passwd_file *file, const struct stat *status)
{
    struct stat named;

    return lstat(file->new_path, &named) == 0 && named.st_ino == status->st_ino &&
           named.st_dev == status->st_dev;
}

static int wait_for_lock(struct noc_passwd_file *file, unsigned wait_ms)
{
    const struct timespec step = {.tv_nsec = WAIT_STEP_MS * 1000000L};

    for (unsigned waited_ms = 0; flock(file->fd, LOCK_EX | LOCK_NB) != 0;
         waited_ms += WAIT_STEP_MS) {
        if (errno != EWOULDBLOCK && errno != EINTR) {
            return fail(file, NOC_PASSWD_LOCK);
        }
        if (waited_ms >= wait_ms) {
            return fail_for(file, NOC_PASSWD_LOCK, "another process is changing the file");
        }
        (void)nanosleep(&step, NULL);
    }
    return NOC_OK;
}

/*
 * One try. NOC_EAGAIN: somebody renamed or removed it, or it was not fit to be written to and
 * is gone: in a folder of many, anybody could have put it there, and hold it open.
 */
static int try_lock(struct noc_passwd_file *file, unsigned wait_ms)
{
    struct stat status;
    int err;

    file->fd = open(
        file->new_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK, 0600);
    if (file->fd < 0) {
        return fail(file, NOC_PASSWD_LOCK);
    }
    err = wait_for_lock(file, wait_ms);
    if (err == NOC_OK && fstat(file->fd, &status) != 0) {
        err = fail(file, NOC_PASSWD_LOCK);
    }
    if (err == NOC_OK && !is_ours(file, &status)) {
        err = NOC_EAGAIN;
    } else if (err == NOC_OK && (!S_ISREG(status.st_mode) || status.st_uid != geteuid() ||
                                    status.st_nlink != 1 || (status.st_mode & 077) != 0)) {
        err = unlink(file->new_path) == 0 ? NOC_EAGAIN : fail(file, NOC_PASSWD_LOCK);
    }
    if (err < 0) {
        (void)close(file->fd);
        file->fd = -1;
    }
    return err;
}

static int lock(struct noc_passwd_file *file, unsigned wait_ms)
{
    int err;

    if (asprintf(&file->new_path, "%s%s", file->path, NOC_PASSWD_NEW_SUFFIX) < 0) {
        file->new_path = NULL;
        errno = ENOMEM;
        return fail(file, NOC_PASSWD_LOCK);
    }
    do {
        err = try_lock(file, wait_ms);
    } while (err == NOC_EAGAIN);
    return err;
}

int noc_passwd_file_probe(struct noc_passwd_file *file, const struct noc_passwd_options *options)
{
    bool is_direct = false;
    int err;

    *file = (struct noc_passwd_file){.fd = -1};
    err = resolve(file, options->path);
    return err == NOC_OK ? open_old(file, options, &is_direct) : err;
}

int noc_passwd_file_open(struct noc_passwd_file *file, const struct noc_passwd_options *options)
{
    bool is_direct = false;
    int err;

    *file = (struct noc_passwd_file){.fd = -1};
    err = resolve(file, options->path);
    if (err == NOC_OK) {
        err = open_old(file, options, &is_direct);
    }
    if (err < 0 || is_direct) {
        return err;
    }
    err = lock(file, options->wait_ms == 0 ? WAIT_MS : options->wait_ms);
    if (err == NOC_OK) {
        /* Again: what was there before the lock may have been replaced since. */
        err = open_old(file, options, &is_direct);
    }
    if (err == NOC_OK && !options->is_new) {
        err = read_old(file);
    }
    return err;
}

/* ---- replacing ---- */

static int write_all(struct noc_passwd_file *file, struct noc_slice text)
{
    for (size_t at = 0; at < text.n;) {
        ssize_t n = write(file->fd, text.at + at, text.n - at);

        if (n < 0 && errno != EINTR) {
            return fail(file, NOC_PASSWD_WRITE);
        }
        at += n > 0 ? (size_t)n : 0;
    }
    return NOC_OK;
}

/*
 * Who else may read it, by name: the broker's user, perhaps. Without such a list the new file
 * has none either, though its folder may have given it one, which its mode would bring to life.
 */
static int keep_acl(struct noc_passwd_file *file)
{
    char acl[ACL_MAX_BYTES];
    ssize_t n = getxattr(file->path, ACL_NAME, acl, sizeof acl);
    int outcome;

    if (n < 0 && errno != ENODATA && errno != ENOTSUP) {
        return fail(file, NOC_PASSWD_KEEP);
    }
    outcome =
        n < 0 ? fremovexattr(file->fd, ACL_NAME) : fsetxattr(file->fd, ACL_NAME, acl, (size_t)n, 0);
    return outcome == 0 || (n < 0 && (errno == ENODATA || errno == ENOTSUP))
               ? NOC_OK
               : fail(file, NOC_PASSWD_KEEP);
}

static int keep_rights(struct noc_passwd_file *file)
{
    struct stat status;
    int err;

    if (!file->exists) {
        return NOC_OK;
    }
    if (fstat(file->fd, &status) != 0) {
        return fail(file, NOC_PASSWD_KEEP);
    }
    if ((status.st_uid != file->status.st_uid || status.st_gid != file->status.st_gid) &&
        fchown(file->fd, file->status.st_uid, file->status.st_gid) != 0) {
        return fail(file, NOC_PASSWD_KEEP);
    }
    err = keep_acl(file);
    return err == NOC_OK && fchmod(file->fd, file->status.st_mode & 07777) != 0
               ? fail(file, NOC_PASSWD_KEEP)
               : err;
}

/* The new name is on the disk when this returns. Some file systems have nothing to do for that. */
static int sync_folder(struct noc_passwd_file *file)
{
    char *path = strdup(file->path);
    int fd, err = NOC_OK;

    if (path == NULL) {
        return fail(file, NOC_PASSWD_RENAME);
    }
    fd = open(dirname(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(path);
    if (fd < 0) {
        /* A folder that may be written but not read: nothing can be asked of it. */
        return errno == EACCES ? NOC_OK : fail(file, NOC_PASSWD_RENAME);
    }
    if (fsync(fd) != 0 && errno != EINVAL && errno != ENOTSUP) {
        err = fail(file, NOC_PASSWD_RENAME);
    }
    (void)close(fd);
    return err;
}

int noc_passwd_file_replace(struct noc_passwd_file *file, struct noc_slice text)
{
    int err = NOC_OK;

    if (file->new_path == NULL) {
        return write_all(file, text);
    }
    if (ftruncate(file->fd, 0) != 0) {
        err = fail(file, NOC_PASSWD_WRITE);
    }
    if (err == NOC_OK) {
        err = write_all(file, text);
    }
    if (err == NOC_OK) {
        err = keep_rights(file);
    }
    if (err == NOC_OK && fsync(file->fd) != 0) {
        err = fail(file, NOC_PASSWD_WRITE);
    }
    if (err == NOC_OK && rename(file->new_path, file->path) != 0) {
        err = fail(file, NOC_PASSWD_RENAME);
    }
    if (err < 0) {
        return err;
    }
    file->is_renamed = true;
    return sync_folder(file);
}

void noc_passwd_file_done(struct noc_passwd_file *file)
{
    /* fd < 0: the lock is not ours, so neither is what bears the name. */
    if (file->fd >= 0) {
        if (file->new_path != NULL && !file->is_renamed) {
            (void)unlink(file->new_path);
        }
        (void)close(file->fd);
    }
    noc_text_file_free(file->text);
    free(file->path);
    free(file->new_path);
    *file = (struct noc_passwd_file){.fd = -1};
}

/* ---- explaining ---- */

static const char *remedy_of(const struct noc_passwd_file *file)
{
    switch (file->error) {
    case ENOENT:
        return file->step == NOC_PASSWD_OPEN ? " (-c makes a new file; its folder must be there)"
                                             : " (its folder must be there)";
    case EACCES:
    case EPERM:
        return file->step == NOC_PASSWD_KEEP ? " (run as root, or as the file's owner)"
                                             : " (the file and its folder must be writable)";
    case EROFS:
        return " (a mounted Secret: make the line with `noctule passwd hash`, and change the "
               "Secret)";
    case EBUSY:
        return " (it is a mount of its own: mount its folder in its place)";
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return " (the old file is untouched)";
    default:
        return "";
    }
}

void noc_passwd_file_explain(const struct noc_passwd_file *file, char *text, size_t size)
{
    static const char *const what[] = {
        [NOC_PASSWD_RESOLVE] = "cannot find",
        [NOC_PASSWD_OPEN] = "cannot open",
        [NOC_PASSWD_LOCK] = "cannot make and lock a new file beside",
        [NOC_PASSWD_READ] = "cannot read",
        [NOC_PASSWD_KEEP] = "cannot keep owner and mode of",
        [NOC_PASSWD_WRITE] = "cannot write a new",
        [NOC_PASSWD_RENAME] = "cannot replace",
    };
    const char *path = file->path == NULL ? "" : file->path;

    (void)snprintf(text, size, "%s '%s': %s%s", what[file->step], path,
        file->error == 0 ? file->reason : strerror(file->error), remedy_of(file));
}
