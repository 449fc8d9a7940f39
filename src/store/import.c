/* SPDX-License-Identifier: Apache-2.0 */
#include "store/import.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "core/mail.h"
#include "core/map64.h"
#include "core/restore.h"
#include "mqtt/packet.h"
#include "mqtt/topic.h"
#include "store/mosquitto_file.h"

struct import {
    struct noc_core *core;
    const struct noc_import_clock *clock;
    const struct noc_listener *(*listener_of)(const void *context, uint16_t port);
    const void *context;
    struct noc_import_counts *counts;
    struct noc_map64 messages;        /* store id -> message, counted */
    struct noc_session *session;      /* of the client that came last; NULL: none */
    struct noc_session_record record; /* its own; texts are not used */
    bool was_connected;
};

/* ---- times ---- */

/* Seconds since 1970 on the core's clock; what is past is now. */
static uint64_t deadline(const struct import *import, int64_t time_s)
{
    int64_t left_s = time_s - import->clock->wall_s;

    return import->clock->now_ms + (left_s <= 0 ? 0 : (uint64_t)left_s * 1000);
}

/* ---- messages ---- */

static bool is_text(struct noc_slice text)
{
    return text.n > 0 && text.n <= UINT16_MAX && noc_utf8_is_valid(text);
}

static int import_base_message(
    struct import *import, const struct noc_mosquitto_base_message *record)
{
    uint8_t *props = malloc(record->props.n + 1);
    struct noc_message_parts parts = {.topic = record->topic,
        .payload = record->payload,
        .qos = record->qos,
        .retain = record->is_retain,
        .expires_ms = NOC_NEVER_MS};
    struct noc_message *message;
    int err = NOC_OK;

    if (props == NULL) {
        return NOC_ENOMEM;
    }
    if (record->expiry_time_s != 0) {
        parts.expires_ms = deadline(import, record->expiry_time_s);
    }
    if (record->store_id == 0 || !is_text(record->topic) || !noc_topic_is_valid(record->topic) ||
        parts.expires_ms <= import->clock->now_ms) {
        import->counts->left_out++;
        free(props);
        return NOC_OK;
    }
    parts.props =
        noc_slice(props, record->props.n == 0 ? 0 : noc_props_forward(record->props, props));
    message = noc_message_new(&parts);
    free(props);
    if (message != NULL) {
        noc_message_unref(noc_map64_take(&import->messages, record->store_id));
        err = noc_map64_set(&import->messages, record->store_id, message);
    }
    if (message == NULL || err != NOC_OK) {
        noc_message_unref(message);
        return NOC_ENOMEM;
    }
    return NOC_OK;
}

/* The session's next sequence number with this packet id; 0: whatever comes next. */
static uint64_t sequence_for(const struct noc_session *session, uint16_t packet_id)
{
    uint64_t next = session->next_sequence;

    return packet_id == 0 ? next : next + (packet_id + 65535u - noc_packet_id(next)) % 65535u;
}

static int import_outgoing(struct import *import, const struct noc_mosquitto_client_message *record,
    struct noc_message *message)
{
    bool is_received =
        record->state == NOC_MOSQUITTO_RESEND_PUBREL || record->state == NOC_MOSQUITTO_WAIT_PUBCOMP;
    bool is_queued = record->state == NOC_MOSQUITTO_QUEUED || record->qos == 0;
    struct noc_outgoing_record outgoing = {
        .sequence = sequence_for(import->session, is_queued ? 0 : record->packet_id),
        .message = is_received ? NULL : message,
        .ids = &record->subscription_id,
        .id_count = record->subscription_id != 0,
        .qos = record->qos,
        .retain = record->is_retain};

    if (record->qos > 2 || (message == NULL && !is_received)) {
        import->counts->left_out++;
        return NOC_OK;
    }
    import->record.sent = is_queued ? 0 : outgoing.sequence + 1;
    import->counts->messages++;
    return noc_restore_outgoing(import->session, &import->record, &outgoing);
}

static bool is_of_last_client(const struct import *import, struct noc_slice client_id)
{
    return import->session != NULL && noc_slice_equal(noc_session_id(import->session), client_id);
}

static int import_client_message(
    struct import *import, const struct noc_mosquitto_client_message *record)
{
    struct noc_message *message =
        record->store_id == 0 ? NULL : noc_map64_get(&import->messages, record->store_id);

    if (!is_of_last_client(import, record->client_id)) {
        import->counts->left_out++;
        return NOC_OK;
    }
    if (record->is_outgoing) {
        return import_outgoing(import, record, message);
    }
    if (message == NULL || record->packet_id == 0 || record->qos != 2) {
        import->counts->left_out++;
        return NOC_OK;
    }
    import->counts->messages++;
    return noc_restore_incoming(import->session,
        &(struct noc_incoming_record){.packet_id = record->packet_id, .message = message});
}

static int import_retained(struct import *import, const struct noc_mosquitto_retained *record)
{
    struct noc_message *message =
        record->store_id == 0 ? NULL : noc_map64_get(&import->messages, record->store_id);
    struct noc_message_parts parts;
    struct noc_message *own;
    int err;

    if (message == NULL || message->payload_n == 0) {
        import->counts->left_out++;
        return NOC_OK;
    }
    /* A queue may have it, too, and a retained message has its version for itself. */
    parts = noc_message_parts(message);
    parts.retain = true;
    own = noc_message_new(&parts);
    if (own == NULL) {
        return NOC_ENOMEM;
    }
    err = noc_restore_retained(import->core, &(struct noc_retained_record){.message = own});
    noc_message_unref(own);
    import->counts->retained += err == NOC_OK;
    return err;
}

/* ---- sessions ---- */

static void finish_session(struct import *import)
{
    if (import->session != NULL) {
        import->record.is_connected = import->was_connected;
        noc_restore_session_done(import->session, &import->record);
        import->session = NULL;
    }
}

static int import_client(struct import *import, const struct noc_mosquitto_client *record)
{
    int err;

    finish_session(import);
    if (!is_text(record->client_id)) {
        import->counts->left_out++;
        return NOC_OK;
    }
    import->record = (struct noc_session_record){.client_id = record->client_id,
        .version = record->has_expiry && record->session_expiry_interval_s != NOC_NEVER_S
                       ? NOC_V5
                       : NOC_V311,
        .expiry_s = record->has_expiry ? record->session_expiry_interval_s : NOC_NEVER_S,
        .expires_ms = NOC_NEVER_MS,
        .will_due_ms = NOC_NEVER_MS};
    import->was_connected = record->session_expiry_time_s == 0;
    if (record->username.n > 0 && !record->is_username_doubtful && is_text(record->username)) {
        import->record.username = record->username;
    }
    if (record->session_expiry_time_s != 0) {
        import->record.expires_ms = deadline(import, record->session_expiry_time_s);
    }
    err = noc_restore_session(import->core, &import->record,
        import->listener_of(import->context, record->listener_port), &import->session);
    if (err == NOC_OK && import->session != NULL) {
        import->counts->sessions++;
    } else if (err == NOC_OK) {
        import->counts->left_out++;
    }
    return err;
}

/* Its subscriptions may stand behind those of other clients. */
static struct noc_session *session_of(struct import *import, struct noc_slice client_id)
{
    struct noc_home *home;
    struct noc_session *session;

    if (is_of_last_client(import, client_id) || client_id.n == 0) {
        return client_id.n == 0 ? NULL : import->session;
    }
    home = noc_directory_enter_mt(import->core->directory, client_id, 0);
    if (home == NULL) {
        return NULL;
    }
    session = noc_session_find(import->core->shards[home->worker], home);
    (void)noc_directory_arrived_mt(import->core->directory, home, session != NULL);
    return session;
}

static int import_subscription(
    struct import *import, const struct noc_mosquitto_subscription *record)
{
    struct noc_session *session = session_of(import, record->client_id);
    struct noc_subscription_record subscription = {
        .filter = record->filter, .options = record->options, .id = record->identifier};
    int err;

    if (session == NULL || !is_text(record->filter) ||
        (!noc_share_split(record->filter, &subscription.group, &subscription.filter) &&
            !noc_filter_is_valid(record->filter)) ||
        (record->options & NOC_SUB_QOS) > 2) {
        import->counts->left_out++;
        return NOC_OK;
    }
    err = noc_restore_subscription(session, &subscription);
    import->counts->subscriptions += err == NOC_OK;
    return err;
}

/* ---- the file ---- */

static int import_record(struct import *import, const struct noc_mosquitto_record *record)
{
    switch (record->kind) {
    case NOC_MOSQUITTO_BASE_MESSAGE:
        return import_base_message(import, &record->base_message);
    case NOC_MOSQUITTO_CLIENT_MESSAGE:
        return import_client_message(import, &record->client_message);
    case NOC_MOSQUITTO_RETAINED:
        return import_retained(import, &record->retained);
    case NOC_MOSQUITTO_SUBSCRIPTION:
        return import_subscription(import, &record->subscription);
    case NOC_MOSQUITTO_CLIENT:
        return import_client(import, &record->client);
    case NOC_MOSQUITTO_UNKNOWN:
    case NOC_MOSQUITTO_CONFIG:
    case NOC_MOSQUITTO_KINDS:
        break;
    }
    return NOC_OK;
}

static void say_fault(const char *path, const struct noc_mosquitto_file *file, int err,
    char *ret_error, size_t error_n)
{
    if (err == NOC_EIO) {
        (void)snprintf(ret_error, error_n, "%s: %s", path, strerror(errno));
    } else if (err == NOC_ENOMEM) {
        (void)snprintf(ret_error, error_n, "%s: out of memory", path);
    } else {
        (void)snprintf(ret_error, error_n, "%s: %s, at byte %lu", path,
            file->reader.fault.what == NULL ? "not a database of Mosquitto's"
                                            : file->reader.fault.what,
            (unsigned long)file->reader.fault.offset);
    }
}

int noc_import_mosquitto(struct noc_core *core, const char *path,
    const struct noc_import_clock *clock,
    const struct noc_listener *(*listener_of)(const void *context, uint16_t port),
    const void *context, struct noc_import_counts *ret_counts, char *ret_error, size_t error_n)
{
    struct import import = {.core = core,
        .clock = clock,
        .listener_of = listener_of,
        .context = context,
        .counts = ret_counts};
    struct noc_mosquitto_record record;
    struct noc_mosquitto_file file;
    struct noc_message *message;
    size_t at = 0;
    int err;

    *ret_counts = (struct noc_import_counts){0};
    if (noc_mosquitto_file_open(&file, path) != NOC_OK) {
        (void)snprintf(ret_error, error_n, "%s: %s", path, strerror(errno));
        return NOC_EIO;
    }
    while ((err = noc_mosquitto_file_next(&file, &record)) == 1) {
        err = import_record(&import, &record);
        if (err != NOC_OK) {
            break;
        }
    }
    finish_session(&import);
    ret_counts->version = file.reader.version;
    if (err != NOC_OK) {
        say_fault(path, &file, err, ret_error, error_n);
    }
    noc_mosquitto_file_close(&file);
    while ((message = noc_map64_next(&import.messages, &at)) != NULL) {
        noc_message_unref(message);
    }
    noc_map64_done(&import.messages);
    return err;
}
