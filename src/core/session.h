/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CORE_SESSION_H
#define NOC_CORE_SESSION_H
/*
 * A session: all that MQTT calls session state (MQTT 5 section 4.1), plus the
 * will. It has one home, the shard that owns it, and nobody else touches it.
 *
 *   subscriptions    by (node, group)
 *   outgoing         in-flight window, in order of packet id; then the queue
 *   incoming         QoS 2 messages that wait for their PUBREL
 *
 * Outgoing messages are numbered as they come to the session: their sequence numbers rise
 * through window and queue, and a packet id follows from its sequence number
 * (noc_packet_id()). So sending a message changes nothing that must be stored, and a flow goes on
 * under its id after a restart. The window is a ring in the order of sending; what has been
 * completed out of order stays as a hole until the head passes it:
 *
 *   window                                         queue
 *   [6 wait PUBACK][7 done][9 wait PUBCOMP]        [10][11][14] ...   next is 15
 */

#include "base/list.h"
#include "base/timer.h"
#include "core/shard.h"

struct noc_durable; /* journal.h */
struct noc_link;
struct noc_paged; /* queue.h */
struct noc_part;  /* receipt.h */
struct noc_replays;

#define NOC_NEVER_S UINT32_MAX /* session expiry: does not expire */

/* Subscription identifiers of one delivery: mostly none or one. */
struct noc_sub_ids {
    uint32_t count;
    union {
        uint32_t one;
        uint32_t *many; /* owned, when count > 1 */
    } as;
};

/* One outgoing message with QoS >= 1, or a queued one of any QoS. */
struct noc_outgoing {
    struct noc_message
        *message; /* NULL: the session ends with its connection, or PUBREL was sent */
    struct noc_sub_ids ids;
    uint64_t sequence;
    struct noc_part *part; /* waits until this is safe: see journal.h; NULL: nobody does */
    uint32_t payload_n;    /* counts towards max_inflight_bytes and max_queued_bytes */
    uint8_t qos;
    uint8_t state; /* enum noc_outgoing_state; of the window */
    uint8_t kept;  /* enum noc_kept */
    bool retain;
    bool is_due_again; /* in flight when the connection ended, not sent on this one yet */
};

enum noc_outgoing_state {
    NOC_OUT_DONE = 0,
    NOC_OUT_WAIT_PUBACK,
    NOC_OUT_WAIT_PUBREC,
    NOC_OUT_WAIT_RECORD, /* PUBREC has come, and must be stored before PUBREL is sent */
    NOC_OUT_RECORDING,   /* the same, and the store has it */
    NOC_OUT_WAIT_PUBCOMP,
};

/* How far the store has an outgoing message. */
enum noc_kept {
    NOC_KEPT_NOT = 0, /* it need not */
    NOC_KEPT_PENDING, /* it is to be written, unless it is over before */
    NOC_KEPT_HELD,    /* it is written under a release (release.h), and not sent before */
    NOC_KEPT_TAKEN,   /* it is being written */
    NOC_KEPT_SAFE,    /* it survives */
};

/* A first-in first-out ring of them. All zero is empty and holds no memory. */
struct noc_ring {
    struct noc_outgoing *at;
    uint32_t head, count, room; /* room: a power of two, or 0 */
};

struct noc_will_message {
    struct noc_message *message; /* expires_ms not set: it counts from publication */
    uint32_t delay_s;
    uint32_t expiry_s;
    bool has_expiry;
};

/* A remembered answer of the ACL: may this session read the topic of this hash? */
struct noc_acl_memo {
    uint64_t topic_hash, acl_version;
    bool is_allowed;
};
enum { NOC_ACL_MEMOS = 16 };

struct noc_session {
    struct noc_list link_in_shard;
    struct noc_session *next_by_id; /* in its bucket */
    struct noc_shard *shard;
    struct noc_home *home; /* holds the client id */
    struct noc_link *link; /* NULL: absent */
    uint64_t number;
    uint64_t link_number; /* of the latest connection */
    uint64_t id_hash;
    char *username; /* of the latest CONNECT, owned; NULL: none */
    size_t username_n;
    const struct noc_listener *listener; /* of the latest connection; outlives the session */
    uint32_t expiry_s;
    uint8_t version;        /* of the latest CONNECT */
    bool is_dropping;       /* an episode of drops is under way: logged once */
    uint32_t dropped;       /* in this episode */
    uint64_t dropped_total; /* with those larger than the client takes */
    struct noc_timer timer; /* of expiry or will delay, whichever is next */
    uint64_t expires_ms;    /* absent: when it ends; NOC_NEVER_MS */
    uint64_t will_due_ms;   /* absent: when the will is published; NOC_NEVER_MS: none */
    bool has_will;
    struct noc_will_message will;

    struct noc_sub **subs; /* open addressing by (node, group); NULL: free */
    size_t sub_count, sub_mask;

    struct noc_ring window;
    struct noc_ring queue;   /* its head: see queue.h */
    struct noc_paged *paged; /* the rest of the queue; NULL: there is none */
    uint64_t window_bytes, queue_bytes;
    uint32_t queued_qos0;   /* of the queue: messages of QoS 0, none of which may be overtaken */
    uint32_t open_count;    /* in the window and not done */
    uint32_t again_count;   /* of these, due to be sent again */
    uint64_t next_sequence; /* that the next one gets */

    struct noc_durable *durable; /* what the journal knows of it; NULL: nothing is stored */

    struct noc_replays *replays; /* to go on with; NULL: none; see replay.h */

    struct noc_map64 incoming; /* packet id -> message of QoS 2 */
    uint64_t incoming_bytes;

    struct noc_acl_memo *memos; /* [NOC_ACL_MEMOS], or NULL */
    uint64_t met_in;            /* number of the delivery that came across it last */
    uint32_t meeting;           /* and its place in shard->meetings */
};

/* Timer kinds of a shard. */
enum { NOC_TIMER_LINK = 1, NOC_TIMER_SESSION, NOC_TIMER_SWEEP, NOC_TIMER_GLUE };

/* The shard's session of this id, or NULL. */
struct noc_session *noc_session_find(struct noc_shard *shard, const struct noc_home *home);

/* A new one, entered in the shard's tables. NULL: out of memory. */
struct noc_session *noc_session_new(struct noc_shard *shard, struct noc_home *home);

/*
 * The end of a session: its will, if due, is published; subscriptions, queues and the
 * directory entry go. It has no link any more.
 */
void noc_session_end(struct noc_session *session);

/*
 * The shard's sessions, one at a call, NULL at the end. A walk may take many turns: what ends
 * meanwhile is left out, what comes may be met. There is one walk at a time; is_first begins it anew.
 */
struct noc_session *noc_session_walk(struct noc_shard *shard, bool is_first);

/* Free without ceremony, when the shard is done. */
void noc_session_free(struct noc_session *session);

static inline struct noc_slice noc_session_id(const struct noc_session *session)
{
    return noc_home_id(session->home);
}

/* Does it outlive its connection? */
static inline bool noc_session_is_durable(const struct noc_session *session)
{
    return session->expiry_s > 0;
}

/* The connection has gone: start the clocks of expiry and will. */
void noc_session_detached(struct noc_session *session);

/*
 * Its connection was lost with the process: the same, but its will and its end wait for the first turn, when
 * all sessions are there to get the will.
 */
void noc_session_lost(struct noc_session *session);

/* It has been without a connection for a while: its clocks go on towards these. */
void noc_session_absent(struct noc_session *session, uint64_t expires_ms, uint64_t will_due_ms);

/* Its timer fired. */
void noc_session_tick(struct noc_session *session);

/* Change the expiry: durable or not, the index hears of it. */
void noc_session_set_expiry(struct noc_session *session, uint32_t expiry_s);

/* Publish the will now, if there is one, and forget it. */
void noc_session_fire_will(struct noc_session *session);
void noc_session_clear_will(struct noc_session *session);

/* ---- subscriptions ---- */

struct noc_sub *noc_session_find_sub(
    const struct noc_session *session, const struct noc_node *node, const struct noc_group *group);

/*
 * Enter or change a subscription: filter without $share. *ret_new is the one
 * entered, NULL when one was changed. The filter holds the mount point already.
 * NOC_ENOMEM; NOC_EFULL: while memory is short none is entered, but those there may change.
 */
NOC_MUST_CHECK int noc_session_subscribe(struct noc_session *session, struct noc_slice filter,
    struct noc_slice group, uint8_t options, uint32_t id, struct noc_sub **ret_new);

/* Take one out; false: there was none. */
bool noc_session_unsubscribe(
    struct noc_session *session, struct noc_slice filter, struct noc_slice group);

/* Tell the index, for shared ones, whether the session is connected. */
void noc_session_set_connected(struct noc_session *session, bool on);

/* ---- rings ---- */

/* Packet ids come round after 65535 messages: the window must not reach as far. */
#define NOC_WINDOW_SPAN 65000u

/* The packet id of a sequence number: 1 to 65535, rising by one. */
static inline uint16_t noc_packet_id(uint64_t sequence)
{
    return (uint16_t)(sequence % 65535 + 1);
}

/* The place of the first entry that is numbered so or higher; ring->count: there is none. */
uint32_t noc_ring_find(const struct noc_ring *ring, uint64_t sequence);

/* Room for n more, so that appending them can't fail. False: out of memory. */
NOC_MUST_CHECK bool noc_ring_reserve(struct noc_ring *ring, uint32_t n);

/* Give back room that is far too much. */
void noc_ring_fit(struct noc_ring *ring);

/* Append a zeroed entry; NULL: out of memory. */
struct noc_outgoing *noc_ring_push(struct noc_ring *ring);
struct noc_outgoing *noc_ring_at(const struct noc_ring *ring, uint32_t index);
void noc_ring_drop_head(struct noc_ring *ring); /* the entry holds nothing any more */
void noc_outgoing_done(struct noc_outgoing *outgoing);

#endif
