/* SPDX-License-Identifier: Apache-2.0 */
#include "core/shard.h"

#include <stdlib.h>
#include <string.h>

#include "core/deliver.h"
#include "core/journal.h"
#include "core/link.h"
#include "core/mail.h"
#include "core/queue.h"
#include "core/receipt.h"
#include "core/release.h"
#include "core/replay.h"

/* Blocks of output that a worker keeps for later: 2 MiB of them. */
#define FREE_BLOCKS_MAX 256u

/* With memory short, a heaviest queue is trimmed this often at most. */
#define TRIM_INTERVAL_MS 100u

/* ---- life ---- */

int noc_shard_init(struct noc_shard *shard, struct noc_core *core, unsigned number,
    const struct noc_shard_ops *ops, void *context, uint64_t now_ms)
{
    memset(shard, 0, sizeof *shard);
    shard->core = core;
    shard->ops = ops;
    shard->context = context;
    shard->number = number;
    shard->now_ms = now_ms;
    for (unsigned i = 0; i < NOC_COUNTERS; i++) {
        atomic_init(&shard->counters[i], 0);
    }
    atomic_init(&shard->arriving, 0);
    shard->acls = calloc(core->limits.listener_count + 1u, sizeof(struct noc_acl *));
    if (shard->acls == NULL) {
        return NOC_ENOMEM;
    }
    noc_mailbox_init(&shard->mailbox);
    noc_timers_init(&shard->timers, now_ms);
    noc_block_pool_init(&shard->blocks, FREE_BLOCKS_MAX);
    noc_list_init(&shard->due);
    noc_list_init(&shard->dirty);
    noc_list_init(&shard->failing);
    noc_list_init(&shard->replays);
    noc_list_init(&shard->links);
    noc_list_init(&shard->sessions);
    for (unsigned i = 0; i < NOC_WORKERS_MAX; i++) {
        noc_list_init(&shard->paused[i]);
    }
    noc_list_init(&shard->held);
    noc_list_init(&shard->unanswered);
    noc_list_init(&shard->spaceless);
    noc_list_init(&shard->receipts);
    core->shards[number] = shard;
    noc_sweep_init(shard);
    return NOC_OK;
}

void noc_shard_close_links(struct noc_shard *shard)
{
    shard->is_done = true;
    noc_reclaim_online(shard->core->reclaim, shard->number);
    noc_mail_drop(shard);
    while (!noc_list_is_empty(&shard->links)) {
        struct noc_link *link = NOC_CONTAINER(shard->links.next, struct noc_link, link_in_shard);

        noc_list_remove(&link->link_in_shard);
        if (link->session != NULL) {
            link->session->link = NULL;
            link->session = NULL;
            noc_shard_count(shard, NOC_COUNT_CONNECTED, -1);
        }
        if (link->state != NOC_LINK_CLOSING) {
            link->state = NOC_LINK_CLOSING;
            shard->ops->close(link);
        }
    }
    noc_reclaim_offline(shard->core->reclaim, shard->number);
}

void noc_shard_done(struct noc_shard *shard)
{
    noc_reclaim_online(shard->core->reclaim, shard->number);
    while (!noc_list_is_empty(&shard->sessions)) {
        noc_session_free(NOC_CONTAINER(shard->sessions.next, struct noc_session, link_in_shard));
    }
    noc_mail_drop(shard);
    noc_receipts_done(shard);
    noc_releases_done(shard);
    noc_journal_free(shard);
    noc_sweep_done(shard);
    noc_reclaim_offline(shard->core->reclaim, shard->number);
    for (unsigned i = 0; i < shard->core->limits.listener_count; i++) {
        noc_acl_unref(shard->acls[i]);
    }
    free(shard->acls);
    free(shard->by_id);
    noc_map64_done(&shard->by_number);
    noc_map64_done(&shard->waiting);
    free(shard->meetings);
    free(shard->meeting_ids);
    free(shard->scratch);
    noc_block_pool_done(&shard->blocks);
    shard->core->shards[shard->number] = NULL;
}

/* ---- a turn ---- */

/* With memory short: the session that holds most gives up half of its queue. */
static void trim_heaviest(struct noc_shard *shard)
{
    struct noc_session *heaviest = NULL;
    uint32_t dropped;

    if (!noc_shard_is_memory_short(shard) || shard->now_ms - shard->trimmed_ms < TRIM_INTERVAL_MS) {
        return;
    }
    shard->trimmed_ms = shard->now_ms;
    for (struct noc_list *at = shard->sessions.next; at != &shard->sessions; at = at->next) {
        struct noc_session *session = NOC_CONTAINER(at, struct noc_session, link_in_shard);

        if (session->queue.count > 0 &&
            (heaviest == NULL || noc_queue_memory(session) > noc_queue_memory(heaviest))) {
            heaviest = session;
        }
    }
    if (heaviest != NULL) {
        dropped = noc_session_trim(heaviest);
        noc_shard_log(shard, NOC_LOG_WARNING,
            "Memory is short: %u messages of the queue of client %.*s were dropped.",
            (unsigned)dropped, NOC_SLICE_ARG(noc_session_id(heaviest)));
    }
}

void noc_shard_begin(struct noc_shard *shard, uint64_t now_ms)
{
    struct noc_timer *timer;

    noc_reclaim_online(shard->core->reclaim, shard->number);
    shard->now_ms = now_ms;
    noc_timers_advance(&shard->timers, now_ms);
    while ((timer = noc_timers_next(&shard->timers)) != NULL) {
        if (timer->kind == NOC_TIMER_SESSION) {
            noc_session_tick(NOC_CONTAINER(timer, struct noc_session, timer));
        } else {
            noc_list_append(&shard->due, &timer->link);
        }
    }
    shard->is_store_behind = noc_core_count_mt(shard->core, NOC_COUNT_UNSTORED) > NOC_UNSTORED_MAX;
    trim_heaviest(shard);
    noc_link_go_on_with_space(shard);
}

void noc_shard_drain_mail(struct noc_shard *shard)
{
    shard->work = 0;
    noc_mail_drain(shard);
    shard->work = 0;
    shard->working = NULL;
    noc_link_resume_held(shard);
}

static void tick_due(struct noc_shard *shard)
{
    struct noc_list *at;

    while ((at = noc_list_take(&shard->due)) != NULL) {
        struct noc_timer *timer = NOC_CONTAINER(at, struct noc_timer, link);

        if (timer->kind == NOC_TIMER_SWEEP) {
            noc_sweep_tick(shard);
        } else if (timer->kind == NOC_TIMER_LINK) {
            noc_link_tick(NOC_CONTAINER(timer, struct noc_link, timer));
        } else {
            shard->ops->tick(shard, timer);
        }
    }
}

void noc_shard_settle(struct noc_shard *shard)
{
    tick_due(shard);
    noc_replay_run(shard);
    noc_link_end_failing(shard);
    noc_journal_run(shard, false);
    noc_mail_post(shard);
}

struct noc_link *noc_shard_next_dirty(struct noc_shard *shard)
{
    struct noc_list *at = noc_list_take(&shard->dirty);

    return at == NULL ? NULL : NOC_CONTAINER(at, struct noc_link, dirty);
}

uint64_t noc_shard_end(struct noc_shard *shard)
{
    uint64_t most_ms;

    noc_reclaim_quiescent(shard->core->reclaim, shard->number);
    /* Giving back may have written retire notices. */
    noc_mail_post(shard);
    if (!noc_list_is_empty(&shard->replays) || !noc_list_is_empty(&shard->dirty) ||
        !noc_list_is_empty(&shard->failing) || !noc_list_is_empty(&shard->held) ||
        shard->current != NULL) {
        return 0;
    }
    most_ms = noc_journal_wait_ms(shard);
    if (most_ms > 1000) {
        most_ms = 1000;
    }
    if (most_ms > 5 && noc_reclaim_has_deferred(shard->core->reclaim, shard->number)) {
        most_ms = 5;
    }
    return noc_timers_wait_ms(&shard->timers, most_ms);
}

bool noc_shard_sleep(struct noc_shard *shard)
{
    noc_reclaim_offline(shard->core->reclaim, shard->number);
    return noc_mailbox_sleep(&shard->mailbox);
}

void noc_shard_woken(struct noc_shard *shard)
{
    noc_mailbox_wake(&shard->mailbox);
}

void noc_shard_fire_wills(struct noc_shard *shard)
{
    for (struct noc_list *at = shard->sessions.next; at != &shard->sessions; at = at->next) {
        noc_session_fire_will(NOC_CONTAINER(at, struct noc_session, link_in_shard));
    }
}

void noc_shard_stop(struct noc_shard *shard)
{
    struct noc_list links;
    struct noc_list *at;

    shard->is_stopping = true;
    noc_list_init(&links);
    noc_list_join(&links, &shard->links);
    while ((at = noc_list_take(&links)) != NULL) {
        struct noc_link *link = NOC_CONTAINER(at, struct noc_link, link_in_shard);

        noc_list_append(&shard->links, at);
        if (link->session != NULL) {
            noc_session_clear_will(link->session);
        }
        noc_link_end(link, NOC_END_SHUTDOWN, NULL);
    }
}

/* ---- small things ---- */

void noc_shard_log(struct noc_shard *shard, enum noc_log_level level, const char *format, ...)
{
    va_list args;

    if (!noc_shard_logs(shard, level)) {
        return;
    }
    va_start(args, format);
    shard->ops->log(shard, level, format, args);
    va_end(args);
}

uint64_t noc_shard_new_number(struct noc_shard *shard)
{
    return ++shard->next_number * NOC_WORKERS_MAX + shard->number;
}

void noc_shard_set_acl(struct noc_shard *shard, unsigned listener, struct noc_acl *take_acl)
{
    noc_acl_unref(shard->acls[listener]);
    shard->acls[listener] = take_acl;
}
