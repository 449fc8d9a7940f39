/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CORE_RECORD_H
#define NOC_CORE_RECORD_H
/*
 * What outlives the process, as core and store tell each other: records, which are what
 * there is, and operations, which change it.
 *
 *   journal (journal.h)  --- batches of operations --->  store (store/store.h)
 *   restore (restore.h)  <-- records, at the start ----
 *
 * A session is known by its slot: a number that is never given out while the
 * store has something under it. Times are on the process's monotonic
 * clock; what they are on the disk is the store's matter.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"
#include "core/message.h"
#include <noctule/error.h>
#include <noctule/slice.h>

/* Slots run from 1 to this, sequence numbers too: both fit one 64-bit key of the store. */
#define NOC_SLOT_MAX     ((UINT64_C(1) << 27) - 1)
#define NOC_SEQUENCE_MAX ((UINT64_C(1) << 36) - 1)

/* A session. Its texts are borrowed; in an operation they stand behind the record. */
struct noc_session_record {
    uint64_t slot;
    struct noc_slice client_id;
    struct noc_slice username; /* of the latest CONNECT; at NULL: none */
    uint8_t version;           /* of the latest CONNECT */
    bool is_connected;         /* when the record was made */
    uint16_t port;             /* of the latest connection's listener; 0: a unix socket */
    uint32_t expiry_s;         /* NOC_NEVER_S: does not expire */
    uint64_t expires_ms;       /* absent: when it ends; NOC_NEVER_MS: not by time, or connected */
    uint64_t sent;             /* absent: messages up to this sequence number were sent */
    struct noc_message *will;  /* NULL: none; counted by whoever holds the record */
    uint32_t will_delay_s;
    uint32_t will_expiry_s;
    bool will_has_expiry;
    uint64_t will_due_ms; /* absent: when the will is published; NOC_NEVER_MS */
};

/* One subscription of a session; its key is the pair of group and filter. */
struct noc_subscription_record {
    uint64_t slot;
    struct noc_slice group;  /* share name; at NULL: not shared */
    struct noc_slice filter; /* without $share, below the mount point */
    uint8_t options;         /* as in SUBSCRIBE: QoS, no local, retain as published, handling */
    uint32_t id;             /* subscription identifier; 0: none */
};

/* One message for a session. */
struct noc_outgoing_record {
    uint64_t slot, sequence;
    struct noc_message *message; /* NULL: its PUBREC has come, what is left is its PUBCOMP */
    const uint32_t *ids;         /* subscription identifiers, borrowed */
    uint32_t id_count;
    uint8_t qos;
    bool retain;
};

/* A message of QoS 2 that waits for its publisher's PUBREL. */
struct noc_incoming_record {
    uint64_t slot;
    uint16_t packet_id;
    struct noc_message *message;
};

/* A retained message. Of two with one topic that of the higher version counts. */
struct noc_retained_record {
    struct noc_message *message; /* an empty payload: there is none any more */
    uint64_t version;
};

enum noc_operation_kind {
    NOC_OP_SESSION = 1,      /* as.session: put, or replace, the record */
    NOC_OP_SESSION_END,      /* all there is of the slot goes */
    NOC_OP_SUBSCRIPTION,     /* as.subscription: put, or replace */
    NOC_OP_SUBSCRIPTION_END, /* as.subscription: its group and filter */
    NOC_OP_OUTGOING,         /* message, ids, ...: put under first */
    NOC_OP_OUTGOING_PUBREC, /* first: the message goes, its place stays; put when it is not there */
    NOC_OP_OUTGOING_END,    /* first to last: gone, as far as they are there */
    NOC_OP_INCOMING,        /* message: put under first, a packet id */
    NOC_OP_INCOMING_END,    /* first, a packet id */
    NOC_OP_RETAINED,        /* message: put, unless a version higher than first is there */
    NOC_OP_PART,            /* this worker's operations of the ticket are complete */
};

struct noc_operation {
    uint8_t kind; /* enum noc_operation_kind */
    uint8_t qos;  /* OUTGOING */
    bool retain;  /* OUTGOING */
    uint32_t id_count;
    uint64_t slot;               /* all but RETAINED */
    uint64_t first, last;        /* sequence numbers; a packet id; a version */
    struct noc_message *message; /* counted */
    struct noc_ticket *ticket;   /* NULL: none; see below */
    union {
        struct noc_session_record *session;           /* owned */
        struct noc_subscription_record *subscription; /* owned */
        uint32_t *ids;                                /* owned, when id_count > 1 */
        uint32_t id;                                  /* when id_count is 1 */
    } as;
};

/*
 * Operations that several workers give, each in its own batch, and that count as one: none is
 * applied before all parts are there, then all are in one transaction. The batches in which
 * the parts came are answered as if they held nothing of it: done() tells when it is applied.
 * Owned by who made it; it lives until done() has been called.
 */
struct noc_ticket {
    uint32_t parts;                          /* as many batches hold something of it; constant */
    uint32_t have;                           /* the store's */
    void *held;                              /* the store's: what has come */
    void (*done)(struct noc_ticket *ticket); /* on the store's thread, after the sync */
};

/* What one worker gives to the store at once: applied in order, committed whole. */
struct noc_operations {
    struct noc_operation *at;
    size_t count, room;
    size_t bytes;                /* of messages and texts, about */
    unsigned worker;             /* who is told when it is committed */
    void *context;               /* the worker's */
    struct noc_operations *next; /* the store's */
};

/* Room for n operations more, so that adding them can't fail. False: out of memory. */
bool noc_operations_reserve(struct noc_operations *operations, size_t n);

/* Append a zeroed operation; NULL: out of memory. */
struct noc_operation *noc_operations_add(struct noc_operations *operations, uint8_t kind);

/* The same with an OUTGOING of this record, whose message gets a reference more. NOC_ENOMEM. */
NOC_MUST_CHECK int noc_operations_add_outgoing(
    struct noc_operations *operations, const struct noc_outgoing_record *record);

/* Copies of records as operations own them: one block of memory each, free() ends it. NULL: out of memory. */
struct noc_session_record *noc_session_record_copy(const struct noc_session_record *record);
struct noc_subscription_record *noc_subscription_record_copy(
    const struct noc_subscription_record *record);

/* Give back all that the operations hold; the batch is empty then. */
void noc_operations_done(struct noc_operations *operations);

/* Subscription identifiers of an OUTGOING. */
static inline const uint32_t *noc_operation_ids(const struct noc_operation *operation)
{
    return operation->id_count > 1 ? operation->as.ids : &operation->as.id;
}

#endif
