/* SPDX-License-Identifier: Apache-2.0 */
/* PUBACK, PUBREC, PUBREL, PUBCOMP: a packet identifier and, in version 5, what became of it. */
#include "base/bytes.h"
#include "mqtt/wire.h"

int noc_ack_decode(unsigned version, unsigned type, const struct noc_slice *body,
    struct noc_ack *ret_ack, struct noc_fault *fault)
{
    const uint8_t *bytes = (const uint8_t *)body->at;
    uint8_t reason = NOC_RC_SUCCESS;
    uint16_t packet_id;
    size_t at = 2;
    int err = noc_body_packet_id(body, &packet_id, fault);

    if (err < 0) {
        return err;
    }
    if (NOC_IS_V5(version) && body->n > 2) {
        reason = bytes[2];
        if (!noc_reason_is_listed(type, reason)) {
            return noc_fault_at(fault, NOC_EPROTO, NOC_TEXT("reason code"), 2); /* [MQTT-3.4.2-1] */
        }
        at = 3;
    }
    err = noc_body_tail(version, type, body, at, &ret_ack->props, fault);
    if (err < 0) {
        return err;
    }
    ret_ack->packet_id = packet_id;
    ret_ack->reason = reason;
    return NOC_OK;
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
