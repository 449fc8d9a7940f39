/* SPDX-License-Identifier: Apache-2.0 */
/* Variable byte integers and the fixed header: what every packet begins with. */
#include "mqtt/packet.h"

int noc_varint_decode(const uint8_t *bytes, size_t n, uint32_t *ret_value)
{
    uint32_t value = 0;

    for (unsigned i = 0; i < 4; i++) {
        if (i == n) {
            return 0;
        }
        value |= (uint32_t)(bytes[i] & 0x7f) << (7 * i);
        if (bytes[i] < 0x80) {
            *ret_value = value;
            return (int)i + 1;
        }
    }
    return NOC_EMALFORMED;
}

/* May a packet of this type carry these flags [MQTT-2.1.3-1], [MQTT-2.2.2-2] (3.1.1)? */
static bool flags_are_valid(unsigned version, unsigned type, unsigned flags)
{
    switch (type) {
    case 0:
        return false;
    case NOC_PUBLISH:
        return (flags & 6) != 6; /* [MQTT-3.3.1-4] */
    case NOC_PUBREL:             /* [MQTT-3.6.1-1] */
    case NOC_SUBSCRIBE:          /* [MQTT-3.8.1-1] */
    case NOC_UNSUBSCRIBE:        /* [MQTT-3.10.1-1] */
        return flags == 2 || (flags == 10 && version < NOC_V311);
    case NOC_AUTH:
        return flags == 0 && version != NOC_V31 && version != NOC_V311;
    default:
        return flags == 0; /* [MQTT-3.14.1-1], [MQTT-3.15.1-1] and the others */
    }
}

int noc_header_decode(
    unsigned version, const uint8_t *bytes, size_t n, struct noc_header *ret_header)
{
    unsigned type, flags;
    uint32_t remaining;
    int used;

    if (n == 0) {
        return 0;
    }
    type = bytes[0] >> 4;
    flags = bytes[0] & 0x0f;
    if (!flags_are_valid(version, type, flags)) {
        return NOC_EMALFORMED;
    }
    used = noc_varint_decode(bytes + 1, n - 1, &remaining);
    if (used <= 0) {
        return used;
    }
    if (remaining != 0 && (type == NOC_PINGREQ || type == NOC_PINGRESP)) {
        return NOC_EMALFORMED;
    }
    *ret_header = (struct noc_header){
        .type = (uint8_t)type,
        .flags = (uint8_t)flags,
        .size = (uint8_t)(used + 1),
        .remaining = remaining,
    };
    return used + 1;
}
