/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static long allocations_left = -1; /* until all fail; negative: none does */

static void *failing_malloc(size_t n)
{
    return allocations_left < 0 || (allocations_left > 0 && allocations_left-- > 0) ? malloc(n)
                                                                                    : NULL;
}

#define malloc failing_malloc
#include "core/outq.c"
#undef malloc

enum { MODEL_MAX = 1 << 20 };

static uint32_t draw(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*state >> 33);
}

/* The queue's bytes, gathered as a writer would. Returns their number. */
static size_t gather(const struct noc_outq *queue, uint8_t *at)
{
    size_t n = 0;

    for (const struct noc_segment *segment = queue->first; segment != NULL;
         segment = segment->next) {
        memcpy(at + n, segment->at, segment->n);
        n += segment->n;
        assert_true(segment->next != NULL || segment == queue->last);
    }
    return n;
}

static struct noc_message *message_of(size_t n)
{
    struct noc_message *message;
    uint8_t *bytes = calloc(1, n + 1);

    for (size_t i = 0; i < n; i++) {
        bytes[i] = (uint8_t)(i * 7);
    }
    message = noc_message_new(&(struct noc_message_parts){
        .topic = noc_slice_of("t"), .payload = noc_slice(bytes, n), .expires_ms = NOC_NEVER_MS});
    free(bytes);
    assert_non_null(message);
    return message;
}

/* One random step on the queue and on the model, a plain array. */
static void step(struct noc_outq *queue, struct noc_block_pool *pool, uint8_t *model, size_t *n,
    struct noc_message *message, uint64_t *random)
{
    struct noc_slice payload = noc_message_payload(message);
    uint8_t bytes[20000];
    size_t k = draw(random) % (draw(random) % 8 == 0 ? sizeof bytes : 300);

    memset(bytes, (int)draw(random), sizeof bytes);
    switch (draw(random) % 5) {
    case 0:
        assert_int_equal(noc_outq_write(queue, pool, bytes, k), NOC_OK);
        break;
    case 1:
        memcpy(noc_outq_reserve(queue, pool, k + 10), bytes, k);
        noc_outq_commit(queue, k);
        break;
    case 2:
        k = draw(random) % payload.n;
        assert_int_equal(noc_outq_refer(queue, message, payload.at, k), NOC_OK);
        memcpy(bytes, payload.at, k);
        break;
    case 3:
        k = *n == 0 ? 0 : draw(random) % (*n + 1);
        noc_outq_consume(queue, pool, k);
        *n -= k;
        memmove(model, model + k, *n);
        return;
    default:
        memcpy(noc_outq_reserve(queue, pool, k + 1), bytes, k + 1);
        noc_outq_commit(queue, k + 1);
        noc_outq_uncommit(queue, k + 1);
        return;
    }
    memcpy(model + *n, bytes, k);
    *n += k;
}

static void a_queue_gives_back_exactly_what_was_put_in(void **state)
{
    uint8_t *model = malloc(MODEL_MAX), *seen = malloc(MODEL_MAX);
    struct noc_message *message = message_of(9000);
    struct noc_block_pool pool;

    (void)state;
    noc_block_pool_init(&pool, 3);
    for (uint64_t seed = 1; seed <= 40; seed++) {
        uint64_t random = seed;
        struct noc_outq queue = {0};
        size_t n = 0;

        for (unsigned i = 0; i < 300; i++) {
            if (n > MODEL_MAX / 2) {
                noc_outq_consume(&queue, &pool, n);
                n = 0;
            }
            step(&queue, &pool, model, &n, message, &random);
            assert_int_equal(queue.bytes, n);
            assert_int_equal(gather(&queue, seen), n);
            assert_memory_equal(seen, model, n);
            assert_in_range(pool.count, 0, 3);
        }
        noc_outq_reset(&queue, &pool);
        assert_int_equal(queue.bytes, 0);
        assert_null(queue.first);
    }
    noc_block_pool_done(&pool);
    assert_int_equal(message->references, 1);
    noc_message_unref(message);
    free(model);
    free(seen);
}

static void an_emptied_queue_holds_no_block(void **state)
{
    struct noc_block_pool pool;
    struct noc_outq queue = {0};

    (void)state;
    noc_block_pool_init(&pool, 8);
    assert_int_equal(noc_outq_write(&queue, &pool, "abc", 3), NOC_OK);
    noc_outq_consume(&queue, &pool, 2);
    assert_non_null(queue.first);
    noc_outq_consume(&queue, &pool, 1);
    assert_null(queue.first);
    assert_null(queue.last);
    assert_int_equal(pool.count, 1);
    noc_block_pool_done(&pool);
}

static void a_pool_keeps_as_many_blocks_as_it_may(void **state)
{
    static uint8_t bytes[5 * NOC_BLOCK_BYTES];
    struct noc_block_pool pool;
    struct noc_outq queue = {0};

    (void)state;
    noc_block_pool_init(&pool, 2);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(noc_outq_write(&queue, &pool, bytes, NOC_BLOCK_BYTES), NOC_OK);
    }
    noc_outq_consume(&queue, &pool, sizeof bytes);
    assert_int_equal(pool.count, 2);
    noc_block_pool_done(&pool);
    assert_int_equal(pool.count, 0);
}

static void a_block_larger_than_the_ordinary_is_not_kept(void **state)
{
    struct noc_block_pool pool;
    struct noc_outq queue = {0};

    (void)state;
    noc_block_pool_init(&pool, 2);
    assert_non_null(noc_outq_reserve(&queue, &pool, NOC_BLOCK_BYTES + 1));
    noc_outq_commit(&queue, 1);
    noc_outq_consume(&queue, &pool, 1);
    assert_int_equal(pool.count, 0);
    noc_block_pool_done(&pool);
}

static void a_block_of_the_pool_is_used_again(void **state)
{
    struct noc_block_pool pool;
    struct noc_outq queue = {0};
    const uint8_t *first;

    (void)state;
    noc_block_pool_init(&pool, 2);
    first = noc_outq_reserve(&queue, &pool, 10);
    noc_outq_reset(&queue, &pool);
    assert_ptr_equal(noc_outq_reserve(&queue, &pool, 10), first);
    noc_outq_reset(&queue, &pool);
    noc_block_pool_done(&pool);
}

static void a_reference_keeps_its_message_until_its_bytes_are_sent(void **state)
{
    struct noc_message *message = message_of(5000);
    struct noc_slice payload = noc_message_payload(message);
    struct noc_block_pool pool;
    struct noc_outq queue = {0};

    (void)state;
    noc_block_pool_init(&pool, 0);
    assert_int_equal(noc_outq_refer(&queue, message, payload.at, payload.n), NOC_OK);
    assert_int_equal(noc_outq_refer(&queue, message, payload.at, 0), NOC_OK);
    assert_int_equal(message->references, 2);
    noc_outq_consume(&queue, &pool, 4999);
    assert_int_equal(message->references, 2);
    noc_outq_consume(&queue, &pool, 1);
    assert_int_equal(message->references, 1);
    noc_message_unref(message);
}

static void without_memory_nothing_is_appended(void **state)
{
    static uint8_t bytes[2 * NOC_BLOCK_BYTES];
    struct noc_message *message = message_of(10);
    struct noc_block_pool pool;
    struct noc_outq queue = {0};

    (void)state;
    noc_block_pool_init(&pool, 0);
    allocations_left = 0;
    assert_int_equal(noc_outq_write(&queue, &pool, "a", 1), NOC_ENOMEM);
    assert_null(noc_outq_reserve(&queue, &pool, 1));
    assert_int_equal(noc_outq_refer(&queue, message, "a", 1), NOC_ENOMEM);
    assert_int_equal(queue.bytes, 0);
    assert_int_equal(message->references, 1);
    allocations_left = 1;
    assert_int_equal(noc_outq_write(&queue, &pool, "ab", 2), NOC_OK);
    /* A part of it would fit into the block that is there. */
    assert_int_equal(noc_outq_write(&queue, &pool, bytes, sizeof bytes), NOC_ENOMEM);
    assert_int_equal(queue.bytes, 2);
    assert_int_equal(queue.first->n, 2);
    allocations_left = -1;
    noc_outq_reset(&queue, &pool);
    noc_message_unref(message);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_queue_gives_back_exactly_what_was_put_in),
        cmocka_unit_test(an_emptied_queue_holds_no_block),
        cmocka_unit_test(a_pool_keeps_as_many_blocks_as_it_may),
        cmocka_unit_test(a_block_larger_than_the_ordinary_is_not_kept),
        cmocka_unit_test(a_block_of_the_pool_is_used_again),
        cmocka_unit_test(a_reference_keeps_its_message_until_its_bytes_are_sent),
        cmocka_unit_test(without_memory_nothing_is_appended),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
