/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CORE_QUEUE_H
#define NOC_CORE_QUEUE_H
/*
 * The queue of a session: outgoing messages that wait for room in its window, by rising sequence
 * number. Of a session that is kept most of a long queue is in the store alone:
 *
 *   session->queue       paged: first to last              paged->tail
 *   [10][11][14]         15 ... 812, 700 messages          [813][815 not stored yet]
 *   the head, next       in the store, and safe there;     what has come since
 *   to be sent           a page is asked for (page.h)
 *                        when the head runs low
 *
 * A queue that is in memory whole is its head: session->paged is NULL. What has been paged is that until
 * nothing is in the store alone any more and the head is sent: then the tail is the head. Nothing
 * ends in the store alone, but with the session: it becomes part of the head first.
 */

#include "core/page.h"
#include "core/session.h"

/* What a head holds at most: of a session without a connection, and with one; the latter is a page, too. */
enum {
    NOC_HEAD_ABSENT = 8,
    NOC_HEAD_ABSENT_BYTES = 16 * 1024,
    NOC_HEAD_PRESENT = 256,
    NOC_HEAD_PRESENT_BYTES = 256 * 1024,
};

struct noc_paged {
    uint64_t first, last; /* sequence numbers in the store alone */
    uint64_t bytes;       /* payloads of them */
    uint32_t count;       /* messages */
    struct noc_ring tail;
    struct noc_page *page; /* with the store while is_asked */
    bool is_asked;
};

/* Messages in all, wherever they are. */
static inline uint32_t noc_queue_count(const struct noc_session *session)
{
    const struct noc_paged *paged = session->paged;

    return session->queue.count + (paged == NULL ? 0 : paged->count + paged->tail.count);
}

static inline bool noc_queue_is_empty(const struct noc_session *session)
{
    return session->queue.count == 0 && session->paged == NULL;
}

/* Payload bytes of those in memory. */
static inline uint64_t noc_queue_memory(const struct noc_session *session)
{
    return session->queue_bytes - (session->paged == NULL ? 0 : session->paged->bytes);
}

/* The sequence number of the first one, or that the session gives out next. */
uint64_t noc_queue_first(const struct noc_session *session);

/* Append a zeroed entry, or take the one that was appended last back. NULL: out of memory. */
struct noc_outgoing *noc_queue_push(struct noc_session *session);
void noc_queue_unpush(struct noc_session *session);

/* Take the first one, which is in memory; what it holds is the caller's. */
struct noc_outgoing noc_queue_pop(struct noc_session *session);

/* The entry of this sequence number, if it is in memory, or NULL. */
struct noc_outgoing *noc_queue_find(const struct noc_session *session, uint64_t sequence);

/* Something was stored, or the connection has gone: what need not be in memory any more leaves it. */
void noc_queue_page_out(struct noc_session *session);

/* Ask for a page if there is one and the head runs low. */
void noc_queue_want(struct noc_session *session);

/*
 * At the start: the next one of the queue is in the store. True: there it stays; false: it belongs into
 * memory. NOC_ENOMEM.
 */
NOC_MUST_CHECK int noc_queue_restore(
    struct noc_session *session, uint64_t sequence, uint32_t payload_n, bool *ret_stays);

/* What is in the store alone is forgotten: the session, which has some, drops its messages. */
void noc_queue_drop_paged(struct noc_session *session);

#endif
