/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "config/parser.h"
#include "fixture.h"

/* What Debian's package installs. */
static const char debian[] = "# Place your local configuration in /etc/mosquitto/conf.d/\n#\n"
                             "pid_file /run/mosquitto/mosquitto.pid\n\npersistence true\n"
                             "persistence_location /var/lib/mosquitto/\n\n"
                             "log_dest file /var/log/mosquitto/mosquitto.log\n\n";

static void debians_file_loads_unchanged(void **state)
{
    const char *folder = make_folder();
    struct noc_text text;
    char path[128];
    struct reading r;

    noc_text_init(&text);
    noc_text_add(&text, "%sinclude_dir %s\n", debian, folder);
    write_file(folder, "main", text.at);
    write_file(folder, "README", "not a configuration\n");
    noc_text_done(&text);
    snprintf(path, sizeof(path), "%s/main", folder);
    r = read_file(path);
    assert_int_equal(r.err, NOC_OK);
    assert_true(r.config->is_local_only);
    assert_string_equal(r.config->pid_file, "/run/mosquitto/mosquitto.pid");
    assert_string_equal(r.config->log_file, "/var/log/mosquitto/mosquitto.log");
    assert_int_equal(r.config->log_dest, NOC_CONFIG_LOG_TO_FILE);
    assert_string_equal(r.config->persistence_location, "/var/lib/mosquitto/");
    assert_int_equal(count_level(&r, NOC_CONFIG_ERROR), 0);
    reading_done(&r);
    remove_file(folder, "main");
    remove_file(folder, "README");
    assert_int_equal(rmdir(folder), 0);
}

static void a_usual_file_of_a_server_loads(void **state)
{
    struct reading r = accept("persistence true\npersistence_location /var/lib/mosquitto/\n"
                              "log_dest file /var/log/mosquitto/mosquitto.log\n"
                              "allow_anonymous false\npassword_file /etc/mosquitto/passwd\n\n"
                              "listener 1883\nprotocol mqtt\n\nlistener 9001 0.0.0.0\n"
                              "protocol websockets\n");

    assert_int_equal(r.config->listener_count, 2);
    assert_int_equal(r.config->listeners[0].port, 1883);
    assert_null(r.config->listeners[0].address);
    assert_int_equal(r.config->listeners[0].protocol, NOC_CONFIG_MQTT);
    assert_int_equal(r.config->listeners[1].port, 9001);
    assert_string_equal(r.config->listeners[1].address, "0.0.0.0");
    assert_int_equal(r.config->listeners[1].protocol, NOC_CONFIG_WEBSOCKETS);
    assert_false(r.config->listeners[1].allow_anonymous);
    assert_string_equal(r.config->security.password_file, "/etc/mosquitto/passwd");
    assert_int_equal(count_level(&r, NOC_CONFIG_WARNING), 0);
    reading_done(&r);
}

/* The order that mosquitto 2.0.11 was seen to use. */
static void files_of_a_folder_come_in_mosquittos_order(void **state)
{
    static const char *const names[] = {
        "1.conf", "A.conf", "Ab.conf", "a.conf", "aB.conf", "B.conf", "b.conf", "_.conf"};
    char folder[64], path[128], line[128];
    struct reading r;

    snprintf(folder, sizeof(folder), "%s", make_folder());
    for (size_t i = 0; i < NOC_COUNT(names); i++) {
        snprintf(line, sizeof(line), "listener %zu\n", 100 + i);
        write_file(folder, names[NOC_COUNT(names) - 1 - i], "");
        write_file(folder, names[i], line);
    }
    for (size_t i = 0; i < NOC_COUNT(names); i++) {
        snprintf(line, sizeof(line), "listener %zu\n", 100 + i);
        write_file(folder, names[i], line);
    }
    write_file(folder, ".conf", "nonsense\n");
    write_file(folder, "x.conf~", "nonsense\n");
    write_file(folder, "x.CONF", "nonsense\n");
    snprintf(line, sizeof(line), "include_dir %s\n", folder);
    write_file(folder, "main", line);
    snprintf(path, sizeof(path), "%s/main", folder);
    r = read_file(path);
    assert_int_equal(r.err, NOC_OK);
    assert_int_equal(r.config->listener_count, NOC_COUNT(names));
    for (size_t i = 0; i < NOC_COUNT(names); i++) {
        assert_int_equal(r.config->listeners[i].port, 100 + i);
        remove_file(folder, names[i]);
    }
    reading_done(&r);
    remove_file(folder, ".conf");
    remove_file(folder, "x.conf~");
    remove_file(folder, "x.CONF");
    remove_file(folder, "main");
    assert_int_equal(rmdir(folder), 0);
}

static void the_context_does_not_carry_between_files(void **state)
{
    char folder[64], path[128], text[256];
    struct reading r;

    snprintf(folder, sizeof(folder), "%s", make_folder());
    write_file(folder, "a.conf", "max_qos 0\nlistener 101\nmax_connections 3\n");
    write_file(folder, "b.conf", "listener 102\nmax_qos 1\n");
    snprintf(text, sizeof(text), "listener 100\ninclude_dir %s\nmax_connections 9\n", folder);
    write_file(folder, "main", text);
    snprintf(path, sizeof(path), "%s/main", folder);
    r = read_file(path);
    assert_int_equal(r.err, NOC_OK);
    assert_int_equal(r.config->listener_count, 4);
    assert_int_equal(r.config->listeners[0].max_connections, 9);
    assert_int_equal(r.config->listeners[1].max_connections, 3);
    assert_int_equal(r.config->listeners[1].max_qos, 2);
    assert_int_equal(r.config->listeners[2].max_connections, -1);
    assert_int_equal(r.config->listeners[3].port, 1883);
    assert_int_equal(r.config->listeners[3].max_qos, 0);
    reading_done(&r);
    remove_file(folder, "a.conf");
    remove_file(folder, "b.conf");
    remove_file(folder, "main");
    assert_int_equal(rmdir(folder), 0);
}

static void errors_of_an_included_file_name_both_places(void **state)
{
    char folder[64], path[128], text[256];
    struct reading r;

    snprintf(folder, sizeof(folder), "%s", make_folder());
    write_file(folder, "a.conf", "\nxx 1\ninclude_dir /nonexistent\n");
    write_file(folder, "b.conf", "yy 1\n");
    snprintf(text, sizeof(text), "\ninclude_dir %s\nuser a\n", folder);
    write_file(folder, "main", text);
    snprintf(path, sizeof(path), "%s/main", folder);
    r = read_file(path);
    assert_int_equal(r.err, NOC_EINVAL);
    assert_int_equal(r.report.error_count, 2);
    snprintf(text, sizeof(text), "Error found at %s/a.conf:2.", folder);
    assert_true(says(&r, text));
    snprintf(text, sizeof(text), "Error found at %s/b.conf:1.", folder);
    assert_true(says(&r, text));
    snprintf(text, sizeof(text), "Error found at %s/main:2.", folder);
    assert_true(says(&r, text));
    /* One level only: it is ignored in an included file. */
    assert_true(says(&r, "include_dir counts in the main configuration file only"));
    reading_done(&r);
    remove_file(folder, "a.conf");
    remove_file(folder, "b.conf");
    remove_file(folder, "main");
    assert_int_equal(rmdir(folder), 0);
}

static void a_missing_include_dir_is_an_error(void **state)
{
    const char *folder = make_folder();
    char path[128];
    struct reading r;

    write_file(folder, "main", "include_dir /nonexistent/x\n");
    snprintf(path, sizeof(path), "%s/main", folder);
    r = read_file(path);
    assert_int_equal(r.err, NOC_EINVAL);
    assert_true(says(&r, "Unable to open include_dir '/nonexistent/x'"));
    reading_done(&r);
    remove_file(folder, "main");
    assert_int_equal(rmdir(folder), 0);
    refuse("include_dir /tmp\n", 1, "not possible here");
}

/* ---- comparing ---- */

static void assert_same_listeners(const char *a, const char *b, bool expected)
{
    struct reading x = accept(a), y = accept(b);

    assert_int_equal(noc_config_listeners_equal(x.config, y.config), expected);
    reading_done(&x);
    reading_done(&y);
}

static void listeners_are_compared_by_their_sockets(void **state)
{
    assert_same_listeners("listener 1\nmax_qos 1\n", "allow_anonymous true\nlistener 1\n", true);
    assert_same_listeners("", "sys_interval 3\n", true);
    assert_same_listeners("", "listener 1883 127.0.0.1\n", false);
    assert_same_listeners("listener 1\n", "listener 2\n", false);
    assert_same_listeners("listener 1\n", "listener 1 ::1\n", false);
    assert_same_listeners("listener 1\n", "listener 1\nprotocol websockets\n", false);
    assert_same_listeners("listener 1\n", "listener 1\nsocket_domain ipv4\n", false);
    assert_same_listeners("listener 1\n", "listener 1\nbind_interface eth0\n", false);
    assert_same_listeners("listener 0 /a\n", "listener 0 /b\n", false);
    assert_same_listeners("listener 1\nlistener 2\n", "listener 2\nlistener 1\n", false);
}

static void assert_security_changed(const char *a, const char *b, bool expected)
{
    struct reading x = accept(a), y = accept(b);

    assert_int_equal(noc_config_security_changed(x.config, y.config), expected);
    reading_done(&x);
    reading_done(&y);
}

static void changed_security_is_seen(void **state)
{
    assert_security_changed("listener 1\n", "listener 1\nsys_interval 9\n", false);
    assert_security_changed("listener 1\n", "listener 1\nallow_anonymous true\n", true);
    assert_security_changed("listener 1\n", "listener 1\nallow_anonymous false\n", true);
    assert_security_changed("listener 1\n", "listener 1\nlistener_allow_anonymous true\n", true);
    assert_security_changed("password_file a\n", "password_file b\n", true);
    assert_security_changed("password_file a\n", "password_file a\n", false);
    assert_security_changed("listener 1\n", "listener 1\nlistener 2\n", true);
    assert_security_changed("per_listener_settings true\nlistener 1\nacl_file a\n",
        "per_listener_settings true\nlistener 1\nacl_file b\n", true);
    assert_security_changed(
        "acl_file a\nlistener 1\n", "per_listener_settings true\nlistener 1\nacl_file a\n", true);
}

/* ---- files ---- */

static struct reading check(const char *text)
{
    struct reading r = accept(text);

    r.err = noc_config_check_files(r.config, "joe", &r.report);
    assert_int_equal(r.err == NOC_OK, r.report.error_count == 0);
    return r;
}

static void assert_missing(const char *text, int err, unsigned line, const char *words)
{
    struct reading r = check(text);
    char place[64];

    snprintf(place, sizeof(place), "Error found at t.conf:%u.", line);
    assert_int_equal(r.err, err);
    assert_true(says(&r, words));
    assert_true(says(&r, place));
    reading_done(&r);
}

static void missing_files_are_named_with_their_lines(void **state)
{
    assert_missing("listener 1\n\npassword_file /nonexistent/p\n", NOC_EINVAL, 3,
        "Unable to open password_file \"/nonexistent/p\": No such file or directory. Make one "
        "with: mosquitto_passwd -c /nonexistent/p USERNAME");
    assert_missing(
        "acl_file /nonexistent/a\nlistener 1\n", NOC_EINVAL, 1, "Unable to open acl_file");
    assert_missing("listener 1\ncertfile /nonexistent/c\nkeyfile /dev/null\n", NOC_EIO, 2,
        "Unable to open certfile");
    assert_missing("listener 1\ncertfile /dev/null\nkeyfile /nonexistent/k\n", NOC_EIO, 3,
        "Unable to open keyfile");
    assert_missing("listener 1\ncertfile /dev/null\nkeyfile /dev/null\ncafile /tmp\n", NOC_EIO, 4,
        "Unable to open cafile \"/tmp\": Is a directory");
    assert_missing("listener 1\ncertfile /dev/null\nkeyfile /dev/null\ncapath /dev/null\n", NOC_EIO,
        4, "is not a folder");
    assert_missing("per_listener_settings true\nlistener 1\nlistener 2\nacl_file /nonexistent\n",
        NOC_EINVAL, 4, "Unable to open acl_file");
}

static void missing_folders_are_errors_with_a_command(void **state)
{
    const char *command = geteuid() == 0
                              ? "Create it: mkdir -p /nonexistent/d && chown joe /nonexistent/d"
                              : "Create it: sudo mkdir -p /nonexistent/d && sudo chown joe "
                                "/nonexistent/d";

    assert_missing("sys_interval 1\nlog_dest file /nonexistent/d/x.log\n", NOC_EINVAL, 2, command);
    assert_missing("pid_file /nonexistent/x.pid\n", NOC_EINVAL, 1, "mkdir -p /nonexistent && ");
    assert_missing("control_socket /nonexistent/x.sock\n", NOC_EINVAL, 1, "mkdir -p /nonexistent");
    assert_missing("listener 0 /nonexistent/x.sock\n", NOC_EIO, 1, "mkdir -p /nonexistent");
}

static void a_missing_folder_of_the_store_is_warned_of(void **state)
{
    static const char words[] = "t.conf:2: persistence_location \"/nonexistent/s\" does not exist. "
                                "Create it: ";
    struct reading r = check("persistence true\npersistence_location /nonexistent/s\n");

    assert_int_equal(r.err, NOC_OK);
    assert_true(says(&r, words));
    assert_true(says(&r, "chown joe /nonexistent/s"));
    reading_done(&r);
    r = check("persistence false\npersistence_location /nonexistent/s\n");
    assert_false(says(&r, "does not exist"));
    reading_done(&r);
    r = check("persistence true\npersistence_location /tmp\n");
    assert_false(says(&r, "does not exist"));
    reading_done(&r);
}

static void what_only_a_listener_misses_is_a_failed_start_and_all_else_a_bad_configuration(
    void **state)
{
    assert_missing("listener 1\ncertfile /nonexistent/c\nkeyfile /nonexistent/k\n", NOC_EIO, 3,
        "Unable to open keyfile");
    assert_missing("acl_file /nonexistent/a\nlistener 1\ncertfile /nonexistent/c\n"
                   "keyfile /dev/null\n",
        NOC_EINVAL, 3, "Unable to open certfile");
}

static void files_that_are_there_pass_and_nothing_is_made(void **state)
{
    char folder[64], text[512];
    struct reading r;

    snprintf(folder, sizeof(folder), "%s", make_folder());
    write_file(folder, "p", "");
    snprintf(text, sizeof(text),
        "pid_file %s/pid\nlog_dest file %s/log\npassword_file %s/p\nlistener 0 relative\n", folder,
        folder, folder);
    r = check(text);
    assert_int_equal(r.err, NOC_OK);
    reading_done(&r);
    remove_file(folder, "p");
    /* Succeeds only when the folder is empty. */
    assert_int_equal(rmdir(folder), 0);
}

/* ---- explaining ---- */

static void an_explanation_names_where_each_value_comes_from(void **state)
{
    struct reading r = accept("per_listener_settings true\nsys_interval 7\nlog_type all\n"
                              "listener 1883 ::1\nmaximum_qos 1\npassword_file /p\n"
                              "log_dest file /l\nlistener 0 /s\n");
    struct noc_text text;

    noc_text_init(&text);
    noc_config_explain(r.config, &text);
    assert_non_null(strstr(text.at, "sys_interval 7  # t.conf:2\n"));
    assert_non_null(strstr(text.at, "listener 1883 ::1  # t.conf:4\n"));
    assert_non_null(strstr(text.at, "    max_qos 1  # t.conf:5\n"));
    assert_non_null(strstr(text.at, "    password_file /p  # t.conf:6\n"));
    assert_non_null(strstr(text.at, "log_dest file /l  # t.conf:7\n"));
    assert_non_null(strstr(text.at, "listener 0 /s  # t.conf:8\n"));
    assert_non_null(strstr(text.at, "    max_qos 2  # default\n"));
    assert_non_null(strstr(text.at, "workers auto  # default\n"));
    assert_non_null(strstr(text.at, "log_facility daemon  # default\n"));
    noc_text_done(&text);
    reading_done(&r);
}

static void the_local_mode_is_explained(void **state)
{
    struct reading r = accept("max_topic_alias 3\nlog_dest none\n");
    struct noc_text text;

    noc_text_init(&text);
    noc_config_explain(r.config, &text);
    assert_non_null(strstr(text.at, "listener 1883 127.0.0.1  # local mode\n"));
    assert_non_null(strstr(text.at, "    max_topic_alias 3  # t.conf:1\n"));
    assert_non_null(strstr(text.at, "log_dest none  # t.conf:2\n"));
    noc_text_done(&text);
    reading_done(&r);
}

static void nothing_can_be_freed(void **state)
{
    noc_config_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(debians_file_loads_unchanged),
        cmocka_unit_test(a_usual_file_of_a_server_loads),
        cmocka_unit_test(files_of_a_folder_come_in_mosquittos_order),
        cmocka_unit_test(the_context_does_not_carry_between_files),
        cmocka_unit_test(errors_of_an_included_file_name_both_places),
        cmocka_unit_test(a_missing_include_dir_is_an_error),
        cmocka_unit_test(listeners_are_compared_by_their_sockets),
        cmocka_unit_test(changed_security_is_seen),
        cmocka_unit_test(missing_files_are_named_with_their_lines),
        cmocka_unit_test(missing_folders_are_errors_with_a_command),
        cmocka_unit_test(a_missing_folder_of_the_store_is_warned_of),
        cmocka_unit_test(
            what_only_a_listener_misses_is_a_failed_start_and_all_else_a_bad_configuration),
        cmocka_unit_test(files_that_are_there_pass_and_nothing_is_made),
        cmocka_unit_test(an_explanation_names_where_each_value_comes_from),
        cmocka_unit_test(the_local_mode_is_explained),
        cmocka_unit_test(nothing_can_be_freed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
