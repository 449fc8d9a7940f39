/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "net/clock.h"

#include <time.h>

/*
 * The precise clocks, not the coarse ones: a coarse clock lags by up to a
 * scheduler tick (4 ms and more), which timers and measurements would show.
 */
uint64_t noc_clock_ns(void)
{
    struct timespec now = {0};

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

uint64_t noc_clock_ms(void)
{
    return noc_clock_ns() / 1000000U;
}

int64_t noc_clock_wall_ms(void)
{
    struct timespec now = {0};

    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
