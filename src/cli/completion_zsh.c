/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The script for zsh: for each form a call of zsh's _arguments, which shows the
 * options with their help. It works as a file in a folder of fpath, and sourced.
 */
#include "cli/client_parser.h"
#include "cli/commands.h"
#include "cli/completion.h"

#include <stdio.h>
#include <string.h>

enum { HELP_MAX = 90 };

/* ---- texts within single quotes, in a specification of _arguments ---- */

static void print_escaped(const char *at, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (at[i] == '\'') {
            fputs("'\\''", stdout);
            continue;
        }
        if (strchr(":[]\\", at[i]) != NULL) {
            fputs("\\", stdout);
        }
        (void)putchar(at[i]);
    }
}

/* Copy help's first statement, with single blanks between its words, cut at the last that fits. */
static size_t shorten(const char *help, char text[HELP_MAX])
{
    size_t n = 0;

    for (const char *at = help; *at != '\0' && *at != ';'; at++) {
        bool is_blank = *at == ' ' || *at == '\n';

        if ((*at == '.' && at[1] == ' ') || (*at == ':' && at[1] == '\n')) {
            break;
        }
        if (is_blank && n > 0 && text[n - 1] == ' ') {
            continue;
        }
        if (n == HELP_MAX) {
            while (n > 0 && text[n - 1] != ' ') {
                n--;
            }
            break;
        }
        text[n++] = is_blank ? ' ' : *at;
    }
    while (n > 0 && strchr(" ,", text[n - 1]) != NULL) {
        n--;
    }
    return n;
}

static void print_help(const char *help)
{
    char text[HELP_MAX];
    size_t n = shorten(help, text);

    fputs("'[", stdout);
    print_escaped(text, n);
    fputs("]", stdout);
}

/* ---- what can be there ---- */

static void print_action(const char *argument, const char *words)
{
    const enum noc_completion_kind kind = noc_completion_kind_of(argument);

    if (words != NULL && kind == NOC_COMPLETION_FILE) {
        printf("{ compadd -- %s; _files }", words);
    } else if (words != NULL) {
        printf("(%s)", words);
    } else {
        fputs(kind == NOC_COMPLETION_FILE     ? "_files"
              : kind == NOC_COMPLETION_FOLDER ? "_files -/"
              : kind == NOC_COMPLETION_HOST   ? "_hosts"
                                              : " ",
            stdout);
    }
}

/* ":FILE:_files" */
static void print_argument(const struct noc_completion_option *option)
{
    if (option->argument == NULL) {
        return;
    }
    if (noc_completion_kind_of(option->argument) == NOC_COMPLETION_PROPERTY) {
        fputs(":packet:_noctule_packets:property:_noctule_properties:value: ", stdout);
        return;
    }
    fputs(":", stdout);
    print_escaped(option->argument, strlen(option->argument));
    fputs(":", stdout);
    print_action(option->argument, option->words);
}

/* '(-q --qos)'{-q,--qos}'[help]:QOS:(0 1 2)' */
static void print_option(const struct noc_completion_option *option)
{
    bool has_both = option->short_name != NULL && option->long_name != NULL;

    fputs(" \\\n        ", stdout);
    if (option->repeats) {
        fputs("'*'", stdout);
    } else if (has_both) {
        printf("'(%s %s)'", option->short_name, option->long_name);
    }
    if (has_both) {
        printf("{%s,%s}", option->short_name, option->long_name);
    } else {
        fputs(option->short_name == NULL ? option->long_name : option->short_name, stdout);
    }
    print_help(option->help);
    print_argument(option);
    fputs("'", stdout);
}

/* '1:COMMAND:(status clients)'; one that depends on the first asks the words for it. */
static void print_operand(const struct noc_completion_operand *operand)
{
    printf(" \\\n        '%zu:", operand->position + 1);
    print_escaped(operand->argument, strlen(operand->argument));
    fputs(":", stdout);
    if (operand->after == NULL) {
        print_action(operand->argument, operand->words);
    } else {
        fputs("{ (( $words[(I)(", stdout);
        for (const char *at = operand->after; *at != '\0'; at++) {
            (void)putchar(*at == ' ' ? '|' : *at);
        }
        fputs(")] )) && ", stdout);
        print_action(operand->argument, operand->words);
        fputs(" }", stdout);
    }
    fputs("'", stdout);
}

static void print_form(const char *name)
{
    struct noc_completion_form form;

    if (name == NULL || !noc_completion_form_init(&form, name)) {
        return;
    }
    printf("_noctule_form_%s() {\n    _arguments", name);
    for (size_t i = 0; i < form.option_count; i++) {
        print_option(&form.options[i]);
    }
    for (size_t i = 0; i < form.operand_count; i++) {
        print_operand(&form.operands[i]);
    }
    fputs("\n}\n\n", stdout);
}

static void print_properties(void)
{
    fputs("_noctule_packets() {\n    compadd \"$@\" -M 'm:{A-Z}={a-z}' --", stdout);
    for (unsigned i = 0; i < NOC_CLIENT_PROPS_COUNT; i++) {
        printf(" %s", noc_client_packet_name((enum noc_client_props)i));
    }
    fputs("\n}\n\n"
          "_noctule_properties() {\n    case ${(L)words[CURRENT - 1]} in\n",
        stdout);
    for (unsigned i = 0; i < NOC_CLIENT_PROPS_COUNT; i++) {
        const enum noc_client_props where = (enum noc_client_props)i;
        const char *name;

        printf("    (%s) compadd \"$@\" --", noc_client_packet_name(where));
        for (size_t k = 0; (name = noc_client_property_name(where, k)) != NULL; k++) {
            printf(" %s", name);
        }
        fputs(" ;;\n", stdout);
    }
    fputs("    esac\n}\n\n", stdout);
}

/* ---- the whole ---- */

static void print_programs(void)
{
    for (size_t i = 0; i < noc_cli_command_count; i++) {
        if (noc_cli_commands[i].program != NULL) {
            printf(" %s", noc_cli_commands[i].program);
        }
    }
}

static void print_commands(void)
{
    fputs("_noctule_commands() {\n    local -a commands=(\n", stdout);
    for (size_t i = 0; i < noc_cli_command_count; i++) {
        printf("        '%s:", noc_cli_commands[i].name);
        print_escaped(noc_cli_commands[i].help, strlen(noc_cli_commands[i].help));
        fputs("'\n", stdout);
    }
    fputs("    )\n"
          "    _describe command commands\n"
          "    compadd -- --help --version\n"
          "}\n"
          "\n",
        stdout);
}

void noc_completion_print_zsh(void)
{
    fputs("#compdef noctule", stdout);
    print_programs();
    fputs("\n"
          "# Completion for zsh, of noctule " NOC_VERSION
          " and of links to it that bear the names\n"
          "# of Mosquitto's programs. Made by `noctule completion zsh`.\n"
          "\n",
        stdout);
    print_commands();
    for (size_t i = 0; i < noc_cli_command_count; i++) {
        print_form(noc_cli_commands[i].name);
        print_form(noc_cli_commands[i].program);
    }
    print_properties();
    /* zsh takes back what a called function does to words, so it is done here. */
    fputs(
        "_noctule() {\n"
        "    local -i i\n"
        "\n"
        "    # A user-property has four words: without its name it is like the other properties.\n"
        "    for (( i = CURRENT - 2; i > 2; i-- )); do\n"
        "        if [[ $words[i-2] == (-D|--property) && ${(L)words[i]} == user-property ]]; then\n"
        "            words[i+1]=()\n"
        "            (( CURRENT-- ))\n"
        "        fi\n"
        "    done\n"
        "    if [[ $service == mosquitto* ]]; then\n"
        "        local program=${~${(Q)words[1]}}\n"
        "\n"
        "        program=${${commands[$program]:-$program}:A:t}\n"
        "        [[ $program == noctule ]] || { _default; return } # not a link to it\n"
        "        _noctule_form_$service\n"
        "    elif (( CURRENT == 2 )); then\n"
        "        _noctule_commands\n"
        "    else\n"
        "        shift words\n"
        "        (( CURRENT-- ))\n"
        "        case $words[1] in\n",
        stdout);
    for (size_t i = 0; i < noc_cli_command_count; i++) {
        printf("        (%s) _noctule_form_%s ;;\n", noc_cli_commands[i].name,
            noc_cli_commands[i].name);
    }
    fputs("        esac\n"
          "    fi\n"
          "}\n"
          "\n"
          "if [[ $funcstack[1] == _noctule ]]; then\n"
          "    _noctule \"$@\"\n"
          "else\n"
          "    compdef _noctule noctule",
        stdout);
    print_programs();
    fputs("\nfi\n", stdout);
}
