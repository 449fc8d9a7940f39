/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdlib.h>

#include "core/index_internal.h"
#include <noctule/error.h>

enum { ROOM_MIN = 4 };

struct noc_node *noc_node_new(struct noc_index *index, struct noc_slice filter, uint64_t hash)
{
    struct noc_node *node = calloc(1, sizeof *node + filter.n);

    if (node == NULL) {
        return NULL;
    }
    node->entry.hash = hash;
    node->ending.retire.index = index;
    atomic_init(&node->workers, 0);
    atomic_init(&node->durable_workers, 0);
    atomic_init(&node->groups, NULL);
    atomic_init(&node->others, NULL);
    atomic_init(&node->owner, NOC_NO_WORKER);
    node->filter_n = (uint32_t)filter.n;
    memcpy(node->filter, filter.at, filter.n);
    return node;
}

static void slot_done(struct noc_slot *slot)
{
    if (slot->room > 0) {
        free(slot->subs.many);
    }
}

void noc_node_free(struct noc_node *node)
{
    struct noc_slot *others = atomic_load_explicit(&node->others, memory_order_relaxed);

    /* The lists are empty by now, unless the whole index ends. */
    slot_done(&node->own);
    for (unsigned i = 0; others != NULL && i < node->ending.retire.index->worker_count; i++) {
        slot_done(&others[i]);
    }
    free(others);
    free(node);
}

struct noc_slot *noc_node_obtain_slot_locked(struct noc_node *node, unsigned worker)
{
    const struct noc_index *index = node->ending.retire.index;
    struct noc_slot *slot = noc_node_slot(node, worker);

    if (slot != NULL) {
        return slot;
    }
    if (atomic_load_explicit(&node->owner, memory_order_relaxed) == NOC_NO_WORKER) {
        atomic_store_explicit(&node->owner, worker, memory_order_relaxed);
        return &node->own;
    }
    slot = calloc(index->worker_count, sizeof *slot);
    if (slot == NULL) {
        return NULL;
    }
    atomic_store_explicit(&node->others, slot, memory_order_release);
    return &slot[worker];
}

void noc_node_release_slot_locked(struct noc_node *node, unsigned worker)
{
    if (atomic_load_explicit(&node->owner, memory_order_relaxed) == worker &&
        node->own.count == 0 && node->own.shared == 0) {
        slot_done(&node->own); /* after a reservation that was not used */
        node->own = (struct noc_slot){0};
        atomic_store_explicit(&node->owner, NOC_NO_WORKER, memory_order_relaxed);
    }
}

bool noc_node_is_unused_locked(const struct noc_node *node)
{
    return atomic_load_explicit(&node->workers, memory_order_relaxed) == 0 &&
           atomic_load_explicit(&node->groups, memory_order_relaxed) == NULL;
}

static struct noc_sub **slot_subs(struct noc_slot *slot)
{
    return slot->room > 0 ? slot->subs.many : &slot->subs.one;
}

int noc_slot_reserve(struct noc_slot *slot)
{
    uint32_t room = slot->room == 0 ? ROOM_MIN : slot->room * 2;
    struct noc_sub **many;

    if (slot->count == 0 || slot->count < slot->room) {
        return NOC_OK;
    }
    many = realloc(slot->room == 0 ? NULL : slot->subs.many, room * sizeof(struct noc_sub *));
    if (many == NULL) {
        return NOC_ENOMEM;
    }
    if (slot->room == 0) {
        many[0] = slot->subs.one;
    }
    slot->subs.many = many;
    slot->room = room;
    return NOC_OK;
}

void noc_slot_add(struct noc_slot *slot, struct noc_sub *sub)
{
    assert(slot->count == 0 || slot->count < slot->room);
    sub->position = slot->count;
    slot_subs(slot)[slot->count] = sub;
    slot->count++;
}

/* Back to the inline form, or to a smaller array where there is one to be had. */
static void slot_shrink(struct noc_slot *slot)
{
    struct noc_sub **many = slot->subs.many;

    if (slot->count <= 1) {
        slot->subs.one = slot->count == 1 ? many[0] : NULL;
        slot->room = 0;
        free(many);
        return;
    }
    if (slot->room <= ROOM_MIN || slot->count > slot->room / 4) {
        return;
    }
    struct noc_sub **fewer = realloc(many, slot->room / 2 * sizeof(struct noc_sub *));

    if (fewer != NULL) {
        slot->subs.many = fewer;
        slot->room /= 2;
    }
}

void noc_slot_remove(struct noc_slot *slot, const struct noc_sub *sub)
{
    struct noc_sub **subs = slot_subs(slot);
    struct noc_sub *last = subs[slot->count - 1];

    assert(subs[sub->position] == sub);
    subs[sub->position] = last;
    last->position = sub->position;
    slot->count--;
    if (slot->room > 0) {
        slot_shrink(slot);
    }
}

struct noc_slice noc_node_filter(const struct noc_node *node)
{
    return noc_slice(node->filter, node->filter_n);
}

uint64_t noc_node_workers(const struct noc_node *node)
{
    return atomic_load_explicit(&node->workers, memory_order_seq_cst);
}

uint64_t noc_node_durable_workers(const struct noc_node *node)
{
    return atomic_load_explicit(&node->durable_workers, memory_order_seq_cst);
}

unsigned noc_node_subs(
    const struct noc_node *node, unsigned worker, struct noc_sub *const **ret_subs)
{
    const struct noc_slot *slot = &node->own;

    if (atomic_load_explicit(&node->owner, memory_order_relaxed) != worker) {
        slot = atomic_load_explicit(&node->others, memory_order_acquire);
        if (slot == NULL) {
            return 0;
        }
        slot += worker;
    }
    *ret_subs = slot->room > 0 ? slot->subs.many : &slot->subs.one;
    return slot->count;
}

struct noc_group *noc_node_groups(const struct noc_node *node)
{
    return atomic_load_explicit(&node->groups, memory_order_seq_cst);
}

struct noc_group *noc_node_find_group(const struct noc_node *node, struct noc_slice group)
{
    return noc_share_find(node->ending.retire.index, node, group);
}
