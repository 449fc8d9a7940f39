/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Share groups. The members of a group are pointers in one table, those that
 * are connected in front:
 *
 *     [ c c c c | o o o | . . . ]
 *       connected        room
 *               count
 *
 * so that a pick is one index computation, in whatever state the members are,
 * and every change is O(1): the one in question changes places with a border
 * element. The table is written in place under the lock; a reader that looks
 * at the same time sees a member twice or one that has just gone, but never an
 * invalid pointer: each element below count is set before count is, and a
 * member that goes is freed after a grace period only.
 */
#include <assert.h>
#include <stdlib.h>

#include "base/hash.h"
#include "core/index_internal.h"
#include <noctule/error.h>

enum { MEMBERS_MIN = 8 };

/* ---- the group among its node's groups ---- */

static uint64_t group_hash(
    const struct noc_index *index, const struct noc_node *node, struct noc_slice name)
{
    return noc_hash_mix(noc_hash(index->seed, name.at, name.n), node->entry.hash);
}

struct noc_group *noc_share_find(
    const struct noc_index *index, const struct noc_node *node, struct noc_slice name)
{
    struct noc_table_probe probe;
    struct noc_table_entry *entry =
        noc_table_first(&index->groups, group_hash(index, node, name), &probe);

    for (; entry != NULL; entry = noc_table_next(&probe)) {
        struct noc_group *group = NOC_CONTAINER(entry, struct noc_group, entry);

        if (group->node == node && noc_slice_equal(noc_group_name(group), name)) {
            return group;
        }
    }
    return NULL;
}

static struct noc_member_table *table_of(const struct noc_group *group)
{
    return atomic_load_explicit(&group->table, memory_order_relaxed);
}

static struct noc_member_table *member_table_new(uint32_t room)
{
    struct noc_member_table *table = malloc(sizeof *table + room * sizeof table->slots[0]);

    if (table == NULL) {
        return NULL;
    }
    table->room = room;
    atomic_init(&table->count, 0);
    atomic_init(&table->connected, 0);
    for (uint32_t i = 0; i < room; i++) {
        atomic_init(&table->slots[i], NULL);
    }
    return table;
}

static struct noc_group *group_new(
    struct noc_index *index, struct noc_node *node, struct noc_slice name)
{
    struct noc_group *group = calloc(1, sizeof *group + name.n);
    struct noc_member_table *table = group == NULL ? NULL : member_table_new(MEMBERS_MIN);

    if (table == NULL) {
        free(group);
        return NULL;
    }
    group->entry.hash = group_hash(index, node, name);
    group->ending.retire.index = index;
    group->node = node;
    atomic_init(&group->next, NULL);
    atomic_init(&group->table, table);
    atomic_init(&group->turn, 0);
    atomic_init(&group->changes, 0);
    group->name_n = (uint32_t)name.n;
    memcpy(group->name, name.at, name.n);
    return group;
}

void noc_group_free(struct noc_group *group)
{
    struct noc_member_table *table = table_of(group);
    unsigned count = atomic_load_explicit(&table->count, memory_order_relaxed);

    for (unsigned i = 0; i < count; i++) {
        free(atomic_load_explicit(&table->slots[i], memory_order_relaxed));
    }
    free(table);
    free(group);
}

static void link_group(struct noc_index *index, struct noc_node *node, struct noc_group *group)
{
    struct noc_group *first = atomic_load_explicit(&node->groups, memory_order_relaxed);

    noc_table_insert_locked(&index->groups, &group->entry);
    atomic_store_explicit(&group->next, first, memory_order_relaxed);
    group->previous = NULL;
    if (first != NULL) {
        first->previous = group;
    }
    atomic_store_explicit(&node->groups, group, memory_order_seq_cst);
}

/* The group keeps its next pointer, for readers that stand on it. */
static void unlink_group(struct noc_index *index, unsigned worker, struct noc_group *group)
{
    struct noc_group *next = atomic_load_explicit(&group->next, memory_order_relaxed);
    _Atomic(struct noc_group *) *from =
        group->previous == NULL ? &group->node->groups : &group->previous->next;

    noc_table_remove_locked(&index->groups, index->reclaim, worker, &group->entry);
    atomic_store_explicit(from, next, memory_order_seq_cst);
    if (next != NULL) {
        next->previous = group->previous;
    }
}

/* ---- members, under the lock ---- */

static unsigned load(const atomic_uint *number)
{
    return atomic_load_explicit(number, memory_order_relaxed);
}

static struct noc_member_entry *member_at(const struct noc_member_table *table, unsigned at)
{
    return atomic_load_explicit(&table->slots[at], memory_order_relaxed);
}

static void put_member(struct noc_member_table *table, unsigned at, struct noc_member_entry *member)
{
    member->sub->position = at;
    atomic_store_explicit(&table->slots[at], member, memory_order_release);
}

static void table_give_back(struct noc_deferred *deferred, unsigned reader)
{
    (void)reader;
    free(NOC_CONTAINER(deferred, struct noc_member_table, deferred));
}

static void member_give_back(struct noc_deferred *deferred, unsigned reader)
{
    (void)reader;
    free(NOC_CONTAINER(deferred, struct noc_member_entry, deferred));
}

static int change_room(
    struct noc_index *index, unsigned worker, struct noc_group *group, uint32_t room)
{
    struct noc_member_table *old = table_of(group);
    struct noc_member_table *fresh = member_table_new(room);
    unsigned count = load(&old->count);

    if (fresh == NULL) {
        return NOC_ENOMEM;
    }
    for (unsigned i = 0; i < count; i++) {
        atomic_store_explicit(&fresh->slots[i], member_at(old, i), memory_order_relaxed);
    }
    atomic_store_explicit(&fresh->count, count, memory_order_relaxed);
    atomic_store_explicit(&fresh->connected, load(&old->connected), memory_order_relaxed);
    atomic_store_explicit(&group->table, fresh, memory_order_release);
    old->deferred.give_back = table_give_back;
    noc_reclaim_defer(index->reclaim, worker, &old->deferred);
    return NOC_OK;
}

static void note_change(struct noc_group *group)
{
    atomic_fetch_add_explicit(&group->changes, 1, memory_order_release);
}

/* There is room. */
static void add_member(struct noc_group *group, struct noc_member_entry *member)
{
    struct noc_member_table *table = table_of(group);
    unsigned count = load(&table->count);
    unsigned connected = load(&table->connected);

    if (!member->sub->is_connected) {
        put_member(table, count, member);
        atomic_store_explicit(&table->count, count + 1, memory_order_release);
    } else {
        put_member(table, count, connected < count ? member_at(table, connected) : member);
        atomic_store_explicit(&table->count, count + 1, memory_order_release);
        put_member(table, connected, member);
        atomic_store_explicit(&table->connected, connected + 1, memory_order_release);
    }
    note_change(group);
}

/* Take the member at a place out of the connected ones: it is the first of the others then. */
static void disconnect(struct noc_member_table *table, unsigned at)
{
    struct noc_member_entry *member = member_at(table, at);
    unsigned last = load(&table->connected) - 1;

    put_member(table, at, member_at(table, last));
    put_member(table, last, member);
    atomic_store_explicit(&table->connected, last, memory_order_release);
}

static void connect(struct noc_member_table *table, unsigned at)
{
    struct noc_member_entry *member = member_at(table, at);
    unsigned first = load(&table->connected);

    put_member(table, at, member_at(table, first));
    put_member(table, first, member);
    atomic_store_explicit(&table->connected, first + 1, memory_order_release);
}

static struct noc_member_entry *remove_member(struct noc_group *group, const struct noc_sub *sub)
{
    struct noc_member_table *table = table_of(group);
    struct noc_member_entry *member = member_at(table, sub->position);
    unsigned last = load(&table->count) - 1;

    assert(member->sub == sub);
    if (sub->position < load(&table->connected)) {
        disconnect(table, sub->position);
    }
    put_member(table, sub->position, member_at(table, last));
    atomic_store_explicit(&table->count, last, memory_order_release);
    note_change(group);
    return member;
}

/* ---- entering and leaving ---- */

static struct noc_member_entry *member_new(unsigned worker, struct noc_sub *sub)
{
    struct noc_member_entry *member = malloc(sizeof *member);

    if (member != NULL) {
        member->deferred.give_back = member_give_back;
        member->session_number = sub->session_number;
        member->worker = worker;
        member->sub = sub;
    }
    return member;
}

static int reserve_member(struct noc_index *index, unsigned worker, struct noc_group *group)
{
    uint32_t room = table_of(group)->room;

    return load(&table_of(group)->count) < room ? NOC_OK
                                                : change_room(index, worker, group, room * 2);
}

int noc_share_enter_locked(struct noc_index *index, unsigned worker, struct noc_node *node,
    struct noc_slice name, struct noc_sub *sub)
{
    struct noc_group *group = noc_share_find(index, node, name);
    struct noc_member_entry *member = member_new(worker, sub);
    int err = NOC_ENOMEM;

    if (member == NULL) {
        return NOC_ENOMEM;
    }
    if (group != NULL) {
        err = reserve_member(index, worker, group);
    } else if (noc_table_reserve_locked(&index->groups, index->reclaim, worker) == NOC_OK) {
        group = group_new(index, node, name);
        err = group == NULL ? NOC_ENOMEM : NOC_OK;
        if (group != NULL) {
            link_group(index, node, group);
        }
    }
    if (err < 0) {
        free(member);
        return err;
    }
    sub->group = group;
    add_member(group, member);
    return NOC_OK;
}

static void group_destroy(struct noc_retire *retire)
{
    struct noc_group *group = NOC_CONTAINER(retire, struct noc_group, ending.retire);

    noc_index_forget(&group->ending);
    noc_group_free(group);
}

void noc_share_leave_locked(struct noc_index *index, unsigned worker, struct noc_sub *sub)
{
    struct noc_group *group = sub->group;
    struct noc_member_entry *member = remove_member(group, sub);
    unsigned count = load(&table_of(group)->count);
    uint32_t room = table_of(group)->room;

    noc_reclaim_defer(index->reclaim, worker, &member->deferred);
    if (count == 0) {
        unlink_group(index, worker, group);
        noc_index_retire_locked(index, worker, &group->ending, group_destroy);
    } else if (room > MEMBERS_MIN && count < room / 4) {
        (void)change_room(index, worker, group, room / 2); /* without memory it stays as it is */
    }
}

void noc_share_connect_locked(struct noc_sub *sub, bool on)
{
    struct noc_member_table *table = table_of(sub->group);

    if (on) {
        connect(table, sub->position);
    } else {
        disconnect(table, sub->position);
    }
    note_change(sub->group);
}

/* ---- reading ---- */

struct noc_slice noc_group_name(const struct noc_group *group)
{
    return noc_slice(group->name, group->name_n);
}

struct noc_group *noc_group_next(const struct noc_group *group)
{
    return atomic_load_explicit(&group->next, memory_order_acquire);
}

/*
 * start holds the turn in its low 24 bits and, above, the low 8 bits of the
 * group's count of changes. While nothing has changed, attempt k is the k-th
 * member in circular order from the turn on, connected ones first: each once.
 *
 * When something has changed, places have shifted: who was tried and failed has
 * mostly left. Then go on further back by as many places as there were changes,
 * and give up late: a member may be tried twice, but none is passed over.
 */
enum { TURN_BITS = 24, TURN_MASK = 0xffffff, CHANGES_MASK = 0xff };

static unsigned attempts_most(unsigned count, unsigned changes)
{
    return changes == 0 ? count : 3 * count + changes;
}

bool noc_group_pick(
    struct noc_group *group, unsigned attempt, uint32_t *start, struct noc_member *ret_member)
{
    unsigned changes = atomic_load_explicit(&group->changes, memory_order_acquire) & CHANGES_MASK;
    const struct noc_member_table *table =
        atomic_load_explicit(&group->table, memory_order_acquire);
    unsigned count = atomic_load_explicit(&table->count, memory_order_acquire);
    unsigned connected = atomic_load_explicit(&table->connected, memory_order_acquire);
    const struct noc_member_entry *member;
    unsigned place, at;

    if (attempt == 0) {
        unsigned turn = atomic_fetch_add_explicit(&group->turn, 1, memory_order_relaxed);

        *start = changes << TURN_BITS | (turn & TURN_MASK);
    }
    changes = (changes - (*start >> TURN_BITS)) & CHANGES_MASK;
    if (count == 0 || attempt >= attempts_most(count, changes)) {
        return false;
    }
    if (connected > count) {
        connected = count; /* read at two moments */
    }
    place = attempt < changes ? 0 : (attempt - changes) % count;
    at = (*start & TURN_MASK) + attempt;
    if (place < connected) {
        at = at % connected;
    } else if (connected < count) {
        at = connected + at % (count - connected);
    }
    member = atomic_load_explicit(&table->slots[at], memory_order_acquire);
    ret_member->session_number = member->session_number;
    ret_member->worker = member->worker;
    ret_member->is_connected = place < connected;
    return true;
}
