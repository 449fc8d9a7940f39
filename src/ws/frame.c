/* SPDX-License-Identifier: Apache-2.0 */
#include "ws/frame.h"

#include "base/bytes.h"
#include "base/utf8.h"

/*
 *            head complete, data          left == 0
 *   HEAD ------------------------> DATA ------------> HEAD
 *     | head complete, control
 *     +-------------------------> CONTROL --ping, pong--> HEAD
 *                                    +------close-------> CLOSED
 *   any of them --a rule broken--> BROKEN
 *
 * In HEAD, held[0..held_n) is the begun head, but only if it was cut by the
 * end of a span: a head that is there whole is read where it lies. In CONTROL,
 * held is the payload so far, unmasked. Payload of data is never held.
 */
enum state { STATE_HEAD = 0, STATE_DATA, STATE_CONTROL, STATE_CLOSED, STATE_BROKEN };

/* The head of a frame (RFC 6455, 5.2). */
struct head {
    uint8_t size; /* bytes of it */
    uint8_t opcode;
    bool is_last;
    bool is_masked;
    uint64_t payload_n;
    uint8_t mask[4];
};

void noc_ws_decoder_init(struct noc_ws_decoder *decoder, enum noc_ws_side side, bool is_lenient)
{
    memset(decoder, 0, sizeof *decoder);
    decoder->is_client = side == NOC_WS_CLIENT;
    decoder->is_lenient = is_lenient;
}

static int broken(struct noc_ws_decoder *decoder, enum noc_ws_fault fault)
{
    decoder->state = STATE_BROKEN;
    decoder->fault = (uint8_t)fault;
    return NOC_EPROTO;
}

static bool is_control(unsigned opcode)
{
    return opcode >= NOC_WS_CLOSE;
}

/* What the first byte alone breaks (RFC 6455, 5.2, 5.4, 5.5). */
static enum noc_ws_fault first_byte_fault(const struct noc_ws_decoder *decoder, uint8_t byte)
{
    unsigned opcode = byte & 0x0f;
    bool is_last = (byte & 0x80) != 0;

    if ((byte & 0x70) != 0) {
        return NOC_WS_FAULT_RSV;
    }
    if (is_control(opcode)) {
        if (opcode > NOC_WS_PONG) {
            return NOC_WS_FAULT_OPCODE;
        }
        return is_last ? NOC_WS_FAULT_NONE : NOC_WS_FAULT_CONTROL_PART;
    }
    if (opcode > NOC_WS_BINARY) {
        return NOC_WS_FAULT_OPCODE;
    }
    if (opcode == NOC_WS_CONTINUATION) {
        return decoder->in_message ? NOC_WS_FAULT_NONE : NOC_WS_FAULT_CONTINUATION;
    }
    if (decoder->in_message) {
        return NOC_WS_FAULT_INTERLEAVED;
    }
    /* [MQTT-6.0.0-1]: MQTT goes in binary frames. */
    return opcode == NOC_WS_TEXT && !decoder->is_lenient ? NOC_WS_FAULT_TEXT : NOC_WS_FAULT_NONE;
}

/* What the second byte breaks: the mask is the client's duty alone (RFC 6455, 5.1). */
static enum noc_ws_fault second_byte_fault(
    const struct noc_ws_decoder *decoder, unsigned opcode, uint8_t byte)
{
    bool is_masked = (byte & 0x80) != 0;

    if (is_masked == decoder->is_client) {
        return is_masked ? NOC_WS_FAULT_MASKED : NOC_WS_FAULT_UNMASKED;
    }
    if (is_control(opcode) && (byte & 0x7f) > NOC_WS_CONTROL_MAX) {
        return NOC_WS_FAULT_CONTROL_LONG;
    }
    return NOC_WS_FAULT_NONE;
}

/* The length behind the second byte: shortest form only, top bit zero (RFC 6455, 5.2). */
static bool length_read(const uint8_t *at, unsigned size, struct head *head)
{
    if (size == 2) {
        head->payload_n = noc_get_u16(at);
        return head->payload_n >= 126;
    }
    head->payload_n = noc_get_u64(at);
    return head->payload_n >= 65536 && head->payload_n >> 63 == 0;
}

/*
 * Read the head at the start of at[0..n): its size, 0 if it is not all here,
 * or an error, as soon as it can be told.
 */
static int head_read(
    struct noc_ws_decoder *decoder, const uint8_t *at, size_t n, struct head *ret_head)
{
    struct head head = {0};
    enum noc_ws_fault fault;
    unsigned length_size;

    if (n == 0) {
        return 0;
    }
    fault = first_byte_fault(decoder, at[0]);
    head.opcode = at[0] & 0x0f;
    head.is_last = (at[0] & 0x80) != 0;
    if (fault == NOC_WS_FAULT_NONE && n > 1) {
        fault = second_byte_fault(decoder, head.opcode, at[1]);
    }
    if (fault != NOC_WS_FAULT_NONE) {
        return broken(decoder, fault);
    }
    if (n == 1) {
        return 0;
    }
    head.is_masked = (at[1] & 0x80) != 0;
    head.payload_n = at[1] & 0x7f;
    length_size = head.payload_n < 126 ? 0 : head.payload_n == 126 ? 2 : 8;
    if (n < 2 + length_size) {
        return 0;
    }
    if (length_size > 0 && !length_read(at + 2, length_size, &head)) {
        return broken(decoder, NOC_WS_FAULT_LENGTH);
    }
    head.size = (uint8_t)(2 + length_size + (head.is_masked ? 4 : 0));
    if (n < head.size) {
        return 0;
    }
    if (head.is_masked) {
        memcpy(head.mask, at + 2 + length_size, 4);
    }
    *ret_head = head;
    return head.size;
}

static void head_apply(struct noc_ws_decoder *decoder, const struct head *head)
{
    decoder->held_n = 0;
    decoder->left = head->payload_n;
    decoder->opcode = head->opcode;
    memcpy(decoder->mask, head->mask, 4);
    if (is_control(head->opcode)) {
        decoder->state = STATE_CONTROL;
        return;
    }
    decoder->in_message = !head->is_last;
    decoder->state = head->payload_n > 0 ? STATE_DATA : STATE_HEAD;
}

/* Take a head, or the part of it that is here; *used is moved on. */
static int step_head(struct noc_ws_decoder *decoder, const uint8_t *bytes, size_t n, size_t *used)
{
    struct head head;
    int size;

    if (decoder->held_n == 0) {
        size = head_read(decoder, bytes + *used, n - *used, &head);
        if (size < 0) {
            return size;
        }
        if (size > 0) {
            head_apply(decoder, &head);
            *used += (size_t)size;
            return NOC_OK;
        }
    }
    while (*used < n) {
        decoder->held[decoder->held_n++] = bytes[(*used)++];
        size = head_read(decoder, decoder->held, decoder->held_n, &head);
        if (size < 0) {
            return size;
        }
        if (size > 0) {
            head_apply(decoder, &head);
            return NOC_OK;
        }
    }
    return NOC_OK;
}

/* Unmask the next n bytes of the frame's payload and count them off. */
static void unmask(struct noc_ws_decoder *decoder, uint8_t *bytes, size_t n)
{
    uint8_t turned[4];

    decoder->left -= n;
    if (decoder->is_client) {
        return;
    }
    noc_ws_mask(bytes, n, decoder->mask, 0);
    if (decoder->left == 0) {
        return;
    }
    for (size_t i = 0; i < 4; i++) {
        turned[i] = decoder->mask[(i + n) & 3];
    }
    memcpy(decoder->mask, turned, 4);
}

/* Well-formed UTF-8; U+0000 is as good as any other here, unlike in MQTT. */
static bool is_text(const uint8_t *at, size_t n)
{
    while (n > 0) {
        const uint8_t *zero = memchr(at, 0, n);
        size_t part = zero == NULL ? n : (size_t)(zero - at);

        if (!noc_utf8_is_valid(noc_slice(at, part))) {
            return false;
        }
        part += zero != NULL;
        at += part;
        n -= part;
    }
    return true;
}

/* RFC 6455, 5.5.1 and 7.4. */
static int close_event(struct noc_ws_decoder *decoder, struct noc_ws_event *event)
{
    if (decoder->held_n == 1) {
        return broken(decoder, NOC_WS_FAULT_CLOSE_LENGTH);
    }
    event->kind = NOC_WS_EVENT_CLOSE;
    event->code = NOC_WS_CLOSE_NO_CODE;
    event->n = 0;
    if (decoder->held_n >= 2) {
        event->code = noc_get_u16(decoder->held);
        event->at = decoder->held + 2;
        event->n = decoder->held_n - 2u;
        if (!noc_ws_close_code_is_valid(event->code)) {
            return broken(decoder, NOC_WS_FAULT_CLOSE_CODE);
        }
        if (!is_text(event->at, event->n)) {
            return broken(decoder, NOC_WS_FAULT_CLOSE_REASON);
        }
    }
    decoder->state = STATE_CLOSED;
    return NOC_OK;
}

/* Gather a control frame; the event is set when it is complete. */
static int step_control(struct noc_ws_decoder *decoder, uint8_t *bytes, size_t n, size_t *used,
    struct noc_ws_event *event)
{
    size_t part = n - *used < decoder->left ? n - *used : (size_t)decoder->left;

    if (part > 0) {
        unmask(decoder, bytes + *used, part);
        memcpy(decoder->held + decoder->held_n, bytes + *used, part);
        decoder->held_n = (uint8_t)(decoder->held_n + part);
        *used += part;
    }
    if (decoder->left > 0) {
        return NOC_OK;
    }
    event->at = decoder->held;
    event->n = decoder->held_n;
    if (decoder->opcode == NOC_WS_CLOSE) {
        return close_event(decoder, event);
    }
    event->kind = decoder->opcode == NOC_WS_PING ? NOC_WS_EVENT_PING : NOC_WS_EVENT_PONG;
    decoder->held_n = 0;
    decoder->state = STATE_HEAD;
    return NOC_OK;
}

static void step_data(struct noc_ws_decoder *decoder, uint8_t *bytes, size_t n, size_t *used,
    struct noc_ws_event *event)
{
    size_t part = n - *used < decoder->left ? n - *used : (size_t)decoder->left;

    event->kind = NOC_WS_EVENT_DATA;
    event->at = bytes + *used;
    event->n = part;
    unmask(decoder, event->at, part);
    *used += part;
    if (decoder->left == 0) {
        decoder->state = STATE_HEAD;
    }
}

int noc_ws_decode(struct noc_ws_decoder *decoder, uint8_t *bytes, size_t n, size_t *ret_consumed,
    struct noc_ws_event *ret_event)
{
    struct noc_ws_event event = {0};
    size_t used = 0;
    int err = NOC_OK;

    if (decoder->state == STATE_BROKEN) {
        return NOC_EPROTO;
    }
    if (decoder->state == STATE_CLOSED) {
        return NOC_ECLOSED;
    }
    while (used < n && err == NOC_OK && event.kind == NOC_WS_EVENT_NONE) {
        if (decoder->state == STATE_HEAD) {
            err = step_head(decoder, bytes, n, &used);
        } else if (decoder->state == STATE_DATA) {
            step_data(decoder, bytes, n, &used, &event);
        }
        /* At once also when nothing is left to read: a control frame may be empty. */
        if (err == NOC_OK && decoder->state == STATE_CONTROL) {
            err = step_control(decoder, bytes, n, &used, &event);
        }
    }
    if (err != NOC_OK) {
        return err;
    }
    *ret_consumed = used;
    *ret_event = event;
    return NOC_OK;
}

static const struct {
    unsigned code;
    const char *text;
} faults[] = {
#define FAULT_ROW(name, code, text) [name] = {code, text},
    NOC_WS_FAULT_MAP(FAULT_ROW)
#undef FAULT_ROW
};

unsigned noc_ws_decoder_close_code(const struct noc_ws_decoder *decoder)
{
    return faults[decoder->fault].code;
}

const char *noc_ws_decoder_fault_text(const struct noc_ws_decoder *decoder)
{
    return faults[decoder->fault].text;
}

bool noc_ws_close_code_is_valid(unsigned code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}

size_t noc_ws_frame_head(
    uint8_t *at, enum noc_ws_opcode opcode, bool is_last, uint64_t payload_n, const uint8_t mask[4])
{
    uint8_t *end = at + 2;
    unsigned length = payload_n < 126 ? (unsigned)payload_n : payload_n < 65536 ? 126 : 127;

    at[0] = (uint8_t)((is_last ? 0x80u : 0u) | (unsigned)opcode);
    at[1] = (uint8_t)((mask != NULL ? 0x80u : 0u) | length);
    if (length == 126) {
        end = noc_put_u16(end, (uint16_t)payload_n);
    } else if (length == 127) {
        end = noc_put_u64(end, payload_n);
    }
    if (mask != NULL) {
        memcpy(end, mask, 4);
        end += 4;
    }
    return (size_t)(end - at);
}

void noc_ws_mask(uint8_t *bytes, size_t n, const uint8_t mask[4], uint64_t offset)
{
    uint8_t turned[4];
    uint32_t half;
    uint64_t pattern;

    for (size_t i = 0; i < sizeof turned; i++) {
        turned[i] = mask[(offset + i) & 3];
    }
    /* The usual case reads the mask in one piece, which waits for no byte stores. */
    memcpy(&half, (offset & 3) == 0 ? mask : turned, sizeof half);
    pattern = (uint64_t)half << 32 | half;
    /* Four independent words a round: compilers make vector operations of it. */
    while (n >= 4 * sizeof pattern) {
        uint64_t words[4];

        memcpy(words, bytes, sizeof words);
        words[0] ^= pattern;
        words[1] ^= pattern;
        words[2] ^= pattern;
        words[3] ^= pattern;
        memcpy(bytes, words, sizeof words);
        bytes += sizeof words;
        n -= sizeof words;
    }
    while (n >= sizeof pattern) {
        uint64_t word;

        memcpy(&word, bytes, sizeof word);
        word ^= pattern;
        memcpy(bytes, &word, sizeof word);
        bytes += sizeof word;
        n -= sizeof word;
    }
    for (size_t i = 0; i < n; i++) {
        bytes[i] ^= turned[i & 3];
    }
}

static size_t control_write(
    uint8_t *at, enum noc_ws_opcode opcode, struct noc_slice payload, const uint8_t mask[4])
{
    size_t head_n;

    if (payload.n > NOC_WS_CONTROL_MAX) {
        return 0;
    }
    head_n = noc_ws_frame_head(at, opcode, true, payload.n, mask);
    if (payload.n > 0) {
        memcpy(at + head_n, payload.at, payload.n);
        if (mask != NULL) {
            noc_ws_mask(at + head_n, payload.n, mask, 0);
        }
    }
    return head_n + payload.n;
}

size_t noc_ws_ping_write(uint8_t *at, struct noc_slice payload, const uint8_t mask[4])
{
    return control_write(at, NOC_WS_PING, payload, mask);
}

size_t noc_ws_pong_write(uint8_t *at, struct noc_slice payload, const uint8_t mask[4])
{
    return control_write(at, NOC_WS_PONG, payload, mask);
}

size_t noc_ws_close_write(
    uint8_t *at, unsigned code, struct noc_slice reason, const uint8_t mask[4])
{
    uint8_t payload[NOC_WS_CONTROL_MAX];
    size_t n = reason.n;

    if (!noc_ws_close_code_is_valid(code)) {
        return control_write(at, NOC_WS_CLOSE, noc_slice(NULL, 0), mask);
    }
    if (n > NOC_WS_REASON_MAX) {
        n = NOC_WS_REASON_MAX;
        while (n > 0 && ((uint8_t)reason.at[n] & 0xc0) == 0x80) {
            n--;
        }
    }
    noc_put_u16(payload, (uint16_t)code);
    if (n > 0) {
        memcpy(payload + 2, reason.at, n);
    }
    return control_write(at, NOC_WS_CLOSE, noc_slice(payload, n + 2), mask);
}
