/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "net/privileges.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <noctule/error.h>

static const char default_user[] = "mosquitto";

/* Look a user up. Returns 0, NOC_ENOENT or NOC_ENOMEM. */
static int find_user(const char *user, struct noc_identity *ret_identity)
{
    struct passwd entry;
    struct passwd *found = NULL;
    size_t size = 1024;
    int code;

    /* ERANGE asks for a larger buffer: LDAP entries can be long. */
    do {
        char *buffer = malloc(size);

        if (buffer == NULL) {
            return NOC_ENOMEM;
        }
        code = getpwnam_r(user, &entry, buffer, size, &found);
        if (code == 0 && found != NULL) {
            ret_identity->uid = entry.pw_uid;
            ret_identity->gid = entry.pw_gid;
        }
        free(buffer);
        size *= 2;
    } while (code == ERANGE && size <= 1024U * 1024U);
    return found == NULL ? NOC_ENOENT : NOC_OK;
}

int noc_identity_find(
    const char *user, struct noc_identity *ret_identity, char *error, size_t error_size)
{
    struct noc_identity identity = {0};
    const char *name = user == NULL ? default_user : user;
    int err;

    if (strlen(name) >= sizeof(identity.name)) {
        (void)snprintf(error, error_size, "Invalid user name.");
        return NOC_EINVAL;
    }
    err = find_user(name, &identity);
    if (err == NOC_ENOENT && strcmp(name, default_user) == 0) {
        name = "nobody";
        identity.is_fallback = true;
        err = find_user(name, &identity);
    }
    if (err != NOC_OK) {
        (void)snprintf(error, error_size, "Invalid user '%s'.", name);
        return err;
    }
    memcpy(identity.name, name, strlen(name) + 1);
    *ret_identity = identity;
    return NOC_OK;
}

int noc_identity_assume(const struct noc_identity *identity, char *error, size_t error_size)
{
    const char *what;
    int outcome;

    if (geteuid() != 0 || identity->uid == 0) {
        return NOC_OK;
    }
    what = "setting groups";
    if (identity->name[0] != '\0') {
        outcome = initgroups(identity->name, identity->gid);
    } else {
        outcome = setgroups(1, &identity->gid);
    }
    if (outcome < 0) {
        goto failed;
    }
    what = "setting the group";
    if (setresgid(identity->gid, identity->gid, identity->gid) < 0) {
        goto failed;
    }
    what = "setting the user";
    if (setresuid(identity->uid, identity->uid, identity->uid) < 0) {
        goto failed;
    }
    /* Believe it only when the way back is closed. */
    if (setuid(0) == 0 || geteuid() != identity->uid || getegid() != identity->gid) {
        (void)snprintf(error, error_size, "root could be had back after dropping it.");
        return NOC_EDENIED;
    }
    return NOC_OK;

failed:
    (void)snprintf(error, error_size, "%s to '%s' whilst dropping privileges: %s.", what,
        identity->name, strerror(errno));
    return NOC_EDENIED;
}

int noc_daemonise(char *error, size_t error_size)
{
    const char *what;
    int null_fd;
    pid_t child;

    /* Before the fork, so that the caller of the program hears of a failure. */
    what = "/dev/null";
    null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd < 0) {
        goto failed;
    }
    what = "fork";
    child = fork();
    if (child < 0) {
        (void)close(null_fd);
        goto failed;
    }
    if (child > 0) {
        _exit(EXIT_SUCCESS);
    }
    (void)setsid();
    for (int fd = 0; fd <= 2; fd++) {
        if (dup2(null_fd, fd) < 0) {
            what = "/dev/null";
            goto failed;
        }
    }
    if (null_fd > 2) {
        (void)close(null_fd);
    }
    return NOC_OK;

failed:
    (void)snprintf(error, error_size, "Unable to daemonise: %s: %s", what, strerror(errno));
    return NOC_EIO;
}

int noc_pid_file_write(const char *path, char *error, size_t error_size)
{
    char text[32];
    int n = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0644);

    if (fd < 0) {
        goto failed;
    }
    if (write(fd, text, (size_t)n) != n) {
        (void)close(fd);
        goto failed;
    }
    if (close(fd) < 0) {
        goto failed;
    }
    return NOC_OK;

failed:
    (void)snprintf(error, error_size, "Unable to write pid file '%s': %s", path, strerror(errno));
    return errno == EACCES || errno == EPERM ? NOC_EDENIED : NOC_EIO;
}

void noc_pid_file_remove(const char *path)
{
    char text[32] = "";
    ssize_t n;
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0) {
        return;
    }
    n = read(fd, text, sizeof(text) - 1);
    (void)close(fd);
    if (n > 0 && strtol(text, NULL, 10) == (long)getpid()) {
        (void)unlink(path);
    }
}
