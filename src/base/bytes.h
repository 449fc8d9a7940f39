/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_BASE_BYTES_H
#define NOC_BASE_BYTES_H
/* Big-endian integers in memory, as all our wire formats have them. No alignment needed. */

#include <stdint.h>

#include "base/macros.h"

/*
 * Where code is to be small gcc must not see what this is: it would take it for a swap of bytes,
 * and spell that out in three times the code on machines that have no such instruction.
 */
#if NOC_IS_SMALL && defined(__GNUC__)
#define NOC_HIDE(value) __asm__("" : "+r"(value))
#else
#define NOC_HIDE(value) ((void)0)
#endif

static inline uint16_t noc_get_u16(const uint8_t *at)
{
    unsigned high = at[0];

    NOC_HIDE(high);
    return (uint16_t)(high << 8 | at[1]);
}

static inline uint32_t noc_get_u32(const uint8_t *at)
{
    return (uint32_t)noc_get_u16(at) << 16 | noc_get_u16(at + 2);
}

static inline uint64_t noc_get_u64(const uint8_t *at)
{
    return (uint64_t)noc_get_u32(at) << 32 | noc_get_u32(at + 4);
}

static inline uint8_t *noc_put_u16(uint8_t *at, uint16_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
    return at + 2;
}

static inline uint8_t *noc_put_u32(uint8_t *at, uint32_t value)
{
    return noc_put_u16(noc_put_u16(at, (uint16_t)(value >> 16)), (uint16_t)value);
}

static inline uint8_t *noc_put_u64(uint8_t *at, uint64_t value)
{
    return noc_put_u32(noc_put_u32(at, (uint32_t)(value >> 32)), (uint32_t)value);
}

#endif
