/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CORE_RELEASE_H
#define NOC_CORE_RELEASE_H
/*
 * What a session that is kept sends once and no more: the message of a PUBREL, and its will. The
 * end of the packet id (of the will) and all places in the queues of who gets it are stored under
 * one ticket, whole or not at all: a crash in between would have some get the message twice, or
 * not at all. Until then nobody is sent it, and the PUBCOMP waits.
 *
 *   publisher's home    own entries, end, PART     --+
 *   another worker      its entries, PART          --+--> the store, one transaction
 *   ...                                              |
 *   each of them    <-------- call: it is stored ----+
 */

#include "core/record.h"
#include "core/shard.h"

struct noc_part;
struct noc_outgoing;
struct noc_session;

struct noc_release {
    struct noc_ticket ticket;
    struct noc_core *core;
    struct noc_part *part;   /* of the PUBCOMP's receipt, held; at home. NULL: it is a will */
    uint64_t session_number; /* whose message or will; 0: it need not be told */
    bool is_will;
    atomic_uint_fast64_t workers; /* that are to be told */
    unsigned home;
    atomic_uint left; /* workers that have not been told yet; the last one frees */
};

/* By the publisher's home; it has to give a part of its own. NULL: out of memory. */
struct noc_release *noc_release_new(struct noc_shard *shard);
void noc_release_free(struct noc_release *release);

/* Another PART will come, from this worker. Before the mail of this turn is posted. */
void noc_release_add(struct noc_release *release, unsigned worker);

/* A PART that is counted will come from this worker instead. By whoever had to give it. */
void noc_release_pass_on(struct noc_release *release, unsigned worker);

/*
 * An entry is written under the release, as noc_journal_put() says. NOC_ENOMEM: it is not.
 */
NOC_MUST_CHECK int noc_release_put(
    struct noc_release *release, struct noc_session *session, struct noc_outgoing *entry);

/* This worker has nothing more for it. Room for that was reserved (noc_journal_reserve()). */
void noc_release_close(struct noc_shard *shard, struct noc_release *release);

/* Entries under releases of a shard that ends. */
void noc_releases_done(struct noc_shard *shard);

#endif
