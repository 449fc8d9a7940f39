/* SPDX-License-Identifier: Apache-2.0 */
#include "core/goodbye.h"

#include <string.h>

/* What is said of each end: the reason for an MQTT 5 client, the log's words. */
struct goodbye {
    uint8_t reason;     /* 0: no DISCONNECT */
    bool is_error;      /* logged as notice whatever connection_messages says */
    const char *text20; /* after "Client ID " */
    const char *text21; /* after "Client ID [A:P] disconnected" */
};

static const struct goodbye goodbyes[] = {
    [NOC_END_DISCONNECT] = {0, false, "disconnected.", "."},
    [NOC_END_PEER_CLOSED] = {0, false, "closed its connection.", ": connection closed by client."},
    [NOC_END_ERROR] = {0, false, "Bad socket read/write", ": bad socket read/write"},
    [NOC_END_TIMEOUT] = {NOC_RC_KEEP_ALIVE_TIMEOUT, false, "has exceeded timeout, disconnecting.",
        ": exceeded timeout."},
    [NOC_END_TAKEN_OVER] = {NOC_RC_SESSION_TAKEN_OVER, false,
        "already connected, closing old connection.", ": session taken over."},
    [NOC_END_MALFORMED] = {NOC_RC_MALFORMED_PACKET, true, "disconnected due to malformed packet.",
        ": malformed packet."},
    [NOC_END_PROTOCOL] = {NOC_RC_PROTOCOL_ERROR, true, "disconnected due to protocol error.",
        ": protocol error."},
    [NOC_END_OVERSIZE] = {NOC_RC_PACKET_TOO_LARGE, true, "disconnected due to oversize packet.",
        ": oversize packet."},
    [NOC_END_REFUSED] = {0, true, "disconnected, refused.", ": refused."},
    [NOC_END_NOT_AUTHORISED] = {NOC_RC_NOT_AUTHORIZED, true, "disconnected, not authorised.",
        ": not authorised."},
    [NOC_END_FEATURE] = {0, true, "disconnected due to using not allowed feature.",
        ": used disallowed feature."},
    [NOC_END_QUOTA] = {NOC_RC_RECEIVE_MAXIMUM_EXCEEDED, true,
        "disconnected due to receive maximum exceeded.", ": receive maximum exceeded."},
    [NOC_END_MEMORY] = {NOC_RC_QUOTA_EXCEEDED, true, "disconnected due to out of memory.",
        ": out of memory."},
    [NOC_END_ADMIN] = {NOC_RC_ADMINISTRATIVE_ACTION, true,
        "been disconnected by administrative action.", ": administrative action."},
    [NOC_END_SHUTDOWN] = {NOC_RC_SERVER_SHUTTING_DOWN, false, NULL, NULL},
};

void noc_goodbye(struct noc_link *link, uint8_t reason)
{
    uint8_t packet[8];

    if (link->version != NOC_V5 || link->state != NOC_LINK_OPEN || link->is_goodbye_sent) {
        return;
    }
    link->is_goodbye_sent = true;
    noc_link_send(link, packet,
        noc_disconnect_encode(NOC_V5, reason, noc_slice(NULL, 0), packet, sizeof packet));
    noc_shard_log(link->shard, NOC_LOG_DEBUG, "Sending DISCONNECT to %.*s (rc%d)",
        NOC_SLICE_ARG(noc_link_name(link)), reason);
}

void noc_goodbye_for(struct noc_link *link, enum noc_end end)
{
    if (goodbyes[end].reason != 0) {
        noc_goodbye(link, goodbyes[end].reason);
    }
}

void noc_log_protocol_error(
    const struct noc_link *link, enum noc_end end, const struct noc_fault *fault)
{
    struct noc_shard *shard = link->shard;
    const char *field = fault == NULL || fault->field == NULL ? "" : fault->field;

    if (strcmp(field, NOC_FIELD_PASSWORD_FLAG) == 0) {
        noc_shard_log(shard, NOC_LOG_INFORMATION,
            "Protocol error from %.*s: password without username, closing connection.",
            NOC_SLICE_ARG(noc_link_name(link)));
    } else if (end == NOC_END_PROTOCOL && field[0] != '\0' &&
               shard->core->limits.compatibility == NOC_COMPAT_2_1) {
        noc_shard_log(shard, NOC_LOG_INFORMATION, "Protocol error from %.*s: %s.",
            NOC_SLICE_ARG(noc_link_name(link)), field);
    }
}

/* The socket, or what is on it, failed. */
static void log_error(const struct noc_link *link, const char *text)
{
    struct noc_slice name = noc_link_name(link);

    if (link->shard->core->limits.compatibility == NOC_COMPAT_2_1) {
        noc_shard_log(link->shard, NOC_LOG_NOTICE, "Client %.*s [%.*s:%u] disconnected%s: %s.",
            NOC_SLICE_ARG(name), NOC_SLICE_ARG(link->address), (unsigned)link->port,
            goodbyes[NOC_END_ERROR].text21, text);
    } else {
        noc_shard_log(link->shard, NOC_LOG_NOTICE, "%s on client %.*s: %s.",
            goodbyes[NOC_END_ERROR].text20, NOC_SLICE_ARG(name), text);
    }
}

/* Mosquitto 2.1 has words for each reason of a CONNACK. */
static const char *refusal_text21(uint8_t reason)
{
    switch (reason) {
    case NOC_RC_CLIENT_ID_NOT_VALID:
    case NOC_RC_UNSPECIFIED: /* an empty one, of version 5 */
        return ": client identifier not valid.";
    case NOC_RC_SERVER_UNAVAILABLE:
        return ": server unavailable.";
    case NOC_RC_SERVER_BUSY:
        return ": server busy.";
    case NOC_RC_BAD_AUTHENTICATION_METHOD:
        return ": bad authentication method.";
    case NOC_RC_QUOTA_EXCEEDED:
        return ": quota exceeded.";
    default:
        return goodbyes[NOC_END_REFUSED].text21;
    }
}

/*
 * Mosquitto's words end the familiar line; what we know more stands behind
 * them, so that filters that look for the words go on working.
 */
void noc_log_end(struct noc_link *link, enum noc_end end, const char *text)
{
    struct noc_shard *shard = link->shard;
    const struct goodbye *goodbye = &goodbyes[end];
    bool is_new = link->state == NOC_LINK_NEW;
    bool has_more = text != NULL && text[0] != '\0';

    if (goodbye->text20 == NULL ||
        (!goodbye->is_error && !shard->core->limits.connection_messages)) {
        return;
    }
    if (is_new &&
        (end == NOC_END_PEER_CLOSED || (end == NOC_END_TIMEOUT && link->is_told_by_glue))) {
        /* A port check or a health probe: nothing to tell. Or the glue tells it. */
        return;
    }
    if (end == NOC_END_ERROR) {
        log_error(link, has_more ? text : "connection lost");
    } else if (shard->core->limits.compatibility == NOC_COMPAT_2_1) {
        noc_shard_log(shard, NOC_LOG_NOTICE, "Client %.*s [%.*s:%u] disconnected%s%s%s%s",
            NOC_SLICE_ARG(noc_link_name(link)), NOC_SLICE_ARG(link->address), (unsigned)link->port,
            end == NOC_END_REFUSED ? refusal_text21(link->refusal) : goodbye->text21,
            has_more ? " (" : "", has_more ? text : "", has_more ? ")" : "");
    } else if (is_new) {
        noc_shard_log(shard, NOC_LOG_NOTICE, "Client %.*s:%u %s%s%s%s",
            NOC_SLICE_ARG(link->address), (unsigned)link->port, goodbye->text20,
            has_more ? " (" : "", has_more ? text : "", has_more ? ")" : "");
    } else {
        noc_shard_log(shard, NOC_LOG_NOTICE, "Client %.*s %s%s%s%s",
            NOC_SLICE_ARG(noc_link_name(link)), goodbye->text20, has_more ? " (" : "",
            has_more ? text : "", has_more ? ")" : "");
    }
}

void noc_link_log_denied(struct noc_link *link, struct noc_slice topic)
{
    struct noc_shard *shard = link->shard;

    link->denied++;
    if (shard->now_ms < link->denied_until_ms) {
        return;
    }
    noc_shard_log(shard, NOC_LOG_NOTICE,
        "Client %.*s [%.*s:%u] may not publish to '%.*s': denied by the ACL (%u since the last "
        "such line).",
        NOC_SLICE_ARG(noc_link_name(link)), NOC_SLICE_ARG(link->address), (unsigned)link->port,
        NOC_SLICE_ARG(topic), (unsigned)link->denied);
    link->denied_until_ms = shard->now_ms + 60000;
    link->denied = 0;
}
