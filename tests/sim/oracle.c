/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
/*
 * What a client may hear. The oracle knows of the broker only what clients
 * know: a subscription is there from its SUBACK on (certain), perhaps from its
 * SUBSCRIBE on (may), and gone with its UNSUBACK. Its clock ticks at each such
 * event, so "before" is exact:
 *
 *      SUBSCRIBE ....... SUBACK ================ UNSUBSCRIBE ...... UNSUBACK
 *              may be        certain: must hear            may be
 *
 * Where the turns of workers overlap (is_loose) an order that clients see proves
 * less: a worker may have begun its turn before and read the client's packet in it.
 */
#include <stdlib.h>
#include <string.h>

#include "mqtt/topic.h"
#include "sim.h"

/* ---- messages ---- */

void sim_message_fill(const struct sim_world *world, uint32_t number, uint8_t *bytes)
{
    uint32_t n = world->messages[number].payload_n;

    for (uint32_t i = 0; i < n; i++) {
        bytes[i] = (uint8_t)(i < 4 ? number >> 8 * i : number * 31 + i);
    }
}

uint32_t sim_message_new(struct sim_world *world, const struct sim_message *message)
{
    if (world->message_count == world->message_room) {
        world->message_room = world->message_room * 2 + 256;
        world->messages =
            sim_realloc(world->messages, world->message_room * sizeof *world->messages);
    }
    world->messages[world->message_count] = *message;
    world->messages[world->message_count].sent_at = ++world->clock;
    return world->message_count++;
}

/* The message of a payload, which must be whole. */
static uint32_t identify(struct sim_client *client, struct noc_slice payload)
{
    struct sim_world *world = client->world;
    const uint8_t *bytes = (const uint8_t *)payload.at;
    uint32_t number;
    uint8_t *expected;

    if (payload.n < 8) {
        sim_fail(world, "client %s: a payload that nobody has sent", client->id);
    }
    number = (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
             (uint32_t)bytes[3] << 24;
    if (number >= world->message_count || world->messages[number].payload_n != payload.n) {
        sim_fail(world, "client %s: a payload that nobody has sent", client->id);
    }
    expected = sim_alloc(payload.n);
    sim_message_fill(world, number, expected);
    if (memcmp(expected, bytes, payload.n) != 0) {
        sim_fail(world, "client %s: message %u has changed on its way", client->id, number);
    }
    free(expected);
    return number;
}

/* ---- sessions ---- */

struct sim_session *sim_session_new(struct sim_world *world, struct sim_client *client)
{
    struct sim_session *session = sim_alloc(sizeof *session);
    size_t last_n = (size_t)world->scenario->clients * world->topic_count * 9;

    if (world->session_count == world->session_room) {
        world->session_room = world->session_room * 2 + 64;
        world->sessions =
            sim_realloc(world->sessions, world->session_room * sizeof(struct sim_session *));
    }
    memset(session, 0, sizeof *session);
    session->number = world->session_count;
    session->client = client->number;
    if (world->profile->is_stable_group) {
        session->seen = sim_alloc(65536 * sizeof *session->seen);
        memset(session->seen, 0, 65536 * sizeof *session->seen);
    }
    session->last = sim_alloc(last_n * sizeof *session->last);
    memset(session->last, 0, last_n * sizeof *session->last);
    world->sessions[world->session_count++] = session;
    return session;
}

struct sim_got *sim_session_got(struct sim_session *session, uint32_t message)
{
    if (message >= session->got_room) {
        uint32_t room = message * 2 + 256;

        session->got = sim_realloc(session->got, room * sizeof *session->got);
        memset(
            session->got + session->got_room, 0, (room - session->got_room) * sizeof *session->got);
        session->got_room = room;
    }
    return &session->got[message];
}

/* ---- subscriptions ---- */

bool sim_matches(const struct sim_world *world, unsigned filter, unsigned topic)
{
    return noc_filter_matches(
        noc_slice_of(world->filters[filter].plain), noc_slice_of(world->topics[topic]));
}

static bool is_own(
    const struct sim_session *session, const struct sim_sub *sub, const struct sim_message *message)
{
    return (sub->options & NOC_SUB_NO_LOCAL) != 0 && message->epoch == session->number;
}

bool sim_sub_may(const struct sim_session *session, const struct sim_sub *sub,
    const struct sim_message *message, const struct sim_world *world)
{
    bool is_shared = world->filters[sub->filter].is_shared;

    if (!sim_matches(world, sub->filter, message->topic) ||
        (sub->end_acked_at != 0 && sub->end_acked_at < message->sent_at) ||
        (!message->is_will && is_own(session, sub, message))) {
        return false;
    }
    return message->taken_at == 0 || message->taken_at >= sub->sent_at || world->is_loose ||
           is_shared;
}

bool sim_sub_is_certain(const struct sim_session *session, const struct sim_sub *sub,
    const struct sim_message *message, const struct sim_world *world)
{
    bool is_own_will = message->is_will && session->client == message->publisher;

    if (sub->acked_at == 0 || sub->acked_at >= message->sent_at ||
        !sim_matches(world, sub->filter, message->topic) || is_own(session, sub, message) ||
        is_own_will ||
        world->clients[session->client].listener != world->clients[message->publisher].listener) {
        return false;
    }
    return sub->end_sent_at == 0 ||
           (!world->is_loose && message->taken_at != 0 && message->taken_at < sub->end_sent_at);
}

/* ---- one PUBLISH ---- */

/* By which subscriptions it may have come. */
struct ways {
    unsigned plain, shared, replays;
    bool has_replay;              /* one of them may still be under way */
    bool is_as_published, is_not; /* is there one with, and one without, Retain As Published? */
    uint8_t most_qos, least_qos;
};

static uint8_t lower(uint8_t a, uint8_t b)
{
    return a < b ? a : b;
}

/* Has the session, perhaps, a subscription on the filter? */
static bool is_there(const struct sim_session *session, unsigned filter)
{
    for (unsigned i = 0; i < session->sub_count; i++) {
        if (session->subs[i].filter == filter && session->subs[i].end_acked_at == 0) {
            return true;
        }
    }
    return false;
}

static struct ways find_ways(const struct sim_session *session, const struct sim_message *message,
    const struct sim_world *world, bool is_again)
{
    struct ways ways = {0};

    for (unsigned i = 0; i < session->sub_count; i++) {
        const struct sim_sub *sub = &session->subs[i];
        uint8_t qos = lower(sub->options & NOC_SUB_QOS, message->qos);
        bool may = sim_sub_may(session, sub, message, world);

        if (message->retain && sub->is_replayed &&
            sim_matches(world, sub->filter, message->topic)) {
            ways.replays++;
            ways.has_replay |= is_again || is_there(session, sub->filter);
            ways.most_qos = qos > ways.most_qos ? qos : ways.most_qos;
        }
        if (!may) {
            continue;
        }
        ways.most_qos = qos > ways.most_qos ? qos : ways.most_qos;
        if (world->filters[sub->filter].is_shared) {
            ways.shared++;
        } else {
            ways.plain++;
        }
        if ((sub->options & NOC_SUB_RETAIN_AS_PUBLISHED) != 0) {
            ways.is_as_published = true;
        } else {
            ways.is_not = true;
        }
        if (sim_sub_is_certain(session, sub, message, world) &&
            !world->filters[sub->filter].is_shared && qos > ways.least_qos) {
            ways.least_qos = qos;
        }
    }
    return ways;
}

/* The subscription identifiers are those of the subscriptions [MQTT-3.3.4-4]. */
static void check_ids(struct sim_client *client, const struct noc_publish *publish,
    const struct sim_message *message, const struct ways *ways)
{
    const struct sim_session *session = client->session;
    struct noc_slice rest = publish->props.raw;
    struct noc_prop prop;
    bool has[512] = {false};

    while (noc_props_next(&rest, &prop)) {
        bool is_known = false;

        if (prop.id != NOC_PROP_SUBSCRIPTION_ID) {
            continue;
        }
        for (unsigned i = 0; i < session->sub_count; i++) {
            is_known |= session->subs[i].id == prop.number &&
                        sim_matches(client->world, session->subs[i].filter, message->topic);
        }
        if (!is_known || prop.number >= NOC_COUNT(has)) {
            sim_fail(client->world, "client %s: subscription identifier %u of nothing", client->id,
                (unsigned)prop.number);
        }
        has[prop.number] = true;
    }
    for (unsigned i = 0; i < session->sub_count; i++) {
        const struct sim_sub *sub = &session->subs[i];

        if (sub->id != 0 && !has[sub->id] && !client->world->is_lawless && ways->shared == 0 &&
            !publish->retain && sub->end_sent_at == 0 &&
            sim_sub_is_certain(session, sub, message, client->world)) {
            sim_fail(client->world, "client %s: subscription identifier %u is missing", client->id,
                (unsigned)sub->id);
        }
    }
}

static bool has_user_property(const struct noc_publish *publish)
{
    struct noc_slice rest = publish->props.raw;
    struct noc_prop prop;

    while (noc_props_next(&rest, &prop)) {
        if (prop.id == NOC_PROP_USER) {
            return true;
        }
    }
    return false;
}

static void check_flags(struct sim_client *client, const struct noc_publish *publish,
    const struct sim_message *message, const struct ways *ways)
{
    struct sim_world *world = client->world;

    if (ways->plain + ways->shared == 0 && !ways->has_replay) {
        sim_fail(world, "client %s: a message for which it has no subscription", client->id);
    }
    if (publish->qos > ways->most_qos) {
        sim_fail(world, "client %s: QoS %u, but %u at most [MQTT-3.8.4-8]", client->id,
            publish->qos, ways->most_qos);
    }
    if (!publish->retain && ways->shared == 0 && publish->qos < ways->least_qos &&
        !world->is_lawless) {
        sim_fail(world, "client %s: QoS %u, but %u at least [MQTT-3.3.4-2]", client->id,
            publish->qos, ways->least_qos);
    }
    if (publish->retain && !(message->retain && (ways->is_as_published || ways->replays > 0))) {
        sim_fail(world, "client %s: the retain flag is wrongly set [MQTT-3.3.1-12]", client->id);
    }
    if (!publish->retain && message->retain && !ways->is_not) {
        sim_fail(world, "client %s: the retain flag is missing [MQTT-3.3.1-13]", client->id);
    }
    if (client->version == NOC_V5) {
        check_ids(client, publish, message, ways);
        if (has_user_property(publish) != message->has_user) {
            sim_fail(world, "client %s: the user property got lost [MQTT-3.3.2-17]", client->id);
        }
    }
}

/* How many copies the session may have, and in which order [MQTT-4.6.0-5], [MQTT-4.6.0-6]. */
static void check_copies(struct sim_client *client, const struct noc_publish *publish,
    uint32_t number, const struct ways *ways)
{
    struct sim_world *world = client->world;
    struct sim_session *session = client->session;
    struct sim_message *message = &world->messages[number];
    struct sim_got *got = sim_session_got(session, number);
    unsigned sends = message->qos == 2 ? message->new_sends : message->sends;
    bool is_first = got->fresh + got->again == 0;
    bool is_new = !publish->dup || is_first;
    uint32_t *last =
        &session->last[((size_t)message->publisher * world->topic_count + message->topic) * 9 +
                       message->qos * 3u + publish->qos];

    got->most = (uint16_t)(sends * ((ways->plain > 0) + ways->shared) + ways->replays);
    if (publish->dup) {
        got->again++;
    } else {
        got->fresh++;
    }
    if (got->fresh > got->most) {
        sim_fail(world, "client %s: message %u has come %u times, %u at most", client->id, number,
            got->fresh, got->most);
    }
    if (session->seen != NULL && publish->qos > 0) {
        is_new = !publish->dup || session->seen[publish->packet_id] != number + 1;
        session->seen[publish->packet_id] = number + 1;
    }
    if (ways->plain + ways->replays == 0 && is_new) {
        message->shared_got++;
    }
    if (is_first && !publish->retain && ways->shared == 0 && !message->is_will) {
        if (number + 1 < *last && message->sends == 1) {
            sim_fail(
                world, "client %s: message %u behind message %u", client->id, number, *last - 1);
        }
        *last = number + 1 > *last ? number + 1 : *last;
    }
}

/* A will is heard: has it been time for it? */
static void check_will(
    const struct sim_world *world, const struct sim_message *message, uint32_t number)
{
    const struct sim_client *publisher = &world->clients[message->publisher];
    bool is_ended = true;

    if (message->state == SIM_MESSAGE_NEVER) {
        sim_fail(world, "will %u of client %s was published", number, publisher->id);
    }
    if (message->state != SIM_MESSAGE_HELD || world->is_lawless) {
        return;
    }
    if (publisher->will == number + 1 && publisher->wire != NULL) {
        struct sim_wire *wire = publisher->wire;

        (void)pthread_mutex_lock(&wire->lock);
        is_ended = wire->is_ended;
        (void)pthread_mutex_unlock(&wire->lock);
    } else if (publisher->last_will == number + 1) {
        is_ended = !publisher->was_graceful;
    }
    if (!is_ended) {
        sim_fail(world, "will %u of client %s was published too early", number, publisher->id);
    }
}

uint32_t sim_oracle_heard(
    struct sim_client *client, const struct noc_publish *publish, struct noc_slice topic)
{
    struct sim_world *world = client->world;
    struct sim_message *message;
    struct ways ways;
    uint32_t number;

    if (publish->payload.n == 0) {
        return UINT32_MAX; /* the removal of a retained message cannot carry a number */
    }
    number = identify(client, publish->payload);
    message = &world->messages[number];
    message->heard++;
    sim_say(world, "client %s got message %u", client->id, number);
    if (!noc_slice_equal(topic, noc_slice_of(world->topics[message->topic])) ||
        world->clients[message->publisher].listener != client->listener) {
        sim_fail(world, "client %s: message %u in another topic", client->id, number);
    }
    /* Where memory fails half-way a message is refused that some have been given already. */
    if (message->state == SIM_MESSAGE_REFUSED && !world->is_lawless) {
        sim_fail(world, "client %s: message %u, which had been refused", client->id, number);
    }
    check_will(world, message, number);
    if (world->profile->is_storm) {
        return number;
    }
    ways = find_ways(client->session, message, world, publish->dup);
    check_flags(client, publish, message, &ways);
    check_copies(client, publish, number, &ways);
    return number;
}

void sim_oracle_taken(struct sim_client *client, uint32_t message)
{
    struct sim_got *got;

    if (client->world->profile->is_storm) {
        return;
    }
    got = sim_session_got(client->session, message);
    if (++got->taken > got->most) {
        sim_fail(client->world, "client %s: QoS 2 message %u was handed on %u times", client->id,
            message, got->taken);
    }
}

/* ---- connections ---- */

/* When the core ended the last connection. */
static uint64_t ended_ms(struct sim_client *client)
{
    struct sim_wire *wire = client->last_wire;
    uint64_t at;
    bool is_ended;

    (void)pthread_mutex_lock(&wire->lock);
    at = wire->ended_ms;
    is_ended = wire->is_ended;
    (void)pthread_mutex_unlock(&wire->lock);
    if (!is_ended) {
        sim_fail(client->world, "client %s: its last connection is still open [MQTT-3.1.4-3]",
            client->id);
    }
    return at;
}

static void settle_will(struct sim_client *client, bool is_resumed)
{
    struct sim_world *world = client->world;
    struct sim_message *will;
    uint64_t due_ms;

    if (client->last_will == 0) {
        return;
    }
    will = &world->messages[client->last_will - 1];
    due_ms = ended_ms(client) + UINT64_C(1000) * client->last_will_delay_s;
    if (client->was_graceful) {
        will->state = SIM_MESSAGE_NEVER;
    } else if (client->last_will_delay_s == 0 || client->last_expiry_s == 0 || client->is_clean ||
               !is_resumed || client->connect_ms >= due_ms) {
        will->state = SIM_MESSAGE_TAKEN;
    } else if (sim_now(world) < due_ms) {
        will->state = SIM_MESSAGE_NEVER; /* [MQTT-3.1.3-9] */
    } else {
        will->state = SIM_MESSAGE_SENT;
    }
    if (will->state == SIM_MESSAGE_NEVER && will->heard > 0) {
        sim_fail(world, "will %u of client %s was published", client->last_will - 1, client->id);
    }
    sim_say(
        world, "will %u of client %s: state %u", client->last_will - 1, client->id, will->state);
    client->last_will = 0;
}

/* 1: the session must be there; 0: must not; -1: who knows. */
static int expects_session(struct sim_client *client)
{
    const struct sim_session *session = client->session;
    uint64_t due_ms;

    if (client->is_clean) {
        return 0;
    }
    if (session == NULL || client->last_expiry_s == 0) {
        return client->may_have_session ? -1 : 0;
    }
    if (client->last_expiry_s == UINT32_MAX) {
        return 1;
    }
    if (client->may_have_session) {
        return -1;
    }
    due_ms = ended_ms(client) + UINT64_C(1000) * client->last_expiry_s;
    if (client->connect_ms >= due_ms) {
        return 0;
    }
    return sim_now(client->world) < due_ms ? 1 : -1;
}

void sim_oracle_connected(struct sim_client *client, bool session_present)
{
    struct sim_world *world = client->world;
    int expected = expects_session(client);

    if (!world->is_lawless && expected >= 0 && expected != session_present) {
        sim_fail(world, "client %s: session present %d, but it should be %d [MQTT-3.2.2-2]",
            client->id, session_present, expected);
    }
    if (!world->is_lawless) {
        settle_will(client, session_present);
    }
    if (client->session != NULL && (!session_present || client->last_expiry_s == 0)) {
        client->session->is_over = true;
        client->session = NULL;
    }
    if (client->session == NULL) {
        client->session = sim_session_new(world, client);
    }
    client->session->connections++;
    client->must_be_clean = false;
    client->may_have_session = false;
}
