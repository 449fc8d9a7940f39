/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CORE_LINK_H
#define NOC_CORE_LINK_H
/*
 * A link: the MQTT side of one network connection, embedded in what the glue
 * keeps of it. Bytes come in by noc_link_feed(), whole or in pieces; bytes go
 * out through link->out, which the glue flushes when the shard says so.
 *
 *   NEW --CONNECT--> AUTH --accepted--> MOVING --adopted--> OPEN
 *    |                 |                  (or straight to OPEN)  |
 *    +-----------------+------------ CLOSING <-------------------+
 *
 * Until CONNACK nothing behind the CONNECT is decoded: it waits in `partial`. Only a
 * method of extended authentication has AUTH packets come in between (exchange.h).
 * What a paused link has sent waits there too.
 * In CLOSING nothing is read or decoded any more; the glue flushes what is
 * left, closes and frees.
 */

#include "base/list.h"
#include "base/timer.h"
#include "core/exchange.h"
#include "core/outq.h"
#include "core/retained.h"
#include "core/session.h"
#include "mqtt/packet.h"

enum noc_link_state {
    NOC_LINK_NEW = 0,
    NOC_LINK_AUTH,
    NOC_LINK_MOVING,
    NOC_LINK_OPEN,
    NOC_LINK_CLOSING,
};

/* Why a link ends: what is logged, and the will's fate. */
enum noc_end {
    NOC_END_DISCONNECT, /* the client said goodbye */
    NOC_END_PEER_CLOSED,
    NOC_END_ERROR, /* of the socket or transport: text tells */
    NOC_END_TIMEOUT,
    NOC_END_TAKEN_OVER,
    NOC_END_MALFORMED,
    NOC_END_PROTOCOL,
    NOC_END_OVERSIZE,
    NOC_END_REFUSED, /* CONNECT was answered with a refusal */
    NOC_END_NOT_AUTHORISED,
    NOC_END_FEATURE, /* used something that is switched off */
    NOC_END_QUOTA,
    NOC_END_MEMORY,
    NOC_END_ADMIN,
    NOC_END_SHUTDOWN,
};

struct noc_alias_out;

/* A CONNECT that is being judged: its body, and the view into it. */
struct noc_pending_connect {
    struct noc_connect view;
    struct noc_home *home;      /* once it is entered in the directory */
    struct noc_slice client_id; /* the view's, or the assigned one */
    bool is_assigned;
    char assigned[96];
    uint8_t body[];
};

struct noc_link {
    /* Set by the glue before noc_link_init() is called. */
    struct noc_shard *shard;             /* where it is now */
    const struct noc_listener *listener; /* outlives the link */
    struct noc_slice address;            /* "127.0.0.1", or a socket's path; the glue's storage */
    uint16_t port;                       /* of the peer, for the log */
    uint64_t number;                     /* counts up as connections are accepted, on all workers */
    struct noc_slice username; /* given by certificate or method; absent: CONNECT's holds */
    bool is_blocked;           /* the glue's: waits until the socket takes more */
    bool is_told_by_glue;      /* the glue's: it logs itself how this ends before the CONNECT */

    struct noc_list link_in_shard, dirty, replaying, paused, failing;
    struct noc_list receipts;    /* answers that wait: see receipt.h */
    struct noc_list gates;       /* the receipt that the output waits for */
    struct noc_session *session; /* OPEN */
    struct noc_outq out;
    uint8_t state;   /* enum noc_link_state */
    uint8_t version; /* 0 before CONNECT */
    uint8_t refusal; /* the reason that the CONNACK refused it for; 0: none */
    bool is_bridge;
    bool is_judged_at_once;      /* it was judged within noc_link_feed() */
    bool is_paused;              /* waits for another worker's mailbox, or for its next turn */
    bool is_paused_for_receipts; /* in shard->unanswered */
    bool is_paused_for_space;    /* in shard->spaceless */
    bool is_gated;               /* nothing goes out until the CONNACK may */
    bool is_goodbye_sent;        /* DISCONNECT went out */
    bool is_answer_too_large;    /* an answer is more than the client takes: it ends */
    uint8_t paused_for;          /* that worker; this one: its next turn */
    uint16_t keepalive_s;
    uint16_t window_max;  /* outgoing QoS >= 1 at once */
    uint16_t receive_max; /* incoming QoS 2 at once; as announced */
    uint32_t max_packet;  /* the client's maximum packet size; 0: none */
    struct noc_timer timer;
    uint64_t heard_ms;  /* last bytes from the client */
    uint64_t paused_ms; /* when the pause began */
    uint64_t connected_ms;
    uint64_t ticket;                     /* AUTH */
    uint64_t denied_until_ms;            /* before this a denied publish is not logged again */
    uint32_t receipt_count;              /* of receipts */
    uint32_t reasons_waiting;            /* of these, SUBACK and UNSUBACK */
    uint32_t answers_n;                  /* bytes of answers since the socket took no more */
    uint32_t denied;                     /* denied ones since then */
    struct noc_pending_connect *connect; /* AUTH, MOVING */
    struct noc_exchange *exchange;       /* NULL: the CONNECT named no method */
    uint8_t *partial; /* bytes of an incomplete packet, behind the CONNECT, or of a pause */
    size_t partial_n, partial_room;
    char **aliases_in; /* [1..max]: topic text, with a 2-byte length in front; or NULL */
    uint16_t aliases_in_max, aliases_out_max;
    struct noc_alias_out *aliases_out;
};

/* A link on its way into a shard: starts the CONNECT deadline. Other members are zero. */
void noc_link_init(struct noc_link *link);

/* Frees all it holds; the glue calls it before it frees what embeds the link. */
void noc_link_done(struct noc_link *link);

/*
 * Bytes from the client. They may be changed in place. All are consumed (or
 * copied, as far as they make no whole packet). The link may be in CLOSING or MOVING
 * afterwards: then the glue must not touch it again but through ops.
 */
void noc_link_feed(struct noc_link *link, uint8_t *bytes, size_t n);

/* What was read before a hand-over or a pause goes in. */
void noc_link_feed_waiting(struct noc_link *link);

/* The connection has ended, or must end; the reason decides on log line, DISCONNECT and will. */
void noc_link_end(struct noc_link *link, enum noc_end end, const char *text);

/* Output was flushed and the socket takes more: queues and replays go on. */
void noc_link_drained(struct noc_link *link);

/* Answer to authenticate: NOC_OK, NOC_EDENIED, NOC_EFULL or NOC_ENOMEM. A stale ticket is ignored. */
void noc_link_authenticated(struct noc_shard *shard, uint64_t ticket, int result);

/* The link waiting with this ticket, or NULL: it has gone. */
struct noc_link *noc_link_waiting(struct noc_shard *shard, uint64_t ticket);

/* ---- inside the core ---- */

/* The link has output: it is flushed at the end of the turn. */
void noc_link_mark_dirty(struct noc_link *link);

/* Could it not be answered? Then it ends with this turn, and nothing else is sent to it. */
static inline bool noc_link_is_failing(const struct noc_link *link)
{
    return noc_list_is_linked(&link->failing);
}

/* End the links that could not be answered in this turn. */
void noc_link_end_failing(struct noc_shard *shard);

/*
 * End the link when this turn's work is done: whoever calls may be in the middle of
 * something that needs link and session.
 */
void noc_link_end_soon(struct noc_link *link);

/* It was paused as too many of its answers waited, and now fewer do: it goes on. */
void noc_link_go_on_after_receipts(struct noc_link *link);

/*
 * The store has no space for the packet that is worked off, and the client can't be told: the packet
 * is put back, and nothing is decoded until there is space. After 30 s the link ends. The second: whoever waited
 * goes on, if there is.
 */
void noc_link_wait_for_space(struct noc_link *link);
void noc_link_go_on_with_space(struct noc_shard *shard);

/* Its timer fired. */
void noc_link_tick(struct noc_link *link);

/* Does the client take packets of so many bytes [MQTT-3.1.2-24]? */
static inline bool noc_link_takes(const struct noc_link *link, size_t n)
{
    return link->max_packet == 0 || n <= link->max_packet;
}

/*
 * Send a small packet that is never dropped: an answer. When that is impossible, for want of
 * memory or because the client does not take as much, the link ends at the end of the turn,
 * not before.
 */
void noc_link_send(struct noc_link *link, const uint8_t *bytes, size_t n);

/*
 * An answer of n bytes stands where noc_outq_reserve() said: it is sent. Answers are never
 * dropped, so a client that lets them pile up ends at the end of the turn.
 */
void noc_link_commit_answer(struct noc_link *link, size_t n);

/* A publish was denied: told at notice level, once a minute and link, with a count. */
void noc_link_log_denied(struct noc_link *link, struct noc_slice topic);

/* "ID" for the log: the client id, or the address before CONNECT. */
struct noc_slice noc_link_name(const struct noc_link *link);

/* connect.c: one CONNECT; its end by a CONNACK; a link that has arrived at its home. */
void noc_link_on_connect(struct noc_link *link, const uint8_t *body, size_t n);
void noc_link_refuse(struct noc_link *link, uint8_t reason, enum noc_end end, const char *text);
void noc_link_arrive(struct noc_link *link);
void noc_link_depart(struct noc_link *link);
void noc_link_arrive_from_afar(
    struct noc_shard *shard, struct noc_link *link, struct noc_home *home);

/* The same as noc_link_authenticated(), within the call in which its bytes are being fed. */
void noc_link_judged(struct noc_link *link, int result);

/*
 * Links that waited for this turn, or for a mailbox that is below low water, go on, with what they
 * have read first, while work is left and no mailbox is full again.
 */
void noc_link_resume_held(struct noc_shard *shard);

/* publish.c, flow.c, subscribe.c: one packet each. */
void noc_link_on_publish(struct noc_link *link, unsigned flags, struct noc_slice body);
void noc_link_on_ack(struct noc_link *link, unsigned type, struct noc_slice body);
void noc_link_on_pubrel(struct noc_link *link, const struct noc_ack *ack);
void noc_link_on_subscribe(struct noc_link *link, struct noc_slice body);
void noc_link_on_unsubscribe(struct noc_link *link, struct noc_slice body);

/*
 * A rule was broken: v5 gets a DISCONNECT with the reason, the log the field,
 * the link ends.
 */
void noc_link_break(
    struct noc_link *link, enum noc_end end, uint8_t reason, const struct noc_fault *fault);

/* The same, for the error of a decoder. */
void noc_link_break_by(struct noc_link *link, int err, const struct noc_fault *fault);

#endif
