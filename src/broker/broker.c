/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
/*
 * Start and stop. The order of the start: what needs root (files, ports), then
 * root is given up, then threads. The order of the stop: no new connections,
 * wills, a mail barrier, goodbyes, at most five seconds for output, threads.
 */
#include "broker/broker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "broker/durable.h"
#include "broker/watch.h"
#include "net/clock.h"
#include "net/port_holder.h"
#include "net/privileges.h"

/* Output that is left at the end has this long. */
#define STOP_MS 5000u

/* ---- endpoints ---- */

static enum noc_listen_domain domain_of(enum noc_config_socket_domain domain)
{
    switch (domain) {
    case NOC_CONFIG_IPV4:
        return NOC_LISTEN_IPV4;
    case NOC_CONFIG_IPV6:
        return NOC_LISTEN_IPV6;
    case NOC_CONFIG_IP_ANY:
        break;
    }
    return NOC_LISTEN_BOTH;
}

static void log_opening(struct noc_broker *broker, const struct noc_endpoint *endpoint)
{
    const struct noc_listener_config *config = endpoint->config;

    for (size_t i = 0; i < endpoint->sockets.count; i++) {
        const struct noc_address *address = &endpoint->sockets.at[i].address;

        if (config->unix_path != NULL) {
            noc_log(broker->log, NOC_LOG_INFORMATION, "Opening %sunix listen socket on path %s.",
                endpoint->is_websocket ? "websockets " : "", config->unix_path);
        } else {
            noc_log(broker->log, NOC_LOG_INFORMATION,
                endpoint->is_websocket ? "Opening websockets %s listen socket on port %u (%s)."
                                       : "Opening %s listen socket on port %u (%s).",
                address->family == NOC_ADDRESS_IPV6 ? "ipv6" : "ipv4", (unsigned)address->port,
                address->text);
        }
    }
}

/* Why nobody can connect to it, with the holder of its port. */
static void log_not_open(const struct noc_broker *broker, const struct noc_listener_config *config,
    const char *error, int err)
{
    struct noc_port_holder holder;

    noc_log(broker->log, NOC_LOG_ERROR, "Error: %s", error);
    if (config->unix_path != NULL) {
        noc_log(broker->log, NOC_LOG_ERROR, "Error: cannot listen on '%s'.", config->unix_path);
    } else if (err == NOC_EEXIST) {
        (void)noc_port_holder_find((uint16_t)config->port, &holder);
        noc_log(broker->log, NOC_LOG_ERROR,
            "Error: port %d is held by %s: stop that, or choose another port.", config->port,
            holder.text);
    } else {
        noc_log(broker->log, NOC_LOG_ERROR, "Error: cannot listen on port %d.", config->port);
    }
}

/* Its addresses are taken; who connects is refused until begin_listening(). */
static int open_endpoint(struct noc_broker *broker, struct noc_endpoint *endpoint)
{
    const struct noc_listener_config *config = endpoint->config;
    const struct noc_listen_options options = {
        .host = config->address,
        .port = (uint16_t)config->port,
        .domain = domain_of(config->socket_domain),
        .bind_interface = config->bind_interface,
        .unix_path = config->unix_path,
        .is_held = true,
    };
    char error[256];
    int err = noc_listen_open(&options, &endpoint->sockets, error, sizeof error);

    if (err == NOC_OK) {
        log_opening(broker, endpoint);
    } else {
        log_not_open(broker, config, error, err);
    }
    return err;
}

static int make_endpoint(
    struct noc_endpoint *endpoint, const struct noc_config *whole, size_t number)
{
    const struct noc_listener_config *config = &whole->listeners[number];

    endpoint->config = config;
    endpoint->is_websocket = config->protocol == NOC_CONFIG_WEBSOCKETS;
    endpoint->has_tls = config->certfile != NULL;
    endpoint->listener = (struct noc_listener){
        .number = (unsigned)number,
        .mount_point = noc_slice_of(config->mount_point),
        .auto_id_prefix = noc_slice_of(config->auto_id_prefix),
        .port = (uint16_t)config->port,
        .max_qos = (uint8_t)config->max_qos,
        .max_topic_alias = (uint16_t)config->max_topic_alias,
        .max_topic_alias_broker = (uint16_t)config->max_topic_alias_broker,
        .allow_zero_length_clientid =
            noc_config_security(whole, config->security_index)->allow_zero_length_clientid,
    };
    atomic_init(&endpoint->connections, 0);
    if (config->websockets_origins.count == 0) {
        return NOC_OK;
    }
    endpoint->origins = calloc(config->websockets_origins.count, sizeof *endpoint->origins);
    if (endpoint->origins == NULL) {
        return NOC_ENOMEM;
    }
    for (size_t i = 0; i < config->websockets_origins.count; i++) {
        endpoint->origins[endpoint->origin_count++] =
            noc_slice_of(config->websockets_origins.items[i]);
    }
    return NOC_OK;
}

static void close_endpoints(struct noc_broker *broker)
{
    for (size_t i = 0; i < broker->endpoint_count; i++) {
        struct noc_endpoint *endpoint = &broker->endpoints[i];

        if (endpoint->sockets.count > 0) {
            noc_listen_close(&endpoint->sockets);
            if (endpoint->config->unix_path != NULL) {
                noc_listen_remove_path(endpoint->config->unix_path);
            }
        }
        free(endpoint->origins);
    }
    free(broker->endpoints);
    broker->endpoints = NULL;
}

static int open_endpoints(struct noc_broker *broker)
{
    const struct noc_config *config = broker->config;

    broker->endpoints = calloc(config->listener_count, sizeof *broker->endpoints);
    if (broker->endpoints == NULL) {
        return NOC_ENOMEM;
    }
    broker->endpoint_count = config->listener_count;
    for (size_t i = 0; i < config->listener_count; i++) {
        int err = make_endpoint(&broker->endpoints[i], config, i);

        if (err == NOC_OK) {
            err = open_endpoint(broker, &broker->endpoints[i]);
        }
        if (err != NOC_OK) {
            close_endpoints(broker);
            return err;
        }
    }
    return NOC_OK;
}

/* ---- core and workers ---- */

static void make_limits(const struct noc_config *config, struct noc_limits *limits)
{
    *limits = (struct noc_limits){
        .compatibility =
            config->compatibility == NOC_COMPATIBILITY_2_1 ? NOC_COMPAT_2_1 : NOC_COMPAT_2_0,
        .max_packet_size = config->max_packet_bytes,
        .message_size_limit = config->message_size_limit_bytes,
        .max_queued_messages = (uint32_t)config->max_queued_messages,
        .max_queued_bytes = config->max_queued_bytes,
        .max_inflight_messages = (uint16_t)config->max_inflight_messages,
        .max_inflight_bytes = config->max_inflight_bytes,
        .max_keepalive_s = (uint16_t)config->max_keepalive_s,
        .absent_expiry_s = config->persistent_client_expiration_s,
        .retained_sweep_s = (uint32_t)config->retain_expiry_interval_min * 60u,
        .max_output_bytes =
            config->max_output_bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)config->max_output_bytes,
        .connect_timeout_ms = (uint32_t)config->connect_timeout_s * 1000u,
        .mailbox_high = (uint32_t)config->mailbox_high,
        .retain_available = config->retain_available,
        .queue_qos0 = config->queue_qos0_messages,
        .connection_messages = config->connection_messages,
        .listener_count = (unsigned)config->listener_count,
    };
}

static unsigned count_workers(const struct noc_config *config)
{
    long cores = config->workers > 0 ? config->workers : sysconf(_SC_NPROCESSORS_ONLN);

    return cores < 1 ? 1 : cores > NOC_WORKERS_MAX ? NOC_WORKERS_MAX : (unsigned)cores;
}

static void done_workers(struct noc_broker *broker, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        noc_worker_close_links(&broker->workers[i]);
    }
    for (unsigned i = 0; i < count; i++) {
        noc_worker_done(&broker->workers[i]);
    }
    free(broker->workers);
    broker->workers = NULL;
}

static int make_workers(struct noc_broker *broker)
{
    uint64_t now_ms = noc_clock_ms();

    broker->workers = aligned_alloc(NOC_CACHE_LINE, broker->worker_count * sizeof *broker->workers);
    if (broker->workers == NULL) {
        return NOC_ENOMEM;
    }
    memset(broker->workers, 0, broker->worker_count * sizeof *broker->workers);
    for (unsigned i = 0; i < broker->worker_count; i++) {
        int err = noc_worker_init(&broker->workers[i], broker, i, now_ms);

        if (err != NOC_OK) {
            done_workers(broker, i);
            return err;
        }
    }
    return NOC_OK;
}

static int make_core(struct noc_broker *broker)
{
    struct noc_limits limits;
    uint64_t seed;
    int err;

    if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed ||
        getrandom(broker->stranger_key, sizeof broker->stranger_key, 0) !=
            (ssize_t)sizeof broker->stranger_key) {
        return NOC_EIO;
    }
    make_limits(broker->config, &limits);
    broker->worker_count = count_workers(broker->config);
    err = noc_core_init(&broker->core, broker->worker_count, &limits, seed);
    if (err != NOC_OK) {
        return err;
    }
    atomic_store_explicit(&broker->core.log_mask,
        (unsigned)atomic_load_explicit(&broker->log->levels, memory_order_relaxed),
        memory_order_relaxed);
    err = make_workers(broker);
    if (err != NOC_OK) {
        noc_core_done(&broker->core);
    }
    return err;
}

static int make_pool(struct noc_broker *broker)
{
    broker->memory = noc_auth_memory_new(0);
    if (broker->memory == NULL) {
        return NOC_ENOMEM;
    }
    broker->pool = noc_auth_pool_new(&(struct noc_auth_pool_options){
        .threads = (unsigned)broker->config->auth_workers, .memory = broker->memory});
    if (broker->pool == NULL) {
        noc_auth_memory_free(broker->memory);
        return NOC_ENOMEM;
    }
    return NOC_OK;
}

/* ---- stop ---- */

/* How many workers have come past a point of the stop. */
struct barrier {
    atomic_uint passed;
};

static void stop_step_wills(struct noc_shard *shard, void *argument)
{
    struct barrier *barrier = argument;

    if (shard != NULL) {
        noc_worker_stop_accepting(noc_worker_of(shard));
        noc_shard_fire_wills(shard);
    }
    atomic_fetch_add(&barrier->passed, 1);
}

/* Mail that a worker posted before is drained when this runs: mailboxes are first in, first out. */
static void stop_step_pass(struct noc_shard *shard, void *argument)
{
    struct barrier *barrier = argument;

    (void)shard;
    atomic_fetch_add(&barrier->passed, 1);
}

static void stop_step_goodbye(struct noc_shard *shard, void *argument)
{
    struct barrier *barrier = argument;

    if (shard != NULL) {
        noc_worker_stop(noc_worker_of(shard), STOP_MS);
    }
    atomic_fetch_add(&barrier->passed, 1);
}

/* Run a step on every worker that has been started, and wait until all have run it. */
static void on_all_workers(struct noc_broker *broker, noc_shard_call_fn *step)
{
    struct barrier barrier;
    const struct timespec pause = {.tv_nsec = 1000000};
    unsigned called = 0;

    atomic_init(&barrier.passed, 0);
    for (unsigned i = 0; i < broker->worker_count && broker->workers[i].is_started; i++) {
        while (noc_worker_call_mt(&broker->workers[i], step, &barrier) != NOC_OK) {
            (void)nanosleep(&pause, NULL);
        }
        called++;
    }
    while (atomic_load(&barrier.passed) < called) {
        (void)nanosleep(&pause, NULL);
    }
}

static void stop_workers(struct noc_broker *broker)
{
    on_all_workers(broker, stop_step_wills);
    /* A will may go over two mails (a share group's member that has gone). */
    on_all_workers(broker, stop_step_pass);
    on_all_workers(broker, stop_step_pass);
    noc_durable_settle(broker); /* answers that wait for the store go out before the goodbyes */
    on_all_workers(broker, stop_step_goodbye);
    for (unsigned i = 0; i < broker->worker_count; i++) {
        noc_worker_join(&broker->workers[i]);
    }
}

/* ---- run ---- */

static int start_workers(struct noc_broker *broker)
{
    for (unsigned i = 0; i < broker->worker_count; i++) {
        if (noc_worker_start(&broker->workers[i]) != NOC_OK) {
            noc_log(broker->log, NOC_LOG_ERROR, "Error: a thread could not be started.");
            return NOC_ENOMEM;
        }
    }
    return NOC_OK;
}

/* Root has read it; whoever we are now is to read it again when it changes. */
static void warn_unless_readable(
    const struct noc_broker *broker, const char *path, const struct noc_identity *identity)
{
    if (path == NULL || faccessat(AT_FDCWD, path, R_OK, AT_EACCESS) == 0 || errno != EACCES) {
        return;
    }
    noc_log(broker->log, NOC_LOG_WARNING,
        "Warning: %s: user '%s' may not read it, so a change takes effect at the next start only "
        "(remedy: chgrp %lu '%s' and chmod g+r '%s', the same for its folder)",
        path, identity->name, (unsigned long)identity->gid, path, path);
}

static void warn_of_unreadable(const struct noc_broker *broker, const struct noc_identity *identity)
{
    for (size_t i = 0; i < noc_config_security_count(broker->config); i++) {
        const struct noc_security_config *security = noc_config_security(broker->config, i);

        warn_unless_readable(broker, security->password_file, identity);
        warn_unless_readable(broker, security->acl_file, identity);
    }
}

/* Root is given up here, and the pid written. */
static bool settle_process(struct noc_broker *broker)
{
    const struct noc_config *config = broker->config;
    struct noc_identity identity;
    char error[256];

    if (config->pid_file != NULL &&
        noc_pid_file_write(config->pid_file, error, sizeof error) != NOC_OK) {
        noc_log(broker->log, NOC_LOG_ERROR, "Error: %s", error);
        return false;
    }
    if (geteuid() != 0) {
        return true;
    }
    if (noc_identity_find(config->user, &identity, error, sizeof error) == NOC_OK) {
        /* The control socket's folder has to be made while that is allowed. */
        if (mkdir(NOC_CONTROL_FOLDER, 0750) == 0) {
            (void)!chown(NOC_CONTROL_FOLDER, identity.uid, identity.gid);
        }
    } else {
        noc_log(broker->log, NOC_LOG_ERROR, "Error: %s", error);
        return false;
    }
    if (noc_identity_assume(&identity, error, sizeof error) != NOC_OK) {
        noc_log(broker->log, NOC_LOG_ERROR, "Error: %s", error);
        return false;
    }
    warn_of_unreadable(broker, &identity);
    return true;
}

/* All that was stored is there again: let clients come. */
static int begin_listening(struct noc_broker *broker)
{
    for (size_t i = 0; i < broker->endpoint_count; i++) {
        const struct noc_endpoint *endpoint = &broker->endpoints[i];
        char error[256];
        int err = noc_listen_begin(&endpoint->sockets, error, sizeof error);

        if (err != NOC_OK) {
            log_not_open(broker, endpoint->config, error, err);
            return err;
        }
    }
    return NOC_OK;
}

static int serve(struct noc_broker *broker)
{
    struct noc_control *control = noc_control_new(broker);
    int status = 1;

    if (control == NULL) {
        noc_log(broker->log, NOC_LOG_ERROR, "Error: Out of memory or descriptors.");
        return 1;
    }
    if (begin_listening(broker) == NOC_OK && start_workers(broker) == NOC_OK) {
        noc_topic_log_set_mt(&broker->topic_log, &broker->workers[0]);
        noc_log(
            broker->log, NOC_LOG_INFORMATION, "%s version %s running", broker->name, NOC_VERSION);
        noc_control_run(control);
        status = 0;
        noc_log(broker->log, NOC_LOG_INFORMATION, "%s version %s terminating", broker->name,
            NOC_VERSION);
    }
    noc_control_free(control);
    noc_auth_pool_stop(broker->pool);
    noc_topic_log_set_mt(&broker->topic_log, NULL);
    stop_workers(broker);
    return status;
}

static int run_with_core(struct noc_broker *broker)
{
    int status = 1;

    if (make_core(broker) != NOC_OK) {
        noc_log(broker->log, NOC_LOG_ERROR, "Error: Out of memory or descriptors.");
        return 1;
    }
    if (make_pool(broker) != NOC_OK) {
        noc_log(broker->log, NOC_LOG_ERROR, "Error: Out of memory.");
    } else {
        if (noc_durable_start(broker)) {
            status = serve(broker);
            status = noc_durable_stop(broker) ? status : 1;
        }
        noc_auth_pool_free(broker->pool);
        noc_auth_memory_free(broker->memory);
    }
    done_workers(broker, broker->worker_count);
    noc_core_done(&broker->core);
    return status;
}

/*
 * The control thread reads the signals that mean something to it; what is left keeps its
 * default, so that a terminal's stop and quit work. They are blocked before there are
 * threads, so that one that comes during the start waits for it.
 */
static void block_signals(void)
{
    sigset_t ours;

    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN); /* a log file at its limit fails to be written, no more */
    noc_control_signals(&ours);
    (void)pthread_sigmask(SIG_BLOCK, &ours, NULL);
}

/* From the files on: what they allow, then the ports, then root is given up, then threads. */
static int load_and_run(struct noc_broker *broker, const struct noc_command_line *line)
{
    const struct noc_admission_load load = {
        .tls_keylog = line->tls_keylog, .log = broker->log, .version = &broker->access_version};
    bool is_file = false;
    int status = 1;

    if (noc_admission_load(broker->config, &load, &broker->access, &is_file) != NOC_OK) {
        return is_file ? NOC_CONFIG_EXIT_INVALID : 1;
    }
    if (open_endpoints(broker) == NOC_OK) {
        if (settle_process(broker)) {
            if (noc_log_start(broker->log) != NOC_OK) {
                noc_log(broker->log, NOC_LOG_WARNING, "Warning: log lines are written directly.");
            }
            status = run_with_core(broker);
        }
        close_endpoints(broker);
        if (broker->config->pid_file != NULL) {
            noc_pid_file_remove(broker->config->pid_file);
        }
    }
    noc_admission_unref(broker->access);
    return status;
}

/* What it starts as, in Mosquitto's words as far as filters know them. */
static void log_start(struct noc_broker *broker)
{
    const struct noc_config *config = broker->config;

    noc_log(broker->log, NOC_LOG_INFORMATION, "%s version %s starting", broker->name, NOC_VERSION);
    if (broker->config_file != NULL) {
        noc_log(broker->log, NOC_LOG_INFORMATION, "Config loaded from %s.", broker->config_file);
    } else {
        noc_log(broker->log, NOC_LOG_INFORMATION, "Using default config.");
    }
    if (config->compatibility == NOC_COMPATIBILITY_2_1) {
        noc_log(broker->log, NOC_LOG_INFORMATION, "TLS support available.");
        noc_log(broker->log, NOC_LOG_INFORMATION, "Websockets support available.");
    }
    if (config->is_local_only) {
        noc_log(broker->log, NOC_LOG_WARNING,
            "Starting in local only mode. Connections will only be possible from clients running "
            "on this machine.");
        noc_log(broker->log, NOC_LOG_WARNING,
            "Create a configuration file which defines a listener to allow remote access.");
        noc_log(broker->log, NOC_LOG_WARNING,
            "For more details see noctule.conf(5), or let 'noctule setup' make one.");
    }
}

int noc_broker_run(struct noc_broker *broker, const struct noc_command_line *line)
{
    int status;

    block_signals();
    broker->started_ms = noc_clock_ms();
    log_start(broker);
    noc_log(broker->log, NOC_LOG_DEBUG, "Up to %lu descriptors may be open.",
        (unsigned long)noc_raise_descriptor_limit());
    /* Before the files are read: what changes from now on is noticed. */
    broker->watched = noc_watched_new(broker->config);
    if (broker->watched == NULL) {
        noc_log(broker->log, NOC_LOG_ERROR, "Error: Out of memory.");
        return 1;
    }
    status = load_and_run(broker, line);
    noc_watched_free(broker->watched);
    return status;
}
