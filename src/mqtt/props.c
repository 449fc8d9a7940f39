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

/* How a value is written; of integers how many bytes. KIND_TEXT and what follows is UTF-8. */
enum kind {
    KIND_NONE = 0, /* no such property */
    KIND_U8 = 1,   /* 0 or 1: all the one-byte properties are */
    KIND_U16 = 2,
    KIND_VAR = 3, /* variable byte integer */
    KIND_U32 = 4,
    KIND_BINARY,
    KIND_TEXT,
    KIND_TOPIC,        /* no wildcards */
    KIND_PAIR,         /* two of them */
    KIND_NOT_0 = 0x10, /* flag of an integer: 0 is a protocol error */
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

/* Table 2-4 of the standard: identifier, name, packets, kind, member of struct noc_props. */
#define PROPERTY_MAP(X)                                                                            \
    X(NOC_PROP_PAYLOAD_FORMAT, "payload format indicator", IN_MESSAGE, KIND_U8, payload_format)    \
    X(NOC_PROP_MESSAGE_EXPIRY, "message expiry interval", IN_MESSAGE, KIND_U32, message_expiry_s)  \
    X(NOC_PROP_CONTENT_TYPE, "content type", IN_MESSAGE, KIND_TEXT, content_type)                  \
    X(NOC_PROP_RESPONSE_TOPIC, "response topic", IN_MESSAGE, KIND_TOPIC, response_topic)           \
    X(NOC_PROP_CORRELATION_DATA, "correlation data", IN_MESSAGE, KIND_BINARY, correlation_data)    \
    X(NOC_PROP_SUBSCRIPTION_ID, "subscription identifier", IN(NOC_PUBLISH) | IN(NOC_SUBSCRIBE),    \
        KIND_VAR | KIND_NOT_0, subscription_id)                                                    \
    X(NOC_PROP_SESSION_EXPIRY, "session expiry interval", IN_BOTH | IN(NOC_DISCONNECT), KIND_U32,  \
        session_expiry_s)                                                                          \
    X(NOC_PROP_ASSIGNED_CLIENT_ID, "assigned client identifier", IN(NOC_CONNACK), KIND_TEXT,       \
        assigned_client_id)                                                                        \
    X(NOC_PROP_SERVER_KEEP_ALIVE, "server keep alive", IN(NOC_CONNACK), KIND_U16,                  \
        server_keep_alive_s)                                                                       \
    X(NOC_PROP_AUTH_METHOD, "authentication method", IN_BOTH | IN(NOC_AUTH), KIND_TEXT,            \
        auth_method)                                                                               \
    X(NOC_PROP_AUTH_DATA, "authentication data", IN_BOTH | IN(NOC_AUTH), KIND_BINARY, auth_data)   \
    X(NOC_PROP_REQUEST_PROBLEM_INFO, "request problem information", IN(NOC_CONNECT), KIND_U8,      \
        request_problem_info)                                                                      \
    X(NOC_PROP_WILL_DELAY, "will delay interval", IN_WILL, KIND_U32, will_delay_s)                 \
    X(NOC_PROP_REQUEST_RESPONSE_INFO, "request response information", IN(NOC_CONNECT), KIND_U8,    \
        request_response_info)                                                                     \
    X(NOC_PROP_RESPONSE_INFO, "response information", IN(NOC_CONNACK), KIND_TEXT, response_info)   \
    X(NOC_PROP_SERVER_REFERENCE, "server reference", IN(NOC_CONNACK) | IN(NOC_DISCONNECT),         \
        KIND_TEXT, server_reference)                                                               \
    X(NOC_PROP_REASON_STRING, "reason string", IN_ANSWER, KIND_TEXT, reason_string)                \
    X(NOC_PROP_RECEIVE_MAXIMUM, "receive maximum", IN_BOTH, KIND_U16 | KIND_NOT_0,                 \
        receive_maximum)                                                                           \
    X(NOC_PROP_TOPIC_ALIAS_MAXIMUM, "topic alias maximum", IN_BOTH, KIND_U16, topic_alias_maximum) \
    X(NOC_PROP_TOPIC_ALIAS, "topic alias", IN(NOC_PUBLISH), KIND_U16 | KIND_NOT_0, topic_alias)    \
    X(NOC_PROP_MAXIMUM_QOS, "maximum QoS", IN(NOC_CONNACK), KIND_U8, maximum_qos)                  \
    X(NOC_PROP_RETAIN_AVAILABLE, "retain available", IN(NOC_CONNACK), KIND_U8, retain_available)   \
    X(NOC_PROP_USER, "user property", IN_ALL, KIND_PAIR, has)                                      \
    X(NOC_PROP_MAXIMUM_PACKET_SIZE, "maximum packet size", IN_BOTH, KIND_U32 | KIND_NOT_0,         \
        maximum_packet_size)                                                                       \
    X(NOC_PROP_WILDCARD_AVAILABLE, "wildcard subscription available", IN(NOC_CONNACK), KIND_U8,    \
        wildcard_available)                                                                        \
    X(NOC_PROP_SUBSCRIPTION_IDS_AVAILABLE, "subscription identifiers available", IN(NOC_CONNACK),  \
        KIND_U8, subscription_ids_available)                                                       \
    X(NOC_PROP_SHARED_AVAILABLE, "shared subscription available", IN(NOC_CONNACK), KIND_U8,        \
        shared_available)

/* A row: packets in the low 17 bits, kind above them, then the member's place. */
enum { PACKETS_BITS = 17, KIND_BITS = 5, KIND_MASK = 0x0f };

_Static_assert(sizeof(struct noc_props) < 1u << (32 - PACKETS_BITS - KIND_BITS), "places fit");

static const uint32_t properties[] = {
#define PROPERTY_ROW(id, name, in, how, field)      \
    [id] = (in) | (uint32_t)(how) << PACKETS_BITS | \
           (uint32_t)offsetof(struct noc_props, field) << (PACKETS_BITS + KIND_BITS),
    PROPERTY_MAP(PROPERTY_ROW)
#undef PROPERTY_ROW
};

static const char *const names[] = {
#define PROPERTY_NAME(id, name, in, how, field) [id] = (name),
    PROPERTY_MAP(PROPERTY_NAME)
#undef PROPERTY_NAME
};

/* The row of an identifier, 0 if there is none. */
static uint32_t find(uint8_t id)
{
    return id < NOC_COUNT(properties) ? properties[id] : 0;
}

static unsigned kind_of(uint32_t row)
{
    return row >> PACKETS_BITS & KIND_MASK;
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

/* An integer of so many bytes. Returns them, 0 if cut short. */
static size_t split_number(size_t bytes, const uint8_t *at, size_t n, uint32_t *ret_number)
{
    uint32_t number = 0;

    if (n < bytes) {
        return 0;
    }
    for (size_t i = 0; i < bytes; i++) {
        number = number << 8 | at[i];
    }
    *ret_number = number;
    return bytes;
}

/* Read the value of one property at at[0..n). Returns the bytes used, 0 if cut short. */
static size_t split_value(unsigned kind, const uint8_t *at, size_t n, struct noc_prop *prop)
{
    size_t used = 0, more;
    int digits;

    if (kind == KIND_VAR) {
        digits = decode_shortest(at, n, &prop->number);
        return digits < 0 ? 0 : (size_t)digits;
    }
    if (kind <= KIND_U32) {
        return split_number(kind, at, n, &prop->number);
    }
    if (kind == KIND_PAIR) {
        used = split_binary(at, n, &prop->name);
        if (used == 0) {
            return 0;
        }
    }
    more = split_binary(at + used, n - used, &prop->value);
    return more == 0 ? 0 : used + more;
}

/* Take one property off the front of at[0..n), n > 0. Returns the bytes used, 0 if malformed:
 * what is in *ret_prop is of no use then. */
static size_t split(const uint8_t *at, size_t n, struct noc_prop *ret_prop)
{
    size_t used;

    *ret_prop = (struct noc_prop){.id = at[0]};
    used = split_value(kind_of(find(at[0])), at + 1, n - 1, ret_prop);
    if (used == 0) {
        return 0;
    }
    ret_prop->wire = noc_slice(at, 1 + used);
    return 1 + used;
}

/* Is the value of a whole property one that its kind allows? */
static int check_value(uint32_t row, const struct noc_prop *prop)
{
    unsigned kind = kind_of(row);

    if (kind >= KIND_TEXT) {
        if (!noc_utf8_is_valid(prop->value) || !noc_utf8_is_valid(prop->name)) {
            return NOC_EMALFORMED;
        }
        /* [MQTT-3.3.2-13], [MQTT-3.3.2-14] */
        return kind == KIND_TOPIC && noc_filter_has_wildcard(prop->value) ? NOC_EPROTO : NOC_OK;
    }
    if (kind == KIND_U8 && prop->number > 1) {
        return NOC_EPROTO;
    }
    return (row >> PACKETS_BITS & KIND_NOT_0) != 0 && prop->number == 0 ? NOC_EPROTO : NOC_OK;
}

/* Fill the member of a property; of one that repeats, the first stays. */
static void store(struct noc_props *props, uint32_t row, const struct noc_prop *prop)
{
    void *member = (char *)props + (row >> (PACKETS_BITS + KIND_BITS));

    switch (kind_of(row)) {
    case KIND_U8:
        *(uint8_t *)member = (uint8_t)prop->number;
        break;
    case KIND_U16:
        *(uint16_t *)member = (uint16_t)prop->number;
        break;
    case KIND_U32:
    case KIND_VAR:
        *(uint32_t *)member = prop->number;
        break;
    case KIND_PAIR:
        break;
    default:
        *(struct noc_slice *)member = prop->value;
        break;
    }
}

/* Decode the properties of a block without its length. offset: of the block, for the fault. */
static int decode_block(unsigned packet_of, const uint8_t *block, size_t n, size_t offset,
    struct noc_props *props, struct noc_fault *fault)
{
    *props = (struct noc_props){.raw = noc_slice(block, n)};
    for (size_t at = 0, used; at < n; at += used) {
        uint32_t row = find(block[at]);
        const char *name = row == 0 ? NOC_TEXT("property identifier") : NOC_TEXT(names[block[at]]);
        struct noc_prop prop;
        uint64_t bit;
        int err;

        /* 2.2.2.2: an identifier that is not valid for its packet is malformed. */
        if ((row >> packet_of & 1) == 0) {
            return noc_fault_at(fault, NOC_EMALFORMED, name, offset + at);
        }
        used = split(block + at, n - at, &prop);
        if (used == 0) {
            return noc_fault_at(fault, NOC_EMALFORMED, name, offset + at);
        }
        err = check_value(row, &prop);
        if (err < 0) {
            return noc_fault_at(fault, err, name, offset + at);
        }
        bit = UINT64_C(1) << prop.id;
        if ((props->has & bit) == 0) {
            props->has |= bit;
            store(props, row, &prop);
        } else if (prop.id != NOC_PROP_USER &&
                   !(prop.id == NOC_PROP_SUBSCRIPTION_ID && packet_of == NOC_PUBLISH)) {
            return noc_fault_at(fault, NOC_EPROTO, name, offset + at);
        }
    }
    if (noc_props_has(props, NOC_PROP_AUTH_DATA) && !noc_props_has(props, NOC_PROP_AUTH_METHOD)) {
        return noc_fault_at(fault, NOC_EPROTO, NOC_TEXT("authentication data"), offset);
    }
    return NOC_OK;
}

int noc_props_decode(unsigned packet_of, const uint8_t *bytes, size_t n,
    struct noc_props *ret_props, struct noc_fault *fault)
{
    uint32_t block_n;
    int prefix = decode_shortest(bytes, n, &block_n);
    int err;

    if (prefix <= 0 || block_n > n - (size_t)prefix) {
        return noc_fault_at(fault, NOC_EMALFORMED, NOC_TEXT("property length"), 0);
    }
    err = decode_block(
        packet_of & NOC_PROPS_TYPE, bytes + prefix, block_n, (size_t)prefix, ret_props, fault);
    if (err < 0) {
        return err;
    }
    if ((packet_of & NOC_PROPS_ALL) != 0 && block_n < n - (size_t)prefix) {
        return noc_body_excess((size_t)prefix + block_n, fault);
    }
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
