/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `noctule passwd`: password files, and lines for them.
 *
 *   passwd [OPTION...] FILE USER          as mosquitto_passwd
 *   passwd [OPTION...] WORD [OPTION...]   hash, check, list or del
 *
 * The first word that is no option is one of the four, or a file; a file of such a name is
 * reached as ./hash or after `--`. Options stand before FILE, so what follows may begin with '-'.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auth/text_file.h"
#include "base/macros.h"
#include "cli/commands.h"
#include "cli/passwd.h"
#include "cli/passwd_ask.h"
#include "cli/passwd_file.h"
#include "cli/passwd_text.h"
#include <noctule/error.h>

struct request {
    bool is_new, is_delete, is_update, is_batch, as_json, wants_help;
    bool has_rounds, has_scheme;
    struct noc_password_recipe recipe;
    char **words; /* what is no option */
    char *secret; /* the last of them, with -b */
    int count;
};

struct subcommand {
    const char *name;
    const char *options; /* letters of those that it takes */
    int least, most;     /* words, without the password of -b */
    int (*run)(const struct request *request);
};

static const char usage[] =
    "Usage: noctule passwd [OPTION...] FILE USER         set USER's password in FILE\n"
    "       noctule passwd -b [OPTION...] FILE USER PASSWORD\n"
    "       noctule passwd -D FILE USER                  delete USER\n"
    "       noctule passwd -U FILE                       hash what is plain text\n"
    "       noctule passwd hash [-H KIND] [-I COUNT] [-b] USER [PASSWORD]\n"
    "       noctule passwd check [-b] FILE [USER [PASSWORD]]\n"
    "       noctule passwd list [--json] FILE\n"
    "       noctule passwd del FILE USER\n"
    "\n"
    "The password is asked for twice on a terminal; otherwise it is the first line of\n"
    "standard input. A FILE is replaced as a whole, or stays as it was.\n"
    "\n"
    "  hash           no file: print USER's line for a password file\n"
    "  check          whether the broker can use each line of FILE; with USER, whether\n"
    "                 the password is right\n"
    "  list           the users, and how strong each hash is\n"
    "  del            the same as -D\n"
    "\n"
    "  -c             make FILE; one that is there is replaced. FILE may be - for\n"
    "                 standard output\n"
    "  -b             the password is the last word: others on this machine may see it\n"
    "  -D             delete USER\n"
    "  -U             hash what is plain text in FILE; hashes stay as they are\n"
    "  -H KIND        sha512-pbkdf2 (the default), argon2id or sha512\n"
    "  -I COUNT       iterations of sha512-pbkdf2 (default: 210000)\n"
    "  --json         for programs\n"
    "  --help         this text\n"
    "\n"
    "Options stand before FILE. A file named like one of the four words: ./hash, or\n"
    "behind `--`. Status: 0 yes or done, 1 no, 2 trouble.\n";

static const struct {
    const char *name;
    enum noc_password_scheme scheme;
} schemes[] = {
    {"sha512-pbkdf2", NOC_PASSWORD_PBKDF2},
    {"argon2id", NOC_PASSWORD_ARGON2ID},
    {"sha512", NOC_PASSWORD_SHA512},
};

bool noc_passwd_scheme_of(const char *word, enum noc_password_scheme *ret_scheme)
{
    for (size_t i = 0; i < NOC_COUNT(schemes); i++) {
        if (strcmp(schemes[i].name, word) == 0) {
            *ret_scheme = schemes[i].scheme;
            return true;
        }
    }
    return false;
}

const char *noc_passwd_scheme_name(enum noc_password_scheme scheme)
{
    for (size_t i = 0; i < NOC_COUNT(schemes); i++) {
        if (schemes[i].scheme == scheme) {
            return schemes[i].name;
        }
    }
    return "none";
}

/* One line that begins with the command's name. Its result is that of wrong use. */
static int NOC_PRINTF(1, 2) refuse(const char *format, ...)
{
    va_list arguments;

    fputs("noctule passwd: ", stderr);
    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    (void)fputc('\n', stderr);
    return NOC_PASSWD_TROUBLE;
}

/* ---- passwords ---- */

static bool explain_answer(enum noc_ask_answer answer)
{
    switch (answer) {
    case NOC_ASK_GOOD:
        return true;
    case NOC_ASK_EMPTY:
        (void)refuse("the password is empty, and nobody gets in with an empty one");
        break;
    case NOC_ASK_DIFFERENT:
        (void)refuse("the two passwords differ");
        break;
    case NOC_ASK_TOO_LONG:
        (void)refuse("a password has at most %d bytes in MQTT", NOC_ASK_PASSWORD_MAX);
        break;
    case NOC_ASK_ZERO_BYTE:
        (void)refuse("there is a zero byte in the password");
        break;
    case NOC_ASK_BROKEN:
        (void)refuse("cannot read the password: %s", strerror(errno));
        break;
    }
    return false;
}

char *noc_passwd_hide(char *word)
{
    char *copy = strdup(word);

    memset(word, '*', strlen(word));
    return copy;
}

void noc_passwd_forget(char *secret)
{
    if (secret != NULL) {
        explicit_bzero(secret, strlen(secret));
        free(secret);
    }
}

bool noc_passwd_take_password(
    const char *argument, bool ask_twice, struct noc_ask_password *ret_password)
{
    struct noc_ask ask = {.first = "Password: "};
    size_t n = argument == NULL ? 0 : strlen(argument);

    if (argument == NULL) {
        if (isatty(STDIN_FILENO)) {
            ask.prompts = stderr;
            ask.second = ask_twice ? "Once more: " : NULL;
        }
        return explain_answer(noc_ask_password(&ask, ret_password));
    }
    if (n == 0 || n > NOC_ASK_PASSWORD_MAX) {
        return explain_answer(n == 0 ? NOC_ASK_EMPTY : NOC_ASK_TOO_LONG);
    }
    memcpy(ret_password->bytes, argument, n);
    ret_password->n = n;
    return true;
}

/* Take a password and hash it. False: has said why. */
static bool make_hash(
    const struct request *request, const char *argument, char ret_hash[NOC_PASSWORD_TEXT_MAX])
{
    struct noc_ask_password *password = malloc(sizeof *password);
    int err = NOC_ENOMEM;
    bool is_good = password != NULL;

    if (is_good) {
        is_good = noc_passwd_take_password(argument, true, password);
        err = is_good ? noc_password_hash_make(
                            noc_slice(password->bytes, password->n), &request->recipe, ret_hash)
                      : NOC_OK;
        explicit_bzero(password, sizeof *password);
        free(password);
    }
    if (err < 0) {
        (void)refuse("cannot hash the password: %s", noc_error_text(err));
    }
    return is_good && err == NOC_OK;
}

static bool is_good_name(const char *user)
{
    const char *fault = noc_passwd_name_fault(noc_slice_of(user));

    if (fault != NULL) {
        (void)refuse("this can't be a user's name: %s", fault);
    }
    return fault == NULL;
}

/* ---- changing a file ---- */

static int explain(const struct noc_passwd_file *file)
{
    char text[PATH_MAX + 512];

    noc_passwd_file_explain(file, text, sizeof text);
    return refuse("%s", text);
}

static int change_text(const char *path, struct noc_slice text,
    const struct noc_passwd_change *change, struct noc_passwd_changed *ret_changed)
{
    struct noc_passwd_fault fault = {0};
    int err = noc_passwd_text_change(text, change, &fault, ret_changed);

    if (err == NOC_EMALFORMED) {
        return refuse("%s:%zu: %s; nothing was changed (remedy: correct the line or take it out; "
                      "`noctule passwd check` names all such lines)",
            path, fault.line, fault.cause);
    }
    if (err < 0) {
        return refuse("%s: nothing was changed: %s", path, noc_error_text(err));
    }
    if (change->action == NOC_PASSWD_DELETE && ret_changed->lines == 0) {
        (void)refuse("%s: there is no user '%.*s'", path, NOC_SLICE_ARG(change->user));
        return NOC_PASSWD_NO;
    }
    return NOC_PASSWD_YES;
}

static int change_file(const char *path, bool is_new, const struct noc_passwd_change *change)
{
    const struct noc_passwd_options options = {.path = path, .is_new = is_new};
    struct noc_passwd_file file;
    struct noc_passwd_changed changed = {0};
    int status;

    if (noc_passwd_file_open(&file, &options) < 0) {
        status = explain(&file);
    } else {
        status = change_text(path, file.text, change, &changed);
        if (status == NOC_PASSWD_YES && noc_passwd_file_replace(&file, changed.text) < 0) {
            status = explain(&file);
        }
    }
    noc_text_file_free(changed.text);
    noc_passwd_file_done(&file);
    return status;
}

/* Can it be changed at all? Before a password is asked for. */
static int probe(const char *path, bool is_new)
{
    const struct noc_passwd_options options = {.path = path, .is_new = is_new};
    struct noc_passwd_file file;
    int status = noc_passwd_file_probe(&file, &options) < 0 ? explain(&file) : NOC_PASSWD_YES;

    noc_passwd_file_done(&file);
    return status;
}

static int set_password(const struct request *request)
{
    const char *path = request->words[0], *user = request->words[1];
    bool is_stdout = request->is_new && strcmp(path, "-") == 0;
    struct noc_passwd_change change = {.action = NOC_PASSWD_SET, .user = noc_slice_of(user)};
    char hash[NOC_PASSWORD_TEXT_MAX];
    int status = NOC_PASSWD_YES;

    if (!is_good_name(user)) {
        return NOC_PASSWD_TROUBLE;
    }
    if (!is_stdout) {
        status = probe(path, request->is_new);
    }
    if (status != NOC_PASSWD_YES) {
        return status;
    }
    if (!make_hash(request, request->is_batch ? request->words[2] : NULL, hash)) {
        return NOC_PASSWD_TROUBLE;
    }
    if (is_stdout) {
        printf("%s:%s\n", user, hash);
        return NOC_PASSWD_YES;
    }
    change.hash = noc_slice_of(hash);
    return change_file(path, request->is_new, &change);
}

static int run_del(const struct request *request)
{
    const struct noc_passwd_change change = {
        .action = NOC_PASSWD_DELETE, .user = noc_slice_of(request->words[1])};

    return change_file(request->words[0], false, &change);
}

static int run_update(const struct request *request)
{
    const struct noc_passwd_change change = {
        .action = NOC_PASSWD_HASH_PLAIN, .recipe = &request->recipe};

    return change_file(request->words[0], false, &change);
}

/* ---- the words ---- */

static int run_hash(const struct request *request)
{
    char hash[NOC_PASSWORD_TEXT_MAX];

    if (!is_good_name(request->words[0]) ||
        !make_hash(request, request->is_batch ? request->words[1] : NULL, hash)) {
        return NOC_PASSWD_TROUBLE;
    }
    printf("%s:%s\n", request->words[0], hash);
    return NOC_PASSWD_YES;
}

static int run_check(const struct request *request)
{
    if (request->is_batch) {
        return noc_passwd_check_user(request->words[0], request->words[1], request->words[2]);
    }
    return request->count == 1 ? noc_passwd_check_file(request->words[0])
                               : noc_passwd_check_user(request->words[0], request->words[1], NULL);
}

static int run_list(const struct request *request)
{
    return noc_passwd_list(request->words[0], request->as_json);
}

static const struct subcommand subcommands[] = {
    {"hash", "bHI", 1, 1, run_hash},
    {"check", "b", 1, 2, run_check},
    {"list", "j", 1, 1, run_list},
    {"del", "", 2, 2, run_del},
};

/* Mosquitto's forms, told apart by their options. */
static const struct subcommand forms[] = {
    {"-D", "D", 2, 2, run_del},
    {"-U", "UHI", 1, 1, run_update},
    {"", "cbHI", 2, 2, set_password},
};

/* ---- the command line ---- */

static int read_rounds(const char *word, struct request *request)
{
    char *end;
    long value = strtol(word, &end, 10);

    if (*end != '\0' || word[0] < '0' || word[0] > '9' || value < 1 ||
        value > NOC_PASSWORD_ROUNDS_MAX) {
        return refuse("-I takes a number from 1 to %d, not '%s'", NOC_PASSWORD_ROUNDS_MAX, word);
    }
    request->recipe.rounds = (uint32_t)value;
    return NOC_PASSWD_YES;
}

static int read_scheme(const char *word, struct request *request)
{
    if (!noc_passwd_scheme_of(word, &request->recipe.scheme)) {
        return refuse("-H takes sha512-pbkdf2, argon2id or sha512, not '%s'", word);
    }
    return NOC_PASSWD_YES;
}

static int read_option(int option, struct request *request)
{
    switch (option) {
    case 'c':
        request->is_new = true;
        return NOC_PASSWD_YES;
    case 'D':
        request->is_delete = true;
        return NOC_PASSWD_YES;
    case 'U':
        request->is_update = true;
        return NOC_PASSWD_YES;
    case 'b':
        request->is_batch = true;
        return NOC_PASSWD_YES;
    case 'j':
        request->as_json = true;
        return NOC_PASSWD_YES;
    case 'h':
        request->wants_help = true;
        return NOC_PASSWD_YES;
    case 'H':
        request->has_scheme = true;
        return read_scheme(optarg, request);
    case 'I':
        request->has_rounds = true;
        return read_rounds(optarg, request);
    default:
        return NOC_PASSWD_TROUBLE; /* getopt has said why */
    }
}

/* Up to the first word that is none, or with permute over all words. Moves optind on. */
static int read_options(int argc, char **argv, bool permute, struct request *request)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int option, status = NOC_PASSWD_YES;

    while (status == NOC_PASSWD_YES && !request->wants_help &&
           (option = getopt_long(
                argc, argv, permute ? "cDUbH:I:h" : "+cDUbH:I:h", options, NULL)) != -1) {
        status = read_option(option, request);
    }
    return status;
}

/* An option that was given and that the form does not take, or '\0'. */
static char find_foreign(const struct request *request, const char *taken)
{
    const struct {
        bool is_given;
        char letter;
    } given[] = {
        {request->is_new, 'c'},
        {request->is_delete, 'D'},
        {request->is_update, 'U'},
        {request->is_batch, 'b'},
        {request->has_scheme, 'H'},
        {request->has_rounds, 'I'},
        {request->as_json, 'j'},
    };

    for (size_t i = 0; i < NOC_COUNT(given); i++) {
        if (given[i].is_given && strchr(taken, given[i].letter) == NULL) {
            return given[i].letter;
        }
    }
    return '\0';
}

/* Do the options and the number of words fit what was asked for? */
static int check_request(const struct request *request, const struct subcommand *form, bool is_word)
{
    char foreign = find_foreign(request, form->options);
    /* The password goes with a user: `check -b` is then not about the whole file. */
    int least = request->is_batch ? form->most + 1 : form->least;
    int most = request->is_batch ? form->most + 1 : form->most;
    const char *name = form->name[0] == '\0' ? "FILE USER" : form->name;

    if (foreign != '\0') {
        const char option[] = {'-', foreign, '\0'};

        return refuse("%s does not go with %s%s", foreign == 'j' ? "--json" : option, name,
            is_word ? " (for a file of that name write ./ before it)" : "");
    }
    if (request->has_rounds && request->recipe.scheme != NOC_PASSWORD_PBKDF2) {
        return refuse("-I goes with sha512-pbkdf2 only");
    }
    if (request->count < least && form->name[0] == '\0') {
        return refuse("%s are needed; see `noctule passwd --help`",
            request->is_batch ? "a file, a user and a password" : "a file and a user");
    }
    if (request->count < least) {
        return refuse("words are missing behind '%s'; see `noctule passwd --help`", name);
    }
    if (request->count > most) {
        return refuse(
            "'%s' is one word too many; see `noctule passwd --help`", request->words[most]);
    }
    return NOC_PASSWD_YES;
}

/* What was asked for fits: do it. */
static int run_checked(const struct subcommand *form, struct request *request)
{
    if (request->is_batch) {
        request->secret = noc_passwd_hide(request->words[request->count - 1]);
        if (request->secret == NULL) {
            return refuse("out of memory");
        }
        request->words[request->count - 1] = request->secret;
    }
    return form->run(request);
}

static const struct subcommand *find_subcommand(const char *word)
{
    for (size_t i = 0; i < NOC_COUNT(subcommands); i++) {
        if (strcmp(subcommands[i].name, word) == 0) {
            return &subcommands[i];
        }
    }
    return NULL;
}

static int run_form(struct request *request)
{
    const struct subcommand *form = &forms[request->is_delete ? 0 : request->is_update ? 1 : 2];
    int status = check_request(request, form, false);

    return status == NOC_PASSWD_YES ? run_checked(form, request) : status;
}

/* argv[optind] is the subcommand's word. */
static int run_subcommand(
    int argc, char **argv, const struct subcommand *subcommand, struct request *request)
{
    /* Where no password can follow, options may stand behind the words, too. */
    bool permute = strchr(subcommand->options, 'b') == NULL;
    int status;

    argc -= optind;
    argv += optind;
    optind = 0; /* from the start again, in another array */
    status = read_options(argc, argv, permute, request);
    request->words = argv + optind;
    request->count = argc - optind;
    if (status != NOC_PASSWD_YES || request->wants_help) {
        return status;
    }
    status = check_request(request, subcommand, true);
    return status == NOC_PASSWD_YES ? run_checked(subcommand, request) : status;
}

static int run(int argc, char **argv, struct request *request)
{
    const struct subcommand *subcommand = NULL;
    int status = read_options(argc, argv, false, request);

    if (status != NOC_PASSWD_YES || request->wants_help) {
        return status;
    }
    if (optind == argc) {
        return refuse("a file and a user are needed; see `noctule passwd --help`");
    }
    if (strcmp(argv[optind - 1], "--") != 0) {
        subcommand = find_subcommand(argv[optind]);
    }
    if (subcommand != NULL) {
        return run_subcommand(argc, argv, subcommand, request);
    }
    request->words = argv + optind;
    request->count = argc - optind;
    return run_form(request);
}

static bool is_mosquitto_name(const char *program)
{
    const char *slash = strrchr(program, '/');

    return strcmp(slash == NULL ? program : slash + 1, "mosquitto_passwd") == 0;
}

int noc_cli_passwd(int argc, char **argv)
{
    struct request request = {
        .recipe = {.scheme = NOC_PASSWORD_PBKDF2, .rounds = NOC_PASSWORD_ROUNDS_ADVISED}};
    int status;

    (void)signal(SIGXFSZ, SIG_IGN); /* a file at its limit is an error that is told */
    if (is_mosquitto_name(argv[0])) {
        return noc_cli_mosquitto_passwd(argc, argv);
    }
    status = run(argc, argv, &request);
    noc_passwd_forget(request.secret);
    if (status == NOC_PASSWD_YES && request.wants_help) {
        fputs(usage, stdout);
    }
    if (fflush(stdout) != 0) {
        status = refuse("cannot write: %s", strerror(errno));
    }
    return status;
}
