/* SPDX-License-Identifier: Apache-2.0 */
/* A device with a client engine: how it is made, its turns, its connections. */
#include "engine.h"

#include <stdlib.h>
#include <string.h>

void sim_engine_check(const struct sim_client *client, bool is_right, const char *rule)
{
    if (!is_right) {
        sim_fail(client->world, "engine of client %s: %s", client->id, rule);
    }
}

uint32_t sim_engine_now(const struct sim_client *client)
{
    return (uint32_t)sim_now(client->world) + client->engine->clock_offset;
}

/* ---- life ---- */

/* Its memory begins anew; what is in its outbox stays. */
void sim_engine_init(struct sim_client *client)
{
    struct sim_engine *engine = client->engine;

    sim_engine_check(client,
        noc_client_init(&engine->client, &engine->options, engine->in, engine->in_room, engine->out,
            engine->out_room) == NOC_OK,
        "it can't be made");
    free(engine->given);
    engine->given = NULL;
    engine->payload.n = engine->payload.head = 0;
    engine->backoff = (struct noc_backoff){.min_ms = 5, .max_ms = 100};
}

static void make_outbox(struct sim_client *client)
{
    struct sim_engine *engine = client->engine;
    struct sim_random *random = sim_chance_of(client);

    if (sim_profile_of(client)->qos_least == 0 && !sim_client_is_watcher(client) &&
        sim_chance(random, 60)) {
        return; /* it can do without */
    }
    /* Version 3.1 does not tell who has lost all that the server knows nothing of it either. */
    engine->has_log = client->version == NOC_V31 || sim_chance(random, 500);
    if (engine->has_log) {
        sim_flash_init(&engine->flash, client->world, 4 * (200 + sim_below(random, 2000)));
        sim_engine_check(client,
            noc_log_outbox_open(&engine->log, &engine->flash.storage) == NOC_OK,
            "an empty log can't be opened");
        engine->options.outbox = &engine->log.box;
        return;
    }
    engine->ring_room = 300 + sim_below(random, sim_chance(random, 300) ? 40000 : 3000);
    engine->ring_bytes = sim_alloc(engine->ring_room);
    engine->options.outbox =
        noc_ring_outbox_init(&engine->ring, engine->ring_bytes, engine->ring_room);
}

static uint16_t draw_keep_alive(struct sim_client *client)
{
    unsigned step_ms = sim_profile_of(client)->step_ms;

    if (sim_chance(sim_chance_of(client), 300)) {
        return NOC_KEEP_ALIVE_OFF;
    }
    /* It may keep silent for all of that, and the server waits half of it longer for its turn. */
    return (uint16_t)(step_ms > 200  ? 90
                      : step_ms > 10 ? 30
                                     : 14 + sim_below(sim_chance_of(client), 10));
}

void sim_engine_new(struct sim_client *client)
{
    struct sim_engine *engine = sim_alloc(sizeof *engine);
    struct sim_random *random = sim_chance_of(client);
    const struct sim_profile *its = sim_profile_of(client);
    unsigned server_max = client->world->limits.max_inflight_messages;
    unsigned receive_max = its->receive_max > 0 ? its->receive_max : 20;
    bool is_web;

    memset(engine, 0, sizeof *engine);
    engine->last_heard = UINT32_MAX;
    client->engine = engine;
    engine->clock_offset = (uint32_t)sim_random(random);
    if (sim_chance(random, 500)) {
        engine->clock_offset = 0u - SIM_FIRST_MS - sim_below(random, 1000 * its->step_ms);
    }
    engine->in_room = 256 + (sim_chance(random, 500) ? 0 : sim_below(random, 8000));
    engine->out_room = 128 + (sim_chance(random, 500) ? 0 : sim_below(random, 3000));
    is_web = sim_chance(random, 400);
    engine->in_room += is_web ? 256 : 0;
    engine->out_room += is_web ? 256 : 0;
    engine->in = sim_alloc(engine->in_room);
    engine->out = sim_alloc(engine->out_room);
    engine->aliases = (struct noc_client_aliases){.at = engine->alias_topics[0],
        .lengths = engine->alias_lengths,
        .topic_max = SIM_ENGINE_TOPIC_MAX,
        .count = (uint16_t)(1 + sim_below(random, 4))};
    engine->options = (struct noc_client_options){.client_id = noc_slice_of(client->id),
        .version = client->version,
        .received = engine->received,
        /* Before version 5 the server knows its own limit only. */
        .received_max = (uint16_t)(client->version == NOC_V5 ? 1 + sim_below(random, receive_max)
                                   : server_max > 0          ? server_max
                                                             : SIM_ENGINE_RECEIVED_MAX),
        .inflight_max =
            (uint16_t)(1 + sim_below(random,
                               client->version == NOC_V5 || server_max == 0 ? 25 : server_max)),
        .keep_alive_s = draw_keep_alive(client)};
    if (its->max_packet > 0 && sim_chance(random, 300) && !sim_client_is_watcher(client)) {
        engine->max_packet = its->max_packet;
    }
    if (is_web) {
        sim_ws_init(client);
    }
    make_outbox(client);
    sim_engine_init(client);
    sim_say(client->world, "client %s has an engine: in %zu, out %zu, %s%s", client->id,
        engine->in_room, engine->out_room, engine->ws.is_on ? "WebSocket, " : "",
        engine->options.outbox == NULL ? "no outbox"
        : engine->has_log              ? "log"
                                       : "ring");
}

void sim_engine_free(struct sim_client *client)
{
    struct sim_engine *engine = client->engine;

    if (engine == NULL) {
        return;
    }
    sim_tap_reset(engine);
    free(engine->said.bytes);
    free(engine->heard.bytes);
    free(engine->passed.bytes);
    free(engine->payload.bytes);
    free(engine->heard_props);
    free(engine->given);
    free(engine->ring_bytes);
    free(engine->in);
    free(engine->out);
    sim_ws_done(&engine->ws);
    sim_flash_done(&engine->flash);
    sim_wire_unref(engine->rival);
    free(engine);
}

unsigned sim_engine_flights(const struct sim_client *client)
{
    unsigned count = 0;

    for (unsigned i = 0; i < client->engine->flight_count; i++) {
        count += !client->engine->flights[i].is_doubtful;
    }
    return count;
}

/* All is across, and answered: this is where everything comes to when faults have stopped. */
bool sim_engine_is_idle(const struct sim_client *client)
{
    const struct sim_engine *engine = client->engine;

    return noc_client_is_idle(&engine->client) && sim_engine_flights(client) == 0 &&
           engine->given == NULL && engine->releases.n == 0 && engine->completions.n == 0 &&
           engine->rival == NULL && engine->received[0] == 0 && engine->ws.framed.n == 0;
}

/* ---- a connection ---- */

static struct noc_slice connect_props(struct sim_client *client)
{
    struct sim_engine *engine = client->engine;
    uint8_t *at = engine->props;

    if (client->version != NOC_V5) {
        return noc_slice(NULL, 0);
    }
    if (client->expiry_s > 0) {
        at = noc_prop_put_u32(at, NOC_PROP_SESSION_EXPIRY, client->expiry_s);
    }
    if (client->max_packet > 0) {
        at = noc_prop_put_u32(at, NOC_PROP_MAXIMUM_PACKET_SIZE, client->max_packet);
    }
    return noc_slice(engine->props, (size_t)(at - engine->props));
}

static const struct noc_client_will *make_will(struct sim_client *client)
{
    struct sim_engine *engine = client->engine;
    const struct sim_message *message;
    uint8_t *at = engine->will_props;

    if (client->will == 0) {
        return NULL;
    }
    message = &client->world->messages[client->will - 1];
    sim_message_fill(client->world, client->will - 1, engine->will_payload);
    if (client->will_delay_s > 0) {
        at = noc_prop_put_u32(at, NOC_PROP_WILL_DELAY, client->will_delay_s);
    }
    engine->will =
        (struct noc_client_will){.topic = noc_slice_of(client->world->topics[message->topic]),
            .payload = noc_slice(engine->will_payload, message->payload_n),
            .props = noc_slice(engine->will_props, (size_t)(at - engine->will_props)),
            .qos = message->qos};
    return &engine->will;
}

void sim_engine_start(struct sim_client *client)
{
    struct sim_engine *engine = client->engine;

    engine->options.keep_session = !client->is_clean;
    engine->options.connect_props = connect_props(client);
    engine->options.will = make_will(client);
    engine->options.aliases = client->aliases_in_max > 0 ? &engine->aliases : NULL;
    sim_tap_reset(engine);
    engine->has_closed = engine->is_dropped = false;
    engine->is_stirred = true;
    engine->wrote_ms = engine->read_ms = sim_now(client->world);
    sim_engine_check(client, noc_client_start(&engine->client, sim_engine_now(client)) == NOC_OK,
        "it doesn't start");
}

void sim_engine_lose(struct sim_client *client)
{
    struct sim_engine *engine = client->engine;

    if (noc_client_state(&engine->client) == NOC_CLIENT_IDLE) {
        return;
    }
    engine->is_dropped = true;
    noc_client_lost(&engine->client);
    if (sim_engine_listen(client)) {
        sim_engine_check(client, noc_client_state(&engine->client) == NOC_CLIENT_IDLE,
            "its connection is lost, but it does not end");
    } else {
        sim_engine_restart(client);
    }
}

static void write_bytes(struct sim_client *client, const uint8_t *bytes, size_t n)
{
    struct sim_engine *engine = client->engine;

    if (engine->ws.is_on) {
        sim_ws_say(client, bytes, n);
    } else {
        sim_tap_say(client, bytes, n);
    }
    noc_client_sent(&engine->client, n, sim_engine_now(client));
}

/* DISCONNECT, and all that is in front of it: what becomes of a half of it nobody could tell. */
bool sim_engine_leave(struct sim_client *client, uint8_t reason, struct noc_slice props)
{
    struct sim_engine *engine = client->engine;
    uint32_t now = sim_engine_now(client);
    const uint8_t *bytes;
    size_t n;
    int err;

    if (engine->rival != NULL) {
        return false; /* nobody could tell whether the will was dropped */
    }
    err = noc_client_disconnect(&engine->client, reason, props, now);
    engine->is_stirred = true;
    if (err == NOC_EAGAIN) {
        return false;
    }
    sim_engine_check(client, err == NOC_OK, "it can't say goodbye");
    client->state = SIM_LEAVING;
    /* Once more for the close frame of a WebSocket. */
    for (unsigned i = 0; i < 3 && noc_client_state(&engine->client) != NOC_CLIENT_IDLE; i++) {
        while (bytes = noc_client_peek(&engine->client, now, &n), n > 0) {
            write_bytes(client, bytes, n);
        }
        sim_engine_check(client, sim_engine_listen(client), "power failed while it was leaving");
    }
    sim_engine_check(client, engine->has_said_goodbye, "it has said no goodbye");
    sim_engine_check(client, noc_client_state(&engine->client) == NOC_CLIENT_IDLE,
        "it has said goodbye, but does not end");
    sim_engine_check(
        client, !engine->ws.is_on || engine->ws.is_closed, "it ends without the close frame");
    return true;
}

/* ---- turns ---- */

static size_t some_of(struct sim_client *client, size_t n)
{
    struct sim_random *random = sim_chance_of(client);

    if (!client->world->is_active || sim_chance(random, 600)) {
        return n;
    }
    return sim_below(random, (unsigned)n + 1);
}

/* Silent for longer than it has promised? While it waits for PINGRESP it says no more. */
static void check_keep_alive(struct sim_client *client)
{
    const struct sim_engine *engine = client->engine;
    uint16_t keep_alive_s = engine->options.keep_alive_s;
    uint64_t now_ms = sim_now(client->world);

    if (keep_alive_s != NOC_KEEP_ALIVE_OFF && client->state == SIM_OPEN && engine->given == NULL &&
        engine->pings == 0 && engine->ws.framed.n == 0) {
        sim_engine_check(client, now_ms - engine->wrote_ms <= keep_alive_s * UINT64_C(1000),
            "it keeps silent for longer than its keep-alive [MQTT-3.1.2-20]");
    }
}

/* Write. False: power has failed. */
static bool speak(struct sim_client *client)
{
    struct sim_engine *engine = client->engine;
    uint32_t now = sim_engine_now(client);
    const uint8_t *bytes;
    size_t n, most;

    bytes = noc_client_peek(&engine->client, now, &n);
    if (engine->flash.is_off) {
        return false;
    }
    if (n == 0) {
        check_keep_alive(client);
        return true;
    }
    most = some_of(client, n);
    engine->is_blocked = most < n;
    if (most > 0) {
        write_bytes(client, bytes, most);
    }
    engine->is_stirred = true; /* the socket can be written to */
    return true;
}

static bool server_has_closed(struct sim_wire *wire)
{
    bool is;

    (void)pthread_mutex_lock(&wire->lock);
    is = wire->is_server_gone && wire->down.n == 0;
    (void)pthread_mutex_unlock(&wire->lock);
    return is;
}

/* One round of the loop that the header shows. */
static void go_round(struct sim_client *client)
{
    struct sim_engine *engine = client->engine;
    struct sim_wire *wire = client->wire;
    size_t n = engine->is_starved ? 0 : sim_tap_hear(client);
    uint32_t wait_ms;

    if (n == 0 && !engine->has_closed && !engine->is_starved && engine->passed.n == 0 &&
        server_has_closed(wire) && (!engine->ws.is_on || sim_ws_end(client))) {
        engine->has_closed = true;
        noc_client_lost(&engine->client);
        engine->is_stirred = true;
    }
    if (n == 0 && !engine->is_stirred && engine->wake_ms > sim_now(client->world)) {
        check_keep_alive(client);
        return;
    }
    engine->is_stirred = false;
    engine->is_blocked |= engine->given != NULL;
    if (!sim_engine_listen(client)) {
        sim_engine_reboot(client);
        return;
    }
    if (noc_client_state(&engine->client) == NOC_CLIENT_IDLE) {
        sim_wire_set(wire, false);
        sim_client_leave_wire(client, false);
        return;
    }
    if (!speak(client)) {
        sim_engine_reboot(client);
        return;
    }
    wait_ms = noc_client_wait_ms(&engine->client, sim_engine_now(client));
    engine->wake_ms = wait_ms == UINT32_MAX ? UINT64_MAX : sim_now(client->world) + wait_ms;
}

static void open_turn(struct sim_client *client)
{
    struct sim_world *world = client->world;
    struct sim_engine *engine = client->engine;

    engine->is_starved = world->is_active && client->paused_until > world->step;
    go_round(client);
    if (client->state != SIM_OPEN || noc_client_state(&engine->client) != NOC_CLIENT_OPEN) {
        return; /* perhaps it has yet to answer a close frame */
    }
    sim_engine_give(client);
    if (client->state != SIM_OPEN) {
        return;
    }
    if (sim_chance(sim_chance_of(client), sim_profile_of(client)->ping) &&
        noc_client_ping(&engine->client, sim_engine_now(client)) == NOC_OK) {
        client->is_pinging = engine->is_stirred = true;
    }
    if (world->is_leaving && sim_client_leave(client)) {
        return;
    }
    sim_client_act(client);
}

static void leaving_turn(struct sim_client *client)
{
    struct sim_wire *wire = client->wire;

    (void)pthread_mutex_lock(&wire->lock);
    sim_pipe_drop(&wire->down, wire->down.n);
    (void)pthread_mutex_unlock(&wire->lock);
    if (sim_wire_is_closed(wire)) {
        sim_client_leave_wire(client, client->was_graceful);
    }
}

/* What it has to say when it is not connected goes to its outbox. */
static void offline_turn(struct sim_client *client)
{
    if (client->world->is_active && client->engine->options.outbox != NULL &&
        !sim_client_is_watcher(client) &&
        sim_chance(sim_chance_of(client), sim_profile_of(client)->publish / 4)) {
        sim_client_publish_some(client);
    }
    sim_engine_give(client);
}

void sim_engine_turn(struct sim_client *client)
{
    struct sim_engine *engine = client->engine;

    sim_rival_turn(client);
    sim_engine_power_turn(client);
    switch ((enum sim_client_state)client->state) {
    case SIM_IDLE:
        offline_turn(client);
        if (engine->rival == NULL &&
            (!client->world->is_active || sim_now(client->world) >= engine->retry_ms)) {
            sim_client_idle_turn(client);
        }
        break;
    case SIM_CONNECTING:
        engine->is_starved = false;
        go_round(client);
        if (client->state != SIM_CONNECTING) {
            break;
        }
        offline_turn(client);
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
        leaving_turn(client);
        break;
    }
}
