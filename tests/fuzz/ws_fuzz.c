/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames: the first byte of the input chooses side, leniency and how the rest
 * is cut. What the decoder says must not depend on the cuts; and what it says
 * of a stream, encoded again, must decode to the same.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ws/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

#define TAPE_MAX 65536u

/* All that was heard, in order: data as it is, other events behind their kind. */
struct tape {
    uint8_t at[TAPE_MAX];
    size_t n;
    int err;
    unsigned close_code;
};

static void check(bool is_right)
{
    if (!is_right) {
        abort();
    }
}

static void tape_put(struct tape *tape, const void *bytes, size_t n)
{
    check(n <= TAPE_MAX - tape->n);
    if (n > 0) {
        memcpy(tape->at + tape->n, bytes, n);
        tape->n += n;
    }
}

static void tape_event(struct tape *tape, const struct noc_ws_event *event)
{
    uint8_t head[4] = {
        (uint8_t)event->kind, (uint8_t)event->n, (uint8_t)(event->code >> 8), (uint8_t)event->code};

    if (event->kind == NOC_WS_EVENT_NONE) {
        check(event->n == 0);
    } else if (event->kind != NOC_WS_EVENT_DATA) {
        check(event->n <= NOC_WS_CONTROL_MAX);
        tape_put(tape, head, sizeof head);
    } else {
        check(event->n > 0);
    }
    tape_put(tape, event->at, event->n);
}

/* Write an event as a frame of the same side; its bytes. */
static size_t encode(uint8_t *at, const struct noc_ws_event *event, const uint8_t *mask)
{
    struct noc_slice payload = noc_slice(event->at, event->n);
    size_t head_n;

    switch (event->kind) {
    case NOC_WS_EVENT_DATA:
        head_n = noc_ws_frame_head(at, NOC_WS_BINARY, true, event->n, mask);
        memcpy(at + head_n, event->at, event->n);
        if (mask != NULL) {
            noc_ws_mask(at + head_n, event->n, mask, 0);
        }
        return head_n + event->n;
    case NOC_WS_EVENT_PING:
        return noc_ws_ping_write(at, payload, mask);
    case NOC_WS_EVENT_PONG:
        return noc_ws_pong_write(at, payload, mask);
    case NOC_WS_EVENT_CLOSE:
        return noc_ws_close_write(at, event->code, payload, mask);
    case NOC_WS_EVENT_NONE:
    default:
        return 0;
    }
}

/* Decode in steps of that many bytes, each from a block of exactly that size. */
static size_t decode(struct tape *tape, unsigned mode, const uint8_t *bytes, size_t n, size_t step,
    uint8_t *again, const uint8_t *mask)
{
    struct noc_ws_decoder decoder;
    size_t again_n = 0;

    tape->n = 0;
    tape->err = NOC_OK;
    noc_ws_decoder_init(&decoder, (mode & 1) != 0 ? NOC_WS_CLIENT : NOC_WS_SERVER, (mode & 2) != 0);
    for (size_t at = 0; at < n && tape->err == NOC_OK; at += step) {
        size_t part = step < n - at ? step : n - at;
        uint8_t *block = malloc(part);
        size_t done = 0;

        check(block != NULL);
        memcpy(block, bytes + at, part);
        while (done < part && tape->err == NOC_OK) {
            struct noc_ws_event event;
            size_t used = 0;

            tape->err = noc_ws_decode(&decoder, block + done, part - done, &used, &event);
            if (tape->err == NOC_OK) {
                check(used > 0 && used <= part - done);
                done += used;
                tape_event(tape, &event);
                if (again != NULL) {
                    again_n += encode(again + again_n, &event, mask);
                }
            }
        }
        free(block);
    }
    tape->close_code = noc_ws_decoder_close_code(&decoder);
    check((tape->err == NOC_EPROTO) == (tape->close_code != 0));
    return again_n;
}

static bool is_same(const struct tape *a, const struct tape *b)
{
    return a->n == b->n && memcmp(a->at, b->at, a->n) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    static struct tape whole, parts, back;
    static uint8_t again[8 * 4096];
    unsigned mode;
    size_t again_n;

    if (n < 1 || n > 4096) {
        return 0;
    }
    mode = bytes[0];
    bytes++;
    n--;
    again_n = decode(&whole, mode, bytes, n, n > 0 ? n : 1, again, (mode & 1) != 0 ? NULL : mask);
    decode(&parts, mode, bytes, n, 1 + (mode >> 2) % 16, NULL, NULL);
    check(
        is_same(&whole, &parts) && whole.err == parts.err && whole.close_code == parts.close_code);
    decode(&back, mode, again, again_n, again_n > 0 ? again_n : 1, NULL, NULL);
    check(is_same(&whole, &back) && back.err == NOC_OK);
    return 0;
}
