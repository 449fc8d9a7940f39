/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_NET_PORT_HOLDER_H
#define NOC_NET_PORT_HOLDER_H
/*
 * Who holds a TCP port that we could not have: for an error message that says
 * what to stop. Reads /proc; slow; start and tools only.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NOC_PORT_HOLDER_TEXT_SIZE = 288 };

struct noc_port_holder {
    long pid;                             /* 0: not known (another user's process, or no /proc) */
    char text[NOC_PORT_HOLDER_TEXT_SIZE]; /* below */
};

/*
 * The process that listens on a port, on whatever address. Returns true if
 * its pid was found. The text is good in either case:
 *
 *   "mosquitto (pid 123)"
 *   "a process of user mosquitto, perhaps mosquitto (pid 123)"
 *                      of another user, into whose processes we may not look; if they are
 *                      more than a few, none is named
 *   "another process"  nothing is known
 */
bool noc_port_holder_find(uint16_t port, struct noc_port_holder *ret_holder);

#endif
