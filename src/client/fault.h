/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CLIENT_FAULT_H
#define NOC_CLIENT_FAULT_H
/* How the transports write down why they failed. */

#include "base/macros.h"
#include <noctule/fault.h>

/*
 * Fill in *fault; the text is cut to its room, and what could disturb a terminal becomes '?'.
 * Returns err, so that one can return it in turn. Any thread.
 */
int noc_fault_set(struct noc_transport_fault *fault, enum noc_fault_kind kind, int code, int err,
    const char *format, ...) NOC_PRINTF(5, 6);

#endif
