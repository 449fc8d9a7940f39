/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server's side of the handshake: the first byte of the input chooses the
 * options and where the rest is cut. What is parsed must not depend on the cut,
 * every slice must lie in the input, and every answer must be a sound one.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ws/handshake.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check(bool is_right)
{
    if (!is_right) {
        abort();
    }
}

static void check_inside(struct noc_slice slice, const uint8_t *bytes, size_t n)
{
    const char *start = (const char *)bytes;

    check(slice.at == NULL
              ? slice.n == 0
              : slice.at >= start && slice.n <= n && (size_t)(slice.at - start) <= n - slice.n);
}

static void check_fields(const struct noc_ws_request *request, const uint8_t *bytes, size_t n)
{
    static const char *const names[] = {"Host", "X-Forwarded-For", "Sec-WebSocket-Protocol", "a"};

    check_inside(request->method, bytes, n);
    check_inside(request->target, bytes, n);
    check_inside(request->lines, bytes, n);
    check_inside(request->host, bytes, n);
    check_inside(request->key, bytes, n);
    check_inside(request->ws_version, bytes, n);
    check_inside(request->protocols, bytes, n);
    check_inside(request->origin, bytes, n);
    check_inside(request->user_agent, bytes, n);
    check_inside(request->forwarded_for, bytes, n);
    check_inside(request->ray, bytes, n);
    check(request->path.n > 0 || request->target.n > 0);
    for (size_t i = 0; i < NOC_COUNT(names); i++) {
        size_t iter = 0;
        size_t rounds = 0;
        struct noc_slice value = noc_ws_request_header(request, names[i], &iter);

        while (value.at != NULL) {
            check_inside(value, bytes, n);
            check(++rounds <= NOC_WS_FIELDS_MAX);
            value = noc_ws_request_header(request, names[i], &iter);
        }
    }
}

static void check_answer(const struct noc_ws_refusal *refusal)
{
    char at[NOC_WS_REFUSAL_ROOM];

    check(refusal != NULL);
    check((noc_ws_refusal_write(at, sizeof at, refusal) == 0) == (refusal->status == 0));
}

static void serve(unsigned mode, const uint8_t *bytes, size_t n)
{
    const struct noc_slice origins[] = {noc_slice_of("https://a.example")};
    const struct noc_ws_options options = {.path = noc_slice_of((mode & 1) != 0 ? "/mqtt" : NULL),
        .origins = origins,
        .origin_count = mode >> 1 & 1,
        .is_lenient = (mode & 4) != 0,
        .is_full = (mode & 8) != 0};
    const struct noc_ws_refusal *refusal = NULL;
    struct noc_ws_decision decision;
    struct noc_ws_request request;
    struct noc_ws_request cut;
    size_t first = n * (mode >> 4) / 16;
    int whole;
    int parts;

    noc_ws_request_init(&request);
    whole = noc_ws_request_parse(&request, bytes, n, &refusal);
    noc_ws_request_init(&cut);
    parts = noc_ws_request_parse(&cut, bytes, first, &refusal);
    check(parts == 0 || parts == whole);
    if (parts == 0) {
        check(noc_ws_request_parse(&cut, bytes, n, &refusal) == whole);
    }
    check(whole <= (int)n);
    if (whole < 0) {
        check_answer(refusal);
    } else if (whole > 0) {
        check_fields(&request, bytes, n);
        if (noc_ws_request_decide(&request, &options, &decision) < 0) {
            check_answer(decision.refusal);
        } else {
            check(decision.refusal == NULL && noc_ws_key_is_valid(request.key));
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    uint8_t *copy;

    if (n < 2) {
        return 0;
    }
    copy = malloc(n - 1);
    check(copy != NULL);
    memcpy(copy, bytes + 1, n - 1);
    serve(bytes[0], copy, n - 1);
    free(copy);
    return 0;
}
