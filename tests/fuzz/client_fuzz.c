/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client engine against a hostile server, or proxy. The first three bytes of the input choose
 * version, WebSocket, sizes of buffers, how bytes are cut, and whether the application is busy;
 * the rest is what the server sends. Whatever comes: slices of events lie in the input
 * buffer, what the client writes are sound packets, and an application that only
 * listens is told the same however the bytes are cut.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <noctule/client.h>

#include "mqtt/packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

enum { BOX = 600, RECEIVED = 3, TURNS_MAX = 20000 };
enum {
    IS_V5 = 1,
    IS_V31 = 2,
    HAS_WS = 4,
    IS_BUSY = 8,
    HAS_AUTH = 16,
    KEEPS = 32,
    HAS_ALIASES = 64
};

struct world {
    struct noc_client client;
    struct noc_client_options options;
    struct noc_ring_outbox ring;
    uint32_t box[BOX / 4];
    uint16_t received[RECEIVED], lengths[2];
    char topics[2 * 10];
    uint8_t *in, *out;
    size_t in_n, out_n, piece;
    unsigned mode;
    uint32_t now_ms;
    uint64_t told; /* a hash of all that was told */
    uint8_t sent[1 << 16];
    size_t sent_n;
    bool is_closed;
};

static void must(bool is_true, const char *what)
{
    if (!is_true) {
        fprintf(stderr, "%s\n", what);
        abort();
    }
}

static uint32_t no_random(void *context)
{
    (void)context;
    return 0x61626364; /* so that a corpus can hold the answer to the key that follows */
}

static int step(void *context, struct noc_slice data, uint8_t *at, size_t room)
{
    (void)context;
    if (data.n > room || (data.n > 0 && data.at[0] == '!')) {
        return NOC_EINVAL;
    }
    if (data.n > 0) {
        memmove(at, data.at, data.n);
    }
    return (int)data.n;
}

static int finish(void *context, struct noc_slice data)
{
    (void)context;
    return data.n > 0 && data.at[0] == '!' ? NOC_EDENIED : NOC_OK;
}

static void add(struct world *world, const void *bytes, size_t n)
{
    const uint8_t *at = bytes;

    for (size_t i = 0; i < n; i++) {
        world->told = (world->told ^ at[i]) * UINT64_C(0x100000001b3);
    }
}

/* A slice of an event: inside the input buffer, or among the topics of aliases. */
static void check_slice(const struct world *world, struct noc_slice slice)
{
    const uint8_t *at = (const uint8_t *)slice.at;
    bool is_in = at >= world->in && slice.n <= (size_t)(world->in + world->in_n - at);
    bool is_topic = slice.at >= world->topics && slice.at < world->topics + sizeof world->topics &&
                    slice.n <= (size_t)(world->topics + sizeof world->topics - slice.at);

    must(slice.n == 0 || is_in || is_topic, "a slice of an event lies outside");
}

static void tell(struct world *world, const struct noc_event *event)
{
    unsigned kind = event->kind;

    check_slice(world, event->topic);
    check_slice(world, event->payload);
    check_slice(world, event->props.raw);
    check_slice(world, event->props.reason_string);
    if (kind == NOC_EVENT_CLOSED) {
        world->is_closed = true;
        add(world, &event->cause.kind, sizeof event->cause.kind);
        return; /* how much of a body had come is a matter of luck */
    }
    if (kind != NOC_EVENT_MESSAGE_CHUNK && kind != NOC_EVENT_MESSAGE_END) {
        add(world, &kind, sizeof kind);
        add(world, &event->size, sizeof event->size);
        add(world, event->topic.at, event->topic.n);
    }
    add(world, event->payload.at, event->payload.n);
    if ((world->mode & IS_BUSY) == 0) {
        return;
    }
    if (kind == NOC_EVENT_CONNECTED || kind == NOC_EVENT_MESSAGE || kind == NOC_EVENT_PUBLISHED) {
        struct noc_client_message message = {.topic = {"t", 1}, .payload = {"payload", 7}};
        struct noc_client_filter filter = {{"a/#", 3}, 2};

        message.qos = event->reason % 3;
        message.alias = 1;
        (void)!noc_client_publish(&world->client, &message, NULL);
        message.qos = (uint8_t)(1 + event->packet_id % 2);
        (void)!noc_client_publish(&world->client, &message, NULL);
        (void)!noc_client_subscribe(&world->client, &filter, 1, noc_slice(NULL, 0), NULL);
        (void)!noc_client_unsubscribe(&world->client, &filter.filter, 1, noc_slice(NULL, 0), NULL);
        if (event->packet_id == 77) {
            (void)!noc_client_authenticate(&world->client);
        }
    }
}

/* Is what a client writes sound? */
static void check_sent(const struct world *world)
{
    const uint8_t *at = world->sent;
    size_t n = world->sent_n;
    unsigned version = world->client.version;
    struct noc_header header;
    int used;

    while ((used = noc_header_decode(version, at, n, &header)) > 0 &&
           header.remaining <= n - (size_t)used) {
        struct noc_slice body = noc_slice(at + used, header.remaining);
        union {
            struct noc_connect connect;
            struct noc_publish publish;
            struct noc_ack ack;
            struct noc_subscribe subscribe;
            struct noc_disconnect disconnect;
        } view;
        struct noc_fault fault;
        const uint8_t *start = at + used;
        int err = NOC_OK;

        switch (header.type) {
        case NOC_CONNECT:
            err = noc_connect_decode(start, body.n, &view.connect, &fault);
            break;
        case NOC_PUBLISH:
            err = noc_publish_decode(version, header.flags, true, &body, &view.publish, &fault);
            break;
        case NOC_PUBACK:
        case NOC_PUBREC:
        case NOC_PUBREL:
        case NOC_PUBCOMP:
            err = noc_ack_decode(version, header.type, &body, &view.ack, &fault);
            break;
        case NOC_SUBSCRIBE:
            err = noc_subscribe_decode(version, start, body.n, &view.subscribe, &fault);
            break;
        case NOC_UNSUBSCRIBE:
            err = noc_unsubscribe_decode(version, start, body.n, &view.subscribe, &fault);
            break;
        case NOC_DISCONNECT:
            err = noc_disconnect_decode(version, true, start, body.n, &view.disconnect, &fault);
            break;
        case NOC_AUTH:
            err = noc_auth_decode(start, body.n, &view.disconnect, &fault);
            break;
        default:
            err = header.type == NOC_PINGREQ ? NOC_OK : NOC_EPROTO;
            break;
        }
        must(err == NOC_OK, "the client wrote a packet that is none");
        at += (size_t)used + header.remaining;
        n -= (size_t)used + header.remaining;
    }
    must(used >= 0, "the client wrote what is no packet");
}

static void turn(struct world *world)
{
    struct noc_event event;
    const uint8_t *bytes;
    size_t n;
    bool is_more = true;

    for (unsigned turns = 0; is_more; turns++) {
        must(turns < TURNS_MAX, "the client comes to no end");
        is_more = false;
        while (noc_client_next(&world->client, world->now_ms, &event)) {
            tell(world, &event);
            is_more = true;
        }
        bytes = noc_client_peek(&world->client, world->now_ms, &n);
        if (n > 0) {
            must(bytes >= world->out && n <= (size_t)(world->out + world->out_n - bytes),
                "bytes to be written lie outside");
            if (n <= sizeof world->sent - world->sent_n) {
                memcpy(world->sent + world->sent_n, bytes, n);
                world->sent_n += n;
            }
            noc_client_sent(&world->client, n, world->now_ms);
            is_more = true;
        }
    }
    must(noc_client_wait_ms(&world->client, world->now_ms) > 0, "the client waits for itself");
}

static void feed(struct world *world, const uint8_t *bytes, size_t n)
{
    while (n > 0 && !world->is_closed) {
        size_t room, part;
        uint8_t *at = noc_client_room(&world->client, &room);

        must(at >= world->in && room <= (size_t)(world->in + world->in_n - at),
            "the room for what comes lies outside");
        part = n < room ? n : room;
        part = part < world->piece ? part : world->piece;
        if (part == 0) {
            return;
        }
        memcpy(at, bytes, part);
        noc_client_received(&world->client, part, world->now_ms);
        bytes += part;
        n -= part;
        world->now_ms += 3;
        turn(world);
    }
}

static void run(struct world *world, const uint8_t *choice, const uint8_t *bytes, size_t n)
{
    static const struct noc_client_websocket websocket = {.host = {"h", 1}};
    static const struct noc_client_auth auth = {{"M", 1}, step, finish, NULL};
    struct noc_client_aliases aliases = {world->topics, world->lengths, 10, 2};
    unsigned mode = choice[0];

    world->mode = mode;
    world->in_n = 512 + 2 * (size_t)choice[1];
    world->out_n = 384 + (size_t)choice[1];
    world->in = malloc(world->in_n);
    world->out = malloc(world->out_n);
    must(world->in != NULL && world->out != NULL, "out of memory");
    world->options = (struct noc_client_options){
        .client_id = {"me", 2},
        .version = (mode & IS_V5) != 0    ? 5
                   : (mode & IS_V31) != 0 ? 3
                                          : 4,
        .websocket = (mode & HAS_WS) != 0 ? &websocket : NULL,
        .auth = (mode & HAS_AUTH) != 0 ? &auth : NULL,
        .aliases = (mode & HAS_ALIASES) != 0 ? &aliases : NULL,
        .keep_session = (mode & KEEPS) != 0,
        .received = world->received,
        .received_max = RECEIVED,
        .outbox = noc_ring_outbox_init(&world->ring, world->box, sizeof world->box),
        .random = no_random,
    };
    must(noc_client_init(&world->client, &world->options, world->in, world->in_n, world->out,
             world->out_n) == NOC_OK,
        "init");
    must(noc_client_start(&world->client, 0) == NOC_OK, "start");
    turn(world);
    feed(world, bytes, n);
    if (!world->is_closed) {
        noc_client_lost(&world->client);
        turn(world);
    }
    must(world->is_closed, "the end was not told");
    if ((mode & HAS_WS) == 0) {
        check_sent(world);
    }
    free(world->in);
    free(world->out);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static struct world world;
    uint64_t told;

    if (n < 3) {
        return 0;
    }
    memset(&world, 0, sizeof world);
    world.piece = 1u + bytes[2];
    run(&world, bytes, bytes + 3, n - 3);
    if ((world.mode & IS_BUSY) == 0) {
        told = world.told;
        memset(&world, 0, sizeof world);
        world.piece = SIZE_MAX;
        run(&world, bytes, bytes + 3, n - 3);
        must(told == world.told, "it matters how the bytes are cut");
    }
    return 0;
}
