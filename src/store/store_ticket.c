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
    held->next = store->held;
    store->held = held;
    ticket->held = held;
    return held;
}

static void make_ready(struct noc_store *store, struct noc_store_held *held)
{
    struct noc_store_held **place = &store->held;

    while (*place != held) {
        place = &(*place)->next;
    }
    *place = held->next;
    held->next = NULL;
    if (store->group.ready == NULL) {
        store->group.ready = held;
    } else {
        store->group.ready_last->next = held;
    }
    store->group.ready_last = held;
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
            make_ready(store, held);
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

static void forget_slot(struct noc_store_held *held, uint64_t slot)
{
    for (; held != NULL; held = held->next) {
        for (size_t i = 0; i < held->operations.count; i++) {
            struct noc_operation *operation = &held->operations.at[i];

            if (operation->kind != NOC_OP_RETAINED && operation->slot == slot) {
                operation->slot = 0; /* not applied */
            }
        }
    }
}

void noc_store_tickets_forget_slot(struct noc_store *store, uint64_t slot)
{
    forget_slot(store->held, slot);
    forget_slot(store->group.ready, slot);
}

void noc_store_held_free(struct noc_store_held *held)
{
    while (held != NULL) {
        struct noc_store_held *next = held->next;

        noc_operations_done(&held->operations);
        free(held);
        held = next;
    }
}
