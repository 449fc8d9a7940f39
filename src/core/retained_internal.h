/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CORE_RETAINED_INTERNAL_H
#define NOC_CORE_RETAINED_INTERNAL_H
/*
 * What retained.c (the slots) and retained_walk.c (the cursor) share.
 *
 * A set publishes its change and then raises the version (seq_cst); a look-up
 * or a walk loads the version first (seq_cst). That orders them against the
 * topic index, where a subscription is entered before the replay starts: see
 * "Memory order" in index_internal.h.
 */

#include "base/lock.h"
#include "core/retained.h"
#include "core/skiplist.h"
#include "core/table.h"

struct noc_retained {
    /* Constant after noc_retained_new(). */
    uint64_t seed;
    struct noc_reclaim *reclaim;

    /* Changed under the lock, read by all. */
    struct noc_table table;   /* noc_retained_slot, by topic */
    struct noc_skiplist list; /* the same, by order of topic */
    atomic_uint_fast64_t version;
    atomic_uint_fast64_t messages, bytes;

    _Alignas(NOC_CACHE_LINE) struct noc_lock lock;
};

/* To be called before a reader looks at anything. */
static inline void noc_retained_begin_reading(const struct noc_retained *retained)
{
    (void)atomic_load_explicit(&retained->version, memory_order_seq_cst);
}

/* The slot's message with a reference added. */
static inline struct noc_message *noc_retained_slot_message(const struct noc_retained_slot *slot)
{
    return noc_message_ref(atomic_load_explicit(&slot->message, memory_order_acquire));
}

#endif
