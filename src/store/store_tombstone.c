/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a removed retained message leaves behind for a while, in memory: another worker's batch with an
 * older version may still come. After a restart none can.
 *
 * A worker's entries reach the store within seconds; a minute is plenty. Where many retained messages go
 * at once, five seconds must do.
 */
#include "store/store_internal.h"

#include <assert.h>
#include <stdlib.h>

#include "base/hash.h"

enum { AGE_MS = 60000, AGE_CROWDED_MS = 5000, CROWDED = 100000 };

static uint64_t hash_of(struct noc_slice topic)
{
    uint64_t hash = noc_hash(0, topic.at, topic.n);

    return hash == 0 ? 1 : hash;
}

static struct noc_store_tombstone *find(
    const struct noc_store_tombstones *tombstones, struct noc_slice topic, uint64_t hash)
{
    struct noc_store_tombstone *tombstone = noc_map64_get(&tombstones->by_hash, hash);

    while (tombstone != NULL && !noc_slice_equal(noc_message_topic(tombstone->message), topic)) {
        tombstone = tombstone->next_same;
    }
    return tombstone;
}

void noc_store_tombstones_init(struct noc_store_tombstones *tombstones)
{
    *tombstones = (struct noc_store_tombstones){.count = 0};
    noc_list_init(&tombstones->by_age);
}

/* Linked in nowhere but under its hash. NULL: out of memory. */
static struct noc_store_tombstone *make(
    struct noc_store_tombstones *tombstones, struct noc_message *message, uint64_t hash)
{
    struct noc_store_tombstone *tombstone = malloc(sizeof(*tombstone));

    if (tombstone == NULL) {
        return NULL;
    }
    *tombstone = (struct noc_store_tombstone){
        .hash = hash,
        .next_same = noc_map64_get(&tombstones->by_hash, hash),
    };
    if (noc_map64_set(&tombstones->by_hash, hash, tombstone) < 0) {
        free(tombstone);
        return NULL;
    }
    noc_list_init(&tombstone->by_age);
    tombstone->message = noc_message_ref(message);
    tombstones->count++;
    return tombstone;
}

int noc_store_tombstone_add(struct noc_store_tombstones *tombstones, struct noc_message *message,
    uint64_t version, uint64_t now_ms)
{
    uint64_t hash = hash_of(noc_message_topic(message));
    struct noc_store_tombstone *tombstone = find(tombstones, noc_message_topic(message), hash);

    if (tombstone == NULL) {
        tombstone = make(tombstones, message, hash);
        if (tombstone == NULL) {
            return NOC_ENOMEM;
        }
    }
    tombstone->version = version > tombstone->version ? version : tombstone->version;
    tombstone->made_ms = now_ms;
    noc_list_remove(&tombstone->by_age);
    noc_list_append(&tombstones->by_age, &tombstone->by_age);
    return NOC_OK;
}

bool noc_store_tombstone_covers(
    const struct noc_store_tombstones *tombstones, struct noc_slice topic, uint64_t version)
{
    const struct noc_store_tombstone *tombstone;

    if (tombstones->count == 0) {
        return false;
    }
    tombstone = find(tombstones, topic, hash_of(topic));
    return tombstone != NULL && tombstone->version > version;
}

static struct noc_store_tombstone *oldest_of(struct noc_store_tombstones *tombstones)
{
    return NOC_CONTAINER(tombstones->by_age.next, struct noc_store_tombstone, by_age);
}

static void remove_oldest(struct noc_store_tombstones *tombstones)
{
    struct noc_store_tombstone *gone = oldest_of(tombstones);
    struct noc_store_tombstone *same = noc_map64_get(&tombstones->by_hash, gone->hash);

    if (same != gone) {
        while (same->next_same != gone) {
            same = same->next_same;
        }
        same->next_same = gone->next_same;
    } else if (gone->next_same == NULL) {
        (void)noc_map64_take(&tombstones->by_hash, gone->hash);
    } else {
        /* The key is there, so this needs no memory. */
        int err = noc_map64_set(&tombstones->by_hash, gone->hash, gone->next_same);

        assert(err == NOC_OK);
        (void)err;
    }
    noc_list_remove(&gone->by_age);
    tombstones->count--;
    noc_message_unref(gone->message);
    free(gone);
}

void noc_store_tombstones_age(struct noc_store_tombstones *tombstones, uint64_t now_ms)
{
    while (!noc_list_is_empty(&tombstones->by_age)) {
        uint64_t age = tombstones->count > CROWDED ? AGE_CROWDED_MS : AGE_MS;

        if (now_ms < oldest_of(tombstones)->made_ms + age) {
            return;
        }
        remove_oldest(tombstones);
    }
}

void noc_store_tombstones_done(struct noc_store_tombstones *tombstones)
{
    while (!noc_list_is_empty(&tombstones->by_age)) {
        remove_oldest(tombstones);
    }
    noc_map64_done(&tombstones->by_hash);
}
