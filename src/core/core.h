/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CORE_CORE_H
#define NOC_CORE_CORE_H
/*
 * What all workers of a broker share, and what the core asks of the glue
 * around it.
 *
 *   noc_core          limits, topic index, retained messages, directory
 *     noc_shard[n]    one worker's part (shard.h): its links, sessions, mail
 *
 * The core is sans-IO: it is told the time and given bytes, and answers with
 * bytes (in each link's output queue) and with the calls of noc_shard_ops. The
 * broker's workers and the simulator are two glues around the same core.
 */

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/log_level.h"
#include "base/timer.h"
#include "core/acl.h"
#include "core/directory.h"
#include "core/index.h"
#include "core/reclaim.h"
#include "core/retained.h"
#include <noctule/slice.h>

struct noc_link;
struct noc_operations;
struct noc_page;
struct noc_shard;

/* The Mosquitto release whose defaults and forms are followed. */
enum noc_compatibility { NOC_COMPAT_2_0 = 20, NOC_COMPAT_2_1 = 21 };

/* The longest CONNECT, and so all that a stranger can make us hold. */
#define NOC_CONNECT_MAX 65536u

/* Limits for everybody; constant while the broker runs. */
struct noc_limits {
    enum noc_compatibility compatibility;
    uint32_t max_packet_size;       /* whole packets from clients; 0: the standard's limit */
    uint32_t message_size_limit;    /* payload; 0: none */
    uint32_t max_queued_messages;   /* per session, above those in flight; 0: none */
    uint64_t max_queued_bytes;      /* per session; 0: none */
    uint16_t max_inflight_messages; /* per session and direction; 0: none */
    uint64_t max_inflight_bytes;    /* per session, outgoing; 0: none */
    uint16_t max_keepalive_s;       /* 0: none */
    int64_t absent_expiry_s;        /* of sessions that do not expire by themselves; 0: none */
    uint32_t retained_sweep_s;      /* expired retained messages are looked for so often; 0: not */
    uint32_t max_output_bytes;      /* per connection, before QoS 0 is dropped */
    uint32_t connect_timeout_ms;    /* until CONNECT is complete */
    uint32_t mailbox_high;          /* weight of a mailbox (mail.h), past which its feeders pause */
    bool retain_available;
    bool queue_qos0;          /* for absent sessions too */
    bool connection_messages; /* log connects and disconnects */
    unsigned listener_count;
};

/* What a listener says of its clients; constant while the broker runs. */
struct noc_listener {
    unsigned number;                 /* counts from 0; noc_shard_set_acl() goes by it */
    struct noc_slice mount_point;    /* borrowed for the core's life; empty: none */
    struct noc_slice auto_id_prefix; /* the same */
    uint16_t port;                   /* 0: a unix socket */
    uint8_t max_qos;
    uint16_t max_topic_alias;        /* client to broker */
    uint16_t max_topic_alias_broker; /* broker to client */
    bool allow_zero_length_clientid;
};

/* Counts of one worker: written by it, read by anyone. */
enum noc_counter {
    NOC_COUNT_PACKETS_RECEIVED,
    NOC_COUNT_PACKETS_SENT,
    NOC_COUNT_BYTES_RECEIVED,
    NOC_COUNT_BYTES_SENT,
    NOC_COUNT_PUBLISH_RECEIVED,
    NOC_COUNT_PUBLISH_SENT,
    NOC_COUNT_PUBLISH_DROPPED,  /* for want of room or memory */
    NOC_COUNT_PUBLISH_EXPIRED,  /* not sent to a client as their time was up */
    NOC_COUNT_PUBLISH_OVERSIZE, /* not sent to a client as it takes no such packets */
    NOC_COUNT_PUBLISH_BYTES_RECEIVED,
    NOC_COUNT_PUBLISH_BYTES_SENT,
    NOC_COUNT_PUBLISH_DENIED,   /* by the ACL */
    NOC_COUNT_PUBLISH_REFUSED,  /* for want of memory */
    NOC_COUNT_FILTERS_REFUSED,  /* of SUBSCRIBEs, for want of memory */
    NOC_COUNT_LINKS_REFUSED,    /* not let in, or ended, for want of memory */
    NOC_COUNT_SOCKETS,          /* connections of the network since the start */
    NOC_COUNT_CONNECTIONS,      /* CONNECTs accepted since the start */
    NOC_COUNT_CONNECTED,        /* sessions with a connection, now */
    NOC_COUNT_SESSIONS,         /* sessions, now */
    NOC_COUNT_SESSIONS_EXPIRED, /* since the start */
    NOC_COUNT_TAKEN_OVER,       /* since the start */
    NOC_COUNT_MESSAGES_QUEUED,  /* in queues and in flight, now */
    NOC_COUNT_BYTES_QUEUED,     /* the same, payload bytes */
    NOC_COUNT_UNSTORED,         /* of these, to be stored and not yet, now */
    NOC_COUNT_PAUSED,           /* links that wait for another worker, now */
    NOC_COUNTERS,
};

struct noc_core {
    /* Constant after noc_core_init(). */
    unsigned shard_count;
    uint64_t seed;
    struct noc_limits limits;
    struct noc_reclaim *reclaim;
    struct noc_index *index;
    struct noc_retained *retained;
    struct noc_directory *directory;
    struct noc_shard *shards[NOC_WORKERS_MAX];

    /* Any thread. */
    atomic_bool is_memory_short; /* set by whoever watches memory_limit */
    atomic_bool is_store_full;   /* set by whoever runs the store */
    atomic_uint log_mask;        /* levels of line that are wanted */
};

/* Credentials of a CONNECT, borrowed for the call. */
struct noc_credentials {
    struct noc_slice client_id;
    struct noc_slice username; /* absent: none given */
    struct noc_slice password; /* absent: none given */
};

/* What a client says for its method of extended authentication, borrowed for the call. */
struct noc_exchange_step {
    struct noc_slice method;
    struct noc_slice data; /* absent: none given */
    bool is_first;         /* of CONNECT, or of an AUTH that authenticates again */
};

/* What a shard asks of the glue. All are called on the shard's own thread. */
struct noc_shard_ops {
    /* Another worker has mail and sleeps: wake it. */
    void (*wake)(struct noc_shard *shard, unsigned worker);

    /*
     * Judge the credentials: NOC_OK, NOC_EDENIED, NOC_EFULL (too busy), NOC_ENOMEM, or NOC_EAGAIN:
     * noc_link_authenticated() will be called with the ticket.
     */
    int (*authenticate)(
        struct noc_link *link, const struct noc_credentials *credentials, uint64_t ticket);

    /*
     * Extended authentication: one step of the method, see exchange.h. NOC_EAGAIN: the
     * client is asked on; NOC_OK: it is who it says it is, and (before the CONNACK)
     * link->username has been set;
     * NOC_EDENIED; NOC_ENOTSUP: no such method here; NOC_ENOMEM. With the first two the
     * method's data (NOC_AUTH_DATA_MAX bytes at most) is written to ret_data.
     */
    int (*exchange)(struct noc_link *link, const struct noc_exchange_step *step, uint8_t *ret_data,
        size_t *ret_n);

    /* The link leaves for another worker: take it out of this one's loop, now. */
    void (*detach)(struct noc_link *link);

    /*
     * The link has come to this worker: put it into the loop, reading, and look
     * for input for which no event will come. link->state is not OPEN yet.
     */
    void (*adopt)(struct noc_link *link);

    /* Has the peer hung up, though what it sent last may be unread yet? NULL: never. */
    bool (*has_gone)(struct noc_link *link);

    /* The client has been let in and was logged; the CONNACK is next. NULL: nothing to do. */
    void (*opened)(struct noc_link *link);

    /* Stop, or go on, reading from the link; on: look for input that TLS holds, too. */
    void (*read_on)(struct noc_link *link, bool on);

    /*
     * The link is over: flush what can be, close. It is freed (noc_link_done()) at the end
     * of the turn, not before. Its session is gone from it.
     */
    void (*close)(struct noc_link *link);

    /*
     * A batch for the store; it is noc_journal_committed()'s, to be called on this thread, in a later
     * call. NULL only where no shard has a journal.
     */
    void (*store)(struct noc_shard *shard, struct noc_operations *batch);

    /*
     * A page of a queue is wanted from the store; it is noc_page_arrived()'s, to be called on this thread, in
     * a later call. NULL: queues are in memory whole.
     */
    void (*page)(struct noc_shard *shard, struct noc_page *page);

    /* A timer of the glue's own (kind NOC_TIMER_GLUE or above) is due. */
    void (*tick)(struct noc_shard *shard, struct noc_timer *timer);

    /* Bytes that nobody can guess. */
    void (*random)(struct noc_shard *shard, void *bytes, size_t n);

    /* Only levels in core->log_mask come here. */
    NOC_PRINTF(3, 0)
    void (*log)(
        struct noc_shard *shard, enum noc_log_level level, const char *format, va_list args);
};

/* All tables made. shards are entered by noc_shard_init(). NOC_ENOMEM: nothing is left behind. */
NOC_MUST_CHECK int noc_core_init(
    struct noc_core *core, unsigned shard_count, const struct noc_limits *limits, uint64_t seed);

/* When all shards are done. */
void noc_core_done(struct noc_core *core);

/* Sum of a counter over all shards. Any thread. */
int64_t noc_core_count_mt(const struct noc_core *core, enum noc_counter counter);

#endif
