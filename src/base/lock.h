/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_BASE_LOCK_H
#define NOC_BASE_LOCK_H
/*
 * A lock for sections of a few hundred nanoseconds: spins briefly, then yields
 * the processor. In C11 atomics, so that plain ISO C files can use it and the
 * thread sanitizer understands it. Never hold it over a system call.
 */

#include <stdatomic.h>
#include <threads.h>

struct noc_lock {
    atomic_flag taken;
};

#define NOC_LOCK_INIT    \
    {                    \
        ATOMIC_FLAG_INIT \
    }

static inline void noc_lock_init(struct noc_lock *lock)
{
    atomic_flag_clear_explicit(&lock->taken, memory_order_relaxed);
}

static inline void noc_lock_take(struct noc_lock *lock)
{
    for (unsigned tries = 0; atomic_flag_test_and_set_explicit(&lock->taken, memory_order_acquire);
         tries++) {
        if (tries >= 64) {
            thrd_yield();
        }
    }
}

static inline void noc_lock_release(struct noc_lock *lock)
{
    atomic_flag_clear_explicit(&lock->taken, memory_order_release);
}

#endif
