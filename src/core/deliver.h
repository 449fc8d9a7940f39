/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CORE_DELIVER_H
#define NOC_CORE_DELIVER_H
/*
 * From a publication to the sessions it is for.
 *
 *   route           retained, match; mail to other homes; the sessions here
 *   deliver         to this shard's subscriptions on some nodes
 *   to a session    send, or queue, or drop and count
 *
 * Delivering never ends a link or a session, so the lists that it walks don't
 * change under it. What can't be delivered is dropped and counted.
 */

#include "core/mail.h"
#include "core/session.h"

enum noc_routed {
    NOC_ROUTED_NOT = 0, /* no memory: nothing has happened, it may be routed again */
    NOC_ROUTED_IN_PART, /* no memory for some of it: that is dropped and counted */
    NOC_ROUTED_NOWHERE, /* no subscription matched */
    NOC_ROUTED,
};

/*
 * Route a publication: make it retained if its parts say so, post it to the
 * workers that care, deliver it here.
 */
NOC_MUST_CHECK enum noc_routed noc_route(
    struct noc_shard *shard, struct noc_publication *publication);

/* The same where nobody can be told that it failed: then it is dropped and counted. */
void noc_route_or_drop(struct noc_shard *shard, struct noc_publication *publication);

/* Would anybody get a message with this topic? (For the reason code of PUBREC.) */
bool noc_route_has_takers(struct noc_shard *shard, struct noc_slice topic);

/* Would a session get it whose messages are kept? */
bool noc_route_has_keepers(struct noc_shard *shard, struct noc_slice topic);

/* Deliver to this shard's plain subscriptions on the nodes; once per session. */
void noc_deliver(struct noc_shard *shard, struct noc_publication *publication,
    struct noc_node *const *nodes, unsigned node_count);

/* A SHARED record has come: deliver to its member here, or pick another one. */
void noc_deliver_shared_mail(
    struct noc_shard *shard, struct noc_publication *publication, const struct noc_record *record);

/*
 * One publication for one session: sent, queued, or dropped and counted. qos is
 * the lower of the message's and the subscription's; ids are copied. The read
 * right is checked here.
 */
void noc_session_deliver(struct noc_session *session, struct noc_publication *publication,
    uint8_t qos, bool retain, const uint32_t *ids, unsigned id_count);

/*
 * A retained message for the session's link, which has room for it: it is sent
 * whatever waits in the output already, so that none of a portion is lost.
 */
void noc_session_replay(
    struct noc_session *session, struct noc_publication *publication, uint8_t qos, uint32_t id);

/* May the session read the topic? Remembered per session and version of the ACL. */
bool noc_session_may_read(struct noc_session *session, struct noc_slice topic);

/* Has the session room for one more QoS >= 1 message in flight? */
bool noc_session_has_window(const struct noc_session *session);

/* Send the PUBREL of an entry whose PUBREC has come. */
void noc_flow_release(struct noc_link *link, const struct noc_outgoing *entry);

/* The client has acknowledged the entry for good: it goes, and so do holes at the head. */
void noc_session_complete(struct noc_session *session, struct noc_outgoing *entry);

/* The entry need not be sent again on this connection any more. */
static inline void noc_session_sent_again(struct noc_session *session, struct noc_outgoing *entry)
{
    session->again_count -= entry->is_due_again;
    entry->is_due_again = false;
}

/* Send again what is due, then from the queue, while the window and the output have room. */
void noc_session_pump(struct noc_session *session);

/* What it waited for is stored: the same, and its replays. */
void noc_session_go_on(struct noc_session *session);

/* A connection has come to a session that was there: send in-flight messages again, then pump. */
void noc_session_redeliver(struct noc_session *session);

/* Throw away the older half of the queue's head (memory is short). Returns the messages dropped. */
uint32_t noc_session_trim(struct noc_session *session);

/* Messages of the queue that were in the store alone (queue.h) are lost: they are counted as dropped. */
void noc_session_lost_queued(struct noc_session *session, uint32_t count, uint64_t bytes);

/* Everything outgoing and incoming is dropped. */
void noc_session_drop_messages(struct noc_session *session);

#endif
