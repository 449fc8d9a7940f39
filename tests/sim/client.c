/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
/*
 * What a client does: it connects, publishes, subscribes, answers, and leaves
 * in every way there is.
 *
 *   IDLE --CONNECT--> CONNECTING --CONNACK--> OPEN --DISCONNECT--> LEAVING --> IDLE
 *     ^                                        |
 *     +---- cut, finished, forgotten, closed --+
 *
 * A client never breaks a rule of MQTT, so whatever the broker objects to is an error.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

/* ---- small things ---- */

void sim_fifo_put(struct sim_fifo *fifo, uint8_t type, uint16_t packet_id)
{
    if (fifo->head + fifo->n == fifo->room) {
        if (fifo->head > 0) {
            memmove(fifo->at, fifo->at + fifo->head, fifo->n * sizeof *fifo->at);
            fifo->head = 0;
        }
        if (fifo->n == fifo->room) {
            fifo->room = fifo->room == 0 ? 16 : fifo->room * 2;
            fifo->at = sim_realloc(fifo->at, fifo->room * sizeof *fifo->at);
        }
    }
    fifo->at[fifo->head + fifo->n++] = (struct sim_owed){type, packet_id};
}

bool sim_fifo_take(struct sim_fifo *fifo, struct sim_owed *ret_owed)
{
    if (fifo->n == 0) {
        return false;
    }
    *ret_owed = fifo->at[fifo->head++];
    if (--fifo->n == 0) {
        fifo->head = 0;
    }
    return true;
}

void sim_fifo_done(struct sim_fifo *fifo)
{
    free(fifo->at);
    *fifo = (struct sim_fifo){0};
}

static struct sim_random *chance(struct sim_client *client)
{
    return &client->world->random;
}

static const struct sim_profile *profile(const struct sim_client *client)
{
    return client->world->profile;
}

static bool is_watcher(const struct sim_client *client)
{
    return profile(client)->watchers && client->number < 2;
}

void sim_client_say(struct sim_client *client, const void *bytes, size_t n)
{
    if (n == 0) {
        sim_fail(client->world, "client %s: a packet could not be encoded", client->id);
    }
    (void)pthread_mutex_lock(&client->wire->lock);
    sim_pipe_put(&client->wire->up, bytes, n);
    (void)pthread_mutex_unlock(&client->wire->lock);
    client->spoke_ms = sim_now(client->world);
}

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

/* Draw what this connection is to be like. */
static void draw_connection(struct sim_client *client)
{
    struct sim_random *random = chance(client);
    const struct sim_profile *its = profile(client);

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
        if (its->max_packet > 0 && sim_chance(random, 300) && !is_watcher(client)) {
            client->max_packet = its->max_packet;
        }
    }
    client->is_clean = client->must_be_clean || client->world->is_leaving ||
                       (client->version != NOC_V5 && client->expiry_s == 0) ||
                       (sim_chance(random, its->clean) && client->world->is_active);
    client->will = 0;
    client->will_delay_s = 0;
    if (sim_chance(random, its->will) && client->world->is_active && !is_watcher(client)) {
        struct sim_message will = {.publisher = client->number,
            .topic = (uint16_t)(client->world->will_topic + client->number),
            .qos = (uint8_t)(1 + sim_below(random, 2)),
            .state = SIM_MESSAGE_HELD,
            .is_will = true,
            .payload_n = 20,
            .sends = 1};

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

static void reset_connection(struct sim_client *client)
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

static void begin_connection(struct sim_client *client)
{
    struct sim_world *world = client->world;
    uint8_t bytes[400];

    reset_connection(client);
    if (world->is_leaving) {
        client->expiry_s = 0;
    }
    draw_connection(client);
    client->aliases = sim_alloc((client->aliases_in_max + 1u) * sizeof *client->aliases);
    memset(client->aliases, 0, (client->aliases_in_max + 1u) * sizeof *client->aliases);
    client->wire =
        sim_connect(world, sim_below(chance(client), world->shard_count), client->listener);
    client->connect_ms = sim_now(world);
    sim_client_say(client, bytes, encode_connect(client, bytes, sizeof bytes));
    client->state = SIM_CONNECTING;
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
static void leave_wire(struct sim_client *client, bool is_graceful)
{
    struct sim_world *world = client->world;

    bool was_connecting = client->state == SIM_CONNECTING;

    client->state = SIM_IDLE;
    client->idle_until = world->step + sim_below(chance(client), 400);
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
    leave_wire(client, false);
}

static void wire_set(struct sim_wire *wire, bool is_cut)
{
    (void)pthread_mutex_lock(&wire->lock);
    wire->is_cut |= is_cut;
    wire->is_finished |= !is_cut;
    (void)pthread_mutex_unlock(&wire->lock);
}

static bool is_server_gone(struct sim_wire *wire)
{
    bool is;

    (void)pthread_mutex_lock(&wire->lock);
    is = wire->is_server_gone;
    (void)pthread_mutex_unlock(&wire->lock);
    return is;
}

static void cut(struct sim_client *client, bool is_cut)
{
    sim_say(client->world, "client %s %s", client->id, is_cut ? "is cut off" : "just closes");
    wire_set(client->wire, is_cut);
    leave_wire(client, false);
}

/* Leave the connection open and unread, and make another one some time. */
static bool abandon(struct sim_client *client)
{
    for (unsigned i = 0; i < SIM_ZOMBIES_MAX; i++) {
        if (client->zombies[i] == NULL) {
            sim_say(client->world, "client %s forgets its connection", client->id);
            (void)pthread_mutex_lock(&client->wire->lock);
            client->wire->references++;
            (void)pthread_mutex_unlock(&client->wire->lock);
            client->zombies[i] = client->wire;
            leave_wire(client, false);
            client->idle_until = client->world->step + sim_below(chance(client), 60);
            return true;
        }
    }
    return false;
}

static void reap_zombies(struct sim_client *client)
{
    for (unsigned i = 0; i < SIM_ZOMBIES_MAX; i++) {
        struct sim_wire *wire = client->zombies[i];

        if (wire == NULL) {
            continue;
        }
        if (is_server_gone(wire)) {
            sim_wire_unref(wire);
            client->zombies[i] = NULL;
        } else if (!client->world->is_active || sim_chance(chance(client), 3)) {
            wire_set(wire, true);
        }
    }
}

static void leave(struct sim_client *client)
{
    struct sim_random *random = chance(client);
    uint8_t props[8], bytes[16];
    size_t props_n = 0;
    uint8_t reason = 0;

    if (client->version == NOC_V5) {
        if (client->last_expiry_s > 0 &&
            (client->world->is_leaving ||
                (sim_chance(random, 150) && !profile(client)->is_stable_group &&
                    !client->world->is_lawless))) {
            props_n = (size_t)(noc_prop_put_u32(props, NOC_PROP_SESSION_EXPIRY, 0) - props);
            client->last_expiry_s = 0;
        }
        if (sim_chance(random, 200)) {
            reason = NOC_RC_DISCONNECT_WITH_WILL;
        }
    }
    sim_say(client->world, "client %s leaves with %u", client->id, reason);
    sim_client_say(client, bytes,
        noc_disconnect_encode(
            client->version, reason, noc_slice(props, props_n), bytes, sizeof bytes));
    wire_set(client->wire, false);
    client->was_graceful = reason == 0;
    client->state = SIM_LEAVING;
}

/* ---- publishing ---- */

static uint16_t new_id(struct sim_client *client)
{
    bool is_free;

    do {
        client->next_id = client->next_id == UINT16_MAX ? 1 : (uint16_t)(client->next_id + 1);
        is_free = client->next_id != client->subscribe_id;
        for (unsigned i = 0; i < client->flight_count; i++) {
            is_free &= client->flights[i].packet_id != client->next_id;
        }
    } while (!is_free);
    return client->next_id;
}

static void send_publish(
    struct sim_client *client, uint32_t number, uint16_t packet_id, bool is_again)
{
    struct sim_world *world = client->world;
    struct sim_message *message = &world->messages[number];
    struct noc_slice name = noc_slice_of("name"), value = noc_slice_of("value");
    uint8_t props[32];
    struct noc_publish_out out = {.topic = noc_slice_of(world->topics[message->topic]),
        .payload_n = message->payload_n,
        .qos = message->qos,
        .dup = is_again,
        .retain = message->retain,
        .packet_id = packet_id};
    uint8_t *bytes = sim_alloc(message->payload_n + 200u);
    size_t n;

    if (client->version == NOC_V5) {
        if (message->has_user) {
            out.props = noc_slice(props, (size_t)(noc_prop_put_user(props, name, value) - props));
        }
        out.has_expiry = number % 5 == 0;
        out.expiry_s = 100000000;
        if (message->topic < client->aliases_out_max) {
            out.alias = (uint16_t)(message->topic + 1);
            out.topic.n = client->known[message->topic] ? 0 : out.topic.n;
            client->known[message->topic] = true;
        }
    }
    n = noc_publish_encode_head(client->version, &out, bytes, 200);
    sim_message_fill(world, number, bytes + n);
    sim_client_say(client, bytes, n + message->payload_n);
    free(bytes);
    message->sends++;
    if (message->qos > 0) {
        sim_fifo_put(&client->acks[message->qos - 1], 0, packet_id);
    }
    sim_say(world, "client %s publishes %u to %s, qos %u%s%s, id %u", client->id, (unsigned)number,
        world->topics[message->topic], message->qos, message->retain ? ", retained" : "",
        is_again ? ", again" : "", packet_id);
}

void sim_client_publish(struct sim_client *client, unsigned topic, uint8_t qos, bool retain)
{
    struct sim_random *random = chance(client);
    struct sim_message message = {.publisher = client->number,
        .epoch = client->session->number,
        .topic = (uint16_t)topic,
        .qos = qos,
        .retain = retain,
        .has_user = client->version == NOC_V5 && sim_chance(random, 300),
        .payload_n = 8 + sim_below(random, 60)};
    uint32_t number;

    if (sim_chance(random, profile(client)->big)) {
        message.payload_n += sim_below(random, 5000);
    } else if (sim_chance(random, profile(client)->huge)) {
        message.payload_n += 5000 + sim_below(random, 20000);
    } else if (retain && sim_chance(random, profile(client)->remove)) {
        message.payload_n = 0;
    }
    number = sim_message_new(client->world, &message);
    if (qos == 0) {
        send_publish(client, number, 0, false);
        return;
    }
    client->flights[client->flight_count++] =
        (struct sim_flight){.packet_id = new_id(client), .qos = qos, .message = number};
    client->resend_at = client->flight_count;
    send_publish(client, number, client->flights[client->flight_count - 1].packet_id, false);
}

/* In the order of their first sending [MQTT-4.6.0-1]. */
void sim_client_resend(struct sim_client *client)
{
    for (; client->resend_at < client->flight_count; client->resend_at++) {
        const struct sim_flight *flight = &client->flights[client->resend_at];

        if (flight->is_received) {
            sim_fifo_put(&client->owed, NOC_PUBREL, flight->packet_id);
        } else {
            send_publish(client, flight->message, flight->packet_id, true);
        }
    }
}

static void publish_some(struct sim_client *client)
{
    struct sim_random *random = chance(client);
    const struct sim_profile *its = profile(client);
    const struct sim_world *world = client->world;
    unsigned topic = sim_below(random, world->will_topic);
    uint8_t qos = (uint8_t)sim_below(random, 3);
    bool retain = sim_chance(random, its->retain);

    if (its->owns_topics) {
        topic = client->number + world->scenario->clients * sim_below(random, 4);
        if (topic >= world->will_topic) {
            return;
        }
        qos = (uint8_t)(1 + topic % 2); /* of two kinds of QoS the older may come last */
    }
    qos = qos < its->qos_least ? its->qos_least : qos;
    if (retain && qos == 0) {
        qos = 1; /* so that it is known what the last one is */
    }
    if (qos > 0 && (client->flight_count == SIM_FLIGHTS_MAX ||
                       client->flight_count >= client->server_receive_max)) {
        return;
    }
    sim_client_publish(client, topic, qos, retain);
}

/* ---- subscribing ---- */

static unsigned draw_filter(struct sim_client *client)
{
    struct sim_world *world = client->world;
    bool is_shared = sim_chance(chance(client), profile(client)->shared);
    unsigned filter;

    if (is_watcher(client)) {
        return 0; /* # */
    }
    do {
        filter = sim_below(chance(client), world->filter_count);
    } while (profile(client)->shared > 0 && world->filters[filter].is_shared != is_shared);
    return filter;
}

static void note_asked(struct sim_client *client, unsigned filter, uint8_t options, uint32_t id)
{
    struct sim_session *session = client->session;
    struct sim_world *world = client->world;
    bool is_new = true;

    client->asked[client->asked_count] = (uint16_t)filter;
    client->asked_options[client->asked_count++] = options;
    for (unsigned i = 0; i < session->sub_count; i++) {
        struct sim_sub *sub = &session->subs[i];

        if (sub->filter == filter && sub->end_acked_at == 0) {
            is_new &= sub->acked_at == 0 || sub->end_sent_at != 0 || world->is_lawless;
            sub->end_sent_at = sub->end_sent_at == 0 ? world->clock : sub->end_sent_at;
        }
    }
    if (client->is_unsubscribe) {
        return;
    }
    if (session->sub_count == session->sub_room) {
        session->sub_room = session->sub_room * 2 + 8;
        session->subs = sim_realloc(session->subs, session->sub_room * sizeof *session->subs);
    }
    session->subs[session->sub_count++] = (struct sim_sub){.filter = (uint16_t)filter,
        .options = options,
        .is_replayed = !world->filters[filter].is_shared &&
                       ((options & NOC_SUB_RETAIN_HANDLING) == 0 ||
                           ((options & NOC_SUB_RETAIN_HANDLING) == 0x10 && is_new)),
        .id = id,
        .sent_at = world->clock};
}

static uint8_t draw_options(struct sim_client *client, unsigned filter)
{
    struct sim_random *random = chance(client);
    uint8_t qos = (uint8_t)sim_below(random, 3);

    if (is_watcher(client)) {
        return 2;
    }
    qos = qos < profile(client)->qos_least ? profile(client)->qos_least : qos;
    if (client->version != NOC_V5) {
        return qos;
    }
    if (sim_chance(random, 200) && !client->world->filters[filter].is_shared) {
        qos |= NOC_SUB_NO_LOCAL;
    }
    if (sim_chance(random, 200)) {
        qos |= NOC_SUB_RETAIN_AS_PUBLISHED;
    }
    return sim_chance(random, 300) ? (uint8_t)(qos | (1 + sim_below(random, 2)) << 4) : qos;
}

static void subscribe(struct sim_client *client, bool is_unsubscribe, int only)
{
    struct sim_random *random = chance(client);
    struct sim_world *world = client->world;
    uint8_t entries[256], bytes[320], props[8];
    uint8_t *at = entries;
    size_t props_n = 0;
    unsigned count = only >= 0 || is_watcher(client) ? 1 : 1 + sim_below(random, SIM_FILTERS_MAX);
    uint32_t id = 0;

    if (client->version == NOC_V5 && !is_unsubscribe && sim_chance(random, 500)) {
        id = 1 + sim_below(random, 300);
        props_n = (size_t)(noc_prop_put_varint(props, NOC_PROP_SUBSCRIPTION_ID, id) - props);
    }
    world->clock++;
    client->is_unsubscribe = is_unsubscribe;
    client->asked_count = 0;
    client->asked_at = world->clock;
    for (unsigned i = 0; i < count; i++) {
        unsigned filter = only >= 0 ? (unsigned)only : draw_filter(client);
        struct noc_slice text = noc_slice_of(world->filters[filter].text);
        uint8_t options = draw_options(client, filter);
        const struct noc_subscription entry = {text, options};
        bool is_double = false;

        for (unsigned k = 0; k < client->asked_count; k++) {
            is_double |= client->asked[k] == filter;
        }
        if (is_double) {
            continue;
        }
        at = is_unsubscribe ? noc_unsubscribe_put_entry(at, text)
                            : noc_subscribe_put_entry(at, &entry);
        note_asked(client, filter, options, id);
        sim_say(world, "client %s %ssubscribes %s, options %02x, id %u", client->id,
            is_unsubscribe ? "un" : "", world->filters[filter].text, options, (unsigned)id);
    }
    client->subscribe_id = new_id(client);
    {
        const struct noc_slice wire = noc_slice(entries, (size_t)(at - entries));
        const struct noc_slice raw = noc_slice(props, props_n);

        sim_client_say(client, bytes,
            is_unsubscribe ? noc_unsubscribe_encode(client->version, client->subscribe_id, raw,
                                 &wire, bytes, sizeof bytes)
                           : noc_subscribe_encode(client->version, client->subscribe_id, raw, &wire,
                                 bytes, sizeof bytes));
    }
}

/* Has the session a subscription on the filter that it has asked for, at least? */
static bool has_filter(const struct sim_session *session, unsigned filter)
{
    for (unsigned i = 0; i < session->sub_count; i++) {
        if (session->subs[i].filter == filter && session->subs[i].acked_at != 0 &&
            session->subs[i].end_acked_at == 0) {
            return true;
        }
    }
    return false;
}

/* ---- answering ---- */

static void send_owed(struct sim_client *client)
{
    struct sim_owed owed;
    unsigned most = client->world->is_active ? 1 + sim_below(chance(client), 6) : 1000;

    while (most-- > 0 && sim_fifo_take(&client->owed, &owed)) {
        uint8_t bytes[8];

        sim_client_say(client, bytes,
            noc_ack_encode(client->version, owed.type, owed.packet_id, 0, bytes, sizeof bytes));
        if (owed.type == NOC_PUBACK || owed.type == NOC_PUBCOMP) {
            if (client->taken_ids[owed.packet_id]) {
                client->taken_ids[owed.packet_id] = false;
                client->window--;
            }
        } else if (owed.type == NOC_PUBREL) {
            sim_fifo_put(&client->acks[2], 0, owed.packet_id);
        }
    }
}

static void ping(struct sim_client *client)
{
    uint8_t bytes[2];

    client->is_pinging = true;
    sim_client_say(client, bytes, noc_ping_encode(NOC_PINGREQ, bytes, sizeof bytes));
}

/* ---- turns ---- */

static void ring_act(struct sim_client *client)
{
    unsigned own = client->number, next = (client->number + 1) % client->world->scenario->clients;

    if (!has_filter(client->session, own)) {
        if (client->subscribe_id == 0) {
            subscribe(client, false, (int)own);
        }
        return;
    }
    if (client->world->is_active && client->ring_owed > 0 &&
        client->flight_count < SIM_FLIGHTS_MAX &&
        client->flight_count < client->server_receive_max) {
        client->ring_owed--;
        sim_client_publish(client, next, 1, false);
    }
}

/* End the connection in some way. True: it is over. */
static bool act_leaving(struct sim_client *client)
{
    struct sim_random *random = chance(client);
    const struct sim_profile *its = profile(client);

    if (is_watcher(client)) {
        return false;
    }
    if (sim_chance(random, its->leave)) {
        leave(client);
        return true;
    }
    if (sim_chance(random, its->cut)) {
        cut(client, true);
        return true;
    }
    if (sim_chance(random, its->finish)) {
        cut(client, false);
        return true;
    }
    if (sim_chance(random, its->abandon)) {
        return abandon(client);
    }
    if (sim_chance(random, its->stall)) {
        client->paused_until = client->world->step + sim_below(random, 3000);
    }
    return false;
}

static void act(struct sim_client *client)
{
    struct sim_random *random = chance(client);
    const struct sim_profile *its = profile(client);

    if (its->is_ring) {
        ring_act(client);
        return;
    }
    if (is_watcher(client) && !has_filter(client->session, 0)) {
        if (client->subscribe_id == 0) {
            subscribe(client, false, 0);
        }
        return;
    }
    if (!client->world->is_active || act_leaving(client)) {
        return;
    }
    if (sim_chance(random, its->publish)) {
        publish_some(client);
    }
    if (client->subscribe_id == 0 && !is_watcher(client)) {
        if (sim_chance(random, its->subscribe)) {
            subscribe(client, false, -1);
        } else if (sim_chance(random, its->unsubscribe)) {
            subscribe(client, true, -1);
        }
    }
}

/* Of a storm the others go first, then the one that ends the session. */
static bool may_retire(const struct sim_client *client)
{
    if (!profile(client)->is_storm || client->number % 4 != 0) {
        return true;
    }
    for (unsigned i = 1; i < 4; i++) {
        if (!client[i].is_retired) {
            return false;
        }
    }
    return true;
}

static void open_turn(struct sim_client *client)
{
    struct sim_world *world = client->world;
    uint64_t quiet_ms = sim_now(world) - client->spoke_ms;

    if (world->is_active && client->paused_until > world->step) {
        if (client->keepalive_s > 0 && quiet_ms > client->keepalive_s * UINT64_C(500)) {
            ping(client); /* it does not read, but it is alive */
        }
        return;
    }
    sim_client_hear(client);
    if (client->state != SIM_OPEN) {
        return;
    }
    if (!world->is_active || sim_chance(chance(client), profile(client)->answer)) {
        send_owed(client);
    }
    if ((client->keepalive_s > 0 && quiet_ms > client->keepalive_s * UINT64_C(500)) ||
        sim_chance(chance(client), profile(client)->ping)) {
        ping(client);
    }
    if (world->is_leaving && client->owed.n == 0) {
        client->is_retiring = client->is_clean && may_retire(client);
        leave(client);
        return;
    }
    act(client);
}

/* Has it nothing more at the broker? */
static bool has_retired(const struct sim_client *client)
{
    if (profile(client)->is_storm) {
        return client->number % 4 != 0 || client->is_retiring;
    }
    return (client->session == NULL || client->last_expiry_s == 0) && !client->may_have_session &&
           !client->must_be_clean;
}

static void idle_turn(struct sim_client *client)
{
    struct sim_world *world = client->world;
    bool is_storm = profile(client)->is_storm;

    if (client->is_retired || (world->is_active && world->step < client->idle_until)) {
        return;
    }
    if (client->was_unknown && client->last_wire != NULL && !is_server_gone(client->last_wire)) {
        return; /* what it did is known only then */
    }
    if (is_storm && !world->is_active && !world->is_leaving) {
        return; /* whoever is in stays in */
    }
    if (world->is_leaving) {
        if (has_retired(client)) {
            client->is_retired = true;
            return;
        }
        if (!may_retire(client)) {
            return;
        }
    }
    begin_connection(client);
}

void sim_client_turn(struct sim_client *client)
{
    reap_zombies(client);
    switch ((enum sim_client_state)client->state) {
    case SIM_IDLE:
        idle_turn(client);
        break;
    case SIM_CONNECTING:
        sim_client_hear(client);
        if (client->state == SIM_CONNECTING && client->world->is_active && !is_watcher(client) &&
            sim_chance(chance(client), profile(client)->cut_connect)) {
            cut(client, true);
        }
        break;
    case SIM_OPEN:
        open_turn(client);
        break;
    case SIM_LEAVING:
        sim_client_hear(client);
        if (client->state == SIM_LEAVING && is_server_gone(client->wire)) {
            leave_wire(client, client->was_graceful);
        }
        break;
    }
}

bool sim_client_is_idle(const struct sim_client *client)
{
    bool is_quiet = client->flight_count == 0 && client->owed.n == 0 && client->subscribe_id == 0 &&
                    !client->is_pinging;

    for (unsigned i = 0; i < SIM_ZOMBIES_MAX; i++) {
        is_quiet &= client->zombies[i] == NULL;
    }
    if (client->world->is_leaving) {
        return client->is_retired;
    }
    if (client->world->profile->is_storm) {
        return client->state == SIM_IDLE || (client->state == SIM_OPEN && is_quiet);
    }
    return client->state == SIM_OPEN && is_quiet;
}

/* ---- life ---- */

static uint32_t draw_expiry(struct sim_client *client)
{
    const unsigned *shares = profile(client)->expiry;
    unsigned drawn = sim_below(chance(client), shares[0] + shares[1] + shares[2]);

    if (is_watcher(client) || profile(client)->is_storm) {
        return UINT32_MAX;
    }
    if (drawn < shares[0]) {
        return 0;
    }
    if (drawn < shares[0] + shares[1] || client->version != NOC_V5) {
        return UINT32_MAX;
    }
    return 1 + sim_below(chance(client), 20);
}

void sim_client_init(struct sim_client *client, struct sim_world *world, unsigned number)
{
    static const uint8_t versions[] = {NOC_V5, NOC_V5, NOC_V5, NOC_V311, NOC_V311, NOC_V31};

    client->world = world;
    client->number = number;
    client->version = versions[sim_below(&world->random, NOC_COUNT(versions))];
    if (is_watcher(client)) {
        client->version = number == 0 ? NOC_V5 : NOC_V311;
    }
    client->listener =
        world->profile->has_mounts && !is_watcher(client) && sim_chance(&world->random, 400);
    (void)snprintf(client->id, sizeof client->id, world->profile->is_storm ? "storm%u" : "c%u",
        world->profile->is_storm ? number / 4 : number);
    client->taken_ids = sim_alloc(65536);
    client->again_ids = sim_alloc(65536);
    client->known = sim_alloc(world->topic_count);
    client->expiry_s = draw_expiry(client);
    client->idle_until = is_watcher(client) ? 0 : sim_below(&world->random, 500);
    client->ring_owed = 3;
}

void sim_client_done(struct sim_client *client)
{
    reset_connection(client);
    sim_wire_unref(client->wire);
    sim_wire_unref(client->last_wire);
    for (unsigned i = 0; i < SIM_ZOMBIES_MAX; i++) {
        sim_wire_unref(client->zombies[i]);
    }
    free(client->heard);
    free(client->taken_ids);
    free(client->again_ids);
    free(client->known);
}
