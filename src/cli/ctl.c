/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `noctule ctl COMMAND`: ask a running broker through its control socket.
 *
 * The talk: we connect, send the command and a line feed; the broker answers
 * with one JSON object and closes. An object with a string member "error" is
 * a refusal.
 */
#define _GNU_SOURCE
#include "base/macros.h"
#include "broker/broker.h"
#include "cli/commands.h"
#include "cli/json_table.h"
#include <noctule/error.h>

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

enum {
    ANSWER_MAX_BYTES = 1 << 30,
    ANSWER_STEP_BYTES = 64 << 10,
    TIMEOUT_S = 10, /* of silence */
};

struct ctl {
    const char *config_path; /* or NULL */
    const char *socket_path; /* or NULL */
    const char *command;
    bool as_json;
};

static const char *const commands[] = {"status", "clients", "reload"};

static const char usage[] =
    "Usage: noctule ctl [OPTION...] COMMAND\n"
    "\n"
    "Ask a running broker through its control socket.\n"
    "\n"
    "Commands:\n"
    "  status         what the broker is doing: version, uptime, clients, messages\n"
    "  clients        every session: what was dropped, what is queued, address, user, id\n"
    "  reload         read the password, ACL and certificate files again\n"
    "\n"
    "  -c FILE        look for the control socket where the broker of this\n"
    "                 configuration has it\n"
    "  --socket PATH  the control socket itself; the one of `make run` is\n"
    "                 run/control.sock. Without either: ./noctule.sock, then\n"
    "                 " NOC_CONTROL_FOLDER "/control.sock\n"
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

/* Where to look, in the order of noc_control_places(). False: nowhere, and has said why. */
static bool find_places(const struct ctl *ctl, struct noc_control_places *ret_places)
{
    struct noc_config_report report;
    struct noc_config *config;
    int err;

    if (ctl->socket_path != NULL) {
        *ret_places = (struct noc_control_places){.count = 1};
        (void)snprintf(ret_places->at[0], sizeof(ret_places->at[0]), "%s", ctl->socket_path);
        return true;
    }
    if (ctl->config_path == NULL) {
        noc_control_places(NULL, ret_places);
        return true;
    }
    noc_config_report_init(&report);
    err = noc_config_load(ctl->config_path, NULL, &config, &report);
    if (err == NOC_OK) {
        noc_control_places(config, ret_places);
        noc_config_free(config);
    }
    for (size_t i = 0; i < report.count; i++) {
        if (report.messages[i].level == NOC_CONFIG_ERROR) {
            fprintf(stderr, "noctule ctl: %s\n", report.messages[i].text);
        }
    }
    noc_config_report_done(&report);
    if (err == NOC_OK && ret_places->count == 0) {
        fprintf(stderr,
            "noctule ctl: without a listener and control_socket in '%s' there is none\n",
            ctl->config_path);
        return false;
    }
    return err == NOC_OK;
}

/* Returns a connected socket, or -1 with errno. */
static int connect_socket(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const struct timeval timeout = {.tv_sec = TIMEOUT_S};
    int fd, error;

    if (strlen(path) >= sizeof(address.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    /* The time-out holds for connect() too: a broker that is stuck has a full backlog. */
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        error = errno;
        (void)close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

/*
 * The nearest first: a broker that found the common place taken is beside its store. Returns a
 * connected socket and its path, or -1 and has said why.
 */
static int connect_nearest(const struct noc_control_places *places, const char **ret_path)
{
    int errors[NOC_COUNT(places->at)];

    for (unsigned i = places->count; i-- > 0;) {
        int fd = connect_socket(places->at[i]);

        if (fd >= 0) {
            if (places->count > 1 && isatty(STDERR_FILENO)) {
                fprintf(stderr, "noctule ctl: asking the broker at '%s'\n", places->at[i]);
            }
            *ret_path = places->at[i];
            return fd;
        }
        errors[i] = errno;
    }
    for (unsigned i = places->count; i-- > 0;) {
        fprintf(stderr, "noctule ctl: cannot connect to '%s': %s%s\n", places->at[i],
            errors[i] == EAGAIN ? "no answer" : strerror(errors[i]), remedy_of(errors[i]));
    }
    return -1;
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
    } else if ((strcmp(ctl->command, "clients") == 0 ? noc_json_rows_print(answer, stdout)
                                                     : noc_json_table_print(answer, stdout)) < 0) {
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
    struct noc_control_places places;
    const char *path;
    int fd, err;

    if (!find_places(ctl, &places)) {
        return EXIT_FAILURE;
    }
    fd = connect_nearest(&places, &path);
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
        fprintf(stderr, "noctule ctl: no answer from '%s': %s\n", path,
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
        {"config", required_argument, NULL, 'c'},
        {"socket", required_argument, NULL, 's'},
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct ctl ctl = {0};
    int option;

    while ((option = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            ctl.config_path = optarg;
            break;
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
