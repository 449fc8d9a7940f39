/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_BASE_BYTES_H
#define NOC_BASE_BYTES_H
/* Big-endian integers in memory, as all our wire formats have them. No alignment needed. */

#include <stdint.h>

static inline uint16_t noc_get_u16(const uint8_t *at)
{
    return (uint16_t)((unsigned)at[0] << 8 | at[1]);
}

static inline uint32_t noc_get_u32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
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
