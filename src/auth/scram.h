/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_AUTH_SCRAM_H
#define NOC_AUTH_SCRAM_H
/*
 * The server's side of SCRAM-SHA-512 (RFC 5802, with SHA-512 in place of
 * SHA-1): a login in which the password never travels, and in which the server
 * proves, too, that it knows it.
 *
 *   client                                           server
 *     n,,n=USER,r=NONCE                      ->
 *                                            <-      r=NONCE+OURS,s=SALT,i=ROUNDS
 *     c=biws,r=NONCE+OURS,p=PROOF            ->
 *                                            <-      v=SIGNATURE
 *
 * What it needs of a user, PBKDF2 with HMAC-SHA-512 over 64 bytes, is just what
 * stands in a $7$ line of a password file. So nothing slow is computed here, only
 * a handful of HMACs, and a login costs a few microseconds. The price: such a
 * line, once stolen, is as good as the password for this method (for the
 * password itself it still has to be cracked).
 *
 * A user that isn't there, or whose line is of another kind, gets a challenge
 * like everybody (the salt a keyed digest of the name), and fails at the end. (The key is new
 * with each start, so who compares salts over a restart can tell; and in a file of mixed kinds
 * strangers have the rounds of the most frequent one, or of mosquitto_passwd.)
 * Names are compared as bytes; SASLprep is not applied, as mosquitto_passwd
 * does not either.
 *
 * Left out: channel binding (SCRAM-SHA-512-PLUS) and acting for another user.
 *
 * An exchange belongs to one thread.
 */

#include <stdint.h>

#include "auth/password_file.h"
#include "base/macros.h"
#include <noctule/slice.h>

#define NOC_SCRAM_METHOD "SCRAM-SHA-512"

enum {
    NOC_SCRAM_NONCE_BYTES = 18,  /* random, of the server */
    NOC_SCRAM_KEY_BYTES = 32,    /* random, for the salts of strangers; one for the process */
    NOC_SCRAM_CLIENT_MAX = 4096, /* bytes of a client's message */
    NOC_SCRAM_SERVER_MAX = 512   /* bytes of a message of ours */
};

struct noc_scram;

struct noc_scram_options {
    const struct noc_passwords *passwords; /* needed for the call only */
    const uint8_t *nonce;                  /* NOC_SCRAM_NONCE_BYTES, never the same twice */
    const uint8_t *stranger_key;           /* NOC_SCRAM_KEY_BYTES */
};

/*
 * Begin with the client's first message. NOC_EMALFORMED: it isn't one, or it is
 * too long; NOC_ENOTSUP: it asks for what is left out; NOC_ENOMEM.
 */
NOC_MUST_CHECK int noc_scram_new(const struct noc_scram_options *options,
    struct noc_slice client_first, struct noc_scram **ret_scram);

void noc_scram_free(struct noc_scram *scram); /* NULL is fine */

/* What the server answers to it; lives as long as the exchange. */
struct noc_slice noc_scram_challenge(const struct noc_scram *scram);

/* Who it claims to be; lives as long as the exchange. */
struct noc_slice noc_scram_username(const struct noc_scram *scram);

/* Is there such a user, with a $7$ line? For the log alone. */
bool noc_scram_is_known(const struct noc_scram *scram);

/* The digest of the user's line, all zero when there is none. */
const uint8_t *noc_scram_line_digest(const struct noc_scram *scram);

/*
 * The client's second and last message. NOC_OK: it knows the password, and
 * ret_final[0..*ret_n) is our proof for it; NOC_EDENIED: it does not;
 * NOC_EMALFORMED: it isn't such a message; NOC_ENOMEM. Call it once.
 */
NOC_MUST_CHECK int noc_scram_finish(struct noc_scram *scram, struct noc_slice client_final,
    char ret_final[NOC_SCRAM_SERVER_MAX], size_t *ret_n);

#endif
