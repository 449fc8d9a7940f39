/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CORE_MAILBOX_H
#define NOC_CORE_MAILBOX_H
/*
 * The mailbox of one worker: a first-in first-out queue with many producers
 * and one consumer, without locks. Producers push a batch with one atomic
 * exchange loop onto a stack; the consumer takes the whole stack with one
 * exchange and turns it round. So what was pushed before (on whichever thread)
 * is drained before.
 *
 * Sleep and wake-up: the consumer announces that it is going to sleep and then
 * looks once more; a producer that finds it asleep takes the announcement back
 * and must wake it (eventfd, or whatever the glue has). At most one wake-up is
 * under way at a time.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/macros.h"

/* What is queued: embedded in the batch that one worker has for another in one turn. */
struct noc_mail {
    struct noc_mail *next;
    uint32_t weight; /* what it counts towards the water marks, at least 1; see mail.h */
};

struct noc_mailbox {
    /* Any thread. */
    _Alignas(NOC_CACHE_LINE) _Atomic(struct noc_mail *) pushed; /* newest first */
    atomic_uint_fast64_t weight;                                /* pushed and not yet drained */
    atomic_bool is_asleep;
    atomic_uint_fast64_t waiting; /* bit per worker that asked to hear when it is below low water */

    /* Consumer only. */
    _Alignas(NOC_CACHE_LINE) struct noc_mail *next; /* taken over, oldest first */
};

void noc_mailbox_init(struct noc_mailbox *box);

/* Push; the mail is the mailbox's now. True: the caller must wake the consumer. Never waits. */
NOC_MUST_CHECK bool noc_mailbox_post_mt(struct noc_mailbox *box, struct noc_mail *take_mail);

/*
 * The oldest mail, or NULL when empty. Its weight counts until
 * noc_mailbox_drained() is told. Consumer only.
 */
struct noc_mail *noc_mailbox_take(struct noc_mailbox *box);

/* The mail's records have been worked off. Returns the weight that is left. Consumer only. */
uint64_t noc_mailbox_drained(struct noc_mailbox *box, uint32_t weight);

/*
 * About to sleep: false if there is mail after all (then don't). Afterwards
 * noc_mailbox_wake() takes the announcement back. Consumer only.
 */
NOC_MUST_CHECK bool noc_mailbox_sleep(struct noc_mailbox *box);
void noc_mailbox_wake(struct noc_mailbox *box);

/* What waits there by weight, for the water marks. */
static inline uint64_t noc_mailbox_weight_mt(const struct noc_mailbox *box)
{
    return atomic_load_explicit(&box->weight, memory_order_relaxed);
}

/*
 * Ask, as worker number, to be told when the weight is below low. False: it
 * is below already, nothing was asked. With low 0 it never is: for a worker that
 * is going to post something yet.
 */
NOC_MUST_CHECK bool noc_mailbox_ask_mt(struct noc_mailbox *box, unsigned worker, uint64_t low);

/* The workers that asked, one bit each; they are forgotten by this. Consumer only. */
uint64_t noc_mailbox_take_waiting(struct noc_mailbox *box);

#endif
