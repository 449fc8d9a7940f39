/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PUBLISH: the packet that the broker does all day. The topic is looked at
 * once, the payload never; only a version 5 packet that really carries
 * properties pays for them.
 */
#include "base/bytes.h"
#include "mqtt/text.h"
#include "mqtt/wire.h"

static int malformed(struct noc_fault *fault, const char *field, size_t offset)
{
    return noc_fault_at(fault, NOC_EMALFORMED, field, offset);
}

/* Decode the properties at body[at..n) and what depends on them; *at moves behind them. */
static int decode_props(bool from_client, const struct noc_slice *body, size_t topic_n, size_t *at,
    struct noc_props *props, struct noc_fault *fault)
{
    int used =
        noc_props_decode(NOC_PUBLISH, (const uint8_t *)body->at + *at, body->n - *at, props, fault);

    if (used < 0) {
        fault->offset += *at;
        return used;
    }
    if (from_client && noc_props_has(props, NOC_PROP_SUBSCRIPTION_ID)) {
        return noc_fault_at(
            fault, NOC_EPROTO, NOC_TEXT("subscription identifier"), *at); /* [MQTT-3.3.4-6] */
    }
    if (topic_n == 0 && !noc_props_has(props, NOC_PROP_TOPIC_ALIAS)) {
        return noc_fault_at(fault, NOC_EPROTO, NOC_TEXT("topic"), 0); /* 3.3.2.1 */
    }
    *at += (size_t)used;
    return NOC_OK;
}

int noc_publish_decode(unsigned version, unsigned flags, bool from_client,
    const struct noc_slice *body, struct noc_publish *ret_publish, struct noc_fault *fault)
{
    const uint8_t *bytes = (const uint8_t *)body->at;
    size_t n = body->n, at;
    unsigned qos = flags >> 1 & 3;
    uint16_t packet_id = 0;
    struct noc_slice topic;

    if (n < 2 || (size_t)noc_get_u16(bytes) > n - 2) {
        return malformed(fault, NOC_TEXT("topic"), 0);
    }
    topic = noc_slice(bytes + 2, noc_get_u16(bytes));
    at = 2 + topic.n;
    if (!noc_topic_text_is_valid(topic) || !noc_topic_depth_is_valid(topic)) {
        return noc_fault_at(fault, noc_topic_text_error(topic), NOC_TEXT("topic"), 0);
    }
    if (qos > 0) {
        if (qos == 3) {
            return malformed(fault, NOC_TEXT("QoS"), 0); /* [MQTT-3.3.1-4] */
        }
        if (n - at < 2) {
            return malformed(fault, NOC_TEXT("packet identifier"), at);
        }
        packet_id = noc_get_u16(bytes + at);
        if (packet_id == 0) {
            return noc_fault_at(
                fault, NOC_EPROTO, NOC_TEXT("packet identifier"), at); /* [MQTT-2.2.1-3] */
        }
        at += 2;
    } else if ((flags & 8) != 0) {
        return malformed(fault, NOC_TEXT("dup flag"), 0); /* [MQTT-3.3.1-2] */
    }
    if (!NOC_IS_V5(version)) {
        if (topic.n == 0) {
            return noc_fault_at(fault, NOC_EPROTO, NOC_TEXT("topic"), 0); /* [MQTT-4.7.3-1] */
        }
        noc_wire_clear_props(&ret_publish->props);
    } else if (at < n && bytes[at] == 0 && topic.n > 0) {
        at++;
        noc_wire_clear_props(&ret_publish->props);
        ret_publish->props.raw = noc_slice(bytes + at, 0);
    } else {
        int err = decode_props(from_client, body, topic.n, &at, &ret_publish->props, fault);

        if (err < 0) {
            return err;
        }
    }
    ret_publish->qos = (uint8_t)qos;
    ret_publish->dup = (flags & 8) != 0;
    ret_publish->retain = (flags & 1) != 0;
    ret_publish->packet_id = packet_id;
    ret_publish->topic = topic;
    ret_publish->payload = noc_slice(bytes + at, n - at);
    return NOC_OK;
}

/* Bytes of the property block without its length, more than NOC_REMAINING_MAX if too large. */
static size_t measure_props(const struct noc_publish_out *out)
{
    size_t n = (out->alias != 0 ? 3u : 0u) + (out->has_expiry ? 5u : 0u);

    for (unsigned i = 0; i < out->subscription_id_count; i++) {
        n += 1 + noc_varint_size(out->subscription_ids[i]);
    }
    return out->props.n > NOC_REMAINING_MAX ? out->props.n : n + out->props.n;
}

/* The remaining length, at least 2; 0 when there is no such packet. */
static uint32_t measure(unsigned version, const struct noc_publish_out *out, size_t *ret_props_n)
{
    size_t n = 2 + out->topic.n + (out->qos > 0 ? 2u : 0u), props_n = 0;

    if (out->topic.n > 65535 || out->payload_n > NOC_REMAINING_MAX) {
        return 0;
    }
    if (NOC_IS_V5(version)) {
        props_n = measure_props(out);
        if (props_n > NOC_REMAINING_MAX) {
            return 0;
        }
        n += noc_varint_size((uint32_t)props_n) + props_n;
    }
    n += out->payload_n;
    if (n > NOC_REMAINING_MAX) {
        return 0;
    }
    *ret_props_n = props_n;
    return (uint32_t)n;
}

size_t noc_publish_size(unsigned version, const struct noc_publish_out *out)
{
    size_t props_n;
    uint32_t remaining = measure(version, out, &props_n);

    return remaining == 0 ? 0 : 1 + noc_varint_size(remaining) + (size_t)remaining;
}

/* Write the property block, its length in front. */
static uint8_t *put_props(uint8_t *at, const struct noc_publish_out *out, size_t props_n)
{
    at = noc_varint_put(at, (uint32_t)props_n);
    if (out->alias != 0) {
        at = noc_prop_put_u16(at, NOC_PROP_TOPIC_ALIAS, out->alias);
    }
    if (out->has_expiry) {
        at = noc_prop_put_u32(at, NOC_PROP_MESSAGE_EXPIRY, out->expiry_s);
    }
    for (unsigned i = 0; i < out->subscription_id_count; i++) {
        at = noc_prop_put_varint(at, NOC_PROP_SUBSCRIPTION_ID, out->subscription_ids[i]);
    }
    return noc_wire_put_raw(at, out->props);
}

size_t noc_publish_encode_head(
    unsigned version, const struct noc_publish_out *out, uint8_t *at, size_t room)
{
    size_t props_n, head;
    uint32_t remaining = measure(version, out, &props_n);

    if (remaining == 0) {
        return 0;
    }
    head = 1 + noc_varint_size(remaining) + remaining - out->payload_n;
    if (head > room) {
        return 0;
    }
    *at++ = (uint8_t)(NOC_PUBLISH << 4 | out->dup << 3 | out->qos << 1 | out->retain);
    at = noc_put_u16(noc_varint_put(at, remaining), (uint16_t)out->topic.n);
    if (out->topic.n > 0) {
        memcpy(at, out->topic.at, out->topic.n);
        at += out->topic.n;
    }
    if (out->qos > 0) {
        at = noc_put_u16(at, out->packet_id);
    }
    if (NOC_IS_V5(version)) {
        put_props(at, out, props_n);
    }
    return head;
}
