/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CONFIG_OPTIONS_H
#define NOC_CONFIG_OPTIONS_H
/*
 * The table of all options: what a line of mosquitto.conf may begin with.
 * Parser, defaults, the freeing of strings, --list-options, --explain and the
 * man page's section all derive from these rows. Constant; any thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/text.h"
#include <noctule/slice.h>

struct noc_config_parser;
struct noc_option;

/* What an option belongs to. */
enum noc_option_scope {
    NOC_SCOPE_GLOBAL,
    NOC_SCOPE_SECURITY, /* global, or the listener's with per_listener_settings */
    NOC_SCOPE_LISTENER,
    NOC_SCOPE_BRIDGE,
    NOC_SCOPE_PLUGIN
};

/* The form of a value, and the C type of its field. */
enum noc_option_type {
    NOC_OPTION_BOOL,     /* bool */
    NOC_OPTION_TRISTATE, /* a bool; int field, -1 when not given */
    NOC_OPTION_INT,      /* int */
    NOC_OPTION_U32,      /* uint32_t */
    NOC_OPTION_SIZE,     /* uint64_t */
    NOC_OPTION_STRING,   /* char * */
    NOC_OPTION_PATH,     /* char * */
    NOC_OPTION_WORD,     /* one of words; an enum */
    NOC_OPTION_LIST,     /* struct noc_config_list, one string per line */
    NOC_OPTION_DURATION, /* a number and a unit: s h d w m y */
    NOC_OPTION_CUSTOM    /* whatever the row's function makes of it */
};

/* When a changed value counts after SIGHUP. */
enum noc_option_reload {
    NOC_RELOAD_NOW,    /* at once */
    NOC_RELOAD_NEW,    /* for connections made from then on */
    NOC_RELOAD_RESTART /* when the broker is started again */
};

enum noc_option_flag {
    NOC_OPTION_INACTIVE = 1,      /* read and checked, but nothing follows from it yet */
    NOC_OPTION_REPEATABLE = 2,    /* a second value does not offend */
    NOC_OPTION_CLAMP = 4,         /* a value below min counts as min */
    NOC_OPTION_PREFIX = 8,        /* name is only how the option's name begins */
    NOC_OPTION_DEPRECATED = 16,   /* works, but should not be used in new files */
    NOC_OPTION_OWN = 32,          /* Mosquitto does not have it */
    NOC_OPTION_GUARD = 64,        /* with INACTIVE: to ignore it would open what it closes */
    NOC_OPTION_STAYS_LOCAL = 128, /* before any listener it does not ask for a default one */
    NOC_OPTION_ALIAS = 256        /* another name for the field of another row */
};

/* A word of a NOC_OPTION_WORD. */
struct noc_option_word {
    const char *word;
    int value;
};

/* Store a value; the parser says where it was read. Returns 0, NOC_EINVAL (reported) or NOC_ENOMEM. */
typedef int (*noc_option_store_fn)(
    struct noc_config_parser *parser, const struct noc_option *option, struct noc_slice value);

struct noc_option {
    const char *name;
    enum noc_option_scope scope;
    enum noc_option_type type;
    unsigned flags;
    enum noc_option_reload reload;
    size_t offset;                       /* of the field in the scope's struct, or NOC_NO_FIELD */
    int64_t min, max;                    /* of numbers; of strings max is the length, 0 any */
    const struct noc_option_word *words; /* ended by a NULL word; or NULL */
    noc_option_store_fn store;           /* of NOC_OPTION_CUSTOM */
    const char *fallback;                /* the default as one would write it, or NULL for none */
    const char *since;                   /* version that first had it */
    const char *syntax;                  /* the value in the manual: "PORT [ADDRESS]" */
    const char *help;                    /* one or two sentences */
};

#define NOC_NO_FIELD ((size_t)-1)

/* The rows, in sections by scope, sorted by name within each. */
extern const struct noc_option noc_options[];
extern const size_t noc_option_count;

/* The row of a name, or NULL. */
const struct noc_option *noc_option_find(struct noc_slice name);

/* The name nearest to an unknown one, or NULL when none is near enough to be meant. */
const struct noc_option *noc_option_nearest(struct noc_slice name);

/*
 * The edits (insert, delete, replace, swap neighbours) that lead from one name to the other, case
 * aside. SIZE_MAX: one of them is too long to be a name.
 */
size_t noc_option_distance(struct noc_slice a, struct noc_slice b);

/* Words for messages and lists: "global", "bool", "at once". */
const char *noc_option_scope_text(enum noc_option_scope scope);
const char *noc_option_type_text(enum noc_option_type type);
const char *noc_option_reload_text(enum noc_option_reload reload);

/* Add the list of all options: for people, as a JSON array, as a section of a man page. */
void noc_options_list(struct noc_text *text);
void noc_options_list_json(struct noc_text *text);
void noc_options_list_man(struct noc_text *text);

#endif
