/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client engine at work against a broker on this machine: over TCP and WebSocket, in version
 * 3.1.1 and 5. It subscribes, publishes to itself with QoS 0, 1 and 2, messages larger than its
 * buffers too, pings, unsubscribes and says goodbye.
 *
 * Once for each way it does so step by step, and writes a line for each event. Then it does most
 * of it at once, again and again, the line being cut after one more byte sent each time, then after
 * one more byte received; it comes back to its session and goes on. Nothing may be lost, and
 * nothing of QoS 2 may come twice.
 *
 * Standard input tells: a name that no other client of the broker has, and its ports for TCP
 * and for WebSocket. The last line says how often the line was cut, and how many bytes of stack
 * the engine took at most, the line's functions included. Status 1 when anything went wrong, which
 * the line before tells.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <noctule/client.h>

#include "base/macros.h"
#include "line.h"
#include "stack.h"

enum {
    BUFFER_BYTES = 512,
    LARGE = 560, /* payload of what does not fit */
    SMALL = 20,
    PIECE = 100, /* in which the large ones are given */
    PAINT_BYTES = 768,
    RECEIVED_MAX = 8,
    ANSWER_S = 60, /* however busy the machine is */
    WAIT_MS = 1000 * ANSWER_S,
    TEXT_MAX = 160
};

struct way {
    const char *name;
    uint8_t version;
    bool has_websocket;
};

static const struct way ways[] = {
    {"tcp 3.1.1", 4, false}, {"tcp 5", 5, false}, {"ws 3.1.1", 4, true}, {"ws 5", 5, true}};

enum { WAYS = sizeof ways / sizeof ways[0], MESSAGES = 6, CUT_MESSAGES = 4 };

/* What is published; with a cut line only the first. */
static const struct {
    uint8_t qos;
    uint16_t size;
} messages[MESSAGES] = {{0, SMALL}, {1, SMALL}, {2, SMALL}, {2, LARGE}, {1, LARGE}, {0, LARGE}};

enum stage { SUBSCRIBING, PUBLISHING, PINGING, UNSUBSCRIBING, LEAVING, DONE };

struct exchange {
    /* For all runs. */
    struct noc_client client;
    struct noc_client_options options;
    struct noc_client_websocket websocket;
    struct noc_ring_outbox ring;
    struct line line;
    uint32_t outbox[512];
    uint16_t received[RECEIVED_MAX];
    uint8_t in[BUFFER_BYTES], out[BUFFER_BYTES];
    uint8_t props[8];
    char id[TEXT_MAX]; /* of the client, and its topic: the name that it was given, and one more */
    size_t id_n;       /* of that name */
    const struct way *way;
    uint32_t random;
    size_t stack_max[2]; /* without and with WebSocket */
    bool is_wrong;       /* and that was said */

    /* For this one. */
    unsigned run; /* its number, in its messages */
    unsigned count;
    bool is_stepwise;   /* a line for each event, and one message after the other */
    bool has_connected; /* there is a session */
    bool is_back;       /* the line was cut, and opened again */
    enum stage stage;
    bool is_asked;   /* what the stage is about was sent, in this connection */
    unsigned given;  /* messages that the client has taken, */
    bool is_giving;  /* the next one is half taken, */
    size_t given_at; /* up to here */
    uint16_t ids[MESSAGES];
    uint8_t published[MESSAGES]; /* how often it told that this one is across, */
    uint8_t told[MESSAGES];      /* and how often it came */
    unsigned current;            /* the message that comes in chunks, */
    size_t current_at;           /* and how far it has */
};

static void say(const char *format, ...) NOC_PRINTF(1, 2);

static void say(const char *format, ...)
{
    char text[TEXT_MAX];
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof text || write(1, text, (size_t)n) != n) {
        abort();
    }
}

static void fail(struct exchange *x, const char *what)
{
    if (!x->is_wrong) {
        say("%s, run %u, stage %u: %s\n", x->way->name, x->run, (unsigned)x->stage, what);
    }
    x->is_wrong = true;
}

/* Do what calls the engine, and keep how deep it went. */
#define MEASURED(x, deed)                       \
    do {                                        \
        stack_paint(PAINT_BYTES);               \
        deed;                                   \
        note_stack(x, stack_used(PAINT_BYTES)); \
    } while (false)

static void note_stack(struct exchange *x, size_t n)
{
    size_t *max = &x->stack_max[x->way->has_websocket];

    *max = n > *max ? n : *max;
}

static uint32_t next_random(void *context)
{
    struct exchange *x = context;

    x->random = x->random * 1664525 + 1013904223;
    return x->random;
}

/* ---- messages ---- */

/* A byte of a payload: first which message, then which run. */
static uint8_t payload_byte(const struct exchange *x, unsigned message, size_t at)
{
    return (uint8_t)(at == 0 ? message : at == 1 ? x->run >> 8 : x->run + (at - 2) * (message + 7));
}

static void fill(const struct exchange *x, unsigned message, size_t at, uint8_t *piece, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        piece[i] = payload_byte(x, message, at + i);
    }
}

static void take_head(struct exchange *x, const struct noc_event *event)
{
    if (!noc_slice_equal(event->topic, x->options.client_id)) {
        fail(x, "a message of another topic");
    }
    x->current = MESSAGES;
    x->current_at = 0;
}

static void take_piece(struct exchange *x, struct noc_slice piece)
{
    for (size_t i = 0; i < piece.n; i++, x->current_at++) {
        uint8_t byte = (uint8_t)piece.at[i];

        if (x->current_at == 0) {
            x->current = byte;
        }
        if (x->current >= x->count || byte != payload_byte(x, x->current, x->current_at)) {
            fail(x, "a message that was not published");
            return;
        }
    }
}

static void take_end(struct exchange *x, const char *how)
{
    if (x->current >= x->count || x->current_at != messages[x->current].size) {
        fail(x, "a message of another size");
        return;
    }
    x->told[x->current]++;
    if (x->is_stepwise) {
        say("%s: message %u, QoS %u, %u bytes, %s\n", x->way->name, x->current,
            (unsigned)messages[x->current].qos, (unsigned)x->current_at, how);
    }
}

static void take_published(struct exchange *x, const struct noc_event *event)
{
    unsigned i = 0;

    while (i < x->given && (messages[i].qos == 0 || x->ids[i] != event->packet_id)) {
        i++;
    }
    if (i == x->given) {
        fail(x, "acknowledged what was not sent");
        return;
    }
    if (event->reason != NOC_RC_SUCCESS) {
        fail(x, "a message was refused");
    }
    x->published[i]++;
    if (x->is_stepwise) {
        say("%s: published %u\n", x->way->name, i);
    }
}

/* Has all that was given come back, and is it acknowledged? */
static bool is_across(const struct exchange *x)
{
    for (unsigned i = 0; i < x->given; i++) {
        if (x->published[i] == 0 && messages[i].qos > 0) {
            return false;
        }
        if (x->told[i] == 0 && (messages[i].qos > 0 || x->is_stepwise)) {
            return false;
        }
    }
    return true;
}

/* ---- events ---- */

static void take_connected(struct exchange *x, const struct noc_event *event)
{
    if (x->has_connected && !event->session_present) {
        fail(x, "the session is gone");
    }
    x->has_connected = true;
    x->line.is_gentle = false;
    if (x->is_stepwise) {
        say("%s: connected, session %u\n", x->way->name, (unsigned)event->session_present);
    }
}

static void take_closed(struct exchange *x, const struct noc_event *event)
{
    x->line.transport.close(&x->line.transport);
    x->is_asked = false;
    if (event->cause.kind == NOC_CAUSE_ASKED) {
        x->stage = DONE;
    } else if (event->cause.kind != NOC_CAUSE_LOST || !x->line.is_cut) {
        fail(x, noc_cause_text(&event->cause));
    }
    if (x->is_stepwise) {
        say("%s: %s\n", x->way->name, noc_cause_text(&event->cause));
    }
}

/* What the stage was about is done. */
static void pass(struct exchange *x, enum stage stage, const char *what)
{
    if (x->stage != stage || !x->is_asked) {
        fail(x, "an answer to nothing");
    }
    if (x->is_stepwise) {
        say("%s: %s\n", x->way->name, what);
    }
    x->stage = (enum stage)(stage + 1);
    x->is_asked = false;
}

static void take(struct exchange *x, const struct noc_event *event)
{
    switch (event->kind) {
    case NOC_EVENT_CONNECTED:
        take_connected(x, event);
        break;
    case NOC_EVENT_MESSAGE:
        take_head(x, event);
        take_piece(x, event->payload);
        take_end(x, "in one piece");
        break;
    case NOC_EVENT_MESSAGE_BEGIN:
        take_head(x, event);
        break;
    case NOC_EVENT_MESSAGE_CHUNK:
        take_piece(x, event->payload);
        break;
    case NOC_EVENT_MESSAGE_END:
        take_end(x, "in chunks");
        break;
    case NOC_EVENT_PUBLISHED:
        take_published(x, event);
        break;
    case NOC_EVENT_SUBSCRIBED:
        if (event->payload.n != 1 || event->payload.at[0] != 2) {
            fail(x, "subscribed with another QoS");
        }
        pass(x, SUBSCRIBING, "subscribed");
        break;
    case NOC_EVENT_UNSUBSCRIBED:
        pass(x, UNSUBSCRIBING, "unsubscribed");
        break;
    case NOC_EVENT_PONG:
        pass(x, PINGING, "pong");
        break;
    case NOC_EVENT_CLOSED:
        take_closed(x, event);
        break;
    case NOC_EVENT_AUTHENTICATED:
    default:
        fail(x, "an event that nobody asked for");
        break;
    }
}

/* ---- what is asked for ---- */

/* The next message, or the next pieces of it. NOC_OK: all of it was taken. */
static int give(struct exchange *x)
{
    unsigned i = x->given;
    uint8_t piece[PIECE];
    struct noc_client_message message = {.topic = x->options.client_id,
        .payload = noc_slice(piece, messages[i].size),
        .qos = messages[i].qos};
    int done = NOC_OK;

    if (messages[i].size <= sizeof piece) {
        fill(x, i, 0, piece, messages[i].size);
        MEASURED(x, done = noc_client_publish(&x->client, &message, &x->ids[i]));
        return done;
    }
    if (!x->is_giving) {
        MEASURED(x, done = noc_client_publish_begin(&x->client, &message, &x->ids[i]));
        x->is_giving = done == NOC_OK;
        x->given_at = 0;
    }
    while (done >= 0 && x->given_at < messages[i].size) {
        size_t n = messages[i].size - x->given_at;

        n = n < sizeof piece ? n : sizeof piece;
        fill(x, i, x->given_at, piece, n);
        MEASURED(x, done = noc_client_publish_chunk(&x->client, piece, n));
        if (done == 0) {
            return NOC_EAGAIN;
        }
        x->given_at += done > 0 ? (size_t)done : 0;
    }
    return done < 0 ? done : NOC_OK;
}

static int give_all(struct exchange *x)
{
    int err = NOC_OK;

    while (err == NOC_OK && x->given < x->count && (!x->is_stepwise || is_across(x))) {
        err = give(x);
        if (err == NOC_OK) {
            x->given++;
            x->is_giving = false;
        }
    }
    if (err == NOC_OK && x->given == x->count && is_across(x)) {
        x->stage = PINGING;
    }
    return err;
}

static int subscribe(struct exchange *x)
{
    struct noc_client_filter filter = {.filter = x->options.client_id, .options = 2};
    int err;

    MEASURED(x, err = noc_client_subscribe(&x->client, &filter, 1, noc_slice_of(NULL), NULL));
    return err;
}

static int unsubscribe(struct exchange *x)
{
    int err;

    MEASURED(x, err = noc_client_unsubscribe(
                    &x->client, &x->options.client_id, 1, noc_slice_of(NULL), NULL));
    return err;
}

static int leave(struct exchange *x)
{
    int err;

    MEASURED(x, err = noc_client_disconnect(&x->client, 0, noc_slice_of(NULL), line_now_ms()));
    return err;
}

/* Ask for what comes next, if it was not yet and can be now. False: there was no room for it. */
static bool ask(struct exchange *x)
{
    int err = NOC_OK;

    if (noc_client_state(&x->client) != NOC_CLIENT_OPEN) {
        return true;
    }
    if (x->stage == PUBLISHING) {
        err = give_all(x);
    }
    if (x->stage != PUBLISHING && !x->is_asked && (x->stage != LEAVING || x->received[0] == 0)) {
        /* With nothing left in the session the next run finds it like new. */
        err = x->stage == SUBSCRIBING     ? subscribe(x)
              : x->stage == PINGING       ? noc_client_ping(&x->client, line_now_ms())
              : x->stage == UNSUBSCRIBING ? unsubscribe(x)
                                          : leave(x);
        x->is_asked = err == NOC_OK;
    }
    if (err != NOC_OK && err != NOC_EAGAIN) {
        fail(x, noc_error_text(err));
    }
    return err == NOC_OK;
}

/* ---- runs ---- */

static void come_back(struct exchange *x)
{
    int err = x->line.transport.open(&x->line.transport, WAIT_MS);

    /* Or the server may see the CONNECT of a line that was cut after that of the next one. */
    x->line.is_gentle = true;
    if (err == NOC_OK) {
        MEASURED(x, err = noc_client_start(&x->client, line_now_ms()));
    }
    if (err != NOC_OK) {
        fail(x, "cannot connect");
    }
}

/* One turn, in which at most that time nothing happens, and its events. False: that was too long. */
static bool turn(struct exchange *x, uint32_t timeout_ms)
{
    uint32_t start_ms = line_now_ms();
    struct noc_event event;
    bool is_event, was_event = false;

    MEASURED(x, noc_client_turn(&x->client, &x->line.transport, line_now_ms, timeout_ms));
    for (;;) {
        MEASURED(x, is_event = noc_client_next(&x->client, line_now_ms(), &event));
        if (!is_event) {
            break;
        }
        take(x, &event);
        was_event = true;
    }
    return was_event || line_now_ms() - start_ms < WAIT_MS;
}

/* Something came more or less often than it may. */
static void check_counts(struct exchange *x)
{
    for (unsigned i = 0; i < x->count; i++) {
        unsigned qos = messages[i].qos, told = x->told[i];

        if (x->published[i] != (qos > 0 ? 1 : 0)) {
            fail(x, "not told once that a message is across");
        }
        if (told == 0 && (qos > 0 || x->is_stepwise)) {
            fail(x, "a message is lost");
        }
        if (told > 1 && (qos != 1 || x->is_stepwise)) {
            fail(x, "a message came twice");
        }
    }
}

/* An exchange. Returns whether the line was cut. */
static bool run(struct exchange *x, bool is_stepwise, uint32_t sent_left, uint32_t received_left)
{
    unsigned number = x->run + 1;
    uint16_t port = x->line.port;
    bool was_cut;

    memset(&x->run, 0, sizeof *x - offsetof(struct exchange, run));
    x->run = number;
    x->is_stepwise = is_stepwise;
    x->count = is_stepwise ? MESSAGES : CUT_MESSAGES;
    x->options.keep_session = x->way->version < 5;
    x->line.sent_left = sent_left;
    x->line.received_left = received_left;
    come_back(x);
    while (x->stage != DONE && !x->is_wrong) {
        if (!turn(x, ask(x) ? WAIT_MS : 0)) {
            fail(x, "nothing comes any more");
        }
        if (x->stage != DONE && noc_client_state(&x->client) == NOC_CLIENT_IDLE) {
            x->is_back = true;
            line_init(&x->line, port);
            x->options.keep_session = true;
            come_back(x);
        }
    }
    check_counts(x);
    was_cut = x->is_back || x->line.is_cut;
    line_init(&x->line, port);
    return was_cut;
}

/* The line is cut one byte later each time, until that is too late. Returns how often. */
static unsigned run_cuts(struct exchange *x, bool is_sent)
{
    uint32_t at = 0;

    while (run(x, false, is_sent ? at : LINE_NEVER, is_sent ? LINE_NEVER : at) && !x->is_wrong) {
        at++;
    }
    if (at <= LARGE) {
        fail(x, "the line was not cut often enough");
    }
    if (!x->is_wrong) {
        say("%s: cut after each byte %s, nothing lost, nothing twice\n", x->way->name,
            is_sent ? "sent" : "received");
    }
    return at;
}

static unsigned run_way(struct exchange *x, const struct way *way, uint16_t port)
{
    unsigned cuts;

    x->way = way;
    x->id[x->id_n] = (char)('a' + (way - ways));
    x->options.client_id = noc_slice(x->id, x->id_n + 1);
    x->options.version = way->version;
    x->options.websocket = way->has_websocket ? &x->websocket : NULL;
    x->options.connect_props = noc_slice_of(NULL);
    if (way->version == 5) {
        uint8_t *end = noc_prop_put_u32(x->props, NOC_PROP_SESSION_EXPIRY, UINT32_MAX);

        x->options.connect_props = noc_slice(x->props, (size_t)(end - x->props));
    }
    line_init(&x->line, port);
    if (noc_client_init(&x->client, &x->options, x->in, sizeof x->in, x->out, sizeof x->out) !=
        NOC_OK) {
        fail(x, "wrong options");
        return 0;
    }
    run(x, true, LINE_NEVER, LINE_NEVER);
    cuts = x->is_wrong ? 0 : run_cuts(x, true);
    cuts += x->is_wrong ? 0 : run_cuts(x, false);
    return cuts;
}

/* ---- what it is told ---- */

/* Cut the next word off, into room that takes all of it. */
static char *next_word(char **rest)
{
    char *word = *rest;

    while (**rest > ' ') {
        (*rest)++;
    }
    if (**rest != '\0') {
        *(*rest)++ = '\0';
    }
    return word;
}

static uint16_t to_port(const char *digits)
{
    unsigned port = 0;

    for (; *digits >= '0' && *digits <= '9'; digits++) {
        port = port * 10 + (unsigned)(*digits - '0');
    }
    return (uint16_t)port;
}

static void read_all(char *text, size_t room)
{
    size_t n = 0;
    long got;

    while (n + 1 < room && (got = (long)read(0, text + n, room - 1 - n)) > 0) {
        n += (size_t)got;
    }
    text[n] = '\0';
}

int main(void)
{
    static struct exchange x;
    uint16_t ports[2];
    char told[TEXT_MAX], *rest = told;
    unsigned cuts = 0;

    read_all(told, sizeof told);
    next_word(&rest);
    x.id_n = strlen(told);
    memcpy(x.id, told, x.id_n);
    ports[0] = to_port(next_word(&rest));
    ports[1] = to_port(next_word(&rest));
    x.websocket.host = noc_slice_of("127.0.0.1");
    x.options.outbox = noc_ring_outbox_init(&x.ring, x.outbox, sizeof x.outbox);
    x.options.received = x.received;
    x.options.received_max = RECEIVED_MAX;
    x.options.keep_alive_s = NOC_KEEP_ALIVE_OFF;
    x.options.answer_s = ANSWER_S;
    x.options.random = next_random;
    x.options.context = &x;
    for (unsigned i = 0; i < WAYS && !x.is_wrong; i++) {
        cuts += run_way(&x, &ways[i], ports[ways[i].has_websocket]);
    }
    say("%u cuts, %u bytes of stack, %u with WebSocket\n", cuts, (unsigned)x.stack_max[0],
        (unsigned)x.stack_max[1]);
    return x.is_wrong ? 1 : 0;
}
