/* SPDX-License-Identifier: Apache-2.0 */
#include "ws/sha1.h"

#include <string.h>

enum { BLOCK_BYTES = 64, LENGTH_BYTES = 8, WORDS = 16, PHASES = 4, STEPS = 20 };

/* Of the state that is shifted along: e, d, c, b, a, then the words of the schedule still needed. */
enum { E, D, C, B, A, W, STATE_WORDS = W + WORDS };

static uint32_t rotate(uint32_t word, unsigned bits)
{
    return word << bits | word >> (32 - bits);
}

/* What a byte's place among the four of a word is changed by, to be a big-endian one. */
static unsigned byte_swap(void)
{
    static const uint32_t one = 1;

    return *(const uint8_t *)&one == 1 ? 3 : 0;
}

/* A step of RFC 3174, 6.2. Shifting it all through memory is slow, and the smallest code. */
static void step(uint32_t state[STATE_WORDS], unsigned phase)
{
    static const uint32_t constants[PHASES] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};
    uint32_t b = state[B], c = state[C], d = state[D];
    uint32_t sum = b ^ c ^ d;
    uint32_t next = state[W + 13] ^ state[W + 8] ^ state[W + 2] ^ state[W];

    if (phase == 0) {
        sum = d ^ (b & (c ^ d));
    } else if (phase == 2) {
        sum = (b & c) | (d & (b | c));
    }
    sum += rotate(state[A], 5) + state[E] + constants[phase] + state[W];
    memmove(state, state + 1, (STATE_WORDS - 1) * sizeof *state);
    state[A] = sum;
    state[C] = rotate(b, 30);
    state[W + WORDS - 1] = rotate(next, 1);
}

void noc_sha1(const void *bytes, size_t n, uint8_t ret_digest[NOC_SHA1_SIZE])
{
    uint32_t hash[W] = {0xc3d2e1f0, 0x10325476, 0x98badcfe, 0xefcdab89, 0x67452301};
    uint32_t state[STATE_WORDS];
    size_t at = 0;

    do {
        memcpy(state, hash, sizeof hash);
        for (size_t i = 0; i < BLOCK_BYTES; i++, at++) {
            uint8_t *byte = (uint8_t *)(state + W) + (i ^ byte_swap());

            *byte = at == n ? 0x80 : 0;
            if (at < n) {
                *byte = ((const uint8_t *)bytes)[at];
            }
        }
        if (at >= n + 1 + LENGTH_BYTES) {
            state[W + WORDS - 1] = (uint32_t)n << 3;
        }
        for (unsigned phase = 0; phase < PHASES; phase++) {
            for (unsigned i = 0; i < STEPS; i++) {
                step(state, phase);
            }
        }
        for (unsigned i = 0; i < W; i++) {
            hash[i] += state[i];
        }
    } while (at < n + 1 + LENGTH_BYTES);
    /* Its words stand the other way round. */
    for (unsigned i = 0; i < NOC_SHA1_SIZE; i++) {
        ret_digest[i] = ((const uint8_t *)hash)[(NOC_SHA1_SIZE - 1 - i) ^ 3 ^ byte_swap()];
    }
}
