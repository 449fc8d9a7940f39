/* SPDX-License-Identifier: Apache-2.0 */
#include "ws/http.h"

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool is_token_char(char c)
{
    static const char marks[] = "!#$%&'*+-.^_`|~";
    char l = lower(c);

    return (l >= 'a' && l <= 'z') || (c >= '0' && c <= '9') ||
           memchr(marks, c, sizeof marks - 1) != NULL;
}

static struct noc_slice trim(struct noc_slice text)
{
    while (text.n > 0 && is_blank(text.at[0])) {
        text.at++;
        text.n--;
    }
    while (text.n > 0 && is_blank(text.at[text.n - 1])) {
        text.n--;
    }
    return text;
}

/* Is this byte allowed in a head behind the one before it (RFC 9112, 2.2 and 5.5)? */
static bool is_head_byte(uint8_t before, uint8_t byte)
{
    if ((byte == '\n') != (before == '\r')) {
        return false;
    }
    return (byte >= 0x20 && byte != 0x7f) || byte == '\t' || byte == '\r' || byte == '\n';
}

int noc_http_head_scan(const uint8_t *bytes, size_t n, size_t *scanned)
{
    for (size_t i = *scanned; i < n; i++) {
        if (!is_head_byte(i == 0 ? 0 : bytes[i - 1], bytes[i])) {
            return NOC_EMALFORMED;
        }
        *scanned = i + 1;
        if (i >= NOC_HTTP_HEAD_MAX) {
            return NOC_ETOOLARGE;
        }
        if (bytes[i] == '\n' && i >= 3 && bytes[i - 2] == '\n') {
            return (int)(i + 1);
        }
    }
    return 0;
}

bool noc_http_line_next(struct noc_slice *rest, struct noc_slice *ret_line)
{
    const char *end = rest->n == 0 ? NULL : memchr(rest->at, '\n', rest->n);
    size_t n;

    if (end == NULL) {
        return false;
    }
    n = (size_t)(end - rest->at);
    *ret_line = noc_slice(rest->at, n > 0 && end[-1] == '\r' ? n - 1 : n);
    *rest = noc_slice(end + 1, rest->n - n - 1);
    return true;
}

int noc_http_line_take(const uint8_t *bytes, size_t n, struct noc_slice *ret_line)
{
    for (size_t i = 0; i < n; i++) {
        if (i >= NOC_HTTP_HEAD_MAX || !is_head_byte(i == 0 ? 0 : bytes[i - 1], bytes[i])) {
            return NOC_EMALFORMED;
        }
        if (bytes[i] == '\n') {
            *ret_line = noc_slice(bytes, i - 1);
            return (int)(i + 1);
        }
    }
    return 0;
}

bool noc_http_is_clean(struct noc_slice text)
{
    for (size_t i = 0; i < text.n; i++) {
        if (!is_head_byte(0, (uint8_t)text.at[i]) || text.at[i] == '\r') {
            return false;
        }
    }
    return true;
}

int noc_http_field_parse(struct noc_slice line, struct noc_http_field *ret_field)
{
    const char *colon = line.n == 0 ? NULL : memchr(line.at, ':', line.n);
    struct noc_slice name;

    if (colon == NULL) {
        return NOC_EMALFORMED;
    }
    /* A folded line begins with a blank, which no name contains (RFC 9112, 5.2). */
    name = noc_slice(line.at, (size_t)(colon - line.at));
    if (!noc_http_is_token(name)) {
        return NOC_EMALFORMED;
    }
    ret_field->name = name;
    ret_field->value = trim(noc_slice(colon + 1, line.n - name.n - 1));
    return NOC_OK;
}

struct noc_slice noc_http_field_find(struct noc_slice lines, struct noc_slice name, size_t *iter)
{
    struct noc_slice rest;
    struct noc_slice line;
    struct noc_http_field field;

    if (*iter >= lines.n) {
        return noc_slice(NULL, 0);
    }
    rest = noc_slice(lines.at + *iter, lines.n - *iter);
    while (noc_http_line_next(&rest, &line)) {
        *iter = lines.n - rest.n;
        if (noc_http_field_parse(line, &field) == NOC_OK && noc_http_is_same(field.name, name)) {
            return field.value;
        }
    }
    *iter = lines.n;
    return noc_slice(NULL, 0);
}

bool noc_http_list_next(struct noc_slice *rest, struct noc_slice *ret_item)
{
    while (rest->n > 0) {
        const char *comma = memchr(rest->at, ',', rest->n);
        size_t n = comma == NULL ? rest->n : (size_t)(comma - rest->at);
        size_t used = comma == NULL ? n : n + 1;
        struct noc_slice item = trim(noc_slice(rest->at, n));

        *rest = noc_slice(rest->at + used, rest->n - used);
        if (item.n > 0) {
            *ret_item = item;
            return true;
        }
    }
    return false;
}

bool noc_http_list_has(struct noc_slice list, struct noc_slice item)
{
    struct noc_slice one;

    while (noc_http_list_next(&list, &one)) {
        if (noc_http_is_same(one, item)) {
            return true;
        }
    }
    return false;
}

bool noc_http_is_same(struct noc_slice a, struct noc_slice b)
{
    if (a.n != b.n) {
        return false;
    }
    for (size_t i = 0; i < a.n; i++) {
        if (lower(a.at[i]) != lower(b.at[i])) {
            return false;
        }
    }
    return true;
}

bool noc_http_is_token(struct noc_slice text)
{
    for (size_t i = 0; i < text.n; i++) {
        if (!is_token_char(text.at[i])) {
            return false;
        }
    }
    return text.n > 0;
}

void noc_http_put(struct noc_http_out *out, struct noc_slice text)
{
    if (out->is_over || text.n > out->room - out->n) {
        out->is_over = true;
        return;
    }
    if (text.n > 0) {
        memcpy(out->at + out->n, text.at, text.n);
        out->n += text.n;
    }
}

void noc_http_put_text(struct noc_http_out *out, const char *text)
{
    noc_http_put(out, noc_slice_of(text));
}

void noc_http_put_number(struct noc_http_out *out, size_t number)
{
    char digits[3 * sizeof number];
    size_t at = sizeof digits;

    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    noc_http_put(out, noc_slice(digits + at, sizeof digits - at));
}
