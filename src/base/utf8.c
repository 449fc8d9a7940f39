/* SPDX-License-Identifier: Apache-2.0 */
#include "base/utf8.h"

#include "base/macros.h"

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

/*
 * Length of the character of two to four bytes at at[0..n), 0 when it is not
 * well-formed: RFC 3629, section 4.
 */
static size_t long_character(const uint8_t *at, size_t n)
{
    size_t size = at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
    uint32_t value = at[0] & 0x7fu >> size;

    if (at[0] < 0xc2 || at[0] > 0xf4 || n < size) {
        return 0;
    }
    for (size_t i = 1; i < size; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return 0;
        }
        value = value << 6 | (at[i] & 0x3fu);
    }
    /* Overlong forms (those of two bytes begin with c0 or c1), surrogates, beyond U+10FFFF. */
    if (value >> (5 * size - 4) == 0 || value >> 11 == 0xd800 >> 11 || value > 0x10ffff) {
        return 0;
    }
    return size;
}

bool noc_utf8_is_valid(struct noc_slice text)
{
    const uint8_t *at = (const uint8_t *)text.at;
    size_t left = text.n;

    while (left > 0) {
        size_t step;

        if (!NOC_IS_SMALL && left >= 8 && is_plain_word(at)) {
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
