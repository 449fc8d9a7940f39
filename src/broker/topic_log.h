/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_BROKER_TOPIC_LOG_H
#define NOC_BROKER_TOPIC_LOG_H
/*
 * log_dest topic: lines of the log as messages below $SYS/broker/log/, not
 * retained, and forgotten after 20 seconds. Debug lines are never sent: each
 * message would cause one.
 */

#include <pthread.h>

#include <noctule/slice.h>

struct noc_worker;

struct noc_topic_log {
    pthread_mutex_t lock;      /* held for a post only */
    struct noc_worker *worker; /* that publishes; NULL: lines go nowhere; under the lock */
};

void noc_topic_log_init(struct noc_topic_log *topic_log);

/* From now on lines go to the worker; NULL: none does, and none is on its way any more. */
void noc_topic_log_set_mt(struct noc_topic_log *topic_log, struct noc_worker *worker);

/* A noc_log_topic; context is the topic log. Posts and returns; where memory is short it drops. */
void noc_topic_log_line_mt(
    void *context, unsigned level, struct noc_slice line, struct noc_slice text);

#endif
