/* SPDX-License-Identifier: Apache-2.0 */
/* What is stored, when, and what waits for it: see core/journal.h and core/receipt.h. */
#include "harness.h"

#include <string.h>

#include "core/receipt.h"

#define stores(world, shard, text) assert_string_equal(world_batch(world, shard), text)

static void open_durable(struct world *world, unsigned shard_count)
{
    world_init(world);
    world->is_durable = true;
    world_start(world, shard_count);
}

/* A session that is kept, and stored. */
static struct client *stay_stored(struct world *world, unsigned shard, const char *id)
{
    struct client *client = dial(world, 0, 0);

    say_connect(client,
        (struct noc_connect){
            .version = NOC_V5, .client_id = TEXT(id), .props.raw = BYTES("\x11\xff\xff\xff\xff")});
    world_commit(world, shard);
    assert_non_null(strstr(heard(client), "CONNACK"));
    return client;
}

static void subscribe_stored(struct client *client, unsigned shard, const char *filter, uint8_t qos)
{
    say_subscribe(client, filter, qos, 0);
    world_commit(client->world, shard);
    assert_int_equal(hears_count(client, "SUBACK"), 1);
}

static void a_connack_waits_for_a_new_session_only(void **state)
{
    struct world w;
    struct client *s;

    (void)state;
    open_durable(&w, 1);
    s = dial(&w, 0, 0);
    say_connect(s,
        (struct noc_connect){
            .version = NOC_V5, .client_id = TEXT("s"), .props.raw = BYTES("\x11\xff\xff\xff\xff")});
    stores(&w, 0, "session s here");
    hears_nothing(s);
    world_commit(&w, 0);
    hears(s, "CONNACK sp0 rc0 22=10 21=20");
    hang_up(s);
    stores(&w, 0, "session s away");
    world_commit(&w, 0);
    s = dial(&w, 0, 0);
    say_connect(s,
        (struct noc_connect){
            .version = NOC_V5, .client_id = TEXT("s"), .props.raw = BYTES("\x11\xff\xff\xff\xff")});
    hears(s, "CONNACK sp1 rc0 22=10 21=20"); /* nothing that a crash could take back */
    world_close(&w);
}

static void a_connack_waits_for_a_session_that_is_not_stored_yet(void **state)
{
    struct world w;
    struct client *s;

    (void)state;
    open_durable(&w, 1);
    s = dial(&w, 0, 0);
    say_connect(s,
        (struct noc_connect){
            .version = NOC_V5, .client_id = TEXT("s"), .props.raw = BYTES("\x11\xff\xff\xff\xff")});
    hang_up(s); /* it has lost patience */
    s = dial(&w, 0, 0);
    say_connect(s,
        (struct noc_connect){
            .version = NOC_V5, .client_id = TEXT("s"), .props.raw = BYTES("\x11\xff\xff\xff\xff")});
    stores(&w, 0, "session s here");
    hears_nothing(s);
    world_commit(&w, 0);
    world_commit(&w, 0);
    hears(s, "CONNACK sp1 rc0 22=10 21=20");
    world_close(&w);
}

static void a_clean_start_waits_for_the_end_of_what_was(void **state)
{
    struct world w;
    struct client *s;

    (void)state;
    open_durable(&w, 1);
    s = stay_stored(&w, 0, "s");
    say_disconnect(s, 0, BYTES(""));
    world_commit(&w, 0);
    s = dial(&w, 0, 0);
    say_connect(
        s, (struct noc_connect){.version = NOC_V5, .clean_start = true, .client_id = TEXT("s")});
    stores(&w, 0, "session-end");
    hears_nothing(s);
    world_commit(&w, 0);
    hears(s, "CONNACK sp0 rc0 22=10 21=20");
    world_close(&w);
}

static void subscriptions_are_stored_before_they_are_granted(void **state)
{
    struct world w;
    struct client *s;

    (void)state;
    open_durable(&w, 1);
    s = stay_stored(&w, 0, "s");
    say_subscribe(s, "a/+", 1, 7);
    stores(&w, 0, "sub a/+");
    hears_nothing(s);
    world_commit(&w, 0);
    assert_int_equal(hears_count(s, "SUBACK"), 1);
    say_unsubscribe(s, "a/+");
    stores(&w, 0, "sub-end a/+");
    hears_nothing(s);
    world_commit(&w, 0);
    assert_int_equal(hears_count(s, "UNSUBACK"), 1);
    world_close(&w);
}

static void retained_messages_come_behind_a_suback_that_waits(void **state)
{
    struct world w;
    struct client *s, *p;

    (void)state;
    open_durable(&w, 1);
    s = stay_stored(&w, 0, "s");
    p = join(&w, "p");
    say_retained(p, 0, "t", "r");
    world_advance(&w, NOC_LAZY_MS); /* nobody waits for it */
    stores(&w, 0, "retained t");
    world_commit(&w, 0);
    say_subscribe(s, "t", 0, 0);
    hears_nothing(s);
    world_commit(&w, 0);
    assert_non_null(strstr(heard(s), "SUBACK"));
    world_close(&w);
}

/* Those of QoS 2 are sent when they are stored, and the others do not overtake them. */
static void retained_messages_of_several_qos_keep_their_order(void **state)
{
    struct world w;
    struct client *s, *p;

    (void)state;
    open_durable(&w, 1);
    p = join(&w, "p");
    say_retained(p, 2, "a", "1");
    say_ack(p, NOC_PUBREL, 1, 0);
    say_retained(p, 1, "b", "2");
    say_retained(p, 2, "c", "3");
    say_ack(p, NOC_PUBREL, 3, 0);
    world_commit(&w, 0);
    world_commit(&w, 0);
    s = stay_stored(&w, 0, "s");
    say_subscribe(s, "#", 2, 0);
    world_commit(&w, 0);
    assert_non_null(strstr(heard(s), "SUBACK"));
    stores(&w, 0, "out 0 1; out 1 2; out 2 3");
    world_commit(&w, 0);
    hears(s, "PUBLISH a 1 q2 m1 retain; PUBLISH b 2 q1 m2 retain; PUBLISH c 3 q2 m3 retain");
    say_ack(s, NOC_PUBACK, 2, 0);
    say_ack(s, NOC_PUBREC, 1, 0);
    say_ack(s, NOC_PUBREC, 3, 0);
    world_commit(&w, 0);
    world_commit(&w, 0);
    hears(s, "PUBREL 1; PUBREL 3");
    say_ack(s, NOC_PUBCOMP, 1, 0);
    say_ack(s, NOC_PUBCOMP, 3, 0);
    assert_int_equal(s->link.session->window.count, 0);
    world_close(&w);
}

/* More of them than may be queued: the replay waits. */
static void retained_messages_that_are_stored_first_do_not_fill_the_queue(void **state)
{
    struct world w;
    struct client *s, *p;

    (void)state;
    world_init(&w);
    w.is_durable = true;
    w.limits.max_queued_messages = 2;
    world_start(&w, 1);
    p = join(&w, "p");
    for (unsigned i = 0; i < 5; i++) {
        const char topic[2] = {(char)('a' + i), '\0'};

        say_retained(p, 2, topic, "x");
        say_ack(p, NOC_PUBREL, (uint16_t)(i + 1), 0);
        world_commit(&w, 0);
    }
    s = stay_stored(&w, 0, "s");
    say_subscribe(s, "#", 2, 0);
    for (unsigned i = 0; i < 10 && w.batch[0] != NULL; i++) {
        world_commit(&w, 0);
    }
    assert_int_equal(hears_count(s, "PUBLISH"), 5);
    world_close(&w);
}

static void a_message_for_who_is_away_is_stored_before_its_puback(void **state)
{
    struct world w;
    struct client *s, *p;

    (void)state;
    open_durable(&w, 1);
    s = stay_stored(&w, 0, "s");
    subscribe_stored(s, 0, "t", 1);
    hang_up(s);
    world_commit(&w, 0);
    p = join(&w, "p");
    say_publish(p, 1, 1, "t", "a");
    stores(&w, 0, "out 0 a");
    say_publish(p, 1, 2, "t", "b"); /* gathers while the store is busy */
    say_publish(p, 0, 0, "t", "c");
    say_publish(p, 1, 3, "t", "d");
    hears_nothing(p);
    world_commit(&w, 0);
    hears(p, "PUBACK 1");
    stores(&w, 0, "out 1 b; out 2 d");
    world_commit(&w, 0);
    hears(p, "PUBACK 2; PUBACK 3");
    world_close(&w);
}

static void a_message_that_is_acknowledged_in_time_is_never_stored(void **state)
{
    struct world w;
    struct client *s, *p;

    (void)state;
    open_durable(&w, 1);
    s = stay_stored(&w, 0, "s");
    subscribe_stored(s, 0, "t", 1);
    p = join(&w, "p");
    say_publish(p, 1, 1, "t", "a");
    hears(s, "PUBLISH t a q1 m1");
    hears_nothing(p);
    say_ack(s, NOC_PUBACK, 1, 0);
    hears(p, "PUBACK 1");
    world_advance(&w, 5000);
    stores(&w, 0, "");
    world_close(&w);
}

static void a_message_that_is_not_acknowledged_in_time_is_stored_and_its_end_later(void **state)
{
    struct world w;
    struct client *s, *p;

    (void)state;
    open_durable(&w, 1);
    s = stay_stored(&w, 0, "s");
    subscribe_stored(s, 0, "t", 1);
    p = join(&w, "p");
    say_publish(p, 1, 1, "t", "a");
    (void)heard(s);
    world_advance(&w, NOC_GATHER_MS - 1);
    stores(&w, 0, "");
    world_advance(&w, NOC_GATHER_MS + 1);
    stores(&w, 0, "out 0 a");
    hears_nothing(p);
    say_ack(s, NOC_PUBACK, 1, 0); /* safe, too: the client has it */
    hears(p, "PUBACK 1");
    world_commit(&w, 0);
    stores(&w, 0, "");
    world_advance(&w, NOC_LAZY_MS + 1);
    stores(&w, 0, "out-end 0-0");
    world_close(&w);
}

static void who_goes_with_a_message_unanswered_has_it_stored(void **state)
{
    struct world w;
    struct client *s, *p;

    (void)state;
    open_durable(&w, 1);
    s = stay_stored(&w, 0, "s");
    subscribe_stored(s, 0, "t", 1);
    p = join(&w, "p");
    say_publish(p, 1, 1, "t", "a");
    hears(s, "PUBLISH t a q1 m1");
    hang_up(s);
    stores(&w, 0, "session s away; out 0 a");
    world_commit(&w, 0);
    hears(p, "PUBACK 1");
    world_close(&w);
}

static void answers_keep_the_order_of_their_packets(void **state)
{
    struct world w;
    struct client *s, *p;

    (void)state;
    open_durable(&w, 1);
    s = stay_stored(&w, 0, "s");
    subscribe_stored(s, 0, "t", 1);
    hang_up(s);
    world_commit(&w, 0);
    p = join(&w, "p");
    say_publish(p, 1, 1, "t", "a");
    say_publish(p, 1, 2, "nobody", "b");
    say_subscribe(p, "x", 0, 0);
    say_publish(p, 2, 9, "nobody", "c");
    hears_nothing(p);
    world_commit(&w, 0);
    hears(p, "PUBACK 1; PUBACK 2 rc16; SUBACK 1: 0; PUBREC 9 rc16");
    world_close(&w);
}

static void qos_2_is_sent_when_it_is_stored_and_released_when_that_is(void **state)
{
    struct world w;
    struct client *s, *p;

    (void)state;
    open_durable(&w, 1);
    s = stay_stored(&w, 0, "s");
    subscribe_stored(s, 0, "t", 2);
    p = join(&w, "p");
    say_publish(p, 2, 1, "t", "a");
    hears(p, "PUBREC 1"); /* its session ends with the connection: nothing to store */
    say_ack(p, NOC_PUBREL, 1, 0);
    stores(&w, 0, "out 0 a");
    hears_nothing(s);
    hears_nothing(p);
    world_commit(&w, 0);
    hears(p, "PUBCOMP 1");
    hears(s, "PUBLISH t a q2 m1");
    say_ack(s, NOC_PUBREC, 1, 0);
    hears_nothing(s);
    stores(&w, 0, "out-pubrec 0");
    world_commit(&w, 0);
    hears(s, "PUBREL 1");
    say_ack(s, NOC_PUBCOMP, 1, 0);
    world_advance(&w, NOC_LAZY_MS + 1);
    stores(&w, 0, "out-end 0-0");
    world_close(&w);
}

static void qos_2_from_a_kept_publisher_is_stored_at_each_step(void **state)
{
    struct world w;
    struct client *s, *p;

    (void)state;
    open_durable(&w, 1);
    s = stay_stored(&w, 0, "s");
    subscribe_stored(s, 0, "t", 2);
    p = stay_stored(&w, 0, "p");
    say_publish(p, 2, 1, "t", "a");
    stores(&w, 0, "in 1 a");
    hears_nothing(p);
    world_commit(&w, 0);
    hears(p, "PUBREC 1");
    say_ack(p, NOC_PUBREL, 1, 0);
    stores(&w, 0, "out 0 a; in-end 1; part"); /* in one */
    hears_nothing(p);
    hears_nothing(s);
    world_commit(&w, 0);
    hears(p, "PUBCOMP 1");
    hears(s, "PUBLISH t a q2 m1");
    world_close(&w);
}

/* Else the client forgot a message that a crash takes back to where it waits for a PUBREL. */
static void a_pubrel_that_comes_again_is_answered_when_the_first_is_stored(void **state)
{
    struct world w;
    struct client *s, *p;

    (void)state;
    open_durable(&w, 2);
    p = stay_stored(&w, 0, "p");
    (void)join(&w, "q");
    s = stay_stored(&w, 1, "s");
    subscribe_stored(s, 1, "t", 1);
    say_publish(p, 2, 1, "t", "a");
    world_commit(&w, 0);
    hears(p, "PUBREC 1");
    say_ack(p, NOC_PUBREL, 1, 0);
    hang_up(p);
    p = dial(&w, 0, 0);
    say_connect(p,
        (struct noc_connect){
            .version = NOC_V5, .client_id = TEXT("p"), .props.raw = BYTES("\x11\xff\xff\xff\xff")});
    hears(p, "CONNACK sp1 rc0 22=10 21=20");
    say_ack(p, NOC_PUBREL, 1, 0);
    say_ack(p, NOC_PUBREL, 7, 0);
    world_commit(&w, 0);
    world_commit(&w, 0);
    hears_nothing(p);
    world_commit(&w, 1); /* now it is whole */
    hears(p, "PUBCOMP 1 rc146; PUBCOMP 7 rc146");
    hears(s, "PUBLISH t a q1 m1");
    say_ack(p, NOC_PUBREL, 7, 0);
    hears(p, "PUBCOMP 7 rc146");
    world_close(&w);
}

static void who_waits_for_a_release_may_go_with_its_session(void **state)
{
    struct world w;
    struct client *p;

    (void)state;
    open_durable(&w, 1);
    p = stay_stored(&w, 0, "p");
    say_publish(p, 2, 1, "t", "a");
    world_commit(&w, 0);
    hears(p, "PUBREC 1 rc16");
    say_ack(p, NOC_PUBREL, 1, 0);
    say_ack(p, NOC_PUBREL, 1, 0);
    say_disconnect(p, 0, BYTES("\x11\x00\x00\x00\x00"));
    world_commit(&w, 0);
    stores(&w, 0, "session-end");
    assert_true(noc_list_is_empty(&w.shards[0].receipts));
    world_close(&w);
}

static void retained_messages_are_stored_before_they_are_acknowledged(void **state)
{
    struct world w;
    struct client *p;

    (void)state;
    open_durable(&w, 1);
    p = join(&w, "p");
    say_retained(p, 1, "t", "a");
    stores(&w, 0, "retained t");
    hears_nothing(p);
    world_commit(&w, 0);
    assert_int_equal(hears_count(p, "PUBACK"), 1);
    say_retained(p, 0, "$SYS/x", "a");
    world_advance(&w, 5000);
    stores(&w, 0, "");
    world_close(&w);
}

static void a_retained_message_of_qos_2_is_stored_with_the_end_of_its_id(void **state)
{
    struct world w;
    struct client *p;

    (void)state;
    open_durable(&w, 1);
    p = stay_stored(&w, 0, "p");
    say_publish_out(p,
        &(struct noc_publish_out){.topic = TEXT("t"), .qos = 2, .packet_id = 1, .retain = true},
        TEXT("a"));
    world_commit(&w, 0);
    hears(p, "PUBREC 1");
    say_ack(p, NOC_PUBREL, 1, 0);
    stores(&w, 0, "retained t; in-end 1; part");
    world_commit(&w, 0);
    hears(p, "PUBCOMP 1");
    stores(&w, 0, "");
    world_close(&w);
}

static void a_release_over_two_workers_is_sent_when_all_of_it_is_stored(void **state)
{
    struct world w;
    struct client *s, *p, *q;

    (void)state;
    open_durable(&w, 2);
    p = stay_stored(&w, 0, "p");
    q = join(&w, "q");
    s = stay_stored(&w, 1, "s");
    subscribe(q, "t", 0);
    subscribe_stored(s, 1, "t", 1);
    say_publish(p, 2, 1, "t", "a");
    world_commit(&w, 0);
    hears(p, "PUBREC 1");
    say_ack(p, NOC_PUBREL, 1, 0);
    say_publish(p, 0, 0, "t", "b");
    hears(s, "PUBLISH t b q0"); /* QoS 0 may pass by QoS 1, */
    hears_nothing(q);           /* and not what is QoS 0 itself */
    stores(&w, 0, "in-end 1; part");
    stores(&w, 1, "out 0 a; part");
    world_commit(&w, 0);
    hears_nothing(p);
    hears_nothing(q);
    hears_nothing(s);
    world_commit(&w, 1);
    hears(p, "PUBCOMP 1");
    hears(q, "PUBLISH t a q0; PUBLISH t b q0");
    hears(s, "PUBLISH t a q1 m1");
    say_ack(s, NOC_PUBACK, 1, 0);
    world_advance(&w, NOC_LAZY_MS + 1);
    stores(&w, 1, "out-end 0-0");
    world_close(&w);
}

static struct client *stay_stored_at(struct world *world, unsigned shard, const char *id)
{
    struct client *client = dial(world, shard, 0);

    say_connect(client,
        (struct noc_connect){
            .version = NOC_V5, .client_id = TEXT(id), .props.raw = BYTES("\x11\xff\xff\xff\xff")});
    world_commit(world, shard);
    assert_int_equal(hears_count(client, "CONNACK"), 1);
    assert_ptr_equal(client->link.shard, &world->shards[shard]);
    return client;
}

static void end_link(struct noc_shard *shard, void *link)
{
    assert_non_null(shard);
    noc_link_end(link, NOC_END_PEER_CLOSED, NULL);
}

/* The member of a group that was picked has gone when the mail comes: it goes on to a third worker. */
static void a_release_follows_a_shared_message_to_another_worker(void **state)
{
    struct world w;
    struct client *p, *b, *c;
    bool wake;

    (void)state;
    open_durable(&w, 3);
    p = stay_stored_at(&w, 0, "p");
    b = stay_stored_at(&w, 1, "b");
    c = stay_stored_at(&w, 2, "c");
    subscribe_stored(b, 1, "$share/g/t", 1);
    subscribe_stored(c, 2, "$share/g/t", 1);
    say_publish(p, 2, 1, "t", "one");
    say_publish(p, 2, 2, "t", "two");
    world_commit(&w, 0);
    world_commit(&w, 0);
    hears(p, "PUBREC 1; PUBREC 2");
    w.is_frozen[1] = true;
    assert_int_equal(noc_shard_call_mt(&w.core, 1, end_link, &b->link, &wake), NOC_OK);
    say_ack(p, NOC_PUBREL, 1, 0); /* one of them is for b */
    say_ack(p, NOC_PUBREL, 2, 0);
    w.is_frozen[1] = false;
    world_settle(&w);
    for (unsigned i = 0; i < 9; i++) {
        if (w.batch[i % 3] != NULL) {
            world_commit(&w, i % 3);
        }
    }
    hears(p, "PUBCOMP 1; PUBCOMP 2");
    assert_int_equal(hears_count(c, "PUBLISH"), 2);
    world_close(&w);
}

static void a_will_is_stored_whole_before_it_is_sent(void **state)
{
    struct world w;
    struct client *s, *p;

    (void)state;
    open_durable(&w, 2);
    p = dial(&w, 0, 0);
    say_connect(p, (struct noc_connect){.version = NOC_V5,
                       .client_id = TEXT("p"),
                       .props.raw = BYTES("\x11\xff\xff\xff\xff"),
                       .has_will = true,
                       .will = {.topic = TEXT("t"), .payload = TEXT("w"), .qos = 1}});
    world_commit(&w, 0);
    (void)heard(p);
    (void)join(&w, "q");
    s = stay_stored(&w, 1, "s");
    subscribe_stored(s, 1, "t", 1);
    hang_up(p);
    stores(&w, 0, "session p away; part"); /* without the will, and no other record meanwhile */
    stores(&w, 1, "out 0 w; part");
    world_commit(&w, 0);
    stores(&w, 0, "");
    hears_nothing(s);
    world_commit(&w, 1);
    hears(s, "PUBLISH t w q1 m1");
    world_advance(&w, NOC_LAZY_MS + 1);
    stores(&w, 0, "session p away");
    world_close(&w);
}

static struct client *dial_with_will(struct world *world)
{
    struct client *client = dial(world, 0, 0);

    say_connect(client, (struct noc_connect){.version = NOC_V5,
                            .client_id = TEXT("p"),
                            .props.raw = BYTES("\x11\xff\xff\xff\xff"),
                            .has_will = true,
                            .will = {.topic = TEXT("t"), .payload = TEXT("w"), .qos = 1}});
    return client;
}

/* The record that says that both are published waits for both. */
static void a_second_will_is_held_though_the_first_is_stored(void **state)
{
    struct world w;
    struct client *s, *p;

    (void)state;
    open_durable(&w, 2);
    p = dial_with_will(&w);
    world_commit(&w, 0);
    (void)join(&w, "q");
    s = stay_stored(&w, 1, "s");
    subscribe_stored(s, 1, "t", 1);
    hang_up(p);
    world_commit(&w, 0);
    p = dial_with_will(&w);
    hang_up(p);
    stores(&w, 0, "session p away; part");
    world_commit(&w, 0);
    world_commit(&w, 1); /* the first is whole */
    hears(s, "PUBLISH t w q1 m1");
    stores(&w, 1, "out 1 w; part");
    stores(&w, 0, "");
    world_commit(&w, 1);
    hears(s, "PUBLISH t w q1 m2");
    stores(&w, 0, "session p away");
    world_close(&w);
}

static void another_workers_session_is_waited_for(void **state)
{
    struct world w;
    struct client *s, *p;

    (void)state;
    open_durable(&w, 2);
    p = join(&w, "p");
    (void)join(&w, "q"); /* the next one goes where there is less to do */
    s = stay_stored(&w, 1, "s");
    subscribe_stored(s, 1, "t", 1);
    say_publish(p, 1, 1, "t", "a");
    hears_nothing(p);
    hears(s, "PUBLISH t a q1 m1");
    say_ack(s, NOC_PUBACK, 1, 0);
    hears(p, "PUBACK 1");
    hang_up(s);
    world_commit(&w, 1);
    say_publish(p, 1, 2, "t", "b");
    say_publish(p, 1, 3, "nobody", "c");
    stores(&w, 1, "out 1 b");
    hears_nothing(p);
    world_commit(&w, 1);
    hears(p, "PUBACK 2; PUBACK 3 rc16");
    world_close(&w);
}

static void a_group_of_another_worker_is_waited_for(void **state)
{
    struct world w;
    struct client *s, *p;

    (void)state;
    open_durable(&w, 2);
    p = join(&w, "p");
    (void)join(&w, "q");
    s = stay_stored(&w, 1, "s");
    subscribe_stored(s, 1, "$share/g/t", 1);
    hang_up(s);
    world_commit(&w, 1);
    say_publish(p, 1, 1, "t", "a");
    stores(&w, 1, "out 0 a");
    hears_nothing(p);
    world_commit(&w, 1);
    hears(p, "PUBACK 1");
    world_close(&w);
}

static void the_end_of_a_session_releases_who_waits_for_it(void **state)
{
    struct world w;
    struct client *s, *p;

    (void)state;
    open_durable(&w, 1);
    s = stay_stored(&w, 0, "s");
    subscribe_stored(s, 0, "t", 1);
    p = join(&w, "p");
    say_publish(p, 1, 1, "t", "a");
    hears_nothing(p);
    say_disconnect(s, 0, BYTES("\x11\x00\x00\x00\x00"));
    hears(p, "PUBACK 1");
    stores(&w, 0, "session-end");
    world_close(&w);
}

static uint64_t retained_count(const struct world *world)
{
    struct noc_retained_counts counts;

    noc_retained_counts_mt(world->core.retained, &counts);
    return counts.messages;
}

static void expired_retained_messages_are_swept(void **state)
{
    const struct noc_publish_out brief = {
        .topic = TEXT("brief"), .retain = true, .payload_n = 1, .has_expiry = true, .expiry_s = 10};
    struct world w;
    struct client *p;

    (void)state;
    world_init(&w);
    w.is_durable = true;
    w.limits.retained_sweep_s = 60;
    world_start(&w, 1);
    p = join(&w, "p");
    say_retained(p, 0, "long", "x");
    say_publish_out(p, &brief, TEXT("x"));
    world_advance(&w, 30000);
    stores(&w, 0, "retained long; retained brief");
    world_commit(&w, 0);
    assert_int_equal(retained_count(&w), 2); /* expired, but nobody has looked */
    world_advance(&w, 30000 + NOC_LAZY_MS);
    assert_int_equal(retained_count(&w), 1);
    stores(&w, 0, "retained brief");
    assert_int_equal(w.batch[0]->at[0].message->payload_n, 0);
    world_commit(&w, 0);
    say_publish_out(p, &brief, TEXT("x"));
    world_advance(&w, NOC_LAZY_MS);
    world_commit(&w, 0);
    world_advance(&w, 120000); /* and again */
    assert_int_equal(retained_count(&w), 1);
    world_commit(&w, 0);
    world_close(&w);
}

static void set_full(struct world *world, bool is_full)
{
    atomic_store(&world->core.is_store_full, is_full);
}

static void without_space_what_would_be_stored_is_refused(void **state)
{
    struct world w;
    struct client *s, *p, *kept;

    (void)state;
    open_durable(&w, 1);
    s = stay_stored(&w, 0, "s");
    subscribe_stored(s, 0, "t", 2);
    kept = stay_stored(&w, 0, "kept");
    p = join(&w, "p");
    say_retained(p, 0, "old", "r");
    world_advance(&w, NOC_LAZY_MS);
    world_commit(&w, 0);
    set_full(&w, true);
    say_publish(p, 1, 1, "t", "m");
    say_publish(p, 2, 2, "t", "m");
    hears(p, "PUBACK 1 rc151; PUBREC 2 rc151");
    hears_nothing(s); /* it is routed to nobody */
    say_publish(p, 1, 3, "nobody", "m");
    hears(p, "PUBACK 3 rc16"); /* nothing of it would be stored */
    say_publish(kept, 2, 4, "nobody", "m");
    hears(kept, "PUBREC 4 rc151"); /* its packet id would be */
    say_publish(p, 0, 0, "t", "of QoS 0");
    assert_int_equal(hears_count(s, "PUBLISH"), 1);
    say_retained(p, 1, "new", "r");
    assert_non_null(strstr(heard(p), "rc151"));
    say_retained(p, 1, "old", ""); /* makes room */
    stores(&w, 0, "retained old");
    world_commit(&w, 0);
    assert_null(strstr(heard(p), "rc151"));
    set_full(&w, false);
    say_publish(p, 1, 5, "t", "m");
    assert_int_equal(hears_count(s, "PUBLISH"), 1);
    assert_int_equal(world_count(&w, NOC_COUNT_PUBLISH_REFUSED), 4);
    world_close(&w);
}

static void without_space_a_client_of_3_1_1_waits_in_order(void **state)
{
    struct world w;
    struct client *s, *p;

    (void)state;
    open_durable(&w, 1);
    s = stay_stored(&w, 0, "s");
    subscribe_stored(s, 0, "t", 1);
    p = join_v311(&w, "p");
    set_full(&w, true);
    say_publish(p, 0, 0, "t", "0");
    say_publish(p, 1, 1, "t", "1");
    say_publish(p, 0, 0, "t", "2");
    say_publish(p, 1, 3, "t", "3");
    hears(s, "PUBLISH t 0 q0");
    world_advance(&w, 29000);
    hears_nothing(s);
    hears_nothing(p);
    assert_int_equal(world_count(&w, NOC_COUNT_PUBLISH_RECEIVED), 1);
    set_full(&w, false);
    world_settle(&w);
    assert_int_equal(hears_count(s, "PUBLISH"), 3);
    assert_int_equal(world_count(&w, NOC_COUNT_PUBLISH_RECEIVED), 4);
    assert_int_equal(world_count(&w, NOC_COUNT_PAUSED), 0);
    set_full(&w, true);
    say_publish(p, 1, 4, "t", "4");
    world_advance(&w, 29000);
    assert_false(p->is_closed);
    world_advance(&w, 2000);
    assert_true(p->is_closed);
    hears_nothing(s);
    world_close(&w);
}

static void a_flush_stores_what_is_entered_behind_a_batch_that_is_out(void **state)
{
    struct world w;
    struct client *p;
    uint64_t goal;

    (void)state;
    open_durable(&w, 1);
    p = join(&w, "p");
    assert_int_equal(noc_journal_flush(&w.shards[0]), 0); /* there is nothing */
    say_retained(p, 0, "t", "1");
    assert_int_equal(noc_journal_flush(&w.shards[0]), 1);
    say_retained(p, 0, "t", "2");
    goal = noc_journal_flush(&w.shards[0]);
    assert_int_equal(goal, 2);
    assert_int_equal(noc_journal_committed_count(&w.shards[0]), 0);
    stores(&w, 0, "retained t");
    world_commit(&w, 0);
    assert_int_equal(noc_journal_committed_count(&w.shards[0]), 1);
    stores(&w, 0, "retained t"); /* at once, though nobody waits for it */
    world_commit(&w, 0);
    assert_int_equal(noc_journal_committed_count(&w.shards[0]), goal);
    world_close(&w);
}

static void a_link_with_too_many_answers_waiting_is_not_read_on(void **state)
{
    struct world w;
    struct client *s, *p;

    (void)state;
    open_durable(&w, 1);
    s = stay_stored(&w, 0, "s");
    subscribe_stored(s, 0, "t", 1);
    hang_up(s);
    world_commit(&w, 0);
    p = join_v311(&w, "p");
    for (unsigned i = 1; i <= NOC_RECEIPTS_MAX; i++) {
        say_publish(p, 1, (uint16_t)i, "t", "a");
    }
    assert_false(p->is_reading);
    world_commit(&w, 0);
    world_commit(&w, 0);
    assert_true(p->is_reading);
    assert_int_equal(hears_count(p, "PUBACK"), NOC_RECEIPTS_MAX);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_connack_waits_for_a_new_session_only),
        cmocka_unit_test(a_connack_waits_for_a_session_that_is_not_stored_yet),
        cmocka_unit_test(a_clean_start_waits_for_the_end_of_what_was),
        cmocka_unit_test(subscriptions_are_stored_before_they_are_granted),
        cmocka_unit_test(retained_messages_come_behind_a_suback_that_waits),
        cmocka_unit_test(retained_messages_of_several_qos_keep_their_order),
        cmocka_unit_test(retained_messages_that_are_stored_first_do_not_fill_the_queue),
        cmocka_unit_test(a_message_for_who_is_away_is_stored_before_its_puback),
        cmocka_unit_test(a_message_that_is_acknowledged_in_time_is_never_stored),
        cmocka_unit_test(a_message_that_is_not_acknowledged_in_time_is_stored_and_its_end_later),
        cmocka_unit_test(who_goes_with_a_message_unanswered_has_it_stored),
        cmocka_unit_test(answers_keep_the_order_of_their_packets),
        cmocka_unit_test(qos_2_is_sent_when_it_is_stored_and_released_when_that_is),
        cmocka_unit_test(qos_2_from_a_kept_publisher_is_stored_at_each_step),
        cmocka_unit_test(a_pubrel_that_comes_again_is_answered_when_the_first_is_stored),
        cmocka_unit_test(who_waits_for_a_release_may_go_with_its_session),
        cmocka_unit_test(retained_messages_are_stored_before_they_are_acknowledged),
        cmocka_unit_test(a_retained_message_of_qos_2_is_stored_with_the_end_of_its_id),
        cmocka_unit_test(a_release_over_two_workers_is_sent_when_all_of_it_is_stored),
        cmocka_unit_test(a_release_follows_a_shared_message_to_another_worker),
        cmocka_unit_test(a_will_is_stored_whole_before_it_is_sent),
        cmocka_unit_test(a_second_will_is_held_though_the_first_is_stored),
        cmocka_unit_test(another_workers_session_is_waited_for),
        cmocka_unit_test(a_group_of_another_worker_is_waited_for),
        cmocka_unit_test(the_end_of_a_session_releases_who_waits_for_it),
        cmocka_unit_test(expired_retained_messages_are_swept),
        cmocka_unit_test(without_space_what_would_be_stored_is_refused),
        cmocka_unit_test(without_space_a_client_of_3_1_1_waits_in_order),
        cmocka_unit_test(a_flush_stores_what_is_entered_behind_a_batch_that_is_out),
        cmocka_unit_test(a_link_with_too_many_answers_waiting_is_not_read_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
