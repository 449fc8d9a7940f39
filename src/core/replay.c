/* SPDX-License-Identifier: Apache-2.0 */
#include "core/replay.h"

#include <stdlib.h>
#include <string.h>

#include "core/deliver.h"

struct noc_replay {
    struct noc_replay *next;
    struct noc_retained_cursor cursor;
    uint64_t version; /* what is retained later comes live, and must not come ahead of that */
    uint32_t id;
    uint8_t qos;
    size_t filter_n;
    char filter[];
};

/* Free the one that a pointer to it leads to. */
static void drop(struct noc_replay **at)
{
    struct noc_replay *replay = *at;

    *at = replay->next;
    noc_retained_cursor_done(&replay->cursor);
    free(replay);
}

int noc_replay_start(struct noc_session *session, struct noc_slice filter, uint8_t qos, uint32_t id,
    uint64_t version)
{
    struct noc_replay **end = &session->replay, *replay = malloc(sizeof *replay + filter.n);

    if (replay == NULL) {
        return NOC_ENOMEM;
    }
    noc_replay_cancel(session, filter);
    replay->next = NULL;
    replay->version = version;
    replay->id = id;
    replay->qos = qos;
    replay->filter_n = filter.n;
    memcpy(replay->filter, filter.at, filter.n);
    noc_retained_cursor_init(&replay->cursor, noc_slice(replay->filter, filter.n));
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = replay;
    noc_replay_wake(session->link);
    return NOC_OK;
}

void noc_replay_cancel(struct noc_session *session, struct noc_slice filter)
{
    for (struct noc_replay **at = &session->replay; *at != NULL; at = &(*at)->next) {
        if (noc_slice_equal(noc_slice((*at)->filter, (*at)->filter_n), filter)) {
            drop(at);
            return;
        }
    }
}

void noc_replay_detached(struct noc_session *session)
{
    for (struct noc_replay **at = &session->replay; *at != NULL;) {
        if ((*at)->qos == 0) {
            drop(at);
        } else {
            at = &(*at)->next;
        }
    }
}

void noc_replay_done(struct noc_session *session)
{
    while (session->replay != NULL) {
        drop(&session->replay);
    }
}

void noc_replay_wake(struct noc_link *link)
{
    if (link->session->replay != NULL && !noc_list_is_linked(&link->replaying)) {
        noc_list_append(&link->shard->replays, &link->replaying);
    }
}

/* How many messages the link could take now; half the output's bound is left to live traffic. */
static unsigned room_for(const struct noc_link *link)
{
    const struct noc_session *session = link->session;

    if (link->out.bytes >= link->shard->core->limits.max_output_bytes / 2 ||
        noc_link_is_failing(link)) {
        return 0;
    }
    if (session->replay->qos == 0) {
        return NOC_REPLAY_STEP;
    }
    if (session->queue.count > 0 || !noc_session_has_window(session)) {
        return 0;
    }
    if (link->shard->core->limits.max_inflight_bytes > 0) {
        return 1; /* There is no telling how many of them the bytes allow. */
    }
    return link->window_max - session->open_count < NOC_REPLAY_STEP
               ? (unsigned)(link->window_max - session->open_count)
               : NOC_REPLAY_STEP;
}

static void deliver(
    struct noc_link *link, const struct noc_replay *replay, struct noc_message *message)
{
    struct noc_shard *shard = link->shard;
    struct noc_publication publication = {.parts = noc_message_parts(message), .message = message};
    uint8_t qos = replay->qos < message->qos ? replay->qos : message->qos;

    if (message->expires_ms <= shard->now_ms) {
        noc_retained_remove_if(shard->core->retained, shard->number, message);
    } else if (message->retained_version <= replay->version) {
        noc_session_replay(link->session, &publication, qos, replay->id);
    }
    noc_publication_done(&publication);
}

/* A portion of what the shard may look at in this turn. False: the link has nothing more, or no room. */
static bool step(struct noc_link *link, unsigned *visits_left)
{
    struct noc_shard *shard = link->shard;
    struct noc_replay *replay = link->session->replay;
    struct noc_message *some[NOC_REPLAY_STEP];
    unsigned visits = *visits_left < NOC_REPLAY_STEP * 4 ? *visits_left : NOC_REPLAY_STEP * 4;
    unsigned room = replay == NULL ? 0 : room_for(link);
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
    if (count == NOC_ENOMEM || replay->cursor.is_done) {
        drop(&link->session->replay);
    }
    return link->session->replay != NULL;
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
