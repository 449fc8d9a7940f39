/* SPDX-License-Identifier: Apache-2.0 */
/* The hashes of mbedTLS make what those of OpenSSL make, which scram_test.c holds to the RFC. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <noctule/error.h>
#include <noctule/scram.h>

static void compare(const struct noc_scram_hash *a, const struct noc_scram_hash *b)
{
    static char text[300];
    uint8_t from_a[NOC_SCRAM_HASH_MAX], from_b[NOC_SCRAM_HASH_MAX];
    uint8_t sum_a[NOC_SCRAM_HASH_MAX] = {1}, sum_b[NOC_SCRAM_HASH_MAX] = {1};

    assert_string_equal(a->method, b->method);
    assert_int_equal(a->bytes, b->bytes);
    for (size_t i = 0; i < sizeof text; i++) {
        text[i] = (char)(i * 7);
    }
    for (size_t n = 0; n < sizeof text; n += 13) {
        struct noc_slice key = noc_slice(text, n);
        struct noc_slice parts[] = {
            noc_slice(text, n / 2), noc_slice(text, 0), noc_slice(text + 1, n / 3)};

        assert_int_equal(a->hash(a, key, from_a), NOC_OK);
        assert_int_equal(b->hash(b, key, from_b), NOC_OK);
        assert_memory_equal(from_a, from_b, a->bytes);
        for (size_t count = 0; count <= 3; count++) {
            assert_int_equal(a->hmac(a, key, parts, count, from_a), NOC_OK);
            assert_int_equal(b->hmac(b, key, parts, count, from_b), NOC_OK);
            assert_memory_equal(from_a, from_b, a->bytes);
        }
        assert_int_equal(a->chain(a, key, from_a, sum_a, (uint32_t)n), NOC_OK);
        assert_int_equal(b->chain(b, key, from_b, sum_b, (uint32_t)n), NOC_OK);
        assert_memory_equal(from_a, from_b, a->bytes);
        assert_memory_equal(sum_a, sum_b, a->bytes);
    }
}

static void both_libraries_make_the_same(void **state)
{
    (void)state;
    compare(noc_scram_openssl_sha256(), noc_scram_mbedtls_sha256());
    compare(noc_scram_openssl_sha512(), noc_scram_mbedtls_sha512());
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_libraries_make_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
