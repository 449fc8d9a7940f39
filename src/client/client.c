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

static bool is_supported(const struct noc_client_options *options)
{
    return (NOC_WITH_V5 || options->version != 5) &&
           (NOC_WITH_WEBSOCKET || options->websocket == NULL) &&
           (NOC_WITH_QOS || options->outbox == NULL);
}

int noc_client_init(struct noc_client *client, const struct noc_client_options *options,
    uint8_t *in, size_t in_room, uint8_t *out, size_t out_room)
{
    size_t more = options->websocket != NULL ? WS_MORE : 0;

    if (in_room < IN_MIN + more || out_room < OUT_MIN + more || in_room > INT32_MAX ||
        out_room > INT32_MAX || options->version > 5 ||
        (options->version != 0 && options->version < 3) ||
        (options->websocket != NULL && options->random == NULL)) {
        return NOC_EINVAL;
    }
    if (!is_supported(options)) {
        return NOC_ENOTSUP;
    }
    memset(client, 0, sizeof *client);
    client->options = options;
    client->in = in;
    client->in_room = (uint32_t)in_room;
    client->out = out;
    client->out_room = (uint32_t)out_room;
    client->version = options->version == 0 ? NOC_V311 : options->version;
    client->packet_max = UINT32_MAX;
    client->server_packet_max = UINT32_MAX;
    if (noc_engine_box(client) != NULL) {
        client->last_id = options->outbox->newest_id;
    }
    if (NOC_WITH_QOS && NOC_WITH_SUBSCRIBE) {
        while (client->received_count < options->received_max &&
               options->received[client->received_count] != 0) {
            client->received_count++;
        }
    }
    return NOC_OK;
}

/* What was to go will not. */
static void drop_output(struct noc_client *client)
{
    client->out_at = client->out_end = client->out_framed = client->out_base;
    client->flow_at = 0;
    if (!client->is_boxed) {
        client->is_publishing = false;
    }
}

/* Forget what belonged to the connection before. */
static void clear_connection(struct noc_client *client)
{
    client->fault = NULL;
    client->in_at = client->in_end = client->raw_end = 0;
    client->out_base = noc_engine_has_ws(client) ? NOC_ENGINE_WS_BASE : 0;
    drop_output(client);
    client->subscribe_id = client->subscribe_count = 0;
    client->aliases_sent = 0;
    client->packet_max = UINT32_MAX;
    client->server_packet_max = UINT32_MAX;
    client->server_alias_max = 0;
    client->server_qos_max = 2;
    client->server_lacks = 0;
    client->ack_type = 0;
    client->ping = NOC_PING_NONE;
    client->is_lost = client->is_streaming = client->is_held = client->wants_out = false;
    client->is_authenticating = false;
    if (NOC_WITH_V5 && client->options->aliases != NULL) {
        memset(client->options->aliases->lengths, 0,
            client->options->aliases->count * sizeof client->options->aliases->lengths[0]);
    }
    memset(&client->cause, 0, sizeof client->cause);
}

int noc_client_start(struct noc_client *client, uint32_t now_ms)
{
    uint16_t inflight_max = client->options->inflight_max;
    int err;

    if (client->state != NOC_CLIENT_IDLE) {
        return NOC_EINVAL;
    }
    clear_connection(client);
    client->inflight_max = inflight_max == 0 ? INFLIGHT_MAX : inflight_max;
    client->now_ms = client->sent_ms = client->received_ms = client->asked_ms = now_ms;
    err = noc_engine_put_connect(client);
    if (err == NOC_OK && noc_engine_has_ws(client)) {
        /* Now it is known that CONNECT fits. It is written again when there is a WebSocket. */
        drop_output(client);
        err = noc_engine_ws_start(client);
    }
    if (err != NOC_OK) {
        client->state = NOC_CLIENT_IDLE;
    }
    return err;
}

void noc_client_lost(struct noc_client *client)
{
    client->is_lost = client->state != NOC_CLIENT_IDLE;
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

    return client->out_at == client->out_end && client->ack_type == 0 && !client->is_publishing &&
           (box == NULL || box->oldest_id == 0);
}

/* ---- the end of a connection ---- */

int noc_engine_event(struct noc_event *event, enum noc_event_kind kind)
{
    memset(event, 0, sizeof *event);
    event->kind = kind;
    return NOC_STEP_EVENT;
}

int noc_engine_close(struct noc_client *client, enum noc_cause_kind kind, unsigned code)
{
    if (client->state != NOC_CLIENT_CLOSING) {
        client->cause.kind = (uint8_t)kind;
        client->cause.code = (uint16_t)code;
        client->state = NOC_CLIENT_CLOSING;
        client->asked_ms = client->now_ms;
    }
    return NOC_STEP_ON;
}

int noc_engine_closed(struct noc_client *client, struct noc_event *event)
{
    noc_engine_event(event, NOC_EVENT_CLOSED);
    event->cause = client->cause;
    if (NOC_WITH_WEBSOCKET && client->cause.kind == NOC_CAUSE_WEBSOCKET) {
        event->payload = noc_slice(client->in, client->ws_held_n); /* see noc_client_room() */
    }
    client->state = NOC_CLIENT_IDLE;
    client->server_packet_max = UINT32_MAX;
    drop_output(client);
    return NOC_STEP_EVENT;
}

int noc_engine_fail(struct noc_client *client, uint8_t reason, const char *field)
{
    uint8_t *at = noc_engine_is_v5(client) ? noc_engine_room(client, 3) : NULL;

    client->fault = field;
    if (at != NULL) {
        at[0] = NOC_DISCONNECT << 4;
        at[1] = 1;
        at[2] = reason;
        noc_engine_added(client, 3);
    }
    return noc_engine_close(client, NOC_CAUSE_PROTOCOL, reason);
}

int noc_engine_fail_codec(struct noc_client *client, int err, const char *field)
{
    return noc_engine_fail(
        client, err == NOC_EMALFORMED ? NOC_RC_MALFORMED_PACKET : NOC_RC_PROTOCOL_ERROR, field);
}

/* ---- time ---- */

/* Milliseconds until something is due, 0 if it is. */
static uint32_t time_left(const struct noc_client *client, uint32_t now_ms)
{
    uint32_t since = client->asked_ms, whole;

    if (client->state != NOC_CLIENT_OPEN || client->ping != NOC_PING_NONE) {
        whole = client->options->answer_s == 0 ? ANSWER_S : client->options->answer_s;
    } else {
        whole = client->keep_alive_s;
        since = now_ms - client->sent_ms > now_ms - client->received_ms ? client->sent_ms
                                                                        : client->received_ms;
        if (whole == 0) {
            return UINT32_MAX;
        }
    }
    whole *= 1000;
    return now_ms - since < whole ? whole - (now_ms - since) : 0;
}

uint32_t noc_client_wait_ms(const struct noc_client *client, uint32_t now_ms)
{
    if (client->state == NOC_CLIENT_IDLE) {
        return UINT32_MAX;
    }
    if (client->is_lost || client->is_held ||
        (client->state == NOC_CLIENT_CLOSING && client->out_at == client->out_end)) {
        return 0;
    }
    return time_left(client, now_ms);
}

static void ping(struct noc_client *client)
{
    client->ping = noc_engine_put_ping(client) ? NOC_PING_SENT : NOC_PING_STUCK;
    client->asked_ms = client->now_ms;
}

int noc_client_ping(struct noc_client *client, uint32_t now_ms)
{
    client->now_ms = now_ms;
    if (client->state != NOC_CLIENT_OPEN) {
        return NOC_ECLOSED;
    }
    if (!noc_engine_put_ping(client)) {
        return NOC_EAGAIN;
    }
    client->ping = NOC_PING_SENT;
    client->asked_ms = now_ms;
    return NOC_OK;
}

/* Do what is due. */
static void check_time(struct noc_client *client)
{
    if (time_left(client, client->now_ms) > 0) {
        return;
    }
    if (client->state == NOC_CLIENT_OPEN && client->ping == NOC_PING_NONE) {
        ping(client);
        return;
    }
    client->is_lost = true; /* as good as that */
    noc_engine_close(client,
        client->state == NOC_CLIENT_OPEN         ? NOC_CAUSE_PING_TIMEOUT
        : client->state == NOC_CLIENT_CONNECTING ? NOC_CAUSE_CONNECT_TIMEOUT
                                                 : NOC_CAUSE_UPGRADE_TIMEOUT,
        0);
}

/* ---- the machine ---- */

/* Is all said that there was to say? */
static bool is_over(struct noc_client *client)
{
    return client->is_lost || ((!noc_engine_has_ws(client) || noc_engine_ws_bye(client)) &&
                                  client->out_at == client->out_end);
}

static int step(struct noc_client *client, struct noc_event *event)
{
    int done;

    if (client->state == NOC_CLIENT_CLOSING) {
        return is_over(client) ? noc_engine_closed(client, event) : NOC_STEP_WAIT;
    }
    if (NOC_WITH_QOS && client->is_held) {
        return noc_engine_take_held(client, event);
    }
    done = NOC_WITH_SUBSCRIBE && client->is_streaming ? noc_engine_take_chunk(client, event)
                                                      : noc_engine_take(client, event);
    if (done == NOC_STEP_WAIT && noc_engine_has_ws(client)) {
        done = noc_engine_ws_take(client, event);
    }
    if (done != NOC_STEP_WAIT) {
        return done;
    }
    if (client->is_lost) {
        return noc_engine_close(client, NOC_CAUSE_LOST, 0);
    }
    if (NOC_WITH_QOS) {
        noc_engine_pump(client);
    }
    return client->is_held || client->state == NOC_CLIENT_CLOSING ? NOC_STEP_ON : NOC_STEP_WAIT;
}

bool noc_client_next(struct noc_client *client, uint32_t now_ms, struct noc_event *ret_event)
{
    int done = NOC_STEP_ON;

    client->now_ms = now_ms;
    client->wants_out = false;
    if (client->state == NOC_CLIENT_IDLE) {
        return false;
    }
    check_time(client);
    if (NOC_WITH_QOS && NOC_WITH_SUBSCRIBE && !noc_engine_settle(client)) {
        return false;
    }
    while (done == NOC_STEP_ON) {
        done = step(client, ret_event);
    }
    return done == NOC_STEP_EVENT;
}

/* ---- bytes ---- */

uint8_t *noc_client_room(struct noc_client *client, size_t *ret_n)
{
    uint32_t end = noc_engine_has_ws(client) ? client->raw_end : client->in_end;
    uint32_t gap = client->in_at;

    if (client->state == NOC_CLIENT_CLOSING || client->state == NOC_CLIENT_IDLE) {
        /* Nobody wants it any more. The reason of a WebSocket's end stands in front. */
        end = noc_engine_has_ws(client) ? NOC_ENGINE_WS_HELD : 0;
    } else if (gap > 0) {
        end -= gap;
        memmove(client->in, client->in + gap, end);
        client->in_end -= gap;
        client->in_at = 0;
        client->raw_end = end;
        client->ws_held_at -= gap;
    }
    *ret_n = client->in_room - end;
    return client->in + end;
}

void noc_client_received(struct noc_client *client, size_t n, uint32_t now_ms)
{
    if (n == 0 || client->state == NOC_CLIENT_CLOSING || client->state == NOC_CLIENT_IDLE) {
        return;
    }
    if (noc_engine_has_ws(client)) {
        client->raw_end += (uint32_t)n;
    } else {
        client->in_end += (uint32_t)n;
    }
    client->received_ms = now_ms;
    if (client->state == NOC_CLIENT_OPEN) {
        client->asked_ms = now_ms; /* it is alive */
    }
}

const uint8_t *noc_client_peek(struct noc_client *client, uint32_t now_ms, size_t *ret_n)
{
    uint32_t end;

    client->now_ms = now_ms;
    if (NOC_WITH_QOS && !client->is_held) {
        noc_engine_pump(client);
    }
    if (noc_engine_has_ws(client)) {
        noc_engine_ws_seal(client);
    }
    end = noc_engine_has_ws(client) ? client->out_framed : client->out_end;
    *ret_n = end - client->out_at;
    return client->out + client->out_at;
}

void noc_client_sent(struct noc_client *client, size_t n, uint32_t now_ms)
{
    if (n == 0) {
        return;
    }
    client->out_at += (uint32_t)n;
    if (client->out_at == client->out_end) {
        client->out_at = client->out_end = client->out_framed = client->out_base;
    }
    client->sent_ms = now_ms;
    if (client->ping == NOC_PING_STUCK) {
        client->ping = NOC_PING_NONE;
    }
}
