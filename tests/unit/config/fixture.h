/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_TESTS_CONFIG_FIXTURE_H
#define NOC_TESTS_CONFIG_FIXTURE_H
/* Reading a text, keeping its report, and a folder for files that a test writes. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "config/config.h"
#include <noctule/error.h>

struct reading {
    struct noc_config *config; /* NULL when it was refused */
    struct noc_config_report report;
    int err;
};

static inline struct reading read_with(const char *text, const struct noc_config_options *options)
{
    struct reading reading = {0};

    noc_config_report_init(&reading.report);
    reading.err = noc_config_parse(
        text, strlen(text), "t.conf", true, options, &reading.config, &reading.report);
    assert_int_equal(reading.err == NOC_OK, reading.config != NULL);
    assert_int_equal(reading.err == NOC_OK, reading.report.error_count == 0);
    return reading;
}

static inline struct reading read_file(const char *path)
{
    struct reading reading = {0};

    noc_config_report_init(&reading.report);
    reading.err = noc_config_load(path, NULL, &reading.config, &reading.report);
    return reading;
}

static inline void reading_done(struct reading *reading)
{
    noc_config_free(reading->config);
    noc_config_report_done(&reading->report);
}

/* Does a message of the report hold the text? */
static inline bool says(const struct reading *reading, const char *text)
{
    for (size_t i = 0; i < reading->report.count; i++) {
        if (strstr(reading->report.messages[i].text, text) != NULL) {
            return true;
        }
    }
    return false;
}

static inline size_t count_level(const struct reading *reading, enum noc_config_level level)
{
    size_t count = 0;

    for (size_t i = 0; i < reading->report.count; i++) {
        count += reading->report.messages[i].level == level;
    }
    return count;
}

/* The text must be taken. */
static inline struct reading accept(const char *text)
{
    struct reading reading = read_with(text, NULL);

    if (reading.err != NOC_OK) {
        print_error("refused: %s: %s\n", text, reading.report.messages[0].text);
    }
    assert_int_equal(reading.err, NOC_OK);
    return reading;
}

/* The text must be refused at the line, with a message that holds the words. */
static inline void refuse(const char *text, unsigned line, const char *words)
{
    struct reading reading = read_with(text, NULL);
    char place[64];

    if (reading.err != NOC_EINVAL || !says(&reading, words)) {
        print_error("text: %s\nexpected: %s\ngot: %s\n", text, words,
            reading.report.count == 0 ? "(nothing)" : reading.report.messages[0].text);
    }
    assert_int_equal(reading.err, NOC_EINVAL);
    assert_true(says(&reading, words));
    snprintf(place, sizeof(place), "Error found at t.conf:%u.", line);
    assert_true(line == 0 || says(&reading, place));
    reading_done(&reading);
}

/* A new folder below /tmp; its name stays valid until the next call. */
static inline const char *make_folder(void)
{
    static char path[64];

    snprintf(path, sizeof(path), "/tmp/noctule-config-XXXXXX");
    assert_non_null(mkdtemp(path));
    return path;
}

static inline void write_file(const char *folder, const char *name, const char *text)
{
    char path[256];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
}

static inline void remove_file(const char *folder, const char *name)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    (void)remove(path);
}

#endif
