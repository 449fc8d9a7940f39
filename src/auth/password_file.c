/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries lie in one array, their bytes (name, salt, digest) behind one another
 * in an arena, found through an open-addressing table of indices:
 *
 *   slots[] -> entries[] -> bytes: name | salt | digest
 *
 * About 150 bytes a user. The table is filled before anybody else sees it and
 * never changes afterwards.
 */
#include "auth/password_file.h"

#include <openssl/evp.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "auth/text_file.h"
#include "base/hash.h"
#include <noctule/error.h>

enum { FIRST_ENTRIES = 16, KINDS_MAX = 16, NAME_MAX_BYTES = 65535, NAME_SHOWN = 64 };

struct entry {
    uint64_t hash; /* of the name */
    size_t at;     /* in the arena */
    uint16_t name_n;
    uint8_t salt_n, digest_n;
    struct noc_password_cost cost; /* scheme NOC_PASSWORD_NONE: can't log in */
    uint8_t line_digest[NOC_LINE_DIGEST_BYTES];
};

struct noc_passwords {
    atomic_uint references;
    uint64_t seed;
    struct entry *entries;
    size_t entries_n, entries_capacity;
    uint32_t *slots; /* index + 1 of the entry; 0 is free */
    size_t slots_n;  /* 0 or a power of two, at most half of it taken */
    uint8_t *bytes;
    size_t bytes_n, bytes_capacity;
    struct noc_password_hash stranger; /* what an unknown user is checked against */
};

/* --- finding ------------------------------------------------------------ */

static struct noc_slice name_of(const struct noc_passwords *passwords, const struct entry *entry)
{
    return noc_slice(passwords->bytes + entry->at, entry->name_n);
}

/* NULL: nobody of that name. */
static struct entry *find(
    const struct noc_passwords *passwords, struct noc_slice name, uint64_t hash)
{
    size_t mask = passwords->slots_n - 1;

    if (passwords->slots_n == 0) {
        return NULL;
    }
    for (size_t i = (size_t)hash & mask; passwords->slots[i] != 0; i = (i + 1) & mask) {
        struct entry *entry = &passwords->entries[passwords->slots[i] - 1];

        if (entry->hash == hash && noc_slice_equal(name_of(passwords, entry), name)) {
            return entry;
        }
    }
    return NULL;
}

static struct entry *find_user(const struct noc_passwords *passwords, struct noc_slice username)
{
    return find(passwords, username, noc_hash(passwords->seed, username.at, username.n));
}

size_t noc_passwords_count(const struct noc_passwords *passwords)
{
    return passwords->entries_n;
}

int noc_passwords_line_digest(const struct noc_passwords *passwords, struct noc_slice username,
    uint8_t ret_digest[NOC_LINE_DIGEST_BYTES])
{
    const struct entry *entry = find_user(passwords, username);

    if (entry == NULL) {
        memset(ret_digest, 0, NOC_LINE_DIGEST_BYTES);
        return NOC_ENOENT;
    }
    memcpy(ret_digest, entry->line_digest, NOC_LINE_DIGEST_BYTES);
    return NOC_OK;
}

static struct noc_password_hash unpack(
    const struct noc_passwords *passwords, const struct entry *entry)
{
    struct noc_password_hash hash = {
        .cost = entry->cost, .salt_n = entry->salt_n, .digest_n = entry->digest_n};
    const uint8_t *bytes = passwords->bytes + entry->at + entry->name_n;

    memcpy(hash.salt, bytes, hash.salt_n);
    memcpy(hash.digest, bytes + hash.salt_n, hash.digest_n);
    return hash;
}

int noc_passwords_check(const struct noc_passwords *passwords, struct noc_slice username,
    struct noc_slice password, struct noc_password_cost *ret_cost)
{
    static const struct noc_password_cost no_cost = {.rounds = 0};
    const struct entry *entry = find_user(passwords, username);
    bool can_log_in = entry != NULL && entry->cost.scheme != NOC_PASSWORD_NONE;
    struct noc_password_hash hash = can_log_in ? unpack(passwords, entry) : passwords->stranger;
    int err;

    if (ret_cost != NULL) {
        *ret_cost = password.n == 0 ? no_cost : hash.cost;
    }
    if (password.n == 0) {
        return NOC_EDENIED;
    }
    err = noc_password_hash_verify(&hash, password);
    /* Nobody may guess the stranger's hash right, unlikely as it is. */
    return err == NOC_OK && !can_log_in ? NOC_EDENIED : err;
}

int noc_passwords_find_pbkdf2(const struct noc_passwords *passwords, struct noc_slice username,
    struct noc_password_hash *ret_hash, uint8_t ret_digest[NOC_LINE_DIGEST_BYTES])
{
    const struct entry *entry = find_user(passwords, username);

    if (entry == NULL || entry->cost.scheme != NOC_PASSWORD_PBKDF2) {
        memset(ret_digest, 0, NOC_LINE_DIGEST_BYTES);
        *ret_hash = passwords->stranger;
        return NOC_ENOENT;
    }
    memcpy(ret_digest, entry->line_digest, NOC_LINE_DIGEST_BYTES);
    *ret_hash = unpack(passwords, entry);
    return NOC_OK;
}

/* --- life --------------------------------------------------------------- */

static void passwords_free(struct noc_passwords *passwords)
{
    noc_text_file_free(noc_slice(passwords->bytes, passwords->bytes_n));
    free(passwords->entries);
    free(passwords->slots);
    free(passwords);
}

struct noc_passwords *noc_passwords_ref(struct noc_passwords *passwords)
{
    if (passwords != NULL) {
        atomic_fetch_add_explicit(&passwords->references, 1, memory_order_relaxed);
    }
    return passwords;
}

void noc_passwords_unref(struct noc_passwords *passwords)
{
    if (passwords != NULL &&
        atomic_fetch_sub_explicit(&passwords->references, 1, memory_order_acq_rel) == 1) {
        passwords_free(passwords);
    }
}

/* --- building ----------------------------------------------------------- */

static void insert_slot(struct noc_passwords *passwords, size_t index)
{
    size_t mask = passwords->slots_n - 1;
    size_t i = (size_t)passwords->entries[index].hash & mask;

    while (passwords->slots[i] != 0) {
        i = (i + 1) & mask;
    }
    passwords->slots[i] = (uint32_t)(index + 1);
}

/* Room for one more entry, and for it in a table twice the size of the array. */
static int reserve_entry(struct noc_passwords *passwords)
{
    size_t capacity =
        passwords->entries_capacity == 0 ? FIRST_ENTRIES : 2 * passwords->entries_capacity;
    struct entry *entries;
    uint32_t *slots;

    if (passwords->entries_n < passwords->entries_capacity) {
        return NOC_OK;
    }
    entries = realloc(passwords->entries, capacity * sizeof *entries);
    if (entries == NULL) {
        return NOC_ENOMEM;
    }
    passwords->entries = entries;
    slots = calloc(2 * capacity, sizeof *slots);
    if (slots == NULL) {
        return NOC_ENOMEM;
    }
    free(passwords->slots);
    passwords->slots = slots;
    passwords->slots_n = 2 * capacity;
    passwords->entries_capacity = capacity;
    for (size_t i = 0; i < passwords->entries_n; i++) {
        insert_slot(passwords, i);
    }
    return NOC_OK;
}

static int reserve_bytes(struct noc_passwords *passwords, size_t n)
{
    size_t capacity = 2 * (passwords->bytes_n + n) + 256;
    uint8_t *bytes;

    if (n <= passwords->bytes_capacity - passwords->bytes_n) {
        return NOC_OK;
    }
    bytes = realloc(passwords->bytes, capacity);
    if (bytes == NULL) {
        return NOC_ENOMEM;
    }
    passwords->bytes = bytes;
    passwords->bytes_capacity = capacity;
    return NOC_OK;
}

static void add_bytes(struct noc_passwords *passwords, const void *bytes, size_t n)
{
    if (n > 0) {
        memcpy(passwords->bytes + passwords->bytes_n, bytes, n);
    }
    passwords->bytes_n += n;
}

/* The digest of a hash as it is written. */
static int digest_text(struct noc_slice text, uint8_t ret_digest[NOC_LINE_DIGEST_BYTES])
{
    uint8_t digest[EVP_MAX_MD_SIZE];

    if (EVP_Digest(text.n == 0 ? "" : text.at, text.n, digest, NULL, EVP_sha256(), NULL) != 1) {
        return NOC_ENOMEM;
    }
    memcpy(ret_digest, digest, NOC_LINE_DIGEST_BYTES);
    return NOC_OK;
}

/* A user's line; one of the same name before it is replaced. *ret_is_new: there was none. */
static int put(struct noc_passwords *passwords, struct noc_slice name,
    const struct noc_password_hash *hash, struct noc_slice text, bool *ret_is_new)
{
    uint64_t key = noc_hash(passwords->seed, name.at, name.n);
    struct entry *entry = find(passwords, name, key);
    struct entry fresh = {.hash = key,
        .name_n = (uint16_t)name.n,
        .salt_n = hash->salt_n,
        .digest_n = hash->digest_n,
        .cost = hash->cost};

    if (digest_text(text, fresh.line_digest) < 0 ||
        reserve_bytes(passwords, name.n + hash->salt_n + hash->digest_n) < 0) {
        return NOC_ENOMEM;
    }
    *ret_is_new = entry == NULL;
    if (entry == NULL && reserve_entry(passwords) < 0) {
        return NOC_ENOMEM;
    }
    fresh.at = passwords->bytes_n;
    add_bytes(passwords, name.at, name.n);
    add_bytes(passwords, hash->salt, hash->salt_n);
    add_bytes(passwords, hash->digest, hash->digest_n);
    if (entry != NULL) {
        *entry = fresh;
        return NOC_OK;
    }
    passwords->entries[passwords->entries_n] = fresh;
    insert_slot(passwords, passwords->entries_n++);
    return NOC_OK;
}

static bool is_same_kind(const struct entry *entry, const struct noc_password_hash *kind)
{
    return entry->cost.scheme == kind->cost.scheme && entry->cost.rounds == kind->cost.rounds &&
           entry->cost.memory_kib == kind->cost.memory_kib &&
           entry->cost.lanes == kind->cost.lanes && entry->salt_n == kind->salt_n &&
           entry->digest_n == kind->digest_n;
}

/* Make the stranger's hash of the most frequent kind (among the first few kinds). */
static void choose_stranger(struct noc_passwords *passwords)
{
    struct noc_password_hash kinds[KINDS_MAX] = {0};
    size_t counts[KINDS_MAX] = {0};
    size_t kinds_n = 0, best = 0;

    for (size_t i = 0; i < passwords->entries_n; i++) {
        const struct entry *entry = &passwords->entries[i];
        size_t k = 0;

        while (k < kinds_n && !is_same_kind(entry, &kinds[k])) {
            k++;
        }
        if (entry->cost.scheme == NOC_PASSWORD_NONE || k == KINDS_MAX) {
            continue;
        }
        if (k == kinds_n) {
            kinds[kinds_n++] = (struct noc_password_hash){
                .cost = entry->cost, .salt_n = entry->salt_n, .digest_n = entry->digest_n};
        }
        counts[k]++;
        best = counts[k] > counts[best] ? k : best;
    }
    passwords->stranger = kinds[best];
}

/* --- reading ------------------------------------------------------------ */

static const char no_colon[] = "there is no ':' in this line";

struct reader {
    const char *name; /* of the file */
    bool is_strict;
    struct noc_report *report;
    struct noc_passwords *passwords;
};

static int fail_memory(const struct reader *reader, size_t line)
{
    noc_report_fail(reader->report, reader->name, line, "out of memory");
    return NOC_ENOMEM;
}

/* A line that is no entry: an error when strict, else skipped with a warning. */
static int bad_line(const struct reader *reader, size_t line, bool is_error, const char *cause)
{
    if (is_error) {
        noc_report_fail(reader->report, reader->name, line, "%s", cause);
        return NOC_EMALFORMED;
    }
    noc_report_warn(reader->report, reader->name, line, "%s; the line is skipped", cause);
    return NOC_OK;
}

static int read_entry(
    const struct reader *reader, size_t line, struct noc_slice name, struct noc_slice text)
{
    struct noc_password_hash hash = {0};
    const char *cause = NULL;
    bool is_new;
    int shown = (int)(name.n < NAME_SHOWN ? name.n : NAME_SHOWN);

    if (noc_password_hash_parse(text, &hash, &cause) < 0) {
        if (reader->is_strict) {
            noc_report_fail(
                reader->report, reader->name, line, "user '%.*s': %s", shown, name.at, cause);
            return NOC_EMALFORMED;
        }
        noc_report_warn(reader->report, reader->name, line,
            "user '%.*s' cannot log in: %s (remedy: set the password again)", shown, name.at,
            cause);
    }
    if (put(reader->passwords, name, &hash, text, &is_new) < 0) {
        return fail_memory(reader, line);
    }
    if (!is_new) {
        noc_report_warn(reader->report, reader->name, line,
            "user '%.*s' is there already; this line replaces the one before", shown, name.at);
    }
    return NOC_OK;
}

bool noc_password_line_read(struct noc_slice line, struct noc_password_line *ret_line)
{
    struct noc_password_line read = {.cause = NULL};
    const char *colon, *second;

    if (line.n == 0 || line.at[0] == '#') {
        return false;
    }
    colon = memchr(line.at, ':', line.n);
    if (colon == NULL) {
        read.cause = no_colon;
        *ret_line = read;
        return true;
    }
    read.name = noc_text_trim(noc_slice(line.at, (size_t)(colon - line.at)));
    read.hash = noc_slice(colon + 1, line.n - (size_t)(colon + 1 - line.at));
    /* Whatever follows a second colon is not looked at, as in Mosquitto. */
    second = read.hash.n == 0 ? NULL : memchr(read.hash.at, ':', read.hash.n);
    if (second != NULL) {
        read.hash.n = (size_t)(second - read.hash.at);
    }
    read.hash = noc_text_trim(read.hash);
    if (read.name.n == 0) {
        read.cause = "there is no name before the ':'";
    } else if (read.name.n > NAME_MAX_BYTES || memchr(read.name.at, '\0', read.name.n) != NULL) {
        read.cause = "no client can have such a username";
    }
    *ret_line = read;
    return true;
}

static int read_line(
    const struct reader *reader, const struct noc_text_lines *lines, struct noc_slice line)
{
    struct noc_password_line read;

    if (!noc_password_line_read(line, &read)) {
        return NOC_OK;
    }
    if (read.cause != NULL) {
        bool is_cut_off = reader->is_strict && !lines->has_ending && read.cause == no_colon;

        return bad_line(reader, lines->number, reader->is_strict,
            is_cut_off ? "the last line is cut off" : read.cause);
    }
    return read_entry(reader, lines->number, read.name, read.hash);
}

static int read_lines(const struct reader *reader, struct noc_slice text)
{
    struct noc_text_lines lines;
    struct noc_slice line;
    int err = NOC_OK;

    noc_text_lines_init(&lines, text);
    while (err == NOC_OK && noc_text_lines_next(&lines, &line)) {
        err = read_line(reader, &lines, line);
    }
    return err;
}

int noc_passwords_parse(struct noc_slice text, const char *name,
    const struct noc_passwords_options *options, struct noc_report *report,
    struct noc_passwords **ret_passwords)
{
    struct reader reader = {name, options->is_strict, report, NULL};
    int err;

    if (noc_text_is_utf16(text)) {
        noc_report_fail(report, name, 0, "is UTF-16 text (remedy: save it as UTF-8)");
        return NOC_EMALFORMED;
    }
    reader.passwords = calloc(1, sizeof *reader.passwords);
    if (reader.passwords == NULL) {
        return fail_memory(&reader, 0);
    }
    atomic_init(&reader.passwords->references, 1);
    reader.passwords->seed = options->seed;
    err = read_lines(&reader, text);
    if (err < 0) {
        passwords_free(reader.passwords);
        return err;
    }
    choose_stranger(reader.passwords);
    *ret_passwords = reader.passwords;
    return NOC_OK;
}

int noc_passwords_load(const char *path, const struct noc_passwords_options *options,
    struct noc_report *report, struct noc_passwords **ret_passwords)
{
    struct noc_text_file_options reading = {
        .is_secret = true, .refuse_foreign_write = options->refuse_foreign_write};
    struct noc_slice text;
    int err = noc_text_file_read(path, &reading, report, &text);

    if (err < 0) {
        return err;
    }
    err = noc_passwords_parse(text, path, options, report, ret_passwords);
    noc_text_file_free(text);
    if (err == NOC_OK && noc_passwords_count(*ret_passwords) == 0) {
        noc_report_warn(report, path, 0,
            "names no user, so nobody can log in with a password (remedy: noctule passwd '%s' "
            "NAME)",
            path);
    }
    return err;
}
