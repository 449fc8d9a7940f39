/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <pthread.h>

#include "auth/memory.h"
#include "base/bytes.h"
#include <noctule/error.h>

enum { N = NOC_AUTH_DIGEST_BYTES };

static void digest_of(struct noc_auth_memory *memory, const char *user, const char *password,
    uint8_t line, uint8_t *d)
{
    uint8_t line_digest[NOC_LINE_DIGEST_BYTES] = {line};

    assert_int_equal(noc_auth_memory_digest_mt(
                         memory, noc_slice_of(user), noc_slice_of(password), line_digest, d),
        NOC_OK);
}

static void a_digest_depends_on_every_part_and_on_the_key(void **state)
{
    struct noc_auth_memory *memory = noc_auth_memory_new(0);
    struct noc_auth_memory *other = noc_auth_memory_new(0);
    uint8_t a[N], b[N];

    (void)state;
    digest_of(memory, "user", "pass", 1, a);
    digest_of(memory, "user", "pass", 1, b);
    assert_memory_equal(a, b, N);
    digest_of(memory, "userp", "ass", 1, b);
    assert_memory_not_equal(a, b, N);
    digest_of(memory, "use", "rpass", 1, b);
    assert_memory_not_equal(a, b, N);
    digest_of(memory, "user", "Pass", 1, b);
    assert_memory_not_equal(a, b, N);
    digest_of(memory, "user", "pass", 2, b);
    assert_memory_not_equal(a, b, N);
    digest_of(memory, "", "", 1, b);
    assert_memory_not_equal(a, b, N);
    digest_of(other, "user", "pass", 1, b);
    assert_memory_not_equal(a, b, N);
    noc_auth_memory_free(memory);
    noc_auth_memory_free(other);
    noc_auth_memory_free(NULL);
}

static void what_was_added_is_there_until_cleared(void **state)
{
    struct noc_auth_memory *memory = noc_auth_memory_new(0);
    uint8_t a[N], b[N];
    static const uint8_t zero[N];

    (void)state;
    digest_of(memory, "a", "pw", 1, a);
    digest_of(memory, "b", "pw", 1, b);
    assert_false(noc_auth_memory_has_mt(memory, a));
    assert_false(noc_auth_memory_has_mt(memory, zero)); /* a free place is no success */
    noc_auth_memory_add_mt(memory, a);
    noc_auth_memory_add_mt(memory, a);
    assert_true(noc_auth_memory_has_mt(memory, a));
    assert_false(noc_auth_memory_has_mt(memory, b));
    noc_auth_memory_clear_mt(memory);
    assert_false(noc_auth_memory_has_mt(memory, a));
    noc_auth_memory_free(memory);
}

/* Four entries make a single set. */
static void a_full_set_forgets_what_was_used_longest_ago(void **state)
{
    struct noc_auth_memory *memory = noc_auth_memory_new(4);
    uint8_t d[6][N] = {{1}, {2}, {3}, {4}, {5}, {6}};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        noc_auth_memory_add_mt(memory, d[i]);
    }
    assert_true(noc_auth_memory_has_mt(memory, d[0]));
    noc_auth_memory_add_mt(memory, d[4]);
    assert_false(noc_auth_memory_has_mt(memory, d[1]));
    assert_true(noc_auth_memory_has_mt(memory, d[2]));
    assert_true(noc_auth_memory_has_mt(memory, d[0]));
    noc_auth_memory_add_mt(memory, d[0]); /* there already: nothing is pushed out */
    assert_true(noc_auth_memory_has_mt(memory, d[3]));
    noc_auth_memory_add_mt(memory, d[5]);
    assert_false(noc_auth_memory_has_mt(memory, d[4]));
    noc_auth_memory_free(memory);
}

static void a_table_remembers_about_as_many_as_asked_for(void **state)
{
    struct noc_auth_memory *memory = noc_auth_memory_new(1000);
    unsigned found = 0;

    (void)state;
    for (uint64_t round = 0; round < 2; round++) {
        for (uint64_t i = 1; i <= 256; i++) {
            uint8_t d[N] = {0};

            noc_put_u64(d, i);
            if (round == 0) {
                noc_auth_memory_add_mt(memory, d);
            } else {
                found += noc_auth_memory_has_mt(memory, d);
            }
        }
    }
    assert_int_equal(found, 256);
    noc_auth_memory_free(memory);
}

static void *use_from_a_thread(void *context)
{
    struct noc_auth_memory *memory = context;

    for (unsigned i = 0; i < 2000; i++) {
        uint8_t d[N];
        char user[2] = {(char)('a' + i % 16), '\0'};

        digest_of(memory, user, "pw", 1, d);
        if (!noc_auth_memory_has_mt(memory, d)) {
            noc_auth_memory_add_mt(memory, d);
        }
        if (i % 500 == 0) {
            noc_auth_memory_clear_mt(memory);
        }
    }
    return NULL;
}

static void any_threads_may_use_it_at_once(void **state)
{
    struct noc_auth_memory *memory = noc_auth_memory_new(8);
    pthread_t threads[4];

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, use_from_a_thread, memory), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    noc_auth_memory_free(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_digest_depends_on_every_part_and_on_the_key),
        cmocka_unit_test(what_was_added_is_there_until_cleared),
        cmocka_unit_test(a_full_set_forgets_what_was_used_longest_ago),
        cmocka_unit_test(a_table_remembers_about_as_many_as_asked_for),
        cmocka_unit_test(any_threads_may_use_it_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
