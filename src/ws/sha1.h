/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_WS_SHA1_H
#define NOC_WS_SHA1_H
/*
 * SHA-1 (RFC 3174), because the WebSocket handshake wants it and for nothing
 * else: it keeps nothing secret. Made small. Freestanding C11. Pure: any thread.
 */

#include <stddef.h>
#include <stdint.h>

enum { NOC_SHA1_WORDS = 5, NOC_SHA1_ROOM = 2 * NOC_SHA1_WORDS + 17 };

/*
 * The hash of at[0..n), 56 to 63 bytes: what takes two blocks, for there is nothing else
 * to be hashed. at[n] must be 0x80. Returns where it stands in words: NOC_SHA1_WORDS of them, most
 * significant first, and one that is 0.
 */
const uint32_t *noc_sha1(const char *at, unsigned n, uint32_t words[NOC_SHA1_ROOM]);

#endif
