/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SIM_ENGINE_H
#define TESTS_SIM_ENGINE_H
/*
 * Clients whose protocol is done by src/client. Chance has the same things in mind for them as
 * for the others, and the oracle hears of them what an application would: events.
 *
 *   chance ──publish, subscribe──► noc_client ══bytes══► tap ══► wire
 *   oracle ◄────── events ──────── noc_client ◄══bytes══ tap ◄══ wire
 *                                      │
 *                               ring, or log ──► flash
 *
 *   engine.c         a device and its turns       engine_event.c  what its application learns
 *   engine_out.c     what that asks for           engine_power.c  flash; power that fails
 *   engine_tap.c     what the engine may say      engine_rival.c  others with its id
 *   engine_ws.c      a WebSocket between engine and tap
 *   engine_fault.c   mistakes made on purpose, to see that they are found
 *
 * The engine is called as its header says and no oftener: when bytes have come or gone, the
 * application wants something, or noc_client_wait_ms() is over. So what that leaves out is found.
 */

#include <noctule/backoff.h>
#include <noctule/client.h>

#include "sim.h"
#include "ws/frame.h"

enum {
    SIM_ENGINE_FLIGHTS_MAX = 100,
    SIM_ENGINE_TOPIC_MAX = 32,
    SIM_ENGINE_ALIASES_MAX = 32,
    SIM_ENGINE_RECEIVED_MAX = 40,
};

/* A message that the outbox took. They stand in the order in which it did. */
struct sim_engine_flight {
    uint16_t packet_id;
    uint8_t qos;
    bool is_partial;   /* the application has not given all of it */
    bool is_doubtful;  /* power failed when it was taken: it is there or not */
    bool is_answered;  /* what ends it has come: power may fail before the application learns it */
    bool is_sent;      /* the broker may know it: it was said whole since the session began, */
    bool is_sent_here; /* on this connection, */
    bool is_released;  /* and PUBREL since the session began, */
    bool is_released_here; /* on this connection */
    uint32_t message;      /* UINT32_MAX: all that is left of it is that it was released */
};

/* Storage of which what was not synchronised may get lost, its newest part first. */
struct sim_flash {
    struct noc_storage storage;
    struct sim_world *world;
    uint8_t *bytes[2];
    size_t budget; /* bytes to write or erase until power fails */
    bool is_off;
    struct {
        uint32_t at;
        size_t n;
    } unsynced[2][256];
    unsigned unsynced_count[2];
};

/* The other end of an engine's WebSocket. */
struct sim_ws {
    struct noc_client_websocket options;
    struct noc_ws_decoder decoder;
    struct sim_pipe head;   /* of the request, till it is whole */
    struct sim_pipe framed; /* what the engine has not read yet; the tap has seen it already */
    uint8_t ping[NOC_WS_CONTROL_MAX], ping_n;
    bool is_on, is_open, is_pinging;
    bool is_in_message; /* its last frame is still to come */
    bool is_closed;     /* the engine has, */
    bool has_closed;    /* and this end */
};

struct sim_engine {
    struct noc_client client;
    struct noc_client_options options;
    struct noc_client_will will;
    struct noc_client_aliases aliases;
    char alias_topics[4][SIM_ENGINE_TOPIC_MAX];
    uint16_t alias_lengths[4];
    uint8_t props[64], will_props[8], will_payload[32];
    uint32_t max_packet; /* the same for good: what became too large would never be released */
    uint8_t *in, *out;
    size_t in_room, out_room;
    uint16_t received[SIM_ENGINE_RECEIVED_MAX];
    struct noc_backoff backoff;
    uint32_t clock_offset; /* its clock has begun before it goes round */
    uint64_t retry_ms;
    uint64_t wake_ms;
    bool is_stirred; /* it is to be called */
    bool has_closed; /* the server has, and it was told so */
    bool is_dropped; /* we have */
    bool is_starved; /* the application doesn't read */

    /* The outbox. */
    struct noc_ring_outbox ring;
    struct noc_log_outbox log;
    struct sim_flash flash;
    uint8_t *ring_bytes;
    size_t ring_room;
    bool has_log;

    /* A message that is being given in pieces. */
    uint8_t *given;
    size_t given_n, given_at;
    bool is_given_to_box;

    /* A message that is being had in chunks, or the last one. */
    struct noc_publish hearing;
    char heard_topic[SIM_ENGINE_TOPIC_MAX];
    uint8_t *heard_props;
    struct sim_pipe payload;
    uint16_t last_heard_id;
    uint32_t last_heard; /* of QoS 2; UINT32_MAX: the last was something else */

    struct sim_engine_flight flights[SIM_ENGINE_FLIGHTS_MAX];
    unsigned flight_count;

    /* The tap. */
    struct sim_pipe said, heard, passed; /* passed: what of it the engine is given, with a fault */
    bool has_said_connect, has_said_goodbye;
    char *topics[SIM_ENGINE_ALIASES_MAX + 1]; /* of its aliases */
    struct sim_fifo releases,
        completions; /* owed: PUBREL, PUBCOMP; PUBACK and PUBREC are in owed */
    unsigned window;
    unsigned pings;     /* said, and not answered */
    bool is_blocked;    /* not all that it has to say is said: PINGREQ may have found no room */
    uint32_t last_said; /* message of QoS 1 or 2 said last here, plus one */
    uint64_t wrote_ms, read_ms;
    uint16_t last_publish_id; /* for a fault */

    struct sim_ws ws;

    struct sim_wire *rival;
    bool is_wiping, is_rival_in;
};

/* ---- engine.c ---- */

void sim_engine_new(struct sim_client *client);
void sim_engine_free(struct sim_client *client);
void sim_engine_init(struct sim_client *client);
void sim_engine_turn(struct sim_client *client);
void sim_engine_start(struct sim_client *client);
bool sim_engine_is_idle(const struct sim_client *client);
unsigned sim_engine_flights(const struct sim_client *client);
/* The transport is gone: hear what had come. */
void sim_engine_lose(struct sim_client *client);
/* Say goodbye. False: not now, with something half said. */
bool sim_engine_leave(struct sim_client *client, uint8_t reason, struct noc_slice props);
uint32_t sim_engine_now(const struct sim_client *client);
void sim_engine_check(const struct sim_client *client, bool is_right, const char *rule);

/* ---- engine_event.c ---- */

/* Take all events. False: power has failed. */
bool sim_engine_listen(struct sim_client *client);

/* ---- engine_out.c ---- */

void sim_engine_publish(struct sim_client *client, uint32_t number);
/* Go on with what is given in pieces. */
void sim_engine_give(struct sim_client *client);
/* Returns the packet identifier, 0: not now. */
uint16_t sim_engine_subscribe(struct sim_client *client, const struct noc_client_filter *filters,
    unsigned count, struct noc_slice props);
struct sim_engine_flight *sim_engine_flight(struct sim_engine *engine, uint16_t packet_id);
/*
 * Has it half a message of QoS 2 of which only its session knows the other half: one that it
 * released, or one that was not released to it?
 */
bool sim_engine_has_half(const struct sim_client *client);
void sim_engine_end_flight(struct sim_engine *engine, struct sim_engine_flight *flight);

/* ---- engine_tap.c ---- */

/* A new connection; a new session, or the one that was. */
void sim_tap_reset(struct sim_engine *engine);
void sim_tap_connected(struct sim_client *client, bool is_resumed);
/* What the engine says goes to the wire. */
void sim_tap_say(struct sim_client *client, const uint8_t *bytes, size_t n);
/* Give the engine some of what has come; n: that much has. Returns the bytes. */
size_t sim_tap_hear(struct sim_client *client);

/* ---- engine_ws.c ---- */

void sim_ws_init(struct sim_client *client);
void sim_ws_reset(struct sim_ws *ws);
void sim_ws_done(struct sim_ws *ws);
/* What the engine says: its data goes to the tap. */
void sim_ws_say(struct sim_client *client, const uint8_t *bytes, size_t n);
/* Put a frame around some of what the broker says, once the last one is read. Returns the bytes. */
size_t sim_ws_wrap(struct sim_client *client, const uint8_t *bytes, size_t n);
/* The broker has gone. True: with nothing left to be read; false: a frame. */
bool sim_ws_end(struct sim_client *client);

/* ---- engine_power.c ---- */

void sim_flash_init(struct sim_flash *flash, struct sim_world *world, uint32_t region_bytes);
void sim_flash_done(struct sim_flash *flash);
/* Power fails, now if it has not yet; and comes back. The wire is cut, or somebody else's business. */
void sim_engine_reboot(struct sim_client *client);
void sim_engine_restart(struct sim_client *client);
void sim_engine_power_turn(struct sim_client *client);

/* ---- engine_rival.c ---- */

void sim_rival_turn(struct sim_client *client);

/* ---- engine_fault.c ---- */

enum sim_fault {
    SIM_FAULT_NONE,
    SIM_FAULT_NO_RESEND,
    SIM_FAULT_RESEND,
    SIM_FAULT_NO_PUBREL,
    SIM_FAULT_NO_PUBACK,
    SIM_FAULT_NO_DUP,
    SIM_FAULT_REUSED_ID,
    SIM_FAULT_NO_PING,
    SIM_FAULT_LOST_PUBACK,
    SIM_FAULT_LOST_MESSAGE,
    SIM_FAULT_LOST_STORAGE,
};

/* By its name, or SIM_FAULT_NONE. NULL: tell all names. */
enum sim_fault sim_fault_of(const char *name);
/* Static text, "" for none. */
const char *sim_fault_name(unsigned fault);
/* What becomes of a packet that a client with an engine says or is to hear: how often it goes. */
unsigned sim_fault_say(struct sim_client *client, uint8_t *packet, const struct noc_header *header);
unsigned sim_fault_hear(struct sim_client *client, const struct noc_header *header);

#endif
