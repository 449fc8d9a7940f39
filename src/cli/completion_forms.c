/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The forms of command lines. Those of the broker and of the client tools are
 * taken from the tables that read their command lines. The other commands have
 * few options: they are listed here, and a test compares them with --help.
 */
#include "cli/client_parser.h"
#include "cli/completion.h"
#include "config/command_line.h"

#include <assert.h>
#include <string.h>

#define KINDS "sha512-pbkdf2 argon2id sha512"

static const struct noc_completion_option setup_options[] = {
    {NULL, "--user", "NAME", NULL, "the user's name", false},
    {NULL, "--port", "PORT", NULL, "first MQTT port to try", false},
    {NULL, "--websocket-port", "PORT", NULL, "first WebSocket port to try", false},
    {NULL, "--print-only", NULL, NULL, "only print again how clients connect", false},
    {NULL, "--help", NULL, NULL, "show the options", false},
};

static const struct noc_completion_operand setup_operands[] = {{0, "FOLDER", NULL, NULL}};

static const struct noc_completion_option ctl_options[] = {
    {"-c", NULL, "FILE", NULL, "ask the broker of this configuration", false},
    {NULL, "--socket", "SOCKET", NULL, "the control socket", false},
    {NULL, "--json", NULL, NULL, "print the answer as JSON", false},
    {NULL, "--help", NULL, NULL, "show the options", false},
};

static const struct noc_completion_operand ctl_operands[] = {
    {0, "COMMAND", "status clients reload", NULL}};

static const struct noc_completion_option bench_options[] = {
    {NULL, "--host", "HOST", NULL, "the broker's name or address", false},
    {NULL, "--port", "PORT", NULL, "its port", false},
    {NULL, "--scenario", "NAME",
        "1to1-64 fanout-500 qos1 qos2 kept-qos1 kept-qos2 ws steady-50k conns", "what to do",
        false},
    {NULL, "--seconds", "N", NULL, "time measured", false},
    {NULL, "--warmup", "N", NULL, "time not measured before", false},
    {NULL, "--count", "N", NULL, "publishers, or connections", false},
    {NULL, "--subscribers", "N", NULL, "for each publisher", false},
    {NULL, "--size", "BYTES", NULL, "of the payload", false},
    {NULL, "--window", "N", NULL, "messages under way for each publisher", false},
    {NULL, "--qos", "N", "0 1 2", "QoS of publishing and subscribing", false},
    {NULL, "--rate", "N", NULL, "messages a second in all", false},
    {NULL, "--protocol", "VERSION", "4 5", "MQTT 3.1.1 (4) or 5", false},
    {NULL, "--threads", "N", NULL, "threads of the generator", false},
    {NULL, "--burst", "N", NULL, "connections opened at a time", false},
    {NULL, "--keep", NULL, NULL, "subscribers' sessions outlive their connections", false},
    {NULL, "--ws", NULL, NULL, "over WebSocket", false},
    {NULL, "--ws-path", "PATH", NULL, "path of the upgrade", false},
    {NULL, "--user", "NAME", NULL, "user name", false},
    {NULL, "--pass", "TEXT", NULL, "password", false},
    {NULL, "--pid", "PID", NULL, "the broker's process", false},
    {NULL, "--name", "LABEL", NULL, "label of the result", false},
    {NULL, "--json", NULL, NULL, "print the result as JSON", false},
    {NULL, "--floor", NULL, NULL, "stand in for a broker that only moves bytes", false},
    {NULL, "--help", NULL, NULL, "show the options", false},
};

static const struct noc_completion_option passwd_options[] = {
    {"-c", NULL, NULL, NULL, "make the file anew", false},
    {"-b", NULL, NULL, NULL, "the password is the last word", false},
    {"-D", NULL, NULL, NULL, "delete the user", false},
    {"-U", NULL, NULL, NULL, "hash what is plain text", false},
    {"-H", NULL, "KIND", KINDS, "the kind of hash", false},
    {"-I", NULL, "COUNT", NULL, "iterations of sha512-pbkdf2", false},
    {NULL, "--json", NULL, NULL, "list for programs", false},
    {NULL, "--help", NULL, NULL, "show the options", false},
};

static const struct noc_completion_operand passwd_operands[] = {
    {0, "FILE", "hash check list del", NULL}, {1, "FILE", NULL, "check list del"}};

static const struct noc_completion_option mosquitto_passwd_options[] = {
    {"-b", NULL, NULL, NULL, "the password is the last word", false},
    {"-c", NULL, NULL, NULL, "make the file anew", false},
    {"-D", NULL, NULL, NULL, "delete the user", false},
    {"-H", NULL, "KIND", KINDS, "the kind of hash", false},
    {"-I", NULL, "COUNT", NULL, "iterations of sha512-pbkdf2", false},
    {"-U", NULL, NULL, NULL, "hash what is plain text", false},
};

static const struct noc_completion_operand mosquitto_passwd_operands[] = {{0, "FILE", NULL, NULL}};

static const struct noc_completion_option db_options[] = {
    {NULL, "--stats", NULL, NULL, "how many records of each kind", false},
    {NULL, "--client-stats", NULL, NULL, "a line for each client", false},
    {NULL, "--json", NULL, NULL, "one JSON object", false},
    {NULL, "--mosquitto", NULL, NULL, "export as a mosquitto.db", false},
    {NULL, "--help", NULL, NULL, "show the options", false},
};

static const struct noc_completion_operand db_operands[] = {
    {0, "COMMAND", "dump check salvage export", NULL},
    {1, "FILE", NULL, NULL},
    {2, "FILE", NULL, "salvage export"},
};

static const struct noc_completion_option mosquitto_db_dump_options[] = {
    {NULL, "--stats", NULL, NULL, "how many records of each kind", false},
    {NULL, "--client-stats", NULL, NULL, "a line for each client", false},
    {NULL, "--json", NULL, NULL, "one JSON object", false},
};

static const struct noc_completion_operand mosquitto_db_dump_operands[] = {{0, "FILE", NULL, NULL}};

static const struct noc_completion_option completion_options[] = {
    {NULL, "--help", NULL, NULL, "show the options", false},
};

static const struct noc_completion_operand completion_operands[] = {{0, "SHELL", "bash zsh", NULL}};

#define OPTIONS(list)  .options = (list), .option_count = NOC_COUNT(list)
#define OPERANDS(list) .operands = (list), .operand_count = NOC_COUNT(list)

static const struct listed {
    const char *name;
    const struct noc_completion_option *options;
    size_t option_count;
    const struct noc_completion_operand *operands;
    size_t operand_count;
} listed_forms[] = {
    {"setup", OPTIONS(setup_options), OPERANDS(setup_operands)},
    {"ctl", OPTIONS(ctl_options), OPERANDS(ctl_operands)},
    {"bench", OPTIONS(bench_options), .operands = NULL},
    {"passwd", OPTIONS(passwd_options), OPERANDS(passwd_operands)},
    {"mosquitto_passwd", OPTIONS(mosquitto_passwd_options), OPERANDS(mosquitto_passwd_operands)},
    {"db", OPTIONS(db_options), OPERANDS(db_operands)},
    {"mosquitto_db_dump", OPTIONS(mosquitto_db_dump_options), OPERANDS(mosquitto_db_dump_operands)},
    {"completion", OPTIONS(completion_options), OPERANDS(completion_operands)},
};

enum noc_completion_kind noc_completion_kind_of(const char *argument)
{
    static const struct {
        const char *argument;
        enum noc_completion_kind kind;
    } kinds[] = {
        {"FILE", NOC_COMPLETION_FILE},
        {"SOCKET", NOC_COMPLETION_FILE},
        {"FOLDER", NOC_COMPLETION_FOLDER},
        {"HOST", NOC_COMPLETION_HOST},
        {"COMMAND PROPERTY VALUE", NOC_COMPLETION_PROPERTY},
    };

    for (size_t i = 0; i < NOC_COUNT(kinds); i++) {
        if (strcmp(kinds[i].argument, argument) == 0) {
            return kinds[i].kind;
        }
    }
    return NOC_COMPLETION_TEXT;
}

static void add(struct noc_completion_form *form, const struct noc_completion_option *option)
{
    assert(form->option_count < NOC_COUNT(form->options));
    form->options[form->option_count++] = *option;
}

static void add_client_options(
    struct noc_completion_form *form, enum noc_client_tool tool, bool is_mosquitto)
{
    for (size_t i = 0; i < noc_client_option_count; i++) {
        const struct noc_client_option *row = &noc_client_options[i];

        if (noc_client_option_is_of(row, tool, is_mosquitto)) {
            add(form, &(struct noc_completion_option){row->short_name, row->long_name,
                          row->argument, row->words, row->help, row->repeats});
        }
    }
}

static void add_broker_options(struct noc_completion_form *form, bool is_mosquitto)
{
    struct noc_command_line_option row;

    for (size_t i = 0; noc_command_line_option_at(i, is_mosquitto, &row); i++) {
        add(form, &(struct noc_completion_option){
                      row.short_name, row.long_name, row.value, NULL, row.help, false});
    }
}

/* Those of the tables. False: it is none of them. */
static bool add_by_table(struct noc_completion_form *form)
{
    static const struct {
        const char *name, *program;
        enum noc_client_tool tool;
    } tools[] = {
        {"pub", "mosquitto_pub", NOC_TOOL_PUB},
        {"sub", "mosquitto_sub", NOC_TOOL_SUB},
        {"rr", "mosquitto_rr", NOC_TOOL_RR},
    };

    for (size_t i = 0; i < NOC_COUNT(tools); i++) {
        bool is_mosquitto = strcmp(form->name, tools[i].program) == 0;

        if (is_mosquitto || strcmp(form->name, tools[i].name) == 0) {
            add_client_options(form, tools[i].tool, is_mosquitto);
            return true;
        }
    }
    if (strcmp(form->name, "broker") == 0 || strcmp(form->name, "mosquitto") == 0) {
        add_broker_options(form, strcmp(form->name, "mosquitto") == 0);
        return true;
    }
    return false;
}

bool noc_completion_form_init(struct noc_completion_form *form, const char *name)
{
    *form = (struct noc_completion_form){.name = name};
    for (size_t i = 0; i < NOC_COUNT(listed_forms); i++) {
        const struct listed *listed = &listed_forms[i];

        if (strcmp(listed->name, name) == 0) {
            for (size_t k = 0; k < listed->option_count; k++) {
                add(form, &listed->options[k]);
            }
            form->operands = listed->operands;
            form->operand_count = listed->operand_count;
            return true;
        }
    }
    return add_by_table(form);
}
