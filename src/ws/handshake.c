/* SPDX-License-Identifier: Apache-2.0 */
#include "ws/handshake.h"

static const struct noc_ws_refusal refusals[] = {
#define REFUSAL_ROW(name, status, word, line, headers) [name] = {status, word, line, headers},
    NOC_WS_REFUSAL_MAP(REFUSAL_ROW)
#undef REFUSAL_ROW
};

const struct noc_ws_refusal *noc_ws_refusal(enum noc_ws_refusal_kind kind)
{
    return &refusals[(size_t)kind < NOC_COUNT(refusals) ? kind : NOC_WS_REFUSE_INTERNAL];
}

void noc_ws_request_init(struct noc_ws_request *request)
{
    memset(request, 0, sizeof *request);
}

static int refuse(enum noc_ws_refusal_kind kind, int err, const struct noc_ws_refusal **ret_refusal)
{
    *ret_refusal = noc_ws_refusal(kind);
    return err;
}

/* A peer that speaks something else. */
static int refuse_stranger(enum noc_first_bytes kind, const struct noc_ws_refusal **ret_refusal)
{
    switch (kind) {
    case NOC_FIRST_TLS_HELLO:
        return refuse(NOC_WS_REFUSE_TLS, NOC_EPROTO, ret_refusal);
    case NOC_FIRST_MQTT_CONNECT:
        return refuse(NOC_WS_REFUSE_MQTT, NOC_EPROTO, ret_refusal);
    case NOC_FIRST_PROXY_V1:
    case NOC_FIRST_PROXY_V2:
        return refuse(NOC_WS_REFUSE_PROXY, NOC_EPROTO, ret_refusal);
    case NOC_FIRST_UNKNOWN_YET:
    case NOC_FIRST_HTTP:
    case NOC_FIRST_OTHER:
    default:
        return refuse(NOC_WS_REFUSE_NOT_HTTP, NOC_EPROTO, ret_refusal);
    }
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The path within a target, in origin or absolute form (RFC 9112, 3.2), without the query. */
static struct noc_slice target_path(struct noc_slice target)
{
    struct noc_slice path = target;
    const char *colon = memchr(target.at, ':', target.n);
    size_t end = 0;

    if (target.at[0] != '/' && colon != NULL) {
        size_t scheme_n = (size_t)(colon - target.at);

        if (target.n >= scheme_n + 3 && colon[1] == '/' && colon[2] == '/') {
            path = noc_slice(colon + 3, target.n - scheme_n - 3);
            while (path.n > 0 && strchr("/?#", path.at[0]) == NULL) {
                path.at++;
                path.n--;
            }
            if (path.n == 0 || path.at[0] != '/') {
                return noc_slice_of("/");
            }
        }
    }
    while (end < path.n && path.at[end] != '?' && path.at[end] != '#') {
        end++;
    }
    return noc_slice(path.at, end);
}

/* "GET /path HTTP/1.1": single blanks, nothing else (RFC 9112, 3). */
static int request_line_parse(struct noc_ws_request *request, struct noc_slice line)
{
    const char *blank = line.n == 0 ? NULL : memchr(line.at, ' ', line.n);
    size_t method_n = blank == NULL ? 0 : (size_t)(blank - line.at);
    const char *version;

    /* A method, a target of at least one character, two blanks, "HTTP/1.1". */
    if (blank == NULL || line.n < method_n + 11) {
        return NOC_EMALFORMED;
    }
    version = line.at + line.n - 8;
    if (version[-1] != ' ' || memcmp(version, "HTTP/", 5) != 0 || !is_digit(version[5]) ||
        version[6] != '.' || !is_digit(version[7])) {
        return NOC_EMALFORMED;
    }
    request->method = noc_slice(line.at, method_n);
    request->target = noc_slice(blank + 1, line.n - method_n - 10);
    if (!noc_http_is_token(request->method) ||
        memchr(request->target.at, ' ', request->target.n) != NULL ||
        memchr(request->target.at, '\t', request->target.n) != NULL) {
        return NOC_EMALFORMED;
    }
    request->path = target_path(request->target);
    request->version = (unsigned)(version[5] - '0') * 10 + (unsigned)(version[7] - '0');
    return NOC_OK;
}

static bool is_named(const struct noc_http_field *field, const char *name)
{
    return noc_http_is_same(field->name, noc_slice_of(name));
}

/* Headers that belong to the WebSocket handshake. */
static bool websocket_field_note(struct noc_ws_request *request, const struct noc_http_field *field)
{
    if (is_named(field, "Sec-WebSocket-Key")) {
        request->key = field->value;
        request->key_count++;
    } else if (is_named(field, "Sec-WebSocket-Version")) {
        request->ws_version = field->value;
        request->ws_version_count++;
    } else if (is_named(field, "Sec-WebSocket-Protocol")) {
        if (request->protocols.at == NULL) {
            request->protocols = field->value;
        }
    } else if (is_named(field, "Upgrade")) {
        request->has_upgrade |= noc_http_list_has(field->value, noc_slice_of("websocket"));
    } else if (is_named(field, "Connection")) {
        request->has_connection_upgrade |= noc_http_list_has(field->value, noc_slice_of("upgrade"));
    } else {
        return false;
    }
    return true;
}

/* Headers of HTTP at large. */
static void http_field_note(struct noc_ws_request *request, const struct noc_http_field *field)
{
    if (is_named(field, "Host")) {
        request->host = field->value;
        request->host_count++;
    } else if (is_named(field, "Origin")) {
        request->origin = field->value;
    } else if (is_named(field, "User-Agent")) {
        request->user_agent = field->value;
    } else if (is_named(field, "X-Forwarded-For")) {
        request->forwarded_for = field->value;
    } else if (is_named(field, "Cf-Ray")) {
        request->ray = field->value;
    } else if (is_named(field, "Content-Length")) {
        request->has_body |= !noc_slice_equal(field->value, noc_slice_of("0"));
    } else if (is_named(field, "Transfer-Encoding")) {
        request->has_body = true;
    }
}

/* The complete head, whose bytes are known to be clean. */
static int head_parse(struct noc_ws_request *request, struct noc_slice head,
    const struct noc_ws_refusal **ret_refusal)
{
    struct noc_slice line;
    struct noc_slice rest;
    struct noc_http_field field;
    unsigned count = 0;

    if (!noc_http_line_next(&head, &line) || request_line_parse(request, line) != NOC_OK) {
        return refuse(NOC_WS_REFUSE_MALFORMED, NOC_EMALFORMED, ret_refusal);
    }
    request->lines = noc_slice(head.at, head.n - 2);
    rest = request->lines;
    while (noc_http_line_next(&rest, &line)) {
        if (++count > NOC_WS_FIELDS_MAX) {
            return refuse(NOC_WS_REFUSE_FIELDS, NOC_ETOOLARGE, ret_refusal);
        }
        if (noc_http_field_parse(line, &field) != NOC_OK) {
            return refuse(NOC_WS_REFUSE_MALFORMED, NOC_EMALFORMED, ret_refusal);
        }
        if (!websocket_field_note(request, &field)) {
            http_field_note(request, &field);
        }
    }
    return NOC_OK;
}

int noc_ws_request_parse(struct noc_ws_request *request, const uint8_t *bytes, size_t n,
    const struct noc_ws_refusal **ret_refusal)
{
    size_t room = n < NOC_WS_HEAD_MAX ? n : NOC_WS_HEAD_MAX;
    size_t skip;
    int head_n;
    int err;

    request->kind = noc_first_bytes_kind(bytes, n);
    if (request->kind == NOC_FIRST_UNKNOWN_YET) {
        return 0;
    }
    if (request->kind != NOC_FIRST_HTTP) {
        return refuse_stranger(request->kind, ret_refusal);
    }
    head_n = noc_http_head_scan(bytes, room, &request->scanned);
    if (head_n < 0) {
        return refuse(NOC_WS_REFUSE_MALFORMED, NOC_EMALFORMED, ret_refusal);
    }
    if (head_n == 0) {
        return n < NOC_WS_HEAD_MAX ? 0
                                   : refuse(NOC_WS_REFUSE_HEAD_LONG, NOC_ETOOLARGE, ret_refusal);
    }
    /* One empty line before the request is skipped (RFC 9112, 2.2). */
    skip = bytes[0] == '\r' ? 2 : 0;
    err = head_parse(request, noc_slice(bytes + skip, (size_t)head_n - skip), ret_refusal);
    return err < 0 ? err : head_n;
}

struct noc_slice noc_ws_request_header(
    const struct noc_ws_request *request, const char *name, size_t *iter)
{
    return noc_http_field_find(request->lines, noc_slice_of(name), iter);
}

/* ---- the decision ---- */

#define ACCEPTED NOC_WS_REFUSALS

/* Is it an upgrade to WebSocket at all? What is not gets the likeliest cause. */
static enum noc_ws_refusal_kind judge_upgrade(const struct noc_ws_request *request)
{
    if (request->version / 10 != 1) {
        return NOC_WS_REFUSE_HTTP_VERSION;
    }
    if (!noc_slice_equal(request->method, noc_slice_of("GET"))) {
        return NOC_WS_REFUSE_METHOD;
    }
    /* RFC 9112, 3.2. */
    if (request->host_count > 1 || (request->host_count == 0 && request->version >= 11)) {
        return NOC_WS_REFUSE_HOST;
    }
    if (!request->has_upgrade) {
        return request->key_count > 0 ? NOC_WS_REFUSE_STRIPPED : NOC_WS_REFUSE_PLAIN;
    }
    if (request->version < 11) {
        return NOC_WS_REFUSE_HTTP_1_0;
    }
    return request->has_connection_upgrade ? ACCEPTED : NOC_WS_REFUSE_CONNECTION;
}

/* Whoever sends Origin is a browser, and must be on the list if there is one (RFC 6455, 10.2). */
static bool is_origin_allowed(
    const struct noc_ws_request *request, const struct noc_ws_options *options)
{
    size_t iter = 0;
    struct noc_slice origin;

    if (options->origin_count == 0) {
        return true;
    }
    for (origin = noc_ws_request_header(request, "Origin", &iter); origin.at != NULL;
         origin = noc_ws_request_header(request, "Origin", &iter)) {
        bool is_listed = false;

        for (size_t i = 0; i < options->origin_count; i++) {
            is_listed |= noc_http_is_same(origin, options->origins[i]);
        }
        if (!is_listed) {
            return false;
        }
    }
    return true;
}

/*
 * Choose among all that is offered, on any number of lines: exact tokens, our
 * order of preference. *ret_is_offered: the client offered anything at all.
 */
static struct noc_slice choose_subprotocol(
    const struct noc_ws_request *request, bool *ret_is_offered)
{
    const struct noc_slice known[] = {noc_slice_of("mqtt"), noc_slice_of("mqttv3.1")};
    size_t best = NOC_COUNT(known);
    size_t iter = 0;
    struct noc_slice list;
    struct noc_slice item;

    *ret_is_offered = false;
    for (list = noc_ws_request_header(request, "Sec-WebSocket-Protocol", &iter); list.at != NULL;
         list = noc_ws_request_header(request, "Sec-WebSocket-Protocol", &iter)) {
        while (noc_http_list_next(&list, &item)) {
            *ret_is_offered = true;
            for (size_t i = 0; i < best; i++) {
                if (noc_slice_equal(item, known[i])) {
                    best = i;
                }
            }
        }
    }
    return best < NOC_COUNT(known) ? known[best] : noc_slice(NULL, 0);
}

/* The handshake's own fields (RFC 6455, 4.2.1 and 4.4), then what the listener allows. */
static enum noc_ws_refusal_kind judge_handshake(
    const struct noc_ws_request *request, const struct noc_ws_options *options)
{
    if (request->has_body) {
        return NOC_WS_REFUSE_BODY;
    }
    if (request->ws_version_count != 1 ||
        !noc_slice_equal(request->ws_version, noc_slice_of("13"))) {
        return NOC_WS_REFUSE_WS_VERSION;
    }
    if (request->key_count != 1 || !noc_ws_key_is_valid(request->key)) {
        return NOC_WS_REFUSE_KEY;
    }
    if (options->path.n > 0 && !noc_slice_equal(request->path, options->path)) {
        return NOC_WS_REFUSE_PATH;
    }
    return is_origin_allowed(request, options) ? ACCEPTED : NOC_WS_REFUSE_ORIGIN;
}

int noc_ws_request_decide(const struct noc_ws_request *request,
    const struct noc_ws_options *options, struct noc_ws_decision *ret_decision)
{
    enum noc_ws_refusal_kind kind = judge_upgrade(request);
    struct noc_slice subprotocol = {NULL, 0};

    if (kind == ACCEPTED) {
        kind = judge_handshake(request, options);
    }
    if (kind == ACCEPTED) {
        bool is_offered;

        subprotocol = choose_subprotocol(request, &is_offered);
        if (subprotocol.at == NULL && !options->is_lenient) {
            kind = is_offered ? NOC_WS_REFUSE_SUBPROTOCOL : NOC_WS_REFUSE_NO_SUBPROTOCOL;
        } else if (options->is_full) {
            kind = NOC_WS_REFUSE_FULL;
        }
    }
    if (kind != ACCEPTED) {
        *ret_decision = (struct noc_ws_decision){noc_ws_refusal(kind), {NULL, 0}};
        return NOC_EDENIED;
    }
    *ret_decision = (struct noc_ws_decision){NULL, subprotocol};
    return NOC_OK;
}

/* ---- the answers ---- */

size_t noc_ws_accept_write(
    char *at, size_t room, const char accept[NOC_WS_ACCEPT_SIZE], struct noc_slice subprotocol)
{
    struct noc_http_out out = {at, room, 0, false};

    noc_http_put_text(&out, "HTTP/1.1 101 Switching Protocols\r\n"
                            "Upgrade: WebSocket\r\n"
                            "Connection: Upgrade\r\n"
                            "Sec-WebSocket-Accept: ");
    noc_http_put(&out, noc_slice(accept, NOC_WS_ACCEPT_SIZE));
    if (subprotocol.at != NULL) {
        noc_http_put_text(&out, "\r\nSec-WebSocket-Protocol: ");
        noc_http_put(&out, subprotocol);
    }
    noc_http_put_text(&out, "\r\n\r\n");
    return out.is_over ? 0 : out.n;
}

static const char *status_phrase(unsigned status)
{
    switch (status) {
    case 400:
        return "400 Bad Request";
    case 403:
        return "403 Forbidden";
    case 404:
        return "404 Not Found";
    case 405:
        return "405 Method Not Allowed";
    case 408:
        return "408 Request Timeout";
    case 426:
        return "426 Upgrade Required";
    case 431:
        return "431 Request Header Fields Too Large";
    case 503:
        return "503 Service Unavailable";
    case 505:
        return "505 HTTP Version Not Supported";
    default:
        return "500 Internal Server Error";
    }
}

size_t noc_ws_refusal_write(char *at, size_t room, const struct noc_ws_refusal *refusal)
{
    struct noc_http_out out = {at, room, 0, false};
    struct noc_slice line = noc_slice_of(refusal->line);

    if (refusal->status == 0) {
        return 0;
    }
    noc_http_put_text(&out, "HTTP/1.1 ");
    noc_http_put_text(&out, status_phrase(refusal->status));
    noc_http_put_text(&out, "\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ");
    noc_http_put_number(&out, line.n + 1);
    /* Who sends Upgrade must name it in Connection (RFC 9110, 7.8). */
    noc_http_put_text(&out, "\r\nConnection: close");
    noc_http_put_text(&out, refusal->status == 426 ? ", Upgrade\r\n" : "\r\n");
    noc_http_put_text(&out, refusal->headers);
    noc_http_put_text(&out, "\r\n");
    noc_http_put(&out, line);
    noc_http_put_text(&out, "\n");
    return out.is_over ? 0 : out.n;
}
