/* SPDX-License-Identifier: Apache-2.0 */
#include "core/sweep.h"

#include "core/core.h"
#include "core/journal.h"
#include "core/session.h"
#include "core/shard.h"
#include <noctule/error.h>

/* Little enough for a turn; of a million messages there are 4000 portions, some eight seconds. */
enum { PORTION = 256, PAUSE_MS = 2 };

static void set_timer(struct noc_shard *shard, uint64_t in_ms)
{
    noc_timer_set(&shard->timers, &shard->sweep.timer, shard->now_ms + in_ms);
}

/* The next sweep begins a while from now. */
static void wait_for_next(struct noc_shard *shard)
{
    noc_retained_cursor_done(&shard->sweep.cursor);
    noc_retained_cursor_init(&shard->sweep.cursor, noc_slice(NULL, 0));
    set_timer(shard, (uint64_t)shard->core->limits.retained_sweep_s * 1000);
}

void noc_sweep_init(struct noc_shard *shard)
{
    noc_timer_init(&shard->sweep.timer, NOC_TIMER_SWEEP);
    noc_retained_cursor_init(&shard->sweep.cursor, noc_slice(NULL, 0));
    if (shard->number == 0 && shard->core->limits.retained_sweep_s > 0) {
        wait_for_next(shard);
    }
}

void noc_sweep_done(struct noc_shard *shard)
{
    noc_retained_cursor_done(&shard->sweep.cursor);
}

void noc_sweep_tick(struct noc_shard *shard)
{
    struct noc_sweep *sweep = &shard->sweep;
    struct noc_message *some[PORTION];
    int count = noc_retained_next(shard->core->retained, &sweep->cursor, PORTION, some, PORTION);

    for (int i = 0; i < count; i++) {
        if (some[i]->expires_ms <= shard->now_ms) {
            noc_sweep_expired(shard, some[i]);
        }
        noc_message_unref(some[i]);
    }
    if (sweep->cursor.is_done) {
        wait_for_next(shard);
    } else {
        set_timer(shard, PAUSE_MS);
    }
}

void noc_sweep_expired(struct noc_shard *shard, const struct noc_message *message)
{
    struct noc_message_parts parts = {.topic = noc_message_topic(message), .retain = true};
    uint64_t version = noc_retained_remove_if(shard->core->retained, shard->number, message);
    struct noc_message *removal;

    if (version == 0 || shard->journal == NULL || noc_journal_reserve(shard) != NOC_OK) {
        return; /* without memory it goes from the store at its next start */
    }
    removal = noc_message_new(&parts);
    if (removal != NULL) {
        noc_journal_retained(shard, removal, version, false);
        noc_message_unref(removal);
    }
}
