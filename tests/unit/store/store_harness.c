/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "store_harness.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

_Atomic(uint64_t) world_clock_ms;
_Atomic(int64_t) world_wall_ms;

static uint64_t clock_ms(void)
{
    return world_clock_ms;
}

static int64_t wall_ms(void)
{
    return world_wall_ms;
}

static void on_log(void *context, enum noc_log_level level, const char *text)
{
    struct world *world = context;
    size_t n;

    (void)level;
    (void)pthread_mutex_lock(&world->lock);
    n = strlen(world->log);
    (void)snprintf(world->log + n, sizeof(world->log) - n, "%s\n", text);
    (void)pthread_cond_broadcast(&world->changed);
    (void)pthread_mutex_unlock(&world->lock);
}

static void on_committed(void *context, struct noc_operations *batch, int err)
{
    struct world *world = context;

    (void)pthread_mutex_lock(&world->lock);
    if (world->answer_count < NOC_COUNT(world->answers)) {
        world->answers[world->answer_count++] = (struct answer){batch, err};
    }
    (void)pthread_cond_broadcast(&world->changed);
    while (world->is_held) {
        (void)pthread_cond_wait(&world->changed, &world->lock);
    }
    (void)pthread_mutex_unlock(&world->lock);
}

static void on_failed(void *context, const char *text)
{
    struct world *world = context;

    (void)text;
    (void)pthread_mutex_lock(&world->lock);
    world->failed_count++;
    (void)pthread_cond_broadcast(&world->changed);
    (void)pthread_mutex_unlock(&world->lock);
}

void world_init(struct world *world)
{
    memset(world, 0, sizeof(*world));
    /* In memory, where there is such a folder: a sync costs nothing there. */
    (void)snprintf(world->folder, sizeof(world->folder), "%s/noctule-store-XXXXXX",
        access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    assert_non_null(mkdtemp(world->folder));
    (void)snprintf(world->path, sizeof(world->path), "%s/noctule.db", world->folder);
    (void)pthread_mutex_init(&world->lock, NULL);
    (void)pthread_cond_init(&world->changed, NULL);
    world_clock_ms = 1000000;
    world_wall_ms = INT64_C(1800000000000);
    world->options = (struct noc_store_options){
        .folder = world->folder,
        .clock_ms = clock_ms,
        .clock_wall_ms = wall_ms,
        .log = on_log,
        .committed = on_committed,
        .failed = on_failed,
        .context = world,
    };
}

static void forget(struct world *world)
{
    for (size_t i = 0; i < world->line_count; i++) {
        free(world->lines[i]);
    }
    world->line_count = world->told_count = 0;
}

void world_done(struct world *world)
{
    DIR *folder;
    const struct dirent *entry;
    char path[512];

    world_close(world);
    forget(world);
    folder = opendir(world->folder);
    assert_non_null(folder);
    while ((entry = readdir(folder)) != NULL) {
        (void)snprintf(path, sizeof(path), "%s/%s", world->folder, entry->d_name);
        (void)unlink(path);
    }
    (void)closedir(folder);
    (void)rmdir(world->folder);
    (void)pthread_mutex_destroy(&world->lock);
    (void)pthread_cond_destroy(&world->changed);
}

static char *tell(struct world *world)
{
    world->told_count++;
    if (world->line_count == LINES_MAX) {
        return NULL;
    }
    world->lines[world->line_count] = calloc(1, 2048);
    assert_non_null(world->lines[world->line_count]);
    return world->lines[world->line_count++];
}

/* Text as it is, other bytes in hex; an absent one as a dash. */
static void put(char *line, struct noc_slice text)
{
    size_t n = strlen(line);

    if (text.at == NULL) {
        (void)snprintf(line + n, 2048 - n, " -");
        return;
    }
    (void)snprintf(line + n, 2048 - n, " '");
    for (size_t i = 0; i < text.n && i < 40; i++) {
        n = strlen(line);
        (void)snprintf(line + n, 2048 - n, text.at[i] >= ' ' && text.at[i] <= '~' ? "%c" : "\\%02x",
            (unsigned char)text.at[i]);
    }
    n = strlen(line);
    (void)snprintf(line + n, 2048 - n, text.n > 40 ? "'...%zu" : "'", text.n);
}

static void put_number(char *line, const char *name, uint64_t number)
{
    size_t n = strlen(line);

    if (number == NOC_NEVER_MS) {
        (void)snprintf(line + n, 2048 - n, " %s=never", name);
    } else {
        (void)snprintf(line + n, 2048 - n, " %s=%llu", name, (unsigned long long)number);
    }
}

static void put_message(char *line, const struct noc_message *message)
{
    struct noc_message_parts parts;

    if (message == NULL) {
        return;
    }
    parts = noc_message_parts(message);
    put(line, parts.topic);
    put(line, parts.props);
    put(line, parts.payload);
    put_number(line, "as", (uint64_t)parts.qos + (parts.retain ? 10 : 0));
    put_number(line, "expires", parts.expires_ms);
}

static int on_session(void *context, const struct noc_session_record *record)
{
    char *line = tell(context);

    if (line == NULL) {
        return NOC_OK;
    }
    (void)snprintf(line, 2048, "session %llu", (unsigned long long)record->slot);
    put(line, record->client_id);
    put(line, record->username);
    put_number(line, "version", record->version);
    put_number(line, "connected", record->is_connected);
    put_number(line, "port", record->port);
    put_number(line, "expiry", record->expiry_s);
    put_number(line, "expires", record->expires_ms);
    put_number(line, "sent", record->sent);
    if (record->will != NULL) {
        put_message(line, record->will);
        put_number(line, "delay", record->will_delay_s);
        put_number(line, "due", record->will_due_ms);
        put_number(line, "has", record->will_has_expiry);
        put_number(line, "after", record->will_expiry_s);
    }
    return NOC_OK;
}

static int on_subscription(void *context, const struct noc_subscription_record *record)
{
    char *line = tell(context);

    if (line != NULL) {
        (void)snprintf(line, 2048, "subscription %llu", (unsigned long long)record->slot);
        put(line, record->group);
        put(line, record->filter);
        put_number(line, "options", record->options);
        put_number(line, "id", record->id);
    }
    return NOC_OK;
}

static int on_incoming(void *context, const struct noc_incoming_record *record)
{
    char *line = tell(context);

    if (line != NULL) {
        (void)snprintf(
            line, 2048, "incoming %llu %u", (unsigned long long)record->slot, record->packet_id);
        put_message(line, record->message);
    }
    return NOC_OK;
}

static int on_outgoing(void *context, const struct noc_outgoing_record *record)
{
    char *line = tell(context);

    if (line != NULL) {
        (void)snprintf(line, 2048, "outgoing %llu %llu", (unsigned long long)record->slot,
            (unsigned long long)record->sequence);
        put_number(line, "qos", record->qos);
        put_number(line, "retain", record->retain);
        for (uint32_t i = 0; i < record->id_count; i++) {
            put_number(line, "id", record->ids[i]);
        }
        put_message(line, record->message);
    }
    return NOC_OK;
}

static int on_retained(void *context, const struct noc_retained_record *record)
{
    char *line = tell(context);

    if (line != NULL) {
        (void)snprintf(line, 2048, "retained %llu", (unsigned long long)record->version);
        put_message(line, record->message);
    }
    return NOC_OK;
}

static const struct noc_store_visitor visitor = {
    .session = on_session,
    .subscription = on_subscription,
    .incoming = on_incoming,
    .outgoing = on_outgoing,
    .retained = on_retained,
};

static int try_load(struct world *world)
{
    int err;

    forget(world);
    world->error[0] = '\0';
    err = noc_store_open(&world->options, &world->store, world->error, sizeof(world->error));
    if (err < 0) {
        world->store = NULL;
        return err;
    }
    world->store->vfs.fault = world->fault;
    return noc_store_load(
        world->store, &visitor, world, &world->loaded, world->error, sizeof(world->error));
}

int world_try(struct world *world)
{
    int err = try_load(world);

    return err < 0 ? err : noc_store_start(world->store, world->error, sizeof(world->error));
}

void world_load(struct world *world)
{
    if (try_load(world) < 0) {
        fail_msg("%s", world->error);
    }
}

void world_open(struct world *world)
{
    if (world_try(world) < 0) {
        fail_msg("%s", world->error);
    }
}

void world_close(struct world *world)
{
    noc_store_close(world->store);
    world->store = NULL;
}

void world_reopen(struct world *world)
{
    world_close(world);
    world_open(world);
}

void world_expect(struct world *world, ...)
{
    va_list lines;
    const char *line;
    size_t i = 0;

    va_start(lines, world);
    while ((line = va_arg(lines, const char *)) != NULL) {
        if (i >= world->line_count) {
            fail_msg("missing: %s", line);
        }
        assert_string_equal(world->lines[i], line);
        i++;
    }
    va_end(lines);
    if (i < world->line_count) {
        fail_msg("too much: %s", world->lines[i]);
    }
}

struct noc_operations *batch_new(void)
{
    struct noc_operations *batch = calloc(1, sizeof(*batch));

    assert_non_null(batch);
    return batch;
}

void batch_free(struct noc_operations *batch)
{
    noc_operations_done(batch);
    free(batch);
}

struct noc_message *message_of(const char *topic, const char *payload)
{
    struct noc_message_parts parts = {
        .topic = noc_slice_of(topic),
        .payload = noc_slice_of(payload),
        .qos = 1,
        .expires_ms = NOC_NEVER_MS,
    };
    struct noc_message *message = noc_message_new(&parts);

    assert_non_null(message);
    return message;
}

struct noc_operation *add(struct noc_operations *batch, uint8_t kind, uint64_t slot, uint64_t first)
{
    struct noc_operation *operation = noc_operations_add(batch, kind);

    assert_non_null(operation);
    operation->slot = slot;
    operation->first = operation->last = first;
    return operation;
}

void add_session(struct noc_operations *batch, uint64_t slot, const char *client_id)
{
    struct noc_session_record record = {
        .slot = slot,
        .client_id = noc_slice_of(client_id),
        .version = 4,
        .port = 1883,
        .expiry_s = UINT32_MAX,
        .expires_ms = NOC_NEVER_MS,
        .will_due_ms = NOC_NEVER_MS,
    };

    add(batch, NOC_OP_SESSION, slot, 0)->as.session = noc_session_record_copy(&record);
}

void add_outgoing(struct noc_operations *batch, uint64_t slot, uint64_t sequence, const char *topic,
    const char *payload)
{
    struct noc_operation *operation = add(batch, NOC_OP_OUTGOING, slot, sequence);

    operation->qos = 1;
    operation->message = message_of(topic, payload);
}

void add_subscription(struct noc_operations *batch, uint8_t kind, uint64_t slot, const char *group,
    const char *filter, uint8_t options, uint32_t id)
{
    struct noc_subscription_record record = {
        .slot = slot,
        .group = noc_slice_of(group),
        .filter = noc_slice_of(filter),
        .options = options,
        .id = id,
    };

    add(batch, kind, slot, 0)->as.subscription = noc_subscription_record_copy(&record);
}

void add_retained(
    struct noc_operations *batch, const char *topic, const char *payload, uint64_t version)
{
    struct noc_operation *operation = add(batch, NOC_OP_RETAINED, 0, version);

    operation->message = message_of(topic, payload);
    operation->message->retain = true;
}

void hold(struct world *world, bool is_held)
{
    (void)pthread_mutex_lock(&world->lock);
    world->is_held = is_held;
    (void)pthread_cond_broadcast(&world->changed);
    (void)pthread_mutex_unlock(&world->lock);
}

void wait_answers(struct world *world, size_t count)
{
    (void)pthread_mutex_lock(&world->lock);
    while (world->answer_count < count) {
        (void)pthread_cond_wait(&world->changed, &world->lock);
    }
    (void)pthread_mutex_unlock(&world->lock);
}

void wait_log(struct world *world, const char *text)
{
    (void)pthread_mutex_lock(&world->lock);
    while (strstr(world->log, text) == NULL) {
        (void)pthread_cond_wait(&world->changed, &world->lock);
    }
    (void)pthread_mutex_unlock(&world->lock);
}

int submit(struct world *world, struct noc_operations *batch)
{
    size_t count;
    int err;

    (void)pthread_mutex_lock(&world->lock);
    count = world->answer_count;
    (void)pthread_mutex_unlock(&world->lock);
    noc_store_submit_mt(world->store, batch);
    wait_answers(world, count + 1);
    assert_ptr_equal(world->answers[count].batch, batch);
    err = world->answers[count].err;
    batch_free(batch);
    return err;
}
