/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
/*
 * Threads play workers: each drains its mailbox, enters and removes
 * subscriptions on filters that come and go all the time, matches topics, posts
 * the nodes it found to the workers concerned, and is quiescent. To be run with
 * the address and with the thread sanitizer, which do most of the judging. What
 * is asserted besides: a subscription that is there during the whole run is
 * found by every match and is in its worker's list whenever mail comes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/index.h"
#include "core/mailbox.h"
#include "mqtt/topic.h"

enum { THREADS_MAX = 8, TURNS = 4000, SUBS = 24, NODES_MAX = 24 };

struct letter {
    struct noc_mail mail;
    struct noc_retire *retire; /* or a delivery: */
    struct noc_node *nodes[NODES_MAX];
    struct noc_group *group; /* of some node, or NULL */
    uint32_t group_start;
    unsigned count;
};

struct desk {
    struct town *town;
    unsigned worker;
    uint64_t random;
    struct noc_mailbox box;
    struct noc_sub subs[SUBS]; /* node is NULL when not entered */
    struct noc_sub stable[2];  /* on s/+ and on s/x */
    const char *failure;
};

struct town {
    struct noc_reclaim *reclaim;
    struct noc_index *index;
    unsigned worker_count;
    pthread_barrier_t start;
    struct desk desks[THREADS_MAX];
};

static const char *const filters[] = {"a/b", "a/+", "a/#", "+/b", "#", "a/b/c", "+/+/c", "a/b/#",
    "s/x", "+", "s/+", "s/#", "b", "b/c", "b/+", "c/d/e/f/+"};
static const char *const topics[] = {"a/b", "s/x", "a/b/c", "b", "b/c", "c/d/e/f/g", "s/x"};
static const char *const groups[] = {"one", "two"};

static unsigned draw(struct desk *desk, unsigned below)
{
    desk->random = desk->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(desk->random >> 33) % below;
}

static struct letter *letter_new(void)
{
    struct letter *letter = calloc(1, sizeof *letter);

    letter->mail.weight = 1;
    return letter;
}

static void post(struct town *town, unsigned worker, struct letter *letter)
{
    /* Nobody sleeps here: nobody need be woken. */
    if (noc_mailbox_post_mt(&town->desks[worker].box, &letter->mail)) {
        abort();
    }
}

static void post_retire(void *context, unsigned worker, struct noc_retire *retire)
{
    struct town *town = context;

    (void)worker;
    for (unsigned to = 0; to < town->worker_count; to++) {
        struct letter *letter = letter_new();

        letter->retire = retire;
        post(town, to, letter);
    }
}

static bool lists(const struct noc_node *node, unsigned worker, const struct noc_sub *sub)
{
    struct noc_sub *const *list;
    unsigned count = noc_node_subs(node, worker, &list);
    bool is_there = false;

    for (unsigned i = 0; i < count; i++) {
        is_there |= list[i] == sub && list[i]->session_number == worker;
    }
    return is_there;
}

/* Look at all a mail may name. */
static void deliver(struct desk *desk, struct letter *letter)
{
    struct noc_member member;

    for (unsigned i = 0; i < letter->count; i++) {
        struct noc_node *node = letter->nodes[i];
        struct noc_slice filter = noc_node_filter(node);

        (void)lists(node, desk->worker, NULL);
        for (unsigned k = 0; k < 2; k++) {
            const struct noc_sub *stable = &desk->stable[k];

            if (noc_slice_equal(filter, noc_slice_of(k == 0 ? "s/+" : "s/x")) &&
                (stable->node != node || !lists(node, desk->worker, stable))) {
                desk->failure = "a stable subscription is not in its list";
            }
        }
    }
    if (letter->group != NULL && noc_group_name(letter->group).n != 3) {
        desk->failure = "a group has lost its name";
    }
    if (letter->group != NULL && noc_group_pick(letter->group, 1, &letter->group_start, &member) &&
        member.session_number != member.worker) {
        desk->failure = "a member is not what was entered";
    }
}

static void drain(struct desk *desk)
{
    struct noc_mail *mail;

    while ((mail = noc_mailbox_take(&desk->box)) != NULL) {
        struct letter *letter = NOC_CONTAINER(mail, struct letter, mail);

        if (letter->retire != NULL) {
            noc_retire_drained(letter->retire);
        } else {
            deliver(desk, letter);
        }
        free(letter);
        noc_mailbox_drained(&desk->box, 1);
    }
}

static void change(struct desk *desk)
{
    struct noc_index *index = desk->town->index;
    struct noc_sub *sub = &desk->subs[draw(desk, SUBS)];
    struct noc_slice filter = noc_slice_of(filters[draw(desk, NOC_COUNT(filters))]);
    struct noc_slice group = noc_slice(NULL, 0);

    if (sub->node != NULL && draw(desk, 4) == 0) {
        noc_index_set_durable(index, desk->worker, sub, !sub->is_durable);
        noc_index_set_connected(index, desk->worker, sub, !sub->is_connected);
    } else if (sub->node != NULL) {
        noc_index_unsubscribe(index, desk->worker, sub);
    } else {
        *sub = (struct noc_sub){
            .session_number = desk->worker,
            .is_durable = draw(desk, 2) == 0,
            .is_connected = draw(desk, 2) == 0,
        };
        if (draw(desk, 3) == 0) {
            group = noc_slice_of(groups[draw(desk, 2)]);
        }
        if (noc_index_subscribe(index, desk->worker, filter, group, sub) != 0) {
            desk->failure = "no memory";
        }
    }
}

static void look_at_node(struct desk *desk, struct noc_node *node, struct letter *letter)
{
    struct noc_group *group = noc_node_groups(node);

    if (letter->count < NODES_MAX) {
        letter->nodes[letter->count++] = node;
    }
    for (; group != NULL; group = noc_group_next(group)) {
        struct noc_member member;

        if (noc_group_pick(group, 0, &letter->group_start, &member)) {
            letter->group = group;
            if (member.session_number != member.worker) {
                desk->failure = "a member is not what was entered";
            }
        }
    }
}

/* Returns the workers concerned; letter gets the nodes. */
static uint64_t route(struct desk *desk, const char *topic, struct letter *letter)
{
    uint64_t all = (UINT64_C(1) << desk->town->worker_count) - 1;
    uint64_t workers = 0;
    struct noc_match found;
    unsigned stable = 0;

    if (noc_index_match(desk->town->index, desk->worker, noc_slice_of(topic), &found) != 0) {
        desk->failure = "no memory";
        return 0;
    }
    for (unsigned i = 0; i < found.count; i++) {
        struct noc_slice filter = noc_node_filter(found.nodes[i]);

        if (!noc_filter_matches(filter, noc_slice_of(topic))) {
            desk->failure = "a filter matches that should not";
        }
        if (found.nodes[i] == desk->stable[0].node || found.nodes[i] == desk->stable[1].node) {
            stable++;
            if (noc_node_workers(found.nodes[i]) != all) {
                desk->failure = "a worker is missing";
            }
        }
        workers |= noc_node_workers(found.nodes[i]) | noc_node_durable_workers(found.nodes[i]);
        look_at_node(desk, found.nodes[i], letter);
    }
    if (topic[0] == 's' && stable != 2) {
        desk->failure = "a stable subscription was not matched";
    }
    return workers;
}

static void publish(struct desk *desk)
{
    struct letter draft = {.mail.weight = 1};
    uint64_t workers = route(desk, topics[draw(desk, NOC_COUNT(topics))], &draft);

    for (unsigned w = 0; w < desk->town->worker_count; w++) {
        if (workers >> w & 1) {
            struct letter *letter = letter_new();

            *letter = draft;
            post(desk->town, w, letter);
        }
    }
}

static void enter_stable(struct desk *desk)
{
    for (unsigned i = 0; i < 2; i++) {
        desk->stable[i] = (struct noc_sub){.session_number = desk->worker};
        if (noc_index_subscribe(desk->town->index, desk->worker,
                noc_slice_of(i == 0 ? "s/+" : "s/x"), noc_slice(NULL, 0), &desk->stable[i]) != 0) {
            desk->failure = "no memory";
        }
    }
}

static void *work(void *argument)
{
    struct desk *desk = argument;
    struct town *town = desk->town;

    noc_reclaim_online(town->reclaim, desk->worker);
    enter_stable(desk);
    noc_reclaim_offline(town->reclaim, desk->worker);
    pthread_barrier_wait(&town->start);
    noc_reclaim_online(town->reclaim, desk->worker);
    for (unsigned turn = 0; turn < TURNS && desk->failure == NULL; turn++) {
        drain(desk);
        publish(desk);
        change(desk);
        change(desk);
        publish(desk);
        noc_reclaim_quiescent(town->reclaim, desk->worker);
        if (draw(desk, 8) == 0) {
            noc_reclaim_offline(town->reclaim, desk->worker);
            sched_yield();
            noc_reclaim_online(town->reclaim, desk->worker);
        }
    }
    noc_reclaim_offline(town->reclaim, desk->worker);
    return NULL;
}

/* Mail that nobody drained; its notices are the index's affair. */
static void throw_away_mail(struct desk *desk)
{
    struct noc_mail *mail;

    while ((mail = noc_mailbox_take(&desk->box)) != NULL) {
        free(NOC_CONTAINER(mail, struct letter, mail));
    }
}

static void run(unsigned count)
{
    struct town *town = aligned_alloc(NOC_CACHE_LINE, sizeof *town);
    pthread_t threads[THREADS_MAX];

    memset(town, 0, sizeof *town);
    town->worker_count = count;
    town->reclaim = noc_reclaim_new(count);
    town->index = noc_index_new(count, 99, town->reclaim, post_retire, town);
    pthread_barrier_init(&town->start, NULL, count);
    for (unsigned w = 0; w < count; w++) {
        town->desks[w].town = town;
        town->desks[w].worker = w;
        town->desks[w].random = w + 1;
        noc_mailbox_init(&town->desks[w].box);
    }
    for (unsigned w = 0; w < count; w++) {
        assert_int_equal(pthread_create(&threads[w], NULL, work, &town->desks[w]), 0);
    }
    for (unsigned w = 0; w < count; w++) {
        pthread_join(threads[w], NULL);
    }
    noc_index_free(town->index);
    noc_reclaim_free(town->reclaim);
    for (unsigned w = 0; w < count; w++) {
        throw_away_mail(&town->desks[w]);
        if (town->desks[w].failure != NULL) {
            fail_msg("worker %u of %u: %s", w, count, town->desks[w].failure);
        }
    }
    pthread_barrier_destroy(&town->start);
    free(town);
}

static void one_worker_among_its_own_changes(void **state)
{
    run(1);
}

static void two_workers_among_their_changes(void **state)
{
    run(2);
}

static void four_workers_among_their_changes(void **state)
{
    run(4);
}

static void eight_workers_among_their_changes(void **state)
{
    run(8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_worker_among_its_own_changes),
        cmocka_unit_test(two_workers_among_their_changes),
        cmocka_unit_test(four_workers_among_their_changes),
        cmocka_unit_test(eight_workers_among_their_changes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
