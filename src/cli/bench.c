/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `noctule bench`: options, the table of scenarios, and how a result is printed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cli/bench.h"
#include "cli/commands.h"
#include "mqtt/packet.h"

/* ---- scenarios ---- */

static const struct scenario {
    const char *name;
    enum noc_bench_kind kind;
    unsigned groups, subscribers, window, qos, rate;
    bool ws, keeps;
    const char *about;
} scenarios[] = {
    {"1to1-64", NOC_BENCH_WINDOW, 50, 1, 64, 0, 0, false, false,
        "50 pairs of a publisher and a subscriber, 64 bytes, 64 under way each"},
    {"fanout-500", NOC_BENCH_WINDOW, 1, 500, 16, 0, 0, false, false,
        "one publisher, 500 subscribers, 16 messages under way"},
    {"qos1", NOC_BENCH_WINDOW, 50, 1, 20, 1, 0, false, false,
        "50 pairs, QoS 1 in and out, 20 under way each"},
    {"qos2", NOC_BENCH_WINDOW, 50, 1, 20, 2, 0, false, false,
        "50 pairs, QoS 2 in and out, 20 under way each"},
    {"kept-qos1", NOC_BENCH_WINDOW, 50, 1, 20, 1, 0, false, true,
        "qos1, the subscribers' sessions outlive their connections"},
    {"kept-qos2", NOC_BENCH_WINDOW, 50, 1, 20, 2, 0, false, true, "qos2, the same"},
    {"ws", NOC_BENCH_WINDOW, 50, 1, 64, 0, 0, true, false, "1to1-64 over WebSocket"},
    {"steady-50k", NOC_BENCH_PACED, 50, 1, 0, 0, 50000, false, false,
        "50 pairs, 50 000 messages/s by the clock: latency"},
    {"conns", NOC_BENCH_IDLE, 0, 0, 0, 0, 0, false, false,
        "10 000 connections that say nothing: rate, memory, idle CPU"},
};

static const struct scenario *find_scenario(const char *name)
{
    for (size_t i = 0; i < NOC_COUNT(scenarios); i++) {
        if (strcmp(scenarios[i].name, name) == 0) {
            return &scenarios[i];
        }
    }
    return NULL;
}

/* ---- options ---- */

/* What the command line says; -1 or NULL where it says nothing. */
struct choices {
    struct noc_bench_plan plan;
    long count, window, qos, rate, subscribers, threads;
    bool wants_floor, wants_help;
};

enum target { TO_TEXT, TO_LONG, TO_DOUBLE, TO_FLAG };

static const struct option_row {
    const char *name, *argument;
    enum target target;
    size_t offset;
    long least, most;
    const char *help;
} option_rows[] = {
#define IN_PLAN(field)    offsetof(struct choices, plan.field)
#define IN_CHOICES(field) offsetof(struct choices, field)
    {"host", "HOST", TO_TEXT, IN_PLAN(host), 0, 0, "the broker's name or address (127.0.0.1)"},
    {"port", "PORT", TO_LONG, IN_PLAN(port), 1, 65535, "its port (1883)"},
    {"scenario", "NAME", TO_TEXT, IN_PLAN(scenario), 0, 0, "what to do (1to1-64), see below"},
    {"seconds", "N", TO_DOUBLE, IN_PLAN(seconds), 0, 86400, "time measured (3)"},
    {"warmup", "N", TO_DOUBLE, IN_PLAN(warmup_seconds), 0, 3600, "time not measured before (0.5)"},
    {"count", "N", TO_LONG, IN_CHOICES(count), 1, 1000000,
        "publishers; subscribers of fanout-500; connections of conns"},
    {"subscribers", "N", TO_LONG, IN_CHOICES(subscribers), 1, 100000, "for each publisher"},
    {"size", "BYTES", TO_LONG, IN_PLAN(payload_bytes), 16, 65000, "of the payload (64)"},
    {"window", "N", TO_LONG, IN_CHOICES(window), 1, 60000, "messages under way per publisher"},
    {"qos", "N", TO_LONG, IN_CHOICES(qos), 0, 2, "QoS of publishing and subscribing"},
    {"rate", "N", TO_LONG, IN_CHOICES(rate), 1, 100000000,
        "messages/s in all, by the clock; makes any scenario a steady one"},
    {"protocol", "4|5", TO_LONG, IN_PLAN(version), 4, 5, "MQTT 3.1.1 (4) or 5 (4)"},
    {"threads", "N", TO_LONG, IN_CHOICES(threads), 1, 64, "threads of the generator (1)"},
    {"burst", "N", TO_LONG, IN_PLAN(burst), 1, 10000, "connections opened at a time (64)"},
    {"keep", NULL, TO_FLAG, IN_PLAN(keeps), 0, 0,
        "subscribers' sessions outlive their connections, and stay (5: for an hour)"},
    {"ws", NULL, TO_FLAG, IN_PLAN(ws), 0, 0, "over WebSocket"},
    {"ws-path", "PATH", TO_TEXT, IN_PLAN(ws_path), 0, 0, "path of the upgrade (/mqtt)"},
    {"user", "NAME", TO_TEXT, IN_PLAN(user), 0, 0, "user name"},
    {"pass", "TEXT", TO_TEXT, IN_PLAN(password), 0, 0, "password"},
    {"pid", "PID", TO_LONG, IN_PLAN(pid), 1, 4194304, "the broker's process, for CPU and memory"},
    {"name", "LABEL", TO_TEXT, IN_PLAN(name), 0, 0, "label of the result (broker)"},
    {"json", NULL, TO_FLAG, IN_PLAN(json), 0, 0, "print the result as a line of JSON"},
    {"floor", NULL, TO_FLAG, IN_CHOICES(wants_floor), 0, 0,
        "no load: stand in for a broker that only moves bytes, on 127.0.0.1"},
    {"help", NULL, TO_FLAG, IN_CHOICES(wants_help), 0, 0, "this text"},
};

static void print_help(void)
{
    printf("usage: noctule bench [options]\n\n"
           "Put load on an MQTT broker and measure it.\n\noptions:\n");
    for (size_t i = 0; i < NOC_COUNT(option_rows); i++) {
        const struct option_row *row = &option_rows[i];
        char left[40];

        snprintf(left, sizeof(left), "--%s %s", row->name, row->argument ? row->argument : "");
        printf("  %-18s %s\n", left, row->help);
    }
    printf("\nscenarios:\n");
    for (size_t i = 0; i < NOC_COUNT(scenarios); i++) {
        printf("  %-18s %s\n", scenarios[i].name, scenarios[i].about);
    }
    printf("\nExit status: 0 done, 1 usage or local error, 2 refused or closed by the broker,\n"
           "3 timed out, 4 messages were lost, duplicated or out of order.\n");
}

/* Write a number to where the row says, by the type of the field there. */
static void store_long(struct choices *choices, const struct option_row *row, long value)
{
    char *at = (char *)choices + row->offset;

    if (row->offset == IN_PLAN(port)) {
        choices->plan.port = (uint16_t)value;
    } else if (row->offset >= sizeof(struct noc_bench_plan)) {
        memcpy(at, &value, sizeof(value));
    } else {
        memcpy(at, &(int){(int)value}, sizeof(int));
    }
}

static bool store_value(struct choices *choices, const struct option_row *row, const char *text)
{
    char *at = (char *)choices + row->offset;
    char *end = NULL;

    errno = 0;
    if (row->target == TO_FLAG) {
        *at = true;
        return true;
    }
    if (row->target == TO_TEXT) {
        memcpy(at, &text, sizeof(text));
        return true;
    }
    if (row->target == TO_DOUBLE) {
        double value = strtod(text, &end);

        memcpy(at, &value, sizeof(value));
        return end != text && *end == '\0' && value >= (double)row->least &&
               value <= (double)row->most;
    }
    long value = strtol(text, &end, 10);

    if (end == text || *end != '\0' || errno != 0 || value < row->least || value > row->most) {
        return false;
    }
    store_long(choices, row, value);
    return true;
}

static bool parse_options(int argc, char **argv, struct choices *choices)
{
    struct option longs[NOC_COUNT(option_rows) + 1] = {0};

    for (size_t i = 0; i < NOC_COUNT(option_rows); i++) {
        longs[i].name = option_rows[i].name;
        longs[i].has_arg = option_rows[i].argument == NULL ? no_argument : required_argument;
        longs[i].val = (int)i;
    }
    for (;;) {
        int i = getopt_long(argc, argv, "", longs, NULL);

        if (i < 0) {
            break;
        }
        if (i >= (int)NOC_COUNT(option_rows)) {
            return false;
        }
        if (!store_value(choices, &option_rows[i], optarg)) {
            fprintf(stderr, "noctule bench: --%s cannot be '%s'\n", option_rows[i].name, optarg);
            return false;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "noctule bench: '%s' is no option\n", argv[optind]);
        return false;
    }
    return true;
}

static void apply(unsigned *field, long choice)
{
    if (choice >= 0) {
        *field = (unsigned)choice;
    }
}

/* Fill the plan in from the scenario and what the command line overrides. */
static bool complete_plan(struct choices *choices)
{
    struct noc_bench_plan *plan = &choices->plan;
    const struct scenario *scenario = find_scenario(plan->scenario);

    if (scenario == NULL) {
        fprintf(stderr, "noctule bench: no scenario is called %s\n", plan->scenario);
        return false;
    }
    if (strcspn(plan->name, "\"\\") != strlen(plan->name)) {
        fprintf(stderr, "noctule bench: the name may hold no quotes and backslashes\n");
        return false;
    }
    plan->kind = scenario->kind;
    plan->groups = scenario->groups;
    plan->subscribers = scenario->subscribers;
    plan->window = scenario->window;
    plan->qos = scenario->qos;
    plan->rate = scenario->rate;
    plan->ws = plan->ws || scenario->ws;
    plan->keeps = plan->keeps || scenario->keeps;
    plan->connections = 10000;
    apply(&plan->connections, choices->count);
    apply(scenario->subscribers > 1 ? &plan->subscribers : &plan->groups, choices->count);
    apply(&plan->subscribers, choices->subscribers);
    apply(&plan->window, choices->window);
    apply(&plan->qos, choices->qos);
    apply(&plan->rate, choices->rate);
    apply(&plan->threads, choices->threads);
    if (choices->rate > 0 && plan->kind == NOC_BENCH_WINDOW) {
        plan->kind = NOC_BENCH_PACED;
    }
    if (plan->kind != NOC_BENCH_IDLE && plan->threads > plan->groups) {
        plan->threads = plan->groups;
    }
    snprintf(plan->run_id, sizeof(plan->run_id), "noc-bench-%ld", (long)getpid());
    return true;
}

static bool resolve(struct noc_bench_plan *plan)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    char port[8];

    snprintf(port, sizeof(port), "%u", (unsigned)plan->port);
    int err = getaddrinfo(plan->host, port, &hints, &found);

    if (err != 0) {
        fprintf(stderr, "noctule bench: %s: %s\n", plan->host, gai_strerror(err));
        return false;
    }
    memcpy(&plan->address, found->ai_addr, found->ai_addrlen);
    plan->address_n = found->ai_addrlen;
    freeaddrinfo(found);
    return true;
}

/* As many descriptors as we may have; a run that needs more says so itself. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

void noc_bench_report(
    const struct noc_bench_plan *plan, const struct noc_bench_figure *figures, size_t count)
{
    if (plan->json) {
        printf("{\"scenario\": \"%s\", \"name\": \"%s\", \"seconds\": %.3g", plan->scenario,
            plan->name, plan->seconds);
    } else {
        printf("%s %s:", plan->scenario, plan->name);
    }
    const char *between = "";

    for (size_t i = 0; i < count; i++) {
        const struct noc_bench_figure *figure = &figures[i];

        if (figure->is_absent) {
            continue;
        }
        if (plan->json) {
            printf(", \"%s\": %.*f", figure->key, figure->decimals, figure->value);
        } else {
            printf("%s %.*f %s", between, figure->decimals, figure->value, figure->label);
        }
        between = ",";
    }
    printf(plan->json ? "}\n" : "\n");
    fflush(stdout);
}

int noc_cli_bench(int argc, char **argv)
{
    struct choices choices = {
        .plan = {.scenario = "1to1-64",
            .name = "broker",
            .host = "127.0.0.1",
            .ws_path = "/mqtt",
            .port = 1883,
            .version = NOC_V311,
            .payload_bytes = 64,
            .burst = 64,
            .threads = 1,
            .seconds = 3,
            .warmup_seconds = 0.5},
        .count = -1,
        .window = -1,
        .qos = -1,
        .rate = -1,
        .subscribers = -1,
        .threads = -1,
    };

    if (!parse_options(argc, argv, &choices)) {
        fprintf(stderr, "Try 'noctule bench --help'.\n");
        return BENCH_USAGE;
    }
    if (choices.wants_help) {
        print_help();
        return BENCH_OK;
    }
    if (choices.wants_floor) {
        raise_descriptor_limit();
        return noc_bench_floor_run(choices.plan.port);
    }
    if (!complete_plan(&choices) || !resolve(&choices.plan)) {
        return BENCH_USAGE;
    }
    raise_descriptor_limit();
    return choices.plan.kind == NOC_BENCH_IDLE ? noc_bench_idle_run(&choices.plan)
                                               : noc_bench_flow_run(&choices.plan);
}
