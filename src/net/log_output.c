/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "net/log_output.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "net/clock.h"
#include <noctule/error.h>

enum {
    RETRY_MS = 1000,     /* between two tries to open a file */
    CHECK_MS = 1000,     /* between two looks whether it was deleted */
    PATIENCE_MS = 1000,  /* for a reader of our stdout or stderr that has stopped reading */
    PIPE_PORTION = 4096, /* what a pipe that polls as writable takes without waiting (PIPE_BUF) */
};

static size_t count_lines(const char *bytes, size_t n)
{
    size_t count = 0;

    for (size_t i = 0; i < n; i++) {
        count += bytes[i] == '\n';
    }
    return count;
}

/*
 * Write to stdout or stderr, often a pipe whose reader may hang: wait for it a
 * second at most, so that the log, and our end, don't hang with it. Returns the bytes
 * written.
 */
static size_t write_stream(int fd, const char *bytes, size_t n)
{
    size_t done = 0;

    while (done < n) {
        struct pollfd wait = {.fd = fd, .events = POLLOUT};
        size_t portion = n - done < PIPE_PORTION ? n - done : PIPE_PORTION;
        int ready = poll(&wait, 1, PATIENCE_MS);
        ssize_t written;

        if (ready < 0 && errno == EINTR) {
            continue;
        }
        if (ready <= 0) {
            break;
        }
        written = write(fd, bytes + done, portion);
        if (written < 0 && errno != EINTR && errno != EAGAIN) {
            break;
        }
        done += written > 0 ? (size_t)written : 0;
    }
    return done;
}

/* Say on stderr, once per trouble, that the file fails; number is errno. */
static void tell(struct noc_log_file *file, const char *what, int number)
{
    char path[512];
    char line[NOC_LOG_LINE_MAX];
    int n;

    if (file->is_told) {
        return;
    }
    file->is_told = true;
    path[noc_log_escape(noc_slice_of(file->path), path, sizeof(path) - 1)] = '\0';
    n = snprintf(line, sizeof(line), "Error: Unable to %s log file '%s': %s.\n", what, path,
        strerror(number));
    if (n > 0) {
        (void)write_stream(
            STDERR_FILENO, line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line));
    }
}

/* /dev/stdout and /dev/stderr are symbolic links, and to what can't always be opened again. */
static int open_path(const struct noc_log_file *file)
{
    int flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY;

    if (strcmp(file->path, "/dev/stdout") == 0) {
        return fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    }
    if (strcmp(file->path, "/dev/stderr") == 0) {
        return fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    }
    return open(file->path, file->follow_symlinks ? flags : flags | O_NOFOLLOW, 0600);
}

/* Returns 0 or errno. */
static int file_open(struct noc_log_file *file)
{
    struct stat status;
    int number;

    file->fd = open_path(file);
    if (file->fd < 0) {
        number = errno;
        file->retry_ms = noc_clock_ms() + RETRY_MS;
        tell(file, "open", number);
        return number;
    }
    file->checked_ms = noc_clock_ms();
    /* Made as root before root is given up, it must stay ours to reopen afterwards. */
    if (file->has_owner && geteuid() == 0 && fstat(file->fd, &status) == 0 &&
        S_ISREG(status.st_mode) && status.st_uid != file->owner &&
        fchown(file->fd, file->owner, file->group) < 0) {
        tell(file, "give away", errno);
    }
    return 0;
}

static void file_close(struct noc_log_file *file)
{
    if (file->fd >= 0) {
        (void)close(file->fd);
        file->fd = -1;
    }
}

/* Deleted under us (with its folder, perhaps): what we write would be seen by nobody. */
static bool is_deleted(struct noc_log_file *file)
{
    uint64_t now = noc_clock_ms();
    struct stat status;

    if (now - file->checked_ms < CHECK_MS) {
        return false;
    }
    file->checked_ms = now;
    return fstat(file->fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_nlink == 0;
}

static bool file_is_ready(struct noc_log_file *file)
{
    if (file->fd >= 0 && is_deleted(file)) {
        file_close(file);
        file->is_mid_line = false;
        file->retry_ms = 0;
    }
    if (file->fd >= 0) {
        return true;
    }
    return noc_clock_ms() >= file->retry_ms && file_open(file) == 0;
}

/* Returns errno, or 0 when all was written; *done counts the bytes in any case. */
static int file_write_all(struct noc_log_file *file, const char *bytes, size_t n, size_t *done)
{
    /* A line that was cut off by a full disk is ended before the next. */
    if (file->is_mid_line) {
        if (write(file->fd, "\n", 1) != 1) {
            return errno == 0 ? ENOSPC : errno;
        }
        file->is_mid_line = false;
    }
    while (*done < n) {
        ssize_t written = write(file->fd, bytes + *done, n - *done);

        if (written > 0) {
            *done += (size_t)written;
            file->is_mid_line = bytes[*done - 1] != '\n';
        } else if (written == 0 || errno != EINTR) {
            return written == 0 ? ENOSPC : errno;
        }
    }
    return 0;
}

/* Returns the lines lost. */
static size_t file_write(struct noc_log_file *file, const char *bytes, size_t n)
{
    size_t done = 0;
    int number;

    if (!file_is_ready(file)) {
        return count_lines(bytes, n);
    }
    number = file_write_all(file, bytes, n, &done);
    if (number == 0) {
        file->is_told = false;
        return 0;
    }
    tell(file, "write to", number);
    file_close(file);
    file->retry_ms = noc_clock_ms() + RETRY_MS;
    return count_lines(bytes + done, n - done);
}

int noc_log_output_new(
    const struct noc_log_options *options, struct noc_log_output **ret_output, int *ret_file_err)
{
    struct noc_log_output *output;
    int file_err = 0;
    int err;

    if ((options->destinations & NOC_LOG_TO_FILE) != 0 && options->file == NULL) {
        return NOC_EINVAL;
    }
    output = calloc(1, sizeof(*output));
    if (output == NULL) {
        return NOC_ENOMEM;
    }
    output->file.fd = -1;
    output->levels = options->levels == 0 ? NOC_LOG_DEFAULT : options->levels;
    output->destinations = options->destinations == 0 ? NOC_LOG_TO_STDERR : options->destinations;
    output->topic = options->topic;
    output->topic_context = options->topic_context;
    output->syslog_facility = options->syslog_facility == 0 ? LOG_DAEMON : options->syslog_facility;
    err = noc_log_stamp_init(&output->stamp, options->no_timestamp, options->timestamp_format);
    if (err != NOC_OK) {
        goto free_output;
    }
    err = NOC_ENOMEM;
    output->syslog_ident =
        strdup(options->syslog_ident == NULL ? "mosquitto" : options->syslog_ident);
    if (output->syslog_ident == NULL) {
        goto free_output;
    }
    if ((output->destinations & NOC_LOG_TO_FILE) != 0) {
        output->file.path = strdup(options->file);
        if (output->file.path == NULL) {
            goto free_output;
        }
        output->file.follow_symlinks = options->follow_symlinks;
        output->file.has_owner = options->has_owner;
        output->file.owner = options->owner;
        output->file.group = options->group;
        file_err = file_open(&output->file);
    }
    if (ret_file_err != NULL) {
        *ret_file_err = file_err;
    }
    *ret_output = output;
    return NOC_OK;

free_output:
    noc_log_output_free(output);
    return err;
}

void noc_log_output_free(struct noc_log_output *output)
{
    if (output == NULL) {
        return;
    }
    file_close(&output->file);
    free(output->file.path);
    free(output->syslog_ident);
    free(output);
}

size_t noc_log_output_flush(struct noc_log_output *output)
{
    size_t n = output->batch_n;
    size_t done;
    size_t lost = 0;

    output->batch_n = 0;
    if (n == 0) {
        return 0;
    }
    if ((output->destinations & NOC_LOG_TO_STDERR) != 0) {
        done = write_stream(STDERR_FILENO, output->batch, n);
        lost += count_lines(output->batch + done, n - done);
    }
    if ((output->destinations & NOC_LOG_TO_STDOUT) != 0) {
        done = write_stream(STDOUT_FILENO, output->batch, n);
        lost += count_lines(output->batch + done, n - done);
    }
    if (output->file.path != NULL) {
        lost += file_write(&output->file, output->batch, n);
    }
    return lost;
}

static int syslog_priority(unsigned level)
{
    switch (level) {
    case NOC_LOG_ERROR:
        return LOG_ERR;
    case NOC_LOG_WARNING:
        return LOG_WARNING;
    case NOC_LOG_NOTICE:
    case NOC_LOG_SUBSCRIBE:
    case NOC_LOG_UNSUBSCRIBE:
        return LOG_NOTICE;
    case NOC_LOG_INFORMATION:
        return LOG_INFO;
    default:
        return LOG_DEBUG;
    }
}

size_t noc_log_output_line(
    struct noc_log_output *output, unsigned level, int64_t wall_ms, struct noc_slice text)
{
    const unsigned streams = NOC_LOG_TO_STDERR | NOC_LOG_TO_STDOUT | NOC_LOG_TO_FILE;
    struct noc_slice stamp = noc_log_stamp_text(&output->stamp, wall_ms);
    size_t lost = 0;
    char *line;

    if (sizeof(output->batch) - output->batch_n < NOC_LOG_LINE_MAX) {
        lost = noc_log_output_flush(output);
    }
    text.n = noc_log_cut(text, NOC_LOG_LINE_MAX - 1 - stamp.n);
    line = output->batch + output->batch_n;
    memcpy(line, stamp.at, stamp.n);
    memcpy(line + stamp.n, text.at, text.n);
    line[stamp.n + text.n] = '\n';
    if ((output->destinations & NOC_LOG_TO_SYSLOG) != 0) {
        syslog(syslog_priority(level), "%.*s", NOC_SLICE_ARG(text));
    }
    if ((output->destinations & NOC_LOG_TO_TOPIC) != 0 && output->topic != NULL) {
        output->topic(output->topic_context, level, noc_slice(line, stamp.n + text.n),
            noc_slice(line + stamp.n, text.n));
    }
    if ((output->destinations & streams) != 0) {
        output->batch_n += stamp.n + text.n + 1;
    }
    return lost;
}

void noc_log_output_reopen(struct noc_log_output *output)
{
    if (output->file.path != NULL) {
        file_close(&output->file);
        output->file.is_mid_line = false;
        (void)file_open(&output->file);
    }
}

bool noc_log_output_is_whole(const struct noc_log_output *output)
{
    return output->file.path == NULL || output->file.fd >= 0;
}

void noc_log_output_enter(const struct noc_log_output *output)
{
    if ((output->destinations & NOC_LOG_TO_SYSLOG) != 0) {
        openlog(output->syslog_ident, LOG_PID, output->syslog_facility);
    }
}
