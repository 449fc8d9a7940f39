/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What topics matched lately, for one worker: two ways to a set, so that two
 * busy topics of one set do not drive each other out. An entry is void as soon
 * as one of its two generations has passed; nothing in it is looked at then, so
 * it may go on naming nodes that are gone. Its block of memory stays and is
 * used again when it is large enough.
 *
 * The generations are loaded before the walk. A change that the walk did not
 * see bumps a generation after it was loaded, so the entry is void from the
 * start; a change that came before the load is seen by the walk, because the
 * bump comes after the change and the load synchronises with it.
 */
#include <stdlib.h>

#include "core/index_internal.h"

void noc_topic_cache_done(struct noc_topic_cache *cache)
{
    for (unsigned set = 0; cache->sets != NULL && set < NOC_CACHE_SETS; set++) {
        for (unsigned way = 0; way < NOC_CACHE_WAYS; way++) {
            free(cache->sets[set][way].nodes);
        }
    }
    free(cache->sets);
    cache->sets = NULL;
}

/* The one to be overwritten: the same topic's void entry, else an unused one, else by turns. */
static struct noc_cached_topic *victim(struct noc_topic_cache *cache, uint64_t hash)
{
    struct noc_cached_topic *ways = cache->sets[(hash >> 16) % NOC_CACHE_SETS];

    for (unsigned i = 0; i < NOC_CACHE_WAYS; i++) {
        if (ways[i].hash == hash || ways[i].nodes == NULL) {
            return &ways[i];
        }
    }
    return &ways[cache->turn++ % NOC_CACHE_WAYS];
}

const struct noc_cached_topic *noc_topic_cache_put(struct noc_topic_cache *cache,
    const struct noc_cached_topic *key, struct noc_slice topic, const struct noc_matches *matches)
{
    size_t size = matches->count * sizeof matches->nodes[0] + topic.n;
    struct noc_cached_topic *entry;

    if (topic.n > NOC_CACHED_TOPIC_MAX || matches->count > NOC_CACHED_NODES_MAX) {
        return NULL;
    }
    if (cache->sets == NULL) {
        cache->sets = calloc(NOC_CACHE_SETS, sizeof cache->sets[0]);
        if (cache->sets == NULL) {
            return NULL;
        }
    }
    entry = victim(cache, key->hash);
    if (entry->room < size) {
        struct noc_node **nodes = malloc(size);

        if (nodes == NULL) {
            return NULL;
        }
        free(entry->nodes);
        entry->nodes = nodes;
        entry->room = (uint32_t)size;
    }
    entry->hash = key->hash;
    entry->exact_generation = key->exact_generation;
    entry->wild_generation = key->wild_generation;
    entry->topic_n = (uint16_t)topic.n;
    entry->count = (uint16_t)matches->count;
    if (matches->count > 0) {
        memcpy(entry->nodes, matches->nodes, matches->count * sizeof matches->nodes[0]);
    }
    memcpy(&entry->nodes[entry->count], topic.at, topic.n);
    return entry;
}
