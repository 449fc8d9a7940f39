/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store_schema.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* A message's columns: as they stand in every table that has messages. */
#define MESSAGE                                                                            \
    "topic TEXT, properties BLOB, payload BLOB, as_qos INTEGER, as_retain INTEGER, until " \
    "INTEGER"

/* SQLite keeps these texts, and the check compares them. */
static const char *const schema[] = {
    "CREATE TABLE sessions (slot INTEGER PRIMARY KEY, client_id TEXT, username TEXT, version "
    "INTEGER, "
    "connected INTEGER, port INTEGER, expiry_s INTEGER, expires INTEGER, sent INTEGER, "
    "will_delay_s INTEGER, will_expiry_s INTEGER, will_due INTEGER, " MESSAGE ", checksum INTEGER)",
    "CREATE TABLE subscriptions (slot INTEGER, share TEXT, filter TEXT, options INTEGER, id "
    "INTEGER, "
    "checksum INTEGER, PRIMARY KEY (slot, share, filter)) WITHOUT ROWID",
    "CREATE TABLE incoming (key INTEGER PRIMARY KEY, " MESSAGE ", checksum INTEGER)",
    "CREATE TABLE outgoing (key INTEGER PRIMARY KEY, qos INTEGER, retain INTEGER, ids, "
    "message INTEGER, " MESSAGE ", checksum INTEGER)",
    "CREATE INDEX outgoing_message ON outgoing (message) WHERE message IS NOT NULL",
    "CREATE TABLE messages (id INTEGER PRIMARY KEY, " MESSAGE ", checksum INTEGER)",
    "CREATE TABLE retained (" MESSAGE ", version INTEGER, checksum INTEGER, PRIMARY KEY (topic)) "
    "WITHOUT ROWID",
    "CREATE TABLE clock (id INTEGER PRIMARY KEY, ms INTEGER, wall_ms INTEGER, checksum INTEGER)",
};

const struct noc_store_table_row noc_store_tables[7] = {
    {NOC_STORE_SESSIONS, "sessions", "slot", "slot DESC", 1,
        "INSERT OR IGNORE INTO sessions VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"},
    {NOC_STORE_SUBSCRIPTIONS, "subscriptions", "slot, share, filter",
        "slot DESC, share DESC, filter DESC", 3,
        "INSERT OR IGNORE INTO subscriptions VALUES (?,?,?,?,?,?)"},
    {NOC_STORE_INCOMING, "incoming", "key", "key DESC", 1,
        "INSERT OR IGNORE INTO incoming VALUES (?,?,?,?,?,?,?,?)"},
    {NOC_STORE_OUTGOING, "outgoing", "key", "key DESC", 1,
        "INSERT OR IGNORE INTO outgoing VALUES (?,?,?,?,?,?,?,?,?,?,?,?)"},
    {NOC_STORE_MESSAGES, "messages", "id", "id DESC", 1,
        "INSERT OR IGNORE INTO messages VALUES (?,?,?,?,?,?,?,?)"},
    {NOC_STORE_RETAINED, "retained", "topic", "topic DESC", 1,
        "INSERT OR IGNORE INTO retained VALUES (?,?,?,?,?,?,?,?)"},
    {NOC_STORE_CLOCK, "clock", "id", "id DESC", 1, "INSERT OR IGNORE INTO clock VALUES (?,?,?,?)"},
};

static const char *const statements[NOC_STORE_STATEMENTS] = {
    [NOC_STORE_BEGIN] = "BEGIN",
    [NOC_STORE_COMMIT] = "COMMIT",
    [NOC_STORE_ROLLBACK] = "ROLLBACK",
    [NOC_STORE_PUT_SESSION] =
        "INSERT OR REPLACE INTO sessions VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
    [NOC_STORE_PUT_SUBSCRIPTION] = "INSERT OR REPLACE INTO subscriptions VALUES (?,?,?,?,?,?)",
    [NOC_STORE_PUT_INCOMING] = "INSERT OR REPLACE INTO incoming VALUES (?,?,?,?,?,?,?,?)",
    /* Not OR REPLACE: that takes rows away without the trigger. */
    [NOC_STORE_PUT_OUTGOING] = "INSERT INTO outgoing VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
    [NOC_STORE_PUT_MESSAGE] = "INSERT INTO messages VALUES (?,?,?,?,?,?,?,?)",
    [NOC_STORE_PUT_RETAINED] =
        ("INSERT INTO retained VALUES (?,?,?,?,?,?,?,?) ON CONFLICT (topic) DO UPDATE SET "
         "properties = excluded.properties, payload = excluded.payload, as_qos = excluded.as_qos, "
         "as_retain = excluded.as_retain, until = excluded.until, version = excluded.version, "
         "checksum = excluded.checksum WHERE excluded.version >= retained.version"),
    [NOC_STORE_PUT_CLOCK] = "INSERT OR REPLACE INTO clock VALUES (?,?,?,?)",
    [NOC_STORE_END_SESSION] = "DELETE FROM sessions WHERE slot = ?",
    [NOC_STORE_END_SUBSCRIPTIONS] = "DELETE FROM subscriptions WHERE slot = ?",
    [NOC_STORE_END_SUBSCRIPTION] =
        "DELETE FROM subscriptions WHERE slot = ? AND share = ? AND filter = ?",
    [NOC_STORE_END_INCOMING] = "DELETE FROM incoming WHERE key BETWEEN ? AND ?",
    [NOC_STORE_END_OUTGOING] = "DELETE FROM outgoing WHERE key BETWEEN ? AND ?",
    [NOC_STORE_END_RETAINED] = "DELETE FROM retained WHERE topic = ? AND version <= ?",
    [NOC_STORE_GET_OUTGOING] = "SELECT * FROM outgoing WHERE key BETWEEN ? AND ? ORDER BY key",
    [NOC_STORE_GET_MESSAGE] = "SELECT * FROM messages WHERE id = ?",
    [NOC_STORE_PAGES] = "PRAGMA page_count",
    [NOC_STORE_PAGES_FREE] = "PRAGMA freelist_count",
};

/*
 * The last outgoing row that refers to a message takes it along. The trigger is the connection's: the file
 * stays plain, and what reads it needs nothing of ours.
 */
static const char trigger[] =
    "CREATE TEMP TRIGGER outgoing_end AFTER DELETE ON main.outgoing WHEN old.message IS NOT NULL "
    "BEGIN DELETE FROM messages WHERE id = old.message AND NOT EXISTS "
    "(SELECT 1 FROM outgoing WHERE message = old.message); END";

static const char *synchronous_text(int synchronous)
{
    return synchronous == 0   ? "PRAGMA synchronous = OFF"
           : synchronous == 1 ? "PRAGMA synchronous = NORMAL"
                              : "PRAGMA synchronous = FULL";
}

static int execute(sqlite3 *db, const char *const *texts, size_t count)
{
    int rc = SQLITE_OK;

    for (size_t i = 0; i < count && rc == SQLITE_OK; i++) {
        rc = sqlite3_exec(db, texts[i], NULL, NULL, NULL);
    }
    return rc;
}

int noc_store_connect(
    struct noc_store_connection *connection, const char *path, const char *vfs, int synchronous)
{
    /* The locking mode comes first: with it no shared memory file is made. None of these reads the file. */
    const char *const settings[] = {
        "PRAGMA locking_mode = EXCLUSIVE",
        "PRAGMA wal_autocheckpoint = 0",
        "PRAGMA cache_size = -8192",
        "PRAGMA temp_store = MEMORY",
        "PRAGMA trusted_schema = OFF",
        "PRAGMA cell_size_check = ON",
        "PRAGMA journal_size_limit = 33554432",
        synchronous_text(synchronous),
    };
    int rc;

    *connection = (struct noc_store_connection){.db = NULL};
    rc = sqlite3_open_v2(path, &connection->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, vfs);
    if (rc != SQLITE_OK) {
        return rc;
    }
    (void)sqlite3_extended_result_codes(connection->db, 1);
    (void)sqlite3_db_config(connection->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    (void)sqlite3_db_config(connection->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    return execute(connection->db, settings, NOC_COUNT(settings));
}

int noc_store_create_tables(struct noc_store_connection *connection)
{
    static const char *const settings[] = {
        "PRAGMA page_size = 4096",
        "PRAGMA journal_mode = WAL",
        "BEGIN",
    };
    char version[96];
    int rc;

    (void)snprintf(version, sizeof(version),
        "PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT", NOC_STORE_APPLICATION_ID,
        NOC_STORE_VERSION);
    rc = execute(connection->db, settings, NOC_COUNT(settings));
    if (rc == SQLITE_OK) {
        rc = execute(connection->db, schema, NOC_COUNT(schema));
    }
    return rc != SQLITE_OK ? rc : sqlite3_exec(connection->db, version, NULL, NULL, NULL);
}

int64_t noc_store_query(sqlite3 *db, const char *sql, int64_t fallback, int *ret_rc)
{
    sqlite3_stmt *statement = NULL;
    int64_t value = fallback;
    int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);

    if (rc == SQLITE_OK) {
        rc = sqlite3_step(statement);
        if (rc == SQLITE_ROW && sqlite3_column_type(statement, 0) == SQLITE_INTEGER) {
            value = sqlite3_column_int64(statement, 0);
        }
        rc = rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
    }
    (void)sqlite3_finalize(statement);
    *ret_rc = rc;
    return value;
}

static int check_version(sqlite3 *db, char *error, size_t error_n)
{
    int rc;
    int64_t value = noc_store_query(db, "PRAGMA application_id", 0, &rc);

    if (rc != SQLITE_OK) {
        (void)snprintf(error, error_n, "%s", sqlite3_errmsg(db));
        return rc;
    }
    if (value != NOC_STORE_APPLICATION_ID) {
        (void)snprintf(error, error_n, "it is not a store of Noctule");
        return SQLITE_NOTADB;
    }
    value = noc_store_query(db, "PRAGMA user_version", 0, &rc);
    if (rc == SQLITE_OK && value != NOC_STORE_VERSION) {
        (void)snprintf(error, error_n, "it is of version %lld, this program reads version %d",
            (long long)value, NOC_STORE_VERSION);
        return SQLITE_NOTADB;
    }
    return rc;
}

static int check_tables(sqlite3 *db, char *error, size_t error_n)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(
        db, "SELECT count(*) FROM sqlite_schema WHERE sql = ?", -1, &statement, NULL);

    for (size_t i = 0; i < NOC_COUNT(schema) && rc == SQLITE_OK; i++) {
        rc = sqlite3_bind_text(statement, 1, schema[i], -1, SQLITE_STATIC);
        if (rc == SQLITE_OK && sqlite3_step(statement) == SQLITE_ROW &&
            sqlite3_column_int(statement, 0) != 1) {
            (void)snprintf(error, error_n, "its tables are not those of a store");
            rc = SQLITE_CORRUPT;
            break;
        }
        if (rc == SQLITE_OK) {
            rc = sqlite3_reset(statement);
        }
    }
    (void)sqlite3_finalize(statement);
    return rc;
}

/* What SQLite finds wrong in its pages, the first of it. */
static int check_pages(sqlite3 *db, char *error, size_t error_n)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &statement, NULL);

    if (rc == SQLITE_OK) {
        rc = sqlite3_step(statement);
    }
    if (rc == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(statement, 0);

        rc = SQLITE_OK;
        if (text == NULL || strcmp(text, "ok") != 0) {
            (void)snprintf(error, error_n, "it is damaged: %s", text == NULL ? "?" : text);
            rc = SQLITE_CORRUPT;
        }
    }
    (void)sqlite3_finalize(statement);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int noc_store_check(struct noc_store_connection *connection, char *error, size_t error_n)
{
    int rc;

    error[0] = '\0';
    rc = check_version(connection->db, error, error_n);
    if (rc == SQLITE_OK) {
        rc = check_tables(connection->db, error, error_n);
    }
    if (rc == SQLITE_OK) {
        rc = check_pages(connection->db, error, error_n);
    }
    if (rc != SQLITE_OK && error[0] == '\0') {
        (void)snprintf(error, error_n, "%s", sqlite3_errmsg(connection->db));
    }
    return rc;
}

int noc_store_prepare(struct noc_store_connection *connection)
{
    int rc = sqlite3_exec(connection->db, trigger, NULL, NULL, NULL);

    for (size_t i = 0; i < NOC_STORE_STATEMENTS && rc == SQLITE_OK; i++) {
        rc = sqlite3_prepare_v3(connection->db, statements[i], -1, SQLITE_PREPARE_PERSISTENT,
            &connection->statements[i], NULL);
    }
    return rc;
}

void noc_store_disconnect(struct noc_store_connection *connection)
{
    for (size_t i = 0; i < NOC_STORE_STATEMENTS; i++) {
        (void)sqlite3_finalize(connection->statements[i]);
    }
    (void)sqlite3_close(connection->db);
    *connection = (struct noc_store_connection){.db = NULL};
}
