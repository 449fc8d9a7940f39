/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_AUTH_ACL_FILE_H
#define NOC_AUTH_ACL_FILE_H
/*
 * Mosquitto's acl_file, read into a struct noc_acl:
 *
 *   topic [read|write|readwrite|deny] FILTER     for the user above, or for
 *                                                clients without a username
 *   user NAME                                    whom the next topic lines are for
 *   pattern [read|write|readwrite|deny] FILTER   for everybody; %c client id, %u user
 *   # in the first column: a comment
 *
 * Words are separated by spaces; a FILTER or NAME runs to the end of the line.
 * Any other line is an error, and then nothing of the file is used.
 */

#include "auth/report.h"
#include "base/macros.h"
#include "core/acl.h"
#include "core/acl_build.h"
#include <noctule/slice.h>

struct noc_acl_file_options {
    struct noc_acl_options acl;
    bool refuse_foreign_write; /* see text_file.h */
};

/*
 * Errors: those of noc_text_file_read(), NOC_EMALFORMED, NOC_ENOMEM;
 * report->error then holds file, line, cause and remedy.
 */
NOC_MUST_CHECK int noc_acl_file_load(const char *path, const struct noc_acl_file_options *options,
    struct noc_report *report, struct noc_acl **ret_acl);

/* The same from memory; name is what the report calls it. */
NOC_MUST_CHECK int noc_acl_file_parse(struct noc_slice text, const char *name,
    const struct noc_acl_file_options *options, struct noc_report *report,
    struct noc_acl **ret_acl);

#endif
