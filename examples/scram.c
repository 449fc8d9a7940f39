/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scram HOST PORT METHOD USER PASSWORD: log in with SCRAM-SHA-256 or SCRAM-SHA-512, without the
 * password ever travelling; authenticate again on the open connection; say goodbye.
 */
#include <noctule/client.h>
#include <noctule/posix.h>
#include <noctule/scram.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* All that the client works in. */
static struct {
    struct noc_client client;
    struct noc_client_options options;
    struct noc_scram_client scram;
    struct noc_scram_client_options who;
    struct noc_client_auth auth;
    uint8_t in[1024], out[1024];
} me;

static int check(int err, const char *what)
{
    if (err != NOC_OK) {
        fprintf(stderr, "scram: %s: %s\n", what, noc_error_text(err));
    }
    return err;
}

/* Do what an event asks for. False: something went wrong, or the connection is over. */
static bool handle(const struct noc_event *event)
{
    switch (event->kind) {
    case NOC_EVENT_CONNECTED:
        printf("logged in\n");
        return check(noc_client_authenticate(&me.client), "authenticating") == NOC_OK;
    case NOC_EVENT_AUTHENTICATED:
        printf("and again\n");
        return check(noc_client_disconnect(&me.client, 0, noc_slice_of(NULL), noc_posix_now_ms()),
                   "disconnecting") == NOC_OK;
    case NOC_EVENT_CLOSED:
        if (event->cause.kind == NOC_CAUSE_AUTH) {
            fprintf(stderr, "scram: %s: %s\n", noc_cause_text(&event->cause),
                noc_scram_client_fault(&me.scram));
        } else if (event->cause.kind != NOC_CAUSE_ASKED) {
            fprintf(stderr, "scram: %s (%u)\n", noc_cause_text(&event->cause), event->cause.code);
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

/* The client, with the method. */
static int set_up(const char *method, const char *user, const char *password)
{
    int err;

    me.who.hash = strcmp(method, "SCRAM-SHA-512") == 0 ? noc_scram_openssl_sha512()
                                                       : noc_scram_openssl_sha256();
    me.who.user = noc_slice_of(user);
    me.who.password = noc_slice_of(password);
    me.who.random = noc_posix_random;
    err = noc_scram_client_init(&me.scram, &me.who, &me.auth);
    if (err != NOC_OK) {
        return err;
    }
    me.options.version = 5;
    me.options.auth = &me.auth;
    return noc_client_init(&me.client, &me.options, me.in, sizeof(me.in), me.out, sizeof(me.out));
}

int main(int argc, char **argv)
{
    struct noc_posix_options way = {0};
    struct noc_posix_transport tcp;
    struct noc_transport *transport;
    bool is_good;

    if (argc != 6 ||
        (strcmp(argv[3], "SCRAM-SHA-256") != 0 && strcmp(argv[3], "SCRAM-SHA-512") != 0)) {
        fprintf(stderr, "usage: scram HOST PORT SCRAM-SHA-256|SCRAM-SHA-512 USER PASSWORD\n");
        return EXIT_FAILURE;
    }
    way.host = argv[1];
    way.port = (uint16_t)strtoul(argv[2], NULL, 10);
    if (check(set_up(argv[3], argv[4], argv[5]), "the options") != NOC_OK) {
        return EXIT_FAILURE;
    }
    transport = noc_posix_init(&tcp, &way);
    if (transport->open(transport, 10000) != NOC_OK) {
        fprintf(stderr, "scram: %s\n", tcp.fault.text);
        return EXIT_FAILURE;
    }
    is_good = run(transport);
    transport->close(transport);
    noc_scram_client_done(&me.scram);
    return is_good ? EXIT_SUCCESS : EXIT_FAILURE;
}
