/* SPDX-License-Identifier: Apache-2.0 */
#include "config/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void noc_text_init(struct noc_text *text)
{
    *text = (struct noc_text){0};
}

void noc_text_done(struct noc_text *text)
{
    free(text->at);
    noc_text_init(text);
}

static void give_up(struct noc_text *text)
{
    noc_text_done(text);
    text->is_broken = true;
}

/* Make room for n more bytes and a zero; false when the text is broken. */
static bool reserve(struct noc_text *text, size_t n)
{
    size_t capacity = text->at == NULL ? 256 : text->capacity;
    char *at;

    if (text->is_broken) {
        return false;
    }
    while (capacity - text->n <= n) {
        capacity *= 2;
    }
    if (text->at != NULL && capacity == text->capacity) {
        return true;
    }
    at = realloc(text->at, capacity);
    if (at == NULL) {
        give_up(text);
        return false;
    }
    text->at = at;
    text->capacity = capacity;
    return true;
}

void noc_text_add_bytes(struct noc_text *text, const char *bytes, size_t n)
{
    if (!reserve(text, n)) {
        return;
    }
    if (n > 0) {
        memcpy(text->at + text->n, bytes, n);
    }
    text->n += n;
    text->at[text->n] = '\0';
}

void noc_text_add(struct noc_text *text, const char *format, ...)
{
    va_list arguments;
    int n;

    va_start(arguments, format);
    n = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (n < 0) {
        give_up(text);
        return;
    }
    if (!reserve(text, (size_t)n)) {
        return;
    }
    va_start(arguments, format);
    (void)vsnprintf(text->at + text->n, (size_t)n + 1, format, arguments);
    va_end(arguments);
    text->n += (size_t)n;
}

/*
 * The character that begins with a byte that is not ASCII. Returns its bytes; what is no
 * UTF-8 is shown as '?', and one byte.
 */
static size_t add_wide(struct noc_text *text, const char *at, size_t n)
{
    unsigned char first = (unsigned char)at[0];
    size_t length = first >= 0xf8   ? 1
                    : first >= 0xf0 ? 4
                    : first >= 0xe0 ? 3
                    : first >= 0xc0 ? 2
                                    : 1;
    unsigned code = first & (0xffU >> (length + 1));

    for (size_t i = 1; i < length; i++) {
        if (i >= n || ((unsigned char)at[i] & 0xc0) != 0x80) {
            length = 1;
            break;
        }
        code = code << 6 | ((unsigned char)at[i] & 0x3fU);
    }
    if (length == 1) {
        noc_text_add(text, "?");
    } else {
        noc_text_add(text, "\\[u%04X]", code);
    }
    return length;
}

void noc_text_add_roff_bytes(struct noc_text *text, const char *bytes, size_t n)
{
    for (size_t i = 0; i < n;) {
        bool is_line_start = text->n == 0 || text->at[text->n - 1] == '\n';

        if ((unsigned char)bytes[i] >= 0x80) {
            i += add_wide(text, bytes + i, n - i);
            continue;
        }
        if ((bytes[i] == '.' || bytes[i] == '\'') && is_line_start) {
            noc_text_add(text, "\\&");
        }
        if (bytes[i] == '\\') {
            noc_text_add(text, "\\e");
        } else if (bytes[i] == '-') {
            noc_text_add(text, "\\-");
        } else {
            noc_text_add_bytes(text, bytes + i, 1);
        }
        i++;
    }
}

void noc_text_add_roff(struct noc_text *text, const char *string)
{
    noc_text_add_roff_bytes(text, string, strlen(string));
}

char *noc_text_detach(struct noc_text *text)
{
    char *at;

    if (text->at == NULL) {
        noc_text_add_bytes(text, "", 0);
    }
    at = text->at;
    noc_text_init(text);
    return at;
}
