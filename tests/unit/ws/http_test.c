/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "ws/http.h"

#include "guard.h"

static struct guard guard;

static int scan(const void *bytes, size_t n)
{
    size_t scanned = 0;
    size_t dripped = 0;
    int whole = noc_http_head_scan(guard_put(&guard, bytes, n), n, &scanned);

    /* Dripping in, it ends with the same answer, at the same byte. */
    for (size_t i = 0; i <= n; i++) {
        int part = noc_http_head_scan(guard_put(&guard, bytes, i), i, &dripped);

        if (part != 0) {
            assert_int_equal(part, whole);
            return whole;
        }
    }
    assert_int_equal(whole, 0);
    return whole;
}

#define SCAN(literal) scan(literal, sizeof(literal) - 1)

static void the_end_of_a_head_is_found(void **state)
{
    (void)state;
    assert_int_equal(SCAN("GET / HTTP/1.1\r\n\r\n"), 18);
    assert_int_equal(SCAN("GET / HTTP/1.1\r\nA: b\r\n\r\nrest\0\n"), 24);
    assert_int_equal(SCAN("GET / HTTP/1.1\r\nA: b\r\n\r"), 0);
    assert_int_equal(SCAN(""), 0);
    assert_int_equal(SCAN("A:\tb\xc3\xbc\r\n\r\n"), 10);
}

static void bytes_no_head_may_have_are_refused_at_once(void **state)
{
    (void)state;
    assert_int_equal(SCAN("GET / HTTP/1.1\n"), NOC_EMALFORMED);
    assert_int_equal(SCAN("GET / HTTP/1.1\r\nA: b\n\n"), NOC_EMALFORMED);
    assert_int_equal(SCAN("GET / HTTP/1.1\rA"), NOC_EMALFORMED);
    assert_int_equal(SCAN("GET / HTTP/1.1\r\r\n"), NOC_EMALFORMED);
    assert_int_equal(SCAN("\n"), NOC_EMALFORMED);
    assert_int_equal(SCAN("GET /\0"), NOC_EMALFORMED);
    assert_int_equal(SCAN("GET /\x7f"), NOC_EMALFORMED);
    assert_int_equal(SCAN("GET /\x1b"), NOC_EMALFORMED);
}

static void a_head_without_end_is_refused_in_the_end(void **state)
{
    size_t n = NOC_HTTP_HEAD_MAX + 1;
    uint8_t *bytes = malloc(n);
    struct noc_slice line;
    size_t scanned = 0;

    (void)state;
    assert_non_null(bytes);
    memset(bytes, 'a', n);
    assert_int_equal(noc_http_head_scan(bytes, n, &scanned), NOC_ETOOLARGE);
    assert_int_equal(noc_http_line_take(bytes, n, &line), NOC_EMALFORMED);
    free(bytes);
}

static void a_line_is_taken_when_it_is_whole(void **state)
{
    struct noc_slice line;

    (void)state;
    assert_int_equal(noc_http_line_take((const uint8_t *)"A: b\r\nC", 7, &line), 6);
    assert_slice(line, "A: b");
    assert_int_equal(noc_http_line_take((const uint8_t *)"\r\n", 2, &line), 2);
    assert_slice(line, "");
    assert_int_equal(noc_http_line_take((const uint8_t *)"A: b\r", 5, &line), 0);
    assert_int_equal(noc_http_line_take((const uint8_t *)"A\n", 2, &line), NOC_EMALFORMED);
    assert_int_equal(noc_http_line_take((const uint8_t *)"A\0", 2, &line), NOC_EMALFORMED);
}

static void a_field_is_a_token_a_colon_and_a_trimmed_value(void **state)
{
    static const char *const bad[] = {"", ":", ": v", "name", " folded: v", "\tfolded", "a b: v",
        "name : v", "n(: v", "n\xc3: v"};
    struct noc_http_field field;

    (void)state;
    assert_int_equal(noc_http_field_parse(noc_slice_of("Name: a b\t "), &field), NOC_OK);
    assert_slice(field.name, "Name");
    assert_slice(field.value, "a b");
    assert_int_equal(noc_http_field_parse(noc_slice_of("N:a:b"), &field), NOC_OK);
    assert_slice(field.value, "a:b");
    assert_int_equal(noc_http_field_parse(noc_slice_of("N:"), &field), NOC_OK);
    assert_slice(field.value, "");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(noc_http_field_parse(noc_slice_of(bad[i]), &field), NOC_EMALFORMED);
    }
}

static void fields_are_found_by_name_in_any_case_and_in_order(void **state)
{
    struct noc_slice lines = noc_slice_of("A: 1\r\nbb: 2\r\na: 3\r\nempty:\r\n");
    size_t iter = 0;

    (void)state;
    assert_slice(noc_http_field_find(lines, noc_slice_of("a"), &iter), "1");
    assert_slice(noc_http_field_find(lines, noc_slice_of("A"), &iter), "3");
    assert_null(noc_http_field_find(lines, noc_slice_of("A"), &iter).at);
    assert_null(noc_http_field_find(lines, noc_slice_of("A"), &iter).at);
    iter = 0;
    assert_slice(noc_http_field_find(lines, noc_slice_of("Empty"), &iter), "");
    iter = 0;
    assert_null(noc_http_field_find(lines, noc_slice_of("b"), &iter).at);
    iter = 0;
    assert_null(noc_http_field_find(noc_slice(NULL, 0), noc_slice_of("b"), &iter).at);
}

static void lists_are_split_at_commas(void **state)
{
    struct noc_slice rest = noc_slice_of(" , mqtt ,,\tmqttv3.1, ");
    struct noc_slice item;

    (void)state;
    assert_true(noc_http_list_next(&rest, &item));
    assert_slice(item, "mqtt");
    assert_true(noc_http_list_next(&rest, &item));
    assert_slice(item, "mqttv3.1");
    assert_false(noc_http_list_next(&rest, &item));
    assert_true(noc_http_list_has(noc_slice_of("keep-alive, UPGRADE"), noc_slice_of("upgrade")));
    assert_false(noc_http_list_has(noc_slice_of("upgrades"), noc_slice_of("upgrade")));
    assert_false(noc_http_list_has(noc_slice(NULL, 0), noc_slice_of("upgrade")));
}

static void output_that_does_not_fit_is_told(void **state)
{
    char at[8];
    struct noc_http_out out = {at, sizeof at, 0, false};

    (void)state;
    noc_http_put_number(&out, 0);
    noc_http_put_number(&out, 1234567);
    assert_false(out.is_over);
    assert_memory_equal(at, "01234567", 8);
    noc_http_put(&out, noc_slice(NULL, 0));
    assert_false(out.is_over);
    noc_http_put_text(&out, "x");
    assert_true(out.is_over);
    assert_int_equal(out.n, 8);
}

static void text_with_line_ends_is_not_clean(void **state)
{
    (void)state;
    assert_true(noc_http_is_clean(noc_slice_of("a\tb \xc3\xbc")));
    assert_true(noc_http_is_clean(noc_slice(NULL, 0)));
    assert_false(noc_http_is_clean(noc_slice_of("a\r\nb")));
    assert_false(noc_http_is_clean(noc_slice_of("a\nb")));
    assert_false(noc_http_is_clean(noc_slice_of("a\r")));
    assert_false(noc_http_is_clean(noc_slice("a\0", 2)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_end_of_a_head_is_found),
        cmocka_unit_test(bytes_no_head_may_have_are_refused_at_once),
        cmocka_unit_test(a_head_without_end_is_refused_in_the_end),
        cmocka_unit_test(a_line_is_taken_when_it_is_whole),
        cmocka_unit_test(a_field_is_a_token_a_colon_and_a_trimmed_value),
        cmocka_unit_test(fields_are_found_by_name_in_any_case_and_in_order),
        cmocka_unit_test(lists_are_split_at_commas),
        cmocka_unit_test(output_that_does_not_fit_is_told),
        cmocka_unit_test(text_with_line_ends_is_not_clean),
    };
    int failed;

    guard_init(&guard, 4096);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    guard_done(&guard);
    return failed;
}
