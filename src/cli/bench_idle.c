/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many connections that say nothing: how fast they are taken in, what each
 * costs in memory, and what all of them cost in CPU time while nothing happens.
 */
#define _GNU_SOURCE
#include <stdio.h>

#include "cli/bench.h"
#include <noctule/error.h>

static void on_message(
    struct noc_bench_worker *worker, struct noc_bench_conn *conn, const uint8_t *payload)
{
    (void)conn;
    (void)payload;
    noc_bench_count(&worker->foreign, 1);
}

static void on_nothing(struct noc_bench_worker *worker, struct noc_bench_conn *conn)
{
    (void)worker;
    (void)conn;
}

static uint64_t on_turn(struct noc_bench_worker *worker, enum noc_bench_phase phase)
{
    (void)worker;
    (void)phase;
    return NOC_BENCH_SECOND_NS / 20;
}

static const struct noc_bench_hooks idle_hooks = {
    .message = on_message,
    .acknowledged = on_nothing,
    .writable = on_nothing,
    .turn = on_turn,
};

static void report(const struct noc_bench_plan *plan, double open_seconds,
    const struct noc_bench_usage *usage, double idle_seconds)
{
    double count = plan->connections;
    double opening = usage[1].cpu_seconds - usage[0].cpu_seconds;
    double idle = usage[2].cpu_seconds - usage[1].cpu_seconds;
    double grown = (double)usage[2].rss_bytes - (double)usage[0].rss_bytes;
    bool no_broker = plan->pid == 0;
    const struct noc_bench_figure figures[] = {
        {"connections", "connections", count, 0, false},
        {"connections_per_s", "connections/s", count / open_seconds, 0, false},
        {"bytes_per_connection", "broker RSS bytes/connection", grown / count, 0, no_broker},
        {"broker_us_per_connection", "broker CPU us/connection", opening * 1e6 / count, 1,
            no_broker},
        {"idle_cpu_percent", "idle CPU %", idle * 100 / idle_seconds, 2, no_broker},
    };

    noc_bench_report(plan, figures, NOC_COUNT(figures));
}

int noc_bench_idle_run(const struct noc_bench_plan *plan)
{
    struct noc_bench_control control = {0};
    struct noc_bench_worker worker;
    struct noc_bench_usage usage[3];
    int err = noc_bench_worker_init(&worker, plan, &control, plan->connections);

    if (err < 0) {
        fprintf(stderr, "noctule bench: %s\n", noc_error_text(err));
        return BENCH_USAGE;
    }
    worker.hooks = &idle_hooks;
    usage[0] = noc_bench_usage_read(plan->pid);
    uint64_t start = noc_bench_now_ns();

    noc_bench_start(&worker, 1);
    if (noc_bench_wait_ready(&control, &worker, 1)) {
        double open_seconds = (double)(atomic_load(&worker.opened_ns) - start) / 1e9;

        noc_bench_phase_set(&control, PHASE_MEASURE);
        noc_bench_sleep(&control, plan->warmup_seconds);
        usage[1] = noc_bench_usage_read(plan->pid);
        uint64_t quiet = noc_bench_now_ns();

        if (noc_bench_sleep(&control, plan->seconds)) {
            usage[2] = noc_bench_usage_read(plan->pid);
            report(plan, open_seconds, usage, (double)(noc_bench_now_ns() - quiet) / 1e9);
        }
    }
    noc_bench_stop(&worker, 1);
    int status = atomic_load(&control.status);

    if (status != BENCH_OK) {
        fprintf(stderr, "noctule bench: %s\n", control.failure);
    }
    noc_bench_worker_done(&worker);
    return status;
}
