/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_MQTT_PACKET_H
#define NOC_MQTT_PACKET_H
/*
 * The packets of MQTT 3.1, 3.1.1 and 5.0: decoding and encoding, both sides.
 *
 *   bytes --noc_header_decode--> fixed header --noc_X_decode(body)--> view
 *
 * A view holds scalars and slices that point INTO the body: nothing is copied
 * or allocated, and the view lives as long as those bytes. Decoders take the
 * whole body of one packet (the "remaining length" bytes) and check all that
 * the standard lets a receiver check without knowing the session: lengths,
 * UTF-8, reserved bits, property kinds, duplicates, ranges, packet id not 0.
 *
 * Every decoder returns NOC_OK, NOC_EMALFORMED (reason 0x81) or NOC_EPROTO
 * (0x82), or another code where said; on failure *fault tells which field was
 * wrong and where, for the log. Views are written only on success, unless said;
 * their props (of DISCONNECT and AUTH all) are of no use after a failure.
 *
 * Encoders write one whole packet to at[0..room) and return its length, or
 * 0 when it does not fit (nothing useful was written then). Pure functions
 * all: any thread, no allocation.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"
#include <noctule/error.h>
#include <noctule/property.h>
#include <noctule/reason.h>
#include <noctule/slice.h>

enum noc_packet_type {
    NOC_CONNECT = 1,
    NOC_CONNACK = 2,
    NOC_PUBLISH = 3,
    NOC_PUBACK = 4,
    NOC_PUBREC = 5,
    NOC_PUBREL = 6,
    NOC_PUBCOMP = 7,
    NOC_SUBSCRIBE = 8,
    NOC_SUBACK = 9,
    NOC_UNSUBSCRIBE = 10,
    NOC_UNSUBACK = 11,
    NOC_PINGREQ = 12,
    NOC_PINGRESP = 13,
    NOC_DISCONNECT = 14,
    NOC_AUTH = 15,
};

/* The protocol version byte of CONNECT, without the bridge bit. */
enum noc_version { NOC_V31 = 3, NOC_V311 = 4, NOC_V5 = 5 };

#define NOC_REMAINING_MAX 268435455u /* largest remaining length, 2.1.4 */

/* The field of a fault that the log has words of its own for. */
#define NOC_FIELD_PASSWORD_FLAG "password flag"

/* What was wrong in a packet. */
struct noc_fault {
    const char *field; /* static text: "topic", "property 0x11", "packet identifier", ... */
    size_t offset;     /* byte of the body at which it was seen */
};

/* ---- variable byte integers (1.5.5) ---- */

/*
 * Decode the one at the start of bytes[0..n). Returns the bytes consumed (1 to
 * 4), 0 when it is not all here yet, or NOC_EMALFORMED when no further byte
 * could make it valid. An overlong form is accepted here and so in the fixed
 * header, as by Mosquitto; within property blocks it is malformed
 * [MQTT-1.5.5-1]. *ret_value is written only on success.
 */
NOC_MUST_CHECK int noc_varint_decode(const uint8_t *bytes, size_t n, uint32_t *ret_value);

/* Bytes it takes to write value (1 to 4). */
static inline unsigned noc_varint_size(uint32_t value)
{
    if (NOC_IS_SMALL) {
        unsigned size = 1;

        while ((value >>= 7) > 0) {
            size++;
        }
        return size;
    }
    return value < 128 ? 1 : value < 16384 ? 2 : value < 2097152 ? 3 : 4;
}

/* Write value; returns the byte after. Room for noc_varint_size() is the caller's business. */
static inline uint8_t *noc_varint_put(uint8_t *at, uint32_t value)
{
    while (value >= 128) {
        *at++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *at++ = (uint8_t)value;
    return at;
}

/* ---- fixed header (2.1) ---- */

struct noc_header {
    uint8_t type;       /* enum noc_packet_type */
    uint8_t flags;      /* low four bits of the first byte */
    uint8_t size;       /* bytes of the fixed header itself, 2 to 5 */
    uint32_t remaining; /* bytes of the body */
};

/*
 * Returns the bytes consumed (2 to 5), 0 when it is not all here, or
 * NOC_EMALFORMED: type 0 (and AUTH in version 3), flags that the type does not
 * allow [MQTT-2.2.2-2] (PUBLISH: QoS 3 [MQTT-3.3.1-4]; PUBREL, SUBSCRIBE,
 * UNSUBSCRIBE: 2; others 0), a length of five bytes, a ping with a body. In version 3.1 (and before the version is known)
 * the dup bit of PUBREL, SUBSCRIBE and UNSUBSCRIBE may be set: pass version 0
 * before CONNECT. Wrong flags are seen as soon as the first byte is there.
 */
NOC_MUST_CHECK int noc_header_decode(
    unsigned version, const uint8_t *bytes, size_t n, struct noc_header *ret_header);

/* ---- properties (2.2.2) ---- */

/* Which packet a property block stands in; types of packets, and the will inside CONNECT. */
enum { NOC_PROPS_OF_WILL = 16 };

/*
 * Decode the block at the start of bytes[0..n), its length in front. Returns
 * the bytes consumed (at least 1) or an error: a property that packet_of (a
 * packet type or NOC_PROPS_OF_WILL) does not allow, one that stands twice
 * (NOC_EPROTO), a value out of range (NOC_EPROTO). fault->offset counts from bytes.
 */
NOC_MUST_CHECK int noc_props_decode(unsigned packet_of, const uint8_t *bytes, size_t n,
    struct noc_props *ret_props, struct noc_fault *fault);

/* ---- CONNECT (3.1) ---- */

struct noc_will {
    struct noc_slice topic, payload;
    uint8_t qos;
    bool retain;
    struct noc_props props; /* version 5 */
};

struct noc_connect {
    uint8_t version; /* enum noc_version */
    bool is_bridge;  /* version byte had its high bit set (Mosquitto's try_private) */
    bool clean_start;
    bool has_will, has_username, has_password;
    uint16_t keep_alive_s;
    struct noc_slice client_id, username, password; /* password is binary */
    struct noc_will will;
    struct noc_props props; /* version 5 */
};

/*
 * Also returns NOC_ENOTSUP for a protocol name or version that nobody knows
 * (ret_connect->version then holds the byte, 5 is answered with 0x84 in a v5
 * CONNACK, others with return code 1). "MQIsdp" 3, "MQTT" 4 and 5, with or
 * without the bridge bit, are known. A password without a user name is
 * malformed before version 5 [MQTT-3.1.2-22]. The will topic is checked for
 * wildcards. Bytes behind the last field are malformed.
 */
NOC_MUST_CHECK int noc_connect_decode(
    const uint8_t *body, size_t n, struct noc_connect *ret_connect, struct noc_fault *fault);

/* Of the properties of connect and will only raw is written. */
size_t noc_connect_encode(const struct noc_connect *connect, uint8_t *at, size_t room);

/* ---- CONNACK (3.2) ---- */

struct noc_connack {
    bool session_present;
    uint8_t reason;         /* v3: the return code itself */
    struct noc_props props; /* decode: v5 */
};

/*
 * The answer of a server without version 5 to a version 5 CONNECT (two bytes,
 * return code 1) is understood as NOC_RC_UNSUPPORTED_VERSION.
 */
NOC_MUST_CHECK int noc_connack_decode(unsigned version, const uint8_t *body, size_t n,
    struct noc_connack *ret_connack, struct noc_fault *fault);

/*
 * props: the block without its length, in wire form; ignored before version 5,
 * where a reason from 0x80 on is written as its return code.
 */
size_t noc_connack_encode(unsigned version, bool session_present, uint8_t reason,
    struct noc_slice props, uint8_t *at, size_t room);

/* ---- PUBLISH (3.3) ---- */

struct noc_publish {
    uint8_t qos;
    bool dup, retain;
    uint16_t packet_id; /* 0 for QoS 0 */
    struct noc_slice topic, payload;
    struct noc_props props; /* version 5 */
};

/*
 * from_client: subscription identifiers are refused [MQTT-3.3.4-6]. The topic
 * is checked for UTF-8 (NOC_EMALFORMED), wildcards and NOC_TOPIC_LEVELS_MAX
 * (NOC_EPROTO, as Mosquitto answers them); it may be empty only
 * in version 5 with a topic alias (NOC_EPROTO otherwise). Alias 0 is NOC_EPROTO
 * with field "topic alias". The dup flag needs a QoS [MQTT-3.3.1-2]. Payload is not checked against its format indicator here.
 */
NOC_MUST_CHECK int noc_publish_decode(unsigned version, unsigned flags, bool from_client,
    const struct noc_slice *body, struct noc_publish *ret_publish, struct noc_fault *fault);

/* A PUBLISH to be written. props holds what is passed on as it came. */
struct noc_publish_out {
    struct noc_slice topic; /* empty when alias stands for it */
    struct noc_slice props; /* v5: wire form without length, alias, expiry, subscription ids */
    size_t payload_n;       /* the payload itself is appended by the caller */
    uint8_t qos;
    bool dup, retain;
    uint16_t packet_id;
    uint16_t alias; /* 0: none */
    bool has_expiry;
    uint32_t expiry_s;
    const uint32_t *subscription_ids;
    unsigned subscription_id_count;
};

/* Most bytes that all but topic, props and subscription identifiers (5 each) take. */
#define NOC_PUBLISH_HEAD_MAX 32

/* Size of the whole packet, payload included; 0 when it would pass NOC_REMAINING_MAX. */
size_t noc_publish_size(unsigned version, const struct noc_publish_out *out);

/*
 * Write all that stands before the payload. Returns its length, 0 when it does
 * not fit. Order of properties: alias, expiry, subscription ids, props.
 */
size_t noc_publish_encode_head(
    unsigned version, const struct noc_publish_out *out, uint8_t *at, size_t room);

/*
 * Copy a block of PUBLISH (or will) properties without message expiry, topic
 * alias, subscription ids and will delay: what goes on to subscribers [MQTT-3.3.2-4 to -20].
 * at needs room for raw.n bytes. Returns the bytes written.
 */
size_t noc_props_forward(struct noc_slice raw, uint8_t *at);

/* ---- PUBACK, PUBREC, PUBREL, PUBCOMP (3.4 to 3.7) ---- */

struct noc_ack {
    uint16_t packet_id;
    uint8_t reason; /* 0 before version 5, and when absent */
    struct noc_props props;
};

/* type: one of the four. A reason that the type does not list is NOC_EPROTO. */
NOC_MUST_CHECK int noc_ack_decode(unsigned version, unsigned type, const struct noc_slice *body,
    struct noc_ack *ret_ack, struct noc_fault *fault);

/* With reason 0 or before version 5: four bytes; else five, without properties. room >= 6. */
size_t noc_ack_encode(
    unsigned version, unsigned type, uint16_t packet_id, uint8_t reason, uint8_t *at, size_t room);

/* ---- SUBSCRIBE, UNSUBSCRIBE (3.8, 3.10) ---- */

/* Bits of the subscription options byte, 3.8.3.1. */
enum {
    NOC_SUB_QOS = 0x03,
    NOC_SUB_NO_LOCAL = 0x04,
    NOC_SUB_RETAIN_AS_PUBLISHED = 0x08,
    NOC_SUB_RETAIN_HANDLING = 0x30, /* 0x00 always, 0x10 when new, 0x20 never */
};

struct noc_subscribe {
    uint16_t packet_id;
    unsigned count;          /* filters, at least 1 [MQTT-3.8.3-2] */
    struct noc_props props;  /* version 5 */
    struct noc_slice topics; /* the rest of the body, for noc_subscribe_next() */
};

/*
 * Both check all entries: lengths, UTF-8, option bytes (reserved bits
 * [MQTT-3.8.3-5], QoS 3, retain handling 3, no local on a shared filter is
 * NOC_EPROTO [MQTT-3.8.3-4]). Whether a filter is valid is left to the caller,
 * who can answer it alone.
 */
NOC_MUST_CHECK int noc_subscribe_decode(unsigned version, const uint8_t *body, size_t n,
    struct noc_subscribe *ret_subscribe, struct noc_fault *fault);
NOC_MUST_CHECK int noc_unsubscribe_decode(unsigned version, const uint8_t *body, size_t n,
    struct noc_subscribe *ret_unsubscribe, struct noc_fault *fault);

/* The next entry: *rest starts as topics. False at the end. */
bool noc_subscribe_next(struct noc_slice *rest, struct noc_slice *ret_filter, uint8_t *ret_options);
bool noc_unsubscribe_next(struct noc_slice *rest, struct noc_slice *ret_filter);

/* entry of a SUBSCRIBE to be written. */
struct noc_subscription {
    struct noc_slice filter;
    uint8_t options;
};
size_t noc_subscribe_encode(unsigned version, uint16_t packet_id, struct noc_slice props,
    const struct noc_slice *entries_wire, uint8_t *at, size_t room);
/* One entry in wire form: filter with its length, then options (SUBSCRIBE) or nothing. */
uint8_t *noc_subscribe_put_entry(uint8_t *at, const struct noc_subscription *entry);
uint8_t *noc_unsubscribe_put_entry(uint8_t *at, struct noc_slice filter);
size_t noc_unsubscribe_encode(unsigned version, uint16_t packet_id, struct noc_slice props,
    const struct noc_slice *entries_wire, uint8_t *at, size_t room);

/* ---- SUBACK, UNSUBACK (3.9, 3.11) ---- */

struct noc_suback {
    uint16_t packet_id;
    struct noc_slice reasons; /* a byte per filter; empty in an UNSUBACK before version 5 */
    struct noc_props props;
};

/* type: NOC_SUBACK or NOC_UNSUBACK. */
NOC_MUST_CHECK int noc_suback_decode(unsigned version, unsigned type, const struct noc_slice *body,
    struct noc_suback *ret_suback, struct noc_fault *fault);

/* reasons in version 5 terms; before version 5 a failure is written as 0x80, UNSUBACK has none. */
size_t noc_suback_encode(unsigned version, unsigned type, uint16_t packet_id,
    struct noc_slice reasons, uint8_t *at, size_t room);

/* ---- DISCONNECT, AUTH (3.14, 3.15), PINGREQ, PINGRESP ---- */

struct noc_disconnect {
    uint8_t reason; /* 0 when absent */
    struct noc_props props;
};

NOC_MUST_CHECK int noc_disconnect_decode(unsigned version, bool from_client, const uint8_t *body,
    size_t n, struct noc_disconnect *ret_disconnect, struct noc_fault *fault);
NOC_MUST_CHECK int noc_auth_decode(
    const uint8_t *body, size_t n, struct noc_disconnect *ret_auth, struct noc_fault *fault);

/*
 * DISCONNECT: two bytes before version 5 and when there is nothing to say
 * (reason 0, no props); else the reason, and props when not empty.
 */
size_t noc_disconnect_encode(
    unsigned version, uint8_t reason, struct noc_slice props, uint8_t *at, size_t room);
size_t noc_auth_encode(uint8_t reason, struct noc_slice props, uint8_t *at, size_t room);

/* PINGREQ and PINGRESP have no body; a body is NOC_EMALFORMED. */
size_t noc_ping_encode(unsigned type, uint8_t *at, size_t room);

#endif
