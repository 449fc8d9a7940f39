/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The workers of the load generator, and the main thread's hold on them.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "cli/bench.h"
#include <noctule/error.h>

enum { EVENTS_PER_TURN = 512, OPEN_SECONDS_MAX = 120 };

#define MILLISECOND_NS UINT64_C(1000000)

uint64_t noc_bench_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NOC_BENCH_SECOND_NS + (uint64_t)now.tv_nsec;
}

void noc_bench_fail_mt(struct noc_bench_control *control, int status, const char *format, ...)
{
    int expected = BENCH_OK;
    va_list arguments;

    if (!atomic_compare_exchange_strong(&control->status, &expected, status)) {
        return;
    }
    va_start(arguments, format);
    vsnprintf(control->failure, sizeof(control->failure), format, arguments);
    va_end(arguments);
    atomic_store(&control->phase, PHASE_STOP);
}

int noc_bench_worker_init(struct noc_bench_worker *worker, const struct noc_bench_plan *plan,
    struct noc_bench_control *control, unsigned conn_count)
{
    *worker = (struct noc_bench_worker){.plan = plan, .control = control};
    worker->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (worker->epoll < 0) {
        return NOC_EIO;
    }
    worker->conns = calloc(conn_count, sizeof(*worker->conns));
    worker->scratch = malloc(NOC_BENCH_SCRATCH_BYTES);
    worker->stage = malloc(NOC_BENCH_STAGE_BYTES + plan->payload_bytes + 1024);
    worker->latency_ns = calloc(1, sizeof(*worker->latency_ns));
    if (worker->conns == NULL || worker->scratch == NULL || worker->stage == NULL ||
        worker->latency_ns == NULL) {
        noc_bench_worker_done(worker);
        return NOC_ENOMEM;
    }
    worker->conn_count = conn_count;
    for (unsigned i = 0; i < conn_count; i++) {
        worker->conns[i].index = i;
    }
    return NOC_OK;
}

void noc_bench_worker_done(struct noc_bench_worker *worker)
{
    for (unsigned i = 0; i < worker->conn_count; i++) {
        noc_bench_conn_done(&worker->conns[i]);
    }
    free(worker->conns);
    free(worker->scratch);
    free(worker->stage);
    free(worker->latency_ns);
    if (worker->plan != NULL) {
        close(worker->epoll);
    }
    *worker = (struct noc_bench_worker){0};
}

/*
 * Wait for events up to sleep_ns. epoll_wait() knows milliseconds only; less
 * is slept in ppoll() on the epoll descriptor.
 */
static int wait_events(
    struct noc_bench_worker *worker, uint64_t sleep_ns, struct epoll_event *ret_events)
{
    int milliseconds = (int)(sleep_ns / MILLISECOND_NS);

    if (sleep_ns % MILLISECOND_NS != 0) {
        struct pollfd waited = {.fd = worker->epoll, .events = POLLIN};
        struct timespec time = {.tv_sec = (time_t)(sleep_ns / NOC_BENCH_SECOND_NS),
            .tv_nsec = (long)(sleep_ns % NOC_BENCH_SECOND_NS)};

        if (ppoll(&waited, 1, &time, NULL) <= 0) {
            return 0;
        }
        milliseconds = 0;
    }
    return epoll_wait(worker->epoll, ret_events, EVENTS_PER_TURN, milliseconds);
}

/* See the phase the run is in, and note when the measured time begins and ends. */
static enum noc_bench_phase see_phase(struct noc_bench_worker *worker)
{
    enum noc_bench_phase phase =
        (enum noc_bench_phase)atomic_load_explicit(&worker->control->phase, memory_order_acquire);

    if (phase != worker->phase) {
        uint64_t now = noc_bench_now_ns();

        if (worker->phase < PHASE_MEASURE && phase >= PHASE_MEASURE) {
            worker->from_ns = now;
        }
        if (worker->phase < PHASE_DRAIN && phase >= PHASE_DRAIN) {
            worker->until_ns = now;
        }
        worker->progress_ns = now;
        worker->phase = phase;
    }
    return phase;
}

static void open_more(struct noc_bench_worker *worker)
{
    while (worker->opened < worker->conn_count && worker->opening < worker->plan->burst &&
           worker->phase != PHASE_STOP) {
        struct noc_bench_conn *conn = &worker->conns[worker->opened++];

        worker->opening++;
        noc_bench_conn_open(worker, conn);
        if (conn->state == BENCH_CLOSED) {
            return;
        }
    }
}

void *noc_bench_worker_run(void *arg)
{
    struct noc_bench_worker *worker = arg;
    struct epoll_event events[EVENTS_PER_TURN];

    prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    for (;;) {
        enum noc_bench_phase phase = see_phase(worker);
        uint64_t sleep_ns = 5 * MILLISECOND_NS;

        if (phase == PHASE_STOP) {
            return NULL;
        }
        open_more(worker);
        if (phase > PHASE_OPEN) {
            sleep_ns = worker->hooks->turn(worker, phase);
        }
        int n = wait_events(worker, sleep_ns, events);

        for (int i = 0; i < n; i++) {
            noc_bench_conn_event(worker, events[i].data.ptr, events[i].events);
        }
    }
}

/* ---- the main thread ---- */

void noc_bench_phase_set(struct noc_bench_control *control, enum noc_bench_phase phase)
{
    if (atomic_load(&control->status) == BENCH_OK) {
        atomic_store(&control->phase, (int)phase);
    }
    if (atomic_load(&control->status) != BENCH_OK) {
        atomic_store(&control->phase, PHASE_STOP);
    }
}

bool noc_bench_sleep(struct noc_bench_control *control, double seconds)
{
    uint64_t until = noc_bench_now_ns() + (uint64_t)(seconds * 1e9);

    for (;;) {
        uint64_t now = noc_bench_now_ns();

        if (atomic_load(&control->status) != BENCH_OK || now >= until) {
            return atomic_load(&control->status) == BENCH_OK;
        }
        uint64_t nap = until - now < 20 * MILLISECOND_NS ? until - now : 20 * MILLISECOND_NS;

        nanosleep(&(struct timespec){.tv_nsec = (long)nap}, NULL);
    }
}

bool noc_bench_wait_ready(
    struct noc_bench_control *control, struct noc_bench_worker *workers, unsigned count)
{
    uint64_t until = noc_bench_now_ns() + OPEN_SECONDS_MAX * NOC_BENCH_SECOND_NS;

    for (unsigned i = 0; i < count;) {
        if (atomic_load(&workers[i].ready) == workers[i].conn_count) {
            i++;
            continue;
        }
        if (noc_bench_now_ns() > until) {
            noc_bench_fail_mt(control, BENCH_TIMEOUT, "worker %u: only %u of %u connections opened",
                i, atomic_load(&workers[i].ready), workers[i].conn_count);
        }
        if (!noc_bench_sleep(control, 0.001)) {
            return false;
        }
    }
    return atomic_load(&control->status) == BENCH_OK;
}

void noc_bench_start(struct noc_bench_worker *workers, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        int failure = pthread_create(&workers[i].thread, NULL, noc_bench_worker_run, &workers[i]);

        if (failure != 0) {
            noc_bench_fail_mt(
                workers[i].control, BENCH_USAGE, "cannot start a thread: %s", strerror(failure));
            return;
        }
        workers[i].is_running = true;
    }
}

void noc_bench_stop(struct noc_bench_worker *workers, unsigned count)
{
    if (count > 0) {
        atomic_store(&workers[0].control->phase, PHASE_STOP);
    }
    for (unsigned i = 0; i < count; i++) {
        if (workers[i].is_running) {
            pthread_join(workers[i].thread, NULL);
            workers[i].is_running = false;
        }
    }
}
