/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_AUTH_TEXT_FILE_H
#define NOC_AUTH_TEXT_FILE_H
/*
 * Reading a credential file whole, and walking its lines. Links are followed
 * (Kubernetes mounts a Secret as two of them); owner and mode don't matter,
 * but for who else may write the file.
 */

#include <stdbool.h>
#include <stdint.h>

#include "auth/report.h"
#include "base/macros.h"
#include <noctule/slice.h>

#define NOC_TEXT_FILE_MAX_BYTES ((size_t)256 << 20)

struct noc_text_file_options {
    size_t max_bytes; /* 0: NOC_TEXT_FILE_MAX_BYTES */
    bool is_secret;   /* warn when others may read it, unless it lives in memory only (tmpfs) */
    bool refuse_foreign_write; /* others may write it or its folder: refuse rather than warn */
};

/*
 * Read the file into memory of the caller's, to be given back by
 * noc_text_file_free(). Errors: NOC_ENOENT, NOC_EDENIED, NOC_ETOOLARGE,
 * NOC_EINVAL (not a plain file), NOC_EIO, NOC_ENOMEM; report->error says why.
 */
NOC_MUST_CHECK int noc_text_file_read(const char *path, const struct noc_text_file_options *options,
    struct noc_report *report, struct noc_slice *ret_text);

/* Overwrites the text before it lets it go. An absent slice is fine. */
void noc_text_file_free(struct noc_slice text);

struct noc_text_lines {
    struct noc_slice rest;
    size_t number;   /* of the line that was handed out last, from 1 */
    bool has_ending; /* did that line end with a line feed? */
};

/* From the start; a UTF-8 byte order mark is skipped. */
void noc_text_lines_init(struct noc_text_lines *lines, struct noc_slice text);

/* The next line without its line feed and without white space at its end. False: no more. */
bool noc_text_lines_next(struct noc_text_lines *lines, struct noc_slice *ret_line);

/* Is it UTF-16, as some editors save? No line of it would make sense. */
bool noc_text_is_utf16(struct noc_slice text);

/* Without white space at either end. */
struct noc_slice noc_text_trim(struct noc_slice text);

#endif
