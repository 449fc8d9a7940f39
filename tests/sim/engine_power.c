/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flash, and power that fails: at any byte that is written or erased, or between two turns. What
 * was not synchronised then gets lost from some byte on. When the device begins again, all that
 * its outbox had taken must be there, in that order, and nothing that was across.
 *
 * A device whose outbox is a ring comes back with nothing, and begins a new session.
 */
#include <stdlib.h>
#include <string.h>

#include "engine.h"

/* ---- flash ---- */

static int flash_read(void *context, unsigned region, uint32_t at, void *into, size_t n)
{
    struct sim_flash *flash = context;

    if (flash->is_off) {
        return NOC_EIO;
    }
    if (region > 1 || at > flash->storage.region_bytes || n > flash->storage.region_bytes - at) {
        sim_fail(flash->world, "flash: a read beyond its end");
    }
    memcpy(into, flash->bytes[region] + at, n);
    return NOC_OK;
}

/* Of n bytes so many can be written before power fails. */
static size_t spend(struct sim_flash *flash, size_t n)
{
    n = n < flash->budget ? n : flash->budget;
    if (flash->budget != SIZE_MAX) {
        flash->budget -= n;
    }
    return n;
}

static void note_unsynced(struct sim_flash *flash, unsigned region, uint32_t at, size_t n)
{
    unsigned count = flash->unsynced_count[region];

    if (count == NOC_COUNT(flash->unsynced[region])) {
        memmove(flash->unsynced[region], flash->unsynced[region] + 1,
            (count - 1) * sizeof flash->unsynced[region][0]); /* the oldest has got there */
        count--;
    }
    flash->unsynced[region][count].at = at;
    flash->unsynced[region][count].n = n;
    flash->unsynced_count[region] = count + 1;
}

static int flash_write(void *context, unsigned region, uint32_t at, const void *bytes, size_t n)
{
    struct sim_flash *flash = context;
    size_t done;

    if (flash->is_off) {
        return NOC_EIO;
    }
    if (region > 1 || at % 4 != 0 || n % 4 != 0 || at > flash->storage.region_bytes ||
        n > flash->storage.region_bytes - at) {
        sim_fail(flash->world, "flash: a write beyond its end, or not aligned");
    }
    for (size_t i = 0; i < n; i++) {
        if (flash->bytes[region][at + i] != 0xff) {
            sim_fail(flash->world, "flash: written twice between two erasures");
        }
    }
    done = spend(flash, n);
    memcpy(flash->bytes[region] + at, bytes, done);
    note_unsynced(flash, region, at, done);
    flash->is_off = done < n;
    return flash->is_off ? NOC_EIO : NOC_OK;
}

static int flash_sync(void *context, unsigned region)
{
    struct sim_flash *flash = context;

    if (flash->is_off) {
        return NOC_EIO;
    }
    if (flash->world->fault != SIM_FAULT_LOST_STORAGE) {
        flash->unsynced_count[region] = 0;
    }
    return NOC_OK;
}

static int flash_erase(void *context, unsigned region)
{
    struct sim_flash *flash = context;
    size_t n = flash->storage.region_bytes, done;

    if (flash->is_off) {
        return NOC_EIO;
    }
    done = spend(flash, n);
    memset(flash->bytes[region], 0xff, done);
    flash->unsynced_count[region] = 0;
    flash->is_off = done < n;
    return flash->is_off ? NOC_EIO : NOC_OK;
}

void sim_flash_init(struct sim_flash *flash, struct sim_world *world, uint32_t region_bytes)
{
    flash->world = world;
    flash->budget = SIZE_MAX;
    flash->storage = (struct noc_storage){.read = flash_read,
        .write = flash_write,
        .sync = flash_sync,
        .erase = flash_erase,
        .context = flash,
        .region_bytes = region_bytes};
    for (unsigned i = 0; i < 2; i++) {
        flash->bytes[i] = sim_alloc(region_bytes);
        memset(flash->bytes[i], 0xff, region_bytes);
    }
}

void sim_flash_done(struct sim_flash *flash)
{
    free(flash->bytes[0]);
    free(flash->bytes[1]);
}

/* The end of what was not synchronised is not there any more. */
static void lose_unsynced(struct sim_flash *flash, struct sim_random *random, unsigned region)
{
    unsigned count = flash->unsynced_count[region], keep = sim_below(random, count + 1);

    for (unsigned i = keep; i < count; i++) {
        size_t n = flash->unsynced[region][i].n,
               cut = i == keep ? sim_below(random, (unsigned)n + 1) : 0;

        memset(flash->bytes[region] + flash->unsynced[region][i].at + cut, 0xff, n - cut);
    }
    flash->unsynced_count[region] = 0;
}

/* Power is back; now and then it fails again while the log is read. */
static void open_log(struct sim_client *client)
{
    struct sim_engine *engine = client->engine;
    struct sim_flash *flash = &engine->flash;
    struct sim_random *random = sim_chance_of(client);
    int err = NOC_EIO;

    for (unsigned i = 0; i < 4 && err != NOC_OK; i++) {
        lose_unsynced(flash, random, 0);
        lose_unsynced(flash, random, 1);
        flash->is_off = false;
        flash->budget = i < 3 && sim_chance(random, 300) ? sim_below(random, 3000) : SIZE_MAX;
        err = noc_log_outbox_open(&engine->log, &flash->storage);
    }
    flash->budget = SIZE_MAX;
    sim_engine_check(client, err == NOC_OK, "its log can't be opened after a power cut");
}

/* ---- what is left ---- */

/* The flight of an item, as it was known before power failed. */
static struct sim_engine_flight recall(
    struct sim_client *client, const struct noc_outbox_item *item, uint32_t number)
{
    struct sim_engine *engine = client->engine;

    for (unsigned i = 0; i < engine->flight_count; i++) {
        struct sim_engine_flight *flight = &engine->flights[i];

        if (flight->message == number ||
            ((number == UINT32_MAX || flight->message == UINT32_MAX) && !flight->is_doubtful &&
                flight->packet_id == item->packet_id)) {
            struct sim_engine_flight found = *flight;

            sim_engine_check(client, found.is_doubtful || found.packet_id == item->packet_id,
                "a message comes back with another packet identifier");
            sim_engine_check(
                client, !found.is_partial || found.is_doubtful, "half a message comes back");
            found.packet_id = item->packet_id;
            found.message = found.message == UINT32_MAX ? number : found.message;
            found.is_doubtful = found.is_partial = found.is_answered = false;
            sim_engine_end_flight(engine, flight);
            return found;
        }
    }
    /* Only of what was released may it be forgotten that it is across. */
    sim_engine_check(
        client, item->state == NOC_OUTBOX_RELEASED, "a message comes back that was across");
    return (struct sim_engine_flight){.packet_id = item->packet_id,
        .qos = 2,
        .is_sent = true,
        .is_released = true,
        .message = UINT32_MAX};
}

static uint32_t read_number(struct sim_client *client, const struct noc_outbox_item *item)
{
    struct noc_outbox *box = client->engine->options.outbox;
    uint8_t *packet = sim_alloc(item->size);
    struct noc_fault fault = {0};
    struct noc_publish publish;
    struct noc_header header;
    struct noc_slice body;
    uint32_t number = UINT32_MAX;

    sim_engine_check(client,
        box->ops->read(box, item, 0, packet, item->size) == NOC_OK &&
            noc_header_decode(client->version, packet, item->size, &header) > 0,
        "what is in its outbox is no packet");
    body = noc_slice(packet + header.size, header.remaining);
    sim_engine_check(client,
        header.size + header.remaining == item->size &&
            noc_publish_decode(client->version, header.flags, true, &body, &publish, &fault) ==
                NOC_OK &&
            publish.packet_id == item->packet_id,
        "what is in its outbox is no such message");
    if (publish.payload.n >= 4) {
        memcpy(&number, publish.payload.at, 4); /* little-endian, as all that the tests run on */
    }
    free(packet);
    return number;
}

/* Compare what is in the outbox with what it had taken. */
static void take_stock(struct sim_client *client)
{
    struct sim_engine *engine = client->engine;
    struct noc_outbox *box = engine->options.outbox;
    struct sim_engine_flight found[SIM_ENGINE_FLIGHTS_MAX];
    struct noc_outbox_item item;
    unsigned count = 0;
    uint32_t last = 0;

    sim_engine_check(client, box->ops->rewind(box, false) == NOC_OK, "its log can't be read");
    while (box->ops->unsent(box, &item) == NOC_OK && count < SIM_ENGINE_FLIGHTS_MAX) {
        uint32_t number =
            item.state == NOC_OUTBOX_RELEASED ? UINT32_MAX : read_number(client, &item);

        found[count] = recall(client, &item, number);
        if (found[count].message != UINT32_MAX) {
            sim_engine_check(client, found[count].message >= last, "its log is out of order");
            last = found[count].message;
        }
        count++;
        sim_engine_check(client, box->ops->pass(box) == NOC_OK, "its log can't be read");
    }
    for (unsigned i = 0; i < engine->flight_count; i++) {
        const struct sim_engine_flight *flight = &engine->flights[i];

        if (flight->is_answered && flight->message != UINT32_MAX) {
            client->world->messages[flight->message].state = SIM_MESSAGE_TAKEN;
            client->world->messages[flight->message].taken_at = client->world->clock;
        } else if (!flight->is_answered && !flight->is_doubtful && !flight->is_partial) {
            sim_fail(client->world, "engine of client %s: message %u is no longer in its log",
                client->id, (unsigned)flight->message);
        }
    }
    memcpy(engine->flights, found, count * sizeof *found);
    engine->flight_count = count;
}

/* ---- the device ---- */

/* The last message of QoS 2 was had, but that was not yet written down: it may be had again. */
static void forgive_last(struct sim_client *client)
{
    struct sim_engine *engine = client->engine;

    if (engine->last_heard == UINT32_MAX) {
        return;
    }
    for (unsigned i = 0; i < NOC_COUNT(engine->received); i++) {
        if (engine->received[i] == engine->last_heard_id) {
            return;
        }
    }
    sim_session_got(client->session, engine->last_heard)->taken--;
    engine->last_heard = UINT32_MAX;
}

void sim_engine_restart(struct sim_client *client)
{
    struct sim_engine *engine = client->engine;

    sim_say(client->world, "client %s begins again", client->id);
    forgive_last(client);
    if (engine->has_log) {
        open_log(client);
        take_stock(client);
    } else if (engine->options.outbox != NULL) {
        engine->options.outbox =
            noc_ring_outbox_init(&engine->ring, engine->ring_bytes, engine->ring_room);
        engine->flight_count = 0;
        memset(engine->received, 0, sizeof engine->received);
        client->must_be_clean = true;
    }
    sim_engine_init(client);
    engine->retry_ms = 0;
}

void sim_engine_reboot(struct sim_client *client)
{
    sim_engine_restart(client);
    if (client->wire != NULL) {
        sim_client_cut(client, true);
    }
}

void sim_engine_power_turn(struct sim_client *client)
{
    struct sim_engine *engine = client->engine;
    struct sim_random *random = sim_chance_of(client);

    if (!client->world->is_active || client->state == SIM_LEAVING ||
        !sim_chance(random, sim_profile_of(client)->power)) {
        return;
    }
    if (engine->has_log && sim_chance(random, 700)) {
        engine->flash.budget = sim_below(random, 300);
    } else if (!sim_client_is_watcher(client)) {
        sim_engine_reboot(client);
    }
}
