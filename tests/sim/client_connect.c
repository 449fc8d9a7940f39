/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
/* How a client's connection begins, and all the ways in which it ends. */
#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "sim.h"

/* ---- CONNECT ---- */

static size_t connect_props(struct sim_client *client, uint8_t *bytes)
{
    uint8_t *at = bytes;

    if (client->expiry_s > 0) {
        at = noc_prop_put_u32(at, NOC_PROP_SESSION_EXPIRY, client->expiry_s);
    }
    if (client->receive_max < UINT16_MAX) {
        at = noc_prop_put_u16(at, NOC_PROP_RECEIVE_MAXIMUM, client->receive_max);
    }
    if (client->max_packet > 0) {
        at = noc_prop_put_u32(at, NOC_PROP_MAXIMUM_PACKET_SIZE, client->max_packet);
    }
    if (client->aliases_in_max > 0) {
        at = noc_prop_put_u16(at, NOC_PROP_TOPIC_ALIAS_MAXIMUM, client->aliases_in_max);
    }
    return (size_t)(at - bytes);
}

/* An engine of version 3.1 is not told that a session has gone, so it keeps to one way. */
static bool may_be_clean(const struct sim_client *client)
{
    return client->engine == NULL || client->version != NOC_V31;
}

/*
 * Would the server's word about a session mean another one than the engine has in mind?
 *
 * The session had ended, be it that the server lost it. CONNECT began a new one, and the CONNACK
 * with session present 0 got lost. The next CONNACK says 1, rightly [MQTT-3.2.2-2], and who hears
 * that takes the new session for its own: it sends PUBREL for what only the old one knew, and
 * believes to have had what bears a packet identifier of the old one. No packet of MQTT tells
 * sessions apart, so nobody is at fault; a client that holds no such half can't be misled.
 */
static bool is_misled(const struct sim_client *client)
{
    struct sim_wire *wire = client->last_wire;
    bool is_read;

    if (client->engine == NULL || client->version == NOC_V31 || !client->was_unknown ||
        client->last_expiry_s > 0 || client->session == NULL || wire == NULL) {
        return false;
    }
    (void)pthread_mutex_lock(&wire->lock);
    is_read = client->engine->has_said_connect && wire->up.n == 0; /* CONNECT, and all of it */
    (void)pthread_mutex_unlock(&wire->lock);
    return is_read && sim_engine_has_half(client);
}

/* Draw what this connection is to be like. */
static void draw_connection(struct sim_client *client)
{
    struct sim_random *random = sim_chance_of(client);
    const struct sim_profile *its = sim_profile_of(client);

    client->receive_max = UINT16_MAX;
    client->max_packet = 0;
    client->aliases_in_max = 0;
    client->keepalive_s = sim_chance(random, 500) ? 30 : 0;
    if (client->version == NOC_V5) {
        if (its->receive_max > 0 && sim_chance(random, 700)) {
            client->receive_max = (uint16_t)(1 + sim_below(random, its->receive_max));
        }
        if (sim_chance(random, 500)) {
            client->aliases_in_max = (uint16_t)(1 + sim_below(random, 4));
        }
        if (client->engine != NULL) {
            client->max_packet = client->engine->max_packet;
        } else if (its->max_packet > 0 && sim_chance(random, 300) &&
                   !sim_client_is_watcher(client)) {
            client->max_packet = its->max_packet;
        }
    }
    client->is_clean =
        client->must_be_clean || is_misled(client) || client->world->is_leaving ||
        (client->version != NOC_V5 && client->expiry_s == 0) ||
        (may_be_clean(client) && sim_chance(random, its->clean) && client->world->is_active);
    client->will = 0;
    client->will_delay_s = 0;
    if (sim_chance(random, its->will) && client->world->is_active &&
        !sim_client_is_watcher(client)) {
        struct sim_message will = {.publisher = client->number,
            .topic = (uint16_t)(client->world->will_topic + client->number),
            .qos = (uint8_t)(1 + sim_below(random, 2)),
            .state = SIM_MESSAGE_HELD,
            .is_will = true,
            .payload_n = 20,
            .sends = 1,
            .new_sends = 1};

        client->will = sim_message_new(client->world, &will) + 1;
        if (client->version == NOC_V5) {
            client->will_delay_s = sim_below(random, its->will_delay_s + 1);
        }
    }
}

static size_t encode_connect(struct sim_client *client, uint8_t *bytes, size_t room)
{
    uint8_t props[64], will_props[8], payload[64];
    struct sim_world *world = client->world;
    struct noc_connect connect = {.version = client->version,
        .clean_start = client->is_clean,
        .keep_alive_s = client->keepalive_s,
        .client_id = noc_slice_of(client->id)};

    connect.props.raw = noc_slice(props, connect_props(client, props));
    if (client->will != 0) {
        const struct sim_message *will = &world->messages[client->will - 1];

        sim_message_fill(world, client->will - 1, payload);
        connect.has_will = true;
        connect.will.topic = noc_slice_of(world->topics[will->topic]);
        connect.will.payload = noc_slice(payload, will->payload_n);
        connect.will.qos = will->qos;
        if (client->will_delay_s > 0) {
            connect.will.props.raw = noc_slice(will_props,
                (size_t)(noc_prop_put_u32(will_props, NOC_PROP_WILL_DELAY, client->will_delay_s) -
                         will_props));
        }
    }
    return noc_connect_encode(&connect, bytes, room);
}

void sim_client_reset(struct sim_client *client)
{
    sim_fifo_done(&client->owed);
    for (unsigned i = 0; i < NOC_COUNT(client->acks); i++) {
        sim_fifo_done(&client->acks[i]);
    }
    client->heard_n = 0;
    client->subscribe_id = 0;
    client->is_pinging = false;
    client->is_refused = false;
    client->has_heard_goodbye = false;
    client->goodbye = 0;
    client->window = 0;
    memset(client->taken_ids, 0, 65536);
    memset(client->again_ids, 0, 65536);
    memset(client->known, 0, client->world->topic_count);
    for (unsigned i = 0; client->aliases != NULL && i <= client->aliases_in_max; i++) {
        free(client->aliases[i]);
    }
    free(client->aliases);
    client->aliases = NULL;
}

void sim_client_connect(struct sim_client *client)
{
    struct sim_world *world = client->world;
    uint8_t bytes[400];

    sim_client_reset(client);
    if (world->is_leaving) {
        client->expiry_s = 0;
    }
    draw_connection(client);
    client->aliases = sim_alloc((client->aliases_in_max + 1u) * sizeof *client->aliases);
    memset(client->aliases, 0, (client->aliases_in_max + 1u) * sizeof *client->aliases);
    client->wire =
        sim_connect(world, sim_below(sim_chance_of(client), world->shard_count), client->listener);
    client->connect_ms = sim_now(world);
    client->state = SIM_CONNECTING;
    if (client->engine != NULL) {
        sim_engine_start(client);
    } else {
        sim_client_say(client, bytes, encode_connect(client, bytes, sizeof bytes));
    }
    sim_say(world, "client %s (v%u) connects, clean %d, expiry %u, will %u after %u s", client->id,
        client->version, client->is_clean, (unsigned)client->expiry_s, (unsigned)client->will,
        (unsigned)client->will_delay_s);
}

/* ---- the end of a connection ---- */

/* It may be published or not, for all we know. */
static void free_will(struct sim_client *client, uint32_t *will)
{
    if (*will != 0) {
        client->world->messages[*will - 1].state = SIM_MESSAGE_SENT;
        *will = 0;
    }
}

/* The connection is behind us, however that came. */
void sim_client_leave_wire(struct sim_client *client, bool is_graceful)
{
    struct sim_world *world = client->world;
    bool was_connecting;

    if (client->engine != NULL) {
        sim_engine_lose(client); /* what has come is heard: perhaps CONNACK */
    }
    was_connecting = client->state == SIM_CONNECTING;
    client->state = SIM_IDLE;
    client->idle_until = world->step + sim_below(sim_chance_of(client), 400);
    if (was_connecting && client->is_refused) {
        if (client->will != 0) {
            world->messages[client->will - 1].state = SIM_MESSAGE_NEVER;
            client->will = 0;
        }
        sim_wire_unref(client->wire);
        client->wire = NULL;
        return; /* as if it had not been */
    }
    if (was_connecting) {
        /* Nobody knows what it did: to the session, to its will, to the last one's. */
        free_will(client, &client->will);
        free_will(client, &client->last_will);
        client->must_be_clean |=
            client->is_clean || (client->expiry_s > 0 && client->expiry_s < UINT32_MAX);
        client->may_have_session = true;
    }
    sim_wire_unref(client->last_wire);
    client->last_wire = client->wire;
    client->wire = NULL;
    client->was_graceful = is_graceful;
    client->was_unknown = was_connecting;
    client->last_will = client->will;
    client->last_will_delay_s = client->will_delay_s;
    client->will = 0;
}

void sim_client_closed(struct sim_client *client)
{
    sim_client_leave_wire(client, false);
}

void sim_wire_set(struct sim_wire *wire, bool is_cut)
{
    (void)pthread_mutex_lock(&wire->lock);
    wire->is_cut |= is_cut;
    wire->is_finished |= !is_cut;
    (void)pthread_mutex_unlock(&wire->lock);
}

bool sim_wire_is_closed(struct sim_wire *wire)
{
    bool is;

    (void)pthread_mutex_lock(&wire->lock);
    is = wire->is_server_gone;
    (void)pthread_mutex_unlock(&wire->lock);
    return is;
}

void sim_client_cut(struct sim_client *client, bool is_cut)
{
    sim_say(client->world, "client %s %s", client->id, is_cut ? "is cut off" : "just closes");
    sim_wire_set(client->wire, is_cut);
    sim_client_leave_wire(client, false);
}

/* Leave the connection open and unread, and make another one some time. */
bool sim_client_abandon(struct sim_client *client)
{
    for (unsigned i = 0; i < SIM_ZOMBIES_MAX; i++) {
        if (client->zombies[i] == NULL) {
            sim_say(client->world, "client %s forgets its connection", client->id);
            (void)pthread_mutex_lock(&client->wire->lock);
            client->wire->references++;
            (void)pthread_mutex_unlock(&client->wire->lock);
            client->zombies[i] = client->wire;
            sim_client_leave_wire(client, false);
            client->idle_until = client->world->step + sim_below(sim_chance_of(client), 60);
            return true;
        }
    }
    return false;
}

void sim_client_reap(struct sim_client *client)
{
    for (unsigned i = 0; i < SIM_ZOMBIES_MAX; i++) {
        struct sim_wire *wire = client->zombies[i];

        if (wire == NULL) {
            continue;
        }
        if (sim_wire_is_closed(wire)) {
            sim_wire_unref(wire);
            client->zombies[i] = NULL;
        } else if (!client->world->is_active || sim_chance(sim_chance_of(client), 3)) {
            sim_wire_set(wire, true);
        }
    }
}

/* DISCONNECT. */
static bool say_goodbye(struct sim_client *client, uint8_t reason, struct noc_slice props)
{
    uint8_t bytes[16];

    if (client->engine != NULL) {
        return sim_engine_leave(client, reason, props);
    }
    sim_client_say(
        client, bytes, noc_disconnect_encode(client->version, reason, props, bytes, sizeof bytes));
    return true;
}

bool sim_client_leave(struct sim_client *client)
{
    struct sim_random *random = sim_chance_of(client);
    uint8_t bytes[8];
    struct noc_slice props = {NULL, 0};
    uint8_t reason = 0;

    if (client->version == NOC_V5) {
        if (client->last_expiry_s > 0 &&
            (client->world->is_leaving ||
                (sim_chance(random, 150) && !sim_profile_of(client)->is_stable_group &&
                    !client->world->is_lawless))) {
            props = noc_slice(
                bytes, (size_t)(noc_prop_put_u32(bytes, NOC_PROP_SESSION_EXPIRY, 0) - bytes));
        }
        if (sim_chance(random, 200)) {
            reason = NOC_RC_DISCONNECT_WITH_WILL;
        }
    }
    if (!say_goodbye(client, reason, props)) {
        return false;
    }
    sim_say(client->world, "client %s leaves with %u", client->id, reason);
    client->last_expiry_s = props.n > 0 ? 0 : client->last_expiry_s;
    sim_wire_set(client->wire, false);
    client->was_graceful = reason == 0;
    client->state = SIM_LEAVING;
    return true;
}
