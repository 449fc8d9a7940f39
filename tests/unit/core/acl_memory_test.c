/* SPDX-License-Identifier: Apache-2.0 */
/* Building an ACL with the n-th allocation failing, for every n. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static long allocations_left; /* until one fails; negative: none does */

static int may_allocate(void)
{
    return allocations_left < 0 || allocations_left-- > 0;
}

static void *failing_calloc(size_t n, size_t size)
{
    return may_allocate() ? calloc(n, size) : NULL;
}

static void *failing_realloc(void *memory, size_t n)
{
    return may_allocate() ? realloc(memory, n) : NULL;
}

#define calloc  failing_calloc
#define realloc failing_realloc
#include "core/acl.c"
#undef calloc
#undef realloc

/* Enough lines for every table to grow. NULL: an allocation failed. */
static struct noc_acl *build(void)
{
    struct noc_acl_builder *builder = noc_acl_builder_new(&(struct noc_acl_options){.version = 1});
    char name[32], filter[400];

    for (int i = 0; builder != NULL && i < 40; i++) {
        enum noc_acl_who who = i % 10 == 0  ? NOC_ACL_PATTERN
                               : i % 9 == 0 ? NOC_ACL_ANONYMOUS
                                            : NOC_ACL_USER;

        snprintf(name, sizeof name, "user%d", i % 30);
        snprintf(filter, sizeof filter, "%0300d/%%u/#", i);
        if (noc_acl_builder_add(builder, who, noc_slice_of(name), i % 4 == 3 ? NOC_ACCESS_DENY : 1,
                noc_slice_of(filter)) < 0) {
            noc_acl_builder_free(builder);
            return NULL;
        }
    }
    return builder == NULL ? NULL : noc_acl_builder_build(builder);
}

static void every_failing_allocation_is_survived(void **state)
{
    struct noc_acl *acl = NULL;
    long n = 0;

    (void)state;
    for (; acl == NULL; n++) {
        assert_in_range(n, 0, 1000);
        allocations_left = n;
        acl = build();
    }
    assert_in_range(n, 30, 200);
    noc_acl_unref(acl);
}

static void a_line_that_found_no_memory_can_be_added_again(void **state)
{
    struct noc_acl_builder *builder;
    struct noc_acl_subject subject = {noc_slice_of("c"), noc_slice_of("u")};
    struct noc_acl *acl;
    int err = NOC_ENOMEM;

    (void)state;
    allocations_left = -1;
    builder = noc_acl_builder_new(&(struct noc_acl_options){.version = 1});
    for (long n = 0; err != NOC_OK; n++) {
        allocations_left = n;
        err = noc_acl_builder_add(
            builder, NOC_ACL_USER, noc_slice_of("u"), NOC_ACCESS_READ, noc_slice_of("a"));
        assert_in_range(n, 0, 10);
    }
    acl = noc_acl_builder_build(builder);
    assert_true(noc_acl_allows(acl, &subject, NOC_ACCESS_READ, noc_slice_of("a")));
    noc_acl_unref(acl);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_failing_allocation_is_survived),
        cmocka_unit_test(a_line_that_found_no_memory_can_be_added_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
