/* SPDX-License-Identifier: Apache-2.0 */
/* Requests and their answers, through a client. With a broker: tests/e2e/test_library.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kit.h"
#include <noctule/error.h>
#include <noctule/request.h>

enum { COUNT = 3, OWN_ROOM = 5 };

/* A client that is connected, and requests on it. */
struct asker {
    struct kit kit;
    struct noc_requests requests;
    struct noc_requests_options options;
    struct noc_request list[COUNT];
    struct noc_ring_outbox ring;
    uint32_t box[64];
    uint8_t *props;
    uint32_t random;
};

static struct asker asker;

static uint32_t count_up(void *context)
{
    (void)context;
    return asker.random++;
}

static int init(void)
{
    return noc_requests_init(&asker.requests, &asker.options);
}

static void begin(void)
{
    size_t room = NOC_REQUEST_PROPS_ROOM(3) + OWN_ROOM;

    free(asker.props);
    memset(&asker, 0, sizeof asker);
    asker.random = 0xabcdef00;
    kit_init(&asker.kit);
    asker.kit.options.version = 5;
    asker.kit.options.outbox = noc_ring_outbox_init(&asker.ring, asker.box, sizeof asker.box);
    kit_open(&asker.kit, 256, 256);
    kit_connect(&asker.kit, "20 03 00 00 00");
    asker.props = malloc(room);
    assert_non_null(asker.props);
    asker.options = (struct noc_requests_options){
        .client = &asker.kit.client,
        .list = asker.list,
        .count = COUNT,
        .reply_topic = {"r/1", 3},
        .props = asker.props,
        .props_room = room,
        .random = count_up,
    };
    assert_int_equal(init(), NOC_OK);
}

static int done(void **state)
{
    (void)state;
    kit_done(&asker.kit);
    free(asker.props);
    asker.props = NULL;
    return 0;
}

static int ask_with(unsigned qos, struct noc_slice props, uint32_t timeout_ms, void *context,
    struct noc_request **ret_request)
{
    struct noc_client_message message = {.topic = noc_slice_of("q"),
        .payload = noc_slice_of("?"),
        .props = props,
        .qos = (uint8_t)qos};
    int err = noc_requests_send(
        &asker.requests, &message, timeout_ms, asker.kit.now_ms, context, ret_request);

    kit_run(&asker.kit);
    return err;
}

static void ask(unsigned qos, uint32_t timeout_ms, void *context)
{
    assert_int_equal(ask_with(qos, noc_slice_of(NULL), timeout_ms, context, NULL), NOC_OK);
}

/* The end of a request that the next event is, which must be all that there is. */
static enum noc_request_end take(const char *packet, struct noc_request *ret_done)
{
    uint8_t bytes[256];
    size_t n = kit_bytes(packet, bytes, sizeof bytes), room;
    uint8_t *into = noc_client_room(&asker.kit.client, &room);
    struct noc_event event;
    enum noc_request_end end;

    assert_true(n <= room);
    memcpy(into, bytes, n);
    noc_client_received(&asker.kit.client, n, asker.kit.now_ms);
    assert_true(noc_client_next(&asker.kit.client, asker.kit.now_ms, &event));
    end = noc_requests_take(&asker.requests, &event, ret_done);
    kit_run(&asker.kit);
    return end;
}

static void expect_nothing(const char *packet)
{
    struct noc_request ended = {.context = &asker};

    assert_int_equal(take(packet, &ended), NOC_REQUEST_OTHER);
    assert_ptr_equal(ended.context, &asker);
}

static void expect_end(enum noc_request_end end, const char *packet, const void *context)
{
    struct noc_request ended = {0};

    assert_int_equal(take(packet, &ended), end);
    assert_ptr_equal(ended.context, context);
}

/* PUBLISH to the reply topic with correlation data, and "yes". */
#define ANSWER(correlation) "30 14 0003'r/1' 0b 09 0008 " correlation " 'yes'"
#define FIRST               "00000001 abcdef00"
#define SECOND              "00000002 abcdef01"
#define THIRD               "00000003 abcdef02"
#define TOPIC_PROP          "08 0003'r/1' "

/* ---- asking ---- */

static void a_question_says_where_the_answer_goes(void **state)
{
    (void)state;
    begin();
    ask(0, 1000, NULL);
    expect_wire(&asker.kit, "30 16 0001'q' 11 " TOPIC_PROP "09 0008 " FIRST " '?'");
    ask(0, 1000, NULL);
    expect_wire(&asker.kit, "30 16 0001'q' 11 " TOPIC_PROP "09 0008 " SECOND " '?'");
    ask(1, 1000, NULL);
    expect_wire(&asker.kit, "32 18 0001'q' 0001 11 " TOPIC_PROP "09 0008 " THIRD " '?'");
}

static void a_question_has_properties_of_its_own(void **state)
{
    (void)state;
    begin();
    assert_int_equal(ask_with(0, noc_slice("\x02\0\0\0\x3c", 5), 1000, NULL, NULL), NOC_OK);
    expect_wire(&asker.kit, "30 1b 0001'q' 16 " TOPIC_PROP "09 0008 " FIRST " 02 0000003c '?'");
    assert_int_equal(
        ask_with(0, noc_slice("\x02\0\0\0\x3c\x01\x00", 7), 1000, NULL, NULL), NOC_ETOOLARGE);
    ask(0, 1000, NULL);
    expect_wire(&asker.kit, "30 16 0001'q' 11 " TOPIC_PROP "09 0008 00000002 abcdef01 '?'");
}

static void no_more_than_there_is_room_for(void **state)
{
    struct noc_request *request = NULL;

    (void)state;
    begin();
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(ask_with(0, noc_slice_of(NULL), 1000, NULL, &request), NOC_OK);
        assert_ptr_equal(request, &asker.list[i]);
    }
    assert_int_equal(ask_with(0, noc_slice_of(NULL), 1000, NULL, &request), NOC_EFULL);
    noc_requests_cancel(&asker.list[1]);
    assert_int_equal(ask_with(0, noc_slice_of(NULL), 1000, NULL, &request), NOC_OK);
    assert_ptr_equal(request, &asker.list[1]);
    /* The answer to the one that was cancelled is none to that in its place. */
    expect_nothing(ANSWER(SECOND));
}

static void what_could_not_be_sent_is_not_under_way(void **state)
{
    struct noc_client_message message = {.topic = noc_slice_of("#")};

    (void)state;
    begin();
    for (unsigned i = 0; i < COUNT + 1; i++) {
        assert_int_equal(
            noc_requests_send(&asker.requests, &message, 1, 0, NULL, NULL), NOC_EINVAL);
    }
    noc_client_lost(&asker.kit.client);
    kit_run(&asker.kit);
    assert_int_equal(ask_with(0, noc_slice_of(NULL), 1000, NULL, NULL), NOC_ECLOSED);
    assert_int_equal(noc_requests_wait_ms(&asker.requests, 0), UINT32_MAX);
    ask(1, 1000, NULL); /* that one goes to the outbox */
    assert_int_equal(noc_requests_wait_ms(&asker.requests, asker.kit.now_ms), 1000);
}

/* ---- answers ---- */

static void an_answer_finds_its_question_in_any_order(void **state)
{
    int a, b, c;

    (void)state;
    begin();
    ask(0, 1000, &a);
    ask(0, 1000, &b);
    ask(0, 1000, &c);
    expect_end(NOC_REQUEST_ANSWERED, ANSWER(SECOND), &b);
    expect_end(NOC_REQUEST_ANSWERED, ANSWER(THIRD), &c);
    expect_end(NOC_REQUEST_ANSWERED, ANSWER(FIRST), &a);
    /* Once, and no more. */
    expect_nothing(ANSWER(FIRST));
    expect_nothing(ANSWER(SECOND));
    assert_int_equal(noc_requests_wait_ms(&asker.requests, asker.kit.now_ms), UINT32_MAX);
}

static void other_messages_are_no_answers(void **state)
{
    static const char *const others[] = {
        "30 14 0003'r/2' 0b 09 0008 " FIRST " 'yes'", /* another topic */
        "30 13 0002'r/' 0b 09 0008 " FIRST " 'yes'",
        "30 15 0004'r/1/' 0b 09 0008 " FIRST " 'yes'",
        ANSWER("00000001 abcdef01"), /* other correlation data */
        ANSWER("00000002 abcdef00"),
        ANSWER("00000000 00000000"),
        "30 09 0003'r/1' 00 'yes'", /* none */
        "30 0c 0003'r/1' 03 09 0000 'yes'",
        "30 13 0003'r/1' 0a 09 0007 00000001 abcdef 'yes'",
        "30 15 0003'r/1' 0c 09 0009 00000001 abcdef00 00 'yes'",
    };
    int a;

    (void)state;
    begin();
    ask(0, 1000, &a);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        expect_nothing(others[i]);
    }
    expect_end(NOC_REQUEST_ANSWERED, ANSWER(FIRST), &a);
}

static void an_answer_that_comes_in_chunks_is_one_at_its_beginning(void **state)
{
    struct noc_request ended = {0};
    int a;

    (void)state;
    begin();
    ask(0, 1000, &a);
    /* 532 bytes are more than the buffer has; the first of them are enough. */
    assert_int_equal(take("30 94 04 0003'r/1' 0b 09 0008 " FIRST
                          "'a long answer, a long answer, a long answer, a long answer, a long'"
                          "'answer, a long answer, a long answer, a long answer, a long answer'"
                          "'answer, a long answer, a long answer, a long answer, a long answer'",
                         &ended),
        NOC_REQUEST_ANSWERED);
    assert_ptr_equal(ended.context, &a);
    assert_int_equal(noc_requests_wait_ms(&asker.requests, asker.kit.now_ms), UINT32_MAX);
}

/* ---- without an answer ---- */

static void a_server_that_refuses_ends_a_request(void **state)
{
    int a, b, c;

    (void)state;
    begin();
    ask(1, 1000, &a);
    ask(2, 1000, &b);
    ask(1, 1000, &c);
    expect_end(NOC_REQUEST_REFUSED, "40 03 0001 87", &a);
    expect_nothing("40 02 0003");
    expect_end(NOC_REQUEST_REFUSED, "50 03 0002 97", &b);
    expect_end(NOC_REQUEST_ANSWERED, ANSWER(THIRD), &c);
    assert_int_equal(noc_requests_wait_ms(&asker.requests, asker.kit.now_ms), UINT32_MAX);
}

static void nobody_there_ends_a_request(void **state)
{
    int a;

    (void)state;
    begin();
    ask(1, 1000, &a);
    expect_end(NOC_REQUEST_REFUSED, "40 03 0001 10", &a);
    expect_nothing(ANSWER(FIRST));
}

static void an_acknowledgement_of_another_message_is_none(void **state)
{
    struct noc_client_message message = {.topic = {"x", 1}, .qos = 1};
    int a;

    (void)state;
    begin();
    ask(0, 1000, &a);
    assert_int_equal(noc_client_publish(&asker.kit.client, &message, NULL), NOC_OK);
    kit_run(&asker.kit);
    expect_nothing("40 03 0001 87");
    expect_end(NOC_REQUEST_ANSWERED, ANSWER(FIRST), &a);
}

static void time_ends_a_request_even_over_the_wrap(void **state)
{
    struct noc_request ended = {0};
    uint32_t start;
    int a, b;

    (void)state;
    begin();
    asker.kit.now_ms = start = UINT32_MAX - 100;
    assert_false(noc_requests_expire(&asker.requests, start, &ended));
    ask(0, 500, &a);
    ask(0, 200, &b);
    assert_int_equal(noc_requests_wait_ms(&asker.requests, start), 200);
    assert_int_equal(noc_requests_wait_ms(&asker.requests, start + 150), 50);
    assert_false(noc_requests_expire(&asker.requests, start + 199, &ended));
    assert_true(noc_requests_expire(&asker.requests, start + 200, &ended));
    assert_ptr_equal(ended.context, &b);
    assert_false(noc_requests_expire(&asker.requests, start + 200, &ended));
    assert_int_equal(noc_requests_wait_ms(&asker.requests, start + 200), 300);
    expect_nothing(ANSWER(SECOND)); /* too late */
    assert_int_equal(noc_requests_wait_ms(&asker.requests, start + 7000), 0);
    assert_true(noc_requests_expire(&asker.requests, start + 7000, &ended));
    assert_ptr_equal(ended.context, &a);
    assert_int_equal(noc_requests_wait_ms(&asker.requests, start + 7000), UINT32_MAX);
}

static void a_request_outlives_its_connection(void **state)
{
    int a;

    (void)state;
    begin();
    ask(0, 1000, &a);
    noc_client_lost(&asker.kit.client);
    kit_run(&asker.kit);
    kit_connect(&asker.kit, "20 03 00 00 00");
    expect_end(NOC_REQUEST_ANSWERED, ANSWER(FIRST), &a);
}

/* ---- options ---- */

static void options_that_can_not_work_are_refused(void **state)
{
    static char long_topic[65537];
    struct noc_requests_options good;

    (void)state;
    begin();
    good = asker.options;
#define EXPECT_INVALID(change) \
    asker.options = good;      \
    asker.options.change;      \
    assert_int_equal(init(), NOC_EINVAL)
    EXPECT_INVALID(list = NULL);
    EXPECT_INVALID(count = 0);
    EXPECT_INVALID(random = NULL);
    EXPECT_INVALID(props = NULL);
    EXPECT_INVALID(props_room = NOC_REQUEST_PROPS_ROOM(3) - 1);
    EXPECT_INVALID(reply_topic = noc_slice_of(""));
    EXPECT_INVALID(reply_topic = noc_slice_of("a/#"));
    EXPECT_INVALID(reply_topic = noc_slice_of("+"));
    EXPECT_INVALID(reply_topic = noc_slice_of("\xff"));
    EXPECT_INVALID(reply_topic = noc_slice_of(NULL));
    memset(long_topic, 'x', sizeof long_topic - 1);
    EXPECT_INVALID(reply_topic = noc_slice_of(long_topic));
    asker.options = good;
    assert_int_equal(init(), NOC_OK);
    asker.kit.options.version = 4;
    kit_open(&asker.kit, 256, 256);
    assert_int_equal(init(), NOC_ENOTSUP);
}

#define T(name) cmocka_unit_test_teardown(name, done)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        T(a_question_says_where_the_answer_goes),
        T(a_question_has_properties_of_its_own),
        T(no_more_than_there_is_room_for),
        T(what_could_not_be_sent_is_not_under_way),
        T(an_answer_finds_its_question_in_any_order),
        T(other_messages_are_no_answers),
        T(an_answer_that_comes_in_chunks_is_one_at_its_beginning),
        T(a_server_that_refuses_ends_a_request),
        T(nobody_there_ends_a_request),
        T(an_acknowledgement_of_another_message_is_none),
        T(time_ends_a_request_even_over_the_wrap),
        T(a_request_outlives_its_connection),
        T(options_that_can_not_work_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
