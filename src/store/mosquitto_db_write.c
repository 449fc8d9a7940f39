/* SPDX-License-Identifier: Apache-2.0 */
/* The writer of mosquitto.db, version 6, with the structs of a machine of 64 bits. */
#include "store/mosquitto_db.h"

#include "base/bytes.h"
#include "mqtt/packet.h"

enum {
    CHUNK_HEAD = 8,
    CONFIG_BYTES = 16,
    BASE_MESSAGE_BYTES = 32,
    CLIENT_MESSAGE_BYTES = 16,
    RETAINED_BYTES = 8,
    SUBSCRIPTION_BYTES = 12,
    CLIENT_BYTES = 24,
    SUBSCRIPTION_ID_MAX = 268435455,
};

static bool is_text(struct noc_slice text)
{
    return text.n <= UINT16_MAX;
}

/* Bytes of a block of properties: none without properties, as Mosquitto has it. */
static size_t props_size(struct noc_slice props)
{
    return props.n == 0 ? 0 : noc_varint_size((uint32_t)props.n) + props.n;
}

static size_t subscription_id_size(const struct noc_mosquitto_client_message *message)
{
    return message->subscription_id == 0 ? 0 : 2 + noc_varint_size(message->subscription_id);
}

static size_t base_message_size(const struct noc_mosquitto_base_message *message)
{
    if (!is_text(message->source_id) || !is_text(message->source_username) ||
        !is_text(message->topic) || message->topic.n == 0 ||
        message->payload.n > NOC_MOSQUITTO_PAYLOAD_MAX || message->props.n > NOC_REMAINING_MAX ||
        message->qos > 2) {
        return 0;
    }
    return BASE_MESSAGE_BYTES + message->source_id.n + message->source_username.n +
           message->topic.n + message->payload.n + props_size(message->props);
}

static size_t client_message_size(const struct noc_mosquitto_client_message *message)
{
    if (!is_text(message->client_id) || message->qos > 2 ||
        message->state >= NOC_MOSQUITTO_STATES || message->props.n > NOC_REMAINING_MAX ||
        message->subscription_id > SUBSCRIPTION_ID_MAX) {
        return 0;
    }
    return CLIENT_MESSAGE_BYTES + message->client_id.n +
           (message->props.n > 0 ? props_size(message->props) : subscription_id_size(message));
}

/* Bytes of the body, or 0. */
static size_t body_size(const struct noc_mosquitto_record *record)
{
    switch (record->kind) {
    case NOC_MOSQUITTO_CONFIG:
        return CONFIG_BYTES;
    case NOC_MOSQUITTO_BASE_MESSAGE:
        return base_message_size(&record->base_message);
    case NOC_MOSQUITTO_CLIENT_MESSAGE:
        return client_message_size(&record->client_message);
    case NOC_MOSQUITTO_RETAINED:
        return RETAINED_BYTES;
    case NOC_MOSQUITTO_SUBSCRIPTION:
        return !is_text(record->subscription.client_id) || !is_text(record->subscription.filter) ||
                       (record->subscription.options & NOC_SUB_QOS) > 2
                   ? 0
                   : SUBSCRIPTION_BYTES + record->subscription.client_id.n +
                         record->subscription.filter.n;
    case NOC_MOSQUITTO_CLIENT:
        return !is_text(record->client.client_id) || !is_text(record->client.username)
                   ? 0
                   : CLIENT_BYTES + record->client.client_id.n + record->client.username.n;
    case NOC_MOSQUITTO_UNKNOWN:
    case NOC_MOSQUITTO_KINDS:
        break;
    }
    return 0;
}

static uint8_t *put_host_u64(uint8_t *at, uint64_t value)
{
    memcpy(at, &value, sizeof(value));
    return at + sizeof(value);
}

static uint8_t *put_zeros(uint8_t *at, size_t n)
{
    memset(at, 0, n);
    return at + n;
}

static uint8_t *put_slice(uint8_t *at, struct noc_slice slice)
{
    if (slice.n > 0) {
        memcpy(at, slice.at, slice.n);
    }
    return at + slice.n;
}

static uint8_t *put_props(uint8_t *at, struct noc_slice props)
{
    return props.n == 0 ? at : put_slice(noc_varint_put(at, (uint32_t)props.n), props);
}

static uint8_t *put_config(uint8_t *at, const struct noc_mosquitto_config *config)
{
    at = put_host_u64(at, config->last_store_id);
    *at++ = config->is_shutdown;
    *at++ = 8; /* bytes of a store id */
    return put_zeros(at, 6);
}

static uint8_t *put_base_message(uint8_t *at, const struct noc_mosquitto_base_message *message)
{
    at = put_host_u64(at, message->store_id);
    at = put_host_u64(at, (uint64_t)message->expiry_time_s);
    at = noc_put_u32(at, (uint32_t)message->payload.n);
    at = noc_put_u16(at, message->source_packet_id);
    at = noc_put_u16(at, (uint16_t)message->source_id.n);
    at = noc_put_u16(at, (uint16_t)message->source_username.n);
    at = noc_put_u16(at, (uint16_t)message->topic.n);
    at = noc_put_u16(at, message->source_port);
    *at++ = message->qos;
    *at++ = message->is_retain;
    at = put_slice(at, message->source_id);
    at = put_slice(at, message->source_username);
    at = put_slice(at, message->topic);
    at = put_slice(at, message->payload);
    return put_props(at, message->props);
}

static uint8_t *put_client_message(uint8_t *at, const struct noc_mosquitto_client_message *message)
{
    at = put_host_u64(at, message->store_id);
    at = noc_put_u16(at, message->packet_id);
    at = noc_put_u16(at, (uint16_t)message->client_id.n);
    *at++ = message->qos;
    *at++ = message->state;
    *at++ = (uint8_t)(message->is_retain << 4 | message->is_dup);
    *at++ = message->is_outgoing;
    at = put_slice(at, message->client_id);
    if (message->props.n > 0 || message->subscription_id == 0) {
        return put_props(at, message->props);
    }
    *at++ = (uint8_t)(subscription_id_size(message) - 1);
    return noc_prop_put_varint(at, NOC_PROP_SUBSCRIPTION_ID, message->subscription_id);
}

static uint8_t *put_subscription(uint8_t *at, const struct noc_mosquitto_subscription *subscription)
{
    at = noc_put_u32(at, subscription->identifier);
    at = noc_put_u16(at, (uint16_t)subscription->client_id.n);
    at = noc_put_u16(at, (uint16_t)subscription->filter.n);
    *at++ = subscription->options & NOC_SUB_QOS;
    *at++ = subscription->options & (NOC_SUB_NO_LOCAL | NOC_SUB_RETAIN_AS_PUBLISHED);
    at = put_zeros(at, 2);
    at = put_slice(at, subscription->client_id);
    return put_slice(at, subscription->filter);
}

static uint8_t *put_client(uint8_t *at, const struct noc_mosquitto_client *client)
{
    at = put_host_u64(at, (uint64_t)(client->has_expiry ? client->session_expiry_time_s : 0));
    at = noc_put_u32(at, client->has_expiry ? client->session_expiry_interval_s : UINT32_MAX);
    at = noc_put_u16(at, client->last_packet_id);
    at = noc_put_u16(at, (uint16_t)client->client_id.n);
    at = noc_put_u16(at, client->listener_port);
    at = noc_put_u16(at, (uint16_t)client->username.n);
    at = put_zeros(at, 4);
    at = put_slice(at, client->client_id);
    return put_slice(at, client->username);
}

void noc_mosquitto_write_head(uint8_t at[NOC_MOSQUITTO_HEAD_BYTES])
{
    static const char head[] = "\0\xb5\0mosquitto db\0\0\0\0\0\0\0\6";

    memcpy(at, head, NOC_MOSQUITTO_HEAD_BYTES);
}

size_t noc_mosquitto_write_size(const struct noc_mosquitto_record *record)
{
    size_t body = body_size(record);

    return body == 0 ? 0 : CHUNK_HEAD + body;
}

size_t noc_mosquitto_write(const struct noc_mosquitto_record *record, uint8_t *at, size_t room)
{
    size_t body = body_size(record);

    if (body == 0 || room < CHUNK_HEAD || room - CHUNK_HEAD < body) {
        return 0;
    }
    at = noc_put_u32(noc_put_u32(at, record->kind), (uint32_t)body);
    switch (record->kind) {
    case NOC_MOSQUITTO_CONFIG:
        (void)put_config(at, &record->config);
        break;
    case NOC_MOSQUITTO_BASE_MESSAGE:
        (void)put_base_message(at, &record->base_message);
        break;
    case NOC_MOSQUITTO_CLIENT_MESSAGE:
        (void)put_client_message(at, &record->client_message);
        break;
    case NOC_MOSQUITTO_RETAINED:
        (void)put_host_u64(at, record->retained.store_id);
        break;
    case NOC_MOSQUITTO_SUBSCRIPTION:
        (void)put_subscription(at, &record->subscription);
        break;
    case NOC_MOSQUITTO_CLIENT:
        (void)put_client(at, &record->client);
        break;
    case NOC_MOSQUITTO_UNKNOWN:
    case NOC_MOSQUITTO_KINDS:
        return 0;
    }
    return CHUNK_HEAD + body;
}
