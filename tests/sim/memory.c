/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
/*
 * Allocations that fail: the program is linked with --wrap for them. Only those
 * of a worker's turn do, on the thread that asked for it.
 */
#include <stdlib.h>

#include "sim.h"

void *__real_malloc(size_t n);
void *__real_calloc(size_t count, size_t n);
void *__real_realloc(void *memory, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t count, size_t n);
void *__wrap_realloc(void *memory, size_t n);

static _Thread_local unsigned fails_per_million;
static _Thread_local struct sim_random chance;

void sim_memory_fails(unsigned per_million, uint64_t seed)
{
    fails_per_million = per_million;
    chance.state = seed;
}

static bool has_failed(void)
{
    return fails_per_million > 0 && sim_below(&chance, 1000000) < fails_per_million;
}

void *__wrap_malloc(size_t n)
{
    return has_failed() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t count, size_t n)
{
    return has_failed() ? NULL : __real_calloc(count, n);
}

void *__wrap_realloc(void *memory, size_t n)
{
    return has_failed() ? NULL : __real_realloc(memory, n);
}

void *sim_alloc(size_t n)
{
    return sim_realloc(NULL, n);
}

void *sim_realloc(void *memory, size_t n)
{
    memory = __real_realloc(memory, n == 0 ? 1 : n);
    if (memory == NULL) {
        abort();
    }
    return memory;
}
