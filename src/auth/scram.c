/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/scram.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/base64.h"
#include "base/utf8.h"
#include <noctule/error.h>

enum {
    SHA512_BYTES = 64,
    CLIENT_NONCE_MAX = 256,
    STRANGER_SALT_BYTES = 12, /* when no line of the file says what is usual */
};

/* "n,," or "y,,": no channel binding, and no other identity. */
enum { GS2_HEADER_SIZE = 3 };

struct noc_scram {
    uint8_t salted_password[SHA512_BYTES];
    uint8_t line_digest[NOC_LINE_DIGEST_BYTES];
    bool is_known;
    char gs2_flag;      /* 'n', or 'y': the client could do channel binding */
    size_t nonce_n;     /* of both together */
    size_t challenge_n; /* behind the client's bare first message and a comma */
    size_t bare_n;
    size_t username_n;
    char *username; /* in text, behind the rest */
    char text[];    /* BARE,CHALLENGE: how the message that is signed begins */
};

/* ---- the client's first message ---- */

struct client_first {
    char gs2_flag;
    struct noc_slice bare;     /* without the GS2 header */
    struct noc_slice username; /* escaped: =2C and =3D */
    struct noc_slice nonce;
};

/* Up to the next comma, which is taken away; at the end, the rest. */
static struct noc_slice take_attribute(struct noc_slice *text)
{
    const char *comma = text->n == 0 ? NULL : memchr(text->at, ',', text->n);
    struct noc_slice part = *text;

    if (comma == NULL) {
        *text = noc_slice(text->at + text->n, 0);
        return part;
    }
    part.n = (size_t)(comma - text->at);
    *text = noc_slice(comma + 1, text->n - part.n - 1);
    return part;
}

/* The value of an attribute "x=VALUE"; absent: it is another one. */
static struct noc_slice value_of(struct noc_slice attribute, char name)
{
    if (attribute.n < 2 || attribute.at[0] != name || attribute.at[1] != '=') {
        return noc_slice(NULL, 0);
    }
    return noc_slice(attribute.at + 2, attribute.n - 2);
}

/* Printable ASCII; a comma ends an attribute, so there is none (RFC 5802, section 7). */
static bool nonce_is_valid(struct noc_slice nonce)
{
    for (size_t i = 0; i < nonce.n; i++) {
        if (nonce.at[i] < 0x21 || nonce.at[i] > 0x7e) {
            return false;
        }
    }
    return nonce.n > 0 && nonce.n <= CLIENT_NONCE_MAX;
}

static int read_client_first(struct noc_slice text, struct client_first *ret_first)
{
    struct client_first first;
    struct noc_slice flag, identity, attribute;

    if (text.n == 0 || text.n > NOC_SCRAM_CLIENT_MAX) {
        return NOC_EMALFORMED;
    }
    flag = take_attribute(&text);
    identity = take_attribute(&text);
    if (value_of(flag, 'p').at != NULL || value_of(identity, 'a').at != NULL) {
        return NOC_ENOTSUP;
    }
    if (flag.n != 1 || (flag.at[0] != 'n' && flag.at[0] != 'y') || identity.n != 0) {
        return NOC_EMALFORMED;
    }
    first.gs2_flag = flag.at[0];
    first.bare = text;
    attribute = take_attribute(&text);
    if (value_of(attribute, 'm').at != NULL) {
        return NOC_ENOTSUP; /* an extension that must be understood */
    }
    first.username = value_of(attribute, 'n');
    first.nonce = value_of(take_attribute(&text), 'r');
    if (first.username.n == 0 || first.nonce.at == NULL || !nonce_is_valid(first.nonce)) {
        return NOC_EMALFORMED;
    }
    *ret_first = first;
    return NOC_OK;
}

/* A name without its escapes, to ret_name, which has room for as much. False: it isn't one. */
static bool unescape(struct noc_slice name, char *ret_name, size_t *ret_n)
{
    size_t n = 0;

    for (size_t i = 0; i < name.n; i++) {
        struct noc_slice rest = noc_slice(name.at + i, name.n - i);

        if (noc_slice_has_prefix(rest, noc_slice_of("=2C"))) {
            ret_name[n++] = ',';
            i += 2;
        } else if (noc_slice_has_prefix(rest, noc_slice_of("=3D"))) {
            ret_name[n++] = '=';
            i += 2;
        } else if (name.at[i] == '=') {
            return false;
        } else {
            ret_name[n++] = name.at[i];
        }
    }
    *ret_n = n;
    return noc_utf8_is_valid(noc_slice(ret_name, n));
}

/* ---- keys ---- */

static bool hmac(const uint8_t *key, size_t key_n, struct noc_slice text, uint8_t *ret_digest)
{
    return HMAC(EVP_sha512(), key, (int)key_n, (const uint8_t *)text.at, text.n, ret_digest,
               NULL) != NULL;
}

/* Salt and rounds of somebody who isn't there: always the same for one name. */
static bool invent(
    const uint8_t *stranger_key, struct noc_slice username, struct noc_password_hash *hash)
{
    if (hash->cost.scheme != NOC_PASSWORD_PBKDF2) {
        *hash = (struct noc_password_hash){
            .cost = {.rounds = NOC_PASSWORD_ROUNDS}, .salt_n = STRANGER_SALT_BYTES};
    }
    memset(hash->digest, 0, sizeof hash->digest);
    return hmac(stranger_key, NOC_SCRAM_KEY_BYTES, username, hash->salt);
}

/* ---- the challenge ---- */

/* "r=NONCE+OURS,s=SALT,i=ROUNDS" to at; its room is enough. Returns the end. */
static char *write_challenge(
    char *at, struct noc_slice nonce, const uint8_t *ours, const struct noc_password_hash *hash)
{
    memcpy(at, "r=", 2);
    memcpy(at + 2, nonce.at, nonce.n);
    at = noc_base64_encode(at + 2 + nonce.n, ours, NOC_SCRAM_NONCE_BYTES);
    memcpy(at, ",s=", 3);
    at = noc_base64_encode(at + 3, hash->salt, hash->salt_n);
    return at + snprintf(at, 16, ",i=%u", hash->cost.rounds);
}

int noc_scram_new(const struct noc_scram_options *options, struct noc_slice client_first,
    struct noc_scram **ret_scram)
{
    struct client_first first;
    struct noc_password_hash hash;
    struct noc_scram *scram;
    char *at;
    int err = read_client_first(client_first, &first);

    if (err != NOC_OK) {
        return err;
    }
    scram = calloc(1, sizeof *scram + first.bare.n + 1 + NOC_SCRAM_SERVER_MAX + first.username.n);
    if (scram == NULL) {
        return NOC_ENOMEM;
    }
    scram->username = scram->text + first.bare.n + 1 + NOC_SCRAM_SERVER_MAX;
    if (!unescape(first.username, scram->username, &scram->username_n)) {
        noc_scram_free(scram);
        return NOC_EMALFORMED;
    }
    scram->is_known = noc_passwords_find_pbkdf2(options->passwords, noc_scram_username(scram),
                          &hash, scram->line_digest) == NOC_OK;
    if (!scram->is_known && !invent(options->stranger_key, noc_scram_username(scram), &hash)) {
        noc_scram_free(scram);
        return NOC_ENOMEM;
    }
    memcpy(scram->salted_password, hash.digest, SHA512_BYTES);
    scram->gs2_flag = first.gs2_flag;
    scram->nonce_n = first.nonce.n + NOC_BASE64_SIZE(NOC_SCRAM_NONCE_BYTES);
    scram->bare_n = first.bare.n;
    memcpy(scram->text, first.bare.at, first.bare.n);
    at = scram->text + first.bare.n;
    *at++ = ',';
    scram->challenge_n = (size_t)(write_challenge(at, first.nonce, options->nonce, &hash) - at);
    OPENSSL_cleanse(&hash, sizeof hash);
    *ret_scram = scram;
    return NOC_OK;
}

void noc_scram_free(struct noc_scram *scram)
{
    if (scram != NULL) {
        OPENSSL_cleanse(scram->salted_password, sizeof scram->salted_password);
        free(scram);
    }
}

struct noc_slice noc_scram_challenge(const struct noc_scram *scram)
{
    return noc_slice(scram->text + scram->bare_n + 1, scram->challenge_n);
}

struct noc_slice noc_scram_username(const struct noc_scram *scram)
{
    return noc_slice(scram->username, scram->username_n);
}

bool noc_scram_is_known(const struct noc_scram *scram)
{
    return scram->is_known;
}

const uint8_t *noc_scram_line_digest(const struct noc_scram *scram)
{
    return scram->line_digest;
}

/* ---- the proofs ---- */

/* "c=biws,r=NONCE,p=PROOF"; what stands between nonce and proof is not ours to know. */
static int read_client_final(const struct noc_scram *scram, struct noc_slice text,
    struct noc_slice *ret_unproved, uint8_t ret_proof[SHA512_BYTES])
{
    char header[GS2_HEADER_SIZE] = {scram->gs2_flag, ',', ','};
    char binding[NOC_BASE64_SIZE(GS2_HEADER_SIZE)];
    struct noc_slice challenge = noc_scram_challenge(scram);
    struct noc_slice left = text, given, nonce, proof;
    size_t n = text.n, proof_n;

    if (text.n == 0 || text.n > NOC_SCRAM_CLIENT_MAX) {
        return NOC_EMALFORMED;
    }
    given = value_of(take_attribute(&left), 'c');
    nonce = value_of(take_attribute(&left), 'r');
    while (n > 0 && text.at[n - 1] != ',') {
        n--;
    }
    proof = value_of(noc_slice(text.at + n, text.n - n), 'p');
    if (given.at == NULL || nonce.at == NULL || proof.at == NULL ||
        !noc_base64_decode(proof, true, ret_proof, SHA512_BYTES, &proof_n) ||
        proof_n != SHA512_BYTES) {
        return NOC_EMALFORMED;
    }
    (void)noc_base64_encode(binding, header, sizeof header);
    if (!noc_slice_equal(given, noc_slice(binding, sizeof binding)) ||
        !noc_slice_equal(nonce, noc_slice(challenge.at + 2, scram->nonce_n))) {
        return NOC_EDENIED;
    }
    *ret_unproved = noc_slice(text.at, n - 1);
    return NOC_OK;
}

/*
 * StoredKey = H(ClientKey), and the client proves that it has ClientKey by sending
 * ClientKey XOR HMAC(StoredKey, message) (RFC 5802, section 3).
 */
static int check_proof(
    const struct noc_scram *scram, struct noc_slice message, const uint8_t proof[SHA512_BYTES])
{
    uint8_t key[SHA512_BYTES], stored[SHA512_BYTES], signature[SHA512_BYTES];
    int err = NOC_ENOMEM;

    if (hmac(scram->salted_password, SHA512_BYTES, noc_slice_of("Client Key"), key) &&
        EVP_Digest(key, SHA512_BYTES, stored, NULL, EVP_sha512(), NULL) == 1 &&
        hmac(stored, SHA512_BYTES, message, signature)) {
        for (size_t i = 0; i < SHA512_BYTES; i++) {
            signature[i] ^= proof[i];
        }
        err = CRYPTO_memcmp(signature, key, SHA512_BYTES) == 0 && scram->is_known ? NOC_OK
                                                                                  : NOC_EDENIED;
    }
    OPENSSL_cleanse(key, sizeof key);
    OPENSSL_cleanse(signature, sizeof signature);
    return err;
}

/* "v=SIGNATURE": HMAC(ServerKey, message). */
static int write_final(
    const struct noc_scram *scram, struct noc_slice message, char *ret_final, size_t *ret_n)
{
    uint8_t key[SHA512_BYTES], signature[SHA512_BYTES];

    if (!hmac(scram->salted_password, SHA512_BYTES, noc_slice_of("Server Key"), key) ||
        !hmac(key, SHA512_BYTES, message, signature)) {
        return NOC_ENOMEM;
    }
    OPENSSL_cleanse(key, sizeof key);
    memcpy(ret_final, "v=", 2);
    *ret_n = (size_t)(noc_base64_encode(ret_final + 2, signature, SHA512_BYTES) - ret_final);
    return NOC_OK;
}

int noc_scram_finish(struct noc_scram *scram, struct noc_slice client_final,
    char ret_final[NOC_SCRAM_SERVER_MAX], size_t *ret_n)
{
    size_t begin_n = scram->bare_n + 1 + scram->challenge_n;
    struct noc_slice unproved, message;
    uint8_t proof[SHA512_BYTES];
    char *text;
    int err = read_client_final(scram, client_final, &unproved, proof);

    if (err != NOC_OK) {
        return err;
    }
    text = malloc(begin_n + 1 + unproved.n);
    if (text == NULL) {
        return NOC_ENOMEM;
    }
    memcpy(text, scram->text, begin_n);
    text[begin_n] = ',';
    memcpy(text + begin_n + 1, unproved.at, unproved.n);
    message = noc_slice(text, begin_n + 1 + unproved.n);
    err = check_proof(scram, message, proof);
    if (err == NOC_OK) {
        err = write_final(scram, message, ret_final, ret_n);
    }
    free(text);
    return err;
}
