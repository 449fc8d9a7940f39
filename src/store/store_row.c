/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sum takes eight bytes at a time, the first the lowest: xor, times an odd number, xor of the upper
 * half into the lower. Each step can be undone, so a row with one of these changed never has the same.
 */
#include "store/store_row.h"

static uint64_t mix(uint64_t sum, uint64_t value)
{
    sum = (sum ^ value) * UINT64_C(0x9e3779b97f4a7c15);
    return sum ^ sum >> 32;
}

static uint64_t mix_bytes(uint64_t sum, const void *bytes, size_t n)
{
    const uint8_t *at = bytes;
    uint64_t last = 0;

    sum = mix(sum, n);
    for (; n >= 8; at += 8, n -= 8) {
        uint64_t word = 0;

        for (unsigned i = 0; i < 8; i++) {
            word |= (uint64_t)at[i] << 8 * i;
        }
        sum = mix(sum, word);
    }
    for (size_t i = 0; i < n; i++) {
        last |= (uint64_t)at[i] << 8 * i;
    }
    return n == 0 ? sum : mix(sum, last);
}

static uint64_t sum_of(char table)
{
    return mix(UINT64_C(0x6e6f6374756c6531), (uint64_t)(unsigned char)table);
}

void noc_store_row_begin(struct noc_store_row *row, sqlite3_stmt *statement, char table)
{
    *row = (struct noc_store_row){.statement = statement, .sum = sum_of(table)};
}

static void bound(struct noc_store_row *row, int rc)
{
    if (row->rc == SQLITE_OK) {
        row->rc = rc;
    }
}

void noc_store_row_number(struct noc_store_row *row, uint64_t number)
{
    row->sum = mix(mix(row->sum, SQLITE_INTEGER), number);
    bound(row, sqlite3_bind_int64(row->statement, ++row->column, (sqlite3_int64)number));
}

void noc_store_row_null(struct noc_store_row *row)
{
    row->sum = mix(row->sum, SQLITE_NULL);
    bound(row, sqlite3_bind_null(row->statement, ++row->column));
}

void noc_store_row_text(struct noc_store_row *row, struct noc_slice text)
{
    if (text.at == NULL) {
        noc_store_row_null(row);
        return;
    }
    row->sum = mix_bytes(mix(row->sum, SQLITE_TEXT), text.at, text.n);
    bound(row, sqlite3_bind_text64(
                   row->statement, ++row->column, text.at, text.n, SQLITE_STATIC, SQLITE_UTF8));
}

void noc_store_row_bytes(struct noc_store_row *row, struct noc_slice bytes)
{
    if (bytes.at == NULL) {
        noc_store_row_null(row);
        return;
    }
    row->sum = mix_bytes(mix(row->sum, SQLITE_BLOB), bytes.at, bytes.n);
    bound(
        row, sqlite3_bind_blob64(row->statement, ++row->column, bytes.at, bytes.n, SQLITE_STATIC));
}

int noc_store_row_end(struct noc_store_row *row)
{
    bound(row, sqlite3_bind_int64(row->statement, ++row->column, (sqlite3_int64)row->sum));
    if (row->rc == SQLITE_OK) {
        row->rc = sqlite3_step(row->statement);
    }
    (void)sqlite3_reset(row->statement);
    return row->rc == SQLITE_DONE || row->rc == SQLITE_ROW ? SQLITE_OK : row->rc;
}

bool noc_store_row_is_whole(sqlite3_stmt *statement, char table)
{
    int last = sqlite3_column_count(statement) - 1;
    uint64_t sum = sum_of(table);

    for (int i = 0; i < last; i++) {
        int type = sqlite3_column_type(statement, i);

        sum = mix(sum, (uint64_t)type);
        if (type == SQLITE_INTEGER) {
            sum = mix(sum, (uint64_t)sqlite3_column_int64(statement, i));
        } else if (type == SQLITE_TEXT) {
            const void *text = sqlite3_column_text(statement, i);

            sum = mix_bytes(sum, text, (size_t)sqlite3_column_bytes(statement, i));
        } else if (type == SQLITE_BLOB) {
            const void *bytes = sqlite3_column_blob(statement, i);

            sum = mix_bytes(sum, bytes, (size_t)sqlite3_column_bytes(statement, i));
        } else if (type != SQLITE_NULL) {
            return false;
        }
    }
    return sqlite3_column_type(statement, last) == SQLITE_INTEGER &&
           (uint64_t)sqlite3_column_int64(statement, last) == sum;
}
