/* SPDX-License-Identifier: Apache-2.0 */
/* Each call that allocates, with its n-th allocation failing, for every n. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "core/retained.h"
#include "failing_memory.h"
#include <noctule/error.h>

static struct noc_message *message_of(const char *topic, const char *payload)
{
    const struct noc_message_parts parts = {
        .topic = noc_slice_of(topic), .payload = noc_slice_of(payload)};

    return noc_message_new(&parts);
}

static void set_while_memory_fails(
    struct noc_retained *retained, const char *topic, const char *payload)
{
    struct noc_message *message = message_of(topic, payload);
    struct noc_message *before = noc_retained_get(retained, noc_slice_of(topic));
    struct noc_retained_counts counts, counts_after;
    int err = NOC_ENOMEM;

    noc_retained_counts_mt(retained, &counts);
    for (long n = 0; err != NOC_OK; n++) {
        struct noc_message *after;
        uint64_t version = 0;

        memory_left = n;
        err = noc_retained_set(retained, 0, message, &version);
        memory_left = -1;
        after = noc_retained_get(retained, noc_slice_of(topic));
        if (err != NOC_OK) {
            assert_int_equal(err, NOC_ENOMEM);
            assert_int_equal(version, 0);
            assert_ptr_equal(after, before);
            assert_int_equal(atomic_load(&message->references), 1);
            noc_retained_counts_mt(retained, &counts_after);
            assert_memory_equal(&counts, &counts_after, sizeof counts);
        } else {
            assert_ptr_equal(after, payload[0] == '\0' ? NULL : message);
        }
        noc_message_unref(after);
        assert_true(n < 10);
    }
    noc_message_unref(before);
    noc_message_unref(message);
}

static void setting_changes_nothing_when_memory_runs_out(void **state)
{
    struct noc_reclaim *reclaim = noc_reclaim_new(1);
    struct noc_retained *retained = noc_retained_new(3, reclaim);

    noc_reclaim_online(reclaim, 0);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 40; i++) {
            char topic[16];

            (void)snprintf(topic, sizeof topic, "a/%u", i);
            set_while_memory_fails(retained, topic, "payload");
        }
        noc_reclaim_quiescent(reclaim, 0);
    }
    for (unsigned i = 0; i < 40; i++) {
        char topic[16];
        struct noc_message *removal;

        (void)snprintf(topic, sizeof topic, "a/%u", i);
        removal = message_of(topic, "");
        memory_left = 0; /* removal needs none */
        assert_int_equal(noc_retained_set(retained, 0, removal, NULL), 0);
        memory_left = -1;
        noc_message_unref(removal);
    }
    noc_retained_free(retained);
    noc_reclaim_free(reclaim);
}

/* Every call fails at first: the walk is complete all the same, each topic once. */
static void a_walk_that_ran_out_of_memory_goes_on_where_it_was(void **state)
{
    static const char *const topics[] = {"a/1",
        "a/2/a-topic-too-long-for-the-first-piece-of-memory", "a/3",
        "a/4/another-topic-that-is-longer-still-so-that-the-position-has-to-grow-once-more"};
    struct noc_reclaim *reclaim = noc_reclaim_new(1);
    struct noc_retained *retained = noc_retained_new(3, reclaim);
    struct noc_retained_cursor cursor;
    struct noc_message *messages[8];
    unsigned seen = 0, failures = 0;

    noc_reclaim_online(reclaim, 0);
    for (unsigned i = 0; i < NOC_COUNT(topics); i++) {
        set_while_memory_fails(retained, topics[i], "x");
    }
    noc_retained_cursor_init(&cursor, noc_slice_of("a/#"));
    for (long n = 0; !cursor.is_done; n++) {
        int got;

        memory_left = n % 2;
        got = noc_retained_next(retained, &cursor, 100, messages, 8);
        memory_left = -1;
        failures += got == NOC_ENOMEM;
        for (int i = 0; i < got; i++) {
            assert_true(
                noc_slice_equal(noc_message_topic(messages[i]), noc_slice_of(topics[seen])));
            seen++;
            noc_message_unref(messages[i]);
        }
    }
    noc_retained_cursor_done(&cursor);
    assert_int_equal(seen, NOC_COUNT(topics));
    assert_true(failures > 0);
    noc_retained_free(retained);
    noc_reclaim_free(reclaim);
}

static void making_the_index_of_messages_fails_cleanly(void **state)
{
    struct noc_reclaim *reclaim = noc_reclaim_new(1);

    for (long n = 0; n < 3; n++) {
        struct noc_retained *retained;

        memory_left = n;
        retained = noc_retained_new(1, reclaim);
        memory_left = -1;
        assert_int_equal(retained == NULL, n < 2);
        noc_retained_free(retained);
    }
    memory_left = 0;
    assert_null(noc_reclaim_new(1));
    memory_left = 0;
    assert_null(message_of("a", "b"));
    memory_left = -1;
    noc_reclaim_free(reclaim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(setting_changes_nothing_when_memory_runs_out),
        cmocka_unit_test(a_walk_that_ran_out_of_memory_goes_on_where_it_was),
        cmocka_unit_test(making_the_index_of_messages_fails_cleanly),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
