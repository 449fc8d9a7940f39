/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <pthread.h>
#include <time.h>

#include "auth/pool.h"
#include <noctule/error.h>

/* The password of all of them: one. */
#define HASH_ONE                                                                                   \
    "$7$1$AA==$0n/IGVUgcIwAtfmuaQJdgt3BDMHE91r8lTGro1q8r6wQTfCmVJbgxe6QCgxZIoHfBL3fmKecQGAE4SteEA" \
    "aQtw=="

enum { ANSWERS_MAX = 4096, GATE_TICKET = 999999 };

/* What comes back, and a gate: the thread that answers GATE_TICKET waits there. */
struct desk {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool is_at_gate, is_open;
    size_t n;
    struct noc_auth_result answers[ANSWERS_MAX];
};

static void done(void *context, const struct noc_auth_result *result)
{
    struct desk *desk = context;

    pthread_mutex_lock(&desk->mutex);
    if (result->ticket == GATE_TICKET) {
        desk->is_at_gate = true;
        pthread_cond_broadcast(&desk->changed);
        while (!desk->is_open) {
            pthread_cond_wait(&desk->changed, &desk->mutex);
        }
    } else if (desk->n < ANSWERS_MAX) {
        desk->answers[desk->n++] = *result;
    }
    pthread_cond_broadcast(&desk->changed);
    pthread_mutex_unlock(&desk->mutex);
}

static struct desk *desk_new(void)
{
    struct desk *desk = calloc(1, sizeof *desk);

    assert_non_null(desk);
    pthread_mutex_init(&desk->mutex, NULL);
    pthread_cond_init(&desk->changed, NULL);
    return desk;
}

static void desk_free(struct desk *desk)
{
    pthread_mutex_destroy(&desk->mutex);
    pthread_cond_destroy(&desk->changed);
    free(desk);
}

static void wait_for_answers(struct desk *desk, size_t n)
{
    pthread_mutex_lock(&desk->mutex);
    while (desk->n < n) {
        pthread_cond_wait(&desk->changed, &desk->mutex);
    }
    pthread_mutex_unlock(&desk->mutex);
}

static void open_gate(struct desk *desk)
{
    pthread_mutex_lock(&desk->mutex);
    desk->is_open = true;
    pthread_cond_broadcast(&desk->changed);
    pthread_mutex_unlock(&desk->mutex);
}

static struct noc_security *make(uint64_t version, bool allow_anonymous, const char *file)
{
    struct noc_report report = {0};
    struct noc_passwords_options options = {.is_strict = true};
    struct noc_passwords *passwords = NULL;

    if (file != NULL) {
        assert_int_equal(
            noc_passwords_parse(noc_slice_of(file), "pw", &options, &report, &passwords), NOC_OK);
    }
    return noc_security_new(version, allow_anonymous, passwords, NULL);
}

static int ask(struct noc_auth_pool *pool, struct noc_security *security, struct desk *desk,
    const char *user, const char *password, uint64_t address, uint64_t ticket,
    struct noc_auth_result *ret_result)
{
    struct noc_auth_request request = {.security = security,
        .username = noc_slice_of(user),
        .password = noc_slice_of(password),
        .address_key = address,
        .ticket = ticket,
        .done = done,
        .context = desk};

    return noc_auth_check_start_mt(pool, &request, ret_result);
}

/* Let the only thread of the pool stand at the gate, so that what comes now queues. */
static void close_gate(struct noc_auth_pool *pool, struct noc_security *security, struct desk *desk)
{
    struct noc_auth_result result;

    assert_int_equal(ask(pool, security, desk, "one", "gate", 0, GATE_TICKET, &result), NOC_EAGAIN);
    pthread_mutex_lock(&desk->mutex);
    while (!desk->is_at_gate) {
        pthread_cond_wait(&desk->changed, &desk->mutex);
    }
    pthread_mutex_unlock(&desk->mutex);
}

static void answers_come_with_ticket_version_and_digest(void **state)
{
    struct noc_auth_pool *pool = noc_auth_pool_new(&(struct noc_auth_pool_options){.threads = 1});
    struct noc_security *security = make(5, true, "one:" HASH_ONE "\n");
    struct desk *desk = desk_new();
    struct noc_auth_result now;
    uint8_t digest[NOC_LINE_DIGEST_BYTES];
    static const uint8_t zero[NOC_LINE_DIGEST_BYTES];
    struct noc_auth_stats stats;

    (void)state;
    assert_int_equal(ask(pool, security, desk, "one", "one", 1, 11, &now), NOC_EAGAIN);
    assert_int_equal(ask(pool, security, desk, "one", "two", 1, 12, &now), NOC_EAGAIN);
    assert_int_equal(ask(pool, security, desk, "two", "one", 1, 13, &now), NOC_EAGAIN);
    wait_for_answers(desk, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(desk->answers[i].ticket, 11 + i);
        assert_int_equal(desk->answers[i].security_version, 5);
        assert_int_equal(desk->answers[i].outcome, i == 0 ? NOC_OK : NOC_EDENIED);
    }
    (void)noc_passwords_line_digest(security->passwords, noc_slice_of("one"), digest);
    assert_memory_equal(desk->answers[0].line_digest, digest, sizeof digest);
    assert_memory_equal(desk->answers[2].line_digest, zero, sizeof zero);
    noc_auth_pool_stats_mt(pool, &stats);
    assert_int_equal(stats.checks, 3);
    assert_int_equal(stats.refused, 2);
    assert_int_equal(stats.remembered, 0);
    assert_int_equal(stats.depth, 0);
    noc_auth_pool_free(pool);
    noc_security_unref(security);
    desk_free(desk);
}

static void what_needs_no_check_is_answered_at_once(void **state)
{
    struct noc_auth_pool *pool = noc_auth_pool_new(&(struct noc_auth_pool_options){0});
    struct noc_security *open = make(1, true, NULL);
    struct noc_security *closed = make(2, false, "one:" HASH_ONE);
    struct noc_auth_result now;
    struct noc_auth_stats stats;

    (void)state;
    assert_int_equal(ask(pool, open, NULL, "joe", "pw", 1, 21, &now), NOC_OK);
    assert_int_equal(now.outcome, NOC_OK);
    assert_int_equal(now.ticket, 21);
    assert_int_equal(now.security_version, 1);
    assert_int_equal(ask(pool, closed, NULL, NULL, NULL, 1, 22, &now), NOC_OK);
    assert_int_equal(now.outcome, NOC_EDENIED);
    assert_int_equal(ask(pool, closed, NULL, "one", NULL, 1, 23, &now), NOC_OK);
    assert_int_equal(now.outcome, NOC_EDENIED);
    noc_auth_pool_stats_mt(pool, &stats);
    assert_int_equal(stats.checks, 0);
    assert_int_equal(stats.refused, 2);
    noc_auth_pool_free(pool);
    noc_security_unref(open);
    noc_security_unref(closed);
}

static void a_success_is_remembered_and_a_failure_is_not(void **state)
{
    struct noc_auth_memory *memory = noc_auth_memory_new(0);
    struct noc_auth_pool *pool =
        noc_auth_pool_new(&(struct noc_auth_pool_options){.memory = memory});
    struct noc_security *security = make(1, false, "one:" HASH_ONE "\ntwo:" HASH_ONE "\n");
    struct noc_security *same = make(2, false, "one:" HASH_ONE "\n");
    struct noc_security *changed = make(3, false,
        "one:$7$2$AA==$0n/IGVUgcIwAtfmuaQJdgt3BDMHE91r8lTGro1q8r6wQTfCmVJbgxe6QCgxZIoHfBL3fmKecQG"
        "AE4SteEAaQtw==\n");
    struct desk *desk = desk_new();
    struct noc_auth_result now;
    struct noc_auth_stats stats;

    (void)state;
    assert_int_equal(ask(pool, security, desk, "one", "one", 1, 1, &now), NOC_EAGAIN);
    wait_for_answers(desk, 1);
    assert_int_equal(ask(pool, security, desk, "one", "one", 1, 2, &now), NOC_OK);
    assert_int_equal(now.outcome, NOC_OK);
    assert_int_equal(now.ticket, 2);
    assert_memory_equal(now.line_digest, desk->answers[0].line_digest, sizeof now.line_digest);
    /* Another user with the very same hash is another matter. */
    assert_int_equal(ask(pool, security, desk, "two", "one", 1, 3, &now), NOC_EAGAIN);
    wait_for_answers(desk, 2);
    for (uint64_t i = 0; i < 2; i++) {
        assert_int_equal(ask(pool, security, desk, "one", "wrong", 1, 4 + i, &now), NOC_EAGAIN);
        assert_int_equal(ask(pool, security, desk, "nobody", "one", 1, 6 + i, &now), NOC_EAGAIN);
        wait_for_answers(desk, 4 + 2 * i);
    }
    /* A new file: void for those whose line changed, and only for them. */
    assert_int_equal(ask(pool, same, desk, "one", "one", 1, 8, &now), NOC_OK);
    assert_int_equal(ask(pool, changed, desk, "one", "one", 1, 9, &now), NOC_EAGAIN);
    wait_for_answers(desk, 7);
    assert_int_equal(desk->answers[6].outcome, NOC_EDENIED);
    noc_auth_memory_clear_mt(memory);
    assert_int_equal(ask(pool, security, desk, "one", "one", 1, 10, &now), NOC_EAGAIN);
    wait_for_answers(desk, 8);
    noc_auth_pool_stats_mt(pool, &stats);
    assert_int_equal(stats.remembered, 2);
    assert_int_equal(stats.checks, 8);
    noc_auth_pool_free(pool);
    noc_auth_memory_free(memory);
    noc_security_unref(security);
    noc_security_unref(same);
    noc_security_unref(changed);
    desk_free(desk);
}

static void an_address_that_floods_does_not_delay_the_others(void **state)
{
    struct noc_auth_pool *pool =
        noc_auth_pool_new(&(struct noc_auth_pool_options){.threads = 1, .capacity = 8192});
    struct noc_security *security = make(1, false, "one:" HASH_ONE);
    struct desk *desk = desk_new();
    struct noc_auth_result now;
    struct noc_auth_stats stats;

    (void)state;
    close_gate(pool, security, desk);
    for (uint64_t i = 0; i < 1000; i++) {
        assert_int_equal(ask(pool, security, desk, "one", "wrong", 7, i, &now), NOC_EAGAIN);
    }
    assert_int_equal(ask(pool, security, desk, "one", "one", 8, 2000, &now), NOC_EAGAIN);
    assert_int_equal(ask(pool, security, desk, "one", "one", 8 + 8192, 2001, &now), NOC_EAGAIN);
    noc_auth_pool_stats_mt(pool, &stats);
    assert_int_equal(stats.depth, 1002);
    open_gate(desk);
    wait_for_answers(desk, 1002);
    assert_int_equal(desk->answers[0].ticket, 0);
    assert_int_equal(desk->answers[1].ticket, 2000);
    assert_int_equal(desk->answers[2].ticket, 2001);
    for (uint64_t i = 1; i < 1000; i++) {
        assert_int_equal(desk->answers[i + 2].ticket, i); /* each address in order */
    }
    noc_auth_pool_free(pool);
    noc_security_unref(security);
    desk_free(desk);
}

static void the_queue_is_bounded_for_one_address_and_for_all(void **state)
{
    struct noc_auth_pool *pool =
        noc_auth_pool_new(&(struct noc_auth_pool_options){.threads = 1, .capacity = 40});
    struct noc_security *security = make(1, false, "one:" HASH_ONE);
    struct desk *desk = desk_new();
    struct noc_auth_result now;
    struct noc_auth_stats stats;

    (void)state;
    close_gate(pool, security, desk);
    for (uint64_t i = 0; i < 16; i++) {
        assert_int_equal(ask(pool, security, desk, "one", "x", 1, i, &now), NOC_EAGAIN);
    }
    assert_int_equal(ask(pool, security, desk, "one", "x", 1, 100, &now), NOC_EFULL);
    for (uint64_t i = 0; i < 24; i++) {
        assert_int_equal(ask(pool, security, desk, "one", "x", 2 + i, i, &now), NOC_EAGAIN);
    }
    assert_int_equal(ask(pool, security, desk, "one", "x", 99, 101, &now), NOC_EFULL);
    noc_auth_pool_stats_mt(pool, &stats);
    assert_int_equal(stats.depth, 40);
    assert_int_equal(stats.full, 2);
    open_gate(desk);
    wait_for_answers(desk, 40);
    assert_int_equal(ask(pool, security, desk, "one", "one", 1, 102, &now), NOC_EAGAIN);
    wait_for_answers(desk, 41);
    assert_int_equal(desk->answers[40].outcome, NOC_OK);
    noc_auth_pool_free(pool);
    noc_security_unref(security);
    desk_free(desk);
}

struct opener {
    struct noc_auth_pool *pool;
    struct noc_security *security;
    struct desk *desk;
};

/* Open the gate when the pool takes no more questions, for only then nothing behind it runs. */
static void *open_gate_when_the_door_is_closed(void *context)
{
    const struct timespec moment = {0, 1000000};
    const struct opener *opener = context;
    struct noc_auth_result now;

    while (ask(opener->pool, opener->security, opener->desk, "one", "one", 1, 1, &now) !=
           NOC_ECLOSED) {
        nanosleep(&moment, NULL);
    }
    open_gate(opener->desk);
    return NULL;
}

static void a_stop_drops_what_waits_and_closes_the_door(void **state)
{
    struct noc_auth_pool *pool = noc_auth_pool_new(&(struct noc_auth_pool_options){.threads = 1});
    struct noc_security *security = make(1, true, "one:" HASH_ONE);
    struct desk *desk = desk_new();
    struct noc_auth_result now;
    struct noc_auth_stats stats;
    struct opener opener = {pool, make(2, true, "one:" HASH_ONE), desk};
    pthread_t thread;

    (void)state;
    close_gate(pool, security, desk);
    for (uint64_t i = 0; i < 300; i++) {
        assert_int_equal(ask(pool, security, desk, "one", "one", i % 20, i, &now), NOC_EAGAIN);
    }
    noc_security_unref(security); /* the jobs hold it */
    assert_int_equal(pthread_create(&thread, NULL, open_gate_when_the_door_is_closed, &opener), 0);
    noc_auth_pool_stop(pool);
    pthread_join(thread, NULL);
    assert_int_equal(desk->n, 0);
    noc_auth_pool_stats_mt(pool, &stats);
    assert_int_equal(stats.depth, 0);
    assert_int_equal(ask(pool, opener.security, desk, "one", "one", 1, 1, &now), NOC_ECLOSED);
    assert_int_equal(ask(pool, opener.security, desk, NULL, NULL, 1, 2, &now), NOC_OK);
    noc_auth_pool_stop(pool);
    noc_auth_pool_free(pool);
    noc_auth_pool_free(NULL);
    noc_security_unref(opener.security);
    desk_free(desk);
}

struct asker {
    pthread_t thread;
    uint64_t number;
    struct noc_auth_pool *pool;
    struct noc_security *security;
    struct desk *desk;
};

static void *ask_often(void *context)
{
    struct asker *asker = context;

    for (uint64_t i = 0; i < 500; i++) {
        struct noc_auth_result now = {0};
        char user[16];
        int err;

        snprintf(user, sizeof user, "u%u", (unsigned)(i % 7));
        err = ask(asker->pool, asker->security, asker->desk, user, i % 3 == 0 ? "bad" : "one",
            asker->number * 10 + i % 5, i, &now);
        if (err == NOC_OK || err == NOC_EFULL) {
            now.outcome = err == NOC_EFULL ? NOC_EFULL : now.outcome;
            done(asker->desk, &now);
        } else {
            assert_int_equal(err, NOC_EAGAIN);
        }
    }
    return NULL;
}

static void many_threads_ask_and_each_question_is_answered_once(void **state)
{
    struct noc_auth_memory *memory = noc_auth_memory_new(64);
    struct noc_auth_pool *pool = noc_auth_pool_new(
        &(struct noc_auth_pool_options){.threads = 3, .capacity = 200, .memory = memory});
    struct noc_security *security =
        make(1, false, "u0:" HASH_ONE "\nu1:" HASH_ONE "\nu2:" HASH_ONE "\nu3:" HASH_ONE "\n");
    struct desk *desk = desk_new();
    struct asker askers[4];

    (void)state;
    for (size_t i = 0; i < NOC_COUNT(askers); i++) {
        askers[i] = (struct asker){.number = i, .pool = pool, .security = security, .desk = desk};
        assert_int_equal(pthread_create(&askers[i].thread, NULL, ask_often, &askers[i]), 0);
    }
    for (size_t i = 0; i < NOC_COUNT(askers); i++) {
        pthread_join(askers[i].thread, NULL);
    }
    wait_for_answers(desk, 2000);
    noc_auth_pool_free(pool);
    assert_int_equal(desk->n, 2000);
    for (size_t i = 0; i < desk->n; i++) {
        uint64_t ticket = desk->answers[i].ticket;
        int right = ticket % 3 != 0 && ticket % 7 < 4 ? NOC_OK : NOC_EDENIED;

        if (desk->answers[i].outcome != NOC_EFULL) {
            assert_int_equal(desk->answers[i].outcome, right);
        }
    }
    noc_auth_memory_free(memory);
    noc_security_unref(security);
    desk_free(desk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_come_with_ticket_version_and_digest),
        cmocka_unit_test(what_needs_no_check_is_answered_at_once),
        cmocka_unit_test(a_success_is_remembered_and_a_failure_is_not),
        cmocka_unit_test(an_address_that_floods_does_not_delay_the_others),
        cmocka_unit_test(the_queue_is_bounded_for_one_address_and_for_all),
        cmocka_unit_test(a_stop_drops_what_waits_and_closes_the_door),
        cmocka_unit_test(many_threads_ask_and_each_question_is_answered_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
