/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file of ours holds the system's behind itself, in the memory that SQLite gives. Version 1 of
 * the methods: no shared memory, for the database is locked for one connection, and no mapping.
 */
#include "store/store_vfs.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <noctule/error.h>

enum { LEAST_PAGES = 16 };

struct file {
    sqlite3_file base;
    struct noc_store_vfs *vfs;
    const char *path;
    bool is_database; /* not its log */
    union {
        sqlite3_file file;
        uint64_t align; /* SQLite aligns to eight bytes */
    } system;           /* and what follows */
};

static struct file *file_of(sqlite3_file *file)
{
    return (struct file *)(void *)file;
}

static sqlite3_file *system_of(sqlite3_file *file)
{
    return &file_of(file)->system.file;
}

static int ask(
    sqlite3_file *file, enum noc_store_call call, const void *bytes, int64_t n, int64_t offset)
{
    struct noc_store_vfs *vfs = file_of(file)->vfs;

    if (vfs->is_read_only && (call == NOC_STORE_CALL_WRITE || call == NOC_STORE_CALL_TRUNCATE)) {
        return SQLITE_READONLY;
    }
    return vfs->fault.ask == NULL
               ? SQLITE_OK
               : vfs->fault.ask(vfs->fault.context, call, file_of(file)->path, bytes, n, offset);
}

static int file_close(sqlite3_file *file)
{
    return system_of(file)->pMethods->xClose(system_of(file));
}

static int file_read(sqlite3_file *file, void *bytes, int n, sqlite3_int64 offset)
{
    int rc = ask(file, NOC_STORE_CALL_READ, NULL, n, offset);

    if (rc == SQLITE_IOERR_SHORT_READ) {
        memset(bytes, 0, (size_t)n);
    }
    if (rc == SQLITE_OK && file_of(file)->vfs->first_page != NULL && file_of(file)->is_database &&
        offset + n <= NOC_STORE_PAGE_BYTES) {
        memcpy(bytes, file_of(file)->vfs->first_page + offset, (size_t)n);
        return SQLITE_OK;
    }
    return rc != SQLITE_OK ? rc
                           : system_of(file)->pMethods->xRead(system_of(file), bytes, n, offset);
}

static int file_write(sqlite3_file *file, const void *bytes, int n, sqlite3_int64 offset)
{
    int rc = ask(file, NOC_STORE_CALL_WRITE, bytes, n, offset);
    int reason = 0;

    if (rc != SQLITE_OK) {
        return rc;
    }
    (void)atomic_fetch_add_explicit(
        &file_of(file)->vfs->bytes_written, (uint64_t)n, memory_order_relaxed);
    rc = system_of(file)->pMethods->xWrite(system_of(file), bytes, n, offset);
    /* A quota is a full disk too. */
    if (rc == SQLITE_IOERR_WRITE &&
        system_of(file)->pMethods->xFileControl(
            system_of(file), SQLITE_FCNTL_LAST_ERRNO, &reason) == SQLITE_OK &&
        reason == EDQUOT) {
        rc = SQLITE_FULL;
    }
    return rc;
}

static int file_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    int rc = ask(file, NOC_STORE_CALL_TRUNCATE, NULL, size, 0);

    return rc != SQLITE_OK ? rc : system_of(file)->pMethods->xTruncate(system_of(file), size);
}

static int file_sync(sqlite3_file *file, int flags)
{
    int rc = ask(file, NOC_STORE_CALL_SYNC, NULL, 0, 0);

    if (rc != SQLITE_OK) {
        return rc;
    }
    (void)atomic_fetch_add_explicit(&file_of(file)->vfs->syncs, 1, memory_order_relaxed);
    return system_of(file)->pMethods->xSync(system_of(file), flags);
}

static int file_size(sqlite3_file *file, sqlite3_int64 *ret_size)
{
    int rc = system_of(file)->pMethods->xFileSize(system_of(file), ret_size);

    /* With another first page: a size at which all tables that it names begin within the file. */
    if (rc == SQLITE_OK && file_of(file)->vfs->first_page != NULL && file_of(file)->is_database &&
        *ret_size < LEAST_PAGES * NOC_STORE_PAGE_BYTES) {
        *ret_size = LEAST_PAGES * NOC_STORE_PAGE_BYTES;
    }
    return rc;
}

static int file_lock(sqlite3_file *file, int level)
{
    return system_of(file)->pMethods->xLock(system_of(file), level);
}

static int file_unlock(sqlite3_file *file, int level)
{
    return system_of(file)->pMethods->xUnlock(system_of(file), level);
}

static int file_check_reserved(sqlite3_file *file, int *ret_is_reserved)
{
    return system_of(file)->pMethods->xCheckReservedLock(system_of(file), ret_is_reserved);
}

static int file_control(sqlite3_file *file, int operation, void *argument)
{
    return system_of(file)->pMethods->xFileControl(system_of(file), operation, argument);
}

static int file_sector_size(sqlite3_file *file)
{
    return system_of(file)->pMethods->xSectorSize(system_of(file));
}

static int file_characteristics(sqlite3_file *file)
{
    return system_of(file)->pMethods->xDeviceCharacteristics(system_of(file));
}

static const sqlite3_io_methods methods = {
    .iVersion = 1,
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_check_reserved,
    .xFileControl = file_control,
    .xSectorSize = file_sector_size,
    .xDeviceCharacteristics = file_characteristics,
};

static struct noc_store_vfs *vfs_of(sqlite3_vfs *vfs)
{
    return vfs->pAppData;
}

static int vfs_open(
    sqlite3_vfs *vfs, const char *path, sqlite3_file *file, int flags, int *ret_flags)
{
    struct noc_store_vfs *own = vfs_of(vfs);
    int rc;

    file->pMethods = NULL;
    rc = own->system->xOpen(own->system, path, system_of(file), flags, ret_flags);
    if (rc == SQLITE_OK) {
        file_of(file)->vfs = own;
        file_of(file)->path = path;
        file_of(file)->is_database = (flags & SQLITE_OPEN_MAIN_DB) != 0;
        file->pMethods = &methods;
    }
    return rc;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *path, int is_synced)
{
    struct noc_store_vfs *own = vfs_of(vfs);

    if (own->is_read_only) {
        return SQLITE_READONLY;
    }
    return own->system->xDelete(own->system, path, is_synced);
}

int noc_store_vfs_init(struct noc_store_vfs *vfs)
{
    vfs->system = sqlite3_vfs_find(NULL);
    if (vfs->system == NULL) {
        return NOC_ENOMEM;
    }
    (void)snprintf(vfs->name, sizeof(vfs->name), "noctule-%" PRIxPTR, (uintptr_t)vfs);
    vfs->vfs = *vfs->system;
    vfs->vfs.iVersion = vfs->system->iVersion < 2 ? vfs->system->iVersion : 2;
    vfs->vfs.pNext = NULL;
    vfs->vfs.szOsFile = (int)(offsetof(struct file, system)) + vfs->system->szOsFile;
    vfs->vfs.zName = vfs->name;
    vfs->vfs.pAppData = vfs;
    vfs->vfs.xOpen = vfs_open;
    vfs->vfs.xDelete = vfs_delete;
    return sqlite3_vfs_register(&vfs->vfs, 0) == SQLITE_OK ? NOC_OK : NOC_ENOMEM;
}

void noc_store_vfs_done(struct noc_store_vfs *vfs)
{
    (void)sqlite3_vfs_unregister(&vfs->vfs);
}
