/* SPDX-License-Identifier: Apache-2.0 */
#include "core/skiplist.h"

#include <assert.h>
#include <stdlib.h>

/* Two more bits that are zero for each further level. */
static uint8_t height_of(uint64_t hash)
{
    uint8_t height = 1;

    while (height < NOC_SKIP_HEIGHT_MAX && (hash & 3) == 0) {
        hash >>= 2;
        height++;
    }
    return height;
}

struct noc_retained_slot *noc_retained_slot_new(struct noc_slice topic, uint64_t hash)
{
    const uint8_t height = height_of(hash);
    struct noc_retained_slot *slot;
    size_t links_size = height * sizeof slot->next[0];

    assert(topic.n > 0 && topic.n <= UINT16_MAX);
    slot = malloc(sizeof *slot + links_size + topic.n);
    if (slot == NULL) {
        return NULL;
    }
    slot->entry.hash = hash;
    atomic_init(&slot->message, NULL);
    slot->topic_n = (uint16_t)topic.n;
    slot->height = height;
    for (unsigned level = 0; level < height; level++) {
        atomic_init(&slot->next[level], NULL);
    }
    memcpy((char *)slot + sizeof *slot + links_size, topic.at, topic.n);
    return slot;
}

void noc_skiplist_init(struct noc_skiplist *list)
{
    for (unsigned level = 0; level < NOC_SKIP_HEIGHT_MAX; level++) {
        atomic_init(&list->head[level], NULL);
    }
}

struct noc_retained_slot *noc_skiplist_seek(
    const struct noc_skiplist *list, struct noc_slice topic, bool is_behind)
{
    const _Atomic(struct noc_retained_slot *) *links = list->head;
    struct noc_retained_slot *next = NULL;
    struct noc_retained_slot *bound = NULL; /* known to be far enough */

    for (unsigned level = NOC_SKIP_HEIGHT_MAX; level-- > 0;) {
        next = atomic_load_explicit(&links[level], memory_order_acquire);
        while (next != NULL && next != bound &&
               noc_slice_compare(noc_retained_slot_topic(next), topic) < (is_behind ? 1 : 0)) {
            links = next->next;
            next = atomic_load_explicit(&links[level], memory_order_acquire);
        }
        bound = next;
    }
    return next;
}

/* For each level the link that leads to the first slot not before topic. */
static void find_links(struct noc_skiplist *list, struct noc_slice topic,
    _Atomic(struct noc_retained_slot *) **ret_links)
{
    _Atomic(struct noc_retained_slot *) *links = list->head;

    for (unsigned level = NOC_SKIP_HEIGHT_MAX; level-- > 0;) {
        struct noc_retained_slot *next = atomic_load_explicit(&links[level], memory_order_relaxed);

        while (next != NULL && noc_slice_compare(noc_retained_slot_topic(next), topic) < 0) {
            links = next->next;
            next = atomic_load_explicit(&links[level], memory_order_relaxed);
        }
        ret_links[level] = &links[level];
    }
}

void noc_skiplist_insert_locked(struct noc_skiplist *list, struct noc_retained_slot *slot)
{
    _Atomic(struct noc_retained_slot *) *links[NOC_SKIP_HEIGHT_MAX];

    find_links(list, noc_retained_slot_topic(slot), links);
    /* From below, and its own link first: whoever finds it on a level can go on from it. */
    for (unsigned level = 0; level < slot->height; level++) {
        struct noc_retained_slot *next = atomic_load_explicit(links[level], memory_order_relaxed);

        atomic_store_explicit(&slot->next[level], next, memory_order_relaxed);
        atomic_store_explicit(links[level], slot, memory_order_release);
    }
}

void noc_skiplist_remove_locked(struct noc_skiplist *list, struct noc_retained_slot *slot)
{
    _Atomic(struct noc_retained_slot *) *links[NOC_SKIP_HEIGHT_MAX];

    find_links(list, noc_retained_slot_topic(slot), links);
    for (unsigned level = slot->height; level-- > 0;) {
        assert(atomic_load_explicit(links[level], memory_order_relaxed) == slot);
        atomic_store_explicit(links[level],
            atomic_load_explicit(&slot->next[level], memory_order_relaxed), memory_order_release);
    }
}
