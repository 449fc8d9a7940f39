/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CORE_OUTQ_H
#define NOC_CORE_OUTQ_H
/*
 * What waits to be sent on one connection: a chain of segments.
 *
 *   outq -> block [....bytes....] -> reference (into a message) -> block [..  ]
 *           ^ consumed from here                                         ^ appended here
 *
 * Small things are copied into blocks; a large payload is referred to, so that
 * a message for a thousand subscribers is in memory once. An empty queue holds
 * no block. Blocks come from a pool that belongs to the worker; a queue that
 * moves to another worker takes its blocks along.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"
#include "core/message.h"
#include <noctule/slice.h>

/* Bytes in an ordinary block. */
#define NOC_BLOCK_BYTES 8000u

/* A payload longer than this is referred to rather than copied. */
#define NOC_COPY_MAX 4096u

struct noc_segment {
    struct noc_segment *next;
    const uint8_t *at;           /* bytes not yet consumed */
    size_t n;                    /* how many */
    struct noc_message *message; /* of a reference; NULL: this is a block */
    size_t room;                 /* of a block: bytes that data holds */
    uint8_t data[];
};

/* Free blocks of one worker. */
struct noc_block_pool {
    struct noc_segment *free;
    unsigned count, most; /* free ones, and how many of them are kept */
};

void noc_block_pool_init(struct noc_block_pool *pool, unsigned most);
void noc_block_pool_done(struct noc_block_pool *pool);

struct noc_outq {
    struct noc_segment *first, *last;
    size_t bytes; /* all that waits */
};

/* Drop all that waits. */
void noc_outq_reset(struct noc_outq *queue, struct noc_block_pool *pool);

/*
 * Room for n contiguous bytes at the end, or NULL when memory is out. Write
 * there, then commit what was written; nothing else may happen in between.
 */
uint8_t *noc_outq_reserve(struct noc_outq *queue, struct noc_block_pool *pool, size_t n);

static inline void noc_outq_commit(struct noc_outq *queue, size_t n)
{
    queue->last->n += n;
    queue->bytes += n;
}

/* Take back the last n committed bytes, nothing having been appended since. */
static inline void noc_outq_uncommit(struct noc_outq *queue, size_t n)
{
    queue->last->n -= n;
    queue->bytes -= n;
}

/* Append a copy. NOC_ENOMEM: nothing was appended. */
NOC_MUST_CHECK int noc_outq_write(
    struct noc_outq *queue, struct noc_block_pool *pool, const void *bytes, size_t n);

/* Append a part of a message by reference; takes a reference of its own. */
NOC_MUST_CHECK int noc_outq_refer(
    struct noc_outq *queue, struct noc_message *message, const void *bytes, size_t n);

/* The first n bytes have been sent: drop them. */
void noc_outq_consume(struct noc_outq *queue, struct noc_block_pool *pool, size_t n);

#endif
