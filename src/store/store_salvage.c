/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is whole of a bad file, row by row, into a new one. Each table is read forwards until SQLite cannot
 * go on, then backwards from its end; a row counts when its checksum is right. So one bad page in the
 * middle of a table takes only what is on it.
 *
 * The first page says where the tables begin. When the file's own leads nowhere, that of the new one
 * does: both were made by the same steps, so they say the same, unless somebody has vacuumed the file.
 * Of the size it says nothing, which is then what the file has.
 */
#include "store/store_internal.h"

#include <stdio.h>

#include "store/store_row.h"

struct salvage {
    struct noc_store *store;
    sqlite3 *from, *to;
    sqlite3_stmt *insert; /* of the table at work */
    uint64_t steps_left;  /* more rows than the file can hold: its pages lead in a circle */
    uint64_t whole, damaged;
    bool is_cut; /* some table could not be read to its end */
};

/* SQLite's code of the new file. */
static int copy(struct salvage *salvage, sqlite3_stmt *row)
{
    int rc = SQLITE_OK;

    for (int i = 0; i < sqlite3_column_count(row) && rc == SQLITE_OK; i++) {
        rc = sqlite3_bind_value(salvage->insert, i + 1, sqlite3_column_value(row, i));
    }
    if (rc == SQLITE_OK) {
        rc = sqlite3_step(salvage->insert);
    }
    (void)sqlite3_reset(salvage->insert);
    if (rc != SQLITE_DONE) {
        return rc;
    }
    salvage->whole += (uint64_t)sqlite3_changes(salvage->to);
    return SQLITE_OK;
}

/* All rows in one direction. *ret_is_cut: could not go on. SQLite's code of the new file. */
static int walk(struct salvage *salvage, const struct noc_store_table_row *table, bool is_back,
    bool *ret_is_cut)
{
    sqlite3_stmt *row = NULL;
    char sql[128];
    int to_rc = SQLITE_OK;
    int rc;

    (void)snprintf(sql, sizeof(sql), "SELECT * FROM %s ORDER BY %s", table->name,
        is_back ? table->key_back : table->key);
    rc = sqlite3_prepare_v2(salvage->from, sql, -1, &row, NULL);
    while (rc == SQLITE_OK && to_rc == SQLITE_OK && salvage->steps_left > 0) {
        salvage->steps_left--;
        rc = sqlite3_step(row);
        if (rc != SQLITE_ROW) {
            break;
        }
        rc = SQLITE_OK;
        if (noc_store_row_is_whole(row, (char)table->table)) {
            to_rc = copy(salvage, row);
        } else if (!is_back) {
            salvage->damaged++;
        }
    }
    (void)sqlite3_finalize(row);
    *ret_is_cut = rc != SQLITE_DONE;
    return to_rc;
}

static int salvage_table(struct salvage *salvage, const struct noc_store_table_row *table)
{
    bool is_cut;
    int rc = sqlite3_prepare_v2(salvage->to, table->insert, -1, &salvage->insert, NULL);

    if (rc == SQLITE_OK) {
        rc = walk(salvage, table, false, &is_cut);
        if (rc == SQLITE_OK && is_cut) {
            salvage->is_cut = true;
            rc = walk(salvage, table, true, &is_cut);
        }
    }
    (void)sqlite3_finalize(salvage->insert);
    salvage->insert = NULL;
    return rc;
}

/* All tables, found by a first page; NULL: by the file's own. */
static int salvage_tables(struct salvage *salvage, const uint8_t *first_page)
{
    struct noc_store *store = salvage->store;
    struct noc_store_connection from = {.db = NULL};
    int rc = SQLITE_OK;

    store->vfs.first_page = first_page;
    if (noc_store_connect(&from, store->path, store->vfs.name, 0) == SQLITE_OK) {
        int pages_rc;
        int64_t pages = noc_store_query(from.db, "PRAGMA page_count", 0, &pages_rc);

        salvage->from = from.db;
        salvage->steps_left = ((uint64_t)pages + 1) * NOC_STORE_PAGE_BYTES;
        for (size_t i = 0; i < NOC_COUNT(noc_store_tables) && rc == SQLITE_OK; i++) {
            rc = salvage_table(salvage, &noc_store_tables[i]);
        }
    } else {
        salvage->is_cut = true;
    }
    noc_store_disconnect(&from);
    store->vfs.first_page = NULL;
    return rc;
}

/* Of a database that was just made; its log is empty. SQLite's code. */
static int read_first_page(sqlite3 *db, uint8_t page[NOC_STORE_PAGE_BYTES])
{
    enum { CHANGES_AT = 24, SIZE_VALID_FOR_AT = 92 }; /* the size counts when these are equal */
    sqlite3_file *file = NULL;
    int rc = sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);

    if (rc == SQLITE_OK) {
        rc = sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &file);
    }
    if (rc == SQLITE_OK) {
        rc = file->pMethods->xRead(file, page, NOC_STORE_PAGE_BYTES, 0);
    }
    page[SIZE_VALID_FOR_AT] = (uint8_t)~page[CHANGES_AT];
    return rc;
}

int noc_store_salvage(struct noc_store *store, sqlite3 *to)
{
    static const char finish[] = "DELETE FROM messages WHERE NOT EXISTS (SELECT 1 FROM outgoing "
                                 "WHERE message = messages.id);"
                                 "COMMIT";
    uint8_t page[NOC_STORE_PAGE_BYTES] = {0};
    struct salvage salvage = {.store = store, .to = to};
    int rc = read_first_page(to, page);

    store->vfs.is_read_only = true;
    if (rc == SQLITE_OK) {
        rc = sqlite3_exec(to, "BEGIN", NULL, NULL, NULL);
    }
    if (rc == SQLITE_OK) {
        rc = salvage_tables(&salvage, NULL);
    }
    if (rc == SQLITE_OK && (salvage.is_cut || salvage.damaged > 0)) {
        salvage.is_cut = false;
        salvage.damaged = 0;
        rc = salvage_tables(&salvage, page);
    }
    if (rc == SQLITE_OK) {
        rc = sqlite3_exec(to, finish, NULL, NULL, NULL);
    }
    noc_store_log(store, NOC_LOG_WARNING,
        "%llu rows of '%s' were whole and are in the new store, %llu were damaged%s",
        (unsigned long long)salvage.whole, store->path, (unsigned long long)salvage.damaged,
        salvage.is_cut ? ", others could not be read" : "");
    return rc;
}
