/* SPDX-License-Identifier: Apache-2.0 */
/* Operations into rows. The columns are bound in the order of the tables in store_schema.c. */
#include "store/store_internal.h"

#include <assert.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "store/store_row.h"

static uint64_t outgoing_key(uint64_t slot, uint64_t sequence)
{
    assert(slot <= NOC_SLOT_MAX && sequence <= NOC_SEQUENCE_MAX);
    return slot << 36 | sequence;
}

static uint64_t incoming_key(uint64_t slot, uint64_t packet_id)
{
    assert(slot <= NOC_SLOT_MAX && packet_id <= UINT16_MAX);
    return slot << 16 | packet_id;
}

/* A text that is there, be it empty. */
static struct noc_slice present(struct noc_slice text)
{
    return text.at == NULL ? noc_slice("", 0) : text;
}

static void put_time(struct noc_store *store, struct noc_store_row *row, uint64_t clock_ms)
{
    if (clock_ms == NOC_NEVER_MS) {
        noc_store_row_null(row);
    } else {
        noc_store_row_number(row, noc_store_time_out(store->time, clock_ms));
    }
}

/* The six columns of a message; NULL: there is none here. */
static void put_message(
    struct noc_store *store, struct noc_store_row *row, const struct noc_message *message)
{
    struct noc_message_parts parts;

    if (message == NULL) {
        for (unsigned i = 0; i < 6; i++) {
            noc_store_row_null(row);
        }
        return;
    }
    parts = noc_message_parts(message);
    noc_store_row_text(row, parts.topic);
    noc_store_row_bytes(row, parts.props);
    noc_store_row_bytes(row, parts.payload);
    noc_store_row_number(row, parts.qos);
    noc_store_row_number(row, parts.retain);
    put_time(store, row, parts.expires_ms);
}

static void begin(struct noc_store *store, struct noc_store_row *row,
    enum noc_store_statement statement, enum noc_store_table table)
{
    noc_store_row_begin(row, store->connection.statements[statement], (char)table);
}

static int put_session(struct noc_store *store, const struct noc_session_record *session)
{
    struct noc_store_row row;

    begin(store, &row, NOC_STORE_PUT_SESSION, NOC_STORE_SESSIONS);
    noc_store_row_number(&row, session->slot);
    noc_store_row_text(&row, present(session->client_id));
    noc_store_row_text(&row, session->username);
    noc_store_row_number(&row, session->version);
    noc_store_row_number(&row, session->is_connected);
    noc_store_row_number(&row, session->port);
    noc_store_row_number(&row, session->expiry_s);
    put_time(store, &row, session->expires_ms);
    noc_store_row_number(&row, session->sent);
    noc_store_row_number(&row, session->will_delay_s);
    if (session->will_has_expiry) {
        noc_store_row_number(&row, session->will_expiry_s);
    } else {
        noc_store_row_null(&row);
    }
    put_time(store, &row, session->will_due_ms);
    put_message(store, &row, session->will);
    return noc_store_row_end(&row);
}

static int put_subscription(
    struct noc_store *store, const struct noc_subscription_record *subscription)
{
    struct noc_store_row row;

    begin(store, &row, NOC_STORE_PUT_SUBSCRIPTION, NOC_STORE_SUBSCRIPTIONS);
    noc_store_row_number(&row, subscription->slot);
    noc_store_row_text(&row, present(subscription->group));
    noc_store_row_text(&row, present(subscription->filter));
    noc_store_row_number(&row, subscription->options);
    noc_store_row_number(&row, subscription->id);
    return noc_store_row_end(&row);
}

static int put_incoming(struct noc_store *store, const struct noc_operation *operation)
{
    struct noc_store_row row;

    begin(store, &row, NOC_STORE_PUT_INCOMING, NOC_STORE_INCOMING);
    noc_store_row_number(&row, incoming_key(operation->slot, operation->first));
    put_message(store, &row, operation->message);
    return noc_store_row_end(&row);
}

/* Run a statement of numbers only. */
static int run(
    struct noc_store *store, enum noc_store_statement number, uint64_t first, uint64_t last)
{
    sqlite3_stmt *statement = store->connection.statements[number];
    int rc = sqlite3_bind_int64(statement, 1, (sqlite3_int64)first);

    if (rc == SQLITE_OK && sqlite3_bind_parameter_count(statement) > 1) {
        rc = sqlite3_bind_int64(statement, 2, (sqlite3_int64)last);
    }
    if (rc == SQLITE_OK) {
        rc = sqlite3_step(statement);
    }
    (void)sqlite3_reset(statement);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/*
 * The row of a large message, made for the first of this group's operations that needs it. The message
 * lives as long as the group, so its address stands for it.
 */
static int share_message(
    struct noc_store *store, const struct noc_message *message, uint64_t *ret_id)
{
    uint64_t key = (uint64_t)(uintptr_t)message;
    uint64_t id = (uint64_t)(uintptr_t)noc_map64_get(&store->message_ids, key);
    struct noc_store_row row;
    int rc;

    if (id == 0) {
        id = store->next_message;
        if (noc_map64_set(&store->message_ids, key, (void *)(uintptr_t)id) < 0) {
            return SQLITE_NOMEM;
        }
        begin(store, &row, NOC_STORE_PUT_MESSAGE, NOC_STORE_MESSAGES);
        noc_store_row_number(&row, id);
        put_message(store, &row, message);
        rc = noc_store_row_end(&row);
        if (rc != SQLITE_OK) {
            (void)noc_map64_take(&store->message_ids, key);
            return rc;
        }
        store->next_message++;
    }
    *ret_id = id;
    return SQLITE_OK;
}

/* Subscription identifiers: none NULL, one a number, more of them four bytes each. */
static int put_ids(
    struct noc_store_row *row, const struct noc_operation *operation, uint8_t **ret_bytes)
{
    const uint32_t *ids = noc_operation_ids(operation);
    uint8_t *at;

    if (operation->id_count == 0) {
        noc_store_row_null(row);
    } else if (operation->id_count == 1) {
        noc_store_row_number(row, ids[0]);
    } else {
        *ret_bytes = at = malloc((size_t)operation->id_count * 4);
        if (at == NULL) {
            return SQLITE_NOMEM;
        }
        for (uint32_t i = 0; i < operation->id_count; i++) {
            at = noc_put_u32(at, ids[i]);
        }
        noc_store_row_bytes(row, noc_slice(*ret_bytes, (size_t)operation->id_count * 4));
    }
    return SQLITE_OK;
}

static bool is_large(const struct noc_message *message)
{
    return (uint64_t)message->topic_n + message->props_n + message->payload_n >
           NOC_STORE_INLINE_BYTES;
}

/* One row; message NULL: after its PUBREC. */
static int insert_outgoing(struct noc_store *store, const struct noc_operation *operation,
    const struct noc_message *message, uint64_t shared)
{
    struct noc_store_row row;
    uint8_t *ids = NULL;
    int rc;

    begin(store, &row, NOC_STORE_PUT_OUTGOING, NOC_STORE_OUTGOING);
    noc_store_row_number(&row, outgoing_key(operation->slot, operation->first));
    noc_store_row_number(&row, message == NULL ? 2 : operation->qos);
    noc_store_row_number(&row, operation->retain);
    if (message == NULL) {
        noc_store_row_null(&row);
    } else if (put_ids(&row, operation, &ids) != SQLITE_OK) {
        return SQLITE_NOMEM;
    }
    if (shared != 0) {
        noc_store_row_number(&row, shared);
        put_message(store, &row, NULL);
    } else {
        noc_store_row_null(&row);
        put_message(store, &row, message);
    }
    rc = noc_store_row_end(&row);
    free(ids);
    return rc;
}

/*
 * Rows go. The trigger may take messages along, and this group's among them: then the next operation
 * that needs one makes its row again.
 */
static int end_outgoing(struct noc_store *store, uint64_t slot, uint64_t first, uint64_t last)
{
    sqlite3 *db = store->connection.db;
    sqlite3_int64 before = sqlite3_total_changes64(db);
    int rc =
        run(store, NOC_STORE_END_OUTGOING, outgoing_key(slot, first), outgoing_key(slot, last));

    if (rc == SQLITE_OK && store->message_ids.count > 0 &&
        sqlite3_total_changes64(db) - before != sqlite3_changes64(db)) {
        noc_map64_done(&store->message_ids);
        store->message_ids = (struct noc_map64){.entries = NULL};
    }
    return rc;
}

static int put_outgoing(struct noc_store *store, const struct noc_operation *operation,
    const struct noc_message *message)
{
    uint64_t shared = 0;
    int rc;

    if (message != NULL && is_large(message)) {
        rc = end_outgoing(store, operation->slot, operation->first, operation->first);
        if (rc == SQLITE_OK) {
            rc = share_message(store, message, &shared);
        }
        return rc != SQLITE_OK ? rc : insert_outgoing(store, operation, message, shared);
    }
    rc = insert_outgoing(store, operation, message, 0);
    if ((rc & 0xff) == SQLITE_CONSTRAINT) {
        rc = end_outgoing(store, operation->slot, operation->first, operation->first);
        if (rc == SQLITE_OK) {
            rc = insert_outgoing(store, operation, message, 0);
        }
    }
    return rc;
}

static int put_retained(struct noc_store *store, const struct noc_operation *operation)
{
    struct noc_store_row row;

    begin(store, &row, NOC_STORE_PUT_RETAINED, NOC_STORE_RETAINED);
    put_message(store, &row, operation->message);
    noc_store_row_number(&row, operation->first);
    return noc_store_row_end(&row);
}

static int end_retained(struct noc_store *store, const struct noc_operation *operation)
{
    sqlite3_stmt *statement = store->connection.statements[NOC_STORE_END_RETAINED];
    struct noc_slice topic = noc_message_topic(operation->message);
    int rc;

    if (noc_store_tombstone_add(&store->tombstones, operation->message, operation->first,
            noc_store_now_ms(store)) < 0) {
        return SQLITE_NOMEM;
    }
    rc = sqlite3_bind_text64(statement, 1, topic.at, topic.n, SQLITE_STATIC, SQLITE_UTF8);
    if (rc == SQLITE_OK) {
        rc = sqlite3_bind_int64(statement, 2, (sqlite3_int64)operation->first);
    }
    if (rc == SQLITE_OK) {
        rc = sqlite3_step(statement);
    }
    (void)sqlite3_reset(statement);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int set_retained(struct noc_store *store, const struct noc_operation *operation)
{
    if (noc_store_tombstone_covers(
            &store->tombstones, noc_message_topic(operation->message), operation->first)) {
        return SQLITE_OK;
    }
    return operation->message->payload_n == 0 ? end_retained(store, operation)
                                              : put_retained(store, operation);
}

static int end_subscription(
    struct noc_store *store, const struct noc_subscription_record *subscription)
{
    sqlite3_stmt *statement = store->connection.statements[NOC_STORE_END_SUBSCRIPTION];
    struct noc_slice group = present(subscription->group);
    struct noc_slice filter = present(subscription->filter);
    int rc = sqlite3_bind_int64(statement, 1, (sqlite3_int64)subscription->slot);

    if (rc == SQLITE_OK) {
        rc = sqlite3_bind_text64(statement, 2, group.at, group.n, SQLITE_STATIC, SQLITE_UTF8);
    }
    if (rc == SQLITE_OK) {
        rc = sqlite3_bind_text64(statement, 3, filter.at, filter.n, SQLITE_STATIC, SQLITE_UTF8);
    }
    if (rc == SQLITE_OK) {
        rc = sqlite3_step(statement);
    }
    (void)sqlite3_reset(statement);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int end_session(struct noc_store *store, uint64_t slot)
{
    int rc = run(store, NOC_STORE_END_SESSION, slot, 0);

    noc_store_tickets_forget_slot(store, slot);
    if (rc == SQLITE_OK) {
        rc = run(store, NOC_STORE_END_SUBSCRIPTIONS, slot, 0);
    }
    if (rc == SQLITE_OK) {
        rc = run(
            store, NOC_STORE_END_INCOMING, incoming_key(slot, 0), incoming_key(slot, UINT16_MAX));
    }
    if (rc == SQLITE_OK) {
        rc = end_outgoing(store, slot, 0, NOC_SEQUENCE_MAX);
    }
    return rc;
}

int noc_store_apply(struct noc_store *store, const struct noc_operation *operation)
{
    switch ((enum noc_operation_kind)operation->kind) {
    case NOC_OP_SESSION:
        return put_session(store, operation->as.session);
    case NOC_OP_SESSION_END:
        return end_session(store, operation->slot);
    case NOC_OP_SUBSCRIPTION:
        return put_subscription(store, operation->as.subscription);
    case NOC_OP_SUBSCRIPTION_END:
        return end_subscription(store, operation->as.subscription);
    case NOC_OP_OUTGOING:
        return put_outgoing(store, operation, operation->message);
    case NOC_OP_OUTGOING_PUBREC:
        return put_outgoing(store, operation, NULL);
    case NOC_OP_OUTGOING_END:
        return end_outgoing(store, operation->slot, operation->first, operation->last);
    case NOC_OP_INCOMING:
        return put_incoming(store, operation);
    case NOC_OP_INCOMING_END:
        return run(store, NOC_STORE_END_INCOMING, incoming_key(operation->slot, operation->first),
            incoming_key(operation->slot, operation->first));
    case NOC_OP_RETAINED:
        return set_retained(store, operation);
    case NOC_OP_PART:
        break;
    }
    return SQLITE_OK;
}

int noc_store_apply_clock(struct noc_store *store)
{
    int64_t wall_ms = store->options.clock_wall_ms();
    struct noc_store_row row;

    begin(store, &row, NOC_STORE_PUT_CLOCK, NOC_STORE_CLOCK);
    noc_store_row_number(&row, 1);
    noc_store_row_number(&row, noc_store_time_out(store->time, noc_store_now_ms(store)));
    noc_store_row_number(&row, (uint64_t)wall_ms);
    return noc_store_row_end(&row);
}
