/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
/*
 * sim [--seed N | --random] [--shards N] [--scenario NAME] [--steps N] [--threads] [--verbose]
 *     [--seconds N] [--list]
 *
 * A round is all scenarios with one seed and one number of shards. Rounds follow one another for
 * as long as --seconds says, and until each number of shards has had its turn. Seeds count from
 * N, from one that the clock gives, or from 1.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sim.h"

struct options {
    const char *scenario;
    uint64_t seed;
    unsigned shards, steps;
    double seconds;
    bool is_threaded, is_verbose;
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

static void parse(int argc, char **argv, struct options *options)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--seed") == 0) {
            options->seed = strtoull(value_of(argc, argv, &i), NULL, 10);
        } else if (strcmp(argv[i], "--random") == 0) {
            options->seed = clock_seed();
        } else if (strcmp(argv[i], "--shards") == 0) {
            options->shards = (unsigned)strtoul(value_of(argc, argv, &i), NULL, 10);
        } else if (strcmp(argv[i], "--steps") == 0) {
            options->steps = (unsigned)strtoul(value_of(argc, argv, &i), NULL, 10);
        } else if (strcmp(argv[i], "--scenario") == 0) {
            options->scenario = value_of(argc, argv, &i);
        } else if (strcmp(argv[i], "--seconds") == 0) {
            options->seconds = strtod(value_of(argc, argv, &i), NULL);
        } else if (strcmp(argv[i], "--threads") == 0) {
            options->is_threaded = true;
        } else if (strcmp(argv[i], "--verbose") == 0) {
            options->is_verbose = true;
        } else if (strcmp(argv[i], "--list") == 0) {
            list();
        } else {
            fprintf(stderr, "sim: what is %s?\n", argv[i]);
            exit(2);
        }
    }
    if (options->shards > SIM_SHARDS_MAX) {
        fprintf(stderr, "sim: %d shards at most\n", SIM_SHARDS_MAX);
        exit(2);
    }
}

/* Every scenario asked for, once. Returns how many there are. */
static unsigned run_all(const struct options *options, uint64_t seed, unsigned shards)
{
    unsigned count = 0;

    for (unsigned i = 0; i < sim_scenario_count; i++) {
        const struct sim_scenario *scenario = &sim_scenarios[i];

        if (options->scenario != NULL && strcmp(options->scenario, scenario->name) != 0) {
            continue;
        }
        count++;
        sim_run(scenario, seed, shards, options->steps, options->is_threaded, options->is_verbose);
    }
    return count;
}

int main(int argc, char **argv)
{
    static const unsigned shards[] = {2, 1, 4, 8};
    struct options options = {.seed = 1};
    double begin = clock_s();
    unsigned worlds = 0, least;

    parse(argc, argv, &options);
    least = options.shards != 0 ? 1 : NOC_COUNT(shards);
    printf("sim: seeds from %lu on\n", (unsigned long)options.seed);
    fflush(stdout);
    for (unsigned round = 0; round < least || clock_s() - begin < options.seconds; round++) {
        unsigned count = options.shards != 0 ? options.shards : shards[round % NOC_COUNT(shards)];

        worlds += run_all(&options, options.seed + round, count);
    }
    if (worlds == 0) {
        fprintf(stderr, "sim: there is no scenario %s\n", options.scenario);
        return 2;
    }
    printf("sim: %u worlds in %.1f s\n", worlds, clock_s() - begin);
    return 0;
}
