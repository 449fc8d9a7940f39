/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CLI_CLIENT_VIEW_H
#define NOC_CLI_CLIENT_VIEW_H
/*
 * What `sub` shows instead of messages, once a second:
 *
 *   --message-rate   a line with the number of messages of that second
 *   --stats          a line with messages and bytes of that second, and both in all
 *   --watch          a screen line for each topic with its last message
 *   --tree           the topics as a tree: last value, rate, number of messages
 *
 * On a terminal --watch and --tree redraw the screen, as much as fits it. Elsewhere --tree
 * is written once, at the end, and --watch has a line for each message. Text of messages is
 * shown without control characters. Main thread only.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"
#include "cli/client_options.h"
#include "cli/output_format.h"
#include <noctule/client.h>

enum {
    NOC_VIEW_VALUE_SIZE = 80,   /* of a value that is kept, with its zero byte */
    NOC_VIEW_TOPICS_MAX = 20000 /* beyond that topics are counted, not shown */
};

struct noc_view_topic {
    char *name;
    uint64_t count, count_before; /* messages; until the last redraw */
    uint32_t rate;                /* messages of the last second */
    char value[NOC_VIEW_VALUE_SIZE];
};

struct noc_client_view {
    const struct noc_client_settings *settings;
    struct noc_view_topic *topics; /* in the order of their names */
    size_t topic_count, topic_room, left_out;
    uint64_t messages, bytes, retained; /* in all */
    uint64_t messages_before, bytes_before;
    uint32_t start_ms, drawn_ms;
    unsigned rows, columns; /* of the terminal; 0: it is none */
};

/* Is a view asked for at all? */
bool noc_client_view_is_wanted(const struct noc_client_settings *settings);

/* rows, columns: of the terminal that is drawn on, or 0. */
void noc_client_view_init(struct noc_client_view *view, const struct noc_client_settings *settings,
    uint32_t now_ms, unsigned rows, unsigned columns);
void noc_client_view_done(struct noc_client_view *view);

/* A message came. NOC_OK or NOC_ENOMEM. */
NOC_MUST_CHECK int noc_client_view_add(
    struct noc_client_view *view, const struct noc_event *event, struct noc_output_buffer *output);

/* Milliseconds until noc_client_view_draw() has something to do. */
uint32_t noc_client_view_wait_ms(const struct noc_client_view *view, uint32_t now_ms);

/* Draw, if it is time. */
void noc_client_view_draw(
    struct noc_client_view *view, uint32_t now_ms, struct noc_output_buffer *output);

/* The last words. */
void noc_client_view_finish(
    struct noc_client_view *view, uint32_t now_ms, struct noc_output_buffer *output);

#endif
