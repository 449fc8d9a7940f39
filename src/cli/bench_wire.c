/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/bench_wire.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "mqtt/packet.h"
#include <noctule/error.h>

/*
 * The mask is fixed: it hides nothing on a benchmark's own loopback, and so
 * the template can be masked once. It is not zero, or a server could skip work.
 */
static const uint8_t mask_key[4] = {0x9d, 0x41, 0xe6, 0x2b};

enum { FRAME_BINARY = 2, FRAME_CLOSE = 8, FRAME_PING = 9, KEEP_ALIVE_SECONDS = 3600 };

static uint8_t *put_u16(uint8_t *at, size_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
    return at + 2;
}

/* ---- packets ---- */

int noc_bench_template_init(
    struct noc_bench_template *ret_template, const struct noc_bench_message *message)
{
    assert(message->payload_bytes >= NOC_BENCH_STAMP_BYTES);
    struct noc_publish_out out = {.topic = message->topic,
        .payload_n = message->payload_bytes,
        .qos = (uint8_t)message->qos,
        .packet_id = 1};
    size_t packet_n = noc_publish_size(message->version, &out);
    uint8_t *bytes = packet_n == 0 ? NULL : malloc(NOC_BENCH_FRAME_HEAD_MAX + packet_n);

    if (bytes == NULL) {
        return packet_n == 0 ? NOC_ETOOLARGE : NOC_ENOMEM;
    }
    size_t frame_n = message->ws ? noc_bench_frame_head(FRAME_BINARY, packet_n, bytes) : 0;
    uint8_t *packet = bytes + frame_n;
    size_t head_n = noc_publish_encode_head(message->version, &out, packet, packet_n);

    memset(packet + head_n, 'n', message->payload_bytes);
    if (message->ws) {
        noc_bench_frame_mask(packet, packet_n, 0);
    }
    size_t id_and_props_n = message->version == NOC_V5 ? 3 : 2;

    ret_template->bytes = bytes;
    ret_template->n = frame_n + packet_n;
    ret_template->frame_n = frame_n;
    ret_template->packet_id_at = message->qos > 0 ? frame_n + head_n - id_and_props_n : 0;
    ret_template->stamp_at = frame_n + head_n;
    return NOC_OK;
}

uint8_t *noc_bench_template_put(const struct noc_bench_template *template, uint16_t packet_id,
    const struct noc_bench_stamp *stamp, uint8_t *at)
{
    size_t frame_n = template->frame_n;
    uint8_t *changed = at + template->stamp_at;

    memcpy(at, template->bytes, template->n);
    memcpy(changed, &stamp->due_ns, 8);
    memcpy(changed + 8, &stamp->sequence, 4);
    memcpy(changed + 12, &stamp->group, 4);
    if (frame_n > 0) {
        noc_bench_frame_mask(changed, NOC_BENCH_STAMP_BYTES, template->stamp_at - frame_n);
    }
    if (template->packet_id_at > 0) {
        changed = at + template->packet_id_at;
        put_u16(changed, packet_id);
        if (frame_n > 0) {
            noc_bench_frame_mask(changed, 2, template->packet_id_at - frame_n);
        }
    }
    return at + template->n;
}

struct noc_bench_stamp noc_bench_stamp_read(const uint8_t *payload)
{
    struct noc_bench_stamp stamp;

    memcpy(&stamp.due_ns, payload, 8);
    memcpy(&stamp.sequence, payload + 8, 4);
    memcpy(&stamp.group, payload + 12, 4);
    return stamp;
}

/* Version 5: how long the session is kept. */
static struct noc_props props_of(const struct noc_bench_login *login)
{
    static const char an_hour[] = "\x11\0\0\x0e\x10";

    return (struct noc_props){.raw = login->keeps && login->version == 5
                                         ? noc_slice(an_hour, sizeof an_hour - 1)
                                         : noc_slice("", 0)};
}

size_t noc_bench_put_connect(const struct noc_bench_login *login, uint8_t *at, size_t room)
{
    struct noc_connect connect = {.version = (uint8_t)login->version,
        .clean_start = !login->keeps,
        .props = props_of(login),
        .has_username = login->user.at != NULL,
        .has_password = login->password.at != NULL,
        .keep_alive_s = KEEP_ALIVE_SECONDS,
        .client_id = login->client_id,
        .username = login->user,
        .password = login->password};

    return noc_connect_encode(&connect, at, room);
}

size_t noc_bench_put_subscribe(
    unsigned version, struct noc_slice filter, unsigned qos, uint8_t *at, size_t room)
{
    struct noc_subscription entry = {.filter = filter, .options = (uint8_t)qos};
    uint8_t bytes[NOC_BENCH_FILTER_MAX + 3];

    if (filter.n > NOC_BENCH_FILTER_MAX) {
        return 0;
    }
    struct noc_slice entries =
        noc_slice(bytes, (size_t)(noc_subscribe_put_entry(bytes, &entry) - bytes));

    return noc_subscribe_encode(version, 1, noc_slice(NULL, 0), &entries, at, room);
}

/* ---- WebSocket ---- */

size_t noc_bench_frame_head(unsigned opcode, size_t payload_n, uint8_t *at)
{
    uint8_t *start = at;

    *at++ = (uint8_t)(0x80 | opcode);
    if (payload_n < 126) {
        *at++ = (uint8_t)(0x80 | payload_n);
    } else if (payload_n <= UINT16_MAX) {
        *at++ = 0x80 | 126;
        at = put_u16(at, payload_n);
    } else {
        *at++ = 0x80 | 127;
        for (unsigned shift = 64; shift > 0; shift -= 8) {
            *at++ = (uint8_t)((uint64_t)payload_n >> (shift - 8));
        }
    }
    memcpy(at, mask_key, sizeof(mask_key));
    return (size_t)(at - start) + sizeof(mask_key);
}

void noc_bench_frame_mask(uint8_t *bytes, size_t n, size_t offset)
{
    for (size_t i = 0; i < n; i++) {
        bytes[i] ^= mask_key[(offset + i) & 3];
    }
}

/* Whole bytes of the header that starts with head[0..have), as far as they are known. */
static unsigned frame_head_size(const uint8_t *head, unsigned have)
{
    if (have < 2) {
        return 2;
    }
    unsigned length = head[1] & 0x7fu;

    return length == 126 ? 4 : length == 127 ? 10 : 2;
}

/* The header is whole: start the frame. */
static int start_frame(struct noc_bench_frames *frames)
{
    unsigned opcode = frames->head[0] & 0x0fu;
    unsigned size = frame_head_size(frames->head, 2);
    uint64_t length = frames->head[1] & 0x7fu;

    if ((frames->head[1] & 0x80) != 0 || (opcode >= FRAME_CLOSE && length > 125)) {
        return NOC_EMALFORMED;
    }
    if (size > 2) {
        length = 0;
        for (unsigned i = 2; i < size; i++) {
            length = length << 8 | frames->head[i];
        }
    }
    frames->left = length;
    if (opcode >= FRAME_CLOSE) {
        frames->control_n = 0;
    }
    return NOC_OK;
}

/* All payload bytes of the current frame have been seen. */
static void end_frame(struct noc_bench_frames *frames)
{
    unsigned opcode = frames->head[0] & 0x0fu;

    frames->have = 0;
    frames->is_ping_due = frames->is_ping_due || opcode == FRAME_PING;
    frames->is_closed = frames->is_closed || opcode == FRAME_CLOSE;
}

int64_t noc_bench_frames_strip(struct noc_bench_frames *frames, uint8_t *bytes, size_t n)
{
    size_t from = 0;
    size_t to = 0;

    while (from < n && !frames->is_closed) {
        if (frames->left == 0) {
            frames->head[frames->have++] = bytes[from++];
            if (frames->have < frame_head_size(frames->head, frames->have)) {
                continue;
            }
            int err = start_frame(frames);

            if (err < 0) {
                return err;
            }
            if (frames->left == 0) {
                end_frame(frames);
            }
            continue;
        }
        size_t run = n - from < frames->left ? n - from : (size_t)frames->left;

        if ((frames->head[0] & 0x0fu) < FRAME_CLOSE) {
            memmove(bytes + to, bytes + from, run);
            to += run;
        } else {
            memcpy(frames->control + frames->control_n, bytes + from, run);
            frames->control_n = (uint8_t)(frames->control_n + run);
        }
        from += run;
        frames->left -= run;
        if (frames->left == 0) {
            end_frame(frames);
        }
    }
    return (int64_t)to;
}

/* ---- histogram ---- */

/* How far a value is shifted so that seven bits of it remain. */
static unsigned bucket_shift(uint64_t value)
{
    unsigned shift = 0;

    for (unsigned step = 32; step > 0; step /= 2) {
        if (value >> (shift + step) >= 64) {
            shift += step;
        }
    }
    return shift;
}

void noc_bench_histogram_add(struct noc_bench_histogram *histogram, uint64_t value)
{
    unsigned shift = bucket_shift(value);

    histogram->buckets[shift * 64 + (unsigned)(value >> shift)]++;
    histogram->count++;
    if (value > histogram->greatest) {
        histogram->greatest = value;
    }
}

void noc_bench_histogram_merge(
    struct noc_bench_histogram *into, const struct noc_bench_histogram *from)
{
    for (unsigned i = 0; i < NOC_BENCH_BUCKETS; i++) {
        into->buckets[i] += from->buckets[i];
    }
    into->count += from->count;
    if (from->greatest > into->greatest) {
        into->greatest = from->greatest;
    }
}

uint64_t noc_bench_histogram_at(const struct noc_bench_histogram *histogram, double share)
{
    uint64_t wanted = (uint64_t)((double)histogram->count * share + 0.5);
    uint64_t seen = 0;

    for (unsigned i = 0; i < NOC_BENCH_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (histogram->buckets[i] == 0 || seen < wanted) {
            continue;
        }
        unsigned shift = i < 128 ? 0 : i / 64 - 1;
        uint64_t top = ((uint64_t)(i - shift * 64 + 1) << shift) - 1;

        return top < histogram->greatest ? top : histogram->greatest;
    }
    return 0;
}

/* ---- sequence numbers ---- */

enum noc_bench_arrival noc_bench_book_note(struct noc_bench_book *book, uint32_t sequence)
{
    if (sequence >= book->next) {
        uint32_t step = sequence - book->next + 1;

        book->window = (step >= 64 ? 0 : book->window << step) | 1;
        book->next = sequence + 1;
        return NOC_BENCH_NEW;
    }
    uint32_t age = book->next - 1 - sequence;

    if (age >= 64 || (book->window >> age & 1) != 0) {
        return NOC_BENCH_AGAIN;
    }
    book->window |= (uint64_t)1 << age;
    return NOC_BENCH_LATE;
}
