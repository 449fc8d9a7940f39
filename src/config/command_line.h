/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CONFIG_COMMAND_LINE_H
#define NOC_CONFIG_COMMAND_LINE_H
/*
 * The command line of `noctule broker`, and of `mosquitto` when the program is
 * called by that name. Parsing only: what to do is the caller's, and so is all
 * output.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"
#include "config/config.h"

#define NOC_COMMAND_LINE_PORTS 10

struct noc_command_line {
    const char *config_file; /* of argv, or NULL */
    const char *tls_keylog;  /* of argv, or NULL */
    uint16_t ports[NOC_COMMAND_LINE_PORTS];
    size_t port_count;
    bool is_daemon;
    bool is_quiet;
    bool is_verbose;

    /* What to do instead of running; at most one is set, the first in this order. */
    bool wants_help;
    bool wants_version;
    bool wants_option_list; /* is_json, is_man: in which form */
    bool wants_test;        /* --test-config */

    bool is_json;
    bool is_man;
    bool wants_explanation; /* --explain, with --test-config */

    char error[256];        /* after a failure: one line, as Mosquitto words it */
    bool error_wants_usage; /* after a failure: the usage text belongs behind it */
};

/*
 * Read argv[1..argc). as_mosquitto: exactly Mosquitto's options and usage.
 * Returns 0, or NOC_EINVAL with ret_line->error set: print it to stderr and
 * exit with NOC_CONFIG_EXIT_INVALID. *ret_line is always written; it points
 * into argv.
 */
NOC_MUST_CHECK int noc_command_line_parse(
    int argc, char *const argv[], bool as_mosquitto, struct noc_command_line *ret_line);

/* The options for noc_config_load() that follow from a command line; points into it. */
void noc_command_line_to_options(
    const struct noc_command_line *line, struct noc_config_options *ret_options);

/* Add the usage text. version is the version to name. */
void noc_command_line_usage(bool as_mosquitto, const char *version, struct noc_text *text);

/* An option, for lists of them; all static. */
struct noc_command_line_option {
    const char *short_name, *long_name; /* with their dashes; either may be NULL */
    const char *value;                  /* what follows it, or NULL: nothing */
    const char *help;
};

/* The index-th option in the order of the usage. False: there are not so many. */
NOC_MUST_CHECK bool noc_command_line_option_at(
    size_t index, bool as_mosquitto, struct noc_command_line_option *ret_option);

/* Add what --version prints. */
void noc_command_line_version(bool as_mosquitto, const char *version, struct noc_text *text);

#endif
