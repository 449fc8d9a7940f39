/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_STORE_IMPORT_H
#define NOC_STORE_IMPORT_H
/*
 * Mosquitto's database becomes sessions, subscriptions, queues and retained messages of a core
 * whose workers don't run yet. All of it is due in the journals then: the caller lets them be
 * stored before anybody connects. Flows go on under their packet ids.
 *
 * Left out, and counted: texts that are not what MQTT allows, messages whose time is over, and what
 * belongs to no client of the file. Mosquitto's file holds no wills, no shared subscriptions and
 * no retain handling.
 */

#include "core/core.h"
#include "store/mosquitto_db.h"

struct noc_import_clock {
    uint64_t now_ms; /* of the core */
    int64_t wall_s;  /* the same moment, since 1970 */
};

struct noc_import_counts {
    unsigned version; /* of the file */
    uint64_t sessions, subscriptions, messages, retained;
    uint64_t left_out;
};

/*
 * Read the file at path. listener_of() finds the listener of a port (0: any). NOC_OK, or an error of
 * noc_mosquitto_file_next(), NOC_EIO with errno; then ret_error says what, and what came before
 * it is in the core.
 */
NOC_MUST_CHECK int noc_import_mosquitto(struct noc_core *core, const char *path,
    const struct noc_import_clock *clock,
    const struct noc_listener *(*listener_of)(const void *context, uint16_t port),
    const void *context, struct noc_import_counts *ret_counts, char *ret_error, size_t error_n);

#endif
