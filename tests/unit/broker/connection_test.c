/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "world.h"

#include <errno.h>

#include "core/mail.h"

static const struct noc_address nobody = {.text = "test"};

static void append(struct noc_connection *connection, const char *text)
{
    noc_link_send(&connection->link, (const uint8_t *)text, strlen(text));
}

/* What the peer has got so far, as text; "" at the end, NULL for nothing. */
static const char *got(struct world *world)
{
    static char text[256];
    ssize_t n = recv(world->peer, text, sizeof text - 1, MSG_DONTWAIT);

    if (n < 0) {
        assert_int_equal(errno, EAGAIN);
        return NULL;
    }
    text[n] = '\0';
    return text;
}

/* Send so much that the socket takes no more; returns how much. */
static size_t fill(struct noc_connection *connection)
{
    static const char some[4096];
    size_t n = 0;

    while (!connection->link.is_blocked) {
        noc_link_send(&connection->link, (const uint8_t *)some, sizeof some);
        n += sizeof some;
        assert_true(noc_connection_flush(connection));
    }
    return n;
}

/* The socket takes more: a turn of it. */
static void make_room(struct world *world)
{
    noc_connection_on_event(world->connection, &(struct noc_loop_event){.writable = true});
    world_flush(world);
}

static void read_all(struct world *world, size_t n)
{
    char some[4096];

    while (n > 0) {
        ssize_t part = recv(world->peer, some, n < sizeof some ? n : sizeof some, MSG_DONTWAIT);

        if (part < 0) {
            make_room(world);
            continue;
        }
        assert_true(part > 0);
        n -= (size_t)part;
    }
}

static void output_leaves_at_the_end_of_the_turn(void **state)
{
    struct world *world = *state;
    struct noc_connection *connection = world_accept(world);

    append(connection, "one ");
    append(connection, "two");
    assert_null(got(world));
    world_flush(world);
    assert_string_equal(got(world), "one two");
    assert_false(noc_connection_has_output(connection));
}

static void the_last_output_leaves_with_its_turn_too(void **state)
{
    struct world *world = *state;
    struct noc_connection *connection = world_accept(world);

    append(connection, "goodbye");
    noc_link_end(&connection->link, NOC_END_ADMIN, NULL);
    assert_int_equal(connection->phase, NOC_PHASE_DRAINING);
    assert_null(got(world));
    world_flush(world);
    assert_string_equal(got(world), "goodbye");
    assert_string_equal(got(world), ""); /* our side is shut */
}

static void who_had_the_last_word_lingers_until_the_peer_is_done(void **state)
{
    struct world *world = *state;
    struct noc_connection *connection = world_accept(world);

    append(connection, "goodbye");
    assert_int_equal(send(world->peer, "unread", 6, 0), 6);
    noc_link_end(&connection->link, NOC_END_ADMIN, NULL);
    world_flush(world);
    assert_true(connection->is_lingering);
    assert_int_equal(send(world->peer, "still talking", 13, MSG_NOSIGNAL), 13);
    noc_connection_on_event(connection, &(struct noc_loop_event){.readable = true});
    assert_int_equal(connection->phase, NOC_PHASE_DRAINING);
    assert_int_equal(shutdown(world->peer, SHUT_WR), 0);
    noc_connection_on_event(connection, &(struct noc_loop_event){.readable = true, .hangup = true});
    assert_int_equal(connection->phase, NOC_PHASE_DEAD);
    assert_string_equal(got(world), "goodbye"); /* and no reset before it */
    assert_string_equal(got(world), "");
}

static void lingering_ends_in_time(void **state)
{
    struct world *world = *state;
    struct noc_connection *connection = world_accept(world);

    append(connection, "goodbye");
    noc_link_end(&connection->link, NOC_END_ADMIN, NULL);
    world_flush(world);
    world_turn(world, 1000 + 1900);
    assert_int_equal(connection->phase, NOC_PHASE_DRAINING);
    world_turn(world, 1000 + 2100);
    assert_int_equal(connection->phase, NOC_PHASE_DEAD);
}

static void nobody_lingers_without_a_last_word_or_when_the_broker_stops(void **state)
{
    struct world *world = *state;
    struct noc_connection *connection = world_accept(world);

    noc_link_end(&connection->link, NOC_END_ADMIN, NULL);
    world_flush(world);
    assert_int_equal(connection->phase, NOC_PHASE_DEAD);
    (void)close(world->peer);
    connection = world_accept(world);
    append(connection, "goodbye");
    noc_worker_stop(world->worker, 5000);
    world_flush(world);
    assert_int_equal(connection->phase, NOC_PHASE_DEAD);
    assert_string_equal(got(world), "goodbye");
}

static void a_peer_that_takes_nothing_is_given_up(void **state)
{
    struct world *world = *state;
    struct noc_connection *connection = world_accept(world);

    (void)fill(connection);
    noc_link_end(&connection->link, NOC_END_ADMIN, NULL);
    world_flush(world);
    assert_int_equal(connection->interest, NOC_LOOP_WRITE);
    world_turn(world, 1000 + 4900);
    assert_int_equal(connection->phase, NOC_PHASE_DRAINING);
    world_turn(world, 1000 + 5100);
    assert_int_equal(connection->phase, NOC_PHASE_DEAD);
}

static void writing_is_watched_only_while_it_is_blocked(void **state)
{
    struct world *world = *state;
    struct noc_connection *connection = world_accept(world);
    size_t n;

    assert_int_equal(connection->interest, NOC_LOOP_READ);
    n = fill(connection);
    assert_int_equal(connection->interest, NOC_LOOP_READ | NOC_LOOP_WRITE);
    read_all(world, n);
    assert_false(connection->link.is_blocked);
    assert_int_equal(connection->interest, NOC_LOOP_READ);
}

/* Its mail is posted by then, and there may be more to write. */
static void what_was_blocked_leaves_at_the_end_of_the_turn_too(void **state)
{
    struct world *world = *state;
    struct noc_connection *connection = world_accept(world);
    const struct noc_loop_event event = {.writable = true};
    char some[4096];
    size_t left;

    (void)fill(connection);
    while (recv(world->peer, some, sizeof some, MSG_DONTWAIT) > 0) {
    }
    left = connection->link.out.bytes;
    assert_true(left > 0);
    noc_connection_on_event(connection, &event);
    noc_connection_on_event(connection, &event);
    append(connection, "late");
    assert_int_equal(connection->link.out.bytes, left + 4);
    assert_null(got(world));
    world_flush(world);
    assert_false(noc_connection_has_output(connection));
    assert_false(connection->link.is_blocked);
}

/* The loop would tell of it over and over: a hang-up can't be turned off. */
static void a_hang_up_while_nobody_reads_leaves_the_loop_until_somebody_does(void **state)
{
    struct world *world = *state;
    struct noc_connection *connection = world_accept(world);
    struct noc_loop_event events[4];

    noc_connection_read_on(&connection->link, false);
    (void)close(world->peer);
    world->peer = -1;
    assert_int_equal(noc_loop_wait(&world->worker->loop, 0, events, 4), 1);
    noc_connection_on_event(connection, &events[0]);
    assert_int_equal(noc_loop_wait(&world->worker->loop, 0, events, 4), 0);
    assert_int_equal(connection->phase, NOC_PHASE_OPEN);
    noc_connection_read_on(&connection->link, true);
    assert_int_equal(noc_loop_wait(&world->worker->loop, 0, events, 4), 1);
    assert_ptr_equal(events[0].owner, connection);
    noc_connection_on_event(connection, &events[0]);
    assert_int_equal(connection->link.state, NOC_LINK_CLOSING);
}

static void a_peer_has_gone_when_it_has_finished_sending(void **state)
{
    struct world *world = *state;
    struct noc_connection *connection = world_accept(world);

    assert_int_equal(write(world->peer, "x", 1), 1);
    assert_false(noc_connection_has_gone(&connection->link));
    assert_int_equal(shutdown(world->peer, SHUT_WR), 0);
    assert_true(noc_connection_has_gone(&connection->link));
}

static void connections_are_numbered_as_they_are_accepted(void **state)
{
    struct world *world = *state;

    world->broker.accepted = 6;
    assert_int_equal(world_accept(world)->link.number, 7);
    assert_int_equal(world->broker.accepted, 7);
}

static void a_place_is_given_back_once(void **state)
{
    struct world *world = *state;
    struct noc_connection *connection;
    int pair[2];

    world->listener.max_connections = 1;
    connection = world_accept(world);
    assert_int_equal(atomic_load(&world->endpoint.connections), 1);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    noc_connection_open(world->worker, &world->endpoint, pair[1], &nobody);
    assert_int_equal(atomic_load(&world->endpoint.connections), 1);
    assert_int_equal(recv(pair[0], pair, 1, 0), 0); /* closed at once */
    (void)close(pair[0]);
    noc_connection_finish(connection);
    noc_connection_finish(connection);
    noc_connection_fail(connection, NOC_END_ERROR, NULL);
    assert_int_equal(atomic_load(&world->endpoint.connections), 0);
    noc_link_end(&connection->link, NOC_END_ERROR, NULL);
}

/* ---- WebSocket ---- */

static struct noc_connection *accept_websocket(struct world *world)
{
    struct noc_connection *connection;

    world->endpoint.is_websocket = true;
    connection = world_accept(world);
    noc_ws_decoder_init(&connection->ws->decoder, NOC_WS_SERVER, false);
    connection->ws->is_upgraded = true;
    connection->phase = NOC_PHASE_OPEN;
    return connection;
}

static void a_turn_is_one_frame(void **state)
{
    struct world *world = *state;
    struct noc_connection *connection = accept_websocket(world);

    append(connection, "one ");
    append(connection, "two");
    world_flush(world);
    assert_string_equal(got(world), "\x82\x07one two");
}

static void what_is_appended_under_way_goes_into_the_next_frame(void **state)
{
    struct world *world = *state;
    struct noc_connection *connection = accept_websocket(world);
    size_t queued, n = 0;

    while (!connection->link.is_blocked) {
        n++;
        (void)fill(connection);
    }
    queued = connection->link.out.bytes;
    assert_true(connection->ws->frame_left > 0 && connection->ws->frame_left <= queued);
    append(connection, "late");
    connection->ws->control_n =
        (uint8_t)noc_ws_pong_write(connection->ws->control, noc_slice_of("p"), NULL);
    assert_int_equal(connection->link.out.bytes, queued + 4);
    /* Read until only the second frame is left. */
    while (connection->link.is_blocked) {
        char some[8192];
        ssize_t part = recv(world->peer, some, sizeof some, MSG_DONTWAIT);

        if (part < 0) {
            make_room(world);
        } else if (part < (ssize_t)sizeof some) {
            break;
        }
    }
    make_room(world);
    {
        char all[16384];
        ssize_t part, total = 0;

        while (
            (part = recv(world->peer, all + total, sizeof all - (size_t)total, MSG_DONTWAIT)) > 0) {
            total += part;
        }
        assert_true(total >= 9);
        /* A pong between the frames, and the late bytes in one of their own. */
        assert_memory_equal(all + total - 9, "\x8a\x01p\x82\x04late", 9);
    }
}

static void a_close_frame_goes_last(void **state)
{
    struct world *world = *state;
    struct noc_connection *connection = accept_websocket(world);

    connection->ws->control_n =
        (uint8_t)noc_ws_pong_write(connection->ws->control, noc_slice_of("p"), NULL);
    append(connection, "bye");
    noc_link_end(&connection->link, NOC_END_ADMIN, NULL);
    world_flush(world);
    assert_string_equal(got(world), "\x82\x03"
                                    "bye\x88\x02\x03\xe8");
    assert_string_equal(got(world), "");
}

/* What the peer has answered lies unread then: that is our doing, not its. */
static void a_late_pong_ends_nobody_who_is_not_read(void **state)
{
    struct world *world = *state;
    struct noc_connection *connection;

    world->listener.websocket_ping_interval_s = 5;
    world->listener.websocket_ping_timeout_s = 10;
    connection = accept_websocket(world);
    connection->ws->spoke_ms = 1000;
    noc_connection_start_pings(connection);
    world_turn(world, 6100);
    assert_string_equal(got(world), "\x89"); /* a ping of no bytes */
    noc_connection_read_on(&connection->link, false);
    for (uint64_t now_ms = 7000; now_ms <= 30000; now_ms += 1000) {
        world_turn(world, now_ms);
    }
    assert_int_equal(connection->phase, NOC_PHASE_OPEN);
    noc_connection_read_on(&connection->link, true);
    world_turn(world, 39000);
    assert_int_equal(connection->phase, NOC_PHASE_OPEN); /* it has the whole time again */
    world_turn(world, 40100);
    assert_int_equal(connection->link.state, NOC_LINK_CLOSING);
}

/* Frames with a mask of zeros, as a client sends them. */
#define FRAME(head, literal) head "\0\0\0\0" literal
#define MQTT_CONNECT         FRAME("\x82\x8f", "\x10\x0d\0\4MQTT\4\2\0\0\0\1z")
#define MQTT_PUBLISH         FRAME("\x82\x86", "\x30\4\0\1tx")
#define MQTT_DISCONNECT      FRAME("\x82\x82", "\xe0\0")
#define WS_CLOSE             FRAME("\x88\x80", "")
#define SAY(world, frames)   say(world, frames, sizeof(frames) - 1)

/* The peer has sent so much, and the loop tells of it. */
static void say(struct world *world, const char *bytes, size_t n)
{
    assert_int_equal(send(world->peer, bytes, n, 0), n);
    noc_connection_on_event(world->connection, &(struct noc_loop_event){.readable = true});
}

/*
 * A client of a world in which the other worker has a subscription to "t", and is so far
 * behind that one PUBLISH pauses whoever feeds it.
 */
static struct noc_connection *accept_feeder(struct world *world, struct noc_sub *sub)
{
    struct noc_connection *connection = accept_websocket(world);
    struct noc_core *core = &world->broker.core;

    noc_reclaim_online(core->reclaim, 1);
    assert_int_equal(
        noc_index_subscribe(core->index, 1, noc_slice_of("t"), noc_slice(NULL, 0), sub), NOC_OK);
    noc_reclaim_offline(core->reclaim, 1);
    atomic_fetch_add(&world->other->mailbox.weight, core->limits.mailbox_high);
    world_begin_turn(world, 1000);
    SAY(world, MQTT_CONNECT);
    assert_int_equal(connection->link.state, NOC_LINK_OPEN);
    return connection;
}

/* The turn ends, the other worker catches up and says so; the next turn goes as far as its mail. */
static void catch_up(struct world *world)
{
    world_end_turn(world);
    atomic_fetch_sub(&world->other->mailbox.weight, world->broker.core.limits.mailbox_high);
    assert_int_equal(noc_mail_resume(world->other, 0), NOC_OK);
    noc_mail_post(world->other);
    world_begin_turn(world, 1001);
}

static void forget_feeder(struct world *world, struct noc_sub *sub)
{
    struct noc_core *core = &world->broker.core;

    world_end_turn(world);
    noc_reclaim_online(core->reclaim, 1);
    noc_index_unsubscribe(core->index, 1, sub);
    noc_reclaim_offline(core->reclaim, 1);
}

static int64_t received(const struct world *world)
{
    return noc_core_count_mt(&world->broker.core, NOC_COUNT_PUBLISH_RECEIVED);
}

/* A close frame that was read with them must not overtake what MQTT says. */
static void frames_behind_a_pause_wait_for_its_end(void **state)
{
    struct world *world = *state;
    struct noc_sub sub = {0};
    struct noc_connection *connection = accept_feeder(world, &sub);

    SAY(world, MQTT_PUBLISH MQTT_PUBLISH MQTT_DISCONNECT WS_CLOSE);
    assert_true(connection->link.is_paused);
    assert_int_equal(received(world), 1);
    noc_connection_look_again(connection); /* as if it had been on that list before */
    assert_int_equal(received(world), 1);
    assert_int_equal(connection->phase, NOC_PHASE_OPEN);
    catch_up(world);
    assert_true(noc_list_is_linked(&connection->again));
    noc_connection_look_again(connection);
    assert_int_equal(received(world), 2);
    assert_int_equal(connection->phase, NOC_PHASE_DRAINING);
    forget_feeder(world, &sub);
}

/* The turn in which the pause ends may have an event for it, too. */
static void frames_of_before_a_pause_come_before_those_read_after_it(void **state)
{
    struct world *world = *state;
    struct noc_sub sub = {0};
    struct noc_connection *connection = accept_feeder(world, &sub);

    SAY(world, MQTT_PUBLISH MQTT_PUBLISH);
    assert_int_equal(received(world), 1);
    catch_up(world);
    SAY(world, MQTT_DISCONNECT);
    assert_int_equal(connection->phase, NOC_PHASE_OPEN);
    noc_connection_look_again(connection);
    assert_int_equal(received(world), 2);
    noc_connection_on_event(connection, &(struct noc_loop_event){.readable = true});
    assert_int_equal(connection->phase, NOC_PHASE_DRAINING);
    forget_feeder(world, &sub);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(output_leaves_at_the_end_of_the_turn),
        WORLD_TEST(the_last_output_leaves_with_its_turn_too),
        WORLD_TEST(who_had_the_last_word_lingers_until_the_peer_is_done),
        WORLD_TEST(lingering_ends_in_time),
        WORLD_TEST(nobody_lingers_without_a_last_word_or_when_the_broker_stops),
        WORLD_TEST(a_peer_that_takes_nothing_is_given_up),
        WORLD_TEST(writing_is_watched_only_while_it_is_blocked),
        WORLD_TEST(what_was_blocked_leaves_at_the_end_of_the_turn_too),
        WORLD_TEST(a_hang_up_while_nobody_reads_leaves_the_loop_until_somebody_does),
        WORLD_TEST(a_peer_has_gone_when_it_has_finished_sending),
        WORLD_TEST(connections_are_numbered_as_they_are_accepted),
        WORLD_TEST(a_place_is_given_back_once),
        WORLD_TEST(a_turn_is_one_frame),
        WORLD_TEST(what_is_appended_under_way_goes_into_the_next_frame),
        WORLD_TEST(a_close_frame_goes_last),
        WORLD_TEST(a_late_pong_ends_nobody_who_is_not_read),
        WORLD_TEST(frames_behind_a_pause_wait_for_its_end),
        WORLD_TEST(frames_of_before_a_pause_come_before_those_read_after_it),
    };

    return cmocka_run_group_tests_name("broker/connection", tests, NULL, NULL);
}
