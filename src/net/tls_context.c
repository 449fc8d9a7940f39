/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
/*
 * Contexts: certificates and policy. Every file is named in the error it
 * causes, together with the first error that OpenSSL queued, which is the
 * closest to the cause (the later ones say who passed it on).
 */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/tls.h"
#include "net/tls_internal.h"
#include <noctule/error.h>

/* Where a failure's line goes. */
struct report {
    char *text;
    size_t size;
};

/* OpenSSL's words, or better ones where a user meets them. NULL: it has none. */
static const char *reason_text(unsigned long code)
{
    int library = ERR_GET_LIB(code), reason = ERR_GET_REASON(code);

    if (code == 0) {
        return NULL;
    }
    if (ERR_SYSTEM_ERROR(code)) {
        return strerror(reason);
    }
    if ((library == ERR_LIB_PEM && reason == PEM_R_NO_START_LINE) || reason == ERR_R_UNSUPPORTED ||
        (library == ERR_LIB_X509 && reason == X509_R_NO_CERTIFICATE_OR_CRL_FOUND)) {
        return "there is nothing of that kind in it; it should have a line -----BEGIN ...-----";
    }
    if (library == ERR_LIB_X509 && reason == X509_R_KEY_VALUES_MISMATCH) {
        return "it is not the key of the certificate in certfile";
    }
    if (reason == ERR_R_INTERRUPTED_OR_CANCELLED) { /* the question for its passphrase */
        return "it has a passphrase (openssl pkey -in FILE -out FILE takes it off)";
    }
    return ERR_reason_error_string(code);
}

/* "Unable to <what> '<name>': <reason>"; empties OpenSSL's queue. Returns the error. */
static int fail(const struct report *report, const char *what, const char *name)
{
    unsigned long code = ERR_peek_error();
    const char *reason = reason_text(code);

    ERR_clear_error();
    if (name == NULL) {
        (void)snprintf(report->text, report->size, "Unable to %s: %s", what,
            reason == NULL ? "unknown reason" : reason);
    } else {
        (void)snprintf(report->text, report->size, "Unable to %s '%s': %s", what, name,
            reason == NULL ? "unknown reason" : reason);
    }
    return ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE ? NOC_ENOMEM : NOC_EINVAL;
}

static int refuse(const struct report *report, const char *text)
{
    (void)snprintf(report->text, report->size, "%s", text);
    return NOC_EINVAL;
}

/* OpenSSL must never ask for a password on the terminal: without one the load fails. */
static int give_password(char *buffer, int size, int for_writing, void *password)
{
    size_t n = password == NULL ? 0 : strlen(password);

    if (n == 0 || size < 0 || n > (size_t)size) {
        return -1;
    }
    memcpy(buffer, password, n);
    return (int)n;
}

static void write_key_line(const SSL *ssl, const char *line)
{
    struct noc_tls_context *context = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    size_t n = strlen(line);
    char *copy = malloc(n + 1);

    /* Line and newline in one write, so that lines of several threads don't mix. */
    if (copy != NULL) {
        memcpy(copy, line, n);
        copy[n] = '\n';
        if (write(context->keylog_fd, copy, n + 1) < 0) {
            /* A key log is a debugging aid: a full disk must not end connections. */
        }
        OPENSSL_cleanse(copy, n);
        free(copy);
    }
}

static const unsigned char alpn_mqtt[] = {4, 'm', 'q', 't', 't'};
static const unsigned char alpn_http[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};

/*
 * A client that offers only what we don't know is served without an answer
 * rather than refused as RFC 7301, section 3.2 would have it: devices are in use that
 * send a cloud provider's own protocol name.
 */
static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n,
    const unsigned char *in, unsigned in_n, const unsigned char *ours, unsigned ours_n)
{
    unsigned char *chosen = NULL;

    if (SSL_select_next_proto(&chosen, out_n, ours, ours_n, in, in_n) != OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_NOACK;
    }
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static int select_mqtt(SSL *ssl, const unsigned char **out, unsigned char *out_n,
    const unsigned char *in, unsigned in_n, void *unused)
{
    return select_alpn(ssl, out, out_n, in, in_n, alpn_mqtt, sizeof(alpn_mqtt));
}

static int select_http(SSL *ssl, const unsigned char **out, unsigned char *out_n,
    const unsigned char *in, unsigned in_n, void *unused)
{
    return select_alpn(ssl, out, out_n, in, in_n, alpn_http, sizeof(alpn_http));
}

/*
 * The identity is kept by us: OpenSSL remembers it up to TLS 1.2 only. A client
 * that names it without having the key fails in the handshake. (A client may offer several in
 * TLS 1.3; the first that we find is taken, and no other is asked for.)
 */
static unsigned find_psk(SSL *ssl, const char *identity, unsigned char *key, unsigned max)
{
    struct noc_tls_context *context = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    struct noc_tls *tls = SSL_get_app_data(ssl);
    size_t n = context->psk_find(context->psk_context, noc_slice_of(identity), key, max);

    assert(n <= max);
    if (n > 0) {
        free(tls->psk_identity);
        tls->psk_identity = strdup(identity);
        if (tls->psk_identity == NULL) {
            return 0;
        }
    }
    return (unsigned)n;
}

static unsigned show_psk(SSL *ssl, const char *hint, char *identity, unsigned max_identity,
    unsigned char *key, unsigned max)
{
    struct noc_tls_context *context = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    size_t n = strlen(context->psk_identity);

    if (n + 1 > max_identity || context->psk_key_n > max) {
        return 0;
    }
    memcpy(identity, context->psk_identity, n + 1);
    memcpy(key, context->psk_key, context->psk_key_n);
    return (unsigned)context->psk_key_n;
}

static int protocol_number(enum noc_tls_version version)
{
    switch (version) {
    case NOC_TLS_1_1:
        return TLS1_1_VERSION;
    case NOC_TLS_1_2:
        return TLS1_2_VERSION;
    case NOC_TLS_1_3:
        return TLS1_3_VERSION;
    case NOC_TLS_DEFAULT:
        break;
    }
    return 0;
}

static int set_policy(
    SSL_CTX *ctx, const struct noc_tls_options *options, const struct report *report)
{
    int min = protocol_number(options->min_version);
    const char *ciphers = options->ciphers;

    /* Partial writes: take what fits. Moving buffers: output buffers grow between two tries. */
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_AUTO_RETRY);
    (void)SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                       SSL_OP_IGNORE_UNEXPECTED_EOF |
                                       SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    /* One system call for a record's header and body. */
    SSL_CTX_set_read_ahead(ctx, 1);
    (void)SSL_CTX_set_dh_auto(ctx, 1);
    if (SSL_CTX_set_min_proto_version(ctx, min == 0 ? TLS1_2_VERSION : min) != 1 ||
        SSL_CTX_set_max_proto_version(ctx, protocol_number(options->max_version)) != 1) {
        return fail(report, "set the TLS version", NULL);
    }
    /* TLS 1.1 signs with SHA-1, which OpenSSL 3 allows at this level only. */
    if (options->min_version == NOC_TLS_1_1 && ciphers == NULL) {
        ciphers = "DEFAULT@SECLEVEL=0";
    }
    if (ciphers != NULL && SSL_CTX_set_cipher_list(ctx, ciphers) != 1) {
        return fail(report, "set the TLS ciphers", ciphers);
    }
    if (options->ciphersuites != NULL &&
        SSL_CTX_set_ciphersuites(ctx, options->ciphersuites) != 1) {
        return fail(report, "set the TLS 1.3 ciphers", options->ciphersuites);
    }
    return NOC_OK;
}

static int load_own_certificate(
    SSL_CTX *ctx, const struct noc_tls_options *options, const struct report *report)
{
    void *password = (void *)(uintptr_t)options->key_password;
    bool key_is_loaded;

    if (SSL_CTX_use_certificate_chain_file(ctx, options->certfile) != 1) {
        return fail(report, "load certificate file", options->certfile);
    }
    SSL_CTX_set_default_passwd_cb_userdata(ctx, password);
    key_is_loaded = SSL_CTX_use_PrivateKey_file(ctx, options->keyfile, SSL_FILETYPE_PEM) == 1;
    SSL_CTX_set_default_passwd_cb_userdata(ctx, NULL);
    if (!key_is_loaded) {
        return fail(report, "load key file", options->keyfile);
    }
    if (SSL_CTX_check_private_key(ctx) != 1) {
        return fail(report, "use key file", options->keyfile);
    }
    return NOC_OK;
}

static int load_revocations(SSL_CTX *ctx, const char *crlfile, const struct report *report)
{
    X509_STORE *store = SSL_CTX_get_cert_store(ctx);
    X509_LOOKUP *lookup = X509_STORE_add_lookup(store, X509_LOOKUP_file());

    if (lookup == NULL || X509_load_crl_file(lookup, crlfile, X509_FILETYPE_PEM) < 1) {
        return fail(report, "load certificate revocation file", crlfile);
    }
    (void)X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK);
    return NOC_OK;
}

/* "0123abcd.0", as openssl rehash names a certificate: nothing else in a folder is trusted. */
static bool is_hash_name(const char *name)
{
    return strspn(name, "0123456789abcdef") == 8 && name[8] == '.' && name[9] != '\0' &&
           name[9 + strspn(name + 9, "0123456789")] == '\0';
}

/*
 * All of it, now: OpenSSL's own way with a folder is to open its files in the handshakes, on
 * the workers. What holds no certificate, or is a link that leads nowhere, is passed over, as there:
 * who would have been vouched for by it is refused.
 */
static int load_folder(SSL_CTX *ctx, const char *folder, const struct report *report)
{
    X509_LOOKUP *lookup = X509_STORE_add_lookup(SSL_CTX_get_cert_store(ctx), X509_LOOKUP_file());
    char path[PATH_MAX + NAME_MAX + 2];
    struct dirent *entry;
    DIR *dir = opendir(folder);

    if (dir == NULL) {
        (void)snprintf(report->text, report->size, "Unable to use CA folder '%s': %s", folder,
            strerror(errno));
        return NOC_EINVAL;
    }
    if (lookup == NULL) {
        (void)closedir(dir);
        return fail(report, "use CA folder", folder);
    }
    while ((entry = readdir(dir)) != NULL) {
        (void)snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        if (is_hash_name(entry->d_name)) {
            (void)X509_load_cert_file(lookup, path, X509_FILETYPE_PEM);
            ERR_clear_error();
        }
    }
    (void)closedir(dir);
    return NOC_OK;
}

/*
 * The list of our authorities' names is not sent to clients: with a system's
 * bundle it is some 20 KB, more than small devices can take in.
 */
static int load_authorities(
    SSL_CTX *ctx, const struct noc_tls_options *options, const struct report *report)
{
    if (options->cafile != NULL && SSL_CTX_load_verify_file(ctx, options->cafile) != 1) {
        return fail(report, "load CA file", options->cafile);
    }
    if (options->capath != NULL) {
        int err = load_folder(ctx, options->capath, report);

        if (err != NOC_OK) {
            return err;
        }
    }
    return options->crlfile == NULL ? NOC_OK : load_revocations(ctx, options->crlfile, report);
}

static int open_keylog(
    struct noc_tls_context *context, const char *path, const struct report *report)
{
    context->keylog_fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (context->keylog_fd < 0) {
        (void)snprintf(report->text, report->size, "Unable to open TLS key log file '%s': %s", path,
            strerror(errno));
        return NOC_EINVAL;
    }
    SSL_CTX_set_keylog_callback(context->ctx, write_key_line);
    return NOC_OK;
}

/* What server and client have in common. */
static int context_new(const struct noc_tls_options *options, const SSL_METHOD *method,
    struct noc_tls_context **ret_context, const struct report *report)
{
    struct noc_tls_context *context = calloc(1, sizeof(*context));
    int err;

    if (context == NULL) {
        return NOC_ENOMEM;
    }
    ERR_clear_error();
    atomic_init(&context->refs, 1);
    context->keylog_fd = -1;
    context->ctx = SSL_CTX_new(method);
    if (context->ctx == NULL) {
        err = fail(report, "create a TLS context", NULL);
        goto free_context;
    }
    (void)SSL_CTX_set_app_data(context->ctx, context);
    SSL_CTX_set_default_passwd_cb(context->ctx, give_password);
    err = set_policy(context->ctx, options, report);
    if (err == NOC_OK && options->certfile != NULL) {
        err = load_own_certificate(context->ctx, options, report);
    }
    if (err == NOC_OK) {
        err = load_authorities(context->ctx, options, report);
    }
    if (err == NOC_OK && options->keylog_file != NULL) {
        err = open_keylog(context, options->keylog_file, report);
    }
    if (err != NOC_OK) {
        goto free_context;
    }
    *ret_context = context;
    return NOC_OK;

free_context:
    assert(err != NOC_OK);
    noc_tls_context_unref(context);
    return err;
}

/*
 * Resumption by tickets only: the cache of sessions would grow with the clients.
 * One ticket per connection instead of two saves bytes at each connect.
 */
static int set_up_sessions(SSL_CTX *ctx, const struct report *report)
{
    static const unsigned char name[] = "noctule";

    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    if (SSL_CTX_set_num_tickets(ctx, 1) != 1 ||
        SSL_CTX_set_session_id_context(ctx, name, sizeof(name) - 1) != 1) {
        return fail(report, "set up TLS sessions", NULL);
    }
    return NOC_OK;
}

int noc_tls_context_new_server(const struct noc_tls_options *options,
    struct noc_tls_context **ret_context, char *error, size_t error_size)
{
    const struct report report = {error, error_size};
    struct noc_tls_context *context;
    int err;

    if ((options->certfile == NULL) != (options->keyfile == NULL)) {
        return refuse(&report, "Both certfile and keyfile need to be provided to enable TLS.");
    }
    if (options->certfile == NULL && options->psk_find == NULL) {
        return refuse(&report, "TLS needs a certfile and a keyfile.");
    }
    err = context_new(options, TLS_server_method(), &context, &report);
    if (err != NOC_OK) {
        return err;
    }
    err = set_up_sessions(context->ctx, &report);
    if (err != NOC_OK) {
        goto unref_context;
    }
    SSL_CTX_set_verify(context->ctx,
        options->require_certificate ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT
                                     : SSL_VERIFY_NONE,
        NULL);
    if (options->ignore_certificate_dates) {
        (void)X509_STORE_set_flags(SSL_CTX_get_cert_store(context->ctx), X509_V_FLAG_NO_CHECK_TIME);
    }
    if (options->alpn == NOC_TLS_ALPN_MQTT) {
        SSL_CTX_set_alpn_select_cb(context->ctx, select_mqtt, NULL);
    } else if (options->alpn == NOC_TLS_ALPN_HTTP) {
        SSL_CTX_set_alpn_select_cb(context->ctx, select_http, NULL);
    }
    if (options->psk_find != NULL) {
        context->psk_find = options->psk_find;
        context->psk_context = options->psk_context;
        SSL_CTX_set_psk_server_callback(context->ctx, find_psk);
        /* A resumed session would not ask for the key, and the identity would be lost. */
        (void)SSL_CTX_set_options(context->ctx, SSL_OP_NO_TICKET);
        (void)SSL_CTX_set_num_tickets(context->ctx, 0);
    }
    if (options->psk_hint != NULL &&
        SSL_CTX_use_psk_identity_hint(context->ctx, options->psk_hint) != 1) {
        err = fail(&report, "set the TLS PSK hint", options->psk_hint);
        goto unref_context;
    }
    *ret_context = context;
    return NOC_OK;

unref_context:
    noc_tls_context_unref(context);
    return err;
}

static int set_client_psk(struct noc_tls_context *context, const struct noc_tls_options *options,
    const struct report *report)
{
    if (options->psk_key.n == 0 || options->psk_key.n > sizeof(context->psk_key)) {
        return refuse(report, "A TLS pre-shared key has 1 to 256 bytes.");
    }
    context->psk_identity = strdup(options->psk_identity);
    if (context->psk_identity == NULL) {
        return NOC_ENOMEM;
    }
    memcpy(context->psk_key, options->psk_key.at, options->psk_key.n);
    context->psk_key_n = options->psk_key.n;
    SSL_CTX_set_psk_client_callback(context->ctx, show_psk);
    return NOC_OK;
}

static int set_client_alpn(SSL_CTX *ctx, enum noc_tls_alpn alpn, const struct report *report)
{
    int outcome = 0; /* this function of OpenSSL's returns 0 for success */

    if (alpn == NOC_TLS_ALPN_MQTT) {
        outcome = SSL_CTX_set_alpn_protos(ctx, alpn_mqtt, sizeof(alpn_mqtt));
    } else if (alpn == NOC_TLS_ALPN_HTTP) {
        outcome = SSL_CTX_set_alpn_protos(ctx, alpn_http, sizeof(alpn_http));
    }
    return outcome == 0 ? NOC_OK : fail(report, "set ALPN", NULL);
}

int noc_tls_context_new_client(const struct noc_tls_options *options,
    struct noc_tls_context **ret_context, char *error, size_t error_size)
{
    const struct report report = {error, error_size};
    struct noc_tls_context *context;
    int err;

    if ((options->certfile == NULL) != (options->keyfile == NULL)) {
        return refuse(&report, "A client certificate needs both its file and its key's.");
    }
    err = context_new(options, TLS_client_method(), &context, &report);
    if (err != NOC_OK) {
        return err;
    }
    context->is_client = true;
    context->check_name = !options->insecure && !options->insecure_name;
    SSL_CTX_set_verify(context->ctx, options->insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    if (!options->insecure && options->cafile == NULL && options->capath == NULL &&
        SSL_CTX_set_default_verify_paths(context->ctx) != 1) {
        err = fail(&report, "use the system's CA certificates", NULL);
        goto unref_context;
    }
    err = set_client_alpn(context->ctx, options->alpn, &report);
    if (err == NOC_OK && options->psk_identity != NULL) {
        err = set_client_psk(context, options, &report);
    }
    if (err != NOC_OK) {
        goto unref_context;
    }
    *ret_context = context;
    return NOC_OK;

unref_context:
    noc_tls_context_unref(context);
    return err;
}

struct noc_tls_context *noc_tls_context_ref(struct noc_tls_context *context)
{
    if (context != NULL) {
        atomic_fetch_add_explicit(&context->refs, 1, memory_order_relaxed);
    }
    return context;
}

void noc_tls_context_unref(struct noc_tls_context *context)
{
    if (context == NULL ||
        atomic_fetch_sub_explicit(&context->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    SSL_CTX_free(context->ctx);
    if (context->keylog_fd >= 0) {
        (void)close(context->keylog_fd);
    }
    OPENSSL_cleanse(context->psk_key, sizeof(context->psk_key));
    free(context->psk_identity);
    free(context);
}
