/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions and their answers. The properties begin with the response topic, written once; behind
 * it each question writes its correlation data, and what it brings itself:
 *
 *   props:  08 topic | 09 correlation | those of the message
 *           where the reply topic is kept, too
 */
#include <noctule/request.h>

#include "base/bytes.h"
#include "base/utf8.h"
#include "mqtt/topic.h"

/* Correlation data: the number of a request, which makes it the only one, and random bits. */
enum { LENGTH_AT = 1, TOPIC_AT = 3, PROP_HEAD = 3 };

int noc_requests_init(struct noc_requests *requests, const struct noc_requests_options *options)
{
    struct noc_slice topic = options->reply_topic;

    if (!NOC_IS_V5(options->client->version)) {
        return NOC_ENOTSUP;
    }
    if (options->list == NULL || options->count == 0 || options->random == NULL ||
        options->props == NULL || !noc_topic_is_valid(topic) || !noc_utf8_is_valid(topic) ||
        options->props_room < NOC_REQUEST_PROPS_ROOM(topic.n)) {
        return NOC_EINVAL;
    }
    *requests = (struct noc_requests){
        .client = options->client,
        .list = options->list,
        .count = options->count,
        .props = options->props,
        .props_room = options->props_room,
        .topic_n = (uint16_t)topic.n,
        .random = options->random,
        .context = options->context,
    };
    memset(options->list, 0, options->count * sizeof(*options->list));
    (void)noc_prop_put_slice(options->props, NOC_PROP_RESPONSE_TOPIC, topic);
    return NOC_OK;
}

static struct noc_request *find_free(struct noc_requests *requests)
{
    for (size_t i = 0; i < requests->count; i++) {
        if (!requests->list[i].is_pending) {
            return &requests->list[i];
        }
    }
    return NULL;
}

/* The properties of a question, behind the response topic. */
static struct noc_slice put_question_props(
    struct noc_requests *requests, const struct noc_request *request, struct noc_slice own)
{
    uint8_t *at = noc_prop_put_slice(requests->props + PROP_HEAD + requests->topic_n,
        NOC_PROP_CORRELATION_DATA, noc_slice(request->correlation, sizeof(request->correlation)));

    if (own.n > 0) {
        memcpy(at, own.at, own.n);
    }
    return noc_slice(requests->props, (size_t)(at - requests->props) + own.n);
}

int noc_requests_send(struct noc_requests *requests, const struct noc_client_message *message,
    uint32_t timeout_ms, uint32_t now_ms, void *context, struct noc_request **ret_request)
{
    struct noc_request *request = find_free(requests);
    struct noc_client_message question = *message;
    uint16_t packet_id = 0;
    int err;

    if (request == NULL) {
        return NOC_EFULL;
    }
    if (message->props.n > requests->props_room - NOC_REQUEST_PROPS_ROOM(requests->topic_n)) {
        return NOC_ETOOLARGE;
    }
    (void)noc_put_u32(noc_put_u32(request->correlation, requests->number + 1),
        requests->random(requests->context));
    question.props = put_question_props(requests, request, message->props);
    err = noc_client_publish(requests->client, &question, &packet_id);
    if (err != NOC_OK) {
        return err;
    }
    requests->number++;
    request->context = context;
    request->sent_ms = now_ms;
    request->timeout_ms = timeout_ms;
    request->packet_id = message->qos > 0 ? packet_id : 0;
    request->is_pending = true;
    if (ret_request != NULL) {
        *ret_request = request;
    }
    return NOC_OK;
}

/* It is over: its place is free, the caller has what was in it. */
static void end_request(struct noc_request *request, struct noc_request *ret_done)
{
    *ret_done = *request;
    request->is_pending = false;
}

static enum noc_request_end match_answer(
    struct noc_requests *requests, const struct noc_event *event, struct noc_request *ret_done)
{
    struct noc_slice topic = noc_slice(requests->props + TOPIC_AT, requests->topic_n);

    if (!noc_slice_equal(event->topic, topic)) {
        return NOC_REQUEST_OTHER;
    }
    for (size_t i = 0; i < requests->count; i++) {
        struct noc_request *request = &requests->list[i];

        if (request->is_pending &&
            noc_slice_equal(event->props.correlation_data,
                noc_slice(request->correlation, sizeof(request->correlation)))) {
            end_request(request, ret_done);
            return NOC_REQUEST_ANSWERED;
        }
    }
    return NOC_REQUEST_OTHER;
}

/* Acknowledged; an identifier is of this request only until then. */
static enum noc_request_end match_acknowledgement(
    struct noc_requests *requests, const struct noc_event *event, struct noc_request *ret_done)
{
    for (size_t i = 0; i < requests->count; i++) {
        struct noc_request *request = &requests->list[i];

        if (request->is_pending && request->packet_id == event->packet_id) {
            request->packet_id = 0;
            if (event->reason == NOC_RC_SUCCESS) {
                break;
            }
            end_request(request, ret_done);
            return NOC_REQUEST_REFUSED;
        }
    }
    return NOC_REQUEST_OTHER;
}

enum noc_request_end noc_requests_take(
    struct noc_requests *requests, const struct noc_event *event, struct noc_request *ret_done)
{
    if (event->kind == NOC_EVENT_MESSAGE || event->kind == NOC_EVENT_MESSAGE_BEGIN) {
        return match_answer(requests, event, ret_done);
    }
    return event->kind == NOC_EVENT_PUBLISHED ? match_acknowledgement(requests, event, ret_done)
                                              : NOC_REQUEST_OTHER;
}

static uint32_t ms_to_go(const struct noc_request *request, uint32_t now_ms)
{
    uint32_t passed = now_ms - request->sent_ms;

    return passed >= request->timeout_ms ? 0 : request->timeout_ms - passed;
}

bool noc_requests_expire(
    struct noc_requests *requests, uint32_t now_ms, struct noc_request *ret_done)
{
    for (size_t i = 0; i < requests->count; i++) {
        if (requests->list[i].is_pending && ms_to_go(&requests->list[i], now_ms) == 0) {
            end_request(&requests->list[i], ret_done);
            return true;
        }
    }
    return false;
}

uint32_t noc_requests_wait_ms(const struct noc_requests *requests, uint32_t now_ms)
{
    uint32_t wait_ms = UINT32_MAX;

    for (size_t i = 0; i < requests->count; i++) {
        if (requests->list[i].is_pending && ms_to_go(&requests->list[i], now_ms) < wait_ms) {
            wait_ms = ms_to_go(&requests->list[i], now_ms);
        }
    }
    return wait_ms;
}

void noc_requests_cancel(struct noc_request *request)
{
    request->is_pending = false;
}
