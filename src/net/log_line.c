/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "net/log_line.h"

#include <stdio.h>

#include <noctule/error.h>

/* Bytes of a character by its first byte; what can't begin one counts as one byte. */
static size_t character_n(uint8_t first)
{
    if (first >= 0xf0) {
        return 4;
    }
    if (first >= 0xe0) {
        return 3;
    }
    return first >= 0xc0 ? 2 : 1;
}

static bool is_continuation(uint8_t byte)
{
    return (byte & 0xc0) == 0x80;
}

/* How many bytes at the start of text must be escaped: 0 for none. */
static size_t harmful_n(const uint8_t *at, size_t left)
{
    if ((at[0] < 0x20 && at[0] != '\t') || at[0] == 0x7f) {
        return 1;
    }
    /* U+0080 to U+009F: a terminal may take them for escape sequences, U+0085 for a line's end. */
    if (at[0] == 0xc2 && left >= 2 && at[1] >= 0x80 && at[1] <= 0x9f) {
        return 2;
    }
    /* U+2028, U+2029: line and paragraph separator. */
    if (at[0] == 0xe2 && left >= 3 && at[1] == 0x80 && (at[2] == 0xa8 || at[2] == 0xa9)) {
        return 3;
    }
    /* A lone C1 byte, for terminals that do not speak UTF-8. */
    return at[0] >= 0x80 && at[0] <= 0x9f ? 1 : 0;
}

/* Whole characters go over in one piece, so that their inner bytes are not taken for C1. */
static size_t harmless_n(const uint8_t *at, size_t left)
{
    size_t n = 1;

    while (n < character_n(at[0]) && n < left && is_continuation(at[n])) {
        n++;
    }
    return n;
}

static size_t escape_byte(uint8_t byte, char *out)
{
    static const char digits[] = "0123456789abcdef";

    out[0] = '\\';
    if (byte == '\n' || byte == '\r') {
        out[1] = byte == '\n' ? 'n' : 'r';
        return 2;
    }
    out[1] = 'x';
    out[2] = digits[byte >> 4];
    out[3] = digits[byte & 15];
    return 4;
}

/* How many bytes at the start of text are printable ASCII, which nearly all lines are all of. */
static size_t plain_n(const char *text, size_t n)
{
    size_t count = 0;

    while (count < n && text[count] >= 0x20 && text[count] < 0x7f) {
        count++;
    }
    return count;
}

size_t noc_log_escape(struct noc_slice text, char *out, size_t size)
{
    size_t written = plain_n(text.at, text.n < size ? text.n : size);
    size_t at = written;

    memcpy(out, text.at, written);
    while (at < text.n) {
        const uint8_t *from = (const uint8_t *)text.at + at;
        size_t n = harmful_n(from, text.n - at);
        char piece[12];
        size_t piece_n = 0;

        if (n == 0) {
            n = harmless_n(from, text.n - at);
            memcpy(piece, from, n);
            piece_n = n;
        } else {
            for (size_t i = 0; i < n; i++) {
                piece_n += escape_byte(from[i], piece + piece_n);
            }
        }
        if (piece_n > size - written) {
            break;
        }
        memcpy(out + written, piece, piece_n);
        written += piece_n;
        at += n;
    }
    return written;
}

size_t noc_log_cut(struct noc_slice text, size_t n)
{
    if (text.n <= n) {
        return text.n;
    }
    /* Back to the start of the character that is cut; text that is not UTF-8 is cut anyhow. */
    for (size_t back = 0; back < 4 && back < n; back++) {
        if (!is_continuation((uint8_t)text.at[n - back])) {
            return n - back;
        }
    }
    return n;
}

int noc_log_stamp_init(struct noc_log_stamp *stamp, bool is_off, const char *format)
{
    size_t n = format == NULL ? 0 : strlen(format);

    if (n >= sizeof(stamp->format)) {
        return NOC_EINVAL;
    }
    memset(stamp, 0, sizeof(*stamp));
    stamp->is_off = is_off;
    if (n > 0) {
        memcpy(stamp->format, format, n);
    }
    return NOC_OK;
}

static void make_stamp(struct noc_log_stamp *stamp, time_t second)
{
    struct tm parts;
    size_t n = 0;

    if (stamp->format[0] != '\0' && localtime_r(&second, &parts) != NULL) {
        /* The user's own format, from the configuration: that is what the option is. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        n = strftime(stamp->text, sizeof(stamp->text) - 2, stamp->format, &parts);
#pragma GCC diagnostic pop
    }
    if (n == 0) {
        n = (size_t)snprintf(stamp->text, sizeof(stamp->text) - 2, "%lld", (long long)second);
    }
    stamp->text[n++] = ':';
    stamp->text[n++] = ' ';
    stamp->n = n;
    stamp->second = second;
    stamp->is_made = true;
}

struct noc_slice noc_log_stamp_text(struct noc_log_stamp *stamp, int64_t wall_ms)
{
    time_t second = (time_t)(wall_ms / 1000);

    if (stamp->is_off) {
        return noc_slice("", 0);
    }
    if (!stamp->is_made || stamp->second != second) {
        make_stamp(stamp, second);
    }
    return noc_slice(stamp->text, stamp->n);
}
