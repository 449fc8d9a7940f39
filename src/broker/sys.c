/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
/*
 * The $SYS tree of Mosquitto, made of the workers' counters. The control
 * thread computes texts; worker 0 publishes those that changed, retained.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/broker.h"
#include "broker/heap.h"
#include "core/mail.h"

enum { TEXT_MAX = 64, LOADS = 9, WINDOWS = 3 };

/* Topics below $SYS/broker/ with plain integers; the order is that of the values. */
enum item {
    UPTIME,
    CLIENTS_TOTAL,
    CLIENTS_MAXIMUM,
    CLIENTS_DISCONNECTED,
    CLIENTS_INACTIVE,
    CLIENTS_CONNECTED,
    CLIENTS_ACTIVE,
    CLIENTS_EXPIRED,
    MESSAGES_RECEIVED,
    MESSAGES_SENT,
    MESSAGES_STORED,
    STORE_COUNT,
    STORE_BYTES,
    SUBSCRIPTIONS,
    SHARED_SUBSCRIPTIONS,
    RETAINED,
    HEAP_CURRENT,
    HEAP_MAXIMUM,
    BYTES_RECEIVED,
    BYTES_SENT,
    PUBLISH_BYTES_RECEIVED,
    PUBLISH_BYTES_SENT,
    PUBLISH_RECEIVED,
    PUBLISH_SENT,
    PUBLISH_DROPPED,
    SOCKETS,
    ITEMS,
};

static const char *const item_topics[ITEMS] = {
    [UPTIME] = "uptime",
    [CLIENTS_TOTAL] = "clients/total",
    [CLIENTS_MAXIMUM] = "clients/maximum",
    [CLIENTS_DISCONNECTED] = "clients/disconnected",
    [CLIENTS_INACTIVE] = "clients/inactive",
    [CLIENTS_CONNECTED] = "clients/connected",
    [CLIENTS_ACTIVE] = "clients/active",
    [CLIENTS_EXPIRED] = "clients/expired",
    [MESSAGES_RECEIVED] = "messages/received",
    [MESSAGES_SENT] = "messages/sent",
    [MESSAGES_STORED] = "messages/stored",
    [STORE_COUNT] = "store/messages/count",
    [STORE_BYTES] = "store/messages/bytes",
    [SUBSCRIPTIONS] = "subscriptions/count",
    [SHARED_SUBSCRIPTIONS] = "shared_subscriptions/count",
    [RETAINED] = "retained messages/count",
    [HEAP_CURRENT] = "heap/current",
    [HEAP_MAXIMUM] = "heap/maximum",
    [BYTES_RECEIVED] = "bytes/received",
    [BYTES_SENT] = "bytes/sent",
    [PUBLISH_BYTES_RECEIVED] = "publish/bytes/received",
    [PUBLISH_BYTES_SENT] = "publish/bytes/sent",
    [PUBLISH_RECEIVED] = "publish/messages/received",
    [PUBLISH_SENT] = "publish/messages/sent",
    [PUBLISH_DROPPED] = "publish/messages/dropped",
    [SOCKETS] = "connections/socket/count",
};

/* Averages per minute, over 1, 5 and 15 minutes. */
static const struct {
    const char *topic;
    enum noc_counter counter;
} loads[LOADS] = {
    {"messages/received", NOC_COUNT_PACKETS_RECEIVED},
    {"messages/sent", NOC_COUNT_PACKETS_SENT},
    {"publish/dropped", NOC_COUNT_PUBLISH_DROPPED},
    {"publish/received", NOC_COUNT_PUBLISH_RECEIVED},
    {"publish/sent", NOC_COUNT_PUBLISH_SENT},
    {"bytes/received", NOC_COUNT_BYTES_RECEIVED},
    {"bytes/sent", NOC_COUNT_BYTES_SENT},
    {"sockets", NOC_COUNT_SOCKETS},
    {"connections", NOC_COUNT_CONNECTIONS},
};

static const struct {
    const char *topic;
    double minutes;
} windows[WINDOWS] = {{"1min", 1}, {"5min", 5}, {"15min", 15}};

struct noc_sys {
    struct noc_broker *broker;
    char texts[ITEMS][TEXT_MAX]; /* as last published */
    char load_texts[LOADS][WINDOWS][TEXT_MAX];
    double averages[LOADS][WINDOWS];
    int64_t load_counts[LOADS];
    uint64_t load_ms; /* of the last averages */
    int64_t clients_maximum;
    uint64_t heap_maximum;
    bool is_version_out;
};

/* Messages on their way to worker 0: topic and text, each with its zero byte, one after another. */
struct bundle {
    size_t used, room;
    char data[];
};

struct noc_sys *noc_sys_new(struct noc_broker *broker)
{
    struct noc_sys *sys = calloc(1, sizeof *sys);

    if (sys != NULL) {
        sys->broker = broker;
        sys->load_ms = broker->started_ms;
    }
    return sys;
}

void noc_sys_free(struct noc_sys *sys)
{
    free(sys);
}

static void publish_bundle(struct noc_shard *shard, void *argument)
{
    struct bundle *bundle = argument;

    for (size_t at = 0; shard != NULL && at < bundle->used;) {
        struct noc_slice topic = noc_slice_of(bundle->data + at);
        struct noc_slice text = noc_slice_of(topic.at + topic.n + 1);
        struct noc_message_parts parts = {
            .topic = topic, .payload = text, .qos = 2, .retain = true, .expires_ms = NOC_NEVER_MS};

        noc_shard_publish(shard, &parts);
        at += topic.n + text.n + 2;
    }
    free(bundle);
}

/* Add "$SYS/broker/" prefix topic, and text. */
static void add(struct bundle *bundle, const char *prefix, const char *topic, const char *suffix,
    const char *text)
{
    int n = snprintf(bundle->data + bundle->used, bundle->room - bundle->used,
        "$SYS/broker/%s%s%s%c%s", prefix, topic, suffix, '\0', text);

    if (n > 0 && bundle->used + (size_t)n + 1 <= bundle->room) {
        bundle->used += (size_t)n + 1;
    }
}

static void read_values(struct noc_sys *sys, uint64_t now_ms, int64_t values[ITEMS])
{
    const struct noc_core *core = &sys->broker->core;
    struct noc_index_counts index;
    struct noc_retained_counts retained;
    int64_t connected = noc_core_count_mt(core, NOC_COUNT_CONNECTED);
    int64_t total = noc_core_count_mt(core, NOC_COUNT_SESSIONS);
    uint64_t heap = noc_heap_bytes_mt();

    noc_index_counts_mt(core->index, &index);
    noc_retained_counts_mt(core->retained, &retained);
    sys->clients_maximum = connected > sys->clients_maximum ? connected : sys->clients_maximum;
    sys->heap_maximum = heap > sys->heap_maximum ? heap : sys->heap_maximum;
    values[UPTIME] = (int64_t)((now_ms - sys->broker->started_ms) / 1000);
    values[CLIENTS_TOTAL] = total;
    values[CLIENTS_MAXIMUM] = sys->clients_maximum;
    values[CLIENTS_DISCONNECTED] = values[CLIENTS_INACTIVE] =
        total > connected ? total - connected : 0;
    values[CLIENTS_CONNECTED] = values[CLIENTS_ACTIVE] = connected;
    values[CLIENTS_EXPIRED] = noc_core_count_mt(core, NOC_COUNT_SESSIONS_EXPIRED);
    values[MESSAGES_RECEIVED] = noc_core_count_mt(core, NOC_COUNT_PACKETS_RECEIVED);
    values[MESSAGES_SENT] = noc_core_count_mt(core, NOC_COUNT_PACKETS_SENT);
    values[STORE_COUNT] = values[MESSAGES_STORED] =
        noc_core_count_mt(core, NOC_COUNT_MESSAGES_QUEUED) + (int64_t)retained.messages;
    values[STORE_BYTES] = noc_core_count_mt(core, NOC_COUNT_BYTES_QUEUED) + (int64_t)retained.bytes;
    values[SUBSCRIPTIONS] = (int64_t)index.subscriptions;
    values[SHARED_SUBSCRIPTIONS] = (int64_t)index.shared_subscriptions;
    values[RETAINED] = (int64_t)retained.messages;
    values[HEAP_CURRENT] = (int64_t)heap;
    values[HEAP_MAXIMUM] = (int64_t)sys->heap_maximum;
    values[BYTES_RECEIVED] = noc_core_count_mt(core, NOC_COUNT_BYTES_RECEIVED);
    values[BYTES_SENT] = noc_core_count_mt(core, NOC_COUNT_BYTES_SENT);
    values[PUBLISH_BYTES_RECEIVED] = noc_core_count_mt(core, NOC_COUNT_PUBLISH_BYTES_RECEIVED);
    values[PUBLISH_BYTES_SENT] = noc_core_count_mt(core, NOC_COUNT_PUBLISH_BYTES_SENT);
    values[PUBLISH_RECEIVED] = noc_core_count_mt(core, NOC_COUNT_PUBLISH_RECEIVED);
    values[PUBLISH_SENT] = noc_core_count_mt(core, NOC_COUNT_PUBLISH_SENT);
    values[PUBLISH_DROPPED] = noc_core_count_mt(core, NOC_COUNT_PUBLISH_DROPPED);
    values[SOCKETS] = noc_core_count_mt(core, NOC_COUNT_SOCKETS);
}

static void add_items(struct noc_sys *sys, uint64_t now_ms, struct bundle *bundle)
{
    int64_t values[ITEMS];

    read_values(sys, now_ms, values);
    for (int i = 0; i < ITEMS; i++) {
        char text[TEXT_MAX];

        (void)snprintf(
            text, sizeof text, i == UPTIME ? "%lld seconds" : "%lld", (long long)values[i]);
        if (strcmp(text, sys->texts[i]) != 0) {
            memcpy(sys->texts[i], text, sizeof text);
            add(bundle, "", item_topics[i], "", text);
        }
    }
}

/* Exponential averages of what came per minute, published when they moved by 0.01. */
static void add_loads(struct noc_sys *sys, uint64_t now_ms, struct bundle *bundle)
{
    double minutes = (double)(now_ms - sys->load_ms) / 60000.0;

    if (minutes <= 0) {
        return;
    }
    sys->load_ms = now_ms;
    for (int i = 0; i < LOADS; i++) {
        int64_t count = noc_core_count_mt(&sys->broker->core, loads[i].counter);
        double rate = (double)(count - sys->load_counts[i]) / minutes;

        sys->load_counts[i] = count;
        for (int w = 0; w < WINDOWS; w++) {
            double keep = exp(-minutes / windows[w].minutes);
            char text[TEXT_MAX], suffix[16];

            sys->averages[i][w] = rate + keep * (sys->averages[i][w] - rate);
            (void)snprintf(text, sizeof text, "%.2f", sys->averages[i][w]);
            if (strcmp(text, sys->load_texts[i][w]) != 0) {
                memcpy(sys->load_texts[i][w], text, sizeof text);
                (void)snprintf(suffix, sizeof suffix, "/%s", windows[w].topic);
                add(bundle, "load/", loads[i].topic, suffix, text);
            }
        }
    }
}

void noc_sys_publish(struct noc_sys *sys, uint64_t now_ms)
{
    const size_t room = (size_t)(ITEMS + LOADS * WINDOWS + 1) * (TEXT_MAX * 3);
    struct noc_worker *worker = &sys->broker->workers[0];
    struct bundle *bundle;

    /* A worker is behind, and worker 0 would post to it: this waits, there is more next time. */
    if (noc_mail_is_behind_mt(&sys->broker->core)) {
        return;
    }
    bundle = malloc(sizeof *bundle + room);
    if (bundle == NULL) {
        return;
    }
    bundle->used = 0;
    bundle->room = room;
    if (!sys->is_version_out) {
        char text[TEXT_MAX];

        (void)snprintf(text, sizeof text, "%s version %s", sys->broker->name, NOC_VERSION);
        add(bundle, "", "version", "", text);
        sys->is_version_out = true;
    }
    add_items(sys, now_ms, bundle);
    add_loads(sys, now_ms, bundle);
    if (noc_worker_call_mt(worker, publish_bundle, bundle) != NOC_OK) {
        free(bundle);
    }
}
