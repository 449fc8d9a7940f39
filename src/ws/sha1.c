/* SPDX-License-Identifier: Apache-2.0 */
#include "ws/sha1.h"

#include <string.h>

enum { BLOCK_BYTES = 64, LENGTH_BYTES = 8, WORDS = 16, ROUNDS = 80 };

/* Of the state that is shifted along: e, d, c, b, a, then the words of the schedule still needed. */
enum { E, D, C, B, A, W, STATE_WORDS = W + WORDS };

static uint32_t rotate(uint32_t word, unsigned bits)
{
    return word << bits | word >> (32 - bits);
}

static const uint32_t one = 1;

void noc_sha1(const void *bytes, size_t n, uint8_t ret_digest[NOC_SHA1_SIZE])
{
    static const uint32_t constants[] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};
    unsigned swap = *(const uint8_t *)&one == 1 ? 3 : 0;
    uint32_t hash[W] = {0xc3d2e1f0, 0x10325476, 0x98badcfe, 0xefcdab89, 0x67452301};
    uint32_t state[STATE_WORDS];
    size_t at = 0;

    do {
        memcpy(state, hash, sizeof hash);
        for (size_t i = 0; i < BLOCK_BYTES; i++, at++) {
            ((uint8_t *)(state + W))[i ^ swap] = at < n    ? ((const uint8_t *)bytes)[at]
                                                 : at == n ? 0x80
                                                           : 0;
        }
        if (at >= n + 1 + LENGTH_BYTES) {
            state[W + 15] = (uint32_t)n << 3;
        }
        for (unsigned i = 0; i < ROUNDS; i++) {
            unsigned phase = i / 20;
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
            state[W + 15] = rotate(next, 1);
        }
        for (unsigned i = 0; i < W; i++) {
            hash[i] += state[i];
        }
    } while (at < n + 1 + LENGTH_BYTES);
    for (unsigned i = 0; i < NOC_SHA1_SIZE; i++) {
        ret_digest[i] = ((uint8_t *)hash)[(NOC_SHA1_SIZE - 1 - i) ^ 3 ^ swap];
    }
}
