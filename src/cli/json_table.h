/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CLI_JSON_TABLE_H
#define NOC_CLI_JSON_TABLE_H
/*
 * A JSON text (RFC 8259) as lines or rows for a human reader, in the order of the text:
 *
 *   {"version":"0.1.0","clients":{"connected":3},"listeners":[{"port":1883}]}
 *
 *   version                   0.1.0
 *   clients.connected         3
 *   listeners.0.port          1883
 *
 * Strings lose their quotes; control characters in them are shown as escapes,
 * so that a text from elsewhere cannot steer the terminal. Any thread.
 */

#include "base/macros.h"
#include <noctule/slice.h>

#include <stdio.h>

enum {
    NOC_JSON_DEPTH_MAX = 32, /* containers in containers; more is malformed to us */
    NOC_JSON_PATH_MAX = 512, /* bytes of a printed path; a longer one is cut */
};

/*
 * Print one JSON value and nothing behind it but white space. Returns NOC_OK,
 * or NOC_EMALFORMED: lines before the fault may have been printed.
 */
NOC_MUST_CHECK int noc_json_table_print(struct noc_slice json, FILE *stream);

/*
 * The same for an object whose one member is an array of objects with the same members in the same
 * order: a head with their names, and a row for each. null is shown as "-".
 *
 *   {"clients":[{"queued":3,"id":"a"},{"queued":0,"id":"b"}]}
 *
 *   queued     id
 *   3          a
 *   0          b
 */
NOC_MUST_CHECK int noc_json_rows_print(struct noc_slice json, FILE *stream);

/*
 * The string member `name` of a JSON object, top level only, decoded into
 * text (zero-terminated, cut at size). Returns NOC_OK, NOC_ENOENT if there is
 * none, or NOC_EMALFORMED; text is written only on success.
 */
NOC_MUST_CHECK int noc_json_find_string(
    struct noc_slice json, const char *name, char *text, size_t size);

#endif
