/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Delivering to sessions: see deliver.h. The path of a QoS 0 message to a
 * connected session is noc_deliver -> noc_session_deliver -> send: no
 * allocation, no lock; its bytes are encoded straight into the output queue.
 *
 * What happens to a message for one session:
 *
 *                       QoS 0                       QoS 1, 2
 *   connected           sent, unless its output     sent if the window has room,
 *                       is over max_output_bytes    else queued up to max_queued_*
 *   absent              queued only with            queued up to max_queued_*
 *                       queue_qos0_messages
 *
 * Everything else is dropped, counted, and logged once per episode. What is not sent because it
 * has expired, or because the client takes no packets as large, is counted by its reason.
 */
#include "core/deliver.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "core/alias.h"
#include "core/journal.h"
#include "core/link.h"
#include "core/queue.h"
#include "core/receipt.h"
#include "core/replay.h"

/* ---- dropping ---- */

static void drop(struct noc_session *session)
{
    struct noc_shard *shard = session->shard;

    noc_shard_count(shard, NOC_COUNT_PUBLISH_DROPPED, 1);
    session->dropped_total++;
    session->dropped++;
    if (!session->is_dropping) {
        session->is_dropping = true;
        noc_shard_log(shard, NOC_LOG_NOTICE, "Outgoing messages are being dropped for client %.*s.",
            NOC_SLICE_ARG(noc_session_id(session)));
    }
}

/* The queue has been worked off: an episode of drops, if there was one, is over. */
static void drops_are_over(struct noc_session *session)
{
    if (session->is_dropping) {
        noc_shard_log(session->shard, NOC_LOG_NOTICE,
            "Client %.*s keeps up again; %u messages were dropped.",
            NOC_SLICE_ARG(noc_session_id(session)), (unsigned)session->dropped);
        session->is_dropping = false;
        session->dropped = 0;
    }
}

/* ---- read right ---- */

bool noc_session_may_read(struct noc_session *session, struct noc_slice topic)
{
    struct noc_shard *shard = session->shard;
    struct noc_acl *acl = shard->acls[session->listener->number];
    struct noc_acl_subject subject = {
        noc_session_id(session), noc_slice(session->username, session->username_n)};
    struct noc_acl_memo *memo;
    uint64_t hash, version;

    if (acl == NULL) {
        return true;
    }
    if (session->memos == NULL) {
        session->memos = calloc(NOC_ACL_MEMOS, sizeof *session->memos);
        if (session->memos == NULL) {
            return noc_acl_allows(acl, &subject, NOC_ACCESS_READ, topic);
        }
    }
    hash = noc_hash(shard->core->seed, topic.at, topic.n);
    version = noc_acl_version(acl);
    memo = &session->memos[hash % NOC_ACL_MEMOS];
    if (memo->topic_hash != hash || memo->acl_version != version) {
        *memo = (struct noc_acl_memo){
            hash, version, noc_acl_allows(acl, &subject, NOC_ACCESS_READ, topic)};
    }
    return memo->is_allowed;
}

/* ---- sending ---- */

/* What a receiver of its own is told about one publication. */
struct sending {
    uint8_t qos;
    bool retain, dup;
    uint16_t packet_id;
    const uint32_t *ids;
    unsigned id_count;
};

/* Seconds of life that are left, rounded up [MQTT-3.3.2-6]; 0: expired. */
static uint32_t seconds_left(uint64_t expires_ms, uint64_t now_ms)
{
    uint64_t left = expires_ms <= now_ms ? 0 : (expires_ms - now_ms + 999) / 1000;

    return left > UINT32_MAX ? UINT32_MAX : (uint32_t)left;
}

/* With its topic, also where an alias stands for it on the wire. */
static void log_sent(
    const struct noc_link *link, const struct noc_publish_out *out, struct noc_slice full_topic)
{
    size_t mount_n = link->listener->mount_point.n;

    noc_shard_log(link->shard, NOC_LOG_DEBUG,
        "Sending PUBLISH to %.*s (d%d, q%d, r%d, m%d, '%.*s', ... (%lu bytes))",
        NOC_SLICE_ARG(noc_link_name(link)), out->dup, out->qos, out->retain, out->packet_id,
        NOC_SLICE_ARG(noc_slice(full_topic.at + mount_n, full_topic.n - mount_n)),
        (unsigned long)out->payload_n);
}

/* The client takes no packet as large: that is as good as delivered [MQTT-3.1.2-25]. */
static void count_oversize(const struct noc_link *link)
{
    noc_shard_count(link->shard, NOC_COUNT_PUBLISH_OVERSIZE, 1);
    link->session->dropped_total++;
}

/* Describe the packet. False: it must not be sent to this client; counted. */
static bool describe(const struct noc_link *link, const struct noc_publication *publication,
    const struct sending *sending, struct noc_publish_out *out)
{
    const struct noc_message_parts *parts = &publication->parts;
    size_t mount_n = link->listener->mount_point.n;

    /* Below "site/" nothing is called "site", nor what was queued below another mount point. */
    if (parts->topic.n <= mount_n ||
        !noc_slice_has_prefix(parts->topic, link->listener->mount_point)) {
        return false;
    }
    *out = (struct noc_publish_out){
        .topic = noc_slice(parts->topic.at + mount_n, parts->topic.n - mount_n),
        .payload_n = parts->payload.n,
        .qos = sending->qos,
        .dup = sending->dup,
        .retain = sending->retain,
        .packet_id = sending->packet_id,
    };
    if (parts->expires_ms != NOC_NEVER_MS) {
        out->has_expiry = true;
        out->expiry_s = seconds_left(parts->expires_ms, link->shard->now_ms);
        if (out->expiry_s == 0 && !sending->dup) {
            /* [MQTT-3.3.2-5]; but what was sent before is finished [MQTT-4.4.0-1] */
            noc_shard_count(link->shard, NOC_COUNT_PUBLISH_EXPIRED, 1);
            return false;
        }
    }
    if (link->version == NOC_V5) {
        out->props = parts->props;
        out->subscription_ids = sending->ids;
        out->subscription_id_count = sending->id_count;
    }
    if (!noc_link_takes(link, noc_publish_size(link->version, out))) {
        count_oversize(link);
        return false;
    }
    return true;
}

/*
 * Put an alias in the topic's place, if there is one, or is to be: together with its topic a
 * packet must still be no larger than the client takes [MQTT-3.1.2-24].
 */
static void use_alias(struct noc_link *link, struct noc_publish_out *out)
{
    bool is_known = false;

    if (link->aliases_out_max == 0) {
        return;
    }
    out->alias = 1;
    if (!noc_link_takes(link, noc_publish_size(link->version, out))) {
        out->alias = 0;
        return;
    }
    out->alias = noc_alias_out(link, out->topic, &is_known);
    if (is_known) {
        out->topic.n = 0;
    }
}

/* The packet was not sent: the client does not hear of an alias that is new in it. */
static void forget_alias(struct noc_link *link, const struct noc_publish_out *out)
{
    if (out->alias != 0 && out->topic.n > 0) {
        noc_alias_out_undo(link);
    }
}

/*
 * Put a PUBLISH into the link's output. NOC_ENOMEM: nothing was put there;
 * NOC_EDENIED: expired, or larger than the client takes; that is counted.
 */
static int send_publish(
    struct noc_link *link, struct noc_publication *publication, const struct sending *sending)
{
    struct noc_shard *shard = link->shard;
    struct noc_slice payload = publication->parts.payload;
    struct noc_publish_out out;
    size_t room, head_n;
    bool by_reference = payload.n > NOC_COPY_MAX;
    uint8_t *at;

    if (!describe(link, publication, sending, &out)) {
        return NOC_EDENIED;
    }
    if (by_reference && noc_publication_message(publication) == NULL) {
        return NOC_ENOMEM;
    }
    room = NOC_PUBLISH_HEAD_MAX + out.topic.n + out.props.n + 5 * (size_t)out.subscription_id_count;
    at = noc_outq_reserve(&link->out, &shard->blocks, by_reference ? room : room + payload.n);
    if (at == NULL) {
        return NOC_ENOMEM;
    }
    use_alias(link, &out);
    head_n = noc_publish_encode_head(link->version, &out, at, room);
    if (head_n == 0) {
        forget_alias(link, &out);
        count_oversize(link);
        return NOC_EDENIED;
    }
    if (!by_reference) {
        if (payload.n > 0) {
            memcpy(at + head_n, payload.at, payload.n);
        }
        noc_outq_commit(&link->out, head_n + payload.n);
    } else {
        struct noc_slice built = noc_message_payload(publication->message);

        noc_outq_commit(&link->out, head_n);
        if (noc_outq_refer(&link->out, publication->message, built.at, built.n) != NOC_OK) {
            noc_outq_uncommit(&link->out, head_n);
            forget_alias(link, &out);
            return NOC_ENOMEM;
        }
    }
    noc_link_mark_dirty(link);
    noc_shard_count(shard, NOC_COUNT_PACKETS_SENT, 1);
    noc_shard_count(shard, NOC_COUNT_PUBLISH_SENT, 1);
    noc_shard_count(shard, NOC_COUNT_PUBLISH_BYTES_SENT, (int64_t)payload.n);
    if (noc_shard_logs(shard, NOC_LOG_DEBUG)) {
        log_sent(link, &out, publication->parts.topic);
    }
    return NOC_OK;
}

/* ---- window and queue ---- */

static bool ids_are_free(const struct noc_session *session)
{
    return session->window.count == 0 ||
           noc_queue_first(session) - noc_ring_at(&session->window, 0)->sequence < NOC_WINDOW_SPAN;
}

bool noc_session_has_window(const struct noc_session *session)
{
    uint64_t most = session->shard->core->limits.max_inflight_bytes;

    return session->link != NULL && !noc_link_is_failing(session->link) &&
           session->again_count == 0 && session->open_count < session->link->window_max &&
           ids_are_free(session) &&
           (most == 0 || session->open_count == 0 || session->window_bytes < most);
}

static int copy_ids(struct noc_sub_ids *to, const uint32_t *ids, unsigned count)
{
    to->count = 0;
    if (count == 1) {
        to->as.one = ids[0];
    } else if (count > 1) {
        to->as.many = malloc(count * sizeof *ids);
        if (to->as.many == NULL) {
            return NOC_ENOMEM;
        }
        memcpy(to->as.many, ids, count * sizeof *ids);
    }
    to->count = count;
    return NOC_OK;
}

static const uint32_t *ids_of(const struct noc_sub_ids *ids)
{
    return ids->count > 1 ? ids->as.many : &ids->as.one;
}

static void count_held(struct noc_session *session, int messages, int64_t bytes)
{
    noc_shard_count(session->shard, NOC_COUNT_MESSAGES_QUEUED, messages);
    noc_shard_count(session->shard, NOC_COUNT_BYTES_QUEUED, bytes);
}

/*
 * Send the message under the packet id of its sequence number. The session keeps it for
 * redelivery only if it outlives the connection. *ret_entry: its place. NOC_ENOMEM: nothing happened.
 */
static int send_in_window(struct noc_session *session, struct noc_publication *publication,
    struct sending *sending, uint64_t sequence, struct noc_outgoing **ret_entry)
{
    struct noc_outgoing *entry;
    bool is_kept = noc_session_is_durable(session);
    int err;

    if (is_kept && noc_publication_message(publication) == NULL) {
        return NOC_ENOMEM;
    }
    entry = noc_ring_push(&session->window);
    if (entry == NULL) {
        return NOC_ENOMEM;
    }
    sending->packet_id = noc_packet_id(sequence);
    err = is_kept ? copy_ids(&entry->ids, sending->ids, sending->id_count) : NOC_OK;
    if (err == NOC_OK) {
        err = send_publish(session->link, publication, sending);
    }
    if (err != NOC_OK) {
        noc_outgoing_done(entry);
        session->window.count--;
        return err;
    }
    entry->sequence = sequence;
    entry->qos = sending->qos;
    entry->retain = sending->retain;
    entry->state = sending->qos == 1 ? NOC_OUT_WAIT_PUBACK : NOC_OUT_WAIT_PUBREC;
    entry->payload_n = (uint32_t)publication->parts.payload.n;
    if (is_kept) {
        entry->message = noc_message_ref(publication->message);
    }
    session->open_count++;
    session->window_bytes += entry->payload_n;
    count_held(session, 1, entry->payload_n);
    *ret_entry = entry;
    return NOC_OK;
}

/*
 * Is there a number for one more message? Past half of them they begin anew as soon as none is in use, with
 * the packet id that is next.
 */
static bool has_number(struct noc_session *session)
{
    if (NOC_UNLIKELY(session->next_sequence > NOC_SEQUENCE_MAX / 2) && session->window.count == 0 &&
        noc_queue_is_empty(session)) {
        session->next_sequence %= 65535;
        noc_journal_renumbered(session);
    }
    return session->next_sequence <= NOC_SEQUENCE_MAX;
}

/* A message that is new to the session, with nothing before it in the queue. */
static void send_new(
    struct noc_session *session, struct noc_publication *publication, struct sending *sending)
{
    struct noc_outgoing *entry;
    int err = has_number(session)
                  ? send_in_window(session, publication, sending, session->next_sequence, &entry)
                  : NOC_ENOMEM;

    if (err == NOC_OK) {
        session->next_sequence++;
        noc_journal_put(session, entry, publication);
    } else if (err == NOC_ENOMEM) {
        drop(session);
    }
}

static void enqueue(
    struct noc_session *session, struct noc_publication *publication, const struct sending *sending)
{
    const struct noc_limits *limits = &session->shard->core->limits;
    struct noc_outgoing *entry;
    size_t n = publication->parts.payload.n;

    if ((limits->max_queued_messages > 0 &&
            noc_queue_count(session) >= limits->max_queued_messages) ||
        (limits->max_queued_bytes > 0 && session->queue_bytes + n > limits->max_queued_bytes) ||
        !has_number(session) || noc_publication_message(publication) == NULL) {
        drop(session);
        return;
    }
    entry = noc_queue_push(session);
    if (entry == NULL) {
        drop(session);
        return;
    }
    if (copy_ids(&entry->ids, sending->ids, sending->id_count) != NOC_OK) {
        noc_queue_unpush(session);
        drop(session);
        return;
    }
    entry->message = noc_message_ref(publication->message);
    entry->sequence = session->next_sequence++;
    entry->payload_n = (uint32_t)n;
    entry->qos = sending->qos;
    entry->retain = sending->retain;
    session->queue_bytes += n;
    session->queued_qos0 += sending->qos == 0;
    count_held(session, 1, (int64_t)n);
    noc_journal_put(session, entry, publication);
}

/*
 * A message of QoS 2 is sent only when it is stored: a client that has it under a packet id which a
 * crash made us forget would take the next one with that id for the same.
 */
static bool must_be_stored_first(const struct noc_session *session, uint8_t qos)
{
    return qos == 2 && noc_journal_keeps(session);
}

void noc_session_deliver(struct noc_session *session, struct noc_publication *publication,
    uint8_t qos, bool retain, const uint32_t *ids, unsigned id_count)
{
    struct noc_shard *shard = session->shard;
    struct noc_link *link = session->link;
    struct sending sending = {.qos = qos, .retain = retain, .ids = ids, .id_count = id_count};

    if (shard->acls[session->listener->number] != NULL &&
        !noc_session_may_read(session, publication->parts.topic)) {
        return;
    }
    if (qos == 0) {
        if (link == NULL) {
            if (shard->core->limits.queue_qos0 && noc_shard_is_memory_short(shard)) {
                drop(session);
            } else if (shard->core->limits.queue_qos0) {
                enqueue(session, publication, &sending);
            }
        } else if (session->queued_qos0 > 0 || publication->release != NULL) {
            enqueue(session, publication, &sending); /* behind those [MQTT-4.6.0-6], or held */
        } else if (noc_link_is_failing(link) ||
                   link->out.bytes >= shard->core->limits.max_output_bytes ||
                   send_publish(link, publication, &sending) == NOC_ENOMEM) {
            drop(session);
        }
        return;
    }
    if (noc_queue_is_empty(session) && noc_session_has_window(session) &&
        link->out.bytes < shard->core->limits.max_output_bytes &&
        !must_be_stored_first(session, qos) && publication->release == NULL) {
        send_new(session, publication, &sending);
        return;
    }
    enqueue(session, publication, &sending);
}

void noc_session_replay(
    struct noc_session *session, struct noc_publication *publication, uint8_t qos, uint32_t id)
{
    struct sending sending = {.qos = qos, .retain = true, .ids = &id, .id_count = id != 0};

    if (!noc_session_may_read(session, publication->parts.topic)) {
        return;
    }
    if (qos > 0 && (!noc_queue_is_empty(session) || must_be_stored_first(session, qos))) {
        enqueue(session, publication, &sending); /* the window is in the order of numbers */
    } else if (qos > 0) {
        send_new(session, publication, &sending);
    } else if (send_publish(session->link, publication, &sending) == NOC_ENOMEM) {
        drop(session);
    }
}

/* Messages of the queue are counted no more. */
static void forget(struct noc_session *session, uint32_t count, uint64_t bytes)
{
    session->queue_bytes -= bytes;
    count_held(session, -(int)count, -(int64_t)bytes);
}

void noc_session_lost_queued(struct noc_session *session, uint32_t count, uint64_t bytes)
{
    forget(session, count, bytes);
    noc_shard_count(session->shard, NOC_COUNT_PUBLISH_DROPPED, count);
    session->dropped_total += count;
}

/* Take the head of the queue; what it held is the caller's. */
static struct noc_outgoing dequeue(struct noc_session *session)
{
    struct noc_outgoing entry = noc_queue_pop(session);

    session->queued_qos0 -= entry.qos == 0;
    forget(session, 1, entry.payload_n);
    return entry;
}

/* The entry's flow is over. */
static void finish(struct noc_session *session, struct noc_outgoing *entry)
{
    noc_journal_finished(session, entry);
    count_held(session, -1, -(int64_t)entry->payload_n);
    session->window_bytes -= entry->payload_n;
    session->open_count--;
    noc_session_sent_again(session, entry);
    entry->state = NOC_OUT_DONE;
    noc_outgoing_done(entry);
}

/* Holes at the head go. */
static void drop_holes(struct noc_session *session)
{
    while (session->window.count > 0 && noc_ring_at(&session->window, 0)->state == NOC_OUT_DONE) {
        noc_ring_drop_head(&session->window);
    }
}

void noc_session_complete(struct noc_session *session, struct noc_outgoing *entry)
{
    finish(session, entry);
    drop_holes(session);
}

/*
 * Send in-flight messages again, in their order, as many at once as this
 * connection takes [MQTT-3.3.4-9]; what is new waits for its turn behind them.
 */
static void send_again(struct noc_session *session)
{
    struct noc_link *link = session->link;

    for (uint32_t i = 0; session->again_count > 0 && i < session->window.count; i++) {
        struct noc_outgoing *entry = noc_ring_at(&session->window, i);
        struct noc_publication publication;
        struct sending sending;
        int err;

        if (!entry->is_due_again) {
            continue;
        }
        if (session->open_count - session->again_count >= link->window_max ||
            link->out.bytes >= session->shard->core->limits.max_output_bytes) {
            break;
        }
        publication = (struct noc_publication){
            .parts = noc_message_parts(entry->message), .message = entry->message};
        sending = (struct sending){.qos = entry->qos,
            .retain = entry->retain,
            .dup = true, /* [MQTT-3.3.1-1] */
            .packet_id = noc_packet_id(entry->sequence),
            .ids = ids_of(&entry->ids),
            .id_count = entry->ids.count};
        err = send_publish(link, &publication, &sending);
        if (err == NOC_ENOMEM) {
            break;
        }
        if (err == NOC_OK) {
            noc_session_sent_again(session, entry);
        } else {
            finish(session, entry); /* too large for this client [MQTT-3.1.2-25] */
        }
    }
    drop_holes(session);
}

/* Send the head of the queue; it is gone from there, whatever becomes of it. */
static void send_head(struct noc_session *session)
{
    struct noc_outgoing entry = dequeue(session), *sent = NULL;
    struct noc_publication publication = {
        .parts = noc_message_parts(entry.message), .message = entry.message};
    struct sending sending = {.qos = entry.qos,
        .retain = entry.retain,
        .ids = ids_of(&entry.ids),
        .id_count = entry.ids.count};
    int err = !noc_session_may_read(session, publication.parts.topic) ? NOC_EDENIED
              : entry.qos == 0
                  ? send_publish(session->link, &publication, &sending)
                  : send_in_window(session, &publication, &sending, entry.sequence, &sent);

    if (err == NOC_ENOMEM) {
        drop(session);
    }
    if (sent != NULL) {
        sent->kept = entry.kept;
        sent->part = entry.part;
    } else {
        noc_journal_finished(session, &entry);
    }
    noc_outgoing_done(&entry);
}

/* From the queue, as far as it is in memory. */
static void send_queue(struct noc_session *session)
{
    while (session->queue.count > 0 &&
           session->link->out.bytes < session->shard->core->limits.max_output_bytes) {
        const struct noc_outgoing *head = noc_ring_at(&session->queue, 0);

        if (head->qos > 0 && !noc_session_has_window(session)) {
            return;
        }
        if (head->kept == NOC_KEPT_HELD ||
            (must_be_stored_first(session, head->qos) && head->kept != NOC_KEPT_SAFE)) {
            return;
        }
        send_head(session);
    }
}

void noc_session_pump(struct noc_session *session)
{
    struct noc_shard *shard = session->shard;

    if (session->link == NULL || noc_link_is_failing(session->link)) {
        return;
    }
    if (session->again_count > 0) {
        send_again(session);
    }
    send_queue(session);
    noc_queue_want(session);
    if (noc_queue_is_empty(session) &&
        session->link->out.bytes <= shard->core->limits.max_output_bytes / 2) {
        drops_are_over(session);
    }
}

void noc_session_go_on(struct noc_session *session)
{
    noc_session_pump(session);
    if (session->link != NULL) {
        noc_replay_wake(session->link);
    }
}

void noc_session_redeliver(struct noc_session *session)
{
    session->again_count = 0;
    for (uint32_t i = 0; i < session->window.count; i++) {
        struct noc_outgoing *entry = noc_ring_at(&session->window, i);

        entry->is_due_again = entry->message != NULL;
        session->again_count += entry->is_due_again;
        if (entry->state == NOC_OUT_WAIT_PUBCOMP) {
            uint8_t packet[8];

            noc_link_send(session->link, packet,
                noc_ack_encode(session->link->version, NOC_PUBREL, noc_packet_id(entry->sequence),
                    0, packet, sizeof packet));
        }
    }
    noc_session_pump(session);
}

uint32_t noc_session_trim(struct noc_session *session)
{
    uint32_t most = (session->queue.count + 1) / 2;

    for (uint32_t i = 0; i < most; i++) {
        struct noc_outgoing entry = dequeue(session);

        noc_journal_finished(session, &entry);
        noc_outgoing_done(&entry);
        drop(session);
    }
    noc_queue_want(session);
    return most;
}

void noc_session_drop_messages(struct noc_session *session)
{
    size_t at = 0;
    struct noc_message *message;

    if (session->paged != NULL) {
        forget(session, session->paged->count, session->paged->bytes);
        noc_queue_drop_paged(session);
    }
    while (session->queue.count > 0) {
        struct noc_outgoing entry = dequeue(session);

        noc_journal_let_go(session, &entry);
        noc_outgoing_done(&entry);
    }
    while (session->window.count > 0) {
        struct noc_outgoing *entry = noc_ring_at(&session->window, 0);

        if (entry->state != NOC_OUT_DONE) {
            count_held(session, -1, -(int64_t)entry->payload_n);
            noc_journal_let_go(session, entry);
        }
        noc_outgoing_done(entry);
        noc_ring_drop_head(&session->window);
    }
    session->open_count = 0;
    session->again_count = 0;
    session->window_bytes = 0;
    while ((message = noc_map64_next(&session->incoming, &at)) != NULL) {
        noc_message_unref(message);
    }
    noc_map64_done(&session->incoming);
    session->incoming_bytes = 0;
}

/* ---- to the subscriptions of nodes ---- */

static bool is_own(const struct noc_sub *sub, const struct noc_publication *publication)
{
    return (sub->options & NOC_SUB_NO_LOCAL) != 0 &&
           sub->session_number == publication->parts.publisher_number;
}

/* Retained before the subscription, but routed after: the replay has it, or what replaced it. */
static bool is_replayed(const struct noc_sub *sub, const struct noc_publication *publication)
{
    const struct noc_message *message = publication->message;

    return message != NULL && message->retained_version != 0 &&
           message->retained_version <= sub->replayed;
}

static uint8_t lower_qos(const struct noc_sub *sub, const struct noc_publication *publication)
{
    uint8_t qos = sub->options & NOC_SUB_QOS;

    return qos < publication->parts.qos ? qos : publication->parts.qos;
}

static bool retain_for(bool as_published, const struct noc_publication *publication)
{
    return as_published && publication->parts.retain;
}

/* One node: every session stands in its list once at most. */
static void deliver_one(
    struct noc_shard *shard, struct noc_publication *publication, const struct noc_node *node)
{
    struct noc_sub *const *subs;
    unsigned count = noc_node_subs(node, shard->number, &subs);

    shard->work += count;
    for (unsigned i = 0; i < count; i++) {
        const struct noc_sub *sub = subs[i];

        if (i + 4 < count) {
            NOC_PREFETCH(subs[i + 4]);
        }
        if (!is_own(sub, publication) && !is_replayed(sub, publication)) {
            noc_session_deliver(sub->session, publication, lower_qos(sub, publication),
                retain_for((sub->options & NOC_SUB_RETAIN_AS_PUBLISHED) != 0, publication),
                &sub->id, sub->id != 0);
        }
    }
}

/* Room for one more in both tables of meetings. */
static bool meetings_reserve(struct noc_shard *shard)
{
    if (shard->meeting_count == shard->meeting_room) {
        size_t room = shard->meeting_room == 0 ? 64 : shard->meeting_room * 2;
        struct noc_meeting *at = realloc(shard->meetings, room * sizeof *at);

        if (at == NULL) {
            return false;
        }
        shard->meetings = at;
        shard->meeting_room = room;
    }
    if (shard->meeting_id_count == shard->meeting_id_room) {
        size_t room = shard->meeting_id_room == 0 ? 64 : shard->meeting_id_room * 2;
        struct noc_meeting_id *at = realloc(shard->meeting_ids, room * sizeof *at);

        if (at == NULL) {
            return false;
        }
        shard->meeting_ids = at;
        shard->meeting_id_room = room;
    }
    return true;
}

/* Note that a subscription matched: the session gets one copy, with the highest QoS. */
static void meet(
    struct noc_shard *shard, const struct noc_sub *sub, const struct noc_publication *publication)
{
    struct noc_session *session = sub->session;
    struct noc_meeting *meeting;
    uint8_t qos = lower_qos(sub, publication);

    if (!meetings_reserve(shard)) {
        drop(session);
        return;
    }
    if (session->met_in != shard->delivery) {
        session->met_in = shard->delivery;
        session->meeting = (uint32_t)shard->meeting_count;
        shard->meetings[shard->meeting_count++] = (struct noc_meeting){.session = session};
    }
    meeting = &shard->meetings[session->meeting];
    meeting->qos = qos > meeting->qos ? qos : meeting->qos;
    meeting->retain_as_published |= (sub->options & NOC_SUB_RETAIN_AS_PUBLISHED) != 0;
    if (sub->id != 0) {
        shard->meeting_ids[shard->meeting_id_count] =
            (struct noc_meeting_id){sub->id, meeting->first_id};
        meeting->first_id = (uint32_t)shard->meeting_id_count++;
        meeting->id_count++;
    }
}

static void deliver_met(
    struct noc_shard *shard, struct noc_publication *publication, const struct noc_meeting *meeting)
{
    uint32_t few[16], *ids = few;
    uint32_t at = meeting->first_id;

    if (meeting->id_count > NOC_COUNT(few)) {
        ids = malloc(meeting->id_count * sizeof *ids);
        if (ids == NULL) {
            drop(meeting->session);
            return;
        }
    }
    for (uint32_t i = meeting->id_count; i > 0; i--) {
        ids[i - 1] = shard->meeting_ids[at].id;
        at = shard->meeting_ids[at].next;
    }
    noc_session_deliver(meeting->session, publication, meeting->qos,
        retain_for(meeting->retain_as_published, publication), ids, meeting->id_count);
    if (ids != few) {
        free(ids);
    }
}

void noc_deliver(struct noc_shard *shard, struct noc_publication *publication,
    struct noc_node *const *nodes, unsigned node_count)
{
    if (node_count == 1) {
        deliver_one(shard, publication, nodes[0]);
        return;
    }
    shard->delivery++;
    shard->meeting_count = 0;
    shard->meeting_id_count = 0;
    shard->work += node_count;
    for (unsigned n = 0; n < node_count; n++) {
        struct noc_sub *const *subs;
        unsigned count = noc_node_subs(nodes[n], shard->number, &subs);

        shard->work += count;
        for (unsigned i = 0; i < count; i++) {
            if (!is_own(subs[i], publication) && !is_replayed(subs[i], publication)) {
                meet(shard, subs[i], publication);
            }
        }
    }
    shard->work += shard->meeting_count;
    for (size_t i = 0; i < shard->meeting_count; i++) {
        deliver_met(shard, publication, &shard->meetings[i]);
    }
}
