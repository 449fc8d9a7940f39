/* SPDX-License-Identifier: Apache-2.0 */
#include "core/message.h"

#include <assert.h>
#include <stdlib.h>

static void append(char **at, struct noc_slice part)
{
    if (part.n > 0) {
        memcpy(*at, part.at, part.n);
        *at += part.n;
    }
}

struct noc_message *noc_message_new(const struct noc_message_parts *parts)
{
    struct noc_message *message;
    char *at;

    /* The decoders let nothing longer through: a packet has at most 256 MiB. */
    assert(parts->topic.n <= UINT16_MAX);
    assert(parts->props.n <= UINT32_MAX && parts->payload.n <= UINT32_MAX);
    message = malloc(sizeof *message + parts->topic.n + parts->props.n + parts->payload.n);
    if (message == NULL) {
        return NULL;
    }
    atomic_init(&message->references, 1);
    message->payload_n = (uint32_t)parts->payload.n;
    message->props_n = (uint32_t)parts->props.n;
    message->topic_n = (uint16_t)parts->topic.n;
    message->qos = parts->qos;
    message->retain = parts->retain;
    message->expires_ms = parts->expires_ms;
    message->publisher_number = parts->publisher_number;
    message->retained_version = 0;
    at = message->data;
    append(&at, parts->topic);
    append(&at, parts->props);
    append(&at, parts->payload);
    return message;
}

struct noc_message_parts noc_message_parts(const struct noc_message *message)
{
    return (struct noc_message_parts){
        .topic = noc_message_topic(message),
        .props = noc_slice(message->data + message->topic_n, message->props_n),
        .payload = noc_message_payload(message),
        .qos = message->qos,
        .retain = message->retain,
        .expires_ms = message->expires_ms,
        .publisher_number = message->publisher_number,
    };
}

struct noc_message *noc_message_ref(struct noc_message *message)
{
    if (message != NULL) {
        /* Whoever adds a reference holds one, so nothing needs to be ordered. */
        atomic_fetch_add_explicit(&message->references, 1, memory_order_relaxed);
    }
    return message;
}

void noc_message_unref(struct noc_message *message)
{
    if (message == NULL) {
        return;
    }
    /*
     * Release: what this thread did with the message comes before the free on
     * whichever thread that happens; acquire: the one that frees sees it so.
     * A reference that is alone needs no locked instruction to find out.
     */
    if (atomic_load_explicit(&message->references, memory_order_acquire) == 1 ||
        atomic_fetch_sub_explicit(&message->references, 1, memory_order_acq_rel) == 1) {
        free(message);
    }
}
