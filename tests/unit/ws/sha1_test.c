/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "ws/sha1.h"

#include <openssl/sha.h>

#include "base/bytes.h"
#include "guard.h"

static struct guard guard;

/* The byte behind the message is the last one in front of the guard page. */
static void hash(const void *bytes, size_t n, uint8_t digest[SHA_DIGEST_LENGTH])
{
    uint32_t words[NOC_SHA1_ROOM];
    const uint32_t *found;
    char text[64];

    memcpy(text, bytes, n);
    text[n] = '\x80';
    found = noc_sha1((const char *)guard_put(&guard, text, n + 1), (unsigned)n, words);
    for (size_t i = 0; i < NOC_SHA1_WORDS; i++) {
        noc_put_u32(digest + 4 * i, found[i]);
    }
    assert_int_equal(found[NOC_SHA1_WORDS], 0);
}

static void the_example_of_the_standard_comes_out(void **state)
{
    uint8_t digest[SHA_DIGEST_LENGTH];

    (void)state;
    /* RFC 3174, 7.3: test 2. */
    hash("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56, digest);
    assert_memory_equal(digest,
        "\x84\x98\x3e\x44\x1c\x3b\xd2\x6e\xba\xae\x4a\xa1\xf9\x51\x29\xe5\xe5\x46\x70\xf1", 20);
}

static void what_it_hashes_is_as_openssl_has_it(void **state)
{
    uint8_t bytes[64], digest[SHA_DIGEST_LENGTH], expected[SHA_DIGEST_LENGTH];

    (void)state;
    for (unsigned seed = 0; seed < 1000; seed++) {
        size_t n = 56 + seed % 8;

        for (size_t i = 0; i < n; i++) {
            bytes[i] = (uint8_t)(i * 37 + seed * (i + 11));
        }
        hash(bytes, n, digest);
        assert_non_null(SHA1(bytes, n, expected));
        assert_memory_equal(digest, expected, sizeof digest);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_example_of_the_standard_comes_out),
        cmocka_unit_test(what_it_hashes_is_as_openssl_has_it),
    };
    int failed;

    guard_init(&guard, 64);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    guard_done(&guard);
    return failed;
}
