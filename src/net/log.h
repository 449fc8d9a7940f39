/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_NET_LOG_H
#define NOC_NET_LOG_H
/*
 * The log. Any thread formats its line and puts it into a bounded queue
 * without ever waiting; one writer thread writes. A line that finds the queue
 * full is dropped and counted, and "N log lines dropped" follows when there is
 * room. Between open and start, and after stop, lines are written by the
 * caller's own thread at once (start of the program, tests, tools).
 *
 *     noc_log() ... noc_log()      any thread: level mask, format, copy
 *            \         /
 *          queue (bytes, bounded)
 *                 |
 *            writer thread ------> stderr, stdout, file, syslog, topic
 *
 * A line is "<time>: <text>", at most 1000 bytes with the newline. Control characters in the text
 * (and Unicode's line separators) are escaped, as \n or \x1b, so that no client id
 * can forge a line; a tab is kept.
 */

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/log_level.h"
#include "base/macros.h"
#include <noctule/slice.h>

/* Where lines go, or'ed. */
enum noc_log_destination {
    NOC_LOG_TO_STDERR = 1 << 0,
    NOC_LOG_TO_STDOUT = 1 << 1,
    NOC_LOG_TO_FILE = 1 << 2,
    NOC_LOG_TO_SYSLOG = 1 << 3,
    NOC_LOG_TO_TOPIC = 1 << 4,
    NOC_LOG_TO_NOWHERE = 1 << 5, /* as the only bit: explicitly none */
};

enum { NOC_LOG_LINE_MAX = 1000 };

/*
 * The destination "topic": called on the writer thread (or the caller's, before
 * start) with the line as written, without newline, and the text in it without
 * the time. Both are borrowed for the call. It must not wait.
 * Lines that it logs itself come back to it later: let none be caused by one. (Before start
 * they are dropped.)
 */
typedef void (*noc_log_topic)(
    void *context, unsigned level, struct noc_slice line, struct noc_slice text);

/* Strings are copied. Zero means default. */
struct noc_log_options {
    unsigned levels;              /* noc_log_level; 0: NOC_LOG_DEFAULT */
    unsigned destinations;        /* noc_log_destination; 0: stderr */
    const char *file;             /* path, with NOC_LOG_TO_FILE; /dev/stdout and /dev/stderr work */
    bool follow_symlinks;         /* else a file that is a symbolic link is refused */
    bool has_owner;               /* give a file that we create as root to: */
    uid_t owner;                  /* this user */
    gid_t group;                  /* and this group */
    int syslog_facility;          /* LOG_DAEMON, LOG_LOCAL0, ...; 0: LOG_DAEMON */
    const char *syslog_ident;     /* NULL: "mosquitto" */
    bool no_timestamp;            /* the text alone */
    const char *timestamp_format; /* strftime, local time; NULL: unix seconds */
    size_t queue_bytes;           /* 0: 512 KiB; rounded up to a power of two */
    noc_log_topic topic;
    void *topic_context;
};

struct noc_log_writer;

struct noc_log {
    atomic_uint levels; /* any thread, through noc_log_wants() */
    struct noc_log_writer *writer;
};

/*
 * A log without a thread yet. A file that can't be opened is not an error that
 * stops the log (it is tried again later); it is told on stderr, and
 * *ret_file_err, if not NULL, is set to 0 or errno. Returns 0, NOC_ENOMEM or NOC_EINVAL.
 */
NOC_MUST_CHECK int noc_log_open(
    const struct noc_log_options *options, struct noc_log **ret_log, int *ret_file_err);

/* Start the writer thread (all signals blocked in it; after any fork). Returns 0 or NOC_ENOMEM. */
NOC_MUST_CHECK int noc_log_start(struct noc_log *log);

/* Write out all that is queued and end the thread; lines are written directly again. */
void noc_log_stop(struct noc_log *log);

/* Stop, and free. No other thread may use the log any more. NULL is fine. */
void noc_log_close(struct noc_log *log);

/* Change everything but queue_bytes, on a reload. Results as open; on failure nothing changed. */
NOC_MUST_CHECK int noc_log_configure_mt(
    struct noc_log *log, const struct noc_log_options *options, int *ret_file_err);

/* Change the mask alone. */
void noc_log_set_levels_mt(struct noc_log *log, unsigned levels);

/* Close and open the file anew, for log rotation; done by the writer before its next line. */
void noc_log_reopen_mt(struct noc_log *log);

/* Lines lost so far, for $SYS and metrics. */
uint64_t noc_log_dropped_mt(const struct noc_log *log);

/* Would a line of this level go anywhere? Ask before costly arguments are made. NULL: no. */
static inline bool noc_log_wants(const struct noc_log *log, unsigned level)
{
    return log != NULL && (atomic_load_explicit(&log->levels, memory_order_relaxed) & level) != 0;
}

/* Log a line. Never waits once the log is started. Any thread; errno is kept. */
void noc_log(struct noc_log *log, unsigned level, const char *format, ...) NOC_PRINTF(3, 4);
void noc_log_v(struct noc_log *log, unsigned level, const char *format, va_list args)
    NOC_PRINTF(3, 0);

#endif
