/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/report.h"

#include <stdarg.h>
#include <stdio.h>

/* A file's control characters must not reach a terminal or forge a log line. */
static void clean(char *text)
{
    for (char *at = text; *at != '\0'; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7f) {
            *at = '?';
        }
    }
}

static void write_text(char text[NOC_REPORT_TEXT], const char *file, size_t line,
    const char *format, va_list arguments) NOC_PRINTF(4, 0);

static void write_text(char text[NOC_REPORT_TEXT], const char *file, size_t line,
    const char *format, va_list arguments)
{
    int n = line == 0 ? snprintf(text, NOC_REPORT_TEXT, "%s: ", file)
                      : snprintf(text, NOC_REPORT_TEXT, "%s:%zu: ", file, line);

    if (n >= 0 && n < NOC_REPORT_TEXT) {
        (void)vsnprintf(text + n, NOC_REPORT_TEXT - (size_t)n, format, arguments);
    }
    clean(text);
}

void noc_report_warn(
    struct noc_report *report, const char *file, size_t line, const char *format, ...)
{
    char text[NOC_REPORT_TEXT];
    va_list arguments;

    if (report->warnings++ >= NOC_REPORT_WARNINGS_MAX || report->warn == NULL) {
        return;
    }
    va_start(arguments, format);
    write_text(text, file, line, format, arguments);
    va_end(arguments);
    report->warn(report->context, text);
}

void noc_report_fail(
    struct noc_report *report, const char *file, size_t line, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    write_text(report->error, file, line, format, arguments);
    va_end(arguments);
}
