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
#include <time.h>
#include <unistd.h>

#include "base/base64.h"
#include "cli/db.h"
#include "cli/output_json.h"
#include "core/session.h"
#include "store/export.h"
#include "store/store.h"

/* ---- opening ---- */

static uint64_t clock_ms(void)
{
    struct timespec now = {0};

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static int64_t wall_ms(void)
{
    struct timespec now = {0};

    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

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
        .clock_ms = clock_ms,
        .clock_wall_ms = wall_ms,
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
    struct noc_output_buffer buffer;
    struct noc_json_out out;
    char client_id[UINT16_MAX + 1]; /* of the session that came last */
    size_t client_id_n;
    uint64_t now_ms;
    int64_t now_wall_ms;
    int err; /* once set nothing is added */
};

static void begin(struct dump *dump, const char *type)
{
    dump->out = (struct noc_json_out){.buffer = &dump->buffer};
    dump->err = noc_json_open(&dump->out, '{');
    if (dump->err == NOC_OK) {
        dump->err = noc_json_next_member(&dump->out, noc_slice_of("type"));
    }
    if (dump->err == NOC_OK) {
        dump->err = noc_json_put_text(&dump->out, noc_slice_of(type));
    }
}

static void name(struct dump *dump, const char *member)
{
    if (dump->err == NOC_OK) {
        dump->err = noc_json_next_member(&dump->out, noc_slice_of(member));
    }
}

static void put_word(struct dump *dump, const char *member, const char *word)
{
    name(dump, member);
    if (dump->err == NOC_OK) {
        dump->err = noc_json_put_word(&dump->out, word);
    }
}

static void put_bool(struct dump *dump, const char *member, bool is_true)
{
    put_word(dump, member, is_true ? "true" : "false");
}

static void put_number(struct dump *dump, const char *member, uint64_t number)
{
    char digits[24];

    (void)snprintf(digits, sizeof digits, "%" PRIu64, number);
    put_word(dump, member, digits);
}

/* Seconds since 1970; null: never. */
static void put_time(struct dump *dump, const char *member, uint64_t at_ms)
{
    int64_t wall = dump->now_wall_ms + (int64_t)(at_ms - dump->now_ms);

    if (at_ms == NOC_NEVER_MS) {
        put_word(dump, member, "null");
    } else {
        put_number(dump, member, wall < 0 ? 0 : (uint64_t)wall / 1000);
    }
}

static void put_text(struct dump *dump, const char *member, struct noc_slice text)
{
    if (text.at == NULL) {
        put_word(dump, member, "null");
        return;
    }
    name(dump, member);
    if (dump->err == NOC_OK) {
        dump->err = noc_json_put_text(&dump->out, text);
    }
}

static void put_base64(struct dump *dump, const char *member, struct noc_slice bytes)
{
    char *text = malloc(NOC_BASE64_SIZE(bytes.n) + 1);

    if (text == NULL) {
        dump->err = NOC_ENOMEM;
        return;
    }
    *noc_base64_encode(text, bytes.at, bytes.n) = '\0';
    put_text(dump, member, noc_slice_of(text));
    free(text);
}

static void put_message(struct dump *dump, const struct noc_message *message)
{
    struct noc_message_parts parts;

    if (message == NULL) {
        return;
    }
    parts = noc_message_parts(message);
    put_text(dump, "topic", parts.topic);
    put_number(dump, "published_qos", parts.qos);
    put_bool(dump, "published_retain", parts.retain);
    put_time(dump, "expires", parts.expires_ms);
    put_base64(dump, "properties", parts.props);
    put_base64(dump, "payload", parts.payload);
}

static int end(struct dump *dump)
{
    if (dump->err == NOC_OK) {
        dump->err = noc_json_close(&dump->out, '}');
    }
    if (dump->err == NOC_OK) {
        (void)fwrite(dump->buffer.at, 1, dump->buffer.n, stdout);
        (void)putchar('\n');
    }
    dump->buffer.n = 0;
    return dump->err;
}

static void put_client(struct dump *dump)
{
    put_text(dump, "clientid", noc_slice(dump->client_id, dump->client_id_n));
}

static int dump_session(void *context, const struct noc_session_record *record)
{
    struct dump *dump = context;

    dump->client_id_n = record->client_id.n;
    memcpy(dump->client_id, record->client_id.at, record->client_id.n);
    begin(dump, "session");
    put_client(dump);
    put_number(dump, "slot", record->slot);
    put_text(dump, "username", record->username);
    put_number(dump, "version", record->version);
    put_bool(dump, "connected", record->is_connected);
    put_number(dump, "port", record->port);
    put_number(dump, "expiry_interval", record->expiry_s);
    put_time(dump, "expires", record->expires_ms);
    put_number(dump, "sent", record->sent);
    if (end(dump) == NOC_OK && record->will != NULL) {
        begin(dump, "will");
        put_client(dump);
        put_number(dump, "delay", record->will_delay_s);
        put_time(dump, "due", record->will_due_ms);
        put_message(dump, record->will);
        (void)end(dump);
    }
    return dump->err;
}

static int dump_subscription(void *context, const struct noc_subscription_record *record)
{
    struct dump *dump = context;

    begin(dump, "subscription");
    put_client(dump);
    put_text(dump, "share", record->group);
    put_text(dump, "filter", record->filter);
    put_number(dump, "options", record->options);
    put_number(dump, "identifier", record->id);
    return end(dump);
}

static int dump_incoming(void *context, const struct noc_incoming_record *record)
{
    struct dump *dump = context;

    begin(dump, "incoming");
    put_client(dump);
    put_number(dump, "mid", record->packet_id);
    put_message(dump, record->message);
    return end(dump);
}

static int dump_outgoing(void *context, const struct noc_outgoing_record *record)
{
    struct dump *dump = context;

    begin(dump, "outgoing");
    put_client(dump);
    put_number(dump, "sequence", record->sequence);
    put_number(dump, "mid", noc_packet_id(record->sequence));
    put_number(dump, "qos", record->qos);
    put_bool(dump, "retain", record->retain);
    put_bool(dump, "received", record->message == NULL); /* its PUBREC has come */
    name(dump, "identifiers");
    if (dump->err == NOC_OK) {
        dump->err = noc_json_open(&dump->out, '[');
    }
    for (uint32_t i = 0; i < record->id_count && dump->err == NOC_OK; i++) {
        char digits[16];

        (void)snprintf(digits, sizeof digits, "%" PRIu32, record->ids[i]);
        dump->err = noc_json_next_element(&dump->out);
        if (dump->err == NOC_OK) {
            dump->err = noc_json_put_word(&dump->out, digits);
        }
    }
    if (dump->err == NOC_OK) {
        dump->err = noc_json_close(&dump->out, ']');
    }
    put_message(dump, record->message);
    return end(dump);
}

static int dump_retained(void *context, const struct noc_retained_record *record)
{
    struct dump *dump = context;

    begin(dump, "retained");
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
        dump->now_ms = clock_ms();
        dump->now_wall_ms = wall_ms();
        err = noc_store_load(opened.store, &visitor, dump, &loaded, error, error_n);
        close_store(&opened);
    }
    if (dump != NULL) {
        noc_output_buffer_done(&dump->buffer);
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
