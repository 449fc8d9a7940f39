/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CONNECT, from the packet to the CONNACK:
 *
 *   on_connect        decode, rules, client id              worker that accepted
 *   authenticate      at once, or later by ticket           (the glue's pool),
 *                     or by an exchange of AUTH packets     (exchange.c)
 *   directory         which worker is home to the id?
 *   depart - arrive   hand-over, when it is another one     by mail
 *   attach            takeover, session, CONNACK            the home
 *
 * Until the CONNACK nothing behind the CONNECT is decoded, but for AUTH.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "core/alias.h"
#include "core/deliver.h"
#include "core/goodbye.h"
#include "core/journal.h"
#include "core/mail.h"
#include "core/receipt.h"
#include "core/replay.h"
#include "mqtt/topic.h"

/* ---- CONNACK ---- */

/* The properties of a CONNACK: numbers, an assigned client id, method and data. */
enum { CONNACK_PROPS_MAX = 32 + 100 + NOC_AUTH_METHOD_MAX + NOC_AUTH_DATA_MAX + 6 };

/* In the terms of the client's version; before version 5 most reasons have no code of their own. */
static void send_connack(
    struct noc_link *link, bool session_present, uint8_t reason, struct noc_slice props)
{
    uint8_t packet[CONNACK_PROPS_MAX + 16];
    uint8_t code = link->version == NOC_V5 ? reason : noc_reason_to_connack3(reason);
    size_t n =
        noc_connack_encode(link->version, session_present, code, props, packet, sizeof packet);

    if (!noc_link_takes(link, n)) {
        link->is_goodbye_sent = true; /* without a CONNACK there is no DISCONNECT [MQTT-3.14.0-1] */
        noc_link_end(link, NOC_END_OVERSIZE, "CONNACK is larger than it takes");
        return;
    }
    noc_shard_log(link->shard, NOC_LOG_DEBUG, "Sending CONNACK to %.*s (%d, %d)",
        NOC_SLICE_ARG(noc_link_name(link)), session_present, code);
    noc_link_send(link, packet, n);
    link->is_goodbye_sent |= noc_link_is_failing(link); /* nor without memory for it */
}

/* Refuse: CONNACK with the reason, and the end. */
void noc_link_refuse(struct noc_link *link, uint8_t reason, enum noc_end end, const char *text)
{
    link->refusal = reason;
    send_connack(link, false, reason, noc_slice(NULL, 0));
    noc_link_end(link, end, text);
}

static void accept_client(struct noc_link *link, bool session_present)
{
    const struct noc_limits *limits = &link->shard->core->limits;
    const struct noc_pending_connect *connect = link->connect;
    uint8_t props[CONNACK_PROPS_MAX], *at = props;

    if (link->version != NOC_V5) {
        send_connack(link, session_present, NOC_RC_SUCCESS, noc_slice(NULL, 0));
        return;
    }
    if (link->keepalive_s != connect->view.keep_alive_s) {
        at = noc_prop_put_u16(at, NOC_PROP_SERVER_KEEP_ALIVE, link->keepalive_s);
    }
    if (connect->is_assigned) {
        at = noc_prop_put_slice(at, NOC_PROP_ASSIGNED_CLIENT_ID, connect->client_id);
    }
    if (link->aliases_in_max > 0) {
        at = noc_prop_put_u16(at, NOC_PROP_TOPIC_ALIAS_MAXIMUM, link->aliases_in_max);
    }
    if (!limits->retain_available) {
        at = noc_prop_put_u8(at, NOC_PROP_RETAIN_AVAILABLE, 0);
    }
    if (limits->max_packet_size > 0) {
        at = noc_prop_put_u32(at, NOC_PROP_MAXIMUM_PACKET_SIZE, limits->max_packet_size);
    }
    if (limits->max_inflight_messages > 0) {
        at = noc_prop_put_u16(at, NOC_PROP_RECEIVE_MAXIMUM, limits->max_inflight_messages);
    }
    if (link->listener->max_qos < 2) {
        at = noc_prop_put_u8(at, NOC_PROP_MAXIMUM_QOS, link->listener->max_qos);
    }
    at = noc_exchange_put_props(link, at);
    send_connack(link, session_present, NOC_RC_SUCCESS, noc_slice(props, (size_t)(at - props)));
}

/* ---- the packet ---- */

/* A client id of our own: the listener's prefix and a random UUID (RFC 9562, version 4). */
static void assign_id(struct noc_link *link, struct noc_pending_connect *connect)
{
    struct noc_slice prefix = link->listener->auto_id_prefix;
    uint8_t bytes[16];
    size_t prefix_n = prefix.n < 50 ? prefix.n : 50;
    char *at = connect->assigned;

    link->shard->ops->random(link->shard, bytes, sizeof bytes);
    bytes[6] = (uint8_t)((bytes[6] & 0x0f) | 0x40);
    bytes[8] = (uint8_t)((bytes[8] & 0x3f) | 0x80);
    if (prefix_n > 0) {
        memcpy(at, prefix.at, prefix_n);
        at += prefix_n;
    }
    for (unsigned i = 0; i < sizeof bytes; i++) {
        static const char digits[] = "0123456789ABCDEF";

        if (i == 4 || i == 6 || i == 8 || i == 10) {
            *at++ = '-';
        }
        *at++ = digits[bytes[i] >> 4];
        *at++ = digits[bytes[i] & 15];
    }
    connect->client_id = noc_slice(connect->assigned, (size_t)(at - connect->assigned));
    connect->is_assigned = true;
}

/* The rules on client id and keep-alive. False: refused. */
static bool check_rules(struct noc_link *link, struct noc_pending_connect *connect)
{
    const struct noc_limits *limits = &link->shard->core->limits;
    const struct noc_connect *view = &connect->view;

    connect->client_id = view->client_id;
    if (view->client_id.n == 0) {
        bool is_v3_kept = link->version != NOC_V5 && !view->clean_start; /* [MQTT-3.1.3-8] */

        if (!link->listener->allow_zero_length_clientid || is_v3_kept || link->version == NOC_V31) {
            noc_link_refuse(link,
                link->version == NOC_V5 ? NOC_RC_UNSPECIFIED : NOC_RC_CLIENT_ID_NOT_VALID,
                NOC_END_REFUSED, "empty client identifier");
            return false;
        }
        assign_id(link, connect);
    }
    link->keepalive_s = view->keep_alive_s;
    if (limits->max_keepalive_s > 0 &&
        (view->keep_alive_s == 0 || view->keep_alive_s > limits->max_keepalive_s)) {
        if (link->version != NOC_V5) {
            noc_link_refuse(
                link, NOC_RC_CLIENT_ID_NOT_VALID, NOC_END_REFUSED, "keep alive over max_keepalive");
            return false;
        }
        link->keepalive_s = limits->max_keepalive_s;
    }
    return true;
}

/* The rules on the will. False: refused. */
static bool check_will(struct noc_link *link, const struct noc_connect *view)
{
    const struct noc_limits *limits = &link->shard->core->limits;

    if (!view->has_will) {
        return true;
    }
    if (!noc_topic_is_valid(view->will.topic)) {
        noc_link_refuse(link, NOC_RC_TOPIC_NAME_INVALID, NOC_END_PROTOCOL, "will topic");
        return false;
    }
    if (view->will.qos > link->listener->max_qos) {
        noc_link_refuse(link, NOC_RC_QOS_NOT_SUPPORTED, NOC_END_FEATURE, "QoS of the will");
        return false;
    }
    if (view->will.retain && !limits->retain_available) {
        noc_link_refuse(link, NOC_RC_RETAIN_NOT_SUPPORTED, NOC_END_FEATURE, "retained will");
        return false;
    }
    if (limits->message_size_limit > 0 && view->will.payload.n > limits->message_size_limit) {
        noc_link_refuse(link, NOC_RC_PACKET_TOO_LARGE, NOC_END_OVERSIZE,
            "payload of the will over message_size_limit");
        return false;
    }
    return true;
}

/* A pair of name and version that nobody knows, in Mosquitto's words. */
static void log_unknown_protocol(const struct noc_link *link, const struct noc_connect *view)
{
    const uint8_t *body = link->connect->body;
    unsigned version = view->version & 0x7fu; /* without the bit of a bridge */

    if (version >= NOC_V31 && version <= NOC_V5) {
        noc_shard_log(link->shard, NOC_LOG_INFORMATION,
            "Invalid protocol \"%.*s\" in CONNECT from %.*s.",
            NOC_SLICE_ARG(noc_slice(body + 2, noc_get_u16(body))), NOC_SLICE_ARG(link->address));
    } else {
        noc_shard_log(link->shard, NOC_LOG_INFORMATION,
            "Invalid protocol version %u in CONNECT from %.*s.", version,
            NOC_SLICE_ARG(link->address));
    }
}

static void on_undecodable(
    struct noc_link *link, int err, const struct noc_connect *view, const struct noc_fault *fault)
{
    char text[96];

    (void)snprintf(text, sizeof text, "%s at byte %lu",
        fault->field == NULL ? "CONNECT" : fault->field, (unsigned long)fault->offset);
    if (err == NOC_ENOTSUP) {
        /* The protocol name or version is not known [MQTT-3.1.2-2]. */
        log_unknown_protocol(link, view);
        link->version = view->version == NOC_V5 ? NOC_V5 : NOC_V311;
        noc_link_refuse(
            link, NOC_RC_UNSUPPORTED_VERSION, NOC_END_PROTOCOL, "unknown protocol version");
        return;
    }
    noc_log_protocol_error(link, err == NOC_EPROTO ? NOC_END_PROTOCOL : NOC_END_MALFORMED, fault);
    noc_link_end(link, err == NOC_EPROTO ? NOC_END_PROTOCOL : NOC_END_MALFORMED, text);
}

/* Ask the glue to judge the credentials; the answer may come later, by ticket. */
static void judge(struct noc_link *link)
{
    struct noc_shard *shard = link->shard;
    const struct noc_connect *view = &link->connect->view;
    struct noc_credentials credentials = {.client_id = link->connect->client_id};
    uint64_t ticket = noc_shard_new_number(shard);
    int result;

    if (view->has_username) {
        credentials.username = view->username;
    }
    if (view->has_password) {
        credentials.password = view->password;
    }
    if (noc_map64_set(&shard->waiting, ticket, link) != NOC_OK) {
        noc_link_end(link, NOC_END_MEMORY, NULL);
        return;
    }
    link->ticket = ticket;
    link->state = NOC_LINK_AUTH;
    result = shard->ops->authenticate(link, &credentials, ticket);
    if (result == NOC_EAGAIN) {
        shard->ops->read_on(link, false);
    } else {
        (void)noc_map64_take(&shard->waiting, ticket);
        noc_link_judged(link, result);
    }
}

void noc_link_on_connect(struct noc_link *link, const uint8_t *body, size_t n)
{
    struct noc_pending_connect *connect = calloc(1, sizeof *connect + n);
    struct noc_fault fault = {0};
    int err;

    if (connect == NULL) {
        noc_link_end(link, NOC_END_MEMORY, NULL);
        return;
    }
    memcpy(connect->body, body, n);
    link->connect = connect;
    err = noc_connect_decode(connect->body, n, &connect->view, &fault);
    if (err != NOC_OK) {
        on_undecodable(link, err, &connect->view, &fault);
        return;
    }
    link->version = connect->view.version;
    link->is_bridge = connect->view.is_bridge;
    link->max_packet = connect->view.props.maximum_packet_size;
    if (link->shard->is_stopping) {
        /* A CONNACK has no reason "server shutting down" [MQTT-3.2.2-8]. */
        noc_link_refuse(link, NOC_RC_SERVER_UNAVAILABLE, NOC_END_REFUSED, "shutting down");
        return;
    }
    if (noc_shard_is_memory_short(link->shard)) {
        noc_link_refuse(link, NOC_RC_QUOTA_EXCEEDED, NOC_END_MEMORY, "memory is short");
        return;
    }
    if (!check_rules(link, connect) || !check_will(link, &connect->view)) {
        return;
    }
    if (noc_props_has(&connect->view.props, NOC_PROP_AUTH_METHOD)) {
        noc_exchange_on_connect(link);
    } else {
        judge(link);
    }
}

/* ---- judged ---- */

struct noc_link *noc_link_waiting(struct noc_shard *shard, uint64_t ticket)
{
    return noc_map64_get(&shard->waiting, ticket);
}

/*
 * Has another worker clearly less to do? A hand-over for one session more or less is no gain.
 * Once there is one it gets several, until both have the same: what connects together often
 * belongs together. Links on their way to a worker count as there: else all of a burst would go
 * to one.
 */
static unsigned least_busy(struct noc_shard *shard)
{
    unsigned best = shard->number;
    int64_t least = INT64_MAX, mine = 0;

    for (unsigned i = 0; i < shard->core->shard_count; i++) {
        const struct noc_shard *other = shard->core->shards[i];
        int64_t here =
            atomic_load_explicit(&other->counters[NOC_COUNT_CONNECTED], memory_order_relaxed) +
            atomic_load_explicit(&other->arriving, memory_order_relaxed);

        if (i == shard->number) {
            mine = here;
        }
        if (here < least) {
            least = here;
            best = i;
        }
    }
    shard->hands_over = mine > least + (shard->hands_over ? 0 : 1 + least / 16);
    return shard->hands_over ? best : shard->number;
}

static void on_judged(struct noc_link *link, int result)
{
    struct noc_shard *shard = link->shard;
    struct noc_pending_connect *connect = link->connect;

    link->ticket = 0;
    if (result == NOC_EDENIED) {
        /* Mosquitto's code for a bad password and for no permission is the same. */
        noc_link_refuse(link, NOC_RC_NOT_AUTHORIZED, NOC_END_NOT_AUTHORISED, NULL);
        return;
    }
    if (result == NOC_ENOMEM) {
        noc_link_end(link, NOC_END_MEMORY, NULL);
        return;
    }
    if (result != NOC_OK) {
        noc_link_refuse(link, NOC_RC_SERVER_BUSY, NOC_END_REFUSED, "too many logins at once");
        return;
    }
    connect->home =
        noc_directory_enter_mt(shard->core->directory, connect->client_id, least_busy(shard));
    if (connect->home == NULL) {
        noc_link_end(link, NOC_END_MEMORY, NULL);
        return;
    }
    if (connect->home->worker == shard->number) {
        noc_link_arrive(link);
        if (!link->is_judged_at_once && link->state == NOC_LINK_OPEN) {
            shard->ops->read_on(link, true);
            noc_link_feed_waiting(link);
        }
        return;
    }
    link->state = NOC_LINK_MOVING;
    if (!link->is_judged_at_once) {
        noc_link_depart(link);
    } /* else noc_link_feed() keeps what is behind the CONNECT, and then lets it depart. */
}

void noc_link_judged(struct noc_link *link, int result)
{
    link->is_judged_at_once = true;
    on_judged(link, result);
    link->is_judged_at_once = false;
}

void noc_link_authenticated(struct noc_shard *shard, uint64_t ticket, int result)
{
    struct noc_link *link = noc_map64_take(&shard->waiting, ticket);

    if (link != NULL) {
        on_judged(link, result);
    }
}

/* ---- hand-over ---- */

void noc_link_depart(struct noc_link *link)
{
    struct noc_shard *shard = link->shard;
    struct noc_home *home = link->connect->home;

    noc_list_remove(&link->link_in_shard);
    noc_list_remove(&link->dirty);
    noc_timer_stop(&shard->timers, &link->timer);
    shard->ops->detach(link);
    if (noc_mail_adopt(shard, home->worker, link, home) != NOC_OK) {
        /* No memory for the mail: the hand-over ends here, as if it had arrived. */
        (void)noc_directory_cancel_mt(shard->core->directory, home);
        noc_list_append(&shard->links, &link->link_in_shard);
        link->connect->home = NULL;
        link->state = NOC_LINK_AUTH;
        shard->ops->adopt(link);
        noc_link_end(link, NOC_END_MEMORY, NULL);
    }
}

void noc_link_arrive_from_afar(
    struct noc_shard *shard, struct noc_link *link, struct noc_home *home)
{
    assert(home->worker == shard->number);
    link->shard = shard;
    noc_list_append(&shard->links, &link->link_in_shard);
    link->state = NOC_LINK_AUTH;
    link->heard_ms = shard->now_ms;
    shard->ops->adopt(link);
    if (link->state != NOC_LINK_AUTH) {
        /* The glue has ended it. */
        (void)noc_directory_arrived_mt(
            shard->core->directory, home, noc_session_find(shard, home) != NULL);
        return;
    }
    if (link->out.bytes > 0) {
        noc_link_mark_dirty(link); /* the end of an AUTH */
    }
    noc_link_arrive(link);
    noc_link_feed_waiting(link);
}

/* ---- at home ---- */

/* Of two connections with one id the new one stays [MQTT-3.1.4-3]. */
static void take_over(struct noc_link *link, struct noc_session *session)
{
    struct noc_link *old = session->link;
    struct noc_shard *shard = link->shard;
    uint64_t now = shard->now_ms;

    noc_shard_count(shard, NOC_COUNT_TAKEN_OVER, 1);
    noc_shard_log(shard, NOC_LOG_NOTICE,
        "Session of client %.*s is taken over: %.*s:%u replaces %.*s:%u "
        "(connected for %lu s, silent for %lu s).",
        NOC_SLICE_ARG(noc_session_id(session)), NOC_SLICE_ARG(link->address), (unsigned)link->port,
        NOC_SLICE_ARG(old->address), (unsigned)old->port,
        (unsigned long)((now - old->connected_ms) / 1000),
        (unsigned long)((now - old->heard_ms) / 1000));
    noc_link_end(old, NOC_END_TAKEN_OVER, NULL);
}

static int keep_will(struct noc_link *link, struct noc_session *session)
{
    const struct noc_connect *view = &link->connect->view;
    const struct noc_will *will = &view->will;
    struct noc_slice mount = link->listener->mount_point;
    struct noc_message_parts parts = {.payload = will->payload,
        .qos = will->qos,
        .retain = will->retain,
        .expires_ms = NOC_NEVER_MS,
        .publisher_number = session->number};
    struct noc_message *message;
    char *text;
    size_t topic_n = mount.n + will->topic.n;

    noc_session_clear_will(session);
    if (!view->has_will) {
        return NOC_OK;
    }
    if (topic_n > UINT16_MAX) {
        return NOC_ETOOLARGE;
    }
    text = malloc(topic_n + will->props.raw.n + 1);
    if (text == NULL) {
        return NOC_ENOMEM;
    }
    if (mount.n > 0) {
        memcpy(text, mount.at, mount.n);
    }
    memcpy(text + mount.n, will->topic.at, will->topic.n);
    parts.topic = noc_slice(text, topic_n);
    parts.props = noc_slice(text + topic_n,
        will->props.raw.n == 0 ? 0
                               : noc_props_forward(will->props.raw, (uint8_t *)(text + topic_n)));
    message = noc_message_new(&parts);
    free(text);
    if (message == NULL) {
        return NOC_ENOMEM;
    }
    session->has_will = true;
    session->will = (struct noc_will_message){.message = message,
        .delay_s = will->props.will_delay_s,
        .expiry_s = will->props.message_expiry_s,
        .has_expiry = noc_props_has(&will->props, NOC_PROP_MESSAGE_EXPIRY)};
    return NOC_OK;
}

static int keep_username(struct noc_session *session, const struct noc_link *link)
{
    struct noc_slice name = link->username.at != NULL          ? link->username
                            : link->connect->view.has_username ? link->connect->view.username
                                                               : noc_slice(NULL, 0);
    char *copy = NULL;

    if (name.at != NULL) {
        copy = malloc(name.n + 1);
        if (copy == NULL) {
            return NOC_ENOMEM;
        }
        memcpy(copy, name.at, name.n);
        copy[name.n] = '\0';
    }
    free(session->username);
    session->username = copy;
    session->username_n = name.n;
    /* What the ACL said, it said of the old name. */
    free(session->memos);
    session->memos = NULL;
    return NOC_OK;
}

/* How long the session outlives its connection, by the rules of its version. */
static uint32_t expiry_of(const struct noc_connect *view)
{
    if (view->version == NOC_V5) {
        return view->props.session_expiry_s;
    }
    return view->clean_start ? 0 : NOC_NEVER_S;
}

/* What this connection may do, out of what the client wants and the listener allows. */
static void settle_limits(struct noc_link *link)
{
    const struct noc_limits *limits = &link->shard->core->limits;
    const struct noc_props *props = &link->connect->view.props;
    uint16_t window =
        limits->max_inflight_messages == 0 ? UINT16_MAX : limits->max_inflight_messages;

    link->receive_max = UINT16_MAX; /* before version 5 no client is told of a maximum */
    link->window_max = window;
    link->aliases_in_max = 0;
    if (link->version != NOC_V5) {
        return;
    }
    link->receive_max = window;
    if (noc_props_has(props, NOC_PROP_RECEIVE_MAXIMUM) && props->receive_maximum < window) {
        link->window_max = props->receive_maximum;
    }
    link->aliases_in_max = link->listener->max_topic_alias;
    link->aliases_out_max = props->topic_alias_maximum < link->listener->max_topic_alias_broker
                                ? props->topic_alias_maximum
                                : link->listener->max_topic_alias_broker;
}

static void log_connected(const struct noc_link *link)
{
    struct noc_shard *shard = link->shard;
    const struct noc_session *session = link->session;
    unsigned version = link->version;

    if (!shard->core->limits.connection_messages) {
        return;
    }
    if (shard->core->limits.compatibility == NOC_COMPAT_2_0 && version != NOC_V5) {
        version = version == NOC_V31 ? 1 : 2;
    }
    if (session->username != NULL) {
        noc_shard_log(shard, NOC_LOG_NOTICE,
            "New %s connected from %.*s:%u as %.*s (p%u, c%d, k%u, u'%.*s').",
            link->is_bridge ? "bridge" : "client", NOC_SLICE_ARG(link->address),
            (unsigned)link->port, NOC_SLICE_ARG(noc_session_id(session)), version,
            link->connect->view.clean_start, (unsigned)link->connect->view.keep_alive_s,
            NOC_SLICE_ARG(noc_slice(session->username, session->username_n)));
    } else {
        noc_shard_log(shard, NOC_LOG_NOTICE,
            "New %s connected from %.*s:%u as %.*s (p%u, c%d, k%u).",
            link->is_bridge ? "bridge" : "client", NOC_SLICE_ARG(link->address),
            (unsigned)link->port, NOC_SLICE_ARG(noc_session_id(session)), version,
            link->connect->view.clean_start, (unsigned)link->connect->view.keep_alive_s);
    }
}

static void log_will(const struct noc_link *link)
{
    const struct noc_connect *view = &link->connect->view;

    if (!view->has_will) {
        noc_shard_log(link->shard, NOC_LOG_DEBUG, "No will message specified.");
        return;
    }
    noc_shard_log(link->shard, NOC_LOG_DEBUG, "Will message specified (%lu bytes) (r%d, q%d).",
        (unsigned long)view->will.payload.n, view->will.retain, view->will.qos);
    noc_shard_log(link->shard, NOC_LOG_DEBUG, "\t%.*s", NOC_SLICE_ARG(view->will.topic));
}

/*
 * The CONNACK of a session that is new or has a will, or in whose place one ended, waits until that is stored: else
 * a crash could take back what the client was told. Without memory for the wait the link ends.
 */
static void close_gate(struct noc_link *link)
{
    struct noc_receipt *receipt = noc_receipt_new(link);

    if (receipt == NULL) {
        noc_link_end_soon(link);
        return;
    }
    noc_journal_await(link->shard, &receipt->here);
    noc_link_close_gate(link, receipt);
}

/* Join link and session. The session is new, or goes on. */
static void attach(
    struct noc_link *link, struct noc_session *session, bool session_present, bool must_wait)
{
    struct noc_shard *shard = link->shard;

    noc_timer_stop(&shard->timers, &session->timer);
    session->expires_ms = NOC_NEVER_MS;
    session->link = link;
    session->link_number = link->number;
    session->version = link->version;
    link->session = session;
    link->state = NOC_LINK_OPEN;
    noc_shard_count(shard, NOC_COUNT_CONNECTED, 1);
    noc_shard_count(shard, NOC_COUNT_CONNECTIONS, 1);
    noc_session_set_expiry(session, expiry_of(&link->connect->view));
    if (session_present) {
        noc_session_set_connected(session, true);
    }
    noc_journal_session(session, must_wait);
    settle_limits(link);
    log_connected(link);
    if (shard->ops->opened != NULL) {
        shard->ops->opened(link);
    }
    log_will(link);
    if (must_wait) {
        close_gate(link);
    }
    accept_client(link, session_present);
    free(link->connect);
    link->connect = NULL;
    if (link->state != NOC_LINK_OPEN) {
        return;
    }
    noc_timer_stop(&shard->timers, &link->timer);
    if (link->keepalive_s > 0) {
        noc_timer_set(
            &shard->timers, &link->timer, shard->now_ms + (uint64_t)link->keepalive_s * 1500);
    }
    noc_session_redeliver(session);
    noc_replay_wake(link);
}

/*
 * The session to go on with; NULL: memory is out. *ret_over: something that was stored is over, the
 * session or its will.
 */
static struct noc_session *session_for(struct noc_link *link, bool *ret_present, bool *ret_over)
{
    struct noc_shard *shard = link->shard;
    struct noc_home *home = link->connect->home;
    struct noc_session *session = noc_session_find(shard, home);

    if (session != NULL && session->link != NULL) {
        take_over(link, session);
        session = noc_session_find(shard, home);
    }
    if (session != NULL && (link->connect->view.clean_start || session->expiry_s == 0)) {
        *ret_over = session->durable != NULL && session->durable->is_written;
        noc_session_end(session); /* [MQTT-3.1.2-4]; or it was over, but for its will */
        session = NULL;
    }
    *ret_present = session != NULL;
    if (session == NULL) {
        return noc_session_new(shard, home);
    }
    if (session->has_will && session->will_due_ms <= shard->now_ms) {
        noc_session_fire_will(session); /* due, but another worker was behind */
    }
    *ret_over = session->has_will;
    noc_session_clear_will(session); /* its delay had not passed [MQTT-3.1.3-9] */
    return session;
}

/*
 * A client that drops its connection and comes back at once may have the old CONNECT judged
 * after the new one, on another worker. That alone is no reason to refuse it: a connection may
 * be older and its CONNECT the later one.
 */
static bool is_late(struct noc_link *link, const struct noc_session *session)
{
    const struct noc_shard_ops *ops = link->shard->ops;

    return session != NULL && link->number < session->link_number && ops->has_gone != NULL &&
           ops->has_gone(link);
}

/* The link comes to no session; the one its id may have goes on as it was. */
static void turn_back(struct noc_link *link, const struct noc_session *session)
{
    (void)noc_directory_arrived_mt(
        link->shard->core->directory, link->connect->home, session != NULL);
    link->connect->home = NULL;
}

void noc_link_arrive(struct noc_link *link)
{
    struct noc_shard *shard = link->shard;
    struct noc_home *home = link->connect->home;
    bool is_present = false, is_over = false, is_new, has_will;
    struct noc_session *session = noc_session_find(shard, home);

    if (is_late(link, session)) {
        turn_back(link, session);
        noc_link_end(link, NOC_END_PEER_CLOSED, "and has connected anew since");
        return;
    }
    if (shard->is_stopping) {
        /* It was let in before, on another worker. */
        turn_back(link, session);
        noc_link_refuse(link, NOC_RC_SERVER_UNAVAILABLE, NOC_END_REFUSED, "shutting down");
        return;
    }
    session = session_for(link, &is_present, &is_over);
    is_new = session != NULL && session->durable == NULL && expiry_of(&link->connect->view) > 0;
    has_will = link->connect->view.has_will && expiry_of(&link->connect->view) > 0;
    if (session != NULL) {
        session->listener = link->listener;
        if (keep_username(session, link) != NOC_OK || keep_will(link, session) != NOC_OK ||
            (is_new && noc_journal_open(session) != NOC_OK)) {
            if (!is_present) {
                noc_session_free(session);
            }
            session = NULL;
        }
    }
    link->connect->home = NULL;
    (void)noc_directory_arrived_mt(shard->core->directory, home, session != NULL || is_present);
    if (session == NULL) {
        noc_link_refuse(link, NOC_RC_QUOTA_EXCEEDED, NOC_END_MEMORY, NULL);
        return;
    }
    attach(link, session, is_present,
        shard->journal != NULL && (is_over || has_will || noc_journal_is_unknown(session)));
}
