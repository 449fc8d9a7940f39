/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/acl_file.h"

#include "auth/text_file.h"
#include <noctule/error.h>

enum { SHOWN_MAX = 100 };

/* For "%.*s": so much of a text of the file as fits a message. */
#define SHOWN(text) (int)((text).n < SHOWN_MAX ? (text).n : SHOWN_MAX), (text).at

struct reader {
    const char *name; /* of the file */
    struct noc_report *report;
    struct noc_acl_builder *builder;
    enum noc_acl_who who;  /* whom topic lines are for at present */
    struct noc_slice user; /* with NOC_ACL_USER */
};

static struct noc_slice skip_spaces(struct noc_slice text)
{
    while (text.n > 0 && text.at[0] == ' ') {
        text = noc_slice(text.at + 1, text.n - 1);
    }
    return text;
}

/* The word before the next space; *rest is what follows it, without spaces in front. */
static struct noc_slice take_word(struct noc_slice *rest)
{
    struct noc_slice word = skip_spaces(*rest);
    const char *space = word.n == 0 ? NULL : memchr(word.at, ' ', word.n);
    size_t n = space == NULL ? word.n : (size_t)(space - word.at);

    *rest = skip_spaces(noc_slice(word.at + n, word.n - n));
    return noc_slice(word.at, n);
}

static bool is_word(struct noc_slice word, const char *text)
{
    return noc_slice_equal(word, noc_slice_of(text));
}

/* 0: no such word. */
static unsigned access_of(struct noc_slice word)
{
    if (is_word(word, "read")) {
        return NOC_ACCESS_READ;
    }
    if (is_word(word, "write")) {
        return NOC_ACCESS_WRITE;
    }
    if (is_word(word, "readwrite")) {
        return NOC_ACCESS_READ | NOC_ACCESS_WRITE;
    }
    return is_word(word, "deny") ? NOC_ACCESS_DENY : 0;
}

static bool has_text(struct noc_slice text, const char *part)
{
    struct noc_slice wanted = noc_slice_of(part);

    for (size_t i = 0; i + wanted.n <= text.n; i++) {
        if (memcmp(text.at + i, wanted.at, wanted.n) == 0) {
            return true;
        }
    }
    return false;
}

/* "[ACCESS] FILTER" of a topic or pattern line. */
static int read_rule(
    const struct reader *reader, size_t line, enum noc_acl_who who, struct noc_slice rest)
{
    struct noc_slice filter = rest;
    struct noc_slice word = take_word(&rest);
    unsigned access = NOC_ACCESS_READ | NOC_ACCESS_WRITE;
    int err;

    if (word.n == 0) {
        noc_report_fail(reader->report, reader->name, line, "the topic is missing");
        return NOC_EMALFORMED;
    }
    /* One word alone is the topic, even if it reads like an access. */
    if (rest.n > 0) {
        access = access_of(word);
        filter = rest;
    }
    if (access == 0) {
        noc_report_fail(reader->report, reader->name, line,
            "'%.*s' is not read, write, readwrite or deny (remedy: a topic with spaces needs one "
            "of these words before it)",
            SHOWN(word));
        return NOC_EMALFORMED;
    }
    if (who == NOC_ACL_PATTERN && !has_text(filter, "%c") && !has_text(filter, "%u")) {
        noc_report_warn(reader->report, reader->name, line,
            "the pattern '%.*s' has neither %%c nor %%u: it is the same for every client",
            SHOWN(filter));
    }
    err = noc_acl_builder_add(reader->builder, who, reader->user, access, filter);
    if (err == NOC_EINVAL) {
        noc_report_fail(reader->report, reader->name, line,
            "'%.*s' is not a topic filter (remedy: + and # stand alone between slashes, # only at "
            "the end)",
            SHOWN(filter));
        return NOC_EMALFORMED;
    }
    if (err < 0) {
        noc_report_fail(reader->report, reader->name, line, "%s", noc_error_text(err));
    }
    return err;
}

static int read_user(struct reader *reader, size_t line, struct noc_slice name)
{
    if (name.n == 0) {
        noc_report_fail(reader->report, reader->name, line, "the name of the user is missing");
        return NOC_EMALFORMED;
    }
    reader->who = NOC_ACL_USER;
    reader->user = name;
    return NOC_OK;
}

static int read_line(struct reader *reader, size_t number, struct noc_slice line)
{
    struct noc_slice rest = line;
    struct noc_slice keyword;

    if (line.n == 0 || line.at[0] == '#') {
        return NOC_OK;
    }
    if (memchr(line.at, '\0', line.n) != NULL) {
        noc_report_fail(reader->report, reader->name, number, "there is a zero byte in this line");
        return NOC_EMALFORMED;
    }
    keyword = take_word(&rest);
    if (is_word(keyword, "topic")) {
        return read_rule(reader, number, reader->who, rest);
    }
    if (is_word(keyword, "pattern")) {
        return read_rule(reader, number, NOC_ACL_PATTERN, rest);
    }
    if (is_word(keyword, "user")) {
        return read_user(reader, number, rest);
    }
    noc_report_fail(reader->report, reader->name, number,
        "'%.*s' is not topic, user or pattern (remedy: %s)", SHOWN(keyword),
        has_text(keyword, "\t")  ? "separate words by spaces, not tabs"
        : has_text(keyword, "#") ? "a comment begins in the first column"
                                 : "correct the word, or begin the line with #");
    return NOC_EMALFORMED;
}

int noc_acl_file_parse(struct noc_slice text, const char *name,
    const struct noc_acl_file_options *options, struct noc_report *report, struct noc_acl **ret_acl)
{
    struct reader reader = {.name = name, .report = report, .who = NOC_ACL_ANONYMOUS};
    struct noc_text_lines lines;
    struct noc_slice line;
    int err = NOC_OK;

    if (noc_text_is_utf16(text)) {
        noc_report_fail(report, name, 0, "is UTF-16 text (remedy: save it as UTF-8)");
        return NOC_EMALFORMED;
    }
    reader.builder = noc_acl_builder_new(&options->acl);
    if (reader.builder == NULL) {
        noc_report_fail(report, name, 0, "out of memory");
        return NOC_ENOMEM;
    }
    noc_text_lines_init(&lines, text);
    while (err == NOC_OK && noc_text_lines_next(&lines, &line)) {
        err = read_line(&reader, lines.number, line);
    }
    if (err < 0) {
        noc_acl_builder_free(reader.builder);
        return err;
    }
    *ret_acl = noc_acl_builder_build(reader.builder);
    return NOC_OK;
}

int noc_acl_file_load(const char *path, const struct noc_acl_file_options *options,
    struct noc_report *report, struct noc_acl **ret_acl)
{
    struct noc_text_file_options reading = {.refuse_foreign_write = options->refuse_foreign_write};
    struct noc_slice text;
    int err = noc_text_file_read(path, &reading, report, &text);

    if (err < 0) {
        return err;
    }
    err = noc_acl_file_parse(text, path, options, report, ret_acl);
    noc_text_file_free(text);
    return err;
}
