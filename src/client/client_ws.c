/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MQTT over WebSocket. What comes is decoded in the input buffer; what goes
 * lies in the output buffer without frames until it may be written, and gets one then:
 *
 *   out_base        out_at             out_framed           out_end
 *   | room for a head | frame, partly sent | no frame around it yet |
 *
 * So a frame's head always finds room: in front of the buffer, or where bytes stood that are sent.
 * Of a frame with data that a control frame stands behind the rest counts as that: the next PINGREQ
 * may be early, never late.
 */
#include "client/engine.h"
#include "ws/client.h"

_Static_assert(sizeof(struct noc_ws_answer) <= sizeof(((struct noc_client *)0)->ws) &&
                   sizeof(struct noc_ws_reader) <= sizeof(((struct noc_client *)0)->ws),
    "struct noc_client has too little room for the WebSocket");
_Static_assert(NOC_ENGINE_WS_BASE >= NOC_WS_SEAL_ROOM, "too little room for the head of a frame");
_Static_assert(NOC_ENGINE_WS_HELD > NOC_WS_CONTROL_MAX, "too little room for a control frame");

enum { CONTROL_HEAD = 6, CODE_BYTES = 2 };

static uint32_t random_bits(const struct noc_client *client)
{
    return client->options->random(client->options->context);
}

int noc_engine_ws_start(struct noc_client *client)
{
    struct noc_ws_answer *answer = (void *)client->ws;
    int n;

    memset(client->ws, 0, sizeof client->ws);
    for (unsigned i = 0; i < sizeof answer->key; i += 4) {
        noc_put_u32(answer->key + i, random_bits(client));
    }
    if (client->options->websocket->host.n == 0) {
        return NOC_EINVAL;
    }
    n = noc_ws_ask(answer, client->options->websocket, client->out + client->out_at,
        client->out_room - client->out_at);
    if (n < 0) {
        return n;
    }
    client->out_end = client->out_framed = client->out_at + (uint32_t)n;
    client->state = NOC_CLIENT_UPGRADING;
    client->has_ws_bye = true; /* there is nothing to be closed yet */
    return NOC_OK;
}

/* ---- the answer ---- */

/* There is a WebSocket: on with CONNECT. */
static int connect(struct noc_client *client)
{
    int err;

    memset(client->ws, 0, sizeof client->ws);
    client->has_ws_bye = false;
    err = noc_engine_put_connect(client);
    if (err != NOC_OK) {
        client->is_lost = true; /* it can't go on, and there is nothing to be written */
        return noc_engine_close(client, NOC_CAUSE_OPTIONS, (unsigned)-err);
    }
    return NOC_STEP_ON;
}

/* There is none: tell why, with the beginning of what the server sent besides. */
static int refuse(
    struct noc_client *client, const struct noc_ws_answer *answer, struct noc_event *event)
{
    bool is_status = answer->kind == NOC_WS_ANSWER_STATUS;

    noc_engine_close(client, is_status ? NOC_CAUSE_HTTP : NOC_CAUSE_UPGRADE,
        is_status ? answer->status : answer->kind);
    client->cause.retry_after_s = (uint16_t)answer->retry_after_s;
    noc_engine_event(event, NOC_EVENT_CLOSED);
    event->payload = noc_slice(client->in + client->in_at, client->raw_end - client->in_at);
    return noc_engine_closed(client, event);
}

static int take_answer(struct noc_client *client, struct noc_event *event)
{
    struct noc_ws_answer *answer = (void *)client->ws;
    bool is_full = client->in_at == 0 && client->raw_end == client->in_room;
    int n;

    if (client->out_at != client->out_end) {
        return NOC_STEP_WAIT; /* nobody can answer what was not asked */
    }
    n = noc_ws_answer_read(answer, client->options->websocket, client->options->context,
        client->in + client->in_at, client->raw_end - client->in_at, is_full);
    if (n < 0) {
        return refuse(client, answer, event); /* no HTTP: kind is NOC_WS_ANSWER_PENDING */
    }
    client->in_at += (uint32_t)n;
    client->in_end = client->in_at;
    if (answer->kind == NOC_WS_ANSWER_PENDING) {
        return n > 0 ? NOC_STEP_ON : NOC_STEP_WAIT;
    }
    return answer->kind == NOC_WS_ANSWER_GOOD ? connect(client) : refuse(client, answer, event);
}

/* ---- frames ---- */

/* Can a control frame with n bytes of payload be put behind what waits? */
static uint8_t *control_room(struct noc_client *client, size_t n)
{
    noc_engine_ws_seal(client);
    if (client->out_framed != client->out_end) {
        return NULL;
    }
    if (client->out_room - client->out_end < CONTROL_HEAD + n) {
        noc_engine_pack(client);
    }
    return client->out_room - client->out_end < CONTROL_HEAD + n ? NULL
                                                                 : client->out + client->out_end;
}

static bool put_control(
    struct noc_client *client, enum noc_ws_opcode opcode, struct noc_slice payload)
{
    uint8_t *at = control_room(client, payload.n);

    if (at == NULL) {
        return false;
    }
    client->out_end += (uint32_t)noc_ws_control_write(at, opcode, payload, random_bits(client));
    client->out_framed = client->out_end;
    client->has_ws_data = false;
    return true;
}

/* Answer the ping that was held. */
static int put_pong(struct noc_client *client)
{
    if (client->is_lost || put_control(client, NOC_WS_PONG,
                               noc_slice(client->in + client->ws_held_at, client->ws_held_n))) {
        client->has_ws_ping = false;
        return NOC_STEP_ON;
    }
    client->wants_out = true;
    return NOC_STEP_WAIT;
}

int noc_engine_ws_take(struct noc_client *client, struct noc_event *event)
{
    struct noc_ws_reader *reader = (void *)client->ws;
    size_t plain_n = client->in_end, n = client->raw_end;
    uint32_t before = client->in_end;
    int opcode;

    if (client->state == NOC_CLIENT_UPGRADING) {
        return take_answer(client, event);
    }
    if (client->has_ws_ping) {
        return put_pong(client);
    }
    opcode = noc_ws_read(reader, client->in, &plain_n, &n);
    client->in_end = (uint32_t)plain_n;
    client->raw_end = (uint32_t)n;
    if (opcode > 0) {
        client->ws_held_at = client->in_end;
        client->ws_held_n = (uint8_t)reader->held;
        client->has_ws_ping = opcode == NOC_WS_PING;
        return NOC_STEP_ON;
    }
    if (client->in_end != before) {
        return NOC_STEP_ON; /* what stands in front of a fault or a close is good */
    }
    if (opcode == NOC_ECLOSED) {
        /* The reason stands behind the code. */
        client->ws_held_n =
            (uint8_t)(client->ws_held_n > CODE_BYTES ? client->ws_held_n - CODE_BYTES : 0);
        memmove(client->in, client->in + client->ws_held_at + CODE_BYTES, client->ws_held_n);
        return noc_engine_close(client, NOC_CAUSE_WEBSOCKET, reader->code);
    }
    if (opcode < 0) {
        client->fault = "WebSocket frame";
        return noc_engine_close(client, NOC_CAUSE_PROTOCOL, reader->code);
    }
    return NOC_STEP_WAIT;
}

bool noc_engine_ws_bye(struct noc_client *client)
{
    uint8_t bytes[CODE_BYTES];
    unsigned code = client->cause.code;
    size_t n = code == NOC_WS_CLOSE_NO_CODE ? 0 : CODE_BYTES;

    if (!client->has_ws_bye) {
        noc_put_u16(bytes, (uint16_t)(code < NOC_WS_CLOSE_NORMAL ? NOC_WS_CLOSE_NORMAL : code));
        client->has_ws_bye = put_control(client, NOC_WS_CLOSE, noc_slice(bytes, n));
    }
    return client->has_ws_bye;
}

void noc_engine_ws_seal(struct noc_client *client)
{
    uint32_t n = client->out_end - client->out_framed;

    if (client->out_at == client->out_framed && n > 0) {
        n = n < NOC_WS_SEAL_MAX ? n : NOC_WS_SEAL_MAX;
        client->out_at -= (uint32_t)noc_ws_seal(
            client->out + client->out_framed, n, NOC_WS_BINARY, random_bits(client));
        client->has_ws_data = true;
        client->out_framed += n;
    }
}
