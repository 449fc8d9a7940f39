/* SPDX-License-Identifier: Apache-2.0 */
/* --help and --version of the client tools. Help is made from the table of options. */
#include "cli/client_parser.h"

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

        if ((option->tools & (unsigned)settings->tool) != 0 &&
            !(option->is_own && settings->is_mosquitto)) {
            print_option(option);
        }
    }
    printf("\nOptions are read first from $XDG_CONFIG_HOME/mosquitto_%s, or\n"
           "~/.config/mosquitto_%s: one on a line, after a space its value.\n",
        strrchr(settings->program, settings->is_mosquitto ? '_' : ' ') + 1,
        strrchr(settings->program, settings->is_mosquitto ? '_' : ' ') + 1);
}
