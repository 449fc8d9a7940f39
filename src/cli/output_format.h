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
    const char *format;   /* of -F, borrowed for _init() only; or NULL */
    bool is_verbose;      /* -v: the topic and a space first; -F wins over it */
    bool no_newline;      /* -N; does not apply to formats that are not empty */
    bool is_pretty;       /* --pretty: JSON over several lines */
    bool is_retain_bool;  /* 2.1: %j says true or false; 2.0 says 1 or 0 */
    bool can_print_float; /* 2.1: %f and %d are known */
};

struct noc_output_item; /* a piece of a compiled format */

struct noc_output_format {
    struct noc_output_item *items; /* of -F, or NULL */
    size_t item_count;
    char *text; /* what the items of plain text point into */
    bool is_verbose, no_newline, is_pretty, is_retain_bool;

    /* The second that was broken down last. */
    time_t broken_down_time;
    struct tm broken_down;
    bool is_broken_down;
};

/*
 * Compile the options. Returns NOC_OK; NOC_EINVAL if the format is not good, and
 * *ret_fault is then one line that says why, without a line feed (a static
 * string); or NOC_ENOMEM.
 */
NOC_MUST_CHECK int noc_output_format_init(struct noc_output_format *format,
    const struct noc_output_options *options, const char **ret_fault);
void noc_output_format_done(struct noc_output_format *format);

/*
 * Append a message. Returns NOC_OK; NOC_EMALFORMED if %J met a payload that is
 * not JSON (what stood before it in the format has been appended, the rest is
 * left out: say so to the user); or NOC_ENOMEM.
 */
NOC_MUST_CHECK int noc_output_format_append(struct noc_output_format *format,
    const struct noc_output_message *message, struct noc_output_buffer *buffer);

#endif
