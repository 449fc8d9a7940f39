/* SPDX-License-Identifier: Apache-2.0 */
/* What travels between two workers, and what becomes of it when they stop. */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mail.h"

static struct client *join_at(struct world *w, unsigned shard, const char *id)
{
    struct client *c = dial(w, shard, 0);

    say_connect(
        c, (struct noc_connect){.version = NOC_V5, .clean_start = true, .client_id = TEXT(id)});
    assert_ptr_equal(c->link.shard, &w->shards[shard]);
    heard(c);
    return c;
}

static void mail_nobody_drained_is_given_back(void **state)
{
    struct world w;
    struct client *b, *p;
    char large[3001];

    (void)state;
    world_open(&w, 2);
    p = join_at(&w, 0, "p");
    b = join_at(&w, 1, "b");
    subscribe(b, "t", 0);
    subscribe(b, "$share/g/s", 0);
    memset(large, 'x', 3000);
    large[3000] = '\0';
    w.is_frozen[1] = true;
    say_publish(p, 0, 0, "t", "small");
    say_publish(p, 0, 0, "t", large);
    say_publish(p, 0, 0, "s", large);
    /* A letter weighs one for each KiB begun, what it refers to included. */
    assert_int_equal(noc_mailbox_weight_mt(&w.shards[1].mailbox), 1 + 4 + 4);
    world_close(&w); /* Nothing leaks. */
}

static void mail_of_a_turn_that_was_not_posted_is_given_back(void **state)
{
    struct world w;
    struct noc_publication publication = {
        .parts = {.topic = TEXT("t"), .payload = TEXT("x"), .expires_ms = NOC_NEVER_MS}};
    struct noc_node *none[1] = {NULL};

    (void)state;
    world_open(&w, 2);
    assert_non_null(noc_publication_message(&publication));
    assert_int_equal(noc_mail_publish(&w.shards[0], 1, &publication, NULL, none, 0), NOC_OK);
    assert_int_equal(noc_mail_resume(&w.shards[0], 1), NOC_OK);
    assert_int_equal(publication.message->references, 2);
    noc_publication_done(&publication);
    world_close(&w);
}

static void a_message_for_more_nodes_than_a_record_usually_names_arrives_once(void **state)
{
    enum { LEVELS = 40 };
    struct world w;
    struct client *b, *p;
    char topic[2 * LEVELS + 2] = "a", filter[2 * LEVELS + 4];

    (void)state;
    world_open(&w, 2);
    p = join_at(&w, 0, "p");
    b = join_at(&w, 1, "b");
    /* Two filters for each level: some of them matched by the publisher's worker alone. */
    for (unsigned i = 0; i < LEVELS; i++) {
        snprintf(filter, sizeof filter, "%s/#", topic);
        subscribe(b, filter, 0);
        snprintf(filter, sizeof filter, "%s/#", topic);
        filter[2 * i] = '+';
        subscribe(b, filter, 0);
        snprintf(topic + strlen(topic), 3, "/a");
    }
    subscribe(p, "#", 0);
    say_publish(p, 0, 0, topic, "x");
    assert_int_equal(hears_count(b, "PUBLISH"), 1);
    assert_int_equal(hears_count(p, "PUBLISH"), 1);
    world_close(&w);
}

/* Subscribe to all filters of so many levels that are made of "a" and "+", with identifier 1. */
static void subscribe_to_all(struct client *c, unsigned levels)
{
    const size_t entry_n = 2 * (size_t)levels + 2;
    uint8_t *entries = malloc(entry_n << levels), *packet = malloc((entry_n << levels) + 20);
    uint8_t *at = entries;
    size_t n;

    assert_non_null(entries);
    assert_non_null(packet);
    for (uint32_t number = 0; number >> levels == 0; number++) {
        char filter[40];

        for (unsigned level = 0; level < levels; level++) {
            memcpy(filter + (size_t)2 * level, (number >> level & 1) != 0 ? "+/" : "a/", 2);
        }
        at = noc_subscribe_put_entry(
            at, &(struct noc_subscription){noc_slice(filter, 2 * (size_t)levels - 1), 0});
    }
    n = noc_subscribe_encode(NOC_V5, 1, BYTES("\x0b\1"),
        &(struct noc_slice){(const char *)entries, (size_t)(at - entries)}, packet,
        (entry_n << levels) + 20);
    assert_int_not_equal(n, 0);
    say(c, packet, n);
    free(entries);
    free(packet);
    heard(c);
}

static void more_nodes_than_fit_sixteen_bits_are_told_all(void **state)
{
    struct world w;
    struct client *b, *p;

    (void)state;
    world_init(&w);
    w.limits.max_output_bytes = 64u << 20;
    world_start(&w, 2);
    p = join_at(&w, 0, "p");
    b = join_at(&w, 1, "b");
    subscribe_to_all(b, 16);
    say_publish(p, 0, 0, "a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a", "x");
    assert_int_equal(hears_count(b, " 0b=1"), 1 << 16);
    world_close(&w);
}

static void the_nodes_of_a_letter_weigh(void **state)
{
    struct world w;
    struct client *b, *p;

    (void)state;
    world_open(&w, 2);
    p = join_at(&w, 0, "p");
    b = join_at(&w, 1, "b");
    subscribe_to_all(b, 10);
    w.is_frozen[1] = true;
    say_publish(p, 0, 0, "a/a/a/a/a/a/a/a/a/a", "x");
    assert_int_equal(noc_mailbox_weight_mt(&w.shards[1].mailbox), 8 + 1);
    world_close(&w);
}

static void many_sessions_are_found_again(void **state)
{
    enum { SESSIONS = 60 };
    struct world w;
    char id[16];

    (void)state;
    world_open(&w, 1);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < SESSIONS; i++) {
            struct client *c = dial(&w, 0, 0);

            snprintf(id, sizeof id, "client-%u", i);
            say_connect(c, (struct noc_connect){.version = NOC_V311, .client_id = TEXT(id)});
            hears(c, round == 0 ? "CONNACK sp0 rc0" : "CONNACK sp1 rc0");
            hang_up(c);
        }
    }
    assert_int_equal(world_count(&w, NOC_COUNT_SESSIONS), SESSIONS);
    world_close(&w);
}

static void stop(struct noc_shard *shard, const void *argument)
{
    (void)argument;
    noc_shard_stop(shard);
}

static void a_link_that_arrives_at_a_stopping_worker_is_refused(void **state)
{
    struct world w;
    struct client *b, *c;

    (void)state;
    world_open(&w, 2);
    b = dial(&w, 1, 0);
    say_connect(b, (struct noc_connect){.version = NOC_V311, .client_id = TEXT("b")});
    hang_up(b);
    world_do(&w, 1, stop, NULL);
    c = dial(&w, 0, 0);
    say_connect(c, (struct noc_connect){.version = NOC_V311, .client_id = TEXT("b")});
    hears(c, "CONNACK sp0 rc3; closed");
    assert_int_equal(world_count(&w, NOC_COUNT_SESSIONS), 1); /* The session is kept. */
    world_close(&w);
}

static void a_link_the_glue_ends_on_arrival_takes_nothing_over(void **state)
{
    struct world w;
    struct client *old, *c;

    (void)state;
    world_open(&w, 2);
    old = join_at(&w, 1, "b");
    c = dial(&w, 0, 0);
    c->fails_to_arrive = true;
    say_connect(c, (struct noc_connect){.version = NOC_V311, .client_id = TEXT("b")});
    hears(c, "closed");
    hears_nothing(old);
    hang_up(old);
    assert_int_equal(world_count(&w, NOC_COUNT_SESSIONS), 0);
    /* The directory has forgotten the id: its next home is the worker that is asked. */
    c = dial(&w, 0, 0);
    say_connect(c, (struct noc_connect){.version = NOC_V311, .client_id = TEXT("b")});
    assert_int_equal(c->moves, 0);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mail_nobody_drained_is_given_back),
        cmocka_unit_test(mail_of_a_turn_that_was_not_posted_is_given_back),
        cmocka_unit_test(a_message_for_more_nodes_than_a_record_usually_names_arrives_once),
        cmocka_unit_test(more_nodes_than_fit_sixteen_bits_are_told_all),
        cmocka_unit_test(the_nodes_of_a_letter_weigh),
        cmocka_unit_test(many_sessions_are_found_again),
        cmocka_unit_test(a_link_that_arrives_at_a_stopping_worker_is_refused),
        cmocka_unit_test(a_link_the_glue_ends_on_arrival_takes_nothing_over),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
