/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>

#include "core/mailbox.h"

static void mail_is_taken_in_the_order_it_was_posted(void **state)
{
    struct noc_mailbox box;
    struct noc_mail mail[4] = {{.weight = 1}, {.weight = 1}, {.weight = 1}, {.weight = 1}};

    noc_mailbox_init(&box);
    assert_null(noc_mailbox_take(&box));
    assert_false(noc_mailbox_post_mt(&box, &mail[0]));
    assert_false(noc_mailbox_post_mt(&box, &mail[1]));
    assert_false(noc_mailbox_post_mt(&box, &mail[2]));
    assert_ptr_equal(noc_mailbox_take(&box), &mail[0]);
    assert_false(noc_mailbox_post_mt(&box, &mail[3])); /* behind what was taken over already */
    assert_ptr_equal(noc_mailbox_take(&box), &mail[1]);
    assert_ptr_equal(noc_mailbox_take(&box), &mail[2]);
    assert_ptr_equal(noc_mailbox_take(&box), &mail[3]);
    assert_null(noc_mailbox_take(&box));
}

static void weight_counts_until_it_is_drained(void **state)
{
    struct noc_mailbox box;
    struct noc_mail mail[2] = {{.weight = 3}, {.weight = 4}};

    noc_mailbox_init(&box);
    assert_false(noc_mailbox_post_mt(&box, &mail[0]));
    assert_false(noc_mailbox_post_mt(&box, &mail[1]));
    assert_int_equal(noc_mailbox_weight_mt(&box), 7);
    assert_non_null(noc_mailbox_take(&box));
    assert_int_equal(noc_mailbox_weight_mt(&box), 7);
    assert_int_equal(noc_mailbox_drained(&box, 3), 4);
    assert_non_null(noc_mailbox_take(&box));
    assert_int_equal(noc_mailbox_drained(&box, 4), 0);
}

static void only_the_first_post_to_a_sleeper_must_wake_it(void **state)
{
    struct noc_mailbox box;
    struct noc_mail mail[3] = {{.weight = 1}, {.weight = 1}, {.weight = 1}};

    noc_mailbox_init(&box);
    assert_true(noc_mailbox_sleep(&box));
    assert_true(noc_mailbox_post_mt(&box, &mail[0]));
    assert_false(noc_mailbox_post_mt(&box, &mail[1]));
    noc_mailbox_wake(&box);
    assert_false(noc_mailbox_post_mt(&box, &mail[2]));
}

static void nobody_sleeps_on_mail(void **state)
{
    struct noc_mailbox box;
    struct noc_mail mail[3] = {{.weight = 1}, {.weight = 1}, {.weight = 1}};

    noc_mailbox_init(&box);
    assert_false(noc_mailbox_post_mt(&box, &mail[0]));
    assert_false(noc_mailbox_sleep(&box));
    assert_false(noc_mailbox_post_mt(&box, &mail[1])); /* the announcement is gone */
    assert_non_null(noc_mailbox_take(&box));
    assert_false(noc_mailbox_sleep(&box)); /* one is taken over, not handed out */
    assert_non_null(noc_mailbox_take(&box));
    assert_true(noc_mailbox_sleep(&box));
    noc_mailbox_wake(&box);
    assert_false(noc_mailbox_post_mt(&box, &mail[2]));
}

static void asking_is_refused_below_low_water(void **state)
{
    struct noc_mailbox box;
    struct noc_mail mail = {.weight = 10};

    noc_mailbox_init(&box);
    assert_false(noc_mailbox_ask_mt(&box, 5, 1));
    assert_int_equal(noc_mailbox_take_waiting(&box), 0);
    assert_false(noc_mailbox_post_mt(&box, &mail));
    assert_false(noc_mailbox_ask_mt(&box, 5, 11));
    assert_true(noc_mailbox_ask_mt(&box, 5, 10));
    assert_true(noc_mailbox_ask_mt(&box, 63, 10));
    assert_true(noc_mailbox_ask_mt(&box, 0, 10));
    assert_int_equal(noc_mailbox_take_waiting(&box), UINT64_C(1) << 63 | 1 << 5 | 1);
    assert_int_equal(noc_mailbox_take_waiting(&box), 0);
}

/* ---- many threads; the wake-up is a condition variable ---- */

enum { PRODUCERS = 3, MAILS = 20000, LOW = 8 };

struct numbered_mail {
    struct noc_mail mail;
    unsigned producer, number;
};

struct office {
    struct noc_mailbox box;
    pthread_mutex_t lock;
    pthread_cond_t bell;
    bool is_woken; /* under lock */
    unsigned told; /* under lock: bits of workers told that the box is below low water */
    pthread_cond_t is_below_low;
};

struct producer {
    struct office *office;
    unsigned number;
};

static void wait_for_low_water(struct office *office, unsigned number)
{
    if (!noc_mailbox_ask_mt(&office->box, number, LOW)) {
        return;
    }
    pthread_mutex_lock(&office->lock);
    while ((office->told & 1U << number) == 0) {
        pthread_cond_wait(&office->is_below_low, &office->lock);
    }
    office->told &= ~(1U << number);
    pthread_mutex_unlock(&office->lock);
}

static void *produce(void *argument)
{
    struct producer *producer = argument;
    struct office *office = producer->office;

    for (unsigned i = 0; i < MAILS; i++) {
        struct numbered_mail *mail = malloc(sizeof *mail);

        mail->mail.weight = 1;
        mail->producer = producer->number;
        mail->number = i;
        if (noc_mailbox_post_mt(&office->box, &mail->mail)) {
            pthread_mutex_lock(&office->lock);
            office->is_woken = true;
            pthread_cond_signal(&office->bell);
            pthread_mutex_unlock(&office->lock);
        }
        if (noc_mailbox_weight_mt(&office->box) > 4 * LOW) {
            wait_for_low_water(office, producer->number);
        }
    }
    return NULL;
}

static void tell_the_waiting(struct office *office)
{
    uint64_t waiting = noc_mailbox_take_waiting(&office->box);

    if (waiting != 0) {
        pthread_mutex_lock(&office->lock);
        office->told |= (unsigned)waiting;
        pthread_cond_broadcast(&office->is_below_low);
        pthread_mutex_unlock(&office->lock);
    }
}

static void sleep_unless_there_is_mail(struct office *office)
{
    if (!noc_mailbox_sleep(&office->box)) {
        return;
    }
    pthread_mutex_lock(&office->lock);
    while (!office->is_woken) {
        pthread_cond_wait(&office->bell, &office->lock);
    }
    office->is_woken = false;
    pthread_mutex_unlock(&office->lock);
    noc_mailbox_wake(&office->box);
}

static void consume(struct office *office)
{
    unsigned next[PRODUCERS] = {0};

    for (unsigned left = PRODUCERS * MAILS; left > 0;) {
        struct noc_mail *mail = noc_mailbox_take(&office->box);
        struct numbered_mail *numbered;

        if (mail == NULL) {
            sleep_unless_there_is_mail(office);
            continue;
        }
        numbered = NOC_CONTAINER(mail, struct numbered_mail, mail);
        assert_int_equal(numbered->number, next[numbered->producer]);
        next[numbered->producer]++;
        free(numbered);
        left--;
        if (noc_mailbox_drained(&office->box, 1) < LOW) {
            tell_the_waiting(office);
        }
    }
}

/* A lost wake-up, of the consumer or of a waiting producer, shows as a test that never ends. */
static void mail_from_many_threads_is_complete_in_order_and_wakes_the_sleeper(void **state)
{
    struct office *office = aligned_alloc(NOC_CACHE_LINE, sizeof *office);
    struct producer producers[PRODUCERS];
    pthread_t threads[PRODUCERS];

    noc_mailbox_init(&office->box);
    pthread_mutex_init(&office->lock, NULL);
    pthread_cond_init(&office->bell, NULL);
    pthread_cond_init(&office->is_below_low, NULL);
    office->is_woken = false;
    office->told = 0;
    for (unsigned i = 0; i < PRODUCERS; i++) {
        producers[i] = (struct producer){office, i};
        assert_int_equal(pthread_create(&threads[i], NULL, produce, &producers[i]), 0);
    }
    consume(office);
    for (unsigned i = 0; i < PRODUCERS; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_null(noc_mailbox_take(&office->box));
    assert_int_equal(noc_mailbox_weight_mt(&office->box), 0);
    pthread_cond_destroy(&office->bell);
    pthread_cond_destroy(&office->is_below_low);
    pthread_mutex_destroy(&office->lock);
    free(office);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mail_is_taken_in_the_order_it_was_posted),
        cmocka_unit_test(weight_counts_until_it_is_drained),
        cmocka_unit_test(only_the_first_post_to_a_sleeper_must_wake_it),
        cmocka_unit_test(nobody_sleeps_on_mail),
        cmocka_unit_test(asking_is_refused_below_low_water),
        cmocka_unit_test(mail_from_many_threads_is_complete_in_order_and_wakes_the_sleeper),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
