/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "config/parser.h"
#include "fixture.h"

static void options_belong_to_the_listener_above_them(void **state)
{
    struct reading r = accept("listener 1883\nmax_qos 1\nmax_connections 7\nlistener 1884 ::1\n"
                              "maximum_qos 0\nmount_point x/\n");

    assert_int_equal(r.config->listeners[0].max_qos, 1);
    assert_int_equal(r.config->listeners[0].max_connections, 7);
    assert_null(r.config->listeners[0].mount_point);
    assert_int_equal(r.config->listeners[1].max_qos, 0);
    assert_int_equal(r.config->listeners[1].max_connections, -1);
    assert_string_equal(r.config->listeners[1].mount_point, "x/");
    assert_string_equal(r.config->listeners[1].address, "::1");
    assert_int_equal(r.config->listeners[1].line, 4);
    assert_string_equal(r.config->listeners[1].file, "t.conf");
    reading_done(&r);
}

static void many_listeners_keep_their_own_values(void **state)
{
    struct noc_text text;
    struct reading r;

    noc_text_init(&text);
    for (unsigned i = 1; i <= 100; i++) {
        noc_text_add(&text, "listener %u\nmax_connections %u\nkeyfile k%u\ncertfile c\n", i, i, i);
    }
    r = accept(text.at);
    noc_text_done(&text);
    assert_int_equal(r.config->listener_count, 100);
    for (unsigned i = 1; i <= 100; i++) {
        char key[16];

        snprintf(key, sizeof(key), "k%u", i);
        assert_int_equal(r.config->listeners[i - 1].max_connections, i);
        assert_string_equal(r.config->listeners[i - 1].keyfile, key);
    }
    reading_done(&r);
}

static void anonymous_clients_are_refused_once_there_is_a_listener(void **state)
{
    struct reading r = accept("listener 1883\n");

    assert_false(r.config->listeners[0].allow_anonymous);
    assert_false(r.config->is_local_only);
    reading_done(&r);
    r = accept("allow_anonymous true\nlistener 1883\n");
    assert_true(r.config->listeners[0].allow_anonymous);
    reading_done(&r);
    r = accept("allow_anonymous false\n");
    assert_true(r.config->is_local_only);
    assert_false(r.config->listeners[0].allow_anonymous);
    reading_done(&r);
}

static void listener_allow_anonymous_wins_over_the_common_value(void **state)
{
    struct reading r = accept("allow_anonymous true\nlistener 1\nlistener_allow_anonymous false\n"
                              "listener 2\nlistener 3\nlistener_allow_anonymous true\n"
                              "listener_auto_id_prefix x-\nauto_id_prefix y-\n");

    assert_false(r.config->listeners[0].allow_anonymous);
    assert_true(r.config->listeners[1].allow_anonymous);
    assert_true(r.config->listeners[2].allow_anonymous);
    assert_string_equal(r.config->listeners[1].auto_id_prefix, "y-");
    assert_string_equal(r.config->listeners[2].auto_id_prefix, "x-");
    reading_done(&r);
}

static void without_per_listener_settings_security_is_common(void **state)
{
    struct reading r = accept("listener 1\npassword_file p\nlistener 2\nacl_file a\n");

    assert_int_equal(noc_config_security_count(r.config), 1);
    assert_int_equal(r.config->listeners[1].security_index, 0);
    assert_string_equal(noc_config_security(r.config, 0)->password_file, "p");
    assert_string_equal(noc_config_security(r.config, 0)->acl_file, "a");
    reading_done(&r);
    refuse("listener 1\npassword_file a\nlistener 2\npassword_file b\n", 4, "Duplicate");
}

static void with_per_listener_settings_each_listener_has_its_own(void **state)
{
    struct reading r = accept("per_listener_settings true\nlistener 1\npassword_file a\n"
                              "allow_zero_length_clientid false\nlistener 2\npassword_file b\n"
                              "allow_anonymous true\nauto_id_prefix q-\nlistener 3\n");
    const struct noc_config *config = r.config;

    assert_int_equal(noc_config_security_count(config), 4);
    assert_string_equal(
        noc_config_security(config, config->listeners[0].security_index)->password_file, "a");
    assert_string_equal(
        noc_config_security(config, config->listeners[1].security_index)->password_file, "b");
    assert_null(noc_config_security(config, config->listeners[2].security_index)->password_file);
    assert_false(config->listeners[0].allow_anonymous);
    assert_true(config->listeners[1].allow_anonymous);
    assert_false(config->listeners[2].allow_anonymous);
    assert_string_equal(config->listeners[1].auto_id_prefix, "q-");
    assert_string_equal(config->listeners[2].auto_id_prefix, "auto-");
    assert_false(noc_config_security(config, 1)->allow_zero_length_clientid);
    assert_true(noc_config_security(config, 2)->allow_zero_length_clientid);
    assert_null(config->security.password_file);
    reading_done(&r);
}

static void per_listener_settings_come_before_security(void **state)
{
    struct reading r;

    refuse("allow_anonymous true\nper_listener_settings true\n", 2,
        "per_listener_settings must be set before any other security settings.");
    refuse("listener 1\nacl_file x\nper_listener_settings true\n", 3, "must be set before");
    refuse("per_listener_settings maybe\n", 1, "Use true or false");
    r = accept("allow_anonymous true\nper_listener_settings false\nlistener 1\n");
    assert_false(r.config->per_listener_settings);
    reading_done(&r);
    r = accept("per_listener_settings true\nper_listener_settings false\nlistener 1\n");
    assert_true(r.config->per_listener_settings);
    assert_true(says(&r, "cannot be unset"));
    reading_done(&r);
    r = accept("per_listener_settings true\nallow_anonymous true\nper_listener_settings true\n");
    reading_done(&r);
}

/* As mosquitto 2.0.11 does it: anonymity alone does not open a port. */
static void anonymity_before_a_listener_makes_no_default_listener(void **state)
{
    struct reading r = accept("per_listener_settings true\nallow_anonymous true\nlistener 1884\n");

    assert_int_equal(r.config->listener_count, 1);
    assert_false(r.config->listeners[0].allow_anonymous);
    reading_done(&r);
    r = accept("per_listener_settings true\nallow_anonymous false\nauto_id_prefix z-\n");
    assert_true(r.config->is_local_only);
    assert_int_equal(noc_config_security_count(r.config), 1);
    assert_false(r.config->listeners[0].allow_anonymous);
    assert_string_equal(r.config->listeners[1].auto_id_prefix, "z-");
    reading_done(&r);
}

static void a_listener_option_before_any_listener_makes_a_default_one(void **state)
{
    struct reading r = accept("sys_interval 3\nmax_connections 5\nlistener 1884\nmax_qos 1\n");

    assert_int_equal(r.config->listener_count, 2);
    assert_int_equal(r.config->listeners[0].port, 1884);
    assert_int_equal(r.config->listeners[0].max_connections, -1);
    assert_int_equal(r.config->listeners[1].port, 1883);
    assert_true(r.config->listeners[1].is_default);
    assert_int_equal(r.config->listeners[1].max_connections, 5);
    assert_int_equal(r.config->listeners[1].max_qos, 2);
    assert_int_equal(count_level(&r, NOC_CONFIG_NOTICE), 1);
    assert_true(says(&r, "t.conf:2: a listener's option comes before any listener"));
    reading_done(&r);
    r = accept("per_listener_settings true\npassword_file p\nlistener 1884\n");
    assert_int_equal(r.config->listener_count, 2);
    assert_string_equal(
        noc_config_security(r.config, r.config->listeners[1].security_index)->password_file, "p");
    assert_null(
        noc_config_security(r.config, r.config->listeners[0].security_index)->password_file);
    reading_done(&r);
}

static void a_value_that_is_the_default_makes_no_default_listener(void **state)
{
    struct reading r = accept("protocol mqtt\nmax_connections -1\nmax_qos 2\nlistener 1883\n");

    assert_int_equal(r.config->listener_count, 1);
    assert_int_equal(r.report.count, 0);
    reading_done(&r);
    r = accept("max_topic_alias 5\n");
    assert_true(r.config->is_local_only);
    assert_int_equal(r.config->listeners[0].max_topic_alias, 5);
    assert_int_equal(r.config->listeners[1].max_topic_alias, 5);
    reading_done(&r);
}

static void port_and_bind_address_make_the_default_listener(void **state)
{
    struct reading r = accept("listener 1884\nport 1885\nbind_address ::1\nmax_qos 1\n");

    assert_int_equal(r.config->listener_count, 2);
    assert_int_equal(r.config->listeners[0].max_qos, 1);
    assert_int_equal(r.config->listeners[1].port, 1885);
    assert_string_equal(r.config->listeners[1].address, "::1");
    assert_true(says(&r, "'port' is deprecated"));
    reading_done(&r);
    r = accept("bind_address 127.0.0.1\n");
    assert_int_equal(r.config->listener_count, 1);
    assert_int_equal(r.config->listeners[0].port, 1883);
    assert_false(r.config->is_local_only);
    reading_done(&r);
    r = accept("port 5\nport 6\n");
    assert_int_equal(r.config->listeners[0].port, 6);
    assert_true(says(&r, "Only the latest will be used"));
    reading_done(&r);
    refuse("port 0\n", 1, "Invalid port value (0)");
    refuse("port 65536\n", 1, "Invalid port value (65536)");
    refuse("bind_address a\nbind_address b\n", 2, "Duplicate bind_address value");
}

static void ports_of_the_command_line_count_in_local_mode_only(void **state)
{
    static const uint16_t ports[] = {1990, 1991};
    const struct noc_config_options options = {.local_ports = ports, .local_port_count = 2};
    struct reading r = read_with("sys_interval 1\n", &options);

    assert_int_equal(r.config->listener_count, 4);
    assert_int_equal(r.config->listeners[1].port, 1990);
    assert_string_equal(r.config->listeners[2].address, "127.0.0.1");
    assert_int_equal(r.config->listeners[3].port, 1991);
    assert_true(r.config->listeners[3].is_local);
    reading_done(&r);
    r = read_with("listener 1883\n", &options);
    assert_int_equal(r.config->listener_count, 1);
    assert_int_equal(r.config->listeners[0].port, 1883);
    reading_done(&r);
}

static void a_listener_that_would_stand_open_is_left_out(void **state)
{
    static const char *const guards[] = {"psk_hint h", "crlfile c", "use_username_as_clientid true",
        "enable_proxy_protocol 2", "plugin_use x", "protocol http_api"};

    for (size_t i = 0; i < NOC_COUNT(guards); i++) {
        char text[128];
        struct reading r;

        snprintf(text, sizeof(text),
            "per_listener_settings true\nlistener 1\n%s\npassword_file a\nlistener 2\n"
            "max_qos 1\npassword_file b\n",
            guards[i]);
        r = accept(text);
        assert_int_equal(r.config->listener_count, 1);
        assert_int_equal(r.config->listeners[0].port, 2);
        assert_string_equal(noc_config_security(r.config, 1)->password_file, "b");
        assert_true(says(&r, "is left out"));
        reading_done(&r);
        snprintf(text, sizeof(text), "listener 1\n%s\n", guards[i]);
        refuse(text, 0, "No listener is left");
    }
    struct reading r = accept("listener 1\nuse_username_as_clientid false\n");

    assert_int_equal(r.report.count, 0);
    reading_done(&r);
}

static void the_compatibility_decides_defaults(void **state)
{
    const struct noc_config_options to_2_1 = {.compatibility = "2.1"};
    const struct noc_config_options to_2_0 = {.compatibility = "2.0"};
    const struct noc_config_options none = {.compatibility = ""};
    const struct noc_config_options bad = {.compatibility = "3"};
    struct reading r = accept("compatibility 2.1\n");

    assert_int_equal(r.config->compatibility, NOC_COMPATIBILITY_2_1);
    assert_int_equal(r.config->max_packet_bytes, 2000000);
    assert_true(r.config->allow_duplicate_messages);
    assert_true(says(&r, "allow_duplicate_messages true, which is not active yet"));
    reading_done(&r);
    r = accept("max_packet_size 20\ncompatibility 2.1\nallow_duplicate_messages false\n");
    assert_int_equal(r.config->max_packet_bytes, 20);
    assert_false(r.config->allow_duplicate_messages);
    assert_int_equal(r.report.count, 0);
    reading_done(&r);
    r = read_with("", &to_2_1);
    assert_int_equal(r.config->max_packet_bytes, 2000000);
    reading_done(&r);
    r = read_with("compatibility 2.1\n", &to_2_0);
    assert_int_equal(r.config->max_packet_bytes, 0);
    reading_done(&r);
    r = read_with("compatibility 2.1\n", &none);
    assert_int_equal(r.config->compatibility, NOC_COMPATIBILITY_2_1);
    reading_done(&r);
    r = read_with("", &bad);
    assert_int_equal(r.err, NOC_EINVAL);
    assert_true(says(&r, "NOCTULE_COMPATIBILITY"));
    reading_done(&r);
}

static void verbose_and_quiet_win_over_the_file(void **state)
{
    struct noc_config_options options = {.is_verbose = true};
    struct reading r = read_with("log_type error\n", &options);

    assert_int_equal(r.config->log_types, NOC_LOG_ALL);
    reading_done(&r);
    options.is_quiet = true;
    r = read_with("log_type error\n", &options);
    assert_int_equal(r.config->log_types, NOC_LOG_NONE);
    reading_done(&r);
}

static void the_environment_may_name_the_folder_of_the_database(void **state)
{
    const struct noc_config_options options = {.persistence_location = "/data"};
    struct reading r = read_with("persistence_location /x\n", &options);

    assert_string_equal(r.config->persistence_location, "/data");
    reading_done(&r);
}

static void tls_options_go_together(void **state)
{
    struct reading r =
        accept("listener 1\ncertfile c\nkeyfile k\ncafile a\nrequire_certificate 1\n");

    assert_int_equal(r.report.count, 0);
    reading_done(&r);
    refuse("user a\nlistener 1\ncertfile c\n", 2, "A listener with certfile also needs keyfile");
    refuse("listener 1\nkeyfile c\n", 1, "A listener with keyfile also needs certfile");
    r = accept("listener 1\ncafile c\nlistener 2\ncapath c\n");
    assert_true(says(&r, "t.conf:1: A listener with cafile or capath also needs certfile"));
    assert_true(says(&r, "t.conf:3: A listener with cafile or capath also needs certfile"));
    reading_done(&r);
    refuse("compatibility 2.1\nlistener 1\ncafile c\n", 2, "also needs certfile and keyfile");
    refuse("compatibility 2.1\nlistener 1\ncapath c\n", 2, "also needs certfile and keyfile");
    refuse("listener 1\ncertfile c\nkeyfile k\npsk_hint h\n", 1, "not both");
    r = accept("listener 1\nrequire_certificate true\n");
    assert_true(says(&r, "t.conf:1: require_certificate has no effect"));
    reading_done(&r);
    r = accept("listener 1\ncertfile c\nkeyfile k\nrequire_certificate true\n");
    assert_true(says(&r, "no client can get in"));
    reading_done(&r);
}

static void two_listeners_cannot_share_an_address(void **state)
{
    struct reading r = accept("listener 1 127.0.0.1\nlistener 1 127.0.0.2\nlistener 2\n"
                              "socket_domain ipv4\nlistener 2\nsocket_domain ipv6\n");

    reading_done(&r);
    refuse("listener 1\nlistener 2\nlistener 1\n", 3, "the other one is at line 1");
    refuse("listener 0 /a\nlistener 0 /a\n", 2, "Two listeners on the same address");
    /* The default listener of 1883 meets one that was written. */
    refuse("max_qos 1\nlistener 1883\n", 1, "Two listeners on the same address");
}

static void a_bridge_needs_an_address_and_a_topic(void **state)
{
    struct reading r = accept("connection a\naddress h:1883 i\ntopic #\nconnection b\n"
                              "addresses [::1]:1883\ntopic x in 2\n");

    assert_true(says(&r, "bridges are not active yet: 'b' is checked, but does not connect"));
    assert_true(says(&r, "options of bridges that are not active yet: address, addresses, topic"));
    assert_int_equal(count_level(&r, NOC_CONFIG_WARNING), 3);
    assert_true(r.config->is_local_only);
    reading_done(&r);
    refuse("connection a\ntopic #\n", 1, "no remote addresses defined");
    refuse("\nconnection a\naddress x\n", 2, "no topics defined");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_belong_to_the_listener_above_them),
        cmocka_unit_test(many_listeners_keep_their_own_values),
        cmocka_unit_test(anonymous_clients_are_refused_once_there_is_a_listener),
        cmocka_unit_test(listener_allow_anonymous_wins_over_the_common_value),
        cmocka_unit_test(without_per_listener_settings_security_is_common),
        cmocka_unit_test(with_per_listener_settings_each_listener_has_its_own),
        cmocka_unit_test(per_listener_settings_come_before_security),
        cmocka_unit_test(anonymity_before_a_listener_makes_no_default_listener),
        cmocka_unit_test(a_listener_option_before_any_listener_makes_a_default_one),
        cmocka_unit_test(a_value_that_is_the_default_makes_no_default_listener),
        cmocka_unit_test(port_and_bind_address_make_the_default_listener),
        cmocka_unit_test(ports_of_the_command_line_count_in_local_mode_only),
        cmocka_unit_test(a_listener_that_would_stand_open_is_left_out),
        cmocka_unit_test(the_compatibility_decides_defaults),
        cmocka_unit_test(verbose_and_quiet_win_over_the_file),
        cmocka_unit_test(the_environment_may_name_the_folder_of_the_database),
        cmocka_unit_test(tls_options_go_together),
        cmocka_unit_test(two_listeners_cannot_share_an_address),
        cmocka_unit_test(a_bridge_needs_an_address_and_a_topic),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
