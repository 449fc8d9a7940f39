/* SPDX-License-Identifier: Apache-2.0 */
/* What came: cut into packets, and handed to those who know what to do with each. */
#include "client/engine.h"

enum { ANSWER_ROOM = 5 };

/* The server ends the connection (version 5). */
static int take_disconnect(
    struct noc_client *client, const struct noc_slice *body, struct noc_event *event)
{
    struct noc_disconnect view;
    struct noc_fault fault;
    int err = noc_disconnect_decode(
        client->version, false, (const uint8_t *)body->at, body->n, &view, &fault);

    if (err < 0) {
        return noc_engine_fail_codec(client, err, fault.field);
    }
    noc_engine_close(client, NOC_CAUSE_DISCONNECTED, view.reason);
    noc_engine_closed(client, event);
    event->reason = view.reason;
    event->payload = view.props.reason_string;
    event->props = view.props;
    return NOC_STEP_EVENT;
}

static int take_pubrel(struct noc_client *client, const struct noc_slice *body)
{
    struct noc_ack ack;
    struct noc_fault fault;
    int err = noc_ack_decode(client->version, NOC_PUBREL, body, &ack, &fault);

    return err < 0 ? noc_engine_fail_codec(client, err, fault.field)
                   : noc_engine_take_pubrel(client, ack.packet_id);
}

static int take_pingresp(struct noc_client *client, struct noc_event *event)
{
    client->ping = NOC_PING_NONE;
    return noc_engine_event(event, NOC_EVENT_PONG);
}

/* Is there room for whatever answer a packet of that type needs? */
static bool can_answer(struct noc_client *client, unsigned type)
{
    if (client->is_lost) {
        return true;
    }
    if (NOC_WITH_V5 && type == NOC_AUTH) {
        return client->out_at == client->out_end;
    }
    return !NOC_WITH_QOS || (type != NOC_PUBREC && type != NOC_PUBREL) ||
           noc_engine_room(client, ANSWER_ROOM) != NULL;
}

static int take_open(
    struct noc_client *client, unsigned type, const struct noc_slice *body, struct noc_event *event)
{
    switch (type) {
    case NOC_PUBACK:
    case NOC_PUBREC:
    case NOC_PUBCOMP:
        if (NOC_WITH_QOS) {
            return noc_engine_take_ack(client, type, body, event);
        }
        break;
    case NOC_PUBREL:
        if (NOC_WITH_QOS && NOC_WITH_SUBSCRIBE) {
            return take_pubrel(client, body);
        }
        break;
    case NOC_SUBACK:
    case NOC_UNSUBACK:
        if (NOC_WITH_SUBSCRIBE) {
            return noc_engine_take_suback(client, type, body, event);
        }
        break;
    case NOC_PINGRESP:
        return take_pingresp(client, event);
    case NOC_DISCONNECT:
        if (noc_engine_is_v5(client)) {
            return take_disconnect(client, body, event);
        }
        break;
    case NOC_AUTH:
        if (NOC_WITH_V5) {
            return noc_engine_take_auth(client, body, event);
        }
        break;
    default:
        break;
    }
    return noc_engine_fail(client, NOC_RC_PROTOCOL_ERROR, "packet type");
}

int noc_engine_take(struct noc_client *client, struct noc_event *event)
{
    const uint8_t *packet = client->in + client->in_at;
    size_t n = client->in_end - client->in_at, size;
    bool is_open = client->state == NOC_CLIENT_OPEN, is_whole;
    struct noc_header header;
    struct noc_slice body;
    int used = client->state == NOC_CLIENT_UPGRADING
                   ? 0
                   : noc_header_decode(client->version, packet, n, &header);

    if (used <= 0) {
        return used == 0 ? NOC_STEP_WAIT
                         : noc_engine_fail(client, NOC_RC_MALFORMED_PACKET, "fixed header");
    }
    size = (size_t)used + header.remaining;
    is_whole = size <= n;
    if (size > client->packet_max) {
        return noc_engine_fail(client, NOC_RC_PACKET_TOO_LARGE, "packet size");
    }
    if (NOC_WITH_SUBSCRIBE && is_open && header.type == NOC_PUBLISH) {
        return noc_engine_take_publish(client, &header, is_whole ? size : n, event);
    }
    if (!is_whole) {
        /* No need to wait for what can't come whole. */
        return size <= noc_engine_in_max(client)
                   ? NOC_STEP_WAIT
                   : noc_engine_fail(client, NOC_RC_PACKET_TOO_LARGE, "packet size");
    }
    if (!can_answer(client, header.type)) {
        client->wants_out = true;
        return NOC_STEP_WAIT;
    }
    noc_engine_trace(client, packet, size);
    client->in_at += (uint32_t)size;
    body = noc_slice(packet + used, header.remaining);
    if (is_open) {
        return take_open(client, header.type, &body, event);
    }
    if (header.type == NOC_CONNACK) {
        return noc_engine_take_connack(client, &body, event);
    }
    if (NOC_WITH_V5 && header.type == NOC_AUTH) {
        return noc_engine_take_auth(client, &body, event);
    }
    return noc_engine_fail(client, NOC_RC_PROTOCOL_ERROR, "packet type");
}
