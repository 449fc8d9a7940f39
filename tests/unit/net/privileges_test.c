/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "net/privileges.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <noctule/error.h>

enum { ERROR_SIZE = 300 };

static void the_default_user_is_mosquitto_or_nobody(void **state)
{
    struct noc_identity identity;
    char error[ERROR_SIZE];

    assert_int_equal(noc_identity_find(NULL, &identity, error, sizeof(error)), NOC_OK);
    assert_string_equal(identity.name, identity.is_fallback ? "nobody" : "mosquitto");
    assert_true(identity.uid != 0);
}

static void root_is_found_and_stays(void **state)
{
    struct noc_identity identity;
    char error[ERROR_SIZE];

    assert_int_equal(noc_identity_find("root", &identity, error, sizeof(error)), NOC_OK);
    assert_int_equal(identity.uid, 0);
    assert_int_equal(noc_identity_assume(&identity, error, sizeof(error)), NOC_OK);
}

static void an_unknown_user_is_an_error(void **state)
{
    struct noc_identity identity;
    char error[ERROR_SIZE];
    char longest[100];

    assert_int_equal(
        noc_identity_find("no-such-user", &identity, error, sizeof(error)), NOC_ENOENT);
    assert_string_equal(error, "Invalid user 'no-such-user'.");
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    assert_int_equal(noc_identity_find(longest, &identity, error, sizeof(error)), NOC_EINVAL);
}

/* In a child, since there is no way back; only root can show it. */
static void root_is_given_up_for_good(void **state)
{
    struct noc_identity identity;
    char error[ERROR_SIZE];
    int status = -1;
    pid_t child;

    if (geteuid() != 0) {
        skip();
    }
    assert_int_equal(noc_identity_find("nobody", &identity, error, sizeof(error)), NOC_OK);
    child = fork();
    if (child == 0) {
        int outcome = 0;

        outcome |= noc_identity_assume(&identity, error, sizeof(error)) != NOC_OK;
        outcome |= (getuid() != identity.uid) << 1 | (getegid() != identity.gid) << 2;
        outcome |= (setuid(0) == 0) << 3 | (setgid(0) == 0) << 4;
        outcome |= (access("/etc/shadow", R_OK) == 0) << 5;
        _exit(outcome);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void the_pid_file_holds_our_pid_and_goes_away(void **state)
{
    char folder[] = "/tmp/noc-pid-XXXXXX";
    char path[100];
    char other[100];
    char error[ERROR_SIZE];
    long pid = 0;
    FILE *file;

    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/pid", folder);
    (void)snprintf(other, sizeof(other), "%s/other", folder);
    assert_int_equal(noc_pid_file_write(path, error, sizeof(error)), NOC_OK);
    assert_int_equal(noc_pid_file_write(path, error, sizeof(error)), NOC_OK);
    file = fopen(path, "re");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%ld", &pid), 1);
    (void)fclose(file);
    assert_int_equal(pid, getpid());
    noc_pid_file_remove(path);
    assert_int_equal(access(path, F_OK), -1);
    noc_pid_file_remove(path);
    /* Another process's file stays; a link is not followed. */
    file = fopen(other, "we");
    (void)fputs("1\n", file);
    (void)fclose(file);
    noc_pid_file_remove(other);
    assert_int_equal(access(other, F_OK), 0);
    assert_int_equal(symlink(other, path), 0);
    assert_int_equal(noc_pid_file_write(path, error, sizeof(error)), NOC_EIO);
    assert_non_null(strstr(error, "Unable to write pid file"));
    (void)unlink(path);
    (void)unlink(other);
    (void)rmdir(folder);
    assert_int_equal(noc_pid_file_write(path, error, sizeof(error)), NOC_EIO);
    assert_non_null(strstr(error, "No such file or directory"));
}

/* The caller's process ends with 0 while the daemon goes on in a session of its own. */
static void a_daemon_leaves_its_terminal(void **state)
{
    char error[ERROR_SIZE];
    char answer = 0;
    int status = -1;
    int ends[2];
    pid_t child;

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    child = fork();
    if (child == 0) {
        struct stat null_status;
        struct stat out_status;
        bool is_good = noc_daemonise(error, sizeof(error)) == NOC_OK;

        is_good = is_good && getsid(0) == getpid() && stat("/dev/null", &null_status) == 0 &&
                  fstat(STDOUT_FILENO, &out_status) == 0 &&
                  out_status.st_rdev == null_status.st_rdev;
        _exit(write(ends[1], is_good ? "y" : "n", 1) != 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    (void)close(ends[1]);
    assert_int_equal(read(ends[0], &answer, 1), 1);
    assert_int_equal(answer, 'y');
    (void)close(ends[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_default_user_is_mosquitto_or_nobody),
        cmocka_unit_test(root_is_found_and_stays),
        cmocka_unit_test(an_unknown_user_is_an_error),
        cmocka_unit_test(root_is_given_up_for_good),
        cmocka_unit_test(the_pid_file_holds_our_pid_and_goes_away),
        cmocka_unit_test(a_daemon_leaves_its_terminal),
    };

    return cmocka_run_group_tests_name("net/privileges", tests, NULL, NULL);
}
