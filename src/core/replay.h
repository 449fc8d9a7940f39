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
 */

#include "core/link.h"

/* Begin one for a subscription just made. filter holds the mount point. NOC_ENOMEM. */
NOC_MUST_CHECK int noc_replay_start(
    struct noc_link *link, struct noc_slice filter, uint8_t options, uint32_t id);

/* The link has room again. */
void noc_replay_wake(struct noc_link *link);

/* A portion for each link that can get on. */
void noc_replay_run(struct noc_shard *shard);

/* Drop the link's replays. */
void noc_replay_done(struct noc_link *link);

#endif
