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

/* ---- the request ---- */

/*
 * Bytes of it below LITERAL stand for a text: the options' slices, in their order, or the key. Behind
 * each stands what there is instead of an empty one, with its length in front. Behind
 * IF_USER_AGENT is a line that there need not be.
 */
enum { HEADERS = 4, KEY = 5, IF_USER_AGENT = 6, LITERAL = 7 };

#define START      "GET \1\1/ HTTP/1.1\r\nHost: \0\0\r\nUpgrade: "
#define CONNECTING START "websocket\r\nConnection: "
#define ASKING                                            \
    CONNECTING "Upgrade\r\nSec-WebSocket-Version: 13\r\n" \
               "Sec-WebSocket-Key: \5\0==\r\nSec-WebSocket-Protocol: \2\4"
#define USER_AGENT "User-Agent: \3\0\r\n"

static const char request[] = ASKING "mqtt\r\n\6" USER_AGENT "\4\0\r\n";

/* Where the answer's words stand in it, and a character that is in none. */
enum {
    WEBSOCKET_AT = sizeof START - 1,
    NO_WORD_AT = WEBSOCKET_AT + 9,
    UPGRADE_AT = sizeof CONNECTING - 1,
    MQTT_AT = sizeof ASKING - 1,
};

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
    noc_sha1(hashed, HASHED, words);
    encode(answer->accept, words, 32 * NOC_SHA1_WORDS);
    answer->accept[NOC_WS_ACCEPT_SIZE - 1] = '=';
    do {
        unsigned which = (uint8_t)*next;
        struct noc_slice text = {next++, 1};

        if (which == IF_USER_AGENT) {
            next += options->user_agent.n == 0 ? sizeof USER_AGENT - 1 : 0;
            continue;
        }
        if (which < LITERAL) {
            text = which == KEY ? noc_slice(hashed, DIGITS) : (&options->host)[which];
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

/* The headers that are looked at, in the order of the kinds from NOC_WS_ANSWER_UPGRADE on. */
enum header { UPGRADE, CONNECTION, ACCEPT, EXTENSIONS, SUBPROTOCOL, WANTED_COUNT };

/* For all but the last a bit that says it was right, and one that says it was not. */
#define GOOD(header) (1u << (header))
#define BAD(header)  (0x100u << (header))

/*
 * The hashes of their names, and the words that must be in them, as places of the request. That
 * another name has the same hash by chance is not to be expected; a server that made one up
 * would refuse itself.
 */
static const struct wanted {
    uint32_t hash;
    uint8_t at, n;
} wanted[] = {
    [UPGRADE] = {0xf2389a1c, WEBSOCKET_AT, 9},
    [CONNECTION] = {0xd1c47ede, UPGRADE_AT, 7},
    [ACCEPT] = {0xdc26dbca, 0, NOC_WS_ACCEPT_SIZE},
    [EXTENSIONS] = {0x4fd061d6, NO_WORD_AT, 1},
    [SUBPROTOCOL] = {0xb2db0cda, MQTT_AT, 4},
};

#define RETRY_AFTER_HASH 0x733c9e77

enum { ANY_CASE = 0xdf, EXACT = 0xff };

/* Is the word one of those at at[0..end), case of letters aside (ANY_CASE) or to the bit (EXACT)? */
static bool has_word(const char *at, const char *end, struct noc_slice word, unsigned mask)
{
    size_t same = 0; /* characters; more than the word has: it is another word */

    for (;; at++) {
        if (at == end || *at == ',' || (uint8_t)*at <= ' ') {
            if (same == word.n || at == end) {
                return same == word.n;
            }
            same = 0;
        } else {
            same = same < word.n && ((unsigned)(word.at[same] ^ *at) & mask) == 0 ? same + 1
                                                                                  : word.n + 1;
        }
    }
}

/* Look at a header: its name has that hash, its value stands at at[0..end). */
static void note_header(struct noc_ws_answer *answer, const struct noc_client_websocket *options,
    uint32_t hash, const char *at, const char *end)
{
    const struct wanted *row = wanted;
    struct noc_slice word;
    unsigned header = 0;

    NOC_HIDE(row); /* or it would spell the table out */
    for (; row->hash != hash; row++) {
        if (++header == WANTED_COUNT) {
            return;
        }
    }
    word = noc_slice(request + row->at, row->n);
    if (header == ACCEPT) {
        word.at = answer->accept;
    } else if (header == SUBPROTOCOL && options->subprotocol.n > 0) {
        word = options->subprotocol;
    }
    answer->seen |= (has_word(at, end, word, header < ACCEPT ? ANY_CASE : EXACT) ? GOOD(0) : BAD(0))
                    << header;
}

/* The head is over: what is it? The kinds from NOC_WS_ANSWER_UPGRADE on have the order of the headers. */
static void judge(struct noc_ws_answer *answer)
{
    unsigned needed = GOOD(UPGRADE) | GOOD(CONNECTION) | GOOD(ACCEPT) | GOOD(SUBPROTOCOL);
    unsigned missing = ~answer->seen & needed;
    /* A subprotocol that is missing has the bit above that of a bad one. */
    unsigned faults =
        (missing + (missing & GOOD(SUBPROTOCOL))) | answer->seen >> 8 | GOOD(WANTED_COUNT + 1);
    uint32_t kind = NOC_WS_ANSWER_UPGRADE;

    if (answer->status != 101) {
        kind = NOC_WS_ANSWER_STATUS;
        if (answer->status - 100 < 100) {
            /* Not the answer yet (RFC 9110, 15.2): begin anew. */
            answer->status = answer->seen = kind = 0;
        }
    } else {
        for (; (faults & 1) == 0; faults >>= 1) {
            kind++;
        }
    }
    answer->kind = kind;
}

/* Look at a line at at[0..end), without its LF. False: it should be the first of HTTP, and is not. */
static bool note_line(struct noc_ws_answer *answer, const struct noc_client_websocket *options,
    void *context, const char *at, const char *end)
{
    const char *value = at;
    uint32_t hash = 0, number = 0;

    if (end - at < 2 && answer->status != 0) {
        /* Nothing, or a CR. */
        judge(answer);
        return true;
    }
    for (; value < end && *value != ':' && *value != ' '; value++) {
        hash = hash * 31 + ((uint8_t)*value | 0x20u);
    }
    value += value < end;
    for (const char *at_digit = value; at_digit < end; at_digit++) {
        unsigned digit = (unsigned)*at_digit - '0';

        if (digit < 10) {
            number = number * 10 + digit;
            number = number > UINT16_MAX ? UINT16_MAX : number;
        } else if (*at_digit != ' ' || number > 0) {
            break;
        }
    }
    if (answer->status == 0) {
        /* "HTTP/1.1 101 Switching Protocols"; the phrase may be missing. */
        answer->status = number;
        return number != 0;
    }
    if (hash == RETRY_AFTER_HASH) {
        answer->retry_after_s = number;
    }
    note_header(answer, options, hash, value, end);
    if (options->on_header != NULL) {
        end -= end[-1] == '\r';
        options->on_header(context, noc_slice(at, (size_t)(end - at)));
    }
    return true;
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
    if (!note_line(answer, options, context, line, at)) {
        return NOC_EMALFORMED;
    }
    /* What stays of a line without an end is no blank line, whatever follows it. */
    return (int)(at == end ? n - 2 : (size_t)(at + 1 - line));
}

/* ---- frames from the server ---- */

/* The lowest first byte of a control frame; what else is at most two above it is one, too. */
enum { CONTROL = 0x80 + NOC_WS_CLOSE };

static size_t fail(struct noc_ws_reader *reader, unsigned code)
{
    reader->code = code;
    reader->event = NOC_EPROTO;
    return 0;
}

/*
 * Take the head of a frame at at[0..n), n >= 2 (RFC 6455, 5.2, 5.4, 5.5), of a control frame only
 * when its payload is here. Returns its bytes. 0: more must come, or it breaks a rule.
 */
static size_t take_head(struct noc_ws_reader *reader, const uint8_t *at, size_t n)
{
    unsigned first = at[0];
    uint32_t left = at[1];
    size_t size = 2;
    bool is_control = first - CONTROL <= NOC_WS_PONG - NOC_WS_CLOSE;

    if (!is_control && (first & 0x7f) != (reader->in_message ^ NOC_WS_BINARY)) {
        return fail(reader, (first & 0x7f) == NOC_WS_TEXT
                                ? NOC_WS_CLOSE_UNSUPPORTED /* [MQTT-6.0.0-1] */
                                : NOC_WS_CLOSE_PROTOCOL);
    }
    if (left > (is_control ? NOC_WS_CONTROL_MAX : 127)) {
        return fail(reader, NOC_WS_CLOSE_PROTOCOL);
    }
    if (is_control) {
        if (n < 2 + left) {
            return 0;
        }
        reader->held = left;
        reader->event = (int)(first & 0x0f);
        if (reader->event == NOC_WS_CLOSE) {
            reader->code = left > 1 ? noc_get_u16(at + 2) : NOC_WS_CLOSE_NO_CODE;
        }
        return 2;
    }
    if (left > 125) {
        size = left == 126 ? 4 : 10;
        if (n < size) {
            return 0;
        }
        left = 0;
        for (size_t i = 2; i < size; i++) {
            if (left >> 24 != 0) {
                return fail(reader, NOC_WS_CLOSE_TOO_BIG);
            }
            left = left << 8 | at[i];
        }
    }
    reader->left = left;
    reader->in_message = first < 0x80 ? NOC_WS_BINARY : 0;
    return size;
}

int noc_ws_read(struct noc_ws_reader *reader, uint8_t *bytes, size_t *plain_n, size_t *n)
{
    uint8_t *to = bytes + *plain_n, *at = to + reader->held, *end = bytes + *n;

    if (reader->event == NOC_WS_CLOSE) {
        reader->event = NOC_ECLOSED;
    }
    if (reader->event < 0) {
        return reader->event;
    }
    reader->held = 0;
    reader->event = 0;
    for (;;) {
        size_t part = (size_t)(end - at), size;

        part = part < reader->left ? part : reader->left;
        memmove(to, at, part);
        to += part;
        at += part;
        reader->left -= (uint32_t)part;
        size = end - at < 2 ? 0 : take_head(reader, at, (size_t)(end - at));
        at += size;
        if (size == 0 || reader->event != 0) {
            break;
        }
    }
    *plain_n = (size_t)(to - bytes);
    memmove(to, at, (size_t)(end - at));
    *n = *plain_n + (size_t)(end - at);
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
