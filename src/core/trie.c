/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filters with wildcards, by level. With a/+/c, a/+, a/# and +/b entered:
 *
 *     root --+-- "a" --+-- "+" --+-- "c"  filter: a/+/c
 *            |         |         filter: a/+
 *            |         multi: a/#
 *            +-- "+" ---- "b"  filter: +/b
 *
 * Every node but the root is in one hash table under (number of its parent,
 * text of its level); the + child of a node is reached by a pointer as well,
 * and what ends in # has no node of its own: it hangs on its parent.
 *
 * A match goes from the root down all paths the topic can take: at each node
 * one probe for the literal child (none when there is no such child at all)
 * and one pointer for the + child. So it costs the trie nodes that exist along
 * those paths, which are counted, and never more than the trie has.
 *
 * Nodes are unlinked from the bottom up as soon as nothing hangs on them.
 */
#include <assert.h>
#include <stdlib.h>

#include "base/hash.h"
#include "core/index_internal.h"
#include <noctule/error.h>

static bool is_level(struct noc_slice level, char wildcard)
{
    return level.n == 1 && level.at[0] == wildcard;
}

static struct noc_trie_node *trie_node_new(struct noc_trie_node *parent, struct noc_slice level)
{
    struct noc_trie_node *node = calloc(1, sizeof *node + level.n);

    if (node == NULL) {
        return NULL;
    }
    node->parent = parent;
    atomic_init(&node->plus, NULL);
    atomic_init(&node->multi, NULL);
    atomic_init(&node->filter, NULL);
    atomic_init(&node->literals, 0);
    node->level_n = (uint32_t)level.n;
    if (level.n > 0) {
        memcpy(node->level, level.at, level.n);
    }
    return node;
}

struct noc_trie_node *noc_trie_root_new(void)
{
    return trie_node_new(NULL, noc_slice(NULL, 0));
}

static uint64_t level_hash(const struct noc_index *index, struct noc_slice level)
{
    return noc_hash(index->seed, level.at, level.n);
}

/* The child of that level, as it stands in the table ("+" too), or NULL. */
static struct noc_trie_node *find_child(const struct noc_index *index,
    const struct noc_trie_node *parent, struct noc_slice level, uint64_t hash)
{
    struct noc_table_probe probe;
    struct noc_table_entry *entry =
        noc_table_first(&index->trie, noc_hash_mix(hash, parent->number), &probe);

    for (; entry != NULL; entry = noc_table_next(&probe)) {
        struct noc_trie_node *child = NOC_CONTAINER(entry, struct noc_trie_node, entry);

        if (child->parent == parent &&
            noc_slice_equal(noc_slice(child->level, child->level_n), level)) {
            return child;
        }
    }
    return NULL;
}

struct noc_trie_node *noc_trie_find(
    const struct noc_index *index, struct noc_slice filter, bool *ret_is_multi)
{
    struct noc_trie_node *at = index->root;

    *ret_is_multi = false;
    while (at != NULL && filter.at != NULL) {
        struct noc_slice level = noc_topic_next_level(&filter);

        if (is_level(level, '#')) {
            *ret_is_multi = true;
            break;
        }
        at = find_child(index, at, level, level_hash(index, level));
    }
    return at;
}

static struct noc_trie_node *add_child(struct noc_index *index, unsigned worker,
    struct noc_trie_node *parent, struct noc_slice level, uint64_t hash)
{
    struct noc_trie_node *child;

    if (noc_table_reserve_locked(&index->trie, index->reclaim, worker) < 0) {
        return NULL;
    }
    child = trie_node_new(parent, level);
    if (child == NULL) {
        return NULL;
    }
    child->number = ++index->trie_nodes_ever;
    child->entry.hash = noc_hash_mix(hash, parent->number);
    noc_table_insert_locked(&index->trie, &child->entry);
    if (is_level(level, '+')) {
        atomic_store_explicit(&parent->plus, child, memory_order_release);
    } else {
        atomic_fetch_add_explicit(&parent->literals, 1, memory_order_release);
    }
    return child;
}

struct noc_trie_node *noc_trie_enter_locked(
    struct noc_index *index, unsigned worker, struct noc_slice filter, bool *ret_is_multi)
{
    struct noc_trie_node *at = index->root;

    *ret_is_multi = false;
    while (filter.at != NULL) {
        struct noc_slice level = noc_topic_next_level(&filter);
        uint64_t hash = level_hash(index, level);
        struct noc_trie_node *child;

        if (is_level(level, '#')) {
            *ret_is_multi = true;
            break;
        }
        child = find_child(index, at, level, hash);
        if (child == NULL) {
            child = add_child(index, worker, at, level, hash);
        }
        if (child == NULL) {
            noc_trie_prune_locked(index, worker, at);
            return NULL;
        }
        at = child;
    }
    return at;
}

static void trie_node_give_back(struct noc_deferred *deferred, unsigned reader)
{
    (void)reader;
    free(NOC_CONTAINER(deferred, struct noc_trie_node, deferred));
}

static bool is_bare(const struct noc_trie_node *node)
{
    return atomic_load_explicit(&node->filter, memory_order_relaxed) == NULL &&
           atomic_load_explicit(&node->multi, memory_order_relaxed) == NULL &&
           atomic_load_explicit(&node->plus, memory_order_relaxed) == NULL &&
           atomic_load_explicit(&node->literals, memory_order_relaxed) == 0;
}

void noc_trie_prune_locked(struct noc_index *index, unsigned worker, struct noc_trie_node *place)
{
    while (place->parent != NULL && is_bare(place)) {
        struct noc_trie_node *parent = place->parent;

        noc_table_remove_locked(&index->trie, index->reclaim, worker, &place->entry);
        if (atomic_load_explicit(&parent->plus, memory_order_relaxed) == place) {
            atomic_store_explicit(&parent->plus, NULL, memory_order_release);
        } else {
            atomic_fetch_sub_explicit(&parent->literals, 1, memory_order_release);
        }
        place->deferred.give_back = trie_node_give_back;
        noc_reclaim_defer(index->reclaim, worker, &place->deferred);
        place = parent;
    }
}

/* ---- matching ---- */

/* A topic taken apart, level by level, no further than the walk gets. */
struct levels {
    const struct noc_index *index;
    struct noc_slice rest; /* at == NULL: all levels are known */
    unsigned known;
    struct {
        struct noc_slice text;
        uint64_t hash;
    } at[NOC_TOPIC_LEVELS_MAX];
};

/* Has the topic a level of that number (from 0)? At most the next one after those known. */
static bool has_level(struct levels *levels, unsigned number)
{
    if (number < levels->known) {
        return true;
    }
    if (levels->rest.at == NULL || number >= NOC_TOPIC_LEVELS_MAX) {
        return false;
    }
    assert(number == levels->known);
    levels->at[number].text = noc_topic_next_level(&levels->rest);
    levels->at[number].hash = level_hash(levels->index, levels->at[number].text);
    levels->known++;
    return true;
}

/* Nodes still to be visited. Each visit adds two at most and takes one, going deeper each time. */
struct pending {
    unsigned count;
    struct {
        const struct noc_trie_node *node;
        unsigned depth; /* levels of the topic behind it */
    } at[NOC_TOPIC_LEVELS_MAX + 2];
};

static void push(struct pending *pending, const struct noc_trie_node *node, unsigned depth)
{
    assert(pending->count < NOC_COUNT(pending->at));
    pending->at[pending->count].node = node;
    pending->at[pending->count].depth = depth;
    pending->count++;
}

static int add_match(struct noc_matches *matches, const _Atomic(struct noc_node *) *spot)
{
    struct noc_node *node = atomic_load_explicit(spot, memory_order_acquire);

    return node == NULL ? NOC_OK : noc_matches_add(matches, node);
}

static void push_children(struct pending *pending, const struct noc_trie_node *node, unsigned depth,
    struct levels *levels, bool takes_plus)
{
    const struct noc_trie_node *child =
        takes_plus ? atomic_load_explicit(&node->plus, memory_order_acquire) : NULL;

    if (child != NULL) {
        push(pending, child, depth + 1);
    }
    if (atomic_load_explicit(&node->literals, memory_order_acquire) != 0) {
        child = find_child(levels->index, node, levels->at[depth].text, levels->at[depth].hash);
        if (child != NULL) {
            push(pending, child, depth + 1);
        }
    }
}

static int walk(struct levels *levels, bool is_dollar, struct noc_matches *matches,
    struct pending *pending, unsigned *visited)
{
    while (pending->count > 0) {
        const struct noc_trie_node *node = pending->at[--pending->count].node;
        unsigned depth = pending->at[pending->count].depth;
        /* No wildcard at the first level matches $SYS and its like [MQTT-4.7.2-1]. */
        bool takes_wildcards = depth > 0 || !is_dollar;

        ++*visited;
        /* "a/#" matches "a" too: the # child of where the topic ends [MQTT-4.7.1-2]. */
        if (takes_wildcards && add_match(matches, &node->multi) < 0) {
            return NOC_ENOMEM;
        }
        if (has_level(levels, depth)) {
            push_children(pending, node, depth, levels, takes_wildcards);
        } else if (add_match(matches, &node->filter) < 0) {
            return NOC_ENOMEM;
        }
    }
    return NOC_OK;
}

int noc_trie_match(const struct noc_index *index, struct noc_slice topic,
    struct noc_matches *matches, unsigned *visited)
{
    struct levels levels;
    struct pending pending;

    if (is_bare(index->root)) {
        return NOC_OK;
    }
    levels.index = index;
    levels.rest = topic;
    levels.known = 0;
    pending.count = 0;
    push(&pending, index->root, 0);
    return walk(&levels, topic.n > 0 && topic.at[0] == '$', matches, &pending, visited);
}

void noc_trie_done(struct noc_index *index, void (*free_node)(struct noc_node *node))
{
    struct noc_trie_node *node = index->root;
    uint32_t position = 0;

    while (node != NULL) {
        struct noc_node *filter = atomic_load_explicit(&node->filter, memory_order_relaxed);
        struct noc_node *multi = atomic_load_explicit(&node->multi, memory_order_relaxed);
        struct noc_table_entry *entry = noc_table_iterate(&index->trie, &position);

        if (filter != NULL) {
            free_node(filter);
        }
        if (multi != NULL) {
            free_node(multi);
        }
        free(node);
        node = entry == NULL ? NULL : NOC_CONTAINER(entry, struct noc_trie_node, entry);
    }
    noc_table_done(&index->trie);
}
