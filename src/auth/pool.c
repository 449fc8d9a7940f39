/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queue is a ring of lanes, one for each address that has jobs waiting:
 *
 *   turns:  lane A [job, job, job] -> lane B [job] -> lane C [job, job] -> ...
 *   buckets[address key]: the lanes again, to find one
 *
 * A thread takes the first job of the first lane; the lane goes to the end of
 * the ring, or away when it is empty. All of this is under one mutex, which
 * nobody holds while a password is computed.
 */
#define _GNU_SOURCE
#include "auth/pool.h"

#include <openssl/crypto.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/list.h"
#include <noctule/error.h>

enum { ADDRESS_SHARE = 8, ADDRESS_LEAST = 16, THREADS_MAX = 256 };

struct job {
    struct job *next;
    struct noc_security *security;
    uint64_t ticket;
    noc_auth_done done;
    void *context;
    bool has_digest; /* digest is what to remember it by */
    uint8_t digest[NOC_AUTH_DIGEST_BYTES];
    size_t username_n, password_n;
    char text[]; /* both, the password last */
};

struct lane {
    struct noc_list turn;
    struct lane *next; /* in its bucket */
    uint64_t key;
    struct job *first, *last;
    size_t jobs_n;
};

struct noc_auth_pool {
    /* Constant after noc_auth_pool_new(). */
    struct noc_auth_memory *memory;
    size_t capacity, address_max;
    size_t buckets_n; /* a power of two */

    pthread_mutex_t mutex;
    pthread_cond_t has_work;

    /* Under the mutex. */
    bool is_stopping;
    struct noc_list turns;
    struct lane **buckets;
    size_t depth;

    /* Whoever stops the pool. */
    pthread_t *threads;
    unsigned threads_n;

    /* Any thread. */
    atomic_uint_fast64_t checks, remembered, refused, full;
};

static void count(atomic_uint_fast64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* --- jobs --------------------------------------------------------------- */

static struct job *job_new(const struct noc_auth_request *request)
{
    size_t user_n = request->username.n, password_n = request->password.n;
    struct job *job;

    if (user_n > SIZE_MAX / 4 || password_n > SIZE_MAX / 4) {
        return NULL;
    }
    job = malloc(sizeof *job + user_n + password_n);
    if (job == NULL) {
        return NULL;
    }
    *job = (struct job){.security = noc_security_ref(request->security),
        .ticket = request->ticket,
        .done = request->done,
        .context = request->context,
        .username_n = user_n,
        .password_n = password_n};
    if (user_n > 0) {
        memcpy(job->text, request->username.at, user_n);
    }
    if (password_n > 0) {
        memcpy(job->text + user_n, request->password.at, password_n);
    }
    return job;
}

static void job_free(struct job *job)
{
    OPENSSL_cleanse(job->text + job->username_n, job->password_n);
    noc_security_unref(job->security);
    free(job);
}

/* --- the queue, all under the mutex ------------------------------------- */

static struct lane **bucket_of(struct noc_auth_pool *pool, uint64_t key)
{
    return &pool->buckets[(size_t)key & (pool->buckets_n - 1)];
}

/* NULL: out of memory. */
static struct lane *lane_for_locked(struct noc_auth_pool *pool, uint64_t key)
{
    struct lane **bucket = bucket_of(pool, key);
    struct lane *lane = *bucket;

    while (lane != NULL && lane->key != key) {
        lane = lane->next;
    }
    if (lane != NULL) {
        return lane;
    }
    lane = calloc(1, sizeof *lane);
    if (lane == NULL) {
        return NULL;
    }
    lane->key = key;
    lane->next = *bucket;
    *bucket = lane;
    noc_list_append(&pool->turns, &lane->turn);
    return lane;
}

static void lane_free_locked(struct noc_auth_pool *pool, struct lane *lane)
{
    struct lane **link = bucket_of(pool, lane->key);

    while (*link != lane) {
        link = &(*link)->next;
    }
    *link = lane->next;
    free(lane);
}

static int push_locked(struct noc_auth_pool *pool, uint64_t key, struct job *job)
{
    struct lane *lane;

    if (pool->is_stopping) {
        return NOC_ECLOSED;
    }
    if (pool->depth >= pool->capacity) {
        return NOC_EFULL;
    }
    lane = lane_for_locked(pool, key);
    if (lane == NULL) {
        return NOC_ENOMEM;
    }
    if (lane->jobs_n >= pool->address_max) {
        return NOC_EFULL;
    }
    if (lane->first == NULL) {
        lane->first = job;
    } else {
        lane->last->next = job;
    }
    lane->last = job;
    lane->jobs_n++;
    pool->depth++;
    return NOC_OK;
}

/* NULL: nothing waits. */
static struct job *take_locked(struct noc_auth_pool *pool)
{
    struct noc_list *turn = noc_list_take(&pool->turns);
    struct lane *lane;
    struct job *job;

    if (turn == NULL) {
        return NULL;
    }
    lane = NOC_CONTAINER(turn, struct lane, turn);
    job = lane->first;
    lane->first = job->next;
    lane->jobs_n--;
    pool->depth--;
    if (lane->first == NULL) {
        lane_free_locked(pool, lane);
    } else {
        noc_list_append(&pool->turns, &lane->turn);
    }
    return job;
}

/* --- checking ----------------------------------------------------------- */

static void run_job(struct noc_auth_pool *pool, struct job *job)
{
    struct noc_slice username = noc_slice(job->text, job->username_n);
    struct noc_slice password = noc_slice(job->text + job->username_n, job->password_n);
    const struct noc_passwords *passwords = job->security->passwords;
    struct noc_auth_result result = {
        .ticket = job->ticket, .security_version = job->security->version};

    result.outcome = noc_passwords_check(passwords, username, password, NULL);
    (void)noc_passwords_line_digest(passwords, username, result.line_digest);
    count(&pool->checks);
    if (result.outcome == NOC_EDENIED) {
        count(&pool->refused);
    } else if (result.outcome == NOC_OK && job->has_digest) {
        noc_auth_memory_add_mt(pool->memory, job->digest);
    }
    job->done(job->context, &result);
    job_free(job);
}

static void *thread_main(void *context)
{
    struct noc_auth_pool *pool = context;

    pthread_mutex_lock(&pool->mutex);
    while (!pool->is_stopping) {
        struct job *job = take_locked(pool);

        if (job == NULL) {
            pthread_cond_wait(&pool->has_work, &pool->mutex);
            continue;
        }
        pthread_mutex_unlock(&pool->mutex);
        run_job(pool, job);
        pthread_mutex_lock(&pool->mutex);
    }
    pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

/* Is the answer remembered? Fills in the digest to remember it by later. */
static bool is_remembered(struct noc_auth_pool *pool, const struct noc_auth_request *request,
    const uint8_t *line_digest, uint8_t *ret_digest, bool *ret_has_digest)
{
    *ret_has_digest =
        pool->memory != NULL && noc_auth_memory_digest_mt(pool->memory, request->username,
                                    request->password, line_digest, ret_digest) == NOC_OK;
    return *ret_has_digest && noc_auth_memory_has_mt(pool->memory, ret_digest);
}

static int queue_job(struct noc_auth_pool *pool, uint64_t address_key, struct job *job)
{
    int err;

    pthread_mutex_lock(&pool->mutex);
    err = push_locked(pool, address_key, job);
    if (err == NOC_OK) {
        pthread_cond_signal(&pool->has_work);
    }
    pthread_mutex_unlock(&pool->mutex);
    if (err == NOC_OK) {
        return NOC_EAGAIN;
    }
    if (err == NOC_EFULL) {
        count(&pool->full);
    }
    job_free(job);
    return err;
}

int noc_auth_check_start_mt(struct noc_auth_pool *pool, const struct noc_auth_request *request,
    struct noc_auth_result *ret_result)
{
    const struct noc_security *security = request->security;
    struct noc_auth_result result = {
        .ticket = request->ticket, .security_version = security->version};
    uint8_t digest[NOC_AUTH_DIGEST_BYTES] = {0};
    bool has_digest = false;
    struct job *job;

    result.outcome = noc_security_judge(security, request->username, request->password);
    if (result.outcome == NOC_EAGAIN) {
        /* Of an unknown user nothing is remembered; looking costs the same. */
        (void)noc_passwords_line_digest(security->passwords, request->username, result.line_digest);
        if (is_remembered(pool, request, result.line_digest, digest, &has_digest)) {
            count(&pool->remembered);
            result.outcome = NOC_OK;
        }
    }
    if (result.outcome != NOC_EAGAIN) {
        if (result.outcome != NOC_OK) {
            count(&pool->refused);
        }
        *ret_result = result;
        return NOC_OK;
    }
    job = job_new(request);
    if (job == NULL) {
        return NOC_ENOMEM;
    }
    job->has_digest = has_digest;
    memcpy(job->digest, digest, sizeof digest);
    return queue_job(pool, request->address_key, job);
}

void noc_auth_pool_stats_mt(struct noc_auth_pool *pool, struct noc_auth_stats *ret_stats)
{
    *ret_stats = (struct noc_auth_stats){
        .checks = atomic_load_explicit(&pool->checks, memory_order_relaxed),
        .remembered = atomic_load_explicit(&pool->remembered, memory_order_relaxed),
        .refused = atomic_load_explicit(&pool->refused, memory_order_relaxed),
        .full = atomic_load_explicit(&pool->full, memory_order_relaxed),
    };
    pthread_mutex_lock(&pool->mutex);
    ret_stats->depth = pool->depth;
    pthread_mutex_unlock(&pool->mutex);
}

/* --- life --------------------------------------------------------------- */

/* With all signals blocked: they are the control thread's. */
static void start_threads(struct noc_auth_pool *pool, unsigned wanted)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (pool->threads_n < wanted &&
           pthread_create(&pool->threads[pool->threads_n], NULL, thread_main, pool) == 0) {
        (void)pthread_setname_np(pool->threads[pool->threads_n], "noctule-auth");
        pool->threads_n++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

struct noc_auth_pool *noc_auth_pool_new(const struct noc_auth_pool_options *options)
{
    struct noc_auth_pool *pool = calloc(1, sizeof *pool);
    unsigned threads_n = options->threads == 0 ? 1 : options->threads;
    size_t share;

    if (pool == NULL) {
        return NULL;
    }
    threads_n = threads_n < THREADS_MAX ? threads_n : THREADS_MAX;
    pool->memory = options->memory;
    pool->capacity = options->capacity == 0 ? NOC_AUTH_QUEUE_DEFAULT : options->capacity;
    share = pool->capacity / ADDRESS_SHARE;
    pool->address_max = share < ADDRESS_LEAST ? ADDRESS_LEAST : share;
    pool->buckets_n = 1;
    while (pool->buckets_n < pool->capacity && pool->buckets_n < (size_t)1 << 20) {
        pool->buckets_n *= 2;
    }
    noc_list_init(&pool->turns);
    pool->buckets = calloc(pool->buckets_n, sizeof(struct lane *));
    pool->threads = calloc(threads_n, sizeof *pool->threads);
    if (pool->buckets == NULL || pool->threads == NULL) {
        goto free_pool;
    }
    if (pthread_mutex_init(&pool->mutex, NULL) != 0) {
        goto free_pool;
    }
    if (pthread_cond_init(&pool->has_work, NULL) != 0) {
        goto destroy_mutex;
    }
    start_threads(pool, threads_n);
    if (pool->threads_n == 0) {
        goto destroy_condition;
    }
    return pool;

destroy_condition:
    pthread_cond_destroy(&pool->has_work);
destroy_mutex:
    pthread_mutex_destroy(&pool->mutex);
free_pool:
    free(pool->threads);
    free(pool->buckets);
    free(pool);
    return NULL;
}

void noc_auth_pool_stop(struct noc_auth_pool *pool)
{
    struct job *job;

    pthread_mutex_lock(&pool->mutex);
    pool->is_stopping = true;
    pthread_cond_broadcast(&pool->has_work);
    pthread_mutex_unlock(&pool->mutex);
    for (; pool->threads_n > 0; pool->threads_n--) {
        pthread_join(pool->threads[pool->threads_n - 1], NULL);
    }
    pthread_mutex_lock(&pool->mutex);
    while ((job = take_locked(pool)) != NULL) {
        job_free(job);
    }
    pthread_mutex_unlock(&pool->mutex);
}

void noc_auth_pool_free(struct noc_auth_pool *pool)
{
    if (pool == NULL) {
        return;
    }
    noc_auth_pool_stop(pool);
    pthread_cond_destroy(&pool->has_work);
    pthread_mutex_destroy(&pool->mutex);
    free(pool->threads);
    free(pool->buckets);
    free(pool);
}
