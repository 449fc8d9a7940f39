/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"

/* More than a reader wants to see; a file of nonsense must not fill the memory. */
#define MESSAGES_MAX 1000

void noc_config_report_init(struct noc_config_report *report)
{
    *report = (struct noc_config_report){0};
}

void noc_config_report_done(struct noc_config_report *report)
{
    for (size_t i = 0; i < report->count; i++) {
        free(report->messages[i].file);
        free(report->messages[i].text);
    }
    free(report->messages);
    noc_config_report_init(report);
}

static bool reserve(struct noc_config_report *report)
{
    size_t capacity = report->capacity == 0 ? 16 : report->capacity * 2;
    struct noc_config_message *messages;

    if (report->count < report->capacity) {
        return true;
    }
    messages = realloc(report->messages, capacity * sizeof(*messages));
    if (messages == NULL) {
        return false;
    }
    report->messages = messages;
    report->capacity = capacity;
    return true;
}

/* Append a message; take_text is the report's, NULL stands for memory that ran out. */
static void append(struct noc_config_report *report, enum noc_config_level level, const char *file,
    unsigned line, char *take_text)
{
    struct noc_config_message message = {level, NULL, line, take_text};

    if (take_text == NULL || !reserve(report)) {
        goto incomplete;
    }
    if (file != NULL) {
        message.file = strdup(file);
        if (message.file == NULL) {
            goto incomplete;
        }
    }
    report->messages[report->count++] = message;
    return;

incomplete:
    free(take_text);
    report->is_incomplete = true;
}

void noc_config_report_add(struct noc_config_report *report, enum noc_config_level level,
    const char *file, unsigned line, const char *format, ...)
{
    bool has_place = file != NULL && line > 0;
    struct noc_text text;
    va_list arguments;
    char body[1024];

    report->error_count += level == NOC_CONFIG_ERROR;
    if (report->count >= MESSAGES_MAX) {
        return;
    }
    va_start(arguments, format);
    (void)vsnprintf(body, sizeof(body), format, arguments);
    va_end(arguments);
    noc_text_init(&text);
    if (has_place && level != NOC_CONFIG_ERROR) {
        noc_text_add(&text, "%s:%u: ", file, line);
    }
    noc_text_add(&text, "%s", body);
    append(report, level, file, line, noc_text_detach(&text));
    if (has_place && level == NOC_CONFIG_ERROR) {
        noc_text_add(&text, "Error found at %s:%u.", file, line);
        append(report, level, file, line, noc_text_detach(&text));
    }
}
