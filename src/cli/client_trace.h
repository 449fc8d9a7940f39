/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CLI_CLIENT_TRACE_H
#define NOC_CLI_CLIENT_TRACE_H
/*
 * The lines of -d: each packet that goes or comes, as Mosquitto's tools write
 * them. They join the other output, so that both stay in order. Owner thread only.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/client_options.h"
#include "cli/output_format.h"

struct noc_client_trace {
    struct noc_output_buffer *lines; /* where they go; the caller writes them out */
    struct noc_slice client_id;      /* ours */
    char assigned[256];              /* the one that the broker chose, "" before */
    uint16_t mid;                    /* of the last packet of ours that had a number */
    uint8_t version;
    bool is_off;
};

void noc_client_trace_init(struct noc_client_trace *trace,
    const struct noc_client_settings *settings, struct noc_output_buffer *lines);

/* A line for a packet, as noc_client_options.trace gives it. Does nothing for what has no line. */
void noc_client_trace_packet(
    struct noc_client_trace *trace, bool is_outgoing, const uint8_t *packet, size_t n);

/*
 * Any line; a line end is added, and what a terminal would obey is taken out. If memory is short
 * it is left out.
 */
void noc_client_trace_print(struct noc_output_buffer *lines, const char *format, ...)
    NOC_PRINTF(2, 3);

/*
 * Put a mark where a terminal could take something for a command: the control characters of
 * ASCII, and those from 0x80 to 0x9f, as UTF-8 or as bytes that belong to no character.
 */
void noc_client_tame(char *text, size_t n, char mark);

#endif
