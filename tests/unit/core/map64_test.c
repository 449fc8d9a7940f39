/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static long allocations_left = -1; /* until all fail; negative: none does */

static void *failing_calloc(size_t n, size_t size)
{
    return allocations_left < 0 || (allocations_left > 0 && allocations_left-- > 0)
               ? calloc(n, size)
               : NULL;
}

#define calloc failing_calloc
#include "core/map64.c"
#undef calloc

static uint32_t draw(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*state >> 33);
}

static void *value_of(uint64_t number)
{
    return (void *)(uintptr_t)number;
}

static void a_map_agrees_with_a_plain_array(void **state)
{
    enum { KEYS = 500 };
    void *model[KEYS + 1];

    (void)state;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct noc_map64 map = {0};
        uint64_t random = seed, scale = seed % 2 == 0 ? 1 : UINT64_C(1) << (seed % 50);
        size_t count = 0;

        memset(model, 0, sizeof model);
        for (uint32_t i = 1; i <= 4000; i++) {
            uint64_t key = 1 + draw(&random) % KEYS;

            if (draw(&random) % 100 < (i / 1000 % 2 == 0 ? 70 : 30)) {
                assert_int_equal(noc_map64_set(&map, key * scale, value_of(i)), NOC_OK);
                count += model[key] == NULL;
                model[key] = value_of(i);
            } else {
                assert_ptr_equal(noc_map64_take(&map, key * scale), model[key]);
                count -= model[key] != NULL;
                model[key] = NULL;
            }
            assert_int_equal(map.count, count);
            key = 1 + draw(&random) % KEYS;
            assert_ptr_equal(noc_map64_get(&map, key * scale), model[key]);
        }
        for (uint64_t key = 1; key <= KEYS; key++) {
            assert_ptr_equal(noc_map64_get(&map, key * scale), model[key]);
            (void)noc_map64_take(&map, key * scale);
        }
        assert_int_equal(map.count, 0);
        assert_null(map.entries);
    }
}

/* The n-th number from from on whose home in a map of eight slots is slot. */
static uint64_t key_at(size_t slot, uint64_t from)
{
    struct noc_map64 map = {.mask = 7};

    while (slot_of(&map, from) != slot) {
        from++;
    }
    return from;
}

static void a_run_round_the_end_of_the_table_survives_a_removal(void **state)
{
    (void)state;
    /* Six keys with homes at 6, 6, 7, 7, 0, 6: the run goes on at 0. Take out each in turn. */
    for (unsigned out = 0; out < 6; out++) {
        static const size_t homes[] = {6, 6, 7, 7, 0, 6};
        struct noc_map64 map = {0};
        uint64_t keys[6], from = 1;

        for (unsigned i = 0; i < 6; i++) {
            keys[i] = key_at(homes[i], from);
            from = keys[i] + 1;
            assert_int_equal(noc_map64_set(&map, keys[i], value_of(i + 1)), NOC_OK);
        }
        assert_int_equal(map.mask, 7);
        assert_ptr_equal(noc_map64_take(&map, keys[out]), value_of(out + 1));
        for (unsigned i = 0; i < 6; i++) {
            assert_ptr_equal(noc_map64_get(&map, keys[i]), i == out ? NULL : value_of(i + 1));
        }
        noc_map64_done(&map);
    }
}

static void an_empty_map_holds_no_memory_and_nothing_else(void **state)
{
    struct noc_map64 map = {0};
    size_t at = 0;

    (void)state;
    assert_null(noc_map64_get(&map, 1));
    assert_null(noc_map64_take(&map, 1));
    assert_null(noc_map64_next(&map, &at));
    assert_int_equal(noc_map64_set(&map, 1, &map), NOC_OK);
    assert_ptr_equal(noc_map64_take(&map, 1), &map);
    assert_null(map.entries);
}

static void a_walk_comes_across_each_value_once(void **state)
{
    struct noc_map64 map = {0};
    unsigned seen[101] = {0};
    size_t at = 0;
    void *value;

    (void)state;
    for (uint64_t key = 1; key <= 100; key++) {
        assert_int_equal(noc_map64_set(&map, key * 64, value_of(key)), NOC_OK);
    }
    while ((value = noc_map64_next(&map, &at)) != NULL) {
        seen[(uintptr_t)value]++;
    }
    for (unsigned i = 1; i <= 100; i++) {
        assert_int_equal(seen[i], 1);
    }
    noc_map64_done(&map);
}

static void without_memory_a_map_fills_up_but_for_one_slot(void **state)
{
    struct noc_map64 map = {0};

    (void)state;
    allocations_left = 0;
    assert_int_equal(noc_map64_set(&map, 1, &map), NOC_ENOMEM);
    allocations_left = 1;
    for (uint64_t key = 1; key <= 7; key++) {
        assert_int_equal(noc_map64_set(&map, key, value_of(key)), NOC_OK);
    }
    assert_int_equal(noc_map64_set(&map, 8, value_of(8)), NOC_ENOMEM);
    assert_null(noc_map64_get(&map, 8));
    assert_ptr_equal(noc_map64_get(&map, 7), value_of(7));
    allocations_left = -1;
    assert_int_equal(noc_map64_set(&map, 8, value_of(8)), NOC_OK);
    for (uint64_t key = 1; key <= 8; key++) {
        assert_ptr_equal(noc_map64_get(&map, key), value_of(key));
    }
    noc_map64_done(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_map_agrees_with_a_plain_array),
        cmocka_unit_test(a_run_round_the_end_of_the_table_survives_a_removal),
        cmocka_unit_test(an_empty_map_holds_no_memory_and_nothing_else),
        cmocka_unit_test(a_walk_comes_across_each_value_once),
        cmocka_unit_test(without_memory_a_map_fills_up_but_for_one_slot),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
