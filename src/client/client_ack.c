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
 *   RELEASED             PUBREL                       PUBLISH
 *
 * Nothing is sent twice in one connection [MQTT-4.4.0-1]. A server that has lost the session may
 * have lost what it had answered with PUBREC, too: it need not hand a message on before PUBREL
 * (3.1.1, figure 4.3, method A). So that one begins anew as well; who had handed it on does so twice.
 */
#include "client/engine.h"

enum { DUP = 8 };

/* ---- out of the outbox ---- */

/* Can the item at the cursor not be sent to this server? */
static bool is_held(struct noc_client *client, const struct noc_outbox_item *item)
{
    unsigned first = item->first;

    if (item->size - 1 > client->server_packet_max - 1) {
        client->held_reason = NOC_RC_PACKET_TOO_LARGE;
    } else if ((first >> 1 & 3) + client->server_qos_less > 2) {
        client->held_reason = NOC_RC_QOS_NOT_SUPPORTED;
    } else if ((first & client->server_lacks & NOC_LACKS_RETAIN) != 0) {
        client->held_reason = NOC_RC_RETAIN_NOT_SUPPORTED;
    } else {
        return false;
    }
    client->is_held = true;
    return true;
}

int noc_engine_take_held(struct noc_client *client, struct noc_event *event)
{
    struct noc_outbox *box = noc_engine_box(client);
    struct noc_outbox_item item;

    client->is_held = false;
    if (box->ops->unsent(box, &item) != NOC_OK || box->ops->remove(box, &item) != NOC_OK) {
        return -NOC_CAUSE_OUTBOX;
    }
    event->packet_id = item.packet_id;
    event->reason = client->held_reason;
    return noc_engine_event(event, NOC_EVENT_PUBLISHED);
}

/* Copy the item at the cursor, or a part of it. NOC_OK: it went as a whole. */
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
    if (n > room) {
        /* In pieces goes only what never fits. */
        if (room == 0 || n <= client->out_room) {
            return NOC_EAGAIN;
        }
        n = room;
    }
    at = client->out + client->out_end;
    err = box->ops->read(box, item, client->flow_at, at, n);
    if (err != NOC_OK) {
        return err;
    }
    client->flow_id = item->packet_id;
    if (client->flow_at == 0) {
        *at |= item->state == NOC_OUTBOX_SENT ? DUP : 0; /* [MQTT-3.3.1-1] */
        noc_engine_trace(client, true, at, n);
    }
    client->out_end += n;
    client->flow_at += n;
    return client->flow_at == item->size ? NOC_OK : NOC_EAGAIN;
}

/* Send the item at the cursor. NOC_OK: it went; NOC_EAGAIN: later; or an error. */
static int send(struct noc_client *client, const struct noc_outbox_item *item)
{
    if (client->flow_at == 0) {
        if (item->state == NOC_OUTBOX_RELEASED) {
            return noc_engine_put_ack(client, NOC_PUBREL, item->packet_id, 0) ? NOC_OK : NOC_EAGAIN;
        }
        if ((noc_engine_is_v5(client) && is_held(client, item)) ||
            client->inflight >= client->inflight_max) {
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
        noc_engine_is_held(client) || client->publishing == NOC_PUBLISHING_OUT) {
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

/* May that packet be the answer to what was sent of the item? */
static bool is_answer(
    const struct noc_client *client, unsigned type, const struct noc_outbox_item *item)
{
    bool is_qos_1 = item->state != NOC_OUTBOX_RELEASED && (item->first >> 1 & 3) == 1;

    return client->inflight > 0 && item->state != NOC_OUTBOX_WAITING &&
           !(client->flow_at > 0 && client->flow_id == item->packet_id) &&
           is_qos_1 == (type == NOC_PUBACK) &&
           (type != NOC_PUBCOMP || item->state == NOC_OUTBOX_RELEASED);
}

int noc_engine_take_ack(struct noc_client *client, unsigned type, struct noc_event *event)
{
    struct noc_outbox *box = noc_engine_box(client);
    bool is_release = type == NOC_PUBREC && event->reason < 0x80;
    uint8_t reason = NOC_RC_SUCCESS;
    struct noc_outbox_item item;
    int err = box == NULL ? NOC_ENOENT : box->ops->find(box, event->packet_id, &item);

    if (err == NOC_OK) {
        if (!is_answer(client, type, &item)) {
            return noc_engine_fail(client, NOC_RC_PROTOCOL_ERROR, "acknowledgement");
        }
        if (!is_release) {
            err = box->ops->remove(box, &item);
            client->inflight--;
        } else if (item.state != NOC_OUTBOX_RELEASED) {
            err = box->ops->release(box, &item);
        }
        if (err == NOC_OK && !is_release) {
            if (type == NOC_PUBCOMP && event->reason == NOC_RC_PACKET_ID_NOT_FOUND) {
                event->reason = NOC_RC_SUCCESS; /* its PUBCOMP was lost: it is across, 4.3.3 */
            }
            return noc_engine_event(event, NOC_EVENT_PUBLISHED);
        }
    } else {
        reason = NOC_RC_PACKET_ID_NOT_FOUND; /* nobody knows it: say so, where that can be said */
    }
    if (err != NOC_OK && err != NOC_ENOENT) {
        return -NOC_CAUSE_OUTBOX;
    }
    if (is_release) {
        noc_engine_put_ack(client, NOC_PUBREL, event->packet_id, reason); /* [MQTT-4.3.3-4] */
    }
    return NOC_STEP_ON;
}
