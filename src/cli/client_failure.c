/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "cli/client_failure.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "cli/client_trace.h"
#include "ws/client.h"

/* ---- lines ---- */

/* What came from outside must not move the cursor or begin a line of its own. */
static void tame(char *text)
{
    noc_client_tame(text, strlen(text), '?');
}

/* "noctule pub: <text>\n" */
static void say(struct noc_client_failure *failure, const struct noc_client_settings *settings,
    int status, const char *format, ...) NOC_PRINTF(4, 5);

static void say(struct noc_client_failure *failure, const struct noc_client_settings *settings,
    int status, const char *format, ...)
{
    char text[sizeof(failure->text) - 64];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    tame(text);
    failure->status = status;
    if (settings->is_mosquitto) {
        (void)snprintf(failure->text, sizeof(failure->text), "Error: %s\n", text);
    } else {
        (void)snprintf(
            failure->text, sizeof(failure->text), "%.48s: %s\n", settings->program, text);
    }
}

/* Words of Mosquitto's. */
static void say_plain(struct noc_client_failure *failure, int status, const char *before,
    const char *text, const char *after)
{
    failure->status = status;
    (void)snprintf(failure->text, sizeof(failure->text), "%s%s%s", before, text, after);
}

/* ---- the way there ---- */

struct advice {
    int code;
    const char *text;
};

static const char *advice_for(int code)
{
    static const struct advice rows[] = {
        {ECONNREFUSED, "; nothing listens there: check the port (-p), and that the broker runs"},
        {EHOSTUNREACH, "; check the address and this machine's network"},
        {ENETUNREACH, "; check the address and this machine's network"},
        {EADDRNOTAVAIL, "; check the address of -A"},
        {ENOENT, "; check the path, and that the broker runs"},
        {EACCES, "; the socket's file, or a firewall, does not let this user through"},
    };

    for (size_t i = 0; i < NOC_COUNT(rows); i++) {
        if (rows[i].code == code) {
            return rows[i].text;
        }
    }
    return "";
}

/* Mosquitto's lines for a connection that did not come about. */
static bool say_as_mosquitto(
    struct noc_client_failure *failure, const struct noc_transport_fault *fault)
{
    switch ((enum noc_fault_kind)fault->kind) {
    case NOC_FAULT_LOOKUP:
        say_plain(failure, NOC_EXIT_ERROR, "Unable to connect (Lookup error.).\n", "", "");
        return true;
    case NOC_FAULT_CONNECT:
    case NOC_FAULT_TIMEOUT:
        say_plain(failure, NOC_EXIT_ERROR, "Error: ", strerror(fault->code), "\n");
        return true;
    case NOC_FAULT_SETUP:
        if (fault->code == ENOENT) {
            say_plain(failure, NOC_EXIT_ERROR,
                "Error: Problem setting TLS options: File not found.\n", "", "");
            return true;
        }
        say_plain(failure, NOC_EXIT_ERROR, "Unable to connect (A TLS error occurred.).\n", "", "");
        return true;
    case NOC_FAULT_NO_TLS:
        say_plain(failure, NOC_EXIT_ERROR, "Unable to connect (A TLS error occurred.).\n", "", "");
        return true;
    case NOC_FAULT_TLS:
    case NOC_FAULT_ISSUER:
    case NOC_FAULT_NAME:
    case NOC_FAULT_EXPIRED:
    case NOC_FAULT_CLOCK:
    case NOC_FAULT_CERTIFICATE:
    case NOC_FAULT_OURS:
        say_plain(failure, NOC_EXIT_TLS, "Error: A TLS error occurred.\n", "", "");
        return true;
    case NOC_FAULT_NONE:
    case NOC_FAULT_PROXY:
    case NOC_FAULT_LOST:
        break;
    }
    return false;
}

static const char *tls_advice(const struct noc_transport_fault *fault)
{
    switch ((enum noc_fault_kind)fault->kind) {
    case NOC_FAULT_ISSUER:
        return "; name its CA with --cafile or --capath";
    case NOC_FAULT_NAME:
        return "; connect to a name that it is for (-h), or renew it";
    case NOC_FAULT_EXPIRED:
        return "; it must be renewed on the server";
    case NOC_FAULT_CLOCK:
        return "; set this machine's time (NTP)";
    case NOC_FAULT_NO_TLS:
        return "; try the port for TLS (-p), or leave TLS off (--no-tls)";
    case NOC_FAULT_OURS:
        return "; check --cert and --key, or --psk and --psk-identity";
    case NOC_FAULT_TIMEOUT:
        return "; is that a port for TLS?";
    case NOC_FAULT_TLS:
        return strncmp(fault->text, "the server closed", 17) == 0 ? "; is that a port for TLS?"
                                                                  : "";
    case NOC_FAULT_NONE:
    case NOC_FAULT_SETUP:
    case NOC_FAULT_LOOKUP:
    case NOC_FAULT_CONNECT:
    case NOC_FAULT_PROXY:
    case NOC_FAULT_LOST:
    case NOC_FAULT_CERTIFICATE:
        break;
    }
    return "";
}

/* Who gives -h a URL, or more than a name, is told so. */
static const char *lookup_advice(const char *host)
{
    return strstr(host, "://") != NULL ? "; -h takes a name alone, -L a URL"
           : strchr(host, '/') != NULL ? "; -h takes a name alone, --ws-path a path"
           : strchr(host, ':') != NULL ? "; -h takes a name alone, -p the port"
                                       : "; check its spelling (-h) and the DNS";
}

/* "the socket '/run/x'" or "mqtt.example port 8883" */
static void name_target(const struct noc_client_settings *settings, char text[160])
{
    if (settings->is_unix) {
        (void)snprintf(text, 160, "the socket '%.140s'", settings->host);
    } else {
        (void)snprintf(text, 160, "%.140s port %u", settings->host, (unsigned)settings->port);
    }
}

void noc_client_failure_of_fault(struct noc_client_failure *failure,
    const struct noc_client_settings *settings, const struct noc_transport_fault *fault)
{
    const char *host = settings->proxy.host != NULL ? settings->proxy.host : settings->host;
    char target[160];

    if (settings->is_mosquitto && say_as_mosquitto(failure, fault)) {
        return;
    }
    name_target(settings, target);
    switch ((enum noc_fault_kind)fault->kind) {
    case NOC_FAULT_SETUP:
        say(failure, settings, NOC_EXIT_ERROR, "%s", fault->text);
        return;
    case NOC_FAULT_LOOKUP:
        say(failure, settings, NOC_EXIT_LOOKUP, "cannot find the host '%.140s': %s%s", host,
            fault->text, lookup_advice(host));
        return;
    case NOC_FAULT_CONNECT:
        say(failure, settings, NOC_EXIT_CONNECT, "cannot connect to %s: %s%s", target, fault->text,
            advice_for(fault->code));
        return;
    case NOC_FAULT_TIMEOUT:
        if (strncmp(fault->text, "no answer in", 12) == 0) { /* the TLS handshake */
            say(failure, settings, NOC_EXIT_NO_ANSWER, "%s, from %s%s", fault->text, target,
                tls_advice(fault));
        } else {
            say(failure, settings, NOC_EXIT_NO_ANSWER, "no answer from %s; %s", target,
                settings->is_unix ? "the broker may hang"
                                  : "a firewall may drop what is sent there");
        }
        return;
    case NOC_FAULT_PROXY:
        say(failure, settings, NOC_EXIT_PROXY,
            "cannot reach %s through the proxy %.80s port %u: %s", target, settings->proxy.host,
            (unsigned)settings->proxy.port, fault->text);
        return;
    case NOC_FAULT_NONE:
    case NOC_FAULT_LOST:
        say(failure, settings, NOC_EXIT_LOST, "the connection to %s broke: %s", target,
            fault->text);
        return;
    case NOC_FAULT_TLS:
    case NOC_FAULT_NO_TLS:
    case NOC_FAULT_ISSUER:
    case NOC_FAULT_NAME:
    case NOC_FAULT_EXPIRED:
    case NOC_FAULT_CLOCK:
    case NOC_FAULT_CERTIFICATE:
    case NOC_FAULT_OURS:
        say(failure, settings, NOC_EXIT_TLS, "no TLS with %s: %s%s", target, fault->text,
            tls_advice(fault));
        return;
    }
}

/* ---- HTTP ---- */

static void keep(char *text, size_t size, struct noc_slice value)
{
    (void)snprintf(text, size, "%.*s", NOC_SLICE_ARG(value));
    tame(text);
}

/* Is it the header of that name, written with its colon? *ret_value has no blanks around it. */
static bool is_header(struct noc_slice line, const char *name, struct noc_slice *ret_value)
{
    size_t n = strlen(name);

    if (line.n < n || strncasecmp(line.at, name, n) != 0) {
        return false;
    }
    while (n < line.n && (line.at[n] == ' ' || line.at[n] == '\t')) {
        n++;
    }
    while (line.n > n && (line.at[line.n - 1] == ' ' || line.at[line.n - 1] == '\t')) {
        line.n--;
    }
    *ret_value = noc_slice(line.at + n, line.n - n);
    return true;
}

void noc_http_hints_add(struct noc_http_hints *hints, struct noc_slice line)
{
    static const char challenge[] = "challenge";
    struct noc_slice value;

    if (is_header(line, "location:", &value)) {
        keep(hints->location, sizeof(hints->location), value);
    } else if (is_header(line, "cf-ray:", &value)) {
        keep(hints->ray, sizeof(hints->ray), value);
    } else if (is_header(line, "cf-mitigated:", &value)) {
        hints->is_challenge =
            value.n == sizeof(challenge) - 1 && strncasecmp(value.at, challenge, value.n) == 0;
    }
}

static bool has_word(struct noc_slice body, const char *word)
{
    return body.n > 0 && memmem(body.at, body.n, word, strlen(word)) != NULL;
}

/* The host of a URL: is it that of Access's login pages? */
static bool is_access_login(const char *location)
{
    static const char suffix[] = ".cloudflareaccess.com";
    const char *host = strstr(location, "://");
    size_t n;

    if (host == NULL) {
        return false;
    }
    host += 3;
    n = strcspn(host, "/:?#");
    return n >= sizeof(suffix) - 1 &&
           strncasecmp(host + n - (sizeof(suffix) - 1), suffix, sizeof(suffix) - 1) == 0;
}

/* An answer other than 101; after_s: Retry-After, 0: none. */
struct refusal {
    unsigned status;
    unsigned after_s;
    struct noc_slice body;
    const struct noc_http_hints *hints;
};

static void say_redirect(struct noc_client_failure *failure,
    const struct noc_client_settings *settings, const struct refusal *refusal)
{
    if (is_access_login(refusal->hints->location)) {
        say(failure, settings, NOC_EXIT_HTTP,
            "HTTP %u: Cloudflare Access sends us to a login; give a service token with --header"
            " 'CF-Access-Client-Id: ...' and --header 'CF-Access-Client-Secret: ...', and let its"
            " policy's action be Service Auth",
            refusal->status);
    } else {
        say(failure, settings, NOC_EXIT_HTTP,
            "HTTP %u: the server sends us to %s; connect there (-L)", refusal->status,
            refusal->hints->location[0] == '\0' ? "nowhere" : refusal->hints->location);
    }
}

static void say_forbidden(struct noc_client_failure *failure,
    const struct noc_client_settings *settings, const struct noc_http_hints *hints)
{
    if (hints->is_challenge) {
        say(failure, settings, NOC_EXIT_HTTP,
            "HTTP 403: Cloudflare wants a browser's challenge solved, which a device cannot; add a"
            " WAF skip rule for this host and path (Cf-Ray %s)",
            hints->ray);
    } else if (hints->ray[0] != '\0') {
        say(failure, settings, NOC_EXIT_HTTP,
            "HTTP 403: a rule of Cloudflare's Access or WAF forbids it; look for Cf-Ray %s in its"
            " security events",
            hints->ray);
    } else {
        say(failure, settings, NOC_EXIT_HTTP,
            "HTTP 403: the server forbids it; check its rules, --ws-path and --header");
    }
}

/* What Cloudflare means by its own codes. */
static const char *cloudflare_text(const struct refusal *refusal)
{
    switch (refusal->status) {
    case 521:
        return "Cloudflare is refused by the server; check that it runs and lets Cloudflare's "
               "addresses in";
    case 522:
    case 524:
        return "Cloudflare gets no answer from the server; check its firewall, and that it runs";
    case 523:
        return "Cloudflare cannot reach the server; check its address in the DNS";
    case 525:
    case 526:
        return "Cloudflare does not accept the server's TLS certificate; renew it, or see "
               "noTLSVerify"
               " and originServerName in the tunnel's configuration";
    case 530:
        if (has_word(refusal->body, "1033")) {
            return "the tunnel (error 1033) has no cloudflared that is connected; start "
                   "cloudflared";
        }
        if (has_word(refusal->body, "1016")) {
            return "Cloudflare (error 1016) cannot find the server's name in the DNS; check the "
                   "tunnel's"
                   " DNS record";
        }
        return "Cloudflare cannot reach the server; check the tunnel and its DNS record";
    default:
        return "the server's answer makes no sense to Cloudflare; check what listens on its port";
    }
}

static void say_refusal(struct noc_client_failure *failure,
    const struct noc_client_settings *settings, const struct refusal *refusal)
{
    switch (refusal->status) {
    case 301:
    case 302:
    case 303:
    case 307:
    case 308:
        say_redirect(failure, settings, refusal);
        return;
    case 401:
        say(failure, settings, NOC_EXIT_HTTP,
            "HTTP 401: the server wants to know who we are before MQTT begins; give --header"
            " 'Authorization: ...'");
        return;
    case 403:
        say_forbidden(failure, settings, refusal->hints);
        return;
    case 429:
    case 503:
        if (refusal->after_s > 0) {
            say(failure, settings, NOC_EXIT_HTTP, "HTTP %u: the server is busy; try again in %u s",
                refusal->status, refusal->after_s);
        } else {
            say(failure, settings, NOC_EXIT_HTTP, "HTTP %u: the server is busy; try again later",
                refusal->status);
        }
        return;
    case 502:
        say(failure, settings, NOC_EXIT_HTTP,
            "HTTP 502: the proxy is there, but the broker behind it refused or speaks no HTTP; "
            "check"
            " scheme (http, not https or tcp) and port in the proxy's or tunnel's configuration");
        return;
    case 504:
        say(failure, settings, NOC_EXIT_HTTP,
            "HTTP 504: the proxy is there, but the broker behind it does not answer; check that it "
            "runs");
        return;
    default:
        break;
    }
    if (refusal->status >= 520 && refusal->status <= 530) {
        say(failure, settings, NOC_EXIT_HTTP, "HTTP %u: %s", refusal->status,
            cloudflare_text(refusal));
    } else {
        say(failure, settings, NOC_EXIT_HTTP,
            "HTTP %u: what answers there opens no WebSocket on the path '%.100s'; check --ws-path, "
            "%sand that each proxy in between passes the upgrade on",
            refusal->status, settings->ws_path == NULL ? "/" : settings->ws_path,
            refusal->status == 400 && !settings->tls.is_on ? "whether the port wants TLS, " : "");
    }
}

static const char *upgrade_advice(unsigned kind)
{
    switch (kind) {
    case NOC_WS_ANSWER_PENDING:
        return "; check the port, and whether MQTT is there without WebSocket";
    case NOC_WS_ANSWER_SUBPROTOCOL:
    case NOC_WS_ANSWER_NO_SUBPROTOCOL:
        return "; check the path (--ws-path) and the tunnel's or proxy's rule for it";
    case NOC_WS_ANSWER_ACCEPT:
        return "; something between us and the server answers in its place";
    case NOC_WS_ANSWER_UPGRADE:
        return "; a proxy in between takes the upgrade out";
    default:
        return "";
    }
}

/* ---- MQTT ---- */

const char *noc_mosquitto_reason_text(uint8_t reason)
{
    static const char *const low[] = {
        [0x00] = "Success",
        [0x01] = "Granted QoS 1",
        [0x02] = "Granted QoS 2",
        [0x04] = "Disconnect with Will Message",
        [0x10] = "No matching subscribers",
        [0x11] = "No subscription existed",
        [0x18] = "Continue authentication",
        [0x19] = "Re-authenticate",
    };
    static const char *const high[] = {
        "Unspecified error",
        "Malformed Packet",
        "Protocol Error",
        "Implementation specific error",
        "Unsupported Protocol Version",
        "Client Identifier not valid",
        "Bad User Name or Password",
        "Not authorized",
        "Server unavailable",
        "Server busy",
        "Banned",
        "Server shutting down",
        "Bad authentication method",
        "Keep Alive timeout",
        "Session taken over",
        "Topic Filter invalid",
        "Topic Name invalid",
        "Packet Identifier in use",
        "Packet Identifier not found",
        "Receive Maximum exceeded",
        "Topic Alias invalid",
        "Packet too large",
        "Message rate too high",
        "Quota exceeded",
        "Administrative action",
        "Payload format invalid",
        "Retain not supported",
        "QoS not supported",
        "Use another server",
        "Server moved",
        "Shared Subscriptions not supported",
        "Connection rate exceeded",
        "Maximum connect time",
        "Subscription identifiers not supported",
        "Wildcard Subscriptions not supported",
    };
    const char *text = NULL;

    if (reason < NOC_COUNT(low)) {
        text = low[reason];
    } else if (reason >= 0x80 && reason - 0x80U < NOC_COUNT(high)) {
        text = high[reason - 0x80];
    }
    return text == NULL ? "Unknown reason" : text;
}

/* The return codes of CONNACK in MQTT 3. */
static const char *mosquitto_connack_text(unsigned code)
{
    static const char *const texts[] = {
        "Connection Refused: unknown reason.",
        "Connection Refused: unacceptable protocol version.",
        "Connection Refused: identifier rejected.",
        "Connection Refused: broker unavailable.",
        "Connection Refused: bad user name or password.",
        "Connection Refused: not authorised.",
    };

    return texts[code < NOC_COUNT(texts) ? code : 0];
}

/*
 * Mosquitto's: rr gives MQTT 5's text to any code, and pub adds what its library's
 * loop returned.
 */
static void refuse_as_mosquitto(
    struct noc_client_failure *failure, const struct noc_client_settings *settings, unsigned code)
{
    bool is_v5 = settings->version == 5;
    const char *text = is_v5 || settings->tool == NOC_TOOL_RR
                           ? noc_mosquitto_reason_text((uint8_t)code)
                           : mosquitto_connack_text(code);
    const char *more = "";

    if (is_v5 && code == NOC_RC_UNSUPPORTED_VERSION) {
        more = settings->tool == NOC_TOOL_RR
                   ? ". mosquitto_rr only supports connecting to an MQTT v5 broker"
                   : ". Try connecting to an MQTT v5 broker, or use MQTT v3.x mode.";
    }
    failure->status = (int)code;
    (void)snprintf(failure->text, sizeof(failure->text), "Connection error: %s%s\n%s", text, more,
        settings->tool != NOC_TOOL_PUB ? ""
        : !is_v5 && code >= 1 && code <= 5
            ? "Error: The connection was refused.\n"
            : "Error: A network protocol error occurred when communicating with the broker.\n");
}

static const char *refusal_advice(const struct noc_client_settings *settings, unsigned reason)
{
    switch (reason) {
    case NOC_RC_BAD_CREDENTIALS:
    case NOC_RC_NOT_AUTHORIZED:
        return settings->user.at == NULL ? "; give user and password (-u, -P)"
                                         : "; check user and password (-u, -P)";
    case NOC_RC_UNSUPPORTED_VERSION:
        return "; try another version (-V)";
    case NOC_RC_CLIENT_ID_NOT_VALID:
        return "; try another client id (-i)";
    default:
        return "";
    }
}

static void say_connack(struct noc_client_failure *failure,
    const struct noc_client_settings *settings, unsigned code, struct noc_slice reason_string)
{
    static const uint8_t of_version_3[] = {0, NOC_RC_UNSUPPORTED_VERSION,
        NOC_RC_CLIENT_ID_NOT_VALID, NOC_RC_SERVER_UNAVAILABLE, NOC_RC_BAD_CREDENTIALS,
        NOC_RC_NOT_AUTHORIZED};
    uint8_t reason = settings->version == 5           ? (uint8_t)code
                     : code < NOC_COUNT(of_version_3) ? of_version_3[code]
                                                      : 0xff;

    if (settings->is_mosquitto) {
        refuse_as_mosquitto(failure, settings, code);
    } else if (reason_string.n > 0) {
        say(failure, settings, (int)code, "the broker refused the connection: %s (%.*s)%s",
            noc_reason_text(reason), (int)(reason_string.n > 200 ? 200 : reason_string.n),
            reason_string.at, refusal_advice(settings, reason));
    } else {
        say(failure, settings, (int)code, "the broker refused the connection: %s%s",
            noc_reason_text(reason), refusal_advice(settings, reason));
    }
}

/* Who closes before the first answer may have expected something else on that port. */
static const char *transport_advice(const struct noc_client_settings *settings)
{
    static const char *const texts[2][2] = {
        {"; check the port, and whether it wants TLS (--cafile) or --ws",
            "; check the port, and whether it wants --ws"},
        {"; check the port, and whether it wants TLS (--cafile)", "; check the port"},
    };

    return settings->is_unix ? "" : texts[settings->is_ws][settings->tls.is_on];
}

/* Closed without anybody telling why. */
static void say_lost(struct noc_client_failure *failure, const struct noc_client_settings *settings,
    const struct noc_transport_fault *fault, bool was_accepted)
{
    char target[160];
    bool is_told = fault != NULL && fault->kind != NOC_FAULT_NONE && fault->kind != NOC_FAULT_LOST;

    if (is_told) { /* TLS 1.3: the server judges us after the handshake */
        noc_client_failure_of_fault(failure, settings, fault);
    } else if (settings->is_mosquitto) {
        say_plain(failure, NOC_EXIT_LOST, "Error: The connection was lost.\n", "", "");
    } else {
        name_target(settings, target);
        say(failure, settings, NOC_EXIT_LOST, "the connection to %s was lost%s%s%s", target,
            fault == NULL || fault->kind == NOC_FAULT_NONE ? "" : ": ",
            fault == NULL || fault->kind == NOC_FAULT_NONE ? "" : fault->text,
            was_accepted ? "" : transport_advice(settings));
    }
}

static void say_no_mqtt(
    struct noc_client_failure *failure, const struct noc_client_settings *settings)
{
    char target[160];

    if (settings->is_mosquitto) { /* what errno happened to be */
        say_plain(failure, NOC_EXIT_CONNECT, "Error: Success\n", "", "");
        return;
    }
    name_target(settings, target);
    say(failure, settings, NOC_EXIT_NO_MQTT,
        "what answers on %s does not speak MQTT; check the port, and whether it wants TLS or --ws",
        target);
}

void noc_client_failure_of_event(struct noc_client_failure *failure,
    const struct noc_client_settings *settings, const struct noc_event *event,
    const struct noc_client_end *end)
{
    const struct noc_cause *cause = &event->cause;
    const struct refusal refusal = {cause->code, cause->retry_after_s, event->payload, end->hints};

    failure->status = 0;
    failure->text[0] = '\0';
    switch ((enum noc_cause_kind)cause->kind) {
    case NOC_CAUSE_NONE:
    case NOC_CAUSE_ASKED:
        return;
    case NOC_CAUSE_LOST:
        say_lost(failure, settings, end->fault, end->was_accepted);
        return;
    case NOC_CAUSE_UPGRADE_TIMEOUT:
        say(failure, settings, NOC_EXIT_NO_ANSWER,
            "no answer to the WebSocket request; what is behind that port may not speak HTTP, or "
            "hangs");
        return;
    case NOC_CAUSE_CONNECT_TIMEOUT:
        say(failure, settings, NOC_EXIT_NO_ANSWER,
            "no answer to CONNECT; is that an MQTT broker, and the right port for this transport?");
        return;
    case NOC_CAUSE_PING_TIMEOUT:
        say(failure, settings, NOC_EXIT_LOST, "the broker no longer answers (PINGREQ)");
        return;
    case NOC_CAUSE_HTTP:
        say_refusal(failure, settings, &refusal);
        return;
    case NOC_CAUSE_UPGRADE:
        say(failure, settings, NOC_EXIT_UPGRADE, "%s%s", noc_cause_text(cause),
            upgrade_advice(cause->code));
        return;
    case NOC_CAUSE_WEBSOCKET:
        say(failure, settings, NOC_EXIT_LOST, "the server closed the WebSocket (code %u)%s%.*s",
            (unsigned)cause->code, event->payload.n > 0 ? ": " : "", NOC_SLICE_ARG(event->payload));
        return;
    case NOC_CAUSE_REFUSED:
        say_connack(failure, settings, cause->code, event->payload);
        return;
    case NOC_CAUSE_DISCONNECTED:
        if (settings->is_mosquitto) {
            say_plain(failure, NOC_EXIT_NOT_CONNECTED,
                "Error: The client is not currently connected.\n", "", "");
        } else {
            say(failure, settings, NOC_EXIT_LOST, "the broker ended the connection: %s%s%.*s",
                noc_reason_text((uint8_t)cause->code), event->payload.n > 0 ? ": " : "",
                NOC_SLICE_ARG(event->payload));
        }
        return;
    case NOC_CAUSE_PROTOCOL:
        say_no_mqtt(failure, settings);
        return;
    case NOC_CAUSE_AUTH:
    case NOC_CAUSE_OUTBOX:
    case NOC_CAUSE_OPTIONS:
        say(failure, settings, NOC_EXIT_ERROR, "%s", noc_cause_text(cause));
        return;
    }
}
