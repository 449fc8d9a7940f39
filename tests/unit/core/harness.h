/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_CORE_HARNESS_H
#define TESTS_CORE_HARNESS_H
/*
 * A world for the tests of the core: one core with one to three shards, all
 * played by one thread on a clock that stands until it is told, and clients
 * that say packets and hear what the broker writes, as text:
 *
 *   struct client *c = join(&w, "c");              CONNECT in version 5
 *   say_publish(c, 1, 7, "a/b", "hello");
 *   hears(c, "PUBACK 7 rc=16");
 *
 * Packets heard at once are joined by "; ". Properties stand behind the packet as
 * hexadecimal identifier and value, "22=10", in the order of the wire. At the end
 * stands "closed" when the broker has closed. What is heard is heard once.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/journal.h"
#include "core/link.h"
#include "core/queue.h"
#include "core/shard.h"
#include "mqtt/packet.h"

enum { WORLD_CLIENTS_MAX = 512, WORLD_LISTENERS = 4, WORLD_SHARDS_MAX = 3 };

#define TEXT(literal)  noc_slice_of(literal)
#define BYTES(literal) noc_slice(literal, sizeof(literal) - 1)

struct world;

struct client {
    struct noc_link link;
    struct world *world;
    size_t takes;         /* bytes its socket takes until it blocks */
    bool is_reading;      /* as the core wants it */
    bool is_detached;     /* between two shards */
    bool is_closed;       /* by the core */
    bool is_gone;         /* noc_link_done() has been called */
    bool has_hung_up;     /* and nobody has read it yet */
    bool fails_to_arrive; /* the glue ends it as soon as it comes to another shard */
    unsigned steps;       /* of extended authentication */
    unsigned moves;       /* times it came to another shard */
    uint8_t *heard;       /* what was written to it and not looked at */
    size_t heard_n, heard_room;
    char *text;       /* what heard() answered last */
    uint16_t next_id; /* packet id of what it says next */
};

struct world {
    struct noc_core core;
    struct noc_shard shards[WORLD_SHARDS_MAX];
    struct noc_limits limits;                       /* change before world_start() */
    struct noc_listener listeners[WORLD_LISTENERS]; /* the same */
    uint64_t now_ms;
    struct client *clients[WORLD_CLIENTS_MAX];
    unsigned client_count;
    bool is_frozen[WORLD_SHARDS_MAX]; /* this shard takes no turns */
    bool is_durable;                  /* shards have journals; set before world_start() */
    struct noc_operations *batch[WORLD_SHARDS_MAX]; /* of a shard, at the store */
    char batch_text[4000];
    bool has_pages;             /* long queues are in the store; set before world_start() */
    struct noc_operations rows; /* then: outgoing messages that the store has, by rising sequence */
    struct noc_page *page;      /* that was asked for */
    void (*own_memory)(bool on);  /* NULL, or told when the harness itself allocates */
    int verdict;                  /* of authenticate */
    uint64_t ticket;              /* of the last one, when the verdict is NOC_EAGAIN */
    struct noc_credentials asked; /* of the last one; its texts are gone */
    char asked_text[200];
    unsigned wakes, ticks;
    uint8_t random;
    char *log; /* all lines since the start or log_clear() */
    size_t log_n, log_room;
};

/* Limits and listeners as Mosquitto's defaults; then change them, then start. */
void world_init(struct world *world);
void world_start(struct world *world, unsigned shard_count);
/* The same in one. */
void world_open(struct world *world, unsigned shard_count);
/* Everything is given back, and all counts of things that are there must be zero. */
void world_close(struct world *world);

/* One turn of a shard. */
void world_turn(struct world *world, unsigned shard);
/* Turns until nobody has anything to do. */
void world_settle(struct world *world);
/* Time passes, in steps of at most a second, and what is due happens. */
void world_advance(struct world *world, uint64_t ms);
/* Something happens in a turn of a shard, where its input would. */
void world_do(struct world *world, unsigned shard,
    void (*act)(struct noc_shard *shard, const void *argument), const void *argument);
/* What the shard's batch at the store says, as text: "" for none. Valid until the next call. */
const char *world_batch(struct world *world, unsigned shard);
/* The store has written the shard's batch. */
void world_commit(struct world *world, unsigned shard);

/* The store has read the page that was asked for; err: it could not. */
void world_page(struct world *world, int err);
/* The store loses the outgoing messages from first to last. */
void world_lose(struct world *world, uint64_t first, uint64_t last);

/* The pool has judged the last CONNECT. */
void world_judge(struct world *world, unsigned shard, int result);

int64_t world_count(const struct world *world, enum noc_counter counter);

/* Is the text in a line of the log? */
bool logged(const struct world *world, const char *text);
void log_clear(struct world *world);

/* ---- clients ---- */

/* A connection, before CONNECT. */
struct client *dial(struct world *world, unsigned shard, unsigned listener);

/* Bytes in one read, and all that follows from them. */
void say(struct client *client, const void *bytes, size_t n);
/* The same without turns of other shards: one turn of the client's shard. */
void say_only(struct client *client, const void *bytes, size_t n);
#define say_bytes(client, literal) say(client, literal, sizeof(literal) - 1)

void say_connect(struct client *client, struct noc_connect connect);
/* dial() on shard 0, listener 0, CONNECT; the CONNACK must be a success and is not heard again. */
struct client *join_as(struct world *world, struct noc_connect connect);
struct client *join(struct world *world, const char *id); /* version 5, clean start, no expiry */
struct client *join_v311(struct world *world, const char *id); /* clean session */
/* Version 5 with a session that does not end; clean_start false. */
struct client *stay(struct world *world, const char *id);

/* packet_id 0 with QoS > 0: the client's next one. */
void say_publish(struct client *client, unsigned qos, uint16_t packet_id, const char *topic,
    const char *payload);
void say_publish_out(
    struct client *client, const struct noc_publish_out *out, struct noc_slice payload);
void say_retained(struct client *client, unsigned qos, const char *topic, const char *payload);
void say_ack(struct client *client, unsigned type, uint16_t packet_id, uint8_t reason);
void say_subscribe(struct client *client, const char *filter, uint8_t options, uint32_t id);
/* The same, and the SUBACK must grant it. */
void subscribe(struct client *client, const char *filter, uint8_t options);
void say_unsubscribe(struct client *client, const char *filter);
/* AUTH; method NULL: without one. data NULL: without data. */
void say_auth(struct client *client, uint8_t reason, const char *method, const char *data);
void say_disconnect(struct client *client, uint8_t reason, struct noc_slice props);
/* The connection breaks. */
void hang_up(struct client *client);

/* All heard since the last time, as text; valid until the next call. */
const char *heard(struct client *client);
#define hears(client, text) assert_string_equal(heard(client), text)
/* Nothing was heard, and the connection stands. */
#define hears_nothing(client) assert_string_equal(heard(client), "")
/* Packets of a kind ("PUBLISH") in what was heard; and heard is forgotten. */
unsigned hears_count(struct client *client, const char *kind);

#endif
