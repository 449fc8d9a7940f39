/* SPDX-License-Identifier: Apache-2.0 */
/* The values of options that need more than to be stored. */
#include "base/utf8.h"
#include "cli/client_parser.h"
#include "mqtt/topic.h"
#include <noctule/error.h>

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { DELAY_MAX_S = 1000000000, TOPIC_MAX_BYTES = 65535 };

/* ---- text ---- */

/* The code point at at[0..n), which is well-formed UTF-8; its bytes are *ret_used. */
static uint32_t code_point(const uint8_t *at, size_t *ret_used)
{
    size_t more = at[0] < 0xc0 ? 0 : at[0] < 0xe0 ? 1 : at[0] < 0xf0 ? 2 : 3;
    uint32_t value = more == 0 ? at[0] : at[0] & (0x3fu >> more);

    for (size_t i = 1; i <= more; i++) {
        value = value << 6 | (at[i] & 0x3fu);
    }
    *ret_used = more + 1;
    return value;
}

static bool is_control(uint32_t point)
{
    return point < 0x20 || (point >= 0x7f && point < 0xa0);
}

static bool is_non_character(uint32_t point)
{
    return (point >= 0xfdd0 && point <= 0xfdef) || (point & 0xfffe) == 0xfffe;
}

bool noc_client_text_is_valid(const char *text)
{
    const struct noc_slice slice = noc_slice_of(text);
    size_t used;

    if (!noc_utf8_is_valid(slice)) {
        return false;
    }
    for (size_t i = 0; i < slice.n; i += used) {
        uint32_t point = code_point((const uint8_t *)text + i, &used);

        if (is_control(point) || is_non_character(point)) {
            return false;
        }
    }
    return true;
}

static int check_text(const char *text, const char *option)
{
    if (!noc_client_text_is_valid(text)) {
        return noc_client_fail("Error: Malformed UTF-8 in %s argument.\n\n", option);
    }
    return NOC_OK;
}

/* ---- topics ---- */

/* Mosquitto lets an empty topic through, and deep ones: the broker will judge them. */
static bool is_topic(const char *text)
{
    return strlen(text) <= TOPIC_MAX_BYTES && strpbrk(text, "+#") == NULL;
}

/* The same of filters: + and # must be a level of their own, # the last. */
static bool is_filter(const char *text)
{
    size_t n = strlen(text);

    for (size_t i = 0; i < n; i++) {
        bool is_level = (i == 0 || text[i - 1] == '/') && (i + 1 == n || text[i + 1] == '/');

        if ((text[i] == '+' || text[i] == '#') && !(is_level && (text[i] == '+' || i + 1 == n))) {
            return false;
        }
    }
    return n <= TOPIC_MAX_BYTES;
}

static int check_filter(const char *filter, const char *what)
{
    if (!is_filter(filter)) {
        return noc_client_fail(
            "Error: Invalid %s topic '%s', are all '+' and '#' wildcards correct?\n", what, filter);
    }
    return NOC_OK;
}

static int check_topic(const char *topic, const char *what)
{
    if (!is_topic(topic)) {
        return noc_client_fail(
            "Error: Invalid %s topic '%s', does it contain '+' or '#'?\n", what, topic);
    }
    return NOC_OK;
}

int noc_client_add_topic(struct noc_client_parser *parser, const char *topic, const char *option)
{
    struct noc_client_texts *topics = &parser->settings.topics;
    bool is_sub = parser->settings.tool == NOC_TOOL_SUB;
    int err = check_text(topic, option);

    if (err == NOC_OK) {
        err = is_sub ? check_filter(topic, "subscription") : check_topic(topic, "publish");
    }
    if (err < 0) {
        return err;
    }
    if (!is_sub) {
        topics->n = 0; /* the last one counts */
    }
    return noc_client_texts_add(parser, topics, topic);
}

int noc_client_set_topic(struct noc_client_parser *parser, const char *value)
{
    parser->is_topic_given = true;
    return noc_client_add_topic(parser, value, "-t");
}

int noc_client_set_response_topic(struct noc_client_parser *parser, const char *value)
{
    int err = check_text(value, "-e");

    if (err == NOC_OK) {
        err = check_topic(value, "response");
    }
    if (err == NOC_OK) {
        parser->settings.response_topic = value;
    }
    return err;
}

int noc_client_set_will_topic(struct noc_client_parser *parser, const char *value)
{
    int err = check_text(value, "--will-topic");

    if (err == NOC_OK) {
        err = check_topic(value, "will");
    }
    if (err == NOC_OK) {
        parser->will_topic = value;
    }
    return err;
}

int noc_client_set_filter_out(struct noc_client_parser *parser, const char *value)
{
    int err = check_text(value, "-T");

    if (err == NOC_OK) {
        err = check_filter(value, "filter");
    }
    return err < 0 ? err : noc_client_texts_add(parser, &parser->settings.filter_out, value);
}

int noc_client_set_unsubscribe(struct noc_client_parser *parser, const char *value)
{
    int err = check_text(value, "-U");

    if (err == NOC_OK) {
        err = check_filter(value, "unsubscribe");
    }
    return err < 0 ? err : noc_client_texts_add(parser, &parser->settings.unsubscribe, value);
}

/* ---- the session ---- */

int noc_client_set_unix(struct noc_client_parser *parser, const char *value)
{
    parser->settings.host = value;
    parser->numbers[NOC_NUMBER_PORT] = 0;
    return NOC_OK;
}

int noc_client_set_version(struct noc_client_parser *parser, const char *value)
{
    static const struct {
        const char *name;
        uint8_t version;
    } names[] = {{"31", 3}, {"311", 4}, {"5", 5}};
    const char *number = strncmp(value, "mqttv", strlen("mqttv")) == 0 ? value + 5 : value;

    for (size_t i = 0; i < NOC_COUNT(names); i++) {
        if (strcmp(names[i].name, number) == 0) {
            parser->settings.version = names[i].version;
            return NOC_OK;
        }
    }
    return noc_client_fail("Error: Invalid protocol version argument given.\n%s",
        parser->settings.is_mosquitto ? "\n" : "It is one of 5, 311 and 31.\n");
}

int noc_client_set_session_expiry(struct noc_client_parser *parser, const char *value)
{
    char *end;
    long long number = strtoll(value, &end, 0);

    if (strcmp(value, "\xe2\x88\x9e") == 0) { /* the sign of infinity */
        number = -1;
    } else if (end == value || *end != '\0') {
        return noc_client_fail("Error: session-expiry-interval not a number.\n\n");
    }
    if (number < -1 || number > UINT32_MAX) {
        return noc_client_fail("Error: session-expiry-interval out of range.\n\n");
    }
    parser->session_expiry_s = number == -1 ? UINT32_MAX : number;
    if (parser->settings.is_compat_2_1) {
        parser->settings.version = 5;
    }
    return NOC_OK;
}

/* ---- what to do ---- */

int noc_client_set_repeat_delay(struct noc_client_parser *parser, const char *value)
{
    double delay_s = strtod(value, NULL);

    if (isnan(delay_s) || delay_s < 0.0) {
        return noc_client_fail("Error: --repeat-delay argument must be >=0.0.\n\n");
    }
    delay_s = delay_s > DELAY_MAX_S ? DELAY_MAX_S : delay_s;
    parser->settings.repeat_delay_us = (uint64_t)(delay_s * 1e6);
    return NOC_OK;
}

int noc_client_set_random_filter(struct noc_client_parser *parser, const char *value)
{
    double percent = strtod(value, NULL);

    if (isnan(percent) || percent < 0.1 || percent > 100.0) {
        return noc_client_fail("Error: --random-filter chance must be between 0.1-100.0\n\n");
    }
    parser->settings.random_filter = (unsigned)(percent * 100.0 + 0.5);
    return NOC_OK;
}

int noc_client_set_skip_retained(struct noc_client_parser *parser, const char *value)
{
    (void)value;
    parser->settings.skip_retained = true;
    parser->settings.retain_handling = NOC_RETAIN_SEND_NEVER;
    return NOC_OK;
}

int noc_client_set_retain_handling(struct noc_client_parser *parser, const char *value)
{
    static const char *const names[] = {
        [NOC_RETAIN_SEND_ALWAYS] = "always",
        [NOC_RETAIN_SEND_NEW] = "new",
        [NOC_RETAIN_SEND_NEVER] = "never",
    };

    for (size_t i = 0; i < NOC_COUNT(names); i++) {
        if (strcmp(names[i], value) == 0) {
            parser->settings.retain_handling = (enum noc_client_retain_handling)i;
            return NOC_OK;
        }
    }
    return noc_client_fail("Error: Unknown value '%s' for --retain-handling.\n\n", value);
}

int noc_client_set_latency(struct noc_client_parser *parser, const char *value)
{
    (void)value;
    parser->settings.print_latency = true;
    parser->settings.no_delay = true;
    return NOC_OK;
}

int noc_client_set_options_file(struct noc_client_parser *parser, const char *value)
{
    (void)value; /* it has been read */
    return parser->is_in_file ? noc_client_fail("Error: -o cannot be used in an options file.\n\n")
                              : NOC_OK;
}

int noc_client_set_format(struct noc_client_parser *parser, const char *value)
{
    struct noc_output_options options = {.format = value};
    struct noc_output_format trial;
    char fault[NOC_OUTPUT_FAULT_SIZE];
    int err;

    options.is_compat_2_1 = parser->settings.is_compat_2_1;
    err = noc_output_format_init(&trial, &options, fault);
    noc_output_format_done(&trial);
    if (err == NOC_ENOMEM) {
        return noc_client_fail_memory(parser);
    }
    if (err < 0) {
        return noc_client_fail("Error: %s\n", fault);
    }
    parser->output.format = value;
    return NOC_OK;
}

/* ---- the WebSocket ---- */

/* No line may be broken in a request. */
static bool is_header_text(const char *text)
{
    for (; *text != '\0'; text++) {
        if (iscntrl((unsigned char)*text) && *text != '\t') {
            return false;
        }
    }
    return true;
}

/* One of the characters of a header's name (RFC 9110, 5.6.2). */
static bool is_token(char c)
{
    return isalnum((unsigned char)c) || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

/* Those that the engine writes by itself: a second one would break the upgrade. */
static bool is_reserved(const char *name, size_t n)
{
    static const char *const names[] = {"Host", "Upgrade", "Connection", "Sec-WebSocket-Key",
        "Sec-WebSocket-Version", "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions",
        "Content-Length", "Transfer-Encoding"};

    for (size_t i = 0; i < NOC_COUNT(names); i++) {
        if (strlen(names[i]) == n && strncasecmp(names[i], name, n) == 0) {
            return true;
        }
    }
    return false;
}

int noc_client_set_header(struct noc_client_parser *parser, const char *value)
{
    size_t n = 0;

    while (is_token(value[n])) {
        n++;
    }
    if (n == 0 || value[n] != ':' || !is_header_text(value)) {
        return noc_client_fail(
            "Error: Invalid --header '%s', it must be of the form 'Name: value'.\n\n", value);
    }
    if (is_reserved(value, n)) {
        return noc_client_fail(
            "Error: --header cannot set %.*s, which belongs to the WebSocket's request itself.\n\n",
            (int)n, value);
    }
    return noc_client_texts_add(parser, &parser->settings.headers, value);
}

int noc_client_set_user_agent(struct noc_client_parser *parser, const char *value)
{
    if (!is_header_text(value)) {
        return noc_client_fail("Error: Control characters in --user-agent.\n\n");
    }
    parser->settings.user_agent = value;
    return NOC_OK;
}
