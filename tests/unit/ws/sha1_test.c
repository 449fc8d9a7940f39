/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "ws/sha1.h"

#include <openssl/sha.h>

#include "guard.h"

static void the_examples_of_the_standard_come_out(void **state)
{
    uint8_t digest[NOC_SHA1_SIZE];

    (void)state;
    /* RFC 3174, 7.3: tests 1 and 2. */
    noc_sha1("abc", 3, digest);
    assert_memory_equal(digest,
        "\xa9\x99\x3e\x36\x47\x06\x81\x6a\xba\x3e\x25\x71\x78\x50\xc2\x6c\x9c\xd0\xd8\x9d", 20);
    noc_sha1("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56, digest);
    assert_memory_equal(digest,
        "\x84\x98\x3e\x44\x1c\x3b\xd2\x6e\xba\xae\x4a\xa1\xf9\x51\x29\xe5\xe5\x46\x70\xf1", 20);
}

static void any_length_is_as_openssl_has_it(void **state)
{
    uint8_t bytes[400], digest[NOC_SHA1_SIZE], expected[SHA_DIGEST_LENGTH];
    struct guard guard;

    (void)state;
    guard_init(&guard, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(i * 37 + 11);
    }
    for (size_t n = 0; n <= sizeof bytes; n++) {
        noc_sha1(guard_put(&guard, bytes, n), n, digest);
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
