/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CLI_BENCH_H
#define NOC_CLI_BENCH_H
/*
 * The load generator from the inside.
 *
 *   plan ──► run (main thread: phases, readings of the broker's CPU time)
 *             ├── worker 0: one epoll, its connections ── hooks ──► flow or idle
 *             └── worker 1 ...
 *
 * A worker owns its connections and everything hanging on them. The main
 * thread moves all workers through the phases and reads their counters, which
 * are atomic; nothing else is shared. A failure anywhere is written once into
 * the control block and ends all workers.
 */

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "base/macros.h"
#include "cli/bench_wire.h"

#define NOC_BENCH_SECOND_NS     UINT64_C(1000000000)
#define NOC_BENCH_SCRATCH_BYTES ((size_t)512 * 1024) /* one read */
#define NOC_BENCH_STAGE_BYTES   ((size_t)256 * 1024) /* one write, and a packet more */

/* ---- what is to be done ---- */

enum noc_bench_kind {
    NOC_BENCH_WINDOW, /* as fast as the window lets each publisher */
    NOC_BENCH_PACED,  /* at a fixed rate, whatever the broker does */
    NOC_BENCH_IDLE,   /* connections that say nothing */
};

struct noc_bench_plan {
    const char *scenario, *name; /* name: the label of the result */
    const char *host, *ws_path;
    const char *user, *password; /* NULL: none */
    enum noc_bench_kind kind;
    uint16_t port;
    unsigned version, qos;
    unsigned groups;      /* one publisher each */
    unsigned subscribers; /* of each group */
    unsigned window;      /* messages of a publisher under way at most */
    unsigned rate;        /* NOC_BENCH_PACED: messages a second in all */
    unsigned payload_bytes;
    unsigned connections; /* NOC_BENCH_IDLE */
    unsigned burst;       /* connections being opened at one time */
    unsigned threads;
    bool ws, json;
    bool keeps; /* subscribers' sessions outlive their connections */
    double seconds, warmup_seconds;
    pid_t pid; /* of the broker, 0: unknown */
    struct sockaddr_storage address;
    socklen_t address_n;
    char run_id[32]; /* keeps client ids and topics of runs apart */
};

/* Exit statuses. */
enum { BENCH_OK = 0, BENCH_USAGE = 1, BENCH_REFUSED = 2, BENCH_TIMEOUT = 3, BENCH_LOST = 4 };

/* ---- shared by all threads of a run ---- */

enum noc_bench_phase { PHASE_OPEN, PHASE_WARM_UP, PHASE_MEASURE, PHASE_DRAIN, PHASE_STOP };

struct noc_bench_control {
    _Atomic int phase;
    _Atomic int status; /* BENCH_OK, or the first failure's */
    char failure[200];  /* written once, by whoever changed status; read after joining */
};

/* Note the first failure and stop the run; later ones are dropped. Any thread. */
void noc_bench_fail_mt(struct noc_bench_control *control, int status, const char *format, ...)
    NOC_PRINTF(3, 4);

/* ---- connections ---- */

enum noc_bench_state {
    BENCH_CLOSED,
    BENCH_TCP,     /* connect() is under way */
    BENCH_UPGRADE, /* the WebSocket handshake is */
    BENCH_CONNACK,
    BENCH_SUBACK,
    BENCH_READY,
};

struct noc_bench_group;

struct noc_bench_conn {
    int fd;
    enum noc_bench_state state;
    bool wants_out;                /* EPOLLOUT is armed */
    unsigned index;                /* in the worker */
    struct noc_bench_group *group; /* NULL: idle connection */
    bool is_publisher;
    struct noc_bench_book book; /* a subscriber's */

    uint8_t *held; /* start of a packet whose end has not come, or NULL */
    size_t held_n, held_room;
    uint8_t *out; /* what the socket would not take, or NULL */
    size_t out_at, out_n, out_room;
    struct noc_bench_frames *frames; /* on WebSocket, once upgraded */
};

/* ---- workers ---- */

struct noc_bench_worker;

/* What a scenario does with what the loop finds. Every pointer is set. */
struct noc_bench_hooks {
    /* A payload of at least NOC_BENCH_STAMP_BYTES came for a subscriber. */
    void (*message)(
        struct noc_bench_worker *worker, struct noc_bench_conn *conn, const uint8_t *payload);
    /* The broker has done with one QoS 1 or 2 message of this publisher. */
    void (*acknowledged)(struct noc_bench_worker *worker, struct noc_bench_conn *conn);
    /* A socket that was full takes bytes again. */
    void (*writable)(struct noc_bench_worker *worker, struct noc_bench_conn *conn);
    /* After each wake-up in a phase past PHASE_OPEN; returns how long to sleep at most. */
    uint64_t (*turn)(struct noc_bench_worker *worker, enum noc_bench_phase phase);
};

struct noc_bench_worker {
    /* Constant once the thread runs. */
    const struct noc_bench_plan *plan;
    struct noc_bench_control *control;
    const struct noc_bench_hooks *hooks;
    unsigned index;
    pthread_t thread;

    /* Owner only. */
    int epoll;
    struct noc_bench_conn *conns;
    unsigned conn_count, opened, opening;
    struct noc_bench_group *groups;
    unsigned group_count;
    struct noc_bench_group **dirty; /* groups whose publisher may send again */
    unsigned dirty_count;
    unsigned turn_of;             /* paced: the next group to send */
    uint64_t due_ns, due_step_ns; /* paced: the next message, and from one to the next */
    uint64_t from_ns, until_ns;   /* the measured time, as this worker saw it */
    uint64_t now_ns;              /* after the last read */
    uint64_t progress_ns;         /* when something last arrived */
    enum noc_bench_phase phase;   /* as seen at the last wake-up */
    bool has_begun, is_running;   /* the scenario; the thread, for the main thread */
    uint8_t *scratch;             /* for reading */
    uint8_t *stage;               /* what the connection at hand is about to send */
    size_t stage_n;
    struct noc_bench_histogram *latency_ns;

    /* Written by the owner, read by the main thread. */
    _Atomic unsigned ready;
    _Atomic bool is_drained;
    _Atomic uint64_t sent, received, duplicated, out_of_order, foreign, reads;
    _Atomic uint64_t opened_ns; /* when the last connection became ready */
};

/* Only the owner adds, so no read-modify-write is needed. */
static inline void noc_bench_count(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_store_explicit(
        counter, atomic_load_explicit(counter, memory_order_relaxed) + n, memory_order_relaxed);
}

uint64_t noc_bench_now_ns(void);

/* conn_count connections, zeroed and numbered. Returns 0 or NOC_ENOMEM or NOC_EIO. */
NOC_MUST_CHECK int noc_bench_worker_init(struct noc_bench_worker *worker,
    const struct noc_bench_plan *plan, struct noc_bench_control *control, unsigned conn_count);
void noc_bench_worker_done(struct noc_bench_worker *worker);

/* The thread's function; arg is the worker. */
void *noc_bench_worker_run(void *arg);

/* Room for n more staged bytes: what is staged is sent to conn first when it must be. */
uint8_t *noc_bench_stage(struct noc_bench_worker *worker, struct noc_bench_conn *conn, size_t n);
/* Send what is staged to conn; what its socket does not take is kept. */
void noc_bench_flush(struct noc_bench_worker *worker, struct noc_bench_conn *conn);

/* True while earlier bytes wait for the socket. */
static inline bool noc_bench_is_blocked(const struct noc_bench_conn *conn)
{
    return conn->out_n > conn->out_at;
}

/* bench_conn.c: start, advance and end one connection. Failures go to the control block. */
void noc_bench_conn_open(struct noc_bench_worker *worker, struct noc_bench_conn *conn);
void noc_bench_conn_event(
    struct noc_bench_worker *worker, struct noc_bench_conn *conn, uint32_t events);
void noc_bench_conn_done(struct noc_bench_conn *conn);

/* ---- scenarios ---- */

/* Each runs the plan, prints its result on standard output and returns an exit status. */
int noc_bench_flow_run(const struct noc_bench_plan *plan);
int noc_bench_idle_run(const struct noc_bench_plan *plan);

/*
 * Stand in for a broker on 127.0.0.1, moving bytes and no more, until a signal ends the
 * process. Returns an exit status when that cannot be (go on).
 */
int noc_bench_floor_run(uint16_t port);

/* One figure of a result. */
struct noc_bench_figure {
    const char *key, *label; /* for the machine, for people */
    double value;
    int decimals;
    bool is_absent; /* left out: what it needs is not known */
};

/* Print them on standard output: one line, as JSON when the plan says so. */
void noc_bench_report(
    const struct noc_bench_plan *plan, const struct noc_bench_figure *figures, size_t count);

/* Move on; a run that has failed stays at its end. */
void noc_bench_phase_set(struct noc_bench_control *control, enum noc_bench_phase phase);

/* Sleep; false as soon as the run has failed. */
bool noc_bench_sleep(struct noc_bench_control *control, double seconds);

/* Wait until each worker's connections are ready; false when the run has failed. */
bool noc_bench_wait_ready(
    struct noc_bench_control *control, struct noc_bench_worker *workers, unsigned count);

/* Start the threads of a run, and end those that run; the latter may be called twice. */
void noc_bench_start(struct noc_bench_worker *workers, unsigned count);
void noc_bench_stop(struct noc_bench_worker *workers, unsigned count);

/* ---- the broker's process ---- */

struct noc_bench_usage {
    double cpu_seconds; /* user and system, all threads */
    uint64_t rss_bytes;
    uint64_t disk_bytes; /* written, or about to be */
};

/* All zero when pid is 0 or cannot be read. */
struct noc_bench_usage noc_bench_usage_read(pid_t pid);

/*
 * Parse the text of /proc/PID/stat: the ticks of fields 14 and 15, behind the
 * command's name in brackets, which may hold anything. False when it does not fit.
 */
bool noc_bench_usage_parse(const char *stat, uint64_t *ret_ticks);

#endif
