/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_STORE_STORE_H
#define NOC_STORE_STORE_H
/*
 * The durable store: sessions, their messages and retained messages in one SQLite database,
 * noctule.db, written by one thread of its own. See core/record.h for what goes in and out.
 *
 *   open --> load --> start --> submit_mt, any thread ... --> stop --> close
 *                        |                 ^
 *                        v                 | committed(), done(), failed()
 *                     the store's thread: gather | BEGIN, apply, COMMIT | answer
 *
 * All batches that wait are one transaction; what comes meanwhile is the next. A batch is
 * answered after the sync that made it safe. After a write or a sync that failed nothing is
 * answered well any more, and nothing is written any more: whoever runs the store must stop.
 *
 * Calls without _mt: one thread, that of open, which must not be the store's.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log_level.h"
#include "core/page.h"
#include "core/record.h"
#include <noctule/error.h>

/* When an acknowledgement may go out, and so what a cut of the power takes. */
enum noc_store_sync {
    NOC_STORE_SYNC_ALWAYS,   /* after the sync: nothing that was acknowledged */
    NOC_STORE_SYNC_INTERVAL, /* after the write; synced every interval_ms: what came since the last */
    NOC_STORE_SYNC_OFF,      /* after the write; never synced: anything, the whole file too */
};
/* A process that dies, by kill -9 too, takes nothing of what was acknowledged with either. */

/* What is done with a file that can't be used: damaged, foreign, or of another version. */
enum noc_store_on_error {
    NOC_STORE_STOP,    /* fail, and leave it as it is */
    NOC_STORE_RECOVER, /* take what is whole into a new one, set it aside */
    NOC_STORE_EMPTY,   /* set it aside, start with nothing */
};

struct noc_store_options {
    const char *folder; /* where noctule.db is; it must be there */
    enum noc_store_sync sync;
    uint32_t interval_ms; /* for INTERVAL; 0: 1000 */
    enum noc_store_on_error on_error;
    uint64_t max_bytes; /* of noctule.db, its log not counted: is full past it; 0: no limit */

    uint64_t (*clock_ms)(void);     /* monotonic, that of the records */
    int64_t (*clock_wall_ms)(void); /* since 1970 */

    void (*log)(void *context, enum noc_log_level level, const char *text);
    /* On the store's thread. The batch is the caller's again; err < 0: never acknowledge it. */
    void (*committed)(void *context, struct noc_operations *batch, int err);
    /* A page was read, or (page->err) was not; the page is the caller's again. On the thread of failed(). */
    void (*paged)(void *context, struct noc_page *page);
    /*
     * Once: what cannot be mended. Every later batch is answered with NOC_EIO. On the store's thread, or
     * within noc_store_stop().
     */
    void (*failed)(void *context, const char *text);
    /* What noc_store_is_full_mt() says has changed. May be NULL. On the store's thread, as failed(). */
    void (*full)(void *context, bool is_full);
    void *context;
};

struct noc_store;

/*
 * Take the folder (no other process has it meanwhile), and open its database, or make one.
 * Nothing is written to a database that was there before noc_store_start(), unless on_error says
 * so. Returns NOC_OK, or an error of which `error` tells path, cause and remedy: NOC_EEXIST another
 * process has the folder, NOC_EMALFORMED the file is bad, NOC_EIO, NOC_ENOMEM.
 */
NOC_MUST_CHECK int noc_store_open(const struct noc_store_options *options,
    struct noc_store **ret_store, char *error, size_t error_n);

/* Told by noc_store_load(); what is pointed to is borrowed for the call, messages too. */
struct noc_store_visitor {
    int (*session)(void *context, const struct noc_session_record *record);
    int (*subscription)(void *context, const struct noc_subscription_record *record);
    int (*incoming)(void *context, const struct noc_incoming_record *record);
    int (*outgoing)(void *context, const struct noc_outgoing_record *record);
    int (*retained)(void *context, const struct noc_retained_record *record);
};

/* What was found. */
struct noc_store_loaded {
    uint64_t highest_slot;    /* 0: none */
    uint64_t highest_version; /* of retained messages; 0: none */
    uint64_t sessions, subscriptions, incoming, outgoing, retained; /* told */
    uint64_t strays;                                                /* rows without a session */
    uint64_t expired; /* retained messages whose time is over */
    uint64_t damaged; /* checksum wrong, or large message missing (not with NOC_STORE_STOP) */
};

/*
 * Tell all that is there: by slot each session, then its subscriptions, its incoming and its outgoing
 * messages in order; after all sessions the retained messages. Sessions that expired are told too.
 * Once at most, before start. Returns NOC_OK, what the visitor returned if that was < 0, or an error
 * as noc_store_open() does. A function of the visitor that is NULL is not called.
 */
NOC_MUST_CHECK int noc_store_load(struct noc_store *store, const struct noc_store_visitor *visitor,
    void *context, struct noc_store_loaded *ret_loaded, char *error, size_t error_n);

/* Remove what load dropped, and start the thread. NOC_OK, NOC_EIO, NOC_ENOMEM. */
NOC_MUST_CHECK int noc_store_start(struct noc_store *store, char *error, size_t error_n);

/*
 * Give a batch to the store, which owns it until committed() was called for it. Batches of one worker
 * are applied in the order of their submission.
 *
 * Operations with a ticket are taken out of their batch and held until all parts of the ticket have
 * come; they are applied after the batches of that group. What ends an entry under a ticket must
 * not be submitted before done() was called, but a session's end may: it takes held entries along.
 * Of a ticket that is not complete when the store stops, or whose group fails, done() is never called.
 */
void noc_store_submit_mt(struct noc_store *store, struct noc_operations *batch);

/*
 * Read a page of what was committed; the store owns it until paged() was called for it, which comes even
 * while batches wait for space. After the store's thread has ended it is answered with NOC_EIO.
 */
void noc_store_page_mt(struct noc_store *store, struct noc_page *page);

/* No space: batches wait (tried again each second), or max_bytes is passed. Refuse new messages. */
bool noc_store_is_full_mt(const struct noc_store *store);

/* Sync and checkpoint soon, whatever the options say. */
void noc_store_flush_mt(struct noc_store *store);

struct noc_store_stats {
    uint64_t operations; /* applied */
    uint64_t commits;
    uint64_t syncs;
    uint64_t bytes_written; /* to database and log */
};
struct noc_store_stats noc_store_stats_mt(const struct noc_store *store);

/* Commit what was submitted, end the thread, write the log back into the database. May be repeated. */
void noc_store_stop(struct noc_store *store);

/* Stops too, and gives the folder free. NULL is fine. */
void noc_store_close(struct noc_store *store);

#endif
