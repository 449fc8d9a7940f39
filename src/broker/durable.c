/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "broker/durable.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "broker/broker.h"
#include "core/journal.h"
#include "core/restore.h"
#include "net/clock.h"
#include "store/import.h"
#include "store/store.h"

/* How long the end of the broker waits for the store, and SIGUSR1, and how soon they look again. */
enum { SETTLE_MS = 10000, COMMIT_MS = 2000, LOOK_MS = 1 };

static void pause_a_moment(void)
{
    const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000};

    (void)nanosleep(&pause, NULL);
}

/* ---- between workers and store ---- */

void noc_durable_submit(struct noc_shard *shard, struct noc_operations *batch)
{
    noc_store_submit_mt(noc_worker_of(shard)->broker->store, batch);
}

static void batch_is_stored(struct noc_shard *shard, void *batch)
{
    if (shard != NULL) {
        noc_journal_committed(shard, batch, NOC_OK);
    } /* else the mail is dropped at the end of all: the journal gives the batch back */
}

/* On the store's thread. The mail can't get lost: memory for it comes back sooner or later. */
static void on_committed(void *context, struct noc_operations *batch, int err)
{
    struct noc_broker *broker = context;

    if (err != NOC_OK) {
        return; /* nothing that waits for it is ever answered */
    }
    while (noc_worker_call_mt(&broker->workers[batch->worker], batch_is_stored, batch) != NOC_OK) {
        pause_a_moment();
    }
}

void noc_durable_page(struct noc_shard *shard, struct noc_page *page)
{
    noc_store_page_mt(noc_worker_of(shard)->broker->store, page);
}

/* On the store's thread, or on the one that stops it. */
static void on_paged(void *context, struct noc_page *page)
{
    struct noc_broker *broker = context;

    while (noc_worker_call_mt(&broker->workers[page->worker], noc_page_arrived, page) != NOC_OK) {
        pause_a_moment();
    }
}

/* On the store's thread: nothing can be acknowledged any more, so there is no point in going on. */
static void on_failed(void *context, const char *text)
{
    struct noc_broker *broker = context;

    atomic_store(&broker->store_has_failed, true);
    noc_log(broker->log, NOC_LOG_ERROR, "Error: %s", text);
    noc_log(broker->log, NOC_LOG_ERROR,
        "Error: what clients send can't be stored any more: stopping, so that nothing is "
        "acknowledged that could be lost.");
    (void)kill(getpid(), SIGTERM);
}

static void go_on(struct noc_shard *shard, void *argument)
{
    (void)shard;
    (void)argument; /* a turn is all it takes */
}

/* On the store's thread, or on the one that stops it. */
static void on_full(void *context, bool is_full)
{
    struct noc_broker *broker = context;

    atomic_store(&broker->core.is_store_full, is_full);
    for (unsigned i = 0; !is_full && i < broker->worker_count; i++) {
        while (noc_worker_call_mt(&broker->workers[i], go_on, NULL) != NOC_OK) {
            pause_a_moment();
        }
    }
}

static void on_log(void *context, enum noc_log_level level, const char *text)
{
    struct noc_broker *broker = context;

    noc_log(broker->log, level, "%s", text);
}

/* ---- start ---- */

/* What the store tells becomes of the core; one session at a time. */
struct loading {
    struct noc_broker *broker;
    struct noc_session *session;      /* NULL: what comes belongs to none here */
    struct noc_session_record record; /* its own; texts are not used */
};

static void finish_session(struct loading *loading)
{
    if (loading->session != NULL) {
        noc_restore_session_done(loading->session, &loading->record);
        loading->session = NULL;
    }
}

/* The listener that a session came by last; if there is none like that any more, the first. */
static const struct noc_listener *listener_of(const struct noc_broker *broker, uint16_t port)
{
    for (size_t i = 0; i < broker->endpoint_count; i++) {
        if (broker->endpoints[i].listener.port == port) {
            return &broker->endpoints[i].listener;
        }
    }
    return &broker->endpoints[0].listener;
}

static int on_session(void *context, const struct noc_session_record *record)
{
    struct loading *loading = context;
    struct noc_broker *broker = loading->broker;

    finish_session(loading);
    loading->record = *record;
    return noc_restore_session(
        &broker->core, record, listener_of(broker, record->port), &loading->session);
}

static int on_subscription(void *context, const struct noc_subscription_record *record)
{
    struct loading *loading = context;

    return loading->session == NULL ? NOC_OK : noc_restore_subscription(loading->session, record);
}

static int on_incoming(void *context, const struct noc_incoming_record *record)
{
    struct loading *loading = context;

    return loading->session == NULL ? NOC_OK : noc_restore_incoming(loading->session, record);
}

static int on_outgoing(void *context, const struct noc_outgoing_record *record)
{
    struct loading *loading = context;

    return loading->session == NULL
               ? NOC_OK
               : noc_restore_outgoing(loading->session, &loading->record, record);
}

static int on_retained(void *context, const struct noc_retained_record *record)
{
    struct loading *loading = context;

    finish_session(loading);
    return noc_restore_retained(&loading->broker->core, record);
}

static int load(struct noc_broker *broker, char *error, size_t error_n)
{
    const struct noc_store_visitor visitor = {.session = on_session,
        .subscription = on_subscription,
        .incoming = on_incoming,
        .outgoing = on_outgoing,
        .retained = on_retained};
    struct loading loading = {.broker = broker};
    struct noc_store_loaded loaded = {0};
    int err;

    noc_restore_begin(&broker->core);
    err = noc_store_load(broker->store, &visitor, &loading, &loaded, error, error_n);
    finish_session(&loading);
    noc_restore_end(&broker->core, loaded.highest_slot, loaded.highest_version);
    if (err == NOC_OK && loaded.sessions + loaded.retained > 0) {
        noc_log(broker->log, NOC_LOG_NOTICE,
            "Restored %lu sessions, %lu subscriptions, %lu messages for them, %lu retained "
            "messages.",
            (unsigned long)loaded.sessions, (unsigned long)loaded.subscriptions,
            (unsigned long)(loaded.outgoing + loaded.incoming), (unsigned long)loaded.retained);
    }
    return err;
}

/* No worker's thread runs: their mail and journals are worked off here. Is all stored? */
static bool run_journals(struct noc_broker *broker)
{
    bool is_idle = true;

    for (unsigned i = 0; i < broker->worker_count; i++) {
        struct noc_shard *shard = &broker->workers[i].shard;

        noc_reclaim_online(shard->core->reclaim, shard->number);
        noc_shard_drain_mail(shard);
        noc_journal_run(shard, true);
        is_idle &= noc_journal_is_idle(shard);
        noc_reclaim_offline(shard->core->reclaim, shard->number);
    }
    return is_idle;
}

/* ---- Mosquitto's database ---- */

/* There while an import is not stored whole: what the store has then is thrown away. */
#define IMPORT_MARK "noctule.import"

/* The folder of the store. */
static const char *folder_of(const struct noc_config *config)
{
    const char *folder = config->persistence_location;

    return folder == NULL || folder[0] == '\0' ? "." : folder;
}

static bool path_in_folder(
    const struct noc_broker *broker, const char *name, char *path, size_t path_n)
{
    int n = snprintf(path, path_n, "%s/%s", folder_of(broker->config), name);

    return n > 0 && (size_t)n < path_n;
}

static const struct noc_listener *listener_of_port(const void *context, uint16_t port)
{
    return listener_of(context, port);
}

/*
 * Is there a database of Mosquitto's, and none of ours? An import that was cut short is begun anew:
 * what the store has of it goes, as nobody was let in before it was whole.
 */
static bool is_import_due(struct noc_broker *broker, char *mosquitto_db, size_t n)
{
    char own[PATH_MAX], log[PATH_MAX], mark[PATH_MAX];

    if (!path_in_folder(broker, broker->config->persistence_file, mosquitto_db, n) ||
        !path_in_folder(broker, "noctule.db", own, sizeof own) ||
        !path_in_folder(broker, "noctule.db-wal", log, sizeof log) ||
        !path_in_folder(broker, IMPORT_MARK, mark, sizeof mark)) {
        return false;
    }
    if (access(mark, F_OK) == 0) {
        (void)unlink(own);
        (void)unlink(log);
    }
    return access(own, F_OK) != 0 && access(mosquitto_db, F_OK) == 0;
}

/* Make or remove the mark, for good. */
static bool set_import_mark(struct noc_broker *broker, bool on)
{
    char mark[PATH_MAX];
    int fd, folder;
    bool is_done;

    if (!path_in_folder(broker, IMPORT_MARK, mark, sizeof mark)) {
        return false;
    }
    if (on) {
        fd = open(mark, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        is_done = fd >= 0 && fsync(fd) == 0;
        if (fd >= 0) {
            (void)close(fd);
        }
    } else {
        is_done = unlink(mark) == 0;
    }
    folder = open(folder_of(broker->config), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    is_done &= folder >= 0 && fsync(folder) == 0;
    if (folder >= 0) {
        (void)close(folder);
    }
    return is_done;
}

/* All that a database of Mosquitto's holds, stored. The file is left as it is. */
static bool import(struct noc_broker *broker, const char *path)
{
    const struct noc_import_clock clock = {noc_clock_ms(), (int64_t)time(NULL)};
    struct noc_import_counts counts;
    char error[512];
    int err;

    noc_restore_begin(&broker->core);
    err = noc_import_mosquitto(
        &broker->core, path, &clock, listener_of_port, broker, &counts, error, sizeof error);
    noc_restore_end(&broker->core, 0, 0);
    if (err != NOC_OK) {
        noc_log(broker->log, NOC_LOG_ERROR,
            "Error: %s: Mosquitto's database can't be taken over (remedy: see 'noctule db "
            "salvage', "
            "or move the file away to begin without it)",
            error);
        return false;
    }
    while (!run_journals(broker)) {
        if (atomic_load(&broker->store_has_failed)) {
            return false;
        }
        pause_a_moment();
    }
    noc_log(broker->log, NOC_LOG_NOTICE,
        "Took over %s (version %u): %lu sessions, %lu subscriptions, %lu messages for them, %lu "
        "retained messages; %lu records were left out. The file is not used any more.",
        path, counts.version, (unsigned long)counts.sessions, (unsigned long)counts.subscriptions,
        (unsigned long)counts.messages, (unsigned long)counts.retained,
        (unsigned long)counts.left_out);
    return set_import_mark(broker, false);
}

static int open_store(struct noc_broker *broker, char *error, size_t error_n)
{
    const struct noc_config *config = broker->config;
    const struct noc_store_options options = {
        .folder = folder_of(config),
        .sync = (enum noc_store_sync)config->persistence_sync,
        .interval_ms = config->persistence_sync_ms,
        .on_error = (enum noc_store_on_error)config->persistence_on_error,
        .max_bytes = config->persistence_max_size,
        .clock_ms = noc_clock_ms,
        .clock_wall_ms = noc_clock_wall_ms,
        .log = on_log,
        .committed = on_committed,
        .paged = on_paged,
        .failed = on_failed,
        .full = on_full,
        .context = broker,
    };
    int err = noc_store_open(&options, &broker->store, error, error_n);

    for (unsigned i = 0; err == NOC_OK && i < broker->worker_count; i++) {
        err = noc_journal_new(&broker->workers[i].shard);
    }
    return err;
}

bool noc_durable_start(struct noc_broker *broker)
{
    char error[512] = "out of memory", mosquitto_db[PATH_MAX];
    bool is_import;

    if (!broker->config->persistence) {
        return true;
    }
    is_import = is_import_due(broker, mosquitto_db, sizeof mosquitto_db);
    if (is_import && !set_import_mark(broker, true)) {
        noc_log(broker->log, NOC_LOG_ERROR, "Error: %s: %s", folder_of(broker->config),
            strerror(errno));
        return false;
    }
    if (open_store(broker, error, sizeof error) == NOC_OK &&
        load(broker, error, sizeof error) == NOC_OK &&
        noc_store_start(broker->store, error, sizeof error) == NOC_OK) {
        if (!is_import || import(broker, mosquitto_db)) {
            return true;
        }
        (void)snprintf(error, sizeof error, "persistence could not be started.");
    }
    noc_log(broker->log, NOC_LOG_ERROR, "Error: %s", error);
    noc_store_close(broker->store);
    broker->store = NULL;
    return false;
}

/* ---- end ---- */

/* What is asked of all workers. */
struct asking {
    atomic_uint asked, good;
    bool is_begun;                   /* they know their goals */
    uint64_t goals[NOC_WORKERS_MAX]; /* batches to be stored */
};

/* Write all there is. Is there nothing left? */
static void ask_idle(struct noc_shard *shard, void *argument)
{
    struct asking *asking = argument;

    if (shard != NULL) {
        noc_journal_run(shard, true);
        if (noc_journal_is_idle(shard)) {
            atomic_fetch_add(&asking->good, 1);
        }
    }
    atomic_fetch_add(&asking->asked, 1);
}

/* Write what there was when asked first. Is it stored? */
static void ask_flushed(struct noc_shard *shard, void *argument)
{
    struct asking *asking = argument;

    if (shard != NULL) {
        if (!asking->is_begun) {
            asking->goals[shard->number] = noc_journal_flush(shard);
        }
        if (noc_journal_committed_count(shard) >= asking->goals[shard->number]) {
            atomic_fetch_add(&asking->good, 1);
        }
    }
    atomic_fetch_add(&asking->asked, 1);
}

/* Ask all workers, and wait for their answers. Are they all good? */
static bool ask_all(
    struct noc_broker *broker, void (*ask)(struct noc_shard *, void *), struct asking *asking)
{
    unsigned called = 0;

    atomic_store(&asking->asked, 0);
    atomic_store(&asking->good, 0);
    for (unsigned i = 0; i < broker->worker_count && broker->workers[i].is_started; i++) {
        while (noc_worker_call_mt(&broker->workers[i], ask, asking) != NOC_OK) {
            pause_a_moment();
        }
        called++;
    }
    while (atomic_load(&asking->asked) < called) {
        pause_a_moment();
    }
    asking->is_begun = true;
    return atomic_load(&asking->good) == called;
}

/* The same until they are, for so long at most. */
static bool ask_until_good(
    struct noc_broker *broker, void (*ask)(struct noc_shard *, void *), uint64_t most_ms)
{
    uint64_t until_ms = noc_clock_ms() + most_ms;
    struct asking asking = {.is_begun = false};
    bool is_good;

    do {
        is_good = ask_all(broker, ask, &asking);
        if (!is_good) {
            pause_a_moment();
        }
    } while (!is_good && !atomic_load(&broker->store_has_failed) && noc_clock_ms() < until_ms);
    return is_good;
}

void noc_durable_settle(struct noc_broker *broker)
{
    if (broker->store != NULL) {
        (void)ask_until_good(broker, ask_idle, SETTLE_MS);
    }
}

void noc_durable_commit(struct noc_broker *broker)
{
    if (broker->store == NULL) {
        noc_log(
            broker->log, NOC_LOG_NOTICE, "SIGUSR1: nothing is stored here (persistence false).");
    } else if (ask_until_good(broker, ask_flushed, COMMIT_MS)) {
        noc_store_flush_mt(broker->store);
        noc_log(broker->log, NOC_LOG_NOTICE, "SIGUSR1: all that waited is stored.");
    } else {
        noc_log(broker->log, NOC_LOG_WARNING,
            "SIGUSR1: what waits could not be stored within %d seconds; it still waits.",
            COMMIT_MS / 1000);
    }
}

bool noc_durable_stop(struct noc_broker *broker)
{
    uint64_t until_ms = noc_clock_ms() + SETTLE_MS;
    bool is_idle = false;

    if (broker->store == NULL) {
        return true;
    }
    while (!atomic_load(&broker->store_has_failed) && !is_idle && noc_clock_ms() < until_ms) {
        is_idle = run_journals(broker);
        if (!is_idle) {
            pause_a_moment();
        }
    }
    noc_store_close(broker->store);
    broker->store = NULL;
    if (!is_idle) {
        noc_log(broker->log, NOC_LOG_ERROR,
            "Error: the state of sessions could not be stored as it was at the end.");
    }
    return is_idle;
}
