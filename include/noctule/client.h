/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOCTULE_CLIENT_H
#define NOCTULE_CLIENT_H
/*
 * An MQTT client (3.1, 3.1.1, 5) as a state machine over bytes. It calls no
 * system, allocates nothing and has no variables of its own: the caller gives
 * memory, time and randomness, carries bytes between it and a connection, and
 * takes events from it.
 *
 *            noc_client_room(), noc_client_received()      noc_client_next()
 *   network ────────────────────────────────────► client ─────────────────────► application
 *           ◄────────────────────────────────────        ◄─────────────────────
 *            noc_client_peek(), noc_client_sent()          noc_client_publish(), _subscribe() ...
 *
 * A connection's life:
 *
 *   IDLE ──start()──► UPGRADING ──101──► CONNECTING ──CONNACK──► OPEN ──┐
 *     ▲                  (WebSocket)                                    │ anything that ends it:
 *     └──────────────────── NOC_EVENT_CLOSED, with the cause ◄──────────┘ close the transport
 *
 * After NOC_EVENT_CLOSED the caller closes its transport, waits as long as
 * noc_backoff_ms() (backoff.h) says, opens it again and calls start(). What the
 * outbox holds is then sent: again if the server kept the session, else anew. Without a session a
 * message of QoS 2 can come twice: some servers hand it on at once, but others only when PUBREL comes,
 * and would lose it.
 *
 * The loop is the same everywhere:
 *
 *     while (noc_client_next(&client, now, &event)) { handle it }
 *     bytes = noc_client_peek(&client, now, &n);      write them, then noc_client_sent()
 *     at = noc_client_room(&client, &room);           read there, then noc_client_received()
 *     sleep until noc_client_wait_ms(&client, now) is over or bytes come
 *
 * Time is a counter of milliseconds that may wrap around. One object belongs to
 * one thread at a time. Slices in events point into the input buffer and live
 * until the next call of noc_client_next(), _room() or _received(). A message of
 * QoS 1 or 2 is acknowledged by the noc_client_next() that follows its event, so
 * what the application did until then is done once the server forgets it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <noctule/config.h>
#include <noctule/error.h>
#include <noctule/outbox.h>
#include <noctule/property.h>
#include <noctule/reason.h>
#include <noctule/slice.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- options ---- */

/* Published by the server when the connection ends without a DISCONNECT. */
struct noc_client_will {
    struct noc_slice topic, payload;
    struct noc_slice props; /* MQTT 5, in wire form; see property.h */
    uint8_t qos;
    bool retain;
};

/* MQTT over WebSocket (RFC 6455). */
struct noc_client_websocket {
    struct noc_slice host; /* the Host header: name or address, with ":port" if not the usual one */
    struct noc_slice path; /* with its query; absent: "/" */
    struct noc_slice subprotocol; /* one; absent: "mqtt" */
    struct noc_slice user_agent;  /* absent: no such line */
    struct noc_slice headers;     /* more lines "Name: value\r\n", or absent */
    /*
     * Called with each header of the answer, in order: "Name: value", without the line's
     * end, cut off where the input buffer was full. May be NULL. The slice lives during the call.
     */
    void (*on_header)(void *context, struct noc_slice line);
};

/* Enhanced authentication (MQTT 5, 4.12); see scram.h. */
struct noc_client_auth {
    struct noc_slice method;
    /*
     * Answer the server's data (absent: begin anew, with the client's first message). Writes to
     * at[0..room). Returns the bytes, or an error: the connection is then given up.
     */
    int (*step)(void *context, struct noc_slice data, uint8_t *at, size_t room);
    /* Judge the data that came with success. Anything but NOC_OK gives the connection up. */
    int (*finish)(void *context, struct noc_slice data);
    void *context;
};

/* Topics that the server gives a number (MQTT 5). */
struct noc_client_aliases {
    char *at;           /* count * topic_max bytes: alias 1, alias 2, ... */
    uint16_t *lengths;  /* count of them */
    uint16_t topic_max; /* longest topic; a longer one with an alias ends the connection */
    uint16_t count;     /* the topic alias maximum that CONNECT announces */
};

enum {
    NOC_KEEP_ALIVE_DEFAULT_S = 45, /* below the idle limits of tunnels and proxies */
    NOC_KEEP_ALIVE_OFF = 0xffff,
};

/*
 * What a client is to be; zero is a default everywhere. The struct and all that
 * it points to stay the caller's, and must live as long as the client is used. They may be
 * constant, in flash; what changes may change only between NOC_EVENT_CLOSED and
 * noc_client_start(), and never version, outbox, received and websocket (being NULL or not).
 *
 * To come back to a session under an identifier that the server made (version 5), copy it
 * from NOC_EVENT_CONNECTED, and put it into client_id before the next noc_client_start().
 */
struct noc_client_options {
    struct noc_slice
        client_id; /* empty: the server makes one (version 5), or there is none to resume */
    struct noc_slice username, password; /* absent: none */
    struct noc_slice connect_props;      /* MQTT 5, in wire form; see below */
    const struct noc_client_will *will;
    const struct noc_client_websocket *websocket; /* NULL: MQTT right on the transport */
    const struct noc_client_auth *auth;
    const struct noc_client_aliases *aliases;
    struct noc_outbox *outbox; /* for QoS 1 and 2 to the server; NULL: QoS 0 only */
    /*
     * Packet ids of QoS 2 messages from the server that are under way; the first 0 ends the list.
     * Part of a session: who keeps one over a restart keeps these. One message more than
     * received_max ends the connection; version 5 announces it as receive maximum.
     */
    uint16_t *received;
    uint16_t received_max;
    uint16_t keep_alive_s; /* 0: NOC_KEEP_ALIVE_DEFAULT_S */
    uint16_t inflight_max; /* messages of QoS 1 and 2 sent and not acknowledged; 0: 20 */
    uint16_t answer_s;     /* how long upgrade, CONNACK and PINGRESP may take; 0: 10 */
    uint8_t version;       /* 3, 4 (3.1.1), 5; 0: 4 */
    bool keep_session;     /* clean session (clean start) off */
    /* 32 random bits, unpredictable; needed where there is a WebSocket, otherwise NULL is good. */
    uint32_t (*random)(void *context);
    /*
     * Called with the start of each packet that comes or goes: its fixed header and
     * as much of its body as stands in one piece. NULL: nobody looks. Not without NOC_WITH_TEXTS.
     */
    void (*trace)(void *context, bool is_outgoing, const uint8_t *packet, size_t n);
    void *context; /* of random, trace and websocket->on_header */
};
/*
 * connect_props may not hold receive maximum, topic alias maximum,
 * authentication method and data: those follow from the other fields.
 */

/* ---- why a connection ended ---- */

#define NOC_CAUSE_MAP(X)                                                                          \
    X(NOC_CAUSE_NONE, "still there")                                                              \
    X(NOC_CAUSE_ASKED, "closed by noc_client_disconnect()")                                       \
    X(NOC_CAUSE_LOST, "the connection was lost")                                                  \
    X(NOC_CAUSE_UPGRADE_TIMEOUT, "no answer to the WebSocket upgrade")                            \
    X(NOC_CAUSE_CONNECT_TIMEOUT, "no answer to CONNECT")                                          \
    X(NOC_CAUSE_PING_TIMEOUT, "no answer to PINGREQ")                                             \
    X(NOC_CAUSE_HTTP, "the server refused the WebSocket")          /* code: HTTP status */        \
    X(NOC_CAUSE_UPGRADE, "the answer opens no WebSocket for MQTT") /* code: noc_ws_answer_kind */ \
    X(NOC_CAUSE_WEBSOCKET, "the server closed the WebSocket")      /* code: close code */         \
    X(NOC_CAUSE_REFUSED, "the server refused the connection")      /* code: of CONNACK */         \
    X(NOC_CAUSE_DISCONNECTED, "the server disconnected")           /* code: of DISCONNECT */      \
    X(NOC_CAUSE_PROTOCOL,                                                                         \
        "the server broke the protocol") /* code: reason; of WebSocket >= 1000 */                 \
    X(NOC_CAUSE_AUTH, "the server could not be authenticated")                                    \
    X(NOC_CAUSE_OUTBOX, "the outbox failed")                                                      \
    X(NOC_CAUSE_OPTIONS, "the CONNECT packet can't be made")

enum noc_cause_kind {
#define NOC_CAUSE_ENUM(name, text) name,
    NOC_CAUSE_MAP(NOC_CAUSE_ENUM)
#undef NOC_CAUSE_ENUM
};

struct noc_cause {
    uint16_t kind;          /* enum noc_cause_kind */
    uint16_t code;          /* see above; for REFUSED before version 5 the return code, 1 to 5 */
    uint16_t retry_after_s; /* what the server asked for (Retry-After), 0: nothing */
};

/* The text of a kind of cause, or of a refused upgrade; static, never NULL. Any thread. */
NOC_PUBLIC const char *noc_cause_text(const struct noc_cause *cause);

/* ---- events ---- */

enum noc_event_kind {
    NOC_EVENT_CONNECTED,     /* session_present, props: of CONNACK */
    NOC_EVENT_MESSAGE,       /* topic, payload, qos, retain, dup, packet_id, props */
    NOC_EVENT_MESSAGE_BEGIN, /* one too large for the buffer: the same without payload; its size */
    NOC_EVENT_MESSAGE_CHUNK, /* payload: the next bytes */
    NOC_EVENT_MESSAGE_END,   /* that was all of it; NOC_EVENT_CLOSED may come instead */
    NOC_EVENT_PUBLISHED,     /* packet_id, reason, props: acknowledged by the server, or refused */
    NOC_EVENT_SUBSCRIBED,    /* packet_id, payload: a reason code for each filter, props */
    NOC_EVENT_UNSUBSCRIBED,  /* the same; no reason codes before version 5 */
    NOC_EVENT_PONG,          /* PINGRESP */
    NOC_EVENT_AUTHENTICATED, /* after noc_client_authenticate(): props */
    NOC_EVENT_CLOSED, /* cause; payload: a reason string, or the start of an HTTP body; props */
};

struct noc_event {
    enum noc_event_kind kind;
    uint16_t packet_id;
    uint8_t reason; /* a reason code */
    uint8_t qos;
    bool retain, dup, session_present;
    uint32_t size; /* of the whole payload */
    struct noc_slice topic, payload;
    struct noc_cause cause;
    struct noc_props props; /* version 5; all zero otherwise */
};

/* ---- the client ---- */

enum noc_client_state {
    NOC_CLIENT_IDLE,
    NOC_CLIENT_UPGRADING,
    NOC_CLIENT_CONNECTING,
    NOC_CLIENT_OPEN,
    NOC_CLIENT_CLOSING, /* DISCONNECT and close are on their way; NOC_EVENT_CLOSED comes when they are sent */
};

/*
 * The fields are the client's own; what may be known of them has functions below.
 * At most 256 bytes where an address takes four.
 */
struct noc_client {
    /* In the order of how often they are looked at: what stands near is reached in fewer bytes. */
    const struct noc_client_options *options;
    uint8_t *in, *out;
    uint32_t in_room, out_room;
    uint32_t
        in_max; /* the largest packet that is sure to find room in in, whatever the frames around it */

    /*
     * What goes: out[out_at..out_end); with WebSocket what stands behind out_framed has no frame yet,
     * and out_at may be a little below zero, in the room for the head of a frame.
     */
    uint32_t out_at, out_end;
    uint32_t publish_left;   /* payload that noc_client_publish_chunk() is still to be given */
    uint32_t now_ms;         /* of the last call that told */
    uint16_t last_id;        /* the packet identifier used last */
    uint16_t publish_id;     /* of the message that is being published in pieces, into the outbox */
    uint16_t received_count; /* packet ids in options->received */
    uint8_t version;
    uint8_t publishing; /* is a message being published in pieces, and where to */
    bool has_ws;        /* in front of out the head of a frame has room */

    /* From here on all belongs to one connection, and begins as zero. */
    uint32_t state; /* enum noc_client_state */

    /* What came: in[in_at..in_end) is MQTT, in[in_end..raw_end) are frames of WebSocket. */
    uint32_t in_at, in_end;
    uint32_t flow_at; /* bytes of the outbox's message at its cursor that are in out */

    uint8_t ack_type;     /* what acknowledges the message that the application has, 0: nothing */
    uint8_t ping;         /* what PINGREQ waits for */
    uint8_t held_reason;  /* why the message at the outbox's cursor can't be sent */
    uint8_t server_lacks; /* features */
    uint8_t server_qos_less; /* by how much the server's QoS is below 2 */
    bool is_held;            /* it can't be sent, and that is to be told */
    bool is_lost;            /* the transport is no more */
    bool is_streaming;       /* a message is being handed out in chunks, */
    bool is_repeated;        /* but the application has had it */
    bool wants_out;          /* what came can't be answered before something was written */
    bool is_authenticating;  /* an exchange of AUTH packets is under way */
    bool is_ws_open;         /* and we have not said goodbye to it */
    bool has_ws_data;        /* what goes are no control frames */

    struct noc_cause cause;
    uint16_t subscribe_id;    /* the oldest one for which SUBACK or UNSUBACK may come, 0: none */
    uint16_t subscribe_count; /* how many of those are to come */
    uint16_t ack_id;          /* of the message that the application has now */
    uint16_t inflight;        /* messages sent and not acknowledged, */
    uint16_t inflight_max;    /* and how many there may be */
    uint16_t flow_id;         /* of the outbox's message that is half in out */
    uint16_t keep_alive_s;    /* as the server wants it, 0: off */
    uint16_t server_alias_max;

    uint32_t chunk_left;          /* payload of the message that is being handed out in chunks */
    uint32_t raw_end, out_framed; /* of WebSocket, see above */

    uint32_t sent_ms;     /* last time something of MQTT was written, */
    uint32_t received_ms; /* and came */
    uint32_t asked_ms;    /* since when an answer is waited for */

    uint32_t packet_max, server_packet_max; /* largest packet that may come, and go; 0: any */
    uint32_t aliases_sent;                  /* a bit for each alias that the server knows */
    const char *fault;                      /* what was wrong with the last packet, or NULL */
    uint32_t out_base;  /* end of CONNECT while it waits in out for the upgrade */
    uint32_t ws_text_n; /* what was said with the end, at the start of in */
    uint32_t ws[17];    /* what src/ws keeps */
};

/*
 * Make a client in the caller's storage. in[0..in_room) takes what comes: at least
 * 256 bytes, and as much as the largest packet other than PUBLISH, and the topic
 * and properties of any PUBLISH; larger payloads come in chunks. out[0..out_room)
 * gathers what goes: at least 128 bytes, and as much as the largest packet. Of PUBLISH with
 * QoS above 0, and of those in pieces, topic and properties must fit, not the payload.
 * With WebSocket both need 256 bytes more, and the upgrade's request (200 bytes and what is in
 * the options) and CONNECT must fit into out together. Returns NOC_OK, NOC_EINVAL (too little room, options
 * that contradict each other), or NOC_ENOTSUP (they ask for what was compiled out). Packet
 * identifiers start behind those in the outbox.
 */
NOC_PUBLIC NOC_MUST_CHECK int noc_client_init(struct noc_client *client,
    const struct noc_client_options *options, uint8_t *in, size_t in_room, uint8_t *out,
    size_t out_room);

/*
 * A transport is open: begin with the upgrade or CONNECT. NOC_OK, NOC_EINVAL (not idle, or
 * options that make no packet), NOC_ETOOLARGE (CONNECT does not fit into out).
 */
NOC_PUBLIC NOC_MUST_CHECK int noc_client_start(struct noc_client *client, uint32_t now_ms);

/* The transport failed or the peer closed it. NOC_EVENT_CLOSED follows; what had come before it first. */
NOC_PUBLIC void noc_client_lost(struct noc_client *client);

NOC_PUBLIC enum noc_client_state noc_client_state(const struct noc_client *client);

/* ---- bytes in and out, and time ---- */

/* Where the next bytes are to be read to, and how many; none (0) until events are taken. */
NOC_PUBLIC uint8_t *noc_client_room(struct noc_client *client, size_t *ret_n);

/* So many were read there. */
NOC_PUBLIC void noc_client_received(struct noc_client *client, size_t n, uint32_t now_ms);

/* What is to be written, until the next call on the client; *ret_n == 0: nothing now. */
NOC_PUBLIC const uint8_t *noc_client_peek(
    struct noc_client *client, uint32_t now_ms, size_t *ret_n);

/* So many of them were written. */
NOC_PUBLIC void noc_client_sent(struct noc_client *client, size_t n, uint32_t now_ms);

/*
 * Take the next event, and do what time asks for (keep-alive, deadlines). False: nothing
 * more until bytes came, were written, or noc_client_wait_ms() is over; *ret_event is of no use then.
 */
NOC_PUBLIC bool noc_client_next(
    struct noc_client *client, uint32_t now_ms, struct noc_event *ret_event);

/*
 * Milliseconds until noc_client_next() must be called again though nothing came or was written;
 * UINT32_MAX: never.
 */
NOC_PUBLIC uint32_t noc_client_wait_ms(const struct noc_client *client, uint32_t now_ms);

/* ---- what an application asks for ---- */

struct noc_client_message {
    struct noc_slice topic, payload;
    struct noc_slice props; /* MQTT 5, in wire form, without topic alias */
    uint16_t
        alias; /* MQTT 5, QoS 0: a number (1 to 32) that always stands for this topic; 0: none */
    uint8_t qos;
    bool retain;
};

/*
 * Publish. QoS 0 goes to the output buffer, if the client is open. QoS 1 and 2
 * go to the outbox (their topic and properties by way of that buffer), whether it is open or not;
 * *ret_packet_id (may be NULL) is then what NOC_EVENT_PUBLISHED will name. An alias beyond what
 * the server takes is left out.
 *
 * NOC_OK; NOC_EAGAIN: no room in the buffer now, take what is in it first; NOC_EFULL: no room in
 * the outbox until something is acknowledged; NOC_ETOOLARGE: never, or larger than the server takes;
 * NOC_ECLOSED: not open; NOC_ENOTSUP: the server takes no such QoS or no retained messages, or there is
 * no outbox; NOC_EINVAL: topic or QoS; NOC_EIO: the outbox failed.
 */
NOC_PUBLIC NOC_MUST_CHECK int noc_client_publish(
    struct noc_client *client, const struct noc_client_message *message, uint16_t *ret_packet_id);

/*
 * Publish in pieces: message->payload.n tells how much there will be, its address is
 * not looked at. Errors as above. Until all of it was given nothing else can be published
 * (NOC_EAGAIN), and with QoS 0 nothing else sent, not even a PINGREQ: so don't let it wait.
 * A message of QoS 1 or 2 may be given while the client is not open; one of QoS 0 ends
 * with the connection.
 */
NOC_PUBLIC NOC_MUST_CHECK int noc_client_publish_begin(
    struct noc_client *client, const struct noc_client_message *message, uint16_t *ret_packet_id);

/*
 * The next bytes of it. Returns how many were taken, perhaps 0, or NOC_EINVAL (more than was said, or nothing
 * begun), NOC_ECLOSED, NOC_EIO: then it is given up.
 */
NOC_PUBLIC NOC_MUST_CHECK int noc_client_publish_chunk(
    struct noc_client *client, const void *bytes, size_t n);

struct noc_client_filter {
    struct noc_slice filter;
    uint8_t
        options; /* QoS; version 5 also no local 4, retain as published 8, retain handling 0x10, 0x20 */
};

/*
 * Both: NOC_OK, NOC_EAGAIN, NOC_ETOOLARGE, NOC_ECLOSED, NOC_EINVAL (no filter, an invalid one,
 * wrong options) or NOC_ENOTSUP (the server has no wildcards, shared subscriptions or
 * subscription identifiers). props: MQTT 5, in wire form.
 */
NOC_PUBLIC NOC_MUST_CHECK int noc_client_subscribe(struct noc_client *client,
    const struct noc_client_filter *filters, size_t count, struct noc_slice props,
    uint16_t *ret_packet_id);
NOC_PUBLIC NOC_MUST_CHECK int noc_client_unsubscribe(struct noc_client *client,
    const struct noc_slice *filters, size_t count, struct noc_slice props, uint16_t *ret_packet_id);

/* Send a PINGREQ now. NOC_OK, NOC_EAGAIN or NOC_ECLOSED. */
NOC_PUBLIC NOC_MUST_CHECK int noc_client_ping(struct noc_client *client, uint32_t now_ms);

/* Authenticate again (version 5), with options->auth. NOC_OK, NOC_EAGAIN, NOC_ECLOSED, NOC_EINVAL, or what step() said. */
NOC_PUBLIC NOC_MUST_CHECK int noc_client_authenticate(struct noc_client *client);

/* Say goodbye and end the connection. reason, props: version 5. NOC_OK, NOC_EAGAIN or NOC_ECLOSED. */
NOC_PUBLIC NOC_MUST_CHECK int noc_client_disconnect(
    struct noc_client *client, uint8_t reason, struct noc_slice props, uint32_t now_ms);

/* ---- what is known of it ---- */

/* Is everything that was published acknowledged (QoS 1, 2) or written to the transport (QoS 0)? */
NOC_PUBLIC bool noc_client_is_idle(const struct noc_client *client);

/* Static text for the log: what the last NOC_CAUSE_PROTOCOL was about, or ""; never NULL. */
NOC_PUBLIC const char *noc_client_fault(const struct noc_client *client);

#ifdef __cplusplus
}
#endif

#endif
