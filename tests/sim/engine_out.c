/* SPDX-License-Identifier: Apache-2.0 */
/* What the application of an engine asks it for. */
#include <stdlib.h>
#include <string.h>

#include "engine.h"

/* ---- messages under way ---- */

struct sim_engine_flight *sim_engine_flight(struct sim_engine *engine, uint16_t packet_id)
{
    for (unsigned i = 0; i < engine->flight_count; i++) {
        if (engine->flights[i].packet_id == packet_id && !engine->flights[i].is_doubtful) {
            return &engine->flights[i];
        }
    }
    return NULL;
}

void sim_engine_end_flight(struct sim_engine *engine, struct sim_engine_flight *flight)
{
    size_t at = (size_t)(flight - engine->flights);

    memmove(flight, flight + 1, (engine->flight_count - at - 1) * sizeof *flight);
    engine->flight_count--;
}

bool sim_engine_has_half(const struct sim_client *client)
{
    const struct sim_engine *engine = client->engine;
    struct noc_outbox *box = engine->options.outbox;
    struct noc_outbox_item item;

    for (unsigned i = 0; i < engine->flight_count; i++) {
        if (box->ops->find(box, engine->flights[i].packet_id, &item) == NOC_OK &&
            item.state == NOC_OUTBOX_RELEASED) {
            return true;
        }
    }
    return engine->received[0] != 0;
}

/* The outbox took it under that packet identifier, or power failed just then. */
static void note_flight(struct sim_client *client, uint16_t packet_id, uint32_t number,
    bool is_partial, bool is_doubtful)
{
    struct sim_engine *engine = client->engine;

    if (!is_doubtful) {
        sim_engine_check(client,
            packet_id != 0 && sim_engine_flight(engine, packet_id) == NULL &&
                (client->state != SIM_OPEN || packet_id != client->subscribe_id),
            "it gives out a packet identifier that is in use [MQTT-2.2.1-3]");
    }
    engine->flights[engine->flight_count++] = (struct sim_engine_flight){.packet_id = packet_id,
        .qos = client->world->messages[number].qos,
        .is_partial = is_partial,
        .is_doubtful = is_doubtful,
        .message = number};
}

/* ---- PUBLISH ---- */

static size_t put_props(const struct sim_client *client, uint32_t number, uint8_t *bytes)
{
    uint8_t *at = bytes;

    if (client->version != NOC_V5) {
        return 0;
    }
    if (client->world->messages[number].has_user) {
        at = noc_prop_put_user(at, noc_slice_of("name"), noc_slice_of("value"));
    }
    if (number % 5 == 0) {
        at = noc_prop_put_u32(at, NOC_PROP_MESSAGE_EXPIRY, 100000000);
    }
    return (size_t)(at - bytes);
}

static void check_refusal(struct sim_client *client, const struct sim_message *message, int err)
{
    const struct sim_engine *engine = client->engine;

    switch (err) {
    case NOC_ECLOSED:
        sim_engine_check(client, message->qos == 0 && client->state != SIM_OPEN,
            "a message was refused as if it were not connected");
        return;
    case NOC_ENOTSUP:
        sim_engine_check(client, message->qos > 0 && engine->options.outbox == NULL,
            "a message was refused as if the server could not take it");
        return;
    case NOC_EFULL:
        sim_engine_check(
            client, sim_engine_flights(client) > 0, "an empty outbox has no room for a message");
        return;
    case NOC_EAGAIN:
    case NOC_ETOOLARGE:
        return;
    default:
        sim_fail(client->world, "engine of client %s: a message was refused: %d", client->id, err);
    }
}

static void begin_giving(struct sim_client *client, uint8_t *take_payload, uint32_t number)
{
    struct sim_engine *engine = client->engine;

    free(engine->given); /* one of QoS 0 that ended with the connection */
    engine->given = take_payload;
    engine->given_n = client->world->messages[number].payload_n;
    engine->is_given_to_box = client->world->messages[number].qos > 0;
    engine->given_at = 0;
}

/* Hand the message to the engine, as one or to be given in pieces. */
static int try_publish(struct sim_client *client, uint32_t number, const uint8_t *payload,
    bool is_in_pieces, uint16_t *ret_id)
{
    struct sim_engine *engine = client->engine;
    const struct sim_message *its = &client->world->messages[number];
    uint8_t props[32];
    struct noc_client_message message = {.topic = noc_slice_of(client->world->topics[its->topic]),
        .payload = noc_slice(payload, its->payload_n),
        .props = noc_slice(props, put_props(client, number, props)),
        .qos = its->qos,
        .retain = its->retain};

    if (engine->flight_count == SIM_ENGINE_FLIGHTS_MAX) {
        return NOC_EAGAIN;
    }
    if (its->topic < SIM_ENGINE_ALIASES_MAX && its->qos == 0 && client->version == NOC_V5) {
        message.alias = (uint16_t)(its->topic + 1);
    }
    engine->is_stirred = true;
    return is_in_pieces ? noc_client_publish_begin(&engine->client, &message, ret_id)
                        : noc_client_publish(&engine->client, &message, ret_id);
}

void sim_engine_publish(struct sim_client *client, uint32_t number)
{
    struct sim_world *world = client->world;
    const struct sim_message *its = &world->messages[number];
    uint8_t *payload = sim_alloc(its->payload_n);
    bool is_in_pieces = its->payload_n > 0 &&
                        (sim_chance(sim_chance_of(client), 200) ||
                            (its->qos == 0 && its->payload_n + 80 > client->engine->out_room));
    uint16_t id = 0;
    int err;

    sim_message_fill(world, number, payload);
    err = try_publish(client, number, payload, is_in_pieces, &id);
    if (err != NOC_OK && err != NOC_EIO) {
        check_refusal(client, its, err);
        world->message_count--; /* as if nobody had thought of it */
        free(payload);
        return;
    }
    sim_say(world, "client %s gives %u to %s, qos %u%s, id %u%s", client->id, (unsigned)number,
        world->topics[its->topic], its->qos, its->retain ? ", retained" : "", id,
        err == NOC_EIO ? ", when its power fails" : "");
    if (its->qos > 0 && (err == NOC_OK || !is_in_pieces)) {
        note_flight(client, id, number, is_in_pieces, err != NOC_OK);
    }
    if (err == NOC_OK && is_in_pieces) {
        begin_giving(client, payload, number);
    } else {
        free(payload);
    }
    if (err == NOC_EIO) {
        sim_engine_reboot(client);
    }
}

static void end_giving(struct sim_client *client)
{
    struct sim_engine *engine = client->engine;

    free(engine->given);
    engine->given = NULL;
    for (unsigned i = 0; i < engine->flight_count; i++) {
        engine->flights[i].is_partial = false;
    }
}

void sim_engine_give(struct sim_client *client)
{
    struct sim_engine *engine = client->engine;
    bool is_last;
    size_t n;
    int done;

    if (engine->given == NULL) {
        return;
    }
    n = engine->given_n - engine->given_at;
    if (client->world->is_active) {
        n = sim_chance(sim_chance_of(client), 300)
                ? 1 + sim_below(sim_chance_of(client), (unsigned)n)
                : 0;
    }
    if (n == 0) {
        return;
    }
    is_last = n == engine->given_n - engine->given_at;
    done = noc_client_publish_chunk(&engine->client, engine->given + engine->given_at, n);
    engine->is_stirred = true;
    if (done == NOC_EIO) {
        /* It may count, if that was the end of it. */
        for (unsigned i = 0; i < engine->flight_count; i++) {
            engine->flights[i].is_doubtful |= engine->flights[i].is_partial && is_last;
        }
        sim_engine_reboot(client);
        return;
    }
    if (done < 0) {
        sim_engine_check(client, client->state != SIM_OPEN || done == NOC_EINVAL,
            "it does not take the rest of a message");
        sim_engine_check(client, !engine->is_given_to_box, "it takes no more for its outbox");
        end_giving(client); /* one of QoS 0 ended with the connection */
        return;
    }
    engine->given_at += (size_t)done;
    if (engine->given_at == engine->given_n) {
        end_giving(client);
    }
}

/* ---- SUBSCRIBE, UNSUBSCRIBE ---- */

uint16_t sim_engine_subscribe(struct sim_client *client, const struct noc_client_filter *filters,
    unsigned count, struct noc_slice props)
{
    struct sim_engine *engine = client->engine;
    struct noc_slice names[SIM_FILTERS_MAX];
    uint16_t id = 0;
    int err;

    for (unsigned i = 0; i < count; i++) {
        names[i] = filters[i].filter;
    }
    err = client->is_unsubscribe
              ? noc_client_unsubscribe(&engine->client, names, count, props, &id)
              : noc_client_subscribe(&engine->client, filters, count, props, &id);
    engine->is_stirred = true;
    if (err == NOC_EAGAIN) {
        return 0;
    }
    sim_engine_check(client, err == NOC_OK, "it does not subscribe");
    sim_engine_check(client, id != 0 && sim_engine_flight(engine, id) == NULL,
        "it subscribes with a packet identifier that is in use [MQTT-2.2.1-3]");
    return id;
}
