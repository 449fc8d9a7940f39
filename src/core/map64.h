/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CORE_MAP64_H
#define NOC_CORE_MAP64_H
/*
 * A table from non-zero 64-bit numbers to pointers: session numbers, tickets,
 * the packet ids of a session. One thread's own. Open addressing with linear
 * probing; removal moves the run behind it back, so there are no tombstones.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"

struct noc_map64_entry {
    uint64_t key; /* 0: free */
    void *value;
};

/* All zero is an empty map that holds no memory. */
struct noc_map64 {
    struct noc_map64_entry *entries;
    size_t count, mask; /* mask: slots minus one; 0 while there are none */
};

void noc_map64_done(struct noc_map64 *map);

/* The value, or NULL. */
void *noc_map64_get(const struct noc_map64 *map, uint64_t key);

/* Set, or replace. NOC_ENOMEM leaves the map as it was. value is not NULL. */
NOC_MUST_CHECK int noc_map64_set(struct noc_map64 *map, uint64_t key, void *value);

/* Take out; returns what was there, or NULL. */
void *noc_map64_take(struct noc_map64 *map, uint64_t key);

/* Walk: *at starts at 0. The next value, or NULL. The map must not change meanwhile. */
void *noc_map64_next(const struct noc_map64 *map, size_t *at);

#endif
