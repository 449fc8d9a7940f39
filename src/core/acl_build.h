/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CORE_ACL_BUILD_H
#define NOC_CORE_ACL_BUILD_H
/*
 * Building a struct noc_acl line by line. One thread at a time.
 *
 * How the finished object decides, in this order:
 *   1. a topic that begins with $SYS can't be written, except
 *      $SYS/broker/connection/+/state; one that begins with $share is neither
 *      read nor written;
 *   2. the subject's own list: the lines of its user, or the anonymous ones
 *      when it has no username. A matching deny line refuses; else a matching
 *      line that has the access bit allows; else on to the patterns;
 *   3. with patterns present, a username or client id with + or # in it is
 *      refused (it would become a wildcard once put in);
 *   4. the patterns, judged like a list, %c and %u replaced wherever they
 *      stand; a pattern with %u is passed over when there is no username;
 *   5. refused.
 * A line covers a topic that begins with $ only if the line itself does.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/macros.h"
#include "core/acl.h"
#include <noctule/slice.h>

struct noc_acl_builder;

enum noc_acl_who {
    NOC_ACL_ANONYMOUS = 1, /* clients without a username */
    NOC_ACL_USER,          /* the named user */
    NOC_ACL_PATTERN        /* everybody; %c and %u stand for client id and username */
};

struct noc_acl_options {
    uint64_t seed;    /* for the table of users, drawn at start */
    uint64_t version; /* what noc_acl_version() says: never 0, never the same twice in a process */
    bool deny_slash;  /* step 3 also refuses names with '/', which would add levels once put in */
};

/* NULL: out of memory. */
struct noc_acl_builder *noc_acl_builder_new(const struct noc_acl_options *options);

void noc_acl_builder_free(struct noc_acl_builder *builder); /* NULL is fine */

/*
 * Add a line. user is looked at for NOC_ACL_USER only; access is
 * NOC_ACCESS_READ, NOC_ACCESS_WRITE, both or'ed, or NOC_ACCESS_DENY alone.
 * Everything is copied. NOC_EINVAL: not a filter (for a pattern: also after
 * putting plain text in for %c and %u), or not such an access; NOC_EFULL: four
 * GiB of text; NOC_ENOMEM. After an error the builder is as before.
 */
NOC_MUST_CHECK int noc_acl_builder_add(struct noc_acl_builder *builder, enum noc_acl_who who,
    struct noc_slice user, unsigned access, struct noc_slice filter);

/*
 * The finished object, with one reference, out of the builder, which is freed
 * by this. Without a line the object allows nothing.
 */
struct noc_acl *noc_acl_builder_build(struct noc_acl_builder *take_builder);

#endif
