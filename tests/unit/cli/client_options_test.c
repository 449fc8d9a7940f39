/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command lines of pub, sub and rr, and the settings that they become. What is
 * printed of bad ones is compared with Mosquitto's tools in tests/e2e/invocations.txt.
 */
#define _GNU_SOURCE
#include "cli/client_options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { WORDS_MAX = 64, SAID_SIZE = 8192 };

/* A command line that was read. */
struct reading {
    struct noc_client_settings settings;
    enum noc_client_outcome outcome;
    int status;
    char said[SAID_SIZE]; /* on standard error */
    char line[1024];
    char *words[WORDS_MAX];
};

/* ---- help of this file ---- */

static char folder[] = "/tmp/noctule-options-XXXXXX";

/* Standard error into a file. Returns what it was. */
static int capture(FILE *file, int fd)
{
    int kept = dup(fd);

    assert_true(kept >= 0);
    assert_int_equal(fflush(NULL), 0);
    assert_true(dup2(fileno(file), fd) >= 0);
    return kept;
}

static void release(FILE *file, int fd, int kept, char *text, size_t size)
{
    size_t n;

    assert_int_equal(fflush(NULL), 0);
    assert_true(dup2(kept, fd) >= 0);
    assert_int_equal(close(kept), 0);
    rewind(file);
    n = fread(text, 1, size - 1, file);
    text[n] = '\0';
    assert_int_equal(fclose(file), 0);
}

static void read_words(struct reading *reading, enum noc_client_tool tool, int count)
{
    static char output[1 << 16];
    FILE *errors = tmpfile(), *outputs = tmpfile();
    int kept_errors = capture(errors, STDERR_FILENO);
    int kept_outputs = capture(outputs, STDOUT_FILENO);

    reading->status = -1;
    reading->outcome =
        noc_client_settings_init(&reading->settings, tool, count, reading->words, &reading->status);
    release(outputs, STDOUT_FILENO, kept_outputs, output, sizeof(output));
    release(errors, STDERR_FILENO, kept_errors, reading->said, sizeof(reading->said));
}

/* A line of words without quotes, the program first: "mosquitto_pub -t a", "noctule_pub -t a". */
static void read_line(struct reading *reading, const char *line)
{
    enum noc_client_tool tool = strstr(line, "_pub") != NULL   ? NOC_TOOL_PUB
                                : strstr(line, "_sub") != NULL ? NOC_TOOL_SUB
                                                               : NOC_TOOL_RR;
    char *rest = reading->line;
    int count = 0;

    assert_true(strlen(line) < sizeof(reading->line));
    (void)snprintf(reading->line, sizeof(reading->line), "%s", line);
    while (rest != NULL) {
        assert_true(count < WORDS_MAX - 1);
        reading->words[count++] = strsep(&rest, " ");
    }
    reading->words[count] = NULL;
    if (strncmp(line, "noctule_", 8) == 0) {
        reading->words[0][7] = ' ';
    }
    read_words(reading, tool, count);
}

/* The settings of a good line; the caller is done() with them. */
static struct noc_client_settings *read_good(struct reading *reading, const char *line)
{
    read_line(reading, line);
    if (reading->outcome != NOC_CLIENT_RUN) {
        fail_msg("%s: %s", line, reading->said);
    }
    assert_string_equal(reading->said, "");
    return &reading->settings;
}

static void assert_bad(const char *line, const char *expected)
{
    struct reading reading;

    read_line(&reading, line);
    assert_int_equal(reading.outcome, NOC_CLIENT_EXIT);
    assert_int_equal(reading.status, 1);
    if (strstr(reading.said, expected) == NULL) {
        fail_msg("%s: '%s' and not '%s'", line, reading.said, expected);
    }
    noc_client_settings_done(&reading.settings);
}

#define assert_slice(slice, text)                         \
    do {                                                  \
        assert_int_equal((slice).n, strlen(text));        \
        assert_memory_equal((slice).at, text, (slice).n); \
    } while (0)

#define assert_props(settings, which, bytes)                                        \
    do {                                                                            \
        assert_int_equal((settings)->props[which].n, sizeof(bytes) - 1);            \
        assert_memory_equal((settings)->props[which].at, bytes, sizeof(bytes) - 1); \
    } while (0)

static const char *write_file(const char *name, const char *content)
{
    static char path[256];
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(content, file) >= 0);
    assert_int_equal(fclose(file), 0);
    return path;
}

static int begin(void **state)
{
    (void)state;
    assert_int_equal(unsetenv("NOCTULE_COMPATIBILITY"), 0);
    assert_int_equal(setenv("XDG_CONFIG_HOME", "/nowhere", 1), 0);
    return 0;
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static int remove_folder(void **state)
{
    static const char *const names[] = {"mosquitto_pub", "mosquitto_sub", "options", "payload"};

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char path[256];

        (void)snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        (void)unlink(path);
    }
    return rmdir(folder);
}

/* ---- tests ---- */

static void little_given_leaves_defaults(void **state)
{
    struct reading reading;
    const struct noc_client_settings *settings = read_good(&reading, "mosquitto_pub -t a -m b");

    (void)state;
    assert_true(settings->is_mosquitto);
    assert_string_equal(settings->program, "mosquitto_pub");
    assert_string_equal(settings->host, "localhost");
    assert_int_equal(settings->port, 1883);
    assert_false(settings->is_port_given || settings->is_transport_given || settings->is_unix);
    assert_false(settings->tls.is_on || settings->is_ws || settings->no_delay);
    assert_null(settings->proxy.host);
    assert_string_equal(settings->ws_path, "/mqtt");
    assert_int_equal(settings->version, 4);
    assert_int_equal(settings->client_id.n, 0);
    assert_true(settings->is_clean);
    assert_int_equal(settings->keep_alive_s, 60);
    assert_null(settings->user.at);
    assert_null(settings->password.at);
    assert_false(settings->will.is_set);
    assert_int_equal(settings->inflight_max, 20);
    assert_int_equal(settings->receive_maximum, 20);
    assert_int_equal(settings->topics.n, 1);
    assert_string_equal(settings->topics.at[0], "a");
    assert_int_equal(settings->source, NOC_SOURCE_PAYLOAD);
    assert_slice(settings->payload, "b");
    assert_int_equal(settings->repeat_count, 1);
    assert_int_equal(settings->random_filter, 10000);
    for (size_t i = 0; i < NOC_CLIENT_PROPS_COUNT; i++) {
        assert_int_equal(settings->props[i].n, 0);
    }
    noc_client_settings_done(&reading.settings);
}

static void each_option_has_its_setting(void **state)
{
    struct reading reading;
    const struct noc_client_settings *settings;

    (void)state;
    settings = read_good(&reading,
        "mosquitto_pub -h host --port 99 -A ::1 --nodelay -u user -P word -i id -V 31 -k 5 "
        "-c -t a -t b --message text -q 2 -r --repeat 3 --repeat-delay 0.25 -M 70000 -d "
        "--quiet --will-topic w --will-payload gone --will-qos 1 --will-retain");
    assert_string_equal(settings->host, "host");
    assert_int_equal(settings->port, 99);
    assert_true(settings->is_port_given);
    assert_string_equal(settings->bind_address, "::1");
    assert_true(settings->no_delay && settings->is_debug && settings->is_quiet);
    assert_slice(settings->user, "user");
    assert_slice(settings->password, "word");
    assert_slice(settings->client_id, "id");
    assert_int_equal(settings->version, 3);
    assert_int_equal(settings->keep_alive_s, 5);
    assert_false(settings->is_clean);
    assert_int_equal(settings->topics.n, 1);
    assert_string_equal(settings->topics.at[0], "b");
    assert_slice(settings->payload, "text");
    assert_int_equal(settings->qos, 2);
    assert_true(settings->is_retained);
    assert_int_equal(settings->repeat_count, 3);
    assert_int_equal(settings->repeat_delay_us, 250000);
    assert_int_equal(settings->inflight_max, 65535);
    assert_true(settings->will.is_set && settings->will.is_retained);
    assert_slice(settings->will.topic, "w");
    assert_slice(settings->will.payload, "gone");
    assert_int_equal(settings->will.qos, 1);
    noc_client_settings_done(&reading.settings);
}

static void each_option_of_sub_and_rr_has_its_setting(void **state)
{
    struct reading reading;
    const struct noc_client_settings *settings;

    (void)state;
    settings = read_good(&reading,
        "mosquitto_sub -t a -t b -T c -U d -C 3 -E -W 7 --retained-only --remove-retained "
        "--retain-as-published --retain-handling new --random-filter 12.5 -v -N --pretty -w "
        "--message-rate --ws --ws-path /x?y --header A:b --header C:d --user-agent me");
    assert_int_equal(settings->topics.n, 2);
    assert_string_equal(settings->topics.at[1], "b");
    assert_string_equal(settings->filter_out.at[0], "c");
    assert_string_equal(settings->unsubscribe.at[0], "d");
    assert_int_equal(settings->message_count, 3);
    assert_int_equal(settings->receive_maximum, 3);
    assert_int_equal(settings->timeout_s, 7);
    assert_true(settings->exit_after_sub && settings->only_retained && settings->remove_retained);
    assert_true(settings->retain_as_published && settings->watch && settings->print_rate);
    assert_int_equal(settings->retain_handling, NOC_RETAIN_SEND_NEW);
    assert_int_equal(settings->random_filter, 1250);
    assert_true(settings->output.is_verbose && settings->output.no_newline);
    assert_true(settings->is_ws && settings->is_transport_given);
    assert_string_equal(settings->ws_path, "/x?y");
    assert_int_equal(settings->headers.n, 2);
    assert_string_equal(settings->headers.at[1], "C:d");
    assert_string_equal(settings->user_agent, "me");
    noc_client_settings_done(&reading.settings);

    settings = read_good(&reading, "mosquitto_rr -t a -e re -n -R --latency");
    assert_int_equal(settings->version, 5);
    assert_string_equal(settings->response_topic, "re");
    assert_int_equal(settings->payload.n, 0);
    assert_true(settings->print_latency && settings->no_delay && settings->skip_retained);
    assert_int_equal(settings->retain_handling, NOC_RETAIN_SEND_NEVER);
    assert_int_equal(settings->message_count, 1);
    assert_props(settings, NOC_CLIENT_PROPS_CONNECT, "\x21\0\x01");
    assert_props(settings, NOC_CLIENT_PROPS_PUBLISH, "\x08\0\x02re");
    noc_client_settings_done(&reading.settings);
}

static void tls_is_on_when_something_trusts(void **state)
{
    static const struct {
        const char *options;
        bool is_on;
        uint16_t port;
    } rows[] = {
        {"--cafile /dev/null", true, 8883},
        {"--capath /etc", true, 8883},
        {"--psk ab --psk-identity me", true, 8883},
        {"--tls-use-os-certs", true, 1883}, /* as in Mosquitto */
        {"--insecure", false, 1883},
        {"--cert a --key b", false, 1883},
        {"--capath /etc --no-tls", false, 1883},
        {"-p 8883", false, 8883},
    };
    struct reading reading;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char line[256];
        const struct noc_client_settings *settings;

        (void)snprintf(line, sizeof(line), "mosquitto_sub -t a %s", rows[i].options);
        settings = read_good(&reading, line);
        assert_int_equal(settings->tls.is_on, rows[i].is_on);
        assert_int_equal(settings->port, rows[i].port);
        noc_client_settings_done(&reading.settings);
    }
    assert_string_equal(
        read_good(&reading, "mosquitto_sub -t a --capath /etc --tls-version TLSv1.3")->tls.version,
        "tlsv1.3");
    noc_client_settings_done(&reading.settings);
}

static void a_url_is_taken_apart(void **state)
{
    static const struct {
        const char *options;
        const char *host, *user, *password, *topic, *path;
        uint16_t port;
        bool is_secure, is_ws;
    } rows[] = {
        {"-L mqtt://h/a", "h", NULL, NULL, "a", "/mqtt", 1883, false, false},
        {"-L mqtts://h/a/b", "h", NULL, NULL, "a/b", "/mqtt", 8883, true, false},
        {"-L MQTT://u:p@h:99/a", "h", "u", "p", "a", "/mqtt", 99, false, false},
        {"-L mqtt://u@h/a", "h", "u", NULL, "a", "/mqtt", 1883, false, false},
        {"-L mqtt://u:p:q@h/a", "h", "u", "p:q", "a", "/mqtt", 1883, false, false},
        {"-L mqtt://u:p@q@h/a", "h", "u", "p@q", "a", "/mqtt", 1883, false, false},
        {"-L mqtt://u%40:p%2f@h/a%20b", "h", "u%40", "p%2f", "a%20b", "/mqtt", 1883, false, false},
        {"-L mqtt://[::1]/a", "::1", NULL, NULL, "a", "/mqtt", 1883, false, false},
        {"-L mqtt://u:p@[fe80::1]:7/a", "fe80::1", "u", "p", "a", "/mqtt", 7, false, false},
        {"-L ws://h/a", "h", NULL, NULL, "a", "/mqtt", 80, false, true},
        {"-L wss://h/a", "h", NULL, NULL, "a", "/mqtt", 443, true, true},
        {"-L wss://h:8883/a", "h", NULL, NULL, "a", "/mqtt", 8883, true, true},
        {"-L ws://h:1883/a", "h", NULL, NULL, "a", "/mqtt", 1883, false, true},
        {"-L wss://u:p@h:443/a/b?c=d -t t", "h", "u", "p", "t", "/a/b?c=d", 443, true, true},
        {"-t t -L ws://h/a", "h", NULL, NULL, "t", "/a", 80, false, true},
        {"-t t -L ws://h/", "h", NULL, NULL, "t", "/", 80, false, true},
        {"-t t -L ws://h", "h", NULL, NULL, "t", "/mqtt", 80, false, true},
        {"-L ws://h/a --ws-path /p", "h", NULL, NULL, "a", "/p", 80, false, true},
        {"-t t -L ws://h --ws-path /p", "h", NULL, NULL, "t", "/p", 80, false, true},
        {"-L mqtt://h/a -p 5 -h i", "i", NULL, NULL, "a", "/mqtt", 5, false, false},
    };
    struct reading reading;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char line[256];
        const struct noc_client_settings *settings;

        (void)snprintf(line, sizeof(line), "mosquitto_pub -m x %s", rows[i].options);
        settings = read_good(&reading, line);
        assert_string_equal(settings->host, rows[i].host);
        assert_true(noc_slice_equal(settings->user, noc_slice_of(rows[i].user)));
        assert_int_equal(settings->user.at == NULL, rows[i].user == NULL);
        assert_true(noc_slice_equal(settings->password, noc_slice_of(rows[i].password)));
        assert_int_equal(settings->password.at == NULL, rows[i].password == NULL);
        assert_int_equal(settings->topics.n, 1);
        assert_string_equal(settings->topics.at[0], rows[i].topic);
        assert_string_equal(settings->ws_path, rows[i].path);
        assert_int_equal(settings->port, rows[i].port);
        assert_int_equal(settings->tls.is_on, rows[i].is_secure);
        assert_int_equal(settings->is_ws, rows[i].is_ws);
        assert_true(settings->is_transport_given);
        noc_client_settings_done(&reading.settings);
    }
}

static void a_proxy_is_taken_apart(void **state)
{
    struct reading reading;
    const struct noc_client_proxy *proxy;

    (void)state;
    proxy = &read_good(&reading, "mosquitto_sub -t a --proxy socks5h://p")->proxy;
    assert_string_equal(proxy->host, "p");
    assert_int_equal(proxy->port, 1080);
    assert_null(proxy->user);
    noc_client_settings_done(&reading.settings);
    proxy =
        &read_good(&reading, "mosquitto_sub -t a --proxy socks5h://u%40x:p%3a%25@[::1]:9")->proxy;
    assert_string_equal(proxy->host, "::1");
    assert_int_equal(proxy->port, 9);
    assert_string_equal(proxy->user, "u@x");
    assert_string_equal(proxy->password, "p:%");
    noc_client_settings_done(&reading.settings);
    assert_bad("mosquitto_sub --proxy socks5h://u%00@h", "Error: Invalid proxy.\n");
    assert_bad("mosquitto_sub --proxy socks5h://u%zz@h", "Error: Invalid proxy.\n");
}

static void a_unix_socket_is_port_0(void **state)
{
    struct reading reading;
    const struct noc_client_settings *settings;

    (void)state;
    settings = read_good(&reading, "mosquitto_sub -t a --unix /run/x");
    assert_true(settings->is_unix);
    assert_string_equal(settings->host, "/run/x");
    noc_client_settings_done(&reading.settings);
    settings = read_good(&reading, "mosquitto_sub -t a -h /run/x -p 0");
    assert_true(settings->is_unix);
    noc_client_settings_done(&reading.settings);
}

static void properties_are_in_wire_form(void **state)
{
    struct reading reading;
    const struct noc_client_settings *settings;

    (void)state;
    settings = read_good(&reading,
        "mosquitto_pub -t a -m b -D connect receive-maximum 7 -D Publish content-type x "
        "-D publish user-property k v -D publish correlation-data yz -D WILL will-delay-interval 5 "
        "-D disconnect reason-string r --will-topic w");
    assert_int_equal(settings->version, 5);
    assert_int_equal(settings->receive_maximum, 7);
    assert_props(settings, NOC_CLIENT_PROPS_CONNECT, "\x21\0\x07");
    assert_props(settings, NOC_CLIENT_PROPS_PUBLISH, "\x03\0\x01x\x26\0\x01k\0\x01v\x09\0\x02yz");
    assert_props(settings, NOC_CLIENT_PROPS_WILL, "\x18\0\0\0\x05");
    assert_props(settings, NOC_CLIENT_PROPS_DISCONNECT, "\x1f\0\x01r");
    noc_client_settings_done(&reading.settings);

    settings =
        read_good(&reading, "mosquitto_sub -t a -D subscribe subscription-identifier 268435455 "
                            "-D unsubscribe user-property k v -i x -c -C 4");
    assert_props(settings, NOC_CLIENT_PROPS_SUBSCRIBE, "\x0b\xff\xff\xff\x7f");
    assert_props(settings, NOC_CLIENT_PROPS_UNSUBSCRIBE, "\x26\0\x01k\0\x01v");
    assert_props(settings, NOC_CLIENT_PROPS_CONNECT, "\x11\xff\xff\xff\xff\x21\0\x04");
    noc_client_settings_done(&reading.settings);

    /* Another version has none. */
    settings = read_good(&reading, "mosquitto_sub -t a -D subscribe user-property k v -V 311");
    assert_int_equal(settings->props[NOC_CLIENT_PROPS_SUBSCRIBE].n, 0);
    assert_int_equal(settings->props[NOC_CLIENT_PROPS_CONNECT].n, 0);
    noc_client_settings_done(&reading.settings);
}

static void session_expiry_is_a_property_of_version_5(void **state)
{
    struct reading reading;
    const struct noc_client_settings *settings;

    (void)state;
    settings = read_good(&reading, "mosquitto_sub -t a -V 5 -x 0x10");
    assert_props(settings, NOC_CLIENT_PROPS_CONNECT, "\x11\0\0\0\x10\x21\0\x14");
    noc_client_settings_done(&reading.settings);
    settings = read_good(&reading, "mosquitto_sub -t a -V 5 -x 0");
    assert_props(settings, NOC_CLIENT_PROPS_CONNECT, "\x21\0\x14");
    noc_client_settings_done(&reading.settings);
    settings = read_good(&reading, "mosquitto_sub -t a -V 5 -i x -x -1");
    assert_props(settings, NOC_CLIENT_PROPS_CONNECT, "\x11\xff\xff\xff\xff\x21\0\x14");
    noc_client_settings_done(&reading.settings);
    settings = read_good(&reading, "mosquitto_sub -t a -x 5");
    assert_int_equal(settings->version, 4);
    noc_client_settings_done(&reading.settings);
    assert_int_equal(setenv("NOCTULE_COMPATIBILITY", "2.1", 1), 0);
    settings = read_good(&reading, "mosquitto_sub -t a -x 5");
    assert_int_equal(settings->version, 5);
    noc_client_settings_done(&reading.settings);
}

static void compatibility_2_1_changes_what_it_should(void **state)
{
    struct reading reading;
    const struct noc_client_settings *settings;

    (void)state;
    assert_int_equal(setenv("NOCTULE_COMPATIBILITY", "2.1", 1), 0);
    settings = read_good(&reading, "mosquitto_sub -U a");
    assert_true(settings->is_compat_2_1);
    assert_int_equal(settings->topics.n, 0);
    noc_client_settings_done(&reading.settings);
    settings = read_good(&reading, "mosquitto_sub -t a -p 8883");
    assert_true(settings->tls.is_on && settings->tls.use_os_certs);
    noc_client_settings_done(&reading.settings);
    settings = read_good(&reading, "mosquitto_sub -t a -F %f");
    assert_true(settings->output.is_compat_2_1);
    noc_client_settings_done(&reading.settings);
    assert_int_equal(setenv("NOCTULE_COMPATIBILITY", "2.2", 1), 0);
    assert_bad("mosquitto_sub -t a", "NOCTULE_COMPATIBILITY (2.2)");
}

static void client_ids_are_made(void **state)
{
    struct reading reading;
    const struct noc_client_settings *settings;
    char expected[32];

    (void)state;
    settings = read_good(&reading, "mosquitto_sub -t a -I pre-");
    (void)snprintf(expected, sizeof(expected), "pre-%ld", (long)getpid());
    assert_slice(settings->client_id, expected);
    noc_client_settings_done(&reading.settings);
    settings = read_good(&reading, "mosquitto_sub -t a -V 31");
    assert_int_equal(settings->client_id.n, 23);
    assert_memory_equal(settings->client_id.at, "noctule-", 8);
    noc_client_settings_done(&reading.settings);
}

static void own_options_belong_to_own_names(void **state)
{
    struct reading reading;
    const struct noc_client_settings *settings;

    (void)state;
    settings = read_good(&reading, "noctule_sub -t a --tree");
    assert_false(settings->is_mosquitto);
    assert_string_equal(settings->program, "noctule sub");
    assert_true(settings->show_tree);
    noc_client_settings_done(&reading.settings);
    assert_true(read_good(&reading, "noctule_sub -t a --stats")->show_stats);
    noc_client_settings_done(&reading.settings);
    assert_true(read_good(&reading, "noctule_pub -t a -l --progress")->show_progress);
    noc_client_settings_done(&reading.settings);
    assert_bad("mosquitto_sub -t a --tree", "Error: Unknown option '--tree'.");
    assert_bad("noctule_sub --bogus", "\nUse 'noctule sub --help' to see usage.\n");
}

static void a_url_without_a_topic_is_good_with_t_under_our_name(void **state)
{
    static const char *const lines[] = {
        "noctule_sub -L mqtt://h -t a",
        "noctule_sub -t a -L mqtts://u:p@h:99",
        "noctule_sub -L mqtt://h/ -t a",
    };
    struct reading reading;

    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        const struct noc_client_settings *settings = read_good(&reading, lines[i]);

        assert_string_equal(settings->host, "h");
        assert_int_equal(settings->topics.n, 1);
        assert_string_equal(settings->topics.at[0], "a");
        noc_client_settings_done(&reading.settings);
    }
    assert_bad("noctule_sub -L mqtt://h", " - topic missing.\n");
    assert_bad("noctule_sub -L mqtt://h/", " - topic missing.\n");
    assert_bad("mosquitto_sub -L mqtt://h -t a", " - topic missing.\n");
}

static void what_is_wrong_is_named_under_our_name(void **state)
{
    (void)state;
    assert_bad("noctule_pub -t a -m b -p broker", "Error: -p takes a number, not 'broker'.\n");
    assert_bad("noctule_pub -t a -m b -k 60s", "Error: -k takes a number, not '60s'.\n");
    assert_bad("noctule_pub -t a -m b -p 65536", "Error: Invalid port given: 65536\n");
    assert_bad("noctule_pub -m b -L https://h/a", "Error: unsupported URL scheme in 'https://h/a'");
    assert_bad("noctule_pub -t a -m b -P word", "Error: a password (-P) needs a user (-u)");
    assert_bad("noctule_pub -t a -m b --cafile /nonexistent/ca.pem",
        "Error: cannot read '/nonexistent/ca.pem' (--cafile): No such file or directory.\n");
    assert_bad("noctule_pub -t a -m b --capath /tmp --cert /nonexistent/a --key /nonexistent/a",
        "Error: cannot read '/nonexistent/a' (--cert)");
    assert_bad("mosquitto_pub -t a -m b --cafile /nonexistent/ca.pem",
        "Error: Problem setting TLS options: File not found.\n");
    assert_bad("mosquitto_pub -m b -L https://h/a", "Error: unsupported URL scheme.\n");
}

static void help_is_a_success_under_our_name_only(void **state)
{
    struct reading reading;

    (void)state;
    read_line(&reading, "noctule_sub --help");
    assert_int_equal(reading.outcome, NOC_CLIENT_EXIT);
    assert_int_equal(reading.status, 0);
    noc_client_settings_done(&reading.settings);
    read_line(&reading, "noctule_rr --version --bogus");
    assert_int_equal(reading.status, 0);
    assert_string_equal(reading.said, "");
    noc_client_settings_done(&reading.settings);
    read_line(&reading, "mosquitto_sub --help");
    assert_int_equal(reading.status, 1);
    noc_client_settings_done(&reading.settings);
}

static void an_options_file_comes_first(void **state)
{
    struct reading reading;
    const struct noc_client_settings *settings;
    char line[256];

    (void)state;
    assert_int_equal(setenv("XDG_CONFIG_HOME", folder, 1), 0);
    (void)write_file(
        "mosquitto_pub", "# a comment\n\n-t  two words \r\n-m from file\n-q 1\n   -h other\n-u u");
    settings = read_good(&reading, "mosquitto_pub -q 2");
    assert_string_equal(settings->topics.at[0], " two words ");
    assert_slice(settings->payload, "from file");
    assert_int_equal(settings->qos, 2);
    assert_string_equal(settings->host, "other");
    assert_slice(settings->user, "u");
    noc_client_settings_done(&reading.settings);
    /* The same under our name. */
    settings = read_good(&reading, "noctule_pub");
    assert_int_equal(settings->qos, 1);
    noc_client_settings_done(&reading.settings);
    /* -o takes its place. */
    (void)snprintf(line, sizeof(line), "mosquitto_pub -t a -m -o -o %s",
        write_file("options", "-k 77\n-D x\n") /* too few words */);
    assert_bad(line, "Error: --property argument given but not enough arguments specified.\n");
    (void)snprintf(
        line, sizeof(line), "mosquitto_pub -t a -m -o -o %s", write_file("options", "-k 77\n"));
    settings = read_good(&reading, line);
    assert_int_equal(settings->keep_alive_s, 77);
    assert_slice(settings->payload, "-o");
    assert_int_equal(settings->qos, 0);
    noc_client_settings_done(&reading.settings);
    assert_bad("mosquitto_sub -D connect user-property -o x -o /nowhere", "\"/nowhere\"");
}

static void a_long_line_of_an_options_file_is_whole(void **state)
{
    struct reading reading;
    char content[5000];
    char line[256];

    (void)state;
    memset(content, 'x', sizeof(content));
    memcpy(content, "-m ", 3);
    content[4500] = '\0';
    (void)snprintf(line, sizeof(line), "mosquitto_pub -t a -o %s", write_file("options", content));
    assert_int_equal(read_good(&reading, line)->payload.n, 4497);
    noc_client_settings_done(&reading.settings);
}

static void a_payload_comes_from_a_file_or_standard_input(void **state)
{
    struct reading reading;
    const struct noc_client_settings *settings;
    const char *path = write_file("payload", "from a file\n");
    char line[256];
    int kept = dup(STDIN_FILENO);

    (void)state;
    (void)snprintf(line, sizeof(line), "mosquitto_rr -t a -e b -f %s", path);
    settings = read_good(&reading, line);
    assert_int_equal(settings->source, NOC_SOURCE_PAYLOAD);
    assert_slice(settings->payload, "from a file\n");
    noc_client_settings_done(&reading.settings);
    assert_non_null(freopen(path, "r", stdin));
    settings = read_good(&reading, "mosquitto_pub -t a -s");
    assert_slice(settings->payload, "from a file\n");
    noc_client_settings_done(&reading.settings);
    assert_bad("mosquitto_pub -t a -s", "Error: Zero length input.\nError loading input from");
    assert_true(dup2(kept, STDIN_FILENO) >= 0);
    assert_int_equal(close(kept), 0);
    settings = read_good(&reading, "mosquitto_pub -t a -l");
    assert_int_equal(settings->source, NOC_SOURCE_LINES);
    noc_client_settings_done(&reading.settings);
    settings = read_good(&reading, "mosquitto_pub -t a -f /dev/null");
    assert_int_equal(settings->source, NOC_SOURCE_PAYLOAD);
    assert_int_equal(settings->payload.n, 0);
    noc_client_settings_done(&reading.settings);
}

static void a_payload_too_large_is_refused(void **state)
{
    const char *path = write_file("payload", "");
    char line[256];

    (void)state;
    assert_int_equal(truncate(path, 268435456), 0);
    (void)snprintf(line, sizeof(line), "mosquitto_pub -t a -f %s", path);
    assert_bad(line, "Error: File must be less than 268435455 bytes.\n\nError loading input file");
}

static void headers_that_would_break_the_request_are_refused(void **state)
{
    (void)state;
    assert_bad("mosquitto_sub -t a --ws --header A", "must be of the form 'Name: value'");
    assert_bad("mosquitto_sub -t a --ws --header :x", "must be of the form 'Name: value'");
    assert_bad("mosquitto_sub -t a --ws --header A\r\nB:x", "must be of the form 'Name: value'");
    assert_bad("mosquitto_sub -t a --ws --header A:x\r\nB:x", "must be of the form 'Name: value'");
    assert_bad(
        "mosquitto_sub -t a --ws --header sec-websocket-KEY:x", "cannot set sec-websocket-KEY");
    assert_bad("mosquitto_sub -t a --ws --user-agent a\nb", "Control characters in --user-agent");
    assert_bad("mosquitto_sub -t a --ws --ws-path /a\r\nb", "Invalid WebSocket path");
    assert_bad("mosquitto_sub -t a --ws --ws-path /a#b", "Invalid WebSocket path");
}

static void port_443_may_be_a_websocket(void **state)
{
    struct reading reading;
    const struct noc_client_settings *settings;

    (void)state;
    settings = read_good(
        &reading, "mosquitto_pub -t a -m b -h h -p 443 --capath /etc --ws-path /x --header A:b");
    assert_false(settings->is_ws || settings->is_transport_given);
    assert_true(settings->tls.is_on && settings->is_port_given);
    assert_string_equal(settings->ws_path, "/x");
    noc_client_settings_done(&reading.settings);
    settings = read_good(&reading, "mosquitto_pub -t a -m b -p 443 --psk ab --psk-identity x");
    assert_true(settings->is_transport_given);
    noc_client_settings_done(&reading.settings);
    assert_bad("mosquitto_sub -t a --ws --unix /x", "--ws and --unix cannot be used together");
}

static void no_words_at_all_are_survived(void **state)
{
    struct reading reading;

    (void)state;
    reading.words[0] = NULL;
    read_words(&reading, NOC_TOOL_SUB, 0);
    assert_int_equal(reading.outcome, NOC_CLIENT_EXIT);
    noc_client_settings_done(&reading.settings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(little_given_leaves_defaults, begin),
        cmocka_unit_test_setup(each_option_has_its_setting, begin),
        cmocka_unit_test_setup(each_option_of_sub_and_rr_has_its_setting, begin),
        cmocka_unit_test_setup(tls_is_on_when_something_trusts, begin),
        cmocka_unit_test_setup(a_url_is_taken_apart, begin),
        cmocka_unit_test_setup(a_proxy_is_taken_apart, begin),
        cmocka_unit_test_setup(a_unix_socket_is_port_0, begin),
        cmocka_unit_test_setup(properties_are_in_wire_form, begin),
        cmocka_unit_test_setup(session_expiry_is_a_property_of_version_5, begin),
        cmocka_unit_test_setup(compatibility_2_1_changes_what_it_should, begin),
        cmocka_unit_test_setup(client_ids_are_made, begin),
        cmocka_unit_test_setup(own_options_belong_to_own_names, begin),
        cmocka_unit_test_setup(a_url_without_a_topic_is_good_with_t_under_our_name, begin),
        cmocka_unit_test_setup(what_is_wrong_is_named_under_our_name, begin),
        cmocka_unit_test_setup(help_is_a_success_under_our_name_only, begin),
        cmocka_unit_test_setup(an_options_file_comes_first, begin),
        cmocka_unit_test_setup(a_long_line_of_an_options_file_is_whole, begin),
        cmocka_unit_test_setup(a_payload_comes_from_a_file_or_standard_input, begin),
        cmocka_unit_test_setup(a_payload_too_large_is_refused, begin),
        cmocka_unit_test_setup(headers_that_would_break_the_request_are_refused, begin),
        cmocka_unit_test_setup(port_443_may_be_a_websocket, begin),
        cmocka_unit_test_setup(no_words_at_all_are_survived, begin),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
