/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Links: bytes into packets, packets to their handlers, and the end of a
 * connection. See link.h for the states.
 */
#include "core/link.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alias.h"
#include "core/deliver.h"
#include "core/goodbye.h"
#include "core/journal.h"
#include "core/mail.h"
#include "core/receipt.h"
#include "core/replay.h"

/* What a stranger may leave undecoded while memory is short: a common CONNECT in two pieces. */
#define STRANGER_SHORT_MAX 1024u

/* How long a client of 3.1.1, which can't be told, waits for space in the store. */
#define SPACE_WAIT_MS 30000u

/* ---- life ---- */

void noc_link_init(struct noc_link *link)
{
    struct noc_shard *shard = link->shard;

    noc_list_init(&link->dirty);
    noc_list_init(&link->replaying);
    noc_list_init(&link->paused);
    noc_list_init(&link->failing);
    noc_list_init(&link->receipts);
    noc_list_init(&link->gates);
    noc_list_init(&link->link_in_shard);
    noc_list_append(&shard->links, &link->link_in_shard);
    noc_timer_init(&link->timer, NOC_TIMER_LINK);
    noc_shard_count(shard, NOC_COUNT_SOCKETS, 1);
    link->heard_ms = link->connected_ms = shard->now_ms;
    noc_timer_set(
        &shard->timers, &link->timer, shard->now_ms + shard->core->limits.connect_timeout_ms);
}

/* Take the link out of all that its shard knows of it. */
static void leave_shard(struct noc_link *link)
{
    struct noc_shard *shard = link->shard;

    noc_list_remove(&link->link_in_shard);
    noc_list_remove(&link->dirty);
    noc_list_remove(&link->replaying);
    noc_list_remove(&link->failing);
    if (noc_list_is_linked(&link->paused)) {
        noc_list_remove(&link->paused);
        noc_shard_count(shard, NOC_COUNT_PAUSED, -1);
    }
    noc_timer_stop(&shard->timers, &link->timer);
    if (link->ticket != 0) {
        (void)noc_map64_take(&shard->waiting, link->ticket);
        link->ticket = 0;
    }
}

void noc_link_done(struct noc_link *link)
{
    leave_shard(link);
    noc_link_forget_receipts(link);
    noc_alias_done(link);
    noc_outq_reset(&link->out, &link->shard->blocks);
    free(link->partial);
    link->partial = NULL;
    free(link->connect);
    link->connect = NULL;
    noc_exchange_free(link->exchange);
    link->exchange = NULL;
}

struct noc_slice noc_link_name(const struct noc_link *link)
{
    if (link->session != NULL) {
        return noc_session_id(link->session);
    }
    if (link->connect != NULL && link->connect->client_id.n > 0) {
        return link->connect->client_id;
    }
    return link->address;
}

/* ---- output ---- */

void noc_link_mark_dirty(struct noc_link *link)
{
    if (!link->is_blocked && !noc_list_is_linked(&link->dirty)) {
        noc_list_append(&link->shard->dirty, &link->dirty);
    }
}

void noc_link_end_soon(struct noc_link *link)
{
    if (!noc_list_is_linked(&link->failing) && link->state != NOC_LINK_CLOSING) {
        noc_list_append(&link->shard->failing, &link->failing);
    }
}

void noc_link_end_failing(struct noc_shard *shard)
{
    struct noc_list *at;

    while ((at = noc_list_take(&shard->failing)) != NULL) {
        struct noc_link *link = NOC_CONTAINER(at, struct noc_link, failing);

        if (link->answers_n > shard->core->limits.max_output_bytes) {
            noc_link_end(link, NOC_END_ERROR, "it does not read the answers to what it sends");
        } else if (link->is_answer_too_large) {
            noc_link_end(link, NOC_END_OVERSIZE, "an answer is larger than it takes");
        } else {
            noc_link_end(link, NOC_END_MEMORY, NULL);
        }
    }
}

void noc_link_send(struct noc_link *link, const uint8_t *bytes, size_t n)
{
    struct noc_shard *shard = link->shard;
    uint8_t *at;

    if (n == 0 || noc_link_is_failing(link)) {
        return;
    }
    if (!noc_link_takes(link, n)) {
        link->is_answer_too_large = true;
        noc_link_end_soon(link);
        return;
    }
    at = noc_outq_reserve(&link->out, &shard->blocks, n);
    if (at == NULL) {
        noc_link_end_soon(link);
        return;
    }
    memcpy(at, bytes, n);
    noc_link_commit_answer(link, n);
}

void noc_link_commit_answer(struct noc_link *link, size_t n)
{
    struct noc_shard *shard = link->shard;

    noc_outq_commit(&link->out, n);
    noc_link_mark_dirty(link);
    noc_shard_count(shard, NOC_COUNT_PACKETS_SENT, 1);
    if (link->is_blocked) {
        link->answers_n += (uint32_t)n;
        if (link->answers_n > shard->core->limits.max_output_bytes) {
            noc_link_end_soon(link);
        }
    }
}

void noc_link_drained(struct noc_link *link)
{
    link->answers_n = 0;
    if (link->session == NULL) {
        return;
    }
    noc_session_pump(link->session);
    noc_replay_wake(link);
}

/* ---- time ---- */

/* The time for CONNECT is over, and there is no session yet. */
static void out_of_time(struct noc_link *link)
{
    if (link->state == NOC_LINK_NEW) {
        noc_link_end(link, NOC_END_TIMEOUT, "no CONNECT in time");
    } else if (noc_exchange_is_waiting(link)) {
        noc_link_end(link, NOC_END_TIMEOUT, "no AUTH in time");
    } else if (link->state == NOC_LINK_AUTH) {
        /* The client has done its part: who judges it is late. */
        noc_link_refuse(
            link, NOC_RC_SERVER_BUSY, NOC_END_REFUSED, "no answer from the password check in time");
    }
}

void noc_link_tick(struct noc_link *link)
{
    struct noc_shard *shard = link->shard;
    uint64_t due;

    if (link->state != NOC_LINK_OPEN) {
        out_of_time(link);
        return;
    }
    if (link->is_paused_for_space && shard->now_ms - link->paused_ms >= SPACE_WAIT_MS) {
        noc_link_end(link, NOC_END_MEMORY, "there is no space to store what it sends");
        return;
    }
    if (link->keepalive_s == 0 && !link->is_paused_for_space) {
        return;
    }
    if (link->is_paused) {
        /* The clock of a paused link stands still: look again when it may have gone on. */
        noc_timer_set(&shard->timers, &link->timer, shard->now_ms + 1000);
        return;
    }
    due = link->heard_ms + (uint64_t)link->keepalive_s * 1500; /* [MQTT-3.1.2-22] */
    if (due > shard->now_ms) {
        noc_timer_set(&shard->timers, &link->timer, due);
        return;
    }
    noc_link_end(link, NOC_END_TIMEOUT, NULL);
}

/* ---- pausing ---- */

/* Nothing is decoded of it until that worker has caught up; its own one: until the next turn. */
static void pause(struct noc_link *link, unsigned worker)
{
    struct noc_shard *shard = link->shard;

    link->is_paused = true;
    link->paused_for = (uint8_t)worker;
    link->paused_ms = shard->now_ms;
    noc_list_append(worker == shard->number ? &shard->held : &shard->paused[worker], &link->paused);
    noc_shard_count(shard, NOC_COUNT_PAUSED, 1);
    shard->ops->read_on(link, false);
}

/* A packet fed these workers: where one of them is behind, the link waits until it is not. */
static void check_fed(struct noc_link *link)
{
    struct noc_shard *shard = link->shard;

    for (uint64_t fed = link->state == NOC_LINK_OPEN ? shard->fed : 0; fed != 0; fed &= fed - 1) {
        unsigned worker = (unsigned)__builtin_ctzll(fed);

        if (noc_mail_must_wait(shard, worker)) {
            pause(link, worker);
            break;
        }
    }
    shard->fed = 0;
}

/* A packet was worked off: has the turn done enough, and this link its share of it? */
static void check_work(struct noc_link *link)
{
    struct noc_shard *shard = link->shard;

    if (NOC_UNLIKELY(shard->work > NOC_WORK_MAX) &&
        shard->work - shard->work_before > NOC_WORK_LITTLE && link->state == NOC_LINK_OPEN &&
        !link->is_paused) {
        pause(link, shard->number);
    }
}

/* Do too many of its answers wait, or is too much else to be stored before them? */
static bool has_too_many_receipts(const struct noc_link *link, unsigned share)
{
    return link->receipt_count >= NOC_RECEIPTS_MAX / share ||
           (link->shard->is_store_behind && link->receipt_count >= NOC_RECEIPTS_FEW / share);
}

/* Then it waits for the store, too. */
static void check_receipts(struct noc_link *link)
{
    if (NOC_UNLIKELY(has_too_many_receipts(link, 1)) && link->state == NOC_LINK_OPEN &&
        !link->is_paused) {
        pause(link, link->shard->number);
        noc_list_remove(&link->paused);
        noc_list_append(&link->shard->unanswered, &link->paused);
        link->is_paused_for_receipts = true;
    }
}

void noc_link_go_on_after_receipts(struct noc_link *link)
{
    if (link->is_paused_for_receipts && !has_too_many_receipts(link, 2)) {
        link->is_paused_for_receipts = false;
        noc_list_remove(&link->paused);
        noc_list_append(&link->shard->held, &link->paused);
    }
}

void noc_link_wait_for_space(struct noc_link *link)
{
    struct noc_shard *shard = link->shard;

    pause(link, shard->number);
    noc_list_remove(&link->paused);
    noc_list_append(&shard->spaceless, &link->paused);
    link->is_paused_for_space = true;
    noc_timer_set(&shard->timers, &link->timer, shard->now_ms + 1000);
}

void noc_link_go_on_with_space(struct noc_shard *shard)
{
    struct noc_list *at;

    while (!noc_shard_is_store_full(shard) && (at = noc_list_take(&shard->spaceless)) != NULL) {
        NOC_CONTAINER(at, struct noc_link, paused)->is_paused_for_space = false;
        noc_list_append(&shard->held, at);
    }
}

static void resume(struct noc_link *link)
{
    struct noc_shard *shard = link->shard;

    link->is_paused = false;
    link->heard_ms += shard->now_ms - link->paused_ms;
    if (link->heard_ms > shard->now_ms) {
        link->heard_ms = shard->now_ms;
    }
    noc_shard_count(shard, NOC_COUNT_PAUSED, -1);
    noc_link_feed_waiting(link);
    if (link->state == NOC_LINK_OPEN && !link->is_paused) {
        shard->ops->read_on(link, true);
    }
}

void noc_link_resume_held(struct noc_shard *shard)
{
    struct noc_list turn, late, *at;

    noc_list_init(&turn);
    noc_list_init(&late);
    noc_list_join(&turn, &shard->held);
    while (shard->work <= NOC_WORK_MAX && (at = noc_list_take(&turn)) != NULL) {
        struct noc_link *link = NOC_CONTAINER(at, struct noc_link, paused);

        /* Those before it may have filled the mailbox again, and each decodes a packet at least. */
        if (link->paused_for != shard->number && noc_mail_must_wait(shard, link->paused_for)) {
            noc_list_append(&late, at);
        } else {
            resume(link);
        }
    }
    /* Who has had no turn is the first in the next. */
    noc_list_join(&turn, &shard->held);
    noc_list_join(&shard->held, &turn);
    while ((at = late.prev) != &late) {
        struct noc_link *link = NOC_CONTAINER(at, struct noc_link, paused);

        noc_list_remove(at);
        noc_list_insert_before(shard->paused[link->paused_for].next, at);
    }
}

/* ---- packets ---- */

/* The largest packet that is taken now, fixed header included. */
static uint32_t packet_limit(const struct noc_link *link)
{
    uint32_t limit = link->shard->core->limits.max_packet_size;
    uint32_t most = link->state == NOC_LINK_OPEN ? NOC_REMAINING_MAX + 5 : NOC_CONNECT_MAX;

    return limit == 0 || limit > most ? most : limit;
}

static void log_received(const struct noc_link *link, const char *what)
{
    noc_shard_log(link->shard, NOC_LOG_DEBUG, "Received %s from %.*s", what,
        NOC_SLICE_ARG(noc_link_name(link)));
}

static void on_ping(struct noc_link *link, size_t body_n)
{
    uint8_t packet[2];
    struct noc_fault fault = {"remaining length", 0};

    if (body_n != 0) {
        noc_link_break(link, NOC_END_MALFORMED, NOC_RC_MALFORMED_PACKET, &fault);
        return;
    }
    if (noc_shard_logs(link->shard, NOC_LOG_DEBUG)) {
        log_received(link, "PINGREQ");
        noc_shard_log(link->shard, NOC_LOG_DEBUG, "Sending PINGRESP to %.*s",
            NOC_SLICE_ARG(noc_link_name(link)));
    }
    noc_link_send(link, packet, noc_ping_encode(NOC_PINGRESP, packet, sizeof packet));
}

static void on_disconnect(struct noc_link *link, struct noc_slice body)
{
    struct noc_disconnect disconnect;
    struct noc_fault fault = {0};
    struct noc_session *session = link->session; /* NULL: before the CONNACK */
    int err = noc_disconnect_decode(
        link->version, true, (const uint8_t *)body.at, body.n, &disconnect, &fault);

    if (err != NOC_OK) {
        noc_link_break_by(link, err, &fault);
        return;
    }
    log_received(link, "DISCONNECT");
    if (session == NULL) {
        noc_link_end(link, NOC_END_DISCONNECT, NULL);
        return;
    }
    if (noc_props_has(&disconnect.props, NOC_PROP_SESSION_EXPIRY)) {
        if (session->expiry_s == 0 && disconnect.props.session_expiry_s != 0) {
            fault.field = "session expiry interval"; /* 3.14.2.2.2 */
            noc_link_break(link, NOC_END_PROTOCOL, NOC_RC_PROTOCOL_ERROR, &fault);
            return;
        }
        noc_session_set_expiry(session, disconnect.props.session_expiry_s);
    }
    if (disconnect.reason == NOC_RC_SUCCESS) {
        noc_session_clear_will(session); /* [MQTT-3.14.4-3] */
    }
    noc_journal_session(session, true);
    noc_link_end(link, NOC_END_DISCONNECT, NULL);
}

/* The client is its id to Mosquitto 2.0, and its address to 2.1. */
static void log_second_connect(const struct noc_link *link)
{
    static const char after[] = "sending multiple CONNECT messages.";

    if (link->shard->core->limits.compatibility == NOC_COMPAT_2_1) {
        noc_shard_log(link->shard, NOC_LOG_INFORMATION, "Bad client %.*s:%u %s",
            NOC_SLICE_ARG(link->address), (unsigned)link->port, after);
    } else {
        noc_shard_log(link->shard, NOC_LOG_INFORMATION, "Bad client %.*s %s",
            NOC_SLICE_ARG(noc_link_name(link)), after);
    }
}

/* A packet of an open session. */
static void on_packet(struct noc_link *link, const struct noc_header *header, struct noc_slice body)
{
    struct noc_fault fault = {"packet type", 0};

    switch ((enum noc_packet_type)header->type) {
    case NOC_PUBLISH:
        noc_link_on_publish(link, header->flags, body);
        return;
    case NOC_PUBACK:
    case NOC_PUBREC:
    case NOC_PUBREL:
    case NOC_PUBCOMP:
        noc_link_on_ack(link, header->type, body);
        return;
    case NOC_SUBSCRIBE:
        noc_link_on_subscribe(link, body);
        return;
    case NOC_UNSUBSCRIBE:
        noc_link_on_unsubscribe(link, body);
        return;
    case NOC_PINGREQ:
        on_ping(link, body.n);
        return;
    case NOC_DISCONNECT:
        on_disconnect(link, body);
        return;
    case NOC_AUTH:
        noc_exchange_on_auth(link, body);
        return;
    case NOC_CONNECT:
        log_second_connect(link);
        break; /* [MQTT-3.1.0-2] */
    case NOC_CONNACK:
    case NOC_SUBACK:
    case NOC_UNSUBACK:
    case NOC_PINGRESP:
        break;
    }
    noc_link_break(link, NOC_END_PROTOCOL, NOC_RC_PROTOCOL_ERROR, &fault);
}

/* A packet while an exchange waits for the client: it may go on or go [MQTT-3.1.2-30]. */
static void on_packet_in_exchange(
    struct noc_link *link, const struct noc_header *header, struct noc_slice body)
{
    struct noc_fault fault = {"packet type", 0};

    if (header->type == NOC_AUTH) {
        noc_exchange_on_auth(link, body);
    } else if (header->type == NOC_DISCONNECT) {
        on_disconnect(link, body);
    } else {
        noc_link_break(link, NOC_END_PROTOCOL, NOC_RC_PROTOCOL_ERROR, &fault);
    }
}

/* One whole packet. */
static void dispatch(struct noc_link *link, const struct noc_header *header, const uint8_t *body)
{
    struct noc_fault fault = {"packet type", 0};

    noc_shard_count(link->shard, NOC_COUNT_PACKETS_RECEIVED, 1);
    link->shard->work++;
    if (link->state == NOC_LINK_OPEN) {
        on_packet(link, header, noc_slice(body, header->remaining));
    } else if (noc_exchange_is_waiting(link)) {
        on_packet_in_exchange(link, header, noc_slice(body, header->remaining));
    } else if (header->type == NOC_CONNECT) {
        noc_link_on_connect(link, body, header->remaining);
    } else {
        noc_link_break(link, NOC_END_PROTOCOL, NOC_RC_PROTOCOL_ERROR, &fault); /* [MQTT-3.1.0-1] */
    }
}

/* Are packets decoded now, or do bytes wait? */
static bool is_decoding(const struct noc_link *link)
{
    return link->state == NOC_LINK_NEW || (link->state == NOC_LINK_OPEN && !link->is_paused) ||
           noc_exchange_is_waiting(link);
}

static void oversize(struct noc_link *link, const struct noc_header *header)
{
    char text[80];

    (void)snprintf(text, sizeof text, "packet of %lu bytes, limit %lu",
        (unsigned long)header->remaining + header->size, (unsigned long)packet_limit(link));
    noc_goodbye(link, NOC_RC_PACKET_TOO_LARGE);
    noc_link_end(link, NOC_END_OVERSIZE, text);
}

/*
 * Decode what stands in bytes[0..n) while the link lets us. Returns the bytes
 * that were consumed; *ret_need is what the next packet needs in all, 0: unknown.
 */
static size_t decode(struct noc_link *link, const uint8_t *bytes, size_t n, size_t *ret_need)
{
    size_t at = 0;

    *ret_need = 0;
    while (at < n && is_decoding(link)) {
        struct noc_header header;
        struct noc_fault fault = {"fixed header", 0};
        int size = noc_header_decode(link->version, bytes + at, n - at, &header);
        size_t whole;

        if (link->version == 0 && bytes[at] >> 4 != NOC_CONNECT) {
            /* Said at once, not when a length without meaning has come in [MQTT-3.1.0-1]. */
            fault.field = "packet type";
            noc_link_break(link, NOC_END_PROTOCOL, NOC_RC_PROTOCOL_ERROR, &fault);
            return n;
        }
        if (size == 0) {
            return at;
        }
        if (size < 0) {
            noc_link_break(link, NOC_END_MALFORMED, NOC_RC_MALFORMED_PACKET, &fault);
            return n;
        }
        whole = (size_t)header.size + header.remaining;
        if (whole > packet_limit(link)) {
            oversize(link, &header);
            return n;
        }
        if (n - at < whole) {
            *ret_need = whole;
            return at;
        }
        at += whole;
        dispatch(link, &header, bytes + at - header.remaining);
        if (NOC_UNLIKELY(link->is_paused_for_space)) {
            noc_shard_count(link->shard, NOC_COUNT_PACKETS_RECEIVED, -1);
            return at - whole; /* once more, when there is space */
        }
        if (link->shard->fed != 0) {
            check_fed(link);
        }
        check_work(link);
        check_receipts(link);
    }
    return at;
}

/* No memory for what was read: it ends here, also if it was about to depart. */
static bool cannot_keep(struct noc_link *link, const char *text)
{
    if (link->state == NOC_LINK_MOVING) {
        (void)noc_directory_cancel_mt(link->shard->core->directory, link->connect->home);
        link->connect->home = NULL;
        link->state = NOC_LINK_AUTH;
    }
    noc_link_end(link, NOC_END_MEMORY, text);
    return false;
}

/* Append to the bytes that wait; need: what they will grow to, 0: unknown. */
static bool keep(struct noc_link *link, const uint8_t *bytes, size_t n, size_t need)
{
    size_t room = link->partial_n + n;
    size_t short_max = link->state == NOC_LINK_OPEN ? NOC_CONNECT_MAX : STRANGER_SHORT_MAX;

    /* What had been read before a pause stays whole. */
    if (room > short_max && !link->is_paused && noc_shard_is_memory_short(link->shard)) {
        return cannot_keep(link, "memory is short");
    }
    if (room > link->partial_room) {
        /* Twice as much each time, so that a stranger's claim costs nothing before it comes. */
        size_t more = room < 64 ? 64 : room * 2;
        uint8_t *bigger;

        if (need >= room && more > need) {
            more = need;
        }
        bigger = realloc(link->partial, more);
        if (bigger == NULL) {
            return cannot_keep(link, NULL);
        }
        link->partial = bigger;
        link->partial_room = more;
    }
    memcpy(link->partial + link->partial_n, bytes, n);
    link->partial_n += n;
    return true;
}

static void drop_partial(struct noc_link *link)
{
    free(link->partial);
    link->partial = NULL;
    link->partial_n = link->partial_room = 0;
}

/*
 * Complete the packet that waits with the first of the new bytes. Returns how
 * many of them went into it; the packet is decoded if it is whole.
 */
static size_t complete(struct noc_link *link, const uint8_t *bytes, size_t n)
{
    size_t taken = 0;

    while (taken < n && link->partial_n > 0 && is_decoding(link)) {
        struct noc_header header;
        int size = noc_header_decode(link->version, link->partial, link->partial_n, &header);
        size_t want = 1, need, done;

        if (size > 0) {
            want = (size_t)header.size + header.remaining - link->partial_n;
        }
        if (want > n - taken) {
            want = n - taken;
        }
        if (!keep(
                link, bytes + taken, want, size > 0 ? (size_t)header.size + header.remaining : 0)) {
            return n;
        }
        taken += want;
        done = decode(link, link->partial, link->partial_n, &need);
        if (done == link->partial_n) {
            drop_partial(link);
        }
    }
    return taken;
}

void noc_link_feed(struct noc_link *link, uint8_t *bytes, size_t n)
{
    struct noc_shard *shard = link->shard;
    size_t at = 0, need;

    noc_shard_count(shard, NOC_COUNT_BYTES_RECEIVED, (int64_t)n);
    if (link->state == NOC_LINK_CLOSING) {
        return;
    }
    link->heard_ms = shard->now_ms;
    shard->fed = 0; /* wills and shared messages on their way are not this link's */
    if (shard->working != link) {
        shard->working = link;
        shard->work_before = shard->work;
    }
    if (!is_decoding(link)) {
        /* Before CONNACK, or paused; the glue has stopped reading. */
        (void)keep(link, bytes, n, 0);
        return;
    }
    if (link->partial_n > 0) {
        at = complete(link, bytes, n);
    }
    if (link->partial_n == 0 && at < n && is_decoding(link)) {
        at += decode(link, bytes + at, n - at, &need);
    } else {
        need = 0;
    }
    if (at < n && link->state != NOC_LINK_CLOSING) {
        /* Where bytes wait undecoded no more will come for the time being. */
        (void)keep(link, bytes + at, n - at, is_decoding(link) ? need : n - at);
    }
    if (link->state == NOC_LINK_MOVING) {
        noc_link_depart(link);
    }
}

void noc_link_feed_waiting(struct noc_link *link)
{
    uint8_t *bytes = link->partial;
    size_t n = link->partial_n;

    if (n == 0 || link->state != NOC_LINK_OPEN) {
        return;
    }
    link->partial = NULL;
    link->partial_n = link->partial_room = 0;
    noc_shard_count(link->shard, NOC_COUNT_BYTES_RECEIVED, -(int64_t)n);
    noc_link_feed(link, bytes, n);
    free(bytes);
}

/* ---- the end ---- */

void noc_link_break(
    struct noc_link *link, enum noc_end end, uint8_t reason, const struct noc_fault *fault)
{
    char text[96] = "";

    if (link->state == NOC_LINK_CLOSING) {
        return;
    }
    if (fault != NULL && fault->field != NULL) {
        (void)snprintf(
            text, sizeof text, "%s at byte %lu", fault->field, (unsigned long)fault->offset);
    }
    noc_log_protocol_error(link, end, fault);
    noc_goodbye(link, reason);
    noc_link_end(link, end, text);
}

void noc_link_break_by(struct noc_link *link, int err, const struct noc_fault *fault)
{
    if (err == NOC_ENOMEM) {
        noc_link_end(link, NOC_END_MEMORY, NULL);
    } else if (err == NOC_EPROTO) {
        noc_link_break(link, NOC_END_PROTOCOL, NOC_RC_PROTOCOL_ERROR, fault);
    } else {
        noc_link_break(link, NOC_END_MALFORMED, NOC_RC_MALFORMED_PACKET, fault);
    }
}

void noc_link_end(struct noc_link *link, enum noc_end end, const char *text)
{
    struct noc_shard *shard = link->shard;
    struct noc_session *session = link->session;

    if (link->state == NOC_LINK_CLOSING || link->state == NOC_LINK_MOVING) {
        return;
    }
    if (end == NOC_END_MEMORY) {
        noc_shard_count(shard, NOC_COUNT_LINKS_REFUSED, 1);
    }
    noc_goodbye_for(link, end);
    noc_log_end(link, end, text);
    link->state = NOC_LINK_CLOSING;
    leave_shard(link);
    noc_list_append(&shard->links, &link->link_in_shard);
    drop_partial(link);
    noc_link_forget_receipts(link);
    if (session != NULL) {
        link->session = NULL;
        session->link = NULL;
        noc_replay_detached(session);
        noc_shard_count(shard, NOC_COUNT_CONNECTED, -1);
        noc_session_detached(session);
    }
    shard->ops->close(link);
}
