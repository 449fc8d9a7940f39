/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_STORE_MOSQUITTO_FILE_H
#define NOC_STORE_MOSQUITTO_FILE_H
/*
 * A mosquitto.db on disk, read record by record. It may be larger than memory: what is held
 * is the longest chunk, and no more than the file has bytes for it. One thread.
 */

#include <stdio.h>

#include "store/mosquitto_db.h"

struct noc_mosquitto_file {
    struct noc_mosquitto_reader reader; /* version and fault are for the caller */
    FILE *stream;
    uint8_t *bytes; /* bytes[at..n) were read from the file and are in no record yet */
    size_t room, at, n;
};

/* Returns NOC_OK, or NOC_EIO with errno; then there is nothing to be done with it. */
NOC_MUST_CHECK int noc_mosquitto_file_open(struct noc_mosquitto_file *file, const char *path);

/* Of a file that was opened. */
void noc_mosquitto_file_close(struct noc_mosquitto_file *file);

/*
 * The next record; its slices live until the next call. Returns 1, 0 at the end of a sound file,
 * or an error: those of noc_mosquitto_read(), NOC_ENOMEM, or NOC_EIO with errno.
 */
NOC_MUST_CHECK int noc_mosquitto_file_next(
    struct noc_mosquitto_file *file, struct noc_mosquitto_record *ret_record);

/* Once more from the start. NOC_EIO: not possible (a pipe), errno says why. */
NOC_MUST_CHECK int noc_mosquitto_file_rewind(struct noc_mosquitto_file *file);

/*
 * Write one record as a chunk of version 6 where the stream stands. NOC_OK, NOC_ENOMEM (or nobody could read it), or
 * NOC_EIO with errno.
 */
NOC_MUST_CHECK int noc_mosquitto_file_put(FILE *out, const struct noc_mosquitto_record *record);

#endif
