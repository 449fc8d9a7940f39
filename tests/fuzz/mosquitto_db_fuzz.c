/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mosquitto.db: the first byte of the input is the size of the pieces in which the rest is read.
 * What is read must not depend on it; each record that can be written is, and is then read as it was.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "store/mosquitto_db.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check(bool is_right)
{
    if (!is_right) {
        abort();
    }
}

struct walk {
    uint64_t count;
    uint8_t *copy; /* the file written anew */
    size_t n, room;
};

static int keep(void *context, const struct noc_mosquitto_record *record)
{
    struct walk *walk = context;
    size_t n = noc_mosquitto_write_size(record);

    walk->count++;
    check((n == 0) == (record->kind == NOC_MOSQUITTO_UNKNOWN));
    if (walk->n + n > walk->room) {
        walk->room = 2 * (walk->n + n);
        walk->copy = realloc(walk->copy, walk->room);
        check(walk->copy != NULL);
    }
    check(noc_mosquitto_write(record, walk->copy + walk->n, n) == n);
    walk->n += n;
    return NOC_OK;
}

/* Read and write; what is left of a file that is broken is a file. */
static int rewrite(
    const uint8_t *bytes, size_t n, struct walk *walk, struct noc_mosquitto_fault *fault)
{
    *walk = (struct walk){.copy = malloc(NOC_MOSQUITTO_HEAD_BYTES),
        .n = NOC_MOSQUITTO_HEAD_BYTES,
        .room = NOC_MOSQUITTO_HEAD_BYTES};
    check(walk->copy != NULL);
    noc_mosquitto_write_head(walk->copy);
    return noc_mosquitto_read_all(bytes, n, keep, walk, fault);
}

static void read_in_pieces(const uint8_t *bytes, size_t n, size_t step, int whole,
    const struct walk *walk, const struct noc_mosquitto_fault *fault)
{
    struct noc_mosquitto_reader reader;
    struct noc_mosquitto_record record;
    uint64_t count = 0;
    size_t at = 0;
    size_t held = 0;
    int result;

    noc_mosquitto_reader_init(&reader);
    for (;;) {
        size_t used = 0;

        result = noc_mosquitto_read(&reader, bytes + at, held, &used, &record);
        if (result < 0 || (result == 0 && at + held == n)) {
            held -= result < 0 ? 0 : used;
            break;
        }
        check(used <= held);
        at += used;
        held -= used;
        count += (uint64_t)result;
        if (result == 0) {
            check(reader.wanted > held);
            held += step < n - at - held ? step : n - at - held;
        }
    }
    if (result == 0) {
        result = noc_mosquitto_read_end(&reader, held);
    }
    check(result == whole && count == walk->count);
    check(result == NOC_OK ||
          (reader.fault.offset == fault->offset && strcmp(reader.fault.what, fault->what) == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct noc_mosquitto_fault fault = {0};
    struct walk first, second;
    int whole;

    if (n < 1) {
        return 0;
    }
    whole = rewrite(bytes + 1, n - 1, &first, &fault);
    check(whole == NOC_OK || (fault.what != NULL && fault.offset < n));
    read_in_pieces(bytes + 1, n - 1, (size_t)bytes[0] + 1, whole, &first, &fault);
    check(rewrite(first.copy, first.n, &second, &fault) == NOC_OK);
    check(first.n == second.n && memcmp(first.copy, second.copy, first.n) == 0);
    free(first.copy);
    free(second.copy);
    return 0;
}
