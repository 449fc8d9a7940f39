/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must fit together on a command line, in the order in which Mosquitto's
 * tools find it out, which decides what is told first; then the payload's file;
 * then what their library refuses when it gets the options.
 *
 *   usage (a hint at --help follows) --> payload --> session, will, user, TLS
 */
#include "cli/client_parser.h"
#include <noctule/error.h>

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <unistd.h>

enum {
    PAYLOAD_MAX_BYTES = 268435455,
    READ_STEP_BYTES = 64 << 10,
    TEXT_MAX_BYTES = 65535,
    PORT_PLAIN = 1883,
    PORT_TLS = 8883,
    PORT_HTTPS = 443,
    RECEIVE_MAXIMUM = 20,
    ID_BYTES = 23, /* what version 3.1 allows */
};

/* ---- usage ---- */

static int check_will_and_tls(const struct noc_client_parser *parser)
{
    const struct noc_client_tls *tls = &parser->settings.tls;

    if (parser->will_payload != NULL && parser->will_topic == NULL) {
        return noc_client_fail("Error: Will payload given, but no will topic given.\n");
    }
    if (parser->settings.will.is_retained && parser->will_topic == NULL) {
        return noc_client_fail("Error: Will retain given, but no will topic given.\n");
    }
    if ((tls->cert == NULL) != (tls->key == NULL)) {
        return noc_client_fail(
            "Error: Both certfile and keyfile must be provided if one of them is set.\n");
    }
    if (parser->keyform != NULL && tls->key == NULL) {
        return noc_client_fail("Error: If keyform is set, keyfile must be also specified.\n");
    }
    if (parser->engine_password != NULL && (parser->keyform == NULL || parser->engine == NULL)) {
        return noc_client_fail("Error: when using tls-engine-kpass-sha1, both tls-engine and "
                               "keyform must also be provided.\n");
    }
    if (tls->psk != NULL && (tls->cafile != NULL || tls->capath != NULL)) {
        return noc_client_fail(
            "Error: Only one of --psk or --cafile/--capath may be used at once.\n");
    }
    if (tls->psk != NULL && tls->psk_identity == NULL) {
        return noc_client_fail("Error: --psk-identity required if --psk used.\n");
    }
    return NOC_OK;
}

static int check_session(struct noc_client_parser *parser)
{
    if (parser->settings.version != 5) {
        return parser->keeps_session && parser->id == NULL
                   ? noc_client_fail(
                         "Error: You must provide a client id if you are using the -c option.\n")
                   : NOC_OK;
    }
    if (parser->keeps_session && parser->session_expiry_s == -1) {
        parser->session_expiry_s = UINT32_MAX;
    }
    if (parser->session_expiry_s <= 0) {
        return NOC_OK;
    }
    if (parser->session_expiry_s == UINT32_MAX && parser->id == NULL) {
        return noc_client_fail("Error: You must provide a client id if you are using an infinite "
                               "session expiry interval.\n");
    }
    if (noc_client_put_number_property(parser, NOC_CLIENT_PROPS_CONNECT, NOC_PROP_SESSION_EXPIRY,
            (uint32_t)parser->session_expiry_s) < 0) {
        return noc_client_fail_memory(parser);
    }
    return NOC_OK;
}

/*
 * The path of a ws:// URL is a topic, as in Mosquitto 2.1, unless -t says what
 * the topic is: then it is the path of the WebSocket. --ws-path settles it too.
 */
static int settle_url_path(struct noc_client_parser *parser)
{
    struct noc_client_settings *settings = &parser->settings;

    if (parser->is_ws_url && parser->is_topic_given && settings->ws_path == NULL) {
        return parser->url_path == NULL ? NOC_OK : noc_client_set_ws_path(parser, parser->url_path);
    }
    if (parser->url_path != NULL) {
        return noc_client_add_topic(parser, parser->url_path + 1, "-L topic");
    }
    return parser->lacks_topic && !parser->is_topic_given ? noc_client_fail_topic() : NOC_OK;
}

static int check_sub(const struct noc_client_parser *parser)
{
    const struct noc_client_settings *settings = &parser->settings;

    if (settings->tool != NOC_TOOL_SUB || settings->topics.n > 0) {
        return NOC_OK;
    }
    if (!settings->is_compat_2_1) {
        return noc_client_fail("Error: You must specify a topic to subscribe to.\n");
    }
    return settings->unsubscribe.n > 0
               ? NOC_OK
               : noc_client_fail("Error: You must specify a topic to subscribe to (-t) or "
                                 "unsubscribe from (-U).\n");
}

/* Port 443 may turn out to be a WebSocket. */
static int check_ws(const struct noc_client_parser *parser)
{
    const struct noc_client_settings *settings = &parser->settings;
    bool may_be_ws = settings->is_ws || parser->numbers[NOC_NUMBER_PORT] == PORT_HTTPS;

    if (!may_be_ws && settings->ws_path != NULL) {
        return noc_client_fail("Error: --ws-path is of use with --ws or a ws:// URL only.\n");
    }
    if (!may_be_ws && (settings->headers.n > 0 || settings->user_agent != NULL)) {
        return noc_client_fail(
            "Error: --header and --user-agent are of use with --ws or a ws:// URL only.\n");
    }
    if (settings->is_ws && parser->numbers[NOC_NUMBER_PORT] == 0) {
        return noc_client_fail("Error: --ws and --unix cannot be used together.\n");
    }
    return NOC_OK;
}

static int check_usage(struct noc_client_parser *parser)
{
    int err = settle_url_path(parser);

    if (err == NOC_OK) {
        err = check_will_and_tls(parser);
    }
    if (err == NOC_OK) {
        err = check_session(parser);
    }
    if (err == NOC_OK) {
        err = check_sub(parser);
    }
    if (err == NOC_OK) {
        err = check_ws(parser);
    }
    return err < 0 ? err : noc_client_check_properties(parser);
}

/* ---- the payload ---- */

/*
 * Read a stream to its end. *ret_bytes points into the settings' memory.
 * NOC_ETOOLARGE, NOC_EIO (and errno) or NOC_ENOMEM: nothing has been said.
 */
static int read_all(struct noc_client_settings *settings, FILE *stream, struct noc_slice *ret_bytes)
{
    struct noc_output_buffer read = {0};
    char *copy = NULL;
    int err = NOC_OK;
    size_t n;

    do {
        err = noc_output_buffer_reserve(&read, READ_STEP_BYTES);
        n = err < 0 ? 0 : fread(read.at + read.n, 1, READ_STEP_BYTES, stream);
        read.n += n;
        if (read.n > PAYLOAD_MAX_BYTES) {
            err = NOC_ETOOLARGE;
        }
    } while (n > 0 && err == NOC_OK);
    if (err == NOC_OK && ferror(stream)) {
        err = NOC_EIO;
    }
    if (err == NOC_OK) {
        copy = noc_client_copy(settings, read.at, read.n);
        err = copy == NULL ? NOC_ENOMEM : NOC_OK;
        *ret_bytes = noc_slice(copy, read.n);
    }
    noc_output_buffer_done(&read);
    return err;
}

/* Says the first line of what went wrong. */
static int fail_reading(struct noc_client_parser *parser, int err, const char *what)
{
    if (err == NOC_ETOOLARGE) {
        return noc_client_fail_late(
            parser, "Error: File must be less than %d bytes.\n\n", PAYLOAD_MAX_BYTES);
    }
    if (err == NOC_ENOMEM) {
        return noc_client_fail_memory(parser);
    }
    return noc_client_fail_late(parser, "Error: Unable to read %s: %s.\n", what, strerror(errno));
}

static int read_stdin(struct noc_client_parser *parser)
{
    int err = read_all(&parser->settings, stdin, &parser->settings.payload);

    if (err < 0) {
        err = fail_reading(parser, err, "standard input");
    } else if (parser->settings.payload.n == 0) {
        err = noc_client_fail_late(parser, "Error: Zero length input.\n");
    }
    if (err < 0) {
        (void)noc_client_fail_late(parser, "Error loading input from stdin.\n");
    }
    return err;
}

static int read_payload_file(struct noc_client_parser *parser)
{
    FILE *file = fopen(parser->file, "rbe");
    int err;

    if (file == NULL) {
        err = noc_client_fail_late(parser, "Error: Unable to open file \"%s\".\n", parser->file);
    } else {
        err = read_all(&parser->settings, file, &parser->settings.payload);
        if (err < 0) {
            err = fail_reading(parser, err, "it");
        }
        (void)fclose(file);
    }
    if (err < 0) {
        (void)noc_client_fail_late(parser, "Error loading input file \"%s\".\n", parser->file);
    }
    return err;
}

static int load_payload(struct noc_client_parser *parser)
{
    struct noc_client_settings *settings = &parser->settings;

    settings->source = !parser->has_source   ? NOC_SOURCE_NONE
                       : parser->reads_lines ? NOC_SOURCE_LINES
                                             : NOC_SOURCE_PAYLOAD;
    if (parser->message != NULL) {
        settings->payload = noc_slice_of(parser->message);
    }
    if (parser->reads_stdin) {
        return read_stdin(parser);
    }
    return parser->file == NULL ? NOC_OK : read_payload_file(parser);
}

static int check_pub(struct noc_client_parser *parser)
{
    const struct noc_client_settings *settings = &parser->settings;

    if (settings->topics.n > 0 && settings->source != NOC_SOURCE_NONE) {
        return NOC_OK;
    }
    (void)noc_client_fail("Error: Both topic and message must be supplied.\n");
    if (settings->is_mosquitto) {
        parser->no_hint = true;
        noc_client_print_help(settings);
    }
    return NOC_EINVAL;
}

static int check_rr(struct noc_client_parser *parser)
{
    const struct noc_client_settings *settings = &parser->settings;

    if (settings->topics.n == 0 || settings->source == NOC_SOURCE_NONE ||
        settings->response_topic == NULL) {
        return noc_client_fail(
            "Error: All of topic, message, and response topic must be supplied.\n");
    }
    if (noc_client_find_property(parser, NOC_CLIENT_PROPS_PUBLISH, NOC_PROP_RESPONSE_TOPIC) >= 0) {
        return noc_client_fail_late(
            parser, "Error in PUBLISH properties: Duplicate response topic.\n");
    }
    if (noc_client_put_text_property(parser, NOC_CLIENT_PROPS_PUBLISH, NOC_PROP_RESPONSE_TOPIC,
            settings->response_topic) < 0) {
        return noc_client_fail_memory(parser);
    }
    return NOC_OK;
}

static int check_by_tool(struct noc_client_parser *parser)
{
    const struct noc_client_settings *settings = &parser->settings;
    int err = load_payload(parser);

    if (err < 0) {
        return err;
    }
    switch (settings->tool) {
    case NOC_TOOL_PUB:
        return check_pub(parser);
    case NOC_TOOL_RR:
        return check_rr(parser);
    case NOC_TOOL_SUB:
        break;
    }
    if (settings->skip_retained && settings->only_retained) {
        parser->no_hint = true;
        return noc_client_fail("\nError: Combining '-R' and '--retained-only' makes no sense.\n");
    }
    return NOC_OK;
}

/* ---- the session, the will, the user ---- */

static int fail_id(struct noc_client_parser *parser)
{
    return noc_client_fail_late(parser, parser->settings.tool == NOC_TOOL_PUB
                                            ? "Error: Invalid id.\n"
                                            : "Error: Invalid id and/or clean_session.\n");
}

/* Version 3.1 has no empty client id: letters and digits by chance. */
static int make_id(struct noc_client_parser *parser)
{
    static const char digits[] = "abcdefghijklmnopqrstuvwxyz012345"; /* 32 */
    static const char prefix[] = "noctule-";
    char *id = noc_client_allocate(&parser->settings, ID_BYTES);
    uint8_t random[ID_BYTES];

    if (id == NULL) {
        return noc_client_fail_memory(parser);
    }
    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random)) {
        return noc_client_fail_late(parser, "Error: %s\n", strerror(errno));
    }
    for (size_t i = 0; i < ID_BYTES; i++) {
        id[i] = i < strlen(prefix) ? prefix[i] : digits[random[i] % 32];
    }
    parser->settings.client_id = noc_slice(id, ID_BYTES);
    return NOC_OK;
}

static int make_prefixed_id(struct noc_client_parser *parser)
{
    size_t room = strlen(parser->id_prefix) + 16;
    char *id = noc_client_allocate(&parser->settings, room);

    if (id == NULL) {
        return noc_client_fail_memory(parser);
    }
    (void)snprintf(id, room, "%s%ld", parser->id_prefix, (long)getpid());
    parser->id = id;
    return NOC_OK;
}

static int settle_id(struct noc_client_parser *parser)
{
    struct noc_client_settings *settings = &parser->settings;
    int err = parser->id_prefix == NULL ? NOC_OK : make_prefixed_id(parser);

    if (err < 0) {
        return err;
    }
    settings->is_clean = !parser->keeps_session;
    settings->client_id = noc_slice_of(parser->id == NULL ? "" : parser->id);
    if (parser->id == NULL) {
        return parser->keeps_session    ? fail_id(parser)
               : settings->version == 3 ? make_id(parser)
                                        : NOC_OK;
    }
    if (settings->client_id.n == 0 || settings->client_id.n > TEXT_MAX_BYTES) {
        return fail_id(parser);
    }
    if (!noc_client_text_is_valid(parser->id)) {
        return noc_client_fail_late(parser, "Error: Malformed UTF-8 in the client id.\n");
    }
    return NOC_OK;
}

static int settle_will(struct noc_client_parser *parser)
{
    struct noc_client_will_settings *will = &parser->settings.will;

    if (parser->will_topic == NULL) {
        return NOC_OK;
    }
    will->is_set = true;
    will->topic = noc_slice_of(parser->will_topic);
    will->payload = noc_slice_of(parser->will_payload == NULL ? "" : parser->will_payload);
    will->qos = (uint8_t)parser->numbers[NOC_NUMBER_WILL_QOS];
    if (will->payload.n > TEXT_MAX_BYTES ||
        (parser->settings.version != 5 && parser->props[NOC_CLIENT_PROPS_WILL].n > 0)) {
        return noc_client_fail_late(parser, "Error: Problem setting will.\n");
    }
    return NOC_OK;
}

static int settle_user(struct noc_client_parser *parser)
{
    struct noc_client_settings *settings = &parser->settings;
    bool lacks_user = parser->user == NULL && parser->password != NULL && settings->version != 5;

    settings->user = noc_slice_of(parser->user);
    settings->password = noc_slice_of(parser->password);
    if (lacks_user && !settings->is_mosquitto) {
        return noc_client_fail_late(
            parser, "Error: a password (-P) needs a user (-u), but in version 5.\n");
    }
    if (lacks_user || (parser->user != NULL && !noc_client_text_is_valid(parser->user)) ||
        settings->user.n > TEXT_MAX_BYTES || settings->password.n > TEXT_MAX_BYTES) {
        return noc_client_fail_late(parser, "Error: Problem setting username and/or password.\n");
    }
    return NOC_OK;
}

/* ---- TLS ---- */

/* The file of a TLS option, if it is given. */
static int check_file(struct noc_client_parser *parser, const char *option, const char *path)
{
    if (path == NULL || access(path, R_OK) == 0) {
        return NOC_OK;
    }
    return parser->settings.is_mosquitto
               ? noc_client_fail_late(
                     parser, "Error: Problem setting TLS options: File not found.\n")
               : noc_client_fail_late(
                     parser, "Error: cannot read '%s' (%s): %s.\n", path, option, strerror(errno));
}

static bool is_hex(const char *text)
{
    for (; *text != '\0'; text++) {
        if (!isxdigit((unsigned char)*text)) {
            return false;
        }
    }
    return true;
}

static int check_tls_files(struct noc_client_parser *parser)
{
    const struct noc_client_tls *tls = &parser->settings.tls;
    int err;

    if (tls->cafile != NULL || tls->capath != NULL) {
        err = check_file(parser, "--cafile", tls->cafile);
        if (err == NOC_OK) {
            err = check_file(parser, "--cert", tls->cert);
        }
        return err == NOC_OK ? check_file(parser, "--key", tls->key) : err;
    }
    if (tls->psk != NULL && !is_hex(tls->psk)) {
        return noc_client_fail_late(parser, "Error: Problem setting TLS-PSK options.\n");
    }
    return NOC_OK;
}

/* OpenSSL has given up engines, and so has our build of it. */
static int check_engine(struct noc_client_parser *parser)
{
    if (parser->engine != NULL) {
        return noc_client_fail_late(parser,
            "Error: TLS engines are not supported (--tls-engine %s); give --cert and --key as "
            "files.\n",
            parser->engine);
    }
    if (parser->keyform == NULL || strcmp(parser->keyform, "pem") == 0) {
        return NOC_OK;
    }
    if (strcmp(parser->keyform, "engine") == 0) {
        return noc_client_fail_late(parser,
            "Error: TLS engines are not supported (--keyform engine); give --key as a PEM file.\n");
    }
    return noc_client_fail_late(
        parser, "Error: Problem setting key form, it must be one of 'pem' or 'engine'.\n");
}

static int check_tls_version(struct noc_client_parser *parser)
{
    static const char *const names[] = {"tlsv1.3", "tlsv1.2", "tlsv1.1"};
    struct noc_client_tls *tls = &parser->settings.tls;
    size_t count = parser->settings.is_compat_2_1 ? 2 : NOC_COUNT(names);

    if (tls->version == NULL) {
        return NOC_OK;
    }
    for (size_t i = 0; i < count; i++) {
        if (strcasecmp(names[i], tls->version) == 0) {
            tls->version = names[i];
            return NOC_OK;
        }
    }
    return noc_client_fail_late(
        parser, "Error: Problem setting TLS options, check the options are valid.\n");
}

/*
 * Options of TLS without those that turn it on: Mosquitto's tools go in the clear then. Where port 443
 * is found out, TLS is tried.
 */
static int check_tls_is_meant(struct noc_client_parser *parser)
{
    const struct noc_client_settings *settings = &parser->settings;
    const struct noc_client_tls *tls = &settings->tls;
    bool may_be_tried = parser->numbers[NOC_NUMBER_PORT] == PORT_HTTPS && !settings->is_ws;
    const char *option = tls->cert != NULL           ? "--cert"
                         : tls->is_insecure          ? "--insecure"
                         : tls->version != NULL      ? "--tls-version"
                         : tls->alpn != NULL         ? "--tls-alpn"
                         : tls->ciphers != NULL      ? "--ciphers"
                         : tls->keylog != NULL       ? "--tls-keylog"
                         : tls->psk_identity != NULL ? "--psk-identity"
                                                     : NULL;

    if (settings->is_mosquitto || tls->is_on || option == NULL ||
        (may_be_tried && tls->alpn == NULL)) {
        return NOC_OK;
    }
    parser->no_hint = true;
    return noc_client_fail("Error: %s needs TLS, which %s turns on.\n", option,
        tls->psk_identity != NULL
            ? "--psk"
            : "a word of whom to trust (--cafile, --capath, --tls-use-os-certs)");
}

static int settle_tls(struct noc_client_parser *parser)
{
    struct noc_client_settings *settings = &parser->settings;
    struct noc_client_tls *tls = &settings->tls;
    int err;

    if (parser->no_tls) {
        *tls = (struct noc_client_tls){0};
        settings->is_transport_given = true;
        return NOC_OK;
    }
    err = check_tls_files(parser);
    if (err == NOC_OK) {
        err = check_engine(parser);
    }
    if (err == NOC_OK) {
        err = check_tls_version(parser);
    }
    if (settings->is_compat_2_1 && parser->numbers[NOC_NUMBER_PORT] == PORT_TLS &&
        tls->cafile == NULL && tls->capath == NULL && tls->psk == NULL) {
        tls->use_os_certs = true;
    }
    tls->is_on =
        tls->cafile != NULL || tls->capath != NULL || tls->psk != NULL || tls->use_os_certs;
    return err == NOC_OK ? check_tls_is_meant(parser) : err;
}

/* ---- what is left ---- */

static void settle_way(struct noc_client_parser *parser)
{
    struct noc_client_settings *settings = &parser->settings;
    int port = parser->numbers[NOC_NUMBER_PORT];

    settings->is_port_given = port != -1;
    settings->is_unix = port == 0;
    if (port == -1) {
        port = settings->tls.cafile != NULL || settings->tls.capath != NULL ||
                       settings->tls.psk != NULL
                   ? PORT_TLS
                   : PORT_PLAIN;
    }
    settings->port = (uint16_t)port;
    if (settings->is_ws || settings->is_unix || settings->tls.psk != NULL) {
        settings->is_transport_given = true;
    }
    if (settings->ws_path == NULL) {
        settings->ws_path = "/mqtt";
    }
}

static void settle_numbers(struct noc_client_parser *parser)
{
    struct noc_client_settings *settings = &parser->settings;
    const int *numbers = parser->numbers;
    int count = settings->tool == NOC_TOOL_RR ? 1 : numbers[NOC_NUMBER_COUNT];
    int64_t given =
        noc_client_find_property(parser, NOC_CLIENT_PROPS_CONNECT, NOC_PROP_RECEIVE_MAXIMUM);

    settings->qos = (uint8_t)numbers[NOC_NUMBER_QOS];
    settings->keep_alive_s = (uint16_t)numbers[NOC_NUMBER_KEEP_ALIVE];
    settings->timeout_s = (unsigned)numbers[NOC_NUMBER_TIMEOUT];
    settings->repeat_count = (unsigned)numbers[NOC_NUMBER_REPEAT];
    settings->message_count = (unsigned)count;
    settings->inflight_max = numbers[NOC_NUMBER_INFLIGHT] > UINT16_MAX
                                 ? UINT16_MAX
                                 : (uint16_t)numbers[NOC_NUMBER_INFLIGHT];
    /* No more shall come than are wanted. */
    settings->receive_maximum = given >= 0                             ? (uint16_t)given
                                : count > 0 && count < RECEIVE_MAXIMUM ? (uint16_t)count
                                                                       : RECEIVE_MAXIMUM;
}

static int settle_properties(struct noc_client_parser *parser)
{
    struct noc_client_settings *settings = &parser->settings;

    if (settings->version != 5) {
        return NOC_OK;
    }
    if (noc_client_find_property(parser, NOC_CLIENT_PROPS_CONNECT, NOC_PROP_RECEIVE_MAXIMUM) < 0 &&
        noc_client_put_number_property(parser, NOC_CLIENT_PROPS_CONNECT, NOC_PROP_RECEIVE_MAXIMUM,
            settings->receive_maximum) < 0) {
        return noc_client_fail_memory(parser);
    }
    for (size_t i = 0; i < NOC_CLIENT_PROPS_COUNT; i++) {
        const char *copy = noc_client_copy(settings, parser->props[i].at, parser->props[i].n);

        if (copy == NULL) {
            return noc_client_fail_memory(parser);
        }
        settings->props[i] = noc_slice(copy, parser->props[i].n);
    }
    return NOC_OK;
}

static int settle_output(struct noc_client_parser *parser)
{
    char fault[NOC_OUTPUT_FAULT_SIZE];
    int err;

    parser->output.is_compat_2_1 = parser->settings.is_compat_2_1;
    err = noc_output_format_init(&parser->settings.output, &parser->output, fault);
    if (err == NOC_EINVAL) {
        return noc_client_fail_late(parser, "Error: %s\n", fault);
    }
    return err == NOC_ENOMEM ? noc_client_fail_memory(parser) : err;
}

int noc_client_finish(struct noc_client_parser *parser)
{
    int (*const steps[])(struct noc_client_parser *) = {
        check_usage, check_by_tool, settle_id, settle_will, settle_user, settle_tls, settle_output};
    int err = NOC_OK;

    for (size_t i = 0; i < NOC_COUNT(steps) && err == NOC_OK; i++) {
        err = steps[i](parser);
    }
    if (err < 0) {
        return err;
    }
    settle_way(parser);
    settle_numbers(parser);
    return settle_properties(parser);
}
