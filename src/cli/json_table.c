/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One walk over the text, without a tree. The path to the value at hand grows
 * and shrinks in a buffer; each scalar calls out with it.
 */
#include "cli/json_table.h"

#include <noctule/error.h>

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

/* What a walk does with a scalar: text is decoded if is_string, else as it stands. */
typedef void (*scalar_function)(
    void *context, const char *path, struct noc_slice text, bool is_string);

struct walk {
    const char *at;
    const char *end;
    scalar_function on_scalar;
    void *context;
    char path[NOC_JSON_PATH_MAX];
    size_t path_n;
    unsigned depth;
};

static int walk_value(struct walk *walk);

static bool is_one_of(char c, const char *set)
{
    return c != '\0' && strchr(set, c) != NULL;
}

static void skip_space(struct walk *walk)
{
    while (walk->at < walk->end && is_one_of(*walk->at, " \t\r\n")) {
        walk->at++;
    }
}

/* The next byte, white space passed over; -1 at the end. */
static int peek_byte(struct walk *walk)
{
    skip_space(walk);
    return walk->at < walk->end ? (unsigned char)*walk->at : -1;
}

static bool take_byte(struct walk *walk, char byte)
{
    if (peek_byte(walk) != byte) {
        return false;
    }
    walk->at++;
    return true;
}

/* Append a name or an index to the path, as far as it fits. Returns the length before. */
static size_t enter_path(struct walk *walk, struct noc_slice name)
{
    const size_t before = walk->path_n;
    size_t room = sizeof(walk->path) - 1 - walk->path_n;

    if (walk->path_n > 0 && room > 0) {
        walk->path[walk->path_n++] = '.';
        room--;
    }
    if (name.n < room) {
        room = name.n;
    }
    for (size_t i = 0; i < room; i++) {
        const char c = name.at[i];

        walk->path[walk->path_n++] = (char)(iscntrl((unsigned char)c) ? '?' : c);
    }
    walk->path[walk->path_n] = '\0';
    return before;
}

static void leave_path(struct walk *walk, size_t before)
{
    walk->path_n = before;
    walk->path[before] = '\0';
}

/* The raw text between the quotes; escapes are checked, not decoded. */
static int take_string(struct walk *walk, struct noc_slice *ret_raw)
{
    const char *start;

    if (!take_byte(walk, '"')) {
        return NOC_EMALFORMED;
    }
    start = walk->at;
    for (; walk->at < walk->end && *walk->at != '"'; walk->at++) {
        if ((unsigned char)*walk->at < 0x20) {
            return NOC_EMALFORMED;
        }
        if (*walk->at != '\\') {
            continue;
        }
        walk->at++;
        if (walk->at == walk->end || !is_one_of(*walk->at, "\"\\/bfnrtu")) {
            return NOC_EMALFORMED;
        }
        if (*walk->at == 'u') {
            for (unsigned i = 0; i < 4; i++) {
                walk->at++;
                if (walk->at == walk->end || !isxdigit((unsigned char)*walk->at)) {
                    return NOC_EMALFORMED;
                }
            }
        }
    }
    if (walk->at == walk->end) {
        return NOC_EMALFORMED;
    }
    *ret_raw = noc_slice(start, (size_t)(walk->at - start));
    walk->at++;
    return NOC_OK;
}

/* A number, true, false or null: told apart no further, but nothing else passes. */
static int take_word(struct walk *walk, struct noc_slice *ret_word)
{
    static const char *const words[] = {"true", "false", "null"};
    const char *start = walk->at;
    struct noc_slice word;

    while (walk->at < walk->end &&
           (isalnum((unsigned char)*walk->at) || is_one_of(*walk->at, "+-."))) {
        walk->at++;
    }
    word = noc_slice(start, (size_t)(walk->at - start));
    for (size_t i = 0; i < NOC_COUNT(words); i++) {
        if (noc_slice_equal(word, noc_slice_of(words[i]))) {
            *ret_word = word;
            return NOC_OK;
        }
    }
    if (word.n == 0 || (!isdigit((unsigned char)word.at[0]) && word.at[0] != '-')) {
        return NOC_EMALFORMED;
    }
    for (size_t i = 0; i < word.n; i++) {
        if (!is_one_of(word.at[i], "0123456789+-.eE")) {
            return NOC_EMALFORMED;
        }
    }
    *ret_word = word;
    return NOC_OK;
}

static int walk_object(struct walk *walk)
{
    struct noc_slice name;
    size_t before;
    int err;

    if (take_byte(walk, '}')) {
        return NOC_OK;
    }
    do {
        err = take_string(walk, &name);
        if (err < 0 || !take_byte(walk, ':')) {
            return NOC_EMALFORMED;
        }
        before = enter_path(walk, name);
        err = walk_value(walk);
        leave_path(walk, before);
        if (err < 0) {
            return err;
        }
    } while (take_byte(walk, ','));
    return take_byte(walk, '}') ? NOC_OK : NOC_EMALFORMED;
}

static int walk_array(struct walk *walk)
{
    unsigned index = 0;
    char name[16];
    size_t before;
    int err;

    if (take_byte(walk, ']')) {
        return NOC_OK;
    }
    do {
        (void)snprintf(name, sizeof(name), "%u", index++);
        before = enter_path(walk, noc_slice_of(name));
        err = walk_value(walk);
        leave_path(walk, before);
        if (err < 0) {
            return err;
        }
    } while (take_byte(walk, ','));
    return take_byte(walk, ']') ? NOC_OK : NOC_EMALFORMED;
}

static int walk_value(struct walk *walk)
{
    const int first = peek_byte(walk);
    struct noc_slice text;
    int err;

    if (first == '{' || first == '[') {
        if (walk->depth == NOC_JSON_DEPTH_MAX) {
            return NOC_EMALFORMED;
        }
        walk->at++;
        walk->depth++;
        err = first == '{' ? walk_object(walk) : walk_array(walk);
        walk->depth--;
        return err;
    }
    err = first == '"' ? take_string(walk, &text) : take_word(walk, &text);
    if (err == NOC_OK) {
        walk->on_scalar(walk->context, walk->path, text, first == '"');
    }
    return err;
}

static int walk_text(struct noc_slice json, scalar_function on_scalar, void *context)
{
    struct walk walk = {.on_scalar = on_scalar, .context = context};
    int err;

    if (json.n == 0) {
        return NOC_EMALFORMED;
    }
    walk.at = json.at;
    walk.end = json.at + json.n;
    err = walk_value(&walk);
    if (err == NOC_OK && peek_byte(&walk) >= 0) {
        err = NOC_EMALFORMED;
    }
    return err;
}

/* ---- strings ---- */

static unsigned hex_value(struct noc_slice digits)
{
    unsigned value = 0;

    for (size_t i = 0; i < digits.n; i++) {
        const char c = digits.at[i];

        value = value << 4 | (unsigned)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    return value;
}

/*
 * The next character of a checked raw string: its code in *ret_code if it was
 * escaped, else the byte as it stands. Returns the bytes consumed.
 */
static size_t decode_one(struct noc_slice raw, unsigned *ret_code, bool *ret_is_escaped)
{
    static const char from[] = "bfnrt";
    static const char to[] = "\b\f\n\r\t";
    const char *found;
    unsigned low;

    *ret_is_escaped = raw.at[0] == '\\';
    if (!*ret_is_escaped) {
        *ret_code = (unsigned char)raw.at[0];
        return 1;
    }
    if (raw.at[1] != 'u') {
        found = strchr(from, raw.at[1]);
        *ret_code = (unsigned char)(found == NULL ? raw.at[1] : to[found - from]);
        return 2;
    }
    *ret_code = hex_value(noc_slice(raw.at + 2, 4));
    if (*ret_code >= 0xD800 && *ret_code < 0xDC00 && raw.n >= 12 && raw.at[6] == '\\' &&
        raw.at[7] == 'u') {
        low = hex_value(noc_slice(raw.at + 8, 4));
        if (low >= 0xDC00 && low < 0xE000) {
            *ret_code = 0x10000 + ((*ret_code - 0xD800) << 10) + (low - 0xDC00);
            return 12;
        }
    }
    if (*ret_code >= 0xD800 && *ret_code < 0xE000) {
        *ret_code = 0xFFFD; /* half of a pair stands for nothing */
    }
    return 6;
}

/* As UTF-8; returns the bytes written, at most 4. */
static size_t encode_utf8(unsigned code, char *ret_bytes)
{
    if (code < 0x80) {
        ret_bytes[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        ret_bytes[0] = (char)(0xC0 | code >> 6);
        ret_bytes[1] = (char)(0x80 | (code & 0x3F));
        return 2;
    }
    if (code < 0x10000) {
        ret_bytes[0] = (char)(0xE0 | code >> 12);
        ret_bytes[1] = (char)(0x80 | (code >> 6 & 0x3F));
        ret_bytes[2] = (char)(0x80 | (code & 0x3F));
        return 3;
    }
    ret_bytes[0] = (char)(0xF0 | code >> 18);
    ret_bytes[1] = (char)(0x80 | (code >> 12 & 0x3F));
    ret_bytes[2] = (char)(0x80 | (code >> 6 & 0x3F));
    ret_bytes[3] = (char)(0x80 | (code & 0x3F));
    return 4;
}

/* ---- lines ---- */

/* Control characters stay escapes, C1 ones included. */
static void print_string(struct noc_slice raw, FILE *stream)
{
    bool is_escaped;
    unsigned code;
    char bytes[4];

    while (raw.n > 0) {
        const size_t used = decode_one(raw, &code, &is_escaped);

        if (!is_escaped && code != 0x7F) {
            (void)fwrite(raw.at, 1, used, stream);
        } else if (code < 0x20 || (code >= 0x7F && code < 0xA0)) {
            (void)fprintf(stream, "\\u%04x", code);
        } else {
            const size_t made = encode_utf8(code, bytes);

            (void)fwrite(bytes, 1, made, stream);
        }
        raw = noc_slice(raw.at + used, raw.n - used);
    }
}

static void print_scalar(void *context, const char *path, struct noc_slice text, bool is_string)
{
    FILE *stream = context;

    if (path[0] != '\0') {
        (void)fprintf(stream, "%-28s  ", path);
    }
    if (is_string) {
        print_string(text, stream);
    } else {
        (void)fwrite(text.at, 1, text.n, stream);
    }
    (void)fputc('\n', stream);
}

int noc_json_table_print(struct noc_slice json, FILE *stream)
{
    return walk_text(json, print_scalar, stream);
}

/* ---- rows ---- */

enum { NUMBER_WIDTH = 9, TEXT_WIDTH = 21 };

struct rows {
    FILE *stream;
    bool is_head;
    char object[NOC_JSON_PATH_MAX]; /* path of the object whose members are printed */
    size_t object_n;                /* 0: none yet */
    int gap;                        /* spaces due before the next cell */
};

/* Characters, where bytes are UTF-8 and none is escaped. */
static int width_of(struct noc_slice raw)
{
    int width = 0;

    for (size_t i = 0; i < raw.n; i++) {
        width += ((unsigned char)raw.at[i] & 0xC0) != 0x80;
    }
    return width;
}

/* Begin the row of an object. False: it is not to be printed. */
static bool enter_row(struct rows *rows, const char *path, size_t object_n)
{
    if (object_n == rows->object_n && memcmp(path, rows->object, object_n) == 0) {
        return true;
    }
    if (rows->object_n > 0) {
        if (rows->is_head) {
            return false;
        }
        (void)fputc('\n', rows->stream);
    }
    memcpy(rows->object, path, object_n);
    rows->object_n = object_n;
    rows->gap = 0;
    return true;
}

static void print_cell(void *context, const char *path, struct noc_slice text, bool is_string)
{
    struct rows *rows = context;
    const char *name = strrchr(path, '.');
    bool is_null = !is_string && noc_slice_equal(text, noc_slice_of("null"));
    int width = is_string || is_null ? TEXT_WIDTH : NUMBER_WIDTH;

    if (name == NULL || !enter_row(rows, path, (size_t)(name - path))) {
        return;
    }
    if (rows->is_head || is_null) {
        text = noc_slice_of(rows->is_head ? name + 1 : "-");
    }
    (void)fprintf(rows->stream, "%*s", rows->gap, "");
    if (is_string && !rows->is_head) {
        print_string(text, rows->stream);
    } else {
        (void)fwrite(text.at, 1, text.n, rows->stream);
    }
    rows->gap = 2 + (width_of(text) < width ? width - width_of(text) : 0);
}

int noc_json_rows_print(struct noc_slice json, FILE *stream)
{
    for (unsigned pass = 0; pass < 2; pass++) {
        struct rows rows = {.stream = stream, .is_head = pass == 0};
        int err = walk_text(json, print_cell, &rows);

        if (rows.object_n > 0) {
            (void)fputc('\n', stream);
        }
        if (err < 0) {
            return err;
        }
    }
    return NOC_OK;
}

/* ---- one string ---- */

struct find {
    const char *name;
    struct noc_slice raw; /* absent until found */
};

static void find_scalar(void *context, const char *path, struct noc_slice text, bool is_string)
{
    struct find *find = context;

    if (is_string && find->raw.at == NULL && strcmp(path, find->name) == 0) {
        find->raw = text;
    }
}

int noc_json_find_string(struct noc_slice json, const char *name, char *text, size_t size)
{
    struct find find = {.name = name};
    size_t n = 0;
    int err = walk_text(json, find_scalar, &find);

    if (err < 0) {
        return err;
    }
    if (find.raw.at == NULL) {
        return NOC_ENOENT;
    }
    while (find.raw.n > 0) {
        bool is_escaped;
        unsigned code;
        char bytes[4] = {0};
        const size_t used = decode_one(find.raw, &code, &is_escaped);
        size_t made = 1;

        bytes[0] = (char)code;
        if (is_escaped) {
            made = encode_utf8(code, bytes);
        }
        if (n + made >= size) {
            break;
        }
        memcpy(text + n, bytes, made);
        n += made;
        find.raw = noc_slice(find.raw.at + used, find.raw.n - used);
    }
    text[n] = '\0';
    return NOC_OK;
}
