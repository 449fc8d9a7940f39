/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A format of -F becomes items:
 *
 *   '%t: %5q\n'  ->  {%t} {": "} {%q width 5} {"\n\n"}
 */
#define _GNU_SOURCE
#include "cli/output_item.h"
#include <noctule/error.h>

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH_MAX = 1 << 20 };

struct compiler {
    struct noc_output_format *format;
    const char *at; /* the rest of the text */
    char *text;     /* where the next plain byte goes */
    char *fault;
};

static int refuse(const struct compiler *compiler, const char *what)
{
    (void)snprintf(compiler->fault, NOC_OUTPUT_FAULT_SIZE, "%s", what);
    return NOC_EINVAL;
}

static int refuse_incomplete(const struct compiler *compiler)
{
    return refuse(compiler, "Incomplete format specifier.");
}

static struct noc_output_item *add_item(struct compiler *compiler, char code)
{
    struct noc_output_item *item = &compiler->format->items[compiler->format->item_count++];

    *item = (struct noc_output_item){.code = code, .pad = ' ', .precision = -1};
    return item;
}

/* A plain byte: to the text item that is last, or to a new one. */
static void add_byte(struct compiler *compiler, char byte)
{
    struct noc_output_format *format = compiler->format;

    if (format->item_count == 0 || format->items[format->item_count - 1].code != NOC_ITEM_TEXT) {
        add_item(compiler, NOC_ITEM_TEXT)->text.at = compiler->text;
    }
    *compiler->text++ = byte;
    format->items[format->item_count - 1].text.n++;
}

/* Digits, perhaps none. False: the number is larger than anybody can mean. */
static bool read_number(struct compiler *compiler, int *ret_number)
{
    int number = 0;

    while (isdigit((unsigned char)*compiler->at)) {
        number = number * 10 + (*compiler->at++ - '0');
        if (number > WIDTH_MAX) {
            return false;
        }
    }
    *ret_number = number;
    return true;
}

static int compile_percent(struct compiler *compiler)
{
    const bool is_2_1 = compiler->format->is_compat_2_1;
    const char *codes = is_2_1 ? "%ACDEFIlmPpqRSrtjJUxXfd" : "%ACDEFIlmPpqRSrtjJUxX";
    struct noc_output_item *item = add_item(compiler, 0);
    bool is_good = true;

    item->is_left = *compiler->at == '-';
    compiler->at += item->is_left ? 1 : 0;
    if (*compiler->at == '0') {
        item->pad = '0';
        compiler->at++;
    }
    is_good = read_number(compiler, &item->width);
    if (*compiler->at == '.' && is_good) {
        compiler->at++;
        is_good = read_number(compiler, &item->precision);
    }
    if (!is_good) {
        return refuse(compiler, "Format width too large.");
    }
    if (is_2_1 && *compiler->at != '%' && *compiler->at != '\0' &&
        (ispunct((unsigned char)*compiler->at) || *compiler->at == ' ')) {
        item->separator = *compiler->at++;
    }
    if (*compiler->at == '\0') {
        return refuse_incomplete(compiler);
    }
    item->code = *compiler->at++;
    if (strchr(codes, item->code) == NULL) {
        (void)snprintf(
            compiler->fault, NOC_OUTPUT_FAULT_SIZE, "Invalid format specifier '%c'.", item->code);
        return NOC_EINVAL;
    }
    return NOC_OK;
}

static int compile_at(struct compiler *compiler)
{
    char letter = *compiler->at;

    if (letter == '\0') {
        return refuse_incomplete(compiler);
    }
    compiler->at++;
    if (letter == '@') {
        add_byte(compiler, letter);
    } else {
        add_item(compiler, NOC_ITEM_TIME)->letter = letter;
    }
    return NOC_OK;
}

static int compile_escape(struct compiler *compiler)
{
    static const char letters[] = "\\0aenrtv";
    static const char meanings[] = "\\\0\a\033\n\r\t\v";
    const char *letter;

    if (*compiler->at == '\0') {
        return refuse(compiler, "Incomplete escape specifier.");
    }
    letter = strchr(letters, *compiler->at);
    if (letter == NULL) {
        (void)snprintf(compiler->fault, NOC_OUTPUT_FAULT_SIZE, "Invalid escape specifier '%c'.",
            *compiler->at);
        return NOC_EINVAL;
    }
    compiler->at++;
    add_byte(compiler, meanings[letter - letters]);
    return NOC_OK;
}

static int compile(struct compiler *compiler)
{
    int err = NOC_OK;

    while (err == NOC_OK && *compiler->at != '\0') {
        char first = *compiler->at++;

        if (first == '%') {
            err = compile_percent(compiler);
        } else if (first == '@') {
            err = compile_at(compiler);
        } else if (first == '\\') {
            err = compile_escape(compiler);
        } else {
            add_byte(compiler, first);
        }
    }
    if (err == NOC_OK && !compiler->format->no_newline) {
        add_byte(compiler, '\n');
    }
    return err;
}

int noc_output_format_init(struct noc_output_format *format,
    const struct noc_output_options *options, char fault[NOC_OUTPUT_FAULT_SIZE])
{
    struct compiler compiler = {.format = format, .at = options->format, .fault = fault};
    size_t n;

    *format = (struct noc_output_format){
        .is_verbose = options->is_verbose,
        .no_newline = options->no_newline,
        .is_pretty = options->is_pretty,
        .is_compat_2_1 = options->is_compat_2_1,
    };
    if (options->format == NULL) {
        return NOC_OK;
    }
    /* Each byte of it makes one item at most, and one byte of text; and the line feed. */
    n = strlen(options->format) + 1;
    format->items = calloc(n, sizeof(*format->items));
    format->text = malloc(n);
    if (format->items == NULL || format->text == NULL) {
        return NOC_ENOMEM;
    }
    compiler.text = format->text;
    return compile(&compiler);
}

void noc_output_format_done(struct noc_output_format *format)
{
    free(format->items);
    free(format->text);
    *format = (struct noc_output_format){0};
}
