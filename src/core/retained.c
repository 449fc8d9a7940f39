/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdlib.h>

#include "base/hash.h"
#include "core/retained_internal.h"
#include <noctule/error.h>

/* A message that was exchanged, on its way to lose the index's reference. */
struct replaced {
    struct noc_deferred deferred;
    struct noc_message *message;
};

static void replaced_give_back(struct noc_deferred *deferred, unsigned reader)
{
    struct replaced *replaced = NOC_CONTAINER(deferred, struct replaced, deferred);

    (void)reader;
    noc_message_unref(replaced->message);
    free(replaced);
}

static struct noc_message *message_of(const struct noc_retained_slot *slot)
{
    return atomic_load_explicit(&slot->message, memory_order_relaxed);
}

static void slot_free(struct noc_retained_slot *slot)
{
    noc_message_unref(message_of(slot));
    free(slot);
}

static void slot_give_back(struct noc_deferred *deferred, unsigned reader)
{
    (void)reader;
    slot_free(NOC_CONTAINER(deferred, struct noc_retained_slot, deferred));
}

struct noc_retained *noc_retained_new(uint64_t seed, struct noc_reclaim *reclaim)
{
    struct noc_retained *retained = aligned_alloc(NOC_CACHE_LINE, sizeof *retained);

    if (retained == NULL) {
        return NULL;
    }
    if (noc_table_init(&retained->table) < 0) {
        free(retained);
        return NULL;
    }
    retained->seed = seed;
    retained->reclaim = reclaim;
    noc_skiplist_init(&retained->list);
    atomic_init(&retained->version, 0);
    atomic_init(&retained->messages, 0);
    atomic_init(&retained->bytes, 0);
    noc_lock_init(&retained->lock);
    return retained;
}

void noc_retained_free(struct noc_retained *retained)
{
    struct noc_table_entry *entry;
    uint32_t position = 0;

    if (retained == NULL) {
        return;
    }
    while ((entry = noc_table_iterate(&retained->table, &position)) != NULL) {
        slot_free(NOC_CONTAINER(entry, struct noc_retained_slot, entry));
    }
    noc_table_done(&retained->table);
    free(retained);
}

static uint64_t topic_hash(const struct noc_retained *retained, struct noc_slice topic)
{
    return noc_hash(retained->seed, topic.at, topic.n);
}

static struct noc_retained_slot *find(
    const struct noc_retained *retained, struct noc_slice topic, uint64_t hash)
{
    struct noc_table_probe probe;
    struct noc_table_entry *entry = noc_table_first(&retained->table, hash, &probe);

    for (; entry != NULL; entry = noc_table_next(&probe)) {
        struct noc_retained_slot *slot = NOC_CONTAINER(entry, struct noc_retained_slot, entry);

        if (noc_slice_equal(noc_retained_slot_topic(slot), topic)) {
            return slot;
        }
    }
    return NULL;
}

struct noc_message *noc_retained_get(struct noc_retained *retained, struct noc_slice topic)
{
    const struct noc_retained_slot *slot;

    noc_retained_begin_reading(retained);
    slot = find(retained, topic, topic_hash(retained, topic));
    return slot == NULL ? NULL : noc_retained_slot_message(slot);
}

/* ---- changes ---- */

static void add(atomic_uint_fast64_t *counter, uint64_t more)
{
    atomic_store_explicit(
        counter, atomic_load_explicit(counter, memory_order_relaxed) + more, memory_order_relaxed);
}

static uint64_t raise_version_locked(struct noc_retained *retained)
{
    return atomic_fetch_add_explicit(&retained->version, 1, memory_order_seq_cst) + 1;
}

static int exchange_locked(struct noc_retained *retained, unsigned worker,
    struct noc_retained_slot *slot, struct noc_message *message)
{
    struct replaced *replaced = malloc(sizeof *replaced);

    if (replaced == NULL) {
        return NOC_ENOMEM;
    }
    replaced->deferred.give_back = replaced_give_back;
    replaced->message = message_of(slot);
    add(&retained->bytes, (uint64_t)message->payload_n - (uint64_t)replaced->message->payload_n);
    atomic_store_explicit(&slot->message, noc_message_ref(message), memory_order_release);
    noc_reclaim_defer(retained->reclaim, worker, &replaced->deferred);
    return NOC_OK;
}

static int insert_locked(
    struct noc_retained *retained, unsigned worker, struct noc_message *message, uint64_t hash)
{
    struct noc_retained_slot *slot;

    if (noc_table_reserve_locked(&retained->table, retained->reclaim, worker) < 0) {
        return NOC_ENOMEM;
    }
    slot = noc_retained_slot_new(noc_message_topic(message), hash);
    if (slot == NULL) {
        return NOC_ENOMEM;
    }
    atomic_store_explicit(&slot->message, noc_message_ref(message), memory_order_relaxed);
    noc_table_insert_locked(&retained->table, &slot->entry);
    noc_skiplist_insert_locked(&retained->list, slot);
    add(&retained->messages, 1);
    add(&retained->bytes, message->payload_n);
    return NOC_OK;
}

/* The slot takes its message along: readers that hold the slot still get it. */
static void remove_locked(
    struct noc_retained *retained, unsigned worker, struct noc_retained_slot *slot)
{
    noc_table_remove_locked(&retained->table, retained->reclaim, worker, &slot->entry);
    noc_skiplist_remove_locked(&retained->list, slot);
    add(&retained->messages, (uint64_t)-1);
    add(&retained->bytes, 0 - (uint64_t)message_of(slot)->payload_n);
    slot->deferred.give_back = slot_give_back;
    noc_reclaim_defer(retained->reclaim, worker, &slot->deferred);
}

static int set_locked(struct noc_retained *retained, unsigned worker, struct noc_message *message,
    uint64_t hash, uint64_t *ret_version)
{
    struct noc_retained_slot *slot = find(retained, noc_message_topic(message), hash);
    int err = NOC_OK;

    if (message->payload_n > 0) {
        message->retained_version =
            atomic_load_explicit(&retained->version, memory_order_relaxed) + 1;
        err = slot != NULL ? exchange_locked(retained, worker, slot, message)
                           : insert_locked(retained, worker, message, hash);
    } else if (slot != NULL) {
        remove_locked(retained, worker, slot);
    }
    if (err == NOC_OK) {
        *ret_version = raise_version_locked(retained);
    } else {
        message->retained_version = 0; /* no replay will have it */
    }
    return err;
}

int noc_retained_set(struct noc_retained *retained, unsigned worker, struct noc_message *message,
    uint64_t *ret_version)
{
    uint64_t hash = topic_hash(retained, noc_message_topic(message));
    uint64_t version = 0;
    int err;

    noc_lock_take(&retained->lock);
    err = set_locked(retained, worker, message, hash, &version);
    noc_lock_release(&retained->lock);
    if (err == NOC_OK && ret_version != NULL) {
        *ret_version = version;
    }
    return err;
}

uint64_t noc_retained_version(const struct noc_retained *retained)
{
    return atomic_load_explicit(&retained->version, memory_order_seq_cst);
}

void noc_retained_raise_version(struct noc_retained *retained, uint64_t version)
{
    if (noc_retained_version(retained) < version) {
        atomic_store(&retained->version, version);
    }
}

uint64_t noc_retained_remove_if(
    struct noc_retained *retained, unsigned worker, const struct noc_message *message)
{
    struct noc_slice topic = noc_message_topic(message);
    uint64_t hash = topic_hash(retained, topic);
    struct noc_retained_slot *slot;
    uint64_t version = 0;

    noc_lock_take(&retained->lock);
    slot = find(retained, topic, hash);
    if (slot != NULL && message_of(slot) == message) {
        remove_locked(retained, worker, slot);
        version = raise_version_locked(retained);
    }
    noc_lock_release(&retained->lock);
    return version;
}

void noc_retained_counts_mt(
    const struct noc_retained *retained, struct noc_retained_counts *ret_counts)
{
    ret_counts->messages = atomic_load_explicit(&retained->messages, memory_order_relaxed);
    ret_counts->bytes = atomic_load_explicit(&retained->bytes, memory_order_relaxed);
}
