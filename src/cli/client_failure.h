/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CLI_CLIENT_FAILURE_H
#define NOC_CLI_CLIENT_FAILURE_H
/*
 * Why `pub`, `sub` and `rr` could not connect, or were cut off: one line that says
 * what failed and what to try, and an exit status that tells the layer. Under Mosquitto's
 * names the lines and statuses of Mosquitto's tools, where those have them.
 *
 *   layer                     status    status under Mosquitto's names
 *   name lookup                   15    1
 *   TCP, unix socket              14    1
 *   SOCKS proxy                   16    1
 *   TLS                            8    8, or 1 for a file
 *   HTTP refuses                  70    70 (WebSocket is ours)
 *   answer is no WebSocket        71    71
 *   no answer to upgrade, CONNECT 72    72
 *   CONNACK                       its code: 1 to 5, or 128 and up
 *   lost, or cut off               7    7
 *   not MQTT                      73    14
 *   message not taken              1    0; 24, 25 for pub -l and rr
 *   no subscription granted       the first one's reason code; 0
 *
 * Pure functions over what the caller has seen; any thread.
 */

#include <stdbool.h>
#include <stddef.h>

#include "base/macros.h"
#include "cli/client_options.h"
#include <noctule/client.h>
#include <noctule/fault.h>

enum noc_exit {
    NOC_EXIT_ERROR = 1,
    NOC_EXIT_NOT_CONNECTED = 4,
    NOC_EXIT_LOST = 7,
    NOC_EXIT_TLS = 8,
    NOC_EXIT_CONNECT = 14,
    NOC_EXIT_LOOKUP = 15,
    NOC_EXIT_PROXY = 16,
    NOC_EXIT_TIMEOUT = 27, /* -W */
    NOC_EXIT_HTTP = 70,
    NOC_EXIT_UPGRADE = 71,
    NOC_EXIT_NO_ANSWER = 72,
    NOC_EXIT_NO_MQTT = 73,
};

/* What the head of an HTTP answer tells about a refusal. All zero: no answer yet. */
struct noc_http_hints {
    char location[200];
    char ray[64]; /* Cf-Ray: what Cloudflare's log knows the request by */
    bool is_challenge;
};

/* Take from a header, "Name: value", what matters; for noc_client_websocket.on_header. */
void noc_http_hints_add(struct noc_http_hints *hints, struct noc_slice line);

struct noc_client_failure {
    int status;
    char text[700]; /* one or (under Mosquitto's names) two lines, with their line ends; or "" */
};

/* The transport did not open, or its set-up failed. */
void noc_client_failure_of_fault(struct noc_client_failure *failure,
    const struct noc_client_settings *settings, const struct noc_transport_fault *fault);

/* What is known of a connection that has ended, besides the event. */
struct noc_client_end {
    const struct noc_http_hints *hints;
    const struct noc_transport_fault *fault; /* of the transport, when that broke; or NULL */
    bool was_accepted;                       /* there was a CONNACK that said so */
};

/* The client has closed: the event is a NOC_EVENT_CLOSED. */
void noc_client_failure_of_event(struct noc_client_failure *failure,
    const struct noc_client_settings *settings, const struct noc_event *event,
    const struct noc_client_end *end);

/* The text of a reason code as Mosquitto's tools write it. Static, never NULL. */
const char *noc_mosquitto_reason_text(uint8_t reason);

#endif
