/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CLI_CLIENT_RUN_H
#define NOC_CLI_CLIENT_RUN_H
/*
 * The loop of `pub`, `sub` and `rr`. A tool is a table of functions that the loop calls:
 *
 *   connect ──► on_event() for each event, pump() to give the client more ──► ... ──► end
 *                  ▲                                                   │
 *                  └──── back-off, connect again (if the tool stays) ◄─┘ connection lost
 *
 * Single-threaded: it waits in one poll() for the socket, for standard input if
 * the tool wants it, for standard output while something is left for it, for time and for signals. When
 * so much is left that the run is behind, it takes nothing from the broker, which notices and
 * keeps its messages; but it sends PINGREQ.
 */

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "cli/client_connect.h"
#include "cli/client_options.h"
#include <noctule/backoff.h>

struct noc_client_run;

struct noc_tool {
    struct noc_link_sizes sizes;
    void (*on_event)(struct noc_client_run *run, const struct noc_event *event);
    /* Told of each packet; the client may not be called in there. May be NULL. The context is the run. */
    void (*on_packet)(void *run, bool is_outgoing, const uint8_t *packet, size_t n);
    /*
     * Called when the client is open and the socket takes more. Returns whether it
     * has more to give as soon as the socket has taken what it gave.
     */
    bool (*pump)(struct noc_client_run *run);
    void (*on_end)(struct noc_client_run *run); /* the last words; may be NULL */
    bool reconnects;                            /* comes back when the connection is lost */
};

struct noc_client_run {
    const struct noc_client_settings *settings;
    const struct noc_tool *tool;
    void *state; /* the tool's own */
    struct noc_client_link link;
    struct noc_output_buffer output; /* what goes to standard output, */
    size_t written;                  /* of which that is written */
    size_t chunk;                    /* what can be written without waiting, once it is writable */
    struct noc_client_failure failure;
    struct noc_backoff backoff;
    struct noc_cause cause; /* why the last attempt or connection ended */
    uint32_t start_ms;      /* -W counts from here */
    uint32_t now_ms;        /* of this round */
    uint32_t wake_ms;       /* when pump() wants to be called again, if has_wake */
    uint32_t ending_ms;
    uint32_t behind_ms;    /* since when is_behind */
    uint32_t ping_ms;      /* while it is: when the next PINGREQ is due */
    uint16_t keep_alive_s; /* of this connection; 0: none */
    sigset_t mask;         /* while it waits */
    int status;
    bool has_wake;
    bool wants_input; /* wake pump() when standard input can be read */
    bool is_open;     /* CONNACK came */
    bool has_been_open;
    bool is_behind; /* nobody takes the output: nothing is read, only the connection kept alive */
    bool is_ending; /* the tool is done: DISCONNECT, and out */
    bool says_goodbye; /* DISCONNECT has been handed to the client */
    bool is_over;
    uint8_t goodbye_reason; /* version 5 */
};

/* Run a tool to its end. Returns the exit status. */
int noc_client_run(
    const struct noc_client_settings *settings, const struct noc_tool *tool, void *state);

/* The tool is done, with that exit status. What is under way is finished first. */
void noc_client_run_end(struct noc_client_run *run, int status);

/*
 * The client did not take a message, or the broker would not: say so, and end. Where Mosquitto's
 * tools end with an error of their library (numbers of its own), it is that.
 */
void noc_client_run_end_unpublished(struct noc_client_run *run, int err);

/* A line on standard error, unless --quiet. A line end is added. */
void noc_client_run_warn(const struct noc_client_run *run, const char *format, ...)
    NOC_PRINTF(2, 3);

/*
 * Write the output that waits, as long as that takes: until -W is over, or a signal comes, and
 * then no longer than a second without progress. Once it fails, the run ends.
 */
void noc_client_run_write_out(struct noc_client_run *run);

/*
 * Show a message in the settings' format; what the format cannot show of it is told on
 * standard error. False: out of memory, and the run ends.
 */
bool noc_client_run_show(struct noc_client_run *run, struct noc_output_format *format,
    struct noc_output_message *message);

/* The tools. Return the exit status. */
int noc_client_pub(const struct noc_client_settings *settings);
int noc_client_sub(struct noc_client_settings *settings);
int noc_client_rr(struct noc_client_settings *settings);

#endif
