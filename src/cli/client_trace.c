/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/client_trace.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "mqtt/packet.h"
#include <noctule/error.h>

void noc_client_tame(char *text, size_t n, char mark)
{
    unsigned more = 0; /* bytes that belong to the character before */

    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];

        if (more > 0 && (c & 0xc0) == 0x80) {
            more--;
        } else if (c < 0x20 || c == 0x7f || (c & 0xc0) == 0x80) {
            text[i] = mark;
            more = 0;
        } else if (c == 0xc2 && i + 1 < n && ((unsigned char)text[i + 1] & 0xe0) == 0x80) {
            text[i] = mark;
            text[++i] = mark;
            more = 0;
        } else {
            more = c < 0xc0 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
        }
    }
}

void noc_client_trace_print(struct noc_output_buffer *lines, const char *format, ...)
{
    va_list args, again;
    int n;

    va_start(args, format);
    va_copy(again, args);
    n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n >= 0 && noc_output_buffer_reserve(lines, (size_t)n + 2) == NOC_OK) {
        (void)vsnprintf(lines->at + lines->n, (size_t)n + 1, format, again);
        noc_client_tame(lines->at + lines->n, (size_t)n, '?');
        lines->n += (size_t)n;
        lines->at[lines->n++] = '\n';
    }
    va_end(again);
}

void noc_client_trace_init(struct noc_client_trace *trace,
    const struct noc_client_settings *settings, struct noc_output_buffer *lines)
{
    *trace = (struct noc_client_trace){
        .lines = lines, .client_id = settings->client_id, .version = settings->version};
}

/* "Client <id> <words>" */
static struct noc_slice own_name(const struct noc_client_trace *trace)
{
    if (trace->assigned[0] != '\0') {
        return noc_slice_of(trace->assigned);
    }
    return trace->client_id.n > 0 ? trace->client_id : noc_slice_of("(null)");
}

#define PRINT(trace, format, ...) \
    noc_client_trace_print(       \
        (trace)->lines, "Client %.*s " format, NOC_SLICE_ARG(own_name(trace)), __VA_ARGS__)

/* What is left of a packet to be looked at; reading beyond its end gives zeros. */
struct reader {
    const uint8_t *at;
    size_t n;
};

static unsigned read_u8(struct reader *reader)
{
    if (reader->n == 0) {
        return 0;
    }
    reader->n--;
    return *reader->at++;
}

static uint16_t read_u16(struct reader *reader)
{
    unsigned high = read_u8(reader);

    return (uint16_t)(high << 8 | read_u8(reader));
}

static struct noc_slice read_text(struct reader *reader)
{
    size_t n = read_u16(reader);
    struct noc_slice text = noc_slice(reader->at, n < reader->n ? n : reader->n);

    reader->at += text.n;
    reader->n -= text.n;
    return text;
}

static uint32_t read_varint(struct reader *reader)
{
    uint32_t value = 0;
    int used = noc_varint_decode(reader->at, reader->n, &value);

    if (used > 0) {
        reader->at += used;
        reader->n -= (size_t)used;
    }
    return value;
}

static void skip_props(struct noc_client_trace *trace, struct reader *reader)
{
    if (trace->version == 5) {
        size_t n = read_varint(reader);

        n = n < reader->n ? n : reader->n;
        reader->at += n;
        reader->n -= n;
    }
}

static void print_publish(struct noc_client_trace *trace, bool is_outgoing,
    const struct noc_header *header, struct reader reader)
{
    unsigned qos = header->flags >> 1 & 3u;
    const uint8_t *start = reader.at;
    struct noc_slice topic = read_text(&reader);
    unsigned mid = qos > 0 ? read_u16(&reader) : 0;
    size_t payload;

    if (is_outgoing) {
        trace->mid = qos > 0 ? (uint16_t)mid : (uint16_t)(trace->mid + 1);
        mid = trace->mid;
    }
    skip_props(trace, &reader);
    payload = header->remaining - (size_t)(reader.at - start);
    PRINT(trace, "%s PUBLISH (d%u, q%u, r%u, m%u, '%.*s', ... (%zu bytes))",
        is_outgoing ? "sending" : "received", header->flags >> 3, qos, header->flags & 1u, mid,
        NOC_SLICE_ARG(topic), payload);
}

static void print_subscribe(struct noc_client_trace *trace, bool is_subscribe, struct reader reader)
{
    unsigned mid = read_u16(&reader);

    trace->mid = (uint16_t)mid;
    skip_props(trace, &reader);
    while (reader.n > 2) {
        struct noc_slice filter = read_text(&reader);

        if (is_subscribe) {
            unsigned options = read_u8(&reader);

            PRINT(trace, "sending SUBSCRIBE (Mid: %u, Topic: %.*s, QoS: %u, Options: 0x%02x)", mid,
                NOC_SLICE_ARG(filter), options & NOC_SUB_QOS, options & ~(unsigned)NOC_SUB_QOS);
        } else {
            PRINT(trace, "sending UNSUBSCRIBE (Mid: %u, Topic: %.*s)", mid, NOC_SLICE_ARG(filter));
        }
    }
}

static void print_outgoing(
    struct noc_client_trace *trace, const struct noc_header *header, struct reader reader)
{
    unsigned mid;

    switch (header->type) {
    case NOC_CONNECT:
        PRINT(trace, "%s", "sending CONNECT");
        return;
    case NOC_PUBLISH:
        print_publish(trace, true, header, reader);
        return;
    case NOC_PUBACK:
    case NOC_PUBREC:
        mid = read_u16(&reader);
        PRINT(trace, "sending %s (m%u, rc%u)", header->type == NOC_PUBACK ? "PUBACK" : "PUBREC",
            mid, read_u8(&reader));
        return;
    case NOC_PUBREL:
    case NOC_PUBCOMP:
        PRINT(trace, "sending %s (m%u)", header->type == NOC_PUBREL ? "PUBREL" : "PUBCOMP",
            (unsigned)read_u16(&reader));
        return;
    case NOC_SUBSCRIBE:
    case NOC_UNSUBSCRIBE:
        print_subscribe(trace, header->type == NOC_SUBSCRIBE, reader);
        return;
    case NOC_PINGREQ:
        PRINT(trace, "%s", "sending PINGREQ");
        return;
    case NOC_DISCONNECT:
        PRINT(trace, "%s", "sending DISCONNECT");
        return;
    default:
        return;
    }
}

static void print_connack(struct noc_client_trace *trace, struct reader reader)
{
    struct noc_connack connack;
    struct noc_fault fault;
    int err = noc_connack_decode(trace->version, reader.at, reader.n, &connack, &fault);

    if (err >= 0 && connack.props.assigned_client_id.n > 0) {
        (void)snprintf(trace->assigned, sizeof(trace->assigned), "%.*s",
            NOC_SLICE_ARG(connack.props.assigned_client_id));
    }
    (void)read_u8(&reader);
    PRINT(trace, "received CONNACK (%u)", read_u8(&reader));
}

static void print_incoming(
    struct noc_client_trace *trace, const struct noc_header *header, struct reader reader)
{
    unsigned mid;

    switch (header->type) {
    case NOC_CONNACK:
        print_connack(trace, reader);
        return;
    case NOC_PUBLISH:
        print_publish(trace, false, header, reader);
        return;
    case NOC_PUBACK:
    case NOC_PUBCOMP:
        mid = read_u16(&reader);
        PRINT(trace, "received %s (Mid: %u, RC:%u)",
            header->type == NOC_PUBACK ? "PUBACK" : "PUBCOMP", mid, read_u8(&reader));
        return;
    case NOC_PUBREC:
    case NOC_PUBREL:
        PRINT(trace, "received %s (Mid: %u)", header->type == NOC_PUBREC ? "PUBREC" : "PUBREL",
            (unsigned)read_u16(&reader));
        return;
    case NOC_SUBACK:
        PRINT(trace, "%s", "received SUBACK");
        return;
    case NOC_UNSUBACK:
        PRINT(trace, "%s", "received UNSUBACK");
        return;
    case NOC_PINGRESP:
        PRINT(trace, "%s", "received PINGRESP");
        return;
    case NOC_DISCONNECT:
        noc_client_trace_print(trace->lines, "Received DISCONNECT (%u)", read_u8(&reader));
        return;
    default:
        return;
    }
}

void noc_client_trace_packet(
    struct noc_client_trace *trace, bool is_outgoing, const uint8_t *packet, size_t n)
{
    struct noc_header header;
    int used = noc_header_decode(trace->version, packet, n, &header);

    if (used <= 0 || trace->is_off) {
        return;
    }
    if (is_outgoing) {
        print_outgoing(trace, &header, (struct reader){packet + used, n - (size_t)used});
    } else {
        print_incoming(trace, &header, (struct reader){packet + used, n - (size_t)used});
    }
}
