/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CORE_RECEIPT_H
#define NOC_CORE_RECEIPT_H
/*
 * Answers that wait until what they answer for can't be lost any more.
 *
 * A receipt is one such answer. It waits for parts, each of them with one worker: it
 * is released there when all that this worker has made of the packet is stored, or was
 * acknowledged by who it is for. A worker that has nothing to wait for releases it at once.
 *
 *   publisher's home         other workers
 *   receipt -- part here     (local entries, retained message, incoming message)
 *           -- part ------>  travels with the publication; released there, comes back by mail
 *
 * The answers of a link leave in the order in which their packets came, also those that wait
 * for nothing. All memory is the publisher's home's, so who releases needs none but the mail,
 * which is tried again.
 */

#include "base/list.h"
#include "core/shard.h"

struct noc_link;
struct noc_receipt;

/* With so many answers waiting nothing more is decoded of a link, until it is half of that. */
enum { NOC_RECEIPTS_MAX = 1024 };

/*
 * Copies of messages, over all workers, that are to be stored and are not yet: past these a link with more than
 * a few answers that wait is not read from either. One publication may be a copy for each of many sessions.
 */
enum { NOC_UNSTORED_MAX = 262144, NOC_RECEIPTS_FEW = 8 };

struct noc_part {
    struct noc_receipt *receipt;
    struct noc_part *next;    /* of those that wait for a batch, or for mail */
    struct noc_part *sibling; /* of the same receipt */
    uint32_t left;            /* what it waits for at the worker where it is */
    uint32_t home;            /* the receipt's worker */
    bool is_in_journal;       /* it waits for a batch already */
};

struct noc_receipt {
    struct noc_list in_link;  /* link->receipts, in the order of answering */
    struct noc_list in_shard; /* shard->receipts */
    struct noc_link *link;    /* NULL: it has ended, nobody is answered */
    struct noc_part here;     /* the part of its own worker */
    struct noc_part *others;  /* those of other workers, owned */
    uint32_t left;            /* parts */
    uint16_t packet_id;
    uint8_t type; /* of the answer; CONNACK: it stands in the output already, behind the gate */
    uint8_t reason;
    uint8_t *reasons; /* of SUBACK and UNSUBACK, owned */
    uint32_t reason_count;
};

/*
 * A receipt of the link whose packet is being worked off, with its part here held once. To be
 * handed to noc_link_answer_when_safe(), or thrown away. NULL: out of memory.
 */
struct noc_receipt *noc_receipt_new(struct noc_link *link);
void noc_receipt_throw_away(struct noc_receipt *receipt); /* NULL is fine */

/* A part for another worker, held once. NULL: out of memory. */
struct noc_part *noc_receipt_add_part(struct noc_receipt *receipt);

/* Wait for one thing more, and for one less. Part NULL: nothing. On the worker that has the part. */
void noc_part_hold(struct noc_part *part);
void noc_part_release(struct noc_shard *shard, struct noc_part *part);

/* A part has come home. */
void noc_part_returned(struct noc_shard *shard, struct noc_part *part);

/* Mail for the parts that found no memory for it. */
void noc_part_post_late(struct noc_shard *shard);

/*
 * Answer with an acknowledgement, or with reasons (SUBACK, UNSUBACK; copied): at once if receipt is
 * NULL or waits for nothing, and nothing before it does. Takes the receipt.
 */
void noc_link_acknowledge(struct noc_link *link, struct noc_receipt *receipt, unsigned type,
    uint16_t packet_id, uint8_t reason);
void noc_link_send_reasons(struct noc_link *link, struct noc_receipt *receipt, unsigned type,
    uint16_t packet_id, const uint8_t *reasons, unsigned count);

/* Close the gate in front of the link's output until the receipt is safe. Takes the receipt. */
void noc_link_close_gate(struct noc_link *link, struct noc_receipt *receipt);

/* The link ends: nobody waits for its answers. */
void noc_link_forget_receipts(struct noc_link *link);

/* All receipts of the shard go, whatever they wait for. No part is touched afterwards. */
void noc_receipts_done(struct noc_shard *shard);

#endif
