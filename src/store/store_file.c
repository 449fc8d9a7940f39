/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The database file: made, opened, checked.
 *
 * A new one is made beside its place, and gets its name when it is whole and synced:
 *
 *   noctule.db.new~  --written, synced, renamed-->  noctule.db.new  --renamed-->  noctule.db
 *
 * So noctule.db is never empty or half made, and one that is has been damaged. A bad one is set aside
 * between the two renames; whoever finds noctule.db.new alone goes on there.
 */
#define _GNU_SOURCE
#include "store/store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "store/store_row.h"

/* path with an ending. */
static void name(const struct noc_store *store, const char *ending, char *text)
{
    (void)snprintf(text, PATH_MAX, "%s%s", store->path, ending);
}

static bool is_there(const struct noc_store *store, const char *ending)
{
    char path[PATH_MAX];
    struct stat status;

    name(store, ending, path);
    return lstat(path, &status) == 0;
}

/* A log that holds something. Who only read the database leaves an empty one. */
static bool has_log(const struct noc_store *store)
{
    char path[PATH_MAX];
    struct stat status;

    name(store, "-wal", path);
    return lstat(path, &status) == 0 && status.st_size > 0;
}

static int sync_folder(const struct noc_store *store)
{
    int fd = open(store->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int err = fd < 0 || fsync(fd) != 0 ? NOC_EIO : NOC_OK;

    if (fd >= 0) {
        (void)close(fd);
    }
    return err;
}

static int synchronous(const struct noc_store *store)
{
    return store->options.sync == NOC_STORE_SYNC_ALWAYS     ? 2
           : store->options.sync == NOC_STORE_SYNC_INTERVAL ? 1
                                                            : 0;
}

static int cannot(
    const char *verb, const char *path, const char *reason, char *error, size_t error_n)
{
    (void)snprintf(error, error_n, "cannot %s '%s': %s", verb, path, reason);
    return NOC_EIO;
}

/* Make noctule.db.new~ with its tables, in `connection`. */
static int begin_new(
    struct noc_store *store, struct noc_store_connection *connection, char *error, size_t error_n)
{
    char path[PATH_MAX];
    int fd;

    name(store, ".new~-wal", path);
    (void)unlink(path);
    name(store, ".new~", path);
    (void)unlink(path);
    fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return cannot("make", path, strerror(errno), error, error_n);
    }
    (void)close(fd);
    if (noc_store_connect(connection, path, NULL, 2) != SQLITE_OK ||
        noc_store_create_tables(connection) != SQLITE_OK) {
        (void)cannot("write", path, sqlite3_errmsg(connection->db), error, error_n);
        noc_store_disconnect(connection);
        (void)unlink(path);
        return NOC_EIO;
    }
    return NOC_OK;
}

/* Write all of it into the file, and give it the name noctule.db.new. */
static int end_new(
    struct noc_store *store, struct noc_store_connection *connection, char *error, size_t error_n)
{
    char path[PATH_MAX];
    char whole[PATH_MAX];
    int rc;

    name(store, ".new~", path);
    name(store, ".new", whole);
    rc = sqlite3_wal_checkpoint_v2(connection->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    if (rc == SQLITE_OK) {
        /* Nothing is left in the log: closing takes it away. */
        (void)sqlite3_db_config(connection->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
    } else {
        (void)cannot("write", path, sqlite3_errmsg(connection->db), error, error_n);
    }
    noc_store_disconnect(connection);
    if (rc == SQLITE_OK && (rename(path, whole) != 0 || sync_folder(store) < 0)) {
        rc = SQLITE_IOERR;
        (void)cannot("rename", path, strerror(errno), error, error_n);
    }
    if (rc != SQLITE_OK) {
        (void)unlink(path);
        return NOC_EIO;
    }
    return NOC_OK;
}

/* noctule.db.new is whole: it takes the place. What was there has been set aside. */
static int take_place(struct noc_store *store, char *error, size_t error_n)
{
    char path[PATH_MAX];

    name(store, ".new", path);
    if (rename(path, store->path) != 0 || sync_folder(store) < 0) {
        return cannot("rename", path, strerror(errno), error, error_n);
    }
    return NOC_OK;
}

/* A name for the bad file that is free: noctule.db.YYYYMMDD-HHMMSS.bad */
static void name_aside(const struct noc_store *store, char *ending, size_t ending_n)
{
    time_t now = (time_t)(store->options.clock_wall_ms() / 1000);
    struct tm utc = {0};
    char stamp[32];

    (void)gmtime_r(&now, &utc);
    (void)strftime(stamp, sizeof(stamp), "%Y%m%d-%H%M%S", &utc);
    (void)snprintf(ending, ending_n, ".%s.bad", stamp);
    for (unsigned i = 2; is_there(store, ending) && i < 100; i++) {
        (void)snprintf(ending, ending_n, ".%s-%u.bad", stamp, i);
    }
}

/* The database first: a log without one is known for what it is. */
static int set_aside(struct noc_store *store, char *error, size_t error_n)
{
    char ending[64];
    char path[PATH_MAX];
    char log[PATH_MAX];

    name_aside(store, ending, sizeof(ending));
    name(store, ending, path);
    if (rename(store->path, path) != 0 && errno != ENOENT) {
        return cannot("rename", store->path, strerror(errno), error, error_n);
    }
    name(store, "-wal", log);
    (void)snprintf(path + strlen(path), sizeof(path) - strlen(path), "-wal");
    if (rename(log, path) != 0 && errno != ENOENT) {
        return cannot("rename", log, strerror(errno), error, error_n);
    }
    name(store, ending, path);
    noc_store_log(store, NOC_LOG_WARNING, "the old store is kept as '%s'", path);
    return NOC_OK;
}

/* A new store in the place of what was there, with what is whole of that when is_salvaging. */
static int make(struct noc_store *store, bool is_salvaging, char *error, size_t error_n)
{
    struct noc_store_connection connection = {.db = NULL};
    int err = begin_new(store, &connection, error, error_n);

    if (err == NOC_OK && is_salvaging) {
        int rc = noc_store_salvage(store, connection.db);

        if (rc != SQLITE_OK) {
            err = cannot("salvage", store->path, sqlite3_errmsg(connection.db), error, error_n);
            noc_store_disconnect(&connection);
        }
    }
    if (err == NOC_OK) {
        err = end_new(store, &connection, error, error_n);
    }
    if (err == NOC_OK && (is_there(store, "") || has_log(store))) {
        err = set_aside(store, error, error_n);
    }
    return err < 0 ? err : take_place(store, error, error_n);
}

static int log_grew(void *context, sqlite3 *db, const char *database, int pages)
{
    struct noc_store *store = context;

    (void)db;
    (void)database;
    store->log_bytes = (uint64_t)pages * (NOC_STORE_PAGE_BYTES + 24);
    return SQLITE_OK;
}

/*
 * Where the scale of a store stood whose clock was lost with damage: no earlier than the last time a client
 * went. So nothing expires too soon. 0: nothing tells.
 */
static int64_t guess_time(struct noc_store *store, int *ret_rc)
{
    return noc_store_query(store->connection.db,
        "SELECT max(expires - expiry_s * 1000) FROM sessions WHERE expires IS NOT NULL", 0, ret_rc);
}

/* Go on with the scale of time, or begin it. */
static int read_clock(struct noc_store *store)
{
    uint64_t clock_ms = noc_store_now_ms(store);
    int64_t wall_ms = store->options.clock_wall_ms();
    int64_t guessed;
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(
        store->connection.db, "SELECT * FROM clock WHERE id = 1", -1, &statement, NULL);

    if (rc == SQLITE_OK) {
        rc = sqlite3_step(statement);
    }
    if (rc == SQLITE_ROW && noc_store_row_is_whole(statement, NOC_STORE_CLOCK)) {
        store->time = noc_store_time_resume(sqlite3_column_int64(statement, 1),
            sqlite3_column_int64(statement, 2), clock_ms, wall_ms);
        rc = SQLITE_OK;
    } else if (rc == SQLITE_ROW) {
        rc = SQLITE_CORRUPT;
    } else if (rc == SQLITE_DONE) {
        guessed = guess_time(store, &rc);
        store->time = guessed > 0 ? noc_store_time_resume(guessed, wall_ms, clock_ms, wall_ms)
                                  : noc_store_time_new(clock_ms, wall_ms);
    }
    (void)sqlite3_finalize(statement);
    return rc;
}

/* For EMPTY: all rows, as load could not go back when it met a bad one. */
static int check_rows(sqlite3 *db, char *error, size_t error_n)
{
    int rc = SQLITE_OK;

    for (size_t i = 0; i < NOC_COUNT(noc_store_tables) && rc == SQLITE_OK; i++) {
        sqlite3_stmt *statement = NULL;
        char sql[64];

        (void)snprintf(sql, sizeof(sql), "SELECT * FROM %s", noc_store_tables[i].name);
        rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
        while (rc == SQLITE_OK && (rc = sqlite3_step(statement)) == SQLITE_ROW) {
            rc = noc_store_row_is_whole(statement, (char)noc_store_tables[i].table)
                     ? SQLITE_OK
                     : SQLITE_CORRUPT;
        }
        rc = rc == SQLITE_DONE ? SQLITE_OK : rc;
        (void)sqlite3_finalize(statement);
        if (rc != SQLITE_OK) {
            (void)snprintf(
                error, error_n, "a row of table %s is damaged", noc_store_tables[i].name);
        }
    }
    return rc;
}

/* Open what is there, and look whether it can be used; nothing of it is written. SQLite's code. */
static int open_checked(struct noc_store *store, char *error, size_t error_n)
{
    struct noc_store_connection *connection = &store->connection;
    int rc;

    store->vfs.is_read_only = true;
    rc = noc_store_connect(connection, store->path, store->vfs.name, synchronous(store));
    if (rc != SQLITE_OK) {
        (void)snprintf(error, error_n, "%s", sqlite3_errmsg(connection->db));
        return rc;
    }
    if (sqlite3_db_readonly(connection->db, "main") == 1) {
        (void)snprintf(error, error_n, "it cannot be written");
        return SQLITE_CANTOPEN;
    }
    rc = noc_store_check(connection, error, error_n);
    if (rc == SQLITE_OK && store->options.on_error == NOC_STORE_EMPTY) {
        rc = check_rows(connection->db, error, error_n);
    }
    if (rc != SQLITE_OK) {
        return rc;
    }
    rc = noc_store_prepare(connection);
    if (rc == SQLITE_OK) {
        store->next_message =
            (uint64_t)noc_store_query(connection->db, "SELECT max(id) FROM messages", 0, &rc) + 1;
    }
    if (rc == SQLITE_OK) {
        rc = read_clock(store);
    }
    if (rc != SQLITE_OK) {
        (void)snprintf(error, error_n, "%s", sqlite3_errstr(rc));
    }
    return rc;
}

/* Is it the file's fault, or has reading it failed for another reason? */
static bool is_bad(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_ERROR:
    case SQLITE_READONLY: /* what is whole needs no writing to be opened */
        return true;
    case SQLITE_IOERR:
        return rc != SQLITE_IOERR_NOMEM;
    default:
        return false;
    }
}

static int refuse(struct noc_store *store, int rc, const char *reason, char *error, size_t error_n)
{
    if (!is_bad(rc)) {
        return cannot("open", store->path, reason, error, error_n);
    }
    (void)snprintf(error, error_n,
        "cannot use '%s': %s; put a backup in its place, or set persistence_on_error recover (or "
        "empty)",
        store->path, reason);
    return NOC_EMALFORMED;
}

/* What an earlier start left half done, and a first store. *ret_rc: what is wrong with what is there. */
static int prepare_place(struct noc_store *store, int *ret_rc, char *error, size_t error_n)
{
    char path[PATH_MAX];

    *ret_rc = SQLITE_OK;
    if (is_there(store, "")) {
        name(store, ".new", path);
        (void)unlink(path);
        return NOC_OK;
    }
    if (is_there(store, ".new")) {
        int err = has_log(store) ? set_aside(store, error, error_n) : NOC_OK;

        return err < 0 ? err : take_place(store, error, error_n);
    }
    if (has_log(store)) {
        *ret_rc = SQLITE_CORRUPT;
        return NOC_OK;
    }
    return make(store, false, error, error_n);
}

/* With STOP the file stays as it is; otherwise a new one takes its place. */
static int mend(struct noc_store *store, int rc, const char *reason, char *error, size_t error_n)
{
    if (store->options.on_error == NOC_STORE_STOP || !is_bad(rc)) {
        return refuse(store, rc, reason, error, error_n);
    }
    noc_store_log(store, NOC_LOG_ERROR, "cannot use '%s': %s; a new store takes its place",
        store->path, reason);
    return make(store, store->options.on_error == NOC_STORE_RECOVER, error, error_n);
}

int noc_store_file_open(struct noc_store *store, char *error, size_t error_n)
{
    char reason[256] = "its log is there, but not the file itself";
    int rc;
    int err = prepare_place(store, &rc, error, error_n);

    if (err < 0) {
        return err;
    }
    if (rc == SQLITE_OK) {
        rc = open_checked(store, reason, sizeof(reason));
    }
    if (rc != SQLITE_OK) {
        noc_store_disconnect(&store->connection);
        err = mend(store, rc, reason, error, error_n);
        if (err < 0) {
            return err;
        }
        rc = open_checked(store, reason, sizeof(reason));
    }
    if (rc != SQLITE_OK) {
        noc_store_disconnect(&store->connection);
        return refuse(store, rc, reason, error, error_n);
    }
    store->log_bytes = 1; /* what a crash left */
    (void)sqlite3_wal_hook(store->connection.db, log_grew, store);
    return NOC_OK;
}
