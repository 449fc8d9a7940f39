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

#endif
