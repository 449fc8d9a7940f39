/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
/* The test's own allocations are counted as the broker's are: it is linked the same way. */
#include "broker/heap.h"

#include <malloc.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Steps that two threads have not told yet. */
#define NEAR (2 * 16 * 1024)

enum { BLOCKS = 1000, BLOCK_BYTES = 4000 };

struct blocks {
    void *at[BLOCKS];
};

static void assert_near(uint64_t bytes, uint64_t wanted)
{
    assert_in_range(bytes, wanted < NEAR ? 0 : wanted - NEAR, wanted + NEAR);
}

static void *free_all(void *context)
{
    struct blocks *blocks = context;

    for (int i = 0; i < BLOCKS; i++) {
        free(blocks->at[i]);
    }
    return NULL;
}

static void every_way_to_allocate_counts_until_it_is_freed(void **state)
{
    struct blocks blocks;
    uint64_t before = noc_heap_bytes_mt();
    char text[BLOCK_BYTES];

    (void)state;
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    for (int i = 0; i < BLOCKS; i += 5) {
        blocks.at[i] = malloc(BLOCK_BYTES);
        blocks.at[i + 1] = calloc(BLOCK_BYTES / 8, 8);
        blocks.at[i + 2] = aligned_alloc(64, BLOCK_BYTES / 64 * 64);
        blocks.at[i + 3] = strdup(text);
        blocks.at[i + 4] = realloc(NULL, BLOCK_BYTES);
    }
    /* At least that, and no more than a tenth for headers and alignment. */
    assert_in_range(noc_heap_bytes_mt() - before, BLOCKS * (BLOCK_BYTES - 64) - NEAR,
        BLOCKS * (BLOCK_BYTES + BLOCK_BYTES / 10) + NEAR);
    (void)free_all(&blocks);
    assert_near(noc_heap_bytes_mt(), before);
}

static void a_block_that_changes_its_size_counts_as_what_it_is(void **state)
{
    uint64_t before = noc_heap_bytes_mt();
    void *memory = malloc(1000), *moved;

    (void)state;
    for (size_t n = 1000; n <= 1000000; n += 1000) {
        moved = realloc(memory, n);
        assert_non_null(moved);
        memory = moved;
    }
    assert_near(noc_heap_bytes_mt(), before + 1000000);
    moved = realloc(memory, 100);
    assert_non_null(moved);
    assert_near(noc_heap_bytes_mt(), before);
    free(moved);
    free(NULL);
    assert_near(noc_heap_bytes_mt(), before);
}

static void what_one_thread_takes_another_one_may_give_back(void **state)
{
    struct blocks blocks;
    uint64_t before = noc_heap_bytes_mt();
    pthread_t thread;

    (void)state;
    for (int i = 0; i < BLOCKS; i++) {
        blocks.at[i] = malloc(BLOCK_BYTES);
    }
    assert_int_equal(pthread_create(&thread, NULL, free_all, &blocks), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_near(noc_heap_bytes_mt(), before);
}

static void what_openssl_takes_is_counted(void **state)
{
    uint64_t before = noc_heap_bytes_mt();
    void *memory = OPENSSL_malloc(1000000), *moved;

    (void)state;
    assert_near(noc_heap_bytes_mt(), before + 1000000);
    moved = OPENSSL_realloc(memory, 2000000);
    assert_non_null(moved);
    assert_near(noc_heap_bytes_mt(), before + 2000000);
    OPENSSL_free(moved);
    assert_near(noc_heap_bytes_mt(), before);
}

static void small_free_blocks_do_not_pile_up(void **state)
{
    void *blocks[BLOCKS];

    (void)state;
    for (int i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(40);
    }
    for (int i = 0; i < BLOCKS; i += 2) {
        free(blocks[i]);
    }
    assert_int_equal(mallinfo2().fsmblks, 0);
    for (int i = 1; i < BLOCKS; i += 2) {
        free(blocks[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_way_to_allocate_counts_until_it_is_freed),
        cmocka_unit_test(a_block_that_changes_its_size_counts_as_what_it_is),
        cmocka_unit_test(what_one_thread_takes_another_one_may_give_back),
        cmocka_unit_test(what_openssl_takes_is_counted),
        cmocka_unit_test(small_free_blocks_do_not_pile_up),
    };

    noc_heap_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
