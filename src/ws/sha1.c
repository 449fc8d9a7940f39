/* SPDX-License-Identifier: Apache-2.0 */
#include "ws/sha1.h"

#include <string.h>

#include "base/bytes.h"

enum { BLOCK_BYTES = 64, LENGTH_BYTES = 8, WORDS = 16, ROUNDS = 80 };

static uint32_t rotate(uint32_t word, unsigned bits)
{
    return word << bits | word >> (32 - bits);
}

/* Byte i of the message as it is hashed: with a set bit, zeros, and its length in bits behind it. */
static uint8_t padded_byte(const uint8_t *bytes, size_t n, size_t i)
{
    return i < n ? bytes[i] : i == n ? 0x80 : 0;
}

/* Mix a block into the hash. words is used up: it holds the last 16 words of the schedule. */
static void mix(uint32_t hash[5], uint32_t words[WORDS])
{
    uint32_t a = hash[0], b = hash[1], c = hash[2], d = hash[3], e = hash[4];

    for (unsigned i = 0; i < ROUNDS; i++) {
        uint32_t *word = &words[i % WORDS];
        uint32_t sum;

        if (i >= WORDS) {
            *word = rotate(
                words[(i + 13) % WORDS] ^ words[(i + 8) % WORDS] ^ words[(i + 2) % WORDS] ^ *word,
                1);
        }
        if (i < 20) {
            sum = (d ^ (b & (c ^ d))) + 0x5a827999;
        } else if (i < 40) {
            sum = (b ^ c ^ d) + 0x6ed9eba1;
        } else if (i < 60) {
            sum = ((b & c) | (d & (b | c))) + 0x8f1bbcdc;
        } else {
            sum = (b ^ c ^ d) + 0xca62c1d6;
        }
        sum += rotate(a, 5) + e + *word;
        e = d;
        d = c;
        c = rotate(b, 30);
        b = a;
        a = sum;
    }
    hash[0] += a;
    hash[1] += b;
    hash[2] += c;
    hash[3] += d;
    hash[4] += e;
}

void noc_sha1(const void *bytes, size_t n, uint8_t ret_digest[NOC_SHA1_SIZE])
{
    uint32_t hash[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    uint32_t words[WORDS];

    for (size_t start = 0; start < n + 1 + LENGTH_BYTES; start += BLOCK_BYTES) {
        for (size_t i = 0; i < BLOCK_BYTES; i++) {
            words[i / 4] = words[i / 4] << 8 | padded_byte(bytes, n, start + i);
        }
        if (start + BLOCK_BYTES >= n + 1 + LENGTH_BYTES) {
            words[WORDS - 1] = (uint32_t)n << 3;
        }
        mix(hash, words);
    }
    for (unsigned i = 0; i < 5; i++) {
        noc_put_u32(ret_digest + (size_t)4 * i, hash[i]);
    }
}
