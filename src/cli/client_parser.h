/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CLI_CLIENT_PARSER_H
#define NOC_CLI_CLIENT_PARSER_H
/*
 * Inside the client tools' options only: what the files client_*.c share while
 * a command line is read. Functions that return int return NOC_OK or an error,
 * and have then said why on standard error.
 *
 *   client_table.c     the table of the options
 *   client_options.c   the command line, the options file
 *   client_values.c    a value of the command line into the settings
 *   client_url.c       -L and --proxy
 *   client_props.c     -D
 *   client_checks.c    what must fit together; defaults; the payload
 *   client_help.c      --help, --version, --man
 *
 * Main thread only.
 */

#include "cli/client_options.h"

enum noc_option_since { NOC_SINCE_2_0, NOC_SINCE_2_1, NOC_SINCE_OURS };

/* The options whose value is a whole number. */
enum noc_client_number {
    NOC_NUMBER_COUNT,
    NOC_NUMBER_INFLIGHT,
    NOC_NUMBER_KEEP_ALIVE,
    NOC_NUMBER_PORT, /* -1: not given; 0: the host is the path of a unix socket */
    NOC_NUMBER_QOS,
    NOC_NUMBER_REPEAT,
    NOC_NUMBER_TIMEOUT,
    NOC_NUMBER_WILL_QOS,
    NOC_NUMBERS,
};

/* The settings as they become, and what of the command line is no setting by itself. */
struct noc_client_parser {
    struct noc_client_settings settings;
    int numbers[NOC_NUMBERS];
    const char *id, *id_prefix;  /* or NULL */
    const char *user, *password; /* or NULL */
    const char *message;         /* -m, or NULL */
    const char *file;            /* -f, or NULL */
    bool has_source;             /* one of -f -l -m -n -s was given */
    bool reads_stdin, reads_lines, is_null;
    const char *will_topic, *will_payload; /* or NULL */
    struct noc_output_options output;
    bool keeps_session;       /* -c */
    bool no_tls;              /* --no-tls */
    bool is_secure_url;       /* mqtts://, wss:// */
    bool is_topic_given;      /* by -t */
    const char *url_path;     /* of ws:// and wss:// from its slash on, or NULL */
    bool is_ws_url;           /* ws://, wss:// */
    bool lacks_topic;         /* the URL has none; -t must be given */
    int64_t session_expiry_s; /* -x, or -1 */
    const char *keyform, *engine, *engine_password;
    struct noc_output_buffer props[NOC_CLIENT_PROPS_COUNT]; /* in wire form */
    bool is_in_file;                                        /* an options file is being read */

    /* What the end of it is. */
    bool wants_help, wants_version, wants_man;
    bool no_hint; /* the error is not one of usage: no "Use ... --help" below it */
};

enum noc_option_kind {
    NOC_OPTION_FLAG,     /* sets the bool at target */
    NOC_OPTION_TEXT,     /* sets the const char * at target */
    NOC_OPTION_NUMBER,   /* sets numbers[target] */
    NOC_OPTION_CALL,     /* calls apply */
    NOC_OPTION_PROPERTY, /* -D, which has three or four words */
    NOC_OPTION_STOP,     /* sets the bool at target, and nothing after it is looked at */
};

/* A row of the table of options. */
/* What of a value others on this machine must not go on seeing in the list of processes. */
enum noc_option_secret { NOC_SECRET_NONE, NOC_SECRET_ALL, NOC_SECRET_LOGIN /* of a URL */ };

struct noc_client_option {
    const char *short_name, *long_name; /* with their dashes; either may be NULL */
    uint8_t tools;                      /* enum noc_client_tool, or-ed */
    uint8_t since;                      /* enum noc_option_since */
    uint8_t kind;                       /* enum noc_option_kind */
    bool is_own;                        /* not known under Mosquitto's names */
    bool is_source;                     /* one of those of which there can be only one */
    bool repeats;                       /* each one counts */
    uint8_t secret;                     /* enum noc_option_secret */
    bool is_id;                         /* -i or -I: the other one must not have been given */
    const char *argument;               /* how help calls it, or NULL: there is none */
    const char *words;                  /* what it can be, words with spaces between, or NULL */
    const char *heading;                /* the rows from here on have it in the manual, or NULL */
    const char *missing;                /* what is wrong when it is not there */
    const char *help;                   /* lines of at most 70 characters */
    size_t target;                      /* by kind: an offset in struct noc_client_parser */
    int (*apply)(struct noc_client_parser *parser, const char *value);
    int number_min, number_max;
    const char *number_fault; /* what is wrong beyond them; may show the number by %d */
    bool is_fault_alone;      /* no empty line after it */
};

extern const struct noc_client_option noc_client_options[];
extern const size_t noc_client_option_count;

/* Whether the tool has it; is_mosquitto: under Mosquitto's name. */
bool noc_client_option_is_of(
    const struct noc_client_option *option, enum noc_client_tool tool, bool is_mosquitto);

/* The row of a word of the command line, if the tool knows it as that program, or NULL. */
const struct noc_client_option *noc_client_option_find(
    const struct noc_client_settings *settings, const char *word);

/* ---- saying what is wrong ---- */

/* Print a line (the format has its line feed), quiet or not. Returns NOC_EINVAL. */
int noc_client_fail(const char *format, ...) NOC_PRINTF(1, 2);

/* The same, but --quiet silences it. */
int noc_client_fail_softly(const struct noc_client_parser *parser, const char *format, ...)
    NOC_PRINTF(2, 3);

/* The same, and it is not about usage: no hint will follow. */
int noc_client_fail_late(struct noc_client_parser *parser, const char *format, ...)
    NOC_PRINTF(2, 3);

/* The same of memory. Returns NOC_ENOMEM. */
int noc_client_fail_memory(struct noc_client_parser *parser);

/* ---- memory ---- */

/* n + 1 bytes that live as long as the settings, the last of them 0. NULL if there are none. */
char *noc_client_allocate(struct noc_client_settings *settings, size_t n);

/* A copy with a zero at the end, or NULL. */
char *noc_client_copy(struct noc_client_settings *settings, const void *bytes, size_t n);

int noc_client_texts_add(
    struct noc_client_parser *parser, struct noc_client_texts *texts, const char *text);

/* ---- values ---- */

/* UTF-8 as Mosquitto has it: neither control characters nor what Unicode calls non-characters. */
bool noc_client_text_is_valid(const char *text);

/* Say that the URL has no topic. Returns NOC_EINVAL. */
int noc_client_fail_topic(void);

/* A topic of -t or the URL (`option` is for messages), by the tool's rule. */
int noc_client_add_topic(struct noc_client_parser *parser, const char *topic, const char *option);

int noc_client_set_filter_out(struct noc_client_parser *parser, const char *value);
int noc_client_set_header(struct noc_client_parser *parser, const char *value);
int noc_client_set_latency(struct noc_client_parser *parser, const char *value);
int noc_client_set_format(struct noc_client_parser *parser, const char *value);
int noc_client_set_options_file(struct noc_client_parser *parser, const char *value);
int noc_client_set_proxy(struct noc_client_parser *parser, const char *value);
int noc_client_set_random_filter(struct noc_client_parser *parser, const char *value);
int noc_client_set_repeat_delay(struct noc_client_parser *parser, const char *value);
int noc_client_set_response_topic(struct noc_client_parser *parser, const char *value);
int noc_client_set_retain_handling(struct noc_client_parser *parser, const char *value);
int noc_client_set_session_expiry(struct noc_client_parser *parser, const char *value);
int noc_client_set_skip_retained(struct noc_client_parser *parser, const char *value);
int noc_client_set_topic(struct noc_client_parser *parser, const char *value);
int noc_client_set_unix(struct noc_client_parser *parser, const char *value);
int noc_client_set_unsubscribe(struct noc_client_parser *parser, const char *value);
int noc_client_set_url(struct noc_client_parser *parser, const char *value);
int noc_client_set_user_agent(struct noc_client_parser *parser, const char *value);
int noc_client_set_version(struct noc_client_parser *parser, const char *value);
int noc_client_set_will_topic(struct noc_client_parser *parser, const char *value);
int noc_client_set_ws_path(struct noc_client_parser *parser, const char *value);

/* ---- properties ---- */

/*
 * The words of -D, from words[0] on: COMMAND NAME VALUE, or of a user property
 * COMMAND NAME KEY VALUE. *ret_used is how many they were.
 */
int noc_client_add_property(
    struct noc_client_parser *parser, int word_count, char **words, int *ret_used);

/* How many of the words belong to a -D, good or not: at most word_count. */
int noc_client_count_property_words(int word_count, char **words);

/* Properties that other options make. Return NOC_OK or NOC_ENOMEM, and say nothing. */
int noc_client_put_number_property(
    struct noc_client_parser *parser, enum noc_client_props where, uint8_t id, uint32_t value);
int noc_client_put_text_property(
    struct noc_client_parser *parser, enum noc_client_props where, uint8_t id, const char *text);

/* The name of the index-th property that a packet may have by -D, or NULL: it has no more. Static. */
const char *noc_client_property_name(enum noc_client_props where, size_t index);

/* The packet's name, as -D has it. Static. */
const char *noc_client_packet_name(enum noc_client_props where);

/* The number that a property has, or -1 if it is not there. */
int64_t noc_client_find_property(
    const struct noc_client_parser *parser, enum noc_client_props where, uint8_t id);

/* What the standard says of values, and that none but user properties stands twice. */
int noc_client_check_properties(struct noc_client_parser *parser);

/* ---- the rest ---- */

/* What must fit together, defaults, files: the settings become complete. */
int noc_client_finish(struct noc_client_parser *parser);

void noc_client_print_help(const struct noc_client_settings *settings);
void noc_client_print_version(const struct noc_client_settings *settings);

/* The options as a section of a man page, in roff. Returns NOC_OK or NOC_ENOMEM. */
int noc_client_print_man(const struct noc_client_settings *settings);

#endif
