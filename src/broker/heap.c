/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
/*
 * free() is told an address and nothing else, so the sums stand at file scope, the only ones that
 * do. Each thread adds up by itself and tells the sum of all when it has come to STEP_BYTES: no
 * line of memory is shared until then.
 */
#include "broker/heap.h"

#include <malloc.h>
#include <openssl/crypto.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { STEP_BYTES = 16 * 1024 };

static atomic_int_fast64_t told;
static _Thread_local int64_t untold;

void *__real_malloc(size_t n);
void *__real_calloc(size_t blocks, size_t n);
void *__real_realloc(void *memory, size_t n);
void *__real_aligned_alloc(size_t alignment, size_t n);
void __real_free(void *memory);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t blocks, size_t n);
void *__wrap_realloc(void *memory, size_t n);
void *__wrap_aligned_alloc(size_t alignment, size_t n);
char *__wrap_strdup(const char *text);
void __wrap_free(void *memory);

static void count(int64_t by)
{
    untold += by;
    if (untold >= STEP_BYTES || untold <= -STEP_BYTES) {
        atomic_fetch_add_explicit(&told, untold, memory_order_relaxed);
        untold = 0;
    }
}

/* What the block takes, with the word that the allocator keeps in front of it. */
static int64_t size_of(void *memory)
{
    return memory == NULL ? 0 : (int64_t)(malloc_usable_size(memory) + sizeof(size_t));
}

static void *counted(void *memory)
{
    count(size_of(memory));
    return memory;
}

void *__wrap_malloc(size_t n)
{
    return counted(__real_malloc(n));
}

void *__wrap_calloc(size_t blocks, size_t n)
{
    return counted(__real_calloc(blocks, n));
}

void *__wrap_aligned_alloc(size_t alignment, size_t n)
{
    return counted(__real_aligned_alloc(alignment, n));
}

void *__wrap_realloc(void *memory, size_t n)
{
    int64_t before = size_of(memory);
    void *moved = __real_realloc(memory, n);

    if (moved != NULL || n == 0) {
        count(size_of(moved) - before);
    }
    return moved;
}

char *__wrap_strdup(const char *text)
{
    size_t n = strlen(text) + 1;
    char *copy = __wrap_malloc(n);

    return copy == NULL ? NULL : memcpy(copy, text, n);
}

void __wrap_free(void *memory)
{
    count(-size_of(memory));
    __real_free(memory);
}

/* ---- OpenSSL ---- */

static void *openssl_malloc(size_t n, const char *file, int line)
{
    (void)file;
    (void)line;
    return __wrap_malloc(n);
}

static void *openssl_realloc(void *memory, size_t n, const char *file, int line)
{
    (void)file;
    (void)line;
    return __wrap_realloc(memory, n);
}

static void openssl_free(void *memory, const char *file, int line)
{
    (void)file;
    (void)line;
    __wrap_free(memory);
}

void noc_heap_init(void)
{
    (void)mallopt(M_MXFAST, 0);
    (void)CRYPTO_set_mem_functions(openssl_malloc, openssl_realloc, openssl_free);
}

uint64_t noc_heap_bytes_mt(void)
{
    int64_t bytes = atomic_load_explicit(&told, memory_order_relaxed);

    return bytes < 0 ? 0 : (uint64_t)bytes;
}
