/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The typed values of options: text to field, field to text, defaults. One
 * reader per type; none of them knows an option by name.
 *
 * Mosquitto's rules hold: true, false, 1 and 0 are the only booleans; numbers
 * are written as in C, base by prefix, and may not be followed by anything in
 * their word; what follows the word of a boolean or number is not looked at;
 * a string is the rest of the line.
 */
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/parser.h"
#include <noctule/error.h>

/* Of one scalar, whatever its type. */
union scalar {
    bool flag;
    int number;
    uint32_t u32;
    uint64_t size;
    int64_t seconds;
};

struct noc_slice noc_slice_trim(struct noc_slice text)
{
    while (text.n > 0 && isspace((unsigned char)text.at[0])) {
        text.at++;
        text.n--;
    }
    while (text.n > 0 && isspace((unsigned char)text.at[text.n - 1])) {
        text.n--;
    }
    return text;
}

struct noc_slice noc_slice_cut_word(struct noc_slice *rest)
{
    struct noc_slice word;
    size_t n = 0;

    while (rest->n > 0 && rest->at[0] == ' ') {
        rest->at++;
        rest->n--;
    }
    while (n < rest->n && rest->at[n] != ' ') {
        n++;
    }
    word = noc_slice(rest->at, n);
    rest->at += n;
    rest->n -= n;
    return word;
}

char *noc_slice_copy(struct noc_slice text)
{
    char *copy = malloc(text.n + 1);

    if (copy == NULL) {
        return NULL;
    }
    if (text.n > 0) {
        memcpy(copy, text.at, text.n);
    }
    copy[text.n] = '\0';
    return copy;
}

int noc_config_list_add(struct noc_config_list *list, struct noc_slice item)
{
    char **items = realloc(list->items, (list->count + 1) * sizeof(*items));

    if (items == NULL) {
        return NOC_ENOMEM;
    }
    list->items = items;
    items[list->count] = noc_slice_copy(item);
    if (items[list->count] == NULL) {
        return NOC_ENOMEM;
    }
    list->count++;
    return NOC_OK;
}

void noc_config_list_done(struct noc_config_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i]);
    }
    free(list->items);
    *list = (struct noc_config_list){0};
}

bool noc_number_read(struct noc_slice text, int64_t *ret_number)
{
    char digits[32];
    char *end;
    long long number;

    if (text.n == 0 || text.n >= sizeof(digits)) {
        return false;
    }
    memcpy(digits, text.at, text.n);
    digits[text.n] = '\0';
    if (isspace((unsigned char)digits[0])) {
        return false;
    }
    errno = 0;
    number = strtoll(digits, &end, 0);
    if (errno != 0 || end == digits || *end != '\0') {
        return false;
    }
    *ret_number = number;
    return true;
}

/* ---- readers ---- */

static int refuse(struct noc_value_problem *problem, const char *text)
{
    (void)snprintf(problem->text, sizeof(problem->text), "%s", text);
    return NOC_EINVAL;
}

static int read_bool(struct noc_slice value, bool *ret_flag, struct noc_value_problem *problem)
{
    struct noc_slice word = noc_slice_cut_word(&value);

    if (noc_slice_equal(word, noc_slice_of("true")) || noc_slice_equal(word, noc_slice_of("1"))) {
        *ret_flag = true;
        return NOC_OK;
    }
    if (noc_slice_equal(word, noc_slice_of("false")) || noc_slice_equal(word, noc_slice_of("0"))) {
        *ret_flag = false;
        return NOC_OK;
    }
    return refuse(problem, "Use true or false.");
}

static int read_number(const struct noc_option *option, struct noc_slice value, int64_t *ret_number,
    struct noc_value_problem *problem)
{
    int64_t number;

    if (!noc_number_read(noc_slice_cut_word(&value), &number)) {
        return refuse(problem, "It is not a number.");
    }
    if (number < option->min && (option->flags & NOC_OPTION_CLAMP) != 0) {
        number = option->min;
    }
    if (number < option->min || number > option->max) {
        (void)snprintf(problem->text, sizeof(problem->text),
            "It must be between %" PRId64 " and %" PRId64 ".", option->min, option->max);
        return NOC_EINVAL;
    }
    *ret_number = number;
    return NOC_OK;
}

static int read_word(const struct noc_option *option, struct noc_slice value, int *ret_number,
    struct noc_value_problem *problem)
{
    size_t n;

    for (const struct noc_option_word *word = option->words; word->word != NULL; word++) {
        if (noc_slice_equal(value, noc_slice_of(word->word))) {
            *ret_number = word->value;
            return NOC_OK;
        }
    }
    n = (size_t)snprintf(problem->text, sizeof(problem->text), "Use");
    for (const struct noc_option_word *word = option->words; word->word != NULL; word++) {
        const char *before = word == option->words ? " " : word[1].word == NULL ? " or " : ", ";

        n += (size_t)snprintf(
            problem->text + n, sizeof(problem->text) - n, "%s%s", before, word->word);
        assert(n + 1 < sizeof(problem->text));
    }
    (void)snprintf(problem->text + n, sizeof(problem->text) - n, ".");
    return NOC_EINVAL;
}

static int64_t unit_seconds(char unit)
{
    switch (unit) {
    case 's':
        return 1;
    case 'h':
        return 3600;
    case 'd':
        return 86400;
    case 'w':
        return 604800;
    case 'm':
        return 30 * (int64_t)86400;
    case 'y':
        return 365 * (int64_t)86400;
    default:
        return 0;
    }
}

static int read_duration(
    struct noc_slice value, int64_t *ret_seconds, struct noc_value_problem *problem)
{
    struct noc_slice word = noc_slice_cut_word(&value);
    int64_t unit = word.n == 0 ? 0 : unit_seconds(word.at[word.n - 1]);
    int64_t number;

    if (unit == 0 || !noc_number_read(noc_slice(word.at, word.n - 1), &number) || number <= 0 ||
        number > INT_MAX) {
        return refuse(problem, "Write a number and a unit: s, h, d, w, m or y, as in 14d.");
    }
    *ret_seconds = number * unit;
    return NOC_OK;
}

static int read_string(const struct noc_option *option, struct noc_slice value, char **field,
    struct noc_value_problem *problem)
{
    if (option->max > 0 && value.n > (uint64_t)option->max) {
        (void)snprintf(problem->text, sizeof(problem->text),
            "It may have %" PRId64 " bytes at most.", option->max);
        return NOC_EINVAL;
    }
    if (field == NULL) {
        return NOC_OK;
    }
    if (*field != NULL) {
        return NOC_EEXIST;
    }
    *field = noc_slice_copy(value);
    return *field == NULL ? NOC_ENOMEM : NOC_OK;
}

/* Read a value of any type but the strings'. */
static int read_scalar(const struct noc_option *option, struct noc_slice value,
    union scalar *ret_scalar, struct noc_value_problem *problem)
{
    union scalar scalar;
    int64_t number = 0;
    bool flag = false;
    int err;

    memset(&scalar, 0, sizeof(scalar));
    switch (option->type) {
    case NOC_OPTION_BOOL:
        err = read_bool(value, &scalar.flag, problem);
        break;
    case NOC_OPTION_TRISTATE:
        err = read_bool(value, &flag, problem);
        scalar.number = flag;
        break;
    case NOC_OPTION_INT:
        err = read_number(option, value, &number, problem);
        scalar.number = (int)number;
        break;
    case NOC_OPTION_U32:
        err = read_number(option, value, &number, problem);
        scalar.u32 = (uint32_t)number;
        break;
    case NOC_OPTION_SIZE:
        err = read_number(option, value, &number, problem);
        scalar.size = (uint64_t)number;
        break;
    case NOC_OPTION_WORD:
        err = read_word(option, value, &scalar.number, problem);
        break;
    case NOC_OPTION_DURATION:
        err = read_duration(value, &scalar.seconds, problem);
        break;
    case NOC_OPTION_STRING:
    case NOC_OPTION_PATH:
    case NOC_OPTION_LIST:
    case NOC_OPTION_CUSTOM:
    default:
        assert(false);
        return NOC_EINVAL;
    }
    if (err == NOC_OK) {
        *ret_scalar = scalar;
    }
    return err;
}

/* Bytes of a scalar's C type; 0 for strings, lists and what has no field. */
static size_t scalar_size(enum noc_option_type type)
{
    switch (type) {
    case NOC_OPTION_BOOL:
        return sizeof(bool);
    case NOC_OPTION_TRISTATE:
    case NOC_OPTION_INT:
    case NOC_OPTION_WORD:
        return sizeof(int);
    case NOC_OPTION_U32:
        return sizeof(uint32_t);
    case NOC_OPTION_SIZE:
    case NOC_OPTION_DURATION:
        return sizeof(uint64_t);
    case NOC_OPTION_STRING:
    case NOC_OPTION_PATH:
    case NOC_OPTION_LIST:
    case NOC_OPTION_CUSTOM:
    default:
        return 0;
    }
}

int noc_value_read(const struct noc_option *option, struct noc_slice value, void *field,
    struct noc_value_problem *problem)
{
    union scalar scalar;
    int err;

    if (option->type == NOC_OPTION_LIST) {
        return field == NULL ? NOC_OK : noc_config_list_add(field, value);
    }
    if (option->type == NOC_OPTION_STRING || option->type == NOC_OPTION_PATH) {
        return read_string(option, value, field, problem);
    }
    err = read_scalar(option, value, &scalar, problem);
    if (err == NOC_OK && field != NULL) {
        memcpy(field, &scalar, scalar_size(option->type));
    }
    return err;
}

void noc_value_default(const struct noc_option *option, void *field)
{
    struct noc_value_problem problem;
    union scalar scalar;
    int err;

    if (option->fallback == NULL || field == NULL || option->store != NULL ||
        scalar_size(option->type) == 0) {
        return;
    }
    err = read_scalar(option, noc_slice_of(option->fallback), &scalar, &problem);
    assert(err == NOC_OK);
    if (err == NOC_OK) {
        memcpy(field, &scalar, scalar_size(option->type));
    }
}

bool noc_value_equal(const struct noc_option *option, struct noc_slice a, struct noc_slice b)
{
    struct noc_value_problem problem;
    union scalar values[2];

    if (scalar_size(option->type) == 0) {
        return noc_slice_equal(a, b);
    }
    return read_scalar(option, a, &values[0], &problem) == NOC_OK &&
           read_scalar(option, b, &values[1], &problem) == NOC_OK &&
           memcmp(&values[0], &values[1], scalar_size(option->type)) == 0;
}

static bool strings_equal(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

bool noc_value_fields_equal(const struct noc_option *option, const void *a, const void *b)
{
    const struct noc_config_list *lists[2] = {a, b};

    if (a == NULL || b == NULL || option->type == NOC_OPTION_CUSTOM) {
        return true;
    }
    if (option->type == NOC_OPTION_STRING || option->type == NOC_OPTION_PATH) {
        return strings_equal(*(char *const *)a, *(char *const *)b);
    }
    if (option->type != NOC_OPTION_LIST) {
        return memcmp(a, b, scalar_size(option->type)) == 0;
    }
    if (lists[0]->count != lists[1]->count) {
        return false;
    }
    for (size_t i = 0; i < lists[0]->count; i++) {
        if (!strings_equal(lists[0]->items[i], lists[1]->items[i])) {
            return false;
        }
    }
    return true;
}

void noc_value_free(const struct noc_option *option, void *field)
{
    if (field == NULL) {
        return;
    }
    if (option->type == NOC_OPTION_STRING || option->type == NOC_OPTION_PATH) {
        char **string = field;

        free(*string);
        *string = NULL;
    } else if (option->type == NOC_OPTION_LIST) {
        noc_config_list_done(field);
    }
}

static void show_word(const struct noc_option *option, int value, struct noc_text *text)
{
    for (const struct noc_option_word *word = option->words; word->word != NULL; word++) {
        if (word->value == value) {
            noc_text_add(text, "%s", word->word);
            return;
        }
    }
    noc_text_add(text, "%s", option->fallback == NULL ? "(not set)" : option->fallback);
}

/* A number below the row's least stands for something else: its default, or nothing. */
static void show_number(const struct noc_option *option, int64_t number, struct noc_text *text)
{
    if (number < option->min) {
        noc_text_add(text, "%s", option->fallback == NULL ? "(not set)" : option->fallback);
    } else {
        noc_text_add(text, "%" PRId64, number);
    }
}

void noc_value_show(const struct noc_option *option, const void *field, struct noc_text *text)
{
    union scalar scalar;

    memset(&scalar, 0, sizeof(scalar));
    memcpy(&scalar, field, scalar_size(option->type));
    switch (option->type) {
    case NOC_OPTION_BOOL:
        noc_text_add(text, "%s", scalar.flag ? "true" : "false");
        break;
    case NOC_OPTION_TRISTATE:
        noc_text_add(text, "%s",
            scalar.number < 0 ? "(not set)"
            : scalar.number   ? "true"
                              : "false");
        break;
    case NOC_OPTION_INT:
        show_number(option, scalar.number, text);
        break;
    case NOC_OPTION_U32:
        show_number(option, scalar.u32, text);
        break;
    case NOC_OPTION_SIZE:
        noc_text_add(text, "%" PRIu64, scalar.size);
        break;
    case NOC_OPTION_DURATION:
        noc_text_add(text, "%" PRId64 "s", scalar.seconds);
        break;
    case NOC_OPTION_WORD:
        show_word(option, scalar.number, text);
        break;
    case NOC_OPTION_STRING:
    case NOC_OPTION_PATH: {
        const char *string = *(char *const *)field;

        noc_text_add(text, "%s", string == NULL ? "(not set)" : string);
        break;
    }
    case NOC_OPTION_LIST: {
        const struct noc_config_list *list = field;

        for (size_t i = 0; i < list->count; i++) {
            noc_text_add(text, "%s%s", i == 0 ? "" : " ", list->items[i]);
        }
        noc_text_add(text, "%s", list->count == 0 ? "(not set)" : "");
        break;
    }
    case NOC_OPTION_CUSTOM:
    default:
        break;
    }
}
