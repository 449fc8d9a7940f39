/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scenarios in which messages flow.
 *
 * A group is one publisher and its subscribers, all on one worker. With a
 * window, a publisher sends while fewer than `window` of its messages have yet
 * to reach some subscriber, so that no queue of the broker can overflow and
 * what arrives is what it sustains. Paced, messages go out by the clock and
 * carry the time at which they were due, not that at which they were written:
 * a broker (or a generator) that stalls is charged for every message that it
 * held up.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/bench.h"
#include <noctule/error.h>

#define STALL_NS     (3 * NOC_BENCH_SECOND_NS)
#define IDLE_TURN_NS (5 * UINT64_C(1000000))

/* Messages sent in one turn at most, when the generator is behind its clock. */
enum { PACED_BATCH = 4096, DRAIN_SECONDS_MAX = 60 };

struct noc_bench_group {
    struct noc_bench_conn *publisher;
    struct noc_bench_template template;
    uint32_t number;   /* across all workers */
    uint32_t sent;     /* messages, and so the next sequence number */
    uint32_t finished; /* all below have reached every subscriber */
    uint32_t unacknowledged;
    uint16_t packet_id;
    bool is_dirty;
    uint32_t mask;     /* size of the ring, less one */
    uint32_t *missing; /* ring: subscribers that a message has yet to reach */
};

static void mark_dirty(struct noc_bench_worker *worker, struct noc_bench_group *group)
{
    if (!group->is_dirty) {
        group->is_dirty = true;
        worker->dirty[worker->dirty_count++] = group;
    }
}

/* ---- what comes in ---- */

static void note_reached(
    struct noc_bench_worker *worker, struct noc_bench_group *group, uint32_t sequence)
{
    if (sequence - group->finished >= group->sent - group->finished) {
        return;
    }
    if (--group->missing[sequence & group->mask] > 0) {
        return;
    }
    while (group->finished != group->sent && group->missing[group->finished & group->mask] == 0) {
        group->finished++;
    }
    mark_dirty(worker, group);
}

static void on_message(
    struct noc_bench_worker *worker, struct noc_bench_conn *conn, const uint8_t *payload)
{
    struct noc_bench_stamp stamp = noc_bench_stamp_read(payload);
    struct noc_bench_group *group = conn->group;

    if (stamp.group != group->number || stamp.sequence >= group->sent) {
        noc_bench_count(&worker->foreign, 1);
        return;
    }
    switch (noc_bench_book_note(&conn->book, stamp.sequence)) {
    case NOC_BENCH_AGAIN:
        noc_bench_count(&worker->duplicated, 1);
        return;
    case NOC_BENCH_LATE:
        noc_bench_count(&worker->out_of_order, 1);
        break;
    case NOC_BENCH_NEW:
        break;
    }
    noc_bench_count(&worker->received, 1);
    if (worker->plan->kind == NOC_BENCH_WINDOW) {
        note_reached(worker, group, stamp.sequence);
    }
    if (worker->phase >= PHASE_MEASURE && stamp.due_ns >= worker->from_ns &&
        (worker->phase == PHASE_MEASURE || stamp.due_ns < worker->until_ns)) {
        noc_bench_histogram_add(worker->latency_ns, worker->now_ns - stamp.due_ns);
    }
}

static void on_acknowledged(struct noc_bench_worker *worker, struct noc_bench_conn *conn)
{
    struct noc_bench_group *group = conn->group;

    if (group == NULL || group->unacknowledged == 0) {
        noc_bench_count(&worker->foreign, 1);
        return;
    }
    group->unacknowledged--;
    mark_dirty(worker, group);
}

static void on_writable(struct noc_bench_worker *worker, struct noc_bench_conn *conn)
{
    if (conn->group != NULL && conn->is_publisher) {
        mark_dirty(worker, conn->group);
    }
}

/* ---- what goes out ---- */

static void stage_message(
    struct noc_bench_worker *worker, struct noc_bench_group *group, uint64_t due_ns)
{
    struct noc_bench_stamp stamp = {
        .due_ns = due_ns, .sequence = group->sent, .group = group->number};

    if (worker->plan->qos > 0) {
        group->packet_id = (uint16_t)(group->packet_id == UINT16_MAX ? 1 : group->packet_id + 1);
        group->unacknowledged++;
    }
    noc_bench_template_put(&group->template, group->packet_id, &stamp,
        noc_bench_stage(worker, group->publisher, group->template.n));
    if (group->missing != NULL) {
        group->missing[group->sent & group->mask] = worker->plan->subscribers;
    }
    group->sent++;
    noc_bench_count(&worker->sent, 1);
}

/* Fill the group's window, with one write. */
static void fill_window(struct noc_bench_worker *worker, struct noc_bench_group *group)
{
    unsigned window = worker->plan->window;
    uint64_t now = noc_bench_now_ns();

    while (group->sent - group->finished < window && group->unacknowledged < window &&
           !noc_bench_is_blocked(group->publisher)) {
        stage_message(worker, group, now);
    }
    noc_bench_flush(worker, group->publisher);
}

/* Send what is due by now. Returns the time until the next is. */
static uint64_t send_due(struct noc_bench_worker *worker)
{
    uint64_t now = noc_bench_now_ns();

    for (unsigned i = 0; i < PACED_BATCH && worker->due_ns <= now; i++) {
        struct noc_bench_group *group = &worker->groups[worker->turn_of];

        worker->turn_of = (worker->turn_of + 1) % worker->group_count;
        stage_message(worker, group, worker->due_ns);
        noc_bench_flush(worker, group->publisher);
        worker->due_ns += worker->due_step_ns;
    }
    now = noc_bench_now_ns();
    return worker->due_ns > now ? worker->due_ns - now : 0;
}

/* The state of a worker whose scenario begins. */
static void begin(struct noc_bench_worker *worker)
{
    const struct noc_bench_plan *plan = worker->plan;

    for (unsigned i = 0; i < worker->group_count; i++) {
        mark_dirty(worker, &worker->groups[i]);
    }
    if (plan->kind == NOC_BENCH_PACED) {
        worker->due_step_ns = NOC_BENCH_SECOND_NS * plan->threads / plan->rate;
        worker->due_ns =
            noc_bench_now_ns() + worker->due_step_ns * (worker->index + 1) / plan->threads;
    }
}

static bool is_all_here(const struct noc_bench_worker *worker)
{
    return atomic_load(&worker->received) == atomic_load(&worker->sent) * worker->plan->subscribers;
}

/* Nothing has moved for long: give up what is under way, it will count as lost. */
static void write_off(struct noc_bench_worker *worker)
{
    for (unsigned i = 0; i < worker->group_count; i++) {
        worker->groups[i].finished = worker->groups[i].sent;
        worker->groups[i].unacknowledged = 0;
        mark_dirty(worker, &worker->groups[i]);
    }
    worker->progress_ns = noc_bench_now_ns();
}

static bool is_stalled(const struct noc_bench_worker *worker)
{
    return noc_bench_now_ns() > worker->progress_ns + STALL_NS;
}

static void fill_windows(struct noc_bench_worker *worker)
{
    unsigned n = worker->dirty_count;

    if (n == 0 && is_stalled(worker)) {
        write_off(worker);
        n = worker->dirty_count;
    }
    worker->dirty_count = 0;
    for (unsigned i = 0; i < n; i++) {
        struct noc_bench_group *group = worker->dirty[i];

        group->is_dirty = false;
        if (group->publisher->state == BENCH_READY) {
            fill_window(worker, group);
        }
    }
}

static uint64_t on_turn(struct noc_bench_worker *worker, enum noc_bench_phase phase)
{
    if (!worker->has_begun) {
        worker->has_begun = true;
        begin(worker);
    }
    if (phase == PHASE_DRAIN) {
        if (is_all_here(worker) || is_stalled(worker)) {
            atomic_store(&worker->is_drained, true);
        }
        return IDLE_TURN_NS;
    }
    if (worker->plan->kind == NOC_BENCH_PACED) {
        return send_due(worker);
    }
    fill_windows(worker);
    return IDLE_TURN_NS;
}

static const struct noc_bench_hooks flow_hooks = {
    .message = on_message,
    .acknowledged = on_acknowledged,
    .writable = on_writable,
    .turn = on_turn,
};

/* ---- setting up ---- */

static int init_group(struct noc_bench_worker *worker, unsigned index, uint32_t number)
{
    const struct noc_bench_plan *plan = worker->plan;
    struct noc_bench_group *group = &worker->groups[index];
    struct noc_bench_conn *conns = &worker->conns[(size_t)index * (plan->subscribers + 1)];
    uint32_t ring = 1;
    char topic[64];

    for (unsigned i = 0; i <= plan->subscribers; i++) {
        conns[i].group = group;
    }
    group->number = number;
    group->publisher = &conns[plan->subscribers];
    group->publisher->is_publisher = true;
    snprintf(topic, sizeof(topic), "%s/%u/%u", plan->run_id, worker->index, index);
    if (plan->kind == NOC_BENCH_WINDOW) {
        while (ring < plan->window) {
            ring *= 2;
        }
        group->mask = ring - 1;
        group->missing = calloc(ring, sizeof(*group->missing));
        if (group->missing == NULL) {
            return NOC_ENOMEM;
        }
    }
    struct noc_bench_message message = {.topic = noc_slice_of(topic),
        .version = plan->version,
        .qos = plan->qos,
        .payload_bytes = plan->payload_bytes,
        .ws = plan->ws};

    return noc_bench_template_init(&group->template, &message);
}

static int init_worker(struct noc_bench_worker *worker, const struct noc_bench_plan *plan,
    struct noc_bench_control *control, unsigned index)
{
    unsigned groups = plan->groups / plan->threads + (index < plan->groups % plan->threads);
    int err = noc_bench_worker_init(worker, plan, control, groups * (plan->subscribers + 1));

    if (err < 0) {
        return err;
    }
    worker->index = index;
    worker->hooks = &flow_hooks;
    worker->groups = calloc(groups, sizeof(*worker->groups));
    worker->dirty = calloc(groups, sizeof(struct noc_bench_group *));
    if (worker->groups == NULL || worker->dirty == NULL) {
        return NOC_ENOMEM;
    }
    worker->group_count = groups;
    for (unsigned i = 0; i < groups && err == NOC_OK; i++) {
        err = init_group(worker, i, i * plan->threads + index);
    }
    return err;
}

static void done_worker(struct noc_bench_worker *worker)
{
    for (unsigned i = 0; i < worker->group_count; i++) {
        free(worker->groups[i].template.bytes);
        free(worker->groups[i].missing);
    }
    free(worker->groups);
    free((void *)worker->dirty);
    if (worker->plan != NULL) {
        noc_bench_worker_done(worker);
    }
}

/* ---- running ---- */

struct totals {
    uint64_t sent, received, duplicated, out_of_order, foreign, reads, time_ns;
    struct noc_bench_usage broker;
};

static struct totals read_totals(
    const struct noc_bench_plan *plan, struct noc_bench_worker *workers)
{
    struct totals totals = {.broker = noc_bench_usage_read(plan->pid)};

    for (unsigned i = 0; i < plan->threads; i++) {
        totals.sent += atomic_load(&workers[i].sent);
        totals.received += atomic_load(&workers[i].received);
        totals.duplicated += atomic_load(&workers[i].duplicated);
        totals.out_of_order += atomic_load(&workers[i].out_of_order);
        totals.foreign += atomic_load(&workers[i].foreign);
        totals.reads += atomic_load(&workers[i].reads);
    }
    totals.time_ns = noc_bench_now_ns();
    return totals;
}

static double microseconds(const struct noc_bench_histogram *latency_ns, double share)
{
    return (double)noc_bench_histogram_at(latency_ns, share) / 1e3;
}

static int report(const struct noc_bench_plan *plan, struct noc_bench_worker *workers,
    const struct totals *from, const struct totals *until)
{
    struct totals last = read_totals(plan, workers);
    struct noc_bench_histogram *latency = workers[0].latency_ns;
    double seconds = (double)(until->time_ns - from->time_ns) / 1e9;
    double messages = (double)(until->received - from->received);
    double cpu = until->broker.cpu_seconds - from->broker.cpu_seconds;
    double disk = (double)(until->broker.disk_bytes - from->broker.disk_bytes);
    uint64_t lost = last.sent * plan->subscribers - last.received;
    bool no_broker = plan->pid == 0 || messages <= 0;

    for (unsigned i = 1; i < plan->threads; i++) {
        noc_bench_histogram_merge(latency, workers[i].latency_ns);
    }
    const struct noc_bench_figure figures[] = {
        {"messages_per_s", "messages/s", messages / seconds, 0, false},
        {"sent_per_s", "sent/s", (double)(until->sent - from->sent) / seconds, 0, false},
        {"broker_us_per_message", "broker CPU us/message", cpu * 1e6 / messages, 3, no_broker},
        {"broker_cpu_percent", "broker CPU %", cpu * 100 / seconds, 0, no_broker},
        {"disk_bytes_per_message", "broker bytes to disk/message", disk / messages, 1, no_broker},
        {"broker_rss_bytes", "broker RSS bytes", (double)until->broker.rss_bytes, 0, no_broker},
        {"p50_us", "p50 us", microseconds(latency, 0.5), 1, false},
        {"p99_us", "p99 us", microseconds(latency, 0.99), 1, false},
        {"p999_us", "p99.9 us", microseconds(latency, 0.999), 1, false},
        {"max_us", "max us", (double)latency->greatest / 1e3, 1, false},
        {"messages_per_read", "messages/read",
            messages / (double)(until->reads - from->reads + (until->reads == from->reads)), 1,
            false},
        {"lost", "lost", (double)lost, 0, false},
        {"duplicated", "duplicated", (double)last.duplicated, 0, false},
        {"out_of_order", "out of order", (double)last.out_of_order, 0, false},
        {"foreign", "foreign", (double)last.foreign, 0, last.foreign == 0},
    };

    noc_bench_report(plan, figures, NOC_COUNT(figures));
    return lost > 0 || last.duplicated > 0 || last.out_of_order > 0 ? BENCH_LOST : BENCH_OK;
}

static void wait_drained(struct noc_bench_control *control, const struct noc_bench_plan *plan,
    struct noc_bench_worker *workers)
{
    uint64_t until = noc_bench_now_ns() + DRAIN_SECONDS_MAX * NOC_BENCH_SECOND_NS;

    for (unsigned i = 0; i < plan->threads && noc_bench_now_ns() < until;) {
        if (atomic_load(&workers[i].is_drained)) {
            i++;
        } else if (!noc_bench_sleep(control, 0.001)) {
            return;
        }
    }
}

/* Move the running workers through the phases. */
static int go_through_phases(struct noc_bench_control *control, const struct noc_bench_plan *plan,
    struct noc_bench_worker *workers)
{
    if (!noc_bench_wait_ready(control, workers, plan->threads)) {
        return atomic_load(&control->status);
    }
    noc_bench_phase_set(control, PHASE_WARM_UP);
    if (!noc_bench_sleep(control, plan->warmup_seconds)) {
        return atomic_load(&control->status);
    }
    struct totals from = read_totals(plan, workers);

    noc_bench_phase_set(control, PHASE_MEASURE);
    noc_bench_sleep(control, plan->seconds);
    struct totals until = read_totals(plan, workers);

    noc_bench_phase_set(control, PHASE_DRAIN);
    wait_drained(control, plan, workers);
    noc_bench_stop(workers, plan->threads);
    int status = atomic_load(&control->status);

    return status == BENCH_OK ? report(plan, workers, &from, &until) : status;
}

int noc_bench_flow_run(const struct noc_bench_plan *plan)
{
    struct noc_bench_control control = {0};
    struct noc_bench_worker *workers = calloc(plan->threads, sizeof(*workers));
    int err = workers == NULL ? NOC_ENOMEM : NOC_OK;
    int status = BENCH_USAGE;
    unsigned initialised = 0;

    while (err == NOC_OK && initialised < plan->threads) {
        err = init_worker(&workers[initialised], plan, &control, initialised);
        initialised++;
    }
    if (err == NOC_OK) {
        noc_bench_start(workers, plan->threads);
        status = go_through_phases(&control, plan, workers);
        noc_bench_stop(workers, plan->threads);
        if (atomic_load(&control.status) != BENCH_OK) {
            fprintf(stderr, "noctule bench: %s\n", control.failure);
        }
    } else {
        fprintf(stderr, "noctule bench: %s\n", noc_error_text(err));
    }
    for (unsigned i = 0; i < initialised; i++) {
        done_worker(&workers[i]);
    }
    free(workers);
    return status;
}
