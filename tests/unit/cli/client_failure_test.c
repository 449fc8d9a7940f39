/* SPDX-License-Identifier: Apache-2.0 */
/* The one line that tells why, and its exit status. The fake edge of tests/e2e has the rest. */
#include "cli/client_failure.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <noctule/reason.h>

static struct noc_client_settings settings_of(enum noc_client_tool tool, bool is_mosquitto)
{
    return (struct noc_client_settings){
        .tool = tool,
        .program = is_mosquitto ? "mosquitto_pub" : "noctule pub",
        .is_mosquitto = is_mosquitto,
        .host = "broker.example",
        .port = 8883,
        .version = 4,
        .ws_path = "/mqtt",
        .proxy = {.host = NULL},
    };
}

static void expect(const struct noc_client_failure *failure, int status, const char *text)
{
    assert_string_equal(failure->text, text);
    assert_int_equal(failure->status, status);
}

static struct noc_transport_fault fault_of(enum noc_fault_kind kind, int code, const char *text)
{
    struct noc_transport_fault fault = {.kind = (uint8_t)kind, .code = code};

    snprintf(fault.text, sizeof(fault.text), "%s", text);
    return fault;
}

static void each_fault_has_its_line(void **state)
{
    static const struct {
        enum noc_fault_kind kind;
        int code;
        const char *text;
        int status;
        const char *line;
    } rows[] = {
        {NOC_FAULT_SETUP, 0, "cannot load 'x'", 1, "noctule pub: cannot load 'x'\n"},
        {NOC_FAULT_LOOKUP, 0, "not known", 15,
            "noctule pub: cannot find the host 'broker.example': not known; check its spelling (-h)"
            " and the DNS\n"},
        {NOC_FAULT_CONNECT, EHOSTUNREACH, "No route", 14,
            "noctule pub: cannot connect to broker.example port 8883: No route; check the address"
            " and this machine's network\n"},
        {NOC_FAULT_CONNECT, EIO, "Input/output error", 14,
            "noctule pub: cannot connect to broker.example port 8883: Input/output error\n"},
        {NOC_FAULT_TIMEOUT, ETIMEDOUT, "Connection timed out", 72,
            "noctule pub: no answer from broker.example port 8883; a firewall may drop what is sent"
            " there\n"},
        {NOC_FAULT_TIMEOUT, ETIMEDOUT, "no answer in the TLS handshake", 72,
            "noctule pub: no answer in the TLS handshake, from broker.example port 8883; is that a"
            " port for TLS?\n"},
        {NOC_FAULT_LOST, 0, "closed", 7,
            "noctule pub: the connection to broker.example port 8883 broke: closed\n"},
        {NOC_FAULT_TLS, 0, "no cipher", 8,
            "noctule pub: no TLS with broker.example port 8883: no cipher\n"},
        {NOC_FAULT_TLS, 0, "the server closed the connection in the TLS handshake", 8,
            "noctule pub: no TLS with broker.example port 8883: the server closed the connection in"
            " the TLS handshake; is that a port for TLS?\n"},
        {NOC_FAULT_CLOCK, 0, "not yet", 8,
            "noctule pub: no TLS with broker.example port 8883: not yet; set this machine's time"
            " (NTP)\n"},
        {NOC_FAULT_OURS, 0, "unwanted", 8,
            "noctule pub: no TLS with broker.example port 8883: unwanted; check --cert and --key, "
            "or"
            " --psk and --psk-identity\n"},
    };
    struct noc_client_settings settings = settings_of(NOC_TOOL_PUB, false);

    for (size_t i = 0; i < NOC_COUNT(rows); i++) {
        struct noc_transport_fault fault = fault_of(rows[i].kind, rows[i].code, rows[i].text);
        struct noc_client_failure failure;

        noc_client_failure_of_fault(&failure, &settings, &fault);
        expect(&failure, rows[i].status, rows[i].line);
    }
}

static void a_host_that_is_more_than_a_name_is_told(void **state)
{
    static const struct {
        const char *host, *advice;
    } rows[] = {
        {"mqtts://broker.example/a", "; -h takes a name alone, -L a URL\n"},
        {"broker.example/mqtt", "; -h takes a name alone, --ws-path a path\n"},
        {"broker.example:8883", "; -h takes a name alone, -p the port\n"},
    };
    struct noc_client_settings settings = settings_of(NOC_TOOL_PUB, false);
    struct noc_transport_fault fault = fault_of(NOC_FAULT_LOOKUP, 0, "not known");

    for (size_t i = 0; i < NOC_COUNT(rows); i++) {
        struct noc_client_failure failure;

        settings.host = rows[i].host;
        noc_client_failure_of_fault(&failure, &settings, &fault);
        assert_int_equal(failure.status, 15);
        assert_non_null(strstr(failure.text, rows[i].advice));
    }
}

static void a_proxy_is_named(void **state)
{
    struct noc_client_settings settings = settings_of(NOC_TOOL_PUB, false);
    struct noc_transport_fault fault =
        fault_of(NOC_FAULT_PROXY, 5, "the proxy says: connection refused");
    struct noc_client_failure failure;

    settings.proxy.host = "proxy.example";
    settings.proxy.port = 1080;
    noc_client_failure_of_fault(&failure, &settings, &fault);
    expect(&failure, 16,
        "noctule pub: cannot reach broker.example port 8883 through the proxy proxy.example port"
        " 1080: the proxy says: connection refused\n");
}

static void faults_under_mosquittos_name(void **state)
{
    static const struct {
        enum noc_fault_kind kind;
        int code, status;
        const char *line;
    } rows[] = {
        {NOC_FAULT_LOOKUP, 0, 1, "Unable to connect (Lookup error.).\n"},
        {NOC_FAULT_CONNECT, ECONNREFUSED, 1, "Error: Connection refused\n"},
        {NOC_FAULT_SETUP, ENOENT, 1, "Error: Problem setting TLS options: File not found.\n"},
        {NOC_FAULT_SETUP, 0, 1, "Unable to connect (A TLS error occurred.).\n"},
        {NOC_FAULT_NO_TLS, 0, 1, "Unable to connect (A TLS error occurred.).\n"},
        {NOC_FAULT_ISSUER, 0, 8, "Error: A TLS error occurred.\n"},
        {NOC_FAULT_CLOCK, 0, 8, "Error: A TLS error occurred.\n"},
    };
    struct noc_client_settings settings = settings_of(NOC_TOOL_PUB, true);

    for (size_t i = 0; i < NOC_COUNT(rows); i++) {
        struct noc_transport_fault fault = fault_of(rows[i].kind, rows[i].code, "words");
        struct noc_client_failure failure;

        noc_client_failure_of_fault(&failure, &settings, &fault);
        expect(&failure, rows[i].status, rows[i].line);
    }
}

static struct noc_event closed_by(enum noc_cause_kind kind, unsigned code)
{
    return (struct noc_event){
        .kind = NOC_EVENT_CLOSED, .cause = {.kind = (uint8_t)kind, .code = (uint16_t)code}};
}

static void fail_by(struct noc_client_failure *failure, const struct noc_client_settings *settings,
    const struct noc_event *event)
{
    static const struct noc_http_hints none;
    static const struct noc_client_end end = {.hints = &none};

    noc_client_failure_of_event(failure, settings, event, &end);
}

static void an_end_that_was_asked_for_has_no_line(void **state)
{
    struct noc_client_settings settings = settings_of(NOC_TOOL_SUB, false);
    struct noc_event event = closed_by(NOC_CAUSE_ASKED, 0);
    struct noc_client_failure failure;

    fail_by(&failure, &settings, &event);
    expect(&failure, 0, "");
}

static void a_reason_string_of_the_broker_is_quoted_and_tamed(void **state)
{
    struct noc_client_settings settings = settings_of(NOC_TOOL_PUB, false);
    struct noc_event event = closed_by(NOC_CAUSE_REFUSED, NOC_RC_BANNED);
    struct noc_client_failure failure;

    settings.version = 5;
    event.payload = noc_slice_of("until\n\033[2Jmonday");
    fail_by(&failure, &settings, &event);
    expect(&failure, NOC_RC_BANNED,
        "noctule pub: the broker refused the connection: banned (until??[2Jmonday)\n");
}

static void other_ends_have_their_lines(void **state)
{
    static const struct {
        enum noc_cause_kind kind;
        unsigned code;
        int status;
        const char *words;
    } rows[] = {
        {NOC_CAUSE_LOST, 0, 7,
            "the connection to broker.example port 8883 was lost; check the port, and whether it"
            " wants TLS (--cafile) or --ws\n"},
        {NOC_CAUSE_PING_TIMEOUT, 0, 7, "the broker no longer answers (PINGREQ)\n"},
        {NOC_CAUSE_CONNECT_TIMEOUT, 0, 72, "no answer to CONNECT; is that an MQTT broker"},
        {NOC_CAUSE_WEBSOCKET, 1009, 7, "the server closed the WebSocket (code 1009)\n"},
        {NOC_CAUSE_DISCONNECTED, NOC_RC_SERVER_SHUTTING_DOWN, 7,
            "the broker ended the connection: server shutting down\n"},
        {NOC_CAUSE_PROTOCOL, NOC_RC_MALFORMED_PACKET, 73, "does not speak MQTT; check the port"},
        {NOC_CAUSE_HTTP, 418, 70, "HTTP 418: what answers there opens no WebSocket"},
        {NOC_CAUSE_HTTP, 400, 70, "check --ws-path, whether the port wants TLS, and that each"},
        {NOC_CAUSE_REFUSED, 5, 5, "not authorised; give user and password (-u, -P)\n"},
        {NOC_CAUSE_OUTBOX, 0, 1, "the outbox failed\n"},
    };
    struct noc_client_settings settings = settings_of(NOC_TOOL_PUB, false);

    for (size_t i = 0; i < NOC_COUNT(rows); i++) {
        struct noc_event event = closed_by(rows[i].kind, rows[i].code);
        struct noc_client_failure failure;

        fail_by(&failure, &settings, &event);
        assert_int_equal(failure.status, rows[i].status);
        assert_non_null(strstr(failure.text, rows[i].words));
        assert_ptr_equal(strchr(failure.text, '\n'), failure.text + strlen(failure.text) - 1);
    }
}

/* Closed before the first answer, it may be the wrong transport; later it is not. */
static void what_a_port_may_want_is_told_of_those_that_never_answered(void **state)
{
    static const struct noc_http_hints none;
    static const struct {
        bool is_ws, is_tls, was_accepted;
        const char *advice;
    } rows[] = {
        {false, true, false, "was lost: closed; check the port, and whether it wants --ws\n"},
        {true, false, false,
            "was lost: closed; check the port, and whether it wants TLS (--cafile)\n"},
        {true, true, false, "was lost: closed; check the port\n"},
        {false, false, true, "was lost: closed\n"},
    };
    struct noc_transport_fault fault = fault_of(NOC_FAULT_LOST, 0, "closed");
    struct noc_event event = closed_by(NOC_CAUSE_LOST, 0);

    for (size_t i = 0; i < NOC_COUNT(rows); i++) {
        struct noc_client_settings settings = settings_of(NOC_TOOL_PUB, false);
        struct noc_client_failure failure;

        settings.is_ws = rows[i].is_ws;
        settings.tls.is_on = rows[i].is_tls;
        noc_client_failure_of_event(&failure, &settings, &event,
            &(struct noc_client_end){&none, &fault, rows[i].was_accepted});
        assert_int_equal(failure.status, 7);
        assert_non_null(strstr(failure.text, rows[i].advice));
    }
}

/* TLS 1.3: the server judges our certificate after the handshake. */
static void a_fault_of_tls_explains_a_loss(void **state)
{
    static const struct noc_http_hints none;
    struct noc_client_settings settings = settings_of(NOC_TOOL_PUB, false);
    struct noc_transport_fault fault =
        fault_of(NOC_FAULT_OURS, 0, "the server wants a certificate from us");
    struct noc_event event = closed_by(NOC_CAUSE_LOST, 0);
    struct noc_client_failure failure;

    noc_client_failure_of_event(
        &failure, &settings, &event, &(struct noc_client_end){&none, &fault, false});
    assert_int_equal(failure.status, 8);
    assert_non_null(strstr(failure.text, "the server wants a certificate from us; check --cert"));
}

static void headers_give_hints(void **state)
{
    static const char *const lines[] = {"LOCATION:\thttps://x.cloudflareaccess.com/ ",
        "cf-ray:1234", "Cf-Mitigated: Challenge", "Locations: no", "Cf-Mitigate: challenge", ""};
    struct noc_http_hints hints = {.location = ""};

    for (size_t i = 0; i < NOC_COUNT(lines); i++) {
        noc_http_hints_add(&hints, noc_slice_of(lines[i]));
    }
    assert_string_equal(hints.location, "https://x.cloudflareaccess.com/");
    assert_string_equal(hints.ray, "1234");
    assert_true(hints.is_challenge);
}

/* Only the host decides whether a redirect is Access's. */
static void a_login_is_known_by_its_host(void **state)
{
    static const struct {
        const char *location;
        bool is_login;
    } rows[] = {
        {"https://team.cloudflareaccess.com/login", true},
        {"https://team.CloudflareAccess.com:443?x", true},
        {"https://evil.example/team.cloudflareaccess.com", false},
        {"https://team.cloudflareaccess.com.evil.example/", false},
        {"/cdn-cgi/access/login", false},
        {"", false},
    };
    struct noc_client_settings settings = settings_of(NOC_TOOL_PUB, false);

    for (size_t i = 0; i < NOC_COUNT(rows); i++) {
        struct noc_event event = closed_by(NOC_CAUSE_HTTP, 302);
        struct noc_http_hints hints = {.location = ""};
        struct noc_client_failure failure;

        snprintf(hints.location, sizeof(hints.location), "%s", rows[i].location);
        noc_client_failure_of_event(
            &failure, &settings, &event, &(struct noc_client_end){.hints = &hints});
        assert_int_equal(strstr(failure.text, "Service Auth") != NULL, rows[i].is_login);
    }
}

/* However long the texts are. */
static void lines_stay_whole(void **state)
{
    static char text[2000];
    struct noc_client_settings settings = settings_of(NOC_TOOL_PUB, false);
    struct noc_event event = closed_by(NOC_CAUSE_DISCONNECTED, 0);
    struct noc_client_failure failure;

    memset(text, 'x', sizeof(text) - 1);
    settings.host = text;
    event.payload = noc_slice(text, sizeof(text) - 1);
    fail_by(&failure, &settings, &event);
    assert_int_equal(failure.text[strlen(failure.text) - 1], '\n');
    event = closed_by(NOC_CAUSE_LOST, 0);
    fail_by(&failure, &settings, &event);
    assert_non_null(strstr(failure.text, " whether it wants TLS (--cafile) or --ws\n"));
}

static void reason_texts_are_mosquittos(void **state)
{
    assert_string_equal(noc_mosquitto_reason_text(0), "Success");
    assert_string_equal(noc_mosquitto_reason_text(0x19), "Re-authenticate");
    assert_string_equal(noc_mosquitto_reason_text(0x87), "Not authorized");
    assert_string_equal(noc_mosquitto_reason_text(0xa2), "Wildcard Subscriptions not supported");
    for (unsigned code = 0; code < 256; code++) {
        assert_non_null(noc_mosquitto_reason_text((uint8_t)code));
    }
    assert_string_equal(noc_mosquitto_reason_text(0xff), "Unknown reason");
    assert_string_equal(noc_mosquitto_reason_text(0x03), "Unknown reason");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_fault_has_its_line),
        cmocka_unit_test(a_host_that_is_more_than_a_name_is_told),
        cmocka_unit_test(a_proxy_is_named),
        cmocka_unit_test(faults_under_mosquittos_name),
        cmocka_unit_test(an_end_that_was_asked_for_has_no_line),
        cmocka_unit_test(a_reason_string_of_the_broker_is_quoted_and_tamed),
        cmocka_unit_test(other_ends_have_their_lines),
        cmocka_unit_test(what_a_port_may_want_is_told_of_those_that_never_answered),
        cmocka_unit_test(a_fault_of_tls_explains_a_loss),
        cmocka_unit_test(headers_give_hints),
        cmocka_unit_test(a_login_is_known_by_its_host),
        cmocka_unit_test(lines_stay_whole),
        cmocka_unit_test(reason_texts_are_mosquittos),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
