/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/security.h"

#include <assert.h>
#include <stdlib.h>

#include <noctule/error.h>

struct noc_security *noc_security_new(uint64_t version, bool allow_anonymous,
    struct noc_passwords *take_passwords, struct noc_acl *take_acl)
{
    struct noc_security *security = calloc(1, sizeof *security);

    assert(version != 0);
    if (security == NULL) {
        noc_passwords_unref(take_passwords);
        noc_acl_unref(take_acl);
        return NULL;
    }
    atomic_init(&security->references, 1);
    security->version = version;
    security->allow_anonymous = allow_anonymous;
    security->passwords = take_passwords;
    security->acl = take_acl;
    return security;
}

struct noc_security *noc_security_ref(struct noc_security *security)
{
    if (security != NULL) {
        atomic_fetch_add_explicit(&security->references, 1, memory_order_relaxed);
    }
    return security;
}

void noc_security_unref(struct noc_security *security)
{
    if (security != NULL &&
        atomic_fetch_sub_explicit(&security->references, 1, memory_order_acq_rel) == 1) {
        noc_passwords_unref(security->passwords);
        noc_acl_unref(security->acl);
        free(security);
    }
}

int noc_security_judge(
    const struct noc_security *security, struct noc_slice username, struct noc_slice password)
{
    if (username.at == NULL || security->passwords == NULL) {
        return security->allow_anonymous ? NOC_OK : NOC_EDENIED;
    }
    return password.n == 0 ? NOC_EDENIED : NOC_EAGAIN;
}

bool noc_security_still_admits(const struct noc_security *security, struct noc_slice username,
    const uint8_t line_digest[NOC_LINE_DIGEST_BYTES])
{
    uint8_t now[NOC_LINE_DIGEST_BYTES];

    if (username.at == NULL || security->passwords == NULL) {
        return security->allow_anonymous;
    }
    return line_digest != NULL &&
           noc_passwords_line_digest(security->passwords, username, now) == NOC_OK &&
           memcmp(now, line_digest, sizeof now) == 0;
}
