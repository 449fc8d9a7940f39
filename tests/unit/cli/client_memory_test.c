/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a command line, and showing a message, with the n-th allocation failing, for every n. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static long allocations_left; /* until one fails */

static int may_allocate(void)
{
    return allocations_left-- > 0;
}

static void *failing_malloc(size_t n)
{
    return may_allocate() ? malloc(n) : NULL;
}

static void *failing_calloc(size_t n, size_t size)
{
    return may_allocate() ? calloc(n, size) : NULL;
}

static void *failing_realloc(void *memory, size_t n)
{
    return may_allocate() ? realloc(memory, n) : NULL;
}

#define malloc  failing_malloc
#define calloc  failing_calloc
#define realloc failing_realloc
#include "cli/client_options.c"
#include "cli/output_compile.c"
#include "cli/output_format.c"
#undef malloc
#undef calloc
#undef realloc

static char *const line[] = {"mosquitto_sub", "-L", "wss://u:p@h:1/x", "-t", "a", "-t", "b", "-T",
    "c", "-U", "d", "--header", "A: b", "-D", "connect", "user-property", "k", "v", "-x", "5", "-V",
    "5", "-I", "pre", "--proxy", "socks5h://u:p@h", "-F", "%t %j", NULL};

/* Away with what it says: it is looked at below. */
static enum noc_client_outcome read_quietly(struct noc_client_settings *settings, FILE *errors)
{
    static char texts[NOC_COUNT(line)][32]; /* secrets in it are written over */
    char *words[NOC_COUNT(line)];
    int kept = dup(STDERR_FILENO);
    enum noc_client_outcome outcome;
    int status = -1;

    for (size_t i = 0; i < NOC_COUNT(line); i++) {
        words[i] = line[i] == NULL ? NULL : texts[i];
        (void)snprintf(texts[i], sizeof(texts[i]), "%s", line[i] == NULL ? "" : line[i]);
    }
    assert_true(dup2(fileno(errors), STDERR_FILENO) >= 0);
    outcome = noc_client_settings_init(settings, NOC_TOOL_SUB, NOC_COUNT(line) - 1, words, &status);
    assert_true(dup2(kept, STDERR_FILENO) >= 0);
    assert_int_equal(close(kept), 0);
    assert_int_equal(status, outcome == NOC_CLIENT_RUN ? -1 : 1);
    return outcome;
}

static void every_failing_allocation_of_a_command_line_is_told(void **state)
{
    struct noc_client_settings settings;
    enum noc_client_outcome outcome = NOC_CLIENT_EXIT;
    long n;

    (void)state;
    assert_int_equal(setenv("XDG_CONFIG_HOME", "/nowhere", 1), 0);
    for (n = 0; outcome != NOC_CLIENT_RUN; n++) {
        FILE *errors = tmpfile();
        char said[100] = "";

        assert_in_range(n, 0, 1000);
        assert_non_null(errors);
        allocations_left = n;
        outcome = read_quietly(&settings, errors);
        rewind(errors);
        said[fread(said, 1, sizeof(said) - 1, errors)] = '\0';
        assert_string_equal(said, outcome == NOC_CLIENT_RUN ? "" : "Error: Out of memory.\n");
        assert_int_equal(fclose(errors), 0);
        if (outcome != NOC_CLIENT_RUN) {
            noc_client_settings_done(&settings);
        }
    }
    assert_in_range(n, 15, 100);
    assert_int_equal(settings.topics.n, 2);
    noc_client_settings_done(&settings);
}

static void every_failing_allocation_of_a_message_leaves_the_buffer_as_it_was(void **state)
{
    static char payload[20000];
    const struct noc_output_message message = {
        .topic = noc_slice_of("t"), .payload = noc_slice(payload, sizeof(payload))};
    const struct noc_output_options options = {.format = "%p %x %j %I %U @Y"};
    struct noc_output_buffer buffer = {0};
    struct noc_output_format format;
    char fault[NOC_OUTPUT_FAULT_SIZE];
    enum noc_output_fault why;
    int err = NOC_ENOMEM;

    (void)state;
    memset(payload, 'x', sizeof(payload));
    allocations_left = 1;
    assert_int_equal(noc_output_format_init(&format, &options, fault), NOC_ENOMEM);
    noc_output_format_done(&format);
    allocations_left = 2;
    assert_int_equal(noc_output_format_init(&format, &options, fault), NOC_OK);
    for (long n = 0; err != NOC_OK; n++) {
        noc_output_buffer_done(&buffer);
        allocations_left = n;
        err = noc_output_format_append(&format, &message, &buffer, &why);
        assert_true(err == NOC_OK || (err == NOC_ENOMEM && buffer.n == 0));
        assert_in_range(n, 0, 100);
    }
    assert_true(buffer.n > 3 * sizeof(payload));
    noc_output_buffer_done(&buffer);
    noc_output_format_done(&format);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_failing_allocation_of_a_command_line_is_told),
        cmocka_unit_test(every_failing_allocation_of_a_message_leaves_the_buffer_as_it_was),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
