/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CLI_COMPLETION_H
#define NOC_CLI_COMPLETION_H
/*
 * Inside `noctule completion` only: what shells complete, and the scripts that
 * make them do so.
 *
 *   tables of the options ──► forms ──► completion_bash.c ──► script
 *                                   └─► completion_zsh.c  ──► script
 *
 * A form is a way in which a command line can be written: that of a command, or
 * of a program of Mosquitto's name. Main thread only.
 */

#include <stdbool.h>
#include <stddef.h>

#include "base/macros.h"

/* Texts are static. */
struct noc_completion_option {
    const char *short_name, *long_name; /* with their dashes; either may be NULL */
    const char *argument;               /* what follows, as help calls it, or NULL: nothing */
    const char *words;                  /* what that can be, spaces between, or NULL */
    const char *help;
    bool repeats; /* may be given again */
};

/* A word that is no option. */
struct noc_completion_operand {
    size_t position;      /* 0: the first */
    const char *argument; /* as of an option */
    const char *words;    /* as of an option */
    const char *after;    /* only where the first operand is one of these, or NULL */
};

enum { NOC_COMPLETION_OPTIONS_MAX = 128 };

struct noc_completion_form {
    const char *name; /* "pub", or "mosquitto_pub" */
    struct noc_completion_option options[NOC_COMPLETION_OPTIONS_MAX];
    size_t option_count;
    const struct noc_completion_operand *operands;
    size_t operand_count;
};

/* What an argument is. */
enum noc_completion_kind {
    NOC_COMPLETION_TEXT, /* nobody can guess it */
    NOC_COMPLETION_FILE,
    NOC_COMPLETION_FOLDER,
    NOC_COMPLETION_HOST,
    NOC_COMPLETION_PROPERTY, /* of -D: packet, name, and one or two words */
};

enum noc_completion_kind noc_completion_kind_of(const char *argument);

/* Fill in the form of a command's name, or of a program's. False: nobody knows it. */
NOC_MUST_CHECK bool noc_completion_form_init(struct noc_completion_form *form, const char *name);

/* The script on standard output. */
void noc_completion_print_bash(void);
void noc_completion_print_zsh(void);

#endif
