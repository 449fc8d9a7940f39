/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mistakes made on purpose between engine and broker, as if one of them had made them. Each must
 * be found: a simulator that finds nothing may be one that does not look.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"

static const struct {
    const char *name;
    enum sim_fault fault;
} faults[] = {
    {"no-resend", SIM_FAULT_NO_RESEND},
    {"resend", SIM_FAULT_RESEND},
    {"no-pubrel", SIM_FAULT_NO_PUBREL},
    {"no-puback", SIM_FAULT_NO_PUBACK},
    {"no-dup", SIM_FAULT_NO_DUP},
    {"reused-id", SIM_FAULT_REUSED_ID},
    {"no-ping", SIM_FAULT_NO_PING},
    {"lost-puback", SIM_FAULT_LOST_PUBACK},
    {"lost-message", SIM_FAULT_LOST_MESSAGE},
    {"lost-storage", SIM_FAULT_LOST_STORAGE},
};

enum sim_fault sim_fault_of(const char *name)
{
    for (unsigned i = 0; i < NOC_COUNT(faults); i++) {
        if (name == NULL) {
            printf("%s\n", faults[i].name);
        } else if (strcmp(name, faults[i].name) == 0) {
            return faults[i].fault;
        }
    }
    return SIM_FAULT_NONE;
}

const char *sim_fault_name(unsigned fault)
{
    for (unsigned i = 0; i < NOC_COUNT(faults); i++) {
        if (faults[i].fault == fault) {
            return faults[i].name;
        }
    }
    return "";
}

/* Where the packet identifier of a PUBLISH stands. */
static uint8_t *id_of(uint8_t *packet, const struct noc_header *header)
{
    uint8_t *body = packet + header->size;

    return body + 2 + (body[0] << 8 | body[1]);
}

/* Every so often, so that the rest goes on. */
static bool is_time(struct sim_client *client)
{
    return sim_chance(sim_chance_of(client), 50);
}

static void reuse_id(struct sim_engine *engine, uint8_t *at)
{
    uint16_t id = (uint16_t)(at[0] << 8 | at[1]);

    if (engine->last_publish_id != 0) {
        at[0] = (uint8_t)(engine->last_publish_id >> 8);
        at[1] = (uint8_t)engine->last_publish_id;
    }
    engine->last_publish_id = id;
}

unsigned sim_fault_say(struct sim_client *client, uint8_t *packet, const struct noc_header *header)
{
    bool is_publish = header->type == NOC_PUBLISH && (header->flags & 6) != 0;
    bool is_again = is_publish && (header->flags & 8) != 0;

    switch ((enum sim_fault)client->world->fault) {
    case SIM_FAULT_NO_RESEND:
        return !is_again;
    case SIM_FAULT_RESEND:
        if (is_publish && is_time(client)) {
            packet[0] |= 8;
            return 2;
        }
        return 1;
    case SIM_FAULT_NO_PUBREL:
        return header->type != NOC_PUBREL || !is_time(client);
    case SIM_FAULT_NO_PUBACK:
        return header->type != NOC_PUBACK || !is_time(client);
    case SIM_FAULT_NO_DUP:
        packet[0] &= is_again ? (uint8_t)~8u : 0xff;
        return 1;
    case SIM_FAULT_REUSED_ID:
        if (is_publish) {
            reuse_id(client->engine, id_of(packet, header));
        }
        return 1;
    case SIM_FAULT_NO_PING:
        return header->type != NOC_PINGREQ;
    case SIM_FAULT_NONE:
    case SIM_FAULT_LOST_PUBACK:
    case SIM_FAULT_LOST_MESSAGE:
    case SIM_FAULT_LOST_STORAGE:
    default:
        return 1;
    }
}

unsigned sim_fault_hear(struct sim_client *client, const struct noc_header *header)
{
    bool is_lost = (client->world->fault == SIM_FAULT_LOST_PUBACK && header->type == NOC_PUBACK) ||
                   (client->world->fault == SIM_FAULT_LOST_MESSAGE && header->type == NOC_PUBLISH &&
                       (header->flags & 6) != 0);

    return !is_lost || !is_time(client);
}
