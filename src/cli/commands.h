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

int noc_cli_broker(int argc, char **argv);
int noc_cli_setup(int argc, char **argv);
int noc_cli_ctl(int argc, char **argv);
int noc_cli_passwd(int argc, char **argv); /* and mosquitto_passwd */
int noc_cli_bench(int argc, char **argv);
int noc_cli_pub(int argc, char **argv);
int noc_cli_sub(int argc, char **argv);
int noc_cli_rr(int argc, char **argv);

#endif
