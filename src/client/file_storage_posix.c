/* SPDX-License-Identifier: Apache-2.0 */
/* Storage for an outbox in a file: its two regions one behind the other. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <noctule/outbox.h>

enum { FILE_REGION_MIN = 256, PIECE = 4096 };

static off_t place(const struct noc_file_storage *file, unsigned region, uint32_t at)
{
    return (off_t)region * file->storage.region_bytes + at;
}

static int file_read(void *context, unsigned region, uint32_t at, void *into, size_t n)
{
    const struct noc_file_storage *file = context;
    off_t from = place(file, region, at);
    uint8_t *to = into;

    while (n > 0) {
        ssize_t got = pread(file->file, to, n, from);

        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return NOC_EIO;
        }
        to += got;
        from += got;
        n -= (size_t)got;
    }
    return NOC_OK;
}

static int file_write(void *context, unsigned region, uint32_t at, const void *bytes, size_t n)
{
    const struct noc_file_storage *file = context;
    off_t to = place(file, region, at);
    const uint8_t *from = bytes;

    while (n > 0) {
        ssize_t put = pwrite(file->file, from, n, to);

        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put <= 0) {
            return NOC_EIO;
        }
        from += put;
        to += put;
        n -= (size_t)put;
    }
    return NOC_OK;
}

static int file_sync(void *context, unsigned region)
{
    const struct noc_file_storage *file = context;

    (void)region;
    return fdatasync(file->file) == 0 ? NOC_OK : NOC_EIO;
}

static int file_erase(void *context, unsigned region)
{
    const struct noc_file_storage *file = context;
    uint8_t bytes[PIECE];

    memset(bytes, 0xff, sizeof bytes);
    for (uint32_t at = 0; at < file->storage.region_bytes; at += PIECE) {
        uint32_t n = file->storage.region_bytes - at;
        int err = file_write(context, region, at, bytes, n < PIECE ? n : PIECE);

        if (err != NOC_OK) {
            return err;
        }
    }
    return file_sync(context, region);
}

/* A new file's name stands in its folder, and outlasts a power cut once that is written. */
static int sync_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char folder[PATH_MAX] = ".";
    size_t n = slash == NULL ? 0 : (size_t)(slash - path) + 1;
    int fd, err;

    if (n >= sizeof folder) {
        errno = ENAMETOOLONG;
        return NOC_EIO;
    }
    if (n > 0) {
        memcpy(folder, path, n);
        folder[n] = '\0';
    }
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return errno == EACCES ? NOC_OK : NOC_EIO; /* one may write there, and not look */
    }
    err = fsync(fd) == 0 || errno == EINVAL ? NOC_OK : NOC_EIO; /* EINVAL: no such thing there */
    close(fd);
    return err;
}

/* Lock it, and see to its size: what has none is new. */
static int prepare(const struct noc_file_storage *file, const char *path)
{
    off_t size = 2 * (off_t)file->storage.region_bytes;
    struct stat info;

    if (flock(file->file, LOCK_EX | LOCK_NB) != 0) {
        return errno == EWOULDBLOCK ? NOC_EEXIST : NOC_EIO;
    }
    if (fstat(file->file, &info) != 0) {
        return NOC_EIO;
    }
    if (info.st_size == 0 && (sync_folder(path) != NOC_OK || ftruncate(file->file, size) != 0)) {
        return NOC_EIO;
    }
    return info.st_size == 0 || info.st_size == size ? NOC_OK : NOC_EINVAL;
}

int noc_file_storage_open(struct noc_file_storage *file, const char *path, uint32_t region_bytes)
{
    int err;

    if (region_bytes < FILE_REGION_MIN || region_bytes > INT32_MAX || region_bytes % 4 != 0) {
        return NOC_EINVAL;
    }
    *file = (struct noc_file_storage){
        .storage =
            {
                .read = file_read,
                .write = file_write,
                .sync = file_sync,
                .erase = file_erase,
                .context = file,
                .region_bytes = region_bytes,
            },
        .file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600),
    };
    if (file->file < 0) {
        return NOC_EIO;
    }
    err = prepare(file, path);
    if (err != NOC_OK) {
        noc_file_storage_close(file);
    }
    return err;
}

void noc_file_storage_close(struct noc_file_storage *file)
{
    int reason = errno;

    if (file->file >= 0) {
        close(file->file);
        file->file = -1;
    }
    errno = reason;
}
