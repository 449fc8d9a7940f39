/* SPDX-License-Identifier: Apache-2.0 */
/* The small headers of src/base: errors, slices, bytes, lists. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/list.h"
#include <noctule/error.h>
#include <noctule/slice.h>

static void every_error_has_a_text_of_its_own(void **state)
{
    (void)state;
    assert_string_equal(noc_error_text(NOC_OK), "success");
    for (int err = NOC_ESTALE; err < 0; err++) {
        assert_string_not_equal(noc_error_text(err), "unknown error");
        assert_string_not_equal(noc_error_text(err), noc_error_text(err + 1));
    }
    assert_string_equal(noc_error_text(1), "unknown error");
    assert_string_equal(noc_error_text(NOC_ESTALE - 1), "unknown error");
}

static void slices_are_equal_by_their_bytes(void **state)
{
    (void)state;
    assert_true(noc_slice_equal(noc_slice_of("ab"), noc_slice("abc", 2)));
    assert_false(noc_slice_equal(noc_slice_of("ab"), noc_slice_of("ac")));
    assert_false(noc_slice_equal(noc_slice_of("ab"), noc_slice_of("abc")));
    assert_true(noc_slice_equal(noc_slice_of(NULL), noc_slice_of("")));
    assert_true(noc_slice_equal(noc_slice("a\0b", 3), noc_slice("a\0b", 3)));
}

static void a_prefix_is_no_longer_than_the_text(void **state)
{
    (void)state;
    assert_true(noc_slice_has_prefix(noc_slice_of("abc"), noc_slice_of("ab")));
    assert_true(noc_slice_has_prefix(noc_slice_of("abc"), noc_slice_of("")));
    assert_true(noc_slice_has_prefix(noc_slice_of(NULL), noc_slice_of(NULL)));
    assert_false(noc_slice_has_prefix(noc_slice_of("ab"), noc_slice_of("abc")));
    assert_false(noc_slice_has_prefix(noc_slice_of("abc"), noc_slice_of("b")));
}

static void slices_are_ordered_by_bytes_and_then_by_length(void **state)
{
    (void)state;
    assert_true(noc_slice_compare(noc_slice_of("a"), noc_slice_of("b")) < 0);
    assert_true(noc_slice_compare(noc_slice_of("ab"), noc_slice_of("a")) > 0);
    assert_true(noc_slice_compare(noc_slice_of(NULL), noc_slice_of("a")) < 0);
    assert_true(noc_slice_compare(noc_slice_of("\xff"), noc_slice_of("a")) > 0);
    assert_int_equal(noc_slice_compare(noc_slice_of("a"), noc_slice_of("a")), 0);
    assert_int_equal(noc_slice_compare(noc_slice_of(NULL), noc_slice_of("")), 0);
}

static void integers_go_big_endian_at_any_alignment(void **state)
{
    static const uint8_t want[] = {1, 2, 3, 4, 5, 6, 7, 8};
    uint8_t room[16];

    (void)state;
    for (size_t offset = 0; offset < 8; offset++) {
        uint8_t *at = room + offset;

        assert_ptr_equal(noc_put_u64(at, UINT64_C(0x0102030405060708)), at + 8);
        assert_memory_equal(at, want, 8);
        assert_int_equal(noc_get_u64(at), UINT64_C(0x0102030405060708));
        assert_ptr_equal(noc_put_u32(at, 0x01020304), at + 4);
        assert_memory_equal(at, want, 4);
        assert_int_equal(noc_get_u32(at), 0x01020304);
        assert_ptr_equal(noc_put_u16(at, 0x0102), at + 2);
        assert_memory_equal(at, want, 2);
        assert_int_equal(noc_get_u16(at), 0x0102);
    }
    noc_put_u64(room, UINT64_MAX);
    assert_int_equal(noc_get_u64(room), UINT64_MAX);
    assert_int_equal(noc_get_u32(room), UINT32_MAX);
}

static void a_list_gives_back_its_links_in_order(void **state)
{
    struct noc_list head, links[3];

    (void)state;
    noc_list_init(&head);
    assert_true(noc_list_is_empty(&head));
    assert_null(noc_list_take(&head));
    for (unsigned i = 0; i < 3; i++) {
        noc_list_init(&links[i]);
        assert_false(noc_list_is_linked(&links[i]));
        noc_list_append(&head, &links[i]);
        assert_true(noc_list_is_linked(&links[i]));
    }
    noc_list_remove(&links[1]);
    noc_list_remove(&links[1]);
    noc_list_insert_before(&links[0], &links[1]);
    assert_ptr_equal(noc_list_take(&head), &links[1]);
    assert_ptr_equal(noc_list_take(&head), &links[0]);
    assert_ptr_equal(noc_list_take(&head), &links[2]);
    assert_true(noc_list_is_empty(&head));
}

static void joining_lists_moves_all_to_the_end(void **state)
{
    struct noc_list head, from, links[3];

    (void)state;
    noc_list_init(&head);
    noc_list_init(&from);
    noc_list_join(&head, &from);
    assert_true(noc_list_is_empty(&head));
    noc_list_append(&from, &links[0]);
    noc_list_append(&from, &links[1]);
    noc_list_join(&head, &from);
    assert_true(noc_list_is_empty(&from));
    noc_list_append(&from, &links[2]);
    noc_list_join(&head, &from);
    for (unsigned i = 0; i < 3; i++) {
        assert_ptr_equal(noc_list_take(&head), &links[i]);
    }
    assert_true(noc_list_is_empty(&head) && noc_list_is_empty(&from));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_error_has_a_text_of_its_own),
        cmocka_unit_test(slices_are_equal_by_their_bytes),
        cmocka_unit_test(a_prefix_is_no_longer_than_the_text),
        cmocka_unit_test(slices_are_ordered_by_bytes_and_then_by_length),
        cmocka_unit_test(integers_go_big_endian_at_any_alignment),
        cmocka_unit_test(a_list_gives_back_its_links_in_order),
        cmocka_unit_test(joining_lists_moves_all_to_the_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
