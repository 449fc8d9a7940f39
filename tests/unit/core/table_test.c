/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "core/table.h"

enum { ITEMS = 3000 };

struct item {
    struct noc_table_entry entry;
    unsigned key;
    bool is_in;
};

struct fixture {
    struct noc_reclaim *reclaim;
    struct noc_table table;
    struct item *items;
};

static void fixture_init(struct fixture *fixture)
{
    fixture->reclaim = noc_reclaim_new(1);
    fixture->items = calloc(ITEMS, sizeof fixture->items[0]);
    assert_int_equal(noc_table_init(&fixture->table), 0);
    noc_reclaim_online(fixture->reclaim, 0);
}

static void fixture_done(struct fixture *fixture)
{
    noc_table_done(&fixture->table);
    noc_reclaim_free(fixture->reclaim);
    free(fixture->items);
}

static void insert(struct fixture *fixture, unsigned key, uint64_t hash)
{
    struct item *item = &fixture->items[key];

    item->entry.hash = hash;
    item->key = key;
    item->is_in = true;
    assert_int_equal(noc_table_reserve_locked(&fixture->table, fixture->reclaim, 0), 0);
    noc_table_insert_locked(&fixture->table, &item->entry);
}

static void take_out(struct fixture *fixture, unsigned key)
{
    fixture->items[key].is_in = false;
    noc_table_remove_locked(&fixture->table, fixture->reclaim, 0, &fixture->items[key].entry);
}

static bool finds(struct fixture *fixture, unsigned key, uint64_t hash)
{
    struct noc_table_probe probe;
    struct noc_table_entry *entry = noc_table_first(&fixture->table, hash, &probe);

    for (; entry != NULL; entry = noc_table_next(&probe)) {
        struct item *item = NOC_CONTAINER(entry, struct item, entry);

        assert_true(item->is_in);
        assert_int_equal(item->entry.hash, hash);
        if (item->key == key) {
            return true;
        }
    }
    return false;
}

static void expect_all(struct fixture *fixture, uint64_t (*hash)(unsigned key))
{
    for (unsigned i = 0; i < ITEMS; i++) {
        assert_int_equal(finds(fixture, i, hash(i)), fixture->items[i].is_in);
    }
}

static uint64_t good_hash(unsigned key)
{
    return noc_hash_mix(1, key);
}

/* Eight different hashes in all, some of which differ only where the tag does not look. */
static uint64_t bad_hash(unsigned key)
{
    return (uint64_t)(key % 4) << 32 | (key / 4) % 2;
}

static void go_through_life(uint64_t (*hash)(unsigned key))
{
    struct fixture fixture;
    uint64_t random = 5;

    fixture_init(&fixture);
    expect_all(&fixture, hash);
    for (unsigned i = 0; i < ITEMS; i++) {
        insert(&fixture, i, hash(i));
    }
    expect_all(&fixture, hash);
    for (unsigned round = 0; round < 4 * ITEMS; round++) {
        unsigned key;

        random = random * UINT64_C(6364136223846793005) + 1;
        key = (unsigned)(random >> 33) % ITEMS;
        if (fixture.items[key].is_in) {
            take_out(&fixture, key);
        } else {
            insert(&fixture, key, hash(key));
        }
        assert_int_equal(finds(&fixture, key, hash(key)), fixture.items[key].is_in);
        noc_reclaim_quiescent(fixture.reclaim, 0);
    }
    expect_all(&fixture, hash);
    for (unsigned i = 0; i < ITEMS; i++) {
        if (fixture.items[i].is_in) {
            take_out(&fixture, i);
        }
    }
    expect_all(&fixture, hash);
    assert_int_equal(fixture.table.live, 0);
    fixture_done(&fixture);
}

static void what_is_in_is_found_and_nothing_else(void **state)
{
    go_through_life(good_hash);
}

static void equal_hashes_and_tags_are_told_apart(void **state)
{
    go_through_life(bad_hash);
}

static void an_emptied_table_gives_its_memory_back(void **state)
{
    struct fixture fixture;

    fixture_init(&fixture);
    for (unsigned i = 0; i < ITEMS; i++) {
        insert(&fixture, i, good_hash(i));
    }
    assert_true(atomic_load(&fixture.table.array)->mask >= ITEMS);
    for (unsigned i = 0; i < ITEMS; i++) {
        take_out(&fixture, i);
    }
    assert_true(atomic_load(&fixture.table.array)->mask < ITEMS);
    fixture_done(&fixture);
}

static void coming_and_going_does_not_make_it_grow(void **state)
{
    struct fixture fixture;

    fixture_init(&fixture);
    for (unsigned i = 0; i < 100000; i++) {
        insert(&fixture, i % ITEMS, good_hash(i));
        take_out(&fixture, i % ITEMS);
        noc_reclaim_quiescent(fixture.reclaim, 0);
    }
    assert_int_equal(atomic_load(&fixture.table.array)->mask, 15);
    fixture_done(&fixture);
}

static void iterating_yields_each_once(void **state)
{
    struct fixture fixture;
    struct noc_table_entry *entry;
    uint32_t position = 0;
    unsigned seen = 0;

    fixture_init(&fixture);
    for (unsigned i = 0; i < 100; i++) {
        insert(&fixture, i, good_hash(i));
    }
    take_out(&fixture, 50);
    while ((entry = noc_table_iterate(&fixture.table, &position)) != NULL) {
        struct item *item = NOC_CONTAINER(entry, struct item, entry);

        assert_true(item->is_in);
        item->is_in = false;
        seen++;
    }
    assert_int_equal(seen, 99);
    fixture_done(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_in_is_found_and_nothing_else),
        cmocka_unit_test(equal_hashes_and_tags_are_told_apart),
        cmocka_unit_test(an_emptied_table_gives_its_memory_back),
        cmocka_unit_test(coming_and_going_does_not_make_it_grow),
        cmocka_unit_test(iterating_yields_each_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
