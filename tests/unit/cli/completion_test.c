/* SPDX-License-Identifier: Apache-2.0 */
/* What there is to complete. The scripts are tested with the shells, in tests/e2e. */
#define _GNU_SOURCE
#include "cli/completion.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/commands.h"

static struct noc_completion_form form;

static const struct noc_completion_option *find(const char *name)
{
    for (size_t i = 0; i < form.option_count; i++) {
        const struct noc_completion_option *option = &form.options[i];

        if ((option->short_name != NULL && strcmp(option->short_name, name) == 0) ||
            (option->long_name != NULL && strcmp(option->long_name, name) == 0)) {
            return option;
        }
    }
    return NULL;
}

static void each_command_and_each_program_has_a_form(void **state)
{
    for (size_t i = 0; i < noc_cli_command_count; i++) {
        const struct noc_cli_command *command = &noc_cli_commands[i];

        assert_true(noc_completion_form_init(&form, command->name));
        assert_non_null(find("--help"));
        if (command->program != NULL) {
            assert_true(noc_completion_form_init(&form, command->program));
            assert_string_equal(form.name, command->program);
            assert_true(form.option_count > 0);
        }
    }
}

static void nobody_knows_other_names(void **state)
{
    assert_false(noc_completion_form_init(&form, ""));
    assert_false(noc_completion_form_init(&form, "pu"));
    assert_false(noc_completion_form_init(&form, "mosquitto_"));
}

static void options_come_from_the_tables(void **state)
{
    assert_true(noc_completion_form_init(&form, "sub"));
    assert_string_equal(find("-q")->words, "0 1 2");
    assert_string_equal(find("--capath")->argument, "FOLDER");
    assert_true(find("-t")->repeats);
    assert_null(find("--progress"));
    assert_non_null(find("--tree"));
    assert_true(noc_completion_form_init(&form, "mosquitto_sub"));
    assert_null(find("--tree"));
    assert_true(noc_completion_form_init(&form, "broker"));
    assert_ptr_equal(find("-c"), find("--config-file"));
    assert_non_null(find("--explain"));
    assert_true(noc_completion_form_init(&form, "mosquitto"));
    assert_null(find("--explain"));
}

static void operands_may_hang_on_the_first(void **state)
{
    assert_true(noc_completion_form_init(&form, "passwd"));
    assert_int_equal(form.operand_count, 2);
    assert_string_equal(form.operands[1].argument, "FILE");
    assert_string_equal(form.operands[1].after, "check list del");
    assert_true(noc_completion_form_init(&form, "pub"));
    assert_int_equal(form.operand_count, 0);
}

static void arguments_are_of_a_kind(void **state)
{
    assert_int_equal(noc_completion_kind_of("FILE"), NOC_COMPLETION_FILE);
    assert_int_equal(noc_completion_kind_of("SOCKET"), NOC_COMPLETION_FILE);
    assert_int_equal(noc_completion_kind_of("FOLDER"), NOC_COMPLETION_FOLDER);
    assert_int_equal(noc_completion_kind_of("HOST"), NOC_COMPLETION_HOST);
    assert_int_equal(noc_completion_kind_of("TEXT"), NOC_COMPLETION_TEXT);
    assert_true(noc_completion_form_init(&form, "rr"));
    assert_int_equal(noc_completion_kind_of(find("-D")->argument), NOC_COMPLETION_PROPERTY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_command_and_each_program_has_a_form),
        cmocka_unit_test(nobody_knows_other_names),
        cmocka_unit_test(options_come_from_the_tables),
        cmocka_unit_test(operands_may_hang_on_the_first),
        cmocka_unit_test(arguments_are_of_a_kind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
