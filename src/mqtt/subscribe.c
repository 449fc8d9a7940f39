/* SPDX-License-Identifier: Apache-2.0 */
/* SUBSCRIBE and UNSUBSCRIBE, and what answers them. */
#include "base/bytes.h"
#include "mqtt/topic.h"
#include "mqtt/wire.h"

/* Check the option byte of a subscription; the wire stands on it. */
static void read_options(struct noc_wire *wire, unsigned version, struct noc_slice filter)
{
    const char *field = NOC_TEXT("subscription options");
    uint8_t options = noc_wire_u8(wire, field);
    int err = NOC_OK;

    if (wire->err != NOC_OK) {
        return;
    }
    if ((options & 0xc0) != 0) {
        err = NOC_EMALFORMED; /* [MQTT-3.8.3-5] */
    } else if (!NOC_IS_V5(version) && options > 2) {
        err = NOC_EMALFORMED; /* [MQTT-3-8.3-4] of 3.1.1 */
    } else if ((options & NOC_SUB_QOS) == 3) {
        err = NOC_EPROTO; /* 3.8.3.1 */
    } else if ((options & NOC_SUB_RETAIN_HANDLING) == NOC_SUB_RETAIN_HANDLING) {
        err = NOC_EPROTO; /* 3.8.3.1 */
    } else if ((options & NOC_SUB_NO_LOCAL) != 0 && noc_filter_is_shared(filter)) {
        err = NOC_EPROTO; /* [MQTT-3.8.3-4] */
    }
    if (err < 0) {
        wire->at--;
        noc_wire_fail(wire, err, field);
    }
}

static int decode(unsigned version, unsigned type, const uint8_t *body, size_t n,
    struct noc_subscribe *ret, struct noc_fault *fault)
{
    struct noc_subscribe view = {0};
    struct noc_wire wire;

    noc_wire_init(&wire, body, n, fault);
    view.packet_id = noc_wire_packet_id(&wire, NOC_EMALFORMED);
    if (NOC_IS_V5(version)) {
        noc_wire_props(&wire, type, &view.props);
    }
    view.topics = noc_slice(wire.at, noc_wire_left(&wire));
    if (view.topics.n == 0) {
        noc_wire_fail(
            &wire, NOC_EPROTO, NOC_TEXT("topic filter")); /* [MQTT-3.8.3-2], [MQTT-3.10.3-2] */
    }
    while (wire.err == NOC_OK && noc_wire_left(&wire) > 0) {
        struct noc_slice filter = noc_wire_text(&wire, NOC_TEXT("topic filter"));

        if (type == NOC_SUBSCRIBE) {
            read_options(&wire, version, filter);
        }
        view.count++;
    }
    if (wire.err == NOC_OK) {
        *ret = view;
    }
    return wire.err;
}

int noc_subscribe_decode(unsigned version, const uint8_t *body, size_t n,
    struct noc_subscribe *ret_subscribe, struct noc_fault *fault)
{
    return decode(version, NOC_SUBSCRIBE, body, n, ret_subscribe, fault);
}

int noc_unsubscribe_decode(unsigned version, const uint8_t *body, size_t n,
    struct noc_subscribe *ret_unsubscribe, struct noc_fault *fault)
{
    return decode(version, NOC_UNSUBSCRIBE, body, n, ret_unsubscribe, fault);
}

bool noc_unsubscribe_next(struct noc_slice *rest, struct noc_slice *ret_filter)
{
    struct noc_slice filter;

    if (rest->n < 2) {
        return false;
    }
    filter = noc_slice(rest->at + 2, noc_get_u16((const uint8_t *)rest->at));
    if (filter.n > rest->n - 2) {
        return false;
    }
    *rest = noc_slice(filter.at + filter.n, rest->n - 2 - filter.n);
    *ret_filter = filter;
    return true;
}

bool noc_subscribe_next(struct noc_slice *rest, struct noc_slice *ret_filter, uint8_t *ret_options)
{
    struct noc_slice after = *rest, filter;

    if (!noc_unsubscribe_next(&after, &filter) || after.n == 0) {
        return false;
    }
    *ret_filter = filter;
    *ret_options = (uint8_t)after.at[0];
    *rest = noc_slice(after.at + 1, after.n - 1);
    return true;
}

static size_t encode(unsigned version, unsigned type, uint16_t packet_id, struct noc_slice props,
    const struct noc_slice *entries_wire, uint8_t *at, size_t room)
{
    size_t props_n = NOC_IS_V5(version) ? noc_wire_props_size(props) : 0;
    size_t remaining = 2 + props_n + entries_wire->n;

    if (props_n > NOC_REMAINING_MAX || entries_wire->n > NOC_REMAINING_MAX) {
        return 0;
    }
    at = noc_wire_begin(at, room, type << 4 | 2, remaining);
    if (at == NULL) {
        return 0;
    }
    at = noc_put_u16(at, packet_id);
    if (NOC_IS_V5(version)) {
        at = noc_wire_put_props(at, props);
    }
    noc_wire_put_raw(at, *entries_wire);
    return 1 + noc_varint_size((uint32_t)remaining) + remaining;
}

size_t noc_subscribe_encode(unsigned version, uint16_t packet_id, struct noc_slice props,
    const struct noc_slice *entries_wire, uint8_t *at, size_t room)
{
    return encode(version, NOC_SUBSCRIBE, packet_id, props, entries_wire, at, room);
}

size_t noc_unsubscribe_encode(unsigned version, uint16_t packet_id, struct noc_slice props,
    const struct noc_slice *entries_wire, uint8_t *at, size_t room)
{
    return encode(version, NOC_UNSUBSCRIBE, packet_id, props, entries_wire, at, room);
}

uint8_t *noc_subscribe_put_entry(uint8_t *at, const struct noc_subscription *entry)
{
    at = noc_wire_put(at, entry->filter);
    *at = entry->options;
    return at + 1;
}

uint8_t *noc_unsubscribe_put_entry(uint8_t *at, struct noc_slice filter)
{
    return noc_wire_put(at, filter);
}

/* May the answer hold this reason? In version 3 that of a SUBACK only. */
static bool reason_is_listed(unsigned version, unsigned type, uint8_t reason)
{
    if (NOC_IS_V5(version)) {
        return noc_reason_is_listed(type, reason);
    }
    return reason <= 2 || reason == 0x80; /* [MQTT-3.9.3-2] of 3.1.1 */
}

/* The first reason that the answer may not hold; the count of them if there is none. */
static size_t find_unlisted(unsigned version, unsigned type, struct noc_slice reasons)
{
    size_t i = 0;

    while (i < reasons.n && reason_is_listed(version, type, (uint8_t)reasons.at[i])) {
        i++;
    }
    return i;
}

int noc_suback_decode(unsigned version, unsigned type, const struct noc_slice *body,
    struct noc_suback *ret_suback, struct noc_fault *fault)
{
    struct noc_slice reasons;
    uint16_t packet_id;
    size_t at = 2, good_n;
    int err = noc_body_packet_id(body, &packet_id, fault);

    if (err < 0) {
        return err;
    }
    if (!NOC_IS_V5(version)) {
        noc_wire_clear_props(&ret_suback->props);
    } else {
        err = noc_body_props(type, body, at, &ret_suback->props, fault);
        if (err < 0) {
            return err;
        }
        at += (size_t)err;
    }
    reasons = noc_slice(body->at + at, body->n - at);
    if (!NOC_IS_V5(version) && type == NOC_UNSUBACK) {
        if (reasons.n > 0) {
            return noc_body_excess(at, fault);
        }
        reasons.at = NULL;
    } else if (reasons.n == 0) {
        return noc_fault_at(fault, NOC_EMALFORMED, NOC_TEXT("reason code"), at);
    }
    good_n = find_unlisted(version, type, reasons);
    if (good_n < reasons.n) {
        return noc_fault_at(
            fault, NOC_EPROTO, NOC_TEXT("reason code"), at + good_n); /* [MQTT-3.9.3-2] */
    }
    ret_suback->packet_id = packet_id;
    ret_suback->reasons = reasons;
    return NOC_OK;
}

size_t noc_suback_encode(unsigned version, unsigned type, uint16_t packet_id,
    struct noc_slice reasons, uint8_t *at, size_t room)
{
    size_t props_n = NOC_IS_V5(version) ? 1 : 0, remaining;

    if (!NOC_IS_V5(version) && type == NOC_UNSUBACK) {
        reasons = noc_slice(NULL, 0);
    }
    if (reasons.n > NOC_REMAINING_MAX) {
        return 0;
    }
    remaining = 2 + props_n + reasons.n;
    at = noc_wire_begin(at, room, type << 4, remaining);
    if (at == NULL) {
        return 0;
    }
    at = noc_put_u16(at, packet_id);
    if (props_n > 0) {
        *at++ = 0;
    }
    for (size_t i = 0; i < reasons.n; i++) {
        uint8_t reason = (uint8_t)reasons.at[i];

        at[i] = !NOC_IS_V5(version) && reason >= 0x80 ? 0x80 : reason;
    }
    return 1 + noc_varint_size((uint32_t)remaining) + remaining;
}
