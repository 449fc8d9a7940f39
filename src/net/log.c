/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
/*
 * The log's two halves meet in the queue.
 *
 * Producers format and escape on their own stack, reserve room, copy, and look
 * whether the writer sleeps; only who finds it asleep makes a system call (one
 * futex). After it was woken the writer naps a few milliseconds between two rounds
 * without announcing it, so that under load producers make none at all and lines
 * are written in batches; a round that found nothing ends in real sleep.
 *
 * The lock guards everything behind the queue, the consumer's end of it
 * included: whoever holds it may drain. That is the writer thread while there is one, else
 * the caller of noc_log(). Producers of a started log never touch it.
 */
#include "net/log.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

#include "net/clock.h"
#include "net/log_line.h"
#include "net/log_output.h"
#include "net/log_queue.h"
#include <noctule/error.h>

enum {
    QUEUE_BYTES = 512 * 1024,
    NAP_MS = 5,          /* between two rounds while lines come */
    LINES_PER_LOCK = 256 /* then the lock is free for a moment, for a reload */
};

/* What is queued before the text. */
struct record_head {
    int64_t wall_ms;
    uint32_t level;
};

struct noc_log_writer {
    struct noc_log_queue queue;
    sem_t bell;

    /* Any thread. */
    _Alignas(NOC_CACHE_LINE) atomic_bool is_asleep; /* the writer; who clears it rings */
    atomic_bool is_started;
    atomic_bool is_stopping;
    atomic_bool must_reopen;
    atomic_uint_fast64_t dropped;

    /* The owner of the log. */
    pthread_t thread;

    /* Under the lock. */
    pthread_mutex_t lock;
    struct noc_log_output *output;
    bool is_writing;       /* inside a line: the topic callback has come back to us */
    uint64_t dropped_told; /* of dropped, what has been written as a line */
};

static void lost(struct noc_log_writer *writer, size_t count)
{
    if (count > 0) {
        atomic_fetch_add_explicit(&writer->dropped, count, memory_order_relaxed);
    }
}

/* Nothing is wanted that would go nowhere. */
static void set_mask_locked(struct noc_log *log)
{
    const struct noc_log_output *output = log->writer->output;
    bool is_nowhere = output->destinations == NOC_LOG_TO_NOWHERE;

    atomic_store_explicit(
        &log->levels, is_nowhere ? 0 : output->levels & NOC_LOG_ALL, memory_order_relaxed);
}

static void write_line_locked(
    struct noc_log_writer *writer, unsigned level, int64_t wall_ms, struct noc_slice text)
{
    writer->is_writing = true;
    lost(writer, noc_log_output_line(writer->output, level, wall_ms, text));
    writer->is_writing = false;
}

/*
 * Tell of lines that were lost, when such a line itself has a chance. It counts as
 * told only once it is out; it is not itself counted when lost.
 */
static void tell_dropped_locked(struct noc_log_writer *writer)
{
    uint64_t dropped = atomic_load_explicit(&writer->dropped, memory_order_relaxed);
    char text[64];
    int n;

    if (dropped == writer->dropped_told || !noc_log_output_is_whole(writer->output)) {
        return;
    }
    n = snprintf(
        text, sizeof(text), "%" PRIu64 " log lines dropped", dropped - writer->dropped_told);
    write_line_locked(
        writer, NOC_LOG_WARNING, noc_clock_wall_ms(), noc_slice(text, n < 0 ? 0 : (size_t)n));
    if (noc_log_output_flush(writer->output) == 0) {
        writer->dropped_told = dropped;
    }
}

/* Flush what has gathered; afterwards tell of what was lost. */
static void flush_locked(struct noc_log_writer *writer)
{
    lost(writer, noc_log_output_flush(writer->output));
    tell_dropped_locked(writer);
}

/* Write up to max queued lines. Returns their number. */
static unsigned drain_locked(struct noc_log_writer *writer, unsigned max)
{
    char record[sizeof(struct record_head) + NOC_LOG_LINE_MAX];
    struct record_head head;
    unsigned count = 0;
    size_t n;

    while (count < max && (n = noc_log_queue_take(&writer->queue, record, sizeof(record))) > 0) {
        memcpy(&head, record, sizeof(head));
        write_line_locked(
            writer, head.level, head.wall_ms, noc_slice(record + sizeof(head), n - sizeof(head)));
        count++;
    }
    return count;
}

/* One portion of work: reopen, drain, flush. Returns the number of lines. */
static unsigned work(struct noc_log_writer *writer)
{
    unsigned count;

    (void)pthread_mutex_lock(&writer->lock);
    if (atomic_exchange(&writer->must_reopen, false)) {
        noc_log_output_reopen(writer->output);
    }
    count = drain_locked(writer, LINES_PER_LOCK);
    flush_locked(writer);
    (void)pthread_mutex_unlock(&writer->lock);
    return count;
}

/* Sleep until a producer, stop or reopen rings, unless there is something to do already. */
static void sleep_until_rung(struct noc_log_writer *writer)
{
    atomic_store(&writer->is_asleep, true);
    if (noc_log_queue_is_empty(&writer->queue) && !atomic_load(&writer->is_stopping) &&
        !atomic_load(&writer->must_reopen)) {
        while (sem_wait(&writer->bell) < 0 && errno == EINTR) {
        }
    }
    atomic_store(&writer->is_asleep, false);
}

static void ring(struct noc_log_writer *writer)
{
    if (atomic_load(&writer->is_asleep) && atomic_exchange(&writer->is_asleep, false)) {
        (void)sem_post(&writer->bell);
    }
}

static void *run(void *argument)
{
    const struct timespec nap = {.tv_nsec = NAP_MS * 1000000L};
    struct noc_log_writer *writer = argument;

    for (;;) {
        /* Asked before the work: what was queued before the stop is found by it. */
        bool is_stopping = atomic_load(&writer->is_stopping);
        unsigned count = work(writer);

        if (count == LINES_PER_LOCK) {
            continue;
        }
        if (is_stopping) {
            return NULL;
        }
        if (count > 0) {
            (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &nap, NULL);
        } else {
            sleep_until_rung(writer);
        }
    }
}

/* Recursive, because a topic callback may log before there is a thread to take the line. */
static int init_lock(pthread_mutex_t *lock)
{
    pthread_mutexattr_t attributes;
    int code;

    if (pthread_mutexattr_init(&attributes) != 0) {
        return NOC_ENOMEM;
    }
    (void)pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
    code = pthread_mutex_init(lock, &attributes);
    (void)pthread_mutexattr_destroy(&attributes);
    return code == 0 ? NOC_OK : NOC_ENOMEM;
}

int noc_log_open(const struct noc_log_options *options, struct noc_log **ret_log, int *ret_file_err)
{
    struct noc_log *log = calloc(1, sizeof(*log));
    struct noc_log_writer *writer = NULL;
    int err = NOC_ENOMEM;

    if (log == NULL) {
        return NOC_ENOMEM;
    }
    writer = aligned_alloc(_Alignof(struct noc_log_writer), sizeof(*writer));
    if (writer == NULL) {
        goto free_log;
    }
    memset(writer, 0, sizeof(*writer));
    log->writer = writer;
    err = noc_log_queue_init(
        &writer->queue, options->queue_bytes == 0 ? QUEUE_BYTES : options->queue_bytes);
    if (err != NOC_OK) {
        goto free_writer;
    }
    err = init_lock(&writer->lock);
    if (err != NOC_OK) {
        goto done_queue;
    }
    err = noc_log_output_new(options, &writer->output, ret_file_err);
    if (err != NOC_OK) {
        goto destroy_lock;
    }
    (void)sem_init(&writer->bell, 0, 0);
    noc_log_output_enter(writer->output);
    set_mask_locked(log);
    *ret_log = log;
    return NOC_OK;

destroy_lock:
    (void)pthread_mutex_destroy(&writer->lock);
done_queue:
    noc_log_queue_done(&writer->queue);
free_writer:
    free(writer);
free_log:
    free(log);
    return err;
}

int noc_log_start(struct noc_log *log)
{
    struct noc_log_writer *writer = log->writer;
    sigset_t all;
    sigset_t before;
    int code;

    if (atomic_load(&writer->is_started)) {
        return NOC_OK;
    }
    atomic_store(&writer->is_stopping, false);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    code = pthread_create(&writer->thread, NULL, run, writer);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (code != 0) {
        return NOC_ENOMEM;
    }
    (void)pthread_setname_np(writer->thread, "noc-log");
    atomic_store(&writer->is_started, true);
    return NOC_OK;
}

/* What is left in the queue, written by the caller. */
static void drain_all_locked(struct noc_log_writer *writer)
{
    while (drain_locked(writer, LINES_PER_LOCK) > 0) {
    }
    flush_locked(writer);
}

void noc_log_stop(struct noc_log *log)
{
    struct noc_log_writer *writer = log->writer;

    if (!atomic_load(&writer->is_started)) {
        return;
    }
    atomic_store(&writer->is_stopping, true);
    ring(writer);
    (void)pthread_join(writer->thread, NULL);
    atomic_store(&writer->is_started, false);
    /* Lines of producers that found it started a moment ago. */
    (void)pthread_mutex_lock(&writer->lock);
    drain_all_locked(writer);
    (void)pthread_mutex_unlock(&writer->lock);
}

void noc_log_close(struct noc_log *log)
{
    struct noc_log_writer *writer;

    if (log == NULL) {
        return;
    }
    writer = log->writer;
    noc_log_stop(log);
    if ((writer->output->destinations & NOC_LOG_TO_SYSLOG) != 0) {
        closelog();
    }
    noc_log_output_free(writer->output);
    noc_log_queue_done(&writer->queue);
    (void)sem_destroy(&writer->bell);
    (void)pthread_mutex_destroy(&writer->lock);
    free(writer);
    free(log);
}

int noc_log_configure_mt(
    struct noc_log *log, const struct noc_log_options *options, int *ret_file_err)
{
    struct noc_log_writer *writer = log->writer;
    struct noc_log_output *output;
    struct noc_log_output *old;
    int err = noc_log_output_new(options, &output, ret_file_err);

    if (err != NOC_OK) {
        return err;
    }
    (void)pthread_mutex_lock(&writer->lock);
    old = writer->output;
    lost(writer, noc_log_output_flush(old));
    writer->output = output;
    noc_log_output_enter(output);
    set_mask_locked(log);
    (void)pthread_mutex_unlock(&writer->lock);
    noc_log_output_free(old);
    return NOC_OK;
}

void noc_log_set_levels_mt(struct noc_log *log, unsigned levels)
{
    (void)pthread_mutex_lock(&log->writer->lock);
    log->writer->output->levels = levels == 0 ? NOC_LOG_DEFAULT : levels;
    set_mask_locked(log);
    (void)pthread_mutex_unlock(&log->writer->lock);
}

void noc_log_reopen_mt(struct noc_log *log)
{
    atomic_store(&log->writer->must_reopen, true);
    ring(log->writer);
}

uint64_t noc_log_dropped_mt(const struct noc_log *log)
{
    return atomic_load_explicit(&log->writer->dropped, memory_order_relaxed);
}

/* What a flood of the other kinds must not push out of a full queue. */
enum { URGENT_LEVELS = NOC_LOG_ERROR | NOC_LOG_WARNING | NOC_LOG_NOTICE };

/* Without a writer thread: write now, after what may still be queued. */
static void write_directly(
    struct noc_log_writer *writer, const struct record_head *head, struct noc_slice text)
{
    (void)pthread_mutex_lock(&writer->lock);
    if (writer->is_writing) {
        lost(writer, 1);
    } else {
        if (atomic_exchange(&writer->must_reopen, false)) {
            noc_log_output_reopen(writer->output);
        }
        (void)drain_locked(writer, UINT32_MAX);
        write_line_locked(writer, head->level, head->wall_ms, text);
        flush_locked(writer);
    }
    (void)pthread_mutex_unlock(&writer->lock);
}

void noc_log_v(struct noc_log *log, unsigned level, const char *format, va_list args)
{
    struct record_head head;
    char raw[NOC_LOG_LINE_MAX];
    char text[NOC_LOG_LINE_MAX];
    int saved = errno;
    size_t text_n;
    int n;

    if (!noc_log_wants(log, level)) {
        return;
    }
    n = vsnprintf(raw, sizeof(raw), format, args);
    if (n >= 0) {
        size_t raw_n = (size_t)n < sizeof(raw) ? (size_t)n : sizeof(raw) - 1;

        memset(&head, 0, sizeof(head));
        head.wall_ms = noc_clock_wall_ms();
        head.level = level;
        text_n = noc_log_escape(noc_slice(raw, raw_n), text, sizeof(text));
        if (!atomic_load_explicit(&log->writer->is_started, memory_order_acquire)) {
            write_directly(log->writer, &head, noc_slice(text, text_n));
        } else if (noc_log_queue_put_mt(&log->writer->queue, (level & URGENT_LEVELS) != 0, &head,
                       sizeof(head), text, text_n)) {
            ring(log->writer);
        } else {
            lost(log->writer, 1);
        }
    }
    errno = saved;
}

void noc_log(struct noc_log *log, unsigned level, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    noc_log_v(log, level, format, args);
    va_end(args);
}
