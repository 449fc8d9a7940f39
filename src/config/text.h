/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CONFIG_TEXT_H
#define NOC_CONFIG_TEXT_H
/*
 * A growing text, for what the configuration has to say (usage, option lists,
 * explanations). It never fails halfway: once memory has run out it stays
 * empty and says so. One thread at a time.
 */

#include <stdbool.h>
#include <stddef.h>

#include "base/macros.h"

struct noc_text {
    char *at;        /* zero-terminated once anything was added, else NULL */
    size_t n;        /* bytes, the zero byte not counted */
    size_t capacity; /* bytes allocated */
    bool is_broken;  /* memory ran out: nothing of it may be used */
};

void noc_text_init(struct noc_text *text);
void noc_text_done(struct noc_text *text);

/* Add formatted text, as printf does. */
void noc_text_add(struct noc_text *text, const char *format, ...) NOC_PRINTF(2, 3);

/* Add bytes[0..n). */
void noc_text_add_bytes(struct noc_text *text, const char *bytes, size_t n);

/*
 * Add a string as roff, for a man page: backslashes, hyphens and what is not ASCII
 * are escaped, and no line begins with a request. The string is UTF-8.
 */
void noc_text_add_roff(struct noc_text *text, const char *string);
void noc_text_add_roff_bytes(struct noc_text *text, const char *bytes, size_t n);

/* The text as a heap string of the caller's, or NULL when memory ran out; the text is empty then. */
char *noc_text_detach(struct noc_text *text);

#endif
