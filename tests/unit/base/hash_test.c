/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"

static unsigned bits(uint64_t value)
{
    unsigned count = 0;

    for (; value != 0; value &= value - 1) {
        count++;
    }
    return count;
}

static void the_same_bytes_hash_alike_wherever_they_lie(void **state)
{
    char room[80];

    (void)state;
    for (size_t n = 0; n <= 48; n++) {
        uint64_t first = 0;

        for (size_t offset = 0; offset < 16; offset++) {
            memset(room, (int)offset, sizeof room);
            for (size_t i = 0; i < n; i++) {
                room[offset + i] = (char)('a' + i);
            }
            if (offset == 0) {
                first = noc_hash(7, room, n);
            }
            assert_int_equal(noc_hash(7, room + offset, n), first);
        }
    }
}

static void a_changed_bit_or_length_or_seed_changes_about_half_of_the_hash(void **state)
{
    (void)state;
    for (size_t n = 1; n <= 40; n++) {
        char text[41];
        uint64_t before;
        unsigned changed = 0;

        memset(text, 'x', sizeof text);
        before = noc_hash(1, text, n);
        assert_int_not_equal(before, noc_hash(2, text, n));
        assert_int_not_equal(before, noc_hash(1, text, n - 1));
        assert_int_not_equal(before, noc_hash(1, text, n + 1));
        for (size_t bit = 0; bit < n * 8; bit++) {
            text[bit / 8] ^= (char)(1 << bit % 8);
            assert_int_not_equal(before, noc_hash(1, text, n));
            changed += bits(before ^ noc_hash(1, text, n));
            text[bit / 8] ^= (char)(1 << bit % 8);
        }
        assert_in_range(changed / (n * 8), 24, 40);
    }
}

static void numbered_topics_spread_evenly_over_a_table(void **state)
{
    enum { BUCKETS = 1024, PER_BUCKET = 64 };
    static unsigned low[BUCKETS], high[BUCKETS];

    (void)state;
    for (unsigned i = 0; i < BUCKETS * PER_BUCKET; i++) {
        char text[32];
        int n = snprintf(text, sizeof text, "site/%u/sensor", i);
        uint64_t hash = noc_hash(42, text, (size_t)n);

        low[hash % BUCKETS]++;
        high[hash >> 54]++;
    }
    for (unsigned i = 0; i < BUCKETS; i++) {
        assert_in_range(low[i], PER_BUCKET / 4, PER_BUCKET * 2);
        assert_in_range(high[i], PER_BUCKET / 4, PER_BUCKET * 2);
    }
}

static void mixing_in_an_integer_depends_on_both(void **state)
{
    (void)state;
    assert_int_not_equal(noc_hash_mix(1, 2), noc_hash_mix(2, 1));
    assert_int_not_equal(noc_hash_mix(1, 2), noc_hash_mix(1, 3));
    assert_int_equal(noc_hash_mix(1, 2), noc_hash_mix(1, 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_bytes_hash_alike_wherever_they_lie),
        cmocka_unit_test(a_changed_bit_or_length_or_seed_changes_about_half_of_the_hash),
        cmocka_unit_test(numbered_topics_spread_evenly_over_a_table),
        cmocka_unit_test(mixing_in_an_integer_depends_on_both),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
