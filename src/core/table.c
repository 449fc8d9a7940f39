/* SPDX-License-Identifier: Apache-2.0 */
#include "core/table.h"

#include <assert.h>
#include <stdlib.h>

#include <noctule/error.h>

enum { SLOTS_MIN = 16, SLOTS_MAX = 1 << 27, SHRINK_FROM = 1024 };

static struct noc_table_array *array_new(uint32_t slot_count)
{
    struct noc_table_array *array;

    array = malloc(sizeof *array + slot_count * (sizeof array->slots[0] + sizeof array->tags[0]));
    if (array == NULL) {
        return NULL;
    }
    array->mask = slot_count - 1;
    array->tags = (atomic_uint *)(void *)((char *)array + sizeof *array +
                                          slot_count * sizeof array->slots[0]);
    for (uint32_t i = 0; i < slot_count; i++) {
        atomic_init(&array->slots[i], NULL);
        atomic_init(&array->tags[i], NOC_TAG_EMPTY);
    }
    return array;
}

static void array_give_back(struct noc_deferred *deferred, unsigned reader)
{
    (void)reader;
    free(NOC_CONTAINER(deferred, struct noc_table_array, deferred));
}

static struct noc_table_array *array_of(const struct noc_table *table)
{
    return atomic_load_explicit(&table->array, memory_order_relaxed);
}

static unsigned tag_at(const struct noc_table_array *array, uint32_t at)
{
    return atomic_load_explicit(&array->tags[at & array->mask], memory_order_relaxed);
}

static void array_put(
    struct noc_table_array *array, uint32_t at, struct noc_table_entry *entry, unsigned tag)
{
    atomic_store_explicit(&array->slots[at], entry, memory_order_release);
    atomic_store_explicit(&array->tags[at], tag, memory_order_release);
}

int noc_table_init(struct noc_table *table)
{
    struct noc_table_array *array = array_new(SLOTS_MIN);

    if (array == NULL) {
        return NOC_ENOMEM;
    }
    atomic_init(&table->array, array);
    table->live = 0;
    table->used = 0;
    return NOC_OK;
}

void noc_table_done(struct noc_table *table)
{
    free(array_of(table));
    atomic_store_explicit(&table->array, NULL, memory_order_relaxed);
}

/* Room for live entries and one more, at most half full. 0: too many. */
static uint32_t slots_for(uint32_t live)
{
    uint32_t slot_count = SLOTS_MIN;

    while (slot_count / 2 < live + 1) {
        if (slot_count == SLOTS_MAX) {
            return 0;
        }
        slot_count *= 2;
    }
    return slot_count;
}

static int rebuild(struct noc_table *table, struct noc_reclaim *reclaim, unsigned reader)
{
    struct noc_table_array *old = array_of(table);
    uint32_t slot_count = slots_for(table->live);
    struct noc_table_array *fresh = slot_count == 0 ? NULL : array_new(slot_count);

    if (fresh == NULL) {
        return NOC_ENOMEM;
    }
    for (uint32_t i = 0; i <= old->mask; i++) {
        unsigned tag = tag_at(old, i);
        uint32_t at = tag & fresh->mask;

        if (tag < NOC_TAG_FIRST) {
            continue;
        }
        while (tag_at(fresh, at) != NOC_TAG_EMPTY) {
            at = (at + 1) & fresh->mask;
        }
        array_put(fresh, at, atomic_load_explicit(&old->slots[i], memory_order_relaxed), tag);
    }
    table->used = table->live;
    atomic_store_explicit(&table->array, fresh, memory_order_release);
    old->deferred.give_back = array_give_back;
    noc_reclaim_defer(reclaim, reader, &old->deferred);
    return NOC_OK;
}

int noc_table_reserve_locked(struct noc_table *table, struct noc_reclaim *reclaim, unsigned reader)
{
    uint32_t slot_count = array_of(table)->mask + 1;

    if (table->used < slot_count / 4 * 3) {
        return NOC_OK;
    }
    return rebuild(table, reclaim, reader);
}

void noc_table_insert_locked(struct noc_table *table, struct noc_table_entry *entry)
{
    struct noc_table_array *array = array_of(table);
    unsigned tag = noc_table_tag(entry->hash);
    uint32_t at = tag & array->mask;

    while (tag_at(array, at) >= NOC_TAG_FIRST) {
        at = (at + 1) & array->mask;
    }
    if (tag_at(array, at) == NOC_TAG_EMPTY) {
        assert(table->used < array->mask);
        table->used++;
    }
    table->live++;
    array_put(array, at, entry, tag);
}

/* Removed slots before an empty one are of no use to any probe: they become empty too. */
static void clear_removed(struct noc_table *table, struct noc_table_array *array, uint32_t at)
{
    if (tag_at(array, at + 1) != NOC_TAG_EMPTY) {
        return;
    }
    for (; tag_at(array, at) == NOC_TAG_REMOVED; at--) {
        atomic_store_explicit(&array->tags[at & array->mask], NOC_TAG_EMPTY, memory_order_release);
        table->used--;
    }
}

void noc_table_remove_locked(struct noc_table *table, struct noc_reclaim *reclaim, unsigned reader,
    const struct noc_table_entry *entry)
{
    struct noc_table_array *array = array_of(table);
    uint32_t at = noc_table_tag(entry->hash) & array->mask;

    /* Slots keep their pointer when their tag goes, so the tag has to be looked at as well. */
    while (atomic_load_explicit(&array->slots[at], memory_order_relaxed) != entry ||
           tag_at(array, at) < NOC_TAG_FIRST) {
        assert(tag_at(array, at) != NOC_TAG_EMPTY);
        at = (at + 1) & array->mask;
    }
    atomic_store_explicit(&array->tags[at], NOC_TAG_REMOVED, memory_order_release);
    table->live--;
    clear_removed(table, array, at);
    if (array->mask >= SHRINK_FROM && table->live < array->mask / 16) {
        (void)rebuild(table, reclaim, reader); /* without memory it stays as large as it is */
    }
}

struct noc_table_entry *noc_table_iterate(const struct noc_table *table, uint32_t *position)
{
    const struct noc_table_array *array = array_of(table);

    while (*position <= array->mask) {
        uint32_t at = (*position)++;

        if (tag_at(array, at) >= NOC_TAG_FIRST) {
            return atomic_load_explicit(&array->slots[at], memory_order_relaxed);
        }
    }
    return NULL;
}
