/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base64.h"

static char digit_of(unsigned value)
{
    unsigned digit = value < 26   ? value + 'A'
                     : value < 52 ? value + ('a' - 26)
                                  : value - (52 - '0');

    return (char)(value < 62 ? digit : value == 62 ? '+' : '/');
}

char *noc_base64_encode(char *at, const void *bytes, size_t n)
{
    const uint8_t *from = bytes, *end = from + n;

    while (from < end) {
        uint32_t group = 0;
        const uint8_t *start = from;

        for (unsigned i = 0; i < 3; i++) {
            group = group << 8 | (from < end ? *from : 0);
            from++;
        }
        for (unsigned i = 0; i < 4; i++) {
            *at++ = start + i <= end ? digit_of(group >> 18 & 63) : '=';
            group <<= 6;
        }
    }
    return at;
}

static int digit_value(char digit)
{
    if (digit >= 'A' && digit <= 'Z') {
        return digit - 'A';
    }
    if (digit >= 'a' && digit <= 'z') {
        return digit - 'a' + 26;
    }
    if (digit >= '0' && digit <= '9') {
        return digit - '0' + 52;
    }
    return digit == '+' ? 62 : digit == '/' ? 63 : -1;
}

bool noc_base64_is_digit(char digit)
{
    return digit_value(digit) >= 0;
}

bool noc_base64_decode(
    struct noc_slice text, bool is_padded, void *ret_bytes, size_t max, size_t *ret_n)
{
    uint8_t *to = ret_bytes;
    uint32_t bits = 0;
    size_t n = 0, count = text.n;

    if (is_padded) {
        if (text.n % 4 != 0) {
            return false;
        }
        while (count > 0 && text.n - count < 2 && text.at[count - 1] == '=') {
            count--;
        }
    }
    if (count % 4 == 1) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        int value = digit_value(text.at[i]);

        if (value < 0) {
            return false;
        }
        bits = bits << 6 | (uint32_t)value;
        if (i % 4 != 0) {
            if (n == max) {
                return false;
            }
            to[n++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
        }
    }
    *ret_n = n;
    return true;
}
