/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An outbox in memory: a ring of entries. An entry is eight bytes of head and
 * the packet, rounded up to four; both go around the end of the memory where
 * they meet it. What is removed in the middle stays as a dead entry until all
 * in front of it are gone.
 *
 *   head                 sent            cursor                  used
 *    | entry | dead | entry | ... entry ... | entry | entry | begun  :
 *    +-------- sent before ---+----- sent --+---- waiting ---+
 *
 * Offsets are counted from head, so the ring's end is nobody's business but that of ring_copy().
 */
#include <noctule/outbox.h>

#include <string.h>

#include "base/macros.h"

enum { HEAD = 8, LIVE = 0, RELEASED = 1, DEAD = 2 };

struct entry {
    uint32_t size; /* of the packet */
    uint16_t packet_id;
    uint8_t mark; /* LIVE ... */
    uint8_t unused;
};

static struct noc_ring_outbox *ring_of(struct noc_outbox *box)
{
    return NOC_CONTAINER(box, struct noc_ring_outbox, box);
}

/* Bytes of an entry for a packet of that size. */
static uint32_t entry_size(uint32_t size)
{
    return HEAD + ((size + 3) & ~UINT32_C(3));
}

/* The address of a byte, and how many stand there before the memory ends. */
static uint8_t *ring_at(const struct noc_ring_outbox *ring, uint32_t offset, size_t *ret_n)
{
    uint32_t to_end = ring->size - ring->head;

    offset = offset < to_end ? ring->head + offset : offset - to_end;
    *ret_n = ring->size - offset;
    return ring->bytes + offset;
}

static void ring_put(struct noc_ring_outbox *ring, uint32_t offset, const void *bytes, size_t n)
{
    size_t first;
    uint8_t *at = ring_at(ring, offset, &first);

    first = first < n ? first : n;
    memcpy(at, bytes, first);
    memcpy(ring->bytes, (const uint8_t *)bytes + first, n - first);
}

static void ring_get(const struct noc_ring_outbox *ring, uint32_t offset, void *into, size_t n)
{
    size_t first;
    const uint8_t *at = ring_at(ring, offset, &first);

    first = first < n ? first : n;
    memcpy(into, at, first);
    memcpy((uint8_t *)into + first, ring->bytes, n - first);
}

static struct entry ring_entry(const struct noc_ring_outbox *ring, uint32_t offset)
{
    struct entry entry;

    ring_get(ring, offset, &entry, sizeof entry);
    return entry;
}

/* Where an item stands. */
static uint32_t item_offset(const struct noc_ring_outbox *ring, const struct noc_outbox_item *item)
{
    return item->position >= ring->head ? item->position - ring->head
                                        : item->position + (ring->size - ring->head);
}

/* Skip the dead at offset. Returns where the next entry stands that isn't, or used. */
static uint32_t skip_dead(const struct noc_ring_outbox *ring, uint32_t offset)
{
    while (offset < ring->used) {
        struct entry entry = ring_entry(ring, offset);

        if (entry.mark != DEAD) {
            break;
        }
        offset += entry_size(entry.size);
    }
    return offset;
}

static void make_item(
    const struct noc_ring_outbox *ring, uint32_t offset, struct noc_outbox_item *ret_item)
{
    struct entry entry = ring_entry(ring, offset);
    size_t n;

    ret_item->position = (uint32_t)(ring_at(ring, offset, &n) - ring->bytes);
    ret_item->size = entry.size;
    ret_item->packet_id = entry.packet_id;
    ret_item->state = (uint8_t)(entry.mark == RELEASED ? NOC_OUTBOX_RELEASED
                                : offset < ring->sent  ? NOC_OUTBOX_SENT
                                                       : NOC_OUTBOX_WAITING);
}

static int ring_begin(struct noc_outbox *box, uint16_t packet_id, uint32_t size)
{
    struct noc_ring_outbox *ring = ring_of(box);
    struct entry entry = {.size = size, .packet_id = packet_id, .mark = LIVE};

    if (size > ring->size || entry_size(size) > ring->size) {
        return NOC_ETOOLARGE;
    }
    if (entry_size(size) > ring->size - ring->used) {
        return NOC_EFULL;
    }
    ring->begun = entry_size(size);
    ring->written = 0;
    ring_put(ring, ring->used, &entry, sizeof entry);
    return NOC_OK;
}

static int ring_write(struct noc_outbox *box, const void *bytes, size_t n)
{
    struct noc_ring_outbox *ring = ring_of(box);

    if (n > 0) {
        ring_put(ring, ring->used + HEAD + ring->written, bytes, n);
        ring->written += (uint32_t)n;
    }
    return NOC_OK;
}

static int ring_commit(struct noc_outbox *box)
{
    struct noc_ring_outbox *ring = ring_of(box);

    box->newest_id = ring_entry(ring, ring->used).packet_id;
    if (ring->used == 0) {
        box->oldest_id = box->newest_id;
    }
    ring->used += ring->begun;
    ring->begun = 0;
    return NOC_OK;
}

static void ring_cancel(struct noc_outbox *box)
{
    ring_of(box)->begun = 0;
}

static int ring_rewind(struct noc_outbox *box, bool is_anew)
{
    struct noc_ring_outbox *ring = ring_of(box);

    ring->cursor = 0;
    if (is_anew) {
        ring->sent = 0;
    }
    return NOC_OK;
}

static int ring_unsent(struct noc_outbox *box, struct noc_outbox_item *ret_item)
{
    struct noc_ring_outbox *ring = ring_of(box);

    ring->cursor = skip_dead(ring, ring->cursor);
    if (ring->cursor == ring->used) {
        return NOC_ENOENT;
    }
    make_item(ring, ring->cursor, ret_item);
    return NOC_OK;
}

static int ring_pass(struct noc_outbox *box)
{
    struct noc_ring_outbox *ring = ring_of(box);

    ring->cursor += entry_size(ring_entry(ring, ring->cursor).size);
    if (ring->sent < ring->cursor) {
        ring->sent = ring->cursor;
    }
    return NOC_OK;
}

static int ring_find(struct noc_outbox *box, uint16_t packet_id, struct noc_outbox_item *ret_item)
{
    struct noc_ring_outbox *ring = ring_of(box);

    for (uint32_t offset = 0; offset < ring->used;) {
        struct entry entry = ring_entry(ring, offset);

        if (entry.packet_id == packet_id && entry.mark != DEAD) {
            make_item(ring, offset, ret_item);
            return NOC_OK;
        }
        offset += entry_size(entry.size);
    }
    return NOC_ENOENT;
}

static int ring_read(
    struct noc_outbox *box, const struct noc_outbox_item *item, uint32_t at, void *into, size_t n)
{
    struct noc_ring_outbox *ring = ring_of(box);

    ring_get(ring, item_offset(ring, item) + HEAD + at, into, n);
    return NOC_OK;
}

static void set_mark(struct noc_ring_outbox *ring, const struct noc_outbox_item *item, uint8_t mark)
{
    struct entry entry = {.size = item->size, .packet_id = item->packet_id, .mark = mark};

    ring_put(ring, item_offset(ring, item), &entry, sizeof entry);
}

static int ring_release(struct noc_outbox *box, const struct noc_outbox_item *item)
{
    set_mark(ring_of(box), item, RELEASED);
    return NOC_OK;
}

static int ring_remove(struct noc_outbox *box, const struct noc_outbox_item *item)
{
    struct noc_ring_outbox *ring = ring_of(box);
    uint32_t gone;
    size_t n;

    set_mark(ring, item, DEAD);
    gone = skip_dead(ring, 0);
    ring->head = (uint32_t)(ring_at(ring, gone, &n) - ring->bytes);
    ring->used -= gone;
    ring->cursor -= gone < ring->cursor ? gone : ring->cursor;
    ring->sent -= gone < ring->sent ? gone : ring->sent;
    if (ring->used > 0) {
        box->oldest_id = ring_entry(ring, 0).packet_id;
        return NOC_OK;
    }
    box->oldest_id = 0;
    if (ring->begun == 0) {
        ring->head = 0; /* so that the next entry stands in one piece */
    }
    return NOC_OK;
}

struct noc_outbox *noc_ring_outbox_init(struct noc_ring_outbox *ring, void *bytes, size_t n)
{
    static const struct noc_outbox_ops ops = {
        .begin = ring_begin,
        .write = ring_write,
        .commit = ring_commit,
        .cancel = ring_cancel,
        .rewind = ring_rewind,
        .unsent = ring_unsent,
        .pass = ring_pass,
        .find = ring_find,
        .read = ring_read,
        .release = ring_release,
        .remove = ring_remove,
    };

    memset(ring, 0, sizeof *ring);
    ring->box.ops = &ops;
    ring->bytes = bytes;
    ring->size = (uint32_t)(n > INT32_MAX ? INT32_MAX : n) & ~UINT32_C(3);
    return &ring->box;
}
