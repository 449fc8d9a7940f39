/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CLI_QUICKSTART_H
#define NOC_CLI_QUICKSTART_H
/*
 * Lines ready to be pasted: how a client reaches a broker that `noctule setup`
 * has configured.
 */

#include <stdint.h>
#include <stdio.h>

struct noc_quickstart {
    const char *user;
    const char *password; /* or a word in its place */
    const char *program;  /* how a shell calls us, quoted where it must be */
    const char *config;   /* path of the configuration, as the user would type it */
    uint16_t mqtt_port;   /* 0: no such listener, its lines are left out */
    uint16_t ws_port;     /* likewise */
};

/*
 * Print how to publish and subscribe from a shell, from a browser and from an
 * ESP32. User and password must be free of quotes, backslashes and control
 * characters: they are put into shell, JavaScript and C text as they are.
 */
void noc_quickstart_print(const struct noc_quickstart *quickstart, FILE *stream);

#endif
