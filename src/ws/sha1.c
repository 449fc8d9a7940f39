/* SPDX-License-Identifier: Apache-2.0 */
#include "ws/sha1.h"

#include <string.h>

enum { PHASES = 4, STEPS = 20 };

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

/* Put a block into the schedule: its bytes the other way round, or its words on a big-endian machine. */
static void load(uint32_t state[NOC_SHA1_ROOM], const uint8_t *at)
{
    static const uint32_t one = 1;
    uint8_t *end = (uint8_t *)(state + NEWEST);

    for (unsigned i = NOC_SHA1_BLOCK; i-- > 0;) {
        end[i ^ (*(const uint8_t *)&one == 1 ? 0 : 3)] = *at++;
    }
}

void noc_sha1(const uint8_t *at, size_t n, uint32_t ret_words[NOC_SHA1_ROOM])
{
    static const uint32_t start[] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    static const uint32_t constants[PHASES] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};
    const uint8_t *end = at + n;
    uint32_t hash[NOC_SHA1_WORDS] = {0};

    memcpy(ret_words, start, sizeof start);
    for (;;) {
        for (unsigned i = 0; i < NOC_SHA1_WORDS; i++) {
            ret_words[i] = hash[i] += ret_words[i];
        }
        if (at == end) {
            break;
        }
        load(ret_words, at);
        at += NOC_SHA1_BLOCK;
        for (unsigned phase = 0; phase < PHASES; phase++) {
            for (unsigned i = 0; i < STEPS; i++) {
                step(ret_words, phase, constants[phase]);
            }
        }
    }
    ret_words[NEWEST] = 0;
}
