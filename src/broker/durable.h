/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_BROKER_DURABLE_H
#define NOC_BROKER_DURABLE_H
/*
 * The store in the broker: between the journals of the workers and the store's thread.
 *
 *   worker    journal -> noc_durable_submit() -> store
 *   store     committed -> a call by mail to the worker -> noc_journal_committed()
 *   queue     noc_durable_page() -> store -> a call by mail -> noc_page_arrived()
 *
 * What can't be stored ends the broker: it stops as on SIGTERM, with exit status 1.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/macros.h"

struct noc_broker;
struct noc_operations;
struct noc_page;
struct noc_shard;
struct noc_store_stats;

/*
 * With persistence true: journals for all workers, the store is opened, and what it holds becomes
 * sessions and retained messages. Before the workers run. False: told in the log.
 */
NOC_MUST_CHECK bool noc_durable_start(struct noc_broker *broker);

/* A batch of a worker's journal. On the worker. */
void noc_durable_submit(struct noc_shard *shard, struct noc_operations *batch);

/* A page of a queue is wanted. On the worker. */
void noc_durable_page(struct noc_shard *shard, struct noc_page *page);

/* Wait, for a while at most, until all that the workers' journals hold is stored. They run. */
void noc_durable_settle(struct noc_broker *broker);

/* The same when they run no more; then the store is closed. False: something could not be stored. */
bool noc_durable_stop(struct noc_broker *broker);

/* Have all written that waits, wait for that (a while at most), and say so in the log: SIGUSR1. */
void noc_durable_commit(struct noc_broker *broker);

#endif
