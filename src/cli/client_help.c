/* SPDX-License-Identifier: Apache-2.0 */
/* --help, --version and --man of the client tools, made from the table of options. */
#include "cli/client_parser.h"
#include "config/text.h"
#include <noctule/error.h>

#include <ctype.h>
#include <stdio.h>
#include <string.h>

struct purpose {
    const char *what, *usage;
};

static struct purpose purpose_of(enum noc_client_tool tool)
{
    switch (tool) {
    case NOC_TOOL_PUB:
        return (struct purpose){
            "publish a message to an MQTT broker", "-t TOPIC {-m TEXT | -f FILE | -s | -l | -n}"};
    case NOC_TOOL_SUB:
        return (struct purpose){"subscribe at an MQTT broker, and show what comes", "-t FILTER"};
    case NOC_TOOL_RR:
        return (struct purpose){"send a request through an MQTT broker, and show the response",
            "-t TOPIC -e RESPONSE_TOPIC {-m TEXT | -f FILE | -s | -n}"};
    }
    return (struct purpose){"", ""};
}

static void print_option(const struct noc_client_option *option)
{
    const char *line = option->help;
    size_t n = strcspn(line, "\n");

    fputs("  ", stdout);
    if (option->short_name != NULL) {
        fputs(option->short_name, stdout);
    }
    if (option->short_name != NULL && option->long_name != NULL) {
        fputs(", ", stdout);
    }
    if (option->long_name != NULL) {
        fputs(option->long_name, stdout);
    }
    printf("%s%s\n", option->argument == NULL ? "" : " ",
        option->argument == NULL ? "" : option->argument);
    for (;;) {
        printf("        %.*s\n", (int)n, line);
        if (line[n] == '\0') {
            break;
        }
        line += n + 1;
        n = strcspn(line, "\n");
    }
}

void noc_client_print_version(const struct noc_client_settings *settings)
{
    printf("%s version " NOC_VERSION ", of Noctule.\n", settings->program);
}

void noc_client_print_help(const struct noc_client_settings *settings)
{
    const struct purpose purpose = purpose_of(settings->tool);

    printf("%s: %s.\n", settings->program, purpose.what);
    noc_client_print_version(settings);
    printf("\n"
           "Usage: %s [-h HOST] [-p PORT] %s [OPTION...]\n"
           "       %s -L URL [OPTION...]\n"
           "\n",
        settings->program, purpose.usage, settings->program);
    for (size_t i = 0; i < noc_client_option_count; i++) {
        const struct noc_client_option *option = &noc_client_options[i];

        if (noc_client_option_is_of(option, settings->tool, settings->is_mosquitto)) {
            print_option(option);
        }
    }
    printf("\nOptions are read first from $XDG_CONFIG_HOME/mosquitto_%s, or\n"
           "~/.config/mosquitto_%s: one on a line, after a space its value.\n",
        strrchr(settings->program, settings->is_mosquitto ? '_' : ' ') + 1,
        strrchr(settings->program, settings->is_mosquitto ? '_' : ' ') + 1);
}

/* ---- the manual ---- */

static void add_name(struct noc_text *text, const char *name)
{
    noc_text_add(text, "\\fB");
    noc_text_add_roff(text, name);
    noc_text_add(text, "\\fR");
}

/* Does the line begin with the form of a URL? */
static bool is_form(const char *line)
{
    const char *sign = strstr(line, "://");

    return sign != NULL && (size_t)(sign - line) < strcspn(line, " \n");
}

/* Help as a sentence. Forms of a URL keep their lines. */
static void add_help(struct noc_text *text, const char *help)
{
    char first[2] = {(char)toupper((unsigned char)help[0]), '\0'};
    const char *end = help + strlen(help);

    noc_text_add_roff(text, first);
    noc_text_add_roff_bytes(text, help + 1, strcspn(help, "\n") - 1);
    for (const char *at = strchr(help, '\n'); at != NULL; at = strchr(at, '\n')) {
        at++;
        noc_text_add(text, is_form(at) ? "\n.br\n" : "\n");
        noc_text_add_roff_bytes(text, at, strcspn(at, "\n"));
    }
    noc_text_add(text, "%s\n", end[-1] == '.' ? "" : ".");
}

static void add_option(struct noc_text *text, const struct noc_client_option *option)
{
    noc_text_add(text, ".TP\n");
    if (option->short_name != NULL) {
        add_name(text, option->short_name);
    }
    noc_text_add(text, "%s", option->short_name != NULL && option->long_name != NULL ? ", " : "");
    if (option->long_name != NULL) {
        add_name(text, option->long_name);
    }
    if (option->argument != NULL) {
        noc_text_add(text, " \\fI");
        noc_text_add_roff(text, option->argument);
        noc_text_add(text, "\\fR");
    }
    noc_text_add(text, "\n");
    add_help(text, option->help);
    if (option->is_own) {
        noc_text_add(text, "Not known under Mosquitto's names.\n");
    } else if (option->since == NOC_SINCE_OURS) {
        noc_text_add(text, "Mosquitto does not have it.\n");
    } else if (option->since == NOC_SINCE_2_1) {
        noc_text_add(text, "Mosquitto has it since 2.1.\n");
    }
}

int noc_client_print_man(const struct noc_client_settings *settings)
{
    const char *heading = NULL, *printed = NULL;
    struct noc_text text;
    int err = NOC_ENOMEM;

    noc_text_init(&text);
    noc_text_add(&text, ".SH OPTIONS\n");
    for (size_t i = 0; i < noc_client_option_count; i++) {
        const struct noc_client_option *option = &noc_client_options[i];

        heading = option->heading != NULL ? option->heading : heading;
        if (!noc_client_option_is_of(option, settings->tool, settings->is_mosquitto)) {
            continue;
        }
        if (heading != printed) {
            noc_text_add(&text, ".SS %s\n", heading);
            printed = heading;
        }
        add_option(&text, option);
    }
    if (!text.is_broken) {
        (void)fputs(text.at, stdout);
        err = NOC_OK;
    }
    noc_text_done(&text);
    return err;
}
