/* SPDX-License-Identifier: Apache-2.0 */
/* PUBACK, PUBREC, PUBREL, PUBCOMP: a packet identifier and, in version 5, what became of it. */
#include "base/bytes.h"
#include "mqtt/wire.h"

int noc_ack_decode(unsigned version, unsigned type, const struct noc_slice *body,
    struct noc_ack *ret_ack, struct noc_fault *fault)
{
    struct noc_ack ack = {0};
    struct noc_wire wire;

    noc_wire_init(&wire, body->at, body->n, fault);
    ack.packet_id = noc_wire_packet_id(&wire, NOC_EPROTO);
    if (NOC_IS_V5(version) && noc_wire_left(&wire) > 0) {
        ack.reason = noc_wire_u8(&wire, NOC_TEXT("reason code"));
        if (!noc_reason_is_listed(type, ack.reason)) {
            wire.at--;
            noc_wire_fail(&wire, NOC_EPROTO, NOC_TEXT("reason code")); /* [MQTT-3.4.2-1] */
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
    bool with_reason = NOC_IS_V5(version) && reason != NOC_RC_SUCCESS;
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
