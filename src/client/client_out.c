/* SPDX-License-Identifier: Apache-2.0 */
/* The output buffer, and small packets in it. */
#include "client/engine.h"

void noc_engine_pack(struct noc_client *client)
{
    uint32_t base = noc_engine_out_base(client), gap = client->out_at - base;

    if ((int32_t)gap > 0) {
        memmove(client->out + base, client->out + client->out_at, client->out_end - client->out_at);
        client->out_at = base;
        client->out_end -= gap;
        if (NOC_WITH_WEBSOCKET) {
            client->out_framed -= gap;
        }
    }
}

int noc_engine_begin(
    struct noc_client *client, unsigned first_byte, size_t n, size_t later, uint8_t **ret_at)
{
    bool is_boxed = NOC_WITH_QOS && first_byte >= (NOC_PUBLISH << 4 | 2) && first_byte < 0x40;
    uint8_t *at;
    size_t size;

    if (n > NOC_REMAINING_MAX) {
        return NOC_ETOOLARGE;
    }
    size = 1 + noc_varint_size((uint32_t)n) + n;
    /* An answer goes even to who announced less than that takes: it can't be left out. */
    if (noc_engine_is_v5(client) && size > NOC_ENGINE_ANSWER_MAX &&
        (uint32_t)size - 1 > client->server_packet_max - 1) {
        return NOC_ETOOLARGE;
    }
    size -= later;
    if (size > client->out_room) {
        return NOC_ETOOLARGE;
    }
    if (!is_boxed && noc_engine_is_in_pieces(client)) {
        return NOC_EAGAIN;
    }
    if (size > client->out_room - client->out_end) {
        noc_engine_pack(client);
        if (size > client->out_room - client->out_end) {
            return NOC_EAGAIN;
        }
    }
    at = client->out + client->out_end;
    *at = (uint8_t)first_byte;
    *ret_at = noc_varint_put(at + 1, (uint32_t)n);
    return NOC_OK;
}

uint8_t *noc_engine_put_raw(uint8_t *at, const void *bytes, size_t n)
{
    if (n > 0) {
        memmove(at, bytes, n); /* The answer of an authentication lies in the same buffer. */
    }
    return at + n;
}

uint8_t *noc_engine_put(uint8_t *at, struct noc_slice value)
{
    return noc_engine_put_raw(noc_put_u16(at, (uint16_t)value.n), value.at, value.n);
}

uint8_t *noc_engine_put_props(uint8_t *at, struct noc_slice props)
{
    return noc_engine_put_raw(noc_varint_put(at, (uint32_t)props.n), props.at, props.n);
}

size_t noc_engine_props_size(struct noc_slice props)
{
    /* Too many count as they are: noc_engine_begin() refuses them. */
    return props.n > NOC_REMAINING_MAX ? props.n : noc_varint_size((uint32_t)props.n) + props.n;
}

uint16_t noc_engine_packet_id(const struct noc_client *client)
{
    const struct noc_outbox *box = noc_engine_box(client);
    uint16_t id = (uint16_t)(client->last_id + 1);

    if (id == 0) {
        id = 1;
    }
    /*
     * Identifiers are given out in a circle, and those in use lie between the oldest ones and
     * the last, so a new one can only meet the oldest [MQTT-2.2.1-3].
     */
    if (id == client->subscribe_id || id == client->publish_id ||
        (box != NULL && id == box->oldest_id)) {
        return 0;
    }
    return id;
}

bool noc_engine_put_ack(
    struct noc_client *client, unsigned type, uint16_t packet_id, uint8_t reason)
{
    bool has_reason = noc_engine_is_v5(client) && reason != 0;
    unsigned flags = type == NOC_PUBREL ? 2 : 0; /* [MQTT-3.6.1-1] */
    uint8_t *at;

    if (client->is_lost || client->state != NOC_CLIENT_OPEN) {
        return true; /* nobody is there to hear it */
    }
    if (noc_engine_begin(client, type << 4 | flags, has_reason ? 3 : 2, 0, &at) != NOC_OK) {
        client->wants_out = true;
        return false;
    }
    at = noc_put_u16(at, packet_id);
    if (has_reason) {
        *at++ = reason;
    }
    noc_engine_end(client, at);
    return true;
}

int noc_engine_put_empty(struct noc_client *client, unsigned type)
{
    uint8_t *at;
    int err = noc_engine_begin(client, type << 4, 0, 0, &at);

    if (err == NOC_OK) {
        noc_engine_end(client, at);
    }
    return err;
}

int noc_client_disconnect(
    struct noc_client *client, uint8_t reason, struct noc_slice props, uint32_t now_ms)
{
    int err = NOC_OK;
    uint8_t *at;

    client->now_ms = now_ms;
    if (client->state == NOC_CLIENT_IDLE || client->state == NOC_CLIENT_CLOSING) {
        return NOC_ECLOSED;
    }
    if (NOC_WITH_WEBSOCKET && client->state == NOC_CLIENT_UPGRADING) {
        client->is_lost = true; /* nobody to say goodbye to */
    } else if (noc_engine_is_v5(client) && (reason != 0 || props.n > 0)) {
        err =
            noc_engine_begin(client, NOC_DISCONNECT << 4, 1 + noc_engine_props_size(props), 0, &at);
        if (err == NOC_OK) {
            *at = reason;
            noc_engine_end(client, noc_engine_put_props(at + 1, props));
        }
    } else {
        err = noc_engine_put_empty(client, NOC_DISCONNECT);
    }
    if (err == NOC_OK) {
        noc_engine_close(client, NOC_CAUSE_ASKED, 0);
    }
    return err;
}
