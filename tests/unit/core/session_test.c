/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint32_t draw(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*state >> 33);
}

/* ---- rings ---- */

static void a_ring_agrees_with_a_plain_queue(void **state)
{
    enum { STEPS = 20000 };
    struct noc_ring ring = {0};
    uint32_t first = 0, next = 0;
    uint64_t random = 1;

    (void)state;
    for (unsigned i = 0; i < STEPS; i++) {
        if (draw(&random) % 100 < (i / 2000 % 2 == 0 ? 60 : 40)) {
            struct noc_outgoing *entry = noc_ring_push(&ring);

            assert_null(entry->message);
            assert_int_equal(entry->payload_n, 0);
            entry->payload_n = next++;
        } else if (ring.count > 0) {
            assert_int_equal(noc_ring_at(&ring, 0)->payload_n, first++);
            noc_ring_drop_head(&ring);
        }
        assert_int_equal(ring.count, next - first);
        for (uint32_t at = 0; at < ring.count; at += 1 + ring.count / 4) {
            assert_int_equal(noc_ring_at(&ring, at)->payload_n, first + at);
        }
    }
    free(ring.at);
}

static void a_ring_that_was_long_gives_its_memory_back(void **state)
{
    struct noc_ring ring = {0};

    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        assert_non_null(noc_ring_push(&ring));
    }
    for (unsigned i = 0; i < 100; i++) {
        noc_ring_drop_head(&ring);
    }
    assert_null(ring.at);
    assert_int_equal(ring.room, 0);
}

/* ---- the table of subscriptions ---- */

struct table_test {
    struct noc_session *session;
    bool *model; /* by number of filter and group */
};

enum { FILTERS = 60, GROUPS = 3, TABLE_STEPS = 6000 };

static void random_steps(struct noc_shard *shard, const void *argument)
{
    const struct table_test *test = argument;
    uint64_t random = 7;

    (void)shard;
    for (unsigned i = 0; i < TABLE_STEPS; i++) {
        unsigned f = draw(&random) % FILTERS, g = draw(&random) % GROUPS;
        bool *is_there = &test->model[f * GROUPS + g];
        struct noc_sub *entered = NULL;
        struct noc_slice group = g == 0 ? noc_slice(NULL, 0) : TEXT(g == 1 ? "g1" : "g2");
        char filter[16];

        snprintf(filter, sizeof filter, "f%u/%s", f, f % 3 == 0 ? "+" : "x");
        if (draw(&random) % 2 == 0) {
            assert_int_equal(
                noc_session_subscribe(test->session, TEXT(filter), group, 1, i + 1, &entered),
                NOC_OK);
            assert_int_equal(entered != NULL, !*is_there);
            *is_there = true;
        } else {
            assert_int_equal(
                noc_session_unsubscribe(test->session, TEXT(filter), group), *is_there);
            *is_there = false;
        }
    }
}

static void the_table_of_subscriptions_agrees_with_a_plain_array(void **state)
{
    bool model[FILTERS * GROUPS] = {false};
    size_t count = 0;
    struct world w;
    struct client *c;
    struct table_test test;

    (void)state;
    world_open(&w, 1);
    c = join(&w, "c");
    test = (struct table_test){c->link.session, model};
    world_do(&w, 0, random_steps, &test);
    for (unsigned i = 0; i < FILTERS * GROUPS; i++) {
        count += model[i];
    }
    assert_int_equal(c->link.session->sub_count, count);
    world_close(&w);
}

/* ---- expiry ---- */

static void a_session_ends_when_its_expiry_has_passed(void **state) /* [MQTT-3.1.2-23] */
{
    struct world w;
    struct client *c;
    struct noc_connect connect = {
        .version = NOC_V5, .client_id = TEXT("c"), .props.raw = BYTES("\x11\0\0\0\x0a")};

    (void)state;
    world_open(&w, 1);
    c = join_as(&w, connect);
    world_advance(&w, 60000);
    assert_int_equal(world_count(&w, NOC_COUNT_SESSIONS), 1); /* The clock runs only when absent. */
    hang_up(c);
    world_advance(&w, 9500);
    c = join_as(&w, connect);
    hang_up(c);
    world_advance(&w, 9500);
    assert_int_equal(world_count(&w, NOC_COUNT_SESSIONS), 1);
    world_advance(&w, 600);
    assert_int_equal(world_count(&w, NOC_COUNT_SESSIONS), 0);
    assert_int_equal(world_count(&w, NOC_COUNT_SESSIONS_EXPIRED), 1);
    assert_true(logged(&w, "Expiring client c due to timeout."));
    world_close(&w);
}

static void a_session_without_expiry_ends_with_its_connection(void **state)
{
    struct world w;
    struct client *c;

    (void)state;
    world_open(&w, 1);
    c = join_as(&w, (struct noc_connect){.version = NOC_V5, .client_id = TEXT("c")});
    subscribe(c, "t", 1);
    hang_up(c);
    assert_int_equal(world_count(&w, NOC_COUNT_SESSIONS), 0);
    assert_int_equal(world_count(&w, NOC_COUNT_SESSIONS_EXPIRED), 0);
    world_close(&w);
}

static void the_largest_expiry_is_never(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, 1);
    hang_up(stay(&w, "c"));
    w.now_ms += UINT64_C(200) * 365 * 86400 * 1000;
    world_settle(&w);
    assert_int_equal(world_count(&w, NOC_COUNT_SESSIONS), 1);
    world_close(&w);
}

/* ---- wills ---- */

static struct noc_connect with_will(
    const char *id, struct noc_slice props, struct noc_slice will_props)
{
    return (struct noc_connect){.version = NOC_V5,
        .client_id = TEXT(id),
        .props.raw = props,
        .has_will = true,
        .will = {.topic = TEXT("w"), .payload = TEXT("gone"), .qos = 1, .props.raw = will_props}};
}

static void a_will_waits_for_its_delay(void **state) /* [MQTT-3.1.3-9] */
{
    struct world w;
    struct client *s, *c;

    (void)state;
    world_open(&w, 1);
    s = join(&w, "s");
    subscribe(s, "w", 0);
    c = join_as(&w, with_will("c", BYTES("\x11\0\0\0\x3c"), BYTES("\x18\0\0\0\x05")));
    hang_up(c);
    world_advance(&w, 4900);
    hears_nothing(s);
    world_advance(&w, 200);
    hears(s, "PUBLISH w gone q0");
    world_advance(&w, 60000);
    hears_nothing(s); /* Once [MQTT-3.1.2-10]. */
    world_close(&w);
}

static void a_will_does_not_wait_longer_than_its_session(void **state) /* [MQTT-3.1.2-8] */
{
    struct world w;
    struct client *s, *c;

    (void)state;
    world_open(&w, 1);
    s = join(&w, "s");
    subscribe(s, "w", 0);
    c = join_as(&w, with_will("c", BYTES("\x11\0\0\0\x02"), BYTES("\x18\0\0\0\x3c")));
    hang_up(c);
    world_advance(&w, 2100);
    hears(s, "PUBLISH w gone q0");
    c = join_as(&w, with_will("d", noc_slice(NULL, 0), BYTES("\x18\0\0\0\x3c")));
    hang_up(c);
    hears(s, "PUBLISH w gone q0");
    world_close(&w);
}

static void who_comes_back_in_time_takes_the_will_back(void **state) /* [MQTT-3.1.3-9] */
{
    struct world w;
    struct client *s, *c;

    (void)state;
    world_open(&w, 1);
    s = join(&w, "s");
    subscribe(s, "w", 0);
    c = join_as(&w, with_will("c", BYTES("\x11\0\0\0\x3c"), BYTES("\x18\0\0\0\x05")));
    hang_up(c);
    world_advance(&w, 3000);
    c = stay(&w, "c");
    world_advance(&w, 10000);
    hears_nothing(s);
    hang_up(c); /* The new connection had none. */
    world_advance(&w, 10000);
    hears_nothing(s);
    world_close(&w);
}

static void a_takeover_publishes_a_will_without_delay_only(void **state)
{
    struct world w;
    struct client *s; /* 3.1.4, 3.1.3.2.2 */

    (void)state;
    world_open(&w, 1);
    s = join(&w, "s");
    subscribe(s, "w", 0);
    join_as(&w, with_will("c", BYTES("\x11\0\0\0\x3c"), noc_slice(NULL, 0)));
    stay(&w, "c");
    hears(s, "PUBLISH w gone q0");
    join_as(&w, with_will("d", BYTES("\x11\0\0\0\x3c"), BYTES("\x18\0\0\0\x05")));
    stay(&w, "d");
    world_advance(&w, 10000);
    hears_nothing(s);
    /* A clean start ends the session, and so the delay. */
    join_as(&w, with_will("e", BYTES("\x11\0\0\0\x3c"), BYTES("\x18\0\0\0\x05")));
    join(&w, "e");
    hears(s, "PUBLISH w gone q0");
    world_close(&w);
}

static void a_will_keeps_its_properties_and_may_be_retained(void **state)
{
    struct world w;
    struct client *s, *c;
    struct noc_connect connect = with_will("c", BYTES("\x11\0\0\0\x3c"),
        BYTES("\x18\0\0\0\x05\x26\0\x01k\0\x01v\x02\0\0\0\x0a\x03\0\x01t"));

    (void)state; /* [MQTT-3.1.2-14], [MQTT-3.1.2-15], [MQTT-3.1.3-10] */
    connect.will.retain = true;
    world_open(&w, 1);
    s = join(&w, "s");
    subscribe(s, "w", 2);
    c = join_as(&w, connect);
    hang_up(c);
    world_advance(&w, 5100);
    hears(s, "PUBLISH w gone q1 m1 02=10 26=k:v 03=t");
    say_subscribe(s, "+", 0, 0);
    hears(s, "SUBACK 2: 0; PUBLISH w gone q0 retain 02=10 26=k:v 03=t");
    world_close(&w);
}

static void a_will_waits_while_another_worker_is_behind(void **state)
{
    struct world w;
    struct client *c, *s;

    (void)state;
    world_init(&w);
    w.limits.mailbox_high = 0;
    world_start(&w, 2);
    s = join(&w, "s");
    subscribe(s, "w", 0);
    c = join_as(&w, with_will("c", noc_slice(NULL, 0), noc_slice(NULL, 0)));
    w.is_frozen[1] = true;
    atomic_store(&w.shards[1].mailbox.weight, 1);
    hang_up(c);
    hears_nothing(s);
    assert_int_equal(world_count(&w, NOC_COUNT_SESSIONS), 2);
    atomic_store(&w.shards[1].mailbox.weight, 0);
    w.is_frozen[1] = false;
    world_advance(&w, 100);
    hears(s, "PUBLISH w gone q0");
    assert_int_equal(world_count(&w, NOC_COUNT_SESSIONS), 1);
    world_close(&w);
}

static void end_links(struct noc_shard *shard, const void *argument)
{
    struct client *const *clients = argument;

    (void)shard;
    for (unsigned i = 0; clients[i] != NULL; i++) {
        noc_link_end(&clients[i]->link, NOC_END_PEER_CLOSED, NULL);
    }
}

static void wills_of_one_turn_are_not_more_than_a_worker_takes(void **state)
{
    enum { COUNT = 10 };
    struct world w;
    struct client *c[COUNT + 1] = {NULL}, *s;

    (void)state;
    world_init(&w);
    w.limits.mailbox_high = 3;
    world_start(&w, 2);
    s = dial(&w, 1, 0);
    say_connect(
        s, (struct noc_connect){.version = NOC_V5, .clean_start = true, .client_id = TEXT("s")});
    heard(s);
    subscribe(s, "w", 0);
    for (unsigned i = 0; i < COUNT; i++) {
        char id[] = {(char)('a' + i), '\0'};

        c[i] = dial(&w, i % 2, 0);
        say_connect(c[i], with_will(id, noc_slice(NULL, 0), noc_slice(NULL, 0)));
        c[i / 2] = i % 2 == 0 ? c[i] : c[i / 2]; /* those of shard 0 */
    }
    c[COUNT / 2] = NULL;
    w.is_frozen[1] = true;
    world_do(&w, 0, end_links, c);
    assert_int_equal(noc_mailbox_weight_mt(&w.shards[1].mailbox), 4);
    w.is_frozen[1] = false;
    world_advance(&w, 2000);
    assert_int_equal(hears_count(s, "PUBLISH w gone"), COUNT / 2);
    world_close(&w);
}

static void a_session_that_waits_for_its_will_alone_is_not_present(void **state)
{
    struct world w;
    struct client *c, *s;

    (void)state;
    world_init(&w);
    w.limits.mailbox_high = 0;
    world_start(&w, 2);
    s = join(&w, "s");
    subscribe(s, "w", 0);
    c = join_as(&w, with_will("c", noc_slice(NULL, 0), noc_slice(NULL, 0)));
    subscribe(c, "t", 0);
    w.is_frozen[1] = true;
    atomic_store(&w.shards[1].mailbox.weight, 1);
    hang_up(c);
    c = dial(&w, 0, 0);
    say_connect(c, (struct noc_connect){.version = NOC_V5, .client_id = TEXT("c")});
    hears(c, "CONNACK sp0 rc0 22=10 21=20");
    hears(s, "PUBLISH w gone q0");
    atomic_store(&w.shards[1].mailbox.weight, 0);
    w.is_frozen[1] = false;
    world_close(&w);
}

/* ---- the walk over all ---- */

static void next_of_the_walk_is(struct world *w, bool is_first, const char *id)
{
    struct noc_session *session = noc_session_walk(&w->shards[0], is_first);

    if (id == NULL) {
        assert_null(session);
    } else {
        assert_non_null(session);
        assert_true(noc_slice_equal(noc_session_id(session), noc_slice_of(id)));
    }
}

static void a_walk_goes_on_over_sessions_that_come_and_go(void **state)
{
    struct world w;
    struct client *a, *b, *c, *d;

    (void)state;
    world_open(&w, 1);
    next_of_the_walk_is(&w, true, NULL);
    a = join(&w, "a");
    b = join(&w, "b");
    c = join(&w, "c");
    d = join(&w, "d");
    next_of_the_walk_is(&w, true, "a");
    hang_up(b); /* the one that would be next */
    next_of_the_walk_is(&w, false, "c");
    hang_up(c); /* the one that was last */
    hang_up(a);
    (void)join(&w, "e");
    next_of_the_walk_is(&w, false, "d");
    next_of_the_walk_is(&w, false, "e");
    next_of_the_walk_is(&w, false, NULL);
    next_of_the_walk_is(&w, false, NULL);
    next_of_the_walk_is(&w, true, "d");
    hang_up(d);
    next_of_the_walk_is(&w, false, "e");
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_ring_agrees_with_a_plain_queue),
        cmocka_unit_test(a_ring_that_was_long_gives_its_memory_back),
        cmocka_unit_test(the_table_of_subscriptions_agrees_with_a_plain_array),
        cmocka_unit_test(a_session_ends_when_its_expiry_has_passed),
        cmocka_unit_test(a_session_without_expiry_ends_with_its_connection),
        cmocka_unit_test(the_largest_expiry_is_never),
        cmocka_unit_test(a_will_waits_for_its_delay),
        cmocka_unit_test(a_will_does_not_wait_longer_than_its_session),
        cmocka_unit_test(who_comes_back_in_time_takes_the_will_back),
        cmocka_unit_test(a_takeover_publishes_a_will_without_delay_only),
        cmocka_unit_test(a_will_keeps_its_properties_and_may_be_retained),
        cmocka_unit_test(a_will_waits_while_another_worker_is_behind),
        cmocka_unit_test(wills_of_one_turn_are_not_more_than_a_worker_takes),
        cmocka_unit_test(a_session_that_waits_for_its_will_alone_is_not_present),
        cmocka_unit_test(a_walk_goes_on_over_sessions_that_come_and_go),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
