/* SPDX-License-Identifier: Apache-2.0 */
/* The lines of -d; tests/e2e compares them with Mosquitto's own. */
#include "cli/client_trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct bench {
    struct noc_client_settings settings;
    struct noc_output_buffer lines;
    struct noc_client_trace trace;
};

static void set_up(struct bench *bench, uint8_t version, const char *client_id)
{
    memset(bench, 0, sizeof(*bench));
    bench->settings.version = version;
    bench->settings.client_id = noc_slice_of(client_id);
    noc_client_trace_init(&bench->trace, &bench->settings, &bench->lines);
}

/* The lines of one packet; every part of it, too, must do no harm. */
static void expect(
    struct bench *bench, bool is_outgoing, const void *packet, size_t n, const char *lines)
{
    struct noc_client_trace before = bench->trace;

    for (size_t part = 0; part < n; part++) {
        uint8_t *copy = test_malloc(part + 1);

        memcpy(copy, packet, part);
        noc_client_trace_packet(&bench->trace, is_outgoing, copy, part);
        test_free(copy);
    }
    bench->trace = before;
    bench->lines.n = 0;
    noc_client_trace_packet(&bench->trace, is_outgoing, packet, n);
    assert_int_equal(bench->lines.n, strlen(lines));
    assert_memory_equal(bench->lines.at, lines, bench->lines.n);
}

#define BYTES(text) text, sizeof(text) - 1

static void packets_have_mosquittos_lines(void **state)
{
    struct bench bench;

    set_up(&bench, 4, "me");
    expect(&bench, true, BYTES("\x10\x02\0\0"), "Client me sending CONNECT\n");
    expect(&bench, false, BYTES("\x20\x02\0\5"), "Client me received CONNACK (5)\n");
    expect(&bench, true, BYTES("\x82\x08\0\7\0\3t/#\2"),
        "Client me sending SUBSCRIBE (Mid: 7, Topic: t/#, QoS: 2, Options: 0x00)\n");
    expect(&bench, true, BYTES("\x82\x0a\0\7\0\1a\1\0\1b\0"),
        "Client me sending SUBSCRIBE (Mid: 7, Topic: a, QoS: 1, Options: 0x00)\n"
        "Client me sending SUBSCRIBE (Mid: 7, Topic: b, QoS: 0, Options: 0x00)\n");
    expect(&bench, true, BYTES("\xa2\x05\0\x08\0\1x"),
        "Client me sending UNSUBSCRIBE (Mid: 8, Topic: x)\n");
    expect(&bench, true, BYTES("\x30\x05\0\1t12"),
        "Client me sending PUBLISH (d0, q0, r0, m9, 't', ... (2 bytes))\n");
    expect(&bench, true, BYTES("\x3d\x07\0\1t\1\2ab"),
        "Client me sending PUBLISH (d1, q2, r1, m258, 't', ... (2 bytes))\n");
    expect(&bench, false, BYTES("\x30\x04\0\1t1"),
        "Client me received PUBLISH (d0, q0, r0, m0, 't', ... (1 bytes))\n");
    expect(&bench, false, BYTES("\x40\x02\0\1"), "Client me received PUBACK (Mid: 1, RC:0)\n");
    expect(&bench, false, BYTES("\x50\x02\0\1"), "Client me received PUBREC (Mid: 1)\n");
    expect(&bench, true, BYTES("\x62\x02\0\1"), "Client me sending PUBREL (m1)\n");
    expect(&bench, false, BYTES("\x70\x02\0\1"), "Client me received PUBCOMP (Mid: 1, RC:0)\n");
    expect(&bench, true, BYTES("\xc0\0"), "Client me sending PINGREQ\n");
    expect(&bench, false, BYTES("\xd0\0"), "Client me received PINGRESP\n");
    expect(&bench, true, BYTES("\xe0\0"), "Client me sending DISCONNECT\n");
    noc_output_buffer_done(&bench.lines);
}

static void version_5_has_its_own(void **state)
{
    struct bench bench;

    set_up(&bench, 5, "");
    expect(&bench, true, BYTES("\x10\x02\0\0"), "Client (null) sending CONNECT\n");
    expect(&bench, false, BYTES("\x20\x09\0\0\6\x12\0\3abc"), "Client abc received CONNACK (0)\n");
    expect(
        &bench, false, BYTES("\x40\x03\0\1\x87"), "Client abc received PUBACK (Mid: 1, RC:135)\n");
    expect(&bench, true, BYTES("\x82\x07\0\7\0\0\1a\x29"),
        "Client abc sending SUBSCRIBE (Mid: 7, Topic: a, QoS: 1, Options: 0x28)\n");
    expect(&bench, true, BYTES("\x30\x08\0\1t\2\1\1xy"),
        "Client abc sending PUBLISH (d0, q0, r0, m8, 't', ... (2 bytes))\n");
    expect(&bench, false, BYTES("\xe0\x02\x8b\0"), "Received DISCONNECT (139)\n");
    noc_output_buffer_done(&bench.lines);
}

/* The engine shows the start of a packet only, when it is a large one. */
static void the_size_is_that_of_the_whole(void **state)
{
    struct bench bench;

    set_up(&bench, 4, "me");
    expect(&bench, true, BYTES("\x30\x83\x80\x01\0\1t"),
        "Client me sending PUBLISH (d0, q0, r0, m1, 't', ... (16384 bytes))\n");
    noc_output_buffer_done(&bench.lines);
}

static void it_can_be_turned_off(void **state)
{
    struct bench bench;

    set_up(&bench, 4, "me");
    bench.trace.is_off = true;
    expect(&bench, true, BYTES("\xe0\0"), "");
    noc_output_buffer_done(&bench.lines);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packets_have_mosquittos_lines),
        cmocka_unit_test(version_5_has_its_own),
        cmocka_unit_test(the_size_is_that_of_the_whole),
        cmocka_unit_test(it_can_be_turned_off),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
