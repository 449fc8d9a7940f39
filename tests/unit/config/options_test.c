/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "config/options.h"

#include "config/parser.h"
#include "fixture.h"

static void every_row_has_a_name_a_help_and_a_version(void **state)
{
    for (size_t i = 0; i < noc_option_count; i++) {
        const struct noc_option *option = &noc_options[i];

        assert_non_null(option->name);
        assert_true(strlen(option->name) >= 4);
        assert_true(strlen(option->name) <= 40);
        assert_non_null(option->help);
        assert_true(strlen(option->help) > 10);
        assert_non_null(option->since);
        assert_true(option->help[strlen(option->help) - 1] == '.' ||
                    option->help[strlen(option->help) - 1] == '?');
    }
}

static int group_of(const struct noc_option *option)
{
    return option->scope == NOC_SCOPE_SECURITY ? NOC_SCOPE_GLOBAL : (int)option->scope;
}

static void names_are_unique_and_sorted_within_their_section(void **state)
{
    for (size_t i = 0; i < noc_option_count; i++) {
        if (i > 0 && group_of(&noc_options[i]) == group_of(&noc_options[i - 1])) {
            if (strcmp(noc_options[i - 1].name, noc_options[i].name) >= 0) {
                print_error("order: %s\n", noc_options[i].name);
            }
            assert_true(strcmp(noc_options[i - 1].name, noc_options[i].name) < 0);
        }
        assert_true(i == 0 || group_of(&noc_options[i]) >= group_of(&noc_options[i - 1]));
        for (size_t k = 0; k < i; k++) {
            assert_string_not_equal(noc_options[i].name, noc_options[k].name);
        }
    }
}

static void every_row_is_found_by_its_own_name(void **state)
{
    for (size_t i = 0; i < noc_option_count; i++) {
        assert_ptr_equal(noc_option_find(noc_slice_of(noc_options[i].name)), &noc_options[i]);
    }
    assert_null(noc_option_find(noc_slice_of("")));
    assert_null(noc_option_find(noc_slice_of("listene")));
    assert_null(noc_option_find(noc_slice_of("listenerx")));
    assert_null(noc_option_find(noc_slice_of("LISTENER")));
}

static void a_plugin_option_is_found_by_its_prefix(void **state)
{
    assert_string_equal(noc_option_find(noc_slice_of("plugin_opt_foo"))->name, "plugin_opt_");
    assert_string_equal(noc_option_find(noc_slice_of("auth_opt_foo"))->name, "auth_opt_");
    assert_string_equal(noc_option_find(noc_slice_of("plugin_opt_sync"))->name, "plugin_opt_sync");
}

/* A default that its own row refused would be found at start only. */
static void every_default_can_be_read(void **state)
{
    for (size_t i = 0; i < noc_option_count; i++) {
        const struct noc_option *option = &noc_options[i];
        struct noc_value_problem problem;

        if (option->fallback == NULL || option->store != NULL) {
            continue;
        }
        assert_int_equal(
            noc_value_read(option, noc_slice_of(option->fallback), NULL, &problem), NOC_OK);
    }
}

static void a_row_has_what_its_type_needs(void **state)
{
    for (size_t i = 0; i < noc_option_count; i++) {
        const struct noc_option *option = &noc_options[i];

        assert_true(option->type != NOC_OPTION_WORD || option->words != NULL);
        assert_true(option->type != NOC_OPTION_CUSTOM || option->store != NULL);
        assert_true(option->type == NOC_OPTION_WORD || option->syntax != NULL);
        assert_true(option->min <= option->max || option->max == 0);
        /* What is active must do something: it has a field or a function. */
        assert_true((option->flags & NOC_OPTION_INACTIVE) != 0 || option->offset != NOC_NO_FIELD ||
                    option->store != NULL);
    }
}

static void every_name_of_mosquitto_is_there(void **state)
{
    static const char *const names[] = {"acl_file", "allow_anonymous", "allow_duplicate_messages",
        "allow_zero_length_clientid", "auth_plugin", "plugin", "global_plugin", "plugin_load",
        "plugin_use", "auth_opt_x", "plugin_opt_x", "auth_plugin_deny_special_chars",
        "auto_id_prefix", "autosave_interval", "autosave_on_changes", "check_retain_source",
        "clientid_prefixes", "connection_messages", "enable_control_api", "global_max_clients",
        "global_max_connections", "include_dir", "log_dest", "log_facility", "log_timestamp",
        "log_timestamp_format", "log_type", "max_inflight_bytes", "max_inflight_messages",
        "max_keepalive", "max_packet_size", "max_queued_bytes", "max_queued_messages",
        "memory_limit", "message_size_limit", "packet_buffer_size", "websockets_headers_size",
        "password_file", "per_listener_settings", "persistence", "retained_persistence",
        "persistence_file", "persistence_location", "persistent_client_expiration", "pid_file",
        "psk_file", "queue_qos0_messages", "retain_available", "retain_expiry_interval",
        "retry_interval", "set_tcp_nodelay", "sys_interval", "upgrade_outgoing_qos", "user",
        "websockets_log_level", "listener", "port", "bind_address", "bind_interface",
        "socket_domain", "protocol", "accept_protocol_versions", "max_connections", "max_qos",
        "maximum_qos", "max_topic_alias", "max_topic_alias_broker", "mount_point",
        "use_username_as_clientid", "listener_allow_anonymous", "listener_auto_id_prefix",
        "enable_proxy_protocol", "proxy_protocol_v2_require_tls", "http_dir", "websockets_origin",
        "cafile", "capath", "certfile", "keyfile", "ciphers", "ciphers_tls1.3", "crlfile",
        "dhparamfile", "disable_client_cert_date_checks", "require_certificate", "tls_version",
        "tls_engine", "tls_engine_kpass_sha1", "tls_keyform", "use_identity_as_username",
        "use_subject_as_username", "psk_hint", "connection", "address", "addresses", "topic",
        "bridge_attempt_unsubscribe", "bridge_bind_address", "bridge_max_packet_size",
        "bridge_max_topic_alias", "bridge_outgoing_retain", "bridge_protocol_version",
        "bridge_receive_maximum", "bridge_session_expiry_interval", "bridge_tcp_keepalive",
        "bridge_tcp_user_timeout", "bridge_reload_type", "cleansession", "local_cleansession",
        "clientid", "remote_clientid", "local_clientid", "local_username", "local_password",
        "username", "remote_username", "password", "remote_password", "keepalive_interval",
        "idle_timeout", "threshold", "start_type", "restart_timeout", "round_robin",
        "notifications", "notifications_local_only", "notification_topic", "try_private",
        "bridge_cafile", "bridge_capath", "bridge_certfile", "bridge_keyfile",
        "bridge_tls_use_os_certs", "bridge_tls_version", "bridge_ciphers", "bridge_ciphers_tls1.3",
        "bridge_insecure", "bridge_alpn", "bridge_require_ocsp", "bridge_identity", "bridge_psk",
        "plugin_opt_password_file", "plugin_opt_acl_file", "plugin_opt_config_file",
        "plugin_opt_password_init_file", "plugin_opt_db_file", "plugin_opt_sync",
        "plugin_opt_flush_period", "plugin_opt_page_size", "compatibility", "workers",
        "control_socket", "connect_timeout", "websocket_ping_interval", "websocket_ping_timeout",
        "websocket_path", "websocket_subprotocol", "auth_workers", "max_output_bytes",
        "mailbox_high"};

    for (size_t i = 0; i < NOC_COUNT(names); i++) {
        struct noc_slice name = noc_slice(names[i], strlen(names[i]));

        if (noc_option_find(name) == NULL) {
            fail_msg("missing: %.*s", NOC_SLICE_ARG(name));
        }
    }
}

static void assert_nearest(const char *name, const char *expected)
{
    const struct noc_option *nearest = noc_option_nearest(noc_slice_of(name));

    if (expected == NULL) {
        assert_null(nearest);
        return;
    }
    assert_non_null(nearest);
    assert_string_equal(nearest->name, expected);
}

static void the_nearest_name_is_found_by_edits(void **state)
{
    assert_nearest("pasword_file", "password_file");
    assert_nearest("password-file", "password_file");
    assert_nearest("listenre", "listener");
    assert_nearest("Allow_Anonymous", "allow_anonymous");
    assert_nearest("allow_anonymus", "allow_anonymous");
    assert_nearest("max_inflight_message", "max_inflight_messages");
    assert_nearest("persistance", "persistence");
}

static void no_name_is_proposed_when_none_is_near(void **state)
{
    assert_nearest("", NULL);
    assert_nearest("x", NULL);
    assert_nearest("elephant_in_the_room", NULL);
    assert_nearest("0123456789012345678901234567890123456789012345678901234567890", NULL);
}

static void the_lists_name_every_option(void **state)
{
    struct noc_text texts[3];

    for (size_t i = 0; i < 3; i++) {
        noc_text_init(&texts[i]);
    }
    noc_options_list(&texts[0]);
    noc_options_list_json(&texts[1]);
    noc_options_list_man(&texts[2]);
    for (size_t i = 0; i < noc_option_count; i++) {
        char json[80];

        assert_non_null(strstr(texts[0].at, noc_options[i].name));
        snprintf(json, sizeof(json), "{\"name\":\"%s\",", noc_options[i].name);
        assert_non_null(strstr(texts[1].at, json));
        assert_non_null(strstr(texts[2].at, noc_options[i].name));
    }
    assert_non_null(strstr(texts[2].at, ".SH \"LISTENER OPTIONS\"\n"));
    for (size_t i = 0; i < 3; i++) {
        noc_text_done(&texts[i]);
    }
}

static void every_kind_has_a_word(void **state)
{
    for (int i = 0; i <= NOC_SCOPE_PLUGIN; i++) {
        assert_string_not_equal(noc_option_scope_text((enum noc_option_scope)i), "?");
    }
    for (int i = 0; i <= NOC_OPTION_CUSTOM; i++) {
        assert_string_not_equal(noc_option_type_text((enum noc_option_type)i), "?");
    }
    for (int i = 0; i <= NOC_RELOAD_RESTART; i++) {
        assert_string_not_equal(noc_option_reload_text((enum noc_option_reload)i), "?");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_has_a_name_a_help_and_a_version),
        cmocka_unit_test(names_are_unique_and_sorted_within_their_section),
        cmocka_unit_test(every_row_is_found_by_its_own_name),
        cmocka_unit_test(a_plugin_option_is_found_by_its_prefix),
        cmocka_unit_test(every_default_can_be_read),
        cmocka_unit_test(a_row_has_what_its_type_needs),
        cmocka_unit_test(every_name_of_mosquitto_is_there),
        cmocka_unit_test(the_nearest_name_is_found_by_edits),
        cmocka_unit_test(no_name_is_proposed_when_none_is_near),
        cmocka_unit_test(the_lists_name_every_option),
        cmocka_unit_test(every_kind_has_a_word),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
