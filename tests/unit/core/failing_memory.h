/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_FAILING_MEMORY_H
#define TESTS_FAILING_MEMORY_H
/*
 * The n-th allocation from now on fails. For programs that are linked with
 * --wrap for malloc, calloc, realloc and aligned_alloc; include once.
 */

#include <stdbool.h>
#include <stddef.h>

void *__real_malloc(size_t n);
void *__real_calloc(size_t count, size_t n);
void *__real_realloc(void *memory, size_t n);
void *__real_aligned_alloc(size_t alignment, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t count, size_t n);
void *__wrap_realloc(void *memory, size_t n);
void *__wrap_aligned_alloc(size_t alignment, size_t n);

static long memory_left = -1; /* allocations until one fails; negative: none does */

static bool memory_has_failed(void)
{
    if (memory_left < 0) {
        return false;
    }
    return memory_left-- == 0;
}

void *__wrap_malloc(size_t n)
{
    return memory_has_failed() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t count, size_t n)
{
    return memory_has_failed() ? NULL : __real_calloc(count, n);
}

void *__wrap_realloc(void *memory, size_t n)
{
    return memory_has_failed() ? NULL : __real_realloc(memory, n);
}

void *__wrap_aligned_alloc(size_t alignment, size_t n)
{
    return memory_has_failed() ? NULL : __real_aligned_alloc(alignment, n);
}

#endif
