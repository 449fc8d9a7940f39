/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store_read.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "store/store_row.h"

/* Payloads of large messages that are kept though nobody else holds them, at most; twice as much for a moment. */
#define KEPT_BYTES UINT64_C(16777216)

void noc_store_reader_init(struct noc_store_reader *reader, struct noc_store *store)
{
    *reader = (struct noc_store_reader){.store = store, .most_bytes = KEPT_BYTES};
}

void noc_store_reader_done(struct noc_store_reader *reader)
{
    struct noc_message *message;
    size_t at = 0;

    while ((message = noc_map64_next(&reader->messages, &at)) != NULL) {
        noc_message_unref(message);
    }
    noc_map64_done(&reader->messages);
    free(reader->ids);
}

struct noc_slice noc_store_text_at(sqlite3_stmt *row, int column)
{
    const char *text = (const char *)sqlite3_column_text(row, column);

    return noc_slice(text, (size_t)sqlite3_column_bytes(row, column));
}

struct noc_slice noc_store_bytes_at(sqlite3_stmt *row, int column)
{
    const void *bytes = sqlite3_column_blob(row, column);

    return noc_slice(bytes, (size_t)sqlite3_column_bytes(row, column));
}

uint64_t noc_store_time_at(const struct noc_store *store, sqlite3_stmt *row, int column)
{
    return sqlite3_column_type(row, column) == SQLITE_NULL
               ? NOC_NEVER_MS
               : noc_store_time_in(store->time, (uint64_t)sqlite3_column_int64(row, column));
}

struct noc_message *noc_store_message_at(
    const struct noc_store *store, sqlite3_stmt *row, int column, int *ret_err)
{
    struct noc_message_parts parts = {.topic = noc_store_text_at(row, column)};
    struct noc_message *message;

    if (sqlite3_column_type(row, column) == SQLITE_NULL || parts.topic.n > UINT16_MAX) {
        return NULL;
    }
    parts.props = noc_store_bytes_at(row, column + 1);
    parts.payload = noc_store_bytes_at(row, column + 2);
    parts.qos = (uint8_t)sqlite3_column_int(row, column + 3);
    parts.retain = sqlite3_column_int(row, column + 4) != 0;
    parts.expires_ms = noc_store_time_at(store, row, column + 5);
    message = noc_message_new(&parts);
    if (message == NULL) {
        *ret_err = NOC_ENOMEM;
    }
    return message;
}

/* Those go that nobody else holds. Next time when there is as much again. */
static void forget_unheld(struct noc_store_reader *reader)
{
    struct noc_map64 held = {.entries = NULL};

    reader->bytes = 0;
    for (size_t at = 0; reader->messages.entries != NULL && at <= reader->messages.mask; at++) {
        const struct noc_map64_entry *entry = &reader->messages.entries[at];
        struct noc_message *message = entry->key == 0 ? NULL : entry->value;

        if (message == NULL) {
            continue;
        }
        if (atomic_load_explicit(&message->references, memory_order_relaxed) > 1 &&
            noc_map64_set(&held, entry->key, message) == NOC_OK) {
            reader->bytes += message->payload_n;
        } else {
            noc_message_unref(message);
        }
    }
    noc_map64_done(&reader->messages);
    reader->messages = held;
    reader->most_bytes = reader->bytes + KEPT_BYTES;
}

static int keep_message(struct noc_store_reader *reader, int64_t id, struct noc_message *message)
{
    if (reader->bytes > reader->most_bytes) {
        forget_unheld(reader);
    }
    if (noc_map64_set(&reader->messages, (uint64_t)id, message) < 0) {
        return NOC_ENOMEM;
    }
    reader->bytes += message->payload_n;
    return NOC_OK;
}

/* A message of the table messages, with a reference for the caller. */
static int large_message(
    struct noc_store_reader *reader, int64_t id, struct noc_message **ret_message)
{
    sqlite3_stmt *row = reader->store->connection.statements[NOC_STORE_GET_MESSAGE];
    struct noc_message *message = noc_map64_get(&reader->messages, (uint64_t)id);
    int err = NOC_EMALFORMED;
    int rc;

    if (message != NULL || id <= 0) {
        *ret_message = noc_message_ref(message);
        return message == NULL ? NOC_EMALFORMED : NOC_OK;
    }
    rc = sqlite3_bind_int64(row, 1, id);
    if (rc == SQLITE_OK) {
        rc = sqlite3_step(row);
    }
    if (rc == SQLITE_ROW && noc_store_row_is_whole(row, NOC_STORE_MESSAGES)) {
        message = noc_store_message_at(reader->store, row, 1, &err);
        err = message != NULL ? NOC_OK : err;
    } else if (rc != SQLITE_ROW && rc != SQLITE_DONE) {
        err = (rc & 0xff) == SQLITE_NOMEM ? NOC_ENOMEM : NOC_EIO;
    }
    (void)sqlite3_reset(row);
    if (message != NULL) {
        err = keep_message(reader, id, message);
        if (err < 0) {
            noc_message_unref(message);
            return err;
        }
        *ret_message = noc_message_ref(message);
    }
    return err;
}

/* The subscription identifiers, into reader->ids. */
static int read_ids(
    struct noc_store_reader *reader, sqlite3_stmt *row, struct noc_outgoing_record *record)
{
    struct noc_slice bytes = noc_store_bytes_at(row, 3);
    size_t count = bytes.n / 4;
    const uint8_t *at = (const uint8_t *)bytes.at;

    if (sqlite3_column_type(row, 3) == SQLITE_NULL) {
        return NOC_OK;
    }
    if (sqlite3_column_type(row, 3) == SQLITE_INTEGER) {
        count = 1;
    }
    if (count > reader->ids_room) {
        uint32_t *ids = realloc(reader->ids, count * sizeof(*ids));

        if (ids == NULL) {
            return NOC_ENOMEM;
        }
        reader->ids = ids;
        reader->ids_room = count;
    }
    if (sqlite3_column_type(row, 3) == SQLITE_INTEGER) {
        reader->ids[0] = (uint32_t)sqlite3_column_int64(row, 3);
    } else {
        for (size_t i = 0; i < count; i++) {
            reader->ids[i] = noc_get_u32(at + 4 * i);
        }
    }
    record->ids = reader->ids;
    record->id_count = (uint32_t)count;
    return NOC_OK;
}

int noc_store_read_outgoing(
    struct noc_store_reader *reader, sqlite3_stmt *row, struct noc_outgoing_record *ret_record)
{
    uint64_t key = (uint64_t)sqlite3_column_int64(row, 0);
    struct noc_outgoing_record record = {
        .slot = key >> 36,
        .sequence = key & NOC_SEQUENCE_MAX,
        .qos = (uint8_t)sqlite3_column_int(row, 1),
        .retain = sqlite3_column_int(row, 2) != 0,
    };
    int err = read_ids(reader, row, &record);

    if (err == NOC_OK && sqlite3_column_type(row, 4) != SQLITE_NULL) {
        err = large_message(reader, sqlite3_column_int64(row, 4), &record.message);
    } else if (err == NOC_OK) {
        record.message = noc_store_message_at(reader->store, row, 5, &err);
    }
    if (err == NOC_OK) {
        *ret_record = record;
    }
    return err;
}
