/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "broker/watch.h"

#include <stdlib.h>
#include <sys/stat.h>

/* What tells one content of a path from another. */
struct mark {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec changed;
};

struct watched_file {
    const char *path;  /* the configuration's */
    struct mark known; /* of what was read, or is about to be */
    struct mark seen;  /* at the last look */
};

struct noc_watched {
    size_t count;
    struct watched_file files[];
};

/* False: it can't be looked at now. Links are followed: what counts is where they lead. */
static bool take_mark(const char *path, struct mark *mark)
{
    struct stat info;

    if (stat(path, &info) != 0) {
        return false;
    }
    *mark = (struct mark){info.st_dev, info.st_ino, info.st_size, info.st_mtim};
    return true;
}

static bool is_same(const struct mark *a, const struct mark *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

static void add(struct noc_watched *watched, const char *path)
{
    if (path != NULL) {
        struct watched_file *file = &watched->files[watched->count++];

        file->path = path;
    }
}

struct noc_watched *noc_watched_new(const struct noc_config *config)
{
    size_t most = 2 * noc_config_security_count(config) + 4 * config->listener_count;
    struct noc_watched *watched = calloc(1, sizeof *watched + most * sizeof(struct watched_file));

    if (watched == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < noc_config_security_count(config); i++) {
        add(watched, noc_config_security(config, i)->password_file);
        add(watched, noc_config_security(config, i)->acl_file);
    }
    for (size_t i = 0; i < config->listener_count; i++) {
        add(watched, config->listeners[i].cafile);
        add(watched, config->listeners[i].capath); /* changes with what stands in it */
        add(watched, config->listeners[i].certfile);
        add(watched, config->listeners[i].keyfile);
    }
    noc_watched_mark(watched);
    return watched;
}

void noc_watched_free(struct noc_watched *watched)
{
    free(watched);
}

void noc_watched_mark(struct noc_watched *watched)
{
    for (size_t i = 0; i < watched->count; i++) {
        struct watched_file *file = &watched->files[i];

        if (!take_mark(file->path, &file->seen)) {
            file->seen = (struct mark){0};
        }
        file->known = file->seen;
    }
}

bool noc_watched_look(struct noc_watched *watched)
{
    bool has_changed = false;

    for (size_t i = 0; i < watched->count; i++) {
        struct watched_file *file = &watched->files[i];
        struct mark mark;

        if (take_mark(file->path, &mark)) {
            has_changed |= !is_same(&mark, &file->known) && is_same(&mark, &file->seen);
            file->seen = mark;
        }
    }
    return has_changed;
}
