/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "config/parser.h"
#include "fixture.h"

static void an_empty_file_means_local_mode(void **state)
{
    struct reading r = accept("");

    assert_true(r.config->is_local_only);
    assert_int_equal(r.config->listener_count, 2);
    assert_string_equal(r.config->listeners[0].address, "127.0.0.1");
    assert_string_equal(r.config->listeners[1].address, "::1");
    assert_int_equal(r.config->listeners[0].port, 1883);
    assert_true(r.config->listeners[1].allow_anonymous);
    assert_int_equal(r.report.count, 0);
    reading_done(&r);
}

static void all_defaults_are_mosquittos(void **state)
{
    struct reading r = accept("listener 1883\n");
    const struct noc_config *config = r.config;
    const struct noc_listener_config *listener = &config->listeners[0];

    assert_int_equal(config->compatibility, NOC_COMPATIBILITY_2_0);
    assert_string_equal(config->user, "mosquitto");
    assert_null(config->pid_file);
    assert_int_equal(config->workers, 0);
    assert_int_equal(config->auth_workers, 2);
    assert_int_equal(config->memory_limit_bytes, 0);
    assert_int_equal(config->log_dest, NOC_CONFIG_LOG_TO_STDERR);
    assert_int_equal(config->log_types, NOC_LOG_DEFAULT);
    assert_int_equal(config->log_facility, -1);
    assert_true(config->log_timestamp);
    assert_null(config->log_timestamp_format);
    assert_true(config->connection_messages);
    assert_int_equal(config->connect_timeout_s, 10);
    assert_int_equal(config->max_inflight_messages, 20);
    assert_int_equal(config->max_queued_messages, 1000);
    assert_int_equal(config->max_keepalive_s, 0);
    assert_int_equal(config->max_packet_bytes, 0);
    assert_int_equal(config->message_size_limit_bytes, 0);
    assert_int_equal(config->max_output_bytes, 1048576);
    assert_int_equal(config->mailbox_high, 16384);
    assert_false(config->queue_qos0_messages);
    assert_true(config->retain_available);
    assert_int_equal(config->sys_interval_s, 10);
    assert_false(config->persistence);
    assert_string_equal(config->persistence_file, "mosquitto.db");
    assert_false(listener->allow_anonymous);
    assert_string_equal(listener->auto_id_prefix, "auto-");
    assert_int_equal(listener->max_connections, -1);
    assert_int_equal(listener->max_qos, 2);
    assert_int_equal(listener->max_topic_alias, 10);
    assert_int_equal(listener->max_topic_alias_broker, 10);
    assert_int_equal(listener->protocol, NOC_CONFIG_MQTT);
    assert_int_equal(listener->websocket_ping_interval_s, 25);
    assert_int_equal(listener->websocket_ping_timeout_s, 20);
    assert_int_equal(listener->websocket_subprotocol, NOC_CONFIG_SUBPROTOCOL_STRICT);
    assert_true(config->security.allow_zero_length_clientid);
    reading_done(&r);
}

static void a_comment_begins_in_the_first_column_only(void **state)
{
    struct reading r = accept("# one\n#two\n#\xff\xfe\n   \n\n\t\n");

    reading_done(&r);
    refuse("\n # x\n", 2, "\"#\". A comment must begin in the first column");
    refuse("user a\n#\n  #\n", 3, "first column");
}

static void leading_spaces_are_skipped_but_a_tab_does_not_separate(void **state)
{
    struct reading r = accept("   sys_interval    5   \n");

    assert_int_equal(r.config->sys_interval_s, 5);
    reading_done(&r);
    refuse("sys_interval\t5\n", 1, "Put a space, not a tab");
}

static void line_ends_may_be_crlf_and_the_last_may_lack(void **state)
{
    struct reading r = accept("user a b\r\nlistener 1\r\r\nlistener 2");

    assert_string_equal(r.config->user, "a b");
    assert_int_equal(r.config->listener_count, 2);
    assert_int_equal(r.config->listeners[1].port, 2);
    reading_done(&r);
}

static void an_unknown_option_is_an_error_with_a_proposal(void **state)
{
    refuse("foo bar\n", 1, "Unknown configuration variable \"foo\". All that are known");
    refuse("\nlistner 1883\n", 2, "Did you mean \"listener\"?");
    refuse("Listener 1883\n", 1, "Did you mean \"listener\"?");
    refuse("store_clean_interval 5\n", 1, "Unknown configuration variable");
}

static void a_missing_value_is_an_error(void **state)
{
    for (size_t i = 0; i < noc_option_count; i++) {
        const struct noc_option *option = &noc_options[i];
        char text[128];

        if (option->scope == NOC_SCOPE_BRIDGE || option->scope == NOC_SCOPE_PLUGIN) {
            continue;
        }
        snprintf(text, sizeof(text), "%s  \n", option->name);
        refuse(text, 1, "value in configuration. Write: ");
    }
    refuse("connection\n", 1, "Empty connection value");
}

static void booleans_are_exact(void **state)
{
    static const char *const bad[] = {"yes", "True", "FALSE", "on", "2", "-1", "true,", "tru"};

    for (size_t i = 0; i < NOC_COUNT(bad); i++) {
        char text[64];

        snprintf(text, sizeof(text), "retain_available %s\n", bad[i]);
        refuse(text, 1, "Invalid retain_available value (");
    }
    {
        struct reading r = accept("retain_available 0\nlog_timestamp false # no\n"
                                  "queue_qos0_messages 1\nset_tcp_nodelay true and more\n");

        assert_false(r.config->retain_available);
        assert_false(r.config->log_timestamp);
        assert_true(r.config->queue_qos0_messages);
        assert_true(r.config->set_tcp_nodelay);
        reading_done(&r);
    }
}

static void numbers_are_as_in_c_and_stand_alone(void **state)
{
    struct reading r = accept("sys_interval 0x10\nmax_keepalive 010 and more\n"
                              "max_queued_messages +7\nmax_inflight_messages 0\n");

    assert_int_equal(r.config->sys_interval_s, 16);
    assert_int_equal(r.config->max_keepalive_s, 8);
    assert_int_equal(r.config->max_queued_messages, 7);
    assert_int_equal(r.config->max_inflight_messages, 0);
    reading_done(&r);
    refuse("sys_interval 5s\n", 1, "It is not a number");
    refuse("sys_interval 08\n", 1, "It is not a number");
    refuse("sys_interval x\n", 1, "It is not a number");
    refuse("sys_interval 1.5\n", 1, "It is not a number");
    refuse("max_queued_messages 99999999999\n", 1, "between 0 and 2147483647");
    refuse("sys_interval 99999999999999999999999\n", 1, "It is not a number");
    refuse("sys_interval 0000000000000000000000000000000000000001\n", 1, "It is not a number");
}

/* Just inside and just outside of every range in the table. */
static void every_range_is_kept(void **state)
{
    for (size_t i = 0; i < noc_option_count; i++) {
        const struct noc_option *option = &noc_options[i];
        bool is_number = option->type == NOC_OPTION_INT || option->type == NOC_OPTION_U32 ||
                         option->type == NOC_OPTION_SIZE;
        const char *before = option->scope == NOC_SCOPE_BRIDGE
                                 ? "connection a\naddress b\ntopic #\n"
                                 : "listener 1883\n";
        const char *after = "\nlistener 1\n";
        char text[160];
        struct reading r;

        if (!is_number) {
            continue;
        }
        snprintf(
            text, sizeof(text), "%s%s %lld%s", before, option->name, (long long)option->min, after);
        r = accept(text);
        reading_done(&r);
        snprintf(
            text, sizeof(text), "%s%s %lld%s", before, option->name, (long long)option->max, after);
        r = accept(text);
        reading_done(&r);
        if (option->max < INT64_MAX) {
            snprintf(text, sizeof(text), "%s%s %lld%s", before, option->name,
                (long long)option->max + 1, after);
            refuse(text, option->scope == NOC_SCOPE_BRIDGE ? 4 : 2, "It must be between");
        }
        snprintf(text, sizeof(text), "%s%s %lld%s", before, option->name,
            (long long)option->min - 1, after);
        if ((option->flags & NOC_OPTION_CLAMP) != 0) {
            r = accept(text);
            reading_done(&r);
        } else {
            refuse(text, option->scope == NOC_SCOPE_BRIDGE ? 4 : 2, "It must be between");
        }
    }
}

static void what_mosquitto_raises_to_its_least_is_raised(void **state)
{
    struct reading r = accept("max_queued_messages -4\nmax_queued_bytes -1\nlistener 1\n"
                              "max_connections -5\n");

    assert_int_equal(r.config->max_queued_messages, 0);
    assert_int_equal(r.config->max_queued_bytes, 0);
    assert_int_equal(r.config->listeners[0].max_connections, -1);
    reading_done(&r);
}

static void a_string_is_the_trimmed_rest_of_the_line(void **state)
{
    struct reading r = accept("pid_file   /a b/c # d  \n");

    assert_string_equal(r.config->pid_file, "/a b/c # d");
    reading_done(&r);
}

static void a_second_string_is_an_error_a_second_number_is_not(void **state)
{
    struct reading r = accept("sys_interval 1\nsys_interval 2\n");

    assert_int_equal(r.config->sys_interval_s, 2);
    reading_done(&r);
    refuse("user a\nuser a\n", 2, "Duplicate user value in configuration.");
    refuse("password_file a\n\npassword_file b\n", 3, "Duplicate password_file value");
    refuse("listener 1\nkeyfile a\ncertfile a\nkeyfile b\n", 4, "Duplicate keyfile value");
    refuse("auto_id_prefix auto-\nauto_id_prefix auto-\n", 2, "Duplicate auto_id_prefix");
}

static void a_value_must_be_utf8_and_of_bounded_length(void **state)
{
    static const char *const bad[] = {"\xff", "a\xc0\x80", "\xed\xa0\x80", "\xf5\x80\x80\x80"};
    char *text = malloc(70000);
    struct reading r;

    for (size_t i = 0; i < NOC_COUNT(bad); i++) {
        char line[64];

        snprintf(line, sizeof(line), "user %s\n", bad[i]);
        refuse(line, 1, "Malformed UTF-8 in configuration");
    }
    assert_non_null(text);
    memcpy(text, "user ", 5);
    memset(text + 5, 'a', 65536);
    text[5 + 65536] = '\0';
    refuse(text, 1, "too long");
    text[5 + 65535] = '\0';
    r = accept(text);
    assert_int_equal(strlen(r.config->user), 65535);
    reading_done(&r);
    free(text);
}

static void a_zero_byte_is_an_error(void **state)
{
    static const char text[] = "user a\0b\n";
    struct noc_config_report report;
    struct noc_config *config = NULL;

    noc_config_report_init(&report);
    assert_int_equal(
        noc_config_parse(text, sizeof(text) - 1, "t.conf", true, NULL, &config, &report),
        NOC_EINVAL);
    assert_null(config);
    assert_non_null(strstr(report.messages[0].text, "zero byte"));
    noc_config_report_done(&report);
}

static void all_errors_of_a_file_are_reported(void **state)
{
    struct reading r = read_with("foo 1\nuser a\nsys_interval x\nmax_qos 3\n", NULL);

    assert_int_equal(r.err, NOC_EINVAL);
    assert_int_equal(r.report.error_count, 3);
    assert_string_equal(r.report.messages[1].text, "Error found at t.conf:1.");
    assert_string_equal(r.report.messages[3].text, "Error found at t.conf:3.");
    assert_int_equal(r.report.messages[4].line, 4);
    assert_string_equal(r.report.messages[4].file, "t.conf");
    reading_done(&r);
}

static void nonsense_does_not_fill_the_report(void **state)
{
    char *text = malloc(40001);
    struct reading r;

    assert_non_null(text);
    for (size_t i = 0; i < 40000; i += 4) {
        memcpy(text + i, "ab \n", 4);
    }
    text[40000] = '\0';
    r = read_with(text, NULL);
    assert_int_equal(r.report.error_count, 50);
    reading_done(&r);
    free(text);
}

static void words_are_exact(void **state)
{
    struct reading r = accept("listener 1\nprotocol websockets\nsocket_domain ipv6\n"
                              "tls_version tlsv1.3\nwebsocket_subprotocol lenient\n"
                              "listener 2\nprotocol mqtt\nsocket_domain ipv4\n"
                              "tls_version tlsv1.1\n");

    assert_int_equal(r.config->listeners[0].protocol, NOC_CONFIG_WEBSOCKETS);
    assert_int_equal(r.config->listeners[0].socket_domain, NOC_CONFIG_IPV6);
    assert_int_equal(r.config->listeners[0].tls_version, NOC_CONFIG_TLS_1_3);
    assert_int_equal(r.config->listeners[0].websocket_subprotocol, NOC_CONFIG_SUBPROTOCOL_LENIENT);
    assert_int_equal(r.config->listeners[1].protocol, NOC_CONFIG_MQTT);
    assert_int_equal(r.config->listeners[1].socket_domain, NOC_CONFIG_IPV4);
    assert_int_equal(r.config->listeners[1].tls_version, NOC_CONFIG_TLS_1_1);
    assert_true(says(&r, "TLS 1.1"));
    reading_done(&r);
    refuse("protocol MQTT\n", 1, "Use mqtt, websockets or http_api.");
    refuse("socket_domain ip\n", 1, "Use ipv4 or ipv6.");
    refuse("tls_version tlsv1\n", 1, "Use tlsv1.3, tlsv1.2 or tlsv1.1.");
    refuse("websocket_subprotocol none\n", 1, "Use strict or lenient.");
    refuse("compatibility 2.2\n", 1, "Use 2.0 or 2.1.");
}

static void inactive_options_are_said_once_and_only_when_they_would_matter(void **state)
{
    struct reading r = accept("enable_control_api true\nenable_control_api true\n"
                              "upgrade_outgoing_qos false\ncheck_retain_source true\n");

    assert_true(says(&r, "t.conf:1: option 'enable_control_api' is not active yet"));
    assert_int_equal(r.report.count, 1);
    reading_done(&r);
    r = accept("plugin /x.so\nplugin_opt_a b\nplugin /y.so\n");
    assert_true(says(&r, "NOT forbidden"));
    assert_true(says(&r, "options of plugins that are not active yet: plugin_opt_..."));
    assert_int_equal(r.report.count, 2);
    reading_done(&r);
}

static void an_inactive_option_is_still_checked(void **state)
{
    refuse("persistence maybe\n", 1, "Invalid persistence value");
    refuse("retain_expiry_interval 0\n", 1, "between 1 and 10000000");
    refuse("persistent_client_expiration 1x\n", 1, "a number and a unit");
    refuse("persistent_client_expiration 0d\n", 1, "a number and a unit");
    refuse("persistent_client_expiration d\n", 1, "a number and a unit");
    refuse("persistent_client_expiration 99999999999y\n", 1, "a number and a unit");
    struct reading r = accept("persistent_client_expiration 14d\n");

    reading_done(&r);
}

static void a_folder_or_a_missing_file_is_no_configuration(void **state)
{
    struct reading r = read_file("/tmp");

    assert_int_equal(r.err, NOC_EINVAL);
    assert_true(says(&r, "Error: Config file /tmp is a directory."));
    reading_done(&r);
    r = read_file("/nonexistent/x.conf");
    assert_int_equal(r.err, NOC_EINVAL);
    assert_true(says(&r, "Error: Unable to open config file /nonexistent/x.conf"));
    reading_done(&r);
}

static void without_a_path_the_defaults_are_loaded(void **state)
{
    struct reading r = read_file(NULL);

    assert_int_equal(r.err, NOC_OK);
    assert_true(r.config->is_local_only);
    reading_done(&r);
}

static const char big[] =
    "# a bit of everything\r\n"
    "per_listener_settings true\ncompatibility 2.1\nworkers 4\nuser noctule\n"
    "pid_file /run/x.pid\npersistence true\npersistence_location /var/lib/mosquitto/\n"
    "log_dest file /var/log/x.log\nlog_dest syslog\nlog_type all\nlog_facility 3\n"
    "log_timestamp_format %Y-%m-%dT%H:%M:%S\nmax_inflight_messages 0x20\n"
    "persistent_client_expiration 2w\nclientid_prefixes a-\n"
    "listener 1883 127.0.0.1 # plain\nallow_anonymous true\nmount_point a/b/\n"
    "listener 9001\nprotocol websockets\nwebsockets_origin https://a.example\n"
    "websockets_origin https://b.example\nwebsocket_path /mqtt\npassword_file /p\nacl_file /a\n"
    "listener 0 /run/noctule.sock\nlistener_allow_anonymous false\n"
    "listener 8883 ::\ncafile /ca\ncertfile /c\nkeyfile /k\nrequire_certificate true\n"
    "use_identity_as_username true\ntls_version tlsv1.3\nciphers_tls1.3 TLS_AES_128_GCM_SHA256\n"
    "plugin /p.so\nplugin_opt_x y\nplugin_opt_sync full\n"
    "connection one\naddress a:1883 b\ntopic \"a b\" both 1 \"\" x/\nrestart_timeout 5 30 60\n"
    "bridge_tcp_keepalive 1 2 3\nremote_username \xc3\xbcser\n";

static void a_big_file_cut_anywhere_is_read_or_refused(void **state)
{
    for (size_t n = 0; n < sizeof(big); n++) {
        /* A block of its own, so that the sanitizer sees a byte read too many. */
        char *copy = malloc(n == 0 ? 1 : n);
        struct noc_config_report report;
        struct noc_config *config = NULL;

        assert_non_null(copy);
        memcpy(copy, big, n);
        noc_config_report_init(&report);
        if (noc_config_parse(copy, n, "t.conf", true, NULL, &config, &report) != NOC_OK) {
            assert_true(report.error_count > 0);
            assert_null(config);
        }
        free(copy);
        noc_config_free(config);
        noc_config_report_done(&report);
    }
}

static void every_single_wrong_byte_is_read_or_refused(void **state)
{
    static const char bytes[] = {'\0', '\n', ' ', '\t', '#', '"', '\xff', '0', '-'};

    for (size_t i = 0; i < sizeof(big) - 1; i++) {
        for (size_t k = 0; k < sizeof(bytes); k++) {
            char copy[sizeof(big)];
            struct noc_config_report report;
            struct noc_config *config = NULL;

            memcpy(copy, big, sizeof(big));
            copy[i] = bytes[k];
            noc_config_report_init(&report);
            (void)!noc_config_parse(copy, sizeof(big) - 1, "t.conf", true, NULL, &config, &report);
            noc_config_free(config);
            noc_config_report_done(&report);
        }
    }
}

static void the_big_file_is_taken(void **state)
{
    struct reading r = accept(big);

    assert_int_equal(r.config->listener_count, 4);
    assert_int_equal(r.config->listeners[1].websockets_origins.count, 2);
    assert_string_equal(r.config->listeners[1].websockets_origins.items[1], "https://b.example");
    reading_done(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_file_means_local_mode),
        cmocka_unit_test(all_defaults_are_mosquittos),
        cmocka_unit_test(a_comment_begins_in_the_first_column_only),
        cmocka_unit_test(leading_spaces_are_skipped_but_a_tab_does_not_separate),
        cmocka_unit_test(line_ends_may_be_crlf_and_the_last_may_lack),
        cmocka_unit_test(an_unknown_option_is_an_error_with_a_proposal),
        cmocka_unit_test(a_missing_value_is_an_error),
        cmocka_unit_test(booleans_are_exact),
        cmocka_unit_test(numbers_are_as_in_c_and_stand_alone),
        cmocka_unit_test(every_range_is_kept),
        cmocka_unit_test(what_mosquitto_raises_to_its_least_is_raised),
        cmocka_unit_test(a_string_is_the_trimmed_rest_of_the_line),
        cmocka_unit_test(a_second_string_is_an_error_a_second_number_is_not),
        cmocka_unit_test(a_value_must_be_utf8_and_of_bounded_length),
        cmocka_unit_test(a_zero_byte_is_an_error),
        cmocka_unit_test(all_errors_of_a_file_are_reported),
        cmocka_unit_test(nonsense_does_not_fill_the_report),
        cmocka_unit_test(words_are_exact),
        cmocka_unit_test(inactive_options_are_said_once_and_only_when_they_would_matter),
        cmocka_unit_test(an_inactive_option_is_still_checked),
        cmocka_unit_test(a_folder_or_a_missing_file_is_no_configuration),
        cmocka_unit_test(without_a_path_the_defaults_are_loaded),
        cmocka_unit_test(a_big_file_cut_anywhere_is_read_or_refused),
        cmocka_unit_test(every_single_wrong_byte_is_read_or_refused),
        cmocka_unit_test(the_big_file_is_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
