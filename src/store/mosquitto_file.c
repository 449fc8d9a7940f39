/* SPDX-License-Identifier: Apache-2.0 */
/* A mosquitto.db on disk: a buffer between the file and the reader. */
#include "store/mosquitto_file.h"

#include <stdlib.h>

enum { STEP_BYTES = 64 << 10 };

int noc_mosquitto_file_open(struct noc_mosquitto_file *file, const char *path)
{
    *file = (struct noc_mosquitto_file){.stream = fopen(path, "rb")};
    if (file->stream == NULL) {
        return NOC_EIO;
    }
    noc_mosquitto_reader_init(&file->reader);
    return NOC_OK;
}

void noc_mosquitto_file_close(struct noc_mosquitto_file *file)
{
    (void)fclose(file->stream);
    free(file->bytes);
    *file = (struct noc_mosquitto_file){0};
}

int noc_mosquitto_file_rewind(struct noc_mosquitto_file *file)
{
    if (fseek(file->stream, 0, SEEK_SET) != 0) {
        return NOC_EIO;
    }
    clearerr(file->stream);
    file->at = file->n = 0;
    noc_mosquitto_reader_init(&file->reader);
    return NOC_OK;
}

/* Read more behind what is left. Returns the bytes, 0 at the end of the file, or an error. */
static int fill(struct noc_mosquitto_file *file)
{
    size_t step;

    if (file->at > 0) {
        memmove(file->bytes, file->bytes + file->at, file->n - file->at);
        file->n -= file->at;
        file->at = 0;
    }
    /* It is doubled when full, so a length that lies takes no memory. */
    if (file->n == file->room) {
        size_t room = file->room == 0 ? STEP_BYTES : 2 * file->room;
        uint8_t *grown = realloc(file->bytes, room);

        if (grown == NULL) {
            return NOC_ENOMEM;
        }
        file->bytes = grown;
        file->room = room;
    }
    step = file->room - file->n;
    step = fread(file->bytes + file->n, 1, step > STEP_BYTES ? STEP_BYTES : step, file->stream);
    file->n += step;
    return step == 0 && ferror(file->stream) != 0 ? NOC_EIO : (int)step;
}

int noc_mosquitto_file_next(
    struct noc_mosquitto_file *file, struct noc_mosquitto_record *ret_record)
{
    for (;;) {
        size_t used = 0;
        size_t left = file->n - file->at;
        int result = 0;

        if (left > 0) {
            result =
                noc_mosquitto_read(&file->reader, file->bytes + file->at, left, &used, ret_record);
        }
        if (result < 0) {
            return result;
        }
        file->at += used;
        if (result > 0) {
            return result;
        }
        result = fill(file);
        if (result < 0) {
            return result;
        }
        if (result == 0) {
            return noc_mosquitto_read_end(&file->reader, file->n - file->at);
        }
    }
}

int noc_mosquitto_file_put(FILE *out, const struct noc_mosquitto_record *record)
{
    size_t n = noc_mosquitto_write_size(record);
    uint8_t *chunk = n == 0 ? NULL : malloc(n);
    bool is_written;

    if (chunk == NULL) {
        return NOC_ENOMEM;
    }
    is_written = fwrite(chunk, 1, noc_mosquitto_write(record, chunk, n), out) == n;
    free(chunk);
    return is_written ? NOC_OK : NOC_EIO;
}
