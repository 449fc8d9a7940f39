/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "ws/sha1.h"

#include <openssl/sha.h>

#include "base/bytes.h"
#include "guard.h"

/* The hash of a message of n bytes, at most 400, which stands at the guard page when it is padded. */
static void hash(
    struct guard *guard, const void *bytes, size_t n, uint8_t digest[SHA_DIGEST_LENGTH])
{
    uint8_t padded[448] = {0};
    uint32_t words[NOC_SHA1_ROOM];
    size_t padded_n = (n + 8) / NOC_SHA1_BLOCK * NOC_SHA1_BLOCK + NOC_SHA1_BLOCK;

    memcpy(padded, bytes, n);
    padded[n] = 0x80;
    padded[padded_n - 2] = (uint8_t)(n >> 5);
    padded[padded_n - 1] = (uint8_t)(n << 3);
    noc_sha1(guard_put(guard, padded, padded_n), padded_n, words);
    for (size_t i = 0; i < NOC_SHA1_WORDS; i++) {
        noc_put_u32(digest + 4 * i, words[i]);
    }
    assert_int_equal(words[NOC_SHA1_WORDS], 0);
}

static void the_examples_of_the_standard_come_out(void **state)
{
    uint8_t digest[SHA_DIGEST_LENGTH];
    struct guard guard;

    (void)state;
    guard_init(&guard, 448);
    /* RFC 3174, 7.3: tests 1 and 2. */
    hash(&guard, "abc", 3, digest);
    assert_memory_equal(digest,
        "\xa9\x99\x3e\x36\x47\x06\x81\x6a\xba\x3e\x25\x71\x78\x50\xc2\x6c\x9c\xd0\xd8\x9d", 20);
    hash(&guard, "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56, digest);
    assert_memory_equal(digest,
        "\x84\x98\x3e\x44\x1c\x3b\xd2\x6e\xba\xae\x4a\xa1\xf9\x51\x29\xe5\xe5\x46\x70\xf1", 20);
    guard_done(&guard);
}

static void any_length_is_as_openssl_has_it(void **state)
{
    uint8_t bytes[400], digest[SHA_DIGEST_LENGTH], expected[SHA_DIGEST_LENGTH];
    struct guard guard;

    (void)state;
    guard_init(&guard, 448);
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(i * 37 + 11);
    }
    for (size_t n = 0; n <= sizeof bytes; n++) {
        hash(&guard, bytes, n, digest);
        assert_non_null(SHA1(bytes, n, expected));
        assert_memory_equal(digest, expected, sizeof digest);
    }
    guard_done(&guard);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_examples_of_the_standard_come_out),
        cmocka_unit_test(any_length_is_as_openssl_has_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
