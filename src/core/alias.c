/* SPDX-License-Identifier: Apache-2.0 */
#include "core/alias.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

/* A longer topic gets no alias: the table would hold more than it saves. */
#define TOPIC_MAX 1024u

/* While memory is short a client may have no longer topics than this remembered. */
#define TOPIC_SHORT_MAX 256u

/* Topics that have an alias: number i + 1 has topics[i]; slots hash to numbers. */
struct noc_alias_out {
    uint16_t count;
    uint32_t mask;
    uint16_t *slots; /* 0: free */
    struct {
        uint64_t hash;
        char *text;
        size_t n;
    } * topics;
};

int noc_alias_in(struct noc_link *link, uint16_t alias, struct noc_slice *topic)
{
    char *text;
    uint16_t n;

    if (alias == 0 || alias > link->aliases_in_max) {
        return NOC_EPROTO;
    }
    if (link->aliases_in == NULL) {
        link->aliases_in = calloc((size_t)link->aliases_in_max + 1, sizeof(char *));
        if (link->aliases_in == NULL) {
            return NOC_ENOMEM;
        }
    }
    if (topic->n > TOPIC_SHORT_MAX && noc_shard_is_memory_short(link->shard)) {
        return NOC_ENOMEM;
    }
    if (topic->n > 0) {
        n = (uint16_t)topic->n;
        text = malloc(sizeof n + n);
        if (text == NULL) {
            return NOC_ENOMEM;
        }
        memcpy(text, &n, sizeof n);
        memcpy(text + sizeof n, topic->at, n);
        free(link->aliases_in[alias]);
        link->aliases_in[alias] = text;
        return NOC_OK;
    }
    text = link->aliases_in[alias];
    if (text == NULL) {
        return NOC_EPROTO;
    }
    memcpy(&n, text, sizeof n);
    *topic = noc_slice(text + sizeof n, n);
    return NOC_OK;
}

/* Room for as many aliases as the connection allows; a table of twice as many slots. */
static struct noc_alias_out *out_new(uint16_t max)
{
    struct noc_alias_out *out = calloc(1, sizeof *out);
    uint32_t slots = 16;

    if (out == NULL) {
        return NULL;
    }
    while (slots < 2u * max) {
        slots *= 2;
    }
    out->mask = slots - 1;
    out->slots = calloc(slots, sizeof *out->slots);
    out->topics = calloc(max, sizeof *out->topics);
    if (out->slots == NULL || out->topics == NULL) {
        free(out->slots);
        free(out->topics);
        free(out);
        return NULL;
    }
    return out;
}

uint16_t noc_alias_out(struct noc_link *link, struct noc_slice topic, bool *ret_is_known)
{
    struct noc_alias_out *out = link->aliases_out;
    uint64_t hash;
    uint32_t at;

    *ret_is_known = false;
    if (link->aliases_out_max == 0 || topic.n > TOPIC_MAX ||
        noc_shard_is_memory_short(link->shard)) {
        return 0;
    }
    if (out == NULL) {
        out = link->aliases_out = out_new(link->aliases_out_max);
        if (out == NULL) {
            return 0;
        }
    }
    hash = noc_hash(link->shard->core->seed, topic.at, topic.n);
    for (at = (uint32_t)hash & out->mask; out->slots[at] != 0; at = (at + 1) & out->mask) {
        unsigned i = out->slots[at] - 1u;

        if (out->topics[i].hash == hash &&
            noc_slice_equal(noc_slice(out->topics[i].text, out->topics[i].n), topic)) {
            *ret_is_known = true;
            return out->slots[at];
        }
    }
    if (out->count == link->aliases_out_max) {
        return 0;
    }
    out->topics[out->count].text = malloc(topic.n);
    if (out->topics[out->count].text == NULL) {
        return 0;
    }
    memcpy(out->topics[out->count].text, topic.at, topic.n);
    out->topics[out->count].n = topic.n;
    out->topics[out->count].hash = hash;
    out->slots[at] = ++out->count;
    return out->count;
}

void noc_alias_out_undo(struct noc_link *link)
{
    struct noc_alias_out *out = link->aliases_out;
    uint32_t at = (uint32_t)out->topics[out->count - 1].hash & out->mask;

    while (out->slots[at] != out->count) {
        at = (at + 1) & out->mask;
    }
    /* The newest stands at the end of its run, so nothing has to move up. */
    out->slots[at] = 0;
    free(out->topics[--out->count].text);
}

void noc_alias_done(struct noc_link *link)
{
    struct noc_alias_out *out = link->aliases_out;

    for (unsigned i = 0; link->aliases_in != NULL && i <= link->aliases_in_max; i++) {
        free(link->aliases_in[i]);
    }
    free(link->aliases_in);
    link->aliases_in = NULL;
    if (out != NULL) {
        for (unsigned i = 0; i < out->count; i++) {
            free(out->topics[i].text);
        }
        free(out->slots);
        free(out->topics);
        free(out);
        link->aliases_out = NULL;
    }
}
