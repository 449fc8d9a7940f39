/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_AUTH_PASSWORD_FILE_H
#define NOC_AUTH_PASSWORD_FILE_H
/*
 * A password file (lines USER:HASH, see password_hash.h) as an immutable table,
 * built whole and shared by an atomic reference count. Blank lines, comments
 * (# in the first column), CRLF and a missing last line end are fine. A user
 * that comes twice: the last line counts, with a warning. A line without ':' is
 * skipped with a warning, as Mosquitto does.
 *
 * All functions on a finished table: any thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "auth/password_hash.h"
#include "auth/report.h"
#include "base/macros.h"
#include <noctule/slice.h>

enum { NOC_LINE_DIGEST_BYTES = 16 };

struct noc_passwords;

struct noc_passwords_options {
    uint64_t seed; /* for the table, drawn at start */
    /*
     * A line whose hash can't be read. Not strict (at start): a warning, and
     * that user is refused, as Mosquitto 2.0 does. Strict (on reload): the file
     * is refused, so that the table in force stays; then a line without ':' is
     * refused too, since its user would go: without a line end either, the file was caught
     * half-written.
     */
    bool is_strict;
    bool refuse_foreign_write; /* see text_file.h */
};

/* What a line of the file says, whether or not its hash is a good one. */
struct noc_password_line {
    struct noc_slice name, hash; /* in the line; hash may be empty, or no hash at all */
    const char *cause;           /* why it is no user's line (a static text), or NULL */
};

/*
 * Read a line as noc_text_lines_next() hands it out. False: blank, or a comment. The slices
 * are part of the line. Pure.
 */
bool noc_password_line_read(struct noc_slice line, struct noc_password_line *ret_line);

/*
 * Read a file. Errors: those of noc_text_file_read(), NOC_EMALFORMED,
 * NOC_ENOMEM; report->error then holds file, line and cause.
 */
NOC_MUST_CHECK int noc_passwords_load(const char *path, const struct noc_passwords_options *options,
    struct noc_report *report, struct noc_passwords **ret_passwords);

/* The same from memory; name is what the report calls it. */
NOC_MUST_CHECK int noc_passwords_parse(struct noc_slice text, const char *name,
    const struct noc_passwords_options *options, struct noc_report *report,
    struct noc_passwords **ret_passwords);

struct noc_passwords *noc_passwords_ref(struct noc_passwords *passwords); /* NULL stays NULL */
void noc_passwords_unref(struct noc_passwords *passwords);                /* NULL is fine */

/* Users, those included whose hash can't be read. */
size_t noc_passwords_count(const struct noc_passwords *passwords);

/*
 * Is this the user's password? NOC_OK, NOC_EDENIED, or NOC_ENOMEM when it could
 * not be computed. An absent or empty password is refused, as Mosquitto does.
 * A user that isn't there, or can't log in, costs as much as the most frequent
 * kind of line in the file does. *ret_cost (may be NULL) is always written: what
 * was computed. Slow: never on a worker.
 */
NOC_MUST_CHECK int noc_passwords_check(const struct noc_passwords *passwords,
    struct noc_slice username, struct noc_slice password, struct noc_password_cost *ret_cost);

/*
 * The user's hash, for SCRAM, if it is of the kind $7$, and the digest of its
 * line. NOC_ENOENT: nobody of that name, or another kind of hash. ret_digest is
 * then all zero, and ret_hash has the form of the most frequent kind in the
 * file, without salt and digest. Overwrite ret_hash after use.
 */
NOC_MUST_CHECK int noc_passwords_find_pbkdf2(const struct noc_passwords *passwords,
    struct noc_slice username, struct noc_password_hash *ret_hash,
    uint8_t ret_digest[NOC_LINE_DIGEST_BYTES]);

/*
 * A digest of the user's hash: it changes when, and only when, the entry does.
 * NOC_ENOENT: no such user, and ret_digest is all zero.
 */
int noc_passwords_line_digest(const struct noc_passwords *passwords, struct noc_slice username,
    uint8_t ret_digest[NOC_LINE_DIGEST_BYTES]);

#endif
