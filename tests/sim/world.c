/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
/*
 * A world from begin to end:
 *
 *   steps       chance decides who acts: a worker, a client, the clock
 *   calm        no more work; everybody connects, answers, hears the rest
 *   finish      the oracle looks back
 *   leaving     everybody leaves for good; nothing may be left (half of the
 *               worlds end without this, in the middle of everything)
 *   end         links are closed, shards and core are done
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine.h"
#include "mqtt/topic.h"
#include "sim.h"

enum { CALM_ROUNDS_MAX = 20000, QUIET_ROUNDS = 20 };

uint64_t sim_now(const struct sim_world *world)
{
    struct timespec now;

    if (!world->is_threaded) {
        return world->now_ms;
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void sim_say(const struct sim_world *world, const char *format, ...)
{
    va_list args;

    if (world->is_verbose) {
        va_start(args, format);
        fprintf(stderr, "%lu %lu: ", (unsigned long)world->step, (unsigned long)sim_now(world));
        vfprintf(stderr, format, args);
        fprintf(stderr, "\n");
        va_end(args);
    }
}

void sim_fail(const struct sim_world *world, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fprintf(stderr, "sim: %s: ", world->scenario->name);
    vfprintf(stderr, format, args);
    fprintf(stderr,
        "\nsim: at step %lu; again with: sim --scenario %s --seed %lu --shards %u "
        "--steps %u%s%s%s --verbose\n",
        (unsigned long)world->step, world->scenario->name, (unsigned long)world->seed,
        world->shard_count, world->steps, world->is_threaded ? " --threads" : "",
        world->fault != 0 ? " --fault " : "", sim_fault_name(world->fault));
    va_end(args);
    for (unsigned i = 0; i < world->shard_count; i++) {
        fprintf(stderr, "sim: shard %u said last: %s\n", i, world->workers[i].last_log[0]);
    }
    fflush(NULL);
    _Exit(world->fault != 0 ? 0 : 1); /* a mistake made on purpose is to be found */
}

/* ---- begin ---- */

static char *copy_of(const char *text)
{
    size_t n = strlen(text) + 1;

    return memcpy(sim_alloc(n), text, n);
}

static void make_topics(struct sim_world *world)
{
    const struct sim_scenario *scenario = world->scenario;
    unsigned count = 0;
    char name[32];

    while (scenario->topics != NULL && scenario->topics[count] != NULL) {
        count++;
    }
    world->will_topic = scenario->topics == NULL ? scenario->clients * 2 : count;
    world->topic_count = world->will_topic + scenario->clients;
    world->topics = sim_alloc(world->topic_count * sizeof *world->topics);
    for (unsigned i = 0; i < world->topic_count; i++) {
        if (i < count) {
            world->topics[i] = copy_of(scenario->topics[i]);
        } else {
            (void)snprintf(name, sizeof name, i < world->will_topic ? "number/%u" : "will/%u",
                i < world->will_topic ? i : i - world->will_topic);
            world->topics[i] = copy_of(name);
        }
    }
}

static void make_filters(struct sim_world *world)
{
    const char *const *texts = world->scenario->filters;
    unsigned count = 0;

    while (texts != NULL && texts[count] != NULL) {
        count++;
    }
    world->filter_count = texts == NULL ? world->scenario->clients : count;
    world->filters = sim_alloc(world->filter_count * sizeof *world->filters);
    for (unsigned i = 0; i < world->filter_count; i++) {
        struct sim_filter *filter = &world->filters[i];
        struct noc_slice group, plain;

        *filter = (struct sim_filter){.text = texts == NULL ? world->topics[i] : texts[i]};
        filter->plain = filter->text;
        if (noc_filter_is_shared(noc_slice_of(filter->text))) {
            filter->is_shared = noc_share_split(noc_slice_of(filter->text), &group, &plain);
            filter->plain = plain.at;
        }
    }
}

static void make_limits(struct sim_world *world)
{
    world->limits = (struct noc_limits){.compatibility = NOC_COMPAT_2_0,
        .max_inflight_messages = 20,
        .max_output_bytes = 1 << 26,
        .connect_timeout_ms = 100000000,
        .mailbox_high = 10000,
        .retain_available = true,
        .connection_messages = true,
        .listener_count = 2};
    if (world->scenario->limits != NULL) {
        world->scenario->limits(&world->limits);
    }
    for (unsigned i = 0; i < 2; i++) {
        world->listeners[i] = (struct noc_listener){.number = i,
            .mount_point = noc_slice_of(!world->profile->has_mounts ? NULL
                                        : i == 0                    ? "zero/"
                                                                    : "mount/"),
            .port = 1883,
            .max_qos = 2,
            .max_topic_alias = 10,
            .max_topic_alias_broker = 10,
            .allow_zero_length_clientid = true};
    }
}

static void begin(struct sim_world *world)
{
    const struct sim_scenario *scenario = world->scenario;

    make_topics(world);
    make_filters(world);
    make_limits(world);
    if (noc_core_init(&world->core, world->shard_count, &world->limits,
            sim_random(&world->random)) != NOC_OK) {
        abort();
    }
    atomic_store(&world->core.log_mask,
        world->is_verbose ? NOC_LOG_ALL : NOC_LOG_ALL & ~(unsigned)NOC_LOG_DEBUG);
    world->workers = aligned_alloc(64, world->shard_count * sizeof *world->workers);
    if (world->workers == NULL) {
        abort();
    }
    memset(world->workers, 0, world->shard_count * sizeof *world->workers);
    for (unsigned i = 0; i < world->shard_count; i++) {
        sim_worker_init(world, i);
    }
    world->clients = sim_alloc(scenario->clients * sizeof *world->clients);
    memset(world->clients, 0, scenario->clients * sizeof *world->clients);
    for (unsigned i = 0; i < scenario->clients; i++) {
        sim_client_init(&world->clients[i], world, i);
    }
}

/* ---- steps ---- */

static void toggle(atomic_bool *flag, struct sim_random *random, unsigned chance)
{
    if (sim_chance(random, chance)) {
        atomic_store(flag, !atomic_load(flag));
    }
}

/* Time does not go on in the middle of a turn. */
static void finish_turns(struct sim_world *world)
{
    for (unsigned i = 0; i < world->shard_count && !world->is_threaded; i++) {
        if (world->workers[i].phase != 0) {
            sim_worker_turn(&world->workers[i]);
        }
    }
}

static void step(struct sim_world *world)
{
    struct sim_random *random = &world->random;
    unsigned kind = sim_below(random, 100);
    struct sim_worker *worker = &world->workers[sim_below(random, world->shard_count)];

    world->step++;
    if (kind < 40) {
        if (!world->is_threaded && sim_worker_is_runnable(worker)) {
            if (world->is_loose) {
                sim_worker_step(worker);
            } else {
                sim_worker_turn(worker);
            }
        }
    } else if (kind < 94) {
        sim_client_turn(&world->clients[sim_below(random, world->scenario->clients)]);
    } else if (kind < 98) {
        finish_turns(world);
        world->now_ms += sim_chance(random, world->profile->jump)
                             ? 60000
                             : sim_below(random, world->profile->step_ms + 1);
    } else {
        toggle(&worker->is_frozen, random, world->profile->freeze * 50);
        toggle(&world->core.is_memory_short, random, world->profile->memory_short * 50);
    }
    if (!world->is_threaded && world->step % 64 == 0) {
        sim_invariants(world);
    }
}

/* ---- calm ---- */

static bool is_quiet(struct sim_world *world)
{
    for (unsigned i = 0; i < world->scenario->clients; i++) {
        struct sim_client *client = &world->clients[i];
        size_t left = 0;

        if (!sim_client_is_idle(client)) {
            return false;
        }
        if (client->wire != NULL) {
            (void)pthread_mutex_lock(&client->wire->lock);
            left = client->wire->up.n + client->wire->down.n;
            (void)pthread_mutex_unlock(&client->wire->lock);
        }
        if (left > 0) {
            return false;
        }
    }
    for (unsigned i = 0; i < world->shard_count && !world->is_threaded; i++) {
        if (sim_worker_is_runnable(&world->workers[i])) {
            return false;
        }
    }
    return true;
}

static void pause_for_threads(void)
{
    const struct timespec some = {0, 300000};

    (void)nanosleep(&some, NULL);
}

static void tell_who_waits(struct sim_world *world)
{
    for (unsigned i = 0; i < world->scenario->clients; i++) {
        const struct sim_client *client = &world->clients[i];

        if (!sim_client_is_idle(client)) {
            fprintf(stderr, "sim: client %s%s waits: state %u, %u in flight, subscribe %u\n",
                client->id, client->engine != NULL ? " (engine)" : "", client->state,
                client->engine != NULL ? sim_engine_flights(client) : client->flight_count,
                client->subscribe_id);
        }
    }
}

static void wake_all(struct sim_world *world)
{
    for (unsigned i = 0; i < world->shard_count; i++) {
        atomic_store(&world->workers[i].is_frozen, false);
        sim_wake(world, i);
    }
    atomic_store(&world->core.is_memory_short, false);
}

/* Everybody in turn. */
static void go_round(struct sim_world *world)
{
    world->step++;
    for (unsigned i = 0; i < world->scenario->clients; i++) {
        sim_client_turn(&world->clients[i]);
    }
    for (unsigned i = 0; i < world->shard_count && !world->is_threaded; i++) {
        if (sim_worker_is_runnable(&world->workers[i])) {
            sim_worker_turn(&world->workers[i]);
        }
    }
    if (world->is_threaded) {
        pause_for_threads();
    }
}

static void rest(struct sim_world *world, const char *what)
{
    unsigned rounds = 0;

    for (unsigned quiet = 0; quiet < QUIET_ROUNDS; quiet = is_quiet(world) ? quiet + 1 : 0) {
        world->now_ms++;
        go_round(world);
        if (++rounds > CALM_ROUNDS_MAX) {
            tell_who_waits(world);
            sim_fail(world, "no progress while %s", what);
        }
    }
}

/* No more work; then time goes on, so that what waits for it (a will) happens; then quiet again. */
static void calm(struct sim_world *world, const char *what)
{
    finish_turns(world);
    wake_all(world);
    rest(world, what);
    for (unsigned i = 0; i < 30 && !world->is_leaving; i++) {
        world->now_ms += 1000;
        go_round(world);
    }
    rest(world, what);
}

/* ---- end ---- */

static void end(struct sim_world *world)
{
    for (unsigned i = 0; i < world->shard_count; i++) {
        noc_shard_close_links(&world->workers[i].shard);
        sim_worker_bury(&world->workers[i], true);
    }
    for (unsigned i = 0; i < world->shard_count; i++) {
        struct sim_worker *worker = &world->workers[i];

        for (unsigned c = 0; c < NOC_COUNTERS; c++) {
            bool is_left = c == NOC_COUNT_CONNECTED || c == NOC_COUNT_PAUSED;

            if (is_left && atomic_load(&worker->shard.counters[c]) != 0) {
                sim_fail(world, "a counter of links is left at the end");
            }
        }
        noc_shard_done(&worker->shard);
        if (atomic_load(&worker->shard.counters[NOC_COUNT_MESSAGES_QUEUED]) != 0 ||
            atomic_load(&worker->shard.counters[NOC_COUNT_BYTES_QUEUED]) != 0) {
            sim_fail(world, "a counter of messages is left at the end");
        }
        (void)pthread_mutex_destroy(&worker->lock);
        (void)pthread_cond_destroy(&worker->bell);
    }
    noc_core_done(&world->core);
    for (unsigned i = 0; i < world->scenario->clients; i++) {
        sim_client_done(&world->clients[i]);
    }
    for (uint32_t i = 0; i < world->session_count; i++) {
        free(world->sessions[i]->subs);
        free(world->sessions[i]->got);
        free(world->sessions[i]->last);
        free(world->sessions[i]->seen);
        free(world->sessions[i]->incoming);
        free(world->sessions[i]);
    }
    for (unsigned i = 0; i < world->topic_count; i++) {
        free(world->topics[i]);
    }
    free(world->topics);
    free(world->filters);
    free(world->sessions);
    free(world->messages);
    free(world->clients);
    free(world->workers);
}

static void start_threads(struct sim_world *world)
{
    for (unsigned i = 0; i < world->shard_count; i++) {
        if (pthread_create(&world->workers[i].thread, NULL, sim_worker_run, &world->workers[i]) !=
            0) {
            abort();
        }
    }
}

static void stop_threads(struct sim_world *world)
{
    for (unsigned i = 0; i < world->shard_count; i++) {
        atomic_store(&world->workers[i].is_stopping, true);
        (void)pthread_join(world->workers[i].thread, NULL);
    }
}

/* A call to a shard, as the control thread of a broker makes them when it stops. */
static void stop_shard(struct noc_shard *shard, void *argument)
{
    (void)argument;
    if (shard != NULL) {
        noc_shard_fire_wills(shard);
        noc_shard_stop(shard);
    }
}

static void stop_shards(struct sim_world *world)
{
    for (unsigned i = 0; i < world->shard_count; i++) {
        bool is_wake = false;

        if (noc_shard_call_mt(&world->core, i, stop_shard, NULL, &is_wake) != NOC_OK) {
            abort();
        }
        if (is_wake) {
            sim_wake(world, i);
        }
    }
    /* Whoever is let in now is not let in; each wire must be closed in the end. */
    world->is_lawless = true;
    wake_all(world);
    for (unsigned i = 0; i < 200; i++) {
        world->now_ms++;
        go_round(world);
    }
    if (!world->is_threaded) {
        sim_invariants(world);
        if (noc_core_count_mt(&world->core, NOC_COUNT_CONNECTED) != 0) {
            sim_fail(world, "a client is connected although all have been stopped");
        }
    }
}

static void live(struct sim_world *world)
{
    unsigned ending = sim_below(&world->random, 4);

    world->is_active = true;
    while (world->step < world->steps) {
        step(world);
        if (world->is_threaded && world->step % 16 == 0) {
            pause_for_threads();
        }
    }
    if (ending == 0) {
        return;
    }
    if (ending == 1) {
        stop_shards(world);
        return;
    }
    world->is_active = false;
    calm(world, "all come to rest");
    sim_oracle_finish(world);
    world->is_leaving = true;
    calm(world, "all are leaving");
}

/*
 * Memory that is short ends connections of MQTT 3, which cannot be told otherwise. In MQTT 5 every
 * client gets its answers, and hears of the one before it if that is one of MQTT 5 too. But chance
 * may keep a client out, or a worker frozen, for nearly all of the time: then nothing is said of it,
 * nor where the shards were stopped in the middle.
 */
static void check_progress(const struct sim_world *world)
{
    unsigned count = world->is_leaving ? world->scenario->clients : 0;

    for (unsigned i = 0; i < count; i++) {
        const struct sim_client *before = &world->clients[i];
        const struct sim_client *client = &world->clients[(i + 1) % count];

        if (client->version == NOC_V5 && client->ring_said > 0 && client->ring_answered == 0) {
            sim_fail(world, "client %s was never answered", client->id);
        }
        if (client->version == NOC_V5 && before->version == NOC_V5 && before->ring_taken >= 8 &&
            client->ring_seen == 0) {
            sim_fail(world, "client %s has heard nothing", client->id);
        }
    }
    if (world->short_heard < world->scenario->clients ||
        world->short_answered < world->scenario->clients) {
        sim_fail(world, "hardly any progress while memory is short: %lu messages, %lu answers",
            (unsigned long)world->short_heard, (unsigned long)world->short_answered);
    }
}

void sim_run(const struct sim_scenario *scenario, const struct sim_options *options)
{
    struct sim_world *world = sim_alloc(sizeof *world);

    memset(world, 0, sizeof *world);
    *world = (struct sim_world){.scenario = scenario,
        .profile = &scenario->profile,
        .seed = options->seed,
        .shard_count = options->shards,
        .steps = options->steps != 0 ? options->steps : scenario->steps,
        .fault = options->fault,
        .is_threaded = options->is_threaded,
        .is_verbose = options->is_verbose,
        .is_lawless = scenario->profile.is_storm || scenario->profile.memory_fails > 0,
        .random = {options->seed * 1000003 + options->shards},
        .now_ms = SIM_FIRST_MS};
    begin(world);
    world->is_loose = options->is_threaded || sim_chance(&world->random, 500);
    if (options->is_threaded) {
        start_threads(world);
    }
    live(world);
    finish_turns(world);
    if (options->is_threaded) {
        stop_threads(world);
    }
    if (world->is_leaving) {
        sim_invariants_end(world);
    }
    if (scenario->profile.is_ring && world->steps >= scenario->steps) {
        check_progress(world);
    }
    end(world);
    free(world);
}
