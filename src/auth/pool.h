/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_AUTH_POOL_H
#define NOC_AUTH_POOL_H
/*
 * Threads that check passwords, so that no worker ever does. The queue before
 * them is bounded, and fair by address: addresses that have jobs waiting take
 * turns, and no address may hold more than an eighth of the queue (16 jobs at
 * least). So one that floods delays its own logins, not those of others.
 */

#include <stdbool.h>
#include <stdint.h>

#include "auth/memory.h"
#include "auth/security.h"
#include "base/macros.h"
#include <noctule/slice.h>

enum { NOC_AUTH_QUEUE_DEFAULT = 4096 };

struct noc_auth_pool;

struct noc_auth_pool_options {
    unsigned threads;               /* 0: one */
    size_t capacity;                /* jobs that may wait; 0: NOC_AUTH_QUEUE_DEFAULT */
    struct noc_auth_memory *memory; /* borrowed until the pool is freed; NULL: remember nothing */
};

struct noc_auth_result {
    uint64_t ticket;           /* as in the request */
    uint64_t security_version; /* of the bundle it was checked against */
    int outcome;               /* NOC_OK; NOC_EDENIED; NOC_ENOMEM: could not be computed */
    uint8_t line_digest[NOC_LINE_DIGEST_BYTES]; /* of the entry; all zero: there is none */
};

typedef void (*noc_auth_done)(void *context, const struct noc_auth_result *result);

struct noc_auth_request {
    struct noc_security *security;       /* borrowed; a waiting job takes its own reference */
    struct noc_slice username, password; /* borrowed; at == NULL: absent */
    uint64_t address_key;                /* a hash of the peer's address */
    uint64_t ticket;                     /* the asker's, handed back; nothing looks into it */
    noc_auth_done done;                  /* called on a thread of the pool; must not wait */
    void *context;
};

struct noc_auth_stats {
    uint64_t checks;     /* passwords computed */
    uint64_t remembered; /* answered from memory */
    uint64_t refused;    /* users refused, at once or after a check */
    uint64_t full;       /* requests turned away because the queue was full */
    uint64_t depth;      /* jobs waiting now */
};

/* NULL: out of memory, or no thread could be started. */
struct noc_auth_pool *noc_auth_pool_new(const struct noc_auth_pool_options *options);

/*
 * Finish the checks under way, join the threads, drop the jobs that wait:
 * their done is never called. Later requests get NOC_ECLOSED. May be repeated;
 * not from done.
 */
void noc_auth_pool_stop(struct noc_auth_pool *pool);

void noc_auth_pool_free(struct noc_auth_pool *pool); /* stops it first; NULL is fine */

/*
 * Decide, or have it decided. NOC_OK: decided, *ret_result says how. NOC_EAGAIN:
 * queued; done will be called, possibly before this returns. NOC_EFULL: too
 * much is waiting, answer "server busy". NOC_ENOMEM; NOC_ECLOSED. Never waits
 * but for a short lock.
 */
NOC_MUST_CHECK int noc_auth_check_start_mt(struct noc_auth_pool *pool,
    const struct noc_auth_request *request, struct noc_auth_result *ret_result);

void noc_auth_pool_stats_mt(struct noc_auth_pool *pool, struct noc_auth_stats *ret_stats);

#endif
