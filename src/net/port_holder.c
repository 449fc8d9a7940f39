/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "net/port_holder.h"

#include <ctype.h>
#include <dirent.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    STATE_LISTEN = 0x0a,
    INODES_MAX = 16,
    SUSPECTS_MAX = 3, /* so many are named where only the holder's user is known */
    PROCESS_TEXT_SIZE = 56,
};

struct inodes {
    uid_t owner; /* of the first */
    size_t count;
    unsigned long at[INODES_MAX];
};

/* Add the inodes of sockets that listen on the port, from one of /proc/net's tables. */
static void read_table(const char *path, uint16_t port, struct inodes *inodes)
{
    char line[512];
    FILE *table = fopen(path, "re");

    if (table == NULL) {
        return;
    }
    while (inodes->count < INODES_MAX && fgets(line, sizeof(line), table) != NULL) {
        unsigned local_port;
        unsigned state;
        unsigned owner;
        unsigned long inode;

        if (sscanf(line, " %*u: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*s %*s %*s %u %*u %lu",
                &local_port, &state, &owner, &inode) == 4 &&
            local_port == port && state == STATE_LISTEN && inode != 0) {
            inodes->owner = inodes->count == 0 ? owner : inodes->owner;
            inodes->at[inodes->count++] = inode;
        }
    }
    (void)fclose(table);
}

/* Does the process have one of these sockets open? */
static bool process_holds(const char *pid, const struct inodes *inodes)
{
    char path[300];
    char target[64];
    bool found = false;
    struct dirent *entry;
    DIR *folder;

    (void)snprintf(path, sizeof(path), "/proc/%s/fd", pid);
    folder = opendir(path);
    if (folder == NULL) {
        return false;
    }
    while (!found && (entry = readdir(folder)) != NULL) {
        ssize_t n = readlinkat(dirfd(folder), entry->d_name, target, sizeof(target) - 1);
        unsigned long inode;

        if (n <= 0) {
            continue;
        }
        target[n] = '\0';
        if (sscanf(target, "socket:[%lu]", &inode) != 1) {
            continue;
        }
        for (size_t i = 0; i < inodes->count; i++) {
            found = found || inodes->at[i] == inode;
        }
    }
    (void)closedir(folder);
    return found;
}

/* "name (pid n)"; the name is the process's own, so nothing but printable ASCII passes. */
static void describe(const char *pid, char *text)
{
    char path[300];
    char name[32] = "";
    size_t n = 0;
    FILE *file;

    (void)snprintf(path, sizeof(path), "/proc/%s/comm", pid);
    file = fopen(path, "re");
    if (file != NULL) {
        n = fread(name, 1, sizeof(name) - 1, file);
        (void)fclose(file);
    }
    while (n > 0 && name[n - 1] == '\n') {
        n--;
    }
    name[n] = '\0';
    for (size_t i = 0; i < n; i++) {
        if (!isprint((unsigned char)name[i])) {
            name[i] = '?';
        }
    }
    (void)snprintf(text, PROCESS_TEXT_SIZE, "%s (pid %ld)", n == 0 ? "a process" : name,
        strtol(pid, NULL, 10));
}

static void find_process(DIR *folder, const struct inodes *inodes, struct noc_port_holder *holder)
{
    struct dirent *entry;

    while (holder->pid == 0 && (entry = readdir(folder)) != NULL) {
        if (isdigit((unsigned char)entry->d_name[0]) && process_holds(entry->d_name, inodes)) {
            holder->pid = strtol(entry->d_name, NULL, 10);
            describe(entry->d_name, holder->text);
        }
    }
}

/* Is it a process of the user into which we may not look? */
static bool is_suspect(const char *pid, uid_t owner)
{
    char path[300];
    struct stat status;

    (void)snprintf(path, sizeof(path), "/proc/%s", pid);
    if (!isdigit((unsigned char)pid[0]) || stat(path, &status) != 0 || status.st_uid != owner) {
        return false;
    }
    (void)snprintf(path, sizeof(path), "/proc/%s/fd", pid);
    return access(path, R_OK) != 0;
}

/* The user of a socket is known to everybody: it, and who of its processes it may be. */
static void describe_owner(DIR *folder, uid_t owner, struct noc_port_holder *holder)
{
    char suspects[SUSPECTS_MAX][PROCESS_TEXT_SIZE];
    char buffer[1024];
    struct passwd entry;
    struct passwd *found = NULL;
    struct dirent *at;
    size_t count = 0;
    size_t n;

    while ((at = readdir(folder)) != NULL) {
        if (is_suspect(at->d_name, owner)) {
            if (count < SUSPECTS_MAX) {
                describe(at->d_name, suspects[count]);
            }
            count++;
        }
    }
    if (getpwuid_r(owner, &entry, buffer, sizeof(buffer), &found) == 0 && found != NULL) {
        (void)snprintf(
            holder->text, sizeof(holder->text), "a process of user %.64s", found->pw_name);
    } else {
        (void)snprintf(
            holder->text, sizeof(holder->text), "a process of user %lu", (unsigned long)owner);
    }
    for (size_t i = 0; i < count && count <= SUSPECTS_MAX; i++) {
        n = strlen(holder->text);
        (void)snprintf(holder->text + n, sizeof(holder->text) - n, "%s%s",
            i == 0 ? ", perhaps " : " or ", suspects[i]);
    }
}

bool noc_port_holder_find(uint16_t port, struct noc_port_holder *ret_holder)
{
    struct inodes inodes = {0};
    DIR *folder;

    ret_holder->pid = 0;
    (void)snprintf(ret_holder->text, sizeof(ret_holder->text), "another process");
    read_table("/proc/net/tcp", port, &inodes);
    read_table("/proc/net/tcp6", port, &inodes);
    if (inodes.count == 0) {
        return false;
    }
    folder = opendir("/proc");
    if (folder == NULL) {
        return false;
    }
    find_process(folder, &inodes, ret_holder);
    if (ret_holder->pid == 0) {
        rewinddir(folder);
        describe_owner(folder, inodes.owner, ret_holder);
    }
    (void)closedir(folder);
    return ret_holder->pid != 0;
}
