/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A time is a number of six digits to the base 64 (and what lies above them).
 * A timer is filed by the highest digit in which its deadline differs from
 * now: that digit's level, and the deadline's digit as the slot.
 *
 *     level 5 | 4 | 3 | 2 | 1 | 0      now      = 0  0  0  0  3 17
 *     filed in level 1, slot 5         deadline = 0  0  0  0  5  2
 *
 * Hence in every level above 0 each armed timer lies in a slot above now's own
 * digit, all timers of a level come before all of the next one, and nothing
 * wraps around. Level 0 is exact; its slot of now itself holds what was
 * overdue when armed, and is emptied by every advance. A timer of a higher
 * level is filed anew when now reaches its slot, at most five times in all.
 *
 * A deadline that differs above the six digits is filed at the last
 * millisecond that they can tell, and filed anew from there: in slot 0 of
 * level 0, which is otherwise empty then and belongs to the next millisecond.
 */
#include "base/timer.h"

#include "base/macros.h"

enum { DIGIT_BITS = 6, DIGIT_MASK = NOC_TIMER_SLOTS - 1 };

/* The level of a timer that waits in the due list. */
#define LEVEL_DUE    0xff

#define HORIZON_MASK ((UINT64_C(1) << (DIGIT_BITS * NOC_TIMER_LEVELS)) - 1)

static unsigned digit(uint64_t time_ms, unsigned level)
{
    return (unsigned)(time_ms >> (DIGIT_BITS * level)) & DIGIT_MASK;
}

/* Index of the lowest bit set; bits is not 0. */
static unsigned lowest_bit(uint64_t bits)
{
#if defined(__GNUC__)
    return (unsigned)__builtin_ctzll(bits);
#else
    unsigned index = 0;

    for (; (bits & 1) == 0; bits >>= 1) {
        index++;
    }
    return index;
#endif
}

void noc_timers_init(struct noc_timers *timers, uint64_t now_ms)
{
    timers->now_ms = now_ms;
    for (unsigned level = 0; level < NOC_TIMER_LEVELS; level++) {
        timers->occupied[level] = 0;
        for (unsigned slot = 0; slot < NOC_TIMER_SLOTS; slot++) {
            noc_list_init(&timers->slots[level][slot]);
        }
    }
    noc_list_init(&timers->due);
}

void noc_timer_init(struct noc_timer *timer, uint8_t kind)
{
    *timer = (struct noc_timer){.kind = kind};
    noc_list_init(&timer->link);
}

/* File a timer that is in no list by its deadline. */
static void file(struct noc_timers *timers, struct noc_timer *timer)
{
    uint64_t now_ms = timers->now_ms;
    uint64_t at_ms = timer->at_ms > now_ms ? timer->at_ms : now_ms;
    unsigned level = 0;

    if ((at_ms ^ now_ms) > HORIZON_MASK) {
        uint64_t last_ms = now_ms | HORIZON_MASK;

        at_ms = last_ms > now_ms ? last_ms : now_ms - DIGIT_MASK;
    }
    for (uint64_t rest = (at_ms ^ now_ms) >> DIGIT_BITS; rest != 0; rest >>= DIGIT_BITS) {
        level++;
    }
    timer->level = (uint8_t)level;
    timer->slot = (uint8_t)digit(at_ms, level);
    timers->occupied[level] |= UINT64_C(1) << timer->slot;
    noc_list_append(&timers->slots[level][timer->slot], &timer->link);
}

void noc_timer_set(struct noc_timers *timers, struct noc_timer *timer, uint64_t at_ms)
{
    noc_timer_stop(timers, timer);
    timer->at_ms = at_ms;
    file(timers, timer);
}

void noc_timer_stop(struct noc_timers *timers, struct noc_timer *timer)
{
    if (!noc_timer_is_set(timer)) {
        return;
    }
    noc_list_remove(&timer->link);
    if (timer->level != LEVEL_DUE && noc_list_is_empty(&timers->slots[timer->level][timer->slot])) {
        timers->occupied[timer->level] &= ~(UINT64_C(1) << timer->slot);
    }
}

/* Move all timers of the slots in the bit set to the end of a list. */
static void take_slots(
    struct noc_timers *timers, unsigned level, uint64_t slots, struct noc_list *into)
{
    timers->occupied[level] &= ~slots;
    for (; slots != 0; slots &= slots - 1) {
        noc_list_join(into, &timers->slots[level][lowest_bit(slots)]);
    }
}

void noc_timers_advance(struct noc_timers *timers, uint64_t now_ms)
{
    struct noc_list passed, *link;
    uint64_t old_ms = timers->now_ms;

    if (now_ms < old_ms) {
        now_ms = old_ms;
    }
    noc_list_init(&passed);
    for (unsigned level = 0; level < NOC_TIMER_LEVELS; level++) {
        unsigned above = DIGIT_BITS * (level + 1);
        uint64_t reached = ~UINT64_C(0);

        if (old_ms >> above == now_ms >> above) {
            /* Slots 0 to now's digit; the last level that can have changed. */
            reached >>= DIGIT_MASK - digit(now_ms, level);
        }
        take_slots(timers, level, timers->occupied[level] & reached, &passed);
        if (old_ms >> above == now_ms >> above) {
            break;
        }
    }
    timers->now_ms = now_ms;
    while ((link = noc_list_take(&passed)) != NULL) {
        struct noc_timer *timer = NOC_CONTAINER(link, struct noc_timer, link);

        if (timer->at_ms > now_ms) {
            file(timers, timer);
        } else {
            timer->level = LEVEL_DUE;
            noc_list_append(&timers->due, link);
        }
    }
}

struct noc_timer *noc_timers_next(struct noc_timers *timers)
{
    struct noc_list *link = noc_list_take(&timers->due);

    return link == NULL ? NULL : NOC_CONTAINER(link, struct noc_timer, link);
}

uint64_t noc_timers_wait_ms(const struct noc_timers *timers, uint64_t most_ms)
{
    uint64_t now_ms = timers->now_ms;

    if (!noc_list_is_empty(&timers->due)) {
        return 0;
    }
    if ((timers->occupied[0] >> digit(now_ms, 0) & 1) != 0) {
        return 0;
    }
    for (unsigned level = 0; level < NOC_TIMER_LEVELS; level++) {
        uint64_t occupied = timers->occupied[level];

        if (occupied != 0) {
            unsigned shift = DIGIT_BITS * level;
            uint64_t start_ms = now_ms >> (shift + DIGIT_BITS) << (shift + DIGIT_BITS) |
                                (uint64_t)lowest_bit(occupied) << shift;
            uint64_t wait_ms = start_ms > now_ms ? start_ms - now_ms : 1;

            return wait_ms < most_ms ? wait_ms : most_ms;
        }
    }
    return most_ms;
}
