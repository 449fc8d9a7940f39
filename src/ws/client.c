/* SPDX-License-Identifier: Apache-2.0 */
#include "ws/client.h"

#include "base/base64.h"
#include "base/bytes.h"
#include "ws/http.h"
#include "ws/sha1.h"

static struct noc_slice asked_subprotocol(const struct noc_client_websocket *options)
{
    return options->subprotocol.n > 0 ? options->subprotocol : noc_slice_of("mqtt");
}

/* ---- the request ---- */

/* Text is appended while it fits and is sound; an error stays. */
struct out {
    char *at, *end;
    int err;
};

/* A text of ours, and one from outside whose bytes may not be below lowest. */
static void put(struct out *out, const char *name, struct noc_slice value, uint8_t lowest)
{
    size_t name_n = strlen(name);

    if (name_n + value.n > (size_t)(out->end - out->at)) {
        out->err = NOC_ETOOLARGE;
        return;
    }
    memcpy(out->at, name, name_n);
    out->at += name_n;
    for (size_t i = 0; i < value.n; i++) {
        uint8_t byte = (uint8_t)value.at[i];

        if (byte < lowest || byte == 0x7f) {
            out->err = NOC_EINVAL;
        }
        *out->at++ = (char)byte;
    }
}

/* Do the lines end one, so that nothing which follows becomes part of them? */
static bool is_ended(struct noc_slice lines)
{
    return lines.n == 0 || lines.at[lines.n - 1] == '\n';
}

int noc_ws_ask(struct noc_ws_answer *answer, const struct noc_client_websocket *options,
    uint8_t *at, size_t room)
{
    static const uint8_t solid = 0x21, text = 0x20, lines = '\n';
    struct out out = {(char *)at, (char *)at + room, NOC_OK};
    char key[NOC_WS_KEY_SIZE];

    answer->status = answer->retry_after_s = 0;
    answer->kind = answer->seen = 0;
    noc_ws_key_write(answer->key, key);
    if (options->host.n == 0 || (options->path.n > 0 && options->path.at[0] != '/') ||
        !is_ended(options->headers)) {
        return NOC_EINVAL;
    }
    put(&out, "GET ", options->path.n > 0 ? options->path : noc_slice_of("/"), solid);
    put(&out, " HTTP/1.1\r\nHost: ", options->host, solid);
    put(&out,
        "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: ",
        noc_slice(key, sizeof key), solid);
    put(&out,
        "\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Protocol: ",
        asked_subprotocol(options), text);
    if (options->user_agent.n > 0) {
        put(&out, "\r\nUser-Agent: ", options->user_agent, text);
    }
    put(&out, "\r\n", options->headers, lines);
    put(&out, "\r\n", noc_slice(NULL, 0), 0);
    return out.err < 0 ? out.err : (int)(out.at - (char *)at);
}

/* Headers that are ours to write: said twice or otherwise, they would break the handshake. */
static bool is_own_header(struct noc_slice name)
{
    return noc_http_list_has(
        noc_slice_of("Host,Upgrade,Connection,Sec-WebSocket-Key,Sec-WebSocket-Version,"
                     "Sec-WebSocket-Protocol,Sec-WebSocket-Extensions,Content-Length,"
                     "Transfer-Encoding"),
        name);
}

bool noc_ws_headers_are_sound(struct noc_slice lines)
{
    while (lines.n > 0) {
        struct noc_http_field field;
        struct noc_slice line;
        int used = noc_http_line_take((const uint8_t *)lines.at, lines.n, &line);

        if (used <= 0 || noc_http_field_parse(line, &field) < 0 || is_own_header(field.name)) {
            return false;
        }
        lines = noc_slice(lines.at + used, lines.n - (size_t)used);
    }
    return true;
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

/* What an answer had. A header that must come once is bad when it comes again. */
enum seen {
    SEEN_UPGRADE = 0x01,
    SEEN_CONNECTION = 0x02,
    SEEN_ACCEPT = 0x04,
    SEEN_BAD_ACCEPT = 0x08,
    SEEN_SUBPROTOCOL = 0x10,
    SEEN_BAD_SUBPROTOCOL = 0x20,
    SEEN_EXTENSION = 0x40,
    SEEN_PART = 0x80, /* the rest of this line is passed over */
};

/* The headers that are looked at. */
static const char names[] = "upgrade,connection,sec-websocket-accept,sec-websocket-protocol,"
                            "sec-websocket-extensions,retry-after";
enum { UPGRADE, CONNECTION, ACCEPT, SUBPROTOCOL, EXTENSIONS, RETRY_AFTER };

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t';
}

static struct noc_slice trim(const char *at, const char *end)
{
    while (at < end && is_blank(*at)) {
        at++;
    }
    while (at < end && is_blank(end[-1])) {
        end--;
    }
    return noc_slice(at, (size_t)(end - at));
}

/* fold: 0x20 for letters of either case, where one side is letters and hyphens only; else 0. */
static bool is_same(struct noc_slice a, struct noc_slice b, unsigned fold)
{
    size_t i = 0;

    if (a.n != b.n) {
        return false;
    }
    while (i < a.n && ((unsigned)a.at[i] | fold) == ((unsigned)b.at[i] | fold)) {
        i++;
    }
    return i == a.n;
}

/* The place of an item in a comma separated list, from 0 on; -1: it is not there. */
static int list_find(struct noc_slice list, struct noc_slice item, unsigned fold)
{
    const char *at = list.at, *end = list.at + list.n;
    int place = 0;

    while (at < end) {
        const char *start = at;

        while (at < end && *at != ',') {
            at++;
        }
        if (is_same(trim(start, at), item, fold)) {
            return place;
        }
        at++;
        place++;
    }
    return -1;
}

/* Is it what Sec-WebSocket-Accept must be? Takes as long for any text of the right length. */
static bool is_accept(const struct noc_ws_answer *answer, struct noc_slice value)
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    char text[NOC_WS_KEY_SIZE + sizeof guid - 1];
    uint8_t digest[NOC_SHA1_SIZE];
    unsigned difference = 0;

    noc_ws_key_write(answer->key, text);
    memcpy(text + NOC_WS_KEY_SIZE, guid, sizeof guid - 1);
    noc_sha1(text, sizeof text, digest);
    noc_base64_encode(text, digest, sizeof digest);
    if (value.n != NOC_WS_ACCEPT_SIZE) {
        return false;
    }
    for (size_t i = 0; i < NOC_WS_ACCEPT_SIZE; i++) {
        difference |= (unsigned)(text[i] ^ value.at[i]);
    }
    return difference == 0;
}

/* A number of digits only, cut off at 65535; 0 for anything else. */
static uint16_t number(struct noc_slice text)
{
    uint32_t value = 0;

    for (size_t i = 0; i < text.n; i++) {
        unsigned digit = (unsigned)(text.at[i] - '0');

        if (digit > 9) {
            return 0;
        }
        value = value * 10 + digit;
        value = value > UINT16_MAX ? UINT16_MAX : value;
    }
    return (uint16_t)value;
}

/* The bit of a header that must come once and be good; the next one says that it is bad. */
static unsigned once(unsigned seen, unsigned bit, bool is_good)
{
    return is_good && (seen & bit) == 0 ? bit : bit << 1;
}

static void note_field(struct noc_ws_answer *answer, const struct noc_client_websocket *options,
    struct noc_slice name, struct noc_slice value)
{
    unsigned seen = answer->seen;

    switch (list_find(noc_slice(names, sizeof names - 1), name, 0x20)) {
    case UPGRADE:
        seen |= list_find(value, noc_slice_of("websocket"), 0x20) < 0 ? 0 : SEEN_UPGRADE;
        break;
    case CONNECTION:
        seen |= list_find(value, noc_slice_of("upgrade"), 0x20) < 0 ? 0 : SEEN_CONNECTION;
        break;
    case ACCEPT:
        seen |= once(seen, SEEN_ACCEPT, is_accept(answer, value));
        break;
    case SUBPROTOCOL:
        seen |= once(seen, SEEN_SUBPROTOCOL, list_find(asked_subprotocol(options), value, 0) >= 0);
        break;
    case EXTENSIONS:
        seen |= value.n > 0 ? SEEN_EXTENSION : 0;
        break;
    case RETRY_AFTER:
        answer->retry_after_s = number(value);
        break;
    default:
        break;
    }
    answer->seen = (uint8_t)seen;
}

static enum noc_ws_answer_kind judge(unsigned status, unsigned seen)
{
    if (status != 101) {
        return NOC_WS_ANSWER_STATUS;
    }
    if ((~seen & (SEEN_UPGRADE | SEEN_CONNECTION)) != 0) {
        return NOC_WS_ANSWER_UPGRADE;
    }
    if ((seen & (SEEN_ACCEPT | SEEN_BAD_ACCEPT)) != SEEN_ACCEPT) {
        return NOC_WS_ANSWER_ACCEPT;
    }
    if ((seen & SEEN_EXTENSION) != 0) {
        return NOC_WS_ANSWER_EXTENSION;
    }
    if ((seen & SEEN_BAD_SUBPROTOCOL) != 0) {
        return NOC_WS_ANSWER_SUBPROTOCOL;
    }
    return (seen & SEEN_SUBPROTOCOL) != 0 ? NOC_WS_ANSWER_GOOD : NOC_WS_ANSWER_NO_SUBPROTOCOL;
}

/* "HTTP/1.1 101 Switching Protocols"; the phrase may be missing. */
static int note_status(struct noc_ws_answer *answer, struct noc_slice line)
{
    if (line.n < 12 || memcmp(line.at, "HTTP/1.", 7) != 0 || line.at[8] != ' ' ||
        (line.n > 12 && line.at[12] != ' ')) {
        return NOC_EMALFORMED;
    }
    answer->status = number(noc_slice(line.at + 9, 3));
    return answer->status < 100 ? NOC_EMALFORMED : NOC_OK;
}

static int note_line(struct noc_ws_answer *answer, const struct noc_client_websocket *options,
    void *context, struct noc_slice line)
{
    const char *colon;
    struct noc_slice value;

    if (answer->status == 0) {
        return note_status(answer, line);
    }
    if (line.n == 0) {
        answer->kind = (uint8_t)judge(answer->status, answer->seen);
        return NOC_OK;
    }
    colon = memchr(line.at, ':', line.n);
    if (colon == NULL || colon == line.at || is_blank(*line.at)) {
        return NOC_EMALFORMED; /* A folded line begins with a blank (RFC 9112, 5.2). */
    }
    value = trim(colon + 1, line.at + line.n);
    line.n = (size_t)(colon - line.at);
    note_field(answer, options, line, value);
    if (options->on_header != NULL) {
        options->on_header(context, line, value);
    }
    return NOC_OK;
}

static bool is_text(uint8_t byte)
{
    return (byte >= 0x20 && byte != 0x7f) || byte == '\t';
}

int noc_ws_answer_read(struct noc_ws_answer *answer, const struct noc_client_websocket *options,
    void *context, const uint8_t *bytes, size_t n, bool is_full)
{
    size_t used = 0;

    while (answer->kind == NOC_WS_ANSWER_PENDING) {
        size_t end = used;
        bool is_part;

        while (end < n && is_text(bytes[end])) {
            end++;
        }
        is_part = end + 1 >= n;
        if (is_part && (used > 0 || !is_full)) {
            break;
        }
        if (!is_part && (bytes[end] != '\r' || bytes[end + 1] != '\n')) {
            return NOC_EMALFORMED;
        }
        if ((answer->seen & SEEN_PART) == 0 &&
            note_line(answer, options, context, noc_slice(bytes + used, end - used)) < 0) {
            return NOC_EMALFORMED;
        }
        answer->seen |= SEEN_PART;
        if (is_part) {
            return (int)end;
        }
        answer->seen ^= SEEN_PART;
        used = end + 2;
    }
    return (int)used;
}

/* ---- frames from the server ---- */

enum state {
    STATE_MESSAGE = 1, /* a fragmented message is open */
    STATE_CLOSED = 2,
    STATE_BROKEN = 4,
};

/* The close code for what a head breaks, 0 if nothing (RFC 6455, 5.2, 5.4, 5.5). */
static unsigned judge_head(unsigned first, unsigned second, unsigned state)
{
    unsigned opcode = first & 0x7f; /* and the reserved bits */

    if (opcode >= NOC_WS_CLOSE) {
        return opcode <= NOC_WS_PONG && first > 0x7f && second <= NOC_WS_CONTROL_MAX
                   ? 0
                   : NOC_WS_CLOSE_PROTOCOL;
    }
    if (opcode > NOC_WS_BINARY || second > 0x7f ||
        (opcode == NOC_WS_CONTINUATION) != ((state & STATE_MESSAGE) != 0)) {
        return NOC_WS_CLOSE_PROTOCOL;
    }
    return opcode == NOC_WS_TEXT ? NOC_WS_CLOSE_UNSUPPORTED : 0; /* [MQTT-6.0.0-1] */
}

/*
 * Take the head at the start of at[0..n), and all of a control frame: their
 * bytes, 0 if they are not all here, or NOC_EPROTO with reader->code set.
 */
static int take_head(struct noc_ws_reader *reader, const uint8_t *at, size_t n)
{
    uint32_t length;
    size_t size = 2;

    if (n < size) {
        return 0;
    }
    length = at[1];
    reader->code = (uint16_t)judge_head(at[0], length, reader->state);
    if (reader->code != 0) {
        return NOC_EPROTO;
    }
    if ((at[0] & NOC_WS_CLOSE) != 0) {
        size += length;
        return n < size ? 0 : (int)size;
    }
    if (length >= 126) {
        size += length == 126 ? 2 : 8;
        if (n < size) {
            return 0;
        }
        length = size == 4 ? noc_get_u16(at + 2) : noc_get_u32(at + 6);
        if (size == 10 && noc_get_u32(at + 2) != 0) {
            reader->code = NOC_WS_CLOSE_TOO_BIG;
            return NOC_EPROTO;
        }
        if (length < (size == 4 ? 126 : 65536)) {
            reader->code = NOC_WS_CLOSE_PROTOCOL;
            return NOC_EPROTO;
        }
    }
    reader->left = length;
    reader->state = at[0] > 0x7f ? 0 : STATE_MESSAGE;
    return (int)size;
}

/* Give out the control frame of that size: its opcode, or NOC_EPROTO. */
static int give_control(
    struct noc_ws_reader *reader, const uint8_t *at, size_t size, struct noc_slice *ret_payload)
{
    int opcode = at[0] & 0x0f;

    if (opcode == NOC_WS_CLOSE) {
        reader->code = NOC_WS_CLOSE_NO_CODE;
        if (size == 3) {
            reader->code = NOC_WS_CLOSE_PROTOCOL;
            return NOC_EPROTO;
        }
        if (size > 3) {
            reader->code = noc_get_u16(at + 2);
            at += 2;
            size -= 2;
        }
        reader->state = STATE_CLOSED;
    }
    *ret_payload = noc_slice(at + 2, size - 2);
    return opcode;
}

int noc_ws_read(struct noc_ws_reader *reader, uint8_t *bytes, size_t *plain_n, size_t *n,
    struct noc_slice *ret_payload)
{
    size_t to = *plain_n, at = to + reader->drop, end = *n;
    int size;

    if (reader->state >= STATE_CLOSED) {
        return reader->state == STATE_CLOSED ? NOC_ECLOSED : NOC_EPROTO;
    }
    for (;;) {
        size_t part = reader->left < end - at ? reader->left : end - at;

        memmove(bytes + to, bytes + at, part);
        to += part;
        at += part;
        reader->left -= (uint32_t)part;
        /* Inside of a frame nothing is left to read, so there is no head. */
        size = take_head(reader, bytes + at, end - at);
        if (size <= 0 || (bytes[at] & NOC_WS_CLOSE) != 0) {
            break;
        }
        at += (size_t)size;
    }
    memmove(bytes + to, bytes + at, end - at);
    *plain_n = to;
    *n = to + (end - at);
    reader->drop = 0;
    if (size > 0) {
        reader->drop = (uint8_t)size;
        size = give_control(reader, bytes + to, (size_t)size, ret_payload);
    }
    if (size < 0) {
        reader->state = STATE_BROKEN;
    }
    return size;
}

/* ---- frames to the server ---- */

size_t noc_ws_seal(uint8_t *payload, size_t n, enum noc_ws_opcode opcode, uint32_t mask)
{
    size_t head_n = n < 126 ? 6 : 8;
    uint8_t *key = noc_put_u32(payload - 4, mask) - 4;
    uint8_t *head = payload - head_n;

    head[0] = (uint8_t)(0x80u | (unsigned)opcode);
    head[1] = (uint8_t)(0x80u | (n < 126 ? n : 126));
    if (n >= 126) {
        noc_put_u16(head + 2, (uint16_t)n);
    }
    for (size_t i = 0; i < n; i++) {
        payload[i] ^= key[i & 3];
    }
    return head_n;
}

size_t noc_ws_control_write(
    uint8_t *at, enum noc_ws_opcode opcode, struct noc_slice payload, uint32_t mask)
{
    if (payload.n > 0) {
        memcpy(at + 6, payload.at, payload.n);
    }
    return payload.n + noc_ws_seal(at + 6, payload.n, opcode, mask);
}
