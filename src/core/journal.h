/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CORE_JOURNAL_H
#define NOC_CORE_JOURNAL_H
/*
 * The journal of a shard: what it has for the store. One batch at a time is there; meanwhile
 * more gathers, and what is over before it was taken is never written:
 *
 *   ready      operations as they happened (subscriptions, incoming and retained messages,
 *              ends of sessions)
 *   due        sessions of which something is to be written at once: for an absent client, or
 *              of QoS 2, or by a client that has not answered in time
 *   gathering  sessions whose outgoing messages are with a client that answers, it is hoped,
 *              within NOC_GATHER_MS
 *   lazy       sessions of which nothing is to be written but what was stored and is over
 *
 * What is written of a session is what stands in its rings when the batch is made; in order of
 * sequence number, so that nothing is stored without what was for the same client before it.
 *
 * Without a journal (persistence false) shard->journal is NULL, and each call here ends at once.
 */

#include "core/record.h"
#include "core/session.h"

struct noc_journal;
struct noc_publication;

/* How long the client has before its messages are written, and ends before they are. */
enum { NOC_GATHER_MS = 5, NOC_LAZY_MS = 1000 };

/* A run of sequence numbers. */
struct noc_run {
    uint64_t first, last;
};

/* What the journal knows of a session that it keeps. */
struct noc_durable {
    struct noc_session *session;
    struct noc_list in_journal; /* due, gathering or lazy */
    struct noc_list in_batch;   /* while the store has something of it */
    uint64_t slot;
    uint64_t since_ms;   /* gathering, lazy: from when on */
    uint64_t mark;       /* gathering: what was numbered below this is to be over by then */
    uint64_t batch_from; /* of the batch at the store: sequence numbers from here, */
    uint64_t batch_to;   /* to before this */
    uint32_t pending;    /* outgoing messages that are NOC_KEPT_PENDING */
    uint32_t unrecorded; /* PUBRECs: NOC_OUT_WAIT_RECORD, */
    uint32_t recording;  /* and NOC_OUT_RECORDING */
    uint32_t releasing;  /* messages under releases of its own: release.h */
    uint32_t held_wills; /* under releases: see noc_journal_will_is_held() */
    struct noc_part *after_releases; /* what waits until there are none */
    uint32_t run_count, run_room;
    struct noc_run *runs; /* stored messages that are over */
    uint8_t place;        /* enum in journal.c */
    bool is_record_due;   /* the session's own record */
    bool is_written;      /* something of it was given to the store */
    bool are_puts_due;    /* due: with its pending messages */
    bool is_record_out;   /* its record is in the batch at the store */
    bool is_known;        /* its record is stored */
    bool is_slot_lost;    /* it is not given out again by this process */
};

/* A journal for the shard: batches go out by ops->store. NOC_ENOMEM. */
NOC_MUST_CHECK int noc_journal_new(struct noc_shard *shard);
void noc_journal_free(struct noc_shard *shard);

/* Does the shard keep this session's messages? */
static inline bool noc_journal_keeps(const struct noc_session *session)
{
    return session->durable != NULL && session->expiry_s > 0;
}

/* Could a crash take the session back? Then a CONNACK has to wait. */
static inline bool noc_journal_is_unknown(const struct noc_session *session)
{
    return session->durable != NULL && !session->durable->is_known;
}

/* Begin to keep a session; nothing is written yet. NOC_ENOMEM. */
NOC_MUST_CHECK int noc_journal_open(struct noc_session *session);

/* The slots that the shards give out are behind this one. */
void noc_journal_slots_behind(struct noc_core *core, uint64_t highest_slot);

/* As it stands in the store already: under this slot, with no record due. NOC_ENOMEM. */
NOC_MUST_CHECK int noc_journal_reopen(struct noc_session *session, uint64_t slot);

/* What its record says has changed: it is written with the next batch, at once or within a second. */
void noc_journal_session(struct noc_session *session, bool is_urgent);

/* Its connection has gone: its record and what was with the client are due. */
void noc_journal_detached(struct noc_session *session);

/* The session ends: what is stored of it goes, under the ticket if there is one. */
void noc_journal_close(struct noc_session *session, struct noc_ticket *ticket);

/*
 * Its will has been published under the ticket, and its record says so under it, too; no other record
 * of it is written until the ticket is stored. NOC_ENOMEM: its next record tells; until then a crash may have
 * the will published twice.
 */
NOC_MUST_CHECK int noc_journal_will_is_held(struct noc_session *session, struct noc_ticket *ticket);
void noc_journal_will_is_stored(struct noc_session *session);

/* Forget it without a trace in the store: the shard is done. */
void noc_journal_forget(struct noc_session *session);

/* A subscription was entered or changed; NOC_ENOMEM: nothing is noted. */
NOC_MUST_CHECK int noc_journal_subscribe(struct noc_session *session, struct noc_slice filter,
    struct noc_slice group, uint8_t options, uint32_t id);
NOC_MUST_CHECK int noc_journal_unsubscribe(
    struct noc_session *session, struct noc_slice filter, struct noc_slice group);

/*
 * An outgoing message has come to window or queue, and whoever waits with the publication's part
 * waits until it is safe; it is over; its PUBREC has come, and unless the session is not
 * kept the state becomes NOC_OUT_WAIT_RECORD.
 */
void noc_journal_put(struct noc_session *session, struct noc_outgoing *entry,
    const struct noc_publication *publication);
void noc_journal_finished(struct noc_session *session, struct noc_outgoing *entry);
void noc_journal_received(struct noc_session *session, struct noc_outgoing *entry);

/* Whoever waits for the entry does not any more: it is safe, or it is over, as its session may be. */
void noc_journal_let_go(struct noc_session *session, struct noc_outgoing *entry);

/* It has no message, and its next ones are numbered from its next_sequence on, which is lower than before. */
void noc_journal_renumbered(struct noc_session *session);

/*
 * For release.h: write an entry under a ticket (NOC_ENOMEM: it is not); the end of this shard's part, for
 * which there is room; the ticket is stored.
 */
NOC_MUST_CHECK int noc_journal_put_held(
    struct noc_session *session, struct noc_outgoing *entry, struct noc_ticket *ticket);
void noc_journal_part(struct noc_shard *shard, struct noc_ticket *ticket);
void noc_journal_held_is_safe(struct noc_session *session, uint64_t sequence);

/* A message of QoS 2 waits for its PUBREL, or was released. NOC_ENOMEM: nothing is noted. */
NOC_MUST_CHECK int noc_journal_incoming(
    struct noc_session *session, uint16_t packet_id, struct noc_message *message);
NOC_MUST_CHECK int noc_journal_incoming_end(
    struct noc_session *session, uint16_t packet_id, struct noc_ticket *ticket);

/*
 * A message that the session has sent is under a release; that is stored. The part waits until there is
 * none like that any more.
 */
void noc_journal_release_begins(struct noc_session *session);
void noc_journal_release_is_stored(struct noc_session *session);
bool noc_journal_is_releasing(const struct noc_session *session);
void noc_journal_await_releases(struct noc_session *session, struct noc_part *part);

/*
 * Room for two operations more, so that noc_journal_retained() and the end of a release can't fail. A
 * message became the retained one of its topic, or took it away; $SYS is not kept.
 */
NOC_MUST_CHECK int noc_journal_reserve(struct noc_shard *shard);
void noc_journal_retained(
    struct noc_shard *shard, struct noc_message *message, uint64_t version, bool is_urgent);

/* The part waits for all that has been entered so far and is not with the store yet. */
void noc_journal_await(struct noc_shard *shard, struct noc_part *part);

/* Give what is due to the store, if it is free. Once a turn. is_all: whether it is due or not. */
void noc_journal_run(struct noc_shard *shard, bool is_all);

/*
 * Give all there is to the store, as soon as it is free. Returns what noc_journal_committed_count() will
 * have reached when all that has been entered so far is stored.
 */
uint64_t noc_journal_flush(struct noc_shard *shard);
uint64_t noc_journal_committed_count(const struct noc_shard *shard);

/* In how many milliseconds there will be something to do; UINT64_MAX: no telling. */
uint64_t noc_journal_wait_ms(const struct noc_shard *shard);

/* Is all stored that was entered? */
bool noc_journal_is_idle(const struct noc_shard *shard);

/*
 * The batch is stored, or (err) will never be: then nothing that waits for it is answered. On the
 * shard's own thread. The batch is the journal's again.
 */
void noc_journal_committed(struct noc_shard *shard, struct noc_operations *batch, int err);

#endif
