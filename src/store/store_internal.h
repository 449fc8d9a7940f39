/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_STORE_STORE_INTERNAL_H
#define NOC_STORE_STORE_INTERNAL_H
/* What the files of the store share. */

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>

#include "base/list.h"
#include "core/map64.h"
#include "core/page.h"
#include "store/store.h"
#include "store/store_schema.h"
#include "store/store_time.h"
#include "store/store_vfs.h"

/* A body up to this stands in its row; a larger one once for all sessions that get it. */
enum { NOC_STORE_INLINE_BYTES = 512 };

/* A ticket's operations, moved out of their batches. Its place is ticket->held. */
struct noc_store_held {
    struct noc_list link; /* among those that wait, or those that are ready */
    struct noc_ticket *ticket;
    struct noc_operations operations;
};

/* A retained message that went: what is older than that does not come back. */
struct noc_store_tombstone {
    struct noc_message *message; /* its topic; holds a reference */
    uint64_t version;
    uint64_t made_ms;
    uint64_t hash;
    struct noc_store_tombstone *next_same; /* with the same hash */
    struct noc_list by_age;
};

struct noc_store_tombstones {
    struct noc_map64 by_hash;
    struct noc_list by_age; /* the oldest first */
    size_t count;
};

/* The key of a row with a wrong checksum, which the sweep takes away. */
struct noc_store_damaged {
    const struct noc_store_table_row *table;
    sqlite3_value *keys[3];
    struct noc_store_damaged *next;
};

/* The group that is written. */
struct noc_store_group {
    struct noc_operations *first, *last; /* batches */
    struct noc_list ready;               /* tickets that are complete */
    uint64_t applied;                    /* operations, in the try under way */
};

struct noc_store {
    /* Constant after open. */
    struct noc_store_options options;
    char *folder, *path;
    int lock_fd;

    /* Whoever opened, until start; then the thread; after stop the former again. */
    struct noc_store_vfs vfs;
    struct noc_store_connection connection;
    struct noc_store_time time;
    uint64_t next_message;        /* id in the table messages */
    struct noc_map64 message_ids; /* of this group: message -> its id */
    struct noc_store_tombstones tombstones;
    struct noc_list held; /* tickets that wait for parts */
    struct noc_store_group group;
    uint64_t committed_ms, clock_written_ms, synced_ms;
    uint64_t log_bytes; /* in the WAL, not yet in the database */
    bool is_unsynced;   /* committed, but not synced; INTERVAL */
    bool is_failed;
    bool is_past_max;
    struct noc_store_loaded loaded;    /* what load left out is to go */
    uint64_t loaded_ms;                /* the time of load */
    struct noc_store_damaged *damaged; /* rows that load left out for their checksum */

    /* The thread, and what comes to it. */
    pthread_t thread;
    bool is_started;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct noc_operations *first, *last;     /* under lock: submitted */
    struct noc_page *first_page, *last_page; /* under lock: asked for */
    bool is_stopping, is_flushing;           /* under lock */

    /* Any thread. */
    atomic_bool is_waiting; /* no space: the group is tried again */
    atomic_bool is_full;
    atomic_uint_fast64_t operations, commits;
};

/* store.c */
void noc_store_log(struct noc_store *store, enum noc_log_level level, const char *format, ...)
    NOC_PRINTF(3, 4);
uint64_t noc_store_now_ms(const struct noc_store *store);

/* store_apply.c: SQLite's codes. One operation, within a transaction. */
NOC_MUST_CHECK int noc_store_apply(struct noc_store *store, const struct noc_operation *operation);
NOC_MUST_CHECK int noc_store_apply_clock(struct noc_store *store);

/* store_ticket.c */

/* Move what has a ticket out of the batch. NOC_ENOMEM: call again. */
NOC_MUST_CHECK int noc_store_tickets_gather(struct noc_store *store, struct noc_operations *batch);
void noc_store_tickets_forget_slot(struct noc_store *store, uint64_t slot);
void noc_store_held_done(struct noc_list *held); /* frees all */

/* store_tombstone.c */

void noc_store_tombstones_init(struct noc_store_tombstones *tombstones);

/* A retained message went. NOC_ENOMEM. */
NOC_MUST_CHECK int noc_store_tombstone_add(struct noc_store_tombstones *tombstones,
    struct noc_message *message, uint64_t version, uint64_t now_ms);
/* Is there a tombstone of the topic with a version above this one? */
bool noc_store_tombstone_covers(
    const struct noc_store_tombstones *tombstones, struct noc_slice topic, uint64_t version);
void noc_store_tombstones_age(struct noc_store_tombstones *tombstones, uint64_t now_ms);
void noc_store_tombstones_done(struct noc_store_tombstones *tombstones);

/* store_sweep.c: what load left out. */
NOC_MUST_CHECK int noc_store_damaged_add(
    struct noc_store *store, const struct noc_store_table_row *table, sqlite3_stmt *row);
void noc_store_damaged_done(struct noc_store *store);
NOC_MUST_CHECK int noc_store_sweep(struct noc_store *store); /* SQLite's code */

/* store_salvage.c: the rows of the file at store->path that are whole; the code is the new database's. */
NOC_MUST_CHECK int noc_store_salvage(struct noc_store *store, sqlite3 *to);

/* store_page.c: fill in what the page asks for. NOC_ENOMEM, NOC_EIO: nothing was. */
NOC_MUST_CHECK int noc_store_read_page(struct noc_store *store, struct noc_page *page);

/* store_thread.c */
void *noc_store_run(void *argument);            /* the store */
void noc_store_finish(struct noc_store *store); /* after the thread has ended */

/* store_file.c: NOC_OK, NOC_EMALFORMED, NOC_EIO. */
NOC_MUST_CHECK int noc_store_file_open(struct noc_store *store, char *error, size_t error_n);

#endif
