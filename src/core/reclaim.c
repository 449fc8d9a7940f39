/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The model. One counter, the epoch, and for each reader what it has seen of
 * it: 0 while offline, else an epoch not newer than its last quiescent state.
 * A reader keeps what it defers in two batches:
 *
 *     defer --> [gathering] --> [waiting, for epoch n] --> given back
 *                          n = ++epoch               when every reader has
 *                                                    seen 0 or >= n
 *
 * so a thing waits for at most two grace periods, and deferring is O(1), no
 * lock, no allocation, however many things are under way.
 *
 * Why it is right. Writer W unlinks X (a store), then raises the epoch to n
 * (RMW, "raise"), then finds every reader's "seen" at 0 or >= n and frees X.
 * Let R be a reader. There must be no read of X by R after the free.
 *
 * 1. W saw seen >= n. R read that number from the epoch, so from the raise or
 *    from a later one. Raises are RMWs, so all of them belong to one release
 *    sequence: R's load (acquire; when R came online, the join below, which by
 *    coherence reads nothing older) synchronises with this raise, and whatever
 *    R reads after it finds X unlinked. What R read before comes before its
 *    store to "seen" (release), which W read (acquire) before it freed.
 *
 * 2. W saw seen == 0, as stored by R's k-th going offline. What R read before
 *    comes before the free, as in 1. Has R come online meanwhile, and can it
 *    still find X? R comes online with a store to seen of something other than
 *    0, then an RMW of the epoch ("join"). Raise and join change one variable,
 *    so one of them is first.
 *      - join first: the raise (acquire) synchronises with the join (release),
 *        hence with the store to seen before it, and W, reading seen after the
 *        raise, could not have found the older 0. Contradiction.
 *      - raise first: the join (acquire) synchronises with the raise, so R's
 *        reads after the join find X unlinked.
 *    This is the store-buffering pattern that is mostly solved with two full
 *    fences. RMWs of one variable do the same, and the thread sanitizer, which
 *    knows nothing of fences, follows the argument.
 *
 * 3. What W itself holds: W is a reader like the others.
 *
 * The join costs a write to a shared cache line, once per sleep of a worker; a
 * quiescent state costs a load of it, and nothing is written if the epoch has
 * not changed.
 */
#include "core/reclaim.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

struct batch {
    struct noc_deferred *first, **end; /* in order of arrival; end: where the next goes */
};

struct reader {
    /* Written by the reader, read by all. */
    _Alignas(NOC_CACHE_LINE) atomic_uint_fast64_t seen; /* 0: offline */

    /* The reader's own thread only. */
    _Alignas(NOC_CACHE_LINE) struct batch gathering;
    struct batch waiting;
    uint64_t waiting_for; /* the epoch that ends the waiting batch's grace period */
};

struct noc_reclaim {
    _Alignas(NOC_CACHE_LINE) atomic_uint_fast64_t epoch; /* from 1 */
    _Alignas(NOC_CACHE_LINE) atomic_uint references;
    unsigned reader_count;
    struct reader readers[];
};

static void batch_init(struct batch *batch)
{
    batch->first = NULL;
    batch->end = &batch->first;
}

static bool batch_is_empty(const struct batch *batch)
{
    return batch->first == NULL;
}

/* Move all of from into batch, which is empty. */
static void batch_take(struct batch *batch, struct batch *from)
{
    batch->first = from->first;
    batch->end = from->end;
    batch_init(from);
}

/* The things may defer others meanwhile. */
static void batch_give_back(struct batch *batch, unsigned reader)
{
    struct noc_deferred *deferred = batch->first;

    batch_init(batch);
    while (deferred != NULL) {
        struct noc_deferred *next = deferred->next;

        deferred->give_back(deferred, reader);
        deferred = next;
    }
}

struct noc_reclaim *noc_reclaim_new(unsigned reader_count)
{
    struct noc_reclaim *reclaim;

    assert(reader_count >= 1 && reader_count <= 64);
    reclaim =
        aligned_alloc(NOC_CACHE_LINE, sizeof *reclaim + reader_count * sizeof reclaim->readers[0]);
    if (reclaim == NULL) {
        return NULL;
    }
    atomic_init(&reclaim->epoch, 1);
    atomic_init(&reclaim->references, 1);
    reclaim->reader_count = reader_count;
    for (unsigned r = 0; r < reader_count; r++) {
        atomic_init(&reclaim->readers[r].seen, 0);
        batch_init(&reclaim->readers[r].gathering);
        batch_init(&reclaim->readers[r].waiting);
        reclaim->readers[r].waiting_for = 0;
    }
    return reclaim;
}

struct noc_reclaim *noc_reclaim_ref(struct noc_reclaim *reclaim)
{
    atomic_fetch_add_explicit(&reclaim->references, 1, memory_order_relaxed);
    return reclaim;
}

void noc_reclaim_flush(struct noc_reclaim *reclaim)
{
    bool is_empty;

    do {
        is_empty = true;
        for (unsigned r = 0; r < reclaim->reader_count; r++) {
            struct reader *reader = &reclaim->readers[r];

            is_empty &= batch_is_empty(&reader->waiting) && batch_is_empty(&reader->gathering);
            batch_give_back(&reader->waiting, r);
            batch_give_back(&reader->gathering, r);
        }
    } while (!is_empty);
}

void noc_reclaim_unref(struct noc_reclaim *reclaim)
{
    if (reclaim != NULL &&
        atomic_fetch_sub_explicit(&reclaim->references, 1, memory_order_acq_rel) == 1) {
        free(reclaim);
    }
}

void noc_reclaim_free(struct noc_reclaim *reclaim)
{
    if (reclaim != NULL) {
        noc_reclaim_flush(reclaim);
        noc_reclaim_unref(reclaim);
    }
}

void noc_reclaim_online(struct noc_reclaim *reclaim, unsigned reader)
{
    struct reader *own = &reclaim->readers[reader];

    assert(atomic_load_explicit(&own->seen, memory_order_relaxed) == 0);
    /* An old epoch does no harm here, it only makes others wait. */
    atomic_store_explicit(&own->seen, atomic_load_explicit(&reclaim->epoch, memory_order_relaxed),
        memory_order_seq_cst);
    (void)atomic_fetch_add_explicit(&reclaim->epoch, 0, memory_order_seq_cst);
}

void noc_reclaim_offline(struct noc_reclaim *reclaim, unsigned reader)
{
    struct reader *own = &reclaim->readers[reader];

    assert(atomic_load_explicit(&own->seen, memory_order_relaxed) != 0);
    (void)atomic_exchange_explicit(&own->seen, 0, memory_order_seq_cst);
}

static bool has_everyone_seen(struct noc_reclaim *reclaim, uint64_t epoch)
{
    for (unsigned r = 0; r < reclaim->reader_count; r++) {
        uint64_t seen = atomic_load_explicit(&reclaim->readers[r].seen, memory_order_acquire);

        if (seen != 0 && seen < epoch) {
            return false;
        }
    }
    return true;
}

static void show_quiescent(struct noc_reclaim *reclaim, struct reader *reader)
{
    uint64_t epoch = atomic_load_explicit(&reclaim->epoch, memory_order_acquire);
    uint64_t seen = atomic_load_explicit(&reader->seen, memory_order_relaxed);

    if (seen != 0 && seen != epoch) {
        atomic_store_explicit(&reader->seen, epoch, memory_order_release);
    }
}

void noc_reclaim_quiescent(struct noc_reclaim *reclaim, unsigned reader)
{
    struct reader *own = &reclaim->readers[reader];

    show_quiescent(reclaim, own);
    if (!batch_is_empty(&own->waiting) && has_everyone_seen(reclaim, own->waiting_for)) {
        batch_give_back(&own->waiting, reader);
    }
    if (batch_is_empty(&own->waiting) && !batch_is_empty(&own->gathering)) {
        batch_take(&own->waiting, &own->gathering);
        own->waiting_for = atomic_fetch_add_explicit(&reclaim->epoch, 1, memory_order_seq_cst) + 1;
        show_quiescent(reclaim, own);
        if (has_everyone_seen(reclaim, own->waiting_for)) {
            batch_give_back(&own->waiting, reader); /* all others are asleep, or there are none */
        }
    }
}

void noc_reclaim_defer(struct noc_reclaim *reclaim, unsigned reader, struct noc_deferred *deferred)
{
    struct batch *gathering = &reclaim->readers[reader].gathering;

    deferred->next = NULL;
    *gathering->end = deferred;
    gathering->end = &deferred->next;
}

bool noc_reclaim_has_deferred(const struct noc_reclaim *reclaim, unsigned reader)
{
    const struct reader *own = &reclaim->readers[reader];

    return !batch_is_empty(&own->waiting) || !batch_is_empty(&own->gathering);
}
