/* SPDX-License-Identifier: Apache-2.0 */
#include "core/release.h"

#include <stdlib.h>
#include <string.h>
#include <threads.h>

#include "core/deliver.h"
#include "core/journal.h"
#include "core/receipt.h"
#include <noctule/error.h>

/* The entries that a worker has written under a release. */
struct held {
    size_t count, room;
    struct {
        uint64_t session_number, sequence;
    } at[];
};

static void on_done(struct noc_ticket *ticket);

struct noc_release *noc_release_new(struct noc_shard *shard)
{
    struct noc_release *release = calloc(1, sizeof *release);

    if (release == NULL) {
        return NULL;
    }
    release->ticket.done = on_done;
    release->core = shard->core;
    release->home = shard->number;
    noc_release_add(release, shard->number);
    return release;
}

void noc_release_free(struct noc_release *release)
{
    free(release);
}

void noc_release_add(struct noc_release *release, unsigned worker)
{
    release->ticket.parts++;
    noc_release_pass_on(release, worker);
}

void noc_release_pass_on(struct noc_release *release, unsigned worker)
{
    (void)atomic_fetch_or_explicit(&release->workers, UINT64_C(1) << worker, memory_order_relaxed);
}

/* ---- what is held ---- */

static uint64_t key_of(const struct noc_release *release)
{
    return (uint64_t)(uintptr_t)release;
}

/* Note the entry, to be told of when it is stored. */
static int hold(const struct noc_release *release, struct noc_session *session, uint64_t sequence)
{
    struct noc_map64 *map = &session->shard->releases;
    struct held *held = noc_map64_get(map, key_of(release));

    if (held == NULL || held->count == held->room) {
        size_t room = held == NULL ? 4 : held->room * 2;
        struct held *larger = malloc(sizeof *larger + room * sizeof larger->at[0]);

        if (larger == NULL) {
            return NOC_ENOMEM;
        }
        larger->count = 0;
        if (held != NULL) {
            memcpy(larger, held, sizeof *held + held->count * sizeof held->at[0]);
        }
        larger->room = room;
        if (noc_map64_set(map, key_of(release), larger) != NOC_OK) {
            free(larger);
            return NOC_ENOMEM;
        }
        free(held);
        held = larger;
    }
    held->at[held->count].session_number = session->number;
    held->at[held->count++].sequence = sequence;
    return NOC_OK;
}

int noc_release_put(
    struct noc_release *release, struct noc_session *session, struct noc_outgoing *entry)
{
    if (hold(release, session, entry->sequence) != NOC_OK) {
        return NOC_ENOMEM;
    }
    if (noc_journal_put_held(session, entry, &release->ticket) != NOC_OK) {
        struct held *held = noc_map64_get(&session->shard->releases, key_of(release));

        held->count--;
        return NOC_ENOMEM;
    }
    return NOC_OK;
}

void noc_release_close(struct noc_shard *shard, struct noc_release *release)
{
    noc_journal_part(shard, &release->ticket);
}

/* ---- stored ---- */

/* On each worker that took part. */
static void is_stored(struct noc_shard *shard, void *argument)
{
    struct noc_release *release = argument;

    if (shard != NULL) {
        struct held *held = noc_map64_take(&shard->releases, key_of(release));

        for (size_t i = 0; held != NULL && i < held->count; i++) {
            struct noc_session *session =
                noc_map64_get(&shard->by_number, held->at[i].session_number);

            if (session != NULL) {
                noc_journal_held_is_safe(session, held->at[i].sequence);
                noc_session_go_on(session);
            }
        }
        free(held);
        if (shard->number == release->home) {
            struct noc_session *session =
                release->session_number == 0
                    ? NULL
                    : noc_map64_get(&shard->by_number, release->session_number);

            if (session != NULL && release->is_will) {
                noc_journal_will_is_stored(session);
            } else if (session != NULL) {
                noc_journal_release_is_stored(session);
            }
            noc_part_release(shard, release->part);
        }
    }
    if (atomic_fetch_sub_explicit(&release->left, 1, memory_order_acq_rel) == 1) {
        noc_release_free(release);
    }
}

/* On the store's thread: tell all workers concerned. Memory for that comes back sooner or later. */
static void on_done(struct noc_ticket *ticket)
{
    struct noc_release *release = NOC_CONTAINER(ticket, struct noc_release, ticket);
    struct noc_core *core = release->core;
    uint64_t workers = atomic_load_explicit(&release->workers, memory_order_relaxed);

    atomic_store(&release->left, (unsigned)__builtin_popcountll(workers));
    for (; workers != 0; workers &= workers - 1) {
        unsigned worker = (unsigned)__builtin_ctzll(workers);
        bool wake = false;

        while (noc_shard_call_mt(core, worker, is_stored, release, &wake) != NOC_OK) {
            thrd_yield();
        }
        if (wake) {
            core->shards[worker]->ops->wake(core->shards[worker], worker);
        }
    }
}

void noc_releases_done(struct noc_shard *shard)
{
    struct held *held;
    size_t at = 0;

    while ((held = noc_map64_next(&shard->releases, &at)) != NULL) {
        free(held);
    }
    noc_map64_done(&shard->releases);
}
