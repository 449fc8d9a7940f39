/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
/*
 * `sub`. Messages go straight from the client's buffer through the format into the
 * output, and are acknowledged after that: what was shown will not come again, and what was
 * not shown will, to who keeps the session. Two kinds have to wait:
 *
 *   larger than the client's buffer: until all of it is there.
 *   with -d those of QoS 1 and 2: Mosquitto's tool shows a message behind the line of the
 *          packet that completes it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/client_run.h"
#include "cli/client_view.h"
#include "mqtt/packet.h"
#include "mqtt/topic.h"
#include <noctule/error.h>

enum { IN_SIZE = 262144, OUT_SIZE = 65536, OUTBOX_SIZE = 65536, RANDOM_ALL = 10000 };

/* A message with memory of its own. */
struct held {
    struct held *next;
    struct noc_event event; /* its slices point into bytes */
    size_t filled;          /* of the payload */
    char bytes[];           /* topic, properties, payload */
};

struct sub {
    struct noc_client_settings *settings;
    struct held *waiting;  /* until they are acknowledged; oldest first */
    struct held *large;    /* is being put together */
    struct held *removals; /* --remove-retained: topics that are still to be cleared */
    struct noc_client_view view;
    bool has_view;
    unsigned shown;     /* messages that count for -C */
    bool is_done;       /* shows no more */
    bool is_subscribed; /* in this connection SUBSCRIBE has been sent */
    bool is_unsubscribed;
};

static struct sub *sub_of(const struct noc_client_run *run)
{
    return run->state;
}

/* ---- messages of our own ---- */

static void move_slice(struct noc_slice *slice, struct noc_slice from, char *to)
{
    if (slice->at != NULL) {
        slice->at = to + (slice->at - from.at);
    }
}

/* Let the properties point into a copy of their block. */
static void move_props(struct noc_props *props, char *to)
{
    struct noc_slice from = props->raw;

    move_slice(&props->content_type, from, to);
    move_slice(&props->response_topic, from, to);
    move_slice(&props->correlation_data, from, to);
    move_slice(&props->assigned_client_id, from, to);
    move_slice(&props->auth_method, from, to);
    move_slice(&props->auth_data, from, to);
    move_slice(&props->response_info, from, to);
    move_slice(&props->server_reference, from, to);
    move_slice(&props->reason_string, from, to);
    props->raw.at = to;
}

/* A copy with room for the whole payload. NULL: no memory. */
static struct held *held_new(const struct noc_event *event)
{
    size_t topic_n = event->topic.n, props_n = event->props.raw.n;
    struct held *held = malloc(sizeof(*held) + topic_n + props_n + event->size + 1);

    if (held == NULL) {
        return NULL;
    }
    held->next = NULL;
    held->event = *event;
    held->filled = event->payload.n;
    if (topic_n > 0) {
        memcpy(held->bytes, event->topic.at, topic_n);
    }
    held->event.topic.at = held->bytes;
    if (props_n > 0) {
        memcpy(held->bytes + topic_n, event->props.raw.at, props_n);
        move_props(&held->event.props, held->bytes + topic_n);
    }
    held->event.payload = noc_slice(held->bytes + topic_n + props_n, event->size);
    if (event->payload.n > 0) {
        memcpy(held->bytes + topic_n + props_n, event->payload.at, event->payload.n);
    }
    return held;
}

static void held_append(struct held **list, struct held *held)
{
    while (*list != NULL) {
        list = &(*list)->next;
    }
    *list = held;
}

static void held_free_all(struct held *held)
{
    while (held != NULL) {
        struct held *next = held->next;

        free(held);
        held = next;
    }
}

static void run_out_of_memory(struct noc_client_run *run)
{
    noc_client_run_warn(run, "Error: Out of memory.");
    noc_client_run_end(run, NOC_EXIT_ERROR);
}

/* ---- showing ---- */

static bool is_filtered_out(const struct noc_client_settings *settings, struct noc_slice topic)
{
    for (size_t i = 0; i < settings->filter_out.n; i++) {
        if (noc_filter_matches(noc_slice_of(settings->filter_out.at[i]), topic)) {
            return true;
        }
    }
    return false;
}

static void show(struct noc_client_run *run, const struct noc_event *event)
{
    struct sub *sub = sub_of(run);
    struct noc_output_message message = {
        .topic = event->topic,
        .payload = event->payload,
        .props = run->settings->version == 5 ? &event->props : NULL,
        .mid = event->packet_id,
        .qos = event->qos,
        .is_retained = event->retain,
    };

    if (run->settings->random_filter < RANDOM_ALL &&
        noc_posix_random(NULL) % RANDOM_ALL >= run->settings->random_filter) {
        return;
    }
    if (!sub->has_view) {
        (void)noc_client_run_show(run, &sub->settings->output, &message);
    } else if (noc_client_view_add(&sub->view, event, &run->output) != NOC_OK) {
        run_out_of_memory(run);
    }
}

/* --remove-retained: an empty retained message. False: not now. */
static bool remove_retained(struct noc_client_run *run, struct noc_slice topic)
{
    const struct noc_client_message message = {.topic = topic, .qos = 1, .retain = true};
    int err = noc_client_publish(&run->link.client, &message, NULL);
    size_t n;

    /* Off with it, so that its line of -d stands in front of the message, as Mosquitto's. */
    (void)noc_client_peek(&run->link.client, run->now_ms, &n);
    return err != NOC_EAGAIN && err != NOC_EFULL;
}

static void queue_removal(struct noc_client_run *run, const struct noc_event *event)
{
    struct noc_event topic_only = {.topic = event->topic};
    struct held *held = held_new(&topic_only);

    if (held == NULL) {
        run_out_of_memory(run);
        return;
    }
    held_append(&sub_of(run)->removals, held);
}

/* A message is ours to deal with. may_publish: the client may be called now. */
static void take(struct noc_client_run *run, const struct noc_event *event, bool may_publish)
{
    const struct noc_client_settings *settings = run->settings;
    struct sub *sub = sub_of(run);

    if (sub->is_done || run->is_ending) {
        return;
    }
    if (settings->only_retained && !event->retain) {
        sub->is_done = true;
        noc_client_run_end(run, 0);
        return;
    }
    if ((settings->skip_retained && event->retain) || is_filtered_out(settings, event->topic)) {
        return;
    }
    if (settings->remove_retained && event->retain &&
        (!may_publish || sub->removals != NULL || !remove_retained(run, event->topic))) {
        queue_removal(run, event);
    }
    show(run, event);
    if (settings->message_count > 0 && ++sub->shown >= settings->message_count) {
        sub->is_done = true;
        noc_client_run_end(run, 0);
    }
}

/* ---- messages that wait ---- */

static bool has_to_wait(const struct noc_client_run *run, const struct noc_event *event)
{
    return event->qos > 0 && run->settings->is_debug;
}

/* An acknowledgement goes out: the message that it is for may be shown. */
static void on_packet(void *context, bool is_outgoing, const uint8_t *packet, size_t n)
{
    struct noc_client_run *run = context;
    struct sub *sub = sub_of(run);
    unsigned type = packet[0] >> 4, id;

    if (!is_outgoing || n < 4 || (type != NOC_PUBCOMP && type != NOC_PUBACK)) {
        return;
    }
    id = (unsigned)packet[2] << 8 | packet[3];
    for (struct held **at = &sub->waiting; *at != NULL; at = &(*at)->next) {
        struct held *held = *at;

        if (held->event.packet_id == id && held->event.qos == (type == NOC_PUBACK ? 1 : 2)) {
            *at = held->next;
            take(run, &held->event, false);
            free(held);
            return;
        }
    }
}

/* The broker has forgotten the session: what waits will never be completed. */
static void show_all_waiting(struct noc_client_run *run)
{
    struct sub *sub = sub_of(run);

    while (sub->waiting != NULL) {
        struct held *held = sub->waiting;

        sub->waiting = held->next;
        take(run, &held->event, true);
        free(held);
    }
}

static void take_whole(struct noc_client_run *run, const struct noc_event *event)
{
    struct held *held;

    if (!has_to_wait(run, event)) {
        take(run, event, true);
        return;
    }
    held = held_new(event);
    if (held == NULL) {
        run_out_of_memory(run);
        return;
    }
    held_append(&sub_of(run)->waiting, held);
}

static void begin_large(struct noc_client_run *run, const struct noc_event *event)
{
    struct sub *sub = sub_of(run);

    free(sub->large);
    sub->large = held_new(event);
    if (sub->large == NULL) {
        run_out_of_memory(run);
    }
}

static void add_large(struct noc_client_run *run, struct noc_slice payload)
{
    struct held *large = sub_of(run)->large;

    if (large != NULL && payload.n <= large->event.payload.n - large->filled) {
        memcpy(large->bytes + (large->event.payload.at - large->bytes) + large->filled, payload.at,
            payload.n);
        large->filled += payload.n;
    }
}

static void end_large(struct noc_client_run *run)
{
    struct sub *sub = sub_of(run);
    struct held *large = sub->large;

    sub->large = NULL;
    if (large == NULL) {
        return;
    }
    if (has_to_wait(run, &large->event)) {
        held_append(&sub->waiting, large);
    } else {
        take(run, &large->event, true);
        free(large);
    }
}

/* ---- subscriptions ---- */

static uint8_t subscription_options(const struct noc_client_settings *settings)
{
    unsigned options = settings->qos;

    if (settings->version == 5) {
        options |= settings->retain_as_published ? NOC_SUB_RETAIN_AS_PUBLISHED : 0;
        options |= (unsigned)settings->retain_handling << 4;
    }
    return (uint8_t)options;
}

static void fail_to_ask(struct noc_client_run *run, int err)
{
    noc_client_run_warn(run, "Error: cannot subscribe: %s",
        err == NOC_EINVAL ? "a filter (-t, -U) is empty, or what follows its $share/ is not "
                            "GROUP/FILTER"
                          : noc_error_text(err));
    noc_client_run_end(run, NOC_EXIT_ERROR);
}

/* All filters in one SUBSCRIBE. Returns what the client said. */
static int subscribe(struct noc_client_run *run)
{
    const struct noc_client_settings *settings = run->settings;
    struct noc_client_filter *filters = calloc(settings->topics.n, sizeof(*filters));
    int err;

    if (filters == NULL) {
        return NOC_ENOMEM;
    }
    for (size_t i = 0; i < settings->topics.n; i++) {
        filters[i] = (struct noc_client_filter){
            noc_slice_of(settings->topics.at[i]), subscription_options(settings)};
    }
    err = noc_client_subscribe(&run->link.client, filters, settings->topics.n,
        settings->props[NOC_CLIENT_PROPS_SUBSCRIBE], NULL);
    free(filters);
    return err;
}

/* And one UNSUBSCRIBE for each of -U. */
static int unsubscribe(struct noc_client_run *run)
{
    const struct noc_client_settings *settings = run->settings;
    int err = NOC_OK;

    for (size_t i = 0; i < settings->unsubscribe.n && err == NOC_OK; i++) {
        struct noc_slice filter = noc_slice_of(settings->unsubscribe.at[i]);

        err = noc_client_unsubscribe(
            &run->link.client, &filter, 1, settings->props[NOC_CLIENT_PROPS_UNSUBSCRIBE], NULL);
    }
    return err;
}

/* Ask for what is not asked for yet. Returns whether there is room for more. */
static bool ask(struct noc_client_run *run)
{
    struct sub *sub = sub_of(run);
    int err = NOC_OK;

    if (!sub->is_subscribed && run->settings->topics.n > 0) {
        err = subscribe(run);
    }
    if (err == NOC_OK && !sub->is_subscribed) {
        sub->is_subscribed = true;
    }
    if (err == NOC_OK && !sub->is_unsubscribed) {
        err = unsubscribe(run);
        sub->is_unsubscribed = err == NOC_OK;
    }
    if (err != NOC_OK && err != NOC_EAGAIN) {
        fail_to_ask(run, err);
    }
    return err == NOC_OK;
}

static void on_subscribed(struct noc_client_run *run, const struct noc_event *event)
{
    const struct noc_client_settings *settings = run->settings;
    int first = event->payload.n > 0 ? (uint8_t)event->payload.at[0] : NOC_RC_UNSPECIFIED;
    bool is_any_granted = false;
    char line[512];
    int n = snprintf(line, sizeof(line), "Subscribed (mid: %u): ", (unsigned)event->packet_id);

    for (size_t i = 0; i < event->payload.n; i++) {
        unsigned code = (uint8_t)event->payload.at[i];

        is_any_granted = is_any_granted || code < 0x80;
        if (n > 0 && (size_t)n < sizeof(line)) {
            n += snprintf(line + n, sizeof(line) - (size_t)n, "%s%u", i == 0 ? "" : ", ", code);
        }
    }
    if (settings->is_debug) {
        noc_client_trace_print(&run->output, "%s", line);
    }
    if (!is_any_granted) {
        noc_client_run_write_out(run);
        noc_client_run_warn(run, "All subscription requests were denied.");
        noc_client_run_end(run, settings->is_mosquitto ? 0 : first);
    } else if (settings->exit_after_sub) {
        noc_client_run_end(run, 0);
    }
}

/* ---- the tool ---- */

static void on_event(struct noc_client_run *run, const struct noc_event *event)
{
    struct sub *sub = sub_of(run);

    switch (event->kind) {
    case NOC_EVENT_CONNECTED:
        sub->is_subscribed = sub->is_unsubscribed = false;
        if (!event->session_present) {
            show_all_waiting(run);
        }
        (void)ask(run);
        return;
    case NOC_EVENT_MESSAGE:
        take_whole(run, event);
        return;
    case NOC_EVENT_MESSAGE_BEGIN:
        begin_large(run, event);
        return;
    case NOC_EVENT_MESSAGE_CHUNK:
        add_large(run, event->payload);
        return;
    case NOC_EVENT_MESSAGE_END:
        end_large(run);
        return;
    case NOC_EVENT_SUBSCRIBED:
        on_subscribed(run, event);
        return;
    case NOC_EVENT_CLOSED:
        free(sub->large);
        sub->large = NULL;
        return;
    case NOC_EVENT_PUBLISHED:
    case NOC_EVENT_UNSUBSCRIBED:
    case NOC_EVENT_PONG:
    case NOC_EVENT_AUTHENTICATED:
        return;
    }
}

static bool pump(struct noc_client_run *run)
{
    struct sub *sub = sub_of(run);

    if (sub->has_view) {
        noc_client_view_draw(&sub->view, run->now_ms, &run->output);
        run->has_wake = true;
        run->wake_ms = run->now_ms + noc_client_view_wait_ms(&sub->view, run->now_ms);
    }
    if (!ask(run)) {
        return false;
    }
    while (sub->removals != NULL && remove_retained(run, sub->removals->event.topic)) {
        struct held *done = sub->removals;

        sub->removals = done->next;
        free(done);
    }
    return false;
}

static void init_view(struct sub *sub)
{
    struct winsize size = {0};

    sub->has_view = noc_client_view_is_wanted(sub->settings);
    if (isatty(STDOUT_FILENO) == 0 || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0) {
        size = (struct winsize){0};
    }
    noc_client_view_init(&sub->view, sub->settings, noc_posix_now_ms(), size.ws_row, size.ws_col);
}

static void on_end(struct noc_client_run *run)
{
    struct sub *sub = sub_of(run);

    if (sub->has_view) {
        noc_client_view_finish(&sub->view, noc_posix_now_ms(), &run->output);
    }
}

int noc_client_sub(struct noc_client_settings *settings)
{
    struct sub sub = {.settings = settings};
    const struct noc_tool tool = {
        .sizes = {.in = IN_SIZE,
            .out = OUT_SIZE,
            .outbox = settings->remove_retained ? OUTBOX_SIZE : 0},
        .on_event = on_event,
        .on_packet = settings->is_debug ? on_packet : NULL,
        .pump = pump,
        .on_end = on_end,
        .reconnects = true,
    };
    int status;

    init_view(&sub);
    status = noc_client_run(settings, &tool, &sub);
    noc_client_view_done(&sub.view);
    held_free_all(sub.waiting);
    held_free_all(sub.removals);
    free(sub.large);
    return status;
}
