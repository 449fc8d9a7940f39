/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An outbox in memory. An entry is eight bytes of head and the packet, rounded up to four.
 * What is removed in the middle stays as a dead entry until all in front of it
 * are gone, or room is needed.
 *
 *   0        head                 sent            cursor                  tail
 *   | gone .. | entry | dead | entry | ... entry ... | entry | entry | begun  :
 *             +-------- sent before ---+----- sent --+---- waiting ---+
 */
#include <noctule/outbox.h>

#include <string.h>

#include "base/macros.h"

enum { LIVE = 0, RELEASED = 1, DEAD = 2 };

struct entry {
    uint32_t size; /* of the packet */
    uint16_t packet_id;
    uint16_t mark; /* LIVE ... */
    uint8_t packet[];
};

static struct noc_ring_outbox *ring_of(struct noc_outbox *box)
{
    return NOC_CONTAINER(box, struct noc_ring_outbox, box);
}

/* Bytes of an entry for a packet of that size. */
static uint32_t entry_size(uint32_t size)
{
    return (uint32_t)sizeof(struct entry) + ((size + 3) & ~UINT32_C(3));
}

static struct entry *entry_at(const struct noc_ring_outbox *ring, uint32_t offset)
{
    return (struct entry *)(void *)(ring->bytes + offset);
}

/* The first entry at or behind offset that is not dead; tail: none. */
static uint32_t skip_dead(const struct noc_ring_outbox *ring, uint32_t offset)
{
    while (offset < ring->tail && entry_at(ring, offset)->mark == DEAD) {
        offset += entry_size(entry_at(ring, offset)->size);
    }
    return offset;
}

static int ring_item(
    const struct noc_ring_outbox *ring, uint32_t offset, struct noc_outbox_item *ret_item)
{
    const struct entry *entry = entry_at(ring, offset);

    if (offset >= ring->tail) {
        return NOC_ENOENT;
    }
    ret_item->position = offset;
    ret_item->size = entry->size;
    ret_item->packet_id = entry->packet_id;
    ret_item->first = entry->packet[0];
    ret_item->state = (uint8_t)(entry->mark == RELEASED ? NOC_OUTBOX_RELEASED
                                : offset < ring->sent   ? NOC_OUTBOX_SENT
                                                        : NOC_OUTBOX_WAITING);
    return NOC_OK;
}

/* Move what is alive to the front. */
static void ring_compact(struct noc_ring_outbox *ring)
{
    uint32_t to = 0, size, cursor = 0, sent = 0;

    for (uint32_t at = ring->head; at < ring->tail; at += size) {
        size = entry_size(entry_at(ring, at)->size);
        if (entry_at(ring, at)->mark == DEAD) {
            continue;
        }
        memmove(ring->bytes + to, ring->bytes + at, size);
        to += size;
        cursor = at < ring->cursor ? to : cursor;
        sent = at < ring->sent ? to : sent;
    }
    ring->head = 0;
    ring->tail = to;
    ring->cursor = cursor;
    ring->sent = sent;
}

static int ring_begin(struct noc_outbox *box, uint16_t packet_id, uint32_t size)
{
    struct noc_ring_outbox *ring = ring_of(box);
    struct entry *entry;

    if (size > ring->size || entry_size(size) > ring->size) {
        return NOC_ETOOLARGE;
    }
    if (entry_size(size) > ring->size - ring->tail) {
        ring_compact(ring);
    }
    if (entry_size(size) > ring->size - ring->tail) {
        return NOC_EFULL;
    }
    entry = entry_at(ring, ring->tail);
    entry->size = size;
    entry->packet_id = packet_id;
    entry->mark = LIVE;
    ring->written = ring->tail + (uint32_t)sizeof *entry;
    return NOC_OK;
}

static int ring_write(struct noc_outbox *box, const void *bytes, size_t n)
{
    struct noc_ring_outbox *ring = ring_of(box);

    if (n > 0) {
        memcpy(ring->bytes + ring->written, bytes, n);
        ring->written += (uint32_t)n;
    }
    return NOC_OK;
}

/* Skip the dead at the front. */
static void find_head(struct noc_ring_outbox *ring)
{
    ring->head = skip_dead(ring, ring->head);
    ring->box.oldest_id = ring->head < ring->tail ? entry_at(ring, ring->head)->packet_id : 0;
}

static int ring_commit(struct noc_outbox *box)
{
    struct noc_ring_outbox *ring = ring_of(box);
    const struct entry *entry = entry_at(ring, ring->tail);

    box->newest_id = entry->packet_id;
    ring->tail += entry_size(entry->size);
    find_head(ring);
    return NOC_OK;
}

static void ring_cancel(struct noc_outbox *box)
{
    (void)box; /* What was begun stands behind tail, where nobody looks. */
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

    if (ring->cursor < ring->head) {
        ring->cursor = ring->head;
    }
    ring->cursor = skip_dead(ring, ring->cursor);
    return ring_item(ring, ring->cursor, ret_item);
}

static int ring_pass(struct noc_outbox *box)
{
    struct noc_ring_outbox *ring = ring_of(box);

    ring->cursor += entry_size(entry_at(ring, ring->cursor)->size);
    if (ring->sent < ring->cursor) {
        ring->sent = ring->cursor;
    }
    return NOC_OK;
}

static int ring_find(struct noc_outbox *box, uint16_t packet_id, struct noc_outbox_item *ret_item)
{
    struct noc_ring_outbox *ring = ring_of(box);
    uint32_t offset = ring->head;

    while (offset < ring->tail && (entry_at(ring, offset)->packet_id != packet_id ||
                                      entry_at(ring, offset)->mark == DEAD)) {
        offset += entry_size(entry_at(ring, offset)->size);
    }
    return ring_item(ring, offset, ret_item);
}

static int ring_read(
    struct noc_outbox *box, const struct noc_outbox_item *item, uint32_t at, void *into, size_t n)
{
    memcpy(into, entry_at(ring_of(box), item->position)->packet + at, n);
    return NOC_OK;
}

static int ring_release(struct noc_outbox *box, const struct noc_outbox_item *item)
{
    entry_at(ring_of(box), item->position)->mark = RELEASED;
    return NOC_OK;
}

static int ring_remove(struct noc_outbox *box, const struct noc_outbox_item *item)
{
    entry_at(ring_of(box), item->position)->mark = DEAD;
    find_head(ring_of(box));
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

    size_t gap = (0 - (uintptr_t)bytes) % 4;

    memset(ring, 0, sizeof *ring);
    ring->box.ops = &ops;
    if (n > gap) {
        n -= gap;
        ring->bytes = (uint8_t *)bytes + gap;
        ring->size = (uint32_t)(n > INT32_MAX ? INT32_MAX : n) & ~UINT32_C(3);
    }
    return &ring->box;
}
