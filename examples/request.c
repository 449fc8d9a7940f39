/* SPDX-License-Identifier: Apache-2.0 */
/*
 * request HOST PORT TOPIC QUESTION [USER PASSWORD]: ask a question with MQTT 5, and print the
 * answer. Status 2 if nobody answers within ten seconds, or the server says that nobody is there.
 */
#include <noctule/client.h>
#include <noctule/posix.h>
#include <noctule/request.h>

#include <stdio.h>
#include <stdlib.h>

enum { ANSWER_MS = 10000, NOBODY = 2, UNDECIDED = -1 };

/* All that the client works in. */
static struct {
    struct noc_client client;
    struct noc_client_options options;
    struct noc_ring_outbox ring;
    struct noc_requests requests;
    struct noc_request list[1]; /* one question at a time */
    char reply_topic[64];
    uint8_t props[128];
    uint32_t outbox[1024];
    uint8_t in[4096], out[4096];
} me;

static int fail(const char *what, int err)
{
    fprintf(stderr, "request: %s: %s\n", what, noc_error_text(err));
    return EXIT_FAILURE;
}

/* A topic that nobody else has. */
static struct noc_slice make_reply_topic(void)
{
    snprintf(me.reply_topic, sizeof(me.reply_topic), "examples/request/%08lx%08lx",
        (unsigned long)noc_posix_random(NULL), (unsigned long)noc_posix_random(NULL));
    return noc_slice_of(me.reply_topic);
}

static int subscribe(void)
{
    struct noc_client_filter filter = {.filter = noc_slice_of(me.reply_topic), .options = 1};
    int err = noc_client_subscribe(&me.client, &filter, 1, noc_slice_of(NULL), NULL);

    return err == NOC_OK ? UNDECIDED : fail("subscribing", err);
}

static int ask(const char *topic, const char *question)
{
    struct noc_client_message message = {
        .topic = noc_slice_of(topic), .payload = noc_slice_of(question), .qos = 1};
    int err = noc_requests_send(
        &me.requests, &message, ANSWER_MS, noc_posix_now_ms(), NULL /* one needs no name */, NULL);

    return err == NOC_OK ? UNDECIDED : fail("asking", err);
}

/* What has come of the question with this event: a status, or UNDECIDED. */
static int handle(const struct noc_event *event, const char *topic, const char *question)
{
    struct noc_request done;

    switch (noc_requests_take(&me.requests, event, &done)) {
    case NOC_REQUEST_ANSWERED:
        if (event->kind == NOC_EVENT_MESSAGE_BEGIN) {
            return fail("the answer", NOC_ETOOLARGE);
        }
        printf("%.*s\n", NOC_SLICE_ARG(event->payload));
        return EXIT_SUCCESS;
    case NOC_REQUEST_REFUSED:
        fprintf(stderr, "request: %s\n", noc_reason_text(event->reason));
        return NOBODY;
    case NOC_REQUEST_OTHER:
    default:
        break;
    }
    switch (event->kind) {
    case NOC_EVENT_CONNECTED:
        return subscribe();
    case NOC_EVENT_SUBSCRIBED:
        if (event->payload.n != 1 || (uint8_t)event->payload.at[0] >= 0x80) {
            return fail("subscribing", NOC_EDENIED);
        }
        return ask(topic, question);
    case NOC_EVENT_CLOSED:
        fprintf(stderr, "request: %s (%u)\n", noc_cause_text(&event->cause), event->cause.code);
        return EXIT_FAILURE;
    default:
        return UNDECIDED;
    }
}

/* From CONNECT to the answer. */
static int run(struct noc_transport *transport, const char *topic, const char *question)
{
    int err = noc_client_start(&me.client, noc_posix_now_ms());
    int status = err == NOC_OK ? UNDECIDED : fail("starting", err);
    struct noc_request done;
    struct noc_event event;

    while (status == UNDECIDED) {
        while (status == UNDECIDED && noc_client_next(&me.client, noc_posix_now_ms(), &event)) {
            status = handle(&event, topic, question);
        }
        if (status == UNDECIDED && noc_requests_expire(&me.requests, noc_posix_now_ms(), &done)) {
            fprintf(stderr, "request: no answer\n");
            status = NOBODY;
        }
        if (status == UNDECIDED) {
            noc_client_turn(&me.client, transport, noc_posix_now_ms,
                noc_requests_wait_ms(&me.requests, noc_posix_now_ms()));
        }
    }
    if (noc_client_disconnect(&me.client, 0, noc_slice_of(NULL), noc_posix_now_ms()) == NOC_OK) {
        noc_client_turn(&me.client, transport, noc_posix_now_ms, 0);
    }
    return status;
}

int main(int argc, char **argv)
{
    struct noc_posix_options way = {0};
    struct noc_posix_transport tcp;
    struct noc_transport *transport;
    struct noc_requests_options options = {.client = &me.client,
        .list = me.list,
        .count = 1,
        .props = me.props,
        .props_room = sizeof(me.props),
        .random = noc_posix_random};
    int err, status;

    if (argc != 5 && argc != 7) {
        fprintf(stderr, "usage: request HOST PORT TOPIC QUESTION [USER PASSWORD]\n");
        return EXIT_FAILURE;
    }
    way.host = argv[1];
    way.port = (uint16_t)strtoul(argv[2], NULL, 10);
    if (argc == 7) {
        me.options.username = noc_slice_of(argv[5]);
        me.options.password = noc_slice_of(argv[6]);
    }
    me.options.version = 5;
    me.options.outbox = noc_ring_outbox_init(&me.ring, me.outbox, sizeof(me.outbox));
    me.options.random = noc_posix_random;
    err = noc_client_init(&me.client, &me.options, me.in, sizeof(me.in), me.out, sizeof(me.out));
    if (err == NOC_OK) {
        options.reply_topic = make_reply_topic();
        err = noc_requests_init(&me.requests, &options);
    }
    if (err != NOC_OK) {
        return fail("the options", err);
    }
    transport = noc_posix_init(&tcp, &way);
    if (transport->open(transport, 10000) != NOC_OK) {
        fprintf(stderr, "request: %s\n", tcp.fault.text);
        return EXIT_FAILURE;
    }
    status = run(transport, argv[3], argv[4]);
    transport->close(transport);
    return status;
}
