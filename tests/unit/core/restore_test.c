/* SPDX-License-Identifier: Apache-2.0 */
/* The start with what was stored: see core/restore.h. */
#include "harness.h"

#include <string.h>

#include "core/journal.h"
#include "core/restore.h"

#define stores(world, shard, text) assert_string_equal(world_batch(world, shard), text)

static void begin(struct world *world, unsigned shard_count)
{
    world_init(world);
    world->is_durable = true;
    world_start(world, shard_count);
    noc_restore_begin(&world->core);
}

static struct noc_message *message_of(const char *topic, const char *payload, uint8_t qos)
{
    struct noc_message *message = noc_message_new(&(struct noc_message_parts){
        .topic = TEXT(topic), .payload = TEXT(payload), .qos = qos, .expires_ms = NOC_NEVER_MS});

    assert_non_null(message);
    return message;
}

/* A session that has been away for a while; what the record says besides is the caller's. */
static struct noc_session *restore(struct world *world, struct noc_session_record *record)
{
    struct noc_session *session = NULL;

    record->version = NOC_V5;
    record->expiry_s = record->expiry_s == 0 ? NOC_NEVER_S : record->expiry_s;
    record->expires_ms = record->will_due_ms = NOC_NEVER_MS;
    assert_int_equal(
        noc_restore_session(&world->core, record, &world->listeners[0], &session), NOC_OK);
    return session;
}

static void restore_subscription(struct noc_session *session, uint64_t slot, const char *filter)
{
    struct noc_subscription_record record = {.slot = slot, .filter = TEXT(filter), .options = 2};

    assert_int_equal(noc_restore_subscription(session, &record), NOC_OK);
}

static void restore_outgoing(struct noc_session *session, const struct noc_session_record *of,
    uint64_t sequence, uint8_t qos, const char *payload)
{
    struct noc_outgoing_record record = {.slot = of->slot,
        .sequence = sequence,
        .message = message_of("t", payload, qos),
        .qos = qos};

    assert_int_equal(noc_restore_outgoing(session, of, &record), NOC_OK);
    noc_message_unref(record.message);
}

static void end(struct world *world, uint64_t highest_slot, uint64_t highest_version)
{
    noc_restore_end(&world->core, highest_slot, highest_version);
}

/* The client of a session comes back. */
static struct client *come_back(struct world *world, const char *id)
{
    struct client *client = dial(world, 0, 0);

    say_connect(client,
        (struct noc_connect){
            .version = NOC_V5, .client_id = TEXT(id), .props.raw = BYTES("\x11\xff\xff\xff\xff")});
    return client;
}

static void slots_go_on_behind_those_of_sessions_from_elsewhere(void **state)
{
    struct world w;
    struct noc_session_record record = {.client_id = TEXT("old")};
    struct noc_session *old;

    (void)state;
    begin(&w, 1);
    old = restore(&w, &record);
    noc_restore_session_done(old, &record);
    end(&w, 0, 0); /* nothing is in the store itself */
    world_settle(&w);
    stores(&w, 0, "session old away");
    world_commit(&w, 0);
    (void)come_back(&w, "new");
    stores(&w, 0, "session new here");
    assert_int_not_equal(w.batch[0]->at[0].slot, old->durable->slot);
    world_commit(&w, 0);
    world_close(&w);
}

/* As a crash leaves it: who was connected has a will, its subscriber is told later. */
static void the_will_of_who_was_connected_reaches_all_that_is_restored(void **state)
{
    struct world w;
    struct noc_message *will = message_of("t", "gone", 1), *on = message_of("t", "on", 1);
    struct noc_session_record device = {
        .slot = 1, .client_id = TEXT("device"), .is_connected = true, .will = will};
    struct noc_session_record subscriber = {.slot = 2, .client_id = TEXT("s")};
    struct noc_session *session;
    struct client *s;

    (void)state;
    will->retain = true;
    begin(&w, 1);
    noc_restore_session_done(restore(&w, &device), &device);
    session = restore(&w, &subscriber);
    restore_subscription(session, 2, "t");
    noc_restore_session_done(session, &subscriber);
    assert_int_equal(
        noc_restore_retained(&w.core, &(struct noc_retained_record){.message = on, .version = 100}),
        NOC_OK);
    end(&w, 2, 100);
    world_advance(&w, 10);
    stores(&w, 0, "retained t; out 0 gone; session device away; part");
    assert_int_equal(w.batch[0]->at[0].first, 101); /* counts more than what was there */
    world_commit(&w, 0);
    s = come_back(&w, "s");
    assert_non_null(strstr(heard(s), "PUBLISH t gone q1"));
    noc_message_unref(will);
    will = noc_retained_get(w.core.retained, TEXT("t"));
    assert_true(noc_slice_equal(noc_message_payload(will), TEXT("gone")));
    noc_message_unref(will);
    noc_message_unref(on);
    world_close(&w);
}

static void of_two_sessions_of_a_client_the_newer_one_stays(void **state)
{
    struct world w;
    struct noc_session_record older = {.slot = 1, .client_id = TEXT("c")};
    struct noc_session_record newer = {.slot = 2, .client_id = TEXT("c")};
    struct noc_session *session;
    struct client *c;

    (void)state;
    begin(&w, 1);
    session = restore(&w, &older);
    restore_subscription(session, 1, "old");
    noc_restore_session_done(session, &older);
    session = restore(&w, &newer);
    assert_non_null(session);
    restore_subscription(session, 2, "new");
    noc_restore_session_done(session, &newer);
    end(&w, 2, 0);
    world_settle(&w);
    stores(&w, 0, "session-end");
    assert_int_equal(w.batch[0]->at[0].slot, 1);
    world_commit(&w, 0);
    c = come_back(&w, "c");
    assert_non_null(strstr(heard(c), "CONNACK sp1"));
    say_publish(c, 0, 0, "old", "x");
    say_publish(c, 0, 0, "new", "y");
    hears(c, "PUBLISH new y q0");
    world_close(&w);
}

/* All before 50 is over; what comes after the start was never sent. */
static void numbers_go_on_behind_what_was_sent(void **state)
{
    struct world w;
    struct noc_session_record record = {.slot = 1, .client_id = TEXT("s"), .sent = 50};
    struct noc_session *session;
    struct client *s, *p;

    (void)state;
    begin(&w, 1);
    session = restore(&w, &record);
    restore_subscription(session, 1, "t");
    restore_outgoing(session, &record, 20, 1, "a");
    noc_restore_session_done(session, &record);
    end(&w, 1, 0);
    p = join(&w, "p");
    say_publish(p, 1, 1, "t", "b");
    stores(&w, 0, "out 50 b");
    world_commit(&w, 0);
    hears(p, "PUBACK 1");
    s = come_back(&w, "s");
    hears(s, "CONNACK sp1 rc0 22=10 21=20; PUBLISH t a q1 m21 dup; PUBLISH t b q1 m51");
    world_close(&w);
}

/* 10 has been in flight for so long that all ids were used in between, but for its own. */
static void no_two_messages_in_flight_have_the_same_id(void **state)
{
    struct world w;
    struct noc_session_record record = {.slot = 1, .client_id = TEXT("s"), .is_connected = true};
    struct noc_session *session;
    struct client *s;

    (void)state;
    begin(&w, 1);
    session = restore(&w, &record);
    restore_outgoing(session, &record, 10, 1, "a");
    restore_outgoing(session, &record, 10 + 64999, 1, "b");
    restore_outgoing(session, &record, 10 + 65535, 1, "c");
    noc_restore_session_done(session, &record);
    end(&w, 1, 0);
    s = come_back(&w, "s");
    hears(s, "CONNACK sp1 rc0 22=10 21=20; PUBLISH t a q1 m11 dup; PUBLISH t b q1 m65010 dup");
    say_ack(s, NOC_PUBACK, 11, 0);
    hears(s, "PUBLISH t c q1 m11");
    world_close(&w);
}

static void queued_messages_of_qos_0_keep_their_count(void **state)
{
    struct world w;
    struct noc_session_record record = {.client_id = TEXT("s")};
    struct noc_session *session;
    struct client *s, *p;

    (void)state;
    begin(&w, 1);
    session = restore(&w, &record);
    restore_subscription(session, 0, "t");
    restore_outgoing(session, &record, 0, 0, "a");
    noc_restore_session_done(session, &record);
    end(&w, 0, 0);
    world_settle(&w);
    world_commit(&w, 0);
    s = come_back(&w, "s");
    hears(s, "CONNACK sp1 rc0 22=10 21=20; PUBLISH t a q0");
    assert_int_equal(session->queued_qos0, 0);
    p = join(&w, "p");
    say_publish(p, 0, 0, "t", "b");
    hears(s, "PUBLISH t b q0");
    world_close(&w);
}

/* What 134 million sessions come to. */
static void slots_begin_anew_and_pass_over_those_in_use(void **state)
{
    struct world w;
    struct noc_session_record record = {.slot = 2, .client_id = TEXT("old")};
    const uint64_t slots[] = {NOC_SLOT_MAX, 1, 3, 5};
    struct noc_session *session;

    (void)state;
    begin(&w, 1);
    noc_restore_session_done(restore(&w, &record), &record);
    end(&w, NOC_SLOT_MAX - 1, 0);
    for (unsigned i = 0; i < NOC_COUNT(slots); i++) {
        const char id[2] = {(char)('a' + i), '\0'};
        struct client *client = come_back(&w, id);

        world_commit(&w, 0);
        assert_int_equal(hears_count(client, "CONNACK"), 1);
        session = client->link.session;
        assert_int_equal(session->durable->slot, slots[i]);
        if (i == 2) { /* it ends: another one may have its slot, when it is its turn */
            say_disconnect(client, 0, BYTES("\x11\0\0\0\0"));
            world_commit(&w, 0);
            noc_journal_slots_behind(&w.core, 3); /* not back */
            (void)come_back(&w, "x");
            world_commit(&w, 0);
        }
    }
    world_close(&w);
}

static void slots_of_several_workers_differ(void **state)
{
    struct world w;
    struct noc_session_record records[6];
    uint64_t seen = 0;

    (void)state;
    begin(&w, 3);
    end(&w, 4, 0);
    for (unsigned i = 0; i < NOC_COUNT(records); i++) {
        const char id[2] = {(char)('a' + i), '\0'};
        struct client *client = dial(&w, i % 3, 0);

        say_connect(client,
            (struct noc_connect){
                .version = NOC_V5, .client_id = TEXT(id), .props.raw = BYTES("\x11\0\0\0\x09")});
        assert_int_equal(
            client->link.session->durable->slot % 3, client->link.session->shard->number);
        assert_in_range(client->link.session->durable->slot, 5, 5 + 2 * 6);
        assert_int_equal(seen >> client->link.session->durable->slot & 1, 0);
        seen |= UINT64_C(1) << client->link.session->durable->slot;
    }
    world_close(&w);
}

/* They never come to an end: when no message has one, the next begins anew, with the next packet id. */
static void numbers_begin_anew(void **state)
{
    struct world w;
    struct noc_session_record record = {
        .slot = 1, .client_id = TEXT("s"), .sent = NOC_SEQUENCE_MAX - 1};
    struct noc_session *session;
    struct client *s, *p;

    (void)state;
    begin(&w, 1);
    session = restore(&w, &record);
    restore_subscription(session, 1, "t");
    restore_outgoing(session, &record, NOC_SEQUENCE_MAX - 1, 1, "a");
    noc_restore_session_done(session, &record);
    end(&w, 1, 0);
    p = join(&w, "p");
    say_publish(p, 1, 1, "t", "b");
    say_publish(p, 1, 2, "t", "c"); /* no number is left */
    world_commit(&w, 0);
    hears(p, "PUBACK 1; PUBACK 2");
    s = come_back(&w, "s");
    hears(s, "CONNACK sp1 rc0 22=10 21=20; PUBLISH t a q1 m15; PUBLISH t b q1 m16");
    say_ack(s, NOC_PUBACK, 15, 0);
    say_ack(s, NOC_PUBACK, 16, 0);
    say_publish(p, 1, 3, "t", "d");
    hears(s, "PUBLISH t d q1 m17");
    say_ack(s, NOC_PUBACK, 17, 0);
    say_publish(p, 1, 4, "t", "e");
    hears(s, "PUBLISH t e q1 m18");
    hang_up(s);
    while (w.batch[0] != NULL) {
        stores(&w, 0, "session s away; out-end 68719476734-68719476735; out 17 e");
        world_commit(&w, 0);
    }
    assert_int_equal(session->next_sequence, 18);
    world_close(&w);
}

static void find_expired(struct noc_shard *shard, const void *message)
{
    noc_sweep_expired(shard, message);
}

/* Versions in memory begin at one with each start; those in the store are of the starts before. */
static void an_expired_message_that_was_restored_leaves_the_store(void **state)
{
    struct noc_message *message;
    struct world w;

    (void)state;
    begin(&w, 1);
    message = message_of("t", "x", 0);
    message->expires_ms = w.now_ms + 1000;
    assert_int_equal(noc_restore_retained(&w.core,
                         &(struct noc_retained_record){.message = message, .version = 700}),
        NOC_OK);
    end(&w, 0, 700);
    world_advance(&w, 2000);
    world_do(&w, 0, find_expired, message);
    noc_message_unref(message);
    world_advance(&w, NOC_LAZY_MS);
    stores(&w, 0, "retained t");
    assert_int_equal(w.batch[0]->at[0].message->payload_n, 0);
    assert_true(w.batch[0]->at[0].first > 700);
    world_commit(&w, 0);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slots_go_on_behind_those_of_sessions_from_elsewhere),
        cmocka_unit_test(the_will_of_who_was_connected_reaches_all_that_is_restored),
        cmocka_unit_test(of_two_sessions_of_a_client_the_newer_one_stays),
        cmocka_unit_test(numbers_go_on_behind_what_was_sent),
        cmocka_unit_test(no_two_messages_in_flight_have_the_same_id),
        cmocka_unit_test(slots_begin_anew_and_pass_over_those_in_use),
        cmocka_unit_test(slots_of_several_workers_differ),
        cmocka_unit_test(numbers_begin_anew),
        cmocka_unit_test(queued_messages_of_qos_0_keep_their_count),
        cmocka_unit_test(an_expired_message_that_was_restored_leaves_the_store),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
