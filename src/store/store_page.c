/* SPDX-License-Identifier: Apache-2.0 */
/* Pages of queues, read back between two groups: see core/page.h. */
#include <stdlib.h>
#include <string.h>

#include "store/store_read.h"
#include "store/store_row.h"

/* A record as an operation of its own. NOC_ENOMEM. */
static int add(struct noc_operations *found, const struct noc_outgoing_record *record)
{
    struct noc_operation *operation;
    uint32_t *ids = NULL;

    if (record->id_count > 1) {
        ids = malloc(record->id_count * sizeof(*ids));
        if (ids == NULL) {
            return NOC_ENOMEM;
        }
        memcpy(ids, record->ids, record->id_count * sizeof(*ids));
    }
    operation = noc_operations_add(found, NOC_OP_OUTGOING);
    if (operation == NULL) {
        free(ids);
        return NOC_ENOMEM;
    }
    operation->slot = record->slot;
    operation->first = record->sequence;
    operation->qos = record->qos;
    operation->retain = record->retain;
    operation->message = noc_message_ref(record->message);
    operation->id_count = record->id_count;
    if (ids != NULL) {
        operation->as.ids = ids;
    } else if (record->id_count == 1) {
        operation->as.id = record->ids[0];
    }
    return NOC_OK;
}

/* What the row that the statement stands on adds to the page. */
static int read_row(
    struct noc_store_reader *reader, sqlite3_stmt *row, struct noc_page *page, uint64_t *bytes)
{
    struct noc_outgoing_record record = {.message = NULL};
    int err = noc_store_row_is_whole(row, NOC_STORE_OUTGOING)
                  ? noc_store_read_outgoing(reader, row, &record)
                  : NOC_EMALFORMED;

    if (err == NOC_EMALFORMED) {
        noc_store_log(reader->store, NOC_LOG_ERROR,
            "'%s': table outgoing, key %lld: it is damaged, and left out", reader->store->path,
            (long long)sqlite3_column_int64(row, 0));
        return NOC_OK;
    }
    if (err == NOC_OK && record.message != NULL) {
        *bytes += record.message->payload_n;
        err = add(&page->found, &record);
        noc_message_unref(record.message);
    }
    return err;
}

static int read_rows(struct noc_store_reader *reader, sqlite3_stmt *rows, struct noc_page *page)
{
    uint64_t bytes = 0;
    int err = NOC_OK;
    int rc;

    while ((rc = sqlite3_step(rows)) == SQLITE_ROW && err == NOC_OK) {
        if (page->found.count >= page->most ||
            (page->found.count > 0 && bytes >= page->most_bytes)) {
            return NOC_OK; /* there are more */
        }
        err = read_row(reader, rows, page, &bytes);
    }
    if (err == NOC_OK && rc != SQLITE_DONE) {
        err = (rc & 0xff) == SQLITE_NOMEM ? NOC_ENOMEM : NOC_EIO;
    }
    page->is_last = err == NOC_OK;
    return err;
}

int noc_store_read_page(struct noc_store *store, struct noc_page *page)
{
    sqlite3_stmt *rows = store->connection.statements[NOC_STORE_GET_OUTGOING];
    struct noc_store_reader reader;
    int err = NOC_EIO;

    if (noc_store_reader_init(&reader, store) == SQLITE_OK &&
        sqlite3_bind_int64(rows, 1, (sqlite3_int64)(page->slot << 36 | page->first)) == SQLITE_OK &&
        sqlite3_bind_int64(rows, 2, (sqlite3_int64)(page->slot << 36 | page->last)) == SQLITE_OK) {
        err = read_rows(&reader, rows, page);
    }
    (void)sqlite3_reset(rows);
    noc_store_reader_done(&reader);
    if (err != NOC_OK) {
        noc_operations_done(&page->found);
    }
    return err;
}
