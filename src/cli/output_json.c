/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON as cJSON prints it. Re-printing goes straight from the text to the
 * buffer: no tree is built, and the memory is that of the result and of a bit
 * for each open container.
 *
 *     value = text | number | word | array | object
 *
 *     VALUE --(scalar, or ] })--> AFTER --(,)--> VALUE | NAME
 *       |                           |
 *       +--([ {)--> VALUE | NAME    +--(] })--> AFTER, one container less
 */
#include "cli/output_json.h"
#include <noctule/error.h>

#include <ctype.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    NESTING_MAX = 1000,   /* cJSON's limit */
    ESCAPE_MAX_BYTES = 6, /* \u001b */
};

/* ---- printing ---- */

static int put(struct noc_json_out *out, const char *at, size_t n)
{
    struct noc_output_buffer *buffer = out->buffer;

    if (noc_output_buffer_reserve(buffer, n) < 0) {
        return NOC_ENOMEM;
    }
    memcpy(buffer->at + buffer->n, at, n);
    buffer->n += n;
    return NOC_OK;
}

static int put_line(struct noc_json_out *out, unsigned depth)
{
    struct noc_output_buffer *buffer = out->buffer;

    if (noc_output_buffer_reserve(buffer, (size_t)depth + 1) < 0) {
        return NOC_ENOMEM;
    }
    buffer->at[buffer->n++] = '\n';
    memset(buffer->at + buffer->n, '\t', depth);
    buffer->n += depth;
    return NOC_OK;
}

int noc_json_open(struct noc_json_out *out, char bracket)
{
    out->depth++;
    out->is_first = true;
    return put(out, &bracket, 1);
}

int noc_json_close(struct noc_json_out *out, char bracket)
{
    out->depth--;
    out->is_first = false;
    if (bracket == '}' && out->is_pretty && put_line(out, out->depth) < 0) {
        return NOC_ENOMEM;
    }
    return put(out, &bracket, 1);
}

int noc_json_put_word(struct noc_json_out *out, const char *word)
{
    return put(out, word, strlen(word));
}

/* The letter of a short escape, or 0. */
static char short_escape(uint8_t byte)
{
    switch (byte) {
    case '"':
    case '\\':
        return (char)byte;
    case '\b':
        return 'b';
    case '\f':
        return 'f';
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    default:
        return 0;
    }
}

/* At least ESCAPE_MAX_BYTES of room are at at. Returns the end. */
static char *put_byte(char *at, uint8_t byte)
{
    static const char digits[] = "0123456789abcdef";
    char letter = short_escape(byte);

    if (letter != 0) {
        *at++ = '\\';
        *at++ = letter;
    } else if (byte >= 0x20) {
        *at++ = (char)byte;
    } else {
        memcpy(at, "\\u00", 4);
        at[4] = digits[byte >> 4];
        at[5] = digits[byte & 15];
        at += 6;
    }
    return at;
}

int noc_json_put_text(struct noc_json_out *out, struct noc_slice text)
{
    const char *zero = text.n == 0 ? NULL : memchr(text.at, '\0', text.n);
    size_t n = zero == NULL ? text.n : (size_t)(zero - text.at);
    struct noc_output_buffer *buffer = out->buffer;
    char *at;

    if (n > SIZE_MAX / ESCAPE_MAX_BYTES - 1 ||
        noc_output_buffer_reserve(buffer, n * ESCAPE_MAX_BYTES + 2) < 0) {
        return NOC_ENOMEM;
    }
    at = buffer->at + buffer->n;
    *at++ = '"';
    for (size_t i = 0; i < n; i++) {
        at = put_byte(at, (uint8_t)text.at[i]);
    }
    *at++ = '"';
    buffer->n = (size_t)(at - buffer->at);
    return NOC_OK;
}

/* Equal, as far as cJSON cares. */
static bool is_same(double a, double b)
{
    double larger = fabs(a) > fabs(b) ? fabs(a) : fabs(b);

    return fabs(a - b) <= larger * DBL_EPSILON;
}

int noc_json_put_number(struct noc_json_out *out, double number)
{
    char text[40];

    if (isnan(number) || isinf(number)) {
        return noc_json_put_word(out, "null");
    }
    (void)snprintf(text, sizeof(text), "%.15g", number);
    if (!is_same(strtod(text, NULL), number)) {
        (void)snprintf(text, sizeof(text), "%.17g", number);
    }
    return noc_json_put_word(out, text);
}

int noc_json_next_element(struct noc_json_out *out)
{
    bool is_first = out->is_first;

    out->is_first = false;
    return is_first ? NOC_OK : put(out, ", ", out->is_pretty ? 2 : 1);
}

int noc_json_next_member(struct noc_json_out *out, struct noc_slice name)
{
    bool is_first = out->is_first;

    out->is_first = false;
    if ((!is_first && put(out, ",", 1) < 0) || (out->is_pretty && put_line(out, out->depth) < 0) ||
        noc_json_put_text(out, name) < 0) {
        return NOC_ENOMEM;
    }
    return put(out, ":\t", out->is_pretty ? 2 : 1);
}

/* ---- reading ---- */

struct reader {
    struct noc_json_out *out;
    const char *at, *end;
    uint8_t objects[(NESTING_MAX + 7) / 8]; /* a bit for each open container: is it an object? */
    unsigned depth;
};

static void skip_blanks(struct reader *reader)
{
    while (reader->at < reader->end && (uint8_t)*reader->at <= ' ') {
        reader->at++;
    }
}

/* The next byte, or 0 at the end (there are no zero bytes in the text). */
static char peek(const struct reader *reader)
{
    return reader->at < reader->end ? *reader->at : '\0';
}

static bool in_object(const struct reader *reader)
{
    unsigned i = reader->depth - 1;

    return (reader->objects[i / 8] >> i % 8 & 1) != 0;
}

static uint32_t read_hex(const char *at)
{
    uint32_t value = 0;

    /* What is no hex digit makes it 0, in cJSON. */
    for (size_t i = 0; i < 4; i++) {
        if (!isxdigit((unsigned char)at[i])) {
            return 0;
        }
        value = value << 4 | (uint32_t)(isdigit((unsigned char)at[i])
                                            ? at[i] - '0'
                                            : tolower((unsigned char)at[i]) - 'a' + 10);
    }
    return value;
}

/* A code point as UTF-8, escaped where that is due. Returns the end. */
static char *put_point(char *at, uint32_t point)
{
    if (point < 0x80) {
        return put_byte(at, (uint8_t)point);
    }
    if (point < 0x800) {
        *at++ = (char)(0xc0 | point >> 6);
    } else {
        if (point < 0x10000) {
            *at++ = (char)(0xe0 | point >> 12);
        } else {
            *at++ = (char)(0xf0 | point >> 18);
            *at++ = (char)(0x80 | (point >> 12 & 0x3f));
        }
        *at++ = (char)(0x80 | (point >> 6 & 0x3f));
    }
    *at++ = (char)(0x80 | (point & 0x3f));
    return at;
}

/* \uXXXX, or two of them, at at[0..end). Returns the bytes used, 0 if it is none. */
static size_t read_point(const char *at, const char *end, uint32_t *ret_point)
{
    uint32_t high, low;

    if (end - at < 6) {
        return 0;
    }
    high = read_hex(at + 2);
    if (high >= 0xdc00 && high <= 0xdfff) {
        return 0;
    }
    if (high < 0xd800 || high > 0xdbff) {
        *ret_point = high;
        return 6;
    }
    if (end - at < 12 || at[6] != '\\' || at[7] != 'u') {
        return 0;
    }
    low = read_hex(at + 8);
    if (low < 0xdc00 || low > 0xdfff) {
        return 0;
    }
    *ret_point = 0x10000 + ((high & 0x3ff) << 10 | (low & 0x3ff));
    return 12;
}

/* An escape at at[0..end). Returns the bytes used, 0 if it is none. */
static size_t read_escape(const char *at, const char *end, uint32_t *ret_point)
{
    static const char letters[] = "bfnrt\"\\/";
    static const char meanings[] = "\b\f\n\r\t\"\\/";
    const char *letter;

    if (end - at < 2) {
        return 0;
    }
    if (at[1] == 'u') {
        return read_point(at, end, ret_point);
    }
    letter = strchr(letters, at[1]);
    if (letter == NULL) {
        return 0;
    }
    *ret_point = (uint8_t)meanings[letter - letters];
    return 2;
}

/* The closing quote of the text whose first character is at, or NULL. */
static const char *find_quote(const char *at, const char *end)
{
    while (at < end && *at != '"') {
        at += *at == '\\' ? 2 : 1;
    }
    return at < end ? at : NULL;
}

/* Text from its opening quote on; printed as is, but for escapes. */
static int read_text(struct reader *reader)
{
    struct noc_output_buffer *buffer = reader->out->buffer;
    const char *at = reader->at + 1;
    const char *quote = find_quote(at, reader->end);
    bool is_cut = false;
    char *to;

    if (quote == NULL) {
        return NOC_EMALFORMED;
    }
    if (noc_output_buffer_reserve(buffer, (size_t)(quote - at) * ESCAPE_MAX_BYTES + 2) < 0) {
        return NOC_ENOMEM;
    }
    to = buffer->at + buffer->n;
    *to++ = '"';
    while (at < quote) {
        uint32_t point = 0;
        size_t used = *at == '\\' ? read_escape(at, quote, &point) : 1;

        if (used == 0) {
            return NOC_EMALFORMED;
        }
        is_cut = is_cut || (*at == '\\' && point == 0);
        if (!is_cut) {
            to = *at == '\\' ? put_point(to, point) : put_byte(to, (uint8_t)*at);
        }
        at += used;
    }
    *to++ = '"';
    buffer->n = (size_t)(to - buffer->at);
    reader->at = quote + 1;
    return NOC_OK;
}

/* strtod() wants a zero byte at the end: the number is copied behind what is printed. */
static int read_number(struct reader *reader)
{
    struct noc_output_buffer *buffer = reader->out->buffer;
    size_t n = 0;
    char *text, *after;
    double number;

    while (reader->at + n < reader->end && strchr("0123456789+-eE.", reader->at[n]) != NULL) {
        n++;
    }
    if (noc_output_buffer_reserve(buffer, n + 1) < 0) {
        return NOC_ENOMEM;
    }
    text = buffer->at + buffer->n;
    memcpy(text, reader->at, n);
    text[n] = '\0';
    number = strtod(text, &after);
    if (after == text) {
        return NOC_EMALFORMED;
    }
    reader->at += after - text;
    return noc_json_put_number(reader->out, number);
}

static int read_word(struct reader *reader)
{
    static const char *const words[] = {"null", "false", "true"};

    for (size_t i = 0; i < NOC_COUNT(words); i++) {
        size_t n = strlen(words[i]);

        if ((size_t)(reader->end - reader->at) >= n && memcmp(reader->at, words[i], n) == 0) {
            reader->at += n;
            return noc_json_put_word(reader->out, words[i]);
        }
    }
    return NOC_EMALFORMED;
}

static int read_scalar(struct reader *reader)
{
    char first = peek(reader);

    if (first == '"') {
        return read_text(reader);
    }
    if (first == '-' || isdigit((unsigned char)first)) {
        return read_number(reader);
    }
    return read_word(reader);
}

/* A member's name and its colon, or nothing in an array: a value comes next. */
static int read_name(struct reader *reader)
{
    struct noc_json_out *out = reader->out;
    bool is_first = out->is_first;
    int err;

    if (!in_object(reader)) {
        return noc_json_next_element(out);
    }
    if (peek(reader) != '"') {
        return NOC_EMALFORMED;
    }
    out->is_first = false;
    if ((!is_first && put(out, ",", 1) < 0) || (out->is_pretty && put_line(out, out->depth) < 0)) {
        return NOC_ENOMEM;
    }
    err = read_text(reader);
    if (err < 0) {
        return err;
    }
    skip_blanks(reader);
    if (peek(reader) != ':') {
        return NOC_EMALFORMED;
    }
    reader->at++;
    skip_blanks(reader);
    return put(out, ":\t", out->is_pretty ? 2 : 1);
}

static int close_container(struct reader *reader)
{
    char bracket = in_object(reader) ? '}' : ']';

    if (peek(reader) != bracket) {
        return NOC_EMALFORMED;
    }
    reader->at++;
    reader->depth--;
    return noc_json_close(reader->out, bracket);
}

/* Enter it; *ret_is_empty: and leave it again, because there is nothing in it. */
static int open_container(struct reader *reader, bool *ret_is_empty)
{
    char bracket = *reader->at++;
    unsigned i = reader->depth;

    if (i >= NESTING_MAX) {
        return NOC_EMALFORMED;
    }
    reader->depth++;
    reader->objects[i / 8] &= (uint8_t) ~(1u << i % 8);
    reader->objects[i / 8] |= (uint8_t)((bracket == '{' ? 1u : 0u) << i % 8);
    if (noc_json_open(reader->out, bracket) < 0) {
        return NOC_ENOMEM;
    }
    skip_blanks(reader);
    *ret_is_empty = peek(reader) == (bracket == '{' ? '}' : ']');
    return *ret_is_empty ? close_container(reader) : read_name(reader);
}

/* After a value: close what ends here. *ret_is_done: nothing is open any more. */
static int end_value(struct reader *reader, bool *ret_is_done)
{
    int err = NOC_OK;

    skip_blanks(reader);
    while (err == NOC_OK && reader->depth > 0 && peek(reader) != ',') {
        err = close_container(reader);
        skip_blanks(reader);
    }
    if (err < 0) {
        return err;
    }
    *ret_is_done = reader->depth == 0;
    if (*ret_is_done) {
        return NOC_OK;
    }
    reader->at++;
    skip_blanks(reader);
    return read_name(reader);
}

int noc_json_reprint(struct noc_json_out *out, struct noc_slice text)
{
    static const char mark[] = "\xef\xbb\xbf"; /* of byte order */
    struct reader reader = {.out = out, .at = text.at, .end = text.at + text.n};
    bool is_done = false;
    int err = NOC_OK;

    if (text.n == 0 || memchr(text.at, '\0', text.n) != NULL) {
        return NOC_EMALFORMED;
    }
    if (noc_slice_has_prefix(text, noc_slice(mark, 3))) {
        reader.at += 3;
    }
    skip_blanks(&reader);
    while (err == NOC_OK && !is_done) {
        bool is_open = peek(&reader) == '[' || peek(&reader) == '{';
        bool is_ended = true;

        err = is_open ? open_container(&reader, &is_ended) : read_scalar(&reader);
        if (err == NOC_OK && is_ended) {
            err = end_value(&reader, &is_done);
        }
    }
    return err == NOC_OK && reader.at < reader.end ? NOC_EMALFORMED : err;
}
