/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CORE_RECLAIM_H
#define NOC_CORE_RECLAIM_H
/*
 * Reclamation of memory that lock-free readers may still be looking at:
 * quiescent-state based RCU on C11 atomics (McKenney, "Is Parallel Programming
 * Hard", section 9.5), for a fixed set of readers, the workers.
 *
 *   online ... quiescent ... quiescent ... offline      one reader's life
 *
 * A reader that is online may hold pointers it read from a shared structure
 * until it reports its next quiescent state. What a writer has unlinked is
 * deferred; it is given back when every reader that was online at that moment
 * has since been quiescent or offline.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/macros.h"

struct noc_reclaim;

/* Something unlinked that waits for its grace period; embedded in what is to go. */
struct noc_deferred {
    struct noc_deferred *next;
    void (*give_back)(struct noc_deferred *deferred, unsigned reader); /* called by that reader */
};

/* For reader_count readers (1 to 64), all offline. NULL: out of memory. */
struct noc_reclaim *noc_reclaim_new(unsigned reader_count);

/*
 * Gives everything deferred back, whatever readers do, and drops the maker's
 * reference: call when the readers have ended. The index and the retained
 * messages hold references of their own, so the order in which the three are
 * freed does not matter. NULL is fine.
 */
void noc_reclaim_free(struct noc_reclaim *reclaim);

/* Another owner; the last unref frees the memory, and gives nothing back. */
struct noc_reclaim *noc_reclaim_ref(struct noc_reclaim *reclaim);
void noc_reclaim_unref(struct noc_reclaim *reclaim);

/* Give everything deferred back now, also what that defers: when all readers have ended. */
void noc_reclaim_flush(struct noc_reclaim *reclaim);

/* Each for the reader's own thread only. Online/offline are full barriers. */
void noc_reclaim_online(struct noc_reclaim *reclaim, unsigned reader);
void noc_reclaim_offline(struct noc_reclaim *reclaim, unsigned reader);

/*
 * The reader holds no shared pointer now: whatever of its own deferred things
 * has had its grace period is given back. Cheap when nothing is deferred. May
 * also be called while offline, to give back what waits.
 */
void noc_reclaim_quiescent(struct noc_reclaim *reclaim, unsigned reader);

/* Give deferred back after a grace period. By the reader's thread; allocates nothing. */
void noc_reclaim_defer(struct noc_reclaim *reclaim, unsigned reader, struct noc_deferred *deferred);

/* Has the reader something that waits? (Then it should not sleep for long.) Own thread only. */
bool noc_reclaim_has_deferred(const struct noc_reclaim *reclaim, unsigned reader);

#endif
