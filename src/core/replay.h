/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CORE_REPLAY_H
#define NOC_CORE_REPLAY_H
/*
 * Replays of retained messages to new subscriptions: a cursor per filter that
 * moves on as the client's output drains, so that "#" over a million topics
 * costs bounded memory and never holds the loop up.
 *
 * A link with replays stands in the shard's list of them while it can get on;
 * one whose output or window is full is taken off, and put back by
 * noc_replay_wake() when there is room again.
 *
 * The replays are the session's: what a client was owed with QoS 1 or 2 when
 * its connection ended it is still owed when it comes back (4.1).
 */

#include "core/link.h"

/*
 * Begin one for a subscription just made; the filter holds the mount point. While one that the
 * filter got by this connection is not through, the new one comes behind it; one left over from
 * an earlier connection is replaced. What was retained with a version up to the given one is
 * replayed; the rest comes live. The session is connected. NOC_ENOMEM.
 */
NOC_MUST_CHECK int noc_replay_start(struct noc_session *session, struct noc_slice filter,
    uint8_t qos, uint32_t id, uint64_t version);

/* The subscription has gone: what is left of its replay is not sent any more. */
void noc_replay_cancel(struct noc_session *session, struct noc_slice filter);

/*
 * The connection has gone, and with it what would have come with QoS 0. Of several replays of one
 * filter one goes on, from its beginning or where it stood: the newest with QoS.
 */
void noc_replay_detached(struct noc_session *session);

/* The link is new, or has room again. */
void noc_replay_wake(struct noc_link *link);

/* A portion for each link that can get on. */
void noc_replay_run(struct noc_shard *shard);

/* Drop the session's replays. */
void noc_replay_done(struct noc_session *session);

#endif
