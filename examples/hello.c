/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hello HOST PORT [USER PASSWORD]: subscribe to a topic, publish to it with QoS 1, print the
 * message that comes back, and say goodbye. Over TCP; for TLS see noctule/tls.h.
 */
#include <noctule/client.h>
#include <noctule/posix.h>

#include <stdio.h>
#include <stdlib.h>

#define TOPIC "examples/hello"

/* All that the client works in. */
static struct {
    struct noc_client client;
    struct noc_client_options options;
    struct noc_ring_outbox ring; /* messages of QoS 1 and 2 wait there for their acknowledgement */
    uint32_t outbox[1024];
    uint8_t in[1024], out[1024];
} me;

static int check(int err, const char *what)
{
    if (err != NOC_OK) {
        fprintf(stderr, "hello: %s: %s\n", what, noc_error_text(err));
    }
    return err;
}

static int subscribe(void)
{
    struct noc_client_filter filter = {.filter = noc_slice_of(TOPIC), .options = 1 /* QoS */};

    return check(
        noc_client_subscribe(&me.client, &filter, 1, noc_slice_of(NULL), NULL), "subscribing");
}

static int publish(void)
{
    struct noc_client_message message = {
        .topic = noc_slice_of(TOPIC), .payload = noc_slice_of("Hello"), .qos = 1};

    return check(noc_client_publish(&me.client, &message, NULL), "publishing");
}

/* Do what an event asks for. False: something went wrong, or the connection is over. */
static bool handle(const struct noc_event *event)
{
    switch (event->kind) {
    case NOC_EVENT_CONNECTED:
        return subscribe() == NOC_OK;
    case NOC_EVENT_SUBSCRIBED:
        if (event->payload.n != 1 || (uint8_t)event->payload.at[0] >= 0x80) {
            fprintf(stderr, "hello: the server refused the subscription\n");
            return false;
        }
        return publish() == NOC_OK;
    case NOC_EVENT_MESSAGE:
        printf("%.*s: %.*s\n", NOC_SLICE_ARG(event->topic), NOC_SLICE_ARG(event->payload));
        return check(noc_client_disconnect(&me.client, 0, noc_slice_of(NULL), noc_posix_now_ms()),
                   "disconnecting") == NOC_OK;
    case NOC_EVENT_CLOSED:
        if (event->cause.kind != NOC_CAUSE_ASKED) {
            fprintf(stderr, "hello: %s (%u)\n", noc_cause_text(&event->cause), event->cause.code);
        }
        return false;
    default:
        return true;
    }
}

/* From CONNECT to the end of the connection. Returns whether it ended as it should. */
static bool run(struct noc_transport *transport)
{
    struct noc_event event = {0};

    if (check(noc_client_start(&me.client, noc_posix_now_ms()), "starting") != NOC_OK) {
        return false;
    }
    for (;;) {
        while (noc_client_next(&me.client, noc_posix_now_ms(), &event)) {
            if (!handle(&event)) {
                return event.kind == NOC_EVENT_CLOSED && event.cause.kind == NOC_CAUSE_ASKED;
            }
        }
        noc_client_turn(&me.client, transport, noc_posix_now_ms, 1000);
    }
}

int main(int argc, char **argv)
{
    struct noc_posix_options way = {0};
    struct noc_posix_transport tcp;
    struct noc_transport *transport;
    bool is_good;

    if (argc != 3 && argc != 5) {
        fprintf(stderr, "usage: hello HOST PORT [USER PASSWORD]\n");
        return EXIT_FAILURE;
    }
    way.host = argv[1];
    way.port = (uint16_t)strtoul(argv[2], NULL, 10);
    if (argc == 5) {
        me.options.username = noc_slice_of(argv[3]);
        me.options.password = noc_slice_of(argv[4]);
    }
    me.options.outbox = noc_ring_outbox_init(&me.ring, me.outbox, sizeof(me.outbox));
    me.options.random = noc_posix_random;
    if (check(
            noc_client_init(&me.client, &me.options, me.in, sizeof(me.in), me.out, sizeof(me.out)),
            "the options") != NOC_OK) {
        return EXIT_FAILURE;
    }
    transport = noc_posix_init(&tcp, &way);
    if (transport->open(transport, 10000) != NOC_OK) {
        fprintf(stderr, "hello: %s\n", tcp.fault.text);
        return EXIT_FAILURE;
    }
    is_good = run(transport);
    transport->close(transport);
    return is_good ? EXIT_SUCCESS : EXIT_FAILURE;
}
