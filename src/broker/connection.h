/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_BROKER_CONNECTION_H
#define NOC_BROKER_CONNECTION_H
/*
 * One network connection: descriptor, TLS, WebSocket, and the core's link.
 *
 *   bytes in:   recv -> TLS -> WebSocket -> noc_link_feed()        input.c
 *   bytes out:  link.out -> WebSocket frame -> TLS -> writev       output.c
 *   its life:   accept, hand-over, close                           connection.c
 *
 *   phase   TLS -> UPGRADE -> OPEN -> DRAINING -> dead
 *           (those that the listener has)
 *
 * DRAINING, too, is flushed at the end of a turn, when the turn's mail is
 * posted: an acknowledgement never leaves before what it acknowledges. When all
 * is out and we have had the last word, the connection lingers a moment.
 *
 * An idle connection holds no buffer. It belongs to one worker at a time; a
 * hand-over moves the whole object.
 */

#include "auth/scram.h"
#include "broker/worker.h"
#include "core/link.h"
#include "net/address.h"
#include "net/tls.h"
#include "ws/frame.h"

enum noc_connection_phase {
    NOC_PHASE_TLS = 1,  /* handshake */
    NOC_PHASE_UPGRADE,  /* HTTP request of a WebSocket listener */
    NOC_PHASE_OPEN,     /* MQTT goes through */
    NOC_PHASE_DRAINING, /* the link is over; what is left is being sent */
    NOC_PHASE_DEAD,
};

/* The WebSocket part of a connection. */
struct noc_ws_state {
    struct noc_ws_decoder decoder;
    uint8_t *waiting; /* bytes not decoded yet: of the head, or over a hand-over or a pause */
    size_t waiting_n, waiting_room;
    uint64_t frame_left; /* payload bytes of the outgoing frame still to be sent */
    uint8_t head[NOC_WS_CONTROL_ROOM + NOC_WS_FRAME_HEAD_MAX];
    uint8_t head_at, head_n;              /* of head: what is still to be sent before the payload */
    uint8_t control[NOC_WS_CONTROL_ROOM]; /* pong, ping or close to be sent between frames */
    uint8_t control_n;
    bool is_answered; /* the upgrade was refused */
    bool is_upgraded;
    bool is_cut;            /* there was no memory for bytes to wait: it can't go on */
    bool is_closing;        /* control holds the close frame: it goes last */
    uint16_t close_code;    /* of that frame, when the peer has caused it; 0: not yet */
    const char *close_text; /* its reason, static; NULL: none */
    bool is_ping_out;       /* a ping waits for its pong */
    uint64_t spoke_ms;      /* last byte in either direction */
    uint64_t heard_ms;      /* while a ping is out: when it, or a byte, came last; or nobody read */
};

struct noc_connection {
    struct noc_watch watch;
    uint8_t phase;      /* enum noc_connection_phase */
    bool is_reading;    /* the core wants bytes */
    bool has_spoken;    /* a first byte has come */
    bool is_over_limit; /* past max_connections: its upgrade is refused */
    bool is_in_loop;
    bool is_lost;        /* the socket failed: nothing can be sent any more */
    bool has_peer_gone;  /* it has finished sending */
    bool is_last_word;   /* something was sent, or is to be, as it ends: it must arrive */
    bool is_lingering;   /* our side is shut; what the peer still sends is thrown away */
    bool waits_to_write; /* TLS has to send something before it can read on */
    unsigned interest;   /* as the loop has it */
    int fd;
    struct noc_endpoint *endpoint;
    struct noc_tls *tls;     /* NULL: plain */
    struct noc_ws_state *ws; /* NULL: no WebSocket */
    struct noc_link link;
    struct noc_address address;
    struct noc_list again, ending;              /* ending: in draining or dead */
    struct noc_timer timer;                     /* WebSocket pings, or the end of draining */
    char *given_name;                           /* the username by certificate or method; or NULL */
    bool is_named_by_certificate;               /* it is of the certificate */
    struct noc_scram *scram;                    /* extended authentication under way; or NULL */
    uint8_t line_digest[NOC_LINE_DIGEST_BYTES]; /* of the password line it was checked against */
    uint64_t security_version;                  /* of the files it was checked against */
};

static inline struct noc_connection *noc_connection_of(struct noc_link *link)
{
    return NOC_CONTAINER(link, struct noc_connection, link);
}

static inline struct noc_worker *noc_connection_worker(const struct noc_connection *connection)
{
    return connection->link.shard->context;
}

/* Take one that has been accepted; owns fd. Failures close it. */
void noc_connection_open(struct noc_worker *worker, struct noc_endpoint *endpoint, int fd,
    const struct noc_address *address);

/* An event, or another reason to look at it. */
void noc_connection_on_event(struct noc_connection *connection, const struct noc_loop_event *event);
void noc_connection_look_again(struct noc_connection *connection);

/* The end of a turn: write what is due, and see what follows from it. */
void noc_connection_go_on(struct noc_connection *connection);

/* Put it on the list of those that are looked at in the next pass. */
void noc_connection_again(struct noc_connection *connection);

/* Tell the loop what is to be heard of it now. */
void noc_connection_update(struct noc_connection *connection);

/* Its timer fired. */
void noc_connection_tick(struct noc_connection *connection);

/* It can't go on: the core hears why, or it just goes if the core has let it go. */
void noc_connection_fail(struct noc_connection *connection, enum noc_end end, const char *text);

/* Draining is over, or hopeless: closed, and freed at the end of the turn. */
void noc_connection_finish(struct noc_connection *connection);
void noc_connection_free(struct noc_connection *connection);

/* The shard's ops that concern connections. */
void noc_connection_detach(struct noc_link *link);
void noc_connection_adopt(struct noc_link *link);
bool noc_connection_has_gone(struct noc_link *link);
void noc_connection_opened(struct noc_link *link);
void noc_connection_read_on(struct noc_link *link, bool on);
void noc_connection_close(struct noc_link *link);

/* Log that it is there: with its first byte, so that a port check leaves no line. */
void noc_connection_announce(struct noc_connection *connection);

/* A WebSocket is open: ping it when the line is quiet. */
void noc_connection_start_pings(struct noc_connection *connection);

/* ---- input.c ---- */

void noc_connection_read(struct noc_connection *connection);

/* The link ends with an upgrade request half here: it is answered, too. */
void noc_connection_answer_late(struct noc_connection *connection);

/* Bytes that were read before a hand-over and not decoded. */
void noc_connection_read_waiting(struct noc_connection *connection);

/* ---- output.c ---- */

/* Write what is due; arms for writing only after a short write. False: the socket failed. */
bool noc_connection_flush(struct noc_connection *connection);

/* Has it output that is not sent yet? */
bool noc_connection_has_output(const struct noc_connection *connection);

/* Send bytes outside of all frames, at once (answers to an upgrade). False: not all went out. */
bool noc_connection_send_raw(struct noc_connection *connection, const void *bytes, size_t n);

#endif
