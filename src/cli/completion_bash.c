/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The script for bash (4.0 and later; the package bash-completion is not needed).
 *
 * For each form it has a function that tells what follows an option, what the
 * options are, and what the next operand can be. One function walks along the
 * words with it. What can follow ("want") is one word:
 *
 *   text   file   folder   host   packet   property   key
 *   =A B   one of these        file=A B   the same, or a file
 */
#include "cli/client_parser.h"
#include "cli/commands.h"
#include "cli/completion.h"

#include <stdio.h>
#include <string.h>

/* What stands before the forms. */
static const char head[] =
    "# Completion for bash, of noctule " NOC_VERSION " and of links to it that bear the names\n"
    "# of Mosquitto's programs. Made by `noctule completion bash`.\n"
    "\n";

/* What stands behind them, up to the names that are completed. */
static const char walker[] =
    "# Is this program of Mosquitto's name a link to noctule?\n"
    "_noctule_is_link() {\n"
    "    local path\n"
    "\n"
    "    path=$(type -P -- \"$1\") && [[ $(readlink -f -- \"$path\") == */noctule ]]\n"
    "}\n"
    "\n"
    "# Offer what may follow ($1) of what begins with $2.\n"
    "_noctule_offer() {\n"
    "    local words=''\n"
    "\n"
    "    if [[ $1 == *=* ]]; then\n"
    "        words=${1#*=}\n"
    "        [[ $2 == [[:upper:]]* && $3 == upper ]] && words=${words^^}\n"
    "        mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$2\")\n"
    "    fi\n"
    "    case ${1%%=*} in\n"
    "    file)\n"
    "        compopt -o filenames 2>/dev/null\n"
    "        mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -f -- \"$2\")\n"
    "        ;;\n"
    "    folder)\n"
    "        compopt -o filenames 2>/dev/null\n"
    "        mapfile -t COMPREPLY < <(compgen -d -- \"$2\")\n"
    "        ;;\n"
    "    host) mapfile -t COMPREPLY < <(compgen -A hostname -- \"$2\") ;;\n"
    "    esac\n"
    "}\n"
    "\n"
    "# From the word $2 on: what may come at the cursor. Sets want, packet, and count and first\n"
    "# of the operands. False: the word is the rest of one that bash has split.\n"
    "_noctule_walk() {\n"
    "    local i word\n"
    "\n"
    "    for ((i = $2; i <= COMP_CWORD; i++)); do\n"
    "        word=${COMP_WORDS[i]}\n"
    "        if [[ $word == [:=]* ]]; then\n"
    "            [[ $want && ${COMP_WORDS[i - 1]} == --* ]] && continue # --option=value\n"
    "            ((++i < COMP_CWORD)) || return\n"
    "            continue\n"
    "        fi\n"
    "        ((i < COMP_CWORD)) || break\n"
    "        case $want in\n"
    "        '')\n"
    "            if [[ $word == -?* ]]; then\n"
    "                \"_noctule_form_$1\" \"$word\"\n"
    "            else\n"
    "                ((count++)) || first=$word\n"
    "            fi\n"
    "            ;;\n"
    "        packet) packet=${word,,} want=property ;;\n"
    "        property) [[ ${word,,} == user-property ]] && want=key || want=text ;;\n"
    "        key) want=text ;;\n"
    "        *) want= ;;\n"
    "        esac\n"
    "    done\n"
    "}\n"
    "\n"
    "_noctule_line() {\n"
    "    local cur=$3 want='' packet='' count=0 first='' options='' operand=''\n"
    "\n"
    "    _noctule_walk \"$1\" \"$2\" || return 0\n"
    "    case $want in\n"
    "    '')\n"
    "        \"_noctule_form_$1\" ''\n"
    "        if [[ $cur == -* || -z $operand ]]; then\n"
    "            operand=\"=$options\"\n"
    "        fi\n"
    "        _noctule_offer \"$operand\" \"$cur\"\n"
    "        ;;\n"
    "    packet) _noctule_offer \"=$(_noctule_properties '')\" \"$cur\" upper ;;\n"
    "    property) _noctule_offer \"=$(_noctule_properties \"$packet\")\" \"$cur\" ;;\n"
    "    *) _noctule_offer \"$want\" \"$cur\" ;;\n"
    "    esac\n"
    "}\n"
    "\n"
    "_noctule() {\n"
    "    local program=${COMP_WORDS[0]##*/} cur=$2\n"
    "\n"
    "    COMPREPLY=()\n"
    "    [[ $cur == [:=]* ]] && cur=\n"
    "    case $program in\n"
    "    mosquitto | mosquitto_*)\n"
    "        if _noctule_is_link \"${COMP_WORDS[0]}\"; then\n"
    "            _noctule_line \"$program\" 1 \"$cur\"\n"
    "        else\n"
    "            compopt -o bashdefault -o default 2>/dev/null\n"
    "        fi\n"
    "        ;;\n"
    "    *)\n"
    "        if ((COMP_CWORD == 1)); then\n"
    "            _noctule_offer \"=$_noctule_commands\" \"$cur\"\n"
    "        elif [[ \" $_noctule_commands \" == *\" ${COMP_WORDS[1]} \"* && ${COMP_WORDS[1]} != "
    "-* ]]; "
    "then\n"
    "            _noctule_line \"${COMP_WORDS[1]}\" 2 \"$cur\"\n"
    "        fi\n"
    "        ;;\n"
    "    esac\n"
    "    return 0\n"
    "}\n"
    "\n";

/* ---- forms ---- */

static const char *kind_word(const char *argument)
{
    switch (noc_completion_kind_of(argument)) {
    case NOC_COMPLETION_FILE:
        return "file";
    case NOC_COMPLETION_FOLDER:
        return "folder";
    case NOC_COMPLETION_HOST:
        return "host";
    case NOC_COMPLETION_PROPERTY:
        return "packet";
    case NOC_COMPLETION_TEXT:
        break;
    }
    return "text";
}

/* "file", "=0 1 2", "file=hash check" */
static void print_want(const char *argument, const char *words)
{
    const char *kind = kind_word(argument);

    if (words == NULL) {
        printf("'%s'", kind);
    } else {
        printf("'%s=%s'", strcmp(kind, "text") == 0 ? "" : kind, words);
    }
}

/* "-q | --qos": the names of an option with something between them. */
static void print_names(const struct noc_completion_option *option, const char *between)
{
    bool has_both = option->short_name != NULL && option->long_name != NULL;

    printf("%s%s%s", option->short_name == NULL ? "" : option->short_name, has_both ? between : "",
        option->long_name == NULL ? "" : option->long_name);
}

static void print_options(const struct noc_completion_form *form)
{
    fputs("    options='", stdout);
    for (size_t i = 0; i < form->option_count; i++) {
        fputs(i == 0 ? "" : " ", stdout);
        print_names(&form->options[i], " ");
    }
    fputs("'\n    case $1 in\n", stdout);
    for (size_t i = 0; i < form->option_count; i++) {
        const struct noc_completion_option *option = &form->options[i];

        if (option->argument != NULL) {
            fputs("    ", stdout);
            print_names(option, " | ");
            fputs(") want=", stdout);
            print_want(option->argument, option->words);
            fputs(" ;;\n", stdout);
        }
    }
    fputs("    esac\n", stdout);
}

/* "0:*)", or "1:check | 1:list)" */
static void print_operand_case(const struct noc_completion_operand *operand)
{
    const char *at = operand->after == NULL ? "*" : operand->after;

    for (;;) {
        size_t n = strcspn(at, " ");

        printf("%zu:%.*s", operand->position, (int)n, at);
        if (at[n] == '\0') {
            break;
        }
        fputs(" | ", stdout);
        at += n + 1;
    }
}

static void print_operands(const struct noc_completion_form *form)
{
    if (form->operand_count == 0) {
        return;
    }
    fputs("    case $count:$first in\n", stdout);
    for (size_t i = 0; i < form->operand_count; i++) {
        const struct noc_completion_operand *operand = &form->operands[i];

        fputs("    ", stdout);
        print_operand_case(operand);
        fputs(") operand=", stdout);
        print_want(operand->argument, operand->words);
        fputs(" ;;\n", stdout);
    }
    fputs("    esac\n", stdout);
}

static void print_form(const char *name)
{
    struct noc_completion_form form;

    if (name == NULL || !noc_completion_form_init(&form, name)) {
        return;
    }
    printf("_noctule_form_%s() {\n", name);
    print_options(&form);
    print_operands(&form);
    fputs("}\n\n", stdout);
}

/* ---- properties ---- */

static void print_properties(void)
{
    fputs("# The properties of a packet; without one, the packets.\n"
          "_noctule_properties() {\n"
          "    case $1 in\n"
          "    '') echo",
        stdout);
    for (unsigned i = 0; i < NOC_CLIENT_PROPS_COUNT; i++) {
        printf(" %s", noc_client_packet_name((enum noc_client_props)i));
    }
    fputs(" ;;\n", stdout);
    for (unsigned i = 0; i < NOC_CLIENT_PROPS_COUNT; i++) {
        const enum noc_client_props where = (enum noc_client_props)i;
        const char *name;

        printf("    %s) echo", noc_client_packet_name(where));
        for (size_t k = 0; (name = noc_client_property_name(where, k)) != NULL; k++) {
            printf(" %s", name);
        }
        fputs(" ;;\n", stdout);
    }
    fputs("    esac\n}\n\n", stdout);
}

void noc_completion_print_bash(void)
{
    fputs(head, stdout);
    fputs("_noctule_commands='", stdout);
    for (size_t i = 0; i < noc_cli_command_count; i++) {
        printf("%s ", noc_cli_commands[i].name);
    }
    fputs("--help --version'\n\n", stdout);
    for (size_t i = 0; i < noc_cli_command_count; i++) {
        print_form(noc_cli_commands[i].name);
        print_form(noc_cli_commands[i].program);
    }
    print_properties();
    fputs(walker, stdout);
    fputs("complete -F _noctule noctule", stdout);
    for (size_t i = 0; i < noc_cli_command_count; i++) {
        if (noc_cli_commands[i].program != NULL) {
            printf(" %s", noc_cli_commands[i].program);
        }
    }
    fputs("\n", stdout);
}
