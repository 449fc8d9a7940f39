/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ESP_TLS_TRANSPORT_H
#define ESP_TLS_TRANSPORT_H
/*
 * A transport (noctule/transport.h) over esp_tls: TLS with the certificate
 * bundle of ESP-IDF, the server's name checked. One thread (task) at a time.
 */

#include "esp_tls.h"
#include "noctule.h"

struct esp_tls_transport {
    struct noc_transport transport; /* what the library is given */
    const char *host;               /* borrowed; a name, for it is what the certificate must say */
    int port;
    esp_tls_t *tls; /* NULL: closed */
};

/* Closed at first; host must outlive it. */
void esp_tls_transport_init(struct esp_tls_transport *transport, const char *host, int port);

#endif
