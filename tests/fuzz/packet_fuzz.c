/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The packet decoders, and the encoders behind them. The first byte of the
 * input chooses protocol version and direction, the rest is one packet after
 * the other. Whatever decodes and can be encoded again must read the same.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "describe.h"
#include "mqtt/packet.h"
#include "mqtt/topic.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

enum { TEXT_MAX = 65536 };

static char before[TEXT_MAX], after[TEXT_MAX];

static void check_packet(unsigned version, bool from_client, const uint8_t *packet, size_t n)
{
    size_t room = 2 * n + 64;
    uint8_t *again = malloc(room);
    size_t size;

    if (again == NULL) {
        return;
    }
    if (describe(version, from_client, packet, n, before, sizeof before)) {
        size = encode_again(version, from_client, packet, n, again, room);
        if (size > 0) {
            describe(version, from_client, again, size, after, sizeof after);
            if (strcmp(before, after) != 0) {
                fprintf(stderr, "before: %s\nafter:  %s\n", before, after);
                abort();
            }
        }
    }
    free(again);
}

/* Topics and filters are decoded text: nothing about them may fail, whatever they hold. */
static void check_topics(const uint8_t *bytes, size_t n)
{
    struct noc_slice text = noc_slice(bytes, n), rest = text, filter, topic, group, inner;

    filter = noc_topic_next_level(&rest);
    topic = rest;
    if (noc_share_split(text, &group, &inner) && !noc_filter_is_valid(inner)) {
        abort();
    }
    if (noc_filter_is_valid(filter) && noc_topic_is_valid(topic)) {
        noc_filter_matches(filter, topic);
    }
    if (noc_topic_is_valid(text) && (text.at[0] == '$' || noc_filter_is_valid(text)) &&
        !noc_filter_matches(text, text)) {
        abort(); /* a topic, taken as a filter, matches itself */
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static const unsigned versions[] = {0, NOC_V31, NOC_V311, NOC_V5};
    unsigned version;
    bool from_client;

    if (n == 0) {
        return 0;
    }
    version = versions[bytes[0] & 3];
    from_client = (bytes[0] & 4) == 0;
    bytes++;
    n--;
    check_topics(bytes, n);
    for (unsigned packets = 0; packets < 16; packets++) {
        struct noc_header header;
        int used = noc_header_decode(version, bytes, n, &header);
        size_t size;

        if (used <= 0 || header.remaining > n - (size_t)used) {
            break;
        }
        size = (size_t)used + header.remaining;
        check_packet(version, from_client, bytes, size);
        bytes += size;
        n -= size;
    }
    return 0;
}
