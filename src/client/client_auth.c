/* SPDX-License-Identifier: Apache-2.0 */
/* Enhanced authentication (MQTT 5, 4.12), also anew on an open connection. */
#include "client/engine.h"

enum { AUTH_GAP = 17 }; /* At most so much stands in AUTH before its data, besides the method. */

int noc_engine_auth_step(
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
    return n > UINT16_MAX ? NOC_ETOOLARGE : NOC_OK;
}

size_t noc_engine_auth_size(const struct noc_client *client, struct noc_slice answer)
{
    return 3 + client->options->auth->method.n + (answer.n > 0 ? 3 + answer.n : 0);
}

uint8_t *noc_engine_put_auth_props(
    const struct noc_client *client, uint8_t *at, struct noc_slice answer)
{
    at = noc_prop_put_slice(at, NOC_PROP_AUTH_METHOD, client->options->auth->method);
    if (answer.n > 0) {
        *at = NOC_PROP_AUTH_DATA;
        at = noc_engine_put(at + 1, answer);
    }
    return at;
}

/* Append AUTH with the answer to data; nothing may wait in the output buffer. */
static int put_auth(struct noc_client *client, uint8_t reason, struct noc_slice data)
{
    struct noc_slice answer;
    uint8_t *at;
    size_t n;
    int err;

    noc_engine_pack(client);
    err = noc_engine_auth_step(client, data, AUTH_GAP, &answer);
    if (err != NOC_OK) {
        return err;
    }
    n = noc_engine_auth_size(client, answer);
    err = noc_engine_begin(client, NOC_AUTH << 4, 1 + noc_varint_size((uint32_t)n) + n, 0, &at);
    if (err == NOC_OK) {
        *at = reason;
        at = noc_varint_put(at + 1, (uint32_t)n);
        noc_engine_end(client, noc_engine_put_auth_props(client, at, answer));
    }
    return err;
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
    if (client->wants_out || client->out_at != client->out_end || noc_engine_is_in_pieces(client)) {
        return NOC_EAGAIN;
    }
    err = put_auth(client, NOC_RC_REAUTHENTICATE, noc_slice(NULL, 0));
    client->is_authenticating = err == NOC_OK;
    return err;
}

/* Is it the method that was asked for [MQTT-4.12.0-5]? */
static bool is_method(const struct noc_client *client, const struct noc_props *props)
{
    return noc_slice_equal(props->auth_method, client->options->auth->method);
}

int noc_engine_auth_finish(struct noc_client *client, const struct noc_props *props)
{
    const struct noc_client_auth *auth = client->options->auth;

    client->is_authenticating = false;
    if (auth == NULL ||
        (is_method(client, props) && auth->finish(auth->context, props->auth_data) == NOC_OK)) {
        return NOC_OK;
    }
    return noc_engine_fail(client, -NOC_CAUSE_AUTH, "authentication");
}

int noc_engine_take_auth(struct noc_client *client, struct noc_event *event)
{
    bool is_open = client->state == NOC_CLIENT_OPEN;
    int err;

    if (client->options->auth == NULL || is_open != client->is_authenticating ||
        !is_method(client, &event->props) || event->reason == NOC_RC_REAUTHENTICATE ||
        (event->reason == NOC_RC_SUCCESS && !is_open)) {
        return noc_engine_fail(client, NOC_RC_PROTOCOL_ERROR, "AUTH");
    }
    if (event->reason == NOC_RC_CONTINUE_AUTHENTICATION) {
        struct noc_slice data = event->props.auth_data;

        if (data.at == NULL) {
            data.at = ""; /* empty: absent would begin anew */
        }
        err = put_auth(client, event->reason, data);
        return err == NOC_OK ? NOC_STEP_ON
                             : noc_engine_fail(client, -NOC_CAUSE_AUTH, "authentication");
    }
    err = noc_engine_auth_finish(client, &event->props);
    return err == NOC_OK ? noc_engine_event(event, NOC_EVENT_AUTHENTICATED) : err;
}
