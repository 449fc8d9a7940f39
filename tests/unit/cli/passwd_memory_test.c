/* SPDX-License-Identifier: Apache-2.0 */
/* Changing a password file with the n-th allocation failing, for every n: the old file stays. */
#define _GNU_SOURCE
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/macros.h"

static long allocations_left; /* until one fails */

static int may_allocate(void)
{
    if (allocations_left-- > 0) {
        return 1;
    }
    errno = ENOMEM;
    return 0;
}

static void *failing_malloc(size_t n)
{
    return may_allocate() ? malloc(n) : NULL;
}

static char *failing_strdup(const char *text)
{
    return may_allocate() ? strdup(text) : NULL;
}

static char *failing_realpath(const char *path, char *resolved)
{
    return may_allocate() ? realpath(path, resolved) : NULL;
}

NOC_PRINTF(2, 3)
static int failing_asprintf(char **ret_text, const char *format, ...)
{
    va_list arguments;
    int n;

    if (!may_allocate()) {
        return -1;
    }
    va_start(arguments, format);
    n = vasprintf(ret_text, format, arguments);
    va_end(arguments);
    return n;
}

#undef fail /* cmocka's; passwd_file.c has one of its own */
#define malloc   failing_malloc
#define strdup   failing_strdup
#define realpath failing_realpath
#define asprintf failing_asprintf
#include "auth/text_file.c"
#include "cli/passwd.c"
#include "cli/passwd_file.c"
#undef malloc
#undef strdup
#undef realpath
#undef asprintf

#define OLD_TEXT "ann:$6$old$hash\n"

static void write_old(void)
{
    FILE *file = fopen("f", "w");

    assert_non_null(file);
    assert_true(fputs(OLD_TEXT, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* Is it the old text? If not, it is whole, and new. */
static bool is_old(void)
{
    FILE *file = fopen("f", "r");
    char text[1000] = "";
    size_t n;

    assert_non_null(file);
    n = fread(text, 1, sizeof(text) - 1, file);
    assert_int_equal(fclose(file), 0);
    if (strcmp(text, OLD_TEXT) == 0) {
        return true;
    }
    assert_memory_equal(text, "ann:$7$1$", 9);
    assert_true(n > 100 && text[n - 1] == '\n');
    return false;
}

/* What it says goes to said[]. */
static int run_quietly(char said[200])
{
    char words[7][10] = {"passwd", "-I", "1", "-b", "f", "ann", "secret"};
    char *argv[] = {words[0], words[1], words[2], words[3], words[4], words[5], words[6], NULL};
    FILE *errors = tmpfile();
    int kept = dup(STDERR_FILENO), status;

    assert_non_null(errors);
    assert_true(dup2(fileno(errors), STDERR_FILENO) >= 0);
    optind = 0;
    status = noc_cli_passwd(7, argv);
    assert_true(dup2(kept, STDERR_FILENO) >= 0);
    assert_int_equal(close(kept), 0);
    rewind(errors);
    said[fread(said, 1, 199, errors)] = '\0';
    assert_int_equal(fclose(errors), 0);
    return status;
}

static void every_failing_allocation_leaves_a_whole_file_and_is_told(void **state)
{
    char folder[] = "/tmp/noctule-passwd-XXXXXX", said[200];
    int status = -1;
    long n;

    (void)state;
    assert_non_null(mkdtemp(folder));
    assert_int_equal(chdir(folder), 0);
    for (n = 0; status != 0; n++) {
        assert_in_range(n, 0, 100);
        write_old();
        allocations_left = n;
        status = run_quietly(said);
        if (status == 0) {
            assert_string_equal(said, "");
            assert_false(is_old());
        } else {
            assert_int_equal(status, 2);
            assert_true(strstr(said, "memory") != NULL);
            assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1);
            (void)is_old();
        }
        assert_int_equal(unlink("f"), 0);
    }
    assert_in_range(n, 8, 40);
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(rmdir(folder), 0); /* and nothing else was left behind */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_failing_allocation_leaves_a_whole_file_and_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
