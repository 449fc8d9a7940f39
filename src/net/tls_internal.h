/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_NET_TLS_INTERNAL_H
#define NOC_NET_TLS_INTERNAL_H
/* What a context is inside; for tls.c and tls_context.c only. */

#include <openssl/ssl.h>
#include <stdatomic.h>

#include "net/tls.h"

/* Constant after it was made, but for the count. OpenSSL's callbacks find it as the app data. */
struct noc_tls_context {
    atomic_uint refs;
    SSL_CTX *ctx;
    int keylog_fd;             /* or -1 */
    bool is_client;            /* made by noc_tls_context_new_client() */
    bool check_name;           /* client: the certificate must be for the host */
    noc_tls_psk_find psk_find; /* server, or NULL */
    void *psk_context;         /* for psk_find */
    char *psk_identity;        /* client, or NULL */
    uint8_t psk_key[256];      /* client */
    size_t psk_key_n;          /* bytes of psk_key */
};

/* One connection; OpenSSL's callbacks find it as the SSL's app data. */
struct noc_tls {
    SSL *ssl;
    struct noc_tls_context *context; /* counted */
    char *psk_identity;              /* whose key the client has shown, or NULL */
    unsigned long code;              /* OpenSSL's, of the failure, or 0 */
    int number;                      /* errno of the failure, or 0 */
    bool wants_write;                /* after the last NOC_EAGAIN */
    bool is_broken;                  /* failed for good; OpenSSL may only free it now */
};

#endif
