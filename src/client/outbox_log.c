/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An outbox in storage that survives a restart: a log in one of two regions.
 * When that is full, what is alive is copied into the other, which then counts.
 *
 *   region   head: magic, generation, checksum     12 bytes, written last
 *   record   kind, packet id, size, checksum       12 bytes
 *            of a message also: packet, padded to four, and its checksum
 *
 * A record's checksum also covers the generation, so nothing that stood there
 * before can be taken for one. A message counts when its second checksum is there;
 * without it the record is dead, but its size is known, so records may
 * follow a message that is still being written. What comes behind the last record
 * with a good checksum is what a power cut left; then the log is copied at once, because
 * storage can't be written twice. In the same way the log goes on after a write that failed.
 *
 * A message that is released is kept whole: without its session it begins anew, and a record says so.
 *
 * Only the removal of a message that was released (its PUBREC had come) may be lost in a power
 * cut; its PUBREL is then repeated, which does no harm. All else is synchronised.
 *
 * Whether a message is alive is found by looking for what happened to it further on.
 * Messages go in the order in which they came, mostly, so that is the first
 * one; an outbox that holds many and is acknowledged in wild order is slow.
 */
#include <noctule/outbox.h>

#include <string.h>

#include "base/bytes.h"
#include "base/macros.h"

enum {
    HEAD = 12,
    CHECKSUM = 4,
    RESERVE = 2 * HEAD, /* for each message: to release and to remove it */
    REGION_MIN = 256,
    COPY = 32, /* bytes at a time, on the stack */
};

enum record_kind {
    KIND_MESSAGE = 0x4d,
    KIND_RELEASED = 0x52,
    KIND_ANEW = 0x41, /* it was released, and is not any more */
    KIND_REMOVED = 0x58
};

static const uint8_t magic[4] = {'n', 'o', 'c', '1'};

/* A record's head, and where it stands. */
struct record {
    uint32_t at;
    uint32_t size; /* of the packet */
    uint16_t packet_id;
    uint8_t kind;
};

static struct noc_log_outbox *log_of(struct noc_outbox *box)
{
    return NOC_CONTAINER(box, struct noc_log_outbox, box);
}

static uint32_t padded(uint32_t size)
{
    return (size + 3) & ~UINT32_C(3);
}

/* CRC-32 (IEEE 802.3), by bits: a table would be larger than all the rest. */
static uint32_t crc_add(uint32_t crc, const void *bytes, size_t n)
{
    const uint8_t *at = bytes;

    for (size_t i = 0; i < n; i++) {
        crc ^= at[i];
        for (unsigned bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (UINT32_C(0xedb88320) & (0 - (crc & 1)));
        }
    }
    return crc;
}

/* What is written of it; never all ones, which is how erased storage reads. */
static uint32_t crc_end(uint32_t crc)
{
    return ~crc == UINT32_MAX ? 0 : ~crc;
}

static int storage_read(const struct noc_log_outbox *log, uint32_t at, void *into, size_t n)
{
    return log->storage->read(log->storage->context, log->region, at, into, n);
}

static int storage_write(const struct noc_log_outbox *log, uint32_t at, const void *bytes, size_t n)
{
    return log->storage->write(log->storage->context, log->region, at, bytes, n);
}

static int storage_sync(const struct noc_log_outbox *log)
{
    return log->storage->sync(log->storage->context, log->region);
}

/* ---- records ---- */

static void encode_head(const struct noc_log_outbox *log, const struct record *record, uint8_t *at)
{
    uint8_t generation[4];
    uint32_t crc;

    at[0] = record->kind;
    at[1] = 0;
    noc_put_u32(noc_put_u16(at + 2, record->packet_id), record->size);
    noc_put_u32(generation, log->generation);
    crc = crc_add(crc_add(UINT32_MAX, generation, sizeof generation), at, HEAD - CHECKSUM);
    noc_put_u32(at + HEAD - CHECKSUM, crc_end(crc));
}

static int write_head(const struct noc_log_outbox *log, const struct record *record)
{
    uint8_t head[HEAD];

    encode_head(log, record, head);
    return storage_write(log, log->tail, head, HEAD);
}

/* Bytes of a record. */
static uint32_t record_size(const struct record *record)
{
    return record->kind == KIND_MESSAGE ? HEAD + padded(record->size) + CHECKSUM : HEAD;
}

/* The checksum of a message's packet, as it stands there. */
static int read_crc(
    const struct noc_log_outbox *log, const struct record *record, uint32_t *ret_crc)
{
    uint8_t bytes[COPY];
    uint32_t crc = UINT32_MAX;

    for (uint32_t at = 0; at < record->size;) {
        uint32_t n = record->size - at < COPY ? record->size - at : COPY;
        int err = storage_read(log, record->at + HEAD + at, bytes, n);

        if (err != NOC_OK) {
            return err;
        }
        crc = crc_add(crc, bytes, n);
        at += n;
    }
    *ret_crc = crc_end(crc);
    return NOC_OK;
}

/* The record at at. NOC_ENOENT: none. */
static int read_record(const struct noc_log_outbox *log, uint32_t at, struct record *ret_record)
{
    uint32_t end = log->is_opening ? log->storage->region_bytes : log->tail;
    uint8_t head[HEAD], again[HEAD];
    struct record record = {.at = at};
    int err;

    if (at > end || end - at < HEAD) {
        return NOC_ENOENT;
    }
    err = storage_read(log, at, head, HEAD);
    if (err != NOC_OK) {
        return err;
    }
    record.kind = head[0];
    record.packet_id = noc_get_u16(head + 2);
    record.size = noc_get_u32(head + 4);
    encode_head(log, &record, again);
    if (memcmp(head, again, HEAD) != 0 || record.size > end - at ||
        record_size(&record) > end - at) {
        return NOC_ENOENT;
    }
    *ret_record = record;
    return NOC_OK;
}

/*
 * Was a message written to its end? When the log is opened its checksum tells; what
 * that finds fault with is cut off, so later it is enough that there is one.
 */
static int read_is_whole(
    const struct noc_log_outbox *log, const struct record *record, bool *ret_is_whole)
{
    uint8_t checksum[CHECKSUM];
    uint32_t crc;
    int err =
        storage_read(log, record->at + HEAD + padded(record->size), checksum, sizeof checksum);

    if (err == NOC_OK && log->is_opening) {
        err = read_crc(log, record, &crc);
        *ret_is_whole = err == NOC_OK && crc == noc_get_u32(checksum);
    } else {
        *ret_is_whole = noc_get_u32(checksum) != UINT32_MAX && record->at != log->begun;
    }
    return err;
}

/* What has become of a message: KIND_MESSAGE, or what was last written of it. */
static int read_fate(
    const struct noc_log_outbox *log, const struct record *message, uint8_t *ret_fate)
{
    struct record record;
    uint32_t at = message->at + record_size(message);
    uint8_t fate = KIND_MESSAGE;
    int err;

    while ((err = read_record(log, at, &record)) == NOC_OK && fate != KIND_REMOVED) {
        if (record.packet_id == message->packet_id && record.kind != KIND_MESSAGE) {
            fate = record.kind;
        }
        at += record_size(&record);
    }
    *ret_fate = fate;
    return err == NOC_ENOENT || err == NOC_OK ? NOC_OK : err;
}

/* The first message alive at or behind at, and its fate. NOC_ENOENT: none. */
static int find_alive(
    const struct noc_log_outbox *log, uint32_t at, struct record *ret_record, uint8_t *ret_fate)
{
    int err;

    while ((err = read_record(log, at, ret_record)) == NOC_OK) {
        bool is_there = false;

        if (ret_record->kind == KIND_MESSAGE) {
            err = read_is_whole(log, ret_record, &is_there);
        }
        if (err == NOC_OK && is_there) {
            err = read_fate(log, ret_record, ret_fate);
            is_there = *ret_fate != KIND_REMOVED;
        }
        if (err != NOC_OK || is_there) {
            return err;
        }
        at += record_size(ret_record);
    }
    return err;
}

static int log_item(const struct noc_log_outbox *log, const struct record *record, uint8_t fate,
    struct noc_outbox_item *ret_item)
{
    ret_item->position = record->at;
    ret_item->size = record->size;
    ret_item->packet_id = record->packet_id;
    ret_item->state = (uint8_t)(fate == KIND_RELEASED    ? NOC_OUTBOX_RELEASED
                                : record->at < log->sent ? NOC_OUTBOX_SENT
                                                         : NOC_OUTBOX_WAITING);
    return storage_read(log, record->at + HEAD, &ret_item->first, 1);
}

/* ---- the other region ---- */

static int write_region_head(const struct noc_log_outbox *log)
{
    uint8_t head[HEAD];

    memcpy(head, magic, sizeof magic);
    noc_put_u32(head + 4, log->generation);
    noc_put_u32(head + 8, crc_end(crc_add(UINT32_MAX, head, 8)));
    return storage_write(log, 0, head, HEAD);
}

/* The generation of a region. NOC_ENOENT: it holds nothing that counts. */
static int read_region_head(struct noc_log_outbox *log, uint8_t region, uint32_t *ret_generation)
{
    uint8_t head[HEAD];
    int err;

    log->region = region;
    err = storage_read(log, 0, head, HEAD);
    if (err != NOC_OK) {
        return err;
    }
    if (memcmp(head, magic, sizeof magic) != 0 ||
        noc_get_u32(head + 8) != crc_end(crc_add(UINT32_MAX, head, 8))) {
        return NOC_ENOENT;
    }
    *ret_generation = noc_get_u32(head + 4);
    return NOC_OK;
}

/* Copy n bytes from another place, of the old region, to here. */
static int copy_bytes(const struct noc_log_outbox *to, uint32_t to_at,
    const struct noc_log_outbox *from, uint32_t from_at, uint32_t n)
{
    uint8_t bytes[COPY];
    int err = NOC_OK;

    while (n > 0 && err == NOC_OK) {
        uint32_t part = n < COPY ? n : COPY;

        err = storage_read(from, from_at, bytes, part);
        if (err == NOC_OK) {
            err = storage_write(to, to_at, bytes, part);
        }
        to_at += part;
        from_at += part;
        n -= part;
    }
    return err;
}

/* Copy a message; n bytes behind its head: all there are, or as many as were written. */
static int copy_record(struct noc_log_outbox *to, const struct noc_log_outbox *from,
    const struct record *record, uint32_t n)
{
    int err = write_head(to, record);

    if (err == NOC_OK) {
        err = copy_bytes(to, to->tail + HEAD, from, record->at + HEAD, n);
    }
    to->tail += record_size(record);
    return err;
}

/* Copy all that is alive into the other region, and go on there. */
static int log_compact(struct noc_log_outbox *log)
{
    struct noc_log_outbox from = *log, to = *log;
    struct record record;
    uint32_t at = log->head;
    uint8_t fate;
    int err;

    to.region = log->region ^ 1;
    to.generation = log->generation + 1;
    to.head = to.tail = HEAD;
    to.cursor = to.sent = 0;
    to.has_dead = to.is_torn = false;
    err = log->storage->erase(log->storage->context, to.region);
    while (err == NOC_OK && (err = find_alive(&from, at, &record, &fate)) == NOC_OK) {
        if (record.at >= from.cursor && to.cursor == 0) {
            to.cursor = to.tail;
        }
        if (record.at >= from.sent && to.sent == 0) {
            to.sent = to.tail;
        }
        err = copy_record(&to, &from, &record, padded(record.size) + CHECKSUM);
        at = record.at + record_size(&record);
        if (err == NOC_OK && fate == KIND_RELEASED) {
            record.kind = KIND_RELEASED;
            record.size = 0;
            err = write_head(&to, &record);
            to.tail += HEAD;
        }
    }
    to.cursor = to.cursor == 0 ? to.tail : to.cursor;
    to.sent = to.sent == 0 ? to.tail : to.sent;
    if (err == NOC_ENOENT) {
        err = NOC_OK;
    }
    if (err == NOC_OK && from.begun != 0) {
        record = (struct record){.at = from.begun, .size = from.size, .kind = KIND_MESSAGE};
        record.packet_id = from.begun_id;
        to.begun = to.tail;
        err = copy_record(&to, &from, &record, from.written & ~UINT32_C(3));
    }
    if (err == NOC_OK) {
        err = storage_sync(&to);
    }
    if (err == NOC_OK) {
        err = write_region_head(&to);
        if (err == NOC_OK) {
            err = storage_sync(&to);
        }
        log->is_torn = true; /* perhaps the other one counts now */
    }
    if (err == NOC_OK) {
        *log = to;
    }
    return err;
}

/* ---- what an outbox does ---- */

/* See to room for n bytes at the end, if it can be had. */
static int make_room(struct noc_log_outbox *log, uint32_t n)
{
    bool is_there = log->tail + n <= log->storage->region_bytes;

    return log->is_torn || (!is_there && log->has_dead) ? log_compact(log) : NOC_OK;
}

/* Put a record of what has become of a message at the end. */
static int put_fate(struct noc_log_outbox *log, uint16_t packet_id, enum record_kind kind)
{
    struct record record = {.packet_id = packet_id, .kind = (uint8_t)kind};
    int err = make_room(log, HEAD);

    if (err != NOC_OK) {
        return err;
    }
    err = write_head(log, &record);
    if (err != NOC_OK) {
        log->is_torn = true;
        return err;
    }
    log->tail += HEAD;
    log->has_dead = true;
    return NOC_OK;
}

static int log_begin(struct noc_outbox *box, uint16_t packet_id, uint32_t size)
{
    struct noc_log_outbox *log = log_of(box);
    struct record record = {.size = size, .packet_id = packet_id, .kind = KIND_MESSAGE};
    uint32_t reserve = (log->count + 1) * RESERVE, n;
    int err;

    if (size > log->storage->region_bytes ||
        HEAD + record_size(&record) + RESERVE > log->storage->region_bytes) {
        return NOC_ETOOLARGE;
    }
    n = record_size(&record) + reserve;
    err = make_room(log, n);
    if (err != NOC_OK) {
        return err;
    }
    if (log->tail + n > log->storage->region_bytes) {
        return NOC_EFULL;
    }
    err = write_head(log, &record);
    if (err != NOC_OK) {
        log->is_torn = true;
        return err;
    }
    log->begun = log->tail;
    log->begun_id = packet_id;
    log->size = size;
    log->written = 0;
    log->crc = UINT32_MAX;
    log->tail += record_size(&record);
    return NOC_OK;
}

static int log_write(struct noc_outbox *box, const void *bytes, size_t n)
{
    struct noc_log_outbox *log = log_of(box);
    const uint8_t *at = bytes;
    int err = NOC_OK;

    if (n == 0) {
        return NOC_OK;
    }
    log->crc = crc_add(log->crc, bytes, n);
    while (n > 0 && err == NOC_OK) {
        uint32_t held = log->written & 3, whole;

        if (held == 0 && n >= 4) {
            whole = (uint32_t)n & ~UINT32_C(3);
            err = storage_write(log, log->begun + HEAD + log->written, at, whole);
            log->written += whole;
            at += whole;
            n -= whole;
            continue;
        }
        log->held[held] = *at++;
        n--;
        log->written++;
        if (held == 3) {
            err = storage_write(log, log->begun + HEAD + log->written - 4, log->held, 4);
        }
    }
    return err;
}

/* Write what is still held of the message that was begun, and its checksum. */
static int write_end(const struct noc_log_outbox *log)
{
    uint8_t end[8] = {0};
    uint32_t held = log->written & 3, n = held > 0 ? 4 : 0;
    int err;

    memcpy(end, log->held, held);
    noc_put_u32(end + n, crc_end(log->crc));
    err = storage_write(log, log->begun + HEAD + (log->written & ~UINT32_C(3)), end, n + CHECKSUM);
    return err == NOC_OK ? storage_sync(log) : err;
}

/* Perhaps the message that was begun has got its checksum, but it is not to count. */
static void disown(struct noc_log_outbox *log)
{
    if (log->tail == log->begun + HEAD + padded(log->size) + CHECKSUM) {
        log->tail = log->begun;
        log->is_torn = true;
    } else {
        (void)put_fate(log, log->begun_id, KIND_REMOVED);
    }
}

static int log_commit(struct noc_outbox *box)
{
    struct noc_log_outbox *log = log_of(box);
    int err = make_room(log, 0);

    if (err == NOC_OK) {
        err = write_end(log);
        if (err != NOC_OK) {
            disown(log);
        }
    }
    if (err == NOC_OK) {
        if (log->count == 0) {
            box->oldest_id = log->begun_id;
        }
        box->newest_id = log->begun_id;
        log->count++;
        log->begun = 0;
    }
    return err;
}

static void log_cancel(struct noc_outbox *box)
{
    log_of(box)->begun = 0;
    log_of(box)->has_dead = true;
}

/* None is released any more, and storage knows it: after a restart, too, they must go as a whole. */
static int undo_releases(struct noc_log_outbox *log)
{
    struct record record;
    uint32_t at = log->head;
    bool is_written = false;
    uint8_t fate, region;
    int err;

    while ((err = find_alive(log, at, &record, &fate)) == NOC_OK && record.at < log->sent) {
        at = record.at + record_size(&record);
        if (fate == KIND_RELEASED) {
            region = log->region;
            err = put_fate(log, record.packet_id, KIND_ANEW);
            if (err != NOC_OK) {
                return err;
            }
            is_written = true;
            at = log->region == region ? at : log->head; /* all has moved */
        }
    }
    if (err != NOC_OK && err != NOC_ENOENT) {
        return err;
    }
    return is_written ? storage_sync(log) : NOC_OK;
}

static int log_rewind(struct noc_outbox *box, bool is_anew)
{
    struct noc_log_outbox *log = log_of(box);
    int err = is_anew ? undo_releases(log) : NOC_OK;

    log->cursor = log->head;
    if (is_anew) {
        log->sent = log->head;
    }
    return err;
}

static int log_unsent(struct noc_outbox *box, struct noc_outbox_item *ret_item)
{
    struct noc_log_outbox *log = log_of(box);
    struct record record;
    uint8_t fate;
    int err = find_alive(log, log->cursor, &record, &fate);

    if (err == NOC_OK) {
        log->cursor = record.at;
        err = log_item(log, &record, fate, ret_item);
    }
    return err;
}

static int log_pass(struct noc_outbox *box)
{
    struct noc_log_outbox *log = log_of(box);
    struct record record;
    int err = read_record(log, log->cursor, &record);

    if (err == NOC_OK) {
        log->cursor += record_size(&record);
        log->sent = log->sent < log->cursor ? log->cursor : log->sent;
    }
    return err;
}

static int log_find(struct noc_outbox *box, uint16_t packet_id, struct noc_outbox_item *ret_item)
{
    struct noc_log_outbox *log = log_of(box);
    struct record record;
    uint32_t at = log->head;
    uint8_t fate;
    int err;

    while ((err = find_alive(log, at, &record, &fate)) == NOC_OK) {
        if (record.packet_id == packet_id) {
            return log_item(log, &record, fate, ret_item);
        }
        at = record.at + record_size(&record);
    }
    return err;
}

static int log_read(
    struct noc_outbox *box, const struct noc_outbox_item *item, uint32_t at, void *into, size_t n)
{
    return storage_read(log_of(box), item->position + HEAD + at, into, n);
}

static int log_release(struct noc_outbox *box, const struct noc_outbox_item *item)
{
    struct noc_log_outbox *log = log_of(box);
    int err = put_fate(log, item->packet_id, KIND_RELEASED);

    return err == NOC_OK ? storage_sync(log) : err;
}

/* Find the oldest message, for head and oldest_id. */
static int find_oldest(struct noc_log_outbox *log)
{
    struct record record;
    uint8_t fate;
    int err = find_alive(log, log->head, &record, &fate);

    if (err == NOC_OK) {
        log->head = record.at;
        log->box.oldest_id = record.packet_id;
    } else if (err == NOC_ENOENT) {
        log->box.oldest_id = 0;
        err = NOC_OK;
    }
    return err;
}

static int log_remove(struct noc_outbox *box, const struct noc_outbox_item *item)
{
    struct noc_log_outbox *log = log_of(box);
    uint16_t packet_id = item->packet_id;
    bool is_oldest = packet_id == box->oldest_id, was_released = item->state == NOC_OUTBOX_RELEASED;
    int err = put_fate(log, packet_id, KIND_REMOVED);

    if (err == NOC_OK) {
        log->count--;
        err = is_oldest ? find_oldest(log) : NOC_OK;
    }
    return err == NOC_OK && !was_released ? storage_sync(log) : err;
}

/* ---- opening ---- */

/* Find the end of the log. *ret_is_torn: there is a message that was not written to its end. */
static int find_end(struct noc_log_outbox *log, bool *ret_is_torn)
{
    struct record record;
    bool is_whole;
    int err;

    while ((err = read_record(log, log->tail, &record)) == NOC_OK) {
        if (record.kind == KIND_MESSAGE) {
            err = read_is_whole(log, &record, &is_whole);
            if (err != NOC_OK) {
                return err;
            }
            *ret_is_torn |= !is_whole;
        }
        log->tail += record_size(&record);
    }
    return err == NOC_ENOENT ? NOC_OK : err;
}

/* Is all behind the end as it was when it was erased? */
static int check_rest(const struct noc_log_outbox *log, bool *ret_is_torn)
{
    uint8_t bytes[COPY];
    uint32_t end = log->storage->region_bytes;

    for (uint32_t at = log->tail; at < end;) {
        uint32_t n = end - at < COPY ? end - at : COPY;
        int err = storage_read(log, at, bytes, n);

        if (err != NOC_OK) {
            return err;
        }
        for (uint32_t i = 0; i < n; i++) {
            *ret_is_torn |= bytes[i] != 0xff;
        }
        at += n;
    }
    return NOC_OK;
}

static int count_alive(struct noc_log_outbox *log)
{
    struct record record;
    uint32_t at = log->head;
    uint8_t fate;
    int err;

    while ((err = find_alive(log, at, &record, &fate)) == NOC_OK) {
        log->count++;
        log->box.newest_id = record.packet_id;
        at = record.at + record_size(&record);
    }
    return err == NOC_ENOENT ? find_oldest(log) : err;
}

/* Read a log that is there. */
static int scan(struct noc_log_outbox *log)
{
    bool is_torn = false;
    int err;

    log->is_opening = true;
    err = find_end(log, &is_torn);
    if (err == NOC_OK) {
        err = check_rest(log, &is_torn);
    }
    log->sent = log->tail;
    if (err == NOC_OK && is_torn) {
        err = log_compact(log);
    }
    if (err == NOC_OK) {
        err = count_alive(log);
    }
    log->cursor = log->head;
    log->is_opening = false;
    return err;
}

int noc_log_outbox_open(struct noc_log_outbox *log, const struct noc_storage *storage)
{
    static const struct noc_outbox_ops ops = {
        .begin = log_begin,
        .write = log_write,
        .commit = log_commit,
        .cancel = log_cancel,
        .rewind = log_rewind,
        .unsent = log_unsent,
        .pass = log_pass,
        .find = log_find,
        .read = log_read,
        .release = log_release,
        .remove = log_remove,
    };
    uint32_t generations[2] = {0, 0};
    int found[2], err;

    if (storage->region_bytes < REGION_MIN || storage->region_bytes > INT32_MAX ||
        storage->region_bytes % 4 != 0) {
        return NOC_EINVAL;
    }
    memset(log, 0, sizeof *log);
    log->box.ops = &ops;
    log->storage = storage;
    log->head = log->tail = HEAD;
    found[0] = read_region_head(log, 0, &generations[0]);
    found[1] = read_region_head(log, 1, &generations[1]);
    for (unsigned i = 0; i < 2; i++) {
        if (found[i] != NOC_OK && found[i] != NOC_ENOENT) {
            return found[i];
        }
    }
    if (found[0] == NOC_OK || found[1] == NOC_OK) {
        /* The younger one, by the difference, which may go around. */
        log->region = found[0] != NOC_OK || (found[1] == NOC_OK && generations[1] - generations[0] <
                                                                       UINT32_C(0x80000000));
        log->has_dead = true;
        log->generation = generations[log->region];
        return scan(log);
    }
    log->region = 0;
    log->cursor = log->sent = HEAD;
    err = storage->erase(storage->context, 0);
    if (err == NOC_OK) {
        err = write_region_head(log);
    }
    return err == NOC_OK ? storage_sync(log) : err;
}
