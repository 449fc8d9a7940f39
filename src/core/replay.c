/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session's replays stand in the order in which they began, and in a table by
 * filter: a SUBSCRIBE may begin tens of thousands, and end as many.
 */
#include "core/replay.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "core/deliver.h"

/* How the messages go out: as the subscription had it when the replay was asked for. */
struct pass {
    uint64_t version; /* what is retained later comes live, and must not come ahead of that */
    uint32_t id;
    uint8_t qos;
};

/*
 * A filter that is subscribed to again before its replay is through gets it once more for each
 * time [MQTT-3.8.4-3]. Of those to come only the number and the newest form are kept, so what
 * a client can make us hold does not grow.
 */
struct noc_replay {
    struct noc_list in_session;
    uint64_t key; /* in by_filter */
    struct noc_retained_cursor cursor;
    struct pass now, next;
    uint32_t again;    /* passes to come, as in next */
    bool is_left_over; /* from an earlier connection */
    size_t filter_n;
    char filter[];
};

/* There while there is at least one. */
struct noc_replays {
    struct noc_list list;
    struct noc_map64 by_filter; /* hash of the filter, of 64 bits under a key that nobody knows */
};

static uint64_t key_of(const struct noc_session *session, struct noc_slice filter)
{
    return noc_hash(session->shard->core->seed, filter.at, filter.n) | 1;
}

static struct noc_replay *first_of(const struct noc_session *session)
{
    return session->replays == NULL
               ? NULL
               : NOC_CONTAINER(session->replays->list.next, struct noc_replay, in_session);
}

static void drop(struct noc_session *session, struct noc_replay *replay)
{
    struct noc_replays *replays = session->replays;

    (void)noc_map64_take(&replays->by_filter, replay->key);
    noc_list_remove(&replay->in_session);
    noc_retained_cursor_done(&replay->cursor);
    free(replay);
    if (noc_list_is_empty(&replays->list)) {
        noc_map64_done(&replays->by_filter);
        free(replays);
        session->replays = NULL;
    }
}

/* Enter it as the last one. */
static int add(struct noc_session *session, struct noc_replay *replay)
{
    struct noc_replays *replays = session->replays;

    if (replays == NULL) {
        replays = calloc(1, sizeof *replays);
        if (replays == NULL) {
            return NOC_ENOMEM;
        }
        noc_list_init(&replays->list);
    }
    if (noc_map64_set(&replays->by_filter, replay->key, replay) != NOC_OK) {
        if (session->replays == NULL) {
            free(replays);
        }
        return NOC_ENOMEM;
    }
    session->replays = replays;
    noc_list_append(&replays->list, &replay->in_session);
    return NOC_OK;
}

static struct noc_replay *find(const struct noc_session *session, struct noc_slice filter)
{
    return session->replays == NULL
               ? NULL
               : noc_map64_get(&session->replays->by_filter, key_of(session, filter));
}

/* From the first topic on, behind the session's other replays. */
static void start_over(struct noc_session *session, struct noc_replay *replay)
{
    noc_retained_cursor_done(&replay->cursor);
    noc_retained_cursor_init(&replay->cursor, noc_slice(replay->filter, replay->filter_n));
    replay->now = replay->next;
    replay->again--;
    noc_list_remove(&replay->in_session);
    noc_list_append(&session->replays->list, &replay->in_session);
}

int noc_replay_start(struct noc_session *session, struct noc_slice filter, uint8_t qos, uint32_t id,
    uint64_t version)
{
    struct pass pass = {.version = version, .id = id, .qos = qos};
    struct noc_replay *replay = find(session, filter);

    if (replay != NULL && !replay->is_left_over) {
        replay->next = pass;
        replay->again += replay->again < UINT32_MAX;
        return NOC_OK;
    }
    replay = malloc(sizeof *replay + filter.n);
    if (replay == NULL) {
        return NOC_ENOMEM;
    }
    noc_replay_cancel(session, filter);
    *replay = (struct noc_replay){.key = key_of(session, filter), .now = pass};
    noc_list_init(&replay->in_session);
    replay->filter_n = filter.n;
    memcpy(replay->filter, filter.at, filter.n);
    noc_retained_cursor_init(&replay->cursor, noc_slice(replay->filter, filter.n));
    if (add(session, replay) != NOC_OK) {
        free(replay);
        return NOC_ENOMEM;
    }
    noc_replay_wake(session->link);
    return NOC_OK;
}

void noc_replay_cancel(struct noc_session *session, struct noc_slice filter)
{
    struct noc_replay *replay = find(session, filter);

    if (replay != NULL) {
        drop(session, replay);
    }
}

void noc_replay_detached(struct noc_session *session)
{
    struct noc_list *at, *next;

    if (session->replays == NULL) {
        return;
    }
    /* With the last one the list itself goes. */
    for (at = session->replays->list.next; session->replays != NULL; at = next) {
        struct noc_replay *replay = NOC_CONTAINER(at, struct noc_replay, in_session);

        if (at == &session->replays->list) {
            return;
        }
        next = at->next;
        /*
         * One pass goes on, the newest: only that has what was retained after the one at hand
         * began and did not come live, being the client's own (No Local).
         */
        if (replay->again > 0 && (replay->now.qos == 0 || replay->next.qos > 0)) {
            start_over(session, replay);
        }
        replay->again = 0;
        replay->is_left_over = true;
        if (replay->now.qos == 0) {
            drop(session, replay);
        }
    }
}

void noc_replay_done(struct noc_session *session)
{
    while (session->replays != NULL) {
        drop(session, first_of(session));
    }
}

void noc_replay_wake(struct noc_link *link)
{
    if (link->session->replays != NULL && !noc_list_is_linked(&link->replaying)) {
        noc_list_append(&link->shard->replays, &link->replaying);
    }
}

/* How many messages the link could take now; half the output's bound is left to live traffic. */
static unsigned room_for(const struct noc_link *link, const struct noc_replay *replay)
{
    const struct noc_session *session = link->session;
    const struct noc_limits *limits = &link->shard->core->limits;
    unsigned most = NOC_REPLAY_STEP;

    if (link->out.bytes >= limits->max_output_bytes / 2 || noc_link_is_failing(link) ||
        link->reasons_waiting > 0) {
        return 0; /* behind the SUBACK, too, where that waits */
    }
    if (replay->now.qos == 0) {
        return NOC_REPLAY_STEP;
    }
    if (session->queue.count > 0 || !noc_session_has_window(session)) {
        return 0;
    }
    if (limits->max_inflight_bytes > 0 || limits->max_queued_bytes > 0) {
        return 1; /* There is no telling how many of them the bytes allow. */
    }
    if (limits->max_queued_messages > 0 && limits->max_queued_messages < most) {
        most = limits->max_queued_messages; /* they may have to wait there for the store */
    }
    return link->window_max - session->open_count < most
               ? (unsigned)(link->window_max - session->open_count)
               : most;
}

static void deliver(
    struct noc_link *link, const struct noc_replay *replay, struct noc_message *message)
{
    struct noc_shard *shard = link->shard;
    struct noc_publication publication = {.parts = noc_message_parts(message), .message = message};
    uint8_t qos = replay->now.qos < message->qos ? replay->now.qos : message->qos;

    if (message->expires_ms <= shard->now_ms) {
        noc_sweep_expired(shard, message);
    } else if (message->retained_version <= replay->now.version) {
        noc_session_replay(link->session, &publication, qos, replay->now.id);
    }
    noc_publication_done(&publication);
}

/* A portion of what the shard may look at in this turn. False: there is nothing more, or no room. */
static bool step(struct noc_link *link, unsigned *visits_left)
{
    struct noc_shard *shard = link->shard;
    struct noc_replay *replay = first_of(link->session);
    struct noc_message *some[NOC_REPLAY_STEP];
    unsigned visits = *visits_left < NOC_REPLAY_STEP * 4 ? *visits_left : NOC_REPLAY_STEP * 4;
    unsigned room = replay == NULL ? 0 : room_for(link, replay);
    uint32_t before;
    int count;

    if (room == 0) {
        return false;
    }
    before = replay->cursor.visited;
    count = noc_retained_next(shard->core->retained, &replay->cursor, visits, some, room);
    visits = replay->cursor.visited - before;
    *visits_left -=
        visits == 0 ? 1 : visits; /* to find the place, or nothing, costs something, too */
    for (int i = 0; i < count; i++) {
        deliver(link, replay, some[i]);
    }
    if (count != NOC_ENOMEM && replay->cursor.is_done && replay->again > 0) {
        start_over(link->session, replay);
    } else if (count == NOC_ENOMEM || replay->cursor.is_done) {
        drop(link->session, replay);
    }
    return link->session->replays != NULL;
}

void noc_replay_run(struct noc_shard *shard)
{
    unsigned visits_left = NOC_REPLAY_VISITS;
    struct noc_list *at;

    /* By turns, so that all go on, however many there are; the rest in the shard's next turn. */
    while (visits_left > 0 && (at = noc_list_take(&shard->replays)) != NULL) {
        struct noc_link *link = NOC_CONTAINER(at, struct noc_link, replaying);

        if (link->session != NULL && step(link, &visits_left)) {
            noc_replay_wake(link);
        }
    }
}
