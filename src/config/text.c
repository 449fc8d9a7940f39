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
