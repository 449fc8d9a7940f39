/* SPDX-License-Identifier: Apache-2.0 */
#include "core/directory.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/lock.h"

#define SHARDS 64u

struct shard {
    _Alignas(NOC_CACHE_LINE) struct noc_lock lock; /* guards all below */
    struct noc_home **buckets;
    size_t mask; /* buckets minus one */
    size_t count;
};

struct noc_directory {
    uint64_t seed;
    struct shard shards[SHARDS];
};

static struct shard *shard_of(struct noc_directory *directory, uint64_t hash)
{
    return &directory->shards[hash >> 58];
}

struct noc_directory *noc_directory_new(uint64_t seed)
{
    struct noc_directory *directory = aligned_alloc(NOC_CACHE_LINE, sizeof *directory);

    if (directory == NULL) {
        return NULL;
    }
    directory->seed = seed;
    for (unsigned i = 0; i < SHARDS; i++) {
        struct shard *shard = &directory->shards[i];

        noc_lock_init(&shard->lock);
        shard->count = 0;
        shard->mask = 15;
        shard->buckets = calloc(shard->mask + 1, sizeof *shard->buckets);
        if (shard->buckets == NULL) {
            while (i-- > 0) {
                free(directory->shards[i].buckets);
            }
            free(directory);
            return NULL;
        }
    }
    return directory;
}

void noc_directory_free(struct noc_directory *directory)
{
    if (directory == NULL) {
        return;
    }
    for (unsigned i = 0; i < SHARDS; i++) {
        struct shard *shard = &directory->shards[i];

        for (size_t at = 0; at <= shard->mask; at++) {
            while (shard->buckets[at] != NULL) {
                struct noc_home *home = shard->buckets[at];

                shard->buckets[at] = home->next;
                free(home);
            }
        }
        free(shard->buckets);
    }
    free(directory);
}

/* Twice the buckets; without memory for them chains just grow longer. */
static void grow_locked(struct shard *shard)
{
    size_t mask = shard->mask * 2 + 1;
    struct noc_home **buckets = calloc(mask + 1, sizeof *buckets);

    if (buckets == NULL) {
        return;
    }
    for (size_t at = 0; at <= shard->mask; at++) {
        while (shard->buckets[at] != NULL) {
            struct noc_home *home = shard->buckets[at];

            shard->buckets[at] = home->next;
            home->next = buckets[home->hash & mask];
            buckets[home->hash & mask] = home;
        }
    }
    free(shard->buckets);
    shard->buckets = buckets;
    shard->mask = mask;
}

static struct noc_home *insert_locked(
    struct shard *shard, uint64_t hash, struct noc_slice id, unsigned worker)
{
    struct noc_home *home = malloc(sizeof *home + id.n);

    if (home == NULL) {
        return NULL;
    }
    *home = (struct noc_home){.hash = hash, .id_n = (uint16_t)id.n, .worker = worker};
    memcpy(home->id, id.at, id.n);
    if (shard->count > shard->mask) {
        grow_locked(shard);
    }
    home->next = shard->buckets[hash & shard->mask];
    shard->buckets[hash & shard->mask] = home;
    shard->count++;
    return home;
}

struct noc_home *noc_directory_enter_mt(
    struct noc_directory *directory, struct noc_slice client_id, unsigned new_worker)
{
    uint64_t hash = noc_hash(directory->seed, client_id.at, client_id.n);
    struct shard *shard = shard_of(directory, hash);
    struct noc_home *home;

    noc_lock_take(&shard->lock);
    home = shard->buckets[hash & shard->mask];
    while (home != NULL && (home->hash != hash || !noc_slice_equal(noc_home_id(home), client_id))) {
        home = home->next;
    }
    if (home == NULL) {
        home = insert_locked(shard, hash, client_id, new_worker);
    }
    if (home != NULL) {
        home->on_their_way++;
    }
    noc_lock_release(&shard->lock);
    return home;
}

/* Take the entry out if nobody needs it. */
static bool keep_locked(struct shard *shard, struct noc_home *home)
{
    struct noc_home **at = &shard->buckets[home->hash & shard->mask];

    if (home->on_their_way > 0 || home->has_session) {
        return true;
    }
    while (*at != home) {
        at = &(*at)->next;
    }
    *at = home->next;
    shard->count--;
    free(home);
    return false;
}

bool noc_directory_arrived_mt(
    struct noc_directory *directory, struct noc_home *home, bool has_session)
{
    struct shard *shard = shard_of(directory, home->hash);
    bool is_kept;

    noc_lock_take(&shard->lock);
    home->on_their_way--;
    home->has_session = has_session;
    is_kept = keep_locked(shard, home);
    noc_lock_release(&shard->lock);
    return is_kept;
}

bool noc_directory_cancel_mt(struct noc_directory *directory, struct noc_home *home)
{
    struct shard *shard = shard_of(directory, home->hash);
    bool is_kept;

    noc_lock_take(&shard->lock);
    home->on_their_way--;
    is_kept = keep_locked(shard, home);
    noc_lock_release(&shard->lock);
    return is_kept;
}

bool noc_directory_leave_mt(struct noc_directory *directory, struct noc_home *home)
{
    struct shard *shard = shard_of(directory, home->hash);
    bool is_kept;

    noc_lock_take(&shard->lock);
    home->has_session = false;
    is_kept = keep_locked(shard, home);
    noc_lock_release(&shard->lock);
    return is_kept;
}
