/* SPDX-License-Identifier: Apache-2.0 */
/* Queues of which most is in the store alone: see core/queue.h. */
#include "harness.h"

#include <stdio.h>
#include <string.h>

#include "core/deliver.h"
#include "core/receipt.h"
#include "core/restore.h"

struct paging {
    struct world w;
    struct client *s, *p;        /* the subscriber, and the publisher */
    unsigned said;               /* messages: their payloads are their numbers, from 0 */
    unsigned lost_from, lost_to; /* numbers that are not expected */
};

static struct client *come(struct world *world, bool is_new)
{
    struct client *client = dial(world, 0, 0);

    say_connect(client,
        (struct noc_connect){
            .version = NOC_V5, .client_id = TEXT("s"), .props.raw = BYTES("\x11\xff\xff\xff\xff")});
    if (is_new) {
        world_commit(world, 0);
    }
    assert_non_null(strstr(heard(client), is_new ? "CONNACK sp0" : "CONNACK sp1"));
    return client;
}

static void commit_all(struct world *world)
{
    for (unsigned i = 0; i < 5 && world->batch[0] != NULL; i++) {
        world_commit(world, 0);
    }
    assert_null(world->batch[0]);
}

/* One kept session, which has subscribed and gone. */
static void open_paging(struct paging *t, uint8_t qos)
{
    memset(t, 0, sizeof *t);
    world_init(&t->w);
    t->w.is_durable = t->w.has_pages = true;
    t->w.limits.max_queued_messages = 1000;
    world_start(&t->w, 1);
    t->s = come(&t->w, true);
    say_subscribe(t->s, "t", qos, 0);
    commit_all(&t->w);
    hang_up(t->s);
    commit_all(&t->w);
    t->p = join(&t->w, "p");
}

static void publish(struct paging *t, unsigned n, uint8_t qos)
{
    for (; n > 0; n--) {
        char payload[16];

        snprintf(payload, sizeof payload, "%u", t->said++);
        say_publish(t->p, qos, qos == 2 ? (uint16_t)(t->said) : 1, "t", payload);
        if (qos == 2) {
            say_ack(t->p, NOC_PUBREL, (uint16_t)t->said, 0);
        }
    }
    commit_all(&t->w);
}

static struct noc_session *session_of(struct world *world)
{
    struct noc_home *home = noc_directory_enter_mt(world->core.directory, TEXT("s"), 0);
    struct noc_session *session = noc_session_find(&world->shards[0], home);

    (void)noc_directory_arrived_mt(world->core.directory, home, true);
    assert_non_null(session);
    return session;
}

/* The messages that came with the CONNACK are answered. */
static void answer_head(struct paging *t)
{
    for (unsigned id = 1; id <= NOC_HEAD_ABSENT; id++) {
        say_ack(t->s, NOC_PUBACK, (uint16_t)id, 0);
    }
}

/* The subscriber, who has just come, hears the messages from `from` on, answers them, and is given pages. */
static void drain(struct paging *t, unsigned from, unsigned to)
{
    for (unsigned turn = 0; from < to && turn < 1000; turn++) {
        const char *text = heard(t->s), *at = text;
        unsigned ids[64], count = 0;

        while ((at = strstr(at, "PUBLISH t ")) != NULL) {
            unsigned number, qos, id;

            assert_int_equal(sscanf(at, "PUBLISH t %u q%u m%u", &number, &qos, &id), 3);
            from = from == t->lost_from ? t->lost_to : from;
            assert_int_equal(number, from++);
            assert_int_equal(qos, 1);
            ids[count++] = id;
            at++;
        }
        for (unsigned i = 0; i < count; i++) {
            say_ack(t->s, NOC_PUBACK, (uint16_t)ids[i], 0);
        }
        if (t->w.page != NULL) {
            world_page(&t->w, NOC_OK);
        }
    }
    assert_int_equal(from, to);
}

static void a_long_queue_leaves_memory_and_comes_back_in_order(void **state)
{
    struct paging t;
    struct noc_session *session;

    (void)state;
    open_paging(&t, 1);
    publish(&t, 900, 1);
    session = session_of(&t.w);
    assert_int_equal(session->queue.count, NOC_HEAD_ABSENT);
    assert_non_null(session->paged);
    assert_int_equal(session->paged->count, 900 - NOC_HEAD_ABSENT);
    assert_int_equal(session->paged->tail.count, 0);
    assert_int_equal(noc_queue_count(session), 900);
    assert_int_equal(world_count(&t.w, NOC_COUNT_MESSAGES_QUEUED), 900);
    t.s = come(&t.w, false);
    answer_head(&t);
    drain(&t, 8, 900);
    assert_null(session->paged);
    assert_int_equal(world_count(&t.w, NOC_COUNT_MESSAGES_QUEUED), 0);
    world_advance(&t.w, NOC_LAZY_MS);
    commit_all(&t.w);
    assert_int_equal(t.w.rows.count, 0); /* and the store has none of them any more */
    world_close(&t.w);
}

static void what_comes_meanwhile_stands_behind(void **state)
{
    struct paging t;

    (void)state;
    open_paging(&t, 1);
    publish(&t, 100, 1);
    t.s = come(&t.w, false);
    publish(&t, 100, 1);
    assert_non_null(t.w.page);
    world_page(&t.w, NOC_OK);
    publish(&t, 100, 1);
    drain(&t, 8, 300); /* the first were heard with the CONNACK */
    world_close(&t.w);
}

static void a_page_that_comes_when_the_client_has_gone_is_left_alone(void **state)
{
    struct paging t;
    struct noc_session *session;

    (void)state;
    open_paging(&t, 1);
    publish(&t, 100, 1);
    session = session_of(&t.w);
    t.s = come(&t.w, false);
    assert_non_null(t.w.page);
    hang_up(t.s);
    commit_all(&t.w);
    world_page(&t.w, NOC_OK);
    assert_int_equal(session->queue.count, 0); /* all eight had been sent */
    assert_int_equal(session->paged->count, 92);
    t.s = come(&t.w, false);
    assert_int_equal(hears_count(t.s, "dup"), 0); /* heard with the CONNACK */
    answer_head(&t);
    drain(&t, 8, 100);
    world_close(&t.w);
}

static void a_page_that_comes_when_the_session_has_ended_is_given_back(void **state)
{
    struct paging t;
    struct client *s;

    (void)state;
    open_paging(&t, 1);
    publish(&t, 100, 1);
    t.s = come(&t.w, false);
    assert_non_null(t.w.page);
    s = dial(&t.w, 0, 0);
    say_connect(
        s, (struct noc_connect){.version = NOC_V5, .clean_start = true, .client_id = TEXT("s")});
    commit_all(&t.w);
    assert_int_equal(world_count(&t.w, NOC_COUNT_MESSAGES_QUEUED), 0);
    world_page(&t.w, NOC_OK);
    assert_non_null(strstr(heard(s), "CONNACK sp0"));
    world_close(&t.w);
}

static void a_page_that_found_no_memory_is_asked_for_again(void **state)
{
    struct paging t;

    (void)state;
    open_paging(&t, 1);
    publish(&t, 100, 1);
    t.s = come(&t.w, false);
    world_page(&t.w, NOC_ENOMEM);
    assert_non_null(t.w.page);
    answer_head(&t);
    drain(&t, 8, 100);
    world_close(&t.w);
}

static void messages_that_the_store_has_lost_are_told_and_the_rest_goes_on(void **state)
{
    struct paging t;

    (void)state;
    open_paging(&t, 1);
    publish(&t, 100, 1);
    world_lose(&t.w, 60, 69);
    t.s = come(&t.w, false);
    answer_head(&t);
    t.lost_from = 60;
    t.lost_to = 70;
    drain(&t, 8, 100);
    assert_true(logged(&t.w, "10 messages of the queue of client s could not be read"));
    assert_int_equal(world_count(&t.w, NOC_COUNT_PUBLISH_DROPPED), 10);
    assert_int_equal(world_count(&t.w, NOC_COUNT_MESSAGES_QUEUED), 0);
    assert_int_equal(world_count(&t.w, NOC_COUNT_BYTES_QUEUED), 0);
    world_close(&t.w);
}

static void limits_count_what_is_in_the_store_too(void **state)
{
    struct paging t;

    (void)state;
    open_paging(&t, 1);
    publish(&t, 1003, 1);
    assert_int_equal(noc_queue_count(session_of(&t.w)), 1000);
    assert_int_equal(world_count(&t.w, NOC_COUNT_PUBLISH_DROPPED), 3);
    world_close(&t.w);
}

static void the_head_of_an_absent_session_is_short_in_bytes_too(void **state)
{
    struct paging t;
    struct noc_session *session;
    char payload[10001];

    (void)state;
    open_paging(&t, 1);
    memset(payload, 'x', 10000);
    payload[10000] = '\0';
    for (unsigned i = 0; i < 6; i++) {
        say_publish(t.p, 1, 1, "t", payload);
    }
    commit_all(&t.w);
    session = session_of(&t.w);
    assert_int_equal(session->queue.count, 1);
    assert_int_equal(session->paged->count, 5);
    assert_int_equal(noc_queue_memory(session), 10000);
    world_close(&t.w);
}

static void a_client_that_is_slow_has_a_queue_in_the_store(void **state)
{
    struct paging t;
    struct noc_session *session;

    (void)state;
    open_paging(&t, 1);
    t.s = come(&t.w, false);
    session = t.s->link.session;
    publish(&t, 700, 1);
    world_advance(&t.w, NOC_GATHER_MS * 2);
    commit_all(&t.w);
    assert_int_equal(session->window.count, 20);
    assert_int_equal(session->queue.count, NOC_HEAD_PRESENT);
    assert_int_equal(noc_queue_count(session), 680);
    hang_up(t.s);
    commit_all(&t.w);
    assert_int_equal(session->queue.count, NOC_HEAD_ABSENT);
    assert_int_equal(noc_queue_count(session), 680);
    t.s = come(&t.w, false);
    for (uint16_t id = 1; id <= 20; id++) {
        say_ack(t.s, NOC_PUBACK, id, 0);
    }
    drain(&t, 20, 700);
    world_close(&t.w);
}

/* What leaves the head while a page is on its way is before that page. */
static void a_page_is_not_taken_when_the_head_was_cut_meanwhile(void **state)
{
    struct paging t;
    struct noc_session *session;

    (void)state;
    open_paging(&t, 1);
    t.s = come(&t.w, false);
    session = t.s->link.session;
    publish(&t, 700, 1);
    world_advance(&t.w, NOC_GATHER_MS * 2);
    commit_all(&t.w);
    (void)heard(t.s);
    for (unsigned id = 1; id <= 150; id++) { /* until the head runs low */
        say_ack(t.s, NOC_PUBACK, (uint16_t)id, 0);
    }
    assert_non_null(t.w.page);
    hang_up(t.s); /* now all but eight leave */
    commit_all(&t.w);
    assert_int_equal(session->queue.count, NOC_HEAD_ABSENT);
    t.s = come(&t.w, false);
    world_page(&t.w, NOC_OK);
    assert_non_null(t.w.page); /* asked anew */
    for (unsigned id = 151; id <= 170; id++) {
        say_ack(t.s, NOC_PUBACK, (uint16_t)id, 0);
    }
    drain(&t, 170, 700);
    world_close(&t.w);
}

static void messages_of_qos_2_go_through_their_whole_flow(void **state)
{
    struct paging t;
    unsigned done = 0;

    (void)state;
    open_paging(&t, 2);
    publish(&t, 60, 2);
    assert_non_null(session_of(&t.w)->paged);
    t.s = come(&t.w, false);
    for (unsigned turn = 0;
         turn < 200 && noc_queue_count(t.s->link.session) + t.s->link.session->window.count > 0;
         turn++) {
        struct noc_ring *window = &t.s->link.session->window;

        for (uint32_t i = 0; i < window->count; i++) {
            const struct noc_outgoing *entry = noc_ring_at(window, i);
            uint16_t id = noc_packet_id(entry->sequence);

            if (entry->state == NOC_OUT_WAIT_PUBREC) {
                say_ack(t.s, NOC_PUBREC, id, 0);
                break;
            }
            if (entry->state == NOC_OUT_WAIT_PUBCOMP) {
                say_ack(t.s, NOC_PUBCOMP, id, 0);
                done++;
                break;
            }
        }
        commit_all(&t.w);
        if (t.w.page != NULL) {
            world_page(&t.w, NOC_OK);
        }
    }
    assert_int_equal(done, 60);
    world_close(&t.w);
}

static void with_memory_short_pages_are_small(void **state)
{
    struct paging t;

    (void)state;
    open_paging(&t, 1);
    publish(&t, 300, 1);
    t.s = come(&t.w, false);
    assert_int_equal(t.w.page->most, NOC_HEAD_PRESENT);
    atomic_store(&t.w.core.is_memory_short, true);
    world_page(&t.w, NOC_ENOMEM);
    assert_int_equal(t.w.page->most, NOC_HEAD_ABSENT);
    atomic_store(&t.w.core.is_memory_short, false);
    answer_head(&t);
    drain(&t, 8, 300);
    world_close(&t.w);
}

/* A client that publishes to many sessions, and does not wait for its PUBACKs. */
static void what_is_not_stored_yet_is_bounded_for_all_sessions_together(void **state)
{
    enum { SESSIONS = 300, MESSAGES = 1000 };
    struct world w;
    struct client *s, *p;

    (void)state;
    world_init(&w);
    w.is_durable = true;
    world_start(&w, 1);
    for (unsigned i = 0; i < SESSIONS; i++) {
        char id[8];

        snprintf(id, sizeof id, "s%u", i);
        s = dial(&w, 0, 0);
        say_connect(s, (struct noc_connect){.version = NOC_V5,
                           .client_id = TEXT(id),
                           .props.raw = BYTES("\x11\xff\xff\xff\xff")});
        commit_all(&w);
        say_subscribe(s, "t", 1, 0);
        commit_all(&w);
        hang_up(s);
        commit_all(&w);
    }
    p = join_v311(&w, "p");
    for (unsigned i = 0; i < MESSAGES; i++) {
        say_publish(p, 1, (uint16_t)(i + 1), "t", "x");
        assert_in_range(
            world_count(&w, NOC_COUNT_UNSTORED), 0, NOC_UNSTORED_MAX + NOC_RECEIPTS_FEW * SESSIONS);
        if (!p->is_reading) {
            break;
        }
    }
    assert_false(p->is_reading);
    assert_in_range(world_count(&w, NOC_COUNT_UNSTORED), NOC_UNSTORED_MAX, UINT32_MAX);
    commit_all(&w);
    world_settle(&w);
    assert_true(p->is_reading);
    assert_int_equal(world_count(&w, NOC_COUNT_UNSTORED), 0);
    world_close(&w);
}

/* Nothing else would ask: the client has nothing to answer. */
static void a_head_that_was_dropped_for_want_of_memory_is_followed_by_a_page(void **state)
{
    struct paging t;
    struct noc_session *session;

    (void)state;
    open_paging(&t, 1);
    publish(&t, 300, 1);
    t.s = come(&t.w, false);
    world_page(&t.w, NOC_OK);
    session = t.s->link.session;
    assert_int_equal(session->queue.count, NOC_HEAD_PRESENT - 12); /* 20 are in flight */
    assert_null(t.w.page);
    atomic_store(&t.w.core.is_memory_short, true);
    for (unsigned i = 0; i < 20 && t.w.page == NULL; i++) {
        world_advance(&t.w, 100);
        commit_all(&t.w);
    }
    assert_non_null(t.w.page);
    atomic_store(&t.w.core.is_memory_short, false);
    world_page(&t.w, NOC_OK);
    world_close(&t.w);
}

static void a_start_has_but_the_head_in_memory(void **state)
{
    struct world w;
    struct noc_session_record record = {.slot = 1,
        .client_id = TEXT("s"),
        .version = NOC_V5,
        .expiry_s = NOC_NEVER_S,
        .expires_ms = NOC_NEVER_MS,
        .will_due_ms = NOC_NEVER_MS};
    struct noc_message *message = noc_message_new(&(struct noc_message_parts){
        .topic = TEXT("t"), .payload = TEXT("x"), .qos = 1, .expires_ms = NOC_NEVER_MS});
    struct noc_session *session;

    (void)state;
    world_init(&w);
    w.is_durable = w.has_pages = true;
    world_start(&w, 1);
    noc_restore_begin(&w.core);
    assert_int_equal(noc_restore_session(&w.core, &record, &w.listeners[0], &session), NOC_OK);
    for (uint64_t i = 0; i < 500; i++) {
        assert_int_equal(noc_restore_outgoing(session, &record,
                             &(struct noc_outgoing_record){
                                 .slot = 1, .sequence = 2 * i + 10, .message = message, .qos = 1}),
            NOC_OK);
    }
    noc_restore_session_done(session, &record);
    noc_restore_end(&w.core, 1, 0);
    assert_int_equal(session->queue.count, NOC_HEAD_ABSENT);
    assert_int_equal(session->paged->count, 492);
    assert_int_equal(session->paged->first, 26);
    assert_int_equal(session->paged->last, 1008);
    assert_int_equal(session->next_sequence, 1009);
    assert_int_equal(world_count(&w, NOC_COUNT_MESSAGES_QUEUED), 500);
    noc_message_unref(message);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_long_queue_leaves_memory_and_comes_back_in_order),
        cmocka_unit_test(what_comes_meanwhile_stands_behind),
        cmocka_unit_test(a_page_that_comes_when_the_client_has_gone_is_left_alone),
        cmocka_unit_test(a_page_that_comes_when_the_session_has_ended_is_given_back),
        cmocka_unit_test(a_page_that_found_no_memory_is_asked_for_again),
        cmocka_unit_test(messages_that_the_store_has_lost_are_told_and_the_rest_goes_on),
        cmocka_unit_test(limits_count_what_is_in_the_store_too),
        cmocka_unit_test(the_head_of_an_absent_session_is_short_in_bytes_too),
        cmocka_unit_test(a_client_that_is_slow_has_a_queue_in_the_store),
        cmocka_unit_test(a_page_is_not_taken_when_the_head_was_cut_meanwhile),
        cmocka_unit_test(messages_of_qos_2_go_through_their_whole_flow),
        cmocka_unit_test(with_memory_short_pages_are_small),
        cmocka_unit_test(what_is_not_stored_yet_is_bounded_for_all_sessions_together),
        cmocka_unit_test(a_head_that_was_dropped_for_want_of_memory_is_followed_by_a_page),
        cmocka_unit_test(a_start_has_but_the_head_in_memory),
    };

    return cmocka_run_group_tests_name("queue", tests, NULL, NULL);
}
