/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CORE_SKIPLIST_H
#define NOC_CORE_SKIPLIST_H
/*
 * The slots of the retained messages in byte order of their topics: a skip list
 * that is read without a lock (RCU, see reclaim.h) and changed under a lock of
 * its owner's.
 *
 *     head  3 ------------------> [c] ---------------------------> NULL
 *           2 --------> [b] ----> [c] ----------> [e] -----------> NULL
 *           1 -> [a] -> [b] ----> [c] -> [d] ---> [e] -> [f] ----> NULL
 *
 * A slot that is taken out keeps its own links, so a reader that stands on it
 * goes on. What is in the list during the whole of a reader's walk is never
 * missed: the links a slot had when it went lead to everything behind it, over
 * slots that went later, none of which is freed while that reader is at it.
 *
 * A slot's height comes from the hash of its topic (which is keyed), a quarter
 * of each level reaching the next: 1.33 links on average.
 */

#include <stdatomic.h>
#include <stdbool.h>

#include "core/message.h"
#include "core/reclaim.h"
#include "core/table.h"
#include <noctule/slice.h>

enum { NOC_SKIP_HEIGHT_MAX = 14 };

struct noc_retained_slot {
    struct noc_table_entry entry; /* hash of the topic */
    struct noc_deferred deferred;
    _Atomic(struct noc_message *) message; /* holds a reference */
    uint16_t topic_n;
    uint8_t height;
    _Atomic(struct noc_retained_slot *) next[]; /* height links, then the topic's text */
};

struct noc_skiplist {
    _Atomic(struct noc_retained_slot *) head[NOC_SKIP_HEIGHT_MAX];
};

/* A slot in no list, without a message. NULL: out of memory. Freed by free(). */
struct noc_retained_slot *noc_retained_slot_new(struct noc_slice topic, uint64_t hash);

static inline struct noc_slice noc_retained_slot_topic(const struct noc_retained_slot *slot)
{
    return noc_slice(
        (const char *)slot + sizeof *slot + slot->height * sizeof slot->next[0], slot->topic_n);
}

void noc_skiplist_init(struct noc_skiplist *list);

/* The first slot not before topic, or behind it; NULL at the end. O(log n). */
struct noc_retained_slot *noc_skiplist_seek(
    const struct noc_skiplist *list, struct noc_slice topic, bool is_behind);

/* The slot behind this one, or NULL. */
static inline struct noc_retained_slot *noc_skiplist_next(const struct noc_retained_slot *slot)
{
    return atomic_load_explicit(&slot->next[0], memory_order_acquire);
}

/* There is no slot of that topic in the list. */
void noc_skiplist_insert_locked(struct noc_skiplist *list, struct noc_retained_slot *slot);

/* The slot is in the list. It must wait for a grace period then. */
void noc_skiplist_remove_locked(struct noc_skiplist *list, struct noc_retained_slot *slot);

#endif
