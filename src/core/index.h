/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CORE_INDEX_H
#define NOC_CORE_INDEX_H
/*
 * The topic index: which subscriptions does a topic reach? Shared by all
 * workers; matching takes no lock.
 *
 *   filters without wildcard    hash table  topic text -> node
 *   filters with wildcards      trie, held as one hash table
 *                               (parent trie node, level text) -> trie node;
 *                               the + and # children hang on the trie node
 *   node                        one filter: for each worker its own list of
 *                               subscriptions, which only that worker touches;
 *                               the set of workers that have any; the set that
 *                               has durable ones; the share groups
 *
 * Threads: a worker calls with its own number, online in the reclaim (see
 * reclaim.h). A worker's first subscription on a node and its last removal
 * take the index lock; those in between touch only that worker's list.
 *
 * End of a node (or share group): unlinked, generation bumped, one grace
 * period, then a retire notice goes through every worker's mailbox; when all
 * have drained it, it is freed. So mail may name nodes and groups. No node
 * pointer outlives a turn except in mail and in a worker's topic cache, whose
 * entries are void by generation before a node can go.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/macros.h"
#include "core/reclaim.h"
#include <noctule/slice.h>

#define NOC_WORKERS_MAX 64

struct noc_index;
struct noc_node;
struct noc_group;
struct noc_session; /* opaque here */

/* One subscription of one session; owned by the session, touched by its home worker only. */
struct noc_sub {
    struct noc_session *session;
    struct noc_node *node;   /* set by noc_index_subscribe() */
    struct noc_group *group; /* set when shared, else NULL */
    uint64_t session_number; /* set by the caller; a share member is known by it */
    uint64_t replayed;       /* retained versions up to this come by the replay, not live */
    uint32_t position;       /* in its worker's list on the node; the index keeps it */
    uint32_t id;             /* subscription identifier, 0: none */
    uint8_t options;         /* NOC_SUB_* bits of mqtt/packet.h */
    bool is_durable;         /* kept by the index; change with noc_index_set_durable() */
    bool is_connected;       /* the same, for shared ones: noc_index_set_connected() */
};

/* A notice that must pass through every worker's mailbox before what it names can be freed. */
struct noc_retire {
    struct noc_deferred deferred; /* first the grace period */
    struct noc_index *index;
    atomic_uint left; /* workers that have not drained it yet */
    void (*destroy)(struct noc_retire *retire);
};

/* Called by a worker: post the notice to every worker's mailbox, its own included. Must not fail. */
typedef void noc_post_retire_fn(void *context, unsigned worker, struct noc_retire *retire);

/*
 * worker_count: 1 to NOC_WORKERS_MAX. seed keys the hashes. post_retire is
 * called on a worker's thread, out of noc_reclaim_quiescent(). NULL: no memory.
 */
struct noc_index *noc_index_new(unsigned worker_count, uint64_t seed, struct noc_reclaim *reclaim,
    noc_post_retire_fn *post_retire, void *context);

/*
 * When all workers have ended: frees all nodes, also those that wait for a
 * notice (which must not be drained any more), and gives back everything that
 * is deferred in the reclaim. Best called before noc_reclaim_free(), which
 * would still post notices. Subscriptions are not touched. NULL is fine.
 */
void noc_index_free(struct noc_index *index);

/* A worker has drained the notice; the last one frees. */
void noc_retire_drained(struct noc_retire *retire);

/*
 * Enter a subscription: filter is valid and not a $share one; group is its
 * share name or an absent slice. The caller has filled session, session_number,
 * options, id, is_durable, is_connected. It sees to it that a session enters a
 * (filter, group) once. Nothing is changed on NOC_ENOMEM.
 */
NOC_MUST_CHECK int noc_index_subscribe(struct noc_index *index, unsigned worker,
    struct noc_slice filter, struct noc_slice group, struct noc_sub *sub);

/* Take it out; never fails. The sub may be freed at once. */
void noc_index_unsubscribe(struct noc_index *index, unsigned worker, struct noc_sub *sub);

/* Change what the node's worker sets and the group's member table say of it. */
void noc_index_set_durable(struct noc_index *index, unsigned worker, struct noc_sub *sub, bool on);
void noc_index_set_connected(
    struct noc_index *index, unsigned worker, struct noc_sub *sub, bool on);

/*
 * The node of a filter, or NULL if nobody has subscribed it; and of a node its
 * group of that name. For a session that looks for its own subscription. No lock.
 */
struct noc_node *noc_index_find(struct noc_index *index, struct noc_slice filter);
struct noc_group *noc_node_find_group(const struct noc_node *node, struct noc_slice group);

/* The filter's text; lives as long as the node. */
struct noc_slice noc_node_filter(const struct noc_node *node);
struct noc_slice noc_group_name(const struct noc_group *group);

/* What a topic reaches. Borrowed until the worker's next match or its next quiescent state. */
struct noc_match {
    struct noc_node *const *nodes;
    unsigned count;
    unsigned visited; /* trie nodes that were looked at; 0: the topic cache knew */
};

/*
 * Match a valid topic, without wildcards. Goes through the worker's topic cache
 * (bounded; keyed by topic text; its generations are loaded before the walk).
 * When memory runs out the result is NOC_ENOMEM and the match is empty.
 */
NOC_MUST_CHECK int noc_index_match(
    struct noc_index *index, unsigned worker, struct noc_slice topic, struct noc_match *ret_match);

/* Workers that have a plain (not shared) subscription on the node, read live; one bit each. */
uint64_t noc_node_workers(const struct noc_node *node);

/* Workers that have a durable subscription, shared or not. */
uint64_t noc_node_durable_workers(const struct noc_node *node);

/*
 * The worker's own plain subscriptions on the node: *ret_subs is valid until
 * that worker's next subscribe or unsubscribe. Returns their number.
 */
unsigned noc_node_subs(
    const struct noc_node *node, unsigned worker, struct noc_sub *const **ret_subs);

/* ---- share groups ---- */

/* The first share group of a node, and the next one; NULL at the end. Read under RCU. */
struct noc_group *noc_node_groups(const struct noc_node *node);
struct noc_group *noc_group_next(const struct noc_group *group);

struct noc_member {
    uint64_t session_number;
    unsigned worker;
    bool is_connected; /* when it was picked */
};

/*
 * Pick a member of the group: round robin over the connected ones first, then
 * over all. attempt counts from 0 for one message: each further attempt yields
 * another member (connected ones first), so that a home that no longer finds
 * its member can pick again; false when every member has been tried, or there
 * is none. start is what attempt 0 wrote: keep it with the message. When the
 * group has changed between attempts a member may come twice rather than one
 * be passed over, and false comes later. O(1). By a worker, online.
 */
bool noc_group_pick(
    struct noc_group *group, unsigned attempt, uint32_t *start, struct noc_member *ret_member);

/* ---- counters, read by anyone ---- */

struct noc_index_counts {
    uint64_t subscriptions;                     /* plain and shared */
    uint64_t shared_subscriptions;              /* the shared ones of them */
    uint64_t nodes;                             /* filters */
    uint64_t cache_hits, cache_misses, visited; /* of matches; visited: trie nodes looked at */
};
void noc_index_counts_mt(const struct noc_index *index, struct noc_index_counts *ret_counts);

#endif
