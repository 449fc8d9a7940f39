/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PUBLISH: with QoS 0 right into the output buffer, else into the outbox. Both
 * take the same bytes in the same order:
 *
 *   fixed header, length of topic | topic | packet id, length of properties, alias | properties | payload
 */
#include "base/utf8.h"
#include "client/engine.h"

enum { HEAD_MAX = 7, MIDDLE_MAX = 9, ALIAS_MAX = 32 };

/* What goes before the payload. */
struct plan {
    uint32_t remaining;
    uint32_t props_n;
    uint16_t packet_id;
    uint16_t alias;
    struct noc_slice topic; /* as written: empty where the alias says all */
};

/* Text without U+0000 and wildcards [MQTT-3.3.2-2]? */
static bool topic_is_valid(struct noc_slice topic)
{
    unsigned all = 0;

    if (topic.n == 0 || topic.n > UINT16_MAX) {
        return false;
    }
    for (size_t i = 0; i < topic.n; i++) {
        unsigned c = (uint8_t)topic.at[i];

        if (c == 0 || c == '+' || c == '#') {
            return false;
        }
        all |= c;
    }
    return all < 0x80 || noc_utf8_is_valid(topic);
}

/* May it go, now or ever? */
static int judge(const struct noc_client *client, const struct noc_client_message *message)
{
    if (message->qos > 2 || !topic_is_valid(message->topic)) {
        return NOC_EINVAL;
    }
    if (client->is_publishing) {
        return NOC_EAGAIN;
    }
    if (message->qos == 0) {
        if (client->state != NOC_CLIENT_OPEN) {
            return NOC_ECLOSED;
        }
    } else if (noc_engine_box(client) == NULL) {
        return NOC_ENOTSUP;
    }
    if (client->state == NOC_CLIENT_OPEN &&
        (message->qos > client->server_qos_max || /* [MQTT-3.2.2-11] */
            (message->retain && (client->server_lacks & NOC_LACKS_RETAIN) != 0))) {
        return NOC_ENOTSUP; /* [MQTT-3.2.2-14] */
    }
    return NOC_OK;
}

/* Bytes of the whole packet; 0: too many. */
static size_t measure(
    const struct noc_client *client, const struct noc_client_message *message, struct plan *plan)
{
    size_t n = 2 + (message->qos > 0 ? 2u : 0u);

    if (message->payload.n > NOC_REMAINING_MAX || message->props.n > NOC_REMAINING_MAX) {
        return 0;
    }
    plan->topic = message->topic;
    plan->alias = 0;
    if (noc_engine_is_v5(client)) {
        if (message->qos == 0 && message->alias > 0 && message->alias <= ALIAS_MAX &&
            message->alias <= client->server_alias_max) {
            plan->alias = message->alias;
            if ((client->aliases_sent >> (message->alias - 1) & 1) != 0) {
                plan->topic.n = 0;
            }
        }
        plan->props_n = (uint32_t)message->props.n + (plan->alias > 0 ? 3u : 0u);
        n += noc_varint_size(plan->props_n) + plan->props_n;
    }
    n += plan->topic.n + message->payload.n;
    if (n > NOC_REMAINING_MAX) {
        return 0;
    }
    plan->remaining = (uint32_t)n;
    n += 1 + noc_varint_size(plan->remaining);
    return n > client->server_packet_max ? 0 : n;
}

/* Write to the outbox, or to at. */
static int put(struct noc_outbox *box, uint8_t **at, const void *bytes, size_t n)
{
    if (box != NULL) {
        return box->ops->write(box, bytes, n);
    }
    if (n > 0 && *at != bytes) {
        memcpy(*at, bytes, n);
    }
    *at += n;
    return NOC_OK;
}

/* Write all that stands before the payload, to the outbox, or to at if that is NULL. */
static int put_head(const struct noc_client *client, const struct noc_client_message *message,
    const struct plan *plan, struct noc_outbox *box, uint8_t *at)
{
    uint8_t bytes[MIDDLE_MAX], *start = box != NULL ? bytes : at, *end = start;
    int err;

    *end++ = (uint8_t)(NOC_PUBLISH << 4 | (unsigned)message->qos << 1 | message->retain);
    end = noc_put_u16(noc_varint_put(end, plan->remaining), (uint16_t)plan->topic.n);
    err = put(box, &at, start, (size_t)(end - start));
    if (err == NOC_OK) {
        err = put(box, &at, plan->topic.at, plan->topic.n);
    }
    start = end = box != NULL ? bytes : at;
    if (message->qos > 0) {
        end = noc_put_u16(end, plan->packet_id);
    }
    if (noc_engine_is_v5(client)) {
        end = noc_varint_put(end, plan->props_n);
        if (plan->alias > 0) {
            *end++ = NOC_PROP_TOPIC_ALIAS;
            end = noc_put_u16(end, plan->alias);
        }
    }
    if (err == NOC_OK) {
        err = put(box, &at, start, (size_t)(end - start));
    }
    if (err == NOC_OK && noc_engine_is_v5(client)) {
        err = put(box, &at, message->props.at, message->props.n);
    }
    return err;
}

/* Begin one of QoS 1 or 2, of n bytes in all. */
static int begin_boxed(struct noc_client *client, const struct noc_client_message *message,
    struct plan *plan, size_t n)
{
    struct noc_outbox *box = noc_engine_box(client);
    uint16_t last_id = client->last_id;
    int err;

    plan->packet_id = noc_engine_packet_id(client);
    if (plan->packet_id == 0) {
        return NOC_EFULL;
    }
    err = box->ops->begin(box, plan->packet_id, (uint32_t)n);
    if (err != NOC_OK) {
        client->last_id = last_id;
        return err;
    }
    err = put_head(client, message, plan, box, NULL);
    if (err != NOC_OK) {
        box->ops->cancel(box);
        return err;
    }
    client->publish_id = plan->packet_id;
    return NOC_OK;
}

/* Begin one of QoS 0 that takes n bytes in the buffer now, payload_n of them its payload. */
static int begin_plain(struct noc_client *client, const struct noc_client_message *message,
    struct plan *plan, size_t n, size_t payload_n)
{
    uint8_t *at;

    if (n > client->out_room - client->out_base) {
        return NOC_ETOOLARGE;
    }
    at = client->wants_out ? NULL : noc_engine_room(client, n);
    if (at == NULL) {
        return NOC_EAGAIN;
    }
    put_head(client, message, plan, NULL, at);
    if (payload_n > 0) {
        memcpy(at + n - payload_n, message->payload.at, payload_n);
    }
    noc_engine_added(client, n);
    if (plan->alias > 0) {
        client->aliases_sent |= UINT32_C(1) << (plan->alias - 1);
    }
    return NOC_OK;
}

/* All of a message was given to the outbox. */
static int commit(struct noc_client *client)
{
    struct noc_outbox *box = noc_engine_box(client);
    int err = box->ops->commit(box);

    if (err != NOC_OK) {
        box->ops->cancel(box);
    }
    client->is_publishing = client->is_boxed = false;
    client->publish_id = 0;
    return err;
}

/* Begin a message; whole: its payload goes into the buffer with it (QoS 0). */
static int begin(struct noc_client *client, const struct noc_client_message *message, bool is_whole,
    uint16_t *ret_packet_id)
{
    size_t payload_n = message->payload.n, n;
    struct plan plan = {0};
    int err = judge(client, message);

    if (err != NOC_OK) {
        return err;
    }
    n = measure(client, message, &plan);
    if (n == 0) {
        return NOC_ETOOLARGE;
    }
    if (!NOC_WITH_QOS || message->qos == 0) {
        if (!is_whole) {
            n -= payload_n;
        }
        err = begin_plain(client, message, &plan, n, is_whole ? payload_n : 0);
    } else {
        err = begin_boxed(client, message, &plan, n);
    }
    if (err != NOC_OK) {
        return err;
    }
    if (ret_packet_id != NULL) {
        *ret_packet_id = plan.packet_id;
    }
    if (NOC_WITH_QOS && message->qos > 0) {
        client->is_publishing = client->is_boxed = true;
        client->publish_left = (uint32_t)payload_n;
        return payload_n == 0 ? commit(client) : NOC_OK;
    }
    if (!is_whole && payload_n > 0) {
        client->is_publishing = true;
        client->publish_left = (uint32_t)payload_n;
    }
    return NOC_OK;
}

int noc_client_publish(
    struct noc_client *client, const struct noc_client_message *message, uint16_t *ret_packet_id)
{
    int err = begin(client, message, true, ret_packet_id);

    if (NOC_WITH_QOS && err == NOC_OK && message->qos > 0 && message->payload.n > 0) {
        err = noc_client_publish_chunk(client, message->payload.at, message->payload.n);
    }
    return err < 0 ? err : NOC_OK;
}

int noc_client_publish_begin(
    struct noc_client *client, const struct noc_client_message *message, uint16_t *ret_packet_id)
{
    return begin(client, message, false, ret_packet_id);
}

/* Bytes of a message in pieces, into the outbox. */
static int put_boxed(struct noc_client *client, const void *bytes, size_t n)
{
    struct noc_outbox *box = noc_engine_box(client);
    int err = box->ops->write(box, bytes, n);

    if (err != NOC_OK) {
        box->ops->cancel(box);
        client->is_publishing = client->is_boxed = false;
        client->publish_id = 0;
        return err;
    }
    client->publish_left -= (uint32_t)n;
    if (client->publish_left == 0) {
        err = commit(client);
    }
    return err == NOC_OK ? (int)n : err;
}

int noc_client_publish_chunk(struct noc_client *client, const void *bytes, size_t n)
{
    size_t room;

    if (!client->is_publishing) {
        return client->state == NOC_CLIENT_OPEN ? NOC_EINVAL : NOC_ECLOSED;
    }
    if (n > client->publish_left) {
        return NOC_EINVAL;
    }
    if (NOC_WITH_QOS && client->is_boxed) {
        return put_boxed(client, bytes, n);
    }
    if (client->out_room == client->out_end) {
        noc_engine_pack(client);
    }
    room = client->out_room - client->out_end;
    n = n < room ? n : room;
    if (n > 0) {
        memcpy(client->out + client->out_end, bytes, n);
        client->out_end += (uint32_t)n;
        client->publish_left -= (uint32_t)n;
    }
    client->is_publishing = client->publish_left > 0;
    return (int)n;
}
