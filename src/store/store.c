/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "store/store.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "store/store_internal.h"
#include "store/store_lock.h"

uint64_t noc_store_now_ms(const struct noc_store *store)
{
    return store->options.clock_ms();
}

void noc_store_log(struct noc_store *store, enum noc_log_level level, const char *format, ...)
{
    char text[512];
    va_list arguments;

    if (store->options.log == NULL) {
        return;
    }
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    store->options.log(store->options.context, level, text);
}

static int init_thread(struct noc_store *store)
{
    pthread_condattr_t attributes;

    if (pthread_mutex_init(&store->lock, NULL) != 0) {
        return NOC_ENOMEM;
    }
    if (pthread_condattr_init(&attributes) != 0) {
        (void)pthread_mutex_destroy(&store->lock);
        return NOC_ENOMEM;
    }
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&store->wake, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    return NOC_OK;
}

static struct noc_store *store_new(const struct noc_store_options *options)
{
    size_t folder_n = strlen(options->folder);
    struct noc_store *store = calloc(1, sizeof(*store));

    if (store == NULL) {
        return NULL;
    }
    store->options = *options;
    if (store->options.interval_ms == 0) {
        store->options.interval_ms = 1000;
    }
    store->lock_fd = -1;
    store->next_message = 1;
    noc_list_init(&store->held);
    noc_list_init(&store->group.ready);
    noc_store_tombstones_init(&store->tombstones);
    store->folder = strdup(options->folder);
    store->path = malloc(folder_n + sizeof("/noctule.db"));
    if (store->folder == NULL || store->path == NULL || noc_store_vfs_init(&store->vfs) < 0) {
        goto free_store;
    }
    (void)snprintf(store->path, folder_n + sizeof("/noctule.db"), "%s/noctule.db", options->folder);
    store->options.folder = store->folder;
    if (init_thread(store) < 0) {
        noc_store_vfs_done(&store->vfs);
        goto free_store;
    }
    return store;

free_store:
    free(store->folder);
    free(store->path);
    free(store);
    return NULL;
}

int noc_store_open(const struct noc_store_options *options, struct noc_store **ret_store,
    char *error, size_t error_n)
{
    struct noc_store *store;
    int err;

    if (strlen(options->folder) > PATH_MAX - 100) {
        (void)snprintf(error, error_n, "the path of persistence_location is too long");
        return NOC_EINVAL;
    }
    store = store_new(options);
    if (store == NULL) {
        (void)snprintf(error, error_n, "%s", noc_error_text(NOC_ENOMEM));
        return NOC_ENOMEM;
    }
    err = noc_store_lock(options->folder, error, error_n);
    if (err >= 0) {
        store->lock_fd = err;
        err = noc_store_file_open(store, error, error_n);
    }
    if (err < 0) {
        noc_store_close(store);
        return err;
    }
    *ret_store = store;
    return NOC_OK;
}

int noc_store_start(struct noc_store *store, char *error, size_t error_n)
{
    sigset_t all, before;
    int err;

    store->vfs.is_read_only = false;
    if (noc_store_sweep(store) != SQLITE_OK) {
        (void)snprintf(error, error_n, "cannot write '%s': %s", store->path,
            sqlite3_errmsg(store->connection.db));
        return NOC_EIO;
    }
    store->clock_written_ms = store->committed_ms = store->synced_ms = noc_store_now_ms(store);
    /* Signals are for the thread that waits for them. */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    err = pthread_create(&store->thread, NULL, noc_store_run, store);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (err != 0) {
        (void)snprintf(error, error_n, "cannot start the store's thread");
        return NOC_ENOMEM;
    }
    (void)pthread_setname_np(store->thread, "noc-store");
    store->is_started = true;
    return NOC_OK;
}

void noc_store_submit_mt(struct noc_store *store, struct noc_operations *batch)
{
    batch->next = NULL;
    (void)pthread_mutex_lock(&store->lock);
    if (store->first == NULL) {
        store->first = batch;
    } else {
        store->last->next = batch;
    }
    store->last = batch;
    (void)pthread_cond_signal(&store->wake);
    (void)pthread_mutex_unlock(&store->lock);
}

void noc_store_page_mt(struct noc_store *store, struct noc_page *page)
{
    page->next = NULL;
    (void)pthread_mutex_lock(&store->lock);
    if (store->first_page == NULL) {
        store->first_page = page;
    } else {
        store->last_page->next = page;
    }
    store->last_page = page;
    (void)pthread_cond_signal(&store->wake);
    (void)pthread_mutex_unlock(&store->lock);
}

bool noc_store_is_full_mt(const struct noc_store *store)
{
    return atomic_load_explicit(&store->is_full, memory_order_acquire);
}

void noc_store_flush_mt(struct noc_store *store)
{
    (void)pthread_mutex_lock(&store->lock);
    store->is_flushing = true;
    (void)pthread_cond_signal(&store->wake);
    (void)pthread_mutex_unlock(&store->lock);
}

struct noc_store_stats noc_store_stats_mt(const struct noc_store *store)
{
    return (struct noc_store_stats){
        .operations = atomic_load_explicit(&store->operations, memory_order_relaxed),
        .commits = atomic_load_explicit(&store->commits, memory_order_relaxed),
        .syncs = atomic_load_explicit(&store->vfs.syncs, memory_order_relaxed),
        .bytes_written = atomic_load_explicit(&store->vfs.bytes_written, memory_order_relaxed),
    };
}

void noc_store_stop(struct noc_store *store)
{
    if (!store->is_started) {
        return;
    }
    (void)pthread_mutex_lock(&store->lock);
    store->is_stopping = true;
    (void)pthread_cond_signal(&store->wake);
    (void)pthread_mutex_unlock(&store->lock);
    (void)pthread_join(store->thread, NULL);
    store->is_started = false;
    noc_store_finish(store);
}

void noc_store_close(struct noc_store *store)
{
    if (store == NULL) {
        return;
    }
    noc_store_stop(store);
    noc_store_disconnect(&store->connection);
    noc_store_held_done(&store->held);
    noc_store_tombstones_done(&store->tombstones);
    noc_store_damaged_done(store);
    noc_map64_done(&store->message_ids);
    noc_store_unlock(store->lock_fd);
    noc_store_vfs_done(&store->vfs);
    (void)pthread_cond_destroy(&store->wake);
    (void)pthread_mutex_destroy(&store->lock);
    free(store->folder);
    free(store->path);
    free(store);
}
