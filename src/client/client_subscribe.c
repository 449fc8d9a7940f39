/* SPDX-License-Identifier: Apache-2.0 */
/* SUBSCRIBE and UNSUBSCRIBE, and what answers them. */
#include "base/utf8.h"
#include "client/engine.h"
#include "mqtt/topic.h"

/* Is it a filter that the server can take? */
static int judge(const struct noc_client *client, struct noc_slice filter)
{
    struct noc_slice group, inner = filter;

    if (filter.n > UINT16_MAX || !noc_utf8_is_valid(filter)) {
        return NOC_EINVAL;
    }
    if (noc_engine_is_v5(client) && noc_filter_is_shared(filter)) {
        if (!noc_share_split(filter, &group, &inner)) {
            return NOC_EINVAL;
        }
        if ((client->server_lacks & NOC_LACKS_SHARED) != 0) {
            return NOC_ENOTSUP;
        }
    } else if (!noc_filter_is_valid(filter)) {
        return NOC_EINVAL;
    }
    if ((client->server_lacks & NOC_LACKS_WILDCARDS) != 0 && noc_filter_has_wildcard(inner)) {
        return NOC_ENOTSUP;
    }
    return NOC_OK;
}

/* May these options go with that filter (3.8.3.1)? */
static int judge_options(const struct noc_client *client, const struct noc_client_filter *filter)
{
    unsigned options = filter->options;

    if ((options & NOC_SUB_QOS) == 3 || (options & 0xc0) != 0 ||
        (options & NOC_SUB_RETAIN_HANDLING) == NOC_SUB_RETAIN_HANDLING ||
        (options > 2 && !noc_engine_is_v5(client)) ||
        ((options & NOC_SUB_NO_LOCAL) != 0 && noc_filter_is_shared(filter->filter))) {
        return NOC_EINVAL;
    }
    return !NOC_WITH_QOS && (options & NOC_SUB_QOS) != 0 ? NOC_ENOTSUP : NOC_OK;
}

/* Write the beginning of either. */
static int begin(
    struct noc_client *client, struct noc_pen *pen, size_t count, struct noc_slice props)
{
    uint16_t id;

    if (client->state != NOC_CLIENT_OPEN) {
        return NOC_ECLOSED;
    }
    if (count == 0) {
        return NOC_EINVAL; /* [MQTT-3.8.3-2], [MQTT-3.10.3-2] */
    }
    if (client->wants_out || !noc_pen_begin(pen, client)) {
        return NOC_EAGAIN;
    }
    id = noc_engine_packet_id(client);
    if (id == 0) {
        return NOC_EAGAIN;
    }
    noc_pen_u16(pen, id);
    noc_pen_props(pen, props);
    return NOC_OK;
}

static int finish(
    struct noc_client *client, struct noc_pen *pen, unsigned type, uint16_t *ret_packet_id)
{
    uint16_t id = client->last_id;
    int err = noc_pen_finish(pen, type << 4 | 2);

    if (err != NOC_OK) {
        client->last_id = id == 1 ? UINT16_MAX : (uint16_t)(id - 1);
        return err;
    }
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
    struct noc_pen pen;
    int err = NOC_OK;

    for (size_t i = 0; i < count && err == NOC_OK; i++) {
        err = judge(client, filters[i].filter);
        if (err == NOC_OK) {
            err = judge_options(client, &filters[i]);
        }
    }
    if (err == NOC_OK && noc_engine_is_v5(client) &&
        (client->server_lacks & NOC_LACKS_SUBSCRIPTION_IDS) != 0 && has_subscription_id(props)) {
        err = NOC_ENOTSUP;
    }
    if (err == NOC_OK) {
        err = begin(client, &pen, count, props);
    }
    if (err != NOC_OK) {
        return err;
    }
    for (size_t i = 0; i < count; i++) {
        noc_pen_slice(&pen, filters[i].filter);
        noc_pen_u8(&pen, filters[i].options);
    }
    return finish(client, &pen, NOC_SUBSCRIBE, ret_packet_id);
}

int noc_client_unsubscribe(struct noc_client *client, const struct noc_slice *filters, size_t count,
    struct noc_slice props, uint16_t *ret_packet_id)
{
    struct noc_pen pen;
    int err = NOC_OK;

    for (size_t i = 0; i < count; i++) {
        /* What the server lacks is its business here: there is nothing to unsubscribe from. */
        if (judge(client, filters[i]) == NOC_EINVAL) {
            return NOC_EINVAL;
        }
    }
    err = begin(client, &pen, count, props);
    if (err != NOC_OK) {
        return err;
    }
    for (size_t i = 0; i < count; i++) {
        noc_pen_slice(&pen, filters[i]);
    }
    return finish(client, &pen, NOC_UNSUBSCRIBE, ret_packet_id);
}

int noc_engine_take_suback(
    struct noc_client *client, unsigned type, const struct noc_slice *body, struct noc_event *event)
{
    struct noc_suback suback;
    struct noc_fault fault;
    int err = noc_suback_decode(client->version, type, body, &suback, &fault);

    if (err < 0) {
        return noc_engine_fail_codec(client, err, fault.field);
    }
    if (client->subscribe_count == 0 || (uint16_t)(suback.packet_id - client->subscribe_id) >
                                            (uint16_t)(client->last_id - client->subscribe_id)) {
        return noc_engine_fail(client, NOC_RC_PROTOCOL_ERROR, "packet identifier");
    }
    if (--client->subscribe_count == 0) {
        client->subscribe_id = 0;
    }
    noc_engine_event(event, type == NOC_SUBACK ? NOC_EVENT_SUBSCRIBED : NOC_EVENT_UNSUBSCRIBED);
    event->packet_id = suback.packet_id;
    event->payload = suback.reasons;
    if (NOC_WITH_V5) {
        event->props = suback.props;
    }
    return NOC_STEP_EVENT;
}
