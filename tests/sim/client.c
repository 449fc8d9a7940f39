/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
/*
 * What a client does: it connects, publishes, subscribes, answers, and leaves
 * in every way there is.
 *
 *   IDLE --CONNECT--> CONNECTING --CONNACK--> OPEN --DISCONNECT--> LEAVING --> IDLE
 *     ^                                        |
 *     +---- cut, finished, forgotten, closed --+
 *
 * A client never breaks a rule of MQTT, so whatever the broker objects to is an error.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "sim.h"

/* ---- small things ---- */

void sim_fifo_put(struct sim_fifo *fifo, uint8_t type, uint16_t packet_id)
{
    if (fifo->head + fifo->n == fifo->room) {
        if (fifo->head > 0) {
            memmove(fifo->at, fifo->at + fifo->head, fifo->n * sizeof *fifo->at);
            fifo->head = 0;
        }
        if (fifo->n == fifo->room) {
            fifo->room = fifo->room == 0 ? 16 : fifo->room * 2;
            fifo->at = sim_realloc(fifo->at, fifo->room * sizeof *fifo->at);
        }
    }
    fifo->at[fifo->head + fifo->n++] = (struct sim_owed){type, packet_id};
}

bool sim_fifo_take(struct sim_fifo *fifo, struct sim_owed *ret_owed)
{
    if (fifo->n == 0) {
        return false;
    }
    *ret_owed = fifo->at[fifo->head++];
    if (--fifo->n == 0) {
        fifo->head = 0;
    }
    return true;
}

void sim_fifo_done(struct sim_fifo *fifo)
{
    free(fifo->at);
    *fifo = (struct sim_fifo){0};
}

bool sim_client_is_watcher(const struct sim_client *client)
{
    return sim_profile_of(client)->watchers && client->number < 2;
}

void sim_client_say(struct sim_client *client, const void *bytes, size_t n)
{
    if (n == 0) {
        sim_fail(client->world, "client %s: a packet could not be encoded", client->id);
    }
    (void)pthread_mutex_lock(&client->wire->lock);
    sim_pipe_put(&client->wire->up, bytes, n);
    (void)pthread_mutex_unlock(&client->wire->lock);
    client->spoke_ms = sim_now(client->world);
}

/* ---- answering ---- */

static void send_owed(struct sim_client *client)
{
    struct sim_owed owed;
    unsigned most = client->world->is_active ? 1 + sim_below(sim_chance_of(client), 6) : 1000;

    while (most-- > 0 && sim_fifo_take(&client->owed, &owed)) {
        uint8_t bytes[8];

        sim_client_say(client, bytes,
            noc_ack_encode(client->version, owed.type, owed.packet_id, 0, bytes, sizeof bytes));
        if (owed.type == NOC_PUBACK || owed.type == NOC_PUBCOMP) {
            if (client->taken_ids[owed.packet_id]) {
                client->taken_ids[owed.packet_id] = false;
                client->window--;
            }
        } else if (owed.type == NOC_PUBREL) {
            sim_fifo_put(&client->acks[2], 0, owed.packet_id);
        }
    }
}

static void ping(struct sim_client *client)
{
    uint8_t bytes[2];

    client->is_pinging = true;
    sim_client_say(client, bytes, noc_ping_encode(NOC_PINGREQ, bytes, sizeof bytes));
}

/* ---- turns ---- */

static void ring_act(struct sim_client *client)
{
    unsigned own = client->number, next = (client->number + 1) % client->world->scenario->clients;

    if (!sim_session_has(client->session, own)) {
        if (client->subscribe_id == 0) {
            sim_client_subscribe(client, false, (int)own);
        }
        return;
    }
    if (client->world->is_active && client->ring_owed > 0 &&
        client->flight_count < SIM_FLIGHTS_MAX &&
        client->flight_count < client->server_receive_max) {
        client->ring_owed--;
        client->ring_said++;
        sim_client_publish(client, next, 1, false);
    }
}

/* End the connection in some way. True: it is over. */
static bool act_leaving(struct sim_client *client)
{
    struct sim_random *random = sim_chance_of(client);
    const struct sim_profile *its = sim_profile_of(client);

    if (sim_client_is_watcher(client)) {
        return false;
    }
    if (sim_chance(random, its->leave)) {
        return sim_client_leave(client);
    }
    if (sim_chance(random, its->cut)) {
        sim_client_cut(client, true);
        return true;
    }
    if (sim_chance(random, its->finish)) {
        sim_client_cut(client, false);
        return true;
    }
    if (sim_chance(random, its->abandon)) {
        return sim_client_abandon(client);
    }
    if (sim_chance(random, its->stall)) {
        client->paused_until = client->world->step + sim_below(random, 3000);
    }
    return false;
}

void sim_client_act(struct sim_client *client)
{
    struct sim_random *random = sim_chance_of(client);
    const struct sim_profile *its = sim_profile_of(client);

    if (its->is_ring) {
        ring_act(client);
        return;
    }
    if (sim_client_is_watcher(client) && !sim_session_has(client->session, 0)) {
        if (client->subscribe_id == 0) {
            sim_client_subscribe(client, false, 0);
        }
        return;
    }
    if (!client->world->is_active || act_leaving(client)) {
        return;
    }
    if (sim_chance(random, its->publish)) {
        sim_client_publish_some(client);
    }
    if (client->state != SIM_OPEN) {
        return; /* its power has failed */
    }
    if (client->subscribe_id == 0 && !sim_client_is_watcher(client)) {
        if (sim_chance(random, its->subscribe)) {
            sim_client_subscribe(client, false, -1);
        } else if (sim_chance(random, its->unsubscribe)) {
            sim_client_subscribe(client, true, -1);
        }
    }
}

/* Of a storm the others go first, then the one that ends the session. */
static bool may_retire(const struct sim_client *client)
{
    if (!sim_profile_of(client)->is_storm || client->number % 4 != 0) {
        return true;
    }
    for (unsigned i = 1; i < 4; i++) {
        if (!client[i].is_retired) {
            return false;
        }
    }
    return true;
}

static void open_turn(struct sim_client *client)
{
    struct sim_world *world = client->world;
    uint64_t quiet_ms = sim_now(world) - client->spoke_ms;

    if (world->is_active && client->paused_until > world->step) {
        if (client->keepalive_s > 0 && quiet_ms > client->keepalive_s * UINT64_C(500)) {
            ping(client); /* it does not read, but it is alive */
        }
        return;
    }
    sim_client_hear(client);
    if (client->state != SIM_OPEN) {
        return;
    }
    if (!world->is_active || sim_chance(sim_chance_of(client), sim_profile_of(client)->answer)) {
        send_owed(client);
    }
    if ((client->keepalive_s > 0 && quiet_ms > client->keepalive_s * UINT64_C(500)) ||
        sim_chance(sim_chance_of(client), sim_profile_of(client)->ping)) {
        ping(client);
    }
    if (world->is_leaving && client->owed.n == 0) {
        client->is_retiring = client->is_clean && may_retire(client);
        (void)sim_client_leave(client);
        return;
    }
    sim_client_act(client);
}

/* Has it nothing more at the broker? */
static bool has_retired(const struct sim_client *client)
{
    if (sim_profile_of(client)->is_storm) {
        return client->number % 4 != 0 || client->is_retiring;
    }
    return (client->session == NULL || client->last_expiry_s == 0) && !client->may_have_session &&
           !client->must_be_clean;
}

void sim_client_idle_turn(struct sim_client *client)
{
    struct sim_world *world = client->world;
    bool is_storm = sim_profile_of(client)->is_storm;

    if (client->is_retired || (world->is_active && world->step < client->idle_until)) {
        return;
    }
    if (client->was_unknown && client->last_wire != NULL &&
        !sim_wire_is_closed(client->last_wire)) {
        return; /* what it did is known only then */
    }
    if (is_storm && !world->is_active && !world->is_leaving) {
        return; /* whoever is in stays in */
    }
    if (world->is_leaving) {
        if (has_retired(client)) {
            client->is_retired = true;
            return;
        }
        if (!may_retire(client)) {
            return;
        }
    }
    sim_client_connect(client);
}

void sim_client_turn(struct sim_client *client)
{
    sim_client_reap(client);
    if (client->engine != NULL) {
        sim_engine_turn(client);
        return;
    }
    switch ((enum sim_client_state)client->state) {
    case SIM_IDLE:
        sim_client_idle_turn(client);
        break;
    case SIM_CONNECTING:
        sim_client_hear(client);
        if (client->state == SIM_CONNECTING && client->world->is_active &&
            !sim_client_is_watcher(client) &&
            sim_chance(sim_chance_of(client), sim_profile_of(client)->cut_connect)) {
            sim_client_cut(client, true);
        }
        break;
    case SIM_OPEN:
        open_turn(client);
        break;
    case SIM_LEAVING:
        sim_client_hear(client);
        if (client->state == SIM_LEAVING && sim_wire_is_closed(client->wire)) {
            sim_client_leave_wire(client, client->was_graceful);
        }
        break;
    }
}

bool sim_client_is_idle(const struct sim_client *client)
{
    bool is_quiet = client->flight_count == 0 && client->owed.n == 0 && client->subscribe_id == 0 &&
                    !client->is_pinging;

    for (unsigned i = 0; i < SIM_ZOMBIES_MAX; i++) {
        is_quiet &= client->zombies[i] == NULL;
    }
    if (client->engine != NULL) {
        is_quiet &= sim_engine_is_idle(client);
    }
    if (client->world->is_leaving) {
        return client->is_retired;
    }
    if (client->world->profile->is_storm) {
        return client->state == SIM_IDLE || (client->state == SIM_OPEN && is_quiet);
    }
    return client->state == SIM_OPEN && is_quiet;
}

/* ---- life ---- */

static uint32_t draw_expiry(struct sim_client *client)
{
    const unsigned *shares = sim_profile_of(client)->expiry;
    unsigned drawn = sim_below(sim_chance_of(client), shares[0] + shares[1] + shares[2]);

    if (sim_client_is_watcher(client) || sim_profile_of(client)->is_storm) {
        return UINT32_MAX;
    }
    if (drawn < shares[0]) {
        return 0;
    }
    if (drawn < shares[0] + shares[1] || client->version != NOC_V5) {
        return UINT32_MAX;
    }
    return 1 + sim_below(sim_chance_of(client), 20);
}

void sim_client_init(struct sim_client *client, struct sim_world *world, unsigned number)
{
    static const uint8_t versions[] = {NOC_V5, NOC_V5, NOC_V5, NOC_V311, NOC_V311, NOC_V31};

    client->world = world;
    client->number = number;
    client->version = versions[sim_below(&world->random, NOC_COUNT(versions))];
    if (world->is_lawless && client->version == NOC_V31) {
        client->version = NOC_V311; /* which is told whether its session is there */
    }
    if (sim_client_is_watcher(client)) {
        client->version = number == 0 ? NOC_V5 : NOC_V311;
    }
    client->listener = world->profile->has_mounts && !sim_client_is_watcher(client) &&
                       sim_chance(&world->random, 400);
    (void)snprintf(client->id, sizeof client->id, world->profile->is_storm ? "storm%u" : "c%u",
        world->profile->is_storm ? number / 4 : number);
    client->taken_ids = sim_alloc(65536);
    client->again_ids = sim_alloc(65536);
    client->known = sim_alloc(world->topic_count);
    client->expiry_s = draw_expiry(client);
    client->idle_until = sim_client_is_watcher(client) ? 0 : sim_below(&world->random, 500);
    client->ring_owed = 3;
    if (sim_chance(&world->random, world->profile->engines)) {
        sim_engine_new(client);
    }
}

void sim_client_done(struct sim_client *client)
{
    sim_client_reset(client);
    sim_wire_unref(client->wire);
    sim_wire_unref(client->last_wire);
    for (unsigned i = 0; i < SIM_ZOMBIES_MAX; i++) {
        sim_wire_unref(client->zombies[i]);
    }
    free(client->heard);
    free(client->taken_ids);
    free(client->again_ids);
    free(client->known);
    sim_engine_free(client);
}
