/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cursor: an ordered walk that skips what cannot match. A topic is compared
 * with the filter level by level; where it fails, the smallest text behind it
 * that could still match is worked out, and the walk goes on there, by a seek
 * unless it is the next slot anyway. With filter a/+/c:
 *
 *     "a"       ends too soon             seek "a/"
 *     "a/x"     ends too soon, in the +   next slot (it may be "a/x!/c")
 *     "a/x/b"   "b" comes before "c"      seek "a/x/c"
 *     "a/x/c"   matches                   next slot
 *     "a/x/d"   "d" comes after "c":
 *               done with "a/x/...",      seek "a/x0", '0' being the character
 *               the last + moves on       behind '/'
 *     "b"       comes after "a" and there is no + before: the end
 *
 * So each match costs about two seeks. Order is by byte, not by level: between
 * "a" and "a/" there may be "a!" and "a-b". So nothing may be skipped behind a
 * topic that ends in what a + took; and where a literal level of the filter is a
 * true beginning of the topic's, the goal may still lie ahead: filter a/b, topic
 * "a!" goes on at "a/b".
 *
 * All such goals have one form: a beginning of the topic, then a run of the
 * filter (its literal levels up to the next wildcard, as they stand there) or
 * a single character.
 */
#include <stdlib.h>

#include "core/retained_internal.h"
#include "mqtt/topic.h"
#include <noctule/error.h>

void noc_retained_cursor_init(struct noc_retained_cursor *cursor, struct noc_slice filter)
{
    *cursor = (struct noc_retained_cursor){.filter = filter};
}

void noc_retained_cursor_done(struct noc_retained_cursor *cursor)
{
    free(cursor->position);
    cursor->position = NULL;
    cursor->is_done = true;
}

/* ---- one topic against the filter ---- */

enum verdict { MATCHES, GO_ON_AT_GOAL, GO_ON_BEHIND, NOTHING_FOLLOWS };

/* Where to go on: the first keep bytes of the topic, then tail. */
struct goal {
    size_t keep;
    struct noc_slice tail;
};

static bool is_wildcard(struct noc_slice filter, size_t at, char wildcard)
{
    return at < filter.n && filter.at[at] == wildcard;
}

static struct noc_slice from(struct noc_slice text, size_t at)
{
    return noc_slice(text.at + at, text.n - at);
}

/*
 * The filter's literal levels from the level at "at" on, up to the next
 * wildcard: with which every match begins there. For "b/c/+" that is "b/c/",
 * for "b/#" just "b", for a wildcard nothing.
 */
static struct noc_slice literal_run(struct noc_slice filter, size_t at)
{
    struct noc_slice rest = from(filter, at);
    const char *plus = rest.n == 0 ? NULL : memchr(rest.at, '+', rest.n);

    if (plus != NULL) {
        rest.n = (size_t)(plus - rest.at);
    } else if (filter.at[filter.n - 1] == '#') {
        rest.n -= rest.n > 1 ? 2 : 1;
    }
    return rest;
}

/* The end of the level that begins at "at". */
static size_t level_end(struct noc_slice text, size_t at)
{
    const char *slash = at == text.n ? NULL : memchr(text.at + at, '/', text.n - at);

    return slash == NULL ? text.n : (size_t)(slash - text.at);
}

/* A comparison on its way: where in the filter and in the topic the level in question begins. */
struct pair {
    struct noc_slice filter, topic;
    size_t f, t;
    size_t
        plus_end; /* in the topic: the end of the level that the last + took; 0: there was none */
    bool has_plus;
};

/* Nothing more below the last +: go on behind all that begins as the topic does there. */
static enum verdict move_last_plus(const struct pair *pair, struct goal *ret_goal)
{
    if (!pair->has_plus) {
        return NOTHING_FOLLOWS;
    }
    ret_goal->keep = pair->plus_end;
    ret_goal->tail = noc_slice("0", 1); /* the character behind '/' */
    return GO_ON_AT_GOAL;
}

/* A literal level of the filter, ending at f_end, that the topic does not have there. */
static enum verdict miss(const struct pair *pair, size_t f_end, struct goal *ret_goal)
{
    struct noc_slice rest = from(pair->topic, pair->t);
    struct noc_slice level = noc_slice(pair->filter.at + pair->f, f_end - pair->f);
    struct noc_slice with_slash = noc_slice(level.at, level.n + 1);
    struct noc_slice run = literal_run(pair->filter, pair->f);

    if (noc_slice_compare(rest, level) >= 0) {
        /* It lies behind "level"; does it lie before "level/", and is there something? */
        if (f_end == pair->filter.n || noc_slice_compare(rest, with_slash) >= 0) {
            return move_last_plus(pair, ret_goal);
        }
        if (run.n < with_slash.n) {
            run = with_slash; /* of "level/#", where "level" itself is past */
        }
    }
    ret_goal->keep = pair->t;
    ret_goal->tail = run;
    return GO_ON_AT_GOAL;
}

/* The topic has ended, the filter, from the slash at "slash" on, has not. */
static enum verdict topic_too_short(const struct pair *pair, size_t slash, struct goal *ret_goal)
{
    if (is_wildcard(pair->filter, slash + 1, '#')) {
        return MATCHES; /* "a/#" matches "a" */
    }
    if (pair->has_plus && pair->plus_end == pair->topic.n) {
        return GO_ON_BEHIND;
    }
    ret_goal->keep = pair->topic.n;
    ret_goal->tail = noc_slice(pair->filter.at + slash, 1 + literal_run(pair->filter, slash + 1).n);
    return GO_ON_AT_GOAL;
}

static enum verdict judge(struct noc_slice filter, struct noc_slice topic, struct goal *ret_goal)
{
    struct pair pair = {.filter = filter, .topic = topic};

    if (filter.at == NULL) {
        return MATCHES;
    }
    if (topic.at[0] == '$' && (is_wildcard(filter, 0, '+') || is_wildcard(filter, 0, '#'))) {
        *ret_goal = (struct goal){0, noc_slice("%", 1)}; /* behind '$' [MQTT-4.7.2-1] */
        return GO_ON_AT_GOAL;
    }
    for (;;) {
        size_t f_end = level_end(filter, pair.f);
        size_t t_end = level_end(topic, pair.t);

        if (is_wildcard(filter, pair.f, '#')) {
            return MATCHES;
        }
        if (is_wildcard(filter, pair.f, '+')) {
            pair.has_plus = true;
            pair.plus_end = t_end;
        } else if (!noc_slice_equal(noc_slice(filter.at + pair.f, f_end - pair.f),
                       noc_slice(topic.at + pair.t, t_end - pair.t))) {
            return miss(&pair, f_end, ret_goal);
        }
        if (t_end == topic.n) {
            return f_end == filter.n ? MATCHES : topic_too_short(&pair, f_end, ret_goal);
        }
        if (f_end == filter.n) {
            return move_last_plus(&pair, ret_goal);
        }
        pair.f = f_end + 1;
        pair.t = t_end + 1;
    }
}

/* ---- the walk ---- */

/* Go on at (or behind) beginning and tail. NOC_ENOMEM: the cursor is as it was. */
static int set_position(struct noc_retained_cursor *cursor, struct noc_slice beginning,
    struct noc_slice tail, bool is_behind)
{
    size_t n = beginning.n + tail.n;

    if (n > cursor->position_room || cursor->position == NULL) {
        size_t room = n + n / 2 + 32;
        char *position = realloc(cursor->position, room);

        if (position == NULL) {
            return NOC_ENOMEM;
        }
        cursor->position = position;
        cursor->position_room = (uint32_t)room;
    }
    if (beginning.n > 0) {
        memcpy(cursor->position, beginning.at, beginning.n);
    }
    if (tail.n > 0) {
        memcpy(cursor->position + beginning.n, tail.at, tail.n);
    }
    cursor->position_n = (uint32_t)n;
    cursor->is_behind = is_behind;
    return NOC_OK;
}

static struct noc_slice position_of(const struct noc_retained_cursor *cursor)
{
    return noc_slice(cursor->position, cursor->position_n);
}

/* The first slot not before the cursor's position; slot is some slot before it. */
static struct noc_retained_slot *seek_from(const struct noc_retained *retained,
    const struct noc_retained_cursor *cursor, const struct noc_retained_slot *slot)
{
    struct noc_retained_slot *next = noc_skiplist_next(slot);

    if (next == NULL ||
        noc_slice_compare(noc_retained_slot_topic(next), position_of(cursor)) >= 0) {
        return next;
    }
    return noc_skiplist_seek(&retained->list, position_of(cursor), false);
}

/*
 * Look at one slot: hand out its message if it matches, and move the cursor.
 * Returns whether it did, or NOC_ENOMEM with nothing changed.
 */
static int visit(const struct noc_retained *retained, struct noc_retained_cursor *cursor,
    struct noc_retained_slot **slot, struct noc_message **ret_message)
{
    struct noc_slice topic = noc_retained_slot_topic(*slot);
    struct goal goal = {0};
    enum verdict verdict = judge(cursor->filter, topic, &goal);

    if (verdict == NOTHING_FOLLOWS) {
        *slot = NULL;
        return 0;
    }
    if (verdict == GO_ON_AT_GOAL) {
        if (set_position(cursor, noc_slice(topic.at, goal.keep), goal.tail, false) < 0) {
            return NOC_ENOMEM;
        }
        *slot = seek_from(retained, cursor, *slot);
        return 0;
    }
    if (set_position(cursor, topic, noc_slice(NULL, 0), true) < 0) {
        return NOC_ENOMEM;
    }
    if (verdict == MATCHES) {
        *ret_message = noc_retained_slot_message(*slot);
    }
    *slot = noc_skiplist_next(*slot);
    return verdict == MATCHES;
}

static int look_up(struct noc_retained *retained, struct noc_retained_cursor *cursor,
    struct noc_message **ret_messages)
{
    ret_messages[0] = noc_retained_get(retained, cursor->filter);
    cursor->is_done = true;
    return ret_messages[0] != NULL;
}

static int start(struct noc_retained_cursor *cursor)
{
    struct noc_slice run = noc_slice(NULL, 0);

    if (cursor->filter.at != NULL) {
        run = literal_run(cursor->filter, 0);
    }
    return set_position(cursor, run, noc_slice(NULL, 0), false);
}

int noc_retained_next(struct noc_retained *retained, struct noc_retained_cursor *cursor,
    unsigned visits_max, struct noc_message **ret_messages, unsigned most)
{
    struct noc_retained_slot *slot;
    unsigned count = 0;
    int took = 0;

    if (cursor->is_done || most == 0) {
        return 0;
    }
    if (cursor->filter.at != NULL && !noc_filter_has_wildcard(cursor->filter)) {
        return look_up(retained, cursor, ret_messages);
    }
    if (cursor->position == NULL && start(cursor) < 0) {
        return NOC_ENOMEM;
    }
    noc_retained_begin_reading(retained);
    slot = noc_skiplist_seek(&retained->list, position_of(cursor), cursor->is_behind);
    for (unsigned visits = 0; slot != NULL && visits < visits_max && count < most; visits++) {
        cursor->visited++;
        took = visit(retained, cursor, &slot, &ret_messages[count]);
        if (took < 0) {
            break;
        }
        count += (unsigned)took;
    }
    /* What there is is handed out first; the next call runs into the want of memory again. */
    cursor->is_done = slot == NULL;
    return took < 0 && count == 0 ? took : (int)count;
}
