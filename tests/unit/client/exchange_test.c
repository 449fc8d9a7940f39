/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client and a small server that keeps to the rules exchange messages of QoS 0, 1
 * and 2 in both directions. The line is cut after each number of bytes, in either
 * direction, and the client comes back, to a session or to none. Nothing may be lost;
 * with a session nothing of QoS 2 may come twice.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <noctule/client.h>

#include "mqtt/packet.h"

enum { COUNT = 7, LINE_MAX_BYTES = 1 << 16, NEVER = 1 << 20, PAYLOAD = 90 };

/* A direction of the line. */
struct line {
    uint8_t bytes[LINE_MAX_BYTES];
    size_t n, at;  /* written; read */
    size_t budget; /* bytes that get across before the cut */
};

/* What the server has to say: message i has QoS i % 3 and packet id 100 + i. */
enum { TO_SEND, SENT, RELEASED, DONE };

struct server {
    unsigned version;
    struct line in, out;
    uint8_t state[COUNT];
    unsigned got[COUNT];          /* how often message i came from the client */
    uint16_t held[COUNT];         /* QoS 2 ids from the client, */
    unsigned held_message[COUNT]; /* and which message that is */
    unsigned in_flight, connects;
    bool has_session, keeps_session;
    bool delivers_late; /* messages of QoS 2 count when PUBREL comes */
};

static struct server server;
static unsigned told[COUNT];      /* how often message i came from the server */
static unsigned published[COUNT]; /* how often the client was told that its message i is across */
static uint16_t ids[COUNT];

static void server_write(const uint8_t *bytes, size_t n)
{
    assert_true(n <= LINE_MAX_BYTES - server.out.n);
    memcpy(server.out.bytes + server.out.n, bytes, n);
    server.out.n += n;
}

static void server_ack(unsigned type, uint16_t id)
{
    uint8_t bytes[8];

    server_write(bytes, noc_ack_encode(server.version, type, id, 0, bytes, sizeof bytes));
}

static void server_send(unsigned i, bool dup)
{
    uint8_t bytes[256];
    char topic[8];
    struct noc_publish_out out = {.payload_n = PAYLOAD, .qos = (uint8_t)(i % 3), .dup = dup};
    size_t n;

    snprintf(topic, sizeof topic, "s/%u", i);
    out.topic = noc_slice_of(topic);
    out.packet_id = i % 3 == 0 ? 0 : (uint16_t)(100 + i);
    n = noc_publish_encode_head(server.version, &out, bytes, sizeof bytes);
    memset(bytes + n, 'x', PAYLOAD);
    server_write(bytes, n + PAYLOAD);
    server.state[i] = i % 3 == 0 ? DONE : SENT;
}

/* Send what there is; again: after a reconnect. */
static void server_flush(bool again)
{
    for (unsigned i = 0; i < COUNT; i++) {
        if (server.state[i] == TO_SEND || (server.state[i] == SENT && again)) {
            server_send(i, server.state[i] == SENT);
        } else if (server.state[i] == RELEASED && again) {
            server_ack(NOC_PUBREL, (uint16_t)(100 + i));
        }
    }
}

static void server_connect(const struct noc_slice *body)
{
    uint8_t bytes[16];
    struct noc_connect connect;
    struct noc_fault fault;

    assert_int_equal(
        noc_connect_decode((const uint8_t *)body->at, body->n, &connect, &fault), NOC_OK);
    assert_int_equal(connect.version, server.version);
    if (!server.has_session) {
        memset(server.held, 0, sizeof server.held);
        for (unsigned i = 0; i < COUNT; i++) {
            server.state[i] = server.connects == 0 ? TO_SEND : server.state[i];
        }
    }
    server.in_flight = 0;
    server_write(bytes, noc_connack_encode(server.version, server.has_session, 0,
                            noc_slice("\x21\x00\x02", 3), bytes, sizeof bytes));
    server.connects++;
    server_flush(true);
    server.has_session = server.keeps_session;
}

static uint16_t *find_held(uint16_t id)
{
    for (unsigned i = 0; i < COUNT; i++) {
        if (server.held[i] == id) {
            return &server.held[i];
        }
    }
    return NULL;
}

static void server_take_publish(const struct noc_header *header, const struct noc_slice *body)
{
    struct noc_publish publish;
    struct noc_fault fault;
    unsigned i;

    assert_int_equal(
        noc_publish_decode(server.version, header->flags, true, body, &publish, &fault), NOC_OK);
    assert_int_equal(publish.payload.n, PAYLOAD);
    i = (unsigned)(publish.topic.at[2] - '0');
    if (publish.qos > 0) {
        server.in_flight++;
        if (server.version == 5) {
            assert_true(server.in_flight <= 2); /* the receive maximum of our CONNACK */
        }
    }
    if (publish.qos == 2) {
        if (find_held(publish.packet_id) == NULL) {
            uint16_t *free_one = find_held(0);

            assert_non_null(free_one);
            *free_one = publish.packet_id;
            server.held_message[free_one - server.held] = i;
            server.got[i] += !server.delivers_late;
        } else {
            assert_true(publish.dup);
        }
        server_ack(NOC_PUBREC, publish.packet_id);
    } else {
        assert_false(publish.dup && server.connects < 2);
        server.got[i]++;
        if (publish.qos == 1) {
            server.in_flight--;
            server_ack(NOC_PUBACK, publish.packet_id);
        }
    }
}

static void server_take_ack(unsigned type, const struct noc_slice *body)
{
    struct noc_ack ack;
    struct noc_fault fault;
    unsigned i;

    assert_int_equal(noc_ack_decode(server.version, type, body, &ack, &fault), NOC_OK);
    if (type == NOC_PUBREL) {
        uint16_t *held = find_held(ack.packet_id);

        if (held != NULL) {
            *held = 0;
            server.got[server.held_message[held - server.held]] += server.delivers_late;
        }
        if (server.in_flight > 0) {
            server.in_flight--;
        }
        server_ack(NOC_PUBCOMP, ack.packet_id);
        return;
    }
    i = (unsigned)ack.packet_id - 100;
    assert_true(i < COUNT);
    /* A PUBREL that is repeated may meet nothing any more. */
    assert_true(ack.reason == 0 || (type == NOC_PUBCOMP && server.connects > 1));
    if (type == NOC_PUBREC) {
        assert_true(server.state[i] == SENT || server.state[i] == RELEASED);
        server.state[i] = RELEASED;
        server_ack(NOC_PUBREL, ack.packet_id);
    } else {
        assert_int_equal(server.state[i], type == NOC_PUBACK ? SENT : RELEASED);
        server.state[i] = DONE;
    }
}

/* Take the whole packets that have come. */
static void server_run(void)
{
    struct noc_header header;
    int used;

    while ((used = noc_header_decode(server.version, server.in.bytes + server.in.at,
                server.in.n - server.in.at, &header)) > 0 &&
           server.in.n - server.in.at >= (size_t)used + header.remaining) {
        struct noc_slice body = noc_slice(server.in.bytes + server.in.at + used, header.remaining);

        server.in.at += (size_t)used + header.remaining;
        if (header.type == NOC_CONNECT) {
            server_connect(&body);
        } else if (header.type == NOC_PUBLISH) {
            server_take_publish(&header, &body);
        } else {
            server_take_ack(header.type, &body);
        }
    }
    assert_true(used >= 0);
}

/* ---- the client's side ---- */

struct setting {
    unsigned version;
    size_t in_room, out_room;
    bool keeps_session, delivers_late, has_log;
};

static struct noc_client client;
static struct noc_client_options options;
static uint16_t received[8];
static uint8_t box_bytes[1024], in[512], out[512];
static struct noc_ring_outbox ring;
static struct noc_log_outbox box_log;
static uint8_t regions[2][1200];

/* Storage for a log: two regions of memory. */
static int storage_read(void *context, unsigned region, uint32_t at, void *into, size_t n)
{
    (void)context;
    memcpy(into, regions[region] + at, n);
    return NOC_OK;
}

static int storage_write(void *context, unsigned region, uint32_t at, const void *bytes, size_t n)
{
    (void)context;
    memcpy(regions[region] + at, bytes, n);
    return NOC_OK;
}

static int storage_sync(void *context, unsigned region)
{
    (void)context;
    (void)region;
    return NOC_OK;
}

static int storage_erase(void *context, unsigned region)
{
    (void)context;
    memset(regions[region], 0xff, sizeof regions[region]);
    return NOC_OK;
}

static struct noc_outbox *open_log(void)
{
    static const struct noc_storage storage = {
        storage_read, storage_write, storage_sync, storage_erase, NULL, sizeof regions[0]};

    memset(regions, 0xff, sizeof regions);
    assert_int_equal(noc_log_outbox_open(&box_log, &storage), NOC_OK);
    return &box_log.box;
}

static void begin(const struct setting *setting)
{
    memset(&server, 0, sizeof server);
    server.version = setting->version;
    server.keeps_session = setting->keeps_session;
    server.delivers_late = setting->delivers_late;
    memset(told, 0, sizeof told);
    memset(published, 0, sizeof published);
    memset(received, 0, sizeof received);
    options = (struct noc_client_options){
        .client_id = {"me", 2},
        .version = (uint8_t)setting->version,
        .keep_session = true,
        .received = received,
        .received_max = 8,
        .outbox = setting->has_log ? open_log()
                                   : noc_ring_outbox_init(&ring, box_bytes, sizeof box_bytes),
    };
    assert_int_equal(
        noc_client_init(&client, &options, in, setting->in_room, out, setting->out_room), NOC_OK);
}

static void publish(unsigned i)
{
    static const char payload[PAYLOAD + 1] = "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"
                                             "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy";
    char topic[8];
    struct noc_client_message message = {
        .payload = noc_slice(payload, PAYLOAD), .qos = (uint8_t)(1 + i % 2)};

    snprintf(topic, sizeof topic, "c/%u", i);
    message.topic = noc_slice_of(topic);
    assert_int_equal(noc_client_publish(&client, &message, &ids[i]), NOC_OK);
}

static void take(const struct noc_event *event)
{
    unsigned i = 0;

    if (event->kind == NOC_EVENT_MESSAGE) {
        i = (unsigned)(event->topic.at[2] - '0');
        assert_int_equal(event->payload.n, PAYLOAD);
        told[i]++;
    } else if (event->kind == NOC_EVENT_PUBLISHED) {
        while (ids[i] != event->packet_id) {
            i++;
            assert_true(i < COUNT);
        }
        assert_int_equal(event->reason, 0);
        published[i]++;
    }
}

/* Bytes of one side to the other, one at a time, while the line holds. */
static bool carry(void)
{
    const uint8_t *bytes;
    size_t n, room;
    uint8_t *at;

    bytes = noc_client_peek(&client, 0, &n);
    if (n > 0 && server.in.budget > 0) {
        server.in.bytes[server.in.n++] = *bytes;
        server.in.budget--;
        noc_client_sent(&client, 1, 0);
        server_run();
        return true;
    }
    at = noc_client_room(&client, &room);
    if (room > 0 && server.out.at < server.out.n && server.out.budget > 0) {
        *at = server.out.bytes[server.out.at++];
        server.out.budget--;
        noc_client_received(&client, 1, 0);
        return true;
    }
    return false;
}

/* One connection, until nothing moves any more; then the line is gone. */
static void connect(size_t in_budget, size_t out_budget)
{
    struct noc_event event;
    bool is_more = true;

    server.in.n = server.in.at = server.out.n = server.out.at = 0;
    server.in.budget = in_budget;
    server.out.budget = out_budget;
    assert_int_equal(noc_client_start(&client, 0), NOC_OK);
    while (is_more) {
        is_more = false;
        while (noc_client_next(&client, 0, &event)) {
            assert_int_not_equal(event.kind, NOC_EVENT_CLOSED);
            take(&event);
            is_more = true;
        }
        is_more |= carry();
    }
    noc_client_lost(&client);
    while (noc_client_next(&client, 0, &event)) {
        take(&event);
    }
    assert_int_equal(event.kind, NOC_EVENT_CLOSED);
    assert_int_equal(event.cause.kind, NOC_CAUSE_LOST);
}

static void check_end(const struct setting *setting, bool was_cut)
{
    assert_true(noc_client_is_idle(&client));
    for (unsigned i = 0; i < COUNT; i++) {
        bool is_exact = !was_cut || (setting->keeps_session && i % 2 == 1);

        assert_int_equal(published[i], 1);
        assert_true(server.got[i] >= 1);
        assert_true(!is_exact || server.got[i] == 1);
        if (setting->keeps_session) {
            assert_true(told[i] >= 1 || (i % 3 == 0 && was_cut));
            assert_true((was_cut && i % 3 == 1) || told[i] <= 1);
        }
        if (i % 3 != 0 && setting->keeps_session) {
            assert_int_equal(server.state[i], DONE);
        }
    }
    assert_int_equal(received[0], 0);
}

/* All messages in a new client; the line is cut there, and holds afterwards. */
static void run(const struct setting *setting, size_t in_budget, size_t out_budget)
{
    begin(setting);
    for (unsigned i = 0; i < COUNT; i++) {
        publish(i);
    }
    connect(in_budget, out_budget);
    if (in_budget != NEVER || out_budget != NEVER) {
        connect(NEVER, NEVER);
    }
}

static const struct setting settings[] = {
    {4, 256, 128, true, false, false},
    {5, 512, 512, true, true, true},
    {5, 256, 128, false, true, false},
    {3, 512, 512, false, false, false},
    {4, 512, 256, false, true, true},
    {3, 256, 128, true, true, false},
};

static void nothing_is_lost_on_a_line_that_holds(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        run(&settings[i], NEVER, NEVER);
        check_end(&settings[i], false);
    }
}

static void cut_everywhere(bool is_in)
{
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        size_t whole;

        run(&settings[i], NEVER, NEVER);
        whole = is_in ? server.in.n : server.out.n;
        for (size_t at = 0; at < whole; at++) {
            run(&settings[i], is_in ? at : NEVER, is_in ? NEVER : at);
            check_end(&settings[i], true);
        }
    }
}

static void a_cut_on_the_way_to_the_server_loses_nothing(void **state)
{
    (void)state;
    cut_everywhere(true);
}

static void a_cut_on_the_way_to_the_client_loses_nothing(void **state)
{
    (void)state;
    cut_everywhere(false);
}

static void many_cuts_lose_nothing(void **state)
{
    static const struct setting setting = {5, 256, 128, true, true, false};

    (void)state;
    for (size_t step = 7; step < 200; step += 3) {
        size_t budget = step;

        begin(&setting);
        for (unsigned i = 0; i < COUNT; i++) {
            publish(i);
        }
        for (unsigned i = 0; i < 30; i++) {
            connect(budget, NEVER);
            connect(NEVER, budget + 5);
            budget += step;
        }
        connect(NEVER, NEVER);
        check_end(&setting, true);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_lost_on_a_line_that_holds),
        cmocka_unit_test(a_cut_on_the_way_to_the_server_loses_nothing),
        cmocka_unit_test(a_cut_on_the_way_to_the_client_loses_nothing),
        cmocka_unit_test(many_cuts_lose_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
