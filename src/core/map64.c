/* SPDX-License-Identifier: Apache-2.0 */
#include "core/map64.h"

#include <stdlib.h>

#include <noctule/error.h>

static size_t slot_of(const struct noc_map64 *map, uint64_t key)
{
    return (size_t)((key * UINT64_C(0x9e3779b97f4a7c15)) >> 20) & map->mask;
}

void noc_map64_done(struct noc_map64 *map)
{
    free(map->entries);
    *map = (struct noc_map64){0};
}

/* The slot that holds key, or the free one where it would go. The map has slots. */
static size_t find(const struct noc_map64 *map, uint64_t key)
{
    size_t at = slot_of(map, key);

    while (map->entries[at].key != 0 && map->entries[at].key != key) {
        at = (at + 1) & map->mask;
    }
    return at;
}

void *noc_map64_get(const struct noc_map64 *map, uint64_t key)
{
    return map->entries == NULL ? NULL : map->entries[find(map, key)].value;
}

static int grow(struct noc_map64 *map)
{
    size_t slots = map->entries == NULL ? 8 : (map->mask + 1) * 2;
    struct noc_map64 bigger = {
        .entries = calloc(slots, sizeof *bigger.entries), .count = map->count, .mask = slots - 1};

    if (bigger.entries == NULL) {
        return NOC_ENOMEM;
    }
    for (size_t at = 0; map->entries != NULL && at <= map->mask; at++) {
        if (map->entries[at].key != 0) {
            bigger.entries[find(&bigger, map->entries[at].key)] = map->entries[at];
        }
    }
    free(map->entries);
    *map = bigger;
    return NOC_OK;
}

int noc_map64_set(struct noc_map64 *map, uint64_t key, void *value)
{
    size_t at;

    if ((map->entries == NULL || (map->count + 1) * 4 > (map->mask + 1) * 3) &&
        grow(map) != NOC_OK && (map->entries == NULL || map->count >= map->mask)) {
        return NOC_ENOMEM;
    }
    at = find(map, key);
    if (map->entries[at].key == 0) {
        map->count++;
    }
    map->entries[at] = (struct noc_map64_entry){key, value};
    return NOC_OK;
}

void *noc_map64_take(struct noc_map64 *map, uint64_t key)
{
    size_t hole, at;
    void *value;

    if (map->entries == NULL) {
        return NULL;
    }
    hole = find(map, key);
    if (map->entries[hole].key == 0) {
        return NULL;
    }
    value = map->entries[hole].value;
    for (at = (hole + 1) & map->mask; map->entries[at].key != 0; at = (at + 1) & map->mask) {
        size_t home = slot_of(map, map->entries[at].key);

        /* May move back to the hole unless its home lies cyclically between hole and at. */
        if (((at - home) & map->mask) >= ((at - hole) & map->mask)) {
            map->entries[hole] = map->entries[at];
            hole = at;
        }
    }
    map->entries[hole] = (struct noc_map64_entry){0, NULL};
    map->count--;
    if (map->count == 0) {
        noc_map64_done(map);
    }
    return value;
}

void *noc_map64_next(const struct noc_map64 *map, size_t *at)
{
    while (map->entries != NULL && *at <= map->mask) {
        const struct noc_map64_entry *entry = &map->entries[(*at)++];

        if (entry->key != 0) {
            return entry->value;
        }
    }
    return NULL;
}
