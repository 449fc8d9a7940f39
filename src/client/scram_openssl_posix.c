/* SPDX-License-Identifier: Apache-2.0 */
/* The hashes of SCRAM, by OpenSSL 3. */
#include <noctule/scram.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <noctule/error.h>

static const char *name_of(const struct noc_scram_hash *hash)
{
    return hash->bytes == 32 ? "SHA256" : "SHA512";
}

static int hash_text(const struct noc_scram_hash *hash, struct noc_slice text, uint8_t *ret_digest)
{
    return EVP_Q_digest(NULL, name_of(hash), NULL, text.at, text.n, ret_digest, NULL) == 1
               ? NOC_OK
               : NOC_ENOMEM;
}

/* HMAC with a key; NULL: no memory. */
static EVP_MAC_CTX *begin_mac(const struct noc_scram_hash *hash, struct noc_slice key)
{
    char name[8]; /* OpenSSL wants it not to be constant */
    OSSL_PARAM params[2];
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *ctx = mac == NULL ? NULL : EVP_MAC_CTX_new(mac);

    memcpy(name, name_of(hash), strlen(name_of(hash)) + 1);
    params[0] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0);
    params[1] = OSSL_PARAM_construct_end();
    EVP_MAC_free(mac);
    if (ctx != NULL && EVP_MAC_init(ctx, (const unsigned char *)key.at, key.n, params) != 1) {
        EVP_MAC_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}

static bool end_mac(const struct noc_scram_hash *hash, EVP_MAC_CTX *ctx, uint8_t *ret_digest)
{
    size_t n;

    return EVP_MAC_final(ctx, ret_digest, &n, hash->bytes) == 1;
}

static int hmac_parts(const struct noc_scram_hash *hash, struct noc_slice key,
    const struct noc_slice *parts, size_t count, uint8_t *ret_digest)
{
    EVP_MAC_CTX *ctx = begin_mac(hash, key);
    bool is_good = ctx != NULL;

    for (size_t i = 0; is_good && i < count; i++) {
        is_good = EVP_MAC_update(ctx, (const unsigned char *)parts[i].at, parts[i].n) == 1;
    }
    is_good = is_good && end_mac(hash, ctx, ret_digest);
    EVP_MAC_CTX_free(ctx);
    return is_good ? NOC_OK : NOC_ENOMEM;
}

static int chain_rounds(const struct noc_scram_hash *hash, struct noc_slice key, uint8_t *link,
    uint8_t *sum, uint32_t rounds)
{
    EVP_MAC_CTX *ctx = begin_mac(hash, key);
    bool is_good = ctx != NULL;

    /* Without a key it begins anew with the one that it has. */
    while (is_good && rounds-- > 0) {
        is_good = EVP_MAC_init(ctx, NULL, 0, NULL) == 1 &&
                  EVP_MAC_update(ctx, link, hash->bytes) == 1 && end_mac(hash, ctx, link);
        for (size_t i = 0; is_good && i < hash->bytes; i++) {
            sum[i] ^= link[i];
        }
    }
    EVP_MAC_CTX_free(ctx);
    return is_good ? NOC_OK : NOC_ENOMEM;
}

const struct noc_scram_hash *noc_scram_openssl_sha256(void)
{
    static const struct noc_scram_hash sha256 = {
        "SCRAM-SHA-256", 32, hash_text, hmac_parts, chain_rounds};

    return &sha256;
}

const struct noc_scram_hash *noc_scram_openssl_sha512(void)
{
    static const struct noc_scram_hash sha512 = {
        "SCRAM-SHA-512", 64, hash_text, hmac_parts, chain_rounds};

    return &sha512;
}
