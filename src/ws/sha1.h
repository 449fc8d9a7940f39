/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_WS_SHA1_H
#define NOC_WS_SHA1_H
/*
 * SHA-1 (RFC 3174), because the WebSocket handshake wants it and for nothing
 * else: it keeps nothing secret. Made small. Freestanding C11. Pure: any thread.
 */

#include <stddef.h>
#include <stdint.h>

enum { NOC_SHA1_BLOCK = 64, NOC_SHA1_WORDS = 5, NOC_SHA1_ROOM = NOC_SHA1_WORDS + 16 };

/*
 * The hash of at[0..n), whole blocks: the message, padded as RFC 3174, 4 has it. It is
 * ret_words[0..5), most significant first; ret_words[5] is 0, and what follows of no use.
 */
void noc_sha1(const uint8_t *at, size_t n, uint32_t ret_words[NOC_SHA1_ROOM]);

#endif
