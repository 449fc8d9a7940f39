/* SPDX-License-Identifier: Apache-2.0 */
/* What the application of an engine learns, and the oracle from it. */
#include <stdlib.h>
#include <string.h>

#include "engine.h"

/* ---- messages ---- */

/* What lives only until the next call is kept: topic, properties. */
static void begin_hearing(struct sim_client *client, const struct noc_event *event)
{
    struct sim_engine *engine = client->engine;

    sim_engine_check(
        client, event->topic.n <= sizeof engine->heard_topic, "a topic that nobody has");
    memcpy(engine->heard_topic, event->topic.at, event->topic.n);
    engine->heard_props = sim_realloc(engine->heard_props, event->props.raw.n);
    if (event->props.raw.n > 0) {
        memcpy(engine->heard_props, event->props.raw.at, event->props.raw.n);
    }
    engine->hearing = (struct noc_publish){.qos = event->qos,
        .dup = event->dup,
        .retain = event->retain,
        .packet_id = event->packet_id,
        .topic = noc_slice(engine->heard_topic, event->topic.n)};
    engine->hearing.props.raw = noc_slice(engine->heard_props, event->props.raw.n);
    sim_pipe_drop(&engine->payload, engine->payload.n);
}

static void end_hearing(struct sim_client *client)
{
    struct sim_engine *engine = client->engine;
    struct noc_publish *publish = &engine->hearing;

    publish->payload = noc_slice(sim_pipe_peek(&engine->payload), engine->payload.n);
    sim_say(client->world, "client %s hears %.*s, qos %u%s%s, id %u", client->id,
        NOC_SLICE_ARG(publish->topic), publish->qos, publish->dup ? ", dup" : "",
        publish->retain ? ", retained" : "", publish->packet_id);
    engine->last_heard_id = publish->packet_id;
    engine->last_heard = sim_oracle_heard(client, publish, publish->topic);
    if (publish->qos == 2 && publish->payload.n > 0) {
        sim_oracle_taken(client, engine->last_heard);
    } else {
        engine->last_heard = UINT32_MAX;
    }
}

static void on_message(struct sim_client *client, const struct noc_event *event)
{
    struct sim_engine *engine = client->engine;

    if (event->kind == NOC_EVENT_MESSAGE || event->kind == NOC_EVENT_MESSAGE_BEGIN) {
        begin_hearing(client, event);
        sim_engine_check(client, client->session != NULL, "a message before CONNACK");
    }
    sim_pipe_put(&engine->payload, event->payload.at, event->payload.n);
    if (event->kind == NOC_EVENT_MESSAGE || event->kind == NOC_EVENT_MESSAGE_END) {
        end_hearing(client);
    }
}

/* ---- what it has published ---- */

static void on_published(struct sim_client *client, const struct noc_event *event)
{
    struct sim_world *world = client->world;
    struct sim_engine_flight *flight = sim_engine_flight(client->engine, event->packet_id);
    struct sim_message *message;
    bool is_refused = event->reason >= NOC_RC_UNSPECIFIED;

    sim_engine_check(client, flight != NULL, "published what nobody gave it");
    sim_engine_check(client, !flight->is_partial, "published what it has not all of");
    sim_engine_check(
        client, !is_refused || world->profile->memory_short > 0, "a PUBLISH was refused");
    sim_say(world, "client %s: id %u is across, reason %u", client->id, event->packet_id,
        event->reason);
    if (flight->message != UINT32_MAX) {
        message = &world->messages[flight->message];
        sim_engine_check(client, is_refused || message->sends > 0, "published what it never said");
        message->state = is_refused ? SIM_MESSAGE_REFUSED : SIM_MESSAGE_TAKEN;
        message->taken_at = world->clock;
    }
    sim_engine_end_flight(client->engine, flight);
}

/* ---- the connection ---- */

static void on_connected(struct sim_client *client, const struct noc_event *event)
{
    struct sim_engine *engine = client->engine;

    sim_engine_check(client, client->state == SIM_CONNECTING, "connected out of place");
    sim_client_let_in(client, event->session_present, &event->props);
    /* Version 3.1 is not told: what was not to be cleaned counts as there. */
    sim_tap_connected(
        client, client->version == NOC_V31 ? engine->options.keep_session : event->session_present);
    noc_backoff_connected(&engine->backoff, sim_engine_now(client));
}

/* It gives up for silence: has there been so much? */
static void check_silence(struct sim_client *client, uint64_t since_ms)
{
    sim_engine_check(
        client, sim_now(client->world) - since_ms >= 10000, "it did not wait for an answer");
}

static void check_cause(struct sim_client *client, const struct noc_event *event)
{
    struct sim_engine *engine = client->engine;
    const struct noc_cause *cause = &event->cause;

    switch ((enum noc_cause_kind)cause->kind) {
    case NOC_CAUSE_ASKED:
        sim_engine_check(client, client->state == SIM_LEAVING, "it ends of its own accord");
        return;
    case NOC_CAUSE_LOST:
    case NOC_CAUSE_WEBSOCKET:
        sim_engine_check(client,
            cause->kind == NOC_CAUSE_LOST ? engine->has_closed || engine->is_dropped
                                          : engine->ws.has_closed,
            "it ends an open connection");
        if (!engine->is_dropped && engine->rival == NULL && client->state != SIM_LEAVING) {
            sim_client_check_close(client);
        }
        return;
    case NOC_CAUSE_REFUSED:
        sim_engine_check(client,
            client->world->is_lawless || sim_profile_of(client)->denied > 0 ||
                sim_profile_of(client)->memory_short > 0,
            "CONNECT was refused");
        client->is_refused = true;
        return;
    case NOC_CAUSE_DISCONNECTED:
        client->goodbye = (uint8_t)cause->code;
        if (cause->code != NOC_RC_SESSION_TAKEN_OVER || engine->rival == NULL) {
            sim_client_check_close(client);
        }
        return;
    case NOC_CAUSE_PING_TIMEOUT:
        /* It looks at the clock first, then at what came while a minute went by. */
        sim_engine_check(client,
            engine->pings > 0 || engine->is_blocked || engine->ws.framed.n > 0 ||
                sim_profile_of(client)->jump > 0,
            "it waits for what was answered");
        check_silence(client, engine->read_ms);
        return;
    case NOC_CAUSE_CONNECT_TIMEOUT:
    case NOC_CAUSE_UPGRADE_TIMEOUT:
        check_silence(client, client->connect_ms);
        return;
    case NOC_CAUSE_PROTOCOL:
        sim_fail(client->world, "engine of client %s: %s (%s), reason %u", client->id,
            noc_cause_text(cause), noc_client_fault(&engine->client), cause->code);
    case NOC_CAUSE_NONE:
    case NOC_CAUSE_HTTP:
    case NOC_CAUSE_UPGRADE:
    case NOC_CAUSE_AUTH:
    case NOC_CAUSE_OUTBOX:
    case NOC_CAUSE_OPTIONS:
        sim_fail(client->world, "engine of client %s: %s", client->id, noc_cause_text(cause));
    }
}

static void on_closed(struct sim_client *client, const struct noc_event *event)
{
    struct sim_engine *engine = client->engine;
    bool is_ours = event->cause.kind == NOC_CAUSE_ASKED;
    uint32_t wait_ms = noc_backoff_ms(&engine->backoff, &event->cause, sim_engine_now(client),
        (uint32_t)sim_random(sim_chance_of(client)));

    sim_say(client->world, "client %s has ended: %s (%u)", client->id,
        noc_cause_text(&event->cause), event->cause.code);
    check_cause(client, event);
    sim_engine_check(client, is_ours == (wait_ms == NOC_NEVER), "when is it to come back?");
    engine->retry_ms = is_ours ? 0 : sim_now(client->world) + wait_ms;
}

static void on_event(struct sim_client *client, const struct noc_event *event)
{
    switch (event->kind) {
    case NOC_EVENT_CONNECTED:
        on_connected(client, event);
        return;
    case NOC_EVENT_MESSAGE:
    case NOC_EVENT_MESSAGE_BEGIN:
    case NOC_EVENT_MESSAGE_CHUNK:
    case NOC_EVENT_MESSAGE_END:
        on_message(client, event);
        return;
    case NOC_EVENT_PUBLISHED:
        on_published(client, event);
        return;
    case NOC_EVENT_SUBSCRIBED:
    case NOC_EVENT_UNSUBSCRIBED:
        sim_client_settle_asked(client,
            event->kind == NOC_EVENT_SUBSCRIBED ? NOC_SUBACK : NOC_UNSUBACK, event->packet_id,
            event->payload);
        return;
    case NOC_EVENT_PONG:
        client->is_pinging = false;
        return;
    case NOC_EVENT_AUTHENTICATED:
        sim_engine_check(client, false, "authenticated though nobody asked for it");
        return;
    case NOC_EVENT_CLOSED:
        on_closed(client, event);
        return;
    }
}

bool sim_engine_listen(struct sim_client *client)
{
    struct sim_engine *engine = client->engine;
    uint32_t now = sim_engine_now(client);
    struct noc_event event;

    while (noc_client_next(&engine->client, now, &event)) {
        if (engine->flash.is_off) {
            return false;
        }
        on_event(client, &event);
    }
    return !engine->flash.is_off;
}
