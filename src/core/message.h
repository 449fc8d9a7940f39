/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CORE_MESSAGE_H
#define NOC_CORE_MESSAGE_H
/*
 * A message: immutable once built, shared between workers by an atomic
 * reference count, laid out as it goes on the wire:
 *
 *   data:  topic | properties (v5 wire form, as noc_props_forward() leaves them) | payload
 *
 * What differs from receiver to receiver (packet id, dup, alias, subscription
 * identifiers, the expiry that is left) is written by the encoder.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <noctule/slice.h>

#define NOC_NEVER_MS UINT64_MAX

struct noc_message {
    atomic_uint references;
    uint32_t payload_n;
    uint32_t props_n;
    uint16_t topic_n;
    uint8_t qos;               /* as published */
    bool retain;               /* as published */
    uint64_t expires_ms;       /* on the monotonic clock; NOC_NEVER_MS: does not expire */
    uint64_t retained_version; /* written once, by noc_retained_set(), before others see it */
    uint64_t publisher_number; /* session number of the publisher, for no local; 0: the broker */
    char data[];
};

/* A message before it is built: borrowed parts, as a decoder or a worker holds them. */
struct noc_message_parts {
    struct noc_slice topic, props, payload;
    uint8_t qos;
    bool retain;
    uint64_t expires_ms;
    uint64_t publisher_number;
};

/* Build with one reference. NULL: out of memory. */
struct noc_message *noc_message_new(const struct noc_message_parts *parts);

/* The same parts again, borrowed from the message. */
struct noc_message_parts noc_message_parts(const struct noc_message *message);

struct noc_message *noc_message_ref(struct noc_message *message); /* NULL stays NULL */
void noc_message_unref(struct noc_message *message);              /* NULL is fine */

static inline struct noc_slice noc_message_topic(const struct noc_message *message)
{
    return noc_slice(message->data, message->topic_n);
}

static inline struct noc_slice noc_message_payload(const struct noc_message *message)
{
    return noc_slice(message->data + message->topic_n + message->props_n, message->payload_n);
}

#endif
