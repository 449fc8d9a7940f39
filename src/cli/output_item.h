/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CLI_OUTPUT_ITEM_H
#define NOC_CLI_OUTPUT_ITEM_H
/* Inside output_compile.c, which makes the items of a format, and output_format.c, which shows them. */

#include "cli/output_format.h"

/* Codes of items that are no % codes. */
enum { NOC_ITEM_TEXT = 1, NOC_ITEM_TIME = 2 };

struct noc_output_item {
    char code; /* the letter after %, or one of the above */
    char pad;
    bool is_left;
    char separator; /* between hex digits, or 0 */
    int width;      /* 0: none */
    int precision;  /* -1: none */
    char letter;    /* of ITEM_TIME, for strftime() */
    struct noc_slice text;
};

#endif
