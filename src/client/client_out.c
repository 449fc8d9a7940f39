/* SPDX-License-Identifier: Apache-2.0 */
/* The output buffer, and what is written to it right away: PUBLISH with QoS 0, small packets. */
#include "client/engine.h"

void noc_engine_pack(struct noc_client *client)
{
    uint32_t gap = client->out_at - client->out_base;

    if (client->out_at > client->out_base) {
        memmove(client->out + client->out_base, client->out + client->out_at,
            client->out_end - client->out_at);
        client->out_at -= gap;
        client->out_end -= gap;
        client->out_framed -= gap;
    }
}

/* Is a packet half written, so that nothing may be put behind it? */
static bool is_amid(const struct noc_client *client)
{
    return client->flow_at > 0 || (client->is_publishing && !client->is_boxed);
}

uint8_t *noc_engine_room(struct noc_client *client, size_t n)
{
    if (is_amid(client)) {
        return NULL;
    }
    if (client->out_room - client->out_end < n) {
        noc_engine_pack(client);
    }
    return client->out_room - client->out_end < n ? NULL : client->out + client->out_end;
}

void noc_engine_added(struct noc_client *client, size_t n)
{
    const struct noc_client_options *options = client->options;

    if (options->trace != NULL) {
        options->trace(options->context, true, client->out + client->out_end, n);
    }
    client->out_end += (uint32_t)n;
}

uint16_t noc_engine_packet_id(struct noc_client *client)
{
    const struct noc_outbox *box = noc_engine_box(client);
    uint16_t id = client->last_id == UINT16_MAX ? 1 : (uint16_t)(client->last_id + 1);

    /*
     * Identifiers are given out in a circle, and those in use lie between the oldest ones and
     * the last, so a new one can only meet the oldest [MQTT-2.2.1-3].
     */
    if (id == client->subscribe_id || id == client->publish_id ||
        (box != NULL && id == box->oldest_id)) {
        return 0;
    }
    client->last_id = id;
    return id;
}

bool noc_engine_put_ack(
    struct noc_client *client, unsigned type, uint16_t packet_id, uint8_t reason)
{
    size_t n = noc_engine_is_v5(client) && reason != 0 ? 5 : 4;
    uint8_t *at;

    if (client->is_lost || client->state != NOC_CLIENT_OPEN) {
        return true; /* nobody is there to hear it */
    }
    at = noc_engine_room(client, n);
    if (at == NULL) {
        client->wants_out = true;
        return false;
    }
    at[0] = (uint8_t)(type << 4 | (type == NOC_PUBREL ? 2u : 0u)); /* [MQTT-3.6.1-1] */
    at[1] = (uint8_t)(n - 2);
    noc_put_u16(at + 2, packet_id);
    if (n == 5) {
        at[4] = reason;
    }
    noc_engine_added(client, n);
    return true;
}

bool noc_engine_put_ping(struct noc_client *client)
{
    uint8_t *at = noc_engine_room(client, 2);

    if (at == NULL) {
        return false;
    }
    at[0] = NOC_PINGREQ << 4;
    at[1] = 0;
    noc_engine_added(client, 2);
    return true;
}

/* ---- packets of no great hurry ---- */

enum { HEAD_ROOM = 5 }; /* the longest fixed header */

bool noc_pen_begin(struct noc_pen *pen, struct noc_client *client)
{
    if (is_amid(client)) {
        return false;
    }
    noc_engine_pack(client);
    pen->client = client;
    pen->end = client->out + client->out_room;
    pen->at = client->out + client->out_end;
    pen->is_over = pen->end - pen->at < HEAD_ROOM;
    if (!pen->is_over) {
        pen->at += HEAD_ROOM;
    }
    return true;
}

int noc_pen_finish(struct noc_pen *pen, unsigned first_byte)
{
    struct noc_client *client = pen->client;
    uint8_t *start = client->out + client->out_end, *body = start + HEAD_ROOM, *at;
    size_t n;

    if (pen->is_over) {
        return client->out_end == client->out_base ? NOC_ETOOLARGE : NOC_EAGAIN;
    }
    n = (size_t)(pen->at - body);
    if (n > NOC_REMAINING_MAX || 1 + noc_varint_size((uint32_t)n) + n > client->server_packet_max) {
        return NOC_ETOOLARGE;
    }
    *start = (uint8_t)first_byte;
    at = noc_varint_put(start + 1, (uint32_t)n);
    memmove(at, body, n);
    noc_engine_added(client, (size_t)(at - start) + n);
    return NOC_OK;
}

void noc_pen_put(struct noc_pen *pen, const void *bytes, size_t n)
{
    if ((size_t)(pen->end - pen->at) < n) {
        pen->is_over = true;
    } else if (n > 0 && !pen->is_over) {
        memmove(pen->at, bytes, n);
        pen->at += n;
    }
}

void noc_pen_u8(struct noc_pen *pen, unsigned value)
{
    uint8_t byte = (uint8_t)value;

    noc_pen_put(pen, &byte, 1);
}

void noc_pen_u16(struct noc_pen *pen, unsigned value)
{
    noc_pen_u8(pen, value >> 8);
    noc_pen_u8(pen, value);
}

void noc_pen_varint(struct noc_pen *pen, size_t value)
{
    uint8_t bytes[4];

    if (value > NOC_REMAINING_MAX) {
        pen->is_over = true;
    } else {
        noc_pen_put(pen, bytes, (size_t)(noc_varint_put(bytes, (uint32_t)value) - bytes));
    }
}

void noc_pen_slice(struct noc_pen *pen, struct noc_slice value)
{
    if (value.n > UINT16_MAX) {
        pen->is_over = true;
    }
    noc_pen_u16(pen, (unsigned)value.n);
    noc_pen_put(pen, value.at, value.n);
}

void noc_pen_props(struct noc_pen *pen, struct noc_slice props)
{
    if (noc_engine_is_v5(pen->client)) {
        noc_pen_varint(pen, props.n);
        noc_pen_put(pen, props.at, props.n);
    }
}

int noc_client_disconnect(
    struct noc_client *client, uint8_t reason, struct noc_slice props, uint32_t now_ms)
{
    struct noc_pen pen;
    int err;

    client->now_ms = now_ms;
    if (client->state == NOC_CLIENT_IDLE || client->state == NOC_CLIENT_CLOSING) {
        return NOC_ECLOSED;
    }
    if (client->state != NOC_CLIENT_UPGRADING) {
        if (!noc_pen_begin(&pen, client)) {
            return NOC_EAGAIN;
        }
        if (noc_engine_is_v5(client) && (reason != 0 || props.n > 0)) {
            noc_pen_u8(&pen, reason);
            noc_pen_props(&pen, props);
        }
        err = noc_pen_finish(&pen, NOC_DISCONNECT << 4);
        if (err != NOC_OK) {
            return err;
        }
    }
    if (client->state == NOC_CLIENT_UPGRADING) {
        client->out_at = client->out_end = client->out_framed = client->out_base;
    }
    noc_engine_close(client, NOC_CAUSE_ASKED, 0);
    return NOC_OK;
}
