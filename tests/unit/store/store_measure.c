/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the store costs: bytes and syncs per message, messages per second, time to load.
 *
 *   store_measure FOLDER [SESSIONS RETAINED]
 *
 * FOLDER is on the disk to be measured; its noctule.db is made anew. Not a test.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "store/store.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static size_t answered;

static uint64_t clock_ms(void)
{
    struct timespec now = {0};

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000U + (uint64_t)now.tv_nsec / 1000000U;
}

static int64_t wall_ms(void)
{
    return (int64_t)time(NULL) * 1000;
}

static void on_log(void *context, enum noc_log_level level, const char *text)
{
    (void)context;
    (void)level;
    (void)fprintf(stderr, "%s\n", text);
}

static void on_committed(void *context, struct noc_operations *batch, int err)
{
    (void)context;
    if (err < 0) {
        (void)fprintf(stderr, "not committed: %d\n", err);
        exit(1);
    }
    noc_operations_done(batch);
    free(batch);
    (void)pthread_mutex_lock(&lock);
    answered++;
    (void)pthread_cond_signal(&changed);
    (void)pthread_mutex_unlock(&lock);
}

static void on_failed(void *context, const char *text)
{
    (void)context;
    (void)fprintf(stderr, "failed: %s\n", text);
    exit(1);
}

static struct noc_store *open_store(const char *folder)
{
    const struct noc_store_options options = {
        .folder = folder,
        .clock_ms = clock_ms,
        .clock_wall_ms = wall_ms,
        .log = on_log,
        .committed = on_committed,
        .failed = on_failed,
    };
    struct noc_store *store;
    char error[512];

    if (noc_store_open(&options, &store, error, sizeof(error)) < 0) {
        (void)fprintf(stderr, "%s\n", error);
        exit(1);
    }
    return store;
}

static void start(struct noc_store *store)
{
    const struct noc_store_visitor visitor = {.session = NULL};
    struct noc_store_loaded loaded;
    char error[512];

    if (noc_store_load(store, &visitor, NULL, &loaded, error, sizeof(error)) < 0 ||
        noc_store_start(store, error, sizeof(error)) < 0) {
        (void)fprintf(stderr, "%s\n", error);
        exit(1);
    }
}

static struct noc_message *message_of(const char *topic, size_t payload_n)
{
    static char payload[1024];
    const struct noc_message_parts parts = {
        .topic = noc_slice_of(topic),
        .payload = noc_slice(payload, payload_n),
        .qos = 1,
        .expires_ms = NOC_NEVER_MS,
    };

    memset(payload, 'x', sizeof(payload));
    return noc_message_new(&parts);
}

/* The allocations of this program may fail like any; then it crashes, and says so. */
static struct noc_operation *add(struct noc_operations *batch, uint8_t kind, uint64_t slot)
{
    struct noc_operation *operation = noc_operations_add(batch, kind);

    operation->slot = slot;
    return operation;
}

/* Give batches until `count` are given, at most `waiting` of them not answered. */
static void give(struct noc_store *store, size_t count, size_t waiting,
    void (*fill)(struct noc_operations *batch, size_t i))
{
    answered = 0;
    for (size_t i = 0; i < count; i++) {
        struct noc_operations *batch = calloc(1, sizeof(*batch));

        fill(batch, i);
        noc_store_submit_mt(store, batch);
        (void)pthread_mutex_lock(&lock);
        while (i + 1 - answered >= waiting) { /* 1: each waits for its own */
            (void)pthread_cond_wait(&changed, &lock);
        }
        (void)pthread_mutex_unlock(&lock);
    }
    (void)pthread_mutex_lock(&lock);
    while (answered < count) {
        (void)pthread_cond_wait(&changed, &lock);
    }
    (void)pthread_mutex_unlock(&lock);
}

/* The sessions that the messages are for; without them a start would sweep the messages away. */
static void fill_hundred(struct noc_operations *batch, size_t i)
{
    (void)i;
    for (uint64_t slot = 1; slot <= 100; slot++) {
        const struct noc_session_record record = {
            .slot = slot,
            .client_id = noc_slice_of("client"),
            .expires_ms = NOC_NEVER_MS,
            .will_due_ms = NOC_NEVER_MS,
        };

        add(batch, NOC_OP_SESSION, slot)->as.session = noc_session_record_copy(&record);
    }
}

static size_t per_batch, next_sequence;

static void fill_outgoing(struct noc_operations *batch, size_t i)
{
    (void)i;
    for (size_t k = 0; k < per_batch; k++) {
        struct noc_operation *operation = add(batch, NOC_OP_OUTGOING, 1 + next_sequence % 100);

        operation->first = operation->last = next_sequence++ / 100;
        operation->qos = 1;
        operation->message = message_of("sensors/kitchen/temperature", 100);
    }
}

static void measure_outgoing(const char *folder, size_t batches, size_t batch_n, size_t waiting)
{
    struct noc_store *store = open_store(folder);
    uint64_t begin_ms;
    double seconds;

    start(store);
    give(store, 1, 1, fill_hundred);
    per_batch = batch_n;
    begin_ms = clock_ms();
    give(store, batches, waiting, fill_outgoing);
    seconds = (double)(clock_ms() - begin_ms) / 1000;
    noc_store_close(store);
    (void)printf("%zu batches of %zu, %zu at once: %.0f messages a second\n", batches, batch_n,
        waiting, (double)(batches * batch_n) / seconds);
}

static void fill_session(struct noc_operations *batch, size_t i)
{
    for (size_t k = 0; k < 1000; k++) {
        char client_id[40];
        struct noc_session_record record = {
            .slot = i * 1000 + k + 1,
            .version = 5,
            .expiry_s = 3600,
            .expires_ms = clock_ms() + 3600000,
            .will_due_ms = NOC_NEVER_MS,
        };
        struct noc_subscription_record subscription = {.slot = record.slot, .options = 1};
        struct noc_operation *operation;

        (void)snprintf(client_id, sizeof(client_id), "client-%zu", (size_t)record.slot);
        record.client_id = subscription.filter = noc_slice_of(client_id);
        add(batch, NOC_OP_SESSION, record.slot)->as.session = noc_session_record_copy(&record);
        for (unsigned n = 0; n < 2; n++) {
            subscription.id = n;
            subscription.group = n == 0 ? noc_slice(NULL, 0) : noc_slice_of("group");
            add(batch, NOC_OP_SUBSCRIPTION, record.slot)->as.subscription =
                noc_subscription_record_copy(&subscription);
        }
        operation = add(batch, NOC_OP_OUTGOING, record.slot);
        operation->first = 1;
        operation->message = message_of("sensors/kitchen/temperature", 100);
    }
}

static void fill_retained(struct noc_operations *batch, size_t i)
{
    for (size_t k = 0; k < 1000; k++) {
        char topic[64];
        struct noc_operation *operation = add(batch, NOC_OP_RETAINED, 0);

        operation->first = i * 1000 + k + 1;
        (void)snprintf(topic, sizeof(topic), "sites/%zu/devices/%zu/state", k, i);
        operation->message = message_of(topic, 100);
    }
}

static void measure_load(const char *folder, size_t sessions, size_t retained)
{
    struct noc_store *store = open_store(folder);
    const struct noc_store_visitor visitor = {.session = NULL};
    struct noc_store_loaded loaded;
    char error[512];
    uint64_t begin_ms, opened_ms, loaded_ms;

    start(store);
    give(store, sessions / 1000, 8, fill_session);
    give(store, retained / 1000, 8, fill_retained);
    noc_store_close(store);
    begin_ms = clock_ms();
    store = open_store(folder);
    opened_ms = clock_ms();
    if (noc_store_load(store, &visitor, NULL, &loaded, error, sizeof(error)) < 0) {
        (void)fprintf(stderr, "%s\n", error);
        exit(1);
    }
    loaded_ms = clock_ms();
    (void)printf("open and check %" PRIu64 " ms, load %" PRIu64 " ms: %" PRIu64
                 " sessions, %" PRIu64 " subscriptions, %" PRIu64 " messages, %" PRIu64
                 " retained\n",
        opened_ms - begin_ms, loaded_ms - opened_ms, loaded.sessions, loaded.subscriptions,
        loaded.outgoing, loaded.retained);
    noc_store_close(store);
}

/* What the system says has been written, checkpoints included. */
static void measure_bytes(const char *folder, size_t batches, size_t batch_n)
{
    struct noc_store *store = open_store(folder);
    struct noc_store_stats before, committed, after;

    start(store);
    give(store, 1, 1, fill_hundred);
    per_batch = batch_n;
    before = noc_store_stats_mt(store);
    give(store, batches, 1, fill_outgoing);
    committed = noc_store_stats_mt(store);
    noc_store_stop(store);
    after = noc_store_stats_mt(store);
    noc_store_close(store);
    (void)printf(
        "%zu commits of %zu: %.0f bytes a message in the log, %.0f with the way back into the "
        "database, %.2f syncs a commit\n",
        batches, batch_n,
        (double)(committed.bytes_written - before.bytes_written) / (double)(batches * batch_n),
        (double)(after.bytes_written - before.bytes_written) / (double)(batches * batch_n),
        (double)(after.syncs - before.syncs) / (double)batches);
}

int main(int argc, char **argv)
{
    char path[1024];

    if (argc != 2 && argc != 4) {
        (void)fprintf(stderr, "usage: store_measure FOLDER [SESSIONS RETAINED]\n");
        return 2;
    }
    (void)snprintf(path, sizeof(path), "%s/noctule.db", argv[1]);
    (void)unlink(path);
    if (argc == 4) {
        measure_load(argv[1], strtoul(argv[2], NULL, 10), strtoul(argv[3], NULL, 10));
        return 0;
    }
    measure_bytes(argv[1], 1000, 1);
    measure_bytes(argv[1], 1000, 10);
    measure_bytes(argv[1], 1000, 100);
    measure_outgoing(argv[1], 1000, 1, 1);
    measure_outgoing(argv[1], 20000, 1, 100);
    measure_outgoing(argv[1], 2000, 100, 4);
    return 0;
}
