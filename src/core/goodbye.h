/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CORE_GOODBYE_H
#define NOC_CORE_GOODBYE_H
/* How a connection's end is told: to the client by DISCONNECT, to the log by one line. */

#include "core/link.h"

/* Send a DISCONNECT with this reason, if the client speaks MQTT 5 and is connected. Once. */
void noc_goodbye(struct noc_link *link, uint8_t reason);

/* The same, with the reason that goes with an end; nothing for ends that have none. */
void noc_goodbye_for(struct noc_link *link, enum noc_end end);

/* Mosquitto's own line before the end of somebody who breaks the protocol; fault may be NULL. */
void noc_log_protocol_error(
    const struct noc_link *link, enum noc_end end, const struct noc_fault *fault);

/* The log line of the end, in the form of the compatibility chosen. text may be NULL or "". */
void noc_log_end(struct noc_link *link, enum noc_end end, const char *text);

#endif
