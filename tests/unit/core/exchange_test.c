/* SPDX-License-Identifier: Apache-2.0 */
/* Extended authentication, with the harness's method ECHO. */
#include "harness.h"

#include <string.h>

#define ECHO_METHOD \
    "\x15\0\x04"    \
    "ECHO"
#define ECHO_DATA(n, text) "\x16\0" n text

static struct client *dial_with(
    struct world *world, unsigned shard, const char *id, struct noc_slice props)
{
    struct client *client = dial(world, shard, 0);

    say_connect(client, (struct noc_connect){.version = NOC_V5,
                            .clean_start = true,
                            .client_id = noc_slice_of(id),
                            .props.raw = props});
    return client;
}

static struct client *dial_hi(struct world *world, const char *id)
{
    struct client *client = dial_with(world, 0, id, BYTES(ECHO_METHOD ECHO_DATA("\x02", "hi")));

    hears(client, "AUTH rc24 15=ECHO 16=hi?");
    return client;
}

/* Let in, after one question. */
static struct client *join_hi(struct world *world, const char *id)
{
    struct client *client = dial_hi(world, id);

    say_auth(client, NOC_RC_CONTINUE_AUTHENTICATION, "ECHO", "ok");
    assert_int_equal(client->link.state, NOC_LINK_OPEN);
    heard(client);
    return client;
}

/* ---- before the CONNACK ---- */

static void a_method_that_is_not_known_is_refused(void **state) /* [MQTT-4.12.0-1] */
{
    char method[3 + NOC_AUTH_METHOD_MAX + 1] = "\x15\0\x41";
    struct world w;

    (void)state;
    world_open(&w, 1);
    hears(dial_with(&w, 0, "a", BYTES("\x15\0\x05PLAIN")), "CONNACK sp0 rc140; closed");
    hears(dial_with(&w, 0, "b", BYTES("\x15\0\0")), "CONNACK sp0 rc140; closed");
    memset(method + 3, 'M', NOC_AUTH_METHOD_MAX + 1);
    hears(dial_with(&w, 0, "c", noc_slice(method, sizeof method)), "CONNACK sp0 rc140; closed");
    world_close(&w);
}

static void a_method_may_be_content_at_once(void **state) /* [MQTT-4.12.0-5] */
{
    struct world w;
    struct client *c;

    (void)state;
    world_open(&w, 1);
    c = dial_with(&w, 0, "a", BYTES(ECHO_METHOD ECHO_DATA("\x02", "ok")));
    hears(c, "CONNACK sp0 rc0 22=10 21=20 15=ECHO 16=ok");
    assert_int_equal(c->link.session->username_n, 4);
    assert_memory_equal(c->link.session->username, "echo", 4);
    world_close(&w);
}

static void the_client_is_asked_until_the_method_is_content(void **state) /* [MQTT-4.12.0-2] */
{
    struct world w;
    struct client *c;

    (void)state;
    world_open(&w, 1);
    c = dial_hi(&w, "a");
    assert_true(c->is_reading);
    say_auth(c, NOC_RC_CONTINUE_AUTHENTICATION, "ECHO", "well");
    hears(c, "AUTH rc24 15=ECHO 16=well?");
    say_auth(c, NOC_RC_CONTINUE_AUTHENTICATION, "ECHO", NULL);
    hears(c, "AUTH rc24 15=ECHO");
    say_auth(c, NOC_RC_CONTINUE_AUTHENTICATION, "ECHO", "ok");
    hears(c, "CONNACK sp0 rc0 22=10 21=20 15=ECHO 16=ok");
    say_publish(c, 1, 1, "t", "x");
    hears(c, "PUBACK 1 rc16");
    world_close(&w);
}

static void a_method_may_refuse_at_any_point(void **state) /* [MQTT-4.12.0-4] */
{
    struct world w;
    struct client *c;

    (void)state;
    world_open(&w, 1);
    hears(dial_with(&w, 0, "a", BYTES(ECHO_METHOD ECHO_DATA("\x02", "no"))),
        "CONNACK sp0 rc135; closed");
    c = dial_hi(&w, "b");
    say_auth(c, NOC_RC_CONTINUE_AUTHENTICATION, "ECHO", "no");
    hears(c, "CONNACK sp0 rc135; closed");
    c = dial_hi(&w, "c");
    say_auth(c, NOC_RC_CONTINUE_AUTHENTICATION, "ECHO", "memory");
    hears(c, "closed");
    world_close(&w);
}

static void only_auth_and_disconnect_come_before_the_connack(void **state) /* [MQTT-3.1.2-30] */
{
    static const char ping[] = "\xc0", publish[] = "\x30\x04\0\x01t\0";
    struct world w;
    struct client *c;

    (void)state;
    world_open(&w, 1);
    c = dial_hi(&w, "a");
    say(c, ping, 2);
    hears(c, "closed");
    c = dial_hi(&w, "b");
    say(c, publish, 6);
    hears(c, "closed");
    c = dial_hi(&w, "c");
    say_connect(c, (struct noc_connect){.version = NOC_V5, .client_id = TEXT("c")});
    hears(c, "closed");
    log_clear(&w);
    c = dial_hi(&w, "d");
    say_disconnect(c, 0, noc_slice(NULL, 0));
    hears(c, "closed");
    assert_true(logged(&w, "Client d disconnected."));
    assert_int_equal(world_count(&w, NOC_COUNT_SESSIONS), 0);
    world_close(&w);
}

static void an_auth_out_of_turn_ends_it(void **state) /* [MQTT-4.12.0-3] */
{
    static const uint8_t wrong[] = {NOC_RC_SUCCESS, NOC_RC_REAUTHENTICATE};
    struct world w;
    struct client *c;

    (void)state;
    world_open(&w, 1);
    for (size_t i = 0; i < NOC_COUNT(wrong); i++) {
        c = dial_hi(&w, "a");
        say_auth(c, wrong[i], "ECHO", "ok");
        hears(c, "closed");
    }
    c = dial_hi(&w, "a");
    say_auth(c, NOC_RC_CONTINUE_AUTHENTICATION, "ECHi", "ok"); /* [MQTT-4.12.0-5] */
    hears(c, "closed");
    c = dial_hi(&w, "a");
    say_auth(c, NOC_RC_CONTINUE_AUTHENTICATION, NULL, "ok");
    hears(c, "closed");
    world_close(&w);
}

static void an_exchange_has_to_come_to_its_end_in_time(void **state)
{
    struct world w;
    struct client *c;

    (void)state;
    world_open(&w, 1);
    c = dial_hi(&w, "a");
    world_advance(&w, 20000);
    say_auth(c, NOC_RC_CONTINUE_AUTHENTICATION, "ECHO", "well");
    heard(c);
    world_advance(&w, 11000);
    hears(c, "closed");
    assert_true(logged(&w, "no AUTH in time"));
    world_close(&w);
}

static void a_stranger_sends_no_large_packets(void **state)
{
    static const char large[] = "\xf0\x80\x80\x04"; /* 64 KiB */
    struct world w;
    struct client *c;

    (void)state;
    world_open(&w, 1);
    c = dial_hi(&w, "a");
    say(c, large, 4);
    hears(c, "closed");
    assert_true(logged(&w, "oversize"));
    world_close(&w);
}

/* Whole, and cut at every byte, on the client's own worker and by way of another. */
static void an_exchange_may_come_in_pieces(void **state)
{
    static const char conversation[] = "\x10\x1a\0\x04MQTT\x05\x02\0\0\x0c\x15\0\x04"
                                       "ECHO\x16\0\x02hi\0\x01m\xf0\x0e\x18\x0c\x15\0\x04"
                                       "ECHO\x16\0\x02ok\xc0\0\xf0\x0e\x19\x0c\x15\0\x04"
                                       "ECHO\x16\0\x02ok\xc0";
    size_t n = sizeof conversation; /* its zero byte is the ping's */

    (void)state;
    for (unsigned far = 0; far < 2; far++) {
        for (size_t cut = 0; cut < n; cut++) {
            struct world w;
            struct client *c;

            world_open(&w, 2);
            for (unsigned i = 0; far == 1 && i < 3; i++) {
                c = dial(&w, 0, 0);
                say_connect(c, (struct noc_connect){.version = NOC_V5,
                                   .clean_start = true,
                                   .client_id = noc_slice("0123", 1 + i)});
            }
            c = dial(&w, 0, 0);
            say(c, conversation, cut);
            say(c, conversation + cut, n - cut);
            hears(c, "AUTH rc24 15=ECHO 16=hi?; CONNACK sp0 rc0 22=10 21=20 15=ECHO 16=ok; "
                     "PINGRESP; AUTH rc0 15=ECHO 16=ok; PINGRESP");
            assert_int_equal(c->steps, 3);
            world_close(&w);
        }
    }
}

static void what_was_not_sent_goes_along_to_the_home(void **state)
{
    struct world w;
    struct client *c;

    (void)state;
    world_open(&w, 2);
    for (unsigned i = 0; i < 6; i++) {
        c = dial(&w, 0, 0);
        say_connect(c,
            (struct noc_connect){
                .version = NOC_V5, .clean_start = true, .client_id = noc_slice("012345", 1 + i)});
    }
    for (unsigned tries = 0; tries < 8; tries++) {
        char id[] = {'m', (char)('0' + tries), '\0'};

        c = dial(&w, 0, 0);
        c->takes = 3;
        say_connect(c, (struct noc_connect){.version = NOC_V5,
                           .clean_start = true,
                           .client_id = noc_slice_of(id),
                           .props.raw = BYTES(ECHO_METHOD ECHO_DATA("\x02", "hi"))});
        say_auth(c, NOC_RC_CONTINUE_AUTHENTICATION, "ECHO", "ok");
        if (c->moves == 1) {
            break;
        }
    }
    assert_int_equal(c->moves, 1);
    c->takes = SIZE_MAX;
    world_settle(&w);
    world_turn(&w, c->link.shard->number);
    hears(c, "AUTH rc24 15=ECHO 16=hi?; CONNACK sp0 rc0 22=10 21=20 15=ECHO 16=ok");
    world_close(&w);
}

static void who_takes_only_small_packets_is_asked_nothing(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, 1);
    hears(dial_with(&w, 0, "a", BYTES(ECHO_METHOD ECHO_DATA("\x02", "hi") "\x27\0\0\0\x0a")),
        "closed");
    assert_true(logged(&w, "larger than it takes"));
    world_close(&w);
}

/* ---- on an open connection ---- */

static void a_client_authenticates_again(void **state) /* [MQTT-4.12.1-1] */
{
    struct world w;
    struct client *c;

    (void)state;
    world_open(&w, 1);
    c = join_hi(&w, "a");
    say_auth(c, NOC_RC_REAUTHENTICATE, "ECHO", "again");
    hears(c, "AUTH rc24 15=ECHO 16=again?");
    /* What it may do, it may do meanwhile. */
    say_publish(c, 1, 1, "t", "x");
    hears(c, "PUBACK 1 rc16");
    say_auth(c, NOC_RC_CONTINUE_AUTHENTICATION, "ECHO", "ok");
    hears(c, "AUTH rc0 15=ECHO 16=ok");
    say_auth(c, NOC_RC_REAUTHENTICATE, "ECHO", "ok");
    hears(c, "AUTH rc0 15=ECHO 16=ok");
    world_close(&w);
}

static void who_fails_to_authenticate_again_is_disconnected(void **state) /* [MQTT-4.12.1-2] */
{
    struct world w;
    struct client *c;

    (void)state;
    world_open(&w, 1);
    c = join_hi(&w, "a");
    say_auth(c, NOC_RC_REAUTHENTICATE, "ECHO", "no");
    hears(c, "DISCONNECT rc135; closed");
    c = join_hi(&w, "a");
    say_auth(c, NOC_RC_REAUTHENTICATE, "ECHO", "again");
    heard(c);
    say_auth(c, NOC_RC_CONTINUE_AUTHENTICATION, "ECHO", "no");
    hears(c, "DISCONNECT rc135; closed");
    world_close(&w);
}

static void an_auth_that_nobody_waits_for_ends_an_open_connection(void **state)
{
    struct world w;
    struct client *c;

    (void)state;
    world_open(&w, 1);
    c = join_hi(&w, "a");
    say_auth(c, NOC_RC_CONTINUE_AUTHENTICATION, "ECHO", "ok");
    hears(c, "DISCONNECT rc130; closed");
    c = join_hi(&w, "a");
    say_auth(c, NOC_RC_REAUTHENTICATE, "OTHER", "ok"); /* [MQTT-4.12.1-1] */
    hears(c, "DISCONNECT rc130; closed");
    c = join_hi(&w, "a");
    say_auth(c, NOC_RC_REAUTHENTICATE, "ECHO", "again");
    heard(c);
    say_auth(c, NOC_RC_REAUTHENTICATE, "ECHO", "again");
    hears(c, "DISCONNECT rc130; closed");
    c = join(&w, "b");
    say_auth(c, NOC_RC_REAUTHENTICATE, "ECHO", "ok"); /* [MQTT-4.12.0-7] */
    hears(c, "DISCONNECT rc130; closed");
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_method_that_is_not_known_is_refused),
        cmocka_unit_test(a_method_may_be_content_at_once),
        cmocka_unit_test(the_client_is_asked_until_the_method_is_content),
        cmocka_unit_test(a_method_may_refuse_at_any_point),
        cmocka_unit_test(only_auth_and_disconnect_come_before_the_connack),
        cmocka_unit_test(an_auth_out_of_turn_ends_it),
        cmocka_unit_test(an_exchange_has_to_come_to_its_end_in_time),
        cmocka_unit_test(a_stranger_sends_no_large_packets),
        cmocka_unit_test(an_exchange_may_come_in_pieces),
        cmocka_unit_test(what_was_not_sent_goes_along_to_the_home),
        cmocka_unit_test(who_takes_only_small_packets_is_asked_nothing),
        cmocka_unit_test(a_client_authenticates_again),
        cmocka_unit_test(who_fails_to_authenticate_again_is_disconnected),
        cmocka_unit_test(an_auth_that_nobody_waits_for_ends_an_open_connection),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
