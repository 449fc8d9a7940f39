/* SPDX-License-Identifier: Apache-2.0 */
/* CONNECT and CONNACK. */
#include "base/bytes.h"
#include "mqtt/text.h"
#include "mqtt/wire.h"

/* Mosquitto's bridges set this bit of the version byte to be known as such. */
#define BRIDGE_BIT 0x80

/* The last return code of version 3. */
#define CONNACK3_MAX 5

/* The connect flags, 3.1.2.3. */
enum {
    FLAG_RESERVED = 0x01,
    FLAG_CLEAN_START = 0x02,
    FLAG_WILL = 0x04,
    FLAG_WILL_QOS = 0x18,
    FLAG_WILL_RETAIN = 0x20,
    FLAG_PASSWORD = 0x40,
    FLAG_USERNAME = 0x80,
};

static const char name31[] = "MQIsdp", name311[] = "MQTT";

static struct noc_slice protocol_name(unsigned version)
{
    return noc_slice_of(version == NOC_V31 ? name31 : name311);
}

/* Read name and version; NOC_ENOTSUP for a pair that nobody knows [MQTT-3.1.2-1], [MQTT-3.1.2-2]. */
static void read_version(struct noc_wire *wire, struct noc_connect *ret_connect)
{
    struct noc_slice name = noc_wire_binary(wire, NOC_TEXT("protocol name"));
    uint8_t byte = noc_wire_u8(wire, NOC_TEXT("protocol version"));
    uint8_t version = byte & (uint8_t)~BRIDGE_BIT;
    bool is_known = version >= NOC_V31 && version <= NOC_V5;

    if (wire->err != NOC_OK) {
        return;
    }
    if (!is_known || !noc_slice_equal(name, protocol_name(version))) {
        wire->at--;
        noc_wire_fail(wire, NOC_ENOTSUP, is_known ? "protocol name" : "protocol version");
        ret_connect->version = byte;
        return;
    }
    ret_connect->version = version;
    ret_connect->is_bridge = (byte & BRIDGE_BIT) != 0;
}

/* Read the connect flags; returns them, checked against each other. */
static unsigned read_flags(struct noc_wire *wire, struct noc_connect *connect)
{
    unsigned flags = noc_wire_u8(wire, NOC_TEXT("connect flags"));
    const char *wrong = NULL;

    if ((flags & FLAG_RESERVED) != 0) {
        wrong = "connect flags"; /* [MQTT-3.1.2-3] */
    } else if ((flags & FLAG_WILL) == 0 && (flags & (FLAG_WILL_QOS | FLAG_WILL_RETAIN)) != 0) {
        wrong = "will flags"; /* [MQTT-3.1.2-11], [MQTT-3.1.2-13] */
    } else if ((flags & FLAG_WILL_QOS) == FLAG_WILL_QOS) {
        wrong = "will QoS"; /* [MQTT-3.1.2-12] */
    } else if (!NOC_IS_V5(connect->version) && (flags & FLAG_PASSWORD) != 0 &&
               (flags & FLAG_USERNAME) == 0) {
        wrong = NOC_FIELD_PASSWORD_FLAG; /* [MQTT-3.1.2-22] of 3.1.1 */
    }
    if (wrong != NULL && wire->err == NOC_OK) {
        wire->at--;
        noc_wire_fail(wire, NOC_EMALFORMED, wrong);
    }
    connect->clean_start = (flags & FLAG_CLEAN_START) != 0;
    connect->has_will = (flags & FLAG_WILL) != 0;
    connect->has_username = (flags & FLAG_USERNAME) != 0;
    connect->has_password = (flags & FLAG_PASSWORD) != 0;
    return flags;
}

static void read_will(
    struct noc_wire *wire, unsigned version, unsigned flags, struct noc_will *ret_will)
{
    const uint8_t *before;

    ret_will->qos = (uint8_t)((flags & FLAG_WILL_QOS) >> 3);
    ret_will->retain = (flags & FLAG_WILL_RETAIN) != 0;
    if (NOC_IS_V5(version)) {
        noc_wire_props(wire, NOC_PROPS_OF_WILL, &ret_will->props);
    }
    before = wire->at;
    ret_will->topic = noc_wire_text(wire, NOC_TEXT("will topic"));
    if (wire->err == NOC_OK && !noc_topic_is_valid(ret_will->topic)) {
        wire->at = before;
        noc_wire_fail(
            wire, NOC_EPROTO, NOC_TEXT("will topic")); /* [MQTT-4.7.0-1], [MQTT-4.7.3-1] */
    }
    ret_will->payload = noc_wire_binary(wire, NOC_TEXT("will payload"));
}

int noc_connect_decode(
    const uint8_t *body, size_t n, struct noc_connect *ret_connect, struct noc_fault *fault)
{
    struct noc_connect connect = {0};
    struct noc_wire wire;
    unsigned flags;

    noc_wire_init(&wire, body, n, fault);
    read_version(&wire, &connect);
    if (wire.err == NOC_ENOTSUP) {
        *ret_connect = connect;
        return wire.err;
    }
    flags = read_flags(&wire, &connect);
    connect.keep_alive_s = noc_wire_u16(&wire, NOC_TEXT("keep alive"));
    if (NOC_IS_V5(connect.version)) {
        noc_wire_props(&wire, NOC_CONNECT, &connect.props);
    }
    connect.client_id = noc_wire_text(&wire, NOC_TEXT("client identifier"));
    if (connect.has_will) {
        read_will(&wire, connect.version, flags, &connect.will);
    }
    if (connect.version == NOC_V31) {
        /* In version 3.1 the packet's length is right, even if the flags promise more. */
        connect.has_username = connect.has_username && noc_wire_left(&wire) > 0;
    }
    if (connect.has_username) {
        connect.username = noc_wire_text(&wire, NOC_TEXT("user name"));
    }
    if (connect.version == NOC_V31) {
        connect.has_password = connect.has_password && noc_wire_left(&wire) > 0;
    }
    if (connect.has_password) {
        connect.password = noc_wire_binary(&wire, NOC_TEXT("password"));
    }
    noc_wire_finish(&wire);
    if (wire.err == NOC_OK) {
        *ret_connect = connect;
    }
    return wire.err;
}

/* Remaining length of a CONNECT; more than NOC_REMAINING_MAX when a field is too long. */
static size_t measure(const struct noc_connect *connect)
{
    const struct noc_will *will = &connect->will;
    bool is_v5 = NOC_IS_V5(connect->version);
    size_t n = 2 + protocol_name(connect->version).n + 4 + 2 + connect->client_id.n;
    bool fits = noc_wire_fits(connect->client_id);

    if (is_v5) {
        n += noc_wire_props_size(connect->props.raw);
        fits = fits && connect->props.raw.n <= NOC_REMAINING_MAX;
    }
    if (connect->has_will) {
        n += 2 + will->topic.n + 2 + will->payload.n;
        n += is_v5 ? noc_wire_props_size(will->props.raw) : 0;
        fits = fits && noc_wire_fits(will->topic) && noc_wire_fits(will->payload) &&
               (!is_v5 || will->props.raw.n <= NOC_REMAINING_MAX);
    }
    if (connect->has_username) {
        n += 2 + connect->username.n;
        fits = fits && noc_wire_fits(connect->username);
    }
    if (connect->has_password) {
        n += 2 + connect->password.n;
        fits = fits && noc_wire_fits(connect->password);
    }
    return fits ? n : SIZE_MAX;
}

static uint8_t flags_of(const struct noc_connect *connect)
{
    unsigned flags = 0;

    flags |= connect->clean_start ? FLAG_CLEAN_START : 0u;
    flags |= connect->has_username ? FLAG_USERNAME : 0u;
    flags |= connect->has_password ? FLAG_PASSWORD : 0u;
    if (connect->has_will) {
        flags |= FLAG_WILL | (unsigned)connect->will.qos << 3;
        flags |= connect->will.retain ? FLAG_WILL_RETAIN : 0u;
    }
    return (uint8_t)flags;
}

size_t noc_connect_encode(const struct noc_connect *connect, uint8_t *at, size_t room)
{
    bool is_v5 = NOC_IS_V5(connect->version);
    size_t remaining = measure(connect);
    uint8_t *start = at;

    at = noc_wire_begin(at, room, NOC_CONNECT << 4, remaining);
    if (at == NULL) {
        return 0;
    }
    at = noc_wire_put(at, protocol_name(connect->version));
    *at++ = (uint8_t)(connect->version | (connect->is_bridge ? BRIDGE_BIT : 0));
    *at++ = flags_of(connect);
    at = noc_put_u16(at, connect->keep_alive_s);
    if (is_v5) {
        at = noc_wire_put_props(at, connect->props.raw);
    }
    at = noc_wire_put(at, connect->client_id);
    if (connect->has_will) {
        if (is_v5) {
            at = noc_wire_put_props(at, connect->will.props.raw);
        }
        at = noc_wire_put(at, connect->will.topic);
        at = noc_wire_put(at, connect->will.payload);
    }
    if (connect->has_username) {
        at = noc_wire_put(at, connect->username);
    }
    if (connect->has_password) {
        at = noc_wire_put(at, connect->password);
    }
    return (size_t)(at - start);
}

/* Is the version 5 CONNACK one of a server that knows version 3 only, and refuses in its own terms? */
static bool is_connack3(unsigned version, const uint8_t *body, size_t n)
{
    return NOC_IS_V5(version) && n == 2 && body[0] == 0 && body[1] == 1;
}

/* What is wrong with flags and reason, NOC_OK if nothing. */
static int check_connack(unsigned version, uint8_t flags, uint8_t reason, struct noc_fault *fault)
{
    bool is_listed =
        NOC_IS_V5(version) ? noc_reason_is_listed(NOC_CONNACK, reason) : reason <= CONNACK3_MAX;

    if (version != NOC_V31 && flags > 1) {
        return noc_fault_at(
            fault, NOC_EMALFORMED, NOC_TEXT("connack flags"), 0); /* [MQTT-3.2.2-1] */
    }
    if (!is_listed) {
        return noc_fault_at(fault, NOC_EPROTO, NOC_TEXT("reason code"), 1); /* [MQTT-3.2.2-8] */
    }
    if (version != NOC_V31 && flags == 1 && reason != 0) {
        return noc_fault_at(fault, NOC_EPROTO, NOC_TEXT("connack flags"), 0); /* [MQTT-3.2.2-6] */
    }
    return NOC_OK;
}

int noc_connack_decode(unsigned version, const uint8_t *body, size_t n,
    struct noc_connack *ret_connack, struct noc_fault *fault)
{
    struct noc_slice all = noc_slice(body, n);
    int err;

    if (n < 2) {
        return noc_fault_at(
            fault, NOC_EMALFORMED, n == 0 ? NOC_TEXT("connack flags") : NOC_TEXT("reason code"), n);
    }
    if (is_connack3(version, body, n)) {
        *ret_connack = (struct noc_connack){.reason = NOC_RC_UNSUPPORTED_VERSION};
        return NOC_OK;
    }
    err = check_connack(version, body[0], body[1], fault);
    if (err == NOC_OK) {
        err = noc_body_tail(
            version, NOC_CONNACK | NOC_PROPS_MUST, &all, 2, &ret_connack->props, fault);
    }
    if (err == NOC_OK) {
        ret_connack->session_present = version != NOC_V31 && body[0] == 1;
        ret_connack->reason = body[1];
    }
    return err;
}

size_t noc_connack_encode(unsigned version, bool session_present, uint8_t reason,
    struct noc_slice props, uint8_t *at, size_t room)
{
    bool is_v5 = NOC_IS_V5(version);
    size_t remaining = 2 + (is_v5 ? noc_wire_props_size(props) : 0);

    at = noc_wire_begin(at, room, NOC_CONNACK << 4, remaining);
    if (at == NULL) {
        return 0;
    }
    *at++ = session_present && version != NOC_V31; /* Version 3.1 has no such flag. */
    *at++ = !is_v5 && reason >= 0x80 ? noc_reason_to_connack3(reason) : reason;
    if (is_v5) {
        noc_wire_put_props(at, props);
    }
    return 1 + noc_varint_size((uint32_t)remaining) + remaining;
}
