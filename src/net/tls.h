/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_NET_TLS_H
#define NOC_NET_TLS_H
/*
 * TLS over non-blocking sockets, by OpenSSL 3.
 *
 *     options --> context (certificates, policy; immutable, counted)
 *                    |  one per listener; reload = a new one, swapped whole
 *                    v
 *                 tls (one connection) -- handshake -- read / write -- shutdown
 *
 * A context may be used by any thread. A tls object belongs to one thread at a
 * time and may be handed to another between two calls; it holds a reference to
 * its context, so that connections outlive a reload. A connection without
 * traffic holds no record buffers. The process must ignore SIGPIPE.
 *
 * Session tickets are keyed per context: after a swap every client shows its
 * certificate again.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"
#include <noctule/slice.h>

struct noc_tls_context;
struct noc_tls;

enum noc_tls_version { NOC_TLS_DEFAULT, NOC_TLS_1_1, NOC_TLS_1_2, NOC_TLS_1_3 };

/* What is chosen of the protocols that a client offers by ALPN (RFC 7301), if it offers any. */
enum noc_tls_alpn {
    NOC_TLS_ALPN_MQTT, /* "mqtt"; others are not answered */
    NOC_TLS_ALPN_HTTP, /* "http/1.1"; others, h2 above all, are not answered */
    NOC_TLS_ALPN_NONE, /* never answer (server), offer none (client) */
};

/*
 * Write the key of a pre-shared key identity into key[0..max). Returns its
 * bytes, 0 for an unknown identity. Called in a handshake, on its thread.
 */
typedef size_t (*noc_tls_psk_find)(
    void *context, struct noc_slice identity, uint8_t *key, size_t max);

/* Strings are copied or read during the call. Zero means default. */
struct noc_tls_options {
    const char *cafile;            /* PEM file of certificate authorities for the peer */
    const char *capath;            /* folder of the same, named by openssl rehash; read now */
    const char *certfile;          /* our chain, PEM; server: needed unless psk_find is given */
    const char *keyfile;           /* its key, PEM */
    const char *key_password;      /* of keyfile; NULL: an encrypted key is an error */
    const char *crlfile;           /* PEM list of revoked certificates */
    bool require_certificate;      /* server: the client must show a good certificate */
    bool ignore_certificate_dates; /* server: expired or not yet valid client certificates pass */
    bool insecure;                 /* client: do not check the server's certificate at all */
    bool insecure_name;            /* client: check the chain, not the name */
    enum noc_tls_version min_version; /* default TLS 1.2 */
    enum noc_tls_version max_version; /* default: the best there is */
    const char *ciphers;              /* up to TLS 1.2 */
    const char *ciphersuites;         /* TLS 1.3 */
    const char *keylog_file;          /* secrets for Wireshark, appended; no symbolic link */
    enum noc_tls_alpn alpn;
    const char *psk_hint;      /* server with psk_find */
    noc_tls_psk_find psk_find; /* pre-shared keys instead of certificates */
    void *psk_context;         /* must outlive the context and its connections */
    const char *psk_identity;  /* client: our identity */
    struct noc_slice psk_key;  /* client: its key, at most 256 bytes */
};

/*
 * A context for a listener. Returns 0, NOC_ENOMEM, or NOC_EINVAL with a line in
 * error that names the file and OpenSSL's reason. Reads files: control thread.
 */
NOC_MUST_CHECK int noc_tls_context_new_server(const struct noc_tls_options *options,
    struct noc_tls_context **ret_context, char *error, size_t error_size);

/*
 * The same for connections that we open. With neither cafile nor capath the
 * system's certificate authorities hold; of those OpenSSL opens what it needs in the handshakes.
 */
NOC_MUST_CHECK int noc_tls_context_new_client(const struct noc_tls_options *options,
    struct noc_tls_context **ret_context, char *error, size_t error_size);

/* Shared; both accept NULL. Any thread. ref returns its argument. */
struct noc_tls_context *noc_tls_context_ref(struct noc_tls_context *context);
void noc_tls_context_unref(struct noc_tls_context *context);

/*
 * A connection accepted on, or made to, fd (which stays the caller's and must
 * stay open as long). Takes a reference to the context. host: the name that the server's
 * certificate must have, also sent as SNI if it is a name; may be NULL with
 * insecure or insecure_name. Returns 0, NOC_ENOMEM or NOC_EINVAL.
 */
NOC_MUST_CHECK int noc_tls_new_server(
    struct noc_tls_context *context, int fd, struct noc_tls **ret_tls);
NOC_MUST_CHECK int noc_tls_new_client(
    struct noc_tls_context *context, int fd, const char *host, struct noc_tls **ret_tls);

/* Frees; sends nothing and does not close fd. */
void noc_tls_free(struct noc_tls *tls);

/*
 * A step of the handshake. Returns 0 when it is done (also if it was before),
 * NOC_EAGAIN (see noc_tls_wants_write()), NOC_ECLOSED if the peer went away, or
 * NOC_EIO (see noc_tls_error_text()). read and write continue a handshake too.
 */
NOC_MUST_CHECK int noc_tls_handshake(struct noc_tls *tls);
bool noc_tls_is_established(const struct noc_tls *tls);

/*
 * Read decrypted bytes: at most n, of one record (so read on while
 * noc_tls_pending()). Returns their number, 0 at the end (a close without
 * close_notify counts as one), NOC_EAGAIN or NOC_EIO. After 0 or NOC_EIO
 * reading is over.
 */
NOC_MUST_CHECK int noc_tls_read(struct noc_tls *tls, void *bytes, size_t n);

/*
 * Write. Returns the number of bytes taken, perhaps fewer than n, then for want of room;
 * NOC_EAGAIN: none; NOC_ECLOSED or NOC_EIO. After fewer than n or NOC_EAGAIN a record of
 * up to 16 KiB is made already: the next call must begin with the bytes that were not
 * taken (from whatever address) and bring at least as many.
 */
NOC_MUST_CHECK int noc_tls_write(struct noc_tls *tls, const void *bytes, size_t n);

/*
 * After NOC_EAGAIN: wait until the descriptor can be written (else: read),
 * whatever the call was that said so.
 */
bool noc_tls_wants_write(const struct noc_tls *tls);

/*
 * Are there bytes that a read would return without an event from the
 * descriptor? Ask after every read, and after a hand-over.
 */
bool noc_tls_pending(const struct noc_tls *tls);

/* Say goodbye (close_notify) if it can be sent at once; does not wait for the peer's. */
void noc_tls_shutdown(struct noc_tls *tls);

/*
 * What the last failure was, such as "error:0A000418:SSL routines::tlsv1 alert unknown
 * ca" or "Connection reset by peer"; "" when nothing failed. Cut to size; returns text.
 */
const char *noc_tls_error_text(const struct noc_tls *tls, char *text, size_t size);

/* "TLSv1.3" and "TLS_AES_256_GCM_SHA384", for the log; static strings. After the handshake. */
const char *noc_tls_version(const struct noc_tls *tls);
const char *noc_tls_cipher(const struct noc_tls *tls);

/* The chosen ALPN protocol, n 0 if none; lives as long as tls. */
struct noc_slice noc_tls_alpn(const struct noc_tls *tls);

/* Was the session resumed from a ticket? */
bool noc_tls_is_resumed(const struct noc_tls *tls);

/* Has the peer shown a certificate (which, by then, was checked)? */
bool noc_tls_has_certificate(const struct noc_tls *tls);

/*
 * Who the peer is, with a zero byte: the common name of its certificate, or its
 * pre-shared key identity. Returns the bytes without the zero, NOC_ENOENT (no
 * certificate or no name), NOC_EMALFORMED (a zero byte inside, or not UTF-8) or
 * NOC_ETOOLARGE.
 */
NOC_MUST_CHECK int noc_tls_identity(const struct noc_tls *tls, char *name, size_t size);

/* The subject of its certificate as RFC 2253 has it, "CN=a,O=b"; results as above. */
NOC_MUST_CHECK int noc_tls_subject(const struct noc_tls *tls, char *name, size_t size);

#endif
