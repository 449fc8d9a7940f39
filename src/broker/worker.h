/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_BROKER_WORKER_H
#define NOC_BROKER_WORKER_H
/*
 * A worker: one thread with its event loop and its shard of the core. It
 * accepts connections, reads, lets the core work, and flushes:
 *
 *   wait for events -> begin -> mail -> read -> settle -> flush -> end -> ...
 *
 * Everything in it belongs to its thread but the mailbox and the bell.
 */

#include <pthread.h>

#include "broker/admission.h"
#include "broker/endpoint.h"
#include "core/shard.h"
#include "net/log.h"
#include "net/loop.h"

struct noc_broker;
struct noc_connection;

/* What one read may bring, and one write of TLS may gather. */
enum { NOC_SCRATCH_BYTES = 128 * 1024, NOC_GATHER_BYTES = 16 * 1024, NOC_EVENTS_MAX = 256 };

/* Every owner in a loop begins with one of these. */
enum noc_watch_kind { NOC_WATCH_LISTENER = 1, NOC_WATCH_CONNECTION };

struct noc_watch {
    uint8_t kind; /* enum noc_watch_kind */
};

/* A listening socket as one worker's loop knows it. */
struct noc_listen_watch {
    struct noc_watch watch;
    struct noc_endpoint *endpoint;
    int fd;
    uint64_t paused_until_ms; /* after running out of descriptors; 0: listening */
};

struct noc_worker {
    /* Constant once the worker runs. */
    struct noc_broker *broker;
    struct noc_log *log;
    pthread_t thread;
    bool is_started;

    struct noc_shard shard;
    struct noc_loop loop; /* its bell: any thread */

    /* Owner only. */
    struct noc_admission *access; /* counted; swapped by a call */
    struct noc_listen_watch *listeners;
    size_t listener_count;
    unsigned paused_listeners;
    struct noc_accept_reserve reserve;
    struct noc_list again;         /* connections to look at without an event */
    struct noc_list draining;      /* connections that close when their output is out */
    struct noc_list dead;          /* freed at the end of the turn */
    uint8_t *scratch;              /* [NOC_SCRATCH_BYTES] */
    uint8_t *gather;               /* [NOC_GATHER_BYTES] */
    struct noc_loop_event *events; /* [NOC_EVENTS_MAX], of the turn */
    uint64_t full_told_ms; /* when the log was last told that descriptors are out; 0: never */
    bool is_closed;        /* takes no connections any more */
    bool is_stopping;      /* ends when nothing drains any more, or at: */
    uint64_t stop_by_ms;
};

/* Everything but the thread. Errors: NOC_ENOMEM, NOC_EIO. */
NOC_MUST_CHECK int noc_worker_init(
    struct noc_worker *worker, struct noc_broker *broker, unsigned number, uint64_t now_ms);

/*
 * When no worker's thread runs any more: first close the links of all workers (one may
 * still be in another's mail), then end them.
 */
void noc_worker_close_links(struct noc_worker *worker);
void noc_worker_done(struct noc_worker *worker);

NOC_MUST_CHECK int noc_worker_start(struct noc_worker *worker);
void noc_worker_join(struct noc_worker *worker);

/* Run a function on the worker; from any thread. NOC_ENOMEM: it will not run. */
NOC_MUST_CHECK int noc_worker_call_mt(
    struct noc_worker *worker, noc_shard_call_fn *function, void *argument);

/* No new connections any more. Owner only. */
void noc_worker_stop_accepting(struct noc_worker *worker);

/* End all links; the thread ends when their output is out, or after within_ms. Owner only. */
void noc_worker_stop(struct noc_worker *worker, uint64_t within_ms);

static inline struct noc_worker *noc_worker_of(struct noc_shard *shard)
{
    return shard->context;
}

#endif
