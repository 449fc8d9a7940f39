/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CLI_OUTPUT_FORMAT_H
#define NOC_CLI_OUTPUT_FORMAT_H
/*
 * How `sub` and `rr` show a message: the payload alone, "topic payload" (-v), or
 * a format (-F) of % and @ codes, with messages as JSON (%j, %J). The format is
 * compiled once; a message is then appended to a buffer of the caller's, who
 * writes it out when he likes.
 *
 *   "%t = %x"  ->  [topic] [text " = "] [hex] [text "\n"]
 *
 * An object belongs to one thread (it keeps the last second's local time).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/macros.h"
#include <noctule/property.h>
#include <noctule/slice.h>

/* Bytes that wait to be written. All zero is an empty one. */
struct noc_output_buffer {
    char *at;    /* malloc()ed, or NULL */
    size_t n;    /* bytes that wait */
    size_t room; /* bytes that at has room for */
};

/* Free the memory and be empty. */
void noc_output_buffer_done(struct noc_output_buffer *buffer);

/* Room for n more bytes at the end. Returns NOC_OK or NOC_ENOMEM (then nothing has changed). */
NOC_MUST_CHECK int noc_output_buffer_reserve(struct noc_output_buffer *buffer, size_t n);

/* A received message. Everything is borrowed for the call. */
struct noc_output_message {
    struct noc_slice topic, payload;
    const struct noc_props *props; /* of MQTT 5, or NULL */
    struct timespec time;          /* when it came, wall clock */
    uint16_t mid;                  /* 0 at QoS 0 */
    uint8_t qos;
    bool is_retained;
};

/* Zero means: payloads, each with a line feed, as of Mosquitto 2.0. */
struct noc_output_options {
    const char *format; /* of -F, borrowed for _init() only; or NULL */
    bool is_verbose;    /* -v: the topic and a space first; -F wins over it */
    bool no_newline;    /* -N: no line feed after a message */
    bool is_pretty;     /* --pretty: JSON over several lines */
    bool is_compat_2_1; /* Mosquitto 2.1: %f and %d, separators in hex, a JSON of other details */
};

/* "2026-11-29T16:19:23+0100", and years that nobody will see. */
#define NOC_OUTPUT_ISO_SIZE 48

struct noc_output_item; /* a piece of a compiled format */

struct noc_output_format {
    struct noc_output_item *items; /* of -F, or NULL */
    size_t item_count;
    char *text; /* what the items of plain text point into */
    bool is_verbose, no_newline, is_pretty, is_compat_2_1;

    /* The second that was broken down last: as struct tm, and as of %I. */
    bool is_broken_down;
    time_t broken_down_time;
    struct tm broken_down;
    char iso[NOC_OUTPUT_ISO_SIZE];
};

/* Room for what is wrong with a format. */
enum { NOC_OUTPUT_FAULT_SIZE = 64 };

/*
 * Compile the options. Returns NOC_OK; NOC_EINVAL if the format is not good, and
 * fault is then one line that says why, without a line feed; or NOC_ENOMEM. In
 * any case _done() may be called.
 */
NOC_MUST_CHECK int noc_output_format_init(struct noc_output_format *format,
    const struct noc_output_options *options, char fault[NOC_OUTPUT_FAULT_SIZE]);
void noc_output_format_done(struct noc_output_format *format);

/* Why a message could not be shown whole. */
enum noc_output_fault {
    NOC_OUTPUT_NO_JSON,   /* %J, and the payload is not JSON */
    NOC_OUTPUT_NO_FLOAT,  /* %f, and the payload has not four bytes */
    NOC_OUTPUT_NO_DOUBLE, /* %d, and it has not eight */
};

/* What is wrong, as of "Error: TEXT on topic TOPIC.": a static string. Any thread. */
const char *noc_output_fault_text(enum noc_output_fault fault);

/*
 * Append a message. Returns NOC_OK; NOC_EMALFORMED if a code of the format cannot
 * show this payload, and *ret_fault then says what was asked for: such a code
 * shows nothing, the rest has been appended; or NOC_ENOMEM, with nothing appended.
 */
NOC_MUST_CHECK int noc_output_format_append(struct noc_output_format *format,
    const struct noc_output_message *message, struct noc_output_buffer *buffer,
    enum noc_output_fault *ret_fault);

#endif
