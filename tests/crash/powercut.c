/* SPDX-License-Identifier: Apache-2.0 */
/*
 * powercut.so, preloaded (LD_PRELOAD), records what a process does to the files
 * below POWERCUT_FOLDER, and what it sends on sockets, in the order in which it
 * happens, in the file POWERCUT_LOG. powercut.py builds from it what the folder
 * may be after a cut of the power.
 *
 * One lock makes an order of all: a file operation is done and recorded under
 * it, only a sync isn't, of which begin and end are records of their own. What
 * is sent is recorded before it goes out: who has an answer finds it in the log.
 *
 * A record: kind, three numbers of 8 bytes in the machine's order (see struct
 * record), lengths of two texts, the texts. Files are known by inode number.
 * Not seen: writes through a shared mapping (SQLite's -shm, which may be lost),
 * io_uring, copy_file_range, and stdio's own writes, which no symbol stands for.
 */
#define _GNU_SOURCE
#undef _FILE_OFFSET_BITS /* open shall be the symbol open, beside open64 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* The system's headers have reserved names for parameters. A parameter of a macro that declares stands alone. */
/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name, bugprone-macro-parentheses) */

#define EXPORT __attribute__((visibility("default")))

enum { WORDS_MAX = 1024 };

struct record {
    uint64_t kind;   /* one of the letters below */
    uint64_t file;   /* inode number, or descriptor of a socket */
    uint64_t at;     /* offset, size, or the number of a sync */
    uint64_t name_n; /* bytes of the name that follows */
    uint64_t data_n; /* bytes of the data after it */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static const char *folder; /* without a slash at its end; NULL: record nothing */
static size_t folder_n;
static int log_fd = -1;
static uint64_t syncs;

/* The next function of that name. A union, for ISO C converts no object pointer to one of a function. */
#define NEXT(result, name, ...)                       \
    static union {                                    \
        void *object;                                 \
        result (*function)(__VA_ARGS__);              \
    } next_##name;                                    \
    if (!next_##name.object) {                        \
        next_##name.object = dlsym(RTLD_NEXT, #name); \
    }

static void begin(void)
{
    NEXT(int, open, const char *, int, ...)
    const char *path = getenv("POWERCUT_LOG");
    const char *below = getenv("POWERCUT_FOLDER");
    if (!path || !below) {
        return;
    }
    log_fd = next_open.function(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    folder = log_fd >= 0 ? realpath(below, NULL) : NULL;
    folder_n = folder ? strlen(folder) : 0;
}

static bool is_recording(void)
{
    pthread_once(&once, begin);
    return folder != NULL;
}

/* The name below the folder, "" for the folder itself; NULL when it is elsewhere. */
static const char *name_below(const char *path)
{
    if (strncmp(path, folder, folder_n) != 0 || (path[folder_n] != '/' && path[folder_n] != '\0')) {
        return NULL;
    }
    return path[folder_n] ? path + folder_n + 1 : "";
}

/* The same of what a descriptor stands for. */
static const char *name_of_fd(int fd, char path[static PATH_MAX])
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, PATH_MAX - 1);
    if (n <= 0) {
        return NULL;
    }
    path[n] = '\0';
    return path[0] == '/' ? name_below(path) : NULL;
}

/* The same of a path, which need not exist: its folder must. */
static const char *name_of_path(int dir_fd, const char *path, char full[static PATH_MAX])
{
    char given[PATH_MAX];
    char dir[PATH_MAX];
    if (path[0] == '/' || dir_fd == AT_FDCWD) {
        snprintf(given, sizeof given, "%s", path);
    } else {
        int n = snprintf(given, sizeof given, "/proc/self/fd/%d/%s", dir_fd, path);
        if (n >= (int)sizeof given) {
            return NULL;
        }
    }
    char *slash = strrchr(given, '/');
    const char *last = slash ? slash + 1 : given;
    if (slash) {
        *slash = '\0';
    }
    if (!realpath(!slash ? "." : given[0] ? given : "/", dir)) {
        return NULL;
    }
    int n = snprintf(full, PATH_MAX, "%s/%s", strcmp(dir, "/") == 0 ? "" : dir, last);
    return n < PATH_MAX ? name_below(full) : NULL;
}

static void put(struct record *record, const char *name, const struct iovec *data, int count)
{
    NEXT(ssize_t, writev, int, const struct iovec *, int)
    struct iovec all[WORDS_MAX];
    record->name_n = strlen(name);
    all[0] = (struct iovec){record, sizeof *record};
    memcpy(&all[1].iov_base, &name, sizeof name);
    all[1].iov_len = record->name_n;
    int used = 2;
    uint64_t left = record->data_n;
    for (int i = 0; i < count && left > 0 && used < WORDS_MAX; i++) {
        all[used] = data[i];
        if (all[used].iov_len > left) {
            all[used].iov_len = left;
        }
        left -= all[used++].iov_len;
    }
    if (left > 0 || next_writev.function(log_fd, all, used) < 0) {
        abort(); /* A log with a hole proves nothing. */
    }
}

static void put_simple(char kind, uint64_t file, uint64_t at, const char *name)
{
    struct record record = {.kind = (unsigned char)kind, .file = file, .at = at};
    put(&record, name, NULL, 0);
}

static uint64_t inode(int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 ? status.st_ino : 0;
}

enum target { NOTHING, SOME_FILE, SOME_SOCKET };

static enum target what_is(int fd)
{
    struct stat status;
    char path[PATH_MAX];
    if (!is_recording() || fd == log_fd || fstat(fd, &status) != 0) {
        return NOTHING;
    }
    if (S_ISSOCK(status.st_mode)) {
        return SOME_SOCKET;
    }
    return S_ISREG(status.st_mode) && name_of_fd(fd, path) ? SOME_FILE : NOTHING;
}

/* Of a socket what it will send, before it does; what does not go out is here again when it is tried again. */
static void put_sent(int fd, const struct iovec *data, int count)
{
    struct record record = {.kind = 'A', .file = (uint64_t)fd};
    for (int i = 0; i < count; i++) {
        record.data_n += data[i].iov_len;
    }
    pthread_mutex_lock(&lock);
    put(&record, "", data, count);
    pthread_mutex_unlock(&lock);
}

static void put_written(int fd, off_t at, const struct iovec *data, int count, ssize_t n)
{
    int saved = errno;
    struct record record = {.kind = 'W', .file = inode(fd), .data_n = (uint64_t)n};
    record.at = (uint64_t)(at >= 0 ? at : lseek(fd, 0, SEEK_CUR) - n);
    put(&record, "", data, count);
    errno = saved;
}

/* CALL is a write of data to fd at an offset (-1: where the file stands). */
#define RECORDED_WRITE(fd, at, data, count, CALL) \
    do {                                          \
        enum target target = what_is(fd);         \
        if (target == NOTHING) {                  \
            return CALL;                          \
        }                                         \
        if (target == SOME_SOCKET) {              \
            put_sent(fd, data, count);            \
            return CALL;                          \
        }                                         \
        pthread_mutex_lock(&lock);                \
        ssize_t n_ = CALL;                        \
        if (n_ > 0) {                             \
            put_written(fd, at, data, count, n_); \
        }                                         \
        pthread_mutex_unlock(&lock);              \
        return n_;                                \
    } while (0)

static struct iovec one(const void *bytes, size_t n)
{
    struct iovec data = {NULL, n};
    memcpy(&data.iov_base, &bytes, sizeof bytes);
    return data;
}

EXPORT ssize_t write(int fd, const void *bytes, size_t n)
{
    NEXT(ssize_t, write, int, const void *, size_t)
    struct iovec data = one(bytes, n);
    RECORDED_WRITE(fd, -1, &data, 1, next_write.function(fd, bytes, n));
}

EXPORT ssize_t writev(int fd, const struct iovec *data, int count)
{
    NEXT(ssize_t, writev, int, const struct iovec *, int)
    RECORDED_WRITE(fd, -1, data, count, next_writev.function(fd, data, count));
}

EXPORT ssize_t pwrite(int fd, const void *bytes, size_t n, off_t at)
{
    NEXT(ssize_t, pwrite, int, const void *, size_t, off_t)
    struct iovec data = one(bytes, n);
    RECORDED_WRITE(fd, at, &data, 1, next_pwrite.function(fd, bytes, n, at));
}

EXPORT ssize_t pwritev(int fd, const struct iovec *data, int count, off_t at)
{
    NEXT(ssize_t, pwritev, int, const struct iovec *, int, off_t)
    RECORDED_WRITE(fd, at, data, count, next_pwritev.function(fd, data, count, at));
}

EXPORT ssize_t send(int fd, const void *bytes, size_t n, int flags)
{
    NEXT(ssize_t, send, int, const void *, size_t, int)
    struct iovec data = one(bytes, n);
    RECORDED_WRITE(fd, -1, &data, 1, next_send.function(fd, bytes, n, flags));
}

EXPORT ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    NEXT(ssize_t, sendmsg, int, const struct msghdr *, int)
    RECORDED_WRITE(fd, -1, message->msg_iov, (int)message->msg_iovlen,
        next_sendmsg.function(fd, message, flags));
}

/* CALL sets the size of fd's file; fallocate() may only make it larger. */
#define RECORDED_SIZE(fd, size, CALL)                         \
    do {                                                      \
        if (what_is(fd) != SOME_FILE) {                       \
            return CALL;                                      \
        }                                                     \
        pthread_mutex_lock(&lock);                            \
        int result_ = CALL;                                   \
        if (result_ == 0) {                                   \
            put_simple('T', inode(fd), (uint64_t)(size), ""); \
        }                                                     \
        pthread_mutex_unlock(&lock);                          \
        return result_;                                       \
    } while (0)

static off_t at_least(int fd, off_t size)
{
    struct stat status;
    return fstat(fd, &status) == 0 && status.st_size > size ? status.st_size : size;
}

EXPORT int ftruncate(int fd, off_t size)
{
    NEXT(int, ftruncate, int, off_t)
    RECORDED_SIZE(fd, size, next_ftruncate.function(fd, size));
}

EXPORT int fallocate(int fd, int mode, off_t at, off_t n)
{
    NEXT(int, fallocate, int, int, off_t, off_t)
    RECORDED_SIZE(fd, mode ? at_least(fd, 0) : at_least(fd, at + n),
        next_fallocate.function(fd, mode, at, n));
}

EXPORT int posix_fallocate(int fd, off_t at, off_t n)
{
    NEXT(int, posix_fallocate, int, off_t, off_t)
    RECORDED_SIZE(fd, at_least(fd, at + n), next_posix_fallocate.function(fd, at, n));
}

/* What was written before the begin of a sync is safe from its end on. Folders are synced, too. */
#define RECORDED_SYNC(fd, CALL)                                            \
    do {                                                                   \
        char path_[PATH_MAX];                                              \
        const char *name_ = is_recording() ? name_of_fd(fd, path_) : NULL; \
        if (!name_) {                                                      \
            return CALL;                                                   \
        }                                                                  \
        pthread_mutex_lock(&lock);                                         \
        uint64_t number_ = ++syncs;                                        \
        put_simple('B', inode(fd), number_, name_);                        \
        pthread_mutex_unlock(&lock);                                       \
        int result_ = CALL;                                                \
        if (result_ == 0) {                                                \
            pthread_mutex_lock(&lock);                                     \
            put_simple('E', inode(fd), number_, name_);                    \
            pthread_mutex_unlock(&lock);                                   \
        }                                                                  \
        return result_;                                                    \
    } while (0)

EXPORT int fsync(int fd)
{
    NEXT(int, fsync, int)
    RECORDED_SYNC(fd, next_fsync.function(fd));
}

EXPORT int fdatasync(int fd)
{
    NEXT(int, fdatasync, int)
    RECORDED_SYNC(fd, next_fdatasync.function(fd));
}

static int open_recorded(int dir_fd, const char *path, int flags, mode_t mode)
{
    NEXT(int, openat, int, const char *, int, ...)
    char full[PATH_MAX];
    char resolved[PATH_MAX];
    struct stat status;
    if (!is_recording() || !(flags & (O_CREAT | O_TRUNC)) || !name_of_path(dir_fd, path, full)) {
        return next_openat.function(dir_fd, path, flags, mode);
    }
    pthread_mutex_lock(&lock);
    bool is_new = fstatat(dir_fd, path, &status, 0) != 0;
    int fd = next_openat.function(dir_fd, path, flags, mode);
    int saved = errno;
    const char *name = fd >= 0 ? name_of_fd(fd, resolved) : NULL;
    if (name && is_new) {
        put_simple('C', inode(fd), 0, name);
    } else if (name && (flags & O_TRUNC)) {
        put_simple('T', inode(fd), 0, "");
    }
    pthread_mutex_unlock(&lock);
    errno = saved;
    return fd;
}

/* The mode is there only with O_CREAT. */
#define TAKE_MODE(mode, flags)             \
    mode_t mode = 0;                       \
    if ((flags) & (O_CREAT | O_TMPFILE)) { \
        va_list rest_;                     \
        va_start(rest_, flags);            \
        mode = va_arg(rest_, mode_t);      \
        va_end(rest_);                     \
    }

EXPORT int open(const char *path, int flags, ...)
{
    TAKE_MODE(mode, flags)
    return open_recorded(AT_FDCWD, path, flags, mode);
}

EXPORT int openat(int dir_fd, const char *path, int flags, ...)
{
    TAKE_MODE(mode, flags)
    return open_recorded(dir_fd, path, flags, mode);
}

/* CALL changes names; both are taken before it, for then they are there. */
#define RECORDED_NAMES(kind, dir1, path1, dir2, path2, CALL)  \
    do {                                                      \
        char full1_[PATH_MAX];                                \
        char full2_[PATH_MAX];                                \
        if (!is_recording()) {                                \
            return CALL;                                      \
        }                                                     \
        const char *old_ = name_of_path(dir1, path1, full1_); \
        const char *new_ = name_of_path(dir2, path2, full2_); \
        if (!old_ || !new_) {                                 \
            return CALL;                                      \
        }                                                     \
        pthread_mutex_lock(&lock);                            \
        int result_ = CALL;                                   \
        if (result_ == 0) {                                   \
            put_names(kind, old_, new_);                      \
        }                                                     \
        pthread_mutex_unlock(&lock);                          \
        return result_;                                       \
    } while (0)

static void put_names(char kind, const char *old, const char *new)
{
    struct record record = {.kind = (unsigned char)kind, .data_n = strlen(new)};
    struct iovec data = one(new, strlen(new));
    put(&record, old, &data, 1);
}

EXPORT int rename(const char *old, const char *new)
{
    NEXT(int, rename, const char *, const char *)
    RECORDED_NAMES('R', AT_FDCWD, old, AT_FDCWD, new, next_rename.function(old, new));
}

EXPORT int renameat(int dir1, const char *old, int dir2, const char *new)
{
    NEXT(int, renameat, int, const char *, int, const char *)
    RECORDED_NAMES('R', dir1, old, dir2, new, next_renameat.function(dir1, old, dir2, new));
}

EXPORT int link(const char *old, const char *new)
{
    NEXT(int, link, const char *, const char *)
    RECORDED_NAMES('L', AT_FDCWD, old, AT_FDCWD, new, next_link.function(old, new));
}

EXPORT int unlink(const char *path)
{
    NEXT(int, unlink, const char *)
    RECORDED_NAMES('U', AT_FDCWD, path, AT_FDCWD, path, next_unlink.function(path));
}

EXPORT int unlinkat(int dir, const char *path, int flags)
{
    NEXT(int, unlinkat, int, const char *, int)
    RECORDED_NAMES('U', dir, path, dir, path, next_unlinkat.function(dir, path, flags));
}

EXPORT int remove(const char *path)
{
    NEXT(int, remove, const char *)
    RECORDED_NAMES('U', AT_FDCWD, path, AT_FDCWD, path, next_remove.function(path));
}

EXPORT int rmdir(const char *path)
{
    NEXT(int, rmdir, const char *)
    RECORDED_NAMES('U', AT_FDCWD, path, AT_FDCWD, path, next_rmdir.function(path));
}

EXPORT int mkdir(const char *path, mode_t mode)
{
    NEXT(int, mkdir, const char *, mode_t)
    RECORDED_NAMES('D', AT_FDCWD, path, AT_FDCWD, path, next_mkdir.function(path, mode));
}

/* The names with 64 are the same functions here: sizes and offsets have 64 bits. */
_Static_assert(sizeof(off_t) == 8, "offsets have 64 bits");
#define ALIAS(name, of) EXPORT __typeof__(of) name __attribute__((alias(#of)))
ALIAS(open64, open);
ALIAS(openat64, openat);
ALIAS(pwrite64, pwrite);
ALIAS(pwritev64, pwritev);
ALIAS(ftruncate64, ftruncate);
ALIAS(fallocate64, fallocate);
ALIAS(posix_fallocate64, posix_fallocate);

/* What gcc makes of open() with two arguments when it fortifies. */
int __open_2(const char *path, int flags);
EXPORT int __open_2(const char *path, int flags)
{
    return open_recorded(AT_FDCWD, path, flags, 0);
}
ALIAS(__open64_2, __open_2);
/* NOLINTEND(readability-inconsistent-declaration-parameter-name, bugprone-macro-parentheses) */
