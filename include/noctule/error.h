/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOCTULE_ERROR_H
#define NOCTULE_ERROR_H
/*
 * Every way in which a call of ours can fail. 0 is success, a failure is
 * negative. These are never MQTT reason codes: see reason.h for those.
 */

#include <noctule/config.h>

#ifdef __cplusplus
extern "C" {
#endif

#define NOC_ERROR_MAP(X)                   \
    X(NOC_ENOMEM, 1, "out of memory")      \
    X(NOC_EMALFORMED, 2, "malformed")      \
    X(NOC_EPROTO, 3, "protocol violation") \
    X(NOC_ETOOLARGE, 4, "too large")       \
    X(NOC_EINVAL, 5, "invalid argument")   \
    X(NOC_ENOENT, 6, "not found")          \
    X(NOC_EEXIST, 7, "already there")      \
    X(NOC_EDENIED, 8, "denied")            \
    X(NOC_EFULL, 9, "limit reached")       \
    X(NOC_ECLOSED, 10, "closed")           \
    X(NOC_EIO, 11, "input/output error")   \
    X(NOC_EAGAIN, 12, "would wait")        \
    X(NOC_ENOTSUP, 13, "not supported")    \
    X(NOC_ESTALE, 14, "changed meanwhile")

enum noc_error {
    NOC_OK = 0,
#define NOC_ERROR_ENUM(name, number, text) name = -(number),
    NOC_ERROR_MAP(NOC_ERROR_ENUM)
#undef NOC_ERROR_ENUM
};

/* The text of an error (0 included); a static string, never NULL. Any thread. */
NOC_PUBLIC const char *noc_error_text(int err);

#ifdef __cplusplus
}
#endif

#endif
