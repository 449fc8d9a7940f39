/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "net/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

#include <noctule/error.h>

static struct noc_address parsed(const char *text, uint16_t port)
{
    struct noc_address address;

    assert_int_equal(noc_address_parse(&address, noc_slice_of(text), port), NOC_OK);
    return address;
}

static void assert_label(const struct noc_address *address, const char *expected)
{
    char label[NOC_ADDRESS_LABEL_SIZE];

    assert_string_equal(noc_address_label(address, label, sizeof(label)), expected);
}

static void labels_look_as_in_the_log(void **state)
{
    struct noc_address address = parsed("127.0.0.1", 1883);

    assert_label(&address, "127.0.0.1:1883");
    address = parsed("::1", 65535);
    assert_label(&address, "::1:65535");
    address = parsed("2001:DB8:0:0:0:0:0:1", 1);
    assert_label(&address, "2001:db8::1:1");
    address = parsed("abcd:abcd:abcd:abcd:abcd:abcd:abcd:abcd", 65535);
    assert_label(&address, "abcd:abcd:abcd:abcd:abcd:abcd:abcd:abcd:65535");
    noc_address_set_unix(&address);
    assert_label(&address, "unix:0");
}

static void a_label_is_cut_to_its_room(void **state)
{
    struct noc_address address = parsed("127.0.0.1", 1883);
    char label[5];

    assert_string_equal(noc_address_label(&address, label, sizeof(label)), "127.");
}

static void socket_addresses_are_understood(void **state)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(4242)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(4243)};
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct noc_address address;

    in.sin_addr.s_addr = htonl(0xC0000201);
    noc_address_set(&address, (const struct sockaddr *)&in, sizeof(in));
    assert_int_equal(address.family, NOC_ADDRESS_IPV4);
    assert_label(&address, "192.0.2.1:4242");
    in6.sin6_addr = in6addr_loopback;
    noc_address_set(&address, (const struct sockaddr *)&in6, sizeof(in6));
    assert_int_equal(address.family, NOC_ADDRESS_IPV6);
    assert_label(&address, "::1:4243");
    noc_address_set(&address, (const struct sockaddr *)&un, sizeof(sa_family_t));
    assert_int_equal(address.family, NOC_ADDRESS_UNIX);
}

static void what_is_not_known_gives_none(void **state)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct noc_address address;

    noc_address_set(&address, (const struct sockaddr *)&in, 0);
    assert_int_equal(address.family, NOC_ADDRESS_NONE);
    noc_address_set(&address, (const struct sockaddr *)&in, 4);
    assert_int_equal(address.family, NOC_ADDRESS_NONE);
    in.sin_family = AF_PACKET;
    noc_address_set(&address, (const struct sockaddr *)&in, sizeof(in));
    assert_int_equal(address.family, NOC_ADDRESS_NONE);
    noc_address_set_ip(&address, "abcdef", 6, 1);
    assert_int_equal(address.family, NOC_ADDRESS_NONE);
    assert_label(&address, ":0");
}

static void a_mapped_ipv4_address_is_ipv4(void **state)
{
    struct noc_address mapped = parsed("::ffff:192.0.2.7", 9);
    struct noc_address plain = parsed("192.0.2.7", 9);

    assert_int_equal(mapped.family, NOC_ADDRESS_IPV4);
    assert_true(noc_address_is_equal(&mapped, &plain));
    assert_label(&mapped, "192.0.2.7:9");
}

static void bad_text_is_refused(void **state)
{
    static const char *const bad[] = {"", "localhost", "1.2.3", "1.2.3.4.5", "256.1.1.1", "[::1]",
        "::1%lo", "1.2.3.4:80", " 1.2.3.4",
        "12345::", "0000000000000000000000000000000000000000000000000001"};
    struct noc_address address = parsed("10.0.0.1", 1);

    for (size_t i = 0; i < NOC_COUNT(bad); i++) {
        assert_int_equal(noc_address_parse(&address, noc_slice_of(bad[i]), 1), NOC_EMALFORMED);
    }
    assert_int_equal(noc_address_parse(&address, noc_slice("1.2.3.4\0x", 9), 1), NOC_EMALFORMED);
    assert_label(&address, "10.0.0.1:1");
}

static void equality_is_of_address_and_port(void **state)
{
    struct noc_address a = parsed("10.0.0.1", 1);
    struct noc_address b = parsed("10.0.0.1", 2);
    struct noc_address c = parsed("10.0.0.2", 1);
    struct noc_address d = parsed("a00:1::", 1); /* the same first four bytes */

    assert_true(noc_address_is_equal(&a, &a));
    assert_false(noc_address_is_equal(&a, &b));
    assert_false(noc_address_is_equal(&a, &c));
    assert_false(noc_address_is_equal(&a, &d));
}

static void local_peers_are_known(void **state)
{
    struct noc_address address = parsed("127.9.9.9", 1);

    assert_true(noc_address_is_local(&address));
    address = parsed("::1", 1);
    assert_true(noc_address_is_local(&address));
    noc_address_set_unix(&address);
    assert_true(noc_address_is_local(&address));
    address = parsed("::2", 1);
    assert_false(noc_address_is_local(&address));
    address = parsed("128.0.0.1", 1);
    assert_false(noc_address_is_local(&address));
    noc_address_set_ip(&address, NULL, 0, 0);
    assert_false(noc_address_is_local(&address));
}

static void keys_join_an_ipv6_network_and_nothing_else(void **state)
{
    struct noc_address a = parsed("2001:db8:1:2:3:4:5:6", 1);
    struct noc_address b = parsed("2001:db8:1:2:ffff::1", 2);
    struct noc_address c = parsed("2001:db8:1:3::1", 1);
    struct noc_address loopback = parsed("::1", 1);
    struct noc_address v4 = parsed("10.0.0.1", 1);
    struct noc_address v4_port = parsed("10.0.0.1", 2);
    struct noc_address v4_other = parsed("10.0.0.2", 1);
    struct noc_address local;

    noc_address_set_unix(&local);
    assert_true(noc_address_key(&a) == noc_address_key(&b));
    assert_true(noc_address_key(&a) != noc_address_key(&c));
    assert_true(noc_address_key(&v4) == noc_address_key(&v4_port));
    assert_true(noc_address_key(&v4) != noc_address_key(&v4_other));
    assert_true(noc_address_key(&local) != noc_address_key(&loopback));
    assert_true(noc_address_key(&local) != noc_address_key(&v4));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels_look_as_in_the_log),
        cmocka_unit_test(a_label_is_cut_to_its_room),
        cmocka_unit_test(socket_addresses_are_understood),
        cmocka_unit_test(what_is_not_known_gives_none),
        cmocka_unit_test(a_mapped_ipv4_address_is_ipv4),
        cmocka_unit_test(bad_text_is_refused),
        cmocka_unit_test(equality_is_of_address_and_port),
        cmocka_unit_test(local_peers_are_known),
        cmocka_unit_test(keys_join_an_ipv6_network_and_nothing_else),
    };

    return cmocka_run_group_tests_name("net/address", tests, NULL, NULL);
}
