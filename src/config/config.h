/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CONFIG_CONFIG_H
#define NOC_CONFIG_CONFIG_H
/*
 * The broker's configuration as plain typed values.
 *
 * noc_config_load() reads a mosquitto.conf (and what its include_dir names)
 * into a new object and says everything it has to say in a report that the
 * caller logs. The object is immutable from then on: share it between threads
 * freely, free it once nobody uses it. For a reload, load again into a second
 * object, compare, and swap.
 *
 * All strings belong to the object and live as long as it does; an option that
 * was not given and has no default is NULL. Which option fills which field is
 * said by the table in config/options.c and nowhere else.
 *
 * Nothing here logs, prints, reads the environment or opens a file for writing.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log_level.h"
#include "base/macros.h"
#include "config/text.h"

/* What a process that cannot start because of its configuration exits with. */
#define NOC_CONFIG_EXIT_INVALID 3

/* ---- what is said about a configuration ---- */

enum noc_config_level { NOC_CONFIG_ERROR, NOC_CONFIG_WARNING, NOC_CONFIG_NOTICE, NOC_CONFIG_INFO };

struct noc_config_message {
    enum noc_config_level level;
    char *file;    /* where it was found, or NULL */
    unsigned line; /* from 1; 0 when no line is to blame */
    char *text;    /* one line ready to be logged as it is; place and remedy are in it */
};

/* The messages in the order in which they arose. */
struct noc_config_report {
    struct noc_config_message *messages;
    size_t count;
    size_t capacity;
    size_t error_count; /* messages that are errors, "Error found at" lines not counted */
    bool is_incomplete; /* memory ran out while a message was added */
};

void noc_config_report_init(struct noc_config_report *report);
void noc_config_report_done(struct noc_config_report *report);

/*
 * Add one message. An error that has a line is followed by the message
 * "Error found at FILE:LINE.", the form that Mosquitto's users grep for; a
 * warning or a notice that has one begins with "FILE:LINE: ".
 */
void noc_config_report_add(struct noc_config_report *report, enum noc_config_level level,
    const char *file, unsigned line, const char *format, ...) NOC_PRINTF(5, 6);

/* ---- values ---- */

/* Whose defaults and message texts to follow. */
enum noc_config_compatibility { NOC_COMPATIBILITY_2_0, NOC_COMPATIBILITY_2_1 };

enum noc_config_protocol {
    NOC_CONFIG_MQTT,
    NOC_CONFIG_WEBSOCKETS,
    NOC_CONFIG_HTTP_API /* never in a loaded configuration: such listeners are left out */
};

enum noc_config_socket_domain { NOC_CONFIG_IP_ANY, NOC_CONFIG_IPV4, NOC_CONFIG_IPV6 };

/* The lowest version of TLS that a listener accepts. */
enum noc_config_tls_version {
    NOC_CONFIG_TLS_DEFAULT, /* 1.2 */
    NOC_CONFIG_TLS_1_1,
    NOC_CONFIG_TLS_1_2,
    NOC_CONFIG_TLS_1_3
};

enum noc_config_subprotocol {
    NOC_CONFIG_SUBPROTOCOL_STRICT, /* the client must offer mqtt or mqttv3.1 */
    NOC_CONFIG_SUBPROTOCOL_LENIENT /* it may offer none */
};

/* Where log lines go: bits of noc_config.log_dest. */
enum noc_config_log_dest {
    NOC_CONFIG_LOG_TO_STDOUT = 1,
    NOC_CONFIG_LOG_TO_STDERR = 2,
    NOC_CONFIG_LOG_TO_SYSLOG = 4,
    NOC_CONFIG_LOG_TO_TOPIC = 8,
    NOC_CONFIG_LOG_TO_FILE = 16
};

/* Methods of extended authentication (MQTT 5, 4.12). */
enum noc_config_method { NOC_CONFIG_METHOD_NONE, NOC_CONFIG_METHOD_SCRAM_SHA_512 };

/* Values of an option that may be given several times, in the order of the file. */
struct noc_config_list {
    char **items;
    size_t count;
};

/*
 * Who may connect and do what. There is one set for all listeners, or with
 * per_listener_settings one for each.
 */
struct noc_security_config {
    char *password_file;
    char *acl_file;
    char *psk_file;            /* not active yet */
    char *auto_id_prefix;      /* "auto-" unless set */
    int allow_anonymous_given; /* as written: -1 not set, 0, 1; use the listener's allow_anonymous */
    bool allow_zero_length_clientid;
    enum noc_config_method authentication_method;
};

struct noc_listener_config {
    /* The socket. */
    int port;             /* 1 to 65535; 0 means unix_path */
    char *address;        /* host name or address to bind, NULL for all */
    char *unix_path;      /* of a unix socket, else NULL */
    char *bind_interface; /* device name or NULL */
    enum noc_config_socket_domain socket_domain;
    enum noc_config_protocol protocol;
    bool is_local;    /* of the local mode: no listener was configured */
    bool is_default;  /* made by options that come before any listener, or by `port` */
    unsigned line;    /* where it was defined, 0 for an implicit one */
    const char *file; /* likewise; NULL for an implicit one */
    bool is_left_out; /* needs what is not active yet; never so in a loaded configuration */

    /* Effective security, settled after reading. */
    size_t security_index;        /* for noc_config_security() */
    bool allow_anonymous;         /* may a client come without a username? */
    const char *auto_id_prefix;   /* never NULL; lives as long as the configuration */
    int listener_anonymous_given; /* listener_allow_anonymous as written: -1 not set */
    char *own_id_prefix;          /* listener_auto_id_prefix as written */
    bool use_username_as_clientid;

    /* Limits. */
    int max_connections; /* 0 or -1: any number */
    int max_qos;
    int max_topic_alias;        /* that we accept */
    int max_topic_alias_broker; /* that we use towards clients */
    char *mount_point;

    /* TLS: on when certfile is set. */
    char *cafile;
    char *capath;
    char *certfile;
    char *keyfile;
    char *crlfile; /* not active yet */
    char *ciphers;
    char *ciphers_tls13;
    enum noc_config_tls_version tls_version;
    bool require_certificate;
    bool use_identity_as_username;
    bool use_subject_as_username;
    char *psk_hint; /* not active yet */

    /* WebSocket. */
    char *websocket_path; /* the only path that is served, NULL for any */
    enum noc_config_subprotocol websocket_subprotocol;
    int websocket_ping_interval_s;             /* 0: no pings */
    int websocket_ping_timeout_s;              /* closed when a pong takes longer */
    struct noc_config_list websockets_origins; /* allowed; none: any origin */
};

struct noc_config {
    enum noc_config_compatibility compatibility;

    /* In the order in which they are opened. Never empty. */
    struct noc_listener_config *listeners;
    size_t listener_count;
    bool is_local_only; /* no listener was configured: loopback, anonymous allowed */

    /* Security for all listeners; with per_listener_settings see noc_config_security(). */
    struct noc_security_config security;
    struct noc_security_config *listener_security; /* one per listener, or NULL */
    bool per_listener_settings;

    /* The process. */
    char *user; /* to drop root to; "mosquitto" unless set */
    char *pid_file;
    char *control_socket;
    int workers;                 /* threads; 0: one per core */
    int auth_workers;            /* threads that hash passwords */
    uint64_t memory_limit_bytes; /* 0: none */

    /* The log. */
    unsigned log_dest;          /* bits of enum noc_config_log_dest; 0: nowhere */
    unsigned log_types;         /* bits of enum noc_log_level; NOC_LOG_NONE: nothing is logged */
    char *log_file;             /* with NOC_CONFIG_LOG_TO_FILE */
    char *log_timestamp_format; /* for strftime(), NULL: unix seconds */
    int log_facility;           /* 0 to 7: local0 to local7; -1: daemon */
    bool log_timestamp;
    bool connection_messages;

    /* Limits; 0 means none where nothing else is said. */
    int connect_timeout_s;
    int max_inflight_messages;
    uint64_t max_inflight_bytes;
    int max_queued_messages;
    uint64_t max_queued_bytes;
    int max_keepalive_s;
    uint32_t max_packet_bytes;
    uint32_t message_size_limit_bytes;
    uint64_t max_output_bytes; /* per connection, gathered but not yet written */
    int mailbox_high;          /* a worker with more mail than this, in KiB begun, is behind */
    bool queue_qos0_messages;
    bool retain_available;
    int retain_expiry_interval_min; /* 0: never */
    bool set_tcp_nodelay;
    bool allow_duplicate_messages; /* not active yet */
    int sys_interval_s;            /* 0: no $SYS */

    bool persistence;
    char *persistence_location; /* NULL or empty: the working directory */
    char *persistence_file;     /* Mosquitto's */
    int persistence_sync;       /* 0: always, 1: every persistence_sync_ms, 2: never */
    uint32_t persistence_sync_ms;
    int persistence_on_error; /* 0: stop, 1: recover, 2: empty */
    uint64_t persistence_max_size;
    int64_t persistent_client_expiration_s; /* 0: never */

    /* Where every value came from; see noc_config_explain(). Private. */
    struct noc_config_list files;
    struct noc_config_origin *origins;
    size_t origin_count;
    size_t origin_capacity;
};

/* What else decides; all zero means: nothing. The strings are borrowed for the call. */
struct noc_config_options {
    const char *compatibility;        /* value of NOCTULE_COMPATIBILITY: wins over the file */
    const char *persistence_location; /* value of MOSQUITTO_PERSISTENCE_LOCATION: likewise */
    const uint16_t *local_ports;      /* of -p; used in local mode only */
    size_t local_port_count;
    bool is_verbose; /* -v: every log type */
    bool is_quiet;   /* -q: no log type, wins over -v */
};

/*
 * Read a configuration file. path NULL stands for an empty one: the local
 * mode. options may be NULL. The report, which the caller has initialised,
 * gets every error of the file, not only the first.
 *
 * Returns 0 and a new object; NOC_EINVAL when the report has errors, or
 * NOC_ENOMEM, and then *ret_config is not written.
 */
NOC_MUST_CHECK int noc_config_load(const char *path, const struct noc_config_options *options,
    struct noc_config **ret_config, struct noc_config_report *report);

/*
 * The same for text in memory; name stands for the file in messages. With
 * is_sealed no file is opened: include_dir is an error.
 */
NOC_MUST_CHECK int noc_config_parse(const char *text, size_t n, const char *name, bool is_sealed,
    const struct noc_config_options *options, struct noc_config **ret_config,
    struct noc_config_report *report);

void noc_config_free(struct noc_config *config);

/* The security set of a listener, by its security_index; 0 is the common one. */
const struct noc_security_config *noc_config_security(
    const struct noc_config *config, size_t security_index);

/* Security indices run from 0 to below this. */
size_t noc_config_security_count(const struct noc_config *config);

/* Do both open the same sockets with the same protocols in the same order? */
bool noc_config_listeners_equal(const struct noc_config *a, const struct noc_config *b);

/* Does anything differ that decides who may connect or do what (file names, not contents)? */
bool noc_config_security_changed(const struct noc_config *a, const struct noc_config *b);

/*
 * Check that the files which the configuration names can be read and that the
 * folders in which files will be made are there; errors go to the report, each
 * with what to do, owner being whom the broker will run as. Opens nothing for writing,
 * creates nothing. Returns 0, or when an error was added NOC_EINVAL, or NOC_EIO when all were
 * of files that a listener needs (TLS, its socket's folder): a failed start rather than a bad
 * configuration.
 */
NOC_MUST_CHECK int noc_config_check_files(
    const struct noc_config *config, const char *owner, struct noc_config_report *report);

/*
 * Add the effective value of every active option, one per line, with the file
 * and line that set it or "default".
 */
void noc_config_explain(const struct noc_config *config, struct noc_text *text);

#endif
