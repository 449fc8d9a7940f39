/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SCRAM messages: the first line is the client's first, the rest its last. Reading them is
 * safe, and nobody gets in but who has the proof, which the corpus holds for one user.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "auth/scram.h"
#include <noctule/error.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

#define USERS                                                                                      \
    "user:$7$101$AQIDBAUGBwgJCgsM$zgzTralPhOyDrGhcXl/ZijEG58/4NN9y+pegNM5AvZ77og18GIvkrNxgpql9XM9" \
    "Jnp9D7i+WnnFJBWgTmDYkzQ==\n"

static void finish(struct noc_scram *scram, struct noc_slice final)
{
    char text[NOC_SCRAM_SERVER_MAX];
    size_t text_n = 0;

    if (noc_scram_finish(scram, final, text, &text_n) == NOC_OK &&
        (text_n != 90 || !noc_slice_equal(noc_scram_username(scram), noc_slice_of("user")))) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static const uint8_t nonce[NOC_SCRAM_NONCE_BYTES] = {
        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17};
    static const uint8_t key[NOC_SCRAM_KEY_BYTES] = {1};
    const uint8_t *line_end = n == 0 ? NULL : memchr(bytes, '\n', n);
    size_t first_n = line_end == NULL ? n : (size_t)(line_end - bytes);
    struct noc_passwords_options options = {.seed = 1};
    struct noc_report report = {0};
    struct noc_scram_options scram_options = {.nonce = nonce, .stranger_key = key};
    struct noc_passwords *passwords = NULL;
    struct noc_scram *scram = NULL;

    if (noc_passwords_parse(noc_slice_of(USERS), "fuzz", &options, &report, &passwords) < 0) {
        abort();
    }
    scram_options.passwords = passwords;
    if (noc_scram_new(&scram_options, noc_slice(bytes, first_n), &scram) == NOC_OK) {
        struct noc_slice challenge = noc_scram_challenge(scram);

        if (challenge.n > NOC_SCRAM_SERVER_MAX || memchr(challenge.at, '\0', challenge.n) != NULL) {
            abort();
        }
        if (line_end != NULL) {
            finish(scram, noc_slice(line_end + 1, n - first_n - 1));
        }
        noc_scram_free(scram);
    }
    noc_passwords_unref(passwords);
    return 0;
}
