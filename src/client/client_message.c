/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages from the server. One that fits into the buffer is an event; of a
 * larger one the head (topic, packet identifier, properties) must fit, and
 * its payload is handed out as it comes. What the application has is
 * acknowledged when it asks for the next event.
 */
#include "base/utf8.h"
#include "client/engine.h"
#include "mqtt/text.h"

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

bool noc_engine_settle(struct noc_client *client)
{
    uint16_t id = client->ack_id;

    if (client->ack_type == 0 || client->is_streaming) {
        return true;
    }
    if (!noc_engine_put_ack(client, client->ack_type, id, NOC_RC_SUCCESS)) {
        return false;
    }
    if (client->ack_type == NOC_PUBREC && !client->is_repeated) {
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

    if (aliases == NULL || alias > aliases->count || topic->n > aliases->topic_max) {
        return NOC_RC_TOPIC_ALIAS_INVALID; /* [MQTT-3.1.2-26] */
    }
    at = aliases->at + (size_t)(alias - 1) * aliases->topic_max;
    if (topic->n == 0) {
        *topic = noc_slice(at, aliases->lengths[alias - 1]);
        return topic->n == 0 ? NOC_RC_PROTOCOL_ERROR : 0;
    }
    memcpy(at, topic->at, topic->n);
    aliases->lengths[alias - 1] = (uint16_t)topic->n;
    return 0;
}

/* ---- PUBLISH ---- */

/* What stands before the payload. */
struct head {
    size_t n;       /* its bytes */
    size_t props_n; /* those of the properties, with their length */
    bool is_here;   /* all of it has come */
};

/* Measure the head of a PUBLISH of which body[0..n) is here. False: it is longer than the packet. */
static bool measure_head(const struct noc_client *client, const struct noc_header *header,
    const uint8_t *body, size_t n, struct head *head)
{
    size_t at;
    uint32_t props_n = 0;
    int used = 0;

    *head = (struct head){.n = 0};
    if (n < 2) {
        return header->remaining >= 2;
    }
    at = 2 + (size_t)noc_get_u16(body) + ((header->flags & 6) != 0 ? 2 : 0);
    if (noc_engine_is_v5(client) && at < n) {
        used = noc_varint_decode(body + at, n - at, &props_n);
        if (used < 0) {
            return false;
        }
        head->props_n = (size_t)used + props_n;
    }
    head->n = at + head->props_n;
    head->is_here = head->n <= n && (!noc_engine_is_v5(client) || used != 0);
    return head->n + (noc_engine_is_v5(client) && head->props_n == 0 ? 1 : 0) <= header->remaining;
}

/* Read the topic and the packet identifier. A reason code, 0 if all is well. */
static uint8_t read_head(
    const struct noc_header *header, const uint8_t *body, struct noc_event *event)
{
    event->topic = noc_slice(body + 2, noc_get_u16(body));
    event->qos = header->flags >> 1 & 3;
    event->retain = (header->flags & 1) != 0;
    event->dup = (header->flags & 8) != 0;
    if (!noc_topic_text_is_valid(event->topic)) {
        return noc_utf8_is_valid(event->topic) ? NOC_RC_PROTOCOL_ERROR : NOC_RC_MALFORMED_PACKET;
    }
    if (event->qos > 0) {
        event->packet_id = noc_get_u16(body + 2 + event->topic.n);
        return event->packet_id == 0 ? NOC_RC_PROTOCOL_ERROR : 0; /* [MQTT-2.2.1-3] */
    }
    return event->dup ? NOC_RC_MALFORMED_PACKET : 0; /* [MQTT-3.3.1-2] */
}

/* What is to be acknowledged by and by. A reason code, 0 if all is well. */
static uint8_t note_ack(struct noc_client *client, const struct noc_event *event)
{
    client->is_repeated = false;
    if (event->qos == 0) {
        return 0;
    }
    if (!NOC_WITH_QOS) {
        return NOC_RC_PROTOCOL_ERROR; /* nobody asked for it */
    }
    if (event->qos == 2) {
        client->is_repeated = find_received(client, event->packet_id) < client->received_count;
        if (!client->is_repeated && client->received_count == client->options->received_max) {
            return NOC_RC_RECEIVE_MAXIMUM_EXCEEDED; /* [MQTT-3.3.4-9] */
        }
    }
    client->ack_type = event->qos == 1 ? NOC_PUBACK : NOC_PUBREC;
    client->ack_id = event->packet_id;
    return 0;
}

int noc_engine_take_publish(
    struct noc_client *client, const struct noc_header *header, size_t n, struct noc_event *event)
{
    const uint8_t *body = client->in + client->in_at + header->size;
    struct head head;
    uint8_t reason;

    n = n < header->remaining ? n : header->remaining;
    if (!measure_head(client, header, body, n, &head)) {
        return noc_engine_fail(client, NOC_RC_MALFORMED_PACKET, "length");
    }
    if (!head.is_here) {
        return header->size + n < noc_engine_in_max(client)
                   ? NOC_STEP_WAIT
                   : noc_engine_fail(client, NOC_RC_PACKET_TOO_LARGE, "topic and properties");
    }
    reason = read_head(header, body, event);
    if (noc_engine_is_v5(client) && reason == 0 && head.props_n > 1) {
        int used = noc_engine_take_props(
            client, NOC_PUBLISH, body + head.n - head.props_n, head.props_n, &event->props);

        if (used < 0) {
            return -used;
        }
        if (event->props.topic_alias > 0) {
            reason =
                resolve_alias(client->options->aliases, event->props.topic_alias, &event->topic);
        }
    }
    if (reason == 0 && event->topic.n == 0) {
        reason = NOC_RC_PROTOCOL_ERROR; /* [MQTT-4.7.3-1] */
    }
    if (reason == 0) {
        reason = note_ack(client, event);
    }
    if (reason != 0) {
        return noc_engine_fail(client, reason, "PUBLISH");
    }
    event->size = header->remaining - (uint32_t)head.n;
    event->payload = noc_slice(body + head.n, event->size);
    event->kind = NOC_EVENT_MESSAGE;
    if (n < header->remaining) {
        n = head.n;
        event->kind = NOC_EVENT_MESSAGE_BEGIN;
        event->payload.n = 0;
        client->is_streaming = true;
        client->chunk_left = event->size;
    }
    noc_engine_trace(client, false, body - header->size, header->size + n);
    client->in_at += header->size + (uint32_t)n;
    return client->is_repeated ? NOC_STEP_ON : NOC_STEP_EVENT;
}

int noc_engine_take_chunk(struct noc_client *client, struct noc_event *event)
{
    uint32_t n = client->in_end - client->in_at;

    n = n < client->chunk_left ? n : client->chunk_left;
    if (n == 0 && client->chunk_left > 0) {
        return NOC_STEP_WAIT;
    }
    noc_engine_event(event, n == 0 ? NOC_EVENT_MESSAGE_END : NOC_EVENT_MESSAGE_CHUNK);
    event->payload = noc_slice(client->in + client->in_at, n);
    client->in_at += n;
    client->chunk_left -= n;
    client->is_streaming = n > 0;
    return client->is_repeated ? NOC_STEP_ON : NOC_STEP_EVENT;
}
