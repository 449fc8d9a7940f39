/* SPDX-License-Identifier: Apache-2.0 */
#include "core/receipt.h"

#include <stdlib.h>
#include <string.h>

#include "core/link.h"
#include "core/mail.h"
#include "core/replay.h"

/* ---- receipts and their parts ---- */

struct noc_receipt *noc_receipt_new(struct noc_link *link)
{
    struct noc_shard *shard = link->shard;
    struct noc_receipt *receipt = malloc(sizeof *receipt);

    if (receipt == NULL) {
        return NULL;
    }
    *receipt = (struct noc_receipt){.link = link, .left = 1};
    receipt->here = (struct noc_part){.receipt = receipt, .left = 1, .home = shard->number};
    noc_list_init(&receipt->in_link);
    noc_list_append(&shard->receipts, &receipt->in_shard);
    return receipt;
}

static void receipt_free(struct noc_receipt *receipt)
{
    struct noc_part *part = receipt->others;

    while (part != NULL) {
        struct noc_part *next = part->sibling;

        free(part);
        part = next;
    }
    noc_list_remove(&receipt->in_link);
    noc_list_remove(&receipt->in_shard);
    free(receipt->reasons);
    free(receipt);
}

void noc_receipt_throw_away(struct noc_receipt *receipt)
{
    if (receipt != NULL) {
        struct noc_shard *shard = receipt->link->shard;

        receipt->link = NULL;
        noc_part_release(shard, &receipt->here);
    }
}

void noc_receipts_done(struct noc_shard *shard)
{
    while (!noc_list_is_empty(&shard->receipts)) {
        receipt_free(NOC_CONTAINER(shard->receipts.next, struct noc_receipt, in_shard));
    }
    shard->late_parts = NULL;
}

struct noc_part *noc_receipt_add_part(struct noc_receipt *receipt)
{
    struct noc_part *part = malloc(sizeof *part);

    if (part == NULL) {
        return NULL;
    }
    *part = (struct noc_part){
        .receipt = receipt, .left = 1, .home = receipt->here.home, .sibling = receipt->others};
    receipt->others = part;
    receipt->left++;
    return part;
}

void noc_part_hold(struct noc_part *part)
{
    if (part != NULL) {
        part->left++;
    }
}

void noc_part_release(struct noc_shard *shard, struct noc_part *part)
{
    if (part == NULL || shard->is_done || --part->left > 0) {
        return;
    }
    if (part->home == shard->number) {
        noc_part_returned(shard, part);
    } else if (noc_mail_part(shard, part) != NOC_OK) {
        part->next = shard->late_parts;
        shard->late_parts = part;
    }
}

void noc_part_post_late(struct noc_shard *shard)
{
    while (shard->late_parts != NULL) {
        struct noc_part *next = shard->late_parts->next;

        if (noc_mail_part(shard, shard->late_parts) != NOC_OK) {
            return;
        }
        shard->late_parts = next;
    }
}

/* ---- answering ---- */

static void send_acknowledgement(
    struct noc_link *link, unsigned type, uint16_t packet_id, uint8_t reason)
{
    uint8_t packet[8];

    if (noc_shard_logs(link->shard, NOC_LOG_DEBUG)) {
        /* A PUBCOMP without its reason, as Mosquitto has it. */
        noc_shard_log(link->shard, NOC_LOG_DEBUG,
            type == NOC_PUBCOMP ? "Sending %s to %.*s (m%d)" : "Sending %s to %.*s (m%d, rc%d)",
            type == NOC_PUBACK   ? "PUBACK"
            : type == NOC_PUBREC ? "PUBREC"
                                 : "PUBCOMP",
            NOC_SLICE_ARG(noc_link_name(link)), packet_id, reason);
    }
    noc_link_send(link, packet,
        noc_ack_encode(link->version, type, packet_id, reason, packet, sizeof packet));
}

static void send_reasons(struct noc_link *link, unsigned type, uint16_t packet_id,
    const uint8_t *reasons, unsigned count)
{
    struct noc_shard *shard = link->shard;
    size_t room = count + 16u, n;
    uint8_t *at = noc_outq_reserve(&link->out, &shard->blocks, room);

    if (at == NULL) {
        noc_link_end_soon(link);
        return;
    }
    n = noc_suback_encode(link->version, type, packet_id, noc_slice(reasons, count), at, room);
    if (!noc_link_takes(link, n)) {
        link->is_answer_too_large = true;
        noc_link_end_soon(link);
        return;
    }
    noc_link_commit_answer(link, n);
    noc_shard_log(shard, NOC_LOG_DEBUG, "Sending %s to %.*s",
        type == NOC_SUBACK ? "SUBACK" : "UNSUBACK", NOC_SLICE_ARG(noc_link_name(link)));
}

/* It is safe and the first in its link. */
static void answer(struct noc_link *link, const struct noc_receipt *receipt)
{
    if (receipt->reasons != NULL) {
        send_reasons(
            link, receipt->type, receipt->packet_id, receipt->reasons, receipt->reason_count);
        link->reasons_waiting--;
        noc_replay_wake(link);
    } else {
        send_acknowledgement(link, receipt->type, receipt->packet_id, receipt->reason);
    }
}

/* Send what is safe, from the first on. */
static void answer_in_turn(struct noc_link *link)
{
    while (!noc_list_is_empty(&link->receipts)) {
        struct noc_receipt *first = NOC_CONTAINER(link->receipts.next, struct noc_receipt, in_link);

        if (first->left > 0) {
            return;
        }
        link->receipt_count--;
        answer(link, first);
        receipt_free(first);
    }
}

static void open_gate(struct noc_link *link)
{
    link->is_gated = false;
    if (link->out.bytes > 0) {
        noc_link_mark_dirty(link);
    }
}

void noc_part_returned(struct noc_shard *shard, struct noc_part *part)
{
    struct noc_receipt *receipt = part->receipt;
    struct noc_link *link = receipt->link;

    if (--receipt->left > 0) {
        return;
    }
    if (link == NULL) {
        receipt_free(receipt);
    } else if (receipt->type == NOC_CONNACK) {
        open_gate(link);
        receipt_free(receipt);
    } else {
        answer_in_turn(link);
        noc_link_go_on_after_receipts(link);
    }
}

/* Put it behind those that wait; then its own worker has nothing more to add to it. */
static void enter(struct noc_link *link, struct noc_receipt *receipt)
{
    noc_list_append(&link->receipts, &receipt->in_link);
    link->receipt_count++;
    noc_part_release(link->shard, &receipt->here);
}

/* A receipt for an answer that waits only for its turn; false: it need not wait, or can't. */
static bool must_queue(struct noc_link *link, struct noc_receipt **receipt)
{
    if (*receipt == NULL && noc_list_is_empty(&link->receipts)) {
        return false;
    }
    if (*receipt == NULL) {
        *receipt = noc_receipt_new(link);
        if (*receipt == NULL) {
            noc_link_end_soon(link);
            return false;
        }
    }
    return true;
}

void noc_link_acknowledge(struct noc_link *link, struct noc_receipt *receipt, unsigned type,
    uint16_t packet_id, uint8_t reason)
{
    if (!must_queue(link, &receipt)) {
        send_acknowledgement(link, type, packet_id, reason);
        return;
    }
    receipt->type = (uint8_t)type;
    receipt->packet_id = packet_id;
    receipt->reason = reason;
    enter(link, receipt);
}

void noc_link_send_reasons(struct noc_link *link, struct noc_receipt *receipt, unsigned type,
    uint16_t packet_id, const uint8_t *reasons, unsigned count)
{
    if (!must_queue(link, &receipt)) {
        send_reasons(link, type, packet_id, reasons, count);
        return;
    }
    receipt->reasons = malloc(count);
    if (receipt->reasons == NULL) {
        noc_receipt_throw_away(receipt);
        noc_link_end_soon(link);
        return;
    }
    memcpy(receipt->reasons, reasons, count);
    receipt->reason_count = count;
    link->reasons_waiting++;
    receipt->type = (uint8_t)type;
    receipt->packet_id = packet_id;
    enter(link, receipt);
}

void noc_link_close_gate(struct noc_link *link, struct noc_receipt *receipt)
{
    receipt->type = NOC_CONNACK;
    link->is_gated = true;
    noc_list_append(&link->gates, &receipt->in_link);
    noc_part_release(link->shard, &receipt->here);
}

static void forget(struct noc_list *receipts)
{
    struct noc_list *at;

    while ((at = noc_list_take(receipts)) != NULL) {
        struct noc_receipt *receipt = NOC_CONTAINER(at, struct noc_receipt, in_link);

        receipt->link = NULL;
        if (receipt->left == 0) {
            receipt_free(receipt);
        }
    }
}

void noc_link_forget_receipts(struct noc_link *link)
{
    forget(&link->receipts);
    forget(&link->gates);
    link->receipt_count = 0;
}
