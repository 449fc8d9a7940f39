/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rows. A row says everything about an option: form, field, default, and
 * what the manual says of it. Numbers and words are checked also where nothing
 * follows from them yet, so that a file which is accepted today is accepted
 * tomorrow.
 *
 * To make an option active, give it a field and drop INACTIVE. A row whose
 * store function is set has its default in the field's initial value (see
 * noc_listener_config_init() and noc_config_settle()), `fallback` is for the
 * manual then.
 */
#include "config/options.h"

#include <limits.h>

#include "base/macros.h"
#include "config/config.h"
#include "config/parser.h"

#define GLOBAL(field)   offsetof(struct noc_config, field)
#define SECURITY(field) offsetof(struct noc_security_config, field)
#define LISTENER(field) offsetof(struct noc_listener_config, field)

#define INACTIVE        NOC_OPTION_INACTIVE
#define REPEATABLE      NOC_OPTION_REPEATABLE
#define CLAMP           NOC_OPTION_CLAMP
#define PREFIX          NOC_OPTION_PREFIX
#define DEPRECATED      NOC_OPTION_DEPRECATED
#define OWN             NOC_OPTION_OWN
#define GUARD           NOC_OPTION_GUARD
#define LOCAL           NOC_OPTION_STAYS_LOCAL
#define ALIAS           NOC_OPTION_ALIAS

#define NOW             NOC_RELOAD_NOW
#define NEW             NOC_RELOAD_NEW
#define RESTART         NOC_RELOAD_RESTART

static const struct noc_option_word booleans[] = {{"true", 1}, {"false", 0}, {NULL, 0}};
static const struct noc_option_word protocols[] = {{"mqtt", NOC_CONFIG_MQTT},
    {"websockets", NOC_CONFIG_WEBSOCKETS}, {"http_api", NOC_CONFIG_HTTP_API}, {NULL, 0}};
static const struct noc_option_word socket_domains[] = {
    {"ipv4", NOC_CONFIG_IPV4}, {"ipv6", NOC_CONFIG_IPV6}, {NULL, 0}};
static const struct noc_option_word tls_versions[] = {{"tlsv1.3", NOC_CONFIG_TLS_1_3},
    {"tlsv1.2", NOC_CONFIG_TLS_1_2}, {"tlsv1.1", NOC_CONFIG_TLS_1_1}, {NULL, 0}};
static const struct noc_option_word bridge_tls_versions[] = {
    {"tlsv1.3", NOC_CONFIG_TLS_1_3}, {"tlsv1.2", NOC_CONFIG_TLS_1_2}, {NULL, 0}};
static const struct noc_option_word subprotocols[] = {{"strict", NOC_CONFIG_SUBPROTOCOL_STRICT},
    {"lenient", NOC_CONFIG_SUBPROTOCOL_LENIENT}, {NULL, 0}};
static const struct noc_option_word authentication_methods[] = {{"none", NOC_CONFIG_METHOD_NONE},
    {"SCRAM-SHA-512", NOC_CONFIG_METHOD_SCRAM_SHA_512}, {NULL, 0}};
static const struct noc_option_word compatibilities[] = {
    {"2.0", NOC_COMPATIBILITY_2_0}, {"2.1", NOC_COMPATIBILITY_2_1}, {NULL, 0}};
static const struct noc_option_word log_dests[] = {{"none", 0},
    {"stdout", NOC_CONFIG_LOG_TO_STDOUT}, {"stderr", NOC_CONFIG_LOG_TO_STDERR},
    {"syslog", NOC_CONFIG_LOG_TO_SYSLOG}, {"topic", NOC_CONFIG_LOG_TO_TOPIC},
    {"file", NOC_CONFIG_LOG_TO_FILE}, {"dlt", 0}, {"android", 0}, {NULL, 0}};
static const struct noc_option_word log_types[] = {{"none", NOC_LOG_NONE}, {"all", NOC_LOG_ALL},
    {"debug", NOC_LOG_DEBUG}, {"error", NOC_LOG_ERROR}, {"warning", NOC_LOG_WARNING},
    {"notice", NOC_LOG_NOTICE}, {"information", NOC_LOG_INFORMATION},
    {"subscribe", NOC_LOG_SUBSCRIBE}, {"unsubscribe", NOC_LOG_UNSUBSCRIBE},
    {"websockets", NOC_LOG_WEBSOCKETS}, {"internal", NOC_LOG_INTERNAL}, {NULL, 0}};
static const struct noc_option_word bridge_protocols[] = {
    {"mqttv31", 3}, {"mqttv311", 4}, {"mqttv50", 5}, {NULL, 0}};
static const struct noc_option_word bridge_reloads[] = {{"lazy", 0}, {"immediate", 1}, {NULL, 0}};
static const struct noc_option_word bridge_starts[] = {
    {"automatic", 0}, {"lazy", 1}, {"once", 2}, {NULL, 0}};
static const struct noc_option_word on_errors[] = {
    {"stop", 0}, {"recover", 1}, {"empty", 2}, {NULL, 0}};
static const struct noc_option_word sync_modes[] = {
    {"extra", 0}, {"full", 1}, {"normal", 2}, {"off", 3}, {NULL, 0}};

/* name, flags, reload, offset, default, since, help; what a type needs besides, before the text */
#define ROW(name_, scope_, type_, flags_, reload_, offset_, min_, max_, words_, store_, fallback_, \
    since_, syntax_, help_)                                                                        \
    {                                                                                              \
        .name = (name_), .scope = NOC_SCOPE_##scope_, .type = NOC_OPTION_##type_,                  \
        .flags = (flags_), .reload = (reload_), .offset = (offset_), .min = (min_), .max = (max_), \
        .words = (words_), .store = (store_), .fallback = (fallback_), .since = (since_),          \
        .syntax = (syntax_), .help = (help_)                                                       \
    }
#define BOOL(name, scope, flags, reload, offset, fallback, since, help)                  \
    ROW(name, scope, BOOL, flags, reload, offset, 0, 1, booleans, NULL, fallback, since, \
        "true|false", help)
#define TRISTATE(name, scope, flags, reload, offset, fallback, since, help)                  \
    ROW(name, scope, TRISTATE, flags, reload, offset, 0, 1, booleans, NULL, fallback, since, \
        "true|false", help)
#define INT(name, scope, flags, reload, offset, min, max, fallback, since, syntax, help)        \
    ROW(name, scope, INT, flags, reload, offset, min, max, NULL, NULL, fallback, since, syntax, \
        help)
#define U32(name, scope, flags, reload, offset, min, max, store, fallback, since, help)           \
    ROW(name, scope, U32, flags, reload, offset, min, max, NULL, store, fallback, since, "BYTES", \
        help)
#define SIZE(name, scope, flags, reload, offset, min, fallback, since, help)                   \
    ROW(name, scope, SIZE, flags, reload, offset, min, INT64_MAX, NULL, NULL, fallback, since, \
        "BYTES", help)
#define STRING(name, scope, flags, reload, offset, max, fallback, since, syntax, help)           \
    ROW(name, scope, STRING, flags, reload, offset, 0, max, NULL, NULL, fallback, since, syntax, \
        help)
#define PATH(name, scope, flags, reload, offset, fallback, since, help) \
    ROW(name, scope, PATH, flags, reload, offset, 0, 0, NULL, NULL, fallback, since, "PATH", help)
#define WORD(name, scope, flags, reload, offset, words, fallback, since, help) \
    ROW(name, scope, WORD, flags, reload, offset, 0, 0, words, NULL, fallback, since, NULL, help)
#define CUSTOM(name, scope, flags, reload, store, fallback, since, syntax, help)              \
    ROW(name, scope, CUSTOM, flags, reload, NOC_NO_FIELD, 0, 0, NULL, store, fallback, since, \
        syntax, help)

/* A bridge's options: none has a field yet. */
#define BRIDGE_BOOL(name, fallback, since, help) \
    BOOL(name, BRIDGE, INACTIVE, NOW, NOC_NO_FIELD, fallback, since, help)
#define BRIDGE_INT(name, flags, min, max, fallback, since, syntax, help)                        \
    INT(name, BRIDGE, INACTIVE | (flags), NOW, NOC_NO_FIELD, min, max, fallback, since, syntax, \
        help)
#define BRIDGE_STRING(name, since, syntax, help) \
    STRING(name, BRIDGE, INACTIVE, NOW, NOC_NO_FIELD, 0, NULL, since, syntax, help)
#define BRIDGE_PATH(name, since, help) \
    PATH(name, BRIDGE, INACTIVE, NOW, NOC_NO_FIELD, NULL, since, help)

const struct noc_option noc_options[] = {
    /* ---- global, and security ---- */
    PATH("acl_file", SECURITY, 0, NOW, SECURITY(acl_file), NULL, "0.5",
        "File of access rights by topic. Without one every client may use every topic."),
    TRISTATE("allow_anonymous", SECURITY, 0, NOW, SECURITY(allow_anonymous_given), "false", "0.5",
        "May clients connect without a username? Without any listener in the file it is true, "
        "and only this machine can connect."),
    BOOL("allow_duplicate_messages", GLOBAL, INACTIVE, NOW, GLOBAL(allow_duplicate_messages),
        "false", "1.1",
        "Is a message delivered once per matching subscription of a client? True by default "
        "with compatibility 2.1."),
    BOOL("allow_zero_length_clientid", SECURITY, 0, NOW, SECURITY(allow_zero_length_clientid),
        "true", "1.3", "May a client leave the choice of its client id to the broker?"),
    CUSTOM("auth_plugin", GLOBAL, INACTIVE | GUARD | REPEATABLE, RESTART, noc_store_plugin, NULL,
        "1.2", "PATH", "The older name of plugin."),
    INT("auth_workers", GLOBAL, OWN, RESTART, GLOBAL(auth_workers), 1, 64, "2", "Noctule 0.1",
        "COUNT", "Threads that check passwords."),
    WORD("authentication_method", SECURITY, OWN, RESTART, SECURITY(authentication_method),
        authentication_methods, "none", "Noctule 0.1",
        "The method of extended authentication (MQTT 5) that clients may use beside user name and "
        "password: with SCRAM-SHA-512 the password of a $7$ line in password_file never "
        "travels. Such a line, once stolen, is then enough to log in, so keep the file secret. "
        "Users with other kinds of hash can't use it."),
    STRING("auto_id_prefix", SECURITY, 0, NOW, SECURITY(auto_id_prefix), 50, "auto-", "1.3", "TEXT",
        "How a client id begins that the broker makes up."),
    CUSTOM("autosave_interval", GLOBAL, CLAMP, RESTART, noc_store_autosave, NULL, "0.5", "SECONDS",
        "Without a meaning here: with persistence true what is acknowledged is stored before."),
    CUSTOM("autosave_on_changes", GLOBAL, 0, RESTART, noc_store_autosave, NULL, "1.0", "true|false",
        "Without a meaning here, as autosave_interval."),
    BOOL("check_retain_source", GLOBAL, INACTIVE, RESTART, NOC_NO_FIELD, "true", "1.5",
        "Are the publisher's rights checked again before a retained message is delivered?"),
    STRING("clientid_prefixes", GLOBAL, INACTIVE | GUARD, NOW, NOC_NO_FIELD, 0, NULL, "0.10",
        "PREFIX", "Only client ids that begin so may connect."),
    WORD("compatibility", GLOBAL, OWN, RESTART, GLOBAL(compatibility), compatibilities, "2.0",
        "Noctule 0.1",
        "Which Mosquitto's defaults and log texts to follow. The environment variable "
        "NOCTULE_COMPATIBILITY wins over the file."),
    INT("connect_timeout", GLOBAL, OWN, NEW, GLOBAL(connect_timeout_s), 1, 3600, "10",
        "Noctule 0.1", "SECONDS",
        "How long a new connection may take for TLS, the HTTP head and the CONNECT together, and "
        "its password to be checked. If that is late, the client hears that the server is busy."),
    BOOL("connection_messages", GLOBAL, 0, NOW, GLOBAL(connection_messages), "true", "0.15",
        "Are connecting and disconnecting clients logged?"),
    PATH("control_socket", GLOBAL, OWN, RESTART, GLOBAL(control_socket), NULL, "Noctule 0.1",
        "Unix socket on which the running broker takes orders. Without it "
        "/run/noctule/control.sock, else noctule.sock in persistence_location or the current "
        "folder; "
        "none without any listener in the file."),
    BOOL("enable_control_api", GLOBAL, INACTIVE, RESTART, NOC_NO_FIELD, "false", "2.1",
        "Is the topic $CONTROL/broker/v1 served?"),
    INT("global_max_clients", GLOBAL, INACTIVE | CLAMP, RESTART, NOC_NO_FIELD, -1, INT_MAX, "-1",
        "2.1", "COUNT", "Sessions, those without a connection included; -1: any number."),
    INT("global_max_connections", GLOBAL, INACTIVE | CLAMP, RESTART, NOC_NO_FIELD, -1, INT_MAX,
        "-1", "2.1", "COUNT", "Connections on all listeners; -1: any number."),
    CUSTOM("global_plugin", GLOBAL, INACTIVE | GUARD | REPEATABLE, RESTART, noc_store_plugin, NULL,
        "2.1", "PATH", "Loads a plugin for all listeners, whatever per_listener_settings says."),
    CUSTOM("include_dir", GLOBAL, REPEATABLE, NOW, noc_store_include_dir, NULL, "1.0", "FOLDER",
        "Reads all *.conf files of a folder, by name. In the main file only."),
    ROW("log_dest", GLOBAL, CUSTOM, REPEATABLE, NOW, NOC_NO_FIELD, 0, 0, log_dests,
        noc_store_log_dest, "stderr", "0.2", "none|stdout|stderr|syslog|topic|file PATH",
        "Where the log goes; may be given several times, but for one file only."),
    ROW("log_facility", GLOBAL, INT, 0, NOW, GLOBAL(log_facility), 0, 7, NULL,
        noc_store_log_facility, "daemon", "1.0", "0-7", "The syslog facility local0 to local7."),
    BOOL("log_timestamp", GLOBAL, 0, NOW, GLOBAL(log_timestamp), "true", "0.5",
        "Does a log line begin with the time?"),
    STRING("log_timestamp_format", GLOBAL, 0, NOW, GLOBAL(log_timestamp_format), 0, NULL, "1.5",
        "FORMAT", "The form of that time, as for strftime(3); without it, unix seconds."),
    ROW("log_type", GLOBAL, CUSTOM, REPEATABLE, NOW, NOC_NO_FIELD, 0, 0, log_types,
        noc_store_log_type, "error, warning, notice and information", "0.2",
        "debug|error|warning|notice|information|subscribe|unsubscribe|websockets|internal|none|all",
        "What is logged; may be given several times."),
    INT("mailbox_high", GLOBAL, OWN, RESTART, GLOBAL(mailbox_high), 64, 1048576, "16384",
        "Noctule 0.1", "KIB",
        "Mail waiting for one worker past which the publishers that feed it wait; a letter counts "
        "for each KiB begun."),
    SIZE("max_inflight_bytes", GLOBAL, CLAMP, NEW, GLOBAL(max_inflight_bytes), 0, "0", "1.5",
        "Bytes of QoS 1 and 2 messages on their way to one client; 0: no limit."),
    INT("max_inflight_messages", GLOBAL, CLAMP, NEW, GLOBAL(max_inflight_messages), 0, 65535, "20",
        "0.6", "COUNT",
        "QoS 1 and 2 messages on their way to one client; 0: no limit, 1: strict order."),
    INT("max_keepalive", GLOBAL, 0, NEW, GLOBAL(max_keepalive_s), 0, 65535, "0", "1.6", "SECONDS",
        "The longest keep-alive time a client may ask for; 0: any."),
    SIZE("max_output_bytes", GLOBAL, OWN, NEW, GLOBAL(max_output_bytes), 4096, "1048576",
        "Noctule 0.1",
        "Bytes gathered for a connection that does not read; past them its messages queue."),
    U32("max_packet_size", GLOBAL, 0, NEW, GLOBAL(max_packet_bytes), 20, INT_MAX, NULL, NULL, "1.6",
        "The largest packet taken from a client. No limit but the protocol's by default, with "
        "compatibility 2.1 2000000."),
    SIZE("max_queued_bytes", GLOBAL, CLAMP, NEW, GLOBAL(max_queued_bytes), 0, "0", "1.5",
        "Bytes queued for one client beyond those in flight; 0: no limit."),
    INT("max_queued_messages", GLOBAL, CLAMP, NEW, GLOBAL(max_queued_messages), 0, INT_MAX, "1000",
        "0.6", "COUNT", "Messages queued for one client beyond those in flight; 0: no limit."),
    SIZE("memory_limit", GLOBAL, 0, NOW, GLOBAL(memory_limit_bytes), 0, "0", "1.4",
        "Memory the broker may use; 0: no limit."),
    U32("message_size_limit", GLOBAL, 0, NOW, GLOBAL(message_size_limit_bytes), 0, 268435455,
        noc_store_message_size_limit, "0", "0.5",
        "The largest payload that is passed on; 0: no limit. Better use max_packet_size."),
    INT("packet_buffer_size", GLOBAL, INACTIVE, RESTART, NOC_NO_FIELD, 0, 65535, "4096", "2.1",
        "BYTES", "Size of the read buffer."),
    PATH("password_file", SECURITY, 0, NOW, SECURITY(password_file), NULL, "0.10",
        "File of usernames and passwords, as mosquitto_passwd writes it."),
    CUSTOM("per_listener_settings", GLOBAL, 0, RESTART, noc_store_per_listener_settings, "false",
        "1.5", "true|false",
        "Do the security options hold for the listener above them only? Comes before them."),
    BOOL("persistence", GLOBAL, 0, RESTART, GLOBAL(persistence), "false", "0.2",
        "Are sessions, their messages and retained messages kept over a restart? What is "
        "acknowledged then survives a crash, in the file noctule.db."),
    STRING("persistence_file", GLOBAL, 0, RESTART, GLOBAL(persistence_file), 0, "mosquitto.db",
        "0.6", "NAME",
        "Name of Mosquitto's database: when it is there and noctule.db is not, it is taken over, "
        "and "
        "left as it is."),
    PATH("persistence_location", GLOBAL, 0, RESTART, GLOBAL(persistence_location), NULL, "0.6",
        "Folder of the store's file noctule.db; without one the working directory."),
    SIZE("persistence_max_size", GLOBAL, OWN, RESTART, GLOBAL(persistence_max_size), 0, "0",
        "Noctule 0.1",
        "The largest size of the store's file. Past it, and on a full disk, messages that would "
        "have "
        "to be stored are refused (MQTT 5) or wait, for half a minute at most. 0: no limit."),
    WORD("persistence_on_error", GLOBAL, OWN, RESTART, GLOBAL(persistence_on_error), on_errors,
        "stop", "Noctule 0.1",
        "What to do about a store that can't be read: stop; recover sets the file aside and goes "
        "on "
        "with what is whole in it; empty sets it aside and begins anew."),
    CUSTOM("persistence_sync", GLOBAL, OWN, RESTART, noc_store_persistence_sync, "always",
        "Noctule 0.1", "always|interval MILLISECONDS|off",
        "When is what was written made safe from a power cut? always: before it is acknowledged. "
        "With interval a power cut may take what was acknowledged in that time, with off anything; "
        "a crash of the broker alone takes nothing."),
    ROW("persistent_client_expiration", GLOBAL, DURATION, 0, RESTART,
        GLOBAL(persistent_client_expiration_s), 0, 0, NULL, NULL, NULL, "1.4", "NUMBER UNIT",
        "When the session of a client that stays away ends, if it does not say so itself; units "
        "are h, d, w, m and y."),
    PATH("pid_file", GLOBAL, 0, RESTART, GLOBAL(pid_file), NULL, "1.0",
        "File into which the process id is written."),
    CUSTOM("plugin", GLOBAL, INACTIVE | GUARD | REPEATABLE, RESTART, noc_store_plugin, NULL, "2.0",
        "PATH", "Loads a plugin."),
    CUSTOM("plugin_load", GLOBAL, INACTIVE | GUARD | REPEATABLE, RESTART, noc_store_plugin, NULL,
        "2.1", "NAME PATH", "Loads a plugin that listeners name with plugin_use."),
    PATH("psk_file", SECURITY, INACTIVE, NOW, SECURITY(psk_file), NULL, "1.2",
        "File of identities and pre-shared keys."),
    BOOL("queue_qos0_messages", GLOBAL, 0, NOW, GLOBAL(queue_qos0_messages), "false", "1.2",
        "Are QoS 0 messages kept, too, for a session without a connection?"),
    BOOL("retain_available", GLOBAL, 0, NEW, GLOBAL(retain_available), "true", "1.6",
        "May clients publish retained messages?"),
    INT("retain_expiry_interval", GLOBAL, 0, RESTART, GLOBAL(retain_expiry_interval_min), 1,
        10000000, NULL, "2.1", "MINUTES",
        "How often expired retained messages are looked for, to free their memory; without it one "
        "goes when somebody asks for it, or at the next start. Nobody ever gets one."),
    BOOL("retained_persistence", GLOBAL, ALIAS, RESTART, GLOBAL(persistence), "false", "0.2",
        "The older name of persistence."),
    CUSTOM("retry_interval", GLOBAL, REPEATABLE, RESTART, noc_store_retry_interval, NULL, "0.5",
        "SECONDS", "No longer available; accepted and ignored."),
    BOOL("set_tcp_nodelay", GLOBAL, 0, NEW, GLOBAL(set_tcp_nodelay), "true", "1.5",
        "Is Nagle's algorithm off for clients' connections? Mosquitto's default is false; here "
        "output is gathered and written once a turn, so waiting for more only delays it."),
    INT("sys_interval", GLOBAL, 0, NOW, GLOBAL(sys_interval_s), 0, 65535, "10", "0.2", "SECONDS",
        "How often the $SYS topics are published; 0: never."),
    BOOL("upgrade_outgoing_qos", GLOBAL, INACTIVE, NOW, NOC_NO_FIELD, "false", "1.2",
        "Is a message delivered with the subscription's QoS although published with less?"),
    STRING("user", GLOBAL, 0, RESTART, GLOBAL(user), 0, "mosquitto", "0.2", "NAME",
        "The user to become when started as root."),
    INT("websockets_headers_size", GLOBAL, INACTIVE, RESTART, NOC_NO_FIELD, 0, 65535, "4096", "1.4",
        "BYTES", "The older name of packet_buffer_size."),
    INT("websockets_log_level", GLOBAL, INACTIVE, RESTART, NOC_NO_FIELD, INT_MIN, INT_MAX, "0",
        "1.4", "LEVEL", "What libwebsockets logs; there is none here."),
    ROW("workers", GLOBAL, INT, OWN, RESTART, GLOBAL(workers), 1, 64, NULL, noc_store_workers,
        "auto", "Noctule 0.1", "COUNT|auto", "Threads that serve clients; auto: one per core."),

    /* ---- listeners ---- */
    CUSTOM("accept_protocol_versions", LISTENER, INACTIVE, RESTART,
        noc_store_accept_protocol_versions, "3, 4, 5", "2.1", "VERSIONS",
        "Protocol versions that clients may speak, of 3, 4 and 5."),
    CUSTOM("bind_address", LISTENER, DEPRECATED, RESTART, noc_store_bind_address, NULL, "0.9",
        "ADDRESS", "Address of the default listener. Write listener PORT ADDRESS instead."),
    STRING("bind_interface", LISTENER, 0, RESTART, LISTENER(bind_interface), 15, NULL, "1.6",
        "DEVICE", "The only network device on which the listener listens."),
    PATH("cafile", LISTENER, 0, NOW, LISTENER(cafile), NULL, "1.0",
        "Certificates of the authorities that sign clients' certificates, PEM."),
    PATH("capath", LISTENER, 0, NOW, LISTENER(capath), NULL, "1.0",
        "Folder of such certificates, as openssl rehash arranges it. Read at start and when it "
        "changes; a name of that form that holds no certificate is an error."),
    PATH("certfile", LISTENER, 0, NOW, LISTENER(certfile), NULL, "1.0",
        "The server's certificate and its chain, PEM. With keyfile it turns TLS on."),
    STRING("ciphers", LISTENER, 0, RESTART, LISTENER(ciphers), 0, NULL, "1.3", "LIST",
        "Ciphers up to TLS 1.2, as OpenSSL writes them."),
    STRING("ciphers_tls1.3", LISTENER, 0, RESTART, LISTENER(ciphers_tls13), 0, NULL, "2.0", "LIST",
        "Cipher suites of TLS 1.3."),
    PATH("crlfile", LISTENER, INACTIVE | GUARD, NOW, LISTENER(crlfile), NULL, "1.0",
        "Certificates that have been revoked, PEM."),
    PATH("dhparamfile", LISTENER, INACTIVE, RESTART, NOC_NO_FIELD, NULL, "1.6",
        "Parameters of the key exchange; today's OpenSSL has its own."),
    BOOL("disable_client_cert_date_checks", LISTENER, INACTIVE, RESTART, NOC_NO_FIELD, "false",
        "2.1", "May a client's certificate have expired?"),
    INT("enable_proxy_protocol", LISTENER, INACTIVE | GUARD, RESTART, NOC_NO_FIELD, 1, 2, NULL,
        "2.1", "1|2", "The version of the PROXY protocol that precedes each connection."),
    PATH("http_dir", LISTENER, INACTIVE, RESTART, NOC_NO_FIELD, NULL, "1.4",
        "Folder of files served over HTTP."),
    PATH("keyfile", LISTENER, 0, NOW, LISTENER(keyfile), NULL, "1.0", "The key of certfile, PEM."),
    CUSTOM("listener", LISTENER, REPEATABLE, RESTART, noc_store_listener, NULL, "0.9",
        "PORT [ADDRESS] | 0 PATH",
        "Opens a port, or with port 0 a unix socket. Listener options that follow are its."),
    TRISTATE("listener_allow_anonymous", LISTENER, 0, NEW, LISTENER(listener_anonymous_given), NULL,
        "2.1", "allow_anonymous for this listener alone."),
    STRING("listener_auto_id_prefix", LISTENER, 0, NEW, LISTENER(own_id_prefix), 50, NULL, "2.1",
        "TEXT", "auto_id_prefix for this listener alone."),
    INT("max_connections", LISTENER, CLAMP, NEW, LISTENER(max_connections), -1, INT_MAX, "-1",
        "0.7", "COUNT", "Clients on this listener at a time; 0 or -1: any number."),
    INT("max_qos", LISTENER, 0, NEW, LISTENER(max_qos), 0, 2, "2", "2.0", "0|1|2",
        "The highest QoS with which clients may publish."),
    INT("max_topic_alias", LISTENER, LOCAL, NEW, LISTENER(max_topic_alias), 0, 65535, "10", "1.6",
        "COUNT", "Topic aliases a client may use."),
    INT("max_topic_alias_broker", LISTENER, LOCAL, NEW, LISTENER(max_topic_alias_broker), 0, 65535,
        "10", "2.1", "COUNT", "Topic aliases the broker uses towards a client."),
    INT("maximum_qos", LISTENER, ALIAS, NEW, LISTENER(max_qos), 0, 2, "2", "1.6", "0|1|2",
        "The older name of max_qos."),
    ROW("mount_point", LISTENER, STRING, 0, NEW, LISTENER(mount_point), 0, 0, NULL,
        noc_store_mount_point, NULL, "1.2", "PREFIX",
        "Put before every topic of this listener's clients, who do not see it."),
    CUSTOM("plugin_use", LISTENER, INACTIVE | GUARD | REPEATABLE, RESTART, noc_store_plugin, NULL,
        "2.1", "NAME", "Uses a plugin of plugin_load on this listener."),
    CUSTOM("port", LISTENER, DEPRECATED | REPEATABLE, RESTART, noc_store_port, "1883", "0.2",
        "PORT", "Port of the default listener. Write listener PORT instead."),
    ROW("protocol", LISTENER, WORD, 0, RESTART, LISTENER(protocol), 0, 0, protocols,
        noc_store_protocol, "mqtt", "1.4", NULL, "What the listener speaks."),
    BOOL("proxy_protocol_v2_require_tls", LISTENER, INACTIVE, RESTART, NOC_NO_FIELD, "false", "2.1",
        "Are clients refused that came to the proxy without TLS?"),
    STRING("psk_hint", LISTENER, INACTIVE | GUARD, RESTART, LISTENER(psk_hint), 0, NULL, "1.2",
        "TEXT", "Turns TLS with pre-shared keys on, and is sent to clients."),
    BOOL("require_certificate", LISTENER, 0, NEW, LISTENER(require_certificate), "false", "1.0",
        "Must a client show a certificate that cafile or capath vouches for?"),
    WORD("socket_domain", LISTENER, 0, RESTART, LISTENER(socket_domain), socket_domains, NULL,
        "1.5", "Restricts the listener to one version of IP."),
    STRING("tls_engine", LISTENER, INACTIVE, RESTART, NOC_NO_FIELD, 0, NULL, "1.6", "ID",
        "OpenSSL engine for the key."),
    STRING("tls_engine_kpass_sha1", LISTENER, INACTIVE, RESTART, NOC_NO_FIELD, 40, NULL, "1.6",
        "HEX", "SHA1 of the password of the engine's key."),
    STRING("tls_keyform", LISTENER, INACTIVE, RESTART, NOC_NO_FIELD, 0, "pem", "1.6", "pem|engine",
        "Is keyfile a file or a key of the engine?"),
    WORD("tls_version", LISTENER, 0, RESTART, LISTENER(tls_version), tls_versions, NULL, "1.2",
        "The lowest version of TLS that is accepted; 1.2 without it."),
    BOOL("use_identity_as_username", LISTENER, 0, NEW, LISTENER(use_identity_as_username), "false",
        "1.0", "Is the common name of the client's certificate its username?"),
    BOOL("use_subject_as_username", LISTENER, 0, NEW, LISTENER(use_subject_as_username), "false",
        "1.5", "Is the whole subject of the client's certificate its username?"),
    BOOL("use_username_as_clientid", LISTENER, INACTIVE | GUARD, NEW,
        LISTENER(use_username_as_clientid), "false", "1.4",
        "Is the username taken for the client id?"),
    ROW("websocket_path", LISTENER, STRING, OWN, NEW, LISTENER(websocket_path), 0, 0, NULL,
        noc_store_websocket_path, NULL, "Noctule 0.1", "/PATH",
        "The only path at which the WebSocket is served; without it, any."),
    INT("websocket_ping_interval", LISTENER, OWN | LOCAL, NEW, LISTENER(websocket_ping_interval_s),
        0, 86400, "25", "Noctule 0.1", "SECONDS",
        "How often an idle WebSocket is pinged, so that proxies keep it open; 0: never."),
    INT("websocket_ping_timeout", LISTENER, OWN | LOCAL, NEW, LISTENER(websocket_ping_timeout_s), 1,
        3600, "20", "Noctule 0.1", "SECONDS", "How long the answer to a ping may take."),
    WORD("websocket_subprotocol", LISTENER, OWN | LOCAL, NEW, LISTENER(websocket_subprotocol),
        subprotocols, "strict", "Noctule 0.1",
        "strict: the client must offer the subprotocol mqtt; lenient: it may offer none."),
    ROW("websockets_origin", LISTENER, LIST, REPEATABLE, NEW, LISTENER(websockets_origins), 0, 0,
        NULL, NULL, NULL, "2.1", "ORIGIN",
        "A web origin whose pages may connect; may be given several times. Without it, any."),

    /* ---- bridges ---- */
    CUSTOM("address", BRIDGE, INACTIVE, NOW, noc_store_address, NULL, "0.4", "HOST[:PORT] ...",
        "Brokers to connect to."),
    CUSTOM("addresses", BRIDGE, INACTIVE, NOW, noc_store_address, NULL, "0.8", "HOST[:PORT] ...",
        "Brokers to connect to."),
    BRIDGE_STRING("bridge_alpn", "1.6", "PROTOCOL", "Protocol named in the TLS handshake."),
    BRIDGE_BOOL("bridge_attempt_unsubscribe", "true", "1.4",
        "Are topics unsubscribed at the start that the bridge should not get?"),
    BRIDGE_STRING("bridge_bind_address", "2.0", "ADDRESS", "Local address of the connection."),
    BRIDGE_PATH("bridge_cafile", "1.2", "Certificates of the authorities that are trusted, PEM."),
    BRIDGE_PATH("bridge_capath", "1.2", "Folder of such certificates."),
    BRIDGE_PATH("bridge_certfile", "1.2", "The bridge's certificate, PEM."),
    BRIDGE_STRING("bridge_ciphers", "2.1", "LIST", "Ciphers up to TLS 1.2."),
    BRIDGE_STRING("bridge_ciphers_tls1.3", "2.1", "LIST", "Cipher suites of TLS 1.3."),
    BRIDGE_STRING("bridge_identity", "1.2", "TEXT", "Identity of the pre-shared key."),
    BRIDGE_BOOL(
        "bridge_insecure", "false", "1.2", "Is the name in the remote certificate not checked?"),
    BRIDGE_PATH("bridge_keyfile", "1.2", "The key of bridge_certfile, PEM."),
    BRIDGE_INT("bridge_max_packet_size", 0, 0, INT_MAX, "0", "2.0", "BYTES",
        "The largest packet sent; 0: no limit."),
    BRIDGE_INT("bridge_max_topic_alias", 0, 0, 65535, "10", "2.1", "COUNT",
        "Topic aliases the remote broker may use."),
    BRIDGE_BOOL(
        "bridge_outgoing_retain", "true", "2.0", "Is the retain flag of outgoing messages kept?"),
    WORD("bridge_protocol_version", BRIDGE, INACTIVE, NOW, NOC_NO_FIELD, bridge_protocols,
        "mqttv311", "1.4", "The version of MQTT the bridge speaks."),
    BRIDGE_STRING("bridge_psk", "1.2", "HEX", "The pre-shared key."),
    BRIDGE_INT("bridge_receive_maximum", 0, 1, 65535, NULL, "2.1", "COUNT",
        "Messages the remote broker may have on their way."),
    WORD("bridge_reload_type", BRIDGE, INACTIVE, NOW, NOC_NO_FIELD, bridge_reloads, "lazy", "2.1",
        "Does a reload count at the next connection or at once?"),
    BRIDGE_BOOL("bridge_require_ocsp", "false", "1.6",
        "Must the remote broker prove that its certificate is not revoked?"),
    ROW("bridge_session_expiry_interval", BRIDGE, SIZE, INACTIVE, NOW, NOC_NO_FIELD, 0, UINT32_MAX,
        NULL, NULL, "0", "2.1", "SECONDS", "When the bridge's remote session ends."),
    CUSTOM("bridge_tcp_keepalive", BRIDGE, INACTIVE, NOW, noc_store_numbers, NULL, "2.1",
        "IDLE INTERVAL COUNT", "TCP's own keep-alive."),
    BRIDGE_INT("bridge_tcp_user_timeout", 0, 0, INT_MAX, NULL, "2.1", "MILLISECONDS",
        "How long sent bytes may stay unacknowledged."),
    BRIDGE_BOOL("bridge_tls_use_os_certs", "false", "2.1", "Are the system's authorities trusted?"),
    WORD("bridge_tls_version", BRIDGE, INACTIVE, NOW, NOC_NO_FIELD, bridge_tls_versions, "tlsv1.2",
        "1.2", "The lowest version of TLS that is accepted."),
    BRIDGE_BOOL("cleansession", "false", "0.8", "Does the remote session end with the connection?"),
    BRIDGE_STRING("clientid", "0.10", "ID", "Client id at the remote broker."),
    CUSTOM("connection", BRIDGE, INACTIVE | REPEATABLE, NOW, noc_store_connection, NULL, "0.8",
        "NAME", "Begins a bridge to another broker. Bridge options that follow are its."),
    BRIDGE_INT("idle_timeout", 0, 1, INT_MAX, "60", "1.0", "SECONDS",
        "When a lazy bridge without traffic disconnects."),
    BRIDGE_INT("keepalive_interval", CLAMP, 5, 65535, "60", "0.8", "SECONDS",
        "The bridge's keep-alive time."),
    BRIDGE_BOOL(
        "local_cleansession", NULL, "2.0", "cleansession for the local side; like it unless set."),
    BRIDGE_STRING("local_clientid", "1.4", "ID", "Client id at this broker."),
    BRIDGE_STRING("local_password", "1.4", "PASSWORD", "Password at this broker."),
    BRIDGE_STRING("local_username", "1.4", "NAME", "Username at this broker."),
    BRIDGE_STRING(
        "notification_topic", "1.0", "TOPIC", "Where the state of the bridge is published."),
    BRIDGE_BOOL("notifications", "true", "1.0", "Is the state of the bridge published?"),
    BRIDGE_BOOL("notifications_local_only", "false", "2.0", "Is it published at this broker only?"),
    BRIDGE_STRING("password", "0.9", "PASSWORD", "The older name of remote_password."),
    BRIDGE_STRING("remote_clientid", "1.4", "ID", "Client id at the remote broker."),
    BRIDGE_STRING("remote_password", "1.4", "PASSWORD", "Password at the remote broker."),
    BRIDGE_STRING("remote_username", "1.4", "NAME", "Username at the remote broker."),
    CUSTOM("restart_timeout", BRIDGE, INACTIVE, NOW, noc_store_numbers, NULL, "1.0",
        "BASE [CAP [STABLE]]", "Seconds until a lost connection is made again."),
    BRIDGE_BOOL(
        "round_robin", "false", "1.2", "Are all addresses equal, or is the first preferred?"),
    WORD("start_type", BRIDGE, INACTIVE, NOW, NOC_NO_FIELD, bridge_starts, "automatic", "0.8",
        "When the bridge connects."),
    BRIDGE_INT("threshold", 0, 1, INT_MAX, "10", "0.15", "COUNT",
        "Waiting messages that make a lazy bridge connect."),
    CUSTOM("topic", BRIDGE, INACTIVE | REPEATABLE, NOW, noc_store_topic, NULL, "0.3",
        "PATTERN [out|in|both [QOS [LOCAL REMOTE]]]", "What the bridge passes on, and where to."),
    BRIDGE_BOOL(
        "try_private", "true", "1.0", "Does the bridge tell the remote broker that it is one?"),
    BRIDGE_STRING("username", "0.9", "NAME", "The older name of remote_username."),

    /* ---- plugins ---- */
    CUSTOM("auth_opt_", PLUGIN, INACTIVE | PREFIX | REPEATABLE, RESTART, noc_store_plugin_option,
        NULL, "1.0", "VALUE", "The older name of plugin_opt_."),
    BOOL("auth_plugin_deny_special_chars", PLUGIN, INACTIVE, RESTART, NOC_NO_FIELD, "true", "1.4",
        "Are usernames and client ids with + or # denied before an older plugin is asked?"),
    CUSTOM("plugin_opt_", PLUGIN, INACTIVE | PREFIX | REPEATABLE, RESTART, noc_store_plugin_option,
        NULL, "2.0", "VALUE", "An option of the plugin above; its name is what follows."),
    CUSTOM("plugin_opt_acl_file", PLUGIN, INACTIVE | REPEATABLE, RESTART, noc_store_plugin_option,
        NULL, "2.1", "PATH", "Of Mosquitto's acl-file plugin: what acl_file is."),
    CUSTOM("plugin_opt_config_file", PLUGIN, INACTIVE | REPEATABLE, RESTART,
        noc_store_plugin_option, NULL, "2.0", "PATH",
        "Of the dynamic security plugin: its clients, groups and roles."),
    CUSTOM("plugin_opt_db_file", PLUGIN, INACTIVE | REPEATABLE, RESTART, noc_store_plugin_option,
        NULL, "2.1", "PATH", "Of the SQLite plugin: the database."),
    CUSTOM("plugin_opt_flush_period", PLUGIN, INACTIVE | REPEATABLE, RESTART,
        noc_store_plugin_option, "5", "2.1", "SECONDS",
        "Of the SQLite plugin: how often changes are committed."),
    CUSTOM("plugin_opt_page_size", PLUGIN, INACTIVE | REPEATABLE, RESTART, noc_store_plugin_option,
        "4096", "2.1", "BYTES", "Of the SQLite plugin: the database's page size."),
    CUSTOM("plugin_opt_password_file", PLUGIN, INACTIVE | REPEATABLE, RESTART,
        noc_store_plugin_option, NULL, "2.1", "PATH",
        "Of Mosquitto's password-file plugin: what password_file is."),
    CUSTOM("plugin_opt_password_init_file", PLUGIN, INACTIVE | REPEATABLE, RESTART,
        noc_store_plugin_option, NULL, "2.1", "PATH",
        "Of the dynamic security plugin: the first administrator's password."),
    ROW("plugin_opt_sync", PLUGIN, CUSTOM, INACTIVE | REPEATABLE, RESTART, NOC_NO_FIELD, 0, 0,
        sync_modes, noc_store_plugin_option, "normal", "2.1", "extra|full|normal|off",
        "Of the SQLite plugin: how thoroughly commits are written."),
};

const size_t noc_option_count = NOC_COUNT(noc_options);
