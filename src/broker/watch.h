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

/*
 * All password, ACL and certificate files (and folders) that a configuration names, marked
 * as they are now. Before they are read, or a change while the broker starts
 * would never be seen. NULL: out of memory.
 */
struct noc_watched *noc_watched_new(const struct noc_config *config);
void noc_watched_free(struct noc_watched *watched); /* NULL is fine */

/*
 * They are about to be read, as they are now. One that is missing has changed when it is
 * back: the reading failed for want of it.
 */
void noc_watched_mark(struct noc_watched *watched);

/*
 * Has any of them changed since it was marked, and stayed so since the last
 * look? A file that is being written is empty or half there for a moment, and
 * an empty ACL file denies all. One that is missing for the moment has not
 * changed: it is looked at when it is back. True until they are marked again.
 */
bool noc_watched_look(struct noc_watched *watched);

#endif
