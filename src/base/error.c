/* SPDX-License-Identifier: Apache-2.0 */
#include <noctule/error.h>

const char *noc_error_text(int err)
{
    switch (err) {
    case NOC_OK:
        return "success";
#define NOC_ERROR_CASE(name, number, text) \
    case name:                             \
        return text;
        NOC_ERROR_MAP(NOC_ERROR_CASE)
#undef NOC_ERROR_CASE
    default:
        return "unknown error";
    }
}
