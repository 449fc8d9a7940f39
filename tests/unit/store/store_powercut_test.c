/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cut of the power after any write: what was synced is on the disk, of what was written since each write
 * is there or not, whole or by sectors. Whatever is left must be the state after some batch, and not
 * before the last that was answered.
 */
#define _GNU_SOURCE
#include "store_harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCHES = 30, KEPT = 6, TOPICS = 5, CALLS_MAX = 8000, SECTOR = 512 };

struct call {
    enum noc_store_call call;
    unsigned file; /* 0: the database, 1: its log */
    size_t answered;
    int64_t n, offset;
    uint8_t *bytes;
};

static struct call calls[CALLS_MAX];
static size_t call_count;

static int record(void *context, enum noc_store_call call, const char *path, const void *bytes,
    int64_t n, int64_t offset)
{
    struct world *world = context;
    struct call *entry = &calls[call_count];

    if (call == NOC_STORE_CALL_READ || call_count == CALLS_MAX) {
        return SQLITE_OK;
    }
    call_count++;
    *entry = (struct call){
        .call = call,
        .file = strstr(path, "-wal") != NULL,
        .n = n,
        .offset = offset,
    };
    (void)pthread_mutex_lock(&world->lock);
    entry->answered = world->answer_count;
    (void)pthread_mutex_unlock(&world->lock);
    if (bytes != NULL) {
        entry->bytes = malloc((size_t)n);
        memcpy(entry->bytes, bytes, (size_t)n);
    }
    return SQLITE_OK;
}

struct disk {
    uint8_t *at[2];
    size_t n[2];
};

enum { ROOM = 4 << 20 };

static void name(const struct world *world, unsigned file, char *path, size_t path_n)
{
    (void)snprintf(path, path_n, "%s%s", world->path, file == 0 ? "" : "-wal");
}

static void read_disk(const struct world *world, struct disk *disk)
{
    for (unsigned i = 0; i < 2; i++) {
        char path[120];
        FILE *file;

        name(world, i, path, sizeof(path));
        file = fopen(path, "rb");
        assert_non_null(file);
        disk->at[i] = calloc(1, ROOM);
        assert_non_null(disk->at[i]);
        disk->n[i] = fread(disk->at[i], 1, ROOM, file);
        (void)fclose(file);
    }
}

static void write_disk(const struct world *world, const struct disk *disk)
{
    for (unsigned i = 0; i < 2; i++) {
        char path[120];
        FILE *file;

        name(world, i, path, sizeof(path));
        file = fopen(path, "wb");
        assert_non_null(file);
        assert_int_equal(fwrite(disk->at[i], 1, disk->n[i], file), disk->n[i]);
        (void)fclose(file);
    }
}

static uint64_t seed = 1;

static bool coin(void)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return seed >> 63 != 0;
}

enum mode { NOTHING, EVERYTHING, SOME, TORN, MODES };

static void apply(struct disk *disk, const struct call *call, enum mode mode)
{
    uint8_t *at = disk->at[call->file];
    size_t *n = &disk->n[call->file];

    if (mode == NOTHING || (mode == SOME && coin())) {
        return;
    }
    if (call->call == NOC_STORE_CALL_TRUNCATE) {
        assert_true(call->n <= ROOM);
        if ((size_t)call->n < *n) {
            memset(at + call->n, 0, *n - (size_t)call->n);
        }
        *n = (size_t)call->n;
        return;
    }
    assert_true(call->offset + call->n <= ROOM);
    for (int64_t i = 0; i < call->n; i++) {
        if (mode == TORN && (call->offset + i) % SECTOR == 0 && coin()) {
            i += SECTOR - 1;
            continue;
        }
        at[call->offset + i] = call->bytes[i];
    }
    if (call->offset + call->n > (int64_t)*n) {
        *n = (size_t)(call->offset + call->n);
    }
}

/* The disk after `count` calls. */
static void cut(struct disk *disk, size_t count, enum mode mode, bool is_lying)
{
    size_t synced[2] = {0, 0};

    for (size_t i = 0; i < count; i++) {
        if (calls[i].call == NOC_STORE_CALL_SYNC && !is_lying) {
            synced[calls[i].file] = i;
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (calls[i].call != NOC_STORE_CALL_SYNC) {
            apply(disk, &calls[i], i < synced[calls[i].file] ? EVERYTHING : mode);
        }
    }
}

static struct noc_operations *nth(uint64_t i)
{
    struct noc_operations *batch = batch_new();
    char text[64];

    (void)snprintf(text, sizeof(text), "payload of %d", (int)i);
    add_outgoing(batch, 1, i, "t", text);
    if (i > KEPT) {
        add(batch, NOC_OP_OUTGOING_END, 1, i - KEPT);
    }
    (void)snprintf(text, sizeof(text), "retained/%d", (int)(i % TOPICS));
    add_retained(batch, text, "x", i);
    return batch;
}

/* Is this the state after a batch, at least the `least`-th? The first has number 1, the session 0. */
static bool is_state(const struct world *world, uint64_t least)
{
    uint64_t last = world->loaded.highest_version;
    uint64_t first = last > KEPT ? last - KEPT + 1 : 1;
    size_t outgoing = last == 0 ? 0 : (size_t)(last - first + 1);
    size_t retained = last < TOPICS ? (size_t)last : TOPICS;

    if (last < least || world->line_count != 1 + outgoing + retained) {
        return false;
    }
    for (size_t i = 0; i < outgoing; i++) {
        char line[120];

        (void)snprintf(line, sizeof(line),
            "outgoing 1 %d qos=1 retain=0 't' '' 'payload of %d' as=1 expires=never",
            (int)(first + i), (int)(first + i));
        if (strcmp(world->lines[1 + i], line) != 0) {
            return false;
        }
    }
    return true;
}

/* Cut after each call. Returns how often what was left was wrong. */
static unsigned cut_everywhere(
    struct world *world, const struct disk *base, bool is_always, bool is_lying)
{
    struct disk disk = {.n = {0, 0}};
    unsigned wrong = 0;

    disk.at[0] = malloc(ROOM);
    disk.at[1] = malloc(ROOM);
    for (size_t i = 0; i <= call_count; i++) {
        size_t answered = i < call_count ? calls[i].answered : BATCHES + 1;

        for (unsigned file = 0; file < 2; file++) {
            memcpy(disk.at[file], base->at[file], ROOM);
            disk.n[file] = base->n[file];
        }
        cut(&disk, i, (enum mode)(i % MODES), is_lying);
        write_disk(world, &disk);
        if (is_lying) {
            /* Damaged or too old: either is what a disk that lies about syncs does. */
            int err =
                noc_store_open(&world->options, &world->store, world->error, sizeof(world->error));

            noc_store_close(err < 0 ? NULL : world->store);
            world->store = NULL;
            if (err < 0) {
                wrong++;
                continue;
            }
        }
        world_load(world);
        wrong += !is_state(world, is_always ? answered - 1 : 0);
        world_close(world);
    }
    free(disk.at[0]);
    free(disk.at[1]);
    return wrong;
}

/* Some batches, and now and then the log goes into the database and begins anew. */
static void play(struct world *world, struct disk *base)
{
    struct noc_operations *batch = batch_new();

    world->fault = (struct noc_store_fault){.ask = record, .context = world};
    world_open(world);
    add_session(batch, 1, "one");
    assert_int_equal(submit(world, batch), NOC_OK);
    for (size_t i = 0; i < call_count; i++) {
        free(calls[i].bytes);
    }
    call_count = 0; /* from here on: all of before is taken as synced */
    read_disk(world, base);
    for (uint64_t i = 1; i <= BATCHES; i++) {
        if (i % 10 == 0) {
            noc_store_flush_mt(world->store);
        }
        assert_int_equal(submit(world, nth(i)), NOC_OK);
    }
    noc_store_stop(world->store);
    world_close(world);
    world->fault.ask = NULL;
    assert_true(call_count < CALLS_MAX);
}

static unsigned count_syncs(unsigned file)
{
    unsigned count = 0;

    for (size_t i = 0; i < call_count; i++) {
        count += calls[i].call == NOC_STORE_CALL_SYNC && calls[i].file == file;
    }
    return count;
}

static void forget(struct disk *base)
{
    for (size_t i = 0; i < call_count; i++) {
        free(calls[i].bytes);
    }
    call_count = 0;
    free(base->at[0]);
    free(base->at[1]);
}

static void a_cut_of_the_power_takes_nothing_that_was_answered(void **state)
{
    struct world *world = *state;
    struct disk base;

    play(world, &base);
    assert_true(count_syncs(0) >= 2 && count_syncs(1) >= BATCHES);
    assert_int_equal(cut_everywhere(world, &base, true, false), 0);
    /* That it would be seen: the same with a disk that takes syncs for granted. */
    assert_true(cut_everywhere(world, &base, true, true) > call_count / 10);
    forget(&base);
}

/* What came since the last sync may be lost, from its end on; what is left is a state. */
static void with_an_interval_a_cut_leaves_an_older_state(void **state)
{
    struct world *world = *state;
    struct disk base;

    world->options.sync = NOC_STORE_SYNC_INTERVAL;
    world->options.interval_ms = 3600000;
    play(world, &base);
    assert_true(count_syncs(1) < BATCHES / 2);
    assert_int_equal(cut_everywhere(world, &base, false, false), 0);
    assert_true(cut_everywhere(world, &base, true, false) > 0);
    forget(&base);
}

static int setup(void **state)
{
    static struct world world;

    world_init(&world);
    *state = &world;
    return 0;
}

static int teardown(void **state)
{
    world_done(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            a_cut_of_the_power_takes_nothing_that_was_answered, setup, teardown),
        cmocka_unit_test_setup_teardown(
            with_an_interval_a_cut_leaves_an_older_state, setup, teardown),
    };

    return cmocka_run_group_tests_name("store_powercut", tests, NULL, NULL);
}
