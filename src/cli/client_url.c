/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The URLs of -L and --proxy.
 *
 *   mqtt://user:password@host:1883/topic
 *   wss://user:password@host/topic-or-path
 *   socks5h://user:password@host:1080
 *
 * Mosquitto decodes no percent signs in the URL of -L, and neither do we: a
 * user, password or topic means itself. In the proxy's URL it decodes those of
 * the user and the password.
 */
#define _GNU_SOURCE
#include "cli/client_parser.h"
#include <noctule/error.h>

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { PROXY_PORT = 1080 };

struct scheme {
    const char *text;
    uint16_t port;
    bool is_secure;
    bool is_ws;
};

/* WebSocket's are those of HTTP, as Mosquitto 2.1's manual has it; its code has MQTT's. */
static const struct scheme schemes[] = {
    {"mqtt://", 1883, false, false},
    {"mqtts://", 8883, true, false},
    {"ws://", 80, false, true},
    {"wss://", 443, true, true},
};

/* The part of a URL in which the host stands, apart. */
struct authority {
    struct noc_slice user, password, host, port; /* absent: at == NULL */
};

static struct noc_slice between(const char *from, const char *to)
{
    return noc_slice(from, (size_t)(to - from));
}

/* The host at at[0..end), perhaps in brackets, and a port. False: it is none. */
static bool split_host(const char *at, const char *end, struct authority *ret)
{
    const char *after;

    if (at < end && *at == '[') {
        after = memchr(at, ']', (size_t)(end - at));
        if (after == NULL) {
            return false;
        }
        ret->host = between(at + 1, after);
        after++;
    } else {
        after = memchr(at, ':', (size_t)(end - at));
        after = after == NULL ? end : after;
        ret->host = between(at, after);
    }
    if (after == end) {
        return true;
    }
    ret->port = between(after + 1, end);
    return *after == ':';
}

/* [USER[:PASSWORD]@]HOST[:PORT]. The last @ counts, so that a password may have one. */
static bool split_authority(const char *at, const char *end, struct authority *ret)
{
    const char *sign = memrchr(at, '@', (size_t)(end - at));
    const char *colon;

    *ret = (struct authority){{0}, {0}, {0}, {0}};
    if (sign != NULL) {
        colon = memchr(at, ':', (size_t)(sign - at));
        ret->user = between(at, colon == NULL ? sign : colon);
        if (colon != NULL) {
            ret->password = between(colon + 1, sign);
        }
        at = sign + 1;
    }
    return split_host(at, end, ret);
}

/* Digits only, 1 to 65535; otherwise -1. */
static int port_number(struct noc_slice text)
{
    long value = 0;

    if (text.n == 0 || text.n > 5) {
        return -1;
    }
    for (size_t i = 0; i < text.n; i++) {
        if (!isdigit((unsigned char)text.at[i])) {
            return -1;
        }
        value = value * 10 + (text.at[i] - '0');
    }
    return value >= 1 && value <= UINT16_MAX ? (int)value : -1;
}

/* Copy a part into the settings, if it is there. */
static int keep(struct noc_client_parser *parser, struct noc_slice part, const char **ret_text)
{
    const char *copy;

    if (part.at == NULL) {
        return NOC_OK;
    }
    copy = noc_client_copy(&parser->settings, part.at, part.n);
    if (copy == NULL) {
        return noc_client_fail_memory(parser);
    }
    *ret_text = copy;
    return NOC_OK;
}

static int keep_authority(
    struct noc_client_parser *parser, const char *at, const char *end, uint16_t default_port)
{
    struct authority parts;
    int port = default_port;
    int err;

    if (!split_authority(at, end, &parts)) {
        return noc_client_fail("Error: Invalid URL for -L argument specified - bad host.\n");
    }
    if (parts.port.at != NULL) {
        port = port_number(parts.port);
    }
    if (port < 0) {
        return noc_client_fail("Error: Invalid port given: %.*s\n", NOC_SLICE_ARG(parts.port));
    }
    parser->numbers[NOC_NUMBER_PORT] = port;
    err = keep(parser, parts.user, &parser->user);
    if (err == NOC_OK) {
        err = keep(parser, parts.password, &parser->password);
    }
    return err < 0 ? err : keep(parser, parts.host, &parser->settings.host);
}

int noc_client_fail_topic(void)
{
    return noc_client_fail("Error: Invalid URL for -L argument specified - topic missing.\n");
}

/*
 * mqtt: what follows the slash is the topic; under our own name -t may give it in its
 * place. ws: that depends on what else is given.
 */
static int keep_path(struct noc_client_parser *parser, const char *slash, bool is_ws)
{
    bool is_mosquitto = parser->settings.is_mosquitto;

    parser->is_ws_url = is_ws;
    parser->url_path = NULL;
    parser->lacks_topic = *slash == '\0' || (!is_ws && !is_mosquitto && slash[1] == '\0');
    if (is_ws) {
        parser->url_path = *slash == '\0' ? NULL : slash;
        return NOC_OK;
    }
    if (parser->lacks_topic) {
        return is_mosquitto ? noc_client_fail_topic() : NOC_OK;
    }
    return noc_client_add_topic(parser, slash + 1, "-L topic");
}

static const struct scheme *find_scheme(const char *url)
{
    for (size_t i = 0; i < NOC_COUNT(schemes); i++) {
        if (strncasecmp(url, schemes[i].text, strlen(schemes[i].text)) == 0) {
            return &schemes[i];
        }
    }
    return NULL;
}

int noc_client_set_url(struct noc_client_parser *parser, const char *value)
{
    const struct scheme *scheme = find_scheme(value);
    const char *at, *slash;
    int err;

    if (scheme == NULL && !parser->settings.is_mosquitto) {
        return noc_client_fail(
            "Error: unsupported URL scheme in '%s', it must be mqtt://, mqtts://, "
            "ws:// or wss://.\n",
            value);
    }
    if (scheme == NULL) {
        return noc_client_fail(
            "Error: %cnsupported URL scheme.\n\n", parser->settings.is_compat_2_1 ? 'U' : 'u');
    }
    at = value + strlen(scheme->text);
    slash = at + strcspn(at, "/");
    err = keep_path(parser, slash, scheme->is_ws);
    if (err == NOC_OK) {
        err = keep_authority(parser, at, slash, scheme->port);
    }
    parser->is_secure_url = scheme->is_secure;
    parser->settings.is_transport_given = true;
    if (scheme->is_secure) {
        parser->settings.tls.use_os_certs = true;
    }
    if (scheme->is_ws) {
        parser->settings.is_ws = true;
    }
    return err;
}

static bool is_path(const char *text)
{
    for (const char *at = text; *at != '\0'; at++) {
        if (*at <= ' ' || *at >= 0x7f || *at == '#') {
            return false;
        }
    }
    return text[0] == '/';
}

int noc_client_set_ws_path(struct noc_client_parser *parser, const char *value)
{
    if (!is_path(value)) {
        return noc_client_fail(
            "Error: Invalid WebSocket path '%s', it must begin with '/' and have no spaces.\n\n",
            value);
    }
    parser->settings.ws_path = value;
    return NOC_OK;
}

/* ---- --proxy ---- */

static int hex_digit(char c)
{
    return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

/* Decode the percent signs in place. False: one of them begins nothing, or a zero byte. */
static bool decode_percent(char *text)
{
    char *to = text;

    for (const char *from = text; *from != '\0'; from++) {
        if (*from != '%') {
            *to++ = *from;
            continue;
        }
        if (!isxdigit((unsigned char)from[1]) || !isxdigit((unsigned char)from[2])) {
            return false;
        }
        *to = (char)(hex_digit(from[1]) << 4 | hex_digit(from[2]));
        if (*to++ == '\0') {
            return false;
        }
        from += 2;
    }
    *to = '\0';
    return true;
}

static int fail_proxy(const struct noc_client_parser *parser)
{
    return noc_client_fail_softly(parser, "Error: Invalid proxy.\n");
}

static int keep_decoded(
    struct noc_client_parser *parser, struct noc_slice part, const char **ret_text)
{
    char *copy;

    if (part.at == NULL) {
        *ret_text = NULL;
        return NOC_OK;
    }
    copy = noc_client_copy(&parser->settings, part.at, part.n);
    if (copy == NULL) {
        return noc_client_fail_memory(parser);
    }
    if (!decode_percent(copy)) {
        return fail_proxy(parser);
    }
    *ret_text = copy;
    return NOC_OK;
}

int noc_client_set_proxy(struct noc_client_parser *parser, const char *value)
{
    static const char scheme[] = "socks5h://";
    struct noc_client_proxy *proxy = &parser->settings.proxy;
    const char *at = value + strlen(scheme);
    struct authority parts;
    int port = PROXY_PORT;
    int err;

    if (strncmp(value, scheme, strlen(scheme)) != 0) {
        return noc_client_fail_softly(parser, "Error: Unsupported proxy protocol: %s\n", value);
    }
    if (!split_authority(at, at + strlen(at), &parts) || parts.host.n == 0 ||
        (parts.user.at != NULL && parts.user.n == 0) ||
        (parts.port.at != NULL && parts.port.n == 0)) {
        return fail_proxy(parser);
    }
    if (parts.port.at != NULL) {
        port = port_number(parts.port);
    }
    if (port < 0) {
        return noc_client_fail_softly(
            parser, "Error: Invalid proxy port %d\n", (int)strtol(parts.port.at, NULL, 10));
    }
    proxy->port = (uint16_t)port;
    err = keep_decoded(parser, parts.user, &proxy->user);
    if (err == NOC_OK) {
        err = keep_decoded(parser, parts.password, &proxy->password);
    }
    return err < 0 ? err : keep(parser, parts.host, &proxy->host);
}
