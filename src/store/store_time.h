/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_STORE_STORE_TIME_H
#define NOC_STORE_STORE_TIME_H
/*
 * The store's own scale of time, on which deadlines stand on disk. While a process runs it advances with
 * the monotonic clock; from one process to the next by the wall clock, if that can be trusted.
 * Pure.
 */

#include <stdbool.h>
#include <stdint.h>

/* A wall clock that is further ahead of the last one stored is wrong. */
#define NOC_STORE_TRUSTED_MS (INT64_C(10) * 366 * 86400 * 1000)

struct noc_store_time {
    int64_t offset; /* scale minus monotonic clock */
};

/* The first start of a new store. */
static inline struct noc_store_time noc_store_time_new(uint64_t clock_ms, int64_t wall_ms)
{
    return (struct noc_store_time){.offset = (wall_ms < 0 ? 0 : wall_ms) - (int64_t)clock_ms};
}

/* Go on from what was stored last: where the scale was, and what the wall clock said then. */
static inline struct noc_store_time noc_store_time_resume(
    int64_t stored_ms, int64_t stored_wall_ms, uint64_t clock_ms, int64_t wall_ms)
{
    int64_t passed = 0;

    if (wall_ms > stored_wall_ms && wall_ms - stored_wall_ms <= NOC_STORE_TRUSTED_MS) {
        passed = wall_ms - stored_wall_ms;
    }
    return (struct noc_store_time){.offset = stored_ms + passed - (int64_t)clock_ms};
}

/* A monotonic time on the scale; never negative. Not for NOC_NEVER_MS. */
static inline uint64_t noc_store_time_out(struct noc_store_time time, uint64_t clock_ms)
{
    int64_t ms;

    if (clock_ms > INT64_MAX || __builtin_add_overflow((int64_t)clock_ms, time.offset, &ms)) {
        return INT64_MAX;
    }
    return ms < 0 ? 0 : (uint64_t)ms;
}

/* And back; what was before this process's clock began is 0. */
static inline uint64_t noc_store_time_in(struct noc_store_time time, uint64_t stored_ms)
{
    int64_t ms;

    if (stored_ms > INT64_MAX || __builtin_sub_overflow((int64_t)stored_ms, time.offset, &ms)) {
        return INT64_MAX;
    }
    return ms < 0 ? 0 : (uint64_t)ms;
}

#endif
