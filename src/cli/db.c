/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `noctule db COMMAND FILE`: look into what a broker keeps on disk, and `mosquitto_db_dump`. That is
 * Mosquitto's mosquitto.db, or our own store: a folder, or the noctule.db in one.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "cli/commands.h"
#include "cli/db.h"
#include <noctule/error.h>

enum status {
    DB_SOUND = 0,
    DB_FAULT = 1,  /* the file isn't sound, or nothing that we know */
    DB_TROUBLE = 2 /* could not be done, or wrong use */
};

struct request {
    const char *program; /* that messages begin with */
    const char *path, *new_path;
    bool has_stats, has_clients, as_json, for_mosquitto, wants_help;
    bool is_mosquittos; /* under the name mosquitto_db_dump: only what that knows */
};

struct subcommand {
    const char *name;
    int words; /* files it takes */
    bool has_forms;
    int (*run)(
        const struct request *request, struct noc_mosquitto_file *file); /* NULL: ours only */
    int (*run_store)(const struct request *request, const char *folder, char *error,
        size_t error_n); /* NULL: Mosquitto's only */
};

static const char usage[] =
    "Usage: noctule db dump [--stats | --client-stats | --json] FILE\n"
    "       noctule db check FILE\n"
    "       noctule db salvage FILE NEW\n"
    "       noctule db export --mosquitto FOLDER NEW\n"
    "\n"
    "Look into a mosquitto.db, the file in which Mosquitto keeps sessions and retained\n"
    "messages: versions 3 to 6 (Mosquitto 1.0 to 2.1). FILE may also be the folder that is\n"
    "persistence_location of a Noctule which does not run, or the noctule.db in it.\n"
    "\n"
    "Commands:\n"
    "  dump             print each record, as mosquitto_db_dump does; of Noctule's a line of\n"
    "                   JSON each\n"
    "  check            tell what the file is, what it holds, and where it is broken\n"
    "  salvage          write what stands before the first fault to NEW, which must not\n"
    "                   exist, as version 6\n"
    "  export           write what Noctule keeps in FOLDER to NEW, which must not exist, as a\n"
    "                   mosquitto.db of version 6: the way back\n"
    "\n"
    "  --stats          of dump: how many records there are of each kind\n"
    "  --client-stats   of dump: a line for each client: subscriptions (SC) and their bytes\n"
    "                   (SS), messages (MC) and theirs (MS), client id\n"
    "  --json           of dump: one JSON object\n"
    "  --mosquitto      of export: the format to write\n"
    "  --help           this text\n"
    "\n"
    "Exit status: 0, 1 if the file is not sound, 2 if something could not be done.\n";

static const char mosquitto_usage[] =
    "Usage: db_dump [--stats | --client-stats | --json] <mosquitto db filename>\n";

static void tell_fault(
    const char *program, const char *path, const struct noc_mosquitto_fault *fault)
{
    char kind[24];

    if (fault->type > 0 && fault->type < NOC_MOSQUITTO_KINDS) {
        (void)snprintf(kind, sizeof(kind), "%s",
            noc_mosquitto_kind_name((enum noc_mosquitto_kind)fault->type));
    } else {
        (void)snprintf(kind, sizeof(kind), "type %" PRIu32, fault->type);
    }
    if (fault->chunk == 0) {
        fprintf(
            stderr, "%s: '%s', byte %" PRIu64 ": %s\n", program, path, fault->offset, fault->what);
    } else {
        fprintf(stderr, "%s: '%s', byte %" PRIu64 ", in chunk %" PRIu64 " (%s): %s\n", program,
            path, fault->offset, fault->chunk, kind, fault->what);
    }
}

/* What ended the reading of a file. Returns the exit status. */
static int tell_error(
    const struct request *request, const char *path, const struct noc_mosquitto_file *file, int err)
{
    if (err == NOC_OK) {
        return DB_SOUND;
    }
    if (file->reader.fault.what != NULL) {
        tell_fault(request->program, path, &file->reader.fault);
        return DB_FAULT;
    }
    fprintf(stderr, "%s: cannot read '%s': %s\n", request->program, path,
        err == NOC_EIO ? strerror(errno) : noc_error_text(err));
    return DB_TROUBLE;
}

static int run_dump(const struct request *request, struct noc_mosquitto_file *file)
{
    int err;

    if (request->has_stats) {
        err = noc_db_dump_stats(file);
    } else if (request->has_clients) {
        err = noc_db_dump_clients(file);
    } else if (request->as_json) {
        err = noc_db_dump_json(file);
    } else {
        err = noc_db_dump_records(file);
    }
    return tell_error(request, request->path, file, err);
}

static int run_check(const struct request *request, struct noc_mosquitto_file *file)
{
    return tell_error(request, request->path, file, noc_db_check(file, request->path));
}

static int run_salvage(const struct request *request, struct noc_mosquitto_file *file)
{
    struct noc_mosquitto_fault fault;
    uint64_t written;
    int err = noc_db_salvage(file, request->new_path, &written, &fault);

    if (err == NOC_EIO && file->reader.fault.what == NULL && ferror(file->stream) == 0) {
        fprintf(stderr, "%s: cannot write '%s': %s\n", request->program, request->new_path,
            strerror(errno));
        return DB_TROUBLE;
    }
    if (err < 0) {
        return tell_error(request, request->path, file, err);
    }
    printf("%" PRIu64 " records written to '%s'\n", written, request->new_path);
    if (fault.what != NULL) {
        tell_fault(request->program, request->path, &fault);
        return DB_FAULT;
    }
    return DB_SOUND;
}

static int dump_store(
    const struct request *request, const char *folder, char *error, size_t error_n)
{
    (void)request;
    return noc_db_store_dump(folder, error, error_n);
}

static int check_store(
    const struct request *request, const char *folder, char *error, size_t error_n)
{
    (void)request;
    return noc_db_store_check(folder, error, error_n);
}

static int export_store(
    const struct request *request, const char *folder, char *error, size_t error_n)
{
    return noc_db_store_export(folder, request->new_path, error, error_n);
}

static const struct subcommand subcommands[] = {
    {"dump", 1, true, run_dump, dump_store},
    {"check", 1, false, run_check, check_store},
    {"salvage", 2, false, run_salvage, NULL},
    {"export", 2, false, NULL, export_store},
};

static int refuse(const char *why)
{
    fprintf(stderr, "noctule db: %s; see `noctule db --help`\n", why);
    return DB_TROUBLE;
}

static int run_on_store(
    const struct request *request, const struct subcommand *subcommand, const char *folder)
{
    char error[512] = "";
    int err;

    if (subcommand->run_store == NULL) {
        fprintf(stderr,
            "%s: '%s' is not a mosquitto.db; of a damaged store of Noctule's "
            "persistence_on_error recover saves what is whole\n",
            request->program, request->path);
        return DB_TROUBLE;
    }
    if (request->has_stats || request->has_clients || request->as_json) {
        return refuse(
            "--stats, --client-stats and --json are of a mosquitto.db; a store of Noctule's "
            "is always a line of JSON for each record");
    }
    err = subcommand->run_store(request, folder, error, sizeof error);
    if (err == NOC_OK) {
        return DB_SOUND;
    }
    fprintf(stderr, "%s: %s\n", request->program, error[0] == '\0' ? noc_error_text(err) : error);
    return err == NOC_EMALFORMED ? DB_FAULT : DB_TROUBLE;
}

static int run_on_mosquittos(const struct request *request, const struct subcommand *subcommand)
{
    struct noc_mosquitto_file file;
    int status;

    if (subcommand->run == NULL) {
        fprintf(stderr, "%s: '%s' is no folder of Noctule's\n", request->program, request->path);
        return DB_TROUBLE;
    }
    if (noc_mosquitto_file_open(&file, request->path) < 0) {
        fprintf(
            stderr, "%s: cannot open '%s': %s\n", request->program, request->path, strerror(errno));
        return DB_TROUBLE;
    }
    status = subcommand->run(request, &file);
    noc_mosquitto_file_close(&file);
    return status;
}

static int open_and_run(const struct request *request, const struct subcommand *subcommand)
{
    char folder[PATH_MAX];
    int status = !request->is_mosquittos && noc_db_is_store(request->path, folder, sizeof folder)
                     ? run_on_store(request, subcommand, folder)
                     : run_on_mosquittos(request, subcommand);

    if (fflush(stdout) != 0 || ferror(stdout) != 0) {
        fprintf(stderr, "%s: cannot write: %s\n", request->program, strerror(errno));
        return DB_TROUBLE;
    }
    return status;
}

/* False: getopt has said why. */
static bool read_options(int argc, char **argv, struct request *request)
{
    static const struct option options[] = {
        {"stats", no_argument, NULL, 's'},
        {"client-stats", no_argument, NULL, 'c'},
        {"json", no_argument, NULL, 'j'},
        {"mosquitto", no_argument, NULL, 'm'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int option;

    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (option) {
        case 's':
            request->has_stats = true;
            break;
        case 'c':
            request->has_clients = true;
            break;
        case 'j':
            request->as_json = true;
            break;
        case 'm':
            request->for_mosquitto = true;
            break;
        case 'h':
            request->wants_help = true;
            return true;
        default:
            return false;
        }
    }
    return true;
}

static int run(int argc, char **argv, struct request *request)
{
    const struct subcommand *subcommand = NULL;
    int forms = request->has_stats + request->has_clients + request->as_json;

    if (argc == 0) {
        return refuse("a command and a file are needed");
    }
    for (size_t i = 0; i < NOC_COUNT(subcommands); i++) {
        if (strcmp(subcommands[i].name, argv[0]) == 0) {
            subcommand = &subcommands[i];
        }
    }
    if (subcommand == NULL) {
        return refuse("the commands are dump, check, salvage and export");
    }
    if (argc != 1 + subcommand->words) {
        return refuse(subcommand->words == 1 ? "one file is needed" : "two files are needed");
    }
    if (forms > 1 || (forms > 0 && !subcommand->has_forms)) {
        return refuse("--stats, --client-stats and --json are of dump, one at a time");
    }
    if (request->for_mosquitto != (subcommand->run == NULL)) {
        return refuse("--mosquitto and export go together");
    }
    request->path = argv[1];
    request->new_path = argv[argc - 1];
    return open_and_run(request, subcommand);
}

/* Mosquitto's program: an option or none, and a file. Its statuses are 0 and 1. */
static int run_mosquitto(int argc, char **argv)
{
    struct request request = {
        .program = "mosquitto_db_dump", .path = argv[argc - 1], .is_mosquittos = true};

    if (argc == 3) {
        request.has_stats = strcmp(argv[1], "--stats") == 0;
        request.has_clients = strcmp(argv[1], "--client-stats") == 0;
        request.as_json = strcmp(argv[1], "--json") == 0;
    }
    if (argc != 2 && !request.has_stats && !request.has_clients && !request.as_json) {
        fputs(mosquitto_usage, stderr);
        return EXIT_FAILURE;
    }
    return open_and_run(&request, &subcommands[0]) == DB_SOUND ? EXIT_SUCCESS : EXIT_FAILURE;
}

static bool is_mosquitto_name(const char *program)
{
    const char *slash = strrchr(program, '/');

    return strcmp(slash == NULL ? program : slash + 1, "mosquitto_db_dump") == 0;
}

int noc_cli_db(int argc, char **argv)
{
    struct request request = {.program = "noctule db"};

    if (is_mosquitto_name(argv[0])) {
        return run_mosquitto(argc, argv);
    }
    if (!read_options(argc, argv, &request)) {
        return DB_TROUBLE;
    }
    if (request.wants_help) {
        fputs(usage, stdout);
        return fflush(stdout) == 0 ? DB_SOUND : DB_TROUBLE;
    }
    return run(argc - optind, argv + optind, &request);
}
