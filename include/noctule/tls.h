/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOCTULE_TLS_H
#define NOCTULE_TLS_H
/*
 * TLS as a transport (transport.h) over any other: over that of posix.h, or over a device's
 * own functions. With OpenSSL for systems, with mbedTLS for
 * firmware; link only the one that you use.
 *
 *   noc_client ◄──► noc_openssl_transport ◄──► noc_posix_transport ◄──► network
 *                   noc_mbedtls_transport      (or your own)
 *
 *     struct noc_tls_client_options tls = {.host = "broker.example"};
 *     struct noc_openssl_transport secure;
 *     int err = noc_openssl_init(&secure, &tls, &tcp.transport);
 *
 *     if (err == NOC_OK) {
 *         err = secure.transport.open(&secure.transport, 10000);
 *     }
 *     if (err != NOC_OK) {
 *         fprintf(stderr, "%s\n", secure.fault.text);
 *     }
 *
 * open() opens what is below as well, and close() closes it. Where that could not be opened
 * (NOC_FAULT_CONNECT) what is below tells why: tcp.fault. Unless told otherwise the
 * server's certificate must come from an authority that is trusted, be for
 * that host, and be valid today: on a device, set the clock first (NOC_FAULT_CLOCK tells
 * that it is not set).
 *
 * An event loop that waits for the descriptor below must first have read until 0 came: what TLS
 * has taken in already makes the descriptor readable no more.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <noctule/config.h>
#include <noctule/fault.h>
#include <noctule/slice.h>
#include <noctule/transport.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- OpenSSL (3.0 or later) ---- */

enum noc_tls_verify {
    NOC_TLS_VERIFY_ALL,     /* issuer, name, dates */
    NOC_TLS_VERIFY_NO_NAME, /* not the name: whoever has any certificate can be in the middle */
    NOC_TLS_VERIFY_NOTHING, /* for tests */
};

/* Texts are the caller's, and are needed by noc_openssl_init() only but for the host. */
struct noc_tls_client_options {
    /* The name or address that the certificate must be for; also sent (SNI). May be NULL only
       where the name is not checked. */
    const char *host;
    const char *cafile;      /* PEM: who is trusted */
    const char *capath;      /* a folder of them (openssl rehash) */
    bool use_os_store;       /* those of the system, also; they are used too if neither is given */
    const char *cert, *key;  /* our own, PEM; NULL: none */
    const char *passphrase;  /* of the key, if it is encrypted; NULL: such a key is refused */
    const char *ciphers;     /* of TLS 1.2 and before, as OpenSSL writes them */
    const char *min_version; /* "tlsv1.1", "tlsv1.2", "tlsv1.3"; NULL: TLS 1.2 */
    const char *alpn;        /* "mqtt", or what the server asks for; NULL: none */
    const char *psk_identity;
    struct noc_slice psk; /* a key shared with the server, instead of certificates; binary */
    const char *keylog;   /* a file to which secrets are appended, for Wireshark; NULL: none */
    enum noc_tls_verify verify;
    bool
        asks_passphrase; /* a program's with a terminal: OpenSSL asks there for what is not given */
};

struct ssl_st;
struct ssl_ctx_st;

struct noc_openssl_transport {
    struct noc_transport transport; /* what to hand on; must be first */
    struct noc_transport *below;
    const char *host;
    struct ssl_ctx_st *ctx;
    struct ssl_st *ssl; /* of the open connection */
    uint32_t deadline_ms;
    uint8_t *out; /* records that what is below has not taken yet */
    size_t out_at, out_n, out_room;
    size_t pending;  /* bytes of a write that are in them */
    int below_error; /* what it returned last, when an error */
    uint8_t psk[64];
    size_t psk_n;
    char psk_identity[128];
    int keylog_fd;
    bool checks_name;
    struct noc_transport_fault fault;
};

/*
 * A closed transport in the caller's storage, over another one, which must outlive it.
 * Reads the files. NOC_OK, NOC_ENOMEM, or NOC_EINVAL: fault.text says why. Whatever it
 * returned, call noc_openssl_done() at the end.
 */
NOC_PUBLIC NOC_MUST_CHECK int noc_openssl_init(struct noc_openssl_transport *tls,
    const struct noc_tls_client_options *options, struct noc_transport *below);
NOC_PUBLIC void noc_openssl_done(struct noc_openssl_transport *tls);

/* The version and cipher of the open connection, as "TLSv1.3 TLS_AES_256_GCM_SHA384"; "" if closed. */
NOC_PUBLIC void noc_openssl_describe(
    const struct noc_openssl_transport *tls, char *text, size_t size);

/* The protocol that the server chose by ALPN; absent: none. Until it is closed. */
NOC_PUBLIC struct noc_slice noc_openssl_alpn(const struct noc_openssl_transport *tls);

/* ---- mbedTLS (2.28 or 3) ---- */

struct mbedtls_ssl_config;
struct mbedtls_ssl_context;

struct noc_mbedtls_transport {
    struct noc_transport transport; /* what to hand on; must be first */
    struct noc_transport *below;
    const struct mbedtls_ssl_config *config;
    struct mbedtls_ssl_context *ssl;
    const char *host;
    uint32_t (*now_ms)(void);
    uint32_t start_ms, timeout_ms; /* of the call that waits now */
    size_t pending; /* bytes of a write that mbedTLS has taken and we have not told */
    int below_error;
    bool is_held; /* they are not sent yet */
    bool is_open;
    struct noc_transport_fault fault;
};

/*
 * A closed transport in the caller's storage, over another one. The application sets
 * up *config as mbedTLS's documentation says (mbedtls_ssl_config_defaults() for a
 * client over a stream, the CA chain, the random source, its own certificate, ALPN), and
 * gives room for a context; mbedtls_ssl_init() and _free() are called here. host is the name that the
 * certificate must be for, also sent (SNI) unless it is an address; NULL: not checked. All of them must outlive the transport. Never fails.
 */
NOC_PUBLIC struct noc_transport *noc_mbedtls_init(struct noc_mbedtls_transport *tls,
    const struct mbedtls_ssl_config *config, struct mbedtls_ssl_context *ssl, const char *host,
    struct noc_transport *below, uint32_t (*now_ms)(void));

#ifdef __cplusplus
}
#endif

#endif
