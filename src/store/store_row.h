/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_STORE_STORE_ROW_H
#define NOC_STORE_STORE_ROW_H
/*
 * A row, column by column, with a checksum over all of them as its last. It counts what a column is
 * (nothing, a number, text, bytes), its length and its bytes, so no other value has the same; the
 * table is in it too, so that no row passes for one of another table.
 */

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include <noctule/slice.h>

struct noc_store_row {
    sqlite3_stmt *statement;
    int column; /* bound so far */
    uint64_t sum;
    int rc; /* SQLite's, of the first that failed */
};

/* Bind the columns in order, from 1. What slices point to must stay until the end. */
void noc_store_row_begin(struct noc_store_row *row, sqlite3_stmt *statement, char table);
void noc_store_row_number(struct noc_store_row *row, uint64_t number); /* below 2^63 */
void noc_store_row_null(struct noc_store_row *row);
void noc_store_row_text(struct noc_store_row *row, struct noc_slice text);   /* absent: NULL */
void noc_store_row_bytes(struct noc_store_row *row, struct noc_slice bytes); /* absent: NULL */

/* Bind the checksum and run the statement. SQLite's code; SQLITE_OK for SQLITE_DONE. */
int noc_store_row_end(struct noc_store_row *row);

/* Does the last column of the row that the statement stands on say what the others are? */
bool noc_store_row_is_whole(sqlite3_stmt *statement, char table);

#endif
