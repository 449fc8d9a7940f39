/* SPDX-License-Identifier: Apache-2.0 */
#include "core/queue.h"

#include <stdlib.h>

#include "core/deliver.h"
#include "core/journal.h"
#include <noctule/error.h>

uint64_t noc_queue_first(const struct noc_session *session)
{
    if (session->queue.count > 0) {
        return noc_ring_at(&session->queue, 0)->sequence;
    }
    return session->paged != NULL ? session->paged->first : session->next_sequence;
}

static struct noc_ring *end_of(struct noc_session *session)
{
    return session->paged == NULL ? &session->queue : &session->paged->tail;
}

struct noc_outgoing *noc_queue_push(struct noc_session *session)
{
    return noc_ring_push(end_of(session));
}

void noc_queue_unpush(struct noc_session *session)
{
    end_of(session)->count--;
}

static struct noc_outgoing *find_in(const struct noc_ring *ring, uint64_t sequence)
{
    uint32_t at = noc_ring_find(ring, sequence);
    struct noc_outgoing *entry = at < ring->count ? noc_ring_at(ring, at) : NULL;

    return entry != NULL && entry->sequence == sequence ? entry : NULL;
}

struct noc_outgoing *noc_queue_find(const struct noc_session *session, uint64_t sequence)
{
    struct noc_outgoing *entry = find_in(&session->queue, sequence);

    return entry != NULL || session->paged == NULL ? entry
                                                   : find_in(&session->paged->tail, sequence);
}

/* ---- out of memory, into the store alone ---- */

static struct noc_paged *paged_new(void)
{
    struct noc_paged *paged = calloc(1, sizeof *paged);

    if (paged != NULL) {
        paged->page = calloc(1, sizeof *paged->page);
        if (paged->page == NULL) {
            free(paged);
            return NULL;
        }
    }
    return paged;
}

static void paged_free(struct noc_paged *paged)
{
    if (!paged->is_asked) {
        noc_page_free(paged->page);
    } /* else it finds nobody when it comes */
    free(paged->tail.at);
    free(paged);
}

static bool can_leave(const struct noc_outgoing *entry)
{
    return entry->kept == NOC_KEPT_SAFE;
}

/* An entry is in the store alone; what it held in memory goes. */
static void leave(struct noc_paged *paged, struct noc_outgoing *entry)
{
    paged->count++;
    paged->bytes += entry->payload_n;
    noc_outgoing_done(entry);
}

static uint32_t most_messages(const struct noc_session *session)
{
    return session->link == NULL ? NOC_HEAD_ABSENT : NOC_HEAD_PRESENT;
}

static uint64_t most_bytes(const struct noc_session *session)
{
    return session->link == NULL ? NOC_HEAD_ABSENT_BYTES : NOC_HEAD_PRESENT_BYTES;
}

/* How many of the first messages stay: one at least. */
static uint32_t head_size(const struct noc_session *session)
{
    uint64_t bytes = 0;
    uint32_t n = 0;

    while (n < session->queue.count && n < most_messages(session)) {
        bytes += noc_ring_at(&session->queue, n)->payload_n;
        if (n > 0 && bytes > most_bytes(session)) {
            break;
        }
        n++;
    }
    return n;
}

/* Is there more in memory than a head, by so much that it is worth it? */
static bool is_long(const struct noc_session *session)
{
    uint32_t tail_n = session->paged == NULL ? 0 : session->paged->tail.count;

    return session->queue.count + tail_n > 2 * most_messages(session) ||
           noc_queue_memory(session) > 2 * most_bytes(session);
}

/*
 * The queue is in memory whole: cut it behind its head, if the message there may leave. Without memory
 * for that all stays as it is.
 */
static void cut(struct noc_session *session)
{
    struct noc_ring *queue = &session->queue;
    struct noc_ring head = {0};
    uint32_t head_n = head_size(session);
    struct noc_paged *paged;

    if (head_n == queue->count || !can_leave(noc_ring_at(queue, head_n)) ||
        !noc_ring_reserve(&head, head_n)) {
        return;
    }
    paged = paged_new();
    if (paged == NULL) {
        free(head.at);
        return;
    }
    for (; head_n > 0; head_n--) {
        *noc_ring_push(&head) = *noc_ring_at(queue, 0);
        noc_ring_drop_head(queue);
    }
    paged->tail = *queue;
    *queue = head;
    session->paged = paged;
}

/* The last ones of a head that is too long. */
static void shorten_head(struct noc_session *session)
{
    struct noc_ring *head = &session->queue;
    uint32_t head_n = head_size(session);

    while (head->count > head_n && can_leave(noc_ring_at(head, head->count - 1))) {
        struct noc_outgoing *entry = noc_ring_at(head, head->count - 1);

        session->paged->first = entry->sequence;
        leave(session->paged, entry);
        head->count--;
    }
    noc_ring_fit(head);
}

static void empty_tail(struct noc_paged *paged)
{
    while (paged->tail.count > 0 && can_leave(noc_ring_at(&paged->tail, 0))) {
        struct noc_outgoing *entry = noc_ring_at(&paged->tail, 0);

        if (paged->count == 0) {
            paged->first = entry->sequence;
        }
        paged->last = entry->sequence;
        leave(paged, entry);
        noc_ring_drop_head(&paged->tail);
    }
    noc_ring_fit(&paged->tail);
}

void noc_queue_page_out(struct noc_session *session)
{
    if (session->shard->ops->page == NULL || !noc_journal_keeps(session)) {
        return;
    }
    if (session->paged == NULL && is_long(session)) {
        cut(session);
    }
    if (session->paged != NULL && (session->paged->count > 0 || is_long(session))) {
        empty_tail(session->paged);
    }
    if (session->paged != NULL && session->paged->count > 0) {
        shorten_head(session);
    }
}

/* ---- back into memory ---- */

/* With an empty head and nothing in the store alone, what has come since is the head. */
static void join(struct noc_session *session)
{
    struct noc_paged *paged = session->paged;

    if (paged != NULL && paged->count == 0 && session->queue.count == 0) {
        free(session->queue.at);
        session->queue = paged->tail;
        paged->tail = (struct noc_ring){0};
        paged_free(paged);
        session->paged = NULL;
    }
}

struct noc_outgoing noc_queue_pop(struct noc_session *session)
{
    struct noc_outgoing entry = *noc_ring_at(&session->queue, 0);

    noc_ring_drop_head(&session->queue);
    join(session);
    return entry;
}

void noc_queue_want(struct noc_session *session)
{
    struct noc_paged *paged = session->paged;
    bool is_short = noc_shard_is_memory_short(session->shard);

    if (paged == NULL || paged->count == 0 || paged->is_asked || session->link == NULL ||
        session->queue.count > NOC_HEAD_PRESENT / 2) {
        return;
    }
    *paged->page = (struct noc_page){
        .worker = session->shard->number,
        .session_number = session->number,
        .slot = session->durable->slot,
        .first = paged->first,
        .last = paged->last,
        .most = is_short ? NOC_HEAD_ABSENT : NOC_HEAD_PRESENT,
        .most_bytes = is_short ? NOC_HEAD_ABSENT_BYTES : NOC_HEAD_PRESENT_BYTES,
    };
    paged->is_asked = true;
    session->shard->ops->page(session->shard, paged->page);
}

/* A row becomes an entry of the head. False: no memory. */
static bool come_back(struct noc_session *session, struct noc_operation *row)
{
    struct noc_paged *paged = session->paged;
    struct noc_outgoing *entry = noc_ring_push(&session->queue);

    if (entry == NULL) {
        return false;
    }
    entry->message = row->message;
    entry->ids.count = row->id_count;
    if (row->id_count > 1) {
        entry->ids.as.many = row->as.ids;
    } else {
        entry->ids.as.one = row->as.id;
    }
    row->message = NULL; /* what the row had is the entry's */
    row->id_count = 0;
    entry->sequence = row->first;
    entry->payload_n = entry->message->payload_n;
    entry->qos = row->qos;
    entry->retain = row->retain;
    entry->kept = NOC_KEPT_SAFE;
    paged->first = row->first + 1;
    paged->count -= paged->count > 0;
    paged->bytes -= paged->bytes < entry->payload_n ? paged->bytes : entry->payload_n;
    return true;
}

/* What should have been in the store, and is not: it is lost, and that is said. */
static void write_off(struct noc_session *session)
{
    struct noc_paged *paged = session->paged;

    if (paged->count > 0) {
        noc_shard_log(session->shard, NOC_LOG_ERROR,
            "Error: %u messages of the queue of client %.*s could not be read from the store "
            "again, and are lost (remedy: see 'noctule db check').",
            (unsigned)paged->count, NOC_SLICE_ARG(noc_session_id(session)));
        noc_session_lost_queued(session, paged->count, paged->bytes);
    }
    paged->count = 0;
    paged->bytes = 0;
}

/* Is it what this session waits for? */
static bool is_for(const struct noc_session *session, const struct noc_page *page)
{
    return session != NULL && session->paged != NULL && session->paged->page == page;
}

void noc_page_free(struct noc_page *page)
{
    if (page != NULL) {
        noc_operations_done(&page->found);
        free(page);
    }
}

void noc_page_arrived(struct noc_shard *shard, void *a_page)
{
    struct noc_page *page = a_page;
    struct noc_session *session =
        shard == NULL ? NULL : noc_map64_get(&shard->by_number, page->session_number);
    struct noc_paged *paged;
    bool is_whole = true;

    if (!is_for(session, page)) {
        noc_page_free(page);
        return;
    }
    paged = session->paged;
    paged->is_asked = false;
    /* Without a connection any more it is not wanted; and what left meanwhile comes before this. */
    if (page->err == NOC_OK && session->link != NULL && page->first == paged->first) {
        for (size_t i = 0; i < page->found.count && is_whole; i++) {
            is_whole = come_back(session, &page->found.at[i]);
        }
        if (is_whole && page->is_last && page->last == paged->last) {
            write_off(session);
        }
    }
    noc_operations_done(&page->found);
    if (page->err == NOC_EIO) {
        return; /* the broker ends */
    }
    join(session);
    noc_session_pump(session);
}

void noc_queue_drop_paged(struct noc_session *session)
{
    session->paged->count = 0;
    session->paged->bytes = 0;
    join(session);
}

/* ---- the start ---- */

int noc_queue_restore(
    struct noc_session *session, uint64_t sequence, uint32_t payload_n, bool *ret_stays)
{
    struct noc_paged *paged = session->paged;

    *ret_stays = session->shard->ops->page != NULL &&
                 (paged != NULL || session->queue.count >= NOC_HEAD_ABSENT ||
                     session->queue_bytes + payload_n > NOC_HEAD_ABSENT_BYTES) &&
                 session->queue.count > 0;
    if (!*ret_stays) {
        return NOC_OK;
    }
    if (paged == NULL) {
        paged = session->paged = paged_new();
        if (paged == NULL) {
            return NOC_ENOMEM;
        }
        paged->first = sequence;
    }
    paged->last = sequence;
    paged->count++;
    paged->bytes += payload_n;
    return NOC_OK;
}
