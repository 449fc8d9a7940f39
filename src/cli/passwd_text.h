/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CLI_PASSWD_TEXT_H
#define NOC_CLI_PASSWD_TEXT_H
/*
 * One change to the text of a password file. What the change does not touch stays as it is,
 * byte by byte: comments, blank lines, odd spacing, line ends. Pure but for the salts.
 */

#include "auth/password_hash.h"
#include "base/macros.h"
#include <noctule/slice.h>

enum noc_passwd_action {
    NOC_PASSWD_SET,       /* the user's line, in its place, or behind the last */
    NOC_PASSWD_DELETE,    /* all lines of the user */
    NOC_PASSWD_HASH_PLAIN /* every plain password; hashes stay */
};

struct noc_passwd_change {
    enum noc_passwd_action action;
    struct noc_slice user;                    /* SET, DELETE */
    struct noc_slice hash;                    /* SET */
    const struct noc_password_recipe *recipe; /* HASH_PLAIN */
};

struct noc_passwd_changed {
    struct noc_slice text; /* new, for noc_text_file_free() */
    size_t lines;          /* that were there and were replaced, deleted or hashed */
};

/* Where a text is no password file. */
struct noc_passwd_fault {
    size_t line;       /* 0: all of it */
    const char *cause; /* a static text */
};

/*
 * Make the changed text. NOC_EMALFORMED: a line is no user's, and *ret_fault says which and why:
 * somebody's notes, or another kind of file. Lines of a user that is set or deleted, and lines
 * whose hash can't be read, are no fault. NOC_ENOMEM; NOC_EIO: could not be hashed.
 */
NOC_MUST_CHECK int noc_passwd_text_change(struct noc_slice text,
    const struct noc_passwd_change *change, struct noc_passwd_fault *ret_fault,
    struct noc_passwd_changed *ret_changed);

/*
 * Why no line may be made for a user of this name, or NULL: it is empty, longer than MQTT's
 * strings or no UTF-8; it has a control character or a ':'; the broker would take the line for a comment
 * ('#' first) or drop the blanks around the name.
 */
const char *noc_passwd_name_fault(struct noc_slice name);

#endif
