/* SPDX-License-Identifier: Apache-2.0 */
#include <noctule/reason.h>

const char *noc_reason_text(uint8_t reason)
{
    switch (reason) {
#define NOC_REASON_CASE(name, code, text) \
    case name:                            \
        return text;
        NOC_REASON_MAP(NOC_REASON_CASE)
#undef NOC_REASON_CASE
    default:
        return "unknown reason";
    }
}

uint8_t noc_reason_to_connack3(uint8_t reason)
{
    switch (reason) {
    case NOC_RC_SUCCESS:
        return 0;
    case NOC_RC_UNSUPPORTED_VERSION:
        return 1;
    case NOC_RC_CLIENT_ID_NOT_VALID:
        return 2;
    case NOC_RC_BAD_CREDENTIALS:
    case NOC_RC_NOT_AUTHORIZED:
    case NOC_RC_PACKET_TOO_LARGE:
        return 5;
    default:
        return 3;
    }
}
