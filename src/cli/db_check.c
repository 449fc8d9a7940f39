/* SPDX-License-Identifier: Apache-2.0 */
/* `noctule db check` and `salvage`: what a file is, and what can be had of a broken one. */
#define _GNU_SOURCE
#include "cli/db.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

struct summary {
    uint64_t counts[NOC_MOSQUITTO_KINDS];
    uint64_t doubtful_usernames;
    const char *written;
};

static void count(struct summary *summary, const struct noc_mosquitto_record *record)
{
    summary->counts[record->kind]++;
    if (record->kind == NOC_MOSQUITTO_CONFIG) {
        summary->written = record->config.is_shutdown ? "at shutdown" : "while the broker ran";
    }
    if (record->kind == NOC_MOSQUITTO_CLIENT && record->client.is_username_doubtful) {
        summary->doubtful_usernames++;
    }
}

int noc_db_check(struct noc_mosquitto_file *file, const char *path)
{
    struct summary summary = {.written = "unknown"};
    struct noc_mosquitto_record record;
    int result;

    while ((result = noc_mosquitto_file_next(file, &record)) > 0) {
        count(&summary, &record);
    }
    if (file->reader.version == 0) {
        return result;
    }
    printf("file                %s\n", path);
    printf("format              mosquitto.db, version %u%s\n", file->reader.version,
        file->reader.is_foreign ? ", of a machine of the other byte order" : "");
    printf("written             %s\n", summary.written);
    printf("clients             %" PRIu64 "\n", summary.counts[NOC_MOSQUITTO_CLIENT]);
    printf("subscriptions       %" PRIu64 "\n", summary.counts[NOC_MOSQUITTO_SUBSCRIPTION]);
    printf("base_messages       %" PRIu64 "\n", summary.counts[NOC_MOSQUITTO_BASE_MESSAGE]);
    printf("client_messages     %" PRIu64 "\n", summary.counts[NOC_MOSQUITTO_CLIENT_MESSAGE]);
    printf("retained_messages   %" PRIu64 "\n", summary.counts[NOC_MOSQUITTO_RETAINED]);
    printf("unknown_chunks      %" PRIu64 "\n", summary.counts[NOC_MOSQUITTO_UNKNOWN]);
    printf("doubtful_usernames  %" PRIu64 "\n", summary.doubtful_usernames);
    printf("sound               %s\n", result == NOC_OK ? "yes" : "no");
    return result;
}

static int write_all(struct noc_mosquitto_file *file, FILE *out, uint64_t *ret_count,
    struct noc_mosquitto_fault *ret_fault)
{
    uint8_t head[NOC_MOSQUITTO_HEAD_BYTES];
    struct noc_mosquitto_record record;
    uint64_t written = 0;
    int result;

    noc_mosquitto_write_head(head);
    if (fwrite(head, 1, sizeof(head), out) != sizeof(head)) {
        return NOC_EIO;
    }
    while ((result = noc_mosquitto_file_next(file, &record)) > 0) {
        if (record.kind != NOC_MOSQUITTO_UNKNOWN) {
            result = noc_mosquitto_file_put(out, &record);
            if (result < 0) {
                return result;
            }
            written++;
        }
    }
    /* A fault after some records is what this is for. */
    if (result < 0 && (file->reader.fault.what == NULL || written == 0)) {
        return result;
    }
    if (fflush(out) != 0 || fsync(fileno(out)) != 0) {
        return NOC_EIO;
    }
    *ret_count = written;
    *ret_fault = result < 0 ? file->reader.fault : (struct noc_mosquitto_fault){0};
    return NOC_OK;
}

int noc_db_salvage(struct noc_mosquitto_file *file, const char *path, uint64_t *ret_count,
    struct noc_mosquitto_fault *ret_fault)
{
    /* It holds what only the broker's user may read. */
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR);
    FILE *out = fd < 0 ? NULL : fdopen(fd, "wb");
    int result = out == NULL ? NOC_EIO : write_all(file, out, ret_count, ret_fault);
    int error = errno;

    if (out != NULL && fclose(out) != 0 && result == NOC_OK) {
        error = errno;
        result = NOC_EIO;
    } else if (out == NULL && fd >= 0) {
        (void)close(fd);
    }
    if (fd >= 0 && result < 0) {
        (void)unlink(path);
    }
    errno = error;
    return result;
}
