/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H
/*
 * The simulator: one core with its shards, and many clients, in one process.
 *
 *   client --up--> wire --> glue of a shard --> noc_link_feed()
 *   client <-down-- wire <-- glue of a shard <-- link->out
 *
 *   world.c      the clock, the steps, begin and end
 *   glue.c       what a worker is to its shard: a second glue beside src/broker
 *   wire.c       connections as both ends see them
 *   client.c     a client's turns: what it does next
 *     client_connect.c  begin and end of its connections
 *     client_out.c      what it says   client_in.c  what it hears
 *   engine.c     clients whose protocol is that of src/client; see engine.h
 *   oracle.c     what it may and must hear   oracle_end.c  what it must have heard
 *   invariants.c what must hold inside the core
 *   scenarios.c  the worlds                  main.c        the command line
 *
 * Everything is drawn from one seed, so a failure can be repeated exactly. With
 * is_threaded each shard has a thread of its own and time is real; clients and
 * oracle stay on the main thread, so a wire is all that is shared with them.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/link.h"
#include "core/shard.h"
#include "mqtt/packet.h"

enum {
    SIM_SHARDS_MAX = 8,
    SIM_FLIGHTS_MAX = 16,  /* messages that a client has on their way to the broker at once */
    SIM_ZOMBIES_MAX = 4,   /* connections that a client has left open and forgotten */
    SIM_FILTERS_MAX = 3,   /* in one SUBSCRIBE */
    SIM_FIRST_MS = 100000, /* the clock's start */
};

/* ---- chance ---- */

struct sim_random {
    uint64_t state;
};

uint64_t sim_random(struct sim_random *random);
/* One of 0 to n - 1. */
unsigned sim_below(struct sim_random *random, unsigned n);
bool sim_chance(struct sim_random *random, unsigned per_thousand);

/* ---- wires ---- */

struct sim_pipe {
    uint8_t *bytes;
    size_t head, n, room;
};

void sim_pipe_put(struct sim_pipe *pipe, const void *bytes, size_t n);
void sim_pipe_drop(struct sim_pipe *pipe, size_t n);
static inline const uint8_t *sim_pipe_peek(const struct sim_pipe *pipe)
{
    return pipe->bytes + pipe->head;
}

/* One connection. All but the lock is under the lock. */
struct sim_wire {
    pthread_mutex_t lock;
    unsigned references; /* each end holds one */
    struct sim_pipe up, down;
    size_t down_room;    /* bytes that the client's receive buffer takes */
    bool is_finished;    /* the client sends nothing more, but what it sent arrives */
    bool is_cut;         /* nothing arrives any more, either way */
    bool is_ended;       /* the core has ended the link */
    bool is_server_gone; /* the server has closed: nothing follows what is in down */
    uint64_t ended_ms;   /* when the core did */
};

struct sim_wire *sim_wire_new(size_t down_room);
void sim_wire_unref(struct sim_wire *wire);

/* ---- the glue ---- */

struct sim_world;

struct sim_ticket {
    uint64_t ticket;
    unsigned turns; /* until the answer */
    int result;
};

struct sim_worker {
    struct sim_world *world;
    struct noc_shard shard;
    struct sim_random random;
    struct noc_list conns, dead;
    struct sim_ticket tickets[512];
    unsigned ticket_count;
    uint64_t wake_ms; /* when the shard wants its next turn */
    bool is_asleep, was_held_up;
    unsigned phase;    /* of its turn; 0: between two */
    unsigned timeouts; /* links that ended for silence */
    char last_log[2][200];

    /* Threads only. */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t bell;

    /* Any thread. */
    atomic_bool is_woken, is_stopping, is_frozen;
};

void sim_worker_init(struct sim_world *world, unsigned number);
/* A part of a turn; a whole one, or what is left of it. */
void sim_worker_step(struct sim_worker *worker);
void sim_worker_turn(struct sim_worker *worker);
bool sim_worker_is_runnable(struct sim_worker *worker);
/* Ends what the worker's connections are; before and after noc_shard_close_links(). */
void sim_worker_bury(struct sim_worker *worker, bool all);
void *sim_worker_run(void *argument);
void sim_wake(struct sim_world *world, unsigned number);

/* A new connection to that shard. */
struct sim_wire *sim_connect(struct sim_world *world, unsigned shard, unsigned listener);

/* ---- messages ---- */

enum sim_message_state {
    SIM_MESSAGE_SENT = 0, /* it may reach the core or not */
    SIM_MESSAGE_TAKEN,    /* acknowledged: it must be delivered */
    SIM_MESSAGE_REFUSED,  /* the broker said no */
    SIM_MESSAGE_HELD,     /* a will: must not have been published yet */
    SIM_MESSAGE_NEVER,    /* a will: must not be published any more */
};

struct sim_message {
    uint32_t publisher; /* client number */
    uint32_t epoch;     /* session number of the publisher, as the oracle counts */
    uint16_t topic;
    uint8_t qos, state;
    bool retain, is_will, has_user;
    uint32_t payload_n;
    uint64_t sent_at, taken_at; /* the oracle's clock; 0: not */
    unsigned sends;
    unsigned new_sends;  /* those in a session that did not know it: with QoS 2 each counts */
    unsigned heard;      /* times that anybody heard it */
    unsigned shared_got; /* copies for sessions that have shared subscriptions only */
};

/* ---- sessions, as the clients know them ---- */

struct sim_sub {
    uint16_t filter;
    uint8_t options;
    bool is_replayed; /* retained messages were due */
    uint32_t id;
    uint64_t sent_at, acked_at;         /* SUBSCRIBE, SUBACK; 0: not */
    uint64_t end_sent_at, end_acked_at; /* UNSUBSCRIBE or a new SUBSCRIBE, and its answer */
};

struct sim_got {
    uint16_t fresh, again; /* PUBLISH packets without and with the dup flag */
    uint16_t taken;        /* with QoS 2: times it was handed on */
    uint16_t most;         /* copies that it may have */
};

struct sim_incoming { /* QoS 2 from the broker, between PUBREC and PUBREL */
    uint16_t packet_id;
    uint32_t message;
};

struct sim_flight {
    uint16_t packet_id;
    uint8_t qos;
    bool is_received; /* PUBREC has come: PUBREL's turn */
    uint32_t message;
};

struct sim_session {
    uint32_t number, client;
    bool is_over;
    struct sim_sub *subs;
    unsigned sub_count, sub_room;
    struct sim_got *got;
    uint32_t got_room;
    uint32_t *last; /* [publisher][topic][qos as published][as sent]: the newest seen, plus one */
    uint32_t *seen; /* [packet id]: the message that came with it, plus one; or NULL */
    struct sim_incoming *incoming;
    unsigned incoming_count, incoming_room;
    unsigned connections;
};

/* ---- clients ---- */

struct sim_engine;

enum sim_client_state { SIM_IDLE = 0, SIM_CONNECTING, SIM_OPEN, SIM_LEAVING };

/* An answer that the client owes: sent in order, some time. */
struct sim_owed {
    uint8_t type;
    uint16_t packet_id;
};

struct sim_fifo {
    struct sim_owed *at;
    unsigned head, n, room;
};

struct sim_client {
    struct sim_world *world;
    unsigned number;
    char id[24];
    uint8_t version, listener;
    uint32_t expiry_s;     /* what it asks for; v3: 0 or UINT32_MAX */
    uint8_t state;         /* enum sim_client_state */
    bool is_clean;         /* of the CONNECT under way */
    bool must_be_clean;    /* what its session is nobody knows */
    bool may_have_session; /* one that the client does not know of */
    bool is_retiring;      /* this leaving was for good */
    bool is_retired;
    struct sim_wire *wire;
    struct sim_wire *zombies[SIM_ZOMBIES_MAX];
    struct sim_wire *last_wire; /* the connection before */
    bool was_graceful;          /* how that one ended */
    bool was_unknown;           /* its CONNECT was never answered */
    bool is_refused;            /* the CONNECT under way */
    uint32_t will, last_will;   /* message plus one; 0: none */
    uint32_t will_delay_s, last_will_delay_s, last_expiry_s;
    uint64_t connect_ms; /* when CONNECT was sent */
    uint64_t idle_until; /* the oracle's clock */
    uint64_t spoke_ms, paused_until;
    struct sim_session *session;
    struct sim_engine
        *engine;    /* NULL: it speaks for itself, which is what most of the rest is for */
    uint8_t *heard; /* bytes of an incomplete packet */
    size_t heard_n, heard_room;

    /* Of the connection. */
    uint16_t keepalive_s, receive_max, server_receive_max, aliases_in_max, aliases_out_max;
    uint32_t max_packet;
    uint16_t next_id;
    char **aliases; /* of the broker */
    bool *known;    /* topics that the broker knows an alias of */
    bool is_resumed, has_heard_goodbye, is_pinging;
    uint8_t goodbye;
    unsigned window;               /* QoS >= 1 from the broker not yet acknowledged */
    bool *taken_ids;               /* [65536]: packet ids of them */
    bool *again_ids;               /* [65536]: of those that came with dup */
    struct sim_fifo owed, acks[3]; /* acks: expected PUBACKs, PUBRECs, PUBCOMPs, in order */
    uint16_t subscribe_id;
    bool is_unsubscribe;
    unsigned asked_count;
    uint64_t asked_at; /* the oracle's clock */
    uint16_t asked[SIM_FILTERS_MAX];
    uint8_t asked_options[SIM_FILTERS_MAX];

    struct sim_flight flights[SIM_FLIGHTS_MAX];
    unsigned flight_count;
    unsigned resend_at; /* flights not yet sent again on this connection */
    uint32_t ring_seen, ring_said, ring_answered, ring_taken; /* messages heard; its own ones */
    uint32_t ring_owed;
};

void sim_client_init(struct sim_client *client, struct sim_world *world, unsigned number);
void sim_client_done(struct sim_client *client);
void sim_client_turn(struct sim_client *client);
bool sim_client_is_idle(const struct sim_client *client);

/* What an open client does of its own accord; and one that is not connected. */
void sim_client_act(struct sim_client *client);
void sim_client_idle_turn(struct sim_client *client);

/* One of those who stay and listen to all. */
bool sim_client_is_watcher(const struct sim_client *client);
void sim_client_say(struct sim_client *client, const void *bytes, size_t n);

/* client_connect.c */
void sim_client_connect(struct sim_client *client);
void sim_client_reset(struct sim_client *client);
void sim_client_leave_wire(struct sim_client *client, bool is_graceful);
void sim_client_closed(struct sim_client *client);
void sim_client_cut(struct sim_client *client, bool is_cut);
bool sim_client_abandon(struct sim_client *client);
void sim_wire_set(struct sim_wire *wire, bool is_cut);
void sim_client_reap(struct sim_client *client);
/* False: it can't, just now. */
bool sim_client_leave(struct sim_client *client);
bool sim_wire_is_closed(struct sim_wire *wire);

/* client_out.c */
void sim_client_publish(struct sim_client *client, unsigned topic, uint8_t qos, bool retain);
void sim_client_publish_some(struct sim_client *client);
void sim_client_resend(struct sim_client *client);
/* only: the filter, or -1 for some by chance. */
void sim_client_subscribe(struct sim_client *client, bool is_unsubscribe, int only);
bool sim_session_has(const struct sim_session *session, unsigned filter);

void sim_fifo_put(struct sim_fifo *fifo, uint8_t type, uint16_t packet_id);
bool sim_fifo_take(struct sim_fifo *fifo, struct sim_owed *ret_owed);
void sim_fifo_done(struct sim_fifo *fifo);

/* client_in.c: read what has come, and react. */
void sim_client_hear(struct sim_client *client);
/* What they have in common with those who have an engine: a CONNACK; SUBACK or UNSUBACK. */
void sim_client_let_in(
    struct sim_client *client, bool session_present, const struct noc_props *props);
void sim_client_settle_asked(
    struct sim_client *client, unsigned type, uint16_t packet_id, struct noc_slice reasons);
/* The server has closed: was there a reason for it that a good client may meet? */
void sim_client_check_close(struct sim_client *client);

/* ---- the oracle ---- */

/* The payload of a message: its number, then a pattern. bytes has room for payload_n. */
void sim_message_fill(const struct sim_world *world, uint32_t number, uint8_t *bytes);
uint32_t sim_message_new(struct sim_world *world, const struct sim_message *message);
struct sim_session *sim_session_new(struct sim_world *world, struct sim_client *client);

/* A PUBLISH has come. Returns the message it carries. */
uint32_t sim_oracle_heard(
    struct sim_client *client, const struct noc_publish *publish, struct noc_slice topic);
void sim_oracle_taken(struct sim_client *client, uint32_t message);

/* A CONNACK has come: what became of the last connection's session and will. */
void sim_oracle_connected(struct sim_client *client, bool session_present);

/* Could the message have come by this subscription; must it have been seen by it? */
bool sim_sub_may(const struct sim_session *session, const struct sim_sub *sub,
    const struct sim_message *message, const struct sim_world *world);
bool sim_sub_is_certain(const struct sim_session *session, const struct sim_sub *sub,
    const struct sim_message *message, const struct sim_world *world);
struct sim_got *sim_session_got(struct sim_session *session, uint32_t message);

/* When all is quiet. */
void sim_oracle_finish(struct sim_world *world);

bool sim_matches(const struct sim_world *world, unsigned filter, unsigned topic);
void sim_invariants(struct sim_world *world);
void sim_invariants_end(struct sim_world *world);

/* ---- scenarios ---- */

/* What clients do, each per thousand of an open client's turns unless said. */
struct sim_profile {
    unsigned publish, subscribe, unsubscribe, leave, cut, finish, abandon, stall, ping;
    unsigned retain, remove, big, huge; /* per thousand messages */
    unsigned shared;                    /* per thousand filters */
    unsigned will, clean, cut_connect;  /* per thousand CONNECTs */
    unsigned late, denied;              /* the same: authentication */
    unsigned answer;                    /* how soon owed answers are sent */
    unsigned receive_max;               /* most; 0: as the broker likes */
    unsigned expiry[3];                 /* share of session expiry 0, infinite, some seconds */
    unsigned will_delay_s;              /* most */
    unsigned max_packet;                /* of some clients; 0: none */
    unsigned step_ms;                   /* most that the clock moves at once */
    unsigned short_write;               /* per thousand flushes */
    unsigned memory_fails;              /* per million allocations */
    unsigned freeze;                    /* per thousand steps: a shard takes no turns for a while */
    unsigned engines;                   /* per thousand clients: they have the real engine */
    unsigned power;                     /* those: their device fails, and begins again */
    unsigned rival;                     /* those: somebody else comes with their id */
    unsigned jump;                      /* per thousand moves of the clock: a minute at once */
    unsigned memory_short;              /* per thousand steps: memory_limit is reached, or not */
    bool is_ring, is_storm, is_stable_group, no_drops, is_small_room, has_mounts;
    bool watchers;    /* the first two clients stay and subscribe # */
    bool owns_topics; /* each topic has one publisher */
    uint8_t qos_least;
};

struct sim_scenario {
    const char *name;
    unsigned clients, steps;
    struct sim_profile profile;
    void (*limits)(struct noc_limits *limits);
    const char *const *topics, *const *filters;
};

extern const struct sim_scenario sim_scenarios[];
extern const unsigned sim_scenario_count;

/* ---- the world ---- */

struct sim_filter {
    const char *text;  /* as subscribed */
    const char *plain; /* without $share */
    bool is_shared;
};

struct sim_world {
    const struct sim_scenario *scenario;
    const struct sim_profile *profile;
    uint64_t seed;
    unsigned shard_count, steps;
    unsigned fault; /* enum sim_fault: a mistake made on purpose */
    bool is_threaded, is_verbose;
    bool is_loose;         /* turns overlap: always with threads, else in half of the worlds */
    atomic_bool is_active; /* clients make work; else they only finish it. Any thread */
    bool is_leaving;       /* and then leave */
    bool is_lawless;       /* memory fails: only safety is checked */
    struct sim_random random;
    struct noc_limits limits;
    struct noc_core core;
    struct noc_listener listeners[2];
    struct sim_worker *workers;
    struct sim_client *clients;
    uint64_t now_ms; /* the virtual clock */
    uint64_t clock;  /* the oracle's: one tick an event */
    uint64_t step;
    char **topics;
    struct sim_filter *filters;
    unsigned topic_count, will_topic, filter_count;
    struct sim_message *messages;
    uint32_t message_count, message_room;
    struct sim_session **sessions;
    uint32_t session_count, session_room;
    uint64_t short_heard;    /* while memory was short: messages that clients heard */
    uint64_t short_answered; /* and answers that their own ones got */
};

static inline struct sim_random *sim_chance_of(struct sim_client *client)
{
    return &client->world->random;
}

static inline const struct sim_profile *sim_profile_of(const struct sim_client *client)
{
    return client->world->profile;
}

/* How a world is to be run. */
struct sim_options {
    uint64_t seed;
    unsigned shards, steps; /* steps 0: as many as the scenario says */
    unsigned fault;         /* enum sim_fault */
    bool is_threaded, is_verbose;
};

/* One world from begin to end; the program ends when something is wrong. */
void sim_run(const struct sim_scenario *scenario, const struct sim_options *options);

uint64_t sim_now(const struct sim_world *world);
void sim_fail(const struct sim_world *world, const char *format, ...) NOC_PRINTF(2, 3)
    __attribute__((noreturn));
void sim_say(const struct sim_world *world, const char *format, ...) NOC_PRINTF(2, 3);

/* malloc() and realloc() that never fail. */
void *sim_alloc(size_t n);
void *sim_realloc(void *memory, size_t n);

/* memory.c: let allocations of this thread fail now and then, per million; 0: none. */
void sim_memory_fails(unsigned per_million, uint64_t seed);

#endif
