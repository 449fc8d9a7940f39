/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/retained.h"
#include "mqtt/topic.h"
#include <noctule/error.h>

struct shelf {
    struct noc_reclaim *reclaim;
    struct noc_retained *retained;
};

static void shelf_init(struct shelf *shelf, unsigned workers)
{
    shelf->reclaim = noc_reclaim_new(workers);
    shelf->retained = noc_retained_new(7, shelf->reclaim);
    noc_reclaim_online(shelf->reclaim, 0);
}

static void shelf_done(struct shelf *shelf)
{
    noc_retained_free(shelf->retained);
    noc_reclaim_free(shelf->reclaim);
}

static struct noc_message *message_of(const char *topic, const char *payload)
{
    const struct noc_message_parts parts = {
        .topic = noc_slice_of(topic),
        .payload = noc_slice_of(payload),
        .expires_ms = NOC_NEVER_MS,
    };

    return noc_message_new(&parts);
}

/* Set, and give the maker's reference back. Returns the version. */
static uint64_t set(struct shelf *shelf, const char *topic, const char *payload)
{
    struct noc_message *message = message_of(topic, payload);
    uint64_t version = 0;

    assert_int_equal(noc_retained_set(shelf->retained, 0, message, &version), 0);
    noc_message_unref(message);
    return version;
}

static bool holds(struct shelf *shelf, const char *topic, const char *payload)
{
    struct noc_message *message = noc_retained_get(shelf->retained, noc_slice_of(topic));
    bool is_so = message != NULL &&
                 noc_slice_equal(noc_message_topic(message), noc_slice_of(topic)) &&
                 noc_slice_equal(noc_message_payload(message), noc_slice_of(payload));

    noc_message_unref(message);
    return is_so;
}

static bool is_empty_at(struct shelf *shelf, const char *topic)
{
    struct noc_message *message = noc_retained_get(shelf->retained, noc_slice_of(topic));

    noc_message_unref(message);
    return message == NULL;
}

/* All topics a filter yields, joined with blanks; asked for in portions. */
static void walk(struct shelf *shelf, const char *filter, unsigned visits_max, unsigned most,
    char *ret_text, size_t room)
{
    struct noc_retained_cursor cursor;
    struct noc_message *messages[8];
    size_t n = 0;

    ret_text[0] = '\0';
    noc_retained_cursor_init(&cursor, noc_slice_of(filter));
    while (!cursor.is_done) {
        int got = noc_retained_next(shelf->retained, &cursor, visits_max, messages, most);

        assert_in_range(got, 0, most);
        for (int i = 0; i < got; i++) {
            n += (size_t)snprintf(ret_text + n, room - n, "%s%.*s", n == 0 ? "" : " ",
                NOC_SLICE_ARG(noc_message_topic(messages[i])));
            noc_message_unref(messages[i]);
        }
        noc_reclaim_quiescent(shelf->reclaim, 0);
    }
    noc_retained_cursor_done(&cursor);
}

static void expect_walk(struct shelf *shelf, const char *filter, const char *expected)
{
    static const unsigned limits[][2] = {{100, 8}, {1, 1}, {2, 8}, {100, 1}, {3, 2}};

    for (unsigned i = 0; i < NOC_COUNT(limits); i++) {
        char text[4096];

        walk(shelf, filter, limits[i][0], limits[i][1], text, sizeof text);
        assert_string_equal(text, expected);
    }
}

/* ---- setting and getting ---- */

static void what_is_set_is_got(void **state)
{
    struct shelf shelf;

    shelf_init(&shelf, 1);
    assert_true(is_empty_at(&shelf, "a/b"));
    set(&shelf, "a/b", "1");
    set(&shelf, "a/c", "2");
    assert_true(holds(&shelf, "a/b", "1"));
    assert_true(holds(&shelf, "a/c", "2"));
    assert_true(is_empty_at(&shelf, "a"));
    shelf_done(&shelf);
}

static void a_later_message_replaces_the_one_before(void **state)
{
    struct shelf shelf;

    shelf_init(&shelf, 1);
    set(&shelf, "a", "1");
    set(&shelf, "a", "22");
    assert_true(holds(&shelf, "a", "22"));
    noc_reclaim_quiescent(shelf.reclaim, 0);
    set(&shelf, "a", "333");
    assert_true(holds(&shelf, "a", "333"));
    expect_walk(&shelf, "#", "a");
    shelf_done(&shelf);
}

/* [MQTT-3.3.1-6], [MQTT-3.3.1-7] */
static void an_empty_payload_removes(void **state)
{
    struct shelf shelf;

    shelf_init(&shelf, 1);
    set(&shelf, "a", "1");
    set(&shelf, "b", "1");
    set(&shelf, "a", "");
    assert_true(is_empty_at(&shelf, "a"));
    expect_walk(&shelf, "#", "b");
    set(&shelf, "a", ""); /* nothing there */
    set(&shelf, "a", "2");
    assert_true(holds(&shelf, "a", "2"));
    expect_walk(&shelf, "#", "a b");
    shelf_done(&shelf);
}

static void versions_rise_also_over_removal_and_return(void **state)
{
    struct shelf shelf;
    uint64_t last = 0;

    shelf_init(&shelf, 1);
    for (unsigned i = 0; i < 20; i++) {
        uint64_t version = set(&shelf, "a", i % 3 == 2 ? "" : "x");

        assert_true(version > last);
        last = version;
    }
    shelf_done(&shelf);
}

static void the_old_message_is_kept_for_those_who_read_it(void **state)
{
    struct shelf shelf;
    struct noc_message *first = message_of("a", "1");

    shelf_init(&shelf, 2);
    noc_reclaim_online(shelf.reclaim, 1);
    assert_int_equal(noc_retained_set(shelf.retained, 0, first, NULL), 0);
    assert_int_equal(atomic_load(&first->references), 2);
    set(&shelf, "a", "2");
    noc_reclaim_quiescent(shelf.reclaim, 0);
    assert_int_equal(atomic_load(&first->references), 2); /* reader 1 may look at it */
    noc_reclaim_quiescent(shelf.reclaim, 1);
    noc_reclaim_quiescent(shelf.reclaim, 0);
    assert_int_equal(atomic_load(&first->references), 1);
    noc_message_unref(first);
    shelf_done(&shelf);
}

static void an_expired_message_is_removed_only_if_it_is_still_there(void **state)
{
    struct shelf shelf;
    struct noc_message *old;

    shelf_init(&shelf, 1);
    set(&shelf, "a", "old");
    old = noc_retained_get(shelf.retained, noc_slice_of("a"));
    set(&shelf, "a", "new");
    assert_int_equal(noc_retained_remove_if(shelf.retained, 0, old), 0);
    assert_true(holds(&shelf, "a", "new"));
    noc_message_unref(old);
    old = noc_retained_get(shelf.retained, noc_slice_of("a"));
    assert_true(noc_retained_remove_if(shelf.retained, 0, old) > old->retained_version);
    assert_true(is_empty_at(&shelf, "a"));
    assert_int_equal(noc_retained_remove_if(shelf.retained, 0, old), 0);
    noc_message_unref(old);
    shelf_done(&shelf);
}

static void counts_follow_the_messages(void **state)
{
    struct shelf shelf;
    struct noc_retained_counts counts;

    shelf_init(&shelf, 1);
    set(&shelf, "a", "12345");
    set(&shelf, "bb", "1");
    set(&shelf, "a", "123");
    noc_retained_counts_mt(shelf.retained, &counts);
    assert_int_equal(counts.messages, 2);
    assert_int_equal(counts.bytes, 3 + 1);
    set(&shelf, "a", "");
    set(&shelf, "bb", "");
    noc_retained_counts_mt(shelf.retained, &counts);
    assert_int_equal(counts.messages, 0);
    assert_int_equal(counts.bytes, 0);
    shelf_done(&shelf);
}

/* The leak checker judges. */
static void the_order_of_freeing_does_not_matter(void **state)
{
    struct shelf shelf;

    for (unsigned i = 0; i < 2; i++) {
        shelf_init(&shelf, 2);
        noc_reclaim_online(shelf.reclaim, 1);
        set(&shelf, "a", "1");
        set(&shelf, "a", "2");
        set(&shelf, "b", "1");
        noc_reclaim_quiescent(shelf.reclaim, 0);
        set(&shelf, "b", "");
        set(&shelf, "c", "1");
        if (i == 0) {
            shelf_done(&shelf);
        } else {
            noc_reclaim_free(shelf.reclaim);
            noc_retained_free(shelf.retained);
        }
    }
    noc_retained_free(NULL);
}

/* ---- walking ---- */

static void fill(struct shelf *shelf)
{
    static const char *const topics[] = {"a/c", "a", "$SYS/up", "a!", "a/b/c", "a/b", "b/a", "/",
        "a0", "ab", "a-b/c", "a/", "a/b!/c", "a//c", "!", "c/b/c/d"};

    for (unsigned i = 0; i < NOC_COUNT(topics); i++) {
        set(shelf, topics[i], "x");
    }
}

static void walks_go_in_byte_order_over_what_matches(void **state)
{
    struct shelf shelf;

    shelf_init(&shelf, 1);
    expect_walk(&shelf, "#", "");
    expect_walk(&shelf, "a/+", "");
    fill(&shelf);
    expect_walk(&shelf, "#", "! / a a! a-b/c a/ a//c a/b a/b!/c a/b/c a/c a0 ab b/a c/b/c/d");
    expect_walk(&shelf, "a/#", "a a/ a//c a/b a/b!/c a/b/c a/c");
    expect_walk(&shelf, "a/+", "a/ a/b a/c");
    expect_walk(&shelf, "a/+/c", "a//c a/b!/c a/b/c");
    expect_walk(&shelf, "+", "! a a! a0 ab");
    expect_walk(&shelf, "+/+", "/ a-b/c a/ a/b a/c b/a");
    expect_walk(&shelf, "+/b/#", "a/b a/b/c c/b/c/d");
    expect_walk(&shelf, "+/b/c", "a/b/c");
    expect_walk(&shelf, "a/b/#", "a/b a/b/c");
    expect_walk(&shelf, "/#", "/");
    expect_walk(&shelf, "/+", "/");
    expect_walk(&shelf, "z/#", "");
    expect_walk(&shelf, "+/+/+/+", "c/b/c/d");
    expect_walk(&shelf, "+/+/c/#", "a//c a/b!/c a/b/c c/b/c/d");
    shelf_done(&shelf);
}

/* [MQTT-4.7.2-1] */
static void dollar_topics_are_walked_only_when_asked_for(void **state)
{
    struct shelf shelf;

    shelf_init(&shelf, 1);
    set(&shelf, "$SYS/up", "1");
    set(&shelf, "$", "1");
    set(&shelf, "#no", "1"); /* sorts before '$'; no valid topic, but order is all that counts */
    set(&shelf, "%", "1");
    expect_walk(&shelf, "#", "#no %");
    expect_walk(&shelf, "+/up", "");
    expect_walk(&shelf, "$SYS/#", "$SYS/up");
    expect_walk(&shelf, "$SYS/+", "$SYS/up");
    expect_walk(&shelf, NULL, "#no $ $SYS/up %"); /* everything: the store asks so */
    shelf_done(&shelf);
}

static void a_filter_without_wildcard_is_looked_up(void **state)
{
    struct shelf shelf;

    shelf_init(&shelf, 1);
    fill(&shelf);
    expect_walk(&shelf, "a/b", "a/b");
    expect_walk(&shelf, "a/x", "");
    expect_walk(&shelf, "$SYS/up", "$SYS/up");
    shelf_done(&shelf);
}

static void a_cursor_survives_the_removal_of_where_it_stands(void **state)
{
    struct shelf shelf;
    struct noc_retained_cursor cursor;
    struct noc_message *message;

    shelf_init(&shelf, 1);
    set(&shelf, "a/1", "x");
    set(&shelf, "a/2", "x");
    set(&shelf, "a/3", "x");
    noc_retained_cursor_init(&cursor, noc_slice_of("a/+"));
    assert_int_equal(noc_retained_next(shelf.retained, &cursor, 10, &message, 1), 1);
    noc_message_unref(message);
    set(&shelf, "a/1", "");
    set(&shelf, "a/2", "");
    set(&shelf, "a/11", "x");
    noc_reclaim_quiescent(shelf.reclaim, 0);
    assert_int_equal(noc_retained_next(shelf.retained, &cursor, 10, &message, 1), 1);
    assert_true(noc_slice_equal(noc_message_topic(message), noc_slice_of("a/11")));
    noc_message_unref(message);
    assert_int_equal(noc_retained_next(shelf.retained, &cursor, 10, &message, 1), 1);
    assert_true(noc_slice_equal(noc_message_topic(message), noc_slice_of("a/3")));
    noc_message_unref(message);
    assert_true(cursor.is_done);
    assert_int_equal(noc_retained_next(shelf.retained, &cursor, 10, &message, 1), 0);
    noc_retained_cursor_done(&cursor);
    shelf_done(&shelf);
}

static void a_cursor_may_be_given_up_at_any_time(void **state)
{
    struct shelf shelf;
    struct noc_retained_cursor cursor;
    struct noc_message *message;

    shelf_init(&shelf, 1);
    noc_retained_cursor_init(&cursor, noc_slice_of("#"));
    noc_retained_cursor_done(&cursor);
    fill(&shelf);
    noc_retained_cursor_init(&cursor, noc_slice_of("#"));
    assert_int_equal(noc_retained_next(shelf.retained, &cursor, 10, &message, 1), 1);
    noc_message_unref(message);
    assert_int_equal(noc_retained_next(shelf.retained, &cursor, 10, &message, 0), 0);
    assert_int_equal(noc_retained_next(shelf.retained, &cursor, 0, &message, 1), 0);
    assert_false(cursor.is_done);
    noc_retained_cursor_done(&cursor);
    shelf_done(&shelf);
}

/* Counted in visits: a walk that looked at everything would need 10,100 of them. */
static void a_wildcard_in_the_middle_costs_by_its_matches(void **state)
{
    struct shelf shelf;
    struct noc_retained_cursor cursor;
    struct noc_message *messages[8];
    unsigned calls = 0, found = 0;

    shelf_init(&shelf, 1);
    for (unsigned i = 0; i < 100; i++) {
        for (unsigned k = 0; k < 100; k++) {
            char topic[32];

            (void)snprintf(topic, sizeof topic, "a/%u/%u", i, k);
            set(&shelf, topic, "x");
        }
        noc_reclaim_quiescent(shelf.reclaim, 0);
    }
    noc_retained_cursor_init(&cursor, noc_slice_of("a/+/55"));
    while (!cursor.is_done) {
        int got = noc_retained_next(shelf.retained, &cursor, 1, messages, 8);

        for (int i = 0; i < got; i++) {
            noc_message_unref(messages[i]);
        }
        found += (unsigned)got;
        calls++;
    }
    noc_retained_cursor_done(&cursor);
    assert_int_equal(found, 100);
    assert_in_range(calls, 200, 320);
    shelf_done(&shelf);
}

/* ---- against the definition ---- */

enum { TOPICS = 160, ROUNDS = 3000 };

static unsigned random_next(uint64_t *random)
{
    *random = *random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(*random >> 33);
}

enum { TEXT_ROOM = 32 };

/* Appends to text, which has TEXT_ROOM bytes. */
static void append(char *text, const char *more)
{
    size_t n = strlen(text);

    assert_true(n + strlen(more) < TEXT_ROOM);
    memcpy(text + n, more, strlen(more) + 1);
}

static void random_text(uint64_t *random, char *text, bool is_filter)
{
    static const char *const levels[] = {"a", "b", "a!", "", "$x", "ab", "0", "a0", "+", "+", "+"};
    unsigned count = random_next(random) % 4 + 1;

    text[0] = '\0';
    for (unsigned i = 0; i < count; i++) {
        append(text, i == 0 ? "" : "/");
        append(text, levels[random_next(random) % (is_filter ? 11 : 8)]);
    }
    if (is_filter && random_next(random) % 3 == 0) {
        append(text, "/#");
    }
    if (text[0] == '\0') {
        append(text, is_filter ? "#" : "a");
    }
}

struct expected {
    char topic[TEXT_ROOM];
    bool is_set;    /* now */
    bool is_stable; /* through the whole of this walk */
    unsigned seen;
};

/* Set or remove one at random. Two entries of the same text would spoil it: the first is used. */
static void change_one(struct shelf *shelf, struct expected *topics, uint64_t *random)
{
    struct expected *at = &topics[random_next(random) % TOPICS];

    for (struct expected *first = topics; first < at; first++) {
        if (strcmp(first->topic, at->topic) == 0) {
            at = first;
            break;
        }
    }
    at->is_set = random_next(random) % 2 == 0;
    at->is_stable = false;
    set(shelf, at->topic, at->is_set ? "x" : "");
}

static struct expected *find_expected(struct expected *topics, struct noc_slice topic)
{
    for (unsigned i = 0; i < TOPICS; i++) {
        if (noc_slice_equal(noc_slice_of(topics[i].topic), topic)) {
            return &topics[i];
        }
    }
    return NULL;
}

static void take_portion(struct shelf *shelf, struct expected *topics,
    struct noc_retained_cursor *cursor, struct noc_slice *last, char *last_text, uint64_t *random)
{
    struct noc_message *messages[4];
    unsigned most = random_next(random) % 4 + 1;
    int got =
        noc_retained_next(shelf->retained, cursor, random_next(random) % 5 + 1, messages, most);

    assert_in_range(got, 0, most);
    for (int i = 0; i < got; i++) {
        struct noc_slice topic = noc_message_topic(messages[i]);
        struct expected *at = find_expected(topics, topic);

        assert_non_null(at);
        assert_true(noc_filter_matches(cursor->filter, topic));
        assert_true(noc_slice_compare(*last, topic) < 0);
        at->seen++;
        memcpy(last_text, topic.at, topic.n);
        *last = noc_slice(last_text, topic.n);
        noc_message_unref(messages[i]);
    }
}

/* One walk; between its portions topics come and go. */
static void walk_among_changes(struct shelf *shelf, struct expected *topics, uint64_t *random)
{
    struct noc_retained_cursor cursor;
    struct noc_slice last = noc_slice("", 0);
    char filter[TEXT_ROOM], last_text[TEXT_ROOM];

    for (unsigned i = 0; i < TOPICS; i++) {
        topics[i].is_stable = topics[i].is_set;
        topics[i].seen = 0;
    }
    random_text(random, filter, true);
    noc_retained_cursor_init(&cursor, noc_slice_of(filter));
    while (!cursor.is_done) {
        take_portion(shelf, topics, &cursor, &last, last_text, random);
        for (unsigned i = random_next(random) % 3; i > 0; i--) {
            change_one(shelf, topics, random);
        }
        noc_reclaim_quiescent(shelf->reclaim, 0);
    }
    noc_retained_cursor_done(&cursor);
    for (unsigned i = 0; i < TOPICS; i++) {
        bool matches = noc_filter_matches(noc_slice_of(filter), noc_slice_of(topics[i].topic));

        if (topics[i].seen > 1 || (topics[i].is_stable && (topics[i].seen == 1) != matches)) {
            fail_msg(
                "filter \"%s\" topic \"%s\": seen %u", filter, topics[i].topic, topics[i].seen);
        }
    }
}

static void walks_agree_with_the_definition_while_topics_come_and_go(void **state)
{
    const char *given = getenv("NOC_TEST_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
    struct expected *topics = calloc(TOPICS, sizeof *topics);
    struct shelf shelf;

    print_message("# NOC_TEST_SEED=%llu\n", (unsigned long long)seed);
    shelf_init(&shelf, 1);
    for (unsigned i = 0; i < TOPICS; i++) {
        random_text(&seed, topics[i].topic, false);
    }
    for (unsigned i = 0; i < 2 * TOPICS; i++) {
        change_one(&shelf, topics, &seed);
    }
    for (unsigned round = 0; round < ROUNDS; round++) {
        walk_among_changes(&shelf, topics, &seed);
    }
    shelf_done(&shelf);
    free(topics);
}

/* ---- threads ---- */

enum { THREADS_MAX = 8, TURNS = 4000, STABLE = 20, MOVING = 60 };

struct hand {
    struct shelf *shelf;
    unsigned worker;
    bool has_failed;
};

static void publish(struct hand *hand, uint64_t *random)
{
    char topic[32];
    struct noc_message *message;

    (void)snprintf(topic, sizeof topic, "m/%u/x", random_next(random) % MOVING);
    message = message_of(topic, random_next(random) % 3 == 0 ? "" : "payload");
    hand->has_failed |=
        noc_retained_set(hand->shelf->retained, hand->worker, message, NULL) != NOC_OK;
    noc_message_unref(message);
}

static unsigned take_some(struct hand *hand, struct noc_retained_cursor *cursor)
{
    struct noc_message *messages[16];
    int got = noc_retained_next(hand->shelf->retained, cursor, 20, messages, 16);
    unsigned stable = 0;

    for (int i = 0; i < got; i++) {
        struct noc_slice topic = noc_message_topic(messages[i]);

        hand->has_failed |= !noc_filter_matches(cursor->filter, topic);
        hand->has_failed |= noc_message_payload(messages[i]).n != 7;
        stable += topic.at[0] == 's';
        noc_message_unref(messages[i]);
    }
    return stable;
}

static void *work(void *argument)
{
    static const char *const filters[] = {"#", "+/+/x", "s/#"};
    struct hand *hand = argument;
    struct noc_reclaim *reclaim = hand->shelf->reclaim;
    uint64_t random = hand->worker + 1;

    noc_reclaim_online(reclaim, hand->worker);
    for (unsigned turn = 0; turn < TURNS;) {
        struct noc_retained_cursor cursor;
        unsigned stable = 0;

        noc_retained_cursor_init(&cursor, noc_slice_of(filters[random_next(&random) % 3]));
        for (; !cursor.is_done; turn++) {
            publish(hand, &random);
            stable += take_some(hand, &cursor);
            noc_reclaim_quiescent(reclaim, hand->worker);
        }
        noc_retained_cursor_done(&cursor);
        hand->has_failed |= stable != STABLE;
    }
    noc_reclaim_offline(reclaim, hand->worker);
    return NULL;
}

static void run_threads(unsigned count)
{
    struct shelf shelf;
    struct hand hands[THREADS_MAX];
    pthread_t threads[THREADS_MAX];

    shelf_init(&shelf, count);
    for (unsigned i = 0; i < STABLE; i++) {
        char topic[32];

        (void)snprintf(topic, sizeof topic, "s/%u/x", i);
        set(&shelf, topic, "payload");
    }
    noc_reclaim_offline(shelf.reclaim, 0);
    for (unsigned i = 0; i < count; i++) {
        hands[i] = (struct hand){&shelf, i, false};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &hands[i]), 0);
    }
    for (unsigned i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
        assert_false(hands[i].has_failed);
    }
    shelf_done(&shelf);
}

static void walks_beside_writers_miss_nothing_that_stays(void **state)
{
    run_threads(1);
    run_threads(2);
    run_threads(4);
    run_threads(8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_set_is_got),
        cmocka_unit_test(a_later_message_replaces_the_one_before),
        cmocka_unit_test(an_empty_payload_removes),
        cmocka_unit_test(versions_rise_also_over_removal_and_return),
        cmocka_unit_test(the_old_message_is_kept_for_those_who_read_it),
        cmocka_unit_test(an_expired_message_is_removed_only_if_it_is_still_there),
        cmocka_unit_test(counts_follow_the_messages),
        cmocka_unit_test(the_order_of_freeing_does_not_matter),
        cmocka_unit_test(walks_go_in_byte_order_over_what_matches),
        cmocka_unit_test(dollar_topics_are_walked_only_when_asked_for),
        cmocka_unit_test(a_filter_without_wildcard_is_looked_up),
        cmocka_unit_test(a_cursor_survives_the_removal_of_where_it_stands),
        cmocka_unit_test(a_cursor_may_be_given_up_at_any_time),
        cmocka_unit_test(a_wildcard_in_the_middle_costs_by_its_matches),
        cmocka_unit_test(walks_agree_with_the_definition_while_topics_come_and_go),
        cmocka_unit_test(walks_beside_writers_miss_nothing_that_stays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
