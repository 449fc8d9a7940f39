/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
/*
 * The control thread: one poll over signals, a clock and the control socket.
 * It never touches what belongs to a worker: it reads counters, and posts.
 *
 * The control socket speaks lines: "status", "clients" or "reload" in, one JSON
 * object out, then it is closed. Whom the rights of its file let in is served: the
 * broker's own user, its group, root.
 */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/broker.h"
#include "broker/client_list.h"
#include "broker/durable.h"
#include "broker/heap.h"
#include "broker/watch.h"
#include "net/clock.h"

enum {
    WATCH_INTERVAL_MS = 1000, /* two looks until a change counts */
    MEMORY_INTERVAL_MS = 20,
    REQUEST_MAX = 64,
    ANSWER_MAX = 4096,
    REQUEST_TIMEOUT_MS = 1000
};

struct noc_control {
    struct noc_broker *broker;
    struct noc_sys *sys;
    int signal_fd;
    struct noc_listen_sockets socket; /* count 0: none */
    struct noc_accept_reserve reserve;
    struct noc_client_list *list;    /* an answer that takes its time; NULL: none */
    uint64_t socket_paused_until_ms; /* no descriptor was left for a peer; 0: listening */
    char socket_path[256];
    uint64_t next_sys_ms, next_memory_ms, next_watch_ms;
};

/* ---- reload ---- */

bool noc_broker_reload(struct noc_broker *broker)
{
    const struct noc_admission_load load = {.is_reload = true,
        .tls_keylog = broker->tls_keylog,
        .log = broker->log,
        .version = &broker->access_version};
    struct noc_admission *access;
    bool is_file;

    noc_log(broker->log, NOC_LOG_INFORMATION, "Reloading config.");
    broker->reload_count++;
    noc_watched_mark(broker->watched);
    if (noc_admission_load(broker->config, &load, &access, &is_file) != NOC_OK) {
        broker->reload_failures++;
        noc_log(broker->log, NOC_LOG_ERROR,
            "Error: the reload failed; users, rights and certificates stay as they were.");
        return false;
    }
    noc_admission_unref(broker->access);
    broker->access = access;
    noc_auth_memory_clear_mt(broker->memory);
    for (unsigned i = 0; i < broker->worker_count; i++) {
        if (noc_worker_call_mt(&broker->workers[i], noc_admission_put_in_force,
                noc_admission_ref(access)) != NOC_OK) {
            noc_admission_unref(access);
            noc_log(
                broker->log, NOC_LOG_ERROR, "Error: Out of memory: worker %u did not reload.", i);
        }
    }
    noc_log(broker->log, NOC_LOG_INFORMATION, "Users, rights and certificates were read again.");
    return true;
}

/* ---- memory ---- */

/* Tell the workers when the process is over its limit; under it again below nine tenths. */
static void watch_memory(struct noc_control *control)
{
    struct noc_core *core = &control->broker->core;
    uint64_t limit = control->broker->config->memory_limit_bytes;
    bool was_short = atomic_load_explicit(&core->is_memory_short, memory_order_relaxed);
    uint64_t used = noc_heap_bytes_mt();
    bool is_short = used > (was_short ? limit - limit / 10 : limit);

    if (is_short != was_short) {
        atomic_store_explicit(&core->is_memory_short, is_short, memory_order_relaxed);
        noc_log(control->broker->log, NOC_LOG_WARNING,
            is_short ? "Warning: memory is short: %llu bytes in use, memory_limit is %llu. New "
                       "clients and messages are refused."
                     : "Memory is no longer short: %llu bytes in use, memory_limit is %llu.",
            (unsigned long long)used, (unsigned long long)limit);
    }
}

/* ---- the control socket ---- */

/* Members of the status that are counters of the core. */
static const struct {
    const char *name;
    enum noc_counter counter;
} status_counts[] = {
    {"clients_connected", NOC_COUNT_CONNECTED},
    {"sessions", NOC_COUNT_SESSIONS},
    {"publish_received", NOC_COUNT_PUBLISH_RECEIVED},
    {"publish_sent", NOC_COUNT_PUBLISH_SENT},
    {"publish_dropped", NOC_COUNT_PUBLISH_DROPPED},
    {"publish_expired", NOC_COUNT_PUBLISH_EXPIRED},
    {"publish_oversize", NOC_COUNT_PUBLISH_OVERSIZE},
    {"publish_denied", NOC_COUNT_PUBLISH_DENIED},
    {"publish_refused", NOC_COUNT_PUBLISH_REFUSED},
    {"filters_refused", NOC_COUNT_FILTERS_REFUSED},
    {"connections_refused", NOC_COUNT_LINKS_REFUSED},
    {"bytes_received", NOC_COUNT_BYTES_RECEIVED},
    {"bytes_sent", NOC_COUNT_BYTES_SENT},
    {"messages_queued", NOC_COUNT_MESSAGES_QUEUED},
    {"connections_paused", NOC_COUNT_PAUSED},
    {"sessions_taken_over", NOC_COUNT_TAKEN_OVER},
    {"sessions_expired", NOC_COUNT_SESSIONS_EXPIRED},
};

/* The bytes written; ANSWER_MAX is room enough. */
static int status_json(struct noc_broker *broker, char *text, size_t room)
{
    const struct noc_core *core = &broker->core;
    struct noc_auth_stats auth;
    struct noc_index_counts index;
    struct noc_retained_counts retained;
    size_t n;

    noc_auth_pool_stats_mt(broker->pool, &auth);
    noc_index_counts_mt(core->index, &index);
    noc_retained_counts_mt(core->retained, &retained);
    n = (size_t)snprintf(text, room,
        "{\"version\":\"%s\",\"pid\":%ld,\"uptime_s\":%llu,\"workers\":%u,"
        "\"subscriptions\":%llu,\"retained\":%llu",
        NOC_VERSION, (long)getpid(),
        (unsigned long long)((noc_clock_ms() - broker->started_ms) / 1000), broker->worker_count,
        (unsigned long long)index.subscriptions, (unsigned long long)retained.messages);
    for (size_t i = 0; i < NOC_COUNT(status_counts); i++) {
        n += (size_t)snprintf(text + n, room - n, ",\"%s\":%lld", status_counts[i].name,
            (long long)noc_core_count_mt(core, status_counts[i].counter));
    }
    n += (size_t)snprintf(text + n, room - n,
        ",\"heap_bytes\":%llu,\"memory_short\":%s,\"auth_checks\":%llu,"
        "\"auth_remembered\":%llu,\"auth_refused\":%llu,\"auth_waiting\":%llu,"
        "\"log_lines_dropped\":%llu,\"reloads\":%u,\"reloads_failed\":%u}\n",
        (unsigned long long)noc_heap_bytes_mt(),
        atomic_load_explicit(&core->is_memory_short, memory_order_relaxed) ? "true" : "false",
        (unsigned long long)auth.checks, (unsigned long long)auth.remembered,
        (unsigned long long)auth.refused, (unsigned long long)auth.depth,
        (unsigned long long)noc_log_dropped_mt(broker->log), broker->reload_count,
        broker->reload_failures);
    assert(n < room);
    return (int)n;
}

/* One line of request, within a second and unless a signal comes. False: none came. */
static bool read_request(const struct noc_control *control, int fd, char *request)
{
    uint64_t until_ms = noc_clock_ms() + REQUEST_TIMEOUT_MS;
    size_t n = 0;

    while (n < REQUEST_MAX - 1) {
        struct pollfd waits[2] = {
            {.fd = fd, .events = POLLIN}, {.fd = control->signal_fd, .events = POLLIN}};
        uint64_t now_ms = noc_clock_ms();
        ssize_t part;

        if (now_ms >= until_ms || poll(waits, 2, (int)(until_ms - now_ms)) <= 0 ||
            waits[0].revents == 0) {
            return false;
        }
        part = recv(fd, request + n, REQUEST_MAX - 1 - n, MSG_DONTWAIT);
        if (part <= 0) {
            return false;
        }
        n += (size_t)part;
        request[n] = '\0';
        if (strchr(request, '\n') != NULL) {
            *strchr(request, '\n') = '\0';
            return true;
        }
    }
    return false;
}

/* Answer at once, or have the list answered from now on. */
static void answer(struct noc_control *control, int take_fd)
{
    char request[REQUEST_MAX], text[ANSWER_MAX];
    int n;

    if (!read_request(control, take_fd, request)) {
        n = snprintf(text, sizeof text, "{\"error\":\"no request\"}\n");
    } else if (strcmp(request, "status") == 0) {
        n = status_json(control->broker, text, sizeof text);
    } else if (strcmp(request, "clients") == 0 && control->list != NULL) {
        n = snprintf(text, sizeof text, "{\"error\":\"another list is being sent\"}\n");
    } else if (strcmp(request, "clients") == 0) {
        control->list = noc_client_list_new(control->broker, take_fd);
        return;
    } else if (strcmp(request, "reload") == 0) {
        n = snprintf(text, sizeof text,
            noc_broker_reload(control->broker)
                ? "{\"reloaded\":true}\n"
                : "{\"error\":\"the reload failed: see the log; the old files stay in force\"}\n");
    } else {
        n = snprintf(text, sizeof text,
            "{\"error\":\"unknown command: known are status, clients and reload\"}\n");
    }
    if (n > 0 && (size_t)n < sizeof text) {
        (void)send(take_fd, text, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    (void)close(take_fd);
}

static void serve_socket(struct noc_control *control)
{
    struct noc_address address;
    int fd;
    int err = noc_accept(control->socket.at[0].fd, false, &control->reserve, &fd, &address);

    if (err == NOC_OK) {
        answer(control, fd);
    } else if (err != NOC_EAGAIN && err != NOC_ECLOSED) {
        control->socket_paused_until_ms = noc_clock_ms() + NOC_ACCEPT_PAUSE_MS;
    }
}

void noc_control_places(const struct noc_config *config, struct noc_control_places *ret_places)
{
    const char *store = config == NULL ? NULL : config->persistence_location;
    struct noc_control_places places = {0};

    if (config != NULL && config->control_socket != NULL) {
        (void)snprintf(places.at[0], sizeof places.at[0], "%s", config->control_socket);
        places.count = 1;
    } else if (config == NULL || !config->is_local_only) {
        (void)snprintf(places.at[0], sizeof places.at[0], "%s/control.sock", NOC_CONTROL_FOLDER);
        (void)snprintf(places.at[1], sizeof places.at[1], "%s/noctule.sock",
            store == NULL || store[0] == '\0' ? "." : store);
        places.count = 2;
    }
    *ret_places = places;
}

/* How loud is it that a place could not be taken? */
static enum noc_log_level level_of_failure(const struct noc_control_places *places, unsigned i)
{
    if (places->count == 1) {
        return NOC_LOG_WARNING;
    }
    return i + 1 < places->count ? NOC_LOG_DEBUG : NOC_LOG_NOTICE;
}

/* At the first place where it can be. The log says where, or why at none. */
static void open_socket(struct noc_control *control)
{
    struct noc_log *log = control->broker->log;
    struct noc_control_places places;
    char error[256];

    noc_control_places(control->broker->config, &places);
    if (places.count > 1) {
        (void)mkdir(NOC_CONTROL_FOLDER, 0750);
    }
    for (unsigned i = 0; i < places.count; i++) {
        const struct noc_listen_options options = {.unix_path = places.at[i], .unix_mode = 0660};

        if (noc_listen_open(&options, &control->socket, error, sizeof error) == NOC_OK) {
            (void)snprintf(control->socket_path, sizeof control->socket_path, "%s", places.at[i]);
            noc_log(log, NOC_LOG_NOTICE, "Control socket at %s.", places.at[i]);
            return;
        }
        control->socket.count = 0;
        noc_log(
            log, level_of_failure(&places, i), "No control socket at %s: %s.", places.at[i], error);
    }
}

/* ---- signals ---- */

/* False: the broker is to stop. */
static bool on_signal(struct noc_control *control)
{
    struct noc_broker *broker = control->broker;
    struct signalfd_siginfo info;

    if (read(control->signal_fd, &info, sizeof info) != (ssize_t)sizeof info) {
        return true;
    }
    if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT) {
        return false;
    }
    if (info.ssi_signo == SIGHUP) {
        noc_log_reopen_mt(broker->log);
        (void)noc_broker_reload(broker);
    } else if (info.ssi_signo == SIGUSR1) {
        noc_durable_commit(broker);
    } else if (info.ssi_signo == SIGUSR2) {
        noc_log(broker->log, NOC_LOG_NOTICE,
            "SIGUSR2: the tree is not printed; 'noctule ctl status' tells the counts.");
    } else if ((int)info.ssi_signo == SIGRTMIN) {
        noc_log_reopen_mt(broker->log);
    }
    return true;
}

void noc_control_signals(sigset_t *ret_signals)
{
    (void)sigemptyset(ret_signals);
    (void)sigaddset(ret_signals, SIGTERM);
    (void)sigaddset(ret_signals, SIGINT);
    (void)sigaddset(ret_signals, SIGHUP);
    (void)sigaddset(ret_signals, SIGUSR1);
    (void)sigaddset(ret_signals, SIGUSR2);
    (void)sigaddset(ret_signals, SIGRTMIN);
}

static int open_signals(void)
{
    sigset_t wanted;

    noc_control_signals(&wanted);
    return signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* ---- the loop ---- */

/* Do what is due; how long may be waited until the next. */
static int work(struct noc_control *control)
{
    const struct noc_config *config = control->broker->config;
    uint64_t now_ms = noc_clock_ms(), next_ms = now_ms + 60000;

    if (config->sys_interval_s > 0) {
        if (now_ms >= control->next_sys_ms) {
            noc_sys_publish(control->sys, now_ms);
            control->next_sys_ms = now_ms + (uint64_t)config->sys_interval_s * 1000;
        }
        next_ms = control->next_sys_ms < next_ms ? control->next_sys_ms : next_ms;
    }
    if (config->memory_limit_bytes > 0) {
        if (now_ms >= control->next_memory_ms) {
            watch_memory(control);
            control->next_memory_ms = now_ms + MEMORY_INTERVAL_MS;
        }
        next_ms = control->next_memory_ms < next_ms ? control->next_memory_ms : next_ms;
    }
    if (now_ms >= control->next_watch_ms) {
        if (noc_watched_look(control->broker->watched)) {
            noc_log(control->broker->log, NOC_LOG_INFORMATION,
                "A password, ACL or certificate file has changed.");
            (void)noc_broker_reload(control->broker);
        }
        control->next_watch_ms = now_ms + WATCH_INTERVAL_MS;
    }
    next_ms = control->next_watch_ms < next_ms ? control->next_watch_ms : next_ms;
    if (control->socket_paused_until_ms > now_ms && control->socket_paused_until_ms < next_ms) {
        next_ms = control->socket_paused_until_ms;
    }
    return (int)(next_ms - now_ms);
}

struct noc_control *noc_control_new(struct noc_broker *broker)
{
    struct noc_control *control = calloc(1, sizeof *control);

    if (control == NULL) {
        return NULL;
    }
    control->broker = broker;
    noc_accept_reserve_init(&control->reserve);
    control->signal_fd = open_signals();
    control->sys = noc_sys_new(broker);
    if (control->signal_fd < 0 || control->sys == NULL) {
        noc_control_free(control);
        return NULL;
    }
    open_socket(control);
    return control;
}

void noc_control_free(struct noc_control *control)
{
    if (control == NULL) {
        return;
    }
    if (control->socket.count > 0) {
        noc_listen_close(&control->socket);
        noc_listen_remove_path(control->socket_path);
    }
    if (control->signal_fd >= 0) {
        (void)close(control->signal_fd);
    }
    noc_client_list_free(control->list);
    noc_accept_reserve_done(&control->reserve);
    noc_sys_free(control->sys);
    free(control);
}

/* The control socket's descriptor; negative, which poll() passes over, while it is paused. */
static int socket_fd(struct noc_control *control)
{
    if (control->socket_paused_until_ms != 0 && noc_clock_ms() >= control->socket_paused_until_ms) {
        control->socket_paused_until_ms = 0;
    }
    return control->socket.count == 0 || control->socket_paused_until_ms != 0
               ? -1
               : control->socket.at[0].fd;
}

void noc_control_run(struct noc_control *control)
{
    struct pollfd polled[3] = {
        {.fd = control->signal_fd, .events = POLLIN}, {.fd = -1, .events = POLLIN}};

    for (;;) {
        polled[1].fd = socket_fd(control);
        polled[2].fd = -1;
        if (control->list != NULL) {
            noc_client_list_poll(control->list, &polled[2]);
        }
        if (poll(polled, 3, work(control)) < 0) {
            if (errno != EINTR) {
                return;
            }
            continue; /* revents are those of an earlier call */
        }
        if ((polled[0].revents & POLLIN) != 0 && !on_signal(control)) {
            return;
        }
        if ((polled[1].revents & POLLIN) != 0) {
            serve_socket(control);
        }
        if (control->list != NULL && !noc_client_list_step(control->list)) {
            noc_client_list_free(control->list);
            control->list = NULL;
        }
    }
}
