/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOCTULE_REQUEST_H
#define NOCTULE_REQUEST_H
/*
 * Questions and their answers over MQTT 5 (4.10): a message goes out with a response topic and
 * correlation data, and whoever answers sends both back. This keeps the list of
 * those that are under way, above one client (client.h):
 *
 *     noc_client_subscribe() to the reply topic, once in a session; then
 *
 *     noc_requests_send(&requests, &question, 5000, now, &mine, NULL);
 *
 *     while (noc_client_next(&client, now, &event)) {
 *         switch (noc_requests_take(&requests, &event, &done)) {
 *         case NOC_REQUEST_ANSWERED: done.context is &mine, event.payload the answer
 *         case NOC_REQUEST_REFUSED:  done.context is &mine, event.reason says why
 *         case NOC_REQUEST_OTHER:    an event like any other
 *         }
 *     }
 *     while (noc_requests_expire(&requests, now, &done)) { nobody answered done.context }
 *     sleep no longer than noc_requests_wait_ms(&requests, now), too
 *
 * Each request ends in exactly one of these ways, or by noc_requests_cancel(). An answer that
 * comes later, or twice, is an event like any other. A request outlives its connection: one of QoS 1
 * or 2 is in the outbox, and answers reach a session that is kept; whatever was lost expires.
 *
 * The reply topic must be this client's own, as others who can read it see the answers:
 * something with its client id, or what the server offers as response information. Correlation
 * data is 8 bytes, of which four are random: never twice the same, and not to be guessed by
 * who would slip in an answer.
 *
 * Freestanding, no allocation. An object belongs to the thread of its client.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <noctule/client.h>
#include <noctule/config.h>
#include <noctule/slice.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { NOC_REQUEST_CORRELATION_BYTES = 8 };

/* One that is under way, or is over. All but context are the object's own. */
struct noc_request {
    void *context; /* what was given to noc_requests_send() */
    uint32_t sent_ms, timeout_ms;
    uint16_t packet_id; /* until the server has acknowledged it; 0: nothing is to come */
    bool is_pending;
    uint8_t correlation[NOC_REQUEST_CORRELATION_BYTES];
};

/* What noc_requests_init() is told; needed by that call only, what it points to longer. */
struct noc_requests_options {
    struct noc_client *client;
    struct noc_request *list; /* list[0..count): as many can be under way */
    uint16_t count;
    struct noc_slice reply_topic; /* no wildcards; not needed any more after init */
    /*
     * Properties are written there: NOC_REQUEST_PROPS_ROOM(reply_topic.n), and the properties that
     * a question brings itself.
     */
    uint8_t *props;
    size_t props_room;
    uint32_t (*random)(void *context); /* 32 random bits, unpredictable */
    void *context;                     /* of random */
};
#define NOC_REQUEST_PROPS_ROOM(topic_n) ((size_t)(topic_n) + 6 + NOC_REQUEST_CORRELATION_BYTES)

/* The fields are the object's own. */
struct noc_requests {
    struct noc_client *client;
    struct noc_request *list;
    uint8_t *props;
    size_t props_room;
    uint32_t (*random)(void *context);
    void *context;
    uint32_t number; /* of the last request */
    uint16_t count;
    uint16_t topic_n;
};

enum noc_request_end {
    NOC_REQUEST_OTHER,    /* the event has nothing to do with a request */
    NOC_REQUEST_ANSWERED, /* NOC_EVENT_MESSAGE; or _BEGIN, and chunks follow */
    NOC_REQUEST_REFUSED, /* NOC_EVENT_PUBLISHED with QoS 1, 2: by the server, or nobody is there (0x10) */
};

/*
 * No requests, in the caller's storage. NOC_OK; NOC_EINVAL: no list, no random, too little room, or a
 * reply topic that is none; NOC_ENOTSUP: the client speaks no MQTT 5.
 */
NOC_PUBLIC NOC_MUST_CHECK int noc_requests_init(
    struct noc_requests *requests, const struct noc_requests_options *options);

/*
 * Ask: publish message with response topic and correlation data added to its properties,
 * which must hold neither. The answer must come within timeout_ms (below 2^31). *ret_request (may be NULL)
 * is for noc_requests_cancel(), and lives until the request is over.
 *
 * NOC_EFULL: as many are under way as there may be (or the outbox is full); NOC_ETOOLARGE: also if the
 * properties do not fit; otherwise what noc_client_publish() says.
 */
NOC_PUBLIC NOC_MUST_CHECK int noc_requests_send(struct noc_requests *requests,
    const struct noc_client_message *message, uint32_t timeout_ms, uint32_t now_ms, void *context,
    struct noc_request **ret_request);

/*
 * Does the event end a request? Then *ret_done is a copy of it, and its place is free. All events
 * may be given to it.
 */
NOC_PUBLIC enum noc_request_end noc_requests_take(
    struct noc_requests *requests, const struct noc_event *event, struct noc_request *ret_done);

/* Is there one whose time is over? Then it has ended as above. Call it until there is none. */
NOC_PUBLIC bool noc_requests_expire(
    struct noc_requests *requests, uint32_t now_ms, struct noc_request *ret_done);

/* Milliseconds until the next one expires; UINT32_MAX: there is none. */
NOC_PUBLIC uint32_t noc_requests_wait_ms(const struct noc_requests *requests, uint32_t now_ms);

/* Nobody wants the answer any more; should it come, it is an event like any other. */
NOC_PUBLIC void noc_requests_cancel(struct noc_request *request);

#ifdef __cplusplus
}
#endif

#endif
