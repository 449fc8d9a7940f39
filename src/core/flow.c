/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The QoS 1 and 2 flows of outgoing messages (MQTT 5 section 4.3): what a
 * client's acknowledgement does to its place in the window.
 *
 *   WAIT_PUBACK --PUBACK--> DONE
 *   WAIT_PUBREC --PUBREC--> WAIT_PUBCOMP --PUBCOMP--> DONE
 *               --PUBREC with an error---------------> DONE
 *
 * Of a session that is kept the PUBREC is stored before the PUBREL is sent (journal.h):
 * WAIT_RECORD and RECORDING stand in between.
 */
#include "core/deliver.h"
#include "core/journal.h"
#include "core/link.h"
#include "core/replay.h"

/* The entry of a packet id, or NULL. */
static struct noc_outgoing *find(const struct noc_session *session, uint16_t packet_id)
{
    const struct noc_ring *window = &session->window;
    uint64_t first;
    uint32_t at;

    if (window->count == 0 || packet_id == 0) {
        return NULL;
    }
    /* The one sequence number with this id, from the head's on. */
    first = noc_ring_at(window, 0)->sequence;
    first += (packet_id + 65535u - noc_packet_id(first)) % 65535u;
    at = noc_ring_find(window, first);
    return at == window->count || noc_ring_at(window, at)->sequence != first
               ? NULL
               : noc_ring_at(window, at);
}

/* The flow is over: the window has room for the next one. */
static void complete(struct noc_link *link, struct noc_outgoing *entry)
{
    noc_session_complete(link->session, entry);
    noc_session_pump(link->session);
    noc_replay_wake(link);
}

static void send_pubrel(struct noc_link *link, uint16_t packet_id, uint8_t reason)
{
    uint8_t packet[8];

    noc_shard_log(link->shard, NOC_LOG_DEBUG, "Sending PUBREL to %.*s (m%d)",
        NOC_SLICE_ARG(noc_link_name(link)), packet_id);
    noc_link_send(link, packet,
        noc_ack_encode(link->version, NOC_PUBREL, packet_id, reason, packet, sizeof packet));
}

static void on_pubrec(struct noc_link *link, struct noc_outgoing *entry, const struct noc_ack *ack)
{
    if (entry == NULL || entry->state < NOC_OUT_WAIT_PUBREC) {
        send_pubrel(link, ack->packet_id, NOC_RC_PACKET_ID_NOT_FOUND);
        return;
    }
    if (entry->state == NOC_OUT_WAIT_PUBREC) {
        if (ack->reason >= NOC_RC_UNSPECIFIED) {
            complete(link, entry); /* [MQTT-4.3.3-4] */
            return;
        }
        noc_session_sent_again(link->session, entry); /* never sent again [MQTT-4.3.3-6] */
        noc_outgoing_done(entry);
        entry->state = NOC_OUT_WAIT_PUBCOMP;
        noc_journal_received(link->session, entry);
    }
    if (entry->state == NOC_OUT_WAIT_PUBCOMP) { /* else the store must know first */
        noc_flow_release(link, entry);
    }
}

void noc_flow_release(struct noc_link *link, const struct noc_outgoing *entry)
{
    send_pubrel(link, noc_packet_id(entry->sequence), NOC_RC_SUCCESS);
}

static void unexpected(struct noc_link *link, const char *what, uint16_t packet_id)
{
    noc_shard_log(link->shard, NOC_LOG_WARNING,
        "Warning: Received %s from %.*s for an unknown packet identifier %u.", what,
        NOC_SLICE_ARG(noc_link_name(link)), (unsigned)packet_id);
}

void noc_link_on_ack(struct noc_link *link, unsigned type, struct noc_slice body)
{
    static const char *const names[] = {"PUBACK", "PUBREC", "PUBREL", "PUBCOMP"};
    struct noc_fault fault = {0};
    struct noc_outgoing *entry;
    struct noc_ack ack;
    int err = noc_ack_decode(link->version, type, &body, &ack, &fault);

    if (err != NOC_OK) {
        noc_link_break_by(link, err, &fault);
        return;
    }
    if (noc_shard_logs(link->shard, NOC_LOG_DEBUG)) {
        /* Mosquitto tells the reason of what ends a flow. */
        noc_shard_log(link->shard, NOC_LOG_DEBUG,
            type == NOC_PUBACK || type == NOC_PUBCOMP ? "Received %s from %.*s (Mid: %d, RC:%d)"
                                                      : "Received %s from %.*s (Mid: %d)",
            names[type - NOC_PUBACK], NOC_SLICE_ARG(noc_link_name(link)), ack.packet_id,
            ack.reason);
    }
    if (type == NOC_PUBREL) {
        noc_link_on_pubrel(link, &ack);
        return;
    }
    entry = find(link->session, ack.packet_id);
    if (type == NOC_PUBREC) {
        on_pubrec(link, entry, &ack);
    } else if (entry != NULL &&
               entry->state == (type == NOC_PUBACK ? NOC_OUT_WAIT_PUBACK : NOC_OUT_WAIT_PUBCOMP)) {
        complete(link, entry);
    } else {
        unexpected(link, names[type - NOC_PUBACK], ack.packet_id);
    }
}
