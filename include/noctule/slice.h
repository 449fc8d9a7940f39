/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOCTULE_SLICE_H
#define NOCTULE_SLICE_H
/*
 * A slice is a borrowed run of bytes, passed by value: text (no zero byte at
 * its end) or binary. Who owns the bytes, and how long they live, is said by
 * whoever hands the slice out. An absent slice has at == NULL; an empty one
 * has n == 0.
 *
 * In C++ write `struct noc_slice` for the type, as the function has the same name.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct noc_slice {
    const char *at; /* first byte, or NULL */
    size_t n;       /* bytes */
};

static inline struct noc_slice noc_slice(const void *at, size_t n)
{
    struct noc_slice slice = {(const char *)at, n};

    return slice;
}

/* Of a zero-terminated string, or an absent slice of NULL. */
static inline struct noc_slice noc_slice_of(const char *text)
{
    return noc_slice(text, text == NULL ? 0 : strlen(text));
}

static inline bool noc_slice_equal(struct noc_slice a, struct noc_slice b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.at, b.at, a.n) == 0);
}

static inline bool noc_slice_has_prefix(struct noc_slice text, struct noc_slice prefix)
{
    return text.n >= prefix.n && (prefix.n == 0 || memcmp(text.at, prefix.at, prefix.n) == 0);
}

/* Order by bytes, a prefix before what it begins. */
static inline int noc_slice_compare(struct noc_slice a, struct noc_slice b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int order = n == 0 ? 0 : memcmp(a.at, b.at, n);

    return order != 0 ? order : (a.n > b.n) - (a.n < b.n);
}

/* For printf("%.*s", NOC_SLICE_ARG(slice)). */
#define NOC_SLICE_ARG(slice) (int)(slice).n, (slice).at == NULL ? "" : (slice).at

#endif
