/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_DEVICE_IN_H
#define NOC_DEVICE_IN_H

#include <stdint.h>

#define IPPROTO_TCP 6

struct in_addr {
    uint32_t s_addr; /* the first byte of the address first */
};

struct sockaddr_in {
    uint16_t sin_family;
    uint16_t sin_port; /* the high byte first */
    struct in_addr sin_addr;
    uint8_t sin_zero[8];
};

#endif
