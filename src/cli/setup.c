/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `noctule setup DIR`: a broker that is safe to start, in one step.
 *
 *   DIR is not there   make it: noctule.conf, passwd (the hash of one random
 *                      password), and print how to connect
 *   DIR is there       touch nothing; check that its ports are free, and name
 *                      who holds them if not. Another port is not taken then:
 *                      clients know the old one, and the holder may be this
 *                      very broker, started twice
 *
 * The folder is filled under a temporary name beside DIR and renamed as the last
 * step, so an interrupted run leaves no half of it. The password is in memory
 * and on the terminal only.
 */
#define _GNU_SOURCE
#include "auth/password_hash.h"
#include "base/macros.h"
#include "cli/commands.h"
#include "cli/quickstart.h"
#include "net/listen.h"
#include "net/port_holder.h"
#include <noctule/error.h>

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    PASSWORD_LENGTH = 20, /* of 57 letters each: 116 bits */
    USER_LENGTH_MAX = 64,
    PORTS_TO_TRY = 100,
    DEFAULT_MQTT_PORT = 1883,
    DEFAULT_WS_PORT = 9001,
};

struct setup {
    const char *dir; /* as the user wrote it, slashes at the end taken off */
    const char *user;
    bool print_only;
    uint16_t mqtt_port; /* on entry the first to try, then the one taken */
    uint16_t ws_port;
    char absolute[PATH_MAX];            /* dir, from the root on */
    char password[PASSWORD_LENGTH + 1]; /* wiped when it has been shown */
};

static const char usage[] =
    "Usage: noctule setup [OPTION...] DIR\n"
    "\n"
    "If DIR does not exist, make it: a configuration (noctule.conf) with MQTT and\n"
    "WebSocket listeners on loopback that let nobody in without a password, and one\n"
    "user with a random password, shown once. A port that is taken is named with its\n"
    "holder, and the next free one is used. If DIR exists, change nothing and check\n"
    "that its ports are free; if one is taken, name its holder and fail, since clients\n"
    "know the port by then.\n"
    "\n"
    "  --user NAME            the user's name (default: noctule)\n"
    "  --port PORT            first MQTT port to try (default: 1883)\n"
    "  --websocket-port PORT  first WebSocket port to try (default: 9001)\n"
    "  --print-only           only print again how clients connect to an existing DIR\n"
    "  --help                 this text\n";

/* ---- ports ---- */

/* Whether a listener could open there now. host NULL: all addresses. */
static int try_port(const char *host, uint16_t port)
{
    struct noc_listen_options options = {.host = host, .port = port};
    struct noc_listen_sockets sockets;
    char error[128];
    int err = noc_listen_open(&options, &sockets, error, sizeof(error));

    if (err == NOC_OK) {
        noc_listen_close(&sockets);
    }
    return err;
}

/*
 * Take the first free port from *port on that is not `avoid`; tell who holds
 * the wanted one if it is not that. *port is 0 on failure, which has been told.
 */
static int choose_port(uint16_t avoid, uint16_t *port)
{
    const uint16_t wanted = *port;
    unsigned candidate = wanted;
    struct noc_port_holder holder;

    while (candidate == avoid || try_port("localhost", (uint16_t)candidate) != NOC_OK) {
        candidate++;
        if (candidate > UINT16_MAX || candidate >= (unsigned)wanted + PORTS_TO_TRY) {
            fprintf(stderr, "noctule setup: no free port from %u to %u on loopback\n",
                (unsigned)wanted, candidate - 1);
            return NOC_EFULL;
        }
    }
    if (candidate != wanted && wanted != avoid) {
        (void)noc_port_holder_find(wanted, &holder);
        printf("Port %u is held by %s, so this broker takes %u.\n", (unsigned)wanted, holder.text,
            candidate);
    }
    *port = (uint16_t)candidate;
    return NOC_OK;
}

/* ---- a new folder ---- */

/* Letters that are not mistaken for one another and need no quoting anywhere. */
static const char password_letters[] = "23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

static int make_password(char *password)
{
    const unsigned letters = sizeof(password_letters) - 1;
    const unsigned fair = 256 - 256 % letters; /* a byte from here on would favour some letters */
    unsigned n = 0;

    while (n < PASSWORD_LENGTH) {
        uint8_t byte;

        if (getrandom(&byte, 1, 0) != 1) {
            return NOC_EIO;
        }
        if (byte < fair) {
            password[n++] = password_letters[byte % letters];
        }
    }
    password[n] = '\0';
    return NOC_OK;
}

/* A new file that only its owner may read. Returns NULL, and has said why, on failure. */
static FILE *create_file(int dir_fd, const char *name)
{
    int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");

    if (file == NULL) {
        fprintf(stderr, "noctule setup: cannot create '%s': %s\n", name, strerror(errno));
        if (fd >= 0) {
            (void)close(fd);
        }
    }
    return file;
}

static int finish_file(FILE *file, const char *name)
{
    bool is_good = ferror(file) == 0 && fflush(file) == 0 && fsync(fileno(file)) == 0;

    if (fclose(file) != 0 || !is_good) {
        fprintf(stderr, "noctule setup: cannot write '%s': %s\n", name, strerror(errno));
        return NOC_EIO;
    }
    return NOC_OK;
}

static int write_passwd(const struct setup *setup, int dir_fd)
{
    char hash[NOC_PASSWORD_TEXT_MAX];
    /* Such a password can't be guessed, so few rounds do, and a login costs little. */
    const struct noc_password_recipe recipe = {.rounds = NOC_PASSWORD_ROUNDS};
    int err = noc_password_hash_make(noc_slice_of(setup->password), &recipe, hash);
    FILE *file;

    if (err < 0) {
        fprintf(stderr, "noctule setup: cannot hash the password: %s\n", noc_error_text(err));
        return err;
    }
    file = create_file(dir_fd, "passwd");
    if (file == NULL) {
        return NOC_EIO;
    }
    fprintf(file, "%s:%s\n", setup->user, hash);
    return finish_file(file, "passwd");
}

static int write_config(const struct setup *setup, int dir_fd)
{
    const size_t socket_path = strlen(setup->absolute) + sizeof("/control.sock");
    FILE *file = create_file(dir_fd, "noctule.conf");

    if (file == NULL) {
        return NOC_EIO;
    }
    fprintf(file,
        "# Made by `noctule setup`. Nobody gets in without a user of the password file,\n"
        "# and only this machine can connect: take `localhost` off a listener line to\n"
        "# listen on all addresses.\n"
        "allow_anonymous false\n"
        "password_file %s/passwd\n"
        "log_dest stderr\n"
        "\n"
        "# Sessions, queues and retained messages survive a crash: noctule.db in this folder.\n"
        "persistence true\n"
        "persistence_location %s/\n"
        "\n",
        setup->absolute, setup->absolute);
    if (socket_path <= sizeof(((struct sockaddr_un *)NULL)->sun_path)) {
        fprintf(file, "control_socket %s/control.sock\n", setup->absolute);
    } else {
        fputs("# This folder's path is too long for a unix socket, so none is named here:\n"
              "# control_socket /run/noctule/control.sock\n",
            file);
    }
    if (geteuid() == 0) {
        fputs("# This folder belongs to root, so the broker stays root to reload from it. For\n"
              "# a service, make a user of its own, and name it here.\n"
              "user root\n",
            file);
    }
    fprintf(file,
        "\n"
        "listener %u localhost\n"
        "protocol mqtt\n"
        "\n"
        "listener %u localhost\n"
        "protocol websockets\n",
        (unsigned)setup->mqtt_port, (unsigned)setup->ws_port);
    return finish_file(file, "noctule.conf");
}

static void remove_folder(const char *path, int dir_fd)
{
    (void)unlinkat(dir_fd, "passwd", 0);
    (void)unlinkat(dir_fd, "noctule.conf", 0);
    (void)rmdir(path);
}

/* Fill a folder of a temporary name, then give it the right one. */
static int make_folder(const struct setup *setup)
{
    char path[PATH_MAX + 8];
    int dir_fd;
    int err;

    (void)snprintf(path, sizeof(path), "%s.XXXXXX", setup->absolute);
    if (mkdtemp(path) == NULL) {
        fprintf(stderr, "noctule setup: cannot create '%s': %s\n", setup->dir, strerror(errno));
        return NOC_EIO;
    }
    dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0) {
        fprintf(stderr, "noctule setup: cannot open '%s': %s\n", path, strerror(errno));
        (void)rmdir(path);
        return NOC_EIO;
    }
    err = write_passwd(setup, dir_fd);
    if (err == NOC_OK) {
        err = write_config(setup, dir_fd);
    }
    /* An empty folder is replaced; one with something in it refuses. */
    if (err == NOC_OK && rename(path, setup->absolute) != 0) {
        fprintf(stderr, "noctule setup: cannot create '%s': %s\n", setup->dir, strerror(errno));
        err = NOC_EIO;
    }
    if (err < 0) {
        remove_folder(path, dir_fd);
    }
    (void)close(dir_fd);
    return err;
}

/* Does the shell find this very program by the name alone? */
static bool is_in_path(const char *program)
{
    const char *at = getenv("PATH");
    struct stat ours, found;
    char path[PATH_MAX];

    if (at == NULL || stat(program, &ours) != 0) {
        return false;
    }
    while (*at != '\0') {
        size_t n = strcspn(at, ":");

        if (snprintf(path, sizeof(path), "%.*s/noctule", (int)n, at) < (int)sizeof(path) &&
            access(path, X_OK) == 0 && stat(path, &found) == 0) {
            return found.st_dev == ours.st_dev && found.st_ino == ours.st_ino;
        }
        at += n + (at[n] == ':');
    }
    return false;
}

/* How a shell calls this program: by its name, or by where it lies. */
static void find_program(char command[PATH_MAX + 2])
{
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

    (void)snprintf(command, PATH_MAX + 2, "noctule");
    if (n <= 0) {
        return;
    }
    path[n] = '\0';
    if (is_in_path(path) || strchr(path, '\'') != NULL) {
        return;
    }
    if (strpbrk(path, " \t\n\"\\$`&;|<>()*?[]{}!#~") == NULL) {
        (void)snprintf(command, PATH_MAX + 2, "%s", path);
    } else {
        (void)snprintf(command, PATH_MAX + 2, "'%s'", path);
    }
}

static void print_connecting(const struct setup *setup, const char *user, const char *password)
{
    char config[PATH_MAX + 16], program[PATH_MAX + 2];

    (void)snprintf(config, sizeof(config), "%s/noctule.conf", setup->dir);
    find_program(program);
    noc_quickstart_print(&(struct noc_quickstart){.user = user,
                             .password = password,
                             .program = program,
                             .config = config,
                             .mqtt_port = setup->mqtt_port,
                             .ws_port = setup->ws_port},
        stdout);
}

static int set_up_new(struct setup *setup)
{
    int err;

    err = choose_port(0, &setup->mqtt_port);
    if (err == NOC_OK) {
        err = choose_port(setup->mqtt_port, &setup->ws_port);
    }
    if (err == NOC_OK) {
        err = make_password(setup->password);
    }
    if (err == NOC_OK) {
        err = make_folder(setup);
    }
    if (err < 0) {
        return err;
    }
    printf("Made %s: the configuration noctule.conf, and passwd with one user.\n"
           "\n"
           "  user:      %s\n"
           "  password:  %s      (shown this once: only its hash is kept)\n"
           "\n"
           "This starts the broker (`make run` does it now):\n"
           "\n"
           "  %s broker -c %s/noctule.conf\n"
           "\n",
        setup->dir, setup->user, setup->password, program_invocation_name, setup->dir);
    print_connecting(setup, setup->user, setup->password);
    explicit_bzero(setup->password, sizeof(setup->password));
    return NOC_OK;
}

/* ---- a folder that is there ---- */

struct listener {
    uint16_t port; /* 0: a unix socket, or nonsense that the broker will report */
    char host[256];
    bool is_websocket;
};

/* What a line of the configuration says of listeners. Only as much of the grammar as that needs. */
static bool read_listener_line(const char *line, struct listener *ret_listener)
{
    unsigned port = 0;
    char host[256] = "";

    if (sscanf(line, "listener %u %255s", &port, host) < 1) {
        return false;
    }
    ret_listener->port = port > UINT16_MAX ? 0 : (uint16_t)port;
    /* A comment may follow the port. */
    (void)snprintf(
        ret_listener->host, sizeof(ret_listener->host), "%s", host[0] == '#' ? "" : host);
    ret_listener->is_websocket = false;
    return true;
}

/* Say who is in the way of a listener. Returns NOC_OK if nobody is. */
static int check_listener(const struct setup *setup, const struct listener *listener)
{
    const char *host = listener->host[0] == '\0' ? NULL : listener->host;
    struct noc_port_holder holder;

    if (listener->port == 0 || try_port(host, listener->port) != NOC_EEXIST) {
        return NOC_OK; /* anything else than a taken port is the broker's to report */
    }
    (void)noc_port_holder_find(listener->port, &holder);
    fprintf(stderr,
        "noctule setup: port %u is held by %s. Stop it, or choose another port in "
        "%s/noctule.conf (`listener %u ...`).\n",
        (unsigned)listener->port, holder.text, setup->dir, (unsigned)listener->port);
    return NOC_EEXIST;
}

static void note_listener(struct setup *setup, const struct listener *listener)
{
    uint16_t *port = listener->is_websocket ? &setup->ws_port : &setup->mqtt_port;

    if (*port == 0) {
        *port = listener->port;
    }
}

/*
 * Go through the configuration's listeners: check that each can open (unless
 * only printing), and keep the first MQTT and the first WebSocket port.
 */
static int read_listeners(struct setup *setup, FILE *config)
{
    struct listener listener = {0};
    uint16_t told = 0; /* the port whose holder was named last: once is enough */
    char *line = NULL;
    size_t size = 0;
    int err = NOC_OK;

    setup->mqtt_port = 0;
    setup->ws_port = 0;
    while (getline(&line, &size, config) >= 0) {
        char protocol[16];
        struct listener next;

        if (sscanf(line, "protocol %15s", protocol) == 1) {
            listener.is_websocket = strcmp(protocol, "websockets") == 0;
        } else if (read_listener_line(line, &next)) {
            note_listener(setup, &listener);
            listener = next;
            if (!setup->print_only && next.port != told && check_listener(setup, &next) < 0) {
                told = next.port;
                err = NOC_EEXIST;
            }
        }
    }
    note_listener(setup, &listener);
    free(line);
    return err;
}

/* The first user of the folder's password file, or "USER". */
static void read_user(const struct setup *setup, char *user, size_t size)
{
    char path[PATH_MAX + 16];
    FILE *file;

    (void)snprintf(user, size, "USER");
    (void)snprintf(path, sizeof(path), "%s/passwd", setup->absolute);
    file = fopen(path, "re");
    if (file == NULL) {
        return;
    }
    if (fgets(path, sizeof(path), file) != NULL && strchr(path, ':') != NULL) {
        (void)snprintf(user, size, "%.*s", (int)strcspn(path, ":"), path);
    }
    (void)fclose(file);
}

static int check_existing(struct setup *setup, FILE *config)
{
    char user[USER_LENGTH_MAX + 1];
    int err = read_listeners(setup, config);

    read_user(setup, user, sizeof(user));
    if (setup->print_only) {
        print_connecting(setup, user, "PASSWORD");
        return NOC_OK;
    }
    if (err == NOC_OK) {
        printf("%s is set up already; nothing was changed, passwords are as before.\n"
               "\n"
               "  how clients connect:  %s setup --print-only %s\n"
               "  a password is lost:   %s passwd %s/passwd %s\n"
               "\n",
            setup->dir, program_invocation_name, setup->dir, program_invocation_name, setup->dir,
            user);
    }
    return err;
}

/* ---- the command ---- */

static bool is_good_user(const char *user)
{
    size_t n = strlen(user);

    if (n == 0 || n > USER_LENGTH_MAX || user[0] == '-') {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (!isalnum((unsigned char)user[i]) && strchr("._-@", user[i]) == NULL) {
            return false;
        }
    }
    return true;
}

static int parse_port(const char *text, uint16_t *ret_port)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);

    if (!isdigit((unsigned char)text[0]) || *end != '\0' || value == 0 || value > UINT16_MAX) {
        fprintf(stderr, "noctule setup: '%s' is not a port (1 to 65535)\n", text);
        return NOC_EINVAL;
    }
    *ret_port = (uint16_t)value;
    return NOC_OK;
}

/* realpath() of the folder that holds `dir`. NULL and errno on failure. */
static char *resolve_parent(const char *dir, char *resolved)
{
    const char *slash = strrchr(dir, '/');
    char parent[PATH_MAX];

    if (slash == NULL) {
        return realpath(".", resolved);
    }
    if (slash - dir >= PATH_MAX) {
        errno = ENAMETOOLONG;
        return NULL;
    }
    (void)snprintf(parent, sizeof(parent), "%.*s/", (int)(slash - dir), dir);
    return realpath(parent, resolved);
}

/* The folder's path from the root on. Its parent must exist, itself it need not. */
static int resolve_dir(struct setup *setup, char *dir)
{
    char parent[PATH_MAX];
    const char *slash;
    int n;

    for (size_t end = strlen(dir); end > 1 && dir[end - 1] == '/'; end--) {
        dir[end - 1] = '\0';
    }
    setup->dir = dir;
    if (realpath(dir, setup->absolute) == NULL) {
        if (resolve_parent(dir, parent) == NULL) {
            fprintf(stderr, "noctule setup: cannot create '%s': %s\n", dir, strerror(errno));
            return NOC_ENOENT;
        }
        slash = strrchr(dir, '/');
        n = snprintf(setup->absolute, sizeof(setup->absolute), "%s/%s",
            strcmp(parent, "/") == 0 ? "" : parent, slash == NULL ? dir : slash + 1);
        if (n < 0 || (size_t)n >= sizeof(setup->absolute)) {
            fprintf(stderr, "noctule setup: the path of '%s' is too long\n", dir);
            return NOC_EINVAL;
        }
    }
    for (const char *at = setup->absolute; *at != '\0'; at++) {
        if (iscntrl((unsigned char)*at)) {
            fprintf(stderr, "noctule setup: a control character in the folder's path\n");
            return NOC_EINVAL;
        }
    }
    return NOC_OK;
}

/* Returns NOC_OK, or NOC_EINVAL and has said why. *ret_is_help: only the usage is wanted. */
static int parse_options(struct setup *setup, int argc, char **argv, bool *ret_is_help)
{
    static const struct option options[] = {
        {"user", required_argument, NULL, 'u'},
        {"port", required_argument, NULL, 'p'},
        {"websocket-port", required_argument, NULL, 'w'},
        {"print-only", no_argument, NULL, 'n'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int option;
    int err = NOC_OK;

    while (err == NOC_OK && (option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (option) {
        case 'u':
            setup->user = optarg;
            break;
        case 'p':
            err = parse_port(optarg, &setup->mqtt_port);
            break;
        case 'w':
            err = parse_port(optarg, &setup->ws_port);
            break;
        case 'n':
            setup->print_only = true;
            break;
        case 'h':
            *ret_is_help = true;
            return NOC_OK;
        default:
            return NOC_EINVAL; /* getopt has said why */
        }
    }
    if (err < 0) {
        return err;
    }
    if (!is_good_user(setup->user)) {
        fprintf(stderr,
            "noctule setup: a user's name is 1 to %d letters, digits and . _ - @, not '%s'\n",
            USER_LENGTH_MAX, setup->user);
        return NOC_EINVAL;
    }
    if (argc - optind != 1 || argv[optind][0] == '\0') {
        fputs("noctule setup: one folder is needed; see `noctule setup --help`\n", stderr);
        return NOC_EINVAL;
    }
    return resolve_dir(setup, argv[optind]);
}

static int run_setup(struct setup *setup)
{
    char path[PATH_MAX + 16];
    FILE *config;
    int err;

    (void)snprintf(path, sizeof(path), "%s/noctule.conf", setup->absolute);
    config = fopen(path, "re");
    if (config != NULL) {
        err = check_existing(setup, config);
        (void)fclose(config);
        return err;
    }
    if (errno != ENOENT || setup->print_only) {
        fprintf(stderr, "noctule setup: cannot open '%s': %s\n", path, strerror(errno));
        return NOC_EIO;
    }
    return set_up_new(setup);
}

int noc_cli_setup(int argc, char **argv)
{
    struct setup setup = {
        .user = "noctule", .mqtt_port = DEFAULT_MQTT_PORT, .ws_port = DEFAULT_WS_PORT};
    bool is_help = false;
    int err = parse_options(&setup, argc, argv, &is_help);

    if (err == NOC_OK && is_help) {
        fputs(usage, stdout);
    } else if (err == NOC_OK) {
        err = run_setup(&setup);
    }
    if (fflush(stdout) != 0 && err == NOC_OK) {
        fprintf(stderr, "noctule setup: cannot write: %s\n", strerror(errno));
        err = NOC_EIO;
    }
    return err == NOC_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
