/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
/*
 * TLS with OpenSSL, over any transport. OpenSSL reads and writes through a BIO of ours:
 *
 *   read    SSL_read() ─► bio_read() ─► below->read(), waiting until the deadline
 *   write   SSL_write() ─► bio_write() ─► out ─► flush() ─► below->write()
 *
 * The BIO takes whatever is written, so SSL_write() never stops in the middle of a
 * record and has no call that must be repeated with the same bytes; new
 * bytes are taken only when out is empty, so it holds OUT_MAX and a few headers; and what
 * the protocol itself answers, as to a change of keys. A server that asks for that again and
 * again and reads nothing is given up at OWED_MAX.
 *
 * Bytes count as written only when all of out is gone: who has written everything may wait for
 * an answer, or close, and nothing of it would still be here. So those that SSL_write() took and
 * what is below did not are pending, and are the first ones of the next write.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/macros.h"
#include "client/fault.h"
#include <noctule/error.h>
#include <noctule/posix.h>
#include <noctule/tls.h>

enum { OUT_MAX = 64 * 1024, OWED_MAX = 4 * OUT_MAX };

/* Longer than any name, so that one that is too long is refused as such. */
enum { HOST_SIZE = 512 };

/* How long to wait for an answer before what is in out is offered again. */
enum { RETRY_MS = 10 };

/* The clock was never set when it shows a time before this: 2024-01-01. */
#define CLOCK_IS_SET_FROM 1704067200

static struct noc_openssl_transport *tls_of(struct noc_transport *transport)
{
    return NOC_CONTAINER(transport, struct noc_openssl_transport, transport);
}

/* ---- the BIO ---- */

static uint32_t ms_left(const struct noc_openssl_transport *tls)
{
    int32_t left = (int32_t)(tls->deadline_ms - noc_posix_now_ms());

    return left < 0 ? 0 : (uint32_t)left;
}

static void wait_until(struct noc_openssl_transport *tls, uint32_t timeout_ms)
{
    tls->deadline_ms = noc_posix_now_ms() + (timeout_ms > INT_MAX ? INT_MAX : timeout_ms);
}

/* Hand on what is in out. Returns 1: all of it; 0: some is left; or an error. */
static int flush(struct noc_openssl_transport *tls)
{
    while (tls->out_at < tls->out_n) {
        int sent = tls->below->write(tls->below, tls->out + tls->out_at, tls->out_n - tls->out_at);

        if (sent < 0) {
            tls->below_error = sent;
            tls->out_at = tls->out_n = tls->pending = 0; /* what came before can still be read */
        }
        if (sent <= 0) {
            return sent;
        }
        tls->out_at += (size_t)sent;
    }
    tls->out_at = tls->out_n = 0;
    return 1;
}

static int bio_read(BIO *bio, char *bytes, int n)
{
    struct noc_openssl_transport *tls = BIO_get_data(bio);
    uint32_t wait_ms = ms_left(tls);
    int got;

    BIO_clear_retry_flags(bio);
    /* In a handshake the answer comes only to what was sent. */
    got = tls->below_error != NOC_OK ? -1 : flush(tls);
    if (got < 0) {
        return -1;
    }
    if (got == 0 && wait_ms > RETRY_MS) {
        wait_ms = RETRY_MS;
    }
    got = tls->below->read(tls->below, bytes, (size_t)n, wait_ms);
    if (got > 0) {
        return got;
    }
    if (got == 0) {
        BIO_set_retry_read(bio);
    } else {
        tls->below_error = got;
    }
    return -1;
}

static int bio_write(BIO *bio, const char *bytes, int n)
{
    struct noc_openssl_transport *tls = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    if (tls->out_n + (size_t)n > OWED_MAX) {
        tls->below_error = NOC_EIO;
        return -1;
    }
    if (tls->out_n + (size_t)n > tls->out_room) {
        size_t room = (tls->out_n + (size_t)n) * 2;
        uint8_t *out = realloc(tls->out, room);

        if (out == NULL) {
            tls->below_error = NOC_ENOMEM;
            return -1;
        }
        tls->out = out;
        tls->out_room = room;
    }
    memcpy(tls->out + tls->out_n, bytes, (size_t)n);
    tls->out_n += (size_t)n;
    return n;
}

static long bio_control(BIO *bio, int command, long number, void *pointer)
{
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

/* A BIO_METHOD for each connection: one for the process would need a lock and an end. */
static BIO *bio_new(struct noc_openssl_transport *tls, BIO_METHOD **ret_method)
{
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "noctule transport");
    BIO *bio;

    if (method == NULL || BIO_meth_set_read(method, bio_read) != 1 ||
        BIO_meth_set_write(method, bio_write) != 1 || BIO_meth_set_ctrl(method, bio_control) != 1) {
        BIO_meth_free(method);
        return NULL;
    }
    bio = BIO_new(method);
    if (bio == NULL) {
        BIO_meth_free(method);
        return NULL;
    }
    BIO_set_data(bio, tls);
    BIO_set_init(bio, 1);
    *ret_method = method;
    return bio;
}

/* ---- what went wrong, in words ---- */

static void print_time(const ASN1_TIME *time, char *text, size_t size)
{
    struct tm parts;

    if (ASN1_TIME_to_tm(time, &parts) != 1 ||
        strftime(text, size, "%Y-%m-%d %H:%M UTC", &parts) == 0) {
        (void)snprintf(text, size, "an unreadable date");
    }
}

static void print_now(char *text, size_t size)
{
    time_t now = time(NULL);
    struct tm parts;

    if (gmtime_r(&now, &parts) == NULL || strftime(text, size, "%Y-%m-%d %H:%M UTC", &parts) == 0) {
        (void)snprintf(text, size, "an unreadable date");
    }
}

/* The common name, or what else a name has; for people. */
static void print_name(const X509_NAME *name, char *text, size_t size)
{
    int at = name == NULL ? -1 : X509_NAME_get_index_by_NID(name, NID_commonName, -1);
    const ASN1_STRING *value;

    if (at < 0) {
        at = name == NULL ? -1 : X509_NAME_get_index_by_NID(name, NID_organizationName, -1);
    }
    if (at < 0) {
        (void)snprintf(text, size, "(no name)");
        return;
    }
    value = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at));
    (void)snprintf(
        text, size, "%.*s", ASN1_STRING_length(value), (const char *)ASN1_STRING_get0_data(value));
}

/* "a.example, *.b.example": whom the certificate is for. */
static void print_names(X509 *certificate, char *text, size_t size)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    size_t n = 0;

    text[0] = '\0';
    for (int i = 0; names != NULL && i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        char one[100] = "";
        int added;

        if (name->type == GEN_DNS) {
            (void)snprintf(one, sizeof(one), "%.*s", ASN1_STRING_length(name->d.dNSName),
                (const char *)ASN1_STRING_get0_data(name->d.dNSName));
        } else if (name->type == GEN_IPADD) {
            ASN1_OCTET_STRING *ip = name->d.iPAddress;
            const uint8_t *at = ASN1_STRING_get0_data(ip);

            if (ASN1_STRING_length(ip) == 4) {
                (void)snprintf(one, sizeof(one), "%u.%u.%u.%u", at[0], at[1], at[2], at[3]);
            } else {
                (void)snprintf(one, sizeof(one), "an IPv6 address");
            }
        }
        if (one[0] == '\0' || n + strlen(one) + 3 > size) {
            continue;
        }
        added = snprintf(text + n, size - n, "%s%s", n == 0 ? "" : ", ", one);
        n += added < 0 ? 0 : (size_t)added;
    }
    GENERAL_NAMES_free(names);
    if (n == 0) {
        print_name(X509_get_subject_name(certificate), text, size);
    }
}

static int fail_issuer(struct noc_openssl_transport *tls, X509 *certificate, long result)
{
    char issuer[80] = "(unknown)";
    bool is_own = result == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT;

    if (certificate != NULL) {
        print_name(X509_get_issuer_name(certificate), issuer, sizeof(issuer));
    }
    return noc_fault_set(&tls->fault, NOC_FAULT_ISSUER, (int)result, NOC_EDENIED,
        is_own
            ? "the server's certificate is signed by itself (%s), and is not among the trusted ones"
            : "the server's certificate comes from '%s', which is not among the trusted "
              "authorities",
        issuer);
}

static int fail_dates(struct noc_openssl_transport *tls, X509 *certificate, long result)
{
    char date[40] = "an unknown date", now[40];

    print_now(now, sizeof(now));
    if (result == X509_V_ERR_CERT_HAS_EXPIRED) {
        if (certificate != NULL) {
            print_time(X509_get0_notAfter(certificate), date, sizeof(date));
        }
        return noc_fault_set(&tls->fault, NOC_FAULT_EXPIRED, (int)result, NOC_EDENIED,
            "the server's certificate expired on %s (this machine's clock: %s)", date, now);
    }
    if (certificate != NULL) {
        print_time(X509_get0_notBefore(certificate), date, sizeof(date));
    }
    return noc_fault_set(&tls->fault, NOC_FAULT_CLOCK, (int)result, NOC_EDENIED,
        "the server's certificate is valid from %s only, and this machine's clock says %s%s", date,
        now, time(NULL) < CLOCK_IS_SET_FROM ? ": the time was never set" : "");
}

/* The certificate was not accepted: the one of the chain that is at fault. */
static int fail_certificate(struct noc_openssl_transport *tls, X509 *certificate, long result)
{
    char names[160] = "nobody";

    switch (result) {
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_UNTRUSTED:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
        return fail_issuer(tls, certificate, result);
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return fail_dates(tls, certificate, result);
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        if (certificate != NULL) {
            print_names(certificate, names, sizeof(names));
        }
        /* An address must be in it as one (IP:); many have it as a name, and look right so. */
        return noc_fault_set(&tls->fault, NOC_FAULT_NAME, (int)result, NOC_EDENIED,
            "the server's certificate is for %s, not for %.60s%s", names, tls->host,
            result == X509_V_ERR_IP_ADDRESS_MISMATCH ? " as an IP address" : "");
    default:
        return noc_fault_set(&tls->fault, NOC_FAULT_CERTIFICATE, (int)result, NOC_EDENIED,
            "the server's certificate is not accepted: %s", X509_verify_cert_error_string(result));
    }
}

/* OpenSSL's opinion on each certificate of the server's chain. Ours is the same, but we write it down. */
static int judge_certificate(int is_good, X509_STORE_CTX *store)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct noc_openssl_transport *tls = SSL_get_app_data(ssl);

    if (is_good == 0) {
        (void)fail_certificate(
            tls, X509_STORE_CTX_get_current_cert(store), X509_STORE_CTX_get_error(store));
    }
    return is_good;
}

/* What the common alerts of a server mean to somebody who connects to it; NULL: OpenSSL's words. */
static const char *alert_text(int reason, enum noc_fault_kind *kind)
{
    switch (reason) {
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_HTTP_REQUEST:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
    case SSL_R_UNEXPECTED_MESSAGE:
    case SSL_R_BAD_PROTOCOL_VERSION_NUMBER:
        *kind = NOC_FAULT_NO_TLS;
        return "what answers there does not speak TLS";
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
        *kind = NOC_FAULT_OURS;
        return "the server wants a certificate from us";
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
        *kind = NOC_FAULT_OURS;
        return "the server does not accept our certificate";
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
        *kind = NOC_FAULT_OURS;
        return "the server says that our certificate has expired";
    case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
        *kind = NOC_FAULT_OURS;
        return "the server says that our certificate is revoked";
    case SSL_R_TLSV1_ALERT_UNKNOWN_PSK_IDENTITY:
    case SSL_R_TLSV1_ALERT_DECRYPT_ERROR:
    case SSL_R_SSLV3_ALERT_BAD_RECORD_MAC: /* a wrong pre-shared key, in TLS 1.2 */
        *kind = NOC_FAULT_OURS;
        return "the server does not accept our key or its identity";
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
    case SSL_R_UNSUPPORTED_PROTOCOL:
        return "no version of TLS in common with the server";
    case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE:
        return "the server refused the handshake: no cipher in common, or it wants a certificate "
               "from us";
    case SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL:
        return "the server does not know the ALPN protocol";
    case SSL_R_TLSV1_UNRECOGNIZED_NAME:
        return "the server does not know the host name";
    default:
        return NULL;
    }
}

/* OpenSSL reported a failure; its queue says more. Returns the error. */
static int fail_tls(struct noc_openssl_transport *tls)
{
    unsigned long code = ERR_peek_error();
    enum noc_fault_kind kind = NOC_FAULT_TLS;
    const char *text = alert_text(ERR_GET_REASON(code), &kind);

    ERR_clear_error();
    if (ERR_GET_REASON(code) == SSL_R_CERTIFICATE_VERIFY_FAILED &&
        tls->fault.kind != NOC_FAULT_NONE) {
        return NOC_EDENIED; /* judge_certificate() has told it */
    }
    if (ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE) {
        return noc_fault_set(&tls->fault, NOC_FAULT_TLS, 0, NOC_ENOMEM, "out of memory");
    }
    if (text == NULL) {
        text = code == 0 ? "the server closed the connection" : ERR_reason_error_string(code);
    }
    return noc_fault_set(&tls->fault, kind, ERR_GET_REASON(code), NOC_EIO, "%s",
        text == NULL ? "unknown reason" : text);
}

/* What is below has failed; is_open: after the handshake. */
static int fail_below(struct noc_openssl_transport *tls, bool is_open)
{
    int err = tls->below_error == NOC_OK ? NOC_ECLOSED : tls->below_error;

    ERR_clear_error();
    return noc_fault_set(&tls->fault, is_open ? NOC_FAULT_LOST : NOC_FAULT_TLS, 0, err, "%s",
        err == NOC_ENOMEM               ? "out of memory"
        : err == NOC_ECLOSED && is_open ? "the server closed the connection"
        : err == NOC_ECLOSED            ? "the server closed the connection in the TLS handshake"
                                        : "the connection failed");
}

/* After a call that returned no success. Returns 0: wait; or an error. */
static int judge(struct noc_openssl_transport *tls, int returned, bool is_open)
{
    int kind = SSL_get_error(tls->ssl, returned);

    if (tls->below_error != NOC_OK) {
        return fail_below(tls, is_open);
    }
    switch (kind) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return 0;
    case SSL_ERROR_ZERO_RETURN:
        return fail_below(tls, is_open);
    default:
        return fail_tls(tls);
    }
}

/* ---- the functions of a transport ---- */

static void drop(struct noc_openssl_transport *tls)
{
    BIO *bio = tls->ssl == NULL ? NULL : SSL_get_rbio(tls->ssl);
    BIO_METHOD *method = bio == NULL ? NULL : BIO_get_app_data(bio);

    SSL_free(tls->ssl);
    BIO_meth_free(method);
    tls->ssl = NULL;
    tls->out_at = tls->out_n = tls->pending = 0;
    tls->below_error = NOC_OK;
}

static void close_tls(struct noc_transport *transport)
{
    struct noc_openssl_transport *tls = tls_of(transport);

    if (tls->ssl != NULL && tls->below_error == NOC_OK && SSL_is_init_finished(tls->ssl) == 1) {
        (void)SSL_shutdown(tls->ssl);
        (void)flush(tls);
        ERR_clear_error();
    }
    drop(tls);
    tls->below->close(tls->below);
}

/* Is it an address? Those are checked as such, and not sent as a server's name. */
static bool is_address(const char *host)
{
    ASN1_OCTET_STRING *ip = a2i_IPADDRESS(host);

    ASN1_OCTET_STRING_free(ip);
    ERR_clear_error();
    return ip != NULL;
}

/*
 * The host as certificates have it: without an IPv6 address's zone (fe80::1%eth0), which means
 * something on this machine only, and without the dot that may end a name. Too long: cut off.
 */
static void plain_host(const char *host, char text[HOST_SIZE])
{
    size_t n = strchr(host, ':') != NULL ? strcspn(host, "%") : strlen(host);

    if (n > 1 && host[n] == '\0' && host[n - 1] == '.') {
        n--;
    }
    (void)snprintf(text, HOST_SIZE, "%.*s", (int)(n < HOST_SIZE ? n : HOST_SIZE - 1), host);
}

static bool expect_host(struct noc_openssl_transport *tls)
{
    char host[HOST_SIZE] = "";
    bool is_ip;

    if (tls->host != NULL) {
        plain_host(tls->host, host);
    }
    if (host[0] == '\0') {
        return !tls->checks_name;
    }
    is_ip = is_address(host);
    if (!is_ip && SSL_set_tlsext_host_name(tls->ssl, host) != 1) {
        return false;
    }
    if (!tls->checks_name) {
        return true;
    }
    SSL_set_hostflags(tls->ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return is_ip ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls->ssl), host) == 1
                 : SSL_set1_host(tls->ssl, host) == 1;
}

static int new_connection(struct noc_openssl_transport *tls)
{
    BIO_METHOD *method;
    BIO *bio;

    ERR_clear_error();
    tls->ssl = SSL_new(tls->ctx);
    if (tls->ssl == NULL) {
        return fail_tls(tls);
    }
    bio = bio_new(tls, &method);
    if (bio == NULL) {
        return fail_tls(tls);
    }
    BIO_set_app_data(bio, method);
    SSL_set_bio(tls->ssl, bio, bio);
    (void)SSL_set_app_data(tls->ssl, tls);
    SSL_set_connect_state(tls->ssl);
    return expect_host(tls) ? NOC_OK : fail_tls(tls);
}

static int shake_hands(struct noc_openssl_transport *tls)
{
    for (;;) {
        int done, err;

        ERR_clear_error();
        done = SSL_do_handshake(tls->ssl);
        err = done == 1 ? NOC_OK : judge(tls, done, false);
        /* An alert that explains our failure goes out, too. */
        if (flush(tls) < 0 && err == NOC_OK) {
            return fail_below(tls, false);
        }
        if (done == 1 || err < 0) {
            return err;
        }
        if (ms_left(tls) == 0) {
            return noc_fault_set(&tls->fault, NOC_FAULT_TIMEOUT, ETIMEDOUT, NOC_EIO,
                "no answer in the TLS handshake");
        }
    }
}

static int open_tls(struct noc_transport *transport, uint32_t timeout_ms)
{
    struct noc_openssl_transport *tls = tls_of(transport);
    int err;

    drop(tls);
    tls->fault.kind = NOC_FAULT_NONE;
    wait_until(tls, timeout_ms);
    err = tls->below->open(tls->below, timeout_ms);
    if (err != NOC_OK) {
        return noc_fault_set(&tls->fault, NOC_FAULT_CONNECT, 0, err, "no connection");
    }
    err = new_connection(tls);
    if (err == NOC_OK) {
        err = shake_hands(tls);
    }
    if (err != NOC_OK) {
        drop(tls);
        tls->below->close(tls->below);
    }
    return err;
}

static int read_tls(struct noc_transport *transport, void *bytes, size_t n, uint32_t timeout_ms)
{
    struct noc_openssl_transport *tls = tls_of(transport);
    int got;

    if (tls->ssl == NULL) {
        return NOC_ECLOSED;
    }
    wait_until(tls, timeout_ms);
    tls->below_error = NOC_OK; /* of a write, perhaps: what had come is there all the same */
    do {
        ERR_clear_error();
        got = SSL_read(tls->ssl, bytes, n > INT_MAX ? INT_MAX : (int)n);
        if (got <= 0) {
            got = judge(tls, got, true);
        }
        /* Answers of the protocol itself, as to a change of keys. */
        if (got >= 0 && flush(tls) < 0) {
            return fail_below(tls, true);
        }
    } while (got == 0 && ms_left(tls) > 0);
    return got;
}

/* Those of n bytes that are written: pending ones, once nothing is left of them; or 0, or an error. */
static int settle_pending(struct noc_openssl_transport *tls, size_t n)
{
    int outcome = flush(tls);

    if (outcome < 0) {
        return fail_below(tls, true);
    }
    if (outcome == 0) {
        return 0;
    }
    n = n < tls->pending ? n : tls->pending;
    tls->pending -= n;
    return (int)n;
}

static int write_tls(struct noc_transport *transport, const void *bytes, size_t n)
{
    struct noc_openssl_transport *tls = tls_of(transport);
    int outcome, taken;

    if (tls->ssl == NULL) {
        return NOC_ECLOSED;
    }
    outcome = settle_pending(tls, n);
    if (outcome != 0 || tls->out_n > 0 || n == 0) {
        return outcome;
    }
    ERR_clear_error();
    taken = SSL_write(tls->ssl, bytes, n > OUT_MAX ? OUT_MAX : (int)n);
    if (taken <= 0) {
        return judge(tls, taken, true);
    }
    tls->pending = (size_t)taken;
    return settle_pending(tls, n);
}

static void wait_tls(struct noc_transport *transport, uint32_t timeout_ms)
{
    struct noc_transport *below = tls_of(transport)->below;

    if (below->wait_writable != NULL) {
        below->wait_writable(below, timeout_ms);
    }
}

/* ---- set-up ---- */

static int fail_setup(struct noc_openssl_transport *tls, const char *what, const char *name)
{
    unsigned long code = ERR_peek_error();
    const char *reason = code == 0                ? "unknown reason"
                         : ERR_SYSTEM_ERROR(code) ? strerror(ERR_GET_REASON(code))
                                                  : ERR_reason_error_string(code);

    ERR_clear_error();
    return noc_fault_set(&tls->fault, NOC_FAULT_SETUP, 0,
        ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE ? NOC_ENOMEM : NOC_EINVAL,
        "cannot %s '%s': %s", what, name, reason == NULL ? "unknown reason" : reason);
}

static int refuse(struct noc_openssl_transport *tls, const char *text)
{
    return noc_fault_set(&tls->fault, NOC_FAULT_SETUP, 0, NOC_EINVAL, "%s", text);
}

static int version_number(const char *name)
{
    static const struct {
        const char *name;
        int number;
    } versions[] = {
        {"tlsv1.1", TLS1_1_VERSION},
        {"tlsv1.2", TLS1_2_VERSION},
        {"tlsv1.3", TLS1_3_VERSION},
    };

    if (name == NULL) {
        return TLS1_2_VERSION;
    }
    for (size_t i = 0; i < NOC_COUNT(versions); i++) {
        if (strcmp(versions[i].name, name) == 0) {
            return versions[i].number;
        }
    }
    return 0;
}

static int set_policy(
    struct noc_openssl_transport *tls, const struct noc_tls_client_options *options)
{
    int version = version_number(options->min_version);
    const char *ciphers = options->ciphers;

    if (version == 0) {
        return refuse(tls, "the TLS version must be tlsv1.1, tlsv1.2 or tlsv1.3");
    }
    (void)SSL_CTX_set_mode(tls->ctx, SSL_MODE_AUTO_RETRY);
    (void)SSL_CTX_set_options(tls->ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_read_ahead(tls->ctx, 1);
    SSL_CTX_set_default_read_buffer_len(tls->ctx, OUT_MAX);
    if (SSL_CTX_set_min_proto_version(tls->ctx, version) != 1) {
        return fail_setup(tls, "use the TLS version", options->min_version);
    }
    /* TLS 1.1 signs with SHA-1, which OpenSSL 3 allows at this level only. */
    if (version == TLS1_1_VERSION && ciphers == NULL) {
        ciphers = "DEFAULT@SECLEVEL=0";
    }
    if (ciphers != NULL && SSL_CTX_set_cipher_list(tls->ctx, ciphers) != 1) {
        return fail_setup(tls, "use the ciphers", ciphers);
    }
    return NOC_OK;
}

static int load_authorities(
    struct noc_openssl_transport *tls, const struct noc_tls_client_options *options)
{
    if (options->cafile != NULL && SSL_CTX_load_verify_file(tls->ctx, options->cafile) != 1) {
        return fail_setup(tls, "load the CA file", options->cafile);
    }
    if (options->capath != NULL) {
        if (access(options->capath, R_OK | X_OK) != 0) {
            return noc_fault_set(&tls->fault, NOC_FAULT_SETUP, errno, NOC_EINVAL,
                "cannot use the CA folder '%s': %s", options->capath, strerror(errno));
        }
        if (SSL_CTX_load_verify_dir(tls->ctx, options->capath) != 1) {
            return fail_setup(tls, "use the CA folder", options->capath);
        }
    }
    if ((options->use_os_store || (options->cafile == NULL && options->capath == NULL)) &&
        SSL_CTX_set_default_verify_paths(tls->ctx) != 1) {
        return fail_setup(tls, "use the CA certificates of", "the system");
    }
    return NOC_OK;
}

struct passphrase {
    const char *text; /* or NULL */
    bool is_missing;  /* it was asked for, in vain */
};

/* OpenSSL's own would ask on the terminal, in the midst of whatever program this is part of. */
static int give_passphrase(char *room, int size, int is_writing, void *context)
{
    struct passphrase *passphrase = context;
    size_t n = passphrase->text == NULL ? 0 : strlen(passphrase->text);

    if (n == 0 || n > (size_t)size) {
        passphrase->is_missing = passphrase->text == NULL;
        return -1;
    }
    memcpy(room, passphrase->text, n);
    return (int)n;
}

static int load_key(struct noc_openssl_transport *tls, const struct noc_tls_client_options *options)
{
    struct passphrase passphrase = {options->passphrase, false};
    int is_loaded;

    if (options->passphrase != NULL || !options->asks_passphrase) {
        SSL_CTX_set_default_passwd_cb(tls->ctx, give_passphrase);
        SSL_CTX_set_default_passwd_cb_userdata(tls->ctx, &passphrase);
    }
    is_loaded = SSL_CTX_use_PrivateKey_file(tls->ctx, options->key, SSL_FILETYPE_PEM);
    SSL_CTX_set_default_passwd_cb(tls->ctx, NULL);
    if (is_loaded == 1) {
        return NOC_OK;
    }
    if (!passphrase.is_missing) {
        return fail_setup(tls, "load the key", options->key);
    }
    ERR_clear_error();
    return noc_fault_set(&tls->fault, NOC_FAULT_SETUP, 0, NOC_EINVAL,
        "cannot load the key '%s': it is encrypted, and no passphrase is given", options->key);
}

static int load_own(struct noc_openssl_transport *tls, const struct noc_tls_client_options *options)
{
    if ((options->cert == NULL) != (options->key == NULL)) {
        return refuse(tls, "a certificate of our own needs both its file and its key's");
    }
    if (options->cert == NULL) {
        return NOC_OK;
    }
    if (SSL_CTX_use_certificate_chain_file(tls->ctx, options->cert) != 1) {
        return fail_setup(tls, "load the certificate", options->cert);
    }
    return load_key(tls, options);
}

static unsigned show_psk(SSL *ssl, const char *hint, char *identity, unsigned max_identity,
    unsigned char *key, unsigned max)
{
    const struct noc_openssl_transport *tls = SSL_get_app_data(ssl);
    size_t n = strlen(tls->psk_identity);

    if (n + 1 > max_identity || tls->psk_n > max) {
        return 0;
    }
    memcpy(identity, tls->psk_identity, n + 1);
    memcpy(key, tls->psk, tls->psk_n);
    return (unsigned)tls->psk_n;
}

static int set_psk(struct noc_openssl_transport *tls, const struct noc_tls_client_options *options)
{
    size_t n = options->psk_identity == NULL ? 0 : strlen(options->psk_identity);

    if (options->psk.n == 0 && n == 0) {
        return NOC_OK;
    }
    if (options->psk.n == 0 || options->psk.n > sizeof(tls->psk)) {
        return refuse(tls, "a pre-shared key has 1 to 64 bytes");
    }
    if (n == 0 || n >= sizeof(tls->psk_identity)) {
        return refuse(tls, "a pre-shared key needs an identity of 1 to 127 bytes");
    }
    memcpy(tls->psk_identity, options->psk_identity, n + 1);
    memcpy(tls->psk, options->psk.at, options->psk.n);
    tls->psk_n = options->psk.n;
    SSL_CTX_set_psk_client_callback(tls->ctx, show_psk);
    return NOC_OK;
}

static int set_alpn(struct noc_openssl_transport *tls, const char *name)
{
    unsigned char wire[256];
    size_t n = name == NULL ? 0 : strlen(name);

    if (name == NULL) {
        return NOC_OK;
    }
    if (n == 0 || n > 255) {
        return refuse(tls, "an ALPN protocol has 1 to 255 bytes");
    }
    wire[0] = (unsigned char)n;
    memcpy(wire + 1, name, n);
    /* This function of OpenSSL's returns 0 for success. */
    return SSL_CTX_set_alpn_protos(tls->ctx, wire, (unsigned)n + 1) == 0
               ? NOC_OK
               : fail_setup(tls, "use the ALPN protocol", name);
}

static void write_key_line(const SSL *ssl, const char *line)
{
    const struct noc_openssl_transport *tls = SSL_get_app_data(ssl);
    char text[512];
    int n = snprintf(text, sizeof(text), "%s\n", line);

    if (n > 0 && (size_t)n < sizeof(text) && write(tls->keylog_fd, text, (size_t)n) < 0) {
        /* A key log is a debugging aid: a full disk must not end connections. */
    }
    OPENSSL_cleanse(text, sizeof(text));
}

static int open_keylog(struct noc_openssl_transport *tls, const char *path)
{
    if (path == NULL) {
        return NOC_OK;
    }
    tls->keylog_fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (tls->keylog_fd < 0) {
        return noc_fault_set(&tls->fault, NOC_FAULT_SETUP, errno, NOC_EINVAL,
            "cannot open the key log '%s': %s", path, strerror(errno));
    }
    SSL_CTX_set_keylog_callback(tls->ctx, write_key_line);
    return NOC_OK;
}

int noc_openssl_init(struct noc_openssl_transport *tls,
    const struct noc_tls_client_options *options, struct noc_transport *below)
{
    int err;

    memset(tls, 0, sizeof(*tls));
    tls->transport = (struct noc_transport){open_tls, read_tls, write_tls, close_tls, wait_tls};
    tls->below = below;
    tls->host = options->host;
    tls->keylog_fd = -1;
    tls->checks_name = options->verify == NOC_TLS_VERIFY_ALL;
    ERR_clear_error();
    tls->ctx = SSL_CTX_new(TLS_client_method());
    if (tls->ctx == NULL) {
        return fail_setup(tls, "set up", "TLS");
    }
    if (options->verify != NOC_TLS_VERIFY_NOTHING) {
        SSL_CTX_set_verify(tls->ctx, SSL_VERIFY_PEER, judge_certificate);
    }
    err = set_policy(tls, options);
    if (err == NOC_OK) {
        err = load_authorities(tls, options);
    }
    if (err == NOC_OK) {
        err = load_own(tls, options);
    }
    if (err == NOC_OK) {
        err = set_psk(tls, options);
    }
    if (err == NOC_OK) {
        err = set_alpn(tls, options->alpn);
    }
    if (err == NOC_OK) {
        err = open_keylog(tls, options->keylog);
    }
    /* OpenSSL takes an empty name for the wish that none be checked. */
    if (err == NOC_OK && tls->checks_name && (tls->host == NULL || tls->host[0] == '\0')) {
        err = refuse(tls, "a certificate can't be checked without a host");
    }
    return err;
}

void noc_openssl_done(struct noc_openssl_transport *tls)
{
    if (tls->ssl != NULL) {
        close_tls(&tls->transport);
    }
    SSL_CTX_free(tls->ctx);
    tls->ctx = NULL;
    free(tls->out);
    tls->out = NULL;
    OPENSSL_cleanse(tls->psk, sizeof(tls->psk));
    if (tls->keylog_fd >= 0) {
        (void)close(tls->keylog_fd);
    }
    tls->keylog_fd = -1;
}

void noc_openssl_describe(const struct noc_openssl_transport *tls, char *text, size_t size)
{
    if (tls->ssl == NULL) {
        (void)snprintf(text, size, "%s", "");
    } else {
        (void)snprintf(text, size, "%s %s", SSL_get_version(tls->ssl), SSL_get_cipher(tls->ssl));
    }
}

struct noc_slice noc_openssl_alpn(const struct noc_openssl_transport *tls)
{
    const unsigned char *at = NULL;
    unsigned n = 0;

    if (tls->ssl != NULL) {
        SSL_get0_alpn_selected(tls->ssl, &at, &n);
    }
    return noc_slice(at, n);
}
