/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Others with the identifier of a client that has an engine. One takes the session over, and is
 * gone; the other wants a clean one, so that the session is lost, as it is when a broker
 * loses its state. Either is in before the client comes back, so that it is known what it did.
 */
#include "engine.h"

/* Is what it might do certain, and allowed for? */
static bool may_come(const struct sim_client *client, bool is_wiping)
{
    const struct sim_profile *its = sim_profile_of(client);
    bool is_settled = client->state == SIM_OPEN ||
                      (client->state == SIM_IDLE && is_wiping && !client->was_unknown);

    if (client->session == NULL || client->may_have_session || !is_settled || its->denied > 0 ||
        sim_client_is_watcher(client)) {
        return false;
    }
    if (is_wiping) {
        return client->version != NOC_V31 && !its->is_stable_group;
    }
    /* A will that waits is not published if the session goes on. */
    return client->last_expiry_s == UINT32_MAX && client->will_delay_s == 0;
}

static void come(struct sim_client *client, bool is_wiping)
{
    struct sim_engine *engine = client->engine;
    struct sim_world *world = client->world;
    struct noc_connect connect = {.version = client->version,
        .clean_start = is_wiping,
        .client_id = noc_slice_of(client->id)};
    uint8_t props[8], bytes[100];
    size_t n;

    if (!is_wiping && client->version == NOC_V5) {
        n = (size_t)(noc_prop_put_u32(props, NOC_PROP_SESSION_EXPIRY, UINT32_MAX) - props);
        connect.props.raw = noc_slice(props, n);
    }
    n = noc_connect_encode(&connect, bytes, sizeof bytes);
    engine->rival =
        sim_connect(world, sim_below(&world->random, world->shard_count), client->listener);
    engine->is_wiping = is_wiping;
    engine->is_rival_in = false;
    sim_say(world, "client %s has a rival%s", client->id, is_wiping ? ", who wants all clean" : "");
    (void)pthread_mutex_lock(&engine->rival->lock);
    sim_pipe_put(&engine->rival->up, bytes, n);
    (void)pthread_mutex_unlock(&engine->rival->lock);
}

/* CONNACK, is it there? */
static bool has_come_in(struct sim_client *client)
{
    struct sim_wire *rival = client->engine->rival;
    struct noc_header header;
    bool is_in = false, is_refused = false;

    (void)pthread_mutex_lock(&rival->lock);
    if (rival->down.n > 0 && noc_header_decode(client->version, sim_pipe_peek(&rival->down),
                                 rival->down.n, &header) > 0) {
        is_in = rival->down.n >= header.size + 2u;
        is_refused = is_in && sim_pipe_peek(&rival->down)[header.size + 1] != 0;
    }
    (void)pthread_mutex_unlock(&rival->lock);
    sim_engine_check(client, !is_refused || client->world->is_lawless, "its rival was refused");
    return is_in;
}

static void go(struct sim_engine *engine)
{
    sim_wire_unref(engine->rival);
    engine->rival = NULL;
}

static void wait_for(struct sim_client *client)
{
    struct sim_engine *engine = client->engine;
    bool is_closed = sim_wire_is_closed(engine->rival);

    if (has_come_in(client)) {
        sim_say(client->world, "client %s: its rival is in", client->id);
        engine->is_rival_in = true;
        client->last_expiry_s = engine->is_wiping ? 0 : client->last_expiry_s;
        sim_wire_set(engine->rival, false);
    } else if (is_closed) {
        /* The glue took no more connections; what became of the session is not for us to say. */
        client->must_be_clean |= engine->is_wiping;
        go(engine);
    }
}

void sim_rival_turn(struct sim_client *client)
{
    struct sim_engine *engine = client->engine;
    struct sim_random *random = sim_chance_of(client);

    if (engine->rival == NULL) {
        bool is_wiping = sim_chance(random, 500);

        if (client->world->is_active && sim_chance(random, sim_profile_of(client)->rival) &&
            may_come(client, is_wiping)) {
            come(client, is_wiping);
        }
    } else if (!engine->is_rival_in) {
        wait_for(client);
    } else if (sim_wire_is_closed(engine->rival) && client->state == SIM_IDLE) {
        go(engine); /* it was known until the connection that it ended had ended here, too */
    }
}
