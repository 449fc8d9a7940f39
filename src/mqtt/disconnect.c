/* SPDX-License-Identifier: Apache-2.0 */
/* DISCONNECT, AUTH and the two pings. */
#include "mqtt/wire.h"

/* May a client say this in its DISCONNECT, or a server (table 3-10)? */
static bool reason_is_listed(bool from_client, uint8_t reason)
{
    switch (reason) {
    case NOC_RC_SUCCESS:
    case NOC_RC_UNSPECIFIED:
    case NOC_RC_MALFORMED_PACKET:
    case NOC_RC_PROTOCOL_ERROR:
    case NOC_RC_IMPLEMENTATION_SPECIFIC:
    case NOC_RC_TOPIC_NAME_INVALID:
    case NOC_RC_RECEIVE_MAXIMUM_EXCEEDED:
    case NOC_RC_TOPIC_ALIAS_INVALID:
    case NOC_RC_PACKET_TOO_LARGE:
    case NOC_RC_MESSAGE_RATE_TOO_HIGH:
    case NOC_RC_QUOTA_EXCEEDED:
    case NOC_RC_ADMINISTRATIVE_ACTION:
    case NOC_RC_PAYLOAD_FORMAT_INVALID:
        return true;
    case NOC_RC_DISCONNECT_WITH_WILL:
        return from_client;
    case NOC_RC_NOT_AUTHORIZED:
    case NOC_RC_SERVER_BUSY:
    case NOC_RC_SERVER_SHUTTING_DOWN:
    case NOC_RC_KEEP_ALIVE_TIMEOUT:
    case NOC_RC_SESSION_TAKEN_OVER:
    case NOC_RC_TOPIC_FILTER_INVALID:
    case NOC_RC_RETAIN_NOT_SUPPORTED:
    case NOC_RC_QOS_NOT_SUPPORTED:
    case NOC_RC_USE_ANOTHER_SERVER:
    case NOC_RC_SERVER_MOVED:
    case NOC_RC_SHARED_SUBSCRIPTIONS_NOT_SUPPORTED:
    case NOC_RC_CONNECTION_RATE_EXCEEDED:
    case NOC_RC_MAXIMUM_CONNECT_TIME:
    case NOC_RC_SUBSCRIPTION_IDS_NOT_SUPPORTED:
    case NOC_RC_WILDCARD_NOT_SUPPORTED:
        return !from_client;
    default:
        return false;
    }
}

int noc_disconnect_decode(unsigned version, bool from_client, const uint8_t *body, size_t n,
    struct noc_disconnect *ret_disconnect, struct noc_fault *fault)
{
    struct noc_disconnect disconnect = {0};
    struct noc_wire wire;

    noc_wire_init(&wire, body, n, fault);
    if (version == NOC_V5 && n > 0) {
        if (!reason_is_listed(from_client, body[0])) {
            noc_wire_fail(&wire, NOC_EPROTO, "reason code"); /* [MQTT-3.14.2-1] */
        }
        disconnect.reason = noc_wire_u8(&wire, "reason code");
        if (noc_wire_left(&wire) > 0) {
            noc_wire_props(&wire, NOC_DISCONNECT, &disconnect.props);
        }
        if (!from_client && noc_props_has(&disconnect.props, NOC_PROP_SESSION_EXPIRY)) {
            noc_wire_fail(&wire, NOC_EPROTO, "session expiry interval"); /* [MQTT-3.14.2-2] */
        }
    }
    noc_wire_finish(&wire);
    if (wire.err == NOC_OK) {
        *ret_disconnect = disconnect;
    }
    return wire.err;
}

size_t noc_disconnect_encode(
    unsigned version, uint8_t reason, struct noc_slice props, uint8_t *at, size_t room)
{
    size_t remaining = 0;

    if (version == NOC_V5 && props.n > 0) {
        remaining = 1 + noc_wire_props_size(props);
    } else if (version == NOC_V5 && reason != NOC_RC_SUCCESS) {
        remaining = 1;
    }
    at = noc_wire_begin(at, room, NOC_DISCONNECT << 4, remaining);
    if (at == NULL) {
        return 0;
    }
    if (remaining > 0) {
        *at++ = reason;
    }
    if (remaining > 1) {
        noc_wire_put_props(at, props);
    }
    return 1 + noc_varint_size((uint32_t)remaining) + remaining;
}

int noc_auth_decode(
    const uint8_t *body, size_t n, struct noc_disconnect *ret_auth, struct noc_fault *fault)
{
    struct noc_disconnect auth = {0};
    struct noc_wire wire;

    noc_wire_init(&wire, body, n, fault);
    if (n > 0) {
        if (body[0] != NOC_RC_SUCCESS && body[0] != NOC_RC_CONTINUE_AUTHENTICATION &&
            body[0] != NOC_RC_REAUTHENTICATE) {
            noc_wire_fail(&wire, NOC_EPROTO, "reason code"); /* [MQTT-3.15.2-1] */
        }
        auth.reason = noc_wire_u8(&wire, "reason code");
        if (noc_wire_left(&wire) > 0) {
            noc_wire_props(&wire, NOC_AUTH, &auth.props);
        }
    }
    if (!noc_props_has(&auth.props, NOC_PROP_AUTH_METHOD)) {
        noc_wire_fail(&wire, NOC_EPROTO, "authentication method"); /* 3.15.2.2.2 */
    }
    noc_wire_finish(&wire);
    if (wire.err == NOC_OK) {
        *ret_auth = auth;
    }
    return wire.err;
}

size_t noc_auth_encode(uint8_t reason, struct noc_slice props, uint8_t *at, size_t room)
{
    size_t remaining = 1 + noc_wire_props_size(props);

    at = noc_wire_begin(at, room, NOC_AUTH << 4, remaining);
    if (at == NULL) {
        return 0;
    }
    *at++ = reason;
    noc_wire_put_props(at, props);
    return 1 + noc_varint_size((uint32_t)remaining) + remaining;
}

size_t noc_ping_encode(unsigned type, uint8_t *at, size_t room)
{
    return noc_wire_begin(at, room, type << 4, 0) == NULL ? 0 : 2;
}
