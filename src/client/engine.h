/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CLIENT_ENGINE_H
#define NOC_CLIENT_ENGINE_H
/*
 * What the files of the client engine share; nobody else includes it. How they
 * work together is in README.md. All of it is written to be small.
 */

#include <noctule/client.h>

#include "base/bytes.h"
#include "base/macros.h"
#include "mqtt/packet.h"

/* What noc_client.ping tells. */
enum {
    NOC_PING_NONE,
    NOC_PING_SENT,  /* PINGRESP is waited for */
    NOC_PING_STUCK, /* nothing could be written for so long that PINGREQ found no room */
};

/* What noc_client.publishing tells. */
enum {
    NOC_PUBLISHING_NOT,
    NOC_PUBLISHING_OUT,   /* pieces of a message go to the output buffer */
    NOC_PUBLISHING_BOXED, /* they go to the outbox */
};

/* Bits of noc_client.server_lacks. */
enum {
    NOC_LACKS_RETAIN = 1,
    NOC_LACKS_WILDCARDS = 2,
    NOC_LACKS_SUBSCRIPTION_IDS = 4,
    NOC_LACKS_SHARED = 8,
};

enum {
    NOC_ENGINE_WS_BASE = 8,    /* room in front of the output buffer for the head of a frame */
    NOC_ENGINE_WS_HELD = 128,  /* more than any control frame takes */
    NOC_ENGINE_ANSWER_MAX = 5, /* bytes of PUBREL and PUBCOMP */
};

/*
 * What a step of the machine came to. Two kinds of numbers besides these end the connection: a
 * reason code from 0x80 on, for the server broke the protocol; and -NOC_CAUSE_LOST and those
 * behind it.
 */
enum {
    NOC_STEP_WAIT = 0,  /* it needs more bytes, or room */
    NOC_STEP_EVENT = 1, /* an event was made */
    NOC_STEP_ON = -1,   /* go on */
};

static inline bool noc_engine_is_v5(const struct noc_client *client)
{
    return NOC_IS_V5(client->version);
}

static inline bool noc_engine_has_ws(const struct noc_client *client)
{
    return NOC_WITH_WEBSOCKET && client->has_ws;
}

/* NULL where QoS 1 and 2 are compiled out. */
static inline struct noc_outbox *noc_engine_box(const struct noc_client *client)
{
    return NOC_WITH_QOS ? client->options->outbox : NULL;
}

/* Is a packet in the output buffer without its end? Then only that can follow. */
static inline bool noc_engine_is_in_pieces(const struct noc_client *client)
{
    return (NOC_WITH_QOS && client->flow_at > 0) || client->publishing == NOC_PUBLISHING_OUT;
}

/* Must a message be told that waits in the outbox and that this server does not take? */
static inline bool noc_engine_is_held(const struct noc_client *client)
{
    return NOC_WITH_QOS && NOC_WITH_V5 && client->is_held;
}

/* Show a packet that came or goes, or its beginning, to who wants to see it. */
static inline void noc_engine_trace(
    const struct noc_client *client, bool is_outgoing, const uint8_t *packet, size_t n)
{
    if (NOC_WITH_TEXTS && client->options->trace != NULL) {
        client->options->trace(client->options->context, is_outgoing, packet, n);
    }
}

/* Where what goes begins in the output buffer: behind CONNECT while that waits for the upgrade. */
static inline uint32_t noc_engine_out_base(const struct noc_client *client)
{
    return NOC_WITH_WEBSOCKET ? client->out_base : 0;
}

/* The largest packet that is sure to find room in the input buffer, whatever the frames around it. */
static inline uint32_t noc_engine_in_max(const struct noc_client *client)
{
    return NOC_WITH_WEBSOCKET ? client->in_max : client->in_room;
}

/* Nothing is in the output buffer any more. */
static inline void noc_engine_empty(struct noc_client *client)
{
    client->out_at = client->out_end = noc_engine_out_base(client);
    if (NOC_WITH_WEBSOCKET) {
        client->out_framed = client->out_at;
    }
}

/* An event, which begins each step as zero. Returns NOC_STEP_EVENT. */
static inline int noc_engine_event(struct noc_event *event, enum noc_event_kind kind)
{
    event->kind = kind;
    return NOC_STEP_EVENT;
}

/* The server broke the protocol, in that field. Returns the reason, which the step returns. */
static inline int noc_engine_fail_text(struct noc_client *client, int reason, const char *field)
{
    if (NOC_WITH_TEXTS) {
        client->fault = field;
    }
    return reason;
}
#define noc_engine_fail(client, reason, field) noc_engine_fail_text(client, reason, NOC_TEXT(field))

/* ---- client.c ---- */

/*
 * End the connection, which is not ending yet: what is in the output buffer still goes, then the
 * event comes. Returns NOC_STEP_ON.
 */
int noc_engine_close(struct noc_client *client, enum noc_cause_kind kind, unsigned code);

/* The same at once: makes the event. */
int noc_engine_closed(struct noc_client *client, struct noc_event *event);

/* ---- client_in.c ---- */

/* Handle what came, up to the next event. */
int noc_engine_take(struct noc_client *client, struct noc_event *event);

/*
 * Read properties at at[0..n), of a packet of that type. Returns the bytes they take, or -1
 * times the reason for which the connection fails.
 */
int noc_engine_take_props(struct noc_client *client, unsigned type, const uint8_t *at, size_t n,
    struct noc_props *ret_props);

/* ---- client_message.c ---- */

/* A PUBLISH: n bytes of its body are here. */
int noc_engine_take_publish(
    struct noc_client *client, const struct noc_header *header, size_t n, struct noc_event *event);
/* More of one that is larger than the buffer. */
int noc_engine_take_chunk(struct noc_client *client, struct noc_event *event);
/* PUBREL. */
int noc_engine_take_pubrel(struct noc_client *client, uint16_t packet_id);
/* Acknowledge the message that the application has had. False: no room to. */
bool noc_engine_settle(struct noc_client *client);

/* ---- client_ack.c ---- */

/* PUBACK, PUBREC or PUBCOMP, decoded into what is to be the event. */
int noc_engine_take_ack(struct noc_client *client, unsigned type, struct noc_event *event);
/* Move messages from the outbox to the output buffer. */
void noc_engine_pump(struct noc_client *client);
/* Take what the pump could not send out of the outbox, and tell. */
int noc_engine_take_held(struct noc_client *client, struct noc_event *event);

/* ---- client_connect.c ---- */

/* Write CONNECT. NOC_OK, NOC_EINVAL, NOC_ETOOLARGE, or what step() said. */
int noc_engine_put_connect(struct noc_client *client);
int noc_engine_take_connack(
    struct noc_client *client, const uint8_t *body, size_t n, struct noc_event *event);

/* ---- client_auth.c: version 5 only ---- */

/*
 * Have the answer to data made (absent: the first words), behind where gap bytes and the
 * method will be written. NOC_OK, NOC_ETOOLARGE, or what step() said.
 */
int noc_engine_auth_step(
    struct noc_client *client, struct noc_slice data, size_t gap, struct noc_slice *ret_answer);
size_t noc_engine_auth_size(const struct noc_client *client, struct noc_slice answer);
uint8_t *noc_engine_put_auth_props(
    const struct noc_client *client, uint8_t *at, struct noc_slice answer);
/* Judge what came with success. NOC_OK, or what ends the connection. */
int noc_engine_auth_finish(struct noc_client *client, const struct noc_props *props);
/* AUTH, decoded into what is to be the event. Nothing may wait in the output buffer. */
int noc_engine_take_auth(struct noc_client *client, struct noc_event *event);

/* ---- client_out.c ---- */

/* Move what waits to the front of the output buffer. */
void noc_engine_pack(struct noc_client *client);

/*
 * Begin a packet with n bytes of body, of which later come some other time: see to room, write
 * the fixed header, and tell where the body goes. NOC_OK, NOC_ETOOLARGE, or NOC_EAGAIN: no room
 * now, or a packet is half written. With PUBLISH of QoS 1 and 2 half a packet is no
 * hindrance: they are only made there.
 */
int noc_engine_begin(
    struct noc_client *client, unsigned first_byte, size_t n, size_t later, uint8_t **ret_at);

/* The packet is written up to end. */
static inline void noc_engine_end(struct noc_client *client, const uint8_t *end)
{
    const uint8_t *start = client->out + client->out_end;

    noc_engine_trace(client, true, start, (size_t)(end - start));
    client->out_end = (uint32_t)(end - client->out);
}

/* A packet without a body. NOC_OK, NOC_EAGAIN. */
int noc_engine_put_empty(struct noc_client *client, unsigned type);

/* Append an acknowledgement. False: no room. */
bool noc_engine_put_ack(
    struct noc_client *client, unsigned type, uint16_t packet_id, uint8_t reason);

/* Write bytes; a slice with its length in two; properties with theirs. Each returns the byte after. */
uint8_t *noc_engine_put_raw(uint8_t *at, const void *bytes, size_t n);
uint8_t *noc_engine_put(uint8_t *at, struct noc_slice value);
uint8_t *noc_engine_put_props(uint8_t *at, struct noc_slice props);
/* Bytes of properties with their length. */
size_t noc_engine_props_size(struct noc_slice props);

/* A packet identifier that is free; 0: none is. Who uses it makes it the last one. */
uint16_t noc_engine_packet_id(const struct noc_client *client);

/* ---- client_subscribe.c ---- */

/* SUBACK or UNSUBACK, decoded into what is to be an event of that kind. */
int noc_engine_take_suback(
    struct noc_client *client, enum noc_event_kind kind, struct noc_event *event);

/* ---- client_ws.c ---- */

/* Write the upgrade request, which goes before CONNECT. NOC_OK, NOC_EINVAL or NOC_ETOOLARGE. */
int noc_engine_ws_start(struct noc_client *client);
/* Take the frames off what came. */
int noc_engine_ws_take(struct noc_client *client);
/* Put a frame around what is to go; what of it may be written ends at out_framed. */
void noc_engine_ws_seal(struct noc_client *client);
/* Say goodbye: the output buffer is empty. */
void noc_engine_ws_bye(struct noc_client *client);

#endif
