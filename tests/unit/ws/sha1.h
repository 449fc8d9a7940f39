/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_TESTS_WS_SHA1_H
#define NOC_TESTS_WS_SHA1_H
/* SHA-1 for tests, by OpenSSL, as the broker does it; and one that fails. */

#include <openssl/sha.h>

#include <noctule/error.h>

static inline int test_sha1(const void *bytes, size_t n, uint8_t ret_digest[20])
{
    return SHA1(bytes, n, ret_digest) == NULL ? NOC_ENOTSUP : NOC_OK;
}

static inline int broken_sha1(const void *bytes, size_t n, uint8_t ret_digest[20])
{
    (void)bytes;
    (void)n;
    (void)ret_digest;
    return NOC_ENOTSUP;
}

#endif
