/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CORE_SWEEP_H
#define NOC_CORE_SWEEP_H
/*
 * Retained messages whose time is over: whoever comes across one removes it, and with
 * limits.retained_sweep_s the first shard looks at all of them so often, in portions.
 */

#include "base/timer.h"
#include "core/retained.h"

struct noc_shard;

struct noc_sweep {
    struct noc_timer timer; /* of the next portion, or the next sweep; kind NOC_TIMER_SWEEP */
    struct noc_retained_cursor cursor;
};

/* At the start and the end of a shard. */
void noc_sweep_init(struct noc_shard *shard);
void noc_sweep_done(struct noc_shard *shard);

/* Its timer is due. */
void noc_sweep_tick(struct noc_shard *shard);

/* The retained message has expired: it goes, from the store as well, unless another has its topic. */
void noc_sweep_expired(struct noc_shard *shard, const struct noc_message *message);

#endif
