/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "ws/handshake.h"

#include "guard.h"
#include "sha1.h"

#define KEY_LINE "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define CORE                                                   \
    "Host: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" \
    "Sec-WebSocket-Version: 13\r\n"
#define GOOD CORE KEY_LINE
#define MQTT "Sec-WebSocket-Protocol: mqtt\r\n"

static struct guard guard;

/* ---- helpers ---- */

/*
 * Parse, growing byte by byte, each time in front of the guard page at another
 * place. Returns what the parser says in the end; the slices of *request are
 * then into bytes themselves.
 */
static int parse(struct noc_ws_request *request, const void *bytes, size_t n,
    const struct noc_ws_refusal **ret_refusal)
{
    int result = 0;

    noc_ws_request_init(request);
    for (size_t i = 0; i <= n && result == 0; i++) {
        result = noc_ws_request_parse(request, guard_put(&guard, bytes, i), i, ret_refusal);
    }
    if (result > 0) {
        noc_ws_request_init(request);
        assert_int_equal(noc_ws_request_parse(request, bytes, n, ret_refusal), result);
    }
    return result;
}

static int parse_text(struct noc_ws_request *request, const char *text)
{
    const struct noc_ws_refusal *refusal = NULL;

    return parse(request, text, strlen(text), &refusal);
}

/* The word of the refusal of a request, or "accept" and the subprotocol. */
static const char *verdict(const char *text, const struct noc_ws_options *options)
{
    static const struct noc_ws_options none;
    static char accepted[64];
    const struct noc_ws_refusal *refusal = NULL;
    struct noc_ws_decision decision;
    struct noc_ws_request request;
    int n = parse(&request, text, strlen(text), &refusal);

    if (n < 0) {
        assert_non_null(refusal);
        return refusal->word;
    }
    if (n == 0) {
        return "more";
    }
    if (noc_ws_request_decide(&request, options == NULL ? &none : options, &decision) != NOC_OK) {
        assert_null(decision.subprotocol.at);
        return decision.refusal->word;
    }
    assert_null(decision.refusal);
    snprintf(accepted, sizeof accepted, "accept %.*s", NOC_SLICE_ARG(decision.subprotocol));
    return accepted;
}

#define assert_verdict(text, word) assert_string_equal(verdict(text, NULL), word)

/* ---- requests as they come ---- */

static void a_browsers_request_is_taken_apart(void **state)
{
    static const char text[] =
        "GET /mqtt?token=1 HTTP/1.1\r\n"
        "Host: broker.example\r\n"
        "Connection: keep-alive, Upgrade\r\n"
        "Upgrade: websocket\r\n"
        "Origin: https://app.example\r\n"
        "User-Agent: Mozilla/5.0 (X11)\r\n"
        "Sec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Extensions: permessage-deflate\r\n" KEY_LINE MQTT "\r\n";
    struct noc_ws_request request;
    size_t iter = 0;

    (void)state;
    assert_int_equal(parse_text(&request, text), sizeof text - 1);
    assert_int_equal(request.kind, NOC_FIRST_HTTP);
    assert_slice(request.method, "GET");
    assert_slice(request.target, "/mqtt?token=1");
    assert_slice(request.path, "/mqtt");
    assert_int_equal(request.version, 11);
    assert_slice(request.host, "broker.example");
    assert_slice(request.key, "dGhlIHNhbXBsZSBub25jZQ==");
    assert_slice(request.ws_version, "13");
    assert_slice(request.protocols, "mqtt");
    assert_slice(request.origin, "https://app.example");
    assert_slice(request.user_agent, "Mozilla/5.0 (X11)");
    assert_null(request.forwarded_for.at);
    assert_slice(
        noc_ws_request_header(&request, "sec-websocket-extensions", &iter), "permessage-deflate");
    assert_verdict(text, "accept mqtt");
}

static void cloudflareds_request_is_accepted(void **state)
{
    /* Go: Host first, names sorted, its own capitals, no User-Agent. */
    static const char text[] = "GET /mqtt HTTP/1.1\r\n"
                               "Host: mqtt.example.org\r\n"
                               "Accept-Encoding: gzip\r\n"
                               "Cdn-Loop: cloudflare; loops=1\r\n"
                               "Cf-Connecting-Ip: 203.0.113.7\r\n"
                               "Cf-Ipcountry: DE\r\n"
                               "Cf-Ray: 8a1b2c3d4e5f-FRA\r\n"
                               "Cf-Visitor: {\"scheme\":\"https\"}\r\n"
                               "Connection: Upgrade\r\n"
                               "Sec-Websocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                               "Sec-Websocket-Protocol: mqtt\r\n"
                               "Sec-Websocket-Version: 13\r\n"
                               "Upgrade: websocket\r\n"
                               "X-Forwarded-For: 203.0.113.7\r\n"
                               "X-Forwarded-Proto: https\r\n"
                               "\r\n";
    struct noc_ws_request request;
    size_t iter = 0;

    (void)state;
    assert_int_equal(parse_text(&request, text), sizeof text - 1);
    assert_null(request.user_agent.at);
    assert_null(request.origin.at);
    assert_slice(noc_ws_request_header(&request, "CF-Connecting-IP", &iter), "203.0.113.7");
    assert_null(noc_ws_request_header(&request, "CF-Connecting-IP", &iter).at);
    iter = 0;
    assert_slice(noc_ws_request_header(&request, "cf-ray", &iter), "8a1b2c3d4e5f-FRA");
    assert_slice(request.ray, "8a1b2c3d4e5f-FRA");
    assert_verdict(text, "accept mqtt");
}

static void nginx_with_upgrade_lines_is_accepted(void **state)
{
    static const char text[] = "GET /mqtt HTTP/1.1\r\n"
                               "Upgrade: websocket\r\n"
                               "Connection: upgrade\r\n"
                               "Host: localhost\r\n"
                               "X-Forwarded-For: 6.6.6.6, 127.0.0.1\r\n"
                               "Cf-Connecting-Ip: 9.9.9.9\r\n"
                               "Origin: https://evil.example\r\n"
                               "Sec-WebSocket-Version: 13\r\n" KEY_LINE MQTT "\r\n";
    struct noc_ws_request request;

    (void)state;
    assert_true(parse_text(&request, text) > 0);
    assert_slice(request.forwarded_for, "6.6.6.6, 127.0.0.1");
    assert_verdict(text, "accept mqtt");
}

static void nginx_without_upgrade_lines_is_told_the_fix(void **state)
{
    static const char text[] = "GET /mqtt HTTP/1.0\r\n"
                               "Host: backend\r\n"
                               "Connection: close\r\n"
                               "Sec-WebSocket-Version: 13\r\n" KEY_LINE MQTT "\r\n";

    (void)state;
    assert_verdict(text, "upgrade-stripped");
    assert_int_equal(noc_ws_refusal(NOC_WS_REFUSE_STRIPPED)->status, 426);
    assert_non_null(strstr(noc_ws_refusal(NOC_WS_REFUSE_STRIPPED)->line, "$http_upgrade"));
    assert_verdict(
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n" KEY_LINE "\r\n", "upgrade-stripped");
    assert_verdict(
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\n" KEY_LINE "\r\n", "upgrade-stripped");
}

static void haproxys_lower_case_and_repeated_lines_are_read(void **state)
{
    static const char text[] = "GET /mqtt HTTP/1.1\r\n"
                               "host: h\r\n"
                               "upgrade: websocket\r\n"
                               "connection: upgrade\r\n"
                               "x-forwarded-for: 6.6.6.6\r\n"
                               "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                               "sec-websocket-version: 13\r\n"
                               "sec-websocket-protocol: mqtt\r\n"
                               "x-forwarded-for: 127.0.0.1\r\n"
                               "\r\n";
    struct noc_ws_request request;
    size_t iter = 0;

    (void)state;
    assert_true(parse_text(&request, text) > 0);
    assert_slice(request.forwarded_for, "127.0.0.1");
    assert_slice(noc_ws_request_header(&request, "X-Forwarded-For", &iter), "6.6.6.6");
    assert_slice(noc_ws_request_header(&request, "X-Forwarded-For", &iter), "127.0.0.1");
    assert_null(noc_ws_request_header(&request, "X-Forwarded-For", &iter).at);
    assert_verdict(text, "accept mqtt");
}

static void bytes_behind_the_head_are_left_to_the_caller(void **state)
{
    static const char text[] = "GET / HTTP/1.1\r\n" GOOD MQTT "\r\n\x82\x8c\1\2\3\4";
    struct noc_ws_request request;

    (void)state;
    assert_int_equal(parse_text(&request, text), sizeof text - 1 - 6);
}

static void an_empty_line_in_front_is_skipped(void **state)
{
    static const char text[] = "\r\nGET / HTTP/1.1\r\n" GOOD MQTT "\r\n";
    struct noc_ws_request request;

    (void)state;
    assert_int_equal(parse_text(&request, text), sizeof text - 1);
    assert_slice(request.method, "GET");
    assert_verdict("\r\n\r\nGET / HTTP/1.1\r\n", "not-http");
}

static void targets_of_every_form_give_a_path(void **state)
{
    static const struct {
        const char *target;
        const char *path;
    } rows[] = {
        {"/", "/"},
        {"/mqtt", "/mqtt"},
        {"/a/b?c=/d", "/a/b"},
        {"/a#b", "/a"},
        {"http://h:80/mqtt?x", "/mqtt"},
        {"ws://h", "/"},
        {"ws://h?x", "/"},
        {"/http://h/x", "/http://h/x"},
        {"*", "*"},
        {"mqtt", "mqtt"},
        {"h:443", "h:443"},
        {"x:", "x:"},
        {"x:/", "x:/"},
        {":", ":"},
        {"://", "/"},
    };
    struct noc_ws_request request;
    char text[200];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        snprintf(text, sizeof text, "GET %s HTTP/1.1\r\n" GOOD MQTT "\r\n", rows[i].target);
        assert_true(parse_text(&request, text) > 0);
        assert_slice(request.target, rows[i].target);
        assert_slice(request.path, rows[i].path);
    }
}

/* ---- heads that are too long or broken ---- */

static void forty_headers_are_fine_and_201_are_too_many(void **state)
{
    static char text[9000];
    struct noc_ws_request request;

    (void)state;
    for (unsigned total = 40; total <= 201; total++) {
        size_t n = (size_t)snprintf(text, sizeof text, "GET / HTTP/1.1\r\n" GOOD MQTT);
        const struct noc_ws_refusal *refusal = NULL;
        int result;

        for (unsigned i = 6; i < total; i++) {
            n += (size_t)snprintf(text + n, sizeof text - n, "X-Extra-%u: some value\r\n", i);
        }
        n += (size_t)snprintf(text + n, sizeof text - n, "\r\n");
        noc_ws_request_init(&request);
        result = noc_ws_request_parse(&request, (const uint8_t *)text, n, &refusal);
        assert_int_equal(result, total <= NOC_WS_FIELDS_MAX ? (int)n : NOC_ETOOLARGE);
        assert_true(total <= NOC_WS_FIELDS_MAX || refusal->status == 431);
    }
}

/* A request whose head is exactly n bytes long, by one long header. */
static void fill_head(char *at, size_t n)
{
    static const char start[] = "GET / HTTP/1.1\r\n" GOOD MQTT "Cookie: ";

    memset(at, 'c', n);
    memcpy(at, start, sizeof start - 1);
    memcpy(at + n - 4, "\r\n\r\n", 4);
}

static void a_head_of_16_kib_is_fine_and_one_more_byte_is_not(void **state)
{
    static char text[NOC_WS_HEAD_MAX + 1];
    const struct noc_ws_refusal *refusal = NULL;
    struct noc_ws_request request;

    (void)state;
    fill_head(text, NOC_WS_HEAD_MAX);
    text[NOC_WS_HEAD_MAX] = '\0';
    assert_int_equal(parse(&request, text, sizeof text, &refusal), NOC_WS_HEAD_MAX);
    assert_slice(request.key, "dGhlIHNhbXBsZSBub25jZQ==");

    fill_head(text, NOC_WS_HEAD_MAX + 1);
    assert_int_equal(parse(&request, text, sizeof text, &refusal), NOC_ETOOLARGE);
    assert_int_equal(refusal->status, 431);
    assert_string_equal(refusal->word, "head-too-long");
    /* Full without an end: hopeless at once, not a byte later. */
    noc_ws_request_init(&request);
    assert_int_equal(
        noc_ws_request_parse(&request, (const uint8_t *)text, NOC_WS_HEAD_MAX - 1, &refusal), 0);
    assert_int_equal(
        noc_ws_request_parse(&request, (const uint8_t *)text, NOC_WS_HEAD_MAX, &refusal),
        NOC_ETOOLARGE);
}

static void broken_heads_are_refused_with_400(void **state)
{
    static const char *const rows[] = {
        "GET / HTTP/1.1\nHost: h\n\n",
        "GET / HTTP/1.1\r\nHost: h\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\rX: y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\r\n Host: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost\r\n\r\n",
        "GET / HTTP/1.1\r\n: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHo\x01st: h\r\n\r\n",
        "GET /\r\n\r\n",
        "GET  HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1 \r\n\r\n",
        "GET  / HTTP/1.1\r\n\r\n",
        "GET / x HTTP/1.1\r\n\r\n",
        "GET /\tx HTTP/1.1\r\n\r\n",
        "GET / http/1.1\r\n\r\n",
        "GET / HTTP/11\r\n\r\n",
        "GET / HTTP/1.x\r\n\r\n",
        "GET / HTTP/1,1\r\n\r\n",
        "GET / HTTP/1.10\r\n\r\n",
        "GET /HTTP/1.1\r\n\r\n",
        "GET \r\n\r\n",
    };
    struct noc_ws_request request;
    const struct noc_ws_refusal *refusal = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(parse(&request, rows[i], strlen(rows[i]), &refusal), NOC_EMALFORMED);
        assert_string_equal(refusal->word, "malformed");
        assert_int_equal(refusal->status, 400);
    }
    assert_int_equal(
        parse(&request, "GET / HTTP/1.1\r\nA: \0\r\n\r\n", 24, &refusal), NOC_EMALFORMED);
}

static void who_speaks_something_else_is_named(void **state)
{
    static const struct {
        const char *bytes;
        size_t n;
        enum noc_first_bytes kind;
        const char *word;
        unsigned status;
    } rows[] = {
        {"\x16\x03\x01\x02", 4, NOC_FIRST_TLS_HELLO, "tls-hello", 0},
        {"\x10\x0c\0\4MQTT\4", 9, NOC_FIRST_MQTT_CONNECT, "plain-mqtt", 0},
        {"PROXY TCP4 1.1.1.1", 18, NOC_FIRST_PROXY_V1, "proxy-header", 400},
        {"\r\n\r\n\0\r\nQUIT\n\x20", 13, NOC_FIRST_PROXY_V2, "proxy-header", 400},
        {"\x82\x80", 2, NOC_FIRST_OTHER, "not-http", 400},
        {"get / HTTP/1.1\r\n", 16, NOC_FIRST_OTHER, "not-http", 400},
    };
    struct noc_ws_request request;
    const struct noc_ws_refusal *refusal = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(parse(&request, rows[i].bytes, rows[i].n, &refusal), NOC_EPROTO);
        assert_int_equal(request.kind, rows[i].kind);
        assert_string_equal(refusal->word, rows[i].word);
        assert_int_equal(refusal->status, rows[i].status);
    }
    assert_verdict("", "more");
    assert_verdict("GE", "more");
    assert_verdict("GET / HTTP/1.1\r\nHost: h\r\n", "more");
}

/* ---- the decision ---- */

static void what_is_no_upgrade_is_refused_by_its_cause(void **state)
{
    (void)state;
    assert_verdict("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n", "not-an-upgrade");
    assert_verdict("GET / HTTP/1.0\r\n\r\n", "not-an-upgrade");
    assert_verdict("GET / HTTP/1.1\r\nHost: h\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
        "not-an-upgrade");
    assert_verdict("GET / HTTP/1.1\r\nHost: h\r\nUpgrade: h2c, WebSocket\r\nConnection: Upgrade\r\n"
                   "Sec-WebSocket-Version: 13\r\n" KEY_LINE MQTT "\r\n",
        "accept mqtt");
    assert_verdict("GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: close\r\n"
                   "Sec-WebSocket-Version: 13\r\n" KEY_LINE MQTT "\r\n",
        "connection-not-upgrade");
    assert_verdict("GET / HTTP/1.0\r\n" GOOD MQTT "\r\n", "http-1.0");
    assert_verdict("GET / HTTP/2.0\r\n" GOOD MQTT "\r\n", "http-version");
    assert_verdict("GET / HTTP/0.9\r\n" GOOD MQTT "\r\n", "http-version");
    assert_verdict("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "http-version");
    assert_verdict("GET / HTTP/1.2\r\n" GOOD MQTT "\r\n", "accept mqtt");
    assert_verdict("POST / HTTP/1.1\r\n" GOOD MQTT "\r\n", "method");
    assert_verdict("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n", "method");
    assert_verdict("CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n", "method");
    assert_verdict("GETT / HTTP/1.1\r\n" GOOD MQTT "\r\n", "method");
}

static void host_is_there_once(void **state)
{
    (void)state;
    assert_verdict("GET / HTTP/1.1\r\n\r\n", "bad-host");
    assert_verdict("GET / HTTP/1.1\r\nHost: a\r\nHOST: a\r\n\r\n", "bad-host");
    assert_verdict("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", "bad-host");
}

static void an_upgrade_has_no_body(void **state)
{
    (void)state;
    assert_verdict("GET / HTTP/1.1\r\n" GOOD MQTT "Content-Length: 0\r\n\r\n", "accept mqtt");
    assert_verdict("GET / HTTP/1.1\r\n" GOOD MQTT "Content-Length: 5\r\n\r\n", "request-body");
    assert_verdict(
        "GET / HTTP/1.1\r\n" GOOD MQTT "Transfer-Encoding: chunked\r\n\r\n", "request-body");
}

static void the_version_is_13(void **state)
{
    static const char start[] =
        "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" KEY_LINE MQTT;
    static const char *const versions[] = {"", "Sec-WebSocket-Version:\r\n",
        "Sec-WebSocket-Version: 8\r\n", "Sec-WebSocket-Version: 013\r\n",
        "Sec-WebSocket-Version: 13, 8\r\n",
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 8\r\n"};
    char text[400];

    (void)state;
    for (size_t i = 0; i < sizeof versions / sizeof versions[0]; i++) {
        snprintf(text, sizeof text, "%s%s\r\n", start, versions[i]);
        assert_verdict(text, "websocket-version");
    }
    /* RFC 6455, 4.4: the answer names the version that is spoken. */
    assert_int_equal(noc_ws_refusal(NOC_WS_REFUSE_WS_VERSION)->status, 426);
    assert_non_null(
        strstr(noc_ws_refusal(NOC_WS_REFUSE_WS_VERSION)->headers, "Sec-WebSocket-Version: 13\r\n"));
}

static void the_key_is_there_once_and_of_16_bytes(void **state)
{
    (void)state;
    assert_verdict("GET / HTTP/1.1\r\n" CORE MQTT "\r\n", "bad-key");
    assert_verdict("GET / HTTP/1.1\r\n" GOOD KEY_LINE MQTT "\r\n", "bad-key");
    assert_verdict("GET / HTTP/1.1\r\n" CORE "Sec-WebSocket-Key: short\r\n" MQTT "\r\n", "bad-key");
    assert_verdict("GET / HTTP/1.1\r\n" CORE "Sec-WebSocket-Key:\r\n" MQTT "\r\n", "bad-key");
    assert_int_equal(noc_ws_refusal(NOC_WS_REFUSE_KEY)->status, 400);
}

static void the_subprotocol_is_picked_from_any_list(void **state)
{
    static const struct {
        const char *lines;
        const char *strict;
        const char *lenient;
    } rows[] = {
        {"Sec-WebSocket-Protocol: mqtt\r\n", "accept mqtt", "accept mqtt"},
        {"Sec-WebSocket-Protocol: mqttv3.1\r\n", "accept mqttv3.1", "accept mqttv3.1"},
        {"Sec-WebSocket-Protocol: mqtt, mqttv3.1\r\n", "accept mqtt", "accept mqtt"},
        {"Sec-WebSocket-Protocol: mqttv3.1,mqtt\r\n", "accept mqtt", "accept mqtt"},
        {"Sec-WebSocket-Protocol: a , ,mqttv3.1\r\nsec-websocket-protocol: mqtt\r\n", "accept mqtt",
            "accept mqtt"},
        {"Sec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Protocol: mqttv3.1\r\n", "accept mqtt",
            "accept mqtt"},
        {"", "no-subprotocol", "accept "},
        {"Sec-WebSocket-Protocol:\r\n", "no-subprotocol", "accept "},
        {"Sec-WebSocket-Protocol: , ,\r\n", "no-subprotocol", "accept "},
        {"Sec-WebSocket-Protocol: arduino\r\n", "unknown-subprotocol", "accept "},
        {"Sec-WebSocket-Protocol: mqttv3.1.1\r\n", "unknown-subprotocol", "accept "},
        {"Sec-WebSocket-Protocol: m\r\n", "unknown-subprotocol", "accept "},
        {"Sec-WebSocket-Protocol: MQTT\r\n", "unknown-subprotocol", "accept "},
        {"Sec-WebSocket-Protocol: mqtt mqttv3.1\r\n", "unknown-subprotocol", "accept "},
    };
    const struct noc_ws_options lenient = {.is_lenient = true};
    char text[400];

    (void)state;
    /* [MQTT-6.0.0-3], [MQTT-6.0.0-4]. */
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        snprintf(text, sizeof text, "GET / HTTP/1.1\r\n" GOOD "%s\r\n", rows[i].lines);
        assert_verdict(text, rows[i].strict);
        assert_string_equal(verdict(text, &lenient), rows[i].lenient);
    }
}

static void a_path_may_be_compulsory(void **state)
{
    const struct noc_ws_options options = {.path = noc_slice_of("/mqtt")};

    (void)state;
    assert_verdict("GET /any/path HTTP/1.1\r\n" GOOD MQTT "\r\n", "accept mqtt");
    assert_string_equal(
        verdict("GET /mqtt?a HTTP/1.1\r\n" GOOD MQTT "\r\n", &options), "accept mqtt");
    assert_string_equal(
        verdict("GET http://h/mqtt HTTP/1.1\r\n" GOOD MQTT "\r\n", &options), "accept mqtt");
    assert_string_equal(verdict("GET / HTTP/1.1\r\n" GOOD MQTT "\r\n", &options), "path");
    assert_string_equal(verdict("GET /mqtt2 HTTP/1.1\r\n" GOOD MQTT "\r\n", &options), "path");
    assert_string_equal(verdict("GET /MQTT HTTP/1.1\r\n" GOOD MQTT "\r\n", &options), "path");
    assert_int_equal(noc_ws_refusal(NOC_WS_REFUSE_PATH)->status, 404);
}

static void origins_concern_only_those_who_send_one(void **state)
{
    const struct noc_slice origins[] = {
        noc_slice_of("https://a.example"), noc_slice_of("http://b.example:8080")};
    const struct noc_ws_options options = {.origins = origins, .origin_count = 2};

#define WITH(lines) verdict("GET / HTTP/1.1\r\n" GOOD MQTT lines "\r\n", &options)
    (void)state;
    assert_string_equal(WITH(""), "accept mqtt");
    assert_string_equal(WITH("Origin: https://A.example\r\n"), "accept mqtt");
    assert_string_equal(WITH("origin: http://b.example:8080\r\n"), "accept mqtt");
    assert_string_equal(WITH("Origin: http://a.example\r\n"), "origin");
    assert_string_equal(WITH("Origin: https://a.example.evil.example\r\n"), "origin");
    assert_string_equal(WITH("Origin: null\r\n"), "origin");
    assert_string_equal(WITH("Origin:\r\n"), "origin");
    assert_string_equal(
        WITH("Origin: https://x.example\r\nOrigin: https://a.example\r\n"), "origin");
    assert_verdict(
        "GET / HTTP/1.1\r\n" GOOD MQTT "Origin: https://x.example\r\n\r\n", "accept mqtt");
#undef WITH
}

static void a_full_listener_says_so_after_all_else_is_right(void **state)
{
    const struct noc_ws_options options = {.is_full = true};

    (void)state;
    assert_string_equal(verdict("GET / HTTP/1.1\r\n" GOOD MQTT "\r\n", &options), "at-limit");
    assert_string_equal(verdict("GET / HTTP/1.1\r\nHost: h\r\n\r\n", &options), "not-an-upgrade");
}

/* ---- the answers ---- */

static void the_101_answer_is_mosquittos_to_the_byte(void **state)
{
    char accept[NOC_WS_ACCEPT_SIZE];
    char at[NOC_WS_ACCEPT_ROOM];
    static const char expected[] = "HTTP/1.1 101 Switching Protocols\r\n"
                                   "Upgrade: WebSocket\r\n"
                                   "Connection: Upgrade\r\n"
                                   "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
                                   "Sec-WebSocket-Protocol: mqtt\r\n"
                                   "\r\n";

    (void)state;
    assert_int_equal(
        noc_ws_accept_compute(test_sha1, noc_slice_of("dGhlIHNhbXBsZSBub25jZQ=="), accept), NOC_OK);
    assert_slice(
        noc_slice(at, noc_ws_accept_write(at, sizeof at, accept, noc_slice_of("mqtt"))), expected);
    assert_slice(noc_slice(at, noc_ws_accept_write(at, sizeof at, accept, noc_slice(NULL, 0))),
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n");
    for (size_t room = 0; room < sizeof expected - 1; room++) {
        char *end = (char *)guard_put(&guard, at, room);

        assert_int_equal(noc_ws_accept_write(end, room, accept, noc_slice_of("mqtt")), 0);
    }
}

static void a_refusal_is_a_whole_answer_with_one_line(void **state)
{
    char at[NOC_WS_REFUSAL_ROOM];
    size_t n = noc_ws_refusal_write(at, sizeof at, noc_ws_refusal(NOC_WS_REFUSE_PATH));

    (void)state;
    assert_slice(noc_slice(at, n), "HTTP/1.1 404 Not Found\r\n"
                                   "Content-Type: text/plain; charset=utf-8\r\n"
                                   "Content-Length: 38\r\n"
                                   "Connection: close\r\n"
                                   "\r\n"
                                   "WebSocket is not served at this path.\n");
}

static void every_refusal_is_sound_and_fits(void **state)
{
    char at[NOC_WS_REFUSAL_ROOM + 1];

    (void)state;
    for (int kind = 0; kind < NOC_WS_REFUSALS; kind++) {
        const struct noc_ws_refusal *refusal = noc_ws_refusal((enum noc_ws_refusal_kind)kind);
        size_t n = noc_ws_refusal_write(at, NOC_WS_REFUSAL_ROOM, refusal);
        char *body;
        char length[40];

        assert_true(strspn(refusal->word, "abcdefghijklmnopqrstuvwxyz0123456789-.") ==
                    strlen(refusal->word));
        assert_null(strpbrk(refusal->line, "\r\n"));
        if (refusal->status == 0) {
            assert_int_equal(n, 0);
            continue;
        }
        assert_true(n > 0);
        assert_int_equal(noc_ws_refusal_write(at, n - 1, refusal), 0);
        assert_int_equal(noc_ws_refusal_write(at, n, refusal), n);
        at[n] = '\0';
        assert_int_equal(strtoul(at + 9, NULL, 10), refusal->status);
        assert_true(refusal->status == 500 || strstr(at, "500 Internal") == NULL);
        body = strstr(at, "\r\n\r\n");
        assert_non_null(body);
        body += 4;
        snprintf(length, sizeof length, "\r\nContent-Length: %zu\r\n", strlen(body));
        assert_non_null(strstr(at, length));
        assert_non_null(strstr(at, "\r\nConnection: close"));
        assert_int_equal(strncmp(body, refusal->line, strlen(refusal->line)), 0);
        assert_string_equal(body + strlen(refusal->line), "\n");
        /* RFC 9110, 15.5.22: 426 must name the protocol, and Connection must name Upgrade. */
        assert_int_equal(refusal->status == 426, strstr(at, "\r\nUpgrade: websocket\r\n") != NULL);
        assert_int_equal(refusal->status == 426, strstr(at, "close, Upgrade\r\n") != NULL);
        assert_int_equal(refusal->status == 405, strstr(at, "\r\nAllow: GET\r\n") != NULL);
    }
    assert_ptr_equal(
        noc_ws_refusal((enum noc_ws_refusal_kind)999), noc_ws_refusal(NOC_WS_REFUSE_INTERNAL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_browsers_request_is_taken_apart),
        cmocka_unit_test(cloudflareds_request_is_accepted),
        cmocka_unit_test(nginx_with_upgrade_lines_is_accepted),
        cmocka_unit_test(nginx_without_upgrade_lines_is_told_the_fix),
        cmocka_unit_test(haproxys_lower_case_and_repeated_lines_are_read),
        cmocka_unit_test(bytes_behind_the_head_are_left_to_the_caller),
        cmocka_unit_test(an_empty_line_in_front_is_skipped),
        cmocka_unit_test(targets_of_every_form_give_a_path),
        cmocka_unit_test(forty_headers_are_fine_and_201_are_too_many),
        cmocka_unit_test(a_head_of_16_kib_is_fine_and_one_more_byte_is_not),
        cmocka_unit_test(broken_heads_are_refused_with_400),
        cmocka_unit_test(who_speaks_something_else_is_named),
        cmocka_unit_test(what_is_no_upgrade_is_refused_by_its_cause),
        cmocka_unit_test(host_is_there_once),
        cmocka_unit_test(an_upgrade_has_no_body),
        cmocka_unit_test(the_version_is_13),
        cmocka_unit_test(the_key_is_there_once_and_of_16_bytes),
        cmocka_unit_test(the_subprotocol_is_picked_from_any_list),
        cmocka_unit_test(a_path_may_be_compulsory),
        cmocka_unit_test(origins_concern_only_those_who_send_one),
        cmocka_unit_test(a_full_listener_says_so_after_all_else_is_right),
        cmocka_unit_test(the_101_answer_is_mosquittos_to_the_byte),
        cmocka_unit_test(a_refusal_is_a_whole_answer_with_one_line),
        cmocka_unit_test(every_refusal_is_sound_and_fits),
    };
    int failed;

    guard_init(&guard, 20000);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    guard_done(&guard);
    return failed;
}
