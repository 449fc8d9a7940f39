/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "cli/json_table.h"

#include <noctule/error.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int table_of_slice(struct noc_slice json, char **ret_table)
{
    size_t n;
    FILE *stream = open_memstream(ret_table, &n);
    int err;

    assert_non_null(stream);
    err = noc_json_table_print(json, stream);
    assert_int_equal(fclose(stream), 0);
    return err;
}

/* Print a text from memory that ends where the text ends, so that a sanitizer sees a step too far. */
static int table_of(const char *json, char **ret_table)
{
    const size_t n = strlen(json);
    char *copy = malloc(n == 0 ? 1 : n);
    int err;

    assert_non_null(copy);
    memcpy(copy, json, n);
    err = table_of_slice(noc_slice(copy, n), ret_table);
    free(copy);
    return err;
}

static void assert_table(const char *json, const char *expected)
{
    char *table;

    assert_int_equal(table_of(json, &table), NOC_OK);
    assert_string_equal(table, expected);
    free(table);
}

static void assert_malformed(const char *json)
{
    char *table;

    assert_int_equal(table_of(json, &table), NOC_EMALFORMED);
    free(table);
}

static void scalars_print_under_their_path(void **state)
{
    (void)state;
    assert_table("{\"a\":1,\"b\":{\"c\":\"x\",\"d\":[true,null,-1.5e+3]}}",
        "a                             1\n"
        "b.c                           x\n"
        "b.d.0                         true\n"
        "b.d.1                         null\n"
        "b.d.2                         -1.5e+3\n");
    assert_table(" \t\r\n7 \n", "7\n");
}

static void empty_containers_print_nothing(void **state)
{
    (void)state;
    assert_table("{}", "");
    assert_table("[ ]", "");
    assert_table("{\"a\":{},\"b\":[]}", "");
}

static void escapes_decode_but_control_characters_stay_visible(void **state)
{
    (void)state;
    assert_table("\"\\\"\\\\\\/ \\u00e9 \\u20AC \\ud83d\\ude00\"", "\"\\/ é € 😀\n");
    assert_table("\"\\u001b[2J\\n\\u009b\\u007f\"", "\\u001b[2J\\u000a\\u009b\\u007f\n");
    assert_table("\"\x7f\"", "\\u007f\n");
    assert_table("{\"\x7f\":1}", "?                             1\n");
}

static void half_a_surrogate_pair_becomes_the_replacement_character(void **state)
{
    (void)state;
    assert_table("\"\\ud83d\"", "\xEF\xBF\xBD\n");
    assert_table("\"\\ude00x\"", "\xEF\xBF\xBDx\n");
    assert_table("\"\\ud83d\\u0041\"", "\xEF\xBF\xBD"
                                       "A\n");
}

static void what_is_not_json_is_refused(void **state)
{
    static const char *const texts[] = {"", " ", "{", "}", "[", "[1", "[1,", "[1,]", "{\"a\"}",
        "{\"a\":}", "{\"a\":1,}", "{a:1}", "{\"a\" 1}", "{} {}", "1 2", "\"", "\"a", "\"\\",
        "\"\\x\"", "\"\\u12\"", "\"\\u12g4\"", "\"a\nb\"", "truth", "nul", "+1", ".5", "1x",
        "{\"a\":1]", "[1}"};

    (void)state;
    for (size_t i = 0; i < NOC_COUNT(texts); i++) {
        assert_malformed(texts[i]);
    }
}

static void every_cut_of_a_good_text_is_refused(void **state)
{
    static const char json[] =
        "{\"a\":[1,{\"b\":\"\\u00e9\\ud83d\\ude00\"}],\"c\":null,\"d\":\"e\\\\\"}";
    char *table;

    (void)state;
    for (size_t n = 0; n < sizeof(json) - 1; n++) {
        char *cut = malloc(n == 0 ? 1 : n);

        assert_non_null(cut);
        memcpy(cut, json, n);
        assert_int_equal(table_of_slice(noc_slice(cut, n), &table), NOC_EMALFORMED);
        free(table);
        free(cut);
    }
    assert_int_equal(table_of(json, &table), NOC_OK);
    free(table);
}

static void depth_is_bounded(void **state)
{
    char json[2 * NOC_JSON_DEPTH_MAX + 4];
    char *table;

    (void)state;
    memset(json, '[', NOC_JSON_DEPTH_MAX);
    memset(json + NOC_JSON_DEPTH_MAX, ']', NOC_JSON_DEPTH_MAX);
    assert_int_equal(
        table_of_slice(noc_slice(json, (size_t)2 * NOC_JSON_DEPTH_MAX), &table), NOC_OK);
    free(table);
    memset(json, '[', NOC_JSON_DEPTH_MAX + 1);
    memset(json + NOC_JSON_DEPTH_MAX + 1, ']', NOC_JSON_DEPTH_MAX + 1);
    assert_int_equal(table_of_slice(noc_slice(json, (size_t)2 * NOC_JSON_DEPTH_MAX + 2), &table),
        NOC_EMALFORMED);
    free(table);
}

static void a_path_longer_than_its_buffer_is_cut(void **state)
{
    enum { NAME = 2 * NOC_JSON_PATH_MAX };
    char json[NAME + 32];
    char *table;

    (void)state;
    json[0] = '{';
    json[1] = '"';
    memset(json + 2, 'n', NAME);
    (void)snprintf(json + 2 + NAME, sizeof(json) - 2 - NAME, "\":{\"m\":1},\"o\":2}");
    assert_int_equal(table_of(json, &table), NOC_OK);
    assert_int_equal(strspn(table, "n"), NOC_JSON_PATH_MAX - 1);
    assert_non_null(strstr(table, "\no                             2\n"));
    free(table);
}

static void assert_rows(const char *json, int result, const char *expected)
{
    char *rows;
    size_t n;
    FILE *stream = open_memstream(&rows, &n);

    assert_non_null(stream);
    assert_int_equal(noc_json_rows_print(noc_slice_of(json), stream), result);
    assert_int_equal(fclose(stream), 0);
    assert_string_equal(rows, expected);
    free(rows);
}

static void an_array_of_objects_is_rows_under_a_head(void **state)
{
    (void)state;
    assert_rows("{\"c\":[{\"n\":3,\"at\":\"here\",\"id\":\"a\"},"
                "{\"n\":1234567890,\"at\":null,\"id\":\"\\u0007\\n\"}, "
                "{\"n\":true,\"at\":\"\xc3\xa4\",\"id\":\"b.0\"}]}",
        NOC_OK,
        "n          at                     id\n"
        "3          here                   a\n"
        "1234567890  -                      \\u0007\\u000a\n"
        "true       \xc3\xa4                      b.0\n");
    assert_rows("{\"c\":[]}", NOC_OK, "");
    assert_rows("{\"c\":[{\"id\":\"a\"},{\"id\":\"b\"}]}", NOC_OK, "id\na\nb\n");
}

static void rows_of_what_is_not_json_are_refused(void **state)
{
    (void)state;
    assert_rows("", NOC_EMALFORMED, "");
    assert_rows("{\"c\":[{\"id\":\"a\"},", NOC_EMALFORMED, "id\n");
    assert_rows("5", NOC_OK, "");
}

static void find_takes_the_string_of_the_top_level_only(void **state)
{
    const struct noc_slice json =
        noc_slice_of("{\"x\":{\"error\":\"inner\"},\"error\":\"out\\u0065r\\n\",\"n\":1}");
    char text[32] = "untouched";

    (void)state;
    assert_int_equal(noc_json_find_string(json, "absent", text, sizeof(text)), NOC_ENOENT);
    assert_int_equal(noc_json_find_string(json, "n", text, sizeof(text)), NOC_ENOENT);
    assert_string_equal(text, "untouched");
    assert_int_equal(noc_json_find_string(json, "error", text, sizeof(text)), NOC_OK);
    assert_string_equal(text, "outer\n");
}

static void find_cuts_at_whole_characters(void **state)
{
    const struct noc_slice json = noc_slice_of("{\"e\":\"ab\\u20ac\"}");
    char text[5];

    (void)state;
    assert_int_equal(noc_json_find_string(json, "e", text, sizeof(text)), NOC_OK);
    assert_string_equal(text, "ab");
}

static void find_refuses_what_is_not_json(void **state)
{
    char text[8] = "kept";

    (void)state;
    assert_int_equal(noc_json_find_string(noc_slice_of("{\"e\":\"a\""), "e", text, sizeof(text)),
        NOC_EMALFORMED);
    assert_int_equal(
        noc_json_find_string(noc_slice_of(NULL), "e", text, sizeof(text)), NOC_EMALFORMED);
    assert_string_equal(text, "kept");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scalars_print_under_their_path),
        cmocka_unit_test(empty_containers_print_nothing),
        cmocka_unit_test(escapes_decode_but_control_characters_stay_visible),
        cmocka_unit_test(half_a_surrogate_pair_becomes_the_replacement_character),
        cmocka_unit_test(what_is_not_json_is_refused),
        cmocka_unit_test(every_cut_of_a_good_text_is_refused),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(a_path_longer_than_its_buffer_is_cut),
        cmocka_unit_test(an_array_of_objects_is_rows_under_a_head),
        cmocka_unit_test(rows_of_what_is_not_json_are_refused),
        cmocka_unit_test(find_takes_the_string_of_the_top_level_only),
        cmocka_unit_test(find_cuts_at_whole_characters),
        cmocka_unit_test(find_refuses_what_is_not_json),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
