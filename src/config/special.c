/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
/*
 * The options whose values are not one plain value of a type, each in one
 * function; the table's rows point here. None is called with an empty value.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>

#include "config/parser.h"
#include <noctule/error.h>

/* The path of a unix socket, its zero byte not counted. */
#define UNIX_PATH_MAX_BYTES (sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1)

/* At most so much of a value is repeated in a message. */
static int shown(struct noc_slice value)
{
    return value.n > 200 ? 200 : (int)value.n;
}

static bool is_word(struct noc_slice text, const char *word)
{
    return noc_slice_equal(text, noc_slice_of(word));
}

static bool is_word_any_case(struct noc_slice text, const char *word)
{
    return text.n == strlen(word) && strncasecmp(text.at, word, text.n) == 0;
}

/* ---- listeners ---- */

static int read_port(
    struct noc_config_parser *parser, struct noc_slice word, int64_t min, int *ret_port)
{
    int64_t number;

    if (!noc_number_read(word, &number) || number < min || number > 65535) {
        return noc_parser_error(parser,
            "Invalid port value (%.*s). Use a number from 1 to 65535, or 0 and a path for a unix "
            "socket.",
            shown(word), word.at);
    }
    *ret_port = (int)number;
    return NOC_OK;
}

/* The path of a unix socket: the rest of the line behind port 0. */
static int store_unix_path(
    struct noc_config_parser *parser, struct noc_listener_config *listener, struct noc_slice path)
{
    if (path.n == 0) {
        return noc_parser_error(parser,
            "A listener with port 0 must provide a Unix socket path. Write: listener 0 "
            "/run/noctule/mqtt.sock");
    }
    if (path.n > UNIX_PATH_MAX_BYTES) {
        return noc_parser_error(parser, "The Unix socket path is too long: %zu bytes are allowed.",
            UNIX_PATH_MAX_BYTES);
    }
    listener->unix_path = noc_slice_copy(path);
    return listener->unix_path == NULL ? NOC_ENOMEM : NOC_OK;
}

int noc_store_listener(
    struct noc_config_parser *parser, const struct noc_option *option, struct noc_slice value)
{
    struct noc_listener_config *listener;
    struct noc_slice word, rest = value;
    int err = noc_parser_add_listener(parser);

    if (err != NOC_OK) {
        return err;
    }
    listener = noc_parser_listener(parser);
    err = read_port(parser, noc_slice_cut_word(&rest), 0, &listener->port);
    if (err != NOC_OK) {
        return err;
    }
    rest = noc_slice_trim(rest);
    if (rest.n > 0 && rest.at[0] == '#') {
        rest.n = 0;
    }
    if (listener->port == 0) {
        return store_unix_path(parser, listener, rest);
    }
    word = noc_slice_cut_word(&rest);
    if (word.n == 0) {
        return NOC_OK;
    }
    listener->address = noc_slice_copy(word);
    if (listener->address == NULL) {
        return NOC_ENOMEM;
    }
    rest = noc_slice_trim(rest);
    if (rest.n > 0 && rest.at[0] != '#') {
        noc_parser_say(parser, NOC_CONFIG_WARNING,
            "'%.*s' behind the address of the listener is ignored", shown(rest), rest.at);
    }
    return NOC_OK;
}

int noc_store_port(
    struct noc_config_parser *parser, const struct noc_option *option, struct noc_slice value)
{
    int port = 0;
    int err = read_port(parser, noc_slice_cut_word(&value), 1, &port);

    if (err != NOC_OK) {
        return err;
    }
    if (parser->default_listener.port != 0) {
        noc_parser_say(parser, NOC_CONFIG_WARNING,
            "Default listener port specified multiple times. Only the latest will be used.");
    }
    parser->default_listener.port = port;
    parser->default_listener.file = parser->file;
    parser->default_listener.line = parser->line;
    return NOC_OK;
}

int noc_store_bind_address(
    struct noc_config_parser *parser, const struct noc_option *option, struct noc_slice value)
{
    struct noc_listener_config *listener = &parser->default_listener;

    if (listener->address != NULL) {
        return noc_parser_error(
            parser, "Duplicate %s value in configuration. Keep one of the lines.", option->name);
    }
    listener->address = noc_slice_copy(value);
    if (listener->file == NULL) {
        listener->file = parser->file;
        listener->line = parser->line;
    }
    return listener->address == NULL ? NOC_ENOMEM : NOC_OK;
}

int noc_store_protocol(
    struct noc_config_parser *parser, const struct noc_option *option, struct noc_slice value)
{
    int err = noc_parser_store(parser, option, value);
    struct noc_listener_config *listener = noc_parser_listener(parser);

    if (err == NOC_OK && listener->protocol == NOC_CONFIG_HTTP_API) {
        listener->is_left_out = true;
        noc_parser_say(parser, NOC_CONFIG_WARNING,
            "protocol 'http_api' is not active yet; its listener is left out");
    }
    return err;
}

int noc_store_mount_point(
    struct noc_config_parser *parser, const struct noc_option *option, struct noc_slice value)
{
    if (memchr(value.at, '+', value.n) != NULL || memchr(value.at, '#', value.n) != NULL) {
        return noc_parser_error(parser,
            "Invalid mount_point '%.*s'. Does it contain a wildcard character? Leave out + and #.",
            shown(value), value.at);
    }
    return noc_parser_store(parser, option, value);
}

int noc_store_websocket_path(
    struct noc_config_parser *parser, const struct noc_option *option, struct noc_slice value)
{
    bool is_good = value.at[0] == '/';

    for (size_t i = 0; i < value.n; i++) {
        is_good =
            is_good && strchr(" ?#", value.at[i]) == NULL && !iscntrl((unsigned char)value.at[i]);
    }
    if (!is_good) {
        return noc_parser_error(parser,
            "Invalid websocket_path value (%.*s). It must begin with / and have no space, ? or #.",
            shown(value), value.at);
    }
    return noc_parser_store(parser, option, value);
}

int noc_store_accept_protocol_versions(
    struct noc_config_parser *parser, const struct noc_option *option, struct noc_slice value)
{
    for (size_t i = 0; i < value.n; i++) {
        if (strchr("345, ", value.at[i]) == NULL) {
            return noc_parser_error(parser,
                "Invalid accept_protocol_versions value (%.*s). Use 3, 4 and 5, with commas "
                "between.",
                shown(value), value.at);
        }
    }
    return NOC_OK;
}

/* ---- include_dir ---- */

/*
 * The order of files: letter by letter without regard to case; where two
 * differ first in the case of one letter, upper case comes first.
 */
static int compare_names(const void *a, const void *b)
{
    const char *x = *(char *const *)a, *y = *(char *const *)b;

    for (; *x != '\0' || *y != '\0'; x++, y++) {
        int upper_x = toupper((unsigned char)*x), upper_y = toupper((unsigned char)*y);

        if (*x != *y) {
            return upper_x != upper_y ? upper_x - upper_y : (unsigned char)*x - (unsigned char)*y;
        }
    }
    return 0;
}

static bool is_conf(const char *name)
{
    size_t n = strlen(name);

    return n > strlen(".conf") && strcmp(name + n - strlen(".conf"), ".conf") == 0;
}

/* The paths of a folder's *.conf files, in order. */
static int list_folder(DIR *folder, const char *path, struct noc_config_list *paths)
{
    const char *slash = path[strlen(path) - 1] == '/' ? "" : "/";
    struct dirent *entry;
    int err = NOC_OK;

    while (err == NOC_OK && (entry = readdir(folder)) != NULL) {
        struct noc_text text;

        if (!is_conf(entry->d_name)) {
            continue;
        }
        noc_text_init(&text);
        noc_text_add(&text, "%s%s%s", path, slash, entry->d_name);
        err = text.is_broken ? NOC_ENOMEM : noc_config_list_add(paths, noc_slice(text.at, text.n));
        noc_text_done(&text);
    }
    if (paths->count > 0) {
        qsort(paths->items, paths->count, sizeof(paths->items[0]), compare_names);
    }
    return err;
}

static int include_folder(struct noc_config_parser *parser, const char *path)
{
    struct noc_config_list paths = {0};
    DIR *folder = opendir(path);
    int err;

    if (folder == NULL) {
        return noc_parser_error(parser,
            "Unable to open include_dir '%s': %s. Create it: mkdir -p %s", path, strerror(errno),
            path);
    }
    err = list_folder(folder, path, &paths);
    closedir(folder);
    for (size_t i = 0; err == NOC_OK && i < paths.count; i++) {
        noc_config_report_add(
            parser->report, NOC_CONFIG_INFO, NULL, 0, "Loading config file %s", paths.items[i]);
        err = noc_parser_include(parser, paths.items[i]);
        err = err == NOC_EINVAL ? NOC_OK : err;
    }
    noc_config_list_done(&paths);
    return err;
}

int noc_store_include_dir(
    struct noc_config_parser *parser, const struct noc_option *option, struct noc_slice value)
{
    char *path;
    int err;

    if (parser->is_included) {
        noc_parser_say(parser, NOC_CONFIG_WARNING,
            "include_dir counts in the main configuration file only; it is ignored here");
        return NOC_OK;
    }
    if (parser->is_sealed) {
        return noc_parser_error(parser, "include_dir is not possible here.");
    }
    path = noc_slice_copy(value);
    if (path == NULL) {
        return NOC_ENOMEM;
    }
    err = include_folder(parser, path);
    free(path);
    return err;
}

/* ---- the log ---- */

/* The number of a word of the row's list; false when it is none. */
static bool find_word(const struct noc_option *option, struct noc_slice text, int *ret_value)
{
    for (const struct noc_option_word *word = option->words; word->word != NULL; word++) {
        if (is_word(text, word->word)) {
            *ret_value = word->value;
            return true;
        }
    }
    return false;
}

static int store_log_file(struct noc_config_parser *parser, struct noc_slice path)
{
    if (path.n == 0) {
        return noc_parser_error(
            parser, "Empty \"log_dest file\" value in configuration. Write: log_dest file PATH");
    }
    if (parser->config->log_file != NULL) {
        return noc_parser_error(
            parser, "Duplicate \"log_dest file\" value. Keep one of the lines.");
    }
    parser->config->log_file = noc_slice_copy(path);
    return parser->config->log_file == NULL ? NOC_ENOMEM : NOC_OK;
}

int noc_store_log_dest(
    struct noc_config_parser *parser, const struct noc_option *option, struct noc_slice value)
{
    struct noc_slice rest = value;
    struct noc_slice word = noc_slice_cut_word(&rest);
    int bit = 0;
    int err = NOC_OK;

    if (!find_word(option, word, &bit)) {
        return noc_parser_error(parser,
            "Invalid log_dest value (%.*s). Use none, stdout, stderr, syslog, topic or file PATH.",
            shown(word), word.at);
    }
    parser->has_log_dest = true;
    if (is_word(word, "none")) {
        parser->config->log_dest = 0;
    } else if (bit == 0) {
        noc_parser_say(
            parser, NOC_CONFIG_WARNING, "log_dest '%.*s' is not active yet", NOC_SLICE_ARG(word));
    } else if (bit == NOC_CONFIG_LOG_TO_FILE) {
        err = store_log_file(parser, noc_slice_trim(rest));
    }
    parser->config->log_dest |= (unsigned)bit;
    return err;
}

/* Its default is no number: the facility daemon. */
int noc_store_log_facility(
    struct noc_config_parser *parser, const struct noc_option *option, struct noc_slice value)
{
    return noc_parser_store(parser, option, value);
}

int noc_store_log_type(
    struct noc_config_parser *parser, const struct noc_option *option, struct noc_slice value)
{
    struct noc_slice word = noc_slice_cut_word(&value);
    int bits = 0;

    if (!find_word(option, word, &bits)) {
        return noc_parser_error(parser,
            "Invalid log_type value (%.*s). Use debug, error, warning, notice, information, "
            "subscribe, unsubscribe, websockets, internal, none or all.",
            shown(word), word.at);
    }
    parser->has_log_type = true;
    if (bits == NOC_LOG_NONE) {
        parser->config->log_types = NOC_LOG_NONE;
    } else {
        parser->config->log_types &= ~(unsigned)NOC_LOG_NONE;
        parser->config->log_types |= (unsigned)bits;
    }
    return NOC_OK;
}

/* ---- other global options ---- */

int noc_store_per_listener_settings(
    struct noc_config_parser *parser, const struct noc_option *option, struct noc_slice value)
{
    bool wanted =
        noc_value_equal(&(struct noc_option){.type = NOC_OPTION_BOOL}, value, noc_slice_of("true"));
    bool refused = noc_value_equal(
        &(struct noc_option){.type = NOC_OPTION_BOOL}, value, noc_slice_of("false"));

    if (!wanted && !refused) {
        return noc_parser_error(parser,
            "Invalid per_listener_settings value (%.*s). Use true or "
            "false.",
            shown(value), value.at);
    }
    if (refused && parser->config->per_listener_settings) {
        noc_parser_say(parser, NOC_CONFIG_WARNING,
            "per_listener_settings cannot be unset again; it stays true");
        return NOC_OK;
    }
    if (wanted && !parser->config->per_listener_settings && parser->has_security_option) {
        return noc_parser_error(parser,
            "per_listener_settings must be set before any other security settings. Move the line "
            "up.");
    }
    parser->config->per_listener_settings = wanted;
    return NOC_OK;
}

int noc_store_workers(
    struct noc_config_parser *parser, const struct noc_option *option, struct noc_slice value)
{
    if (is_word(value, "auto")) {
        parser->config->workers = 0;
        return NOC_OK;
    }
    return noc_parser_store(parser, option, value);
}

int noc_store_message_size_limit(
    struct noc_config_parser *parser, const struct noc_option *option, struct noc_slice value)
{
    noc_parser_say(parser, NOC_CONFIG_NOTICE,
        "Note: It is recommended to replace `message_size_limit` with `max_packet_size`.");
    return noc_parser_store(parser, option, value);
}

/* Mosquitto's, for a database that is written as a whole now and then. */
int noc_store_autosave(
    struct noc_config_parser *parser, const struct noc_option *option, struct noc_slice value)
{
    noc_parser_say(parser, NOC_CONFIG_NOTICE,
        "Note: %s has no effect: with persistence true everything is stored as it happens.",
        option->name);
    return NOC_OK;
}

int noc_store_persistence_sync(
    struct noc_config_parser *parser, const struct noc_option *option, struct noc_slice value)
{
    struct noc_config *config = parser->config;
    struct noc_slice word = noc_slice_cut_word(&value), number = noc_slice_cut_word(&value);
    int64_t ms = 0;

    if (is_word(word, "always") && number.n == 0) {
        config->persistence_sync = 0;
    } else if (is_word(word, "off") && number.n == 0) {
        config->persistence_sync = 2;
    } else if (is_word(word, "interval") && noc_number_read(number, &ms) && ms > 0 &&
               ms <= 3600000) {
        config->persistence_sync = 1;
        config->persistence_sync_ms = (uint32_t)ms;
    } else {
        noc_parser_say(parser, NOC_CONFIG_ERROR,
            "%s: use always, interval MILLISECONDS (1 to 3600000) or off.", option->name);
        return NOC_EINVAL;
    }
    return NOC_OK;
}

int noc_store_retry_interval(
    struct noc_config_parser *parser, const struct noc_option *option, struct noc_slice value)
{
    noc_parser_say(parser, NOC_CONFIG_WARNING, "The retry_interval option is no longer available.");
    return NOC_OK;
}

/* ---- plugins ---- */

int noc_store_plugin(
    struct noc_config_parser *parser, const struct noc_option *option, struct noc_slice value)
{
    struct noc_slice rest = value;

    if (is_word(noc_slice_of(option->name), "plugin_load")) {
        (void)noc_slice_cut_word(&rest);
        if (noc_slice_trim(rest).n == 0) {
            return noc_parser_error(parser, "Empty plugin_load path. Write: plugin_load NAME PATH");
        }
    }
    parser->has_plugin |= option->scope == NOC_SCOPE_GLOBAL;
    return NOC_OK;
}

int noc_store_plugin_option(
    struct noc_config_parser *parser, const struct noc_option *option, struct noc_slice value)
{
    int number = 0;

    if ((option->flags & NOC_OPTION_PREFIX) != 0 && parser->name.n == strlen(option->name)) {
        return noc_parser_error(parser,
            "Invalid plugin option '%s': its name is missing. Write: "
            "%sNAME VALUE",
            option->name, option->name);
    }
    if (option->words != NULL && !find_word(option, value, &number)) {
        return noc_parser_error(parser, "Invalid %s value (%.*s). Use %s.", option->name,
            shown(value), value.at, option->syntax);
    }
    return NOC_OK;
}

/* ---- bridges ---- */

int noc_store_connection(
    struct noc_config_parser *parser, const struct noc_option *option, struct noc_slice value)
{
    struct noc_slice name = noc_slice_cut_word(&value);
    struct noc_config_bridge *bridges;

    for (size_t i = 0; i < parser->bridge_count; i++) {
        if (noc_slice_equal(name, noc_slice_of(parser->bridges[i].name))) {
            return noc_parser_error(parser,
                "Duplicate bridge connection '%.*s'. Give each a name of its own.", shown(name),
                name.at);
        }
    }
    bridges = realloc(parser->bridges, (parser->bridge_count + 1) * sizeof(*bridges));
    if (bridges == NULL) {
        return NOC_ENOMEM;
    }
    parser->bridges = bridges;
    bridges[parser->bridge_count] = (struct noc_config_bridge){
        .name = noc_slice_copy(name), .file = parser->file, .line = parser->line};
    if (bridges[parser->bridge_count].name == NULL) {
        return NOC_ENOMEM;
    }
    parser->bridge = ++parser->bridge_count;
    noc_parser_say(parser, NOC_CONFIG_WARNING,
        "bridges are not active yet: '%.*s' is checked, but does not connect", shown(name),
        name.at);
    return NOC_OK;
}

/* Is the word HOST or HOST:PORT? */
static bool is_host_and_port(struct noc_slice word)
{
    const char *colon = word.at == NULL ? NULL : memrchr(word.at, ':', word.n);
    int64_t port;

    if (colon == NULL) {
        return true;
    }
    return colon > word.at &&
           noc_number_read(noc_slice(colon + 1, (size_t)(word.at + word.n - colon - 1)), &port) &&
           port > 0 && port <= 65535;
}

int noc_store_address(
    struct noc_config_parser *parser, const struct noc_option *option, struct noc_slice value)
{
    struct noc_config_bridge *bridge = &parser->bridges[parser->bridge - 1];
    struct noc_slice word;

    if (bridge->has_address) {
        return noc_parser_error(parser,
            "Duplicate %s value in configuration. Put all addresses of a bridge on one line.",
            option->name);
    }
    while ((word = noc_slice_cut_word(&value)).n > 0 && word.at[0] != '#') {
        if (!is_host_and_port(word)) {
            return noc_parser_error(parser,
                "Invalid port value in %s (%.*s). Write HOST:PORT; an IPv6 address needs its port.",
                option->name, shown(word), word.at);
        }
        bridge->has_address = true;
    }
    if (!bridge->has_address) {
        return noc_parser_error(parser, "Empty %s value in configuration. Write: %s HOST:PORT",
            option->name, option->name);
    }
    return NOC_OK;
}

/* Cut the pattern of a topic line: a word, or text between double quotes. */
static struct noc_slice cut_pattern(struct noc_slice *rest)
{
    const char *quote;
    struct noc_slice pattern;

    if (rest->n < 2 || rest->at[0] != '"' ||
        (quote = memchr(rest->at + 1, '"', rest->n - 1)) == NULL) {
        return noc_slice_cut_word(rest);
    }
    pattern = noc_slice(rest->at + 1, (size_t)(quote - rest->at - 1));
    rest->n -= pattern.n + 2;
    rest->at = quote + 1;
    return pattern;
}

int noc_store_topic(
    struct noc_config_parser *parser, const struct noc_option *option, struct noc_slice value)
{
    struct noc_slice rest = value, word;
    int64_t qos;

    (void)cut_pattern(&rest);
    parser->bridges[parser->bridge - 1].has_topic = true;
    word = noc_slice_cut_word(&rest);
    if (word.n == 0 || word.at[0] == '#') {
        return NOC_OK;
    }
    if (!is_word_any_case(word, "out") && !is_word_any_case(word, "in") &&
        !is_word_any_case(word, "both")) {
        return noc_parser_error(parser,
            "Invalid bridge topic direction '%.*s'. Use out, in or both.", shown(word), word.at);
    }
    word = noc_slice_cut_word(&rest);
    if (word.n > 0 && word.at[0] != '#' && (!noc_number_read(word, &qos) || qos < 0 || qos > 2)) {
        return noc_parser_error(
            parser, "Invalid bridge QoS level '%.*s'. Use 0, 1 or 2.", shown(word), word.at);
    }
    return NOC_OK;
}

/* One to three numbers of at least 1; what they mean is the row's. */
int noc_store_numbers(
    struct noc_config_parser *parser, const struct noc_option *option, struct noc_slice value)
{
    struct noc_slice rest = value, word;
    int64_t number;
    unsigned count = 0;

    while ((word = noc_slice_cut_word(&rest)).n > 0) {
        if (++count > 3 || !noc_number_read(word, &number) || number < 1 || number > INT_MAX) {
            return noc_parser_error(parser, "Invalid %s value (%.*s). Write: %s %s", option->name,
                shown(value), value.at, option->name, option->syntax);
        }
    }
    return NOC_OK;
}
