/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_STORE_STORE_READ_H
#define NOC_STORE_STORE_READ_H
/*
 * Columns into what records are made of. A large message that somebody holds is not read again: the records that
 * have it share it. Of the others some are kept, too.
 */

#include "store/store_internal.h"

struct noc_store_reader {
    struct noc_store *store;
    struct noc_map64 messages; /* id -> message, large ones; holds references */
    uint64_t bytes;            /* of their payloads */
    uint64_t most_bytes;       /* past as many those go that nobody else holds */
    uint32_t *ids;             /* of the record that was read last */
    size_t ids_room;
};

void noc_store_reader_init(struct noc_store_reader *reader, struct noc_store *store);
void noc_store_reader_done(struct noc_store_reader *reader);

struct noc_slice noc_store_text_at(sqlite3_stmt *row, int column);
struct noc_slice noc_store_bytes_at(sqlite3_stmt *row, int column);
uint64_t noc_store_time_at(const struct noc_store *store, sqlite3_stmt *row, int column);

/*
 * The message in the six columns from `column`, with a reference for the caller. NULL: there is none, or
 * *ret_err says NOC_ENOMEM.
 */
struct noc_message *noc_store_message_at(
    const struct noc_store *store, sqlite3_stmt *row, int column, int *ret_err);

/*
 * A row of outgoing as a record; ids are the reader's, the message has a reference for the caller. The row is
 * whole. NOC_ENOMEM; NOC_EIO: SQLite's; NOC_EMALFORMED: its large message is missing or damaged.
 */
NOC_MUST_CHECK int noc_store_read_outgoing(
    struct noc_store_reader *reader, sqlite3_stmt *row, struct noc_outgoing_record *ret_record);

#endif
