/* SPDX-License-Identifier: Apache-2.0 */
/* DISCONNECT, AUTH and the two pings. */
#include "mqtt/wire.h"

/* A reason and properties, either of which may be absent. list: who may give that reason. */
static int decode(unsigned version, unsigned type, unsigned list, struct noc_slice body,
    struct noc_disconnect *ret, struct noc_fault *fault)
{
    uint8_t reason = NOC_RC_SUCCESS;
    size_t at = 0;
    int err;

    if (NOC_IS_V5(version) && body.n > 0) {
        reason = (uint8_t)body.at[0];
        if (!noc_reason_is_listed(list, reason)) {
            return noc_fault_at(fault, NOC_EPROTO, NOC_TEXT("reason code"), 0);
        }
        at = 1;
    }
    err = noc_body_tail(version, type, &body, at, &ret->props, fault);
    if (err == NOC_OK) {
        ret->reason = reason;
    }
    return err;
}

int noc_disconnect_decode(unsigned version, bool from_client, const uint8_t *body, size_t n,
    struct noc_disconnect *ret_disconnect, struct noc_fault *fault)
{
    int err = decode(version, NOC_DISCONNECT, from_client ? NOC_LIST_OF_CLIENT : NOC_DISCONNECT,
        noc_slice(body, n), ret_disconnect, fault); /* [MQTT-3.14.2-1] */

    if (err < 0) {
        return err;
    }
    if (!from_client && noc_props_has(&ret_disconnect->props, NOC_PROP_SESSION_EXPIRY)) {
        return noc_fault_at(
            fault, NOC_EPROTO, NOC_TEXT("session expiry interval"), n); /* [MQTT-3.14.2-2] */
    }
    return NOC_OK;
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
    int err = decode(
        NOC_V5, NOC_AUTH, NOC_AUTH, noc_slice(body, n), ret_auth, fault); /* [MQTT-3.15.2-1] */

    if (err < 0) {
        return err;
    }
    if (!noc_props_has(&ret_auth->props, NOC_PROP_AUTH_METHOD)) {
        return noc_fault_at(
            fault, NOC_EPROTO, NOC_TEXT("authentication method"), n); /* 3.15.2.2.2 */
    }
    return NOC_OK;
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
