/* SPDX-License-Identifier: Apache-2.0 */
/* The table of commands. */
#include "cli/commands.h"
#include "base/macros.h"

const struct noc_cli_command noc_cli_commands[] = {
    {"broker", noc_cli_broker, "run the broker", "mosquitto"},
    {"setup", noc_cli_setup, "make a folder with a secure configuration and a first user", NULL},
    {"passwd", noc_cli_passwd, "set and check the passwords of a password file",
        "mosquitto_passwd"},
    {"bench", noc_cli_bench, "put load on a broker and measure it", NULL},
    {"pub", noc_cli_pub, "publish a message", "mosquitto_pub"},
    {"sub", noc_cli_sub, "subscribe, and show what comes", "mosquitto_sub"},
    {"rr", noc_cli_rr, "send a request, and show the response", "mosquitto_rr"},
    {"ctl", noc_cli_ctl, "ask a running broker for its status, or tell it to reload", NULL},
    {"db", noc_cli_db, "look into a store or a mosquitto.db: print it, check it, export it",
        "mosquitto_db_dump"},
    {"completion", noc_cli_completion, "print what makes a shell complete command lines", NULL},
};

const size_t noc_cli_command_count = NOC_COUNT(noc_cli_commands);
