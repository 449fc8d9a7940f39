/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table of sets; the digest's first bytes name the set, and each set has a
 * lock of its own and four places, the one used last in front. A digest that
 * is all zero stands for a free place; no real one is.
 */
#include "auth/memory.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/lock.h"
#include <noctule/error.h>

enum { PLACES = 4, KEY_BYTES = 32 };

struct set {
    struct noc_lock lock;
    uint8_t places[PLACES][NOC_AUTH_DIGEST_BYTES]; /* under the lock */
};

struct noc_auth_memory {
    /* All constant after noc_auth_memory_new(). */
    EVP_MAC_CTX *keyed; /* only ever copied, which any thread may do at the same time */
    size_t sets_n;      /* a power of two */
    struct set sets[];
};

static const uint8_t zero[NOC_AUTH_DIGEST_BYTES];

/* HMAC-SHA-256 with a random key, ready to be copied. NULL: it could not be had. */
static EVP_MAC_CTX *keyed_new(void)
{
    char digest_name[] = "SHA256";
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest_name, 0),
        OSSL_PARAM_construct_end(),
    };
    uint8_t key[KEY_BYTES];
    EVP_MAC *mac = EVP_MAC_fetch(NULL, OSSL_MAC_NAME_HMAC, NULL);
    EVP_MAC_CTX *context = mac == NULL ? NULL : EVP_MAC_CTX_new(mac);

    EVP_MAC_free(mac);
    if (context == NULL || RAND_bytes(key, sizeof key) != 1 ||
        EVP_MAC_init(context, key, sizeof key, parameters) != 1) {
        EVP_MAC_CTX_free(context);
        context = NULL;
    }
    OPENSSL_cleanse(key, sizeof key);
    return context;
}

struct noc_auth_memory *noc_auth_memory_new(size_t entries)
{
    size_t wanted = entries == 0 ? NOC_AUTH_MEMORY_DEFAULT : entries;
    size_t sets_n = 1;
    struct noc_auth_memory *memory;

    while (sets_n * PLACES < wanted && sets_n <= SIZE_MAX / sizeof(struct set) / 4) {
        sets_n *= 2;
    }
    memory = calloc(1, sizeof *memory + sets_n * sizeof memory->sets[0]);
    if (memory == NULL) {
        return NULL;
    }
    memory->keyed = keyed_new();
    if (memory->keyed == NULL) {
        free(memory);
        return NULL;
    }
    memory->sets_n = sets_n;
    for (size_t i = 0; i < sets_n; i++) {
        noc_lock_init(&memory->sets[i].lock);
    }
    return memory;
}

void noc_auth_memory_free(struct noc_auth_memory *memory)
{
    if (memory != NULL) {
        EVP_MAC_CTX_free(memory->keyed);
        OPENSSL_cleanse(memory->sets, memory->sets_n * sizeof memory->sets[0]);
        free(memory);
    }
}

/* A run of bytes behind its length, so that no two lists of runs look alike. */
static bool add_run(EVP_MAC_CTX *context, struct noc_slice run)
{
    uint8_t length[8];

    noc_put_u64(length, run.n);
    return EVP_MAC_update(context, length, sizeof length) == 1 &&
           (run.n == 0 || EVP_MAC_update(context, (const uint8_t *)run.at, run.n) == 1);
}

int noc_auth_memory_digest_mt(struct noc_auth_memory *memory, struct noc_slice username,
    struct noc_slice password, const uint8_t line_digest[NOC_LINE_DIGEST_BYTES],
    uint8_t ret_digest[NOC_AUTH_DIGEST_BYTES])
{
    uint8_t whole[EVP_MAX_MD_SIZE];
    size_t n;
    EVP_MAC_CTX *context = EVP_MAC_CTX_dup(memory->keyed);
    bool is_done = context != NULL && add_run(context, username) && add_run(context, password) &&
                   EVP_MAC_update(context, line_digest, NOC_LINE_DIGEST_BYTES) == 1 &&
                   EVP_MAC_final(context, whole, &n, sizeof whole) == 1;

    EVP_MAC_CTX_free(context);
    if (!is_done) {
        return NOC_ENOMEM;
    }
    memcpy(ret_digest, whole, NOC_AUTH_DIGEST_BYTES);
    OPENSSL_cleanse(whole, sizeof whole);
    return NOC_OK;
}

static struct set *set_of(
    struct noc_auth_memory *memory, const uint8_t digest[NOC_AUTH_DIGEST_BYTES])
{
    return &memory->sets[(size_t)noc_get_u64(digest) & (memory->sets_n - 1)];
}

/* Move the digest to the front; what stood in places before it moves one back. */
static void put_in_front(struct set *set, size_t place, const uint8_t digest[NOC_AUTH_DIGEST_BYTES])
{
    memmove(set->places[1], set->places[0], place * NOC_AUTH_DIGEST_BYTES);
    memcpy(set->places[0], digest, NOC_AUTH_DIGEST_BYTES);
}

/* PLACES: it isn't there. */
static size_t place_of(const struct set *set, const uint8_t digest[NOC_AUTH_DIGEST_BYTES])
{
    size_t i = 0;

    while (i < PLACES && memcmp(set->places[i], digest, NOC_AUTH_DIGEST_BYTES) != 0) {
        i++;
    }
    return i;
}

bool noc_auth_memory_has_mt(
    struct noc_auth_memory *memory, const uint8_t digest[NOC_AUTH_DIGEST_BYTES])
{
    struct set *set = set_of(memory, digest);
    size_t place;

    if (memcmp(digest, zero, sizeof zero) == 0) {
        return false;
    }
    noc_lock_take(&set->lock);
    place = place_of(set, digest);
    if (place < PLACES) {
        put_in_front(set, place, digest);
    }
    noc_lock_release(&set->lock);
    return place < PLACES;
}

void noc_auth_memory_add_mt(
    struct noc_auth_memory *memory, const uint8_t digest[NOC_AUTH_DIGEST_BYTES])
{
    struct set *set = set_of(memory, digest);
    size_t place;

    noc_lock_take(&set->lock);
    place = place_of(set, digest);
    put_in_front(set, place < PLACES ? place : PLACES - 1, digest);
    noc_lock_release(&set->lock);
}

void noc_auth_memory_clear_mt(struct noc_auth_memory *memory)
{
    for (size_t i = 0; i < memory->sets_n; i++) {
        struct set *set = &memory->sets[i];

        noc_lock_take(&set->lock);
        memset(set->places, 0, sizeof set->places);
        noc_lock_release(&set->lock);
    }
}
