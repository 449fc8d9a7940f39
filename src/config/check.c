/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
/*
 * Whether the files are there that a configuration names. Everything is opened
 * for reading or only looked at, as the user who asks; a remedy is a command
 * that can be pasted.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/config.h"
#include "config/parser.h"
#include <noctule/error.h>

struct check {
    const struct noc_config *config;
    const char *owner; /* of the folders into which the broker writes */
    struct noc_config_report *report;
    size_t listener;     /* whose option is looked at, or NOC_ORIGIN_COMMON */
    size_t start_errors; /* what Mosquitto, too, finds when it opens its listeners */
};

/* Report an error or a warning at the line that gave the option. */
static void blame_as(
    const struct check *check, enum noc_config_level level, const char *name, const char *text)
{
    const struct noc_config_origin *origin =
        noc_config_origin(check->config, noc_option_find(noc_slice_of(name)), check->listener);
    const struct noc_listener_config *listener =
        check->listener == NOC_ORIGIN_COMMON ? NULL : &check->config->listeners[check->listener];
    const char *file = listener == NULL ? NULL : listener->file;
    unsigned line = listener == NULL ? 0 : listener->line;

    if (origin != NULL) {
        file = origin->file;
        line = origin->line;
    }
    noc_config_report_add(
        check->report, level, file, line, "%s%s", level == NOC_CONFIG_ERROR ? "Error: " : "", text);
}

static void blame(const struct check *check, const char *name, const char *text)
{
    blame_as(check, NOC_CONFIG_ERROR, name, text);
}

/* How to make an existing file readable, or where to get a missing one. */
static void add_remedy(struct noc_text *text, const char *name, const char *path, int error)
{
    if (error != ENOENT && error != ENOTDIR) {
        noc_text_add(text, "Give the broker's user the right to read it.");
    } else if (strcmp(name, "password_file") == 0) {
        noc_text_add(text, "Make one with: mosquitto_passwd -c %s USERNAME", path);
    } else {
        noc_text_add(text, "Correct the path or put the file there.");
    }
}

/* How to make a folder into which the broker can write. */
static void add_folder_remedy(const struct check *check, struct noc_text *text, const char *folder)
{
    const char *sudo = geteuid() == 0 ? "" : "sudo ";

    noc_text_add(text, "Create it: %smkdir -p %s && %schown %s %s", sudo, folder, sudo,
        check->owner, folder);
}

static void blame_file(const struct check *check, const char *name, const char *path, int error)
{
    struct noc_text text;

    noc_text_init(&text);
    noc_text_add(&text, "Unable to open %s \"%s\": %s. ", name, path, strerror(error));
    add_remedy(&text, name, path, error);
    if (text.at != NULL) {
        blame(check, name, text.at);
    }
    noc_text_done(&text);
}

/* A regular file (or what a link leads to) that can be read; path may be NULL. */
static void check_readable(const struct check *check, const char *name, const char *path)
{
    struct stat status;
    int descriptor;

    if (path == NULL) {
        return;
    }
    if (stat(path, &status) != 0) {
        blame_file(check, name, path, errno);
        return;
    }
    if (S_ISDIR(status.st_mode)) {
        blame_file(check, name, path, EISDIR);
        return;
    }
    /* A pipe or a device is not opened: that could wait, or use something up. */
    if (!S_ISREG(status.st_mode)) {
        return;
    }
    descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (descriptor < 0) {
        blame_file(check, name, path, errno);
        return;
    }
    close(descriptor);
}

static void check_folder(const struct check *check, const char *name, const char *path)
{
    struct stat status;
    struct noc_text text;

    if (path == NULL || (stat(path, &status) == 0 && S_ISDIR(status.st_mode))) {
        return;
    }
    noc_text_init(&text);
    noc_text_add(&text, "%s \"%s\" is not a folder. Correct the path or create it.", name, path);
    if (text.at != NULL) {
        blame(check, name, text.at);
    }
    noc_text_done(&text);
}

/* The folder in which a file will be made. */
static void check_parent(const struct check *check, const char *name, const char *path)
{
    const char *slash = path == NULL ? NULL : strrchr(path, '/');
    struct noc_text folder, text;
    struct stat status;

    /* Without a slash it is the current directory. */
    if (slash == NULL) {
        return;
    }
    noc_text_init(&folder);
    noc_text_init(&text);
    noc_text_add(&folder, "%.*s", slash == path ? 1 : (int)(slash - path), path);
    if (folder.at != NULL && (stat(folder.at, &status) != 0 || !S_ISDIR(status.st_mode))) {
        noc_text_add(&text, "The folder of %s \"%s\" does not exist. ", name, path);
        add_folder_remedy(check, &text, folder.at);
        if (text.at != NULL) {
            blame(check, name, text.at);
        }
    }
    noc_text_done(&folder);
    noc_text_done(&text);
}

/* Nothing is written there yet, but will be: a missing folder is no reason not to run. */
static void check_store(const struct check *check)
{
    const char *path = check->config->persistence_location;
    struct stat status;
    struct noc_text text;

    if (!check->config->persistence || path == NULL ||
        (stat(path, &status) == 0 && S_ISDIR(status.st_mode))) {
        return;
    }
    noc_text_init(&text);
    noc_text_add(&text, "persistence_location \"%s\" does not exist. ", path);
    add_folder_remedy(check, &text, path);
    if (text.at != NULL) {
        blame_as(check, NOC_CONFIG_WARNING, "persistence_location", text.at);
    }
    noc_text_done(&text);
}

static void check_security(struct check *check, const struct noc_security_config *security)
{
    check_readable(check, "password_file", security->password_file);
    check_readable(check, "acl_file", security->acl_file);
}

static void check_listener(struct check *check, const struct noc_listener_config *listener)
{
    size_t before = check->report->error_count;

    if (listener->certfile != NULL) {
        check_readable(check, "cafile", listener->cafile);
        check_folder(check, "capath", listener->capath);
    }
    check_readable(check, "certfile", listener->certfile);
    check_readable(check, "keyfile", listener->keyfile);
    check_parent(check, "listener", listener->unix_path);
    check->start_errors += check->report->error_count - before;
}

int noc_config_check_files(
    const struct noc_config *config, const char *owner, struct noc_config_report *report)
{
    struct check check = {config, owner, report, NOC_ORIGIN_COMMON, 0};
    size_t errors = report->error_count;

    check_parent(&check, "log_dest", config->log_file);
    check_parent(&check, "pid_file", config->pid_file);
    check_parent(&check, "control_socket", config->control_socket);
    check_store(&check);
    check_security(&check, &config->security);
    for (size_t i = 0; i < config->listener_count; i++) {
        check.listener = i;
        check_listener(&check, &config->listeners[i]);
        if (config->listeners[i].security_index > 0) {
            check_security(
                &check, noc_config_security(config, config->listeners[i].security_index));
        }
    }
    errors = report->error_count - errors;
    return errors == 0 ? NOC_OK : errors == check.start_errors ? NOC_EIO : NOC_EINVAL;
}
