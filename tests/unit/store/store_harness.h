/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_TESTS_STORE_HARNESS_H
#define NOC_TESTS_STORE_HARNESS_H
/*
 * A store in a folder of its own, whose clocks stand where the test puts them, and what it tells: each
 * record as one line of text, so that tests compare lines.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/store.h"
#include "store/store_internal.h"

enum { LINES_MAX = 512 };

struct answer {
    struct noc_operations *batch;
    int err;
};

struct world {
    char folder[64];
    char path[96];
    struct noc_store_options options;
    struct noc_store *store;
    char error[512];

    /* Given to the store before load. */
    struct noc_store_fault fault;

    /* What load told. */
    char *lines[LINES_MAX];
    size_t line_count, told_count;
    struct noc_store_loaded loaded;

    /* What came back, under the lock. */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct answer answers[4096];
    size_t answer_count;
    unsigned done_count, failed_count;
    bool is_held; /* committed() does not return */
    char log[8192];
};

/* Any thread's. */
extern _Atomic(uint64_t) world_clock_ms;
extern _Atomic(int64_t) world_wall_ms;

void world_init(struct world *world);
void world_done(struct world *world); /* closes, and removes the folder */

void world_open(struct world *world); /* open, load, start; must succeed */
int world_try(struct world *world);   /* the same, may fail: see error */
void world_load(struct world *world); /* open and load only */
void world_close(struct world *world);
void world_reopen(struct world *world);

/* The lines that load told, in order; NULL ends them. */
void world_expect(struct world *world, ...);

/* Batches. Free one that was answered. */
struct noc_operations *batch_new(void);
void batch_free(struct noc_operations *batch);
struct noc_message *message_of(const char *topic, const char *payload);
void add_session(struct noc_operations *batch, uint64_t slot, const char *client_id);
void add_outgoing(struct noc_operations *batch, uint64_t slot, uint64_t sequence, const char *topic,
    const char *payload);
struct noc_operation *add(
    struct noc_operations *batch, uint8_t kind, uint64_t slot, uint64_t first);
void add_retained(
    struct noc_operations *batch, const char *topic, const char *payload, uint64_t version);

void add_subscription(struct noc_operations *batch, uint8_t kind, uint64_t slot, const char *group,
    const char *filter, uint8_t options, uint32_t id);

/* While it is held the thread waits in committed(). */
void hold(struct world *world, bool is_held);

/* Give it, wait for its answer; frees it. */
int submit(struct world *world, struct noc_operations *batch);

/* Wait until so many were answered. */
void wait_answers(struct world *world, size_t count);
void wait_log(struct world *world, const char *text);

#endif
