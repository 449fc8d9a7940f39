/* SPDX-License-Identifier: Apache-2.0 */
/* What sub shows instead of messages. */
#include "cli/client_view.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <noctule/error.h>

struct bench {
    struct noc_client_settings settings;
    struct noc_client_view view;
    struct noc_output_buffer output;
};

static void set_up(struct bench *bench, unsigned rows, unsigned columns)
{
    memset(&bench->output, 0, sizeof(bench->output));
    assert_true(noc_client_view_is_wanted(&bench->settings));
    noc_client_view_init(&bench->view, &bench->settings, 5000, rows, columns);
}

static void tear_down(struct bench *bench)
{
    noc_client_view_done(&bench->view);
    noc_output_buffer_done(&bench->output);
}

static void add(struct bench *bench, const char *topic, const char *payload)
{
    const struct noc_event event = {
        .kind = NOC_EVENT_MESSAGE, .topic = noc_slice_of(topic), .payload = noc_slice_of(payload)};

    assert_int_equal(noc_client_view_add(&bench->view, &event, &bench->output), NOC_OK);
}

static void expect(struct bench *bench, const char *text)
{
    if (!noc_slice_equal(
            noc_slice(bench->output.at, bench->output.n), noc_slice(text, strlen(text)))) {
        fail_msg("%.*s", (int)bench->output.n, bench->output.at);
    }
    bench->output.n = 0;
}

static void nothing_asked_for_is_no_view(void **state)
{
    struct noc_client_settings settings = {.version = 4};

    assert_false(noc_client_view_is_wanted(&settings));
}

static void the_rate_is_told_each_second(void **state)
{
    struct bench bench = {.settings = {.print_rate = true}};

    set_up(&bench, 0, 0);
    for (int i = 0; i < 7; i++) {
        add(&bench, "t", "x");
    }
    assert_int_equal(noc_client_view_wait_ms(&bench.view, 5400), 600);
    noc_client_view_draw(&bench.view, 5999, &bench.output);
    expect(&bench, "");
    assert_int_equal(noc_client_view_wait_ms(&bench.view, 6000), 0);
    noc_client_view_draw(&bench.view, 6000, &bench.output);
    expect(&bench, "7\n");
    add(&bench, "t", "x");
    noc_client_view_draw(&bench.view, 8000, &bench.output); /* late: two seconds */
    expect(&bench, "1\n");
    noc_client_view_finish(&bench.view, 8000, &bench.output);
    expect(&bench, "");
    tear_down(&bench);
}

static void statistics_count_all(void **state)
{
    struct bench bench = {.settings = {.show_stats = true}};

    set_up(&bench, 0, 0);
    add(&bench, "t", "12345");
    noc_client_view_draw(&bench.view, 6000, &bench.output);
    expect(&bench, "1 messages/s, 5 bytes/s; in all 1 messages, 5 bytes\n");
    add(&bench, "t", "1");
    noc_client_view_draw(&bench.view, 7000, &bench.output);
    expect(&bench, "1 messages/s, 1 bytes/s; in all 2 messages, 6 bytes\n");
    noc_client_view_finish(&bench.view, 7500, &bench.output);
    expect(&bench, "2 messages (0 retained), 6 bytes in 2.500 s: 1 messages/s\n");
    tear_down(&bench);
}

static void topics_make_a_tree(void **state)
{
    struct bench bench = {.settings = {.show_tree = true}};

    set_up(&bench, 0, 0);
    add(&bench, "house/kitchen/temp", "20");
    add(&bench, "garden/a/b", "x");
    add(&bench, "house/kitchen", "on");
    add(&bench, "house/kitchen/temp", "21");
    add(&bench, "/", "slash");
    add(&bench, "house", "\033[2J");
    noc_client_view_draw(&bench.view, 6000, &bench.output);
    expect(&bench, "");
    noc_client_view_finish(&bench.view, 7000, &bench.output);
    expect(&bench, "/\n"
                   "   = slash  (0/s, 1)\n"
                   "garden/\n"
                   "  a/\n"
                   "    b = x  (0/s, 1)\n"
                   "house = .[2J  (0/s, 1)\n"
                   "  kitchen = on  (0/s, 1)\n"
                   "    temp = 21  (0/s, 2)\n");
    tear_down(&bench);
}

static void a_terminal_is_drawn_anew_and_never_overfull(void **state)
{
    struct bench bench = {.settings = {.show_tree = true}};

    set_up(&bench, 4, 10); /* the cursor comes to stand on the last row */
    add(&bench, "a", "0123456789");
    add(&bench, "b", "\303\244");
    add(&bench, "c", "3");
    noc_client_view_draw(&bench.view, 6000, &bench.output);
    expect(&bench, "\033[H"
                   "\033[Ka = 012345\n"
                   "\033[Kb = \303\244  (1\n"
                   "\033[K... 1 more\n"
                   "\033[J");
    noc_client_view_finish(&bench.view, 6500, &bench.output);
    expect(&bench, "");
    tear_down(&bench);
}

static void a_deep_topic_does_not_overfill_the_screen(void **state)
{
    struct bench bench = {.settings = {.show_tree = true}};

    set_up(&bench, 5, 80);
    add(&bench, "1/2/3/4/5/6/7", "x");
    noc_client_view_draw(&bench.view, 6000, &bench.output);
    expect(&bench, "\033[H"
                   "\033[K1/\n"
                   "\033[K  2/\n"
                   "\033[K    3/\n"
                   "\033[K... 1 more topics\n"
                   "\033[J");
    tear_down(&bench);
}

static void nothing_that_a_terminal_obeys_is_drawn(void **state)
{
    struct bench bench = {.settings = {.show_tree = true}};

    set_up(&bench, 0, 0);
    add(&bench, "a\033b", "\302\233m\303\251\302\251\233\351\233x");
    noc_client_view_finish(&bench.view, 6000, &bench.output);
    expect(&bench, "a.b = ..m\303\251\302\251.\351\233x  (1/s, 1)\n");
    tear_down(&bench);
}

static void watched_topics_have_a_line_each(void **state)
{
    struct bench bench = {.settings = {.watch = true}};

    set_up(&bench, 20, 80);
    add(&bench, "b", "1");
    add(&bench, "a", "2");
    add(&bench, "b", "3");
    noc_client_view_draw(&bench.view, 6000, &bench.output);
    expect(&bench, "\033[H\033[Ka 2\n\033[Kb 3\n\033[J");
    tear_down(&bench);
    bench.settings.watch = true;
    set_up(&bench, 0, 0); /* no terminal */
    add(&bench, "b", "1");
    add(&bench, "b", "2");
    expect(&bench, "b 1\nb 2\n");
    tear_down(&bench);
}

static void topics_beyond_the_limit_are_only_counted(void **state)
{
    struct bench bench = {.settings = {.show_tree = true}};
    char name[16];

    set_up(&bench, 0, 0);
    for (unsigned i = 0; i < NOC_VIEW_TOPICS_MAX + 5; i++) {
        snprintf(name, sizeof(name), "%08u", i);
        add(&bench, name, "");
    }
    assert_int_equal(bench.view.topic_count, NOC_VIEW_TOPICS_MAX);
    assert_int_equal(bench.view.left_out, 5);
    assert_int_equal(bench.view.messages, NOC_VIEW_TOPICS_MAX + 5);
    tear_down(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_asked_for_is_no_view),
        cmocka_unit_test(the_rate_is_told_each_second),
        cmocka_unit_test(statistics_count_all),
        cmocka_unit_test(topics_make_a_tree),
        cmocka_unit_test(a_terminal_is_drawn_anew_and_never_overfull),
        cmocka_unit_test(a_deep_topic_does_not_overfill_the_screen),
        cmocka_unit_test(nothing_that_a_terminal_obeys_is_drawn),
        cmocka_unit_test(watched_topics_have_a_line_each),
        cmocka_unit_test(topics_beyond_the_limit_are_only_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
