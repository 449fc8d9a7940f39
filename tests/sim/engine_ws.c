/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A gateway between an engine that speaks WebSocket and the wire, made of the broker's side of
 * src/ws. As a proxy may, it puts what the broker says in frames of any size, those of one packet
 * in several messages or one message in several frames, with pings between them; and says
 * goodbye, or does not.
 *
 *   noc_client ══frames══► decoder ──bytes──► tap ══► wire
 *   noc_client ◄══ framed ◄── wrapping ◄──bytes── tap ◄══ wire
 */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "engine.h"
#include "ws/handshake.h"
#include "ws/sha1.h"

static void check(const struct sim_client *client, bool is_right, const char *rule)
{
    sim_engine_check(client, is_right, rule);
}

static uint32_t draw_bits(void *context)
{
    return (uint32_t)sim_random(sim_chance_of(context));
}

void sim_ws_init(struct sim_client *client)
{
    struct sim_engine *engine = client->engine;

    engine->ws.is_on = true;
    engine->ws.options = (struct noc_client_websocket){.host = noc_slice_of("sim")};
    engine->options.websocket = &engine->ws.options;
    engine->options.random = draw_bits;
    engine->options.context = client;
}

void sim_ws_reset(struct sim_ws *ws)
{
    ws->is_open = ws->is_closed = ws->has_closed = ws->is_in_message = ws->is_pinging = false;
    sim_pipe_drop(&ws->head, ws->head.n);
    sim_pipe_drop(&ws->framed, ws->framed.n);
    noc_ws_decoder_init(&ws->decoder, NOC_WS_SERVER, false);
}

void sim_ws_done(struct sim_ws *ws)
{
    free(ws->head.bytes);
    free(ws->framed.bytes);
}

/* ---- what the engine says ---- */

static int sha1(const void *at, size_t n, uint8_t ret_digest[20])
{
    uint32_t words[NOC_SHA1_ROOM];
    const uint32_t *hash;
    char text[64];

    if (n < 56 || n >= sizeof text) {
        abort(); /* ws/sha1 is made for the handshake only */
    }
    memcpy(text, at, n);
    text[n] = '\x80';
    hash = noc_sha1(text, (unsigned)n, words);
    for (size_t i = 0; i < NOC_SHA1_WORDS; i++) {
        noc_put_u32(ret_digest + 4 * i, hash[i]);
    }
    return NOC_OK;
}

static void take_request(struct sim_client *client, const uint8_t *bytes, size_t n)
{
    static const struct noc_ws_options options = {0};
    struct sim_ws *ws = &client->engine->ws;
    struct noc_ws_request request = {0};
    struct noc_ws_decision decision;
    const struct noc_ws_refusal *refusal;
    char accept[NOC_WS_ACCEPT_SIZE], answer[NOC_WS_ACCEPT_ROOM];
    int size;

    sim_pipe_put(&ws->head, bytes, n);
    size = noc_ws_request_parse(&request, sim_pipe_peek(&ws->head), ws->head.n, &refusal);
    check(client, size >= 0, "its upgrade is no request");
    if (size == 0) {
        return;
    }
    check(client, (size_t)size == ws->head.n, "it does not wait for the answer to its upgrade");
    check(client, noc_ws_request_decide(&request, &options, &decision) == NOC_OK,
        "its upgrade is refused");
    if (noc_ws_accept_compute(sha1, request.key, accept) != NOC_OK) {
        abort();
    }
    sim_pipe_put(&ws->framed, answer,
        noc_ws_accept_write(answer, sizeof answer, accept, decision.subprotocol));
    ws->is_open = true;
}

static void take_frames(struct sim_client *client, uint8_t *bytes, size_t n)
{
    struct sim_ws *ws = &client->engine->ws;
    struct noc_ws_event event;
    size_t used;

    while (n > 0) {
        if (noc_ws_decode(&ws->decoder, bytes, n, &used, &event) != NOC_OK) {
            sim_fail(client->world, "engine of client %s: frames: %s", client->id,
                ws->is_closed ? "something behind the close frame"
                              : noc_ws_decoder_fault_text(&ws->decoder));
        }
        if (event.kind == NOC_WS_EVENT_DATA) {
            sim_tap_say(client, event.at, event.n);
        } else if (event.kind == NOC_WS_EVENT_PONG) {
            check(client,
                ws->is_pinging && event.n == ws->ping_n && memcmp(event.at, ws->ping, event.n) == 0,
                "a pong that answers no ping");
            ws->is_pinging = false;
        } else if (event.kind == NOC_WS_EVENT_CLOSE) {
            ws->is_closed = true;
        } else {
            check(client, event.kind == NOC_WS_EVENT_NONE, "a ping that it has no need of");
        }
        bytes += used;
        n -= used;
    }
}

void sim_ws_say(struct sim_client *client, const uint8_t *bytes, size_t n)
{
    uint8_t *copy;

    if (!client->engine->ws.is_open) {
        take_request(client, bytes, n);
        return;
    }
    copy = sim_alloc(n); /* it is unmasked where it lies */
    memcpy(copy, bytes, n);
    take_frames(client, copy, n);
    free(copy);
}

/* ---- what the engine hears ---- */

static void put_ping(struct sim_client *client)
{
    struct sim_ws *ws = &client->engine->ws;
    uint8_t frame[NOC_WS_CONTROL_ROOM];

    ws->ping_n = (uint8_t)sim_below(sim_chance_of(client), sizeof ws->ping + 1);
    for (size_t i = 0; i < ws->ping_n; i++) {
        ws->ping[i] = (uint8_t)sim_random(sim_chance_of(client));
    }
    ws->is_pinging = true;
    sim_pipe_put(
        &ws->framed, frame, noc_ws_ping_write(frame, noc_slice(ws->ping, ws->ping_n), NULL));
}

size_t sim_ws_wrap(struct sim_client *client, const uint8_t *bytes, size_t n)
{
    struct sim_ws *ws = &client->engine->ws;
    struct sim_random *random = sim_chance_of(client);
    bool is_last = sim_chance(random, 700);
    uint8_t head[NOC_WS_FRAME_HEAD_MAX];

    if (!ws->is_open || ws->framed.n > 0) {
        return 0;
    }
    if (!ws->is_pinging && client->world->is_active && sim_chance(random, 100)) {
        put_ping(client);
    }
    if (n == 0) {
        return 0;
    }
    if (sim_chance(random, 500)) {
        n = 1 + sim_below(random, (unsigned)n);
    }
    sim_pipe_put(&ws->framed, head,
        noc_ws_frame_head(
            head, ws->is_in_message ? NOC_WS_CONTINUATION : NOC_WS_BINARY, is_last, n, NULL));
    sim_pipe_put(&ws->framed, bytes, n);
    ws->is_in_message = !is_last;
    return n;
}

bool sim_ws_end(struct sim_client *client)
{
    static const unsigned codes[] = {
        NOC_WS_CLOSE_NORMAL, NOC_WS_CLOSE_GOING_AWAY, NOC_WS_CLOSE_NO_CODE};
    struct sim_ws *ws = &client->engine->ws;
    struct sim_random *random = sim_chance_of(client);
    uint8_t frame[NOC_WS_CONTROL_ROOM];

    if (ws->framed.n > 0) {
        return false;
    }
    if (!ws->is_open || ws->has_closed || sim_chance(random, 500)) {
        return true;
    }
    ws->has_closed = true;
    sim_pipe_put(&ws->framed, frame,
        noc_ws_close_write(frame, codes[sim_below(random, NOC_COUNT(codes))],
            noc_slice_of("the broker has gone"), NULL));
    return false;
}
