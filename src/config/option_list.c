/* SPDX-License-Identifier: Apache-2.0 */
/* Finding rows by name, and writing the table out: as a list, as JSON, as a manual's section. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "config/options.h"

/* Longer names are not compared with unknown ones. */
#define NAME_MAX_BYTES 48

const struct noc_option *noc_option_find(struct noc_slice name)
{
    const struct noc_option *prefix = NULL;

    for (size_t i = 0; i < noc_option_count; i++) {
        const struct noc_option *option = &noc_options[i];

        if (noc_slice_equal(name, noc_slice_of(option->name))) {
            return option;
        }
        if ((option->flags & NOC_OPTION_PREFIX) != 0 &&
            noc_slice_has_prefix(name, noc_slice_of(option->name))) {
            prefix = option;
        }
    }
    return prefix;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

size_t noc_option_distance(struct noc_slice a, struct noc_slice b)
{
    size_t rows[3][NAME_MAX_BYTES + 1];

    if (a.n > NAME_MAX_BYTES || b.n > NAME_MAX_BYTES) {
        return SIZE_MAX;
    }
    for (size_t k = 0; k <= b.n; k++) {
        rows[0][k] = k;
    }
    for (size_t i = 1; i <= a.n; i++) {
        size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *over = rows[(i + 1) % 3];
        int from = tolower((unsigned char)a.at[i - 1]);

        row[0] = i;
        for (size_t k = 1; k <= b.n; k++) {
            int to = tolower((unsigned char)b.at[k - 1]);

            row[k] =
                smaller(smaller(above[k] + 1, row[k - 1] + 1), above[k - 1] + (size_t)(from != to));
            if (i > 1 && k > 1 && from == tolower((unsigned char)b.at[k - 2]) &&
                tolower((unsigned char)a.at[i - 2]) == to) {
                row[k] = smaller(row[k], over[k - 2] + 1);
            }
        }
    }
    return rows[a.n % 3][b.n];
}

const struct noc_option *noc_option_nearest(struct noc_slice name)
{
    const struct noc_option *nearest = NULL;
    size_t least = name.n / 3 < 2 ? 2 : name.n / 3;

    if (name.n < 3 || name.n > NAME_MAX_BYTES) {
        return NULL;
    }
    least++;
    for (size_t i = 0; i < noc_option_count; i++) {
        size_t n = strlen(noc_options[i].name);
        size_t distance;

        /* So many edits are needed for the lengths alone. */
        if ((noc_options[i].flags & NOC_OPTION_PREFIX) != 0 || n >= name.n + least ||
            name.n >= n + least) {
            continue;
        }
        distance = noc_option_distance(name, noc_slice_of(noc_options[i].name));
        if (distance < least) {
            least = distance;
            nearest = &noc_options[i];
        }
    }
    return nearest;
}

/* ---- words ---- */

const char *noc_option_scope_text(enum noc_option_scope scope)
{
    switch (scope) {
    case NOC_SCOPE_GLOBAL:
        return "global";
    case NOC_SCOPE_SECURITY:
        return "security";
    case NOC_SCOPE_LISTENER:
        return "listener";
    case NOC_SCOPE_BRIDGE:
        return "bridge";
    case NOC_SCOPE_PLUGIN:
        return "plugin";
    default:
        return "?";
    }
}

const char *noc_option_type_text(enum noc_option_type type)
{
    switch (type) {
    case NOC_OPTION_BOOL:
    case NOC_OPTION_TRISTATE:
        return "boolean";
    case NOC_OPTION_INT:
    case NOC_OPTION_U32:
    case NOC_OPTION_SIZE:
        return "number";
    case NOC_OPTION_STRING:
        return "string";
    case NOC_OPTION_PATH:
        return "path";
    case NOC_OPTION_WORD:
        return "word";
    case NOC_OPTION_LIST:
        return "list";
    case NOC_OPTION_DURATION:
        return "duration";
    case NOC_OPTION_CUSTOM:
        return "special";
    default:
        return "?";
    }
}

const char *noc_option_reload_text(enum noc_option_reload reload)
{
    switch (reload) {
    case NOC_RELOAD_NOW:
        return "at once";
    case NOC_RELOAD_NEW:
        return "for new connections";
    case NOC_RELOAD_RESTART:
        return "at the next start";
    default:
        return "?";
    }
}

/* What stands behind the name in a file. */
static void add_syntax(const struct noc_option *option, struct noc_text *text)
{
    if (option->syntax != NULL) {
        noc_text_add(text, "%s", option->syntax);
        return;
    }
    for (const struct noc_option_word *word = option->words; word != NULL && word->word != NULL;
         word++) {
        noc_text_add(text, "%s%s", word == option->words ? "" : "|", word->word);
    }
}

static bool is_number(enum noc_option_type type)
{
    return type == NOC_OPTION_INT || type == NOC_OPTION_U32 || type == NOC_OPTION_SIZE;
}

/* ---- the lists ---- */

void noc_options_list(struct noc_text *text)
{
    for (size_t i = 0; i < noc_option_count; i++) {
        const struct noc_option *option = &noc_options[i];

        noc_text_add(
            text, "%s%s", option->name, (option->flags & NOC_OPTION_PREFIX) != 0 ? "NAME " : " ");
        add_syntax(option, text);
        noc_text_add(text, "  (%s; ", noc_option_scope_text(option->scope));
        if (option->fallback != NULL) {
            noc_text_add(text, "default %s; ", option->fallback);
        }
        noc_text_add(text, "since %s%s)\n    %s\n", option->since,
            (option->flags & NOC_OPTION_INACTIVE) != 0 ? "; NOT ACTIVE YET" : "", option->help);
    }
}

/* A JSON string of plain text; control characters do not occur in the table, but are safe. */
static void add_json_string(const char *string, struct noc_text *text)
{
    if (string == NULL) {
        noc_text_add(text, "null");
        return;
    }
    noc_text_add(text, "\"");
    for (const char *at = string; *at != '\0'; at++) {
        unsigned char byte = (unsigned char)*at;

        if (byte == '"' || byte == '\\') {
            noc_text_add(text, "\\%c", byte);
        } else if (byte < 0x20) {
            noc_text_add(text, "\\u%04x", byte);
        } else {
            noc_text_add_bytes(text, at, 1);
        }
    }
    noc_text_add(text, "\"");
}

static void add_json_member(const char *name, const char *value, struct noc_text *text)
{
    noc_text_add(text, ",\"%s\":", name);
    add_json_string(value, text);
}

static void add_json_option(const struct noc_option *option, struct noc_text *text)
{
    static const struct {
        unsigned flag;
        const char *name;
    } flags[] = {{NOC_OPTION_REPEATABLE, "repeatable"}, {NOC_OPTION_PREFIX, "prefix"},
        {NOC_OPTION_DEPRECATED, "deprecated"}, {NOC_OPTION_OWN, "noctule_only"}};

    noc_text_add(text, "{\"name\":");
    add_json_string(option->name, text);
    add_json_member("scope", noc_option_scope_text(option->scope), text);
    add_json_member("type", noc_option_type_text(option->type), text);
    add_json_member("default", option->fallback, text);
    add_json_member("since", option->since, text);
    add_json_member("help", option->help, text);
    if (is_number(option->type)) {
        noc_text_add(
            text, ",\"min\":%lld,\"max\":%lld", (long long)option->min, (long long)option->max);
    }
    if (option->type == NOC_OPTION_WORD || option->type == NOC_OPTION_CUSTOM) {
        for (const struct noc_option_word *word = option->words; word != NULL && word->word != NULL;
             word++) {
            noc_text_add(text, "%s", word == option->words ? ",\"words\":[" : ",");
            add_json_string(word->word, text);
        }
        noc_text_add(text, "%s", option->words == NULL ? "" : "]");
    }
    noc_text_add(
        text, ",\"active\":%s", (option->flags & NOC_OPTION_INACTIVE) != 0 ? "false" : "true");
    for (size_t i = 0; i < NOC_COUNT(flags); i++) {
        if ((option->flags & flags[i].flag) != 0) {
            noc_text_add(text, ",\"%s\":true", flags[i].name);
        }
    }
    noc_text_add(text, "}");
}

void noc_options_list_json(struct noc_text *text)
{
    noc_text_add(text, "[");
    for (size_t i = 0; i < noc_option_count; i++) {
        noc_text_add(text, "%s", i == 0 ? "\n" : ",\n");
        add_json_option(&noc_options[i], text);
    }
    noc_text_add(text, "\n]\n");
}

static void add_roff_option(const struct noc_option *option, struct noc_text *text)
{
    struct noc_text syntax;

    noc_text_init(&syntax);
    add_syntax(option, &syntax);
    noc_text_add(text, ".TP\n\\fB");
    noc_text_add_roff(text, option->name);
    noc_text_add(
        text, "\\fR%s \\fI", (option->flags & NOC_OPTION_PREFIX) != 0 ? "\\fINAME\\fR" : "");
    noc_text_add_roff(text, syntax.at == NULL ? "" : syntax.at);
    noc_text_done(&syntax);
    noc_text_add(text, "\\fR\n");
    noc_text_add_roff(text, option->help);
    noc_text_add(text, "\n");
    if (option->fallback != NULL) {
        noc_text_add(text, "Default: ");
        noc_text_add_roff(text, option->fallback);
        noc_text_add(text, ".\n");
    }
    if (is_number(option->type) && option->max < INT32_MAX) {
        noc_text_add(
            text, "Between %lld and %lld.\n", (long long)option->min, (long long)option->max);
    }
    if ((option->flags & NOC_OPTION_OWN) != 0) {
        noc_text_add(text, "Mosquitto does not have it.\n");
    }
    if ((option->flags & NOC_OPTION_INACTIVE) != 0) {
        noc_text_add(text, "Not active yet.\n");
    }
}

void noc_options_list_man(struct noc_text *text)
{
    static const struct {
        const char *title;
        enum noc_option_scope first, second;
    } sections[] = {{"GENERAL OPTIONS", NOC_SCOPE_GLOBAL, NOC_SCOPE_SECURITY},
        {"LISTENER OPTIONS", NOC_SCOPE_LISTENER, NOC_SCOPE_LISTENER},
        {"BRIDGE OPTIONS", NOC_SCOPE_BRIDGE, NOC_SCOPE_BRIDGE},
        {"PLUGIN OPTIONS", NOC_SCOPE_PLUGIN, NOC_SCOPE_PLUGIN}};

    for (size_t i = 0; i < NOC_COUNT(sections); i++) {
        noc_text_add(text, ".SH \"%s\"\n", sections[i].title);
        for (size_t k = 0; k < noc_option_count; k++) {
            if (noc_options[k].scope == sections[i].first ||
                noc_options[k].scope == sections[i].second) {
                add_roff_option(&noc_options[k], text);
            }
        }
    }
}
