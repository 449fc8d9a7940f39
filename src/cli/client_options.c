/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading the command line of a client tool: the options file first, then the
 * words of the command line, each looked up in the table; then the checks.
 *
 *   words --> row --> one of: a member of the parser, a number, a call
 *
 * The first error ends it, as in Mosquitto: which one is told of several is the
 * same there and here.
 */
#define _GNU_SOURCE
#include "cli/client_parser.h"
#include "config/options.h"
#include <noctule/error.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    STATUS_FAILED = 1,
    KEEP_ALIVE_S = 60,
    INFLIGHT = 20,
    TEXTS_STEP = 8,
};

/* What the settings own, newest first; the bytes follow. */
struct noc_client_block {
    struct noc_client_block *next;
    char bytes[];
};

/* ---- saying what is wrong ---- */

NOC_PRINTF(2, 0) static void print_unless(bool is_silent, const char *format, va_list arguments)
{
    if (!is_silent) {
        (void)vfprintf(stderr, format, arguments);
    }
}

int noc_client_fail(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    print_unless(false, format, arguments);
    va_end(arguments);
    return NOC_EINVAL;
}

int noc_client_fail_softly(const struct noc_client_parser *parser, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    print_unless(parser->settings.is_quiet, format, arguments);
    va_end(arguments);
    return NOC_EINVAL;
}

int noc_client_fail_late(struct noc_client_parser *parser, const char *format, ...)
{
    va_list arguments;

    parser->no_hint = true;
    va_start(arguments, format);
    print_unless(parser->settings.is_quiet, format, arguments);
    va_end(arguments);
    return NOC_EINVAL;
}

int noc_client_fail_memory(struct noc_client_parser *parser)
{
    (void)noc_client_fail_late(parser, "Error: Out of memory.\n");
    return NOC_ENOMEM;
}

/* ---- memory ---- */

char *noc_client_allocate(struct noc_client_settings *settings, size_t n)
{
    struct noc_client_block *block = NULL;

    if (n < SIZE_MAX - sizeof(*block)) {
        block = malloc(sizeof(*block) + n + 1);
    }
    if (block == NULL) {
        return NULL;
    }
    block->next = settings->blocks;
    settings->blocks = block;
    block->bytes[n] = '\0';
    return block->bytes;
}

char *noc_client_copy(struct noc_client_settings *settings, const void *bytes, size_t n)
{
    char *copy = noc_client_allocate(settings, n);

    if (copy != NULL && n > 0) {
        memcpy(copy, bytes, n);
    }
    return copy;
}

int noc_client_texts_add(
    struct noc_client_parser *parser, struct noc_client_texts *texts, const char *text)
{
    if (texts->n % TEXTS_STEP == 0) {
        const char **more = realloc(texts->at, (texts->n + TEXTS_STEP) * sizeof(*more));

        if (more == NULL) {
            return noc_client_fail_memory(parser);
        }
        texts->at = more;
    }
    texts->at[texts->n++] = text;
    return NOC_OK;
}

void noc_client_settings_done(struct noc_client_settings *settings)
{
    struct noc_client_block *next;

    for (struct noc_client_block *block = settings->blocks; block != NULL; block = next) {
        next = block->next;
        free(block);
    }
    free(settings->topics.at);
    free(settings->filter_out.at);
    free(settings->unsubscribe.at);
    free(settings->headers.at);
    noc_output_format_done(&settings->output);
    *settings = (struct noc_client_settings){0};
}

/* ---- one option ---- */

static int set_number(
    struct noc_client_parser *parser, const struct noc_client_option *option, const char *value)
{
    /* As atoi() does it: what is no number is 0, and bits too many are lost. */
    char *end;
    int number = (int)strtol(value, &end, 10);

    if (!parser->settings.is_mosquitto && (end == value || *end != '\0')) {
        return noc_client_fail("Error: %s takes a number, not '%s'.\n",
            option->short_name == NULL ? option->long_name : option->short_name, value);
    }
    if (number >= option->number_min && number <= option->number_max) {
        parser->numbers[option->target] = number;
        return NOC_OK;
    }
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-security"
    (void)noc_client_fail(option->number_fault, number);
#pragma GCC diagnostic pop
    return option->is_fault_alone ? NOC_EINVAL : noc_client_fail("\n");
}

static int apply(
    struct noc_client_parser *parser, const struct noc_client_option *option, const char *value)
{
    char *target = (char *)parser + option->target;

    switch ((enum noc_option_kind)option->kind) {
    case NOC_OPTION_FLAG:
    case NOC_OPTION_STOP:
        *(bool *)target = true;
        break;
    case NOC_OPTION_TEXT:
        *(const char **)(void *)target = value;
        break;
    case NOC_OPTION_NUMBER:
        return set_number(parser, option, value);
    case NOC_OPTION_CALL:
        return option->apply(parser, value);
    case NOC_OPTION_PROPERTY:
        break;
    }
    return NOC_OK;
}

/* Of some options there can be only one, which is told before anything about its value. */
static int check_exclusive(
    const struct noc_client_parser *parser, const struct noc_client_option *option)
{
    const char *other_id =
        option->target == offsetof(struct noc_client_parser, id) ? parser->id_prefix : parser->id;

    if (option->is_source && parser->has_source) {
        return noc_client_fail("Error: Only one type of message can be sent at once.\n\n");
    }
    if (option->is_id && other_id != NULL) {
        return noc_client_fail("Error: -i and -I argument cannot be used together.\n\n");
    }
    return NOC_OK;
}

/* A secret leaves the list of processes: the value to go on with is a copy. NULL: no memory. */
static char *take_secret(
    struct noc_client_parser *parser, const struct noc_client_option *option, char *word)
{
    char *copy = noc_client_copy(&parser->settings, word, strlen(word));
    char *begin = word, *end = word + strlen(word);

    if (copy == NULL) {
        return NULL;
    }
    if (option->secret == NOC_SECRET_LOGIN) {
        begin = strstr(word, "://");
        begin = begin == NULL ? word : begin + 3;
        end = strrchr(begin, '@');
    }
    if (end != NULL) {
        memset(begin, '*', (size_t)(end - begin));
    }
    return copy;
}

/* The long name that was meant, probably; or NULL. */
static const char *find_nearest(const struct noc_client_settings *settings, const char *word)
{
    const char *nearest = NULL;
    size_t least = strlen(word) < 2 ? 0 : (strlen(word) - 2) / 3; /* edits, for its letters */

    for (size_t i = 0; i < noc_client_option_count; i++) {
        const struct noc_client_option *option = &noc_client_options[i];
        size_t distance = SIZE_MAX;

        if (option->long_name != NULL && strncmp(word, "--", 2) == 0 &&
            noc_client_option_is_of(option, settings->tool, settings->is_mosquitto)) {
            distance = noc_option_distance(noc_slice_of(word), noc_slice_of(option->long_name));
        }
        if (distance <= least && distance > 0) {
            least = distance - 1;
            nearest = option->long_name;
        }
    }
    return nearest;
}

static int fail_unknown(const struct noc_client_settings *settings, const char *word)
{
    const char *nearest = settings->is_mosquitto ? NULL : find_nearest(settings, word);

    return nearest == NULL
               ? noc_client_fail("Error: Unknown option '%s'.\n", word)
               : noc_client_fail("Error: Unknown option '%s', did you mean '%s'?\n", word, nearest);
}

/* words[0] is the option. *ret_used is how many words it has, itself included. */
static int read_option(
    struct noc_client_parser *parser, int word_count, char **words, int *ret_used)
{
    const struct noc_client_option *option = noc_client_option_find(&parser->settings, words[0]);
    char *value;
    int err;

    if (option == NULL) {
        return fail_unknown(&parser->settings, words[0]);
    }
    if (option->kind == NOC_OPTION_PROPERTY) {
        err = noc_client_add_property(parser, word_count - 1, words + 1, ret_used);
        ++*ret_used;
        return err;
    }
    err = check_exclusive(parser, option);
    if (err < 0) {
        return err;
    }
    if (option->argument != NULL && word_count < 2) {
        return noc_client_fail("Error: %s\n\n", option->missing);
    }
    parser->has_source = parser->has_source || option->is_source;
    *ret_used = option->argument == NULL ? 1 : 2;
    value = option->argument == NULL ? NULL : words[1];
    if (value != NULL && option->secret != NOC_SECRET_NONE) {
        value = take_secret(parser, option, value);
        if (value == NULL) {
            return noc_client_fail_memory(parser);
        }
    }
    return apply(parser, option, value);
}

static bool is_stopped(const struct noc_client_parser *parser)
{
    return parser->wants_help || parser->wants_version || parser->wants_man;
}

static int read_words(struct noc_client_parser *parser, int word_count, char **words)
{
    int used = 0;
    int err = NOC_OK;

    for (int i = 0; i < word_count && err == NOC_OK && !is_stopped(parser); i += used) {
        err = read_option(parser, word_count - i, words + i, &used);
    }
    return err;
}

/* ---- the options file ---- */

/* A line is an option, a space, and its value to the end of the line. */
static int read_line(struct noc_client_parser *parser, const char *line, size_t n)
{
    char *words[2];

    while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r')) {
        n--;
    }
    if (n == 0 || line[0] == '#') {
        return NOC_OK;
    }
    words[0] = noc_client_copy(&parser->settings, line, n);
    if (words[0] == NULL) {
        return noc_client_fail_memory(parser);
    }
    words[0] += strspn(words[0], " ");
    if (words[0][0] == '\0') {
        return NOC_OK;
    }
    words[1] = strchr(words[0], ' ');
    if (words[1] != NULL) {
        *words[1]++ = '\0';
    }
    return read_words(parser, words[1] == NULL || words[1][0] == '\0' ? 1 : 2, words);
}

static int read_file(
    struct noc_client_parser *parser, FILE *file, const char *path, bool may_be_folder)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t n;
    int err = NOC_OK;

    parser->is_in_file = true;
    errno = 0;
    while (err == NOC_OK && !is_stopped(parser) && (n = getline(&line, &size, file)) >= 0) {
        err = read_line(parser, line, (size_t)n);
    }
    if (err == NOC_OK && ferror(file) && !(may_be_folder && errno == EISDIR)) {
        err = noc_client_fail(
            "Error: Unable to read options file \"%s\": %s.\n", path, strerror(errno));
    }
    parser->is_in_file = false;
    free(line);
    return err;
}

/* The value of -o in words. NULL: there is none, or it is cut off (which is found again later). */
static const char *find_options_file(
    const struct noc_client_settings *settings, int word_count, char **words)
{
    const char *found = NULL;

    for (int i = 0; i < word_count; i++) {
        const struct noc_client_option *option = noc_client_option_find(settings, words[i]);

        if (option == NULL || option->kind == NOC_OPTION_STOP) {
            break;
        }
        if (option->kind == NOC_OPTION_PROPERTY) {
            i += noc_client_count_property_words(word_count - i - 1, words + i + 1);
        } else if (option->argument != NULL && i + 1 < word_count) {
            i++;
            found = option->apply == noc_client_set_options_file ? words[i] : found;
        }
    }
    return found;
}

static const char *tool_name(enum noc_client_tool tool)
{
    switch (tool) {
    case NOC_TOOL_PUB:
        return "mosquitto_pub";
    case NOC_TOOL_SUB:
        return "mosquitto_sub";
    case NOC_TOOL_RR:
        return "mosquitto_rr";
    }
    return "";
}

/* The usual place. An empty text: the environment names none; NULL: no memory. */
static const char *usual_path(struct noc_client_settings *settings)
{
    const char *folder = getenv("XDG_CONFIG_HOME");
    const char *below = folder == NULL ? "/.config" : "";
    const char *name = tool_name(settings->tool);
    size_t size;
    char *path;

    folder = folder == NULL ? getenv("HOME") : folder;
    if (folder == NULL) {
        return "";
    }
    size = strlen(folder) + strlen(below) + strlen(name) + 2;
    path = noc_client_allocate(settings, size);
    if (path != NULL) {
        (void)snprintf(path, size, "%s%s/%s", folder, below, name);
    }
    return path;
}

static int read_options_file(struct noc_client_parser *parser, int word_count, char **words)
{
    const char *given = find_options_file(&parser->settings, word_count, words);
    const char *path = given == NULL ? usual_path(&parser->settings) : given;
    FILE *file;
    int err;

    if (path == NULL) {
        return noc_client_fail_memory(parser);
    }
    file = fopen(path, "re");
    if (file == NULL && given != NULL) {
        return noc_client_fail(
            "Error: Unable to open options file \"%s\": %s.\n", path, strerror(errno));
    }
    if (file == NULL) {
        return NOC_OK;
    }
    /* Mosquitto's tools read a folder as an empty file. */
    err = read_file(parser, file, path, given == NULL && parser->settings.is_mosquitto);
    (void)fclose(file);
    return err;
}

/* ---- all of it ---- */

static void set_defaults(struct noc_client_parser *parser, enum noc_client_tool tool)
{
    parser->settings.tool = tool;
    parser->settings.host = "localhost";
    parser->settings.ws_path = NULL;
    parser->settings.version = tool == NOC_TOOL_RR ? 5 : 4;
    parser->settings.random_filter = 10000;
    parser->session_expiry_s = -1;
    parser->numbers[NOC_NUMBER_PORT] = -1;
    parser->numbers[NOC_NUMBER_KEEP_ALIVE] = KEEP_ALIVE_S;
    parser->numbers[NOC_NUMBER_INFLIGHT] = INFLIGHT;
    parser->numbers[NOC_NUMBER_REPEAT] = 1;
}

/* argv[0] is "noctule pub", or the path of a program of Mosquitto's name. */
static void set_program(struct noc_client_settings *settings, const char *called)
{
    settings->is_mosquitto = strncmp(called, "noctule ", strlen("noctule ")) != 0;
    settings->program = settings->is_mosquitto ? tool_name(settings->tool) : called;
}

static int read_compatibility(struct noc_client_settings *settings)
{
    const char *text = getenv("NOCTULE_COMPATIBILITY");

    if (text == NULL || text[0] == '\0' || strcmp(text, "2.0") == 0) {
        return NOC_OK;
    }
    if (strcmp(text, "2.1") != 0) {
        return noc_client_fail(
            "Error: Invalid value of the environment variable NOCTULE_COMPATIBILITY (%.100s). Use "
            "2.0 or 2.1.\n",
            text);
    }
    settings->is_compat_2_1 = true;
    return NOC_OK;
}

static int read_everything(struct noc_client_parser *parser, int word_count, char **words)
{
    int err = read_compatibility(&parser->settings);

    if (err == NOC_OK) {
        err = read_options_file(parser, word_count, words);
    }
    if (err == NOC_OK && !is_stopped(parser)) {
        err = read_words(parser, word_count, words);
    }
    if (err == NOC_OK && !is_stopped(parser)) {
        err = noc_client_finish(parser);
    }
    return err;
}

static int exit_status(const struct noc_client_parser *parser, int err)
{
    const struct noc_client_settings *settings = &parser->settings;

    if (err < 0) {
        if (!parser->no_hint) {
            fprintf(stderr, "\nUse '%s --help' to see usage.\n", settings->program);
        }
        return STATUS_FAILED;
    }
    if (parser->wants_help) {
        noc_client_print_help(settings);
    } else if (parser->wants_man) {
        err = noc_client_print_man(settings);
    } else {
        noc_client_print_version(settings);
    }
    if (fflush(stdout) != 0 || ferror(stdout) != 0) {
        err = NOC_EIO;
    }
    /* To have been asked is a failure in Mosquitto. */
    return err == NOC_OK && !settings->is_mosquitto ? EXIT_SUCCESS : STATUS_FAILED;
}

enum noc_client_outcome noc_client_settings_init(struct noc_client_settings *settings,
    enum noc_client_tool tool, int argc, char **argv, int *ret_status)
{
    struct noc_client_parser parser = {0};
    enum noc_client_outcome outcome = NOC_CLIENT_RUN;
    int err;

    set_defaults(&parser, tool);
    set_program(&parser.settings, argc > 0 ? argv[0] : "");
    err = read_everything(&parser, argc > 0 ? argc - 1 : 0, argv + 1);
    if (err < 0 || is_stopped(&parser)) {
        outcome = NOC_CLIENT_EXIT;
        *ret_status = exit_status(&parser, err);
    }
    for (size_t i = 0; i < NOC_COUNT(parser.props); i++) {
        noc_output_buffer_done(&parser.props[i]);
    }
    *settings = parser.settings;
    return outcome;
}
