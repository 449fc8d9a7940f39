/* SPDX-License-Identifier: Apache-2.0 */
#include "core/outq.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <noctule/error.h>

void noc_block_pool_init(struct noc_block_pool *pool, unsigned most)
{
    *pool = (struct noc_block_pool){.most = most};
}

void noc_block_pool_done(struct noc_block_pool *pool)
{
    while (pool->free != NULL) {
        struct noc_segment *block = pool->free;

        pool->free = block->next;
        free(block);
    }
    pool->count = 0;
}

static struct noc_segment *block_new(struct noc_block_pool *pool, size_t n)
{
    struct noc_segment *block = pool->free;
    size_t room = n > NOC_BLOCK_BYTES ? n : NOC_BLOCK_BYTES;

    if (block != NULL && room == NOC_BLOCK_BYTES) {
        pool->free = block->next;
        pool->count--;
    } else {
        block = malloc(sizeof *block + room);
        if (block == NULL) {
            return NULL;
        }
        block->room = room;
        block->message = NULL;
    }
    block->next = NULL;
    block->at = block->data;
    block->n = 0;
    return block;
}

static void segment_free(struct noc_segment *segment, struct noc_block_pool *pool)
{
    if (segment->message != NULL) {
        noc_message_unref(segment->message);
        free(segment);
    } else if (segment->room == NOC_BLOCK_BYTES && pool->count < pool->most) {
        segment->next = pool->free;
        pool->free = segment;
        pool->count++;
    } else {
        free(segment);
    }
}

static void append(struct noc_outq *queue, struct noc_segment *segment)
{
    if (queue->last == NULL) {
        queue->first = segment;
    } else {
        queue->last->next = segment;
    }
    queue->last = segment;
}

void noc_outq_reset(struct noc_outq *queue, struct noc_block_pool *pool)
{
    while (queue->first != NULL) {
        struct noc_segment *segment = queue->first;

        queue->first = segment->next;
        segment_free(segment, pool);
    }
    queue->last = NULL;
    queue->bytes = 0;
}

/* Bytes that may still be appended to the last segment. */
static size_t room_left(const struct noc_outq *queue)
{
    const struct noc_segment *last = queue->last;

    if (last == NULL || last->message != NULL) {
        return 0;
    }
    return (size_t)(last->data + last->room - (last->at + last->n));
}

uint8_t *noc_outq_reserve(struct noc_outq *queue, struct noc_block_pool *pool, size_t n)
{
    struct noc_segment *last = queue->last;

    if (room_left(queue) < n || last == NULL) {
        last = block_new(pool, n);
        if (last == NULL) {
            return NULL;
        }
        append(queue, last);
    }
    return last->data + (last->at - last->data) + last->n;
}

int noc_outq_write(struct noc_outq *queue, struct noc_block_pool *pool, const void *bytes, size_t n)
{
    const uint8_t *from = bytes;
    size_t here = room_left(queue);
    struct noc_segment *more = NULL;

    if (n == 0) {
        return NOC_OK;
    }
    if (here < n) {
        more = block_new(pool, n - here);
        if (more == NULL) {
            return NOC_ENOMEM;
        }
    } else {
        here = n;
    }
    if (here > 0) {
        struct noc_segment *last = queue->last;

        memcpy(last->data + (last->at - last->data) + last->n, from, here);
        last->n += here;
    }
    if (more != NULL) {
        memcpy(more->data, from + here, n - here);
        more->n = n - here;
        append(queue, more);
    }
    queue->bytes += n;
    return NOC_OK;
}

int noc_outq_refer(struct noc_outq *queue, struct noc_message *message, const void *bytes, size_t n)
{
    struct noc_segment *segment;

    if (n == 0) {
        return NOC_OK;
    }
    segment = malloc(sizeof *segment);
    if (segment == NULL) {
        return NOC_ENOMEM;
    }
    *segment = (struct noc_segment){.at = bytes, .n = n, .message = noc_message_ref(message)};
    append(queue, segment);
    queue->bytes += n;
    return NOC_OK;
}

void noc_outq_consume(struct noc_outq *queue, struct noc_block_pool *pool, size_t n)
{
    assert(n <= queue->bytes);
    queue->bytes -= n;
    while (queue->first != NULL) {
        struct noc_segment *first = queue->first;

        if (n < first->n) {
            first->at += n;
            first->n -= n;
            return;
        }
        n -= first->n;
        queue->first = first->next;
        if (queue->first == NULL) {
            queue->last = NULL;
        }
        segment_free(first, pool);
    }
}
