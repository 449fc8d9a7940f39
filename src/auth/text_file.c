/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "auth/text_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <linux/magic.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <noctule/error.h>

enum { FIRST_BYTES = 4096 };

static int error_of(int number)
{
    switch (number) {
    case ENOENT:
    case ENOTDIR:
        return NOC_ENOENT;
    case EACCES:
    case EPERM:
    case ELOOP:
        return NOC_EDENIED;
    case ENOMEM:
        return NOC_ENOMEM;
    default:
        return NOC_EIO;
    }
}

static int fail_errno(struct noc_report *report, const char *path, const char *what)
{
    int number = errno;
    char text[128];

    /* The GNU form: it may answer with a static text instead of filling ours. */
    noc_report_fail(report, path, 0, "cannot %s: %s", what, strerror_r(number, text, sizeof text));
    return error_of(number);
}

/* --- who else may write it ---------------------------------------------- */

/* May others replace what lies in the folder of the file that path leads to? */
static bool folder_is_open(const char *path)
{
    struct stat status;
    char real[PATH_MAX];

    return realpath(path, real) != NULL && stat(dirname(real), &status) == 0 &&
           (status.st_mode & S_IWOTH) != 0 && (status.st_mode & S_ISVTX) == 0;
}

/* A file on a tmpfs was put there for this process: a mounted Secret, /run. */
static bool is_in_memory(int descriptor)
{
    struct statfs status;

    return fstatfs(descriptor, &status) == 0 &&
           (status.f_type == TMPFS_MAGIC || status.f_type == RAMFS_MAGIC);
}

static int judge_modes(const char *path, int descriptor, mode_t mode,
    const struct noc_text_file_options *options, struct noc_report *report)
{
    const char *finding = NULL;

    if (!S_ISREG(mode)) {
        return NOC_OK;
    }
    if ((mode & S_IWOTH) != 0) {
        finding = "others may write this file (remedy: chmod o-w)";
    } else if (folder_is_open(path)) {
        finding = "others may replace this file: its folder is writable by all (remedy: "
                  "chmod o-w the folder)";
    }
    if (finding != NULL && options->refuse_foreign_write) {
        noc_report_fail(report, path, 0, "%s", finding);
        return NOC_EDENIED;
    }
    if (finding != NULL) {
        noc_report_warn(report, path, 0, "%s", finding);
    }
    if (options->is_secret && (mode & S_IROTH) != 0 && !is_in_memory(descriptor)) {
        noc_report_warn(report, path, 0,
            "others may read this file (remedy: give it to the broker's group, then chmod o-r)");
    }
    return NOC_OK;
}

/* --- reading ------------------------------------------------------------ */

/* realloc() that leaves no copy of a secret behind. */
static char *grow(char *bytes, size_t n, size_t capacity)
{
    char *more = malloc(capacity);

    if (more != NULL && n > 0) {
        memcpy(more, bytes, n);
    }
    if (more != NULL) {
        noc_text_file_free(noc_slice(bytes, n));
    }
    return more;
}

/* Up to the end, whatever size was announced: the file may be growing, or a device. */
static int read_all(int descriptor, const char *path, size_t max, size_t expected,
    struct noc_report *report, struct noc_slice *ret_text)
{
    size_t n = 0, capacity = expected < max ? expected + 1 : max + 1;
    char *bytes = malloc(capacity);
    int err = NOC_ENOMEM;

    while (bytes != NULL) {
        ssize_t got;

        if (n == capacity) {
            char *more = grow(bytes, n, capacity > max / 2 ? max + 1 : 2 * capacity);

            if (more == NULL) {
                break;
            }
            bytes = more;
            capacity = capacity > max / 2 ? max + 1 : 2 * capacity;
        }
        got = read(descriptor, bytes + n, capacity - n);
        if (got == 0) {
            *ret_text = noc_slice(bytes, n);
            return NOC_OK;
        }
        if (got < 0 && errno != EINTR) {
            err = fail_errno(report, path, "read");
            break;
        }
        n += got > 0 ? (size_t)got : 0;
        if (n > max) {
            noc_report_fail(report, path, 0, "larger than %zu bytes", max);
            err = NOC_ETOOLARGE;
            break;
        }
    }
    if (err == NOC_ENOMEM) {
        noc_report_fail(report, path, 0, "out of memory");
    }
    noc_text_file_free(noc_slice(bytes, n));
    return err;
}

int noc_text_file_read(const char *path, const struct noc_text_file_options *options,
    struct noc_report *report, struct noc_slice *ret_text)
{
    size_t max = options->max_bytes == 0 ? NOC_TEXT_FILE_MAX_BYTES : options->max_bytes;
    struct stat status;
    size_t expected = FIRST_BYTES;
    /* Without waiting for a writer, should it be a pipe. */
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    int err;

    if (descriptor < 0) {
        return fail_errno(report, path, "open");
    }
    if (fstat(descriptor, &status) < 0) {
        err = fail_errno(report, path, "examine");
        goto close_file;
    }
    /* /dev/null is a fair way to say "empty". */
    if (!S_ISREG(status.st_mode) && !S_ISCHR(status.st_mode)) {
        noc_report_fail(report, path, 0,
            S_ISDIR(status.st_mode) ? "is a folder, not a file" : "is not a plain file");
        err = NOC_EINVAL;
        goto close_file;
    }
    err = judge_modes(path, descriptor, status.st_mode, options, report);
    if (err < 0) {
        goto close_file;
    }
    if (S_ISREG(status.st_mode) && status.st_size > 0) {
        expected = (uintmax_t)status.st_size < max ? (size_t)status.st_size : max;
    }
    err = read_all(descriptor, path, max, expected, report, ret_text);

close_file:
    close(descriptor);
    return err;
}

void noc_text_file_free(struct noc_slice text)
{
    /* The memory is ours, and was handed out as borrowed text only to be read. */
    void *bytes;

    memcpy(&bytes, &text.at, sizeof bytes);
    if (bytes != NULL) {
        OPENSSL_cleanse(bytes, text.n);
        free(bytes);
    }
}

/* --- lines -------------------------------------------------------------- */

static bool is_white(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static struct noc_slice trim_end(struct noc_slice text)
{
    while (text.n > 0 && is_white(text.at[text.n - 1])) {
        text.n--;
    }
    return text;
}

struct noc_slice noc_text_trim(struct noc_slice text)
{
    while (text.n > 0 && is_white(text.at[0])) {
        text = noc_slice(text.at + 1, text.n - 1);
    }
    return trim_end(text);
}

bool noc_text_is_utf16(struct noc_slice text)
{
    return noc_slice_has_prefix(text, noc_slice("\xff\xfe", 2)) ||
           noc_slice_has_prefix(text, noc_slice("\xfe\xff", 2));
}

void noc_text_lines_init(struct noc_text_lines *lines, struct noc_slice text)
{
    if (noc_slice_has_prefix(text, noc_slice("\xef\xbb\xbf", 3))) {
        text = noc_slice(text.at + 3, text.n - 3);
    }
    *lines = (struct noc_text_lines){.rest = text};
}

bool noc_text_lines_next(struct noc_text_lines *lines, struct noc_slice *ret_line)
{
    struct noc_slice rest = lines->rest;
    const char *end = rest.n == 0 ? NULL : memchr(rest.at, '\n', rest.n);
    size_t n = end == NULL ? rest.n : (size_t)(end - rest.at);

    if (rest.n == 0) {
        return false;
    }
    lines->number++;
    lines->has_ending = end != NULL;
    lines->rest = end == NULL ? noc_slice(NULL, 0) : noc_slice(end + 1, rest.n - n - 1);
    *ret_line = trim_end(noc_slice(rest.at, n));
    return true;
}
