/* SPDX-License-Identifier: Apache-2.0 */
#include "ws/client.h"

/* ---- the request ---- */

/* Text without blanks and control characters. */
static bool is_solid(struct noc_slice text)
{
    for (size_t i = 0; i < text.n; i++) {
        uint8_t byte = (uint8_t)text.at[i];

        if (byte <= 0x20 || byte == 0x7f) {
            return false;
        }
    }
    return true;
}

static bool is_token_list(struct noc_slice list)
{
    struct noc_slice item;

    while (noc_http_list_next(&list, &item)) {
        if (!noc_http_is_token(item)) {
            return false;
        }
    }
    return true;
}

/* Headers that are ours to write: said twice or otherwise, they would break the handshake. */
static bool is_own_header(struct noc_slice name)
{
    static const char *const own[] = {"Host", "Upgrade", "Connection", "Sec-WebSocket-Key",
        "Sec-WebSocket-Version", "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions",
        "Content-Length", "Transfer-Encoding"};

    for (size_t i = 0; i < NOC_COUNT(own); i++) {
        if (noc_http_is_same(name, noc_slice_of(own[i]))) {
            return true;
        }
    }
    return false;
}

static bool is_ask_sound(const struct noc_ws_ask *ask)
{
    struct noc_http_field field;

    if (ask->host.n == 0 || !is_solid(ask->host) || !is_solid(ask->path) ||
        (ask->path.n > 0 && ask->path.at[0] != '/') || !noc_ws_key_is_valid(ask->key) ||
        !is_token_list(ask->subprotocol) || !noc_http_is_clean(ask->subprotocol) ||
        !noc_http_is_clean(ask->user_agent)) {
        return false;
    }
    for (size_t i = 0; i < ask->header_count; i++) {
        if (!noc_http_is_clean(ask->headers[i]) ||
            noc_http_field_parse(ask->headers[i], &field) != NOC_OK || is_own_header(field.name)) {
            return false;
        }
    }
    return true;
}

static void put_field(struct noc_http_out *out, const char *name, struct noc_slice value)
{
    noc_http_put_text(out, name);
    noc_http_put_text(out, ": ");
    noc_http_put(out, value);
    noc_http_put_text(out, "\r\n");
}

int noc_ws_ask_write(char *at, size_t room, const struct noc_ws_ask *ask)
{
    struct noc_http_out out = {at, room < NOC_HTTP_HEAD_MAX ? room : NOC_HTTP_HEAD_MAX, 0, false};

    if (!is_ask_sound(ask)) {
        return NOC_EINVAL;
    }
    noc_http_put_text(&out, "GET ");
    noc_http_put(&out, ask->path.n > 0 ? ask->path : noc_slice_of("/"));
    noc_http_put_text(&out, " HTTP/1.1\r\n");
    put_field(&out, "Host", ask->host);
    noc_http_put_text(&out, "Upgrade: websocket\r\nConnection: Upgrade\r\n");
    put_field(&out, "Sec-WebSocket-Key", ask->key);
    noc_http_put_text(&out, "Sec-WebSocket-Version: 13\r\n");
    if (ask->subprotocol.n > 0) {
        put_field(&out, "Sec-WebSocket-Protocol", ask->subprotocol);
    }
    if (ask->user_agent.n > 0) {
        put_field(&out, "User-Agent", ask->user_agent);
    }
    for (size_t i = 0; i < ask->header_count; i++) {
        noc_http_put(&out, ask->headers[i]);
        noc_http_put_text(&out, "\r\n");
    }
    noc_http_put_text(&out, "\r\n");
    return out.is_over ? NOC_ETOOLARGE : (int)out.n;
}

/* ---- the answer ---- */

const char *noc_ws_answer_text(enum noc_ws_answer_kind kind)
{
    static const char *const text[] = {
#define ANSWER_ROW(name, text) [name] = (text),
        NOC_WS_ANSWER_MAP(ANSWER_ROW)
#undef ANSWER_ROW
    };

    return text[(size_t)kind < NOC_COUNT(text) ? kind : NOC_WS_ANSWER_PENDING];
}

int noc_ws_answer_init(
    struct noc_ws_answer *answer, noc_ws_sha1_fn sha1, struct noc_slice key, struct noc_slice asked)
{
    memset(answer, 0, sizeof *answer);
    answer->asked = asked;
    return noc_ws_accept_compute(sha1, key, answer->accept);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* "HTTP/1.1 101 Switching Protocols"; the phrase may be missing. */
static int status_line_note(struct noc_ws_answer *answer, struct noc_slice line)
{
    const char *code;

    if (line.n < 12) {
        return NOC_EMALFORMED;
    }
    code = line.at + 9;
    if (memcmp(line.at, "HTTP/1.", 7) != 0 || !is_digit(line.at[7]) || line.at[8] != ' ' ||
        code[0] < '1' || !is_digit(code[0]) || !is_digit(code[1]) || !is_digit(code[2]) ||
        (line.n > 12 && line.at[12] != ' ')) {
        return NOC_EMALFORMED;
    }
    answer->status = (unsigned)(code[0] - '0') * 100 + (unsigned)(code[1] - '0') * 10 +
                     (unsigned)(code[2] - '0');
    return NOC_OK;
}

static void count(uint8_t *counter, bool is_counted)
{
    if (is_counted && *counter < UINT8_MAX) {
        (*counter)++;
    }
}

/* Is it one of those asked for, exactly (RFC 6455, 4.1)? */
static bool is_asked(const struct noc_ws_answer *answer, struct noc_slice subprotocol)
{
    struct noc_slice rest = answer->asked;
    struct noc_slice item;

    while (noc_http_list_next(&rest, &item)) {
        if (noc_slice_equal(item, subprotocol)) {
            return true;
        }
    }
    return false;
}

static void field_note(struct noc_ws_answer *answer, const struct noc_http_field *field)
{
    if (noc_http_is_same(field->name, noc_slice_of("Upgrade"))) {
        answer->has_upgrade |= noc_http_list_has(field->value, noc_slice_of("websocket"));
    } else if (noc_http_is_same(field->name, noc_slice_of("Connection"))) {
        answer->has_connection_upgrade |= noc_http_list_has(field->value, noc_slice_of("upgrade"));
    } else if (noc_http_is_same(field->name, noc_slice_of("Sec-WebSocket-Accept"))) {
        count(&answer->accept_count, true);
        count(&answer->accept_good_count,
            noc_slice_equal(field->value, noc_slice(answer->accept, sizeof answer->accept)));
    } else if (noc_http_is_same(field->name, noc_slice_of("Sec-WebSocket-Protocol"))) {
        count(&answer->subprotocol_count, true);
        count(&answer->subprotocol_good_count, is_asked(answer, field->value));
    } else if (noc_http_is_same(field->name, noc_slice_of("Sec-WebSocket-Extensions"))) {
        answer->has_extension |= field->value.n > 0;
    }
}

static enum noc_ws_answer_kind judge(const struct noc_ws_answer *answer)
{
    if (answer->status != 101) {
        return NOC_WS_ANSWER_STATUS;
    }
    if (!answer->has_upgrade || !answer->has_connection_upgrade) {
        return NOC_WS_ANSWER_UPGRADE;
    }
    if (answer->accept_count != 1 || answer->accept_good_count != 1) {
        return NOC_WS_ANSWER_ACCEPT;
    }
    if (answer->has_extension) {
        return NOC_WS_ANSWER_EXTENSION;
    }
    if (answer->subprotocol_count == 0) {
        return answer->asked.n > 0 ? NOC_WS_ANSWER_NO_SUBPROTOCOL : NOC_WS_ANSWER_GOOD;
    }
    return answer->subprotocol_count == 1 && answer->subprotocol_good_count == 1
               ? NOC_WS_ANSWER_GOOD
               : NOC_WS_ANSWER_SUBPROTOCOL;
}

/* One line of the head: the status, a field, or the blank one that ends it. */
static int line_note(
    struct noc_ws_answer *answer, struct noc_slice line, struct noc_http_field *ret_field)
{
    struct noc_http_field field = {{NULL, 0}, {NULL, 0}};
    int err = NOC_OK;

    if (answer->status == 0) {
        err = status_line_note(answer, line);
    } else if (line.n == 0) {
        answer->kind = judge(answer);
    } else {
        err = noc_http_field_parse(line, &field);
        if (err == NOC_OK) {
            field_note(answer, &field);
        }
    }
    if (err != NOC_OK) {
        answer->is_broken = true;
        return err;
    }
    *ret_field = field;
    return NOC_OK;
}

int noc_ws_answer_line(
    struct noc_ws_answer *answer, const uint8_t *bytes, size_t n, struct noc_http_field *ret_field)
{
    struct noc_slice line;
    int used;
    int err;

    if (answer->is_broken || answer->kind != NOC_WS_ANSWER_PENDING) {
        return NOC_EMALFORMED;
    }
    used = noc_http_line_take(bytes, n, &line);
    if (used <= 0) {
        answer->is_broken = used < 0;
        return used;
    }
    err = line_note(answer, line, ret_field);
    return err < 0 ? err : used;
}

int noc_ws_answer_parse(struct noc_ws_answer *answer, const uint8_t *bytes, size_t n)
{
    struct noc_http_field field;
    struct noc_slice rest;
    struct noc_slice line;
    int head_n;

    if (answer->is_broken || answer->kind != NOC_WS_ANSWER_PENDING) {
        return NOC_EMALFORMED;
    }
    head_n = noc_http_head_scan(bytes, n, &answer->scanned);
    if (head_n <= 0) {
        answer->is_broken = head_n < 0;
        return head_n;
    }
    rest = noc_slice(bytes, (size_t)head_n);
    while (noc_http_line_next(&rest, &line)) {
        int err = line_note(answer, line, &field);

        if (err < 0) {
            return err;
        }
        if (answer->lines.at == NULL) {
            answer->lines = noc_slice(rest.at, rest.n - 2);
        }
    }
    return head_n;
}

struct noc_slice noc_ws_answer_header(
    const struct noc_ws_answer *answer, const char *name, size_t *iter)
{
    return noc_http_field_find(answer->lines, noc_slice_of(name), iter);
}
