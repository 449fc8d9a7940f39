/* SPDX-License-Identifier: Apache-2.0 */
#include "core/mail.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/deliver.h"
#include "core/journal.h"
#include "core/link.h"
#include "core/receipt.h"
#include "core/release.h"

/* A message whose parts are no larger than this travels copied, unless it is built already. */
#define INLINE_MAX 1024u

/* What counts one towards the water marks: so many bytes begun. */
#define UNIT_BYTES 1024u

/* First room of a batch, no more than one unit with its head; it doubles. */
#define BATCH_ROOM 960u

/* ---- publications ---- */

struct noc_message *noc_publication_message(struct noc_publication *publication)
{
    if (publication->message == NULL) {
        publication->message = noc_message_new(&publication->parts);
    }
    return publication->message;
}

void noc_publication_done(struct noc_publication *publication)
{
    noc_message_unref(publication->message);
    publication->message = NULL;
}

/* ---- writing ---- */

static struct noc_batch *batch_new(unsigned from, size_t room)
{
    struct noc_batch *batch = malloc(sizeof *batch + room);

    if (batch == NULL) {
        return NULL;
    }
    batch->mail = (struct noc_mail){0};
    batch->from = from;
    batch->used = 0;
    batch->room = (uint32_t)room;
    return batch;
}

/*
 * A record with room for data_n bytes behind it, at the end of the receiver's batch. It weighs
 * what it holds: itself, and referred_n bytes elsewhere.
 */
static struct noc_record *add(struct noc_shard *shard, unsigned to, enum noc_record_kind kind,
    size_t data_n, size_t referred_n)
{
    size_t size = (sizeof(struct noc_record) + data_n + 7) & ~(size_t)7;
    struct noc_batch *batch = shard->outgoing[to];
    struct noc_record *record;

    if (size > UINT32_MAX / 4) {
        return NULL;
    }
    if (batch == NULL) {
        batch = batch_new(shard->number, size > BATCH_ROOM ? size : BATCH_ROOM);
        if (batch == NULL) {
            return NULL;
        }
        shard->outgoing[to] = batch;
        shard->outgoing_to |= UINT64_C(1) << to;
    } else if (batch->used + size > batch->room) {
        size_t room = (batch->used + size) * 2;
        struct noc_batch *larger = room > UINT32_MAX ? NULL : realloc(batch, sizeof *batch + room);

        if (larger == NULL) {
            return NULL;
        }
        batch = larger;
        batch->room = (uint32_t)room;
        shard->outgoing[to] = batch;
    }
    record = (struct noc_record *)(void *)(batch->data + batch->used);
    record->size = (uint32_t)size;
    record->kind = (uint8_t)kind;
    batch->used += (uint32_t)size;
    batch->mail.weight += (uint32_t)((size + referred_n + UNIT_BYTES - 1) / UNIT_BYTES);
    return record;
}

static size_t parts_size(const struct noc_message_parts *parts)
{
    return parts->topic.n + parts->props.n + parts->payload.n;
}

/* A record that carries the publication behind nodes_n bytes of nodes, or refers to it. */
static struct noc_record *add_message(struct noc_shard *shard, unsigned to,
    enum noc_record_kind kind, size_t nodes_n, struct noc_publication *publication)
{
    size_t parts_n = parts_size(&publication->parts);

    if (publication->message == NULL && parts_n <= INLINE_MAX) {
        return add(shard, to, kind, nodes_n + parts_n, 0);
    }
    if (noc_publication_message(publication) == NULL) {
        return NULL;
    }
    return add(shard, to, kind, nodes_n, sizeof *publication->message + parts_n);
}

/* Fill in the message of a record; data is where its parts go. */
static void put_message(struct noc_record_message *what, uint8_t *data,
    struct noc_publication *publication, struct noc_part *part, struct noc_release *release)
{
    const struct noc_message_parts *parts = &publication->parts;

    *what = (struct noc_record_message){
        .message = noc_message_ref(publication->message),
        .part = part,
        .release = release,
        .expires_ms = parts->expires_ms,
        .publisher_number = parts->publisher_number,
        .topic_n = (uint32_t)parts->topic.n,
        .props_n = (uint32_t)parts->props.n,
        .payload_n = (uint32_t)parts->payload.n,
        .qos = parts->qos,
        .retain = parts->retain,
    };
    if (what->message != NULL) {
        return;
    }
    memcpy(data, parts->topic.at, parts->topic.n);
    data += parts->topic.n;
    if (parts->props.n > 0) {
        memcpy(data, parts->props.at, parts->props.n);
        data += parts->props.n;
    }
    if (parts->payload.n > 0) {
        memcpy(data, parts->payload.at, parts->payload.n);
    }
}

int noc_mail_publish(struct noc_shard *shard, unsigned to, struct noc_publication *publication,
    struct noc_part *part, struct noc_node *const *nodes, unsigned node_count)
{
    size_t nodes_n = node_count * sizeof *nodes;
    struct noc_record *record = add_message(shard, to, NOC_RECORD_PUBLISH, nodes_n, publication);
    uint8_t *data;

    if (record == NULL) {
        return NOC_ENOMEM;
    }
    data = (uint8_t *)(record + 1);
    memcpy(data, nodes, nodes_n);
    record->as.publish.node_count = node_count;
    put_message(&record->as.publish.what, data + nodes_n, publication, part, publication->release);
    return NOC_OK;
}

int noc_mail_shared(struct noc_shard *shard, unsigned to, struct noc_publication *publication,
    struct noc_part *part, struct noc_node *node, struct noc_group *group,
    const struct noc_member *member, uint32_t start, uint32_t attempt)
{
    struct noc_record *record = add_message(shard, to, NOC_RECORD_SHARED, 0, publication);

    if (record == NULL) {
        return NOC_ENOMEM;
    }
    record->as.shared.node = node;
    record->as.shared.group = group;
    record->as.shared.session_number = member->session_number;
    record->as.shared.start = start;
    record->as.shared.attempt = attempt;
    record->as.shared.was_connected = member->is_connected;
    put_message(
        &record->as.shared.what, (uint8_t *)(record + 1), publication, part, publication->release);
    return NOC_OK;
}

int noc_mail_part(struct noc_shard *shard, struct noc_part *part)
{
    struct noc_record *record = add(shard, part->home, NOC_RECORD_PART, 0, 0);

    if (record == NULL) {
        return NOC_ENOMEM;
    }
    record->as.part = part;
    return NOC_OK;
}

int noc_mail_adopt(
    struct noc_shard *shard, unsigned to, struct noc_link *link, struct noc_home *home)
{
    struct noc_record *record = add(shard, to, NOC_RECORD_ADOPT, 0, 0);

    if (record == NULL) {
        return NOC_ENOMEM;
    }
    record->as.adopt.link = link;
    record->as.adopt.home = home;
    atomic_fetch_add_explicit(&shard->core->shards[to]->arriving, 1, memory_order_relaxed);
    return NOC_OK;
}

int noc_mail_resume(struct noc_shard *shard, unsigned to)
{
    struct noc_record *record = add(shard, to, NOC_RECORD_RESUME, 0, 0);

    if (record == NULL) {
        return NOC_ENOMEM;
    }
    record->as.resume = shard->number;
    return NOC_OK;
}

/*
 * Enter a notice for every worker from *at on. Where memory is out the rest is
 * tried at the next post: a notice that comes late is always safe, one that
 * came twice would not be, so *at tells how far it got.
 */
static bool retire_to_all(struct noc_shard *shard, struct noc_retire *retire, unsigned *at)
{
    for (; *at < shard->core->shard_count; (*at)++) {
        struct noc_record *record = add(shard, *at, NOC_RECORD_RETIRE, 0, 0);

        if (record == NULL) {
            return false;
        }
        record->as.retire = retire;
    }
    return true;
}

void noc_mail_retire(void *context, unsigned worker, struct noc_retire *retire)
{
    struct noc_core *core = context;
    struct noc_shard *shard = core->shards[worker];

    if (shard == NULL) {
        /* The shards are done: no mail names it any more. */
        for (unsigned i = 0; i < core->shard_count; i++) {
            noc_retire_drained(retire);
        }
        return;
    }
    retire->deferred.next = NULL;
    if (shard->retire_backlog == NULL) {
        unsigned at = 0;

        if (retire_to_all(shard, retire, &at)) {
            return;
        }
        shard->retire_at = at;
        shard->retire_backlog = retire;
    } else {
        struct noc_retire *last = shard->retire_backlog;

        while (last->deferred.next != NULL) {
            last = NOC_CONTAINER(last->deferred.next, struct noc_retire, deferred);
        }
        last->deferred.next = &retire->deferred;
    }
}

/* Is the worker past its high-water mark, with what this one has for it in this turn? */
static bool is_past_high(const struct noc_shard *shard, unsigned worker)
{
    const struct noc_core *core = shard->core;
    const struct noc_batch *own = shard->outgoing[worker];

    return noc_mailbox_weight_mt(&core->shards[worker]->mailbox) +
               (own == NULL ? 0 : own->mail.weight) >
           core->limits.mailbox_high;
}

bool noc_mail_is_behind(const struct noc_shard *shard)
{
    for (unsigned i = 0; i < shard->core->shard_count; i++) {
        if (i != shard->number && is_past_high(shard, i)) {
            return true;
        }
    }
    return false;
}

bool noc_mail_is_behind_mt(const struct noc_core *core)
{
    for (unsigned i = 0; i < core->shard_count; i++) {
        if (noc_mailbox_weight_mt(&core->shards[i]->mailbox) > core->limits.mailbox_high) {
            return true;
        }
    }
    return false;
}

bool noc_mail_must_wait(struct noc_shard *shard, unsigned worker)
{
    uint64_t low = shard->core->limits.mailbox_high / 2;

    if (!is_past_high(shard, worker)) {
        return false;
    }
    /*
     * The mailbox tells when it has drained something: what is posted at the end of this turn
     * at the latest. Without that it must not be low already; one that is empty tells nothing.
     */
    if (shard->outgoing[worker] != NULL) {
        low = 0;
    } else if (low == 0) {
        low = 1;
    }
    return noc_mailbox_ask_mt(&shard->core->shards[worker]->mailbox, shard->number, low);
}

/* Tell those who asked that this mailbox is below low water; who can't be told is owed it. */
static void tell_waiting(struct noc_shard *shard)
{
    for (uint64_t waiting = noc_mailbox_take_waiting(&shard->mailbox) | shard->resume_owed;
         waiting != 0; waiting &= waiting - 1) {
        unsigned worker = (unsigned)__builtin_ctzll(waiting);

        if (noc_mail_resume(shard, worker) == NOC_OK) {
            shard->resume_owed &= ~(UINT64_C(1) << worker);
        } else {
            shard->resume_owed |= UINT64_C(1) << worker;
        }
    }
}

static void work_off_backlog(struct noc_shard *shard)
{
    noc_part_post_late(shard);
    if (shard->resume_owed != 0) {
        tell_waiting(shard);
    }
    while (shard->retire_backlog != NULL) {
        struct noc_deferred *next = shard->retire_backlog->deferred.next;

        if (!retire_to_all(shard, shard->retire_backlog, &shard->retire_at)) {
            return;
        }
        shard->retire_at = 0;
        shard->retire_backlog =
            next == NULL ? NULL : NOC_CONTAINER(next, struct noc_retire, deferred);
    }
}

void noc_mail_post(struct noc_shard *shard)
{
    work_off_backlog(shard);
    for (uint64_t to = shard->outgoing_to; to != 0; to &= to - 1) {
        unsigned worker = (unsigned)__builtin_ctzll(to);
        struct noc_batch *batch = shard->outgoing[worker];

        shard->outgoing[worker] = NULL;
        if (noc_mailbox_post_mt(&shard->core->shards[worker]->mailbox, &batch->mail)) {
            shard->ops->wake(shard, worker);
        }
    }
    shard->outgoing_to = 0;
}

int noc_shard_call_mt(struct noc_core *core, unsigned worker, noc_shard_call_fn *function,
    void *argument, bool *ret_wake)
{
    struct noc_batch *batch = batch_new(NOC_WORKERS_MAX, sizeof(struct noc_record));
    struct noc_record *record;

    if (batch == NULL) {
        return NOC_ENOMEM;
    }
    record = (struct noc_record *)(void *)batch->data;
    *record = (struct noc_record){.size = sizeof *record, .kind = NOC_RECORD_CALL};
    record->as.call.function = function;
    record->as.call.argument = argument;
    batch->used = sizeof *record;
    batch->mail.weight = 1;
    *ret_wake = noc_mailbox_post_mt(&core->shards[worker]->mailbox, &batch->mail);
    return NOC_OK;
}

/* ---- reading ---- */

/* The publication of a record, which keeps its storage. */
static struct noc_publication open_message(const struct noc_record_message *what, const char *data)
{
    struct noc_publication publication = {
        .message = what->message, .part = what->part, .release = what->release, .is_by_mail = true};

    if (what->message != NULL) {
        publication.parts = noc_message_parts(what->message);
        return publication;
    }
    publication.parts = (struct noc_message_parts){
        .topic = noc_slice(data, what->topic_n),
        .props = noc_slice(data + what->topic_n, what->props_n),
        .payload = noc_slice(data + what->topic_n + what->props_n, what->payload_n),
        .qos = what->qos,
        .retain = what->retain,
        .expires_ms = what->expires_ms,
        .publisher_number = what->publisher_number,
    };
    return publication;
}

/*
 * They go on when the mail is worked off, the first of them whatever there is in the mailbox by
 * then: else workers that do nothing but tell each other to go on could keep all waiting for ever.
 */
static void resume_paused(struct noc_shard *shard, unsigned worker)
{
    struct noc_list *paused = &shard->paused[worker];

    if (!noc_list_is_empty(paused)) {
        NOC_CONTAINER(paused->next, struct noc_link, paused)->paused_for = (uint8_t)shard->number;
        noc_list_join(&shard->held, paused);
    }
}

/* Mail under a release stays until there is room for the end of this worker's part of it. */
static bool can_work_off(struct noc_shard *shard, const struct noc_record *record)
{
    bool is_released = (record->kind == NOC_RECORD_PUBLISH && record->as.publish.what.release) ||
                       (record->kind == NOC_RECORD_SHARED && record->as.shared.what.release);

    return !is_released || noc_journal_reserve(shard) == NOC_OK;
}

/* All that this worker makes of a publication has been made. */
static void settle_publication(struct noc_shard *shard, const struct noc_publication *publication)
{
    noc_part_release(shard, publication->part);
    if (publication->release != NULL) {
        noc_release_close(shard, publication->release);
    }
}

static void work_off(struct noc_shard *shard, struct noc_record *record)
{
    struct noc_node *const *nodes = (struct noc_node *const *)(void *)(record + 1);
    struct noc_publication publication;

    switch ((enum noc_record_kind)record->kind) {
    case NOC_RECORD_PUBLISH:
        publication = open_message(
            &record->as.publish.what, (const char *)(nodes + record->as.publish.node_count));
        noc_deliver(shard, &publication, nodes, record->as.publish.node_count);
        settle_publication(shard, &publication);
        noc_publication_done(&publication);
        break;
    case NOC_RECORD_SHARED:
        publication = open_message(&record->as.shared.what, (const char *)(record + 1));
        noc_deliver_shared_mail(shard, &publication, record);
        settle_publication(shard, &publication); /* unless it has gone on to another worker */
        noc_publication_done(&publication);
        break;
    case NOC_RECORD_ADOPT:
        noc_link_arrive_from_afar(shard, record->as.adopt.link, record->as.adopt.home);
        atomic_fetch_sub_explicit(&shard->arriving, 1, memory_order_relaxed);
        break;
    case NOC_RECORD_RETIRE:
        noc_retire_drained(record->as.retire);
        break;
    case NOC_RECORD_RESUME:
        resume_paused(shard, record->as.resume);
        break;
    case NOC_RECORD_PART:
        noc_part_returned(shard, record->as.part);
        break;
    case NOC_RECORD_CALL:
        record->as.call.function(shard, record->as.call.argument);
        break;
    }
}

/* A batch is done: tell those who wait for the mailbox to get shorter. */
static void batch_done(struct noc_shard *shard, struct noc_batch *batch)
{
    uint64_t left = noc_mailbox_drained(&shard->mailbox, batch->mail.weight);

    free(batch);
    if (left <= shard->core->limits.mailbox_high / 2) {
        tell_waiting(shard);
    }
}

/* The batch to go on with, or NULL. */
static struct noc_batch *current_batch(struct noc_shard *shard)
{
    if (shard->current == NULL) {
        struct noc_mail *mail = noc_mailbox_take(&shard->mailbox);

        if (mail == NULL) {
            return NULL;
        }
        shard->current = NOC_CONTAINER(mail, struct noc_batch, mail);
        shard->current_at = 0;
    }
    return shard->current;
}

void noc_mail_drain(struct noc_shard *shard)
{
    struct noc_batch *batch;

    for (unsigned records = 0; (batch = current_batch(shard)) != NULL;) {
        while (shard->current_at < batch->used) {
            struct noc_record *record =
                (struct noc_record *)(void *)(batch->data + shard->current_at);

            if (records++ >= NOC_DRAIN_MAX || shard->work > NOC_WORK_MAX ||
                !can_work_off(shard, record)) {
                return;
            }
            shard->current_at += record->size;
            work_off(shard, record);
        }
        shard->current = NULL;
        batch_done(shard, batch);
    }
}

/* ---- dropping ---- */

static void drop_record(struct noc_shard *shard, struct noc_record *record)
{
    switch ((enum noc_record_kind)record->kind) {
    case NOC_RECORD_PUBLISH:
        noc_message_unref(record->as.publish.what.message);
        break;
    case NOC_RECORD_SHARED:
        noc_message_unref(record->as.shared.what.message);
        break;
    case NOC_RECORD_ADOPT:
        record->as.adopt.link->shard = shard;
        noc_list_append(&shard->links, &record->as.adopt.link->link_in_shard);
        break;
    case NOC_RECORD_RETIRE:
        noc_retire_drained(record->as.retire);
        break;
    case NOC_RECORD_CALL:
        record->as.call.function(NULL, record->as.call.argument);
        break;
    case NOC_RECORD_PART:
    case NOC_RECORD_RESUME:
        break;
    }
}

static void drop_batch(struct noc_shard *shard, struct noc_batch *batch, uint32_t at)
{
    while (at < batch->used) {
        struct noc_record *record = (struct noc_record *)(void *)(batch->data + at);

        at += record->size;
        drop_record(shard, record);
    }
    free(batch);
}

void noc_mail_drop(struct noc_shard *shard)
{
    struct noc_batch *batch;
    uint32_t at;

    while ((batch = current_batch(shard)) != NULL) {
        at = shard->current_at;
        shard->current = NULL;
        drop_batch(shard, batch, at);
    }
    for (unsigned worker = 0; worker < NOC_WORKERS_MAX; worker++) {
        if (shard->outgoing[worker] != NULL) {
            batch = shard->outgoing[worker];
            shard->outgoing[worker] = NULL;
            drop_batch(shard, batch, 0);
        }
    }
    while (shard->retire_backlog != NULL) {
        struct noc_retire *retire = shard->retire_backlog;
        struct noc_deferred *next = retire->deferred.next;

        shard->retire_backlog =
            next == NULL ? NULL : NOC_CONTAINER(next, struct noc_retire, deferred);
        for (unsigned at_worker = shard->retire_at; at_worker < shard->core->shard_count;
             at_worker++) {
            noc_retire_drained(retire);
        }
        shard->retire_at = 0;
    }
}
