/* SPDX-License-Identifier: Apache-2.0 */
/* `noctule completion SHELL`: the script that makes a shell complete our command lines. */
#include "cli/completion.h"
#include "cli/commands.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "Usage: noctule completion {bash | zsh}\n"
    "\n"
    "Print what makes the shell complete command lines of noctule, and of links to it\n"
    "that bear the names of Mosquitto's programs. `make install` puts it where the shells\n"
    "look (bash with Debian's package bash-completion). To have it without that:\n"
    "\n"
    "  bash           source <(noctule completion bash)      in ~/.bashrc\n"
    "  zsh            source <(noctule completion zsh)       in ~/.zshrc, after compinit\n"
    "\n"
    "  --help         this text\n";

static const struct {
    const char *name;
    void (*print)(void);
} shells[] = {{"bash", noc_completion_print_bash}, {"zsh", noc_completion_print_zsh}};

/* Whether everything reached standard output. */
static int finish(void)
{
    if (fflush(stdout) == 0 && ferror(stdout) == 0) {
        return EXIT_SUCCESS;
    }
    perror("noctule completion: cannot write");
    return EXIT_FAILURE;
}

int noc_cli_completion(int argc, char **argv)
{
    static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    int option = getopt_long(argc, argv, "h", options, NULL);

    if (option == 'h') {
        fputs(usage, stdout);
        return finish();
    }
    if (option != -1) {
        return EXIT_FAILURE; /* getopt has said why */
    }
    if (argc - optind != 1) {
        fputs(usage, stderr);
        return EXIT_FAILURE;
    }
    for (size_t i = 0; i < NOC_COUNT(shells); i++) {
        if (strcmp(shells[i].name, argv[optind]) == 0) {
            shells[i].print();
            return finish();
        }
    }
    fprintf(
        stderr, "noctule completion: no script for '%s'; there are bash and zsh\n", argv[optind]);
    return EXIT_FAILURE;
}
