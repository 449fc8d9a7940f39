/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_STORE_STORE_SCHEMA_H
#define NOC_STORE_STORE_SCHEMA_H
/*
 * The tables, and a connection to them: its settings, its statements.
 * Keys are numbers put together, so that all of a session is one range:
 * outgoing slot << 36 | sequence, incoming slot << 16 | packet id.
 */

#include <sqlite3.h>
#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"
#include "store/store_vfs.h"

#define NOC_STORE_APPLICATION_ID 0x4e6f6374 /* "Noct" */
#define NOC_STORE_VERSION        1

/* Tables, as the checksums name them. */
enum noc_store_table {
    NOC_STORE_SESSIONS = 's',
    NOC_STORE_SUBSCRIPTIONS = 'u',
    NOC_STORE_INCOMING = 'i',
    NOC_STORE_OUTGOING = 'o',
    NOC_STORE_MESSAGES = 'm',
    NOC_STORE_RETAINED = 'r',
    NOC_STORE_CLOCK = 'c',
};

struct noc_store_table_row {
    enum noc_store_table table;
    const char *name;
    const char *key;      /* its columns, the first of the table */
    const char *key_back; /* the same, for the opposite order */
    unsigned key_columns; /* how many */
    const char *insert;   /* a row as it stands in another file */
};
extern const struct noc_store_table_row noc_store_tables[7];

enum noc_store_statement {
    NOC_STORE_BEGIN,
    NOC_STORE_COMMIT,
    NOC_STORE_ROLLBACK,
    NOC_STORE_PUT_SESSION,
    NOC_STORE_PUT_SUBSCRIPTION,
    NOC_STORE_PUT_INCOMING,
    NOC_STORE_PUT_OUTGOING,
    NOC_STORE_PUT_MESSAGE,
    NOC_STORE_PUT_RETAINED,
    NOC_STORE_PUT_CLOCK,
    NOC_STORE_END_SESSION,       /* slot */
    NOC_STORE_END_SUBSCRIPTIONS, /* slot */
    NOC_STORE_END_SUBSCRIPTION,  /* slot, share, filter */
    NOC_STORE_END_INCOMING,      /* first key, last key */
    NOC_STORE_END_OUTGOING,      /* first key, last key */
    NOC_STORE_END_RETAINED,      /* topic, version */
    NOC_STORE_GET_OUTGOING,      /* first key, last key */
    NOC_STORE_GET_MESSAGE,       /* id */
    NOC_STORE_PAGES,
    NOC_STORE_PAGES_FREE,
    NOC_STORE_STATEMENTS,
};

struct noc_store_connection {
    sqlite3 *db;
    sqlite3_stmt *statements[NOC_STORE_STATEMENTS];
};

/* Open a file that is there, and set the connection up; nothing of the file is read yet. SQLite's code. */
NOC_MUST_CHECK int noc_store_connect(
    struct noc_store_connection *connection, const char *path, const char *vfs, int synchronous);

/* Make the tables in an empty file: always the same pages. SQLite's code. */
NOC_MUST_CHECK int noc_store_create_tables(struct noc_store_connection *connection);

/*
 * Is this a store of ours, sound in its structure? Returns SQLITE_OK, or another code and says in `error`
 * what is wrong.
 */
NOC_MUST_CHECK int noc_store_check(
    struct noc_store_connection *connection, char *error, size_t error_n);

/* Make the statements; the tables are there. SQLite's code. */
NOC_MUST_CHECK int noc_store_prepare(struct noc_store_connection *connection);

/* All zero is fine. */
void noc_store_disconnect(struct noc_store_connection *connection);

/* The first column of the first row of a query, or fallback. *ret_rc is SQLite's code. */
int64_t noc_store_query(sqlite3 *db, const char *sql, int64_t fallback, int *ret_rc);

#endif
