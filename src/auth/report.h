/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_AUTH_REPORT_H
#define NOC_AUTH_REPORT_H
/*
 * What reading a credential file has to say: warnings as they come, and the
 * cause of a failure. Texts begin with "FILE:LINE: " or "FILE: ", never
 * contain a secret, and never a control character of the file. Owner only.
 */

#include "base/macros.h"
#include <noctule/slice.h>

enum { NOC_REPORT_TEXT = 512, NOC_REPORT_WARNINGS_MAX = 100 };

struct noc_report {
    void (*warn)(void *context, const char *text); /* NULL: warnings are only counted */
    void *context;
    unsigned warnings;           /* counted; told only up to NOC_REPORT_WARNINGS_MAX */
    char error[NOC_REPORT_TEXT]; /* empty until something failed */
};

/* Line 0: of the file as a whole. */
void noc_report_warn(struct noc_report *report, const char *file, size_t line, const char *format,
    ...) NOC_PRINTF(4, 5);
void noc_report_fail(struct noc_report *report, const char *file, size_t line, const char *format,
    ...) NOC_PRINTF(4, 5);

#endif
