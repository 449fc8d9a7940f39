/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages from the server. One that fits into the buffer is an event; of a
 * larger one the head (topic, packet identifier, properties) must fit, and
 * its payload is handed out as it comes. What the application has is
 * acknowledged when it asks for the next event.
 */
#include "client/engine.h"

/* ---- QoS 2: the packet identifiers that are under way ---- */

/* Where it stands among them; received_count: it does not. */
static unsigned find_received(const struct noc_client *client, uint16_t packet_id)
{
    unsigned i = 0;

    while (i < client->received_count && client->options->received[i] != packet_id) {
        i++;
    }
    return i;
}

void noc_engine_forget_received(struct noc_client *client)
{
    if (client->received_count > 0) {
        memset(client->options->received, 0,
            client->received_count * sizeof client->options->received[0]);
        client->received_count = 0;
    }
}

bool noc_engine_settle(struct noc_client *client)
{
    uint16_t id = client->ack_id;

    if (client->ack_type == 0 || client->is_streaming) {
        return true;
    }
    if (!noc_engine_put_ack(client, client->ack_type, id, NOC_RC_SUCCESS)) {
        return false;
    }
    if (client->ack_type == NOC_PUBREC && find_received(client, id) == client->received_count) {
        client->options->received[client->received_count++] = id;
    }
    client->ack_type = 0;
    return true;
}

int noc_engine_take_pubrel(struct noc_client *client, uint16_t packet_id)
{
    uint16_t *received = client->options->received;
    unsigned i = find_received(client, packet_id);
    uint8_t reason = NOC_RC_PACKET_ID_NOT_FOUND;

    if (i < client->received_count) {
        client->received_count--;
        received[i] = received[client->received_count];
        received[client->received_count] = 0;
        reason = NOC_RC_SUCCESS;
    }
    noc_engine_put_ack(client, NOC_PUBCOMP, packet_id, reason);
    return NOC_STEP_ON;
}

/* ---- topic aliases ---- */

/* Keep the topic of an alias, or find it. A reason code, 0 if all is well. */
static uint8_t resolve_alias(
    const struct noc_client_aliases *aliases, unsigned alias, struct noc_slice *topic)
{
    char *at;

    if (aliases == NULL || alias > aliases->count) {
        return NOC_RC_TOPIC_ALIAS_INVALID; /* [MQTT-3.1.2-26] */
    }
    at = aliases->at + (size_t)(alias - 1) * aliases->topic_max;
    if (topic->n == 0) {
        *topic = noc_slice(at, aliases->lengths[alias - 1]);
        return topic->n == 0 ? NOC_RC_PROTOCOL_ERROR : 0;
    }
    if (topic->n > aliases->topic_max) {
        return NOC_RC_TOPIC_ALIAS_INVALID;
    }
    memcpy(at, topic->at, topic->n);
    aliases->lengths[alias - 1] = (uint16_t)topic->n;
    return 0;
}

/* ---- PUBLISH ---- */

/* Bytes of body[0..n) before the payload; 0: they are not all here. */
static size_t head_size(
    const struct noc_client *client, unsigned flags, const uint8_t *body, size_t n)
{
    uint32_t props_n = 0;
    size_t head;
    int used = 0;

    if (n < 2) {
        return 0;
    }
    head = 2 + (size_t)noc_get_u16(body) + ((flags & 6) != 0 ? 2 : 0);
    if (noc_engine_is_v5(client)) {
        if (head > n) {
            return 0;
        }
        used = noc_varint_decode(body + head, n - head, &props_n);
        if (used <= 0) {
            return used == 0 ? 0 : head; /* the decoder will say what is wrong */
        }
    }
    head += (size_t)used + props_n;
    return head > n ? 0 : head;
}

/* What the application is to acknowledge by and by; a reason code if that can't be. */
static uint8_t note_ack(struct noc_client *client, const struct noc_publish *publish)
{
    client->is_repeated = false;
    if (publish->qos == 0) {
        return 0;
    }
    if (!NOC_WITH_QOS) {
        return NOC_RC_PROTOCOL_ERROR; /* nobody asked for it */
    }
    if (publish->qos == 2) {
        client->is_repeated = find_received(client, publish->packet_id) < client->received_count;
        if (!client->is_repeated && client->received_count == client->options->received_max) {
            return NOC_RC_RECEIVE_MAXIMUM_EXCEEDED; /* [MQTT-3.3.4-9] */
        }
    }
    client->ack_type = publish->qos == 1 ? NOC_PUBACK : NOC_PUBREC;
    client->ack_id = publish->packet_id;
    return 0;
}

static void make_event(
    struct noc_event *event, enum noc_event_kind kind, const struct noc_publish *publish)
{
    event->kind = kind;
    event->packet_id = publish->packet_id;
    event->reason = 0;
    event->qos = publish->qos;
    event->retain = publish->retain;
    event->dup = publish->dup;
    event->session_present = false;
    event->topic = publish->topic;
    event->payload = publish->payload;
    event->cause = (struct noc_cause){0};
    event->props = publish->props;
}

int noc_engine_take_publish(
    struct noc_client *client, const struct noc_header *header, size_t n, struct noc_event *event)
{
    const uint8_t *bytes = client->in + client->in_at + header->size;
    struct noc_slice body = noc_slice(bytes, n < header->size ? 0 : n - header->size);
    bool is_whole = body.n == header->remaining;
    struct noc_publish publish;
    struct noc_fault fault;
    uint8_t reason;
    int err;

    if (!is_whole) {
        size_t size = header->size + (size_t)header->remaining, max = noc_engine_in_max(client);
        size_t head = size <= max ? 0 : head_size(client, header->flags, bytes, body.n);

        if (head == 0) {
            return size <= max || n < max
                       ? NOC_STEP_WAIT
                       : noc_engine_fail(client, NOC_RC_PACKET_TOO_LARGE, "topic");
        }
        body.n = head;
    }
    err = noc_publish_decode(client->version, header->flags, false, &body, &publish, &fault);
    if (err < 0) {
        return noc_engine_fail_codec(client, err, fault.field);
    }
    if (noc_engine_is_v5(client) && publish.props.topic_alias > 0) {
        reason = resolve_alias(client->options->aliases, publish.props.topic_alias, &publish.topic);
        if (reason != 0) {
            return noc_engine_fail(client, reason, "topic alias");
        }
    }
    reason = note_ack(client, &publish);
    if (reason != 0) {
        return noc_engine_fail(client, reason, "QoS");
    }
    noc_engine_trace(client, client->in + client->in_at, header->size + body.n);
    client->in_at += (uint32_t)(header->size + body.n);
    event->size = (uint32_t)publish.payload.n;
    if (!is_whole) {
        client->is_streaming = true;
        client->chunk_left = header->remaining - (uint32_t)body.n;
        event->size = client->chunk_left;
    }
    if (client->is_repeated) {
        return !is_whole || noc_engine_settle(client) ? NOC_STEP_ON : NOC_STEP_WAIT;
    }
    make_event(event, is_whole ? NOC_EVENT_MESSAGE : NOC_EVENT_MESSAGE_BEGIN, &publish);
    return NOC_STEP_EVENT;
}

int noc_engine_take_chunk(struct noc_client *client, struct noc_event *event)
{
    uint32_t n = client->in_end - client->in_at;

    n = n < client->chunk_left ? n : client->chunk_left;
    if (n == 0 && client->chunk_left > 0) {
        return NOC_STEP_WAIT;
    }
    client->in_at += n;
    client->chunk_left -= n;
    if (n == 0) {
        client->is_streaming = false;
        if (client->is_repeated) {
            return noc_engine_settle(client) ? NOC_STEP_ON : NOC_STEP_WAIT;
        }
        return noc_engine_event(event, NOC_EVENT_MESSAGE_END);
    }
    if (client->is_repeated) {
        return NOC_STEP_ON;
    }
    noc_engine_event(event, NOC_EVENT_MESSAGE_CHUNK);
    event->payload = noc_slice(client->in + client->in_at - n, n);
    return NOC_STEP_EVENT;
}
