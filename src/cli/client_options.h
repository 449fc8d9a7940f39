/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CLI_CLIENT_OPTIONS_H
#define NOC_CLI_CLIENT_OPTIONS_H
/*
 * The command lines of `pub`, `sub` and `rr`, which are those of Mosquitto's
 * mosquitto_pub, mosquitto_sub and mosquitto_rr, and more. One table holds the
 * options; parsing and help derive from it. What comes out is a struct
 * of settings, checked: nothing in it needs another look before connecting.
 *
 *   options file --+
 *   command line --+--> rows of the table --> settings --> checks --> payload
 *
 * Main thread only (it reads files, the environment and standard input, and
 * prints what is wrong).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"
#include "cli/output_format.h"
#include <noctule/slice.h>

/* One bit each, so that a row of the table can name several. */
enum noc_client_tool { NOC_TOOL_PUB = 1, NOC_TOOL_SUB = 2, NOC_TOOL_RR = 4 };

/* The packets that -D can give properties to. */
enum noc_client_props {
    NOC_CLIENT_PROPS_CONNECT,
    NOC_CLIENT_PROPS_PUBLISH,
    NOC_CLIENT_PROPS_SUBSCRIBE,
    NOC_CLIENT_PROPS_UNSUBSCRIBE,
    NOC_CLIENT_PROPS_DISCONNECT,
    NOC_CLIENT_PROPS_WILL,
    NOC_CLIENT_PROPS_COUNT,
};

/* Where the payload comes from. */
enum noc_client_source {
    NOC_SOURCE_NONE,
    NOC_SOURCE_PAYLOAD, /* -m, -n, -f, -s: settings.payload has it, all of it */
    NOC_SOURCE_LINES,   /* -l: a message for each line of standard input, as it comes */
};

/* --retain-handling: the bits of a subscription's options. */
enum noc_client_retain_handling {
    NOC_RETAIN_SEND_ALWAYS = 0,
    NOC_RETAIN_SEND_NEW = 1,
    NOC_RETAIN_SEND_NEVER = 2,
};

/* Texts are zero-terminated or NULL: they go to the system or to OpenSSL. */
struct noc_client_tls {
    bool is_on;        /* any of the below asks for TLS, or the URL's scheme does */
    bool is_insecure;  /* --insecure: the name is not checked; at compatibility 2.1 nothing is */
    bool use_os_certs; /* --tls-use-os-certs, or the URL's scheme */
    const char *cafile, *capath, *cert, *key;
    const char *ciphers, *alpn, *keylog;
    const char *version; /* "tlsv1.1", "tlsv1.2", "tlsv1.3", or NULL */
    const char *psk;     /* hex digits */
    const char *psk_identity;
};

/* --proxy socks5h://user:password@host:port */
struct noc_client_proxy {
    const char *host; /* NULL: no proxy */
    uint16_t port;
    const char *user, *password; /* or NULL */
};

struct noc_client_will_settings {
    bool is_set;
    struct noc_slice topic, payload;
    uint8_t qos;
    bool is_retained;
};

/* A growing list of texts. */
struct noc_client_texts {
    const char **at;
    size_t n;
};

struct noc_client_block; /* a piece of memory that the settings own */

struct noc_client_settings {
    enum noc_client_tool tool;
    const char *program; /* "mosquitto_pub", or "noctule pub": what messages call us */
    bool is_mosquitto;   /* called by Mosquitto's name */
    bool is_compat_2_1;  /* NOCTULE_COMPATIBILITY=2.1 */

    /* The way there. */
    const char *host;   /* "localhost" by default; a path when is_unix */
    uint16_t port;      /* the default of the transport is filled in */
    bool is_port_given; /* by -p or the URL */
    /* By a URL, --ws, --unix, --psk or --no-tls. If not, and the port is 443, find it out. */
    bool is_transport_given;
    bool is_unix;             /* --unix: host is the socket's path */
    const char *bind_address; /* -A, or NULL */
    bool no_delay;            /* --nodelay, --latency */
    struct noc_client_tls tls;
    struct noc_client_proxy proxy;
    bool is_ws;
    const char *ws_path;             /* "/mqtt" by default */
    struct noc_client_texts headers; /* "Name: value" each */
    const char *user_agent;          /* or NULL: our own */

    /* The session. */
    uint8_t version;            /* 3, 4 or 5, as in CONNECT */
    struct noc_slice client_id; /* may be empty: the broker chooses */
    bool is_clean;              /* clean session, clean start */
    uint16_t keep_alive_s;
    struct noc_slice user, password; /* absent: at == NULL */
    struct noc_client_will_settings will;
    uint16_t inflight_max;    /* -M, at least 1: messages of ours that may be under way */
    uint16_t receive_maximum; /* of the broker's; in the properties of CONNECT too */

    /*
     * In wire form, without the length in front; for version 5 only, else empty. What
     * -x, -c, -C and -e say is in them: session expiry, receive maximum, response topic.
     */
    struct noc_slice props[NOC_CLIENT_PROPS_COUNT];

    /* What to do. */
    uint8_t qos;
    struct noc_client_texts topics; /* -t: of pub and rr exactly one, of sub filters */
    struct noc_client_texts filter_out, unsubscribe;
    const char *response_topic; /* -e */
    enum noc_client_source source;
    struct noc_slice payload;
    bool is_retained;
    unsigned repeat_count;    /* --repeat, at least 1 */
    uint64_t repeat_delay_us; /* --repeat-delay */
    unsigned message_count;   /* -C; 0: no end */
    unsigned timeout_s;       /* -W; 0: none */
    bool exit_after_sub;      /* -E */
    bool skip_retained;       /* -R */
    bool only_retained;       /* --retained-only */
    bool remove_retained;     /* --remove-retained */
    bool retain_as_published; /* --retain-as-published */
    enum noc_client_retain_handling retain_handling;
    unsigned random_filter; /* --random-filter in hundredths of a percent: 10000 prints all */
    bool print_latency;     /* --latency */
    bool print_rate;        /* --message-rate */
    bool watch;             /* -w */

    /* What is shown. */
    bool is_debug, is_quiet;
    struct noc_output_format output;
    bool show_tree, show_stats, show_progress; /* ours */

    struct noc_client_block *blocks; /* what the texts live in, besides argv */
};

enum noc_client_outcome {
    NOC_CLIENT_RUN,  /* the settings are good */
    NOC_CLIENT_EXIT, /* help or version were asked for, or something was wrong: all is said */
};

/*
 * Read the command line (argv[0] and, where that is "noctule", the command's
 * word as in commands.h), the options file and the environment, and check it.
 * On NOC_CLIENT_EXIT *ret_status is the process's exit status. In either case
 * call _done(). argv must outlive the settings; passwords in it are written over.
 */
NOC_MUST_CHECK enum noc_client_outcome noc_client_settings_init(
    struct noc_client_settings *settings, enum noc_client_tool tool, int argc, char **argv,
    int *ret_status);
void noc_client_settings_done(struct noc_client_settings *settings);

/*
 * Connect, do what the settings say, disconnect. Prints results to standard
 * output and troubles to standard error. Returns the exit status.
 */
int noc_client_tool_run(struct noc_client_settings *settings);

/* All of a command: the settings, and _run() with them. Returns the exit status. */
int noc_client_tool_main(enum noc_client_tool tool, int argc, char **argv);

#endif
