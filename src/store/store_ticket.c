/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tickets: operations of several batches that count as one.
 *
 *   batch A: o o t t P --> A: o o . . .    held: t t
 *   batch B: o t o P   --> B: o . o .      held: t t t, all parts have come: ready
 *
 * What was moved leaves an operation of no kind behind, so moving may be broken off and repeated.
 */
#include "store/store_internal.h"

#include <stdlib.h>

static struct noc_store_held *held_of(struct noc_store *store, struct noc_ticket *ticket)
{
    struct noc_store_held *held = ticket->held;

    if (held != NULL) {
        return held;
    }
    held = calloc(1, sizeof(*held));
    if (held == NULL) {
        return NULL;
    }
    held->ticket = ticket;
    noc_list_init(&held->link);
    noc_list_append(&store->held, &held->link);
    ticket->held = held;
    return held;
}

static int gather(struct noc_store *store, struct noc_operation *operation)
{
    struct noc_ticket *ticket = operation->ticket;
    struct noc_store_held *held = held_of(store, ticket);
    struct noc_operation *place;

    if (held == NULL) {
        return NOC_ENOMEM;
    }
    if (operation->kind == NOC_OP_PART) {
        *operation = (struct noc_operation){.kind = 0};
        if (++ticket->have == ticket->parts) {
            noc_list_remove(&held->link);
            noc_list_append(&store->group.ready, &held->link);
        }
        return NOC_OK;
    }
    place = noc_operations_add(&held->operations, operation->kind);
    if (place == NULL) {
        return NOC_ENOMEM;
    }
    *place = *operation;
    *operation = (struct noc_operation){.kind = 0};
    return NOC_OK;
}

int noc_store_tickets_gather(struct noc_store *store, struct noc_operations *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        if (batch->at[i].ticket != NULL) {
            int err = gather(store, &batch->at[i]);

            if (err < 0) {
                return err;
            }
        }
    }
    return NOC_OK;
}

static void forget_slot(struct noc_list *list, uint64_t slot)
{
    for (struct noc_list *at = list->next; at != list; at = at->next) {
        struct noc_store_held *held = NOC_CONTAINER(at, struct noc_store_held, link);

        for (size_t i = 0; i < held->operations.count; i++) {
            struct noc_operation *operation = &held->operations.at[i];

            /* The end itself is applied again where a group is tried again. */
            if (operation->kind != NOC_OP_RETAINED && operation->kind != NOC_OP_SESSION_END &&
                operation->slot == slot) {
                operation->slot = 0; /* not applied */
            }
        }
    }
}

void noc_store_tickets_forget_slot(struct noc_store *store, uint64_t slot)
{
    forget_slot(&store->held, slot);
    forget_slot(&store->group.ready, slot);
}

void noc_store_held_done(struct noc_list *held)
{
    struct noc_list *link;

    while ((link = noc_list_take(held)) != NULL) {
        struct noc_store_held *gone = NOC_CONTAINER(link, struct noc_store_held, link);

        noc_operations_done(&gone->operations);
        free(gone);
    }
}
