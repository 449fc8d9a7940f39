/* SPDX-License-Identifier: Apache-2.0 */
#include "ws/client.h"

#include "base/base64.h"
#include "base/bytes.h"
#include "ws/http.h"
#include "ws/sha1.h"

static struct noc_slice asked_subprotocol(const struct noc_client_websocket *options)
{
    return options->subprotocol.n > 0 ? options->subprotocol : noc_slice("mqtt", 4);
}

/* ---- the request ---- */

/*
 * Bytes of it up to KEY stand for a text: one of the options' slices, by their
 * order, or the key. Behind IF_USER_AGENT is a line that there need not be.
 */
enum { PATH = 2, ASKED = 3, HEADERS = 5, KEY = 6, IF_USER_AGENT = 7 };

#define REQUEST                                                                    \
    "GET \2 HTTP/1.1\r\nHost: \1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" \
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: \6\r\nSec-WebSocket-Protocol: \3\r\n"
#define USER_AGENT "\7User-Agent: \4\r\n"
#define END        "\5\r\n"

_Static_assert(offsetof(struct noc_client_websocket, path) == sizeof(struct noc_slice) &&
                   offsetof(struct noc_client_websocket, headers) == 4 * sizeof(struct noc_slice),
    "the request names the slices by their place");

/* The text that a byte of the request stands for. */
static struct noc_slice text_of(const struct noc_client_websocket *options, unsigned which)
{
    struct noc_slice text = (&options->host)[which - 1];

    if (which == PATH && text.n == 0) {
        return noc_slice("/", 1);
    }
    return which == ASKED ? asked_subprotocol(options) : text;
}

int noc_ws_ask(struct noc_ws_answer *answer, const struct noc_client_websocket *options,
    uint8_t *at, size_t room)
{
    char key[NOC_WS_KEY_SIZE];
    uint8_t *start = at, *end = at + room;

    answer->status = answer->retry_after_s = answer->seen = answer->kind = 0;
    noc_base64_encode(key, answer->key, sizeof answer->key);
    for (const char *next = REQUEST USER_AGENT END; *next != 0; next++) {
        unsigned which = (uint8_t)*next;
        struct noc_slice text = {next, 1};

        if (which == KEY) {
            text = noc_slice(key, sizeof key);
        } else if (which < KEY) {
            text = text_of(options, which);
        } else if (which == IF_USER_AGENT) {
            next += options->user_agent.n == 0 ? sizeof USER_AGENT - 2 : 0;
            continue;
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
    }
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

/* The headers that are looked at. The first five have a bit in GOOD() and one in BAD(). */
enum header { UPGRADE, CONNECTION, ACCEPT, EXTENSIONS, SUBPROTOCOL, RETRY_AFTER, HEADER_COUNT };

#define GOOD(header) (1u << (header))
#define BAD(header)  (0x100u << (header))

/*
 * Their names, as hash_name() makes them. That another name has the same by
 * chance is not to be expected; a server that made one up would refuse itself.
 */
static const uint32_t hashes[] = {
    0xf2389a1c, 0xd1c47ede, 0xdc26dbca, 0x4fd061d6, 0xb2db0cda, 0x733c9e77};

enum { ANY_CASE = 0xdf, EXACT = 0xff };

/*
 * Is the word one of those at at[0..end), case of letters aside (ANY_CASE) or to
 * the bit (EXACT)? Takes as long for any word of its length.
 */
static bool has_word(const char *at, const char *end, struct noc_slice word, unsigned mask)
{
    for (; at < end; at++) {
        unsigned difference = 0;
        size_t i = 0;

        for (; at < end && *at != ',' && (uint8_t)*at > ' '; at++, i++) {
            difference |= i < word.n ? (unsigned)(word.at[i] ^ *at) & mask : 1;
        }
        if (difference == 0 && i == word.n) {
            return true;
        }
    }
    return false;
}

static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
enum { HASHED_SIZE = NOC_WS_KEY_SIZE + sizeof guid - 1 };

/* What Sec-WebSocket-Accept must be. text has room for what is hashed. */
static struct noc_slice accept_of(const struct noc_ws_answer *answer, char text[HASHED_SIZE])
{
    uint8_t digest[NOC_SHA1_SIZE];

    memcpy(noc_base64_encode(text, answer->key, sizeof answer->key), guid, sizeof guid - 1);
    noc_sha1(text, HASHED_SIZE, digest);
    noc_base64_encode(text, digest, sizeof digest);
    return noc_slice(text, NOC_WS_ACCEPT_SIZE);
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

/* The kinds from NOC_WS_ANSWER_UPGRADE on have the order of the headers. */
static uint32_t judge(const struct noc_ws_answer *answer)
{
    unsigned wanted = GOOD(UPGRADE) | GOOD(CONNECTION) | GOOD(ACCEPT) | GOOD(SUBPROTOCOL);
    unsigned missing = ~answer->seen & wanted;
    /* A subprotocol that is missing has the bit above that of a bad one. */
    unsigned faults =
        (missing + (missing & GOOD(SUBPROTOCOL))) | answer->seen >> 8 | GOOD(HEADER_COUNT);
    uint32_t kind = NOC_WS_ANSWER_UPGRADE;

    if (answer->status != 101) {
        return NOC_WS_ANSWER_STATUS;
    }
    while ((faults & 1) == 0) {
        faults >>= 1;
        kind++;
    }
    return kind;
}

/* Look at a header: its name has that hash, its value stands at at[0..end). */
static void note_header(struct noc_ws_answer *answer, const struct noc_client_websocket *options,
    uint32_t hash, const char *at, const char *end)
{
    char text[HASHED_SIZE];
    struct noc_slice word = {text, 0};
    unsigned header = 0, mask = ANY_CASE;
    bool is_good;

    while (header < HEADER_COUNT && hashes[header] != hash) {
        header++;
    }
    if (header == UPGRADE) {
        word = noc_slice("websocket", 9);
    } else if (header == CONNECTION) {
        word = noc_slice("upgrade", 7);
    } else if (header == ACCEPT) {
        mask = EXACT;
        word = accept_of(answer, text);
    } else if (header == SUBPROTOCOL) {
        mask = EXACT;
        word = asked_subprotocol(options);
    } else if (header == RETRY_AFTER) {
        answer->retry_after_s = number(at, end);
    }
    if (header < RETRY_AFTER) {
        is_good = word.n > 0 && has_word(at, end, word, mask);
        answer->seen |= (is_good ? GOOD(0) : BAD(0)) << header;
    }
}

/* Look at a line at at[0..end), without its LF. */
static void note_line(struct noc_ws_answer *answer, const struct noc_client_websocket *options,
    void *context, const char *at, const char *end)
{
    const char *name_end = at;
    uint32_t hash = 0;

    if (end - at < 2 && answer->status != 0) {
        answer->kind = judge(answer); /* Nothing, or a CR. */
        return;
    }
    for (; name_end < end && *name_end != ':' && *name_end != ' '; name_end++) {
        hash = hash * 31 + ((uint8_t)*name_end | 0x20u);
    }
    name_end += name_end < end;
    if (answer->status == 0) {
        /* "HTTP/1.1 101 Switching Protocols"; the phrase may be missing. */
        answer->status = number(name_end, end);
        return;
    }
    note_header(answer, options, hash, name_end, end);
    if (options->on_header != NULL) {
        end -= end[-1] == '\r';
        options->on_header(context, noc_slice(at, (size_t)(end - at)));
    }
}

int noc_ws_answer_read(struct noc_ws_answer *answer, const struct noc_client_websocket *options,
    void *context, const uint8_t *bytes, size_t n, bool is_full)
{
    const char *start = (const char *)bytes, *end = start + n, *at = start;

    while (answer->kind == NOC_WS_ANSWER_PENDING) {
        const char *line = at;

        if (answer->status == 0 && n > 0 && *start != 'H') {
            return NOC_EMALFORMED;
        }
        while (at < end && *at != '\n') {
            at++;
        }
        if (at == end && (line != start || !is_full)) {
            return (int)(line - start);
        }
        note_line(answer, options, context, line, at);
        if (answer->status == 0) {
            return NOC_EMALFORMED;
        }
        if (at == end) {
            /* What stays is no blank line, whatever follows it. */
            return (int)n - 2;
        }
        at++;
    }
    return (int)(at - start);
}

/* ---- frames from the server ---- */

/* What the next byte is; those between SECOND and PAYLOAD are bytes of a length. */
enum step { FIRST = 0, SECOND = 1, LENGTH8 = 2, LENGTH2 = 8, PAYLOAD = 10, CLOSED, BROKEN };

/* The lowest first byte of a control frame; one of data is below it. */
enum { CONTROL = 0x80 + NOC_WS_CLOSE };

/* Take a byte of a head (RFC 6455, 5.2, 5.4, 5.5). Returns a close code, or 0. */
static unsigned take(struct noc_ws_reader *reader, unsigned byte)
{
    if (reader->step == FIRST) {
        reader->first = byte;
        if (byte - CONTROL > NOC_WS_PONG - NOC_WS_CLOSE) {
            if ((byte & 0x7d) != 0) {
                return (byte & 0x7f) == NOC_WS_TEXT ? NOC_WS_CLOSE_UNSUPPORTED /* [MQTT-6.0.0-1] */
                                                    : NOC_WS_CLOSE_PROTOCOL;
            }
            if (((byte & NOC_WS_BINARY) == 0) != reader->in_message) {
                return NOC_WS_CLOSE_PROTOCOL;
            }
            reader->in_message = byte < 0x80;
        }
        reader->step = SECOND;
    } else if (reader->step == SECOND) {
        if (byte > (reader->first < CONTROL ? 127 : NOC_WS_CONTROL_MAX)) {
            return NOC_WS_CLOSE_PROTOCOL;
        }
        reader->step = byte == 127 ? LENGTH8 : LENGTH2;
        if (byte < 126) {
            reader->left = byte;
            reader->step = PAYLOAD;
        }
    } else {
        if (reader->left >> 24 != 0) {
            return NOC_WS_CLOSE_TOO_BIG;
        }
        reader->left = reader->left << 8 | byte;
        reader->step++;
    }
    return 0;
}

/* Move payload at at[0..n), n > 0, to `to`: a byte of it, or as much as there is. Returns that. */
static size_t move(struct noc_ws_reader *reader, uint8_t *to, const uint8_t *at, size_t n)
{
    size_t part = reader->left < n ? reader->left : n;

    if (NOC_IS_SMALL) {
        part = 1;
        to[reader->held] = *at;
    } else {
        memmove(to + reader->held, at, part);
    }
    reader->held += (uint32_t)part;
    reader->left -= (uint32_t)part;
    return part;
}

int noc_ws_read(struct noc_ws_reader *reader, uint8_t *bytes, size_t *plain_n, size_t *n)
{
    uint8_t *to = bytes + *plain_n, *at = to + reader->held, *end = bytes + *n;
    int opcode = 0;

    if (reader->step == FIRST) {
        reader->held = 0;
    }
    while (at < end && opcode == 0 && reader->step <= PAYLOAD) {
        if (reader->step < PAYLOAD) {
            reader->code = take(reader, *at++);
            if (reader->code != 0) {
                reader->step = BROKEN;
            }
        } else {
            at += move(reader, to, at, (size_t)(end - at));
        }
        if (reader->first < CONTROL) {
            to += reader->held;
            reader->held = 0;
        }
        if (reader->step == PAYLOAD && reader->left == 0) {
            reader->step = FIRST;
            opcode = reader->first < CONTROL ? 0 : (int)(reader->first & 0x0f);
        }
    }
    if (reader->step > PAYLOAD) {
        opcode = reader->step == CLOSED ? NOC_ECLOSED : NOC_EPROTO;
    }
    if (opcode == NOC_WS_CLOSE) {
        reader->step = CLOSED;
        reader->code = reader->held > 1 ? (unsigned)to[0] << 8 | to[1] : NOC_WS_CLOSE_NO_CODE;
    }
    *plain_n = (size_t)(to - bytes);
    to += reader->held;
    memmove(to, at, (size_t)(end - at));
    *n = (size_t)(to + (end - at) - bytes);
    return opcode;
}

/* ---- frames to the server ---- */

size_t noc_ws_seal(uint8_t *payload, size_t n, enum noc_ws_opcode opcode, uint32_t mask)
{
    uint8_t *head = payload - 6;

    if (n > NOC_WS_CONTROL_MAX) {
        noc_put_u16(payload - 6, (uint16_t)n);
        head -= 2;
    }
    head[0] = (uint8_t)(0x80u | (unsigned)opcode);
    head[1] = (uint8_t)(n > NOC_WS_CONTROL_MAX ? 0xfe : 0x80u | n);
    if (!NOC_IS_SMALL) {
        uint8_t *key = noc_put_u32(payload - 4, mask) - 4;

        noc_ws_mask(payload, n, key, 0);
        return (size_t)(payload - head);
    }
    /* The mask lies in front of the payload, as zeros that are masked too. */
    payload -= 4;
    for (size_t i = 0; i < n + 4; i++) {
        mask = mask << 8 | mask >> 24;
        payload[i] = (uint8_t)((i < 4 ? 0 : payload[i]) ^ mask);
    }
    return (size_t)(payload + 4 - head);
}
