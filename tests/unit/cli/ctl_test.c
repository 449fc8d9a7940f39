/* SPDX-License-Identifier: Apache-2.0 */
/* The command against a broker that says what the test wants, both in child processes. */
#define _GNU_SOURCE
#include "cli/commands.h"

#include "base/macros.h"

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
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { TEXT_SIZE = 4096 };

struct fixture {
    char folder[64];
    char socket_path[96];
    int listen_fd;
    char output[TEXT_SIZE]; /* of the last run: stdout */
    char errors[TEXT_SIZE]; /* stderr */
};

static int start(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    assert_non_null(fixture);
    (void)snprintf(fixture->folder, sizeof(fixture->folder), "/tmp/noctule-ctl-XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    assert_int_equal(chdir(fixture->folder), 0);
    (void)snprintf(fixture->socket_path, sizeof(fixture->socket_path), "%s/s", fixture->folder);
    memcpy(address.sun_path, fixture->socket_path, strlen(fixture->socket_path) + 1);
    fixture->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fixture->listen_fd >= 0);
    assert_int_equal(
        bind(fixture->listen_fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fixture->listen_fd, 4), 0);
    *state = fixture;
    return 0;
}

static int stop(void **state)
{
    struct fixture *fixture = *state;

    (void)close(fixture->listen_fd);
    (void)unlink("s");
    (void)unlink("conf");
    (void)unlink("out");
    (void)unlink("err");
    assert_int_equal(chdir("/"), 0);
    (void)rmdir(fixture->folder);
    free(fixture);
    return 0;
}

static void read_text(const char *path, char *text)
{
    FILE *file = fopen(path, "r");
    size_t n;

    assert_non_null(file);
    n = fread(text, 1, TEXT_SIZE - 1, file);
    text[n] = '\0';
    (void)fclose(file);
}

/* Take one connection, answer in two pieces if the request is the expected line, and close. */
_Noreturn static void serve(int listen_fd, const char *request, const char *answer)
{
    int fd = accept(listen_fd, NULL, NULL);
    char line[64] = "";
    const size_t half = strlen(answer) / 2;
    ssize_t n = recv(fd, line, sizeof(line) - 1, 0);

    if (n < 0 || strcmp(line, request) != 0) {
        _exit(1);
    }
    (void)send(fd, answer, half, MSG_NOSIGNAL);
    (void)usleep(10000);
    (void)send(fd, answer + half, strlen(answer) - half, MSG_NOSIGNAL);
    (void)close(fd);
    _exit(0);
}

static int status_of(pid_t child)
{
    int status;

    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int run(
    struct fixture *fixture, const char *socket_path, const char *command, const char *option)
{
    char *argv[] = {"ctl", "--socket", (char *)(uintptr_t)socket_path, (char *)(uintptr_t)command,
        (char *)(uintptr_t)option, NULL};
    int status;
    pid_t child;

    (void)fflush(NULL);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)dup2(open("out", O_WRONLY | O_CREAT | O_TRUNC, 0600), STDOUT_FILENO);
        (void)dup2(open("err", O_WRONLY | O_CREAT | O_TRUNC, 0600), STDERR_FILENO);
        status = noc_cli_ctl(option == NULL ? 4 : 5, argv);
        (void)fflush(NULL);
        _exit(status);
    }
    status = status_of(child);
    read_text("out", fixture->output);
    read_text("err", fixture->errors);
    return status;
}

/* Run the command while a broker answers. */
static int ask(struct fixture *fixture, const char *command, const char *option, const char *answer)
{
    char request[64];
    pid_t broker;
    int status;

    (void)snprintf(request, sizeof(request), "%s\n", command);
    (void)fflush(NULL);
    broker = fork();
    assert_true(broker >= 0);
    if (broker == 0) {
        serve(fixture->listen_fd, request, answer);
    }
    status = run(fixture, fixture->socket_path, command, option);
    assert_int_equal(status_of(broker), 0);
    return status;
}

static void status_is_a_table(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(
        ask(fixture, "status", NULL, "{\"version\":\"1\",\"clients\":{\"now\":3}}\n"), 0);
    assert_string_equal(
        fixture->output, "version                       1\nclients.now                   3\n");
    assert_string_equal(fixture->errors, "");
}

static void clients_are_rows(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(
        ask(fixture, "clients", NULL, "{\"clients\":[\n{\"dropped\":3,\"id\":\"a\"}\n]}\n"), 0);
    assert_string_equal(fixture->output, "dropped    id\n3          a\n");
    assert_string_equal(fixture->errors, "");
}

static void json_passes_the_answer_on(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(ask(fixture, "status", "--json", "{\"a\": 1}"), 0);
    assert_string_equal(fixture->output, "{\"a\": 1}\n");
    assert_int_equal(ask(fixture, "status", "--json", "{\"a\": 1}\n"), 0);
    assert_string_equal(fixture->output, "{\"a\": 1}\n");
}

static void a_refusal_is_told_and_fails(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(ask(fixture, "reload", NULL, "{\"error\":\"line 3 is bad\"}"), 1);
    assert_string_equal(fixture->output, "");
    assert_string_equal(fixture->errors, "noctule ctl: reload: line 3 is bad\n");
    assert_int_equal(ask(fixture, "reload", "--json", "{\"error\":\"line 3 is bad\"}"), 1);
    assert_string_equal(fixture->output, "{\"error\":\"line 3 is bad\"}\n");
}

static void an_answer_that_is_not_json_fails(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(ask(fixture, "status", NULL, ""), 1);
    assert_non_null(strstr(fixture->errors, "not JSON"));
    assert_int_equal(ask(fixture, "status", "--json", "{\"cut\":"), 1);
    assert_string_equal(fixture->output, "");
}

static void no_broker_is_told_with_a_hint(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(run(fixture, "absent", "status", NULL), 1);
    assert_non_null(strstr(fixture->errors, "cannot connect to 'absent'"));
    assert_non_null(strstr(fixture->errors, "control_socket"));
}

/* Run it with these words while a broker answers. */
static int ask_with(struct fixture *fixture, char **argv, int argc)
{
    pid_t broker, child;
    int status;

    (void)fflush(NULL);
    broker = fork();
    assert_true(broker >= 0);
    if (broker == 0) {
        serve(fixture->listen_fd, "status\n", "{\"a\":1}");
    }
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)dup2(open("out", O_WRONLY | O_CREAT | O_TRUNC, 0600), STDOUT_FILENO);
        (void)dup2(open("err", O_WRONLY | O_CREAT | O_TRUNC, 0600), STDERR_FILENO);
        status = noc_cli_ctl(argc, argv);
        (void)fflush(NULL);
        _exit(status);
    }
    status = status_of(child);
    if (status != 0) {
        (void)kill(broker, SIGKILL);
        (void)waitpid(broker, NULL, 0);
    } else {
        assert_int_equal(status_of(broker), 0);
    }
    read_text("out", fixture->output);
    read_text("err", fixture->errors);
    return status;
}

static void write_config(const char *text)
{
    FILE *file = fopen("conf", "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void without_a_path_the_socket_beside_is_asked(void **state)
{
    struct fixture *fixture = *state;
    char *argv[] = {"ctl", "status", "--json", NULL};

    assert_int_equal(rename("s", "noctule.sock"), 0);
    assert_int_equal(ask_with(fixture, argv, 3), 0);
    assert_string_equal(fixture->output, "{\"a\":1}\n");
    assert_string_equal(fixture->errors, "");
    assert_int_equal(rename("noctule.sock", "s"), 0);
}

static void a_configuration_tells_where_the_socket_is(void **state)
{
    struct fixture *fixture = *state;
    char *argv[] = {"ctl", "-c", "conf", "status", "--json", NULL}, text[200];

    (void)snprintf(text, sizeof(text), "listener 1\ncontrol_socket %s\n", fixture->socket_path);
    write_config(text);
    assert_int_equal(ask_with(fixture, argv, 5), 0);
    assert_string_equal(fixture->output, "{\"a\":1}\n");
    assert_int_equal(rename("s", "noctule.sock"), 0);
    (void)snprintf(text, sizeof(text), "listener 1\npersistence_location %s\n", fixture->folder);
    write_config(text);
    assert_int_equal(ask_with(fixture, argv, 5), 0);
    assert_string_equal(fixture->output, "{\"a\":1}\n");
    assert_int_equal(rename("noctule.sock", "s"), 0);
}

static void a_configuration_that_tells_no_place_is_an_error(void **state)
{
    struct fixture *fixture = *state;
    char *argv[] = {"ctl", "-c", "conf", "status", NULL};

    write_config("sys_interval 1\n");
    assert_int_equal(ask_with(fixture, argv, 4), 1);
    assert_non_null(strstr(fixture->errors, "without a listener and control_socket in 'conf'"));
    write_config("listener x\n");
    assert_int_equal(ask_with(fixture, argv, 4), 1);
    assert_non_null(strstr(fixture->errors, "noctule ctl: Error found at conf:1."));
    assert_int_equal(unlink("conf"), 0);
    assert_int_equal(ask_with(fixture, argv, 4), 1);
    assert_non_null(strstr(fixture->errors, "conf"));
}

static void who_may_not_is_told_who_may(void **state)
{
    struct fixture *fixture = *state;
    pid_t child;

    assert_int_equal(chmod(fixture->folder, 0755), 0);
    assert_int_equal(chmod(fixture->socket_path, 0), 0);
    (void)fflush(NULL);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        char *argv[] = {"ctl", "--socket", fixture->socket_path, "status", NULL};

        (void)dup2(open("err", O_WRONLY | O_CREAT | O_TRUNC, 0600), STDERR_FILENO);
        /* Root may always. */
        if (geteuid() == 0 && setuid(65534) != 0) {
            _exit(99);
        }
        _exit(noc_cli_ctl(4, argv));
    }
    assert_int_equal(status_of(child), 1);
    read_text("err", fixture->errors);
    assert_non_null(strstr(fixture->errors, "Permission denied (the broker's user, "));
}

static void wrong_use_prints_the_usage(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(run(fixture, "absent", "status", "reload"), 1);
    assert_non_null(strstr(fixture->errors, "Usage: noctule ctl"));
    assert_int_equal(run(fixture, "absent", "status", "--nonsense"), 1);
    assert_int_equal(run(fixture, "absent", "--help", NULL), 0);
    assert_non_null(strstr(fixture->output, "Usage: noctule ctl"));
}

static void a_command_that_there_is_not_is_named(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(run(fixture, "absent", "explode", NULL), 1);
    assert_string_equal(
        fixture->errors, "noctule ctl: no command 'explode'; `noctule ctl --help` lists them\n");
}

static void a_socket_path_that_cannot_be_one_is_refused(void **state)
{
    struct fixture *fixture = *state;
    char path[200];

    memset(path, 'p', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    assert_int_equal(run(fixture, path, "status", NULL), 1);
    assert_non_null(strstr(fixture->errors, "too long"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(status_is_a_table),
        TEST(clients_are_rows),
        TEST(json_passes_the_answer_on),
        TEST(a_refusal_is_told_and_fails),
        TEST(an_answer_that_is_not_json_fails),
        TEST(no_broker_is_told_with_a_hint),
        TEST(without_a_path_the_socket_beside_is_asked),
        TEST(a_configuration_tells_where_the_socket_is),
        TEST(a_configuration_that_tells_no_place_is_an_error),
        TEST(who_may_not_is_told_who_may),
        TEST(wrong_use_prints_the_usage),
        TEST(a_command_that_there_is_not_is_named),
        TEST(a_socket_path_that_cannot_be_one_is_refused),
    };
#undef TEST

    return cmocka_run_group_tests(tests, NULL, NULL);
}
