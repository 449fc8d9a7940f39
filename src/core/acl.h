/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CORE_ACL_H
#define NOC_CORE_ACL_H
/*
 * Access rights by topic, as Mosquitto's acl_file gives them: an immutable
 * object, built once, shared by an atomic reference count, swapped whole on
 * reload.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/macros.h"
#include <noctule/slice.h>

struct noc_acl;

enum noc_access { NOC_ACCESS_READ = 1, NOC_ACCESS_WRITE = 2, NOC_ACCESS_DENY = 4 };

/* Who asks; absent username: anonymous. Borrowed for the call. */
struct noc_acl_subject {
    struct noc_slice client_id, username;
};

struct noc_acl *noc_acl_ref(struct noc_acl *acl); /* NULL stays NULL */
void noc_acl_unref(struct noc_acl *acl);          /* NULL is fine */

/* A number that differs between any two objects built in this process; never 0. */
uint64_t noc_acl_version(const struct noc_acl *acl);

/*
 * May the subject read (be delivered) or write (publish) the topic? access is
 * NOC_ACCESS_READ or NOC_ACCESS_WRITE. acl NULL means no file: all is allowed
 * but writing $SYS/#. Pure, any thread.
 */
bool noc_acl_allows(const struct noc_acl *acl, const struct noc_acl_subject *subject,
    enum noc_access access, struct noc_slice topic);

#endif
