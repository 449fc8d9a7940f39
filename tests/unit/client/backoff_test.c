/* SPDX-License-Identifier: Apache-2.0 */
/* When to come back, and why it ended. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <noctule/backoff.h>

#include "base/macros.h"

static uint32_t now_ms = UINT32_MAX - 1000; /* so that it wraps around */

static uint32_t wait_for(struct noc_backoff *backoff, unsigned kind, unsigned code, uint32_t random)
{
    struct noc_cause cause = {.kind = (uint16_t)kind, .code = (uint16_t)code};

    return noc_backoff_ms(backoff, &cause, now_ms, random);
}

static void waits_grow_to_a_limit_and_are_spread_over_all_of_it(void **state)
{
    static const uint32_t limits[] = {
        1000, 2000, 4000, 8000, 16000, 32000, 64000, 128000, 256000, 300000, 300000, 300000};
    struct noc_backoff low = {0}, high = {0}, middle = {0};

    (void)state;
    for (size_t i = 0; i < NOC_COUNT(limits); i++) {
        uint32_t most = wait_for(&high, NOC_CAUSE_CONNECT_TIMEOUT, 0, UINT32_MAX);
        uint32_t half = wait_for(&middle, NOC_CAUSE_REFUSED, NOC_RC_SERVER_UNAVAILABLE, 1u << 31);

        assert_int_equal(wait_for(&low, NOC_CAUSE_LOST, 0, 0), 0);
        assert_true(most <= limits[i] && most > limits[i] - limits[i] / 100 - 2);
        assert_in_range(half, limits[i] / 2 - 2, limits[i] / 2);
    }
    for (unsigned i = 0; i < 1000; i++) {
        assert_in_range(wait_for(&high, NOC_CAUSE_PROTOCOL, 0, UINT32_MAX), 299990, 300000);
    }
}

static void a_loss_after_success_is_tried_again_at_once_but_once(void **state)
{
    struct noc_backoff backoff = {.min_ms = 100, .max_ms = 400};

    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        wait_for(&backoff, NOC_CAUSE_LOST, 0, UINT32_MAX);
    }
    noc_backoff_connected(&backoff, now_ms);
    now_ms += 60000;
    assert_int_equal(wait_for(&backoff, NOC_CAUSE_LOST, 0, UINT32_MAX), 0);
    assert_in_range(wait_for(&backoff, NOC_CAUSE_LOST, 0, UINT32_MAX), 98, 100);
    assert_in_range(wait_for(&backoff, NOC_CAUSE_LOST, 0, UINT32_MAX), 197, 200);
    noc_backoff_connected(&backoff, now_ms);
    now_ms += 60000;
    assert_int_equal(wait_for(&backoff, NOC_CAUSE_PING_TIMEOUT, 0, UINT32_MAX), 0);
    noc_backoff_connected(&backoff, now_ms);
    now_ms += 70000;
    assert_int_equal(wait_for(&backoff, NOC_CAUSE_DISCONNECTED, 0, UINT32_MAX), 0);
}

static void who_is_accepted_and_soon_lost_does_not_hammer(void **state)
{
    static const uint32_t limits[] = {100, 200, 400, 400};
    struct noc_backoff backoff = {.min_ms = 100, .max_ms = 400};

    (void)state;
    noc_backoff_connected(&backoff, now_ms);
    now_ms += 59999;
    assert_int_equal(wait_for(&backoff, NOC_CAUSE_LOST, 0, UINT32_MAX), 0);
    for (size_t i = 0; i < NOC_COUNT(limits); i++) {
        noc_backoff_connected(&backoff, now_ms);
        now_ms += 10;
        assert_in_range(
            wait_for(&backoff, NOC_CAUSE_LOST, 0, UINT32_MAX), limits[i] * 98 / 100, limits[i]);
    }
}

static void where_trying_is_of_no_use_or_harm_it_is_slow(void **state)
{
    static const struct {
        unsigned kind, code;
    } slow[] = {
        {NOC_CAUSE_REFUSED, 2},
        {NOC_CAUSE_REFUSED, 4},
        {NOC_CAUSE_REFUSED, 5},
        {NOC_CAUSE_REFUSED, NOC_RC_BAD_CREDENTIALS},
        {NOC_CAUSE_REFUSED, NOC_RC_NOT_AUTHORIZED},
        {NOC_CAUSE_REFUSED, NOC_RC_BANNED},
        {NOC_CAUSE_REFUSED, NOC_RC_BAD_AUTHENTICATION_METHOD},
        {NOC_CAUSE_REFUSED, NOC_RC_CLIENT_ID_NOT_VALID},
        {NOC_CAUSE_DISCONNECTED, NOC_RC_SESSION_TAKEN_OVER},
        {NOC_CAUSE_HTTP, 401},
        {NOC_CAUSE_HTTP, 403},
        {NOC_CAUSE_AUTH, 0},
    };
    static const struct {
        unsigned kind, code;
    } never[] = {
        {NOC_CAUSE_ASKED, 0},
        {NOC_CAUSE_OPTIONS, 4},
        {NOC_CAUSE_REFUSED, 1},
        {NOC_CAUSE_REFUSED, NOC_RC_UNSUPPORTED_VERSION},
        {NOC_CAUSE_REFUSED, NOC_RC_USE_ANOTHER_SERVER},
        {NOC_CAUSE_DISCONNECTED, NOC_RC_SERVER_MOVED},
    };

    (void)state;
    for (size_t i = 0; i < NOC_COUNT(slow); i++) {
        struct noc_backoff backoff = {.max_ms = 1000, .has_been_open = true};

        assert_int_equal(wait_for(&backoff, slow[i].kind, slow[i].code, 0), 1000);
        assert_in_range(wait_for(&backoff, slow[i].kind, slow[i].code, UINT32_MAX), 1490, 1500);
    }
    for (size_t i = 0; i < NOC_COUNT(never); i++) {
        struct noc_backoff backoff = {0};

        assert_true(wait_for(&backoff, never[i].kind, never[i].code, 7) == NOC_NEVER);
    }
}

static void what_the_server_asks_for_is_kept(void **state)
{
    struct noc_cause cause = {.kind = NOC_CAUSE_HTTP, .code = 503, .retry_after_s = 20};
    struct noc_backoff backoff = {0};

    (void)state;
    assert_int_equal(noc_backoff_ms(&backoff, &cause, now_ms, 0), 20000);
    assert_in_range(noc_backoff_ms(&backoff, &cause, now_ms, UINT32_MAX), 20000, 22000);
    cause.retry_after_s = UINT16_MAX;
    assert_true(noc_backoff_ms(&backoff, &cause, now_ms, UINT32_MAX) >= 65535000);
}

static void huge_limits_do_not_overflow(void **state)
{
    struct noc_backoff backoff = {.min_ms = UINT32_MAX - 1, .max_ms = UINT32_MAX - 1};

    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        assert_true(wait_for(&backoff, NOC_CAUSE_LOST, 0, UINT32_MAX) != NOC_NEVER);
        assert_true(wait_for(&backoff, NOC_CAUSE_AUTH, 0, UINT32_MAX) == UINT32_MAX - 1);
    }
}

static void every_cause_has_a_text(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < 40; kind++) {
        for (unsigned code = 0; code < 600; code++) {
            struct noc_cause cause = {.kind = (uint16_t)kind, .code = (uint16_t)code};

            assert_true(noc_cause_text(&cause)[0] != '\0');
        }
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(waits_grow_to_a_limit_and_are_spread_over_all_of_it),
        cmocka_unit_test(a_loss_after_success_is_tried_again_at_once_but_once),
        cmocka_unit_test(who_is_accepted_and_soon_lost_does_not_hammer),
        cmocka_unit_test(where_trying_is_of_no_use_or_harm_it_is_slow),
        cmocka_unit_test(what_the_server_asks_for_is_kept),
        cmocka_unit_test(huge_limits_do_not_overflow),
        cmocka_unit_test(every_cause_has_a_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
