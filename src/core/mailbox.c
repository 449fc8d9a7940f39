/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Order. A producer pushes with one compare-and-exchange on "pushed", the
 * consumer takes the whole stack with one exchange. All of these are
 * read-modify-writes of one variable, so they form one release sequence: the
 * consumer's exchange synchronises with every push in the stack it takes, not
 * with the last one only. What is pushed before comes deeper in the stack or
 * in an earlier stack, hence is taken first.
 *
 * Sleep. Two flags, each side writes its own and then reads the other's:
 *
 *     producer                         consumer
 *     P1  push onto "pushed"           C1  is_asleep = true
 *     P2  read is_asleep               C2  read "pushed"
 *
 * All four are seq_cst, so there is one order of them all. If C2 comes before
 * P1 in it (the consumer does not see the mail and sleeps), C1 comes before P2,
 * so the producer reads true, or a later false that another producer put there
 * who then does the waking. With anything weaker each side may read the other's
 * old value, and the mail lies there with nobody awake.
 *
 * The water mark has the same shape: the asking worker sets its bit and then
 * reads the weight; the consumer lowers the weight and then reads the bits. Who
 * posts mail after asking need not read: the consumer reads the bits behind it.
 */
#include "core/mailbox.h"

#include <assert.h>

void noc_mailbox_init(struct noc_mailbox *box)
{
    atomic_init(&box->pushed, NULL);
    atomic_init(&box->weight, 0);
    atomic_init(&box->is_asleep, false);
    atomic_init(&box->waiting, 0);
    box->next = NULL;
}

bool noc_mailbox_post_mt(struct noc_mailbox *box, struct noc_mail *take_mail)
{
    struct noc_mail *newest = atomic_load_explicit(&box->pushed, memory_order_relaxed);

    /* Before the push: the consumer must not take off what was not yet added. */
    atomic_fetch_add_explicit(&box->weight, take_mail->weight, memory_order_relaxed);
    do {
        take_mail->next = newest;
    } while (!atomic_compare_exchange_weak_explicit(
        &box->pushed, &newest, take_mail, memory_order_seq_cst, memory_order_relaxed));
    /* The mail may be gone by now. The read keeps the common case free of a locked write. */
    return atomic_load_explicit(&box->is_asleep, memory_order_seq_cst) &&
           atomic_exchange_explicit(&box->is_asleep, false, memory_order_seq_cst);
}

static struct noc_mail *turn_round(struct noc_mail *newest)
{
    struct noc_mail *oldest = NULL;

    while (newest != NULL) {
        struct noc_mail *before = newest->next;

        newest->next = oldest;
        oldest = newest;
        newest = before;
    }
    return oldest;
}

struct noc_mail *noc_mailbox_take(struct noc_mailbox *box)
{
    struct noc_mail *mail;

    if (box->next == NULL && atomic_load_explicit(&box->pushed, memory_order_relaxed) != NULL) {
        box->next = turn_round(atomic_exchange_explicit(&box->pushed, NULL, memory_order_acq_rel));
    }
    mail = box->next;
    if (mail != NULL) {
        box->next = mail->next;
        mail->next = NULL;
    }
    return mail;
}

uint64_t noc_mailbox_drained(struct noc_mailbox *box, uint32_t weight)
{
    uint64_t before = atomic_fetch_sub_explicit(&box->weight, weight, memory_order_seq_cst);

    assert(before >= weight);
    return before - weight;
}

bool noc_mailbox_sleep(struct noc_mailbox *box)
{
    if (box->next != NULL) {
        return false;
    }
    atomic_store_explicit(&box->is_asleep, true, memory_order_seq_cst);
    if (atomic_load_explicit(&box->pushed, memory_order_seq_cst) != NULL) {
        /* A producer may have taken it back first; its wake-up then finds us awake. */
        noc_mailbox_wake(box);
        return false;
    }
    return true;
}

void noc_mailbox_wake(struct noc_mailbox *box)
{
    atomic_store_explicit(&box->is_asleep, false, memory_order_relaxed);
}

bool noc_mailbox_ask_mt(struct noc_mailbox *box, unsigned worker, uint64_t low)
{
    const uint_fast64_t bit = (uint_fast64_t)1 << worker;

    if (noc_mailbox_weight_mt(box) < low) {
        return false;
    }
    atomic_fetch_or_explicit(&box->waiting, bit, memory_order_seq_cst);
    if (atomic_load_explicit(&box->weight, memory_order_seq_cst) >= low) {
        return true;
    }
    /* If the consumer was quicker it tells us although we no longer wait: harmless. */
    atomic_fetch_and_explicit(&box->waiting, ~bit, memory_order_relaxed);
    return false;
}

uint64_t noc_mailbox_take_waiting(struct noc_mailbox *box)
{
    if (atomic_load_explicit(&box->waiting, memory_order_seq_cst) == 0) {
        return 0;
    }
    return atomic_exchange_explicit(&box->waiting, 0, memory_order_seq_cst);
}
