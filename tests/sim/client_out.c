/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
/* What a client says: PUBLISH, SUBSCRIBE, UNSUBSCRIBE. */
#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "sim.h"

/* ---- publishing ---- */

static uint16_t new_id(struct sim_client *client)
{
    bool is_free;

    do {
        client->next_id = client->next_id == UINT16_MAX ? 1 : (uint16_t)(client->next_id + 1);
        is_free = client->next_id != client->subscribe_id;
        for (unsigned i = 0; i < client->flight_count; i++) {
            is_free &= client->flights[i].packet_id != client->next_id;
        }
    } while (!is_free);
    return client->next_id;
}

static void send_publish(
    struct sim_client *client, uint32_t number, uint16_t packet_id, bool is_again)
{
    struct sim_world *world = client->world;
    struct sim_message *message = &world->messages[number];
    struct noc_slice name = noc_slice_of("name"), value = noc_slice_of("value");
    uint8_t props[32];
    struct noc_publish_out out = {.topic = noc_slice_of(world->topics[message->topic]),
        .payload_n = message->payload_n,
        .qos = message->qos,
        .dup = is_again,
        .retain = message->retain,
        .packet_id = packet_id};
    uint8_t *bytes = sim_alloc(message->payload_n + 200u);
    size_t n;

    if (client->version == NOC_V5) {
        if (message->has_user) {
            out.props = noc_slice(props, (size_t)(noc_prop_put_user(props, name, value) - props));
        }
        out.has_expiry = number % 5 == 0;
        out.expiry_s = 100000000;
        if (message->topic < client->aliases_out_max) {
            out.alias = (uint16_t)(message->topic + 1);
            out.topic.n = client->known[message->topic] ? 0 : out.topic.n;
            client->known[message->topic] = true;
        }
    }
    n = noc_publish_encode_head(client->version, &out, bytes, 200);
    sim_message_fill(world, number, bytes + n);
    sim_client_say(client, bytes, n + message->payload_n);
    free(bytes);
    message->sends++;
    message->new_sends += !is_again;
    if (message->qos > 0) {
        sim_fifo_put(&client->acks[message->qos - 1], 0, packet_id);
    }
    sim_say(world, "client %s publishes %u to %s, qos %u%s%s, id %u", client->id, (unsigned)number,
        world->topics[message->topic], message->qos, message->retain ? ", retained" : "",
        is_again ? ", again" : "", packet_id);
}

void sim_client_publish(struct sim_client *client, unsigned topic, uint8_t qos, bool retain)
{
    struct sim_random *random = sim_chance_of(client);
    struct sim_message message = {.publisher = client->number,
        .epoch = client->session == NULL ? UINT32_MAX : client->session->number,
        .topic = (uint16_t)topic,
        .qos = qos,
        .retain = retain,
        .has_user = client->version == NOC_V5 && sim_chance(random, 300),
        .payload_n = 8 + sim_below(random, 60)};
    uint32_t number;

    if (sim_chance(random, sim_profile_of(client)->big)) {
        message.payload_n += sim_below(random, 5000);
    } else if (sim_chance(random, sim_profile_of(client)->huge)) {
        message.payload_n += 5000 + sim_below(random, 20000);
    } else if (retain && sim_chance(random, sim_profile_of(client)->remove)) {
        message.payload_n = 0;
    }
    number = sim_message_new(client->world, &message);
    if (client->engine != NULL) {
        sim_engine_publish(client, number);
        return;
    }
    if (qos == 0) {
        send_publish(client, number, 0, false);
        return;
    }
    client->flights[client->flight_count++] =
        (struct sim_flight){.packet_id = new_id(client), .qos = qos, .message = number};
    client->resend_at = client->flight_count;
    send_publish(client, number, client->flights[client->flight_count - 1].packet_id, false);
}

/* In the order of their first sending [MQTT-4.6.0-1]. */
void sim_client_resend(struct sim_client *client)
{
    for (; client->resend_at < client->flight_count; client->resend_at++) {
        const struct sim_flight *flight = &client->flights[client->resend_at];

        if (flight->is_received) {
            sim_fifo_put(&client->owed, NOC_PUBREL, flight->packet_id);
        } else {
            send_publish(client, flight->message, flight->packet_id, true);
        }
    }
}

void sim_client_publish_some(struct sim_client *client)
{
    struct sim_random *random = sim_chance_of(client);
    const struct sim_profile *its = sim_profile_of(client);
    const struct sim_world *world = client->world;
    unsigned topic = sim_below(random, world->will_topic);
    uint8_t qos = (uint8_t)sim_below(random, 3);
    bool retain = sim_chance(random, its->retain);

    if (its->owns_topics) {
        topic = client->number + world->scenario->clients * sim_below(random, 4);
        if (topic >= world->will_topic) {
            return;
        }
        qos = (uint8_t)(1 + topic % 2); /* of two kinds of QoS the older may come last */
    }
    qos = qos < its->qos_least ? its->qos_least : qos;
    if (retain && qos == 0) {
        qos = 1; /* so that it is known what the last one is */
    }
    if (qos > 0 && client->engine == NULL &&
        (client->flight_count == SIM_FLIGHTS_MAX ||
            client->flight_count >= client->server_receive_max)) {
        return;
    }
    sim_client_publish(client, topic, qos, retain);
}

/* ---- subscribing ---- */

static unsigned draw_filter(struct sim_client *client)
{
    struct sim_world *world = client->world;
    bool is_shared = sim_chance(sim_chance_of(client), sim_profile_of(client)->shared);
    unsigned filter;

    if (sim_client_is_watcher(client)) {
        return 0; /* # */
    }
    do {
        filter = sim_below(sim_chance_of(client), world->filter_count);
    } while (sim_profile_of(client)->shared > 0 && world->filters[filter].is_shared != is_shared);
    return filter;
}

static void note_asked(struct sim_client *client, unsigned filter, uint8_t options, uint32_t id)
{
    struct sim_session *session = client->session;
    struct sim_world *world = client->world;
    bool is_new = true;

    client->asked[client->asked_count] = (uint16_t)filter;
    client->asked_options[client->asked_count++] = options;
    for (unsigned i = 0; i < session->sub_count; i++) {
        struct sim_sub *sub = &session->subs[i];

        if (sub->filter == filter && sub->end_acked_at == 0) {
            is_new &= sub->acked_at == 0 || sub->end_sent_at != 0 || world->is_lawless;
            sub->end_sent_at = sub->end_sent_at == 0 ? world->clock : sub->end_sent_at;
        }
    }
    if (client->is_unsubscribe) {
        return;
    }
    if (session->sub_count == session->sub_room) {
        session->sub_room = session->sub_room * 2 + 8;
        session->subs = sim_realloc(session->subs, session->sub_room * sizeof *session->subs);
    }
    session->subs[session->sub_count++] = (struct sim_sub){.filter = (uint16_t)filter,
        .options = options,
        .is_replayed = !world->filters[filter].is_shared &&
                       ((options & NOC_SUB_RETAIN_HANDLING) == 0 ||
                           ((options & NOC_SUB_RETAIN_HANDLING) == 0x10 && is_new)),
        .id = id,
        .sent_at = world->clock};
}

static uint8_t draw_options(struct sim_client *client, unsigned filter)
{
    struct sim_random *random = sim_chance_of(client);
    uint8_t qos = (uint8_t)sim_below(random, 3);

    if (sim_client_is_watcher(client)) {
        return 2;
    }
    qos = qos < sim_profile_of(client)->qos_least ? sim_profile_of(client)->qos_least : qos;
    if (client->version != NOC_V5) {
        return qos;
    }
    if (sim_chance(random, 200) && !client->world->filters[filter].is_shared) {
        qos |= NOC_SUB_NO_LOCAL;
    }
    if (sim_chance(random, 200)) {
        qos |= NOC_SUB_RETAIN_AS_PUBLISHED;
    }
    return sim_chance(random, 300) ? (uint8_t)(qos | (1 + sim_below(random, 2)) << 4) : qos;
}

/* What one packet asks for. */
struct asked {
    struct noc_client_filter filters[SIM_FILTERS_MAX];
    unsigned numbers[SIM_FILTERS_MAX];
    unsigned count;
};

static void draw_asked(struct sim_client *client, int only, struct asked *asked)
{
    struct sim_world *world = client->world;
    unsigned count = only >= 0 || sim_client_is_watcher(client)
                         ? 1
                         : 1 + sim_below(sim_chance_of(client), SIM_FILTERS_MAX);

    asked->count = 0;
    for (unsigned i = 0; i < count; i++) {
        unsigned filter = only >= 0 ? (unsigned)only : draw_filter(client);
        uint8_t options = draw_options(client, filter);
        bool is_double = false;

        for (unsigned k = 0; k < asked->count; k++) {
            is_double |= asked->numbers[k] == filter;
        }
        if (!is_double) {
            asked->numbers[asked->count] = filter;
            asked->filters[asked->count++] =
                (struct noc_client_filter){noc_slice_of(world->filters[filter].text), options};
        }
    }
}

static uint16_t send_asked(
    struct sim_client *client, const struct asked *asked, struct noc_slice props)
{
    uint16_t id = new_id(client);
    uint8_t entries[256], bytes[320];
    uint8_t *at = entries;
    struct noc_slice wire;

    for (unsigned i = 0; i < asked->count; i++) {
        const struct noc_subscription entry = {asked->filters[i].filter, asked->filters[i].options};

        at = client->is_unsubscribe ? noc_unsubscribe_put_entry(at, entry.filter)
                                    : noc_subscribe_put_entry(at, &entry);
    }
    wire = noc_slice(entries, (size_t)(at - entries));
    sim_client_say(client, bytes,
        client->is_unsubscribe
            ? noc_unsubscribe_encode(client->version, id, props, &wire, bytes, sizeof bytes)
            : noc_subscribe_encode(client->version, id, props, &wire, bytes, sizeof bytes));
    return id;
}

void sim_client_subscribe(struct sim_client *client, bool is_unsubscribe, int only)
{
    struct sim_random *random = sim_chance_of(client);
    struct sim_world *world = client->world;
    struct noc_slice props = {NULL, 0};
    struct asked asked;
    uint8_t bytes[8];
    uint32_t id = 0;

    if (client->version == NOC_V5 && !is_unsubscribe && sim_chance(random, 500)) {
        id = 1 + sim_below(random, 300);
        props = noc_slice(
            bytes, (size_t)(noc_prop_put_varint(bytes, NOC_PROP_SUBSCRIPTION_ID, id) - bytes));
    }
    draw_asked(client, only, &asked);
    client->is_unsubscribe = is_unsubscribe;
    client->subscribe_id = client->engine != NULL
                               ? sim_engine_subscribe(client, asked.filters, asked.count, props)
                               : send_asked(client, &asked, props);
    if (client->subscribe_id == 0) {
        return; /* not now */
    }
    world->clock++;
    client->asked_count = 0;
    client->asked_at = world->clock;
    for (unsigned i = 0; i < asked.count; i++) {
        note_asked(client, asked.numbers[i], asked.filters[i].options, id);
        sim_say(world, "client %s %ssubscribes %s, options %02x, id %u", client->id,
            is_unsubscribe ? "un" : "", world->filters[asked.numbers[i]].text,
            asked.filters[i].options, (unsigned)id);
    }
}

/* Has the session a subscription on the filter that it has asked for, at least? */
bool sim_session_has(const struct sim_session *session, unsigned filter)
{
    for (unsigned i = 0; i < session->sub_count; i++) {
        if (session->subs[i].filter == filter && session->subs[i].acked_at != 0 &&
            session->subs[i].end_acked_at == 0) {
            return true;
        }
    }
    return false;
}
