/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CORE_ALIAS_H
#define NOC_CORE_ALIAS_H
/*
 * Topic aliases of one MQTT 5 connection, both ways (3.3.2.3.4). Incoming:
 * a table from alias to topic. Outgoing: aliases are given out 1, 2, ... on
 * the first use of a topic, while the client's maximum and ours allow.
 */

#include "core/link.h"

/*
 * Resolve the alias of an incoming PUBLISH: with a topic it is remembered, without it is
 * looked up and *topic is replaced (borrowed until the alias is set anew).
 * NOC_EPROTO: out of range or unknown; NOC_ENOMEM, while memory is short for a long topic, too.
 */
NOC_MUST_CHECK int noc_alias_in(struct noc_link *link, uint16_t alias, struct noc_slice *topic);

/*
 * The alias of a topic that is sent: 0 when it gets none, as while memory is short.
 * *ret_is_known: the client has it already, and the topic may be left out.
 */
uint16_t noc_alias_out(struct noc_link *link, struct noc_slice topic, bool *ret_is_known);

/* Take back the newest one: the packet that would have told of it was not sent. */
void noc_alias_out_undo(struct noc_link *link);

void noc_alias_done(struct noc_link *link);

#endif
