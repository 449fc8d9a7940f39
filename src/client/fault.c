/* SPDX-License-Identifier: Apache-2.0 */
#include "client/fault.h"

#include <stdarg.h>
#include <stdio.h>

int noc_fault_set(struct noc_transport_fault *fault, enum noc_fault_kind kind, int code, int err,
    const char *format, ...)
{
    va_list args;

    fault->kind = (uint8_t)kind;
    fault->code = code;
    va_start(args, format);
    (void)vsnprintf(fault->text, sizeof(fault->text), format, args);
    va_end(args);
    for (char *c = fault->text; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f) {
            *c = '?';
        }
    }
    return err;
}
