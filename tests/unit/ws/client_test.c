/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "ws/client.h"

#include "base/bytes.h"
#include "guard.h"
#include "sha1.h"
#include "ws/handshake.h"

/* The key and its answer in RFC 6455, 1.3. */
#define KEY    "dGhlIHNhbXBsZSBub25jZQ=="
#define ACCEPT "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
#define START  "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n"
#define MQTT   "Sec-WebSocket-Protocol: mqtt\r\n"

enum { MASK = 0x37fa213d }; /* as in RFC 6455, 5.7 */

static struct guard guard;

static struct noc_client_websocket plain_options(void)
{
    return (struct noc_client_websocket){
        .host = noc_slice_of("broker.example:8080"), .path = noc_slice_of("/mqtt?x=1")};
}

/* ---- the request ---- */

/* An answer to be for that key. */
static void put_key(struct noc_ws_answer *answer)
{
    static const char nonce[] = "the sample nonce";

    memset(answer, 0, sizeof *answer);
    for (size_t i = 0; i < NOC_WS_KEY_WORDS; i++) {
        answer->key[i] = noc_get_u32((const uint8_t *)nonce + 4 * i);
    }
}

static int ask(const struct noc_client_websocket *options, uint8_t *at, size_t room)
{
    struct noc_ws_answer answer;

    put_key(&answer);
    return noc_ws_ask(&answer, options, at, room);
}

static void a_request_is_written_exactly(void **state)
{
    static const char expected[] = "GET /mqtt?x=1 HTTP/1.1\r\n"
                                   "Host: broker.example:8080\r\n"
                                   "Upgrade: websocket\r\n"
                                   "Connection: Upgrade\r\n"
                                   "Sec-WebSocket-Version: 13\r\n"
                                   "Sec-WebSocket-Key: " KEY "\r\n"
                                   "Sec-WebSocket-Protocol: mqttv3.1\r\n"
                                   "User-Agent: test/1 (x)\r\n"
                                   "CF-Access-Client-Id: abc.access\r\n"
                                   "X-Empty:\r\n"
                                   "\r\n";
    struct noc_client_websocket options = plain_options();
    uint8_t at[512];

    (void)state;
    options.subprotocol = noc_slice_of("mqttv3.1");
    options.user_agent = noc_slice_of("test/1 (x)");
    options.headers = noc_slice_of("CF-Access-Client-Id: abc.access\r\nX-Empty:\r\n");
    assert_int_equal(ask(&options, at, sizeof at), sizeof expected - 1);
    assert_memory_equal(at, expected, sizeof expected - 1);
    for (size_t room = 0; room < sizeof expected - 1; room++) {
        assert_int_equal(ask(&options, guard_put(&guard, at, room), room), NOC_ETOOLARGE);
    }
    assert_int_equal(ask(&options, guard_put(&guard, at, sizeof expected - 1), sizeof expected - 1),
        sizeof expected - 1);
}

static void what_is_absent_has_its_default(void **state)
{
    struct noc_client_websocket options = {.host = noc_slice_of("h")};
    uint8_t at[512];
    int n = ask(&options, at, sizeof at);

    (void)state;
    assert_slice(noc_slice(at, (size_t)n),
        "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " KEY
        "\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n");
}

static void no_line_can_be_smuggled_into_a_request(void **state)
{
    struct noc_client_websocket options;
    uint8_t at[512];

    (void)state;
#define REFUSES(member, text)                           \
    options = plain_options();                          \
    options.member = noc_slice(text, sizeof(text) - 1); \
    assert_int_equal(ask(&options, at, sizeof at), NOC_EINVAL)
    REFUSES(host, "a\r\nX: y");
    REFUSES(path, "/ HTTP/1.1\r\nX: y");
    REFUSES(path, "/\0");
    REFUSES(path, "/\n");
    REFUSES(subprotocol, "mqtt\r\nX: y");
    REFUSES(user_agent, "a\nb");
    REFUSES(user_agent, "a\1");
#undef REFUSES
}

static void extra_headers_can_be_checked(void **state)
{
    static const char *const good[] = {
        "", "A: b\r\n", "CF-Access-Client-Id: x\r\nCF-Access-Client-Secret: y\r\n", "X:\r\n"};
    static const char *const bad[] = {"NoColon\r\n", "A: b", "A: b\n", " A: b\r\n", "A : b\r\n",
        "A: b\r\n\r\n", "\r\n", "A: b\rC: d\r\n", "Host: x\r\n", "upgrade: h2c\r\n",
        "CONNECTION: close\r\n", "sec-websocket-key: x\r\n", "Sec-WebSocket-Version: 8\r\n",
        "A: b\r\nSec-WebSocket-Protocol: x\r\n", "Sec-WebSocket-Extensions: x\r\n",
        "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"};

    (void)state;
    for (size_t i = 0; i < NOC_COUNT(good); i++) {
        assert_true(noc_ws_headers_are_sound(noc_slice_of(good[i])));
    }
    for (size_t i = 0; i < NOC_COUNT(bad); i++) {
        assert_false(noc_ws_headers_are_sound(noc_slice_of(bad[i])));
    }
}

static void client_and_server_agree(void **state)
{
    struct noc_client_websocket options = plain_options();
    struct noc_ws_options server = {.path = noc_slice_of("/mqtt")};
    const struct noc_ws_refusal *refusal;
    struct noc_ws_decision decision;
    struct noc_ws_request request;
    uint8_t at[512];
    int n = ask(&options, at, sizeof at);

    (void)state;
    noc_ws_request_init(&request);
    assert_int_equal(noc_ws_request_parse(&request, at, (size_t)n, &refusal), n);
    assert_int_equal(noc_ws_request_decide(&request, &server, &decision), NOC_OK);
    assert_slice(decision.subprotocol, "mqtt");
    assert_slice(request.key, KEY);
}

/* ---- the answer ---- */

/* The headers that were told of, each behind a '|'. */
struct told {
    char text[2048];
    size_t n;
};

static void on_header(void *context, struct noc_slice line)
{
    struct told *told = context;

    assert_true(line.n + 1 < sizeof told->text - told->n);
    told->text[told->n++] = '|';
    memcpy(told->text + told->n, line.at, line.n);
    told->n += line.n;
    told->text[told->n] = '\0';
}

static void answer_start(struct noc_ws_answer *answer, struct told *told)
{
    struct noc_client_websocket options = plain_options();
    uint8_t at[512];

    *told = (struct told){.n = 0};
    put_key(answer);
    assert_true(noc_ws_ask(answer, &options, at, sizeof at) > 0);
    assert_int_equal(answer->kind, NOC_WS_ANSWER_PENDING);
}

/*
 * Read an answer in parts of at most step bytes through a buffer of room bytes
 * which ends at the guard page. Returns the bytes of the head, 0 if it has no
 * end, or an error.
 */
static int read_in_parts(struct noc_ws_answer *answer, struct told *told, const char *asked,
    const char *text, size_t step, size_t room)
{
    struct noc_client_websocket options = {
        .subprotocol = noc_slice_of(asked), .on_header = on_header};
    uint8_t *buffer = guard_put(&guard, "", 0) - room;
    size_t n = strlen(text), held = 0, given = 0;
    int used = 0;

    answer_start(answer, told);
    while (given < n) {
        size_t part = step < n - given ? step : n - given;

        part = part < room - held ? part : room - held;
        memcpy(buffer + held, text + given, part);
        given += part;
        held += part;
        /* What is not there yet may be anything. */
        memset(buffer + held, '\n', room - held);
        do {
            used = noc_ws_answer_read(answer, &options, told, buffer, held, held == room);
            if (used < 0) {
                return used;
            }
            held -= (size_t)used;
            memmove(buffer, buffer + used, held);
            if (answer->kind != NOC_WS_ANSWER_PENDING) {
                return (int)(given - held);
            }
        } while (used > 0);
        assert_true(held < room);
    }
    return 0;
}

/* However it comes, the same is made of it. */
static int read_answer(
    struct noc_ws_answer *answer, struct told *told, const char *asked, const char *text)
{
    size_t n = strlen(text);
    int whole = read_in_parts(answer, told, asked, text, n, n + 1);

    for (size_t step = 1; step < n; step++) {
        struct noc_ws_answer parts;
        struct told again;

        assert_int_equal(read_in_parts(&parts, &again, asked, text, step, n + 1), whole);
        assert_int_equal(parts.kind, answer->kind);
        assert_int_equal(parts.status, answer->status);
        assert_int_equal(parts.retry_after_s, answer->retry_after_s);
        if (whole >= 0) {
            assert_string_equal(again.text, told->text);
        }
    }
    return whole;
}

static void our_own_101_is_good(void **state)
{
    struct noc_ws_answer answer;
    struct told told;
    char text[NOC_WS_ACCEPT_ROOM + 1];
    char accept[NOC_WS_ACCEPT_SIZE];
    size_t n;

    (void)state;
    assert_int_equal(noc_ws_accept_compute(test_sha1, noc_slice_of(KEY), accept), NOC_OK);
    n = noc_ws_accept_write(text, sizeof text - 1, accept, noc_slice_of("mqtt"));
    text[n] = '\0';
    assert_int_equal(read_answer(&answer, &told, NULL, text), n);
    assert_int_equal(answer.kind, NOC_WS_ANSWER_GOOD);
    assert_int_equal(answer.status, 101);
    n = noc_ws_accept_write(text, sizeof text - 1, accept, noc_slice(NULL, 0));
    text[n] = '\0';
    assert_int_equal(read_answer(&answer, &told, NULL, text), n);
    assert_int_equal(answer.kind, NOC_WS_ANSWER_NO_SUBPROTOCOL);
}

static void our_own_refusals_show_their_status(void **state)
{
    static const enum noc_ws_refusal_kind kinds[] = {
        NOC_WS_REFUSE_PATH, NOC_WS_REFUSE_FULL, NOC_WS_REFUSE_KEY};
    struct noc_ws_answer answer;
    struct told told;

    (void)state;
    for (size_t i = 0; i < NOC_COUNT(kinds); i++) {
        const struct noc_ws_refusal *refusal = noc_ws_refusal(kinds[i]);
        char text[NOC_WS_REFUSAL_ROOM + 1];
        size_t n = noc_ws_refusal_write(text, sizeof text - 1, refusal);

        text[n] = '\0';
        assert_true(read_answer(&answer, &told, NULL, text) > 0);
        assert_int_equal(answer.kind, NOC_WS_ANSWER_STATUS);
        assert_int_equal(answer.status, refusal->status);
    }
}

static void an_edges_101_is_good_and_its_headers_are_told(void **state)
{
    static const char text[] = "HTTP/1.1 101 Switching Protocols\r\n"
                               "Date: Mon, 03 Aug 2026 10:00:00 GMT\r\n"
                               "connection: keep-alive, upgrade\r\n"
                               "upgrade: websocket\r\n"
                               "sec-websocket-accept:s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
                               "sec-websocket-protocol: mqtt\r\n"
                               "CF-RAY: 8a1b2c3d4e5f-FRA\r\n"
                               "\r\n"
                               "\x20\x02";
    struct noc_ws_answer answer;
    struct told told;

    (void)state;
    assert_int_equal(read_answer(&answer, &told, "mqtt", text), sizeof text - 3);
    assert_int_equal(answer.kind, NOC_WS_ANSWER_GOOD);
    assert_string_equal(told.text,
        "|Date: Mon, 03 Aug 2026 10:00:00 GMT|connection: keep-alive, upgrade|upgrade: websocket"
        "|sec-websocket-accept:s3pPLMBiTxaQ9kYGzzhZRbK+xOo=|sec-websocket-protocol: mqtt"
        "|CF-RAY: 8a1b2c3d4e5f-FRA");
}

static void a_refusal_shows_status_headers_and_when_to_retry(void **state)
{
    struct noc_ws_answer answer;
    struct told told;

    (void)state;
    assert_true(read_answer(&answer, &told, NULL,
                    "HTTP/1.1 403 Forbidden\r\ncf-mitigated: challenge\r\n\r\nbody") > 0);
    assert_int_equal(answer.kind, NOC_WS_ANSWER_STATUS);
    assert_int_equal(answer.status, 403);
    assert_int_equal(answer.retry_after_s, 0);
    assert_string_equal(told.text, "|cf-mitigated: challenge");
    assert_true(read_answer(&answer, &told, NULL,
                    "HTTP/1.1 302\r\nLocation: https://t.cloudflareaccess.com/\r\n\r\n") > 0);
    assert_int_equal(answer.status, 302);
    assert_true(read_answer(&answer, &told, NULL, "HTTP/1.1 530 \r\n\r\n") > 0);
    assert_int_equal(answer.status, 530);
#define RETRIES(value, seconds)                                                              \
    assert_true(read_answer(&answer, &told, NULL,                                            \
                    "HTTP/1.0 503 Busy\r\nRetry-After:" value "\r\nServer: x\r\n\r\n") > 0); \
    assert_int_equal(answer.retry_after_s, seconds)
    RETRIES(" 30", 30);
    RETRIES("7", 7);
    RETRIES(" 65535", 65535);
    RETRIES(" 65536", 65535);
    RETRIES(" 99999999999999999999", 65535);
    RETRIES(" Fri, 31 Dec 1999 23:59:59 GMT", 0);
    RETRIES("", 0);
#undef RETRIES
}

static void each_way_in_which_a_101_is_bad_is_told_apart(void **state)
{
    static const struct {
        const char *asked, *text;
        enum noc_ws_answer_kind kind;
    } rows[] = {
        {NULL, START ACCEPT MQTT "\r\n", NOC_WS_ANSWER_GOOD},
        {NULL, START ACCEPT "\r\n", NOC_WS_ANSWER_NO_SUBPROTOCOL},
        {"x", START ACCEPT MQTT "\r\n", NOC_WS_ANSWER_SUBPROTOCOL},
        {"x", START ACCEPT "Sec-WebSocket-Protocol: x\r\n\r\n", NOC_WS_ANSWER_GOOD},
        {NULL, START ACCEPT "Sec-WebSocket-Protocol: MQTT\r\n\r\n", NOC_WS_ANSWER_SUBPROTOCOL},
        {NULL, START ACCEPT "Sec-WebSocket-Protocol: mq\r\n\r\n", NOC_WS_ANSWER_SUBPROTOCOL},
        {NULL, START ACCEPT "Sec-WebSocket-Protocol: mqttx\r\n\r\n", NOC_WS_ANSWER_SUBPROTOCOL},
        {NULL, START ACCEPT MQTT "Sec-WebSocket-Protocol: x\r\n\r\n", NOC_WS_ANSWER_SUBPROTOCOL},
        {NULL, START ACCEPT "Sec-WebSocket-Protocol: x\r\n" MQTT "\r\n", NOC_WS_ANSWER_SUBPROTOCOL},
        {NULL, START MQTT "\r\n", NOC_WS_ANSWER_ACCEPT},
        {NULL, START MQTT "Sec-WebSocket-Accept: S3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
            NOC_WS_ANSWER_ACCEPT},
        {NULL, START MQTT "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo\r\n\r\n",
            NOC_WS_ANSWER_ACCEPT},
        {NULL, START MQTT "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo==\r\n\r\n",
            NOC_WS_ANSWER_ACCEPT},
        {NULL, START MQTT ACCEPT "Sec-WebSocket-Accept: x\r\n\r\n", NOC_WS_ANSWER_ACCEPT},
        {NULL, START MQTT "Sec-WebSocket-Accept:\r\n\r\n", NOC_WS_ANSWER_ACCEPT},
        {NULL, START ACCEPT MQTT "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
            NOC_WS_ANSWER_EXTENSION},
        {NULL, "HTTP/1.1 101 X\r\nConnection: Upgrade\r\n" ACCEPT MQTT "\r\n",
            NOC_WS_ANSWER_UPGRADE},
        {NULL, "HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n" ACCEPT MQTT "\r\n",
            NOC_WS_ANSWER_UPGRADE},
        {NULL, "HTTP/1.1 101 X\r\nUpgrade: websocket\r\n" ACCEPT MQTT "\r\n",
            NOC_WS_ANSWER_CONNECTION},
        {NULL, "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: close\r\n" ACCEPT MQTT "\r\n",
            NOC_WS_ANSWER_CONNECTION},
        {NULL, "HTTP/1.1 200 OK\r\n\r\n", NOC_WS_ANSWER_STATUS},
        {NULL, "HTTP/1.1 1011 X\r\n\r\n", NOC_WS_ANSWER_STATUS},
        /* No headers: passed over. */
        {NULL, START ACCEPT MQTT "bad\r\n folded\r\n: x\r\n\r\n", NOC_WS_ANSWER_GOOD},
        /* Lines may end without CR. */
        {NULL, "HTTP/1.1 101\nUpgrade: websocket\nConnection: Upgrade\n" ACCEPT MQTT "\n",
            NOC_WS_ANSWER_GOOD},
    };
    struct noc_ws_answer answer;
    struct told told;

    (void)state;
    for (size_t i = 0; i < NOC_COUNT(rows); i++) {
        assert_int_equal(
            read_answer(&answer, &told, rows[i].asked, rows[i].text), strlen(rows[i].text));
        assert_int_equal(answer.kind, rows[i].kind);
        assert_true(strlen(noc_ws_answer_text(answer.kind)) > 0);
    }
}

/* RFC 9110, 15.2: whatever its headers say. */
static void what_goes_before_an_answer_is_no_answer(void **state)
{
    static const char early[] = "HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n"
                                "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
    static const char *const good[] = {
        "", "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 102\n\nHTTP/1.1 199 X\r\n\r\n"};
    struct noc_ws_answer answer;
    struct told told;
    char text[1024];

    (void)state;
    for (size_t i = 0; i < NOC_COUNT(good); i++) {
        int n = snprintf(text, sizeof text, "%s%s" START ACCEPT MQTT "\r\n", good[i], early);

        assert_int_equal(read_answer(&answer, &told, NULL, text), n);
        assert_int_equal(answer.kind, NOC_WS_ANSWER_GOOD);
        assert_int_equal(answer.status, 101);
    }
    snprintf(text, sizeof text, "%sHTTP/1.1 403 Forbidden\r\n\r\n", early);
    assert_true(read_answer(&answer, &told, NULL, text) > 0);
    assert_int_equal(answer.kind, NOC_WS_ANSWER_STATUS);
    assert_int_equal(answer.status, 403);
    snprintf(text, sizeof text, "%s" START ACCEPT MQTT "\r\n%s", early, early);
    assert_int_equal(read_answer(&answer, &told, NULL, text), strlen(text) - strlen(early));
    snprintf(text, sizeof text, "%sSSH-2", early);
    assert_int_equal(read_answer(&answer, &told, NULL, text), NOC_EMALFORMED);
    snprintf(text, sizeof text, "%s" ACCEPT MQTT START "\r\n", early);
    assert_int_equal(read_answer(&answer, &told, NULL, text), NOC_EMALFORMED);
}

static void what_is_no_http_is_told_at_once(void **state)
{
    static const char *const bad[] = {"\r\n\r\n", "SSH-2.0-x\r\n", "HTTP/1.1 x01 Y\r\n",
        "HTTP/1.1 000 Y\r\n", "HTTP/1.1\r\n", "HTTP/1.1 \r\n", "\x20\x02", "\x15\x03\x01", "H\r\n"};
    struct noc_ws_answer answer;
    struct told told;

    (void)state;
    for (size_t i = 0; i < NOC_COUNT(bad); i++) {
        assert_int_equal(read_answer(&answer, &told, NULL, bad[i]), NOC_EMALFORMED);
    }
}

/* A tail of a long line, wherever it is cut, is no header and no blank line. */
static void a_line_longer_than_the_buffer_is_passed_over(void **state)
{
    enum { ROOM = 64, LONG_MAX = 3 * ROOM };
    char text[1024];
    struct noc_ws_answer answer;
    struct told told;

    (void)state;
    for (size_t n = 1; n < LONG_MAX; n++) {
        int length = snprintf(text, sizeof text, "%sX: %0*d\r\n%s%sCf-Ray: y\r\n\r\n", START,
            (int)n, 0, ACCEPT, MQTT);

        for (size_t step = 1; step <= ROOM; step += 9) {
            assert_int_equal(read_in_parts(&answer, &told, NULL, text, step, ROOM), length);
            assert_int_equal(answer.kind, NOC_WS_ANSWER_GOOD);
            assert_memory_equal(told.text + told.n - 10, "|Cf-Ray: y", 10);
        }
    }
    snprintf(text, sizeof text, "%s%0200d\r\n\r\n", START, 0);
    assert_int_equal(read_in_parts(&answer, &told, NULL, text, 64, ROOM), strlen(text));
}

/* ---- frames from the server ---- */

/* What was heard: plain bytes as they are, a control frame as '<', opcode, payload, '>'. */
struct heard {
    uint8_t at[4096];
    size_t n;
    int err;
    unsigned code;
};

static void hear(struct heard *heard, const void *bytes, size_t n)
{
    assert_true(n <= sizeof heard->at - heard->n);
    if (n > 0) {
        memcpy(heard->at + heard->n, bytes, n);
        heard->n += n;
    }
}

static void hear_control(struct heard *heard, int opcode, const uint8_t *payload, size_t n)
{
    uint8_t start[2] = {'<', (uint8_t)opcode};

    hear(heard, start, 2);
    hear(heard, payload, n);
    hear(heard, ">", 1);
}

/*
 * Read frames in parts of at most step bytes through a buffer of room bytes at
 * the guard page. Plain bytes are taken when there are more than keep.
 */
static void read_frames(
    struct heard *heard, const uint8_t *frames, size_t n, size_t step, size_t room, size_t keep)
{
    struct noc_ws_reader reader = {0};
    uint8_t *buffer = guard_put(&guard, "", 0) - room;
    uint32_t plain_n = 0, held = 0;
    size_t given = 0;
    int opcode = 0;

    *heard = (struct heard){.n = 0};
    while (opcode >= 0 && opcode != NOC_WS_CLOSE && (given < n || opcode > 0)) {
        size_t part = step < n - given ? step : n - given;

        part = part < room - held ? part : room - held;
        memcpy(buffer + held, frames + given, part);
        given += part;
        held += (uint32_t)part;
        opcode = noc_ws_read(&reader, buffer, &plain_n, &held);
        assert_true(plain_n <= held && held <= room);
        if (plain_n > keep || opcode != 0 || given == n) {
            hear(heard, buffer, plain_n);
            memmove(buffer, buffer + plain_n, held - plain_n);
            held -= plain_n;
            plain_n = 0;
        }
        if (opcode != 0) {
            heard->err = opcode < 0 ? opcode : NOC_OK;
            heard->code = reader.code;
            /* It is told again, and nothing else is, until it is done. */
            assert_int_equal(noc_ws_read(&reader, buffer, &plain_n, &held), opcode);
            assert_int_equal(plain_n, 0);
            assert_int_equal(reader.code, heard->code);
        }
        if (opcode > 0) {
            hear_control(heard, opcode, buffer + NOC_WS_HELD_HEAD, reader.held - NOC_WS_HELD_HEAD);
            reader.done = reader.held;
        }
        assert_true(held < room || opcode != 0);
    }
}

/* The same, however it is cut. */
static void read_all_ways(struct heard *heard, const uint8_t *frames, size_t n)
{
    static const size_t keeps[] = {0, 1, 40};

    read_frames(heard, frames, n, n, n + 1, 0);
    for (size_t step = 1; step <= n; step += step < 16 ? 1 : 13) {
        for (size_t i = 0; i < NOC_COUNT(keeps); i++) {
            struct heard again;

            read_frames(&again, frames, n, step, keeps[i] + 1 + 126 + step, keeps[i]);
            assert_int_equal(again.err, heard->err);
            assert_int_equal(again.code, heard->code);
            assert_int_equal(again.n, heard->n);
            assert_memory_equal(again.at, heard->at, heard->n);
        }
    }
}

#define assert_heard(frames, expected)                                         \
    do {                                                                       \
        struct heard heard_;                                                   \
        read_all_ways(&heard_, (const uint8_t *)(frames), sizeof(frames) - 1); \
        assert_int_equal(heard_.err, NOC_OK);                                  \
        assert_int_equal(heard_.n, sizeof(expected) - 1);                      \
        assert_memory_equal(heard_.at, expected, sizeof(expected) - 1);        \
    } while (0)

static void payloads_become_one_stream(void **state)
{
    (void)state;
    assert_heard("", "");
    assert_heard("\x82\x05Hello", "Hello"); /* RFC 6455, 5.7, but binary */
    assert_heard("\x02\x03Hel\x80\x02lo", "Hello");
    assert_heard("\x82\x01"
                 "a\x82\x01"
                 "b",
        "ab");
    assert_heard("\x82\x00\x82\x01"
                 "b",
        "b");
    assert_heard("\x02\x00\x00\x00\x80\x00\x82\x01x", "x");
    assert_heard("\x82\x7e\x00\x03"
                 "abc",
        "abc"); /* longer than need be */
    assert_heard("\x82\x7f\x00\x00\x00\x00\x00\x00\x00\x03"
                 "abc",
        "abc");
}

static void control_frames_come_out_in_their_place(void **state)
{
    (void)state;
    assert_heard("\x89\x05Hello", "<\x09Hello>");
    assert_heard("\x8a\x05Hello", "<\x0aHello>");
    assert_heard("\x89\x00", "<\x09>");
    assert_heard("\x89\x00\x89\x01x\x8a\x00", "<\x09><\x09x><\x0a>");
    assert_heard("\x02\x03Hel\x89\x02hi\x80\x02lo", "Hel<\x09hi>lo");
    assert_heard(
        "\x02\x03Hel\x8a\x00\x00\x01l\x89\x00\x80\x01o\x89\x00", "Hel<\x0a>l<\x09>o<\x09>");
}

static void a_close_frame_ends_it(void **state)
{
    static const struct {
        const char *frame;
        size_t n;
        unsigned code;
    } rows[] = {
        {"\x82\x01z\x88\x00", 5, 1005},
        {"\x82\x01z\x88\x01\x03", 6, 1005},
        {"\x82\x01z\x88\x02\x03\xe8", 7, 1000},
        {"\x82\x01z\x88\x09\x03\xf3try 443", 14, 1011},
    };
    struct heard heard;

    (void)state;
    for (size_t i = 0; i < NOC_COUNT(rows); i++) {
        uint8_t bytes[32];

        memcpy(bytes, rows[i].frame, rows[i].n);
        memcpy(bytes + rows[i].n, "\x82\x01y", 3);
        read_all_ways(&heard, bytes, rows[i].n);
        assert_int_equal(heard.err, NOC_OK);
        assert_int_equal(heard.code, rows[i].code);
        assert_memory_equal(heard.at, "z<\x08", 3);
        read_all_ways(&heard, bytes, rows[i].n + 3);
        assert_int_equal(heard.err, NOC_OK);
        assert_int_equal(heard.code, rows[i].code);
        assert_int_equal(heard.n, 1 + rows[i].n - 5 + 3);
    }
}

static void a_broken_rule_has_its_close_code(void **state)
{
    static const struct {
        const char *frame;
        size_t n;
        unsigned code;
    } rows[] = {
        {"\xc2\x00", 2, 1002},
        {"\xa2\x00", 2, 1002},
        {"\x92\x00", 2, 1002}, /* reserved bits */
        {"\xc9\x00", 2, 1002},
        {"\xc1\x00", 2, 1002},
        {"\x83\x00", 2, 1002},
        {"\x87\x00", 2, 1002},
        {"\x8b\x00", 2, 1002}, /* opcodes */
        {"\x8f\x00", 2, 1002},
        {"\x84\x00", 2, 1002},
        {"\x82\x80\x01\x02\x03\x04", 6, 1002},
        {"\x82\x85\x37\xfa\x21\x3d", 6, 1002}, /* masked */
        {"\x82\xfe", 2, 1002},
        {"\x89\x80\x01\x02\x03\x04", 6, 1002},
        {"\x88\x80", 2, 1002},
        {"\x09\x00", 2, 1002},
        {"\x08\x00", 2, 1002},
        {"\x0a\x00", 2, 1002}, /* parts of control */
        {"\x89\x7e\x00\x7e", 4, 1002},
        {"\x88\x7f", 2, 1002}, /* long control frames */
        {"\x80\x00", 2, 1002},
        {"\x00\x00", 2, 1002}, /* nothing to continue */
        {"\x02\x00\x82\x00", 4, 1002},
        {"\x02\x00\x02\x00", 4, 1002}, /* message in a message */
        {"\x81\x05Hello", 7, 1003},
        {"\x01\x03Hel", 5, 1003},
        {"\x02\x00\x81\x00", 4, 1003},
        {"\x82\x7f\x00\x00\x00\x01\x00\x00\x00\x00", 10, 1009},
        {"\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x00", 10, 1009},
    };
    struct heard heard;

    (void)state;
    for (size_t i = 0; i < NOC_COUNT(rows); i++) {
        uint8_t bytes[32] = "\x82\x03"
                            "abc";

        memcpy(bytes + 5, rows[i].frame, rows[i].n);
        read_all_ways(&heard, bytes, 5 + rows[i].n);
        assert_int_equal(heard.err, NOC_EPROTO);
        assert_int_equal(heard.code, rows[i].code);
        assert_int_equal(heard.n, 3); /* What came before is good. */
        assert_memory_equal(heard.at, "abc", 3);
    }
}

static void frames_of_the_broker_are_understood(void **state)
{
    static const size_t sizes[] = {0, 1, 125, 126, 127, 300, 65535, 65536, 70000};
    uint8_t *frame = malloc(80000), *payload = malloc(80000);

    (void)state;
    assert_non_null(frame);
    assert_non_null(payload);
    for (size_t i = 0; i < 80000; i++) {
        payload[i] = (uint8_t)(i * 7);
    }
    for (size_t i = 0; i < NOC_COUNT(sizes); i++) {
        size_t head_n = noc_ws_frame_head(frame, NOC_WS_BINARY, true, sizes[i], NULL);
        struct noc_ws_reader reader = {0};
        uint32_t plain_n = 0, n = (uint32_t)(head_n + sizes[i]);

        memcpy(frame + head_n, payload, sizes[i]);
        n += (uint32_t)noc_ws_ping_write(frame + n, noc_slice_of("still there?"), NULL);
        assert_int_equal(noc_ws_read(&reader, frame, &plain_n, &n), NOC_WS_PING);
        assert_int_equal(plain_n, sizes[i]);
        assert_int_equal(reader.held, 2 + 12);
        assert_memory_equal(frame, payload, sizes[i]);
        assert_memory_equal(frame + plain_n + NOC_WS_HELD_HEAD, "still there?", 12);
        reader.done = reader.held;
        assert_int_equal(noc_ws_read(&reader, frame, &plain_n, &n), 0);
        assert_int_equal(plain_n, sizes[i]);
        assert_int_equal(n, sizes[i]);
        n += (uint32_t)noc_ws_close_write(frame + n, 1001, noc_slice_of("bye"), NULL);
        assert_int_equal(noc_ws_read(&reader, frame, &plain_n, &n), NOC_WS_CLOSE);
        assert_int_equal(reader.code, 1001);
        assert_int_equal(reader.held, 2 + 5);
    }
    free(frame);
    free(payload);
}

/* ---- frames to the server ---- */

static void a_sealed_frame_is_that_of_the_standard(void **state)
{
    uint8_t bytes[NOC_WS_SEAL_ROOM + 5] = "12345678Hello";
    uint8_t control[6 + 5] = "123456Hello";

    (void)state;
    assert_int_equal(noc_ws_seal(bytes + NOC_WS_SEAL_ROOM, 5, NOC_WS_TEXT, MASK), 6);
    /* RFC 6455, 5.7: a single-frame masked text message. */
    assert_memory_equal(bytes, "12\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 13);
    assert_int_equal(noc_ws_seal(control + 6, 5, NOC_WS_PONG, MASK), 6);
    assert_memory_equal(control, "\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 11);
    assert_int_equal(noc_ws_seal(control + 6, 0, NOC_WS_PING, MASK), 6);
    assert_memory_equal(control, "\x89\x80\x37\xfa\x21\x3d", 6);
}

static void the_broker_understands_sealed_frames(void **state)
{
    static const size_t sizes[] = {0, 1, 2, 3, 4, 5, 125, 126, 127, 1000, NOC_WS_SEAL_MAX};
    struct guard large;

    (void)state;
    guard_init(&large, 1 + NOC_WS_SEAL_ROOM + NOC_WS_SEAL_MAX);
    for (size_t i = 0; i < NOC_COUNT(sizes); i++) {
        uint8_t *payload = guard_put(&large, "", 0) - sizes[i];
        struct noc_ws_decoder decoder;
        struct noc_ws_event event = {.n = 0};
        size_t head_n, used;

        payload[sizes[i] < 126 ? -7 : -9] = 0x55;
        for (size_t j = 0; j < sizes[i]; j++) {
            payload[j] = (uint8_t)(j * 5);
        }
        head_n = noc_ws_seal(payload, sizes[i], NOC_WS_BINARY, 0x80000001u + (uint32_t)i);
        assert_int_equal(head_n, noc_ws_frame_head_size(sizes[i], true));
        assert_int_equal(payload[-(ptrdiff_t)head_n - 1], 0x55);
        noc_ws_decoder_init(&decoder, NOC_WS_SERVER, false);
        assert_int_equal(
            noc_ws_decode(&decoder, payload - head_n, head_n + sizes[i], &used, &event), NOC_OK);
        assert_int_equal(used, head_n + sizes[i]);
        assert_int_equal(event.n, sizes[i]);
        for (size_t j = 0; j < sizes[i]; j++) {
            assert_int_equal(event.at[j], (uint8_t)(j * 5));
        }
    }
    guard_done(&large);
}

static void its_state_is_small(void **state)
{
    (void)state;
    assert_true(sizeof(struct noc_ws_answer) <= 44);
    assert_true(sizeof(struct noc_ws_reader) <= 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_written_exactly),
        cmocka_unit_test(what_is_absent_has_its_default),
        cmocka_unit_test(no_line_can_be_smuggled_into_a_request),
        cmocka_unit_test(extra_headers_can_be_checked),
        cmocka_unit_test(client_and_server_agree),
        cmocka_unit_test(our_own_101_is_good),
        cmocka_unit_test(our_own_refusals_show_their_status),
        cmocka_unit_test(an_edges_101_is_good_and_its_headers_are_told),
        cmocka_unit_test(a_refusal_shows_status_headers_and_when_to_retry),
        cmocka_unit_test(each_way_in_which_a_101_is_bad_is_told_apart),
        cmocka_unit_test(what_goes_before_an_answer_is_no_answer),
        cmocka_unit_test(what_is_no_http_is_told_at_once),
        cmocka_unit_test(a_line_longer_than_the_buffer_is_passed_over),
        cmocka_unit_test(payloads_become_one_stream),
        cmocka_unit_test(control_frames_come_out_in_their_place),
        cmocka_unit_test(a_close_frame_ends_it),
        cmocka_unit_test(a_broken_rule_has_its_close_code),
        cmocka_unit_test(frames_of_the_broker_are_understood),
        cmocka_unit_test(a_sealed_frame_is_that_of_the_standard),
        cmocka_unit_test(the_broker_understands_sealed_frames),
        cmocka_unit_test(its_state_is_small),
    };
    int failed;

    guard_init(&guard, 8192);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    guard_done(&guard);
    return failed;
}
