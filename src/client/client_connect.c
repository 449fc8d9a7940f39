/* SPDX-License-Identifier: Apache-2.0 */
/* CONNECT and CONNACK, and the exchange of AUTH packets (MQTT 5, 4.12). */
#include "client/engine.h"

enum {
    HAS_USERNAME = 0x80,
    HAS_PASSWORD = 0x40,
    WILL_RETAIN = 0x20,
    HAS_WILL = 0x04,
    CLEAN_START = 0x02,

    /* At most so much stands in a packet before authentication data, besides texts. */
    CONNECT_GAP = 34,
    AUTH_GAP = 17,
};

static bool is_clean(const struct noc_client_options *options)
{
    return !options->keep_session;
}

static unsigned flags(const struct noc_client_options *options)
{
    const struct noc_client_will *will = options->will;
    unsigned flags = is_clean(options) ? CLEAN_START : 0;

    if (options->username.at != NULL) {
        flags |= HAS_USERNAME;
    }
    if (options->password.at != NULL) {
        flags |= HAS_PASSWORD;
    }
    if (will != NULL) {
        flags |= HAS_WILL | (unsigned)will->qos << 3 | (will->retain ? WILL_RETAIN : 0u);
    }
    return flags;
}

/* Are these options that make a packet? */
static bool is_sound(const struct noc_client *client)
{
    const struct noc_client_options *options = client->options;
    const struct noc_client_will *will = options->will;

    if (!noc_engine_is_v5(client)) {
        if (options->password.at != NULL && options->username.at == NULL) {
            return false; /* [MQTT-3.1.2-22] of 3.1.1 */
        }
        if (options->client_id.n == 0 && (!is_clean(options) || client->version == NOC_V31)) {
            return false; /* [MQTT-3.1.3-7] of 3.1.1 */
        }
    }
    return will == NULL || (will->qos <= 2 && will->topic.n > 0);
}

/* ---- authentication ---- */

/* The answer to data, or the client's first word; it lies gap bytes behind where a packet begins. */
static int auth_step(
    struct noc_client *client, struct noc_slice data, size_t gap, struct noc_slice *ret_answer)
{
    const struct noc_client_auth *auth = client->options->auth;
    size_t begin = client->out_end + gap + auth->method.n;
    int n;

    if (begin >= client->out_room) {
        return NOC_ETOOLARGE;
    }
    n = auth->step(auth->context, data, client->out + begin, client->out_room - begin);
    if (n < 0) {
        return n;
    }
    *ret_answer = noc_slice(client->out + begin, (size_t)n);
    return NOC_OK;
}

static size_t auth_props_size(const struct noc_client_auth *auth, struct noc_slice answer)
{
    return 3 + auth->method.n + (answer.n > 0 ? 3 + answer.n : 0);
}

static void put_auth_props(
    struct noc_pen *pen, const struct noc_client_auth *auth, struct noc_slice answer)
{
    noc_pen_u8(pen, NOC_PROP_AUTH_METHOD);
    noc_pen_slice(pen, auth->method);
    if (answer.n > 0) {
        noc_pen_u8(pen, NOC_PROP_AUTH_DATA);
        noc_pen_slice(pen, answer);
    }
}

/* Append AUTH with the answer to data; nothing may wait in the output buffer. */
static int put_auth(struct noc_client *client, uint8_t reason, struct noc_slice data)
{
    const struct noc_client_auth *auth = client->options->auth;
    struct noc_slice answer;
    struct noc_pen pen;
    int err;

    if (!noc_pen_begin(&pen, client)) {
        return NOC_EAGAIN;
    }
    err = auth_step(client, data, AUTH_GAP, &answer);
    if (err != NOC_OK) {
        return err;
    }
    noc_pen_u8(&pen, reason);
    noc_pen_varint(&pen, auth_props_size(auth, answer));
    put_auth_props(&pen, auth, answer);
    return noc_pen_finish(&pen, NOC_AUTH << 4);
}

int noc_client_authenticate(struct noc_client *client)
{
    int err;

    if (!noc_engine_is_v5(client) || client->options->auth == NULL || client->is_authenticating) {
        return NOC_EINVAL;
    }
    if (client->state != NOC_CLIENT_OPEN) {
        return NOC_ECLOSED;
    }
    if (client->wants_out || client->out_at != client->out_end) {
        return NOC_EAGAIN;
    }
    err = put_auth(client, NOC_RC_REAUTHENTICATE, noc_slice(NULL, 0));
    client->is_authenticating = err == NOC_OK;
    return err;
}

/* The server, or the method, did not do: say goodbye. */
static int give_up(struct noc_client *client)
{
    noc_engine_fail(client, NOC_RC_UNSPECIFIED, "authentication");
    client->cause.kind = NOC_CAUSE_AUTH;
    client->cause.code = 0;
    return NOC_STEP_ON;
}

/* Is it the method that was asked for [MQTT-4.12.0-5]? */
static bool is_method(const struct noc_client *client, const struct noc_props *props)
{
    return noc_slice_equal(props->auth_method, client->options->auth->method);
}

int noc_engine_take_auth(
    struct noc_client *client, const struct noc_slice *body, struct noc_event *event)
{
    const struct noc_client_auth *auth = client->options->auth;
    bool is_open = client->state == NOC_CLIENT_OPEN;
    struct noc_disconnect view;
    struct noc_fault fault;
    int err = noc_auth_decode((const uint8_t *)body->at, body->n, &view, &fault);

    if (err < 0) {
        return noc_engine_fail_codec(client, err, fault.field);
    }
    if (auth == NULL || (is_open && !client->is_authenticating) ||
        !is_method(client, &view.props) || view.reason == NOC_RC_REAUTHENTICATE ||
        (view.reason == NOC_RC_SUCCESS && !is_open)) {
        return noc_engine_fail(client, NOC_RC_PROTOCOL_ERROR, "AUTH");
    }
    if (view.reason == NOC_RC_CONTINUE_AUTHENTICATION) {
        return put_auth(client, view.reason, view.props.auth_data) == NOC_OK ? NOC_STEP_ON
                                                                             : give_up(client);
    }
    client->is_authenticating = false;
    if (auth->finish(auth->context, view.props.auth_data) != NOC_OK) {
        return give_up(client);
    }
    noc_engine_event(event, NOC_EVENT_AUTHENTICATED);
    event->props = view.props;
    return NOC_STEP_EVENT;
}

/* ---- CONNECT ---- */

/* The largest packet that the server may send, if the application limits it. */
static void find_packet_max(struct noc_client *client)
{
    struct noc_slice rest = client->options->connect_props;
    struct noc_prop prop;

    while (noc_props_next(&rest, &prop)) {
        if (prop.id == NOC_PROP_MAXIMUM_PACKET_SIZE) {
            client->packet_max = prop.number;
        }
    }
}

static void put_u16_prop(struct noc_pen *pen, enum noc_property id, unsigned value)
{
    if (value > 0) {
        noc_pen_u8(pen, id);
        noc_pen_u16(pen, value);
    }
}

static void put_connect_props(
    struct noc_pen *pen, const struct noc_client_options *options, struct noc_slice answer)
{
    unsigned received_max = options->received_max;
    unsigned alias_max = options->aliases == NULL ? 0 : options->aliases->count;
    size_t n = (received_max > 0 ? 3u : 0u) + (alias_max > 0 ? 3u : 0u) + options->connect_props.n;

    if (options->auth != NULL) {
        n += auth_props_size(options->auth, answer);
    }
    noc_pen_varint(pen, n);
    put_u16_prop(pen, NOC_PROP_RECEIVE_MAXIMUM, received_max);
    put_u16_prop(pen, NOC_PROP_TOPIC_ALIAS_MAXIMUM, alias_max);
    if (options->auth != NULL) {
        put_auth_props(pen, options->auth, answer);
    }
    noc_pen_put(pen, options->connect_props.at, options->connect_props.n);
}

static void put_will(struct noc_pen *pen, const struct noc_client_will *will)
{
    noc_pen_props(pen, will->props);
    noc_pen_slice(pen, will->topic);
    noc_pen_slice(pen, will->payload);
}

int noc_engine_put_connect(struct noc_client *client)
{
    const struct noc_client_options *options = client->options;
    struct noc_slice answer = {0};
    struct noc_pen pen;
    int err = is_sound(client) && noc_pen_begin(&pen, client) ? NOC_OK : NOC_EINVAL;

    if (err == NOC_OK && noc_engine_is_v5(client) && options->auth != NULL) {
        err = auth_step(client, noc_slice(NULL, 0), CONNECT_GAP, &answer);
    }
    if (err != NOC_OK) {
        return err;
    }
    client->keep_alive_s = options->keep_alive_s == 0                    ? NOC_KEEP_ALIVE_DEFAULT_S
                           : options->keep_alive_s == NOC_KEEP_ALIVE_OFF ? 0
                                                                         : options->keep_alive_s;
    noc_pen_slice(&pen, noc_slice_of(client->version == NOC_V31 ? "MQIsdp" : "MQTT"));
    noc_pen_u8(&pen, client->version);
    noc_pen_u8(&pen, flags(options));
    noc_pen_u16(&pen, client->keep_alive_s);
    if (noc_engine_is_v5(client)) {
        put_connect_props(&pen, options, answer);
        find_packet_max(client);
    }
    noc_pen_slice(&pen, options->client_id);
    if (options->will != NULL) {
        put_will(&pen, options->will);
    }
    if (options->username.at != NULL) {
        noc_pen_slice(&pen, options->username);
    }
    if (options->password.at != NULL) {
        noc_pen_slice(&pen, options->password);
    }
    err = noc_pen_finish(&pen, NOC_CONNECT << 4);
    if (err == NOC_OK) {
        client->state = NOC_CLIENT_CONNECTING;
        client->asked_ms = client->now_ms;
    }
    return err;
}

/* ---- CONNACK ---- */

/* What the server can do, and wants (3.2.2.3). */
static void take_limits(struct noc_client *client, const struct noc_props *props)
{
    if (noc_props_has(props, NOC_PROP_SERVER_KEEP_ALIVE)) {
        client->keep_alive_s = props->server_keep_alive_s; /* [MQTT-3.2.2-21] */
    }
    if (noc_props_has(props, NOC_PROP_MAXIMUM_PACKET_SIZE)) {
        client->server_packet_max = props->maximum_packet_size; /* [MQTT-3.2.2-15] */
    }
    if (noc_props_has(props, NOC_PROP_RECEIVE_MAXIMUM) &&
        props->receive_maximum < client->inflight_max) {
        client->inflight_max = props->receive_maximum; /* [MQTT-3.3.4-7] */
    }
    if (noc_props_has(props, NOC_PROP_MAXIMUM_QOS)) {
        client->server_qos_max = props->maximum_qos;
    }
    client->server_alias_max = props->topic_alias_maximum;
    if (noc_props_has(props, NOC_PROP_RETAIN_AVAILABLE) && props->retain_available == 0) {
        client->server_lacks |= NOC_LACKS_RETAIN;
    }
    if (noc_props_has(props, NOC_PROP_WILDCARD_AVAILABLE) && props->wildcard_available == 0) {
        client->server_lacks |= NOC_LACKS_WILDCARDS;
    }
    if (noc_props_has(props, NOC_PROP_SUBSCRIPTION_IDS_AVAILABLE) &&
        props->subscription_ids_available == 0) {
        client->server_lacks |= NOC_LACKS_SUBSCRIPTION_IDS;
    }
    if (noc_props_has(props, NOC_PROP_SHARED_AVAILABLE) && props->shared_available == 0) {
        client->server_lacks |= NOC_LACKS_SHARED;
    }
}

/* The connection stands: what is under way goes on, or begins anew. */
static int open(struct noc_client *client, bool session_present)
{
    client->state = NOC_CLIENT_OPEN;
    if (NOC_WITH_QOS && NOC_WITH_SUBSCRIBE && !session_present) {
        noc_engine_forget_received(client);
    }
    return NOC_WITH_QOS ? noc_engine_rewind(client, !session_present) : NOC_OK;
}

int noc_engine_take_connack(
    struct noc_client *client, const struct noc_slice *body, struct noc_event *event)
{
    const struct noc_client_auth *auth = client->options->auth;
    struct noc_connack connack;
    struct noc_fault fault;
    int err =
        noc_connack_decode(client->version, (const uint8_t *)body->at, body->n, &connack, &fault);

    if (err < 0) {
        return noc_engine_fail_codec(client, err, fault.field);
    }
    if (connack.session_present && is_clean(client->options)) {
        return noc_engine_fail(client, NOC_RC_PROTOCOL_ERROR, "session present"); /* 3.2.2.1.1 */
    }
    if (connack.reason != 0) {
        noc_engine_close(client, NOC_CAUSE_REFUSED, connack.reason);
        noc_engine_closed(client, event);
        event->payload = connack.props.reason_string;
    } else {
        if (noc_engine_is_v5(client)) {
            take_limits(client, &connack.props);
            if (auth != NULL && (!is_method(client, &connack.props) ||
                                    auth->finish(auth->context, connack.props.auth_data) < 0)) {
                return give_up(client);
            }
        }
        /* Version 3.1 does not tell; there a session is there if it was not to be cleaned. */
        if (open(client, client->version == NOC_V31 ? !is_clean(client->options)
                                                    : connack.session_present) != NOC_OK) {
            return noc_engine_close(client, NOC_CAUSE_OUTBOX, 0);
        }
        noc_engine_event(event, NOC_EVENT_CONNECTED);
        event->session_present = connack.session_present;
    }
    event->reason = connack.reason;
    if (NOC_WITH_V5) {
        event->props = connack.props;
    }
    return NOC_STEP_EVENT;
}
