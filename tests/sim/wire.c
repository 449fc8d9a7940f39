/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
/* Chance, and connections as both ends see them. */
#include <stdlib.h>
#include <string.h>

#include "sim.h"

/* SplitMix64. */
uint64_t sim_random(struct sim_random *random)
{
    uint64_t z = random->state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

unsigned sim_below(struct sim_random *random, unsigned n)
{
    return n == 0 ? 0 : (unsigned)(sim_random(random) % n);
}

bool sim_chance(struct sim_random *random, unsigned per_thousand)
{
    return per_thousand > 0 && sim_below(random, 1000) < per_thousand;
}

void sim_pipe_put(struct sim_pipe *pipe, const void *bytes, size_t n)
{
    if (n == 0) {
        return;
    }
    if (pipe->head + pipe->n + n > pipe->room) {
        if (pipe->n > 0) {
            memmove(pipe->bytes, pipe->bytes + pipe->head, pipe->n);
        }
        pipe->head = 0;
        if (pipe->n + n > pipe->room) {
            pipe->room = (pipe->n + n) * 2;
            pipe->bytes = sim_realloc(pipe->bytes, pipe->room);
        }
    }
    memcpy(pipe->bytes + pipe->head + pipe->n, bytes, n);
    pipe->n += n;
}

void sim_pipe_drop(struct sim_pipe *pipe, size_t n)
{
    pipe->head += n;
    pipe->n -= n;
    if (pipe->n == 0) {
        pipe->head = 0;
    }
}

struct sim_wire *sim_wire_new(size_t down_room)
{
    struct sim_wire *wire = sim_alloc(sizeof *wire);

    memset(wire, 0, sizeof *wire);
    (void)pthread_mutex_init(&wire->lock, NULL);
    wire->references = 2;
    wire->down_room = down_room;
    return wire;
}

void sim_wire_unref(struct sim_wire *wire)
{
    unsigned left;

    if (wire == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&wire->lock);
    left = --wire->references;
    (void)pthread_mutex_unlock(&wire->lock);
    if (left == 0) {
        free(wire->up.bytes);
        free(wire->down.bytes);
        (void)pthread_mutex_destroy(&wire->lock);
        free(wire);
    }
}
