/* SPDX-License-Identifier: Apache-2.0 */
/* The hashes of SCRAM, by mbedTLS; it needs its memory, a few hundred bytes at a time. */
#include <noctule/scram.h>

#include <mbedtls/md.h>

#include <noctule/error.h>

static const mbedtls_md_info_t *info_of(const struct noc_scram_hash *hash)
{
    return mbedtls_md_info_from_type(hash->bytes == 32 ? MBEDTLS_MD_SHA256 : MBEDTLS_MD_SHA512);
}

static int hash_text(const struct noc_scram_hash *hash, struct noc_slice text, uint8_t *ret_digest)
{
    int err = mbedtls_md(info_of(hash), (const uint8_t *)text.at, text.n, ret_digest);

    return err == 0 ? NOC_OK : NOC_ENOMEM;
}

/* HMAC with a key. Whatever it returned, mbedtls_md_free() at the end. */
static int begin_mac(
    const struct noc_scram_hash *hash, struct noc_slice key, mbedtls_md_context_t *ctx)
{
    int err;

    mbedtls_md_init(ctx);
    err = mbedtls_md_setup(ctx, info_of(hash), 1);
    return err != 0 ? err : mbedtls_md_hmac_starts(ctx, (const uint8_t *)key.at, key.n);
}

static int hmac_parts(const struct noc_scram_hash *hash, struct noc_slice key,
    const struct noc_slice *parts, size_t count, uint8_t *ret_digest)
{
    mbedtls_md_context_t ctx;
    int err = begin_mac(hash, key, &ctx);

    for (size_t i = 0; err == 0 && i < count; i++) {
        err = mbedtls_md_hmac_update(&ctx, (const uint8_t *)parts[i].at, parts[i].n);
    }
    if (err == 0) {
        err = mbedtls_md_hmac_finish(&ctx, ret_digest);
    }
    mbedtls_md_free(&ctx);
    return err == 0 ? NOC_OK : NOC_ENOMEM;
}

static int chain_rounds(const struct noc_scram_hash *hash, struct noc_slice key, uint8_t *link,
    uint8_t *sum, uint32_t rounds)
{
    mbedtls_md_context_t ctx;
    int err = begin_mac(hash, key, &ctx);

    while (err == 0 && rounds-- > 0) {
        err = mbedtls_md_hmac_update(&ctx, link, hash->bytes);
        if (err == 0) {
            err = mbedtls_md_hmac_finish(&ctx, link);
        }
        if (err == 0) {
            err = mbedtls_md_hmac_reset(&ctx);
        }
        for (size_t i = 0; err == 0 && i < hash->bytes; i++) {
            sum[i] ^= link[i];
        }
    }
    mbedtls_md_free(&ctx);
    return err == 0 ? NOC_OK : NOC_ENOMEM;
}

const struct noc_scram_hash *noc_scram_mbedtls_sha256(void)
{
    static const struct noc_scram_hash sha256 = {
        "SCRAM-SHA-256", 32, hash_text, hmac_parts, chain_rounds};

    return &sha256;
}

const struct noc_scram_hash *noc_scram_mbedtls_sha512(void)
{
    static const struct noc_scram_hash sha512 = {
        "SCRAM-SHA-512", 64, hash_text, hmac_parts, chain_rounds};

    return &sha512;
}
