/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_TESTS_TLS_PEER_H
#define NOC_TESTS_TLS_PEER_H
/*
 * For the tests of the TLS transports: certificates in a temporary folder, and a
 * server (OpenSSL's) in a thread that sends back what it gets. Include after cmocka.h.
 */
#include <dirent.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DAY = 24 * 3600, LONG_MS = 20000 };

static char tls_folder[] = "/tmp/noctule-test-XXXXXX";

struct issuer {
    X509 *certificate;
    EVP_PKEY *key;
};

static const char *file_in_folder(char path[128], const char *name, const char *kind)
{
    snprintf(path, 128, "%s/%s.%s", tls_folder, name, kind);
    return path;
}

static void add_extension(X509 *certificate, int nid, const char *text)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, text);

    assert_non_null(extension);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
}

/* NAME.crt and NAME.key, valid in [from..until) seconds from now. by NULL: signs itself, an authority. */
static struct issuer make(
    const char *name, const char *alternatives, const struct issuer *by, long from, long until)
{
    static long serial = 1;
    struct issuer made = {X509_new(), EVP_EC_gen("P-256")};
    X509_NAME *subject = X509_get_subject_name(made.certificate);
    char path[128];
    FILE *file;

    X509_set_version(made.certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(made.certificate), serial++);
    X509_gmtime_adj(X509_getm_notBefore(made.certificate), from);
    X509_gmtime_adj(X509_getm_notAfter(made.certificate), until);
    X509_set_pubkey(made.certificate, made.key);
    X509_NAME_add_entry_by_NID(subject, NID_commonName, V_ASN1_UTF8STRING,
        (const unsigned char *)name, (int)strlen(name), -1, 0);
    X509_set_issuer_name(
        made.certificate, by == NULL ? subject : X509_get_subject_name(by->certificate));
    add_extension(made.certificate, NID_basic_constraints, by == NULL ? "CA:TRUE" : "CA:FALSE");
    if (alternatives != NULL) {
        add_extension(made.certificate, NID_subject_alt_name, alternatives);
    }
    assert_true(X509_sign(made.certificate, by == NULL ? made.key : by->key, EVP_sha256()) > 0);
    file = fopen(file_in_folder(path, name, "crt"), "w");
    PEM_write_X509(file, made.certificate);
    fclose(file);
    file = fopen(file_in_folder(path, name, "key"), "w");
    PEM_write_PrivateKey(file, made.key, NULL, NULL, 0, NULL, NULL);
    fclose(file);
    return made;
}

static void forget(struct issuer *made)
{
    X509_free(made->certificate);
    EVP_PKEY_free(made->key);
}

static int make_files(void **state)
{
    const char *here = "DNS:localhost,IP:127.0.0.1,IP:fe80::1";
    struct issuer ca, other, all[7];

    assert_non_null(mkdtemp(tls_folder));
    ca = make("ca", NULL, NULL, -DAY, DAY);
    other = make("other", NULL, NULL, -DAY, DAY);
    all[0] = make("server", here, &ca, -DAY, DAY);
    all[1] = make("expired", here, &ca, -2 * DAY, -DAY);
    all[2] = make("future", here, &ca, DAY, 2 * DAY);
    all[3] = make("elsewhere", "DNS:broker.example,IP:192.0.2.7", &ca, -DAY, DAY);
    all[4] = make("client", NULL, &ca, -DAY, DAY);
    all[5] = make("stranger", NULL, &other, -DAY, DAY);
    all[6] = make("127.0.0.1", NULL, &ca, -DAY, DAY);
    for (size_t i = 0; i < 7; i++) {
        forget(&all[i]);
    }
    forget(&ca);
    forget(&other);
    return 0;
}

static int remove_files(void **state)
{
    DIR *dir = opendir(tls_folder);
    struct dirent *entry;
    char path[600];

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        snprintf(path, sizeof(path), "%s/%s", tls_folder, entry->d_name);
        unlink(path);
    }
    closedir(dir);
    return rmdir(tls_folder);
}

/* ---- the server ---- */

struct tls_server {
    const char *certificate;  /* name of the files; NULL: psk, or no TLS at all */
    const char *authority;    /* clients need a certificate of it */
    const char *psk_identity; /* its key is "secret" */
    const char *greeting;     /* sent in the clear instead of a handshake */
    const char *alpn;         /* is chosen when the client offers it */
    int version;              /* only that one; 0: all */
    bool is_mute;             /* never answers */
    int listener;
    uint16_t port;
    pthread_t thread;
    SSL_CTX *ctx;
    char seen_name[64]; /* SNI */
};

static unsigned find_psk(SSL *ssl, const char *identity, unsigned char *key, unsigned max)
{
    const struct tls_server *server = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

    if (strcmp(identity, server->psk_identity) != 0) {
        return 0;
    }
    memcpy(key, "secret", 6);
    return 6;
}

static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n,
    const unsigned char *in, unsigned in_n, void *context)
{
    const struct tls_server *server = context;

    if (in_n == strlen(server->alpn) + 1 && memcmp(in + 1, server->alpn, in_n - 1) == 0) {
        *out = in + 1;
        *out_n = in[0];
        return SSL_TLSEXT_ERR_OK;
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static void set_up_server(struct tls_server *server)
{
    char path[128];

    server->ctx = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_app_data(server->ctx, server);
    SSL_CTX_set_cipher_list(server->ctx, "ALL:PSK");
    if (server->version != 0) {
        SSL_CTX_set_min_proto_version(server->ctx, server->version);
        SSL_CTX_set_max_proto_version(server->ctx, server->version);
    }
    if (server->certificate != NULL) {
        assert_int_equal(SSL_CTX_use_certificate_chain_file(
                             server->ctx, file_in_folder(path, server->certificate, "crt")),
            1);
        assert_int_equal(SSL_CTX_use_PrivateKey_file(server->ctx,
                             file_in_folder(path, server->certificate, "key"), SSL_FILETYPE_PEM),
            1);
    }
    if (server->authority != NULL) {
        SSL_CTX_set_verify(server->ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
        assert_int_equal(
            SSL_CTX_load_verify_file(server->ctx, file_in_folder(path, server->authority, "crt")),
            1);
    }
    if (server->psk_identity != NULL) {
        SSL_CTX_set_psk_server_callback(server->ctx, find_psk);
    }
    if (server->alpn != NULL) {
        SSL_CTX_set_alpn_select_cb(server->ctx, choose_alpn, server);
    }
}

static void echo(struct tls_server *server, int fd)
{
    SSL *ssl = SSL_new(server->ctx);
    static char bytes[65536];
    const char *name;
    int n;
    bool is_open;

    SSL_set_fd(ssl, fd);
    is_open = SSL_accept(ssl) == 1;
    name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    snprintf(server->seen_name, sizeof(server->seen_name), "%s", name == NULL ? "" : name);
    if (is_open) {
        while ((n = SSL_read(ssl, bytes, sizeof(bytes))) > 0 && SSL_write(ssl, bytes, n) > 0) {
            /* Until the client closes. */
        }
        SSL_shutdown(ssl);
    }
    SSL_free(ssl);
}

static void *serve(void *context)
{
    struct tls_server *server = context;
    int fd = accept(server->listener, NULL, NULL);
    char bytes[1024];

    if (server->greeting != NULL) {
        if (send(fd, server->greeting, strlen(server->greeting), MSG_NOSIGNAL) < 0) {
            /* It is gone. */
        }
        shutdown(fd, SHUT_WR);
    }
    if (server->greeting != NULL || server->is_mute) {
        while (recv(fd, bytes, sizeof(bytes), 0) > 0) {
            /* Until the client closes. */
        }
    } else {
        echo(server, fd);
    }
    close(fd);
    return NULL;
}

/* It serves one connection. */
static void start_server(struct tls_server *server)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(address);

    signal(SIGPIPE, SIG_IGN);
    set_up_server(server);
    server->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(server->listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(server->listener, 1), 0);
    assert_int_equal(getsockname(server->listener, (struct sockaddr *)&address, &n), 0);
    server->port = ntohs(address.sin_port);
    assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
}

static void join_server(struct tls_server *server)
{
    assert_int_equal(pthread_join(server->thread, NULL), 0);
    close(server->listener);
    SSL_CTX_free(server->ctx);
}

#endif
