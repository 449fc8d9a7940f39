/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
/*
 * sim [--seed N | --random] [--shards N] [--scenario NAME] [--steps N] [--threads] [--verbose]
 *     [--seconds N] [--fault NAME] [--list]
 *
 * A round is all scenarios with one seed and one number of shards. Rounds follow one another for
 * as long as --seconds says, and until each number of shards has had its turn. Seeds count from
 * N, from one that the clock gives, or from 1. With --fault it is success that a fault is found.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine.h"
#include "sim.h"

struct options {
    const char *scenario;
    struct sim_options run;
    double seconds;
};

static double clock_s(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static uint64_t clock_seed(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static const char *value_of(int argc, char **argv, int *at)
{
    if (*at + 1 >= argc) {
        fprintf(stderr, "sim: %s wants a value\n", argv[*at]);
        exit(2);
    }
    return argv[++*at];
}

static void list(void)
{
    for (unsigned i = 0; i < sim_scenario_count; i++) {
        printf("%s\n", sim_scenarios[i].name);
    }
    exit(0);
}

static unsigned fault_of(const char *name)
{
    enum sim_fault fault = sim_fault_of(name);

    if (fault == SIM_FAULT_NONE) {
        fprintf(stderr, "sim: no fault %s, but these:\n", name);
        (void)sim_fault_of(NULL);
        exit(2);
    }
    return fault;
}

static void parse(int argc, char **argv, struct options *options)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--seed") == 0) {
            options->run.seed = strtoull(value_of(argc, argv, &i), NULL, 10);
        } else if (strcmp(argv[i], "--random") == 0) {
            options->run.seed = clock_seed();
        } else if (strcmp(argv[i], "--shards") == 0) {
            options->run.shards = (unsigned)strtoul(value_of(argc, argv, &i), NULL, 10);
        } else if (strcmp(argv[i], "--steps") == 0) {
            options->run.steps = (unsigned)strtoul(value_of(argc, argv, &i), NULL, 10);
        } else if (strcmp(argv[i], "--scenario") == 0) {
            options->scenario = value_of(argc, argv, &i);
        } else if (strcmp(argv[i], "--seconds") == 0) {
            options->seconds = strtod(value_of(argc, argv, &i), NULL);
        } else if (strcmp(argv[i], "--threads") == 0) {
            options->run.is_threaded = true;
        } else if (strcmp(argv[i], "--verbose") == 0) {
            options->run.is_verbose = true;
        } else if (strcmp(argv[i], "--list") == 0) {
            list();
        } else if (strcmp(argv[i], "--fault") == 0) {
            options->run.fault = fault_of(value_of(argc, argv, &i));
        } else {
            fprintf(stderr, "sim: what is %s?\n", argv[i]);
            exit(2);
        }
    }
    if (options->run.shards > SIM_SHARDS_MAX) {
        fprintf(stderr, "sim: %d shards at most\n", SIM_SHARDS_MAX);
        exit(2);
    }
}

/* Every scenario asked for, once. Returns how many there are. */
static unsigned run_all(const struct options *options, uint64_t seed, unsigned shards)
{
    struct sim_options run = options->run;
    unsigned count = 0;

    run.seed = seed;
    run.shards = shards;
    for (unsigned i = 0; i < sim_scenario_count; i++) {
        const struct sim_scenario *scenario = &sim_scenarios[i];

        if (options->scenario != NULL && strcmp(options->scenario, scenario->name) != 0) {
            continue;
        }
        count++;
        sim_run(scenario, &run);
    }
    return count;
}

int main(int argc, char **argv)
{
    static const unsigned shards[] = {2, 1, 4, 8};
    struct options options = {.run = {.seed = 1}};
    double begin = clock_s();
    unsigned worlds = 0, least;

    parse(argc, argv, &options);
    least = options.run.shards != 0 ? 1 : NOC_COUNT(shards);
    printf("sim: seeds from %lu on\n", (unsigned long)options.run.seed);
    fflush(stdout);
    for (unsigned round = 0; round < least || clock_s() - begin < options.seconds; round++) {
        unsigned count =
            options.run.shards != 0 ? options.run.shards : shards[round % NOC_COUNT(shards)];

        worlds += run_all(&options, options.run.seed + round, count);
    }
    if (worlds == 0) {
        fprintf(stderr, "sim: there is no scenario %s\n", options.scenario);
        return 2;
    }
    printf("sim: %u worlds in %.1f s\n", worlds, clock_s() - begin);
    if (options.run.fault != 0) {
        fprintf(stderr, "sim: the fault was not found\n");
        return 1;
    }
    return 0;
}
