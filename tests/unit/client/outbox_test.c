/* SPDX-License-Identifier: Apache-2.0 */
/* The two outboxes against a plain list; and the log against power cuts. */
#define _GNU_SOURCE
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <noctule/outbox.h>

enum { REGION = 1024, MODEL_MAX = 128 };

/* ---- storage in memory, whose power can be cut ---- */

struct memory {
    struct noc_storage storage;
    uint8_t bytes[2][REGION];
    size_t budget; /* bytes that can still be written; each erased byte counts too */
    bool is_cut;
    unsigned fail_read, fail_write, fail_sync; /* the call that fails, from 1 on, once; 0: none */
    unsigned erasures;
};

static bool fails_now(unsigned *count)
{
    return *count > 0 && --*count == 0;
}

static int memory_read(void *context, unsigned region, uint32_t at, void *into, size_t n)
{
    struct memory *memory = context;

    assert_true(
        region < 2 && at <= memory->storage.region_bytes && n <= memory->storage.region_bytes - at);
    if (fails_now(&memory->fail_read)) {
        return NOC_EIO;
    }
    memcpy(into, memory->bytes[region] + at, n);
    return NOC_OK;
}

static bool spend(struct memory *memory)
{
    if (memory->budget == 0) {
        memory->is_cut = true;
        return false;
    }
    memory->budget--;
    return true;
}

static int memory_write(void *context, unsigned region, uint32_t at, const void *bytes, size_t n)
{
    struct memory *memory = context;

    assert_true(region < 2 && at % 4 == 0 && n % 4 == 0 && at <= memory->storage.region_bytes &&
                n <= memory->storage.region_bytes - at);
    if (fails_now(&memory->fail_write)) {
        memory->bytes[region][at] = ((const uint8_t *)bytes)[0]; /* one byte of it got there */
        return NOC_EIO;
    }
    for (size_t i = 0; i < n; i++) {
        if (!spend(memory)) {
            return NOC_EIO;
        }
        /* Flash is written once between two erasures. */
        assert_int_equal(memory->bytes[region][at + i], 0xff);
        memory->bytes[region][at + i] = ((const uint8_t *)bytes)[i];
    }
    return NOC_OK;
}

static int memory_sync(void *context, unsigned region)
{
    struct memory *memory = context;

    assert_true(region < 2);
    return memory->is_cut || fails_now(&memory->fail_sync) ? NOC_EIO : NOC_OK;
}

static int memory_erase(void *context, unsigned region)
{
    struct memory *memory = context;

    assert_true(region < 2);
    memory->erasures++;
    for (size_t i = 0; i < memory->storage.region_bytes; i++) {
        if (memory->bytes[region][i] != 0xff) {
            if (!spend(memory)) {
                return NOC_EIO;
            }
            memory->bytes[region][i] = 0xff;
        }
    }
    return NOC_OK;
}

static void memory_init(struct memory *memory, uint32_t region_bytes)
{
    memset(memory, 0, sizeof *memory);
    memory->storage = (struct noc_storage){.read = memory_read,
        .write = memory_write,
        .sync = memory_sync,
        .erase = memory_erase,
        .context = memory,
        .region_bytes = region_bytes};
    memory->budget = SIZE_MAX;
}

/* ---- the list that an outbox is compared with ---- */

struct model {
    struct {
        uint16_t id;
        uint8_t state;
        uint32_t size;
    } at[MODEL_MAX];
    unsigned count, cursor;
    uint16_t last_id;
    uint32_t random;
};

static uint32_t draw(struct model *model, uint32_t below)
{
    model->random = model->random * 1664525 + 1013904223;
    return (model->random >> 8) % below;
}

/* Byte i of the message with that id. */
static uint8_t byte_of(uint16_t id, uint32_t i)
{
    return (uint8_t)(id * 31 + i * 7 + (i >> 8));
}

/* Write a message, in pieces. Returns what begin() or a later one said. */
static int put_message(struct noc_outbox *box, uint16_t id, uint32_t size, uint32_t piece)
{
    uint8_t bytes[REGION];
    int err = box->ops->begin(box, id, size);

    for (uint32_t at = 0; err == NOC_OK && at < size;) {
        uint32_t n = size - at < piece ? size - at : piece;

        for (uint32_t i = 0; i < n; i++) {
            bytes[i] = byte_of(id, at + i);
        }
        err = box->ops->write(box, bytes, n);
        at += n;
    }
    return err == NOC_OK ? box->ops->commit(box) : err;
}

static void check_bytes(struct noc_outbox *box, const struct noc_outbox_item *item)
{
    uint8_t bytes[REGION];

    assert_int_equal(box->ops->read(box, item, 0, bytes, item->size), NOC_OK);
    for (uint32_t i = 0; i < item->size; i++) {
        assert_int_equal(bytes[i], byte_of(item->packet_id, i));
    }
    if (item->size > 2) {
        assert_int_equal(box->ops->read(box, item, 1, bytes, item->size - 2), NOC_OK);
        assert_int_equal(bytes[0], byte_of(item->packet_id, 1));
    }
}

static void check_item(struct noc_outbox *box, const struct model *model, unsigned i,
    const struct noc_outbox_item *item)
{
    assert_int_equal(item->packet_id, model->at[i].id);
    assert_int_equal(item->state, model->at[i].state);
    assert_int_equal(item->size, model->at[i].size);
    assert_int_equal(item->first, byte_of(item->packet_id, 0));
    check_bytes(box, item);
}

static void compare(struct noc_outbox *box, const struct model *model)
{
    struct noc_outbox_item item;

    assert_int_equal(box->oldest_id, model->count == 0 ? 0 : model->at[0].id);
    for (unsigned i = 0; i < model->count; i++) {
        assert_int_equal(box->ops->find(box, model->at[i].id, &item), NOC_OK);
        check_item(box, model, i, &item);
    }
    assert_int_equal(box->ops->find(box, (uint16_t)(model->last_id + 1), &item), NOC_ENOENT);
    if (model->cursor < model->count) {
        assert_int_equal(box->ops->unsent(box, &item), NOC_OK);
        check_item(box, model, model->cursor, &item);
    } else {
        assert_int_equal(box->ops->unsent(box, &item), NOC_ENOENT);
    }
}

static void step_remove(struct noc_outbox *box, struct model *model, bool is_release)
{
    struct noc_outbox_item item;
    unsigned i = draw(model, 3) == 0 ? draw(model, model->count) : 0;

    assert_int_equal(box->ops->find(box, model->at[i].id, &item), NOC_OK);
    if (is_release) {
        if (model->at[i].state == NOC_OUTBOX_SENT) {
            assert_int_equal(box->ops->release(box, &item), NOC_OK);
            model->at[i].state = NOC_OUTBOX_RELEASED;
        }
        return;
    }
    assert_int_equal(box->ops->remove(box, &item), NOC_OK);
    model->count--;
    model->cursor -= i < model->cursor;
    memmove(&model->at[i], &model->at[i + 1], (model->count - i) * sizeof model->at[0]);
}

static void step_put(struct noc_outbox *box, struct model *model, uint32_t size_max)
{
    uint16_t id = (uint16_t)(model->last_id == UINT16_MAX ? 1 : model->last_id + 1);
    uint32_t size = 2 + draw(model, size_max);
    int err;

    if (draw(model, 8) == 0) {
        if (box->ops->begin(box, id, size) == NOC_OK) {
            assert_int_equal(box->ops->write(box, "abcdef", draw(model, 3)), NOC_OK);
            box->ops->cancel(box);
        }
        return;
    }
    err = model->count == MODEL_MAX ? NOC_EFULL
                                    : put_message(box, id, size, 1 + draw(model, size + 3));
    if (err == NOC_OK) {
        model->last_id = id;
        model->at[model->count].id = id;
        model->at[model->count].state = NOC_OUTBOX_WAITING;
        model->at[model->count].size = size;
        model->count++;
        assert_int_equal(box->newest_id, id);
    } else {
        assert_int_equal(err, NOC_EFULL);
    }
}

static void step_rewind(struct noc_outbox *box, struct model *model)
{
    bool is_anew = draw(model, 2) == 0;

    assert_int_equal(box->ops->rewind(box, is_anew), NOC_OK);
    model->cursor = 0;
    for (unsigned i = 0; is_anew && i < model->count; i++) {
        model->at[i].state = NOC_OUTBOX_WAITING;
    }
}

/* A message is written while others come and go. */
static void step_amid(struct noc_outbox *box, struct model *model)
{
    uint16_t id = (uint16_t)(model->last_id == UINT16_MAX ? 1 : model->last_id + 1);
    uint8_t bytes[40];

    for (uint32_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = byte_of(id, i);
    }
    if (model->count == MODEL_MAX || box->ops->begin(box, id, sizeof bytes) != NOC_OK) {
        return;
    }
    for (unsigned i = 0; i < sizeof bytes; i += 5) {
        assert_int_equal(box->ops->write(box, bytes + i, 5), NOC_OK);
        if (model->count > 0) {
            step_remove(box, model, draw(model, 2) == 0);
        }
        compare(box, model);
    }
    assert_int_equal(box->ops->commit(box), NOC_OK);
    model->last_id = id;
    model->at[model->count].id = id;
    model->at[model->count].state = NOC_OUTBOX_WAITING;
    model->at[model->count++].size = sizeof bytes;
}

static void step(struct noc_outbox *box, struct model *model, uint32_t size_max)
{
    struct noc_outbox_item item;
    uint32_t what = draw(model, 16);

    if (what < 6) {
        step_put(box, model, size_max);
    } else if (what < 10 && model->cursor < model->count) {
        assert_int_equal(box->ops->unsent(box, &item), NOC_OK);
        assert_int_equal(box->ops->pass(box), NOC_OK);
        if (model->at[model->cursor].state == NOC_OUTBOX_WAITING) {
            model->at[model->cursor].state = NOC_OUTBOX_SENT;
        }
        model->cursor++;
    } else if (what < 14 && model->count > 0) {
        step_remove(box, model, what == 13);
    } else if (what == 14) {
        step_amid(box, model);
    } else if (draw(model, 4) == 0) {
        step_rewind(box, model);
    }
}

static void a_ring_is_a_list(void **state)
{
    static uint8_t bytes[300];
    struct noc_ring_outbox ring;

    (void)state;
    for (size_t size = 64; size <= sizeof bytes; size += 13) {
        struct model model = {.random = (uint32_t)size, .last_id = 65500};
        struct noc_outbox *box = noc_ring_outbox_init(&ring, bytes, size);

        for (unsigned i = 0; i < 4000; i++) {
            step(box, &model, (uint32_t)size / 3);
            compare(box, &model);
        }
    }
}

static void a_log_is_a_list(void **state)
{
    static struct memory memory;
    struct noc_log_outbox log;

    (void)state;
    for (uint32_t size = 256; size <= REGION; size += 60) {
        struct model model = {.random = size, .last_id = 65500};

        memory_init(&memory, size);
        assert_int_equal(noc_log_outbox_open(&log, &memory.storage), NOC_OK);
        for (unsigned i = 0; i < 700; i++) {
            step(&log.box, &model, 60);
            compare(&log.box, &model);
        }
    }
}

static void what_never_fits_is_told_from_what_does_not_fit_now(void **state)
{
    static uint8_t bytes[64];
    static struct memory memory;
    struct noc_ring_outbox ring;
    struct noc_log_outbox log;
    struct noc_outbox *box = noc_ring_outbox_init(&ring, bytes, sizeof bytes);

    (void)state;
    assert_int_equal(put_message(box, 1, 57, 8), NOC_ETOOLARGE);
    assert_int_equal(put_message(box, 1, UINT32_MAX, 8), NOC_ETOOLARGE);
    assert_int_equal(put_message(box, 1, 56, 8), NOC_OK);
    assert_int_equal(put_message(box, 2, 1, 8), NOC_EFULL);
    memory_init(&memory, 256);
    assert_int_equal(noc_log_outbox_open(&log, &memory.storage), NOC_OK);
    assert_int_equal(put_message(&log.box, 1, 256 - 12 - 40 + 1, 8), NOC_ETOOLARGE);
    assert_int_equal(put_message(&log.box, 1, UINT32_MAX - 8, 8), NOC_ETOOLARGE);
    assert_int_equal(put_message(&log.box, 1, 256 - 12 - 40, 8), NOC_OK);
    assert_int_equal(put_message(&log.box, 2, 1, 8), NOC_EFULL);
}

static void storage_too_small_is_refused(void **state)
{
    static struct memory memory;
    struct noc_log_outbox log;

    (void)state;
    memory_init(&memory, 252);
    assert_int_equal(noc_log_outbox_open(&log, &memory.storage), NOC_EINVAL);
    memory_init(&memory, 258);
    assert_int_equal(noc_log_outbox_open(&log, &memory.storage), NOC_EINVAL);
}

static void a_log_is_found_again(void **state)
{
    static struct memory memory;
    struct noc_log_outbox log;
    struct noc_outbox_item item;

    (void)state;
    memory_init(&memory, 512);
    assert_int_equal(noc_log_outbox_open(&log, &memory.storage), NOC_OK);
    for (uint16_t id = 7; id < 11; id++) {
        assert_int_equal(put_message(&log.box, id, 11, 3), NOC_OK);
    }
    assert_int_equal(log.box.ops->find(&log.box, 7, &item), NOC_OK);
    assert_int_equal(log.box.ops->remove(&log.box, &item), NOC_OK);
    assert_int_equal(log.box.ops->find(&log.box, 9, &item), NOC_OK);
    assert_int_equal(log.box.ops->release(&log.box, &item), NOC_OK);

    assert_int_equal(noc_log_outbox_open(&log, &memory.storage), NOC_OK);
    assert_int_equal(log.box.oldest_id, 8);
    assert_int_equal(log.box.newest_id, 10);
    assert_int_equal(log.box.ops->find(&log.box, 7, &item), NOC_ENOENT);
    assert_int_equal(log.box.ops->unsent(&log.box, &item), NOC_OK);
    assert_int_equal(item.packet_id, 8);
    assert_int_equal(item.state, NOC_OUTBOX_SENT);
    check_bytes(&log.box, &item);
    assert_int_equal(log.box.ops->find(&log.box, 9, &item), NOC_OK);
    assert_int_equal(item.state, NOC_OUTBOX_RELEASED);
}

static void what_began_anew_is_not_released_after_a_restart(void **state)
{
    static struct memory memory;
    struct noc_log_outbox log;
    struct noc_outbox_item item;

    (void)state;
    for (unsigned copies = 0; copies < 2; copies++) {
        memory_init(&memory, 256);
        assert_int_equal(noc_log_outbox_open(&log, &memory.storage), NOC_OK);
        for (uint16_t id = 1; id < 4; id++) {
            assert_int_equal(put_message(&log.box, id, 20, 20), NOC_OK);
            assert_int_equal(log.box.ops->pass(&log.box), NOC_OK);
        }
        assert_int_equal(log.box.ops->find(&log.box, 2, &item), NOC_OK);
        /* Each round takes the room of two records; the log is copied, now and then. */
        for (unsigned i = 0; i < 10; i++) {
            assert_int_equal(log.box.ops->release(&log.box, &item), NOC_OK);
            if (i == 9 && copies == 0) {
                break;
            }
            assert_int_equal(log.box.ops->rewind(&log.box, true), NOC_OK);
            assert_int_equal(log.box.ops->pass(&log.box), NOC_OK);
            assert_int_equal(log.box.ops->unsent(&log.box, &item), NOC_OK);
            assert_int_equal(item.packet_id, 2);
            assert_int_equal(item.state, NOC_OUTBOX_WAITING);
            assert_int_equal(log.box.ops->pass(&log.box), NOC_OK);
        }
        assert_int_equal(noc_log_outbox_open(&log, &memory.storage), NOC_OK);
        assert_int_equal(log.box.ops->find(&log.box, 2, &item), NOC_OK);
        assert_int_equal(item.state, copies == 0 ? NOC_OUTBOX_RELEASED : NOC_OUTBOX_SENT);
        check_bytes(&log.box, &item);
    }
}

/* ---- power cuts ---- */

enum { ABSENT, BEGUN, THERE, RELEASE_BEGUN, RELEASED, REMOVE_BEGUN, REMOVED };

/* Message i of the story: what the outbox was asked for, and what it said is done. */
static uint8_t asked[MODEL_MAX];
static bool was_released[MODEL_MAX];

static int story_remove(struct noc_outbox *box, uint16_t id)
{
    struct noc_outbox_item item;
    int err = box->ops->find(box, id, &item);

    if (err == NOC_OK) {
        asked[id] = REMOVE_BEGUN;
        err = box->ops->remove(box, &item);
    }
    if (err == NOC_OK) {
        asked[id] = REMOVED;
    }
    return err;
}

static int story_release(struct noc_outbox *box, uint16_t id)
{
    struct noc_outbox_item item;
    int err = box->ops->find(box, id, &item);

    if (err == NOC_OK) {
        asked[id] = RELEASE_BEGUN;
        err = box->ops->release(box, &item);
    }
    if (err == NOC_OK) {
        asked[id] = RELEASED;
        was_released[id] = true;
    }
    return err;
}

/* Messages come and go, a few are there at a time; long enough for several compactions. */
static int tell_story(struct noc_outbox *box, uint16_t from, uint16_t to)
{
    int err = NOC_OK;

    for (uint16_t id = from; err == NOC_OK && id < to; id++) {
        asked[id] = BEGUN;
        err = put_message(box, id, 5 + id % 23, 9);
        if (err == NOC_OK) {
            asked[id] = THERE;
        }
        if (err == NOC_OK && id % 2 == 0 && id > from + 1) {
            err = story_release(box, (uint16_t)(id - 1));
        }
        if (err == NOC_OK && id >= from + 4) {
            err = story_remove(box, (uint16_t)(id - 4));
        }
    }
    return err;
}

static void check_story(struct noc_outbox *box, uint16_t count)
{
    struct noc_outbox_item item;

    for (uint16_t id = 1; id < count; id++) {
        int err = box->ops->find(box, id, &item);

        if (err == NOC_OK) {
            check_bytes(box, &item);
        }
        switch (asked[id]) {
        case ABSENT:
            assert_int_equal(err, NOC_ENOENT);
            break;
        case BEGUN: /* either all of it or nothing */
            break;
        case THERE:
            assert_int_equal(err, NOC_OK);
            assert_int_equal(item.state, NOC_OUTBOX_SENT);
            break;
        case RELEASE_BEGUN:
            assert_int_equal(err, NOC_OK);
            break;
        case RELEASED:
            assert_int_equal(err, NOC_OK);
            assert_int_equal(item.state, NOC_OUTBOX_RELEASED);
            break;
        case REMOVE_BEGUN:
            if (err == NOC_OK && was_released[id]) {
                assert_int_equal(item.state, NOC_OUTBOX_RELEASED);
            }
            break;
        default:
            assert_int_equal(err, NOC_ENOENT);
            break;
        }
    }
}

static void a_power_cut_at_any_byte_loses_nothing(void **state)
{
    static const uint16_t STORY = 40, MORE = 60;
    static struct memory memory;
    struct noc_log_outbox log;
    size_t budget = 0;
    int err;

    (void)state;
    do {
        memory_init(&memory, 400);
        memset(asked, 0, sizeof asked);
        memset(was_released, 0, sizeof was_released);
        memory.budget = budget++;
        err = noc_log_outbox_open(&log, &memory.storage);
        if (err == NOC_OK) {
            err = tell_story(&log.box, 1, STORY);
        }
        /* The power is back; and it goes again while the log is read, now and then. */
        memory.is_cut = false;
        memory.budget = budget % 61;
        if (noc_log_outbox_open(&log, &memory.storage) != NOC_OK) {
            memory.is_cut = false;
            memory.budget = SIZE_MAX;
            assert_int_equal(noc_log_outbox_open(&log, &memory.storage), NOC_OK);
        }
        memory.budget = SIZE_MAX;
        check_story(&log.box, STORY);
        for (uint16_t id = 1; id < STORY; id++) {
            struct noc_outbox_item item;

            if (log.box.ops->find(&log.box, id, &item) == NOC_OK) {
                assert_int_equal(story_remove(&log.box, id), NOC_OK);
            }
            asked[id] = ABSENT;
        }
        assert_int_equal(tell_story(&log.box, STORY, MORE), NOC_OK);
        assert_int_equal(noc_log_outbox_open(&log, &memory.storage), NOC_OK);
        check_story(&log.box, MORE);
    } while (err != NOC_OK);
    assert_true(budget > 2000);
}

static void a_file_keeps_it(void **state)
{
    char path[] = "/tmp/noctule-outbox-XXXXXX";
    int made = mkstemp(path);
    struct noc_file_storage file, other;
    struct noc_log_outbox log;
    struct noc_outbox_item item;

    (void)state;
    assert_true(made >= 0);
    close(made);
    assert_int_equal(noc_file_storage_open(&file, path, 128), NOC_EINVAL);
    assert_int_equal(noc_file_storage_open(&file, path, 4098), NOC_EINVAL);
    assert_int_equal(noc_file_storage_open(&file, "/nowhere/at/all", 4096), NOC_EIO);
    assert_int_equal(noc_file_storage_open(&file, path, 4096), NOC_OK);
    assert_int_equal(noc_file_storage_open(&other, path, 4096), NOC_EEXIST);
    assert_int_equal(noc_log_outbox_open(&log, &file.storage), NOC_OK);
    assert_int_equal(put_message(&log.box, 3, 500, 100), NOC_OK);
    noc_file_storage_close(&file);
    assert_int_equal(noc_file_storage_open(&other, path, 8192), NOC_EINVAL);
    assert_int_equal(noc_file_storage_open(&file, path, 4096), NOC_OK);
    assert_int_equal(noc_log_outbox_open(&log, &file.storage), NOC_OK);
    assert_int_equal(log.box.ops->find(&log.box, 3, &item), NOC_OK);
    check_bytes(&log.box, &item);
    for (uint16_t id = 4; id < 60; id++) { /* into the other region, and back */
        assert_int_equal(put_message(&log.box, id, 300, 300), NOC_OK);
        assert_int_equal(log.box.ops->find(&log.box, (uint16_t)(id - 1), &item), NOC_OK);
        assert_int_equal(log.box.ops->remove(&log.box, &item), NOC_OK);
    }
    noc_file_storage_close(&file);
    unlink(path);
}

/* In the C library's place: what was synced last, or one that fails. */
static struct stat synced;
static unsigned syncs;
static bool is_sync_failing;

int fsync(int fd)
{
    syncs++;
    assert_int_equal(fstat(fd, &synced), 0);
    errno = EIO;
    return is_sync_failing ? -1 : 0;
}

static void the_folder_of_a_new_file_is_synced(void **state)
{
    char folder[] = "/tmp/outboxXXXXXX", path[sizeof folder + 8];
    struct noc_file_storage file;
    struct stat info;

    (void)state;
    syncs = 0; /* of earlier tests */
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/box", folder);
    is_sync_failing = true;
    for (int i = 0; i < 2; i++) { /* until it has been written once */
        assert_int_equal(noc_file_storage_open(&file, path, 4096), NOC_EIO);
        assert_int_equal(errno, EIO);
    }
    is_sync_failing = false;
    assert_int_equal(noc_file_storage_open(&file, path, 4096), NOC_OK);
    assert_int_equal(syncs, 3);
    assert_int_equal(stat(folder, &info), 0);
    assert_int_equal(synced.st_ino, info.st_ino);
    noc_file_storage_close(&file);
    assert_int_equal(noc_file_storage_open(&file, path, 4096), NOC_OK);
    assert_int_equal(syncs, 3);
    noc_file_storage_close(&file);
    unlink(path);
    rmdir(folder);
}

/* ---- storage that fails now and then ---- */

static void a_log_that_can_not_be_read_is_not_taken_for_none(void **state)
{
    static struct memory memory;
    struct noc_log_outbox log;
    struct noc_outbox_item item;

    (void)state;
    memory_init(&memory, 512);
    assert_int_equal(noc_log_outbox_open(&log, &memory.storage), NOC_OK);
    assert_int_equal(put_message(&log.box, 1, 20, 20), NOC_OK);
    for (unsigned i = 1;; i++) {
        int err;

        memory.fail_read = i;
        err = noc_log_outbox_open(&log, &memory.storage);
        if (memory.fail_read > 0) {
            assert_true(i > 4);
            break;
        }
        assert_int_equal(err, NOC_EIO);
        assert_int_equal(noc_log_outbox_open(&log, &memory.storage), NOC_OK);
        assert_int_equal(log.box.ops->find(&log.box, 1, &item), NOC_OK);
    }
}

static int remove_message(struct noc_outbox *box, uint16_t id)
{
    struct noc_outbox_item item;
    int err = box->ops->find(box, id, &item);

    return err == NOC_OK ? box->ops->remove(box, &item) : err;
}

/* Messages go through it, a few at a time; what fails is tried again until it does not. */
static void live_with_failures(struct noc_log_outbox *log, bool *has_failed)
{
    struct noc_outbox *box = &log->box;
    struct noc_outbox_item item;

    for (uint16_t id = 1; id < 40; id++) {
        int err = put_message(box, id, 5 + id % 23, 9);

        if (err != NOC_OK) {
            assert_int_equal(err, NOC_EIO);
            *has_failed = true;
            box->ops->cancel(box);
            assert_int_equal(box->ops->find(box, id, &item), NOC_ENOENT);
            assert_int_equal(put_message(box, id, 5 + id % 23, 9), NOC_OK);
        }
        assert_int_equal(box->ops->find(box, id, &item), NOC_OK);
        check_bytes(box, &item);
        if (id > 3) {
            err = remove_message(box, (uint16_t)(id - 3));
            if (err != NOC_OK) {
                assert_int_equal(err, NOC_EIO);
                *has_failed = true;
                err = remove_message(box, (uint16_t)(id - 3));
                assert_true(err == NOC_OK || err == NOC_ENOENT);
            }
            assert_int_equal(box->oldest_id, id - 2);
            assert_int_equal(log->count, 3);
        }
    }
}

static void a_failure_of_storage_loses_nothing_that_follows(void **state)
{
    static struct memory memory;
    struct noc_log_outbox log;
    struct noc_outbox_item item;
    unsigned *const which[] = {&memory.fail_write, &memory.fail_sync};

    (void)state;
    for (unsigned kind = 0; kind < 2; kind++) {
        bool has_failed = true;

        for (unsigned i = 1; has_failed; i++) {
            memory_init(&memory, 400);
            assert_int_equal(noc_log_outbox_open(&log, &memory.storage), NOC_OK);
            *which[kind] = i;
            has_failed = false;
            live_with_failures(&log, &has_failed);
            assert_int_equal(noc_log_outbox_open(&log, &memory.storage), NOC_OK);
            for (uint16_t id = 37; id < 40; id++) {
                assert_int_equal(log.box.ops->find(&log.box, id, &item), NOC_OK);
                check_bytes(&log.box, &item);
            }
            assert_int_equal(log.count, 3);
            assert_true(i < 1000);
        }
        assert_int_equal(*which[kind] > 0, true);
    }
}

static void a_full_log_is_not_copied_for_nothing(void **state)
{
    static struct memory memory;
    struct noc_log_outbox log;
    unsigned erasures;

    (void)state;
    memory_init(&memory, 400);
    assert_int_equal(noc_log_outbox_open(&log, &memory.storage), NOC_OK);
    for (uint16_t id = 1; id < 4; id++) {
        assert_int_equal(put_message(&log.box, id, 60, 60), NOC_OK);
    }
    assert_int_equal(put_message(&log.box, 4, 60, 60), NOC_EFULL);
    erasures = memory.erasures;
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(put_message(&log.box, 4, 60, 60), NOC_EFULL);
    }
    assert_int_equal(memory.erasures, erasures); /* flash does not bear many */
    assert_int_equal(remove_message(&log.box, 1), NOC_OK);
    assert_int_equal(put_message(&log.box, 4, 60, 60), NOC_OK);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_ring_is_a_list),
        cmocka_unit_test(a_log_is_a_list),
        cmocka_unit_test(what_never_fits_is_told_from_what_does_not_fit_now),
        cmocka_unit_test(storage_too_small_is_refused),
        cmocka_unit_test(a_log_is_found_again),
        cmocka_unit_test(what_began_anew_is_not_released_after_a_restart),
        cmocka_unit_test(a_power_cut_at_any_byte_loses_nothing),
        cmocka_unit_test(a_file_keeps_it),
        cmocka_unit_test(the_folder_of_a_new_file_is_synced),
        cmocka_unit_test(a_log_that_can_not_be_read_is_not_taken_for_none),
        cmocka_unit_test(a_failure_of_storage_loses_nothing_that_follows),
        cmocka_unit_test(a_full_log_is_not_copied_for_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
