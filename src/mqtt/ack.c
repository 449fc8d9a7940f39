/* SPDX-License-Identifier: Apache-2.0 */
/* PUBACK, PUBREC, PUBREL, PUBCOMP: a packet identifier and, in version 5, what became of it. */
#include "base/bytes.h"
#include "mqtt/wire.h"

/* Does the type list this reason (tables 3-4 to 3-7)? */
static bool reason_is_listed(unsigned type, uint8_t reason)
{
    if (reason == NOC_RC_SUCCESS) {
        return true;
    }
    if (type == NOC_PUBREL || type == NOC_PUBCOMP) {
        return reason == NOC_RC_PACKET_ID_NOT_FOUND;
    }
    switch (reason) {
    case NOC_RC_NO_MATCHING_SUBSCRIBERS:
    case NOC_RC_UNSPECIFIED:
    case NOC_RC_IMPLEMENTATION_SPECIFIC:
    case NOC_RC_NOT_AUTHORIZED:
    case NOC_RC_TOPIC_NAME_INVALID:
    case NOC_RC_PACKET_ID_IN_USE:
    case NOC_RC_QUOTA_EXCEEDED:
    case NOC_RC_PAYLOAD_FORMAT_INVALID:
        return true;
    default:
        return false;
    }
}

int noc_ack_decode(unsigned version, unsigned type, const struct noc_slice *body,
    struct noc_ack *ret_ack, struct noc_fault *fault)
{
    struct noc_ack ack = {0};
    struct noc_wire wire;

    noc_wire_init(&wire, body->at, body->n, fault);
    ack.packet_id = noc_wire_packet_id(&wire, NOC_EPROTO);
    if (version == NOC_V5 && noc_wire_left(&wire) > 0) {
        ack.reason = noc_wire_u8(&wire, "reason code");
        if (!reason_is_listed(type, ack.reason)) {
            wire.at--;
            noc_wire_fail(&wire, NOC_EPROTO, "reason code"); /* [MQTT-3.4.2-1] */
        }
        if (noc_wire_left(&wire) > 0) {
            noc_wire_props(&wire, type, &ack.props);
        }
    }
    noc_wire_finish(&wire);
    if (wire.err == NOC_OK) {
        *ret_ack = ack;
    }
    return wire.err;
}

size_t noc_ack_encode(
    unsigned version, unsigned type, uint16_t packet_id, uint8_t reason, uint8_t *at, size_t room)
{
    bool with_reason = version == NOC_V5 && reason != NOC_RC_SUCCESS;
    size_t n = with_reason ? 5 : 4;

    if (room < n) {
        return 0;
    }
    at[0] = (uint8_t)(type << 4 | (type == NOC_PUBREL ? 2u : 0u)); /* [MQTT-3.6.1-1] */
    at[1] = (uint8_t)(n - 2);
    noc_put_u16(at + 2, packet_id);
    if (with_reason) {
        at[4] = reason;
    }
    return n;
}
