/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/db_writer.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/base64.h"
#include <noctule/error.h>

void noc_db_name(struct noc_db_writer *writer, const char *member)
{
    if (writer->err == NOC_OK) {
        writer->err = noc_json_next_member(&writer->out, noc_slice_of(member));
    }
}

void noc_db_put_word(struct noc_db_writer *writer, const char *member, const char *word)
{
    noc_db_name(writer, member);
    if (writer->err == NOC_OK) {
        writer->err = noc_json_put_word(&writer->out, word);
    }
}

void noc_db_put_text(struct noc_db_writer *writer, const char *member, struct noc_slice text)
{
    noc_db_name(writer, member);
    if (writer->err == NOC_OK) {
        writer->err = noc_json_put_text(&writer->out, text);
    }
}

/* All digits: a double has fewer. */
void noc_db_put_int(struct noc_db_writer *writer, const char *member, int64_t number)
{
    char digits[24];

    (void)snprintf(digits, sizeof digits, "%" PRId64, number);
    noc_db_put_word(writer, member, digits);
}

void noc_db_put_uint(struct noc_db_writer *writer, const char *member, uint64_t number)
{
    char digits[24];

    (void)snprintf(digits, sizeof digits, "%" PRIu64, number);
    noc_db_put_word(writer, member, digits);
}

/* It has none of the letters that JSON escapes. */
void noc_db_put_base64(struct noc_db_writer *writer, const char *member, struct noc_slice bytes)
{
    struct noc_output_buffer *buffer = &writer->buffer;

    noc_db_name(writer, member);
    if (writer->err == NOC_OK) {
        writer->err = noc_output_buffer_reserve(buffer, NOC_BASE64_SIZE(bytes.n) + 2);
    }
    if (writer->err == NOC_OK) {
        char *at = buffer->at + buffer->n;

        *at = '"';
        at = noc_base64_encode(at + 1, bytes.at, bytes.n);
        *at++ = '"';
        buffer->n = (size_t)(at - buffer->at);
    }
}

void noc_db_open(struct noc_db_writer *writer, char bracket)
{
    writer->out.buffer = &writer->buffer;
    if (writer->err == NOC_OK) {
        writer->err = noc_json_open(&writer->out, bracket);
    }
}

void noc_db_close(struct noc_db_writer *writer, char bracket)
{
    if (writer->err == NOC_OK) {
        writer->err = noc_json_close(&writer->out, bracket);
    }
}

void noc_db_next(struct noc_db_writer *writer)
{
    if (writer->err == NOC_OK) {
        writer->err = noc_json_next_element(&writer->out);
    }
}

void noc_db_put_element(struct noc_db_writer *writer, uint64_t number)
{
    char digits[24];

    (void)snprintf(digits, sizeof digits, "%" PRIu64, number);
    noc_db_next(writer);
    if (writer->err == NOC_OK) {
        writer->err = noc_json_put_word(&writer->out, digits);
    }
}

void noc_db_write_out(struct noc_db_writer *writer)
{
    (void)fwrite(writer->buffer.at, 1, writer->buffer.n, stdout);
    writer->buffer.n = 0;
}
