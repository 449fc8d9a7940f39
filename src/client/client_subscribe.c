/* SPDX-License-Identifier: Apache-2.0 */
/* SUBSCRIBE and UNSUBSCRIBE, and what answers them. */
#include "base/utf8.h"
#include "client/engine.h"
#include "mqtt/topic.h"

/* What is to be asked for: filters with options, stride bytes apart, or without. */
struct ask {
    const char *filters;
    size_t stride, count;
    struct noc_slice props;
    unsigned type;
};

/* The filter; its options, if it has any, stand behind it. */
static const struct noc_slice *filter_at(const struct ask *ask, size_t i)
{
    return (const struct noc_slice *)(const void *)(ask->filters + i * ask->stride);
}

static uint8_t options_at(const struct ask *ask, size_t i)
{
    return *(const uint8_t *)(filter_at(ask, i) + 1);
}

_Static_assert(offsetof(struct noc_client_filter, filter) == 0 &&
                   offsetof(struct noc_client_filter, options) == sizeof(struct noc_slice),
    "options do not stand behind their filter");

/* Is it a filter that this server takes? */
static int judge_filter(const struct noc_client *client, struct noc_slice filter)
{
    struct noc_slice group;

    if (noc_engine_is_v5(client) && noc_filter_is_shared(filter)) {
        if (!noc_share_split(filter, &group, &filter)) {
            return NOC_EINVAL;
        }
        if ((client->server_lacks & NOC_LACKS_SHARED) != 0) {
            return NOC_ENOTSUP;
        }
    }
    if (!noc_filter_is_valid(filter)) {
        return NOC_EINVAL;
    }
    return noc_engine_is_v5(client) && (client->server_lacks & NOC_LACKS_WILDCARDS) != 0 &&
                   noc_filter_has_wildcard(filter)
               ? NOC_ENOTSUP
               : NOC_OK;
}

/* And its options (3.8.3.1)? */
static bool options_are_valid(
    const struct noc_client *client, struct noc_slice filter, unsigned options)
{
    if (!noc_engine_is_v5(client)) {
        return options <= 2;
    }
    return (options & NOC_SUB_QOS) != 3 && options < 0x30 &&
           ((options & NOC_SUB_NO_LOCAL) == 0 || !noc_filter_is_shared(filter));
}

/* Judge entry i of what is asked for. */
static int judge_entry(const struct noc_client *client, const struct ask *ask, size_t i)
{
    struct noc_slice filter = *filter_at(ask, i);
    int err;

    if (filter.n > UINT16_MAX || !noc_utf8_is_valid(filter)) {
        return NOC_EINVAL;
    }
    err = judge_filter(client, filter);
    if (ask->type == NOC_UNSUBSCRIBE) {
        /* What the server lacks is its business here: there is nothing to unsubscribe from. */
        return err == NOC_ENOTSUP ? NOC_OK : err;
    }
    if (!options_are_valid(client, filter, options_at(ask, i))) {
        return NOC_EINVAL;
    }
    return !NOC_WITH_QOS && (options_at(ask, i) & NOC_SUB_QOS) != 0 ? NOC_ENOTSUP : err;
}

static int put(struct noc_client *client, const struct ask *ask, uint16_t *ret_packet_id)
{
    unsigned options_n = ask->type == NOC_SUBSCRIBE ? 1 : 0;
    uint16_t id;
    size_t n = 2;
    uint8_t *at;
    int err;

    if (client->state != NOC_CLIENT_OPEN) {
        return NOC_ECLOSED;
    }
    if (noc_engine_is_v5(client)) {
        n += noc_engine_props_size(ask->props);
    }
    for (size_t i = 0; i < ask->count; i++) {
        err = judge_entry(client, ask, i);
        if (err != NOC_OK) {
            return err;
        }
        n += 2 + filter_at(ask, i)->n + options_n;
    }
    if (ask->count == 0) {
        return NOC_EINVAL; /* [MQTT-3.8.3-2], [MQTT-3.10.3-2] */
    }
    err = client->wants_out ? NOC_EAGAIN : noc_engine_begin(client, ask->type << 4 | 2, n, 0, &at);
    if (err != NOC_OK) {
        return err;
    }
    id = noc_engine_packet_id(client);
    if (id == 0) {
        return NOC_EAGAIN;
    }
    at = noc_put_u16(at, id);
    if (noc_engine_is_v5(client)) {
        at = noc_engine_put_props(at, ask->props);
    }
    for (size_t i = 0; i < ask->count; i++) {
        at = noc_engine_put(at, *filter_at(ask, i));
        if (options_n > 0) {
            *at++ = options_at(ask, i);
        }
    }
    noc_engine_end(client, at);
    if (client->subscribe_count++ == 0) {
        client->subscribe_id = id;
    }
    if (ret_packet_id != NULL) {
        *ret_packet_id = id;
    }
    return NOC_OK;
}

/* Is a subscription identifier among the properties? */
static bool has_subscription_id(struct noc_slice props)
{
    struct noc_prop prop;

    while (noc_props_next(&props, &prop)) {
        if (prop.id == NOC_PROP_SUBSCRIPTION_ID) {
            return true;
        }
    }
    return false;
}

int noc_client_subscribe(struct noc_client *client, const struct noc_client_filter *filters,
    size_t count, struct noc_slice props, uint16_t *ret_packet_id)
{
    struct ask ask = {(const char *)filters, sizeof *filters, count, props, NOC_SUBSCRIBE};

    if (noc_engine_is_v5(client) && (client->server_lacks & NOC_LACKS_SUBSCRIPTION_IDS) != 0 &&
        has_subscription_id(props)) {
        return NOC_ENOTSUP;
    }
    return put(client, &ask, ret_packet_id);
}

int noc_client_unsubscribe(struct noc_client *client, const struct noc_slice *filters, size_t count,
    struct noc_slice props, uint16_t *ret_packet_id)
{
    struct ask ask = {(const char *)filters, sizeof *filters, count, props, NOC_UNSUBSCRIBE};

    return put(client, &ask, ret_packet_id);
}

int noc_engine_take_suback(struct noc_client *client, struct noc_event *event)
{
    if (client->subscribe_count == 0 || (uint16_t)(event->packet_id - client->subscribe_id) >
                                            (uint16_t)(client->last_id - client->subscribe_id)) {
        return noc_engine_fail(client, NOC_RC_PROTOCOL_ERROR, "packet identifier");
    }
    if (--client->subscribe_count == 0) {
        client->subscribe_id = 0;
    }
    return NOC_STEP_EVENT;
}
