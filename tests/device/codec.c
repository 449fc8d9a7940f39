/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The codecs at work: reads records, writes for each a line with all that they make of it. The
 * lines must be the same on every machine, so scripts/check-devices runs this on the host and on
 * devices and compares. A record is its kind, the count of its bytes in four, and the bytes,
 * which have the form of the fuzz corpus of that kind:
 *
 *     p   packets: the first byte chooses version and direction
 *     w   frames of WebSocket: the first byte chooses side, leniency, and how they are cut
 *     c   what comes to a WebSocket client: the first byte chooses how it is cut, the second is
 *         not looked at
 *
 * Status 1 when the input is cut off or a record is larger than RECORD_MAX.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../unit/mqtt/describe.h"
#include "base/bytes.h"
#include "mqtt/packet.h"
#include "mqtt/topic.h"
#include "ws/client.h"
#include "ws/frame.h"
#include "ws/sniff.h"

enum { RECORD_MAX = 8192, LINE_MAX_BYTES = 1 << 17, TEXT_MAX = 1 << 16, HEAD_BYTES = 5 };

static char line[LINE_MAX_BYTES];
static size_t line_n;

static void say(const char *format, ...) NOC_PRINTF(1, 2);

static void say(const char *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(line + line_n, sizeof line - line_n, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof line - line_n) {
        abort();
    }
    line_n += (size_t)n;
}

static void say_hex(const void *at, size_t n)
{
    const uint8_t *bytes = at;

    for (size_t i = 0; i < n; i++) {
        say("%02x", bytes[i]);
    }
    say("\t");
}

static void say_topics(struct noc_slice text)
{
    struct noc_slice rest = text, first = noc_topic_next_level(&rest);

    say("%u%u%u%u\t", noc_topic_is_valid(text), noc_filter_is_valid(text),
        noc_filter_is_valid(text) && noc_filter_matches(text, text),
        noc_filter_is_valid(first) && noc_topic_is_valid(rest) && noc_filter_matches(first, rest));
}

/* Each packet as it reads, and as it is written again. */
static void run_packets(unsigned mode, uint8_t *bytes, size_t n)
{
    static const unsigned versions[] = {0, NOC_V31, NOC_V311, NOC_V5};
    static char text[TEXT_MAX];
    static uint8_t again[2 * RECORD_MAX];
    unsigned version = versions[mode & 3];
    bool from_client = (mode & 4) == 0;
    struct noc_header header;
    struct noc_slice all = noc_slice(bytes, n);
    int used;

    do {
        describe(version, from_client, bytes, n, text, sizeof text);
        say("%s\t", text);
        say_hex(again, encode_again(version, from_client, bytes, n, again, sizeof again));
        used = noc_header_decode(version, bytes, n, &header);
        if (used <= 0 || header.remaining > n - (size_t)used) {
            break;
        }
        bytes += (size_t)used + header.remaining;
        n -= (size_t)used + header.remaining;
    } while (n > 0);
    say_topics(all);
}

static void say_event(const struct noc_ws_event *event)
{
    static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    struct noc_slice payload = noc_slice(event->at, event->n);
    uint8_t frame[NOC_WS_CONTROL_ROOM];

    say("%u %u ", event->kind, event->kind == NOC_WS_EVENT_CLOSE ? event->code : 0);
    say_hex(event->at, event->n);
    switch (event->kind) {
    case NOC_WS_EVENT_DATA:
        say_hex(frame, noc_ws_frame_head(frame, NOC_WS_BINARY, true, event->n, mask));
        noc_ws_mask(event->at, event->n, mask, 1);
        say_hex(event->at, event->n);
        break;
    case NOC_WS_EVENT_PING:
        say_hex(frame, noc_ws_pong_write(frame, payload, mask));
        break;
    case NOC_WS_EVENT_PONG:
        say_hex(frame, noc_ws_ping_write(frame, payload, mask));
        break;
    case NOC_WS_EVENT_CLOSE:
        say_hex(frame, noc_ws_close_write(frame, event->code, payload, mask));
        break;
    case NOC_WS_EVENT_NONE:
    default:
        break;
    }
}

static void run_frames(unsigned mode, uint8_t *bytes, size_t n)
{
    size_t step = 1 + (mode >> 2) % 16;
    struct noc_ws_decoder decoder;
    int err = NOC_OK;

    noc_ws_decoder_init(&decoder, (mode & 1) != 0 ? NOC_WS_CLIENT : NOC_WS_SERVER, (mode & 2) != 0);
    for (size_t at = 0; at < n && err == NOC_OK; at += step) {
        size_t part = step < n - at ? step : n - at;
        size_t done = 0;

        while (done < part && err == NOC_OK) {
            struct noc_ws_event event;
            size_t used = 0;

            err = noc_ws_decode(&decoder, bytes + at + done, part - done, &used, &event);
            if (err == NOC_OK) {
                say_event(&event);
                done += used;
            }
        }
    }
    say("%s: %s (%u)", noc_error_text(err), noc_ws_decoder_fault_text(&decoder),
        noc_ws_decoder_close_code(&decoder));
}

static void say_request(struct noc_ws_answer *answer, const struct noc_client_websocket *options)
{
    uint8_t request[512];
    int n = noc_ws_ask(answer, options, request, sizeof request);

    if (n < 0) {
        abort();
    }
    say_hex(request, (size_t)n);
}

static void say_header(void *context, struct noc_slice line_of_answer)
{
    (void)context;
    say_hex(line_of_answer.at, line_of_answer.n);
}

static void run_answer(const uint8_t *bytes, size_t n)
{
    const struct noc_client_websocket options = {.host = noc_slice_of("mqtt.example:8084"),
        .path = noc_slice_of("/mqtt"),
        .headers = noc_slice_of("CF-Access-Client-Id: x\r\n"),
        .on_header = say_header};
    struct noc_ws_answer answer = {{{0}}, 0, 0, 0, 0};
    size_t read = 0;
    int used;

    say_request(&answer, &options);
    say("%s\t", noc_first_bytes_text(noc_first_bytes_kind(bytes, n)));
    do {
        used = noc_ws_answer_read(&answer, &options, NULL, bytes + read, n - read, false);
        read += used < 0 ? 0 : (size_t)used;
    } while (used > 0 && answer.kind == NOC_WS_ANSWER_PENDING);
    say("%u %s %s %u %u\t", (unsigned)read, noc_error_text(used < 0 ? used : 0),
        noc_ws_answer_text((enum noc_ws_answer_kind)answer.kind), (unsigned)answer.status,
        (unsigned)answer.retry_after_s);
}

/* The same bytes as frames from a server; what is heard goes back to it. */
static void run_client_frames(size_t step, uint8_t *bytes, size_t n)
{
    static uint8_t sealed[NOC_WS_SEAL_ROOM + RECORD_MAX];
    struct noc_ws_reader reader = {0, 0, 0, 0, 0, 0};
    uint32_t plain_n = 0, held = 0;
    int opcode = 0;

    for (size_t given = 0; opcode >= 0 && opcode != NOC_WS_CLOSE && given < n; given += step) {
        size_t part = step < n - given ? step : n - given;

        /* What was read is never behind what is still to come. */
        memmove(bytes + held, bytes + given, part);
        held += (uint32_t)part;
        do {
            opcode = noc_ws_read(&reader, bytes, &plain_n, &held);
            if (opcode > 0) {
                say("%u %u ", (unsigned)opcode, (unsigned)reader.code);
                say_hex(bytes + plain_n, reader.held);
                reader.done = reader.held;
            }
        } while (opcode > 0 && opcode != NOC_WS_CLOSE);
    }
    say("%s %u ", noc_error_text(opcode < 0 ? opcode : 0), (unsigned)reader.code);
    say_hex(bytes, plain_n);
    memcpy(sealed + NOC_WS_SEAL_ROOM, bytes, plain_n);
    n = noc_ws_seal(sealed + NOC_WS_SEAL_ROOM, plain_n, NOC_WS_BINARY, 0x37fa213d);
    say_hex(sealed + NOC_WS_SEAL_ROOM - n, n + plain_n);
}

static void run_record(char kind, uint8_t *bytes, size_t n)
{
    if (n == 0) {
        return;
    }
    if (kind == 'p') {
        run_packets(bytes[0], bytes + 1, n - 1);
    } else if (kind == 'w') {
        run_frames(bytes[0], bytes + 1, n - 1);
    } else if (kind == 'c' && n > 1) {
        run_answer(bytes + 2, n - 2);
        run_client_frames(1 + bytes[0] % 32, bytes + 2, n - 2);
    }
}

/* Returns the bytes read: less than n only where the input ends. */
static size_t read_all(uint8_t *at, size_t n)
{
    size_t done = 0;

    while (done < n) {
        long got = (long)read(0, at + done, n - done);

        if (got <= 0) {
            break;
        }
        done += (size_t)got;
    }
    return done;
}

static bool write_all(const char *at, size_t n)
{
    while (n > 0) {
        long done = (long)write(1, at, n);

        if (done <= 0) {
            return false;
        }
        at += done;
        n -= (size_t)done;
    }
    return true;
}

int main(void)
{
    static uint8_t bytes[RECORD_MAX];
    uint8_t head[HEAD_BYTES];
    size_t head_n;

    while ((head_n = read_all(head, sizeof head)) == sizeof head) {
        size_t n = noc_get_u32(head + 1);

        if (n > sizeof bytes || read_all(bytes, n) != n) {
            return 1;
        }
        line_n = 0;
        run_record((char)head[0], bytes, n);
        say("\n");
        if (!write_all(line, line_n)) {
            return 1;
        }
    }
    return head_n == 0 ? 0 : 1;
}
