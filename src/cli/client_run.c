/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "cli/client_run.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <noctule/error.h>

enum {
    OPEN_MS = 30000,     /* for lookup, TCP and TLS together */
    GOODBYE_MS = 5000,   /* for what is under way at the end */
    OUTPUT_FULL = 65536, /* more is not taken on before some of it is written */
    BEHIND_MS = 1000,    /* so long behind, it asks the broker anew before it judges the silence */
    STUCK_MS = 1000,     /* after a signal: for whoever reads the output */
    RETRY_MS = 1000,     /* as Mosquitto's tools do, under their names */
};

/* ---- signals ---- */

/* The one thing in this program that a signal handler can reach. */
static volatile sig_atomic_t has_signal;

static void on_signal(int number)
{
    has_signal = 1;
}

/*
 * sub ends in good order on a signal, the others just end. Signals are let in only while
 * it waits; run->mask is the mask for then.
 */
static void catch_signals(struct noc_client_run *run)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigset_t block;

    (void)signal(SIGPIPE, SIG_IGN);
    if (run->settings->tool != NOC_TOOL_SUB) {
        (void)sigprocmask(SIG_SETMASK, NULL, &run->mask);
        return;
    }
    has_signal = 0;
    (void)sigemptyset(&action.sa_mask);
    (void)sigemptyset(&block);
    (void)sigaddset(&block, SIGINT);
    (void)sigaddset(&block, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &block, &run->mask);
    (void)sigdelset(&run->mask, SIGINT);
    (void)sigdelset(&run->mask, SIGTERM);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
}

/* ---- output ---- */

void noc_client_run_warn(const struct noc_client_run *run, const char *format, ...)
{
    va_list args;

    if (run->settings->is_quiet) {
        return;
    }
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fputc('\n', stderr);
}

/* Milliseconds left of -W. */
static uint32_t timeout_left(const struct noc_client_run *run)
{
    uint64_t all_ms = (uint64_t)run->settings->timeout_s * 1000;
    uint32_t passed_ms = noc_posix_now_ms() - run->start_ms;

    if (all_ms == 0) {
        return UINT32_MAX;
    }
    return passed_ms >= all_ms                ? 0
           : all_ms - passed_ms >= UINT32_MAX ? UINT32_MAX - 1
                                              : (uint32_t)(all_ms - passed_ms);
}

static size_t unwritten(const struct noc_client_run *run)
{
    return run->output.n - run->written;
}

static void init_output(struct noc_client_run *run)
{
    struct stat stat;

    /* A pipe that is writable takes that much without waiting, a file takes all there is. */
    run->chunk = fstat(STDOUT_FILENO, &stat) == 0 && S_ISREG(stat.st_mode) ? SSIZE_MAX : PIPE_BUF;
}

/* The output has no future. */
static void drop_output(struct noc_client_run *run, int status)
{
    run->output.n = run->written = 0;
    noc_client_run_end(run, status);
    run->status = run->status == 0 ? status : run->status; /* if it was ending already */
}

/* Write some. A terminal may have us wait even so, and a signal must get through then. */
static void write_some(struct noc_client_run *run)
{
    size_t n = unwritten(run);
    sigset_t before;
    ssize_t written;
    int error;

    (void)sigprocmask(SIG_SETMASK, &run->mask, &before);
    written = write(STDOUT_FILENO, run->output.at + run->written, n < run->chunk ? n : run->chunk);
    error = errno;
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    if (written >= 0) {
        run->written += (size_t)written;
    } else if (error != EINTR && error != EAGAIN) {
        if (error != EPIPE) {
            noc_client_run_warn(run, "Error: cannot write the output: %s", strerror(error));
        }
        drop_output(run, NOC_EXIT_ERROR);
    }
}

/* Write what is taken at once. */
static void drain(struct noc_client_run *run)
{
    struct pollfd one = {.fd = STDOUT_FILENO, .events = POLLOUT};

    while (unwritten(run) > 0 && poll(&one, 1, 0) > 0) {
        write_some(run);
    }
    if (unwritten(run) == 0) {
        run->output.n = run->written = 0;
    } else if (run->written >= OUTPUT_FULL && run->written >= unwritten(run)) {
        memmove(run->output.at, run->output.at + run->written, unwritten(run));
        run->output.n -= run->written;
        run->written = 0;
    }
}

void noc_client_run_write_out(struct noc_client_run *run)
{
    for (drain(run); run->output.n > 0; drain(run)) {
        struct pollfd one = {.fd = STDOUT_FILENO, .events = POLLOUT};
        uint32_t ms = timeout_left(run);
        bool is_late = has_signal != 0 || ms == 0;
        struct timespec timeout = {0};

        ms = is_late ? STUCK_MS : ms;
        timeout.tv_sec = ms / 1000;
        timeout.tv_nsec = (long)(ms % 1000) * 1000000;
        if (ppoll(&one, 1, ms == UINT32_MAX ? NULL : &timeout, &run->mask) == 0 && is_late) {
            run->goodbye_reason = NOC_RC_DISCONNECT_WITH_WILL;
            drop_output(run, has_signal != 0 ? 0 : NOC_EXIT_TIMEOUT);
        }
    }
}

/* The topic may be anything: it goes the way on which nothing gets through to a terminal. */
static void warn_of_topic(
    const struct noc_client_run *run, const char *fault, struct noc_slice topic)
{
    struct noc_output_buffer line = {0};

    noc_client_trace_print(
        &line, "Error: Message payload %s on topic %.*s.", fault, NOC_SLICE_ARG(topic));
    if (!run->settings->is_quiet && line.n > 0) {
        (void)fwrite(line.at, 1, line.n, stderr);
    }
    noc_output_buffer_done(&line);
}

bool noc_client_run_show(struct noc_client_run *run, struct noc_output_format *format,
    struct noc_output_message *message)
{
    static const char *const texts[] = {
        [NOC_OUTPUT_NO_JSON] = "is not valid JSON",
        [NOC_OUTPUT_NO_FLOAT] = "has not the four bytes of a float",
        [NOC_OUTPUT_NO_DOUBLE] = "has not the eight bytes of a double",
    };
    enum noc_output_fault fault;
    int err;

    (void)clock_gettime(CLOCK_REALTIME, &message->time);
    err = noc_output_format_append(format, message, &run->output, &fault);
    if (err == NOC_EMALFORMED) {
        warn_of_topic(run, texts[fault], message->topic);
    } else if (err != NOC_OK) {
        noc_client_run_warn(run, "Error: Out of memory.");
        noc_client_run_end(run, NOC_EXIT_ERROR);
        return false;
    }
    return true;
}

static void say_failure(const struct noc_client_run *run)
{
    if (!run->settings->is_quiet) {
        (void)fputs(run->failure.text, stderr);
    }
}

/* ---- ends ---- */

void noc_client_run_end(struct noc_client_run *run, int status)
{
    if (!run->is_ending) {
        run->is_ending = true;
        run->status = status;
        run->ending_ms = noc_posix_now_ms();
    }
}

/* Errors of libmosquitto, as its tools end with them. */
enum { MOSQUITTO_QOS_NOT_SUPPORTED = 24, MOSQUITTO_OVERSIZE_PACKET = 25 };

void noc_client_run_end_unpublished(struct noc_client_run *run, int err)
{
    bool is_mosquitto = run->settings->is_mosquitto;
    int status = NOC_EXIT_ERROR;

    noc_client_run_write_out(run);
    if (err == NOC_ENOTSUP && is_mosquitto) {
        noc_client_run_warn(run, "Error: Requested QoS not supported on server.");
        status = MOSQUITTO_QOS_NOT_SUPPORTED;
    } else if (err == NOC_ENOTSUP) {
        noc_client_run_warn(run, "Error: The broker does not take this QoS, try a lower one (-q).");
    } else if (err == NOC_ETOOLARGE && is_mosquitto) {
        noc_client_run_warn(run, "Error: Packet larger than supported by the server.");
        status = MOSQUITTO_OVERSIZE_PACKET;
    } else if (err == NOC_ETOOLARGE) {
        noc_client_run_warn(run, "Error: Message too large for the broker.");
    } else {
        noc_client_run_warn(run, "Error: cannot publish: %s", noc_error_text(err));
    }
    noc_client_run_end(run, status);
}

/* Say goodbye as soon as the client takes it. */
static void go_on_ending(struct noc_client_run *run)
{
    int32_t passed_ms = (int32_t)(run->now_ms - run->ending_ms); /* it may have begun after now */
    int err;

    if (!run->is_open || passed_ms > GOODBYE_MS) {
        run->is_over = true;
        return;
    }
    if (run->says_goodbye) {
        return;
    }
    err = noc_client_disconnect(&run->link.client, run->goodbye_reason,
        run->settings->props[NOC_CLIENT_PROPS_DISCONNECT], run->now_ms);
    if (err == NOC_ETOOLARGE) {
        err = noc_client_disconnect(
            &run->link.client, run->goodbye_reason, noc_slice(NULL, 0), run->now_ms);
    }
    if (err == NOC_OK) {
        run->says_goodbye = true;
    } else if (err != NOC_EAGAIN) {
        run->is_over = true;
    }
}

/* -W, and signals. */
static void check_time(struct noc_client_run *run)
{
    unsigned timeout_s = run->settings->timeout_s;

    if (run->is_ending) {
        return;
    }
    if (has_signal != 0) {
        run->goodbye_reason = NOC_RC_DISCONNECT_WITH_WILL;
        noc_client_run_end(run, 0);
    } else if (timeout_s > 0 && run->now_ms - run->start_ms >= (uint64_t)timeout_s * 1000) {
        run->goodbye_reason = NOC_RC_DISCONNECT_WITH_WILL;
        noc_client_run_end(run, NOC_EXIT_TIMEOUT);
        noc_client_run_write_out(run);
        noc_client_run_warn(run, "Timed out");
    }
}

/* Milliseconds left of -W while it counts, but at most that many. */
static uint32_t time_left(const struct noc_client_run *run, uint32_t most_ms)
{
    uint32_t left_ms = run->is_ending ? most_ms : timeout_left(run);

    return left_ms < most_ms ? left_ms : most_ms;
}

/* ---- waiting ---- */

static void wait_for(struct noc_client_run *run, struct pollfd *fds, nfds_t n, uint32_t ms)
{
    struct timespec timeout = {0};

    drain(run);
    if (has_signal != 0 && !run->is_ending) {
        ms = 0; /* it came while that was written */
    }
    timeout.tv_sec = ms / 1000;
    timeout.tv_nsec = (long)(ms % 1000) * 1000000;
    (void)ppoll(fds, n, ms == UINT32_MAX ? NULL : &timeout, &run->mask);
    run->now_ms = noc_posix_now_ms();
}

static uint32_t ms_until(const struct noc_client_run *run, uint32_t then_ms)
{
    int32_t left_ms = (int32_t)(then_ms - run->now_ms);

    return left_ms <= 0 ? 0 : (uint32_t)left_ms;
}

/* Wait until there is something to do. */
static void wait_round(struct noc_client_run *run, bool is_flushed)
{
    struct pollfd fds[3] = {
        {.fd = run->link.posix.fd,
            .events = (short)((run->is_behind ? 0 : POLLIN) | (is_flushed ? 0 : POLLOUT))},
        {.fd = -1, .events = POLLOUT},
        {.fd = STDIN_FILENO, .events = POLLIN},
    };
    uint32_t ms = noc_client_wait_ms(&run->link.client, run->now_ms);

    drain(run);
    if (run->output.n > 0) {
        fds[1].fd = STDOUT_FILENO;
    }
    if (run->is_behind) {
        ms = ms_until(run, run->ping_ms);
        fds[0].fd = is_flushed ? -1 : fds[0].fd; /* that it is closed would be told even so */
    }
    if (run->has_wake) {
        uint32_t left_ms = ms_until(run, run->wake_ms);

        ms = left_ms < ms ? left_ms : ms;
    }
    if (run->is_ending && ms > 100) {
        ms = 100;
    }
    wait_for(run, fds, run->wants_input && is_flushed ? 3 : 2, time_left(run, ms));
}

/* ---- connections ---- */

static void lose(struct noc_client_run *run, const struct noc_event *event)
{
    const struct noc_client_settings *settings = run->settings;
    bool is_clean_end =
        event->cause.kind == NOC_CAUSE_DISCONNECTED && settings->tool != NOC_TOOL_PUB;

    noc_client_link_closed(&run->link, event, run->is_open, &run->failure);
    run->cause = event->cause;
    run->is_open = false;
    if (run->is_ending) {
        run->is_over = true;
    } else if (settings->is_mosquitto && is_clean_end) {
        /* A DISCONNECT from the broker is an end like any other, for sub and rr. */
        run->is_over = true;
    } else if (!run->tool->reconnects || !run->has_been_open ||
               (settings->is_mosquitto && event->cause.kind == NOC_CAUSE_REFUSED)) {
        noc_client_run_write_out(run);
        say_failure(run);
        run->status = run->failure.status;
        run->is_over = true;
    }
}

static void take_event(struct noc_client_run *run, const struct noc_event *event)
{
    if (event->kind == NOC_EVENT_CONNECTED) {
        run->is_open = true;
        run->has_been_open = true;
        run->keep_alive_s = noc_props_has(&event->props, NOC_PROP_SERVER_KEEP_ALIVE)
                                ? event->props.server_keep_alive_s
                                : (uint16_t)run->settings->keep_alive_s;
        run->link.http_failure.status = 0;
        noc_backoff_connected(&run->backoff, run->now_ms);
    }
    if (event->kind == NOC_EVENT_PUBLISHED) {
        /* A line that is cut again and again, but gets something across, is soon tried again. */
        run->backoff.failures = 0;
    }
    run->tool->on_event(run, event);
    if (event->kind == NOC_EVENT_CLOSED) {
        lose(run, event);
    }
}

/* Is so much of the output left that nothing more may come? */
static bool is_full(struct noc_client_run *run)
{
    if (unwritten(run) >= OUTPUT_FULL) {
        drain(run);
    }
    return unwritten(run) >= OUTPUT_FULL && !run->is_ending;
}

static void ping(struct noc_client_run *run)
{
    if (noc_client_ping(&run->link.client, run->now_ms) != NOC_OK) {
        /* It is not open, or something is on its way already, as good as this. */
    }
}

/* Is it behind? The client is not asked for events then, so its keep-alive is ours to see to. */
static void look_behind(struct noc_client_run *run)
{
    uint32_t every_ms = run->keep_alive_s == 0 ? INT32_MAX : run->keep_alive_s * UINT32_C(1000);
    uint32_t left_ms = noc_client_wait_ms(&run->link.client, run->now_ms);
    bool was_behind = run->is_behind;

    run->is_behind = is_full(run);
    if (run->is_behind && !was_behind) {
        run->behind_ms = run->now_ms;
        run->ping_ms = run->now_ms + (left_ms < every_ms ? left_ms : every_ms);
    }
    if (run->is_behind && run->is_open && ms_until(run, run->ping_ms) == 0) {
        ping(run);
        run->ping_ms = run->now_ms + every_ms;
    }
    if (!run->is_behind && was_behind && run->now_ms - run->behind_ms >= BEHIND_MS) {
        /* An answer to the last one may be there, unread, for longer than the client waits. */
        ping(run);
    }
}

/*
 * Take all events that are there. The one with which a tool ends is acknowledged by asking
 * for the next; that one is left alone, so that the broker will send it again to
 * whoever comes back to the session.
 */
static void take_events(struct noc_client_run *run)
{
    struct noc_event event;

    if (run->is_ending && !run->says_goodbye) {
        return;
    }
    while (
        !run->is_over && !is_full(run) && noc_client_next(&run->link.client, run->now_ms, &event)) {
        bool was_ending = run->is_ending;

        if (!was_ending || event.kind == NOC_EVENT_CLOSED) {
            take_event(run, &event);
        }
        if (run->is_ending && !run->says_goodbye && !run->is_over) {
            if (!was_ending && noc_client_next(&run->link.client, run->now_ms, &event) &&
                event.kind == NOC_EVENT_CLOSED) {
                take_event(run, &event);
            }
            return;
        }
    }
}

/* From an open transport to the end of the connection. */
static void stay_connected(struct noc_client_run *run)
{
    while (!run->is_over && noc_client_state(&run->link.client) != NOC_CLIENT_IDLE) {
        bool has_more = false, is_flushed;

        run->now_ms = noc_posix_now_ms();
        run->has_wake = run->wants_input = false;
        look_behind(run);
        take_events(run);
        check_time(run);
        if (run->is_over) {
            return;
        }
        if (run->is_ending) {
            go_on_ending(run);
            has_more = true;
        } else if (run->is_open && !run->is_behind) {
            has_more = run->tool->pump(run) || run->is_ending;
        }
        is_flushed = noc_client_link_flush(&run->link);
        if ((run->is_behind || !noc_client_link_read(&run->link)) && !(has_more && is_flushed) &&
            !run->is_over && (run->is_behind || run->link.is_open)) {
            wait_round(run, is_flushed);
        }
    }
    take_events(run);
}

/* Wait before the next attempt. */
static void back_off(struct noc_client_run *run)
{
    uint32_t start_ms = noc_posix_now_ms();
    uint32_t wait_ms = noc_backoff_ms(&run->backoff, &run->cause, start_ms, noc_posix_random(NULL));

    if (wait_ms == NOC_NEVER) {
        if (run->settings->is_mosquitto) { /* otherwise it is said already */
            say_failure(run);
        }
        run->status = run->failure.status;
        run->is_over = true;
        return;
    }
    if (run->settings->is_mosquitto) {
        wait_ms = RETRY_MS;
    }
    do {
        uint32_t passed = noc_posix_now_ms() - start_ms;

        if (passed >= wait_ms) {
            return;
        }
        wait_for(run, NULL, 0, time_left(run, wait_ms - passed));
        check_time(run);
    } while (!run->is_ending);
    run->is_over = true;
}

/* One attempt. Returns whether it came to a connection. */
static bool attempt(struct noc_client_run *run)
{
    sigset_t before;
    int err;

    if (run->settings->tool == NOC_TOOL_SUB) {
        /* While it opens, a signal ends the program as usual. */
        (void)signal(SIGINT, SIG_DFL);
        (void)signal(SIGTERM, SIG_DFL);
    }
    (void)sigprocmask(SIG_SETMASK, &run->mask, &before);
    run->cause = (struct noc_cause){.kind = NOC_CAUSE_LOST};
    err = noc_client_link_open(&run->link, time_left(run, OPEN_MS), &run->failure);
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    catch_signals(run);
    run->now_ms = noc_posix_now_ms();
    check_time(run);
    if (err == NOC_OK || run->is_ending) {
        run->is_over = err != NOC_OK;
        return err == NOC_OK;
    }
    if (!run->has_been_open) {
        noc_client_run_write_out(run);
        say_failure(run);
        run->status = run->failure.status;
        run->is_over = true;
    }
    return false;
}

static void run_to_the_end(struct noc_client_run *run)
{
    catch_signals(run);
    while (!run->is_over) {
        if (attempt(run)) {
            stay_connected(run);
        }
        if (run->is_over) {
            break;
        }
        if (!run->settings->is_mosquitto) {
            noc_client_run_write_out(run);
            say_failure(run);
        }
        back_off(run);
    }
    if (run->tool->on_end != NULL && run->has_been_open) {
        run->tool->on_end(run);
    }
    noc_client_run_write_out(run);
}

int noc_client_run(
    const struct noc_client_settings *settings, const struct noc_tool *tool, void *state)
{
    struct noc_client_run run = {.settings = settings, .tool = tool, .state = state};

    run.link.on_packet = tool->on_packet;
    run.link.on_packet_context = &run;
    run.start_ms = run.now_ms = noc_posix_now_ms();
    init_output(&run);
    if (noc_client_link_init(&run.link, settings, &tool->sizes, &run.output, &run.failure) ==
        NOC_OK) {
        run_to_the_end(&run);
    } else {
        run.status = run.failure.status;
        say_failure(&run);
    }
    noc_client_link_done(&run.link);
    noc_output_buffer_done(&run.output);
    return run.status;
}

int noc_client_tool_run(struct noc_client_settings *settings)
{
    switch (settings->tool) {
    case NOC_TOOL_PUB:
        return noc_client_pub(settings);
    case NOC_TOOL_SUB:
        return noc_client_sub(settings);
    case NOC_TOOL_RR:
        return noc_client_rr(settings);
    }
    return NOC_EXIT_ERROR;
}
