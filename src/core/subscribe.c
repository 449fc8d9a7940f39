/* SPDX-License-Identifier: Apache-2.0 */
/* SUBSCRIBE and UNSUBSCRIBE (MQTT 5 sections 3.8 to 3.11). */
#include <stdlib.h>
#include <string.h>

#include "core/journal.h"
#include "core/link.h"
#include "core/receipt.h"
#include "core/replay.h"
#include "mqtt/topic.h"

/* A filter as the session holds it: its share group, and the text below the mount point. */
struct target {
    struct noc_slice group;  /* absent: not shared */
    struct noc_slice filter; /* borrowed, or in owned */
    char *owned;
};

/* NOC_EMALFORMED: not a filter. NOC_ENOMEM. */
static int open_target(const struct noc_link *link, struct noc_slice text, struct target *target)
{
    struct noc_slice mount = link->listener->mount_point;

    *target = (struct target){.filter = text};
    if (!noc_share_split(text, &target->group, &target->filter)) {
        /* Before version 5 "$share/g" is a filter like any other. */
        bool may_be_plain = link->version != NOC_V5 || !noc_filter_is_shared(text);

        if (!may_be_plain || !noc_filter_is_valid(text)) {
            return NOC_EMALFORMED; /* [MQTT-4.8.2-1], [MQTT-4.8.2-2] */
        }
    }
    if (mount.n == 0) {
        return NOC_OK;
    }
    if (mount.n + target->filter.n > UINT16_MAX) {
        return NOC_EMALFORMED;
    }
    target->owned = malloc(mount.n + target->filter.n);
    if (target->owned == NULL) {
        return NOC_ENOMEM;
    }
    memcpy(target->owned, mount.at, mount.n);
    memcpy(target->owned + mount.n, target->filter.at, target->filter.n);
    target->filter = noc_slice(target->owned, mount.n + target->filter.n);
    return NOC_OK;
}

/* A filter that is none: the connection ends, as Mosquitto has it; what and who are its words. */
static void on_bad_filter(
    struct noc_link *link, int err, const char *what, struct noc_slice who, struct noc_slice text)
{
    if (err == NOC_EMALFORMED) {
        struct noc_fault fault = {"topic filter", 0};

        noc_shard_log(link->shard, NOC_LOG_INFORMATION,
            "Invalid %s string from %.*s, disconnecting.", what, NOC_SLICE_ARG(who));
        noc_shard_log(link->shard, NOC_LOG_DEBUG, "\t%.*s", NOC_SLICE_ARG(text));
        noc_link_break(link, NOC_END_MALFORMED, NOC_RC_TOPIC_FILTER_INVALID, &fault);
    } else {
        noc_link_end(link, NOC_END_MEMORY, NULL);
    }
}

/* What is replayed to a new subscription, by its retain handling (3.8.3.1). */
static bool wants_replay(uint8_t options, bool is_new, bool is_shared)
{
    unsigned handling = options & NOC_SUB_RETAIN_HANDLING;

    return !is_shared && (handling == 0 || (handling == 0x10 && is_new));
}

/*
 * One filter. Its reason code; retained messages up to version *ret_replay
 * follow, none when it is 0. What is retained later is routed later, to the
 * subscription just entered. What is on its way to it though it was retained
 * before must not come behind the newer message of the replay.
 */
static uint8_t subscribe_one(struct noc_link *link, const struct target *target, uint8_t options,
    uint32_t id, uint64_t *ret_replay)
{
    struct noc_session *session = link->session;
    bool is_shared = target->group.at != NULL;
    uint8_t qos = options & NOC_SUB_QOS;
    struct noc_sub *entered;
    int err;

    *ret_replay = 0;
    if (qos > link->listener->max_qos) {
        qos = link->listener->max_qos;
        options = (uint8_t)((options & ~NOC_SUB_QOS) | qos);
    }
    if (link->is_bridge && link->version != NOC_V5) {
        /* What a bridge asks for in version 5; without it two brokers would send in circles. */
        options |= NOC_SUB_NO_LOCAL | NOC_SUB_RETAIN_AS_PUBLISHED;
    }
    err = noc_session_subscribe(session, target->filter, target->group, options, id, &entered);
    if (err == NOC_OK) {
        err = noc_journal_subscribe(session, target->filter, target->group, options, id);
        if (err != NOC_OK && entered != NULL) {
            (void)noc_session_unsubscribe(session, target->filter, target->group);
        }
    }
    if (err != NOC_OK) {
        noc_shard_count(session->shard, NOC_COUNT_FILTERS_REFUSED, 1);
        return err == NOC_EFULL ? NOC_RC_QUOTA_EXCEEDED : NOC_RC_UNSPECIFIED;
    }
    noc_shard_log(link->shard, NOC_LOG_SUBSCRIBE, "%.*s %d %s%.*s%s%.*s",
        NOC_SLICE_ARG(noc_session_id(session)), qos, is_shared ? "$share/" : "",
        NOC_SLICE_ARG(target->group), is_shared ? "/" : "", NOC_SLICE_ARG(target->filter));
    if (wants_replay(options, entered != NULL, is_shared)) {
        *ret_replay = noc_retained_version(session->shard->core->retained);
        if (entered != NULL) {
            entered->replayed = *ret_replay;
        }
    }
    return qos;
}

/* Packets answered with a reason per filter: room for them. */
static uint8_t *reasons_new(struct noc_link *link, unsigned count, uint8_t few[static 64])
{
    uint8_t *reasons = count <= 64 ? few : malloc(count);

    if (reasons == NULL) {
        noc_link_end(link, NOC_END_MEMORY, NULL);
    }
    return reasons;
}

/*
 * Answer. Of a session that is kept the answer waits until the change is stored. It ends the link
 * where there is no memory for it.
 */
static void answer(struct noc_link *link, unsigned type, uint16_t packet_id, const uint8_t *reasons,
    unsigned count)
{
    struct noc_receipt *receipt = NULL;

    if (noc_journal_keeps(link->session)) {
        receipt = noc_receipt_new(link);
        if (receipt == NULL) {
            noc_link_end(link, NOC_END_MEMORY, NULL);
            return;
        }
        noc_journal_await(link->shard, &receipt->here);
    }
    noc_link_send_reasons(link, receipt, type, packet_id, reasons, count);
}

/* Start the replays that the filters of a SUBSCRIBE are due: behind its SUBACK. */
static void start_replays(struct noc_link *link, const struct noc_subscribe *subscribe,
    const uint8_t *reasons, const uint64_t *replays)
{
    struct noc_slice rest = subscribe->topics, text;
    uint8_t options;

    for (unsigned i = 0; noc_subscribe_next(&rest, &text, &options); i++) {
        struct target target;

        if (replays[i] != 0 && open_target(link, text, &target) == NOC_OK) {
            /* With the QoS that was granted, which may be lower than the one asked for. */
            if (noc_replay_start(link->session, target.filter, reasons[i],
                    subscribe->props.subscription_id, replays[i]) != NOC_OK) {
                noc_shard_log(link->shard, NOC_LOG_ERROR,
                    "Out of memory: retained messages for %.*s are left out.",
                    NOC_SLICE_ARG(noc_link_name(link)));
            }
            free(target.owned);
        }
    }
}

/* Enter all filters. False: the link has ended. */
static bool subscribe_all(struct noc_link *link, const struct noc_subscribe *subscribe,
    uint8_t *reasons, uint64_t *replays)
{
    struct noc_slice rest = subscribe->topics, text;
    uint8_t options;

    for (unsigned i = 0; noc_subscribe_next(&rest, &text, &options); i++) {
        struct target target;
        int err = open_target(link, text, &target);

        if (err != NOC_OK) {
            on_bad_filter(link, err, "subscription", link->address, text);
            return false;
        }
        noc_shard_log(link->shard, NOC_LOG_DEBUG, "\t%.*s (QoS %d)", NOC_SLICE_ARG(text),
            options & NOC_SUB_QOS);
        reasons[i] =
            subscribe_one(link, &target, options, subscribe->props.subscription_id, &replays[i]);
        link->shard->work += NOC_WORK_OF_FILTER;
        free(target.owned);
    }
    return true;
}

void noc_link_on_subscribe(struct noc_link *link, struct noc_slice body)
{
    struct noc_fault fault = {0};
    struct noc_subscribe subscribe;
    uint8_t few[64], *reasons;
    uint64_t *replays;
    int err =
        noc_subscribe_decode(link->version, (const uint8_t *)body.at, body.n, &subscribe, &fault);

    if (err != NOC_OK) {
        noc_link_break_by(link, err, &fault);
        return;
    }
    noc_shard_log(link->shard, NOC_LOG_DEBUG, "Received SUBSCRIBE from %.*s",
        NOC_SLICE_ARG(noc_link_name(link)));
    replays = calloc(subscribe.count, sizeof *replays);
    if (replays == NULL) {
        noc_link_end(link, NOC_END_MEMORY, NULL);
        return;
    }
    reasons = reasons_new(link, subscribe.count, few);
    if (reasons != NULL && subscribe_all(link, &subscribe, reasons, replays)) {
        answer(link, NOC_SUBACK, subscribe.packet_id, reasons, subscribe.count);
        if (link->state == NOC_LINK_OPEN) {
            start_replays(link, &subscribe, reasons, replays);
        }
    }
    free(replays);
    if (reasons != few) {
        free(reasons);
    }
}

static uint8_t unsubscribe_one(struct noc_session *session, const struct target *target)
{
    if (!noc_session_unsubscribe(session, target->filter, target->group)) {
        return NOC_RC_NO_SUBSCRIPTION_EXISTED;
    }
    /* Without memory for the note the subscription may be there again after a crash: it is told. */
    return noc_journal_unsubscribe(session, target->filter, target->group) == NOC_OK
               ? NOC_RC_SUCCESS
               : NOC_RC_UNSPECIFIED;
}

/* Take all filters out. False: the link has ended. */
static bool unsubscribe_all(
    struct noc_link *link, const struct noc_subscribe *unsubscribe, uint8_t *reasons)
{
    struct noc_slice rest = unsubscribe->topics, text;

    for (unsigned i = 0; noc_unsubscribe_next(&rest, &text); i++) {
        struct target target;
        int err = open_target(link, text, &target);

        if (err != NOC_OK) {
            on_bad_filter(link, err, "unsubscription", noc_link_name(link), text);
            return false;
        }
        noc_shard_log(link->shard, NOC_LOG_DEBUG, "\t%.*s", NOC_SLICE_ARG(text));
        reasons[i] = unsubscribe_one(link->session, &target);
        if (target.group.at == NULL) {
            noc_replay_cancel(link->session, target.filter); /* [MQTT-3.10.4-2] */
        }
        link->shard->work += NOC_WORK_OF_FILTER;
        noc_shard_log(link->shard, NOC_LOG_UNSUBSCRIBE, "%.*s %.*s",
            NOC_SLICE_ARG(noc_session_id(link->session)), NOC_SLICE_ARG(text));
        free(target.owned);
    }
    return true;
}

void noc_link_on_unsubscribe(struct noc_link *link, struct noc_slice body)
{
    struct noc_fault fault = {0};
    struct noc_subscribe unsubscribe;
    uint8_t few[64], *reasons;
    int err = noc_unsubscribe_decode(
        link->version, (const uint8_t *)body.at, body.n, &unsubscribe, &fault);

    if (err != NOC_OK) {
        noc_link_break_by(link, err, &fault);
        return;
    }
    noc_shard_log(link->shard, NOC_LOG_DEBUG, "Received UNSUBSCRIBE from %.*s",
        NOC_SLICE_ARG(noc_link_name(link)));
    reasons = reasons_new(link, unsubscribe.count, few);
    if (reasons != NULL && unsubscribe_all(link, &unsubscribe, reasons)) {
        answer(link, NOC_UNSUBACK, unsubscribe.packet_id, reasons, unsubscribe.count);
    }
    if (reasons != few) {
        free(reasons);
    }
}
