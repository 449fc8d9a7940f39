/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "net/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <noctule/error.h>

enum { PATH_SIZE = 128, ERROR_SIZE = 300, DAY = 24 * 3600 };

/* Certificates, made once, in files of a temporary folder. */
struct files {
    char folder[64];
    char ca[PATH_SIZE], other_ca[PATH_SIZE];
    char server[PATH_SIZE], server_key[PATH_SIZE];
    char client[PATH_SIZE], client_key[PATH_SIZE];
    char nul[PATH_SIZE], nul_key[PATH_SIZE];
    char expired[PATH_SIZE], expired_key[PATH_SIZE];
    char stranger[PATH_SIZE], stranger_key[PATH_SIZE];
    char locked_key[PATH_SIZE];
    char garbage[PATH_SIZE];
    char crl[PATH_SIZE];
    char authorities[PATH_SIZE]; /* a folder, with: */
    char hashed[PATH_SIZE];      /* ca, by its hash */
    char dangling[PATH_SIZE];    /* the same name of an authority that is gone */
    char unhashed[PATH_SIZE];    /* other_ca */
    char keylog[PATH_SIZE];
};

/* What OpenSSL has allocated, counted by main()'s allocator: shows that idle connections shrink. */
struct counted {
    size_t n;
    max_align_t bytes[];
};

static atomic_size_t openssl_bytes;

static void *count_malloc(size_t n, const char *file, int line)
{
    struct counted *block = malloc(sizeof(*block) + n);

    if (block == NULL) {
        return NULL;
    }
    block->n = n;
    atomic_fetch_add(&openssl_bytes, n);
    return block->bytes;
}

static void count_free(void *bytes, const char *file, int line)
{
    if (bytes != NULL) {
        struct counted *block =
            (struct counted *)(void *)((char *)bytes - offsetof(struct counted, bytes));

        atomic_fetch_sub(&openssl_bytes, block->n);
        free(block);
    }
}

static void *count_realloc(void *bytes, size_t n, const char *file, int line)
{
    void *moved = count_malloc(n, file, line);

    if (moved != NULL && bytes != NULL) {
        struct counted *block =
            (struct counted *)(void *)((char *)bytes - offsetof(struct counted, bytes));

        memcpy(moved, bytes, block->n < n ? block->n : n);
        count_free(bytes, file, line);
    }
    return moved;
}

struct issuer {
    X509 *certificate;
    EVP_PKEY *key;
};

static X509 *new_certificate(EVP_PKEY *key, const void *name, int name_n, const struct issuer *by,
    long from, long until, bool is_ca)
{
    static long serial = 1;
    X509 *certificate = X509_new();
    X509_NAME *subject = X509_get_subject_name(certificate);

    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial++);
    X509_gmtime_adj(X509_getm_notBefore(certificate), from);
    X509_gmtime_adj(X509_getm_notAfter(certificate), until);
    X509_set_pubkey(certificate, key);
    X509_NAME_add_entry_by_txt(
        subject, "O", MBSTRING_ASC, (const unsigned char *)"Bats, Ltd", -1, -1, 0);
    X509_NAME_add_entry_by_NID(
        subject, NID_commonName, V_ASN1_UTF8STRING, (const unsigned char *)name, name_n, -1, 0);
    X509_set_issuer_name(
        certificate, by == NULL ? subject : X509_get_subject_name(by->certificate));
    X509_EXTENSION *extension =
        X509V3_EXT_conf_nid(NULL, NULL, is_ca ? NID_basic_constraints : NID_subject_alt_name,
            is_ca ? "critical,CA:TRUE" : "DNS:broker.test,IP:127.0.0.1");
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
    X509_sign(certificate, by == NULL ? key : by->key, EVP_sha256());
    return certificate;
}

static void save(const char *path, X509 *certificate, EVP_PKEY *key, const char *password)
{
    FILE *file = fopen(path, "we");

    if (certificate != NULL) {
        PEM_write_X509(file, certificate);
    } else {
        PEM_write_PrivateKey(file, key, password == NULL ? NULL : EVP_aes_128_cbc(),
            (const unsigned char *)password, password == NULL ? 0 : (int)strlen(password), NULL,
            NULL);
    }
    (void)fclose(file);
}

static void issue(const char *path, const char *key_path, const void *name, int name_n,
    const struct issuer *by, long from, long until)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = new_certificate(key, name, name_n, by, from, until, false);

    save(path, certificate, NULL, NULL);
    save(key_path, NULL, key, NULL);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

/* A list that revokes the certificate in a file. */
static void write_crl(const char *path, const char *certificate_path, const struct issuer *by)
{
    X509_CRL *crl = X509_CRL_new();
    X509_REVOKED *revoked = X509_REVOKED_new();
    ASN1_TIME *now = X509_gmtime_adj(NULL, -DAY);
    ASN1_TIME *next = X509_gmtime_adj(NULL, DAY);
    FILE *file = fopen(certificate_path, "re");
    X509 *certificate = PEM_read_X509(file, NULL, NULL, NULL);

    (void)fclose(file);
    X509_CRL_set_version(crl, 1);
    X509_CRL_set_issuer_name(crl, X509_get_subject_name(by->certificate));
    X509_CRL_set1_lastUpdate(crl, now);
    X509_CRL_set1_nextUpdate(crl, next);
    X509_REVOKED_set_serialNumber(revoked, X509_get_serialNumber(certificate));
    X509_REVOKED_set_revocationDate(revoked, now);
    X509_CRL_add0_revoked(crl, revoked);
    X509_CRL_sign(crl, by->key, EVP_sha256());
    file = fopen(path, "we");
    PEM_write_X509_CRL(file, crl);
    (void)fclose(file);
    X509_free(certificate);
    ASN1_TIME_free(now);
    ASN1_TIME_free(next);
    X509_CRL_free(crl);
}

static struct issuer new_issuer(const char *path, const char *name)
{
    struct issuer issuer = {.key = EVP_EC_gen("P-256")};

    issuer.certificate = new_certificate(issuer.key, name, -1, NULL, -DAY, DAY, true);
    save(path, issuer.certificate, NULL, NULL);
    return issuer;
}

static void free_issuer(struct issuer *issuer)
{
    X509_free(issuer->certificate);
    EVP_PKEY_free(issuer->key);
}

#define NAME_FILE(member) (void)snprintf(f->member, PATH_SIZE, "%s/" #member, f->folder)

/* A folder of authorities, as openssl rehash would leave it. */
static bool make_authorities(struct files *f, const struct issuer *ca)
{
    const unsigned hash = (unsigned)X509_subject_name_hash(ca->certificate);

    NAME_FILE(authorities);
    (void)snprintf(f->hashed, PATH_SIZE, "%s/authorities/%08x.0", f->folder, hash);
    (void)snprintf(f->dangling, PATH_SIZE, "%s/authorities/%08x.1", f->folder, hash);
    (void)snprintf(f->unhashed, PATH_SIZE, "%s/authorities/other.pem", f->folder);
    return mkdir(f->authorities, 0700) == 0 && symlink(f->ca, f->hashed) == 0 &&
           symlink("/no/such/ca", f->dangling) == 0 && symlink(f->other_ca, f->unhashed) == 0;
}

static int make_files(void **state)
{
    struct files *f = calloc(1, sizeof(*f));
    struct issuer ca;
    struct issuer other;
    EVP_PKEY *key;
    FILE *file;

    (void)snprintf(f->folder, sizeof(f->folder), "/tmp/noc-tls-XXXXXX");
    if (mkdtemp(f->folder) == NULL) {
        return 1;
    }
    NAME_FILE(ca), NAME_FILE(other_ca), NAME_FILE(server), NAME_FILE(server_key);
    NAME_FILE(client), NAME_FILE(client_key), NAME_FILE(nul), NAME_FILE(nul_key);
    NAME_FILE(expired), NAME_FILE(expired_key), NAME_FILE(stranger), NAME_FILE(stranger_key);
    NAME_FILE(locked_key), NAME_FILE(garbage), NAME_FILE(crl), NAME_FILE(keylog);
    ca = new_issuer(f->ca, "Test CA");
    other = new_issuer(f->other_ca, "Other CA");
    issue(f->server, f->server_key, "broker.test", -1, &ca, -DAY, DAY);
    issue(f->client, f->client_key,
        "fr\xc3\xa9"
        "d",
        -1, &ca, -DAY, DAY);
    issue(f->nul, f->nul_key, "admin\0.example", 14, &ca, -DAY, DAY);
    issue(f->expired, f->expired_key, "late", -1, &ca, -2 * DAY, -DAY);
    issue(f->stranger, f->stranger_key, "stranger", -1, &other, -DAY, DAY);
    write_crl(f->crl, f->client, &ca);
    if (!make_authorities(f, &ca)) {
        return 1;
    }
    free_issuer(&ca);
    free_issuer(&other);
    key = EVP_EC_gen("P-256");
    save(f->locked_key, NULL, key, "sesame");
    EVP_PKEY_free(key);
    file = fopen(f->garbage, "we");
    (void)fputs("this is not PEM\n", file);
    (void)fclose(file);
    *state = f;
    return 0;
}

static int remove_files(void **state)
{
    struct files *f = *state;
    const char *const all[] = {f->ca, f->other_ca, f->server, f->server_key, f->client,
        f->client_key, f->nul, f->nul_key, f->expired, f->expired_key, f->stranger, f->stranger_key,
        f->locked_key, f->garbage, f->crl, f->keylog, f->hashed, f->dangling, f->unhashed};

    for (size_t i = 0; i < NOC_COUNT(all); i++) {
        (void)unlink(all[i]);
    }
    (void)rmdir(f->authorities);
    (void)rmdir(f->folder);
    free(f);
    return 0;
}

/* Two ends of one connection. */
struct pair {
    struct noc_tls_context *server_context, *client_context;
    int fds[2]; /* server, client */
    struct noc_tls *server, *client;
    int server_err, client_err; /* what the handshake ended with */
};

static struct noc_tls_options server_options(const struct files *f)
{
    return (struct noc_tls_options){.certfile = f->server, .keyfile = f->server_key};
}

static struct noc_tls_options client_options(const struct files *f)
{
    return (struct noc_tls_options){.cafile = f->ca};
}

static void connect_pair(struct pair *pair, const char *host)
{
    assert_int_equal(
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair->fds), 0);
    assert_int_equal(noc_tls_new_server(pair->server_context, pair->fds[0], &pair->server), NOC_OK);
    assert_int_equal(
        noc_tls_new_client(pair->client_context, pair->fds[1], host, &pair->client), NOC_OK);
}

static void open_pair(
    struct pair *pair, const struct noc_tls_options *server, const struct noc_tls_options *client)
{
    char error[ERROR_SIZE] = "";

    memset(pair, 0, sizeof(*pair));
    assert_int_equal(
        noc_tls_context_new_server(server, &pair->server_context, error, sizeof(error)), NOC_OK);
    assert_int_equal(
        noc_tls_context_new_client(client, &pair->client_context, error, sizeof(error)), NOC_OK);
    connect_pair(pair, "broker.test");
}

static void disconnect_pair(struct pair *pair)
{
    noc_tls_free(pair->server);
    noc_tls_free(pair->client);
    (void)close(pair->fds[0]);
    (void)close(pair->fds[1]);
}

static void close_pair(struct pair *pair)
{
    disconnect_pair(pair);
    noc_tls_context_unref(pair->server_context);
    noc_tls_context_unref(pair->client_context);
}

static void shake_hands(struct pair *pair)
{
    pair->server_err = NOC_EAGAIN;
    pair->client_err = NOC_EAGAIN;
    for (int i = 0; i < 20; i++) {
        if (pair->client_err == NOC_EAGAIN) {
            pair->client_err = noc_tls_handshake(pair->client);
        }
        if (pair->server_err == NOC_EAGAIN) {
            pair->server_err = noc_tls_handshake(pair->server);
        }
    }
}

static void open_established(
    struct pair *pair, const struct noc_tls_options *server, const struct noc_tls_options *client)
{
    open_pair(pair, server, client);
    shake_hands(pair);
    assert_int_equal(pair->server_err, NOC_OK);
    assert_int_equal(pair->client_err, NOC_OK);
    assert_true(noc_tls_is_established(pair->server));
}

static void assert_passes(struct noc_tls *from, struct noc_tls *to, const char *text)
{
    char bytes[100];

    assert_int_equal(noc_tls_write(from, text, strlen(text)), strlen(text));
    assert_int_equal(noc_tls_read(to, bytes, sizeof(bytes)), strlen(text));
    assert_memory_equal(bytes, text, strlen(text));
    assert_int_equal(noc_tls_read(to, bytes, sizeof(bytes)), NOC_EAGAIN);
    assert_false(noc_tls_wants_write(to));
}

static void bytes_pass_both_ways_in_each_version(void **state)
{
    static const struct {
        enum noc_tls_version version;
        const char *name;
    } versions[] = {{NOC_TLS_1_1, "TLSv1.1"}, {NOC_TLS_1_2, "TLSv1.2"}, {NOC_TLS_1_3, "TLSv1.3"}};
    struct noc_tls_options server = server_options(*state);
    struct noc_tls_options client = client_options(*state);
    struct pair pair;
    char error[ERROR_SIZE];

    for (size_t i = 0; i < NOC_COUNT(versions); i++) {
        server.min_version = versions[i].version;
        client.min_version = versions[i].version;
        client.max_version = versions[i].version;
        open_established(&pair, &server, &client);
        assert_string_equal(noc_tls_version(pair.server), versions[i].name);
        assert_true(strlen(noc_tls_cipher(pair.server)) > 4);
        assert_passes(pair.client, pair.server, "from client");
        assert_passes(pair.server, pair.client, "from server");
        assert_string_equal(noc_tls_error_text(pair.server, error, sizeof(error)), "");
        close_pair(&pair);
    }
}

static void an_old_version_is_refused(void **state)
{
    struct noc_tls_options server = server_options(*state);
    struct noc_tls_options client = client_options(*state);
    struct pair pair;
    char error[ERROR_SIZE];

    client.min_version = NOC_TLS_1_1;
    client.max_version = NOC_TLS_1_1;
    open_pair(&pair, &server, &client);
    shake_hands(&pair);
    assert_int_equal(pair.server_err, NOC_EIO);
    assert_non_null(strstr(noc_tls_error_text(pair.server, error, sizeof(error)), "SSL routines"));
    assert_int_equal(noc_tls_read(pair.server, error, 1), NOC_EIO);
    assert_int_equal(noc_tls_write(pair.server, "x", 1), NOC_EIO);
    assert_false(noc_tls_pending(pair.server));
    noc_tls_shutdown(pair.server);
    close_pair(&pair);
    server.min_version = NOC_TLS_1_3;
    client.max_version = NOC_TLS_1_2;
    open_pair(&pair, &server, &client);
    shake_hands(&pair);
    assert_int_equal(pair.server_err, NOC_EIO);
    close_pair(&pair);
}

static void a_client_certificate_names_its_owner(void **state)
{
    const struct files *f = *state;
    struct noc_tls_options server = server_options(f);
    struct noc_tls_options client = client_options(f);
    struct pair pair;
    char name[100];

    server.cafile = f->ca;
    server.require_certificate = true;
    client.certfile = f->client;
    client.keyfile = f->client_key;
    open_established(&pair, &server, &client);
    assert_true(noc_tls_has_certificate(pair.server));
    assert_int_equal(noc_tls_identity(pair.server, name, sizeof(name)), 5);
    assert_string_equal(name, "fr\xc3\xa9"
                              "d");
    assert_int_equal(noc_tls_identity(pair.server, name, 5), NOC_ETOOLARGE);
    assert_true(noc_tls_subject(pair.server, name, sizeof(name)) > 0);
    assert_string_equal(name, "CN=fr\\C3\\A9d,O=Bats\\, Ltd");
    assert_int_equal(noc_tls_subject(pair.server, name, 4), NOC_ETOOLARGE);
    close_pair(&pair);
}

static void a_name_with_a_zero_byte_is_refused(void **state)
{
    const struct files *f = *state;
    struct noc_tls_options server = server_options(f);
    struct noc_tls_options client = client_options(f);
    struct pair pair;
    char name[100] = "untouched";

    server.cafile = f->ca;
    server.require_certificate = true;
    client.certfile = f->nul;
    client.keyfile = f->nul_key;
    open_established(&pair, &server, &client);
    assert_int_equal(noc_tls_identity(pair.server, name, sizeof(name)), NOC_EMALFORMED);
    assert_string_equal(name, "untouched");
    close_pair(&pair);
}

static void without_a_certificate_there_is_no_name(void **state)
{
    struct noc_tls_options server = server_options(*state);
    struct noc_tls_options client = client_options(*state);
    struct pair pair;
    char name[100];

    open_established(&pair, &server, &client);
    assert_false(noc_tls_has_certificate(pair.server));
    assert_int_equal(noc_tls_identity(pair.server, name, sizeof(name)), NOC_ENOENT);
    assert_int_equal(noc_tls_subject(pair.server, name, sizeof(name)), NOC_ENOENT);
    close_pair(&pair);
}

static void assert_client_refused(
    const struct noc_tls_options *server, const struct noc_tls_options *client, const char *why)
{
    struct pair pair;
    char error[ERROR_SIZE];

    open_pair(&pair, server, client);
    shake_hands(&pair);
    assert_int_equal(pair.server_err, NOC_EIO);
    assert_non_null(strstr(noc_tls_error_text(pair.server, error, sizeof(error)), why));
    close_pair(&pair);
}

static void bad_client_certificates_are_refused_with_the_reason(void **state)
{
    const struct files *f = *state;
    struct noc_tls_options server = server_options(f);
    struct noc_tls_options client = client_options(f);
    struct pair pair;

    server.cafile = f->ca;
    server.require_certificate = true;
    assert_client_refused(&server, &client, "peer did not return a certificate");
    client.certfile = f->stranger;
    client.keyfile = f->stranger_key;
    assert_client_refused(&server, &client, "unable to get local issuer certificate");
    client.certfile = f->expired;
    client.keyfile = f->expired_key;
    assert_client_refused(&server, &client, "certificate has expired");
    server.ignore_certificate_dates = true;
    open_established(&pair, &server, &client);
    close_pair(&pair);
    client.certfile = f->client;
    client.keyfile = f->client_key;
    server.crlfile = f->crl;
    assert_client_refused(&server, &client, "certificate revoked");
}

/* A handshake happens on a worker, which has nothing to do with a disk. */
static void a_folder_of_authorities_is_read_before_the_handshakes(void **state)
{
    const struct files *f = *state;
    struct noc_tls_options server = server_options(f);
    struct noc_tls_options client = client_options(f);
    struct pair pair;

    server.capath = f->authorities;
    server.require_certificate = true;
    client.certfile = f->client;
    client.keyfile = f->client_key;
    /* Mosquitto's users start with a file in it that is none, too. */
    (void)unlink(f->dangling);
    assert_int_equal(symlink(f->garbage, f->dangling), 0);
    open_pair(&pair, &server, &client);
    assert_int_equal(unlink(f->hashed), 0);
    shake_hands(&pair);
    assert_int_equal(symlink(f->ca, f->hashed), 0);
    assert_int_equal(pair.server_err, NOC_OK);
    assert_true(noc_tls_has_certificate(pair.server));
    close_pair(&pair);
    client.certfile = f->stranger;
    client.keyfile = f->stranger_key;
    assert_client_refused(&server, &client, "unable to get local issuer certificate");
}

static void a_client_checks_chain_and_name(void **state)
{
    const struct files *f = *state;
    struct noc_tls_options server = server_options(f);
    struct noc_tls_options client = client_options(f);
    struct noc_tls *tls;
    struct pair pair;
    char error[ERROR_SIZE];

    client.cafile = f->other_ca;
    open_pair(&pair, &server, &client);
    shake_hands(&pair);
    assert_int_equal(pair.client_err, NOC_EIO);
    assert_non_null(strstr(noc_tls_error_text(pair.client, error, sizeof(error)), "local issuer"));
    assert_int_equal(pair.server_err, NOC_EIO);
    assert_non_null(strstr(noc_tls_error_text(pair.server, error, sizeof(error)), "unknown ca"));
    close_pair(&pair);
    client.cafile = f->ca;
    open_established(&pair, &server, &client);
    disconnect_pair(&pair);
    connect_pair(&pair, "127.0.0.1");
    shake_hands(&pair);
    assert_int_equal(pair.client_err, NOC_OK);
    disconnect_pair(&pair);
    connect_pair(&pair, "other.test");
    shake_hands(&pair);
    assert_int_equal(pair.client_err, NOC_EIO);
    assert_non_null(strstr(noc_tls_error_text(pair.client, error, sizeof(error)), "mismatch"));
    assert_int_equal(noc_tls_new_client(pair.client_context, 0, NULL, &tls), NOC_EINVAL);
    close_pair(&pair);
    client.insecure_name = true;
    open_pair(&pair, &server, &client);
    disconnect_pair(&pair);
    connect_pair(&pair, "other.test");
    shake_hands(&pair);
    assert_int_equal(pair.client_err, NOC_OK);
    close_pair(&pair);
    client = (struct noc_tls_options){.insecure = true};
    open_pair(&pair, &server, &client);
    disconnect_pair(&pair);
    connect_pair(&pair, NULL);
    shake_hands(&pair);
    assert_int_equal(pair.client_err, NOC_OK);
    close_pair(&pair);
}

static void assert_server_error(const struct noc_tls_options *options, const char *expected)
{
    struct noc_tls_context *context = NULL;
    char error[ERROR_SIZE] = "";

    assert_int_equal(
        noc_tls_context_new_server(options, &context, error, sizeof(error)), NOC_EINVAL);
    assert_null(context);
    if (strstr(error, expected) == NULL) {
        fail_msg("'%s' does not say '%s'", error, expected);
    }
}

static void bad_files_and_words_are_named(void **state)
{
    const struct files *f = *state;
    struct noc_tls_options options = {0};
    char expected[2 * PATH_SIZE];

    assert_server_error(&options, "needs a certfile");
    options.certfile = f->server;
    assert_server_error(&options, "Both certfile and keyfile");
    options.keyfile = "/no/such/key";
    assert_server_error(
        &options, "Unable to load key file '/no/such/key': No such file or directory");
    options.keyfile = f->garbage;
    (void)snprintf(expected, sizeof(expected), "Unable to load key file '%s': ", f->garbage);
    assert_server_error(&options, expected);
    options.keyfile = f->client_key;
    assert_server_error(&options, "it is not the key of the certificate in certfile");
    options.keyfile = f->locked_key;
    (void)snprintf(expected, sizeof(expected), "Unable to load key file '%s': it has a passphrase",
        f->locked_key);
    assert_server_error(&options, expected);
    expected[strlen(expected) - strlen("it has a passphrase")] = '\0';
    options.key_password = "wrong";
    assert_server_error(&options, expected);
    options = server_options(f);
    options.certfile = f->garbage;
    assert_server_error(&options, "should have a line -----BEGIN");
    options = server_options(f);
    options.cafile = "/no/such/ca";
    assert_server_error(&options, "Unable to load CA file '/no/such/ca': No such file");
    options = server_options(f);
    options.capath = "/no/such/folder";
    assert_server_error(&options, "Unable to use CA folder '/no/such/folder': No such file");
    options = server_options(f);
    options.crlfile = f->garbage;
    assert_server_error(&options, "revocation file");
    options = server_options(f);
    options.ciphers = "NONSENSE";
    assert_server_error(&options, "TLS ciphers 'NONSENSE'");
    options = server_options(f);
    options.ciphersuites = "NONSENSE";
    assert_server_error(&options, "TLS 1.3 ciphers 'NONSENSE'");
    options = server_options(f);
    options.keylog_file = "/no/such/folder/log";
    assert_server_error(&options, "key log file '/no/such/folder/log': No such file");
    assert_int_equal(ERR_peek_error(), 0);
}

static void assert_alpn(const struct files *f, enum noc_tls_alpn server_alpn,
    enum noc_tls_alpn client_alpn, const char *expected)
{
    struct noc_tls_options server = server_options(f);
    struct noc_tls_options client = client_options(f);
    struct pair pair;

    server.alpn = server_alpn;
    client.alpn = client_alpn;
    open_established(&pair, &server, &client);
    assert_true(noc_slice_equal(noc_tls_alpn(pair.server), noc_slice_of(expected)));
    assert_true(noc_slice_equal(noc_tls_alpn(pair.client), noc_slice_of(expected)));
    close_pair(&pair);
}

/* RFC 7301, but that an unknown offer is not refused. */
static void alpn_answers_what_the_listener_speaks(void **state)
{
    assert_alpn(*state, NOC_TLS_ALPN_MQTT, NOC_TLS_ALPN_MQTT, "mqtt");
    assert_alpn(*state, NOC_TLS_ALPN_HTTP, NOC_TLS_ALPN_HTTP, "http/1.1");
    assert_alpn(*state, NOC_TLS_ALPN_MQTT, NOC_TLS_ALPN_HTTP, "");
    assert_alpn(*state, NOC_TLS_ALPN_MQTT, NOC_TLS_ALPN_NONE, "");
    assert_alpn(*state, NOC_TLS_ALPN_NONE, NOC_TLS_ALPN_MQTT, "");
}

/* Carry one byte from one socket to another, so that each side sees every split. */
static bool carry_one(int from, int to)
{
    char byte;

    return read(from, &byte, 1) == 1 && write(to, &byte, 1) == 1;
}

static void every_split_of_the_bytes_is_the_same(void **state)
{
    struct noc_tls_options server_opts = server_options(*state);
    struct noc_tls_options client_opts = client_options(*state);
    struct pair pair;
    int server_side[2];
    int client_side[2];
    char bytes[64];
    int n = NOC_EAGAIN;
    int carried = 0;

    open_pair(&pair, &server_opts, &client_opts);
    disconnect_pair(&pair);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, server_side), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, client_side), 0);
    assert_int_equal(noc_tls_new_server(pair.server_context, server_side[0], &pair.server), NOC_OK);
    assert_int_equal(
        noc_tls_new_client(pair.client_context, client_side[0], "broker.test", &pair.client),
        NOC_OK);
    for (int i = 0; i < 100000; i++) {
        int client_err = noc_tls_handshake(pair.client);
        int server_err = noc_tls_handshake(pair.server);

        assert_true(client_err == NOC_OK || client_err == NOC_EAGAIN);
        assert_true(server_err == NOC_OK || server_err == NOC_EAGAIN);
        if (client_err == NOC_OK && server_err == NOC_OK) {
            break;
        }
        carried += carry_one(server_side[1], client_side[1]);
        carried += carry_one(client_side[1], server_side[1]);
    }
    assert_true(noc_tls_is_established(pair.server));
    assert_true(carried > 500);
    assert_int_equal(noc_tls_write(pair.client, "split me", 8), 8);
    while (n == NOC_EAGAIN) {
        assert_true(carry_one(client_side[1], server_side[1]));
        n = noc_tls_read(pair.server, bytes, sizeof(bytes));
    }
    assert_int_equal(n, 8);
    assert_memory_equal(bytes, "split me", 8);
    for (int i = 0; i < 2; i++) {
        (void)close(client_side[i]);
        (void)close(server_side[i]);
    }
    pair.fds[0] = pair.fds[1] = -1;
    close_pair(&pair);
}

static void a_full_socket_takes_the_rest_later_from_elsewhere(void **state)
{
    enum { TOTAL = 4 * 1024 * 1024 };
    struct noc_tls_options server = server_options(*state);
    struct noc_tls_options client = client_options(*state);
    uint8_t *sent = malloc(TOTAL);
    uint8_t *got = malloc(TOTAL);
    size_t out = 0;
    size_t in = 0;
    bool was_full = false;
    struct pair pair;

    for (size_t i = 0; i < TOTAL; i++) {
        sent[i] = (uint8_t)(i * 2654435761U >> 24);
    }
    open_established(&pair, &server, &client);
    while (in < TOTAL) {
        int n = NOC_EAGAIN;

        while (out < TOTAL && n != 0) {
            /* As an output buffer that grew meanwhile: the same bytes, another place. */
            uint8_t *moved = malloc(TOTAL - out);

            memcpy(moved, sent + out, TOTAL - out);
            n = noc_tls_write(pair.server, moved, TOTAL - out);
            free(moved);
            if (n == NOC_EAGAIN) {
                was_full = true;
                assert_true(noc_tls_wants_write(pair.server));
                break;
            }
            assert_true(n > 0);
            out += (size_t)n;
        }
        while ((n = noc_tls_read(pair.client, got + in, 50000)) > 0) {
            in += (size_t)n;
        }
        assert_int_equal(n, NOC_EAGAIN);
    }
    assert_int_equal(in, TOTAL);
    assert_memory_equal(got, sent, TOTAL);
    assert_true(was_full);
    free(sent);
    free(got);
    close_pair(&pair);
}

static void pending_tells_of_bytes_without_an_event(void **state)
{
    struct noc_tls_options server = server_options(*state);
    struct noc_tls_options client = client_options(*state);
    char bytes[100];
    struct pair pair;

    open_established(&pair, &server, &client);
    assert_int_equal(noc_tls_write(pair.client, "one", 3), 3);
    assert_int_equal(noc_tls_write(pair.client, "two", 3), 3);
    assert_false(noc_tls_pending(pair.server));
    /* Both records are taken in by one system call; the second would get no event. */
    assert_int_equal(noc_tls_read(pair.server, bytes, 1), 1);
    assert_true(noc_tls_pending(pair.server));
    assert_int_equal(noc_tls_read(pair.server, bytes, 100), 2);
    assert_true(noc_tls_pending(pair.server));
    assert_int_equal(noc_tls_read(pair.server, bytes, 100), 3);
    assert_false(noc_tls_pending(pair.server));
    close_pair(&pair);
}

static void a_goodbye_is_the_end_of_reading(void **state)
{
    struct noc_tls_options server = server_options(*state);
    struct noc_tls_options client = client_options(*state);
    char bytes[10];
    struct pair pair;

    open_established(&pair, &server, &client);
    noc_tls_shutdown(pair.client);
    assert_int_equal(noc_tls_read(pair.server, bytes, sizeof(bytes)), 0);
    assert_int_equal(noc_tls_read(pair.server, bytes, sizeof(bytes)), 0);
    noc_tls_shutdown(pair.server);
    close_pair(&pair);
}

static void a_close_without_goodbye_is_an_end_too(void **state)
{
    struct noc_tls_options server = server_options(*state);
    struct noc_tls_options client = client_options(*state);
    char bytes[300];
    struct pair pair;

    open_established(&pair, &server, &client);
    /* Read the session ticket first: unread bytes would make the close a reset. */
    assert_int_equal(noc_tls_read(pair.client, bytes, sizeof(bytes)), NOC_EAGAIN);
    (void)close(pair.fds[1]);
    pair.fds[1] = -1;
    assert_int_equal(noc_tls_read(pair.server, bytes, sizeof(bytes)), 0);
    assert_int_equal(noc_tls_write(pair.server, "x", 1), NOC_ECLOSED);
    close_pair(&pair);
}

static void a_peer_that_leaves_during_the_handshake_is_gone(void **state)
{
    struct noc_tls_options server = server_options(*state);
    struct noc_tls_options client = client_options(*state);
    struct pair pair;

    open_pair(&pair, &server, &client);
    assert_int_equal(noc_tls_handshake(pair.server), NOC_EAGAIN);
    (void)close(pair.fds[1]);
    pair.fds[1] = -1;
    assert_int_equal(noc_tls_handshake(pair.server), NOC_ECLOSED);
    close_pair(&pair);
}

static void plain_mqtt_on_a_tls_port_is_an_error(void **state)
{
    struct noc_tls_options server = server_options(*state);
    struct noc_tls_options client = client_options(*state);
    struct pair pair;
    char error[ERROR_SIZE];

    open_pair(&pair, &server, &client);
    assert_int_equal(write(pair.fds[1], "\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00", 14), 14);
    assert_int_equal(noc_tls_handshake(pair.server), NOC_EIO);
    assert_true(strlen(noc_tls_error_text(pair.server, error, sizeof(error))) > 0);
    assert_int_equal(ERR_peek_error(), 0);
    close_pair(&pair);
}

static void an_idle_connection_holds_no_record_buffers(void **state)
{
    enum { RECORD = 16384 };
    struct noc_tls_options server = server_options(*state);
    struct noc_tls_options client = client_options(*state);
    size_t before;
    size_t idle;
    struct pair pair;

    open_pair(&pair, &server, &client);
    disconnect_pair(&pair);
    before = atomic_load(&openssl_bytes);
    connect_pair(&pair, "broker.test");
    shake_hands(&pair);
    assert_passes(pair.client, pair.server, "some traffic");
    assert_passes(pair.server, pair.client, "some traffic");
    idle = atomic_load(&openssl_bytes) - before;
    assert_true(idle > 0);
    /* Both ends together, with their certificates; each buffer would add more than 16 KiB. */
    if (idle > 2 * RECORD + RECORD / 4) {
        fail_msg("both ends idle hold %zu bytes", idle);
    }
    close_pair(&pair);
}

struct mover {
    struct noc_tls *tls;
    int n;
    char bytes[20];
};

static void *read_elsewhere(void *argument)
{
    struct mover *mover = argument;

    mover->n = noc_tls_read(mover->tls, mover->bytes, sizeof(mover->bytes));
    return NULL;
}

static void a_connection_can_move_to_another_thread(void **state)
{
    struct noc_tls_options server = server_options(*state);
    struct noc_tls_options client = client_options(*state);
    struct mover mover = {0};
    pthread_t thread;
    struct pair pair;

    open_established(&pair, &server, &client);
    assert_int_equal(noc_tls_write(pair.client, "hello", 5), 5);
    mover.tls = pair.server;
    assert_int_equal(pthread_create(&thread, NULL, read_elsewhere, &mover), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(mover.n, 5);
    assert_memory_equal(mover.bytes, "hello", 5);
    assert_passes(pair.server, pair.client, "still here");
    close_pair(&pair);
}

static void a_connection_outlives_its_context(void **state)
{
    struct noc_tls_options server = server_options(*state);
    struct noc_tls_options client = client_options(*state);
    struct pair pair;

    open_established(&pair, &server, &client);
    noc_tls_context_unref(pair.server_context);
    noc_tls_context_unref(pair.client_context);
    pair.server_context = pair.client_context = NULL;
    assert_passes(pair.client, pair.server, "after a reload");
    close_pair(&pair);
}

struct secrets {
    const char *identity;
};

static size_t find_key(void *context, struct noc_slice identity, uint8_t *key, size_t max)
{
    const struct secrets *secrets = context;

    if (!noc_slice_equal(identity, noc_slice_of(secrets->identity)) || max < 16) {
        return 0;
    }
    memcpy(key, "0123456789abcdef", 16);
    return 16;
}

static void pre_shared_keys_replace_certificates(void **state)
{
    struct secrets secrets = {"sensor-1"};
    struct noc_tls_options server = {
        .psk_hint = "noctule", .psk_find = find_key, .psk_context = &secrets};
    struct noc_tls_options client = {
        .psk_identity = "sensor-1", .psk_key = noc_slice("0123456789abcdef", 16)};
    struct pair pair;
    char name[20];

    for (int round = 0; round < 2; round++) {
        client.max_version = round == 0 ? NOC_TLS_1_2 : NOC_TLS_DEFAULT;
        open_established(&pair, &server, &client);
        assert_int_equal(noc_tls_identity(pair.server, name, sizeof(name)), 8);
        assert_string_equal(name, "sensor-1");
        assert_passes(pair.client, pair.server, "warm");
        close_pair(&pair);
    }
    client.psk_identity = "sensor-2";
    open_pair(&pair, &server, &client);
    shake_hands(&pair);
    assert_int_equal(pair.server_err, NOC_EIO);
    close_pair(&pair);
    client.psk_identity = "sensor-1";
    client.psk_key = noc_slice("fedcba9876543210", 16);
    open_pair(&pair, &server, &client);
    shake_hands(&pair);
    assert_int_equal(pair.server_err, NOC_EIO);
    close_pair(&pair);
}

static void the_key_log_gets_whole_lines(void **state)
{
    const struct files *f = *state;
    struct noc_tls_options server = server_options(f);
    struct noc_tls_options client = client_options(f);
    struct pair pair;
    char line[400];
    int lines = 0;
    FILE *file;

    server.keylog_file = f->keylog;
    open_established(&pair, &server, &client);
    close_pair(&pair);
    file = fopen(f->keylog, "re");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file) != NULL) {
        assert_non_null(strstr(line, "_"));
        assert_non_null(strchr(line, '\n'));
        lines++;
    }
    (void)fclose(file);
    assert_true(lines >= 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_pass_both_ways_in_each_version),
        cmocka_unit_test(an_old_version_is_refused),
        cmocka_unit_test(a_client_certificate_names_its_owner),
        cmocka_unit_test(a_name_with_a_zero_byte_is_refused),
        cmocka_unit_test(without_a_certificate_there_is_no_name),
        cmocka_unit_test(bad_client_certificates_are_refused_with_the_reason),
        cmocka_unit_test(a_folder_of_authorities_is_read_before_the_handshakes),
        cmocka_unit_test(a_client_checks_chain_and_name),
        cmocka_unit_test(bad_files_and_words_are_named),
        cmocka_unit_test(alpn_answers_what_the_listener_speaks),
        cmocka_unit_test(every_split_of_the_bytes_is_the_same),
        cmocka_unit_test(a_full_socket_takes_the_rest_later_from_elsewhere),
        cmocka_unit_test(pending_tells_of_bytes_without_an_event),
        cmocka_unit_test(a_goodbye_is_the_end_of_reading),
        cmocka_unit_test(a_close_without_goodbye_is_an_end_too),
        cmocka_unit_test(a_peer_that_leaves_during_the_handshake_is_gone),
        cmocka_unit_test(plain_mqtt_on_a_tls_port_is_an_error),
        cmocka_unit_test(an_idle_connection_holds_no_record_buffers),
        cmocka_unit_test(a_connection_can_move_to_another_thread),
        cmocka_unit_test(a_connection_outlives_its_context),
        cmocka_unit_test(pre_shared_keys_replace_certificates),
        cmocka_unit_test(the_key_log_gets_whole_lines),
    };

    if (CRYPTO_set_mem_functions(count_malloc, count_realloc, count_free) != 1) {
        return 1;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests_name("net/tls", tests, make_files, remove_files);
}
