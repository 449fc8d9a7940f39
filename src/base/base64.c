/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base64.h"

static const char digits[65] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *noc_base64_encode(char *at, const void *bytes, size_t n)
{
    const uint8_t *from = bytes;

    for (size_t i = 0; i < n; i += 3) {
        uint32_t group = (uint32_t)from[i] << 16;

        group |= i + 1 < n ? (uint32_t)from[i + 1] << 8 : 0;
        group |= i + 2 < n ? from[i + 2] : 0;
        *at++ = digits[group >> 18];
        *at++ = digits[group >> 12 & 63];
        *at++ = i + 1 < n ? digits[group >> 6 & 63] : '=';
        *at++ = i + 2 < n ? digits[group & 63] : '=';
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
