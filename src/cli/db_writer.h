/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CLI_DB_WRITER_H
#define NOC_CLI_DB_WRITER_H
/* JSON of `noctule db`, member by member. Once err is set, nothing is added. All zero at the start. */

#include "cli/output_json.h"

struct noc_db_writer {
    struct noc_output_buffer buffer;
    struct noc_json_out out; /* its buffer is the one above */
    int err;
};

void noc_db_name(struct noc_db_writer *writer, const char *member);
void noc_db_put_word(struct noc_db_writer *writer, const char *member, const char *word);
void noc_db_put_text(struct noc_db_writer *writer, const char *member, struct noc_slice text);
void noc_db_put_int(struct noc_db_writer *writer, const char *member, int64_t number);
void noc_db_put_uint(struct noc_db_writer *writer, const char *member, uint64_t number);
void noc_db_put_base64(struct noc_db_writer *writer, const char *member, struct noc_slice bytes);
void noc_db_open(struct noc_db_writer *writer, char bracket);
void noc_db_close(struct noc_db_writer *writer, char bracket);

/* What goes before an element of an array; and an element that is a number. */
void noc_db_next(struct noc_db_writer *writer);
void noc_db_put_element(struct noc_db_writer *writer, uint64_t number);

/* What there is goes to standard output. */
void noc_db_write_out(struct noc_db_writer *writer);

#endif
