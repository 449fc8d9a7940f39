/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PUBLISH is made in the output buffer. With QoS 0 it stays there; with QoS 1 and
 * 2 its head goes on into the outbox, and the payload right there.
 */
#include "client/engine.h"
#include "mqtt/text.h"

enum { ALIAS_MAX = 32 };

/* Is it text without U+0000 and wildcards [MQTT-3.3.2-2]? */
static bool topic_is_valid(struct noc_slice topic)
{
    if (topic.n == 0 || topic.n > UINT16_MAX) {
        return false;
    }
    if (NOC_WITH_SUBSCRIBE) {
        return noc_topic_text_is_valid(topic);
    }
    /* The check of UTF-8 would only be there for this; it is left to the application. */
    for (size_t i = 0; i < topic.n; i++) {
        if (topic.at[i] == 0 || topic.at[i] == '+' || topic.at[i] == '#') {
            return false;
        }
    }
    return true;
}

/* May it go, now or ever? */
static int judge_message(const struct noc_client *client, const struct noc_client_message *message)
{
    if (message->qos > 2 || !topic_is_valid(message->topic)) {
        return NOC_EINVAL;
    }
    if (message->qos > 0 ? noc_engine_box(client) == NULL : client->state != NOC_CLIENT_OPEN) {
        return message->qos > 0 ? NOC_ENOTSUP : NOC_ECLOSED;
    }
    if (noc_engine_is_v5(client) &&
        (message->qos > 2 - client->server_qos_less || /* [MQTT-3.2.2-11] */
            (message->retain && (client->server_lacks & NOC_LACKS_RETAIN) != 0))) {
        return NOC_ENOTSUP; /* [MQTT-3.2.2-14] */
    }
    return client->publishing != NOC_PUBLISHING_NOT || client->wants_out ? NOC_EAGAIN : NOC_OK;
}

/* Give up a message in pieces. Returns err. */
static int abandon(struct noc_client *client, int err)
{
    client->publishing = NOC_PUBLISHING_NOT;
    client->publish_id = 0;
    return err;
}

/* All of a message was given to the outbox? Then it counts. */
static int commit(struct noc_client *client, int err)
{
    struct noc_outbox *box = noc_engine_box(client);

    if (err == NOC_OK && client->publish_left > 0) {
        return NOC_OK;
    }
    if (err == NOC_OK) {
        err = box->ops->commit(box);
    }
    if (err != NOC_OK) {
        box->ops->cancel(box);
    }
    return abandon(client, err);
}

/* A message whose head stands in the output buffer up to end, into the outbox. */
static int begin_boxed(struct noc_client *client, const uint8_t *end, uint16_t id, size_t payload_n)
{
    struct noc_outbox *box = noc_engine_box(client);
    const uint8_t *start = client->out + client->out_end;
    size_t n = (size_t)(end - start);
    int err = box->ops->begin(box, id, (uint32_t)(n + payload_n));

    if (err != NOC_OK) {
        return err;
    }
    client->publishing = NOC_PUBLISHING_BOXED;
    client->publish_id = id;
    client->publish_left = (uint32_t)payload_n;
    return commit(client, box->ops->write(box, start, n));
}

/* The alias of a message, if the server takes it; *topic is then emptied where it knows it. */
static unsigned find_alias(const struct noc_client *client,
    const struct noc_client_message *message, struct noc_slice *topic)
{
    unsigned alias = message->qos == 0 ? message->alias : 0;

    if (alias == 0 || alias > ALIAS_MAX || alias > client->server_alias_max) {
        return 0;
    }
    if ((client->aliases_sent >> (alias - 1) & 1) != 0) {
        topic->n = 0;
    }
    return alias;
}

/* Begin a message. is_whole: only if all of one of QoS 0 finds room in the output buffer. */
static int begin(struct noc_client *client, const struct noc_client_message *message, bool is_whole,
    uint16_t *ret_packet_id)
{
    size_t payload_n = message->payload.n, props_n = message->props.n, n;
    struct noc_slice topic = message->topic;
    unsigned qos = message->qos, alias = 0;
    uint16_t id = 0;
    int err = judge_message(client, message);
    uint8_t *at;

    if (err != NOC_OK) {
        return err;
    }
    if ((payload_n | props_n) > NOC_REMAINING_MAX) { /* which is all ones */
        return NOC_ETOOLARGE;
    }
    n = 2 + payload_n + (qos > 0 ? 2 : 0);
    if (noc_engine_is_v5(client)) {
        alias = find_alias(client, message, &topic);
        props_n += alias > 0 ? 3 : 0;
        n += noc_varint_size((uint32_t)props_n) + props_n;
    }
    err = noc_engine_begin(client, NOC_PUBLISH << 4 | qos << 1 | message->retain, n + topic.n,
        is_whole && qos == 0 ? 0 : payload_n, &at);
    if (err != NOC_OK) {
        return err;
    }
    at = noc_engine_put(at, topic);
    if (NOC_WITH_QOS && qos > 0) {
        id = noc_engine_packet_id(client);
        if (id == 0) {
            return NOC_EFULL;
        }
        at = noc_put_u16(at, id);
    }
    if (noc_engine_is_v5(client)) {
        at = noc_varint_put(at, (uint32_t)props_n);
        if (alias > 0) {
            client->aliases_sent |= UINT32_C(1) << (alias - 1);
            *at = NOC_PROP_TOPIC_ALIAS;
            at = noc_put_u16(at + 1, (uint16_t)alias);
        }
        at = noc_engine_put_raw(at, message->props.at, message->props.n);
    }
    if (NOC_WITH_QOS && qos > 0) {
        err = begin_boxed(client, at, id, payload_n);
        if (err == NOC_OK) {
            client->last_id = id;
            if (ret_packet_id != NULL) {
                *ret_packet_id = id;
            }
        }
        return err;
    }
    noc_engine_end(client, at);
    client->publish_left = (uint32_t)payload_n;
    client->publishing = payload_n > 0 ? NOC_PUBLISHING_OUT : NOC_PUBLISHING_NOT;
    return NOC_OK;
}

int noc_client_publish(
    struct noc_client *client, const struct noc_client_message *message, uint16_t *ret_packet_id)
{
    int err = begin(client, message, true, ret_packet_id);

    if (err == NOC_OK && message->payload.n > 0) {
        err = noc_client_publish_chunk(client, message->payload.at, message->payload.n);
    }
    return err < 0 ? err : NOC_OK;
}

int noc_client_publish_begin(
    struct noc_client *client, const struct noc_client_message *message, uint16_t *ret_packet_id)
{
    return begin(client, message, false, ret_packet_id);
}

int noc_client_publish_chunk(struct noc_client *client, const void *bytes, size_t n)
{
    bool is_boxed = NOC_WITH_QOS && client->publishing == NOC_PUBLISHING_BOXED;
    struct noc_outbox *box = noc_engine_box(client);
    size_t room;
    int err = NOC_OK;

    if (client->publishing == NOC_PUBLISHING_NOT) {
        return client->state == NOC_CLIENT_OPEN ? NOC_EINVAL : NOC_ECLOSED;
    }
    if (n > client->publish_left) {
        return NOC_EINVAL;
    }
    if (!is_boxed) {
        if (n > client->out_room - client->out_end) {
            noc_engine_pack(client);
        }
        room = client->out_room - client->out_end;
        n = n < room ? n : room;
        noc_engine_put_raw(client->out + client->out_end, bytes, n);
        client->out_end += (uint32_t)n;
    }
    client->publish_left -= (uint32_t)n;
    if (is_boxed) {
        err = commit(client, box->ops->write(box, bytes, n));
    } else if (client->publish_left == 0) {
        client->publishing = NOC_PUBLISHING_NOT;
    }
    return err == NOC_OK ? (int)n : err;
}
