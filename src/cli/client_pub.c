/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
/*
 * `pub`. One payload, once or several times, the next when the one before has
 * arrived; or a message for each line of standard input:
 *
 *   read() ──► block of text ──► a PUBLISH for each line ──► the client's buffer ──► one write()
 *
 * so that a fast pipe costs two system calls for thousands of lines. A line that is
 * longer than the block makes the block grow.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/client_run.h"
#include <noctule/error.h>

enum {
    IN_SIZE = 16384,
    OUT_SIZE = 262144,
    OUTBOX_SIZE = 262144,
    BLOCK_SIZE = 262144,
    PAYLOAD_MAX = 268435455,
    PROGRESS_MS = 250,
    MESSAGE_EXTRA =
        64, /* a message's own bytes in the outbox, besides topic, properties, payload */
};

struct pub {
    struct noc_client_message message;
    unsigned long long arrived; /* messages that were published, as far as their QoS tells */
    uint32_t shown_ms;          /* --progress: when */
    bool has_no_retain;         /* the broker keeps no retained messages */

    /* One payload. */
    size_t streamed; /* bytes of it given in pieces */
    bool is_streaming;
    bool is_under_way;
    uint32_t next_ms; /* when the next one may begin */

    /* Lines. */
    char *block;
    size_t room, start, end; /* lines that wait: block[start..end) */
    size_t scanned;          /* block[start..scanned) has no line end */
    bool is_at_end;          /* of standard input */
    int read_error;          /* what made an end of it; 0: nothing */
};

static struct pub *pub_of(const struct noc_client_run *run)
{
    return run->state;
}

/* Is there something that the socket has not taken yet? */
static bool has_output(struct noc_client_run *run)
{
    size_t n;

    (void)noc_client_peek(&run->link.client, run->now_ms, &n);
    return n > 0;
}

/* What libmosquitto's publish would have refused, in its tool's words. */
static void refuse(struct noc_client_run *run, int err)
{
    bool is_retain = pub_of(run)->has_no_retain && run->settings->is_retained;

    if (run->settings->source == NOC_SOURCE_LINES && !(is_retain && err == NOC_ENOTSUP)) {
        noc_client_run_end_unpublished(run, err);
        return;
    }
    switch (err) {
    case NOC_ENOTSUP:
        if (is_retain) {
            noc_client_run_warn(run, "Error: The broker keeps no retained messages, leave -r out.");
            break;
        }
        noc_client_run_warn(run, "Error: Message QoS not supported on broker, try a lower QoS.");
        break;
    case NOC_EINVAL:
        noc_client_run_warn(run, "Error: Invalid input. Does your topic contain '+' or '#'?");
        break;
    case NOC_ETOOLARGE:
        noc_client_run_warn(run, "Error: Message too large for the broker.");
        break;
    default:
        noc_client_run_warn(run, "Error: cannot publish: %s", noc_error_text(err));
        break;
    }
    noc_client_run_end(run, run->settings->is_mosquitto ? 0 : NOC_EXIT_ERROR);
}

/* Room in the outbox for a message with that payload. NOC_OK, NOC_EAGAIN: not yet, NOC_ENOMEM. */
static int make_room(struct noc_client_run *run, size_t payload_n)
{
    const struct pub *pub = pub_of(run);
    size_t needed = payload_n + pub->message.topic.n + pub->message.props.n + MESSAGE_EXTRA;

    if (pub->message.qos == 0 || needed <= run->link.sizes.outbox) {
        return NOC_OK;
    }
    if (!noc_client_is_idle(&run->link.client)) {
        return NOC_EAGAIN;
    }
    return noc_client_link_grow_outbox(&run->link, needed * 2);
}

/* Does it go through the output buffer in one piece? */
static bool is_small(const struct noc_client_run *run, size_t payload_n)
{
    const struct pub *pub = pub_of(run);

    return payload_n + pub->message.topic.n + pub->message.props.n < OUT_SIZE / 2;
}

/* More of a message that goes in pieces. Returns whether all of it is given. */
static bool stream_on(struct noc_client_run *run)
{
    struct pub *pub = pub_of(run);
    struct noc_slice payload = pub->message.payload;

    while (pub->streamed < payload.n) {
        int taken = noc_client_publish_chunk(
            &run->link.client, payload.at + pub->streamed, payload.n - pub->streamed);

        if (taken < 0) {
            pub->is_streaming = false;
            if (taken != NOC_ECLOSED) {
                refuse(run, taken);
            }
            return false;
        }
        if (taken == 0) {
            return false;
        }
        pub->streamed += (size_t)taken;
    }
    pub->is_streaming = false;
    return true;
}

/*
 * Publish pub->message. NOC_OK: it is given, or is_streaming; NOC_EAGAIN: later; anything
 * else ends the run.
 */
static int publish(struct noc_client_run *run)
{
    struct pub *pub = pub_of(run);
    int err = make_room(run, pub->message.payload.n);

    if (err == NOC_OK && is_small(run, pub->message.payload.n)) {
        err = noc_client_publish(&run->link.client, &pub->message, NULL);
    } else if (err == NOC_OK) {
        err = noc_client_publish_begin(&run->link.client, &pub->message, NULL);
        pub->is_streaming = err == NOC_OK;
        pub->streamed = 0;
    }
    if (err == NOC_EFULL || err == NOC_ECLOSED) {
        err = NOC_EAGAIN;
    }
    if (err != NOC_OK && err != NOC_EAGAIN) {
        refuse(run, err);
    }
    return err;
}

/* ---- one payload ---- */

/* --progress: a few times a second, and at the end. */
static void show_progress(struct noc_client_run *run, bool is_last)
{
    struct pub *pub = pub_of(run);

    if (run->settings->show_progress && (is_last || run->now_ms - pub->shown_ms >= PROGRESS_MS)) {
        pub->shown_ms = run->now_ms;
        (void)fprintf(stderr, "\r%llu messages%s", pub->arrived, is_last ? "\n" : "");
    }
}

/* The message under way has arrived. */
static void count_arrival(struct noc_client_run *run)
{
    struct pub *pub = pub_of(run);
    const struct noc_client_settings *settings = run->settings;

    pub->is_under_way = false;
    pub->arrived++;
    if (pub->arrived >= settings->repeat_count) {
        show_progress(run, true);
        noc_client_run_end(run, 0);
    } else {
        show_progress(run, false);
        pub->next_ms = run->now_ms + (uint32_t)((settings->repeat_delay_us + 999) / 1000);
    }
}

/* Is the one under way across, as far as its QoS tells? */
static bool has_arrived(const struct noc_client_run *run)
{
    const struct pub *pub = pub_of(run);

    return pub->is_under_way && !pub->is_streaming && noc_client_is_idle(&run->link.client);
}

static bool pump_payload(struct noc_client_run *run)
{
    struct pub *pub = pub_of(run);

    if (pub->is_streaming) {
        return stream_on(run) || has_output(run);
    }
    if (has_arrived(run)) {
        count_arrival(run);
        return true;
    }
    if (pub->is_under_way) {
        return has_output(run);
    }
    if (pub->arrived > 0 && (int32_t)(pub->next_ms - run->now_ms) > 0) {
        run->has_wake = true;
        run->wake_ms = pub->next_ms;
        return false;
    }
    if (publish(run) != NOC_OK) {
        return has_output(run);
    }
    pub->is_under_way = true;
    return true;
}

/* ---- lines ---- */

/* Make room behind what waits. Returns false if there is no memory. */
static bool make_block_room(struct pub *pub)
{
    size_t n = pub->end - pub->start;

    if (pub->start > 0) {
        memmove(pub->block, pub->block + pub->start, n);
        pub->scanned -= pub->start;
        pub->start = 0;
        pub->end = n;
    }
    if (pub->end == pub->room) {
        size_t room = pub->room == 0 ? BLOCK_SIZE : pub->room * 2;
        char *block = realloc(pub->block, room);

        if (block == NULL) {
            return false;
        }
        pub->block = block;
        pub->room = room;
    }
    return true;
}

/* Read the next block. Returns false when nothing more may come now. */
static bool read_block(struct noc_client_run *run)
{
    struct pub *pub = pub_of(run);
    ssize_t n;

    if (!make_block_room(pub)) {
        noc_client_run_warn(run, "Error: Out of memory.");
        noc_client_run_end(run, NOC_EXIT_ERROR);
        return false;
    }
    do {
        n = read(STDIN_FILENO, pub->block + pub->end, pub->room - pub->end);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN) {
        run->wants_input = true;
        return false;
    }
    if (n < 0) {
        pub->read_error = errno;
    }
    pub->is_at_end = n <= 0;
    pub->end += n > 0 ? (size_t)n : 0;
    return true;
}

/* The next line that waits, without its line end. False: there is none, or not all of it. */
static bool peek_line(struct pub *pub, struct noc_slice *ret_line, size_t *ret_used)
{
    const char *from = pub->block + pub->scanned;
    const char *at = pub->end > pub->scanned ? memchr(from, '\n', pub->end - pub->scanned) : NULL;

    if (at == NULL && !(pub->is_at_end && pub->end > pub->start)) {
        pub->scanned = pub->end;
        return false;
    }
    *ret_used = at == NULL ? pub->end - pub->start : (size_t)(at - (pub->block + pub->start)) + 1;
    *ret_line = noc_slice(pub->block + pub->start, *ret_used - (at != NULL));
    return true;
}

/* The line has been given to the client. */
static void drop_line(struct pub *pub, size_t used)
{
    pub->arrived++;
    pub->start += used;
    pub->scanned = pub->start;
    if (pub->start == pub->end) {
        pub->start = pub->end = pub->scanned = 0;
    }
}

/* Publish the lines that are here. False: the client takes no more now. */
static bool publish_lines(struct noc_client_run *run)
{
    struct pub *pub = pub_of(run);
    struct noc_slice line;
    size_t used;

    while (peek_line(pub, &line, &used)) {
        if (!pub->is_streaming) {
            pub->message.payload = line;
            if (line.n > PAYLOAD_MAX) {
                refuse(run, NOC_ETOOLARGE);
                return false;
            }
            if (publish(run) != NOC_OK) {
                return false;
            }
        }
        /* Until all of it is given the line stays where it is, though the block may move. */
        pub->message.payload = line;
        if (pub->is_streaming && !stream_on(run)) {
            return false;
        }
        drop_line(pub, used);
    }
    if (pub->end - pub->start > PAYLOAD_MAX) {
        refuse(run, NOC_ETOOLARGE); /* and it may have no end at all */
        return false;
    }
    return true;
}

static bool can_read_input(void)
{
    struct pollfd one = {.fd = STDIN_FILENO, .events = POLLIN};

    return poll(&one, 1, 0) > 0;
}

/* All lines that came are across. */
static void end_lines(struct noc_client_run *run)
{
    int error = pub_of(run)->read_error;

    if (error != 0) {
        noc_client_run_warn(run, "Error: Unable to read standard input: %s.", strerror(error));
    }
    noc_client_run_end(run, error == 0 ? 0 : NOC_EXIT_ERROR);
}

static bool pump_lines(struct noc_client_run *run)
{
    struct pub *pub = pub_of(run);

    for (;;) {
        if (!publish_lines(run)) {
            return has_output(run);
        }
        show_progress(run, false);
        if (pub->is_at_end) {
            break;
        }
        if (!can_read_input()) {
            run->wants_input = true;
            return false;
        }
        if (!read_block(run)) {
            return false;
        }
    }
    if (!noc_client_is_idle(&run->link.client)) {
        return has_output(run);
    }
    show_progress(run, true);
    end_lines(run);
    return true;
}

/* ---- the tool ---- */

static void on_event(struct noc_client_run *run, const struct noc_event *event)
{
    struct pub *pub = pub_of(run);

    if (event->kind == NOC_EVENT_CONNECTED) {
        pub->has_no_retain = noc_props_has(&event->props, NOC_PROP_RETAIN_AVAILABLE) &&
                             event->props.retain_available == 0;
    }
    if (event->kind == NOC_EVENT_PUBLISHED && event->reason >= 0x80) {
        noc_client_run_write_out(run);
        noc_client_run_warn(run, "Warning: Publish %u failed: %s.", (unsigned)event->packet_id,
            noc_mosquitto_reason_text(event->reason));
    }
    if (event->kind == NOC_EVENT_CLOSED && pub->message.qos == 0) {
        pub->is_streaming = false; /* it ends with the connection, and is given anew */
    }
}

int noc_client_pub(const struct noc_client_settings *settings)
{
    bool has_lines = settings->source == NOC_SOURCE_LINES;
    struct pub pub = {
        .message =
            {
                .topic = noc_slice_of(settings->topics.at[0]),
                .payload = settings->payload,
                .props = settings->props[NOC_CLIENT_PROPS_PUBLISH],
                .qos = settings->qos,
                .retain = settings->is_retained,
            },
    };
    const struct noc_tool tool = {
        .sizes = {.in = IN_SIZE, .out = OUT_SIZE, .outbox = settings->qos > 0 ? OUTBOX_SIZE : 0},
        .on_event = on_event,
        .pump = has_lines ? pump_lines : pump_payload,
        .reconnects = has_lines,
    };
    int status = noc_client_run(settings, &tool, &pub);

    free(pub.block);
    return status;
}
