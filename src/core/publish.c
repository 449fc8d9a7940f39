/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A PUBLISH from a client: decoded in place, checked, authorised, routed,
 * acknowledged. QoS 2 is routed at its PUBREL: until then it waits in the
 * session, so a PUBLISH that comes twice is routed once (4.3.3, method A).
 */
#include <stdlib.h>
#include <string.h>

#include "core/alias.h"
#include "core/deliver.h"
#include "core/goodbye.h"
#include "core/journal.h"
#include "core/receipt.h"
#include "core/release.h"

/* Payload bytes of QoS 2 messages that a client may leave without their PUBREL; one is always let in. */
#define INCOMING_BYTES_MAX (64u << 20)

static void log_publish(const struct noc_link *link, const char *what,
    const struct noc_publish *publish, struct noc_slice topic)
{
    noc_shard_log(link->shard, NOC_LOG_DEBUG,
        "%s PUBLISH from %.*s (d%d, q%d, r%d, m%d, '%.*s', ... (%lu bytes))", what,
        NOC_SLICE_ARG(noc_link_name(link)), publish->dup, publish->qos, publish->retain,
        publish->packet_id, NOC_SLICE_ARG(topic), (unsigned long)publish->payload.n);
}

/* The answer to a message that is not taken, or has been: by its QoS. */
static void answer(struct noc_link *link, const struct noc_publish *publish, uint8_t reason)
{
    if (publish->qos > 0) {
        noc_link_acknowledge(
            link, NULL, publish->qos == 1 ? NOC_PUBACK : NOC_PUBREC, publish->packet_id, reason);
    }
}

/* What listener and limits allow. False: the link has ended. */
static bool check_features(struct noc_link *link, const struct noc_publish *publish)
{
    if (publish->qos > link->listener->max_qos) {
        noc_link_break(link, NOC_END_FEATURE, NOC_RC_QOS_NOT_SUPPORTED, NULL);
        return false; /* [MQTT-3.2.2-11] */
    }
    if (publish->retain && !link->shard->core->limits.retain_available) {
        noc_link_break(link, NOC_END_FEATURE, NOC_RC_RETAIN_NOT_SUPPORTED, NULL);
        return false; /* [MQTT-3.2.2-14] */
    }
    return true;
}

/* Room in the shard's scratch for a topic and properties. */
static bool scratch_reserve(struct noc_shard *shard, size_t n)
{
    char *bigger;

    if (n <= shard->scratch_room) {
        return true;
    }
    bigger = realloc(shard->scratch, n * 2);
    if (bigger == NULL) {
        return false;
    }
    shard->scratch = bigger;
    shard->scratch_room = n * 2;
    return true;
}

/*
 * The publication that a PUBLISH stands for: its topic below the mount point,
 * its properties without those that end here. Borrowed from packet and scratch.
 */
static int make_publication(struct noc_link *link, const struct noc_publish *publish,
    struct noc_slice topic, struct noc_publication *publication)
{
    const uint64_t ends_here = UINT64_C(1) << NOC_PROP_TOPIC_ALIAS |
                               UINT64_C(1) << NOC_PROP_MESSAGE_EXPIRY |
                               UINT64_C(1) << NOC_PROP_SUBSCRIPTION_ID;
    struct noc_shard *shard = link->shard;
    struct noc_slice mount = link->listener->mount_point, props = publish->props.raw;

    if ((mount.n > 0 || (publish->props.has & ends_here) != 0) &&
        !scratch_reserve(shard, mount.n + topic.n + props.n)) {
        return NOC_ENOMEM;
    }
    if (mount.n > 0) {
        if (mount.n + topic.n > UINT16_MAX) {
            return NOC_ETOOLARGE;
        }
        memcpy(shard->scratch, mount.at, mount.n);
        memcpy(shard->scratch + mount.n, topic.at, topic.n);
        topic = noc_slice(shard->scratch, mount.n + topic.n);
    }
    if ((publish->props.has & ends_here) != 0) {
        uint8_t *at = (uint8_t *)shard->scratch + (mount.n > 0 ? topic.n : 0);

        props = noc_slice(at, noc_props_forward(props, at));
    }
    *publication = (struct noc_publication){
        .parts = {.topic = topic,
            .props = props,
            .payload = publish->payload,
            .qos = publish->qos,
            .retain = publish->retain,
            .expires_ms = noc_props_has(&publish->props, NOC_PROP_MESSAGE_EXPIRY)
                              ? shard->now_ms + (uint64_t)publish->props.message_expiry_s * 1000
                              : NOC_NEVER_MS,
            .publisher_number = link->session->number}};
    return NOC_OK;
}

static bool may_write(const struct noc_link *link, struct noc_slice topic)
{
    const struct noc_session *session = link->session;
    struct noc_acl_subject subject = {
        noc_session_id(session), noc_slice(session->username, session->username_n)};
    struct noc_acl *acl = link->shard->acls[link->listener->number];

    link->shard->work += acl == NULL ? 0 : NOC_WORK_OF_RIGHT;
    return noc_acl_allows(acl, &subject, NOC_ACCESS_WRITE, topic);
}

/* Memory is short, or out: QoS 0 is dropped, the rest refused. */
static void refuse_for_memory(struct noc_link *link, const struct noc_publish *publish)
{
    noc_shard_count(link->shard, NOC_COUNT_PUBLISH_REFUSED, 1);
    if (publish->qos == 0) {
        noc_shard_count(link->shard, NOC_COUNT_PUBLISH_DROPPED, 1);
    } else if (link->version == NOC_V5) {
        answer(link, publish, NOC_RC_QUOTA_EXCEEDED);
    } else {
        noc_link_end(link, NOC_END_MEMORY, "memory is short");
    }
}

/* Does it take a retained message away? That is what frees memory, so it is never refused. */
static bool is_removal(
    const struct noc_link *link, const struct noc_publish *publish, struct noc_slice topic)
{
    struct noc_message *message;

    if (!publish->retain || publish->payload.n > 0) {
        return false;
    }
    message = noc_retained_get(link->shard->core->retained, topic);
    noc_message_unref(message);
    return message != NULL;
}

/*
 * Is the store full, and would the message have to be stored before it is acknowledged? What takes
 * a retained message away is never refused, nor what is ours already.
 */
static bool lacks_space(
    const struct noc_link *link, const struct noc_publish *publish, struct noc_slice topic)
{
    struct noc_session *session = link->session;

    if (NOC_LIKELY(!noc_shard_is_store_full(link->shard)) || publish->qos == 0 ||
        (publish->qos == 2 && noc_map64_get(&session->incoming, publish->packet_id) != NULL) ||
        is_removal(link, publish, topic)) {
        return false;
    }
    return publish->retain || (publish->qos == 2 && noc_journal_keeps(session)) ||
           noc_route_has_keepers(link->shard, topic);
}

/*
 * Enter a message of QoS 2 under its packet id. Of a session that is kept its PUBREC waits until
 * both are stored. False: no memory, nothing has changed.
 */
static bool store_incoming(struct noc_link *link, uint16_t packet_id,
    struct noc_publication *publication, struct noc_receipt **ret_receipt)
{
    struct noc_session *session = link->session;
    bool is_kept = noc_journal_keeps(session);

    if (is_kept) {
        *ret_receipt = noc_receipt_new(link);
    }
    if ((is_kept && *ret_receipt == NULL) || noc_publication_message(publication) == NULL ||
        noc_map64_set(&session->incoming, packet_id, publication->message) != NOC_OK) {
        noc_receipt_throw_away(*ret_receipt);
        return false;
    }
    if (is_kept) {
        if (noc_journal_incoming(session, packet_id, publication->message) != NOC_OK) {
            (void)noc_map64_take(&session->incoming, packet_id);
            noc_receipt_throw_away(*ret_receipt);
            return false;
        }
        noc_journal_await(link->shard, &(*ret_receipt)->here);
    }
    return true;
}

/* QoS 2: keep it until its PUBREL. */
static void keep_incoming(
    struct noc_link *link, const struct noc_publish *publish, struct noc_publication *publication)
{
    struct noc_session *session = link->session;
    struct noc_receipt *receipt = NULL;
    uint8_t reason = NOC_RC_SUCCESS;

    if (session->incoming.count >= link->receive_max ||
        (session->incoming.count > 0 &&
            session->incoming_bytes + publish->payload.n > INCOMING_BYTES_MAX)) {
        noc_link_break(link, NOC_END_QUOTA, NOC_RC_RECEIVE_MAXIMUM_EXCEEDED, NULL);
        return; /* [MQTT-3.3.4-7] */
    }
    if (!publish->retain && !noc_route_has_takers(link->shard, publication->parts.topic)) {
        reason = NOC_RC_NO_MATCHING_SUBSCRIBERS;
    }
    if (!store_incoming(link, publish->packet_id, publication, &receipt)) {
        refuse_for_memory(link, publish);
        return;
    }
    session->incoming_bytes += publish->payload.n;
    (void)noc_message_ref(publication->message);
    noc_link_acknowledge(link, receipt, NOC_PUBREC, publish->packet_id, reason);
}

/* Give it to whom it is for, and acknowledge. */
static void take(
    struct noc_link *link, const struct noc_publish *publish, struct noc_publication *publication)
{
    enum noc_routed routed;

    if (publish->qos == 2) {
        keep_incoming(link, publish, publication);
        return;
    }
    publication->asker = publish->qos == 1 ? link : NULL;
    routed = noc_route(link->shard, publication);
    if (routed == NOC_ROUTED_NOT || (routed == NOC_ROUTED_IN_PART && publish->qos == 1)) {
        noc_receipt_throw_away(publication->receipt);
        refuse_for_memory(link, publish);
    } else if (publish->qos == 1) {
        noc_link_acknowledge(link, publication->receipt, NOC_PUBACK, publish->packet_id,
            routed == NOC_ROUTED || publish->retain ? NOC_RC_SUCCESS
                                                    : NOC_RC_NO_MATCHING_SUBSCRIBERS);
    }
}

/* A message of QoS 2 came again before its PUBREL; what came first may not be stored yet. */
static void answer_again(struct noc_link *link, const struct noc_publish *publish)
{
    struct noc_receipt *receipt = NULL;

    if (noc_journal_keeps(link->session)) {
        receipt = noc_receipt_new(link);
        if (receipt == NULL) {
            noc_link_end_soon(link);
            return;
        }
        noc_journal_await(link->shard, &receipt->here);
    }
    noc_link_acknowledge(link, receipt, NOC_PUBREC, publish->packet_id, NOC_RC_SUCCESS);
}

/* Decode it and resolve its alias. False: the link has ended. */
static bool open_publish(struct noc_link *link, unsigned flags, struct noc_slice body,
    struct noc_publish *publish, struct noc_slice *topic)
{
    struct noc_fault fault = {0};
    int err = noc_publish_decode(link->version, flags, true, &body, publish, &fault);

    if (err != NOC_OK) {
        noc_link_break_by(link, err, &fault);
        return false;
    }
    *topic = publish->topic;
    if (noc_props_has(&publish->props, NOC_PROP_TOPIC_ALIAS)) {
        err = noc_alias_in(link, publish->props.topic_alias, topic);
        if (err != NOC_OK) {
            fault = (struct noc_fault){"topic alias", 0};
            if (err == NOC_ENOMEM) {
                noc_link_end(link, NOC_END_MEMORY, NULL);
            } else {
                noc_link_break(link, NOC_END_PROTOCOL, NOC_RC_TOPIC_ALIAS_INVALID, &fault);
            }
            return false;
        }
    }
    return check_features(link, publish);
}

/*
 * Is it refused, for its size, or for want of rights, space or memory? Then it was answered. topic: as the client
 * names it; full: below the mount point.
 */
static bool refuse(struct noc_link *link, const struct noc_publish *publish, struct noc_slice topic,
    struct noc_slice full, bool is_without_space)
{
    struct noc_shard *shard = link->shard;
    uint32_t most = shard->core->limits.message_size_limit;

    if (most > 0 && publish->payload.n > most) {
        noc_shard_log(shard, NOC_LOG_WARNING,
            "Client %.*s: payload of %lu bytes for '%.*s' is over message_size_limit %lu, dropped.",
            NOC_SLICE_ARG(noc_link_name(link)), (unsigned long)publish->payload.n,
            NOC_SLICE_ARG(topic), (unsigned long)most);
        noc_shard_count(shard, NOC_COUNT_PUBLISH_DROPPED, 1);
        answer(link, publish, NOC_RC_IMPLEMENTATION_SPECIFIC);
    } else if (!may_write(link, full)) {
        noc_shard_count(shard, NOC_COUNT_PUBLISH_DENIED, 1);
        noc_link_log_denied(link, full);
        log_publish(link, "Denied", publish, topic);
        answer(link, publish, NOC_RC_NOT_AUTHORIZED);
    } else if (is_without_space) {
        noc_shard_count(shard, NOC_COUNT_PUBLISH_REFUSED, 1);
        answer(link, publish, NOC_RC_QUOTA_EXCEEDED);
    } else if (noc_shard_is_memory_short(shard) && !is_removal(link, publish, full)) {
        refuse_for_memory(link, publish);
    } else {
        return false;
    }
    return true;
}

void noc_link_on_publish(struct noc_link *link, unsigned flags, struct noc_slice body)
{
    struct noc_shard *shard = link->shard;
    struct noc_publication publication;
    struct noc_publish publish;
    struct noc_slice topic;
    bool is_without_space;

    if (!open_publish(link, flags, body, &publish, &topic)) {
        return;
    }
    if (make_publication(link, &publish, topic, &publication) != NOC_OK) {
        noc_link_end(link, NOC_END_MEMORY, NULL);
        return;
    }
    is_without_space = lacks_space(link, &publish, publication.parts.topic);
    if (is_without_space && link->version != NOC_V5) {
        noc_link_wait_for_space(link); /* it can't be told: the packet comes here again */
        noc_publication_done(&publication);
        return;
    }
    noc_shard_count(shard, NOC_COUNT_PUBLISH_RECEIVED, 1);
    noc_shard_count(shard, NOC_COUNT_PUBLISH_BYTES_RECEIVED, (int64_t)publish.payload.n);
    if (noc_shard_logs(shard, NOC_LOG_DEBUG)) {
        log_publish(link, "Received", &publish, topic);
    }
    if (publish.qos == 2 && noc_map64_get(&link->session->incoming, publish.packet_id) != NULL) {
        /*
         * Sent again [MQTT-4.3.3-10]: it is ours already, whatever would be said to it today. A
         * refusal would free its identifier for another message while this one still waits.
         */
        answer_again(link, &publish);
    } else if (!refuse(link, &publish, topic, publication.parts.topic, is_without_space)) {
        take(link, &publish, &publication);
    }
    noc_publication_done(&publication);
}

/* ---- the acknowledgements of QoS 2 from a publisher ---- */

/*
 * Of a session that is kept the end of the packet id is stored together with what becomes of
 * the message, and before the PUBCOMP: see release.h. False: no memory, nothing has happened.
 */
static bool begin_release(struct noc_link *link, struct noc_publication *publication)
{
    publication->receipt = noc_receipt_new(link);
    if (publication->receipt == NULL) {
        return false;
    }
    publication->part = &publication->receipt->here;
    publication->release = noc_release_new(link->shard);
    /* Room for the end of the packet id and of the release, so that they can't fail. */
    return publication->release != NULL && noc_journal_reserve(link->shard) == NOC_OK;
}

/* The message is where it belongs: so is the end of its packet id, now. */
static void end_release(
    struct noc_link *link, uint16_t packet_id, const struct noc_publication *publication)
{
    struct noc_release *release = publication->release;

    if (noc_journal_reserve(link->shard) != NOC_OK ||
        noc_journal_incoming_end(link->session, packet_id, &release->ticket) != NOC_OK) {
        noc_shard_log(link->shard, NOC_LOG_ERROR,
            "Out of memory: a message of %.*s may be delivered again after a crash.",
            NOC_SLICE_ARG(noc_link_name(link)));
    }
    release->part = publication->part;
    noc_part_hold(release->part);
    release->session_number = link->session->number;
    noc_journal_release_begins(link->session);
    noc_release_close(link->shard, release);
}

/* Route it, once [MQTT-4.3.3-11]. False: no memory, its PUBREL will come again. */
static bool release_message(
    struct noc_link *link, const struct noc_ack *ack, struct noc_publication *publication)
{
    bool is_kept = noc_journal_keeps(link->session);
    bool is_wanted = ack->reason < NOC_RC_UNSPECIFIED;

    if ((is_kept && !begin_release(link, publication)) ||
        (is_wanted && noc_route(link->shard, publication) == NOC_ROUTED_NOT)) {
        noc_release_free(publication->release);
        noc_receipt_throw_away(publication->receipt);
        return false;
    }
    if (is_kept) {
        end_release(link, ack->packet_id, publication);
    }
    return true;
}

/*
 * There is no such message. But it may be under a release, and a crash takes it back: the answer has to wait,
 * so that the client does not forget it before.
 */
static void answer_unknown(struct noc_link *link, uint16_t packet_id)
{
    struct noc_receipt *receipt = NULL;

    if (noc_journal_is_releasing(link->session)) {
        receipt = noc_receipt_new(link);
        if (receipt == NULL) {
            noc_link_end_soon(link);
            return;
        }
        noc_journal_await_releases(link->session, &receipt->here);
    }
    noc_link_acknowledge(link, receipt, NOC_PUBCOMP, packet_id, NOC_RC_PACKET_ID_NOT_FOUND);
}

/* PUBREL: the message is ours now. */
void noc_link_on_pubrel(struct noc_link *link, const struct noc_ack *ack)
{
    struct noc_session *session = link->session;
    struct noc_publication publication = {
        .message = noc_message_ref(noc_map64_get(&session->incoming, ack->packet_id)),
        .asker = link};

    if (publication.message == NULL) {
        answer_unknown(link, ack->packet_id);
        return;
    }
    publication.parts = noc_message_parts(publication.message);
    if (!release_message(link, ack, &publication)) {
        /* It can't be refused any more: it stays, and its PUBREL will come again. */
        noc_link_end(link, NOC_END_MEMORY, NULL);
    } else {
        session->incoming_bytes -= publication.parts.payload.n;
        noc_message_unref(noc_map64_take(&session->incoming, ack->packet_id));
        noc_link_acknowledge(
            link, publication.receipt, NOC_PUBCOMP, ack->packet_id, NOC_RC_SUCCESS);
    }
    noc_publication_done(&publication);
}
