/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_STORE_STORE_VFS_H
#define NOC_STORE_STORE_VFS_H
/*
 * The files of a store as SQLite sees them: those of the system, with writes and syncs counted,
 * writes refused while they may not be, and faults where tests want them.
 * Counters: any thread. The rest: whoever has the database.
 */

#include <sqlite3.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/macros.h"

enum noc_store_call {
    NOC_STORE_CALL_READ,
    NOC_STORE_CALL_WRITE,
    NOC_STORE_CALL_SYNC,
    NOC_STORE_CALL_TRUNCATE,
};

/*
 * Tests: asked before each call. SQLITE_OK: go on; else what SQLite is told instead
 * (SQLITE_IOERR_SHORT_READ of a read: zeros). bytes: what is to be written, or NULL.
 */
struct noc_store_fault {
    int (*ask)(void *context, enum noc_store_call call, const char *path, const void *bytes,
        int64_t n, int64_t offset);
    void *context;
};

enum { NOC_STORE_PAGE_BYTES = 4096 };

struct noc_store_vfs {
    sqlite3_vfs vfs;
    sqlite3_vfs *system;
    char name[40];
    bool is_read_only;         /* no file is written, cut or deleted */
    const uint8_t *first_page; /* read in place of the database's own; NULL: that */
    struct noc_store_fault fault;
    atomic_uint_fast64_t syncs, bytes_written;
};

/* Returns NOC_OK or NOC_ENOMEM. The struct stays where it is until done. */
NOC_MUST_CHECK int noc_store_vfs_init(struct noc_store_vfs *vfs);
void noc_store_vfs_done(struct noc_store_vfs *vfs);

#endif
