/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mosquitto's `mosquitto_passwd`: its command line, prompts, messages and exit statuses, those of
 * 2.0.11, or of 2.1 with NOCTULE_COMPATIBILITY. What it does to a file is our own: see
 * passwd_file.h. Options come first, each a word by itself; the first word that is none ends them.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/text_file.h"
#include "cli/passwd.h"
#include "cli/passwd_ask.h"
#include "cli/passwd_file.h"
#include "cli/passwd_text.h"
#include <noctule/error.h>

enum { NAME_MAX_BYTES = 65535, ROUNDS_2_1 = 1000, SALT_2_1 = 64 };

struct request {
    bool is_2_1;
    bool is_batch, is_new, is_delete, is_update;
    struct noc_password_recipe recipe;
    const char *path, *user;
    char *password; /* of the command line; NULL: none */
};

static const char usage[] =
    "Usage: mosquitto_passwd [-H KIND] [-I COUNT] [-c | -D] FILE USER\n"
    "       mosquitto_passwd [-H KIND] [-I COUNT] [-c] -b FILE USER PASSWORD\n"
    "       mosquitto_passwd -U FILE\n"
    "\n"
    "Set, add or delete a user's password in a password file of the broker.\n"
    "\n"
    " -b : the password is the last word, instead of being asked for\n"
    " -c : make a new file; one that is there is replaced\n"
    " -D : delete the user\n"
    " -H : sha512-pbkdf2 (the default), argon2id or sha512\n"
    " -I : iterations of sha512-pbkdf2\n"
    " -U : hash the passwords of a file that has them in plain text; lines that are\n"
    "      hashed already stay as they are\n"
    "\n"
    "This is `noctule passwd` under Mosquitto's name; see noctule-passwd(1).\n";

static int refuse(const char *text)
{
    fprintf(stderr, "Error: %s\n", text);
    return NOC_EINVAL;
}

static int print_usage(void)
{
    fputs(usage, stdout);
    return NOC_EINVAL;
}

/* ---- the command line ---- */

/* As much of a number as there is, and at least 1. */
static int read_rounds(const char *word, struct request *request)
{
    long value = strtol(word, NULL, 10);

    if (value < 1) {
        return refuse("Number of iterations must be > 0.");
    }
    if (value > NOC_PASSWORD_ROUNDS_MAX) {
        return refuse("Number of iterations must be at most 100000000.");
    }
    request->recipe.rounds = (uint32_t)value;
    return NOC_OK;
}

/* -H or -I with its value. */
static int read_valued(char option, const char *value, struct request *request)
{
    if (value == NULL) {
        fprintf(stderr, "Error: -%c argument given but not enough other arguments.\n", option);
        return NOC_EINVAL;
    }
    if (option == 'I') {
        return read_rounds(value, request);
    }
    if (!noc_passwd_scheme_of(value, &request->recipe.scheme)) {
        fprintf(stderr, "Error: Unknown hash type '%s'\n", value);
        return NOC_EINVAL;
    }
    return NOC_OK;
}

/* *ret_next: the first word that is no option. */
static int read_options(int argc, char **argv, struct request *request, int *ret_next)
{
    int i = 1, err = NOC_OK;

    for (; i < argc && err == NOC_OK; i++) {
        const char *word = argv[i];

        if (strcmp(word, "-h") == 0 || strcmp(word, "--help") == 0) {
            return print_usage();
        }
        if (strcmp(word, "-H") == 0 || strcmp(word, "-I") == 0) {
            err = read_valued(word[1], argv[i + 1], request);
            i++;
        } else if (strcmp(word, "-b") == 0) {
            request->is_batch = true;
        } else if (strcmp(word, "-c") == 0) {
            request->is_new = true;
        } else if (strcmp(word, "-D") == 0) {
            request->is_delete = true;
        } else if (strcmp(word, "-U") == 0) {
            request->is_update = true;
        } else {
            break;
        }
    }
    *ret_next = i;
    return err;
}

static int check_together(const struct request *request)
{
    if (request->is_new && request->is_delete) {
        return refuse("-c and -D cannot be used together.");
    }
    if (request->is_new && request->is_update) {
        return refuse("-c and -U cannot be used together.");
    }
    if (request->is_delete && request->is_update) {
        return refuse("-D and -U cannot be used together.");
    }
    if (request->is_delete && request->is_batch) {
        return refuse("-b and -D cannot be used together.");
    }
    return NOC_OK;
}

/* What stands behind the options; with -c and -D more words than needed are not looked at. */
static int read_words(int count, char **words, struct request *request)
{
    int needed = request->is_update ? 1 : request->is_batch ? 3 : 2;

    if (request->is_new && count < needed) {
        return refuse(request->is_batch
                          ? "-c argument given but password file, username, or password missing."
                          : "-c argument given but password file or username missing.");
    }
    if (request->is_delete && count < needed) {
        return refuse("-D argument given but password file or username missing.");
    }
    if (request->is_update && count != needed) {
        return refuse("-U argument given but password file missing.");
    }
    if (!request->is_new && !request->is_delete && count != needed) {
        return print_usage();
    }
    request->path = words[0];
    request->user = needed > 1 ? words[1] : NULL;
    if (needed > 2) {
        request->password = noc_passwd_hide(words[2]);
        if (request->password == NULL) {
            return refuse("Out of memory.");
        }
    }
    return NOC_OK;
}

/* Mosquitto's checks and texts first, then what it lets through and no broker can use. */
static int check_user(const struct request *request)
{
    struct noc_slice user = noc_slice_of(request->user);
    const char *fault;

    if (user.n > NAME_MAX_BYTES) {
        return refuse("Username must be less than 65536 characters long.");
    }
    for (size_t i = 0; i < user.n; i++) {
        if (iscntrl((unsigned char)user.at[i])) {
            return refuse("Username must not contain control characters.");
        }
    }
    if (user.n > 0 && memchr(user.at, ':', user.n) != NULL) {
        return refuse("Username must not contain the ':' character.");
    }
    fault = request->is_delete ? NULL : noc_passwd_name_fault(user);
    if (fault != NULL) {
        fprintf(stderr, "Error: The username cannot be used: %s.\n", fault);
        return NOC_EINVAL;
    }
    if (request->password != NULL && strlen(request->password) > NOC_ASK_PASSWORD_MAX) {
        return refuse("Password must be less than 65536 characters long.");
    }
    return NOC_OK;
}

static int read_command_line(int argc, char **argv, struct request *request)
{
    int next = 1;
    int err = argc == 1 ? print_usage() : read_options(argc, argv, request, &next);

    if (err == NOC_OK) {
        err = check_together(request);
    }
    if (err == NOC_OK) {
        err = read_words(argc - next, argv + next, request);
    }
    if (err == NOC_OK && !request->is_update) {
        err = check_user(request);
    }
    return err;
}

/* ---- files ---- */

static void explain(const struct request *request, const struct noc_passwd_file *file)
{
    char text[PATH_MAX + 512];

    if (file->step == NOC_PASSWD_RESOLVE) {
        fprintf(stderr, "Error reading password file: %s\n", strerror(file->error));
    } else if (file->step == NOC_PASSWD_OPEN && file->error != 0) {
        fprintf(stderr,
            request->is_new ? "Error: Unable to open file %s for writing. %s.\n"
                            : "Error: Unable to open password file %s. %s.\n",
            file->path, strerror(file->error));
    } else {
        noc_passwd_file_explain(file, text, sizeof text);
        fprintf(stderr, "Error: %s.\n", text);
    }
}

static void tell(const struct request *request, size_t lines)
{
    if (request->is_2_1 && !request->is_delete && !request->is_update) {
        printf("%s password for user %s\n", lines == 0 ? "Adding" : "Updating", request->user);
    }
}

static int change_text(const struct request *request, struct noc_slice text,
    const struct noc_passwd_change *change, struct noc_passwd_changed *ret_changed)
{
    struct noc_passwd_fault fault = {0};
    int err = noc_passwd_text_change(text, change, &fault, ret_changed);

    if (err == NOC_EMALFORMED) {
        fprintf(stderr, "Error: Corrupt password file at line %zu.\n", fault.line);
    } else if (err < 0) {
        fprintf(stderr, "Error: %s.\n",
            err == NOC_ENOMEM ? "Out of memory" : "Unable to hash password");
    }
    if (request->is_delete && ret_changed->lines == 0) {
        fprintf(stderr, "Warning: User %s not found in password file.\n", request->user);
        err = err < 0 ? err : NOC_ENOENT;
    }
    return err;
}

static int change_file(const struct request *request, const struct noc_passwd_change *change)
{
    const struct noc_passwd_options options = {.path = request->path, .is_new = request->is_new};
    struct noc_passwd_file file;
    struct noc_passwd_changed changed = {0};
    int err = noc_passwd_file_open(&file, &options);

    if (err < 0) {
        explain(request, &file);
        goto close_file;
    }
    err = change_text(request, file.text, change, &changed);
    if (err == NOC_OK) {
        err = noc_passwd_file_replace(&file, changed.text);
        if (err < 0) {
            explain(request, &file);
        } else {
            tell(request, changed.lines);
        }
    }
    noc_text_file_free(changed.text);

close_file:
    noc_passwd_file_done(&file);
    return err;
}

/* Before the password is asked for, as Mosquitto does, but for -c. */
static int probe_file(const struct request *request)
{
    const struct noc_passwd_options options = {.path = request->path};
    struct noc_passwd_file file;
    int err = noc_passwd_file_probe(&file, &options);

    if (err < 0) {
        explain(request, &file);
    }
    noc_passwd_file_done(&file);
    return err;
}

/* ---- passwords ---- */

/* The exit status, 0 for a good password. */
static int ask(struct noc_ask_password *ret_password)
{
    static const struct noc_ask twice_template = {
        .first = "Password: ", .second = "Reenter password: "};
    struct noc_ask twice = twice_template;

    twice.prompts = stdout;
    switch (noc_ask_password(&twice, ret_password)) {
    case NOC_ASK_GOOD:
        return 0;
    case NOC_ASK_EMPTY:
        (void)refuse("Empty password.");
        return 1;
    case NOC_ASK_DIFFERENT:
        (void)refuse("Passwords do not match.");
        return 2;
    case NOC_ASK_TOO_LONG:
        (void)refuse("Password must be less than 65536 characters long.");
        return 1;
    case NOC_ASK_ZERO_BYTE:
        (void)refuse("Password must not contain a zero byte.");
        return 1;
    case NOC_ASK_BROKEN:
        fprintf(stderr, "Error: Unable to read the password. %s.\n", strerror(errno));
        return 1;
    }
    return 1;
}

static int set_password(const struct request *request, struct noc_slice password)
{
    char hash[NOC_PASSWORD_TEXT_MAX];
    struct noc_passwd_change change = {.action = NOC_PASSWD_SET};
    int err = noc_password_hash_make(password, &request->recipe, hash);

    if (err < 0) {
        return refuse("Unable to hash password.");
    }
    if (request->is_2_1 && request->is_new && strcmp(request->path, "-") == 0) {
        return printf("%s:%s\n", request->user, hash) < 0 ? NOC_EIO : NOC_OK;
    }
    change.user = noc_slice_of(request->user);
    change.hash = noc_slice_of(hash);
    return change_file(request, &change);
}

static int ask_and_set(const struct request *request)
{
    struct noc_ask_password *password;
    int status = request->is_new || probe_file(request) == NOC_OK ? 0 : 1;

    if (status != 0) {
        return status;
    }
    password = malloc(sizeof *password);
    if (password == NULL) {
        (void)refuse("Out of memory.");
        return 1;
    }
    status = ask(password);
    if (status == 0) {
        status = set_password(request, noc_slice(password->bytes, password->n)) == NOC_OK ? 0 : 1;
    }
    explicit_bzero(password, sizeof *password);
    free(password);
    return status;
}

static int run(const struct request *request)
{
    struct noc_passwd_change change = {.recipe = &request->recipe};
    int err;

    if (request->is_delete || request->is_update) {
        change.action = request->is_delete ? NOC_PASSWD_DELETE : NOC_PASSWD_HASH_PLAIN;
        change.user = noc_slice_of(request->user);
        err = change_file(request, &change);
    } else if (request->is_batch) {
        err = set_password(request, noc_slice_of(request->password));
    } else {
        return ask_and_set(request);
    }
    return err == NOC_OK ? 0 : 1;
}

int noc_cli_mosquitto_passwd(int argc, char **argv)
{
    const char *compatibility = getenv("NOCTULE_COMPATIBILITY");
    struct request request = {.recipe = {.scheme = NOC_PASSWORD_PBKDF2}};
    int status;

    if (compatibility != NULL && strcmp(compatibility, "2.1") == 0) {
        request.is_2_1 = true;
        request.recipe.rounds = ROUNDS_2_1;
        request.recipe.salt_n = SALT_2_1;
    } else if (compatibility != NULL && compatibility[0] != '\0' &&
               strcmp(compatibility, "2.0") != 0) {
        fprintf(stderr,
            "Error: The environment variable NOCTULE_COMPATIBILITY is '%s'. Use 2.0 or 2.1.\n",
            compatibility);
        return 1;
    }
    status = read_command_line(argc, argv, &request) == NOC_OK ? run(&request) : 1;
    noc_passwd_forget(request.password);
    /* Where there is no standard output at all, nobody is to be told; a line for it is lost. */
    if (fflush(stdout) != 0 &&
        (errno != EBADF || (request.path != NULL && strcmp(request.path, "-") == 0))) {
        fprintf(stderr, "Error: Unable to write. %s.\n", strerror(errno));
        status = 1;
    }
    return status;
}
