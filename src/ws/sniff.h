/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_WS_SNIFF_H
#define NOC_WS_SNIFF_H
/*
 * What a peer speaks, told from its first bytes. Every kind of listener asks
 * this when a connection opens, so that a mix-up (TLS sent to a plain port,
 * MQTT sent to a WebSocket port, a PROXY header nobody expects) is named in
 * the log instead of ending as "protocol error". Pure; freestanding C11.
 */

#include <stddef.h>
#include <stdint.h>

enum noc_first_bytes {
    NOC_FIRST_UNKNOWN_YET = 0, /* too few bytes to tell */
    NOC_FIRST_HTTP,            /* a method and a space */
    NOC_FIRST_TLS_HELLO,       /* a TLS handshake record: 0x16 0x03 */
    NOC_FIRST_MQTT_CONNECT,    /* CONNECT of MQTT 3.1, 3.1.1 or 5.0 */
    NOC_FIRST_PROXY_V1,        /* "PROXY " */
    NOC_FIRST_PROXY_V2,        /* the 12 byte signature */
    NOC_FIRST_OTHER,           /* none of these, whatever else comes */
};

/* The most bytes it takes to be sure: a longer start is never NOC_FIRST_UNKNOWN_YET. */
#define NOC_FIRST_BYTES_MAX 23u

/* Judge bytes[0..n), always counted from the very first byte of the connection. */
enum noc_first_bytes noc_first_bytes_kind(const uint8_t *bytes, size_t n);

/* What it is, for the log: "a TLS hello", "an HTTP request". Static text, never NULL. */
const char *noc_first_bytes_text(enum noc_first_bytes kind);

#endif
