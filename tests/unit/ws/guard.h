/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_TESTS_WS_GUARD_H
#define NOC_TESTS_WS_GUARD_H
/*
 * Memory that ends at a page nobody may touch: one byte read or written past
 * the end of a copy placed there stops the test. Also what every test needs.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include <noctule/slice.h>

struct guard {
    uint8_t *pages;
    size_t room; /* usable bytes in front of the guard page */
};

static inline void guard_init(struct guard *guard, size_t room)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    guard->room = (room + page - 1) / page * page;
    guard->pages =
        mmap(NULL, guard->room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(guard->pages != MAP_FAILED);
    assert_int_equal(mprotect(guard->pages + guard->room, page, PROT_NONE), 0);
}

static inline void guard_done(struct guard *guard)
{
    munmap(guard->pages, guard->room + (size_t)sysconf(_SC_PAGESIZE));
}

/* A copy of bytes[0..n) whose last byte is the last one that may be touched. */
static inline uint8_t *guard_put(struct guard *guard, const void *bytes, size_t n)
{
    assert_true(n <= guard->room);
    if (n > 0) {
        memcpy(guard->pages + guard->room - n, bytes, n);
    }
    return guard->pages + guard->room - n;
}

#define assert_slice(slice, text)                                  \
    do {                                                           \
        struct noc_slice assert_slice_ = (slice);                  \
        assert_non_null(assert_slice_.at);                         \
        assert_int_equal(assert_slice_.n, strlen(text));           \
        assert_memory_equal(assert_slice_.at, text, strlen(text)); \
    } while (0)

#endif
