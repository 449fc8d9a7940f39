/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CLI_DB_H
#define NOC_CLI_DB_H
/*
 * The parts of `noctule db`. Each reads a mosquitto.db from its start to its end, prints to
 * standard output, and returns NOC_OK, or the error that ended it: one of
 * noc_mosquitto_file_next(), which db.c tells. What was printed before a fault stays.
 */

#include <stdbool.h>

#include "store/mosquitto_file.h"

/* Each record, in mosquitto_db_dump's words. */
NOC_MUST_CHECK int noc_db_dump_records(struct noc_mosquitto_file *file);

/* How many there are of each kind, in its words. */
NOC_MUST_CHECK int noc_db_dump_stats(struct noc_mosquitto_file *file);

/* A line for each client. */
NOC_MUST_CHECK int noc_db_dump_clients(struct noc_mosquitto_file *file);

/* One JSON object; nothing where the file isn't sound. The file is read several times. */
NOC_MUST_CHECK int noc_db_dump_json(struct noc_mosquitto_file *file);

/* What the file is, and how many records of each kind it has up to its end or first fault. */
NOC_MUST_CHECK int noc_db_check(struct noc_mosquitto_file *file, const char *path);

/*
 * Write what stands before the first fault to a new file, as version 6. *ret_count: the records
 * written. NOC_EIO also for that file, which is then removed; *ret_fault: what was wrong with
 * the old one, what == NULL if nothing.
 */
NOC_MUST_CHECK int noc_db_salvage(struct noc_mosquitto_file *file, const char *path,
    uint64_t *ret_count, struct noc_mosquitto_fault *ret_fault);

/* ---- our own store ---- */

/* Is it a folder, or a noctule.db in one? Then the folder's path is written. */
bool noc_db_is_store(const char *path, char *folder, size_t folder_n);

/*
 * Each record as a line of JSON; how many there are; all of it to a new file, as a mosquitto.db of version 6. NOC_OK;
 * NOC_EMALFORMED: it is damaged; else it could not be done. `error` tells.
 */
NOC_MUST_CHECK int noc_db_store_dump(const char *folder, char *error, size_t error_n);
NOC_MUST_CHECK int noc_db_store_check(const char *folder, char *error, size_t error_n);
NOC_MUST_CHECK int noc_db_store_export(
    const char *folder, const char *path, char *error, size_t error_n);

#endif
