/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_BASE_BASE64_H
#define NOC_BASE_BASE64_H
/*
 * Base64 with the alphabet of RFC 4648, section 4. Pure: any thread, no
 * allocation. The time depends on the text, so what must stay secret from
 * somebody with a stop watch is not decoded here.
 */

#include <stdbool.h>

#include <noctule/slice.h>

/* Characters of n bytes, padding included, no zero byte. */
#define NOC_BASE64_SIZE(n) (((size_t)(n) + 2) / 3 * 4)

/* Write bytes[0..n) to at, padded: NOC_BASE64_SIZE(n) characters. Returns the end. */
char *noc_base64_encode(char *at, const void *bytes, size_t n);

/*
 * Read text into ret_bytes, which has room for max. is_padded: the length is a
 * multiple of four, filled up by '='; otherwise there is no '='. False: it isn't
 * base64, or more than max bytes; then ret_bytes may have been written to. Bits
 * that stand for no byte may be anything.
 */
bool noc_base64_decode(
    struct noc_slice text, bool is_padded, void *ret_bytes, size_t max, size_t *ret_n);

/* Is the byte one of the 64 digits? */
bool noc_base64_is_digit(char digit);

#endif
