/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An outbox in memory. An entry is eight bytes of head and the packet, rounded up to four.
 *
 *   0       head                  cursor                tail
 *   | gone  | entry | entry | ... | entry | ... | entry | begun  :
 *
 * There are no holes: when an entry behind the head is removed, those in front of it move up.
 * They are few: no more than are in flight. When there is no room behind the tail, all move to
 * the front.
 */
#include <noctule/outbox.h>

#include <string.h>

#include "base/macros.h"

struct entry {
    uint32_t size; /* of the packet */
    uint16_t packet_id;
    uint8_t state; /* enum noc_outbox_state */
    uint8_t first; /* the packet's first byte, once it is committed */
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

static int ring_item(
    const struct noc_ring_outbox *ring, uint32_t offset, struct noc_outbox_item *ret_item)
{
    const struct entry *entry = entry_at(ring, offset);

    if (offset >= ring->tail) {
        return NOC_ENOENT;
    }
    *ret_item = (struct noc_outbox_item){.position = offset,
        .size = entry->size,
        .packet_id = entry->packet_id,
        .state = entry->state,
        .first = entry->first};
    return NOC_OK;
}

static int ring_begin(struct noc_outbox *box, uint16_t packet_id, uint32_t size)
{
    struct noc_ring_outbox *ring = ring_of(box);
    struct entry *entry;
    uint32_t n = entry_size(size);

    if (n > ring->size || n < size) {
        return NOC_ETOOLARGE;
    }
    if (n > ring->size - ring->tail) {
        ring->tail -= ring->head;
        ring->cursor -= ring->head;
        memmove(ring->bytes, ring->bytes + ring->head, ring->tail);
        ring->head = 0;
        if (n > ring->size - ring->tail) {
            return NOC_EFULL;
        }
    }
    entry = entry_at(ring, ring->tail);
    entry->size = size;
    entry->packet_id = packet_id;
    entry->state = NOC_OUTBOX_WAITING;
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

static int ring_commit(struct noc_outbox *box)
{
    struct noc_ring_outbox *ring = ring_of(box);
    struct entry *entry = entry_at(ring, ring->tail);

    entry->first = entry->packet[0];
    box->newest_id = entry->packet_id;
    if (box->oldest_id == 0) {
        box->oldest_id = entry->packet_id;
    }
    ring->tail += entry_size(entry->size);
    return NOC_OK;
}

static void ring_cancel(struct noc_outbox *box)
{
    (void)box; /* What was begun stands behind tail, where nobody looks. */
}

static int ring_rewind(struct noc_outbox *box, bool is_anew)
{
    struct noc_ring_outbox *ring = ring_of(box);

    ring->cursor = ring->head;
    for (uint32_t at = ring->head; is_anew && at < ring->tail;) {
        struct entry *entry = entry_at(ring, at);

        entry->state = NOC_OUTBOX_WAITING;
        at += entry_size(entry->size);
    }
    return NOC_OK;
}

static int ring_unsent(struct noc_outbox *box, struct noc_outbox_item *ret_item)
{
    struct noc_ring_outbox *ring = ring_of(box);

    return ring_item(ring, ring->cursor, ret_item);
}

static int ring_pass(struct noc_outbox *box)
{
    struct noc_ring_outbox *ring = ring_of(box);
    struct entry *entry = entry_at(ring, ring->cursor);

    if (entry->state == NOC_OUTBOX_WAITING) {
        entry->state = NOC_OUTBOX_SENT;
    }
    ring->cursor += entry_size(entry->size);
    return NOC_OK;
}

static int ring_find(struct noc_outbox *box, uint16_t packet_id, struct noc_outbox_item *ret_item)
{
    struct noc_ring_outbox *ring = ring_of(box);
    uint32_t offset = ring->head;

    while (offset < ring->tail && entry_at(ring, offset)->packet_id != packet_id) {
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
    entry_at(ring_of(box), item->position)->state = NOC_OUTBOX_RELEASED;
    return NOC_OK;
}

static int ring_remove(struct noc_outbox *box, const struct noc_outbox_item *item)
{
    struct noc_ring_outbox *ring = ring_of(box);
    uint32_t n = entry_size(item->size), head = ring->head;
    uint8_t *oldest = ring->bytes + head;

    memmove(oldest + n, oldest, item->position - head);
    ring->head = head + n;
    if (ring->cursor <= item->position) {
        ring->cursor += n; /* what it stands on has moved, or is the one that goes */
    }
    box->oldest_id = ring->head < ring->tail ? entry_at(ring, ring->head)->packet_id : 0;
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
        /* Where an address has four bytes no block has more than that. */
        ring->size = (uint32_t)(sizeof n > 4 && n > INT32_MAX ? INT32_MAX : n) & ~UINT32_C(3);
    }
    return &ring->box;
}
