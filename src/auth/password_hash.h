/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_AUTH_PASSWORD_HASH_H
#define NOC_AUTH_PASSWORD_HASH_H
/*
 * One password hash as it stands behind the user's name in a password file:
 *
 *   $6$SALT$HASH             SHA-512 of password and salt          (Mosquitto 1.x)
 *   $7$ROUNDS$SALT$HASH      PBKDF2 with HMAC-SHA-512 (RFC 8018)   (Mosquitto 2.0)
 *   $argon2id$v=19$m=M,t=T,p=P$SALT$HASH      (RFC 9106)           (Mosquitto 2.1)
 *
 * Pure but for the random salt of a new hash; any thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/macros.h"
#include <noctule/slice.h>

enum noc_password_scheme {
    NOC_PASSWORD_NONE, /* nothing ever matches */
    NOC_PASSWORD_SHA512,
    NOC_PASSWORD_PBKDF2,
    NOC_PASSWORD_ARGON2ID
};

enum {
    NOC_PASSWORD_SALT_MAX = 64,
    NOC_PASSWORD_DIGEST_MAX = 64,
    NOC_PASSWORD_ROUNDS = 101,            /* as mosquitto_passwd 2.0 takes */
    NOC_PASSWORD_ROUNDS_ADVISED = 210000, /* OWASP's advice for PBKDF2 with HMAC-SHA-512, 2023 */
    NOC_PASSWORD_ROUNDS_MAX = 100000000,  /* about a minute; past it a line is taken for damaged */
    NOC_PASSWORD_MEMORY_MAX_KIB = 4 << 20,
    NOC_PASSWORD_TEXT_MAX = 256 /* of a new hash, terminating zero included */
};

/* What a check costs; the same for two hashes means that they take the same time. */
struct noc_password_cost {
    enum noc_password_scheme scheme;
    uint32_t rounds;     /* PBKDF2 iterations, argon2 passes; 1 for SHA-512 */
    uint32_t memory_kib; /* argon2 */
    uint32_t lanes;      /* argon2 */
};

struct noc_password_hash {
    struct noc_password_cost cost;
    uint8_t salt_n;   /* 1 to 64; argon2: 8 to 64 */
    uint8_t digest_n; /* 64; argon2: 16 to 64, a multiple of 8 */
    uint8_t salt[NOC_PASSWORD_SALT_MAX];
    uint8_t digest[NOC_PASSWORD_DIGEST_MAX];
};

/*
 * Read a hash. NOC_EMALFORMED: it isn't one, and *ret_cause is a static text
 * that says why. *ret_hash is written only on success.
 */
NOC_MUST_CHECK int noc_password_hash_parse(
    struct noc_slice text, struct noc_password_hash *ret_hash, const char **ret_cause);

/*
 * Is it the password? NOC_OK, NOC_EDENIED, or NOC_ENOMEM when it could not be
 * computed. All bytes of the password count, zero bytes too, but for those at
 * the end with PBKDF2: HMAC fills a short key up with zeros (RFC 2104). The
 * comparison takes the same time wherever the first difference is.
 */
NOC_MUST_CHECK int noc_password_hash_verify(
    const struct noc_password_hash *hash, struct noc_slice password);

/* How to make a hash. All zero: $7$ as Mosquitto 2.0 writes it and any version reads it. */
struct noc_password_recipe {
    enum noc_password_scheme scheme; /* NOC_PASSWORD_NONE: NOC_PASSWORD_PBKDF2 */
    uint32_t rounds;                 /* of PBKDF2; 0: NOC_PASSWORD_ROUNDS */
    uint8_t salt_n;                  /* of $6$ and $7$, 1 to 64 bytes; 0: 12 */
};

/*
 * A new hash with a random salt. $argon2id$ is made as Mosquitto 2.1 does: 46 MiB, one
 * pass, one lane, salt and digest of 64 bytes. NOC_EINVAL: too many rounds, too long a salt;
 * NOC_EIO: no random numbers, or the library failed; NOC_ENOMEM.
 */
NOC_MUST_CHECK int noc_password_hash_make(struct noc_slice password,
    const struct noc_password_recipe *recipe, char ret_text[NOC_PASSWORD_TEXT_MAX]);

#endif
