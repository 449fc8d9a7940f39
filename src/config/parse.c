/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
/*
 * Reading the file: lines, names, contexts, and the way of an option without a
 * function of its own. What an option means is said by its row.
 *
 *     line -> name + value -> row -> context -> field | store function
 *
 * A line is a comment when its very first character is '#'. The name ends at
 * the first space; a tab does not separate. The value is the rest, trimmed.
 * Reading goes on after an error so that the report names all of them; the
 * object is thrown away then.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/utf8.h"
#include "config/parser.h"
#include <noctule/error.h>

/* What a mistake in a path (a disk image, /dev/zero) is stopped at. */
#define FILE_BYTES_MAX  ((size_t)16 * 1024 * 1024)
#define VALUE_BYTES_MAX 65535
#define ERRORS_MAX      50

int noc_parser_error(struct noc_config_parser *parser, const char *format, ...)
{
    char body[900];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(body, sizeof(body), format, arguments);
    va_end(arguments);
    noc_config_report_add(
        parser->report, NOC_CONFIG_ERROR, parser->file, parser->line, "Error: %s", body);
    return NOC_EINVAL;
}

void noc_parser_say(
    struct noc_config_parser *parser, enum noc_config_level level, const char *format, ...)
{
    char body[900];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(body, sizeof(body), format, arguments);
    va_end(arguments);
    noc_config_report_add(parser->report, level, parser->file, parser->line, "%s", body);
}

/* ---- contexts ---- */

struct noc_listener_config *noc_parser_listener(struct noc_config_parser *parser)
{
    return parser->listener == 0 ? &parser->default_listener
                                 : &parser->config->listeners[parser->listener - 1];
}

struct noc_security_config *noc_parser_listener_security(struct noc_config_parser *parser)
{
    return parser->listener == 0 ? &parser->default_security
                                 : &parser->config->listener_security[parser->listener - 1];
}

int noc_parser_add_listener(struct noc_config_parser *parser)
{
    struct noc_config *config = parser->config;
    size_t capacity = parser->listener_capacity == 0 ? 4 : parser->listener_capacity * 2;
    struct noc_listener_config *listeners;
    struct noc_security_config *security;

    if (config->listener_count == parser->listener_capacity) {
        listeners = realloc(config->listeners, capacity * sizeof(*listeners));
        if (listeners == NULL) {
            return NOC_ENOMEM;
        }
        config->listeners = listeners;
        security = realloc(config->listener_security, capacity * sizeof(*security));
        if (security == NULL) {
            return NOC_ENOMEM;
        }
        config->listener_security = security;
        parser->listener_capacity = capacity;
    }
    noc_listener_config_init(&config->listeners[config->listener_count]);
    noc_security_config_init(&config->listener_security[config->listener_count]);
    config->listeners[config->listener_count].file = parser->file;
    config->listeners[config->listener_count].line = parser->line;
    parser->listener = ++config->listener_count;
    return NOC_OK;
}

/* Does the option belong to a listener here and now? */
static bool is_of_listener(const struct noc_config_parser *parser, const struct noc_option *option)
{
    return option->scope == NOC_SCOPE_LISTENER ||
           (option->scope == NOC_SCOPE_SECURITY && parser->config->per_listener_settings);
}

/* The struct that holds the row's field; NULL for scopes without fields. */
static void *base_of(struct noc_config_parser *parser, const struct noc_option *option)
{
    switch (option->scope) {
    case NOC_SCOPE_GLOBAL:
        return parser->config;
    case NOC_SCOPE_SECURITY:
        return parser->config->per_listener_settings ? noc_parser_listener_security(parser)
                                                     : &parser->config->security;
    case NOC_SCOPE_LISTENER:
        return noc_parser_listener(parser);
    case NOC_SCOPE_BRIDGE:
    case NOC_SCOPE_PLUGIN:
    default:
        return NULL;
    }
}

static int add_origin(struct noc_config_parser *parser, const struct noc_option *option)
{
    struct noc_config *config = parser->config;
    struct noc_config_origin *origin;

    /* A listener keeps its own place; here it would be said of the one before it. */
    if (option->store == noc_store_listener) {
        return NOC_OK;
    }
    if (config->origin_count == config->origin_capacity) {
        size_t capacity = config->origin_capacity == 0 ? 32 : config->origin_capacity * 2;

        origin = realloc(config->origins, capacity * sizeof(*origin));
        if (origin == NULL) {
            return NOC_ENOMEM;
        }
        config->origins = origin;
        config->origin_capacity = capacity;
    }
    origin = &config->origins[config->origin_count++];
    *origin = (struct noc_config_origin){option, NOC_ORIGIN_COMMON, parser->file, parser->line};
    if (is_of_listener(parser, option)) {
        origin->listener = parser->listener == 0 ? NOC_ORIGIN_DEFAULT : parser->listener - 1;
    }
    return NOC_OK;
}

/* ---- one option ---- */

void noc_parser_warn_inactive(
    struct noc_config_parser *parser, const struct noc_option *option, struct noc_slice value)
{
    bool *was_warned = &parser->was_warned[option - noc_options];
    bool is_guard = (option->flags & NOC_OPTION_GUARD) != 0;

    if (option->fallback != NULL &&
        noc_value_equal(option, value, noc_slice_of(option->fallback))) {
        return;
    }
    if (option->scope == NOC_SCOPE_BRIDGE || option->scope == NOC_SCOPE_PLUGIN) {
        /* What they belong to is said at once, they in one line at the end. */
        *was_warned = true;
        return;
    }
    if (is_guard && option->scope == NOC_SCOPE_LISTENER) {
        noc_parser_listener(parser)->is_left_out = true;
        noc_parser_say(parser, NOC_CONFIG_WARNING,
            "option '%s' is not active yet; its listener is left out", option->name);
        return;
    }
    if (*was_warned) {
        return;
    }
    *was_warned = true;
    noc_parser_say(parser, NOC_CONFIG_WARNING, "option '%s' is not active yet%s", option->name,
        is_guard ? "; what it would forbid is NOT forbidden" : "");
}

int noc_parser_store(
    struct noc_config_parser *parser, const struct noc_option *option, struct noc_slice value)
{
    void *base = base_of(parser, option);
    struct noc_value_problem problem;
    int err = noc_value_read(
        option, value, base == NULL ? NULL : noc_option_field(option, base), &problem);

    if (err == NOC_EINVAL) {
        return noc_parser_error(parser, "Invalid %s value (%.*s). %s", option->name,
            value.n > 200 ? 200 : (int)value.n, value.at, problem.text);
    }
    if (err == NOC_EEXIST) {
        return noc_parser_error(
            parser, "Duplicate %s value in configuration. Keep one of the lines.", option->name);
    }
    return err;
}

/* Is what the option needs above it there? */
static int check_context(struct noc_config_parser *parser, const struct noc_option *option)
{
    if (option->scope == NOC_SCOPE_BRIDGE && option->store != noc_store_connection &&
        parser->bridge == 0) {
        return noc_parser_error(parser,
            "Invalid bridge configuration. The '%s' option requires a 'connection' to be defined "
            "first.",
            option->name);
    }
    if (option->scope == NOC_SCOPE_PLUGIN && !parser->has_plugin) {
        return noc_parser_error(parser,
            "The '%.*s' option requires a 'plugin' to be defined first.",
            NOC_SLICE_ARG(parser->name));
    }
    parser->has_security_option |= option->scope == NOC_SCOPE_SECURITY;
    return NOC_OK;
}

static int unknown_option(struct noc_config_parser *parser, struct noc_slice name)
{
    const struct noc_option *nearest = noc_option_nearest(name);
    int n = name.n > 200 ? 200 : (int)name.n;

    if (name.at[0] == '#') {
        return noc_parser_error(parser,
            "Unknown configuration variable \"%.*s\". A comment must begin in the first column.", n,
            name.at);
    }
    if (memchr(name.at, '\t', name.n) != NULL) {
        return noc_parser_error(parser,
            "Unknown configuration variable \"%.*s\". Put a space, not a tab, behind the name.", n,
            name.at);
    }
    if (nearest != NULL) {
        return noc_parser_error(parser,
            "Unknown configuration variable \"%.*s\". Did you mean \"%s\"?", n, name.at,
            nearest->name);
    }
    return noc_parser_error(parser,
        "Unknown configuration variable \"%.*s\". All that are known: noctule broker "
        "--list-options",
        n, name.at);
}

static int check_value(
    struct noc_config_parser *parser, const struct noc_option *option, struct noc_slice value)
{
    if (value.n == 0) {
        return noc_parser_error(parser, "Empty %.*s value in configuration. Write: %.*s %s",
            NOC_SLICE_ARG(parser->name), NOC_SLICE_ARG(parser->name),
            option->syntax == NULL ? "VALUE" : option->syntax);
    }
    if (value.n > VALUE_BYTES_MAX) {
        return noc_parser_error(parser, "The %.*s value is too long: %d bytes are allowed.",
            NOC_SLICE_ARG(parser->name), VALUE_BYTES_MAX);
    }
    if (!noc_utf8_is_valid(value)) {
        return noc_parser_error(
            parser, "Malformed UTF-8 in configuration. Save the file with UTF-8 encoding.");
    }
    return NOC_OK;
}

static int read_option(
    struct noc_config_parser *parser, struct noc_slice name, struct noc_slice value)
{
    const struct noc_option *option = noc_option_find(name);
    int err;

    if (option == NULL) {
        return unknown_option(parser, name);
    }
    parser->name = name;
    err = check_context(parser, option);
    if (err != NOC_OK) {
        return err;
    }
    err = check_value(parser, option, value);
    if (err != NOC_OK) {
        return err;
    }
    err = add_origin(parser, option);
    if (err != NOC_OK) {
        return err;
    }
    if ((option->flags & NOC_OPTION_DEPRECATED) != 0) {
        noc_parser_say(
            parser, NOC_CONFIG_NOTICE, "option '%s' is deprecated. %s", option->name, option->help);
    }
    err = option->store != NULL ? option->store(parser, option, value)
                                : noc_parser_store(parser, option, value);
    if (err == NOC_OK && (option->flags & NOC_OPTION_INACTIVE) != 0) {
        noc_parser_warn_inactive(parser, option, value);
    }
    if (parser->listener == 0 && parser->default_line == 0 &&
        noc_parser_wants_default_listener(parser)) {
        parser->default_file = parser->file;
        parser->default_line = parser->line;
    }
    return err;
}

/* ---- lines and files ---- */

static int read_line(struct noc_config_parser *parser, struct noc_slice line)
{
    struct noc_slice name;

    if (line.n == 0 || line.at[0] == '#') {
        return NOC_OK;
    }
    if (memchr(line.at, '\0', line.n) != NULL) {
        return noc_parser_error(
            parser, "The line holds a zero byte. Save the file as plain text with UTF-8 encoding.");
    }
    while (line.n > 0 && line.at[line.n - 1] == '\r') {
        line.n--;
    }
    if (noc_slice_trim(line).n == 0) {
        return NOC_OK;
    }
    name = noc_slice_cut_word(&line);
    return read_option(parser, name, noc_slice_trim(line));
}

static int read_text(struct noc_config_parser *parser, struct noc_slice text)
{
    while (text.n > 0) {
        const char *end = memchr(text.at, '\n', text.n);
        size_t n = end == NULL ? text.n : (size_t)(end - text.at);
        int err;

        parser->line++;
        err = read_line(parser, noc_slice(text.at, n));
        if (err != NOC_OK && err != NOC_EINVAL) {
            return err;
        }
        if (parser->report->error_count - parser->errors_before >= ERRORS_MAX) {
            return NOC_EINVAL;
        }
        n += end != NULL;
        text.at += n;
        text.n -= n;
    }
    return NOC_OK;
}

/* Read all of a file that may be a pipe. *ret_bytes is the caller's to free. */
static int read_all(int descriptor, char **ret_bytes, size_t *ret_n)
{
    size_t capacity = 4096, n = 0;
    char *bytes = malloc(capacity);

    while (bytes != NULL) {
        ssize_t got = read(descriptor, bytes + n, capacity - n);

        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0 || n + (size_t)got > FILE_BYTES_MAX) {
            free(bytes);
            return got < 0 ? NOC_EIO : NOC_ETOOLARGE;
        }
        if (got == 0) {
            *ret_bytes = bytes;
            *ret_n = n;
            return NOC_OK;
        }
        n += (size_t)got;
        if (n == capacity) {
            char *larger = realloc(bytes, capacity * 2);

            if (larger == NULL) {
                break;
            }
            bytes = larger;
            capacity *= 2;
        }
    }
    free(bytes);
    return NOC_ENOMEM;
}

/* Read a file into memory; a failure is reported at the parser's current place. */
static int load_file(
    struct noc_config_parser *parser, const char *path, char **ret_bytes, size_t *ret_n)
{
    struct stat status;
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    int err;

    if (descriptor < 0) {
        return noc_parser_error(
            parser, "Unable to open config file %s: %s.", path, strerror(errno));
    }
    if (fstat(descriptor, &status) == 0 && S_ISDIR(status.st_mode)) {
        close(descriptor);
        return noc_parser_error(parser, "Config file %s is a directory.", path);
    }
    err = read_all(descriptor, ret_bytes, ret_n);
    if (err == NOC_EIO) {
        err = noc_parser_error(parser, "Unable to read config file %s: %s.", path, strerror(errno));
    } else if (err == NOC_ETOOLARGE) {
        err = noc_parser_error(parser, "Config file %s is larger than 16 MiB.", path);
    }
    close(descriptor);
    return err;
}

/* Remember a file's name for as long as the configuration lives. */
static int enter_file(struct noc_config_parser *parser, const char *name)
{
    int err = noc_config_list_add(&parser->config->files, noc_slice_of(name));

    if (err == NOC_OK) {
        parser->file = parser->config->files.items[parser->config->files.count - 1];
        parser->line = 0;
    }
    return err;
}

int noc_parser_include(struct noc_config_parser *parser, const char *path)
{
    struct noc_config_parser outer = *parser;
    size_t errors = parser->report->error_count;
    char *bytes = NULL;
    size_t n = 0;
    int err = load_file(parser, path, &bytes, &n);

    if (err != NOC_OK) {
        return err;
    }
    parser->is_included = true;
    parser->listener = 0;
    parser->bridge = 0;
    parser->has_plugin = false;
    err = enter_file(parser, path);
    if (err == NOC_OK) {
        err = read_text(parser, noc_slice(bytes, n));
    }
    free(bytes);
    parser->file = outer.file;
    parser->line = outer.line;
    parser->name = outer.name;
    parser->is_included = outer.is_included;
    parser->listener = outer.listener;
    parser->bridge = outer.bridge;
    parser->has_plugin = outer.has_plugin;
    if (parser->report->error_count > errors) {
        /* Only a place of what was counted already. */
        noc_config_report_add(parser->report, NOC_CONFIG_ERROR, NULL, 0, "Error found at %s:%u.",
            parser->file, parser->line);
        parser->report->error_count--;
    }
    return err;
}

/* ---- a whole configuration ---- */

static int parser_init(struct noc_config_parser *parser, const struct noc_config_options *options,
    struct noc_config_report *report)
{
    static const struct noc_config_options nothing = {0};

    *parser = (struct noc_config_parser){
        .config = noc_config_new(),
        .report = report,
        .errors_before = report->error_count,
        .given = options == NULL ? &nothing : options,
        .was_warned = calloc(noc_option_count, sizeof(bool)),
    };
    noc_listener_config_init(&parser->default_listener);
    noc_security_config_init(&parser->default_security);
    return parser->config == NULL || parser->was_warned == NULL ? NOC_ENOMEM : NOC_OK;
}

static void parser_done(struct noc_config_parser *parser)
{
    noc_listener_config_done(&parser->default_listener);
    noc_security_config_done(&parser->default_security);
    for (size_t i = 0; i < parser->bridge_count; i++) {
        free(parser->bridges[i].name);
    }
    free(parser->bridges);
    free(parser->was_warned);
    noc_config_free(parser->config);
}

/* Settle what was read and hand it out, unless there were errors. */
static int finish(struct noc_config_parser *parser, int err, struct noc_config **ret_config)
{
    if (err == NOC_OK) {
        parser->file = NULL;
        parser->line = 0;
        err = noc_config_settle(parser);
    }
    if (err == NOC_OK && parser->report->error_count > parser->errors_before) {
        err = NOC_EINVAL;
    }
    if (err == NOC_OK && parser->report->is_incomplete) {
        err = NOC_ENOMEM;
    }
    if (err == NOC_OK) {
        *ret_config = parser->config;
        parser->config = NULL;
    }
    parser_done(parser);
    return err;
}

int noc_config_parse(const char *text, size_t n, const char *name, bool is_sealed,
    const struct noc_config_options *options, struct noc_config **ret_config,
    struct noc_config_report *report)
{
    struct noc_config_parser parser;
    int err = parser_init(&parser, options, report);

    if (err == NOC_OK) {
        parser.is_sealed = is_sealed;
        err = enter_file(&parser, name);
    }
    if (err == NOC_OK) {
        err = read_text(&parser, noc_slice(text, n));
    }
    return finish(&parser, err, ret_config);
}

int noc_config_load(const char *path, const struct noc_config_options *options,
    struct noc_config **ret_config, struct noc_config_report *report)
{
    struct noc_config_parser parser;
    char *bytes = NULL;
    size_t n = 0;
    int err = parser_init(&parser, options, report);

    if (err == NOC_OK && path != NULL) {
        err = load_file(&parser, path, &bytes, &n);
    }
    if (err == NOC_OK && path != NULL) {
        err = enter_file(&parser, path);
    }
    if (err == NOC_OK && path != NULL) {
        err = read_text(&parser, noc_slice(bytes, n));
    }
    free(bytes);
    return finish(&parser, err, ret_config);
}
