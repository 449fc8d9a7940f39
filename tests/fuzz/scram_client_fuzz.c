/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile server for the client's side of SCRAM: the first line is its challenge, the second
 * what it says to the proof. Reading them is safe, the answer is what it should be, and nobody is
 * believed but who knows the signature, which the corpus holds for one challenge.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include <noctule/error.h>
#include <noctule/scram.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

enum { ROOM = 160 };

static const char nonce[] = "r=AAAAAAAAAAAAAAAAAAAA";

static uint32_t no_random(void *context)
{
    (void)context;
    return 0;
}

/* Line by line out of memory that ends where they do. */
static struct noc_slice take_line(const uint8_t **at, size_t *n)
{
    const uint8_t *start = *at, *end = *n == 0 ? NULL : memchr(start, '\n', *n);
    size_t line_n = end == NULL ? *n : (size_t)(end - start);

    *at += end == NULL ? line_n : line_n + 1;
    *n -= (size_t)(*at - start);
    return noc_slice(start, line_n);
}

static void must(bool is_so)
{
    if (!is_so) {
        abort();
    }
}

/* The answer has the server's nonce, and a proof of the right length. */
static void check_answer(struct noc_slice challenge, struct noc_slice answer)
{
    static const char begin[] = "c=biws,";
    size_t begin_n = sizeof begin - 1, nonce_n = 0;

    must(noc_slice_has_prefix(challenge, noc_slice_of(nonce)));
    while (challenge.at[nonce_n] != ',') {
        nonce_n++;
    }
    must(answer.n == begin_n + nonce_n + 3 + NOC_BASE64_SIZE(32));
    must(memcmp(answer.at, begin, begin_n) == 0);
    must(memcmp(answer.at + begin_n, challenge.at, nonce_n) == 0);
    must(memcmp(answer.at + begin_n + nonce_n, ",p=", 3) == 0);
    must(memchr(answer.at, '\0', answer.n) == NULL);
}

/* Only with the signature in its one right spelling; what follows is of no meaning. */
static void check_believed(const struct noc_scram_client *scram, struct noc_slice final)
{
    char right[2 + NOC_BASE64_SIZE(32)] = "v=";

    (void)noc_base64_encode(right + 2, scram->server_signature, 32);
    must(noc_slice_has_prefix(final, noc_slice(right, sizeof right)));
    must(final.n == sizeof right || final.at[sizeof right] == ',');
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    const struct noc_scram_client_options options = {
        .user = {"us,er", 5},
        .password = {"pencil", 6},
        .hash = noc_scram_openssl_sha256(),
        .rounds_min = 1,
        .rounds_max = 64,
        .random = no_random,
    };
    struct noc_scram_client scram;
    struct noc_client_auth auth;
    struct noc_slice challenge = take_line(&bytes, &n), final = noc_slice(bytes, n);
    uint8_t *at = malloc(ROOM);
    int answer_n;

    must(at != NULL && noc_scram_client_init(&scram, &options, &auth) == NOC_OK);
    must(auth.step(auth.context, noc_slice(NULL, 0), at, ROOM) > 0);
    answer_n = auth.step(auth.context, challenge, at, ROOM);
    must(answer_n <= ROOM && answer_n != 0);
    if (answer_n > 0) {
        check_answer(challenge, noc_slice(at, (size_t)answer_n));
        if (auth.finish(auth.context, final) == NOC_OK) {
            check_believed(&scram, final);
        } else {
            must(*noc_scram_client_fault(&scram) != '\0');
        }
    } else {
        must(*noc_scram_client_fault(&scram) != '\0');
    }
    must(auth.finish(auth.context, final) != NOC_OK);
    free(at);
    return 0;
}
