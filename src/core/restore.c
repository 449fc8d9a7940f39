/* SPDX-License-Identifier: Apache-2.0 */
#include "core/restore.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "core/journal.h"
#include "core/mail.h"
#include "core/queue.h"
#include <noctule/error.h>

/* What may be in flight at once when nothing bounds it: all packet ids but some. */
#define WINDOW_MAX NOC_WINDOW_SPAN

void noc_restore_begin(struct noc_core *core)
{
    for (unsigned i = 0; i < core->shard_count; i++) {
        noc_reclaim_online(core->reclaim, i);
    }
}

void noc_restore_end(struct noc_core *core, uint64_t highest_slot, uint64_t highest_version)
{
    noc_journal_slots_behind(core, highest_slot);
    noc_retained_raise_version(core->retained, highest_version);
    for (unsigned i = 0; i < core->shard_count; i++) {
        noc_reclaim_offline(core->reclaim, i);
    }
}

static struct noc_shard *shard_for(struct noc_core *core, struct noc_home *home)
{
    return core->shards[home->worker];
}

static int restore_texts(struct noc_session *session, const struct noc_session_record *record)
{
    if (record->username.at != NULL) {
        session->username = malloc(record->username.n + 1);
        if (session->username == NULL) {
            return NOC_ENOMEM;
        }
        memcpy(session->username, record->username.at, record->username.n);
        session->username[record->username.n] = '\0';
        session->username_n = record->username.n;
    }
    return NOC_OK;
}

/*
 * The home of a session: that of its slot (journal.c), or one as good as any. Of two sessions of one client that
 * are stored the newer one is what the client was told of: the older one's end did not come to the store. NULL:
 * out of memory.
 */
static struct noc_home *enter(struct noc_core *core, const struct noc_session_record *record)
{
    struct noc_slice id = record->client_id;
    uint64_t which = record->slot != 0 ? record->slot : noc_hash(core->seed, id.at, id.n);
    unsigned worker = (unsigned)(which % core->shard_count);
    struct noc_home *home = noc_directory_enter_mt(core->directory, id, worker);
    struct noc_session *older = home == NULL ? NULL : noc_session_find(shard_for(core, home), home);

    if (older == NULL || record->slot == 0) {
        return home;
    }
    noc_session_end(older);
    (void)noc_directory_arrived_mt(core->directory, home, false);
    return noc_directory_enter_mt(core->directory, id, worker);
}

int noc_restore_session(struct noc_core *core, const struct noc_session_record *record,
    const struct noc_listener *listener, struct noc_session **ret_session)
{
    struct noc_home *home = enter(core, record);
    struct noc_session *session;

    *ret_session = NULL;
    if (home == NULL) {
        return NOC_ENOMEM;
    }
    if (noc_session_find(shard_for(core, home), home) != NULL) {
        (void)noc_directory_arrived_mt(core->directory, home, true);
        return NOC_OK;
    }
    session = noc_session_new(shard_for(core, home), home);
    (void)noc_directory_arrived_mt(core->directory, home, session != NULL);
    if (session == NULL) {
        return NOC_ENOMEM;
    }
    session->listener = listener;
    session->expiry_s = record->expiry_s;
    session->version = record->version;
    /* What comes is not taken for sent after the next start. */
    session->next_sequence = record->sent;
    session->has_will = record->will != NULL;
    session->will = (struct noc_will_message){.message = noc_message_ref(record->will),
        .delay_s = record->will_delay_s,
        .expiry_s = record->will_expiry_s,
        .has_expiry = record->will_has_expiry};
    if (restore_texts(session, record) != NOC_OK ||
        (record->slot != 0 ? noc_journal_reopen(session, record->slot)
                           : noc_journal_open(session)) != NOC_OK) {
        noc_session_free(session);
        (void)noc_directory_leave_mt(core->directory, home);
        return NOC_ENOMEM;
    }
    if (record->slot == 0) {
        noc_journal_session(session, true);
    }
    *ret_session = session;
    return NOC_OK;
}

int noc_restore_subscription(
    struct noc_session *session, const struct noc_subscription_record *record)
{
    struct noc_sub *entered;
    int err = noc_session_subscribe(
        session, record->filter, record->group, record->options, record->id, &entered);

    return err != NOC_OK || record->slot != 0 ? err
                                              : noc_journal_subscribe(session, record->filter,
                                                    record->group, record->options, record->id);
}

int noc_restore_incoming(struct noc_session *session, const struct noc_incoming_record *record)
{
    int err = noc_map64_set(&session->incoming, record->packet_id, record->message);

    if (err == NOC_OK && record->slot == 0) {
        err = noc_journal_incoming(session, record->packet_id, record->message);
        if (err != NOC_OK) {
            (void)noc_map64_take(&session->incoming, record->packet_id);
        }
    }
    if (err == NOC_OK) {
        (void)noc_message_ref(record->message);
        session->incoming_bytes += record->message->payload_n;
    }
    return err;
}

static int restore_ids(struct noc_sub_ids *ids, const struct noc_outgoing_record *record)
{
    if (record->id_count == 1) {
        ids->as.one = record->ids[0];
    } else if (record->id_count > 1) {
        ids->as.many = malloc(record->id_count * sizeof *record->ids);
        if (ids->as.many == NULL) {
            return NOC_ENOMEM;
        }
        memcpy(ids->as.many, record->ids, record->id_count * sizeof *record->ids);
    }
    ids->count = record->id_count;
    return NOC_OK;
}

/* Had it been sent, as far as can be told? Nothing behind what had not can have been. */
static bool was_sent(const struct noc_session *session, const struct noc_session_record *of,
    const struct noc_outgoing_record *record)
{
    uint32_t most = session->shard->core->limits.max_inflight_messages;

    if (!noc_queue_is_empty(session)) {
        return false;
    }
    if (most == 0 || most > WINDOW_MAX) {
        most = WINDOW_MAX;
    }
    if (session->window.count > 0 &&
        record->sequence - noc_ring_at(&session->window, 0)->sequence >= NOC_WINDOW_SPAN) {
        return false;
    }
    return record->message == NULL ||
           (of->is_connected ? session->window.count < most : record->sequence < of->sent);
}

/* An entry that is not in the store yet. */
static void journal_entry(struct noc_session *session, struct noc_outgoing *entry)
{
    if (entry->message == NULL) {
        noc_journal_received(session, entry);
    } else {
        entry->kept = NOC_KEPT_NOT;
        noc_journal_put(session, entry, &(struct noc_publication){0});
    }
}

/* In memory, in window or queue. NOC_ENOMEM. */
static int enter_outgoing(struct noc_session *session, const struct noc_outgoing_record *record,
    bool is_in_flight, uint32_t payload_n)
{
    struct noc_ring *ring = is_in_flight ? &session->window : &session->queue;
    struct noc_outgoing *entry = noc_ring_push(ring);

    if (entry == NULL || restore_ids(&entry->ids, record) != NOC_OK) {
        ring->count -= entry != NULL;
        return NOC_ENOMEM;
    }
    entry->message = noc_message_ref(record->message);
    entry->sequence = record->sequence;
    entry->payload_n = payload_n;
    entry->qos = record->qos;
    entry->retain = record->retain;
    entry->kept = NOC_KEPT_SAFE;
    entry->state = record->message == NULL ? NOC_OUT_WAIT_PUBCOMP
                   : record->qos == 1      ? NOC_OUT_WAIT_PUBACK
                                           : NOC_OUT_WAIT_PUBREC;
    if (is_in_flight) {
        session->open_count++;
        session->window_bytes += payload_n;
    } else {
        session->queued_qos0 += record->qos == 0;
    }
    if (record->slot == 0) {
        journal_entry(session, entry);
    }
    return NOC_OK;
}

int noc_restore_outgoing(struct noc_session *session, const struct noc_session_record *of,
    const struct noc_outgoing_record *record)
{
    struct noc_shard *shard = session->shard;
    bool is_in_flight = was_sent(session, of, record), stays = false;
    uint32_t n = record->message == NULL ? 0 : record->message->payload_n;
    int err = NOC_OK;

    if (record->message == NULL && !is_in_flight) {
        return NOC_OK; /* nothing that could be said of it */
    }
    if (!is_in_flight && record->slot != 0) {
        err = noc_queue_restore(session, record->sequence, n, &stays);
    }
    if (err == NOC_OK && !stays) {
        err = enter_outgoing(session, record, is_in_flight, n);
    }
    if (err != NOC_OK) {
        return err;
    }
    session->queue_bytes += is_in_flight ? 0 : n;
    if (session->next_sequence <= record->sequence) {
        session->next_sequence = record->sequence + 1;
    }
    if (record->slot != 0) {
        session->durable->batch_to = session->next_sequence;
    }
    noc_shard_count(shard, NOC_COUNT_MESSAGES_QUEUED, 1);
    noc_shard_count(shard, NOC_COUNT_BYTES_QUEUED, n);
    return NOC_OK;
}

void noc_restore_session_done(struct noc_session *session, const struct noc_session_record *record)
{
    if (session->expiry_s == 0 && !session->has_will) {
        noc_session_end(session);
    } else if (record->is_connected || session->expiry_s == 0) {
        noc_session_lost(session);
    } else {
        noc_session_absent(session, record->expires_ms, record->will_due_ms);
    }
}

int noc_restore_retained(struct noc_core *core, const struct noc_retained_record *record)
{
    uint64_t version;

    if (noc_journal_reserve(core->shards[0]) != NOC_OK ||
        noc_retained_set(core->retained, 0, record->message, &version) != NOC_OK) {
        return NOC_ENOMEM;
    }
    if (record->version == 0) {
        noc_journal_retained(core->shards[0], record->message, version, true);
    }
    return NOC_OK;
}
