/* SPDX-License-Identifier: Apache-2.0 */
/* The log line at a connection's end, in the forms of both releases of Mosquitto. */
#include "harness.h"

#include <stdio.h>
#include <string.h>

struct ending {
    struct client *client;
    enum noc_end end;
    const char *text;
};

static void end_link(struct noc_shard *shard, const void *argument)
{
    const struct ending *ending = argument;

    (void)shard;
    noc_link_end(&ending->client->link, ending->end, ending->text);
}

static void each_end_has_its_line_and_its_reason(void **state) /* [MQTT-4.13.2-1] */
{
    static const struct {
        enum noc_end end;
        const char *text, *line20, *line21, *heard;
    } cases[] = {
        {NOC_END_DISCONNECT, NULL, "Client c disconnected.",
            "Client c [192.0.2.7:40001] disconnected.", "closed"},
        {NOC_END_PEER_CLOSED, NULL, "Client c closed its connection.",
            "Client c [192.0.2.7:40001] disconnected: connection closed by client.", "closed"},
        {NOC_END_ERROR, "broken pipe", "Bad socket read/write on client c: broken pipe.",
            "Client c [192.0.2.7:40001] disconnected: bad socket read/write: broken pipe.",
            "closed"},
        {NOC_END_ERROR, NULL, "Bad socket read/write on client c: connection lost.",
            "disconnected: bad socket read/write: connection lost.", "closed"},
        {NOC_END_TIMEOUT, NULL, "Client c has exceeded timeout, disconnecting.",
            "Client c [192.0.2.7:40001] disconnected: exceeded timeout.",
            "DISCONNECT rc141; closed"},
        {NOC_END_TAKEN_OVER, NULL, "Client c already connected, closing old connection.",
            "Client c [192.0.2.7:40001] disconnected: session taken over.",
            "DISCONNECT rc142; closed"},
        {NOC_END_MALFORMED, "topic at byte 2",
            "Client c disconnected due to malformed packet. (topic at byte 2)",
            "Client c [192.0.2.7:40001] disconnected: malformed packet. (topic at byte 2)",
            "DISCONNECT rc129; closed"},
        {NOC_END_PROTOCOL, "", "Client c disconnected due to protocol error.",
            "Client c [192.0.2.7:40001] disconnected: protocol error.", "DISCONNECT rc130; closed"},
        {NOC_END_OVERSIZE, NULL, "Client c disconnected due to oversize packet.",
            "disconnected: oversize packet.", "DISCONNECT rc149; closed"},
        {NOC_END_QUOTA, NULL, "due to receive maximum exceeded.",
            "disconnected: receive maximum exceeded.", "DISCONNECT rc147; closed"},
        {NOC_END_MEMORY, NULL, "due to out of memory.", "disconnected: out of memory.",
            "DISCONNECT rc151; closed"},
        {NOC_END_ADMIN, NULL, "Client c been disconnected by administrative action.",
            "disconnected: administrative action.", "DISCONNECT rc152; closed"},
        {NOC_END_SHUTDOWN, NULL, NULL, NULL, "DISCONNECT rc139; closed"},
    };

    (void)state;
    for (unsigned i = 0; i < NOC_COUNT(cases); i++) {
        for (unsigned is_21 = 0; is_21 < 2; is_21++) {
            struct world w;
            struct ending ending = {.end = cases[i].end, .text = cases[i].text};
            const char *line = is_21 == 1 ? cases[i].line21 : cases[i].line20;

            world_init(&w);
            w.limits.compatibility = is_21 == 1 ? NOC_COMPAT_2_1 : NOC_COMPAT_2_0;
            world_start(&w, 1);
            ending.client = join(&w, "c");
            log_clear(&w);
            world_do(&w, 0, end_link, &ending);
            hears(ending.client, cases[i].heard);
            assert_int_equal(w.log_n > 0, line != NULL);
            assert_true(line == NULL || logged(&w, line));
            world_close(&w);
        }
    }
}

static void a_refusal_has_the_words_of_its_reason_in_2_1(void **state)
{
    static const struct {
        uint8_t reason;
        const char *words;
    } cases[] = {
        {NOC_RC_CLIENT_ID_NOT_VALID, "client identifier not valid."},
        {NOC_RC_UNSPECIFIED, "client identifier not valid."},
        {NOC_RC_SERVER_UNAVAILABLE, "server unavailable."},
        {NOC_RC_SERVER_BUSY, "server busy."},
        {NOC_RC_BAD_AUTHENTICATION_METHOD, "bad authentication method."},
        {NOC_RC_QUOTA_EXCEEDED, "quota exceeded."},
        {NOC_RC_NOT_AUTHORIZED, "refused."},
    };

    (void)state;
    for (unsigned i = 0; i < NOC_COUNT(cases); i++) {
        struct world w;
        struct ending ending = {.end = NOC_END_REFUSED, .text = "why"};
        char line[100];

        world_init(&w);
        w.limits.compatibility = NOC_COMPAT_2_1;
        world_start(&w, 1);
        ending.client = dial(&w, 0, 0);
        ending.client->link.refusal = cases[i].reason;
        (void)snprintf(
            line, sizeof line, "[192.0.2.7:40001] disconnected: %s (why)\n", cases[i].words);
        world_do(&w, 0, end_link, &ending);
        assert_true(logged(&w, line));
        world_close(&w);
    }
}

static void a_protocol_error_has_mosquittos_line(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, 1);
    say_bytes(join(&w, "c"), "\x20\x02\0\0");
    assert_false(logged(&w, "Protocol error from"));
    say_bytes(dial(&w, 0, 0), "\x10\x10\0\4MQTT\4\x42\0\0\0\1a\0\1p");
    assert_true(logged(&w, "Protocol error from 192.0.2.7: password without username, closing "
                           "connection.\n"));
    say_bytes(dial(&w, 0, 0), "\x10\x0d\0\4MQXX\4\2\0\0\0\1a");
    assert_true(logged(&w, "Invalid protocol \"MQXX\" in CONNECT from 192.0.2.7.\n"));
    say_bytes(dial(&w, 0, 0), "\x10\x0d\0\4MQTT\7\2\0\0\0\1a");
    assert_true(logged(&w, "Invalid protocol version 7 in CONNECT from 192.0.2.7.\n"));
    w.core.limits.compatibility = NOC_COMPAT_2_1;
    say_bytes(join(&w, "d"), "\x20\x02\0\0");
    assert_true(logged(&w, "Protocol error from d: packet type.\n"));
    world_close(&w);
}

static void version_3_clients_hear_nothing(void **state)
{
    struct world w;
    struct ending ending = {.end = NOC_END_ADMIN};

    (void)state;
    world_open(&w, 1);
    ending.client = join_v311(&w, "c");
    world_do(&w, 0, end_link, &ending);
    hears(ending.client, "closed");
    world_close(&w);
}

static void without_connection_messages_only_errors_are_told(void **state)
{
    struct world w;
    struct client *c;

    (void)state;
    world_init(&w);
    w.limits.connection_messages = false;
    world_start(&w, 1);
    c = join(&w, "c");
    hang_up(c);
    assert_int_equal(w.log_n, 0);
    c = join(&w, "c");
    say_bytes(c, "\0\0");
    assert_true(logged(&w, "malformed packet"));
    world_close(&w);
}

static void a_port_check_leaves_no_line(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, 1);
    hang_up(dial(&w, 0, 0));
    assert_int_equal(w.log_n, 0);
    world_close(&w);
}

static void a_link_ends_once(void **state)
{
    struct world w;
    struct ending ending = {.end = NOC_END_PROTOCOL};

    (void)state;
    world_open(&w, 1);
    ending.client = join(&w, "c");
    ending.client->takes = 0; /* So it is there still when it ends again. */
    for (unsigned i = 0; i < 2; i++) {
        noc_reclaim_online(w.core.reclaim, 0);
        end_link(&w.shards[0], &ending);
        noc_reclaim_offline(w.core.reclaim, 0);
    }
    ending.client->takes = SIZE_MAX;
    world_settle(&w);
    hears(ending.client, "DISCONNECT rc130; closed");
    world_close(&w);
}

static void before_connect_the_address_stands_for_the_client(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, 1);
    say_bytes(dial(&w, 0, 0), "\0\0");
    assert_true(logged(&w, "Client 192.0.2.7:40001 disconnected due to protocol error."));
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_end_has_its_line_and_its_reason),
        cmocka_unit_test(a_refusal_has_the_words_of_its_reason_in_2_1),
        cmocka_unit_test(a_protocol_error_has_mosquittos_line),
        cmocka_unit_test(version_3_clients_hear_nothing),
        cmocka_unit_test(without_connection_messages_only_errors_are_told),
        cmocka_unit_test(a_port_check_leaves_no_line),
        cmocka_unit_test(a_link_ends_once),
        cmocka_unit_test(before_connect_the_address_stands_for_the_client),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
