/* SPDX-License-Identifier: Apache-2.0 */
/* Pages of queues, read back between two groups: see core/page.h. */
#include "store/store_read.h"
#include "store/store_row.h"

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
        err = noc_operations_add_outgoing(&page->found, &record);
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
    int rc = sqlite3_bind_int64(rows, 1, (sqlite3_int64)(page->slot << 36 | page->first));
    int err;

    if (rc == SQLITE_OK) {
        rc = sqlite3_bind_int64(rows, 2, (sqlite3_int64)(page->slot << 36 | page->last));
    }
    noc_store_reader_init(&reader, store);
    err = rc == SQLITE_OK ? read_rows(&reader, rows, page) : NOC_ENOMEM;
    (void)sqlite3_reset(rows);
    noc_store_reader_done(&reader);
    if (err != NOC_OK) {
        noc_operations_done(&page->found);
    }
    return err;
}
