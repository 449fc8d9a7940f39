/* SPDX-License-Identifier: Apache-2.0 */
#include "ws/sha1.h"

#include <string.h>

enum { BLOCK_BYTES = 64, PHASES = 4, STEPS = 20 };

/* Of the state that is shifted along: a to e, then the words of the schedule, the newest first. */
enum { A, B, C, D, E, NEWEST, OLDEST = NOC_SHA1_ROOM - 1 };

static uint32_t rotate(uint32_t word, unsigned bits)
{
    return word << bits | word >> (32 - bits);
}

/* A step of RFC 3174, 6.2. Shifting it all through memory is slow, and the smallest code. */
static void step(uint32_t state[NOC_SHA1_ROOM], unsigned phase, uint32_t sum)
{
    uint32_t b = state[B], c = state[C], d = state[D], next = state[OLDEST];
    uint32_t *at = state;

    sum += rotate(state[A], 5) + state[E] + next;
    next ^= state[NEWEST + 2] ^ state[NEWEST + 7] ^ state[NEWEST + 13];
    if (phase == 0) {
        sum += d ^ (b & (c ^ d));
    } else if (phase == 2) {
        sum += (b & c) | (d & (b | c));
    } else {
        sum += b ^ c ^ d;
    }
    do {
        uint32_t word = *at;

        *at++ = sum;
        sum = word;
    } while (at < state + NOC_SHA1_ROOM);
    state[C] = rotate(b, 30);
    state[NEWEST] = rotate(next, 1);
}

/* What the place of a byte is changed by where the words below have their bytes the other way round. */
static unsigned byte_swap(void)
{
    static const uint32_t one = 1;

    return *(const uint8_t *)&one == 1 ? 0 : 3;
}

void noc_sha1(const char *at, unsigned n, uint32_t ret_words[NOC_SHA1_ROOM])
{
    static const uint32_t start[] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    static const uint32_t constants[PHASES] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};
    uint32_t hash[NOC_SHA1_WORDS] = {0};
    unsigned used = 0;

    memcpy(ret_words, start, sizeof start);
    for (;;) {
        for (unsigned i = 0; i < NOC_SHA1_WORDS; i++) {
            ret_words[i] = hash[i] += ret_words[i];
        }
        ret_words[NEWEST] = 0;
        if (used > BLOCK_BYTES) {
            break;
        }
        for (unsigned i = BLOCK_BYTES; i-- > 0; used++) {
            ((uint8_t *)(ret_words + NEWEST))[i ^ byte_swap()] =
                (uint8_t)(used <= n ? at[used] : 0);
        }
        if (used > BLOCK_BYTES) {
            ret_words[NEWEST] = 8 * n;
        }
        for (unsigned phase = 0; phase < PHASES; phase++) {
            for (unsigned i = 0; i < STEPS; i++) {
                step(ret_words, phase, constants[phase]);
            }
        }
    }
}
