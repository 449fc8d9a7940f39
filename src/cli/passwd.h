/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CLI_PASSWD_H
#define NOC_CLI_PASSWD_H
/* The parts of `noctule passwd`: `mosquitto_passwd`, and what reads a file without changing it. */

#include <stdbool.h>

#include "auth/password_hash.h"

enum noc_passwd_status {
    NOC_PASSWD_YES = 0,
    NOC_PASSWD_NO = 1,     /* wrong password, no such user, a file that is not sound */
    NOC_PASSWD_TROUBLE = 2 /* could not be done, or wrong use */
};

/* "-H WORD". False: no such kind. */
bool noc_passwd_scheme_of(const char *word, enum noc_password_scheme *ret_scheme);

/* The name for "-H". */
const char *noc_passwd_scheme_name(enum noc_password_scheme scheme);

/* Mosquitto's program: argv[0] is its path. Its exit status. */
int noc_cli_mosquitto_passwd(int argc, char **argv);

/* `list FILE`. Its exit status. */
int noc_passwd_list(const char *path, bool as_json);

/* `check FILE`, whether each line of it is one that the broker can use. Its exit status. */
int noc_passwd_check_file(const char *path);

/*
 * `check FILE USER`: the password is argument, or asked for where that is NULL. Its exit
 * status.
 */
int noc_passwd_check_user(const char *path, const char *user, const char *argument);

/*
 * A secret leaves the list of processes: the word of the command line is written over, and a copy
 * returned, to be given to noc_passwd_forget(), which takes NULL too. NULL: no memory.
 */
char *noc_passwd_hide(char *word);
void noc_passwd_forget(char *secret);

/* The password of -b, or from standard input, for the commands of our own. False: has said why. */
struct noc_ask_password;
bool noc_passwd_take_password(
    const char *argument, bool ask_twice, struct noc_ask_password *ret_password);

#endif
