/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CLI_PASSWD_ASK_H
#define NOC_CLI_PASSWD_ASK_H
/*
 * A password from standard input: typed at a terminal without being shown, or a line of a pipe.
 * Main thread only: while it waits, signals that would end the process first give the terminal
 * its echo back.
 */

#include <stdio.h>

#include "base/macros.h"
#include <noctule/slice.h>

enum { NOC_ASK_PASSWORD_MAX = 65535 };

enum noc_ask_answer {
    NOC_ASK_GOOD,
    NOC_ASK_EMPTY,     /* or the input ended */
    NOC_ASK_DIFFERENT, /* the second one */
    NOC_ASK_TOO_LONG,
    NOC_ASK_ZERO_BYTE, /* in it: Mosquitto would take it for the end */
    NOC_ASK_BROKEN     /* errno */
};

struct noc_ask {
    FILE *prompts; /* NULL: none are shown */
    const char *first;
    const char *second; /* NULL: ask once */
};

/* Overwrite it after use. */
struct noc_ask_password {
    size_t n;
    char bytes[NOC_ASK_PASSWORD_MAX + 1];
};

NOC_MUST_CHECK enum noc_ask_answer noc_ask_password(
    const struct noc_ask *ask, struct noc_ask_password *ret_password);

#endif
