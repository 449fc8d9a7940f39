/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CORE_TABLE_H
#define NOC_CORE_TABLE_H
/*
 * A hash table of pointers that is read without a lock (RCU, see reclaim.h) and
 * changed under a lock of its owner's. Open addressing, linear probing, at most
 * three quarters full:
 *
 *     tags    [ 0 ][tag][ 1 ][tag][ 0 ] ...     32 bits of the hash; 0 empty, 1 removed
 *     slots   [   ][ * ][ ? ][ * ][   ] ...     the entry, when there is a tag
 *
 * A probe runs over the tags, sixteen to a cache line, and touches an entry
 * only where 32 bits agree. An entry never moves within an array, so a reader
 * cannot miss one that was there all the time. To grow, or to be rid of removed
 * ones, a new array is built and published; the old one is deferred.
 *
 * A slot is written before its tag (release) and read after it (acquire). A tag
 * may be of an older entry than the slot that is read with it: the entry's own
 * hash is compared too, and the older entry is one that has been removed.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/macros.h"
#include "core/reclaim.h"

/* Embedded in what the table holds; set before it is inserted, constant then. */
struct noc_table_entry {
    uint64_t hash;
};

struct noc_table_array {
    struct noc_deferred deferred;
    uint32_t mask;     /* slots - 1, a power of two less one */
    atomic_uint *tags; /* behind the slots, in the same block */
    _Atomic(struct noc_table_entry *) slots[];
};

struct noc_table {
    _Atomic(struct noc_table_array *) array;

    /* Under the owner's lock. */
    uint32_t live; /* entries */
    uint32_t used; /* entries and removed ones */
};

enum { NOC_TAG_EMPTY = 0, NOC_TAG_REMOVED = 1, NOC_TAG_FIRST = 2 };

static inline unsigned noc_table_tag(uint64_t hash)
{
    unsigned tag = (unsigned)(hash >> 32);

    return tag < NOC_TAG_FIRST ? tag + NOC_TAG_FIRST : tag;
}

/* Where a look-up is. */
struct noc_table_probe {
    const struct noc_table_array *array;
    uint64_t hash;
    unsigned tag;
    uint32_t at;
};

/* The next entry of that hash, or NULL. The caller compares the key. */
static inline struct noc_table_entry *noc_table_next(struct noc_table_probe *probe)
{
    for (;;) {
        uint32_t at = probe->at & probe->array->mask;
        unsigned tag = atomic_load_explicit(&probe->array->tags[at], memory_order_acquire);

        if (tag == NOC_TAG_EMPTY) {
            return NULL;
        }
        probe->at++;
        if (tag == probe->tag) {
            struct noc_table_entry *entry =
                atomic_load_explicit(&probe->array->slots[at], memory_order_acquire);

            if (entry->hash == probe->hash) {
                return entry;
            }
        }
    }
}

/* The first entry of that hash, or NULL. By a reader that is online, or under the lock. */
static inline struct noc_table_entry *noc_table_first(
    const struct noc_table *table, uint64_t hash, struct noc_table_probe *probe)
{
    probe->array = atomic_load_explicit(&table->array, memory_order_acquire);
    probe->hash = hash;
    probe->tag = noc_table_tag(hash);
    probe->at = probe->tag;
    return noc_table_next(probe);
}

/* An empty table; done frees its memory at once, not the entries. */
NOC_MUST_CHECK int noc_table_init(struct noc_table *table);
void noc_table_done(struct noc_table *table);

/*
 * Make sure that the next insertion finds room. NOC_ENOMEM: nothing changed.
 * reader is the caller's number in the reclaim.
 */
NOC_MUST_CHECK int noc_table_reserve_locked(
    struct noc_table *table, struct noc_reclaim *reclaim, unsigned reader);

/* Insert, after a reservation. It does not look whether there is one like it. */
void noc_table_insert_locked(struct noc_table *table, struct noc_table_entry *entry);

/* Take out what is in the table. The entry itself must then wait for a grace period. */
void noc_table_remove_locked(struct noc_table *table, struct noc_reclaim *reclaim, unsigned reader,
    const struct noc_table_entry *entry);

/*
 * All entries, in no order: *position starts at 0. NULL at the end. Nothing may
 * change meanwhile, but an entry that was handed out may be freed.
 */
struct noc_table_entry *noc_table_iterate(const struct noc_table *table, uint32_t *position);

#endif
