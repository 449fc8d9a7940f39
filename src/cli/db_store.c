/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `noctule db` on our own store: dump, check and export. The store is opened as a broker does, so
 * that none runs on it meanwhile, and closed again before it would be written to.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/db.h"
#include "cli/db_writer.h"
#include "core/session.h"
#include "net/clock.h"
#include "store/export.h"
#include "store/store.h"

/* ---- opening ---- */

/* Nothing is ever submitted. */
static void on_committed(void *context, struct noc_operations *batch, int err)
{
    (void)context;
    (void)batch;
    (void)err;
}

static void on_failed(void *context, const char *text)
{
    (void)context;
    (void)text;
}

bool noc_db_is_store(const char *path, char *folder, size_t folder_n)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash == NULL ? path : slash + 1;
    struct stat status;

    if (stat(path, &status) == 0 && S_ISDIR(status.st_mode)) {
        (void)snprintf(folder, folder_n, "%s", path);
        return true;
    }
    if (strcmp(name, "noctule.db") != 0) {
        return false;
    }
    (void)snprintf(folder, folder_n, "%.*s", slash == NULL ? 1 : (int)(slash - path) + 1,
        slash == NULL ? "." : path);
    return true;
}

struct opened {
    struct noc_store *store;
    struct noc_store_options options;
    char lock[PATH_MAX];
    bool had_lock; /* the file was there before */
};

static int open_store(const char *folder, struct opened *opened, char *error, size_t error_n)
{
    char path[PATH_MAX];

    (void)snprintf(path, sizeof path, "%s/noctule.db", folder);
    (void)snprintf(opened->lock, sizeof opened->lock, "%s/noctule.lock", folder);
    opened->had_lock = access(opened->lock, F_OK) == 0;
    opened->options = (struct noc_store_options){.folder = folder,
        .on_error = NOC_STORE_STOP,
        .clock_ms = noc_clock_ms,
        .clock_wall_ms = noc_clock_wall_ms,
        .committed = on_committed,
        .failed = on_failed};
    if (access(path, F_OK) != 0) {
        (void)snprintf(error, error_n, "cannot open '%s': %s", path, strerror(errno));
        return NOC_EIO;
    }
    return noc_store_open(&opened->options, &opened->store, error, error_n);
}

static void close_store(struct opened *opened)
{
    if (!opened->had_lock) {
        (void)unlink(
            opened->lock); /* or it would belong to whoever ran this, not to the broker's user */
    }
    noc_store_close(opened->store);
}

/* ---- dump: a line for each record ---- */

struct dump {
    struct noc_db_writer writer;
    char client_id[UINT16_MAX + 1]; /* of the session that came last */
    size_t client_id_n;
    uint64_t now_ms;
    int64_t now_wall_ms;
};

static struct noc_db_writer *begin(struct dump *dump, const char *type)
{
    struct noc_db_writer *writer = &dump->writer;

    writer->out = (struct noc_json_out){0};
    noc_db_open(writer, '{');
    noc_db_put_text(writer, "type", noc_slice_of(type));
    return writer;
}

/* The same, of the session that came last. */
static struct noc_db_writer *begin_of_client(struct dump *dump, const char *type)
{
    struct noc_db_writer *writer = begin(dump, type);

    noc_db_put_text(writer, "clientid", noc_slice(dump->client_id, dump->client_id_n));
    return writer;
}

static int end(struct dump *dump)
{
    noc_db_close(&dump->writer, '}');
    if (dump->writer.err == NOC_OK) {
        noc_db_write_out(&dump->writer);
        (void)putchar('\n');
    }
    return dump->writer.err;
}

static void put_bool(struct noc_db_writer *writer, const char *member, bool is_true)
{
    noc_db_put_word(writer, member, is_true ? "true" : "false");
}

static void put_text_or_null(
    struct noc_db_writer *writer, const char *member, struct noc_slice text)
{
    if (text.at == NULL) {
        noc_db_put_word(writer, member, "null");
    } else {
        noc_db_put_text(writer, member, text);
    }
}

/* Seconds since 1970; null: never. */
static void put_time(struct dump *dump, const char *member, uint64_t at_ms)
{
    int64_t wall_ms = dump->now_wall_ms + (int64_t)(at_ms - dump->now_ms);

    if (at_ms == NOC_NEVER_MS) {
        noc_db_put_word(&dump->writer, member, "null");
    } else {
        noc_db_put_int(&dump->writer, member, wall_ms < 0 ? 0 : wall_ms / 1000);
    }
}

static void put_message(struct dump *dump, const struct noc_message *message)
{
    struct noc_db_writer *writer = &dump->writer;
    struct noc_message_parts parts;

    if (message == NULL) {
        return;
    }
    parts = noc_message_parts(message);
    noc_db_put_text(writer, "topic", parts.topic);
    noc_db_put_int(writer, "published_qos", parts.qos);
    put_bool(writer, "published_retain", parts.retain);
    put_time(dump, "expires", parts.expires_ms);
    noc_db_put_base64(writer, "properties", parts.props);
    noc_db_put_base64(writer, "payload", parts.payload);
}

static int dump_session(void *context, const struct noc_session_record *record)
{
    struct dump *dump = context;
    struct noc_db_writer *writer;

    dump->client_id_n = record->client_id.n;
    memcpy(dump->client_id, record->client_id.at, record->client_id.n);
    writer = begin_of_client(dump, "session");
    noc_db_put_uint(writer, "slot", record->slot);
    put_text_or_null(writer, "username", record->username);
    noc_db_put_int(writer, "version", record->version);
    put_bool(writer, "connected", record->is_connected);
    noc_db_put_int(writer, "port", record->port);
    noc_db_put_int(writer, "expiry_interval", record->expiry_s);
    put_time(dump, "expires", record->expires_ms);
    noc_db_put_uint(writer, "sent", record->sent);
    if (end(dump) == NOC_OK && record->will != NULL) {
        writer = begin_of_client(dump, "will");
        noc_db_put_int(writer, "delay", record->will_delay_s);
        put_time(dump, "due", record->will_due_ms);
        put_message(dump, record->will);
        (void)end(dump);
    }
    return dump->writer.err;
}

static int dump_subscription(void *context, const struct noc_subscription_record *record)
{
    struct dump *dump = context;
    struct noc_db_writer *writer = begin_of_client(dump, "subscription");

    put_text_or_null(writer, "share", record->group);
    noc_db_put_text(writer, "filter", record->filter);
    noc_db_put_int(writer, "options", record->options);
    noc_db_put_int(writer, "identifier", record->id);
    return end(dump);
}

static int dump_incoming(void *context, const struct noc_incoming_record *record)
{
    struct dump *dump = context;

    noc_db_put_int(begin_of_client(dump, "incoming"), "mid", record->packet_id);
    put_message(dump, record->message);
    return end(dump);
}

static int dump_outgoing(void *context, const struct noc_outgoing_record *record)
{
    struct dump *dump = context;
    struct noc_db_writer *writer = begin_of_client(dump, "outgoing");

    noc_db_put_uint(writer, "sequence", record->sequence);
    noc_db_put_int(writer, "mid", noc_packet_id(record->sequence));
    noc_db_put_int(writer, "qos", record->qos);
    put_bool(writer, "retain", record->retain);
    put_bool(writer, "received", record->message == NULL); /* its PUBREC has come */
    noc_db_name(writer, "identifiers");
    noc_db_open(writer, '[');
    for (uint32_t i = 0; i < record->id_count; i++) {
        noc_db_put_element(writer, record->ids[i]);
    }
    noc_db_close(writer, ']');
    put_message(dump, record->message);
    return end(dump);
}

static int dump_retained(void *context, const struct noc_retained_record *record)
{
    struct dump *dump = context;

    (void)begin(dump, "retained");
    put_message(dump, record->message);
    return end(dump);
}

int noc_db_store_dump(const char *folder, char *error, size_t error_n)
{
    static const struct noc_store_visitor visitor = {.session = dump_session,
        .subscription = dump_subscription,
        .incoming = dump_incoming,
        .outgoing = dump_outgoing,
        .retained = dump_retained};
    struct dump *dump = calloc(1, sizeof *dump);
    struct noc_store_loaded loaded;
    struct opened opened;
    int err = dump == NULL ? NOC_ENOMEM : open_store(folder, &opened, error, error_n);

    if (err == NOC_OK) {
        dump->now_ms = noc_clock_ms();
        dump->now_wall_ms = noc_clock_wall_ms();
        err = noc_store_load(opened.store, &visitor, dump, &loaded, error, error_n);
        close_store(&opened);
    }
    if (dump != NULL) {
        noc_output_buffer_done(&dump->writer.buffer);
    }
    free(dump);
    return err;
}

/* ---- check ---- */

int noc_db_store_check(const char *folder, char *error, size_t error_n)
{
    static const struct noc_store_visitor visitor = {.session = NULL};
    struct noc_store_loaded loaded = {0};
    struct opened opened;
    int err = open_store(folder, &opened, error, error_n);

    if (err != NOC_OK) {
        return err;
    }
    err = noc_store_load(opened.store, &visitor, NULL, &loaded, error, error_n);
    close_store(&opened);
    if (err == NOC_OK) {
        printf("folder              %s\n", folder);
        printf("format              noctule.db, version 1\n");
        printf("sessions            %" PRIu64 "\n", loaded.sessions);
        printf("subscriptions       %" PRIu64 "\n", loaded.subscriptions);
        printf("incoming_messages   %" PRIu64 "\n", loaded.incoming);
        printf("outgoing_messages   %" PRIu64 "\n", loaded.outgoing);
        printf("retained_messages   %" PRIu64 "\n", loaded.retained);
        printf("expired_retained    %" PRIu64 "\n", loaded.expired);
        printf("rows_of_no_session  %" PRIu64 "\n", loaded.strays);
        printf("sound               yes\n");
    }
    return err;
}

/* ---- export ---- */

static void tell_counts(const struct noc_export_counts *counts, const char *path)
{
    printf("%" PRIu64 " sessions, %" PRIu64 " subscriptions, %" PRIu64
           " messages for them and %" PRIu64 " retained messages written to '%s'\n",
        counts->sessions, counts->subscriptions, counts->messages, counts->retained, path);
    if (counts->wills > 0) {
        fprintf(stderr, "noctule db: %" PRIu64 " wills left out: mosquitto.db has none\n",
            counts->wills);
    }
    if (counts->expired > 0) {
        fprintf(stderr, "noctule db: %" PRIu64 " messages left out: their time is over\n",
            counts->expired);
    }
    if (counts->left_out > 0) {
        fprintf(stderr, "noctule db: %" PRIu64 " records left out: too large for mosquitto.db\n",
            counts->left_out);
    }
}

int noc_db_store_export(const char *folder, const char *path, char *error, size_t error_n)
{
    struct noc_export_counts counts;
    struct opened opened;
    int err = open_store(folder, &opened, error, error_n);
    FILE *out;
    int fd;

    if (err != NOC_OK) {
        return err;
    }
    /* It holds what only the broker's user may read. */
    fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR);
    out = fd < 0 ? NULL : fdopen(fd, "w+b");
    err = out == NULL
              ? NOC_EIO
              : noc_export_mosquitto(opened.store, &opened.options, out, &counts, error, error_n);
    if (err == NOC_OK && (fflush(out) != 0 || fsync(fd) != 0)) {
        err = NOC_EIO;
    }
    if (err != NOC_OK && error[0] == '\0') {
        (void)snprintf(error, error_n, "cannot write '%s': %s", path,
            err == NOC_EIO ? strerror(errno) : noc_error_text(err));
    }
    if (out != NULL) {
        (void)fclose(out);
    }
    if (fd >= 0 && err != NOC_OK) {
        (void)unlink(path);
    }
    close_store(&opened);
    if (err == NOC_OK) {
        tell_counts(&counts, path);
    }
    return err;
}
