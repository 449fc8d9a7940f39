/* SPDX-License-Identifier: Apache-2.0 */
/* What came: cut into packets, and handed to those who know what to do with each. */
#include "client/engine.h"
#include "mqtt/wire.h"

static int fail_malformed(struct noc_client *client)
{
    return noc_engine_fail(client, NOC_RC_MALFORMED_PACKET, "length");
}

static int fail_packet(struct noc_client *client)
{
    return noc_engine_fail(client, NOC_RC_PROTOCOL_ERROR, "packet type");
}

int noc_engine_take_props(struct noc_client *client, unsigned type, const uint8_t *at, size_t n,
    struct noc_props *ret_props)
{
    struct noc_fault fault;
    int used = noc_props_decode(type, at, n, ret_props, &fault);

    if (used < 0) {
        used = -noc_engine_fail_text(client,
            used == NOC_EMALFORMED ? NOC_RC_MALFORMED_PACKET : NOC_RC_PROTOCOL_ERROR, fault.field);
    }
    return used;
}

/* A reason code, perhaps, and properties, perhaps (version 5). NOC_OK, or a reason to fail. */
static int take_reason(
    struct noc_client *client, unsigned type, const uint8_t *at, size_t n, struct noc_event *event)
{
    int used = 0;

    if (n == 0) {
        return NOC_OK;
    }
    if (!noc_engine_is_v5(client)) {
        return fail_malformed(client);
    }
    event->reason = *at;
    if (!noc_reason_is_listed(type, event->reason)) {
        return noc_engine_fail(client, NOC_RC_PROTOCOL_ERROR, "reason code");
    }
    if (n > 1) {
        used = noc_engine_take_props(client, type | NOC_PROPS_ALL, at + 1, n - 1, &event->props);
    }
    return used < 0 ? -used : NOC_OK;
}

/* Reason codes, one for each filter. NOC_OK, or a reason to fail. */
static int take_reasons(
    struct noc_client *client, unsigned type, const uint8_t *at, size_t n, struct noc_event *event)
{
    int used;

    if (noc_engine_is_v5(client)) {
        used = noc_engine_take_props(client, type, at, n, &event->props);
        if (used < 0) {
            return -used;
        }
        at += used;
        n -= (size_t)used;
    }
    event->payload = noc_slice(at, n);
    if ((n == 0) == (noc_engine_is_v5(client) || type == NOC_SUBACK)) {
        return fail_malformed(client);
    }
    for (; n > 0; at++, n--) {
        if (noc_engine_is_v5(client) ? !noc_reason_is_listed(type, *at)
                                     : *at > 2 && *at != NOC_RC_UNSPECIFIED) {
            return noc_engine_fail(
                client, NOC_RC_PROTOCOL_ERROR, "reason code"); /* [MQTT-3.9.3-2] */
        }
    }
    return NOC_OK;
}

/* What answers a packet of ours with a packet identifier, or is the server's in QoS 2. */
static int take_reply(struct noc_client *client, unsigned type, const uint8_t *body, size_t n,
    struct noc_event *event)
{
    bool is_ack = type < NOC_SUBSCRIBE;
    int err;

    if (n < 2) {
        return fail_malformed(client);
    }
    event->packet_id = noc_get_u16(body);
    if (event->packet_id == 0) {
        return noc_engine_fail(client, NOC_RC_PROTOCOL_ERROR, "packet identifier");
    }
    if (NOC_WITH_SUBSCRIBE && (!NOC_WITH_QOS || !is_ack)) {
        err = take_reasons(client, type, body + 2, n - 2, event);
        return err != NOC_OK
                   ? err
                   : noc_engine_take_suback(client,
                         type == NOC_SUBACK ? NOC_EVENT_SUBSCRIBED : NOC_EVENT_UNSUBSCRIBED, event);
    }
    err = take_reason(client, type, body + 2, n - 2, event);
    if (err != NOC_OK) {
        return err;
    }
    return type == NOC_PUBREL ? noc_engine_take_pubrel(client, event->packet_id)
                              : noc_engine_take_ack(client, type, event);
}

/* DISCONNECT and AUTH. */
static int take_v5(struct noc_client *client, unsigned type, const uint8_t *body, size_t n,
    struct noc_event *event)
{
    int err = take_reason(client, type, body, n, event);

    if (err != NOC_OK) {
        return err;
    }
    if (type == NOC_AUTH) {
        return noc_engine_take_auth(client, event);
    }
    if (noc_props_has(&event->props, NOC_PROP_SESSION_EXPIRY)) {
        return noc_engine_fail(
            client, NOC_RC_PROTOCOL_ERROR, "session expiry"); /* [MQTT-3.14.2-2] */
    }
    noc_engine_close(client, NOC_CAUSE_DISCONNECTED, event->reason);
    return noc_engine_closed(client, event);
}

/* Is there room for whatever answer a packet of that type needs? */
static bool can_answer(struct noc_client *client, unsigned type)
{
    uint8_t *at;

    if (client->is_lost) {
        return true;
    }
    if (NOC_WITH_V5 && type == NOC_AUTH) {
        /* The method writes the answer, and may be asked only once: so all the room is to be had. */
        if (client->out_at != client->out_end) {
            return false;
        }
    } else if (!NOC_WITH_QOS || (type != NOC_PUBREC && type != NOC_PUBREL)) {
        return true;
    }
    return noc_engine_begin(client, type, NOC_ENGINE_ANSWER_MAX - 2, 0, &at) == NOC_OK;
}

/* What a server may send on an open connection, besides PUBLISH, a bit for each type; version 5. */
enum {
    ACKS = 1 << NOC_PUBACK | 1 << NOC_PUBREC | 1 << NOC_PUBREL | 1 << NOC_PUBCOMP,
    SUBACKS = 1 << NOC_SUBACK | 1 << NOC_UNSUBACK,
    REPLIES = (NOC_WITH_QOS ? ACKS : 0) | (NOC_WITH_SUBSCRIBE ? SUBACKS : 0),
    IN_OPEN = REPLIES | 1 << NOC_PINGRESP,
};

static int dispatch(struct noc_client *client, unsigned type, const uint8_t *body, size_t n,
    struct noc_event *event)
{
    unsigned allowed = 1 << NOC_CONNACK, v5 = 1 << NOC_AUTH;

    if (client->state == NOC_CLIENT_OPEN) {
        allowed = IN_OPEN;
        v5 |= 1 << NOC_DISCONNECT;
    }
    if (noc_engine_is_v5(client)) {
        allowed |= v5;
    }
    if ((allowed >> type & 1) == 0) {
        return fail_packet(client);
    }
    if (type == NOC_CONNACK) {
        return noc_engine_take_connack(client, body, n, event);
    }
    if (type == NOC_PINGRESP) {
        client->ping = NOC_PING_NONE;
        return n > 0 ? fail_packet(client) : noc_engine_event(event, NOC_EVENT_PONG);
    }
    if (NOC_WITH_V5 && type > NOC_PINGRESP) {
        return take_v5(client, type, body, n, event);
    }
    return REPLIES != 0 ? take_reply(client, type, body, n, event) : NOC_STEP_WAIT;
}

/*
 * Read the fixed header of bytes[0..n), as a server may write it. Returns its bytes, 0: it is
 * not all here; or NOC_EMALFORMED.
 */
static int read_header(const uint8_t *bytes, size_t n, struct noc_header *header)
{
    unsigned first, flags;
    int used;

    if (n == 0) {
        return 0;
    }
    first = bytes[0];
    flags = first & 0x0f;
    header->type = (uint8_t)(first >> 4);
    header->flags = (uint8_t)flags;
    /* [MQTT-2.1.3-1], [MQTT-3.3.1-4], [MQTT-3.6.1-1] */
    if (header->type == NOC_PUBLISH ? (flags & 6) == 6
                                    : flags != (header->type == NOC_PUBREL ? 2 : 0)) {
        return NOC_EMALFORMED;
    }
    used = noc_varint_decode(bytes + 1, n - 1, &header->remaining);
    header->size = (uint8_t)(used + 1);
    return used > 0 ? used + 1 : used;
}

int noc_engine_take(struct noc_client *client, struct noc_event *event)
{
    const uint8_t *packet = client->in + client->in_at;
    size_t n = client->in_end - client->in_at, size;
    struct noc_header header;
    bool is_message, is_too_large;
    int used = read_header(packet, n, &header);

    if (used <= 0) {
        return used == 0 ? NOC_STEP_WAIT : fail_malformed(client);
    }
    size = (size_t)used + header.remaining;
    is_message =
        NOC_WITH_SUBSCRIBE && header.type == NOC_PUBLISH && client->state == NOC_CLIENT_OPEN;
    is_too_large = size > noc_engine_in_max(client); /* to come in one piece */
    if ((is_too_large && !is_message) || (NOC_WITH_V5 && size - 1 > client->packet_max - 1)) {
        return noc_engine_fail(client, NOC_RC_PACKET_TOO_LARGE, "packet size");
    }
    if (size > n && !is_too_large) {
        return NOC_STEP_WAIT;
    }
    if (is_message) {
        return noc_engine_take_publish(client, &header, n - (size_t)used, event);
    }
    if (!can_answer(client, header.type)) {
        client->wants_out = true;
        return NOC_STEP_WAIT;
    }
    noc_engine_trace(client, false, packet, size);
    client->in_at += (uint32_t)size;
    return dispatch(client, header.type, packet + used, header.remaining, event);
}
