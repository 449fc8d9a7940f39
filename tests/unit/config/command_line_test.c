/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "config/command_line.h"

#include "config/parser.h"
#include "fixture.h"

#define PARSE(line, as_mosquitto, ...) \
    parse(line, as_mosquitto, (char *[]){"mosquitto", __VA_ARGS__, NULL})

static int parse(struct noc_command_line *line, bool as_mosquitto, char *argv[])
{
    int argc = 0;

    while (argv[argc] != NULL) {
        argc++;
    }
    return noc_command_line_parse(argc, argv, as_mosquitto, line);
}

static void an_empty_line_asks_for_nothing(void **state)
{
    char *argv[] = {"mosquitto", NULL};
    struct noc_command_line line;

    assert_int_equal(noc_command_line_parse(1, argv, true, &line), NOC_OK);
    assert_null(line.config_file);
    assert_false(line.is_daemon || line.is_verbose || line.is_quiet || line.wants_help);
    assert_int_equal(noc_command_line_parse(0, argv, true, &line), NOC_OK);
}

static void all_options_are_taken_in_both_forms(void **state)
{
    struct noc_command_line line;

    assert_int_equal(PARSE(&line, true, "-v", "-c", "f", "-p", "1883", "-d", "-q"), NOC_OK);
    assert_string_equal(line.config_file, "f");
    assert_int_equal(line.port_count, 1);
    assert_int_equal(line.ports[0], 1883);
    assert_true(line.is_daemon && line.is_verbose && line.is_quiet);
    assert_int_equal(PARSE(&line, true, "--verbose", "--config-file", "-p", "--port", "0x10",
                         "--daemon", "--quiet", "--tls-keylog", "k", "--test-config"),
        NOC_OK);
    assert_string_equal(line.config_file, "-p");
    assert_string_equal(line.tls_keylog, "k");
    assert_int_equal(line.ports[0], 16);
    assert_true(line.wants_test);
    assert_int_equal(PARSE(&line, true, "-h"), NOC_OK);
    assert_true(line.wants_help);
    assert_int_equal(PARSE(&line, true, "--version"), NOC_OK);
    assert_true(line.wants_version);
}

static void mosquitto_does_not_know_our_own_options(void **state)
{
    struct noc_command_line line;

    assert_int_equal(PARSE(&line, true, "--list-options"), NOC_EINVAL);
    assert_string_equal(line.error, "Error: Unknown option '--list-options'.");
    assert_true(line.error_wants_usage);
    assert_int_equal(PARSE(&line, false, "--list-options", "--json"), NOC_OK);
    assert_true(line.wants_option_list && line.is_json);
    assert_int_equal(PARSE(&line, false, "--list-options", "--man"), NOC_OK);
    assert_true(line.is_man);
    assert_int_equal(PARSE(&line, false, "-c", "f", "--test-config", "--explain"), NOC_OK);
    assert_true(line.wants_test && line.wants_explanation);
}

static void what_only_goes_with_another_option_does_not_start_a_broker(void **state)
{
    struct noc_command_line line;

    assert_int_equal(PARSE(&line, false, "-c", "f", "--explain"), NOC_EINVAL);
    assert_string_equal(line.error, "Error: --explain goes with --test-config. Add: --test-config");
    assert_int_equal(PARSE(&line, false, "--json"), NOC_EINVAL);
    assert_string_equal(line.error, "Error: --json goes with --list-options. Add: --list-options");
    assert_int_equal(PARSE(&line, false, "--man", "-c", "f", "--test-config"), NOC_EINVAL);
    assert_int_equal(PARSE(&line, false, "--explain", "--json", "--help"), NOC_OK);
    assert_int_equal(PARSE(&line, false, "--man", "--version"), NOC_OK);
}

static void what_is_unknown_is_an_error(void **state)
{
    static const char *const bad[] = {"--foo", "foo", "-x", "-vc", "--port=1", "", "-"};

    for (size_t i = 0; i < NOC_COUNT(bad); i++) {
        char argument[32], expected[64];
        struct noc_command_line line;

        snprintf(argument, sizeof(argument), "%s", bad[i]);
        snprintf(expected, sizeof(expected), "Error: Unknown option '%s'.", argument);
        assert_int_equal(PARSE(&line, true, argument), NOC_EINVAL);
        assert_string_equal(line.error, expected);
        assert_true(line.error_wants_usage);
    }
}

static void a_missing_value_is_worded_as_mosquitto_does(void **state)
{
    struct noc_command_line line;

    assert_int_equal(PARSE(&line, true, "-c"), NOC_EINVAL);
    assert_string_equal(line.error, "Error: -c argument given, but no config file specified.");
    assert_false(line.error_wants_usage);
    assert_int_equal(PARSE(&line, true, "-v", "-p"), NOC_EINVAL);
    assert_string_equal(line.error, "Error: -p argument given, but no port specified.");
    assert_int_equal(PARSE(&line, true, "--tls-keylog"), NOC_EINVAL);
    assert_int_equal(PARSE(&line, true, "-c", "a", "-c", "b"), NOC_EINVAL);
    assert_non_null(strstr(line.error, "given twice"));
}

static void ports_are_checked_and_at_most_ten(void **state)
{
    static const char *const bad[] = {"0", "65536", "x", "-1", "", "1x", "99999999999999999999"};
    struct noc_command_line line;

    for (size_t i = 0; i < NOC_COUNT(bad); i++) {
        char argument[32];

        snprintf(argument, sizeof(argument), "%s", bad[i]);
        assert_int_equal(PARSE(&line, true, "-p", argument), NOC_EINVAL);
        assert_non_null(strstr(line.error, "Error: Invalid port specified ("));
    }
    assert_int_equal(PARSE(&line, true, "-p", "1", "-p", "2", "-p", "3", "-p", "4", "-p", "5", "-p",
                         "6", "-p", "7", "-p", "8", "-p", "9", "-p", "65535"),
        NOC_OK);
    assert_int_equal(line.port_count, 10);
    assert_int_equal(line.ports[9], 65535);
    assert_int_equal(PARSE(&line, true, "-p", "1", "-p", "2", "-p", "3", "-p", "4", "-p", "5", "-p",
                         "6", "-p", "7", "-p", "8", "-p", "9", "-p", "10", "-p", "11"),
        NOC_EINVAL);
    assert_string_equal(line.error, "Error: Only 10 ports can be specified on the command line.");
}

static void a_test_needs_a_file_and_help_goes_before_it(void **state)
{
    struct noc_command_line line;

    assert_int_equal(PARSE(&line, true, "--test-config"), NOC_EINVAL);
    assert_non_null(strstr(line.error, "needs a config file"));
    assert_int_equal(
        PARSE(&line, false, "--test-config", "--version", "-h", "--list-options"), NOC_OK);
    assert_true(line.wants_help);
    assert_false(line.wants_version || line.wants_test || line.wants_option_list);
}

static void the_options_of_the_reader_follow(void **state)
{
    struct noc_config_options options;
    struct noc_command_line line;

    assert_int_equal(PARSE(&line, true, "-p", "5", "-p", "6", "-v"), NOC_OK);
    noc_command_line_to_options(&line, &options);
    assert_int_equal(options.local_port_count, 2);
    assert_int_equal(options.local_ports[1], 6);
    assert_true(options.is_verbose);
    assert_false(options.is_quiet);
    assert_null(options.compatibility);
}

static void the_usage_names_what_is_known(void **state)
{
    struct noc_text text;

    noc_text_init(&text);
    noc_command_line_usage(true, "1.2.3", &text);
    assert_non_null(strstr(text.at, "mosquitto version 1.2.3\n"));
    assert_non_null(strstr(text.at, "Usage: mosquitto "));
    assert_non_null(strstr(text.at, "--test-config"));
    assert_null(strstr(text.at, "--list-options"));
    noc_text_done(&text);
    noc_command_line_usage(false, "1.2.3", &text);
    assert_non_null(strstr(text.at, "Usage: noctule broker "));
    assert_non_null(strstr(text.at, "--list-options"));
    noc_text_done(&text);
    noc_command_line_version(true, "1", &text);
    assert_string_equal(text.at, "mosquitto version 1\n");
    noc_text_done(&text);
}

static void a_long_argument_is_cut_in_the_message(void **state)
{
    char argument[1000];
    struct noc_command_line line;

    memset(argument, 'a', sizeof(argument));
    argument[sizeof(argument) - 1] = '\0';
    assert_int_equal(PARSE(&line, true, argument), NOC_EINVAL);
    assert_true(strlen(line.error) < sizeof(line.error));
}

static void the_options_can_be_listed(void **state)
{
    struct noc_command_line_option option = {0}, same;
    size_t ours = 0, mosquittos = 0;

    while (noc_command_line_option_at(ours, false, &option)) {
        assert_non_null(option.long_name);
        assert_non_null(option.help);
        ours++;
    }
    assert_string_equal(option.long_name, "--man");
    while (noc_command_line_option_at(mosquittos, true, &same)) {
        mosquittos++;
    }
    assert_string_equal(same.long_name, "--tls-keylog");
    assert_string_equal(same.value, "FILE");
    assert_true(mosquittos < ours);
    assert_false(noc_command_line_option_at(ours, false, &same));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_options_can_be_listed),
        cmocka_unit_test(an_empty_line_asks_for_nothing),
        cmocka_unit_test(all_options_are_taken_in_both_forms),
        cmocka_unit_test(mosquitto_does_not_know_our_own_options),
        cmocka_unit_test(what_only_goes_with_another_option_does_not_start_a_broker),
        cmocka_unit_test(what_is_unknown_is_an_error),
        cmocka_unit_test(a_missing_value_is_worded_as_mosquitto_does),
        cmocka_unit_test(ports_are_checked_and_at_most_ten),
        cmocka_unit_test(a_test_needs_a_file_and_help_goes_before_it),
        cmocka_unit_test(the_options_of_the_reader_follow),
        cmocka_unit_test(the_usage_names_what_is_known),
        cmocka_unit_test(a_long_argument_is_cut_in_the_message),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
