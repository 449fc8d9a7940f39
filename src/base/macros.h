/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_BASE_MACROS_H
#define NOC_BASE_MACROS_H

#include <stddef.h>

#include <noctule/config.h>

#if defined(__GNUC__)
#define NOC_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#define NOC_LIKELY(x)          __builtin_expect(!!(x), 1)
#define NOC_UNLIKELY(x)        __builtin_expect(!!(x), 0)
#define NOC_PREFETCH(address)  __builtin_prefetch(address)
#define NOC_APART              __attribute__((noinline)) /* its frame is not to be its caller's */
#else
#define NOC_PRINTF(fmt, first)
#define NOC_LIKELY(x)         (x)
#define NOC_UNLIKELY(x)       (x)
#define NOC_PREFETCH(address) ((void)(address))
#define NOC_APART
#endif

/* Is this compiled for size (-Os)? Then a plain loop is better than a fast one. */
#if defined(__OPTIMIZE_SIZE__)
#define NOC_IS_SMALL 1
#else
#define NOC_IS_SMALL 0
#endif

#define NOC_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The struct that holds a member, from the member's address. */
#define NOC_CONTAINER(pointer, type, member) \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

/* Bytes that threads on different cores write apart, so as not to share a cache line. */
#define NOC_CACHE_LINE 64

#endif
