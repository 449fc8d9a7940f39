/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_BASE_LIST_H
#define NOC_BASE_LIST_H
/*
 * An intrusive doubly linked list with a head of its own:
 *
 *     head <-> first <-> ... <-> last <-> head
 *
 * A link that is in no list points to itself, so removal may be repeated and
 * "is it in a list" can be asked. Every operation is O(1).
 */

#include <stdbool.h>
#include <stddef.h>

struct noc_list {
    struct noc_list *next, *prev;
};

static inline void noc_list_init(struct noc_list *link)
{
    link->next = link->prev = link;
}

static inline bool noc_list_is_empty(const struct noc_list *head)
{
    return head->next == head;
}

/* Is the link in some list? */
static inline bool noc_list_is_linked(const struct noc_list *link)
{
    return link->next != link;
}

static inline void noc_list_insert_before(struct noc_list *place, struct noc_list *link)
{
    link->prev = place->prev;
    link->next = place;
    place->prev->next = link;
    place->prev = link;
}

static inline void noc_list_append(struct noc_list *head, struct noc_list *link)
{
    noc_list_insert_before(head, link);
}

static inline void noc_list_remove(struct noc_list *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    noc_list_init(link);
}

/* The first link, taken out, or NULL when the list is empty. */
static inline struct noc_list *noc_list_take(struct noc_list *head)
{
    struct noc_list *first = head->next;

    if (first == head) {
        return NULL;
    }
    head->next = first->next;
    first->next->prev = head;
    noc_list_init(first);
    return first;
}

/* Move all of from's links to the end of head's; from is empty afterwards. */
static inline void noc_list_join(struct noc_list *head, struct noc_list *from)
{
    if (noc_list_is_empty(from)) {
        return;
    }
    from->next->prev = head->prev;
    head->prev->next = from->next;
    from->prev->next = head;
    head->prev = from->prev;
    noc_list_init(from);
}

#endif
