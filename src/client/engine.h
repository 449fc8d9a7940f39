/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CLIENT_ENGINE_H
#define NOC_CLIENT_ENGINE_H
/*
 * What the files of the client engine share; nobody else includes it. The
 * order of the day is in README.md.
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

/* Bits of noc_client.server_lacks. */
enum {
    NOC_LACKS_RETAIN = 1,
    NOC_LACKS_WILDCARDS = 2,
    NOC_LACKS_SUBSCRIPTION_IDS = 4,
    NOC_LACKS_SHARED = 8,
};

enum {
    NOC_ENGINE_WS_BASE = 8,   /* room in front of the output buffer for the head of a frame */
    NOC_ENGINE_WS_HELD = 128, /* more than any control frame takes */
};

/* What a step of the machine came to. */
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
    return NOC_WITH_WEBSOCKET && client->options->websocket != NULL;
}

/* An outbox that holds something, or may; NULL where QoS 1 and 2 are compiled out. */
static inline struct noc_outbox *noc_engine_box(const struct noc_client *client)
{
    return NOC_WITH_QOS ? client->options->outbox : NULL;
}

/* Show a packet that came, or its beginning, to who wants to see it. */
static inline void noc_engine_trace(
    const struct noc_client *client, const uint8_t *packet, size_t n)
{
    const struct noc_client_options *options = client->options;

    if (options->trace != NULL) {
        options->trace(options->context, false, packet, n);
    }
}

/* The largest packet that is sure to find room in the input buffer, whatever the frames around it. */
static inline uint32_t noc_engine_in_max(const struct noc_client *client)
{
    return client->in_room - (noc_engine_has_ws(client) ? NOC_ENGINE_WS_HELD : 0u);
}

/* ---- client.c ---- */

/* Make it an event of that kind, all else zero. Returns NOC_STEP_EVENT. */
int noc_engine_event(struct noc_event *event, enum noc_event_kind kind);

/*
 * End the connection: what is in the output buffer still goes, then the event comes.
 * Returns NOC_STEP_ON.
 */
int noc_engine_close(struct noc_client *client, enum noc_cause_kind kind, unsigned code);

/* The same at once: makes the event. */
int noc_engine_closed(struct noc_client *client, struct noc_event *event);

/* The server broke the protocol: tell it the reason (version 5), and end the connection. */
int noc_engine_fail(struct noc_client *client, uint8_t reason, const char *field);

/* The codec found that error. */
int noc_engine_fail_codec(struct noc_client *client, int err, const char *field);

/* ---- client_in.c ---- */

/* Handle what came, up to the next event. */
int noc_engine_take(struct noc_client *client, struct noc_event *event);

/* ---- client_message.c ---- */

/* A PUBLISH, its n bytes from the fixed header on being here. */
int noc_engine_take_publish(
    struct noc_client *client, const struct noc_header *header, size_t n, struct noc_event *event);
/* More of one that is larger than the buffer. */
int noc_engine_take_chunk(struct noc_client *client, struct noc_event *event);
/* PUBREL. */
int noc_engine_take_pubrel(struct noc_client *client, uint16_t packet_id);
/* Acknowledge the message that the application has had. False: no room to. */
bool noc_engine_settle(struct noc_client *client);
/* The server has no session: nothing is under way. */
void noc_engine_forget_received(struct noc_client *client);

/* ---- client_ack.c ---- */

/* PUBACK, PUBREC or PUBCOMP. */
int noc_engine_take_ack(struct noc_client *client, unsigned type, const struct noc_slice *body,
    struct noc_event *event);
/* A new connection is open: see to what is in the outbox. NOC_OK, or an error of the outbox. */
int noc_engine_rewind(struct noc_client *client, bool is_anew);
/* Move messages from the outbox to the output buffer. */
void noc_engine_pump(struct noc_client *client);
/* Take what the pump could not send out of the outbox, and tell. */
int noc_engine_take_held(struct noc_client *client, struct noc_event *event);

/* ---- client_connect.c ---- */

/* Write CONNECT. NOC_OK, NOC_EINVAL, NOC_ETOOLARGE, or what step() said. */
int noc_engine_put_connect(struct noc_client *client);
int noc_engine_take_connack(
    struct noc_client *client, const struct noc_slice *body, struct noc_event *event);
/* Nothing may wait in the output buffer. */
int noc_engine_take_auth(
    struct noc_client *client, const struct noc_slice *body, struct noc_event *event);

/* ---- client_subscribe.c ---- */

/* SUBACK or UNSUBACK. */
int noc_engine_take_suback(struct noc_client *client, unsigned type, const struct noc_slice *body,
    struct noc_event *event);

/* ---- client_out.c ---- */

/* Move what waits to the front of the output buffer. */
void noc_engine_pack(struct noc_client *client);

/* Where n bytes may be appended; NULL: no room now, or a packet is half written. */
uint8_t *noc_engine_room(struct noc_client *client, size_t n);

/* n bytes, a packet, were appended. */
void noc_engine_added(struct noc_client *client, size_t n);

/* Append an acknowledgement. False: no room. */
bool noc_engine_put_ack(
    struct noc_client *client, unsigned type, uint16_t packet_id, uint8_t reason);

/* Append a PINGREQ. False: no room. */
bool noc_engine_put_ping(struct noc_client *client);

/* A packet identifier that is free; 0: none is. */
uint16_t noc_engine_packet_id(struct noc_client *client);

/* Writes a packet to the output buffer: first the body, then the head in front of it. */
struct noc_pen {
    struct noc_client *client;
    uint8_t *at, *end;
    bool is_over; /* it did not fit */
};

/* False: a packet is half written. */
bool noc_pen_begin(struct noc_pen *pen, struct noc_client *client);
/* The packet is whole. NOC_OK, NOC_EAGAIN or NOC_ETOOLARGE. */
int noc_pen_finish(struct noc_pen *pen, unsigned first_byte);
/* bytes may overlap what is written. */
void noc_pen_put(struct noc_pen *pen, const void *bytes, size_t n);
void noc_pen_u8(struct noc_pen *pen, unsigned value);
void noc_pen_u16(struct noc_pen *pen, unsigned value);
void noc_pen_varint(struct noc_pen *pen, size_t value);
void noc_pen_slice(struct noc_pen *pen, struct noc_slice value); /* with its length in two bytes */
void noc_pen_props(struct noc_pen *pen, struct noc_slice props); /* with theirs; version 5 only */

/* ---- client_ws.c ---- */

/* Write the upgrade request. NOC_OK, NOC_EINVAL or NOC_ETOOLARGE. */
int noc_engine_ws_start(struct noc_client *client);
/* Take the frames off what came. */
int noc_engine_ws_take(struct noc_client *client, struct noc_event *event);
/* Put a frame around what is to go; what of it may be written ends at out_framed. */
void noc_engine_ws_seal(struct noc_client *client);
/* Say goodbye, once. False: no room yet. */
bool noc_engine_ws_bye(struct noc_client *client);

#endif
