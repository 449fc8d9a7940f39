/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Property blocks. One table says of each identifier what it is called, how its
 * value is written, in which packets it may stand and which member of struct
 * noc_props it fills; the decoder, the walker and the filter all work from it.
 */
#include "base/bytes.h"
#include "base/utf8.h"
#include "mqtt/text.h"
#include "mqtt/wire.h"

/* How a value is written, and what is checked beyond that. */
enum kind {
    KIND_NONE,      /* no such property */
    KIND_BIT,       /* a byte, 0 or 1: all the one-byte properties are */
    KIND_U16,       /* two bytes */
    KIND_U16_NOT_0, /* two bytes, 0 is a protocol error */
    KIND_U32,       /* four bytes */
    KIND_U32_NOT_0, /* four bytes, 0 is a protocol error */
    KIND_VAR_NOT_0, /* variable byte integer, 0 is a protocol error */
    KIND_TEXT,      /* UTF-8 */
    KIND_TOPIC,     /* UTF-8, no wildcards */
    KIND_BINARY,    /* bytes */
    KIND_PAIR,      /* two UTF-8 texts */
};

struct property {
    const char *name;
    uint32_t packets; /* a bit per packet type (and NOC_PROPS_OF_WILL) */
    uint8_t kind;     /* enum kind */
    uint16_t member;  /* offset in struct noc_props */
};

#define IN(type) (UINT32_C(1) << (type))
#define IN_WILL  IN(NOC_PROPS_OF_WILL)
#define IN_ACKS  (IN(NOC_PUBACK) | IN(NOC_PUBREC) | IN(NOC_PUBREL) | IN(NOC_PUBCOMP))
#define IN_BOTH  (IN(NOC_CONNECT) | IN(NOC_CONNACK))
#define IN_ANSWER                                                                         \
    (IN_ACKS | IN(NOC_CONNACK) | IN(NOC_SUBACK) | IN(NOC_UNSUBACK) | IN(NOC_DISCONNECT) | \
        IN(NOC_AUTH))
#define IN_MESSAGE (IN(NOC_PUBLISH) | IN_WILL)
#define IN_ALL     (IN_ANSWER | IN_MESSAGE | IN(NOC_CONNECT) | IN(NOC_SUBSCRIBE) | IN(NOC_UNSUBSCRIBE))

#define ROW(id, text, in, how, field) \
    [id] = {text, in, how, (uint16_t)offsetof(struct noc_props, field)}

/* Table 2-4 of the standard. */
static const struct property properties[] = {
    ROW(NOC_PROP_PAYLOAD_FORMAT, "payload format indicator", IN_MESSAGE, KIND_BIT, payload_format),
    ROW(NOC_PROP_MESSAGE_EXPIRY, "message expiry interval", IN_MESSAGE, KIND_U32, message_expiry_s),
    ROW(NOC_PROP_CONTENT_TYPE, "content type", IN_MESSAGE, KIND_TEXT, content_type),
    ROW(NOC_PROP_RESPONSE_TOPIC, "response topic", IN_MESSAGE, KIND_TOPIC, response_topic),
    ROW(NOC_PROP_CORRELATION_DATA, "correlation data", IN_MESSAGE, KIND_BINARY, correlation_data),
    ROW(NOC_PROP_SUBSCRIPTION_ID, "subscription identifier", IN(NOC_PUBLISH) | IN(NOC_SUBSCRIBE),
        KIND_VAR_NOT_0, subscription_id),
    ROW(NOC_PROP_SESSION_EXPIRY, "session expiry interval", IN_BOTH | IN(NOC_DISCONNECT), KIND_U32,
        session_expiry_s),
    ROW(NOC_PROP_ASSIGNED_CLIENT_ID, "assigned client identifier", IN(NOC_CONNACK), KIND_TEXT,
        assigned_client_id),
    ROW(NOC_PROP_SERVER_KEEP_ALIVE, "server keep alive", IN(NOC_CONNACK), KIND_U16,
        server_keep_alive_s),
    ROW(NOC_PROP_AUTH_METHOD, "authentication method", IN_BOTH | IN(NOC_AUTH), KIND_TEXT,
        auth_method),
    ROW(NOC_PROP_AUTH_DATA, "authentication data", IN_BOTH | IN(NOC_AUTH), KIND_BINARY, auth_data),
    ROW(NOC_PROP_REQUEST_PROBLEM_INFO, "request problem information", IN(NOC_CONNECT), KIND_BIT,
        request_problem_info),
    ROW(NOC_PROP_WILL_DELAY, "will delay interval", IN_WILL, KIND_U32, will_delay_s),
    ROW(NOC_PROP_REQUEST_RESPONSE_INFO, "request response information", IN(NOC_CONNECT), KIND_BIT,
        request_response_info),
    ROW(NOC_PROP_RESPONSE_INFO, "response information", IN(NOC_CONNACK), KIND_TEXT, response_info),
    ROW(NOC_PROP_SERVER_REFERENCE, "server reference", IN(NOC_CONNACK) | IN(NOC_DISCONNECT),
        KIND_TEXT, server_reference),
    ROW(NOC_PROP_REASON_STRING, "reason string", IN_ANSWER, KIND_TEXT, reason_string),
    ROW(NOC_PROP_RECEIVE_MAXIMUM, "receive maximum", IN_BOTH, KIND_U16_NOT_0, receive_maximum),
    ROW(NOC_PROP_TOPIC_ALIAS_MAXIMUM, "topic alias maximum", IN_BOTH, KIND_U16,
        topic_alias_maximum),
    ROW(NOC_PROP_TOPIC_ALIAS, "topic alias", IN(NOC_PUBLISH), KIND_U16_NOT_0, topic_alias),
    ROW(NOC_PROP_MAXIMUM_QOS, "maximum QoS", IN(NOC_CONNACK), KIND_BIT, maximum_qos),
    ROW(NOC_PROP_RETAIN_AVAILABLE, "retain available", IN(NOC_CONNACK), KIND_BIT, retain_available),
    [NOC_PROP_USER] = {"user property", IN_ALL, KIND_PAIR, 0},
    ROW(NOC_PROP_MAXIMUM_PACKET_SIZE, "maximum packet size", IN_BOTH, KIND_U32_NOT_0,
        maximum_packet_size),
    ROW(NOC_PROP_WILDCARD_AVAILABLE, "wildcard subscription available", IN(NOC_CONNACK), KIND_BIT,
        wildcard_available),
    ROW(NOC_PROP_SUBSCRIPTION_IDS_AVAILABLE, "subscription identifiers available", IN(NOC_CONNACK),
        KIND_BIT, subscription_ids_available),
    ROW(NOC_PROP_SHARED_AVAILABLE, "shared subscription available", IN(NOC_CONNACK), KIND_BIT,
        shared_available),
};

/* The row of an identifier, or NULL. */
static const struct property *find(uint8_t id)
{
    return id < NOC_COUNT(properties) && properties[id].kind != KIND_NONE ? &properties[id] : NULL;
}

/*
 * A variable byte integer in its shortest form [MQTT-1.5.5-1]. Mosquitto does
 * not take another one within a packet either, only in the fixed header.
 */
static int decode_shortest(const uint8_t *at, size_t n, uint32_t *ret_value)
{
    uint32_t value;
    int used = noc_varint_decode(at, n, &value);

    if (used <= 0) {
        return used;
    }
    if ((unsigned)used != noc_varint_size(value)) {
        return NOC_EMALFORMED;
    }
    *ret_value = value;
    return used;
}

/* Two bytes of length and as many bytes at at[0..n). Returns the bytes used, 0 if cut short. */
static size_t split_binary(const uint8_t *at, size_t n, struct noc_slice *ret_value)
{
    if (n < 2 || (size_t)noc_get_u16(at) > n - 2) {
        return 0;
    }
    *ret_value = noc_slice(at + 2, noc_get_u16(at));
    return 2 + ret_value->n;
}

/* Read the value of one property at at[0..n). Returns the bytes used, 0 if cut short. */
static size_t split_value(enum kind kind, const uint8_t *at, size_t n, struct noc_prop *prop)
{
    size_t used, more;
    int digits;

    switch (kind) {
    case KIND_BIT:
        prop->number = n < 1 ? 0 : at[0];
        return n < 1 ? 0 : 1;
    case KIND_U16:
    case KIND_U16_NOT_0:
        prop->number = n < 2 ? 0 : noc_get_u16(at);
        return n < 2 ? 0 : 2;
    case KIND_U32:
    case KIND_U32_NOT_0:
        prop->number = n < 4 ? 0 : noc_get_u32(at);
        return n < 4 ? 0 : 4;
    case KIND_VAR_NOT_0:
        digits = decode_shortest(at, n, &prop->number);
        return digits < 0 ? 0 : (size_t)digits;
    case KIND_TEXT:
    case KIND_TOPIC:
    case KIND_BINARY:
        return split_binary(at, n, &prop->value);
    case KIND_PAIR:
        used = split_binary(at, n, &prop->name);
        more = used == 0 ? 0 : split_binary(at + used, n - used, &prop->value);
        return more == 0 ? 0 : used + more;
    case KIND_NONE:
    default:
        return 0;
    }
}

/* Take one property off the front of at[0..n), n > 0. Returns the bytes used, 0 if malformed. */
static size_t split(const uint8_t *at, size_t n, struct noc_prop *ret_prop)
{
    const struct property *row = find(at[0]);
    struct noc_prop prop = {.id = at[0]};
    size_t used = row == NULL ? 0 : split_value((enum kind)row->kind, at + 1, n - 1, &prop);

    if (used == 0) {
        return 0;
    }
    prop.wire = noc_slice(at, 1 + used);
    *ret_prop = prop;
    return 1 + used;
}

/* Is the value of a whole property one that its kind allows? */
static int check_value(enum kind kind, const struct noc_prop *prop)
{
    switch (kind) {
    case KIND_BIT:
        return prop->number > 1 ? NOC_EPROTO : NOC_OK;
    case KIND_U16_NOT_0:
    case KIND_U32_NOT_0:
    case KIND_VAR_NOT_0:
        return prop->number == 0 ? NOC_EPROTO : NOC_OK;
    case KIND_PAIR:
        if (!noc_utf8_is_valid(prop->name)) {
            return NOC_EMALFORMED;
        }
        return noc_utf8_is_valid(prop->value) ? NOC_OK : NOC_EMALFORMED;
    case KIND_TEXT:
        return noc_utf8_is_valid(prop->value) ? NOC_OK : NOC_EMALFORMED;
    case KIND_TOPIC: /* [MQTT-3.3.2-13], [MQTT-3.3.2-14] */
        if (!noc_utf8_is_valid(prop->value)) {
            return NOC_EMALFORMED;
        }
        return noc_filter_has_wildcard(prop->value) ? NOC_EPROTO : NOC_OK;
    case KIND_NONE:
    case KIND_U16:
    case KIND_U32:
    case KIND_BINARY:
    default:
        return NOC_OK;
    }
}

/* Fill the member of a property; of one that repeats, the first stays. */
static void store(struct noc_props *props, const struct property *row, const struct noc_prop *prop)
{
    void *member = (char *)props + row->member;
    uint16_t number16 = (uint16_t)prop->number;

    switch ((enum kind)row->kind) {
    case KIND_BIT:
        *(uint8_t *)member = (uint8_t)prop->number;
        break;
    case KIND_U16:
    case KIND_U16_NOT_0:
        memcpy(member, &number16, sizeof number16);
        break;
    case KIND_U32:
    case KIND_U32_NOT_0:
    case KIND_VAR_NOT_0:
        memcpy(member, &prop->number, sizeof prop->number);
        break;
    case KIND_TEXT:
    case KIND_TOPIC:
    case KIND_BINARY:
        memcpy(member, &prop->value, sizeof prop->value);
        break;
    case KIND_NONE:
    case KIND_PAIR:
    default:
        break;
    }
}

/* Decode the properties of a block without its length. offset: of the block, for the fault. */
static int decode_block(unsigned packet_of, const uint8_t *block, size_t n, size_t offset,
    struct noc_props *props, struct noc_fault *fault)
{
    *props = (struct noc_props){.raw = noc_slice(block, n)};
    for (size_t at = 0, used; at < n; at += used) {
        const struct property *row = find(block[at]);
        struct noc_prop prop;
        uint64_t bit;
        int err;

        if (row == NULL) {
            return noc_fault_at(fault, NOC_EMALFORMED, "property identifier", offset + at);
        }
        if ((row->packets >> packet_of & 1) == 0) {
            /* 2.2.2.2: an identifier that is not valid for its packet is malformed. */
            return noc_fault_at(fault, NOC_EMALFORMED, row->name, offset + at);
        }
        used = split(block + at, n - at, &prop);
        if (used == 0) {
            return noc_fault_at(fault, NOC_EMALFORMED, row->name, offset + at);
        }
        err = check_value((enum kind)row->kind, &prop);
        if (err < 0) {
            return noc_fault_at(fault, err, row->name, offset + at);
        }
        bit = UINT64_C(1) << prop.id;
        if ((props->has & bit) == 0) {
            props->has |= bit;
            store(props, row, &prop);
        } else if (prop.id != NOC_PROP_USER &&
                   !(prop.id == NOC_PROP_SUBSCRIPTION_ID && packet_of == NOC_PUBLISH)) {
            return noc_fault_at(fault, NOC_EPROTO, row->name, offset + at);
        }
    }
    if (noc_props_has(props, NOC_PROP_AUTH_DATA) && !noc_props_has(props, NOC_PROP_AUTH_METHOD)) {
        return noc_fault_at(fault, NOC_EPROTO, "authentication data", offset);
    }
    return NOC_OK;
}

int noc_props_decode(unsigned packet_of, const uint8_t *bytes, size_t n,
    struct noc_props *ret_props, struct noc_fault *fault)
{
    struct noc_props props;
    uint32_t block_n;
    int prefix = decode_shortest(bytes, n, &block_n);
    int err;

    if (prefix <= 0 || block_n > n - (size_t)prefix) {
        return noc_fault_at(fault, NOC_EMALFORMED, "property length", 0);
    }
    if (block_n == 0) {
        *ret_props = (struct noc_props){.raw = noc_slice(bytes + prefix, 0)};
        return prefix;
    }
    err = decode_block(packet_of, bytes + prefix, block_n, (size_t)prefix, &props, fault);
    if (err < 0) {
        return err;
    }
    *ret_props = props;
    return prefix + (int)block_n;
}

bool noc_props_next(struct noc_slice *rest, struct noc_prop *ret_prop)
{
    size_t used = rest->n == 0 ? 0 : split((const uint8_t *)rest->at, rest->n, ret_prop);

    *rest = noc_slice(used == 0 ? NULL : rest->at + used, used == 0 ? 0 : rest->n - used);
    return used > 0;
}

size_t noc_props_forward(struct noc_slice raw, uint8_t *at)
{
    struct noc_slice rest = raw;
    struct noc_prop prop;
    uint8_t *start = at;

    while (noc_props_next(&rest, &prop)) {
        switch (prop.id) {
        case NOC_PROP_MESSAGE_EXPIRY:
        case NOC_PROP_TOPIC_ALIAS: /* [MQTT-3.3.2-7]: an alias is of one connection */
        case NOC_PROP_SUBSCRIPTION_ID:
        case NOC_PROP_WILL_DELAY:
            break;
        default:
            at = noc_wire_put_raw(at, prop.wire);
            break;
        }
    }
    return (size_t)(at - start);
}

uint8_t *noc_prop_put_u8(uint8_t *at, enum noc_property id, uint8_t value)
{
    at[0] = (uint8_t)id;
    at[1] = value;
    return at + 2;
}

uint8_t *noc_prop_put_u16(uint8_t *at, enum noc_property id, uint16_t value)
{
    *at = (uint8_t)id;
    return noc_put_u16(at + 1, value);
}

uint8_t *noc_prop_put_u32(uint8_t *at, enum noc_property id, uint32_t value)
{
    *at = (uint8_t)id;
    return noc_put_u32(at + 1, value);
}

uint8_t *noc_prop_put_varint(uint8_t *at, enum noc_property id, uint32_t value)
{
    *at = (uint8_t)id;
    return noc_varint_put(at + 1, value);
}

uint8_t *noc_prop_put_slice(uint8_t *at, enum noc_property id, struct noc_slice value)
{
    *at = (uint8_t)id;
    return noc_wire_put(at + 1, value);
}

uint8_t *noc_prop_put_user(uint8_t *at, struct noc_slice name, struct noc_slice value)
{
    *at = NOC_PROP_USER;
    return noc_wire_put(noc_wire_put(at + 1, name), value);
}
