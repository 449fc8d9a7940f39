/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_AUTH_SECURITY_H
#define NOC_AUTH_SECURITY_H
/*
 * What decides who gets in and what they may do, for one listener or for all:
 * an immutable bundle, shared by an atomic reference count, swapped whole on
 * reload. Any thread.
 *
 *   username   password file   admitted if
 *   absent     any             allow_anonymous
 *   present    none            allow_anonymous
 *   present    one             its password is right, whatever allow_anonymous says
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "auth/password_file.h"
#include "base/macros.h"
#include "core/acl.h"
#include <noctule/slice.h>

struct noc_security {
    /* All constant but for the references. */
    atomic_uint references;
    uint64_t version;
    struct noc_passwords *passwords; /* NULL: no password_file */
    struct noc_acl *acl;             /* NULL: no acl_file */
    bool allow_anonymous;
};

/*
 * Takes the references to passwords and acl, also when it fails. version: never
 * 0, never the same twice in a process. NULL: out of memory.
 */
struct noc_security *noc_security_new(uint64_t version, bool allow_anonymous,
    struct noc_passwords *take_passwords, struct noc_acl *take_acl);

struct noc_security *noc_security_ref(struct noc_security *security); /* NULL stays NULL */
void noc_security_unref(struct noc_security *security);               /* NULL is fine */

/*
 * What can be said without looking at a password: NOC_OK, NOC_EDENIED, or
 * NOC_EAGAIN when the password has to be checked.
 */
NOC_MUST_CHECK int noc_security_judge(
    const struct noc_security *security, struct noc_slice username, struct noc_slice password);

/*
 * After a reload: may a client stay that was admitted earlier as username, its
 * entry then having had line_digest (NULL or all zero: it was checked against
 * no entry)? True unless its entry changed or went, or what let it in without
 * one no longer does.
 */
bool noc_security_still_admits(const struct noc_security *security, struct noc_slice username,
    const uint8_t line_digest[NOC_LINE_DIGEST_BYTES]);

#endif
