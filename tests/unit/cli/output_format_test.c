/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs tests/vectors/output_formats.txt, where the form of its lines is told:
 * what mosquitto_sub prints. Then what it does not, 2.1's codes, and what is refused.
 */
#define _GNU_SOURCE
#include "cli/output_format.h"
#include "mqtt/packet.h"
#include <noctule/error.h>

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MESSAGES_MAX = 256 };

/* A message of the vectors, and the memory that it points into. */
struct stored {
    struct noc_output_message message;
    struct noc_props props;
    char *topic, *payload;
    uint8_t *block;
};

struct vectors {
    struct stored messages[MESSAGES_MAX];
    size_t count;
    bool is_set_full; /* a case has been seen: "messages" begins another set */
    struct timespec time;
    unsigned line, cases;
};

/* ---- words ---- */

static unsigned hex(char c)
{
    assert_true(isxdigit((unsigned char)c));
    return isdigit((unsigned char)c) ? (unsigned)(c - '0') : (unsigned)(c - 'a' + 10);
}

/* The bytes of a word, in memory that ends where they end. */
static char *decode(const char *word, size_t *ret_n)
{
    char *bytes = malloc(strlen(word) + 1);
    char *exact;
    size_t n = 0;

    assert_non_null(bytes);
    for (; *word != '\0' && strcmp(word, "-") != 0; word++) {
        if (*word == '\\') {
            bytes[n++] = (char)(hex(word[2]) << 4 | hex(word[3]));
            word += 3;
        } else {
            bytes[n++] = *word;
        }
    }
    exact = malloc(n == 0 ? 1 : n);
    assert_non_null(exact);
    memcpy(exact, bytes, n);
    free(bytes);
    *ret_n = n;
    return exact;
}

static void forget(struct vectors *vectors)
{
    for (size_t i = 0; i < vectors->count; i++) {
        free(vectors->messages[i].topic);
        free(vectors->messages[i].payload);
        free(vectors->messages[i].block);
    }
    vectors->count = 0;
}

static void decode_props(struct stored *stored, const char *word)
{
    size_t n;
    char *bytes = decode(word, &n);
    uint32_t size = (uint32_t)n;
    size_t length = noc_varint_size(size);
    struct noc_fault fault;

    stored->block = malloc(length + n);
    assert_non_null(stored->block);
    assert_true(n < 128);
    stored->block[0] = (uint8_t)n;
    memcpy(stored->block + 1, bytes, n);
    free(bytes);
    assert_int_equal(
        noc_props_decode(NOC_PUBLISH, stored->block, n + 1, &stored->props, &fault), n + 1);
    stored->message.props = &stored->props;
}

static void add_message(struct vectors *vectors, char *words)
{
    struct stored *stored = &vectors->messages[vectors->count++];
    struct noc_output_message *message = &stored->message;
    char *word[6];

    assert_true(vectors->count < MESSAGES_MAX);
    for (size_t i = 0; i < 6; i++) {
        word[i] = strsep(&words, " ");
        assert_non_null(word[i]);
    }
    *stored = (struct stored){0};
    stored->topic = decode(word[0], &message->topic.n);
    stored->payload = decode(word[1], &message->payload.n);
    message->topic.at = stored->topic;
    message->payload.at = stored->payload;
    message->qos = (uint8_t)strtoul(word[2], NULL, 10);
    message->is_retained = word[3][0] == '1';
    message->mid = (uint16_t)strtoul(word[4], NULL, 10);
    message->time = vectors->time;
    decode_props(stored, word[5]);
}

/* ---- a case ---- */

/* All messages through a format. The caller frees the buffer. */
static void print_all(struct vectors *vectors, const struct noc_output_options *options,
    struct noc_output_buffer *buffer)
{
    char fault[NOC_OUTPUT_FAULT_SIZE] = "";
    struct noc_output_format format;

    if (noc_output_format_init(&format, options, fault) != NOC_OK) {
        fail_msg("output_formats.txt:%u: %s", vectors->line, fault);
    }
    for (size_t i = 0; i < vectors->count; i++) {
        enum noc_output_fault why;
        int err = noc_output_format_append(&format, &vectors->messages[i].message, buffer, &why);

        assert_true(err == NOC_OK || (err == NOC_EMALFORMED && why == NOC_OUTPUT_NO_JSON));
    }
    noc_output_format_done(&format);
}

static void fail_difference(
    const struct vectors *vectors, struct noc_slice expected, const struct noc_output_buffer *got)
{
    size_t i = 0;
    size_t from;

    while (i < expected.n && i < got->n && expected.at[i] == got->at[i]) {
        i++;
    }
    from = i < 60 ? 0 : i - 60;
    fail_msg("output_formats.txt:%u: %zu bytes, not %zu; from byte %zu on\n%.*s\nnot\n%.*s",
        vectors->line, got->n, expected.n, from, (int)(got->n - from < 140 ? got->n - from : 140),
        got->at + from, (int)(expected.n - from < 140 ? expected.n - from : 140),
        expected.at + from);
}

static void run_case(struct vectors *vectors, char *words)
{
    const char *flags = strsep(&words, " ");
    const char *name = strsep(&words, " ");
    struct noc_output_buffer buffer = {0};
    struct noc_output_options options = {0};
    size_t format_n = 0, n;
    char *expected = decode(words, &n);
    char *bytes = decode(name, &format_n);
    char *format = calloc(1, format_n + 1);

    assert_non_null(format);
    memcpy(format, bytes, format_n);
    options.format = strcmp(name, "*") == 0 ? NULL : format;
    options.is_verbose = strchr(flags, 'v') != NULL;
    options.no_newline = strchr(flags, 'N') != NULL;
    options.is_pretty = strchr(flags, 'p') != NULL;
    print_all(vectors, &options, &buffer);
    if (!noc_slice_equal(noc_slice(buffer.at, buffer.n), noc_slice(expected, n))) {
        fail_difference(vectors, noc_slice(expected, n), &buffer);
    }
    vectors->cases++;
    noc_output_buffer_done(&buffer);
    free(expected);
    free(bytes);
    free(format);
}

static void read_time(struct vectors *vectors, const char *words)
{
    char zone[64];
    long long second;

    assert_int_equal(sscanf(words, "%lld %ld %63s", &second, &vectors->time.tv_nsec, zone), 3);
    vectors->time.tv_sec = second;
    assert_int_equal(setenv("TZ", zone, 1), 0);
    tzset();
}

static void it_prints_what_mosquitto_sub_prints(void **state)
{
    struct vectors *vectors = calloc(1, sizeof(*vectors));
    FILE *file = fopen(NOC_VECTORS "/output_formats.txt", "r");
    char *line = NULL;
    size_t size = 0;

    (void)state;
    assert_non_null(vectors);
    assert_non_null(file);
    while (getline(&line, &size, file) >= 0) {
        char *rest = line;
        const char *kind;

        line[strcspn(line, "\n")] = '\0';
        vectors->line++;
        kind = strsep(&rest, " ");
        if (strcmp(kind, "time") == 0) {
            read_time(vectors, rest);
        } else if (strcmp(kind, "messages") == 0) {
            forget(vectors);
        } else if (strcmp(kind, "message") == 0) {
            add_message(vectors, rest);
        } else if (strcmp(kind, "case") == 0) {
            run_case(vectors, rest);
        } else {
            assert_int_equal(kind[0], '#');
        }
    }
    assert_true(vectors->cases > 300);
    forget(vectors);
    free(vectors);
    free(line);
    assert_int_equal(fclose(file), 0);
}

/* ---- single messages ---- */

/* The message in a format, as text. */
static void assert_shows(const struct noc_output_options *options,
    const struct noc_output_message *message, int err, const char *expected)
{
    char fault[NOC_OUTPUT_FAULT_SIZE];
    struct noc_output_buffer buffer = {0};
    struct noc_output_format format;
    enum noc_output_fault why;

    assert_int_equal(noc_output_format_init(&format, options, fault), NOC_OK);
    assert_int_equal(noc_output_format_append(&format, message, &buffer, &why), err);
    assert_int_equal(buffer.n, strlen(expected));
    assert_memory_equal(buffer.at, expected, buffer.n);
    noc_output_buffer_done(&buffer);
    noc_output_format_done(&format);
}

static void assert_shows_2_1(
    const char *format, struct noc_slice payload, int err, const char *expected)
{
    const struct noc_output_options options = {
        .format = format, .no_newline = true, .is_compat_2_1 = true};
    const struct noc_output_message message = {
        .topic = noc_slice_of("t"), .payload = payload, .time = {1751378712, 5000}};

    assert_shows(&options, &message, err, expected);
}

static void version_2_1_prints_floats(void **state)
{
    static const float single = 1.5f;
    static const double number = -0.125;
    const struct noc_slice four = noc_slice(&single, sizeof(single));
    const struct noc_slice eight = noc_slice(&number, sizeof(number));

    (void)state;
    assert_shows_2_1("%f", four, NOC_OK, "1.500000");
    assert_shows_2_1("%.1f|%8.2f|%-8.2f|%08.2f", four, NOC_OK, "1.5|    1.50|1.50    |00001.50");
    assert_shows_2_1("%d %.2d", eight, NOC_OK, "-0.125000 -0.12");
    assert_shows_2_1("<%f>", eight, NOC_EMALFORMED, "<>");
    assert_shows_2_1("<%d>", four, NOC_EMALFORMED, "<>");
    assert_shows_2_1("<%d>", noc_slice(NULL, 0), NOC_EMALFORMED, "<>");
    assert_string_equal(
        noc_output_fault_text(NOC_OUTPUT_NO_FLOAT), "Message payload is not a float of four bytes");
    assert_string_equal(
        noc_output_fault_text(NOC_OUTPUT_NO_JSON), "Message payload is not valid JSON");
}

static void version_2_1_separates_hex_digits(void **state)
{
    const struct noc_slice abc = noc_slice_of("abc");

    (void)state;
    assert_shows_2_1("%x", abc, NOC_OK, "616263");
    assert_shows_2_1("%.2x", abc, NOC_OK, "61 62 63");
    assert_shows_2_1("%.2:X", noc_slice_of("jkl"), NOC_OK, "6A:6B:6C");
    assert_shows_2_1("%.4-x", abc, NOC_OK, "6162-63");
    assert_shows_2_1("%08.2:x", abc, NOC_OK, "00:61:62:63");
    assert_shows_2_1("[%-8x]", abc, NOC_OK, "[616263  ]");
    assert_shows_2_1("%2x", abc, NOC_OK, "6162");
}

static void version_2_1_has_another_json(void **state)
{
    uint8_t block[64] = {0}, *end = block + 1;
    struct noc_output_options options = {.format = "%j", .no_newline = true, .is_compat_2_1 = true};
    struct noc_output_message message = {.topic = noc_slice_of("t"), .time = {1751378712, 5000}};
    struct noc_props props;
    struct noc_fault fault;

    (void)state;
    assert_int_equal(setenv("TZ", "UTC", 1), 0);
    tzset();
    end = noc_prop_put_user(end, noc_slice_of("k"), noc_slice_of("v"));
    end = noc_prop_put_u16(end, NOC_PROP_TOPIC_ALIAS, 7);
    end = noc_prop_put_user(end, noc_slice_of("k"), noc_slice_of("w"));
    block[0] = (uint8_t)(end - block - 1);
    assert_int_equal(
        noc_props_decode(NOC_PUBLISH, block, sizeof(block), &props, &fault), end - block);
    message.props = &props;
    message.is_retained = true;
    assert_shows(&options, &message, NOC_OK,
        "{\"tst\":\"2025-07-01T14:05:12.000005+0000\",\"topic\":\"t\",\"qos\":0,\"retain\":true,"
        "\"payloadlen\":0,\"properties\":{\"user-properties\":[{\"k\":\"v\"},{\"k\":\"w\"}],"
        "\"topic-alias\":7},\"payload\":null}");
}

static void a_message_without_properties_has_none(void **state)
{
    const struct noc_output_options options = {
        .format = "[%A%C%D%E%F%P%R%S%3A]", .no_newline = true};
    const struct noc_output_message message = {.topic = noc_slice_of("t")};

    (void)state;
    assert_shows(&options, &message, NOC_OK, "[   ]");
}

static void json_that_is_cut_anywhere_is_not_json(void **state)
{
    static const char json[] =
        "{\"a\\u00e9\\ud83d\\ude00\" : [1, -2.5e+3, true, null, {}], \"b\":\"\\n\"}";
    const struct noc_output_options options = {.format = "%J", .no_newline = true};

    (void)state;
    for (size_t n = 1; n < sizeof(json) - 1; n++) {
        char *cut = malloc(n);
        struct noc_output_message message = {.topic = noc_slice_of("t")};

        assert_non_null(cut);
        memcpy(cut, json, n);
        message.payload = noc_slice(cut, n);
        assert_shows(&options, &message, NOC_EMALFORMED, "");
        free(cut);
    }
}

/* ---- what is refused ---- */

static void assert_refused(const char *format, bool is_2_1, const char *expected)
{
    const struct noc_output_options options = {.format = format, .is_compat_2_1 = is_2_1};
    char fault[NOC_OUTPUT_FAULT_SIZE] = "";
    struct noc_output_format compiled;

    assert_int_equal(noc_output_format_init(&compiled, &options, fault), NOC_EINVAL);
    assert_string_equal(fault, expected);
    noc_output_format_done(&compiled);
}

static void bad_formats_are_refused(void **state)
{
    static const char *const incomplete[] = {
        "%", "%5", "%-", "%0", "%.", "%5.", "%-08.3", "a%", "@", "a@"};

    (void)state;
    for (size_t i = 0; i < sizeof(incomplete) / sizeof(incomplete[0]); i++) {
        assert_refused(incomplete[i], false, "Incomplete format specifier.");
    }
    assert_refused("\\", false, "Incomplete escape specifier.");
    assert_refused("\\q", false, "Invalid escape specifier 'q'.");
    assert_refused("%z", false, "Invalid format specifier 'z'.");
    assert_refused("%f", false, "Invalid format specifier 'f'.");
    assert_refused("%0-5t", false, "Invalid format specifier '-'.");
    assert_refused("%.2:x", false, "Invalid format specifier ':'.");
    assert_refused("%.2:", true, "Incomplete format specifier.");
    assert_refused("%.2:z", true, "Invalid format specifier 'z'.");
    assert_refused("%99999999999t", false, "Format width too large.");
    assert_refused("%.99999999999t", false, "Format width too large.");
}

static void a_buffer_grows_and_starts_empty(void **state)
{
    struct noc_output_buffer buffer = {0};

    (void)state;
    assert_int_equal(noc_output_buffer_reserve(&buffer, 10), NOC_OK);
    assert_true(buffer.room >= 10);
    assert_int_equal(buffer.n, 0);
    buffer.n = 10;
    assert_int_equal(noc_output_buffer_reserve(&buffer, 100000), NOC_OK);
    assert_true(buffer.room - buffer.n >= 100000);
    assert_int_equal(noc_output_buffer_reserve(&buffer, SIZE_MAX - 5), NOC_ENOMEM);
    assert_int_equal(buffer.n, 10);
    noc_output_buffer_done(&buffer);
    assert_null(buffer.at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_prints_what_mosquitto_sub_prints),
        cmocka_unit_test(version_2_1_prints_floats),
        cmocka_unit_test(version_2_1_separates_hex_digits),
        cmocka_unit_test(version_2_1_has_another_json),
        cmocka_unit_test(a_message_without_properties_has_none),
        cmocka_unit_test(json_that_is_cut_anywhere_is_not_json),
        cmocka_unit_test(bad_formats_are_refused),
        cmocka_unit_test(a_buffer_grows_and_starts_empty),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
