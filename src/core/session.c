/* SPDX-License-Identifier: Apache-2.0 */
#include "core/session.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "core/deliver.h"
#include "core/journal.h"
#include "core/link.h"
#include "core/mail.h"
#include "core/release.h"
#include "core/replay.h"

/* While another worker is behind, a will looks again after this long. */
#define WILL_RETRY_MS 20u

/* ---- the shard's tables ---- */

static struct noc_session **bucket_of(struct noc_shard *shard, uint64_t hash)
{
    return &shard->by_id[hash & shard->by_id_mask];
}

struct noc_session *noc_session_find(struct noc_shard *shard, const struct noc_home *home)
{
    struct noc_session *session;

    if (shard->by_id == NULL) {
        return NULL;
    }
    session = *bucket_of(shard, home->hash);
    while (session != NULL && session->home != home) {
        session = session->next_by_id;
    }
    return session;
}

/* Make the table of ids twice as large. Without memory for it chains grow longer. */
static bool grow_by_id(struct noc_shard *shard)
{
    size_t slots = shard->by_id == NULL ? 64 : (shard->by_id_mask + 1) * 2;
    struct noc_session **bigger = calloc(slots, sizeof(struct noc_session *));

    if (bigger == NULL) {
        return shard->by_id != NULL;
    }
    for (size_t at = 0; shard->by_id != NULL && at <= shard->by_id_mask; at++) {
        while (shard->by_id[at] != NULL) {
            struct noc_session *session = shard->by_id[at];

            shard->by_id[at] = session->next_by_id;
            session->next_by_id = bigger[session->id_hash & (slots - 1)];
            bigger[session->id_hash & (slots - 1)] = session;
        }
    }
    free(shard->by_id);
    shard->by_id = bigger;
    shard->by_id_mask = slots - 1;
    return true;
}

struct noc_session *noc_session_new(struct noc_shard *shard, struct noc_home *home)
{
    struct noc_session *session = calloc(1, sizeof *session);

    if (session == NULL) {
        return NULL;
    }
    if ((shard->by_id == NULL || shard->by_id_count > shard->by_id_mask) && !grow_by_id(shard)) {
        free(session);
        return NULL;
    }
    session->shard = shard;
    session->home = home;
    session->id_hash = home->hash;
    session->number = noc_shard_new_number(shard);
    session->expires_ms = NOC_NEVER_MS;
    session->will_due_ms = NOC_NEVER_MS;
    noc_timer_init(&session->timer, NOC_TIMER_SESSION);
    if (noc_map64_set(&shard->by_number, session->number, session) != NOC_OK) {
        free(session);
        return NULL;
    }
    session->next_by_id = *bucket_of(shard, session->id_hash);
    *bucket_of(shard, session->id_hash) = session;
    shard->by_id_count++;
    noc_list_append(&shard->sessions, &session->link_in_shard);
    noc_shard_count(shard, NOC_COUNT_SESSIONS, 1);
    return session;
}

struct noc_session *noc_session_walk(struct noc_shard *shard, bool is_first)
{
    struct noc_list *at = is_first ? shard->sessions.next : shard->walk;

    if (at == &shard->sessions) {
        shard->walk = at;
        return NULL;
    }
    shard->walk = at->next;
    return NOC_CONTAINER(at, struct noc_session, link_in_shard);
}

static void take_out(struct noc_session *session)
{
    struct noc_shard *shard = session->shard;
    struct noc_session **at = bucket_of(shard, session->id_hash);

    while (*at != session) {
        at = &(*at)->next_by_id;
    }
    *at = session->next_by_id;
    shard->by_id_count--;
    (void)noc_map64_take(&shard->by_number, session->number);
    if (shard->walk == &session->link_in_shard) {
        shard->walk = session->link_in_shard.next;
    }
    noc_list_remove(&session->link_in_shard);
    noc_timer_stop(&shard->timers, &session->timer);
    noc_shard_count(shard, NOC_COUNT_SESSIONS, -1);
}

void noc_session_free(struct noc_session *session)
{
    if (session->is_dropping) {
        noc_shard_log(session->shard, NOC_LOG_NOTICE,
            "The session of client %.*s ends; %u messages for it were dropped.",
            NOC_SLICE_ARG(noc_session_id(session)), (unsigned)session->dropped);
    }
    take_out(session);
    for (size_t at = 0; session->subs != NULL && at <= session->sub_mask; at++) {
        if (session->subs[at] != NULL) {
            noc_index_unsubscribe(
                session->shard->core->index, session->shard->number, session->subs[at]);
            free(session->subs[at]);
        }
    }
    free(session->subs);
    noc_session_drop_messages(session);
    noc_journal_forget(session);
    noc_replay_done(session);
    free(session->window.at);
    free(session->queue.at);
    noc_session_clear_will(session);
    free(session->memos);
    free(session->username);
    free(session);
}

/*
 * Publish the will, if there is one, and forget it. Of a session that is kept that is stored whole: the
 * caller tells under the release that the will is gone, and closes it. NULL: there is none.
 */
static struct noc_release *publish_will(struct noc_session *session)
{
    struct noc_shard *shard = session->shard;
    struct noc_message *will = session->will.message;
    struct noc_publication publication = {0};
    struct noc_acl_subject subject = {
        noc_session_id(session), noc_slice(session->username, session->username_n)};

    if (!session->has_will) {
        return NULL;
    }
    session->has_will = false;
    session->will_due_ms = NOC_NEVER_MS;
    publication.parts = noc_message_parts(will);
    if (session->will.has_expiry) {
        publication.parts.expires_ms = shard->now_ms + (uint64_t)session->will.expiry_s * 1000;
    }
    if (session->durable != NULL && noc_journal_reserve(shard) == NOC_OK) {
        publication.release = noc_release_new(shard);
    }
    if (noc_acl_allows(shard->acls[session->listener->number], &subject, NOC_ACCESS_WRITE,
            publication.parts.topic)) {
        noc_route_or_drop(shard, &publication);
    } else {
        noc_shard_count(shard, NOC_COUNT_PUBLISH_DENIED, 1);
    }
    noc_publication_done(&publication);
    noc_message_unref(will);
    return publication.release;
}

void noc_session_end(struct noc_session *session)
{
    struct noc_shard *shard = session->shard;
    struct noc_home *home = session->home;
    struct noc_release *release = publish_will(session);

    noc_journal_close(session, release == NULL ? NULL : &release->ticket);
    if (release != NULL) {
        noc_release_close(shard, release);
    }
    noc_session_free(session);
    (void)noc_directory_leave_mt(shard->core->directory, home);
}

/* ---- will, expiry ---- */

void noc_session_clear_will(struct noc_session *session)
{
    if (session->has_will) {
        noc_message_unref(session->will.message);
        session->has_will = false;
    }
    session->will_due_ms = NOC_NEVER_MS;
}

void noc_session_fire_will(struct noc_session *session)
{
    struct noc_release *release = publish_will(session);

    if (release != NULL) {
        release->is_will = true;
        if (noc_journal_will_is_held(session, &release->ticket) == NOC_OK) {
            release->session_number = session->number;
        }
        noc_release_close(session->shard, release);
    }
}

static void arm(struct noc_session *session)
{
    uint64_t next =
        session->expires_ms < session->will_due_ms ? session->expires_ms : session->will_due_ms;

    if (next == NOC_NEVER_MS) {
        noc_timer_stop(&session->shard->timers, &session->timer);
    } else {
        noc_timer_set(&session->shard->timers, &session->timer, next);
    }
}

/* When it ends if its connection is lost now. */
static uint64_t expiry_from(const struct noc_session *session, uint64_t now_ms)
{
    uint64_t never_s = (uint64_t)session->shard->core->limits.absent_expiry_s;

    if (session->expiry_s != NOC_NEVER_S) {
        return now_ms + (uint64_t)session->expiry_s * 1000;
    }
    return never_s == 0 ? NOC_NEVER_MS : now_ms + never_s * 1000;
}

void noc_session_detached(struct noc_session *session)
{
    struct noc_shard *shard = session->shard;
    bool waits = session->has_will && noc_mail_is_behind(shard);

    if (session->expiry_s == 0 && !waits) {
        noc_session_end(session);
        return;
    }
    session->expires_ms = expiry_from(session, shard->now_ms);
    if (session->has_will) {
        session->will_due_ms = shard->now_ms + (uint64_t)session->will.delay_s * 1000;
        if (session->will.delay_s == 0 && !waits) {
            noc_session_fire_will(session);
        }
    }
    noc_session_set_connected(session, false);
    arm(session);
    noc_journal_detached(session);
}

void noc_session_lost(struct noc_session *session)
{
    uint64_t now_ms = session->shard->now_ms;

    noc_session_absent(
        session, expiry_from(session, now_ms), now_ms + (uint64_t)session->will.delay_s * 1000);
    noc_journal_detached(session);
}

void noc_session_absent(struct noc_session *session, uint64_t expires_ms, uint64_t will_due_ms)
{
    session->expires_ms = expires_ms;
    session->will_due_ms = session->has_will ? will_due_ms : NOC_NEVER_MS;
    arm(session);
}

void noc_session_tick(struct noc_session *session)
{
    struct noc_shard *shard = session->shard;

    if (session->link != NULL) {
        return;
    }
    if (session->has_will && noc_mail_is_behind(shard)) {
        /* A will waits at its source while another worker is behind. */
        noc_timer_set(&shard->timers, &session->timer, shard->now_ms + WILL_RETRY_MS);
        return;
    }
    if (session->expires_ms <= shard->now_ms && session->expiry_s == 0) {
        noc_session_end(session);
        return;
    }
    if (session->expires_ms <= shard->now_ms) {
        noc_shard_log(shard, NOC_LOG_NOTICE, "Expiring client %.*s due to timeout.",
            NOC_SLICE_ARG(noc_session_id(session)));
        noc_shard_count(shard, NOC_COUNT_SESSIONS_EXPIRED, 1);
        noc_session_end(session);
        return;
    }
    if (session->will_due_ms <= shard->now_ms) {
        noc_session_fire_will(session);
        noc_journal_session(session, false);
    }
    arm(session);
}

/* ---- subscriptions ---- */

static size_t sub_hash(const struct noc_node *node, const struct noc_group *group)
{
    return (size_t)noc_hash_mix((uint64_t)(uintptr_t)node, (uint64_t)(uintptr_t)group);
}

/* The slot of (node, group), or the free one where it would go. There are slots. */
static size_t sub_slot(
    const struct noc_session *session, const struct noc_node *node, const struct noc_group *group)
{
    size_t at = sub_hash(node, group) & session->sub_mask;

    while (session->subs[at] != NULL &&
           (session->subs[at]->node != node || session->subs[at]->group != group)) {
        at = (at + 1) & session->sub_mask;
    }
    return at;
}

struct noc_sub *noc_session_find_sub(
    const struct noc_session *session, const struct noc_node *node, const struct noc_group *group)
{
    return session->subs == NULL || node == NULL ? NULL
                                                 : session->subs[sub_slot(session, node, group)];
}

static int grow_subs(struct noc_session *session)
{
    size_t slots = session->subs == NULL ? 4 : (session->sub_mask + 1) * 2;
    size_t old_slots = session->subs == NULL ? 0 : session->sub_mask + 1;
    struct noc_sub **old = session->subs;
    struct noc_sub **bigger = calloc(slots, sizeof(struct noc_sub *));

    if (bigger == NULL) {
        return NOC_ENOMEM;
    }
    session->subs = bigger;
    session->sub_mask = slots - 1;
    for (size_t at = 0; at < old_slots; at++) {
        if (old[at] != NULL) {
            bigger[sub_slot(session, old[at]->node, old[at]->group)] = old[at];
        }
    }
    free(old);
    return NOC_OK;
}

static struct noc_sub *find_by_filter(
    const struct noc_session *session, struct noc_slice filter, struct noc_slice group)
{
    struct noc_node *node = noc_index_find(session->shard->core->index, filter);
    struct noc_group *share = NULL;

    if (node == NULL) {
        return NULL;
    }
    if (group.at != NULL) {
        share = noc_node_find_group(node, group);
        if (share == NULL) {
            return NULL;
        }
    }
    return noc_session_find_sub(session, node, share);
}

int noc_session_subscribe(struct noc_session *session, struct noc_slice filter,
    struct noc_slice group, uint8_t options, uint32_t id, struct noc_sub **ret_new)
{
    struct noc_shard *shard = session->shard;
    struct noc_sub *sub = find_by_filter(session, filter, group);

    if (sub != NULL) {
        sub->options = options;
        sub->id = id;
        *ret_new = NULL;
        return NOC_OK;
    }
    if (noc_shard_is_memory_short(shard)) {
        return NOC_EFULL;
    }
    if ((session->subs == NULL || (session->sub_count + 1) * 4 > (session->sub_mask + 1) * 3) &&
        grow_subs(session) != NOC_OK) {
        return NOC_ENOMEM;
    }
    sub = calloc(1, sizeof *sub);
    if (sub == NULL) {
        return NOC_ENOMEM;
    }
    *sub = (struct noc_sub){
        .session = session,
        .session_number = session->number,
        .id = id,
        .options = options,
        .is_durable = noc_session_is_durable(session),
        .is_connected = session->link != NULL,
    };
    if (noc_index_subscribe(shard->core->index, shard->number, filter, group, sub) != NOC_OK) {
        free(sub);
        return NOC_ENOMEM;
    }
    session->subs[sub_slot(session, sub->node, sub->group)] = sub;
    session->sub_count++;
    *ret_new = sub;
    return NOC_OK;
}

/* Free a slot; the run behind it moves back. */
static void empty_slot(struct noc_session *session, size_t hole)
{
    size_t at = hole;

    session->subs[hole] = NULL;
    session->sub_count--;
    for (at = (at + 1) & session->sub_mask; session->subs[at] != NULL;
         at = (at + 1) & session->sub_mask) {
        size_t home =
            sub_hash(session->subs[at]->node, session->subs[at]->group) & session->sub_mask;

        if (((at - home) & session->sub_mask) >= ((at - hole) & session->sub_mask)) {
            session->subs[hole] = session->subs[at];
            session->subs[at] = NULL;
            hole = at;
        }
    }
}

bool noc_session_unsubscribe(
    struct noc_session *session, struct noc_slice filter, struct noc_slice group)
{
    struct noc_sub *sub = find_by_filter(session, filter, group);

    if (sub == NULL) {
        return false;
    }
    empty_slot(session, sub_slot(session, sub->node, sub->group));
    noc_index_unsubscribe(session->shard->core->index, session->shard->number, sub);
    free(sub);
    return true;
}

void noc_session_set_expiry(struct noc_session *session, uint32_t expiry_s)
{
    bool was = noc_session_is_durable(session);

    session->expiry_s = expiry_s;
    if (was == noc_session_is_durable(session)) {
        return;
    }
    for (size_t at = 0; session->subs != NULL && at <= session->sub_mask; at++) {
        if (session->subs[at] != NULL) {
            noc_index_set_durable(session->shard->core->index, session->shard->number,
                session->subs[at], noc_session_is_durable(session));
        }
    }
}

void noc_session_set_connected(struct noc_session *session, bool on)
{
    for (size_t at = 0; session->subs != NULL && at <= session->sub_mask; at++) {
        struct noc_sub *sub = session->subs[at];

        if (sub != NULL && sub->group != NULL) {
            noc_index_set_connected(session->shard->core->index, session->shard->number, sub, on);
        }
    }
}

/* ---- rings ---- */

struct noc_outgoing *noc_ring_at(const struct noc_ring *ring, uint32_t index)
{
    return &ring->at[(ring->head + index) & (ring->room - 1)];
}

uint32_t noc_ring_find(const struct noc_ring *ring, uint64_t sequence)
{
    uint32_t low = 0, high = ring->count;

    if (high > 0 && noc_ring_at(ring, 0)->sequence >= sequence) {
        return 0; /* mostly it is the head that is looked for */
    }
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (noc_ring_at(ring, middle)->sequence < sequence) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Move the entries to a room of its own; false: out of memory. */
static bool set_room(struct noc_ring *ring, uint32_t room)
{
    struct noc_outgoing *at = malloc(room * sizeof *at);

    if (at == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < ring->count; i++) {
        at[i] = *noc_ring_at(ring, i);
    }
    free(ring->at);
    *ring = (struct noc_ring){at, 0, ring->count, room};
    return true;
}

bool noc_ring_reserve(struct noc_ring *ring, uint32_t n)
{
    uint32_t room = ring->room == 0 ? 4 : ring->room;

    while (room - ring->count < n) {
        room *= 2;
    }
    return room == ring->room || set_room(ring, room);
}

void noc_ring_fit(struct noc_ring *ring)
{
    uint32_t room = ring->room;

    if (ring->count == 0) {
        free(ring->at);
        *ring = (struct noc_ring){0};
        return;
    }
    while (room / 8 >= ring->count) {
        room /= 2;
    }
    if (room < ring->room) {
        (void)set_room(ring, room);
    }
}

struct noc_outgoing *noc_ring_push(struct noc_ring *ring)
{
    struct noc_outgoing *entry;

    if (ring->count == ring->room && !noc_ring_reserve(ring, 1)) {
        return NULL;
    }
    entry = &ring->at[(ring->head + ring->count++) & (ring->room - 1)];
    *entry = (struct noc_outgoing){0};
    return entry;
}

void noc_ring_drop_head(struct noc_ring *ring)
{
    ring->head = (ring->head + 1) & (ring->room - 1);
    ring->count--;
    if (ring->count == 0 && ring->room > 64) {
        free(ring->at);
        *ring = (struct noc_ring){0};
    }
}

void noc_outgoing_done(struct noc_outgoing *outgoing)
{
    noc_message_unref(outgoing->message);
    outgoing->message = NULL;
    if (outgoing->ids.count > 1) {
        free(outgoing->ids.as.many);
    }
    outgoing->ids.count = 0;
}
