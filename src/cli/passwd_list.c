/* SPDX-License-Identifier: Apache-2.0 */
/* `noctule passwd list` and `check`: what a password file says, and what is wrong with it. */
#define _GNU_SOURCE
#include "cli/passwd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "auth/password_file.h"
#include "auth/text_file.h"
#include "base/utf8.h"
#include "cli/passwd_ask.h"
#include <noctule/error.h>

enum { KIND_WIDTH = 14, STRENGTH_SIZE = 64 };

static void warn(void *context, const char *text)
{
    (void)context;
    fprintf(stderr, "noctule passwd: %s\n", text);
}

/* The text of a file, who may write it and who may read it apart. False: has said why. */
static bool read_file(const char *path, struct noc_slice *ret_text)
{
    static const struct noc_text_file_options secret = {.is_secret = true};
    struct noc_report report = {.warn = warn};

    if (noc_text_file_read(path, &secret, &report, ret_text) < 0) {
        fprintf(stderr, "noctule passwd: %s\n", report.error);
        return false;
    }
    if (noc_text_is_utf16(*ret_text)) {
        fprintf(stderr, "noctule passwd: %s: is UTF-16 text (remedy: save it as UTF-8)\n", path);
        noc_text_file_free(*ret_text);
        return false;
    }
    return true;
}

/* ---- list ---- */

/* "210000 iterations" and the like. */
static void describe_strength(const struct noc_password_cost *cost, char text[STRENGTH_SIZE])
{
    switch (cost->scheme) {
    case NOC_PASSWORD_PBKDF2:
        (void)snprintf(
            text, STRENGTH_SIZE, "%u iteration%s", cost->rounds, cost->rounds == 1 ? "" : "s");
        return;
    case NOC_PASSWORD_ARGON2ID:
        (void)snprintf(
            text, STRENGTH_SIZE, "%u KiB, t=%u, p=%u", cost->memory_kib, cost->rounds, cost->lanes);
        return;
    case NOC_PASSWORD_SHA512:
    case NOC_PASSWORD_NONE:
        break;
    }
    (void)snprintf(text, STRENGTH_SIZE, "one round");
}

static bool is_advised(const struct noc_password_cost *cost)
{
    return cost->scheme == NOC_PASSWORD_ARGON2ID ||
           (cost->scheme == NOC_PASSWORD_PBKDF2 && cost->rounds >= NOC_PASSWORD_ROUNDS_ADVISED);
}

/* Control characters must not reach a terminal. */
static void print_name(struct noc_slice name)
{
    for (size_t i = 0; i < name.n; i++) {
        unsigned char byte = (unsigned char)name.at[i];

        if (byte < 0x20 || byte == 0x7f) {
            printf("\\x%02x", byte);
        } else {
            (void)putchar(byte);
        }
    }
}

static void print_json_string(struct noc_slice text)
{
    bool is_utf8 = noc_utf8_is_valid(text);

    (void)putchar('"');
    for (size_t i = 0; i < text.n; i++) {
        unsigned char byte = (unsigned char)text.at[i];

        if (byte == '"' || byte == '\\') {
            printf("\\%c", byte);
        } else if (byte < 0x20 || byte == 0x7f || (byte >= 0x80 && !is_utf8)) {
            printf("\\u%04x", byte);
        } else {
            (void)putchar(byte);
        }
    }
    (void)putchar('"');
}

struct row {
    size_t line;
    struct noc_slice name;
    struct noc_password_hash hash;
    const char *cause; /* NULL: a line that lets somebody in */
};

/* The next line that is no comment. */
static bool next_row(struct noc_text_lines *lines, struct row *ret_row)
{
    struct noc_slice text;
    struct noc_password_line line;

    while (noc_text_lines_next(lines, &text)) {
        if (!noc_password_line_read(text, &line)) {
            continue;
        }
        *ret_row = (struct row){.line = lines->number, .name = line.name, .cause = line.cause};
        if (line.cause == NULL &&
            noc_password_hash_parse(line.hash, &ret_row->hash, &line.cause) < 0) {
            ret_row->cause = line.cause;
        }
        return true;
    }
    return false;
}

static void print_row(const struct row *row)
{
    char strength[STRENGTH_SIZE];

    printf("%6zu  ", row->line);
    if (row->cause != NULL) {
        printf("%-*s  %s", KIND_WIDTH, "BAD LINE", row->cause);
        if (row->name.n > 0) {
            fputs(": ", stdout);
            print_name(row->name);
        }
        (void)putchar('\n');
        return;
    }
    describe_strength(&row->hash.cost, strength);
    printf("%-*s  %-22s  %-4s  ", KIND_WIDTH, noc_passwd_scheme_name(row->hash.cost.scheme),
        strength, is_advised(&row->hash.cost) ? "good" : "weak");
    print_name(row->name);
    (void)putchar('\n');
}

static void print_table(struct noc_slice text)
{
    struct noc_text_lines lines;
    struct row row;

    printf("%6s  %-*s  %-22s  %-4s  %s\n", "line", KIND_WIDTH, "kind", "strength", "is", "user");
    noc_text_lines_init(&lines, text);
    while (next_row(&lines, &row)) {
        print_row(&row);
    }
}

static void print_json_user(const struct row *row)
{
    const struct noc_password_cost *cost = &row->hash.cost;

    printf("{\"line\":%zu,\"user\":", row->line);
    print_json_string(row->name);
    printf(",\"kind\":\"%s\"", noc_passwd_scheme_name(cost->scheme));
    if (cost->scheme == NOC_PASSWORD_ARGON2ID) {
        printf(",\"memory_kib\":%u,\"passes\":%u,\"lanes\":%u", cost->memory_kib, cost->rounds,
            cost->lanes);
    } else {
        printf(",\"iterations\":%u", cost->rounds);
    }
    printf(",\"salt_bytes\":%u,\"weak\":%s}", (unsigned)row->hash.salt_n,
        is_advised(cost) ? "false" : "true");
}

static void print_json_bad(const struct row *row)
{
    printf("{\"line\":%zu,\"user\":", row->line);
    if (row->name.n > 0) {
        print_json_string(row->name);
    } else {
        fputs("null", stdout);
    }
    fputs(",\"cause\":", stdout);
    print_json_string(noc_slice_of(row->cause));
    (void)putchar('}');
}

/* One of the two arrays. */
static void print_json_rows(
    struct noc_slice text, bool wants_bad, void (*print)(const struct row *row))
{
    struct noc_text_lines lines;
    struct row row;
    const char *between = "";

    noc_text_lines_init(&lines, text);
    while (next_row(&lines, &row)) {
        if ((row.cause != NULL) == wants_bad) {
            fputs(between, stdout);
            print(&row);
            between = ",";
        }
    }
}

int noc_passwd_list(const char *path, bool as_json)
{
    struct noc_slice text;

    if (!read_file(path, &text)) {
        return NOC_PASSWD_TROUBLE;
    }
    if (as_json) {
        fputs("{\"users\":[", stdout);
        print_json_rows(text, false, print_json_user);
        fputs("],\"bad_lines\":[", stdout);
        print_json_rows(text, true, print_json_bad);
        fputs("]}\n", stdout);
    } else {
        print_table(text);
    }
    noc_text_file_free(text);
    return NOC_PASSWD_YES;
}

/* ---- check ---- */

/* As the broker does at its start. NULL: has said why. */
static struct noc_passwords *load(const char *path, unsigned *ret_warnings)
{
    struct noc_passwords_options options = {.is_strict = false};
    struct noc_report report = {.warn = warn};
    struct noc_passwords *passwords = NULL;
    struct noc_slice text;

    if (!read_file(path, &text)) {
        return NULL;
    }
    if (getrandom(&options.seed, sizeof options.seed, 0) != sizeof options.seed) {
        options.seed = 0;
    }
    if (noc_passwords_parse(text, path, &options, &report, &passwords) < 0) {
        fprintf(stderr, "noctule passwd: %s\n", report.error);
        passwords = NULL;
    } else if (report.warnings > NOC_REPORT_WARNINGS_MAX) {
        fprintf(stderr, "noctule passwd: %s: and %u bad lines more\n", path,
            report.warnings - NOC_REPORT_WARNINGS_MAX);
    }
    noc_text_file_free(text);
    *ret_warnings = report.warnings;
    return passwords;
}

int noc_passwd_check_file(const char *path)
{
    unsigned warnings = 0;
    struct noc_passwords *passwords = load(path, &warnings);

    if (passwords == NULL) {
        return NOC_PASSWD_TROUBLE;
    }
    printf("%s: %zu %s, %s\n", path, noc_passwords_count(passwords),
        noc_passwords_count(passwords) == 1 ? "user" : "users",
        warnings == 0 ? "sound" : "not sound");
    noc_passwords_unref(passwords);
    return warnings == 0 ? NOC_PASSWD_YES : NOC_PASSWD_NO;
}

static int verify(const struct noc_passwords *passwords, const char *user, const char *argument)
{
    struct noc_ask_password *password = malloc(sizeof *password);
    int status = NOC_PASSWD_TROUBLE, err;

    if (password == NULL) {
        fputs("noctule passwd: out of memory\n", stderr);
        return status;
    }
    if (noc_passwd_take_password(argument, false, password)) {
        err = noc_passwords_check(
            passwords, noc_slice_of(user), noc_slice(password->bytes, password->n), NULL);
        if (err == NOC_OK) {
            printf("the password of '%s' is right\n", user);
            status = NOC_PASSWD_YES;
        } else if (err == NOC_EDENIED) {
            fprintf(stderr, "noctule passwd: this is not the password of '%s'\n", user);
            status = NOC_PASSWD_NO;
        } else {
            fprintf(stderr, "noctule passwd: cannot check: %s\n", noc_error_text(err));
        }
    }
    explicit_bzero(password, sizeof *password);
    free(password);
    return status;
}

int noc_passwd_check_user(const char *path, const char *user, const char *argument)
{
    uint8_t digest[NOC_LINE_DIGEST_BYTES];
    unsigned warnings = 0;
    struct noc_passwords *passwords = load(path, &warnings);
    int status;

    if (passwords == NULL) {
        return NOC_PASSWD_TROUBLE;
    }
    if (noc_passwords_line_digest(passwords, noc_slice_of(user), digest) < 0) {
        fprintf(stderr, "noctule passwd: %s: there is no user '%s'\n", path, user);
        status = NOC_PASSWD_NO;
    } else {
        status = verify(passwords, user, argument);
    }
    noc_passwords_unref(passwords);
    return status;
}
