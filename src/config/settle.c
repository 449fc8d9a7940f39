/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
/*
 * What can be said only once all has been read: which listeners there are,
 * whose security holds for each, defaults that depend on other values, and
 * values that do not go together.
 *
 *     read listeners [+ default listener] - left out ones, or the local mode
 */
#include <stdlib.h>
#include <string.h>

#include "config/parser.h"
#include <noctule/error.h>

#define DEFAULT_PORT     1883
#define PACKET_BYTES_2_1 2000000

static bool strings_equal(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* ---- checks of one listener ---- */

/* Blame the listener's own line from now on. */
static void look_at(struct noc_config_parser *parser, const struct noc_listener_config *listener)
{
    parser->file = listener->file;
    parser->line = listener->line;
}

static void check_tls(struct noc_config_parser *parser, const struct noc_listener_config *listener)
{
    bool has_tls = listener->certfile != NULL && listener->keyfile != NULL;
    bool has_authority = listener->cafile != NULL || listener->capath != NULL;

    if ((listener->certfile != NULL) != (listener->keyfile != NULL)) {
        (void)noc_parser_error(parser,
            "A listener with %s also needs %s. Both together turn TLS on.",
            listener->certfile != NULL ? "certfile" : "keyfile",
            listener->certfile != NULL ? "keyfile" : "certfile");
        return;
    }
    if (has_authority && !has_tls) {
        static const char text[] = "A listener with cafile or capath also needs certfile and "
                                   "keyfile; without them it has no TLS.";

        /* Mosquitto refuses it since 2.0.21; a file that Debian's starts with starts here, too. */
        if (parser->config->compatibility == NOC_COMPATIBILITY_2_0) {
            noc_parser_say(parser, NOC_CONFIG_WARNING, "%s", text);
        } else {
            (void)noc_parser_error(parser, "%s", text);
        }
    }
    if (listener->psk_hint != NULL && has_tls) {
        (void)noc_parser_error(
            parser, "A listener has either certificates or psk_hint, not both. Use two listeners.");
    }
    if (listener->require_certificate && !has_tls) {
        noc_parser_say(parser, NOC_CONFIG_WARNING,
            "require_certificate has no effect without certfile and keyfile");
    } else if (listener->require_certificate && !has_authority) {
        noc_parser_say(parser, NOC_CONFIG_WARNING,
            "require_certificate without cafile or capath: no client can get in");
    }
    if (listener->tls_version == NOC_CONFIG_TLS_1_1) {
        noc_parser_say(parser, NOC_CONFIG_WARNING,
            "TLS 1.1 is broken; use tls_version tlsv1.2 unless an old client needs it");
    }
}

/* Would both bind the same address? */
static bool is_same_socket(const struct noc_listener_config *a, const struct noc_listener_config *b)
{
    return a->port == b->port && strings_equal(a->address, b->address) &&
           strings_equal(a->unix_path, b->unix_path) &&
           strings_equal(a->bind_interface, b->bind_interface) &&
           (a->socket_domain == b->socket_domain || a->socket_domain == NOC_CONFIG_IP_ANY ||
               b->socket_domain == NOC_CONFIG_IP_ANY);
}

static void check_listeners(struct noc_config_parser *parser)
{
    const struct noc_config *config = parser->config;

    for (size_t i = 0; i < config->listener_count; i++) {
        look_at(parser, &config->listeners[i]);
        check_tls(parser, &config->listeners[i]);
        for (size_t k = 0; k < i && k < 256; k++) {
            if (is_same_socket(&config->listeners[k], &config->listeners[i])) {
                (void)noc_parser_error(parser,
                    "Two listeners on the same address, the other one is at line %u. Give one "
                    "another port or address.",
                    config->listeners[k].line);
                break;
            }
        }
    }
}

static void check_bridges(struct noc_config_parser *parser)
{
    for (size_t i = 0; i < parser->bridge_count; i++) {
        const struct noc_config_bridge *bridge = &parser->bridges[i];

        parser->file = bridge->file;
        parser->line = bridge->line;
        if (!bridge->has_address) {
            (void)noc_parser_error(parser,
                "Invalid bridge configuration: no remote addresses defined. Add to '%s': address "
                "HOST:PORT",
                bridge->name);
        } else if (!bridge->has_topic) {
            (void)noc_parser_error(parser,
                "Invalid bridge configuration: no topics defined. Add to '%s': topic PATTERN",
                bridge->name);
        }
    }
}

/* Name the options of bridges or plugins that were given, in one line. */
static void say_inactive(
    const struct noc_config_parser *parser, enum noc_option_scope scope, const char *whose)
{
    const char *gap = "";
    struct noc_text names;

    noc_text_init(&names);
    for (size_t i = 0; i < noc_option_count; i++) {
        const struct noc_option *option = &noc_options[i];

        /* A bridge has been named by its connection. */
        if (option->scope == scope && parser->was_warned[i] &&
            option->store != noc_store_connection) {
            noc_text_add(&names, "%s%s%s", gap, option->name,
                (option->flags & NOC_OPTION_PREFIX) != 0 ? "..." : "");
            gap = ", ";
        }
    }
    if (names.n > 0 && !names.is_broken) {
        noc_config_report_add(parser->report, NOC_CONFIG_WARNING, NULL, 0,
            "options of %s that are not active yet: %s", whose, names.at);
    }
    noc_text_done(&names);
}

/* ---- the set of listeners ---- */

/* Name the listener of all origins that had none yet. */
static void adopt_origins(struct noc_config *config, size_t listener)
{
    for (size_t i = 0; i < config->origin_count; i++) {
        if (config->origins[i].listener == NOC_ORIGIN_DEFAULT) {
            config->origins[i].listener = listener;
        }
    }
}

bool noc_parser_wants_default_listener(const struct noc_config_parser *parser)
{
    const struct noc_security_config *security = &parser->default_security;

    return !noc_listener_config_is_plain(&parser->default_listener) ||
           parser->default_listener.is_left_out || security->password_file != NULL ||
           security->acl_file != NULL || security->psk_file != NULL;
}

/* Append the default listener, if it was asked for. It is the last, as Mosquitto opens it last. */
static int add_default_listener(struct noc_config_parser *parser)
{
    struct noc_config *config = parser->config;
    struct noc_listener_config *listener;
    bool was_named = parser->default_listener.port != 0 || parser->default_listener.address != NULL;
    int err;

    if (!noc_parser_wants_default_listener(parser)) {
        return NOC_OK;
    }
    parser->file = was_named ? parser->default_listener.file : parser->default_file;
    parser->line = was_named ? parser->default_listener.line : parser->default_line;
    if (!was_named) {
        noc_parser_say(parser, NOC_CONFIG_NOTICE,
            "a listener's option comes before any listener, so that a default listener on port %d "
            "is opened. Write 'listener %d' above it, or move it below its listener.",
            DEFAULT_PORT, DEFAULT_PORT);
    }
    err = noc_parser_add_listener(parser);
    if (err != NOC_OK) {
        return err;
    }
    listener = noc_parser_listener(parser);
    *listener = parser->default_listener;
    config->listener_security[config->listener_count - 1] = parser->default_security;
    noc_listener_config_init(&parser->default_listener);
    noc_security_config_init(&parser->default_security);
    listener->is_default = true;
    listener->file = parser->file;
    listener->line = parser->line;
    if (listener->port == 0) {
        listener->port = DEFAULT_PORT;
    }
    adopt_origins(config, config->listener_count - 1);
    return NOC_OK;
}

/* Take out the listeners that need what is not active yet. */
static int drop_left_out(struct noc_config *config)
{
    size_t *places = calloc(config->listener_count, sizeof(*places));
    size_t kept = 0;

    if (places == NULL) {
        return NOC_ENOMEM;
    }
    for (size_t i = 0; i < config->listener_count; i++) {
        if (config->listeners[i].is_left_out) {
            noc_listener_config_done(&config->listeners[i]);
            noc_security_config_done(&config->listener_security[i]);
            places[i] = NOC_ORIGIN_COMMON;
            continue;
        }
        config->listeners[kept] = config->listeners[i];
        config->listener_security[kept] = config->listener_security[i];
        places[i] = kept++;
    }
    for (size_t i = 0; i < config->origin_count; i++) {
        if (config->origins[i].listener < config->listener_count) {
            config->origins[i].listener = places[config->origins[i].listener];
        }
    }
    config->listener_count = kept;
    free(places);
    return NOC_OK;
}

/* One listener of the local mode, with the options that do not ask for a default listener. */
static int add_local_listener(struct noc_config_parser *parser, const char *address, int port)
{
    struct noc_listener_config *listener;
    int err = noc_parser_add_listener(parser);

    if (err != NOC_OK) {
        return err;
    }
    listener = noc_parser_listener(parser);
    /* It is plain but for numbers, so that a copy shares no memory with it. */
    *listener = parser->default_listener;
    listener->file = NULL;
    listener->line = 0;
    listener->is_local = true;
    listener->port = port;
    listener->address = noc_slice_copy(noc_slice_of(address));
    return listener->address == NULL ? NOC_ENOMEM : NOC_OK;
}

static int add_local_listeners(struct noc_config_parser *parser)
{
    static const uint16_t usual_port = DEFAULT_PORT;
    bool has_ports = parser->given->local_port_count > 0;
    const uint16_t *ports = has_ports ? parser->given->local_ports : &usual_port;
    size_t count = has_ports ? parser->given->local_port_count : 1;

    parser->config->is_local_only = true;
    parser->file = NULL;
    parser->line = 0;
    for (size_t i = 0; i < count; i++) {
        int err = add_local_listener(parser, "127.0.0.1", ports[i]);

        if (err == NOC_OK) {
            err = add_local_listener(parser, "::1", ports[i]);
        }
        if (err != NOC_OK) {
            return err;
        }
    }
    if (parser->config->per_listener_settings) {
        /* All of them are one listener to the user. */
        noc_security_config_done(&parser->config->security);
        parser->config->security = parser->default_security;
        noc_security_config_init(&parser->default_security);
    }
    return NOC_OK;
}

static int settle_listeners(struct noc_config_parser *parser)
{
    struct noc_config *config = parser->config;
    int err = add_default_listener(parser);

    if (err != NOC_OK) {
        return err;
    }
    if (config->listener_count == 0) {
        return add_local_listeners(parser);
    }
    check_listeners(parser);
    err = drop_left_out(config);
    parser->file = NULL;
    parser->line = 0;
    if (err == NOC_OK && config->listener_count == 0) {
        return noc_parser_error(parser,
            "No listener is left, as what they need is not active yet. Add a line: listener %d",
            DEFAULT_PORT);
    }
    return err;
}

/* ---- effective values ---- */

static void settle_security(struct noc_config *config)
{
    bool is_own = config->per_listener_settings && !config->is_local_only;

    for (size_t i = 0; i < config->listener_count; i++) {
        struct noc_listener_config *listener = &config->listeners[i];
        const struct noc_security_config *security;
        int given;

        listener->security_index = is_own ? i + 1 : 0;
        security = noc_config_security(config, listener->security_index);
        given = listener->listener_anonymous_given >= 0 ? listener->listener_anonymous_given
                                                        : security->allow_anonymous_given;
        listener->allow_anonymous = given >= 0 ? given != 0 : config->is_local_only;
        listener->auto_id_prefix =
            listener->own_id_prefix != NULL ? listener->own_id_prefix : security->auto_id_prefix;
    }
    if (!is_own && config->listener_security != NULL) {
        for (size_t i = 0; i < config->listener_count; i++) {
            noc_security_config_done(&config->listener_security[i]);
        }
        free(config->listener_security);
        config->listener_security = NULL;
    }
}

/* What a method of authentication needs. */
static void check_methods(struct noc_config_parser *parser)
{
    const struct noc_config *config = parser->config;
    const struct noc_option *option = noc_option_find(noc_slice_of("authentication_method"));

    for (size_t i = 0; i < noc_config_security_count(config); i++) {
        const struct noc_security_config *security = noc_config_security(config, i);
        const struct noc_config_origin *origin =
            noc_config_origin(config, option, i == 0 ? NOC_ORIGIN_COMMON : i - 1);

        if (security->authentication_method == NOC_CONFIG_METHOD_NONE ||
            security->password_file != NULL) {
            continue;
        }
        parser->file = origin == NULL ? NULL : origin->file;
        parser->line = origin == NULL ? 0 : origin->line;
        (void)noc_parser_error(parser,
            "authentication_method SCRAM-SHA-512 has no users. Add a line: password_file PATH");
    }
}

static int set_string(char **string, const char *text)
{
    if (*string == NULL) {
        *string = noc_slice_copy(noc_slice_of(text));
    }
    return *string == NULL ? NOC_ENOMEM : NOC_OK;
}

/* Give a row's string its default, where nothing was said. */
static int default_strings(enum noc_option_scope scope, void *base)
{
    int err = NOC_OK;

    for (size_t i = 0; err == NOC_OK && i < noc_option_count; i++) {
        const struct noc_option *option = &noc_options[i];

        if (option->scope == scope && option->fallback != NULL && option->offset != NOC_NO_FIELD &&
            (option->type == NOC_OPTION_STRING || option->type == NOC_OPTION_PATH)) {
            err = set_string(noc_option_field(option, base), option->fallback);
        }
    }
    return err;
}

static int settle_strings(struct noc_config_parser *parser)
{
    struct noc_config *config = parser->config;
    int err = default_strings(NOC_SCOPE_GLOBAL, config);

    for (size_t i = 0; err == NOC_OK && i < noc_config_security_count(config); i++) {
        err = default_strings(
            NOC_SCOPE_SECURITY, i == 0 ? &config->security : &config->listener_security[i - 1]);
    }
    if (err == NOC_OK && parser->given->persistence_location != NULL) {
        free(config->persistence_location);
        config->persistence_location = NULL;
        err = set_string(&config->persistence_location, parser->given->persistence_location);
    }
    return err;
}

static bool was_given(const struct noc_config *config, const char *name)
{
    return noc_config_origin(config, noc_option_find(noc_slice_of(name)), NOC_ORIGIN_COMMON) !=
           NULL;
}

static int settle_compatibility(struct noc_config_parser *parser)
{
    struct noc_config *config = parser->config;
    const char *text = parser->given->compatibility;

    if (text != NULL && strcmp(text, "2.0") == 0) {
        config->compatibility = NOC_COMPATIBILITY_2_0;
    } else if (text != NULL && strcmp(text, "2.1") == 0) {
        config->compatibility = NOC_COMPATIBILITY_2_1;
    } else if (text != NULL && text[0] != '\0') {
        return noc_parser_error(parser,
            "Invalid value of the environment variable NOCTULE_COMPATIBILITY (%.100s). Use 2.0 or "
            "2.1.",
            text);
    }
    if (config->compatibility == NOC_COMPATIBILITY_2_1) {
        if (!was_given(config, "max_packet_size")) {
            config->max_packet_bytes = PACKET_BYTES_2_1;
        }
        if (!was_given(config, "allow_duplicate_messages")) {
            config->allow_duplicate_messages = true;
            noc_config_report_add(parser->report, NOC_CONFIG_NOTICE, NULL, 0,
                "compatibility 2.1 stands for allow_duplicate_messages true, which is not active "
                "yet: a message comes once, however many subscriptions match");
        }
    }
    return NOC_OK;
}

static void settle_log(struct noc_config_parser *parser)
{
    struct noc_config *config = parser->config;

    if (!parser->has_log_dest) {
        config->log_dest = NOC_CONFIG_LOG_TO_STDERR;
    }
    if (!parser->has_log_type) {
        config->log_types = NOC_LOG_DEFAULT;
    }
    if (parser->given->is_quiet) {
        config->log_types = NOC_LOG_NONE;
    } else if (parser->given->is_verbose) {
        config->log_types = NOC_LOG_ALL;
    }
}

int noc_config_settle(struct noc_config_parser *parser)
{
    int err = settle_compatibility(parser);

    if (err != NOC_OK) {
        return err;
    }
    settle_log(parser);
    check_bridges(parser);
    say_inactive(parser, NOC_SCOPE_BRIDGE, "bridges");
    say_inactive(parser, NOC_SCOPE_PLUGIN, "plugins");
    err = settle_listeners(parser);
    if (err == NOC_OK) {
        err = settle_strings(parser);
    }
    if (err == NOC_OK) {
        settle_security(parser->config);
        check_methods(parser);
    }
    return err;
}
