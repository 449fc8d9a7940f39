/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Multiply-and-fold: two 64-bit words are multiplied to 128 bits and the halves
 * are folded together with xor. Sixteen bytes a step; the tail is read as two
 * overlapping words, so no byte loop is needed. The seed enters both factors:
 * without it nobody can aim for a factor of zero.
 */
#include "base/hash.h"

#include <string.h>

#define K1 UINT64_C(0x9e3779b97f4a7c15)
#define K2 UINT64_C(0xd6e8feb86659fd93)
#define K3 UINT64_C(0xa5a3564e27f8862b)

static uint64_t fold(uint64_t a, uint64_t b)
{
    __extension__ unsigned __int128 product = (unsigned __int128)a * b;

    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t word(const uint8_t *at)
{
    uint64_t value;

    memcpy(&value, at, sizeof value);
    return value;
}

static uint64_t half_word(const uint8_t *at)
{
    uint32_t value;

    memcpy(&value, at, sizeof value);
    return value;
}

uint64_t noc_hash(uint64_t seed, const void *bytes, size_t n)
{
    const uint8_t *at = bytes;
    uint64_t hash = fold(seed ^ K1, K2 ^ n);
    uint64_t a = 0, b = 0;
    size_t left = n;

    for (; left > 16; at += 16, left -= 16) {
        hash = fold(word(at) ^ seed ^ K2, word(at + 8) ^ hash);
    }
    if (left >= 8) {
        a = word(at);
        b = word(at + left - 8);
    } else if (left >= 4) {
        a = half_word(at);
        b = half_word(at + left - 4);
    } else if (left > 0) {
        a = (uint64_t)at[0] << 16 | (uint64_t)at[left / 2] << 8 | at[left - 1];
    }
    return fold(K3 ^ n, fold(a ^ seed ^ K3, b ^ hash));
}

uint64_t noc_hash_mix(uint64_t hash, uint64_t value)
{
    return fold(hash ^ K1, value ^ K2);
}
