/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS with mbedTLS, over any transport. The application makes the configuration,
 * so nothing here knows of random sources, stores of certificates or memory.
 */
#include <limits.h>
#include <mbedtls/ssl.h>
#include <string.h>

#include "base/macros.h"
#include "client/fault.h"
#include <noctule/error.h>
#include <noctule/tls.h>

/* What version 3 calls private has its plain name in version 2. */
#ifndef MBEDTLS_PRIVATE
#define MBEDTLS_PRIVATE(field) field
#endif

static struct noc_mbedtls_transport *tls_of(struct noc_transport *transport)
{
    return NOC_CONTAINER(transport, struct noc_mbedtls_transport, transport);
}

static void wait_until(struct noc_mbedtls_transport *tls, uint32_t timeout_ms)
{
    tls->start_ms = tls->now_ms();
    tls->timeout_ms = timeout_ms;
}

static uint32_t ms_left(const struct noc_mbedtls_transport *tls)
{
    uint32_t passed = tls->now_ms() - tls->start_ms;

    return passed >= tls->timeout_ms ? 0 : tls->timeout_ms - passed;
}

static int send_below(void *context, const unsigned char *bytes, size_t n)
{
    struct noc_mbedtls_transport *tls = context;
    int sent = tls->below->write(tls->below, bytes, n);

    if (sent < 0) {
        tls->below_error = sent;
        return MBEDTLS_ERR_SSL_INTERNAL_ERROR;
    }
    return sent == 0 ? MBEDTLS_ERR_SSL_WANT_WRITE : sent;
}

static int receive_below(void *context, unsigned char *bytes, size_t n)
{
    struct noc_mbedtls_transport *tls = context;
    int got = tls->below->read(tls->below, bytes, n, ms_left(tls));

    if (got < 0) {
        tls->below_error = got;
        return got == NOC_ECLOSED ? MBEDTLS_ERR_SSL_CONN_EOF : MBEDTLS_ERR_SSL_INTERNAL_ERROR;
    }
    return got == 0 ? MBEDTLS_ERR_SSL_WANT_READ : got;
}

/* ---- what went wrong, in words ---- */

static int fail_certificate(struct noc_mbedtls_transport *tls, uint32_t flags)
{
    static const struct {
        uint32_t flag;
        enum noc_fault_kind kind;
        const char *text;
    } rows[] = {
        {MBEDTLS_X509_BADCERT_FUTURE, NOC_FAULT_CLOCK,
            "the server's certificate is not valid yet: is this device's time set?"},
        {MBEDTLS_X509_BADCERT_EXPIRED, NOC_FAULT_EXPIRED, "the server's certificate has expired"},
        {MBEDTLS_X509_BADCERT_CN_MISMATCH, NOC_FAULT_NAME,
            "the server's certificate is for another name"},
        {MBEDTLS_X509_BADCERT_NOT_TRUSTED, NOC_FAULT_ISSUER,
            "the server's certificate comes from nobody whom we trust"},
    };

    /* All flags but the one for the issuer mean that it was found; so that one comes last, unless alone. */
    for (size_t i = 0; i < NOC_COUNT(rows); i++) {
        if ((flags & rows[i].flag) != 0) {
            return noc_fault_set(
                &tls->fault, rows[i].kind, (int)flags, NOC_EDENIED, "%s", rows[i].text);
        }
    }
    return noc_fault_set(&tls->fault, NOC_FAULT_CERTIFICATE, (int)flags, NOC_EDENIED,
        "the server's certificate is not accepted (mbedTLS flags 0x%lx)", (unsigned long)flags);
}

/* A call has failed; is_open: after the handshake. Returns the error. */
static int fail(struct noc_mbedtls_transport *tls, int code, bool is_open)
{
    uint32_t flags;

    if (tls->below_error != NOC_OK || code == MBEDTLS_ERR_SSL_CONN_EOF ||
        code == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY) {
        return noc_fault_set(&tls->fault, is_open ? NOC_FAULT_LOST : NOC_FAULT_TLS, 0,
            tls->below_error == NOC_OK ? NOC_ECLOSED : tls->below_error, "%s",
            is_open ? "the server closed the connection"
                    : "the server closed the connection in the TLS handshake");
    }
    flags = is_open ? 0 : mbedtls_ssl_get_verify_result(tls->ssl);
    if (flags != 0 && flags != UINT32_MAX) {
        return fail_certificate(tls, flags);
    }
    if (code == MBEDTLS_ERR_SSL_ALLOC_FAILED) {
        return noc_fault_set(&tls->fault, NOC_FAULT_TLS, code, NOC_ENOMEM, "out of memory");
    }
    if (code == MBEDTLS_ERR_SSL_INVALID_RECORD && !is_open) {
        return noc_fault_set(
            &tls->fault, NOC_FAULT_NO_TLS, code, NOC_EIO, "what answers there does not speak TLS");
    }
    return noc_fault_set(&tls->fault, NOC_FAULT_TLS, code, NOC_EIO,
        code == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE ? "the server refused (mbedTLS error -0x%04x)"
                                                    : "TLS failed (mbedTLS error -0x%04x)",
        (unsigned)-code);
}

/* Is it only a matter of waiting? The ticket of TLS 1.3 comes among what is read, and is not used. */
static bool is_waiting(int code)
{
#ifdef MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET
    if (code == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET) {
        return true;
    }
#endif
    return code == MBEDTLS_ERR_SSL_WANT_READ || code == MBEDTLS_ERR_SSL_WANT_WRITE;
}

/* ---- the functions of a transport ---- */

static void close_tls(struct noc_transport *transport)
{
    struct noc_mbedtls_transport *tls = tls_of(transport);

    if (tls->is_open) {
        if (tls->below_error == NOC_OK && !tls->is_held) {
            (void)mbedtls_ssl_close_notify(tls->ssl);
        }
        mbedtls_ssl_free(tls->ssl);
    }
    tls->is_open = tls->is_held = false;
    tls->pending = 0;
    tls->below->close(tls->below);
}

static void wait_tls(struct noc_transport *transport, uint32_t timeout_ms)
{
    struct noc_transport *below = tls_of(transport)->below;

    if (below->wait_writable != NULL) {
        below->wait_writable(below, timeout_ms);
    }
}

/* Is it an address? No name is written so: the last label of one is more than digits. */
static bool is_address(const char *host)
{
    return host != NULL &&
           (strchr(host, ':') != NULL || strspn(host, "0123456789.") == strlen(host));
}

/*
 * One step of the handshake. mbedTLS has one text for the name that it sends (SNI) and for the one
 * that it checks, and an address is never sent (RFC 6066, section 3): it is told that one late.
 */
static int step(struct noc_mbedtls_transport *tls)
{
    int code = 0;

    if (tls->ssl->MBEDTLS_PRIVATE(state) == MBEDTLS_SSL_SERVER_CERTIFICATE &&
        is_address(tls->host)) {
        code = mbedtls_ssl_set_hostname(tls->ssl, tls->host);
    }
    return code != 0 ? code : mbedtls_ssl_handshake_step(tls->ssl);
}

static int shake_hands(struct noc_mbedtls_transport *tls)
{
    while (tls->ssl->MBEDTLS_PRIVATE(state) != MBEDTLS_SSL_HANDSHAKE_OVER) {
        int code = step(tls);

        if (code == 0) {
            continue;
        }
        if (!is_waiting(code)) {
            return fail(tls, code, false);
        }
        if (ms_left(tls) == 0) {
            return noc_fault_set(
                &tls->fault, NOC_FAULT_TIMEOUT, code, NOC_EIO, "no answer in the TLS handshake");
        }
        if (code == MBEDTLS_ERR_SSL_WANT_WRITE) {
            wait_tls(&tls->transport, ms_left(tls));
        }
    }
    return NOC_OK;
}

static int open_tls(struct noc_transport *transport, uint32_t timeout_ms)
{
    struct noc_mbedtls_transport *tls = tls_of(transport);
    int code, err;

    close_tls(transport);
    tls->below_error = NOC_OK;
    tls->fault.kind = NOC_FAULT_NONE;
    wait_until(tls, timeout_ms);
    err = tls->below->open(tls->below, timeout_ms);
    if (err != NOC_OK) {
        return noc_fault_set(&tls->fault, NOC_FAULT_CONNECT, 0, err, "no connection");
    }
    mbedtls_ssl_init(tls->ssl);
    tls->is_open = true;
    code = mbedtls_ssl_setup(tls->ssl, tls->config);
    if (code == 0) {
        code = mbedtls_ssl_set_hostname(tls->ssl, is_address(tls->host) ? NULL : tls->host);
    }
    mbedtls_ssl_set_bio(tls->ssl, tls, send_below, receive_below, NULL);
    err = code == 0 ? shake_hands(tls) : fail(tls, code, true);
    if (err != NOC_OK) {
        close_tls(transport);
    }
    return err;
}

static int read_tls(struct noc_transport *transport, void *bytes, size_t n, uint32_t timeout_ms)
{
    struct noc_mbedtls_transport *tls = tls_of(transport);
    int got;

    if (!tls->is_open) {
        return NOC_ECLOSED;
    }
    wait_until(tls, timeout_ms);
    do {
        got = mbedtls_ssl_read(tls->ssl, bytes, n > INT_MAX ? INT_MAX : n);
        if (got > 0) {
            return got;
        }
    } while (is_waiting(got) && ms_left(tls) > 0);
    if (got == 0) {
        got = MBEDTLS_ERR_SSL_CONN_EOF;
    }
    return is_waiting(got) ? 0 : fail(tls, got, true);
}

/*
 * mbedTLS keeps the record that it could not send; the next call must stand for the
 * same bytes, and returns how many it is told: so it is told as many as it took. Who then comes with fewer
 * of them has the rest counted the next time.
 */
static int write_tls(struct noc_transport *transport, const void *bytes, size_t n)
{
    struct noc_mbedtls_transport *tls = tls_of(transport);
    size_t told = n > INT_MAX ? INT_MAX : n;

    if (!tls->is_open) {
        return NOC_ECLOSED;
    }
    if (tls->pending == 0 || tls->is_held) {
        int sent;

        told = tls->is_held ? tls->pending : told;
        sent = mbedtls_ssl_write(tls->ssl, bytes, told);
        tls->is_held = is_waiting(sent);
        if (tls->is_held) {
            tls->pending = told;
            return 0;
        }
        tls->pending = 0;
        if (sent < 0) {
            return fail(tls, sent, true);
        }
        tls->pending = (size_t)sent;
    }
    n = n < tls->pending ? n : tls->pending;
    tls->pending -= n;
    return (int)n;
}

struct noc_transport *noc_mbedtls_init(struct noc_mbedtls_transport *tls,
    const struct mbedtls_ssl_config *config, struct mbedtls_ssl_context *ssl, const char *host,
    struct noc_transport *below, uint32_t (*now_ms)(void))
{
    memset(tls, 0, sizeof(*tls));
    tls->transport = (struct noc_transport){open_tls, read_tls, write_tls, close_tls, wait_tls};
    tls->below = below;
    tls->config = config;
    tls->ssl = ssl;
    tls->host = host;
    tls->now_ms = now_ms;
    return &tls->transport;
}
