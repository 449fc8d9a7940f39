/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CORE_RETAINED_H
#define NOC_CORE_RETAINED_H
/*
 * The retained messages of all topics: set by any worker, read by all without
 * a lock (RCU, see reclaim.h).
 *
 *   hash table    topic text -> slot                   exact look-up, O(1)
 *   skip list     slots in byte order of their topic   ordered walk, seek in O(log n)
 *
 * A replay for a filter with wildcards is a cursor on the ordered walk: it
 * skips over what cannot match by seeking, and resumes by topic text, never by
 * pointer, so it can stop at any time and go on turns later.
 *
 * A slot has a version that rises with each exchange, also over removal and
 * return of the topic: whoever stores messages keeps the highest.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/macros.h"
#include "core/message.h"
#include "core/reclaim.h"
#include <noctule/slice.h>

struct noc_retained;

/* seed keys the hash. NULL: out of memory. */
struct noc_retained *noc_retained_new(uint64_t seed, struct noc_reclaim *reclaim);

/*
 * When all workers have ended. What it has deferred stays with the reclaim,
 * which may be freed before or after. NULL is fine.
 */
void noc_retained_free(struct noc_retained *retained);

/*
 * Make message the retained one of its topic; with an empty payload, remove
 * what is there [MQTT-3.3.1-10]. The message is not taken: a reference is added
 * when it is kept, and it gets its version, so nobody else may hold it yet. The old one is given back after a grace period.
 * *ret_version (may be NULL) gets the slot's version, also when there was
 * nothing to remove. A removal never fails; NOC_ENOMEM: nothing changed. By a
 * worker, online.
 */
NOC_MUST_CHECK int noc_retained_set(struct noc_retained *retained, unsigned worker,
    struct noc_message *message, uint64_t *ret_version);

/*
 * The highest version given so far. What is set with a higher one is routed
 * after this call: a subscription entered before it gets that live.
 */
uint64_t noc_retained_version(const struct noc_retained *retained);

/* Versions go on behind this one, if they are not past it already. Before workers run. */
void noc_retained_raise_version(struct noc_retained *retained, uint64_t version);

/*
 * Remove the topic's message if it is still the given one (an expired one that
 * somebody came across). Returns the slot's version, which is above
 * that of all that was there; 0: nothing happened.
 */
uint64_t noc_retained_remove_if(
    struct noc_retained *retained, unsigned worker, const struct noc_message *message);

/* The topic's message with a reference added, or NULL. By a worker, online. */
struct noc_message *noc_retained_get(struct noc_retained *retained, struct noc_slice topic);

/* A walk over the messages whose topic a filter matches; caller's storage. */
struct noc_retained_cursor {
    struct noc_slice
        filter;     /* borrowed from the caller for the cursor's life; absent: all topics */
    char *position; /* topic text to go on from, owned; NULL before the first step */
    uint32_t position_n;
    uint32_t position_room;
    uint32_t visited; /* slots looked at since the first step; may wrap around */
    bool is_behind;   /* go on behind position; else position itself is still to come */
    bool is_done;
};

void noc_retained_cursor_init(struct noc_retained_cursor *cursor, struct noc_slice filter);
void noc_retained_cursor_done(struct noc_retained_cursor *cursor);

/*
 * The next messages, in byte order of topic, each with a reference added: at
 * most "most" of them, and at most visits_max slots looked at (so a call may
 * return 0 and yet not be done: ask again in a later turn; cursor->is_done
 * tells). Returns their number, or NOC_ENOMEM: call again, nothing is skipped.
 * A filter without wildcard costs one look-up. A topic that is there all the
 * time is handed out once; one that comes or goes meanwhile at most once. By a
 * worker, online.
 */
NOC_MUST_CHECK int noc_retained_next(struct noc_retained *retained,
    struct noc_retained_cursor *cursor, unsigned visits_max, struct noc_message **ret_messages,
    unsigned most);

struct noc_retained_counts {
    uint64_t messages;
    uint64_t bytes; /* of payload */
};
void noc_retained_counts_mt(
    const struct noc_retained *retained, struct noc_retained_counts *ret_counts);

#endif
