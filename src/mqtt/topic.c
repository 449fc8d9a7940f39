/* SPDX-License-Identifier: Apache-2.0 */
#include "mqtt/topic.h"

#include "base/utf8.h"
#include "mqtt/text.h"
#include <noctule/error.h>

static const char share_prefix[] = "$share/";

bool noc_topic_text_is_valid_slow(struct noc_slice topic)
{
    return noc_utf8_is_valid(topic) && !noc_filter_has_wildcard(topic);
}

int noc_topic_text_error(struct noc_slice topic)
{
    return noc_utf8_is_valid(topic) ? NOC_EPROTO : NOC_EMALFORMED;
}

/* Levels in a text: one more than it has slashes. */
static size_t count_levels(struct noc_slice text)
{
    size_t count = 1;

    for (size_t i = 0; i < text.n; i++) {
        count += text.at[i] == '/';
    }
    return count;
}

bool noc_topic_depth_is_valid_slow(struct noc_slice topic)
{
    return count_levels(topic) <= NOC_TOPIC_LEVELS_MAX;
}

bool noc_topic_is_valid(struct noc_slice topic)
{
    return topic.n > 0 && topic.n <= 65535 && !noc_filter_has_wildcard(topic) &&
           noc_topic_depth_is_valid(topic);
}

bool noc_filter_has_wildcard(struct noc_slice filter)
{
    for (size_t i = 0; i < filter.n; i++) {
        if (filter.at[i] == '+' || filter.at[i] == '#') {
            return true;
        }
    }
    return false;
}

bool noc_filter_is_valid(struct noc_slice filter)
{
    size_t levels = 0;
    char before = '/';

    for (size_t i = 0; i < filter.n; i++) {
        char at = filter.at[i];

        if (before == '#') {
            return false; /* [MQTT-4.7.1-1] */
        }
        if (before == '/') {
            levels++;
        } else if (before == '+' ? at != '/' : at == '+' || at == '#') {
            return false; /* not alone in its level [MQTT-4.7.1-1], [MQTT-4.7.1-2] */
        }
        before = at;
    }
    levels += before == '/';
    return filter.n - 1 < 65535 && levels <= NOC_TOPIC_LEVELS_MAX;
}

bool noc_filter_matches(struct noc_slice filter, struct noc_slice topic)
{
    struct noc_slice filter_rest = filter, topic_rest = topic;

    if (topic.n > 0 && topic.at[0] == '$' && (filter.n == 0 || filter.at[0] != '$')) {
        return false; /* [MQTT-4.7.2-1] */
    }
    while (filter_rest.at != NULL) {
        struct noc_slice want = noc_topic_next_level(&filter_rest), have;

        if (want.n == 1 && want.at[0] == '#') {
            return true; /* It stands for the parent too: "a/#" matches "a" (4.7.1.2). */
        }
        if (topic_rest.at == NULL) {
            return false;
        }
        have = noc_topic_next_level(&topic_rest);
        if (!(want.n == 1 && want.at[0] == '+') && !noc_slice_equal(want, have)) {
            return false;
        }
    }
    return topic_rest.at == NULL;
}

bool noc_filter_is_shared(struct noc_slice filter)
{
    return noc_slice_has_prefix(filter, noc_slice(share_prefix, sizeof share_prefix - 1));
}

bool noc_share_split(
    struct noc_slice text, struct noc_slice *ret_group, struct noc_slice *ret_filter)
{
    struct noc_slice group, rest;

    if (!noc_filter_is_shared(text)) {
        return false;
    }
    rest = noc_slice(text.at + sizeof share_prefix - 1, text.n - (sizeof share_prefix - 1));
    group = noc_topic_next_level(&rest);
    if (group.n == 0 || noc_filter_has_wildcard(group) || rest.at == NULL ||
        !noc_filter_is_valid(rest)) {
        return false;
    }
    *ret_group = group;
    *ret_filter = rest;
    return true;
}
