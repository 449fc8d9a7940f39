/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "config/parser.h"
#include "fixture.h"

static void a_listener_has_a_port_and_perhaps_an_address(void **state)
{
    struct reading r = accept("listener 1\nlistener 0x10 ::1\nlistener 65535 host # comment\n"
                              "listener 2 # comment\nlistener 3 #comment\n");

    assert_null(r.config->listeners[0].address);
    assert_int_equal(r.config->listeners[1].port, 16);
    assert_string_equal(r.config->listeners[1].address, "::1");
    assert_string_equal(r.config->listeners[2].address, "host");
    assert_null(r.config->listeners[3].address);
    assert_null(r.config->listeners[4].address);
    assert_int_equal(r.report.count, 0);
    reading_done(&r);
    r = accept("listener 5 host junk\n");
    assert_string_equal(r.config->listeners[0].address, "host");
    assert_true(says(&r, "t.conf:1: 'junk' behind the address"));
    reading_done(&r);
    refuse("listener x\n", 1, "Invalid port value (x)");
    refuse("listener 1x\n", 1, "Invalid port value (1x)");
    refuse("listener -1\n", 1, "Invalid port value (-1)");
    refuse("listener 65536\n", 1, "Invalid port value (65536)");
    refuse("listener # 1\n", 1, "Invalid port value (#)");
}

static void port_0_needs_the_path_of_a_unix_socket(void **state)
{
    struct reading r = accept("listener 0 /run/my dir/x.sock\nlistener 0 relative.sock\n");

    assert_string_equal(r.config->listeners[0].unix_path, "/run/my dir/x.sock");
    assert_null(r.config->listeners[0].address);
    assert_string_equal(r.config->listeners[1].unix_path, "relative.sock");
    reading_done(&r);
    refuse("listener 0\n", 1, "A listener with port 0 must provide a Unix socket path.");
    refuse("listener 0 # no\n", 1, "must provide a Unix socket path");
}

static void a_socket_path_must_fit_the_address(void **state)
{
    char text[160];
    struct reading r;

    memset(text, 'a', sizeof(text));
    memcpy(text, "listener 0 ", 11);
    text[11 + 107] = '\0';
    r = accept(text);
    reading_done(&r);
    text[11 + 107] = 'a';
    text[11 + 108] = '\0';
    refuse(text, 1, "too long");
}

static void a_bad_listener_line_does_not_put_its_options_elsewhere(void **state)
{
    struct reading r = read_with("listener 1\nmax_qos 1\nlistener x\nmax_qos 0\nkeyfile a\n"
                                 "listener y\nkeyfile b\n",
        NULL);

    assert_int_equal(r.report.error_count >= 2, 1);
    assert_false(says(&r, "Duplicate"));
    reading_done(&r);
}

static void a_mount_point_has_no_wildcard(void **state)
{
    struct reading r = accept("listener 1\nmount_point a/b/\n");

    assert_string_equal(r.config->listeners[0].mount_point, "a/b/");
    reading_done(&r);
    refuse("listener 1\nmount_point a/#\n", 2, "Invalid mount_point 'a/#'");
    refuse("listener 1\nmount_point +/a\n", 2, "wildcard");
    refuse("listener 1\nmount_point a\nmount_point b\n", 3, "Duplicate mount_point");
}

static void a_websocket_path_is_an_http_path(void **state)
{
    struct reading r = accept("listener 1\nwebsocket_path /mqtt\n");

    assert_string_equal(r.config->listeners[0].websocket_path, "/mqtt");
    reading_done(&r);
    refuse("listener 1\nwebsocket_path mqtt\n", 2, "must begin with /");
    refuse("listener 1\nwebsocket_path /a?b\n", 2, "must begin with /");
    refuse("listener 1\nwebsocket_path /a b\n", 2, "must begin with /");
    refuse("listener 1\nwebsocket_path /a\x7f\n", 2, "must begin with /");
}

static void log_destinations_add_up_and_none_clears_them(void **state)
{
    struct reading r = accept("log_dest file /var/log/a b.log\nlog_dest syslog\nlog_dest stdout\n");

    assert_int_equal(r.config->log_dest,
        NOC_CONFIG_LOG_TO_FILE | NOC_CONFIG_LOG_TO_SYSLOG | NOC_CONFIG_LOG_TO_STDOUT);
    assert_string_equal(r.config->log_file, "/var/log/a b.log");
    reading_done(&r);
    r = accept("log_dest stdout\nlog_dest none\n");
    assert_int_equal(r.config->log_dest, 0);
    reading_done(&r);
    r = accept("log_dest none\nlog_dest topic\nlog_dest stderr\n");
    assert_int_equal(r.config->log_dest, NOC_CONFIG_LOG_TO_TOPIC | NOC_CONFIG_LOG_TO_STDERR);
    reading_done(&r);
    r = accept("log_dest dlt\n");
    assert_int_equal(r.config->log_dest, 0);
    assert_true(says(&r, "'dlt' is not active yet"));
    reading_done(&r);
    refuse("log_dest foo\n", 1, "Invalid log_dest value (foo)");
    refuse("log_dest file\n", 1, "Empty \"log_dest file\" value");
    refuse("log_dest file a\nlog_dest file b\n", 2, "Duplicate \"log_dest file\" value.");
}

static void log_types_add_up(void **state)
{
    static const char *const words[] = {"debug", "error", "warning", "notice", "information",
        "subscribe", "unsubscribe", "websockets", "internal"};
    struct reading r = accept("log_type error\nlog_type subscribe\n");
    unsigned all = 0;

    assert_int_equal(r.config->log_types, NOC_LOG_ERROR | NOC_LOG_SUBSCRIBE);
    reading_done(&r);
    for (size_t i = 0; i < NOC_COUNT(words); i++) {
        char text[64];

        snprintf(text, sizeof(text), "log_type %s\n", words[i]);
        r = accept(text);
        assert_true(r.config->log_types != 0 && (all & r.config->log_types) == 0);
        all |= r.config->log_types;
        reading_done(&r);
    }
    assert_int_equal(all, NOC_LOG_ALL);
    r = accept("log_type all\n");
    assert_int_equal(r.config->log_types, NOC_LOG_ALL);
    reading_done(&r);
    r = accept("log_type error\nlog_type none\n");
    assert_int_equal(r.config->log_types, NOC_LOG_NONE);
    reading_done(&r);
    r = accept("log_type none\nlog_type error\n");
    assert_int_equal(r.config->log_types, NOC_LOG_ERROR);
    reading_done(&r);
    refuse("log_type info\n", 1, "Invalid log_type value (info)");
}

static void the_log_facility_is_local0_to_local7(void **state)
{
    struct reading r = accept("log_facility 7\n");

    assert_int_equal(r.config->log_facility, 7);
    reading_done(&r);
    refuse("log_facility 8\n", 1, "between 0 and 7");
    refuse("log_facility -1\n", 1, "between 0 and 7");
    refuse("log_facility daemon\n", 1, "not a number");
}

static void workers_are_a_number_or_auto(void **state)
{
    struct reading r = accept("workers 64\n");

    assert_int_equal(r.config->workers, 64);
    reading_done(&r);
    r = accept("workers 4\nworkers auto\n");
    assert_int_equal(r.config->workers, 0);
    reading_done(&r);
    refuse("workers 0\n", 1, "between 1 and 64");
    refuse("workers 65\n", 1, "between 1 and 64");
    refuse("workers many\n", 1, "not a number");
}

static void origins_add_up(void **state)
{
    struct reading r = accept("listener 1\nwebsockets_origin http://a\nwebsockets_origin http://b\n"
                              "listener 2\n");

    assert_int_equal(r.config->listeners[0].websockets_origins.count, 2);
    assert_string_equal(r.config->listeners[0].websockets_origins.items[0], "http://a");
    assert_int_equal(r.config->listeners[1].websockets_origins.count, 0);
    reading_done(&r);
}

static void old_options_are_accepted_with_a_word(void **state)
{
    struct reading r = accept("retry_interval 20\nmessage_size_limit 100\n");

    assert_true(says(&r, "The retry_interval option is no longer available."));
    assert_true(says(&r, "replace `message_size_limit` with `max_packet_size`"));
    assert_int_equal(r.config->message_size_limit_bytes, 100);
    reading_done(&r);
}

static void plugin_options_need_a_plugin(void **state)
{
    struct reading r = accept("global_plugin a.so\nplugin_opt_b c\nauth_opt_d e\n"
                              "auth_plugin_deny_special_chars false\nplugin_load n p.so\n");

    reading_done(&r);
    refuse("plugin_opt_b c\n", 1, "requires a 'plugin' to be defined first");
    refuse("auth_plugin a\nauth_opt_ c\n", 2, "its name is missing");
    refuse("plugin a\nplugin_opt_sync maybe\n", 2, "Use extra|full|normal|off");
    refuse("plugin_load n\n", 1, "plugin_load NAME PATH");
    refuse("plugin a\nplugin_opt_b\n", 2, "Empty plugin_opt_b value");
}

static void protocol_versions_are_checked(void **state)
{
    struct reading r = accept("listener 1\naccept_protocol_versions 3, 4,5\n");

    reading_done(&r);
    refuse("listener 1\naccept_protocol_versions 6\n", 2, "Use 3, 4 and 5");
    refuse("listener 1\naccept_protocol_versions all\n", 2, "Use 3, 4 and 5");
}

static void bridge_options_need_a_connection(void **state)
{
    for (size_t i = 0; i < noc_option_count; i++) {
        char text[128];

        if (noc_options[i].scope != NOC_SCOPE_BRIDGE ||
            strcmp(noc_options[i].name, "connection") == 0) {
            continue;
        }
        snprintf(text, sizeof(text), "%s 1\n", noc_options[i].name);
        refuse(text, 1, "requires a 'connection' to be defined first");
    }
}

#define BRIDGE "connection a\naddress b\ntopic #\n"

static void bridge_values_are_checked(void **state)
{
    struct reading r = accept(BRIDGE "topic \"a b\" IN 1 x/ y/\ntopic \"\" both\ntopic x # y\n"
                                     "restart_timeout 5\nkeepalive_interval 1\n");

    reading_done(&r);
    refuse(BRIDGE "connection a\n", 4, "Duplicate bridge connection 'a'");
    refuse(BRIDGE "address c\n", 4, "Duplicate address value");
    refuse(BRIDGE "topic a sideways\n", 4, "Invalid bridge topic direction 'sideways'");
    refuse(BRIDGE "topic a out 3\n", 4, "Invalid bridge QoS level '3'");
    refuse(BRIDGE "start_type manual\n", 4, "Use automatic, lazy or once.");
    refuse(BRIDGE "bridge_protocol_version 5\n", 4, "Use mqttv31, mqttv311 or mqttv50.");
    refuse(BRIDGE "restart_timeout 0\n", 4, "Invalid restart_timeout value (0)");
    refuse(BRIDGE "restart_timeout 1 2 3 4\n", 4, "Invalid restart_timeout");
    refuse(BRIDGE "keepalive_interval 65536\n", 4, "between 5 and 65535");
    refuse("connection a\naddress b:x\ntopic #\n", 2, "Invalid port value in address (b:x)");
    refuse("connection a\naddress :1\ntopic #\n", 2, "Invalid port value");
    refuse("connection a\naddress #b\ntopic #\n", 2, "Empty address value");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_listener_has_a_port_and_perhaps_an_address),
        cmocka_unit_test(port_0_needs_the_path_of_a_unix_socket),
        cmocka_unit_test(a_socket_path_must_fit_the_address),
        cmocka_unit_test(a_bad_listener_line_does_not_put_its_options_elsewhere),
        cmocka_unit_test(a_mount_point_has_no_wildcard),
        cmocka_unit_test(a_websocket_path_is_an_http_path),
        cmocka_unit_test(log_destinations_add_up_and_none_clears_them),
        cmocka_unit_test(log_types_add_up),
        cmocka_unit_test(the_log_facility_is_local0_to_local7),
        cmocka_unit_test(workers_are_a_number_or_auto),
        cmocka_unit_test(origins_add_up),
        cmocka_unit_test(old_options_are_accepted_with_a_word),
        cmocka_unit_test(plugin_options_need_a_plugin),
        cmocka_unit_test(protocol_versions_are_checked),
        cmocka_unit_test(bridge_options_need_a_connection),
        cmocka_unit_test(bridge_values_are_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
