/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "ws/sniff.h"

#include "guard.h"

static struct guard guard;

/* The kind of the whole, after checking that no prefix says anything but "not yet" or the same. */
static enum noc_first_bytes kind_at_every_split(const void *bytes, size_t n)
{
    enum noc_first_bytes whole = noc_first_bytes_kind(guard_put(&guard, bytes, n), n);

    for (size_t i = 0; i < n; i++) {
        enum noc_first_bytes part = noc_first_bytes_kind(guard_put(&guard, bytes, i), i);

        assert_true(part == NOC_FIRST_UNKNOWN_YET || part == whole);
        assert_true(part != NOC_FIRST_UNKNOWN_YET || i < NOC_FIRST_BYTES_MAX);
    }
    return whole;
}

#define KIND(literal) kind_at_every_split(literal, sizeof(literal) - 1)

static void every_protocol_is_told_from_its_first_bytes(void **state)
{
    (void)state;
    assert_int_equal(KIND("GET / HTTP/1.1\r\n\r\n"), NOC_FIRST_HTTP);
    assert_int_equal(KIND("\r\nGET / HTTP/1.1\r\n\r\n"), NOC_FIRST_HTTP);
    assert_int_equal(KIND("OPTIONS * HTTP/1.1\r\n"), NOC_FIRST_HTTP);
    assert_int_equal(KIND("M-SEARCH * HTTP/1.1\r\n"), NOC_FIRST_HTTP);
    assert_int_equal(KIND("A_B / HTTP/1.1\r\n"), NOC_FIRST_HTTP);
    assert_int_equal(KIND("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), NOC_FIRST_HTTP);
    assert_int_equal(KIND("PROXIES / HTTP/1.1\r\n"), NOC_FIRST_HTTP);
    assert_int_equal(KIND("\x16\x03\x01\x02\x00\x01"), NOC_FIRST_TLS_HELLO);
    assert_int_equal(KIND("\x16\x03\x03"), NOC_FIRST_TLS_HELLO);
    assert_int_equal(KIND("\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00"), NOC_FIRST_MQTT_CONNECT);
    assert_int_equal(KIND("\x10\x0c\x00\x04MQTT\x05"), NOC_FIRST_MQTT_CONNECT);
    assert_int_equal(KIND("\x10\x0e\x00\x06MQIsdp\x03"), NOC_FIRST_MQTT_CONNECT);
    assert_int_equal(KIND("\x10\xff\xff\xff\x7f\x00\x04MQTT\x04"), NOC_FIRST_MQTT_CONNECT);
    assert_int_equal(KIND("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n"), NOC_FIRST_PROXY_V1);
    assert_int_equal(KIND("\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c"), NOC_FIRST_PROXY_V2);
    assert_int_equal(KIND("\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00"), NOC_FIRST_PROXY_V2);
}

static void all_else_is_other_as_soon_as_no_byte_could_change_it(void **state)
{
    (void)state;
    assert_int_equal(KIND("\x16\x02"), NOC_FIRST_OTHER);
    assert_int_equal(KIND("\x10\x0c\x00\x05MQTT5"), NOC_FIRST_OTHER);
    assert_int_equal(KIND("\x10\xff\xff\xff\xff\x01\x00\x04MQTT"), NOC_FIRST_OTHER);
    assert_int_equal(KIND("\x10\x0c\x00\x04MQTX"), NOC_FIRST_OTHER);
    assert_int_equal(KIND("get / HTTP/1.1"), NOC_FIRST_OTHER);
    assert_int_equal(KIND(" GET /"), NOC_FIRST_OTHER);
    assert_int_equal(KIND("Get / HTTP/1.1"), NOC_FIRST_OTHER);
    assert_int_equal(KIND("GET\t/ HTTP/1.1"), NOC_FIRST_OTHER);
    assert_int_equal(KIND("GET\0 / HTTP/1.1"), NOC_FIRST_OTHER);
    assert_int_equal(KIND("_GET / HTTP/1.1"), NOC_FIRST_OTHER);
    assert_int_equal(KIND("SSH-2.0-OpenSSH_9.2"), NOC_FIRST_OTHER);
    assert_int_equal(KIND("AAAAAAAAAAAAAAAAAAAAA"), NOC_FIRST_OTHER);
    assert_int_equal(KIND("\r\nAAAAAAAAAAAAAAAAAAAAA"), NOC_FIRST_OTHER);
    assert_int_equal(KIND("\r\n\r\nGET"), NOC_FIRST_OTHER);
    assert_int_equal(KIND("\r\nPROXY TCP4"), NOC_FIRST_OTHER);
    assert_int_equal(KIND("\rG"), NOC_FIRST_OTHER);
    assert_int_equal(KIND("\n"), NOC_FIRST_OTHER);
    assert_int_equal(KIND("\0"), NOC_FIRST_OTHER);
    assert_int_equal(KIND("\x82\x85"), NOC_FIRST_OTHER);
    assert_int_equal(KIND("\xc0\x00"), NOC_FIRST_OTHER);
}

static void too_little_is_not_judged(void **state)
{
    (void)state;
    assert_int_equal(noc_first_bytes_kind(NULL, 0), NOC_FIRST_UNKNOWN_YET);
    assert_int_equal(KIND("\x16"), NOC_FIRST_UNKNOWN_YET);
    assert_int_equal(KIND("\x10"), NOC_FIRST_UNKNOWN_YET);
    assert_int_equal(KIND("\x10\x80"), NOC_FIRST_UNKNOWN_YET);
    assert_int_equal(KIND("\x10\x0c\x00\x04MQT"), NOC_FIRST_UNKNOWN_YET);
    assert_int_equal(KIND("PROXY"), NOC_FIRST_UNKNOWN_YET);
    assert_int_equal(KIND("AAAAAAAAAAAAAAAAAAAA"), NOC_FIRST_UNKNOWN_YET);
    assert_int_equal(KIND("\r\n\r\n"), NOC_FIRST_UNKNOWN_YET);
    assert_int_equal(KIND("\r\n"), NOC_FIRST_UNKNOWN_YET);
}

static void every_kind_has_a_text(void **state)
{
    (void)state;
    for (int kind = NOC_FIRST_UNKNOWN_YET; kind <= NOC_FIRST_OTHER; kind++) {
        assert_non_null(noc_first_bytes_text((enum noc_first_bytes)kind));
    }
    assert_string_equal(noc_first_bytes_text(NOC_FIRST_TLS_HELLO), "a TLS hello");
    assert_string_equal(
        noc_first_bytes_text((enum noc_first_bytes)99), noc_first_bytes_text(NOC_FIRST_OTHER));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_protocol_is_told_from_its_first_bytes),
        cmocka_unit_test(all_else_is_other_as_soon_as_no_byte_could_change_it),
        cmocka_unit_test(too_little_is_not_judged),
        cmocka_unit_test(every_kind_has_a_text),
    };
    int failed;

    guard_init(&guard, 4096);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    guard_done(&guard);
    return failed;
}
