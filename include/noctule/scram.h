/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOCTULE_SCRAM_H
#define NOCTULE_SCRAM_H
/*
 * The client's side of SCRAM (RFC 5802, 7677) as a method of enhanced authentication: the
 * password never travels, and the server proves that it knows it, too.
 *
 *   client                                           server
 *     n,,n=USER,r=NONCE                      ->      CONNECT, or AUTH to authenticate again
 *                                            <-      r=NONCE+THEIRS,s=SALT,i=ROUNDS      AUTH
 *     c=biws,r=NONCE+THEIRS,p=PROOF          ->      AUTH
 *                                            <-      v=SIGNATURE              CONNACK or AUTH
 *
 *     static struct noc_scram_client scram;
 *     static struct noc_client_auth auth;
 *     static struct noc_scram_client_options who = {
 *         .user = {"alice", 5}, .password = {"wonderland", 10}, .random = noc_posix_random};
 *
 *     who.hash = noc_scram_openssl_sha256();
 *     if (noc_scram_client_init(&scram, &who, &auth) == NOC_OK) {
 *         client_options.auth = &auth;       and client_options.version = 5
 *     }
 *
 * The server's answers are believed in nothing: a nonce that does not begin with ours, a number
 * of rounds outside the limits, or a wrong signature gives the connection up (NOC_CAUSE_AUTH).
 *
 * What is slow is the key that is made of the password, by as many rounds of HMAC as the server
 * says. It is made within noc_client_next() and kept, so that only the first login takes the
 * time, until the server says another salt or number.
 *
 * Freestanding; hashes come from a table of three functions, one with OpenSSL and one with
 * mbedTLS are shipped. Names and passwords are taken as bytes of UTF-8: SASLprep, which would
 * treat spellings of one word as the same, is not applied, and changes nothing in printable
 * ASCII. There is no channel binding. An object belongs to one thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <noctule/client.h>
#include <noctule/config.h>
#include <noctule/slice.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    NOC_SCRAM_USER_MAX = 128,            /* bytes of a name; of those , and = count three times */
    NOC_SCRAM_SALT_MAX = 64,             /* bytes of a salt */
    NOC_SCRAM_HASH_MAX = 64,             /* bytes of a digest */
    NOC_SCRAM_ROUNDS_MIN_DEFAULT = 4096, /* RFC 7677, section 4 */
    NOC_SCRAM_ROUNDS_MAX_DEFAULT = 250000,
};

/*
 * A hash function and HMAC with it. All return NOC_OK or an error, which gives the exchange
 * up. Slices have an address even where they are empty; digests have bytes bytes.
 */
struct noc_scram_hash {
    const char *method; /* "SCRAM-SHA-256" */
    uint8_t bytes;      /* of a digest; at most NOC_SCRAM_HASH_MAX */
    int (*hash)(const struct noc_scram_hash *hash, struct noc_slice text, uint8_t *ret_digest);
    /* HMAC of the parts, one right after the other. */
    int (*hmac)(const struct noc_scram_hash *hash, struct noc_slice key,
        const struct noc_slice *parts, size_t count, uint8_t *ret_digest);
    /* rounds times: link = HMAC(key, link), sum = sum XOR link. */
    int (*chain)(const struct noc_scram_hash *hash, struct noc_slice key, uint8_t *link,
        uint8_t *sum, uint32_t rounds);
};

/* With OpenSSL, and with mbedTLS (2.28 or 3). Static. */
NOC_PUBLIC const struct noc_scram_hash *noc_scram_openssl_sha256(void);
NOC_PUBLIC const struct noc_scram_hash *noc_scram_openssl_sha512(void);
NOC_PUBLIC const struct noc_scram_hash *noc_scram_mbedtls_sha256(void);
NOC_PUBLIC const struct noc_scram_hash *noc_scram_mbedtls_sha512(void);

/* Stays the caller's, with all it points to, and unchanged, while the object is used. */
struct noc_scram_client_options {
    struct noc_slice user, password; /* UTF-8 */
    const struct noc_scram_hash *hash;
    /*
     * Fewer rounds are refused, as whoever stands in the middle could offer one, and then try
     * passwords fast. 0: the default above. Lines of mosquitto_passwd 2.0 have 101 unless it was
     * told otherwise, and need that here.
     */
    uint32_t rounds_min;
    /*
     * More are refused, so that a server can't keep a device busy for hours. 0: the default above,
     * a fraction of a second on a computer; but on a microcontroller a thousand rounds can take
     * as long as a tenth of a second.
     */
    uint32_t rounds_max;
    /* 32 random bits, unpredictable. */
    uint32_t (*random)(void *context);
    /*
     * Called every NOC_SCRAM_CHUNK rounds: to feed a watchdog, or to give up by returning false.
     * May be NULL.
     */
    bool (*goes_on)(void *context);
    void *context; /* of random and goes_on */
};

enum {
    NOC_SCRAM_CHUNK = 1024,
    NOC_SCRAM_NONCE_TEXT = 20, /* characters of our nonce: 15 random bytes in base64 */
    NOC_SCRAM_BARE_MAX = NOC_SCRAM_USER_MAX + NOC_SCRAM_NONCE_TEXT + 5,
};

/* The fields are the object's own. It keeps what is as good as the password; see done(). */
struct noc_scram_client {
    const struct noc_scram_client_options *options;
    const char *fault;
    uint32_t rounds; /* that made salted_password; 0: there is none yet */
    uint8_t state;
    uint8_t salt_n;
    uint8_t bare_n;
    uint8_t salt[NOC_SCRAM_SALT_MAX];
    uint8_t salted_password[NOC_SCRAM_HASH_MAX];
    uint8_t server_signature[NOC_SCRAM_HASH_MAX]; /* that the server will have to send */
    char bare[NOC_SCRAM_BARE_MAX];                /* the first message without "n,," */
};

/*
 * An exchange in the caller's storage, and *ret_auth for noc_client_options.auth. It serves all
 * connections of one client, and to authenticate again. NOC_OK; NOC_EINVAL: no name, one that is not
 * UTF-8, no hash, no random, or limits that nothing can meet; NOC_ETOOLARGE: a name that is too long.
 */
NOC_PUBLIC NOC_MUST_CHECK int noc_scram_client_init(struct noc_scram_client *scram,
    const struct noc_scram_client_options *options, struct noc_client_auth *ret_auth);

/* Wipe what it knows. */
NOC_PUBLIC void noc_scram_client_done(struct noc_scram_client *scram);

/*
 * Static text for the log: why the last exchange was given up, or ""; never NULL. Empty, too, where
 * the server said so by a reason code, as MQTT has it.
 */
NOC_PUBLIC const char *noc_scram_client_fault(const struct noc_scram_client *scram);

#ifdef __cplusplus
}
#endif

#endif
