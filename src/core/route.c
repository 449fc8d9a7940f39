/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Routing: which workers get a publication, and which member of each share
 * group. Everything here happens on the publisher's worker, but the second
 * half of a shared delivery, which happens at the member's home.
 */
#include "core/deliver.h"

#include <string.h>

#include "core/journal.h"
#include "core/link.h"
#include "core/receipt.h"
#include "core/release.h"

/* How often a message for a share group looks for a connected member before an absent one takes it. */
#define ABSENT_TRIES 4u

/* Post to another worker the nodes that it has subscriptions on. False: dropped, no memory. */
static bool post(struct noc_shard *shard, struct noc_publication *publication,
    struct noc_part *part, const struct noc_match *match, unsigned worker)
{
    struct noc_node *some[64];
    unsigned count = 0;

    shard->fed |= UINT64_C(1) << worker;
    shard->work += match->count;
    for (unsigned i = 0; i < match->count; i++) {
        if ((noc_node_workers(match->nodes[i]) >> worker & 1) == 0) {
            continue;
        }
        if (count == NOC_COUNT(some)) {
            /* More than fit here: let it have them all, it passes over those it has nothing on. */
            return noc_mail_publish(shard, worker, publication, part, match->nodes, match->count) ==
                   NOC_OK;
        }
        some[count++] = match->nodes[i];
    }
    /* Nodes that nobody there has any more are no reason to keep who waits for the worker waiting. */
    return (count == 0 && part == NULL && publication->release == NULL) ||
           noc_mail_publish(shard, worker, publication, part, some, count) == NOC_OK;
}

/*
 * Post it; where the worker has a durable subscriber, the answer to the publisher waits for
 * what becomes of it there, or all of it is stored under one release.
 */
static bool post_to(struct noc_shard *shard, struct noc_publication *publication,
    const struct noc_match *match, unsigned worker, bool is_durable)
{
    struct noc_part *part = NULL;

    if (publication->receipt != NULL && publication->release == NULL && is_durable) {
        part = noc_receipt_add_part(publication->receipt);
        if (part == NULL) {
            return false;
        }
    }
    if (!post(shard, publication, part, match, worker)) {
        noc_part_release(shard, part);
        return false;
    }
    if (publication->release != NULL) {
        noc_release_add(publication->release, worker);
    }
    return true;
}

/* Deliver to a member at home here. False: try another one. */
static bool deliver_to_member(struct noc_shard *shard, struct noc_publication *publication,
    const struct noc_node *node, const struct noc_group *group, uint64_t session_number,
    bool absent_too)
{
    struct noc_session *session = noc_map64_get(&shard->by_number, session_number);
    const struct noc_sub *sub;
    uint8_t qos;

    if (session == NULL || (session->link == NULL && !absent_too)) {
        return false;
    }
    sub = noc_session_find_sub(session, node, group);
    if (sub == NULL) {
        return false;
    }
    qos = sub->options & NOC_SUB_QOS;
    noc_session_deliver(session, publication,
        qos < publication->parts.qos ? qos : publication->parts.qos,
        (sub->options & NOC_SUB_RETAIN_AS_PUBLISHED) != 0 && publication->parts.retain, &sub->id,
        sub->id != 0);
    return true;
}

/* A shared message is another worker's matter now, and so is what has come with it by mail. */
static void gone_along(struct noc_publication *publication, unsigned worker)
{
    if (publication->is_by_mail) {
        if (publication->release != NULL) {
            noc_release_pass_on(publication->release, worker);
        }
        publication->part = NULL;
        publication->release = NULL;
    } else if (publication->release != NULL) {
        noc_release_add(publication->release, worker);
    }
}

/*
 * Find a member from this attempt on: here at once, elsewhere by mail, where part goes along.
 * Without one it is dropped and counted; *ret_is_mailed tells. False: for want of memory.
 */
static bool find_member(struct noc_shard *shard, struct noc_publication *publication,
    struct noc_part *part, struct noc_node *node, struct noc_group *group, uint32_t start,
    uint32_t attempt, bool *ret_is_mailed)
{
    struct noc_member member;
    bool has_memory = true;

    for (; noc_group_pick(group, attempt, &start, &member); attempt++) {
        if (member.worker != shard->number) {
            shard->fed |= UINT64_C(1) << member.worker;
            if (noc_mail_shared(shard, member.worker, publication, part, node, group, &member,
                    start, attempt) == NOC_OK) {
                gone_along(publication, member.worker);
                *ret_is_mailed = true;
                return true;
            }
            has_memory = false;
        } else if (deliver_to_member(shard, publication, node, group, member.session_number,
                       attempt >= ABSENT_TRIES || !member.is_connected)) {
            return true;
        }
    }
    noc_shard_count(shard, NOC_COUNT_PUBLISH_DROPPED, 1);
    return has_memory;
}

/* A group's copy of a publication. False: it is dropped for want of memory. */
static bool route_shared(struct noc_shard *shard, struct noc_publication *publication,
    struct noc_node *node, struct noc_group *group)
{
    struct noc_part *part = NULL;
    bool is_mailed = false, is_whole;

    if (publication->receipt != NULL && publication->release == NULL) {
        part = noc_receipt_add_part(publication->receipt);
        if (part == NULL) {
            noc_shard_count(shard, NOC_COUNT_PUBLISH_DROPPED, 1);
            return false;
        }
    }
    is_whole = find_member(shard, publication, part, node, group, 0, 0, &is_mailed);
    if (!is_mailed) {
        noc_part_release(shard, part); /* what is made of it here waits with that of here */
    }
    return is_whole;
}

void noc_deliver_shared_mail(
    struct noc_shard *shard, struct noc_publication *publication, const struct noc_record *record)
{
    if (!deliver_to_member(shard, publication, record->as.shared.node, record->as.shared.group,
            record->as.shared.session_number,
            record->as.shared.attempt >= ABSENT_TRIES || !record->as.shared.was_connected)) {
        bool is_mailed;

        (void)find_member(shard, publication, publication->part, record->as.shared.node,
            record->as.shared.group, record->as.shared.start, record->as.shared.attempt + 1,
            &is_mailed);
    }
}

/* Make it the retained message of its topic; false: not, for want of memory. */
static bool retain(struct noc_shard *shard, struct noc_publication *publication)
{
    uint64_t version;

    if (noc_publication_message(publication) == NULL || noc_journal_reserve(shard) != NOC_OK ||
        noc_retained_set(shard->core->retained, shard->number, publication->message, &version) !=
            NOC_OK) {
        return false;
    }
    noc_journal_retained(shard, publication->message, version, publication->receipt != NULL);
    if (publication->receipt != NULL) {
        noc_journal_await(shard, publication->part);
    }
    return true;
}

/* Somebody's answer has to wait: make the receipt, unless there is one. False: no memory. */
static bool ask(struct noc_shard *shard, struct noc_publication *publication)
{
    if (publication->asker != NULL && shard->journal != NULL && publication->receipt == NULL) {
        publication->receipt = noc_receipt_new(publication->asker);
        if (publication->receipt == NULL) {
            return false;
        }
        publication->part = &publication->receipt->here;
    }
    return true;
}

/* The workers that have subscriptions on what matched, and those that have durable ones. */
static uint64_t workers_of(const struct noc_match *match, uint64_t *ret_durable, bool *ret_groups)
{
    uint64_t workers = 0;

    *ret_durable = 0;
    *ret_groups = false;
    for (unsigned i = 0; i < match->count; i++) {
        workers |= noc_node_workers(match->nodes[i]);
        *ret_durable |= noc_node_durable_workers(match->nodes[i]);
        *ret_groups |= noc_node_groups(match->nodes[i]) != NULL;
    }
    return workers;
}

/* Give it to one member of each share group. False: no memory for some. */
static bool route_to_groups(
    struct noc_shard *shard, struct noc_publication *publication, const struct noc_match *match)
{
    bool is_whole = true;

    for (unsigned i = 0; i < match->count; i++) {
        for (struct noc_group *group = noc_node_groups(match->nodes[i]); group != NULL;
             group = noc_group_next(group)) {
            is_whole &= route_shared(shard, publication, match->nodes[i], group);
        }
    }
    return is_whole;
}

enum noc_routed noc_route(struct noc_shard *shard, struct noc_publication *publication)
{
    struct noc_match match;
    uint64_t workers, durable, here = UINT64_C(1) << shard->number;
    bool has_groups, is_whole = true;

    if (publication->parts.retain && (!ask(shard, publication) || !retain(shard, publication))) {
        noc_shard_log(shard, NOC_LOG_ERROR, "Out of memory: '%.*s' could not be retained.",
            NOC_SLICE_ARG(publication->parts.topic));
        return NOC_ROUTED_NOT;
    }
    if (noc_index_match(shard->core->index, shard->number, publication->parts.topic, &match) !=
        NOC_OK) {
        if (!publication->parts.retain) {
            return NOC_ROUTED_NOT;
        }
        noc_shard_count(shard, NOC_COUNT_PUBLISH_DROPPED, 1);
        return NOC_ROUTED_IN_PART;
    }
    shard->work += match.visited + match.count;
    workers = workers_of(&match, &durable, &has_groups);
    if ((durable != 0 || has_groups) && !ask(shard, publication)) {
        return NOC_ROUTED_NOT;
    }
    if (has_groups) {
        is_whole = route_to_groups(shard, publication, &match);
    }
    for (uint64_t others = workers & ~here; others != 0; others &= others - 1) {
        unsigned worker = (unsigned)__builtin_ctzll(others);

        if (!post_to(shard, publication, &match, worker, (durable >> worker & 1) != 0)) {
            noc_shard_count(shard, NOC_COUNT_PUBLISH_DROPPED, 1);
            is_whole = false;
        }
    }
    if ((workers & here) != 0) {
        noc_deliver(shard, publication, match.nodes, match.count);
    }
    return !is_whole                    ? NOC_ROUTED_IN_PART
           : has_groups || workers != 0 ? NOC_ROUTED
                                        : NOC_ROUTED_NOWHERE;
}

void noc_route_or_drop(struct noc_shard *shard, struct noc_publication *publication)
{
    if (noc_route(shard, publication) == NOC_ROUTED_NOT) {
        noc_shard_count(shard, NOC_COUNT_PUBLISH_DROPPED, 1);
    }
}

bool noc_route_has_takers(struct noc_shard *shard, struct noc_slice topic)
{
    struct noc_match match;

    if (noc_index_match(shard->core->index, shard->number, topic, &match) != NOC_OK) {
        return true;
    }
    shard->work += match.visited + match.count;
    for (unsigned i = 0; i < match.count; i++) {
        if (noc_node_workers(match.nodes[i]) != 0 || noc_node_groups(match.nodes[i]) != NULL) {
            return true;
        }
    }
    return false;
}

bool noc_route_has_keepers(struct noc_shard *shard, struct noc_slice topic)
{
    struct noc_match match;
    uint64_t durable;
    bool has_groups;

    if (noc_index_match(shard->core->index, shard->number, topic, &match) != NOC_OK) {
        return true;
    }
    shard->work += match.visited + match.count;
    (void)workers_of(&match, &durable, &has_groups);
    return durable != 0;
}

void noc_shard_publish(struct noc_shard *shard, const struct noc_message_parts *parts)
{
    struct noc_publication publication = {.parts = *parts};

    noc_route_or_drop(shard, &publication);
    noc_publication_done(&publication);
}
