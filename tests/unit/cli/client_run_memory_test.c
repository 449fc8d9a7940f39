/* SPDX-License-Identifier: Apache-2.0 */
/* Setting up a connection, and keeping messages, with the n-th allocation failing, for every n. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static long allocations_left; /* until one fails */

static int may_allocate(void)
{
    return allocations_left-- > 0;
}

static void *failing_malloc(size_t n)
{
    return may_allocate() ? malloc(n) : NULL;
}

static void *failing_calloc(size_t n, size_t size)
{
    return may_allocate() ? calloc(n, size) : NULL;
}

static void *failing_realloc(void *memory, size_t n)
{
    return may_allocate() ? realloc(memory, n) : NULL;
}

#define malloc  failing_malloc
#define calloc  failing_calloc
#define realloc failing_realloc
#include "cli/client_connect.c"
#include "cli/client_sub.c"
#include "cli/client_view.c"
#undef malloc
#undef calloc
#undef realloc

enum { MANY = 100 };

static void every_failing_allocation_of_a_link_is_told(void **state)
{
    static const uint8_t props[] = {NOC_PROP_RECEIVE_MAXIMUM, 0, 20, NOC_PROP_TOPIC_ALIAS_MAXIMUM,
        1, 44, NOC_PROP_SESSION_EXPIRY, 0, 0, 0, 5};
    static const char *const headers[] = {"A: b", "C: d"};
    static const struct noc_link_sizes sizes = {.in = 1024, .out = 1024, .outbox = 1024};
    const char *header_list[2] = {headers[0], headers[1]};
    const struct noc_client_settings settings = {
        .program = "noctule sub",
        .host = "::1",
        .port = 9001,
        .is_ws = true,
        .ws_path = "/mqtt",
        .headers = {header_list, 2},
        .version = 5,
        .is_clean = true,
        .props = {[NOC_CLIENT_PROPS_CONNECT] = {(const char *)props, sizeof(props)}},
    };
    struct noc_output_buffer lines = {NULL, 0, 0};
    long n = 0;
    int err;

    do {
        struct noc_client_link link = {.settings = NULL};
        struct noc_client_failure failure = {.text = ""};

        allocations_left = n++;
        err = noc_client_link_init(&link, &settings, &sizes, &lines, &failure);
        if (err == NOC_OK) {
            /* What the client writes itself is taken out; the rest stays. */
            assert_int_equal(link.options.connect_props.n, 5);
            assert_int_equal(link.options.aliases->count, ALIASES_MAX);
            assert_string_equal(link.ws_host, "[::1]:9001");
            assert_string_equal(link.ws_headers, "A: b\r\nC: d\r\n");
        } else {
            assert_int_equal(err, NOC_ENOMEM);
            assert_int_equal(failure.status, NOC_EXIT_ERROR);
            assert_string_equal(failure.text, "Error: Out of memory.\n");
        }
        noc_client_link_done(&link);
    } while (err != NOC_OK && n < MANY);
    assert_int_equal(err, NOC_OK);
    assert_true(n > 7);
    noc_output_buffer_done(&lines);
}

/* A run of sub that has not connected, with room for its messages. */
struct bench {
    struct noc_client_settings settings;
    struct sub sub;
    struct noc_client_run run;
};

static void set_up(struct bench *bench)
{
    memset(bench, 0, sizeof(*bench));
    bench->settings.is_quiet = true;
    bench->settings.is_debug = true;
    bench->settings.random_filter = RANDOM_ALL;
    bench->sub.settings = &bench->settings;
    bench->run.settings = &bench->settings;
    bench->run.state = &bench->sub;
}

static void tear_down(struct bench *bench)
{
    held_free_all(bench->sub.waiting);
    held_free_all(bench->sub.removals);
    free(bench->sub.large);
    noc_output_buffer_done(&bench->run.output);
}

static void a_message_that_cannot_be_kept_ends_sub(void **state)
{
    const struct noc_event message = {.kind = NOC_EVENT_MESSAGE,
        .qos = 1,
        .packet_id = 1,
        .topic = {"t", 1},
        .payload = {"abc", 3},
        .size = 3};
    struct noc_event begin = message;
    struct bench bench;

    set_up(&bench);
    allocations_left = 0;
    on_event(&bench.run, &message);
    assert_true(bench.run.is_ending);
    assert_int_equal(bench.run.status, NOC_EXIT_ERROR);
    tear_down(&bench);

    set_up(&bench);
    begin.kind = NOC_EVENT_MESSAGE_BEGIN;
    begin.payload = noc_slice(NULL, 0);
    on_event(&bench.run, &begin);
    assert_true(bench.run.is_ending);
    add_large(&bench.run, noc_slice("abc", 3)); /* what comes on of it is dropped */
    end_large(&bench.run);
    assert_null(bench.sub.waiting);
    tear_down(&bench);
}

static void a_message_in_pieces_is_put_together(void **state)
{
    static const char raw[] = {NOC_PROP_CONTENT_TYPE, 0, 1, 'x'};
    struct noc_event begin = {.kind = NOC_EVENT_MESSAGE_BEGIN,
        .qos = 1,
        .packet_id = 7,
        .topic = {"t", 1},
        .size = 5,
        .props = {.raw = {raw, sizeof(raw)}, .content_type = {raw + 3, 1}}};
    struct noc_event chunk = {.kind = NOC_EVENT_MESSAGE_CHUNK};
    struct bench bench;
    struct held *held;

    set_up(&bench);
    allocations_left = MANY;
    on_event(&bench.run, &begin);
    chunk.payload = noc_slice("abc", 3);
    on_event(&bench.run, &chunk);
    chunk.payload = noc_slice("de", 2);
    on_event(&bench.run, &chunk);
    chunk.payload = noc_slice("!", 1); /* more than was said: left out */
    on_event(&bench.run, &chunk);
    end_large(&bench.run);
    held = bench.sub.waiting;
    assert_non_null(held);
    assert_memory_equal(held->event.payload.at, "abcde", 5);
    assert_ptr_equal(held->event.topic.at, held->bytes);
    assert_true(held->event.props.content_type.at == held->event.props.raw.at + 3);
    tear_down(&bench);
}

static void a_view_without_memory_says_so(void **state)
{
    const struct noc_client_settings settings = {.show_tree = true};
    const struct noc_event event = {.kind = NOC_EVENT_MESSAGE, .topic = {"a", 1}};
    struct noc_output_buffer output = {NULL, 0, 0};
    struct noc_client_view view;
    long n = 0;
    int err;

    noc_client_view_init(&view, &settings, 0, 0, 0);
    do {
        allocations_left = n++;
        err = noc_client_view_add(&view, &event, &output);
        assert_true(err == NOC_OK || err == NOC_ENOMEM);
    } while (err != NOC_OK && n < MANY);
    assert_int_equal(err, NOC_OK);
    assert_int_equal(view.topic_count, 1);
    noc_client_view_done(&view);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_failing_allocation_of_a_link_is_told),
        cmocka_unit_test(a_message_that_cannot_be_kept_ends_sub),
        cmocka_unit_test(a_message_in_pieces_is_put_together),
        cmocka_unit_test(a_view_without_memory_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
