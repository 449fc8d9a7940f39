/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_TEST_CLIENT_KIT_H
#define NOC_TEST_CLIENT_KIT_H
/*
 * A client in a test: its buffers end at guard pages' stead in heap blocks of their
 * exact size, what it tells and writes is kept as text and bytes.
 *
 * Packets are written as in tests/vectors/packets.txt: hex, and text in single quotes.
 */
#include <noctule/client.h>

enum { KIT_TEXT_MAX = 1 << 16, KIT_WIRE_MAX = 1 << 18 };

struct kit {
    struct noc_client client;
    struct noc_client_options options;
    uint8_t *in, *out;
    uint32_t now_ms;
    size_t piece;               /* bytes fed, and taken, at a time; 0: all there are */
    bool is_stuck;              /* the transport takes nothing */
    bool joins_chunks;          /* tell of a message in chunks as of one in one piece */
    char events[KIT_TEXT_MAX];  /* a line for each */
    uint8_t wire[KIT_WIRE_MAX]; /* what was written */
    size_t events_n, wire_n;
    uint32_t random;
    struct noc_event last; /* the last event; its slices are gone */
    char chunks[KIT_TEXT_MAX];
    size_t chunks_n;
    size_t told_max; /* take no more than so many events in kit_run(), 0: all */
};

/* Options all default: version 3.1.1, client id "me". Change them, then kit_open(). */
void kit_init(struct kit *kit);
void kit_open(struct kit *kit, size_t in_room, size_t out_room);
void kit_done(struct kit *kit);

/* Bytes of text; returns their number. */
size_t kit_bytes(const char *text, uint8_t *ret_bytes, size_t room);

/* Take all events, and write all that is to be written. */
void kit_run(struct kit *kit);

/* Feed bytes, piece by piece, running in between. Returns how many the client took. */
size_t kit_feed_bytes(struct kit *kit, const uint8_t *bytes, size_t n);
void kit_feed(struct kit *kit, const char *text);

/* start(), and run. */
void kit_start(struct kit *kit);
/* The same with a CONNACK behind it, and both logs emptied. */
void kit_connect(struct kit *kit, const char *connack);

/* Compare what was told or written since the last time, and forget it. */
void kit_expect_events(struct kit *kit, const char *events, const char *file, int line);
void kit_expect_wire(struct kit *kit, const char *text, const char *file, int line);
#define expect_events(kit, events) kit_expect_events(kit, events, __FILE__, __LINE__)
#define expect_wire(kit, text)     kit_expect_wire(kit, text, __FILE__, __LINE__)

#endif
