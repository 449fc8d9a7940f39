/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The options of the client tools, one row each. The order is that of --help.
 * What .argument calls FILE, SOCKET, FOLDER or HOST, a shell completes as such.
 *
 * Names, and the words after "given but", are Mosquitto's: scripts compare
 * what is printed. The help is ours.
 */
#include "cli/client_parser.h"

#include <limits.h>

#define P              NOC_TOOL_PUB
#define S              NOC_TOOL_SUB
#define R              NOC_TOOL_RR
#define ALL            (P | S | R)

#define FLAG(member)   .kind = NOC_OPTION_FLAG, .target = offsetof(struct noc_client_parser, member)
#define TEXT(member)   .kind = NOC_OPTION_TEXT, .target = offsetof(struct noc_client_parser, member)
#define STOP(member)   .kind = NOC_OPTION_STOP, .target = offsetof(struct noc_client_parser, member)
#define CALL(function) .kind = NOC_OPTION_CALL, .apply = (function)
#define NUMBER(which, min, max, fault)                                                      \
    .kind = NOC_OPTION_NUMBER, .target = (which), .number_min = (min), .number_max = (max), \
    .number_fault = (fault)
/* What is missing: "-p argument given but no port specified." */
#define NAMED(word, what) .missing = word " argument given but no " what " specified."

const struct noc_client_option noc_client_options[] = {
    /* ---- where to ---- */
    {"-h", "--host", ALL, .heading = "The way to the broker", .argument = "HOST",
        NAMED("-h", "host"), TEXT(settings.host),
        .help = "the broker's name or address; localhost by default"},
    {"-p", "--port", ALL, .argument = "PORT", NAMED("-p", "port"),
        NUMBER(NOC_NUMBER_PORT, 0, UINT16_MAX, "Error: Invalid port given: %d\n"),
        .is_fault_alone = true, .help = "its port; 1883 by default, 8883 with TLS"},
    {"-L", "--url", ALL, .secret = NOC_SECRET_LOGIN, .argument = "URL", NAMED("-L", "URL"),
        CALL(noc_client_set_url),
        .help = "host, port, user, password and topic at once:\n"
                "mqtt[s]://[USER[:PASSWORD]@]HOST[:PORT]/TOPIC\n"
                "ws[s]://[USER[:PASSWORD]@]HOST[:PORT]/TOPIC, or with -t: /PATH of\n"
                "the WebSocket. Nothing in it is percent-decoded. Ports by default: mqtt\n"
                "1883, mqtts 8883, ws 80, wss 443. With mqtts and wss the system's\n"
                "certificate authorities are trusted"},
    {NULL, "--unix", ALL, .argument = "SOCKET", NAMED("--unix", "socket path"),
        CALL(noc_client_set_unix), .help = "connect to this unix socket"},
    {"-A", NULL, ALL, .argument = "ADDRESS", NAMED("-A", "address"), TEXT(settings.bind_address),
        .help = "connect from this address of ours"},
    {NULL, "--nodelay", ALL, FLAG(settings.no_delay),
        .help = "send small packets at once (TCP_NODELAY)"},
    {NULL, "--proxy", ALL, .secret = NOC_SECRET_LOGIN, .argument = "URL",
        NAMED("--proxy", "proxy url"), CALL(noc_client_set_proxy),
        .help = "go through a SOCKS5 proxy: socks5h://[USER[:PASSWORD]@]HOST[:PORT]"},
    {NULL, "--ws", ALL, NOC_SINCE_2_1, FLAG(settings.is_ws), .help = "MQTT over WebSocket"},
    {NULL, "--ws-path", ALL, NOC_SINCE_OURS, .argument = "PATH", NAMED("--ws-path", "path"),
        CALL(noc_client_set_ws_path), .help = "the path of the WebSocket; /mqtt by default"},
    {NULL, "--header", ALL, NOC_SINCE_OURS, .argument = "'NAME: VALUE'",
        NAMED("--header", "header"), CALL(noc_client_set_header), .repeats = true,
        .help = "a header for the WebSocket's request; may be repeated"},
    {NULL, "--user-agent", ALL, NOC_SINCE_OURS, .argument = "TEXT",
        NAMED("--user-agent", "user agent"), CALL(noc_client_set_user_agent),
        .help = "the user agent of the WebSocket's request"},

    /* ---- who we are ---- */
    {"-u", "--username", ALL, .heading = "The session", .argument = "USER", NAMED("-u", "username"),
        TEXT(user), .help = "the user's name"},
    {"-P", "--pw", ALL, .secret = NOC_SECRET_ALL, .argument = "PASSWORD", NAMED("-P", "password"),
        TEXT(password), .help = "the password"},
    {"-i", "--id", ALL, .argument = "ID", NAMED("-i", "id"), TEXT(id), .is_id = true,
        .help = "the client id; without -i and -I the broker gives one"},
    {"-I", "--id-prefix", ALL, .argument = "PREFIX", NAMED("-I", "id prefix"), TEXT(id_prefix),
        .is_id = true, .help = "the client id is PREFIX and our process id"},
    {"-V", "--protocol-version", ALL, .argument = "VERSION", NAMED("--protocol-version", "version"),
        CALL(noc_client_set_version), .words = "5 311 31 mqttv5 mqttv311 mqttv31",
        .help = "of MQTT: 5, 311 or 31, also written mqttv5 and so on"},
    {"-k", "--keepalive", ALL, .argument = "SECONDS", NAMED("-k", "keepalive"),
        NUMBER(NOC_NUMBER_KEEP_ALIVE, 5, UINT16_MAX,
            "Error: Invalid keepalive given, it must be between 5 and 65535 inclusive.\n"),
        .help = "keep-alive, 5 to 65535; 60 by default"},
    {"-c", "--disable-clean-session", ALL, FLAG(keeps_session),
        .help = "take up the session that the broker has, and let it stay; needs -i"},
    {"-x", NULL, ALL, .argument = "SECONDS", NAMED("-x", "session expiry interval"),
        CALL(noc_client_set_session_expiry),
        .help = "how long a session of version 5 stays when we are gone; -1 or ∞ for\n"
                "ever, which is what -c means without -x"},
    {"-D", "--property", ALL, .argument = "COMMAND PROPERTY VALUE",
        .missing = "--property argument given but not enough arguments specified.",
        .kind = NOC_OPTION_PROPERTY, .repeats = true,
        .help = "a property of version 5 for CONNECT, PUBLISH, SUBSCRIBE, UNSUBSCRIBE,\n"
                "DISCONNECT or WILL; of a user-property the VALUE is two words"},

    /* ---- what to do ---- */
    {"-t", "--topic", P, .heading = "What to do", .argument = "TOPIC", NAMED("-t", "topic"),
        CALL(noc_client_set_topic), .help = "where to publish"},
    {"-t", "--topic", R, .argument = "TOPIC", NAMED("-t", "topic"), CALL(noc_client_set_topic),
        .help = "where to send the request"},
    {"-t", "--topic", S, .argument = "FILTER", NAMED("-t", "topic"), CALL(noc_client_set_topic),
        .repeats = true, .help = "what to subscribe to; may be repeated"},
    {"-e", NULL, R, .argument = "TOPIC", NAMED("-e", "response topic"),
        CALL(noc_client_set_response_topic), .help = "where the response will come"},
    {"-m", "--message", P | R, .argument = "TEXT", NAMED("-m", "message"), TEXT(message),
        .is_source = true, .help = "send this text"},
    {"-f", "--file", P | R, .argument = "FILE", NAMED("-f", "file"), TEXT(file), .is_source = true,
        .help = "send what the file holds"},
    {"-s", "--stdin-file", P | R, FLAG(reads_stdin), .is_source = true,
        .help = "send standard input as one message"},
    {"-l", "--stdin-line", P, FLAG(reads_lines), .is_source = true,
        .help = "send each line of standard input as a message"},
    {"-n", "--null-message", P | R, FLAG(is_null), .is_source = true,
        .help = "send an empty message"},
    {"-q", "--qos", ALL, .argument = "QOS", NAMED("-q", "QoS"),
        NUMBER(NOC_NUMBER_QOS, 0, 2, "Error: Invalid QoS given: %d\n"), .is_fault_alone = true,
        .words = "0 1 2", .help = "quality of service, 0 to 2; 0 by default"},
    {"-r", "--retain", P, FLAG(settings.is_retained), .help = "the broker shall keep the message"},
    {NULL, "--repeat", P, .argument = "N", NAMED("--repeat", "count"),
        NUMBER(NOC_NUMBER_REPEAT, 1, INT_MAX, "Error: --repeat argument must be >0.\n"),
        .help = "send the message N times"},
    {NULL, "--repeat-delay", P, .argument = "SECONDS", NAMED("--repeat-delay", "time"),
        CALL(noc_client_set_repeat_delay), .help = "and wait so long between two of them"},
    {"-M", NULL, ALL, .argument = "N",
        .missing = "-M argument given but max_inflight not specified.",
        NUMBER(NOC_NUMBER_INFLIGHT, 1, INT_MAX,
            "Error: Maximum inflight messages must be greater than 0.\n"),
        .help = "messages of QoS 1 and 2 that may be under way; 20 by default"},
    {"-C", NULL, S, .argument = "N", NAMED("-C", "count"),
        NUMBER(NOC_NUMBER_COUNT, 1, INT_MAX, "Error: Invalid message count \"%d\".\n"),
        .help = "exit after N messages"},
    {"-E", NULL, S, FLAG(settings.exit_after_sub),
        .help = "exit when the broker has acknowledged the subscriptions"},
    {"-W", NULL, S | R, .argument = "SECONDS", NAMED("-W", "timeout"),
        NUMBER(NOC_NUMBER_TIMEOUT, 1, INT_MAX, "Error: Invalid timeout \"%d\".\n"),
        .help = "exit after so long, with status 27"},
    {"-U", "--unsubscribe", S, .argument = "FILTER", NAMED("-U", "unsubscribe topic"),
        CALL(noc_client_set_unsubscribe), .repeats = true, .help = "unsubscribe; may be repeated"},
    {"-T", "--filter-out", S, .argument = "FILTER", NAMED("-T", "topic filter"),
        CALL(noc_client_set_filter_out), .repeats = true,
        .help = "do not show messages whose topic matches; may be repeated"},
    {"-R", NULL, S | R, CALL(noc_client_set_skip_retained),
        .help = "do not show what was retained"},
    {NULL, "--retained-only", S, FLAG(settings.only_retained),
        .help = "show only what was retained; exit at the first other message"},
    {NULL, "--remove-retained", S, FLAG(settings.remove_retained),
        .help = "remove from the broker each retained message that comes"},
    {NULL, "--retain-as-published", S | R, FLAG(settings.retain_as_published),
        .help = "version 5: the retain flag as the publisher set it"},
    {NULL, "--retain-handling", S | R, NOC_SINCE_2_1, .argument = "WHEN",
        NAMED("--retain-handling", "option"), CALL(noc_client_set_retain_handling),
        .words = "always new never",
        .help = "version 5, retained messages: always, new (only for a new\n"
                "subscription), or never"},
    {NULL, "--random-filter", S, .argument = "PERCENT", NAMED("--random-filter", "chance"),
        CALL(noc_client_set_random_filter), .help = "show so many of 100 messages, by chance"},

    /* ---- what is shown ---- */
    {"-F", NULL, S | R, .heading = "What is shown", .argument = "FORMAT", NAMED("-F", "format"),
        CALL(noc_client_set_format),
        .help = "how to show a message: %t topic, %p payload, %x in hex, %l its length,\n"
                "%q QoS, %r retained, %m message id, %j all of it as JSON, %J with the\n"
                "payload as JSON too, %I and %U the time, @Y and so on as strftime(3);\n"
                "of version 5 %A %C %D %E %F %P %R %S; %8t has a width, %-8t is left"},
    {"-v", "--verbose", S | R, FLAG(output.is_verbose), .help = "show the topic too"},
    {"-N", NULL, S | R, FLAG(output.no_newline), .help = "no line feed after a message"},
    {NULL, "--pretty", S | R, FLAG(output.is_pretty), .help = "JSON (%j, %J) over several lines"},
    {"-w", "--watch", S, NOC_SINCE_2_1, FLAG(settings.watch),
        .help = "a line of the screen for each topic"},
    {NULL, "--message-rate", S, NOC_SINCE_2_1, FLAG(settings.print_rate),
        .help = "show how many messages come per second, not the messages"},
    {NULL, "--tree", S, NOC_SINCE_OURS, FLAG(settings.show_tree), .is_own = true,
        .help = "show the topics as a tree, with their last values and rates"},
    {NULL, "--stats", S, NOC_SINCE_OURS, FLAG(settings.show_stats), .is_own = true,
        .help = "show figures about the messages, not the messages"},
    {NULL, "--progress", P, NOC_SINCE_OURS, FLAG(settings.show_progress), .is_own = true,
        .help = "show how far long input is"},
    {NULL, "--latency", R, NOC_SINCE_2_1, CALL(noc_client_set_latency),
        .help = "show how long the response took"},
    {"-d", "--debug", ALL, FLAG(settings.is_debug), .help = "show what is sent and received"},
    {NULL, "--quiet", ALL, FLAG(settings.is_quiet), .help = "do not show errors"},

    /* ---- the will ---- */
    {NULL, "--will-topic", ALL, .heading = "The will", .argument = "TOPIC",
        NAMED("--will-topic", "will topic"), CALL(noc_client_set_will_topic),
        .help = "publish a will there when the connection is lost"},
    {NULL, "--will-payload", ALL, .argument = "TEXT", NAMED("--will-payload", "will payload"),
        TEXT(will_payload), .help = "what it says; nothing by default"},
    {NULL, "--will-qos", ALL, .argument = "QOS", NAMED("--will-qos", "will QoS"),
        NUMBER(NOC_NUMBER_WILL_QOS, 0, 2, "Error: Invalid will QoS %d.\n"), .words = "0 1 2",
        .help = "its quality of service"},
    {NULL, "--will-retain", ALL, FLAG(settings.will.is_retained),
        .help = "the broker shall keep the will"},

    /* ---- TLS ---- */
    {NULL, "--cafile", ALL, .heading = "TLS", .argument = "FILE", NAMED("--cafile", "file"),
        TEXT(settings.tls.cafile), .help = "TLS: trust the certificate authorities in this file"},
    {NULL, "--capath", ALL, .argument = "FOLDER", NAMED("--capath", "directory"),
        TEXT(settings.tls.capath), .help = "TLS: trust those in this folder"},
    {NULL, "--tls-use-os-certs", ALL, FLAG(settings.tls.use_os_certs),
        .help = "TLS: trust those of the system"},
    {NULL, "--cert", ALL, .argument = "FILE", NAMED("--cert", "file"), TEXT(settings.tls.cert),
        .help = "our certificate"},
    {NULL, "--key", ALL, .argument = "FILE", NAMED("--key", "file"), TEXT(settings.tls.key),
        .help = "its private key"},
    {NULL, "--keyform", ALL, .argument = "FORM", NAMED("--keyform", "keyform"), TEXT(keyform),
        .words = "pem", .help = "form of the key: pem. Engines are not supported"},
    {NULL, "--insecure", ALL, FLAG(settings.tls.is_insecure),
        .help = "do not check the broker's name: whoever is in the way can be it"},
    {NULL, "--tls-version", ALL, .argument = "VERSION", NAMED("--tls-version", "version"),
        TEXT(settings.tls.version), .words = "tlsv1.2 tlsv1.3",
        .help = "the oldest version of TLS that is good: tlsv1.2 or tlsv1.3"},
    {NULL, "--tls-alpn", ALL, .argument = "PROTOCOL", NAMED("--tls-alpn", "protocol"),
        TEXT(settings.tls.alpn), .help = "the protocol to ask for (ALPN)"},
    {NULL, "--ciphers", ALL, .argument = "LIST", NAMED("--ciphers", "ciphers"),
        TEXT(settings.tls.ciphers), .help = "ciphers, as OpenSSL lists them"},
    {NULL, "--tls-keylog", ALL, NOC_SINCE_2_1, .argument = "FILE", NAMED("--tls-keylog", "file"),
        TEXT(settings.tls.keylog), .help = "write the session's keys there, for Wireshark"},
    {NULL, "--tls-engine", ALL, .argument = "ENGINE", NAMED("--tls-engine", "engine_id"),
        TEXT(engine), .help = "not supported: OpenSSL has given up engines"},
    {NULL, "--tls-engine-kpass-sha1", ALL, .secret = NOC_SECRET_ALL, .argument = "HEX",
        NAMED("--tls-engine-kpass-sha1", "kpass sha1"), TEXT(engine_password),
        .help = "not supported"},
    {NULL, "--psk", ALL, .secret = NOC_SECRET_ALL, .argument = "HEX", NAMED("--psk", "key"),
        TEXT(settings.tls.psk), .help = "TLS with a key that both sides have"},
    {NULL, "--psk-identity", ALL, .argument = "NAME", NAMED("--psk-identity", "identity"),
        TEXT(settings.tls.psk_identity), .help = "and the name that it has"},
    {NULL, "--no-tls", ALL, NOC_SINCE_2_1, FLAG(no_tls),
        .help = "no TLS, whatever else asks for it (an options file, say)"},

    /* ---- the rest ---- */
    {"-o", NULL, ALL, NOC_SINCE_2_1, .heading = "The rest", .argument = "FILE",
        NAMED("-o", "options file"), CALL(noc_client_set_options_file),
        .help = "read options from this file, not the usual one"},
    {NULL, "--man", ALL, NOC_SINCE_OURS, STOP(wants_man), .is_own = true,
        .help = "show the options as a section of a man page"},
    {NULL, "--help", ALL, STOP(wants_help), .help = "show this text"},
    {NULL, "--version", ALL, STOP(wants_version), .help = "show the version"},
};

const size_t noc_client_option_count = NOC_COUNT(noc_client_options);

static bool is_name(const char *name, const char *word)
{
    return name != NULL && strcmp(name, word) == 0;
}

bool noc_client_option_is_of(
    const struct noc_client_option *option, enum noc_client_tool tool, bool is_mosquitto)
{
    return (option->tools & (unsigned)tool) != 0 && !(option->is_own && is_mosquitto);
}

const struct noc_client_option *noc_client_option_find(
    const struct noc_client_settings *settings, const char *word)
{
    for (size_t i = 0; i < NOC_COUNT(noc_client_options); i++) {
        const struct noc_client_option *option = &noc_client_options[i];

        if (noc_client_option_is_of(option, settings->tool, settings->is_mosquitto) &&
            (is_name(option->short_name, word) || is_name(option->long_name, word))) {
            return option;
        }
    }
    return NULL;
}
