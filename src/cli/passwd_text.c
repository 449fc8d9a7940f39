/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "cli/passwd_text.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "auth/password_file.h"
#include "auth/text_file.h"
#include "base/utf8.h"
#include <noctule/error.h>

enum { NAME_MAX_BYTES = 65535 };

/* The new text, as it grows; every write that fails shows in the stream's state at the end. */
struct writer {
    FILE *stream;
    bool has_ending; /* what was written last ended with a line feed, or nothing was */
};

static void copy(struct writer *writer, struct noc_slice bytes)
{
    if (bytes.n > 0) {
        (void)fwrite(bytes.at, 1, bytes.n, writer->stream);
        writer->has_ending = bytes.at[bytes.n - 1] == '\n';
    }
}

static void write_line(struct writer *writer, struct noc_slice user, struct noc_slice hash)
{
    if (!writer->has_ending) {
        copy(writer, noc_slice_of("\n"));
    }
    copy(writer, user);
    copy(writer, noc_slice_of(":"));
    copy(writer, hash);
    copy(writer, noc_slice_of("\n"));
}

static bool is_hashed(struct noc_slice text)
{
    static const char *const marks[] = {"$6$", "$7$", "$argon2id$"};

    for (size_t i = 0; i < NOC_COUNT(marks); i++) {
        if (noc_slice_has_prefix(text, noc_slice_of(marks[i]))) {
            return true;
        }
    }
    return false;
}

/* The user's first line is replaced, any further one dropped: the last would count. */
static void set_or_delete(struct writer *writer, const struct noc_passwd_change *change,
    struct noc_slice raw, const struct noc_password_line *line, size_t *lines)
{
    if (!noc_slice_equal(line->name, change->user)) {
        copy(writer, raw);
        return;
    }
    if (change->action == NOC_PASSWD_SET && *lines == 0) {
        write_line(writer, change->user, change->hash);
    }
    (*lines)++;
}

static int hash_plain(struct writer *writer, const struct noc_password_recipe *recipe,
    struct noc_slice raw, struct noc_password_line *line, size_t *lines)
{
    char hash[NOC_PASSWORD_TEXT_MAX];
    int err;

    if (is_hashed(line->hash)) {
        copy(writer, raw);
        return NOC_OK;
    }
    if (line->hash.n == 0) {
        line->cause = "there is no password behind the ':'";
        return NOC_EMALFORMED;
    }
    err = noc_password_hash_make(line->hash, recipe, hash);
    if (err == NOC_OK) {
        write_line(writer, line->name, noc_slice_of(hash));
        (*lines)++;
    }
    return err;
}

/* raw is the line with its line feed. */
static int change_line(struct writer *writer, const struct noc_passwd_change *change,
    struct noc_slice raw, struct noc_password_line *line, size_t *lines)
{
    if (line->cause != NULL) {
        return NOC_EMALFORMED;
    }
    if (change->action == NOC_PASSWD_HASH_PLAIN) {
        return hash_plain(writer, change->recipe, raw, line, lines);
    }
    set_or_delete(writer, change, raw, line, lines);
    return NOC_OK;
}

static int change_lines(struct writer *writer, struct noc_slice text,
    const struct noc_passwd_change *change, struct noc_passwd_fault *ret_fault, size_t *ret_count)
{
    struct noc_text_lines lines;
    struct noc_slice trimmed;
    int err = NOC_OK;

    noc_text_lines_init(&lines, text);
    copy(writer, noc_slice(text.at, text.n - lines.rest.n)); /* a byte order mark */
    writer->has_ending = true;
    while (err == NOC_OK) {
        struct noc_password_line line;
        struct noc_slice raw = lines.rest;

        if (!noc_text_lines_next(&lines, &trimmed)) {
            break;
        }
        raw.n -= lines.rest.n;
        if (!noc_password_line_read(trimmed, &line)) {
            copy(writer, raw);
            continue;
        }
        err = change_line(writer, change, raw, &line, ret_count);
        if (err == NOC_EMALFORMED) {
            *ret_fault = (struct noc_passwd_fault){lines.number, line.cause};
        }
    }
    if (err == NOC_OK && change->action == NOC_PASSWD_SET && *ret_count == 0) {
        write_line(writer, change->user, change->hash);
    }
    return err;
}

int noc_passwd_text_change(struct noc_slice text, const struct noc_passwd_change *change,
    struct noc_passwd_fault *ret_fault, struct noc_passwd_changed *ret_changed)
{
    char *bytes = NULL;
    size_t n = 0, count = 0;
    struct writer writer = {.has_ending = true};
    int err;

    if (noc_text_is_utf16(text)) {
        *ret_fault = (struct noc_passwd_fault){0, "this is UTF-16 text"};
        return NOC_EMALFORMED;
    }
    writer.stream = open_memstream(&bytes, &n);
    if (writer.stream == NULL) {
        return NOC_ENOMEM;
    }
    err = change_lines(&writer, text, change, ret_fault, &count);
    if (err == NOC_OK && ferror(writer.stream) != 0) {
        err = NOC_ENOMEM;
    }
    if (fclose(writer.stream) != 0 && err == NOC_OK) {
        err = NOC_ENOMEM;
    }
    if (err < 0) {
        noc_text_file_free(noc_slice(bytes, n));
        return err;
    }
    *ret_changed = (struct noc_passwd_changed){noc_slice(bytes, n), count};
    return NOC_OK;
}

const char *noc_passwd_name_fault(struct noc_slice name)
{
    if (name.n == 0) {
        return "it is empty";
    }
    if (name.n > NAME_MAX_BYTES) {
        return "it is longer than 65535 bytes";
    }
    for (size_t i = 0; i < name.n; i++) {
        if (iscntrl((unsigned char)name.at[i])) {
            return "it has a control character";
        }
    }
    if (memchr(name.at, ':', name.n) != NULL) {
        return "it has a ':', which ends the name in the file";
    }
    if (!noc_utf8_is_valid(name)) {
        return "it is not UTF-8, as MQTT's names are";
    }
    if (name.at[0] == '#') {
        return "its '#' would make the line a comment";
    }
    if (name.at[0] == ' ' || name.at[name.n - 1] == ' ') {
        return "the broker would take it without the blanks around it";
    }
    return NULL;
}
