/* SPDX-License-Identifier: Apache-2.0 */
/* CONNECT and CONNACK. */
#include "client/engine.h"
#include "mqtt/wire.h"

enum {
    HAS_USERNAME = 0x80,
    HAS_PASSWORD = 0x40,
    WILL_RETAIN = 0x20,
    HAS_WILL = 0x04,
    CLEAN_START = 0x02,

    FIXED = 12,       /* name, version, flags, keep alive, and the length of the client id */
    MORE_31 = 2,      /* in the name of version 3.1 */
    CONNECT_GAP = 34, /* at most so much stands before authentication data, besides texts */
};

/* What a CONNECT of these options comes to. */
struct plan {
    size_t n; /* bytes of its body, without properties */
    unsigned flags;
    size_t all; /* the sizes of its texts, or-ed: no text may have more bits than it */
};

/* Two slices that stand one behind the other in the options. */
_Static_assert(offsetof(struct noc_client_options, password) ==
                       offsetof(struct noc_client_options, username) + sizeof(struct noc_slice) &&
                   offsetof(struct noc_client_will, payload) ==
                       offsetof(struct noc_client_will, topic) + sizeof(struct noc_slice),
    "pairs of texts are no arrays");

/* Count two texts with their lengths, those that are not there only if flags is 0. */
static void count_pair(struct plan *plan, const struct noc_slice *pair, unsigned flag)
{
    for (unsigned i = 0; i < 2; i++) {
        if (flag == 0 || pair[i].at != NULL) {
            plan->n += 2 + pair[i].n;
            plan->all |= pair[i].n;
            plan->flags |= flag >> i;
        }
    }
}

static uint8_t *put_pair(uint8_t *at, const struct noc_slice *pair, bool is_optional)
{
    for (unsigned i = 0; i < 2; i++) {
        if (!is_optional || pair[i].at != NULL) {
            at = noc_engine_put(at, pair[i]);
        }
    }
    return at;
}

/* NOC_OK, NOC_ETOOLARGE, or NOC_EINVAL: that makes no packet. */
static int make_plan(const struct noc_client *client, struct plan *plan)
{
    const struct noc_client_options *options = client->options;
    const struct noc_client_will *will = options->will;

    plan->flags = options->keep_session ? 0 : CLEAN_START;
    plan->all = options->client_id.n;
    plan->n = FIXED + options->client_id.n;
    if (client->version == NOC_V31) {
        plan->n += MORE_31;
    }
    if (will != NULL) {
        if (will->qos > 2 || will->topic.n == 0) {
            return NOC_EINVAL;
        }
        plan->flags |= HAS_WILL | (unsigned)will->qos << 3 | (will->retain ? WILL_RETAIN : 0u);
        count_pair(plan, &will->topic, 0);
    }
    count_pair(plan, &options->username, HAS_USERNAME);
    if (!noc_engine_is_v5(client) &&
        ((plan->flags & (HAS_USERNAME | HAS_PASSWORD)) == HAS_PASSWORD ||
            (options->client_id.n == 0 && (options->keep_session || client->version == NOC_V31)))) {
        return NOC_EINVAL; /* [MQTT-3.1.2-22], [MQTT-3.1.3-7] of 3.1.1 */
    }
    return plan->all > UINT16_MAX ? NOC_ETOOLARGE : NOC_OK;
}

/* ---- properties ---- */

/* Properties of our own, without those of authentication. Returns the byte after. */
static uint8_t *put_own_props(const struct noc_client_options *options, uint8_t *at)
{
    if (options->received_max > 0) {
        at = noc_prop_put_u16(at, NOC_PROP_RECEIVE_MAXIMUM, options->received_max);
    }
    if (options->aliases != NULL) {
        at = noc_prop_put_u16(at, NOC_PROP_TOPIC_ALIAS_MAXIMUM, options->aliases->count);
    }
    return at;
}

/* The block of them all. Returns the byte after. */
static uint8_t *put_props(
    struct noc_client *client, uint8_t *at, size_t props_n, struct noc_slice answer)
{
    const struct noc_client_options *options = client->options;
    struct noc_slice rest = options->connect_props;
    struct noc_prop prop;

    at = put_own_props(options, noc_varint_put(at, (uint32_t)props_n));
    if (options->auth != NULL) {
        at = noc_engine_put_auth_props(client, at, answer);
    }
    at = noc_engine_put_raw(at, rest.at, rest.n);
    while (noc_props_next(&rest, &prop)) {
        if (prop.id == NOC_PROP_MAXIMUM_PACKET_SIZE) {
            client->packet_max = prop.number;
        }
    }
    return at;
}

/* Find out how large that block is. NOC_OK, or why there can't be one. */
static int measure_props(struct noc_client *client, size_t *ret_n, struct noc_slice *ret_answer)
{
    uint8_t own[6];
    int err = NOC_OK;

    *ret_n = (size_t)(put_own_props(client->options, own) - own) + client->options->connect_props.n;
    if (client->options->auth != NULL) {
        err = noc_engine_auth_step(
            client, noc_slice(NULL, 0), CONNECT_GAP + client->options->connect_props.n, ret_answer);
        *ret_n += noc_engine_auth_size(client, *ret_answer);
    }
    return *ret_n > NOC_REMAINING_MAX ? NOC_ETOOLARGE : err;
}

/* ---- CONNECT ---- */

int noc_engine_put_connect(struct noc_client *client)
{
    const struct noc_client_options *options = client->options;
    const struct noc_client_will *will = options->will;
    struct noc_slice answer = {NULL, 0};
    unsigned keep_alive_s = options->keep_alive_s;
    size_t props_n = 0;
    struct plan plan;
    uint8_t *at;
    int err = make_plan(client, &plan);

    if (err == NOC_OK && noc_engine_is_v5(client)) {
        err = measure_props(client, &props_n, &answer);
        plan.n += noc_varint_size((uint32_t)props_n) + props_n;
        if (will != NULL) {
            plan.n += noc_engine_props_size(will->props);
        }
    }
    if (err == NOC_OK) {
        err = noc_engine_begin(client, NOC_CONNECT << 4, plan.n, 0, &at);
    }
    if (err != NOC_OK) {
        return err;
    }
    if (keep_alive_s == 0) {
        keep_alive_s = NOC_KEEP_ALIVE_DEFAULT_S;
    } else if (keep_alive_s == NOC_KEEP_ALIVE_OFF) {
        keep_alive_s = 0;
    }
    client->keep_alive_s = (uint16_t)keep_alive_s;
    at = noc_engine_put(
        at, client->version == NOC_V31 ? noc_slice("MQIsdp", 6) : noc_slice("MQTT", 4));
    *at++ = client->version;
    *at++ = (uint8_t)plan.flags;
    at = noc_put_u16(at, (uint16_t)keep_alive_s);
    if (noc_engine_is_v5(client)) {
        at = put_props(client, at, props_n, answer);
    }
    at = noc_engine_put(at, options->client_id);
    if (will != NULL) {
        if (noc_engine_is_v5(client)) {
            at = noc_engine_put_props(at, will->props);
        }
        at = put_pair(at, &will->topic, false);
    }
    noc_engine_end(client, put_pair(at, &options->username, true));
    return NOC_OK;
}

/* ---- CONNACK ---- */

/* Does the server say that it lacks something? */
static unsigned lacks(
    const struct noc_props *props, enum noc_property id, uint8_t value, unsigned bit)
{
    return noc_props_has(props, id) && value == 0 ? bit : 0;
}

/* What the server can do, and wants (3.2.2.3). */
static void take_limits(struct noc_client *client, const struct noc_props *props)
{
    if (noc_props_has(props, NOC_PROP_SERVER_KEEP_ALIVE)) {
        client->keep_alive_s = props->server_keep_alive_s; /* [MQTT-3.2.2-21] */
    }
    client->server_packet_max = props->maximum_packet_size; /* [MQTT-3.2.2-15] */
    if (props->receive_maximum > 0 && props->receive_maximum < client->inflight_max) {
        client->inflight_max = props->receive_maximum; /* [MQTT-3.3.4-7] */
    }
    if (noc_props_has(props, NOC_PROP_MAXIMUM_QOS)) {
        client->server_qos_less = (uint8_t)(2 - props->maximum_qos);
    }
    client->server_alias_max = props->topic_alias_maximum;
    client->server_lacks =
        (uint8_t)(lacks(
                      props, NOC_PROP_RETAIN_AVAILABLE, props->retain_available, NOC_LACKS_RETAIN) |
                  lacks(props, NOC_PROP_WILDCARD_AVAILABLE, props->wildcard_available,
                      NOC_LACKS_WILDCARDS) |
                  lacks(props, NOC_PROP_SUBSCRIPTION_IDS_AVAILABLE,
                      props->subscription_ids_available, NOC_LACKS_SUBSCRIPTION_IDS) |
                  lacks(
                      props, NOC_PROP_SHARED_AVAILABLE, props->shared_available, NOC_LACKS_SHARED));
}

/* The connection stands: what is under way goes on, or begins anew. */
static int open(struct noc_client *client, bool has_session)
{
    struct noc_outbox *box = noc_engine_box(client);

    client->state = NOC_CLIENT_OPEN;
    if (NOC_WITH_QOS && NOC_WITH_SUBSCRIBE && !has_session) {
        for (unsigned count = client->received_count; count > 0;) {
            client->options->received[--count] = 0;
        }
        client->received_count = 0;
    }
    return NOC_WITH_QOS && box != NULL ? box->ops->rewind(box, !has_session) : NOC_OK;
}

/* Decode the body into the event. NOC_OK, or a reason to fail. */
static int decode_connack(
    struct noc_client *client, const uint8_t *body, size_t n, struct noc_event *event)
{
    bool is_v5 = noc_engine_is_v5(client);
    int used;

    if (n < 2 || (!is_v5 && n > 2) || (client->version != NOC_V31 && body[0] > 1)) {
        return noc_engine_fail(client, NOC_RC_MALFORMED_PACKET, "CONNACK"); /* [MQTT-3.2.2-1] */
    }
    event->reason = body[1];
    event->session_present = client->version != NOC_V31 && body[0] != 0;
    if (is_v5 && n == 2 && body[1] == 1) {
        event->reason = NOC_RC_UNSUPPORTED_VERSION; /* in the words of a server without version 5 */
    } else if (is_v5) {
        if (!noc_reason_is_listed(NOC_CONNACK, event->reason)) {
            return noc_engine_fail(
                client, NOC_RC_PROTOCOL_ERROR, "reason code"); /* [MQTT-3.2.2-8] */
        }
        used = noc_engine_take_props(
            client, NOC_CONNACK | NOC_PROPS_ALL, body + 2, n - 2, &event->props);
        if (used < 0) {
            return -used;
        }
    }
    if ((!is_v5 && event->reason > 5) ||
        (event->session_present && (event->reason != 0 || !client->options->keep_session))) {
        /* [MQTT-3.2.2-4], [MQTT-3.2.2-6] */
        return noc_engine_fail(client, NOC_RC_PROTOCOL_ERROR, "session present");
    }
    return NOC_OK;
}

int noc_engine_take_connack(
    struct noc_client *client, const uint8_t *body, size_t n, struct noc_event *event)
{
    int err = decode_connack(client, body, n, event);

    if (err != NOC_OK) {
        return err;
    }
    if (event->reason != 0) {
        noc_engine_close(client, NOC_CAUSE_REFUSED, event->reason);
        return noc_engine_closed(client, event);
    }
    if (noc_engine_is_v5(client)) {
        take_limits(client, &event->props);
        err = noc_engine_auth_finish(client, &event->props);
        if (err != NOC_OK) {
            return err;
        }
    }
    /* Version 3.1 does not tell; there a session is there if it was not to be cleaned. */
    if (open(client, client->version == NOC_V31 ? client->options->keep_session
                                                : event->session_present) != NOC_OK) {
        return -NOC_CAUSE_OUTBOX;
    }
    return noc_engine_event(event, NOC_EVENT_CONNECTED);
}
