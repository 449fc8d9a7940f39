/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_BASE_UTF8_H
#define NOC_BASE_UTF8_H
/* UTF-8 as MQTT wants it [MQTT-1.5.4-1], [MQTT-1.5.4-2]. */

#include <stdbool.h>

#include <noctule/slice.h>

/*
 * Is text well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms, at
 * most U+10FFFF) and free of U+0000? Other control characters and
 * non-characters are allowed, as the standard lets a server choose. Pure;
 * plain ASCII goes at eight bytes a step.
 */
bool noc_utf8_is_valid(struct noc_slice text);

#endif
