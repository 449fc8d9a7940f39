/* SPDX-License-Identifier: Apache-2.0 */
/* DISCONNECT, AUTH and the two pings. */
#include "mqtt/wire.h"

int noc_disconnect_decode(unsigned version, bool from_client, const uint8_t *body, size_t n,
    struct noc_disconnect *ret_disconnect, struct noc_fault *fault)
{
    struct noc_disconnect disconnect = {0};
    struct noc_wire wire;

    noc_wire_init(&wire, body, n, fault);
    if (NOC_IS_V5(version) && n > 0) {
        if (!noc_reason_is_listed(from_client ? NOC_LIST_OF_CLIENT : NOC_DISCONNECT, body[0])) {
            noc_wire_fail(&wire, NOC_EPROTO, NOC_TEXT("reason code")); /* [MQTT-3.14.2-1] */
        }
        disconnect.reason = noc_wire_u8(&wire, NOC_TEXT("reason code"));
        if (noc_wire_left(&wire) > 0) {
            noc_wire_props(&wire, NOC_DISCONNECT, &disconnect.props);
        }
        if (!from_client && noc_props_has(&disconnect.props, NOC_PROP_SESSION_EXPIRY)) {
            noc_wire_fail(
                &wire, NOC_EPROTO, NOC_TEXT("session expiry interval")); /* [MQTT-3.14.2-2] */
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

    if (NOC_IS_V5(version) && props.n > 0) {
        remaining = 1 + noc_wire_props_size(props);
    } else if (NOC_IS_V5(version) && reason != NOC_RC_SUCCESS) {
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
        if (!noc_reason_is_listed(NOC_AUTH, body[0])) {
            noc_wire_fail(&wire, NOC_EPROTO, NOC_TEXT("reason code")); /* [MQTT-3.15.2-1] */
        }
        auth.reason = noc_wire_u8(&wire, NOC_TEXT("reason code"));
        if (noc_wire_left(&wire) > 0) {
            noc_wire_props(&wire, NOC_AUTH, &auth.props);
        }
    }
    if (!noc_props_has(&auth.props, NOC_PROP_AUTH_METHOD)) {
        noc_wire_fail(&wire, NOC_EPROTO, NOC_TEXT("authentication method")); /* 3.15.2.2.2 */
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
