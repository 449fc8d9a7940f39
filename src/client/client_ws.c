/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MQTT over WebSocket. What comes is decoded in the input buffer; what goes
 * lies in the output buffer without frames until it may be written, and gets one then:
 *
 *   out_base        out_at             out_framed           out_end
 *   | room for a head | frame, partly sent | no frame around it yet |
 *
 * So a frame's head always finds room: in front of the buffer, or where bytes stood that are sent.
 */
#include "client/engine.h"
#include "ws/client.h"

_Static_assert(sizeof(struct noc_ws_answer) <= sizeof(((struct noc_client *)0)->ws) &&
                   sizeof(struct noc_ws_reader) <= sizeof(((struct noc_client *)0)->ws),
    "struct noc_client has too little room for the WebSocket");
_Static_assert(NOC_ENGINE_WS_BASE >= NOC_WS_SEAL_ROOM, "too little room for the head of a frame");
_Static_assert(NOC_ENGINE_WS_HELD > NOC_WS_CONTROL_MAX + 2, "too little room for a control frame");

enum { CODE_BYTES = 2 };

static uint32_t random_bits(const struct noc_client *client)
{
    return client->options->random(client->options->context);
}

int noc_engine_ws_start(struct noc_client *client)
{
    struct noc_ws_answer *answer = (void *)client->ws;
    int n;

    for (unsigned i = 0; i < NOC_WS_KEY_WORDS; i++) {
        answer->key[i] = random_bits(client);
    }
    n = client->options->websocket->host.n == 0
            ? NOC_EINVAL
            : noc_ws_ask(answer, client->options->websocket, client->out + client->out_end,
                  client->out_room - client->out_end);
    if (n < 0) {
        client->state = NOC_CLIENT_IDLE;
        return n;
    }
    /* CONNECT waits in front of the request. */
    client->ws_connect_end = client->out_at = client->out_end;
    client->out_end = client->out_framed = client->out_at + (uint32_t)n;
    client->state = NOC_CLIENT_UPGRADING;
    return NOC_OK;
}

/* ---- the end ---- */

/* End the connection; the event comes with in[at..at + n), which is moved where it stays. */
static int end_with_text(
    struct noc_client *client, uint32_t at, uint32_t n, enum noc_cause_kind kind, unsigned code)
{
    memmove(client->in, client->in + at, n);
    client->ws_text_n = n;
    return noc_engine_close(client, kind, code);
}

/* ---- the answer ---- */

static int take_answer(struct noc_client *client)
{
    struct noc_ws_answer *answer = (void *)client->ws;
    uint32_t n = client->raw_end - client->in_at;
    bool is_status;
    int used;

    NOC_HIDE(answer); /* its fields are near to its start, but far from the client's */
    if (client->out_at != client->out_end) {
        return NOC_STEP_WAIT; /* nobody can answer what was not asked */
    }
    used = noc_ws_answer_read(answer, client->options->websocket, client->options->context,
        client->in + client->in_at, n, n == client->in_room);
    if (used >= 0) {
        client->in_at = client->in_end = client->in_at + (uint32_t)used;
        if (answer->kind == NOC_WS_ANSWER_PENDING) {
            return used > 0 ? NOC_STEP_ON : NOC_STEP_WAIT;
        }
    }
    if (answer->kind == NOC_WS_ANSWER_GOOD) {
        memset(client->ws, 0, sizeof client->ws);
        client->out_end = client->ws_connect_end;
        client->state = NOC_CLIENT_CONNECTING;
        client->asked_ms = client->now_ms;
        return NOC_STEP_ON;
    }
    /* Tell why, with the beginning of what the server sent besides. There is nothing to be closed. */
    is_status = answer->kind == NOC_WS_ANSWER_STATUS;
    client->is_lost = true;
    client->cause.retry_after_s = (uint16_t)answer->retry_after_s;
    return end_with_text(client, client->in_at, client->raw_end - client->in_at,
        is_status ? NOC_CAUSE_HTTP : NOC_CAUSE_UPGRADE, is_status ? answer->status : answer->kind);
}

/* ---- frames ---- */

/* Put a frame around what has none. */
static void seal(struct noc_client *client, enum noc_ws_opcode opcode)
{
    uint32_t n = client->out_end - client->out_framed;

    n = n < NOC_WS_SEAL_MAX ? n : NOC_WS_SEAL_MAX;
    client->out_at -=
        (uint32_t)noc_ws_seal(client->out + client->out_framed, n, opcode, random_bits(client));
    client->out_framed += n;
}

void noc_engine_ws_seal(struct noc_client *client)
{
    if (client->out_at == client->out_framed && client->out_at != client->out_end) {
        seal(client, NOC_WS_BINARY);
    }
}

/* Write a control frame. False: not now, for something waits in the output buffer. */
static bool put_control(
    struct noc_client *client, enum noc_ws_opcode opcode, const uint8_t *payload, uint32_t n)
{
    if (client->out_at != client->out_end) {
        return false;
    }
    noc_engine_put_raw(client->out + client->out_end, payload, n);
    client->out_end += n;
    seal(client, opcode);
    return true;
}

bool noc_engine_ws_bye(struct noc_client *client)
{
    uint8_t bytes[CODE_BYTES];
    unsigned code = client->cause.code;

    if (client->has_ws_bye) {
        return false;
    }
    noc_put_u16(bytes, (uint16_t)(code < NOC_WS_CLOSE_NORMAL ? NOC_WS_CLOSE_NORMAL : code));
    client->has_ws_bye =
        put_control(client, NOC_WS_CLOSE, bytes, code == NOC_WS_CLOSE_NO_CODE ? 0 : CODE_BYTES);
    return true;
}

int noc_engine_ws_take(struct noc_client *client)
{
    struct noc_ws_reader *reader = (void *)client->ws;
    size_t plain_n = client->in_end, n = client->raw_end;
    uint32_t before = client->in_end;
    int event;

    if (client->state == NOC_CLIENT_UPGRADING) {
        return take_answer(client);
    }
    if (client->has_ws_ping) {
        if (!client->is_lost &&
            !put_control(client, NOC_WS_PONG, client->in + client->in_end, reader->held)) {
            client->wants_out = true;
            return NOC_STEP_WAIT;
        }
        client->has_ws_ping = false;
    }
    event = noc_ws_read(reader, client->in, &plain_n, &n);
    client->in_end = (uint32_t)plain_n;
    client->raw_end = (uint32_t)n;
    client->has_ws_ping = event == NOC_WS_PING;
    if (event > 0 || client->in_end != before) {
        return NOC_STEP_ON; /* what stands in front of a fault or a close is good */
    }
    if (event < 0) {
        /* A close frame's reason stands behind its code. */
        uint32_t text_n = reader->held > CODE_BYTES ? reader->held - CODE_BYTES : 0;

        if (NOC_WITH_TEXTS && event == NOC_EPROTO) {
            client->fault = "WebSocket frame";
        }
        return end_with_text(client, client->in_end + reader->held - text_n, text_n,
            event == NOC_ECLOSED ? NOC_CAUSE_WEBSOCKET : NOC_CAUSE_PROTOCOL, reader->code);
    }
    return NOC_STEP_WAIT;
}
