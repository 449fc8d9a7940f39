/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_BASE_TIMER_H
#define NOC_BASE_TIMER_H
/*
 * Timers of one thread on a hierarchical wheel: six levels of 64 slots, one
 * tick a millisecond, so a timer may lie 2^36 ms (about two years) ahead;
 * what lies further is filed at the far end and moved on when it comes near.
 * Arming, moving and stopping are O(1) and allocate nothing. The caller tells
 * the time; a timer never fires before its deadline.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

enum { NOC_TIMER_LEVELS = 6, NOC_TIMER_SLOTS = 64 };

struct noc_timer {
    struct noc_list link; /* in its slot; points to itself when not armed */
    uint64_t at_ms;       /* deadline, on the caller's clock */
    uint8_t level, slot;  /* where link is, while armed */
    uint8_t kind;         /* the caller's, to tell its timers apart */
};

struct noc_timers {
    uint64_t now_ms;                                          /* time of the last advance */
    uint64_t occupied[NOC_TIMER_LEVELS];                      /* a bit per slot that may hold one */
    struct noc_list slots[NOC_TIMER_LEVELS][NOC_TIMER_SLOTS]; /* heads */
    struct noc_list due;                                      /* taken out, waiting for next */
};

void noc_timers_init(struct noc_timers *timers, uint64_t now_ms);

/* A timer that is not armed. */
void noc_timer_init(struct noc_timer *timer, uint8_t kind);

/* Arm, or move if armed. A deadline in the past fires at the next advance. */
void noc_timer_set(struct noc_timers *timers, struct noc_timer *timer, uint64_t at_ms);

/* Stop; nothing happens if it is not armed. */
void noc_timer_stop(struct noc_timers *timers, struct noc_timer *timer);

static inline bool noc_timer_is_set(const struct noc_timer *timer)
{
    return noc_list_is_linked(&timer->link);
}

/* Tell the time: what is due moves to the due list. Time never goes back. */
void noc_timers_advance(struct noc_timers *timers, uint64_t now_ms);

/* The next due timer, stopped, or NULL. It and all others may be set or stopped in between. */
struct noc_timer *noc_timers_next(struct noc_timers *timers);

/*
 * Milliseconds until the next advance is needed: 0 when something is due,
 * most_ms when nothing is armed before that. May be early, never late.
 */
uint64_t noc_timers_wait_ms(const struct noc_timers *timers, uint64_t most_ms);

#endif
