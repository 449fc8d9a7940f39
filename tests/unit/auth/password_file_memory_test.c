/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a password file with the n-th allocation failing, for every n. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static long allocations_left; /* until one fails */

static int may_allocate(void)
{
    return allocations_left-- > 0;
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
#include "auth/password_file.c"
#undef calloc
#undef realloc

static void every_failing_allocation_is_told_and_survived(void **state)
{
    static const char hash[] =
        "$7$1$AA==$0n/IGVUgcIwAtfmuaQJdgt3BDMHE91r8lTGro1q8r6wQTfCmVJbgxe6QCgxZIoHfBL3fmKecQGAE4St"
        "eEAaQtw==";
    char text[100 * 160];
    struct noc_passwords_options options = {.is_strict = true};
    struct noc_passwords *passwords = NULL;
    size_t length = 0;
    long n = 0;
    int err = NOC_ENOMEM;

    (void)state;
    for (int i = 0; i < 100; i++) {
        length += (size_t)snprintf(text + length, 160, "user%d:%s\n", i, hash);
    }
    for (; err != NOC_OK; n++) {
        struct noc_report report = {0};

        assert_in_range(n, 0, 1000);
        allocations_left = n;
        err = noc_passwords_parse(noc_slice(text, length), "pw", &options, &report, &passwords);
        if (err != NOC_OK) {
            assert_int_equal(err, NOC_ENOMEM);
            assert_non_null(strstr(report.error, "out of memory"));
        }
    }
    assert_in_range(n, 10, 100);
    assert_int_equal(noc_passwords_count(passwords), 100);
    assert_int_equal(
        noc_passwords_check(passwords, noc_slice_of("user99"), noc_slice_of("one"), NULL), NOC_OK);
    noc_passwords_unref(passwords);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_failing_allocation_is_told_and_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
