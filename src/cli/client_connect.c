/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "cli/client_connect.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ws/client.h"
#include <noctule/error.h>
#include <noctule/property.h>

enum {
    PORT_HTTP = 80,
    PORT_HTTPS = 443,
    STATUS_BAD_REQUEST = 400,
    ANSWER_S = 10,
    RECEIVED_MAX_V3 = 65535,
    ALIASES_MAX = 256, /* topic aliases that the broker may use, however many -D allows */
};

/* ---- what the client is told ---- */

static void on_trace(void *context, bool is_outgoing, const uint8_t *packet, size_t n)
{
    struct noc_client_link *link = context;

    if (link->settings->is_debug) {
        noc_client_trace_packet(&link->trace, is_outgoing, packet, n);
    }
    if (link->on_packet != NULL) {
        link->on_packet(link->on_packet_context, is_outgoing, packet, n);
    }
}

static void on_header(void *context, struct noc_slice line)
{
    struct noc_client_link *link = context;

    noc_http_hints_add(&link->hints, line);
}

/*
 * The Host header: the port only where it is not the usual one, and no zone of an IPv6 address
 * (fe80::1%eth0), which means something on this machine only (RFC 6874, 3).
 */
static void write_host(struct noc_client_link *link, uint16_t usual_port)
{
    const struct noc_client_settings *settings = link->settings;
    bool is_ipv6 = strchr(settings->host, ':') != NULL;
    size_t n = is_ipv6 ? strcspn(settings->host, "%") : strlen(settings->host);
    char port[8] = "";

    if (settings->is_unix) {
        (void)snprintf(link->ws_host, sizeof(link->ws_host), "localhost");
        return;
    }
    if (settings->port != usual_port) {
        (void)snprintf(port, sizeof(port), ":%u", (unsigned)settings->port);
    }
    (void)snprintf(link->ws_host, sizeof(link->ws_host), "%s%.*s%s%s", is_ipv6 ? "[" : "",
        (int)(n < 255 ? n : 255), settings->host, is_ipv6 ? "]" : "", port);
}

/* All --header lines in one. */
static int join_headers(struct noc_client_link *link)
{
    const struct noc_client_texts *headers = &link->settings->headers;
    size_t n = 1;
    char *at;

    for (size_t i = 0; i < headers->n; i++) {
        n += strlen(headers->at[i]) + 2;
    }
    at = link->ws_headers = malloc(n);
    if (at == NULL) {
        return NOC_ENOMEM;
    }
    for (size_t i = 0; i < headers->n; i++) {
        at = stpcpy(at, headers->at[i]);
        at = stpcpy(at, "\r\n");
    }
    *at = '\0';
    return NOC_OK;
}

/* Room for the topics of aliases. Memory of those that are not used is not touched. */
static int set_aliases(struct noc_client_link *link, uint32_t maximum)
{
    uint16_t count = maximum < ALIASES_MAX ? (uint16_t)maximum : ALIASES_MAX;

    if (count == 0) {
        return NOC_OK;
    }
    link->aliases = (struct noc_client_aliases){
        .at = malloc((size_t)count * UINT16_MAX),
        .lengths = calloc(count, sizeof(*link->aliases.lengths)),
        .topic_max = UINT16_MAX,
        .count = count,
    };
    link->options.aliases = &link->aliases;
    return link->aliases.at == NULL || link->aliases.lengths == NULL ? NOC_ENOMEM : NOC_OK;
}

/* The properties of CONNECT without those that the client writes itself. */
static int copy_connect_props(struct noc_client_link *link)
{
    struct noc_slice rest = link->settings->props[NOC_CLIENT_PROPS_CONNECT];
    struct noc_prop prop;
    uint8_t *at;
    int err = NOC_OK;

    if (rest.n == 0) {
        return NOC_OK;
    }
    at = link->connect_props = malloc(rest.n);
    if (at == NULL) {
        return NOC_ENOMEM;
    }
    while (err == NOC_OK && noc_props_next(&rest, &prop)) {
        if (prop.id == NOC_PROP_TOPIC_ALIAS_MAXIMUM) {
            err = set_aliases(link, prop.number);
        } else if (prop.id != NOC_PROP_RECEIVE_MAXIMUM) {
            memcpy(at, prop.wire.at, prop.wire.n);
            at += prop.wire.n;
        }
    }
    link->options.connect_props =
        noc_slice(link->connect_props, (size_t)(at - link->connect_props));
    return err;
}

static void set_websocket(struct noc_client_link *link)
{
    const struct noc_client_settings *settings = link->settings;

    link->websocket = (struct noc_client_websocket){
        .host = noc_slice_of(link->ws_host),
        .path = noc_slice_of(settings->ws_path),
        .user_agent = noc_slice_of(
            settings->user_agent != NULL ? settings->user_agent : "noctule/" NOC_VERSION),
        .headers = noc_slice_of(link->ws_headers),
        .on_header = on_header,
    };
    if (link->websocket.headers.n == 0) {
        link->websocket.headers = noc_slice(NULL, 0);
    }
    link->options.websocket = &link->websocket;
}

static void set_will(struct noc_client_link *link)
{
    const struct noc_client_settings *settings = link->settings;

    link->will = (struct noc_client_will){
        .topic = settings->will.topic,
        .payload = settings->will.payload,
        .props = settings->props[NOC_CLIENT_PROPS_WILL],
        .qos = settings->will.qos,
        .retain = settings->will.is_retained,
    };
    link->options.will = &link->will;
}

static int set_options(struct noc_client_link *link)
{
    const struct noc_client_settings *settings = link->settings;
    uint16_t received_max = settings->version == 5 && settings->receive_maximum > 0
                                ? settings->receive_maximum
                                : RECEIVED_MAX_V3;

    link->received = calloc(received_max, sizeof(*link->received));
    if (link->received == NULL) {
        return NOC_ENOMEM;
    }
    link->options = (struct noc_client_options){
        .client_id = settings->client_id,
        .username = settings->user,
        .password = settings->password,
        .received = link->received,
        .received_max = received_max,
        .keep_alive_s = settings->keep_alive_s == 0 ? NOC_KEEP_ALIVE_OFF : settings->keep_alive_s,
        .inflight_max = settings->inflight_max,
        .answer_s = ANSWER_S,
        .version = settings->version,
        .keep_session = !settings->is_clean,
        .random = noc_posix_random,
        .trace = settings->is_debug || link->on_packet != NULL ? on_trace : NULL,
        .context = link,
    };
    if (settings->will.is_set) {
        set_will(link);
    }
    return copy_connect_props(link);
}

/* ---- the transport ---- */

static int from_hex(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Returns the bytes, 0 if that is no hexadecimal number or too long. */
static size_t decode_psk(const char *hex, uint8_t key[64])
{
    size_t n = 0;

    for (; hex[0] != '\0'; hex += 2, n++) {
        int high = from_hex(hex[0]), low = hex[1] == '\0' ? -1 : from_hex(hex[1]);

        if (high < 0 || low < 0 || n == 64) {
            return 0;
        }
        key[n] = (uint8_t)(high << 4 | low);
    }
    return n;
}

/* Without one OpenSSL would ask on standard input, and take the first message for the answer. */
static bool has_terminal(void)
{
    int fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);

    if (fd >= 0) {
        (void)close(fd);
    }
    return fd >= 0;
}

static int make_tls(
    struct noc_client_link *link, const char *alpn, struct noc_client_failure *failure)
{
    const struct noc_client_tls *given = &link->settings->tls;
    struct noc_tls_client_options options = {
        .host = link->settings->is_unix ? "localhost" : link->settings->host,
        .cafile = given->cafile,
        .capath = given->capath,
        .use_os_store = given->use_os_certs,
        .cert = given->cert,
        .key = given->key,
        .ciphers = given->ciphers,
        .min_version = given->version,
        .alpn = given->alpn != NULL ? given->alpn : alpn,
        .psk_identity = given->psk_identity,
        .keylog = given->keylog,
        .asks_passphrase = given->key != NULL && has_terminal(),
        .verify = !given->is_insecure             ? NOC_TLS_VERIFY_ALL
                  : link->settings->is_compat_2_1 ? NOC_TLS_VERIFY_NOTHING
                                                  : NOC_TLS_VERIFY_NO_NAME,
    };
    uint8_t psk[64];
    int err;

    if (given->psk != NULL) {
        options.psk = noc_slice(psk, decode_psk(given->psk, psk));
    }
    err = noc_openssl_init(&link->tls, &options, &link->posix.transport);
    link->has_tls = true;
    if (err != NOC_OK) {
        noc_client_failure_of_fault(failure, link->settings, &link->tls.fault);
        return err;
    }
    link->transport = &link->tls.transport;
    return NOC_OK;
}

/* Lay the transport out, and make the client anew. */
static int lay_out(
    struct noc_client_link *link, enum noc_link_way way, struct noc_client_failure *failure)
{
    const struct noc_client_settings *settings = link->settings;
    bool is_ws = way == NOC_LINK_TRY_WSS || (way == NOC_LINK_AS_GIVEN && settings->is_ws);
    bool is_tls = way == NOC_LINK_TRY_WSS || way == NOC_LINK_TRY_TLS ||
                  (way == NOC_LINK_AS_GIVEN && settings->tls.is_on);
    int err = NOC_OK;

    if (link->has_tls) {
        noc_openssl_done(&link->tls);
        link->has_tls = false;
    }
    link->way = way;
    link->transport = noc_posix_init(&link->posix, &link->posix_options);
    if (is_tls) {
        err = make_tls(link, is_ws ? "http/1.1" : way == NOC_LINK_TRY_TLS ? "mqtt" : NULL, failure);
    }
    link->options.websocket = NULL;
    if (is_ws) {
        write_host(link, is_tls ? PORT_HTTPS : PORT_HTTP);
        set_websocket(link);
    }
    if (err == NOC_OK) {
        err = noc_client_init(
            &link->client, &link->options, link->in, link->sizes.in, link->out, link->sizes.out);
        if (err != NOC_OK) {
            failure->status = NOC_EXIT_ERROR;
            (void)snprintf(failure->text, sizeof(failure->text),
                "%.48s: cannot set up the client: %s\n", settings->program, noc_error_text(err));
        }
    }
    return err;
}

/* Does port 443 come without a word of what is there? */
static bool is_to_be_tried(const struct noc_client_settings *settings)
{
    return settings->port == PORT_HTTPS && settings->is_port_given &&
           !settings->is_transport_given && !settings->is_ws && !settings->is_unix &&
           settings->tls.alpn == NULL && settings->tls.psk == NULL;
}

static int set_buffers(struct noc_client_link *link)
{
    link->in = malloc(link->sizes.in);
    link->out = malloc(link->sizes.out);
    if (link->in == NULL || link->out == NULL) {
        return NOC_ENOMEM;
    }
    return link->sizes.outbox == 0 ? NOC_OK : noc_client_link_grow_outbox(link, link->sizes.outbox);
}

int noc_client_link_init(struct noc_client_link *link, const struct noc_client_settings *settings,
    const struct noc_link_sizes *sizes, struct noc_output_buffer *lines,
    struct noc_client_failure *failure)
{
    int err;

    link->settings = settings;
    link->sizes = *sizes;
    noc_client_trace_init(&link->trace, settings, lines);
    link->posix_options = (struct noc_posix_options){
        .host = settings->host,
        .port = settings->port,
        .is_unix = settings->is_unix,
        .gathers_writes = !settings->no_delay && settings->is_mosquitto,
        .bind_address = settings->bind_address,
        .proxy_host = settings->proxy.host,
        .proxy_port = settings->proxy.port,
        .proxy_user = settings->proxy.user,
        .proxy_password = settings->proxy.password,
    };
    err = set_options(link);
    if (err == NOC_OK) {
        err = set_buffers(link);
    }
    if (err == NOC_OK) {
        err = join_headers(link);
    }
    if (err != NOC_OK) {
        failure->status = NOC_EXIT_ERROR;
        (void)snprintf(failure->text, sizeof(failure->text), "Error: Out of memory.\n");
        return err;
    }
    return lay_out(link, is_to_be_tried(settings) ? NOC_LINK_TRY_WSS : NOC_LINK_AS_GIVEN, failure);
}

void noc_client_link_done(struct noc_client_link *link)
{
    if (link->is_open) {
        link->transport->close(link->transport);
    }
    if (link->has_tls) {
        noc_openssl_done(&link->tls);
    }
    free(link->ws_headers);
    free(link->connect_props);
    free(link->aliases.at);
    free(link->aliases.lengths);
    free(link->received);
    free(link->in);
    free(link->out);
    free(link->ring_bytes);
}

int noc_client_link_grow_outbox(struct noc_client_link *link, size_t size)
{
    uint16_t newest_id = link->ring_bytes == NULL ? 0 : link->ring.box.newest_id;
    uint8_t *bytes = malloc(size);

    if (bytes == NULL) {
        return NOC_ENOMEM;
    }
    free(link->ring_bytes);
    link->ring_bytes = bytes;
    link->sizes.outbox = size;
    link->options.outbox = noc_ring_outbox_init(&link->ring, bytes, size);
    link->ring.box.newest_id = newest_id;
    return NOC_OK;
}

/* ---- bytes ---- */

static void give_up(struct noc_client_link *link)
{
    if (link->is_open) {
        link->transport->close(link->transport);
        link->is_open = false;
    }
    noc_client_lost(&link->client);
}

bool noc_client_link_flush(struct noc_client_link *link)
{
    while (link->is_open) {
        size_t n;
        const uint8_t *bytes = noc_client_peek(&link->client, noc_posix_now_ms(), &n);
        int written;

        /* TLS may hold what was given to it before, so it is called once more. */
        if (n == 0 && !link->has_tls) {
            return true;
        }
        written = link->transport->write(link->transport, bytes, n);
        if (written < 0) {
            /* Why it takes no more may be said in what it has sent: a DISCONNECT. */
            while (noc_client_link_read(link)) {
            }
            give_up(link);
            return true;
        }
        if (written == 0) {
            return n == 0 && !(link->has_tls && link->tls.out_at < link->tls.out_n);
        }
        noc_client_sent(&link->client, (size_t)written, noc_posix_now_ms());
    }
    return true;
}

bool noc_client_link_read(struct noc_client_link *link)
{
    size_t n;
    uint8_t *room;
    int got;

    if (!link->is_open) {
        return false;
    }
    room = noc_client_room(&link->client, &n);
    if (n == 0) {
        return false;
    }
    got = link->transport->read(link->transport, room, n, 0);
    if (got < 0) {
        give_up(link);
        return true;
    }
    if (got > 0) {
        noc_client_received(&link->client, (size_t)got, noc_posix_now_ms());
    }
    return got > 0;
}

/* ---- opening ---- */

/* The fault that tells most: below TLS it is the socket's. */
static const struct noc_transport_fault *fault_of(const struct noc_client_link *link)
{
    if (link->has_tls && link->tls.fault.kind != NOC_FAULT_CONNECT) {
        return &link->tls.fault;
    }
    return &link->posix.fault;
}

static void debug(struct noc_client_link *link, const char *text)
{
    if (link->settings->is_debug) {
        noc_client_trace_print(
            link->trace.lines, "Port %u: %s", (unsigned)link->settings->port, text);
    }
}

/* Open the transport of the way that is laid out, and start the client. */
static int open_way(
    struct noc_client_link *link, uint32_t timeout_ms, struct noc_client_failure *failure)
{
    int err;

    link->posix.fault.kind = NOC_FAULT_NONE;
    link->tls.fault.kind = NOC_FAULT_NONE;
    link->hints = (struct noc_http_hints){.location = ""};
    err = link->transport->open(link->transport, timeout_ms);
    if (err != NOC_OK) {
        noc_client_failure_of_fault(failure, link->settings, fault_of(link));
        return err;
    }
    link->is_open = true;
    err = noc_client_start(&link->client, noc_posix_now_ms());
    if (err != NOC_OK) {
        give_up(link);
        failure->status = NOC_EXIT_ERROR;
        (void)snprintf(failure->text, sizeof(failure->text),
            "%.48s: cannot connect with these options: %s\n", link->settings->program,
            noc_error_text(err));
    }
    return err;
}

static bool is_http_answer(const struct noc_cause *cause)
{
    return cause->kind == NOC_CAUSE_HTTP ||
           (cause->kind == NOC_CAUSE_UPGRADE && cause->code != NOC_WS_ANSWER_PENDING);
}

/* The time that all of it may take is over, while the answer to the upgrade is waited for. */
static void fail_for_time(const struct noc_client_link *link, struct noc_client_failure *failure)
{
    const struct noc_event event = {
        .kind = NOC_EVENT_CLOSED, .cause = {.kind = NOC_CAUSE_UPGRADE_TIMEOUT}};
    const struct noc_client_end end = {.hints = &link->hints};

    noc_client_failure_of_event(failure, link->settings, &event, &end);
}

/*
 * See whether the upgrade is answered in HTTP. Returns NOC_OK: it is open; NOC_ENOTSUP:
 * not HTTP, or 400, with which a broker answers who speaks HTTP to its MQTT port; or an
 * error and *failure: it was refused, in HTTP, or timeout_ms is over.
 */
static int await_upgrade(
    struct noc_client_link *link, uint32_t timeout_ms, struct noc_client_failure *failure)
{
    uint32_t start_ms = noc_posix_now_ms();
    struct noc_event event;

    while (noc_client_state(&link->client) == NOC_CLIENT_UPGRADING) {
        uint32_t wait_ms = noc_client_wait_ms(&link->client, noc_posix_now_ms());
        uint32_t passed_ms = noc_posix_now_ms() - start_ms;
        bool is_flushed = noc_client_link_flush(link);
        struct pollfd socket = {
            .fd = link->posix.fd, .events = (short)(POLLIN | (is_flushed ? 0 : POLLOUT))};

        if (passed_ms >= timeout_ms) {
            give_up(link);
            fail_for_time(link, failure);
            return NOC_EIO;
        }
        wait_ms = wait_ms < timeout_ms - passed_ms ? wait_ms : timeout_ms - passed_ms;
        if (!noc_client_link_read(link)) {
            (void)poll(&socket, 1, wait_ms > 1000 ? 1000 : (int)wait_ms);
        }
        if (!noc_client_next(&link->client, noc_posix_now_ms(), &event)) {
            continue;
        }
        if (event.kind != NOC_EVENT_CLOSED) {
            break;
        }
        noc_client_link_closed(link, &event, false, failure);
        if (event.cause.kind == NOC_CAUSE_HTTP && event.cause.code == STATUS_BAD_REQUEST) {
            link->http_failure = *failure;
            return NOC_ENOTSUP;
        }
        return is_http_answer(&event.cause) ? NOC_EDENIED : NOC_ENOTSUP;
    }
    return NOC_OK;
}

/* What is left of the time that all ways have together. */
struct allowance {
    uint32_t start_ms, timeout_ms;
};

static uint32_t ms_left(const struct allowance *allowance)
{
    uint32_t passed_ms = noc_posix_now_ms() - allowance->start_ms;

    return passed_ms < allowance->timeout_ms ? allowance->timeout_ms - passed_ms : 0;
}

static int try_wss(struct noc_client_link *link, const struct allowance *allowance,
    struct noc_client_failure *failure)
{
    int err = open_way(link, ms_left(allowance), failure);

    if (err != NOC_OK) {
        return err;
    }
    err = await_upgrade(link, ms_left(allowance), failure);
    link->is_found = err == NOC_OK;
    if (err == NOC_OK || err == NOC_EDENIED) {
        debug(link, "the server answers in HTTP: MQTT over secure WebSocket");
    }
    return err;
}

/* The next way, and why. */
static int try_next(struct noc_client_link *link, enum noc_link_way way, const char *reason,
    const struct allowance *allowance, struct noc_client_failure *failure)
{
    int err = lay_out(link, way, failure);

    if (err == NOC_OK) {
        debug(link, reason);
        err = open_way(link, ms_left(allowance), failure);
    }
    return err;
}

/* Is it the handshake that went wrong, rather than a certificate? */
static bool has_no_tls(const struct noc_client_link *link)
{
    uint8_t kind = fault_of(link)->kind;

    return kind == NOC_FAULT_TLS || kind == NOC_FAULT_NO_TLS;
}

/* Port 443: from one way to the next until one is right. */
static int open_by_trying(
    struct noc_client_link *link, uint32_t timeout_ms, struct noc_client_failure *failure)
{
    const struct noc_client_settings *settings = link->settings;
    const struct allowance allowance = {noc_posix_now_ms(), timeout_ms};
    int err = try_wss(link, &allowance, failure);

    if (err == NOC_ENOTSUP || (err != NOC_OK && fault_of(link)->kind == NOC_FAULT_TLS)) {
        err = try_next(link, NOC_LINK_TRY_TLS, "no WebSocket there: MQTT over TLS with ALPN mqtt",
            &allowance, failure);
        if (err != NOC_OK && link->http_failure.status != 0) {
            *failure = link->http_failure;
            return err;
        }
    }
    /* A password is never sent in the clear because somebody broke a handshake. */
    if (err != NOC_OK && has_no_tls(link) && !settings->tls.is_on &&
        settings->password.at == NULL) {
        err =
            try_next(link, NOC_LINK_TRY_PLAIN, "no TLS there: MQTT as it is", &allowance, failure);
    }
    return err;
}

int noc_client_link_open(
    struct noc_client_link *link, uint32_t timeout_ms, struct noc_client_failure *failure)
{
    *failure = (struct noc_client_failure){.text = ""};
    link->http_failure = (struct noc_client_failure){.text = ""};
    if (link->way == NOC_LINK_TRY_WSS && !link->is_found) {
        return open_by_trying(link, timeout_ms, failure);
    }
    return open_way(link, timeout_ms, failure);
}

void noc_client_link_closed(struct noc_client_link *link, const struct noc_event *event,
    bool was_accepted, struct noc_client_failure *failure)
{
    const struct noc_client_end end = {&link->hints, fault_of(link), was_accepted};

    noc_client_failure_of_event(failure, link->settings, event, &end);
    if (link->http_failure.status != 0 &&
        (event->cause.kind == NOC_CAUSE_PROTOCOL || event->cause.kind == NOC_CAUSE_LOST ||
            event->cause.kind == NOC_CAUSE_CONNECT_TIMEOUT)) {
        *failure = link->http_failure; /* no MQTT either: what HTTP had to say tells more */
    }
    if (link->is_open) {
        link->transport->close(link->transport);
        link->is_open = false;
    }
}
