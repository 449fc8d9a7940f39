/* SPDX-License-Identifier: Apache-2.0 */
/* A connection's life: how it begins, what time does to it, how it ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "kit.h"

static struct kit kit;

static int begin(void **state)
{
    (void)state;
    kit_init(&kit);
    return 0;
}

static int end(void **state)
{
    (void)state;
    kit_done(&kit);
    return 0;
}

static void a_connect_has_what_the_options_say(void **state)
{
    static const struct noc_client_will will = {
        {"w", 1}, {"bye", 3}, {NULL, 0}, .qos = 1, .retain = true};

    (void)state;
    kit_open(&kit, 256, 128);
    kit_start(&kit);
    expect_wire(&kit, "10 0e 0004 'MQTT' 04 02 002d 0002 'me'");

    noc_client_lost(&kit.client);
    kit_run(&kit);
    kit.options.username = noc_slice_of("u");
    kit.options.password = noc_slice_of("pw");
    kit.options.will = &will;
    kit.options.keep_session = true;
    kit.options.keep_alive_s = NOC_KEEP_ALIVE_OFF;
    kit_start(&kit);
    expect_wire(
        &kit, "10 1d 0004 'MQTT' 04 ec 0000 0002 'me' 0001 'w' 0003 'bye' 0001 'u' 0002 'pw'");
    expect_events(&kit, "closed 2 0: \n");
}

static void version_31_has_a_name_of_its_own(void **state)
{
    (void)state;
    kit.options.version = 3;
    kit_open(&kit, 256, 128);
    kit_start(&kit);
    expect_wire(&kit, "10 10 0006 'MQIsdp' 03 02 002d 0002 'me'");
    kit_feed(&kit, "20 02 01 00"); /* The flag is reserved there, and says nothing. */
    expect_events(&kit, "connected\n");
}

static void version_5_announces_what_it_takes(void **state)
{
    static uint16_t received[7], lengths[3];
    static char topics[3 * 16];
    static const struct noc_client_aliases aliases = {topics, lengths, 16, 3};

    (void)state;
    kit.options.version = 5;
    kit.options.received = received;
    kit.options.received_max = 7;
    kit.options.aliases = &aliases;
    kit.options.connect_props = noc_slice("\x11\x00\x00\x00\x3c", 5);
    kit_open(&kit, 256, 128);
    kit_start(&kit);
    expect_wire(&kit, "10 1a 0004 'MQTT' 05 02 002d 0b 21 0007 22 0003 11 0000003c 0002 'me'");
}

static void what_makes_no_packet_is_refused(void **state)
{
    static const struct noc_client_will no_topic = {{NULL, 0}, {NULL, 0}, {NULL, 0}, 0, false};
    static const struct noc_client_will qos_3 = {{"t", 1}, {NULL, 0}, {NULL, 0}, 3, false};
    static char text[70000];

    (void)state;
    kit_open(&kit, 256, 128);
    kit.options.password = noc_slice_of("pw");
    assert_int_equal(noc_client_start(&kit.client, 0), NOC_EINVAL);
    kit.options.password = noc_slice(NULL, 0);
    kit.options.will = &no_topic;
    assert_int_equal(noc_client_start(&kit.client, 0), NOC_EINVAL);
    kit.options.will = &qos_3;
    assert_int_equal(noc_client_start(&kit.client, 0), NOC_EINVAL);
    kit.options.will = NULL;
    kit.options.client_id = noc_slice(NULL, 0);
    kit.options.keep_session = true;
    assert_int_equal(noc_client_start(&kit.client, 0), NOC_EINVAL);
    kit.options.client_id = noc_slice(text, 115);
    assert_int_equal(noc_client_start(&kit.client, 0), NOC_ETOOLARGE);
    kit.options.client_id = noc_slice(text, 70000);
    assert_int_equal(noc_client_start(&kit.client, 0), NOC_ETOOLARGE);
    assert_int_equal(noc_client_state(&kit.client), NOC_CLIENT_IDLE);
    kit.options.client_id = noc_slice_of("me");
    assert_int_equal(noc_client_start(&kit.client, 0), NOC_OK);
    assert_int_equal(noc_client_start(&kit.client, 0), NOC_EINVAL);
}

static void options_that_contradict_each_other_are_refused(void **state)
{
    static const struct noc_client_websocket websocket = {.host = {"h", 1}};
    uint8_t in[512], out[512];

    (void)state;
    assert_int_equal(noc_client_init(&kit.client, &kit.options, in, 255, out, 128), NOC_EINVAL);
    assert_int_equal(noc_client_init(&kit.client, &kit.options, in, 256, out, 127), NOC_EINVAL);
    for (unsigned version = 0; version < 8; version++) {
        kit.options.version = (uint8_t)version;
        assert_int_equal(noc_client_init(&kit.client, &kit.options, in, 256, out, 128),
            version == 0 || (version >= 3 && version <= 5) ? NOC_OK : NOC_EINVAL);
    }
    kit.options.version = 4;
    kit.options.websocket = &websocket;
    assert_int_equal(noc_client_init(&kit.client, &kit.options, in, 511, out, 512), NOC_EINVAL);
    assert_int_equal(noc_client_init(&kit.client, &kit.options, in, 512, out, 383), NOC_EINVAL);
    assert_int_equal(noc_client_init(&kit.client, &kit.options, in, 512, out, 384), NOC_OK);
    kit.options.random = NULL;
    assert_int_equal(noc_client_init(&kit.client, &kit.options, in, 512, out, 384), NOC_EINVAL);
}

static void a_refusal_ends_the_connection(void **state)
{
    (void)state;
    kit_open(&kit, 256, 128);
    kit_start(&kit);
    kit_feed(&kit, "20 02 00 05");
    expect_events(&kit, "closed 9 5: \n");
    assert_int_equal(noc_client_state(&kit.client), NOC_CLIENT_IDLE);

    kit.options.version = 5;
    kit_open(&kit, 256, 128);
    kit_start(&kit);
    kit_feed(&kit, "20 0a 00 87 07 1f 0004 'away'");
    expect_events(&kit, "closed 9 135: away\n");
    assert_true(noc_props_has(&kit.last.props, NOC_PROP_REASON_STRING));
}

static void a_session_that_was_not_asked_for_is_an_offence(void **state)
{
    (void)state; /* [MQTT-3.2.2-4] */
    kit.options.version = 5;
    kit_open(&kit, 256, 128);
    kit_start(&kit);
    kit.wire_n = 0;
    kit_feed(&kit, "20 03 01 00 00");
    expect_wire(&kit, "e0 01 82");
    expect_events(&kit, "closed 11 130: \n");
    assert_string_equal(noc_client_fault(&kit.client), "session present");
}

static void nothing_but_connack_may_come_first(void **state)
{
    static const char *const packets[] = {"30 03 0001 'a'", "d0 00", "40 02 0001", "90 03 0001 00",
        "10 0c 0004 'MQTT' 04 02 002d 0000", "f0 00"};

    (void)state;
    for (unsigned version = 4; version <= 5; version++) {
        for (size_t i = 0; i < NOC_COUNT(packets); i++) {
            kit.options.version = (uint8_t)version;
            kit_open(&kit, 256, 128);
            kit_start(&kit);
            kit_feed(&kit, packets[i]);
            assert_int_equal(kit.last.kind, NOC_EVENT_CLOSED);
            assert_int_equal(kit.last.cause.kind, NOC_CAUSE_PROTOCOL);
        }
    }
}

static void silence_is_answered_by_a_ping_and_no_answer_by_the_end(void **state)
{
    (void)state; /* [MQTT-3.1.2-20] */
    kit.options.keep_alive_s = 30;
    kit_open(&kit, 256, 128);
    kit_connect(&kit, "20 02 00 00");
    assert_int_equal(noc_client_wait_ms(&kit.client, kit.now_ms), 30000);
    kit.now_ms += 29999;
    kit_run(&kit);
    expect_wire(&kit, "");
    assert_int_equal(noc_client_wait_ms(&kit.client, kit.now_ms), 1);
    kit.now_ms += 1;
    kit_run(&kit);
    expect_wire(&kit, "c0 00");
    assert_int_equal(noc_client_wait_ms(&kit.client, kit.now_ms), 10000);
    kit.now_ms += 9999;
    kit_feed(&kit, "d0 00");
    expect_events(&kit, "pong\n");
    kit.now_ms += 30000;
    kit_run(&kit);
    expect_wire(&kit, "c0 00");
    kit.now_ms += 9999;
    kit_run(&kit);
    expect_events(&kit, "");
    kit.now_ms += 1;
    kit_run(&kit);
    expect_events(&kit, "closed 5 0: \n");
    assert_int_equal(noc_client_wait_ms(&kit.client, kit.now_ms), UINT32_MAX);
}

static void bytes_that_come_are_a_sign_of_life(void **state)
{
    (void)state;
    kit.options.keep_alive_s = 30;
    kit_open(&kit, 256, 128);
    kit_connect(&kit, "20 02 00 00");
    kit.now_ms += 30000;
    kit_run(&kit);
    expect_wire(&kit, "c0 00");
    for (int i = 0; i < 20; i++) {
        kit.now_ms += 9000;
        kit_feed(&kit, "30 04 0001 'a' 'x'");
    }
    kit.events_n = 0;
    kit_feed(&kit, "d0 00");
    expect_events(&kit, "pong\n");
}

static void a_server_may_set_the_keep_alive(void **state)
{
    (void)state; /* [MQTT-3.2.2-21] */
    kit.options.version = 5;
    kit_open(&kit, 256, 128);
    kit_connect(&kit, "20 06 00 00 03 13 0005");
    assert_int_equal(noc_client_wait_ms(&kit.client, kit.now_ms), 5000);
    noc_client_lost(&kit.client);
    kit_run(&kit);
    kit_connect(&kit, "20 06 00 00 03 13 0000");
    assert_int_equal(noc_client_wait_ms(&kit.client, kit.now_ms), UINT32_MAX);
    noc_client_lost(&kit.client);
    kit_run(&kit);
    kit_connect(&kit, "20 03 00 00 00");
    assert_int_equal(noc_client_wait_ms(&kit.client, kit.now_ms), 45000);
}

static void a_connect_without_an_answer_ends(void **state)
{
    (void)state;
    kit.options.answer_s = 3;
    kit_open(&kit, 256, 128);
    kit_start(&kit);
    assert_int_equal(noc_client_wait_ms(&kit.client, kit.now_ms), 3000);
    kit.now_ms += 2999;
    kit_feed(&kit, "20"); /* Begun is not done. */
    expect_events(&kit, "");
    kit.now_ms += 1;
    kit_run(&kit);
    expect_events(&kit, "closed 4 0: \n");
}

static void a_transport_that_takes_nothing_is_given_up(void **state)
{
    static char payload[126 - 5];
    struct noc_client_message message = {.topic = noc_slice_of("t")};

    (void)state;
    kit.options.keep_alive_s = 30;
    kit_open(&kit, 256, 128);
    kit_connect(&kit, "20 02 00 00");
    kit.is_stuck = true;
    message.payload = noc_slice(payload, sizeof payload);
    assert_int_equal(noc_client_publish(&kit.client, &message, NULL), NOC_OK);
    assert_int_equal(noc_client_publish(&kit.client, &message, NULL), NOC_EAGAIN);
    assert_int_equal(noc_client_ping(&kit.client, kit.now_ms), NOC_OK);
    assert_int_equal(noc_client_ping(&kit.client, kit.now_ms), NOC_EAGAIN);
    kit_feed(&kit, "d0 00");
    kit.now_ms += 30000;
    kit_run(&kit);
    kit.now_ms += 9000;
    kit.is_stuck = false;
    kit_run(&kit); /* It went on, so now a PINGREQ finds room. */
    assert_int_equal(noc_client_wait_ms(&kit.client, kit.now_ms), 10000);
    kit.is_stuck = true;
    kit_run(&kit);
    kit.now_ms += 10000;
    kit_run(&kit);
    expect_events(&kit, "pong\nclosed 5 0: \n");
}

static void goodbye_is_written_before_it_closes(void **state)
{
    (void)state;
    kit_open(&kit, 256, 128);
    kit_connect(&kit, "20 02 00 00");
    kit.is_stuck = true;
    assert_int_equal(noc_client_disconnect(&kit.client, 0, noc_slice(NULL, 0), kit.now_ms), NOC_OK);
    assert_int_equal(
        noc_client_disconnect(&kit.client, 0, noc_slice(NULL, 0), kit.now_ms), NOC_ECLOSED);
    kit_feed(&kit, "30 04 0001 'a' 'x'"); /* too late */
    expect_events(&kit, "");
    assert_int_equal(noc_client_state(&kit.client), NOC_CLIENT_CLOSING);
    kit.is_stuck = false;
    kit_run(&kit);
    expect_wire(&kit, "e0 00");
    expect_events(&kit, "closed 1 0: \n");

    kit.options.version = 5;
    kit_open(&kit, 256, 128);
    kit_connect(&kit, "20 03 00 00 00");
    assert_int_equal(
        noc_client_disconnect(&kit.client, 4, noc_slice("\x11\x00\x00\x00\x00", 5), kit.now_ms),
        NOC_OK);
    kit_run(&kit);
    expect_wire(&kit, "e0 07 04 05 11 00000000");
}

static void goodbye_does_not_wait_for_ever(void **state)
{
    (void)state;
    kit_open(&kit, 256, 128);
    kit_connect(&kit, "20 02 00 00");
    kit.is_stuck = true;
    assert_int_equal(noc_client_disconnect(&kit.client, 0, noc_slice(NULL, 0), kit.now_ms), NOC_OK);
    kit_run(&kit);
    kit.now_ms += noc_client_wait_ms(&kit.client, kit.now_ms);
    kit_run(&kit);
    expect_events(&kit, "closed 1 0: \n");
}

static void what_came_before_the_loss_is_told_first(void **state)
{
    uint8_t bytes[64];
    size_t room, n = kit_bytes("30 04 0001 'ax' 30 04 0001 'by' 30 04 00", bytes, sizeof bytes);

    (void)state;
    kit_open(&kit, 256, 128);
    kit_connect(&kit, "20 02 00 00");
    memcpy(noc_client_room(&kit.client, &room), bytes, n);
    noc_client_received(&kit.client, n, kit.now_ms);
    noc_client_lost(&kit.client);
    assert_int_equal(noc_client_wait_ms(&kit.client, kit.now_ms), 0);
    kit_run(&kit);
    expect_events(&kit, "message a q0 1:x\nmessage b q0 1:y\nclosed 2 0: \n");
    expect_wire(&kit, "");
}

static void a_server_says_goodbye_with_a_reason(void **state)
{
    (void)state;
    kit.options.version = 5;
    kit_open(&kit, 256, 128);
    kit_connect(&kit, "20 03 00 00 00");
    kit_feed(&kit, "e0 0f 9c 0d 1c 0003 'now' 1f 0004 'gone'");
    expect_events(&kit, "closed 10 156: gone\n");
    assert_int_equal(kit.last.props.server_reference.n, 3);

    kit.options.version = 4; /* No server says that there. */
    kit_open(&kit, 256, 128);
    kit_connect(&kit, "20 02 00 00");
    kit_feed(&kit, "e0 00");
    expect_events(&kit, "closed 11 130: \n");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
    static const struct CMUnitTest tests[] = {
        T(a_connect_has_what_the_options_say),
        T(version_31_has_a_name_of_its_own),
        T(version_5_announces_what_it_takes),
        T(what_makes_no_packet_is_refused),
        T(options_that_contradict_each_other_are_refused),
        T(a_refusal_ends_the_connection),
        T(a_session_that_was_not_asked_for_is_an_offence),
        T(nothing_but_connack_may_come_first),
        T(silence_is_answered_by_a_ping_and_no_answer_by_the_end),
        T(bytes_that_come_are_a_sign_of_life),
        T(a_server_may_set_the_keep_alive),
        T(a_connect_without_an_answer_ends),
        T(a_transport_that_takes_nothing_is_given_up),
        T(goodbye_is_written_before_it_closes),
        T(goodbye_does_not_wait_for_ever),
        T(what_came_before_the_loss_is_told_first),
        T(a_server_says_goodbye_with_a_reason),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
