/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/admission.h"

#include <stdlib.h>
#include <string.h>

#include "auth/acl_file.h"
#include "broker/broker.h"
#include "broker/connection.h"

/* ---- loading ---- */

static void warn(void *context, const char *text)
{
    noc_log(context, NOC_LOG_WARNING, "Warning: %s", text);
}

/* The security of one set of files. A version tells it from any other in this process. */
static struct noc_security *load_security(const struct noc_security_config *config,
    bool allow_anonymous, bool is_reload, uint64_t version, struct noc_log *log, bool *ret_is_file)
{
    struct noc_report report = {.warn = warn, .context = log};
    const struct noc_passwords_options options = {
        .seed = version * UINT64_C(0x9e3779b97f4a7c15), .is_strict = is_reload};
    const struct noc_acl_file_options acl_options = {
        .acl = {.seed = options.seed, .version = version}};
    struct noc_passwords *passwords = NULL;
    struct noc_acl *acl = NULL;
    struct noc_security *security;

    if (config->password_file != NULL &&
        noc_passwords_load(config->password_file, &options, &report, &passwords) != NOC_OK) {
        noc_log(log, NOC_LOG_ERROR, "Error: %s", report.error);
        *ret_is_file = true;
        return NULL;
    }
    if (config->acl_file != NULL &&
        noc_acl_file_load(config->acl_file, &acl_options, &report, &acl) != NOC_OK) {
        noc_log(log, NOC_LOG_ERROR, "Error: %s", report.error);
        noc_passwords_unref(passwords);
        *ret_is_file = true;
        return NULL;
    }
    security = noc_security_new(version, allow_anonymous, passwords, acl);
    if (security == NULL) {
        noc_log(log, NOC_LOG_ERROR, "Error: Out of memory.");
    }
    return security;
}

static enum noc_tls_version tls_version(enum noc_config_tls_version version)
{
    switch (version) {
    case NOC_CONFIG_TLS_1_1:
        return NOC_TLS_1_1;
    case NOC_CONFIG_TLS_1_2:
        return NOC_TLS_1_2;
    case NOC_CONFIG_TLS_1_3:
        return NOC_TLS_1_3;
    case NOC_CONFIG_TLS_DEFAULT:
        break;
    }
    return NOC_TLS_DEFAULT;
}

static int load_tls(const struct noc_listener_config *config, const char *tls_keylog,
    struct noc_log *log, struct noc_tls_context **ret_context)
{
    const struct noc_tls_options options = {
        .cafile = config->cafile,
        .capath = config->capath,
        .certfile = config->certfile,
        .keyfile = config->keyfile,
        .require_certificate = config->require_certificate,
        .min_version = tls_version(config->tls_version),
        .ciphers = config->ciphers,
        .ciphersuites = config->ciphers_tls13,
        .keylog_file = tls_keylog,
        .alpn = config->protocol == NOC_CONFIG_WEBSOCKETS ? NOC_TLS_ALPN_HTTP : NOC_TLS_ALPN_MQTT,
    };
    char error[512];

    if (config->certfile == NULL) {
        return NOC_OK;
    }
    if (noc_tls_context_new_server(&options, ret_context, error, sizeof error) != NOC_OK) {
        noc_log(log, NOC_LOG_ERROR, "Error: %s", error);
        return NOC_EINVAL;
    }
    return NOC_OK;
}

/* A security that an earlier listener has from the same files and with the same anonymity. */
static struct noc_security *same_as_before(
    const struct noc_config *config, const struct noc_admission *access, size_t at)
{
    const struct noc_listener_config *listener = &config->listeners[at];

    for (size_t i = 0; i < at; i++) {
        if (config->listeners[i].security_index == listener->security_index &&
            config->listeners[i].allow_anonymous == listener->allow_anonymous) {
            return noc_security_ref(access->at[i].security);
        }
    }
    return NULL;
}

int noc_admission_load(const struct noc_config *config, const struct noc_admission_load *load,
    struct noc_admission **ret_access, bool *ret_is_file)
{
    struct noc_admission *access =
        calloc(1, sizeof *access + config->listener_count * sizeof access->at[0]);

    *ret_is_file = false;
    if (access == NULL) {
        return NOC_ENOMEM;
    }
    atomic_init(&access->references, 1);
    access->count = config->listener_count;
    for (size_t i = 0; i < config->listener_count; i++) {
        const struct noc_listener_config *listener = &config->listeners[i];
        struct noc_admission_entry *entry = &access->at[i];

        entry->security = same_as_before(config, access, i);
        if (entry->security == NULL) {
            entry->security = load_security(noc_config_security(config, listener->security_index),
                listener->allow_anonymous, load->is_reload, ++*load->version, load->log,
                ret_is_file);
        }
        if (entry->security == NULL ||
            load_tls(listener, load->tls_keylog, load->log, &entry->tls) != NOC_OK) {
            noc_admission_unref(access);
            return NOC_EINVAL;
        }
    }
    *ret_access = access;
    return NOC_OK;
}

struct noc_admission *noc_admission_ref(struct noc_admission *access)
{
    atomic_fetch_add_explicit(&access->references, 1, memory_order_relaxed);
    return access;
}

void noc_admission_unref(struct noc_admission *access)
{
    if (access == NULL ||
        atomic_fetch_sub_explicit(&access->references, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (size_t i = 0; i < access->count; i++) {
        noc_security_unref(access->at[i].security);
        noc_tls_context_unref(access->at[i].tls);
    }
    free(access);
}

/* ---- who, and why not ---- */

void noc_admission_log_denied(struct noc_link *link, const char *why, struct noc_slice username)
{
    noc_shard_log(link->shard, NOC_LOG_NOTICE, "Client %.*s from %.*s:%u denied: %s (user '%.*s').",
        NOC_SLICE_ARG(noc_link_name(link)), NOC_SLICE_ARG(link->address), (unsigned)link->port, why,
        NOC_SLICE_ARG(username));
}

/* NOC_OK: nothing is logged. */
static void log_outcome(struct noc_link *link, int outcome)
{
    const struct noc_connect *view = &link->connect->view;
    const char *why;

    if (outcome == NOC_OK) {
        return;
    }
    if (outcome == NOC_ENOMEM) {
        why = "out of memory";
    } else if (outcome == NOC_EFULL) {
        why = "too many logins at once";
    } else if (noc_connection_of(link)->is_named_by_certificate) {
        why = "its certificate gives no user name";
    } else if (view->has_username) {
        why = "unknown user or wrong password";
    } else {
        why = "no username given and allow_anonymous is false";
    }
    noc_admission_log_denied(link, why, view->username);
}

int noc_admission_set_name(struct noc_connection *connection, struct noc_slice name)
{
    char *copy = malloc(name.n + 1);

    if (copy == NULL) {
        return NOC_ENOMEM;
    }
    if (name.n > 0) {
        memcpy(copy, name.at, name.n);
    }
    free(connection->given_name);
    connection->given_name = copy;
    connection->link.username = noc_slice(copy, name.n);
    return NOC_OK;
}

/*
 * The username that a client certificate stands for. NOC_ENOENT: the listener does not ask;
 * NOC_EDENIED: it gives none; NOC_ENOMEM.
 */
static int name_by_certificate(struct noc_connection *connection)
{
    const struct noc_listener_config *config = connection->endpoint->config;
    char name[1024];
    int n;

    if (connection->tls == NULL ||
        (!config->use_identity_as_username && !config->use_subject_as_username)) {
        return NOC_ENOENT;
    }
    connection->is_named_by_certificate = true;
    n = config->use_identity_as_username ? noc_tls_identity(connection->tls, name, sizeof name)
                                         : noc_tls_subject(connection->tls, name, sizeof name);
    return n < 0 ? NOC_EDENIED : noc_admission_set_name(connection, noc_slice(name, (size_t)n));
}

/* ---- judging a CONNECT ---- */

/* An answer of the pool on its way to the worker that asked. */
struct answer {
    struct noc_worker *worker;
    struct noc_auth_result result;
};

static void on_answer(struct noc_shard *shard, void *argument);

/* On a thread of the pool. */
static void on_done(void *context, const struct noc_auth_result *result)
{
    struct noc_worker *worker = context;
    struct answer *answer = malloc(sizeof *answer);

    if (answer == NULL) {
        return; /* the connection ends by its deadline */
    }
    *answer = (struct answer){worker, *result};
    if (noc_worker_call_mt(worker, on_answer, answer) != NOC_OK) {
        free(answer);
    }
}

/* By what it was admitted, for the next reload. */
static void remember(struct noc_connection *connection, const struct noc_auth_result *result)
{
    memcpy(connection->line_digest, result->line_digest, sizeof connection->line_digest);
    connection->security_version = result->security_version;
}

static const struct noc_admission_entry *access_of(const struct noc_connection *connection)
{
    const struct noc_admission *access = noc_connection_worker(connection)->access;

    return &access->at[connection->endpoint->listener.number];
}

const struct noc_security *noc_admission_security(const struct noc_connection *connection)
{
    return access_of(connection)->security;
}

/* Ask the pool. Results as authenticate's. */
static int ask(
    struct noc_connection *connection, const struct noc_credentials *credentials, uint64_t ticket)
{
    struct noc_worker *worker = noc_connection_worker(connection);
    const struct noc_auth_request request = {
        .security = access_of(connection)->security,
        .username = credentials->username,
        .password = credentials->password,
        .address_key = noc_address_key(&connection->address),
        .ticket = ticket,
        .done = on_done,
        .context = worker,
    };
    struct noc_auth_result result;
    int err = noc_auth_check_start_mt(worker->broker->pool, &request, &result);

    if (err != NOC_OK) {
        return err == NOC_EAGAIN ? NOC_EAGAIN : NOC_EFULL;
    }
    remember(connection, &result);
    return result.outcome == NOC_OK ? NOC_OK : NOC_EDENIED;
}

/* The credentials of a CONNECT that is still waiting. */
static struct noc_credentials credentials_of(const struct noc_link *link)
{
    const struct noc_connect *view = &link->connect->view;
    struct noc_credentials credentials = {.client_id = link->connect->client_id};

    if (view->has_username) {
        credentials.username = view->username;
    }
    if (view->has_password) {
        credentials.password = view->password;
    }
    return credentials;
}

static void on_answer(struct noc_shard *shard, void *argument)
{
    struct answer *answer = argument;
    struct noc_link *link = shard == NULL ? NULL : noc_link_waiting(shard, answer->result.ticket);
    int outcome = answer->result.outcome;

    if (link != NULL) {
        struct noc_connection *connection = noc_connection_of(link);

        if (noc_admission_security(connection)->version != answer->result.security_version) {
            /* The file has changed meanwhile: the answer is void, ask again. */
            struct noc_credentials credentials = credentials_of(link);

            outcome = ask(connection, &credentials, answer->result.ticket);
        } else {
            remember(connection, &answer->result);
        }
        if (outcome != NOC_EAGAIN) {
            log_outcome(link, outcome);
            noc_link_authenticated(shard, answer->result.ticket, outcome);
        }
    }
    free(answer);
}

int noc_admission_authenticate(
    struct noc_link *link, const struct noc_credentials *credentials, uint64_t ticket)
{
    struct noc_connection *connection = noc_connection_of(link);
    int err = name_by_certificate(connection);

    if (err == NOC_ENOENT) {
        err = ask(connection, credentials, ticket);
    }
    if (err != NOC_EAGAIN) {
        log_outcome(link, err);
    }
    return err;
}

/* ---- reload ---- */

/* May the client stay, now that other files are in force? */
static bool may_stay(const struct noc_connection *connection, const struct noc_admission *access,
    struct noc_slice username)
{
    const struct noc_security *security =
        access->at[connection->endpoint->listener.number].security;

    return connection->is_named_by_certificate ||
           noc_security_still_admits(security, username, connection->line_digest);
}

bool noc_admission_still_admits(const struct noc_connection *connection)
{
    const struct noc_link *link = &connection->link;

    return connection->security_version == noc_admission_security(connection)->version ||
           may_stay(connection, noc_connection_worker(connection)->access,
               link->username.at != NULL ? link->username : credentials_of(link).username);
}

void noc_admission_put_in_force(struct noc_shard *shard, void *take_access)
{
    struct noc_admission *access = take_access;
    struct noc_worker *worker;

    if (shard == NULL) {
        noc_admission_unref(access);
        return;
    }
    worker = noc_worker_of(shard);
    noc_admission_unref(worker->access);
    worker->access = access;
    for (size_t i = 0; i < access->count; i++) {
        noc_shard_set_acl(shard, (unsigned)i, noc_acl_ref(access->at[i].security->acl));
    }
    for (struct noc_list *at = shard->links.next, *next; at != &shard->links; at = next) {
        struct noc_link *link = NOC_CONTAINER(at, struct noc_link, link_in_shard);

        next = at->next;
        if (link->state != NOC_LINK_OPEN) {
            continue;
        }
        if (!may_stay(noc_connection_of(link), access,
                noc_slice(link->session->username, link->session->username_n))) {
            noc_link_end(link, NOC_END_NOT_AUTHORISED, "credentials revoked");
        }
    }
}
