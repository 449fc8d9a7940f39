/* SPDX-License-Identifier: Apache-2.0 */
/*
 * -D: properties from words to the wire form of their packet's block.
 *
 * What is refused is what Mosquitto's tools refuse, with its words; a value that
 * only the broker would object to (a payload format of 2, say) goes out, so
 * that the tools can show what a broker does with it.
 */
#include "cli/client_parser.h"
#include <noctule/error.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { TEXT_MAX_BYTES = 65535, VARINT_MAX = 268435455 };

/* Mosquitto's numbers of them, which one message shows. */
enum kind { KIND_BYTE = 1, KIND_U16, KIND_U32, KIND_VARINT, KIND_BINARY, KIND_TEXT, KIND_PAIR };

/* The first ones are in the order of enum noc_client_props. */
enum command {
    CONNECT,
    PUBLISH,
    SUBSCRIBE,
    UNSUBSCRIBE,
    DISCONNECT,
    WILL,
    CONNACK,
    PUBACK,
    PUBREC,
    PUBREL,
    PUBCOMP,
    AUTH,
};

static const char *const commands[] = {
    [CONNECT] = "connect",
    [PUBLISH] = "publish",
    [SUBSCRIBE] = "subscribe",
    [UNSUBSCRIBE] = "unsubscribe",
    [DISCONNECT] = "disconnect",
    [WILL] = "will",
    [CONNACK] = "connack",
    [PUBACK] = "puback",
    [PUBREC] = "pubrec",
    [PUBREL] = "pubrel",
    [PUBCOMP] = "pubcomp",
    [AUTH] = "auth",
};

#define IN(command) (1u << (command))
#define IN_MESSAGE  (IN(PUBLISH) | IN(WILL))
#define IN_CONN     (IN(CONNECT) | IN(CONNACK))
#define IN_ACKS     (IN(PUBACK) | IN(PUBREC) | IN(PUBREL) | IN(PUBCOMP))

struct property {
    const char *name;
    uint8_t id, kind;
    uint16_t in; /* enum command, a bit each */
};

static const struct property properties[] = {
    {"payload-format-indicator", NOC_PROP_PAYLOAD_FORMAT, KIND_BYTE, IN_MESSAGE},
    {"message-expiry-interval", NOC_PROP_MESSAGE_EXPIRY, KIND_U32, IN_MESSAGE},
    {"content-type", NOC_PROP_CONTENT_TYPE, KIND_TEXT, IN_MESSAGE},
    {"response-topic", NOC_PROP_RESPONSE_TOPIC, KIND_TEXT, IN_MESSAGE},
    {"correlation-data", NOC_PROP_CORRELATION_DATA, KIND_BINARY, IN_MESSAGE},
    {"subscription-identifier", NOC_PROP_SUBSCRIPTION_ID, KIND_VARINT, IN(PUBLISH) | IN(SUBSCRIBE)},
    {"session-expiry-interval", NOC_PROP_SESSION_EXPIRY, KIND_U32, IN_CONN | IN(DISCONNECT)},
    {"assigned-client-identifier", NOC_PROP_ASSIGNED_CLIENT_ID, KIND_TEXT, IN(CONNACK)},
    {"server-keep-alive", NOC_PROP_SERVER_KEEP_ALIVE, KIND_U16, IN(CONNACK)},
    {"authentication-method", NOC_PROP_AUTH_METHOD, KIND_TEXT, IN_CONN | IN(AUTH)},
    {"authentication-data", NOC_PROP_AUTH_DATA, KIND_BINARY, IN_CONN | IN(AUTH)},
    {"request-problem-information", NOC_PROP_REQUEST_PROBLEM_INFO, KIND_BYTE, IN(CONNECT)},
    {"will-delay-interval", NOC_PROP_WILL_DELAY, KIND_U32, IN(WILL)},
    {"request-response-information", NOC_PROP_REQUEST_RESPONSE_INFO, KIND_BYTE, IN(CONNECT)},
    {"response-information", NOC_PROP_RESPONSE_INFO, KIND_TEXT, IN(CONNACK)},
    {"server-reference", NOC_PROP_SERVER_REFERENCE, KIND_TEXT, IN(CONNACK) | IN(DISCONNECT)},
    {"reason-string", NOC_PROP_REASON_STRING, KIND_TEXT,
        IN(CONNACK) | IN_ACKS | IN(DISCONNECT) | IN(AUTH)},
    {"receive-maximum", NOC_PROP_RECEIVE_MAXIMUM, KIND_U16, IN_CONN},
    {"topic-alias-maximum", NOC_PROP_TOPIC_ALIAS_MAXIMUM, KIND_U16, IN_CONN},
    {"topic-alias", NOC_PROP_TOPIC_ALIAS, KIND_U16, IN(PUBLISH)},
    {"maximum-qos", NOC_PROP_MAXIMUM_QOS, KIND_BYTE, IN(CONNACK)},
    {"retain-available", NOC_PROP_RETAIN_AVAILABLE, KIND_BYTE, IN(CONNACK)},
    {"user-property", NOC_PROP_USER, KIND_PAIR, UINT16_MAX},
    {"maximum-packet-size", NOC_PROP_MAXIMUM_PACKET_SIZE, KIND_U32, IN_CONN},
    {"wildcard-subscription-available", NOC_PROP_WILDCARD_AVAILABLE, KIND_BYTE, IN(CONNACK)},
    {"subscription-identifier-available", NOC_PROP_SUBSCRIPTION_IDS_AVAILABLE, KIND_BYTE,
        IN(CONNACK)},
    {"shared-subscription-available", NOC_PROP_SHARED_AVAILABLE, KIND_BYTE, IN(CONNACK)},
};

static const struct property *find_property(const char *name)
{
    for (size_t i = 0; i < NOC_COUNT(properties); i++) {
        if (strcasecmp(properties[i].name, name) == 0) {
            return &properties[i];
        }
    }
    return NULL;
}

/* enum command, or -1. */
static int find_command(const char *name)
{
    for (size_t i = 0; i < NOC_COUNT(commands); i++) {
        if (strcasecmp(commands[i], name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

/* Whether -D takes it for that command: some that the standard allows are not for a client to send. */
static bool is_supported(const struct property *property, enum command command)
{
    return command < (enum command)NOC_CLIENT_PROPS_COUNT &&
           !(command == PUBLISH && property->id == NOC_PROP_SUBSCRIPTION_ID);
}

const char *noc_client_property_name(enum noc_client_props where, size_t index)
{
    const enum command command = (enum command)where;

    for (size_t i = 0; i < NOC_COUNT(properties); i++) {
        if ((properties[i].in & IN(command)) != 0 && is_supported(&properties[i], command) &&
            index-- == 0) {
            return properties[i].name;
        }
    }
    return NULL;
}

const char *noc_client_packet_name(enum noc_client_props where)
{
    return commands[where];
}

/* ---- to the wire ---- */

/* Room for more bytes at the end of a block; NULL if there is no memory. */
static uint8_t *begin(struct noc_output_buffer *block, size_t n)
{
    return noc_output_buffer_reserve(block, n) < 0 ? NULL : (uint8_t *)block->at + block->n;
}

static int end(struct noc_output_buffer *block, const uint8_t *at)
{
    block->n = (size_t)(at - (const uint8_t *)block->at);
    return NOC_OK;
}

static int put_number(
    struct noc_output_buffer *block, const struct property *property, uint32_t value)
{
    const enum noc_property id = (enum noc_property)property->id;
    uint8_t *at = begin(block, 8);

    if (at == NULL) {
        return NOC_ENOMEM;
    }
    switch ((enum kind)property->kind) {
    case KIND_BYTE:
        return end(block, noc_prop_put_u8(at, id, (uint8_t)value));
    case KIND_U16:
        return end(block, noc_prop_put_u16(at, id, (uint16_t)value));
    case KIND_U32:
        return end(block, noc_prop_put_u32(at, id, value));
    case KIND_VARINT:
        return end(block, noc_prop_put_varint(at, id, value));
    case KIND_BINARY:
    case KIND_TEXT:
    case KIND_PAIR:
        break;
    }
    return NOC_EINVAL;
}

static int put_text(
    struct noc_output_buffer *block, const struct property *property, const char *text)
{
    const struct noc_slice slice = noc_slice_of(text);
    uint8_t *at = begin(block, slice.n + 3);

    if (at == NULL) {
        return NOC_ENOMEM;
    }
    return end(block, noc_prop_put_slice(at, (enum noc_property)property->id, slice));
}

static int put_pair(struct noc_output_buffer *block, const char *name, const char *value)
{
    uint8_t *at = begin(block, strlen(name) + strlen(value) + 5);

    if (at == NULL) {
        return NOC_ENOMEM;
    }
    return end(block, noc_prop_put_user(at, noc_slice_of(name), noc_slice_of(value)));
}

static const struct property *property_of_id(uint8_t id)
{
    for (size_t i = 0; i < NOC_COUNT(properties); i++) {
        if (properties[i].id == id) {
            return &properties[i];
        }
    }
    return NULL;
}

int noc_client_put_number_property(
    struct noc_client_parser *parser, enum noc_client_props where, uint8_t id, uint32_t value)
{
    return put_number(&parser->props[where], property_of_id(id), value);
}

int noc_client_put_text_property(
    struct noc_client_parser *parser, enum noc_client_props where, uint8_t id, const char *text)
{
    return put_text(&parser->props[where], property_of_id(id), text);
}

/* ---- from words ---- */

static uint32_t number_max(enum kind kind)
{
    return kind == KIND_BYTE ? UINT8_MAX : kind == KIND_U16 ? UINT16_MAX : UINT32_MAX;
}

static int fail_adding(const struct property *property)
{
    return noc_client_fail("Error adding property %s %d\n", property->name, (int)property->kind);
}

static int add_number(struct noc_client_parser *parser, struct noc_output_buffer *block,
    const struct property *property, const char *name, const char *word)
{
    bool is_strict = parser->settings.is_compat_2_1 && property->kind >= KIND_U32;
    char *after;
    long long value = strtoll(word, &after, is_strict ? 0 : 10);

    if (is_strict && (after == word || *after != '\0')) {
        return noc_client_fail("Error: Property value '%s' not a number.\n\n", word);
    }
    if (value < 0 || value > number_max((enum kind)property->kind)) {
        return noc_client_fail(
            "Error: Property value (%lld) out of range for property %s.\n\n", value, name);
    }
    if (property->kind == KIND_VARINT && value > VARINT_MAX) {
        return fail_adding(property);
    }
    return put_number(block, property, (uint32_t)value);
}

static bool is_text(const char *text)
{
    return strlen(text) <= TEXT_MAX_BYTES && noc_client_text_is_valid(text);
}

/* values[0], and of a user property values[1]. */
static int add_value(struct noc_client_parser *parser, struct noc_output_buffer *block,
    const struct property *property, const char *name, char **values)
{
    switch ((enum kind)property->kind) {
    case KIND_PAIR:
        return is_text(values[0]) && is_text(values[1]) ? put_pair(block, values[0], values[1])
                                                        : fail_adding(property);
    case KIND_TEXT:
        return is_text(values[0]) ? put_text(block, property, values[0]) : fail_adding(property);
    case KIND_BINARY:
        if (strlen(values[0]) > TEXT_MAX_BYTES) {
            return noc_client_fail("Error: Property value too long for property %s.\n\n", name);
        }
        return put_text(block, property, values[0]);
    case KIND_BYTE:
    case KIND_U16:
    case KIND_U32:
    case KIND_VARINT:
        break;
    }
    return add_number(parser, block, property, name, values[0]);
}

int noc_client_count_property_words(int word_count, char **words)
{
    int n = word_count >= 2 && strcasecmp(words[1], "user-property") == 0 ? 4 : 3;

    return n < word_count ? n : word_count;
}

static int fail_too_few(void)
{
    return noc_client_fail(
        "Error: --property argument given but not enough arguments specified.\n\n");
}

static int fail_unknown(const struct noc_client_parser *parser, const char *what, const char *which)
{
    bool shows_it = parser->settings.is_compat_2_1;

    return noc_client_fail("Error: Invalid %s%s%s given in --property argument.\n%s", what,
        shows_it ? " " : "", shows_it ? which : "", parser->settings.is_mosquitto ? "\n" : "");
}

/* Under our own name: what there is in that place. */
static void list_commands(const struct noc_client_parser *parser)
{
    const char *separator = "It is one of ";

    for (int i = 0; i < NOC_CLIENT_PROPS_COUNT && !parser->settings.is_mosquitto; i++) {
        fprintf(stderr, "%s%s", separator, commands[i]);
        separator = ", ";
    }
    if (!parser->settings.is_mosquitto) {
        fputs(".\n", stderr);
    }
}

static void list_properties(const struct noc_client_parser *parser, int command)
{
    const char *separator = "";
    const char *name;

    if (parser->settings.is_mosquitto || command >= NOC_CLIENT_PROPS_COUNT) {
        return;
    }
    fprintf(stderr, "Those of %s are ", commands[command]);
    for (size_t i = 0; (name = noc_client_property_name((enum noc_client_props)command, i)) != NULL;
         i++) {
        fprintf(stderr, "%s%s", separator, name);
        separator = ", ";
    }
    fputs(".\n", stderr);
}

int noc_client_add_property(
    struct noc_client_parser *parser, int word_count, char **words, int *ret_used)
{
    const struct property *property;
    int command, err;

    *ret_used = noc_client_count_property_words(word_count, words);
    if (word_count < 3) {
        return fail_too_few();
    }
    command = find_command(words[0]);
    if (command < 0) {
        (void)fail_unknown(parser, "command", words[0]);
        list_commands(parser);
        return NOC_EINVAL;
    }
    property = find_property(words[1]);
    if (property == NULL) {
        (void)fail_unknown(parser, "property name", words[1]);
        list_properties(parser, command);
        return NOC_EINVAL;
    }
    if ((property->in & IN(command)) == 0) {
        return noc_client_fail("Error: %s property not allowed for %s in --property argument.\n\n",
            words[1], words[0]);
    }
    if (property->kind == KIND_PAIR && word_count < 4) {
        return fail_too_few();
    }
    if (!is_supported(property, (enum command)command)) {
        return noc_client_fail(
            "Error: %s property not supported for %s in --property argument.\n\n", words[1],
            words[0]);
    }
    err = add_value(parser, &parser->props[command], property, words[1], words + 2);
    if (err == NOC_OK) {
        parser->settings.version = 5;
    }
    return err == NOC_ENOMEM ? noc_client_fail_memory(parser) : err;
}

/* ---- checks ---- */

int64_t noc_client_find_property(
    const struct noc_client_parser *parser, enum noc_client_props where, uint8_t id)
{
    struct noc_slice rest = noc_slice(parser->props[where].at, parser->props[where].n);
    struct noc_prop prop;

    while (noc_props_next(&rest, &prop)) {
        if (prop.id == id) {
            return prop.number;
        }
    }
    return -1;
}

/* What Mosquitto's tools check of values. */
static bool is_good_value(const struct noc_prop *prop)
{
    switch (prop->id) {
    case NOC_PROP_REQUEST_PROBLEM_INFO:
    case NOC_PROP_REQUEST_RESPONSE_INFO:
        return prop->number <= 1;
    case NOC_PROP_RECEIVE_MAXIMUM:
    case NOC_PROP_TOPIC_ALIAS:
    case NOC_PROP_MAXIMUM_PACKET_SIZE:
        return prop->number != 0;
    default:
        return true;
    }
}

static const char *find_fault(struct noc_slice rest)
{
    struct noc_prop prop;
    uint64_t seen = 0;

    while (noc_props_next(&rest, &prop)) {
        if (!is_good_value(&prop)) {
            return "A network protocol error occurred when communicating with the broker.";
        }
        if (prop.id != NOC_PROP_USER && (seen >> prop.id & 1) != 0) {
            return "Duplicate property in property list";
        }
        seen |= UINT64_C(1) << prop.id;
    }
    return NULL;
}

int noc_client_check_properties(struct noc_client_parser *parser)
{
    static const char *const names[] = {
        [NOC_CLIENT_PROPS_CONNECT] = "CONNECT",
        [NOC_CLIENT_PROPS_PUBLISH] = "PUBLISH",
        [NOC_CLIENT_PROPS_SUBSCRIBE] = "SUBSCRIBE",
        [NOC_CLIENT_PROPS_UNSUBSCRIBE] = "UNSUBSCRIBE",
        [NOC_CLIENT_PROPS_DISCONNECT] = "DISCONNECT",
        [NOC_CLIENT_PROPS_WILL] = "Will",
    };

    for (size_t i = 0; i < NOC_CLIENT_PROPS_COUNT; i++) {
        const char *fault = find_fault(noc_slice(parser->props[i].at, parser->props[i].n));

        if (fault != NULL) {
            return noc_client_fail_softly(parser, "Error in %s properties: %s\n", names[i], fault);
        }
    }
    return NOC_OK;
}
