/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/acl_file.h"
#include "auth/password_file.h"
#include "auth/text_file.h"
#include <noctule/error.h>

struct place {
    char folder[64];
    char path[128];
};

static char last_warning[NOC_REPORT_TEXT];

static void keep_warning(void *context, const char *text)
{
    snprintf(last_warning, sizeof last_warning, "%s", text);
    (void)context;
}

static int enter(void **state)
{
    struct place *place = calloc(1, sizeof *place);

    snprintf(place->folder, sizeof place->folder, "/tmp/noctule-auth-XXXXXX");
    if (mkdtemp(place->folder) == NULL) {
        free(place);
        return -1;
    }
    *state = place;
    return chdir(place->folder);
}

static int leave(void **state)
{
    struct place *place = *state;
    char command[128];

    snprintf(command, sizeof command, "rm -rf '%s'", place->folder);
    free(place);
    return chdir("/") != 0 || system(command) != 0;
}

static void write_file(const char *path, const char *text, mode_t mode)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_int_equal(fputs(text, file) >= 0, 1);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, mode), 0);
}

static int read_path(const char *path, const struct noc_text_file_options *options,
    struct noc_report *report, struct noc_slice *ret_text)
{
    *report = (struct noc_report){.warn = keep_warning};
    last_warning[0] = '\0';
    return noc_text_file_read(path, options, report, ret_text);
}

static void must_read(
    const char *path, const struct noc_text_file_options *options, const char *text, unsigned warns)
{
    struct noc_report report;
    struct noc_slice got;

    if (read_path(path, options, &report, &got) != NOC_OK) {
        fail_msg("%s", report.error);
    }
    assert_true(noc_slice_equal(got, noc_slice_of(text)));
    if (report.warnings != warns) {
        fail_msg("%u warnings, the last: %s", report.warnings, last_warning);
    }
    noc_text_file_free(got);
}

static void must_fail(
    const char *path, const struct noc_text_file_options *options, int err, const char *error)
{
    struct noc_report report;
    struct noc_slice got;

    assert_int_equal(read_path(path, options, &report, &got), err);
    assert_string_equal(report.error, error);
}

static void a_file_is_read_whole(void **state)
{
    struct noc_text_file_options options = {0};
    size_t n = 100000;
    char *text = malloc(n + 1);

    (void)state;
    write_file("empty", "", 0600);
    must_read("empty", &options, "", 0);
    memset(text, 'x', n);
    text[n] = '\0';
    write_file("large", text, 0640);
    must_read("large", &options, text, 0);
    must_read("/dev/null", &options, "", 0);
    free(text);
}

static void what_is_not_there_or_no_file_is_told(void **state)
{
    struct noc_text_file_options options = {0};

    (void)state;
    must_fail("none", &options, NOC_ENOENT, "none: cannot open: No such file or directory");
    must_fail("", &options, NOC_ENOENT, ": cannot open: No such file or directory");
    must_fail(".", &options, NOC_EINVAL, ".: is a folder, not a file");
    assert_int_equal(mkfifo("pipe", 0600), 0);
    must_fail("pipe", &options, NOC_EINVAL, "pipe: is not a plain file");
    assert_int_equal(symlink("loop", "loop"), 0);
    must_fail(
        "loop", &options, NOC_EDENIED, "loop: cannot open: Too many levels of symbolic links");
    write_file("file", "x", 0600);
    must_fail("file/below", &options, NOC_ENOENT, "file/below: cannot open: Not a directory");
    if (geteuid() != 0) {
        write_file("locked", "x", 0);
        must_fail("locked", &options, NOC_EDENIED, "locked: cannot open: Permission denied");
    }
}

static void a_file_past_the_limit_is_refused(void **state)
{
    struct noc_text_file_options options = {.max_bytes = 10};

    (void)state;
    write_file("ten", "0123456789", 0600);
    must_read("ten", &options, "0123456789", 0);
    write_file("eleven", "01234567890", 0600);
    must_fail("eleven", &options, NOC_ETOOLARGE, "eleven: larger than 10 bytes");
    options.max_bytes = 100000;
    must_fail("/dev/zero", &options, NOC_ETOOLARGE, "/dev/zero: larger than 100000 bytes");
}

/* As the kubelet lays a Secret out: FILE -> ..data/FILE, ..data -> ..DATE. */
static void a_mounted_secret_is_read_without_a_warning(void **state)
{
    static const mode_t modes[] = {0400, 0440, 0444, 0644};
    struct noc_text_file_options options = {.is_secret = true, .refuse_foreign_write = true};
    char memory[] = "/dev/shm/noctule-auth-XXXXXX";
    char command[128], path[160];

    (void)state;
    if (mkdtemp(memory) == NULL || chdir(memory) != 0) {
        skip();
    }
    assert_int_equal(mkdir("..2026_1", 0755), 0);
    assert_int_equal(symlink("..2026_1", "..data"), 0);
    assert_int_equal(symlink("..data/passwords", "passwords"), 0);
    assert_int_equal(chmod(".", 01777), 0);
    snprintf(path, sizeof path, "%s/./..data/../passwords", memory);
    for (size_t i = 0; i < NOC_COUNT(modes); i++) {
        (void)unlink("..2026_1/passwords");
        write_file("..2026_1/passwords", "x:y\n", modes[i]);
        must_read("passwords", &options, "x:y\n", 0);
        must_read(path, &options, "x:y\n", 0);
    }
    snprintf(command, sizeof command, "rm -rf '%s'", memory);
    assert_int_equal(system(command), 0);
}

static void a_file_that_others_may_write_is_warned_of_or_refused(void **state)
{
    struct noc_text_file_options options = {0};

    (void)state;
    write_file("open", "x", 0662);
    must_read("open", &options, "x", 1);
    assert_string_equal(last_warning, "open: others may write this file (remedy: chmod o-w)");
    options.refuse_foreign_write = true;
    must_fail(
        "open", &options, NOC_EDENIED, "open: others may write this file (remedy: chmod o-w)");
}

static void a_folder_that_others_may_write_is_warned_of_or_refused(void **state)
{
    struct noc_text_file_options options = {0};

    (void)state;
    assert_int_equal(mkdir("sub", 0700), 0);
    write_file("sub/file", "x", 0640);
    assert_int_equal(symlink("sub/file", "link"), 0);
    must_read("link", &options, "x", 0);
    assert_int_equal(chmod("sub", 0777), 0);
    must_read("link", &options, "x", 1);
    options.refuse_foreign_write = true;
    must_fail("link", &options, NOC_EDENIED,
        "link: others may replace this file: its folder is writable by all (remedy: chmod o-w the "
        "folder)");
    /* Sticky: others can't replace what isn't theirs. */
    assert_int_equal(chmod("sub", 01777), 0);
    must_read("link", &options, "x", 0);
}

static void a_secret_that_others_may_read_is_warned_of(void **state)
{
    struct noc_text_file_options options = {.is_secret = true};
    struct noc_report report;
    struct noc_slice text;

    (void)state;
    write_file("readable", "x", 0644);
    assert_int_equal(read_path("readable", &options, &report, &text), NOC_OK);
    noc_text_file_free(text);
    if (report.warnings != 0) { /* none when the tests run on a tmpfs */
        assert_string_equal(last_warning, "readable: others may read this file (remedy: give it "
                                          "to the broker's group, then chmod o-r)");
    }
    options.is_secret = false;
    must_read("readable", &options, "x", 0);
}

static void lines_are_handed_out_numbered_and_without_their_ends(void **state)
{
    static const char text[] = "\xef\xbb\xbf one \r\n\n\t\nlast";
    static const char *const expected[] = {" one", "", "", "last"};
    struct noc_text_lines lines;
    struct noc_slice line;

    (void)state;
    noc_text_lines_init(&lines, noc_slice_of(text));
    for (size_t i = 0; i < NOC_COUNT(expected); i++) {
        assert_true(noc_text_lines_next(&lines, &line));
        assert_true(noc_slice_equal(line, noc_slice_of(expected[i])));
        assert_int_equal(lines.number, i + 1);
        assert_int_equal(lines.has_ending, i < 3);
    }
    assert_false(noc_text_lines_next(&lines, &line));
    noc_text_lines_init(&lines, noc_slice(NULL, 0));
    assert_false(noc_text_lines_next(&lines, &line));
    assert_true(noc_slice_equal(noc_text_trim(noc_slice_of(" \t a b\r\n")), noc_slice_of("a b")));
    assert_int_equal(noc_text_trim(noc_slice_of("  ")).n, 0);
}

static void password_and_acl_files_are_loaded_by_path(void **state)
{
    struct noc_report report = {0};
    struct noc_passwords_options options = {.seed = 1, .is_strict = true};
    struct noc_acl_file_options acl_options = {.acl = {.version = 1}};
    struct noc_passwords *passwords = NULL;
    struct noc_acl *acl = NULL;
    struct noc_acl_subject subject = {noc_slice_of("c"), {NULL, 0}};

    (void)state;
    write_file("pw",
        "one:$7$1$AA==$0n/IGVUgcIwAtfmuaQJdgt3BDMHE91r8lTGro1q8r6wQTfCmVJbgxe6QCgxZIoHfBL3fmKecQG"
        "AE4SteEAaQtw==\n",
        0600);
    assert_int_equal(noc_passwords_load("pw", &options, &report, &passwords), NOC_OK);
    assert_int_equal(
        noc_passwords_check(passwords, noc_slice_of("one"), noc_slice_of("one"), NULL), NOC_OK);
    noc_passwords_unref(passwords);
    assert_int_equal(noc_passwords_load(".", &options, &report, &passwords), NOC_EINVAL);
    write_file("pw", "one:plain\n", 0600);
    assert_int_equal(noc_passwords_load("pw", &options, &report, &passwords), NOC_EMALFORMED);
    write_file("acl", "topic read a\n", 0644);
    assert_int_equal(noc_acl_file_load("acl", &acl_options, &report, &acl), NOC_OK);
    assert_int_equal(report.warnings, 0);
    assert_true(noc_acl_allows(acl, &subject, NOC_ACCESS_READ, noc_slice_of("a")));
    noc_acl_unref(acl);
    assert_int_equal(noc_acl_file_load("none", &acl_options, &report, &acl), NOC_ENOENT);
    assert_string_equal(report.error, "none: cannot open: No such file or directory");
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, enter, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(a_file_is_read_whole),
        IN_FOLDER(what_is_not_there_or_no_file_is_told),
        IN_FOLDER(a_file_past_the_limit_is_refused),
        IN_FOLDER(a_mounted_secret_is_read_without_a_warning),
        IN_FOLDER(a_file_that_others_may_write_is_warned_of_or_refused),
        IN_FOLDER(a_folder_that_others_may_write_is_warned_of_or_refused),
        IN_FOLDER(a_secret_that_others_may_read_is_warned_of),
        cmocka_unit_test(lines_are_handed_out_numbered_and_without_their_ends),
        IN_FOLDER(password_and_acl_files_are_loaded_by_path),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
