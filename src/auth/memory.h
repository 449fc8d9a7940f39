/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_AUTH_MEMORY_H
#define NOC_AUTH_MEMORY_H
/*
 * Password checks that succeeded are remembered, so that a storm of clients
 * that come back costs no key derivation. What is kept is a keyed digest
 * (HMAC-SHA-256, RFC 2104, cut to 128 bits, key random at start) over user,
 * password and the digest of the user's line in the file: when the line
 * changes, what was remembered of it is void by itself. Failures are never
 * remembered. Bounded: a full set forgets what was used longest ago.
 */

#include <stdbool.h>
#include <stdint.h>

#include "auth/password_file.h"
#include "base/macros.h"
#include <noctule/slice.h>

enum { NOC_AUTH_DIGEST_BYTES = 16, NOC_AUTH_MEMORY_DEFAULT = 65536 };

struct noc_auth_memory;

/*
 * entries: 0 for the default; rounded up to a power of two, at least 4.
 * NULL: out of memory, or no random numbers.
 */
struct noc_auth_memory *noc_auth_memory_new(size_t entries);
void noc_auth_memory_free(struct noc_auth_memory *memory); /* NULL is fine */

/* The digest under this memory's key. NOC_ENOMEM: it could not be computed. */
NOC_MUST_CHECK int noc_auth_memory_digest_mt(struct noc_auth_memory *memory,
    struct noc_slice username, struct noc_slice password,
    const uint8_t line_digest[NOC_LINE_DIGEST_BYTES], uint8_t ret_digest[NOC_AUTH_DIGEST_BYTES]);

/* Is it remembered? */
bool noc_auth_memory_has_mt(
    struct noc_auth_memory *memory, const uint8_t digest[NOC_AUTH_DIGEST_BYTES]);

void noc_auth_memory_add_mt(
    struct noc_auth_memory *memory, const uint8_t digest[NOC_AUTH_DIGEST_BYTES]);

/* Forget everything. */
void noc_auth_memory_clear_mt(struct noc_auth_memory *memory);

#endif
