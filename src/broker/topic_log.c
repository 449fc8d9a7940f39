/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "broker/topic_log.h"

#include <stdlib.h>
#include <string.h>

#include "broker/broker.h"
#include "core/mail.h"

#define EXPIRY_MS 20000u

/* A line on its way to the worker. */
struct line {
    struct noc_slice topic; /* static */
    size_t n;
    char text[];
};

void noc_topic_log_init(struct noc_topic_log *topic_log)
{
    (void)pthread_mutex_init(&topic_log->lock, NULL);
    topic_log->worker = NULL;
}

void noc_topic_log_set_mt(struct noc_topic_log *topic_log, struct noc_worker *worker)
{
    (void)pthread_mutex_lock(&topic_log->lock);
    topic_log->worker = worker;
    (void)pthread_mutex_unlock(&topic_log->lock);
}

/* NULL: lines of this level are not sent. */
static const char *topic_of(unsigned level)
{
    switch (level) {
    case NOC_LOG_ERROR:
        return "$SYS/broker/log/E";
    case NOC_LOG_WARNING:
        return "$SYS/broker/log/W";
    case NOC_LOG_NOTICE:
        return "$SYS/broker/log/N";
    case NOC_LOG_INFORMATION:
        return "$SYS/broker/log/I";
    case NOC_LOG_SUBSCRIBE:
        return "$SYS/broker/log/M/subscribe";
    case NOC_LOG_UNSUBSCRIBE:
        return "$SYS/broker/log/M/unsubscribe";
    case NOC_LOG_WEBSOCKETS:
        return "$SYS/broker/log/WS";
    default:
        return NULL;
    }
}

static void publish_line(struct noc_shard *shard, void *argument)
{
    struct line *line = argument;

    if (shard != NULL) {
        const struct noc_message_parts parts = {.topic = line->topic,
            .payload = noc_slice(line->text, line->n),
            .qos = 2,
            .expires_ms = shard->now_ms + EXPIRY_MS};

        noc_shard_publish(shard, &parts);
    }
    free(line);
}

static void post_locked(struct noc_topic_log *topic_log, const char *topic, struct noc_slice text)
{
    struct noc_worker *worker = topic_log->worker;
    struct line *line;

    /* Where a worker is behind, log lines must not make it worse. */
    if (worker == NULL || noc_mail_is_behind_mt(worker->shard.core)) {
        return;
    }
    line = malloc(sizeof *line + text.n);
    if (line == NULL) {
        return;
    }
    line->topic = noc_slice_of(topic);
    line->n = text.n;
    if (text.n > 0) {
        memcpy(line->text, text.at, text.n);
    }
    if (noc_worker_call_mt(worker, publish_line, line) != NOC_OK) {
        free(line);
    }
}

void noc_topic_log_line_mt(
    void *context, unsigned level, struct noc_slice line, struct noc_slice text)
{
    struct noc_topic_log *topic_log = context;
    const char *topic = topic_of(level);

    (void)text;
    if (topic != NULL) {
        (void)pthread_mutex_lock(&topic_log->lock);
        post_locked(topic_log, topic, line);
        (void)pthread_mutex_unlock(&topic_log->lock);
    }
}
