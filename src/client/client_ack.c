/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way of a message from the outbox to the server. The outbox's cursor is
 * moved over all that is there, once in each connection:
 *
 *   WAITING ──PUBLISH──► SENT ──PUBACK──────────► gone                      QoS 1
 *                        SENT ──PUBREC──► RELEASED (PUBREL) ──PUBCOMP──► gone   QoS 2
 *
 *   after a reconnect    session present              none
 *   SENT                 PUBLISH with dup             PUBLISH
 *   RELEASED             PUBREL                       gone: the server had taken it over
 *
 * Nothing is sent twice in one connection [MQTT-4.4.0-1].
 */
#include "client/engine.h"

enum { DUP = 8 };

int noc_engine_rewind(struct noc_client *client, bool is_anew)
{
    struct noc_outbox *box = noc_engine_box(client);

    client->inflight = 0;
    client->is_anew = is_anew;
    return box == NULL ? NOC_OK : box->ops->rewind(box, is_anew);
}

/* ---- out of the outbox ---- */

/* Why the item at the cursor can't be sent to this server; 0: it can, or else it is done already. */
static int judge(
    const struct noc_client *client, const struct noc_outbox_item *item, uint8_t *ret_reason)
{
    struct noc_outbox *box = noc_engine_box(client);
    uint8_t first = 0;
    int err;

    *ret_reason = NOC_RC_SUCCESS;
    if (item->state == NOC_OUTBOX_RELEASED || !noc_engine_is_v5(client)) {
        return NOC_OK;
    }
    err = box->ops->read(box, item, 0, &first, 1);
    if (err != NOC_OK) {
        return err;
    }
    if (item->size > client->server_packet_max) {
        *ret_reason = NOC_RC_PACKET_TOO_LARGE;
    } else if ((first >> 1 & 3) > client->server_qos_max) {
        *ret_reason = NOC_RC_QOS_NOT_SUPPORTED;
    } else if ((first & 1) != 0 && (client->server_lacks & NOC_LACKS_RETAIN) != 0) {
        *ret_reason = NOC_RC_RETAIN_NOT_SUPPORTED;
    }
    return NOC_OK;
}

int noc_engine_take_held(struct noc_client *client, struct noc_event *event)
{
    struct noc_outbox *box = noc_engine_box(client);
    struct noc_outbox_item item;
    uint8_t reason = 0;
    int err = box->ops->unsent(box, &item);

    client->is_held = false;
    if (err == NOC_OK) {
        err = judge(client, &item, &reason);
    }
    if (err == NOC_OK) {
        err = box->ops->remove(box, &item);
    }
    if (err != NOC_OK) {
        return noc_engine_close(client, NOC_CAUSE_OUTBOX, 0);
    }
    noc_engine_event(event, NOC_EVENT_PUBLISHED);
    event->packet_id = item.packet_id;
    event->reason = reason;
    return NOC_STEP_EVENT;
}

/* Copy the item at the cursor, or a part of it. Returns NOC_OK if it went as a whole. */
static int copy(struct noc_client *client, const struct noc_outbox_item *item)
{
    struct noc_outbox *box = noc_engine_box(client);
    uint32_t n = item->size - client->flow_at, room;
    uint8_t *at;
    int err;

    if (client->out_room - client->out_end < n) {
        noc_engine_pack(client);
    }
    room = client->out_room - client->out_end;
    if (room == 0 ||
        (client->flow_at == 0 && n > room && n <= client->out_room - client->out_base)) {
        return NOC_EAGAIN;
    }
    n = n < room ? n : room;
    at = client->out + client->out_end;
    err = box->ops->read(box, item, client->flow_at, at, n);
    if (err != NOC_OK) {
        return err;
    }
    if (client->flow_at == 0) {
        *at |= item->state == NOC_OUTBOX_SENT ? DUP : 0; /* [MQTT-3.3.1-1] */
        noc_engine_added(client, n);
    } else {
        client->out_end += n;
    }
    client->flow_at += n;
    return client->flow_at == item->size ? NOC_OK : NOC_EAGAIN;
}

/* Send the item at the cursor. NOC_OK: it went; NOC_EAGAIN: later; or an error. */
static int send(struct noc_client *client, const struct noc_outbox_item *item)
{
    uint8_t reason;
    int err;

    if (client->flow_at == 0) {
        if (item->state == NOC_OUTBOX_RELEASED && !client->is_anew) {
            return noc_engine_put_ack(client, NOC_PUBREL, item->packet_id, 0) ? NOC_OK : NOC_EAGAIN;
        }
        err = judge(client, item, &reason);
        if (err != NOC_OK) {
            return err;
        }
        if (item->state == NOC_OUTBOX_RELEASED || reason != 0) {
            client->is_held = true;
            return NOC_EAGAIN;
        }
        if (client->inflight >= client->inflight_max) {
            return NOC_EAGAIN;
        }
    }
    return copy(client, item);
}

void noc_engine_pump(struct noc_client *client)
{
    struct noc_outbox *box = noc_engine_box(client);
    struct noc_outbox_item item;
    int err = NOC_OK;

    if (box == NULL || client->state != NOC_CLIENT_OPEN || client->is_lost ||
        (client->is_publishing && !client->is_boxed)) {
        return;
    }
    while (err == NOC_OK && (client->flow_at > 0 || !client->wants_out)) {
        err = box->ops->unsent(box, &item);
        if (err == NOC_OK) {
            err = send(client, &item);
        }
        if (err == NOC_OK) {
            client->flow_at = 0;
            client->inflight++;
            err = box->ops->pass(box);
        }
    }
    if (err != NOC_OK && err != NOC_ENOENT && err != NOC_EAGAIN) {
        noc_engine_close(client, NOC_CAUSE_OUTBOX, 0);
    }
}

/* ---- acknowledgements ---- */

/* May that packet be the answer to what was sent of the item? NOC_OK, NOC_EPROTO, or of the outbox. */
static int check_ack(
    const struct noc_client *client, unsigned type, const struct noc_outbox_item *item)
{
    struct noc_outbox *box = noc_engine_box(client);
    struct noc_outbox_item at_cursor;
    uint8_t first = 2 << 1;
    int err = NOC_OK;

    if (client->inflight == 0 || item->state == NOC_OUTBOX_WAITING) {
        return NOC_EPROTO;
    }
    if (client->flow_at > 0) {
        err = box->ops->unsent(box, &at_cursor);
        if (err == NOC_OK && at_cursor.packet_id == item->packet_id) {
            return NOC_EPROTO; /* it is not even sent */
        }
    }
    if (err == NOC_OK && item->state == NOC_OUTBOX_SENT) {
        err = box->ops->read(box, item, 0, &first, 1);
    }
    if (err != NOC_OK) {
        return err;
    }
    if ((type == NOC_PUBACK) != ((first >> 1 & 3) == 1) ||
        (type == NOC_PUBCOMP && item->state != NOC_OUTBOX_RELEASED)) {
        return NOC_EPROTO;
    }
    return NOC_OK;
}

int noc_engine_take_ack(
    struct noc_client *client, unsigned type, const struct noc_slice *body, struct noc_event *event)
{
    struct noc_outbox *box = noc_engine_box(client);
    struct noc_outbox_item item;
    struct noc_fault fault;
    struct noc_ack ack;
    int err = noc_ack_decode(client->version, type, body, &ack, &fault);

    if (err < 0) {
        return noc_engine_fail_codec(client, err, fault.field);
    }
    err = box == NULL ? NOC_ENOENT : box->ops->find(box, ack.packet_id, &item);
    if (err == NOC_ENOENT) {
        if (type == NOC_PUBREC && ack.reason < 0x80) {
            noc_engine_put_ack(client, NOC_PUBREL, ack.packet_id, NOC_RC_PACKET_ID_NOT_FOUND);
        }
        return NOC_STEP_ON;
    }
    if (err == NOC_OK) {
        err = check_ack(client, type, &item);
    }
    if (err == NOC_EPROTO) {
        return noc_engine_fail(client, NOC_RC_PROTOCOL_ERROR, "acknowledgement");
    }
    if (err == NOC_OK && type == NOC_PUBREC && ack.reason < 0x80) {
        if (item.state != NOC_OUTBOX_RELEASED) {
            err = box->ops->release(box, &item);
        }
        if (err == NOC_OK) {
            noc_engine_put_ack(client, NOC_PUBREL, ack.packet_id, 0); /* [MQTT-4.3.3-4] */
            return NOC_STEP_ON;
        }
    } else if (err == NOC_OK) {
        err = box->ops->remove(box, &item);
    }
    if (err != NOC_OK) {
        return noc_engine_close(client, NOC_CAUSE_OUTBOX, 0);
    }
    client->inflight--;
    noc_engine_event(event, NOC_EVENT_PUBLISHED);
    event->packet_id = ack.packet_id;
    event->reason = ack.reason;
    if (NOC_WITH_V5) {
        event->props = ack.props;
    }
    return NOC_STEP_EVENT;
}
