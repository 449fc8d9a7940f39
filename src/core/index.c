/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdlib.h>

#include "base/hash.h"
#include "core/index_internal.h"
#include <noctule/error.h>

enum { SCRATCH_MIN = NOC_CACHED_NODES_MAX };

/* ---- begin and end ---- */

static int init_workers(struct noc_index *index)
{
    for (unsigned w = 0; w < index->worker_count; w++) {
        struct noc_index_worker *worker = &index->workers[w];

        worker->cache = (struct noc_topic_cache){0};
        worker->scratch = (struct noc_matches){0};
        atomic_init(&worker->subscriptions, 0);
        atomic_init(&worker->shared, 0);
        atomic_init(&worker->hits, 0);
        atomic_init(&worker->misses, 0);
        atomic_init(&worker->visited, 0);
    }
    for (unsigned w = 0; w < index->worker_count; w++) {
        struct noc_matches *scratch = &index->workers[w].scratch;

        scratch->nodes = malloc(SCRATCH_MIN * sizeof scratch->nodes[0]);
        if (scratch->nodes == NULL) {
            return NOC_ENOMEM;
        }
        scratch->room = SCRATCH_MIN;
    }
    return NOC_OK;
}

static void done_workers(struct noc_index *index)
{
    for (unsigned w = 0; w < index->worker_count; w++) {
        noc_topic_cache_done(&index->workers[w].cache);
        free(index->workers[w].scratch.nodes);
    }
}

static int init_tables(struct noc_index *index)
{
    if (noc_table_init(&index->exact) < 0) {
        return NOC_ENOMEM;
    }
    if (noc_table_init(&index->trie) < 0) {
        goto done_exact;
    }
    if (noc_table_init(&index->groups) < 0) {
        goto done_trie;
    }
    index->root = noc_trie_root_new();
    if (index->root == NULL) {
        goto done_groups;
    }
    return NOC_OK;

done_groups:
    noc_table_done(&index->groups);
done_trie:
    noc_table_done(&index->trie);
done_exact:
    noc_table_done(&index->exact);
    return NOC_ENOMEM;
}

struct noc_index *noc_index_new(unsigned worker_count, uint64_t seed, struct noc_reclaim *reclaim,
    noc_post_retire_fn *post_retire, void *context)
{
    struct noc_index *index;

    assert(worker_count >= 1 && worker_count <= NOC_WORKERS_MAX);
    index = aligned_alloc(NOC_CACHE_LINE, sizeof *index + worker_count * sizeof index->workers[0]);
    if (index == NULL) {
        return NULL;
    }
    index->worker_count = worker_count;
    index->seed = seed;
    index->post_retire = post_retire;
    index->context = context;
    index->is_ending = false;
    index->trie_nodes_ever = 0;
    atomic_init(&index->node_count, 0);
    atomic_init(&index->wild_generation, 0);
    for (unsigned i = 0; i < NOC_BUCKETS; i++) {
        atomic_init(&index->exact_generations[i], 0);
    }
    noc_lock_init(&index->lock);
    noc_list_init(&index->retiring);
    if (init_workers(index) < 0 || init_tables(index) < 0) {
        done_workers(index);
        free(index);
        return NULL;
    }
    index->reclaim = noc_reclaim_ref(reclaim);
    return index;
}

static void free_node_and_groups(struct noc_node *node)
{
    struct noc_group *group = noc_node_groups(node);

    while (group != NULL) {
        struct noc_group *next = noc_group_next(group);

        noc_group_free(group);
        group = next;
    }
    noc_node_free(node);
}

void noc_index_free(struct noc_index *index)
{
    struct noc_table_entry *entry;
    struct noc_list *link;
    uint32_t position = 0;

    if (index == NULL) {
        return;
    }
    index->is_ending =
        true; /* what comes back from the reclaim stays in the list of the retiring */
    noc_reclaim_flush(index->reclaim);
    while ((link = noc_list_take(&index->retiring)) != NULL) {
        struct noc_ending *ending = NOC_CONTAINER(link, struct noc_ending, link);

        ending->retire.destroy(&ending->retire);
    }
    while ((entry = noc_table_iterate(&index->exact, &position)) != NULL) {
        free_node_and_groups(NOC_CONTAINER(entry, struct noc_node, entry));
    }
    noc_trie_done(index, free_node_and_groups);
    noc_table_done(&index->exact);
    noc_table_done(&index->groups);
    done_workers(index);
    noc_reclaim_unref(index->reclaim);
    free(index);
}

/* ---- the end of nodes and groups ---- */

static void post_notices(struct noc_deferred *deferred, unsigned reader)
{
    struct noc_retire *retire = NOC_CONTAINER(deferred, struct noc_retire, deferred);
    struct noc_index *index = retire->index;

    if (index->is_ending) {
        return;
    }
    atomic_store_explicit(&retire->left, index->worker_count, memory_order_relaxed);
    index->post_retire(index->context, reader, retire);
}

void noc_retire_drained(struct noc_retire *retire)
{
    if (atomic_fetch_sub_explicit(&retire->left, 1, memory_order_acq_rel) == 1) {
        retire->destroy(retire);
    }
}

void noc_index_retire_locked(struct noc_index *index, unsigned worker, struct noc_ending *ending,
    void (*destroy)(struct noc_retire *retire))
{
    ending->retire.deferred.give_back = post_notices;
    ending->retire.destroy = destroy;
    atomic_init(&ending->retire.left, 0);
    noc_list_append(&index->retiring, &ending->link);
    noc_reclaim_defer(index->reclaim, worker, &ending->retire.deferred);
}

void noc_index_forget(struct noc_ending *ending)
{
    struct noc_index *index = ending->retire.index;

    noc_lock_take(&index->lock);
    noc_list_remove(&ending->link);
    noc_lock_release(&index->lock);
}

static void node_destroy(struct noc_retire *retire)
{
    struct noc_node *node = NOC_CONTAINER(retire, struct noc_node, ending.retire);

    noc_index_forget(&node->ending);
    noc_node_free(node);
}

/* ---- nodes in their places ---- */

static struct noc_node *find_exact(
    const struct noc_index *index, struct noc_slice filter, uint64_t hash)
{
    struct noc_table_probe probe;
    struct noc_table_entry *entry = noc_table_first(&index->exact, hash, &probe);

    for (; entry != NULL; entry = noc_table_next(&probe)) {
        struct noc_node *node = NOC_CONTAINER(entry, struct noc_node, entry);

        if (noc_slice_equal(noc_node_filter(node), filter)) {
            return node;
        }
    }
    return NULL;
}

static bool has_wildcard(struct noc_slice filter)
{
    return memchr(filter.at, '+', filter.n) != NULL || memchr(filter.at, '#', filter.n) != NULL;
}

struct noc_node *noc_index_find(struct noc_index *index, struct noc_slice filter)
{
    struct noc_trie_node *place;
    bool is_multi;

    if (!has_wildcard(filter)) {
        return find_exact(index, filter, noc_hash(index->seed, filter.at, filter.n));
    }
    place = noc_trie_find(index, filter, &is_multi);
    if (place == NULL) {
        return NULL;
    }
    return atomic_load_explicit(noc_trie_spot(place, is_multi), memory_order_acquire);
}

static atomic_uint_fast64_t *exact_generation(struct noc_index *index, uint64_t hash)
{
    return &index->exact_generations[hash % NOC_BUCKETS];
}

/* After the change it announces; see "Memory order" in index_internal.h. */
static void bump_generation(struct noc_index *index, const struct noc_node *node)
{
    atomic_uint_fast64_t *generation =
        node->place != NULL ? &index->wild_generation : exact_generation(index, node->entry.hash);

    atomic_fetch_add_explicit(generation, 1, memory_order_seq_cst);
}

/* A new node with its place reserved, not yet to be found by anyone. */
static struct noc_node *prepare_node_locked(
    struct noc_index *index, unsigned worker, struct noc_slice filter)
{
    struct noc_node *node = noc_node_new(index, filter, noc_hash(index->seed, filter.at, filter.n));

    if (node == NULL) {
        return NULL;
    }
    if (has_wildcard(filter)) {
        node->place = noc_trie_enter_locked(index, worker, filter, &node->is_multi);
        if (node->place != NULL) {
            return node;
        }
    } else if (noc_table_reserve_locked(&index->exact, index->reclaim, worker) == NOC_OK) {
        return node;
    }
    noc_node_free(node);
    return NULL;
}

static void drop_prepared_locked(struct noc_index *index, unsigned worker, struct noc_node *node)
{
    if (node->place != NULL) {
        noc_trie_prune_locked(index, worker, node->place);
    }
    noc_node_free(node);
}

static void publish_node_locked(struct noc_index *index, struct noc_node *node)
{
    if (node->place != NULL) {
        atomic_store_explicit(
            noc_trie_spot(node->place, node->is_multi), node, memory_order_release);
    } else {
        noc_table_insert_locked(&index->exact, &node->entry);
    }
    bump_generation(index, node);
    noc_count(&index->node_count, 1);
}

static void end_node_locked(struct noc_index *index, unsigned worker, struct noc_node *node)
{
    if (node->place != NULL) {
        atomic_store_explicit(
            noc_trie_spot(node->place, node->is_multi), NULL, memory_order_release);
        noc_trie_prune_locked(index, worker, node->place);
    } else {
        noc_table_remove_locked(&index->exact, index->reclaim, worker, &node->entry);
    }
    bump_generation(index, node);
    noc_count(&index->node_count, (uint64_t)-1);
    noc_index_retire_locked(index, worker, &node->ending, node_destroy);
}

/* ---- subscribing ---- */

static void set_bit(atomic_uint_fast64_t *bits, unsigned worker)
{
    atomic_fetch_or_explicit(bits, UINT64_C(1) << worker, memory_order_seq_cst);
}

static void clear_bit(atomic_uint_fast64_t *bits, unsigned worker)
{
    atomic_fetch_and_explicit(bits, ~(UINT64_C(1) << worker), memory_order_seq_cst);
}

/* In between: the worker is on the node already, no set changes, so no lock. */
static bool can_enter_unlocked(const struct noc_slot *slot, const struct noc_sub *sub)
{
    return slot != NULL && slot->count > 0 && (!sub->is_durable || slot->durable > 0);
}

static int enter_list(struct noc_slot *slot, struct noc_node *node, struct noc_sub *sub)
{
    if (noc_slot_reserve(slot) < 0) {
        return NOC_ENOMEM;
    }
    noc_slot_add(slot, sub);
    slot->durable += sub->is_durable;
    sub->node = node;
    sub->group = NULL;
    return NOC_OK;
}

/* Everything on the node that may fail for want of memory, then what may not. */
static int enter_node_locked(struct noc_index *index, unsigned worker, struct noc_node *node,
    struct noc_slice group, struct noc_sub *sub)
{
    struct noc_slot *slot = noc_node_obtain_slot_locked(node, worker);
    int err;

    if (slot == NULL) {
        return NOC_ENOMEM;
    }
    if (group.at == NULL) {
        err = enter_list(slot, node, sub);
    } else {
        err = noc_share_enter_locked(index, worker, node, group, sub);
    }
    if (err < 0) {
        noc_node_release_slot_locked(node, worker);
        return err;
    }
    if (group.at == NULL) {
        set_bit(&node->workers, worker);
    } else {
        sub->node = node;
        slot->shared++;
        slot->durable += sub->is_durable;
    }
    if (slot->durable > 0) {
        set_bit(&node->durable_workers, worker);
    }
    return NOC_OK;
}

static int subscribe_locked(struct noc_index *index, unsigned worker, struct noc_slice filter,
    struct noc_slice group, struct noc_sub *sub)
{
    struct noc_node *node = noc_index_find(index, filter);
    bool is_new = node == NULL;
    int err;

    if (is_new) {
        node = prepare_node_locked(index, worker, filter);
        if (node == NULL) {
            return NOC_ENOMEM;
        }
    }
    err = enter_node_locked(index, worker, node, group, sub);
    if (err < 0) {
        if (is_new) {
            drop_prepared_locked(index, worker, node);
        }
        return err;
    }
    if (is_new) {
        publish_node_locked(index, node);
    }
    return NOC_OK;
}

int noc_index_subscribe(struct noc_index *index, unsigned worker, struct noc_slice filter,
    struct noc_slice group, struct noc_sub *sub)
{
    struct noc_node *node = group.at == NULL ? noc_index_find(index, filter) : NULL;
    struct noc_slot *slot = node == NULL ? NULL : noc_node_slot(node, worker);
    int err;

    if (can_enter_unlocked(slot, sub)) {
        err = enter_list(slot, node, sub);
    } else {
        noc_lock_take(&index->lock);
        err = subscribe_locked(index, worker, filter, group, sub);
        noc_lock_release(&index->lock);
    }
    if (err == NOC_OK) {
        noc_count(&index->workers[worker].subscriptions, 1);
        noc_count(&index->workers[worker].shared, group.at != NULL);
    }
    return err;
}

static void unsubscribe_locked(struct noc_index *index, unsigned worker, struct noc_sub *sub)
{
    struct noc_node *node = sub->node;
    struct noc_slot *slot = noc_node_slot(node, worker);

    slot->durable -= sub->is_durable;
    if (slot->durable == 0 && sub->is_durable) {
        clear_bit(&node->durable_workers, worker);
    }
    if (sub->group != NULL) {
        slot->shared--;
        noc_share_leave_locked(index, worker, sub);
    } else {
        noc_slot_remove(slot, sub);
        if (slot->count == 0) {
            clear_bit(&node->workers, worker);
        }
    }
    noc_node_release_slot_locked(node, worker);
    if (noc_node_is_unused_locked(node)) {
        end_node_locked(index, worker, node);
    }
}

void noc_index_unsubscribe(struct noc_index *index, unsigned worker, struct noc_sub *sub)
{
    struct noc_slot *slot = noc_node_slot(sub->node, worker);

    assert(slot != NULL);
    noc_count(&index->workers[worker].subscriptions, (uint64_t)-1);
    noc_count(&index->workers[worker].shared, sub->group != NULL ? (uint64_t)-1 : 0);
    if (sub->group == NULL && slot->count > 1 && (!sub->is_durable || slot->durable > 1)) {
        slot->durable -= sub->is_durable;
        noc_slot_remove(slot, sub);
    } else {
        noc_lock_take(&index->lock);
        unsubscribe_locked(index, worker, sub);
        noc_lock_release(&index->lock);
    }
    sub->node = NULL;
    sub->group = NULL;
}

void noc_index_set_durable(struct noc_index *index, unsigned worker, struct noc_sub *sub, bool on)
{
    struct noc_slot *slot = noc_node_slot(sub->node, worker);

    if (sub->is_durable == on) {
        return;
    }
    sub->is_durable = on;
    slot->durable += on ? 1U : UINT32_MAX;
    if (slot->durable != (on ? 1U : 0U)) {
        return;
    }
    noc_lock_take(&index->lock);
    if (on) {
        set_bit(&sub->node->durable_workers, worker);
    } else {
        clear_bit(&sub->node->durable_workers, worker);
    }
    noc_lock_release(&index->lock);
}

void noc_index_set_connected(struct noc_index *index, unsigned worker, struct noc_sub *sub, bool on)
{
    (void)worker;
    if (sub->is_connected == on) {
        return;
    }
    sub->is_connected = on;
    if (sub->group != NULL) {
        noc_lock_take(&index->lock);
        noc_share_connect_locked(sub, on);
        noc_lock_release(&index->lock);
    }
}

/* ---- matching ---- */

int noc_matches_add(struct noc_matches *matches, struct noc_node *node)
{
    if (matches->count == matches->room) {
        struct noc_node **nodes =
            realloc(matches->nodes, 2 * (size_t)matches->room * sizeof matches->nodes[0]);

        if (nodes == NULL) {
            return NOC_ENOMEM;
        }
        matches->nodes = nodes;
        matches->room *= 2;
    }
    matches->nodes[matches->count++] = node;
    return NOC_OK;
}

static int match_by_walk(struct noc_index *index, unsigned worker, struct noc_slice topic,
    const struct noc_cached_topic *key, struct noc_match *ret_match)
{
    struct noc_index_worker *own = &index->workers[worker];
    struct noc_matches *scratch = &own->scratch;
    struct noc_node *exact = find_exact(index, topic, key->hash);
    const struct noc_cached_topic *cached;
    unsigned visited = 0;

    noc_count(&own->misses, 1);
    scratch->count = 0;
    if ((exact != NULL && noc_matches_add(scratch, exact) < 0) ||
        noc_trie_match(index, topic, scratch, &visited) < 0) {
        *ret_match = (struct noc_match){NULL, 0, 0};
        return NOC_ENOMEM;
    }
    noc_count(&own->visited, visited);
    cached = noc_topic_cache_put(&own->cache, key, topic, scratch);
    ret_match->nodes = cached != NULL ? cached->nodes : scratch->nodes;
    ret_match->count = scratch->count;
    ret_match->visited = visited;
    return NOC_OK;
}

int noc_index_match(
    struct noc_index *index, unsigned worker, struct noc_slice topic, struct noc_match *ret_match)
{
    struct noc_index_worker *own = &index->workers[worker];
    const struct noc_cached_topic *cached;
    struct noc_cached_topic key;

    key.hash = noc_hash(index->seed, topic.at, topic.n);
    key.exact_generation =
        atomic_load_explicit(exact_generation(index, key.hash), memory_order_seq_cst);
    key.wild_generation = atomic_load_explicit(&index->wild_generation, memory_order_seq_cst);
    cached = noc_topic_cache_find(&own->cache, &key, topic);
    if (cached == NULL) {
        return match_by_walk(index, worker, topic, &key, ret_match);
    }
    noc_count(&own->hits, 1);
    ret_match->nodes = cached->nodes;
    ret_match->count = cached->count;
    ret_match->visited = 0;
    return NOC_OK;
}

/* ---- counters ---- */

static uint64_t read_counter(const atomic_uint_fast64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

void noc_index_counts_mt(const struct noc_index *index, struct noc_index_counts *ret_counts)
{
    struct noc_index_counts counts = {.nodes = read_counter(&index->node_count)};

    for (unsigned w = 0; w < index->worker_count; w++) {
        const struct noc_index_worker *worker = &index->workers[w];

        counts.subscriptions += read_counter(&worker->subscriptions);
        counts.shared_subscriptions += read_counter(&worker->shared);
        counts.cache_hits += read_counter(&worker->hits);
        counts.cache_misses += read_counter(&worker->misses);
        counts.visited += read_counter(&worker->visited);
    }
    *ret_counts = counts;
}
