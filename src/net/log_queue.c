/* SPDX-License-Identifier: Apache-2.0 */
#include "net/log_queue.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <noctule/error.h>

enum { GRANULE = 64, GRANULES_MIN = 64 };

int noc_log_queue_init(struct noc_log_queue *queue, size_t bytes)
{
    uint64_t granules = GRANULES_MIN;

    while (granules * GRANULE < bytes && granules < UINT64_C(1) << 24) {
        granules *= 2;
    }
    queue->granules = granules;
    queue->bytes = malloc((size_t)granules * GRANULE);
    queue->sizes = calloc((size_t)granules, sizeof(*queue->sizes));
    if (queue->bytes == NULL || queue->sizes == NULL) {
        noc_log_queue_done(queue);
        return NOC_ENOMEM;
    }
    for (uint64_t i = 0; i < granules; i++) {
        atomic_init(&queue->sizes[i], 0);
    }
    atomic_init(&queue->reserved, 0);
    atomic_init(&queue->released, 0);
    return NOC_OK;
}

void noc_log_queue_done(struct noc_log_queue *queue)
{
    free(queue->bytes);
    free(queue->sizes);
    queue->bytes = NULL;
    queue->sizes = NULL;
}

static uint64_t granules_of(size_t n)
{
    return (n + GRANULE - 1) / GRANULE;
}

/* Copy into the ring from byte position at on, around its end if need be. */
static void copy_in(struct noc_log_queue *queue, uint64_t at, const void *from, size_t n)
{
    uint64_t size = queue->granules * GRANULE;
    size_t offset = (size_t)(at & (size - 1));
    size_t first = size - offset < n ? (size_t)(size - offset) : n;

    if (n > 0) {
        memcpy(queue->bytes + offset, from, first);
        memcpy(queue->bytes, (const uint8_t *)from + first, n - first);
    }
}

bool noc_log_queue_put_mt(struct noc_log_queue *queue, bool is_urgent, const void *head,
    size_t head_n, const void *body, size_t body_n)
{
    size_t n = head_n + body_n;
    uint64_t need = granules_of(n);
    uint64_t usable = is_urgent ? queue->granules : queue->granules - queue->granules / 8;
    uint64_t at = atomic_load_explicit(&queue->reserved, memory_order_relaxed);

    assert(n > 0 && need <= queue->granules);
    do {
        /* Acquire: the consumer is done with the granules that it released. */
        uint64_t released = atomic_load_explicit(&queue->released, memory_order_acquire);

        /* at may be older than released; then the swap below fails anyway. */
        if (at >= released && at + need - released > usable) {
            return false;
        }
    } while (!atomic_compare_exchange_weak_explicit(
        &queue->reserved, &at, at + need, memory_order_relaxed, memory_order_relaxed));
    copy_in(queue, at * GRANULE, head, head_n);
    copy_in(queue, at * GRANULE + head_n, body, body_n);
    /* Sequentially consistent, for the caller's "is the consumer asleep" that follows. */
    atomic_store(&queue->sizes[at & (queue->granules - 1)], (unsigned)n);
    return true;
}

size_t noc_log_queue_take(struct noc_log_queue *queue, void *record, size_t size)
{
    uint64_t at = atomic_load_explicit(&queue->released, memory_order_relaxed);
    atomic_uint *published = &queue->sizes[at & (queue->granules - 1)];
    uint64_t ring = queue->granules * GRANULE;
    size_t offset = (size_t)(at * GRANULE & (ring - 1));
    size_t n = atomic_load_explicit(published, memory_order_acquire);
    size_t first;

    if (n == 0) {
        return 0;
    }
    assert(n <= size);
    first = ring - offset < n ? (size_t)(ring - offset) : n;
    memcpy(record, queue->bytes + offset, first);
    memcpy((uint8_t *)record + first, queue->bytes, n - first);
    atomic_store_explicit(published, 0, memory_order_relaxed);
    atomic_store_explicit(&queue->released, at + granules_of(n), memory_order_release);
    return n;
}

bool noc_log_queue_is_empty(struct noc_log_queue *queue)
{
    uint64_t at = atomic_load_explicit(&queue->released, memory_order_relaxed);

    return atomic_load(&queue->sizes[at & (queue->granules - 1)]) == 0;
}
