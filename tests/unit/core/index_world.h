/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_INDEX_WORLD_H
#define TESTS_INDEX_WORLD_H
/* An index with its workers, all played by one thread, for the tests of the index. */

#include <stdlib.h>

#include "core/index.h"

enum { WORLD_WORKERS = 4 };

struct world_notice {
    struct world_notice *next;
    struct noc_retire *retire;
};

struct world {
    struct noc_reclaim *reclaim;
    struct noc_index *index;
    struct world_notice *notices[WORLD_WORKERS]; /* posted and not drained */
};

static inline void world_post(void *context, unsigned worker, struct noc_retire *retire)
{
    struct world *world = context;

    (void)worker;
    for (unsigned to = 0; to < WORLD_WORKERS; to++) {
        struct world_notice *notice = malloc(sizeof *notice);

        notice->retire = retire;
        notice->next = world->notices[to];
        world->notices[to] = notice;
    }
}

static inline void world_init(struct world *world)
{
    *world = (struct world){0};
    world->reclaim = noc_reclaim_new(WORLD_WORKERS);
    world->index = noc_index_new(WORLD_WORKERS, 42, world->reclaim, world_post, world);
    for (unsigned w = 0; w < WORLD_WORKERS; w++) {
        noc_reclaim_online(world->reclaim, w);
    }
}

/* A grace period: what is deferred is given back. */
static inline void world_pass_grace(struct world *world)
{
    for (unsigned i = 0; i < 3; i++) {
        for (unsigned w = 0; w < WORLD_WORKERS; w++) {
            noc_reclaim_quiescent(world->reclaim, w);
        }
    }
}

/* The worker drains its mail. Returns the notices there were. */
static inline unsigned world_drain(struct world *world, unsigned worker, bool is_told)
{
    unsigned count = 0;

    while (world->notices[worker] != NULL) {
        struct world_notice *notice = world->notices[worker];

        world->notices[worker] = notice->next;
        if (is_told) {
            noc_retire_drained(notice->retire);
        }
        free(notice);
        count++;
    }
    return count;
}

/* Whatever has ended is freed. */
static inline void world_settle(struct world *world)
{
    world_pass_grace(world);
    for (unsigned w = 0; w < WORLD_WORKERS; w++) {
        world_drain(world, w, true);
    }
}

static inline void world_done(struct world *world)
{
    noc_index_free(world->index);
    noc_reclaim_free(world->reclaim);
    for (unsigned w = 0; w < WORLD_WORKERS; w++) {
        world_drain(world, w, false);
    }
}

#endif
