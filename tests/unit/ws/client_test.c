/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "ws/client.h"

#include "guard.h"
#include "sha1.h"
#include "ws/handshake.h"

#define KEY    "dGhlIHNhbXBsZSBub25jZQ=="
#define ACCEPT "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
#define START  "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n"

static struct guard guard;

static struct noc_ws_ask plain_ask(void)
{
    return (struct noc_ws_ask){.host = noc_slice_of("broker.example:8080"),
        .path = noc_slice_of("/mqtt?x=1"),
        .key = noc_slice_of(KEY),
        .subprotocol = noc_slice_of("mqtt")};
}

/* ---- the request ---- */

static void a_request_is_written_exactly(void **state)
{
    static const char expected[] = "GET /mqtt?x=1 HTTP/1.1\r\n"
                                   "Host: broker.example:8080\r\n"
                                   "Upgrade: websocket\r\n"
                                   "Connection: Upgrade\r\n"
                                   "Sec-WebSocket-Key: " KEY "\r\n"
                                   "Sec-WebSocket-Version: 13\r\n"
                                   "Sec-WebSocket-Protocol: mqtt\r\n"
                                   "User-Agent: test/1 (x)\r\n"
                                   "CF-Access-Client-Id: abc.access\r\n"
                                   "X-Empty:\r\n"
                                   "\r\n";
    struct noc_slice headers[] = {
        noc_slice_of("CF-Access-Client-Id: abc.access"), noc_slice_of("X-Empty:")};
    struct noc_ws_ask ask = plain_ask();
    char at[512];

    (void)state;
    ask.user_agent = noc_slice_of("test/1 (x)");
    ask.headers = headers;
    ask.header_count = 2;
    assert_int_equal(noc_ws_ask_write(at, sizeof at, &ask), sizeof expected - 1);
    assert_memory_equal(at, expected, sizeof expected - 1);
    for (size_t room = 0; room < sizeof expected - 1; room++) {
        assert_int_equal(
            noc_ws_ask_write((char *)guard_put(&guard, at, room), room, &ask), NOC_ETOOLARGE);
    }
}

static void what_may_be_left_out_is_left_out(void **state)
{
    struct noc_ws_ask ask = {.host = noc_slice_of("h"), .key = noc_slice_of(KEY)};
    char at[512];
    int n = noc_ws_ask_write(at, sizeof at, &ask);

    (void)state;
    assert_slice(noc_slice(at, (size_t)n),
        "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: " KEY "\r\nSec-WebSocket-Version: 13\r\n\r\n");
}

static void nothing_can_be_smuggled_into_a_request(void **state)
{
    static const char *const headers[] = {"", "NoColon", "A: b\r\nC: d", "A: b\n", " A: b", "A : b",
        "Host: x", "upgrade: h2c", "CONNECTION: close", "sec-websocket-key: x",
        "Sec-WebSocket-Version: 8", "Sec-WebSocket-Protocol: x",
        "Sec-WebSocket-Extensions: permessage-deflate", "Content-Length: 5",
        "Transfer-Encoding: chunked"};
    char at[512];
    struct noc_ws_ask ask;

    (void)state;
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        struct noc_slice header = noc_slice_of(headers[i]);

        ask = plain_ask();
        ask.headers = &header;
        ask.header_count = 1;
        assert_int_equal(noc_ws_ask_write(at, sizeof at, &ask), NOC_EINVAL);
    }
#define REFUSES(member, text)                       \
    ask = plain_ask();                              \
    ask.member = noc_slice(text, sizeof(text) - 1); \
    assert_int_equal(noc_ws_ask_write(at, sizeof at, &ask), NOC_EINVAL)
    REFUSES(host, "");
    REFUSES(host, "a b");
    REFUSES(host, "a\r\nX: y");
    REFUSES(path, "mqtt");
    REFUSES(path, "/a b");
    REFUSES(path, "/ HTTP/1.1\r\nX: y");
    REFUSES(path, "/\0");
    REFUSES(key, "short");
    REFUSES(subprotocol, "mqtt\r\nX: y");
    REFUSES(subprotocol, "mq tt");
    REFUSES(user_agent, "a\nb");
#undef REFUSES
}

/* ---- the answer ---- */

static void answer_start(struct noc_ws_answer *answer, const char *asked)
{
    assert_int_equal(
        noc_ws_answer_init(answer, test_sha1, noc_slice_of(KEY), noc_slice_of(asked)), NOC_OK);
}

/*
 * Read an answer whole, dripping in, and line by line with a buffer that holds
 * no more than a line. All must agree. Returns the bytes or an error.
 */
static int read_answer(struct noc_ws_answer *answer, const char *asked, const char *text)
{
    size_t n = strlen(text);
    struct noc_ws_answer lines;
    struct noc_http_field field;
    size_t at = 0;
    int whole = 0;
    int used = 1;

    answer_start(answer, asked);
    for (size_t i = 0; i <= n && whole == 0; i++) {
        assert_int_equal(answer->kind, NOC_WS_ANSWER_PENDING);
        whole = noc_ws_answer_parse(answer, guard_put(&guard, text, i), i);
    }
    answer_start(&lines, asked);
    while (used > 0 && lines.kind == NOC_WS_ANSWER_PENDING) {
        used = 0;
        for (size_t i = 0; at + i <= n && used == 0; i++) {
            used = noc_ws_answer_line(&lines, guard_put(&guard, text + at, i), i, &field);
        }
        at += used > 0 ? (size_t)used : 0;
    }
    assert_int_equal(lines.kind, answer->kind);
    assert_int_equal(used < 0 ? used : lines.kind == NOC_WS_ANSWER_PENDING ? 0 : (int)at, whole);
    if (whole > 0) {
        assert_int_equal(lines.status, answer->status);
        /* The slices must lie in memory that stays. */
        answer_start(answer, asked);
        assert_int_equal(noc_ws_answer_parse(answer, (const uint8_t *)text, n), whole);
    }
    return whole;
}

static void our_own_101_is_good(void **state)
{
    struct noc_ws_answer answer;
    char text[NOC_WS_ACCEPT_ROOM + 1];
    char accept[NOC_WS_ACCEPT_SIZE];
    size_t n;

    (void)state;
    assert_int_equal(noc_ws_accept_compute(test_sha1, noc_slice_of(KEY), accept), NOC_OK);
    n = noc_ws_accept_write(text, sizeof text - 1, accept, noc_slice_of("mqtt"));
    text[n] = '\0';
    assert_int_equal(read_answer(&answer, "mqtt", text), n);
    assert_int_equal(answer.kind, NOC_WS_ANSWER_GOOD);
    n = noc_ws_accept_write(text, sizeof text - 1, accept, noc_slice(NULL, 0));
    text[n] = '\0';
    assert_int_equal(read_answer(&answer, NULL, text), n);
    assert_int_equal(answer.kind, NOC_WS_ANSWER_GOOD);
}

static void an_edges_101_is_good_and_its_headers_are_reached(void **state)
{
    static const char text[] = "HTTP/1.1 101 Switching Protocols\r\n"
                               "Date: Mon, 03 Aug 2026 10:00:00 GMT\r\n"
                               "connection: keep-alive, upgrade\r\n"
                               "upgrade: websocket\r\n"
                               "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
                               "sec-websocket-protocol: mqtt\r\n"
                               "cf-cache-status: DYNAMIC\r\n"
                               "Server: cloudflare\r\n"
                               "CF-RAY: 8a1b2c3d4e5f-FRA\r\n"
                               "\r\n"
                               "\x20\x02";
    struct noc_ws_answer answer;
    size_t iter = 0;

    (void)state;
    assert_int_equal(read_answer(&answer, "mqtt", text), sizeof text - 3);
    assert_int_equal(answer.kind, NOC_WS_ANSWER_GOOD);
    assert_slice(noc_ws_answer_header(&answer, "Cf-Ray", &iter), "8a1b2c3d4e5f-FRA");
    iter = 0;
    assert_slice(noc_ws_answer_header(&answer, "server", &iter), "cloudflare");
    iter = 0;
    assert_null(noc_ws_answer_header(&answer, "Location", &iter).at);
}

static void a_refusal_shows_its_status_and_headers(void **state)
{
    struct noc_ws_answer answer;
    size_t iter = 0;

    (void)state;
    assert_true(read_answer(&answer, "mqtt",
                    "HTTP/1.1 403 Forbidden\r\ncf-mitigated: challenge\r\n\r\nbody") > 0);
    assert_int_equal(answer.kind, NOC_WS_ANSWER_STATUS);
    assert_int_equal(answer.status, 403);
    assert_slice(noc_ws_answer_header(&answer, "Cf-Mitigated", &iter), "challenge");
    assert_true(read_answer(&answer, "mqtt",
                    "HTTP/1.1 302\r\nLocation: https://t.cloudflareaccess.com/\r\n\r\n") > 0);
    assert_int_equal(answer.status, 302);
    iter = 0;
    assert_slice(
        noc_ws_answer_header(&answer, "location", &iter), "https://t.cloudflareaccess.com/");
    assert_true(read_answer(&answer, "mqtt", "HTTP/1.0 503 Busy\r\nRetry-After: 30\r\n\r\n") > 0);
    iter = 0;
    assert_slice(noc_ws_answer_header(&answer, "retry-after", &iter), "30");
    assert_true(read_answer(&answer, "mqtt", "HTTP/1.1 530 \r\n\r\n") > 0);
    assert_int_equal(answer.status, 530);
}

static void each_way_in_which_a_101_is_bad_is_told_apart(void **state)
{
    static const struct {
        const char *asked;
        const char *text;
        enum noc_ws_answer_kind kind;
    } rows[] = {
        {"mqtt", START ACCEPT "\r\n", NOC_WS_ANSWER_NO_SUBPROTOCOL},
        {NULL, START ACCEPT "\r\n", NOC_WS_ANSWER_GOOD},
        {NULL, START ACCEPT "Sec-WebSocket-Protocol: mqtt\r\n\r\n", NOC_WS_ANSWER_SUBPROTOCOL},
        {"mqtt", START ACCEPT "Sec-WebSocket-Protocol: MQTT\r\n\r\n", NOC_WS_ANSWER_SUBPROTOCOL},
        {"mqtt", START ACCEPT "Sec-WebSocket-Protocol: mq\r\n\r\n", NOC_WS_ANSWER_SUBPROTOCOL},
        {"mqtt, mqttv3.1", START ACCEPT "Sec-WebSocket-Protocol: mqttv3.1\r\n\r\n",
            NOC_WS_ANSWER_GOOD},
        {"mqtt",
            START ACCEPT "Sec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n",
            NOC_WS_ANSWER_SUBPROTOCOL},
        {"mqtt", START "Sec-WebSocket-Protocol: mqtt\r\n\r\n", NOC_WS_ANSWER_ACCEPT},
        {"mqtt", START ACCEPT ACCEPT "Sec-WebSocket-Protocol: mqtt\r\n\r\n", NOC_WS_ANSWER_ACCEPT},
        {"mqtt", START "Sec-WebSocket-Accept: S3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
            NOC_WS_ANSWER_ACCEPT},
        {"mqtt", START ACCEPT "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
            NOC_WS_ANSWER_EXTENSION},
        {"mqtt", "HTTP/1.1 101 X\r\nConnection: Upgrade\r\n" ACCEPT "\r\n", NOC_WS_ANSWER_UPGRADE},
        {"mqtt", "HTTP/1.1 101 X\r\nUpgrade: websocket\r\n" ACCEPT "\r\n", NOC_WS_ANSWER_UPGRADE},
        {"mqtt", "HTTP/1.1 200 OK\r\n\r\n", NOC_WS_ANSWER_STATUS},
    };
    struct noc_ws_answer answer;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(read_answer(&answer, rows[i].asked, rows[i].text), strlen(rows[i].text));
        assert_int_equal(answer.kind, rows[i].kind);
        assert_true(strlen(noc_ws_answer_text(answer.kind)) > 0);
    }
}

static void garbage_is_malformed_and_stays_so(void **state)
{
    static const char *const bad[] = {"\r\n\r\n", "SSH-2.0-x\r\n\r\n", "HTTP/1.1 1x1 Y\r\n\r\n",
        "HTTP/1.1 001 Y\r\n\r\n", "HTTP/2 101\r\n\r\n", "HTTP/1.1 10\r\n\r\n",
        "HTTP/1.1 1011\r\n\r\n", "HTTP/1.1 101 X\r\nbad\r\n\r\n",
        "HTTP/1.1 101 X\r\nA: b\r\n folded\r\n\r\n", "HTTP/1.1 101 X\nA: b\n\n",
        "HTTP/1.x 101 X\r\n\r\n", "\x20\x02\x00\x00", "HTTP/1.1 101\tX\r\n\r\n"};
    struct noc_ws_answer answer;
    struct noc_http_field field;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(read_answer(&answer, "mqtt", bad[i]), NOC_EMALFORMED);
        assert_int_equal(
            noc_ws_answer_parse(&answer, (const uint8_t *)START, strlen(START)), NOC_EMALFORMED);
        assert_int_equal(noc_ws_answer_line(&answer, (const uint8_t *)START, strlen(START), &field),
            NOC_EMALFORMED);
    }
}

static void a_bad_key_or_hash_is_told_at_init(void **state)
{
    struct noc_ws_answer answer;

    (void)state;
    assert_int_equal(
        noc_ws_answer_init(&answer, test_sha1, noc_slice_of("x"), noc_slice_of("mqtt")),
        NOC_EINVAL);
    assert_int_equal(
        noc_ws_answer_init(&answer, broken_sha1, noc_slice_of(KEY), noc_slice_of("mqtt")),
        NOC_ENOTSUP);
}

static void client_and_server_agree(void **state)
{
    struct noc_ws_ask ask = plain_ask();
    struct noc_ws_options options = {.path = noc_slice_of("/mqtt")};
    const struct noc_ws_refusal *refusal;
    struct noc_ws_decision decision;
    struct noc_ws_request request;
    char at[512];
    int n = noc_ws_ask_write(at, sizeof at, &ask);

    (void)state;
    noc_ws_request_init(&request);
    assert_int_equal(noc_ws_request_parse(&request, (const uint8_t *)at, (size_t)n, &refusal), n);
    assert_int_equal(noc_ws_request_decide(&request, &options, &decision), NOC_OK);
    assert_slice(decision.subprotocol, "mqtt");
    assert_slice(request.key, KEY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_written_exactly),
        cmocka_unit_test(what_may_be_left_out_is_left_out),
        cmocka_unit_test(nothing_can_be_smuggled_into_a_request),
        cmocka_unit_test(our_own_101_is_good),
        cmocka_unit_test(an_edges_101_is_good_and_its_headers_are_reached),
        cmocka_unit_test(a_refusal_shows_its_status_and_headers),
        cmocka_unit_test(each_way_in_which_a_101_is_bad_is_told_apart),
        cmocka_unit_test(garbage_is_malformed_and_stays_so),
        cmocka_unit_test(a_bad_key_or_hash_is_told_at_init),
        cmocka_unit_test(client_and_server_agree),
    };
    int failed;

    guard_init(&guard, 4096);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    guard_done(&guard);
    return failed;
}
