/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>

#include "core/message.h"

static struct noc_message_parts sample(void)
{
    return (struct noc_message_parts){
        .topic = noc_slice_of("a/b"),
        .props = noc_slice("\x01\x01", 2),
        .payload = noc_slice_of("payload"),
        .qos = 2,
        .retain = true,
        .expires_ms = 1234,
        .publisher_number = 99,
    };
}

static void a_message_gives_back_the_parts_it_was_built_from(void **state)
{
    const struct noc_message_parts parts = sample();
    struct noc_message *message = noc_message_new(&parts);
    struct noc_message_parts again;

    assert_non_null(message);
    again = noc_message_parts(message);
    assert_true(noc_slice_equal(again.topic, parts.topic));
    assert_true(noc_slice_equal(again.props, parts.props));
    assert_true(noc_slice_equal(again.payload, parts.payload));
    assert_int_equal(again.qos, 2);
    assert_true(again.retain);
    assert_int_equal(again.expires_ms, 1234);
    assert_int_equal(again.publisher_number, 99);
    assert_true(noc_slice_equal(noc_message_topic(message), parts.topic));
    assert_true(noc_slice_equal(noc_message_payload(message), parts.payload));
    noc_message_unref(message);
}

static void a_message_lies_as_topic_properties_payload(void **state)
{
    const struct noc_message_parts parts = sample();
    struct noc_message *message = noc_message_new(&parts);

    assert_memory_equal(message->data, "a/b\x01\x01payload", 12);
    noc_message_unref(message);
}

static void absent_parts_are_empty(void **state)
{
    const struct noc_message_parts parts = {.topic = noc_slice_of("t"), .expires_ms = NOC_NEVER_MS};
    struct noc_message *message = noc_message_new(&parts);
    struct noc_message_parts again = noc_message_parts(message);

    assert_int_equal(again.props.n, 0);
    assert_int_equal(again.payload.n, 0);
    assert_int_equal(again.topic.n, 1);
    noc_message_unref(message);
}

static void the_longest_topic_fits(void **state)
{
    static char text[UINT16_MAX];
    struct noc_message_parts parts = {.topic = noc_slice(text, sizeof text)};
    struct noc_message *message;

    memset(text, 'x', sizeof text);
    message = noc_message_new(&parts);
    assert_int_equal(noc_message_topic(message).n, UINT16_MAX);
    noc_message_unref(message);
}

static void null_is_accepted(void **state)
{
    assert_null(noc_message_ref(NULL));
    noc_message_unref(NULL);
}

static void a_message_lives_until_its_last_reference_goes(void **state)
{
    const struct noc_message_parts parts = sample();
    struct noc_message *message = noc_message_new(&parts);

    assert_ptr_equal(noc_message_ref(message), message);
    noc_message_unref(message);
    assert_memory_equal(noc_message_payload(message).at, "payload", 7);
    noc_message_unref(message);
}

enum { ROUNDS = 20000 };

static void *ref_and_unref(void *argument)
{
    struct noc_message *message = argument;

    for (int i = 0; i < ROUNDS; i++) {
        noc_message_unref(noc_message_ref(message));
    }
    noc_message_unref(message);
    return NULL;
}

static void references_from_many_threads_add_up(void **state)
{
    const struct noc_message_parts parts = sample();
    struct noc_message *message = noc_message_new(&parts);
    pthread_t threads[4];

    for (int i = 0; i < 4; i++) {
        assert_int_equal(
            pthread_create(&threads[i], NULL, ref_and_unref, noc_message_ref(message)), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(atomic_load(&message->references), 1);
    noc_message_unref(message);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_gives_back_the_parts_it_was_built_from),
        cmocka_unit_test(a_message_lies_as_topic_properties_payload),
        cmocka_unit_test(absent_parts_are_empty),
        cmocka_unit_test(the_longest_topic_fits),
        cmocka_unit_test(null_is_accepted),
        cmocka_unit_test(a_message_lives_until_its_last_reference_goes),
        cmocka_unit_test(references_from_many_threads_add_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
