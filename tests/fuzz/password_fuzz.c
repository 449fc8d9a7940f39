/* SPDX-License-Identifier: Apache-2.0 */
/* Password files: whatever is in one, reading it is safe, and what is read can be asked. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "auth/password_file.h"
#include <noctule/error.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void try(struct noc_slice text, bool is_strict)
{
    struct noc_passwords_options options = {.seed = 1, .is_strict = is_strict};
    struct noc_report report = {0};
    struct noc_passwords *passwords = NULL;
    struct noc_password_hash hash;
    uint8_t digest[NOC_LINE_DIGEST_BYTES];
    const char *cause = NULL;

    if (noc_password_hash_parse(text, &hash, &cause) < 0 && cause == NULL) {
        abort();
    }
    if (noc_passwords_parse(text, "fuzz", &options, &report, &passwords) < 0) {
        if (report.error[0] == '\0' || passwords != NULL) {
            abort();
        }
        return;
    }
    if (!is_strict && noc_passwords_count(passwords) > 0 && text.n == 0) {
        abort();
    }
    (void)noc_passwords_line_digest(passwords, noc_slice_of("a"), digest);
    noc_passwords_unref(passwords);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    try(noc_slice(bytes, n), false);
    try(noc_slice(bytes, n), true);
    return 0;
}
