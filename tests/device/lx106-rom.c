/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arithmetic that the compiler calls for and that libgcc for lx106 lacks, because it lies in the
 * ROM of an ESP8266. In the emulator there is no ROM; these do the same, slowly.
 */
#include <stdint.h>

uint32_t __udivsi3(uint32_t a, uint32_t b);
uint32_t __umodsi3(uint32_t a, uint32_t b);
uint64_t __muldi3(uint64_t a, uint64_t b);

/* Divide bit by bit; returns the rest. */
static uint32_t divide(uint32_t a, uint32_t b, uint32_t *ret_quotient)
{
    uint32_t quotient = 0, rest = 0;

    for (unsigned bit = 32; bit > 0; bit--) {
        uint32_t carry = rest >> 31;

        rest = rest << 1 | (a >> (bit - 1) & 1);
        quotient <<= 1;
        if (carry != 0 || rest >= b) {
            rest -= b;
            quotient |= 1;
        }
    }
    *ret_quotient = quotient;
    return rest;
}

uint32_t __udivsi3(uint32_t a, uint32_t b)
{
    uint32_t quotient;

    divide(a, b, &quotient);
    return quotient;
}

uint32_t __umodsi3(uint32_t a, uint32_t b)
{
    uint32_t quotient;

    return divide(a, b, &quotient);
}

uint64_t __muldi3(uint64_t a, uint64_t b)
{
    uint64_t sum = 0;

    for (; b != 0; b >>= 1, a <<= 1) {
        sum += (b & 1) != 0 ? a : 0;
    }
    return sum;
}
