/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_WS_SHA1_H
#define NOC_WS_SHA1_H
/*
 * SHA-1 (RFC 3174), because the WebSocket handshake wants it and for nothing
 * else: it keeps nothing secret. Made small. Freestanding C11. Pure: any thread.
 */

#include <stddef.h>
#include <stdint.h>

#define NOC_SHA1_SIZE 20u

/* The hash of bytes[0..n), n below 2^29. */
void noc_sha1(const void *bytes, size_t n, uint8_t ret_digest[NOC_SHA1_SIZE]);

#endif
