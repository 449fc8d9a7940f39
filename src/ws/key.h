/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_WS_KEY_H
#define NOC_WS_KEY_H
/*
 * Sec-WebSocket-Key and Sec-WebSocket-Accept (RFC 6455, 4.2.2), as the server
 * needs them; SHA-1 comes from the caller. Pure: any thread.
 */

#include "base/macros.h"
#include <noctule/error.h>
#include <noctule/slice.h>

#define NOC_WS_KEY_BYTES   16u /* random bytes in a key */
#define NOC_WS_KEY_SIZE    24u /* characters of Sec-WebSocket-Key */
#define NOC_WS_ACCEPT_SIZE 28u /* characters of Sec-WebSocket-Accept */

/* The SHA-1 of bytes[0..n) into ret_digest; NOC_OK or an error, passed on as it is. */
typedef int (*noc_ws_sha1_fn)(const void *bytes, size_t n, uint8_t ret_digest[20]);

/* Is it the base64 of exactly 16 bytes, in canonical form? */
bool noc_ws_key_is_valid(struct noc_slice key);

/*
 * The answer to a key: 28 characters, no zero byte. NOC_OK, NOC_EINVAL for a
 * key that is not valid, or what sha1 returned.
 */
NOC_MUST_CHECK int noc_ws_accept_compute(
    noc_ws_sha1_fn sha1, struct noc_slice key, char ret_accept[NOC_WS_ACCEPT_SIZE]);

#endif
