/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_BROKER_BROKER_H
#define NOC_BROKER_BROKER_H
/*
 * The broker: configuration made into endpoints, access, core and workers.
 *
 *   main thread      start, then the control thread: signals, reload, $SYS,
 *                    the control socket, memory
 *   workers          everything that has to do with clients
 *   auth pool        passwords
 *   log writer       files
 */

#include <signal.h>
#include <stdatomic.h>

#include "auth/pool.h"
#include "auth/scram.h"
#include "broker/topic_log.h"
#include "broker/worker.h"
#include "config/command_line.h"

/* Where the control socket is unless the configuration says so; else beside the store. */
#define NOC_CONTROL_FOLDER "/run/noctule"

struct noc_control;
struct noc_store;
struct noc_watched;

struct noc_broker {
    /* Constant once the workers run. */
    const struct noc_config *config; /* borrowed */
    const char *config_file;         /* NULL: none */
    const char *tls_keylog;          /* NULL: none */
    const char *name;                /* "noctule", or "mosquitto" when called so */
    struct noc_config_options config_options;
    struct noc_log *log;
    struct noc_topic_log topic_log; /* the log's context for the destination "topic" */
    struct noc_core core;
    struct noc_endpoint *endpoints;
    size_t endpoint_count;
    struct noc_worker *workers;
    unsigned worker_count;
    struct noc_auth_pool *pool;
    struct noc_auth_memory *memory;
    struct noc_store *store; /* NULL: persistence false */
    uint64_t started_ms;
    uint8_t stranger_key[NOC_SCRAM_KEY_BYTES]; /* see auth/scram.h */

    /* Main thread only, once the workers run. */
    struct noc_admission *access; /* in force; counted */
    struct noc_watched *watched;  /* the files that it was read from */
    uint64_t access_version;      /* last number given to a security */
    unsigned reload_count, reload_failures;

    /* Any thread. */
    atomic_uint_fast64_t accepted; /* connections so far */
    atomic_bool store_has_failed;
};

/*
 * Run a broker until it is told to stop. topic_log is initialised; log is started by it, after the
 * process has gone to the background. Returns the exit status: 0 after a
 * signal, 1 for what failed at start, 3 for a password or ACL file.
 */
int noc_broker_run(struct noc_broker *broker, const struct noc_command_line *line);

/* ---- control.c ---- */

/*
 * Where a broker's control socket can be, in the order in which the broker tries. A path that is
 * cut off is too long for a socket anyway.
 */
struct noc_control_places {
    char at[2][256];
    unsigned count;
};

/*
 * None in local mode, unless the configuration names one. config NULL: of a broker about which
 * nothing is known. Any thread.
 */
void noc_control_places(const struct noc_config *config, struct noc_control_places *ret_places);

/* The signals that noc_control_run() reads; they must be blocked in all threads. */
void noc_control_signals(sigset_t *ret_signals);

/*
 * All descriptors of the control thread, before the workers run: a storm of connections at the
 * start may take every one that is left. NULL: out of memory or descriptors.
 */
struct noc_control *noc_control_new(struct noc_broker *broker);
void noc_control_free(struct noc_control *control); /* NULL is fine */

/* Serve signals, the control socket and timers until told to stop. */
void noc_control_run(struct noc_control *control);

/* Read password, ACL and TLS files again and put them in force; false: the old ones stay. */
bool noc_broker_reload(struct noc_broker *broker);

/* ---- sys.c ---- */

struct noc_sys;

struct noc_sys *noc_sys_new(struct noc_broker *broker); /* NULL: out of memory */
void noc_sys_free(struct noc_sys *sys);

/* Publish what has changed since the last time under $SYS/broker/. */
void noc_sys_publish(struct noc_sys *sys, uint64_t now_ms);

#endif
