/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CORE_DIRECTORY_H
#define NOC_CORE_DIRECTORY_H
/*
 * Which worker is home to a client id? Shared by all workers, in shards with a
 * lock each; touched at CONNECT and at a session's end only.
 *
 *   enter      look up or create the entry, in one step; one more hand-over on its way
 *   arrived    that hand-over has reached the home
 *   leave      the home's session has ended: the entry goes, unless hand-overs
 *              are on their way to it
 *
 * So two CONNECTs of one id that happen at once meet at one home, in mailbox order.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/macros.h"
#include <noctule/slice.h>

struct noc_directory;

/* One client id; lives from enter to the leave (or arrived) that finds it unused. */
struct noc_home {
    struct noc_home *next; /* in its bucket */
    uint64_t hash;
    uint32_t on_their_way; /* hand-overs; under the shard's lock */
    bool has_session;      /* the home holds a session of it; under the shard's lock */
    uint16_t id_n;
    uint32_t worker; /* constant */
    char id[];
};

struct noc_directory *noc_directory_new(uint64_t seed);
void noc_directory_free(struct noc_directory *directory);

/* The id's home: the entry's, or new_worker when it is new. NULL: out of memory. */
struct noc_home *noc_directory_enter_mt(
    struct noc_directory *directory, struct noc_slice client_id, unsigned new_worker);

/*
 * A hand-over reached the home, which holds a session of it now or not. When
 * it does not and nothing else is on its way, the entry is gone: false.
 */
bool noc_directory_arrived_mt(
    struct noc_directory *directory, struct noc_home *home, bool has_session);

/* A hand-over will not take place. False: the entry is gone. */
bool noc_directory_cancel_mt(struct noc_directory *directory, struct noc_home *home);

/* The home's session has ended. False: the entry is gone. */
bool noc_directory_leave_mt(struct noc_directory *directory, struct noc_home *home);

static inline struct noc_slice noc_home_id(const struct noc_home *home)
{
    return noc_slice(home->id, home->id_n);
}

#endif
