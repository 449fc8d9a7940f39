/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CORE_MAIL_H
#define NOC_CORE_MAIL_H
/*
 * What travels between shards. All that a shard has for another in one turn is
 * one batch: a run of records in the order in which they were written.
 *
 *   batch: mail | record | record | record ...        posted once, at settle
 *
 * A small message that nobody has built yet travels inside its record, copied;
 * a larger one, or one that is built already, as a counted reference. Threads
 * that are not workers post batches of one call record.
 *
 * Weight. A record counts one for each KiB begun, the nodes it names and the
 * message it refers to included. So what a mailbox holds is at most twice its
 * weight in KiB (batches grow by doubling), and no more records than that. Who
 * feeds a worker looks after each packet at what is posted to it and what this
 * turn's batch has for it, and waits when that is past the mark. So the mark
 * is passed by one packet of each connection, and where several workers bring
 * much within one turn by what each brings up to the mark.
 */

#include "core/shard.h"

enum noc_record_kind {
    NOC_RECORD_PUBLISH = 1, /* deliver to your subscriptions on these nodes */
    NOC_RECORD_SHARED,      /* deliver to this member of this share group */
    NOC_RECORD_ADOPT,       /* a link comes to you */
    NOC_RECORD_RETIRE,      /* a node or group that no later mail names */
    NOC_RECORD_RESUME,      /* my mailbox is below low water again */
    NOC_RECORD_PART,        /* a part of a receipt of yours is released */
    NOC_RECORD_CALL,        /* run this */
};

struct noc_batch {
    struct noc_mail mail;
    unsigned from;       /* worker, or NOC_WORKERS_MAX */
    uint32_t used, room; /* bytes of data */
    _Alignas(8) uint8_t data[];
};

/* A message on its way: built, or its parts behind the record. */
struct noc_record_message {
    struct noc_message *message; /* counted; NULL: the parts follow */
    struct noc_part *part;       /* to be released when it is safe there; NULL: nobody waits */
    struct noc_release *release; /* under which it is to be stored; NULL: none */
    uint64_t expires_ms, publisher_number;
    uint32_t topic_n, props_n, payload_n;
    uint8_t qos;
    bool retain;
};

struct noc_record {
    uint32_t size; /* of all of it, a multiple of 8 */
    uint8_t kind;
    union {
        struct {
            struct noc_record_message what;
            uint32_t node_count;
        } publish; /* nodes, then parts follow */
        struct {
            struct noc_record_message what;
            struct noc_node *node;
            struct noc_group *group;
            uint64_t session_number;
            uint32_t start, attempt;
            bool was_connected; /* when it was picked */
        } shared;               /* parts follow */
        struct {
            struct noc_link *link;
            struct noc_home *home;
        } adopt;
        struct noc_retire *retire;
        struct noc_part *part;
        unsigned resume; /* the worker that is below low water */
        struct {
            noc_shard_call_fn *function;
            void *argument;
        } call;
    } as;
    /* data follows */
};

/* What is being routed: borrowed parts, and the message once it is built. */
struct noc_publication {
    struct noc_message_parts parts;
    struct noc_message *message; /* NULL until somebody needs it; owned */
    struct noc_link *asker;      /* whose answer waits until it is safe; NULL: nobody's */
    struct noc_receipt
        *receipt;          /* of the asker, made when there is something to wait for; its own */
    struct noc_part *part; /* what is made of it here waits with this; NULL: nobody waits */
    struct noc_release *release; /* what is made of it is stored under this; NULL: by itself */
    bool is_by_mail;             /* part and release came with it from another worker */
};

/* The built message, borrowed from the publication, or NULL when memory is out. */
struct noc_message *noc_publication_message(struct noc_publication *publication);
void noc_publication_done(struct noc_publication *publication);

/*
 * Each adds a record for another worker to this turn's batch. NOC_ENOMEM: nothing was added. A part
 * (NULL: none) goes along, and so does the publication's release.
 */
NOC_MUST_CHECK int noc_mail_publish(struct noc_shard *shard, unsigned to,
    struct noc_publication *publication, struct noc_part *part, struct noc_node *const *nodes,
    unsigned node_count);
NOC_MUST_CHECK int noc_mail_shared(struct noc_shard *shard, unsigned to,
    struct noc_publication *publication, struct noc_part *part, struct noc_node *node,
    struct noc_group *group, const struct noc_member *member, uint32_t start, uint32_t attempt);
NOC_MUST_CHECK int noc_mail_part(struct noc_shard *shard, struct noc_part *part);
NOC_MUST_CHECK int noc_mail_adopt(
    struct noc_shard *shard, unsigned to, struct noc_link *link, struct noc_home *home);
NOC_MUST_CHECK int noc_mail_resume(struct noc_shard *shard, unsigned to);

/* The index's callback: the notice goes to every shard, this one included. */
void noc_mail_retire(void *context, unsigned worker, struct noc_retire *retire);

/* Is any other worker past its high-water mark, with what this one has for it in this turn? */
bool noc_mail_is_behind(const struct noc_shard *shard);

/* Is any worker past it, by what has been posted? */
bool noc_mail_is_behind_mt(const struct noc_core *core);

/* Is the worker past its mark? Then RESUME comes from it when it is below half of that. */
NOC_MUST_CHECK bool noc_mail_must_wait(struct noc_shard *shard, unsigned worker);

/* Post this turn's batches. */
void noc_mail_post(struct noc_shard *shard);

/* Work off what has come, at most NOC_DRAIN_MAX records. */
void noc_mail_drain(struct noc_shard *shard);

/* Give back all mail that is left, undelivered. When no thread runs any shard. */
void noc_mail_drop(struct noc_shard *shard);

#endif
