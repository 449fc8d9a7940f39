/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "ws/key.h"

#include "base/base64.h"
#include "guard.h"
#include "sha1.h"

static void accept_of_the_standards_example_key(void **state)
{
    char accept[NOC_WS_ACCEPT_SIZE];

    (void)state;
    /* RFC 6455, 1.3. */
    assert_int_equal(
        noc_ws_accept_compute(test_sha1, noc_slice_of("dGhlIHNhbXBsZSBub25jZQ=="), accept), NOC_OK);
    assert_slice(noc_slice(accept, sizeof accept), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

static void key_of_the_standards_example_bytes(void **state)
{
    /* RFC 6455, 4.1: the bytes 1 to 16. */
    static const uint8_t bytes[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
    char key[NOC_WS_KEY_SIZE];

    (void)state;
    (void)noc_base64_encode(key, bytes, sizeof bytes);
    assert_slice(noc_slice(key, sizeof key), "AQIDBAUGBwgJCgsMDQ4PEA==");
}

static void every_key_of_16_bytes_is_valid(void **state)
{
    char key[NOC_WS_KEY_SIZE];
    uint8_t bytes[16];

    (void)state;
    for (unsigned last = 0; last < 256; last++) {
        for (size_t i = 0; i < sizeof bytes; i++) {
            bytes[i] = (uint8_t)(last * 7 + i * 31);
        }
        bytes[15] = (uint8_t)last;
        (void)noc_base64_encode(key, bytes, sizeof bytes);
        assert_true(noc_ws_key_is_valid(noc_slice(key, sizeof key)));
    }
}

static void only_the_base64_of_16_bytes_is_a_key(void **state)
{
    static const char *const bad[] = {"", "=", "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZQ=", "dGhlIHNhbXBsZSBub25jZQ=x",
        "dGhlIHNhbXBsZSBub25jZQx=", "dGhlIHNhbXBsZSBub25jZQ==x",
        "dGhlIHNhbXBsZSBub25jZR==", "dGhlIHNhbXBsZSBub25jZ===", "dGhlIHNhbXBsZSBub25j*Q==",
        "dGhlIHNhbXBsZSBub25j_Q==", "dGhlIHNhbXBsZSBub25jZQAA", "                        "};
    char accept[NOC_WS_ACCEPT_SIZE];

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(noc_ws_key_is_valid(noc_slice_of(bad[i])));
        assert_int_equal(
            noc_ws_accept_compute(test_sha1, noc_slice_of(bad[i]), accept), NOC_EINVAL);
    }
    assert_false(noc_ws_key_is_valid(noc_slice(NULL, 0)));
    assert_false(noc_ws_key_is_valid(noc_slice("\0GhlIHNhbXBsZSBub25jZQ==", 24)));
}

static void a_failing_hash_is_passed_on(void **state)
{
    char accept[NOC_WS_ACCEPT_SIZE];

    (void)state;
    assert_int_equal(
        noc_ws_accept_compute(broken_sha1, noc_slice_of("dGhlIHNhbXBsZSBub25jZQ=="), accept),
        NOC_ENOTSUP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accept_of_the_standards_example_key),
        cmocka_unit_test(key_of_the_standards_example_bytes),
        cmocka_unit_test(every_key_of_16_bytes_is_valid),
        cmocka_unit_test(only_the_base64_of_16_bytes_is_a_key),
        cmocka_unit_test(a_failing_hash_is_passed_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
