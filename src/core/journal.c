/* SPDX-License-Identifier: Apache-2.0 */
#include "core/journal.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "core/deliver.h"
#include "core/link.h"
#include "core/mail.h"
#include "core/queue.h"
#include "core/receipt.h"
#include "core/release.h"

/* Where a session stands. */
enum place { NOWHERE = 0, LAZY, GATHERING, DUE };

struct noc_journal {
    struct noc_operations ready; /* goes with the next batch, */
    struct noc_part *waiting;    /* and what waits for it */
    bool is_urgent;              /* somebody waits for what is ready */
    uint64_t ready_ms;           /* since when there is something ready */
    struct noc_list due, gathering, lazy;

    struct noc_operations batch;  /* at the store, */
    struct noc_part *batch_parts; /* what waits for it, */
    struct noc_list batch_sessions;
    bool is_out;
    bool is_all_next;         /* the next batch takes all there is */
    uint64_t made, committed; /* batches */

    /*
     * Slots: the shard's are those that are its number modulo the number of shards, as restore.h has it. When
     * all have been given out they begin anew, and those in use are passed over: only then are these known.
     */
    uint64_t next_slot;
    bool is_round;          /* they have begun anew */
    struct noc_map64 slots; /* then: those in use; slot -> anything */
};

/* ---- life ---- */

int noc_journal_new(struct noc_shard *shard)
{
    struct noc_journal *journal = calloc(1, sizeof *journal);

    if (journal == NULL) {
        return NOC_ENOMEM;
    }
    noc_list_init(&journal->due);
    noc_list_init(&journal->gathering);
    noc_list_init(&journal->lazy);
    noc_list_init(&journal->batch_sessions);
    journal->ready.worker = journal->batch.worker = shard->number;
    journal->batch.context = shard;
    journal->next_slot = shard->number == 0 ? shard->core->shard_count : shard->number;
    shard->journal = journal;
    return NOC_OK;
}

void noc_journal_free(struct noc_shard *shard)
{
    if (shard->journal != NULL) {
        noc_operations_done(&shard->journal->ready);
        noc_operations_done(&shard->journal->batch);
        noc_map64_done(&shard->journal->slots);
        free(shard->journal);
        shard->journal = NULL;
    }
}

static int keep(struct noc_session *session, uint64_t slot)
{
    struct noc_durable *durable = calloc(1, sizeof *durable);

    if (durable == NULL) {
        return NOC_ENOMEM;
    }
    noc_list_init(&durable->in_journal);
    noc_list_init(&durable->in_batch);
    durable->session = session;
    durable->slot = slot;
    session->durable = durable;
    return NOC_OK;
}

void noc_journal_slots_behind(struct noc_core *core, uint64_t highest_slot)
{
    for (unsigned i = 0; i < core->shard_count; i++) {
        struct noc_journal *journal = core->shards[i]->journal;
        uint64_t next = highest_slot - highest_slot % core->shard_count + i;

        if (next <= highest_slot) {
            next += core->shard_count;
        }
        if (journal != NULL && journal->next_slot < next) {
            journal->next_slot = next;
        }
    }
}

static int note_slot(struct noc_journal *journal, struct noc_durable *durable)
{
    return journal->is_round ? noc_map64_set(&journal->slots, durable->slot, durable) : NOC_OK;
}

/* From the first slot on again. NOC_ENOMEM: not yet. */
static int go_round(struct noc_shard *shard)
{
    struct noc_journal *journal = shard->journal;

    journal->is_round = true;
    for (struct noc_list *at = shard->sessions.next; at != &shard->sessions; at = at->next) {
        struct noc_session *session = NOC_CONTAINER(at, struct noc_session, link_in_shard);

        if (session->durable != NULL && note_slot(journal, session->durable) != NOC_OK) {
            noc_map64_done(&journal->slots);
            journal->is_round = false;
            return NOC_ENOMEM;
        }
    }
    return NOC_OK;
}

/* A slot that is not in use; 0: out of memory. */
static uint64_t take_slot(struct noc_shard *shard)
{
    struct noc_journal *journal = shard->journal;
    unsigned step = shard->core->shard_count;
    uint64_t slot;

    do {
        if (journal->next_slot > NOC_SLOT_MAX) {
            if (!journal->is_round && go_round(shard) != NOC_OK) {
                return 0;
            }
            journal->next_slot = shard->number == 0 ? step : shard->number;
        }
        slot = journal->next_slot;
        journal->next_slot += step;
    } while (noc_map64_get(&journal->slots, slot) != NULL);
    return slot;
}

int noc_journal_open(struct noc_session *session)
{
    struct noc_shard *shard = session->shard;
    uint64_t slot;

    if (shard->journal == NULL || session->durable != NULL) {
        return NOC_OK;
    }
    slot = take_slot(shard);
    if (slot == 0 || keep(session, slot) != NOC_OK) {
        return NOC_ENOMEM;
    }
    if (note_slot(shard->journal, session->durable) != NOC_OK) {
        noc_journal_forget(session);
        return NOC_ENOMEM;
    }
    session->durable->is_record_due = true;
    return NOC_OK;
}

int noc_journal_reopen(struct noc_session *session, uint64_t slot)
{
    int err = keep(session, slot);

    if (err == NOC_OK) {
        session->durable->is_written = session->durable->is_known = true;
    }
    return err;
}

/* What waited does not any more. */
static void release_parts(struct noc_shard *shard, struct noc_part **list)
{
    struct noc_part *part = *list;

    *list = NULL;
    while (part != NULL && !shard->is_done) {
        struct noc_part *next = part->next;

        part->is_in_journal = false;
        noc_part_release(shard, part);
        part = next;
    }
}

void noc_journal_forget(struct noc_session *session)
{
    struct noc_durable *durable = session->durable;

    if (durable != NULL) {
        noc_list_remove(&durable->in_journal);
        noc_list_remove(&durable->in_batch);
        if (!durable->is_slot_lost) {
            (void)noc_map64_take(&session->shard->journal->slots, durable->slot);
        }
        release_parts(session->shard, &durable->after_releases);
        free(durable->runs);
        free(durable);
        session->durable = NULL;
    }
}

/* ---- where a session stands ---- */

static void put_at(struct noc_durable *durable, enum place place)
{
    struct noc_shard *shard = durable->session->shard;
    struct noc_journal *journal = shard->journal;

    noc_list_remove(&durable->in_journal);
    durable->place = (uint8_t)place;
    durable->since_ms = shard->now_ms;
    switch (place) {
    case NOWHERE:
        break;
    case LAZY:
        noc_list_append(&journal->lazy, &durable->in_journal);
        break;
    case GATHERING:
        durable->mark = durable->session->next_sequence;
        noc_list_append(&journal->gathering, &durable->in_journal);
        break;
    case DUE:
        noc_list_append(&journal->due, &durable->in_journal);
        break;
    }
}

static void put_at_least_at(struct noc_durable *durable, enum place place)
{
    if (durable->place < place) {
        put_at(durable, place);
    }
}

static bool has_ends(const struct noc_durable *durable)
{
    return durable->run_count > 0 || durable->unrecorded > 0 || durable->is_record_due;
}

/* With nothing pending a session that was gathering has at most its ends to tell. */
static void settle_down(struct noc_durable *durable)
{
    if (durable->place == GATHERING && durable->pending == 0) {
        put_at(durable, has_ends(durable) ? LAZY : NOWHERE);
    }
}

/* ---- what happens ---- */

static void note_ready(struct noc_shard *shard, bool is_urgent)
{
    struct noc_journal *journal = shard->journal;

    if (journal->ready.count == 1) {
        journal->ready_ms = shard->now_ms;
    }
    journal->is_urgent |= is_urgent;
}

static struct noc_operation *add(struct noc_shard *shard, enum noc_operation_kind kind)
{
    struct noc_operation *operation = noc_operations_add(&shard->journal->ready, (uint8_t)kind);

    if (operation != NULL) {
        note_ready(shard, true);
    }
    return operation;
}

void noc_journal_session(struct noc_session *session, bool is_urgent)
{
    if (session->durable != NULL) {
        session->durable->is_record_due = true;
        put_at_least_at(session->durable, is_urgent ? DUE : LAZY);
    }
}

void noc_journal_detached(struct noc_session *session)
{
    struct noc_durable *durable = session->durable;

    if (durable != NULL) {
        durable->are_puts_due = durable->pending > 0;
        noc_journal_session(session, true);
        noc_queue_page_out(session);
    }
}

void noc_journal_close(struct noc_session *session, struct noc_ticket *ticket)
{
    struct noc_durable *durable = session->durable;
    struct noc_operation *operation;

    if (durable != NULL && durable->is_written) {
        /* Behind it the end of a release must have room. */
        operation = noc_journal_reserve(session->shard) != NOC_OK
                        ? NULL
                        : add(session->shard, NOC_OP_SESSION_END);
        if (operation != NULL) {
            operation->slot = durable->slot;
            operation->ticket = ticket;
            /* Nobody tells when that is stored, and until then the slot must not be given out. */
            durable->is_slot_lost = ticket != NULL;
        } else {
            durable->is_slot_lost = true;
            noc_shard_log(session->shard, NOC_LOG_ERROR,
                "Out of memory: the session of client %.*s, which has ended, may be there again "
                "after the next start.",
                NOC_SLICE_ARG(noc_session_id(session)));
        }
    }
    noc_journal_forget(session);
}

static int note_subscription(struct noc_session *session, enum noc_operation_kind kind,
    const struct noc_subscription_record *record)
{
    struct noc_subscription_record *copy;
    struct noc_operation *operation;

    if (session->durable == NULL) {
        return NOC_OK;
    }
    copy = noc_subscription_record_copy(record);
    operation = copy == NULL ? NULL : add(session->shard, kind);
    if (operation == NULL) {
        free(copy);
        return NOC_ENOMEM;
    }
    session->durable->is_written = true;
    copy->slot = operation->slot = session->durable->slot;
    operation->as.subscription = copy;
    return NOC_OK;
}

int noc_journal_subscribe(struct noc_session *session, struct noc_slice filter,
    struct noc_slice group, uint8_t options, uint32_t id)
{
    return note_subscription(session, NOC_OP_SUBSCRIPTION,
        &(struct noc_subscription_record){
            .group = group, .filter = filter, .options = options, .id = id});
}

int noc_journal_unsubscribe(
    struct noc_session *session, struct noc_slice filter, struct noc_slice group)
{
    return note_subscription(session, NOC_OP_SUBSCRIPTION_END,
        &(struct noc_subscription_record){.group = group, .filter = filter});
}

static int note_incoming(struct noc_session *session, enum noc_operation_kind kind,
    uint16_t packet_id, struct noc_message *message, struct noc_ticket *ticket)
{
    struct noc_operation *operation;

    if (session->durable == NULL) {
        return NOC_OK;
    }
    operation = add(session->shard, kind);
    if (operation == NULL) {
        return NOC_ENOMEM;
    }
    session->durable->is_written = true;
    operation->slot = session->durable->slot;
    operation->first = packet_id;
    operation->message = noc_message_ref(message);
    operation->ticket = ticket;
    return NOC_OK;
}

int noc_journal_incoming(
    struct noc_session *session, uint16_t packet_id, struct noc_message *message)
{
    return note_incoming(session, NOC_OP_INCOMING, packet_id, message, NULL);
}

int noc_journal_incoming_end(
    struct noc_session *session, uint16_t packet_id, struct noc_ticket *ticket)
{
    return note_incoming(session, NOC_OP_INCOMING_END, packet_id, NULL, ticket);
}

void noc_journal_release_begins(struct noc_session *session)
{
    session->durable->releasing++;
}

void noc_journal_release_is_stored(struct noc_session *session)
{
    if (--session->durable->releasing == 0) {
        release_parts(session->shard, &session->durable->after_releases);
    }
}

bool noc_journal_is_releasing(const struct noc_session *session)
{
    return session->durable != NULL && session->durable->releasing > 0;
}

void noc_journal_await_releases(struct noc_session *session, struct noc_part *part)
{
    part->next = session->durable->after_releases;
    session->durable->after_releases = part;
    noc_part_hold(part);
}

int noc_journal_reserve(struct noc_shard *shard)
{
    return shard->journal == NULL || noc_operations_reserve(&shard->journal->ready, 2) ? NOC_OK
                                                                                       : NOC_ENOMEM;
}

void noc_journal_retained(
    struct noc_shard *shard, struct noc_message *message, uint64_t version, bool is_urgent)
{
    struct noc_operation *operation;

    if (shard->journal == NULL ||
        noc_slice_has_prefix(noc_message_topic(message), noc_slice_of("$SYS"))) {
        return;
    }
    operation = noc_operations_add(&shard->journal->ready, NOC_OP_RETAINED);
    operation->first = version;
    operation->message = noc_message_ref(message);
    note_ready(shard, is_urgent);
}

/* ---- outgoing messages ---- */

/* Note that the store has a message too many. Without memory for that it is there until the session ends. */
static void note_run(struct noc_durable *durable, uint64_t sequence)
{
    struct noc_run *last = durable->run_count == 0 ? NULL : &durable->runs[durable->run_count - 1];

    if (last != NULL && last->last + 1 == sequence) {
        last->last = sequence;
        return;
    }
    if (durable->runs == NULL || durable->run_count == durable->run_room) {
        uint32_t room = durable->run_room == 0 ? 4 : durable->run_room * 2;
        struct noc_run *runs = realloc(durable->runs, room * sizeof *runs);

        if (runs == NULL) {
            return;
        }
        durable->runs = runs;
        durable->run_room = room;
    }
    durable->runs[durable->run_count++] = (struct noc_run){sequence, sequence};
}

/* An entry as an operation. False: no memory. */
static bool write_out(struct noc_operations *operations, const struct noc_durable *durable,
    const struct noc_outgoing *entry)
{
    return noc_operations_add_outgoing(operations,
               &(struct noc_outgoing_record){
                   .slot = durable->slot,
                   .sequence = entry->sequence,
                   .message = entry->message,
                   .ids = entry->ids.count > 1 ? entry->ids.as.many : &entry->ids.as.one,
                   .id_count = entry->ids.count,
                   .qos = entry->qos,
                   .retain = entry->retain,
               }) == NOC_OK;
}

void noc_journal_put(struct noc_session *session, struct noc_outgoing *entry,
    const struct noc_publication *publication)
{
    struct noc_durable *durable = session->durable;

    if (publication->release != NULL &&
        noc_release_put(publication->release, session, entry) == NOC_OK) {
        return;
    }
    if (entry->qos == 0 || !noc_journal_keeps(session)) {
        return;
    }
    entry->kept = NOC_KEPT_PENDING;
    noc_shard_count(session->shard, NOC_COUNT_UNSTORED, 1);
    entry->part = publication->part;
    noc_part_hold(entry->part);
    durable->pending++;
    if (session->link == NULL || entry->qos == 2) {
        durable->are_puts_due = true;
        put_at_least_at(durable, DUE);
    } else {
        put_at_least_at(durable, GATHERING);
    }
}

int noc_journal_put_held(
    struct noc_session *session, struct noc_outgoing *entry, struct noc_ticket *ticket)
{
    struct noc_shard *shard = session->shard;
    struct noc_operations *ready = &shard->journal->ready;

    entry->kept = NOC_KEPT_HELD;
    if (entry->qos == 0 || !noc_journal_keeps(session)) {
        return NOC_OK; /* it is only not to be sent before */
    }
    /* The end of the part must have room behind it. */
    if (!noc_operations_reserve(ready, 2) || !write_out(ready, session->durable, entry)) {
        entry->kept = NOC_KEPT_NOT;
        return NOC_ENOMEM;
    }
    ready->at[ready->count - 1].ticket = ticket;
    note_ready(shard, true);
    session->durable->is_written = true;
    return NOC_OK;
}

void noc_journal_part(struct noc_shard *shard, struct noc_ticket *ticket)
{
    noc_operations_add(&shard->journal->ready, NOC_OP_PART)->ticket = ticket;
    note_ready(shard, true);
}

void noc_journal_held_is_safe(struct noc_session *session, uint64_t sequence)
{
    struct noc_outgoing *entry = noc_queue_find(session, sequence);

    if (entry != NULL) {
        entry->kept = entry->qos > 0 && session->durable != NULL ? NOC_KEPT_SAFE : NOC_KEPT_NOT;
        noc_queue_page_out(session);
    } else if (session->durable != NULL) {
        note_run(session->durable, sequence); /* it was dropped meanwhile */
        put_at_least_at(session->durable, LAZY);
    }
}

void noc_journal_let_go(struct noc_session *session, struct noc_outgoing *entry)
{
    if (entry->kept == NOC_KEPT_PENDING || entry->kept == NOC_KEPT_TAKEN) {
        noc_shard_count(session->shard, NOC_COUNT_UNSTORED, -1);
    }
    noc_part_release(session->shard, entry->part);
    entry->part = NULL;
}

void noc_journal_finished(struct noc_session *session, struct noc_outgoing *entry)
{
    struct noc_durable *durable = session->durable;

    if (entry->kept == NOC_KEPT_NOT || entry->kept == NOC_KEPT_HELD) {
        return; /* of one that is held release.h takes care */
    }
    noc_journal_let_go(session, entry);
    if (entry->state == NOC_OUT_WAIT_RECORD) {
        durable->unrecorded--;
    } else if (entry->state == NOC_OUT_RECORDING) {
        durable->recording--;
    }
    if (entry->kept == NOC_KEPT_PENDING) {
        durable->pending--;
    } else {
        note_run(durable, entry->sequence);
        put_at_least_at(durable, LAZY);
    }
    entry->kept = NOC_KEPT_NOT;
    settle_down(durable);
}

void noc_journal_renumbered(struct noc_session *session)
{
    if (session->durable != NULL) {
        session->durable->batch_from = session->durable->batch_to = session->next_sequence;
        noc_journal_session(session, false); /* it tells what has been sent */
    }
}

void noc_journal_received(struct noc_session *session, struct noc_outgoing *entry)
{
    if (entry->kept != NOC_KEPT_NOT) {
        entry->state = NOC_OUT_WAIT_RECORD;
        session->durable->unrecorded++;
        put_at_least_at(session->durable, DUE);
    }
}

/* ---- making a batch ---- */

static uint16_t port_of(const struct noc_session *session)
{
    return session->listener == NULL ? 0 : session->listener->port;
}

static bool write_record(struct noc_operations *operations, struct noc_durable *durable)
{
    const struct noc_session *session = durable->session;
    bool is_connected = session->link != NULL;
    struct noc_session_record record = {
        .slot = durable->slot,
        .client_id = noc_session_id(session),
        .username = noc_slice(session->username, session->username_n),
        .version = session->version,
        .is_connected = is_connected,
        .port = port_of(session),
        .expiry_s = session->expiry_s,
        .expires_ms = session->expires_ms,
        .sent = noc_queue_first(session),
        .will = session->has_will ? session->will.message : NULL,
        .will_delay_s = session->will.delay_s,
        .will_expiry_s = session->will.expiry_s,
        .will_has_expiry = session->will.has_expiry,
        .will_due_ms = session->will_due_ms,
    };
    struct noc_operation *operation;
    struct noc_session_record *copy = noc_session_record_copy(&record);

    operation = copy == NULL ? NULL : noc_operations_add(operations, NOC_OP_SESSION);
    if (operation == NULL) {
        if (copy != NULL) {
            noc_message_unref(copy->will);
        }
        free(copy);
        return false;
    }
    operation->slot = durable->slot;
    operation->as.session = copy;
    durable->is_record_due = false;
    durable->is_written = true;
    return true;
}

static bool write_ends(struct noc_shard *shard, struct noc_durable *durable)
{
    while (durable->run_count > 0) {
        struct noc_operation *operation =
            noc_operations_add(&shard->journal->batch, NOC_OP_OUTGOING_END);
        const struct noc_run *run = &durable->runs[durable->run_count - 1];

        if (operation == NULL) {
            return false;
        }
        operation->slot = durable->slot;
        operation->first = run->first;
        operation->last = run->last;
        durable->run_count--;
    }
    free(durable->runs);
    durable->runs = NULL;
    durable->run_room = 0;
    return true;
}

/* PUBRECs that have come: each of them in the window. */
static bool write_received(struct noc_shard *shard, struct noc_durable *durable)
{
    const struct noc_ring *window = &durable->session->window;

    for (uint32_t i = 0; durable->unrecorded > 0 && i < window->count; i++) {
        struct noc_outgoing *entry = noc_ring_at(window, i);
        struct noc_operation *operation;

        if (entry->state != NOC_OUT_WAIT_RECORD) {
            continue;
        }
        operation = noc_operations_add(&shard->journal->batch, NOC_OP_OUTGOING_PUBREC);
        if (operation == NULL) {
            return false;
        }
        operation->slot = durable->slot;
        operation->first = entry->sequence;
        entry->state = NOC_OUT_RECORDING;
        durable->unrecorded--;
        durable->recording++;
    }
    return true;
}

static bool write_put(
    struct noc_shard *shard, struct noc_durable *durable, struct noc_outgoing *entry)
{
    if (!write_out(&shard->journal->batch, durable, entry)) {
        return false;
    }
    entry->kept = NOC_KEPT_TAKEN;
    durable->pending--;
    return true;
}

/* Where outgoing messages are in memory, in their order. The last may be NULL. */
struct rings {
    const struct noc_ring *at[3];
};

static struct rings rings_of(const struct noc_session *session)
{
    return (struct rings){
        {&session->window, &session->queue, session->paged == NULL ? NULL : &session->paged->tail}};
}

/* The pending ones of a ring; they stand behind those that were taken before. */
static bool write_pending(
    struct noc_shard *shard, struct noc_durable *durable, const struct noc_ring *ring)
{
    for (uint32_t i = noc_ring_find(ring, durable->batch_to);
         durable->pending > 0 && i < ring->count; i++) {
        struct noc_outgoing *entry = noc_ring_at(ring, i);

        if (entry->kept == NOC_KEPT_PENDING && !write_put(shard, durable, entry)) {
            return false;
        }
    }
    return true;
}

static bool write_puts(struct noc_shard *shard, struct noc_durable *durable)
{
    struct rings rings = rings_of(durable->session);
    bool is_done = true;

    durable->batch_from = durable->batch_to;
    for (unsigned i = 0; is_done && i < NOC_COUNT(rings.at) && rings.at[i] != NULL; i++) {
        is_done = write_pending(shard, durable, rings.at[i]);
    }
    if (is_done) {
        durable->batch_to = durable->session->next_sequence;
        durable->are_puts_due = false;
    }
    return is_done;
}

int noc_journal_will_is_held(struct noc_session *session, struct noc_ticket *ticket)
{
    struct noc_operations *ready = &session->shard->journal->ready;
    struct noc_durable *durable = session->durable;

    if (!noc_operations_reserve(ready, 2) || !write_record(ready, durable)) {
        return NOC_ENOMEM;
    }
    ready->at[ready->count - 1].ticket = ticket;
    durable->held_wills++;
    return NOC_OK;
}

void noc_journal_will_is_stored(struct noc_session *session)
{
    if (--session->durable->held_wills == 0) {
        noc_journal_session(session, true);
    }
}

static bool write_session_record(struct noc_shard *shard, struct noc_durable *durable)
{
    bool is_done = write_record(&shard->journal->batch, durable);

    durable->is_record_out |= is_done;
    return is_done;
}

/* Put all that a session has to tell into the batch. False: no memory for all of it. */
static bool write_session(struct noc_shard *shard, struct noc_durable *durable)
{
    bool are_puts_due = durable->are_puts_due;

    durable->batch_from = durable->batch_to;
    if (durable->is_record_due && durable->held_wills == 0 &&
        !write_session_record(shard, durable)) {
        return false;
    }
    if (!write_ends(shard, durable) || !write_received(shard, durable)) {
        return false;
    }
    return !are_puts_due || write_puts(shard, durable);
}

/* False: no memory for all of it; the rest is due. */
static bool write_list(struct noc_shard *shard, struct noc_list *list)
{
    bool is_whole = true;
    struct noc_list turn, *at;

    noc_list_init(&turn);
    noc_list_join(&turn, list);
    while ((at = noc_list_take(&turn)) != NULL) {
        struct noc_durable *durable = NOC_CONTAINER(at, struct noc_durable, in_journal);
        bool is_done = write_session(shard, durable);

        noc_list_append(&shard->journal->batch_sessions, &durable->in_batch);
        if (!is_done) {
            put_at(durable, DUE);
        } else {
            put_at(durable, durable->pending > 0 ? GATHERING : NOWHERE);
        }
        is_whole &= is_done;
    }
    return is_whole;
}

/* The oldest message that is pending, or NULL. */
static const struct noc_outgoing *first_pending(const struct noc_durable *durable)
{
    struct rings rings = rings_of(durable->session);

    for (unsigned r = 0; durable->pending > 0 && r < NOC_COUNT(rings.at) && rings.at[r] != NULL;
         r++) {
        const struct noc_ring *ring = rings.at[r];

        for (uint32_t i = noc_ring_find(ring, durable->batch_to); i < ring->count; i++) {
            const struct noc_outgoing *entry = noc_ring_at(ring, i);

            if (entry->kept == NOC_KEPT_PENDING) {
                return entry;
            }
        }
    }
    return NULL;
}

/* Messages that their client has not acknowledged in time: they are due. Others begin anew. */
static void judge_gathering(struct noc_shard *shard, bool is_all)
{
    struct noc_journal *journal = shard->journal;
    struct noc_list turn, *at;

    noc_list_init(&turn);
    noc_list_join(&turn, &journal->gathering);
    while ((at = noc_list_take(&turn)) != NULL) {
        struct noc_durable *durable = NOC_CONTAINER(at, struct noc_durable, in_journal);
        const struct noc_outgoing *first;

        if (!is_all && shard->now_ms - durable->since_ms < NOC_GATHER_MS) {
            /* Those behind it came later. */
            noc_list_append(&journal->gathering, at);
            noc_list_join(&journal->gathering, &turn);
            return;
        }
        first = first_pending(durable);
        durable->are_puts_due = is_all || (first != NULL && first->sequence < durable->mark);
        put_at(durable, durable->are_puts_due || has_ends(durable) ? DUE : GATHERING);
    }
}

static bool is_something_due(const struct noc_shard *shard, bool is_all)
{
    const struct noc_journal *journal = shard->journal;
    struct noc_list *lazy = journal->lazy.next;

    return journal->is_urgent || journal->waiting != NULL || !noc_list_is_empty(&journal->due) ||
           (is_all && (journal->ready.count > 0 || !noc_list_is_empty(&journal->lazy))) ||
           (journal->ready.count > 0 && shard->now_ms - journal->ready_ms >= NOC_LAZY_MS) ||
           (lazy != &journal->lazy &&
               shard->now_ms - NOC_CONTAINER(lazy, struct noc_durable, in_journal)->since_ms >=
                   NOC_LAZY_MS);
}

void noc_journal_run(struct noc_shard *shard, bool is_all)
{
    struct noc_journal *journal = shard->journal;
    bool is_whole;

    if (journal == NULL || journal->is_out) {
        return;
    }
    is_all = is_all || journal->is_all_next;
    judge_gathering(shard, is_all);
    if (!is_something_due(shard, is_all) && !journal->is_all_next) {
        return;
    }
    journal->is_all_next = false;
    journal->made++;
    journal->batch.at = journal->ready.at;
    journal->batch.count = journal->ready.count;
    journal->batch.room = journal->ready.room;
    journal->ready.at = NULL;
    journal->ready.count = journal->ready.room = 0;
    journal->batch_parts = journal->waiting;
    journal->waiting = NULL;
    journal->is_urgent = false;
    is_whole = write_list(shard, &journal->due);
    is_whole &= write_list(shard, &journal->lazy);
    if (!is_whole) {
        /* Some of it may wait for what is not in this batch: all of it waits for the next. */
        journal->waiting = journal->batch_parts;
        journal->batch_parts = NULL;
    }
    if (journal->batch.count == 0) {
        noc_journal_committed(shard, &journal->batch, NOC_OK);
        return;
    }
    journal->is_out = true;
    shard->ops->store(shard, &journal->batch);
}

uint64_t noc_journal_flush(struct noc_shard *shard)
{
    struct noc_journal *journal = shard->journal;

    if (journal == NULL) {
        return 0;
    }
    if (journal->is_out) {
        journal->is_all_next = true;
        return journal->made + 1;
    }
    noc_journal_run(shard, true);
    return journal->made;
}

uint64_t noc_journal_committed_count(const struct noc_shard *shard)
{
    return shard->journal == NULL ? 0 : shard->journal->committed;
}

void noc_journal_await(struct noc_shard *shard, struct noc_part *part)
{
    if (part->is_in_journal) {
        return;
    }
    part->is_in_journal = true;
    part->next = shard->journal->waiting;
    shard->journal->waiting = part;
    noc_part_hold(part);
}

uint64_t noc_journal_wait_ms(const struct noc_shard *shard)
{
    const struct noc_journal *journal = shard->journal;

    if (journal == NULL || journal->is_out) {
        return UINT64_MAX;
    }
    if (journal->is_all_next || is_something_due(shard, false)) {
        return 0;
    }
    if (!noc_list_is_empty(&journal->gathering)) {
        return NOC_GATHER_MS;
    }
    return journal->ready.count > 0 || !noc_list_is_empty(&journal->lazy) ? NOC_LAZY_MS
                                                                          : UINT64_MAX;
}

bool noc_journal_is_idle(const struct noc_shard *shard)
{
    const struct noc_journal *journal = shard->journal;

    return journal == NULL ||
           (!journal->is_out && journal->ready.count == 0 && noc_list_is_empty(&journal->due) &&
               noc_list_is_empty(&journal->gathering) && noc_list_is_empty(&journal->lazy));
}

/* ---- stored ---- */

/* Messages of a ring that were taken are safe. */
static void pass_taken(struct noc_durable *durable, const struct noc_ring *ring)
{
    for (uint32_t i = noc_ring_find(ring, durable->batch_from); i < ring->count; i++) {
        struct noc_outgoing *entry = noc_ring_at(ring, i);

        if (entry->sequence >= durable->batch_to) {
            return;
        }
        if (entry->kept == NOC_KEPT_TAKEN) {
            noc_journal_let_go(durable->session, entry);
            entry->kept = NOC_KEPT_SAFE;
        }
    }
}

/* PUBRECs are stored: their PUBRELs go out. */
static void pass_recorded(struct noc_durable *durable)
{
    struct noc_session *session = durable->session;

    for (uint32_t i = 0; durable->recording > 0 && i < session->window.count; i++) {
        struct noc_outgoing *entry = noc_ring_at(&session->window, i);

        if (entry->state == NOC_OUT_RECORDING) {
            entry->state = NOC_OUT_WAIT_PUBCOMP;
            durable->recording--;
            if (session->link != NULL) {
                noc_flow_release(session->link, entry);
            }
        }
    }
}

static void pass_session(struct noc_durable *durable)
{
    struct rings rings = rings_of(durable->session);

    pass_recorded(durable);
    for (unsigned i = 0; i < NOC_COUNT(rings.at) && rings.at[i] != NULL; i++) {
        pass_taken(durable, rings.at[i]);
    }
    noc_queue_page_out(durable->session);
    durable->is_known |= durable->is_record_out;
    durable->is_record_out = false;
    noc_session_go_on(durable->session);
}

void noc_journal_committed(struct noc_shard *shard, struct noc_operations *batch, int err)
{
    struct noc_journal *journal = shard->journal;
    struct noc_list *at;

    noc_operations_done(batch);
    if (err != NOC_OK) {
        return; /* the broker ends; nothing is answered any more */
    }
    journal->is_out = false;
    journal->committed++;
    release_parts(shard, &journal->batch_parts);
    while ((at = noc_list_take(&journal->batch_sessions)) != NULL) {
        pass_session(NOC_CONTAINER(at, struct noc_durable, in_batch));
    }
}
