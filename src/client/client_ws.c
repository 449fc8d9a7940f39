/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MQTT over WebSocket. What comes is decoded in the input buffer; what goes
 * lies in the output buffer without frames until it may be written, and gets one then:
 *
 *             out             out_at              out_framed            out_end
 *   | room for a head | . . . . . | frame, partly sent | no frame around it yet |
 *
 * So a frame's head always finds room: in front of the buffer, or where bytes stood that are sent.
 * Until there is a WebSocket, CONNECT waits in front of the request, out[0..out_base), and
 * what goes begins there.
 * Of a frame with data that a control frame stands behind the rest counts as that: the next PINGREQ
 * may be early, never late.
 */
#include "client/engine.h"
#include "ws/client.h"

/* What src/ws keeps; all zero at the start. */
struct ws_state {
    struct noc_ws_answer answer;
    struct noc_ws_reader reader;
};

_Static_assert(sizeof(struct ws_state) <= sizeof(((struct noc_client *)0)->ws),
    "struct noc_client has too little room for the WebSocket");
_Static_assert(NOC_ENGINE_WS_BASE >= NOC_WS_SEAL_ROOM, "too little room for the head of a frame");
_Static_assert(NOC_ENGINE_WS_HELD > NOC_WS_CONTROL_MAX + 2, "too little room for a control frame");

enum { CODE_BYTES = 2 };

static struct ws_state *state_of(struct noc_client *client)
{
    return (void *)client->ws;
}

static uint32_t random_bits(const struct noc_client *client)
{
    return client->options->random(client->options->context);
}

int noc_engine_ws_start(struct noc_client *client)
{
    struct noc_ws_answer *answer = &state_of(client)->answer;
    int n;

    for (unsigned i = 0; i < NOC_WS_KEY_WORDS; i++) {
        answer->key[i] = random_bits(client);
    }
    n = client->options->websocket->host.n == 0
            ? NOC_EINVAL
            : noc_ws_ask(answer, client->options->websocket, client->out + client->out_end,
                  client->out_room - client->out_end);
    if (n < 0) {
        client->out_end = 0;
        return n;
    }
    client->out_base = client->out_at = client->out_end;
    client->out_end = client->out_framed = client->out_at + (uint32_t)n;
    return NOC_OK;
}

/* End the connection; the event comes with in[at..at + n), which is moved where it stays. */
static int end_with_text(struct noc_client *client, const uint8_t *at, uint32_t n,
    enum noc_cause_kind kind, unsigned code)
{
    memmove(client->in, at, n);
    client->ws_text_n = n;
    return noc_engine_close(client, kind, code);
}

/* ---- the answer ---- */

static int take_answer(struct noc_client *client)
{
    struct noc_ws_answer *answer = &state_of(client)->answer;
    uint32_t n = client->raw_end - client->in_at;
    enum noc_cause_kind cause = NOC_CAUSE_UPGRADE;
    unsigned code;
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
    code = answer->kind;
    if (code == NOC_WS_ANSWER_GOOD) {
        client->is_ws_open = true;
        client->out_end = client->out_base;
        client->out_at = client->out_framed = client->out_base = 0;
        client->state = NOC_CLIENT_CONNECTING;
        client->asked_ms = client->now_ms;
        return NOC_STEP_ON;
    }
    /* Tell why, with the beginning of what the server sent besides. There is nothing to be closed. */
    client->is_lost = true;
    client->cause.retry_after_s = (uint16_t)answer->retry_after_s;
    if (code == NOC_WS_ANSWER_STATUS) {
        cause = NOC_CAUSE_HTTP;
        code = answer->status;
    }
    return end_with_text(
        client, client->in + client->in_at, client->raw_end - client->in_at, cause, code);
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
    client->has_ws_data = opcode == NOC_WS_BINARY;
}

void noc_engine_ws_seal(struct noc_client *client)
{
    if (client->out_at == client->out_framed && client->out_at != client->out_end) {
        seal(client, NOC_WS_BINARY);
    }
}

void noc_engine_ws_bye(struct noc_client *client)
{
    unsigned code = client->cause.code;

    client->is_ws_open = false;
    if (code != NOC_WS_CLOSE_NO_CODE) {
        noc_put_u16(
            client->out, (uint16_t)(code < NOC_WS_CLOSE_NORMAL ? NOC_WS_CLOSE_NORMAL : code));
        client->out_end = CODE_BYTES;
    }
    seal(client, NOC_WS_CLOSE);
}

int noc_engine_ws_take(struct noc_client *client)
{
    struct noc_ws_reader *reader = &state_of(client)->reader;
    uint32_t before = client->in_end, n;
    const uint8_t *payload;
    int event;

    if (client->state == NOC_CLIENT_UPGRADING) {
        return take_answer(client);
    }
    NOC_HIDE(reader);
    event = noc_ws_read(reader, client->in, &client->in_end, &client->raw_end);
    if (client->in_end != before) {
        return NOC_STEP_ON; /* first what stands in front of a control frame or a fault */
    }
    if (event == 0) {
        return NOC_STEP_WAIT;
    }
    payload = client->in + client->in_end + NOC_WS_HELD_HEAD;
    n = reader->held - NOC_WS_HELD_HEAD;
    if (event > NOC_WS_CLOSE) {
        if (event == NOC_WS_PING && !client->is_lost) {
            if (client->out_at != client->out_end) {
                client->wants_out = true;
                return NOC_STEP_WAIT;
            }
            client->out_end = n;
            noc_engine_put_raw(client->out, payload, n);
            seal(client, NOC_WS_PONG);
        }
        reader->done = reader->held;
        return NOC_STEP_ON;
    }
    /* A close frame's reason stands behind its code. */
    return end_with_text(client, payload + CODE_BYTES, n > CODE_BYTES ? n - CODE_BYTES : 0,
        event < 0 ? NOC_CAUSE_PROTOCOL : NOC_CAUSE_WEBSOCKET, reader->code);
}
