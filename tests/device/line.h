/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_DEVICE_LINE_H
#define NOC_DEVICE_LINE_H
/* A transport over TCP to a port of this machine, which can be cut after so many bytes. */

#include <stdbool.h>
#include <stdint.h>

#include <noctule/transport.h>

#define LINE_NEVER UINT32_MAX

struct line {
    struct noc_transport transport;
    uint32_t sent_left, received_left; /* bytes that get across before the cut; or LINE_NEVER */
    int file;                          /* -1: not open */
    uint16_t port;
    bool is_cut;
    bool is_gentle; /* a cut is over when the peer has seen it */
};

/* Not open, and never to be cut. */
void line_init(struct line *line, uint16_t port);

/* A clock in milliseconds, that may wrap around. */
uint32_t line_now_ms(void);

#endif
