/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CLI_OUTPUT_JSON_H
#define NOC_CLI_OUTPUT_JSON_H
/*
 * JSON as mosquitto_sub prints it, which is as cJSON 1.7.15 does: its escapes,
 * its numbers, its layout. What it lets pass, passes here: bytes that are not
 * UTF-8 go through, and a text ends at its first zero byte.
 *
 * Pure but for the memory of the buffer; any thread.
 */

#include "cli/output_format.h"

/* A value under way. */
struct noc_json_out {
    struct noc_output_buffer *buffer;
    unsigned depth; /* containers that are open */
    bool is_pretty;
    bool is_first; /* the container that was opened last is empty so far */
};

/* Each returns NOC_OK or NOC_ENOMEM. */
NOC_MUST_CHECK int noc_json_open(struct noc_json_out *out, char bracket);
NOC_MUST_CHECK int noc_json_close(struct noc_json_out *out, char bracket);
NOC_MUST_CHECK int noc_json_put_text(struct noc_json_out *out, struct noc_slice text);
NOC_MUST_CHECK int noc_json_put_number(struct noc_json_out *out, double number);
NOC_MUST_CHECK int noc_json_put_word(struct noc_json_out *out, const char *word);

/* What goes before the next member of an object (with its name), or element of an array. */
NOC_MUST_CHECK int noc_json_next_member(struct noc_json_out *out, struct noc_slice name);
NOC_MUST_CHECK int noc_json_next_element(struct noc_json_out *out);

/*
 * Read a JSON text, and print it again. At most 1000 containers in one another.
 * NOC_EMALFORMED: it is none, and something may have been printed.
 */
NOC_MUST_CHECK int noc_json_reprint(struct noc_json_out *out, struct noc_slice text);

#endif
