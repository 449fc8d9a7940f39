/* SPDX-License-Identifier: Apache-2.0 */
#include "ws/sniff.h"

#include <stdbool.h>
#include <string.h>

#include "base/macros.h"

#define METHOD_MAX 20u

static const uint8_t proxy_v2_signature[12] = {
    0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};

/* Do bytes and pattern agree as far as both go? */
static bool is_begun(const uint8_t *bytes, size_t n, const void *pattern, size_t pattern_n)
{
    return memcmp(bytes, pattern, n < pattern_n ? n : pattern_n) == 0;
}

/* An upper case word and a space: a method, or the text form of the PROXY protocol. */
static enum noc_first_bytes word_kind(const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n && i <= METHOD_MAX; i++) {
        bool is_letter = bytes[i] >= 'A' && bytes[i] <= 'Z';

        if (bytes[i] == ' ' && i > 0) {
            bool is_proxy = i == 5 && memcmp(bytes, "PROXY", 5) == 0;

            return is_proxy ? NOC_FIRST_PROXY_V1 : NOC_FIRST_HTTP;
        }
        if (i == METHOD_MAX || !(is_letter || (i > 0 && (bytes[i] == '-' || bytes[i] == '_')))) {
            return NOC_FIRST_OTHER;
        }
    }
    return NOC_FIRST_UNKNOWN_YET;
}

/* After the packet type: the remaining length (1 to 4 bytes), then the protocol's name. */
static enum noc_first_bytes connect_kind(const uint8_t *bytes, size_t n)
{
    static const uint8_t name_v4[] = {0, 4, 'M', 'Q', 'T', 'T'};
    static const uint8_t name_v3[] = {0, 6, 'M', 'Q', 'I', 's', 'd', 'p'};
    size_t at = 1;

    while (at < n && (bytes[at] & 0x80) != 0) {
        at++;
        if (at > 4) {
            return NOC_FIRST_OTHER;
        }
    }
    at++;
    if (at >= n) {
        return NOC_FIRST_UNKNOWN_YET;
    }
    if (is_begun(bytes + at, n - at, name_v4, sizeof name_v4)) {
        return n - at >= sizeof name_v4 ? NOC_FIRST_MQTT_CONNECT : NOC_FIRST_UNKNOWN_YET;
    }
    if (is_begun(bytes + at, n - at, name_v3, sizeof name_v3)) {
        return n - at >= sizeof name_v3 ? NOC_FIRST_MQTT_CONNECT : NOC_FIRST_UNKNOWN_YET;
    }
    return NOC_FIRST_OTHER;
}

/* The binary PROXY signature, or one empty line, which HTTP servers skip (RFC 9112, 2.2). */
static enum noc_first_bytes line_end_kind(const uint8_t *bytes, size_t n)
{
    if (is_begun(bytes, n, proxy_v2_signature, sizeof proxy_v2_signature)) {
        return n >= sizeof proxy_v2_signature ? NOC_FIRST_PROXY_V2 : NOC_FIRST_UNKNOWN_YET;
    }
    if (bytes[1] != '\n') {
        return NOC_FIRST_OTHER;
    }
    return word_kind(bytes + 2, n - 2) == NOC_FIRST_PROXY_V1 ? NOC_FIRST_OTHER
                                                             : word_kind(bytes + 2, n - 2);
}

enum noc_first_bytes noc_first_bytes_kind(const uint8_t *bytes, size_t n)
{
    if (n == 0) {
        return NOC_FIRST_UNKNOWN_YET;
    }
    switch (bytes[0]) {
    case 0x16:
        if (n == 1) {
            return NOC_FIRST_UNKNOWN_YET;
        }
        return bytes[1] == 0x03 ? NOC_FIRST_TLS_HELLO : NOC_FIRST_OTHER;
    case 0x10:
        return connect_kind(bytes, n);
    case '\r':
        return line_end_kind(bytes, n);
    default:
        return word_kind(bytes, n);
    }
}

const char *noc_first_bytes_text(enum noc_first_bytes kind)
{
    static const char *const text[] = {
        [NOC_FIRST_UNKNOWN_YET] = "too few bytes to tell",
        [NOC_FIRST_HTTP] = "an HTTP request",
        [NOC_FIRST_TLS_HELLO] = "a TLS hello",
        [NOC_FIRST_MQTT_CONNECT] = "a plain MQTT CONNECT",
        [NOC_FIRST_PROXY_V1] = "a PROXY protocol header (version 1)",
        [NOC_FIRST_PROXY_V2] = "a PROXY protocol header (version 2)",
        [NOC_FIRST_OTHER] = "bytes of no known protocol",
    };

    return (size_t)kind < NOC_COUNT(text) ? text[kind] : text[NOC_FIRST_OTHER];
}
