/* SPDX-License-Identifier: Apache-2.0 */
#include "config/command_line.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/parser.h"
#include <noctule/error.h>
#include <noctule/slice.h>

enum command {
    COMMAND_CONFIG,
    COMMAND_DAEMON,
    COMMAND_HELP,
    COMMAND_PORT,
    COMMAND_QUIET,
    COMMAND_VERBOSE,
    COMMAND_VERSION,
    COMMAND_TEST,
    COMMAND_KEYLOG,
    COMMAND_LIST,
    COMMAND_JSON,
    COMMAND_MAN,
    COMMAND_EXPLAIN
};

struct command_option {
    const char *short_name, *long_name; /* either may be NULL */
    enum command command;
    const char *value; /* what follows it, for the usage text; NULL: nothing */
    bool is_own;       /* Mosquitto does not have it */
    const char *help;
};

static const struct command_option commands[] = {
    {"-c", "--config-file", COMMAND_CONFIG, "FILE", false, "read the configuration from FILE"},
    {"-d", "--daemon", COMMAND_DAEMON, NULL, false, "run in the background"},
    {"-h", "--help", COMMAND_HELP, NULL, false, "show this help"},
    {"-p", "--port", COMMAND_PORT, "PORT", false,
        "listen on PORT for clients on this machine, unless FILE defines\n"
        "                        a listener; up to ten times"},
    {"-q", "--quiet", COMMAND_QUIET, NULL, false, "log nothing, whatever FILE says"},
    {"-v", "--verbose", COMMAND_VERBOSE, NULL, false, "log everything, whatever FILE says"},
    {NULL, "--version", COMMAND_VERSION, NULL, false, "show the version"},
    {NULL, "--test-config", COMMAND_TEST, NULL, false,
        "check FILE and the files it names, then exit"},
    {NULL, "--tls-keylog", COMMAND_KEYLOG, "FILE", false,
        "write TLS secrets to FILE, to read captured traffic with"},
    {NULL, "--explain", COMMAND_EXPLAIN, NULL, true,
        "with --test-config: show all values and where they come from"},
    {NULL, "--list-options", COMMAND_LIST, NULL, true,
        "show all options of the configuration file"},
    {NULL, "--json", COMMAND_JSON, NULL, true, "with --list-options: as JSON"},
    {NULL, "--man", COMMAND_MAN, NULL, true, "with --list-options: as a section of a man page"},
};

static const struct command_option *find_command(const char *argument, bool as_mosquitto)
{
    for (size_t i = 0; i < NOC_COUNT(commands); i++) {
        const struct command_option *option = &commands[i];

        if ((option->short_name != NULL && strcmp(argument, option->short_name) == 0) ||
            (option->long_name != NULL && strcmp(argument, option->long_name) == 0)) {
            return option->is_own && as_mosquitto ? NULL : option;
        }
    }
    return NULL;
}

bool noc_command_line_option_at(
    size_t index, bool as_mosquitto, struct noc_command_line_option *ret_option)
{
    for (size_t i = 0; i < NOC_COUNT(commands); i++) {
        const struct command_option *option = &commands[i];

        if (!(option->is_own && as_mosquitto) && index-- == 0) {
            *ret_option = (struct noc_command_line_option){
                option->short_name, option->long_name, option->value, option->help};
            return true;
        }
    }
    return false;
}

static int fail(struct noc_command_line *line, const char *format, ...) NOC_PRINTF(2, 3);

static int fail(struct noc_command_line *line, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(line->error, sizeof(line->error), format, arguments);
    va_end(arguments);
    return NOC_EINVAL;
}

static int take_port(struct noc_command_line *line, const char *value)
{
    int64_t port;

    if (line->port_count == NOC_COMMAND_LINE_PORTS) {
        return fail(line, "Error: Only %d ports can be specified on the command line.",
            NOC_COMMAND_LINE_PORTS);
    }
    if (!noc_number_read(noc_slice_of(value), &port) || port < 1 || port > 65535) {
        return fail(
            line, "Error: Invalid port specified (%.100s). Use a number from 1 to 65535.", value);
    }
    line->ports[line->port_count++] = (uint16_t)port;
    return NOC_OK;
}

static int take_config_file(struct noc_command_line *line, const char *value)
{
    if (line->config_file != NULL) {
        return fail(line, "Error: -c given twice. Use include_dir to read several files.");
    }
    line->config_file = value;
    return NOC_OK;
}

static int missing_value(struct noc_command_line *line, enum command command, const char *argument)
{
    if (command == COMMAND_CONFIG) {
        return fail(line, "Error: %s argument given, but no config file specified.", argument);
    }
    if (command == COMMAND_PORT) {
        return fail(line, "Error: %s argument given, but no port specified.", argument);
    }
    return fail(line, "Error: %s argument given, but no file specified.", argument);
}

/* Carry one option out; value is NULL where it has none. */
static int take(struct noc_command_line *line, enum command command, const char *value)
{
    switch (command) {
    case COMMAND_CONFIG:
        return take_config_file(line, value);
    case COMMAND_PORT:
        return take_port(line, value);
    case COMMAND_KEYLOG:
        line->tls_keylog = value;
        break;
    case COMMAND_DAEMON:
        line->is_daemon = true;
        break;
    case COMMAND_HELP:
        line->wants_help = true;
        break;
    case COMMAND_QUIET:
        line->is_quiet = true;
        break;
    case COMMAND_VERBOSE:
        line->is_verbose = true;
        break;
    case COMMAND_VERSION:
        line->wants_version = true;
        break;
    case COMMAND_TEST:
        line->wants_test = true;
        break;
    case COMMAND_LIST:
        line->wants_option_list = true;
        break;
    case COMMAND_JSON:
        line->is_json = true;
        break;
    case COMMAND_MAN:
        line->is_man = true;
        break;
    case COMMAND_EXPLAIN:
        line->wants_explanation = true;
        break;
    default:
        break;
    }
    return NOC_OK;
}

/* Of several things to do instead of running, keep the first in the struct's order. */
static int settle(struct noc_command_line *line)
{
    bool is_answered = line->wants_help || line->wants_version;

    line->wants_version = line->wants_version && !line->wants_help;
    line->wants_option_list = line->wants_option_list && !line->wants_help && !line->wants_version;
    line->wants_test =
        line->wants_test && !line->wants_help && !line->wants_version && !line->wants_option_list;
    if (line->wants_test && line->config_file == NULL) {
        return fail(line, "Error: --test-config needs a config file. Add: -c FILE");
    }
    if (line->wants_explanation && !line->wants_test && !line->wants_option_list && !is_answered) {
        return fail(line, "Error: --explain goes with --test-config. Add: --test-config");
    }
    if ((line->is_json || line->is_man) && !line->wants_option_list && !is_answered) {
        return fail(line, "Error: --%s goes with --list-options. Add: --list-options",
            line->is_json ? "json" : "man");
    }
    return NOC_OK;
}

int noc_command_line_parse(
    int argc, char *const argv[], bool as_mosquitto, struct noc_command_line *ret_line)
{
    *ret_line = (struct noc_command_line){0};
    for (int i = 1; i < argc; i++) {
        const struct command_option *option = find_command(argv[i], as_mosquitto);
        const char *name = argv[i];
        int err;

        if (option == NULL) {
            ret_line->error_wants_usage = true;
            return fail(ret_line, "Error: Unknown option '%.200s'.", name);
        }
        if (option->value != NULL && ++i >= argc) {
            return missing_value(ret_line, option->command, name);
        }
        err = take(ret_line, option->command, option->value == NULL ? NULL : argv[i]);
        if (err != NOC_OK) {
            return err;
        }
    }
    return settle(ret_line);
}

void noc_command_line_to_options(
    const struct noc_command_line *line, struct noc_config_options *ret_options)
{
    *ret_options = (struct noc_config_options){
        .local_ports = line->ports,
        .local_port_count = line->port_count,
        .is_verbose = line->is_verbose,
        .is_quiet = line->is_quiet,
    };
}

void noc_command_line_version(bool as_mosquitto, const char *version, struct noc_text *text)
{
    noc_text_add(text, "%s version %s\n", as_mosquitto ? "mosquitto" : "noctule", version);
}

void noc_command_line_usage(bool as_mosquitto, const char *version, struct noc_text *text)
{
    noc_command_line_version(as_mosquitto, version, text);
    noc_text_add(text,
        "\nAn MQTT v5.0/v3.1.1/v3.1 broker.\n\nUsage: %s [-c FILE] [-d] [-h] [-p PORT] [-q] [-v]\n"
        "       [--test-config] [--tls-keylog FILE] [--version]\n\n",
        as_mosquitto ? "mosquitto" : "noctule broker");
    for (size_t i = 0; i < NOC_COUNT(commands); i++) {
        const struct command_option *option = &commands[i];
        char names[64];

        if (option->is_own && as_mosquitto) {
            continue;
        }
        (void)snprintf(names, sizeof(names), "%s%s%s%s%s",
            option->short_name == NULL ? "    " : option->short_name,
            option->short_name == NULL ? "" : ", ", option->long_name,
            option->value == NULL ? "" : " ", option->value == NULL ? "" : option->value);
        noc_text_add(text, " %-22s %s\n", names, option->help);
    }
    noc_text_add(text, "\nWithout -c only clients on this machine can connect, on port 1883.\n");
}
