/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows into records. Four cursors walk side by side, each in the order of slots:
 *
 *   sessions       1         3     4
 *   subscriptions  1 1       3 3   4        a row of a slot that has no session is a stray
 *   incoming           2*    3
 *   outgoing       1 1 1           4 4
 *
 * Large messages are read once, and shared by the records that have them.
 */
#include "store/store_read.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "store/store_row.h"

/* One table in the order of its keys, standing on a row. */
struct cursor {
    sqlite3_stmt *statement;
    const struct noc_store_table_row *table;
    unsigned shift; /* of the slot in the first column */
    bool is_at_end;
    char *key; /* of the latest row, so that keys compare as bytes */
    size_t key_n, key_room;
};

struct load {
    struct noc_store *store;
    const struct noc_store_visitor *visitor;
    void *context;
    struct noc_store_loaded *loaded;
    struct cursor sessions, subscriptions, incoming, outgoing, retained;
    struct noc_store_reader reader;
    char *error;
    size_t error_n;
};

static int64_t number(const struct cursor *cursor, int column)
{
    return sqlite3_column_int64(cursor->statement, column);
}

static uint64_t slot_of(const struct cursor *cursor)
{
    return (uint64_t)number(cursor, 0) >> cursor->shift;
}

static int bad_file(struct load *load, const char *table, const char *what, const char *key)
{
    (void)snprintf(load->error, load->error_n,
        "cannot use '%s': table %s, key %s: %s; put a backup in its place, or set "
        "persistence_on_error recover (or empty)",
        load->store->path, table, key, what);
    return NOC_EMALFORMED;
}

static int damaged(struct load *load, const struct cursor *cursor, const char *what)
{
    char key[96];

    if (cursor->table->table == NOC_STORE_RETAINED) {
        const char *text = (const char *)sqlite3_column_text(cursor->statement, 0);

        (void)snprintf(key, sizeof(key), "'%.80s'", text == NULL ? "" : text);
    } else if (cursor->shift == 0) {
        (void)snprintf(key, sizeof(key), "%lld", (long long)number(cursor, 0));
    } else {
        (void)snprintf(key, sizeof(key), "%lld (slot %llu, number %llu)",
            (long long)number(cursor, 0), (unsigned long long)slot_of(cursor),
            (unsigned long long)number(cursor, 0) & ((UINT64_C(1) << cursor->shift) - 1));
    }
    if (load->store->options.on_error == NOC_STORE_STOP) {
        return bad_file(load, cursor->table->name, what, key);
    }
    noc_store_log(load->store, NOC_LOG_WARNING, "'%s': table %s, key %s: %s; the row is left out",
        load->store->path, cursor->table->name, key, what);
    load->loaded->damaged++;
    return noc_store_damaged_add(load->store, cursor->table, cursor->statement);
}

/* Room for so many bytes of a key. */
static int reserve_key(struct cursor *cursor, size_t n)
{
    char *key;

    if (n <= cursor->key_room) {
        return NOC_OK;
    }
    key = realloc(cursor->key, n * 2);
    if (key == NULL) {
        return NOC_ENOMEM;
    }
    cursor->key = key;
    cursor->key_room = n * 2;
    return NOC_OK;
}

/*
 * The key of the row: the number, or the texts. Returns 1 when it stands behind that of the row before, 0
 * when it does not (a page has got into a place that is another's), or an error.
 */
static int follow_key(struct cursor *cursor)
{
    unsigned columns = cursor->table->key_columns;
    bool has_number = cursor->table->table != NOC_STORE_RETAINED;
    struct noc_slice texts[3];
    size_t n = has_number ? 8 : 0;
    size_t at = 0;
    bool is_behind;

    for (unsigned i = has_number; i < columns; i++) {
        texts[i] = noc_store_text_at(cursor->statement, (int)i);
        n += texts[i].n + 1;
    }
    if (reserve_key(cursor, cursor->key_n + n) < 0) {
        return NOC_ENOMEM;
    }
    /* The new one behind the old, then in its place. */
    if (has_number) {
        (void)noc_put_u64((uint8_t *)cursor->key + cursor->key_n, (uint64_t)number(cursor, 0));
        at = 8;
    }
    for (unsigned i = has_number; i < columns; i++) {
        if (texts[i].n > 0) {
            memcpy(cursor->key + cursor->key_n + at, texts[i].at, texts[i].n);
        }
        at += texts[i].n;
        cursor->key[cursor->key_n + at++] = '\0';
    }
    is_behind = noc_slice_compare(noc_slice(cursor->key, cursor->key_n),
                    noc_slice(cursor->key + cursor->key_n, n)) < 0;
    memmove(cursor->key, cursor->key + cursor->key_n, n);
    cursor->key_n = n;
    return is_behind;
}

/* To the next row that is whole. */
static int next(struct load *load, struct cursor *cursor)
{
    for (;;) {
        int rc = sqlite3_step(cursor->statement);
        int err;

        if (rc == SQLITE_DONE) {
            cursor->is_at_end = true;
            return NOC_OK;
        }
        if ((rc & 0xff) == SQLITE_NOMEM) {
            return NOC_ENOMEM;
        }
        if (rc != SQLITE_ROW) {
            return bad_file(
                load, cursor->table->name, sqlite3_errmsg(load->store->connection.db), "unknown");
        }
        if (noc_store_row_is_whole(cursor->statement, (char)cursor->table->table)) {
            err = follow_key(cursor);
            if (err < 0) {
                return err;
            }
            if (err == 0) {
                return bad_file(load, cursor->table->name, "its rows are not in order", "unknown");
            }
            return NOC_OK;
        }
        err = damaged(load, cursor, "its checksum is wrong");
        if (err < 0) {
            return err;
        }
    }
}

static int tell_session(struct load *load)
{
    sqlite3_stmt *row = load->sessions.statement;
    int err = NOC_OK;
    struct noc_session_record record = {
        .slot = slot_of(&load->sessions),
        .client_id = noc_store_text_at(row, 1),
        .username = noc_store_text_at(row, 2),
        .version = (uint8_t)sqlite3_column_int(row, 3),
        .is_connected = sqlite3_column_int(row, 4) != 0,
        .port = (uint16_t)sqlite3_column_int(row, 5),
        .expiry_s = (uint32_t)sqlite3_column_int64(row, 6),
        .expires_ms = noc_store_time_at(load->store, row, 7),
        .sent = (uint64_t)sqlite3_column_int64(row, 8),
        .will_delay_s = (uint32_t)sqlite3_column_int64(row, 9),
        .will_expiry_s = (uint32_t)sqlite3_column_int64(row, 10),
        .will_has_expiry = sqlite3_column_type(row, 10) != SQLITE_NULL,
        .will_due_ms = noc_store_time_at(load->store, row, 11),
        .will = noc_store_message_at(load->store, row, 12, &err),
    };

    load->loaded->sessions++;
    if (err == NOC_OK && load->visitor->session != NULL) {
        err = load->visitor->session(load->context, &record);
    }
    noc_message_unref(record.will);
    return err;
}

static int tell_subscription(struct load *load)
{
    sqlite3_stmt *row = load->subscriptions.statement;
    struct noc_subscription_record record = {
        .slot = slot_of(&load->subscriptions),
        .group = noc_store_text_at(row, 1),
        .filter = noc_store_text_at(row, 2),
        .options = (uint8_t)sqlite3_column_int(row, 3),
        .id = (uint32_t)sqlite3_column_int64(row, 4),
    };

    if (record.group.n == 0) {
        record.group.at = NULL;
    }
    load->loaded->subscriptions++;
    return load->visitor->subscription == NULL
               ? NOC_OK
               : load->visitor->subscription(load->context, &record);
}

static int tell_incoming(struct load *load)
{
    sqlite3_stmt *row = load->incoming.statement;
    int err = NOC_OK;
    struct noc_incoming_record record = {
        .slot = slot_of(&load->incoming),
        .packet_id = (uint16_t)number(&load->incoming, 0),
        .message = noc_store_message_at(load->store, row, 1, &err),
    };

    load->loaded->incoming++;
    if (err == NOC_OK && load->visitor->incoming != NULL) {
        err = load->visitor->incoming(load->context, &record);
    }
    noc_message_unref(record.message);
    return err;
}

static int tell_outgoing(struct load *load)
{
    struct noc_outgoing_record record = {.message = NULL};
    int err = noc_store_read_outgoing(&load->reader, load->outgoing.statement, &record);

    if (err == NOC_EMALFORMED) {
        return damaged(load, &load->outgoing, "its message is missing or damaged");
    }
    if (err == NOC_EIO) {
        return bad_file(load, "messages", sqlite3_errmsg(load->store->connection.db), "unknown");
    }
    if (err < 0) {
        return err;
    }
    load->loaded->outgoing++;
    if (load->visitor->outgoing != NULL) {
        err = load->visitor->outgoing(load->context, &record);
    }
    noc_message_unref(record.message);
    return err;
}

static int tell_retained(struct load *load)
{
    sqlite3_stmt *row = load->retained.statement;
    int err = NOC_OK;
    struct noc_retained_record record = {.version = (uint64_t)number(&load->retained, 6)};
    uint64_t expires_ms = noc_store_time_at(load->store, row, 5);

    if (record.version > load->loaded->highest_version) {
        load->loaded->highest_version = record.version;
    }
    if (expires_ms <= load->store->loaded_ms) {
        load->loaded->expired++;
        return NOC_OK;
    }
    record.message = noc_store_message_at(load->store, row, 0, &err);
    load->loaded->retained++;
    if (err == NOC_OK && load->visitor->retained != NULL) {
        err = load->visitor->retained(load->context, &record);
    }
    noc_message_unref(record.message);
    return err;
}

/* Tell the rows of a slot; those of slots before it are strays. */
static int tell_slot(
    struct load *load, struct cursor *cursor, uint64_t slot, int (*tell)(struct load *load))
{
    while (!cursor->is_at_end && slot_of(cursor) <= slot) {
        int err = NOC_OK;

        if (slot_of(cursor) > load->loaded->highest_slot) {
            load->loaded->highest_slot = slot_of(cursor);
        }
        if (slot_of(cursor) < slot) {
            load->loaded->strays++;
        } else {
            err = tell(load);
        }
        if (err == NOC_OK) {
            err = next(load, cursor);
        }
        if (err < 0) {
            return err;
        }
    }
    return NOC_OK;
}

static int tell_children(struct load *load, uint64_t slot)
{
    int err = tell_slot(load, &load->subscriptions, slot, tell_subscription);

    if (err == NOC_OK) {
        err = tell_slot(load, &load->incoming, slot, tell_incoming);
    }
    return err < 0 ? err : tell_slot(load, &load->outgoing, slot, tell_outgoing);
}

static int tell_sessions(struct load *load)
{
    int err = NOC_OK;

    while (!load->sessions.is_at_end && err == NOC_OK) {
        uint64_t slot = slot_of(&load->sessions);

        if (slot > load->loaded->highest_slot) {
            load->loaded->highest_slot = slot;
        }
        err = tell_session(load);
        if (err == NOC_OK) {
            err = tell_children(load, slot);
        }
        if (err == NOC_OK) {
            err = next(load, &load->sessions);
        }
    }
    return err < 0 ? err : tell_children(load, UINT64_MAX); /* the strays behind the last */
}

static int open_cursor(
    struct load *load, struct cursor *cursor, enum noc_store_table table, unsigned shift)
{
    char sql[96];
    int rc;

    for (size_t i = 0; i < NOC_COUNT(noc_store_tables); i++) {
        if (noc_store_tables[i].table == table) {
            cursor->table = &noc_store_tables[i];
        }
    }
    cursor->shift = shift;
    (void)snprintf(
        sql, sizeof(sql), "SELECT * FROM %s ORDER BY %s", cursor->table->name, cursor->table->key);
    rc = sqlite3_prepare_v2(load->store->connection.db, sql, -1, &cursor->statement, NULL);
    if (rc != SQLITE_OK) {
        return bad_file(
            load, cursor->table->name, sqlite3_errmsg(load->store->connection.db), "any");
    }
    return next(load, cursor);
}

static void close_cursor(struct cursor *cursor)
{
    (void)sqlite3_finalize(cursor->statement);
    free(cursor->key);
}

static int walk(struct load *load)
{
    int err = open_cursor(load, &load->sessions, NOC_STORE_SESSIONS, 0);

    if (err == NOC_OK) {
        err = open_cursor(load, &load->subscriptions, NOC_STORE_SUBSCRIPTIONS, 0);
    }
    if (err == NOC_OK) {
        err = open_cursor(load, &load->incoming, NOC_STORE_INCOMING, 16);
    }
    if (err == NOC_OK) {
        err = open_cursor(load, &load->outgoing, NOC_STORE_OUTGOING, 36);
    }
    if (err == NOC_OK) {
        err = tell_sessions(load);
    }
    if (err == NOC_OK) {
        err = open_cursor(load, &load->retained, NOC_STORE_RETAINED, 0);
    }
    while (err == NOC_OK && !load->retained.is_at_end) {
        err = tell_retained(load);
        if (err == NOC_OK) {
            err = next(load, &load->retained);
        }
    }
    return err;
}

int noc_store_load(struct noc_store *store, const struct noc_store_visitor *visitor, void *context,
    struct noc_store_loaded *ret_loaded, char *error, size_t error_n)
{
    struct noc_store_loaded loaded = {.sessions = 0};
    struct load load = {
        .store = store,
        .visitor = visitor,
        .context = context,
        .loaded = &loaded,
        .error = error,
        .error_n = error_n,
    };
    int err;

    assert(!store->is_started);
    store->loaded_ms = noc_store_now_ms(store);
    error[0] = '\0';
    noc_store_reader_init(&load.reader, store);
    err = walk(&load);
    noc_store_reader_done(&load.reader);
    close_cursor(&load.sessions);
    close_cursor(&load.subscriptions);
    close_cursor(&load.incoming);
    close_cursor(&load.outgoing);
    close_cursor(&load.retained);
    if (err == NOC_OK) {
        store->loaded = loaded;
        *ret_loaded = loaded;
    } else if (error[0] == '\0') {
        (void)snprintf(error, error_n, "cannot load '%s': %s", store->path, noc_error_text(err));
    }
    return err;
}
