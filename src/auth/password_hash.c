/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/password_hash.h"

#include <argon2.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>

#include "base/base64.h"
#include <noctule/error.h>

enum {
    SHA512_BYTES = 64,
    NEW_SALT_BYTES = 12,
    ARGON2_NEW_MEMORY_KIB = 47104,
    ARGON2_SALT_MIN = 8, /* RFC 9106 section 3.1 */
    ARGON2_DIGEST_MIN = 16,
    ARGON2_DIGEST_STEP = 8, /* so that a line cut off is unlikely to look whole */
    ARGON2_LANES_MAX = 255,
    ARGON2_PASSES_MAX = 100000
};

/* --- reading ------------------------------------------------------------ */

static bool take_prefix(struct noc_slice *text, const char *prefix)
{
    struct noc_slice begin = noc_slice_of(prefix);

    if (!noc_slice_has_prefix(*text, begin)) {
        return false;
    }
    *text = noc_slice(text->at + begin.n, text->n - begin.n);
    return true;
}

/* What comes before the mark, which is taken too. */
static bool take_until(struct noc_slice *text, char mark, struct noc_slice *ret_part)
{
    const char *at = text->n == 0 ? NULL : memchr(text->at, mark, text->n);

    if (at == NULL) {
        return false;
    }
    *ret_part = noc_slice(text->at, (size_t)(at - text->at));
    *text = noc_slice(at + 1, text->n - ret_part->n - 1);
    return true;
}

/* A decimal number from 1 to max, and nothing else. */
static bool read_number(struct noc_slice text, uint32_t max, uint32_t *ret_value)
{
    uint32_t value = 0;

    if (text.n == 0 || text.n > 10) {
        return false;
    }
    for (size_t i = 0; i < text.n; i++) {
        unsigned digit = (unsigned)(text.at[i] - '0');

        if (digit > 9 || value > (UINT32_MAX - digit) / 10) {
            return false;
        }
        value = value * 10 + digit;
    }
    *ret_value = value;
    return value > 0 && value <= max;
}

/* "SALT$HASH" of all three schemes. NULL: fine; else the cause. */
static const char *read_salt_and_digest(
    struct noc_slice text, bool is_padded, struct noc_password_hash *hash)
{
    struct noc_slice salt;
    size_t n;

    if (!take_until(&text, '$', &salt)) {
        return "the salt or the hash is missing";
    }
    if (!noc_base64_decode(salt, is_padded, hash->salt, sizeof hash->salt, &n) || n == 0) {
        return "the salt is not 1 to 64 bytes of base64";
    }
    hash->salt_n = (uint8_t)n;
    if (!noc_base64_decode(text, is_padded, hash->digest, sizeof hash->digest, &n)) {
        return "the hash is not base64, or too long";
    }
    hash->digest_n = (uint8_t)n;
    return NULL;
}

static const char *read_sha512(struct noc_slice text, struct noc_password_hash *hash)
{
    const char *cause = read_salt_and_digest(text, true, hash);

    if (cause == NULL && hash->digest_n != SHA512_BYTES) {
        cause = "the hash is not 64 bytes long";
    }
    hash->cost = (struct noc_password_cost){.scheme = NOC_PASSWORD_SHA512, .rounds = 1};
    return cause;
}

static const char *read_pbkdf2(struct noc_slice text, struct noc_password_hash *hash)
{
    struct noc_slice rounds;
    uint32_t value;
    const char *cause;

    if (!take_until(&text, '$', &rounds) || !read_number(rounds, NOC_PASSWORD_ROUNDS_MAX, &value)) {
        return "the number of iterations is missing or not sensible";
    }
    cause = read_sha512(text, hash);
    hash->cost = (struct noc_password_cost){.scheme = NOC_PASSWORD_PBKDF2, .rounds = value};
    return cause;
}

/* "v=19$m=M,t=T,p=P$SALT$HASH" */
static const char *read_argon2id(struct noc_slice text, struct noc_password_hash *hash)
{
    struct noc_password_cost cost = {.scheme = NOC_PASSWORD_ARGON2ID};
    struct noc_slice memory, passes, lanes;
    const char *cause;

    if (!take_prefix(&text, "v=19$")) {
        return "not version 19 of argon2id";
    }
    if (!take_prefix(&text, "m=") || !take_until(&text, ',', &memory) ||
        !take_prefix(&text, "t=") || !take_until(&text, ',', &passes) ||
        !take_prefix(&text, "p=") || !take_until(&text, '$', &lanes) ||
        !read_number(memory, NOC_PASSWORD_MEMORY_MAX_KIB, &cost.memory_kib) ||
        !read_number(passes, ARGON2_PASSES_MAX, &cost.rounds) ||
        !read_number(lanes, ARGON2_LANES_MAX, &cost.lanes) || cost.memory_kib < 8 * cost.lanes) {
        return "the argon2id parameters m, t, p are missing or not sensible";
    }
    cause = read_salt_and_digest(text, false, hash);
    if (cause == NULL && hash->salt_n < ARGON2_SALT_MIN) {
        cause = "the argon2id salt is shorter than 8 bytes";
    }
    if (cause == NULL &&
        (hash->digest_n < ARGON2_DIGEST_MIN || hash->digest_n % ARGON2_DIGEST_STEP != 0)) {
        cause = "the argon2id hash is not 16, 24, 32, ... or 64 bytes long";
    }
    hash->cost = cost;
    return cause;
}

int noc_password_hash_parse(
    struct noc_slice text, struct noc_password_hash *ret_hash, const char **ret_cause)
{
    struct noc_password_hash hash = {0};
    const char *cause;

    if (take_prefix(&text, "$7$")) {
        cause = read_pbkdf2(text, &hash);
    } else if (take_prefix(&text, "$6$")) {
        cause = read_sha512(text, &hash);
    } else if (take_prefix(&text, "$argon2id$")) {
        cause = read_argon2id(text, &hash);
    } else if (text.n == 0) {
        cause = "there is no password hash";
    } else {
        cause = "the password is not hashed with $7$, $6$ or $argon2id$";
    }
    if (cause != NULL) {
        *ret_cause = cause;
        return NOC_EMALFORMED;
    }
    *ret_hash = hash;
    return NOC_OK;
}

/* --- computing ---------------------------------------------------------- */

static int sha512_salted(
    const struct noc_password_hash *hash, struct noc_slice password, uint8_t *ret_digest)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool is_done = context != NULL && EVP_DigestInit_ex(context, EVP_sha512(), NULL) == 1 &&
                   EVP_DigestUpdate(context, password.at, password.n) == 1 &&
                   EVP_DigestUpdate(context, hash->salt, hash->salt_n) == 1 &&
                   EVP_DigestFinal_ex(context, ret_digest, NULL) == 1;

    EVP_MD_CTX_free(context);
    return is_done ? NOC_OK : NOC_ENOMEM;
}

static int pbkdf2(struct noc_slice password, const uint8_t *salt, size_t salt_n, uint32_t rounds,
    uint8_t ret_digest[SHA512_BYTES])
{
    /* MQTT passwords have at most 65535 bytes; the limits below are far away. */
    if (password.n > INT32_MAX) {
        return NOC_EINVAL;
    }
    return PKCS5_PBKDF2_HMAC(password.n == 0 ? "" : password.at, (int)password.n, salt, (int)salt_n,
               (int)rounds, EVP_sha512(), SHA512_BYTES, ret_digest) == 1
               ? NOC_OK
               : NOC_ENOMEM;
}

/* On this thread alone, however many lanes there are. */
static int argon2id(
    const struct noc_password_hash *hash, struct noc_slice password, uint8_t *ret_digest)
{
    /* The library takes these without const, and leaves them alone with these flags. */
    uint8_t salt[NOC_PASSWORD_SALT_MAX];
    argon2_context context = {
        .out = ret_digest,
        .outlen = hash->digest_n,
        .pwdlen = (uint32_t)password.n,
        .salt = salt,
        .saltlen = hash->salt_n,
        .t_cost = hash->cost.rounds,
        .m_cost = hash->cost.memory_kib,
        .lanes = hash->cost.lanes,
        .threads = 1,
        .version = ARGON2_VERSION_13,
        .flags = ARGON2_DEFAULT_FLAGS,
    };

    if (password.n > UINT32_MAX) {
        return NOC_EINVAL;
    }
    memcpy(salt, hash->salt, sizeof salt);
    memcpy(&context.pwd, &password.at, sizeof context.pwd);
    return argon2id_ctx(&context) == ARGON2_OK ? NOC_OK : NOC_ENOMEM;
}

static int compute(
    const struct noc_password_hash *hash, struct noc_slice password, uint8_t *ret_digest)
{
    switch (hash->cost.scheme) {
    case NOC_PASSWORD_NONE:
        return NOC_EDENIED;
    case NOC_PASSWORD_SHA512:
        return sha512_salted(hash, password, ret_digest);
    case NOC_PASSWORD_PBKDF2:
        return pbkdf2(password, hash->salt, hash->salt_n, hash->cost.rounds, ret_digest);
    case NOC_PASSWORD_ARGON2ID:
        return argon2id(hash, password, ret_digest);
    }
    return NOC_EDENIED;
}

int noc_password_hash_verify(const struct noc_password_hash *hash, struct noc_slice password)
{
    uint8_t digest[NOC_PASSWORD_DIGEST_MAX];
    int err = compute(hash, password, digest);

    if (err == NOC_OK && CRYPTO_memcmp(digest, hash->digest, hash->digest_n) != 0) {
        err = NOC_EDENIED;
    }
    OPENSSL_cleanse(digest, sizeof digest);
    return err;
}

/* --- making ------------------------------------------------------------- */

/* Without digest and salt. */
static int plan(const struct noc_password_recipe *recipe, struct noc_password_hash *ret_hash)
{
    struct noc_password_hash hash = {.cost = {.scheme = recipe->scheme, .rounds = 1},
        .salt_n = recipe->salt_n == 0 ? NEW_SALT_BYTES : recipe->salt_n,
        .digest_n = SHA512_BYTES};

    if (recipe->salt_n > NOC_PASSWORD_SALT_MAX || recipe->rounds > NOC_PASSWORD_ROUNDS_MAX) {
        return NOC_EINVAL;
    }
    switch (recipe->scheme) {
    case NOC_PASSWORD_NONE:
    case NOC_PASSWORD_PBKDF2:
        hash.cost.scheme = NOC_PASSWORD_PBKDF2;
        hash.cost.rounds = recipe->rounds == 0 ? NOC_PASSWORD_ROUNDS : recipe->rounds;
        break;
    case NOC_PASSWORD_SHA512:
        break;
    case NOC_PASSWORD_ARGON2ID:
        hash.cost.memory_kib = ARGON2_NEW_MEMORY_KIB;
        hash.cost.lanes = 1;
        hash.salt_n = NOC_PASSWORD_SALT_MAX;
        break;
    }
    *ret_hash = hash;
    return NOC_OK;
}

/* Base64, and where argon2 wants it without padding. Returns the end. */
static char *write_base64(char *at, const uint8_t *bytes, size_t n, bool is_padded)
{
    char *end = noc_base64_encode(at, bytes, n);

    while (!is_padded && end > at && end[-1] == '=') {
        end--;
    }
    return end;
}

/* At most 32 bytes of parameters, then two times 88 of base64, a '$' and the zero. */
static void write_hash(const struct noc_password_hash *hash, char ret_text[NOC_PASSWORD_TEXT_MAX])
{
    const struct noc_password_cost *cost = &hash->cost;
    bool is_padded = cost->scheme != NOC_PASSWORD_ARGON2ID;
    int n = 0;
    char *end;

    if (cost->scheme == NOC_PASSWORD_ARGON2ID) {
        n = snprintf(ret_text, NOC_PASSWORD_TEXT_MAX, "$argon2id$v=19$m=%u,t=%u,p=%u$",
            cost->memory_kib, cost->rounds, cost->lanes);
    } else if (cost->scheme == NOC_PASSWORD_SHA512) {
        n = snprintf(ret_text, NOC_PASSWORD_TEXT_MAX, "$6$");
    } else {
        n = snprintf(ret_text, NOC_PASSWORD_TEXT_MAX, "$7$%u$", cost->rounds);
    }
    end = write_base64(ret_text + n, hash->salt, hash->salt_n, is_padded);
    *end++ = '$';
    end = write_base64(end, hash->digest, hash->digest_n, is_padded);
    *end = '\0';
}

int noc_password_hash_make(struct noc_slice password, const struct noc_password_recipe *recipe,
    char ret_text[NOC_PASSWORD_TEXT_MAX])
{
    struct noc_password_hash hash;
    int err = plan(recipe, &hash);

    if (err == NOC_OK && RAND_bytes(hash.salt, hash.salt_n) != 1) {
        err = NOC_EIO;
    }
    if (err == NOC_OK) {
        err = compute(&hash, password, hash.digest);
    }
    if (err == NOC_OK) {
        write_hash(&hash, ret_text);
    }
    OPENSSL_cleanse(&hash, sizeof hash);
    return err;
}
