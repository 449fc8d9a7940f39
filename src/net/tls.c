/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
/*
 * One connection. OpenSSL keeps its errors in a queue per thread: it is empty
 * before each call into OpenSSL, and what a failed call left is taken over into the
 * object at once, so that the object can move to another thread and the next
 * connection on this one does not find our errors.
 */
#include "net/tls.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "net/tls_internal.h"
#include <noctule/error.h>

static int tls_new(struct noc_tls_context *context, int fd, struct noc_tls **ret_tls)
{
    struct noc_tls *tls = calloc(1, sizeof(*tls));

    if (tls == NULL) {
        return NOC_ENOMEM;
    }
    ERR_clear_error();
    tls->ssl = SSL_new(context->ctx);
    if (tls->ssl == NULL || SSL_set_fd(tls->ssl, fd) != 1) {
        SSL_free(tls->ssl);
        free(tls);
        ERR_clear_error();
        return NOC_ENOMEM;
    }
    (void)SSL_set_app_data(tls->ssl, tls);
    tls->context = noc_tls_context_ref(context);
    *ret_tls = tls;
    return NOC_OK;
}

int noc_tls_new_server(struct noc_tls_context *context, int fd, struct noc_tls **ret_tls)
{
    struct noc_tls *tls;
    int err;

    assert(!context->is_client);
    err = tls_new(context, fd, &tls);
    if (err == NOC_OK) {
        SSL_set_accept_state(tls->ssl);
        *ret_tls = tls;
    }
    return err;
}

/* Say whom we want, and check that we got it. */
static bool set_host(struct noc_tls *tls, const char *host)
{
    uint8_t ip[16];
    bool is_ip = inet_pton(AF_INET, host, ip) == 1 || inet_pton(AF_INET6, host, ip) == 1;

    /* RFC 6066, section 3: no addresses in SNI. */
    if (!is_ip && SSL_ctrl(tls->ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                      (void *)(uintptr_t)host) != 1) {
        return false;
    }
    if (!tls->context->check_name) {
        return true;
    }
    if (is_ip) {
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls->ssl), host) == 1;
    }
    SSL_set_hostflags(tls->ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(tls->ssl, host) == 1;
}

int noc_tls_new_client(
    struct noc_tls_context *context, int fd, const char *host, struct noc_tls **ret_tls)
{
    struct noc_tls *tls;
    int err;

    assert(context->is_client);
    if (host != NULL && host[0] == '\0') {
        host = NULL;
    }
    /* A check that nobody could do must not pass as done. */
    if (host == NULL && context->check_name && context->psk_identity == NULL) {
        return NOC_EINVAL;
    }
    err = tls_new(context, fd, &tls);
    if (err != NOC_OK) {
        return err;
    }
    if (host != NULL && !set_host(tls, host)) {
        ERR_clear_error();
        noc_tls_free(tls);
        return NOC_EINVAL;
    }
    SSL_set_connect_state(tls->ssl);
    *ret_tls = tls;
    return NOC_OK;
}

void noc_tls_free(struct noc_tls *tls)
{
    if (tls == NULL) {
        return;
    }
    SSL_free(tls->ssl);
    noc_tls_context_unref(tls->context);
    free(tls->psk_identity);
    free(tls);
    ERR_clear_error();
}

static void prepare(void)
{
    ERR_clear_error();
    errno = 0;
}

/* What a call that did not succeed means, remembered for noc_tls_error_text(). */
static int outcome(struct noc_tls *tls, int result)
{
    int number = errno;
    int what = SSL_get_error(tls->ssl, result);

    switch (what) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        tls->wants_write = what == SSL_ERROR_WANT_WRITE;
        return NOC_EAGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return NOC_ECLOSED;
    case SSL_ERROR_SYSCALL:
        tls->is_broken = true;
        tls->number = number;
        return number == 0 ? NOC_ECLOSED : NOC_EIO;
    default:
        tls->is_broken = true;
        tls->code = ERR_peek_error();
        ERR_clear_error();
        return ERR_GET_REASON(tls->code) == SSL_R_UNEXPECTED_EOF_WHILE_READING ? NOC_ECLOSED
                                                                               : NOC_EIO;
    }
}

int noc_tls_handshake(struct noc_tls *tls)
{
    int result;

    if (tls->is_broken) {
        return NOC_EIO;
    }
    if (SSL_is_init_finished(tls->ssl)) {
        return NOC_OK;
    }
    prepare();
    result = SSL_do_handshake(tls->ssl);
    return result == 1 ? NOC_OK : outcome(tls, result);
}

bool noc_tls_is_established(const struct noc_tls *tls)
{
    return SSL_is_init_finished(tls->ssl) != 0;
}

int noc_tls_read(struct noc_tls *tls, void *bytes, size_t n)
{
    int result;

    assert(n > 0);
    if (tls->is_broken) {
        return NOC_EIO;
    }
    prepare();
    result = SSL_read(tls->ssl, bytes, n > INT_MAX ? INT_MAX : (int)n);
    if (result > 0) {
        return result;
    }
    result = outcome(tls, result);
    if (result == NOC_EAGAIN) {
        /* A message after the handshake, such as a ticket, made a write buffer, too. */
        (void)SSL_free_buffers(tls->ssl);
    }
    return result == NOC_ECLOSED ? 0 : result;
}

/* OpenSSL returns after each record (16 KiB); the socket may well take more. */
int noc_tls_write(struct noc_tls *tls, const void *bytes, size_t n)
{
    const uint8_t *at = bytes;
    size_t left = n > INT_MAX ? INT_MAX : n;
    int done = 0;

    if (tls->is_broken) {
        return NOC_EIO;
    }
    while (left > 0) {
        int result;

        prepare();
        result = SSL_write(tls->ssl, at + done, (int)left);
        if (result <= 0) {
            int err = outcome(tls, result);

            return done > 0 && err == NOC_EAGAIN ? done : err;
        }
        done += result;
        left -= (size_t)result;
    }
    /* SSL_MODE_RELEASE_BUFFERS leaves the write buffer behind (16 KiB a connection). */
    (void)SSL_free_buffers(tls->ssl);
    return done;
}

bool noc_tls_wants_write(const struct noc_tls *tls)
{
    return tls->wants_write;
}

bool noc_tls_pending(const struct noc_tls *tls)
{
    return !tls->is_broken && SSL_has_pending(tls->ssl) != 0;
}

void noc_tls_shutdown(struct noc_tls *tls)
{
    if (tls->is_broken || !SSL_is_init_finished(tls->ssl)) {
        return;
    }
    prepare();
    (void)SSL_shutdown(tls->ssl);
    ERR_clear_error();
}

const char *noc_tls_error_text(const struct noc_tls *tls, char *text, size_t size)
{
    long verified = SSL_get_verify_result(tls->ssl);

    if (size == 0) {
        return text;
    }
    text[0] = '\0';
    if (tls->code != 0) {
        ERR_error_string_n(tls->code, text, size);
        /* "certificate verify failed" alone would leave the reader guessing. */
        if (ERR_GET_REASON(tls->code) == SSL_R_CERTIFICATE_VERIFY_FAILED && verified != X509_V_OK) {
            size_t n = strlen(text);

            (void)snprintf(text + n, size - n, " (%s)", X509_verify_cert_error_string(verified));
        }
    } else if (tls->number != 0) {
        (void)snprintf(text, size, "%s", strerror(tls->number));
    }
    return text;
}

const char *noc_tls_version(const struct noc_tls *tls)
{
    return SSL_get_version(tls->ssl);
}

const char *noc_tls_cipher(const struct noc_tls *tls)
{
    return SSL_get_cipher_name(tls->ssl);
}

struct noc_slice noc_tls_alpn(const struct noc_tls *tls)
{
    const unsigned char *name = NULL;
    unsigned n = 0;

    SSL_get0_alpn_selected(tls->ssl, &name, &n);
    return noc_slice(name, n);
}

bool noc_tls_is_resumed(const struct noc_tls *tls)
{
    return SSL_session_reused(tls->ssl) != 0;
}

bool noc_tls_has_certificate(const struct noc_tls *tls)
{
    return SSL_get0_peer_certificate(tls->ssl) != NULL;
}

/* Hand a name out: checked, ended by a zero byte, its length returned. */
static int copy_name(const void *from, size_t n, char *name, size_t size)
{
    if (n == 0) {
        return NOC_ENOENT;
    }
    /* "admin\0.example.org" must not become "admin"; noc_utf8_is_valid() refuses zero bytes. */
    if (!noc_utf8_is_valid(noc_slice(from, n))) {
        return NOC_EMALFORMED;
    }
    if (n >= size || n > INT_MAX) {
        return NOC_ETOOLARGE;
    }
    memcpy(name, from, n);
    name[n] = '\0';
    return (int)n;
}

static int common_name(const X509 *certificate, char *name, size_t size)
{
    const X509_NAME *subject = X509_get_subject_name(certificate);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    unsigned char *text = NULL;
    int n;
    int result;

    if (at < 0) {
        return NOC_ENOENT;
    }
    /* Other encodings (BMP, Latin 1) become UTF-8; UTF-8 is checked. */
    n = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
    if (n < 0) {
        ERR_clear_error();
        return NOC_EMALFORMED;
    }
    result = copy_name(text, (size_t)n, name, size);
    OPENSSL_free(text);
    return result;
}

int noc_tls_identity(const struct noc_tls *tls, char *name, size_t size)
{
    const X509 *certificate = SSL_get0_peer_certificate(tls->ssl);

    if (certificate != NULL) {
        return common_name(certificate, name, size);
    }
    return tls->psk_identity == NULL
               ? NOC_ENOENT
               : copy_name(tls->psk_identity, strlen(tls->psk_identity), name, size);
}

int noc_tls_subject(const struct noc_tls *tls, char *name, size_t size)
{
    const X509 *certificate = SSL_get0_peer_certificate(tls->ssl);
    char *text = NULL;
    long n;
    int result;
    BIO *memory;

    if (certificate == NULL) {
        return NOC_ENOENT;
    }
    memory = BIO_new(BIO_s_mem());
    if (memory == NULL) {
        return NOC_ENOMEM;
    }
    if (X509_NAME_print_ex(memory, X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253) < 0) {
        result = NOC_EMALFORMED;
    } else {
        n = BIO_get_mem_data(memory, &text);
        result = copy_name(text, n < 0 ? 0 : (size_t)n, name, size);
    }
    BIO_free(memory);
    ERR_clear_error();
    return result;
}
