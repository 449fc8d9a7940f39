/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `noctule ctl COMMAND`: ask a running broker through its control socket.
 *
 * The talk: we connect, send the command and a line feed; the broker answers
 * with one JSON object and closes. An object with a string member "error" is
 * a refusal.
 */
#define _GNU_SOURCE
#include "base/error.h"
#include "base/macros.h"
#include "cli/commands.h"
#include "cli/json_table.h"

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define DEFAULT_SOCKET "/run/noctule/control.sock"

enum {
    ANSWER_MAX_BYTES = 16 << 20,
    ANSWER_STEP_BYTES = 64 << 10,
    TIMEOUT_S = 10, /* of silence */
};

struct ctl {
    const char *socket_path;
    const char *command;
    bool as_json;
};

static const char *const commands[] = {"status", "reload"};

static const char usage[] =
    "Usage: noctule ctl [OPTION...] COMMAND\n"
    "\n"
    "Ask a running broker through its control socket.\n"
    "\n"
    "Commands:\n"
    "  status         what the broker is doing: version, uptime, clients, messages\n"
    "  reload         read the password, ACL and certificate files again\n"
    "\n"
    "  --socket PATH  the control socket (default: " DEFAULT_SOCKET ");\n"
    "                 the one of `make run` is run/control.sock\n"
    "  --json         print the answer as the JSON it is\n"
    "  --help         this text\n";

static const char *remedy_of(int error)
{
    switch (error) {
    case ENOENT:
    case ECONNREFUSED:
        return " (is the broker running? `control_socket` in its configuration names the path)";
    case EACCES:
        return " (the broker's user, the members of the socket's group and root may)";
    default:
        return "";
    }
}

/* Returns a connected socket, or -1 and has said why. */
static int connect_socket(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const struct timeval timeout = {.tv_sec = TIMEOUT_S};
    int fd;

    if (strlen(path) >= sizeof(address.sun_path)) {
        fprintf(stderr, "noctule ctl: the socket's path is too long: '%s'\n", path);
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        fprintf(stderr, "noctule ctl: cannot open a socket: %s\n", strerror(errno));
        return -1;
    }
    /* The time-out holds for connect() too: a broker that is stuck has a full backlog. */
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        fprintf(stderr, "noctule ctl: cannot connect to '%s': %s%s\n", path,
            errno == EAGAIN ? "no answer" : strerror(errno), remedy_of(errno));
        (void)close(fd);
        return -1;
    }
    return fd;
}

static int send_command(int fd, const char *command)
{
    char line[64];
    size_t n = (size_t)snprintf(line, sizeof(line), "%s\n", command);

    for (size_t sent = 0; sent < n;) {
        ssize_t step = send(fd, line + sent, n - sent, MSG_NOSIGNAL);

        if (step > 0) {
            sent += (size_t)step;
        } else if (errno != EINTR) {
            return NOC_EIO;
        }
    }
    return NOC_OK;
}

/* Read until the broker closes. *ret_answer is the caller's to free(). */
static int read_answer(int fd, char **ret_answer, size_t *ret_n)
{
    char *answer = NULL;
    size_t n = 0;

    for (;;) {
        char *grown = realloc(answer, n + ANSWER_STEP_BYTES);
        ssize_t step;

        if (grown == NULL) {
            free(answer);
            return NOC_ENOMEM;
        }
        answer = grown;
        do {
            step = recv(fd, answer + n, ANSWER_STEP_BYTES, 0);
        } while (step < 0 && errno == EINTR);
        if (step == 0) {
            *ret_answer = answer;
            *ret_n = n;
            return NOC_OK;
        }
        n += step < 0 ? 0 : (size_t)step;
        if (step < 0 || n > ANSWER_MAX_BYTES) {
            free(answer);
            return step < 0 ? NOC_EIO : NOC_ETOOLARGE;
        }
    }
}

/* Print the answer. Returns the exit status. */
static int show_answer(const struct ctl *ctl, struct noc_slice answer)
{
    char refusal[1024];
    int err = noc_json_find_string(answer, "error", refusal, sizeof(refusal));

    if (err == NOC_EMALFORMED) {
        fprintf(stderr, "noctule ctl: the broker's answer is not JSON\n");
        return EXIT_FAILURE;
    }
    if (ctl->as_json) {
        (void)fwrite(answer.at, 1, answer.n, stdout);
        if (answer.at[answer.n - 1] != '\n') {
            (void)fputc('\n', stdout);
        }
    } else if (err == NOC_OK) {
        fprintf(stderr, "noctule ctl: %s: %s\n", ctl->command, refusal);
    } else if (noc_json_table_print(answer, stdout) < 0) {
        return EXIT_FAILURE;
    }
    if (fflush(stdout) != 0) {
        fprintf(stderr, "noctule ctl: cannot write: %s\n", strerror(errno));
        return EXIT_FAILURE;
    }
    return err == NOC_OK ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int ask(const struct ctl *ctl)
{
    int status = EXIT_FAILURE;
    char *answer = NULL;
    size_t n = 0;
    int fd = connect_socket(ctl->socket_path);
    int err;

    if (fd < 0) {
        return EXIT_FAILURE;
    }
    err = send_command(fd, ctl->command);
    if (err == NOC_OK) {
        err = read_answer(fd, &answer, &n);
    }
    if (err == NOC_OK) {
        status = show_answer(ctl, noc_slice(answer, n));
    } else if (err == NOC_EIO) {
        fprintf(stderr, "noctule ctl: no answer from '%s': %s\n", ctl->socket_path,
            errno == EAGAIN ? "it is silent" : strerror(errno));
    } else {
        fprintf(stderr, "noctule ctl: cannot read the answer: %s\n", noc_error_text(err));
    }
    free(answer);
    (void)close(fd);
    return status;
}

static bool is_command(const char *word)
{
    for (size_t i = 0; i < NOC_COUNT(commands); i++) {
        if (strcmp(commands[i], word) == 0) {
            return true;
        }
    }
    return false;
}

int noc_cli_ctl(int argc, char **argv)
{
    static const struct option options[] = {
        {"socket", required_argument, NULL, 's'},
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct ctl ctl = {.socket_path = DEFAULT_SOCKET};
    int option;

    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (option) {
        case 's':
            ctl.socket_path = optarg;
            break;
        case 'j':
            ctl.as_json = true;
            break;
        case 'h':
            fputs(usage, stdout);
            return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
        default:
            return EXIT_FAILURE;
        }
    }
    if (argc - optind != 1) {
        fputs(usage, stderr);
        return EXIT_FAILURE;
    }
    if (!is_command(argv[optind])) {
        fprintf(stderr, "noctule ctl: no command '%s'; `noctule ctl --help` lists them\n",
            argv[optind]);
        return EXIT_FAILURE;
    }
    ctl.command = argv[optind];
    return ask(&ctl);
}
