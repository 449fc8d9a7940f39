/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store's thread: take all batches that wait, write them as one transaction, answer them.
 *
 *   take --> read pages --> gather tickets --> BEGIN, apply, COMMIT --> answer --> checkpoint, when the log is long
 *    ^                           |  no space: ROLLBACK, wait a second, and again with what has come
 *    |                           |  anything else that fails: answer with NOC_EIO, now and for ever
 *    +--- nothing for a second: checkpoint, sync (INTERVAL), age
 */
#define _GNU_SOURCE
#include "store/store_internal.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <time.h>

enum {
    IDLE_MS = 1000,                   /* without a batch: the log goes back into the database */
    RETRY_MS = 1000,                  /* no space: until the next try */
    LOG_BYTES_MAX = 16 * 1024 * 1024, /* of the log: a checkpoint though there is work */
    CLOCK_MS = 60 * 1000,             /* the clock goes along with a commit */
    CLOCK_IDLE_MS = 10 * 60 * 1000,   /* and alone */
    REST_MS = 60 * 1000,              /* a look around with nothing to do */
    PAGES_MAX = 16,                   /* read before the next group */
    ROUNDS_MAX = 64,                  /* of pages, while there is no space */
};

static void fail(struct noc_store *store, const char *what)
{
    char text[256];

    if (store->is_failed) {
        return;
    }
    store->is_failed = true;
    store->vfs.is_read_only = true;
    (void)snprintf(text, sizeof(text), "cannot %s '%s': %s", what, store->path,
        sqlite3_errmsg(store->connection.db));
    noc_store_log(store, NOC_LOG_ERROR, "%s; nothing is stored any more", text);
    store->options.failed(store->options.context, text);
}

static void update_full(struct noc_store *store)
{
    bool is_full =
        atomic_load_explicit(&store->is_waiting, memory_order_relaxed) || store->is_past_max;

    if (atomic_exchange_explicit(&store->is_full, is_full, memory_order_acq_rel) != is_full &&
        store->options.full != NULL) {
        store->options.full(store->options.context, is_full);
    }
}

/* No space, or no memory: it may be there later. */
static bool can_wait(int rc)
{
    return (rc & 0xff) == SQLITE_FULL || (rc & 0xff) == SQLITE_NOMEM;
}

/* rc: why. */
static void set_waiting(struct noc_store *store, bool is_waiting, int rc)
{
    if (atomic_exchange_explicit(&store->is_waiting, is_waiting, memory_order_relaxed) ==
        is_waiting) {
        return;
    }
    update_full(store);
    if (is_waiting) {
        noc_store_log(store, NOC_LOG_ERROR,
            "cannot write to '%s': %s; what is to be stored waits, tried again every second",
            store->path, sqlite3_errstr(rc));
    } else {
        noc_store_log(
            store, NOC_LOG_NOTICE, "'%s' can be written again; nothing was lost", store->path);
    }
}

static int step(struct noc_store *store, enum noc_store_statement number)
{
    int rc = sqlite3_step(store->connection.statements[number]);

    (void)sqlite3_reset(store->connection.statements[number]);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int64_t number_of(struct noc_store *store, enum noc_store_statement number)
{
    sqlite3_stmt *statement = store->connection.statements[number];
    int64_t value = sqlite3_step(statement) == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;

    (void)sqlite3_reset(statement);
    return value;
}

/* The size without the pages that are free; a sixteenth below the limit it is well again. */
static void watch_size(struct noc_store *store)
{
    uint64_t limit = store->options.max_bytes;
    uint64_t bytes;
    bool is_past;

    if (limit == 0) {
        return;
    }
    bytes = (uint64_t)(number_of(store, NOC_STORE_PAGES) - number_of(store, NOC_STORE_PAGES_FREE)) *
            NOC_STORE_PAGE_BYTES;
    is_past = bytes > (store->is_past_max ? limit - limit / 16 : limit);
    if (is_past != store->is_past_max) {
        store->is_past_max = is_past;
        update_full(store);
        noc_store_log(store, is_past ? NOC_LOG_WARNING : NOC_LOG_NOTICE,
            is_past
                ? "'%s' has passed persistence_max_size: no more messages are taken for sessions"
                : "'%s' is below persistence_max_size again",
            store->path);
    }
}

/* The log into the database. What fails here has lost nothing: all of it is in the log. */
static void checkpoint(struct noc_store *store)
{
    int rc;

    if (store->is_failed || store->log_bytes == 0) {
        return;
    }
    rc = sqlite3_wal_checkpoint_v2(
        store->connection.db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    if (rc == SQLITE_OK) {
        store->log_bytes = 0;
        store->is_unsynced = false;
        if (store->group.first == NULL) {
            set_waiting(store, false, rc);
        }
    } else if (can_wait(rc)) {
        set_waiting(store, true, rc);
    } else {
        fail(store, "write the log back into");
    }
}

/* With OFF SQLite does not sync what a checkpoint writes either. Asked for, it does. */
static void set_synchronous(struct noc_store *store, bool is_wanted)
{
    if (store->options.sync == NOC_STORE_SYNC_OFF) {
        (void)sqlite3_exec(store->connection.db,
            is_wanted ? "PRAGMA synchronous = NORMAL" : "PRAGMA synchronous = OFF", NULL, NULL,
            NULL);
    }
}

/* which: SQLITE_FCNTL_JOURNAL_POINTER, the log; SQLITE_FCNTL_FILE_POINTER, the database. */
static void sync_file(struct noc_store *store, int which)
{
    sqlite3_file *file = NULL;

    if (!store->is_failed &&
        sqlite3_file_control(store->connection.db, "main", which, &file) == SQLITE_OK &&
        file != NULL && file->pMethods != NULL &&
        file->pMethods->xSync(file, SQLITE_SYNC_NORMAL) != SQLITE_OK) {
        fail(store, "sync");
    }
}

static void sync_log(struct noc_store *store)
{
    store->synced_ms = noc_store_now_ms(store);
    if (store->is_unsynced) {
        store->is_unsynced = false;
        sync_file(store, SQLITE_FCNTL_JOURNAL_POINTER);
    }
}

static int apply_all(struct noc_store *store, const struct noc_operations *operations)
{
    for (size_t i = 0; i < operations->count; i++) {
        const struct noc_operation *operation = &operations->at[i];
        int rc;

        /* Moved to its ticket, or of a session that ended while its ticket waited. */
        if (operation->kind == 0 || (operation->slot == 0 && operation->kind != NOC_OP_RETAINED)) {
            continue;
        }
        rc = noc_store_apply(store, operation);
        if (rc != SQLITE_OK) {
            return rc;
        }
        store->group.applied++;
    }
    return SQLITE_OK;
}

static int apply_group(struct noc_store *store)
{
    const struct noc_operations *batch;
    const struct noc_list *ready = &store->group.ready;
    int rc = SQLITE_OK;

    store->group.applied = 0;
    for (batch = store->group.first; batch != NULL && rc == SQLITE_OK; batch = batch->next) {
        rc = apply_all(store, batch);
    }
    for (struct noc_list *at = ready->next; at != ready && rc == SQLITE_OK; at = at->next) {
        rc = apply_all(store, &NOC_CONTAINER(at, struct noc_store_held, link)->operations);
    }
    return rc;
}

static void committed(struct noc_store *store)
{
    store->committed_ms = noc_store_now_ms(store);
    store->is_unsynced = store->options.sync != NOC_STORE_SYNC_ALWAYS;
    (void)atomic_fetch_add_explicit(&store->commits, 1, memory_order_relaxed);
    (void)atomic_fetch_add_explicit(&store->operations, store->group.applied, memory_order_relaxed);
}

/* One try. SQLite's code; nothing of the group is there unless that is SQLITE_OK. */
static int write_group(struct noc_store *store, uint64_t clock_age_ms)
{
    uint64_t now_ms = noc_store_now_ms(store);
    int rc = step(store, NOC_STORE_BEGIN);

    if (rc == SQLITE_OK) {
        rc = apply_group(store);
    }
    if (rc == SQLITE_OK && now_ms - store->clock_written_ms >= clock_age_ms) {
        rc = noc_store_apply_clock(store);
        store->clock_written_ms = now_ms;
    }
    if (rc == SQLITE_OK) {
        rc = step(store, NOC_STORE_COMMIT);
    }
    noc_map64_done(&store->message_ids);
    store->message_ids = (struct noc_map64){.entries = NULL};
    if (rc == SQLITE_OK) {
        committed(store);
    } else {
        store->clock_written_ms = 0;
    }
    return rc;
}

static void roll_back(struct noc_store *store)
{
    if (sqlite3_get_autocommit(store->connection.db) == 0) {
        (void)step(store, NOC_STORE_ROLLBACK);
    }
}

/* The callers get their batches back, in order; then tickets are done. */
static void answer(struct noc_store *store, int err)
{
    struct noc_operations *batch = store->group.first;
    struct noc_list ready;

    noc_list_init(&ready);
    noc_list_join(&ready, &store->group.ready);
    store->group.first = store->group.last = NULL;
    while (batch != NULL) {
        struct noc_operations *next = batch->next;

        batch->next = NULL;
        store->options.committed(store->options.context, batch, err);
        batch = next;
    }
    for (struct noc_list *at = ready.next; at != &ready && err == NOC_OK; at = at->next) {
        struct noc_ticket *ticket = NOC_CONTAINER(at, struct noc_store_held, link)->ticket;

        ticket->held = NULL;
        ticket->done(ticket);
    }
    noc_store_held_done(&ready);
}

/* CLOCK_MONOTONIC in so many milliseconds. */
static struct timespec deadline(uint64_t wait_ms)
{
    struct timespec at = {0};

    (void)clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += (time_t)(wait_ms / 1000);
    at.tv_nsec += (long)(wait_ms % 1000) * 1000000;
    if (at.tv_nsec >= 1000000000) {
        at.tv_sec++;
        at.tv_nsec -= 1000000000;
    }
    return at;
}

/* Put what was submitted behind the group's batches. */
static void take_locked(struct noc_store *store)
{
    if (store->first == NULL) {
        return;
    }
    if (store->group.first == NULL) {
        store->group.first = store->first;
    } else {
        store->group.last->next = store->first;
    }
    store->group.last = store->last;
    store->first = store->last = NULL;
}

static struct noc_page *take_page(struct noc_store *store)
{
    struct noc_page *page;

    (void)pthread_mutex_lock(&store->lock);
    page = store->first_page;
    if (page != NULL) {
        store->first_page = page->next;
    }
    (void)pthread_mutex_unlock(&store->lock);
    return page;
}

/* Pages are read from what is committed: no transaction is open. */
static void read_pages(struct noc_store *store, unsigned most)
{
    struct noc_page *page;

    while (most-- > 0 && (page = take_page(store)) != NULL) {
        page->next = NULL;
        page->err = store->is_failed ? NOC_EIO : noc_store_read_page(store, page);
        if (page->err == NOC_EIO) {
            fail(store, "read");
        }
        store->options.paged(store->options.context, page);
    }
}

/* Before the next try. False: the store shall stop, so this was the last. */
static bool wait_for_space(struct noc_store *store)
{
    struct timespec until = deadline(RETRY_MS);
    bool is_stopping;

    bool is_over = false;
    unsigned rounds = 0;

    do {
        (void)pthread_mutex_lock(&store->lock);
        while (!store->is_stopping && store->first_page == NULL && !is_over) {
            is_over = pthread_cond_timedwait(&store->wake, &store->lock, &until) != 0;
        }
        is_stopping = store->is_stopping;
        take_locked(store);
        (void)pthread_mutex_unlock(&store->lock);
        read_pages(store, PAGES_MAX);
    } while (!is_stopping && !is_over && ++rounds < ROUNDS_MAX);
    return !is_stopping;
}

static int gather(struct noc_store *store)
{
    for (struct noc_operations *batch = store->group.first; batch != NULL; batch = batch->next) {
        if (noc_store_tickets_gather(store, batch) < 0) {
            return SQLITE_NOMEM;
        }
    }
    return SQLITE_OK;
}

static void process_group(struct noc_store *store)
{
    bool is_last = false;

    while (!store->is_failed) {
        int rc = gather(store);

        if (rc == SQLITE_OK) {
            rc = write_group(store, CLOCK_MS);
        }
        if (rc == SQLITE_OK) {
            set_waiting(store, false, rc);
            answer(store, NOC_OK);
            return;
        }
        if (!can_wait(rc)) {
            fail(store, "write to");
            roll_back(store);
            break;
        }
        set_waiting(store, true, rc);
        roll_back(store);
        if (is_last) {
            break;
        }
        checkpoint(store); /* gives back what the log has */
        is_last = !wait_for_space(store);
    }
    answer(store, store->is_failed ? NOC_EIO : NOC_EFULL);
}

/* How long the thread may sleep when nothing comes. */
static uint64_t rest_ms(const struct noc_store *store)
{
    if (store->is_unsynced && store->options.sync == NOC_STORE_SYNC_INTERVAL &&
        store->options.interval_ms < IDLE_MS) {
        return store->options.interval_ms;
    }
    return store->is_unsynced || store->log_bytes > 0 ? IDLE_MS : REST_MS;
}

/* The clock alone, as a group without batches. */
static void write_clock(struct noc_store *store)
{
    int rc = write_group(store, 0);

    if (rc != SQLITE_OK && !can_wait(rc)) {
        fail(store, "write to");
    }
    roll_back(store);
}

/* All to the disk, whatever the options say. */
static void flush(struct noc_store *store)
{
    set_synchronous(store, true);
    sync_log(store);
    checkpoint(store);
    set_synchronous(store, false);
    if (store->options.sync == NOC_STORE_SYNC_OFF) {
        sync_file(store, SQLITE_FCNTL_FILE_POINTER); /* what earlier checkpoints wrote */
    }
}

/* What is due without a batch. */
static void look_around(struct noc_store *store, bool is_flushing)
{
    uint64_t now_ms = noc_store_now_ms(store);

    noc_store_tombstones_age(&store->tombstones, now_ms);
    if (store->is_failed) {
        return;
    }
    if (is_flushing) {
        flush(store);
    }
    if (store->options.sync == NOC_STORE_SYNC_INTERVAL &&
        now_ms - store->synced_ms >= store->options.interval_ms) {
        sync_log(store);
    }
    if (now_ms - store->clock_written_ms >= CLOCK_IDLE_MS) {
        write_clock(store);
    }
    if (store->log_bytes > LOG_BYTES_MAX || now_ms - store->committed_ms >= IDLE_MS) {
        checkpoint(store);
    }
}

/* False: stop, all is done. */
static bool take(struct noc_store *store, bool *ret_is_flushing)
{
    struct timespec until = deadline(rest_ms(store));
    bool is_stopping;

    (void)pthread_mutex_lock(&store->lock);
    while (store->first == NULL && store->first_page == NULL && !store->is_stopping &&
           !store->is_flushing && pthread_cond_timedwait(&store->wake, &store->lock, &until) == 0) {
    }
    take_locked(store);
    is_stopping = store->is_stopping;
    *ret_is_flushing = store->is_flushing;
    store->is_flushing = false;
    (void)pthread_mutex_unlock(&store->lock);
    return !is_stopping || store->group.first != NULL;
}

void *noc_store_run(void *argument)
{
    struct noc_store *store = argument;
    bool is_flushing;

    while (take(store, &is_flushing)) {
        read_pages(store, PAGES_MAX);
        if (store->group.first != NULL) {
            process_group(store);
            watch_size(store);
        }
        look_around(store, is_flushing);
    }
    return NULL;
}

void noc_store_finish(struct noc_store *store)
{
    read_pages(store, UINT_MAX);
    if (store->is_failed) {
        return;
    }
    write_clock(store);
    flush(store);
    if (store->log_bytes == 0) {
        /* Closing takes the empty log away. */
        (void)sqlite3_db_config(store->connection.db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
    }
}
