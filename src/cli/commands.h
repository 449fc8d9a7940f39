/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CLI_COMMANDS_H
#define NOC_CLI_COMMANDS_H
/*
 * The commands of the program, one file each. argv[0] is "noctule" and
 * the command's own word ("noctule bench"), or the program's path where that
 * is the command ("/usr/sbin/mosquitto"); the rest are its options. Each
 * returns the process's exit status and may be called once, from the main
 * thread.
 */

#include <stddef.h>

int noc_cli_broker(int argc, char **argv);
int noc_cli_setup(int argc, char **argv);
int noc_cli_ctl(int argc, char **argv);
int noc_cli_passwd(int argc, char **argv); /* and mosquitto_passwd */
int noc_cli_db(int argc, char **argv);     /* and mosquitto_db_dump */
int noc_cli_bench(int argc, char **argv);
int noc_cli_pub(int argc, char **argv);
int noc_cli_sub(int argc, char **argv);
int noc_cli_rr(int argc, char **argv);
int noc_cli_completion(int argc, char **argv);

struct noc_cli_command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;    /* one line */
    const char *program; /* the program's name under which this command runs by itself, or NULL */
};

/* All of them, in the order of `noctule --help`. */
extern const struct noc_cli_command noc_cli_commands[];
extern const size_t noc_cli_command_count;

#endif
