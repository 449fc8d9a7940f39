/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
/*
 * `rr`: subscribe to the response topic; when that is granted, publish the request;
 * show the first message that comes, and end.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/client_run.h"
#include <noctule/error.h>

enum { IN_SIZE = 262144, OUT_SIZE = 262144 };

struct rr {
    struct noc_client_settings *settings;
    struct noc_client_message request;
    bool is_granted; /* the subscription */
    bool is_sent;    /* the request */
    bool is_streaming, is_done;
    size_t streamed;
    struct timespec sent_at;
    char *large; /* a response larger than the buffer: topic, payload, properties */
    struct noc_output_message large_message;
    struct noc_props large_props;
    size_t large_n; /* bytes of its payload that are there */
};

static struct rr *rr_of(const struct noc_client_run *run)
{
    return run->state;
}

static void show_latency(struct noc_client_run *run)
{
    const struct rr *rr = rr_of(run);
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    noc_client_trace_print(&run->output, "Latency: %.6f",
        (double)(now.tv_sec - rr->sent_at.tv_sec) +
            (double)(now.tv_nsec - rr->sent_at.tv_nsec) / 1e9);
}

static void show(struct noc_client_run *run, struct noc_output_message *message)
{
    struct rr *rr = rr_of(run);

    if (rr->is_done || (run->settings->skip_retained && message->is_retained)) {
        return;
    }
    rr->is_done = true;
    if (run->settings->print_latency) {
        show_latency(run);
    }
    if (!noc_client_run_show(run, &rr->settings->output, message)) {
        return;
    }
    /* Mosquitto's tool goes without a line for its DISCONNECT. */
    run->link.trace.is_off = run->settings->is_mosquitto;
    noc_client_run_end(run, 0);
}

static struct noc_output_message message_of(
    const struct noc_client_run *run, const struct noc_event *event)
{
    return (struct noc_output_message){
        .topic = event->topic,
        .payload = event->payload,
        .props = run->settings->version == 5 ? &event->props : NULL,
        .mid = event->packet_id,
        .qos = event->qos,
        .is_retained = event->retain,
    };
}

/* What stood in a block of bytes, in its copy. */
static struct noc_slice in_copy(struct noc_slice part, const char *block, const char *copy)
{
    return part.at == NULL ? part : noc_slice(copy + (part.at - block), part.n);
}

/* The properties that a PUBLISH can have, with their block copied. */
static void keep_props(struct rr *rr, const struct noc_props *props, char *copy)
{
    const char *block = props->raw.at;

    if (props->raw.n > 0) {
        memcpy(copy, block, props->raw.n);
    }
    rr->large_props = *props;
    rr->large_props.raw = in_copy(props->raw, block, copy);
    rr->large_props.content_type = in_copy(props->content_type, block, copy);
    rr->large_props.response_topic = in_copy(props->response_topic, block, copy);
    rr->large_props.correlation_data = in_copy(props->correlation_data, block, copy);
}

/* A response that comes in pieces is put together. */
static void begin_large(struct noc_client_run *run, const struct noc_event *event)
{
    struct rr *rr = rr_of(run);
    char *bytes = realloc(rr->large, event->topic.n + event->size + event->props.raw.n + 1);

    if (bytes == NULL) {
        noc_client_run_warn(run, "Error: Out of memory.");
        noc_client_run_end(run, NOC_EXIT_ERROR);
        return;
    }
    memcpy(bytes, event->topic.at, event->topic.n);
    rr->large = bytes;
    rr->large_n = 0;
    rr->large_message = message_of(run, event);
    keep_props(rr, &event->props, bytes + event->topic.n + event->size);
    if (rr->large_message.props != NULL) {
        rr->large_message.props = &rr->large_props;
    }
    rr->large_message.topic.at = bytes;
    rr->large_message.payload = noc_slice(bytes + event->topic.n, event->size);
}

static void add_large(struct rr *rr, struct noc_slice payload)
{
    if (rr->large != NULL && payload.n <= rr->large_message.payload.n - rr->large_n) {
        memcpy(rr->large + rr->large_message.topic.n + rr->large_n, payload.at, payload.n);
        rr->large_n += payload.n;
    }
}

static void subscribe(struct noc_client_run *run)
{
    const struct noc_client_settings *settings = run->settings;
    const struct noc_client_filter filter = {noc_slice_of(settings->response_topic), settings->qos};
    int err = noc_client_subscribe(
        &run->link.client, &filter, 1, settings->props[NOC_CLIENT_PROPS_SUBSCRIBE], NULL);

    if (err != NOC_OK) {
        noc_client_run_warn(run, "Error: cannot subscribe: %s", noc_error_text(err));
        noc_client_run_end(run, NOC_EXIT_ERROR);
    }
}

static void on_subscribed(struct noc_client_run *run, const struct noc_event *event)
{
    unsigned code = event->payload.n > 0 ? (uint8_t)event->payload.at[0] : 0x80;

    if (code < 0x80) {
        rr_of(run)->is_granted = true;
        return;
    }
    noc_client_run_write_out(run);
    noc_client_run_warn(run, "%s", noc_mosquitto_reason_text((uint8_t)code));
    noc_client_run_end(run, run->settings->is_mosquitto ? 0 : (int)code);
}

static void on_event(struct noc_client_run *run, const struct noc_event *event)
{
    struct rr *rr = rr_of(run);
    struct noc_output_message message;

    switch (event->kind) {
    case NOC_EVENT_CONNECTED:
        subscribe(run);
        return;
    case NOC_EVENT_SUBSCRIBED:
        on_subscribed(run, event);
        return;
    case NOC_EVENT_MESSAGE:
        message = message_of(run, event);
        show(run, &message);
        return;
    case NOC_EVENT_MESSAGE_BEGIN:
        begin_large(run, event);
        return;
    case NOC_EVENT_MESSAGE_CHUNK:
        add_large(rr, event->payload);
        return;
    case NOC_EVENT_MESSAGE_END:
        if (rr->large != NULL) {
            show(run, &rr->large_message);
        }
        return;
    case NOC_EVENT_PUBLISHED:
        if (event->reason >= 0x80) {
            noc_client_run_write_out(run);
            noc_client_run_warn(run, "Warning: Publish %u failed: %s.", (unsigned)event->packet_id,
                noc_mosquitto_reason_text(event->reason));
        }
        return;
    case NOC_EVENT_UNSUBSCRIBED:
    case NOC_EVENT_PONG:
    case NOC_EVENT_AUTHENTICATED:
    case NOC_EVENT_CLOSED:
        return;
    }
}

/* Send the request: in one piece where it fits. */
static bool send_request(struct noc_client_run *run)
{
    struct rr *rr = rr_of(run);
    bool is_small = rr->request.payload.n < OUT_SIZE / 2;
    int err = is_small ? noc_client_publish(&run->link.client, &rr->request, NULL)
                       : noc_client_publish_begin(&run->link.client, &rr->request, NULL);

    if (err == NOC_EAGAIN) {
        return false;
    }
    if (err != NOC_OK) {
        noc_client_run_end_unpublished(run, err);
        return false;
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &rr->sent_at);
    rr->is_sent = true;
    rr->is_streaming = !is_small;
    return true;
}

static bool pump(struct noc_client_run *run)
{
    struct rr *rr = rr_of(run);
    size_t n;

    if (rr->is_granted && !rr->is_sent && !send_request(run)) {
        return false;
    }
    while (rr->is_streaming) {
        int taken = noc_client_publish_chunk(&run->link.client,
            rr->request.payload.at + rr->streamed, rr->request.payload.n - rr->streamed);

        if (taken <= 0) {
            if (taken < 0 && taken != NOC_ECLOSED) {
                noc_client_run_end_unpublished(run, taken);
            }
            break;
        }
        rr->streamed += (size_t)taken;
        rr->is_streaming = rr->streamed < rr->request.payload.n;
    }
    (void)noc_client_peek(&run->link.client, run->now_ms, &n);
    return rr->is_streaming && n > 0;
}

int noc_client_rr(struct noc_client_settings *settings)
{
    struct rr rr = {
        .settings = settings,
        .request =
            {
                .topic = noc_slice_of(settings->topics.at[0]),
                .payload = settings->payload,
                .props = settings->props[NOC_CLIENT_PROPS_PUBLISH],
                .qos = settings->qos,
            },
    };
    const struct noc_tool tool = {
        .sizes = {.in = IN_SIZE,
            .out = OUT_SIZE,
            .outbox = settings->qos > 0 ? settings->payload.n + OUT_SIZE : 0},
        .on_event = on_event,
        .pump = pump,
    };
    int status = noc_client_run(settings, &tool, &rr);

    free(rr.large);
    return status;
}
