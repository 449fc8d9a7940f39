/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CORE_RESTORE_H
#define NOC_CORE_RESTORE_H
/*
 * The start with what a store has kept: sessions as if their connections had just been lost,
 * retained messages. All is called on one thread, before any worker's runs, in this order:
 *
 *   begin
 *   session, then its subscriptions, incoming messages, outgoing messages
 *   (by rising sequence number), and session_done
 *   ...
 *   retained ...
 *   end
 *
 * What comes from elsewhere than the store, with slot and version 0, is entered in the journals.
 */

#include "core/record.h"
#include "core/session.h"

/* The shards are there, with their journals. */
void noc_restore_begin(struct noc_core *core);

/*
 * A session, at home with one shard or another. *ret_session: NULL when there is one of that client id
 * already: what belongs to this one is to be left out then, and its slot given up. NOC_ENOMEM.
 */
NOC_MUST_CHECK int noc_restore_session(struct noc_core *core,
    const struct noc_session_record *record, const struct noc_listener *listener,
    struct noc_session **ret_session);

/* What belongs to it. NOC_ENOMEM. */
NOC_MUST_CHECK int noc_restore_subscription(
    struct noc_session *session, const struct noc_subscription_record *record);
NOC_MUST_CHECK int noc_restore_incoming(
    struct noc_session *session, const struct noc_incoming_record *record);

/*
 * What had been sent, or may have been (was_connected: as much as may be in flight at once), is sent
 * again; the rest is queued.
 */
NOC_MUST_CHECK int noc_restore_outgoing(struct noc_session *session,
    const struct noc_session_record *of, const struct noc_outgoing_record *record);

/* All of it is there: its clocks start. */
void noc_restore_session_done(struct noc_session *session, const struct noc_session_record *record);

/* A retained message. NOC_ENOMEM. */
NOC_MUST_CHECK int noc_restore_retained(
    struct noc_core *core, const struct noc_retained_record *record);

/* Slots and versions go on behind the highest that the store has seen. */
void noc_restore_end(struct noc_core *core, uint64_t highest_slot, uint64_t highest_version);

#endif
