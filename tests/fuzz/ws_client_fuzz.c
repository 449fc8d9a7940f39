/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a server, or a proxy, sends to a WebSocket client. The first byte of the
 * input chooses how the rest comes in parts, the second how large the buffer
 * is. The rest is read as an answer, and as frames: what is made of them must
 * not depend on the parts, and of frames it must be what the broker's own
 * decoder makes of them.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ws/client.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

enum { INPUT_MAX = 4096, ROOM_MIN = 64, KEEP = 16 };

/* All that was heard, in order: data as it is, other events behind their kind. */
struct tape {
    uint8_t at[4 * INPUT_MAX];
    size_t n;
    int err;
    unsigned code;
};

static void check(bool is_right)
{
    if (!is_right) {
        abort();
    }
}

static void tape_put(struct tape *tape, const void *bytes, size_t n)
{
    check(n <= sizeof tape->at - tape->n);
    if (n > 0) {
        memcpy(tape->at + tape->n, bytes, n);
        tape->n += n;
    }
}

static void tape_control(
    struct tape *tape, unsigned opcode, unsigned code, const void *bytes, size_t n)
{
    uint8_t head[4] = {(uint8_t)opcode, (uint8_t)n, (uint8_t)(code >> 8), (uint8_t)code};

    tape_put(tape, head, sizeof head);
    tape_put(tape, bytes, n);
}

static bool is_same(const struct tape *a, const struct tape *b)
{
    return a->n == b->n && memcmp(a->at, b->at, a->n) == 0;
}

/* ---- the answer ---- */

static void on_header(void *context, struct noc_slice line)
{
    tape_put(context, line.at, line.n);
    tape_put(context, "\n", 1);
}

/* Returns the bytes of the head, 0 or an error. */
static int read_answer(struct noc_ws_answer *answer, struct tape *tape, const uint8_t *bytes,
    size_t n, size_t step, size_t room)
{
    const struct noc_client_websocket options = {.host = noc_slice_of("h"), .on_header = on_header};
    uint8_t request[256], *buffer = malloc(room);
    size_t held = 0, given = 0;
    int used = 0;

    check(buffer != NULL);
    tape->n = 0;
    memset(answer, 0, sizeof *answer);
    check(noc_ws_ask(answer, &options, request, sizeof request) > 0);
    while (given < n && used >= 0 && answer->kind == NOC_WS_ANSWER_PENDING) {
        size_t part = step < n - given ? step : n - given;

        part = part < room - held ? part : room - held;
        memcpy(buffer + held, bytes + given, part);
        given += part;
        held += part;
        do {
            used = noc_ws_answer_read(answer, &options, tape, buffer, held, held == room);
            if (used >= 0) {
                check((size_t)used <= held);
                held -= (size_t)used;
                memmove(buffer, buffer + used, held);
                check(held < room || answer->kind != NOC_WS_ANSWER_PENDING);
            }
        } while (used > 0 && answer->kind == NOC_WS_ANSWER_PENDING);
    }
    free(buffer);
    check(answer->kind <= NOC_WS_ANSWER_GOOD);
    check(answer->kind == NOC_WS_ANSWER_PENDING || answer->status > 0);
    return used < 0 ? used : answer->kind == NOC_WS_ANSWER_PENDING ? 0 : (int)(given - held);
}

static void run_answer(const uint8_t *bytes, size_t n, size_t step, size_t room)
{
    static struct tape whole, parts;
    struct noc_ws_answer one, other;
    int used = read_answer(&one, &whole, bytes, n, n, n + 1);

    check(read_answer(&other, &parts, bytes, n, step, n + 1) == used);
    check(one.kind == other.kind && one.status == other.status);
    check(one.retry_after_s == other.retry_after_s);
    check(used < 0 || is_same(&whole, &parts));
    (void)read_answer(&other, &parts, bytes, n, step, room);
}

/* ---- frames ---- */

static void read_frames(
    struct tape *tape, const uint8_t *bytes, size_t n, size_t step, size_t room, size_t keep)
{
    struct noc_ws_reader reader = {0};
    uint8_t *buffer = malloc(room);
    uint32_t plain_n = 0, held = 0;
    size_t given = 0;
    int opcode = 0;

    check(buffer != NULL);
    tape->n = 0;
    do {
        size_t part = step < n - given ? step : n - given;

        part = part < room - held ? part : room - held;
        memcpy(buffer + held, bytes + given, part);
        given += part;
        held += (uint32_t)part;
        opcode = noc_ws_read(&reader, buffer, &plain_n, &held);
        check(plain_n <= held && held <= room);
        check(opcode > 0 || held - plain_n < NOC_WS_CONTROL_MAX + 2 || opcode < 0);
        if (plain_n > keep || opcode != 0 || given == n) {
            tape_put(tape, buffer, plain_n);
            memmove(buffer, buffer + plain_n, held - plain_n);
            held -= plain_n;
            plain_n = 0;
        }
        if (opcode > 0) {
            size_t payload_n = reader.held - NOC_WS_HELD_HEAD;
            size_t code_n = opcode == NOC_WS_CLOSE && payload_n > 1 ? 2 : 0;

            tape_control(tape, (unsigned)opcode, opcode == NOC_WS_CLOSE ? reader.code : 0,
                buffer + NOC_WS_HELD_HEAD + code_n, payload_n - code_n);
            reader.done = reader.held;
        }
    } while (opcode >= 0 && opcode != NOC_WS_CLOSE && (given < n || opcode > 0));
    tape->err = opcode < 0 ? opcode : NOC_OK;
    tape->code = reader.code;
    free(buffer);
}

/* What the broker's decoder makes of it. False: it is stricter than a client's reader. */
static bool decode(struct tape *tape, const uint8_t *bytes, size_t n)
{
    uint8_t *copy = malloc(n + 1);
    struct noc_ws_decoder decoder;
    size_t done = 0;

    check(copy != NULL);
    memcpy(copy, bytes, n);
    tape->n = 0;
    tape->err = NOC_OK;
    noc_ws_decoder_init(&decoder, NOC_WS_CLIENT, false);
    while (done < n && tape->err == NOC_OK) {
        struct noc_ws_event event;
        size_t used = 0;

        tape->err = noc_ws_decode(&decoder, copy + done, n - done, &used, &event);
        if (tape->err < 0 || event.kind == NOC_WS_EVENT_NONE) {
            break;
        }
        done += used;
        if (event.kind == NOC_WS_EVENT_DATA) {
            tape_put(tape, event.at, event.n);
        } else {
            unsigned opcode = event.kind == NOC_WS_EVENT_PING   ? NOC_WS_PING
                              : event.kind == NOC_WS_EVENT_PONG ? NOC_WS_PONG
                                                                : NOC_WS_CLOSE;

            tape_control(tape, opcode, event.code, event.at, event.n);
        }
    }
    tape->code = noc_ws_decoder_close_code(&decoder);
    free(copy);
    return tape->err == NOC_OK || decoder.fault < NOC_WS_FAULT_CLOSE_LENGTH;
}

static void run_frames(const uint8_t *bytes, size_t n, size_t step)
{
    static struct tape whole, parts, brokers;
    bool is_alike = decode(&brokers, bytes, n);

    read_frames(&whole, bytes, n, n, n + 1, 0);
    read_frames(&parts, bytes, n, step, KEEP + 1 + NOC_WS_CONTROL_MAX + step, KEEP);
    check(is_same(&whole, &parts) && whole.code == parts.code);
    check((whole.err == NOC_EPROTO) == (parts.err == NOC_EPROTO));
    if (whole.err == NOC_EPROTO) {
        check(brokers.err == NOC_EPROTO || whole.code == NOC_WS_CLOSE_TOO_BIG);
        check(whole.code >= NOC_WS_CLOSE_PROTOCOL);
    } else if (is_alike && brokers.err != NOC_EPROTO) {
        check(is_same(&whole, &brokers));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    size_t step, room;

    if (n < 3 || n > INPUT_MAX) {
        return 0;
    }
    step = 1 + bytes[0] % 32;
    room = ROOM_MIN + bytes[1];
    run_answer(bytes + 2, n - 2, step, room);
    run_frames(bytes + 2, n - 2, step);
    return 0;
}
