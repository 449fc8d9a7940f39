/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
/* What must hold inside the core between two turns. Nobody runs a shard meanwhile. */
#include "core/session.h"
#include "sim.h"

struct sums {
    int64_t connected, sessions, messages, bytes, paused;
};

static void check(const struct sim_world *world, bool is_right, const char *rule)
{
    if (!is_right) {
        sim_fail(world, "inside: %s", rule);
    }
}

static void look_at_ring(const struct sim_world *world, const struct noc_session *session,
    const struct noc_ring *ring, bool is_window, struct sums *sums)
{
    uint64_t bytes = 0;
    uint32_t open = 0;

    for (uint32_t i = 0; i < ring->count; i++) {
        const struct noc_outgoing *entry = noc_ring_at(ring, i);

        if (is_window && entry->state == NOC_OUT_DONE) {
            check(world, i > 0, "the window begins with a hole");
            continue;
        }
        open++;
        bytes += entry->payload_n;
        check(world, is_window || entry->message != NULL, "a queued message is empty");
    }
    check(world, bytes == (is_window ? session->window_bytes : session->queue_bytes),
        "a session's bytes do not add up");
    check(world, !is_window || open == session->open_count, "open_count is wrong");
    sums->messages += open;
    sums->bytes += (int64_t)bytes;
}

static void look_at_session(
    const struct sim_world *world, const struct noc_session *session, struct sums *sums)
{
    const struct noc_limits *limits = &world->limits;
    unsigned subs = 0;

    sums->sessions++;
    sums->connected += session->link != NULL;
    look_at_ring(world, session, &session->window, true, sums);
    look_at_ring(world, session, &session->queue, false, sums);
    check(world, session->home->worker == session->shard->number, "a session not at home");
    check(world, session->home->has_session, "a session unknown to the directory");
    check(world, noc_session_find(session->shard, session->home) == session,
        "two sessions of one id");
    if (session->link != NULL) {
        check(world, session->link->session == session, "the link has another session");
        check(world, session->link->state == NOC_LINK_OPEN, "a session's link is not open");
        check(world, session->link->shard == session->shard, "link and session on two shards");
        check(world, !noc_timer_is_set(&session->timer), "a connected session's clock runs");
    }
    check(world,
        limits->max_queued_messages == 0 || session->queue.count <= limits->max_queued_messages,
        "a queue beyond its limit");
    check(world, limits->max_queued_bytes == 0 || session->queue_bytes <= limits->max_queued_bytes,
        "a queue's bytes beyond their limit");
    for (size_t at = 0; session->subs != NULL && at <= session->sub_mask; at++) {
        subs += session->subs[at] != NULL;
    }
    check(world, subs == session->sub_count, "sub_count is wrong");
}

static void look_at_link(
    const struct sim_world *world, const struct noc_link *link, struct sums *sums)
{
    bool is_linked = noc_list_is_linked(&link->paused);

    sums->paused += is_linked;
    check(world, (link->session != NULL) == (link->state == NOC_LINK_OPEN),
        "open is who has a session");
    check(world, link->state == NOC_LINK_CLOSING || link->is_paused == is_linked,
        "is_paused is wrong");
    check(world, link->state != NOC_LINK_MOVING, "a link on its way is in a shard");
    check(world, (link->ticket != 0) <= (link->state == NOC_LINK_AUTH), "a ticket out of place");
}

void sim_invariants(struct sim_world *world)
{
    struct sums sums = {0};

    for (unsigned i = 0; i < world->shard_count; i++) {
        struct noc_shard *shard = &world->workers[i].shard;

        for (struct noc_list *at = shard->sessions.next; at != &shard->sessions; at = at->next) {
            look_at_session(world, NOC_CONTAINER(at, struct noc_session, link_in_shard), &sums);
        }
        for (struct noc_list *at = shard->links.next; at != &shard->links; at = at->next) {
            look_at_link(world, NOC_CONTAINER(at, struct noc_link, link_in_shard), &sums);
        }
    }
    check(world, sums.connected == noc_core_count_mt(&world->core, NOC_COUNT_CONNECTED),
        "NOC_COUNT_CONNECTED has drifted");
    check(world, sums.sessions == noc_core_count_mt(&world->core, NOC_COUNT_SESSIONS),
        "NOC_COUNT_SESSIONS has drifted");
    check(world, sums.messages == noc_core_count_mt(&world->core, NOC_COUNT_MESSAGES_QUEUED),
        "NOC_COUNT_MESSAGES_QUEUED has drifted");
    check(world, sums.bytes == noc_core_count_mt(&world->core, NOC_COUNT_BYTES_QUEUED),
        "NOC_COUNT_BYTES_QUEUED has drifted");
    check(world, sums.paused == noc_core_count_mt(&world->core, NOC_COUNT_PAUSED),
        "NOC_COUNT_PAUSED has drifted");
}

/* Everybody has left for good: nothing may be left of them. */
void sim_invariants_end(struct sim_world *world)
{
    static const enum noc_counter zeros[] = {NOC_COUNT_CONNECTED, NOC_COUNT_SESSIONS,
        NOC_COUNT_PAUSED, NOC_COUNT_MESSAGES_QUEUED, NOC_COUNT_BYTES_QUEUED};
    struct noc_index_counts counts;

    sim_invariants(world);
    for (unsigned i = 0; i < NOC_COUNT(zeros); i++) {
        check(world, noc_core_count_mt(&world->core, zeros[i]) == 0, "a counter is not 0 again");
    }
    noc_index_counts_mt(world->core.index, &counts);
    check(world, counts.subscriptions == 0 && counts.nodes == 0, "subscriptions are left");
    for (unsigned i = 0; i < world->scenario->clients; i++) {
        struct noc_home *home =
            noc_directory_enter_mt(world->core.directory, noc_slice_of(world->clients[i].id), 0);

        check(world, home->on_their_way == 1 && !home->has_session, "the directory is not empty");
        check(world, !noc_directory_cancel_mt(world->core.directory, home),
            "an entry of the directory stays");
    }
}
