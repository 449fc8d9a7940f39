/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "kit.h"

static uint32_t kit_random(void *context)
{
    struct kit *kit = context;

    kit->random = kit->random * 1664525 + 1013904223;
    return kit->random;
}

void kit_init(struct kit *kit)
{
    memset(kit, 0, sizeof *kit);
    kit->options.client_id = noc_slice_of("me");
    kit->options.random = kit_random;
    kit->options.context = kit;
    kit->now_ms = UINT32_MAX - 1000; /* so that it wraps around */
}

void kit_open(struct kit *kit, size_t in_room, size_t out_room)
{
    free(kit->in);
    free(kit->out);
    kit->in = malloc(in_room);
    kit->out = malloc(out_room);
    assert_non_null(kit->in);
    assert_non_null(kit->out);
    assert_int_equal(
        noc_client_init(&kit->client, &kit->options, kit->in, in_room, kit->out, out_room), NOC_OK);
}

void kit_done(struct kit *kit)
{
    free(kit->in);
    free(kit->out);
    kit->in = kit->out = NULL;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

size_t kit_bytes(const char *text, uint8_t *ret_bytes, size_t room)
{
    size_t n = 0;

    while (*text != '\0') {
        if (*text == ' ') {
            text++;
        } else if (*text == '\'') {
            for (text++; *text != '\''; text++) {
                assert_true(*text != '\0' && n < room);
                ret_bytes[n++] = (uint8_t)*text;
            }
            text++;
        } else {
            assert_true(hex_digit(text[0]) >= 0 && hex_digit(text[1]) >= 0 && n < room);
            ret_bytes[n++] = (uint8_t)(hex_digit(text[0]) << 4 | hex_digit(text[1]));
            text += 2;
        }
    }
    return n;
}

NOC_PRINTF(2, 3) static void say(struct kit *kit, const char *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(kit->events + kit->events_n, KIT_TEXT_MAX - kit->events_n, format, args);
    va_end(args);
    assert_true(n >= 0 && (size_t)n < KIT_TEXT_MAX - kit->events_n);
    kit->events_n += (size_t)n;
}

static void say_message(struct kit *kit, const struct noc_event *event)
{
    say(kit, "message %.*s q%u%s%s", NOC_SLICE_ARG(event->topic), event->qos,
        event->retain ? " retain" : "", event->dup ? " dup" : "");
    if (event->qos > 0) {
        say(kit, " id %u", event->packet_id);
    }
    say(kit, " %u:", event->size);
}

/* The payload of chunks is told where the message ends. */
static void say_chunks(struct kit *kit, const struct noc_event *event)
{
    assert_true(event->payload.n <= KIT_TEXT_MAX - kit->chunks_n);
    memcpy(kit->chunks + kit->chunks_n, event->payload.at, event->payload.n);
    kit->chunks_n += event->payload.n;
}

static void say_codes(struct kit *kit, const char *what, const struct noc_event *event)
{
    say(kit, "%s %u", what, event->packet_id);
    for (size_t i = 0; i < event->payload.n; i++) {
        say(kit, " %02x", (uint8_t)event->payload.at[i]);
    }
    say(kit, "\n");
}

static void say_event(struct kit *kit, const struct noc_event *event)
{
    switch (event->kind) {
    case NOC_EVENT_CONNECTED:
        say(kit, "connected%s\n", event->session_present ? " present" : "");
        break;
    case NOC_EVENT_MESSAGE:
        say_message(kit, event);
        say(kit, "%.*s\n", NOC_SLICE_ARG(event->payload));
        assert_int_equal(event->size, event->payload.n);
        break;
    case NOC_EVENT_MESSAGE_BEGIN:
        say_message(kit, event);
        if (!kit->joins_chunks) {
            say(kit, "...\n");
        }
        kit->chunks_n = 0;
        break;
    case NOC_EVENT_MESSAGE_CHUNK:
        assert_true(event->payload.n > 0);
        say_chunks(kit, event);
        break;
    case NOC_EVENT_MESSAGE_END:
        say(kit, "%s%.*s\n", kit->joins_chunks ? "" : "end ", (int)kit->chunks_n, kit->chunks);
        break;
    case NOC_EVENT_PUBLISHED:
        say(kit, "published %u %02x\n", event->packet_id, event->reason);
        break;
    case NOC_EVENT_SUBSCRIBED:
        say_codes(kit, "subscribed", event);
        break;
    case NOC_EVENT_UNSUBSCRIBED:
        say_codes(kit, "unsubscribed", event);
        break;
    case NOC_EVENT_PONG:
        say(kit, "pong\n");
        break;
    case NOC_EVENT_AUTHENTICATED:
        say(kit, "authenticated\n");
        break;
    case NOC_EVENT_CLOSED:
        say(kit, "closed %u %u: %.*s\n", event->cause.kind, event->cause.code,
            NOC_SLICE_ARG(event->payload));
        break;
    default:
        fail();
    }
    kit->last = *event;
}

/* Write what is there to be written. False: nothing was. */
static bool run_out(struct kit *kit)
{
    size_t n;
    const uint8_t *bytes = noc_client_peek(&kit->client, kit->now_ms, &n);

    if (kit->is_stuck || n == 0) {
        return false;
    }
    n = kit->piece > 0 && kit->piece < n ? kit->piece : n;
    assert_true(n <= KIT_WIRE_MAX - kit->wire_n);
    memcpy(kit->wire + kit->wire_n, bytes, n);
    kit->wire_n += n;
    noc_client_sent(&kit->client, n, kit->now_ms);
    return true;
}

void kit_run(struct kit *kit)
{
    struct noc_event event;
    bool is_more = true;

    while (is_more) {
        is_more = false;
        while (noc_client_next(&kit->client, kit->now_ms, &event)) {
            say_event(kit, &event);
            is_more = true;
        }
        is_more |= run_out(kit);
    }
}

size_t kit_feed_bytes(struct kit *kit, const uint8_t *bytes, size_t n)
{
    size_t at = 0, room;

    while (at < n) {
        uint8_t *into = noc_client_room(&kit->client, &room);
        size_t part = n - at < room ? n - at : room;

        if (kit->piece > 0 && kit->piece < part) {
            part = kit->piece;
        }
        if (part == 0) {
            break;
        }
        memcpy(into, bytes + at, part);
        noc_client_received(&kit->client, part, kit->now_ms);
        at += part;
        kit_run(kit);
    }
    return at;
}

void kit_feed(struct kit *kit, const char *text)
{
    static uint8_t bytes[KIT_WIRE_MAX];
    size_t n = kit_bytes(text, bytes, sizeof bytes);

    assert_int_equal(kit_feed_bytes(kit, bytes, n), n);
}

void kit_start(struct kit *kit)
{
    assert_int_equal(noc_client_start(&kit->client, kit->now_ms), NOC_OK);
    kit_run(kit);
}

void kit_connect(struct kit *kit, const char *connack)
{
    kit_start(kit);
    kit_feed(kit, connack);
    assert_int_equal(noc_client_state(&kit->client), NOC_CLIENT_OPEN);
    kit->events_n = kit->wire_n = 0;
}

void kit_expect_events(struct kit *kit, const char *events, const char *file, int line)
{
    kit->events[kit->events_n] = '\0';
    if (strcmp(kit->events, events) != 0) {
        print_error("told:\n%s\nexpected:\n%s\n", kit->events, events);
        _fail(file, line);
    }
    kit->events_n = 0;
}

void kit_expect_wire(struct kit *kit, const char *text, const char *file, int line)
{
    static uint8_t bytes[KIT_WIRE_MAX];
    size_t n = kit_bytes(text, bytes, sizeof bytes);

    if (n != kit->wire_n || memcmp(bytes, kit->wire, n) != 0) {
        print_error("written (%zu):", kit->wire_n);
        for (size_t i = 0; i < kit->wire_n; i++) {
            print_error(" %02x", kit->wire[i]);
        }
        print_error("\nexpected: %s\n", text);
        _fail(file, line);
    }
    kit->wire_n = 0;
}
