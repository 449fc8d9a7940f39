/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages as bytes for standard output: item by item, where there is a format.
 * The cost of a plain message is one check of the room, and two copies.
 */
#define _GNU_SOURCE
#include "cli/output_item.h"
#include "cli/output_json.h"
#include <noctule/error.h>

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BUFFER_MIN_BYTES = 4096,
    TIME_TEXT_SIZE = 100,
    NUMBER_SIZE = 16,
    FLOAT_MAX_CHARS = 512, /* the digits of a double before the point, and some */
    DEFAULT_PRECISION = 6,
};

/* ---- the buffer ---- */

void noc_output_buffer_done(struct noc_output_buffer *buffer)
{
    free(buffer->at);
    *buffer = (struct noc_output_buffer){0};
}

int noc_output_buffer_reserve(struct noc_output_buffer *buffer, size_t n)
{
    size_t room = buffer->room < BUFFER_MIN_BYTES ? BUFFER_MIN_BYTES : buffer->room;
    char *more;

    if (NOC_LIKELY(buffer->room - buffer->n >= n)) {
        return NOC_OK;
    }
    if (n > SIZE_MAX / 2 - buffer->n) {
        return NOC_ENOMEM;
    }
    while (room < buffer->n + n) {
        room *= 2;
    }
    more = realloc(buffer->at, room);
    if (more == NULL) {
        return NOC_ENOMEM;
    }
    buffer->at = more;
    buffer->room = room;
    return NOC_OK;
}

static int put(struct noc_output_buffer *buffer, const char *at, size_t n)
{
    if (noc_output_buffer_reserve(buffer, n) < 0) {
        return NOC_ENOMEM;
    }
    if (n > 0) {
        memcpy(buffer->at + buffer->n, at, n);
        buffer->n += n;
    }
    return NOC_OK;
}

static int put_pad(struct noc_output_buffer *buffer, char pad, long n)
{
    if (n <= 0) {
        return NOC_OK;
    }
    if (noc_output_buffer_reserve(buffer, (size_t)n) < 0) {
        return NOC_ENOMEM;
    }
    memset(buffer->at + buffer->n, pad, (size_t)n);
    buffer->n += (size_t)n;
    return NOC_OK;
}

/* ---- printing an item ---- */

/* One message on its way out. */
struct printer {
    struct noc_output_format *format;
    const struct noc_output_message *message;
    struct noc_output_buffer *buffer;
    enum noc_output_fault fault; /* if has_fault */
    bool has_fault;
};

static bool has(const struct printer *printer, enum noc_property id)
{
    return printer->message->props != NULL && noc_props_has(printer->message->props, id);
}

/* As printf() does %s. */
static int put_text(
    struct printer *printer, const struct noc_output_item *item, struct noc_slice text)
{
    size_t n =
        item->precision >= 0 && (size_t)item->precision < text.n ? (size_t)item->precision : text.n;
    long pad = (long)item->width - (long)n;

    if ((!item->is_left && put_pad(printer->buffer, ' ', pad) < 0) ||
        put(printer->buffer, text.at, n) < 0) {
        return NOC_ENOMEM;
    }
    return item->is_left ? put_pad(printer->buffer, ' ', pad) : NOC_OK;
}

/* As printf() does %d. */
static int put_int(struct printer *printer, const struct noc_output_item *item, int value)
{
    char text[NUMBER_SIZE];
    int n = snprintf(text, sizeof(text), "%d", value);
    bool is_zeroed = item->pad == '0' && !item->is_left;
    int sign = is_zeroed && value < 0 ? 1 : 0;
    struct noc_output_item digits = *item;

    if (!is_zeroed) {
        digits.precision = -1;
        return put_text(printer, &digits, noc_slice(text, (size_t)n));
    }
    if (put(printer->buffer, text, (size_t)sign) < 0 ||
        put_pad(printer->buffer, '0', (long)item->width - n) < 0) {
        return NOC_ENOMEM;
    }
    return put(printer->buffer, text + sign, (size_t)(n - sign));
}

/* A number of a property, or blanks. */
static int put_property(struct printer *printer, const struct noc_output_item *item,
    enum noc_property id, uint32_t value)
{
    return has(printer, id) ? put_int(printer, item, (int)value)
                            : put_pad(printer->buffer, item->pad, item->width);
}

static int put_user_properties(struct printer *printer)
{
    struct noc_slice rest = printer->message->props->raw;
    struct noc_prop prop;
    bool is_first = true;

    while (noc_props_next(&rest, &prop)) {
        if (prop.id != NOC_PROP_USER) {
            continue;
        }
        if ((!is_first && put(printer->buffer, " ", 1) < 0) ||
            put(printer->buffer, prop.name.at, prop.name.n) < 0 ||
            put(printer->buffer, ":", 1) < 0 ||
            put(printer->buffer, prop.value.at, prop.value.n) < 0) {
            return NOC_ENOMEM;
        }
        is_first = false;
    }
    return NOC_OK;
}

/* ---- the payload ---- */

/* Blanks on one side. On the right they are blanks always, and as many as a minus says, too. */
static int put_payload(struct printer *printer, const struct noc_output_item *item)
{
    struct noc_slice payload = printer->message->payload;
    long width = item->width;
    long pad;

    if (width > 0 && payload.n > (size_t)width) {
        payload.n = (size_t)width;
    }
    pad = width - (long)payload.n;
    if ((!item->is_left && put_pad(printer->buffer, item->pad, pad) < 0) ||
        put(printer->buffer, payload.at, payload.n) < 0) {
        return NOC_ENOMEM;
    }
    return item->is_left ? put_pad(printer->buffer, ' ', pad < 0 ? -pad : pad) : NOC_OK;
}

/* A digit, and after every so many (blanks before them count) the separator. */
static char *put_digit(char *at, const struct noc_output_item *item, char digit, long position)
{
    *at++ = digit;
    if (item->precision > 0 && position % item->precision == item->precision - 1) {
        *at++ = item->separator == '\0' ? ' ' : item->separator;
    }
    return at;
}

/* The end of the last digit has a separator only in the middle of a byte. */
static int put_hex_digits(struct printer *printer, const struct noc_output_item *item,
    struct noc_slice payload, long position)
{
    const char *digits = item->code == 'x' ? "0123456789abcdef" : "0123456789ABCDEF";
    struct noc_output_item plain = *item;
    char *at;

    plain.precision = 0;
    if (payload.n == 0) {
        return NOC_OK;
    }
    if (payload.n > SIZE_MAX / 4 || noc_output_buffer_reserve(printer->buffer, payload.n * 4) < 0) {
        return NOC_ENOMEM;
    }
    at = printer->buffer->at + printer->buffer->n;
    for (size_t i = 0; i < payload.n; i++, position += 2) {
        uint8_t byte = (uint8_t)payload.at[i];

        at = put_digit(at, item, digits[byte >> 4], position);
        at = put_digit(at, i + 1 < payload.n ? item : &plain, digits[byte & 15], position + 1);
    }
    printer->buffer->n = (size_t)(at - printer->buffer->at);
    return NOC_OK;
}

/* Blanks before the digits have separators as well. */
static int put_hex_pad(struct printer *printer, const struct noc_output_item *item, long pad)
{
    char *at;

    if (pad <= 0) {
        return NOC_OK;
    }
    if (noc_output_buffer_reserve(printer->buffer, (size_t)pad * 2) < 0) {
        return NOC_ENOMEM;
    }
    at = printer->buffer->at + printer->buffer->n;
    for (long i = 0; i < pad; i++) {
        at = put_digit(at, item, item->pad, i);
    }
    printer->buffer->n = (size_t)(at - printer->buffer->at);
    return NOC_OK;
}

/* 2.0 cuts the payload to half the width in bytes, and has no separators; 2.1 to the width. */
static int put_hex(struct printer *printer, const struct noc_output_item *item)
{
    const bool is_2_1 = printer->format->is_compat_2_1;
    struct noc_slice payload = printer->message->payload;
    struct noc_output_item plain = *item;
    long width = item->width;
    long pad;

    if (width > 0 && payload.n > (size_t)width) {
        payload.n = (size_t)width;
    }
    if (width > 0 && !is_2_1) {
        payload.n /= 2;
    }
    pad = width - (long)payload.n * (width > 0 ? 2 : 1);
    if (!is_2_1) {
        plain.precision = 0;
    }
    if ((!item->is_left && put_hex_pad(printer, &plain, pad) < 0) ||
        put_hex_digits(printer, &plain, payload, item->is_left || pad < 0 ? 0 : pad) < 0) {
        return NOC_ENOMEM;
    }
    return item->is_left ? put_pad(printer->buffer, ' ', pad < 0 ? -pad : pad) : NOC_OK;
}

/* %f and %d: the payload's bytes are the number's, in this machine's order. */
static int put_float(struct printer *printer, const struct noc_output_item *item)
{
    const struct noc_slice payload = printer->message->payload;
    const bool is_float = item->code == 'f';
    int precision = item->precision < 0 ? DEFAULT_PRECISION : item->precision;
    size_t room = FLOAT_MAX_CHARS + (size_t)item->width + (size_t)precision;
    struct noc_output_buffer *buffer = printer->buffer;
    float single;
    double value;
    int width = item->is_left ? -item->width : item->width;

    if (payload.n != (is_float ? sizeof(single) : sizeof(value))) {
        printer->has_fault = true;
        printer->fault = is_float ? NOC_OUTPUT_NO_FLOAT : NOC_OUTPUT_NO_DOUBLE;
        return NOC_OK;
    }
    if (is_float) {
        memcpy(&single, payload.at, sizeof(single));
        value = (double)single;
    } else {
        memcpy(&value, payload.at, sizeof(value));
    }
    if (noc_output_buffer_reserve(buffer, room) < 0) {
        return NOC_ENOMEM;
    }
    if (item->pad == '0' && !item->is_left) {
        buffer->n +=
            (size_t)snprintf(buffer->at + buffer->n, room, "%0*.*f", width, precision, value);
    } else {
        buffer->n +=
            (size_t)snprintf(buffer->at + buffer->n, room, "%*.*f", width, precision, value);
    }
    return NOC_OK;
}

/* ---- the time ---- */

/* Local time of the message's second. */
static const struct tm *break_down(struct printer *printer)
{
    struct noc_output_format *format = printer->format;
    time_t second = printer->message->time.tv_sec;

    if (!format->is_broken_down || format->broken_down_time != second) {
        format->is_broken_down = true;
        format->broken_down_time = second;
        if (localtime_r(&second, &format->broken_down) == NULL) {
            format->broken_down = (struct tm){0};
        }
        if (strftime(format->iso, sizeof(format->iso), "%FT%T%z", &format->broken_down) == 0) {
            format->iso[0] = '\0';
        }
    }
    return &format->broken_down;
}

static int put_iso(struct printer *printer, const struct noc_output_item *item)
{
    (void)break_down(printer);
    return put_text(printer, item, noc_slice_of(printer->format->iso));
}

static int put_unix_time(struct printer *printer)
{
    char text[TIME_TEXT_SIZE];
    int n = snprintf(text, sizeof(text), "%lld.%09ld", (long long)printer->message->time.tv_sec,
        printer->message->time.tv_nsec);

    return put(printer->buffer, text, (size_t)n);
}

static int put_time(struct printer *printer, const struct noc_output_item *item)
{
    const char conversion[] = {'%', item->letter, '\0'};
    char text[TIME_TEXT_SIZE];
    size_t n;

    if (item->letter == 'N') {
        n = (size_t)snprintf(text, sizeof(text), "%09ld", printer->message->time.tv_nsec);
        return put(printer->buffer, text, n);
    }
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    n = strftime(text, sizeof(text), conversion, break_down(printer));
#pragma GCC diagnostic pop
    return put(printer->buffer, text, n);
}

/* ---- JSON ---- */

static int put_member_text(struct noc_json_out *out, const char *name, struct noc_slice value)
{
    return noc_json_next_member(out, noc_slice_of(name)) < 0 ? NOC_ENOMEM
                                                             : noc_json_put_text(out, value);
}

static int put_member_number(struct noc_json_out *out, const char *name, uint32_t value)
{
    char text[NUMBER_SIZE];

    (void)snprintf(text, sizeof(text), "%lu", (unsigned long)value);
    return noc_json_next_member(out, noc_slice_of(name)) < 0 ? NOC_ENOMEM
                                                             : noc_json_put_word(out, text);
}

/* 2.0: 2026-11-29T16:19:23.123456Z+0100, where the Z has no business; 2.1 has none. */
static int put_member_time(struct printer *printer, struct noc_json_out *out)
{
    enum { UP_TO_SECONDS = 19 }; /* 2026-11-29T16:19:23 */
    const char *iso = printer->format->iso;
    char text[TIME_TEXT_SIZE];
    size_t seconds;

    (void)break_down(printer);
    seconds = strlen(iso) < UP_TO_SECONDS ? strlen(iso) : UP_TO_SECONDS;
    (void)snprintf(text, sizeof(text), "%.*s.%06ld%s%s", (int)seconds, iso,
        printer->message->time.tv_nsec / 1000, printer->format->is_compat_2_1 ? "" : "Z",
        iso + seconds);
    return put_member_text(out, "tst", noc_slice_of(text));
}

static const char *property_name(uint8_t id)
{
    switch (id) {
    case NOC_PROP_PAYLOAD_FORMAT:
        return "payload-format-indicator";
    case NOC_PROP_MESSAGE_EXPIRY:
        return "message-expiry-interval";
    case NOC_PROP_CONTENT_TYPE:
        return "content-type";
    case NOC_PROP_RESPONSE_TOPIC:
        return "response-topic";
    case NOC_PROP_CORRELATION_DATA:
        return "correlation-data";
    case NOC_PROP_SUBSCRIPTION_ID:
        return "subscription-identifier";
    case NOC_PROP_TOPIC_ALIAS:
        return "topic-alias";
    default:
        return NULL;
    }
}

/* All of them, where the first one stands: an object in 2.0, in 2.1 an array of objects. */
static int put_json_user_properties(struct printer *printer, struct noc_json_out *out)
{
    const bool is_2_1 = printer->format->is_compat_2_1;
    struct noc_slice rest = printer->message->props->raw;
    struct noc_prop prop;
    int err = noc_json_next_member(out, noc_slice_of("user-properties"));

    if (err == NOC_OK) {
        err = noc_json_open(out, is_2_1 ? '[' : '{');
    }
    while (err == NOC_OK && noc_props_next(&rest, &prop)) {
        if (prop.id != NOC_PROP_USER) {
            continue;
        }
        if (is_2_1 && (noc_json_next_element(out) < 0 || noc_json_open(out, '{') < 0)) {
            return NOC_ENOMEM;
        }
        if (noc_json_next_member(out, prop.name) < 0 || noc_json_put_text(out, prop.value) < 0 ||
            (is_2_1 && noc_json_close(out, '}') < 0)) {
            return NOC_ENOMEM;
        }
    }
    return err < 0 ? err : noc_json_close(out, is_2_1 ? ']' : '}');
}

static int put_json_property(
    struct printer *printer, struct noc_json_out *out, const struct noc_prop *prop, bool *has_user)
{
    const char *name = property_name(prop->id);

    if (prop->id == NOC_PROP_USER && !*has_user) {
        *has_user = true;
        return put_json_user_properties(printer, out);
    }
    if (name == NULL) {
        return NOC_OK;
    }
    return prop->value.at == NULL ? put_member_number(out, name, prop->number)
                                  : put_member_text(out, name, prop->value);
}

static int put_json_properties(struct printer *printer, struct noc_json_out *out)
{
    struct noc_slice rest =
        printer->message->props == NULL ? noc_slice(NULL, 0) : printer->message->props->raw;
    struct noc_prop prop;
    bool has_user = false;
    int err;

    if (rest.n == 0) {
        return NOC_OK;
    }
    err = noc_json_next_member(out, noc_slice_of("properties"));
    if (err == NOC_OK) {
        err = noc_json_open(out, '{');
    }
    while (err == NOC_OK && noc_props_next(&rest, &prop)) {
        err = put_json_property(printer, out, &prop, &has_user);
    }
    return err < 0 ? err : noc_json_close(out, '}');
}

static int put_json_head(struct printer *printer, struct noc_json_out *out)
{
    const struct noc_output_message *message = printer->message;
    const char *retain = message->is_retained ? "1" : "0";

    if (printer->format->is_compat_2_1) {
        retain = message->is_retained ? "true" : "false";
    }
    if (noc_json_open(out, '{') < 0 || put_member_time(printer, out) < 0 ||
        put_member_text(out, "topic", message->topic) < 0 ||
        put_member_number(out, "qos", message->qos) < 0 ||
        noc_json_next_member(out, noc_slice_of("retain")) < 0 ||
        noc_json_put_word(out, retain) < 0 ||
        put_member_number(out, "payloadlen", (uint32_t)message->payload.n) < 0 ||
        (message->qos > 0 && put_member_number(out, "mid", message->mid) < 0)) {
        return NOC_ENOMEM;
    }
    return put_json_properties(printer, out);
}

static int put_json_payload(struct printer *printer, struct noc_json_out *out, bool is_parsed)
{
    struct noc_slice payload = printer->message->payload;

    if (noc_json_next_member(out, noc_slice_of("payload")) < 0) {
        return NOC_ENOMEM;
    }
    if (payload.n == 0) {
        return noc_json_put_word(out, "null");
    }
    return is_parsed ? noc_json_reprint(out, payload) : noc_json_put_text(out, payload);
}

static int put_json(struct printer *printer, bool is_parsed)
{
    struct noc_json_out out = {.buffer = printer->buffer, .is_pretty = printer->format->is_pretty};
    size_t before = printer->buffer->n;
    int err = put_json_head(printer, &out);

    if (err == NOC_OK) {
        err = put_json_payload(printer, &out, is_parsed);
    }
    if (err == NOC_EMALFORMED) {
        printer->buffer->n = before;
        printer->has_fault = true;
        printer->fault = NOC_OUTPUT_NO_JSON;
        return NOC_OK;
    }
    return err < 0 ? err : noc_json_close(&out, '}');
}

/* ---- a message ---- */

static int put_item(struct printer *printer, const struct noc_output_item *item)
{
    static const struct noc_props none;
    const struct noc_output_message *message = printer->message;
    const struct noc_props *props = message->props == NULL ? &none : message->props;
    char digit;

    switch (item->code) {
    case NOC_ITEM_TEXT:
        return put(printer->buffer, item->text.at, item->text.n);
    case NOC_ITEM_TIME:
        return put_time(printer, item);
    case '%':
        return put(printer->buffer, "%", 1);
    case 'A':
        return put_property(printer, item, NOC_PROP_TOPIC_ALIAS, props->topic_alias);
    case 'C':
        return has(printer, NOC_PROP_CONTENT_TYPE)
                   ? put_text(printer, item, props->content_type)
                   : put_pad(printer->buffer, printer->format->is_compat_2_1 ? item->pad : ' ',
                         item->width);
    case 'D':
        return put(printer->buffer, props->correlation_data.at, props->correlation_data.n);
    case 'E':
        return put_property(printer, item, NOC_PROP_MESSAGE_EXPIRY, props->message_expiry_s);
    case 'F':
        return put_property(printer, item, NOC_PROP_PAYLOAD_FORMAT, props->payload_format);
    case 'I':
        return put_iso(printer, item);
    case 'j':
    case 'J':
        return put_json(printer, item->code == 'J');
    case 'l':
        return put_int(printer, item, (int)message->payload.n);
    case 'm':
        return put_int(printer, item, message->mid);
    case 'P':
        return has(printer, NOC_PROP_USER) ? put_user_properties(printer) : NOC_OK;
    case 'p':
        return put_payload(printer, item);
    case 'q':
        digit = (char)('0' + message->qos);
        return put(printer->buffer, &digit, 1);
    case 'R':
        return has(printer, NOC_PROP_RESPONSE_TOPIC)
                   ? put_text(printer, item, props->response_topic)
                   : NOC_OK;
    case 'r':
        return put(printer->buffer, message->is_retained ? "1" : "0", 1);
    case 'S':
        return put_property(printer, item, NOC_PROP_SUBSCRIPTION_ID, props->subscription_id);
    case 't':
        return put_text(printer, item, message->topic);
    case 'U':
        return put_unix_time(printer);
    case 'x':
    case 'X':
        return put_hex(printer, item);
    default: /* f, d */
        return put_float(printer, item);
    }
}

/* Without -F. An empty payload is nothing, and with -v "(null)". */
static int put_plain(const struct noc_output_format *format,
    const struct noc_output_message *message, struct noc_output_buffer *buffer)
{
    static const char null[] = "(null)";
    struct noc_slice payload = message->payload;
    char *at;

    if (payload.n == 0) {
        if (!format->is_verbose || format->no_newline) {
            return NOC_OK;
        }
        payload = noc_slice(null, sizeof(null) - 1);
    }
    if (noc_output_buffer_reserve(buffer, message->topic.n + payload.n + 2) < 0) {
        return NOC_ENOMEM;
    }
    at = buffer->at + buffer->n;
    if (format->is_verbose) {
        memcpy(at, message->topic.at, message->topic.n);
        at += message->topic.n;
        *at++ = ' ';
    }
    memcpy(at, payload.at, payload.n);
    at += payload.n;
    if (!format->no_newline) {
        *at++ = '\n';
    }
    buffer->n = (size_t)(at - buffer->at);
    return NOC_OK;
}

const char *noc_output_fault_text(enum noc_output_fault fault)
{
    switch (fault) {
    case NOC_OUTPUT_NO_JSON:
        return "Message payload is not valid JSON";
    case NOC_OUTPUT_NO_FLOAT:
        return "Message payload is not a float of four bytes";
    case NOC_OUTPUT_NO_DOUBLE:
        return "Message payload is not a double of eight bytes";
    }
    return "";
}

int noc_output_format_append(struct noc_output_format *format,
    const struct noc_output_message *message, struct noc_output_buffer *buffer,
    enum noc_output_fault *ret_fault)
{
    struct printer printer = {.format = format, .message = message, .buffer = buffer};
    size_t before = buffer->n;

    if (format->items == NULL) {
        return put_plain(format, message, buffer);
    }
    for (size_t i = 0; i < format->item_count; i++) {
        if (put_item(&printer, &format->items[i]) < 0) {
            buffer->n = before;
            return NOC_ENOMEM;
        }
    }
    if (printer.has_fault) {
        *ret_fault = printer.fault;
        return NOC_EMALFORMED;
    }
    return NOC_OK;
}
