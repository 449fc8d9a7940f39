/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/client_view.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/client_trace.h"
#include <noctule/error.h>

enum { TICK_MS = 1000, INDENT = 2, ROOM_MIN = 64 };

bool noc_client_view_is_wanted(const struct noc_client_settings *settings)
{
    return settings->show_tree || settings->show_stats || settings->watch || settings->print_rate;
}

void noc_client_view_init(struct noc_client_view *view, const struct noc_client_settings *settings,
    uint32_t now_ms, unsigned rows, unsigned columns)
{
    *view = (struct noc_client_view){.settings = settings,
        .start_ms = now_ms,
        .drawn_ms = now_ms,
        .rows = rows,
        .columns = columns};
}

void noc_client_view_done(struct noc_client_view *view)
{
    for (size_t i = 0; i < view->topic_count; i++) {
        free(view->topics[i].name);
    }
    free(view->topics);
}

/* ---- topics ---- */

/* Where a topic stands, or would stand. */
static size_t find_place(
    const struct noc_client_view *view, struct noc_slice name, bool *ret_is_there)
{
    size_t low = 0, high = view->topic_count;

    *ret_is_there = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = noc_slice_compare(noc_slice_of(view->topics[middle].name), name);

        if (order == 0) {
            *ret_is_there = true;
            return middle;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static int insert_topic(struct noc_client_view *view, size_t at, struct noc_slice name)
{
    char *copy;

    if (view->topic_count == view->topic_room) {
        size_t room = view->topic_room == 0 ? ROOM_MIN : view->topic_room * 2;
        struct noc_view_topic *topics = realloc(view->topics, room * sizeof(*topics));

        if (topics == NULL) {
            return NOC_ENOMEM;
        }
        view->topics = topics;
        view->topic_room = room;
    }
    copy = malloc(name.n + 1);
    if (copy == NULL) {
        return NOC_ENOMEM;
    }
    if (name.n > 0) {
        memcpy(copy, name.at, name.n);
    }
    copy[name.n] = '\0';
    memmove(
        &view->topics[at + 1], &view->topics[at], (view->topic_count - at) * sizeof(*view->topics));
    view->topics[at] = (struct noc_view_topic){.name = copy};
    view->topic_count++;
    return NOC_OK;
}

/* The start of a payload, fit for a terminal. */
static void keep_value(char value[NOC_VIEW_VALUE_SIZE], struct noc_slice payload)
{
    size_t n = payload.n < NOC_VIEW_VALUE_SIZE - 1 ? payload.n : NOC_VIEW_VALUE_SIZE - 1;

    if (n > 0) {
        memcpy(value, payload.at, n);
    }
    noc_client_tame(value, n, '.');
    value[n] = '\0';
}

int noc_client_view_add(
    struct noc_client_view *view, const struct noc_event *event, struct noc_output_buffer *output)
{
    const struct noc_client_settings *settings = view->settings;
    bool is_there;
    size_t at;

    view->messages++;
    view->bytes += event->payload.n;
    view->retained += event->retain;
    if (!settings->show_tree && !settings->watch) {
        return NOC_OK;
    }
    at = find_place(view, event->topic, &is_there);
    if (!is_there && view->topic_count >= NOC_VIEW_TOPICS_MAX) {
        view->left_out++;
        return NOC_OK;
    }
    if (!is_there) {
        int err = insert_topic(view, at, event->topic);

        if (err != NOC_OK) {
            return err;
        }
    }
    view->topics[at].count++;
    keep_value(view->topics[at].value, event->payload);
    if (settings->watch && view->rows == 0) {
        noc_client_trace_print(output, "%s %s", view->topics[at].name, view->topics[at].value);
    }
    return NOC_OK;
}

/* ---- drawing ---- */

/* What a terminal is to obey. If memory is short it is left out. */
static void print_sequence(struct noc_output_buffer *output, const char *sequence)
{
    size_t n = strlen(sequence);

    if (noc_output_buffer_reserve(output, n) == NOC_OK) {
        memcpy(output->at + output->n, sequence, n);
        output->n += n;
    }
}

/* A line of the screen, cut to its width. Control characters of topics are taken out. */
static void print_line(
    const struct noc_client_view *view, struct noc_output_buffer *output, char *line)
{
    size_t n = strlen(line);

    noc_client_tame(line, n, '.');
    if (view->columns > 0 && n > view->columns) {
        n = view->columns;
        while (n > 0 && ((unsigned char)line[n] & 0xc0) == 0x80) {
            n--; /* not in the middle of a character */
        }
    }
    if (view->rows > 0) {
        print_sequence(output, "\033[K");
    }
    noc_client_trace_print(output, "%.*s", (int)n, line);
}

/*
 * How much of two topics is the same, in whole levels, *ret_levels of them: those have their
 * line already. ("a" stands for the level "a/" of "a/b".)
 */
static size_t common_levels(const char *before, const char *name, unsigned *ret_levels)
{
    size_t end = 0, i = 0;
    unsigned levels = 0;

    for (; before[i] == name[i] && name[i] != '\0'; i++) {
        if (name[i] == '/') {
            end = i + 1;
            levels++;
        }
    }
    if (i > 0 && before[i] == '\0' && name[i] == '/') {
        end = i + 1;
        levels++;
    }
    *ret_levels = levels;
    return end;
}

/*
 * The levels of a topic that the one before has not, each on its line, as long as *lines_left
 * are left. Returns whether all found room.
 */
static bool print_branch(const struct noc_client_view *view, struct noc_output_buffer *output,
    const char *before, const struct noc_view_topic *topic, unsigned *lines_left)
{
    unsigned level;
    const char *at = topic->name + common_levels(before, topic->name, &level);

    for (; *lines_left > 0; level++, --*lines_left) {
        int n = (int)strcspn(at, "/");
        char line[512];

        if (at[n] == '\0') {
            (void)snprintf(line, sizeof(line), "%*s%.*s = %s  (%u/s, %llu)", (int)level * INDENT,
                "", n, at, topic->value, (unsigned)topic->rate, (unsigned long long)topic->count);
            print_line(view, output, line);
            --*lines_left;
            return true;
        }
        (void)snprintf(line, sizeof(line), "%*s%.*s/", (int)level * INDENT, "", n, at);
        print_line(view, output, line);
        at += n + 1;
    }
    return false;
}

static void print_watched(const struct noc_client_view *view, struct noc_output_buffer *output,
    const struct noc_view_topic *topic)
{
    char line[512];

    (void)snprintf(line, sizeof(line), "%s %s", topic->name, topic->value);
    print_line(view, output, line);
}

/* Behind the last line stands the cursor, and "... more" may need one: two rows are kept for them. */
static unsigned lines_of_screen(const struct noc_client_view *view)
{
    return view->rows == 0 ? UINT_MAX : view->rows > 2 ? view->rows - 2 : 1;
}

static void draw_topics(struct noc_client_view *view, struct noc_output_buffer *output)
{
    const char *before = "";
    unsigned lines_left = lines_of_screen(view);
    size_t i;

    for (i = 0; i < view->topic_count && lines_left > 0; i++) {
        const struct noc_view_topic *topic = &view->topics[i];

        if (!view->settings->show_tree) {
            print_watched(view, output, topic);
            lines_left--;
        } else if (!print_branch(view, output, before, topic, &lines_left)) {
            break;
        }
        before = topic->name;
    }
    if (i < view->topic_count || view->left_out > 0) {
        char line[80];

        (void)snprintf(line, sizeof(line), "... %zu more topics%s", view->topic_count - i,
            view->left_out > 0 ? ", and some not counted" : "");
        print_line(view, output, line);
    }
}

/* The screen anew, from its top. */
static void draw_screen(struct noc_client_view *view, struct noc_output_buffer *output)
{
    print_sequence(output, "\033[H");
    draw_topics(view, output);
    print_sequence(output, "\033[J");
}

static uint64_t per_second(uint64_t n, uint32_t ms)
{
    return ms == 0 ? n : (n * 1000 + ms / 2) / ms;
}

static void count_rates(struct noc_client_view *view, uint32_t ms)
{
    for (size_t i = 0; i < view->topic_count; i++) {
        struct noc_view_topic *topic = &view->topics[i];

        topic->rate = (uint32_t)per_second(topic->count - topic->count_before, ms);
        topic->count_before = topic->count;
    }
}

uint32_t noc_client_view_wait_ms(const struct noc_client_view *view, uint32_t now_ms)
{
    uint32_t passed = now_ms - view->drawn_ms;

    return passed >= TICK_MS ? 0 : TICK_MS - passed;
}

void noc_client_view_draw(
    struct noc_client_view *view, uint32_t now_ms, struct noc_output_buffer *output)
{
    const struct noc_client_settings *settings = view->settings;
    uint32_t ms = now_ms - view->drawn_ms;
    uint64_t messages = per_second(view->messages - view->messages_before, ms);
    uint64_t bytes = per_second(view->bytes - view->bytes_before, ms);

    if (ms < TICK_MS) {
        return;
    }
    if (settings->print_rate) {
        noc_client_trace_print(output, "%llu", (unsigned long long)messages);
    }
    if (settings->show_stats) {
        noc_client_trace_print(output,
            "%llu messages/s, %llu bytes/s; in all %llu messages, %llu bytes",
            (unsigned long long)messages, (unsigned long long)bytes,
            (unsigned long long)view->messages, (unsigned long long)view->bytes);
    }
    if (settings->show_tree || settings->watch) {
        count_rates(view, ms);
        if (view->rows > 0) {
            draw_screen(view, output);
        }
    }
    view->drawn_ms = now_ms;
    view->messages_before = view->messages;
    view->bytes_before = view->bytes;
}

void noc_client_view_finish(
    struct noc_client_view *view, uint32_t now_ms, struct noc_output_buffer *output)
{
    uint32_t ms = now_ms - view->start_ms;

    if (view->settings->show_tree && view->rows == 0) {
        count_rates(view, now_ms - view->drawn_ms);
        draw_topics(view, output);
    }
    if (view->settings->show_stats) {
        noc_client_trace_print(output,
            "%llu messages (%llu retained), %llu bytes in %u.%03u s: %llu messages/s",
            (unsigned long long)view->messages, (unsigned long long)view->retained,
            (unsigned long long)view->bytes, (unsigned)(ms / 1000), (unsigned)(ms % 1000),
            (unsigned long long)per_second(view->messages, ms));
    }
}
