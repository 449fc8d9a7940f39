/* SPDX-License-Identifier: Apache-2.0 */
/* SUBSCRIBE and UNSUBSCRIBE, and what answers them. */
#include "base/utf8.h"
#include "client/engine.h"
#include "mqtt/topic.h"

/* Options stand behind their filter, where it has any. */
static uint8_t options_of(const struct noc_slice *filter)
{
    return *(const uint8_t *)(filter + 1);
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

/* Judge a filter, and its options if it is for SUBSCRIBE. */
static int judge_entry(
    const struct noc_client *client, unsigned type, const struct noc_slice *filter)
{
    int err;

    /* Without shared filters noc_filter_is_valid() sees to the size. */
    if ((NOC_WITH_V5 && filter->n > UINT16_MAX) || !noc_utf8_is_valid(*filter)) {
        return NOC_EINVAL;
    }
    err = judge_filter(client, *filter);
    if (type == NOC_UNSUBSCRIBE) {
        /* What the server lacks is its business here: there is nothing to unsubscribe from. */
        return err == NOC_ENOTSUP ? NOC_OK : err;
    }
    if (!options_are_valid(client, *filter, options_of(filter))) {
        return NOC_EINVAL;
    }
    return !NOC_WITH_QOS && (options_of(filter) & NOC_SUB_QOS) != 0 ? NOC_ENOTSUP : err;
}

/* SUBSCRIBE or UNSUBSCRIBE: count filters, with options or without. */
static int put(struct noc_client *client, const void *filters, size_t count, struct noc_slice props,
    unsigned type, uint16_t *ret_packet_id)
{
    size_t options_n = type == NOC_SUBSCRIBE, n = 2;
    size_t stride = options_n > 0 ? sizeof(struct noc_client_filter) : sizeof(struct noc_slice);
    const char *entry = filters;
    uint16_t id;
    uint8_t *at;
    int err;

    if (client->state != NOC_CLIENT_OPEN) {
        return NOC_ECLOSED;
    }
    if (noc_engine_is_v5(client)) {
        n += noc_engine_props_size(props);
    }
    for (size_t i = 0; i < count; i++, entry += stride) {
        const struct noc_slice *filter = (const void *)entry;

        err = judge_entry(client, type, filter);
        if (err != NOC_OK) {
            return err;
        }
        n += 2 + filter->n + options_n;
    }
    if (count == 0) {
        return NOC_EINVAL; /* [MQTT-3.8.3-2], [MQTT-3.10.3-2] */
    }
    err = client->wants_out ? NOC_EAGAIN : noc_engine_begin(client, type << 4 | 2, n, 0, &at);
    if (err != NOC_OK) {
        return err;
    }
    id = noc_engine_packet_id(client);
    if (id == 0) {
        return NOC_EAGAIN;
    }
    at = noc_put_u16(at, id);
    if (noc_engine_is_v5(client)) {
        at = noc_engine_put_props(at, props);
    }
    entry = filters;
    for (size_t i = 0; i < count; i++, entry += stride) {
        const struct noc_slice *filter = (const void *)entry;

        at = noc_engine_put(at, *filter);
        if (options_n > 0) {
            *at++ = options_of(filter);
        }
    }
    noc_engine_end(client, at);
    client->last_id = id;
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
    if (noc_engine_is_v5(client) && (client->server_lacks & NOC_LACKS_SUBSCRIPTION_IDS) != 0 &&
        has_subscription_id(props)) {
        return NOC_ENOTSUP;
    }
    return put(client, filters, count, props, NOC_SUBSCRIBE, ret_packet_id);
}

int noc_client_unsubscribe(struct noc_client *client, const struct noc_slice *filters, size_t count,
    struct noc_slice props, uint16_t *ret_packet_id)
{
    return put(client, filters, count, props, NOC_UNSUBSCRIBE, ret_packet_id);
}

int noc_engine_take_suback(
    struct noc_client *client, enum noc_event_kind kind, struct noc_event *event)
{
    if (client->subscribe_count == 0 || (uint16_t)(event->packet_id - client->subscribe_id) >
                                            (uint16_t)(client->last_id - client->subscribe_id)) {
        return noc_engine_fail(client, NOC_RC_PROTOCOL_ERROR, "packet identifier");
    }
    if (--client->subscribe_count == 0) {
        client->subscribe_id = 0;
    }
    return noc_engine_event(event, kind);
}
