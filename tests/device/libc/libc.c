/* SPDX-License-Identifier: Apache-2.0 */
/*
 * As much of a C library as the test program needs on a device: the functions that firmware
 * must have, plain and slow, and what the program itself prints and allocates with.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "../include/string.h"
#include "stdio.h"
#include "stdlib.h"
#include "unistd.h"

enum { HEAP_BYTES = 1 << 17, HEAP_ALIGN = 16, DIGITS_MAX = 20, ABORTED = 134 };

void *memchr(const void *at, int byte, size_t n)
{
    const unsigned char *bytes = at;

    for (size_t i = 0; i < n; i++) {
        if (bytes[i] == (unsigned char)byte) {
            return (void *)(size_t)(bytes + i);
        }
    }
    return NULL;
}

int memcmp(const void *a, const void *b, size_t n)
{
    const unsigned char *left = a, *right = b;

    for (size_t i = 0; i < n; i++) {
        if (left[i] != right[i]) {
            return left[i] - right[i];
        }
    }
    return 0;
}

void *memcpy(void *restrict to, const void *restrict from, size_t n)
{
    return memmove(to, from, n);
}

void *memmove(void *to, const void *from, size_t n)
{
    unsigned char *target = to;
    const unsigned char *source = from;

    if ((size_t)target <= (size_t)source) {
        for (size_t i = 0; i < n; i++) {
            target[i] = source[i];
        }
    } else {
        while (n > 0) {
            n--;
            target[n] = source[n];
        }
    }
    return to;
}

void *memset(void *at, int byte, size_t n)
{
    unsigned char *bytes = at;

    for (size_t i = 0; i < n; i++) {
        bytes[i] = (unsigned char)byte;
    }
    return at;
}

size_t strlen(const char *text)
{
    size_t n = 0;

    while (text[n] != '\0') {
        n++;
    }
    return n;
}

void abort(void)
{
    _exit(ABORTED);
}

static _Alignas(HEAP_ALIGN) unsigned char heap[HEAP_BYTES];
static size_t heap_used;

void *malloc(size_t n)
{
    unsigned char *at = heap + heap_used;

    if (n > HEAP_BYTES - HEAP_ALIGN - heap_used) {
        return NULL;
    }
    heap_used += (n + HEAP_ALIGN - 1) / HEAP_ALIGN * HEAP_ALIGN;
    return at;
}

void free(void *at)
{
    if (at != NULL) {
        heap_used = (size_t)((unsigned char *)at - heap);
    }
}

/* Text that is cut off where its room ends, and counted beyond. */
struct text {
    char *at;
    size_t n, room;
};

static void put(struct text *text, char c)
{
    if (text->n + 1 < text->room) {
        text->at[text->n] = c;
    }
    text->n++;
}

static void put_number(
    struct text *text, unsigned long number, unsigned base, size_t width, char fill)
{
    char digits[DIGITS_MAX];
    size_t n = 0;

    do {
        digits[n++] = "0123456789abcdef"[number % base];
        number /= base;
    } while (number > 0);
    for (size_t i = n; i < width; i++) {
        put(text, fill);
    }
    while (n > 0) {
        put(text, digits[--n]);
    }
}

int vsnprintf(char *restrict at, size_t room, const char *restrict format, va_list args)
{
    struct text text = {at, 0, room};

    for (; *format != '\0'; format++) {
        char fill = ' ';
        size_t width = 0;
        bool is_long = false;

        if (*format != '%') {
            put(&text, *format);
            continue;
        }
        format++;
        if (*format == '0') {
            fill = *format++;
        }
        while (*format >= '0' && *format <= '9') {
            width = width * 10 + (size_t)(*format++ - '0');
        }
        if (*format == 'l') {
            is_long = true;
            format++;
        }
        if (*format == 'c') {
            put(&text, (char)va_arg(args, int));
        } else if (*format == 's') {
            for (const char *from = va_arg(args, const char *); *from != '\0'; from++) {
                put(&text, *from);
            }
        } else if (*format == 'u' || *format == 'x') {
            unsigned long number = is_long ? va_arg(args, unsigned long) : va_arg(args, unsigned);

            put_number(&text, number, *format == 'u' ? 10 : 16, width, fill);
        } else {
            abort();
        }
    }
    if (room > 0) {
        at[text.n < room ? text.n : room - 1] = '\0';
    }
    return (int)text.n;
}
