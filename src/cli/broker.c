/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
/*
 * `noctule broker`, and `mosquitto` where the program is called so: the command
 * line, the configuration, the log; then the broker runs.
 */
#include "broker/broker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "broker/admission.h"
#include "broker/heap.h"
#include "cli/commands.h"
#include "config/options.h"
#include "net/privileges.h"

/* ---- things to print ---- */

static int print(struct noc_text *text)
{
    int status = text->is_broken ? 1 : 0;

    if (status == 0) {
        (void)fwrite(text->at, 1, text->n, stdout);
        status = fflush(stdout) == 0 ? 0 : 1;
    }
    noc_text_done(text);
    return status;
}

/* --help, --version, --list-options. -1: none of them. */
static int print_wanted(const struct noc_command_line *line, bool as_mosquitto)
{
    struct noc_text text;

    noc_text_init(&text);
    if (line->wants_help) {
        noc_command_line_usage(as_mosquitto, NOC_VERSION, &text);
    } else if (line->wants_version) {
        noc_command_line_version(as_mosquitto, NOC_VERSION, &text);
    } else if (line->wants_option_list) {
        (line->is_json     ? noc_options_list_json
            : line->is_man ? noc_options_list_man
                           : noc_options_list)(&text);
    } else {
        noc_text_done(&text);
        return -1;
    }
    return print(&text);
}

/* Read what the configuration names, as a start would, and look for its user. The exit status. */
static int try_files(const struct noc_config *config, struct noc_log *log)
{
    uint64_t version = 0;
    const struct noc_admission_load load = {.log = log, .version = &version};
    struct noc_admission *access = NULL;
    struct noc_identity identity;
    bool is_file = false;
    char error[256];

    if (noc_admission_load(config, &load, &access, &is_file) != NOC_OK) {
        return is_file ? NOC_CONFIG_EXIT_INVALID : EXIT_FAILURE;
    }
    noc_admission_unref(access);
    if (geteuid() == 0 &&
        noc_identity_find(config->user, &identity, error, sizeof error) != NOC_OK) {
        noc_log(log, NOC_LOG_ERROR, "Error: %s", error);
        return EXIT_FAILURE;
    }
    return 0;
}

static int test_config(const struct noc_command_line *line, const struct noc_config *config)
{
    struct noc_log *log = NULL;
    struct noc_text text;
    int status;

    if (noc_log_open(&(struct noc_log_options){0}, &log, NULL) != NOC_OK) {
        (void)fprintf(stderr, "Error: Out of memory.\n");
        return EXIT_FAILURE;
    }
    status = try_files(config, log);
    noc_log_close(log);
    if (status != 0) {
        return status;
    }
    if (!line->wants_explanation) {
        printf("Configuration file is OK.\n");
        return 0;
    }
    noc_text_init(&text);
    noc_config_explain(config, &text);
    return print(&text);
}

/* ---- the log ---- */

static void make_log_options(struct noc_broker *broker, struct noc_log_options *options)
{
    static const struct {
        unsigned from;
        enum noc_log_destination to;
    } map[] = {
        {NOC_CONFIG_LOG_TO_STDOUT, NOC_LOG_TO_STDOUT},
        {NOC_CONFIG_LOG_TO_STDERR, NOC_LOG_TO_STDERR},
        {NOC_CONFIG_LOG_TO_SYSLOG, NOC_LOG_TO_SYSLOG},
        {NOC_CONFIG_LOG_TO_FILE, NOC_LOG_TO_FILE},
        {NOC_CONFIG_LOG_TO_TOPIC, NOC_LOG_TO_TOPIC},
    };
    const struct noc_config *config = broker->config;

    *options = (struct noc_log_options){
        .levels = config->log_types,
        .file = config->log_file,
        .follow_symlinks = getenv("MOSQUITTO_UNSAFE_ALLOW_SYMLINKS") != NULL,
        .syslog_facility = config->log_facility < 0
                               ? LOG_DAEMON
                               : (LOG_LOCAL0 + config->log_facility * (LOG_LOCAL1 - LOG_LOCAL0)),
        .no_timestamp = !config->log_timestamp,
        .timestamp_format = config->log_timestamp_format,
        .topic = noc_topic_log_line_mt,
        .topic_context = &broker->topic_log,
    };
    for (size_t i = 0; i < NOC_COUNT(map); i++) {
        if ((config->log_dest & map[i].from) != 0) {
            options->destinations |= map[i].to;
        }
    }
    if (options->destinations == 0) {
        options->destinations = NOC_LOG_TO_NOWHERE;
    }
}

static void log_report(struct noc_log *log, const struct noc_config_report *report)
{
    static const unsigned levels[] = {
        [NOC_CONFIG_ERROR] = NOC_LOG_ERROR,
        [NOC_CONFIG_WARNING] = NOC_LOG_WARNING,
        [NOC_CONFIG_NOTICE] = NOC_LOG_NOTICE,
        [NOC_CONFIG_INFO] = NOC_LOG_INFORMATION,
    };

    for (size_t i = 0; i < report->count; i++) {
        noc_log(log, levels[report->messages[i].level], "%s", report->messages[i].text);
    }
}

/* Before there is a log: to stderr, in the log's form. */
static void print_report(const struct noc_config_report *report)
{
    struct noc_log *log = NULL;

    if (noc_log_open(&(struct noc_log_options){0}, &log, NULL) == NOC_OK) {
        log_report(log, report);
        noc_log_close(log);
    }
}

static struct noc_log *open_log(struct noc_broker *broker)
{
    const struct noc_config *config = broker->config;
    struct noc_identity identity;
    struct noc_log_options options;
    struct noc_log *log = NULL;
    char error[128];
    int file_err = 0;

    make_log_options(broker, &options);
    if (geteuid() == 0 &&
        noc_identity_find(config->user, &identity, error, sizeof error) == NOC_OK) {
        options.has_owner = true;
        options.owner = identity.uid;
        options.group = identity.gid;
    }
    if (noc_log_open(&options, &log, &file_err) != NOC_OK) {
        (void)fprintf(stderr, "Error: Out of memory.\n");
        return NULL;
    }
    if (file_err != 0) { /* which the log has said on stderr */
        noc_log_close(log);
        return NULL;
    }
    return log;
}

/* ---- run ---- */

static int run(const struct noc_command_line *line, const struct noc_config *config,
    const struct noc_config_report *report, bool as_mosquitto)
{
    struct noc_broker *broker = calloc(1, sizeof *broker);
    char error[256];
    int status = 1;

    if (broker == NULL) {
        (void)fprintf(stderr, "Error: Out of memory.\n");
        return 1;
    }
    broker->config = config;
    broker->config_file = line->config_file;
    broker->tls_keylog = line->tls_keylog;
    broker->name = as_mosquitto ? "mosquitto" : "noctule";
    noc_topic_log_init(&broker->topic_log);
    broker->log = open_log(broker);
    if (broker->log != NULL) {
        log_report(broker->log, report);
        if (line->is_daemon && noc_daemonise(error, sizeof error) != NOC_OK) {
            noc_log(broker->log, NOC_LOG_ERROR, "Error: %s", error);
        } else {
            status = noc_broker_run(broker, line);
        }
        noc_log_close(broker->log);
    }
    free(broker);
    return status;
}

/* Whom the broker will run as, as chown takes it. */
static void find_owner(const struct noc_config *config, char *ret_owner, size_t owner_size)
{
    struct noc_identity identity;
    char error[256];

    if (geteuid() != 0) {
        (void)snprintf(ret_owner, owner_size, "%lu", (unsigned long)geteuid());
    } else if (noc_identity_find(config->user, &identity, error, sizeof error) == NOC_OK) {
        (void)snprintf(ret_owner, owner_size, "%s", identity.name);
    } else {
        (void)snprintf(ret_owner, owner_size, "%s", config->user);
    }
}

static int load_and_run(const struct noc_command_line *line, bool as_mosquitto)
{
    struct noc_config_options options;
    struct noc_config_report report;
    struct noc_config *config = NULL;
    char owner[64];
    int status = NOC_CONFIG_EXIT_INVALID, err;

    noc_command_line_to_options(line, &options);
    options.compatibility = getenv("NOCTULE_COMPATIBILITY");
    options.persistence_location = getenv("MOSQUITTO_PERSISTENCE_LOCATION");
    noc_config_report_init(&report);
    err = noc_config_load(line->config_file, &options, &config, &report);
    if (err == NOC_OK) {
        find_owner(config, owner, sizeof owner);
        err = noc_config_check_files(config, owner, &report);
        status = err == NOC_EIO ? EXIT_FAILURE : status;
    }
    if (err != NOC_OK) {
        print_report(&report);
    } else if (line->wants_test) {
        print_report(&report);
        status = test_config(line, config);
    } else {
        status = run(line, config, &report, as_mosquitto);
    }
    noc_config_report_done(&report);
    noc_config_free(config);
    return status;
}

int noc_cli_broker(int argc, char **argv)
{
    const char *name = strrchr(argv[0], '/');
    bool as_mosquitto = strcmp(name == NULL ? argv[0] : name + 1, "mosquitto") == 0;
    struct noc_command_line line;
    struct noc_text text;
    int status;

    if (noc_command_line_parse(argc, argv, as_mosquitto, &line) != NOC_OK) {
        (void)fprintf(stderr, "%s\n", line.error);
        if (line.error_wants_usage) {
            noc_text_init(&text);
            noc_command_line_usage(as_mosquitto, NOC_VERSION, &text);
            if (!text.is_broken) {
                (void)fwrite(text.at, 1, text.n, stderr);
            }
            noc_text_done(&text);
        }
        return NOC_CONFIG_EXIT_INVALID;
    }
    noc_heap_init();
    status = print_wanted(&line, as_mosquitto);
    return status >= 0 ? status : load_and_run(&line, as_mosquitto);
}
