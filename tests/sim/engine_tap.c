/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What goes between an engine and the wire is listened to. Of what the server says only that is
 * noted to which the engine owes something; what it says itself is held against the rules:
 *
 *   PUBLISH      a message that it was given, in that order, once in a connection; with dup if it
 *                was said before in the session, and never behind its PUBREL; within Receive Maximum
 *   PUBACK, PUBREC, PUBREL, PUBCOMP    each for what came, in the order in which that came
 *   all          CONNECT first, and nothing behind DISCONNECT
 */
#include <stdlib.h>
#include <string.h>

#include "engine.h"

static void check(const struct sim_client *client, bool is_right, const char *rule)
{
    sim_engine_check(client, is_right, rule);
}

void sim_tap_reset(struct sim_engine *engine)
{
    sim_pipe_drop(&engine->said, engine->said.n);
    sim_pipe_drop(&engine->heard, engine->heard.n);
    sim_pipe_drop(&engine->passed, engine->passed.n);
    sim_fifo_done(&engine->releases);
    sim_fifo_done(&engine->completions);
    engine->has_said_connect = engine->has_said_goodbye = false;
    engine->window = engine->pings = 0;
    engine->is_blocked = false;
    engine->last_said = 0;
    engine->last_publish_id = 0;
    sim_ws_reset(&engine->ws);
    for (unsigned i = 0; i < NOC_COUNT(engine->topics); i++) {
        free(engine->topics[i]);
        engine->topics[i] = NULL;
    }
    for (unsigned i = 0; i < engine->flight_count; i++) {
        engine->flights[i].is_sent_here = engine->flights[i].is_released_here = false;
    }
}

void sim_tap_connected(struct sim_client *client, bool is_resumed)
{
    struct sim_engine *engine = client->engine;

    for (unsigned i = 0; i < engine->flight_count && !is_resumed; i++) {
        engine->flights[i].is_sent = engine->flights[i].is_released = false;
    }
}

/* ---- what it says: PUBLISH ---- */

static struct noc_slice resolve_alias(struct sim_client *client, const struct noc_publish *publish)
{
    struct sim_engine *engine = client->engine;
    uint16_t alias = publish->props.topic_alias;

    if (!noc_props_has(&publish->props, NOC_PROP_TOPIC_ALIAS)) {
        return publish->topic;
    }
    check(client,
        alias > 0 && alias <= client->aliases_out_max && alias < NOC_COUNT(engine->topics),
        "a topic alias that the server does not take [MQTT-3.3.2-9]");
    if (publish->topic.n > 0) {
        free(engine->topics[alias]);
        engine->topics[alias] = sim_alloc(publish->topic.n + 1);
        memcpy(engine->topics[alias], publish->topic.at, publish->topic.n);
        engine->topics[alias][publish->topic.n] = '\0';
    }
    check(client, engine->topics[alias] != NULL, "a topic alias that stands for nothing");
    return noc_slice_of(engine->topics[alias]);
}

/* The message that it says. Only one without payload has no number in it. */
static uint32_t identify(struct sim_client *client, const struct noc_publish *publish)
{
    struct sim_world *world = client->world;
    const uint8_t *bytes = (const uint8_t *)publish->payload.at;
    struct sim_engine_flight *flight;
    uint32_t number = UINT32_MAX;

    if (publish->payload.n >= 4) {
        number = (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
                 (uint32_t)bytes[3] << 24;
    } else if (publish->qos > 0) {
        flight = sim_engine_flight(client->engine, publish->packet_id);
        number = flight == NULL ? UINT32_MAX : flight->message;
    }
    check(client, number < world->message_count, "it publishes what nobody gave it");
    return number;
}

static void check_content(
    struct sim_client *client, const struct noc_publish *publish, const struct sim_message *message)
{
    struct sim_world *world = client->world;
    uint8_t *expected = sim_alloc(message->payload_n);

    sim_message_fill(world, (uint32_t)(message - world->messages), expected);
    check(client,
        message->publisher == client->number && message->payload_n == publish->payload.n &&
            (publish->payload.n == 0 ||
                memcmp(expected, publish->payload.at, publish->payload.n) == 0) &&
            message->qos == publish->qos && message->retain == publish->retain &&
            noc_slice_equal(
                resolve_alias(client, publish), noc_slice_of(world->topics[message->topic])),
        "it publishes something else than it was given");
    free(expected);
}

/* One of QoS 1 or 2 goes on its way: may it, and now? Returns whether it is new to the session. */
static bool check_flight(
    struct sim_client *client, const struct noc_publish *publish, uint32_t number)
{
    struct sim_engine *engine = client->engine;
    struct sim_engine_flight *flight = sim_engine_flight(engine, publish->packet_id);
    bool is_new;

    if (flight == NULL || flight->is_partial) {
        sim_fail(client->world, "engine of client %s: it publishes with an identifier of nothing",
            client->id);
    }
    if (flight->message == UINT32_MAX) {
        flight->message = number;
    }
    check(client, flight->message == number,
        "a packet identifier that is in use by another message [MQTT-2.2.1-3]");
    check(client, !flight->is_sent_here,
        "it sends something again without a reconnect [MQTT-4.4.0-1]");
    check(client, !flight->is_released, "it publishes behind PUBREL [MQTT-4.3.3-6]");
    check(client, publish->dup || !flight->is_sent, "it sends again without dup [MQTT-3.3.1-1]");
    check(client, !publish->dup || client->is_resumed || client->version == NOC_V31,
        "dup on the first connection of a session");
    check(client, number >= engine->last_said, "messages out of order [MQTT-4.6.0-1]");
    engine->last_said = number + 1;
    is_new = !flight->is_sent;
    flight->is_sent = flight->is_sent_here = true;
    engine->window++;
    check(client,
        engine->window <= client->server_receive_max &&
            engine->window <= engine->options.inflight_max,
        "more in flight than Receive Maximum [MQTT-3.3.4-7]");
    return is_new;
}

static void on_publish(struct sim_client *client, unsigned flags, struct noc_slice body)
{
    struct sim_world *world = client->world;
    struct noc_fault fault = {0};
    struct noc_publish publish;
    struct sim_message *message;
    bool is_new = true;
    uint32_t number;

    check(client,
        noc_publish_decode(client->version, flags, true, &body, &publish, &fault) == NOC_OK,
        "PUBLISH is malformed");
    if (publish.qos == 0 && publish.payload.n < 4) {
        return; /* made by nobody here */
    }
    number = identify(client, &publish);
    message = &world->messages[number];
    check_content(client, &publish, message);
    sim_say(world, "client %s publishes %u to %s, qos %u%s, id %u", client->id, (unsigned)number,
        world->topics[message->topic], message->qos, publish.dup ? ", again" : "",
        publish.packet_id);
    if (publish.qos > 0) {
        is_new = check_flight(client, &publish, number);
    } else {
        check(client, message->sends == 0, "it publishes a message of QoS 0 twice");
    }
    if (message->sends == 0) {
        message->sent_at = ++world->clock;
    }
    if (message->state == SIM_MESSAGE_TAKEN) {
        message->state = SIM_MESSAGE_SENT; /* power failed before that was written down */
        message->taken_at = 0;
    }
    message->epoch = client->session->number;
    message->sends++;
    message->new_sends += is_new; /* what was never said whole may have dup, too */
}

/* ---- what it says: acknowledgements ---- */

static void check_owed(struct sim_client *client, struct sim_fifo *fifo, unsigned type, uint16_t id)
{
    struct sim_owed owed = {0};

    check(client, sim_fifo_take(fifo, &owed), "it acknowledges what nobody said");
    check(client, owed.type == type && owed.packet_id == id,
        "acknowledgements out of order [MQTT-4.6.0-2] [MQTT-4.6.0-4]");
}

static void on_pubrel(struct sim_client *client, uint16_t id)
{
    struct sim_engine *engine = client->engine;
    struct sim_engine_flight *flight = sim_engine_flight(engine, id);
    const struct sim_fifo *fifo = &engine->releases;

    if (flight != NULL && !flight->is_released_here &&
        client->is_resumed + (client->version == NOC_V31) > 0 &&
        (fifo->n == 0 || fifo->at[fifo->head].packet_id != id)) {
        check(client, !flight->is_sent_here, "PUBREL without PUBREC [MQTT-4.3.3-4]");
    } else {
        check_owed(client, &engine->releases, NOC_PUBREL, id);
    }
    if (flight != NULL) {
        flight->is_released = flight->is_released_here = true;
    }
}

static void on_ack(struct sim_client *client, unsigned type, struct noc_slice body)
{
    struct noc_fault fault = {0};
    struct noc_ack ack;

    check(client, noc_ack_decode(client->version, type, &body, &ack, &fault) == NOC_OK,
        "an acknowledgement is malformed");
    if (type == NOC_PUBREL) {
        on_pubrel(client, ack.packet_id);
    } else {
        check_owed(client, type == NOC_PUBCOMP ? &client->engine->completions : &client->owed, type,
            ack.packet_id);
    }
}

static void on_said(
    struct sim_client *client, const struct noc_header *header, struct noc_slice body)
{
    struct sim_engine *engine = client->engine;

    check(client, engine->has_said_connect == (header->type != NOC_CONNECT),
        "CONNECT is the first packet, and only that [MQTT-3.1.0-1]");
    check(client, !engine->has_said_goodbye, "a packet behind DISCONNECT [MQTT-3.14.4-2]");
    switch ((enum noc_packet_type)header->type) {
    case NOC_CONNECT:
        engine->has_said_connect = true;
        return;
    case NOC_PUBLISH:
        on_publish(client, header->flags, body);
        return;
    case NOC_PUBACK:
    case NOC_PUBREC:
    case NOC_PUBREL:
    case NOC_PUBCOMP:
        on_ack(client, header->type, body);
        return;
    case NOC_DISCONNECT:
        engine->has_said_goodbye = true;
        return;
    case NOC_PINGREQ:
        engine->pings++;
        return;
    case NOC_SUBSCRIBE:
    case NOC_UNSUBSCRIBE:
        return;
    case NOC_CONNACK:
    case NOC_SUBACK:
    case NOC_UNSUBACK:
    case NOC_PINGRESP:
    case NOC_AUTH:
        check(client, false, "a packet that clients don't send");
    }
}

/* Size of the packet at the front of the pipe, 0: not all of it is there. */
static size_t whole_packet(
    struct sim_client *client, const struct sim_pipe *pipe, struct noc_header *header)
{
    int size =
        pipe->n == 0 ? 0 : noc_header_decode(client->version, sim_pipe_peek(pipe), pipe->n, header);

    check(client, size >= 0, "not a packet");
    if (size == 0 || pipe->n < (size_t)header->size + header->remaining) {
        return 0;
    }
    return (size_t)header->size + header->remaining;
}

void sim_tap_say(struct sim_client *client, const uint8_t *bytes, size_t n)
{
    struct sim_engine *engine = client->engine;
    bool is_faulty = client->world->fault != 0;
    struct noc_header header;
    size_t size;

    engine->wrote_ms = sim_now(client->world);
    sim_pipe_put(&engine->said, bytes, n);
    if (!is_faulty) {
        sim_client_say(client, bytes, n);
    }
    while ((size = whole_packet(client, &engine->said, &header)) > 0) {
        uint8_t *packet = engine->said.bytes + engine->said.head;
        unsigned times = is_faulty ? sim_fault_say(client, packet, &header) : 1;

        header.flags = packet[0] & 0x0f;
        while (times-- > 0) {
            on_said(client, &header, noc_slice(packet + header.size, header.remaining));
            if (is_faulty) {
                sim_client_say(client, packet, size);
            }
        }
        sim_pipe_drop(&engine->said, size);
    }
}

/* ---- what it hears ---- */

static void heard_ack(struct sim_client *client, unsigned type, struct noc_slice body)
{
    struct sim_engine *engine = client->engine;
    struct noc_fault fault = {0};
    struct noc_ack ack;
    struct sim_engine_flight *flight;

    check(client, noc_ack_decode(client->version, type, &body, &ack, &fault) == NOC_OK,
        "an acknowledgement that it hears is malformed");
    if (type == NOC_PUBREL) {
        sim_fifo_put(&engine->completions, NOC_PUBCOMP, ack.packet_id);
        return;
    }
    if (type == NOC_PUBREC && ack.reason < NOC_RC_UNSPECIFIED) {
        sim_fifo_put(&engine->releases, NOC_PUBREL, ack.packet_id);
        return;
    }
    flight = sim_engine_flight(engine, ack.packet_id);
    if (flight != NULL) {
        flight->is_answered = true;
        engine->window -= flight->is_sent_here;
    }
}

static void on_heard(
    struct sim_client *client, const struct noc_header *header, struct noc_slice body)
{
    struct noc_fault fault = {0};
    struct noc_publish publish;

    if (header->type == NOC_PUBLISH) {
        check(client,
            noc_publish_decode(client->version, header->flags, false, &body, &publish, &fault) ==
                NOC_OK,
            "a PUBLISH that it hears is malformed");
        if (publish.qos > 0) {
            sim_fifo_put(
                &client->owed, publish.qos == 1 ? NOC_PUBACK : NOC_PUBREC, publish.packet_id);
        }
    } else if (header->type >= NOC_PUBACK && header->type <= NOC_PUBCOMP) {
        heard_ack(client, header->type, body);
    } else if (header->type == NOC_PINGRESP) {
        client->engine->pings--;
    }
}

static void note_heard(struct sim_client *client)
{
    struct sim_engine *engine = client->engine;
    bool is_faulty = client->world->fault != 0;
    struct noc_header header;
    size_t size;

    while ((size = whole_packet(client, &engine->heard, &header)) > 0) {
        const uint8_t *packet = sim_pipe_peek(&engine->heard);

        if (!is_faulty || sim_fault_hear(client, &header) > 0) {
            on_heard(client, &header, noc_slice(packet + header.size, header.remaining));
            if (is_faulty) {
                sim_pipe_put(&engine->passed, packet, size);
            }
        }
        sim_pipe_drop(&engine->heard, size);
    }
}

/* With a mistake that is made here, it is made with whole packets: all that has come. */
static struct sim_pipe *make_mistake(struct sim_client *client, struct sim_pipe *from)
{
    struct sim_engine *engine = client->engine;

    if (client->world->fault == 0) {
        return from;
    }
    sim_pipe_put(&engine->heard, sim_pipe_peek(from), from->n);
    sim_pipe_drop(from, from->n);
    note_heard(client);
    return &engine->passed;
}

static void note_plain(struct sim_client *client, const uint8_t *bytes, size_t n)
{
    if (client->world->fault == 0) {
        sim_pipe_put(&client->engine->heard, bytes, n);
        note_heard(client);
    }
}

/* Put what comes next in a frame. */
static struct sim_pipe *wrap(struct sim_client *client, struct sim_pipe *from)
{
    size_t n = sim_ws_wrap(client, sim_pipe_peek(from), from->n);

    note_plain(client, sim_pipe_peek(from), n);
    sim_pipe_drop(from, n);
    return &client->engine->ws.framed;
}

size_t sim_tap_hear(struct sim_client *client)
{
    struct sim_engine *engine = client->engine;
    struct sim_wire *wire = client->wire;
    struct sim_pipe *from;
    size_t room, n;
    uint8_t *at = noc_client_room(&engine->client, &room);

    (void)pthread_mutex_lock(&wire->lock);
    from = make_mistake(client, &wire->down);
    from = engine->ws.is_on ? wrap(client, from) : from;
    n = from->n < room ? from->n : room;
    if (n > 1 && client->world->is_active && sim_chance(sim_chance_of(client), 400)) {
        n = 1 + sim_below(sim_chance_of(client), (unsigned)n);
    }
    if (n > 0) {
        memcpy(at, sim_pipe_peek(from), n);
        sim_pipe_drop(from, n);
    }
    (void)pthread_mutex_unlock(&wire->lock);
    if (n > 0) {
        if (!engine->ws.is_on) {
            note_plain(client, at, n);
        }
        noc_client_received(&engine->client, n, sim_engine_now(client));
        engine->read_ms = sim_now(client->world);
    }
    return n;
}
