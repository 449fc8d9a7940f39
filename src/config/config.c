/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration object: its parts' lives, and comparing and explaining two
 * of them. All of it walks the table; no option is named here unless it has a
 * form of its own.
 */
#include "config/config.h"

#include <stdlib.h>
#include <string.h>

#include "config/parser.h"

/* Set every field of a scope's struct to its default; strings stay NULL. */
static void set_defaults(enum noc_option_scope scope, void *base)
{
    for (size_t i = 0; i < noc_option_count; i++) {
        if (noc_options[i].scope == scope) {
            noc_value_default(&noc_options[i], noc_option_field(&noc_options[i], base));
        }
    }
}

static void free_fields(enum noc_option_scope scope, void *base)
{
    for (size_t i = 0; i < noc_option_count; i++) {
        if (noc_options[i].scope == scope) {
            noc_value_free(&noc_options[i], noc_option_field(&noc_options[i], base));
        }
    }
}

static bool fields_equal(enum noc_option_scope scope, const void *a, const void *b)
{
    for (size_t i = 0; i < noc_option_count; i++) {
        const struct noc_option *option = &noc_options[i];

        if (option->scope == scope && option->offset != NOC_NO_FIELD &&
            !noc_value_fields_equal(
                option, (const char *)a + option->offset, (const char *)b + option->offset)) {
            return false;
        }
    }
    return true;
}

void noc_listener_config_init(struct noc_listener_config *listener)
{
    *listener = (struct noc_listener_config){.listener_anonymous_given = -1};
    set_defaults(NOC_SCOPE_LISTENER, listener);
}

void noc_listener_config_done(struct noc_listener_config *listener)
{
    free_fields(NOC_SCOPE_LISTENER, listener);
    free(listener->address);
    free(listener->unix_path);
    *listener = (struct noc_listener_config){0};
}

void noc_security_config_init(struct noc_security_config *security)
{
    *security = (struct noc_security_config){0};
    set_defaults(NOC_SCOPE_SECURITY, security);
    security->allow_anonymous_given = -1;
}

void noc_security_config_done(struct noc_security_config *security)
{
    free_fields(NOC_SCOPE_SECURITY, security);
    *security = (struct noc_security_config){0};
}

struct noc_config *noc_config_new(void)
{
    struct noc_config *config = calloc(1, sizeof(*config));

    if (config == NULL) {
        return NULL;
    }
    set_defaults(NOC_SCOPE_GLOBAL, config);
    noc_security_config_init(&config->security);
    config->log_facility = -1;
    return config;
}

void noc_config_free(struct noc_config *config)
{
    if (config == NULL) {
        return;
    }
    for (size_t i = 0; i < config->listener_count; i++) {
        noc_listener_config_done(&config->listeners[i]);
        if (config->listener_security != NULL) {
            noc_security_config_done(&config->listener_security[i]);
        }
    }
    free(config->listeners);
    free(config->listener_security);
    noc_security_config_done(&config->security);
    free_fields(NOC_SCOPE_GLOBAL, config);
    free(config->log_file);
    noc_config_list_done(&config->files);
    free(config->origins);
    free(config);
}

const struct noc_security_config *noc_config_security(
    const struct noc_config *config, size_t security_index)
{
    return security_index == 0 ? &config->security : &config->listener_security[security_index - 1];
}

size_t noc_config_security_count(const struct noc_config *config)
{
    return config->listener_security == NULL ? 1 : 1 + config->listener_count;
}

static bool strings_equal(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

bool noc_config_listeners_equal(const struct noc_config *a, const struct noc_config *b)
{
    if (a->listener_count != b->listener_count) {
        return false;
    }
    for (size_t i = 0; i < a->listener_count; i++) {
        const struct noc_listener_config *x = &a->listeners[i], *y = &b->listeners[i];

        if (x->port != y->port || x->protocol != y->protocol ||
            x->socket_domain != y->socket_domain || !strings_equal(x->address, y->address) ||
            !strings_equal(x->unix_path, y->unix_path) ||
            !strings_equal(x->bind_interface, y->bind_interface)) {
            return false;
        }
    }
    return true;
}

bool noc_config_security_changed(const struct noc_config *a, const struct noc_config *b)
{
    if (noc_config_security_count(a) != noc_config_security_count(b) ||
        a->listener_count != b->listener_count) {
        return true;
    }
    for (size_t i = 0; i < noc_config_security_count(a); i++) {
        if (!fields_equal(
                NOC_SCOPE_SECURITY, noc_config_security(a, i), noc_config_security(b, i))) {
            return true;
        }
    }
    for (size_t i = 0; i < a->listener_count; i++) {
        const struct noc_listener_config *x = &a->listeners[i], *y = &b->listeners[i];

        if (x->allow_anonymous != y->allow_anonymous ||
            x->require_certificate != y->require_certificate ||
            x->use_identity_as_username != y->use_identity_as_username ||
            x->use_subject_as_username != y->use_subject_as_username ||
            !strings_equal(x->cafile, y->cafile) || !strings_equal(x->capath, y->capath)) {
            return true;
        }
    }
    return false;
}

bool noc_listener_config_is_plain(const struct noc_listener_config *listener)
{
    struct noc_listener_config plain;
    bool is_plain = true;

    noc_listener_config_init(&plain);
    for (size_t i = 0; i < noc_option_count; i++) {
        const struct noc_option *option = &noc_options[i];

        if (option->scope != NOC_SCOPE_LISTENER || option->offset == NOC_NO_FIELD ||
            (option->flags & NOC_OPTION_STAYS_LOCAL) != 0) {
            continue;
        }
        is_plain =
            is_plain && noc_value_fields_equal(option, (const char *)listener + option->offset,
                            (const char *)&plain + option->offset);
    }
    return is_plain && listener->port == 0 && listener->address == NULL;
}

const struct noc_config_origin *noc_config_origin(
    const struct noc_config *config, const struct noc_option *option, size_t listener)
{
    for (size_t i = config->origin_count; i-- > 0;) {
        const struct noc_config_origin *origin = &config->origins[i];

        if (origin->listener == listener &&
            (origin->option == option ||
                (option->offset != NOC_NO_FIELD && origin->option->scope == option->scope &&
                    origin->option->offset == option->offset))) {
            return origin;
        }
    }
    return NULL;
}

/* ---- explaining ---- */

static void explain_origin(const struct noc_config *config, const struct noc_option *option,
    size_t listener, struct noc_text *text)
{
    const struct noc_config_origin *origin = noc_config_origin(config, option, listener);

    if (origin == NULL && listener != NOC_ORIGIN_COMMON && config->is_local_only) {
        origin = noc_config_origin(config, option, NOC_ORIGIN_DEFAULT);
    }
    if (origin == NULL) {
        noc_text_add(text, "  # default\n");
    } else {
        noc_text_add(text, "  # %s:%u\n", origin->file, origin->line);
    }
}

static void explain_fields(const struct noc_config *config, enum noc_option_scope scope,
    const void *base, size_t listener, struct noc_text *text)
{
    for (size_t i = 0; i < noc_option_count; i++) {
        const struct noc_option *option = &noc_options[i];

        if (option->scope != scope || option->offset == NOC_NO_FIELD ||
            (option->flags & (NOC_OPTION_INACTIVE | NOC_OPTION_ALIAS)) != 0) {
            continue;
        }
        noc_text_add(text, "%s%s ", listener == NOC_ORIGIN_COMMON ? "" : "    ", option->name);
        noc_value_show(option, (const char *)base + option->offset, text);
        explain_origin(config, option, listener, text);
    }
}

static void explain_bits(const struct noc_config *config, const char *name, unsigned bits,
    const char *path, struct noc_text *text)
{
    const struct noc_option *option = noc_option_find(noc_slice_of(name));

    noc_text_add(text, "%s", name);
    for (const struct noc_option_word *word = option->words; word->word != NULL; word++) {
        /* Single bits only: "all" is said by naming each, and "none" needs no name. */
        if (word->value != 0 && (word->value & (word->value - 1)) == 0 &&
            (bits & (unsigned)word->value) != 0) {
            noc_text_add(text, " %s", word->word);
        }
    }
    if (path != NULL) {
        noc_text_add(text, " %s", path);
    }
    noc_text_add(text, "%s", bits == 0 ? " none" : "");
    explain_origin(config, option, NOC_ORIGIN_COMMON, text);
}

static void explain_listener(const struct noc_config *config, size_t index, struct noc_text *text)
{
    const struct noc_listener_config *listener = &config->listeners[index];
    const char *where = listener->unix_path != NULL ? listener->unix_path : listener->address;

    noc_text_add(text, "listener %d%s%s", listener->port, where == NULL ? "" : " ",
        where == NULL ? "" : where);
    if (listener->file != NULL) {
        noc_text_add(text, "  # %s:%u\n", listener->file, listener->line);
    } else {
        noc_text_add(text, "  # %s\n", listener->is_local ? "local mode" : "default");
    }
    noc_text_add(text, "    # effective: anonymous clients are %s, made-up ids begin with %s\n",
        listener->allow_anonymous ? "allowed" : "refused", listener->auto_id_prefix);
    explain_fields(config, NOC_SCOPE_LISTENER, listener, index, text);
    if (listener->security_index > 0) {
        explain_fields(config, NOC_SCOPE_SECURITY,
            noc_config_security(config, listener->security_index), index, text);
    }
}

void noc_config_explain(const struct noc_config *config, struct noc_text *text)
{
    explain_fields(config, NOC_SCOPE_GLOBAL, config, NOC_ORIGIN_COMMON, text);
    explain_bits(config, "log_dest", config->log_dest, config->log_file, text);
    explain_bits(config, "log_type", config->log_types, NULL, text);
    noc_text_add(
        text, "per_listener_settings %s\n", config->per_listener_settings ? "true" : "false");
    if (noc_config_security_count(config) == 1) {
        explain_fields(config, NOC_SCOPE_SECURITY, &config->security, NOC_ORIGIN_COMMON, text);
    }
    for (size_t i = 0; i < config->listener_count; i++) {
        explain_listener(config, i, text);
    }
}
