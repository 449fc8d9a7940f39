/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program: finds the command and calls it. Through a link that bears the
 * name of one of Mosquitto's programs it is that program, whole command line.
 */
#include "cli/commands.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * No file or socket may come to be 0, 1 or 2: what is printed would go into it, and what it
 * sends would be read as input. A stream that was closed fails as before, since it can't be read
 * from, or written to. False: has said why.
 */
static bool hold_standard_streams(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && /* kept for the life of the process */
            open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd) {
            fprintf(stderr, "noctule: cannot open /dev/null: %s\n", strerror(errno));
            return false;
        }
    }
    return true;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash == NULL ? path : slash + 1;
}

static const struct noc_cli_command *find_by_name(const char *name)
{
    for (size_t i = 0; i < noc_cli_command_count; i++) {
        if (strcmp(noc_cli_commands[i].name, name) == 0) {
            return &noc_cli_commands[i];
        }
    }
    return NULL;
}

static const struct noc_cli_command *find_by_program(const char *program)
{
    for (size_t i = 0; i < noc_cli_command_count; i++) {
        if (noc_cli_commands[i].program != NULL &&
            strcmp(noc_cli_commands[i].program, program) == 0) {
            return &noc_cli_commands[i];
        }
    }
    return NULL;
}

/* Whether everything reached the stream: `noctule --help >/dev/full` is a failure. */
static int finish(FILE *stream)
{
    return fflush(stream) == 0 && ferror(stream) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int print_help(FILE *stream)
{
    fputs("Usage: noctule COMMAND [OPTION...]\n"
          "       noctule --help | --version\n"
          "\n"
          "Commands:\n",
        stream);
    for (size_t i = 0; i < noc_cli_command_count; i++) {
        fprintf(stream, "  %-10s  %s\n", noc_cli_commands[i].name, noc_cli_commands[i].help);
    }
    fputs("\n"
          "`noctule COMMAND --help` tells a command's options. Called `mosquitto`,\n"
          "`mosquitto_pub`, `_sub`, `_rr` or `_passwd` through a link, it takes Mosquitto's\n"
          "command lines.\n",
        stream);
    return finish(stream);
}

int main(int argc, char **argv)
{
    const struct noc_cli_command *command;
    char name[32];

    if (argc < 1 || !hold_standard_streams()) {
        return EXIT_FAILURE;
    }
    command = find_by_program(base_name(argv[0]));
    if (command != NULL) {
        return command->run(argc, argv);
    }
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        return print_help(stdout);
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        printf("noctule %s\n", NOC_VERSION);
        return finish(stdout);
    }
    command = find_by_name(argv[1]);
    if (command == NULL) {
        fprintf(stderr, "noctule: no command '%s'; `noctule --help` lists them\n", argv[1]);
        return EXIT_FAILURE;
    }
    /* What getopt_long() complains of begins with argv[0]. */
    (void)snprintf(name, sizeof(name), "noctule %s", command->name);
    argv[1] = name;
    return command->run(argc - 1, argv + 1);
}
