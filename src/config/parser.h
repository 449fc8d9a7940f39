/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CONFIG_PARSER_H
#define NOC_CONFIG_PARSER_H
/*
 * What the parts of the configuration reader share; for files of this folder
 * only. The reader lives for one noc_config_parse() call.
 */

#include "config/config.h"
#include "config/options.h"

/* The listener of an origin, where it is not an index into noc_config.listeners. */
#define NOC_ORIGIN_COMMON  ((size_t)-1) /* belongs to no listener */
#define NOC_ORIGIN_DEFAULT ((size_t)-2) /* the default listener, or that of the local mode */

/* One value that was given: which, for whom, where. */
struct noc_config_origin {
    const struct noc_option *option;
    size_t listener;
    const char *file; /* of noc_config.files */
    unsigned line;
};

/* A bridge as far as it is checked. */
struct noc_config_bridge {
    char *name;
    const char *file;
    unsigned line;
    bool has_address;
    bool has_topic;
};

struct noc_config_parser {
    struct noc_config *config;
    struct noc_config_report *report;
    size_t errors_before;                   /* of the report, when we began */
    const struct noc_config_options *given; /* never NULL */

    /* Where we are. */
    const char *file; /* of config->files */
    unsigned line;
    struct noc_slice name; /* of the option being read, as written */
    bool is_included;
    bool is_sealed;

    /* The context: index + 1, 0 for none. It does not carry from file to file. */
    size_t listener;
    size_t bridge;
    bool has_plugin;

    /* What precedes any listener is kept here, until noc_config_settle() knows whether it counts. */
    struct noc_listener_config default_listener;
    struct noc_security_config default_security;
    const char *default_file;
    unsigned default_line; /* where the first such option was, 0: there was none */

    struct noc_config_bridge *bridges;
    size_t bridge_count;
    size_t listener_capacity;
    bool *was_warned; /* by row of the table: said to be inactive, or yet to be */
    bool has_security_option;
    bool has_log_dest;
    bool has_log_type;
};

/* ---- value.c: the typed values ---- */

/* A value's problem, to be put behind "Invalid NAME value (VALUE)". */
struct noc_value_problem {
    char text[160];
};

/*
 * Read value as the row's type and write it to *field (its C type as said at
 * enum noc_option_type), unless field is NULL. Strings and lists are copied.
 * Returns 0, NOC_EINVAL with the problem set, NOC_EEXIST when a string is
 * there already, or NOC_ENOMEM.
 */
NOC_MUST_CHECK int noc_value_read(const struct noc_option *option, struct noc_slice value,
    void *field, struct noc_value_problem *problem);

/* Write the row's default, if it has one of a type other than string; never fails. */
void noc_value_default(const struct noc_option *option, void *field);

/* Do two readable values of the row's type mean the same? */
bool noc_value_equal(const struct noc_option *option, struct noc_slice a, struct noc_slice b);

/* Is the field's content what a and b share? Both of the row's C type. */
bool noc_value_fields_equal(const struct noc_option *option, const void *a, const void *b);

/* Free what a field holds. */
void noc_value_free(const struct noc_option *option, void *field);

/* Add a field's content as one would write it. */
void noc_value_show(const struct noc_option *option, const void *field, struct noc_text *text);

/* A whole number in C's notation (base by prefix), nothing behind it. False when it is none. */
bool noc_number_read(struct noc_slice text, int64_t *ret_number);

/* Cut the next space-separated word off *rest; empty at the end. */
struct noc_slice noc_slice_cut_word(struct noc_slice *rest);

/* Without white space at both ends. */
struct noc_slice noc_slice_trim(struct noc_slice text);

/* A zero-terminated heap copy, or NULL. */
char *noc_slice_copy(struct noc_slice text);

int noc_config_list_add(struct noc_config_list *list, struct noc_slice item);
void noc_config_list_done(struct noc_config_list *list);

/* ---- parse.c ---- */

/* Report an error or a warning at the current line. The first returns NOC_EINVAL. */
int noc_parser_error(struct noc_config_parser *parser, const char *format, ...) NOC_PRINTF(2, 3);
void noc_parser_say(struct noc_config_parser *parser, enum noc_config_level level,
    const char *format, ...) NOC_PRINTF(3, 4);

/* Store the value in the field of the row; the way of every option without its own function. */
int noc_parser_store(
    struct noc_config_parser *parser, const struct noc_option *option, struct noc_slice value);

/*
 * Say once per option that nothing follows from it yet, unless the value is
 * what holds anyway. A listener that would stand open without a guard is left out.
 */
void noc_parser_warn_inactive(
    struct noc_config_parser *parser, const struct noc_option *option, struct noc_slice value);

/* The listener that options speak of now: the latest of the file, or the default one. */
struct noc_listener_config *noc_parser_listener(struct noc_config_parser *parser);

/* Its own security set, whether or not per_listener_settings is on. */
struct noc_security_config *noc_parser_listener_security(struct noc_config_parser *parser);

/* Append a listener with default values and make it the current one. */
int noc_parser_add_listener(struct noc_config_parser *parser);

/* Read another file with a context of its own. */
int noc_parser_include(struct noc_config_parser *parser, const char *path);

/* ---- settle.c ---- */

/* Does what came before any listener ask for a default one? */
bool noc_parser_wants_default_listener(const struct noc_config_parser *parser);

/* Values that depend on others: listeners, effective security, defaults by compatibility; checks. */
int noc_config_settle(struct noc_config_parser *parser);

/* ---- config.c ---- */

struct noc_config *noc_config_new(void); /* defaults, no listener; NULL: no memory */
void noc_listener_config_init(struct noc_listener_config *listener);
void noc_listener_config_done(struct noc_listener_config *listener);

/* Has nothing been said of it but what leaves it the default? */
bool noc_listener_config_is_plain(const struct noc_listener_config *listener);

void noc_security_config_init(struct noc_security_config *security);
void noc_security_config_done(struct noc_security_config *security);

/* The field of a row in its scope's struct. */
static inline void *noc_option_field(const struct noc_option *option, void *base)
{
    return option->offset == NOC_NO_FIELD ? NULL : (char *)base + option->offset;
}

/* The last origin of a row's field (under any name), or NULL when its default stands. */
const struct noc_config_origin *noc_config_origin(
    const struct noc_config *config, const struct noc_option *option, size_t listener);

/* ---- special.c: options with a way of their own ---- */

int noc_store_accept_protocol_versions(
    struct noc_config_parser *parser, const struct noc_option *option, struct noc_slice value);
int noc_store_address(
    struct noc_config_parser *parser, const struct noc_option *option, struct noc_slice value);
int noc_store_bind_address(
    struct noc_config_parser *parser, const struct noc_option *option, struct noc_slice value);
int noc_store_connection(
    struct noc_config_parser *parser, const struct noc_option *option, struct noc_slice value);
int noc_store_include_dir(
    struct noc_config_parser *parser, const struct noc_option *option, struct noc_slice value);
int noc_store_listener(
    struct noc_config_parser *parser, const struct noc_option *option, struct noc_slice value);
int noc_store_log_dest(
    struct noc_config_parser *parser, const struct noc_option *option, struct noc_slice value);
int noc_store_log_facility(
    struct noc_config_parser *parser, const struct noc_option *option, struct noc_slice value);
int noc_store_log_type(
    struct noc_config_parser *parser, const struct noc_option *option, struct noc_slice value);
int noc_store_message_size_limit(
    struct noc_config_parser *parser, const struct noc_option *option, struct noc_slice value);
int noc_store_mount_point(
    struct noc_config_parser *parser, const struct noc_option *option, struct noc_slice value);
int noc_store_numbers(
    struct noc_config_parser *parser, const struct noc_option *option, struct noc_slice value);
int noc_store_per_listener_settings(
    struct noc_config_parser *parser, const struct noc_option *option, struct noc_slice value);
int noc_store_plugin(
    struct noc_config_parser *parser, const struct noc_option *option, struct noc_slice value);
int noc_store_plugin_option(
    struct noc_config_parser *parser, const struct noc_option *option, struct noc_slice value);
int noc_store_port(
    struct noc_config_parser *parser, const struct noc_option *option, struct noc_slice value);
int noc_store_protocol(
    struct noc_config_parser *parser, const struct noc_option *option, struct noc_slice value);
int noc_store_autosave(
    struct noc_config_parser *parser, const struct noc_option *option, struct noc_slice value);
int noc_store_persistence_sync(
    struct noc_config_parser *parser, const struct noc_option *option, struct noc_slice value);
int noc_store_retry_interval(
    struct noc_config_parser *parser, const struct noc_option *option, struct noc_slice value);
int noc_store_topic(
    struct noc_config_parser *parser, const struct noc_option *option, struct noc_slice value);
int noc_store_websocket_path(
    struct noc_config_parser *parser, const struct noc_option *option, struct noc_slice value);
int noc_store_workers(
    struct noc_config_parser *parser, const struct noc_option *option, struct noc_slice value);

#endif
