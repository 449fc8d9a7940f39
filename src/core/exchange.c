/* SPDX-License-Identifier: Apache-2.0 */
#include "core/exchange.h"

#include <stdlib.h>
#include <string.h>

#include "core/link.h"

bool noc_exchange_is_waiting(const struct noc_link *link)
{
    return link->state == NOC_LINK_AUTH && link->exchange != NULL && link->exchange->is_waiting;
}

static struct noc_slice method_of(const struct noc_exchange *exchange)
{
    return noc_slice(exchange->method, exchange->method_n);
}

static void drop_data(struct noc_exchange *exchange)
{
    free(exchange->data);
    exchange->data = NULL;
    exchange->data_n = 0;
}

void noc_exchange_free(struct noc_exchange *exchange)
{
    if (exchange != NULL) {
        drop_data(exchange);
        free(exchange);
    }
}

uint8_t *noc_exchange_put_props(struct noc_link *link, uint8_t *at)
{
    struct noc_exchange *exchange = link->exchange;

    if (exchange == NULL) {
        return at;
    }
    at = noc_prop_put_slice(at, NOC_PROP_AUTH_METHOD, method_of(exchange));
    if (exchange->data_n > 0) {
        at =
            noc_prop_put_slice(at, NOC_PROP_AUTH_DATA, noc_slice(exchange->data, exchange->data_n));
        drop_data(exchange);
    }
    return at;
}

static void send_auth(struct noc_link *link, uint8_t reason)
{
    uint8_t props[NOC_AUTH_METHOD_MAX + NOC_AUTH_DATA_MAX + 6];
    uint8_t packet[sizeof props + 8];
    size_t n = (size_t)(noc_exchange_put_props(link, props) - props);

    noc_shard_log(link->shard, NOC_LOG_DEBUG, "Sending AUTH to %.*s (rc%d, %.*s)",
        NOC_SLICE_ARG(noc_link_name(link)), reason, NOC_SLICE_ARG(method_of(link->exchange)));
    n = noc_auth_encode(reason, noc_slice(props, n), packet, sizeof packet);
    noc_link_send(link, packet, n);
}

/* The method's word on what the client sent, before the CONNACK. */
static void judged_at_connect(struct noc_link *link, int result)
{
    switch (result) {
    case NOC_EAGAIN:
        link->exchange->is_waiting = true;
        send_auth(link, NOC_RC_CONTINUE_AUTHENTICATION); /* [MQTT-4.12.0-2] */
        return;
    case NOC_ENOTSUP:
        noc_link_refuse(link, NOC_RC_BAD_AUTHENTICATION_METHOD, NOC_END_REFUSED,
            "authentication method not known"); /* [MQTT-4.12.0-1] */
        return;
    case NOC_ENOMEM:
        noc_link_end(link, NOC_END_MEMORY, NULL);
        return;
    default:
        noc_link_judged(link, result); /* [MQTT-4.12.0-4] */
    }
}

/* The same on an open connection. */
static void judged_again(struct noc_link *link, int result)
{
    switch (result) {
    case NOC_EAGAIN:
        link->exchange->is_waiting = true;
        send_auth(link, NOC_RC_CONTINUE_AUTHENTICATION);
        return;
    case NOC_OK:
        send_auth(link, NOC_RC_SUCCESS);
        return;
    case NOC_ENOMEM:
        noc_link_end(link, NOC_END_MEMORY, NULL);
        return;
    default:
        noc_link_end(link, NOC_END_NOT_AUTHORISED, NULL); /* [MQTT-4.12.1-2] */
    }
}

/* Ask the method. What it has to say is kept: the CONNACK may come from another worker. */
static int ask(struct noc_link *link, struct noc_slice data, bool is_first)
{
    struct noc_exchange *exchange = link->exchange;
    const struct noc_exchange_step step = {
        .method = method_of(exchange), .data = data, .is_first = is_first};
    uint8_t reply[NOC_AUTH_DATA_MAX];
    size_t n = 0;
    int result = link->shard->ops->exchange(link, &step, reply, &n);

    if ((result == NOC_OK || result == NOC_EAGAIN) && n > 0) {
        exchange->data = malloc(n);
        if (exchange->data == NULL) {
            return NOC_ENOMEM;
        }
        memcpy(exchange->data, reply, n);
        exchange->data_n = n;
    }
    return result;
}

static void step(struct noc_link *link, struct noc_slice data, bool is_first)
{
    int result;

    link->exchange->is_waiting = false;
    result = ask(link, data, is_first);
    if (link->state == NOC_LINK_OPEN) {
        judged_again(link, result);
    } else {
        judged_at_connect(link, result);
    }
}

void noc_exchange_on_connect(struct noc_link *link)
{
    const struct noc_props *props = &link->connect->view.props;
    struct noc_slice method = props->auth_method;

    link->state = NOC_LINK_AUTH;
    if (method.n > NOC_AUTH_METHOD_MAX) {
        judged_at_connect(link, NOC_ENOTSUP);
        return;
    }
    link->exchange = calloc(1, sizeof *link->exchange + method.n);
    if (link->exchange == NULL) {
        judged_at_connect(link, NOC_ENOMEM);
        return;
    }
    link->exchange->method_n = method.n;
    if (method.n > 0) {
        memcpy(link->exchange->method, method.at, method.n);
    }
    step(link, props->auth_data, true);
}

/* May the client say this now? NULL: yes; else what is wrong. */
static const char *out_of_place(const struct noc_link *link, const struct noc_disconnect *auth)
{
    const struct noc_exchange *exchange = link->exchange;
    bool is_first = auth->reason == NOC_RC_REAUTHENTICATE;

    if (exchange == NULL) {
        return "AUTH without a method in CONNECT"; /* [MQTT-4.12.0-7] */
    }
    if (!noc_slice_equal(auth->props.auth_method, method_of(exchange))) {
        return "authentication method"; /* [MQTT-4.12.0-5], [MQTT-4.12.1-1] */
    }
    if (is_first ? exchange->is_waiting
                 : !exchange->is_waiting || auth->reason != NOC_RC_CONTINUE_AUTHENTICATION) {
        return "reason code"; /* out of turn, or a server's [MQTT-4.12.0-3] */
    }
    return NULL;
}

void noc_exchange_on_auth(struct noc_link *link, struct noc_slice body)
{
    struct noc_disconnect auth = {0};
    struct noc_fault fault = {0};
    int err = link->version == NOC_V5
                  ? noc_auth_decode((const uint8_t *)body.at, body.n, &auth, &fault)
                  : NOC_EPROTO;

    if (err == NOC_OK) {
        fault.field = out_of_place(link, &auth);
        err = fault.field == NULL ? NOC_OK : NOC_EPROTO;
    }
    if (err != NOC_OK) {
        noc_link_break_by(link, err, &fault);
        return;
    }
    noc_shard_log(link->shard, NOC_LOG_DEBUG, "Received AUTH from %.*s (rc%d, %.*s)",
        NOC_SLICE_ARG(noc_link_name(link)), auth.reason, NOC_SLICE_ARG(method_of(link->exchange)));
    step(link, auth.props.auth_data, auth.reason == NOC_RC_REAUTHENTICATE);
}
