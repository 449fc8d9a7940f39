/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_MQTT_TOPIC_H
#define NOC_MQTT_TOPIC_H
/*
 * Topic names and topic filters (MQTT 5 section 4.7, 4.8.2). Pure functions
 * over borrowed text. The text is assumed to be valid UTF-8 without U+0000:
 * the packet decoders have seen to that.
 */

#include <stdbool.h>

#include "base/macros.h"
#include <noctule/slice.h>

/* Levels in one topic or filter, at most (Mosquitto's limit too). */
#define NOC_TOPIC_LEVELS_MAX 200

/*
 * May text be the topic of a PUBLISH? Not empty, no wildcard [MQTT-3.3.2-2],
 * at most 65535 bytes and NOC_TOPIC_LEVELS_MAX levels.
 */
bool noc_topic_is_valid(struct noc_slice topic);

/*
 * May text be a topic filter [MQTT-4.7.1-1], [MQTT-4.7.1-2]: not empty, + alone
 * in its level, # alone in the last level, at most NOC_TOPIC_LEVELS_MAX levels.
 * A shared filter is judged by noc_share_split() first.
 */
bool noc_filter_is_valid(struct noc_slice filter);

/* Does a (valid) filter hold + or #? */
bool noc_filter_has_wildcard(struct noc_slice filter);

/*
 * Does a valid filter match a valid topic? $-topics are matched only by
 * filters that start with $ themselves [MQTT-4.7.2-1].
 */
bool noc_filter_matches(struct noc_slice filter, struct noc_slice topic);

/*
 * The next level of a topic or filter: the text before the next '/'. *rest is
 * cut down to what follows; rest->at is NULL after the last level. So "a//b"
 * yields "a", "", "b".
 */
static inline struct noc_slice noc_topic_next_level(struct noc_slice *rest)
{
    const char *slash = rest->n == 0 ? NULL : memchr(rest->at, '/', rest->n);
    struct noc_slice level = *rest;

    if (slash == NULL) {
        *rest = noc_slice(NULL, 0);
        return level;
    }
    level.n = (size_t)(slash - level.at);
    *rest = noc_slice(slash + 1, rest->n - level.n - 1);
    return level;
}

/* Is it $share/...? */
bool noc_filter_is_shared(struct noc_slice filter);

/*
 * Take "$share/GROUP/FILTER" apart. False when it is not well-formed: an empty
 * group, a group with + or # [MQTT-4.8.2-1], [MQTT-4.8.2-2], an empty or invalid filter.
 */
NOC_MUST_CHECK bool noc_share_split(
    struct noc_slice text, struct noc_slice *ret_group, struct noc_slice *ret_filter);

#endif
