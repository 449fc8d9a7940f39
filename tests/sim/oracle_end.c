/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
/*
 * What must have been heard, when all is quiet: every session that is still
 * there has every message that was acknowledged to its publisher while the
 * session certainly had a subscription for it, but for those that a limit
 * dropped, which must have been counted.
 */
#include <stdio.h>
#include <string.h>

#include "sim.h"

static bool has_got(struct sim_session *session, uint32_t message)
{
    const struct sim_got *got = sim_session_got(session, message);

    return got->fresh + got->again > 0;
}

/* Too large for some connection of this client: as good as delivered [MQTT-3.1.2-25]. */
static bool may_be_too_large(const struct sim_world *world, const struct sim_message *message)
{
    return world->profile->max_packet > 0 && message->payload_n + 100 > world->profile->max_packet;
}

static void tell_missing(
    const struct sim_world *world, const struct sim_session *session, uint32_t number)
{
    const struct sim_message *message = &world->messages[number];

    fprintf(stderr, "sim: client %s has not got message %u (%s, qos %u%s%s) of client %s\n",
        world->clients[session->client].id, number, world->topics[message->topic], message->qos,
        message->retain ? ", retained" : "", message->is_will ? ", a will" : "",
        world->clients[message->publisher].id);
}

static bool must_have(
    struct sim_session *session, const struct sim_message *message, const struct sim_world *world)
{
    for (unsigned i = 0; i < session->sub_count; i++) {
        const struct sim_sub *sub = &session->subs[i];

        if (!world->filters[sub->filter].is_shared && (sub->options & NOC_SUB_QOS) > 0 &&
            sim_sub_is_certain(session, sub, message, world)) {
            return true;
        }
    }
    return false;
}

static uint64_t missing_plain(struct sim_world *world)
{
    uint64_t missing = 0;

    for (uint32_t s = 0; s < world->session_count; s++) {
        struct sim_session *session = world->sessions[s];

        for (uint32_t m = 0; !session->is_over && m < world->message_count; m++) {
            const struct sim_message *message = &world->messages[m];

            if (message->state == SIM_MESSAGE_TAKEN && message->qos > 0 && message->payload_n > 0 &&
                !has_got(session, m) && !may_be_too_large(world, message) &&
                must_have(session, message, world)) {
                missing++;
                if (world->profile->no_drops || world->is_verbose) {
                    tell_missing(world, session, m);
                }
            }
        }
    }
    return missing;
}

/* The filter has a member that was there all the time. */
static bool has_certain_member(
    const struct sim_world *world, unsigned filter, const struct sim_message *message)
{
    for (uint32_t s = 0; s < world->session_count; s++) {
        const struct sim_session *session = world->sessions[s];

        for (unsigned i = 0; !session->is_over && i < session->sub_count; i++) {
            const struct sim_sub *sub = &session->subs[i];

            if (sub->filter == filter && (sub->options & NOC_SUB_QOS) > 0 &&
                sim_sub_is_certain(session, sub, message, world)) {
                return true;
            }
        }
    }
    return false;
}

/* Where members only come, each group gets each message once [MQTT-4.8.2-4]. */
static uint64_t missing_shared(struct sim_world *world)
{
    uint64_t missing = 0;

    for (uint32_t m = 0; m < world->message_count; m++) {
        const struct sim_message *message = &world->messages[m];
        unsigned least = 0, most = 0;

        if (message->state != SIM_MESSAGE_TAKEN || message->is_will) {
            continue;
        }
        for (unsigned filter = 0; filter < world->filter_count; filter++) {
            if (world->filters[filter].is_shared && sim_matches(world, filter, message->topic)) {
                most += message->qos == 2 ? message->new_sends : message->sends;
                least += message->qos > 0 && has_certain_member(world, filter, message);
            }
        }
        if (message->shared_got > most) {
            sim_fail(
                world, "message %u went to %u members of %u groups", m, message->shared_got, most);
        }
        if (message->shared_got < least) {
            missing += least - message->shared_got;
            fprintf(stderr, "sim: message %u went to %u members of %u groups\n", m,
                message->shared_got, least);
        }
    }
    return missing;
}

/* With one publisher to a topic: whoever subscribed has the topic's last retained message. */
static void check_retained(struct sim_world *world, struct sim_session *session,
    const struct sim_sub *sub, const uint32_t *last)
{
    for (unsigned topic = 0; topic < world->will_topic; topic++) {
        const struct sim_message *message = &world->messages[last[topic] - 1];

        if (last[topic] == 0 || !sim_matches(world, sub->filter, topic) ||
            message->state != SIM_MESSAGE_TAKEN || message->payload_n == 0 ||
            ((sub->options & NOC_SUB_NO_LOCAL) != 0 && session->client == message->publisher)) {
            continue;
        }
        if (!has_got(session, last[topic] - 1)) {
            tell_missing(world, session, last[topic] - 1);
            sim_fail(world, "a retained message is missing [MQTT-3.3.1-9]");
        }
    }
}

static void check_all_retained(struct sim_world *world)
{
    uint32_t last[256] = {0};

    for (uint32_t m = 0; m < world->message_count; m++) {
        if (world->messages[m].retain && !world->messages[m].is_will) {
            last[world->messages[m].topic] = m + 1;
        }
    }
    for (uint32_t s = 0; s < world->session_count; s++) {
        struct sim_session *session = world->sessions[s];

        for (unsigned i = 0; !session->is_over && i < session->sub_count; i++) {
            const struct sim_sub *sub = &session->subs[i];

            if (sub->is_replayed && (sub->options & NOC_SUB_RETAIN_HANDLING) == 0 &&
                sub->acked_at != 0 && sub->end_sent_at == 0) {
                check_retained(world, session, sub, last);
            }
        }
    }
}

/* Of a storm one connection at most stays, and the core thinks so too. */
static void check_storm(struct sim_world *world)
{
    for (unsigned i = 0; i < world->scenario->clients; i += 4) {
        unsigned open = 0;

        for (unsigned k = 0; k < 4; k++) {
            open += world->clients[i + k].state == SIM_OPEN;
        }
        if (open > 1) {
            sim_fail(world, "%u connections of %s are open", open, world->clients[i].id);
        }
    }
}

void sim_oracle_finish(struct sim_world *world)
{
    uint64_t dropped = (uint64_t)noc_core_count_mt(&world->core, NOC_COUNT_PUBLISH_DROPPED);
    uint64_t missing;

    if (world->profile->is_storm) {
        check_storm(world);
        return;
    }
    if (world->is_lawless) {
        return;
    }
    missing = missing_plain(world);
    if (world->profile->is_stable_group) {
        missing += missing_shared(world);
    }
    if (missing > dropped) {
        sim_fail(world, "%lu messages are missing, %lu were counted as dropped",
            (unsigned long)missing, (unsigned long)dropped);
    }
    if (world->profile->no_drops && dropped > 0) {
        sim_fail(world, "%lu messages were dropped", (unsigned long)dropped);
    }
    if (world->profile->owns_topics) {
        check_all_retained(world);
    }
    for (unsigned i = 0; i < world->shard_count; i++) {
        if (world->workers[i].timeouts > 0 && world->profile->abandon == 0) {
            sim_fail(world, "a client that answers was taken for dead");
        }
    }
}
