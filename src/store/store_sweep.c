/* SPDX-License-Identifier: Apache-2.0 */
/* What load left out goes from the tables, in one transaction, before anything is added. */
#include "store/store_internal.h"

#include <stdio.h>
#include <stdlib.h>

static int execute(struct noc_store *store, const char *sql)
{
    return sqlite3_exec(store->connection.db, sql, NULL, NULL, NULL);
}

int noc_store_damaged_add(
    struct noc_store *store, const struct noc_store_table_row *table, sqlite3_stmt *row)
{
    struct noc_store_damaged *damaged = calloc(1, sizeof(*damaged));

    if (damaged == NULL) {
        return NOC_ENOMEM;
    }
    damaged->table = table;
    damaged->next = store->damaged;
    store->damaged = damaged;
    for (unsigned i = 0; i < table->key_columns; i++) {
        damaged->keys[i] = sqlite3_value_dup(sqlite3_column_value(row, (int)i));
        if (damaged->keys[i] == NULL) {
            return NOC_ENOMEM;
        }
    }
    return NOC_OK;
}

void noc_store_damaged_done(struct noc_store *store)
{
    while (store->damaged != NULL) {
        struct noc_store_damaged *damaged = store->damaged;

        store->damaged = damaged->next;
        for (unsigned i = 0; i < NOC_COUNT(damaged->keys); i++) {
            sqlite3_value_free(damaged->keys[i]);
        }
        free(damaged);
    }
}

static int delete_one(struct noc_store *store, const struct noc_store_damaged *damaged)
{
    sqlite3_stmt *statement = NULL;
    char sql[128];
    int rc;

    (void)snprintf(sql, sizeof(sql), "DELETE FROM %s WHERE (%s) IS (%s)", damaged->table->name,
        damaged->table->key, damaged->table->key_columns == 3 ? "?,?,?" : "?");
    rc = sqlite3_prepare_v2(store->connection.db, sql, -1, &statement, NULL);
    for (unsigned i = 0; i < damaged->table->key_columns && rc == SQLITE_OK; i++) {
        rc = sqlite3_bind_value(statement, (int)i + 1, damaged->keys[i]);
    }
    if (rc == SQLITE_OK) {
        rc = sqlite3_step(statement);
    }
    (void)sqlite3_finalize(statement);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int delete_damaged(struct noc_store *store)
{
    int rc = SQLITE_OK;

    for (const struct noc_store_damaged *at = store->damaged; at != NULL && rc == SQLITE_OK;
         at = at->next) {
        rc = delete_one(store, at);
    }
    return rc;
}

static int delete_strays(struct noc_store *store)
{
    static const char *const texts[] = {
        "DELETE FROM subscriptions WHERE slot NOT IN (SELECT slot FROM sessions)",
        "DELETE FROM incoming WHERE key >> 16 NOT IN (SELECT slot FROM sessions)",
        "DELETE FROM outgoing WHERE key >> 36 NOT IN (SELECT slot FROM sessions)",
        "DELETE FROM outgoing WHERE message IS NOT NULL AND message NOT IN (SELECT id FROM "
        "messages)",
        "DELETE FROM messages WHERE NOT EXISTS (SELECT 1 FROM outgoing WHERE message = "
        "messages.id)",
    };
    int rc = SQLITE_OK;

    for (size_t i = 0; i < NOC_COUNT(texts) && rc == SQLITE_OK; i++) {
        rc = execute(store, texts[i]);
    }
    return rc;
}

/* What had expired when load told the rest. */
static int delete_expired(struct noc_store *store)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(
        store->connection.db, "DELETE FROM retained WHERE until <= ?", -1, &statement, NULL);

    if (rc == SQLITE_OK) {
        rc = sqlite3_bind_int64(
            statement, 1, (sqlite3_int64)noc_store_time_out(store->time, store->loaded_ms));
    }
    if (rc == SQLITE_OK) {
        rc = sqlite3_step(statement);
    }
    (void)sqlite3_finalize(statement);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int noc_store_sweep(struct noc_store *store)
{
    int rc = execute(store, "BEGIN");

    if (rc == SQLITE_OK) {
        rc = delete_damaged(store);
    }
    if (rc == SQLITE_OK && (store->loaded.strays > 0 || store->damaged != NULL)) {
        rc = delete_strays(store);
    }
    if (rc == SQLITE_OK && store->loaded.expired > 0) {
        rc = delete_expired(store);
    }
    if (rc == SQLITE_OK) {
        rc = noc_store_apply_clock(store);
    }
    noc_store_damaged_done(store);
    if (rc == SQLITE_OK) {
        rc = execute(store, "COMMIT");
    }
    return rc;
}
