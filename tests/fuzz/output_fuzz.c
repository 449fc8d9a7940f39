/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first line is a format of -F, the rest a payload: compiling and showing
 * are safe. JSON that was printed again is JSON, and is printed the same once more.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/output_json.h"
#include <noctule/error.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

enum { FORMAT_MAX = 64 }; /* each code may ask for a megabyte of blanks */

static void show(const char *text, struct noc_slice payload, bool is_compat_2_1)
{
    const struct noc_output_options options = {
        .format = text, .is_compat_2_1 = is_compat_2_1, .is_pretty = is_compat_2_1};
    const struct noc_output_message message = {.topic = noc_slice_of("a/b"), .payload = payload};
    struct noc_output_buffer buffer = {0};
    struct noc_output_format format;
    char fault[NOC_OUTPUT_FAULT_SIZE];
    enum noc_output_fault why;

    if (noc_output_format_init(&format, &options, fault) == NOC_OK) {
        int err = noc_output_format_append(&format, &message, &buffer, &why);

        if ((err != NOC_OK && err != NOC_EMALFORMED) || buffer.n == 0) {
            abort();
        }
    } else if (fault[0] == '\0') {
        abort();
    }
    noc_output_buffer_done(&buffer);
    noc_output_format_done(&format);
}

static void print_twice(struct noc_slice payload, bool is_pretty)
{
    struct noc_output_buffer once = {0}, twice = {0};
    struct noc_json_out first = {.buffer = &once, .is_pretty = is_pretty};
    struct noc_json_out second = {.buffer = &twice, .is_pretty = is_pretty};

    if (noc_json_reprint(&first, payload) == NOC_OK) {
        struct noc_slice text = noc_slice(once.at, once.n);

        if (noc_json_reprint(&second, text) != NOC_OK ||
            !noc_slice_equal(text, noc_slice(twice.at, twice.n))) {
            abort();
        }
    }
    noc_output_buffer_done(&once);
    noc_output_buffer_done(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    const uint8_t *line_end = n == 0 ? NULL : memchr(bytes, '\n', n);
    size_t format_n = line_end == NULL ? n : (size_t)(line_end - bytes);
    struct noc_slice payload = noc_slice(bytes + format_n, n - format_n);
    char format[FORMAT_MAX + 1] = "";

    if (line_end != NULL) {
        payload = noc_slice(line_end + 1, payload.n - 1);
    }
    format_n = format_n > FORMAT_MAX ? FORMAT_MAX : format_n;
    if (format_n > 0) {
        memcpy(format, bytes, format_n);
    }
    show(format, payload, false);
    show(format, payload, true);
    print_twice(payload, false);
    print_twice(payload, true);
    return 0;
}
