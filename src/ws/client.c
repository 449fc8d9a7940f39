/* SPDX-License-Identifier: Apache-2.0 */
#include "ws/client.h"

#include "base/bytes.h"
#include "ws/http.h"
#include "ws/sha1.h"

/* ---- the key ---- */

/* Write bits, most significant first, as base64 without padding. The word behind them is zero. */
static void encode(char *at, const uint32_t *words, unsigned bits)
{
    for (unsigned i = 0; i < bits; i += 6) {
        const uint32_t *word = words + i / 32;
        uint32_t value = (word[0] << i % 32 | word[1] >> 1 >> (31 - i % 32)) >> 26;

        /* From A to Z, then a to z, 0 to 9, and at last '+' and '/', which are 4 apart. */
        value += 'A';
        if (value > 'Z') {
            value += 'a' - 'Z' - 1;
        }
        if (value > 'z') {
            value -= 'z' + 1 - '0';
            value = value > '9' ? '+' + 4 * (value - '9' - 1) : value;
        }
        *at++ = (char)value;
    }
}

/* What is hashed behind the digits of the key, and the first byte behind that. */
static const char guid[] = "==258EAFA5-E914-47DA-95CA-C5AB0DC85B11\x80";
enum { DIGITS = NOC_WS_KEY_SIZE - 2, HASHED = DIGITS + sizeof guid - 2 };

_Static_assert(HASHED > 55 && HASHED < 64, "what is hashed takes two blocks");

/* ---- the request ---- */

/*
 * Bytes of it below LITERAL stand for a text: the options' slices, in their order, or the key. Behind
 * each stands what there is instead of an empty one, with its length in front. Behind
 * IF_USER_AGENT is a line that there need not be.
 */
enum { HEADERS = 4, KEY = 5, IF_USER_AGENT = 6, LITERAL = 7 };

#define USER_AGENT "User-Agent: \3\0\r\n"

static const char request[] =
    "GET \1\1/ HTTP/1.1\r\nHost: \0\0\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: \5\0\r\nSec-WebSocket-Protocol: \2\4mqtt\r\n"
    "\6" USER_AGENT "\4\0\r\n";

_Static_assert(offsetof(struct noc_client_websocket, path) == sizeof(struct noc_slice) &&
                   offsetof(struct noc_client_websocket, headers) == 4 * sizeof(struct noc_slice),
    "the request names the slices by their place");

int noc_ws_ask(struct noc_ws_answer *answer, const struct noc_client_websocket *options,
    uint8_t *at, size_t room)
{
    char hashed[DIGITS + sizeof guid];
    uint32_t words[NOC_SHA1_ROOM];
    const char *next = request;
    uint8_t *start = at, *end = at + room;

    encode(hashed, answer->key, 32 * NOC_WS_KEY_WORDS);
    memcpy(hashed + DIGITS, guid, sizeof guid);
    encode(answer->accept, noc_sha1(hashed, HASHED, words), 32 * NOC_SHA1_WORDS);
    answer->accept[NOC_WS_ACCEPT_SIZE - 1] = '=';
    do {
        unsigned which = (uint8_t)*next;
        struct noc_slice text = {next++, 1};

        if (which == IF_USER_AGENT) {
            next += options->user_agent.n == 0 ? sizeof USER_AGENT - 1 : 0;
            continue;
        }
        if (which < LITERAL) {
            text = which == KEY ? noc_slice(hashed, NOC_WS_KEY_SIZE) : (&options->host)[which];
            if (text.n == 0) {
                text = noc_slice(next + 1, (uint8_t)*next);
            }
            next += 1 + *next;
        }
        for (; text.n > 0; text.n--) {
            uint8_t byte = (uint8_t)*text.at++;

            if (at == end) {
                return NOC_ETOOLARGE;
            }
            if (byte < ' ' && which < HEADERS) {
                return NOC_EINVAL;
            }
            *at++ = byte;
        }
    } while (next < request + sizeof request - 1);
    return (int)(at - start);
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

/*
 * The headers that are looked at, in the order of the kinds from NOC_WS_ANSWER_UPGRADE on: a hash of
 * the name, and for the first two one of what must be in the value, too. That something else has
 * the same hash by chance is not to be expected; a server that made it up would deceive itself.
 */
enum header { UPGRADE, CONNECTION, ACCEPT, EXTENSIONS, SUBPROTOCOL, WANTED_COUNT };

static const uint32_t hashes[WANTED_COUNT] = {
    [UPGRADE] = 0x5bd48345,
    [CONNECTION] = 0xfbd2a3fa,
    [ACCEPT] = 0xcf8de649,
    [EXTENSIONS] = 0xcba014d5,
    [SUBPROTOCOL] = 0x68a97399,
};

#define RETRY_AFTER_HASH 0x6b8af918

/*
 * Bits of what is wrong: by their places, those of the kinds from NOC_WS_ANSWER_UPGRADE on. What is
 * MISSING goes when it is found; what is BAD, behind BAD_SHIFT, stays.
 */
enum { BAD_SHIFT = 8, MISSING = 0x67 };

/* Look at a word in a value: name is the hash of the header's name, hash of both. */
static void note_word(struct noc_ws_answer *answer, const struct noc_client_websocket *options,
    uint32_t name, uint32_t hash, struct noc_slice word)
{
    struct noc_slice wanted = options->subprotocol;
    const uint32_t *at = hashes;
    unsigned header = 0;

    NOC_HIDE(at); /* or it would spell the table out */
    while (at[header] != (header < ACCEPT ? hash : name)) {
        if (++header == WANTED_COUNT) {
            return;
        }
    }
    if (wanted.n == 0) {
        wanted = noc_slice("mqtt", 4);
    }
    if (header == ACCEPT) {
        wanted = noc_slice(answer->accept, NOC_WS_ACCEPT_SIZE);
    }
    if (header < ACCEPT || (header != EXTENSIONS && noc_slice_equal(word, wanted))) {
        answer->faults &= ~(1u << header << header / SUBPROTOCOL);
    } else {
        answer->faults |= 1u << BAD_SHIFT << header;
    }
}

/* The number behind blanks, cut off at 65535; 0 if there is none. */
static uint32_t number(const char *at, const char *end)
{
    uint32_t value = 0;

    while (at < end && *at == ' ') {
        at++;
    }
    for (; at < end && (uint8_t)(*at - '0') < 10; at++) {
        value = value * 10 + (uint8_t)(*at - '0');
        value = value > UINT16_MAX ? UINT16_MAX : value;
    }
    return value;
}

/* The head is over: what is it? */
static void judge(struct noc_ws_answer *answer)
{
    unsigned faults = answer->faults | answer->faults >> BAD_SHIFT;
    uint32_t kind = NOC_WS_ANSWER_UPGRADE;

    if (answer->status == 101) {
        for (; (faults & 1) == 0; faults >>= 1) {
            kind++;
        }
    } else {
        kind = NOC_WS_ANSWER_STATUS;
        if (answer->status - 100 < 100) {
            answer->status = kind = 0; /* not the answer yet (RFC 9110, 15.2): begin anew */
        }
    }
    answer->kind = kind;
}

/* Look at a line at line[0..end), without its LF: names and words stand between what is in none. */
static void note_line(struct noc_ws_answer *answer, const struct noc_client_websocket *options,
    const char *line, const char *end)
{
    uint32_t name = 0;

    for (const char *at = line;; at++) {
        const char *word = at;
        uint32_t hash = ~name;

        for (; at < end && (uint8_t)*at > ' ' && *at != ',' && *at != ':'; at++) {
            hash = hash * 31 + ((uint8_t)*at | 0x20u);
        }
        if (word == line) {
            uint32_t value = number(at + (at < end), end);

            name = hash;
            if (answer->status == 0) {
                /* "HTTP/1.1 101 Switching Protocols"; the phrase may be missing. */
                answer->status = value;
                answer->faults = MISSING;
                return;
            }
            if (name == RETRY_AFTER_HASH) {
                answer->retry_after_s = value;
            }
        } else if (at > word) {
            note_word(answer, options, name, hash, noc_slice(word, (size_t)(at - word)));
        }
        if (at == end) {
            return;
        }
    }
}

int noc_ws_answer_read(struct noc_ws_answer *answer, const struct noc_client_websocket *options,
    void *context, const uint8_t *bytes, size_t n, bool is_full)
{
    const char *line = (const char *)bytes, *end = line + n, *at = line;

    if (answer->status == 0 && n > 0 && *line != 'H') {
        return NOC_EMALFORMED;
    }
    while (at < end && *at != '\n') {
        at++;
    }
    if (at == end && !is_full) {
        return 0;
    }
    if (at - line < 2 && answer->status != 0) {
        judge(answer); /* nothing, or a CR */
    } else {
        if (answer->status != 0 && options->on_header != NULL) {
            options->on_header(context, noc_slice(line, (size_t)(at - line - (at[-1] == '\r'))));
        }
        note_line(answer, options, line, at);
        if (answer->status == 0) {
            return NOC_EMALFORMED;
        }
    }
    /* What stays of a line without an end is no blank line, whatever follows it. */
    return (int)(at == end ? n - 2 : (size_t)(at + 1 - line));
}

/* ---- frames from the server ---- */

/* The lowest first byte of a control frame; what else is at most two above it is one, too. */
enum { CONTROL = 0x80 + NOC_WS_CLOSE };

/*
 * Take the head of a frame at at[0..n) (RFC 6455, 5.2, 5.4, 5.5). Returns its bytes. 0: there is none,
 * it is not all here, it breaks a rule, or it is that of a control frame; the last two make an event.
 */
static size_t take_head(struct noc_ws_reader *reader, const uint8_t *at, size_t n)
{
    size_t size = 2;
    unsigned first;
    uint32_t left;

    if (n < size) {
        return 0;
    }
    first = at[0];
    left = at[1];
    reader->code = NOC_WS_CLOSE_PROTOCOL;
    if (first - CONTROL <= NOC_WS_PONG - NOC_WS_CLOSE) {
        size += left;
        if (left > NOC_WS_CONTROL_MAX) {
            reader->event = NOC_EPROTO;
        } else if (n >= size) {
            reader->held = (uint32_t)size;
            reader->event = (int)(first & 0x0f);
            reader->code = left > 1 ? noc_get_u16(at + 2) : NOC_WS_CLOSE_NO_CODE;
        }
        return 0;
    }
    if ((first & 0x7f) == NOC_WS_TEXT) {
        reader->code = NOC_WS_CLOSE_UNSUPPORTED; /* [MQTT-6.0.0-1] */
    }
    if ((first & 0x7f) != (reader->in_message ^ NOC_WS_BINARY) || left > 127) {
        reader->event = NOC_EPROTO;
        return 0;
    }
    if (left > 125) {
        size = left == 126 ? 4 : 10;
        if (n < size) {
            return 0;
        }
        left = 0;
        for (size_t i = 2; i < size; i++) {
            if (left >> 24 != 0) {
                reader->code = NOC_WS_CLOSE_TOO_BIG;
                reader->event = NOC_EPROTO;
                return 0;
            }
            left = left << 8 | at[i];
        }
    }
    reader->left = left;
    reader->in_message = first < 0x80 ? NOC_WS_BINARY : 0;
    return size;
}

int noc_ws_read(struct noc_ws_reader *reader, uint8_t *bytes, uint32_t *plain_n, uint32_t *n)
{
    uint8_t *to = bytes + *plain_n, *at = to + reader->done, *end = bytes + *n;
    size_t size;

    reader->held = NOC_WS_HELD_HEAD;
    reader->done = 0;
    reader->event = 0;
    do {
        size_t part = (size_t)(end - at);

        part = part < reader->left ? part : reader->left;
        memmove(to, at, part);
        to += part;
        at += part;
        reader->left -= (uint32_t)part;
        size = take_head(reader, at, (size_t)(end - at));
        at += size;
    } while (size > 0);
    *plain_n = (uint32_t)(to - bytes);
    memmove(to, at, (size_t)(end - at));
    *n = (uint32_t)(to + (end - at) - bytes);
    return reader->event;
}

/* ---- frames to the server ---- */

size_t noc_ws_seal(uint8_t *payload, size_t n, enum noc_ws_opcode opcode, uint32_t mask)
{
    uint8_t *at = payload - 4;

    if (!NOC_IS_SMALL) {
        noc_ws_mask(payload, n, noc_put_u32(at, mask) - 4, 0);
    } else {
        /* The mask lies in front of the payload, as zeros that are masked too. */
        for (uint8_t *byte = at; byte < payload + n; byte++) {
            mask = mask << 8 | mask >> 24;
            *byte = (uint8_t)((byte < payload ? 0 : *byte) ^ mask);
        }
    }
    if (n > NOC_WS_CONTROL_MAX) {
        *--at = (uint8_t)n;
        *--at = (uint8_t)(n >> 8);
        n = 126;
    }
    *--at = (uint8_t)(0x80u | n);
    *--at = (uint8_t)(0x80u | (unsigned)opcode);
    return (size_t)(payload - at);
}
