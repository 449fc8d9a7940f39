/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a client: it begins, time passes, it ends. All that needs an
 * answer in time shares one clock, asked_ms:
 *
 *   UPGRADING, CONNECTING   since start() and since CONNECT
 *   OPEN                    while ping tells that something is waited for
 *   CLOSING                 since it began; then what was not written is given up
 */
#include "client/engine.h"

enum { ANSWER_S = 10, INFLIGHT_MAX = 20, IN_MIN = 256, OUT_MIN = 128, WS_MORE = 256 };

#if UINTPTR_MAX == UINT32_MAX
_Static_assert(sizeof(struct noc_client) <= 256, "a client is too large");
#endif

/* Do they ask for what was compiled out? */
static bool is_left_out(const struct noc_client_options *options)
{
    return (!NOC_WITH_V5 && options->version == NOC_V5) ||
           (!NOC_WITH_WEBSOCKET && options->websocket != NULL) ||
           (!NOC_WITH_QOS && options->outbox != NULL);
}

int noc_client_init(struct noc_client *client, const struct noc_client_options *options,
    uint8_t *in, size_t in_room, uint8_t *out, size_t out_room)
{
    unsigned version = options->version == 0 ? NOC_V311 : options->version;
    bool has_ws = NOC_WITH_WEBSOCKET && options->websocket != NULL;
    unsigned head = has_ws ? NOC_ENGINE_WS_BASE : 0;
    unsigned count = 0;

    memset(client, 0, sizeof *client);
    client->options = options;
    client->in = in;
    client->in_room = (uint32_t)in_room;
    if (NOC_WITH_WEBSOCKET) {
        client->in_max = (uint32_t)in_room - head * (NOC_ENGINE_WS_HELD / NOC_ENGINE_WS_BASE);
        client->has_ws = has_ws;
    }
    client->out = out + head;
    client->out_room = (uint32_t)out_room - head;
    client->version = (uint8_t)version;
    if (is_left_out(options)) {
        return NOC_ENOTSUP;
    }
    if (in_room < IN_MIN + head * (WS_MORE / NOC_ENGINE_WS_BASE) ||
        out_room < OUT_MIN + head * (WS_MORE / NOC_ENGINE_WS_BASE) ||
        version - NOC_V31 > NOC_V5 - NOC_V31 || (has_ws && options->random == NULL) ||
        (sizeof(size_t) > sizeof(uint32_t) && (in_room | out_room) > INT32_MAX)) {
        return NOC_EINVAL;
    }
    if (NOC_WITH_QOS && options->outbox != NULL) {
        client->last_id = options->outbox->newest_id;
    }
    if (NOC_WITH_QOS && NOC_WITH_SUBSCRIBE) {
        while (count < options->received_max && options->received[count] != 0) {
            count++;
        }
        client->received_count = (uint16_t)count;
    }
    return NOC_OK;
}

/* What was to go will not. */
static void drop_output(struct noc_client *client)
{
    if (NOC_WITH_WEBSOCKET) {
        client->out_base = 0;
    }
    noc_engine_empty(client);
    client->flow_at = 0;
    if (client->publishing == NOC_PUBLISHING_OUT) {
        client->publishing = NOC_PUBLISHING_NOT;
    }
}

int noc_client_start(struct noc_client *client, uint32_t now_ms)
{
    const struct noc_client_options *options = client->options;
    int err;

    if (client->state != NOC_CLIENT_IDLE) {
        return NOC_EINVAL;
    }
    memset(&client->state, 0, sizeof *client - offsetof(struct noc_client, state));
    drop_output(client);
    if (NOC_WITH_V5 && options->aliases != NULL) {
        memset(options->aliases->lengths, 0, options->aliases->count * sizeof(uint16_t));
    }
    client->inflight_max = options->inflight_max == 0 ? INFLIGHT_MAX : options->inflight_max;
    client->now_ms = client->sent_ms = client->received_ms = client->asked_ms = now_ms;
    err = noc_engine_put_connect(client);
    if (noc_engine_has_ws(client) && err == NOC_OK) {
        err = noc_engine_ws_start(client);
    }
    if (err == NOC_OK) {
        client->state = noc_engine_has_ws(client) ? NOC_CLIENT_UPGRADING : NOC_CLIENT_CONNECTING;
    }
    return err;
}

void noc_client_lost(struct noc_client *client)
{
    client->is_lost = true;
    drop_output(client);
}

enum noc_client_state noc_client_state(const struct noc_client *client)
{
    return (enum noc_client_state)client->state;
}

const char *noc_client_fault(const struct noc_client *client)
{
    return client->fault == NULL ? "" : client->fault;
}

bool noc_client_is_idle(const struct noc_client *client)
{
    const struct noc_outbox *box = noc_engine_box(client);

    return client->out_at == client->out_end && client->ack_type == 0 &&
           client->publishing == NOC_PUBLISHING_NOT && (box == NULL || box->oldest_id == 0);
}

/* ---- the end of a connection ---- */

int noc_engine_close(struct noc_client *client, enum noc_cause_kind kind, unsigned code)
{
    client->state = NOC_CLIENT_CLOSING;
    client->cause.kind = (uint16_t)kind;
    client->cause.code = (uint16_t)code;
    client->asked_ms = client->now_ms;
    return NOC_STEP_ON;
}

int noc_engine_closed(struct noc_client *client, struct noc_event *event)
{
    event->kind = NOC_EVENT_CLOSED;
    event->cause = client->cause;
    if (NOC_WITH_V5 && event->props.reason_string.at != NULL) {
        event->payload = event->props.reason_string;
    }
    client->state = NOC_CLIENT_IDLE;
    if (NOC_WITH_V5) {
        client->server_packet_max = client->server_qos_less = client->server_lacks = 0;
    }
    drop_output(client);
    return NOC_STEP_EVENT;
}

/* End the connection for what a step came to; tell a server of version 5 what was its fault. */
NOC_APART static void give_up(struct noc_client *client, int done)
{
    enum noc_cause_kind kind = NOC_CAUSE_PROTOCOL;
    unsigned code = (unsigned)done;
    uint8_t *at;

    if (done < 0) {
        kind = (enum noc_cause_kind) - done;
        code = 0;
    }
    if (noc_engine_is_v5(client) && (done > 0 || kind == NOC_CAUSE_AUTH) &&
        noc_engine_begin(client, NOC_DISCONNECT << 4, 1, 0, &at) == NOC_OK) {
        *at = (uint8_t)(done > 0 ? code : NOC_RC_UNSPECIFIED);
        noc_engine_end(client, at + 1);
    }
    noc_engine_close(client, kind, code);
}

/* ---- time ---- */

/* Milliseconds until something is due, 0 if it is. */
static uint32_t time_left(const struct noc_client *client, uint32_t now_ms)
{
    uint32_t since = now_ms - client->asked_ms, whole = client->options->answer_s;

    if (whole == 0) {
        whole = ANSWER_S;
    }
    if (client->state == NOC_CLIENT_OPEN && client->ping == NOC_PING_NONE) {
        uint32_t since_received = now_ms - client->received_ms;

        whole = client->keep_alive_s;
        if (whole == 0) {
            return UINT32_MAX;
        }
        since = now_ms - client->sent_ms;
        since = since > since_received ? since : since_received;
    }
    whole *= 1000;
    return since < whole ? whole - since : 0;
}

uint32_t noc_client_wait_ms(const struct noc_client *client, uint32_t now_ms)
{
    if (client->state == NOC_CLIENT_IDLE) {
        return UINT32_MAX;
    }
    if (client->is_lost || noc_engine_is_held(client) ||
        (client->out_at == client->out_end &&
            (client->state == NOC_CLIENT_CLOSING ||
                (client->wants_out && !noc_engine_is_in_pieces(client))))) {
        return 0;
    }
    return time_left(client, now_ms);
}

int noc_client_ping(struct noc_client *client, uint32_t now_ms)
{
    int err;

    client->now_ms = now_ms;
    if (client->state != NOC_CLIENT_OPEN) {
        return NOC_ECLOSED;
    }
    err = noc_engine_put_empty(client, NOC_PINGREQ);
    if (err == NOC_OK) {
        client->ping = NOC_PING_SENT;
        client->asked_ms = now_ms;
    }
    return err;
}

/* Do what is due. */
NOC_APART static void check_time(struct noc_client *client)
{
    if (time_left(client, client->now_ms) > 0) {
        return;
    }
    if (client->state == NOC_CLIENT_OPEN && client->ping == NOC_PING_NONE) {
        if (noc_client_ping(client, client->now_ms) != NOC_OK) {
            client->ping = NOC_PING_STUCK;
            client->asked_ms = client->now_ms;
        }
        return;
    }
    client->is_lost = true; /* as good as that */
    if (client->state != NOC_CLIENT_CLOSING) {
        noc_engine_close(
            client, NOC_CAUSE_UPGRADE_TIMEOUT + client->state - NOC_CLIENT_UPGRADING, 0);
    }
}

/* ---- the machine ---- */

/* The connection is ending: tell it when all is said that there was to say. */
static int step_closing(struct noc_client *client, struct noc_event *event)
{
    if (!client->is_lost) {
        if (NOC_WITH_WEBSOCKET && client->is_ws_open && client->out_at == client->out_end) {
            noc_engine_ws_bye(client);
        }
        if (client->out_at != client->out_end) {
            return NOC_STEP_WAIT;
        }
    }
    if (NOC_WITH_WEBSOCKET) {
        event->payload = noc_slice(client->in, client->ws_text_n); /* see noc_client_room() */
    }
    return noc_engine_closed(client, event);
}

static int take_step(struct noc_client *client, struct noc_event *event)
{
    int done = NOC_STEP_WAIT;

    if (client->state == NOC_CLIENT_CLOSING) {
        return step_closing(client, event);
    }
    if (noc_engine_is_held(client)) {
        return noc_engine_take_held(client, event);
    }
    if (NOC_WITH_SUBSCRIBE && client->is_streaming) {
        done = noc_engine_take_chunk(client, event);
    } else if (!NOC_WITH_WEBSOCKET || client->state != NOC_CLIENT_UPGRADING) {
        done = noc_engine_take(client, event);
    }
    /* A close frame must not overtake a packet that waits for room for its answer. */
    if (done == NOC_STEP_WAIT && noc_engine_has_ws(client) && !client->wants_out) {
        done = noc_engine_ws_take(client);
    }
    if (done != NOC_STEP_WAIT) {
        return done;
    }
    if (client->is_lost) {
        return -NOC_CAUSE_LOST;
    }
    if (NOC_WITH_QOS) {
        noc_engine_pump(client);
        if (noc_engine_is_held(client) || client->state == NOC_CLIENT_CLOSING) {
            return NOC_STEP_ON;
        }
    }
    return NOC_STEP_WAIT;
}

bool noc_client_next(struct noc_client *client, uint32_t now_ms, struct noc_event *ret_event)
{
    int done;

    client->now_ms = now_ms;
    client->wants_out = false;
    if (client->state == NOC_CLIENT_IDLE) {
        return false;
    }
    check_time(client);
    do {
        /* Before all else: it knows of one message only. */
        if (NOC_WITH_QOS && NOC_WITH_SUBSCRIBE && !noc_engine_settle(client)) {
            return false;
        }
        memset(ret_event, 0, sizeof *ret_event);
        done = take_step(client, ret_event);
        if ((unsigned)done > NOC_STEP_EVENT && done != NOC_STEP_ON) {
            give_up(client, done);
            done = NOC_STEP_ON;
        }
    } while (done == NOC_STEP_ON);
    return done == NOC_STEP_EVENT;
}

/* ---- bytes ---- */

/* The end of what came. Without a WebSocket in_end is the same. */
static uint32_t *end_of_input(struct noc_client *client)
{
    return NOC_WITH_WEBSOCKET ? &client->raw_end : &client->in_end;
}

uint8_t *noc_client_room(struct noc_client *client, size_t *ret_n)
{
    uint32_t *end = end_of_input(client), gap = client->in_at;

    if (client->state == NOC_CLIENT_CLOSING || client->state == NOC_CLIENT_IDLE) {
        /* Nobody wants it any more. The reason of a WebSocket's end stands in front. */
        client->in_at = client->in_end = *end = NOC_WITH_WEBSOCKET ? NOC_ENGINE_WS_HELD : 0;
    } else if (gap > 0) {
        memmove(client->in, client->in + gap, *end - gap);
        client->in_at = 0;
        client->in_end -= gap;
        if (NOC_WITH_WEBSOCKET) {
            client->raw_end -= gap;
        }
    }
    *ret_n = client->in_room - *end;
    return client->in + *end;
}

void noc_client_received(struct noc_client *client, size_t n, uint32_t now_ms)
{
    if (n > 0 && client->state != NOC_CLIENT_CLOSING) {
        *end_of_input(client) += (uint32_t)n;
        if (!noc_engine_has_ws(client)) {
            client->in_end = *end_of_input(client);
        }
        client->received_ms = now_ms;
        if (client->state == NOC_CLIENT_OPEN) {
            client->asked_ms = now_ms; /* it is alive */
        }
    }
}

const uint8_t *noc_client_peek(struct noc_client *client, uint32_t now_ms, size_t *ret_n)
{
    client->now_ms = now_ms;
    if (NOC_WITH_QOS) {
        noc_engine_pump(client);
    }
    *ret_n = client->out_end - client->out_at;
    if (noc_engine_has_ws(client)) {
        noc_engine_ws_seal(client);
        *ret_n = client->out_framed - client->out_at;
    }
    return client->out + (int32_t)client->out_at;
}

void noc_client_sent(struct noc_client *client, size_t n, uint32_t now_ms)
{
    if (n > 0) {
        client->out_at += (uint32_t)n;
        if (!noc_engine_has_ws(client) || client->has_ws_data) {
            client->sent_ms = now_ms; /* a pong keeps nothing alive [MQTT-3.1.2-20] */
        }
        if (client->out_at == client->out_end) {
            noc_engine_empty(client);
        }
        if (client->ping == NOC_PING_STUCK) {
            client->ping = NOC_PING_NONE;
        }
    }
}
