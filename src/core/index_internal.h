/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CORE_INDEX_INTERNAL_H
#define NOC_CORE_INDEX_INTERNAL_H
/*
 * What the files of the topic index share among themselves:
 *
 *   index.c        entering and removing subscriptions, matching, counters, the end of nodes
 *   node.c         one filter: the workers' lists
 *   share.c        share groups and their members
 *   trie.c         filters with wildcards
 *   topic_cache.c  one worker's memory of what topics matched
 *
 * Suffix _locked: under index->lock, by a worker that is online.
 *
 * Memory order. A publisher writes the retained message, then reads the index;
 * a subscriber writes the index, then reads the retained messages; one of them
 * must see the other's write, or a message is missed. So the last write of each
 * (a node's worker set, a generation; the version of the retained messages) and
 * the first read are seq_cst. All else is release and acquire.
 */

#include <limits.h>

#include "base/list.h"
#include "base/lock.h"
#include "core/index.h"
#include "core/table.h"
#include "mqtt/topic.h"

#define NOC_NO_WORKER UINT_MAX

/* One worker's subscriptions on one node: that worker's thread only. */
struct noc_slot {
    union {
        struct noc_sub *one;   /* room == 0 */
        struct noc_sub **many; /* room > 0: an array of that many */
    } subs;
    uint32_t count; /* plain ones, in subs */
    uint32_t room;
    uint32_t shared;  /* shared ones; they are in their groups' member tables */
    uint32_t durable; /* of both kinds */
};

/* Common to nodes and groups: they end by passing through every worker's mailbox. */
struct noc_ending {
    struct noc_retire retire;
    struct noc_list link; /* in index->retiring from the unlinking to the freeing */
};

struct noc_node {
    struct noc_table_entry entry; /* the filter's hash; in index->exact unless there is a place */

    /* Changed under the lock, read by all. */
    atomic_uint_fast64_t workers, durable_workers;
    _Atomic(struct noc_group *) groups;
    _Atomic(struct noc_slot *) others; /* one per worker, or NULL until a second worker comes */

    /*
     * The first comer's slot, inline. It belongs to the owner, who alone may
     * enter and leave ownership, under the lock. A worker's subscriptions are
     * here if it is the owner, else in its slot of others: never in both.
     */
    atomic_uint owner;
    struct noc_slot own;

    struct noc_ending ending;
    struct noc_trie_node *place; /* where it hangs in the trie; NULL: an exact filter */
    bool is_multi;               /* hangs there as the # child */
    uint32_t filter_n;
    char filter[];
};

struct noc_trie_node {
    struct noc_table_entry entry; /* hash of (parent's number, level); in index->trie */
    struct noc_deferred deferred;
    struct noc_trie_node *parent; /* NULL: the root */
    uint64_t number;              /* never used twice */

    /* Changed under the lock, read by all. */
    _Atomic(struct noc_trie_node *) plus; /* the + child (it is in the table as well) */
    _Atomic(struct noc_node *) multi;     /* the filter that ends in # here */
    _Atomic(struct noc_node *) filter;    /* the filter that ends here */
    atomic_uint literals;                 /* children other than the + one */

    uint32_t level_n;
    char level[];
};

/* An immutable member, as the tables of its group name it. */
struct noc_member_entry {
    struct noc_deferred deferred;
    uint64_t session_number;
    unsigned worker;
    struct noc_sub *sub; /* under the lock only: its position is kept up to date */
};

/* Members that are connected come first: [connected ...][others ...][free ...]. */
struct noc_member_table {
    struct noc_deferred deferred;
    uint32_t room;
    atomic_uint count, connected;
    _Atomic(struct noc_member_entry *) slots[];
};

struct noc_group {
    struct noc_table_entry entry; /* hash of (node, name); in index->groups */
    struct noc_ending ending;
    struct noc_node *node;
    _Atomic(struct noc_group *) next; /* in the node's list */
    struct noc_group *previous;       /* the same; under the lock */
    _Atomic(struct noc_member_table *) table;
    atomic_uint turn;    /* of the round robin */
    atomic_uint changes; /* how often members came, went, or changed their state */
    uint32_t name_n;
    char name[];
};

/* A list of nodes that grows. */
struct noc_matches {
    struct noc_node **nodes;
    unsigned count, room;
};

enum {
    NOC_CACHE_SETS = 2048,
    NOC_CACHE_WAYS = 2,
    NOC_CACHED_TOPIC_MAX = 256,
    NOC_CACHED_NODES_MAX = 64,
    NOC_BUCKETS = 1024, /* of generations of exact filters */
};

struct noc_cached_topic {
    uint64_t hash;
    uint64_t exact_generation, wild_generation; /* as they were before the walk */
    struct noc_node **nodes; /* an owned block: the nodes, then the topic's text; NULL: unused */
    uint16_t topic_n;
    uint16_t count; /* nodes */
    uint32_t room;  /* bytes of the block */
};

/* Worker's own. */
struct noc_topic_cache {
    struct noc_cached_topic (*sets)[NOC_CACHE_WAYS]; /* NULL until the first match */
    unsigned turn;                                   /* which way is overwritten next */
};

/* Kept for each worker: that worker's thread only, but anyone reads the counters. */
struct noc_index_worker {
    _Alignas(NOC_CACHE_LINE) struct noc_topic_cache cache;
    struct noc_matches scratch;
    atomic_uint_fast64_t subscriptions, shared; /* come and gone here: a sum over workers counts */
    atomic_uint_fast64_t hits, misses, visited;
};

struct noc_index {
    /* Constant after noc_index_new(). */
    unsigned worker_count;
    uint64_t seed;
    struct noc_reclaim *reclaim;
    noc_post_retire_fn *post_retire;
    void *context;
    bool is_ending; /* set once, by noc_index_free() */

    /* Changed under the lock, read by all. */
    struct noc_table exact;  /* noc_node, by filter */
    struct noc_table trie;   /* noc_trie_node, by (parent, level) */
    struct noc_table groups; /* noc_group, by (node, name) */
    struct noc_trie_node *root;
    atomic_uint_fast64_t node_count;
    _Alignas(NOC_CACHE_LINE) atomic_uint_fast64_t wild_generation;
    _Alignas(NOC_CACHE_LINE) atomic_uint_fast64_t exact_generations[NOC_BUCKETS];

    _Alignas(NOC_CACHE_LINE) struct noc_lock lock;
    struct noc_list retiring; /* noc_ending.link; under the lock */
    uint64_t trie_nodes_ever; /* under the lock */

    struct noc_index_worker workers[];
};

/* ---- node.c ---- */

struct noc_node *noc_node_new(struct noc_index *index, struct noc_slice filter, uint64_t hash);
void noc_node_free(struct noc_node *node);

/* The worker's slot, or NULL if it has none. By that worker. */
static inline struct noc_slot *noc_node_slot(struct noc_node *node, unsigned worker)
{
    struct noc_slot *others;

    if (atomic_load_explicit(&node->owner, memory_order_relaxed) == worker) {
        return &node->own;
    }
    others = atomic_load_explicit(&node->others, memory_order_acquire);
    return others == NULL ? NULL : &others[worker];
}

/* The same, but there is one afterwards; NULL: out of memory. */
struct noc_slot *noc_node_obtain_slot_locked(struct noc_node *node, unsigned worker);

/* The worker may have no subscription left: then it need not own the inline slot. */
void noc_node_release_slot_locked(struct noc_node *node, unsigned worker);

/* Has nobody subscribed it? */
bool noc_node_is_unused_locked(const struct noc_node *node);

NOC_MUST_CHECK int noc_slot_reserve(struct noc_slot *slot); /* room for one more plain one */
void noc_slot_add(struct noc_slot *slot, struct noc_sub *sub);
void noc_slot_remove(struct noc_slot *slot, const struct noc_sub *sub);

/* ---- share.c ---- */

/* The node's group of that name, or NULL. */
struct noc_group *noc_share_find(
    const struct noc_index *index, const struct noc_node *node, struct noc_slice name);

/* Enter sub in the group, made if need be; sets sub->group. NOC_ENOMEM: nothing changed. */
NOC_MUST_CHECK int noc_share_enter_locked(struct noc_index *index, unsigned worker,
    struct noc_node *node, struct noc_slice name, struct noc_sub *sub);

/* Take sub out; ends the group with its last member. */
void noc_share_leave_locked(struct noc_index *index, unsigned worker, struct noc_sub *sub);

/* Move sub among those connected, or back. */
void noc_share_connect_locked(struct noc_sub *sub, bool on);

void noc_group_free(struct noc_group *group);

/* ---- trie.c ---- */

struct noc_trie_node *noc_trie_root_new(void);

/* Where a filter's node hangs: the pointer to it. */
static inline _Atomic(struct noc_node *) *noc_trie_spot(struct noc_trie_node *place, bool is_multi)
{
    return is_multi ? &place->multi : &place->filter;
}

/* The place of a filter, or NULL. No lock. */
struct noc_trie_node *noc_trie_find(
    const struct noc_index *index, struct noc_slice filter, bool *ret_is_multi);

/* The same, made if need be; NULL: out of memory, nothing changed. */
struct noc_trie_node *noc_trie_enter_locked(
    struct noc_index *index, unsigned worker, struct noc_slice filter, bool *ret_is_multi);

/* Unlink the place and its ancestors as far as nothing hangs on them any more. */
void noc_trie_prune_locked(struct noc_index *index, unsigned worker, struct noc_trie_node *place);

/* Append the nodes whose filters match to matches; *visited is raised by the nodes looked at. */
NOC_MUST_CHECK int noc_trie_match(const struct noc_index *index, struct noc_slice topic,
    struct noc_matches *matches, unsigned *visited);

/* Free all trie nodes and the filters' nodes on them (with free_node). */
void noc_trie_done(struct noc_index *index, void (*free_node)(struct noc_node *node));

/* ---- topic_cache.c ---- */

void noc_topic_cache_done(struct noc_topic_cache *cache);

/* Remember a match, if it is of a size to be remembered and there is memory; NULL if not. */
const struct noc_cached_topic *noc_topic_cache_put(struct noc_topic_cache *cache,
    const struct noc_cached_topic *key, struct noc_slice topic, const struct noc_matches *matches);

/* What is remembered of a topic under just these generations, or NULL. */
static inline const struct noc_cached_topic *noc_topic_cache_find(
    const struct noc_topic_cache *cache, const struct noc_cached_topic *key, struct noc_slice topic)
{
    const struct noc_cached_topic *ways;

    if (NOC_UNLIKELY(cache->sets == NULL)) {
        return NULL;
    }
    ways = cache->sets[(key->hash >> 16) % NOC_CACHE_SETS];
    for (unsigned i = 0; i < NOC_CACHE_WAYS; i++) {
        const struct noc_cached_topic *way = &ways[i];

        if (way->hash == key->hash && way->nodes != NULL && way->topic_n == topic.n &&
            way->exact_generation == key->exact_generation &&
            way->wild_generation == key->wild_generation &&
            memcmp(&way->nodes[way->count], topic.at, topic.n) == 0) {
            return way;
        }
    }
    return NULL;
}

/* ---- index.c ---- */

/* A counter that one thread writes and any may read. */
static inline void noc_count(atomic_uint_fast64_t *counter, uint64_t more)
{
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);

    atomic_store_explicit(counter, value + more, memory_order_relaxed);
}

/* Append a node; NOC_ENOMEM: unchanged. */
NOC_MUST_CHECK int noc_matches_add(struct noc_matches *matches, struct noc_node *node);

/* After the unlinking: start a node's or group's end. */
void noc_index_retire_locked(struct noc_index *index, unsigned worker, struct noc_ending *ending,
    void (*destroy)(struct noc_retire *retire));

/* The last step of a destroy: it no longer waits. */
void noc_index_forget(struct noc_ending *ending);

#endif
