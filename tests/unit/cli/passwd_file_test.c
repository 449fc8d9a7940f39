/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file is replaced as a whole. The whole command runs in a child that is stopped at each of
 * its system calls (PTRACE_SYSCALL) and killed at the n-th, for every n.
 */
#define _GNU_SOURCE
#include "cli/passwd_file.h"

#include "base/macros.h"
#include "cli/commands.h"
#include <noctule/error.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

enum { TEXT_SIZE = 4096, STOPS_MAX = 5000 };

#define OLD_TEXT "# notes\nann:$6$old$hash\nbob:$6$old$hash\n"

static char folder[64];

static int enter_folder(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/noctule-passwd-XXXXXX");
    assert_non_null(mkdtemp(folder));
    return chdir(folder);
}

static int leave_folder(void **state)
{
    static const char *const names[] = {
        "f", "f" NOC_PASSWD_NEW_SUFFIX, "link", "chain", "d/g", "d/g" NOC_PASSWD_NEW_SUFFIX, "out"};

    (void)state;
    for (size_t i = 0; i < NOC_COUNT(names); i++) {
        (void)unlink(names[i]);
    }
    (void)rmdir("d");
    assert_int_equal(chdir("/"), 0);
    return rmdir(folder); /* and nothing else was left behind */
}

static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    (void)close(fd);
}

/* false: there is no such file. */
static bool read_file(const char *path, char text[TEXT_SIZE])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n;

    if (fd < 0) {
        return false;
    }
    n = read(fd, text, TEXT_SIZE - 1);
    assert_true(n >= 0);
    text[n] = '\0';
    (void)close(fd);
    return true;
}

static void assert_file(const char *path, const char *expected)
{
    char text[TEXT_SIZE];

    assert_true(read_file(path, text));
    assert_string_equal(text, expected);
}

static int open_and_replace(const struct noc_passwd_options *options, const char *text)
{
    struct noc_passwd_file file;
    int err = noc_passwd_file_open(&file, options);

    if (err == NOC_OK) {
        err = noc_passwd_file_replace(&file, noc_slice_of(text));
    }
    noc_passwd_file_done(&file);
    return err;
}

/* ---- owner, mode, links ---- */

static void mode_and_owner_stay_and_a_new_file_is_private(void **state)
{
    struct stat status;
    const uid_t owner = geteuid() == 0 ? 12345 : geteuid();

    (void)state;
    assert_int_equal(
        open_and_replace(&(struct noc_passwd_options){.path = "f", .is_new = true}, "new"), NOC_OK);
    assert_file("f", "new");
    assert_int_equal(stat("f", &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    assert_int_equal(chmod("f", 0640), 0);
    assert_int_equal(chown("f", owner, (gid_t)-1), 0);
    assert_int_equal(open_and_replace(&(struct noc_passwd_options){.path = "f"}, "newer"), NOC_OK);
    assert_int_equal(
        open_and_replace(&(struct noc_passwd_options){.path = "f", .is_new = true}, "newest"),
        NOC_OK);
    assert_file("f", "newest");
    assert_int_equal(stat("f", &status), 0);
    assert_int_equal(status.st_mode & 07777, 0640);
    assert_int_equal(status.st_uid, owner);
}

/* Another user may read it, by name. */
static const struct {
    uint32_t version;
    struct {
        uint16_t tag, rights;
        uint32_t id;
    } entries[5];
} acl = {2, {{1, 6, UINT32_MAX}, {2, 4, 12345}, {4, 0, UINT32_MAX}, {16, 4, UINT32_MAX},
                {32, 0, UINT32_MAX}}};

static void set_acl(const char *path, const char *name)
{
    if (setxattr(path, name, &acl, sizeof acl, 0) != 0) {
        print_message("this file system has no access lists\n");
        skip();
    }
}

static void an_access_list_stays(void **state)
{
    char kept[256];

    (void)state;
    write_file("f", "old");
    set_acl("f", "system.posix_acl_access");
    assert_int_equal(open_and_replace(&(struct noc_passwd_options){.path = "f"}, "new"), NOC_OK);
    assert_file("f", "new");
    assert_int_equal(getxattr("f", "system.posix_acl_access", kept, sizeof kept), sizeof acl);
    assert_memory_equal(kept, &acl, sizeof acl);
}

/* Nobody else may read it, but the folder has a list for new files. */
static void no_access_list_comes_from_the_folder(void **state)
{
    char kept[256];

    (void)state;
    assert_int_equal(mkdir("d", 0700), 0);
    write_file("d/g", "old");
    assert_int_equal(chmod("d/g", 0640), 0);
    set_acl("d", "system.posix_acl_default");
    assert_int_equal(open_and_replace(&(struct noc_passwd_options){.path = "d/g"}, "new"), NOC_OK);
    assert_file("d/g", "new");
    assert_int_equal(getxattr("d/g", "system.posix_acl_access", kept, sizeof kept), -1);
    assert_int_equal(errno, ENODATA);
}

static void a_links_target_is_replaced_and_the_link_stays(void **state)
{
    struct stat status;

    (void)state;
    assert_int_equal(mkdir("d", 0700), 0);
    write_file("d/g", "old");
    assert_int_equal(symlink("d/g", "link"), 0);
    assert_int_equal(symlink("link", "chain"), 0);
    assert_int_equal(
        open_and_replace(&(struct noc_passwd_options){.path = "chain"}, "new"), NOC_OK);
    assert_file("d/g", "new");
    assert_int_equal(lstat("chain", &status), 0);
    assert_true(S_ISLNK(status.st_mode));
    assert_int_equal(lstat("link", &status), 0);
    assert_true(S_ISLNK(status.st_mode));
    /* And where it leads nowhere yet. */
    assert_int_equal(unlink("d/g"), 0);
    assert_int_equal(
        open_and_replace(&(struct noc_passwd_options){.path = "chain", .is_new = true}, "newer"),
        NOC_OK);
    assert_file("d/g", "newer");
}

static void what_cannot_be_opened_is_explained(void **state)
{
    static const struct {
        const char *path;
        bool is_new;
        const char *words;
    } cases[] = {
        {"f", false, "cannot open 'f': No such file or directory (-c makes"},
        {"no/f", true, "No such file or directory"},
        {"", true, "No such file or directory"},
        {".", false, "Is a directory"},
        {".", true, "Is a directory"},
        {"link", false, "cannot find 'link': Too many levels of symbolic links"},
        {"link", true, "cannot find 'link': Too many levels of symbolic links"},
        {"/dev/null", false, "cannot open '/dev/null': it is not a plain file"},
        {"link/x", true, "Too many levels of symbolic links"},
    };

    (void)state;
    assert_int_equal(symlink("link", "link"), 0);
    for (size_t i = 0; i < NOC_COUNT(cases); i++) {
        struct noc_passwd_file file;
        const struct noc_passwd_options options = {
            .path = cases[i].path, .is_new = cases[i].is_new};
        char text[PATH_MAX + 512];

        assert_int_equal(noc_passwd_file_open(&file, &options), NOC_EIO);
        noc_passwd_file_explain(&file, text, sizeof text);
        if (strstr(text, cases[i].words) == NULL) {
            fail_msg("'%s': %s", cases[i].path, text);
        }
        noc_passwd_file_done(&file);
        assert_int_equal(noc_passwd_file_probe(&file, &options), NOC_EIO);
        noc_passwd_file_done(&file);
    }
}

static void a_pipe_is_written_to_as_it_is(void **state)
{
    int fds[2];
    char path[64], text[8] = "";

    (void)state;
    assert_int_equal(pipe(fds), 0);
    (void)snprintf(path, sizeof path, "/dev/fd/%d", fds[1]);
    assert_int_equal(
        open_and_replace(&(struct noc_passwd_options){.path = path, .is_new = true}, "new"),
        NOC_OK);
    assert_int_equal(read(fds[0], text, sizeof text), 3);
    assert_string_equal(text, "new");
    (void)close(fds[0]);
    (void)close(fds[1]);
}

/* ---- the lock, and what was left ---- */

static void a_change_waits_for_another_one_and_gives_up_in_the_end(void **state)
{
    struct noc_passwd_file first, second;
    char text[PATH_MAX + 512];

    (void)state;
    write_file("f", "old");
    assert_int_equal(
        noc_passwd_file_open(&first, &(struct noc_passwd_options){.path = "f"}), NOC_OK);
    assert_int_equal(
        noc_passwd_file_open(&second, &(struct noc_passwd_options){.path = "f", .wait_ms = 20}),
        NOC_EIO);
    noc_passwd_file_explain(&second, text, sizeof text);
    assert_non_null(strstr(text, "another process is changing the file"));
    noc_passwd_file_done(&second);
    assert_int_equal(access("f" NOC_PASSWD_NEW_SUFFIX, F_OK), 0); /* the first one's is left */
    assert_int_equal(noc_passwd_file_replace(&first, noc_slice_of("new")), NOC_OK);
    noc_passwd_file_done(&first);
    assert_int_equal(open_and_replace(&(struct noc_passwd_options){.path = "f"}, "newer"), NOC_OK);
    assert_file("f", "newer");
}

static void what_was_left_is_taken_over_or_removed(void **state)
{
    static const mode_t modes[] = {0600, 0640, 0666, 0400};
    struct stat status;

    (void)state;
    for (size_t i = 0; i < NOC_COUNT(modes); i++) {
        if (modes[i] == 0400 && geteuid() != 0) {
            continue; /* a leftover of root's */
        }
        write_file("f", "old");
        write_file("f" NOC_PASSWD_NEW_SUFFIX, "a longer text than the new one will be");
        assert_int_equal(chmod("f" NOC_PASSWD_NEW_SUFFIX, modes[i]), 0);
        assert_int_equal(
            open_and_replace(&(struct noc_passwd_options){.path = "f"}, "new"), NOC_OK);
        assert_file("f", "new");
        assert_int_equal(stat("f", &status), 0);
        assert_int_equal(status.st_mode & 07777, 0600);
        assert_int_equal(access("f" NOC_PASSWD_NEW_SUFFIX, F_OK), -1);
    }
}

static void what_somebody_else_put_there_is_not_written_to(void **state)
{
    struct stat status;
    const char *const trap = "f" NOC_PASSWD_NEW_SUFFIX;

    (void)state;
    write_file("f", "old");
    write_file("out", "theirs");
    /* A second name for the same file: whoever has the first would read the passwords. */
    assert_int_equal(link("out", trap), 0);
    assert_int_equal(open_and_replace(&(struct noc_passwd_options){.path = "f"}, "new"), NOC_OK);
    assert_file("out", "theirs");
    assert_file("f", "new");
    assert_int_equal(symlink("out", trap), 0);
    assert_int_equal(open_and_replace(&(struct noc_passwd_options){.path = "f"}, "n"), NOC_EIO);
    assert_file("out", "theirs");
    assert_file("f", "new");
    assert_int_equal(unlink(trap), 0);
    assert_int_equal(mkfifo(trap, 0600), 0);
    assert_int_equal(open_and_replace(&(struct noc_passwd_options){.path = "f"}, "newer"), NOC_OK);
    assert_file("f", "newer");
    if (geteuid() == 0) {
        write_file(trap, "x");
        assert_int_equal(chown(trap, 12345, 12345), 0);
        assert_int_equal(
            open_and_replace(&(struct noc_passwd_options){.path = "f"}, "newest"), NOC_OK);
        assert_int_equal(stat("f", &status), 0);
        assert_int_equal(status.st_uid, 0);
    }
}

static void a_full_disk_leaves_the_old_file(void **state)
{
    const struct rlimit small = {.rlim_cur = 100, .rlim_max = RLIM_INFINITY};
    struct rlimit before;
    static char big[1000];
    struct noc_passwd_file file;
    char text[PATH_MAX + 512];
    void (*handler)(int);

    (void)state;
    memset(big, 'x', sizeof big - 1);
    write_file("f", "old");
    handler = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    assert_int_equal(
        noc_passwd_file_open(&file, &(struct noc_passwd_options){.path = "f"}), NOC_OK);
    assert_int_equal(noc_passwd_file_replace(&file, noc_slice_of(big)), NOC_EIO);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    (void)signal(SIGXFSZ, handler);
    noc_passwd_file_explain(&file, text, sizeof text);
    assert_non_null(strstr(text, "File too large (the old file is untouched)"));
    noc_passwd_file_done(&file);
    assert_file("f", "old");
    assert_int_equal(access("f" NOC_PASSWD_NEW_SUFFIX, F_OK), -1);
}

/* ---- killed at the n-th system call ---- */

static int change(char *const *words, int count)
{
    char *argv[10] = {"noctule passwd"};

    /* As a process has them: the password is wiped where it stands. */
    for (int i = 0; i < count; i++) {
        argv[i + 1] = strdup(words[i]);
    }
    return noc_cli_passwd(count + 1, argv);
}

static pid_t start_traced(char *const *words, int count)
{
    pid_t child = fork();
    int status;

    assert_true(child >= 0);
    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) {
            _exit(99);
        }
        (void)raise(SIGSTOP);
        _exit(change(words, count));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status)) {
        print_message("tracing is not allowed here\n");
        skip();
    }
    assert_int_equal(
        ptrace(PTRACE_SETOPTIONS, child, NULL, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL), 0);
    return child;
}

/* On to the next entry of a system call, or its return. True: the child has ended by itself. */
static bool step(pid_t child)
{
    int status;

    for (;;) {
        assert_int_equal(ptrace(PTRACE_SYSCALL, child, NULL, NULL), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        if (WIFEXITED(status)) {
            assert_int_equal(WEXITSTATUS(status), 0);
            return true;
        }
        assert_true(WIFSTOPPED(status));
        if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
            return false;
        }
        assert_int_not_equal(WSTOPSIG(status), SIGSEGV);
    }
}

/* Run the change, and kill it at the n-th stop. True: it was done before. */
static bool run_until(char *const *words, int count, unsigned n)
{
    pid_t child = start_traced(words, count);
    int status;

    for (unsigned i = 0; i < n; i++) {
        if (step(child)) {
            return true;
        }
    }
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    return false;
}

static bool is_new_text(const char *text, const char *start, const char *end)
{
    size_t n = strlen(text);

    return strncmp(text, start, strlen(start)) == 0 && n > strlen(end) &&
           strcmp(text + n - strlen(end), end) == 0;
}

/* old NULL: no file. Every n, until the change gets to its end. */
static void kill_everywhere(
    char *const *words, int count, const char *old, const char *start, const char *end)
{
    unsigned kills_old = 0, kills_new = 0, leftovers = 0;

    for (unsigned n = 1; n < STOPS_MAX; n++) {
        char text[TEXT_SIZE];
        bool is_done, is_there;

        if (old == NULL) {
            (void)unlink("f");
        } else {
            write_file("f", old);
        }
        is_done = run_until(words, count, n);
        is_there = read_file("f", text);
        if (old == NULL ? !is_there : is_there && strcmp(text, old) == 0) {
            assert_false(is_done);
            kills_old++;
        } else if (is_there && is_new_text(text, start, end)) {
            kills_new++;
        } else {
            fail_msg("broken when killed at stop %u: '%s'", n, is_there ? text : "(no file)");
        }
        leftovers += access("f" NOC_PASSWD_NEW_SUFFIX, F_OK) == 0;
        if (is_done) {
            assert_int_equal(access("f" NOC_PASSWD_NEW_SUFFIX, F_OK), -1);
            /* It was seen from before the first step until after the last. */
            assert_true(kills_old > 10 && kills_new > 1 && leftovers > 10);
            return;
        }
    }
    fail_msg("more than %d stops", STOPS_MAX);
}

static void killed_anywhere_in_an_update_the_old_or_the_new_file_is_there(void **state)
{
    char *words[] = {"-I", "1", "-b", "f", "ann", "secret"};

    (void)state;
    kill_everywhere(words, 6, OLD_TEXT, "# notes\nann:$7$1$", "==\nbob:$6$old$hash\n");
}

static void killed_anywhere_in_making_a_file_it_is_there_whole_or_not_at_all(void **state)
{
    char *words[] = {"-I", "1", "-c", "-b", "f", "ann", "secret"};

    (void)state;
    kill_everywhere(words, 7, NULL, "ann:$7$1$", "==\n");
}

static void killed_anywhere_in_a_deletion_the_old_or_the_new_file_is_there(void **state)
{
    char *words[] = {"-D", "f", "ann"};

    (void)state;
    kill_everywhere(words, 3, OLD_TEXT, "# notes\n", "\nbob:$6$old$hash\n");
}

/* A power cut is not like a kill: the order in which things get to the disk counts. */
static void the_file_is_on_the_disk_before_its_name_and_then_the_folder(void **state)
{
    char *words[] = {"-D", "f", "ann"};
    static const long wanted[] = {SYS_write, SYS_fsync, SYS_rename, SYS_fsync};
    unsigned met = 0;
    pid_t child;

    (void)state;
    write_file("f", OLD_TEXT);
    child = start_traced(words, 3);
    while (!step(child)) {
        struct __ptrace_syscall_info info;

        assert_true(ptrace(PTRACE_GET_SYSCALL_INFO, child, sizeof info, &info) > 0);
        if (info.op != PTRACE_SYSCALL_INFO_ENTRY) {
            continue;
        }
        if (met < NOC_COUNT(wanted) && (long)info.entry.nr == wanted[met]) {
            met++;
        } else {
            assert_int_not_equal(info.entry.nr, SYS_rename);
        }
    }
    assert_int_equal(met, NOC_COUNT(wanted));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, enter_folder, leave_folder)
    const struct CMUnitTest tests[] = {
        TEST(mode_and_owner_stay_and_a_new_file_is_private),
        TEST(an_access_list_stays),
        TEST(no_access_list_comes_from_the_folder),
        TEST(a_links_target_is_replaced_and_the_link_stays),
        TEST(what_cannot_be_opened_is_explained),
        TEST(a_pipe_is_written_to_as_it_is),
        TEST(a_change_waits_for_another_one_and_gives_up_in_the_end),
        TEST(what_was_left_is_taken_over_or_removed),
        TEST(what_somebody_else_put_there_is_not_written_to),
        TEST(a_full_disk_leaves_the_old_file),
        TEST(killed_anywhere_in_an_update_the_old_or_the_new_file_is_there),
        TEST(killed_anywhere_in_making_a_file_it_is_there_whole_or_not_at_all),
        TEST(killed_anywhere_in_a_deletion_the_old_or_the_new_file_is_there),
        TEST(the_file_is_on_the_disk_before_its_name_and_then_the_folder),
    };
#undef TEST

    return cmocka_run_group_tests(tests, NULL, NULL);
}
