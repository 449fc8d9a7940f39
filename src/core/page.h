/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CORE_PAGE_H
#define NOC_CORE_PAGE_H
/*
 * A page of a session's queue, on its way to the store and back: see queue.h.
 *
 *   queue  --- ops->page ---> store reads the rows --- noc_page_arrived() ---> queue
 */

#include "core/record.h"

struct noc_shard;

struct noc_page {
    /* What is asked for; whoever reads it changes nothing of this. */
    unsigned worker;         /* whose session it is */
    uint64_t session_number; /* only for the worker */
    uint64_t slot;
    uint64_t first, last; /* sequence numbers, from the first on */
    uint32_t most;        /* messages, at least 1 */
    uint32_t most_bytes;  /* past as many payload bytes no more messages are read */

    /* The answer, whole only if err is NOC_OK. */
    struct noc_operations
        found;    /* OUTGOING each, by rising sequence numbers; counted, owned by the page */
    bool is_last; /* there are none behind these */
    int err;      /* NOC_ENOMEM: ask again; NOC_EIO: it can't be read any more */

    struct noc_page *next; /* the store's */
};

/* Give back the page and what it holds. NULL is fine. */
void noc_page_free(struct noc_page *page);

/* The answer has come (a struct noc_page). On the shard's thread; shard NULL: there is nobody to take it. */
void noc_page_arrived(struct noc_shard *shard, void *a_page);

#endif
