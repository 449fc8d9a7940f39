/* SPDX-License-Identifier: Apache-2.0 */
#include "esp_tls_transport.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/select.h>

#include "esp_crt_bundle.h"

static struct esp_tls_transport *self_of(struct noc_transport *transport)
{
    return (struct esp_tls_transport *)(void *)transport; /* its first member */
}

static void close_it(struct noc_transport *transport)
{
    struct esp_tls_transport *self = self_of(transport);

    if (self->tls != NULL) {
        (void)esp_tls_conn_destroy(self->tls);
        self->tls = NULL;
    }
}

static int open_it(struct noc_transport *transport, uint32_t timeout_ms)
{
    struct esp_tls_transport *self = self_of(transport);
    esp_tls_cfg_t config = {
        .crt_bundle_attach = esp_crt_bundle_attach,
        .timeout_ms = (int)timeout_ms,
    };
    int fd;

    close_it(transport);
    self->tls = esp_tls_init();
    if (self->tls == NULL) {
        return NOC_ENOMEM;
    }
    if (esp_tls_conn_new_sync(
            self->host, (int)strlen(self->host), self->port, &config, self->tls) != 1 ||
        esp_tls_get_conn_sockfd(self->tls, &fd) != ESP_OK ||
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL, 0) | O_NONBLOCK) != 0) {
        close_it(transport);
        return NOC_EIO;
    }
    return NOC_OK;
}

/* Wait until bytes can be read. What TLS has decrypted already does not show on the socket. */
static bool wait_readable(struct esp_tls_transport *self, uint32_t timeout_ms)
{
    struct timeval timeout = {(time_t)(timeout_ms / 1000), (suseconds_t)(timeout_ms % 1000 * 1000)};
    fd_set readable;
    int fd;

    if (esp_tls_get_bytes_avail(self->tls) > 0) {
        return true;
    }
    if (esp_tls_get_conn_sockfd(self->tls, &fd) != ESP_OK) {
        return true; /* reading will tell what is wrong */
    }
    FD_ZERO(&readable);
    FD_SET(fd, &readable);
    return select(fd + 1, &readable, NULL, NULL, &timeout) != 0;
}

/* Nothing is wrong, but nothing can be read or written now. Plain TCP says so as a socket does. */
static bool is_waiting(ssize_t result)
{
    return result == ESP_TLS_ERR_SSL_WANT_READ || result == ESP_TLS_ERR_SSL_WANT_WRITE ||
           (result == -1 && errno == EAGAIN);
}

static int read_some(struct noc_transport *transport, void *bytes, size_t n, uint32_t timeout_ms)
{
    struct esp_tls_transport *self = self_of(transport);
    ssize_t got;

    if (self->tls == NULL) {
        return NOC_ECLOSED;
    }
    if (!wait_readable(self, timeout_ms)) {
        return 0;
    }
    got = esp_tls_conn_read(self->tls, bytes, n);
    if (is_waiting(got)) {
        return 0;
    }
    return got > 0 ? (int)got : got == 0 ? NOC_ECLOSED : NOC_EIO;
}

static int write_some(struct noc_transport *transport, const void *bytes, size_t n)
{
    struct esp_tls_transport *self = self_of(transport);
    ssize_t put;

    if (self->tls == NULL) {
        return NOC_ECLOSED;
    }
    put = esp_tls_conn_write(self->tls, bytes, n);
    if (is_waiting(put)) {
        return 0;
    }
    return put >= 0 ? (int)put : NOC_EIO;
}

/* Until write_some() may take something. */
static void wait_writable(struct noc_transport *transport, uint32_t timeout_ms)
{
    struct esp_tls_transport *self = self_of(transport);
    struct timeval timeout = {(time_t)(timeout_ms / 1000), (suseconds_t)(timeout_ms % 1000 * 1000)};
    fd_set writable;
    int fd;

    if (self->tls != NULL && esp_tls_get_conn_sockfd(self->tls, &fd) == ESP_OK) {
        FD_ZERO(&writable);
        FD_SET(fd, &writable);
        (void)select(fd + 1, NULL, &writable, NULL, &timeout);
    }
}

void esp_tls_transport_init(struct esp_tls_transport *transport, const char *host, int port)
{
    *transport = (struct esp_tls_transport){
        .transport = {.open = open_it,
            .read = read_some,
            .write = write_some,
            .close = close_it,
            .wait_writable = wait_writable},
        .host = host,
        .port = port,
    };
}
