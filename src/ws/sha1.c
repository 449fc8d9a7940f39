/* SPDX-License-Identifier: Apache-2.0 */
#include "ws/sha1.h"

#include <string.h>

enum { BLOCK_BYTES = 64, STEPS = 80 };

/* Of what is shifted along: a to e, then 16 words of the schedule, the newest first. Then the hash. */
enum { A, B, C, D, E, NEWEST, OLDEST = NEWEST + 15, HASH };

static uint32_t rotate(uint32_t word, unsigned bits)
{
    return word << bits | word >> (32 - bits);
}

/* Step i of RFC 3174, 6.2. Shifting it all through memory is slow, and the smallest code. */
static void step(uint32_t *state, unsigned i)
{
    static const uint32_t constants[] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};
    uint32_t b = state[B], c = state[C], d = state[D], mixed = c ^ d, word = state[OLDEST];
    unsigned phase = i * 205 >> 12; /* i / 20 */

    if (phase == 0) {
        mixed = (mixed & b) ^ d;
    } else if (phase == 2) {
        mixed = (b & c) | (d & (b | c));
    } else {
        mixed ^= b;
    }
    mixed += rotate(state[A], 5) + state[E] + constants[phase] + word;
    word ^= state[NEWEST + 2] ^ state[NEWEST + 7] ^ state[NEWEST + 13];
    for (unsigned to = OLDEST; to > A; to--) {
        state[to] = state[to - 1];
    }
    state[A] = mixed;
    state[C] = rotate(b, 30);
    state[NEWEST] = rotate(word, 1);
}

/* What the place of a byte is changed by where the words below have their bytes the other way round. */
static unsigned byte_swap(void)
{
    static const uint32_t one = 1;

    return *(const uint8_t *)&one == 1 ? 0 : 3;
}

const uint32_t *noc_sha1(const char *at, unsigned n, uint32_t words[NOC_SHA1_ROOM])
{
    static const uint32_t start[] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    unsigned used = 0;

    memset(words + HASH, 0, (NOC_SHA1_WORDS + 1) * sizeof *words);
    memcpy(words, start, sizeof start);
    for (;;) {
        for (unsigned i = 0; i < NOC_SHA1_WORDS; i++) {
            words[i] = words[HASH + i] += words[i];
        }
        if (used > BLOCK_BYTES) {
            return words + HASH;
        }
        for (unsigned i = BLOCK_BYTES; i-- > 0; used++) {
            ((uint8_t *)(words + NEWEST))[i ^ byte_swap()] = (uint8_t)(used <= n ? at[used] : 0);
        }
        if (used > BLOCK_BYTES) {
            words[NEWEST] = 8 * n;
        }
        for (unsigned i = 0; i < STEPS; i++) {
            step(words, i);
        }
    }
}
