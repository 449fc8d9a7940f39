/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
/* What a client hears: every packet is decoded and held against the rules. */
#include <stdlib.h>
#include <string.h>

#include "mqtt/topic.h"
#include "sim.h"

static void check(const struct sim_client *client, bool is_right, const char *rule)
{
    if (!is_right) {
        sim_fail(client->world, "client %s: %s", client->id, rule);
    }
}

/* ---- CONNACK ---- */

static void on_connack(struct sim_client *client, struct noc_slice body)
{
    struct sim_world *world = client->world;
    struct noc_fault fault;
    struct noc_connack connack;
    bool is_known = client->session != NULL && client->last_expiry_s > 0;

    check(client, client->state == SIM_CONNECTING, "CONNACK out of place");
    check(client,
        noc_connack_decode(client->version, (const uint8_t *)body.at, body.n, &connack, &fault) ==
            NOC_OK,
        "CONNACK is malformed");
    if (connack.reason != 0) {
        check(client,
            world->is_lawless || world->profile->denied > 0 || world->profile->memory_short > 0,
            "CONNECT was refused");
        check(client, !connack.session_present, "session present in a refusal [MQTT-3.2.2-6]");
        client->is_refused = true;
        return; /* the server closes */
    }
    sim_client_let_in(client, connack.session_present, &connack.props);
    if (!client->is_resumed || !is_known) {
        client->flight_count = 0; /* its own half of the session is gone */
    }
    client->resend_at = 0;
    sim_client_resend(client);
}

void sim_client_let_in(
    struct sim_client *client, bool session_present, const struct noc_props *props)
{
    struct sim_world *world = client->world;

    client->server_receive_max = UINT16_MAX;
    client->aliases_out_max = 0;
    if (client->version == NOC_V5) {
        client->aliases_out_max = props->topic_alias_maximum;
        if (noc_props_has(props, NOC_PROP_RECEIVE_MAXIMUM)) {
            client->server_receive_max = props->receive_maximum;
        }
    } else if (world->limits.max_inflight_messages > 0) {
        client->server_receive_max = world->limits.max_inflight_messages;
    }
    sim_say(world, "client %s is in, session present %d", client->id, session_present);
    world->clock++;
    client->is_resumed = session_present;
    if (client->version == NOC_V31 && client->session != NULL && !client->is_clean) {
        /* It is not told, section 3.2. */
        client->is_resumed = client->last_expiry_s > 0 && !client->session->is_over;
    }
    sim_oracle_connected(client, client->is_resumed);
    client->last_expiry_s = client->version == NOC_V5 ? client->expiry_s
                            : client->is_clean        ? 0
                                                      : UINT32_MAX;
    client->state = SIM_OPEN;
    client->was_unknown = false;
}

/* ---- PUBLISH ---- */

static struct noc_slice resolve_alias(struct sim_client *client, const struct noc_publish *publish)
{
    uint16_t alias = publish->props.topic_alias;

    if (!noc_props_has(&publish->props, NOC_PROP_TOPIC_ALIAS)) {
        return publish->topic;
    }
    check(client, alias > 0 && alias <= client->aliases_in_max,
        "a topic alias above the maximum [MQTT-3.1.2-27]");
    if (publish->topic.n > 0) {
        free(client->aliases[alias]);
        client->aliases[alias] = sim_alloc(publish->topic.n + 1);
        memcpy(client->aliases[alias], publish->topic.at, publish->topic.n);
        client->aliases[alias][publish->topic.n] = '\0';
    }
    check(client, client->aliases[alias] != NULL, "a topic alias that stands for nothing");
    return noc_slice_of(client->aliases[alias]);
}

static struct sim_incoming *find_incoming(struct sim_session *session, uint16_t packet_id)
{
    for (unsigned i = 0; i < session->incoming_count; i++) {
        if (session->incoming[i].packet_id == packet_id) {
            return &session->incoming[i];
        }
    }
    return NULL;
}

static void put_incoming(struct sim_session *session, uint16_t packet_id, uint32_t message)
{
    if (session->incoming_count == session->incoming_room) {
        session->incoming_room = session->incoming_room * 2 + 16;
        session->incoming =
            sim_realloc(session->incoming, session->incoming_room * sizeof *session->incoming);
    }
    session->incoming[session->incoming_count++] = (struct sim_incoming){packet_id, message};
}

/* The rules of flow control and packet identifiers. */
static void check_window(struct sim_client *client, const struct noc_publish *publish)
{
    const struct sim_world *world = client->world;
    unsigned most = client->receive_max;

    if (world->limits.max_inflight_messages > 0 && world->limits.max_inflight_messages < most) {
        most = world->limits.max_inflight_messages;
    }
    check(client, !client->taken_ids[publish->packet_id],
        "a packet identifier that is in use [MQTT-2.2.1-4]");
    client->taken_ids[publish->packet_id] = true;
    client->window++;
    check(client, client->window <= most, "more in flight than Receive Maximum [MQTT-3.3.4-9]");
    if (publish->dup && !world->profile->is_storm) {
        check(client, client->is_resumed, "dup on the first connection of a session");
        check(client, !client->again_ids[publish->packet_id],
            "sent again twice on one connection [MQTT-4.4.0-1]");
        client->again_ids[publish->packet_id] = true;
    }
}

static void on_publish(struct sim_client *client, unsigned flags, struct noc_slice body)
{
    struct sim_session *session = client->session;
    struct noc_fault fault = {0};
    struct noc_publish publish;
    struct noc_slice topic;
    struct sim_incoming *incoming;
    uint32_t message;

    check(client,
        noc_publish_decode(client->version, flags, false, &body, &publish, &fault) == NOC_OK,
        "PUBLISH is malformed");
    topic = resolve_alias(client, &publish);
    sim_say(client->world, "client %s hears %.*s, qos %u%s%s, id %u", client->id,
        NOC_SLICE_ARG(topic), publish.qos, publish.dup ? ", dup" : "",
        publish.retain ? ", retained" : "", publish.packet_id);
    check(client, noc_topic_is_valid(topic), "not a topic");
    if (publish.qos > 0) {
        check_window(client, &publish);
        sim_fifo_put(&client->owed, publish.qos == 1 ? NOC_PUBACK : NOC_PUBREC, publish.packet_id);
    }
    message = sim_oracle_heard(client, &publish, topic);
    client->ring_seen++;
    client->world->short_heard += atomic_load(&client->world->core.is_memory_short);
    if (publish.qos != 2) {
        return;
    }
    incoming = find_incoming(session, publish.packet_id);
    if (incoming != NULL && !client->world->profile->is_storm) {
        check(client, publish.dup, "a QoS 2 packet identifier before its PUBREL [MQTT-4.3.3-5]");
        check(client, incoming->message == message || publish.payload.n == 0,
            "another message with the packet identifier");
        return;
    }
    if (incoming == NULL) {
        put_incoming(session, publish.packet_id, message);
    }
    if (publish.payload.n > 0) {
        sim_oracle_taken(client, message);
    }
}

/* ---- acknowledgements ---- */

static struct sim_flight *find_flight(struct sim_client *client, uint16_t packet_id)
{
    for (unsigned i = 0; i < client->flight_count; i++) {
        if (client->flights[i].packet_id == packet_id) {
            return &client->flights[i];
        }
    }
    return NULL;
}

static void end_flight(struct sim_client *client, struct sim_flight *flight)
{
    unsigned at = (unsigned)(flight - client->flights);

    memmove(flight, flight + 1, (client->flight_count - at - 1) * sizeof *flight);
    client->flight_count--;
    client->resend_at -= client->resend_at > at;
}

static void settle_flight(struct sim_client *client, struct sim_flight *flight, uint8_t reason)
{
    struct sim_world *world = client->world;
    struct sim_message *message = &world->messages[flight->message];

    client->ring_owed++;
    client->ring_answered++;
    world->short_answered += atomic_load(&world->core.is_memory_short);
    if (reason >= NOC_RC_UNSPECIFIED) {
        check(
            client, world->is_lawless || world->profile->memory_short > 0, "a PUBLISH was refused");
        message->state = SIM_MESSAGE_REFUSED;
    } else {
        client->ring_taken += reason == NOC_RC_SUCCESS; /* somebody has subscribed to it */
        message->state = SIM_MESSAGE_TAKEN;
        message->taken_at = world->clock;
    }
    end_flight(client, flight);
}

static void on_ack(struct sim_client *client, unsigned type, struct noc_slice body)
{
    struct noc_fault fault = {0};
    struct noc_ack ack;
    struct sim_owed expected = {0};
    struct sim_flight *flight;
    unsigned row = type == NOC_PUBACK ? 0 : type == NOC_PUBREC ? 1 : 2;

    check(client, noc_ack_decode(client->version, type, &body, &ack, &fault) == NOC_OK,
        "an acknowledgement is malformed");
    sim_say(client->world, "client %s hears ack %u of id %u, reason %u", client->id, type,
        ack.packet_id, ack.reason);
    check(client, sim_fifo_take(&client->acks[row], &expected), "an acknowledgement of nothing");
    check(client, expected.packet_id == ack.packet_id,
        "acknowledgements out of order [MQTT-4.6.0-2] [MQTT-4.6.0-3]");
    flight = find_flight(client, ack.packet_id);
    check(client, flight != NULL, "an acknowledgement of a message not in flight");
    if (type == NOC_PUBREC && ack.reason < NOC_RC_UNSPECIFIED) {
        flight->is_received = true;
        sim_fifo_put(&client->owed, NOC_PUBREL, ack.packet_id);
        return;
    }
    check(client, flight->qos == (type == NOC_PUBACK ? 1 : 2), "an acknowledgement of another QoS");
    if (type == NOC_PUBCOMP && ack.reason == NOC_RC_PACKET_ID_NOT_FOUND) {
        check(client, client->is_resumed, "PUBCOMP: the packet identifier is not known");
        ack.reason = 0; /* the last PUBCOMP had got lost */
    }
    settle_flight(client, flight, ack.reason);
}

static void on_pubrel(struct sim_client *client, struct noc_slice body)
{
    struct sim_session *session = client->session;
    struct noc_fault fault = {0};
    struct noc_ack ack;
    struct sim_incoming *incoming;

    check(client, noc_ack_decode(client->version, NOC_PUBREL, &body, &ack, &fault) == NOC_OK,
        "PUBREL is malformed");
    incoming = find_incoming(session, ack.packet_id);
    if (incoming != NULL) {
        *incoming = session->incoming[--session->incoming_count];
    } else {
        check(client, client->is_resumed || client->world->profile->is_storm, "PUBREL for nothing");
    }
    sim_fifo_put(&client->owed, NOC_PUBCOMP, ack.packet_id);
}

/* ---- SUBACK, UNSUBACK ---- */

/* What the oracle knows of the session's subscription: 1 there, 0 not there, -1 perhaps. */
static int knows_of(const struct sim_session *session, unsigned filter)
{
    int known = 0;

    for (unsigned i = 0; i < session->sub_count; i++) {
        const struct sim_sub *sub = &session->subs[i];

        if (sub->filter != filter || sub->end_acked_at != 0) {
            continue;
        }
        if (sub->acked_at == 0) {
            known = known == 1 ? 1 : -1;
        } else {
            known = 1;
        }
    }
    return known;
}

/* Some of the records of the filter may have been ended by a packet that was never answered. */
static bool is_doubtful(const struct sim_session *session, unsigned filter, uint64_t asked_at)
{
    for (unsigned i = 0; i < session->sub_count; i++) {
        const struct sim_sub *sub = &session->subs[i];

        if (sub->filter == filter && sub->end_acked_at == 0 &&
            (sub->acked_at == 0 || (sub->end_sent_at != 0 && sub->end_sent_at < asked_at))) {
            return true;
        }
    }
    return false;
}

/* is_over: it was an UNSUBSCRIBE, or refused, which happens only to what is not there. */
static void settle_asked(struct sim_client *client, unsigned at, bool is_over)
{
    struct sim_session *session = client->session;
    unsigned filter = client->asked[at];
    struct sim_sub *newest = NULL;

    for (unsigned i = 0; i < session->sub_count; i++) {
        struct sim_sub *sub = &session->subs[i];

        if (sub->filter == filter && sub->end_acked_at == 0) {
            if (newest != NULL) {
                newest->end_acked_at = client->world->clock;
            }
            newest = sub;
        }
    }
    if (is_over && newest != NULL) {
        newest->end_acked_at = client->world->clock;
    } else if (newest != NULL) {
        newest->acked_at = client->world->clock;
    }
}

static void check_reason(struct sim_client *client, unsigned at, uint8_t reason)
{
    unsigned filter = client->asked[at];
    const struct sim_session *session = client->session;

    if (client->world->is_lawless) {
        return;
    }
    if (!client->is_unsubscribe && reason >= NOC_RC_UNSPECIFIED) {
        check(client,
            client->world->profile->memory_short > 0 &&
                reason == (client->version == NOC_V5 ? NOC_RC_QUOTA_EXCEEDED : 0x80),
            "SUBACK: a refusal");
    } else if (!client->is_unsubscribe) {
        check(client, reason == (client->asked_options[at] & NOC_SUB_QOS), "SUBACK: another QoS");
    } else if (client->version == NOC_V5 && !is_doubtful(session, filter, client->asked_at)) {
        check(client,
            reason == (knows_of(session, filter) == 1 ? 0 : NOC_RC_NO_SUBSCRIPTION_EXISTED),
            "UNSUBACK: the wrong reason");
    }
}

static void on_suback(struct sim_client *client, unsigned type, struct noc_slice body)
{
    struct noc_fault fault = {0};
    struct noc_suback suback;

    check(client, noc_suback_decode(client->version, type, &body, &suback, &fault) == NOC_OK,
        "SUBACK is malformed");
    sim_client_settle_asked(client, type, suback.packet_id, suback.reasons);
}

void sim_client_settle_asked(
    struct sim_client *client, unsigned type, uint16_t packet_id, struct noc_slice reasons)
{
    bool has_reasons = client->version == NOC_V5 || type == NOC_SUBACK;

    check(client,
        client->subscribe_id == packet_id && client->is_unsubscribe == (type == NOC_UNSUBACK),
        "SUBACK or UNSUBACK of nothing");
    check(client, !has_reasons || reasons.n == client->asked_count,
        "SUBACK with another number of reasons [MQTT-3.9.3-1]");
    client->world->clock++;
    for (unsigned i = 0; i < client->asked_count; i++) {
        uint8_t reason = has_reasons ? (uint8_t)reasons.at[i] : 0;

        if (has_reasons) {
            check_reason(client, i, reason);
        }
        settle_asked(client, i, client->is_unsubscribe || reason >= NOC_RC_UNSPECIFIED);
    }
    client->subscribe_id = 0;
}

/* ---- the stream ---- */

static void on_goodbye(struct sim_client *client, struct noc_slice body)
{
    struct noc_fault fault = {0};
    struct noc_disconnect disconnect;

    check(client, client->version == NOC_V5, "DISCONNECT to a version 3 client");
    check(client,
        noc_disconnect_decode(
            NOC_V5, false, (const uint8_t *)body.at, body.n, &disconnect, &fault) == NOC_OK,
        "DISCONNECT is malformed");
    client->has_heard_goodbye = true;
    client->goodbye = disconnect.reason;
    sim_say(client->world, "client %s is sent away: %u", client->id, disconnect.reason);
}

static void on_packet(
    struct sim_client *client, const struct noc_header *header, struct noc_slice body)
{
    check(client, !client->has_heard_goodbye, "a packet behind DISCONNECT [MQTT-3.14.4-1]");
    check(client, client->state != SIM_CONNECTING || header->type == NOC_CONNACK,
        "a packet before CONNACK [MQTT-3.2.0-1]");
    check(client, client->max_packet == 0 || header->size + header->remaining <= client->max_packet,
        "a packet above Maximum Packet Size [MQTT-3.1.2-24]");
    switch ((enum noc_packet_type)header->type) {
    case NOC_CONNACK:
        on_connack(client, body);
        return;
    case NOC_PUBLISH:
        on_publish(client, header->flags, body);
        return;
    case NOC_PUBACK:
    case NOC_PUBREC:
    case NOC_PUBCOMP:
        on_ack(client, header->type, body);
        return;
    case NOC_PUBREL:
        on_pubrel(client, body);
        return;
    case NOC_SUBACK:
    case NOC_UNSUBACK:
        on_suback(client, header->type, body);
        return;
    case NOC_PINGRESP:
        client->is_pinging = false;
        return;
    case NOC_DISCONNECT:
        on_goodbye(client, body);
        return;
    case NOC_CONNECT:
    case NOC_SUBSCRIBE:
    case NOC_UNSUBSCRIBE:
    case NOC_PINGREQ:
    case NOC_AUTH:
        check(client, false, "a packet that only clients send");
    }
}

static void decode(struct sim_client *client)
{
    size_t at = 0;

    while (at < client->heard_n) {
        struct noc_header header;
        int size =
            noc_header_decode(client->version, client->heard + at, client->heard_n - at, &header);

        check(client, size >= 0, "not a packet");
        if (size == 0 || client->heard_n - at < (size_t)header.size + header.remaining) {
            break;
        }
        at += (size_t)header.size + header.remaining;
        on_packet(
            client, &header, noc_slice(client->heard + at - header.remaining, header.remaining));
        if (client->wire == NULL) {
            return;
        }
    }
    memmove(client->heard, client->heard + at, client->heard_n - at);
    client->heard_n -= at;
}

void sim_client_check_close(struct sim_client *client)
{
    struct sim_world *world = client->world;
    const struct sim_profile *its = world->profile;
    bool is_expected =
        world->is_lawless || its->memory_short > 0 ||
        (client->state == SIM_CONNECTING && (its->denied > 0 || its->cut_connect > 0));

    /* Where a minute goes by at once nobody has said anything in time. */
    is_expected |= its->jump > 0 &&
                   (client->version != NOC_V5 || client->goodbye == NOC_RC_KEEP_ALIVE_TIMEOUT);
    sim_say(world, "client %s finds its connection closed", client->id);
    if (!is_expected) {
        sim_fail(world, "client %s: closed without a cause, reason %u, state %u", client->id,
            client->goodbye, client->state);
    }
}

static void on_close(struct sim_client *client)
{
    if (client->state != SIM_LEAVING) {
        sim_client_check_close(client);
        sim_client_closed(client);
    }
}

void sim_client_hear(struct sim_client *client)
{
    struct sim_wire *wire = client->wire;
    bool is_gone;
    size_t n;

    (void)pthread_mutex_lock(&wire->lock);
    n = wire->down.n;
    if (n > 0 && client->world->is_active && sim_chance(&client->world->random, 300)) {
        n = 1 + sim_below(&client->world->random, (unsigned)n);
    }
    if (client->heard_n + n > client->heard_room) {
        client->heard_room = (client->heard_n + n) * 2;
        client->heard = sim_realloc(client->heard, client->heard_room);
    }
    if (n > 0) {
        memcpy(client->heard + client->heard_n, sim_pipe_peek(&wire->down), n);
        sim_pipe_drop(&wire->down, n);
    }
    client->heard_n += n;
    is_gone = wire->is_server_gone && wire->down.n == 0;
    (void)pthread_mutex_unlock(&wire->lock);
    if (n > 0) {
        decode(client);
    }
    if (is_gone && client->wire == wire) {
        on_close(client);
    }
}
