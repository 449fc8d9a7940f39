/* SPDX-License-Identifier: Apache-2.0 */
/* The command as a user sees it: each run in a child process, its output in a file. */
#define _GNU_SOURCE
#include "cli/commands.h"

#include "auth/password_hash.h"
#include "base/macros.h"
#include <noctule/error.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { TEXT_SIZE = 8192, ARGUMENTS_MAX = 12 };

struct fixture {
    char folder[64];
    char output_path[72];   /* beside the folder */
    char output[TEXT_SIZE]; /* of the last run, both streams */
};

static int enter_folder(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    assert_non_null(fixture);
    (void)snprintf(fixture->folder, sizeof(fixture->folder), "/tmp/noctule-setup-XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    assert_int_equal(chdir(fixture->folder), 0);
    (void)snprintf(fixture->output_path, sizeof(fixture->output_path), "%s.out", fixture->folder);
    *state = fixture;
    return 0;
}

static void remove_tree(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;

    if (dir == NULL) {
        (void)unlink(path);
        return;
    }
    while ((entry = readdir(dir)) != NULL) {
        char child[PATH_MAX];

        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            (void)snprintf(child, sizeof(child), "%s/%s", path, entry->d_name);
            remove_tree(child);
        }
    }
    (void)closedir(dir);
    (void)rmdir(path);
}

static int leave_folder(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(chdir("/"), 0);
    remove_tree(fixture->folder);
    free(fixture);
    return 0;
}

static void read_text(const char *path, char *text, size_t size)
{
    FILE *file = fopen(path, "r");
    size_t n;

    assert_non_null(file);
    n = fread(text, 1, size - 1, file);
    text[n] = '\0';
    (void)fclose(file);
}

/* Run `noctule setup` with the words of a line. Returns its exit status. */
static int run(struct fixture *fixture, const char *words)
{
    char line[512];
    char *argv[ARGUMENTS_MAX + 1] = {"setup"};
    int argc = 1;
    int status;
    pid_t child;

    (void)snprintf(line, sizeof(line), "%s", words);
    for (char *rest = line, *word; (word = strsep(&rest, " ")) != NULL;) {
        if (word[0] != '\0') {
            assert_true(argc < ARGUMENTS_MAX);
            argv[argc++] = word;
        }
    }
    (void)fflush(NULL);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int fd = open(fixture->output_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

        (void)dup2(fd, STDOUT_FILENO);
        (void)dup2(fd, STDERR_FILENO);
        status = noc_cli_setup(argc, argv);
        (void)fflush(NULL);
        _exit(status);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    read_text(fixture->output_path, fixture->output, sizeof(fixture->output));
    (void)unlink(fixture->output_path);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void assert_says(const struct fixture *fixture, const char *text)
{
    if (strstr(fixture->output, text) == NULL) {
        fail_msg("no '%s' in: %s", text, fixture->output);
    }
}

/* A socket that listens on a port of 127.0.0.1 that the system picks. */
static int take_port(uint16_t *ret_port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

/* Words for two ports of ours, since any program may come to use the usual ones meanwhile. */
static void choose_ports(char *ret_words, size_t size)
{
    uint16_t port, websocket_port;
    int first = take_port(&port), second = take_port(&websocket_port);

    (void)close(first);
    (void)close(second);
    (void)snprintf(ret_words, size, "--port %u --websocket-port %u d", port, websocket_port);
}

/* The port of the n-th listener line (from 0) of d/noctule.conf. */
static unsigned listener_port(unsigned n)
{
    char config[TEXT_SIZE];
    char *at = config;
    unsigned port = 0;

    read_text("d/noctule.conf", config, sizeof(config));
    for (unsigned i = 0; i <= n; i++) {
        at = strstr(at, "\nlistener ");
        assert_non_null(at);
        at += strlen("\nlistener ");
    }
    assert_int_equal(sscanf(at, "%u localhost", &port), 1);
    return port;
}

static void count_entries(const char *path, unsigned expected)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    unsigned count = 0;

    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL) {
        count += entry->d_name[0] != '.';
    }
    (void)closedir(dir);
    assert_int_equal(count, expected);
}

static void the_first_run_makes_a_folder_only_its_owner_may_read(void **state)
{
    struct fixture *fixture = *state;
    struct stat status;
    char config[TEXT_SIZE];
    char passwd_line[128];

    assert_int_equal(run(fixture, "d"), 0);
    assert_int_equal(stat("d", &status), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
    assert_int_equal(stat("d/passwd", &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    read_text("d/noctule.conf", config, sizeof(config));
    assert_non_null(strstr(config, "\nallow_anonymous false\n"));
    (void)snprintf(
        passwd_line, sizeof(passwd_line), "\npassword_file %s/d/passwd\n", fixture->folder);
    assert_non_null(strstr(config, passwd_line));
    assert_non_null(strstr(config, "\nprotocol websockets\n"));
    count_entries("d", 2);
    count_entries(".", 1);
}

static void the_password_shown_is_the_one_whose_hash_is_kept(void **state)
{
    struct fixture *fixture = *state;
    struct noc_password_hash hash;
    char passwd[512];
    char password[64];
    char *colon;
    const char *cause;

    assert_int_equal(run(fixture, "--user alice d"), 0);
    assert_int_equal(sscanf(strstr(fixture->output, "password:"), "password: %63s", password), 1);
    assert_int_equal(strlen(password), 20);
    read_text("d/passwd", passwd, sizeof(passwd));
    assert_null(strstr(passwd, password));
    colon = strchr(passwd, ':');
    assert_non_null(colon);
    assert_memory_equal(passwd, "alice:$7$101$", 13);
    assert_int_equal(
        noc_password_hash_parse(noc_slice(colon + 1, strcspn(colon + 1, "\n")), &hash, &cause),
        NOC_OK);
    assert_int_equal(noc_password_hash_verify(&hash, noc_slice_of(password)), NOC_OK);
    assert_int_equal(noc_password_hash_verify(&hash, noc_slice_of("x")), NOC_EDENIED);
}

static void two_set_ups_have_two_passwords(void **state)
{
    struct fixture *fixture = *state;
    char first[64];
    char second[64];

    assert_int_equal(run(fixture, "a"), 0);
    assert_int_equal(sscanf(strstr(fixture->output, "password:"), "password: %63s", first), 1);
    assert_int_equal(run(fixture, "b"), 0);
    assert_int_equal(sscanf(strstr(fixture->output, "password:"), "password: %63s", second), 1);
    assert_string_not_equal(first, second);
}

static void a_taken_port_is_named_with_its_holder_and_the_next_is_used(void **state)
{
    struct fixture *fixture = *state;
    uint16_t port;
    int fd = take_port(&port);
    char words[64];
    char told[64];

    (void)snprintf(words, sizeof(words), "--port %u d", port);
    (void)snprintf(told, sizeof(told), "Port %u is held by ", port);
    assert_int_equal(run(fixture, words), 0);
    assert_says(fixture, told);
    assert_true(listener_port(0) > port);
    (void)close(fd);
}

static void the_two_listeners_get_different_ports(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(run(fixture, "--port 21883 --websocket-port 21883 d"), 0);
    assert_true(listener_port(0) != listener_port(1));
}

static void a_later_run_changes_nothing(void **state)
{
    struct fixture *fixture = *state;
    char before[TEXT_SIZE];
    char after[TEXT_SIZE];
    char words[64];

    choose_ports(words, sizeof(words));
    assert_int_equal(run(fixture, words), 0);
    read_text("d/passwd", before, sizeof(before));
    assert_int_equal(run(fixture, "d/"), 0);
    assert_says(fixture, "nothing was changed, passwords are as before");
    assert_says(fixture, "setup --print-only d\n");
    assert_says(fixture, " passwd d/passwd noctule\n");
    assert_null(strstr(fixture->output, "password:"));
    read_text("d/passwd", after, sizeof(after));
    assert_string_equal(before, after);
}

static void a_later_run_fails_when_another_process_took_the_port(void **state)
{
    struct fixture *fixture = *state;
    uint16_t port;
    int fd = take_port(&port);
    FILE *config;
    char told[64];

    assert_int_equal(mkdir("d", 0700), 0);
    config = fopen("d/noctule.conf", "w");
    assert_non_null(config);
    fprintf(config, "listener %u 127.0.0.1\r\nlistener 0 /nowhere/socket\n", port);
    assert_int_equal(fclose(config), 0);
    (void)snprintf(told, sizeof(told), "port %u is held by ", port);
    assert_int_equal(run(fixture, "d"), 1);
    assert_says(fixture, told);
    (void)close(fd);
    assert_int_equal(run(fixture, "d"), 0);
}

static void print_only_shows_the_lines_without_a_password(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(run(fixture, "--print-only d"), 1);
    assert_int_equal(access("d", F_OK), -1);
    assert_int_equal(run(fixture, "--user bob --port 21000 --websocket-port 22000 d"), 0);
    assert_int_equal(run(fixture, "--print-only d"), 0);
    assert_says(fixture, "/cli_setup_test sub -h 127.0.0.1 -p 21"); /* where this program lies */
    assert_says(fixture, "-u 'bob' -P 'PASSWORD'");
    assert_says(fixture, "-p 21");
    assert_says(fixture, "ws://127.0.0.1:22");
}

static void an_empty_folder_is_filled_and_a_full_one_is_left_alone(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(mkdir("d", 0755), 0);
    assert_int_equal(run(fixture, "d"), 0);
    count_entries("d", 2);
    assert_int_equal(mkdir("full", 0755), 0);
    assert_int_equal(mkdir("full/inner", 0755), 0);
    assert_int_equal(run(fixture, "full"), 1);
    assert_says(fixture, "cannot create 'full': Directory not empty");
    count_entries("full", 1);
    count_entries(".", 2);
}

static void bad_arguments_are_refused_before_anything_is_made(void **state)
{
    static const char *const bad[] = {"", "a b", "--port 0 d", "--port 65536 d", "--port 1x d",
        "--port -1 d", "--websocket-port no d", "--user a:b d", "--user -a d", "--user a'b d",
        "--user 0123456789012345678901234567890123456789012345678901234567890123x d",
        "--nonsense d", "absent/d"};
    struct fixture *fixture = *state;

    for (size_t i = 0; i < NOC_COUNT(bad); i++) {
        assert_int_equal(run(fixture, bad[i]), 1);
        assert_true(strlen(fixture->output) > 0);
        count_entries(".", 0);
    }
    assert_int_equal(run(fixture, "--help"), 0);
    assert_says(fixture, "Usage: noctule setup");
}

static void no_port_left_is_an_error(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(run(fixture, "--port 65535 --websocket-port 65535 d"), 1);
    assert_says(fixture, "no free port from 65535 to 65535");
    count_entries(".", 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, enter_folder, leave_folder)
    const struct CMUnitTest tests[] = {
        TEST(the_first_run_makes_a_folder_only_its_owner_may_read),
        TEST(the_password_shown_is_the_one_whose_hash_is_kept),
        TEST(two_set_ups_have_two_passwords),
        TEST(a_taken_port_is_named_with_its_holder_and_the_next_is_used),
        TEST(the_two_listeners_get_different_ports),
        TEST(a_later_run_changes_nothing),
        TEST(a_later_run_fails_when_another_process_took_the_port),
        TEST(print_only_shows_the_lines_without_a_password),
        TEST(an_empty_folder_is_filled_and_a_full_one_is_left_alone),
        TEST(bad_arguments_are_refused_before_anything_is_made),
        TEST(no_port_left_is_an_error),
    };
#undef TEST

    return cmocka_run_group_tests(tests, NULL, NULL);
}
