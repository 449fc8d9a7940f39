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

size_t noc_engine_take_props(struct noc_client *client, unsigned type, const uint8_t *at, size_t n,
    struct noc_props *ret_props)
{
    struct noc_fault fault;
    int used = noc_props_decode(type, at, n, ret_props, &fault);

    if (used < 0) {
        noc_engine_fail_text(client,
            used == NOC_EMALFORMED ? NOC_RC_MALFORMED_PACKET : NOC_RC_PROTOCOL_ERROR, fault.field);
        return 0;
    }
    return (size_t)used;
}

/* A reason code, perhaps, and properties, perhaps (version 5). False: the connection has failed. */
static bool take_reason(
    struct noc_client *client, unsigned type, const uint8_t *at, size_t n, struct noc_event *event)
{
    if (n == 0) {
        return true;
    }
    if (!noc_engine_is_v5(client)) {
        fail_malformed(client);
        return false;
    }
    event->reason = *at;
    if (!noc_reason_is_listed(type, event->reason)) {
        noc_engine_fail(client, NOC_RC_PROTOCOL_ERROR, "reason code");
        return false;
    }
    if (n > 1) {
        size_t used = noc_engine_take_props(client, type, at + 1, n - 1, &event->props);

        if (used != 0 && used != n - 1) {
            fail_malformed(client);
        }
        return used == n - 1;
    }
    return true;
}

/* Reason codes, one for each filter. */
static bool take_reasons(
    struct noc_client *client, unsigned type, const uint8_t *at, size_t n, struct noc_event *event)
{
    size_t used = 0;

    if (noc_engine_is_v5(client)) {
        used = noc_engine_take_props(client, type, at, n, &event->props);
        if (used == 0) {
            return false;
        }
    }
    event->payload = noc_slice(at + used, n - used);
    if ((event->payload.n == 0) == (noc_engine_is_v5(client) || type == NOC_SUBACK)) {
        fail_malformed(client);
        return false;
    }
    for (; used < n; used++) {
        if (noc_engine_is_v5(client) ? !noc_reason_is_listed(type, at[used])
                                     : at[used] > 2 && at[used] != NOC_RC_UNSPECIFIED) {
            noc_engine_fail(client, NOC_RC_PROTOCOL_ERROR, "reason code"); /* [MQTT-3.9.3-2] */
            return false;
        }
    }
    return true;
}

/* What answers a packet of ours with a packet identifier, or is the server's in QoS 2. */
static int take_reply(struct noc_client *client, unsigned type, const uint8_t *body, size_t n,
    struct noc_event *event)
{
    bool is_ack = type < NOC_SUBSCRIBE, is_good;

    if (!(is_ack ? NOC_WITH_QOS : NOC_WITH_SUBSCRIBE) || type == NOC_SUBSCRIBE ||
        type == NOC_UNSUBSCRIBE) {
        return fail_packet(client);
    }
    if (n < 2) {
        return fail_malformed(client);
    }
    noc_engine_event(event, is_ack               ? NOC_EVENT_PUBLISHED
                            : type == NOC_SUBACK ? NOC_EVENT_SUBSCRIBED
                                                 : NOC_EVENT_UNSUBSCRIBED);
    event->packet_id = noc_get_u16(body);
    if (event->packet_id == 0) {
        return noc_engine_fail(client, NOC_RC_PROTOCOL_ERROR, "packet identifier");
    }
    is_good = is_ack ? take_reason(client, type, body + 2, n - 2, event)
                     : take_reasons(client, type, body + 2, n - 2, event);
    if (!is_good) {
        return NOC_STEP_ON;
    }
    if (!is_ack) {
        return noc_engine_take_suback(client, event);
    }
    return type == NOC_PUBREL ? noc_engine_take_pubrel(client, event->packet_id)
                              : noc_engine_take_ack(client, type, event);
}

/* DISCONNECT and AUTH. */
static int take_v5(struct noc_client *client, unsigned type, const uint8_t *body, size_t n,
    struct noc_event *event)
{
    noc_engine_event(event, NOC_EVENT_AUTHENTICATED);
    if (!take_reason(client, type, body, n, event)) {
        return NOC_STEP_ON;
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

static int dispatch(struct noc_client *client, unsigned type, const uint8_t *body, size_t n,
    struct noc_event *event)
{
    bool is_open = client->state == NOC_CLIENT_OPEN;

    if (noc_engine_is_v5(client) && type == NOC_AUTH) {
        return take_v5(client, type, body, n, event);
    }
    if (is_open == (type == NOC_CONNACK)) {
        return fail_packet(client);
    }
    if (type == NOC_CONNACK) {
        return noc_engine_take_connack(client, body, n, event);
    }
    if (type == NOC_PINGRESP && n == 0) {
        client->ping = NOC_PING_NONE;
        return noc_engine_event(event, NOC_EVENT_PONG);
    }
    if ((NOC_WITH_QOS || NOC_WITH_SUBSCRIBE) && type >= NOC_PUBACK && type <= NOC_UNSUBACK) {
        return take_reply(client, type, body, n, event);
    }
    if (type == NOC_DISCONNECT && noc_engine_is_v5(client)) {
        return take_v5(client, type, body, n, event);
    }
    return fail_packet(client);
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
    int used = read_header(packet, n, &header);

    if (used <= 0) {
        return used == 0 ? NOC_STEP_WAIT : fail_malformed(client);
    }
    size = (size_t)used + header.remaining;
    if (size > noc_engine_in_max(client) || (NOC_WITH_V5 && size - 1 > client->packet_max - 1)) {
        /* No need to wait for what can't come whole, or at all. */
        if (!NOC_WITH_SUBSCRIBE || header.type != NOC_PUBLISH || client->state != NOC_CLIENT_OPEN ||
            (NOC_WITH_V5 && size - 1 > client->packet_max - 1)) {
            return noc_engine_fail(client, NOC_RC_PACKET_TOO_LARGE, "packet size");
        }
    } else if (size > n) {
        return NOC_STEP_WAIT;
    }
    if (NOC_WITH_SUBSCRIBE && header.type == NOC_PUBLISH && client->state == NOC_CLIENT_OPEN) {
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
