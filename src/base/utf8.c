/* SPDX-License-Identifier: Apache-2.0 */
#include "base/utf8.h"

#define ONES  UINT64_C(0x0101010101010101)
#define HIGHS UINT64_C(0x8080808080808080)

/*
 * Is every byte of the word 0x01 to 0x7f? Without high bits, the lowest zero
 * byte is the first to borrow in the subtraction, so a high bit in the
 * difference says that there is one.
 */
static bool is_plain_word(const uint8_t *at)
{
    uint64_t word;

    memcpy(&word, at, sizeof word);
    return ((word | (word - ONES)) & HIGHS) == 0;
}

static bool is_tail(uint8_t byte)
{
    return (byte & 0xc0) == 0x80;
}

/*
 * Length of the character of two to four bytes at at[0..n), 0 when it is not
 * well-formed. The bounds of the second byte keep out overlong forms (e0, f0),
 * surrogates (ed) and what lies above U+10FFFF (f4): RFC 3629, section 4.
 */
static size_t long_character(const uint8_t *at, size_t n)
{
    uint8_t first = at[0];

    if (first >= 0xc2 && first <= 0xdf) {
        return n >= 2 && is_tail(at[1]) ? 2 : 0;
    }
    if (first >= 0xe0 && first <= 0xef) {
        uint8_t low = first == 0xe0 ? 0xa0 : 0x80;
        uint8_t high = first == 0xed ? 0x9f : 0xbf;

        return n >= 3 && at[1] >= low && at[1] <= high && is_tail(at[2]) ? 3 : 0;
    }
    if (first >= 0xf0 && first <= 0xf4) {
        uint8_t low = first == 0xf0 ? 0x90 : 0x80;
        uint8_t high = first == 0xf4 ? 0x8f : 0xbf;

        return n >= 4 && at[1] >= low && at[1] <= high && is_tail(at[2]) && is_tail(at[3]) ? 4 : 0;
    }
    return 0;
}

bool noc_utf8_is_valid(struct noc_slice text)
{
    const uint8_t *at = (const uint8_t *)text.at;
    size_t left = text.n;

    while (left > 0) {
        size_t step;

        if (left >= 8 && is_plain_word(at)) {
            step = 8;
        } else if (at[0] < 0x80) {
            if (at[0] == 0) {
                return false; /* [MQTT-1.5.4-2] */
            }
            step = 1;
        } else {
            step = long_character(at, left);
            if (step == 0) {
                return false; /* [MQTT-1.5.4-1] */
            }
        }
        at += step;
        left -= step;
    }
    return true;
}
