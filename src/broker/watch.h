/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_BROKER_WATCH_H
#define NOC_BROKER_WATCH_H
/*
 * Watching the credential files, so that a new user needs neither a restart
 * nor a signal. By looking at them now and then: a Secret of Kubernetes
 * changes by the swap of a link that notification mechanisms miss. One thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "config/config.h"

struct noc_watched;

/* All password, ACL and certificate files that a configuration names. NULL: out of memory. */
struct noc_watched *noc_watched_new(const struct noc_config *config);
void noc_watched_free(struct noc_watched *watched); /* NULL is fine */

/*
 * Has any of them changed since the last look? One that is missing for the
 * moment has not: it is looked at again when it is back.
 */
bool noc_watched_look(struct noc_watched *watched);

#endif
