/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOCTULE_PROPERTY_H
#define NOCTULE_PROPERTY_H
/*
 * The properties of MQTT 5 (2.2.2): what a packet came with, and the wire form
 * of what goes out with one. A property block is written by chaining the
 * noc_prop_put functions over memory of the caller's:
 *
 *     uint8_t block[64], *end = block;
 *
 *     end = noc_prop_put_u32(end, NOC_PROP_MESSAGE_EXPIRY, 60);
 *     end = noc_prop_put_user(end, noc_slice_of("unit"), noc_slice_of("C"));
 *     options.props = noc_slice(block, (size_t)(end - block));
 *
 * Pure functions: any thread, no allocation.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <noctule/config.h>
#include <noctule/slice.h>

#ifdef __cplusplus
extern "C" {
#endif

enum noc_property {
    NOC_PROP_PAYLOAD_FORMAT = 0x01,
    NOC_PROP_MESSAGE_EXPIRY = 0x02,
    NOC_PROP_CONTENT_TYPE = 0x03,
    NOC_PROP_RESPONSE_TOPIC = 0x08,
    NOC_PROP_CORRELATION_DATA = 0x09,
    NOC_PROP_SUBSCRIPTION_ID = 0x0b,
    NOC_PROP_SESSION_EXPIRY = 0x11,
    NOC_PROP_ASSIGNED_CLIENT_ID = 0x12,
    NOC_PROP_SERVER_KEEP_ALIVE = 0x13,
    NOC_PROP_AUTH_METHOD = 0x15,
    NOC_PROP_AUTH_DATA = 0x16,
    NOC_PROP_REQUEST_PROBLEM_INFO = 0x17,
    NOC_PROP_WILL_DELAY = 0x18,
    NOC_PROP_REQUEST_RESPONSE_INFO = 0x19,
    NOC_PROP_RESPONSE_INFO = 0x1a,
    NOC_PROP_SERVER_REFERENCE = 0x1c,
    NOC_PROP_REASON_STRING = 0x1f,
    NOC_PROP_RECEIVE_MAXIMUM = 0x21,
    NOC_PROP_TOPIC_ALIAS_MAXIMUM = 0x22,
    NOC_PROP_TOPIC_ALIAS = 0x23,
    NOC_PROP_MAXIMUM_QOS = 0x24,
    NOC_PROP_RETAIN_AVAILABLE = 0x25,
    NOC_PROP_USER = 0x26,
    NOC_PROP_MAXIMUM_PACKET_SIZE = 0x27,
    NOC_PROP_WILDCARD_AVAILABLE = 0x28,
    NOC_PROP_SUBSCRIPTION_IDS_AVAILABLE = 0x29,
    NOC_PROP_SHARED_AVAILABLE = 0x2a,
};

/*
 * A property block, decoded. has is a bit mask by identifier (1 << id); a
 * field without its bit is zero. User properties and (in PUBLISH to a client)
 * subscription identifiers repeat: walk raw with noc_props_next().
 */
struct noc_props {
    uint64_t has;
    struct noc_slice raw; /* the block without its length, in wire form and order */
    uint32_t message_expiry_s, session_expiry_s, will_delay_s;
    uint32_t maximum_packet_size, subscription_id; /* the first one, when several */
    uint16_t server_keep_alive_s, receive_maximum, topic_alias_maximum, topic_alias;
    uint8_t payload_format, request_problem_info, request_response_info, maximum_qos;
    uint8_t retain_available, wildcard_available, subscription_ids_available, shared_available;
    struct noc_slice content_type, response_topic, correlation_data;
    struct noc_slice assigned_client_id, auth_method, auth_data;
    struct noc_slice response_info, server_reference, reason_string;
};

static inline bool noc_props_has(const struct noc_props *props, enum noc_property id)
{
    return (props->has >> (unsigned)id & 1) != 0;
}

/* One property of a block. */
struct noc_prop {
    uint8_t id;             /* enum noc_property */
    uint32_t number;        /* of integer kinds */
    struct noc_slice value; /* text or binary; of NOC_PROP_USER the value */
    struct noc_slice name;  /* of NOC_PROP_USER */
    struct noc_slice wire;  /* all its bytes, identifier included */
};

/*
 * The next property of a block that noc_props_decode() accepted: *rest starts
 * as props.raw and is cut down. False at the end.
 */
NOC_PUBLIC bool noc_props_next(struct noc_slice *rest, struct noc_prop *ret_prop);

/* Write one property; each returns the byte after. Room is the caller's business. */
NOC_PUBLIC uint8_t *noc_prop_put_u8(uint8_t *at, enum noc_property id, uint8_t value);
NOC_PUBLIC uint8_t *noc_prop_put_u16(uint8_t *at, enum noc_property id, uint16_t value);
NOC_PUBLIC uint8_t *noc_prop_put_u32(uint8_t *at, enum noc_property id, uint32_t value);
NOC_PUBLIC uint8_t *noc_prop_put_varint(uint8_t *at, enum noc_property id, uint32_t value);
NOC_PUBLIC uint8_t *noc_prop_put_slice(uint8_t *at, enum noc_property id, struct noc_slice value);
NOC_PUBLIC uint8_t *noc_prop_put_user(uint8_t *at, struct noc_slice name, struct noc_slice value);

#ifdef __cplusplus
}
#endif

#endif
