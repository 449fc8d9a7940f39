/* SPDX-License-Identifier: Apache-2.0 */
#include "describe.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mqtt/packet.h"

/* Text that grows in a buffer; what does not fit is cut off. */
struct line {
    char *text;
    size_t n, room;
};

static void say(struct line *line, const char *format, ...) NOC_PRINTF(2, 3);

static void say(struct line *line, const char *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(line->text + line->n, line->room - line->n, format, args);
    va_end(args);
    if (n > 0) {
        line->n += (size_t)n;
        line->n = line->n < line->room ? line->n : line->room - 1;
    }
}

static void say_bytes(struct line *line, struct noc_slice bytes)
{
    say(line, "\"");
    for (size_t i = 0; i < bytes.n; i++) {
        unsigned char c = (unsigned char)bytes.at[i];

        say(line, c >= 0x20 && c < 0x7f && c != '"' && c != '\\' ? "%c" : "\\x%02x", c);
    }
    say(line, "\"");
}

static void say_text(struct line *line, const char *label, struct noc_slice bytes)
{
    say(line, " %s=", label);
    say_bytes(line, bytes);
}

static void say_prop(struct line *line, const struct noc_prop *prop)
{
    say(line, " %02x=", prop->id);
    if (prop->id == NOC_PROP_USER) {
        say_bytes(line, prop->name);
        say(line, ":");
        say_bytes(line, prop->value);
    } else if (prop->value.at != NULL) {
        say_bytes(line, prop->value);
    } else {
        say(line, "%lu", (unsigned long)prop->number);
    }
}

/* The ids that our encoder of PUBLISH writes first, in its order; the others by 0. */
static const uint8_t prop_order[] = {
    NOC_PROP_TOPIC_ALIAS, NOC_PROP_MESSAGE_EXPIRY, NOC_PROP_SUBSCRIPTION_ID, 0};

static void say_props(struct line *line, const struct noc_props *props)
{
    if (props->has == 0) {
        return;
    }
    say(line, " {");
    for (unsigned pass = 0; pass < NOC_COUNT(prop_order); pass++) {
        struct noc_slice rest = props->raw;
        struct noc_prop prop;

        while (noc_props_next(&rest, &prop)) {
            bool is_early = memchr(prop_order, prop.id, NOC_COUNT(prop_order) - 1) != NULL;

            if (prop_order[pass] == 0 ? !is_early : prop.id == prop_order[pass]) {
                say_prop(line, &prop);
            }
        }
    }
    say(line, " }");
}

/* A packet of any kind, decoded. */
struct any {
    struct noc_header header;
    struct noc_slice body;
    union {
        struct noc_connect connect;
        struct noc_connack connack;
        struct noc_publish publish;
        struct noc_ack ack;
        struct noc_subscribe subscribe;
        struct noc_suback suback;
        struct noc_disconnect disconnect;
    } as;
};

static int decode_body(unsigned version, bool from_client, struct any *any, struct noc_fault *fault)
{
    const uint8_t *at = (const uint8_t *)any->body.at;
    size_t n = any->body.n;
    unsigned type = any->header.type;

    switch (type) {
    case NOC_CONNECT:
        return noc_connect_decode(at, n, &any->as.connect, fault);
    case NOC_CONNACK:
        return noc_connack_decode(version, at, n, &any->as.connack, fault);
    case NOC_PUBLISH:
        return noc_publish_decode(
            version, any->header.flags, from_client, &any->body, &any->as.publish, fault);
    case NOC_PUBACK:
    case NOC_PUBREC:
    case NOC_PUBREL:
    case NOC_PUBCOMP:
        return noc_ack_decode(version, type, &any->body, &any->as.ack, fault);
    case NOC_SUBSCRIBE:
        return noc_subscribe_decode(version, at, n, &any->as.subscribe, fault);
    case NOC_UNSUBSCRIBE:
        return noc_unsubscribe_decode(version, at, n, &any->as.subscribe, fault);
    case NOC_SUBACK:
    case NOC_UNSUBACK:
        return noc_suback_decode(version, type, &any->body, &any->as.suback, fault);
    case NOC_DISCONNECT:
        return noc_disconnect_decode(version, from_client, at, n, &any->as.disconnect, fault);
    case NOC_AUTH:
        return noc_auth_decode(at, n, &any->as.disconnect, fault);
    default:
        return NOC_OK;
    }
}

/* Returns NOC_OK, NOC_EAGAIN when bytes are missing, or the error. */
static int decode(unsigned version, bool from_client, const uint8_t *packet, size_t n,
    struct any *any, struct noc_fault *fault)
{
    int used = noc_header_decode(version, packet, n, &any->header);

    *fault = (struct noc_fault){"header", 0};
    if (used < 0) {
        return used;
    }
    if (used == 0 || n - (size_t)used < any->header.remaining) {
        return NOC_EAGAIN;
    }
    any->body = noc_slice(packet + used, any->header.remaining);
    return decode_body(version, from_client, any, fault);
}

static void say_connect(struct line *line, const struct noc_connect *connect)
{
    say(line, " v%u%s%s keepalive=%u", connect->version, connect->is_bridge ? " bridge" : "",
        connect->clean_start ? " clean" : "", connect->keep_alive_s);
    say_text(line, "id", connect->client_id);
    if (connect->has_username) {
        say_text(line, "user", connect->username);
    }
    if (connect->has_password) {
        say_text(line, "password", connect->password);
    }
    say_props(line, &connect->props);
    if (connect->has_will) {
        say(line, " will%s qos=%u", connect->will.retain ? " retain" : "", connect->will.qos);
        say_text(line, "topic", connect->will.topic);
        say_text(line, "payload", connect->will.payload);
        say_props(line, &connect->will.props);
    }
}

static void say_publish(struct line *line, const struct noc_publish *publish)
{
    say(line, "%s%s qos=%u", publish->dup ? " dup" : "", publish->retain ? " retain" : "",
        publish->qos);
    if (publish->qos > 0) {
        say(line, " id=%u", publish->packet_id);
    }
    say_text(line, "topic", publish->topic);
    say_text(line, "payload", publish->payload);
    say_props(line, &publish->props);
}

static void say_subscribe(struct line *line, unsigned type, const struct noc_subscribe *subscribe)
{
    struct noc_slice rest = subscribe->topics, filter;
    uint8_t options;

    say(line, " id=%u", subscribe->packet_id);
    say_props(line, &subscribe->props);
    for (unsigned i = 0; i < subscribe->count; i++) {
        say(line, " ");
        if (type == NOC_UNSUBSCRIBE) {
            if (!noc_unsubscribe_next(&rest, &filter)) {
                abort();
            }
            say_bytes(line, filter);
        } else {
            if (!noc_subscribe_next(&rest, &filter, &options)) {
                abort();
            }
            say_bytes(line, filter);
            say(line, ":%02x", options);
        }
    }
    if (type == NOC_UNSUBSCRIBE ? noc_unsubscribe_next(&rest, &filter)
                                : noc_subscribe_next(&rest, &filter, &options)) {
        abort(); /* count did not count them all */
    }
}

static void say_any(struct line *line, const struct any *any)
{
    static const char *const names[16] = {"", "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC",
        "PUBREL", "PUBCOMP", "SUBSCRIBE", "SUBACK", "UNSUBSCRIBE", "UNSUBACK", "PINGREQ",
        "PINGRESP", "DISCONNECT", "AUTH"};
    unsigned type = any->header.type;

    say(line, "%s", names[type]);
    switch (type) {
    case NOC_CONNECT:
        say_connect(line, &any->as.connect);
        break;
    case NOC_CONNACK:
        say(line, "%s %02x", any->as.connack.session_present ? " present" : "",
            any->as.connack.reason);
        say_props(line, &any->as.connack.props);
        break;
    case NOC_PUBLISH:
        say_publish(line, &any->as.publish);
        break;
    case NOC_PUBACK:
    case NOC_PUBREC:
    case NOC_PUBREL:
    case NOC_PUBCOMP:
        say(line, " id=%u %02x", any->as.ack.packet_id, any->as.ack.reason);
        say_props(line, &any->as.ack.props);
        break;
    case NOC_SUBSCRIBE:
    case NOC_UNSUBSCRIBE:
        say_subscribe(line, type, &any->as.subscribe);
        break;
    case NOC_SUBACK:
    case NOC_UNSUBACK:
        say(line, " id=%u", any->as.suback.packet_id);
        for (size_t i = 0; i < any->as.suback.reasons.n; i++) {
            say(line, " %02x", (unsigned char)any->as.suback.reasons.at[i]);
        }
        say_props(line, &any->as.suback.props);
        break;
    case NOC_DISCONNECT:
    case NOC_AUTH:
        say(line, " %02x", any->as.disconnect.reason);
        say_props(line, &any->as.disconnect.props);
        break;
    default:
        break;
    }
}

bool describe(
    unsigned version, bool from_client, const uint8_t *packet, size_t n, char *text, size_t room)
{
    struct line line = {text, 0, room};
    struct noc_fault fault;
    struct any any;
    int err = decode(version, from_client, packet, n, &any, &fault);

    text[0] = '\0';
    if (err == NOC_OK) {
        say_any(&line, &any);
    } else if (err == NOC_EAGAIN) {
        say(&line, "incomplete");
    } else if (err == NOC_ENOTSUP) {
        say(&line, "unsupported %u", any.as.connect.version);
    } else {
        say(&line, "%s %s @%lu", err == NOC_EPROTO ? "proto" : noc_error_text(err), fault.field,
            (unsigned long)fault.offset);
    }
    return err == NOC_OK;
}

static size_t publish_again(
    unsigned version, const struct noc_publish *publish, uint8_t *at, size_t room)
{
    uint32_t ids[64];
    struct noc_publish_out out = {.topic = publish->topic,
        .payload_n = publish->payload.n,
        .qos = publish->qos,
        .dup = publish->dup,
        .retain = publish->retain,
        .packet_id = publish->packet_id,
        .alias = publish->props.topic_alias,
        .has_expiry = noc_props_has(&publish->props, NOC_PROP_MESSAGE_EXPIRY),
        .expiry_s = publish->props.message_expiry_s,
        .subscription_ids = ids};
    struct noc_slice rest = publish->props.raw;
    uint8_t *props = malloc(rest.n + 1);
    struct noc_prop prop;
    size_t head = 0;

    if (props == NULL) {
        abort();
    }
    while (noc_props_next(&rest, &prop)) {
        if (prop.id == NOC_PROP_SUBSCRIPTION_ID) {
            if (out.subscription_id_count == NOC_COUNT(ids)) {
                goto free_props;
            }
            ids[out.subscription_id_count++] = prop.number;
        }
    }
    out.props = noc_slice(props, noc_props_forward(publish->props.raw, props));
    head = noc_publish_encode_head(version, &out, at, room);
    if (head + publish->payload.n > room) {
        head = 0;
    }
    if (head > 0) {
        if (head + publish->payload.n != noc_publish_size(version, &out)) {
            abort();
        }
        if (publish->payload.n > 0) {
            memcpy(at + head, publish->payload.at, publish->payload.n);
        }
        head += publish->payload.n;
    }

free_props:
    free(props);
    return head;
}

static size_t subscribe_again(unsigned version, unsigned type,
    const struct noc_subscribe *subscribe, uint8_t *at, size_t room)
{
    uint8_t *entries = malloc(subscribe->topics.n + 1), *end = entries;
    struct noc_slice rest = subscribe->topics, wire;
    struct noc_subscription entry;
    size_t n;

    if (entries == NULL) {
        abort();
    }
    if (type == NOC_SUBSCRIBE) {
        while (noc_subscribe_next(&rest, &entry.filter, &entry.options)) {
            end = noc_subscribe_put_entry(end, &entry);
        }
    } else {
        while (noc_unsubscribe_next(&rest, &entry.filter)) {
            end = noc_unsubscribe_put_entry(end, entry.filter);
        }
    }
    wire = noc_slice(entries, (size_t)(end - entries));
    n = type == NOC_SUBSCRIBE ? noc_subscribe_encode(version, subscribe->packet_id,
                                    subscribe->props.raw, &wire, at, room)
                              : noc_unsubscribe_encode(version, subscribe->packet_id,
                                    subscribe->props.raw, &wire, at, room);
    free(entries);
    return n;
}

size_t encode_again(
    unsigned version, bool from_client, const uint8_t *packet, size_t n, uint8_t *at, size_t room)
{
    struct noc_fault fault;
    struct any any;

    if (decode(version, from_client, packet, n, &any, &fault) != NOC_OK) {
        return 0;
    }
    switch (any.header.type) {
    case NOC_CONNECT:
        return noc_connect_encode(&any.as.connect, at, room);
    case NOC_CONNACK:
        return noc_connack_encode(version, any.as.connack.session_present, any.as.connack.reason,
            any.as.connack.props.raw, at, room);
    case NOC_PUBLISH:
        return publish_again(version, &any.as.publish, at, room);
    case NOC_PUBACK:
    case NOC_PUBREC:
    case NOC_PUBREL:
    case NOC_PUBCOMP:
        return any.as.ack.props.has != 0 ? 0
                                         : noc_ack_encode(version, any.header.type,
                                               any.as.ack.packet_id, any.as.ack.reason, at, room);
    case NOC_SUBSCRIBE:
    case NOC_UNSUBSCRIBE:
        return subscribe_again(version, any.header.type, &any.as.subscribe, at, room);
    case NOC_SUBACK:
    case NOC_UNSUBACK:
        return any.as.suback.props.has != 0
                   ? 0
                   : noc_suback_encode(version, any.header.type, any.as.suback.packet_id,
                         any.as.suback.reasons, at, room);
    case NOC_DISCONNECT:
        return noc_disconnect_encode(
            version, any.as.disconnect.reason, any.as.disconnect.props.raw, at, room);
    case NOC_AUTH:
        return noc_auth_encode(any.as.disconnect.reason, any.as.disconnect.props.raw, at, room);
    default:
        return noc_ping_encode(any.header.type, at, room);
    }
}
