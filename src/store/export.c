/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each message becomes a base message right in front of what needs it; a client's chunk and the config at the start
 * are written again when their last number is known.
 */
#define _GNU_SOURCE
#include "store/export.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/session.h"
#include "store/mosquitto_file.h"

/* What a client that was connected has in flight at most, where that is not stored: Mosquitto's own limit. */
enum { INFLIGHT_MAX = 20 };

struct export
{
    FILE *out;
    uint64_t now_ms; /* on the clock of the records, */
    int64_t wall_s;  /* and since 1970 */
    uint64_t last_id;
    struct noc_export_counts *counts;
    int failure; /* of out: errno */

    /* The session that came last. */
    struct noc_session_record session; /* its texts are in client */
    struct noc_mosquitto_record client;
    char *texts;
    long at; /* where its chunk is */
    bool has_session, is_queueing;
    unsigned inflight;
};

/* ---- chunks ---- */

static int write_record(struct export *export, const struct noc_mosquitto_record *record)
{
    int err = NOC_OK;

    if (noc_mosquitto_write_size(record) == 0) {
        export->counts->left_out++;
    } else {
        err = noc_mosquitto_file_put(export->out, record);
    }
    if (err == NOC_EIO) {
        export->failure = errno;
    }
    return err;
}

/* The same over what is there. */
static int write_again(struct export *export, long at, const struct noc_mosquitto_record *record)
{
    int err = NOC_EIO;

    if (fseek(export->out, at, SEEK_SET) == 0) {
        err = write_record(export, record);
    }
    if (err == NOC_OK && fseek(export->out, 0, SEEK_END) != 0) {
        err = NOC_EIO;
    }
    if (err == NOC_EIO) {
        export->failure = errno;
    }
    return err;
}

static struct noc_mosquitto_record config(const struct export *export)
{
    return (struct noc_mosquitto_record){.kind = NOC_MOSQUITTO_CONFIG,
        .config = {.last_store_id = export->last_id, .is_shutdown = true}};
}

/* ---- records ---- */

/* A time on the records' clock as seconds since 1970, rounded up; never: 0. */
static int64_t wall_s(const struct export *export, uint64_t clock_ms)
{
    if (clock_ms == NOC_NEVER_MS) {
        return 0;
    }
    return clock_ms <= export->now_ms
               ? export->wall_s
               : export->wall_s + (int64_t)((clock_ms - export->now_ms + 999) / 1000);
}

/* The message gets an id. message NULL: one of which nothing is left but its flow. */
static int write_base(
    struct export *export, const struct noc_message *message, uint8_t qos, uint64_t *ret_id)
{
    struct noc_mosquitto_record record = {.kind = NOC_MOSQUITTO_BASE_MESSAGE};
    struct noc_mosquitto_base_message *base = &record.base_message;

    *ret_id = base->store_id = ++export->last_id;
    base->topic = noc_slice_of("-");
    base->qos = qos;
    if (message != NULL) {
        struct noc_message_parts parts = noc_message_parts(message);

        base->expiry_time_s = wall_s(export, parts.expires_ms);
        base->qos = parts.qos;
        base->is_retain = parts.retain;
        base->topic = parts.topic;
        base->payload = parts.payload;
        base->props = parts.props;
    }
    return write_record(export, &record);
}

static bool is_expired(struct export *export, const struct noc_message *message)
{
    bool is_over = message != NULL && message->expires_ms <= export->now_ms;

    export->counts->expired += is_over;
    return is_over;
}

/* The client's chunk knows now which packet id was given out last. */
static int finish_session(struct export *export)
{
    int err = NOC_OK;

    if (export->has_session && export->client.client.last_packet_id != 0) {
        err = write_again(export, export->at, &export->client);
    }
    export->has_session = false;
    free(export->texts);
    export->texts = NULL;
    return err;
}

static int on_session(void *context, const struct noc_session_record *record)
{
    struct export *export = context;
    struct noc_mosquitto_client *client = &export->client.client;
    int err = finish_session(export);

    if (err != NOC_OK) {
        return err;
    }
    export->texts = malloc(record->client_id.n + record->username.n + 1);
    if (export->texts == NULL) {
        return NOC_ENOMEM;
    }
    memcpy(export->texts, record->client_id.at, record->client_id.n);
    if (record->username.n > 0) {
        memcpy(export->texts + record->client_id.n, record->username.at, record->username.n);
    }
    export->session = *record;
    export->client = (struct noc_mosquitto_record){.kind = NOC_MOSQUITTO_CLIENT};
    client->client_id = noc_slice(export->texts, record->client_id.n);
    client->username = noc_slice(export->texts + record->client_id.n, record->username.n);
    client->has_expiry = true;
    client->session_expiry_interval_s = record->expiry_s;
    client->session_expiry_time_s = wall_s(export, record->expires_ms);
    client->listener_port = record->port;
    export->has_session = true;
    export->is_queueing = false;
    export->inflight = 0;
    export->counts->sessions++;
    export->counts->wills += record->will != NULL;
    export->at = ftell(export->out);
    return write_record(export, &export->client);
}

static int on_subscription(void *context, const struct noc_subscription_record *record)
{
    struct export *export = context;
    struct noc_mosquitto_record chunk = {.kind = NOC_MOSQUITTO_SUBSCRIPTION};
    char *filter = NULL;
    int n, err;

    chunk.subscription.client_id = export->client.client.client_id;
    chunk.subscription.filter = record->filter;
    chunk.subscription.options = record->options;
    chunk.subscription.identifier = record->id;
    if (record->group.at != NULL) {
        n = asprintf(&filter, "$share/%.*s/%.*s", NOC_SLICE_ARG(record->group),
            NOC_SLICE_ARG(record->filter));
        if (n < 0) {
            return NOC_ENOMEM;
        }
        chunk.subscription.filter = noc_slice(filter, (size_t)n);
    }
    err = write_record(export, &chunk);
    free(filter);
    export->counts->subscriptions += err == NOC_OK;
    return err;
}

static int write_client_message(struct export *export, struct noc_mosquitto_client_message what,
    const struct noc_message *message)
{
    struct noc_mosquitto_record chunk = {.kind = NOC_MOSQUITTO_CLIENT_MESSAGE};
    int err = write_base(export, message, what.qos, &what.store_id);

    what.client_id = export->client.client.client_id;
    chunk.client_message = what;
    if (err == NOC_OK) {
        err = write_record(export, &chunk);
    }
    export->counts->messages += err == NOC_OK;
    return err;
}

static int on_incoming(void *context, const struct noc_incoming_record *record)
{
    return write_client_message(context,
        (struct noc_mosquitto_client_message){
            .packet_id = record->packet_id, .qos = 2, .state = NOC_MOSQUITTO_WAIT_PUBREL},
        record->message);
}

/* Had it been sent, as far as can be told? Nothing behind what had not can have been. */
static bool was_sent(struct export *export, const struct noc_outgoing_record *record)
{
    if (!export->is_queueing) {
        export->is_queueing =
            record->message != NULL &&
            (export->session.is_connected ? export->inflight >= INFLIGHT_MAX
                                          : record->sequence >= export->session.sent);
    }
    return !export->is_queueing;
}

static int on_outgoing(void *context, const struct noc_outgoing_record *record)
{
    struct export *export = context;
    /* Mosquitto numbers messages as they come to the queue. */
    struct noc_mosquitto_client_message what = {.packet_id = noc_packet_id(record->sequence),
        .qos = record->qos,
        .state = NOC_MOSQUITTO_QUEUED,
        .is_retain = record->retain,
        .is_outgoing = true,
        .subscription_id = record->id_count > 0 ? record->ids[0] : 0};

    if (was_sent(export, record)) {
        export->inflight++;
        what.is_dup = true;
        what.state = record->message == NULL ? NOC_MOSQUITTO_WAIT_PUBCOMP
                     : record->qos == 1      ? NOC_MOSQUITTO_WAIT_PUBACK
                                             : NOC_MOSQUITTO_WAIT_PUBREC;
    } else if (record->message == NULL || is_expired(export, record->message)) {
        return NOC_OK;
    }
    export->client.client.last_packet_id = what.packet_id;
    return write_client_message(export, what, record->message);
}

static int on_retained(void *context, const struct noc_retained_record *record)
{
    struct export *export = context;
    struct noc_mosquitto_record chunk = {.kind = NOC_MOSQUITTO_RETAINED};
    int err = finish_session(export);

    if (err == NOC_OK) {
        err = write_base(export, record->message, 0, &chunk.retained.store_id);
    }
    if (err == NOC_OK) {
        err = write_record(export, &chunk);
    }
    export->counts->retained += err == NOC_OK;
    return err;
}

int noc_export_mosquitto(struct noc_store *store, const struct noc_store_options *options,
    FILE *out, struct noc_export_counts *ret_counts, char *error, size_t error_n)
{
    static const struct noc_store_visitor visitor = {.session = on_session,
        .subscription = on_subscription,
        .incoming = on_incoming,
        .outgoing = on_outgoing,
        .retained = on_retained};
    struct export export = {.out = out,
        .now_ms = options->clock_ms(),
        .wall_s = options->clock_wall_ms() / 1000,
        .counts = ret_counts};
    struct noc_store_loaded loaded;
    struct noc_mosquitto_record first = config(&export);
    uint8_t head[NOC_MOSQUITTO_HEAD_BYTES];
    int err;

    *ret_counts = (struct noc_export_counts){0};
    error[0] = '\0';
    noc_mosquitto_write_head(head);
    if (fwrite(head, 1, sizeof head, out) != sizeof head) {
        return NOC_EIO;
    }
    err = write_record(&export, &first);
    if (err == NOC_OK) {
        err = noc_store_load(store, &visitor, &export, &loaded, error, error_n);
    }
    if (err == NOC_OK) {
        err = finish_session(&export);
    }
    if (err == NOC_OK) {
        first = config(&export);
        err = write_again(&export, (long)sizeof head, &first);
    }
    free(export.texts);
    if (export.failure != 0) {
        error[0] = '\0';
        errno = export.failure;
    }
    return err;
}
