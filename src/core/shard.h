/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CORE_SHARD_H
#define NOC_CORE_SHARD_H
/*
 * One worker's part of the core. Its turn, in this order:
 *
 *   begin        online in the reclaim; the time; sessions whose timers are due
 *   drain mail   bounded; then links that were held in the turn before go on
 *   read         the glue feeds bytes to links (link.h)
 *   settle       links whose timers are due: only now, as a worker that was held up
 *                itself would else take for silent who has long spoken; replays go on;
 *                mail of this turn is posted, once per worker
 *   flush        the glue writes each dirty link's output
 *   end          what died is given back; quiescent
 *
 * So whatever is acknowledged (flushed) had been posted before. What dies
 * during a turn is put on the dead list and freed at its end, never in a walk.
 */

#include "base/list.h"
#include "base/timer.h"
#include "core/core.h"
#include "core/mailbox.h"
#include "core/map64.h"
#include "core/outq.h"
#include "core/sweep.h"

/* In a turn: records of mail, and retained messages that replays look at; of one at a time. */
enum { NOC_DRAIN_MAX = 8192, NOC_REPLAY_VISITS = 4096, NOC_REPLAY_STEP = 64 };

/*
 * What mail, and then reading, may cost in a turn: packets, nodes of the index looked at, copies
 * delivered, filters entered and rights looked up, some milliseconds' worth. Past it mail stays,
 * and links wait for the next turn, but for those whose own packets make next to no work
 * (acknowledgements, mostly).
 */
enum { NOC_WORK_MAX = 32768, NOC_WORK_LITTLE = 64, NOC_WORK_OF_FILTER = 8, NOC_WORK_OF_RIGHT = 8 };

struct noc_batch; /* mail.h */
struct noc_session;
struct noc_link;

/* A session that a delivery over several nodes has come across; see deliver.c. */
struct noc_meeting {
    struct noc_session *session;
    uint32_t first_id, id_count; /* its subscription identifiers, chained in meeting_ids */
    uint8_t qos;
    bool retain_as_published;
};

struct noc_meeting_id {
    uint32_t id, next; /* next: index of the next one of the same session */
};

struct noc_shard {
    /* Constant after noc_shard_init(). */
    struct noc_core *core;
    const struct noc_shard_ops *ops;
    void *context; /* the glue's */
    unsigned number;

    /* Any thread, through mail.h only. */
    struct noc_mailbox mailbox;
    atomic_uint arriving; /* links on their way to this worker */

    /* Written by the owner, read by anyone. */
    _Alignas(NOC_CACHE_LINE) atomic_int_fast64_t counters[NOC_COUNTERS];

    /* Owner only. */
    _Alignas(NOC_CACHE_LINE) uint64_t now_ms;
    struct noc_timers timers;
    struct noc_block_pool blocks;
    struct noc_sweep sweep;     /* of retained messages */
    struct noc_list due;        /* timers of links and glue that fired in this turn */
    struct noc_list dirty;      /* links with output of this turn */
    struct noc_list failing;    /* links to be ended at the end of the turn */
    struct noc_list replays;    /* links with a replay to go on with */
    struct noc_list links;      /* all links */
    struct noc_list sessions;   /* all sessions */
    struct noc_list *walk;      /* where noc_session_walk() goes on; NULL: none begun */
    struct noc_map64 by_number; /* session number -> session */
    struct noc_map64 waiting;   /* ticket -> link in authentication */
    struct noc_session **by_id; /* hash table by client id, chained */
    size_t by_id_mask, by_id_count;
    struct noc_batch *outgoing[NOC_WORKERS_MAX]; /* mail of this turn, by receiver */
    uint64_t outgoing_to;                        /* the receivers, one bit each */
    struct noc_list paused[NOC_WORKERS_MAX];     /* links that wait for that worker */
    struct noc_list held;                        /* links that go on in the next turn */
    struct noc_list unanswered;                  /* links with too many answers that wait */
    struct noc_list spaceless;                   /* links that wait for space in the store */
    struct noc_journal *journal;                 /* NULL: nothing is stored */
    struct noc_list receipts;                    /* answers that wait: receipt.h */
    struct noc_map64 releases;                   /* what is held under each: release.h */
    struct noc_part *late_parts;                 /* released, but no memory for the mail yet */
    struct noc_batch *current;                   /* batch being drained, and where */
    uint32_t current_at;                         /* byte of it */
    struct noc_retire *retire_backlog;           /* notices that found no memory yet */
    unsigned retire_at;                          /* next worker of the first of them */
    uint64_t resume_owed;                        /* workers to be told of low water yet */
    uint64_t next_number;                        /* of a session or ticket */
    uint64_t delivery;                           /* number of the delivery under way */
    uint64_t fed;  /* workers that got mail out of the packet being decoded */
    uint64_t work; /* done in this turn, by mail and then by reading: see NOC_WORK_MAX */
    const struct noc_link *working; /* fed last in this turn; only compared */
    uint64_t work_before;           /* what stood there when the link being fed began */
    uint64_t trimmed_ms;            /* when a heaviest queue was last trimmed */
    struct noc_meeting *meetings;
    size_t meeting_count, meeting_room;
    struct noc_meeting_id *meeting_ids;
    size_t meeting_id_count, meeting_id_room;
    struct noc_acl **acls; /* by listener, counted; NULL entry: none */
    char *scratch;         /* of the publication being decoded: its topic and properties */
    size_t scratch_room;
    bool hands_over;      /* new sessions go to a worker that has less to do */
    bool is_store_behind; /* as the turn began: see NOC_UNSTORED_MAX */
    bool is_stopping;
    bool is_done; /* no thread runs it any more */
};

NOC_MUST_CHECK int noc_shard_init(struct noc_shard *shard, struct noc_core *core, unsigned number,
    const struct noc_shard_ops *ops, void *context, uint64_t now_ms);

/*
 * When no thread runs any shard any more: first close the links of all shards, without
 * ceremony (the glue frees them), then end the shards with their sessions.
 */
void noc_shard_close_links(struct noc_shard *shard);
void noc_shard_done(struct noc_shard *shard);

/* ---- a turn ---- */

void noc_shard_begin(struct noc_shard *shard, uint64_t now_ms);
void noc_shard_drain_mail(struct noc_shard *shard);
void noc_shard_settle(struct noc_shard *shard);

/* The next link that has output to flush, taken off the list; NULL at the end. */
struct noc_link *noc_shard_next_dirty(struct noc_shard *shard);

/*
 * End of the turn. Returns how many milliseconds the shard may sleep: 0 when
 * there is work left. Then go offline with noc_shard_sleep().
 */
uint64_t noc_shard_end(struct noc_shard *shard);

/* Before and after waiting for events: false from sleep: mail has come, don't wait. */
NOC_MUST_CHECK bool noc_shard_sleep(struct noc_shard *shard);
void noc_shard_woken(struct noc_shard *shard);

/* ---- calls from other threads ---- */

/* Run function(shard, argument) on the shard, in mailbox order. Out of memory: NOC_ENOMEM. */
typedef void noc_shard_call_fn(struct noc_shard *shard, void *argument);
NOC_MUST_CHECK int noc_shard_call_mt(struct noc_core *core, unsigned worker,
    noc_shard_call_fn *function, void *argument, bool *ret_wake);

/* ---- inside the core and its glue, owner only ---- */

static inline void noc_shard_count(struct noc_shard *shard, enum noc_counter counter, int64_t by)
{
    atomic_int_fast64_t *at = &shard->counters[counter];

    /* One writer: no read-modify-write needed. */
    atomic_store_explicit(
        at, atomic_load_explicit(at, memory_order_relaxed) + by, memory_order_relaxed);
}

static inline bool noc_shard_logs(const struct noc_shard *shard, enum noc_log_level level)
{
    return (atomic_load_explicit(&shard->core->log_mask, memory_order_relaxed) & level) != 0;
}

void noc_shard_log(struct noc_shard *shard, enum noc_log_level level, const char *format, ...)
    NOC_PRINTF(3, 4);

static inline bool noc_shard_is_memory_short(const struct noc_shard *shard)
{
    return atomic_load_explicit(&shard->core->is_memory_short, memory_order_relaxed);
}

/* No space for what would have to be stored before it is acknowledged. */
static inline bool noc_shard_is_store_full(const struct noc_shard *shard)
{
    return atomic_load_explicit(&shard->core->is_store_full, memory_order_relaxed);
}

/* Replace the ACL of a listener's clients; the reference is taken, NULL is none. */
void noc_shard_set_acl(struct noc_shard *shard, unsigned listener, struct noc_acl *take_acl);

/* A number nobody else in this process has: of a session, a ticket. */
uint64_t noc_shard_new_number(struct noc_shard *shard);

/*
 * Publish for the broker itself ($SYS): routed like any other, by this worker,
 * without a publisher. Retained if parts.retain says so.
 */
void noc_shard_publish(struct noc_shard *shard, const struct noc_message_parts *parts);

/* Publish every session's will, delayed ones too, as Mosquitto does when it is stopped. */
void noc_shard_fire_wills(struct noc_shard *shard);

/*
 * Take no CONNECT any more and end all links: MQTT 5 clients get a DISCONNECT
 * (server shutting down). No will is published.
 */
void noc_shard_stop(struct noc_shard *shard);

#endif
