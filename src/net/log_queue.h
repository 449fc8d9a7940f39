/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_NET_LOG_QUEUE_H
#define NOC_NET_LOG_QUEUE_H
/*
 * The log's queue: many producers, one consumer, bounded, without locks.
 *
 * A ring of bytes in granules of 64. A producer reserves a run of granules
 * with one compare-and-swap, copies its record in (around the end if need be),
 * and publishes it by writing its size beside the run's first granule:
 *
 *     sizes   [ 93 |  0 | 40 |  0 |  0 | ... ]    0: nothing published here (yet)
 *     bytes   [ record.. | rec | reserved .. ]
 *               ^ released        ^ reserved
 *
 * The consumer takes records in order of reservation; one that is reserved but not yet
 * published holds those behind it up until it is. Producers never wait: a full queue
 * refuses.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"

struct noc_log_queue {
    /* Constant after noc_log_queue_init(). */
    uint64_t granules; /* a power of two */
    uint8_t *bytes;
    atomic_uint *sizes;

    /* Any thread. Both count granules since the start. */
    _Alignas(NOC_CACHE_LINE) atomic_uint_fast64_t reserved;
    _Alignas(NOC_CACHE_LINE) atomic_uint_fast64_t released;
};

/* Room for about that many bytes (at least 4 KiB). Returns 0 or NOC_ENOMEM. */
NOC_MUST_CHECK int noc_log_queue_init(struct noc_log_queue *queue, size_t bytes);
void noc_log_queue_done(struct noc_log_queue *queue);

/*
 * Put one record in, made of a head and a body. False: no room. An eighth of the ring is for
 * urgent records alone, so that a flood of others does not push them out. Any thread, never waits.
 */
NOC_MUST_CHECK bool noc_log_queue_put_mt(struct noc_log_queue *queue, bool is_urgent,
    const void *head, size_t head_n, const void *body, size_t body_n);

/* Copy the oldest record out. Returns its bytes, 0 if there is none. Consumer only. */
size_t noc_log_queue_take(struct noc_log_queue *queue, void *record, size_t size);

/* Is there nothing to take? Consumer only. */
bool noc_log_queue_is_empty(struct noc_log_queue *queue);

#endif
